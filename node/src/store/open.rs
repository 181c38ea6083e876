//! How a home becomes a store: made, locked, checked, brought into order.
//!
//! Opening never destroys what anybody was told is safe. A newer store is refused
//! before a byte changes; an index that is of no use is set aside and made again
//! from the files; torn tails that no commit covered are cut off; the rest of
//! what a crash left is cleaned away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use heirloom_protocol::id::LogId;
use redb::ReadableTable;
use zeroize::Zeroizing;

use super::blobs::BlobStore;
use super::error::{Damage, Refusal, StoreError};
use super::fs::{self, Disk};
use super::index::{Index, Unusable, redb_error, unreadable};
use super::keyring::{KeyFile, Keyring};
use super::logs::{Findings, LogFiles, LogState, Trust};
use super::lost::holds_blobs;
use super::reserve::Reserve;
use super::seal::{self, Sealer};
use super::tables::{LOGS, LogRow, Table};
use super::{Collecting, Inner, Logs, Store};

/// The store version this program writes.
const VERSION: u32 = 1;
const VERSION_TEXT: &str = "heirloom store ";
const STORE_KEY_BYTES: usize = 32;
/// The row of [`Table::Kv`] that is there since damage was found in logs: eight bytes of whoever looks after it,
/// zero where it was found anew.
pub(crate) const DAMAGED: &[u8] = b"damaged";

/// What opening found and did, for people and for the log.
#[derive(Default, Debug)]
pub struct Opened {
    /// Why the index is being made again, if it is. Everything then counts as unindexed.
    pub rebuilt: Option<Unusable>,
    /// Files that were put out of the way, bytes unchanged.
    pub set_aside: Vec<PathBuf>,
    /// Bytes of half-written entries that were cut off; nobody was told that they were safe.
    pub torn_bytes: u64,
    /// Which of the two files of this device's key was damaged or missing, and written again from the other.
    pub healed_key: Option<KeyFile>,
    /// Damage in the logs. Of a log of this device it means: go on in a new incarnation.
    pub damages: Vec<Damage>,
    /// Logs with whole entries behind a missing one: the log, the missing seq, the last seq held.
    /// They are taken in once the missing ones were fetched. Of a log of this device it means: go
    /// on in a new incarnation.
    pub stranded: Vec<(LogId, u32, u32)>,
    /// Logs whose files are shorter than the index knew, each with the seq that was to come.
    pub(super) shorter: Vec<(LogId, u32)>,
}

/// How often, and how far apart, it is seen whether a lock is let go of.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

impl Store {
    /// Makes a store in a folder and opens it. Anything interrupted before its end can be
    /// repeated; a finished one is refused.
    pub fn create(home: &Path) -> Result<Self, StoreError> {
        fs::create_folder(home)?;
        tighten(home)?;
        if version(home)?.is_some() || is_begun(home)? {
            return Err(Refusal::SetUp.into());
        }
        let lock = lock(home)?;
        for folder in ["keys", "logs", "blobs"] {
            fs::create_folder(&home.join(folder))?;
        }
        let keyring = Keyring::open(home)?;
        keyring.clear()?;
        if !keyring.holds(KeyFile::Store) {
            new_store_key(&keyring)?;
        }
        write_version(home)?;
        Self::load(home, lock).map(Self::remember_what_opening_found)
    }

    /// Makes the folder of a home that is not set up, which nobody else may look into. Durable when it
    /// returns; a folder that is there stays as it is.
    pub fn prepare(home: &Path) -> Result<(), StoreError> {
        fs::create_folder(home)?;
        tighten(home)
    }

    /// Opens the store in a folder.
    ///
    /// Fails with [`StoreError::Locked`] while another handle from elsewhere lives, with
    /// [`StoreError::NotSetUp`] where there is none. After it returns, [`Store::unindexed_logs`]
    /// lists what the caller has to take in before it records anything new.
    ///
    /// Waits a moment for a lock: a program that is being started from here holds all files that are open
    /// here, until it is that other program.
    pub fn open(home: &Path) -> Result<Self, StoreError> {
        for _ in 0..LOCK_TRIES {
            match Self::open_now(home) {
                Err(StoreError::Locked) => std::thread::sleep(LOCK_PAUSE),
                opened => return opened,
            }
        }
        Self::open_now(home)
    }

