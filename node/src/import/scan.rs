//! Walks files and folders; what is no regular file is refused with a reason.

use std::{
    fs::FileType,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering, mpsc::SyncSender},
};

use walkdir::WalkDir;

use super::{
    Outcome, Report, Shared, Target,
    albums::named_for,
    archive::{self, Unpacked},
    sidecar::{Said, folder::Folder},
};
use crate::{
    media::sniff::{MediaKind, MediaType, is_junk_folder},
    store::StoreError,
};

const OWN_HOME: &str = "Heirloom's own home, which holds no photos to import";

/// A regular file that was found.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// What its sidecars say.
    pub(super) said: Option<Arc<Said>>,
    /// The album that they put it into.
    pub(super) album: Option<String>,
    /// Where it is out of an archive, in which its path then leads.
    pub(super) unpacked: Option<Arc<Unpacked>>,
}

/// The sidecars of the folder that is walked and of those around it.
#[derive(Default)]
struct Around(Vec<(PathBuf, Folder)>);

impl Around {
    /// Of the folder that a file lies in. Folders that were left are forgotten.
    fn of(&mut self, file: &Path) -> &Folder {
        let parent = file.parent().unwrap_or(Path::new("."));
        self.0.retain(|(path, _)| parent.starts_with(path));
        let at = match self.0.iter().position(|(path, _)| path == parent) {
            Some(at) => at,
            None => {
                self.0.push((parent.to_owned(), Folder::at(parent)));
                self.0.len() - 1
            }
        };
        &self.0[at].1
    }
}

/// Walks everything that was asked for, stills of a folder before its movies, and what is in archives last.
///
/// # Errors
///
/// [`StoreError::DiskFull`] when what is in an archive does not fit on the disk.
pub(super) fn walk(shared: &Shared<'_>, found: &SyncSender<Found>) -> Result<(), StoreError> {
    let mut archives = Vec::new();
    for path in &shared.request.paths {
        walk_one(shared, path, found, &mut archives);
    }
    // The same one may have been named twice.
    archives.sort();
    archives.dedup();
    // All of them at once, because parts of one belong together.
    archive::open(shared, &archives, found)
}

fn walk_one(
    shared: &Shared<'_>,
    root: &Path,
    found: &SyncSender<Found>,
    archives: &mut Vec<PathBuf>,
) {
    let walker = WalkDir::new(root).follow_links(false).sort_by(|a, b| {
        // A live photo's movie joins its still, so the still goes first.
        let movie = |entry: &walkdir::DirEntry| {
            let name = entry.file_name().to_string_lossy();
            MediaType::of_extension(&name).is_some_and(|media| media.kind() == MediaKind::Video)
        };
        (movie(a), a.file_name()).cmp(&(movie(b), b.file_name()))
    });
    // Links are not followed below it, so the paths there are as real as its own.
    let real = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let walker = walker.into_iter().filter_entry(|entry| {
        if is_left_out(shared, root, &real, entry) {
            let path = entry.path().to_owned();
            shared.report(Report::refused(path, Outcome::Skipped, OWN_HOME));
            return false;
        }
        entry.depth() == 0
            || !entry.file_type().is_dir()
            || !is_junk_folder(&entry.file_name().to_string_lossy())
    });
    let mut around = Around::default();
    for entry in walker {
        if shared.is_cancelled() {
            return;
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                shared.report(Report::refused(path, Outcome::Failed, reason(&error)));
                continue;
            }
        };
        let kind = entry.file_type();
        // A link to a folder that was named is followed by the walk itself.
        if kind.is_dir() || (entry.depth() == 0 && entry.path().is_dir()) {
            continue;
        }
        if !kind.is_file() {
            let path = entry.into_path();
            shared.report(Report::refused(path, Outcome::Skipped, what(kind)));
            continue;
        }
        let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
        if !is_recent(shared, &entry) {
            continue;
        }
        let path = entry.into_path();
        if shared.request.archives && archive::is_one(&path) {
            count(shared, 0);
            archives.push(path);
            continue;
        }
        let folder = around.of(&path);
        if !is_told(shared, folder, &path) && !send(shared, folder, &path, bytes, None, found) {
            return;
        }
    }
}

/// Counts a file that was found.
pub(super) fn count(shared: &Shared<'_>, bytes: u64) {
    shared.counters.found.fetch_add(1, Ordering::Relaxed);
    shared
        .counters
        .found_bytes
        .fetch_add(bytes, Ordering::Relaxed);
}

/// Whether nothing is to be done with a file but to tell of it, which is done: it is a sidecar, or was in a trash.
pub(super) fn is_told(shared: &Shared<'_>, folder: &Folder, path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let told = if let Some(read) = folder.sidecar(name) {
        Report::refused(path.to_owned(), Outcome::Sidecar, read)
    } else if folder.said(name).is_some_and(|said| said.trashed) && !shared.request.restore {
        let reason = "it lay in the trash where it is from; --restore takes it too";
        Report::refused(path.to_owned(), Outcome::Skipped, reason)
    } else {
        return false;
    };
    count(shared, 0);
    shared.report(told);
    true
}

/// Hands on one file, once for each album that it goes to; false when nobody takes more.
pub(super) fn send(
    shared: &Shared<'_>,
    folder: &Folder,
    path: &Path,
    bytes: u64,
    unpacked: Option<&Arc<Unpacked>>,
    found: &SyncSender<Found>,
) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let said = name.and_then(|name| folder.said(name));
    let is_titled = shared.request.titled || shared.request.target == Target::PerFolder;
    let albums = if is_titled {
        let parent = path.parent().and_then(Path::file_name);
        let parent = parent.and_then(|parent| parent.to_str());
        let named = said.map_or(&[][..], |said| &said.albums);
        named_for(parent, folder.album.as_deref(), named)
    } else {
        vec![None]
    };
    let said = said.map(|said| Arc::new(said.clone()));
    albums.into_iter().all(|album| {
        count(shared, bytes);
        let file = Found {
            path: path.to_owned(),
            bytes,
            said: said.clone(),
            album,
            unpacked: unpacked.cloned(),
        };
        found.send(file).is_ok()
    })
}

/// Whether this is the folder that is left out, or what was named lies in it.
fn is_left_out(shared: &Shared<'_>, root: &Path, real: &Path, entry: &walkdir::DirEntry) -> bool {
    let Some(out) = &shared.request.leave_out else {
        return false;
    };
    if entry.depth() == 0 {
        return real.starts_with(out);
    }
    let below = entry.path().strip_prefix(root);
    entry.file_type().is_dir() && below.is_ok_and(|below| real.join(below) == *out)
}

fn is_recent(shared: &Shared<'_>, entry: &walkdir::DirEntry) -> bool {
    let Some(since) = shared.request.since else {
        return true;
    };
    let modified = entry
        .metadata()
        .ok()
        .and_then(|metadata| metadata.modified().ok());
    let ms = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    ms.and_then(|since| i64::try_from(since.as_millis()).ok())
        .is_none_or(|ms| ms >= since)
}

fn reason(error: &walkdir::Error) -> String {
    match error.io_error().map(std::io::Error::kind) {
        Some(std::io::ErrorKind::PermissionDenied) => "no permission to read it".into(),
        Some(std::io::ErrorKind::NotFound) => "it is not there".into(),
        _ => "could not be read".into(),
    }
}

fn what(kind: FileType) -> &'static str {
    if kind.is_symlink() {
        "a symbolic link"
    } else {
        "not a regular file"
    }
}
