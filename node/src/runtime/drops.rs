//! References that ended: whose word ends them, since when, and what brings them back.
//!
//! A header's drops count from this device's own durable receipt, and not before
//! its clock has reached their stamp. A keeper sees headers alone: it takes every
//! drop that its author may make, and lets an `Undrop` take it back. A reader
//! takes an entry's drops only once every blob among them is of a purged item,
//! and speaks up against one that is not. The bytes stay until
//! [`super::collect`] lets them go.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_protocol::{
    album::drops::{Range, allowed},
    id::{EntryId, LogId},
    limits,
    log::entry::Entry,
    op::{Level, Op},
    time::Hlc,
    wire,
};
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::{News, Runtime, RuntimeError, commit::Stage, load::entry_of};
use crate::store::{BlobState, Damage, StoreError, Table};

/// What became of an entry's drops here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Verdict {
    /// Something among them cannot be judged yet, or they are held: they change nothing.
    Open,
    /// They count.
    Ended,
    /// They name what nobody purged: they change nothing, and are spoken against.
    Wrong,
}

/// An entry whose drops its author may make.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Dropping {
    /// The log of the entry.
    pub(super) log: LogId,
    pub(super) hlc: Hlc,
    pub(super) ranges: Vec<Range>,
    pub(super) verdict: Verdict,
    /// Received here, or found right here, Unix milliseconds.
    pub(super) since: u64,
}

/// All drops known here, by the names under which logs are kept.
#[derive(Debug, Default)]
pub(super) struct Drops {
    pub(super) entries: BTreeMap<EntryId, Dropping>,
    /// Those among them whose drops do not count.
    uncounted: BTreeSet<EntryId>,
    /// Entries whose drops were taken back.
    pub(super) void: BTreeSet<EntryId>,
    /// Those whose drops are wrong that name what nobody deleted, as far as that was seen since drops were judged.
    pub(super) wronged: BTreeSet<EntryId>,
    /// Announced blobs whose references ended.
    ended: BTreeMap<LogId, RoaringBitmap>,
    /// How far drops reach beyond what a log has announced here.
    beyond: BTreeMap<LogId, u32>,
}

/// What one commit changes of references.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Entries with drops, or with ops that take drops back.
    entries: Vec<Entry>,
    gone: BTreeMap<LogId, RoaringBitmap>,
    back: BTreeMap<LogId, RoaringBitmap>,
    /// Some drops are to be judged once this is committed.
    pub(super) judge: bool,
}

impl Changes {
    /// Takes note of an entry that may change references.
    pub(super) fn note(&mut self, entry: &Entry) {
        let header = entry.header();
        if !header.drops.is_empty() || header.is_control() {
            self.entries.push(entry.clone());
        }
    }
}

fn drop_key(entry: &EntryId) -> Vec<u8> {
    [b"drop/", &entry.0[..]].concat()
}

fn void_key(entry: &EntryId) -> Vec<u8> {
    [b"undrop/", &entry.0[..]].concat()
}

fn within(range: &Range, announced: u32) -> RoaringBitmap {
    let mut bits = RoaringBitmap::new();
    bits.insert_range(range.from..range.to.min(announced));
    bits
}

impl Drops {
    /// What is here, and what is not to be got any more.
    pub(super) fn settled(&self, log: &LogId, mut here: RoaringBitmap) -> RoaringBitmap {
        if let Some(ended) = self.ended.get(log) {
            here |= ended;
        }
        here
    }

    /// Whether a reference has ended.
    pub(super) fn has_ended(&self, log: &LogId, ordinal: u32) -> bool {
        self.ended
            .get(log)
            .is_some_and(|ended| ended.contains(ordinal))
    }

