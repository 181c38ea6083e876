//! Where the photos of an import are now: in which albums, and who else can see them.
//!
//! A sidecar may name another album than the one that was asked for, and a photo that was here already
//! may have been put into one more album. Of an import that is only planned: where they would be.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_protocol::id::{AlbumId, PlainHash};
use serde_json::{Value, json};

use crate::{
    import::{Plan, previews::Due},
    runtime::{AssetKey, View, items_with},
    store::{Store, StoreError},
};

/// What came into one album.
#[derive(Default)]
struct Place {
    /// What it would be called, if it would be made.
    unmade: Option<String>,
    /// Items that are new in it.
    added: u64,
    /// Of these, photos that were in another album already, and their bytes.
    put: u64,
    put_bytes: u64,
}

/// What came into each album.
pub(super) struct Places(BTreeMap<AlbumId, Place>);

impl Places {
    /// Of the items that an import has added.
    pub(super) fn of(store: &Store, added: &[Due]) -> Result<Self, StoreError> {
        let new: BTreeSet<AssetKey> = added.iter().map(|due| due.key).collect();
        let mut places = BTreeMap::<AlbumId, Place>::new();
        for key in &new {
            let place = places.entry(key.album).or_default();
            place.count(bytes_of_known(store, key, &new)?);
        }
        Ok(Self(places))
    }

    /// Of what an import would add; an album that was asked for and is not there yet would be called `asked`.
    pub(super) fn planned(
        store: &Store,
        plans: Vec<Plan>,
        asked: Option<&str>,
    ) -> Result<Self, StoreError> {
        let mut places = BTreeMap::<AlbumId, Place>::new();
        for plan in plans {
            let known = is_known(store, plan.hash, &BTreeSet::new())?;
            let place = places.entry(plan.album).or_default();
            place.count(known.then_some(plan.bytes));
            place.unmade = plan.name.or_else(|| asked.map(str::to_owned));
        }
        Ok(Self(places))
    }

    /// For the summary: by album, the person's library having no name.
    pub(super) fn told(&self, view: &View) -> Vec<Value> {
        let library = view.library().map(|library| library.id);
        let told = |(id, place): (&AlbumId, &Place)| {
            let album = view.albums.get(id);
            let name = match album {
                Some(album) => Some(album.name(view)).filter(|_| Some(*id) != library),
                None => place.unmade.clone(),
            };
            json!({
                "album": name, "id": album.map(|album| album.id.to_string()),
                "added": place.added, "put": place.put, "put_bytes": place.put_bytes,
                "seen_by": super::seen_by(view, id),
            })
        };
        self.0.iter().map(told).collect()
    }
}

impl Place {
    /// Counts one more item; of a photo that was here before, its length.
    fn count(&mut self, known: Option<u64>) {
        self.added += 1;
        self.put += u64::from(known.is_some());
        self.put_bytes += known.unwrap_or(0);
    }
}

/// The length of a photo that was here before in another album; nothing of one that is new.
fn bytes_of_known(
    store: &Store,
    key: &AssetKey,
    new: &BTreeSet<AssetKey>,
) -> Result<Option<u64>, StoreError> {
    let asset = key.load(store)?;
    let Some((part, _)) = asset.all_parts().next() else {
        return Ok(None);
    };
    Ok(is_known(store, part.pt_hash, new)?.then_some(part.len))
}

/// Whether an item has a content, but for some that are new.
fn is_known(
    store: &Store,
    content: PlainHash,
    new: &BTreeSet<AssetKey>,
) -> Result<bool, StoreError> {
    for other in items_with(store, content)? {
        if new.contains(&other) {
            continue;
        }
        let other = other.load(store)?;
        if other.added.is_some() && !other.is_purged() && other.trashed().is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}
