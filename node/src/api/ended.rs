//! Albums out of which somebody took this person, or that somebody deleted: what they are told, and where what they
//! added goes.

mod away;

use std::collections::BTreeSet;

use heirloom_protocol::{
    album::asset::Asset,
    id::{AlbumId, PlainHash},
    op::Op,
};
use serde_json::{Value, json};

pub(super) use self::away::{Away, leave, may_leave};
use super::{
    ApiError,
    copy::{Again, add_again},
    library, pick,
    problem::Problem,
    write::Edits,
};
use crate::{
    catalog::{Item, instant_text},
    forms::capitalised,
    node::Node,
    runtime::{AssetKey, EndedAlbum, View, forget_taken, items_with, taken},
    store::{Store, StoreError},
};

/// How long `status` tells of it.
const TOLD_MS: u64 = 30 * 24 * 3_600_000;

const SAFE: &str = "The photos that you added to it stay in your library; those of others are not shown here any more.";
const REMEDY: &str = "For photos of your own make another album: heirloom album create NAME";

/// What happened to an album.
fn happened(view: &View, album: &EndedAlbum) -> String {
    let by = album.by.map(|person| view.person_name(&person));
    let by = by.unwrap_or_else(|| "somebody who is no longer in the family".into());
    let day = day_of(album);
    match album.is_deleted {
        true => format!(
            "the album {:?} was deleted for everybody by {by} on {day}",
            album.name
        ),
        false => format!(
            "the album {:?} is no longer shared with you: {by} ended that on {day}",
            album.name
        ),
    }
}

fn day_of(album: &EndedAlbum) -> String {
    let at = instant_text(album.at);
    at.get(..10).unwrap_or(&at).to_owned()
}

/// Why an album cannot be had that is no longer shared with this person, or there for anybody.
pub(super) fn refusal(view: &View, album: &EndedAlbum) -> ApiError {
    ApiError::not_allowed(&happened(view, album))
        .safe(format!("Nothing was changed. {SAFE}"))
        .hint(REMEDY)
}

/// What `album leave` finds it by. Another album may have the name as well.
fn called(view: &View, album: &EndedAlbum) -> String {
    match pick::ended_album(view, &album.name) {
        Some(named) if named.id == album.id => pick::quoted(&album.name),
        _ => album.id.short(),
    }
}

/// What ends the notice.
fn dismissal(view: &View, album: &EndedAlbum) -> String {
    let called = called(view, album);
    format!("This notice ends with heirloom album leave {called}")
}

/// The line of an album in `album list`.
pub(super) fn line(view: &View, album: &EndedAlbum) -> Value {
    json!({
        "type": "ended", "v": 1,
        "id": album.id.to_string(), "name": album.name,
        "deleted": album.is_deleted,
        "by": album.by.map(|person| view.person_name(&person)),
        "at": instant_text(album.at),
        "text": format!("{}. {SAFE} {REMEDY}. {}.", happened(view, album), dismissal(view, album)),
    })
}

/// Albums that `album list` tells of: those that others still have until this person has read it, deleted ones for a
/// while.
pub(super) fn listed(view: &View) -> impl Iterator<Item = &EndedAlbum> {
    let ended = view.ended.values();
    ended.filter(|album| !album.is_deleted || is_lately(view, album))
}

fn is_lately(view: &View, album: &EndedAlbum) -> bool {
    view.now.0.saturating_sub(album.at) < TOLD_MS
}

/// Albums that were taken from this person, or from everybody, lately.
pub(super) fn problems(view: &View) -> Vec<Problem> {
    let lately = |album: &&EndedAlbum| is_lately(view, album);
    let problem = |album: &EndedAlbum| {
        let text = happened(view, album);
        let text = format!(
            "{}. {SAFE} {REMEDY}. {}.",
            capitalised(&text),
            dismissal(view, album)
        );
        let by = album.by.map(|person| view.person_name(&person));
        let values = json!({
            "album": album.name, "album_id": album.id.to_string(),
            "name": by.unwrap_or_default(), "at": instant_text(album.at),
        });
        let id = match album.is_deleted {
            true => "album-deleted",
            false => "unshared",
        };
        Problem::new(id, values, text)
    };
    view.ended.values().filter(lately).map(problem).collect()
}

/// Where a photo of an album that is no longer shared is found again.
enum Found {
    /// In sight, or deleted by this person since.
    Seen,
    /// In the library's trash alone, as this item.
    Trashed(AssetKey),
    Nowhere,
}

/// What is to be done about photos of albums that are no longer shared.
#[derive(Default)]
struct Sorted {
    /// Nothing is to be done about these.
    seen: Vec<AssetKey>,
    /// These come back from the library's trash, with what they are in there.
    trashed: Vec<(AssetKey, AssetKey)>,
    /// These are nowhere else, and their bytes are here.
    lost: Vec<Item>,
}

