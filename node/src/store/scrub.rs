//! Looking for rot: every checksum of the store, and with the data every hash.
//!
//! Finding is all that happens here; what was found is repaired by fetching it
//! again: an entry through [`Store::repair_entry`], a blob by committing it as
//! lost, the index by making it again when the home is opened next.

use std::ops::{Bound, ControlFlow};

use heirloom_protocol::id::{BlobId, LogId};

use super::blobs::BlobPlace;
use super::error::{Damage, Refusal, StoreError};
use super::index::unreadable;
use super::record::EntryRecord;
use super::tables::{BLOBS, DROPPED, Table, key, split};
use super::{Inner, Store};

/// Places looked at in one view of the index.
const ROUND: usize = 1024;

/// How closely to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// The index, all entries, and that every blob is where it should be.
    Structure,
    /// Also every byte of every blob.
    Data,
}

/// One thing that is broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What.
    pub damage: Damage,
    /// The reference by which a blob was found.
    pub blob: Option<(LogId, u32)>,
}

/// What a verification has seen so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// Whether every page of the index was checked and is good. Other reads that never pause keep
    /// this from happening.
    pub pages: bool,
    /// Entries read.
    pub entries: u64,
    /// Blobs looked at.
    pub blobs: u64,
    /// Bytes of blobs read.
    pub bytes: u64,
    /// What is broken.
    pub findings: Vec<Finding>,
}

/// How much there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Logs.
    pub logs: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of their files.
    pub log_bytes: u64,
    /// References to large blobs.
    pub large_blobs: u64,
    /// Their bytes; a blob with several references counts several times.
    pub large_bytes: u64,
    /// References to packed blobs.
    pub small_blobs: u64,
    /// Their bytes.
    pub small_bytes: u64,
    /// References among all these that are dropped.
    pub dropped: u64,
    /// Bytes of the pack files.
    pub pack_bytes: u64,
    /// Bytes of the index.
    pub index_bytes: u64,
    /// Bytes free on the disk, where the system tells.
    pub free_bytes: Option<u64>,
}

impl Store {
    /// Walks through everything and lists what is broken.
    ///
    /// `name` gives the name of a blob as its entry says it, where the caller knows; else a packed
    /// blob is only held against the name in its record. `watch` sees the state after each step
    /// and may end the walk. Reading all data takes as long as the disk needs for it; commits go on
    /// meanwhile, but for the check of the index's pages at the beginning.
    pub fn verify(
        &self,
        depth: Depth,
        mut name: impl FnMut(&LogId, u32) -> Option<BlobId>,
        mut watch: impl FnMut(&Verified) -> ControlFlow<()>,
    ) -> Result<Verified, StoreError> {
        let mut walk = Walk {
            inner: &self.0,
            depth,
            verified: Verified::default(),
        };
        match self.0.index.check_integrity()? {
            Some(true) => walk.verified.pages = true,
            Some(false) => walk.found(unreadable("pages"), None)?,
            None => {}
        }
        let logs: Vec<_> = self.0.logs().states.keys().copied().collect();
        for log in &logs {
            if walk.log(self, log, &mut watch)?.is_break()
                || walk.places(log, &mut name, &mut watch)?.is_break()
            {
                return Ok(walk.verified);
            }
        }
        for space in self.spaces() {
            if let Err(error) = self.control_entries(space) {
                walk.found(error, None)?;
            }
        }
        walk.values(self)?;
        if depth == Depth::Data {
            walk.packs()?;
        }
        let _ = watch(&walk.verified);
        Ok(walk.verified)
    }

    /// Writes an entry over the damaged record of the same entry. Refused where the index knows
    /// another one, or where its length differs.
    pub fn repair_entry(&self, entry: &EntryRecord) -> Result<(), StoreError> {
        let inner = &*self.0;
        let (log, seq) = (entry.log, entry.seq);
        let _writer = inner.writer();
        let row = inner.entry_row(&log, seq)?;
        let row = row.filter(|row| row.id == entry.id);
        let row = row.ok_or(Refusal::Taken { log, seq })?;
        if !inner.files.overwrite(entry, row.offset, row.len)? {
            return Err(Refusal::Taken { log, seq }.into());
        }
        Ok(())
    }

    /// Counts. Looks at every place once: about a second for some million blobs.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let inner = &*self.0;
        let mut stats = Stats::default();
        for state in inner.logs().states.values() {
            stats.logs += 1;
            stats.entries += u64::from(state.row.next - state.row.first);
            stats.log_bytes += state.end;
        }
        let all = (Bound::Unbounded, Bound::Unbounded);
        let snapshot = inner.index.snapshot()?;
        snapshot.rows(&inner.sealer, BLOBS, all, |_, row| {
            let place = BlobPlace::decode(row).ok_or(unreadable("row"))?;
            let (blobs, bytes) = match place {
                BlobPlace::File { .. } => (&mut stats.large_blobs, &mut stats.large_bytes),
                BlobPlace::Pack { .. } => (&mut stats.small_blobs, &mut stats.small_bytes),
            };
            *blobs += 1;
            *bytes += place.len();
            Ok(())
        })?;
        snapshot.rows(&inner.sealer, DROPPED, all, |_, _| {
            stats.dropped += 1;
            Ok(())
        })?;
        stats.pack_bytes = inner.blobs.0.packs.bytes()?;
        let index = inner.home.join("heirloom.redb");
        stats.index_bytes = super::fs::Disk::open(&index)?.len()?;
        stats.free_bytes = super::fs::space(&inner.home).map(|(free, _)| free);
        Ok(stats)
    }
}

