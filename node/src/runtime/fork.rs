//! What a fork of a log changes on this device: names of blobs, wants, and its own incarnation.

use std::ops::Range;

use heirloom_protocol::{
    id::{AlbumId, LogId},
    sync::want::Want,
};
use rand_core::Rng as _;
use roaring::RoaringBitmap;

use super::{Identity, Runtime, RuntimeError};
use crate::store::StoreError;

impl Runtime {
    /// Which blobs of a log, by the name that peers know, are here.
    pub(super) fn blobs_here(&self, log: &LogId) -> Result<RoaringBitmap, StoreError> {
        let parts = self.replica.kept_parts(log);
        let mut all = RoaringBitmap::new();
        for (kept, ordinals) in parts {
            let mut here = self.store.here(&kept)?;
            here.remove_range(..ordinals.start);
            here.remove_range(ordinals.end..);
            all |= here;
        }
        Ok(all)
    }

    /// What a fork left under names that peers do not know: nothing but in families with a copied home.
    pub(super) fn renamed_blobs(&self) -> Vec<(LogId, Range<u32>, LogId)> {
        let logs = self.replica.logs().map(|(log, _)| *log);
        let parts = logs.flat_map(|log| {
            let parts = self.replica.kept_parts(&log).into_iter();
            parts.map(move |(kept, blobs)| (kept, blobs, log))
        });
        parts.filter(|(kept, _, log)| kept != log).collect()
    }

    /// Takes the names of what is wanted and held anew, and leaves a log of its own that forked.
    pub(super) fn after_fork(&mut self) -> Result<(), RuntimeError> {
        tracing::warn!("a device's log goes on in two ways: maybe its home was copied or restored");
        self.peers.renamed = self.renamed_blobs();
        let policy = self.replica.control().policy(&self.device());
        self.want = Want::new(policy);
        self.load_wants()?;
        self.renew_if_forked()
    }

    /// Goes on in a fresh incarnation where this device's log forked. Durable when it returns.
    pub(super) fn renew_if_forked(&mut self) -> Result<(), RuntimeError> {
        if self.replica.is_own_log_forked() {
            self.renew()?;
            tracing::warn!("this home was copied or restored: it goes on under a new incarnation");
        }
        Ok(())
    }

    /// Goes on in a fresh incarnation where this device's log in an album was cut off, before its
    /// person was let in again. Durable when it returns.
    pub(super) fn renew_if_cut(&mut self, album: &AlbumId) -> Result<(), RuntimeError> {
        if self.replica.is_own_log_cut(album) {
            self.renew()?;
        }
        Ok(())
    }

    fn renew(&mut self) -> Result<(), RuntimeError> {
        let incarnation = self.rng()?.next_u64();
        let mut identity = Identity::load(&self.store)?.ok_or(RuntimeError::Stopped)?;
        identity.incarnation = incarnation;
        identity.save(&self.store)?;
        self.replica.renew(incarnation);
        Ok(())
    }
}
