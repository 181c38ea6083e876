//! What the store answers: heads, entries, blob states, sealed values.
//!
//! Every answer is verified: records by the checksum in their file, rows by
//! theirs, sealed values by their tag. What does not verify is named as damage
//! and never handed out. Only what a commit acknowledged is visible.

use std::ops::{Bound, ControlFlow, Range};

use heirloom_protocol::id::{BranchId, DeviceId, EntryId, LogId, SpaceId};
use redb::ReadableTableMetadata;
use roaring::RoaringBitmap;

use super::blobs::BlobPlace;
use super::error::{Damage, StoreError};
use super::index::{Snapshot, redb_error, unreadable};
use super::logs::LogState;
use super::record::{EntryRecord, Fields};
use super::tables::{BLOBS, CONTROL, DROPPED, ENTRIES, ENTRY_IDS, EntryRow, HAVE};
use super::tables::{Table, key, split};
use super::{Inner, Store};

/// Rows that a scan takes out of the database at a time.
const SCAN_ROWS: usize = 512;

/// How far a log is known here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The log.
    pub log: LogId,
    /// Seq of its first entry here, zero but for a branch.
    pub first: u32,
    /// Seq of its last entry.
    pub seq: u32,
    /// The last entry.
    pub id: EntryId,
    /// Its timestamp.
    pub hlc: u64,
    /// Items the log added so far.
    pub items: u32,
    /// Blobs the log announced so far.
    pub blobs: u32,
}

/// Where a blob of a log stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlobState {
    /// Not here.
    Absent,
    /// Here.
    Here(BlobPlace),
    /// Here still, but given up since then (milliseconds); a collection may take it.
    Dropped {
        /// Where it lies.
        place: BlobPlace,
        /// Since when.
        since: u64,
    },
}

/// Which way to walk through keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// From the smallest.
    Rising,
    /// From the largest.
    Falling,
}

/// Entries and heads.
impl Store {
    /// All spaces that have a log here.
    pub fn spaces(&self) -> Vec<SpaceId> {
        let logs = self.0.logs();
        let mut spaces: Vec<_> = logs.states.keys().map(|log| log.space).collect();
        spaces.dedup();
        spaces
    }

    /// The heads of a space's logs, in order of their names. Logs without an entry have none.
    pub fn logs(&self, space: SpaceId) -> Vec<Head> {
        let logs = self.0.logs();
        let heads = logs.states.range(all_of(space));
        heads.filter_map(|(_, state)| head(state)).collect()
    }

    /// The head of a log, `None` where it has no entry.
    pub fn head(&self, log: &LogId) -> Option<Head> {
        self.0.logs().states.get(log).and_then(head)
    }

    /// An entry, `None` where the log does not reach it.
    pub fn entry(&self, log: &LogId, seq: u32) -> Result<Option<EntryRecord>, StoreError> {
        let Some(row) = self.0.entry_row(log, seq)? else {
            return Ok(None);
        };
        self.0.record(log, seq, &row).map(Some)
    }

    /// The name of an entry, `None` where the log does not reach it.
    pub fn entry_id(&self, log: &LogId, seq: u32) -> Result<Option<EntryId>, StoreError> {
        Ok(self.0.entry_row(log, seq)?.map(|row| row.id))
    }

    /// What the index says of every entry of a log, in order: name, timestamp, items and blobs
    /// before it.
    pub fn steps(&self, log: &LogId) -> Result<Vec<(EntryId, u64, u32, u32)>, StoreError> {
        let inner = &*self.0;
        let Some((number, seqs)) = inner.extent(log) else {
            return Ok(Vec::new());
        };
        let snapshot = inner.index.snapshot()?;
        let range = (
            Bound::Included(key(number, seqs.start)),
            Bound::Excluded(key(number, seqs.end)),
        );
        let mut steps = Vec::with_capacity(seqs.len());
        snapshot.rows(&inner.sealer, ENTRIES, range, |_, row| {
            let row = EntryRow::decode(row).ok_or(unreadable("entry row"))?;
            steps.push((row.id, row.hlc, row.first_item, row.first_blob));
            Ok(())
        })?;
        if steps.len() == seqs.len() {
            Ok(steps)
        } else {
            Err(unreadable("entry row"))
        }
    }