struct Walk<'a> {
    inner: &'a Inner,
    depth: Depth,
    verified: Verified,
}

impl Walk<'_> {
    /// Notes damage; any other error ends the walk.
    fn found(&mut self, error: StoreError, blob: Option<(LogId, u32)>) -> Result<(), StoreError> {
        match error {
            StoreError::Damaged(damage) => {
                self.verified.findings.push(Finding { damage, blob });
                Ok(())
            }
            other => Err(other),
        }
    }

    fn log(
        &mut self,
        store: &Store,
        log: &LogId,
        watch: &mut impl FnMut(&Verified) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let Some(head) = store.head(log) else {
            return Ok(ControlFlow::Continue(()));
        };
        for seq in head.first..=head.seq {
            self.verified.entries += 1;
            if let Err(error) = store.entry(log, seq) {
                self.found(error, None)?;
            }
            if self.verified.entries.is_multiple_of(1024) && watch(&self.verified).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(watch(&self.verified))
    }

    fn places(
        &mut self,
        log: &LogId,
        name: &mut impl FnMut(&LogId, u32) -> Option<BlobId>,
        watch: &mut impl FnMut(&Verified) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let Some(number) = self.inner.number(log) else {
            return Ok(ControlFlow::Continue(()));
        };
        let end = Bound::Included(key(number, u32::MAX));
        let mut start = Bound::Included(key(number, 0));
        loop {
            // A short view each time: a long one would keep the database from reusing pages.
            let mut round = Vec::new();
            let snapshot = self.inner.index.snapshot()?;
            let seen = snapshot.rows_limited(
                &self.inner.sealer,
                BLOBS,
                (start, end),
                ROUND,
                |key, row| {
                    let place = BlobPlace::decode(row).ok_or(unreadable("row"))?;
                    round.push((split(key).1, place));
                    Ok(())
                },
            );
            drop(snapshot);
            if let Err(error) = seen {
                self.found(error, None)?;
                return Ok(ControlFlow::Continue(()));
            }
            for (ordinal, place) in &round {
                self.place(log, number, *ordinal, place, name)?;
                if watch(&self.verified).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            match round.last() {
                Some((last, _)) if round.len() == ROUND => {
                    start = Bound::Excluded(key(number, *last));
                }
                _ => return Ok(ControlFlow::Continue(())),
            }
        }
    }

    fn place(
        &mut self,
        log: &LogId,
        number: u32,
        ordinal: u32,
        place: &BlobPlace,
        name: &mut impl FnMut(&LogId, u32) -> Option<BlobId>,
    ) -> Result<(), StoreError> {
        self.verified.blobs += 1;
        let blob = Some((*log, ordinal));
        if !self.inner.is_listed(number, ordinal)? {
            self.found(unreadable("bitmap"), blob)?;
        }
        let known = match name(log, ordinal) {
            Some(cid) => Some(cid),
            None => self.inner.blobs.name(place)?,
        };
        let damage = match known {
            None => Some(Damage::Place { log: *log, ordinal }),
            Some(cid) => {
                let whole = match self.depth {
                    Depth::Structure => self.inner.blobs.open_blob(&cid, place).is_ok(),
                    Depth::Data => {
                        self.verified.bytes += place.len();
                        self.inner.blobs.is_whole(&cid, place)?
                    }
                };
                (!whole).then_some(Damage::Blob { cid })
            }
        };
        match damage {
            // Dropped and collected while we looked.
            Some(_) if self.inner.place(number, ordinal)? != Some(*place) => Ok(()),
            Some(damage) => self.found(damage.into(), blob),
            None => Ok(()),
        }
    }

    fn values(&mut self, store: &Store) -> Result<(), StoreError> {
        for table in Table::ALL {
            let mut damages = Vec::new();
            let scanned = store.scan(table, &[], |_, value| {
                damages.extend(value.err());
                ControlFlow::Continue(())
            });
            for damage in damages {
                self.found(damage.into(), None)?;
            }
            if let Err(error) = scanned {
                self.found(error, None)?;
            }
        }
        Ok(())
    }

    fn packs(&mut self) -> Result<(), StoreError> {
        let mut damages = Vec::new();
        self.inner
            .blobs
            .0
            .packs
            .walk(|record| damages.extend(record.err()))?;
        for damage in damages {
            self.found(damage.into(), None)?;
        }
        Ok(())
    }
}
