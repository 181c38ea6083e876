//! Makes every vector. Nothing here is random: all follows from seeds in the files.

#[path = "make/carry.rs"]
mod carry;
#[path = "make/encryption.rs"]
mod encryption;
#[path = "make/family.rs"]
mod family;
#[path = "make/identity.rs"]
mod identity;
#[path = "make/log.rs"]
mod log;
#[path = "make/meeting.rs"]
mod meeting;
#[path = "make/ops.rs"]
mod ops;
#[path = "make/sync.rs"]
mod sync;
#[path = "make/values.rs"]
mod values;

use crate::case::{Case, Class};

/// All vectors.
pub(crate) fn all() -> Vec<Case> {
    [
        values::all(),
        identity::all(),
        encryption::all(),
        log::all(),
        ops::all(),
        meeting::all(),
        sync::all(),
        carry::all(),
    ]
    .concat()
}

/// The bytes with one bit changed.
fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[at] ^= 1;
    changed
}

/// The bytes without the last.
fn cut(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() - 1].to_vec()
}

/// The bytes and one more.
fn longer(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0]].concat()
}

/// A result of fixed length with the three ways in which it is wrong.
fn computed(right: Case) -> Vec<Case> {
    let bytes = right.bytes.clone();
    let middle = bytes.len() / 2;
    vec![
        right
            .wrong("changed", Class::BadChain, "one bit of the result differs")
            .with(flipped(&bytes, middle)),
        right
            .wrong(
                "cut",
                Class::Truncated,
                "the last byte of the result is missing",
            )
            .with(cut(&bytes)),
        right
            .wrong("longer", Class::NotCanonical, "a byte follows the result")
            .with(longer(&bytes)),
        right,
    ]
}

/// A signature with three ways in which it is wrong wherever it stands alone.
fn signed(right: Case) -> Vec<Case> {
    let bytes = right.bytes.clone();
    vec![
        right
            .wrong("tampered-r", Class::BadSignature, "one bit of R differs")
            .with(flipped(&bytes, 5)),
        right
            .wrong("tampered-s", Class::BadSignature, "one bit of S differs")
            .with(flipped(&bytes, 40)),
        right
            .wrong("cut", Class::Truncated, "the signature ends early")
            .with(cut(&bytes)),
        right
            .wrong(
                "longer",
                Class::NotCanonical,
                "a byte follows the signature",
            )
            .with(longer(&bytes)),
        right,
    ]
}

/// The first longer form of a number in an encoding that is refused as such.
fn stretched(bytes: &[u8], is_refused: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    (0..bytes.len()).find_map(|at| {
        let changed = [&bytes[..at], &[251, bytes[at], 0], &bytes[at + 1..]].concat();
        (bytes[at] < 251 && is_refused(&changed)).then_some(changed)
    })
}
