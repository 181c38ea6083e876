//! What other devices have shown of what they say they hold.
//!
//! A claim is only a claim. Each device asks every other one it is connected to
//! for random leaves of originals that the other claims, and remembers what came:
//! a row for each device, that no log tells. A wrong or withheld leaf takes the
//! trust from the whole device until it has shown what it could not.

use std::{collections::BTreeSet, ops::ControlFlow};

use heirloom_protocol::{
    album::asset::BlobRef,
    crypto::{Class, leaves},
    id::{DeviceId, LogId},
    op::Policy,
    sync::{blob::blob_bytes, keep::Witness},
    time::Timestamp,
    wire,
};
use rand_core::Rng as _;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::{News, Runtime, RuntimeError, name_of};
use crate::store::{Batch, Store, StoreError, Table};

const PREFIX: &[u8] = b"audit/";
/// Between two audits of a device that showed all it was asked for.
const EVERY_MS: u64 = 24 * 3600 * 1000;
/// Between two audits of one that did not.
const AGAIN_MS: u64 = 3600 * 1000;
/// Originals asked for in one audit, chosen by their bytes.
const SAMPLE: usize = 32;
/// Claimed blobs looked at to choose from; where there are no more, each is looked at.
const DRAWS: u64 = 512;
/// Blobs that are remembered as not shown.
const FAILING: usize = 1024;

/// A question to a device that claims a blob: show this leaf of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Challenge {
    /// The blob.
    pub(crate) blob: BlobRef,
    /// Which leaf, below the number that it has.
    pub(crate) leaf: u32,
}

/// What came of the audits of one device.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Audit {
    /// When it last showed all it was asked for, Unix milliseconds; 0 for never.
    pub passed: u64,
    /// When it was last asked, Unix milliseconds.
    pub at: u64,
    /// Leaves asked for that time.
    pub checked: u32,
    /// Blobs that it claims and could not show, by the names that peers know.
    pub failing: Vec<(LogId, u32)>,
    /// How many blobs it claimed that time.
    claimed: u64,
}

impl Audit {
    /// Whether it failed to show a blob that it still claims.
    pub(super) fn fails_at(&self, log: &LogId, ordinal: u32) -> bool {
        self.failing.contains(&(*log, ordinal))
    }

    /// When it last proved itself, if ever.
    pub fn proved(&self) -> Option<Timestamp> {
        (self.passed > 0).then_some(Timestamp(self.passed))
    }
}

fn key(device: &DeviceId) -> Vec<u8> {
    [PREFIX, &device.0].concat()
}

/// Reads what was remembered. A damaged row is no more than another audit.
pub(super) fn load(
    store: &Store,
) -> Result<std::collections::BTreeMap<DeviceId, Audit>, StoreError> {
    let mut audits = std::collections::BTreeMap::new();
    store.scan(Table::Peers, PREFIX, |key, value| {
        let device = key.strip_prefix(PREFIX).and_then(|id| id.try_into().ok());
        let row = value.ok().and_then(|row| wire::decode_row(&row).ok());
        if let Some((device, row)) = device.zip(row) {
            audits.insert(DeviceId(device), row);
        }
        ControlFlow::Continue(())
    })?;
    Ok(audits)
}

impl Runtime {
    /// The other live devices as keepers of copies.
    pub(super) fn witnesses(&self) -> std::collections::BTreeMap<DeviceId, Witness> {
        let control = self.replica.control();
        let live = control.resolution().devices.keys();
        let others = live.filter(|device| **device != self.device());
        let witness = |device: &DeviceId| {
            let audit = self.peers.audits.get(device);
            Witness {
                is_archive: control.policy(device) == Policy::Archive,
                proved: audit.and_then(Audit::proved),
                failed_audit: audit.is_some_and(|audit| !audit.failing.is_empty()),
            }
        };
        others.map(|device| (*device, witness(device))).collect()
    }

    fn claimed(&self, peer: &DeviceId) -> u64 {
        self.peers.have.logs(peer).map(|(_, bits)| bits.len()).sum()
    }

    /// Whether a device is to be asked now for some of what it claims. `fresh` says that it was not
    /// asked since it connected: then one that failed is asked at once.
    pub(crate) fn audit_due(&self, peer: &DeviceId, fresh: bool) -> bool {
        // A device without a person shows copies to nobody.
        if self.replica.person().is_none() {
            return false;
        }
        let (now, claimed) = (self.now().0, self.claimed(peer));
        let Some(last) = self.peers.audits.get(peer) else {
            return claimed > 0;
        };
        let failed = !last.failing.is_empty();
        let every = if failed { AGAIN_MS } else { EVERY_MS };
        // A clock that was set back makes it due, not overdue for ever.
        let is_old = now < last.at || now - last.at >= every;
        let has_grown = claimed > last.claimed.saturating_mul(2);
        (claimed > 0 || failed) && (is_old || has_grown || (fresh && failed))
    }

