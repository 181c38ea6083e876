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
    limits,
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
/// Originals asked for in one audit, chosen by their bytes; so many more of what was not shown before.
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
    /// Blobs that it claims, could not show and has not shown since, by the names that peers know; the
    /// ones that were asked for last come last.
    pub failing: Vec<(LogId, u32)>,
    /// It took back what it was asked for: it is asked for something else at once.
    again: bool,
    /// How many blobs it claimed that time.
    claimed: u64,
}

impl Audit {
    /// Whether it failed to show a blob that it still claims.
    pub(super) fn fails_at(&self, log: &LogId, ordinal: u32) -> bool {
        self.failing.contains(&(*log, ordinal))
    }

    /// Whether there is to be another one, where the device claims so many blobs now.
    fn is_due_again(&self, claimed: u64, now: u64, fresh: bool) -> bool {
        let failed = !self.failing.is_empty();
        let every = if failed { AGAIN_MS } else { EVERY_MS };
        // A clock that was set back makes it due, not overdue for ever.
        let is_old = now < self.at || now - self.at >= every;
        let has_grown = match self.checked {
            // It had small pictures alone, and those are not asked for.
            0 => claimed > self.claimed,
            _ => claimed > self.claimed.saturating_mul(2),
        };
        let soon = self.again || (fresh && failed);
        (claimed > 0 || failed) && (is_old || has_grown || soon)
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
        match self.peers.audits.get(peer) {
            None => claimed > 0,
            Some(last) => last.is_due_again(claimed, now, fresh),
        }
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

    /// An original that a device must be able to show to this one if it claims it. Of an album that this
    /// person lost nobody shows them anything, and that says nothing of what they hold.
    fn auditable(
        &self,
        peer: &DeviceId,
        log: &LogId,
        ordinal: u32,
    ) -> Result<Option<BlobRef>, StoreError> {
        let both = [*peer, self.device()];
        if !both
            .iter()
            .all(|one| self.replica.may_replicate(one, &log.space))
        {
            return Ok(None);
        }
        let kept = self.replica.kept_blob(log, ordinal);
        if kept.is_none_or(|kept| self.drops.has_ended(&kept, ordinal)) {
            return Ok(None);
        }
        let blob = self.blob_of(log, ordinal)?;
        // What is not fetched, nobody has from another.
        let is_asked = |blob: &BlobRef| {
            blob.class == Class::Original.code() && blob_bytes(blob) <= limits::FETCH_BLOB_BYTES
        };
        Ok(blob.filter(is_asked))
    }

    /// Remembers what came of an audit. Durable when it returns.
    ///
    /// Whoever showed all has proved itself. One that took back what it could not show has proved
    /// nothing, and one that took back all is believed nothing, until it has shown something else.
    pub(crate) fn note_audit(
        &mut self,
        peer: DeviceId,
        shown: &[(Challenge, bool)],
    ) -> Result<(), RuntimeError> {
        self.note(peer, shown, true)
    }

    /// Remembers what a device showed or did not when it was asked for something besides. Durable when it returns.
    pub(crate) fn note_shown(
        &mut self,
        peer: DeviceId,
        shown: &[(Challenge, bool)],
    ) -> Result<(), RuntimeError> {
        self.note(peer, shown, false)
    }

    fn note(
        &mut self,
        peer: DeviceId,
        shown: &[(Challenge, bool)],
        is_audit: bool,
    ) -> Result<(), RuntimeError> {
        let mut audit = self.peers.audits.get(&peer).cloned().unwrap_or_default();
        let name = |asked: &Challenge| (asked.blob.log, asked.blob.ordinal);
        let (mut right, mut wrong, mut taken_back) = (0_u32, Vec::new(), 0_u32);
        for (asked, good) in shown {
            let (log, ordinal) = name(asked);
            if *good {
                right += 1;
            } else if self.auditable(&peer, &log, ordinal)?.is_none() {
                // It was deleted meanwhile.
            } else if self.peers.have.holds(&peer, &log, ordinal) {
                wrong.push((log, ordinal));
            } else {
                taken_back += 1;
            }
        }
        let asked: BTreeSet<_> = shown.iter().map(|(asked, _)| name(asked)).collect();
        let mut failing = Vec::new();
        for (log, ordinal) in std::mem::take(&mut audit.failing) {
            let claims = self.peers.have.holds(&peer, &log, ordinal);
            let is_open = !asked.contains(&(log, ordinal));
            if is_open && claims && self.auditable(&peer, &log, ordinal)?.is_some() {
                failing.push((log, ordinal));
            }
        }
        failing.extend(wrong);
        failing.truncate(FAILING);
        let now = self.now().0;
        audit.at = now;
        audit.checked = u32::try_from(shown.len()).unwrap_or(u32::MAX);
        audit.claimed = self.claimed(&peer);
        audit.again = taken_back > 0;
        if !failing.is_empty() || taken_back > 0 {
            tracing::warn!(device = %peer.short(), failed = failing.len(), taken_back, "a device could not show what it says it holds");
        }
        audit.passed = match (is_audit, right) {
            (true, 0) if taken_back > 0 => 0,
            (true, 1..) if taken_back == 0 && failing.is_empty() => now,
            _ => audit.passed,
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_an_audit_of_nothing_is_asked_for_at_once() {
        let small = Audit {
            at: 1000,
            claimed: 2,
            ..Audit::default()
        };
        assert!(!small.is_due_again(2, 1000, false), "nothing new");
        assert!(small.is_due_again(3, 1000, false), "its first original");
        let some = Audit {
            checked: 1,
            ..small
        };
        assert!(!some.is_due_again(4, 1000, false));
        assert!(some.is_due_again(5, 1000, false), "more than twice as much");
        assert!(some.is_due_again(2, 1000 + EVERY_MS, false), "time");
        assert!(
            some.is_due_again(2, 999, false),
            "a clock that was set back"
        );
        assert!(
            !some.is_due_again(0, 1000 + EVERY_MS, false),
            "nothing to show"
        );
    }

    #[test]
    fn who_failed_is_asked_again_sooner_and_whenever_it_connects() {
        let log = LogId {
            space: heirloom_protocol::id::SpaceId([1; 16]),
            device: DeviceId([2; 32]),
            inc: 0,
            branch: heirloom_protocol::id::BranchId::ZERO,
        };
        let failed = Audit {
            at: 1000,
            claimed: 2,
            checked: 2,
            failing: vec![(log, 0)],
            ..Audit::default()
        };
        assert!(!failed.is_due_again(2, 1000, false));
        assert!(failed.is_due_again(2, 1000, true));
        assert!(failed.is_due_again(2, 1000 + AGAIN_MS, false));
    }
}
