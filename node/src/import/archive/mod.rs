//! Photos in archives, as Google Takeout hands them out: ZIP, and tar with gzip or without.
//!
//! An archive is read twice: first what its sidecars say, then its photos, one after the other. What lies in
//! several archives that are named as parts of one belongs together. A photo lies in clear in a file without a
//! name while it is added, gone with the process at the latest. Names are told to people and lead
//! nowhere; times that an archive gives its files are not looked at; sizes, ratios and counts are bounded, and the
//! disk keeps what it needs.

mod name;
mod names;
mod read;
mod room;
mod tar;
#[cfg(test)]
mod tests;
mod zip;

use std::{
    collections::{BTreeMap, HashSet},
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, mpsc::SyncSender},
};

pub(super) use self::{name::title, room::Unpacked};
use self::{
    names::Names,
    read::{Broken, FREE_BYTES, Item, Left, MAX_RATIO},
    room::Room,
};
use super::{
    Outcome, Report, Shared,
    scan::{self, Found},
    sidecar::folder::Folder,
};
use crate::{
    forms::counted,
    media::{HEAD_BYTES, Take},
    store::StoreError,
};

/// The largest photo or movie that is unpacked.
const MAX_FILE_BYTES: u64 = 64 << 30;
/// The longest name, with its folders, of a file that is taken.
const MAX_PATH_BYTES: usize = 4096;

/// How many files these bytes hold, whichever kind of archive they are; for the fuzz targets.
pub(crate) fn files_of(bytes: &[u8]) -> usize {
    read::files_of(bytes)
}

/// Whether a file is to be opened as an archive: by its name, unless it is a photo under a wrong one.
pub(super) fn is_one(path: &Path) -> bool {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy()) else {
        return false;
    };
    if !name::is_named_so(&name) {
        return false;
    }
    // What cannot be opened or read is told by whoever reads it.
    let Ok(file) = crate::sys::open_regular(path) else {
        return true;
    };
    let mut head = Vec::new();
    let limit = u64::try_from(HEAD_BYTES).unwrap_or(u64::MAX);
    if file.take(limit).read_to_end(&mut head).is_err() {
        return true;
    }
    !is_media(&name, &head)
}

fn is_media(name: &str, head: &[u8]) -> bool {
    let length = u64::try_from(head.len()).unwrap_or(u64::MAX);
    matches!(Take::decide(name, length, head), Take::Media(_))
}

/// Takes everything out of these archives and hands it on.
///
/// # Errors
///
/// [`StoreError::DiskFull`] when a file does not fit on the disk.
pub(super) fn open(
    shared: &Shared<'_>,
    archives: &[PathBuf],
    found: &SyncSender<Found>,
) -> Result<(), StoreError> {
    let mut groups: BTreeMap<PathBuf, Vec<&PathBuf>> = BTreeMap::new();
    for archive in archives {
        groups
            .entry(name::whole(archive))
            .or_default()
            .push(archive);
    }
    let room = Arc::new(Room::default());
    for group in groups.into_values() {
        let mut names = Names::default();
        for archive in &group {
            // What is wrong with it is told when its photos are read.
            let _ = read::each(archive, shared.cancelled, &mut |item| names.take(item));
        }
        if let Some(why) = names.too_many {
            for archive in group {
                let why = format!("{why}; unpack it, then import the folder");
                shared.report(Report::refused(archive.clone(), Outcome::Failed, why));
            }
            continue;
        }
        let folders = names.folders();
        let mut told = HashSet::new();
        for archive in group {
            let mut opening = Opening {
                shared,
                archive,
                folders: &folders,
                told: &mut told,
                room: &room,
                found,
                files: 0,
                left: bytes_of(archive)
                    .saturating_mul(MAX_RATIO)
                    .saturating_add(FREE_BYTES),
            };
            let ended = read::each(archive, shared.cancelled, &mut |item| opening.item(item));
            let files = opening.files;
            if shared.is_cancelled() {
                return Ok(());
            }
            let (outcome, told) = match ended {
                Err(Broken::Stopped) => return Ok(()),
                Err(Broken::Full) => return Err(StoreError::DiskFull),
                Err(Broken::Archive(why)) => (Outcome::Failed, why),
                Ok(()) if files == 1 => (Outcome::Opened, "archive: 1 file in it".into()),
                Ok(()) => (
                    Outcome::Opened,
                    format!("archive: {} in it", counted(files, "file", "files")),
                ),
            };
            shared.report(Report::refused(archive.clone(), outcome, told));
        }
    }
    Ok(())
}

