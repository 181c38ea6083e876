//! Blobs that lie on the disk and that no row leads to.

use std::ops::Range;

use heirloom_protocol::{
    crypto::shape,
    id::{BlobId, LogId},
    log::entry::Entry,
    replica::log_of,
};

use super::{Runtime, RuntimeError, commit::Stage};
use crate::store::{BlobPlace, StoreError};

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

    /// Finds the blobs of an entry that was here once, is this device's own or among the `lost`, and comes again from a
    /// peer: the index forgets where they lie when it is made anew without the entry.
    ///
    /// Without this an original that lies whole on this disk would be looked for elsewhere, or count as lost.
    /// Only what is whole counts. What is small is looked for in the packs too, which takes a walk through them.
    pub(super) fn find_places_again(
        &self,
        stage: &mut Stage,
        entry: &Entry,
        lost: &[(LogId, Range<u32>)],
    ) {
        let header = entry.header();
        if header.blobs.is_empty() {
            return;
        }
        let (log, kept) = (log_of(entry), self.place_of(entry).kept);
        let was_here = lost
            .iter()
            .any(|(gone, seqs)| (*gone == log || *gone == kept) && seqs.contains(&header.seq));
        // What this device wrote itself it had, also where a lost database does not say so. Of any other entry nothing is
        // looked for: who names a blob must be given its bytes by somebody, or it would be served to everybody who
        // may read what names it.
        if !was_here && log.device != self.device() {
            return;
        }
        self.store.blobs().search_packs();
        for (line, ordinal) in header.blobs.iter().zip(header.first_blob..) {
            let len = shape::ciphertext_len(line.padded);
            match self.whole_place(&line.id, len) {
                Ok(Some(place)) => stage.batch.places.push((kept, ordinal, place)),
                Ok(None) => {}
                // It comes from a peer like any other.
                Err(error) => {
                    tracing::warn!(blob = %line.id, %error, "a blob on this disk cannot be read");
                }
            }
        }
    }

    fn whole_place(&self, id: &BlobId, len: u64) -> Result<Option<BlobPlace>, StoreError> {
        let blobs = self.store.blobs();
        match blobs.find(id)?.filter(|place| place.len() == len) {
            Some(place) if blobs.is_whole(id, &place)? => Ok(Some(place)),
            _ => Ok(None),
        }
    }
}
