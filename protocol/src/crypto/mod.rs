//! Keys, signatures, sealing and the encryption of blobs, and every domain-separation label.
//!
//! Suite 1: Ed25519, X25519, BLAKE3, ChaCha20-Poly1305 for blobs,
//! XChaCha20-Poly1305 for entries, Noise `25519_ChaChaPoly_BLAKE2s` for sealing
//! and pairing. There is no negotiation: another suite is another number in
//! every signed object.
//!
//! Integers in the byte strings that are signed, hashed or authenticated here
//! are big-endian and of fixed width.

pub mod body;
pub mod derive;
pub mod keys;
pub mod leaves;
pub(crate) mod noise;
pub mod seal;
pub mod shape;
pub mod sign;
pub mod stream;
pub mod words;

pub use derive::{SeededRng, derive, hedge, keyed};
pub use keys::{
    BlobKey, BodyKey, DeviceKeys, EpochKey, EpochKind, EpochName, RecoveryKit, SealPublic,
    SealSecret, SignSecret,
};
pub use leaves::{LeafHasher, LeafList};
pub use seal::{RecipientKind, SealBox, SealContext};
pub use shape::{Class, Shape};
pub use sign::{Signature, Signed, SignedBytes, Statement};
pub use stream::{Decryptor, Encryptor};

/// The number of the suite described above, in every signed object.
pub const SUITE: u8 = 1;

/// What a signature is about; the same bytes under two kinds never verify for each other.
///
/// The signed message is `label || FamilyId || bytes`. No label is a prefix of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignKind {
    /// The header of a log entry.
    Entry,
    /// How far a device's log goes.
    Head,
    /// Where a device can be reached.
    Beacon,
    /// A new device's consent to its certificate.
    Device,
    /// A recovery kit's proof of possession.
    Recovery,
    /// The handshake hash of a pairing.
    Pair,
    /// The second signature under a change of a recovery kit.
    Cosign,
    /// What a device has put into a folder that is carried.
    Manifest,
}

impl SignKind {
    /// Every kind, for tests and the specification.
    pub const ALL: [Self; 8] = [
        Self::Entry,
        Self::Head,
        Self::Beacon,
        Self::Device,
        Self::Recovery,
        Self::Pair,
        Self::Cosign,
        Self::Manifest,
    ];

    /// The bytes before the family's id in the signed message.
    pub const fn label(self) -> &'static [u8] {
        match self {
            Self::Entry => b"heirloom/entry/v1",
            Self::Head => b"heirloom/head/v1",
            Self::Beacon => b"heirloom/beacon/v1",
            Self::Device => b"heirloom/device/v1",
            Self::Recovery => b"heirloom/recovery/v1",
            Self::Pair => b"heirloom/pair/v1",
            Self::Cosign => b"heirloom/cosign/v1",
            Self::Manifest => b"heirloom/manifest/v1",
        }
    }
}

/// What a derived key is for: the context string of BLAKE3's `derive_key`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A blob's key, from hedged randomness.
    Blob,
    /// An epoch's key, from hedged randomness.
    Epoch,
    /// A nonce of a body or a sealed value, from hedged randomness.
    Nonce,
    /// The ephemeral key of a sealed box or a handshake, from hedged randomness.
    Ephemeral,
    /// A random id, from hedged randomness.
    RandomId,
    /// The secret that a device adds to its randomness, from its signing key.
    Hedge,
    /// An epoch's id, from its key and name.
    EpochId,
    /// The key of the bodies of one log, from an epoch's key.
    Body,
    /// The key of sealed values in control entries, from an epoch's key.
    Value,
    /// The key that hides older epochs' keys in a newer epoch, from the newer one's key.
    EpochChain,
    /// The key of the tags by which devices find each other, from the net epoch's key.
    NetTag,
    /// A kit's signing key, from its words.
    RecoverySign,
    /// A kit's sealing key, from its words.
    RecoverySeal,
    /// The key of the tag by which a kit alone is found, from its public signing key.
    KitTag,
    /// The id of an invite, from its secret.
    InviteId,
    /// The pre-shared key of a pairing, from the invite's secret.
    InvitePsk,
    /// The guest's identity for the outer connection, from the invite's secret.
    InviteGuest,
    /// The key of the pairing tag, from the invite's secret.
    InviteTag,
    /// The commitment to a nonce in a pairing.
    PairCommit,
    /// The words that both screens show in a pairing.
    PairWords,
    /// The words that name a family's resolved state.
    FamilyWords,
}

impl Purpose {
    /// Every purpose, for tests and the specification.
    pub const ALL: [Self; 21] = [
        Self::Blob,
        Self::Epoch,
        Self::Nonce,
        Self::Ephemeral,
        Self::RandomId,
        Self::Hedge,
        Self::EpochId,
        Self::Body,
        Self::Value,
        Self::EpochChain,
        Self::NetTag,
        Self::RecoverySign,
        Self::RecoverySeal,
        Self::KitTag,
        Self::InviteId,
        Self::InvitePsk,
        Self::InviteGuest,
        Self::InviteTag,
        Self::PairCommit,
        Self::PairWords,
        Self::FamilyWords,
    ];

    /// The whole context string.
    pub const fn context(self) -> &'static str {
        match self {
            Self::Blob => "heirloom 2026 v1 blob key",
            Self::Epoch => "heirloom 2026 v1 epoch key",
            Self::Nonce => "heirloom 2026 v1 nonce",
            Self::Ephemeral => "heirloom 2026 v1 ephemeral key",
            Self::RandomId => "heirloom 2026 v1 random id",
            Self::Hedge => "heirloom 2026 v1 hedge",
            Self::EpochId => "heirloom 2026 v1 epoch id",
            Self::Body => "heirloom 2026 v1 body key",
            Self::Value => "heirloom 2026 v1 value key",
            Self::EpochChain => "heirloom 2026 v1 epoch chain key",
            Self::NetTag => "heirloom 2026 v1 net tag key",
            Self::RecoverySign => "heirloom 2026 v1 recovery sign",
            Self::RecoverySeal => "heirloom 2026 v1 recovery seal",
            Self::KitTag => "heirloom 2026 v1 kit tag key",
            Self::InviteId => "heirloom 2026 v1 invite id",
            Self::InvitePsk => "heirloom 2026 v1 invite psk",
            Self::InviteGuest => "heirloom 2026 v1 invite guest",
            Self::InviteTag => "heirloom 2026 v1 invite tag key",
            Self::PairCommit => "heirloom 2026 v1 pair commit",
            Self::PairWords => "heirloom 2026 v1 pair words",
            Self::FamilyWords => "heirloom 2026 v1 family words",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_is_a_prefix_of_another() {
        for a in SignKind::ALL {
            for b in SignKind::ALL {
                assert!(a == b || !b.label().starts_with(a.label()));
            }
        }
    }

    #[test]
    fn every_purpose_has_a_context_of_its_own() {
        let mut seen: Vec<_> = Purpose::ALL.iter().map(|p| p.context()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), Purpose::ALL.len());
        assert!(seen.iter().all(|c| c.starts_with("heirloom 2026 v1 ")));
    }
}
