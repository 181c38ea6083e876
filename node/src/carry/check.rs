//! A look at some of what this device has put into a depot: a disk forgets, and a store may lie.

use heirloom_protocol::{
    album::asset::BlobRef,
    carry,
    id::{DeviceId, LogId},
    limits,
    sync::blob::blob_bytes,
};
use rand_core::Rng as _;

use super::{Before, Carrier, CarryError, own::forget_entries};
use crate::{
    node::Node,
    runtime::RuntimeError,
    store::{BlobPlace, StoreError},
};

/// Blobs and files of entries that are read again in an hour, of a bucket in a day.
const CHECKS: usize = 32;
/// Bytes after which no more are.
const CHECK_BYTES: u64 = 64 * 1024 * 1024;

/// Reads some of what this device has put there again. What is wrong is named; what can be written anew from
/// here is removed for that, and counts as not there. All else stays, and may be right the next time.
pub(super) fn check_some(
    node: &Node,
    folder: &dyn Carrier,
    me: &DeviceId,
    before: &mut Before,
) -> Result<Vec<String>, CarryError> {
    let mut wrong = Vec::new();
    let mut draw = Draw { node };
    let parts = before.entries.len();
    for nth in 0..CHECKS.min(parts) {
        let nth = match parts <= CHECKS {
            true => nth,
            false => draw.below(parts)?,
        };
        let part = before.entries[nth];
        let name = carry::entries_of(me, part.number);
        let most = u64::from(part.bytes);
        let bytes = folder.get(&name, most).ok().flatten();
        if !bytes.is_some_and(|bytes| part.is(&bytes)) {
            wrong.push(name);
            forget_entries(before);
            break;
        }
    }
    let mut bytes = 0;
    for (log, ordinal) in some_blobs(&mut draw, before)? {
        if bytes >= CHECK_BYTES {
            break;
        }
        let (blob, found) = node.ask_blocking(move |runtime| {
            let blob = runtime.blob_of(&log, ordinal);
            (blob, runtime.carried_blobs(&log, &[ordinal]))
        })?;
        let Some(blob) = blob? else { continue };
        let files = carry::blob_files(&blob.id, blob_bytes(&blob));
        let at = draw.below(files.len())?;
        bytes += files[at].1;
        let found = found?;
        let name = &files[at].0;
        match found.first() {
            Some((_, place)) if is_same(node, folder, (&blob, place), at)? => continue,
            Some((_, place)) if is_whole(node, (&blob, place))? => {
                if let Some((_, blobs)) = before.logs.get_mut(&log) {
                    blobs.remove(ordinal);
                }
                folder.remove(name)?;
            }
            // What lies there may be the last of it: another piece may come back, another device write it.
            _ if has_its_name(folder, &blob, at)? => continue,
            _ => {}
        }
        wrong.push(name.clone());
    }
    Ok(wrong)
}

/// Whether a blob that is here has its name, so that it can be written anew.
fn is_whole(node: &Node, (blob, place): (&BlobRef, &BlobPlace)) -> Result<bool, CarryError> {
    match node.store().blobs().is_whole(&blob.id, place) {
        Ok(is_whole) => Ok(is_whole && place.len() == blob_bytes(blob)),
        Err(StoreError::Damaged(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Some of the blobs that this device has put there; all, where they are few.
fn some_blobs(draw: &mut Draw<'_>, before: &Before) -> Result<Vec<(LogId, u32)>, RuntimeError> {
    let logs: Vec<_> = before
        .logs
        .iter()
        .filter(|(_, (_, blobs))| !blobs.is_empty())
        .collect();
    let count: u64 = logs.iter().map(|(_, (_, blobs))| blobs.len()).sum();
    if count <= u64::try_from(CHECKS).unwrap_or(0) {
        let all = logs
            .iter()
            .flat_map(|(log, (_, blobs))| blobs.iter().map(|ordinal| (**log, ordinal)));
        return Ok(all.collect());
    }
    let mut some = Vec::with_capacity(CHECKS);
    for _ in 0..CHECKS {
        let (log, (_, blobs)) = logs[draw.below(logs.len())?];
        let count = usize::try_from(blobs.len()).unwrap_or(usize::MAX);
        let nth = u32::try_from(draw.below(count)?).unwrap_or(0);
        some.extend(blobs.select(nth).map(|ordinal| (*log, ordinal)));
    }
    Ok(some)
}

struct Draw<'a> {
    node: &'a Node,
}

impl Draw<'_> {
    fn below(&mut self, end: usize) -> Result<usize, RuntimeError> {
        let drawn = self
            .node
            .ask_blocking(|runtime| runtime.rng().map(|mut rng| rng.next_u64()))??;
        let end = u64::try_from(end).unwrap_or(1).max(1);
        Ok(usize::try_from(drawn % end).unwrap_or(0))
    }
}

/// Whether a file of a blob holds what is here; where what is here cannot be read, that is not known.
fn is_same(
    node: &Node,
    folder: &dyn Carrier,
    (blob, place): (&BlobRef, &BlobPlace),
    at: usize,
) -> Result<bool, CarryError> {
    let files = carry::blob_files(&blob.id, blob_bytes(blob));
    let (name, size) = &files[at];
    let mut ours = vec![0; usize::try_from(*size).unwrap_or(0)];
    let offset = u64::try_from(at).unwrap_or(0) * limits::CARRY_PIECE_BYTES;
    let read = node
        .store()
        .blobs()
        .open_blob(&blob.id, place)
        .and_then(|reader| reader.read_at(offset, &mut ours));
    if read.is_err() {
        return Ok(true);
    }
    match folder.get(name, *size) {
        Ok(theirs) => Ok(theirs.is_some_and(|theirs| theirs == ours)),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The same of a blob that is not here any more: by its name, or by its length where it lies in pieces.
fn has_its_name(folder: &dyn Carrier, blob: &BlobRef, at: usize) -> Result<bool, CarryError> {
    let files = carry::blob_files(&blob.id, blob_bytes(blob));
    let (name, size) = &files[at];
    if files.len() > 1 {
        return Ok(folder.size(name)? == Some(*size));
    }
    match folder.get(name, *size) {
        Ok(bytes) => Ok(bytes.is_some_and(|bytes| *blake3::hash(&bytes).as_bytes() == blob.id.0)),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(false),
        Err(error) => Err(error.into()),
    }
}
