//! What each device says of itself under its signature, passed on by all: where it is and how far its logs go.
//!
//! Whether the signer is a live device of the family is for the caller to know;
//! [`Signed`] has checked that it signed.

use serde::{Deserialize, Serialize};

use super::Address;
use crate::crypto::{SignKind, Signed, Statement};
use crate::id::{BranchId, DeviceId, EntryId, LogId, SpaceId};
use crate::limits;
use crate::time::{Hlc, Timestamp};

/// What a device offers to others, as bits; unknown ones are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RoleFlags(pub u8);

impl RoleFlags {
    /// Keeps everything it is entitled to.
    pub const ARCHIVE: Self = Self(1);
    /// Relays for the family.
    pub const RELAY: Self = Self(2);
    /// Meant to be always on.
    pub const ALWAYS_ON: Self = Self(4);
    /// Holds no album key.
    pub const KEEPER: Self = Self(8);
    /// Has no room for more.
    pub const FULL: Self = Self(16);

    /// Both sets of bits.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of the other bits are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Where a device can be reached and what it offers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Beacon {
    /// The device.
    pub device: DeviceId,
    /// Its incarnation in the control space.
    pub inc: u64,
    /// Counts up with each beacon of an incarnation.
    pub n: u64,
    /// When it was made.
    pub hlc: Hlc,
    /// Its addresses, best first, at most [`limits::ADDRESSES`].
    pub addrs: Vec<Address>,
    /// Devices through which it can be reached, at most [`limits::BEACON_RELAYS`].
    pub relays: Vec<DeviceId>,
    /// What it offers.
    pub flags: RoleFlags,
    /// Free space, in bytes, rounded by the sender as it likes.
    pub free_bytes: u64,
}

impl Statement for Beacon {
    const KIND: SignKind = SignKind::Beacon;
    const LIMIT: usize = limits::BEACON_BYTES;

    fn signer(&self) -> DeviceId {
        self.device
    }

    fn is_within_limits(&self) -> bool {
        self.addrs.len() <= limits::ADDRESSES && self.relays.len() <= limits::BEACON_RELAYS
    }
}

impl Beacon {
    /// Whether this one replaces the other of the same device.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.hlc, self.inc, self.n) > (other.hlc, other.inc, other.n)
    }
}

/// The last entry of one log, so that nobody can show an older state unnoticed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The writer.
    pub device: DeviceId,
    /// The space.
    pub space: SpaceId,
    /// The writer's incarnation.
    pub inc: u64,
    /// The branch after a fork, zero where there was none.
    pub branch: BranchId,
    /// Sequence number of the last entry.
    pub seq: u32,
    /// The last entry.
    pub hash: EntryId,
    /// When this was signed.
    pub hlc: Hlc,
}

impl Statement for Head {
    const KIND: SignKind = SignKind::Head;
    const LIMIT: usize = limits::HEAD_BYTES;

    fn signer(&self) -> DeviceId {
        self.device
    }

    fn is_within_limits(&self) -> bool {
        true
    }
}

impl Head {
    /// The log it is about.
    pub const fn log(&self) -> LogId {
        LogId {
            space: self.space,
            device: self.device,
            inc: self.inc,
            branch: self.branch,
        }
    }

    /// Whether this one replaces the other of the same device and space.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.hlc, self.seq) > (other.hlc, other.seq)
    }
}

/// A signed [`Beacon`].
pub type SignedBeacon = Signed<Beacon>;
/// A signed [`Head`].
pub type SignedHead = Signed<Head>;

