//! What may go, goes: blobs that were dropped long enough ago, and files that nothing names.
//!
//! A drop ends one reference, not a blob: the blob goes with its last one, found
//! by looking through all places, because there is no index by name. Rows go
//! first and durably, bytes after, so that a crash leaves bytes without a row and
//! never a row without bytes. A commit that names a blob in between is noticed
//! and the blob stays. How long things are kept is the caller's decision.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::SystemTime;

use heirloom_protocol::id::BlobId;
use redb::WriteTransaction;

use super::blobs::{BlobPlace, lock};
use super::error::{Refusal, StoreError};
use super::index::{Snapshot, redb_error, unreadable};
use super::record::Fields;
use super::tables::{BLOBS, DROPPED};
use super::{Inner, Store};

const ALL: (Bound<u64>, Bound<u64>) = (Bound::Unbounded, Bound::Unbounded);
/// Blobs erased between two chances for others to commit.
const ROUND: usize = 256;

/// What a collection freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Collected {
    /// Blobs erased.
    pub blobs: u64,
    /// Bytes given back, as far as the file system can take them back.
    pub bytes: u64,
}

/// Dropped references by the blob they were to.
type Candidates = BTreeMap<BlobPlace, BTreeSet<u64>>;

impl Store {
    /// Erases the blobs whose every reference was dropped at `until` (milliseconds) or before.
    /// Looks at every place once if there is any; commits go on meanwhile.
    pub fn collect(&self, until: u64) -> Result<Collected, StoreError> {
        let inner = &*self.0;
        let _turn = lock(&inner.collecting.turn);
        inner.watch_commits();
        let collected = inner.collect(until);
        inner.collecting.stop();
        collected
    }

    /// Erases large blobs and packs that were last written before `older` and that no place
    /// names, unless `keep` says otherwise. Interrupted imports and collections leave such.
    ///
    /// Refused while entries wait to be taken in: then the index does not know all places. For the same
    /// reason nothing goes while entries are stranded behind missing ones, or lost.
    pub fn sweep(
        &self,
        older: SystemTime,
        keep: impl FnMut(&BlobId) -> bool,
    ) -> Result<Collected, StoreError> {
        let inner = &*self.0;
        let _turn = lock(&inner.collecting.turn);
        let snapshot = {
            // The index is looked at in the same hold: it can be begun anew at any time.
            let _writer = inner.writer();
            inner.reconcile()?;
            let logs = inner.logs();
            let states = logs.states.iter();
            let unindexed = states.map(|(log, state)| (*log, state.unindexed()));
            let unindexed = unindexed.filter(|(_, seqs)| !seqs.is_empty());
            let first = unindexed.map(|(log, seqs)| (log, seqs.start)).min();
            drop(logs);
            if let Some((log, seq)) = first {
                return Err(Refusal::Unindexed { log, seq }.into());
            }
            if !self.stranded().is_empty() || !self.lost()?.is_empty() {
                return Ok(Collected::default());
            }
            inner.collecting.start();
            inner.index.snapshot()
        };
        let swept = snapshot.and_then(|snapshot| inner.sweep(snapshot, older, keep));
        inner.collecting.stop();
        swept
    }
}

impl Inner {
    fn watch_commits(&self) {
        let _writer = self.writer();
        self.collecting.start();
    }

    fn collect(&self, until: u64) -> Result<Collected, StoreError> {
        let (candidates, shared) = self.candidates(until)?;
        let mut collected = Collected::default();
        let all: Vec<_> = candidates.into_iter().collect();
        for round in all.chunks(ROUND) {
            let _writer = self.writer();
            self.reconcile()?;
            if self.collecting.is_upset() {
                return Ok(collected);
            }
            let named = self.collecting.named();
            let mut erased = Vec::new();
            let gone = self.index.write(|write| {
                erased.clear();
                for (place, keys) in round {
                    let ended = end_references(self, write, keys, until)?;
                    if ended && !shared.contains(place) && !named.contains(place) {
                        erased.push(*place);
                    }
                }
                Ok(())
            });
            gone.map_err(super::index::Failed::into_error)?;
            collected.bytes += self.blobs.0.erase(&erased)?;
            collected.blobs += u64::try_from(erased.len()).expect("usize is at most 64 bits");
        }
        Ok(collected)
    }

