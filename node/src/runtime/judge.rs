//! Whether drops are right: readers alone can tell, and speak up where they are not.

use std::collections::BTreeSet;

use heirloom_protocol::{
    id::OpId,
    log::entry::Entry,
    op::{Level, Op},
};

use super::{
    AssetKey, Runtime, RuntimeError,
    commit::{Stage, rebuild_key},
    drops::{Dropping, Verdict},
    load::entry_of,
};
use crate::store::Table;

/// How long a purge may come after a drop that follows from it, before somebody objects.
const OBJECT_MS: u64 = 3 * 24 * 3600 * 1000;

impl Runtime {
    /// Judges drops, again too: a purge that stands no longer makes those wrong that followed it, and
    /// one that came late makes them right. Durable when it returns.
    pub(super) fn judge_drops(&mut self) -> Result<(), RuntimeError> {
        if self.replica.person().is_none() {
            return Ok(());
        }
        let mut stage = Stage::default();
        for id in self.drops.to_judge(self.now().0) {
            let Some(dropping) = self.drops.entries.get(&id) else {
                continue;
            };
            let (before, verdict) = (dropping.verdict, self.judge(dropping)?);
            // What was judged by more than can be read now stays as it is.
            if verdict != before && verdict != Verdict::Open {
                self.decide(&mut stage, &id, verdict)?;
            }
        }
        if stage.batch.puts.is_empty() {
            return Ok(());
        }
        self.finish(stage)
    }

    /// Whether everything that is dropped belongs to purged items.
    fn judge(&self, dropping: &Dropping) -> Result<Verdict, RuntimeError> {
        let mut verdict = Verdict::Ended;
        // In an album that is being projected anew, items come back one by one.
        let anew = self
            .store
            .get(Table::Kv, &rebuild_key(&dropping.log.space))?;
        if anew.is_some() || dropping.hlc.is_held(self.now()) {
            return Ok(Verdict::Open);
        }
        for range in &dropping.ranges {
            let announced = self.announced(&range.log);
            if range.to > announced {
                verdict = Verdict::Open;
            }
            let (mut at, to) = (range.from, range.to.min(announced));
            while at < to {
                let record = self.store.entry_with_blob(&range.log, at)?;
                let Some(entry) = record.as_ref().and_then(entry_of) else {
                    verdict = Verdict::Open;
                    break;
                };
                let count = u32::try_from(entry.header().blobs.len()).unwrap_or(u32::MAX);
                let end = entry.header().first_blob.saturating_add(count).min(to);
                match self.judge_blobs(&entry, at..end)? {
                    Verdict::Wrong => return Ok(Verdict::Wrong),
                    Verdict::Open => verdict = Verdict::Open,
                    Verdict::Ended => {}
                }
                at = end.max(at.saturating_add(1));
            }
        }
        Ok(verdict)
    }

    fn judge_blobs(
        &self,
        entry: &Entry,
        ordinals: std::ops::Range<u32>,
    ) -> Result<Verdict, RuntimeError> {
        let projection = self.replica.project(entry, self.now());
        if projection.ops.is_empty() {
            return Ok(Verdict::Open);
        }
        let header = entry.header();
        let mut verdict = Verdict::Ended;
        let mut seen = BTreeSet::new();
        for projected in &projection.ops {
            for (item, index) in blobs_of(&projected.op, projected.origin.op) {
                let ordinal = header.first_blob.saturating_add(index);
                if !ordinals.contains(&ordinal) || !seen.insert(item) {
                    continue;
                }
                let album = header.space;
                let asset = AssetKey { album, item }.load(&self.store)?;
                match (&asset.added, asset.is_purged()) {
                    (_, true) => {}
                    (Some(_), false) => return Ok(Verdict::Wrong),
                    (None, false) => verdict = Verdict::Open,
                }
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
            self.record_in_album(*space, &[Op::Undrop((*id,))])?;
        }
        Ok(wrong.len())
    }

    /// How many deletions were taken back because they named what nobody deleted.
    pub fn wrong_deletions(&self) -> usize {
        let entries = self.drops.entries.values();
        let wrong = entries.filter(|dropping| dropping.verdict == Verdict::Wrong);
        self.drops.void.len() + wrong.count()
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