    /// Where an entry stands, by its name.
    pub fn locate(&self, id: &EntryId) -> Result<Option<(LogId, u32)>, StoreError> {
        let inner = &*self.0;
        let snapshot = inner.index.snapshot()?;
        let found = snapshot.read(|read| {
            let ids = read.open_table(ENTRY_IDS).map_err(redb_error)?;
            let found = ids.get(id.0.as_slice()).map_err(redb_error)?;
            Ok(found.map(|key| key.value()))
        })?;
        let Some((number, seq)) = found.map(split) else {
            return Ok(None);
        };
        let log = inner.log_of(number)?;
        // The table of names has no checksums of its own.
        match inner.entry_row(&log, seq)? {
            Some(row) if row.id == *id => Ok(Some((log, seq))),
            _ => Err(unreadable("entry name")),
        }
    }

    /// An entry, by its name.
    pub fn entry_by_id(&self, id: &EntryId) -> Result<Option<EntryRecord>, StoreError> {
        let Some((log, seq)) = self.locate(id)? else {
            return Ok(None);
        };
        self.entry(&log, seq)
    }

    /// Entries of a log from a seq on, until their bytes exceed `max_bytes`; at least one where
    /// there is one.
    pub fn entries(
        &self,
        log: &LogId,
        from: u32,
        max_bytes: usize,
    ) -> Result<Vec<EntryRecord>, StoreError> {
        let inner = &*self.0;
        let Some((number, seqs)) = inner.extent(log) else {
            return Ok(Vec::new());
        };
        let mut places = Vec::new();
        let mut bytes = 0_usize;
        let snapshot = inner.index.snapshot()?;
        for seq in from.max(seqs.start)..seqs.end {
            let row = inner.row_in(&snapshot, number, seq)?;
            bytes = bytes.saturating_add(usize::try_from(row.len).unwrap_or(usize::MAX));
            if bytes > max_bytes && !places.is_empty() {
                break;
            }
            places.push((seq, row));
        }
        drop(snapshot);
        let records = places.iter().map(|(seq, row)| inner.record(log, *seq, row));
        records.collect()
    }

    /// All control entries of a space, log by log and in order within each. Reads no others, so
    /// that starting costs what the family's history costs and not what its photos do.
    pub fn control_entries(&self, space: SpaceId) -> Result<Vec<EntryRecord>, StoreError> {
        let inner = &*self.0;
        let logs: Vec<_> = {
            let logs = inner.logs();
            let states = logs.states.range(all_of(space));
            let states = states.filter_map(|(log, state)| Some((*log, state.number?, &state.row)));
            states
                .map(|(log, number, row)| (log, number, row.next, row.control))
                .collect()
        };
        let snapshot = inner.index.snapshot()?;
        let mut places = Vec::new();
        for (log, number, next, count) in logs {
            let mut found = 0_u32;
            let range = (
                Bound::Included(key(number, 0)),
                Bound::Excluded(key(number, next)),
            );
            snapshot.rows(&inner.sealer, CONTROL, range, |key, before| {
                if Fields(before).u32() != Some(found) {
                    return Err(unreadable("control entries"));
                }
                found += 1;
                places.push((log, number, split(key).1));
                Ok(())
            })?;
            if found != count {
                return Err(unreadable("control entries"));
            }
        }
        let mut entries = Vec::with_capacity(places.len());
        for (log, number, seq) in places {
            let row = inner.row_in(&snapshot, number, seq)?;
            entries.push(inner.record(&log, seq, &row)?);
        }
        Ok(entries)
    }

    /// The entry that announces a blob of a log.
    pub fn entry_with_blob(
        &self,
        log: &LogId,
        ordinal: u32,
    ) -> Result<Option<EntryRecord>, StoreError> {
        let record = self.0.last_where(log, |row| row.first_blob <= ordinal)?;
        Ok(record.filter(|entry| ordinal - entry.first_blob < entry.blobs))
    }

    /// The entry that adds an item of a log.
    pub fn entry_with_item(
        &self,
        log: &LogId,
        ordinal: u32,
    ) -> Result<Option<EntryRecord>, StoreError> {
        let record = self.0.last_where(log, |row| row.first_item <= ordinal)?;
        Ok(record.filter(|entry| ordinal - entry.first_item < entry.items))
    }

