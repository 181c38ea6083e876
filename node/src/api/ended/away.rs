//! What of albums that are no longer shared is not here: it is looked for until it comes, or until this person leaves
//! the album without it.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_protocol::id::{AlbumId, PlainHash};
use serde_json::{Value, json};

use super::{Found, find, keep_taken};
use crate::{
    api::{ApiError, Done, library, pick, problem::Problem},
    catalog::{Held, Item},
    forms::counted,
    node::Node,
    runtime::{AssetKey, EndedAlbum, View, forget_taken, taken},
    store::{Store, StoreError},
};

/// What this person had in one album, by content.
type Looked = BTreeMap<PlainHash, Vec<AssetKey>>;

/// Photos of such albums that are in sight nowhere, and not on this device either.
#[derive(Default)]
pub(in crate::api) struct Away(BTreeMap<AlbumId, Looked>);

impl Away {
    /// Looks for them.
    pub(in crate::api) fn of(store: &Store, view: &View) -> Result<Self, StoreError> {
        let (held, mut away) = (Held::of(store), Self::default());
        let library = view.library().map(|library| library.id);
        for (key, asset) in taken(store)? {
            let item = Item { key, asset };
            let Some((content, library)) = item.content().zip(library) else {
                continue;
            };
            let found = find(store, view, (library, key.album), content)?;
            if matches!(found, Found::Nowhere) && !held.has_originals(&item, view.person)? {
                let looked = away.0.entry(key.album).or_default();
                looked.entry(content).or_default().push(key);
            }
        }
        Ok(away)
    }

    /// How many they are.
    pub(in crate::api) fn count(&self) -> u64 {
        let contents = self.0.values().flat_map(BTreeMap::keys);
        u64::try_from(contents.collect::<BTreeSet<_>>().len()).unwrap_or(u64::MAX)
    }

    /// That they are not here, and what ends that.
    pub(in crate::api) fn problem(&self, view: &View) -> Option<Problem> {
        let away = self.count();
        let mut text = match away {
            0 => return None,
            1 => "1 photo that you had added to an album that is no longer shared with you is not here. Who promised you to keep it gives it to you until the promise ends, nobody else does. It comes into your library once one of them, or another device of yours that has it, is in reach, or when you import it again. Else ask for the album once more until it is here.".to_owned(),
            _ => format!(
                "{away} photos that you had added to albums that are no longer shared with you are not here. Who promised you to keep them gives them to you until the promise ends, nobody else does. They come into your library once one of them, or another device of yours that has them, is in reach, or when you import them again. Else ask for the album once more until they are here."
            ),
        };
        let mut values = json!({"n": away});
        if let Some(album) = self.0.keys().find_map(|album| view.ended.get(album)) {
            let called = super::called(view, album);
            text.push_str(&format!(
                " If nobody has {} any more: heirloom album leave {called} --with-last-copies.",
                if away == 1 { "it" } else { "them" }
            ));
            values["album_id"] = json!(album.id.to_string());
        }
        Some(Problem::new("unshared-away", values, text))
    }
}

/// Whether this person may leave an album that is no longer shared: what is not here is given up only where that is
/// meant.
///
/// # Errors
///
/// `E-NOT-ALLOWED`, with the number of photos in `why`.
pub(in crate::api) async fn may_leave(
    node: &Node,
    view: &View,
    album: &EndedAlbum,
    body: &Value,
) -> Done {
    weigh(node, view, album, body)
        .await
        .map(|looked| summary(album, &looked))
}

/// Leaves it: this person has read that it is no longer shared, and its name is free. What they had added stays in
/// their library; what is not here is looked for no more.
pub(in crate::api) async fn leave(
    node: &Node,
    view: &View,
    album: &EndedAlbum,
    body: &Value,
) -> Done {
    keep_taken(node).await?;
    // What it could not keep for want of a library would be told of no more.
    let now = node.view().await?;
    if now.library().is_none() && now.person.is_some() {
        return Err(library::missing(&now));
    }
    let looked = weigh(node, view, album, body).await?;
    let summary = summary(album, &looked);
    let (store, album) = (node.store().clone(), album.clone());
    let left = node.blocking(move || {
        let given_up: Vec<_> = looked.into_values().flatten().collect();
        forget_taken(&store, &given_up)?;
        album.let_go(&store)
    });
    left.await??;
    Ok(summary)
}

async fn weigh(
    node: &Node,
    view: &View,
    album: &EndedAlbum,
    body: &Value,
) -> Result<Looked, ApiError> {
    let (store, seen, id) = (node.store().clone(), view.clone(), album.id);
    let looked = node.blocking(move || {
        let mut away = Away::of(&store, &seen)?;
        Ok::<_, StoreError>(away.0.remove(&id).unwrap_or_default())
    });
    let looked = looked.await??;
    if looked.is_empty() || pick::flag(body, "last") {
        return Ok(looked);
    }
    let (are, they, come) = match looked.len() {
        1 => ("is", "it", "it comes"),
        _ => ("are", "them", "they come"),
    };
    let photos = counted(count(&looked), "photo", "photos");
    let called = super::called(view, album);
    Err(ApiError::not_allowed(&format!(
        "{photos} that you had added to {called} {are} not in your library, and not on this device"
    ))
    .safe(format!(
        "Nothing was changed: {come} into your library once a device that has {they} is in reach."
    ))
    .why("away", looked.len())
    .hint(format!(
        "start your other devices and run heirloom sync, or add {they} again from a card or a backup (heirloom import). To look for {they} no more: heirloom album leave {called} --with-last-copies"
    )))
}

fn count(looked: &Looked) -> u64 {
    u64::try_from(looked.len()).unwrap_or(u64::MAX)
}

fn summary(album: &EndedAlbum, looked: &Looked) -> Value {
    json!({"album": album.id.to_string(), "kept": 0, "ended": true, "away": count(looked)})
}
