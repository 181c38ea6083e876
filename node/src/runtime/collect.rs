//! What may leave the disk: a question to the runtime, and the work that needs no turn of it.

use std::collections::BTreeMap;

use heirloom_protocol::{
    album::asset::BlobRef,
    id::{BlobId, LogId},
};
use roaring::RoaringBitmap;

use super::{Runtime, RuntimeError, days::kept_since, load::entry_of};
use crate::store::{BlobPlace, BlobState, Collected, Store, StoreError};

/// What is due at one moment.
#[derive(Clone, Debug)]
pub struct Due {
    /// References that ended at this time (Unix milliseconds) or before may be forgotten.
    pub until: u64,
    ended: BTreeMap<LogId, RoaringBitmap>,
    lacking: BTreeMap<LogId, RoaringBitmap>,
}

impl Runtime {
    /// What may leave the disk now. Every device keeps what was deleted for
    /// [`heirloom_protocol::limits::DROPPED_BLOB_MS`] from its own receipt: what it is told to keep
    /// otherwise does not shorten that, for a thief's phone may say it of all of them.
    pub fn due(&self) -> Result<Due, RuntimeError> {
        let until = kept_since(&self.store, self.now().0)?;
        let mut lacking: BTreeMap<LogId, RoaringBitmap> = BTreeMap::new();
        let logs = self.replica.logs();
        for (kept, ordinals) in logs.flat_map(|(log, _)| self.replica.kept_parts(log)) {
            let mut all = RoaringBitmap::new();
            all.insert_range(ordinals);
            all -= self.drops.settled(&kept, self.store.here(&kept)?);
            if !all.is_empty() {
                *lacking.entry(kept).or_default() |= all;
            }
        }
        Ok(Due {
            until,
            ended: self.drops.ended().clone(),
            lacking,
        })
    }
}

impl Due {
    /// Blobs that are lacking under one reference and lie here, whole, under another that has ended:
    /// the bytes are the last that this device has of something that somebody still refers to.
    ///
    /// Reads each of them. What is not whole is none of them; its bytes are put aside, since they are
    /// the last all the same.
    ///
    /// # Errors
    ///
    /// What the disk says; nothing may be collected then.
    pub(crate) fn still_referred_to(
        &self,
        store: &Store,
    ) -> Result<Vec<(BlobRef, BlobPlace)>, StoreError> {
        let mut going: BTreeMap<BlobId, BlobPlace> = BTreeMap::new();
        for (log, ended) in &self.ended {
            for ordinal in ended {
                if let BlobState::Dropped { place, since } = store.blob_state(log, ordinal)?
                    && since <= self.until
                    && let Some(blob) = blob_of(store, log, ordinal)?
                {
                    going.insert(blob.id, place);
                }
            }
        }
        let mut found = Vec::new();
        if going.is_empty() {
            return Ok(found);
        }
        for (log, lacking) in &self.lacking {
            for ordinal in lacking {
                let blob = blob_of(store, log, ordinal)?;
                let going = blob.and_then(|blob| Some((blob, *going.get(&blob.id)?)));
                let Some((blob, place)) = going else {
                    continue;
                };
                let blobs = store.blobs();
                if blobs.is_whole(&blob.id, &place)? {
                    found.push((blob, place));
                } else if !blobs.quarantined().contains(&blob.id) {
                    blobs.quarantine(&blob.id, &place)?;
                }
            }
        }
        Ok(found)
    }

    /// Erases what is due. Call once [`Self::still_referred_to`] was taken in.
    pub(crate) fn collect(&self, store: &Store) -> Result<Collected, StoreError> {
        store.collect(self.until)
    }
}

/// What the signed header says of a blob.
fn blob_of(store: &Store, log: &LogId, ordinal: u32) -> Result<Option<BlobRef>, StoreError> {
    let record = store.entry_with_blob(log, ordinal)?;
    let Some(entry) = record.as_ref().and_then(entry_of) else {
        return Ok(None);
    };
    let first = entry.header().first_blob;
    let index = ordinal.saturating_sub(first);
    let at = usize::try_from(index).ok();
    let line = at.and_then(|at| entry.header().blobs.get(at));
    Ok(line.and_then(|line| BlobRef::of(*log, first, index, line)))
}