fn bytes_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// One archive whose photos are taken out.
struct Opening<'a> {
    shared: &'a Shared<'a>,
    archive: &'a Path,
    folders: &'a BTreeMap<String, Folder>,
    /// Sidecars that had their line: parts of one takeout may hold the same.
    told: &'a mut HashSet<(String, String)>,
    room: &'a Arc<Room>,
    found: &'a SyncSender<Found>,
    files: u64,
    /// Bytes that may still be unpacked.
    left: u64,
}

impl Opening<'_> {
    fn item(&mut self, item: Item<'_>) -> Result<(), Broken> {
        if self.shared.is_cancelled() {
            return Err(Broken::Stopped);
        }
        let Some((folder, name)) = name::place(&item.path) else {
            return Ok(());
        };
        self.files += 1;
        if item.path.len() > MAX_PATH_BYTES {
            let why = Left::failed("a file in it has too long a name; unpack it");
            return self.leave(self.archive.to_owned(), why);
        }
        let shown = self.archive.join(&folder).join(&name);
        let none = Folder::default();
        let folders = self.folders;
        let beside = folders.get(&folder).unwrap_or(&none);
        let is_read = beside.sidecar(&name).is_some();
        if is_read && !self.told.insert((folder, name.clone())) {
            return Ok(());
        }
        if scan::is_told(self.shared, beside, &shown) {
            return Ok(());
        }
        match self.content(&name, item) {
            Ok((file, bytes)) => {
                let taken = scan::send(self.shared, beside, &shown, bytes, Some(&file), self.found);
                if taken { Ok(()) } else { Err(Broken::Stopped) }
            }
            Err(NotOut::Left(why)) => self.leave(shown, why),
            Err(NotOut::Full) => Err(Broken::Full),
        }
    }

    /// Tells of a file that stays where it is.
    fn leave(&self, path: PathBuf, Left { outcome, why }: Left) -> Result<(), Broken> {
        if self.shared.is_cancelled() {
            return Err(Broken::Stopped);
        }
        scan::count(self.shared, 0);
        self.shared.report(Report::refused(path, outcome, why));
        Ok(())
    }

    /// Unpacks a photo or a movie; gives it, and how long it is.
    fn content(&mut self, name: &str, item: Item<'_>) -> Result<(Arc<Unpacked>, u64), NotOut> {
        let mut content = item.content.map_err(NotOut::Left)?;
        let mut head = Vec::new();
        let limit = u64::try_from(HEAD_BYTES).unwrap_or(u64::MAX);
        let read = content.by_ref().take(limit).read_to_end(&mut head);
        read.map_err(|error| broken(&error))?;
        if name::is_named_so(name) && !is_media(name, &head) {
            return Err(Left::failed(
                "an archive in an archive; unpack the outer one, then import the folder",
            )
            .into());
        }
        if let Some(why) = Take::decide(name, item.bytes, &head).reason() {
            if name::is_sidecar(name) {
                // One that could not be read to its end says nothing, which is to be known.
                io::copy(&mut content, &mut io::sink()).map_err(|error| broken(&error))?;
            }
            return Err(Left::skipped(why).into());
        }
        self.left = self
            .left
            .checked_sub(item.bytes)
            .ok_or_else(|| Left::failed("the archive unpacks to far more than photos do"))?;
        let file = self.unpack(&head, &mut content, item.bytes)?;
        Ok((file, item.bytes))
    }

    /// Puts a file where only this process can find it.
    fn unpack(
        &self,
        head: &[u8],
        content: &mut dyn Read,
        bytes: u64,
    ) -> Result<Arc<Unpacked>, NotOut> {
        if bytes > MAX_FILE_BYTES {
            return Err(Left::failed("it is too large").into());
        }
        let store = self.shared.node.store();
        let taken = self.room.take(bytes);
        let is_full = || store.room_for_blobs().is_some_and(|free| free < bytes);
        if is_full() {
            taken.wait_alone();
            if is_full() {
                return Err(NotOut::Full);
            }
        }
        let mut file = tempfile::tempfile_in(store.home()).map_err(|error| broken(&error))?;
        file.write_all(head).map_err(|error| broken(&error))?;
        let left = bytes.saturating_sub(u64::try_from(head.len()).unwrap_or(u64::MAX));
        let copied = io::copy(&mut content.take(left.saturating_add(1)), &mut file);
        if copied.map_err(|error| broken(&error))? != left {
            return Err(Left::failed("the archive is damaged there: the file is cut").into());
        }
        Ok(Arc::new(Unpacked::new(file, taken)))
    }
}

/// Why a file is not taken out.
enum NotOut {
    Left(Left),
    /// The disk takes nothing more.
    Full,
}

impl From<Left> for NotOut {
    fn from(left: Left) -> Self {
        Self::Left(left)
    }
}

fn broken(error: &io::Error) -> NotOut {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => NotOut::Full,
        _ => {
            tracing::debug!(%error, "a file of an archive");
            Left::failed("the archive is damaged there").into()
        }
    }
}