    /// The blobs of a log whose references ended at this time (Unix milliseconds) or before.
    pub(super) fn ended_until(&self, log: &LogId, until: u64) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        let Some(ended) = self.ended.get(log) else {
            return all;
        };
        let announced = ended.max().map_or(0, |last| last.saturating_add(1));
        let counted = self.entries.values().filter(|dropping| {
            let since = dropping.since.max(dropping.hlc.time().0);
            dropping.verdict == Verdict::Ended && since <= until
        });
        for range in counted.flat_map(|dropping| &dropping.ranges) {
            if range.log == *log {
                all |= within(range, announced);
            }
        }
        all
    }

    /// The blobs of each log whose references ended.
    pub(super) fn ended(&self) -> &BTreeMap<LogId, RoaringBitmap> {
        &self.ended
    }

    /// Takes out the blobs that a drop names which does not count here, or not yet.
    pub(super) fn without_uncounted(&self, log: &LogId, blobs: &mut RoaringBitmap) {
        let uncounted = self.uncounted.iter().filter_map(|id| self.entries.get(id));
        for range in uncounted.flat_map(|dropping| &dropping.ranges) {
            if range.log == *log {
                blobs.remove_range(range.from..range.to);
            }
        }
    }

    /// Entries whose drops ended one of these blobs.
    pub(super) fn that_ended(&self, blobs: &BTreeSet<(LogId, u32)>) -> Vec<EntryId> {
        let names = |range: &Range| {
            let mut named = blobs.range((range.log, range.from)..(range.log, range.to));
            named.next().is_some()
        };
        let ended = self.entries.iter().filter(|(_, dropping)| {
            dropping.verdict == Verdict::Ended && dropping.ranges.iter().any(names)
        });
        match blobs.is_empty() {
            true => Vec::new(),
            false => ended.map(|(id, _)| *id).collect(),
        }
    }

    /// Entries whose drops are to be judged, or judged again for as long as the bytes are kept: those that
    /// came first before others, because a reference ends with the first that ends it.
    pub(super) fn to_judge(&self, now: u64) -> Vec<EntryId> {
        let entries = self.entries.iter().filter(|(_, dropping)| {
            let kept = dropping.since.saturating_add(limits::DROPPED_BLOB_MS);
            dropping.verdict != Verdict::Ended || now <= kept
        });
        let mut ids: Vec<_> = entries.map(|(id, d)| (d.since, *id)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }
}

impl Runtime {
    /// Reads what was known when the home was closed.
    pub(super) fn load_drops(&mut self) -> Result<(), RuntimeError> {
        let mut drops = Drops::default();
        let id = |key: &[u8], prefix: &[u8]| -> Option<EntryId> {
            key.strip_prefix(prefix)?.try_into().ok().map(EntryId)
        };
        self.store.scan(Table::Receipts, b"undrop/", |key, _| {
            drops.void.extend(id(key, b"undrop/"));
            std::ops::ControlFlow::Continue(())
        })?;
        self.store.scan(Table::Receipts, b"drop/", |key, row| {
            let dropping: Option<Dropping> = row.ok().and_then(|row| wire::decode_row(&row).ok());
            if let Some((id, dropping)) = id(key, b"drop/").zip(dropping) {
                if dropping.verdict != Verdict::Ended {
                    drops.uncounted.insert(id);
                }
                drops.entries.insert(id, dropping);
            }
            std::ops::ControlFlow::Continue(())
        })?;
        self.drops = drops;
        let logs: BTreeSet<LogId> = {
            let entries = self.drops.entries.values();
            let ranges = entries.flat_map(|dropping| &dropping.ranges);
            ranges.map(|range| range.log).collect()
        };
        for log in logs {
            self.count_ended(&log);
        }
        Ok(())
    }

    /// How many blobs a log, by the name under which it is kept, has announced here.
    pub(super) fn announced(&self, kept: &LogId) -> u32 {
        self.replica.kept_blobs(kept)
    }

    /// Reckons anew which blobs of a log have ended, and gives what was known before.
    fn count_ended(&mut self, log: &LogId) -> RoaringBitmap {
        let announced = self.announced(log);
        let (mut ended, mut beyond) = (RoaringBitmap::new(), 0);
        let taken = self.drops.entries.values();
        let taken = taken.filter(|dropping| dropping.verdict == Verdict::Ended);
        for range in taken.flat_map(|dropping| &dropping.ranges) {
            if range.log == *log {
                ended |= within(range, announced);
                beyond = beyond.max(range.to);
            }
        }
        self.drops.beyond.remove(log);
        if beyond > announced {
            self.drops.beyond.insert(*log, beyond);
        }
        let before = self.drops.ended.remove(log).unwrap_or_default();
        if !ended.is_empty() {
            self.drops.ended.insert(*log, ended);
        }
        before
    }

    /// Adds to a stage what its entries do to references.
    pub(super) fn stage_drops(&mut self, stage: &mut Stage) -> Result<(), RuntimeError> {
        for entry in std::mem::take(&mut stage.changes.entries) {
            if entry.header().is_control() {
                self.stage_undrops(stage, &entry)?;
                self.stage_promises(stage, &entry)?;
            } else {
                self.stage_dropping(stage, &entry)?;
            }
        }
        // Blobs that a keeper was told to let go before it heard of them.
        let reached = stage.fresh.iter().filter(|entry| {
            let beyond = self.drops.beyond.get(&self.place_of(entry).kept);
            beyond.is_some_and(|beyond| *beyond > entry.header().first_blob)
        });
        let reached: BTreeSet<LogId> = reached.map(|entry| self.place_of(entry).kept).collect();
        for log in reached {
            self.change_ended(stage, &log, self.now().0)?;
        }
        Ok(())
    }

