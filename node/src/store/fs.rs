//! The few things the store does to a file system, each in one place.
//!
//! Everything is created private (0600, 0700) at open, reads and writes name
//! their offset, and whoever makes a name durable syncs its folder. Tests hang
//! a hook in here that sees, fails or records every change. Nothing here knows
//! what the bytes mean.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Bytes that blobs leave free for the index and the logs.
const FREE_BYTES: u64 = 64 * 1024 * 1024;
/// What is read at once where a larger read fails: no disk has larger sectors.
const PIECE_BYTES: usize = 4096;
/// What a large photo takes: with less room, and less than a sixteenth of a small disk, most are refused.
const PHOTO_BYTES: u64 = 16 * 1024 * 1024;
/// With more room than this photos are taken, whatever large movie was refused.
const MOVIE_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes below which a commit may not find the room it needs.
const LOW_BYTES: u64 = 2 * 1024 * 1024;

/// A change on disk, as tests see it just before it happens.
#[derive(Debug)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "only the hook of the tests looks inside")
)]
pub(crate) enum Change<'a> {
    Create(&'a Path),
    Write(&'a Path, u64, &'a [u8]),
    SetLen(&'a Path, u64),
    Sync(&'a Path),
    CreateFolder(&'a Path),
    SyncFolder(&'a Path),
    Rename(&'a Path, &'a Path),
    Remove(&'a Path),
}

#[cfg(not(test))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "the tests' version of this can fail"
)]
pub(crate) fn note(_: Change<'_>) -> io::Result<()> {
    Ok(())
}

#[cfg(not(test))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "the tests' version of this can fail"
)]
fn note_read(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
use hook::note_read;

#[cfg(test)]
pub(crate) use hook::note;

#[cfg(test)]
pub(crate) mod hook {
    use std::cell::RefCell;
    use std::io;
    use std::path::Path;

    use super::Change;

    type Hook = Box<dyn FnMut(&Change<'_>) -> io::Result<()>>;

    type Reads = Box<dyn FnMut(&Path) -> io::Result<()>>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
        static READS: RefCell<Option<Reads>> = const { RefCell::new(None) };
    }

    /// Lets `hook` see of which file each read of this thread is while `act` runs.
    pub(crate) fn with_reads<R>(
        hook: impl FnMut(&Path) -> io::Result<()> + 'static,
        act: impl FnOnce() -> R,
    ) -> R {
        READS.with(|slot| *slot.borrow_mut() = Some(Box::new(hook)));
        let result = act();
        READS.with(|slot| *slot.borrow_mut() = None);
        result
    }

    pub(super) fn note_read(path: &Path) -> io::Result<()> {
        READS.with(|slot| {
            let mut hook = slot.borrow_mut();
            hook.as_mut().map_or(Ok(()), |hook| hook(path))
        })
    }

    /// Lets `hook` see each change that this thread makes while `act` runs.
    pub(crate) fn with<R>(
        hook: impl FnMut(&Change<'_>) -> io::Result<()> + 'static,
        act: impl FnOnce() -> R,
    ) -> R {
        HOOK.with(|slot| *slot.borrow_mut() = Some(Box::new(hook)));
        let result = act();
        HOOK.with(|slot| *slot.borrow_mut() = None);
        result
    }

    pub(crate) fn note(change: Change<'_>) -> io::Result<()> {
        HOOK.with(|slot| match slot.try_borrow_mut() {
            Ok(mut hook) => hook.as_mut().map_or(Ok(()), |hook| hook(&change)),
            Err(_) => Ok(()),
        })
    }
}

/// Puts the path into an error, keeping its kind.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The same for reads. What the disk cannot give, as with a bad sector, is data that is not as it was
/// written: [`io::ErrorKind::InvalidData`].
fn at_read(path: &Path) -> impl FnOnce(io::Error) -> io::Error + '_ {
    move |error| match crate::sys::is_unreadable(&error) {
        true => at(path)(io::Error::new(io::ErrorKind::InvalidData, error)),
        false => at(path)(error),
    }
}

/// An open file that remembers its path.
#[derive(Debug)]
pub(crate) struct Disk {
    file: File,
    path: PathBuf,
}

impl Disk {
    /// Opens an existing file for reading.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path).map_err(at_read(path))?;
        Ok(Self::of(file, path))
    }

    /// Opens an existing file for reading and writing.
    pub(crate) fn open_to_write(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = options.open(path).map_err(at(path))?;
        Ok(Self::of(file, path))
    }

    /// Creates a file that must not exist, mode 0600 from its first moment.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        note(Change::Create(path))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = private(&mut options).open(path).map_err(at(path))?;
        Ok(Self::of(file, path))
    }

    fn of(file: File, path: &Path) -> Self {
        Self {
            file,
            path: path.to_owned(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata().map_err(at_read(&self.path))?.len())
    }

    /// Whether its path still leads to it: an open file outlives its name, and what goes into it then is
    /// nowhere once it is closed.
    pub(crate) fn is_in_place(&self) -> bool {
        let (Ok(named), Ok(open)) = (fs::metadata(&self.path), self.file.metadata()) else {
            return false;
        };
        is_same(&named, &open)
    }

    /// Fills the buffer from an offset, or fails with `UnexpectedEof`.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        note_read(&self.path)
            .and_then(|()| read_exact_at(&self.file, offset, buffer))
            .map_err(at_read(&self.path))
    }

    /// Fills the buffer from an offset with what the disk gives, and with zeros where it gives nothing.
    pub(crate) fn read_what_there_is(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let read = self.read_at(offset, buffer);
        if !matches!(&read, Err(error) if error.kind() == io::ErrorKind::InvalidData) {
            return read;
        }
        let mut at = offset;
        for piece in buffer.chunks_mut(PIECE_BYTES) {
            match self.read_at(at, piece) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => piece.fill(0),
                other => other?,
            }
            at += u64::try_from(piece.len()).expect("a piece fits");
        }
        Ok(())
    }

    /// Writes all bytes at an offset. Not durable before [`sync`](Self::sync).
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        note(Change::Write(&self.path, offset, bytes))?;
        write_all_at(&self.file, offset, bytes).map_err(at(&self.path))
    }

    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        note(Change::SetLen(&self.path, len))?;
        self.file.set_len(len).map_err(at(&self.path))
    }

    /// Makes the content durable, not the name. After an error the pages may be
    /// clean and yet not on disk: what was written since the last success counts
    /// as lost and is written again.
    pub(crate) fn sync(&self) -> io::Result<()> {
        note(Change::Sync(&self.path))?;
        self.file.sync_data().map_err(at(&self.path))
    }

    /// Asks the system to start writing back, without waiting. Only a hint.
    pub(crate) fn start_write_back(&self) {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{Advice, fadvise};
            // DONTNEED starts write-back of dirty pages at once; rustix has no sync_file_range.
            let _ = fadvise(&self.file, 0, None, Advice::DontNeed);
        }
    }

    /// Gives the pages inside a range back to the file system; they read as zeros. False where
    /// the file system cannot.
    pub(crate) fn punch(&self, offset: u64, len: u64) -> bool {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&self.file, flags, offset, len).is_ok()
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (offset, len);
            false
        }
    }

    /// The file itself, for the database.
    pub(crate) fn into_file(self) -> File {
        self.file
    }
}

