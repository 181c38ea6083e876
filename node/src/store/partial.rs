//! A blob that is still coming in, leaf by leaf, in any order, over any number of starts.
//!
//! The bytes go into a sparse file of the final length; which leaves are whole is
//! noted beside it, and only after the bytes are durable. After a restart every
//! leaf that the note claims is verified again, so a note can be wrong in either
//! direction without harm: at worst something is fetched twice, and a leaf that
//! the disk cannot read is one that has not come. The leaves
//! themselves are verified by the caller, who has the list.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use heirloom_protocol::id::BlobId;
use heirloom_protocol::limits::{BLOB_BYTES, LEAF_BYTES};
use roaring::RoaringBitmap;

use super::blobs::{BlobPlace, BlobStore, Blobs, Stored, hash, lock};
use super::collect::Collected;
use super::error::{Refusal, StoreError};
use super::fs::{self, Disk};
use super::pack::SMALL_BYTES;

/// Verified bytes after which the note is brought up to date.
const NOTE_BYTES: u64 = 8 * 1024 * 1024;
/// How long verified bytes wait for a note at most, as long as more come.
const NOTE_AFTER: Duration = Duration::from_secs(5);
const CHECK: usize = 8;

/// An unfinished blob. Several threads may add leaves at once.
#[derive(Debug)]
pub struct PartialBlob {
    blobs: BlobStore,
    cid: BlobId,
    len: u64,
    disk: Option<Disk>,
    progress: Mutex<Progress>,
    /// One note is written at a time.
    noting: Mutex<()>,
    /// Finished: stays busy until the sync has moved the file.
    queued: bool,
}

#[derive(Debug, Default)]
struct Progress {
    have: RoaringBitmap,
    unnoted: u64,
    /// When the first of the leaves came that no note claims.
    since: Option<Instant>,
}

impl BlobStore {
    /// Opens or begins a partial blob of a known length. `verify` is asked for every leaf that an
    /// earlier run claims to have.
    ///
    /// Fails with [`Refusal::Busy`] while another handle on the same blob lives, and with
    /// [`StoreError::DiskFull`] where the whole blob would not fit.
    pub fn partial(
        &self,
        cid: &BlobId,
        len: u64,
        mut verify: impl FnMut(u64, &[u8]) -> bool,
    ) -> Result<PartialBlob, StoreError> {
        if len > BLOB_BYTES || len == 0 {
            return Err(Refusal::TooLarge { bytes: len }.into());
        }
        if !lock(&self.0.partial).insert(*cid) {
            return Err(Refusal::Busy { cid: *cid }.into());
        }
        let mut partial = PartialBlob {
            blobs: self.clone(),
            cid: *cid,
            len,
            disk: None,
            progress: Mutex::default(),
            noting: Mutex::default(),
            queued: false,
        };
        let path = self.0.partial_path(cid);
        if path.exists() {
            let disk = Disk::open_to_write(&path)?;
            if disk.len()? == len {
                partial.disk = Some(disk);
                partial.resume(&mut verify)?;
                return Ok(partial);
            }
            fs::remove(&path)?;
        }
        fs::remove(&self.0.note_path(cid))?;
        fs::check_room(&self.0.root, len)?;
        let disk = fs::create_within(&path)?;
        disk.set_len(len)?;
        partial.disk = Some(disk);
        Ok(partial)
    }

    /// The partial blobs on disk.
    pub fn partials(&self) -> Result<Vec<BlobId>, StoreError> {
        let names = fs::list(&self.0.root.join("partial"))?;
        Ok(names
            .iter()
            .filter_map(|name| BlobId::from_hex(name))
            .collect())
    }

    /// The partial blobs on disk, with the bytes that each takes there: fewer than its length while it
    /// has holes.
    pub(crate) fn partial_sizes(&self) -> Result<BTreeMap<BlobId, u64>, StoreError> {
        let mut sizes = BTreeMap::new();
        for cid in self.partials()? {
            // One that was ended meanwhile takes nothing.
            if let Ok(file) = std::fs::metadata(self.0.partial_path(&cid)) {
                sizes.insert(cid, fs::taken(&file));
            }
        }
        Ok(sizes)
    }

