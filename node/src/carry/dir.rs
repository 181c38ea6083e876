//! A folder held open: what is in it is named by single components, and no link is followed.

#[cfg(not(unix))]
pub(super) use other::Dir;
#[cfg(unix)]
pub(super) use unix::Dir;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::store::fs::sync_folder;

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const NO_FOLDER: &str = "it is no folder";
const NO_FILE: &str = "it is no plain file";

/// Makes a folder with all that lead to it; each has a durable name.
fn make_all(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        make_all(above)?;
    }
    match fs::create_dir(path) {
        // Another device may have made it in the same moment.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder(above.unwrap_or_else(|| Path::new(".")))
}

#[cfg(unix)]
mod unix {
    use std::{fs::File, os::fd::OwnedFd};

    use rustix::{
        fs::{AtFlags, FileType, Mode, OFlags},
        io::Errno,
    };

    use super::*;

    /// A folder held open.
    pub(in crate::carry) struct Dir {
        fd: OwnedFd,
        path: PathBuf,
    }

    const FOLDER: OFlags = OFlags::RDONLY
        .union(OFlags::DIRECTORY)
        .union(OFlags::CLOEXEC);

    impl Dir {
        /// Opens the folder that a person named; `None` where there is none.
        pub(in crate::carry) fn open(path: &Path) -> io::Result<Option<Self>> {
            match rustix::fs::open(path, FOLDER, Mode::empty()) {
                Ok(fd) => Ok(Some(Self {
                    fd,
                    path: path.to_owned(),
                })),
                Err(Errno::NOENT) => Ok(None),
                Err(Errno::NOTDIR) => Err(strange(NO_FOLDER)),
                Err(error) => Err(error.into()),
            }
        }

        /// The same, made where it is missing.
        pub(in crate::carry) fn make(path: &Path) -> io::Result<Self> {
            if let Some(dir) = Self::open(path)? {
                return Ok(dir);
            }
            make_all(path)?;
            Self::open(path)?.ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        /// Opens a folder in this one; `None` where nothing has the name.
        ///
        /// # Errors
        ///
        /// `InvalidData` for a link, and for what is no folder.
        pub(in crate::carry) fn sub(&self, name: &str) -> io::Result<Option<Self>> {
            let flags = FOLDER | OFlags::NOFOLLOW;
            match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
                Ok(fd) => Ok(Some(Self {
                    fd,
                    path: self.path.join(name),
                })),
                Err(Errno::NOENT) => Ok(None),
                Err(Errno::NOTDIR | Errno::LOOP | Errno::MLINK) => Err(strange(NO_FOLDER)),
                Err(error) => Err(error.into()),
            }
        }

        /// The same, made where it is missing, with a durable name.
        pub(in crate::carry) fn make_sub(&self, name: &str) -> io::Result<Self> {
            if let Some(dir) = self.sub(name)? {
                return Ok(dir);
            }
            match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o777)) {
                // Another device may have made it in the same moment.
                Ok(()) | Err(Errno::EXIST) => self.sync()?,
                Err(error) => return Err(error.into()),
            }
            self.sub(name)?
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        /// The length of a plain file; `None` for anything else.
        pub(in crate::carry) fn size(&self, name: &str) -> io::Result<Option<u64>> {
            match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                    Ok(u64::try_from(stat.st_size).ok().filter(|_| is_file))
                }
                Err(Errno::NOENT) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }

        /// Opens a plain file for reading; `None` where nothing has the name.
        ///
        /// # Errors
        ///
        /// `InvalidData` for what is no plain file.
        pub(in crate::carry) fn file(&self, name: &str) -> io::Result<Option<File>> {
            // Not to wait for a writer of a pipe that somebody put there.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::LOOP | Errno::MLINK | Errno::NXIO) => return Err(strange(NO_FILE)),
                Err(error) => return Err(error.into()),
            };
            match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
                FileType::RegularFile => Ok(Some(File::from(fd))),
                _ => Err(strange(NO_FILE)),
            }
        }

        /// Begins a file that must not be there.
        pub(in crate::carry) fn create(&self, name: &str) -> io::Result<File> {
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o666);
            Ok(File::from(rustix::fs::openat(&self.fd, name, flags, mode)?))
        }

        /// Renames a file, in place of what has the new name. Not durable before [`Self::sync`].
        pub(in crate::carry) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
        }

        /// Removes a file; one that is not there is fine.
        pub(in crate::carry) fn remove(&self, name: &str) -> io::Result<()> {
            match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }

        /// The names in it, sorted; what is not UTF-8 is none of ours.
        pub(in crate::carry) fn names(&self) -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in rustix::fs::Dir::read_from(&self.fd)? {
                if let Ok(name) = entry?.file_name().to_str()
                    && !matches!(name, "." | "..")
                {
                    names.push(name.to_owned());
                }
            }
            names.sort();
            Ok(names)
        }

        /// Makes the names durable.
        pub(in crate::carry) fn sync(&self) -> io::Result<()> {
            crate::store::fs::note(crate::store::fs::Change::SyncFolder(&self.path))?;
            Ok(rustix::fs::fsync(&self.fd)?)
        }
    }
}

