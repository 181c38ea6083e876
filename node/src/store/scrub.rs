//! Looking for rot: every checksum of the store, and with the data every hash.
//!
//! What the disk cannot read is damage like what it gives wrong, and the walk goes on behind it. So it does
//! behind a file that may not be read, of which nothing can be said.
//!
//! Finding is all that happens here; `repair.rs` puts right what was found.

use std::ops::{Bound, ControlFlow};

use heirloom_protocol::id::{BlobId, LogId};
use serde::{Deserialize, Serialize};

use super::blobs::BlobPlace;
use super::error::{Damage, StoreError};
use super::index::unreadable;
use super::record::HEADER_BYTES;
use super::tables::{BLOBS, DROPPED, Table, key, split};
use super::{Inner, Store};

/// Places looked at in one view of the index.
const ROUND: usize = 1024;
/// Bytes between two looks at whether a verification is to go on.
const SLICE_BYTES: u64 = 1024 * 1024;
/// What looking at an entry and at a place counts for, in bytes.
const ENTRY_COST: u64 = 4096;
const PLACE_COST: u64 = 512;

/// How far a pass over everything has come; the default is its beginning.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Cursor {
    log: Option<LogId>,
    is_in_blobs: bool,
    /// The seq or the ordinal to come.
    next: u32,
}

impl Cursor {
    fn of(log: LogId) -> Self {
        Self {
            log: Some(log),
            ..Self::default()
        }
    }

    /// Whether nothing was read yet, or everything.
    pub fn is_at_start(&self) -> bool {
        self.log.is_none()
    }
}

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
        let mut walk = Walk::new(&self.0, depth);
        let mut at = Cursor::default();
        while watch(&walk.verified).is_continue() {
            if walk.slice(self, &mut at, SLICE_BYTES, &mut name)? {
                let _ = watch(&walk.verified);
                break;
            }
        }
        Ok(walk.verified)
    }

    /// Reads on from a place until so many bytes were read, every byte of every blob among them;
    /// the place goes on with it, and is at the beginning again once everything was read.
    ///
    /// What was added since before the place is read in the next pass.
    pub fn scrub(
        &self,
        at: &mut Cursor,
        bytes: u64,
        mut name: impl FnMut(&LogId, u32) -> Option<BlobId>,
    ) -> Result<Verified, StoreError> {
        let mut walk = Walk::new(&self.0, Depth::Data);
        walk.slice(self, at, bytes, &mut name)?;
        Ok(walk.verified)
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
    /// Bytes that this slice may still read.
    left: u64,
}

impl<'a> Walk<'a> {
    fn new(inner: &'a Inner, depth: Depth) -> Self {
        Self {
            inner,
            depth,
            verified: Verified::default(),
            left: 0,
        }
    }

    /// Notes damage, and what may not be read; any other error ends the walk.
    fn found(&mut self, error: StoreError, blob: Option<(LogId, u32)>) -> Result<(), StoreError> {
        match error {
            StoreError::Damaged(damage) => {
                self.verified.findings.push(Finding { damage, blob });
                Ok(())
            }
            StoreError::Io(error) if is_closed(&error) => {
                let what = error.to_string();
                self.found(Damage::Closed { what }.into(), blob)
            }
            other => Err(other),
        }
    }

    /// Goes on for about so many bytes; true at the end of all.
    fn slice(
        &mut self,
        store: &Store,
        at: &mut Cursor,
        bytes: u64,
        name: &mut impl FnMut(&LogId, u32) -> Option<BlobId>,
    ) -> Result<bool, StoreError> {
        self.left = bytes;
        if at.log.is_none() {
            self.pages()?;
        }
        let from = at.log.map_or(Bound::Unbounded, Bound::Included);
        let logs: Vec<_> = {
            let known = self.inner.logs();
            let rest = known.states.range((from, Bound::Unbounded));
            rest.map(|(log, _)| *log).collect()
        };
        for log in logs {
            if at.log != Some(log) {
                *at = Cursor::of(log);
            }
            self.entries(store, at, &log)?;
            self.places(at, &log, name)?;
            if self.left == 0 {
                return Ok(false);
            }
        }
        for (log, seq, _) in store.stranded() {
            let id = None;
            self.found(Damage::Entry { log, seq, id }.into(), None)?;
        }
        for space in store.spaces() {
            if let Err(error) = store.control_entries(space) {
                self.found(error, None)?;
            }
        }
        self.values(store)?;
        if self.depth == Depth::Data {
            self.packs()?;
        }
        *at = Cursor::default();
        Ok(true)
    }