    fn open_now(home: &Path) -> Result<Self, StoreError> {
        match version(home)? {
            // It is written before there is anything to lose.
            None if is_begun(home)? => {}
            None => return Err(StoreError::NotSetUp),
            Some(found) if found > VERSION => {
                let known = VERSION;
                return Err(StoreError::Newer { found, known });
            }
            Some(_) => {}
        }
        check_private(home)?;
        let lock = lock(home)?;
        let path = home.join("version");
        if std::fs::read(&path).ok().as_deref() != Some(version_text().as_bytes()) {
            write_version(home)?;
        }
        Self::load(home, lock).map(Self::remember_what_opening_found)
    }

    /// Has the index made again from the files when the store is opened next.
    pub fn rebuild_at_next_open(&self) -> Result<(), StoreError> {
        Ok(fs::write_whole(&marker(self.home()), b"")?)
    }

    pub(super) fn rebuild_is_done(&self) -> Result<(), StoreError> {
        Ok(fs::remove(&marker(self.home()))?)
    }

    fn load(home: &Path, lock: File) -> Result<Self, StoreError> {
        let mut opened = Opened::default();
        let keyring = Keyring::open(home)?;
        keyring.clear()?;
        opened.healed_key = keyring.heal_device(&mut opened.set_aside)?;
        if let Some(key) = opened.healed_key {
            tracing::warn!(
                file = key.name(),
                "a damaged key was made whole from its copy"
            );
        }
        let sealer = Sealer::new(&store_key(&keyring, &mut opened)?);
        let files = LogFiles::new(home.join("logs"));
        let (index, states, trust) = open_index(home, &sealer, &files, &mut opened)?;
        let logs = recover(&files, states, trust, &mut opened)?;
        let pack = index.snapshot()?.pack_end()?;
        let survey = logs.states.values().any(|log| !log.pending.is_empty());
        let was_empty = super::gone::is_empty(home)?;
        let blobs = BlobStore::open(home.join("blobs"), pack, survey)?;
        let shorter = std::mem::take(&mut opened.shorter);
        let store = Self(Arc::new(Inner {
            home: home.to_owned(),
            _lock: lock,
            sealer,
            index,
            files,
            blobs,
            logs: RwLock::new(logs),
            writer: Mutex::new(()),
            collecting: Collecting::default(),
            unnamed: Mutex::new(None),
            reserve: Reserve::open(home),
            opened,
        }));
        store.note_lost(&shorter)?;
        store.0.settle_settings();
        // What the rows do not tell is told by who reads them.
        if let Err(error) = store.notice_gone(was_empty) {
            tracing::warn!(%error, "whether files are gone could not be seen");
        }
        Ok(store)
    }

    fn remember_what_opening_found(self) -> Self {
        self.0.remember_damage(&self.0.opened);
        self
    }
}

impl Inner {
    /// Begins a new index in the place of the old one, and the logs as it sees them: all entries
    /// wait to be taken in.
    pub(super) fn index_anew(&self) -> Result<Logs, StoreError> {
        let aside = self.index.replace(&self.sealer)?;
        // What only the old index knew is worth a try, and no more than that.
        if let Some(Err(error)) = aside.map(|aside| carry_over(&aside, &self.index, &self.sealer)) {
            tracing::warn!(%error, "what only the old index knew could not be read");
        }
        self.settle_settings();
        let present = self.files.list()?.into_iter();
        let states = present.map(|log| (log, LogState::new(log))).collect();
        let mut found = Opened::default();
        let logs = recover(&self.files, states, Trust::FilesAlone, &mut found)?;
        self.remember_damage(&found);
        self.survey_if_pending(&logs);
        Ok(logs)
    }