#[cfg(not(unix))]
mod other {
    use std::fs::File;

    use super::*;

    /// A folder by its path, each component of which was looked at.
    pub(in crate::carry) struct Dir {
        path: PathBuf,
    }

    fn kind(path: &Path) -> io::Result<Option<fs::Metadata>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    impl Dir {
        /// The folder that a person named; `None` where there is none.
        pub(in crate::carry) fn open(path: &Path) -> io::Result<Option<Self>> {
            match fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => Ok(Some(Self {
                    path: path.to_owned(),
                })),
                Ok(_) => Err(strange(NO_FOLDER)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        }

        /// The same, made where it is missing.
        pub(in crate::carry) fn make(path: &Path) -> io::Result<Self> {
            make_all(path)?;
            Self::open(path)?.ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        /// A folder in this one; `None` where nothing has the name.
        ///
        /// # Errors
        ///
        /// `InvalidData` for a link, and for what is no folder.
        pub(in crate::carry) fn sub(&self, name: &str) -> io::Result<Option<Self>> {
            let path = self.path.join(name);
            match kind(&path)? {
                None => Ok(None),
                Some(kind) if kind.is_dir() => Ok(Some(Self { path })),
                Some(_) => Err(strange(NO_FOLDER)),
            }
        }

        /// The same, made where it is missing.
        pub(in crate::carry) fn make_sub(&self, name: &str) -> io::Result<Self> {
            match fs::create_dir(self.path.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            self.sub(name)?
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        /// The length of a plain file; `None` for anything else.
        pub(in crate::carry) fn size(&self, name: &str) -> io::Result<Option<u64>> {
            let found = kind(&self.path.join(name))?;
            Ok(found.filter(fs::Metadata::is_file).map(|file| file.len()))
        }

        /// Opens a plain file for reading; `None` where nothing has the name.
        ///
        /// # Errors
        ///
        /// `InvalidData` for what is no plain file.
        pub(in crate::carry) fn file(&self, name: &str) -> io::Result<Option<File>> {
            let path = self.path.join(name);
            match kind(&path)? {
                None => Ok(None),
                Some(kind) if kind.is_file() => File::open(&path).map(Some),
                Some(_) => Err(strange(NO_FILE)),
            }
        }

        /// Begins a file that must not be there.
        pub(in crate::carry) fn create(&self, name: &str) -> io::Result<File> {
            File::create_new(self.path.join(name))
        }

        /// Renames a file, in place of what has the new name.
        pub(in crate::carry) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            fs::rename(self.path.join(from), self.path.join(to))
        }

        /// Removes a file; one that is not there is fine.
        pub(in crate::carry) fn remove(&self, name: &str) -> io::Result<()> {
            match fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        }

        /// The names in it, sorted; what is not UTF-8 is none of ours.
        pub(in crate::carry) fn names(&self) -> io::Result<Vec<String>> {
            crate::store::fs::list(&self.path)
        }

        /// Makes the names durable, which this system does by itself.
        pub(in crate::carry) fn sync(&self) -> io::Result<()> {
            sync_folder(&self.path)
        }
    }
}