    /// The logs that hold entries which were never taken in, with their seqs. Empty is the normal
    /// state. Afterwards the caller reads them with [`Store::unindexed`], accepts them and commits
    /// them as if they had just arrived; no entry of its own may be recorded before.
    pub fn unindexed_logs(&self) -> Result<Vec<(LogId, Range<u32>)>, StoreError> {
        let inner = &*self.0;
        {
            let _writer = inner.writer();
            inner.reconcile()?;
        }
        let logs = inner.logs();
        let logs = logs
            .states
            .iter()
            .map(|(log, state)| (*log, state.unindexed()));
        Ok(logs.filter(|(_, seqs)| !seqs.is_empty()).collect())
    }

    /// Entries of a log that were never taken in, from a seq on, until their bytes exceed
    /// `max_bytes`; at least one where there is one.
    pub fn unindexed(
        &self,
        log: &LogId,
        from: u32,
        max_bytes: usize,
    ) -> Result<Vec<EntryRecord>, StoreError> {
        let inner = &*self.0;
        let pending: Vec<_> = {
            let logs = inner.logs();
            let Some(state) = logs.states.get(log) else {
                return Ok(Vec::new());
            };
            let seqs = state.unindexed();
            let pending = state.pending.range(from.max(seqs.start)..);
            let mut bytes = 0_usize;
            pending
                .take_while(|(seq, _)| seqs.contains(seq))
                .take_while(|(seq, pending)| {
                    bytes = bytes.saturating_add(usize::try_from(pending.len).unwrap_or(bytes));
                    bytes <= max_bytes || **seq == from.max(seqs.start)
                })
                .map(|(seq, pending)| (*seq, *pending))
                .collect()
        };
        let mut entries = Vec::with_capacity(pending.len());
        for (seq, pending) in pending {
            let record = inner.files.read(log, pending.offset, pending.len)?;
            let record = record.filter(|record| record.seq == seq && record.id == pending.id);
            let id = Some(pending.id);
            entries.push(record.ok_or(Damage::Entry { log: *log, seq, id })?);
        }
        Ok(entries)
    }
}

/// Blobs, as far as the index knows them.
impl Store {
    /// Where a blob of a log stands.
    pub fn blob_state(&self, log: &LogId, ordinal: u32) -> Result<BlobState, StoreError> {
        let inner = &*self.0;
        let Some(number) = inner.number(log) else {
            return Ok(BlobState::Absent);
        };
        let place = key(number, ordinal);
        let snapshot = inner.index.snapshot()?;
        let Some(row) = snapshot.row(&inner.sealer, BLOBS, place)? else {
            let have = inner.have(&snapshot, number, ordinal >> 16)?;
            if have.contains(ordinal) {
                return Err(Damage::Place { log: *log, ordinal }.into());
            }
            return Ok(BlobState::Absent);
        };
        let here = BlobPlace::decode(&row).ok_or(unreadable("row"))?;
        match snapshot.row(&inner.sealer, DROPPED, place)? {
            None => Ok(BlobState::Here(here)),
            Some(row) => {
                let since = Fields(&row).u64().ok_or(unreadable("row"))?;
                Ok(BlobState::Dropped { place: here, since })
            }
        }
    }

    /// The ordinals of a log's blobs that are here and not dropped. Costs a read for each 65,536
    /// blobs of the log.
    pub fn here(&self, log: &LogId) -> Result<RoaringBitmap, StoreError> {
        let inner = &*self.0;
        let mut all = RoaringBitmap::new();
        let Some(number) = inner.number(log) else {
            return Ok(all);
        };
        let range = (
            Bound::Included(key(number, 0)),
            Bound::Included(key(number, u32::MAX)),
        );
        let snapshot = inner.index.snapshot()?;
        snapshot.rows(&inner.sealer, HAVE, range, |_, row| {
            all |= RoaringBitmap::deserialize_from(row).map_err(|_| unreadable("bitmap"))?;
            Ok(())
        })?;
        Ok(all)
    }

    /// All places of a log's blobs, dropped ones included, in order of their ordinals.
    pub fn places(
        &self,
        log: &LogId,
        mut each: impl FnMut(u32, BlobPlace),
    ) -> Result<(), StoreError> {
        let inner = &*self.0;
        let Some(number) = inner.number(log) else {
            return Ok(());
        };
        let range = (
            Bound::Included(key(number, 0)),
            Bound::Included(key(number, u32::MAX)),
        );
        let snapshot = inner.index.snapshot()?;
        snapshot.rows(&inner.sealer, BLOBS, range, |key, row| {
            each(
                split(key).1,
                BlobPlace::decode(row).ok_or(unreadable("row"))?,
            );
            Ok(())
        })
    }
}

