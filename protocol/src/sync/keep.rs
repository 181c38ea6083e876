//! How many copies a blob has, who keeps them, and when a copy here may go.
//!
//! A copy counts when a device says that it holds the blob and has shown random
//! leaves of what it says it holds in the last [`limits::SEEN_MS`], none of them
//! wrong or withheld. Only an archive's copy is relied upon; a cache's is shown.
//! Before this device drops a blob it obtains a promise and a fresh proof (`Hold`,
//! a challenge on a random leaf), for which this module names the candidates.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::have::PeerHaves;
use crate::{
    id::{DeviceId, LogId},
    limits,
    time::Timestamp,
};

/// Archives that must keep a blob before a device drops its own copy, and before it counts as safe.
pub const ARCHIVES_MIN: u32 = 2;

/// What is known of another device as a keeper of copies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Witness {
    /// It keeps everything it is entitled to; from the roster, not from what it says.
    pub is_archive: bool,
    /// When it last showed this device leaves of what it says it holds, by this device's clock.
    pub proved: Option<Timestamp>,
    /// It could not show a blob that it claimed to hold, and has not since been cleared.
    pub failed_audit: bool,
}

impl Witness {
    /// Whether what it says it holds counts as a copy.
    pub fn is_proved(&self, now: Timestamp) -> bool {
        let is_late = |proved: Timestamp| now.0.saturating_sub(proved.0) <= limits::SEEN_MS;
        !self.failed_audit && self.proved.is_some_and(is_late)
    }

    /// Whether its word counts for safety.
    pub fn counts(&self, now: Timestamp) -> bool {
        self.is_archive && self.is_proved(now)
    }
}

/// What this device itself is to a blob that it holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Own {
    /// Not held here.
    Absent,
    /// Held, but may be dropped; also an original that stays in its own file.
    Cached,
    /// Held for good.
    Kept,
}

/// The copies of one blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Copies {
    /// Devices that hold it and have proved it, this one included.
    pub devices: u32,
    /// Archives among them that can be relied on, this one included.
    pub archives: u32,
}

impl Copies {
    /// Whether enough archives keep it.
    pub const fn is_safe(self) -> bool {
        self.has(ARCHIVES_MIN)
    }

    /// Whether as many archives keep it as somebody wants.
    pub const fn has(self, wanted: u32) -> bool {
        self.archives >= wanted
    }
}

/// Who holds what, as one question is asked of it.
#[derive(Clone, Copy, Debug)]
pub struct Keep<'a> {
    /// What peers say that they hold.
    pub haves: &'a PeerHaves,
    /// The live devices of the family. Others do not count at all.
    pub witnesses: &'a BTreeMap<DeviceId, Witness>,
    /// Now, by this device's clock.
    pub now: Timestamp,
}

impl<'a> Keep<'a> {
    /// The copies of one blob.
    pub fn copies(&self, log: &LogId, ordinal: u32, own: Own) -> Copies {
        let mut copies = Copies {
            devices: u32::from(own != Own::Absent),
            archives: u32::from(own == Own::Kept),
        };
        for peer in self.haves.holders(log, ordinal) {
            if let Some(witness) = self.witnesses.get(peer) {
                copies.devices += u32::from(witness.is_proved(self.now));
                copies.archives += u32::from(witness.counts(self.now));
            }
        }
        copies
    }

    /// The fewest copies that any of some blobs has: those of an asset or an album.
    pub fn fewest(&self, blobs: impl IntoIterator<Item = (LogId, u32, Own)>) -> Option<Copies> {
        let copies = blobs
            .into_iter()
            .map(|(log, ordinal, own)| self.copies(&log, ordinal, own));
        copies.reduce(|a, b| Copies {
            devices: a.devices.min(b.devices),
            archives: a.archives.min(b.archives),
        })
    }

    /// The ordinals of a log that enough archives keep, `own` being what this device keeps for good.
    pub fn safe(&self, log: &LogId, own: &RoaringBitmap) -> RoaringBitmap {
        // levels[n] holds what at least n + 1 archives keep.
        let mut levels = vec![own.clone()];
        levels.resize_with(
            usize::try_from(ARCHIVES_MIN).unwrap_or(1),
            RoaringBitmap::new,
        );
        for bits in self.archives(log).map(|(_, bits)| bits) {
            for n in (1..levels.len()).rev() {
                let again = &levels[n - 1] & bits;
                levels[n] |= again;
            }
            levels[0] |= bits;
        }
        levels.pop().unwrap_or_default()
    }

    /// Archives that say they hold a blob and whose word counts: whom to ask for a promise and a
    /// proof before a copy here is dropped. [`ARCHIVES_MIN`] of them have to give both.
    pub fn promisers(&self, log: &LogId, ordinal: u32) -> Vec<DeviceId> {
        let holds = self
            .archives(log)
            .filter(|(_, bits)| bits.contains(ordinal));
        holds.map(|(peer, _)| peer).collect()
    }

