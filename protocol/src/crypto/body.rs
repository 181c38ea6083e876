//! Entry bodies and small sealed values: XChaCha20-Poly1305.
//!
//! Wire format: the ciphertext, as long as the plaintext, then a tag of 16
//! bytes. The 24 byte nonce stands beside it, in the entry's header or before
//! the value; it is hedged randomness, so it may serve under a key that many
//! entries share (draft-irtf-cfrg-xchacha-03). What else stands in clear is the
//! associated data.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use super::BodyKey;

/// Bytes that sealing adds.
pub const TAG_BYTES: usize = 16;

/// A nonce of a body, drawn from hedged randomness.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BodyNonce(pub [u8; 24]);

impl BodyNonce {
    /// All zero: stands in headers whose body is in clear.
    pub const ZERO: Self = Self([0; 24]);

    /// A fresh nonce; `rng` must be hedged, see [`super::hedge`].
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 24];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

/// The bytes do not open under this key, nonce and associated data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed body does not open")]
pub struct BodyError;

/// Seals a plaintext.
///
/// # Panics
///
/// For a plaintext of more than 256 GiB, which no caller holds.
pub fn seal(key: &BodyKey, nonce: &BodyNonce, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let payload = Payload {
        msg: plaintext,
        aad,
    };
    XChaCha20Poly1305::new(key.as_bytes().into())
        .encrypt((&nonce.0).into(), payload)
        .expect("entries are far below the limit of the cipher")
}

/// Opens what [`seal`] made with the same key, nonce and associated data.
///
/// # Errors
///
/// [`BodyError`], whatever is wrong. The caller has bounded the length.
pub fn open(
    key: &BodyKey,
    nonce: &BodyNonce,
    aad: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, BodyError> {
    let payload = Payload { msg: sealed, aad };
    XChaCha20Poly1305::new(key.as_bytes().into())
        .decrypt((&nonce.0).into(), payload)
        .map_err(|_| BodyError)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: BodyNonce = BodyNonce([2; 24]);

    fn key() -> BodyKey {
        BodyKey::from_bytes([1; 32])
    }

    #[test]
    fn a_body_opens_to_what_was_sealed() {
        for plain in [&b""[..], b"x", &[7; 5000]] {
            let sealed = seal(&key(), &NONCE, b"header", plain);
            assert_eq!(sealed.len(), plain.len() + TAG_BYTES);
            assert_eq!(
                open(&key(), &NONCE, b"header", &sealed).as_deref(),
                Ok(plain)
            );
        }
    }

    #[test]
    fn the_cipher_is_the_one_of_the_draft() {
        // draft-irtf-cfrg-xchacha-03, A.3.1.
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        let key: [u8; 32] = std::array::from_fn(|i| 0x80 + u8::try_from(i).unwrap());
        let nonce: [u8; 24] = std::array::from_fn(|i| 0x40 + u8::try_from(i).unwrap());
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let sealed = seal(
            &BodyKey::from_bytes(key),
            &BodyNonce(nonce),
            &hex("50515253c0c1c2c3c4c5c6c7"),
            plain,
        );
        assert_eq!(sealed[..16], hex("bd6d179d3e83d43b9576579493c0e939"));
        assert_eq!(sealed[114..], hex("c0875924c1c7987947deafd8780acf49"));
    }

    #[test]
    fn every_changed_bit_is_refused() {
        let sealed = seal(&key(), &NONCE, b"header", b"a caption");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key(), &NONCE, b"header", &changed), Err(BodyError));
        }
        for cut in 0..sealed.len() {
            assert_eq!(
                open(&key(), &NONCE, b"header", &sealed[..cut]),
                Err(BodyError)
            );
        }
    }

    #[test]
    fn key_nonce_and_header_belong_to_the_body() {
        let sealed = seal(&key(), &NONCE, b"header", b"a caption");
        let other = BodyKey::from_bytes([0; 32]);
        assert_eq!(open(&other, &NONCE, b"header", &sealed), Err(BodyError));
        assert_eq!(
            open(&key(), &BodyNonce::ZERO, b"header", &sealed),
            Err(BodyError)
        );
        assert_eq!(open(&key(), &NONCE, b"headex", &sealed), Err(BodyError));
    }
}
