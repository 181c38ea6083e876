//! From entries to one batch for the store: rows of assets and albums follow what the entries say.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry as Row};

use heirloom_protocol::{
    album::{asset::Asset, merge},
    id::{AlbumId, DeviceId, LogId},
    log::entry::Entry,
    op::{Level, Op},
    replica::{Effect, Place, Projection, Recorded, log_of},
    sync::session::News as EntryNews,
    wire,
};

use roaring::RoaringBitmap;

use super::{AlbumRow, AssetKey, News, Runtime, RuntimeError, asset, drops};
use crate::store::{Batch, BlobPlace, EntryRecord, StoreError, Table};

/// What waits to become one commit.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) batch: Batch,
    pub(super) assets: BTreeMap<AssetKey, Asset>,
    pub(super) changes: drops::Changes,
    albums: BTreeSet<AlbumId>,
    pub(super) rebuild: BTreeSet<AlbumId>,
    roster: bool,
    /// Who may have an album may have changed.
    access: bool,
    forked: BTreeSet<LogId>,
    pub(super) logs: BTreeSet<LogId>,
    pub(super) fresh: Vec<Entry>,
    /// The peer who sent the entries.
    pub(super) from: Option<DeviceId>,
}

/// How the store keeps an entry.
pub(super) fn record_of(entry: &Entry, kept: LogId, items: u32) -> EntryRecord {
    let header = entry.header();
    EntryRecord {
        log: kept,
        seq: header.seq,
        id: entry.id(),
        control: header.is_control(),
        hlc: header.hlc.0,
        first_item: header.first_item,
        first_blob: header.first_blob,
        items,
        blobs: u32::try_from(header.blobs.len()).unwrap_or(u32::MAX),
        bytes: wire::encode(entry.bytes()),
    }
}

/// The row that says that an album is to be projected anew when the store is opened.
pub(super) fn rebuild_key(album: &AlbumId) -> Vec<u8> {
    [b"rebuild/", &album.0[..]].concat()
}

/// What such a row says where all that is in time has been projected, and only the clock is waited for.
pub(super) const WAITS: &[u8] = &[1];

impl Runtime {
    /// Commits what this device recorded, with where the blobs of its last entry lie.
    ///
    /// Durable when it returns. After an error the replica is made again from
    /// the store, so that memory never runs ahead of the disk.
    pub fn commit(
        &mut self,
        recorded: &Recorded,
        places: &[BlobPlace],
    ) -> Result<(), RuntimeError> {
        let mut stage = Stage::default();
        for entry in &recorded.entries {
            self.stage_entry(&mut stage, entry)?;
        }
        if let Some(entry) = recorded
            .entries
            .iter()
            .rev()
            .find(|entry| !entry.header().is_control())
        {
            let first = entry.header().first_blob;
            for (ordinal, place) in (first..).zip(places) {
                let kept = self.place_of(entry).kept;
                stage.batch.places.push((kept, ordinal, *place));
            }
        }
        stage.take_effects(&recorded.effects);
        self.finish(stage)
    }

    /// Where an accepted entry stands.
    pub(super) fn place_of(&self, entry: &Entry) -> Place {
        let log = log_of(entry);
        let place = self.replica.place(entry);
        // Accepted entries have a place; others would stand alone.
        place.unwrap_or(Place {
            log,
            seq: entry.header().seq,
            kept: log,
        })
    }

    /// Adds one accepted entry and what it says to a stage.
    pub(super) fn stage_entry(
        &mut self,
        stage: &mut Stage,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        let projection = self.replica.project(entry, self.now());
        let kept = self.place_of(entry).kept;
        self.stage_projection(stage, entry, kept, &projection)?;
        let record = record_of(entry, kept, projection.items);
        stage.batch.entries.push(record);
        stage.logs.insert(kept);
        if self.waits_for_clock(entry) {
            // The clock may reach it while this device is off.
            let row = rebuild_key(&entry.header().space);
            if self.store.get(Table::Kv, &row)?.is_none() {
                stage.batch.puts.push((Table::Kv, row, WAITS.to_vec()));
            }
        }
        stage.fresh.push(entry.clone());
        Ok(())
    }

    /// Whether what an entry changes waits until this device's clock has reached it.
    pub(super) fn waits_for_clock(&self, entry: &Entry) -> bool {
        let header = entry.header();
        !header.is_control() && header.hlc.is_held(self.now())
    }

