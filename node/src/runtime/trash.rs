//! From the trash to the end: when an item was trashed, who purges it, and the drops that go with it.
//!
//! What waits is a row of its own, so that no round of upkeep reads every asset:
//!
//! ```text
//! trash/  album[16] item[32]   the op that trashed it, and when it came here
//! purged/ album[16] item[32]   a purged item whose blobs may have references left
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use heirloom_protocol::{
    album::{asset::Asset, drops},
    id::{AlbumId, LogId, OpId, PersonId},
    limits,
    op::{Items, Level, Op},
    wire,
};

use super::{AssetKey, Runtime, RuntimeError, commit::Stage, drops::Verdict, gone::Gone};
use crate::store::{Batch, Table};

/// How much longer a manager waits with what the item's own person may purge.
const MANAGER_MS: u64 = 7 * 24 * 3600 * 1000;
/// Items looked at in one round of upkeep; the rest waits for the next.
const ROUND: usize = 4096;

fn trash_key(key: AssetKey) -> Vec<u8> {
    [&b"trash/"[..], &key.to_bytes()].concat()
}

pub(super) fn purged_key(key: AssetKey) -> Vec<u8> {
    [&b"purged/"[..], &key.to_bytes()].concat()
}

/// All blobs of an asset, previews by whomever included.
fn blobs_of(asset: &Asset) -> impl Iterator<Item = (LogId, u32)> {
    let parts = asset.all_parts().map(|(_, blob)| blob);
    let made = asset.blobs.iter().map(|made| &made.blob);
    parts.chain(made).map(|blob| (blob.log, blob.ordinal))
}

impl Runtime {
    /// Adds to a stage what is to be remembered of the assets it trashes, restores and purges.
    pub(super) fn stage_fates(&mut self, stage: &mut Stage) -> Result<(), RuntimeError> {
        self.doubt_what_came_back(stage)?;
        for (key, asset) in &stage.assets {
            if asset.fates.is_empty() {
                continue;
            }
            Gone::stage(&mut stage.batch, *key, asset);
            let row = trash_key(*key);
            // It may have gone or come back just now: what was dropped with it is right or wrong then.
            stage.changes.judge |= asset.is_purged_by_anybody();
            if asset.is_purged() {
                let purged = (Table::Receipts, purged_key(*key), Vec::new());
                stage.batch.puts.push(purged);
                stage.batch.deletes.push((Table::Receipts, row));
                continue;
            }
            let Some(fate) = asset.trashed() else {
                stage.batch.deletes.push((Table::Receipts, row));
                continue;
            };
            let known = self.store.get(Table::Receipts, &row)?;
            let known = known.and_then(|row| wire::decode_row::<(OpId, u64)>(&row).ok());
            if known.is_none_or(|(op, _)| op != fate.origin.op) {
                let value = wire::encode(&(fate.origin.op, self.now().0));
                stage.batch.puts.push((Table::Receipts, row, value));
            }
        }
        Ok(())
    }

    /// Has drops judged again that name what was restored after it was purged: also where they were right for so
    /// long that nothing is here any more, since it may be fetched from whoever restored it.
    fn doubt_what_came_back(&mut self, stage: &mut Stage) -> Result<(), RuntimeError> {
        let back = stage.assets.values();
        let back = back.filter(|asset| asset.is_purged_by_anybody() && !asset.is_purged());
        let blobs: BTreeSet<_> = back.flat_map(blobs_of).collect();
        for id in self.drops.that_ended(&blobs) {
            self.decide(stage, &id, Verdict::Ended)?;
        }
        Ok(())
    }

    /// Purges items of an album, and ends the references to their blobs that this person may end.
    /// Durable when it returns; what was recorded before an error stays.
    pub fn purge(&mut self, album: AlbumId, items: &[OpId]) -> Result<(), RuntimeError> {
        let mut some: Vec<OpId> = Vec::new();
        let mut blobs: Vec<(LogId, u32)> = Vec::new();
        for item in items {
            let asset = AssetKey { album, item: *item }.load(&self.store)?;
            let more = self.droppable(album, &asset);
            let is_full =
                some.len() >= limits::ENTRY_OPS || blobs.len() + more.len() > limits::ENTRY_DROPS;
            if is_full && !some.is_empty() {
                self.record_purge(album, std::mem::take(&mut some), std::mem::take(&mut blobs))?;
            }
            some.push(*item);
            blobs.extend(more);
        }
        self.record_purge(album, some, blobs)
    }

    /// Ends references to blobs of an album: right only where their items are purged. Durable when
    /// it returns. At most [`limits::ENTRY_DROPS`] blobs.
    pub fn end_references(
        &mut self,
        album: AlbumId,
        blobs: Vec<(LogId, u32)>,
    ) -> Result<(), RuntimeError> {
        self.record_purge(album, Vec::new(), blobs)
    }

