//! What a person looks at comes first.

use heirloom_protocol::{album::asset::BlobRef, sync::blob::BlobPlace};

use super::{Runtime, RuntimeError};
use crate::store::BlobState;

impl Runtime {
    /// Has blobs that are not here fetched before all others, on whatever device.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn look_at(&mut self, blobs: &[BlobRef]) -> Result<(), RuntimeError> {
        for blob in blobs {
            if matches!(
                self.store.blob_state(&blob.log, blob.ordinal)?,
                BlobState::Here(_)
            ) {
                continue;
            }
            let named = self.replica.named_blob(&blob.log, blob.ordinal);
            self.want.look_at(BlobPlace {
                log: named.unwrap_or(blob.log),
                ordinal: blob.ordinal,
            });
        }
        Ok(())
    }
}
