//! A folder as a place for files that are carried: each appears under its name whole and durable, or not at all.
//!
//! The disk may be a stranger's by the time it is read: only plain files below
//! the root are opened, no link is followed, and no more is read than asked for.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::Carrier;
use crate::store::fs::{at, at_once, sync_folder};

/// Files that wait for one sync.
const WAITING: usize = 64;

/// A folder, and what was written to it and is not yet durable.
pub(crate) struct Folder {
    root: PathBuf,
    /// Behind the names of unfinished files: two devices may write at once.
    mark: String,
    waiting: Mutex<Vec<Unfinished>>,
}

struct Unfinished {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

fn kind(path: &Path) -> io::Result<Option<fs::FileType>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata.file_type())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

fn strange(path: &Path, what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{}: {what}", path.display()),
    )
}

impl Folder {
    /// A folder that may not be there yet; `mark` tells the unfinished files of this writer from those of others.
    pub(crate) fn new(root: PathBuf, mark: String) -> Self {
        Self {
            root,
            mark,
            waiting: Mutex::default(),
        }
    }

    #[cfg(test)]
    fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the folder is there.
    pub(crate) fn is_there(&self) -> bool {
        self.root.is_dir()
    }

    /// Makes the folders down to one. A link on the way is refused: it would lead somewhere else.
    fn make(&self, folder: &Path) -> io::Result<()> {
        if !self.root.is_dir() {
            fs::create_dir_all(&self.root).map_err(at(&self.root))?;
        }
        let below = folder.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let mut path = self.root.clone();
        for part in below {
            let above = path.clone();
            path.push(part);
            match kind(&path)? {
                Some(kind) if kind.is_dir() => {}
                Some(_) => return Err(strange(&path, "it is no folder")),
                None => {
                    match fs::create_dir(&path) {
                        // Another device may have made it in the same moment.
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                            return Err(at(&path)(error));
                        }
                        _ => {}
                    }
                    sync_folder(&above)?;
                }
            }
        }
        Ok(())
    }
}

impl Carrier for Folder {
    fn place(&self) -> String {
        self.root.to_string_lossy().into_owned()
    }

    fn size(&self, name: &str) -> io::Result<Option<u64>> {
        let path = self.root.join(name);
        match kind(&path)? {
            Some(kind) if kind.is_file() => {
                Ok(Some(fs::symlink_metadata(&path).map_err(at(&path))?.len()))
            }
            _ => Ok(None),
        }
    }

    fn get(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let path = self.root.join(name);
        match kind(&path)? {
            None => return Ok(None),
            Some(kind) if !kind.is_file() => return Err(strange(&path, "it is no plain file")),
            Some(_) => {}
        }
        let file = File::open(&path).map_err(at(&path))?;
        let mut bytes = Vec::new();
        let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes);
        let read = read.map_err(at(&path))?;
        if u64::try_from(read).unwrap_or(u64::MAX) > most {
            return Err(strange(&path, "it is longer than such a file can be"));
        }
        Ok(Some(bytes))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.root.join(name);
        let folder = path.parent().unwrap_or(&self.root);
        self.make(folder)?;
        let temporary = folder.join(format!(
            "{}.{}.part",
            path.file_name().unwrap_or_default().to_string_lossy(),
            self.mark
        ));
        // What an interrupted attempt of this device left, or a link that somebody put there.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(at(&temporary)(error));
            }
            _ => {}
        }
        let mut file = File::create_new(&temporary).map_err(at(&temporary))?;
        if let Err(error) = file.write_all(bytes) {
            // A full disk is left as it was found.
            let _ = fs::remove_file(&temporary);
            return Err(at(&temporary)(error));
        }
        let waiting = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(Unfinished {
                file,
                temporary,
                path,
            });
            waiting.len()
        };
        match waiting {
            WAITING.. => self.settle(),
            _ => Ok(()),
        }
    }

    fn settle(&self) -> io::Result<()> {
        let files = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *waiting)
        };
        let synced = at_once(&files, |file| file.file.sync_all());
        let mut folders = BTreeSet::new();
        let mut result = Ok(());
        for (file, synced) in files.iter().zip(synced) {
            let named = synced.and_then(|()| fs::rename(&file.temporary, &file.path));
            if named.is_err() {
                let _ = fs::remove_file(&file.temporary);
            }
            result = result.and(named.map_err(at(&file.path)));
            folders.extend(file.path.parent().map(Path::to_owned));
        }
        let folders: Vec<_> = folders.into_iter().collect();
        for synced in at_once(&folders, |folder| sync_folder(folder)) {
            result = result.and(synced);
        }
        result
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        crate::store::fs::remove(&self.root.join(name))
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        let path = self.root.join(name);
        match kind(&path)? {
            Some(kind) if kind.is_dir() => crate::store::fs::list(&path),
            _ => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join("disk"), "me".into());
        (dir, folder)
    }

    #[test]
    fn a_file_has_its_name_once_it_is_settled() {
        let (_dir, folder) = folder();
        folder.put("a/b/c", b"bytes").unwrap();
        assert_eq!(folder.size("a/b/c").unwrap(), None);
        assert_eq!(folder.list("a/b").unwrap(), ["c.me.part"]);
        folder.settle().unwrap();
        assert_eq!(folder.list("a/b").unwrap(), ["c"]);
        assert_eq!(folder.get("a/b/c", 5).unwrap().unwrap(), b"bytes");
        folder.put("a/b/c", b"other").unwrap();
        folder.settle().unwrap();
        assert_eq!(folder.get("a/b/c", 5).unwrap().unwrap(), b"other");
    }

    #[test]
    fn many_files_settle_by_themselves() {
        let (_dir, folder) = folder();
        for n in 0..WAITING {
            folder.put(&format!("x/{n:03}"), b"y").unwrap();
        }
        assert_eq!(folder.list("x").unwrap().len(), WAITING);
        assert_eq!(folder.size("x/000").unwrap(), Some(1));
    }

    #[test]
    fn what_is_too_long_or_no_file_is_not_read() {
        let (_dir, folder) = folder();
        folder.put("long", &[0; 100]).unwrap();
        folder.put("in/side", &[0; 1]).unwrap();
        folder.settle().unwrap();
        for (name, most) in [("long", 99), ("in", 99)] {
            let error = folder.get(name, most).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{name}");
        }
        assert_eq!(folder.get("nothing", 9).unwrap(), None);
        assert_eq!(folder.size("in").unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn no_link_is_followed() {
        let (dir, folder) = folder();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), b"secret").unwrap();
        fs::create_dir(folder.root()).unwrap();
        std::os::unix::fs::symlink(&outside, folder.root().join("blobs")).unwrap();
        std::os::unix::fs::symlink(outside.join("secret"), folder.root().join("file")).unwrap();
        assert!(folder.put("blobs/x", b"y").is_err());
        assert!(folder.get("file", 100).is_err());
        assert!(folder.list("blobs").unwrap().is_empty());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        // A link that has the name of an unfinished file is taken away, not written through.
        let part = folder.root().join("new.me.part");
        std::os::unix::fs::symlink(outside.join("secret"), part).unwrap();
        folder.put("new", b"z").unwrap();
        folder.settle().unwrap();
        assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
        assert_eq!(folder.get("new", 9).unwrap().unwrap(), b"z");
    }
}