    /// The blobs with references dropped by then, and those of them that others still refer to.
    fn candidates(&self, until: u64) -> Result<(Candidates, BTreeSet<BlobPlace>), StoreError> {
        let snapshot = self.index.snapshot()?;
        let mut due = BTreeSet::new();
        snapshot.rows(&self.sealer, DROPPED, ALL, |key, row| {
            let since = Fields(row).u64().ok_or(unreadable("row"))?;
            if since <= until {
                due.insert(key);
            }
            Ok(())
        })?;
        let mut candidates = Candidates::new();
        let mut shared = BTreeSet::new();
        for key in &due {
            let row = snapshot.row(&self.sealer, BLOBS, *key)?;
            let place = row.and_then(|row| BlobPlace::decode(&row));
            let place = place.ok_or(unreadable("dropped blob"))?;
            candidates.entry(place).or_default().insert(*key);
        }
        if candidates.is_empty() {
            return Ok((candidates, shared));
        }
        snapshot.rows(&self.sealer, BLOBS, ALL, |key, row| {
            let place = BlobPlace::decode(row).ok_or(unreadable("row"))?;
            if !due.contains(&key) && candidates.contains_key(&place) {
                shared.insert(place);
            }
            Ok(())
        })?;
        Ok((candidates, shared))
    }

    fn sweep(
        &self,
        snapshot: Snapshot,
        older: SystemTime,
        mut keep: impl FnMut(&BlobId) -> bool,
    ) -> Result<Collected, StoreError> {
        let mut files = Vec::new();
        let mut packs = BTreeSet::new();
        snapshot.rows(&self.sealer, BLOBS, ALL, |_, row| {
            match BlobPlace::decode(row).ok_or(unreadable("row"))? {
                BlobPlace::File { cid, .. } => files.push(prefix(&cid)),
                BlobPlace::Pack { pack, .. } => drop(packs.insert(pack)),
            }
            Ok(())
        })?;
        drop(snapshot);
        files.sort_unstable();
        let mut orphans = Vec::new();
        self.blobs.0.walk_files(|cid, len, changed| {
            if changed < older && files.binary_search(&prefix(&cid)).is_err() && !keep(&cid) {
                orphans.push(BlobPlace::File { cid, len });
            }
        })?;
        let mut collected = Collected::default();
        for round in orphans.chunks(ROUND) {
            let _writer = self.writer();
            if self.collecting.is_upset() {
                return Ok(collected);
            }
            let named = self.collecting.named();
            let round: Vec<_> = round
                .iter()
                .filter(|place| !named.contains(place))
                .copied()
                .collect();
            collected.bytes += self.blobs.0.erase(&round)?;
            collected.blobs += u64::try_from(round.len()).expect("usize is at most 64 bits");
        }
        let _writer = self.writer();
        if self.collecting.is_upset() {
            return Ok(collected);
        }
        for place in self.collecting.named() {
            if let BlobPlace::Pack { pack, .. } = place {
                packs.insert(pack);
            }
        }
        collected.bytes += self.blobs.0.packs.remove_unused(&packs, older)?;
        Ok(collected)
    }
}

/// Removes references that are still dropped; false if one of them was taken back meanwhile.
fn end_references(
    inner: &Inner,
    write: &WriteTransaction,
    keys: &BTreeSet<u64>,
    until: u64,
) -> Result<bool, StoreError> {
    let mut dropped = write.open_table(DROPPED).map_err(redb_error)?;
    let mut blobs = write.open_table(BLOBS).map_err(redb_error)?;
    let mut all = true;
    for key in keys {
        let since = match redb::ReadableTable::get(&dropped, key).map_err(redb_error)? {
            None => None,
            Some(row) => {
                let row = inner.sealer.open_row("dropped", *key, row.value());
                row.and_then(|row| Fields(row).u64())
            }
        };
        if since.is_some_and(|since| since <= until) {
            dropped.remove(key).map_err(redb_error)?;
            blobs.remove(key).map_err(redb_error)?;
        } else {
            all = false;
        }
    }
    Ok(all)
}

/// Enough of a name to tell that a blob is not referred to; a chance match only keeps a blob.
fn prefix(cid: &BlobId) -> u64 {
    let mut prefix = [0; 8];
    prefix.copy_from_slice(&cid.0[..8]);
    u64::from_be_bytes(prefix)
}
