//! What a fork of a log changes on this device: names of blobs, wants, and its own incarnation.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use heirloom_protocol::{
    album::asset::BlobRef,
    id::{AlbumId, DeviceId, LogId, SpaceId},
    op::{Op, Policy},
    sync::{blob::BlobPlace as Name, want::Want},
};
use rand_core::Rng as _;
use roaring::RoaringBitmap;

use super::{Identity, News, Runtime, RuntimeError};
use crate::store::{Batch, StoreError, Table};

/// The row that holds when this device anchored last, Unix milliseconds.
const ANCHORED: &[u8] = b"anchored";
/// Anchors of one album before a removal: enough for every log that a person's devices may have.
const VOUCHES: u32 = 16;
const DAY_MS: u64 = 24 * 3600 * 1000;

impl Runtime {
    /// Which blobs of a log, by the name that peers know, are here.
    pub(super) fn blobs_here(&self, log: &LogId) -> Result<RoaringBitmap, StoreError> {
        let parts = self.replica.kept_parts(log);
        let mut all = RoaringBitmap::new();
        for (kept, ordinals) in parts {
            all |= within(self.store.here(&kept)?, &ordinals);
        }
        Ok(all)
    }

    /// The name under which a blob is kept that peers know by another.
    pub(crate) fn kept_name(&self, blob: &BlobRef) -> LogId {
        let kept = self.replica.kept_blob(&blob.log, blob.ordinal);
        kept.unwrap_or(blob.log)
    }

    /// The name that peers know, of a blob by the one under which it is kept.
    pub(super) fn name_kept(&self, kept: &LogId, ordinal: u32) -> Name {
        let log = self.replica.named_blob(kept, ordinal).unwrap_or(*kept);
        Name { log, ordinal }
    }

    /// The names that peers know, of blobs of a log by the one under which it is kept.
    pub(super) fn names_of(
        &self,
        kept: &LogId,
        blobs: &RoaringBitmap,
    ) -> BTreeMap<LogId, RoaringBitmap> {
        let mut named: BTreeMap<LogId, RoaringBitmap> = BTreeMap::new();
        for ordinal in blobs {
            let name = self.name_kept(kept, ordinal);
            named.entry(name.log).or_default().insert(ordinal);
        }
        named
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
    pub(super) fn after_fork(&mut self, logs: &BTreeSet<LogId>) -> Result<(), RuntimeError> {
        self.note_forked(logs)?;
        self.peers.renamed = self.renamed_blobs();
        let policy = self.replica.control().policy(&self.device());
        self.want = Want::new(policy);
        self.load_wants()?;
        let spaces: BTreeSet<SpaceId> = logs.iter().map(|log| log.space).collect();
        let renamed = spaces.into_iter().map(News::Renamed);
        self.news.extend(renamed);
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
    /// person was let in again, or was written with a clock that was ahead. Durable when it returns.
    pub(super) fn renew_before_writing(&mut self, album: &AlbumId) -> Result<(), RuntimeError> {
        self.leave_ahead()?;
        if self.replica.is_own_log_cut(album) {
            self.renew()?;
        }
        Ok(())
    }

    /// Does [`Self::anchor`] once a day, on an archive. Durable when it returns.
    pub(crate) fn anchor_daily(&mut self) -> Result<(), RuntimeError> {
        let now = self.now().0;
        let last = self.store.get(Table::Kv, ANCHORED)?;
        let last = last.and_then(|row| row.try_into().ok());
        let last = last.map(u64::from_be_bytes);
        // A clock that was set back makes it due, not overdue for ever.
        let is_due = last.is_none_or(|last| now < last || now - last >= DAY_MS);
        let policy = self.replica.control().policy(&self.device());
        if !is_due || policy != Policy::Archive {
            return Ok(());
        }
        self.anchor()?;
        let row = (Table::Kv, ANCHORED.to_vec(), now.to_be_bytes().to_vec());
        self.store.commit(&Batch {
            puts: vec![row],
            ..Batch::default()
        })?;
        Ok(())
    }

    /// Says in every album how far the logs of others are known here, where something is new.
    /// Durable when it returns.
    ///
    /// What was said so outlives the removal or a fork of its author.
    pub fn anchor(&mut self) -> Result<(), RuntimeError> {
        let albums: Vec<_> = self.replica.albums().map(|(album, _)| *album).collect();
        for album in albums {
            if !self.replica.may_replicate(&self.device(), &album) {
                continue;
            }
            self.renew_before_writing(&album)?;
            if let Some(recorded) = self.replica.record_anchor(album, self.now())? {
                self.commit(&recorded, &[])?;
            }
        }
        Ok(())
    }

    /// Says in every album how far the logs of the devices are known here that a removal takes out.
    /// Durable when it returns.
    ///
    /// Before a removal is recorded or taken in: what nobody had named by then has no effect after
    /// it, and that would be their albums with everybody's photos in them.
    pub(super) fn vouch_before(&mut self, removal: &Op) -> Result<(), RuntimeError> {
        let gone = self.replica.hit_by(removal);
        if gone.is_empty() {
            return Ok(());
        }
        self.note_before_removal(&gone)?;
        let albums: Vec<_> = self.replica.albums().map(|(album, _)| *album).collect();
        for album in albums {
            self.vouch_in(&album, &gone)?;
        }
        Ok(())
    }

    /// The same before an op takes somebody's access to one album: its author may not have seen what is here.
    pub(super) fn vouch_before_lowering(
        &mut self,
        album: &AlbumId,
        op: &Op,
    ) -> Result<(), RuntimeError> {
        let hit = self.replica.lowered_by(album, op);
        if hit.is_empty() {
            return Ok(());
        }
        self.vouch_in(album, &hit)
    }

    fn vouch_in(&mut self, album: &AlbumId, gone: &[DeviceId]) -> Result<(), RuntimeError> {
        if !self.replica.may_replicate(&self.device(), album) {
            return Ok(());
        }
        self.renew_before_writing(album)?;
        for _ in 0..VOUCHES {
            match self.replica.record_vouch(*album, gone, self.now()) {
                Ok(Some(vouch)) => self.commit(&vouch, &[])?,
                Ok(None) => break,
                Err(error) => {
                    // Nobody stays in the family because this device may not write here.
                    tracing::warn!(%error, album = %album.short(), "not vouched for");
                    break;
                }
            }
        }
        Ok(())
    }

    /// Goes on in a fresh incarnation. Durable when it returns.
    pub(super) fn renew(&mut self) -> Result<(), RuntimeError> {
        let incarnation = self.rng()?.next_u64();
        let mut identity = Identity::load(&self.store)?.ok_or(RuntimeError::Stopped)?;
        identity.incarnation = incarnation;
        identity.save(&self.store)?;
        self.replica.renew(incarnation);
        Ok(())
    }
}

/// The blobs of a range.
pub(super) fn within(mut blobs: RoaringBitmap, ordinals: &Range<u32>) -> RoaringBitmap {
    blobs.remove_range(..ordinals.start);
    blobs.remove_range(ordinals.end..);
    blobs
}
