//! The one way in: a batch of entries and what the index is to say about them.
//!
//! Order: blobs durable, entries appended and synced, one transaction. A batch
//! that fails leaves the store as it was, unless the transaction itself failed:
//! then its entries may be in their files, and the store hands them back as
//! unindexed once it could open its index again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use heirloom_protocol::id::{BranchId, LogId};
use redb::{ReadableTable, Table as RedbTable, WriteTransaction};
use roaring::RoaringBitmap;

use super::blobs::BlobPlace;
use super::error::{Refusal, StoreError};
use super::index::{Failed, redb_error, unreadable};
use super::logs::{Append, LogState, Pending};
use super::pack::PackEnd;
use super::record::{self, ENTRY_BYTES_MAX, EntryRecord, HEADER_BYTES};
use super::tables::{BLOBS, CONTROL, DROPPED, ENTRIES, ENTRY_IDS, EntryRow, HAVE, LOGS};
use super::tables::{META, Table, key};
use super::{Inner, Logs, Store};

type RowTable<'t> = RedbTable<'t, u64, &'static [u8]>;

/// What one commit changes; all of it or nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// Entries, in order within each log. Those already present are passed over.
    pub entries: Vec<EntryRecord>,
    /// Where blobs of a log lie now. Takes back a drop of the same blob.
    pub places: Vec<(LogId, u32, BlobPlace)>,
    /// Blobs that nobody is to be served any more, and since when in milliseconds. The bytes stay
    /// until a collection of older ones.
    pub drops: Vec<(LogId, u32, u64)>,
    /// Drops that are void.
    pub undrops: Vec<(LogId, u32)>,
    /// Blobs that turned out to be damaged or missing: absent from now on.
    pub lost: Vec<(LogId, u32)>,
    /// Values to seal and store.
    pub puts: Vec<(Table, Vec<u8>, Vec<u8>)>,
    /// Values to remove, after the puts.
    pub deletes: Vec<(Table, Vec<u8>)>,
}

impl Store {
    /// Makes a batch durable and visible.
    ///
    /// When this returns `Ok`, everything in it survives a loss of power. After an error nothing
    /// of it is visible; take [`Store::unindexed`] before trying again, because the entries may
    /// have reached their files. Costs one sync for each log touched and two for the index, so
    /// larger batches are cheaper. On a full disk it uses the room that is kept for it.
    pub fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let inner = &*self.0;
        let _writer = inner.writer();
        inner.reserve.give_if_low();
        let done = match inner.commit(batch) {
            // A batch that fails halfway can be repeated as it is: what reached the logs is known.
            Err(StoreError::DiskFull) if inner.reserve.give() => inner.commit(batch),
            done => done,
        };
        if done.is_ok() {
            inner.reserve.keep();
            self.end_survey_if_whole();
        }
        done
    }

    /// Frees the memory of a survey once no entry is waited for that may name what it found.
    fn end_survey_if_whole(&self) {
        let inner = &*self.0;
        if !inner.blobs.is_surveyed() {
            return;
        }
        let is_whole = |logs: &Logs| logs.states.values().all(|log| log.pending.is_empty());
        if is_whole(&inner.logs()) && self.lost().is_ok_and(|lost| lost.is_empty()) {
            inner.blobs.end_survey();
        }
    }
}

impl Inner {
    /// Call with the writer lock held.
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let inner = self;
        inner.reconcile()?;
        if !batch.places.is_empty() || inner.blobs.is_dirty() {
            // An entry must never name a blob of ours that is not durable. Another's sync under way may
            // have taken what the batch names: nothing is dirty then, and this waits for it.
            inner.blobs.sync()?;
        }
        let mut plan = Plan::of(inner, batch)?;
        let lost = inner.places_of(&batch.lost);
        let places = batch.places.iter().map(|(_, _, place)| *place);
        inner.collecting.note(places);
        let appends = plan.take_appends();
        inner.files.append(&appends)?;
        let written = inner.index.write(|write| plan.write(inner, write, batch));
        match written {
            Ok(()) => {
                if !lost.is_empty() {
                    inner.blobs.0.give_up(&lost);
                }
                let mut logs = inner.logs.write().unwrap_or_else(PoisonError::into_inner);
                plan.apply(&mut logs);
                drop(logs);
                inner.keep_settings(batch);
                Ok(())
            }
            Err(Failed::Before(error)) => {
                inner.files.undo(&appends);
                Err(error)
            }
            // Whether the index took it shows when it is opened again; the files keep it.
            Err(Failed::Unknown(error)) => Err(error),
        }
    }
}

