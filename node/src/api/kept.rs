//! What is in sight in one album alone: it is kept in the library when this person leaves or deletes that album.

use std::collections::BTreeSet;

use heirloom_protocol::id::{AlbumId, DeviceId, LogId, PersonId};
use serde_json::Value;

use super::{
    Answer, ApiError,
    copy::{can_copy, copy_into},
    last::who_may_have,
    library,
    pick::{self, flag},
};
use crate::{
    catalog::{self, Folded, Held, Item, items_in},
    forms::counted,
    node::Node,
    runtime::View,
    store::{Store, StoreError},
};

/// Photos that are in one album alone.
pub(super) struct Kept {
    /// The album.
    pub(super) album: AlbumId,
    /// These can be put into the library.
    found: Vec<Folded>,
    /// The originals of so many are not here, and these devices may have them.
    elsewhere: (u64, BTreeSet<DeviceId>),
    /// Of these, so many were here, and their files are gone or were found damaged.
    gone: u64,
    /// So many originals are on no device of the family, as far as this one can know.
    pub(super) nowhere: u64,
}

impl Kept {
    /// Looks for them: all, or those of one person.
    pub(super) async fn of(
        node: &Node,
        view: &View,
        album: AlbumId,
        owner: Option<PersonId>,
    ) -> Result<Self, ApiError> {
        let (store, view) = (node.store().clone(), view.clone());
        let missed = node.ask(|runtime| runtime.missed()).await?;
        let missed = missed.into_iter().map(|missing| missing.named).collect();
        let found = node.blocking(move || Self::find(&store, &view, album, owner, &missed));
        Ok(found.await??)
    }

    fn find(
        store: &Store,
        view: &View,
        album: AlbumId,
        owner: Option<PersonId>,
        missed: &BTreeSet<(LogId, u32)>,
    ) -> Result<Self, StoreError> {
        let held = Held::of(store);
        let library = view.library().map(|library| library.id);
        let mut kept = Self {
            album,
            found: Vec::new(),
            elsewhere: (0, BTreeSet::new()),
            gone: 0,
            nowhere: 0,
        };
        let fits = |item: &Item| owner.is_none() || item.asset.owner() == owner;
        for folded in catalog::read(store, view)?.iter() {
            if !is_only_in(&folded, album) || !items_in(&folded, &album).any(fits) {
                continue;
            }
            if can_copy(&held, view, library, &folded)? {
                kept.found.push(folded);
                continue;
            }
            let devices = who_may_have(view, &folded);
            if devices.is_empty() {
                kept.nowhere += 1;
            } else {
                kept.elsewhere.0 += 1;
                kept.gone += u64::from(is_gone(&held, missed, &folded)?);
                kept.elsewhere.1.extend(devices);
            }
        }
        Ok(kept)
    }

    /// Refuses to leave or delete the album while originals are still to come here, and where nobody has them, unless
    /// that is meant. To delete it would take from everybody what others may have, so that is no matter of what is meant.
    ///
    /// # Errors
    ///
    /// `E-TRY-LATER`, and `E-NOT-ALLOWED` with the number of photos in `why`.
    pub(super) fn allow(&self, view: &View, body: &Value, act: &str) -> Result<(), ApiError> {
        let called = pick::quoted(pick::text(body, "album")?);
        let again = format!("heirloom album {act} {called} --with-last-copies");
        let is_meant = flag(body, "last");
        if self.elsewhere.0 > 0 && !(is_meant && act == "leave") {
            return Err(self.to_come(view, (act == "leave").then_some(&*again)));
        }
        if self.nowhere == 0 || is_meant {
            return Ok(());
        }
        let photos = counted(self.nowhere, "photo that is", "photos that are");
        let they = if self.nowhere == 1 { "it" } else { "them" };
        Err(ApiError::not_allowed(&format!(
            "no device of the family is known to have the originals of {photos} in this album alone"
        ))
        .safe("Nothing was changed.")
        .why("nowhere", usize::try_from(self.nowhere).unwrap_or(usize::MAX))
        .hint(format!(
            "if a device that was removed or may not see the album any more, a card or a backup still has {they}, add {they} again first (heirloom import). To {act} the album without {they}: {again}"
        )))
    }

    /// How many photos the album is left without whose originals are not here and may be elsewhere.
    pub(super) fn elsewhere(&self) -> u64 {
        self.elsewhere.0
    }

    /// That originals are not here, why, where they may be and what helps; `again` does without them.
    fn to_come(&self, view: &View, again: Option<&str>) -> ApiError {
        let (photos, devices) = &self.elsewhere;
        let names: Vec<_> = devices.iter().map(|id| view.device_name(id)).collect();
        let (of, they, them) = match photos {
            1 => (
                "the original of 1 photo that is in this album alone is".to_owned(),
                "it",
                "it",
            ),
            n => (
                format!("the originals of {n} photos that are in this album alone are"),
                "they",
                "them",
            ),
        };
        let why = match (self.gone, *photos) {
            (0, _) => "not on this device yet".to_owned(),
            (n, all) if n == all => {
                "gone from the disk of this device, or damaged there".to_owned()
            }
            (n, _) => format!(
                "not on this device; {n} of them were, and are gone from the disk or damaged"
            ),
        };
        let sync = match (self.gone > 0, view.keeps) {
            (true, _) => "run heirloom verify --repair",
            (_, true) => "run heirloom sync",
            (_, false) => {
                "get each here (heirloom get ID), or let this one keep everything (heirloom device policy NAME archive) and run heirloom sync"
            }
        };
        let again = again.map_or_else(String::new, |again| {
            format!(". To leave the album without {them}: {again}")
        });
        ApiError::try_later(&format!(
            "{of} {why}; {they} may be on: {}",
            names.join(", ")
        ))
        .why("elsewhere", usize::try_from(*photos).unwrap_or(usize::MAX))
        .hint(format!(
            "start that device and {sync}, then try again; if it is gone for good: heirloom device remove NAME --lost{again}"
        ))
    }

    /// Puts what was found into this person's library, and tells of it; says how many that were. Durable when it
    /// returns.
    pub(super) async fn keep(
        self,
        node: &Node,
        view: &View,
        answer: &Answer,
    ) -> Result<u64, ApiError> {
        if self.found.is_empty() {
            return Ok(0);
        }
        let library = library::begun(node, view).await?;
        let library = library.ok_or_else(|| library::missing(view))?;
        let kept = copy_into(node, view, library, self.found).await?;
        if kept.added > 0 {
            let text = format!(
                "Photos and videos that were in no other album are in your library now: {}.",
                kept.added
            );
            answer.note(&text).await;
        }
        Ok(kept.added)
    }
}

/// Whether an asset is in an album, outside of its trash, and in sight nowhere else.
fn is_only_in(folded: &Folded, album: AlbumId) -> bool {
    let is_live = |item: &&Item| item.asset.trashed().is_none();
    let mut live = folded.items.iter().filter(is_live);
    items_in(folded, &album).any(|item| is_live(&item)) && live.all(|item| item.key.album == album)
}

/// Whether an original that this person needs of an asset was here, and its file is gone or was found damaged.
fn is_gone(
    held: &Held<'_>,
    missed: &BTreeSet<(LogId, u32)>,
    folded: &Folded,
) -> Result<bool, StoreError> {
    for item in &folded.items {
        for (_, blob) in item.asset.needed_parts(folded.me) {
            if missed.contains(&(blob.log, blob.ordinal)) || held.is_gone(blob)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
