//! The only encoder and decoder of the project.
//!
//! bincode 2.0.1, little endian, variable-length integers, behind two
//! functions, so that another encoding could take its place (docs/adr/0004).
//! bincode by itself accepts non-minimal numbers and trailing bytes and can be
//! made to allocate without end; [`decode`] refuses all of that.
//!
//! Types that pass through here hold no maps, floats, `usize` or recursion.

use serde::{Serialize, de::DeserializeOwned};

use crate::limits;

/// Largest value that is encoded or decoded in one piece.
pub const MAX_BYTES: usize = limits::FRAME_BYTES;

/// Why bytes are not the encoding of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// More bytes than the caller allows.
    #[error("{0} bytes are more than the limit of {1}")]
    TooLarge(usize, usize),
    /// The bytes end early or hold an impossible value.
    #[error("malformed")]
    Malformed,
    /// The bytes decode, but to a value that is encoded otherwise.
    #[error("not canonical")]
    NotCanonical,
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_BYTES>()
}

/// Encodes a value.
///
/// # Panics
///
/// When the value is larger than [`MAX_BYTES`]; every type has smaller limits
/// of its own, which are checked when a value is made.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, config()).expect("values stay below the limit of the wire")
}

/// Decodes bytes of at most `limit`, all of them, and refuses any other encoding of the same value.
///
/// # Errors
///
/// [`WireError`]; nothing larger than `limit` is allocated before it is found.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, WireError> {
    let limit = limit.min(MAX_BYTES);
    if bytes.len() > limit {
        return Err(WireError::TooLarge(bytes.len(), limit));
    }
    let (value, used) = bincode::serde::decode_from_slice::<T, _>(bytes, config())
        .map_err(|_| WireError::Malformed)?;
    if used != bytes.len() {
        return Err(WireError::NotCanonical);
    }
    if encode(&value) != bytes {
        return Err(WireError::NotCanonical);
    }
    Ok(value)
}

/// Largest row that a device keeps for itself.
pub const ROW_BYTES: usize = 16 * 1024 * 1024;

/// Encodes a row of this device's own index; it is never signed or sent.
///
/// # Errors
///
/// [`WireError::Malformed`] for a row of more than [`ROW_BYTES`].
pub fn encode_row<T: Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    let config = bincode::config::standard().with_limit::<ROW_BYTES>();
    bincode::serde::encode_to_vec(value, config).map_err(|_| WireError::Malformed)
}

/// Decodes a row that this device wrote, which its seal has shown to be unchanged.
///
/// # Errors
///
/// [`WireError::Malformed`]; nothing beyond [`ROW_BYTES`] is allocated.
pub fn decode_row<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let config = bincode::config::standard().with_limit::<ROW_BYTES>();
    match bincode::serde::decode_from_slice(bytes, config) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        _ => Err(WireError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_encoding() {
        assert_eq!(encode(&7_u32), [7]);
        assert_eq!(decode::<u32>(&[7], 16), Ok(7));
        assert_eq!(
            decode::<u32>(&[251, 7, 0], 16),
            Err(WireError::NotCanonical)
        );
    }

    #[test]
    fn trailing_and_missing_bytes_are_refused() {
        assert_eq!(decode::<u8>(&[1, 2], 16), Err(WireError::NotCanonical));
        assert_eq!(decode::<[u8; 4]>(&[1, 2], 16), Err(WireError::Malformed));
        assert_eq!(decode::<Vec<u8>>(&[255; 9], 16), Err(WireError::Malformed));
    }

    #[test]
    fn a_length_beyond_the_input_allocates_nothing() {
        let mut hostile = vec![253];
        hostile.extend_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(decode::<Vec<u8>>(&hostile, 64), Err(WireError::Malformed));
        assert_eq!(decode::<Vec<u64>>(&hostile, 64), Err(WireError::Malformed));
    }

    #[test]
    fn the_limit_counts_before_decoding() {
        assert_eq!(
            decode::<Vec<u8>>(&[0; 65], 64),
            Err(WireError::TooLarge(65, 64))
        );
    }
}
