//! A folder that files are written into, held open, so that nobody can put another in its place.
//!
//! Names are single components that [`super::name::safe`] made. Links are never
//! followed below the folder that the person named, nothing is overwritten, and
//! what has its name is whole and durable.

use std::{
    io,
    path::{Path, PathBuf},
};

#[cfg(unix)]
pub(crate) use unix::Folder;

#[cfg(not(unix))]
pub(crate) use other::Folder;

/// What names of unfinished files begin with.
const UNFINISHED: &str = ".heirloom-part-";
/// How old an unfinished file is that nobody works on any more, on a disk that knows no locks.
const STALE: std::time::Duration = std::time::Duration::from_secs(3600);

/// Makes a folder and what is missing above it; each name is durable when it returns.
fn make(path: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing = path.ancestors().take_while(is_missing);
    let above: Vec<PathBuf> = missing
        .filter_map(Path::parent)
        .map(|above| match above.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => above.to_owned(),
        })
        .collect();
    std::fs::create_dir_all(path)?;
    for above in above {
        crate::store::fs::sync_folder(&above)?;
    }
    Ok(())
}

/// Whether nobody works on an unfinished file any more: who does holds its lock, which ends with the process.
fn is_left_over(file: &std::fs::File) -> std::io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(_)) => {
            let age = file.metadata()?.modified()?.elapsed();
            Ok(age.is_ok_and(|age| age > STALE))
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::{
        fs::{File, TryLockError},
        io,
        os::fd::OwnedFd,
        path::{Path, PathBuf},
    };

    use rustix::{
        fs::{AtFlags, FileType, Mode, OFlags},
        io::Errno,
    };

    use super::{UNFINISHED, is_left_over, make};

    /// A folder held open.
    pub(crate) struct Folder {
        fd: OwnedFd,
        path: PathBuf,
        next: std::cell::Cell<u32>,
    }

    const FOLDER: OFlags = OFlags::RDONLY
        .union(OFlags::DIRECTORY)
        .union(OFlags::CLOEXEC);

    impl Folder {
        /// Opens the folder that the person named, made durably with all above it where it is missing.
        pub(crate) fn root(path: &Path) -> io::Result<Self> {
            make(path)?;
            let fd = rustix::fs::open(path, FOLDER, Mode::empty())?;
            Ok(Self::of(fd, path.to_owned()))
        }

        fn of(fd: OwnedFd, path: PathBuf) -> Self {
            let next = std::cell::Cell::new(0);
            let folder = Self { fd, path, next };
            // What cannot be cleared away does no harm.
            let _ = folder.clear_stale();
            folder
        }

        /// Opens a folder in this one, made where it is missing. A link there is an error.
        pub(crate) fn sub(&self, name: &str) -> io::Result<Self> {
            match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => rustix::fs::fsync(&self.fd)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = FOLDER | OFlags::NOFOLLOW;
            let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
            Ok(Self::of(fd, self.path.join(name)))
        }

        /// Where a file of this folder lies, for people.
        pub(crate) fn path(&self, name: &str) -> PathBuf {
            self.path.join(name)
        }

        /// Whether anything has this name.
        pub(crate) fn has(&self, name: &str) -> io::Result<bool> {
            match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Ok(true),
                Err(Errno::NOENT) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }

        /// Opens a file for reading; `None` for what is no plain file.
        pub(crate) fn open(&self, name: &str) -> io::Result<Option<File>> {
            // Not to wait for a writer of a pipe that somebody put there.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::LOOP | Errno::NOENT | Errno::NXIO) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
            Ok((kind == FileType::RegularFile).then(|| File::from(fd)))
        }

        /// Begins a file under a name of its own; gives that name.
        pub(crate) fn begin(&self) -> io::Result<(File, String)> {
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            loop {
                let number = self.next.get();
                self.next.set(number.wrapping_add(1));
                let name = format!("{UNFINISHED}{}-{number}", std::process::id());
                let mode = Mode::from_raw_mode(0o666);
                match rustix::fs::openat(&self.fd, &name, flags, mode) {
                    Ok(fd) => {
                        let file = File::from(fd);
                        // Another export that took it for left over has removed it, or is about to.
                        if matches!(file.try_lock(), Err(TryLockError::WouldBlock))
                            || !self.has(&name)?
                        {
                            continue;
                        }
                        return Ok((file, name));
                    }
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }

        /// Gives a finished file its name; `AlreadyExists` where something has it.
        pub(crate) fn publish(&self, unfinished: &str, name: &str) -> io::Result<()> {
            #[cfg(any(target_os = "linux", target_os = "macos", target_os = "android"))]
            {
                use rustix::fs::{RenameFlags, renameat_with};
                let flags = RenameFlags::NOREPLACE;
                match renameat_with(&self.fd, unfinished, &self.fd, name, flags) {
                    // Older systems, and disks of cameras.
                    Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
                    done => return Ok(done?),
                }
            }
            if self.has(name)? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            self.replace(unfinished, name)
        }

        /// Gives a finished file its name, in place of what had it.
        pub(crate) fn replace(&self, unfinished: &str, name: &str) -> io::Result<()> {
            Ok(rustix::fs::renameat(&self.fd, unfinished, &self.fd, name)?)
        }

        /// Removes a file.
        pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
            Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
        }

        /// Makes the names durable.
        pub(crate) fn sync(&self) -> io::Result<()> {
            match rustix::fs::fsync(&self.fd) {
                // Some disks have no such thing.
                Ok(()) | Err(Errno::INVAL) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }

        fn clear_stale(&self) -> io::Result<()> {
            for entry in rustix::fs::Dir::read_from(&self.fd)? {
                let entry = entry?;
                let Some(name) = entry.file_name().to_str().ok() else {
                    continue;
                };
                if !name.starts_with(UNFINISHED) {
                    continue;
                }
                let Some(file) = self.open(name)? else {
                    continue;
                };
                if is_left_over(&file)? {
                    self.remove(name)?;
                }
            }
            Ok(())
        }
    }
}

#[cfg(not(unix))]
mod other {
    use std::{
        fs::{self, File, OpenOptions},
        io,
        path::{Path, PathBuf},
    };

    use super::{UNFINISHED, is_left_over, make};

    /// A folder by its path.
    pub(crate) struct Folder {
        path: PathBuf,
        next: std::cell::Cell<u32>,
    }

    impl Folder {
        /// Opens the folder that the person named, made durably with all above it where it is missing.
        pub(crate) fn root(path: &Path) -> io::Result<Self> {
            make(path)?;
            Ok(Self::of(path.to_owned()))
        }

        fn of(path: PathBuf) -> Self {
            let next = std::cell::Cell::new(0);
            let folder = Self { path, next };
            // What cannot be cleared away does no harm.
            let _ = folder.clear_stale();
            folder
        }

        /// Opens a folder in this one, made where it is missing. A link there is an error.
        pub(crate) fn sub(&self, name: &str) -> io::Result<Self> {
            let path = self.path.join(name);
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            if !fs::symlink_metadata(&path)?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(Self::of(path))
        }

        /// Where a file of this folder lies, for people.
        pub(crate) fn path(&self, name: &str) -> PathBuf {
            self.path.join(name)
        }

        /// Whether anything has this name.
        pub(crate) fn has(&self, name: &str) -> io::Result<bool> {
            match fs::symlink_metadata(self.path(name)) {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        }

        /// Opens a file for reading; `None` for what is no plain file.
        pub(crate) fn open(&self, name: &str) -> io::Result<Option<File>> {
            match fs::symlink_metadata(self.path(name)) {
                Ok(metadata) if metadata.is_file() => File::open(self.path(name)).map(Some),
                Ok(_) => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        }

        /// Begins a file under a name of its own; gives that name.
        pub(crate) fn begin(&self) -> io::Result<(File, String)> {
            loop {
                let number = self.next.get();
                self.next.set(number.wrapping_add(1));
                let name = format!("{UNFINISHED}{}-{number}", std::process::id());
                let mut options = OpenOptions::new();
                match options.write(true).create_new(true).open(self.path(&name)) {
                    Ok(file) => {
                        // Without locks the age of the file says the same.
                        let _ = file.try_lock();
                        return Ok((file, name));
                    }
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
            }
        }

        /// Gives a finished file its name; `AlreadyExists` where something has it.
        pub(crate) fn publish(&self, unfinished: &str, name: &str) -> io::Result<()> {
            if self.has(name)? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            self.replace(unfinished, name)
        }

        /// Gives a finished file its name, in place of what had it.
        pub(crate) fn replace(&self, unfinished: &str, name: &str) -> io::Result<()> {
            fs::rename(self.path(unfinished), self.path(name))
        }

        /// Removes a file.
        pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
            fs::remove_file(self.path(name))
        }

        /// Makes the names durable, which this system does by itself.
        pub(crate) fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn clear_stale(&self) -> io::Result<()> {
            for entry in fs::read_dir(&self.path)? {
                let entry = entry?;
                let name = entry.file_name();
                let is_ours = name
                    .to_str()
                    .is_some_and(|name| name.starts_with(UNFINISHED));
                if is_ours && is_left_over(&File::open(entry.path())?)? {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;
    use crate::store::fs::{Change, hook};

    #[test]
    fn a_folder_is_made_with_durable_names_up_to_what_was_there() {
        let there = tempfile::tempdir().unwrap();
        let synced = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&synced);
        let look = move |change: &Change<'_>| {
            if let Change::SyncFolder(folder) = change {
                seen.borrow_mut().push(folder.to_path_buf());
            }
            Ok(())
        };
        let path = there.path().join("a/b/c");
        hook::with(look, || {
            Folder::root(&path).unwrap();
            Folder::root(&path).unwrap();
        });
        let mut synced = synced.take();
        synced.sort();
        let wanted = ["", "a", "a/b"].map(|name| match name {
            "" => there.path().to_owned(),
            name => there.path().join(name),
        });
        assert_eq!(synced, wanted);
    }
}
