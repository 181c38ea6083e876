//! Labelled key derivation, keyed hashes and hedged randomness.
//!
//! All derivation is BLAKE3's `derive_key` under a [`Purpose`]. The pieces of
//! the material are joined without separators, so all but the last must be of
//! fixed length.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use zeroize::Zeroize;

use super::Purpose;
use crate::id::PlainHash;

/// Derives 32 bytes for one purpose from the joined pieces.
pub fn derive(purpose: Purpose, material: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(purpose.context());
    for piece in material {
        hasher.update(piece);
    }
    *hasher.finalize().as_bytes()
}

/// The keyed BLAKE3 of the joined pieces.
pub fn keyed(key: &[u8; 32], message: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for piece in message {
        hasher.update(piece);
    }
    *hasher.finalize().as_bytes()
}

/// Mixes fresh randomness with what differs even where the randomness repeats.
///
/// A cloned virtual machine draws the same `os_random` twice; the plaintext or
/// the position then still differs, and without the device's secret nobody can
/// guess the result. `plaintext_hash` is [`PlainHash::ZERO`] where there is no
/// plaintext; `position` says where the result is used (space, log and place),
/// in any fixed form.
pub fn hedge(
    purpose: Purpose,
    os_random: &[u8; 32],
    device_secret: &[u8; 32],
    plaintext_hash: &PlainHash,
    position: &[u8],
) -> [u8; 32] {
    derive(
        purpose,
        &[os_random, device_secret, &plaintext_hash.0, position],
    )
}

/// A generator whose whole output follows from one 32 byte seed.
///
/// BLAKE3 in extended-output mode, as strong as its seed. The seed is a
/// [`hedge`]d value in the program and a constant in tests and simulation.
pub struct SeededRng(blake3::OutputReader);

impl SeededRng {
    /// A generator for this seed; the same seed gives the same output for ever.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(blake3::Hasher::new_keyed(&seed).finalize_xof())
    }
}

impl Drop for SeededRng {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl TryRng for SeededRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for SeededRng {}

#[cfg(test)]
mod tests {
    use rand_core::Rng;

    use super::*;

    #[test]
    fn one_material_gives_another_key_for_each_purpose() {
        let mut seen: Vec<_> = Purpose::ALL.iter().map(|p| derive(*p, &[b"x"])).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), Purpose::ALL.len());
    }

    #[test]
    fn derivation_is_the_published_function() {
        assert_eq!(
            derive(Purpose::Blob, &[b"a", b"b"]),
            blake3::derive_key("heirloom 2026 v1 blob key", b"ab")
        );
    }

    #[test]
    fn repeated_randomness_gives_no_repeated_value() {
        let base = hedge(Purpose::Blob, &[1; 32], &[2; 32], &PlainHash([3; 32]), b"4");
        let others = [
            hedge(
                Purpose::Epoch,
                &[1; 32],
                &[2; 32],
                &PlainHash([3; 32]),
                b"4",
            ),
            hedge(Purpose::Blob, &[0; 32], &[2; 32], &PlainHash([3; 32]), b"4"),
            hedge(Purpose::Blob, &[1; 32], &[0; 32], &PlainHash([3; 32]), b"4"),
            hedge(Purpose::Blob, &[1; 32], &[2; 32], &PlainHash([0; 32]), b"4"),
            hedge(Purpose::Blob, &[1; 32], &[2; 32], &PlainHash([3; 32]), b"5"),
        ];
        assert!(others.iter().all(|other| *other != base));
    }

    #[test]
    fn a_seed_fixes_the_whole_output() {
        let mut one = SeededRng::from_seed([7; 32]);
        let mut two = SeededRng::from_seed([7; 32]);
        let mut bytes = [0; 12];
        two.fill_bytes(&mut bytes);
        let [a, b] = [one.next_u32(), one.next_u32()];
        assert_eq!(a.to_le_bytes(), bytes[..4]);
        assert_eq!(b.to_le_bytes(), bytes[4..8]);
        assert_ne!(one.next_u64(), SeededRng::from_seed([8; 32]).next_u64());
    }
}
