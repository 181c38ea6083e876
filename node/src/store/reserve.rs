//! Room that is kept for what must go on when the disk is full.
//!
//! A file of nothing, up to 8 MiB. It is given up when a commit meets a full
//! disk, so that a photo can still be deleted, a device removed, an entry taken
//! from a peer; it is made again when there is room. Blobs never get what it gave
//! back ([`fs::check_room`]). Losing the file loses nothing.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::fs;

/// Bytes written at once where the file system cannot set room aside.
const PIECE: usize = 64 * 1024;

/// The file, or that it is to be made again.
pub(crate) struct Reserve {
    path: PathBuf,
    is_kept: AtomicBool,
}

impl Reserve {
    /// Looks for the file and makes it where there is room.
    pub(crate) fn open(home: &Path) -> Self {
        let path = home.join("reserve");
        let wanted = fs::space(home).map_or(0, |(_, all)| fs::reserve_bytes(all));
        let found = std::fs::metadata(&path).map_or(0, |found| found.len());
        let reserve = Self {
            path,
            is_kept: AtomicBool::new(found > 0 && found == wanted),
        };
        reserve.keep();
        reserve
    }

    /// Makes the file again, if it is not there and twice its size is free beside what blobs leave.
    pub(crate) fn keep(&self) {
        if self.is_kept.load(Ordering::Acquire) {
            return;
        }
        let Some((_, all)) = fs::space(self.folder()) else {
            return;
        };
        let wanted = fs::reserve_bytes(all);
        let room = fs::check_room(self.folder(), wanted.saturating_mul(2));
        if wanted == 0 || room.is_err() {
            return;
        }
        // A part of one is of no use, and a disk that is only read keeps none.
        let made = std::fs::remove_file(&self.path).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        });
        match made.and_then(|()| make(&self.path, wanted)) {
            Ok(()) => self.is_kept.store(true, Ordering::Release),
            Err(error) => {
                tracing::debug!(%error, "no room could be set aside");
                let _ = std::fs::remove_file(&self.path);
            }
        }
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Gives the room up; false where there was none to give.
    pub(crate) fn give(&self) -> bool {
        self.is_kept.swap(false, Ordering::AcqRel) && std::fs::remove_file(&self.path).is_ok()
    }

    /// Gives the room up before a commit that may need it.
    pub(crate) fn give_if_low(&self) {
        if self.is_kept.load(Ordering::Acquire) && fs::is_low(self.folder()) {
            let _ = self.give();
        }
    }
}

fn make(path: &Path, bytes: u64) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        if fallocate(&file, FallocateFlags::empty(), 0, bytes).is_ok() {
            return Ok(());
        }
    }
    let piece = [0; PIECE];
    let mut left = usize::try_from(bytes).unwrap_or(0);
    while left > 0 {
        let now = left.min(PIECE);
        file.write_all(&piece[..now])?;
        left -= now;
    }
    Ok(())
}