/// Whether a beacon or a head of this stamp is taken: neither from the future nor expired.
///
/// What comes from more than ten minutes ahead would shut out all that its
/// device says until then.
pub fn is_current(hlc: Hlc, now: Timestamp) -> bool {
    !hlc.is_held(now) && hlc.time().0.saturating_add(limits::BEACON_MS) >= now.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{SignSecret, sign::SignError};
    use crate::id::FamilyId;
    use crate::wire;

    const FAMILY: FamilyId = FamilyId([1; 32]);
    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn secret() -> SignSecret {
        SignSecret::from_bytes(&[2; 32])
    }

    fn address(text: &str) -> Address {
        Address::try_from(text.to_owned()).unwrap()
    }

    fn beacon() -> Beacon {
        Beacon {
            device: secret().id(),
            inc: 3,
            n: 4,
            hlc: Hlc::at(NOW),
            addrs: vec![address("/ip4/10.0.0.1/tcp/4001")],
            relays: vec![DeviceId([5; 32])],
            flags: RoleFlags::ARCHIVE.with(RoleFlags::RELAY),
            free_bytes: 6,
        }
    }

    fn head() -> Head {
        Head {
            device: secret().id(),
            space: SpaceId([1; 16]),
            inc: 3,
            branch: BranchId::ZERO,
            seq: 7,
            hash: EntryId([8; 32]),
            hlc: Hlc::at(NOW),
        }
    }

    #[test]
    fn the_largest_beacon_and_head_fit_their_limits() {
        let addr = format!("/{}", "x".repeat(limits::ADDRESS_BYTES - 1));
        let full = Beacon {
            inc: u64::MAX,
            n: u64::MAX,
            hlc: Hlc(u64::MAX),
            addrs: vec![address(&addr); limits::ADDRESSES],
            relays: vec![DeviceId([9; 32]); limits::BEACON_RELAYS],
            free_bytes: u64::MAX,
            ..beacon()
        };
        let signed = Signed::sign(&secret(), &FAMILY, full.clone()).unwrap();
        let verified = Signed::<Beacon>::verify(&FAMILY, signed.raw().clone()).unwrap();
        assert_eq!(verified.value(), &full);
        let far = Head {
            inc: u64::MAX,
            seq: u32::MAX,
            hlc: Hlc(u64::MAX),
            ..head()
        };
        assert!(Signed::sign(&secret(), &FAMILY, far).is_ok());
        let crowded = Beacon {
            addrs: vec![address("/x"); limits::ADDRESSES + 1],
            ..beacon()
        };
        assert_eq!(
            Signed::sign(&secret(), &FAMILY, crowded),
            Err(SignError::OutOfBounds)
        );
    }

    #[test]
    fn every_changed_byte_of_a_beacon_and_a_head_is_refused() {
        let signed = Signed::sign(&secret(), &FAMILY, beacon()).unwrap();
        for at in 0..signed.raw().bytes.len() {
            let mut raw = signed.raw().clone();
            raw.bytes[at] ^= 1;
            assert!(Signed::<Beacon>::verify(&FAMILY, raw).is_err(), "byte {at}");
        }
        let signed = Signed::sign(&secret(), &FAMILY, head()).unwrap();
        for at in 0..signed.raw().bytes.len() {
            let mut raw = signed.raw().clone();
            raw.bytes[at] ^= 1;
            assert!(Signed::<Head>::verify(&FAMILY, raw).is_err(), "byte {at}");
        }
        let other = FamilyId([2; 32]);
        assert!(Signed::<Head>::verify(&other, signed.raw().clone()).is_err());
        assert!(Signed::<Beacon>::verify(&FAMILY, signed.raw().clone()).is_err());
    }

    #[test]
    fn a_length_of_a_beacon_is_believed_by_nobody() {
        let mut bytes = wire::encode(&beacon());
        // device, inc, n, hlc (nine bytes: a large number), then the count of addresses.
        bytes[32 + 1 + 1 + 9] = 250;
        let signature = crate::crypto::sign::sign(&secret(), SignKind::Beacon, &FAMILY, &bytes);
        let raw = crate::crypto::SignedBytes { bytes, signature };
        assert!(matches!(
            Signed::<Beacon>::verify(&FAMILY, raw),
            Err(SignError::Wire(_))
        ));
    }

    #[test]
    fn the_newest_beacon_and_head_win() {
        let base = beacon();
        for newer in [
            Beacon {
                hlc: Hlc(base.hlc.0 + 1),
                inc: 0,
                n: 0,
                ..beacon()
            },
            Beacon {
                inc: 4,
                n: 0,
                ..beacon()
            },
            Beacon { n: 5, ..beacon() },
        ] {
            assert!(newer.is_newer_than(&base) && !base.is_newer_than(&newer));
        }
        assert!(!base.is_newer_than(&base));
        let later = Head {
            hlc: Hlc(head().hlc.0 + 1),
            seq: 0,
            ..head()
        };
        assert!(later.is_newer_than(&head()));
        assert!(Head { seq: 8, ..head() }.is_newer_than(&head()));
        assert_eq!(head().log().inc, 3);
    }

    #[test]
    fn the_far_future_and_the_long_past_are_not_taken() {
        let at = |ms| is_current(Hlc::at(Timestamp(ms)), NOW);
        assert!(at(NOW.0) && at(NOW.0 + limits::CLOCK_AHEAD_MS));
        assert!(!at(NOW.0 + limits::CLOCK_AHEAD_MS + 1));
        assert!(at(NOW.0 - limits::BEACON_MS));
        assert!(!at(NOW.0 - limits::BEACON_MS - 1));
    }

    #[test]
    fn flags_are_told_apart() {
        let flags = beacon().flags;
        assert!(flags.has(RoleFlags::RELAY) && !flags.has(RoleFlags::KEEPER));
    }
}