    /// Notes that logs are damaged, or may be: what the damaged entries name is not known, and may be taken for
    /// what nothing names. With a database goes who would know that a log is gone. The row outlives the index.
    fn remember_damage(&self, found: &Opened) {
        let is_anew = !matches!(found.rebuilt, None | Some(Unusable::Asked));
        if !is_anew && found.damages.is_empty() && found.stranded.is_empty() {
            return;
        }
        let noted = self.sealer.seal(Table::Kv, DAMAGED, &[0; 8]).map(|sealed| {
            let noted = self.index.write(|write| {
                let mut values = write
                    .open_table(Table::Kv.definition())
                    .map_err(redb_error)?;
                values
                    .insert(DAMAGED, sealed.as_slice())
                    .map_err(redb_error)?;
                Ok(())
            });
            noted.map_err(super::index::Failed::into_error)
        });
        if let Err(error) | Ok(Err(error)) = noted {
            tracing::warn!(%error, "that there is damage could not be noted");
        }
    }

    /// After a failed write: cuts back what it left in the logs, opens the database again and looks
    /// what it and the files hold. Nothing to do otherwise. Call with the writer lock held.
    pub(super) fn reconcile(&self) -> Result<(), StoreError> {
        self.files.heal()?;
        if !self.index.has_failed() {
            return Ok(());
        }
        self.index.reopen()?;
        let present = self.files.list()?;
        let states = load_states(&self.index, &self.sealer, &self.files, &present, None)?;
        let states = states.map_err(|_| unreadable("logs"))?;
        let mut found = Opened::default();
        let logs = recover(&self.files, states, Trust::Index, &mut found)?;
        self.survey_if_pending(&logs);
        *self.logs.write().unwrap_or_else(PoisonError::into_inner) = logs;
        Ok(())
    }
}

/// Whether a home without a version was one: with a device's key, or with photos.
fn is_begun(home: &Path) -> Result<bool, StoreError> {
    Ok(Keyring::has_device(home) || holds_blobs(home)?)
}

fn marker(home: &Path) -> PathBuf {
    home.join("rebuild-index")
}

fn version_text() -> String {
    format!("{VERSION_TEXT}{VERSION}\n")
}

fn write_version(home: &Path) -> Result<(), StoreError> {
    Ok(fs::write_whole(
        &home.join("version"),
        version_text().as_bytes(),
    )?)
}

/// Whether rot, and no later version, made of one text the other.
fn is_one_bit_off(one: &[u8], other: &[u8]) -> bool {
    let wrong = one.iter().zip(other).map(|(a, b)| (a ^ b).count_ones());
    one.len() == other.len() && wrong.sum::<u32>() == 1
}

/// The version in a home, `None` where there is no store.
fn version(home: &Path) -> Result<Option<u32>, StoreError> {
    let path = home.join("version");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fs::at(&path)(error).into()),
    };
    let text = String::from_utf8_lossy(&bytes);
    let number = text.strip_prefix(VERSION_TEXT).map(str::trim_end);
    let number = number.and_then(|number| number.parse().ok());
    if number.is_none() && is_one_bit_off(&bytes, version_text().as_bytes()) {
        return Ok(Some(VERSION));
    }
    // It is not touched: a home of the future may have another one, or it is damaged.
    number
        .map(Some)
        .ok_or_else(|| Damage::Version { path }.into())
}

/// Without the right to write, a home is one that can only be read.
fn not_mine(error: std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => StoreError::ReadOnly,
        _ => error.into(),
    }
}

fn lock(home: &Path) -> Result<File, StoreError> {
    let path = home.join("lock");
    if !path.exists() {
        match Disk::create(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            other => drop(other.map_err(not_mine)?),
        }
    }
    let file = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|error| not_mine(fs::at(&path)(error)))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked),
        Err(TryLockError::Error(error)) => Err(fs::at(&path)(error).into()),
    }
}

