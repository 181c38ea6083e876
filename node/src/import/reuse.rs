//! What lies here already, named once more: a photo in a second album takes no room of its own.
//!
//! A key serves one plaintext, so the same content may be named under the same key again. That an item has
//! some content is a claim until its ciphertext was opened here and compared; pictures are taken from
//! this person's own items alone, since nobody can compare what somebody else made of a photo.

use heirloom_protocol::{
    album::asset::{Asset, BlobRef},
    crypto::{BlobKey, Class},
    id::{PersonId, PlainHash},
    log::entry::BlobLine,
    op::{AddBlob, Part},
};

use super::known::opens_to;
use crate::{
    runtime::items_with,
    store::{BlobPlace, BlobState, Store, StoreError},
};

/// A blob that is named once more.
pub(super) struct Named {
    pub(super) line: BlobLine,
    pub(super) place: BlobPlace,
}

/// The original with a content, if it lies here whole; reads all of it.
pub(super) fn original(
    store: &Store,
    hash: PlainHash,
    bytes: u64,
) -> Result<Option<(BlobKey, Named)>, StoreError> {
    for asset in assets_with(store, hash)? {
        let fits = |(part, blob): &(&Part, &BlobRef)| {
            part.pt_hash == hash && part.len == bytes && blob.class == Class::Original.code()
        };
        for (part, blob) in asset.all_parts().filter(fits) {
            if let Some(named) = named(store, blob)?
                && opens_to(store, part, blob)
            {
                return Ok(Some((part.key.clone(), named)));
            }
        }
    }
    Ok(None)
}

/// The preview and the thumbnail that this person has made of a content, if they lie here whole.
pub(super) fn pictures(
    store: &Store,
    me: PersonId,
    hash: PlainHash,
) -> Result<Option<Vec<(AddBlob, Named)>>, StoreError> {
    for asset in assets_with(store, hash)? {
        let first = asset
            .added
            .as_ref()
            .and_then(|added| added.item.parts.first());
        if asset.owner() != Some(me) || first.is_none_or(|part| part.pt_hash != hash) {
            continue;
        }
        let mut pictures = Vec::new();
        for class in [Class::Preview, Class::Thumbnail] {
            let shown = asset.shown_blob(0, class.code());
            let Some(shown) = shown.filter(|shown| shown.origin.author.person == me) else {
                break;
            };
            if let Some(named) = named(store, &shown.blob)?
                && store.blobs().is_whole(&shown.blob.id, &named.place)?
            {
                pictures.push((shown.made.clone(), named));
            }
        }
        if pictures.len() == 2 {
            return Ok(Some(pictures));
        }
    }
    Ok(None)
}

/// Items with a content, in whatever album, that stay.
fn assets_with(store: &Store, hash: PlainHash) -> Result<Vec<Asset>, StoreError> {
    let keys = items_with(store, hash)?.into_iter();
    let assets: Result<Vec<_>, _> = keys.map(|key| key.load(store)).collect();
    let mut assets = assets?;
    assets.retain(|asset| asset.added.is_some() && !asset.is_purged());
    Ok(assets)
}

/// With the numbers under which it was encrypted; none where it is not here, or is about to go.
fn named(store: &Store, blob: &BlobRef) -> Result<Option<Named>, StoreError> {
    let state = store.blob_state(&blob.log, blob.ordinal)?;
    let BlobState::Here(place) = state else {
        return Ok(None);
    };
    let line = BlobLine {
        part: blob.part,
        class: blob.class,
        id: blob.id,
        padded: blob.padded,
    };
    Ok(Some(Named { line, place }))
}
