//! The database file: opened with care, reopened when it failed, never trusted.
//!
//! Everything in it can be made again from the logs and the blobs, so an
//! unusable file is a fact to report, not an error. The database may panic on
//! damaged pages: every access runs behind an unwind boundary. After a failed
//! write it refuses all others until it was closed and opened again.

use std::cell::Cell;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use std::{fmt, io};

use redb::backends::FileBackend;
use redb::{
    BackendError, Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase,
    StorageBackend, StorageError, WriteTransaction,
};

use super::error::{Damage, StoreError};
use super::fs::{self, Change, Disk, note};
use super::pack::PackEnd;
use super::record::Fields;
use super::seal::Sealer;
use super::tables::{BLOBS, CONTROL, DROPPED, ENTRIES, ENTRY_IDS, HAVE, LOGS};
use super::tables::{META, SCHEMA, Table};

/// Pages kept in memory. An index of 100,000 assets has 71 MB; a process that had filled and
/// scanned one was 55 MB in memory, of the 150 that an idle node may take.
const CACHE_BYTES: usize = 48 * 1024 * 1024;
/// How often and in what rhythm the check of all pages waits for other reads to end.
const CHECK_ATTEMPTS: u32 = 200;
const CHECK_PAUSE: Duration = Duration::from_millis(10);

/// Why a database file is of no use: it is set aside and the index made again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unusable {
    /// The file is gone although there are logs.
    Missing,
    /// The database does not open.
    Unreadable,
    /// It was sealed under another store key.
    Foreign,
    /// Its tables have another layout.
    Schema,
    /// It lists entries that the log files do not hold.
    Ahead,
    /// Its rows do not match their checksums.
    Rows,
    /// Its making again was asked for.
    Asked,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it was missing",
            Self::Unreadable => "it could not be read",
            Self::Foreign => "it belonged to another store key",
            Self::Schema => "it had another layout",
            Self::Ahead => "it listed entries that the logs do not hold",
            Self::Rows => "its rows were damaged",
            Self::Asked => "this was asked for",
        })
    }
}

/// How a write ended that did not succeed.
pub(crate) enum Failed {
    /// The database is as before.
    Before(StoreError),
    /// The commit itself failed: only opening again tells.
    Unknown(StoreError),
}

impl Failed {
    pub(crate) fn into_error(self) -> StoreError {
        match self {
            Self::Before(error) | Self::Unknown(error) => error,
        }
    }
}

/// The open database.
pub(crate) struct Index {
    path: PathBuf,
    database: RwLock<Option<Database>>,
    failed: AtomicBool,
}