    fn archives(&self, log: &LogId) -> impl Iterator<Item = (DeviceId, &'a RoaringBitmap)> {
        let (haves, now, log) = (self.haves, self.now, *log);
        self.witnesses
            .iter()
            .filter(move |(_, witness)| witness.counts(now))
            .filter_map(move |(peer, _)| Some((*peer, haves.bits(peer, &log)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{BranchId, SpaceId},
        sync::message::HaveMode,
    };

    const NOW: Timestamp = Timestamp(100 * 24 * 3600 * 1000);
    const LOG: LogId = LogId {
        space: SpaceId([1; 16]),
        device: DeviceId([9; 32]),
        inc: 1,
        branch: BranchId::ZERO,
    };

    fn device(n: u8) -> DeviceId {
        DeviceId([n; 32])
    }

    fn witness(is_archive: bool, days_ago: u64, failed_audit: bool) -> Witness {
        let proved = Some(Timestamp(NOW.0 - days_ago * 24 * 3600 * 1000));
        Witness {
            is_archive,
            proved,
            failed_audit,
        }
    }

    /// Devices 1 to 5 hold 0..10, 5..15, 0..20, 0..20, 0..20; only the first two can be relied on.
    fn family() -> (PeerHaves, BTreeMap<DeviceId, Witness>) {
        let mut haves = PeerHaves::default();
        let rows = [
            (1, 0..10),
            (2, 5..15),
            (3, 0..20),
            (4, 0..20),
            (5, 0..20),
            (6, 0..20),
        ];
        for (n, range) in rows {
            let rows = vec![(LOG, range.collect())];
            haves.apply(device(n), LOG.space, HaveMode::Full, rows);
        }
        // The sixth is not of the family any more.
        let witnesses = BTreeMap::from([
            (device(1), witness(true, 0, false)),
            (device(2), witness(true, 14, false)),
            (device(3), witness(true, 15, false)),
            (device(4), witness(true, 0, true)),
            (device(5), witness(false, 0, false)),
        ]);
        (haves, witnesses)
    }

    #[test]
    fn only_archives_that_proved_it_lately_and_never_failed_count() {
        let (haves, witnesses) = family();
        let keep = Keep {
            haves: &haves,
            witnesses: &witnesses,
            now: NOW,
        };
        let copies = |ordinal, own| {
            let Copies { devices, archives } = keep.copies(&LOG, ordinal, own);
            (devices, archives)
        };
        assert_eq!(copies(7, Own::Absent), (3, 2));
        assert_eq!(copies(7, Own::Cached), (4, 2));
        assert_eq!(copies(7, Own::Kept), (4, 3));
        assert_eq!(copies(2, Own::Kept), (3, 2));
        assert_eq!(copies(17, Own::Kept), (2, 1));
        assert_eq!(copies(99, Own::Absent), (0, 0));
        assert_eq!(keep.promisers(&LOG, 7), [device(1), device(2)]);
        assert_eq!(keep.promisers(&LOG, 17), []);
    }

    #[test]
    fn the_safe_set_agrees_with_every_single_answer() {
        let (haves, witnesses) = family();
        let keep = Keep {
            haves: &haves,
            witnesses: &witnesses,
            now: NOW,
        };
        for own in [RoaringBitmap::new(), (0..3).chain(12..30).collect()] {
            let safe = keep.safe(&LOG, &own);
            for ordinal in 0..40 {
                let own = if own.contains(ordinal) {
                    Own::Kept
                } else {
                    Own::Absent
                };
                let copies = keep.copies(&LOG, ordinal, own);
                assert_eq!(safe.contains(ordinal), copies.is_safe(), "{ordinal}");
            }
        }
    }

    #[test]
    fn an_album_is_as_safe_as_its_least_safe_blob() {
        let (haves, witnesses) = family();
        let keep = Keep {
            haves: &haves,
            witnesses: &witnesses,
            now: NOW,
        };
        let blobs = [(LOG, 7, Own::Absent), (LOG, 17, Own::Kept)];
        assert_eq!(
            keep.fewest(blobs),
            Some(Copies {
                devices: 2,
                archives: 1
            })
        );
        assert_eq!(keep.fewest([]), None);
    }

    #[test]
    fn a_clock_that_ran_back_does_not_make_a_device_old() {
        let future = Witness {
            proved: Some(Timestamp(NOW.0 + 5)),
            ..witness(true, 0, false)
        };
        assert!(future.counts(NOW));
    }

    #[test]
    fn a_claim_alone_is_no_copy() {
        let claims = Witness {
            proved: None,
            ..witness(true, 0, false)
        };
        assert!(!claims.is_proved(NOW) && !claims.counts(NOW));
    }
}
