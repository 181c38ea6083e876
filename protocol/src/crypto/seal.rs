//! An epoch key sealed to one device or one recovery kit.
//!
//! Construction: `Noise_N_25519_ChaChaPoly_BLAKE2s`, one message of 80 bytes: a
//! fresh public key (32), the encrypted epoch key (32) and a tag (16). The
//! sender is not authenticated by the box: boxes stand in signed ops, and the
//! signer is part of the prologue.
//!
//! Prologue, 183 bytes, integers big-endian:
//!
//! ```text
//! family[32] suite[1] space[16] kind[1] generation[4] epoch id[32]
//! recipient kind[1] recipient[32] certificate op id[32] author[32]
//! ```

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{EpochKey, EpochName, SUITE, SealPublic, SealSecret, noise};
use crate::id::{DeviceId, EpochId, FamilyId, OpId};

const PATTERN: &str = "Noise_N_25519_ChaChaPoly_BLAKE2s";

/// Bytes of a box.
pub const SEAL_BYTES: usize = 80;

/// A box does not open, or cannot be made; there is no finer answer, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed key does not open")]
pub struct SealError;

/// Whether a key is sealed to a device or to a person's recovery kit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum RecipientKind {
    /// A device.
    Device,
    /// A recovery kit.
    Kit,
}

impl RecipientKind {
    const fn code(self) -> u8 {
        match self {
            Self::Device => 0,
            Self::Kit => 1,
        }
    }
}

/// Where a box belongs: all of it is authenticated, so no box works elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealContext {
    /// The family.
    pub family: FamilyId,
    /// The epoch's name, from which its id follows.
    pub epoch: EpochName,
    /// The epoch's id; the key in the box must give exactly this one.
    pub epoch_id: EpochId,
    /// What the recipient is.
    pub recipient_kind: RecipientKind,
    /// The recipient's signing key.
    pub recipient: DeviceId,
    /// The op that certified the recipient's sealing key.
    pub certificate: OpId,
    /// The device that signs the op with the box.
    pub author: DeviceId,
}

impl SealContext {
    fn prologue(&self) -> Vec<u8> {
        let pieces: [&[u8]; 10] = [
            &self.family.0,
            &[SUITE],
            &self.epoch.space.0,
            &[self.epoch.kind.code()],
            &self.epoch.generation.to_be_bytes(),
            &self.epoch_id.0,
            &[self.recipient_kind.code()],
            &self.recipient.0,
            &self.certificate.0,
            &self.author.0,
        ];
        pieces.concat()
    }
}

/// A sealed epoch key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(into = "Pieces", from = "Pieces")]
pub struct SealBox(pub [u8; SEAL_BYTES]);

/// The box in arrays that serde knows; on the wire they are 80 plain bytes.
type Pieces = ([u8; 32], [u8; 32], [u8; 16]);

impl From<SealBox> for Pieces {
    fn from(sealed: SealBox) -> Self {
        let mut pieces = ([0; 32], [0; 32], [0; 16]);
        pieces.0.copy_from_slice(&sealed.0[..32]);
        pieces.1.copy_from_slice(&sealed.0[32..64]);
        pieces.2.copy_from_slice(&sealed.0[64..]);
        pieces
    }
}

impl From<Pieces> for SealBox {
    fn from(pieces: Pieces) -> Self {
        let mut bytes = [0; SEAL_BYTES];
        bytes[..32].copy_from_slice(&pieces.0);
        bytes[32..64].copy_from_slice(&pieces.1);
        bytes[64..].copy_from_slice(&pieces.2);
        Self(bytes)
    }
}

/// Seals an epoch key to the holder of `to`.
///
/// # Errors
///
/// [`SealError`] for a public key of small order, and for a key that is not the
/// one of the epoch in the context.
pub fn seal(
    context: &SealContext,
    to: &SealPublic,
    key: &EpochKey,
    rng: &mut impl CryptoRng,
) -> Result<SealBox, SealError> {
    if key.id(&context.epoch) != context.epoch_id {
        return Err(SealError);
    }
    let mut sealed = [0; SEAL_BYTES];
    let written = noise::builder(PATTERN, &noise::seed(rng))
        .prologue(&context.prologue())
        .and_then(|builder| builder.remote_public_key(&to.0))
        .and_then(snow::Builder::build_initiator)
        .and_then(|mut state| state.write_message(key.as_bytes(), &mut sealed))
        .map_err(|_| SealError)?;
    if written == SEAL_BYTES {
        Ok(SealBox(sealed))
    } else {
        Err(SealError)
    }
}