#[cfg(unix)]
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Such a system lets nobody remove a file that is open.
#[cfg(not(unix))]
fn is_same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(unix)]
fn write_all_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !buffer.is_empty() {
        let read = file.seek_read(buffer, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[read..];
        offset += u64::try_from(read).expect("a read fits 64 bits");
    }
    Ok(())
}

#[cfg(windows)]
fn write_all_at(file: &File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        let written = file.seek_write(bytes, offset)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[written..];
        offset += u64::try_from(written).expect("a write fits 64 bits");
    }
    Ok(())
}

/// Creates a folder (0700) and those above it that are missing, each name durable. An existing
/// folder is left as it is.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    for folder in create_folder_unsynced(path)? {
        sync_folder(&folder)?;
    }
    Ok(())
}

/// Like [`create_folder`], but the names are durable only once the folders that this returns
/// were synced.
pub(crate) fn create_folder_unsynced(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_dir() {
        return Ok(Vec::new());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let mut changed = match above {
        Some(above) => create_folder_unsynced(above)?,
        None => Vec::new(),
    };
    note(Change::CreateFolder(path))?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.map_err(at(path))?,
    }
    changed.push(above.unwrap_or_else(|| Path::new(".")).to_owned());
    Ok(changed)
}

/// Creates a file, and its folder where somebody removed that.
pub(crate) fn create_within(path: &Path) -> io::Result<Disk> {
    match Disk::create(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_folder(path.parent().unwrap_or_else(|| Path::new(".")))?;
            Disk::create(path)
        }
        created => created,
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    note(Change::SyncFolder(path))?;
    #[cfg(unix)]
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(at(path))?;
    Ok(())
}

/// Threads that sync at once: a disk joins the flushes that wait for it.
#[cfg(not(test))]
const SYNC_THREADS: usize = 8;
// The hook sees only its own thread.
#[cfg(test)]
const SYNC_THREADS: usize = 1;

/// Runs something slow for each item, several at once, and returns how each ended.
pub(crate) fn at_once<T: Sync>(
    items: &[T],
    act: impl Fn(&T) -> io::Result<()> + Sync,
) -> Vec<io::Result<()>> {
    if SYNC_THREADS == 1 || items.len() < SYNC_THREADS {
        return items.iter().map(act).collect();
    }
    let act = &act;
    let share = items.len().div_ceil(SYNC_THREADS);
    std::thread::scope(|scope| {
        let workers: Vec<_> = items
            .chunks(share)
            .map(|share| scope.spawn(move || share.iter().map(act).collect::<Vec<_>>()))
            .collect();
        let joined = workers.into_iter().zip(items.chunks(share));
        let ended = joined.flat_map(|(worker, share)| {
            worker.join().unwrap_or_else(|_| {
                let lost = || io::Error::other("a thread that syncs died");
                share.iter().map(|_| Err(lost())).collect()
            })
        });
        ended.collect()
    })
}

