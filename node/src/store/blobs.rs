//! Blobs on disk: ciphertext, nothing else.

use heirloom_protocol::id::BlobId;

/// Where a blob lies. Holds for the life of the blob, but for what a collection moves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum BlobPlace {
    /// A file of its own, found by its name.
    File {
        /// Its name.
        cid: BlobId,
        /// Its length in bytes.
        len: u64,
    },
    /// In a pack of small blobs.
    Pack {
        /// Number of the pack.
        pack: u32,
        /// Offset of the record in it.
        offset: u32,
        /// Length of the blob in bytes.
        len: u32,
    },
}