impl Inner {
    /// Where blobs are said to lie. A place that cannot be read is none.
    fn places_of(&self, blobs: &[(LogId, u32)]) -> BTreeSet<BlobPlace> {
        let place = |(log, ordinal): &(LogId, u32)| {
            let number = self.number(log)?;
            self.place(number, *ordinal).ok().flatten()
        };
        blobs.iter().filter_map(place).collect()
    }
}

/// A log that the batch touches.
struct Touched {
    state: LogState,
    start: u64,
    bytes: Vec<u8>,
    rows: Vec<Row>,
}

struct Row {
    seq: u32,
    entry: EntryRow,
    control: Option<u32>,
}

struct Plan {
    logs: BTreeMap<LogId, Touched>,
    /// Numbers of logs that are new to the index, from here on.
    numbers: u32,
    fresh: Vec<LogId>,
}

impl Plan {
    fn of(inner: &Inner, batch: &Batch) -> Result<Self, StoreError> {
        let known = inner.logs();
        let mut plan = Self {
            logs: BTreeMap::new(),
            numbers: u32::try_from(known.numbers.len()).expect("log numbers are 32 bits"),
            fresh: Vec::new(),
        };
        for entry in &batch.entries {
            plan.entry(inner, &known, entry)?;
        }
        for (log, _, place) in &batch.places {
            plan.touch(&known, log);
            if !inner.blobs.0.is_at(place)? {
                return Err(Refusal::BlobGone(*place).into());
            }
        }
        Ok(plan)
    }

    fn touch(&mut self, known: &Logs, log: &LogId) -> &mut Touched {
        self.logs.entry(*log).or_insert_with(|| {
            let state = known.states.get(log).cloned();
            let mut state = state.unwrap_or_else(|| LogState::new(*log));
            if state.number.is_none() {
                state.row.first = state.next();
                state.row.next = state.row.first;
                let fresh = u32::try_from(self.fresh.len()).expect("log numbers are 32 bits");
                state.number = Some(self.numbers + fresh);
                self.fresh.push(*log);
            }
            Touched {
                start: state.end,
                state,
                bytes: Vec::new(),
                rows: Vec::new(),
            }
        })
    }

    fn entry(
        &mut self,
        inner: &Inner,
        known: &Logs,
        entry: &EntryRecord,
    ) -> Result<(), StoreError> {
        if entry.bytes.len() > ENTRY_BYTES_MAX {
            let bytes = u64::try_from(entry.bytes.len()).expect("usize is at most 64 bits");
            return Err(Refusal::TooLarge { bytes }.into());
        }
        let touched = self.touch(known, &entry.log);
        if touched.starts_here(entry) {
            touched.state.row.first = entry.seq;
            touched.state.row.next = entry.seq;
        }
        let expected = touched.state.row.next;
        if entry.seq < expected {
            return touched.check_present(inner, entry);
        }
        if entry.seq > expected {
            let (log, found) = (entry.log, entry.seq);
            return Err(Refusal::Gap {
                log,
                expected,
                found,
            }
            .into());
        }
        touched.add(entry)
    }

    fn take_appends(&mut self) -> Vec<Append> {
        let touched = self.logs.iter_mut();
        touched
            .filter(|(_, touched)| !touched.bytes.is_empty())
            .map(|(log, touched)| Append {
                log: *log,
                start: touched.start,
                bytes: std::mem::take(&mut touched.bytes),
            })
            .collect()
    }

    fn number(&self, inner: &Inner, log: &LogId) -> Result<u32, StoreError> {
        let planned = self.logs.get(log).and_then(|log| log.state.number);
        planned
            .or_else(|| inner.logs().states.get(log)?.number)
            .ok_or(unreadable("log number"))
    }

