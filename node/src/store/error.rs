//! What can go wrong in the store, as facts that a caller can act on.

use std::io;
use std::path::PathBuf;

use heirloom_protocol::id::{BlobId, EntryId, LogId};
use thiserror::Error;

use super::tables::Table;

/// Why the store did not do what was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no store in this home.
    #[error("this home is not set up")]
    NotSetUp,
    /// Another process owns this home.
    #[error("another process uses this home")]
    Locked,
    /// The store was written by a newer version; nothing was touched.
    #[error("this home has store version {found}, this program knows up to {known}")]
    Newer {
        /// What the home says.
        found: u32,
        /// The newest version this program writes.
        known: u32,
    },
    /// A key file is whole and says what this version does not understand; nothing was touched.
    #[error("the key file {path} is of a newer version than this program")]
    NewerKey {
        /// The file.
        path: PathBuf,
    },
    /// Others could read a secret or the home.
    #[error("{path} has mode {mode:04o}: others could get at it; run: {fix}")]
    Permissions {
        /// What is too open.
        path: PathBuf,
        /// Its mode now.
        mode: u32,
        /// The exact command that repairs it.
        fix: String,
    },
    /// The home belongs to another account, whose program could not use what is written to it now.
    #[error("{path} belongs to another account")]
    OtherAccount {
        /// The home.
        path: PathBuf,
    },
    /// No room left. Nothing that was acknowledged is lost, reads and deletions go on, and writing
    /// works again once there is room.
    #[error("the disk is full")]
    DiskFull,
    /// The disk can only be read: mounted so, or turned so by the system after an error.
    #[error("the disk can only be read")]
    ReadOnly,
    /// Stored bytes are not what was written. Never handed out as if they were.
    #[error("damaged: {0}")]
    Damaged(Damage),
    /// The caller asked for something that the rules of the store forbid; nothing changed.
    #[error("{0}")]
    Refused(Refusal),
    /// The operating system said no.
    #[error("{0}")]
    Io(io::Error),
}

/// What was found broken.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Damage {
    /// The record of an entry does not match its checksum, cannot be read, or is missing from its file.
    #[error("entry {seq} of a log of device {}", .log.device.short())]
    Entry {
        /// The log.
        log: LogId,
        /// The entry's place in it.
        seq: u32,
        /// The entry's name, where the index still knows it.
        id: Option<EntryId>,
    },
    /// Bytes of a log file between two good records, or its header, are not what was written.
    #[error("{bytes} bytes at {offset} in the file of a log of device {}", .log.device.short())]
    Log {
        /// The log.
        log: LogId,
        /// Where.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// A blob that the index lists is missing, short, unreadable or does not hash to its name.
    #[error("blob {cid}")]
    Blob {
        /// The blob.
        cid: BlobId,
    },
    /// A place that the index lists does not exist, so not even the blob's name is known.
    #[error("blob number {ordinal} of a log of device {}", .log.device.short())]
    Place {
        /// The log.
        log: LogId,
        /// The blob's number in it.
        ordinal: u32,
    },
    /// A file that this account may not read: nothing says that its bytes are not what they should be.
    #[error("not allowed to read {what}")]
    Closed {
        /// Which, in the words of the system.
        what: String,
    },
    /// Bytes of a pack between two good records are not what was written.
    #[error("{bytes} bytes at {offset} in pack {pack}")]
    Pack {
        /// Number of the pack.
        pack: u32,
        /// Where.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// A sealed value does not open under this store's key, table and key.
    #[error("a value in the table {}", .table.name())]
    Value {
        /// The table.
        table: Table,
        /// The value's key as stored.
        key: Vec<u8>,
    },
    /// The index contradicts itself or the files; it can be made again from them.
    #[error("the index ({what})")]
    Index {
        /// Which part.
        what: &'static str,
    },
    /// The file that says the home's version says none.
    #[error("the file {path}, which says the version of the home")]
    Version {
        /// The file.
        path: PathBuf,
    },
    /// A key file is cut short or changed.
    #[error("the key file {path}")]
    Key {
        /// The file.
        path: PathBuf,
    },
}

/// A rule of the store that a request broke.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Refusal {
    /// There is a store in this home already.
    #[error("this home is already set up")]
    SetUp,
    /// An entry does not follow the last one of its log.
    #[error("entry {found} of a log of device {} does not follow: {expected} is next", .log.device.short())]
    Gap {
        /// The log.
        log: LogId,
        /// What is next.
        expected: u32,
        /// What came.
        found: u32,
    },
    /// Another entry has this place in the log: a fork, which the caller makes a branch of.
    #[error("entry {seq} of a log of device {} is another one", .log.device.short())]
    Taken {
        /// The log.
        log: LogId,
        /// The place.
        seq: u32,
    },
    /// The log's file holds entries that were never indexed; take `unindexed` first.
    #[error("a log of device {} holds entries from {seq} on that were not taken in yet", .log.device.short())]
    Unindexed {
        /// The log.
        log: LogId,
        /// The first of them.
        seq: u32,
    },
    /// An entry, blob or key file is larger than the store takes.
    #[error("{bytes} bytes are more than the store takes here")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// A batch names a blob that is not in the store.
    #[error("a file that an entry names is not in the store")]
    BlobGone(super::blobs::BlobPlace),
    /// The bytes of a blob do not hash to the name that was expected.
    #[error("the bytes are not those of blob {expected}")]
    WrongBlob {
        /// The name that was expected.
        expected: BlobId,
    },
    /// Leaves of a partial blob are still missing.
    #[error("blob {cid} is not complete")]
    Incomplete {
        /// The blob.
        cid: BlobId,
    },
    /// Somebody else is working on this partial blob.
    #[error("blob {cid} is being worked on")]
    Busy {
        /// The blob.
        cid: BlobId,
    },
}

impl StoreError {
    /// The same, or damage where the disk could not give what was to be read.
    pub(super) fn or_damage(self, damage: impl FnOnce() -> Damage) -> Self {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::InvalidData => damage().into(),
            other => other,
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Io(error),
        }
    }
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[cfg(test)]
mod tests {
    use heirloom_protocol::id::{BranchId, DeviceId, SpaceId};

    use super::*;

    #[test]
    fn what_people_read_is_in_words() {
        let log = LogId {
            space: SpaceId([1; 16]),
            device: DeviceId([2; 32]),
            inc: 3,
            branch: BranchId::ZERO,
        };
        let place = crate::store::BlobPlace::File {
            cid: BlobId([4; 32]),
            len: 5,
        };
        let (expected, found, seq) = (6, 7, 8);
        let refusals = [
            Refusal::Gap {
                log,
                expected,
                found,
            },
            Refusal::Taken { log, seq },
            Refusal::Unindexed { log, seq },
            Refusal::BlobGone(place),
        ];
        let value = Damage::Value {
            table: Table::PlainHashes,
            key: Vec::new(),
        };
        let texts = refusals
            .map(StoreError::from)
            .map(|error| error.to_string());
        for text in texts
            .into_iter()
            .chain([StoreError::from(value).to_string()])
        {
            assert!(!text.contains(['{', '(', '[']), "{text}");
            assert!(!text.contains("PlainHashes"), "{text}");
        }
    }
}
