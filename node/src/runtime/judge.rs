//! Whether drops are right: readers alone can tell, and speak up where they are not. And whether their time has
//! come, which keepers can tell as well.

use std::{
    collections::BTreeSet,
    ops::{ControlFlow, Range},
};

use heirloom_protocol::{
    album::drops::Range as Dropped,
    id::{EntryId, LogId, OpId},
    log::entry::Entry,
    op::{Level, Op},
};

use super::{
    AssetKey, Runtime, RuntimeError,
    commit::{Stage, WAITS, rebuild_key},
    drops::{Dropping, Verdict},
    load::entry_of,
    trash::purged_key,
};
use crate::store::{BlobState, Table};

/// How long a purge may come after a drop that follows from it, before somebody objects.
const OBJECT_MS: u64 = 3 * 24 * 3600 * 1000;

impl Runtime {
    /// Judges drops, again too: a purge that stands no longer makes those wrong that followed it, and
    /// one that came late makes them right. Durable when it returns.
    pub(super) fn judge_drops(&mut self) -> Result<(), RuntimeError> {
        self.drops.wronged.clear();
        let mut stage = Stage::default();
        for id in self.drops.to_judge(self.now().0) {
            let Some(dropping) = self.drops.entries.get(&id) else {
                continue;
            };
            let (before, is_held) = (dropping.verdict, dropping.hlc.is_held(self.now()));
            let verdict = match self.judge(dropping)? {
                // What is held says nothing yet, and so takes nothing that is not deleted.
                Verdict::Wrong if is_held => Verdict::Open,
                Verdict::Ended if is_held => self.while_held(dropping)?,
                // What was judged by more than can be read now stays as it is.
                Verdict::Open => before,
                verdict => verdict,
            };
            if verdict == before {
                continue;
            }
            if verdict == Verdict::Wrong {
                self.stage_left_over(&mut stage, &dropping.ranges)?;
            }
            self.decide(&mut stage, &id, verdict)?;
        }
        if stage.batch.puts.is_empty() {
            return Ok(());
        }
        self.finish(stage)
    }

    /// What becomes of right drops that are held: they end nothing, for others show what they name, and may have it
    /// from here alone. So too where they counted by a clock that was ahead.
    ///
    /// But where something is erased they did count for long, and this clock is behind.
    fn while_held(&self, dropping: &Dropping) -> Result<Verdict, RuntimeError> {
        if dropping.verdict != Verdict::Ended {
            return Ok(Verdict::Open);
        }
        for range in &dropping.ranges {
            for ordinal in range.from..range.to.min(self.announced(&range.log)) {
                if self.store.blob_state(&range.log, ordinal)? == BlobState::Absent {
                    return Ok(Verdict::Ended);
                }
            }
        }
        Ok(Verdict::Open)
    }

    /// Whether everything that is dropped belongs to purged items. A keeper cannot tell, and takes its author's word.
    fn judge(&self, dropping: &Dropping) -> Result<Verdict, RuntimeError> {
        let mut verdict = Verdict::Ended;
        if self.replica.person().is_none() {
            return Ok(verdict);
        }
        // In an album that is being projected anew, items come back one by one.
        let anew = self
            .store
            .get(Table::Kv, &rebuild_key(&dropping.log.space))?;
        if anew.is_some_and(|row| row != WAITS) {
            return Ok(Verdict::Open);
        }
        for range in &dropping.ranges {
            let to = range.to.min(self.announced(&range.log));
            let mut reached = range.from;
            self.each_announcing(&range.log, range.from..to, |entry, blobs| {
                reached = blobs.end;
                match self.judge_blobs(entry, blobs)? {
                    Verdict::Ended => {}
                    worse => verdict = worse,
                }
                Ok(leaves_if(verdict == Verdict::Wrong))
            })?;
            if verdict == Verdict::Wrong {
                return Ok(verdict);
            }
            if reached < range.to {
                verdict = Verdict::Open;
            }
        }
        Ok(verdict)
    }

    fn judge_blobs(&self, entry: &Entry, blobs: Range<u32>) -> Result<Verdict, RuntimeError> {
        if self.replica.project(entry, self.now()).ops.is_empty() {
            return Ok(Verdict::Open);
        }
        let mut verdict = Verdict::Ended;
        for key in self.items_with_blobs(entry, blobs) {
            let asset = key.load(&self.store)?;
            match (&asset.added, asset.is_purged()) {
                (_, true) => {}
                (Some(_), false) => return Ok(Verdict::Wrong),
                (None, false) => verdict = Verdict::Open,
            }
        }
        Ok(verdict)
    }

    /// Takes back every drop that this device has found wrong for [`OBJECT_MS`] and may speak against.
    /// Says how many. Durable when it returns.
    pub(super) fn undrop_wrong(&mut self) -> Result<usize, RuntimeError> {
        let Some(me) = self.replica.person() else {
            return Ok(0);
        };
        let entries = self.drops.entries.iter();
        let wrong: Vec<_> = entries
            .filter(|(_, dropping)| dropping.verdict == Verdict::Wrong)
            .filter(|(_, dropping)| self.now().0.saturating_sub(dropping.since) >= OBJECT_MS)
            .map(|(id, dropping)| (*id, dropping.log.space))
            .filter(|(_, space)| {
                let album = self.replica.album(space);
                album.is_some_and(|album| album.level(&me) >= Level::Contributor)
            })
            .collect();
        for (id, space) in &wrong {
            self.renew_before_writing(space)?;
            let recorded = self.replica.record_undrop(*space, *id, self.now())?;
            self.commit(&recorded, &[])?;
        }
        Ok(wrong.len())
    }

