//! Signatures, and [`Signed`]: the exact bytes, their signature and what they say.
//!
//! A signature is over `"heirloom/<kind>/v1" || FamilyId || bytes`, so it never
//! means anything in another family or as another kind of statement.
//! Verification is strict (no small-order keys, cofactorless, RFC 8032 encoding
//! of S), so that all devices agree on what is valid.

use ed25519_dalek::{Signer, VerifyingKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{SignKind, SignSecret};
use crate::id::{DeviceId, FamilyId};
use crate::wire::{self, WireError};

/// Why a statement is not signed by the one it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The signature is not this device's over these bytes.
    #[error("bad signature")]
    BadSignature,
    /// The bytes are not the encoding of such a statement.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The statement breaks a limit of the protocol.
    #[error("statement out of bounds")]
    OutOfBounds,
}

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(into = "([u8; 32], [u8; 32])", from = "([u8; 32], [u8; 32])")]
pub struct Signature(pub [u8; 64]);

impl From<Signature> for ([u8; 32], [u8; 32]) {
    fn from(signature: Signature) -> Self {
        let (mut r, mut s) = ([0; 32], [0; 32]);
        r.copy_from_slice(&signature.0[..32]);
        s.copy_from_slice(&signature.0[32..]);
        (r, s)
    }
}

impl From<([u8; 32], [u8; 32])> for Signature {
    fn from((r, s): ([u8; 32], [u8; 32])) -> Self {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&r);
        bytes[32..].copy_from_slice(&s);
        Self(bytes)
    }
}

fn message(kind: SignKind, family: &FamilyId, bytes: &[u8]) -> Vec<u8> {
    [kind.label(), &family.0, bytes].concat()
}

/// Signs bytes as one kind of statement in one family.
pub fn sign(secret: &SignSecret, kind: SignKind, family: &FamilyId, bytes: &[u8]) -> Signature {
    Signature(secret.0.sign(&message(kind, family, bytes)).to_bytes())
}

/// Verifies that a device or a kit signed these bytes as this kind of statement.
///
/// # Errors
///
/// [`SignError::BadSignature`], whatever is wrong.
pub fn verify(
    signer: &DeviceId,
    kind: SignKind,
    family: &FamilyId,
    bytes: &[u8],
    signature: &Signature,
) -> Result<(), SignError> {
    let key = VerifyingKey::from_bytes(&signer.0).map_err(|_| SignError::BadSignature)?;
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    key.verify_strict(&message(kind, family, bytes), &signature)
        .map_err(|_| SignError::BadSignature)
}

/// Something small that a device says about itself under its own signature.
pub trait Statement: Serialize + DeserializeOwned {
    /// The kind of its signature.
    const KIND: SignKind;
    /// Most bytes of its encoding.
    const LIMIT: usize;

    /// The device or kit that says it.
    fn signer(&self) -> DeviceId;

    /// Whether every part keeps the limits of the protocol.
    fn is_within_limits(&self) -> bool;
}

/// A statement as it travels: bytes that nobody encodes again, and their signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedBytes {
    /// The encoding that was signed.
    pub bytes: Vec<u8>,
    /// The signature over it.
    pub signature: Signature,
}

/// A statement whose signature holds.
///
/// Made by signing or verifying alone, so who has one need not check again. It
/// keeps the signed bytes, for passing on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed<T> {
    value: T,
    raw: SignedBytes,
}

impl<T: Statement> Signed<T> {
    /// Signs a statement.
    ///
    /// # Errors
    ///
    /// [`SignError::OutOfBounds`] for what others would refuse;
    /// [`SignError::BadSignature`] when the statement names another signer.
    pub fn sign(secret: &SignSecret, family: &FamilyId, value: T) -> Result<Self, SignError> {
        if value.signer() != secret.id() {
            return Err(SignError::BadSignature);
        }
        let bytes = wire::encode(&value);
        if !value.is_within_limits() || bytes.len() > T::LIMIT {
            return Err(SignError::OutOfBounds);
        }
        let signature = sign(secret, T::KIND, family, &bytes);
        let raw = SignedBytes { bytes, signature };
        Ok(Self { value, raw })
    }

    /// Decodes received bytes and verifies that the signer they name signed them.
    ///
    /// Whether that signer belongs to the family is for the caller to know.
    ///
    /// # Errors
    ///
    /// [`SignError`]; at most [`Statement::LIMIT`] bytes are looked at.
    pub fn verify(family: &FamilyId, raw: SignedBytes) -> Result<Self, SignError> {
        let value: T = wire::decode(&raw.bytes, T::LIMIT)?;
        if !value.is_within_limits() {
            return Err(SignError::OutOfBounds);
        }
        verify(&value.signer(), T::KIND, family, &raw.bytes, &raw.signature)?;
        Ok(Self { value, raw })
    }

