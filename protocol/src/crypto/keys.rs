//! The secrets: a device's keys, a person's recovery kit, and the symmetric keys.
//!
//! None of them prints its contents; all are wiped when dropped. How they are
//! kept on disk is the node's business.

use std::fmt;

use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::words::{self, WordsError};
use super::{Purpose, derive, hedge};
use crate::id::{DeviceId, EpochId, LogId, PlainHash, SpaceId};

fn random_bytes(rng: &mut impl CryptoRng) -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    rng.fill_bytes(bytes.as_mut());
    bytes
}

/// An Ed25519 signing key; its public half names a device or a kit.
pub struct SignSecret(pub(super) SigningKey);

impl SignSecret {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_bytes(&random_bytes(rng))
    }

    /// The key with this RFC 8032 seed.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// The seed, for the key file and the transport's identity.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key, which is the id.
    pub fn id(&self) -> DeviceId {
        DeviceId(self.0.verifying_key().to_bytes())
    }
}

/// An X25519 private key, to which epoch keys are sealed.
pub struct SealSecret(pub(super) StaticSecret);

impl SealSecret {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_bytes(&random_bytes(rng))
    }

    /// The key with these bytes, clamped in use (RFC 7748).
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(StaticSecret::from(*bytes))
    }

    /// The bytes, for the key file.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key.
    pub fn public(&self) -> SealPublic {
        SealPublic(PublicKey::from(&self.0).to_bytes())
    }
}

/// An X25519 public key, to which epoch keys are sealed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SealPublic(pub [u8; 32]);

/// The two keys of a device, drawn apart so that the second can be changed alone.
pub struct DeviceKeys {
    /// Signs the device's logs and is its identity on the network.
    pub sign: SignSecret,
    /// Opens what is sealed to the device, and is its static key in a pairing.
    pub seal: SealSecret,
}

impl DeviceKeys {
    /// Bytes of the secret form.
    pub const SECRET_BYTES: usize = 64;

    /// Two fresh keys.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self {
            sign: SignSecret::generate(rng),
            seal: SealSecret::generate(rng),
        }
    }

    /// The keys from their secret form: the signing seed, then the sealing key.
    pub fn from_secret_bytes(bytes: &[u8; Self::SECRET_BYTES]) -> Self {
        let mut half = Zeroizing::new([0; 32]);
        half.copy_from_slice(&bytes[..32]);
        let sign = SignSecret::from_bytes(&half);
        half.copy_from_slice(&bytes[32..]);
        let seal = SealSecret::from_bytes(&half);
        Self { sign, seal }
    }

    /// The secret form, for the key file alone.
    pub fn to_secret_bytes(&self) -> Zeroizing<[u8; Self::SECRET_BYTES]> {
        let mut bytes = Zeroizing::new([0; Self::SECRET_BYTES]);
        bytes[..32].copy_from_slice(self.sign.to_bytes().as_ref());
        bytes[32..].copy_from_slice(self.seal.to_bytes().as_ref());
        bytes
    }

    /// The device's id: the public half of the signing key.
    pub fn device_id(&self) -> DeviceId {
        self.sign.id()
    }

    /// The public half of the sealing key.
    pub fn seal_public(&self) -> SealPublic {
        self.seal.public()
    }

    /// Puts a fresh sealing key in place and returns the old one.
    ///
    /// What was sealed to the old key opens with the old key alone, so it is
    /// kept until every epoch is known under the new one.
    pub fn rotate_seal(&mut self, rng: &mut impl CryptoRng) -> SealSecret {
        std::mem::replace(&mut self.seal, SealSecret::generate(rng))
    }

    /// [`hedge`]s randomness with this device's secret.
    pub fn hedge(
        &self,
        purpose: Purpose,
        os_random: &[u8; 32],
        plaintext_hash: &PlainHash,
        position: &[u8],
    ) -> [u8; 32] {
        let secret = Zeroizing::new(derive(Purpose::Hedge, &[self.sign.0.as_bytes()]));
        hedge(purpose, os_random, &secret, plaintext_hash, position)
    }
}

/// A person's recovery kit: 256 bits that are written down as 24 words.
///
/// Whoever holds the words is the person: they add devices, remove them and
/// open every epoch sealed to the kit.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct RecoveryKit([u8; 32]);

impl RecoveryKit {
    /// Words of a kit.
    pub const WORDS: usize = 24;

