//! Small blobs side by side in append-only files of at most 64 MiB.
//!
//! A record is a header (magic, length, name, checksum, one byte that says
//! whether it still counts) and the blob. Records are found by their place; the
//! walk over a whole pack is for making the index again. A pack is continued only
//! where its length is what the index last committed; otherwise the next one
//! begins, so that a torn record is always the last of its file. A pack that somebody
//! removed is not gone on with, and its number is never given again: the index may
//! still name what lay in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use heirloom_protocol::id::BlobId;

use super::blobs::BlobPlace;
use super::error::{Damage, Refusal, StoreError};
use super::fs::{self, Disk};
use super::record::Fields;

/// Blobs below this go into packs.
pub(crate) const SMALL_BYTES: usize = 256 * 1024;
/// Largest pack.
pub(crate) const PACK_BYTES: u64 = 64 * 1024 * 1024;

const FILE_MAGIC: &[u8; 16] = b"heirloom pack 1\n";
/// Where the first record lies.
const START: u64 = 16;
const MAGIC: [u8; 4] = [0xd7, b'B', b'l', 0x1a];
const HEAD: usize = 56;
const STATE: usize = 48;
const STATE_AT: u64 = 48;
const LIVE: u8 = 0;
const GONE: u8 = 1;
/// The file that names packs which a survey could not read.
const UNREAD: &str = "unread";
const OPEN_PACKS: usize = 32;
/// Most bits of a header that may be wrong for it to be that of a blob: of 384 no others agree by chance.
const WRONG_BITS: u32 = 8;
/// Unsynced bytes after which the system is told to start writing.
const WRITE_BACK_BYTES: u64 = 4 * 1024 * 1024;
/// Smallest unit that a file system can take back.
const PAGE: u64 = 4096;

/// How far a pack is committed: its number and its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PackEnd {
    pub(crate) pack: u32,
    pub(crate) end: u64,
}

/// A record found by the walk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Packed {
    pub(crate) cid: BlobId,
    pub(crate) pack: u32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// The pack being written.
#[derive(Default)]
struct Active {
    pack: u32,
    disk: Option<Arc<Disk>>,
    end: u64,
    /// Up to here it is durable.
    synced: u64,
    /// Up to here write-back was asked for.
    started: u64,
    /// Full packs that still want a sync, with what was durable of them.
    full: Vec<(u32, Arc<Disk>, u64)>,
    /// Packs whose sync failed, and how much of them counts.
    failed: BTreeMap<u32, u64>,
}

/// The folder of packs.
pub(crate) struct Packs {
    root: PathBuf,
    active: Mutex<Active>,
    open: Mutex<BTreeMap<u32, Arc<Disk>>>,
    /// A pack that the index names was noticed to be gone, or what is large.
    pub(super) is_short: AtomicBool,
    /// Packs that a survey could not read, and why: what lies in them is in no index.
    unread: Mutex<BTreeMap<u32, String>>,
}

impl Packs {
    /// Opens the folder; goes on with the pack that the index committed to, if it is as long as
    /// it said.
    pub(crate) fn open(root: PathBuf, committed: Option<PackEnd>) -> Result<Self, StoreError> {
        let packs = Self {
            root,
            active: Mutex::default(),
            open: Mutex::default(),
            is_short: AtomicBool::new(false),
            unread: Mutex::default(),
        };
        *lock(&packs.unread) = unread(&packs.root)?;
        let last = packs.numbers()?.last().copied();
        let mut active = lock(&packs.active);
        let given = last.max(committed.map(|committed| committed.pack));
        active.pack = given.map_or(1, |given| given.saturating_add(1));
        if committed.is_some_and(|committed| !packs.path(committed.pack).exists()) {
            packs.notice();
        }
        if let (Some(last), Some(committed)) = (last, committed)
            && last == committed.pack
            && committed.end < PACK_BYTES
        {
            let disk = Disk::open_to_write(&packs.path(last))?;
            if disk.len()? == committed.end {
                active.pack = last;
                active.disk = Some(Arc::new(disk));
                active.end = committed.end;
                active.synced = committed.end;
                active.started = committed.end;
            }
        }
        drop(active);
        Ok(packs)
    }

    fn notice(&self) {
        self.is_short.store(true, Ordering::Relaxed);
    }

    pub(super) fn path(&self, pack: u32) -> PathBuf {
        self.root.join(format!("{pack:06}.pack"))
    }

