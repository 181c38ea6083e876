//! How large a blob is, and how much larger it is made so that its size tells little.
//!
//! A plaintext of `len` bytes is followed by zeros up to `padded` bytes. Only
//! `padded` stands in clear in a header; `len` is in the sealed op, and both are
//! authenticated with every segment.
//!
//! Thumbnails up to 65,520 bytes are padded so that their *ciphertext* has
//! exactly 8, 16, 32 or 64 KiB: each is one segment, one leaf, and its plaintext
//! is padded to 16 bytes less. Everything else is padded by Padme (Nikitin et
//! al., PETS 2019): with `E = floor(log2 len)` and `S = floor(log2 E) + 1`, up to
//! the next multiple of `2^(E - S)`; lengths 0 and 1 stay as they are.

use serde::{Deserialize, Serialize};

use crate::limits::{LEAF_BYTES, PADDED_BYTES, SEGMENT_PLAIN_BYTES, THUMBNAIL_BUCKETS};

const SEGMENT: u64 = 65_520;
const TAG: u64 = 16;
const _: () = assert!(SEGMENT_PLAIN_BYTES == 65_520 && LEAF_BYTES == 65_520 + 16);

/// Which picture of a part a blob is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Class {
    /// The file as it came, byte for byte.
    Original,
    /// A picture for a screen.
    Preview,
    /// A picture for a grid.
    Thumbnail,
}

impl Class {
    /// The byte that stands for it in authenticated strings.
    pub const fn code(self) -> u8 {
        match self {
            Self::Original => 0,
            Self::Preview => 1,
            Self::Thumbnail => 2,
        }
    }
}

/// A size beyond what a blob may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// More than [`PADDED_BYTES`].
    #[error("larger than a blob may be")]
    TooLarge,
    /// The padded size is below the true one.
    #[error("padded to less than its length")]
    PaddedBelowLength,
}

/// The bytes of plaintext and padding together that a plaintext of `len` bytes gets.
///
/// # Errors
///
/// [`ShapeError::TooLarge`] past [`PADDED_BYTES`].
pub fn padded_len(class: Class, len: u64) -> Result<u64, ShapeError> {
    if len > PADDED_BYTES {
        return Err(ShapeError::TooLarge);
    }
    let bucket = THUMBNAIL_BUCKETS
        .iter()
        .map(|bucket| bucket - TAG)
        .find(|room| *room >= len);
    let padded = match (class, bucket) {
        (Class::Thumbnail, Some(room)) => room,
        _ => padme(len),
    };
    if padded > PADDED_BYTES {
        return Err(ShapeError::TooLarge);
    }
    Ok(padded)
}

fn padme(len: u64) -> u64 {
    if len < 2 {
        return len;
    }
    let exponent = len.ilog2();
    let kept = exponent.ilog2() + 1;
    len.next_multiple_of(1 << (exponent - kept))
}

/// How many segments a padded plaintext has; an empty one has one, which is empty.
pub const fn segments(padded: u64) -> u64 {
    if padded == 0 {
        1
    } else {
        padded.div_ceil(SEGMENT)
    }
}

/// The bytes of ciphertext of a padded plaintext: 16 more for each segment.
///
/// Saturates for sizes past [`PADDED_BYTES`], which callers refuse.
pub const fn ciphertext_len(padded: u64) -> u64 {
    padded.saturating_add(segments(padded).saturating_mul(TAG))
}

/// What is authenticated about a blob besides its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    class: Class,
    part: u8,
    padded: u64,
    len: u64,
}

impl Shape {
    /// The shape of a blob to be made, padded as the rules say.
    ///
    /// # Errors
    ///
    /// [`ShapeError::TooLarge`].
    pub fn padded(class: Class, part: u8, len: u64) -> Result<Self, ShapeError> {
        Self::signed(class, part, padded_len(class, len)?, len)
    }

    /// The shape of a blob to be made without padding: its size is in clear.
    ///
    /// # Errors
    ///
    /// [`ShapeError::TooLarge`].
    pub fn exact(class: Class, part: u8, len: u64) -> Result<Self, ShapeError> {
        Self::signed(class, part, len, len)
    }

    /// The shape that a header and an op claim.
    ///
    /// Any padding is taken that a blob can hold, so that another rule may come.
    ///
    /// # Errors
    ///
    /// [`ShapeError`]; what passes is bounded by [`PADDED_BYTES`].
    pub fn signed(class: Class, part: u8, padded: u64, len: u64) -> Result<Self, ShapeError> {
        if padded > PADDED_BYTES {
            Err(ShapeError::TooLarge)
        } else if len > padded {
            Err(ShapeError::PaddedBelowLength)
        } else {
            Ok(Self {
                class,
                part,
                padded,
                len,
            })
        }
    }