    fn write(
        &self,
        inner: &Inner,
        write: &WriteTransaction,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        self.write_entries(inner, write)?;
        self.write_blobs(inner, write, batch)?;
        if let Some(PackEnd { pack, end }) = inner.blobs.pack_end() {
            let mut row = pack.to_le_bytes().to_vec();
            row.extend(end.to_le_bytes());
            let mut meta = write.open_table(META).map_err(redb_error)?;
            meta.insert("pack", row.as_slice()).map_err(redb_error)?;
        }
        for table in Table::ALL {
            write_values(inner, write, batch, table)?;
        }
        Ok(())
    }

    fn write_entries(&self, inner: &Inner, write: &WriteTransaction) -> Result<(), StoreError> {
        let mut logs = write.open_table(LOGS).map_err(redb_error)?;
        let mut entries = write.open_table(ENTRIES).map_err(redb_error)?;
        let mut ids = write.open_table(ENTRY_IDS).map_err(redb_error)?;
        let mut control = write.open_table(CONTROL).map_err(redb_error)?;
        for touched in self.logs.values() {
            let number = touched.state.number.ok_or(unreadable("log number"))?;
            for row in &touched.rows {
                let key = key(number, row.seq);
                put_row(inner, &mut entries, "entries", key, row.entry.encode())?;
                ids.insert(row.entry.id.0.as_slice(), key)
                    .map_err(redb_error)?;
                if let Some(before) = row.control {
                    let before = before.to_le_bytes().to_vec();
                    put_row(inner, &mut control, "control", key, before)?;
                }
            }
            let row = touched.state.row.encode();
            put_row(inner, &mut logs, "logs", u64::from(number), row)?;
        }
        Ok(())
    }

    fn write_blobs(
        &self,
        inner: &Inner,
        write: &WriteTransaction,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        let mut blobs = write.open_table(BLOBS).map_err(redb_error)?;
        let mut dropped = write.open_table(DROPPED).map_err(redb_error)?;
        let mut have = Have::default();
        for (log, ordinal, place) in &batch.places {
            let key = key(self.number(inner, log)?, *ordinal);
            put_row(inner, &mut blobs, "blobs", key, place.encode())?;
            dropped.remove(key).map_err(redb_error)?;
            have.set(key, true);
        }
        for (log, ordinal, since) in &batch.drops {
            let key = key(self.number(inner, log)?, *ordinal);
            if blobs.get(key).map_err(redb_error)?.is_some() {
                let since = since.to_le_bytes().to_vec();
                put_row(inner, &mut dropped, "dropped", key, since)?;
                have.set(key, false);
            }
        }
        for (log, ordinal) in &batch.undrops {
            let key = key(self.number(inner, log)?, *ordinal);
            if dropped.remove(key).map_err(redb_error)?.is_some() {
                have.set(key, true);
            }
        }
        for (log, ordinal) in &batch.lost {
            let key = key(self.number(inner, log)?, *ordinal);
            blobs.remove(key).map_err(redb_error)?;
            dropped.remove(key).map_err(redb_error)?;
            have.set(key, false);
        }
        have.write(inner, write)
    }

    fn apply(self, logs: &mut Logs) {
        logs.numbers.extend(self.fresh);
        for (log, touched) in self.logs {
            logs.states.insert(log, touched.state);
        }
    }
}

impl Touched {
    /// Whether an entry is the first of a branch, which starts where its fork is.
    fn starts_here(&self, entry: &EntryRecord) -> bool {
        let row = &self.state.row;
        let empty = row.first == row.next && self.rows.is_empty();
        empty && self.state.pending.is_empty() && entry.log.branch != BranchId::ZERO
    }

    fn check_present(&self, inner: &Inner, entry: &EntryRecord) -> Result<(), StoreError> {
        let planned = self.rows.iter().find(|row| row.seq == entry.seq);
        let id = match planned {
            Some(row) => Some(row.entry.id),
            None => inner.entry_row(&entry.log, entry.seq)?.map(|row| row.id),
        };
        if id == Some(entry.id) {
            return Ok(());
        }
        let (log, seq) = (entry.log, entry.seq);
        Err(Refusal::Taken { log, seq }.into())
    }