/// Sealed values.
impl Store {
    /// The value under a key.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let inner = &*self.0;
        let snapshot = inner.index.snapshot()?;
        let sealed = snapshot.read(|read| {
            let values = read.open_table(table.definition()).map_err(redb_error)?;
            let found = values.get(key).map_err(redb_error)?;
            Ok(found.map(|sealed| sealed.value().to_vec()))
        })?;
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let value = inner.sealer.open(table, key, &sealed);
        let damage = || Damage::Value {
            table,
            key: key.to_vec(),
        };
        Ok(Some(value.ok_or_else(damage)?))
    }

    /// How many values a table has.
    pub fn count(&self, table: Table) -> Result<u64, StoreError> {
        self.0.index.snapshot()?.read(|read| {
            let values = read.open_table(table.definition()).map_err(redb_error)?;
            values.len().map_err(redb_error)
        })
    }

    /// Shows the values whose keys begin with a prefix, by rising keys, as of one moment.
    /// A damaged value is shown as its damage and does not end the scan.
    pub fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        each: impl FnMut(&[u8], Result<Vec<u8>, Damage>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let end = after_prefix(prefix);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.scan_range(table, (Bound::Included(prefix), end), Order::Rising, each)
    }

    /// Shows the values of a range of keys, as of one moment.
    pub fn scan_range(
        &self,
        table: Table,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        order: Order,
        mut each: impl FnMut(&[u8], Result<Vec<u8>, Damage>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let inner = &*self.0;
        let snapshot = inner.index.snapshot()?;
        let mut low = range.0.map(<[u8]>::to_vec);
        let mut high = range.1.map(<[u8]>::to_vec);
        loop {
            let rows = sealed_rows(&snapshot, table, &low, &high, order)?;
            for (key, sealed) in &rows {
                let value = inner.sealer.open(table, key, sealed);
                let damage = || Damage::Value {
                    table,
                    key: key.clone(),
                };
                if each(key, value.ok_or_else(damage)).is_break() {
                    return Ok(());
                }
            }
            let full = rows.len() == SCAN_ROWS;
            let Some((last, _)) = rows.into_iter().next_back().filter(|_| full) else {
                return Ok(());
            };
            match order {
                Order::Rising => low = Bound::Excluded(last),
                Order::Falling => high = Bound::Excluded(last),
            }
        }
    }
}

type SealedRows = Vec<(Vec<u8>, Vec<u8>)>;

fn sealed_rows(
    snapshot: &Snapshot,
    table: Table,
    low: &Bound<Vec<u8>>,
    high: &Bound<Vec<u8>>,
    order: Order,
) -> Result<SealedRows, StoreError> {
    if is_empty(low, high) {
        return Ok(Vec::new());
    }
    let range = (
        low.as_ref().map(Vec::as_slice),
        high.as_ref().map(Vec::as_slice),
    );
    snapshot.read(|read| {
        let values = read.open_table(table.definition()).map_err(redb_error)?;
        let mut found = values.range::<&[u8]>(range).map_err(redb_error)?;
        let mut rows = Vec::new();
        while rows.len() < SCAN_ROWS {
            let row = match order {
                Order::Rising => found.next(),
                Order::Falling => found.next_back(),
            };
            let Some(row) = row else { break };
            let (key, value) = row.map_err(redb_error)?;
            rows.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(rows)
    })
}

/// Whether no key lies between; the database panics on bounds that cross.
fn is_empty(low: &Bound<Vec<u8>>, high: &Bound<Vec<u8>>) -> bool {
    match (low, high) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high))
        | (Bound::Excluded(low), Bound::Included(high)) => low >= high,
    }
}

/// The first key after all that begin with a prefix.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

fn all_of(space: SpaceId) -> std::ops::RangeInclusive<LogId> {
    let log = |device, inc, branch| LogId {
        space,
        device: DeviceId([device; 32]),
        inc,
        branch: BranchId([branch; 8]),
    };
    log(0, 0, 0)..=log(u8::MAX, u64::MAX, u8::MAX)
}