    /// A fresh kit.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(*random_bytes(rng))
    }

    /// Reads the words as a person types them, see [`words::decode`].
    ///
    /// # Errors
    ///
    /// [`WordsError`] says what to look at again.
    pub fn from_words(text: &str) -> Result<Self, WordsError> {
        words::decode::<32>(text).map(|entropy| Self(*entropy))
    }

    /// The words, shown once and stored nowhere.
    pub fn words(&self) -> Zeroizing<String> {
        words::encode(&self.0)
    }

    /// The key that signs for the kit; its id names the kit in logs and on the network.
    pub fn sign(&self) -> SignSecret {
        let seed = Zeroizing::new(derive(Purpose::RecoverySign, &[&self.0]));
        SignSecret::from_bytes(&seed)
    }

    /// The key to which every epoch of the person's albums is sealed as well.
    pub fn seal(&self) -> SealSecret {
        let bytes = Zeroizing::new(derive(Purpose::RecoverySeal, &[&self.0]));
        SealSecret::from_bytes(&bytes)
    }
}

macro_rules! symmetric {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The key with these bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                // blake3::Hash compares in constant time.
                blake3::Hash::from_bytes(self.0) == blake3::Hash::from_bytes(other.0)
            }
        }

        impl Eq for $name {}
    };
}

symmetric!(
    /// The key of one blob, fresh and random, for that one plaintext.
    ///
    /// It travels inside sealed ops, so it is encoded and cloned with them; no
    /// other secret is.
    #[derive(Clone, Serialize, Deserialize)]
    BlobKey
);
symmetric!(
    /// The key of one epoch of a space, sealed to each device that may read it.
    ///
    /// It is encoded as its 32 bytes by hand where a newer epoch carries it.
    EpochKey
);
symmetric!(
    /// A key for [`super::body`], derived from an epoch's key for one use.
    BodyKey
);

impl BlobKey {
    /// A fresh key; `rng` must be hedged, see [`hedge`].
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(*random_bytes(rng))
    }
}

/// What an epoch is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum EpochKind {
    /// The entries of an album.
    Album,
    /// The names in the control space; not for keepers.
    Family,
    /// The tags of discovery; for keepers too.
    Net,
}

impl EpochKind {
    /// The byte that stands for it in derived and authenticated strings.
    pub const fn code(self) -> u8 {
        match self {
            Self::Album => 0,
            Self::Family => 1,
            Self::Net => 2,
        }
    }
}

/// Everything besides the key from which an epoch's id follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochName {
    /// The space.
    pub space: SpaceId,
    /// What it is for.
    pub kind: EpochKind,
    /// One more than the largest generation it follows.
    pub generation: u32,
    /// The device that made it.
    pub minter: DeviceId,
}

