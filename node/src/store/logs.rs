//! The logs as files: where they lie, how they grow, what is in them after a crash.
//!
//! An append either is on disk as a whole in every file it touches, or the files
//! are cut back to where they were. Where even that fails, nothing more is
//! committed until it could be done: after a failed sync nobody knows what the
//! disk holds. Bytes that the index covers are never cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heirloom_protocol::id::{BranchId, DeviceId, EntryId, LogId, SpaceId};

use super::error::{Damage, StoreError};
use super::fs::{self, Disk};
use super::record::{self, EntryRecord, Found, HEADER_BYTES, Scan};
use super::tables::LogRow;

/// Log files kept open.
const OPEN_FILES: usize = 64;

/// A whole record in a file that the index does not list yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pending {
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) id: EntryId,
}

/// A log as this process knows it.
#[derive(Clone, Debug)]
pub(crate) struct LogState {
    /// Its number in the index, from its first commit on.
    pub(crate) number: Option<u32>,
    /// What the index says.
    pub(crate) row: LogRow,
    /// Bytes in the file, zero where there is none.
    pub(crate) end: u64,
    /// Records that wait to be indexed, by seq.
    pub(crate) pending: BTreeMap<u32, Pending>,
}

impl LogState {
    pub(crate) fn new(log: LogId) -> Self {
        Self {
            number: None,
            row: LogRow::new(log),
            end: 0,
            pending: BTreeMap::new(),
        }
    }

    /// The pending seqs that follow the indexed ones without a gap.
    pub(crate) fn unindexed(&self) -> std::ops::Range<u32> {
        let start = self.next();
        let mut end = start;
        while self.pending.contains_key(&end) {
            end += 1;
        }
        start..end
    }

    /// The log, the seq that is missing and the last one held, where entries wait behind a gap.
    pub(crate) fn stranded(&self) -> Option<(LogId, u32, u32)> {
        let missing = self.unindexed().end;
        let (last, _) = self.pending.last_key_value()?;
        (*last >= missing).then_some((self.row.log, missing, *last))
    }

    /// The seq that the next entry must have. A branch starts where its fork is.
    pub(crate) fn next(&self) -> u32 {
        let is_new_branch = self.number.is_none() && self.row.log.branch != BranchId::ZERO;
        match self.pending.first_key_value() {
            Some((first, _)) if is_new_branch => *first,
            _ => self.row.next,
        }
    }

    /// The part of the file that needs no look when opening.
    pub(crate) fn covered(&self) -> u64 {
        let pending = self.pending.values().map(|pending| pending.offset).min();
        pending.unwrap_or(self.end)
    }
}

/// Bytes to append to one log.
pub(crate) struct Append {
    pub(crate) log: LogId,
    /// The file's length before.
    pub(crate) start: u64,
    /// Encoded records; a new file's header is put before them here.
    pub(crate) bytes: Vec<u8>,
}

/// What opening found in the log files beside whole records in order.
#[derive(Default, Debug)]
pub(crate) struct Findings {
    pub(crate) damages: Vec<Damage>,
    pub(crate) torn_bytes: u64,
    pub(crate) set_aside: Vec<PathBuf>,
}

/// How far the index is to be trusted while a file is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trust {
    /// What it does not cover was never acknowledged: a torn tail goes.
    Index,
    /// It is being made again: a torn tail is kept aside.
    FilesAlone,
}

/// The folder of log files.
pub(crate) struct LogFiles {
    root: PathBuf,
    open: Mutex<BTreeMap<LogId, Arc<Disk>>>,
    /// Logs that must be cut back to a length before anything else is appended.
    suspect: Mutex<BTreeMap<LogId, u64>>,
}