impl Index {
    /// Opens or creates the database file.
    pub(crate) fn open(path: &Path, sealer: &Sealer) -> Result<Result<Self, Unusable>, StoreError> {
        let database = match open_database(path)? {
            Ok(database) => database,
            Err(unusable) => return Ok(Err(unusable)),
        };
        let prepared = caught(|| prepare(&database, sealer));
        let index = Self {
            path: path.to_owned(),
            database: RwLock::new(Some(database)),
            failed: AtomicBool::new(false),
        };
        match prepared {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(unusable))) => return Ok(Err(unusable)),
            Ok(Err(StoreError::Damaged(_))) | Err(_) => return Ok(Err(Unusable::Unreadable)),
            Ok(Err(error)) => return Err(error),
        }
        fs::sync_folder_of(path)?;
        Ok(Ok(index))
    }

    /// Whether a write failed since the database was opened.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    fn fail(&self) -> bool {
        self.failed.store(true, Ordering::Release);
        false
    }

    /// A consistent view; short-lived, because the file cannot shrink under it.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.opened()?;
        let database = self.lock();
        let database = database.as_ref().ok_or(unreadable("closed"))?;
        let read = guarded(|| database.begin_read().map_err(redb_error))?;
        Ok(Snapshot { read })
    }

    fn lock(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the database if the last attempt to do so failed.
    fn opened(&self) -> Result<(), StoreError> {
        if self.lock().is_some() {
            return Ok(());
        }
        let mut slot = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some(open_database(&self.path)?.map_err(|_| unreadable("file"))?);
        }
        Ok(())
    }

    /// Closes and opens the database after a failed write. As long as the disk is full, or is not
    /// to be written to, the old one stays, because it still answers reads.
    pub(crate) fn reopen(&self) -> Result<(), StoreError> {
        if fs::is_low(&self.path) {
            return Err(StoreError::DiskFull);
        }
        drop(Disk::open_to_write(&self.path)?);
        let mut slot = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        close(&mut slot);
        *slot = Some(open_database(&self.path)?.map_err(|_| unreadable("file"))?);
        self.failed.store(false, Ordering::Release);
        Ok(())
    }

    /// Sets the file aside and opens a new one in its place; where the old one is now.
    pub(crate) fn replace(&self, sealer: &Sealer) -> Result<Option<PathBuf>, StoreError> {
        let mut slot = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        close(&mut slot);
        let aside = match self.path.exists() {
            true => Some(fs::set_aside(&self.path, "unusable")?),
            false => None,
        };
        let mut new = Self::open(&self.path, sealer)?.map_err(|_| unreadable("new file"))?;
        let database = new.database.get_mut();
        *slot = database.unwrap_or_else(PoisonError::into_inner).take();
        self.failed.store(false, Ordering::Release);
        Ok(aside)
    }

    /// Runs one transaction, durable when this returns.
    ///
    /// Two-phase commit is on: the database never has to guess which of two roots is whole. So is
    /// quick repair: with 300,000 assets a commit took as long with it and the file was as large,
    /// and opening after a kill took half the time, the rest being checks of a debug build.
    pub(crate) fn write<R>(
        &self,
        act: impl FnOnce(&WriteTransaction) -> Result<R, StoreError>,
    ) -> Result<R, Failed> {
        self.opened().map_err(Failed::Before)?;
        let database = self.lock();
        let Some(database) = database.as_ref() else {
            return Err(Failed::Before(unreadable("closed")));
        };
        let mut committing = false;
        let result = guarded(|| {
            let mut write = database.begin_write().map_err(redb_error)?;
            write.set_two_phase_commit(true);
            write.set_quick_repair(true);
            let result = act(&write)?;
            committing = true;
            write.commit().map_err(redb_error)?;
            Ok(result)
        });
        result.map_err(|error| {
            if committing || !matches!(error, StoreError::Refused(_)) {
                self.failed.store(true, Ordering::Release);
            }
            match committing {
                true => Failed::Unknown(error),
                false => Failed::Before(error),
            }
        })
    }

    /// Verifies every page. Reads and writes wait meanwhile. `None` where other reads go on for so
    /// long that it could not begin.
    pub(crate) fn check_integrity(&self) -> Result<Option<bool>, StoreError> {
        self.opened()?;
        for _ in 0..CHECK_ATTEMPTS {
            let mut slot = self
                .database
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            let database = slot.as_mut().ok_or(unreadable("closed"))?;
            let checked = caught(|| database.check_integrity());
            drop(slot);
            match checked {
                Ok(Ok(clean)) => return Ok(Some(clean)),
                Ok(Err(DatabaseError::TransactionInProgress)) => std::thread::sleep(CHECK_PAUSE),
                Ok(Err(error)) => match redb_error(error) {
                    StoreError::Damaged(_) => return Ok(Some(self.fail())),
                    other => return Err(other),
                },
                Err(_) => return Ok(Some(self.fail())),
            }
        }
        Ok(None)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let database = self.database.get_mut();
        close(database.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Closing a database that is damaged or has failed may panic as well.
fn close(database: &mut Option<Database>) {
    let old = database.take();
    let _ = caught(|| drop(old));
}

/// A consistent view of the index.
pub(crate) struct Snapshot {
    read: ReadTransaction,
}

impl Snapshot {
    /// Runs a read behind the unwind boundary.
    pub(crate) fn read<R>(
        &self,
        act: impl FnOnce(&ReadTransaction) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        guarded(|| act(&self.read))
    }

    /// The row under a key, its checksum verified.
    pub(crate) fn row(
        &self,
        sealer: &Sealer,
        table: redb::TableDefinition<'static, u64, &'static [u8]>,
        key: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|read| {
            let rows = read.open_table(table).map_err(redb_error)?;
            let Some(found) = rows.get(key).map_err(redb_error)? else {
                return Ok(None);
            };
            let name = redb::TableHandle::name(&table).to_owned();
            let row = sealer.open_row(&name, key, found.value());
            Ok(Some(row.ok_or(unreadable("row"))?.to_vec()))
        })
    }

    /// How far the newest pack was committed.
    pub(crate) fn pack_end(&self) -> Result<Option<PackEnd>, StoreError> {
        self.read(|read| {
            let meta = read.open_table(META).map_err(redb_error)?;
            let found = meta.get("pack").map_err(redb_error)?;
            let Some(row) = found else { return Ok(None) };
            let mut fields = Fields(row.value());
            let (pack, end) = (fields.u32(), fields.u64());
            // Checked against the pack's length: a wrong one only begins the next pack.
            Ok(pack.zip(end).map(|(pack, end)| PackEnd { pack, end }))
        })
    }

    /// All rows of a range of keys, in order, each with its checksum verified.
    pub(crate) fn rows(
        &self,
        sealer: &Sealer,
        table: redb::TableDefinition<'static, u64, &'static [u8]>,
        range: (Bound<u64>, Bound<u64>),
        each: impl FnMut(u64, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.rows_limited(sealer, table, range, usize::MAX, each)
    }

    /// The first rows of a range of keys.
    pub(crate) fn rows_limited(
        &self,
        sealer: &Sealer,
        table: redb::TableDefinition<'static, u64, &'static [u8]>,
        range: (Bound<u64>, Bound<u64>),
        limit: usize,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let name = redb::TableHandle::name(&table).to_owned();
        self.read(|read| {
            let rows = read.open_table(table).map_err(redb_error)?;
            for row in rows.range::<u64>(range).map_err(redb_error)?.take(limit) {
                let (key, row) = row.map_err(redb_error)?;
                let key = key.value();
                let row = sealer.open_row(&name, key, row.value());
                each(key, row.ok_or(unreadable("row"))?)?;
            }
            Ok(())
        })
    }
}

thread_local! {
    /// Panics of this thread are expected and caught.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs something of the database that may panic on damaged pages. Nobody is to read of such a
/// panic as if the program had failed: what comes of it is told as damage.
fn caught<R>(act: impl FnOnce() -> R) -> std::thread::Result<R> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if EXPECTED.get() {
                tracing::debug!(%info, "the database met what it does not understand");
            } else {
                before(info);
            }
        }));
    });
    let outer = EXPECTED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(act));
    EXPECTED.set(outer);
    result
}

