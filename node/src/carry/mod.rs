//! Entries and ciphertext as files: on a disk that is taken along, or in a place that nobody runs a node on.
//!
//! ```text
//! depot.rs    a folder that is kept up to date, as a keeper without a program
//! own.rs      what this device has put into a depot, by its lists there, or else by what lies there
//! check.rs    some of it is read again
//! bucket.rs   a bucket of an S3-compatible store as a place for such files, by http.rs
//! folder.rs   a folder as a place for such files, held open by dir.rs
//! write.rs    what is here goes there: entries, blobs, and last a signed manifest
//! read.rs     what is there comes here, checked like anything from a hostile peer
//! writers.rs  who wrote there, and what they say that lies there
//! relied.rs   which blobs of a depot somebody relies on, so that they are not removed
//! ```
//!
//! The form of the files is the protocol's ([`heirloom_protocol::carry`]); which
//! entries count and which blobs are wanted is the runtime's. Everything here
//! blocks, and runs on threads for that.

mod bucket;
mod check;
pub(crate) mod depot;
mod dir;
mod folder;
mod http;
mod own;
mod read;
mod relied;
mod write;
mod writers;

use crate::{
    runtime::RuntimeError,
    store::{Refusal, StoreError},
};

pub(crate) use self::{
    folder::Folder,
    read::{Reading, Wrong, read},
    write::{Before, write},
};

/// A place for files that are carried. Names are paths below it, with slashes.
///
/// Each call blocks. A file appears under its name whole or not at all.
pub(crate) trait Carrier {
    /// What it is called, here and in no other place.
    fn place(&self) -> String;

    /// The length of a file; `None` where there is none, or something that is no plain file.
    fn size(&self, name: &str) -> std::io::Result<Option<u64>>;

    /// A whole file; `None` where there is none.
    ///
    /// # Errors
    ///
    /// `InvalidData` for one that is no plain file or longer than `most`.
    fn get(&self, name: &str, most: u64) -> std::io::Result<Option<Vec<u8>>>;

    /// Writes a file that has its name after the next [`Self::settle`] at the latest, replacing what has it.
    fn put(&self, name: &str, bytes: &[u8]) -> std::io::Result<()>;

    /// Makes everything that was put durable. After an error some of it is not there.
    fn settle(&self) -> std::io::Result<()>;

    /// Removes a file; one that is not there is fine.
    fn remove(&self, name: &str) -> std::io::Result<()>;

    /// The names in a folder, sorted; none where it is not there or no folder.
    fn list(&self, name: &str) -> std::io::Result<Vec<String>>;
}

/// Why carrying ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CarryError {
    /// The place cannot be read or written.
    #[error("{0}")]
    Place(std::io::Error),
    /// What this device put there cannot be told: a file of its own there is not to be read.
    #[error(
        "{0}: without this file it is not known what this device put there, and nothing there was changed; \
         if it cannot be read for good, delete it, and what lies there is listed anew"
    )]
    Unread(std::io::Error),
    /// There is no room in it.
    #[error("there is no room left in the place that is written to")]
    Full,
    /// It is a depot that is not in reach: a disk that is not mounted, a share that is gone.
    #[error("the depot is not in reach")]
    Away,
    /// The keys of the store are missing, or others could read them.
    #[error("{0}")]
    NoAccess(String),
    /// The store does not let these keys in.
    #[error("{}", bucket::KeysRefused)]
    Refused,
    /// Nothing of the kind lies there.
    #[error("nothing that Heirloom wrote lies there")]
    Nothing,
    /// What lies there is of another family.
    #[error("what lies there is of another family")]
    Foreign,
    /// This device cannot go on.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl From<std::io::Error> for CarryError {
    fn from(error: std::io::Error) -> Self {
        let inner = error.get_ref();
        match error.kind() {
            _ if inner.is_some_and(|inner| inner.is::<bucket::KeysRefused>()) => Self::Refused,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Place(error),
        }
    }
}

impl From<StoreError> for CarryError {
    fn from(error: StoreError) -> Self {
        Self::Runtime(error.into())
    }
}

/// Whether the store says that bytes are not those of the blob that they were to be.
fn is_wrong_blob(error: &StoreError) -> bool {
    matches!(error, StoreError::Refused(Refusal::WrongBlob { .. }))
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// Files done.
    pub(crate) done: u64,
    /// Files in all, 0 while unknown.
    pub(crate) total: u64,
    /// Bytes done.
    pub(crate) bytes: u64,
}
