//! Blobs on disk: ciphertext, named by its hash, nothing else.
//!
//! Large blobs are files `ab/cd/<name>`, small ones lie in packs (`pack.rs`),
//! unfinished downloads are their own thing (`partial.rs`). A blob is hashed
//! while it is written and appears under its name only when its bytes are
//! durable. Putting is cheap and not durable; [`BlobStore::sync`] makes all that
//! was put so far durable at once, and a commit that names a place does it by
//! itself. Nothing here knows which entry a blob belongs to: there is no index by
//! name, since random keys are what would slow a large library down.

use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heirloom_protocol::id::BlobId;
use heirloom_protocol::limits::BLOB_BYTES;

use super::error::{Damage, Refusal, StoreError};
use super::fs::{self, Disk};
use super::pack::{PackEnd, Packed, Packs, SMALL_BYTES};

/// Bytes written to a large blob between two hints to the system to start writing back.
const WRITE_BACK_BYTES: u64 = 8 * 1024 * 1024;
/// Files that may wait for one sync; then it happens by itself, because each holds a descriptor.
const DIRTY_FILES: usize = 256;
/// Largest blob that is read as a whole.
const WHOLE_BYTES: u64 = 64 * 1024 * 1024;
const READ_BYTES: usize = 1024 * 1024;

/// Where a blob lies. Holds for the life of the blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum BlobPlace {
    /// A file of its own, found by its name.
    File {
        /// Its name.
        cid: BlobId,
        /// Its length in bytes.
        len: u64,
    },
    /// In a pack of small blobs.
    Pack {
        /// Number of the pack.
        pack: u32,
        /// Offset of the record in it.
        offset: u32,
        /// Length of the blob in bytes.
        len: u32,
    },
}

impl BlobPlace {
    /// The blob's length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::File { len, .. } => *len,
            Self::Pack { len, .. } => u64::from(*len),
        }
    }

    /// Whether the blob has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A blob that was put: its name and where it lies. Durable after a sync or a commit that names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// BLAKE3 of its bytes.
    pub cid: BlobId,
    /// Where it lies.
    pub place: BlobPlace,
}

/// The blobs of a home. Cloning gives another handle on the same.
#[derive(Clone)]
pub struct BlobStore(pub(super) Arc<Blobs>);

pub(super) struct Blobs {
    pub(super) root: PathBuf,
    pub(super) packs: Packs,
    temporary: AtomicU64,
    /// Bytes of the largest blob that was refused since there was room.
    pub(super) refused: AtomicU64,
    dirty: Mutex<Dirty>,
    /// Held through a sync, so that a second one does not return before the first has finished.
    syncing: Mutex<()>,
    /// Large blobs that were put and did not get to their places.
    failed: Mutex<BTreeSet<BlobId>>,
    /// Packed blobs by name, while the index is being made again or lost entries come again.
    survey: Mutex<Survey>,
    /// Partial blobs that are open.
    pub(super) partial: Mutex<BTreeSet<BlobId>>,
    /// Damaged blobs whose bytes were put aside and that have not come again.
    pub(super) quarantined: Mutex<BTreeSet<BlobId>>,
    /// Of the packed ones among them, those of this run with the places where they lay.
    pub(super) given_up: Mutex<BTreeSet<(BlobId, BlobPlace)>>,
}

#[derive(Default)]
struct Dirty {
    files: Vec<DirtyFile>,
    folders: BTreeSet<PathBuf>,
    end: Option<PackEnd>,
}

struct DirtyFile {
    disk: Disk,
    cid: BlobId,
}

#[derive(Default)]
enum Survey {
    #[default]
    Off,
    Due,
    Done(Vec<Packed>),
}

