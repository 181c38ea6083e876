//! How much lies unpacked at once.

use std::{
    fs::File,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// Bytes that lie unpacked and wait to be added; one file may be larger.
const MAX_BYTES: u64 = 1 << 30;

/// What is unpacked now.
#[derive(Default)]
pub(super) struct Room {
    bytes: Mutex<u64>,
    freed: Condvar,
}

/// Space for one file, given back when it is dropped.
pub(super) struct Taken {
    room: Arc<Room>,
    bytes: u64,
}

impl Room {
    /// Waits until there is space, or nothing else is unpacked.
    pub(super) fn take(self: &Arc<Self>, bytes: u64) -> Taken {
        let mut used = self.used();
        while *used > 0 && used.saturating_add(bytes) > MAX_BYTES {
            let freed = self.freed.wait(used);
            used = freed.unwrap_or_else(PoisonError::into_inner);
        }
        *used = used.saturating_add(bytes);
        let room = self.clone();
        Taken { room, bytes }
    }

    fn used(&self) -> MutexGuard<'_, u64> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Waits until nothing else is unpacked, so that the disk has all the space that it will have.
    pub(super) fn wait_alone(&self) {
        let mut used = self.room.used();
        while *used > self.bytes {
            let freed = self.room.freed.wait(used);
            used = freed.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut used = self.room.used();
        *used = used.saturating_sub(self.bytes);
        self.room.freed.notify_all();
    }
}

/// A file out of an archive, without a name on the disk: it is gone when it is dropped.
pub(in crate::import) struct Unpacked {
    file: Mutex<File>,
    _room: Taken,
}

impl Unpacked {
    pub(super) fn new(file: File, room: Taken) -> Self {
        Self {
            file: Mutex::new(file),
            _room: room,
        }
    }

    /// The file, for one reader at a time.
    pub(in crate::import) fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