/// Refuses a folder or file that others can get at, or that is another account's.
pub(super) fn check_private(path: &Path) -> Result<(), StoreError> {
    if fs::is_of_another(path)? {
        return Err(StoreError::OtherAccount {
            path: path.to_owned(),
        });
    }
    let Some(mode) = fs::loose_mode(path)? else {
        return Ok(());
    };
    // The whole folder at once: of several files that are open, only the first is seen.
    let folder = match path.parent() {
        Some(parent) if !path.is_dir() => parent,
        _ => path,
    };
    let quoted = folder.display().to_string().replace('\'', "'\\''");
    let fix = format!("chmod -R go-rwx '{quoted}'");
    Err(StoreError::Permissions {
        path: path.to_owned(),
        mode,
        fix,
    })
}

/// A folder that a person made for the home may be open to others; with nothing in it yet, it is
/// closed without asking.
fn tighten(home: &Path) -> Result<(), StoreError> {
    #[cfg(unix)]
    if fs::loose_mode(home)?.is_some() && fs::list(home)?.is_empty() {
        use std::os::unix::fs::PermissionsExt;
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(home, private).map_err(fs::at(home))?;
    }
    check_private(home)
}

fn new_store_key(keyring: &Keyring) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let mut key = Zeroizing::new(vec![0; STORE_KEY_BYTES]);
    seal::fill(&mut key)?;
    keyring.write(KeyFile::Store, &key)?;
    Ok(key)
}

/// Reads the store key. Everything under it can be made again, so a lost or damaged one is
/// replaced and the index with it.
fn store_key(keyring: &Keyring, opened: &mut Opened) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    if keyring.holds(KeyFile::Store) {
        match keyring.read(KeyFile::Store) {
            Ok(key) => return Ok(key),
            Err(StoreError::Damaged(damage)) => {
                opened.damages.push(damage);
                let path = keyring.path(KeyFile::Store);
                opened.set_aside.push(fs::set_aside(&path, "damaged")?);
            }
            Err(error) => return Err(error),
        }
    }
    new_store_key(keyring)
}

type States = BTreeMap<LogId, LogState>;

fn open_index(
    home: &Path,
    sealer: &Sealer,
    files: &LogFiles,
    opened: &mut Opened,
) -> Result<(Index, States, Trust), StoreError> {
    let path = home.join("heirloom.redb");
    let present = files.list()?;
    // A file without a byte is what a failing disk or an interrupted copy leaves: a new database would begin in it.
    if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0) {
        fs::remove(&path)?;
    }
    let is_begun = || Ok::<_, StoreError>(!present.is_empty() || holds_blobs(home)?);
    let unusable = if !path.exists() && is_begun()? {
        Unusable::Missing
    } else if marker(home).exists() || super::pack::reads_again(&home.join("blobs"))? {
        Unusable::Asked
    } else {
        match try_index(&path, sealer, files, &present, opened)? {
            Ok((index, states)) => return Ok((index, states, Trust::Index)),
            Err(unusable) => unusable,
        }
    };
    opened.rebuilt = Some(unusable);
    let old = if path.exists() {
        let aside = fs::set_aside(&path, "unusable")?;
        opened.set_aside.push(aside.clone());
        Some(aside)
    } else {
        None
    };
    let index = Index::open(&path, sealer)?.map_err(|_| unreadable("new file"))?;
    if let Some(old) = old {
        // What only the old index knew is worth a try, and no more than that.
        let _ = carry_over(&old, &index, sealer);
    }
    fs::remove(&marker(home))?;
    let states = present.into_iter().map(|log| (log, LogState::new(log)));
    Ok((index, states.collect(), Trust::FilesAlone))
}

fn try_index(
    path: &Path,
    sealer: &Sealer,
    files: &LogFiles,
    present: &BTreeSet<LogId>,
    opened: &mut Opened,
) -> Result<Result<(Index, States), Unusable>, StoreError> {
    let index = match Index::open(path, sealer)? {
        Ok(index) => index,
        Err(unusable) => return Ok(Err(unusable)),
    };
    match load_states(&index, sealer, files, present, Some(opened)) {
        Ok(states) => Ok(states.map(|states| (index, states))),
        Err(StoreError::Damaged(_)) => Ok(Err(Unusable::Rows)),
        Err(error) => Err(error),
    }
}