/// Makes the names in the folder around a path durable.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    sync_folder(path.parent().unwrap_or_else(|| Path::new(".")))
}

/// Renames, replacing what has the new name. Not durable before the folder is synced.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    note(Change::Rename(from, to))?;
    fs::rename(from, to).map_err(at(from))
}

/// Removes a file; one that is not there is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    note(Change::Remove(path))?;
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(at(path)),
    }
}

/// Replaces a small file as a whole: temporary file, sync, rename, sync of the folder.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    remove(&temporary)?;
    let disk = Disk::create(&temporary)?;
    disk.write_at(0, bytes)?;
    disk.sync()?;
    rename(&temporary, path)?;
    sync_folder_of(path)
}

/// Moves a file out of the way under the first free `<name>.<word>-<n>`; the bytes stay.
pub(crate) fn set_aside(path: &Path, word: &str) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut number = 1_u32;
    let aside = loop {
        let aside = path.with_file_name(format!("{name}.{word}-{number}"));
        if !aside.exists() {
            break aside;
        }
        number += 1;
    };
    rename(path, &aside)?;
    sync_folder_of(path)?;
    Ok(aside)
}

/// The names in a folder, sorted; an absent folder has none.
pub(crate) fn list(path: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(at(path))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is not UTF-8 is none of ours.
        if let Ok(name) = entry.map_err(at(path))?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The mode bits that others have, or `None` where the path is private or the system has no modes.
#[cfg(unix)]
pub(crate) fn loose_mode(path: &Path) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).map_err(at(path))?.permissions().mode() & 0o7777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

/// The mode bits that others have, or `None` where the path is private or the system has no modes.
#[cfg(not(unix))]
pub(crate) fn loose_mode(path: &Path) -> io::Result<Option<u32>> {
    fs::metadata(path).map_err(at(path))?;
    Ok(None)
}

/// Whether a file is of an account that could not use what this process would put beside it: the system's
/// own account may write everywhere, and what it makes is its own.
#[cfg(unix)]
pub(crate) fn is_of_another(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let me = rustix::process::geteuid();
    Ok(me.is_root() && fs::metadata(path).map_err(at(path))?.uid() != me.as_raw())
}

/// Whether a file is of an account that could not use what this process would put beside it.
#[cfg(not(unix))]
pub(crate) fn is_of_another(_: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Free bytes for us and all bytes of the file system under a path; `None` where unknown.
pub(crate) fn space(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        let stat = rustix::fs::statvfs(path).ok()?;
        let unit = stat.f_frsize;
        Some((
            stat.f_bavail.saturating_mul(unit),
            stat.f_blocks.saturating_mul(unit),
        ))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Bytes that the file which keeps room for deletions has on a disk of so many bytes.
pub(crate) fn reserve_bytes(all: u64) -> u64 {
    #[cfg(not(test))]
    const MOST: u64 = 8 * 1024 * 1024;
    // Tests copy homes by the thousand.
    #[cfg(test)]
    const MOST: u64 = 16 * 1024;
    MOST.min(all / 16)
}

fn low_bytes(all: u64) -> u64 {
    LOW_BYTES.min(all / 64)
}

/// Whether so little is free that a commit may not find the room it needs.
pub(crate) fn is_low(path: &Path) -> bool {
    space(path).is_some_and(|(free, all)| free < low_bytes(all))
}

/// Fails with `StorageFull` when `wanted` more bytes would eat into what stays free for the index
/// and the logs: 64 MiB, or one percent of a small disk, and never less than what the reserve gives
/// back, so that what is given up for a deletion is not filled with photos.
pub(crate) fn check_room(path: &Path, wanted: u64) -> io::Result<()> {
    match room(path) {
        Some(Room { free, least, .. }) if free < least.saturating_add(wanted) => {
            Err(at(path)(io::ErrorKind::StorageFull.into()))
        }
        _ => Ok(()),
    }
}

/// What is free on a disk, and what of it blobs leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    free: u64,
    least: u64,
    all: u64,
}

impl Room {
    /// Bytes that blobs may still take.
    pub(crate) const fn for_blobs(self) -> u64 {
        self.free.saturating_sub(self.least)
    }

    /// Whether photos still find room, of which one that takes so much was refused; 0 for none.
    pub(crate) fn takes_photos(self, refused: u64) -> bool {
        let photo = PHOTO_BYTES.min(self.all / 16);
        self.for_blobs() >= refused.min(MOVIE_BYTES).max(photo)
    }
}

/// How much room there is under a path; `None` where unknown.
pub(crate) fn room(path: &Path) -> Option<Room> {
    let (free, all) = space(path)?;
    let given = reserve_bytes(all) + low_bytes(all);
    let least = FREE_BYTES.min(all / 100).max(given);
    Some(Room { free, least, all })
}

/// Bytes that a file takes on its disk: fewer than its length where it has holes.
pub(crate) fn taken(file: &fs::Metadata) -> u64 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        file.blocks().saturating_mul(512)
    }
    #[cfg(not(unix))]
    {
        file.len()
    }
}