    /// Which picture of the part it is.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The part's place in its item.
    pub const fn part(&self) -> u8 {
        self.part
    }

    /// Bytes of plaintext and padding together.
    pub const fn padded_bytes(&self) -> u64 {
        self.padded
    }

    /// Bytes of plaintext.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the plaintext has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of ciphertext.
    pub const fn ciphertext_len(&self) -> u64 {
        ciphertext_len(self.padded)
    }

    /// How many segments, and so leaves, there are; at least one.
    pub const fn segments(&self) -> u64 {
        segments(self.padded)
    }

    /// Bytes of plaintext in a segment, padding left out; zero past the end.
    pub fn data_bytes(&self, segment: u64) -> usize {
        within(self.len, segment)
    }

    /// Bytes of plaintext and padding in a segment; zero past the end.
    pub fn segment_bytes(&self, segment: u64) -> usize {
        within(self.padded, segment)
    }
}

fn within(total: u64, segment: u64) -> usize {
    let left = total.saturating_sub(segment.saturating_mul(SEGMENT));
    usize::try_from(left.min(SEGMENT)).expect("a segment is smaller than 64 KiB")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_thumbnail_is_exactly_one_of_four_sizes_and_one_leaf() {
        for (len, ciphertext) in [
            (0, 8),
            (8176, 8),
            (8177, 16),
            (16_368, 16),
            (16_369, 32),
            (32_752, 32),
            (32_753, 64),
            (65_520, 64),
        ] {
            let shape = Shape::padded(Class::Thumbnail, 0, len).unwrap();
            assert_eq!(shape.ciphertext_len(), ciphertext * 1024, "{len}");
            assert_eq!(shape.segments(), 1);
        }
        let large = padded_len(Class::Thumbnail, 65_521).unwrap();
        assert_eq!(large, padded_len(Class::Original, 65_521).unwrap());
    }

    #[test]
    fn padme_gives_the_published_sizes() {
        for (len, padded) in [
            (0, 0),
            (1, 1),
            (2, 2),
            (3, 3),
            (9, 10),
            (100, 104),
            (1000, 1024),
            (1_000_000, 1_015_808),
            (3_000_000, 3_014_656),
        ] {
            assert_eq!(padded_len(Class::Original, len), Ok(padded), "{len}");
        }
    }

    #[test]
    fn sizes_stop_at_the_limit() {
        let top = Shape::exact(Class::Original, 0, PADDED_BYTES).unwrap();
        assert_eq!(top.ciphertext_len(), crate::limits::BLOB_BYTES);
        for len in [PADDED_BYTES + 1, u64::MAX] {
            assert_eq!(padded_len(Class::Thumbnail, len), Err(ShapeError::TooLarge));
            assert_eq!(
                Shape::signed(Class::Original, 0, len, 0),
                Err(ShapeError::TooLarge)
            );
            assert!(ciphertext_len(len) > crate::limits::BLOB_BYTES);
        }
        assert_eq!(
            Shape::signed(Class::Original, 0, 9, 10),
            Err(ShapeError::PaddedBelowLength)
        );
    }

    #[test]
    fn an_empty_file_has_one_segment() {
        let shape = Shape::padded(Class::Original, 0, 0).unwrap();
        assert_eq!((shape.segments(), shape.ciphertext_len()), (1, 16));
    }

    proptest! {
        #[test]
        fn padding_is_small_and_the_segments_add_up(len in 0..64 * 1024 * 1024_u64) {
            let shape = Shape::padded(Class::Original, 0, len).unwrap();
            prop_assert!(shape.padded_bytes() >= len);
            // Padme adds less than 12 %.
            prop_assert!(shape.padded_bytes() - len <= len * 12 / 100);
            let count = shape.segments();
            let sum = |f: fn(&Shape, u64) -> usize| (0..count + 2).map(|i| f(&shape, i)).sum::<usize>();
            prop_assert_eq!(u64::try_from(sum(Shape::data_bytes)).unwrap(), len);
            prop_assert_eq!(u64::try_from(sum(Shape::segment_bytes)).unwrap(), shape.padded_bytes());
            prop_assert_eq!(shape.ciphertext_len().div_ceil(65_536).max(1), count);
        }
    }
}
