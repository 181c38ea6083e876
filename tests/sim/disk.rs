//! What one device stores, and what of it a crash takes.
//!
//! As in the node: entries are appended to the file of their log, synced, and
//! only then indexed; a blob is synced before an entry that names it is
//! committed. A crash keeps a random part of what was not synced yet. What is in
//! a file and not in the index is taken in when the device starts again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use heirloom_protocol::{
    album::{
        asset::{Asset, Stamp},
        merge,
    },
    id::{BlobId, EntryId, LogId, OpId, SpaceId},
    log::entry::Entry,
    op::{Level, Op},
    replica::Projection,
    sync::have::PeerHaves,
    wire,
};
use roaring::RoaringBitmap;

use crate::dice::Dice;

/// An entry as it is stored.
#[derive(Clone)]
pub(crate) struct Record {
    /// The name under which it is kept: of the branch that it was in when it came.
    pub(crate) kept: LogId,
    pub(crate) entry: Arc<Entry>,
    /// Items it adds, as far as it could be read.
    pub(crate) items: u32,
}

/// Assets and albums as projected so far.
#[derive(Clone, Default)]
pub(crate) struct Catalog {
    pub(crate) assets: BTreeMap<(SpaceId, OpId), Asset>,
    pub(crate) fields: BTreeMap<(SpaceId, u16), (Stamp, Vec<u8>)>,
}

impl Catalog {
    /// Applies what an entry says.
    pub(crate) fn take(&mut self, kept: LogId, entry: &Entry, projection: &Projection) {
        let space = entry.header().space;
        for projected in &projection.ops {
            let origin = projected.origin;
            if let Op::SetAlbum(set) = &projected.op {
                let there = self.fields.get(&(space, set.field));
                if origin.author.level == Level::Manager
                    && there.is_none_or(|(stamp, _)| *stamp < origin.stamp)
                {
                    let value = (origin.stamp, set.value.clone());
                    self.fields.insert((space, set.field), value);
                }
                continue;
            }
            for item in merge::targets(&projected.op, origin.op) {
                let asset = self.assets.entry((space, item)).or_default();
                let context = projection.context(kept, entry, origin);
                merge::apply(asset, &projected.op, context);
            }
        }
    }

    pub(crate) fn clear(&mut self, space: SpaceId) {
        self.assets.retain(|(album, _), _| *album != space);
        self.fields.retain(|(album, _), _| *album != space);
    }

    /// The same bytes for the same view of an album, whatever order it came in.
    pub(crate) fn canonical(&self, space: SpaceId) -> Vec<(Vec<u8>, Vec<u8>)> {
        let assets = self.assets.iter().filter(|((album, _), _)| *album == space);
        // An edit of an item that nobody added is not seen by anybody.
        let assets = assets.filter(|(_, asset)| **asset != Asset::default());
        let mut rows: Vec<_> = assets
            .map(|((_, item), asset)| (item.0.to_vec(), wire::encode(asset)))
            .collect();
        let fields = self.fields.iter().filter(|((album, _), _)| *album == space);
        rows.extend(fields.map(|((_, field), value)| (wire::encode(field), wire::encode(value))));
        rows
    }
}

/// What one device stores.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    files: BTreeMap<LogId, Vec<Record>>,
    /// How many entries of each file are in the index.
    indexed: BTreeMap<LogId, usize>,
    places: BTreeMap<EntryId, (LogId, u32)>,
    /// Control entries in the order in which they were accepted.
    causal: BTreeMap<SpaceId, Vec<EntryId>>,
    blobs: BTreeMap<BlobId, Arc<[u8]>>,
    /// Written, not synced.
    wet: BTreeMap<BlobId, Arc<[u8]>>,
    /// Which blobs of each log are here, as the index says, by the names that are kept.
    pub(crate) here: BTreeMap<LogId, RoaringBitmap>,
    pub(crate) catalog: Catalog,
    /// Albums in which something waited for the clock when they were last projected.
    pub(crate) held: BTreeSet<SpaceId>,
    /// What peers said that they hold.
    pub(crate) haves: PeerHaves,
    /// The incarnation under which this device writes, in its key file.
    pub(crate) incarnation: u64,
    /// Entries whose bytes no longer read, by the name that is kept and their place.
    rotten: BTreeSet<(LogId, u32)>,
}

