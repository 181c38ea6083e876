//! Walks files and folders; what is no regular file is refused with a reason.

use std::{
    fs::FileType,
    path::{Path, PathBuf},
    sync::{atomic::Ordering, mpsc::SyncSender},
};

use walkdir::WalkDir;

use super::{Outcome, Report, Shared};
use crate::media::sniff::{MediaKind, MediaType, is_junk_folder};

const OWN_HOME: &str = "Heirloom's own home, which holds no photos to import";

/// A regular file that was found.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

/// Walks everything that was asked for, stills of a folder before its movies.
pub(super) fn walk(shared: &Shared<'_>, found: SyncSender<Found>) {
    for path in &shared.request.paths {
        walk_one(shared, path, &found);
    }
}

fn walk_one(shared: &Shared<'_>, root: &Path, found: &SyncSender<Found>) {
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
        if kind.is_dir() {
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
        shared.counters.found.fetch_add(1, Ordering::Relaxed);
        shared
            .counters
            .found_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        if found
            .send(Found {
                path: entry.into_path(),
                bytes,
            })
            .is_err()
        {
            return;
        }
    }
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