impl LogFiles {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            open: Mutex::default(),
            suspect: Mutex::default(),
        }
    }

    /// Where a log's file lies.
    pub(crate) fn path(&self, log: &LogId) -> PathBuf {
        let name = format!("{}-{:016x}-{}.log", log.device, log.inc, log.branch);
        self.root.join(log.space.to_string()).join(name)
    }

    /// All logs that have a file.
    pub(crate) fn list(&self) -> io::Result<BTreeSet<LogId>> {
        let mut logs = BTreeSet::new();
        for folder in fs::list(&self.root)? {
            let Some(space) = SpaceId::from_hex(&folder) else {
                continue;
            };
            for name in fs::list(&self.root.join(&folder))? {
                logs.extend(log_of_name(space, &name));
            }
        }
        Ok(logs)
    }

    /// The open file of a log.
    pub(crate) fn file(&self, log: &LogId) -> io::Result<Arc<Disk>> {
        let mut open = lock(&self.open);
        if let Some(disk) = open.get(log) {
            return Ok(Arc::clone(disk));
        }
        let disk = Arc::new(Disk::open_to_write(&self.path(log))?);
        if open.len() >= OPEN_FILES {
            open.clear();
        }
        open.insert(*log, Arc::clone(&disk));
        Ok(disk)
    }

    fn close(&self, log: &LogId) {
        lock(&self.open).remove(log);
    }

    /// Reads the record at a place the index gave, or nothing if it is not there or the disk cannot
    /// read it.
    pub(crate) fn read(
        &self,
        log: &LogId,
        offset: u64,
        len: u32,
    ) -> Result<Option<EntryRecord>, StoreError> {
        let mut raw = vec![0; usize::try_from(len).expect("usize holds 32 bits")];
        let read = self
            .file(log)
            .and_then(|file| file.read_at(offset, &mut raw));
        match read {
            Ok(()) => Ok(record::decode(log, &raw)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::InvalidData
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The entry at a place in which one bit is wrong, put right in memory.
    pub(crate) fn mended(
        &self,
        log: &LogId,
        offset: u64,
        len: u32,
    ) -> Result<Option<EntryRecord>, StoreError> {
        if !self.path(log).exists() {
            return Ok(None);
        }
        let mut raw = vec![0; usize::try_from(len).expect("usize holds 32 bits")];
        let file = self.file(log)?;
        if offset.saturating_add(u64::from(len)) > file.len()? {
            return Ok(None);
        }
        match file.read_at(offset, &mut raw) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            read => {
                read?;
                Ok(record::mend(log, &raw))
            }
        }
    }

    /// Whether a log's file begins as its name says.
    pub(crate) fn has_header(&self, log: &LogId) -> Result<bool, StoreError> {
        let good = record::header(log);
        let file = self.file(log)?;
        if file.len()? < HEADER_BYTES {
            return Ok(false);
        }
        let mut header = vec![0; good.len()];
        match file.read_at(0, &mut header) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(false),
            read => {
                read?;
                Ok(header == good)
            }
        }
    }

    /// Writes a damaged header again: the file's name holds all that it says.
    pub(crate) fn write_header(&self, log: &LogId) -> Result<(), StoreError> {
        let file = self.file(log)?;
        file.write_at(0, &record::header(log))?;
        Ok(file.sync()?)
    }

    /// Writes a record over the place where the same one was damaged, durably.
    pub(crate) fn overwrite(
        &self,
        record: &EntryRecord,
        offset: u64,
        len: u32,
    ) -> Result<bool, StoreError> {
        let mut raw = Vec::new();
        if record::encode(record, &mut raw) != len {
            return Ok(false);
        }
        let file = self.file(&record.log)?;
        file.write_at(offset, &raw)?;
        file.sync()?;
        Ok(true)
    }

    /// Appends to several logs; durable when this returns, undone when it fails.
    pub(crate) fn append(&self, appends: &[Append]) -> Result<(), StoreError> {
        let result = self.append_all(appends);
        if result.is_err() {
            self.undo(appends);
        }
        Ok(result?)
    }

    fn append_all(&self, appends: &[Append]) -> io::Result<()> {
        let mut folders = BTreeSet::new();
        for append in appends {
            if append.start == 0 {
                folders.insert(self.create(append)?);
            } else {
                self.file(&append.log)?
                    .write_at(append.start, &append.bytes)?;
            }
        }
        for append in appends {
            self.file(&append.log)?.sync()?;
        }
        for folder in folders {
            fs::sync_folder(&folder)?;
        }
        Ok(())
    }

    fn create(&self, append: &Append) -> io::Result<PathBuf> {
        let path = self.path(&append.log);
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        fs::create_folder(&folder)?;
        let disk = Disk::create(&path)?;
        disk.write_at(
            0,
            &[record::header(&append.log), append.bytes.clone()].concat(),
        )?;
        lock(&self.open).insert(append.log, Arc::new(disk));
        Ok(folder)
    }

    /// Cuts the logs of appends back to where they started.
    pub(crate) fn undo(&self, appends: &[Append]) {
        for append in appends {
            if self.cut(&append.log, append.start).is_err() {
                lock(&self.suspect).insert(append.log, append.start);
            }
        }
    }

    /// Cuts suspect logs back, or says why nothing may be committed. Before that their files hold
    /// records that must not be taken for entries.
    pub(crate) fn heal(&self) -> Result<(), StoreError> {
        loop {
            let first = lock(&self.suspect)
                .first_key_value()
                .map(|(log, len)| (*log, *len));
            let Some((log, len)) = first else {
                return Ok(());
            };
            self.cut(&log, len)?;
            lock(&self.suspect).remove(&log);
        }
    }

    fn cut(&self, log: &LogId, len: u64) -> io::Result<()> {
        if len == 0 {
            self.close(log);
            let path = self.path(log);
            if path.exists() {
                fs::remove(&path)?;
                fs::sync_folder_of(&path)?;
            }
            return Ok(());
        }
        let file = self.file(log)?;
        file.set_len(len)?;
        file.sync()
    }

    /// Reads what the index does not cover and brings the file into order: pending records are
    /// noted, a torn tail is cut off, damage between records stays and is reported.
    pub(crate) fn recover(
        &self,
        state: &mut LogState,
        trust: Trust,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let log = state.row.log;
        let path = self.path(&log);
        state.pending.clear();
        state.end = if path.exists() {
            Disk::open(&path)?.len()?
        } else {
            0
        };
        if state.end == 0 {
            return Ok(self.cut(&log, 0)?);
        }
        if state.row.file_bytes == state.end {
            return Ok(());
        }
        let from = state.row.file_bytes.max(HEADER_BYTES);
        let file = self.file(&log)?;
        let mut torn = (state.end < HEADER_BYTES).then_some(0);
        let mut scan = Scan::new(&file, log, from, state.end);
        while let Some(found) = scan.next()? {
            match found {
                Found::Record {
                    record,
                    offset,
                    len,
                } => {
                    if record.seq >= state.row.next {
                        let id = record.id;
                        let pending = Pending { offset, len, id };
                        state.pending.entry(record.seq).or_insert(pending);
                    }
                }
                Found::Gap { offset, len } => findings.damages.push(Damage::Log {
                    log,
                    offset,
                    bytes: len,
                }),
                Found::Torn { offset } => torn = Some(offset),
            }
        }
        if state.row.next == 0 && state.pending.is_empty() {
            // Not one whole record and no header that anybody relied on.
            torn = Some(0);
        }
        if let Some(offset) = torn {
            self.cut_torn(state, offset, trust, findings)?;
        }
        self.check_header(state, findings)?;
        if !state.pending.is_empty() {
            // This was read from a cache that perhaps never reached the disk, and soon the index
            // relies on it. After a failed sync the pages count as clean: only writing them again
            // makes the next sync mean something.
            if trust == Trust::Index {
                write_again(&file, from, state.end)?;
            }
            file.sync()?;
            fs::sync_folder_of(&path)?;
        }
        Ok(())
    }

    fn cut_torn(
        &self,
        state: &mut LogState,
        offset: u64,
        trust: Trust,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let log = state.row.log;
        findings.torn_bytes += state.end - offset;
        if trust == Trust::FilesAlone && state.end > HEADER_BYTES {
            let path = self.path(&log);
            let kept = keep_tail(&path, offset, state.end)?;
            findings.set_aside.push(kept);
            findings.damages.push(Damage::Log {
                log,
                offset,
                bytes: state.end - offset,
            });
        }
        self.cut(&log, offset)?;
        state.end = offset;
        Ok(())
    }

    /// Puts a damaged header right and notes it.
    fn check_header(&self, state: &LogState, findings: &mut Findings) -> Result<(), StoreError> {
        if state.end == 0 {
            return Ok(());
        }
        let log = state.row.log;
        if !self.has_header(&log)? {
            findings.damages.push(Damage::Log {
                log,
                offset: 0,
                bytes: HEADER_BYTES,
            });
            self.write_header(&log)?;
        }
        Ok(())
    }
}

