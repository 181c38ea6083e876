//! The lists of leaves against which a blob is checked while it is served.
//!
//! What has rotten on this disk is found here before it goes out, at the speed of
//! the hash, so that no honest device is ever taken for one that lies.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use heirloom_protocol::{
    crypto::{LeafHasher, LeafList},
    limits,
    sync::blob::blob_bytes,
};

use crate::{
    runtime::Served,
    store::{BlobReader, Damage, Store, StoreError},
};

const LEAF: u64 = 65_536;
/// Memory that lists may take; the last one stays whatever its size.
const BYTES: usize = 16 * 1024 * 1024;

/// Lists of blobs that were served lately, the latest first.
#[derive(Default)]
pub(in crate::network) struct Lists(Mutex<VecDeque<Arc<LeafList>>>);

impl Lists {
    fn lists(&self) -> MutexGuard<'_, VecDeque<Arc<LeafList>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list of a blob, which fits its name.
    ///
    /// # Errors
    ///
    /// [`Damage::Blob`] where it had to be made from the blob, and that is not what its name says.
    pub(super) fn of(&self, store: &Store, served: &Served) -> Result<Arc<LeafList>, StoreError> {
        let known = {
            let mut lists = self.lists();
            let at = lists.iter().position(|list| list.blob() == served.blob.id);
            at.and_then(|at| lists.remove(at))
        };
        let list = match known {
            Some(list) => list,
            None => Arc::new(list_of(store, served)?),
        };
        let mut lists = self.lists();
        lists.push_front(list.clone());
        let mut bytes = 0;
        let mut count = 0;
        lists.retain(|list| {
            bytes += list.as_bytes().len();
            count += 1;
            count == 1 || bytes <= BYTES
        });
        Ok(list)
    }

    /// Forgets a blob's list: the blob may be another one soon.
    pub(super) fn forget(&self, served: &Served) {
        self.lists().retain(|list| list.blob() != served.blob.id);
    }
}

/// The list as it is kept beside the blob, or made again.
fn list_of(store: &Store, served: &Served) -> Result<LeafList, StoreError> {
    let (id, total) = (served.blob.id, blob_bytes(&served.blob));
    let limit = total.div_ceil(LEAF).saturating_mul(32);
    let kept = store.blobs().leaves(&id, limit)?;
    let kept = kept.and_then(|kept| LeafList::from_bytes(id, total, &kept).ok());
    if let Some(kept) = kept {
        return Ok(kept);
    }
    let damaged = || StoreError::Damaged(Damage::Blob { cid: id });
    let reader = store.blobs().open_blob(&id, &served.place)?;
    let mut hasher = LeafHasher::new();
    let mut at = 0;
    while at < total {
        let len = usize::try_from((total - at).min(1024 * 1024)).expect("at most 1 MiB");
        let bytes = read_at(&reader, at, len)?;
        hasher.update(&bytes).map_err(|_| damaged())?;
        at += u64::try_from(len).expect("at most 1 MiB");
    }
    let list = hasher.finish().map_err(|_| damaged())?;
    if list.blob() != id {
        return Err(damaged());
    }
    if total > limits::LEAF_LIST_STORED_ABOVE_BYTES {
        store.blobs().put_leaves(&id, list.as_bytes())?;
    }
    Ok(list)
}

/// Leaves of a blob, from one on, each checked.
///
/// # Errors
///
/// [`Damage::Blob`] for bytes that are not the blob's.
pub(super) fn read_checked(
    reader: &BlobReader,
    list: &LeafList,
    first: u32,
    len: usize,
) -> Result<Vec<u8>, StoreError> {
    let bytes = read_at(reader, u64::from(first) * LEAF, len)?;
    for (index, leaf) in (first..).zip(bytes.chunks(limits::LEAF_BYTES)) {
        if list.verify_leaf(u64::from(index), leaf).is_err() {
            return Err(StoreError::Damaged(Damage::Blob { cid: list.blob() }));
        }
    }
    Ok(bytes)
}

fn read_at(reader: &BlobReader, at: u64, len: usize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![0; len];
    reader.read_at(at, &mut bytes)?;
    Ok(bytes)
}