    fn stage_dropping(&mut self, stage: &mut Stage, entry: &Entry) -> Result<(), RuntimeError> {
        let (id, ranges) = (entry.id(), self.ranges_of(entry));
        let known = self.drops.entries.get(&id);
        if let Some(known) = known.filter(|known| known.ranges == ranges) {
            // Its time may have come.
            stage.changes.judge |= known.verdict != Verdict::Ended;
            return Ok(());
        }
        if known.is_some() {
            self.take_back(stage, &id)?;
        }
        if ranges.is_empty() {
            return Ok(());
        }
        let hlc = entry.header().hlc;
        // Readers would show what keepers have ended: what is held ends nothing there either.
        let is_taken = self.replica.person().is_none() && !hlc.is_held(self.now());
        let dropping = Dropping {
            log: self.place_of(entry).kept,
            hlc,
            ranges,
            verdict: Verdict::Open,
            since: self.now().0,
        };
        self.drops.entries.insert(id, dropping);
        stage.batch.deletes.retain(|(_, key)| *key != drop_key(&id));
        let verdict = match is_taken {
            true => Verdict::Ended,
            false => Verdict::Open,
        };
        stage.changes.judge |= !is_taken;
        self.decide(stage, &id, verdict)
    }

    /// The drops of an entry that count as far as headers tell.
    fn ranges_of(&self, entry: &Entry) -> Vec<Range> {
        match self.drops.void.contains(&entry.id()) {
            true => Vec::new(),
            false => self.ranges_named_by(entry),
        }
    }

    /// The drops that the author of an entry may make, also where they were taken back.
    pub(super) fn ranges_named_by(&self, entry: &Entry) -> Vec<Range> {
        let header = entry.header();
        let control = self.replica.control();
        let author = control.owner_of(&header.device);
        let album = self.replica.album(&header.space);
        let (Some(author), Some(_)) = (author, album) else {
            return Vec::new();
        };
        let is_own = |device: &_| control.owner_of(device) == Some(author);
        let ranges = allowed(header, self.replica.level_of(entry), is_own).into_iter();
        let kept =
            ranges.flat_map(|range| self.replica.kept_range(&range.log, range.from..range.to));
        kept.map(|(log, blobs)| Range {
            log,
            from: blobs.start,
            to: blobs.end,
        })
        .collect()
    }

    fn stage_undrops(&mut self, stage: &mut Stage, entry: &Entry) -> Result<(), RuntimeError> {
        let header = entry.header();
        if self.replica.level_of(entry) < Level::Contributor {
            return Ok(());
        }
        let ops = entry.open(None).unwrap_or_default();
        for op in ops.into_iter().flatten() {
            let Op::Undrop((id,)) = op else { continue };
            if self.drops.void.insert(id) {
                tracing::warn!(entry = %id.short(), "what a deletion let go was taken back: somebody found that it is not deleted");
                stage
                    .batch
                    .puts
                    .push((Table::Receipts, void_key(&id), Vec::new()));
            }
            let is_here = self.drops.entries.get(&id);
            if is_here.is_some_and(|dropping| dropping.log.space == header.space) {
                self.take_back(stage, &id)?;
            }
        }
        Ok(())
    }

    /// Has what this device promised stay beyond the end of the promise, where it hears of that again only after what
    /// ended the reference: its index was made again log after log, or its home is older than it was.
    fn stage_promises(&mut self, stage: &mut Stage, entry: &Entry) -> Result<(), RuntimeError> {
        if entry.header().device != self.device() {
            return Ok(());
        }
        let ops = entry.open(None).unwrap_or_default();
        for op in ops.into_iter().flatten() {
            let Op::Hold(hold) = op else { continue };
            for (kept, ordinal) in self.blobs_of_hold(&entry.header().space, &hold) {
                if let BlobState::Dropped { since, .. } = self.store.blob_state(&kept, ordinal)?
                    && since < hold.until
                    && self.drops.has_ended(&kept, ordinal)
                {
                    stage.batch.drops.push((kept, ordinal, hold.until));
                }
            }
        }
        Ok(())
    }