/// Copies the end of a file beside it.
fn keep_tail(path: &Path, offset: u64, end: u64) -> Result<PathBuf, StoreError> {
    let mut number = 1_u32;
    let kept = loop {
        let kept = path.with_extension(format!("torn-{number}"));
        if !kept.exists() {
            break kept;
        }
        number += 1;
    };
    let copy = Disk::create(&kept)?;
    pieces(&Disk::open(path)?, offset, end, |at, piece| {
        copy.write_at(at - offset, piece)
    })?;
    copy.sync()?;
    fs::sync_folder_of(&kept)?;
    Ok(kept)
}

fn write_again(file: &Disk, from: u64, end: u64) -> io::Result<()> {
    pieces(file, from, end, |at, piece| file.write_at(at, piece))
}

/// Shows a part of a file in pieces.
fn pieces(
    file: &Disk,
    from: u64,
    end: u64,
    mut each: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; 1024 * 1024];
    let mut at = from;
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(buffer.len());
        let piece = left.min(buffer.len());
        file.read_at(at, &mut buffer[..piece])?;
        each(at, &buffer[..piece])?;
        at += u64::try_from(piece).expect("a buffer fits");
    }
    Ok(())
}

fn log_of_name(space: SpaceId, name: &str) -> Option<LogId> {
    let mut parts = name.strip_suffix(".log")?.split('-');
    let log = LogId {
        space,
        device: DeviceId::from_hex(parts.next()?)?,
        inc: hex_number(parts.next()?)?,
        branch: BranchId::from_hex(parts.next()?)?,
    };
    parts.next().is_none().then_some(log)
}

fn hex_number(text: &str) -> Option<u64> {
    let number = u64::from_str_radix(text, 16).ok()?;
    (format!("{number:016x}") == text).then_some(number)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