/// Puts into the library what this person had in albums when they were taken out of them, and that is in
/// sight nowhere else. What is not on this device waits. Durable when it returns.
pub(crate) async fn keep_taken(node: &Node) -> Result<(), ApiError> {
    let store = node.store().clone();
    let items = node.blocking(move || taken(&store)).await??;
    if items.is_empty() {
        return Ok(());
    }
    let items = items.into_iter().map(|(key, asset)| Item { key, asset });
    let items = items.collect();
    let view = node.view().await?;
    // Another device of this person has one, and has this done by it.
    let Some(library) = library::begun(node, &view).await? else {
        return Ok(());
    };
    // One that is lowered as a viewer still, or was let in again, may see all of it where it was.
    let store = node.store().clone();
    let sorted = node.blocking(move || sort(&store, &view, library, items));
    let sorted = sorted.await??;
    let mut done: Vec<AssetKey> = sorted.seen;
    let mut edits = Edits::default();
    let back = sorted.trashed.iter().map(|(_, trashed)| trashed.item);
    edits.say_of_all([(library, back.collect())].into(), Op::Restore);
    edits.record(node).await?;
    done.extend(sorted.trashed.iter().map(|(key, _)| *key));
    for batch in sorted.lost.chunks(64) {
        let kept = add_again(node, library, batch.to_vec()).await?;
        tracing::info!(
            added = kept.added,
            "photos of an album that is no longer shared are kept"
        );
        done.extend(kept_of(batch, &kept));
    }
    if done.is_empty() {
        return Ok(());
    }
    let store = node.store().clone();
    node.blocking(move || forget_taken(&store, &done)).await??;
    Ok(())
}

/// The items of a batch that need be looked at no more: none if the bytes of some of them went meanwhile. Those that
/// were kept are in sight the next time.
fn kept_of(batch: &[Item], again: &Again) -> Vec<AssetKey> {
    let all = batch.iter().filter(|_| again.lost == 0);
    all.map(|item| item.key).collect()
}

/// What is to be done about each item.
fn sort(
    store: &Store,
    view: &View,
    library: AlbumId,
    items: Vec<Item>,
) -> Result<Sorted, StoreError> {
    let held = crate::catalog::Held::of(store);
    let (mut sorted, mut contents) = (Sorted::default(), BTreeSet::new());
    for item in items {
        let Some(content) = item.content() else {
            continue;
        };
        // Several of one content are kept once.
        if contents.contains(&content) {
            sorted.seen.push(item.key);
            continue;
        }
        match find(store, view, (library, item.key.album), content)? {
            Found::Seen => sorted.seen.push(item.key),
            Found::Trashed(trashed) => {
                contents.insert(content);
                sorted.trashed.push((item.key, trashed));
            }
            Found::Nowhere if held.has_originals(&item, view.person)? => {
                contents.insert(content);
                sorted.lost.push(item);
            }
            Found::Nowhere => {}
        }
    }
    Ok(sorted)
}

/// Looks for this person's items of some content in the albums that they can see.
///
/// One in the trash is not in sight: it was in the ended album as well when it was put there, and time purges it.
fn find(
    store: &Store,
    view: &View,
    (library, ended): (AlbumId, AlbumId),
    content: PlainHash,
) -> Result<Found, StoreError> {
    let mut found = Found::Nowhere;
    for key in items_with(store, content)? {
        if !view.albums.contains_key(&key.album) {
            continue;
        }
        let asset = key.load(store)?;
        if view.person.is_none() || asset.owner() != view.person {
            continue;
        }
        let is_gone = asset.is_purged() || asset.trashed().is_some();
        if !is_gone || is_deleted_since(view, ended, &asset) {
            return Ok(Found::Seen);
        }
        if key.album == library && !asset.is_purged() {
            found = Found::Trashed(key);
        }
    }
    Ok(found)
}

/// Whether another device deleted an item after an album had ended: it knew what became of the photos, so they
/// are not brought back here. What this device deleted it deleted before it heard.
fn is_deleted_since(view: &View, ended: AlbumId, asset: &Asset) -> bool {
    let fate = asset.trashed().or_else(|| asset.purged());
    let Some((fate, album)) = fate.zip(view.ended.get(&ended)) else {
        return false;
    };
    let stamp = fate.origin.stamp;
    stamp.log.device != view.device && stamp.hlc.time().0 > album.at
}

#[cfg(test)]
mod tests {
    use heirloom_protocol::id::OpId;

    use super::*;

    #[test]
    fn a_batch_of_which_something_was_lost_is_looked_at_again() {
        let key = AssetKey {
            album: AlbumId::ZERO,
            item: OpId::ZERO,
        };
        let batch = [Item {
            key,
            asset: Asset::default(),
        }];
        for (added, lost, done) in [(1, 0, &[key][..]), (0, 1, &[]), (63, 1, &[])] {
            assert_eq!(kept_of(&batch, &Again { added, lost }), done);
        }
    }
}