/// Turns a panic of the database into damage.
fn guarded<R>(act: impl FnOnce() -> Result<R, StoreError>) -> Result<R, StoreError> {
    caught(act).unwrap_or(Err(unreadable("page")))
}

/// Damage to some part of the index.
pub(crate) const fn unreadable(what: &'static str) -> StoreError {
    StoreError::Damaged(Damage::Index { what })
}

/// An error of the database as one of the store.
pub(crate) fn redb_error(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) => error.into(),
        redb::Error::DatabaseAlreadyOpen => StoreError::Locked,
        redb::Error::PreviousIo => StoreError::Io(io::Error::other("an earlier write failed")),
        redb::Error::DatabaseClosed => StoreError::Io(io::Error::other("the index was reopened")),
        _ => unreadable("database"),
    }
}

fn open_database(path: &Path) -> Result<Result<Database, Unusable>, StoreError> {
    let disk = if path.exists() {
        Disk::open_to_write(path)?
    } else {
        Disk::create(path)?
    };
    let opened = caught(|| {
        let inner = FileBackend::new(disk.into_file())?;
        let path = path.to_owned();
        Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(IndexFile { inner, path })
    });
    match opened {
        Ok(Ok(database)) => Ok(Ok(database)),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(StoreError::Locked),
        Ok(Err(DatabaseError::Storage(StorageError::Io(error)))) => match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Ok(Err(Unusable::Unreadable))
            }
            _ => Err(fs::at(path)(error).into()),
        },
        Ok(Err(_)) | Err(_) => Ok(Err(Unusable::Unreadable)),
    }
}

fn prepare(database: &Database, sealer: &Sealer) -> Result<Option<Unusable>, StoreError> {
    let read = database.begin_read().map_err(redb_error)?;
    match read.open_table(META) {
        Ok(meta) => {
            let schema = meta.get("schema").map_err(redb_error)?;
            let schema = schema.map(|value| value.value().to_vec());
            if schema.as_deref() != Some(&SCHEMA.to_le_bytes()) {
                return Ok(Some(Unusable::Schema));
            }
            let name = meta.get("name").map_err(redb_error)?;
            let foreign = name.is_none_or(|value| value.value() != sealer.name);
            return Ok(foreign.then_some(Unusable::Foreign));
        }
        Err(redb::TableError::TableDoesNotExist(_)) => drop(read),
        Err(error) => return Err(redb_error(error)),
    }
    let mut write = database.begin_write().map_err(redb_error)?;
    write.set_two_phase_commit(true);
    for table in [LOGS, ENTRIES, CONTROL, BLOBS, HAVE, DROPPED] {
        write.open_table(table).map_err(redb_error)?;
    }
    write.open_table(ENTRY_IDS).map_err(redb_error)?;
    for table in Table::ALL {
        write.open_table(table.definition()).map_err(redb_error)?;
    }
    let mut meta = write.open_table(META).map_err(redb_error)?;
    meta.insert("schema", SCHEMA.to_le_bytes().as_slice())
        .map_err(redb_error)?;
    meta.insert("name", sealer.name.as_slice())
        .map_err(redb_error)?;
    drop(meta);
    write.commit().map_err(redb_error)?;
    Ok(None)
}

/// The database's file, seen through the same hook as every other file of the store.
#[derive(Debug)]
struct IndexFile {
    inner: FileBackend,
    path: PathBuf,
}

impl StorageBackend for IndexFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.inner.read(offset, out) {
            // An error would keep the database from reading anything more. Zeros have no checksum that
            // fits, and are found like other rot.
            Err(error) if crate::sys::is_unreadable(&error) => {
                tracing::warn!(%error, offset, "the disk cannot read a part of the index");
                out.fill(0);
                Ok(())
            }
            read => read,
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        note(Change::SetLen(&self.path, len))?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        note(Change::Sync(&self.path))?;
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        note(Change::Write(&self.path, offset, data))?;
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