    /// How many deletions were taken back because they named what nobody deleted.
    ///
    /// Not those that named what was restored meanwhile. A keeper cannot tell, and says nothing.
    pub fn wrong_deletions(&mut self) -> Result<usize, RuntimeError> {
        let entries = self.drops.entries.iter();
        let wrong = entries.filter(|(_, dropping)| dropping.verdict == Verdict::Wrong);
        let wrong: BTreeSet<EntryId> = wrong.map(|(id, _)| *id).collect();
        let all: Vec<EntryId> = wrong.union(&self.drops.void).copied().collect();
        let mut count = 0;
        for id in all {
            // A status asks for it each time, and one of these may name a whole log.
            if !self.drops.wronged.contains(&id) {
                if !self.names_what_nobody_deleted(&id)? {
                    continue;
                }
                self.drops.wronged.insert(id);
            }
            count += 1;
        }
        Ok(count)
    }

    fn names_what_nobody_deleted(&self, id: &EntryId) -> Result<bool, RuntimeError> {
        let record = self.store.entry_by_id(id)?;
        let Some(entry) = record.as_ref().and_then(entry_of) else {
            return Ok(false);
        };
        let mut is_wronged = false;
        for range in self.ranges_named_by(&entry) {
            let to = range.to.min(self.announced(&range.log));
            self.each_announcing(&range.log, range.from..to, |entry, blobs| {
                for key in self.items_with_blobs(entry, blobs) {
                    let asset = key.load(&self.store)?;
                    is_wronged |= asset.added.is_some() && !asset.is_purged_by_anybody();
                }
                Ok(leaves_if(is_wronged))
            })?;
            if is_wronged {
                break;
            }
        }
        Ok(is_wronged)
    }

    /// Has what is purged dropped once more, where that stood in an entry whose drops are wrong.
    fn stage_left_over(&self, stage: &mut Stage, ranges: &[Dropped]) -> Result<(), RuntimeError> {
        for key in self.items_dropped(ranges)? {
            if key.load(&self.store)?.is_purged() {
                let row = (Table::Receipts, purged_key(key), Vec::new());
                stage.batch.puts.push(row);
            }
        }
        Ok(())
    }

    fn items_dropped(&self, ranges: &[Dropped]) -> Result<BTreeSet<AssetKey>, RuntimeError> {
        let mut items = BTreeSet::new();
        for range in ranges {
            let to = range.to.min(self.announced(&range.log));
            self.each_announcing(&range.log, range.from..to, |entry, blobs| {
                items.append(&mut self.items_with_blobs(entry, blobs));
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(items)
    }

    /// Shows the entries that announce some blobs of a log, as far as they are here, and which blobs each, one at a
    /// time: there may be as many as a log has.
    fn each_announcing(
        &self,
        log: &LogId,
        blobs: Range<u32>,
        mut show: impl FnMut(&Entry, Range<u32>) -> Result<ControlFlow<()>, RuntimeError>,
    ) -> Result<(), RuntimeError> {
        let mut at = blobs.start;
        while at < blobs.end {
            let record = self.store.entry_with_blob(log, at)?;
            let Some(entry) = record.as_ref().and_then(entry_of) else {
                break;
            };
            let count = u32::try_from(entry.header().blobs.len()).unwrap_or(u32::MAX);
            let end = entry
                .header()
                .first_blob
                .saturating_add(count)
                .min(blobs.end);
            let end = end.max(at.saturating_add(1));
            if show(&entry, at..end)?.is_break() {
                return Ok(());
            }
            at = end;
        }
        Ok(())
    }

    /// The items to which some of an entry's blobs belong.
    fn items_with_blobs(&self, entry: &Entry, ordinals: Range<u32>) -> BTreeSet<AssetKey> {
        let (album, first) = (entry.header().space, entry.header().first_blob);
        let ops = self.replica.project(entry, self.now()).ops.into_iter();
        let named = ops.flat_map(|projected| blobs_of(&projected.op, projected.origin.op));
        let named = named.filter(|(_, index)| ordinals.contains(&first.saturating_add(*index)));
        named.map(|(item, _)| AssetKey { album, item }).collect()
    }
}

/// The blobs that an op names: the item each belongs to, and its place in the header.
fn blobs_of(op: &Op, id: OpId) -> Vec<(OpId, u32)> {
    match op {
        Op::AddItem(add) => add.parts.iter().map(|part| (id, part.blob)).collect(),
        Op::AddPart(add) => vec![(add.item, add.part.blob)],
        Op::AddBlob(add) => vec![(add.item, add.blob)],
        _ => Vec::new(),
    }
}

const fn leaves_if(is_enough: bool) -> ControlFlow<()> {
    match is_enough {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}