    fn record_purge(
        &mut self,
        album: AlbumId,
        items: Vec<OpId>,
        blobs: Vec<(LogId, u32)>,
    ) -> Result<(), RuntimeError> {
        let ops = match items.is_empty() {
            true => Vec::new(),
            false => vec![Op::Purge(Items { items })],
        };
        let named = blobs.into_iter().map(|(kept, ordinal)| {
            let name = self.name_kept(&kept, ordinal);
            (name.log, name.ordinal)
        });
        let drops = drops::ranges(named);
        if ops.is_empty() && drops.is_empty() {
            return Ok(());
        }
        self.renew_before_writing(&album)?;
        let (mut rng, now) = (self.rng()?, self.now());
        let recorded = self
            .replica
            .record(album, ops, Vec::new(), drops, now, &mut rng)?;
        self.commit(&recorded, &[])
    }

    /// The blobs of an asset whose references this person may end and nobody has ended.
    fn droppable(&self, album: AlbumId, asset: &Asset) -> Vec<(LogId, u32)> {
        let control = self.replica.control();
        let Some(me) = self.replica.person() else {
            return Vec::new();
        };
        let level = self.level_in(album, &me);
        let may = |log: &LogId| {
            let own = control.owner_of(&log.device) == Some(me);
            level == Level::Manager || (level == Level::Contributor && own)
        };
        let blobs = blobs_of(asset).filter(|(log, _)| log.space == album && may(log));
        blobs
            .filter(|(log, ordinal)| !self.drops.has_ended(log, *ordinal))
            .collect()
    }

    fn level_in(&self, album: AlbumId, person: &PersonId) -> Level {
        let album = self.replica.album(&album);
        album.map_or(Level::None, |album| album.level(person))
    }

    /// What time brings: trash that is old enough is purged, what was purged elsewhere loses this
    /// person's references, drops are judged, wrong ones spoken against. Durable when it returns.
    pub fn settle_deletions(&mut self) -> Result<(), RuntimeError> {
        self.expire_trash()?;
        self.drop_purged()?;
        self.judge_drops()?;
        self.undrop_wrong()?;
        Ok(())
    }

    fn expire_trash(&mut self) -> Result<(), RuntimeError> {
        let mut due: BTreeMap<AlbumId, Vec<OpId>> = BTreeMap::new();
        for (key, row) in self.waiting(b"trash/")? {
            let asset = key.load(&self.store)?;
            let Ok((op, came)) = wire::decode_row::<(OpId, u64)>(&row) else {
                continue;
            };
            let fate = asset.trashed().filter(|fate| fate.origin.op == op);
            let Some(fate) = fate.filter(|_| !asset.is_purged()) else {
                continue;
            };
            let since = came.max(fate.origin.stamp.hlc.time().0);
            let age = self.now().0.saturating_sub(since);
            let is_due = age >= limits::TRASH_MS && self.replica.can_read(&key.album);
            if is_due && self.is_to_purge(key.album, &asset, age) {
                due.entry(key.album).or_default().push(key.item);
            }
        }
        for (album, items) in due {
            self.purge(album, &items)?;
        }
        Ok(())
    }

    /// Whether it is for this device to purge what has been in the trash so long.
    fn is_to_purge(&self, album: AlbumId, asset: &Asset, age: u64) -> bool {
        let Some(me) = self.replica.person() else {
            return false;
        };
        let Some(owner) = asset.owner() else {
            return false;
        };
        let level = self.level_in(album, &me);
        if owner == me && level >= Level::Contributor {
            return true;
        }
        let theirs = self.level_in(album, &owner) >= Level::Contributor;
        level == Level::Manager && (!theirs || age >= limits::TRASH_MS + MANAGER_MS)
    }

    /// Ends this person's references to what others purged, previews made here among them.
    fn drop_purged(&mut self) -> Result<(), RuntimeError> {
        let mut blobs: BTreeMap<AlbumId, Vec<(LogId, u32)>> = BTreeMap::new();
        let mut batch = Batch::default();
        for (key, _) in self.waiting(b"purged/")? {
            let asset = key.load(&self.store)?;
            let mine = match asset.is_purged() {
                true => self.droppable(key.album, &asset),
                false => Vec::new(),
            };
            if mine.is_empty() {
                batch.deletes.push((Table::Receipts, purged_key(key)));
            } else if self.replica.can_read(&key.album) && !self.writes_ahead(key.album) {
                blobs.entry(key.album).or_default().extend(mine);
            }
        }
        if !batch.deletes.is_empty() {
            self.store.commit(&batch)?;
        }
        for (album, blobs) in blobs {
            for some in blobs.chunks(limits::ENTRY_DROPS) {
                self.end_references(album, some.to_vec())?;
            }
        }
        Ok(())
    }

    /// Whether what this device writes in an album would be held, as what it wrote there last is.
    fn writes_ahead(&self, album: AlbumId) -> bool {
        let own = self.replica.log(&self.replica.own_log(album));
        own.is_some_and(|own| own.hlc().is_held(self.now()))
    }

    /// The rows of a kind, as many as one round takes.
    fn waiting(&self, kind: &[u8]) -> Result<Vec<(AssetKey, Vec<u8>)>, RuntimeError> {
        let mut rows = Vec::new();
        self.store.scan(Table::Receipts, kind, |key, row| {
            let key = key.strip_prefix(kind).and_then(AssetKey::from_bytes);
            rows.extend(key.zip(row.ok()));
            if rows.len() < ROUND {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(rows)
    }
}