    /// Removes the partial blobs to which nothing was added since `older`; those that are open stay.
    pub(crate) fn sweep_partials(&self, older: SystemTime) -> Result<Collected, StoreError> {
        let mut swept = Collected::default();
        for cid in self.partials()? {
            let path = self.0.partial_path(&cid);
            let Ok(file) = std::fs::metadata(&path) else {
                continue;
            };
            if file.modified().map_err(fs::at(&path))? >= older {
                continue;
            }
            match self.remove_partial(&cid) {
                Ok(()) => {
                    swept.blobs += 1;
                    swept.bytes += fs::taken(&file);
                }
                Err(StoreError::Refused(Refusal::Busy { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(swept)
    }

    /// Removes a partial blob that nobody wants any more; one that is open is left alone.
    pub fn remove_partial(&self, cid: &BlobId) -> Result<(), StoreError> {
        let open = lock(&self.0.partial);
        if open.contains(cid) {
            return Err(Refusal::Busy { cid: *cid }.into());
        }
        fs::remove(&self.0.note_path(cid))?;
        Ok(fs::remove(&self.0.partial_path(cid))?)
    }
}

impl Blobs {
    fn partial_path(&self, cid: &BlobId) -> PathBuf {
        self.root.join("partial").join(cid.to_string())
    }

    fn note_path(&self, cid: &BlobId) -> PathBuf {
        self.partial_path(cid).with_extension("have")
    }
}

impl PartialBlob {
    /// The blob's name.
    pub fn cid(&self) -> BlobId {
        self.cid
    }

    /// The whole blob's length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never true; a blob has at least one byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many leaves the blob has.
    pub fn leaves(&self) -> u32 {
        let leaves = self.len.div_ceil(leaf_bytes());
        u32::try_from(leaves).expect("the largest blob has 16 million leaves")
    }

    /// The leaves that are still missing.
    pub fn missing(&self) -> RoaringBitmap {
        let mut missing = RoaringBitmap::new();
        missing.insert_range(0..self.leaves());
        missing - &lock(&self.progress).have
    }

    /// Writes a leaf that the caller has verified. A wrong length is refused.
    pub fn write_leaf(&self, index: u32, bytes: &[u8]) -> Result<(), StoreError> {
        let (offset, len) = self.extent(index)?;
        if bytes.len() != len {
            let bytes = u64::try_from(bytes.len()).expect("usize is at most 64 bits");
            return Err(Refusal::TooLarge { bytes }.into());
        }
        self.disk()?.write_at(offset, bytes)?;
        let mut progress = lock(&self.progress);
        progress.have.insert(index);
        progress.unnoted += u64::try_from(len).expect("a leaf fits");
        let since = *progress.since.get_or_insert_with(Instant::now);
        let due = progress.unnoted >= NOTE_BYTES || since.elapsed() >= NOTE_AFTER;
        drop(progress);
        if due { self.note() } else { Ok(()) }
    }

    /// Reads a leaf that is here, to pass it on while the rest is still coming.
    pub fn read_leaf(&self, index: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let (offset, len) = self.extent(index)?;
        if !lock(&self.progress).have.contains(index) {
            return Ok(None);
        }
        let mut bytes = vec![0; len];
        self.disk()?.read_at(offset, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// Makes the leaves durable and notes them, so that a restart begins from here.
    pub fn note(&self) -> Result<(), StoreError> {
        let _turn = lock(&self.noting);
        let have = {
            let mut progress = lock(&self.progress);
            progress.unnoted = 0;
            progress.since = None;
            progress.have.clone()
        };
        // The note must never be ahead of the bytes.
        self.disk()?.sync()?;
        let mut list = Vec::with_capacity(have.serialized_size());
        have.serialize_into(&mut list)
            .expect("writing to memory cannot fail");
        let note = [check(&self.cid, &list).as_slice(), &list].concat();
        let path = self.blobs.0.note_path(&self.cid);
        let disk = if path.exists() {
            Disk::open_to_write(&path)?
        } else {
            Disk::create(&path)?
        };
        disk.set_len(0)?;
        disk.write_at(0, &note)?;
        Ok(())
    }

    /// Ends the blob: hashes it as a whole and puts it in its place. Durable after the next sync
    /// or the commit that names it.
    ///
    /// Where leaves are missing this is refused. Where the hash is wrong the bytes are thrown
    /// away: then the list of leaves was not the one of this blob.
    pub fn finish(mut self) -> Result<Stored, StoreError> {
        let cid = self.cid;
        if !self.missing().is_empty() {
            return Err(Refusal::Incomplete { cid }.into());
        }
        let disk = self.disk.take().ok_or(Refusal::Incomplete { cid })?;
        let blobs = self.blobs.0.clone();
        let whole = match hash(&disk, 0, self.len) {
            Err(error) if error.kind() == ErrorKind::InvalidData => false,
            hash => hash? == cid,
        };
        if !whole {
            fs::remove(disk.path())?;
            fs::remove(&blobs.note_path(&cid))?;
            return Err(Refusal::WrongBlob { expected: cid }.into());
        }
        let len = self.len;
        if len < u64::try_from(SMALL_BYTES).expect("256 KiB fits") {
            let mut bytes = vec![0; usize::try_from(len).expect("below 256 KiB")];
            disk.read_at(0, &mut bytes)?;
            let stored = self.blobs.put_as(&cid, &bytes)?;
            fs::remove(disk.path())?;
            fs::remove(&blobs.note_path(&cid))?;
            return Ok(stored);
        }
        fs::remove(&blobs.note_path(&cid))?;
        self.queued = true;
        blobs.queue(disk, cid);
        let place = BlobPlace::File { cid, len };
        Ok(Stored { cid, place })
    }

    /// Gives the blob up and frees its bytes.
    pub fn discard(mut self) -> Result<(), StoreError> {
        self.disk = None;
        fs::remove(&self.blobs.0.note_path(&self.cid))?;
        Ok(fs::remove(&self.blobs.0.partial_path(&self.cid))?)
    }

    fn disk(&self) -> Result<&Disk, StoreError> {
        let cid = self.cid;
        Ok(self.disk.as_ref().ok_or(Refusal::Incomplete { cid })?)
    }

    fn extent(&self, index: u32) -> Result<(u64, usize), StoreError> {
        let offset = u64::from(index) * leaf_bytes();
        if offset >= self.len {
            return Err(Refusal::TooLarge { bytes: offset }.into());
        }
        let len = (self.len - offset).min(leaf_bytes());
        Ok((offset, usize::try_from(len).expect("a leaf fits")))
    }

    fn resume(&self, verify: &mut impl FnMut(u64, &[u8]) -> bool) -> Result<(), StoreError> {
        let mut claims = RoaringBitmap::new();
        claims.insert_range(0..self.leaves());
        if let Some(noted) = self.noted()? {
            claims &= noted;
        }
        let mut have = RoaringBitmap::new();
        let mut leaf = vec![0; LEAF_BYTES];
        for index in claims {
            let (offset, len) = self.extent(index)?;
            match self.disk()?.read_at(offset, &mut leaf[..len]) {
                // A bad sector: the leaf comes again, and is written over it.
                Err(error) if error.kind() == ErrorKind::InvalidData => continue,
                read => read?,
            }
            if verify(u64::from(index), &leaf[..len]) {
                have.insert(index);
            }
        }
        lock(&self.progress).have = have;
        Ok(())
    }

    /// What the note claims; nothing where it is missing, torn or unreadable, and then all leaves are tried.
    fn noted(&self) -> Result<Option<RoaringBitmap>, StoreError> {
        let path = self.blobs.0.note_path(&self.cid);
        if !path.exists() {
            return Ok(None);
        }
        let note = match read_note(&path) {
            Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(None),
            note => note?,
        };
        let Some((sum, list)) = note.split_first_chunk::<CHECK>() else {
            return Ok(None);
        };
        if check(&self.cid, list) != *sum {
            return Ok(None);
        }
        Ok(RoaringBitmap::deserialize_from(list).ok())
    }
}

impl Drop for PartialBlob {
    fn drop(&mut self) {
        if !self.queued {
            lock(&self.blobs.0.partial).remove(&self.cid);
        }
    }
}

fn read_note(path: &Path) -> io::Result<Vec<u8>> {
    let disk = Disk::open(path)?;
    let mut note = vec![0; usize::try_from(disk.len()?).unwrap_or(0)];
    disk.read_at(0, &mut note)?;
    Ok(note)
}

fn leaf_bytes() -> u64 {
    u64::try_from(LEAF_BYTES).expect("64 KiB fits")
}

fn check(cid: &BlobId, list: &[u8]) -> [u8; CHECK] {
    let mut hasher = blake3::Hasher::new_derive_key("heirloom 2026 v1 partial blob");
    hasher.update(&cid.0);
    hasher.update(list);
    let mut check = [0; CHECK];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK]);
    check
}