/// Opens a box and checks that the key is the one of the epoch in the context.
///
/// # Errors
///
/// [`SealError`], one value for whatever is wrong.
pub fn open(
    context: &SealContext,
    secret: &SealSecret,
    sealed: &SealBox,
) -> Result<EpochKey, SealError> {
    let mut bytes = Zeroizing::new([0; 32]);
    // The receiver of a one-way pattern makes no key, so its seed is never used.
    let read = noise::builder(PATTERN, &[0; 32])
        .prologue(&context.prologue())
        .and_then(|builder| builder.local_private_key(secret.0.as_bytes()))
        .and_then(snow::Builder::build_responder)
        .and_then(|mut state| state.read_message(&sealed.0, bytes.as_mut()))
        .map_err(|_| SealError)?;
    let key = EpochKey::from_bytes(*bytes);
    // Two keys may open one ChaCha20-Poly1305 box; the id commits to one of them.
    if read == 32 && key.id(&context.epoch) == context.epoch_id {
        Ok(key)
    } else {
        Err(SealError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{EpochKind, SeededRng};
    use crate::id::SpaceId;
    use crate::wire;

    /// The encodings of u whose product with any clamped scalar is zero, and the same with the ignored top bit.
    fn low_order_points() -> Vec<[u8; 32]> {
        let hex = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ];
        let mut points = Vec::new();
        for text in hex {
            let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
            let mut point: [u8; 32] = bytes.try_into().unwrap();
            points.push(point);
            point[31] |= 0x80;
            points.push(point);
        }
        points
    }

    fn rng() -> SeededRng {
        SeededRng::from_seed([5; 32])
    }

    fn key() -> EpochKey {
        EpochKey::from_bytes([6; 32])
    }

    fn secret() -> SealSecret {
        SealSecret::from_bytes(&[9; 32])
    }

    fn context() -> SealContext {
        let epoch = EpochName {
            space: SpaceId([2; 16]),
            kind: EpochKind::Album,
            generation: 3,
            minter: DeviceId([4; 32]),
        };
        SealContext {
            family: FamilyId([1; 32]),
            epoch,
            epoch_id: key().id(&epoch),
            recipient_kind: RecipientKind::Device,
            recipient: DeviceId([7; 32]),
            certificate: OpId([8; 32]),
            author: DeviceId([10; 32]),
        }
    }

    fn sealed() -> SealBox {
        seal(&context(), &secret().public(), &key(), &mut rng()).unwrap()
    }

    #[test]
    fn a_box_opens_for_its_recipient_alone() {
        let sealed = sealed();
        assert_eq!(open(&context(), &secret(), &sealed), Ok(key()));
        let stranger = SealSecret::from_bytes(&[11; 32]);
        assert_eq!(open(&context(), &stranger, &sealed), Err(SealError));
    }

    #[test]
    fn given_randomness_fixes_the_box() {
        assert_eq!(sealed(), sealed());
        let mut other = SeededRng::from_seed([12; 32]);
        let second = seal(&context(), &secret().public(), &key(), &mut other).unwrap();
        assert_ne!(second, sealed());
        assert_eq!(open(&context(), &secret(), &second), Ok(key()));
    }

    #[test]
    fn every_changed_bit_of_a_box_is_refused() {
        // The top bit of the ephemeral public key is ignored by X25519, but hashed by Noise.
        for bit in 0..SEAL_BYTES * 8 {
            let mut changed = sealed();
            changed.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                open(&context(), &secret(), &changed),
                Err(SealError),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn every_byte_of_the_prologue_is_authenticated() {
        // The layout the specification gives, without the checks of `open` before it.
        let prologue = context().prologue();
        assert_eq!(prologue.len(), 183);
        let read = |prologue: &[u8]| {
            let secret = secret();
            let mut state = noise::builder(PATTERN, &[0; 32])
                .prologue(prologue)
                .and_then(|b| b.local_private_key(secret.0.as_bytes()))
                .and_then(snow::Builder::build_responder)
                .unwrap();
            state.read_message(&sealed().0, &mut [0; 32]).is_ok()
        };
        assert!(read(&prologue));
        for at in 0..prologue.len() {
            let mut changed = prologue.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(!read(&changed), "byte {at}");
        }
    }

    #[test]
    fn a_box_works_in_no_other_place() {
        let base = context();
        let epoch = base.epoch;
        let at = |epoch: EpochName| SealContext {
            epoch,
            epoch_id: key().id(&epoch),
            ..base
        };
        let elsewhere = [
            SealContext {
                family: FamilyId([0; 32]),
                ..base
            },
            at(EpochName {
                space: SpaceId([0; 16]),
                ..epoch
            }),
            at(EpochName {
                kind: EpochKind::Family,
                ..epoch
            }),
            at(EpochName {
                generation: 4,
                ..epoch
            }),
            at(EpochName {
                minter: DeviceId([0; 32]),
                ..epoch
            }),
            SealContext {
                epoch_id: EpochId([0; 32]),
                ..base
            },
            SealContext {
                recipient_kind: RecipientKind::Kit,
                ..base
            },
            SealContext {
                recipient: DeviceId([0; 32]),
                ..base
            },
            SealContext {
                certificate: OpId([0; 32]),
                ..base
            },
            SealContext {
                author: DeviceId([0; 32]),
                ..base
            },
        ];
        for place in elsewhere {
            assert_eq!(
                open(&place, &secret(), &sealed()),
                Err(SealError),
                "{place:?}"
            );
        }
    }

    #[test]
    fn a_key_that_is_not_the_epochs_is_refused_on_both_sides() {
        let other = EpochKey::from_bytes([0; 32]);
        assert_eq!(
            seal(&context(), &secret().public(), &other, &mut rng()),
            Err(SealError)
        );
        // Sealed by someone who skips the check, under the very prologue the reader uses.
        let mut forged = [0; SEAL_BYTES];
        noise::builder(PATTERN, &[3; 32])
            .prologue(&context().prologue())
            .and_then(|b| b.remote_public_key(&secret().public().0)?.build_initiator())
            .and_then(|mut state| state.write_message(other.as_bytes(), &mut forged))
            .unwrap();
        assert_eq!(
            open(&context(), &secret(), &SealBox(forged)),
            Err(SealError)
        );
    }

    #[test]
    fn points_of_small_order_are_refused_as_recipient_and_as_sender() {
        for point in low_order_points() {
            assert_eq!(
                seal(&context(), &SealPublic(point), &key(), &mut rng()),
                Err(SealError)
            );
            // What anybody could compute if the all-zero shared secret were let through.
            let mut state = snow_without_the_check(&context().prologue(), point);
            let mut forged = SealBox([0; SEAL_BYTES]);
            state
                .write_message(key().as_bytes(), &mut forged.0)
                .unwrap();
            assert_eq!(forged.0[..32], point);
            assert_eq!(open(&context(), &secret(), &forged), Err(SealError));
        }
    }

    /// A sender whose ephemeral public key is `point` and whose shared secret is zero.
    fn snow_without_the_check(prologue: &[u8], point: [u8; 32]) -> snow::HandshakeState {
        struct Forger([u8; 32]);
        impl snow::types::Dh for Forger {
            fn name(&self) -> &'static str {
                "25519"
            }
            fn pub_len(&self) -> usize {
                32
            }
            fn priv_len(&self) -> usize {
                32
            }
            fn set(&mut self, _: &[u8]) {}
            fn generate(&mut self, _: &mut dyn snow::types::Random) -> Result<(), snow::Error> {
                Ok(())
            }
            fn pubkey(&self) -> &[u8] {
                &self.0
            }
            fn privkey(&self) -> &[u8] {
                &[]
            }
            fn dh(&self, _: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
                out[..32].fill(0);
                Ok(())
            }
        }
        struct Resolver([u8; 32]);
        impl snow::resolvers::CryptoResolver for Resolver {
            fn resolve_rng(&self) -> Option<Box<dyn snow::types::Random>> {
                noise::resolver(&[0; 32]).resolve_rng()
            }
            fn resolve_dh(&self, _: &snow::params::DHChoice) -> Option<Box<dyn snow::types::Dh>> {
                Some(Box::new(Forger(self.0)))
            }
            fn resolve_hash(
                &self,
                choice: &snow::params::HashChoice,
            ) -> Option<Box<dyn snow::types::Hash>> {
                noise::resolver(&[0; 32]).resolve_hash(choice)
            }
            fn resolve_cipher(
                &self,
                choice: &snow::params::CipherChoice,
            ) -> Option<Box<dyn snow::types::Cipher>> {
                noise::resolver(&[0; 32]).resolve_cipher(choice)
            }
        }
        snow::Builder::with_resolver(PATTERN.parse().unwrap(), Box::new(Resolver(point)))
            .prologue(prologue)
            .and_then(|b| b.remote_public_key(&secret().public().0)?.build_initiator())
            .unwrap()
    }

    #[test]
    fn a_box_is_eighty_plain_bytes_on_the_wire() {
        let bytes = wire::encode(&sealed());
        assert_eq!(bytes, sealed().0);
        assert_eq!(wire::decode::<SealBox>(&bytes, SEAL_BYTES), Ok(sealed()));
    }
}
