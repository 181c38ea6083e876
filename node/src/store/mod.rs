//! The disk of a device: logs of entries, encrypted blobs, and an index made from them.
//!
//! ```text
//! home/lock            who owns the home
//! home/version         what wrote it
//! home/keys/           secrets (keyring.rs)
//! home/logs/           entries, append-only: the truth (logs.rs, record.rs)
//! home/blobs/          ciphertext (blobs.rs)
//! home/heirloom.redb   the index, which can be made again (index.rs, tables.rs)
//! home/settings        what was set on this device alone, once more (settings.rs)
//! home/reserve         room for what goes on when the disk is full (reserve.rs)
//! ```
//!
//! One process owns a home. A [`Store`] is a handle that any thread may use; all
//! calls block. What [`Store::commit`] acknowledged survives a crash and a loss
//! of power at any instant. Entries that reached their file but not the index
//! are handed back ([`Store::unindexed`]) until the caller has taken them in, so
//! that no place in a log is ever used twice. The store never looks inside an
//! entry or a blob and knows nothing of families, peers or albums.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use heirloom_protocol::id::LogId;

mod blobs;
mod collect;
mod commit;
mod error;
pub(crate) mod fs;
mod gone;
mod index;
mod keyring;
mod logs;
mod lost;
mod open;
mod pack;
mod partial;
mod quarantine;
mod read;
mod record;
mod repair;
mod reserve;
mod scrub;
mod seal;
mod settings;
mod tables;
#[cfg(test)]
mod tests;

pub use blobs::{BlobPlace, BlobReader, BlobStore, BlobWriter, Stored};
pub use collect::Collected;
pub use commit::Batch;
pub use error::{Damage, Refusal, StoreError};
pub use gone::Gone;
pub use index::Unusable;
pub use keyring::{KeyFile, Keyring};
pub(crate) use open::DAMAGED;
pub use open::Opened;
pub use partial::PartialBlob;
pub use read::{BlobState, Head, Order};
pub use record::{ENTRY_BYTES_MAX, EntryRecord};
pub use scrub::{Cursor, Depth, Finding, Stats, Verified};
pub use tables::Table;

use index::Index;
use logs::{LogFiles, LogState};
use reserve::Reserve;
use seal::Sealer;

/// The store of one home. Cloning gives another handle on the same.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    home: PathBuf,
    /// Held as long as any handle lives.
    _lock: std::fs::File,
    sealer: Sealer,
    index: Index,
    files: LogFiles,
    blobs: BlobStore,
    logs: RwLock<Logs>,
    /// One commit at a time.
    writer: Mutex<()>,
    collecting: Collecting,
    /// What the last look for unnamed blobs came to, and of how many entries that was.
    unnamed: Mutex<Option<(u64, usize)>>,
    reserve: Reserve,
    opened: Opened,
}

/// The logs as committed, and what waits in their files.
#[derive(Default)]
struct Logs {
    states: BTreeMap<LogId, LogState>,
    /// Log numbers in order.
    numbers: Vec<LogId>,
}

/// Blobs that commits named while a collection is looking for unused ones.
#[derive(Default)]
struct Collecting {
    turn: Mutex<()>,
    named: Mutex<Option<BTreeSet<BlobPlace>>>,
    /// The index was begun anew meanwhile: what was read of it before counts for nothing.
    is_upset: AtomicBool,
}

impl Collecting {
    fn start(&self) {
        *blobs::lock(&self.named) = Some(BTreeSet::new());
        self.is_upset.store(false, Ordering::Relaxed);
    }

    /// To be called with the writer held, like [`is_upset`](Self::is_upset).
    fn upset(&self) {
        self.is_upset.store(true, Ordering::Relaxed);
    }

    fn is_upset(&self) -> bool {
        self.is_upset.load(Ordering::Relaxed)
    }

    fn stop(&self) {
        *blobs::lock(&self.named) = None;
    }

    fn note(&self, places: impl IntoIterator<Item = BlobPlace>) {
        if let Some(named) = blobs::lock(&self.named).as_mut() {
            named.extend(places);
        }
    }

    fn named(&self) -> BTreeSet<BlobPlace> {
        blobs::lock(&self.named).clone().unwrap_or_default()
    }
}

impl Store {
    /// The folder that this store owns.
    pub fn home(&self) -> &Path {
        &self.0.home
    }

    /// What opening found and did.
    pub fn opened(&self) -> &Opened {
        &self.0.opened
    }

    /// Bytes that are free where the home is, where the system tells.
    pub fn free_bytes(&self) -> Option<u64> {
        fs::space(self.home()).map(|(free, _)| free)
    }

    /// Bytes that blobs may still take here, where the system tells.
    pub(crate) fn room_for_blobs(&self) -> Option<u64> {
        fs::room(self.home()).map(fs::Room::for_blobs)
    }

    /// Whether another photo would be taken: false on a full disk, and once one was refused until there is
    /// room for it.
    pub fn has_room(&self) -> bool {
        let Some(room) = fs::room(self.home()) else {
            return true;
        };
        let refused = &self.blobs().0.refused;
        let has_room = room.takes_photos(refused.load(Ordering::Relaxed));
        if has_room {
            refused.store(0, Ordering::Relaxed);
        }
        has_room
    }

    /// The blobs of this home.
    pub fn blobs(&self) -> &BlobStore {
        &self.0.blobs
    }

    /// The secrets of this home.
    pub fn keyring(&self) -> Result<Keyring, StoreError> {
        Keyring::open(self.home())
    }

    /// A stand-in of 16 bytes for a key that would tell something if it stood in clear; the same
    /// for the same term of the same table in this home.
    pub fn blind(&self, table: Table, term: &[u8]) -> [u8; 16] {
        self.0.sealer.blind(table, term)
    }
}

impl Inner {
    fn logs(&self) -> RwLockReadGuard<'_, Logs> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