impl EpochKey {
    /// A fresh key; `rng` must be hedged, see [`hedge`].
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(*random_bytes(rng))
    }

    /// The id of the epoch with this key and name: a commitment to the key.
    ///
    /// `derive(key || space || kind || generation u32 || minter)`.
    pub fn id(&self, name: &EpochName) -> EpochId {
        EpochId(derive(
            Purpose::EpochId,
            &[
                &self.0,
                &name.space.0,
                &[name.kind.code()],
                &name.generation.to_be_bytes(),
                &name.minter.0,
            ],
        ))
    }

    /// The key of the bodies of one log: `derive(key || space || device || inc u64)`.
    ///
    /// The branch is left out, since who writes above a fork does not know of it.
    pub fn body_key(&self, log: &LogId) -> BodyKey {
        BodyKey(derive(
            Purpose::Body,
            &[&self.0, &log.space.0, &log.device.0, &log.inc.to_be_bytes()],
        ))
    }

    /// The key of the values sealed in control entries.
    pub fn value_key(&self) -> BodyKey {
        BodyKey(derive(Purpose::Value, &[&self.0]))
    }

    /// The key that hides older epochs' keys in this epoch.
    pub fn chain_key(&self) -> BodyKey {
        BodyKey(derive(Purpose::EpochChain, &[&self.0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SeededRng;
    use crate::id::BranchId;
    use crate::wire;

    /// Does not compile when the type has the trait: the call is then ambiguous.
    macro_rules! lacks {
        ($type:ty: $($bound:path),+) => {$(
            const _: fn() = || {
                trait Either<Choice> {
                    fn choose() {}
                }
                impl<T: ?Sized> Either<u8> for T {}
                impl<T: ?Sized + $bound> Either<u16> for T {}
                let _ = <$type as Either<_>>::choose;
            };
        )+};
    }

    lacks!(SignSecret: Clone, fmt::Debug, Serialize);
    lacks!(SealSecret: Clone, fmt::Debug, Serialize);
    lacks!(DeviceKeys: Clone, fmt::Debug, Serialize);
    lacks!(RecoveryKit: Clone, fmt::Debug, Serialize);
    lacks!(EpochKey: Clone, Serialize);
    lacks!(BodyKey: Clone, Serialize);

    fn rng() -> SeededRng {
        SeededRng::from_seed([1; 32])
    }

    #[test]
    fn device_keys_round_trip_through_their_secret_form() {
        let keys = DeviceKeys::generate(&mut rng());
        let again = DeviceKeys::from_secret_bytes(&keys.to_secret_bytes());
        assert_eq!(again.device_id(), keys.device_id());
        assert_eq!(again.seal_public(), keys.seal_public());
        assert_ne!(*keys.sign.to_bytes(), *keys.seal.to_bytes());
    }

    #[test]
    fn the_sealing_key_changes_without_the_identity() {
        let mut keys = DeviceKeys::generate(&mut rng());
        let (id, seal) = (keys.device_id(), keys.seal_public());
        let old = keys.rotate_seal(&mut SeededRng::from_seed([2; 32]));
        assert_eq!(old.public(), seal);
        assert_eq!(keys.device_id(), id);
        assert_ne!(keys.seal_public(), seal);
    }

    #[test]
    fn a_kit_comes_back_from_its_words() {
        let kit = RecoveryKit::generate(&mut rng());
        let words = kit.words();
        assert_eq!(words.split(' ').count(), RecoveryKit::WORDS);
        let typed = RecoveryKit::from_words(&words.to_uppercase().replace(' ', "\n")).unwrap();
        assert_eq!(typed.sign().id(), kit.sign().id());
        assert_eq!(typed.seal().public(), kit.seal().public());
        assert_ne!(*kit.sign().to_bytes(), *kit.seal().to_bytes());
    }

    #[test]
    fn secrets_print_nothing_of_themselves() {
        let key = BlobKey::from_bytes([0x41; 32]);
        assert_eq!(format!("{key:?}"), "BlobKey(..)");
        assert_eq!(
            format!("{:?}", EpochKey::from_bytes([0; 32])),
            "EpochKey(..)"
        );
    }

    #[test]
    fn a_blob_key_is_its_bytes_on_the_wire() {
        let key = BlobKey::generate(&mut rng());
        let bytes = wire::encode(&key);
        assert_eq!(bytes, key.as_bytes());
        assert_eq!(wire::decode::<BlobKey>(&bytes, 32), Ok(key));
    }

    #[test]
    fn an_epoch_id_commits_to_the_key_and_to_every_part_of_the_name() {
        let key = EpochKey::from_bytes([1; 32]);
        let name = EpochName {
            space: SpaceId([2; 16]),
            kind: EpochKind::Album,
            generation: 3,
            minter: DeviceId([4; 32]),
        };
        let id = key.id(&name);
        assert_ne!(EpochKey::from_bytes([0; 32]).id(&name), id);
        for other in [
            EpochName {
                space: SpaceId([0; 16]),
                ..name
            },
            EpochName {
                kind: EpochKind::Net,
                ..name
            },
            EpochName {
                generation: 4,
                ..name
            },
            EpochName {
                minter: DeviceId([0; 32]),
                ..name
            },
        ] {
            assert_ne!(key.id(&other), id);
        }
    }

    #[test]
    fn each_log_has_a_body_key_of_its_own() {
        let key = EpochKey::from_bytes([1; 32]);
        let log = LogId {
            space: SpaceId([2; 16]),
            device: DeviceId([3; 32]),
            inc: 4,
            branch: BranchId::ZERO,
        };
        let body = key.body_key(&log);
        for other in [
            LogId {
                space: SpaceId([0; 16]),
                ..log
            },
            LogId {
                device: DeviceId([0; 32]),
                ..log
            },
            LogId { inc: 5, ..log },
        ] {
            assert_ne!(key.body_key(&other), body);
        }
        let branch = LogId {
            branch: BranchId([9; 8]),
            ..log
        };
        assert_eq!(key.body_key(&branch), body);
        assert_ne!(key.value_key(), key.chain_key());
    }
}