fn head(state: &LogState) -> Option<Head> {
    let row = &state.row;
    (row.next > row.first).then(|| Head {
        log: row.log,
        first: row.first,
        seq: row.next - 1,
        id: row.head,
        hlc: row.hlc,
        items: row.next_item,
        blobs: row.next_blob,
    })
}

impl Inner {
    pub(super) fn number(&self, log: &LogId) -> Option<u32> {
        self.logs().states.get(log)?.number
    }

    pub(super) fn log_of(&self, number: u32) -> Result<LogId, StoreError> {
        let index = usize::try_from(number).expect("usize holds 32 bits");
        let log = self.logs().numbers.get(index).copied();
        log.ok_or(unreadable("log number"))
    }

    /// The number of a log and the seqs it has.
    fn extent(&self, log: &LogId) -> Option<(u32, Range<u32>)> {
        let logs = self.logs();
        let state = logs.states.get(log)?;
        Some((state.number?, state.row.first..state.row.next))
    }

    pub(super) fn entry_row(&self, log: &LogId, seq: u32) -> Result<Option<EntryRow>, StoreError> {
        let Some((number, seqs)) = self.extent(log) else {
            return Ok(None);
        };
        if !seqs.contains(&seq) {
            return Ok(None);
        }
        let snapshot = self.index.snapshot()?;
        self.row_in(&snapshot, number, seq).map(Some)
    }

    /// The row of an entry that must be there.
    pub(super) fn row_in(
        &self,
        snapshot: &Snapshot,
        number: u32,
        seq: u32,
    ) -> Result<EntryRow, StoreError> {
        let row = snapshot.row(&self.sealer, ENTRIES, key(number, seq))?;
        let row = row.and_then(|row| EntryRow::decode(&row));
        row.ok_or(unreadable("entry row"))
    }

    /// The record that a row points to, verified.
    pub(super) fn record(
        &self,
        log: &LogId,
        seq: u32,
        row: &EntryRow,
    ) -> Result<EntryRecord, StoreError> {
        let record = self.files.read(log, row.offset, row.len)?;
        let record = record.filter(|record| record.seq == seq && record.id == row.id);
        let (log, id) = (*log, Some(row.id));
        Ok(record.ok_or(Damage::Entry { log, seq, id })?)
    }

    /// The place of a blob, dropped or not.
    pub(super) fn place(&self, number: u32, ordinal: u32) -> Result<Option<BlobPlace>, StoreError> {
        let snapshot = self.index.snapshot()?;
        let row = snapshot.row(&self.sealer, BLOBS, key(number, ordinal))?;
        Ok(row.and_then(|row| BlobPlace::decode(&row)))
    }

    /// Whether the bitmap agrees with the place of a blob: listed, or dropped and not listed.
    pub(super) fn is_listed(&self, number: u32, ordinal: u32) -> Result<bool, StoreError> {
        let place = key(number, ordinal);
        let snapshot = self.index.snapshot()?;
        let here = snapshot.row(&self.sealer, BLOBS, place)?.is_some();
        let dropped = snapshot.row(&self.sealer, DROPPED, place)?.is_some();
        let listed = self
            .have(&snapshot, number, ordinal >> 16)?
            .contains(ordinal);
        Ok(listed == (here && !dropped))
    }

    /// The last entry of a log whose row satisfies a condition that holds up to some point.
    fn last_where(
        &self,
        log: &LogId,
        holds: impl Fn(&EntryRow) -> bool,
    ) -> Result<Option<EntryRecord>, StoreError> {
        let Some((number, seqs)) = self.extent(log) else {
            return Ok(None);
        };
        let snapshot = self.index.snapshot()?;
        let mut found = None;
        let (mut low, mut high) = (seqs.start, seqs.end);
        while low < high {
            let middle = low + (high - low) / 2;
            let row = self.row_in(&snapshot, number, middle)?;
            if holds(&row) {
                found = Some((middle, row));
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        drop(snapshot);
        found
            .map(|(seq, row)| self.record(log, seq, &row))
            .transpose()
    }

    fn have(
        &self,
        snapshot: &Snapshot,
        number: u32,
        chunk: u32,
    ) -> Result<RoaringBitmap, StoreError> {
        match snapshot.row(&self.sealer, HAVE, key(number, chunk))? {
            None => Ok(RoaringBitmap::new()),
            Some(row) => {
                RoaringBitmap::deserialize_from(row.as_slice()).map_err(|_| unreadable("bitmap"))
            }
        }
    }
}