impl Disk {
    /// An empty one; the device writes under this incarnation.
    pub(crate) fn new(incarnation: u64) -> Self {
        Self {
            incarnation,
            ..Self::default()
        }
    }

    pub(crate) fn put_blob(&mut self, id: BlobId, bytes: Arc<[u8]>) {
        if !self.blobs.contains_key(&id) {
            self.wet.insert(id, bytes);
        }
    }

    pub(crate) fn sync_blobs(&mut self, ids: &[BlobId]) {
        for id in ids {
            if let Some(bytes) = self.wet.remove(id) {
                self.blobs.insert(*id, bytes);
            }
        }
    }

    /// A blob as it can be read now.
    pub(crate) fn blob(&self, id: &BlobId) -> Option<&Arc<[u8]>> {
        self.blobs.get(id).or_else(|| self.wet.get(id))
    }

    pub(crate) fn has_durable_blob(&self, id: &BlobId) -> bool {
        self.blobs.contains_key(id)
    }

    /// Takes back blobs that could not be written.
    pub(crate) fn forget_wet(&mut self, ids: &[BlobId]) {
        for id in ids {
            self.wet.remove(id);
        }
    }

    /// What a backup holds: all that is durable.
    pub(crate) fn image(&self) -> Self {
        let wet = BTreeMap::new();
        Self {
            wet,
            ..self.clone()
        }
    }

