//! What two devices have still to get from each other, as far as this one knows.

use std::collections::BTreeMap;

use heirloom_protocol::{
    crypto::Class,
    id::{DeviceId, LogId},
    op::Policy,
    sync::want::Path,
};
use roaring::RoaringBitmap;

use super::{Runtime, RuntimeError, fork::within, load::entry_of};

/// Blobs that one of two devices holds and the other still wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Left {
    /// What this device wants and the peer says it holds.
    pub to_get: u64,
    /// What the peer may have, wants by its policy, and does not say it holds.
    pub to_give: u64,
}

impl Left {
    /// Whether neither has anything to get from the other.
    pub const fn is_nothing(self) -> bool {
        self.to_get == 0 && self.to_give == 0
    }
}

impl Runtime {
    /// What this device and a peer have still to get from each other.
    ///
    /// Over a costly way that is no original. A peer's word counts for what it holds, the family's for what it keeps. A
    /// log that both hold whole costs one comparison of bitmaps.
    pub fn left_with(&mut self, peer: DeviceId) -> Result<Left, RuntimeError> {
        let path = self.way_to(&peer);
        let offered = self.want.offered(peer, &self.peers.have, path);
        let to_get = offered + self.owed_by(peer, path);
        let is_cache = matches!(self.replica.control().policy(&peer), Policy::Cache(_));
        let without_originals = is_cache || path == Path::Costly;
        let logs: Vec<LogId> = self
            .replica
            .logs()
            .filter(|(log, state)| state.blobs > 0 && self.replica.may_replicate(&peer, &log.space))
            // Of an album that was lost the others take nothing more from here.
            .filter(|(log, _)| !self.ended.contains(&log.space))
            .map(|(log, _)| *log)
            .collect();
        let mut to_give = 0;
        // Who is full takes nothing more for now.
        let is_full = self.said.get(&peer).is_some_and(|said| said.full);
        for log in logs.into_iter().filter(|_| !is_full) {
            for (kept, ordinals) in self.replica.kept_parts(&log) {
                let mut lacks = within(self.store.here(&kept)?, &ordinals);
                if let Some(held) = self.peers.have.bits(&peer, &log) {
                    lacks -= held;
                }
                // Whoever may not judge a deletion has let these go already.
                self.drops.without_uncounted(&kept, &mut lacks);
                if without_originals && !lacks.is_empty() {
                    self.without_originals(&kept, &mut lacks)?;
                }
                to_give += lacks.len();
            }
        }
        Ok(Left { to_get, to_give })
    }

    /// How many of the blobs that are lacking here each device of the family says it holds.
    pub fn lacking_at(&self) -> BTreeMap<DeviceId, u64> {
        let have = &self.peers.have;
        let live = have
            .peers()
            .filter(|device| self.replica.control().is_live(device));
        let held = live.map(|device| (*device, self.want.offered(*device, have, Path::Free)));
        held.filter(|(_, blobs)| *blobs > 0).collect()
    }

    /// Takes out the originals. Each header is read once; what it says of a blob never changes.
    fn without_originals(
        &mut self,
        log: &LogId,
        blobs: &mut RoaringBitmap,
    ) -> Result<(), RuntimeError> {
        let known = self.originals.entry(*log).or_default();
        *blobs -= &*known;
        let mut rest = blobs.clone();
        while let Some(ordinal) = rest.min() {
            let Some(record) = self.store.entry_with_blob(log, ordinal)? else {
                rest.remove(ordinal);
                continue;
            };
            let lines = entry_of(&record).map(|entry| entry.header().blobs.clone());
            for (line, at) in lines.iter().flatten().zip(record.first_blob..) {
                if line.class == Class::Original.code() {
                    known.insert(at);
                }
            }
            rest.remove_range(..record.first_blob.saturating_add(record.blobs));
        }
        *blobs -= &*known;
        Ok(())
    }
}