    /// All packs that have a file, in order.
    pub(crate) fn numbers(&self) -> Result<Vec<u32>, StoreError> {
        let names = fs::list(&self.root)?;
        let mut numbers: Vec<u32> = names
            .iter()
            .filter_map(|name| name.strip_suffix(".pack")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Appends a blob. Durable after [`sync`](Self::sync).
    pub(crate) fn append(&self, cid: BlobId, bytes: &[u8]) -> Result<BlobPlace, StoreError> {
        let len = u32::try_from(bytes.len()).expect("small blobs are below 256 KiB");
        let record = [header(cid, len).as_slice(), bytes].concat();
        let record_bytes = u64::from(len) + HEAD_BYTES;
        let mut active = lock(&self.active);
        if active.disk.as_ref().is_some_and(|disk| !disk.is_in_place()) {
            tracing::warn!(pack = active.pack, "a pack is gone: the next one is begun");
            active.leave();
            self.notice();
        }
        if active.disk.is_some() && active.end + record_bytes > PACK_BYTES {
            active.roll();
        }
        let disk = match &active.disk {
            Some(disk) => Arc::clone(disk),
            None => self.begin(&mut active)?,
        };
        let start = active.end;
        if let Err(error) = disk.write_at(start, &record) {
            if disk.set_len(start).is_err() {
                active.roll();
            }
            return Err(error.into());
        }
        active.end = start + record_bytes;
        if active.end - active.started > WRITE_BACK_BYTES {
            active.started = active.end;
            disk.start_write_back();
        }
        let offset = u32::try_from(start).expect("a pack is below 4 GiB");
        let pack = active.pack;
        Ok(BlobPlace::Pack { pack, offset, len })
    }

    fn begin(&self, active: &mut Active) -> Result<Arc<Disk>, StoreError> {
        fs::create_folder(&self.root)?;
        // One with this number may have been put there by somebody.
        while self.path(active.pack).exists() {
            active.pack += 1;
        }
        let disk = Arc::new(Disk::create(&self.path(active.pack))?);
        active.end = START;
        if let Err(error) = disk.write_at(0, FILE_MAGIC) {
            active.pack += 1;
            return Err(error.into());
        }
        active.synced = 0;
        active.started = active.end;
        active.disk = Some(Arc::clone(&disk));
        Ok(disk)
    }

    /// Makes everything appended durable and returns how far that is.
    ///
    /// After a failed sync what was not durable before is lost: the pack is cut back and closed,
    /// and places in the lost part are refused.
    pub(crate) fn sync(&self) -> Result<Option<PackEnd>, StoreError> {
        let (mut todo, current) = {
            let mut active = lock(&self.active);
            let todo = std::mem::take(&mut active.full);
            let current = active
                .disk
                .as_ref()
                .map(|disk| (active.pack, Arc::clone(disk), active.synced, active.end));
            (todo, current)
        };
        let new_file = current.as_ref().is_some_and(|current| current.2 == 0)
            || todo.iter().any(|(_, _, synced)| *synced == 0);
        if let Some((pack, disk, synced, end)) = &current
            && synced < end
        {
            todo.push((*pack, Arc::clone(disk), *synced));
        }
        // A new file counts for nothing before its name is durable.
        let named = match new_file {
            true => fs::sync_folder(&self.root),
            false => Ok(()),
        };
        let mut result = Ok(());
        for (pack, disk, synced) in todo {
            let lost = synced == 0 && named.is_err();
            let written = disk.sync();
            if lost || written.is_err() {
                let _ = disk.set_len(synced);
                lock(&self.active).fail(pack, synced);
            }
            result = result.and(written);
        }
        named.and(result)?;
        let Some((pack, _, _, end)) = current else {
            return Ok(None);
        };
        let mut active = lock(&self.active);
        if active.pack == pack {
            active.synced = active.synced.max(end);
        }
        Ok(Some(PackEnd { pack, end }))
    }

    /// Whether anything waits for a sync.
    pub(crate) fn is_dirty(&self) -> bool {
        let active = lock(&self.active);
        !active.full.is_empty() || (active.disk.is_some() && active.synced < active.end)
    }

    fn file(&self, pack: u32) -> Result<Arc<Disk>, StoreError> {
        let mut open = lock(&self.open);
        if let Some(disk) = open.get(&pack).filter(|disk| disk.is_in_place()) {
            return Ok(Arc::clone(disk));
        }
        let disk = Arc::new(Disk::open_to_write(&self.path(pack))?);
        if open.len() >= OPEN_PACKS {
            open.clear();
        }
        open.insert(pack, Arc::clone(&disk));
        Ok(disk)
    }

    /// The file with a blob and where its bytes begin, or nothing where that blob does not lie.
    pub(crate) fn locate(
        &self,
        cid: Option<&BlobId>,
        pack: u32,
        offset: u32,
        len: u32,
    ) -> Result<Option<(Arc<Disk>, u64)>, StoreError> {
        let offset = u64::from(offset);
        let lost = lock(&self.active).failed.get(&pack).copied();
        if lost.is_some_and(|counts| offset >= counts) {
            return Ok(None);
        }
        if !self.path(pack).exists() {
            self.notice();
            return Ok(None);
        }
        let disk = self.file(pack)?;
        let mut head = [0; HEAD];
        let start = offset + HEAD_BYTES;
        if start + u64::from(len) > disk.len()? {
            return Ok(None);
        }
        disk.read_at(offset, &mut head)?;
        let found = parse(&head).filter(|head| head.live && head.len == len);
        let found = found.filter(|head| cid.is_none_or(|cid| head.cid == *cid));
        Ok(found.map(|_| (disk, start)))
    }

    /// The name of the blob at a place, or nothing where none lies.
    pub(crate) fn name(&self, pack: u32, offset: u32) -> Result<Option<BlobId>, StoreError> {
        let (at, bytes) = (u64::from(offset), HEAD_BYTES);
        let damage = || Damage::Pack {
            pack,
            offset: at,
            bytes,
        };
        self.head_at(pack, offset)
            .map_err(|error| error.or_damage(damage))
    }

    fn head_at(&self, pack: u32, offset: u32) -> Result<Option<BlobId>, StoreError> {
        if !self.path(pack).exists() {
            return Ok(None);
        }
        let disk = self.file(pack)?;
        if u64::from(offset) + HEAD_BYTES > disk.len()? {
            return Ok(None);
        }
        let mut head = [0; HEAD];
        disk.read_at(u64::from(offset), &mut head)?;
        Ok(parse(&head).filter(|head| head.live).map(|head| head.cid))
    }

    /// Erases blobs: marks their records, durably, then gives their pages back. Returns how many
    /// bytes that were.
    pub(crate) fn erase(&self, records: &[(u32, u32, u32)]) -> Result<u64, StoreError> {
        let mut marked = Vec::new();
        for (pack, offset, len) in records {
            if let Some((disk, start)) = self.locate(None, *pack, *offset, *len)? {
                disk.write_at(u64::from(*offset) + STATE_AT, &[GONE])?;
                marked.push((disk, start, u64::from(*len)));
            }
        }
        let mut synced: Vec<&Arc<Disk>> = Vec::new();
        for (disk, ..) in &marked {
            if !synced.iter().any(|done| Arc::ptr_eq(done, disk)) {
                disk.sync()?;
                synced.push(disk);
            }
        }
        let mut bytes = 0;
        for (disk, start, len) in &marked {
            let first = start.next_multiple_of(PAGE);
            let last = (start + len) / PAGE * PAGE;
            if first < last && disk.punch(first, last - first) {
                bytes += last - first;
            }
        }
        Ok(bytes)
    }

    /// Marks the record of a damaged blob as one that does not count, durably. Its bytes stay until the
    /// pack goes: what a disk did not give once it may give later. Another blob's record is left alone.
    pub(crate) fn retire(
        &self,
        cid: &BlobId,
        pack: u32,
        offset: u32,
        len: u32,
    ) -> Result<(), StoreError> {
        if let Some((disk, _)) = self.locate(Some(cid), pack, offset, len)? {
            disk.write_at(u64::from(offset) + STATE_AT, &[GONE])?;
            disk.sync()?;
        }
        Ok(())
    }

    /// Writes the header of a record again, where its blob is whole; false where it is not.
    pub(crate) fn mend(
        &self,
        cid: &BlobId,
        pack: u32,
        offset: u32,
        len: u32,
    ) -> Result<bool, StoreError> {
        if !self.path(pack).exists() {
            return Ok(false);
        }
        let disk = self.file(pack)?;
        let start = u64::from(offset) + HEAD_BYTES;
        if start + u64::from(len) > disk.len()? {
            return Ok(false);
        }
        let whole = match super::blobs::hash(&disk, start, u64::from(len)) {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => false,
            hash => hash? == *cid,
        };
        if !whole {
            return Ok(false);
        }
        disk.write_at(u64::from(offset), &header(*cid, len))?;
        disk.sync()?;
        Ok(true)
    }

    /// The bytes of a blob as they lie there, whatever they are, as far as they do; zeros for what
    /// the disk cannot read.
    pub(crate) fn raw(&self, pack: u32, offset: u32, len: u32) -> Result<Vec<u8>, StoreError> {
        if !self.path(pack).exists() {
            return Ok(Vec::new());
        }
        let disk = self.file(pack)?;
        let start = u64::from(offset) + HEAD_BYTES;
        let there = disk.len()?.saturating_sub(start).min(u64::from(len));
        let mut bytes = vec![0; usize::try_from(there).expect("small blobs are below 256 KiB")];
        disk.read_what_there_is(start, &mut bytes)?;
        Ok(bytes)
    }

    /// What of a stretch that was found damaged still is: offsets and lengths in bytes.
    ///
    /// A stretch ends where a whole record begins, so what is whole by now is whole up to its end.
    pub(crate) fn damaged_within(
        &self,
        pack: u32,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<(u64, u64)>, StoreError> {
        let mut damaged = Vec::new();
        let end = offset.saturating_add(bytes);
        let disk = self.file(pack)?;
        walk_stretch(
            &disk,
            pack,
            (offset, end.min(disk.len()?)),
            end,
            &mut |record| {
                if let Err(Damage::Pack { offset, bytes, .. }) = record {
                    damaged.push((offset, bytes));
                }
            },
        )?;
        Ok(damaged)
    }

    /// Turns a damaged stretch that nothing points into into one record that does not count, so
    /// that it is not found again. False where it is too short for one.
    pub(crate) fn bury(&self, pack: u32, offset: u64, bytes: u64) -> Result<bool, StoreError> {
        let len = bytes
            .checked_sub(HEAD_BYTES)
            .and_then(|len| u32::try_from(len).ok());
        let Some(len) = len else { return Ok(false) };
        let mut head = header(BlobId([0; 32]), len);
        head[STATE] = GONE;
        let disk = self.file(pack)?;
        disk.write_at(offset, &head)?;
        disk.sync()?;
        Ok(true)
    }

    /// Removes packs that hold nothing that is used and were last written before then.
    pub(crate) fn remove_unused(
        &self,
        used: &BTreeSet<u32>,
        older: SystemTime,
    ) -> Result<u64, StoreError> {
        let active = lock(&self.active).pack;
        let mut bytes = 0;
        let unread = lock(&self.unread).clone();
        for pack in self.numbers()? {
            // The index does not know what lies in a pack that could not be read when it was made.
            if unread.contains_key(&pack) {
                continue;
            }
            let path = self.path(pack);
            let metadata = std::fs::metadata(&path).map_err(fs::at(&path))?;
            let changed = metadata.modified().map_err(fs::at(&path))?;
            // The last pack stays, so that its number is not given again.
            if pack + 1 < active && !used.contains(&pack) && changed < older {
                bytes += metadata.len();
                lock(&self.open).remove(&pack);
                fs::remove(&path)?;
            }
        }
        Ok(bytes)
    }

    /// Shows the live records of a pack, and the damage between them. Reads headers only.
    pub(crate) fn walk(
        &self,
        pack: u32,
        mut each: impl FnMut(Result<Packed, Damage>),
    ) -> Result<(), StoreError> {
        self.walk_up_to(pack, |_| self.written(pack), &mut each)
    }

    /// The live records of all packs by their names, for an index that is made again. A record of which
    /// the header alone is damaged is found by its blob, and its header written again: afterwards nothing
    /// would tell any more that a blob lies there.
    ///
    /// A pack that cannot be read hides no other. It is kept, and noted durably: once it can be read, the
    /// index is to be made again.
    pub(crate) fn survey(&self) -> Result<Vec<Packed>, StoreError> {
        let (mut found, mut damaged, mut unread) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut each = |record: Result<Packed, Damage>| match record {
            Ok(record) => found.push(record),
            Err(damage) => damaged.push(damage),
        };
        for pack in self.numbers()? {
            if let Err(error) = self.walk_up_to(pack, |len| len, &mut each) {
                tracing::warn!(pack, %error, "a pack cannot be read");
                unread.insert(pack, error.to_string());
            }
        }
        if self.root.exists() {
            fs::sync_folder(&self.root)?;
        }
        for damage in damaged {
            if let Damage::Pack {
                pack,
                offset,
                bytes,
            } = damage
            {
                match self.recover(pack, offset, bytes) {
                    Ok(recovered) => found.extend(recovered),
                    Err(error) => {
                        tracing::warn!(pack, %error, "a damaged stretch cannot be read");
                        unread.insert(pack, error.to_string());
                    }
                }
            }
        }
        self.note_unread(unread)?;
        found.sort_unstable();
        Ok(found)
    }

    /// Packs that could not be read when the index was made, and why.
    pub(crate) fn unread(&self) -> BTreeMap<u32, String> {
        let mut unread = lock(&self.unread).clone();
        unread.retain(|pack, _| self.path(*pack).exists());
        unread
    }

    fn note_unread(&self, unread: BTreeMap<u32, String>) -> Result<(), StoreError> {
        let path = self.root.join(UNREAD);
        let lines = unread.iter().map(|(pack, why)| {
            let why = why.replace(char::is_control, " ");
            format!("{pack} {why}\n")
        });
        match unread.is_empty() {
            true => fs::remove(&path)?,
            false => fs::write_whole(&path, lines.collect::<String>().as_bytes())?,
        }
        *lock(&self.unread) = unread;
        Ok(())
    }

    /// Writes the header of a damaged stretch again if that is one record, whose blob has a name that
    /// the header is but a few bits away from.
    fn recover(&self, pack: u32, offset: u64, bytes: u64) -> Result<Option<Packed>, StoreError> {
        let len = bytes
            .checked_sub(HEAD_BYTES)
            .and_then(|len| u32::try_from(len).ok());
        let small = u32::try_from(SMALL_BYTES).expect("256 KiB fits");
        let (Some(len), Ok(at)) = (len.filter(|len| *len <= small), u32::try_from(offset)) else {
            return Ok(None);
        };
        let disk = self.file(pack)?;
        let cid = match super::blobs::hash(&disk, offset + HEAD_BYTES, u64::from(len)) {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Ok(None),
            hash => hash?,
        };
        let (mut head, whole) = ([0; HEAD], header(cid, len));
        disk.read_what_there_is(offset, &mut head)?;
        let pairs = head[..STATE].iter().zip(&whole[..STATE]);
        let wrong: u32 = pairs.map(|(is, was)| (is ^ was).count_ones()).sum();
        if wrong > WRONG_BITS || head[STATE] == GONE {
            return Ok(None);
        }
        disk.write_at(offset, &whole)?;
        disk.sync()?;
        Ok(Some(Packed {
            cid,
            pack,
            offset: at,
            len,
        }))
    }

    fn walk_up_to(
        &self,
        pack: u32,
        written: impl Fn(u64) -> u64,
        each: &mut impl FnMut(Result<Packed, Damage>),
    ) -> Result<(), StoreError> {
        let disk = self.file(pack)?;
        let written = written(disk.len()?);
        // Whatever lies here is soon relied upon, and no sync may have reached it.
        disk.sync()?;
        let all = (START, disk.len()?);
        walk_stretch(&disk, pack, all, written, each)
    }

    /// Up to where a pack holds whole records and nothing torn. More is known only of the one that is gone
    /// on with, and there it matters: what is appended would make of a damaged end damage amid records.
    fn written(&self, pack: u32) -> u64 {
        let active = lock(&self.active);
        let is_active = active.pack == pack && active.disk.is_some();
        if is_active { active.end } else { 0 }
    }

    /// Lengths of all packs.
    pub(crate) fn bytes(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for pack in self.numbers()? {
            // One that cannot be read is named by who looks into it.
            bytes += std::fs::metadata(self.path(pack)).map_or(0, |pack| pack.len());
        }
        Ok(bytes)
    }
}

/// The packs that a survey could not read, as it noted them.
fn unread(root: &Path) -> Result<BTreeMap<u32, String>, StoreError> {
    let path = root.join(UNREAD);
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        read => read.map_err(fs::at(&path))?,
    };
    let text = String::from_utf8_lossy(&text);
    let pack = |line: &str| {
        let (pack, why) = line.split_once(' ')?;
        Some((pack.parse().ok()?, why.to_owned()))
    };
    Ok(text.lines().filter_map(pack).collect())
}

/// Whether a pack under a folder of blobs could not be read when the index was made, and can be now.
pub(crate) fn reads_again(blobs: &Path) -> Result<bool, StoreError> {
    let root = blobs.join("packs");
    let reads = |pack: &u32| {
        let disk = Disk::open_to_write(&root.join(format!("{pack:06}.pack")));
        disk.is_ok_and(|disk| disk.read_at(0, &mut [0; FILE_MAGIC.len()]).is_ok())
    };
    Ok(unread(&root)?.keys().any(reads))
}

impl Active {
    /// Ends the pack; the next append begins another.
    fn roll(&mut self) {
        if let Some(disk) = self.disk.take() {
            self.full.push((self.pack, disk, self.synced));
            self.pack += 1;
            self.end = 0;
            self.synced = 0;
        }
    }

    fn fail(&mut self, pack: u32, counts: u64) {
        self.failed.insert(pack, counts);
        if self.pack == pack {
            self.leave();
        }
    }

    /// Lets the pack be; the next append begins another.
    fn leave(&mut self) {
        self.disk = None;
        self.pack += 1;
        self.end = 0;
        self.synced = 0;
    }
}

struct Head {
    cid: BlobId,
    len: u32,
    live: bool,
}

const HEAD_BYTES: u64 = 56;

fn check(len: u32, cid: &BlobId) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_derive_key("heirloom 2026 v1 pack record");
    hasher.update(&len.to_le_bytes());
    hasher.update(&cid.0);
    let mut check = [0; 8];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    check
}

fn header(cid: BlobId, len: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&len.to_le_bytes());
    head[8..40].copy_from_slice(&cid.0);
    head[40..48].copy_from_slice(&check(len, &cid));
    head[STATE] = LIVE;
    head
}