/// The logs as the index lists them, and those that only have a file.
fn load_states(
    index: &Index,
    sealer: &Sealer,
    files: &LogFiles,
    present: &BTreeSet<LogId>,
    mut opened: Option<&mut Opened>,
) -> Result<Result<States, Unusable>, StoreError> {
    let mut states = States::new();
    let all = (Bound::Unbounded, Bound::Unbounded);
    let mut expected = 0_u32;
    let snapshot = index.snapshot()?;
    snapshot.rows(sealer, LOGS, all, |key, row| {
        let row = LogRow::decode(row).ok_or(unreadable("row"))?;
        // Numbers are given without gaps, so a missing row shows.
        if key != u64::from(expected) {
            return Err(unreadable("log number"));
        }
        let mut state = LogState::new(row.log);
        state.number = Some(expected);
        expected += 1;
        state.row = row;
        states.insert(state.row.log, state);
        Ok(())
    })?;
    let mut ahead = false;
    for state in states.values() {
        let log = state.row.log;
        let bytes = match present.contains(&log) {
            true => Disk::open(&files.path(&log))?.len()?,
            false => 0,
        };
        if bytes < state.row.file_bytes {
            ahead = true;
            if let Some(opened) = opened.as_mut() {
                opened.damages.push(Damage::Log {
                    log,
                    offset: bytes,
                    bytes: state.row.file_bytes - bytes,
                });
                opened.shorter.push((log, state.row.next));
            }
        }
    }
    if ahead {
        return Ok(Err(Unusable::Ahead));
    }
    for log in present {
        states.entry(*log).or_insert_with(|| LogState::new(*log));
    }
    Ok(Ok(states))
}

fn recover(
    files: &LogFiles,
    mut states: States,
    trust: Trust,
    opened: &mut Opened,
) -> Result<Logs, StoreError> {
    let mut findings = Findings::default();
    for state in states.values_mut() {
        files.recover(state, trust, &mut findings)?;
        opened.stranded.extend(state.stranded());
    }
    states.retain(|_, state| state.number.is_some() || state.end > 0);
    opened.torn_bytes += findings.torn_bytes;
    opened.damages.append(&mut findings.damages);
    opened.set_aside.append(&mut findings.set_aside);
    let mut numbers: Vec<_> = states
        .values()
        .filter_map(|state| Some((state.number?, state.row.log)))
        .collect();
    numbers.sort_unstable_by_key(|(number, _)| *number);
    let numbers = numbers.into_iter().map(|(_, log)| log).collect();
    Ok(Logs { states, numbers })
}

/// Copies what no log tells from an old index to a new one, as far as it opens.
fn carry_over(old: &Path, new: &Index, sealer: &Sealer) -> Result<(), StoreError> {
    let old = Index::open(old, sealer)?.map_err(|_| unreadable("file"))?;
    let snapshot = old.snapshot()?;
    for table in Table::ALL.into_iter().filter(|table| table.is_local()) {
        let kept = snapshot.read(|read| {
            let values = read.open_table(table.definition()).map_err(redb_error)?;
            let mut kept = Vec::new();
            for value in values.iter().map_err(redb_error)? {
                let (key, value) = value.map_err(redb_error)?;
                let (key, value) = (key.value(), value.value());
                if sealer.open(table, key, value).is_some() {
                    kept.push((key.to_vec(), value.to_vec()));
                }
            }
            Ok(kept)
        })?;
        let written = new.write(|write| {
            let mut values = write.open_table(table.definition()).map_err(redb_error)?;
            for (key, value) in &kept {
                values
                    .insert(key.as_slice(), value.as_slice())
                    .map_err(redb_error)?;
            }
            Ok(())
        });
        written.map_err(super::index::Failed::into_error)?;
    }
    Ok(())
}
