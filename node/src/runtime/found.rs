//! Blobs that lie on the disk and that no row leads to.

use heirloom_protocol::{crypto::shape, log::entry::Entry};

use super::{Runtime, RuntimeError, commit::Stage};

impl Runtime {
    /// Finds again where the blobs of an entry lie that reached its file and not the index.
    ///
    /// Without this the only copy of a photo would count as lacking after a
    /// crash, or after the loss of the index.
    pub(super) fn find_places(&self, stage: &mut Stage, entry: &Entry) -> Result<(), RuntimeError> {
        let header = entry.header();
        for (line, ordinal) in header.blobs.iter().zip(header.first_blob..) {
            let place = self.store.blobs().find(&line.id)?;
            let len = shape::ciphertext_len(line.padded);
            if let Some(place) = place.filter(|place| place.len() == len) {
                let kept = self.place_of(entry).kept;
                stage.batch.places.push((kept, ordinal, place));
            }
        }
        Ok(())
    }
}