    pub(crate) fn blob_ids(&self) -> impl Iterator<Item = BlobId> + '_ {
        self.blobs.keys().copied()
    }

    /// An entry's bytes rot: it is in the index still, and does not read.
    pub(crate) fn rot_entry(&mut self, log: LogId, seq: u32) {
        self.rotten.insert((log, seq));
    }

    /// Writes an entry again over the place where it rotted; says whether it had.
    pub(crate) fn mend(&mut self, log: LogId, seq: u32) -> bool {
        self.rotten.remove(&(log, seq))
    }

    pub(crate) fn rotten(&self) -> impl Iterator<Item = (LogId, u32)> + '_ {
        self.rotten.iter().copied()
    }

    pub(crate) fn reads(&self, record: &Record) -> bool {
        let place = (record.kept, record.entry.header().seq);
        !self.rotten.contains(&place)
    }

    /// Whether every control entry reads, so that the device knows all that it ever knew.
    pub(crate) fn is_whole(&self) -> bool {
        let mut rotten = self.rotten.iter();
        !rotten.any(|(log, seq)| {
            let record = self.record(log, *seq);
            record.is_some_and(|record| record.entry.header().is_control())
        })
    }

    /// For sabotage: forgets the end of each log from the first of these entries on.
    pub(crate) fn lose_entries(&mut self, ids: &[EntryId]) {
        for (log, file) in &mut self.files {
            let from = file
                .iter()
                .position(|record| ids.contains(&record.entry.id()));
            for record in file.drain(from.unwrap_or(file.len())..) {
                self.places.remove(&record.entry.id());
                let causal = self.causal.get_mut(&log.space);
                causal
                    .into_iter()
                    .for_each(|list| list.retain(|id| *id != record.entry.id()));
            }
            let left = file.len();
            self.indexed
                .entry(*log)
                .and_modify(|indexed| *indexed = left);
        }
    }

    /// Loses a blob, as when it rotted and a scrub found it.
    pub(crate) fn lose_blob(&mut self, log: &LogId, ordinal: u32, id: &BlobId) {
        self.blobs.remove(id);
        if let Some(here) = self.here.get_mut(log) {
            here.remove(ordinal);
        }
    }

    /// Appends to the files, syncs and indexes.
    pub(crate) fn commit(&mut self, records: &[Record], places: &[(LogId, u32)]) {
        for record in records {
            self.files
                .entry(record.kept)
                .or_default()
                .push(record.clone());
            self.index(record);
        }
        for (log, ordinal) in places {
            self.here.entry(*log).or_default().insert(*ordinal);
        }
    }

    fn index(&mut self, record: &Record) {
        let header = record.entry.header();
        *self.indexed.entry(record.kept).or_default() += 1;
        let place = (record.kept, header.seq);
        self.places.insert(record.entry.id(), place);
        if header.is_control() {
            let causal = self.causal.entry(header.space).or_default();
            causal.push(record.entry.id());
        }
    }

    /// What a crash leaves of a commit that was under way: a part of each file, nothing of the index.
    pub(crate) fn tear(&mut self, records: &[Record], dice: &mut Dice) {
        let whole = dice.permille(300);
        let mut open: BTreeMap<LogId, bool> = BTreeMap::new();
        for record in records {
            let goes_on = open.entry(record.kept).or_insert(true);
            *goes_on = *goes_on && (whole || dice.coin());
            if *goes_on {
                self.files
                    .entry(record.kept)
                    .or_default()
                    .push(record.clone());
            }
        }
    }

    /// What a crash leaves of blobs that were not synced.
    pub(crate) fn lose_wet_blobs(&mut self, dice: &mut Dice) {
        for (id, bytes) in std::mem::take(&mut self.wet) {
            if dice.coin() {
                self.blobs.insert(id, bytes);
            }
        }
    }

    /// Entries in files that are not in the index, which leave the files with this.
    pub(crate) fn take_unindexed(&mut self) -> Vec<Record> {
        let mut tails = Vec::new();
        for (log, file) in &mut self.files {
            let indexed = self.indexed.get(log).copied().unwrap_or(0);
            tails.extend(file.drain(indexed.min(file.len())..));
        }
        tails
    }

    pub(crate) fn logs(&self) -> impl Iterator<Item = (&LogId, &[Record])> {
        self.files.iter().map(|(log, file)| (log, &file[..]))
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Record> {
        self.files.values().flatten()
    }

    pub(crate) fn entries_of(&self, space: SpaceId) -> impl Iterator<Item = &Record> {
        let files = self.files.iter().filter(move |(log, _)| log.space == space);
        files.flat_map(|(_, file)| file)
    }

    /// Entries of a space that read.
    pub(crate) fn readable_of(&self, space: SpaceId) -> impl Iterator<Item = &Record> {
        let records = self.entries_of(space);
        records.filter(|record| self.reads(record))
    }

    pub(crate) fn holds(&self, id: &EntryId) -> bool {
        self.places.contains_key(id)
    }

    pub(crate) fn locate(&self, id: &EntryId) -> Option<(LogId, u32)> {
        self.places.get(id).copied()
    }

    pub(crate) fn by_id(&self, id: &EntryId) -> Option<&Record> {
        let (log, seq) = self.locate(id)?;
        self.record(&log, seq)
    }

    pub(crate) fn record(&self, log: &LogId, seq: u32) -> Option<&Record> {
        let file = self.files.get(log)?;
        let first = file.first()?.entry.header().seq;
        file.get(usize::try_from(seq.checked_sub(first)?).ok()?)
    }

    pub(crate) fn causal(&self, space: SpaceId) -> &[EntryId] {
        self.causal.get(&space).map_or(&[], Vec::as_slice)
    }

    /// The entry of a log that announces a blob.
    pub(crate) fn with_blob(&self, log: &LogId, ordinal: u32) -> Option<&Record> {
        let file = self.files.get(log)?;
        file.iter().find(|record| {
            let header = record.entry.header();
            let count = u32::try_from(header.blobs.len()).unwrap_or(0);
            ordinal >= header.first_blob && ordinal - header.first_blob < count
        })
    }
}