    fn spend(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
    }

    fn pages(&mut self) -> Result<(), StoreError> {
        match self.inner.index.check_integrity()? {
            Some(true) => self.verified.pages = true,
            Some(false) => self.found(unreadable("pages"), None)?,
            None => {}
        }
        Ok(())
    }

    fn entries(&mut self, store: &Store, at: &mut Cursor, log: &LogId) -> Result<(), StoreError> {
        let Some(head) = store.head(log).filter(|_| !at.is_in_blobs) else {
            at.is_in_blobs = true;
            return Ok(());
        };
        if at.next <= head.first {
            self.header(log)?;
        }
        for seq in at.next.max(head.first)..=head.seq {
            if self.left == 0 {
                return Ok(());
            }
            self.verified.entries += 1;
            self.spend(ENTRY_COST);
            if let Err(error) = store.entry(log, seq) {
                self.found(error, None)?;
            }
            at.next = seq.saturating_add(1);
        }
        (at.is_in_blobs, at.next) = (true, 0);
        Ok(())
    }

    fn header(&mut self, log: &LogId) -> Result<(), StoreError> {
        match self.inner.files.has_header(log) {
            Ok(true) => Ok(()),
            // Without its file every entry of the log is named.
            Ok(false) | Err(StoreError::Io(_)) => {
                let (log, offset, bytes) = (*log, 0, HEADER_BYTES);
                self.found(Damage::Log { log, offset, bytes }.into(), None)
            }
            Err(error) => Err(error),
        }
    }

    fn places(
        &mut self,
        at: &mut Cursor,
        log: &LogId,
        name: &mut impl FnMut(&LogId, u32) -> Option<BlobId>,
    ) -> Result<(), StoreError> {
        let Some(number) = self.inner.number(log).filter(|_| at.is_in_blobs) else {
            return Ok(());
        };
        let end = Bound::Included(key(number, u32::MAX));
        while self.left > 0 {
            // A short view each time: a long one would keep the database from reusing pages.
            let mut round = Vec::new();
            let start = Bound::Included(key(number, at.next));
            let snapshot = self.inner.index.snapshot()?;
            let sealer = &self.inner.sealer;
            let seen = snapshot.rows_limited(sealer, BLOBS, (start, end), ROUND, |key, row| {
                let place = BlobPlace::decode(row).ok_or(unreadable("row"))?;
                round.push((split(key).1, place));
                Ok(())
            });
            drop(snapshot);
            if let Err(error) = seen {
                return self.found(error, None);
            }
            for (ordinal, place) in &round {
                if self.left == 0 {
                    return Ok(());
                }
                self.place(log, number, *ordinal, place, name)?;
                at.next = ordinal.saturating_add(1);
            }
            if round.len() < ROUND {
                return Ok(());
            }
        }
        Ok(())
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
        self.spend(PLACE_COST);
        match self.inner.is_listed(number, ordinal) {
            Ok(true) => {}
            Ok(false) => self.found(unreadable("bitmap"), blob)?,
            Err(error) => self.found(error, blob)?,
        }
        let known = match name(log, ordinal) {
            Some(cid) => Some(cid),
            None => match self.inner.blobs.name(place) {
                Ok(name) => name,
                Err(error) => return self.found(error, blob),
            },
        };
        let damage = match known {
            None => Some(Damage::Place { log: *log, ordinal }),
            Some(cid) => {
                let whole = match self.depth {
                    Depth::Structure => match self.inner.blobs.open_blob(&cid, place) {
                        Err(StoreError::Damaged(_)) => Ok(false),
                        opened => opened.map(|_| true),
                    },
                    Depth::Data => {
                        self.verified.bytes += place.len();
                        self.spend(place.len());
                        self.inner.blobs.is_whole(&cid, place)
                    }
                };
                match whole {
                    Ok(true) => None,
                    Ok(false) => Some(Damage::Blob { cid }),
                    Err(error) => return self.found(error, blob),
                }
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
        let packs = &self.inner.blobs.0.packs;
        for pack in packs.numbers()? {
            let mut damages = Vec::new();
            let walked = packs.walk(pack, |record| damages.extend(record.err()));
            for damage in damages {
                self.found(damage.into(), None)?;
            }
            match walked {
                // Whatever keeps it from being read, the others are.
                Err(StoreError::Io(error)) => {
                    let what = error.to_string();
                    self.found(Damage::Closed { what }.into(), None)?;
                }
                Err(error) => self.found(error, None)?,
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

/// Whether an error is about what the account may do with one file, and not about the disk.
fn is_closed(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}
