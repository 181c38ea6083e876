//! A folder as a place for files that are carried: each appears under its name whole and durable, or not at all.
//!
//! The disk may be a stranger's by the time it is read: only plain files below
//! the root are opened, no link is followed on the way to them, and no more is
//! read than asked for. Folders are held open ([`Dir`]), so that nobody can put
//! another in the place of one that was looked at.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Carrier, dir::Dir};
use crate::store::fs::{at, at_once};

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
    folder: Arc<Dir>,
    temporary: String,
    name: String,
    path: PathBuf,
}

/// The folders on the way to a file, and its own name.
fn parts(name: &str) -> (impl Iterator<Item = &str>, &str) {
    let (folders, file) = name.rsplit_once('/').unwrap_or(("", name));
    (folders.split('/').filter(|part| !part.is_empty()), file)
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
    fn root(&self) -> &std::path::Path {
        &self.root
    }

    /// Whether the folder is there.
    pub(crate) fn is_there(&self) -> bool {
        self.root.is_dir()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Unfinished>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder that holds a file; `None` where there is none.
    fn holder(&self, name: &str) -> io::Result<Option<Dir>> {
        self.sub(parts(name).0)
    }

    fn sub<'a>(&self, folders: impl Iterator<Item = &'a str>) -> io::Result<Option<Dir>> {
        let mut dir = Dir::open(&self.root)?;
        for folder in folders {
            dir = match dir {
                Some(dir) => dir.sub(folder)?,
                None => return Ok(None),
            };
        }
        Ok(dir)
    }

    /// The same, made where it is missing. A link on the way is refused: it would lead somewhere else.
    fn make(&self, name: &str) -> io::Result<Dir> {
        let mut dir = Dir::make(&self.root)?;
        for folder in parts(name).0 {
            dir = dir.make_sub(folder)?;
        }
        Ok(dir)
    }
}

impl Carrier for Folder {
    fn place(&self) -> String {
        self.root.to_string_lossy().into_owned()
    }

    fn size(&self, name: &str) -> io::Result<Option<u64>> {
        let path = self.root.join(name);
        let size = |dir: Dir| dir.size(parts(name).1);
        let found = self.holder(name).and_then(|dir| dir.map_or(Ok(None), size));
        match found {
            // Whatever it is, it is no file of ours.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            found => found.map_err(at(&path)),
        }
    }

    fn get(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let path = self.root.join(name);
        let open = |dir: Dir| dir.file(parts(name).1);
        let file = self.holder(name).and_then(|dir| dir.map_or(Ok(None), open));
        let Some(file) = file.map_err(at(&path))? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes);
        let read = read.map_err(at(&path))?;
        if u64::try_from(read).unwrap_or(u64::MAX) > most {
            let text = format!("{}: it is longer than such a file can be", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Some(bytes))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.root.join(name);
        let folder = self.make(name).map_err(at(&path))?;
        let name = parts(name).1;
        let temporary = format!("{name}.{}.part", self.mark);
        // Of two that wait for one name the last counts.
        self.waiting().retain(|file| file.path != path);
        // What an interrupted attempt of this device left, or a link that somebody put there.
        folder.remove(&temporary).map_err(at(&path))?;
        let mut file = folder.create(&temporary).map_err(at(&path))?;
        if let Err(error) = file.write_all(bytes) {
            // A full disk is left as it was found.
            let _ = folder.remove(&temporary);
            return Err(at(&path)(error));
        }
        let waiting = {
            let mut waiting = self.waiting();
            let beside = waiting
                .iter()
                .find(|file| file.path.parent() == path.parent());
            let folder = beside.map_or_else(|| Arc::new(folder), |file| Arc::clone(&file.folder));
            waiting.push(Unfinished {
                file,
                folder,
                temporary,
                name: name.to_owned(),
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
        let files = std::mem::take(&mut *self.waiting());
        let synced = at_once(&files, |file| file.file.sync_all());
        let mut folders: Vec<Arc<Dir>> = Vec::new();
        let mut result = Ok(());
        for (file, synced) in files.iter().zip(synced) {
            let named = synced.and_then(|()| file.folder.rename(&file.temporary, &file.name));
            if named.is_err() {
                let _ = file.folder.remove(&file.temporary);
            }
            result = result.and(named.map_err(at(&file.path)));
            if !folders.iter().any(|known| Arc::ptr_eq(known, &file.folder)) {
                folders.push(Arc::clone(&file.folder));
            }
        }
        for synced in at_once(&folders, |folder| folder.sync()) {
            result = result.and(synced);
        }
        result.map_err(at(&self.root))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let remove = |dir: Dir| dir.remove(parts(name).1);
        let removed = self.holder(name).and_then(|dir| dir.map_or(Ok(()), remove));
        removed.map_err(at(&self.root.join(name)))
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        let listed = self.sub(name.split('/').filter(|part| !part.is_empty()));
        match listed.and_then(|dir| dir.map_or(Ok(Vec::new()), |dir| dir.names())) {
            // A link, or a file: no folder of ours.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Vec::new()),
            listed => listed.map_err(at(&self.root.join(name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::store::fs::{Change, hook::with};

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
    fn of_two_files_that_wait_for_one_name_the_last_has_it() {
        let (_dir, folder) = folder();
        for bytes in [b"one", b"two"] {
            folder.put("a/b", bytes).unwrap();
        }
        folder.settle().unwrap();
        assert_eq!(folder.list("a").unwrap(), ["b"]);
        assert_eq!(folder.get("a/b", 9).unwrap().unwrap(), b"two");
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
    fn a_folder_that_is_put_in_the_place_of_another_gets_nothing() {
        let (dir, folder) = folder();
        folder.put("a/b", b"y").unwrap();
        let (inside, outside) = (folder.root().join("a"), dir.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        fs::rename(&inside, folder.root().join("moved")).unwrap();
        std::os::unix::fs::symlink(&outside, &inside).unwrap();
        folder.settle().unwrap();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        assert_eq!(folder.get("moved/b", 9).unwrap().unwrap(), b"y");
    }

    #[test]
    fn folders_that_are_made_have_durable_names_from_the_first_one_down() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("new/deep/disk");
        let folder = Folder::new(root.clone(), "me".into());
        let synced = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&synced);
        let hook = move |change: &Change<'_>| {
            if let Change::SyncFolder(path) = change {
                seen.lock().unwrap().push(path.to_path_buf());
            }
            Ok(())
        };
        with(hook, || {
            folder.put("a/b", b"y").unwrap();
            folder.settle().unwrap();
        });
        let made = [
            dir.path(),
            &dir.path().join("new"),
            &dir.path().join("new/deep"),
        ];
        let made = made.map(Path::to_owned).into_iter();
        let made: Vec<_> = made.chain([root.clone(), root.join("a")]).collect();
        assert_eq!(*synced.lock().unwrap(), made);
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
        // Nor one on the way to a file.
        assert_eq!(folder.size("blobs/secret").unwrap(), None);
        let error = folder.get("blobs/secret", 100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(folder.remove("blobs/secret").is_err());
        assert_eq!(
            folder.get("blobs/none/x", 100).unwrap_err().kind(),
            error.kind()
        );
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
