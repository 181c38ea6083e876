//! Previews and thumbnails that were lost, made again out of their originals.
//!
//! Which blob is an item's preview was said once, with its key and the hash of its plaintext, and is not said
//! anew: of several the first one counts. So a picture is made again only where it comes out the same, byte for
//! byte. Then it has the same ciphertext and the same name, and whoever holds the key may put it back, for
//! everybody. A later version of the program may make other bytes of the same photo: then nothing is changed,
//! and the picture is lost until a device brings it that has it.

use std::{
    collections::BTreeSet, ops::ControlFlow, sync::Arc, sync::atomic::AtomicBool,
    sync::atomic::Ordering,
};

use heirloom_protocol::{
    album::asset::{AddedBlob, Asset, BlobRef},
    crypto::{Class, Shape},
    id::{LogId, PlainHash},
    op::ItemKind,
};

use super::previews::{media_of, sealed};
use crate::{
    api::ApiError,
    media::{MediaType, Pool, Previews},
    node::Node,
    original::Plain,
    runtime::{AssetKey, decode_asset},
    store::{BlobPlace, BlobState, Refusal, Store, StoreError, Table},
};

/// References to blobs: the logs that announce them, and their numbers there.
pub(crate) type Names = BTreeSet<(LogId, u32)>;

/// Which pictures are to be made again.
pub(crate) enum Which {
    /// These, if no other device says that it holds them.
    Found(Names),
    /// All that are not here.
    All,
}

/// Makes pictures again that are not here, where their originals are. Returns those that are here now, durable.
/// Reads every row, and blocks.
///
/// # Errors
///
/// What the store says; what was made by then is kept.
pub(crate) fn remake(
    node: &Node,
    which: &Which,
    cancelled: &AtomicBool,
) -> Result<Names, ApiError> {
    let store = node.store();
    let mut lacking = Vec::new();
    store.scan(Table::Assets, &[], |key, row| {
        let asset = row.ok().and_then(|row| decode_asset(&row));
        if let (Some(key), Some(asset)) = (AssetKey::from_bytes(key), asset)
            && !asset.is_purged()
            && let Some(media) = media_of(&asset)
            && pictures(&asset).any(|picture| which.names(&picture.blob))
        {
            lacking.push((key, media));
        }
        ControlFlow::Continue(())
    })?;
    let (program, args) = node.options().worker.clone();
    let pool = Arc::new(Pool::new(program, args, 1));
    let mut made = Names::new();
    for (key, media) in lacking {
        if cancelled.load(Ordering::Relaxed) {
            break;
        }
        match remake_one(node, &pool, key, media, which) {
            Ok(names) => made.extend(names),
            // A file that the disk does not give back is damage that others name, and keeps no other picture.
            Err(error) if error.id == "E-IO" => {
                tracing::warn!(error = error.message, "a picture could not be made again");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(made)
}

impl Which {
    fn names(&self, blob: &BlobRef) -> bool {
        match self {
            Self::Found(names) => names.contains(&(blob.log, blob.ordinal)),
            Self::All => true,
        }
    }

    /// Whether a picture may be made again: one that another device holds comes from there.
    fn allows(&self, node: &Node, blob: &BlobRef) -> Result<bool, ApiError> {
        if !self.names(blob) {
            return Ok(false);
        }
        let name = (blob.log, blob.ordinal);
        let holders = match self {
            Self::Found(_) => {
                node.ask_blocking(move |runtime| runtime.elsewhere(&name))??
                    .0
            }
            Self::All => 0,
        };
        Ok(holders == 0)
    }
}

/// The pictures that the decoder makes: those of the first part.
fn pictures(asset: &Asset) -> impl Iterator<Item = &AddedBlob> {
    let classes = [Class::Preview.code(), Class::Thumbnail.code()];
    let blobs = asset.blobs.iter();
    blobs.filter(move |picture| picture.blob.part == 0 && classes.contains(&picture.blob.class))
}

fn remake_one(
    node: &Node,
    pool: &Pool,
    key: AssetKey,
    media: MediaType,
    which: &Which,
) -> Result<Names, ApiError> {
    let store = node.store();
    let asset = key.load(store)?;
    let none = Names::new();
    let Some(added) = asset.added.as_ref() else {
        return Ok(none);
    };
    let (Some(part), Some(original)) = (added.item.parts.first(), added.blobs.first()) else {
        return Ok(none);
    };
    let mut lacking = Vec::new();
    for picture in pictures(&asset) {
        let blob = &picture.blob;
        let is_absent = store.blob_state(&blob.log, blob.ordinal)? == BlobState::Absent;
        if is_absent && which.allows(node, blob)? {
            lacking.push(picture);
        }
    }
    if lacking.is_empty() || added.item.kind == ItemKind::Video {
        return Ok(none);
    }
    let mut original = match Plain::open(store, original, &part.key, part.len) {
        Ok(original) => original,
        // It is not here, or damaged as well.
        Err(StoreError::Damaged(_)) => return Ok(none),
        Err(error) => return Err(error.into()),
    };
    let Ok(made) = pool.make(&mut original, media).pictures else {
        return Ok(none);
    };
    let mut back = Vec::new();
    for picture in lacking {
        match place(store, picture, &made)? {
            Some(place) => back.push((picture.blob, place)),
            None => tracing::debug!(blob = %picture.blob.id, "a picture came out otherwise"),
        }
    }
    if back.is_empty() {
        return Ok(none);
    }
    store.blobs().sync()?;
    let names = back.iter().map(|(blob, _)| (blob.log, blob.ordinal));
    let names = names.collect();
    node.ask_blocking(move |runtime| runtime.put_back(&back))??;
    Ok(names)
}

/// Writes a picture again, if it is the one that was said.
fn place(
    store: &Store,
    said: &AddedBlob,
    made: &Previews,
) -> Result<Option<BlobPlace>, StoreError> {
    let (class, jpeg) = match said.blob.class {
        class if class == Class::Preview.code() => (Class::Preview, &made.preview),
        _ => (Class::Thumbnail, &made.thumbnail),
    };
    // A key serves one plaintext.
    if PlainHash(*blake3::hash(jpeg).as_bytes()) != said.made.pt_hash {
        return Ok(None);
    }
    let Ok(shape) = Shape::signed(class, said.blob.part, said.blob.padded, said.made.len) else {
        return Ok(None);
    };
    if u64::try_from(jpeg.len()) != Ok(said.made.len) {
        return Ok(None);
    }
    let stored = sealed(store, shape, jpeg, &said.made.key)?.finish_as(&said.blob.id);
    match stored {
        Err(StoreError::Refused(Refusal::WrongBlob { .. })) => Ok(None),
        stored => Ok(Some(stored?.place)),
    }
}