    /// What to ask a device for: what it could not show before, then random leaves of originals
    /// that it claims, of spaces that both may replicate.
    pub(crate) fn audit_plan(&mut self, peer: &DeviceId) -> Result<Vec<Challenge>, RuntimeError> {
        let mut rng = self.rng()?;
        let mut chosen = Vec::new();
        let before = self.peers.audits.get(peer);
        for (log, ordinal) in before.map(|last| last.failing.clone()).unwrap_or_default() {
            if self.peers.have.holds(peer, &log, ordinal) {
                chosen.extend(self.auditable(peer, &log, ordinal)?);
            }
        }
        chosen.truncate(SAMPLE);
        let again: BTreeSet<_> = chosen.iter().map(name_of).collect();
        let logs: Vec<(LogId, RoaringBitmap)> = {
            let claimed = self.peers.have.logs(peer);
            claimed.map(|(log, bits)| (*log, bits.clone())).collect()
        };
        let mut pool = Vec::new();
        for (log, ordinal) in drawn(&logs, || rng.next_u64()) {
            let blob = self.auditable(peer, &log, ordinal)?;
            pool.extend(blob.filter(|blob| !again.contains(&name_of(blob))));
        }
        while chosen.len() < 2 * SAMPLE && chosen.len() < again.len() + SAMPLE && !pool.is_empty() {
            let total: u64 = pool.iter().map(blob_bytes).sum();
            let mut at = rng.next_u64() % total.max(1);
            let found = pool.iter().position(|blob| {
                let is_it = at < blob_bytes(blob);
                at = at.saturating_sub(blob_bytes(blob));
                is_it
            });
            chosen.push(pool.swap_remove(found.unwrap_or(0)));
        }
        Ok(chosen
            .into_iter()
            .map(|blob| challenge(blob, rng.next_u64()))
            .collect())
    }

    /// A random leaf of each of some blobs.
    pub(crate) fn challenges(&mut self, blobs: &[BlobRef]) -> Result<Vec<Challenge>, RuntimeError> {
        let mut rng = self.rng()?;
        let ask = |blob: &BlobRef| challenge(*blob, rng.next_u64());
        Ok(blobs.iter().map(ask).collect())
    }

    /// An original that a device must be able to show if it claims it.
    fn auditable(
        &self,
        peer: &DeviceId,
        log: &LogId,
        ordinal: u32,
    ) -> Result<Option<BlobRef>, StoreError> {
        if !self.replica.may_replicate(peer, &log.space) {
            return Ok(None);
        }
        let kept = self.replica.kept_blob(log, ordinal);
        if kept.is_none_or(|kept| self.drops.has_ended(&kept, ordinal)) {
            return Ok(None);
        }
        let blob = self.blob_of(log, ordinal)?;
        Ok(blob.filter(|blob| blob.class == Class::Original.code()))
    }

    /// Remembers what a device showed. Durable when it returns.
    ///
    /// What it could not show and does not claim any more, or what was deleted meanwhile, is no
    /// failure.
    pub(crate) fn note_audit(
        &mut self,
        peer: DeviceId,
        shown: &[(Challenge, bool)],
    ) -> Result<(), RuntimeError> {
        let mut failing = Vec::new();
        for (asked, _) in shown.iter().filter(|(_, good)| !good).take(FAILING) {
            let (log, ordinal) = (asked.blob.log, asked.blob.ordinal);
            let claims = self.peers.have.holds(&peer, &log, ordinal);
            if claims && self.auditable(&peer, &log, ordinal)?.is_some() {
                failing.push((log, ordinal));
            }
        }
        let now = self.now().0;
        let mut audit = self.peers.audits.get(&peer).cloned().unwrap_or_default();
        audit.at = now;
        audit.checked = u32::try_from(shown.len()).unwrap_or(u32::MAX);
        audit.claimed = self.claimed(&peer);
        if failing.is_empty() {
            audit.passed = if shown.is_empty() { audit.passed } else { now };
        } else {
            tracing::warn!(device = %peer.short(), failed = failing.len(), "a device could not show what it says it holds");
        }
        audit.failing = failing;
        let row = wire::encode(&audit);
        self.store.commit(&Batch {
            puts: vec![(Table::Peers, key(&peer), row)],
            ..Batch::default()
        })?;
        self.peers.audits.insert(peer, audit);
        self.news.push(News::Peers);
        Ok(())
    }
}

fn challenge(blob: BlobRef, random: u64) -> Challenge {
    let leaf = random % leaves::leaf_count(blob_bytes(&blob)).max(1);
    let leaf = u32::try_from(leaf).unwrap_or(0);
    Challenge { blob, leaf }
}

/// Some of what is claimed, each at most once: all where that is little.
fn drawn(
    logs: &[(LogId, RoaringBitmap)],
    mut random: impl FnMut() -> u64,
) -> BTreeSet<(LogId, u32)> {
    let total: u64 = logs.iter().map(|(_, bits)| bits.len()).sum();
    let every = logs
        .iter()
        .flat_map(|(log, bits)| bits.iter().map(|ordinal| (*log, ordinal)));
    if total <= DRAWS {
        return every.collect();
    }
    let draw = |_| {
        let mut at = random() % total;
        logs.iter().find_map(|(log, bits)| {
            if at >= bits.len() {
                at -= bits.len();
                return None;
            }
            let ordinal = bits.select(u32::try_from(at).ok()?)?;
            Some((*log, ordinal))
        })
    };
    (0..DRAWS).filter_map(draw).collect()
}