fn parse(head: &[u8; HEAD]) -> Option<Head> {
    let mut fields = Fields(head);
    let magic: [u8; 4] = fields.array()?;
    let len = fields.u32()?;
    let cid = BlobId(fields.array()?);
    let sum: [u8; 8] = fields.array()?;
    let state = fields.byte()?;
    let whole = magic == MAGIC && sum == check(len, &cid);
    let live = state == LIVE;
    whole.then_some(Head { cid, len, live })
}

/// Shows the live records between two offsets, of which the first is where a record begins, and the damage
/// between them; at the end only what lies before `written`: the rest is torn, and nobody was told otherwise.
fn walk_stretch(
    disk: &Disk,
    pack: u32,
    (start, end): (u64, u64),
    written: u64,
    each: &mut impl FnMut(Result<Packed, Damage>),
) -> Result<(), StoreError> {
    let mut at = start;
    let mut damaged = None;
    let damage = |offset: u64, end: u64, each: &mut dyn FnMut(Result<Packed, Damage>)| {
        let bytes = end.saturating_sub(offset);
        if bytes > 0 {
            each(Err(Damage::Pack {
                pack,
                offset,
                bytes,
            }));
        }
    };
    while at + HEAD_BYTES <= end {
        let mut head = [0; HEAD];
        disk.read_what_there_is(at, &mut head)?;
        let found = parse(&head).filter(|head| at + HEAD_BYTES + u64::from(head.len) <= end);
        let Some(head) = found else {
            damaged.get_or_insert(at);
            match resume(disk, at + 1, end)? {
                Some(next) => at = next,
                None => break,
            }
            continue;
        };
        if let Some(offset) = damaged.take() {
            damage(offset, at, each);
        }
        if head.live {
            let offset = u32::try_from(at).map_err(|_| Refusal::TooLarge { bytes: at })?;
            let (cid, len) = (head.cid, head.len);
            each(Ok(Packed {
                cid,
                pack,
                offset,
                len,
            }));
        }
        at += HEAD_BYTES + u64::from(head.len);
    }
    if let Some(offset) = damaged {
        damage(offset, written, each);
    }
    Ok(())
}

/// The next offset with a whole header.
fn resume(disk: &Disk, from: u64, end: u64) -> Result<Option<u64>, StoreError> {
    let mut window = vec![0; SMALL_BYTES];
    let mut at = from;
    while at + HEAD_BYTES <= end {
        let left = usize::try_from(end - at).unwrap_or(window.len());
        let left = left.min(window.len());
        disk.read_what_there_is(at, &mut window[..left])?;
        for (index, head) in window[..left].windows(HEAD).enumerate() {
            let head: &[u8; HEAD] = head.try_into().expect("windows of this size");
            if head.starts_with(&MAGIC) && parse(head).is_some() {
                return Ok(Some(at + u64::try_from(index).expect("a window fits")));
            }
        }
        at += u64::try_from(left - HEAD + 1).expect("a window fits");
    }
    Ok(None)
}

/// Where a pack lies under the folder of blobs; for tests that damage one.
#[cfg(test)]
pub(crate) fn path_of(root: &Path, pack: u32) -> PathBuf {
    root.join(format!("packs/{pack:06}.pack"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
