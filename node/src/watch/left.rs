//! Files of followed folders that wait for room on the disk.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::store::Store;

/// Between two looks at how much room there is.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(5);

/// How many files of each folder wait. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct LeftOut(Arc<Mutex<BTreeMap<PathBuf, usize>>>);

impl LeftOut {
    /// How many files of a folder wait for room, as far as the running node has tried.
    pub(crate) fn of(&self, dir: &Path) -> usize {
        self.all().get(dir).copied().unwrap_or(0)
    }

    pub(super) fn set(&self, left: BTreeMap<PathBuf, usize>) {
        *self.all() = left;
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<PathBuf, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When it is of use to try again what found no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NoRoom {
    /// The room that there was, which was too little.
    was: u64,
    /// What the smallest of the files takes.
    least: u64,
}

impl NoRoom {
    /// Of files that were left out when there was so much room.
    pub(super) fn of<'a>(was: u64, files: impl Iterator<Item = &'a Path>) -> Self {
        let bytes = files.filter_map(|file| fs::metadata(file).ok());
        let least = bytes.map(|file| file.len()).min();
        Self {
            was,
            least: least.unwrap_or(0),
        }
    }

    /// Whichever is over first.
    pub(super) fn or(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        Self {
            was: self.was.min(other.was),
            least: self.least.min(other.least),
        }
    }

    const fn is_over(self, room: u64) -> bool {
        room > self.was && room >= self.least
    }
}

/// Room for blobs; where the system does not tell, there is always some.
pub(super) fn room(store: &Store) -> u64 {
    store.room_for_blobs().unwrap_or(u64::MAX)
}

/// Waits until there is room again; without anything that waits for it, forever. May be dropped at any time.
pub(super) async fn has_come(store: &Store, no_room: Option<NoRoom>) {
    let Some(no_room) = no_room else {
        return std::future::pending().await;
    };
    while !no_room.is_over(room(store)) {
        tokio::time::sleep(LOOK_FOR_ROOM).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_again_once_there_is_more_room_and_enough_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let [small, large] = [("small", 300), ("large", 9000)].map(|(name, bytes)| {
            let path = dir.path().join(name);
            fs::write(&path, vec![1; bytes]).unwrap();
            path
        });
        let both = NoRoom::of(100, [&*large, &*small].into_iter());
        assert_eq!(
            [100, 299, 300].map(|room| both.is_over(room)),
            [false, false, true]
        );
        // A large file before the others had no room, and has no more now.
        let same = NoRoom::of(5000, [&*large, &*small].into_iter());
        assert_eq!([5000, 5001].map(|room| same.is_over(room)), [false, true]);
        let alone = NoRoom::of(5000, [&*large].into_iter());
        assert!(!alone.is_over(8999) && alone.is_over(9000));
        assert!(alone.or(Some(both)).is_over(300));
    }
}
