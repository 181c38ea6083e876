//! Entries and ciphertext as files: on a disk that is taken along, or in a place that nobody runs a node on.
//!
//! ```text
//! depot.rs    a folder that is kept up to date, as a keeper without a program
//! folder.rs   a folder as a place for such files
//! write.rs    what is here goes there: entries, blobs, and last a signed manifest
//! read.rs     what is there comes here, checked like anything from a hostile peer
//! ```
//!
//! The form of the files is the protocol's ([`heirloom_protocol::carry`]); which
//! entries count and which blobs are wanted is the runtime's. Everything here
//! blocks, and runs on threads for that.

pub(crate) mod depot;
mod folder;
mod read;
mod write;

use crate::{
    runtime::RuntimeError,
    store::{Refusal, StoreError},
};

pub(crate) use self::{
    folder::Folder,
    read::{Reading, Wrong, read},
    write::{Before, write},
};

/// Why carrying ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CarryError {
    /// The place cannot be read or written.
    #[error("{0}")]
    Place(std::io::Error),
    /// There is no room in it.
    #[error("there is no room left in the place that is written to")]
    Full,
    /// It is a depot that is not in reach: a disk that is not mounted, a share that is gone.
    #[error("the depot is not in reach")]
    Away,
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
        match error.kind() {
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