    /// What was signed.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// The bytes and the signature, as they travel.
    pub const fn raw(&self) -> &SignedBytes {
        &self.raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: FamilyId = FamilyId([7; 32]);

    fn secret() -> SignSecret {
        SignSecret::from_bytes(&[3; 32])
    }

    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Note {
        device: DeviceId,
        text: String,
    }

    impl Statement for Note {
        const KIND: SignKind = SignKind::Head;
        const LIMIT: usize = 64;

        fn signer(&self) -> DeviceId {
            self.device
        }

        fn is_within_limits(&self) -> bool {
            self.text.len() <= 8
        }
    }

    fn note(text: &str) -> Note {
        Note {
            device: secret().id(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_signature_holds_for_its_kind_family_and_bytes_alone() {
        let signature = sign(&secret(), SignKind::Entry, &FAMILY, b"bytes");
        let id = secret().id();
        assert_eq!(
            verify(&id, SignKind::Entry, &FAMILY, b"bytes", &signature),
            Ok(())
        );
        let bad = Err(SignError::BadSignature);
        for kind in SignKind::ALL {
            if kind != SignKind::Entry {
                assert_eq!(verify(&id, kind, &FAMILY, b"bytes", &signature), bad);
            }
        }
        let other = FamilyId([8; 32]);
        assert_eq!(
            verify(&id, SignKind::Entry, &other, b"bytes", &signature),
            bad
        );
        assert_eq!(
            verify(&id, SignKind::Entry, &FAMILY, b"bytez", &signature),
            bad
        );
        let stranger = SignSecret::from_bytes(&[4; 32]).id();
        assert_eq!(
            verify(&stranger, SignKind::Entry, &FAMILY, b"bytes", &signature),
            bad
        );
    }

    #[test]
    fn every_flipped_bit_of_a_signature_is_refused() {
        let signature = sign(&secret(), SignKind::Device, &FAMILY, b"bytes");
        for bit in 0..512 {
            let mut changed = signature;
            changed.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                verify(
                    &secret().id(),
                    SignKind::Device,
                    &FAMILY,
                    b"bytes",
                    &changed
                ),
                Err(SignError::BadSignature)
            );
        }
    }

    #[test]
    fn a_small_order_key_signs_nothing() {
        // With the neutral point as key and R, and S = 0, loose verification says yes to any bytes.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut forged = [0; 64];
        forged[0] = 1;
        assert_eq!(
            verify(
                &DeviceId(neutral),
                SignKind::Entry,
                &FAMILY,
                b"any",
                &Signature(forged)
            ),
            Err(SignError::BadSignature)
        );
    }

    #[test]
    fn a_statement_travels_as_the_bytes_that_were_signed() {
        let signed = Signed::sign(&secret(), &FAMILY, note("hello")).unwrap();
        let sent = wire::encode(signed.raw());
        let received = wire::decode::<SignedBytes>(&sent, 256).unwrap();
        let verified = Signed::<Note>::verify(&FAMILY, received).unwrap();
        assert_eq!(verified, signed);
        assert_eq!(verified.value().text, "hello");
    }

    #[test]
    fn a_changed_statement_is_refused_at_every_byte() {
        let signed = Signed::sign(&secret(), &FAMILY, note("hello")).unwrap();
        for at in 0..signed.raw().bytes.len() {
            let mut raw = signed.raw().clone();
            raw.bytes[at] ^= 1;
            assert!(Signed::<Note>::verify(&FAMILY, raw).is_err(), "byte {at}");
        }
        let mut longer = signed.raw().clone();
        longer.bytes.push(0);
        assert!(Signed::<Note>::verify(&FAMILY, longer).is_err());
    }

    #[test]
    fn limits_hold_on_both_sides() {
        assert_eq!(
            Signed::sign(&secret(), &FAMILY, note("too long a text")),
            Err(SignError::OutOfBounds)
        );
        let bytes = wire::encode(&note("too long a text"));
        let signature = sign(&secret(), Note::KIND, &FAMILY, &bytes);
        assert_eq!(
            Signed::<Note>::verify(&FAMILY, SignedBytes { bytes, signature }),
            Err(SignError::OutOfBounds)
        );
    }

    #[test]
    fn nobody_signs_in_anothers_name() {
        let stranger = SignSecret::from_bytes(&[4; 32]);
        assert_eq!(
            Signed::sign(&stranger, &FAMILY, note("hello")),
            Err(SignError::BadSignature)
        );
    }
}
