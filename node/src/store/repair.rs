//! Putting right what a verification found, as far as this disk alone can.
//!
//! An entry with one wrong bit tells by its checksum which, headers follow from
//! what the index or the file's name says, and the index follows from the files.
//! The rest has to come from another device: [`Store::repair_entry`] writes an
//! entry over its damaged record, and a blob goes into quarantine and is fetched
//! like one that was never here.

use std::ops::Bound;
use std::sync::PoisonError;

use heirloom_protocol::id::LogId;

use super::blobs::BlobPlace;
use super::error::{Damage, Refusal, StoreError};
use super::index::unreadable;
use super::record::EntryRecord;
use super::tables::BLOBS;
use super::{Finding, Inner, Store};

impl Store {
    /// Puts right what needs nothing but this disk; false where that is not enough.
    ///
    /// Durable when it returns. An index is made again by [`Store::rebuild_index`].
    pub fn mend(&self, finding: &Finding) -> Result<bool, StoreError> {
        let inner = &*self.0;
        match &finding.damage {
            Damage::Entry { log, seq, .. } => self.mend_entry(log, *seq),
            Damage::Log { log, offset: 0, .. } => {
                let _writer = inner.writer();
                let is_there = inner.files.path(log).exists();
                if is_there {
                    inner.files.write_header(log)?;
                }
                Ok(is_there)
            }
            Damage::Blob { cid } => {
                let place = finding
                    .blob
                    .map(|(log, ordinal)| self.place_of(&log, ordinal));
                match place.transpose()?.flatten() {
                    Some(BlobPlace::Pack { pack, offset, len }) => {
                        inner.blobs.0.packs.mend(cid, pack, offset, len)
                    }
                    _ => Ok(false),
                }
            }
            Damage::Pack {
                pack,
                offset,
                bytes,
            } => self.bury(*pack, *offset, *bytes),
            _ => Ok(false),
        }
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

    fn mend_entry(&self, log: &LogId, seq: u32) -> Result<bool, StoreError> {
        let inner = &*self.0;
        let Some(row) = inner.entry_row(log, seq)? else {
            return Ok(false);
        };
        let mended = inner.files.mended(log, row.offset, row.len)?;
        let mended = mended.filter(|record| record.seq == seq && record.id == row.id);
        match mended {
            Some(record) => self.repair_entry(&record).map(|()| true),
            None => Ok(false),
        }
    }

    /// Where a blob is said to lie, dropped or not.
    pub fn place_of(&self, log: &LogId, ordinal: u32) -> Result<Option<BlobPlace>, StoreError> {
        match self.0.number(log) {
            Some(number) => self.0.place(number, ordinal),
            None => Ok(None),
        }
    }

    /// Makes what is damaged of a stretch of a pack records that do not count; false where a blob is still
    /// said to lie there. Headers in it may have been written again since it was found.
    fn bury(&self, pack: u32, offset: u64, bytes: u64) -> Result<bool, StoreError> {
        let inner = &*self.0;
        // Nothing may be placed there meanwhile.
        let _writer = inner.writer();
        let packs = &inner.blobs.0.packs;
        let mut is_done = true;
        for (offset, bytes) in packs.damaged_within(pack, offset, bytes)? {
            is_done &= !inner.is_used(pack, offset, bytes)? && packs.bury(pack, offset, bytes)?;
        }
        Ok(is_done)
    }

    /// Logs with whole entries behind a missing one: the log, the missing seq, the last one held.
    /// They are taken in once the missing ones came.
    pub fn stranded(&self) -> Vec<(LogId, u32, u32)> {
        let logs = self.0.logs();
        let states = logs.states.values();
        states.filter_map(super::LogState::stranded).collect()
    }

    /// Sets the index aside and begins another, while the store is open. Afterwards all entries
    /// count as unindexed, and the caller takes them in as after [`Store::open`].
    ///
    /// Interrupted, it is done when the store is opened next.
    pub fn rebuild_index(&self) -> Result<(), StoreError> {
        let inner = &*self.0;
        let _writer = inner.writer();
        self.rebuild_at_next_open()?;
        inner.collecting.upset();
        inner.files.heal()?;
        let logs = inner.index_anew()?;
        *inner.logs.write().unwrap_or_else(PoisonError::into_inner) = logs;
        self.rebuild_is_done()
    }
}

impl Inner {
    /// Whether the index says that blobs begin in a stretch of a pack.
    fn is_used(&self, pack: u32, offset: u64, bytes: u64) -> Result<bool, StoreError> {
        let stretch = offset..offset.saturating_add(bytes);
        let mut is_used = false;
        let all = (Bound::Unbounded, Bound::Unbounded);
        let snapshot = self.index.snapshot()?;
        snapshot.rows(&self.sealer, BLOBS, all, |_, row| {
            let place = BlobPlace::decode(row).ok_or(unreadable("row"))?;
            is_used |= matches!(place, BlobPlace::Pack { pack: of, offset, .. }
                if of == pack && stretch.contains(&u64::from(offset)));
            Ok(())
        })?;
        Ok(is_used)
    }

    /// Lets packed blobs be found for entries that are to be taken in again.
    pub(super) fn survey_if_pending(&self, logs: &super::Logs) {
        if logs.states.values().any(|log| !log.pending.is_empty()) {
            self.blobs.begin_survey();
        }
    }
}
