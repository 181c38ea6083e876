//! Where the photos of an import are now: in which albums, and who else can see them.
//!
//! A sidecar may name another album than the one that was asked for, and a photo that was here already
//! may have been put into one more album.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_protocol::id::AlbumId;
use serde_json::{Value, json};

use crate::{
    import::previews::Due,
    runtime::{AssetKey, View, items_with},
    store::{Store, StoreError},
};

/// What came into one album.
#[derive(Default)]
struct Place {
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
            place.added += 1;
            if let Some(bytes) = bytes_of_known(store, key, &new)? {
                place.put += 1;
                place.put_bytes += bytes;
            }
        }
        Ok(Self(places))
    }

    /// For the summary: by album, the person's library having no name.
    pub(super) fn told(&self, view: &View) -> Vec<Value> {
        let library = view.library().map(|library| library.id);
        let told = |(id, place): (&AlbumId, &Place)| {
            let album = view.albums.get(id).filter(|_| Some(*id) != library);
            json!({
                "album": album.map(|album| album.name(view)), "id": id.to_string(),
                "added": place.added, "put": place.put, "put_bytes": place.put_bytes,
                "seen_by": super::seen_by(view, id),
            })
        };
        self.0.iter().map(told).collect()
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
    for other in items_with(store, part.pt_hash)? {
        if new.contains(&other) {
            continue;
        }
        let other = other.load(store)?;
        if other.added.is_some() && !other.is_purged() && other.trashed().is_none() {
            return Ok(Some(part.len));
        }
    }
    Ok(None)
}