impl BlobStore {
    /// Opens the folder and clears what interrupted writers left. With `survey`, packed blobs can
    /// be found by name.
    pub(super) fn open(
        root: PathBuf,
        committed: Option<PackEnd>,
        survey: bool,
    ) -> Result<Self, StoreError> {
        for folder in ["tmp", "partial", "packs"] {
            fs::create_folder(&root.join(folder))?;
        }
        for name in fs::list(&root.join("tmp"))? {
            fs::remove(&root.join("tmp").join(name))?;
        }
        let packs = Packs::open(root.join("packs"), committed)?;
        let quarantined = super::quarantine::list(&root)?;
        Ok(Self(Arc::new(Blobs {
            root,
            packs,
            temporary: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            dirty: Mutex::default(),
            syncing: Mutex::new(()),
            failed: Mutex::default(),
            survey: Mutex::new(if survey { Survey::Due } else { Survey::Off }),
            partial: Mutex::default(),
            quarantined: Mutex::new(quarantined),
            given_up: Mutex::default(),
        })))
    }

    /// Begins a blob whose bytes come in pieces.
    pub fn writer(&self) -> BlobWriter {
        BlobWriter {
            blobs: self.clone(),
            hasher: blake3::Hasher::new(),
            len: 0,
            small: Vec::new(),
            large: None,
            started: 0,
            failed: false,
        }
    }

    /// Puts a blob that is in memory.
    pub fn put(&self, bytes: &[u8]) -> Result<Stored, StoreError> {
        let mut writer = self.writer();
        writer.write(bytes)?;
        writer.finish()
    }

    /// Puts a blob that must have this name.
    pub fn put_as(&self, cid: &BlobId, bytes: &[u8]) -> Result<Stored, StoreError> {
        let mut writer = self.writer();
        writer.write(bytes)?;
        writer.finish_as(cid)
    }

    /// Makes every blob put so far durable, name and bytes.
    ///
    /// An error says that some are not, perhaps of another caller's: a blob whose bytes did not reach
    /// the disk is thrown away, and a commit that names its place is refused.
    pub fn sync(&self) -> Result<(), StoreError> {
        let _turn = lock(&self.0.syncing);
        let (files, mut folders) = {
            let mut dirty = lock(&self.0.dirty);
            (
                std::mem::take(&mut dirty.files),
                std::mem::take(&mut dirty.folders),
            )
        };
        // All content first, then all names, then all folders: the journal commits once for many.
        let mut result = Ok(());
        let synced = fs::at_once(&files, |file| file.disk.sync());
        for (file, synced) in files.iter().zip(synced) {
            let settled = match synced {
                Ok(()) => self.0.settle(file, &mut folders),
                Err(error) => {
                    let _ = fs::remove(file.disk.path());
                    self.0.release(file);
                    Err(error)
                }
            };
            match &settled {
                Ok(()) => drop(lock(&self.0.failed).remove(&file.cid)),
                Err(_) => self.0.note_failed(file),
            }
            result = result.and(settled);
        }
        let folders: Vec<_> = folders.into_iter().collect();
        let synced = fs::at_once(&folders, |folder| fs::sync_folder(folder));
        for (folder, synced) in folders.into_iter().zip(synced) {
            if synced.is_err() {
                // The names in it are not to be relied upon before this has succeeded.
                lock(&self.0.dirty).folders.insert(folder);
                result = result.and(synced);
            }
        }
        let end = self.0.packs.sync()?;
        if end.is_some() {
            lock(&self.0.dirty).end = end;
        }
        Ok(result?)
    }

    /// Whether something was put and not yet made durable.
    pub fn is_dirty(&self) -> bool {
        let dirty = lock(&self.0.dirty);
        !dirty.files.is_empty() || !dirty.folders.is_empty() || self.0.packs.is_dirty()
    }

    /// How far the newest pack is durable, for the index to note.
    pub(super) fn pack_end(&self) -> Option<PackEnd> {
        lock(&self.0.dirty).end
    }