    /// Applies what an entry says to the assets and albums of a stage.
    pub(super) fn stage_projection(
        &mut self,
        stage: &mut Stage,
        entry: &Entry,
        kept: LogId,
        projection: &Projection,
    ) -> Result<(), StoreError> {
        let album = entry.header().space;
        stage.changes.note(entry);
        for projected in &projection.ops {
            if let Op::SetAlbum(set) = &projected.op {
                let may = projected.origin.author.level == Level::Manager;
                let row = self.albums.entry(album).or_default();
                if may && row.apply(set, projected.origin.stamp) {
                    stage.albums.insert(album);
                }
                continue;
            }
            for item in merge::targets(&projected.op, projected.origin.op) {
                let key = AssetKey { album, item };
                let asset = match stage.assets.entry(key) {
                    Row::Occupied(there) => there.into_mut(),
                    Row::Vacant(free) => free.insert(key.load(&self.store)?),
                };
                merge::apply(
                    asset,
                    &projected.op,
                    projection.context(kept, entry, projected.origin),
                );
            }
        }
        Ok(())
    }

    /// Commits a stage and tells what changed.
    pub(super) fn finish(&mut self, mut stage: Stage) -> Result<(), RuntimeError> {
        self.stage_fates(&mut stage)?;
        self.stage_drops(&mut stage)?;
        for (key, asset) in &stage.assets {
            stage
                .batch
                .puts
                .push((Table::Assets, key.to_bytes(), asset::encode(asset)));
            for (part, _) in asset.all_parts() {
                let row = asset::hash_key(&self.store, part.pt_hash, *key);
                stage.batch.puts.push((Table::PlainHashes, row, Vec::new()));
            }
        }
        for album in &stage.albums {
            let row = self
                .albums
                .get(album)
                .map(AlbumRow::encode)
                .unwrap_or_default();
            stage
                .batch
                .puts
                .push((Table::Albums, album.0.to_vec(), row));
        }
        for album in &stage.rebuild {
            stage
                .batch
                .puts
                .push((Table::Kv, rebuild_key(album), Vec::new()));
        }
        if let Err(error) = self.store.commit(&stage.batch) {
            // Whoever is reading the store anew begins again by himself.
            if !self.is_stale {
                self.reload()?;
            }
            return Err(error.into());
        }
        for album in &stage.rebuild {
            self.rebuild(*album)?;
        }
        if !stage.forked.is_empty() {
            self.after_fork(&stage.forked)?;
        } else if !stage.rebuild.is_empty() {
            // What counts again is wanted again.
            self.load_wants()?;
        }
        let access = stage.roster || stage.access || !stage.rebuild.is_empty();
        if access {
            self.want_what_is_served()?;
        }
        for entry in stage
            .fresh
            .iter()
            .filter(|entry| !entry.header().blobs.is_empty())
        {
            self.want_blobs_of(entry)?;
        }
        let changes = std::mem::take(&mut stage.changes);
        self.after_commit(stage);
        self.after_drops(changes)?;
        if access {
            self.forget_claims_that_ended()?;
        }
        self.hear_early_claims()
    }

    fn after_commit(&mut self, stage: Stage) {
        if stage.roster {
            let policy = self.replica.control().policy(&self.device());
            self.want.set_policy(policy);
            self.news.push(News::Roster);
        }
        let mut blobs: BTreeMap<LogId, RoaringBitmap> = BTreeMap::new();
        for (kept, ordinal, _) in &stage.batch.places {
            let log = self.replica.named_blob(kept, *ordinal).unwrap_or(*kept);
            blobs.entry(log).or_default().insert(*ordinal);
        }
        if !blobs.is_empty() {
            self.news.push(News::Blobs(blobs));
        }
        if !stage.assets.is_empty() {
            let changed = stage.assets.into_keys().collect();
            self.news.push(News::Assets(changed));
        }
        let entries = stage.batch.entries.iter();
        let entries: Vec<_> = entries
            .map(|entry| EntryNews {
                log: self
                    .replica
                    .named(&entry.log, entry.seq)
                    .unwrap_or(entry.log),
                seq: entry.seq,
                id: entry.id,
            })
            .collect();
        if !entries.is_empty() {
            self.news.push(News::Entries(stage.from, entries));
        }
    }
}

impl Stage {
    /// A stage for what a peer sent.
    pub(super) fn from_peer(peer: DeviceId) -> Self {
        Self {
            from: Some(peer),
            ..Self::default()
        }
    }

    /// Takes note of what follows from entries.
    pub(super) fn take_effects(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Project => {}
                Effect::Album(_) => self.access = true,
                Effect::Rebuild(album) => {
                    self.rebuild.insert(*album);
                }
                Effect::Roster => self.roster = true,
                Effect::Fork(log) => drop(self.forked.insert(*log)),
            }
        }
    }

    /// Whether it is time to commit, so that memory stays bounded.
    pub(super) fn is_large(&self) -> bool {
        self.assets.len() > 4096 || self.batch.entries.len() > 256
    }
}
