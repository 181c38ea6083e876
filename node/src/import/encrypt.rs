//! A file's ciphertext, made a segment at a time.

use std::{fs::File, io::Read};

use heirloom_protocol::{
    crypto::{BlobKey, Encryptor, LeafHasher, Shape},
    id::{BlobId, PlainHash},
    limits,
};

use super::prepare::Refused;
use crate::store::{BlobWriter, Refusal, Store, StoreError, Stored};

/// Encrypts a file from where it stands; fails when its bytes are no longer those that were hashed.
/// The blob is written, not yet durable.
pub(super) fn seal(
    store: &Store,
    file: &mut File,
    shape: Shape,
    hash: PlainHash,
    key: &BlobKey,
) -> Result<Stored, Refused> {
    let (writer, leaves) = write(store, file, shape, hash, key)?;
    let stored = writer.finish()?;
    keep_leaves(store, shape, &stored, leaves)?;
    Ok(stored)
}

/// The same for a blob that has a name; none, and nothing that stays, where the ciphertext has another.
pub(super) fn seal_as(
    store: &Store,
    file: &mut File,
    shape: Shape,
    hash: PlainHash,
    key: &BlobKey,
    name: &BlobId,
) -> Result<Option<Stored>, Refused> {
    let (writer, leaves) = write(store, file, shape, hash, key)?;
    let stored = match writer.finish_as(name) {
        Err(StoreError::Refused(Refusal::WrongBlob { .. })) => return Ok(None),
        stored => stored?,
    };
    keep_leaves(store, shape, &stored, leaves)?;
    Ok(Some(stored))
}

fn write(
    store: &Store,
    file: &mut File,
    shape: Shape,
    hash: PlainHash,
    key: &BlobKey,
) -> Result<(BlobWriter, LeafHasher), Refused> {
    let changed = || Refused::Failed("it changed while it was read; import it again".into());
    let mut hasher = blake3::Hasher::new();
    let mut writer = store.blobs().writer();
    let mut leaves = LeafHasher::new();
    let mut encryptor = Encryptor::new(key, shape);
    let mut buffer = Vec::with_capacity(limits::LEAF_BYTES);
    for index in 0..shape.segments() {
        buffer.clear();
        buffer.resize(shape.data_bytes(index), 0);
        file.read_exact(&mut buffer).map_err(|_| changed())?;
        hasher.update(&buffer);
        encryptor
            .seal_segment(index, &mut buffer)
            .map_err(|_| changed())?;
        leaves.update(&buffer).map_err(|_| changed())?;
        writer.write(&buffer)?;
    }
    if *hasher.finalize().as_bytes() != hash.0 {
        return Err(changed());
    }
    Ok((writer, leaves))
}

fn keep_leaves(
    store: &Store,
    shape: Shape,
    stored: &Stored,
    leaves: LeafHasher,
) -> Result<(), StoreError> {
    if shape.ciphertext_len() > limits::LEAF_LIST_STORED_ABOVE_BYTES
        && let Ok(list) = leaves.finish()
    {
        store.blobs().put_leaves(&stored.cid, list.as_bytes())?;
    }
    Ok(())
}