    /// Finds a blob by its name: a file always, a packed one only while the index is being made
    /// again or lost entries come again (there is no index by name otherwise).
    pub fn find(&self, cid: &BlobId) -> Result<Option<BlobPlace>, StoreError> {
        let path = self.0.path(cid);
        match std::fs::metadata(&path) {
            Ok(metadata) => {
                // The name may be in a cache that no sync has reached.
                if let Some(folder) = path.parent() {
                    lock(&self.0.dirty).folders.insert(folder.to_owned());
                }
                let (cid, len) = (*cid, metadata.len());
                return Ok(Some(BlobPlace::File { cid, len }));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(fs::at(&path)(error).into()),
        }
        let mut survey = lock(&self.0.survey);
        if matches!(*survey, Survey::Due) {
            *survey = Survey::Done(self.0.packs.survey()?);
        }
        let Survey::Done(found) = &*survey else {
            return Ok(None);
        };
        // Of several copies the last one written.
        let end = found.partition_point(|record| record.cid <= *cid);
        let last = found[..end].last().filter(|record| record.cid == *cid);
        Ok(last.map(|record| BlobPlace::Pack {
            pack: record.pack,
            offset: record.offset,
            len: record.len,
        }))
    }

    /// Lets packed blobs be found by name, for entries that are to be taken in again.
    pub(super) fn begin_survey(&self) {
        *lock(&self.0.survey) = Survey::Due;
    }

    /// The same for entries that were here once and come again from a peer. What was found already stays.
    pub(crate) fn search_packs(&self) {
        let mut survey = lock(&self.0.survey);
        if matches!(*survey, Survey::Off) {
            *survey = Survey::Due;
        }
    }

    /// Whether packed blobs can be found by name now.
    pub(super) fn is_surveyed(&self) -> bool {
        !matches!(*lock(&self.0.survey), Survey::Off)
    }

    /// Frees the memory of a survey once the index is whole.
    pub(super) fn end_survey(&self) {
        *lock(&self.0.survey) = Survey::Off;
    }

    /// Opens a blob for reading at random. The bytes are not verified here: every use opens a
    /// segment's tag or checks a leaf.
    pub fn open_blob(&self, cid: &BlobId, place: &BlobPlace) -> Result<BlobReader, StoreError> {
        let reader = self.0.reader(cid, place)?;
        Ok(reader.ok_or(Damage::Blob { cid: *cid })?)
    }

    /// Reads a whole blob of at most 64 MiB and checks that it has its name.
    pub fn read(&self, cid: &BlobId, place: &BlobPlace) -> Result<Vec<u8>, StoreError> {
        let bytes = place.len();
        if bytes > WHOLE_BYTES {
            return Err(Refusal::TooLarge { bytes }.into());
        }
        let reader = self.open_blob(cid, place)?;
        let mut whole = vec![0; usize::try_from(bytes).expect("below 64 MiB")];
        reader.read_at(0, &mut whole)?;
        if blake3::hash(&whole).as_bytes() != &cid.0 {
            return Err(Damage::Blob { cid: *cid }.into());
        }
        Ok(whole)
    }

    /// Reads a blob of any size and says whether it still has its name. What the disk cannot read
    /// has not.
    pub fn is_whole(&self, cid: &BlobId, place: &BlobPlace) -> Result<bool, StoreError> {
        let reader = self.0.reader(cid, place);
        let hash = reader.and_then(|reader| reader.map(|reader| reader.hash()).transpose());
        match hash {
            Ok(hash) => Ok(hash == Some(*cid)),
            Err(StoreError::Damaged(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The name of the blob at a place, or nothing where none lies.
    ///
    /// # Errors
    ///
    /// [`Damage::Blob`] and [`Damage::Pack`] where the disk cannot read it.
    pub fn name(&self, place: &BlobPlace) -> Result<Option<BlobId>, StoreError> {
        match place {
            BlobPlace::File { cid, .. } => Ok(self.0.reader(cid, place)?.map(|_| *cid)),
            BlobPlace::Pack { pack, offset, .. } => self.0.packs.name(*pack, *offset),
        }
    }

    /// Keeps the leaf list of a large blob beside it. The caller merges it to the name on reading.
    pub fn put_leaves(&self, cid: &BlobId, list: &[u8]) -> Result<(), StoreError> {
        let path = self.0.leaves_path(cid);
        if let Some(folder) = path.parent() {
            fs::create_folder(folder)?;
        }
        Ok(fs::write_whole(&path, list)?)
    }

    /// The leaf list of a large blob as it was kept, unverified, if it is not longer than
    /// `max_bytes`. None where the disk cannot read it: it can be made again.
    pub fn leaves(&self, cid: &BlobId, max_bytes: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.0.leaves_path(cid);
        if !path.exists() {
            return Ok(None);
        }
        match read_list(&path, max_bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(None),
            list => Ok(list?),
        }
    }
}

impl Blobs {
    /// Where a large blob lies.
    pub(super) fn path(&self, cid: &BlobId) -> PathBuf {
        let name = cid.to_string();
        let folder = self.root.join(&name[..2]).join(&name[2..4]);
        folder.join(name)
    }

    fn leaves_path(&self, cid: &BlobId) -> PathBuf {
        self.path(cid).with_extension("leaves")
    }

    /// Gives a durable file its name. The folders to sync are added to the set.
    fn settle(&self, file: &DirtyFile, folders: &mut BTreeSet<PathBuf>) -> std::io::Result<()> {
        self.release(file);
        let path = self.path(&file.cid);
        let folder = path.parent().unwrap_or(&self.root);
        folders.extend(fs::create_folder_unsynced(folder)?);
        folders.insert(folder.to_owned());
        // One that is here already was perhaps promised to somebody: it is replaced only where it
        // is damaged.
        if path.exists() {
            if is_whole(&path, &file.cid)? {
                return fs::remove(file.disk.path());
            }
            self.put_aside(&file.cid, &path)?;
        }
        fs::rename(file.disk.path(), &path)
    }

    /// Whoever put the file may hear of it from another's sync, or not at all.
    fn note_failed(&self, file: &DirtyFile) {
        lock(&self.failed).insert(file.cid);
        // On a full disk its room is needed; what came from peers goes on from where it is.
        if file.disk.path().starts_with(self.root.join("tmp")) {
            let _ = fs::remove(file.disk.path());
        }
    }

    /// Queues a finished file for the next sync.
    pub(super) fn queue(&self, disk: Disk, cid: BlobId) -> usize {
        let mut dirty = lock(&self.dirty);
        dirty.files.push(DirtyFile { disk, cid });
        dirty.files.len()
    }

    /// A partial blob is busy until its file has gone to its place.
    fn release(&self, file: &DirtyFile) {
        if file.disk.path().starts_with(self.root.join("partial")) {
            lock(&self.partial).remove(&file.cid);
        }
    }

    fn reader(&self, cid: &BlobId, place: &BlobPlace) -> Result<Option<BlobReader>, StoreError> {
        let reader = self.open_at(cid, place);
        reader.map_err(|error| error.or_damage(|| Damage::Blob { cid: *cid }))
    }

    fn open_at(&self, cid: &BlobId, place: &BlobPlace) -> Result<Option<BlobReader>, StoreError> {
        match place {
            BlobPlace::File { cid: named, len } => {
                if named != cid {
                    return Ok(None);
                }
                let disk = match Disk::open(&self.path(cid)) {
                    // Nothing else says that it is not there: its folder may be closed to this account.
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                    disk => Arc::new(disk?),
                };
                let whole = disk.len()? == *len;
                Ok(whole.then(|| BlobReader::new(*cid, disk, 0, *len)))
            }
            BlobPlace::Pack { pack, offset, len } => {
                let found = self.packs.locate(Some(cid), *pack, *offset, *len)?;
                Ok(found.map(|(disk, start)| BlobReader::new(*cid, disk, start, u64::from(*len))))
            }
        }
    }

    /// Whether a blob lies at a place, by its header or its length; by its hash where putting it has
    /// failed, since what lies there is then an older file, which may be why it was put again.
    pub(super) fn is_at(&self, place: &BlobPlace) -> Result<bool, StoreError> {
        match place {
            BlobPlace::File { cid, .. } => {
                let Some(reader) = self.reader(cid, place)? else {
                    return Ok(false);
                };
                if !lock(&self.failed).contains(cid) {
                    return Ok(true);
                }
                match reader.hash() {
                    Err(StoreError::Damaged(_)) => Ok(false),
                    hash => Ok(hash? == *cid),
                }
            }
            BlobPlace::Pack { pack, offset, len } => {
                Ok(self.packs.locate(None, *pack, *offset, *len)?.is_some())
            }
        }
    }

    /// Removes blobs for good and returns the bytes that became free.
    pub(super) fn erase(&self, places: &[BlobPlace]) -> Result<u64, StoreError> {
        let mut bytes = 0;
        let mut packed = Vec::new();
        for place in places {
            match place {
                BlobPlace::File { cid, len } => {
                    fs::remove(&self.leaves_path(cid))?;
                    fs::remove(&self.path(cid))?;
                    bytes += len;
                }
                BlobPlace::Pack { pack, offset, len } => packed.push((*pack, *offset, *len)),
            }
        }
        Ok(bytes + self.packs.erase(&packed)?)
    }

    /// Shows the name, length and age of every large blob on disk.
    pub(super) fn walk_files(
        &self,
        mut each: impl FnMut(BlobId, u64, std::time::SystemTime),
    ) -> Result<(), StoreError> {
        for first in fs::list(&self.root)? {
            if first.len() != 2 {
                continue;
            }
            for second in fs::list(&self.root.join(&first))? {
                let folder = self.root.join(&first).join(&second);
                for name in fs::list(&folder)? {
                    let Some(cid) = BlobId::from_hex(&name) else {
                        continue;
                    };
                    let path = folder.join(&name);
                    let metadata = std::fs::metadata(&path).map_err(fs::at(&path))?;
                    let changed = metadata.modified().map_err(fs::at(&path))?;
                    each(cid, metadata.len(), changed);
                }
            }
        }
        Ok(())
    }

    fn temporary(&self) -> PathBuf {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        self.root.join("tmp").join(number.to_string())
    }
}

/// A blob on its way to disk. Dropping it without finishing leaves nothing.
pub struct BlobWriter {
    blobs: BlobStore,
    hasher: blake3::Hasher,
    len: u64,
    small: Vec<u8>,
    large: Option<Disk>,
    started: u64,
    failed: bool,
}

impl BlobWriter {
    /// Adds bytes. Fails with [`StoreError::DiskFull`] before the reserve is touched.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let added = u64::try_from(bytes.len()).expect("usize is at most 64 bits");
        let len = self.len.saturating_add(added);
        if len > BLOB_BYTES {
            return Err(Refusal::TooLarge { bytes: len }.into());
        }
        if let Err(error) = fs::check_room(&self.blobs.0.root, added) {
            self.blobs.0.refused.fetch_max(len, Ordering::Relaxed);
            return Err(error.into());
        }
        self.hasher.update(bytes);
        if self.large.is_none() && self.small.len() + bytes.len() < SMALL_BYTES {
            self.small.extend(bytes);
            self.len = len;
            return Ok(());
        }
        let disk = match self.large.take() {
            Some(disk) => disk,
            None => {
                let disk = fs::create_within(&self.blobs.0.temporary())?;
                let small = std::mem::take(&mut self.small);
                if let Err(error) = disk.write_at(0, &small) {
                    self.large = Some(disk);
                    self.abandon();
                    return Err(error.into());
                }
                disk
            }
        };
        let written = disk.write_at(self.len, bytes);
        self.large = Some(disk);
        if let Err(error) = written {
            self.abandon();
            return Err(error.into());
        }
        self.len = len;
        if let Some(disk) = &self.large
            && self.len - self.started > WRITE_BACK_BYTES
        {
            self.started = self.len;
            disk.start_write_back();
        }
        Ok(())
    }

    /// After a failed write the blob can only be begun again.
    fn abandon(&mut self) {
        self.failed = true;
        if let Some(disk) = self.large.take() {
            // Opening clears the folder anyway.
            let _ = fs::remove(disk.path());
        }
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Ends the blob and names it.
    pub fn finish(mut self) -> Result<Stored, StoreError> {
        let cid = BlobId(*self.hasher.finalize().as_bytes());
        self.store(cid)
    }

    /// Ends the blob if it has the expected name; otherwise nothing stays.
    pub fn finish_as(mut self, expected: &BlobId) -> Result<Stored, StoreError> {
        let cid = BlobId(*self.hasher.finalize().as_bytes());
        if cid != *expected {
            let expected = *expected;
            return Err(Refusal::WrongBlob { expected }.into());
        }
        self.store(cid)
    }

    fn store(&mut self, cid: BlobId) -> Result<Stored, StoreError> {
        if self.failed {
            let what = "an earlier write of this blob failed";
            return Err(StoreError::Io(std::io::Error::other(what)));
        }
        let Some(disk) = self.large.take() else {
            let place = self.blobs.0.packs.append(cid, &self.small)?;
            return Ok(Stored { cid, place });
        };
        disk.start_write_back();
        let len = self.len;
        if self.blobs.0.queue(disk, cid) >= DIRTY_FILES {
            self.blobs.sync()?;
        }
        let place = BlobPlace::File { cid, len };
        Ok(Stored { cid, place })
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// A blob open for reading. Goes on working while the blob is being dropped.
#[derive(Clone, Debug)]
pub struct BlobReader {
    cid: BlobId,
    disk: Arc<Disk>,
    start: u64,
    len: u64,
}

impl BlobReader {
    fn new(cid: BlobId, disk: Arc<Disk>, start: u64, len: u64) -> Self {
        Self {
            cid,
            disk,
            start,
            len,
        }
    }

    /// The blob's length.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the blob has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills the buffer from an offset; what lies beyond the end is an error, and what the disk
    /// cannot read is [`Damage::Blob`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        let wanted = u64::try_from(buffer.len()).expect("usize is at most 64 bits");
        let end = offset.checked_add(wanted).filter(|end| *end <= self.len);
        if end.is_none() {
            return Err(StoreError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
        let read = self.disk.read_at(self.start + offset, buffer);
        read.map_err(|error| self.damaged(error))
    }

    /// BLAKE3 of the whole blob as it lies on disk.
    pub fn hash(&self) -> Result<BlobId, StoreError> {
        let hash = hash(&self.disk, self.start, self.len);
        hash.map_err(|error| self.damaged(error))
    }

    fn damaged(&self, error: std::io::Error) -> StoreError {
        StoreError::from(error).or_damage(|| Damage::Blob { cid: self.cid })
    }
}

fn is_whole(path: &Path, cid: &BlobId) -> std::io::Result<bool> {
    let disk = Disk::open(path)?;
    match hash(&disk, 0, disk.len()?) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(false),
        hash => Ok(hash? == *cid),
    }
}

fn read_list(path: &Path, max_bytes: u64) -> std::io::Result<Option<Vec<u8>>> {
    let disk = Disk::open(path)?;
    let bytes = disk.len()?;
    if bytes > max_bytes {
        return Ok(None);
    }
    let mut list = vec![0; usize::try_from(bytes).unwrap_or(0)];
    disk.read_at(0, &mut list)?;
    Ok(Some(list))
}

/// BLAKE3 of a part of a file.
pub(super) fn hash(disk: &Disk, start: u64, len: u64) -> std::io::Result<BlobId> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut at = 0;
    while at < len {
        let left = usize::try_from(len - at).unwrap_or(buffer.len());
        let part = left.min(buffer.len());
        disk.read_at(start + at, &mut buffer[..part])?;
        hasher.update(&buffer[..part]);
        at += u64::try_from(part).expect("a buffer fits");
    }
    Ok(BlobId(*hasher.finalize().as_bytes()))
}

impl fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlobStore").field(&self.0.root).finish()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