    /// Says what becomes of an entry's drops.
    pub(super) fn decide(
        &mut self,
        stage: &mut Stage,
        id: &EntryId,
        verdict: Verdict,
    ) -> Result<(), RuntimeError> {
        let now = self.now().0;
        let Some(dropping) = self.drops.entries.get_mut(id) else {
            return Ok(());
        };
        dropping.verdict = verdict;
        if verdict == Verdict::Ended {
            // What makes it right may have come later than itself.
            dropping.since = now;
        }
        let since = dropping.since.max(dropping.hlc.time().0);
        let row = wire::encode_row(dropping).expect("a header's drops are far below a row");
        let logs: BTreeSet<LogId> = dropping.ranges.iter().map(|range| range.log).collect();
        stage.batch.puts.push((Table::Receipts, drop_key(id), row));
        match verdict {
            Verdict::Ended => self.drops.uncounted.remove(id),
            Verdict::Open | Verdict::Wrong => self.drops.uncounted.insert(*id),
        };
        for log in logs {
            self.change_ended(stage, &log, since)?;
        }
        Ok(())
    }

    /// Forgets an entry's drops.
    fn take_back(&mut self, stage: &mut Stage, id: &EntryId) -> Result<(), RuntimeError> {
        let Some(dropping) = self.drops.entries.remove(id) else {
            return Ok(());
        };
        self.drops.uncounted.remove(id);
        let key = drop_key(id);
        stage.batch.puts.retain(|(_, of, _)| *of != key);
        stage.batch.deletes.push((Table::Receipts, key));
        let logs: BTreeSet<LogId> = dropping.ranges.iter().map(|range| range.log).collect();
        for log in logs {
            self.change_ended(stage, &log, self.now().0)?;
        }
        Ok(())
    }

    /// Brings the store in line with which blobs of a log have ended.
    fn change_ended(
        &mut self,
        stage: &mut Stage,
        log: &LogId,
        since: u64,
    ) -> Result<(), RuntimeError> {
        let before = self.count_ended(log);
        let now = self.drops.ended.get(log).cloned().unwrap_or_default();
        let (fresh, back) = (&now - &before, &before - &now);
        for ordinal in &fresh {
            // What this device promised to keep stays beyond the end of the promise.
            let since = since.max(self.promised_kept(log, ordinal).unwrap_or(0));
            stage.batch.drops.push((*log, ordinal, since));
            let name = self.name_kept(log, ordinal);
            self.want.done(&name);
        }
        stage
            .batch
            .undrops
            .extend(back.iter().map(|ordinal| (*log, ordinal)));
        *stage.changes.gone.entry(*log).or_default() |= fresh;
        *stage.changes.back.entry(*log).or_default() |= back;
        Ok(())
    }

    /// Tells of references that ended or came back, and judges drops that were just committed.
    pub(super) fn after_drops(&mut self, changes: Changes) -> Result<(), RuntimeError> {
        for (log, gone) in changes
            .gone
            .into_iter()
            .filter(|(_, gone)| !gone.is_empty())
        {
            self.news.push(News::Dropped(self.names_of(&log, &gone)));
        }
        for (log, back) in changes
            .back
            .into_iter()
            .filter(|(_, back)| !back.is_empty())
        {
            let here = &self.store.here(&log)? & &back;
            self.want_again(&log, &back - &here)?;
            if !here.is_empty() {
                self.news.push(News::Blobs(self.names_of(&log, &here)));
            }
        }
        if changes.judge {
            self.judge_drops()?;
        }
        Ok(())
    }

    /// Wants blobs again that are here no more: their references came back too late, or they are
    /// damaged.
    pub(super) fn want_again(
        &mut self,
        log: &LogId,
        mut blobs: RoaringBitmap,
    ) -> Result<(), RuntimeError> {
        while let Some(ordinal) = blobs.min() {
            let record = match self.store.entry_with_blob(log, ordinal) {
                // It is wanted as well, and its blobs are looked for when it has come.
                Err(StoreError::Damaged(Damage::Entry { .. })) => None,
                record => record?,
            };
            let Some(entry) = record.as_ref().and_then(entry_of) else {
                blobs.remove(ordinal);
                continue;
            };
            let first = entry.header().first_blob;
            let count = u32::try_from(entry.header().blobs.len()).unwrap_or(u32::MAX);
            for ordinal in first..first.saturating_add(count) {
                let name = self.name_kept(log, ordinal);
                self.want.done(&name);
            }
            self.want_blobs_of(&entry)?;
            blobs.remove_range(..=first.saturating_add(count.saturating_sub(1)).max(ordinal));
        }
        Ok(())
    }
}