    fn add(&mut self, entry: &EntryRecord) -> Result<(), StoreError> {
        let Pending { offset, len, id } = match self.state.pending.remove(&entry.seq) {
            Some(pending) => pending,
            None => self.encode(entry),
        };
        if id != entry.id {
            let (log, seq) = (entry.log, entry.seq);
            return Err(Refusal::Unindexed { log, seq }.into());
        }
        let row = &mut self.state.row;
        row.next = entry.seq.saturating_add(1);
        row.next_item = entry.first_item.saturating_add(entry.items);
        row.next_blob = entry.first_blob.saturating_add(entry.blobs);
        row.head = entry.id;
        row.hlc = entry.hlc;
        let control = entry.control.then_some(row.control);
        row.control += u32::from(entry.control);
        self.rows.push(Row {
            seq: entry.seq,
            entry: EntryRow::new(entry, offset, len),
            control,
        });
        self.state.row.file_bytes = self.state.covered();
        Ok(())
    }

    fn encode(&mut self, entry: &EntryRecord) -> Pending {
        if self.state.end == 0 {
            self.state.end = HEADER_BYTES;
        }
        let offset = self.state.end;
        let len = record::encode(entry, &mut self.bytes);
        self.state.end += u64::from(len);
        let id = entry.id;
        Pending { offset, len, id }
    }
}

/// Changes of the bitmaps, by chunk.
#[derive(Default)]
struct Have(BTreeMap<u64, Vec<(u32, bool)>>);

impl Have {
    fn set(&mut self, place: u64, here: bool) {
        let (log, ordinal) = super::tables::split(place);
        let chunk = key(log, ordinal >> 16);
        self.0.entry(chunk).or_default().push((ordinal, here));
    }

    fn write(self, inner: &Inner, write: &WriteTransaction) -> Result<(), StoreError> {
        let mut table = write.open_table(HAVE).map_err(redb_error)?;
        for (chunk, changes) in self.0 {
            let mut bitmap = match table.get(chunk).map_err(redb_error)? {
                None => RoaringBitmap::new(),
                Some(row) => {
                    let row = inner.sealer.open_row("have", chunk, row.value());
                    let row = row.ok_or(unreadable("row"))?;
                    RoaringBitmap::deserialize_from(row).map_err(|_| unreadable("bitmap"))?
                }
            };
            for (ordinal, here) in changes {
                if here {
                    bitmap.insert(ordinal);
                } else {
                    bitmap.remove(ordinal);
                }
            }
            bitmap.optimize();
            let mut row = Vec::with_capacity(bitmap.serialized_size());
            bitmap
                .serialize_into(&mut row)
                .expect("writing to memory cannot fail");
            put_row(inner, &mut table, "have", chunk, row)?;
        }
        Ok(())
    }
}

fn write_values(
    inner: &Inner,
    write: &WriteTransaction,
    batch: &Batch,
    table: Table,
) -> Result<(), StoreError> {
    let mut puts = batch.puts.iter().filter(|put| put.0 == table).peekable();
    let mut deletes = batch.deletes.iter().filter(|(of, _)| *of == table);
    let first = deletes.next();
    if puts.peek().is_none() && first.is_none() {
        return Ok(());
    }
    let mut values = write.open_table(table.definition()).map_err(redb_error)?;
    for (_, key, value) in puts {
        let sealed = inner.sealer.seal(table, key, value)?;
        values
            .insert(key.as_slice(), sealed.as_slice())
            .map_err(redb_error)?;
    }
    for (_, key) in first.into_iter().chain(deletes) {
        values.remove(key.as_slice()).map_err(redb_error)?;
    }
    Ok(())
}

fn put_row(
    inner: &Inner,
    table: &mut RowTable<'_>,
    name: &str,
    key: u64,
    row: Vec<u8>,
) -> Result<(), StoreError> {
    let row = inner.sealer.close_row(name, key, row);
    table.insert(key, row.as_slice()).map_err(redb_error)?;
    Ok(())
}
