//! A blob's plaintext to segmented ciphertext and back, segment by segment.
//!
//! Construction: STREAM (Hoang et al., CRYPTO 2015) over ChaCha20-Poly1305 (RFC
//! 8439). The plaintext and its zero padding are cut into segments of 65,520
//! bytes; each becomes 65,536 bytes of ciphertext, which is one leaf (see
//! [`super::leaves`]); the last may be shorter.
//!
//! ```text
//! key    the blob's own, fresh for this plaintext
//! nonce  segment index u64 || 1 in the last segment, else 0, u32
//! aad    suite u8 || part u8 || class u8 || padded bytes u64 || plaintext bytes u64
//! ```
//!
//! All integers are big-endian. Index, last flag and both sizes are bound to
//! every segment, so none can be moved, dropped, repeated or cut off. Two keys
//! could be made to open one ciphertext (ChaCha20-Poly1305 does not commit to its
//! key); key, blob id and plaintext hash therefore stand together in one signed
//! op, and the plaintext hash is checked once a whole blob was read.

use std::ops::Range;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::{BlobKey, SUITE, Shape};
use crate::limits::SEGMENT_PLAIN_BYTES;

const TAG_BYTES: usize = 16;
const SEGMENT: u64 = 65_520;

/// Why a segment is not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The blob has no such segment.
    #[error("segment {0} is past the end")]
    PastEnd(u64),
    /// A segment at or after this one was sealed already, and a nonce serves once.
    #[error("segment {0} was sealed already")]
    SealedAlready(u64),
    /// The buffer does not hold the bytes of this segment.
    #[error("a segment of {expected} bytes was given as {found}")]
    Length {
        /// Bytes of the segment.
        expected: usize,
        /// Bytes in the buffer.
        found: usize,
    },
    /// The segment is not what was sealed here; there is no finer answer, on purpose.
    #[error("damaged")]
    Damaged,
}

struct Cipher {
    key: LessSafeKey,
    shape: Shape,
    aad: [u8; 19],
}

impl Cipher {
    fn new(key: &BlobKey, shape: Shape) -> Self {
        let unbound = UnboundKey::new(&CHACHA20_POLY1305, key.as_bytes())
            .expect("the key has the length of the cipher");
        let mut aad = [0; 19];
        aad[..3].copy_from_slice(&[SUITE, shape.part(), shape.class().code()]);
        aad[3..11].copy_from_slice(&shape.padded_bytes().to_be_bytes());
        aad[11..].copy_from_slice(&shape.len().to_be_bytes());
        Self {
            key: LessSafeKey::new(unbound),
            shape,
            aad,
        }
    }

    fn nonce(&self, index: u64) -> Nonce {
        let last = u32::from(index + 1 == self.shape.segments());
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&index.to_be_bytes());
        bytes[8..].copy_from_slice(&last.to_be_bytes());
        Nonce::assume_unique_for_key(bytes)
    }
}

/// Makes a blob's ciphertext, one segment at a time.
pub struct Encryptor {
    cipher: Cipher,
    next: u64,
}

impl Encryptor {
    /// Starts a blob; the key must never have served another plaintext.
    pub fn new(key: &BlobKey, shape: Shape) -> Self {
        Self {
            cipher: Cipher::new(key, shape),
            next: 0,
        }
    }

    /// The shape it was started with.
    pub const fn shape(&self) -> &Shape {
        &self.cipher.shape
    }

    /// Seals one segment in place.
    ///
    /// `buf` comes with the plaintext of the segment, [`Shape::data_bytes`], and
    /// leaves with its ciphertext, at most 64 KiB; reserve that much once and no
    /// call allocates. Segments go upwards, each at most once.
    ///
    /// # Errors
    ///
    /// [`StreamError`], and the buffer stays as it was.
    pub fn seal_segment(&mut self, index: u64, buf: &mut Vec<u8>) -> Result<(), StreamError> {
        let Cipher { key, shape, aad } = &self.cipher;
        if index >= shape.segments() {
            return Err(StreamError::PastEnd(index));
        }
        if index < self.next {
            return Err(StreamError::SealedAlready(index));
        }
        let expected = shape.data_bytes(index);
        if buf.len() != expected {
            let found = buf.len();
            return Err(StreamError::Length { expected, found });
        }
        self.next = index + 1;
        buf.resize(shape.segment_bytes(index), 0);
        key.seal_in_place_append_tag(self.cipher.nonce(index), Aad::from(aad), buf)
            .expect("a segment is far below the limit of the cipher");
        Ok(())
    }
}

/// The segments that hold a range of plaintext.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touched {
    /// The segments, none for an empty range.
    pub segments: Range<u64>,
    /// Bytes to leave out at the start of the first segment.
    pub skip: usize,
    /// Bytes of the range after it was cut at the end of the plaintext.
    pub len: u64,
}

/// Reads a blob's ciphertext, any segment in any order.
pub struct Decryptor(Cipher);

impl Decryptor {
    /// Starts reading; nothing is known to be right until a segment opens.
    pub fn new(key: &BlobKey, shape: Shape) -> Self {
        Self(Cipher::new(key, shape))
    }

    /// The shape it was started with.
    pub const fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// Bytes of ciphertext of a segment; it begins at `index * 65,536`.
    ///
    /// # Errors
    ///
    /// [`StreamError::PastEnd`].
    pub fn sealed_bytes(&self, index: u64) -> Result<usize, StreamError> {
        if index >= self.0.shape.segments() {
            return Err(StreamError::PastEnd(index));
        }
        Ok(self.0.shape.segment_bytes(index) + TAG_BYTES)
    }

    /// Opens one segment in place and returns its plaintext, padding checked and left out.
    ///
    /// # Errors
    ///
    /// [`StreamError::Damaged`] for any ciphertext but the one sealed there; the
    /// buffer is then all zero.
    pub fn open_segment<'b>(&self, index: u64, buf: &'b mut [u8]) -> Result<&'b [u8], StreamError> {
        if buf.len() != self.sealed_bytes(index)? {
            return Err(StreamError::Damaged);
        }
        let nonce = self.0.nonce(index);
        let opened = self
            .0
            .key
            .open_in_place(nonce, Aad::from(&self.0.aad), buf)
            .is_ok();
        let data = self.0.shape.data_bytes(index);
        let padded = self.0.shape.segment_bytes(index);
        if opened && buf[data..padded].iter().all(|byte| *byte == 0) {
            Ok(&buf[..data])
        } else {
            buf.fill(0);
            Err(StreamError::Damaged)
        }
    }

    /// Which segments hold `len` bytes of plaintext from `offset`, as far as there are any.
    pub fn touched(&self, offset: u64, len: u64) -> Touched {
        let total = self.0.shape.len();
        let start = offset.min(total);
        let len = len.min(total - start);
        let first = start / SEGMENT;
        let segments = match len {
            0 => first..first,
            _ => first..(start + len).div_ceil(SEGMENT),
        };
        let skip = usize::try_from(start % SEGMENT).expect("less than a segment");
        Touched {
            segments,
            skip,
            len,
        }
    }
}

const _: () = assert!(SEGMENT_PLAIN_BYTES == 65_520);

#[cfg(test)]
mod tests {
    use rand_core::Rng;

    use super::*;
    use crate::crypto::{Class, SeededRng};

    const FULL: usize = 65_520;

    fn key() -> BlobKey {
        BlobKey::from_bytes([1; 32])
    }

    fn plain(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        SeededRng::from_seed([2; 32]).fill_bytes(&mut bytes);
        bytes
    }

    fn seal_all(shape: Shape, plain: &[u8]) -> Vec<Vec<u8>> {
        let mut encryptor = Encryptor::new(&key(), shape);
        let mut rest = plain;
        (0..shape.segments())
            .map(|index| {
                let (now, later) = rest.split_at(shape.data_bytes(index));
                rest = later;
                let mut buf = now.to_vec();
                encryptor.seal_segment(index, &mut buf).unwrap();
                buf
            })
            .collect()
    }

    fn open_all(shape: Shape, sealed: &[Vec<u8>]) -> Result<Vec<u8>, StreamError> {
        let decryptor = Decryptor::new(&key(), shape);
        let mut plain = Vec::new();
        for (index, segment) in (0..shape.segments()).zip(sealed) {
            plain.extend(decryptor.open_segment(index, &mut segment.clone())?);
        }
        if u64::try_from(sealed.len()) == Ok(shape.segments()) {
            Ok(plain)
        } else {
            Err(StreamError::Damaged)
        }
    }

    fn shape_of(len: usize) -> Shape {
        Shape::padded(Class::Original, 0, u64::try_from(len).unwrap()).unwrap()
    }

    /// Five full and padded segments, the last of them padding alone.
    fn five() -> (Shape, Vec<u8>, Vec<Vec<u8>>) {
        let plain = plain(3 * FULL + 100);
        let shape = Shape::signed(Class::Original, 0, 5 * 65_520, 3 * 65_520 + 100).unwrap();
        let sealed = seal_all(shape, &plain);
        (shape, plain, sealed)
    }

    #[test]
    fn a_blob_opens_to_its_plaintext_at_every_size() {
        for len in [
            0,
            1,
            100,
            FULL - 1,
            FULL,
            FULL + 1,
            2 * FULL,
            3 * FULL + 7,
            1 << 20,
        ] {
            let plain = plain(len);
            let size = u64::try_from(len).unwrap();
            for shape in [
                shape_of(len),
                Shape::exact(Class::Preview, 3, size).unwrap(),
            ] {
                let sealed = seal_all(shape, &plain);
                let total: usize = sealed.iter().map(Vec::len).sum();
                assert_eq!(u64::try_from(total).unwrap(), shape.ciphertext_len());
                let (last, full) = sealed.split_last().unwrap();
                assert!(full.iter().all(|s| s.len() == 65_536) && last.len() <= 65_536);
                assert_eq!(open_all(shape, &sealed), Ok(plain.clone()), "{len}");
            }
        }
    }

    #[test]
    fn the_construction_is_the_documented_one() {
        let shape = Shape::signed(Class::Thumbnail, 2, 5, 3).unwrap();
        let sealed = seal_all(shape, b"abc");
        let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[1; 32]).unwrap());
        let nonce = Nonce::assume_unique_for_key([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let aad = [1, 2, 2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 3];
        let mut expected = b"abc\0\0".to_vec();
        key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut expected)
            .unwrap();
        assert_eq!(sealed, [expected]);
    }

    #[test]
    fn every_flipped_bit_of_a_small_blob_is_refused() {
        let shape = shape_of(100);
        let sealed = seal_all(shape, &plain(100));
        for bit in 0..sealed[0].len() * 8 {
            let mut changed = sealed.clone();
            changed[0][bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_all(shape, &changed), Err(StreamError::Damaged));
        }
    }

    #[test]
    fn random_flips_in_a_large_blob_are_refused() {
        let (shape, _, sealed) = five();
        let decryptor = Decryptor::new(&key(), shape);
        let mut rng = SeededRng::from_seed([3; 32]);
        for _ in 0..200 {
            let index = rng.next_u64() % shape.segments();
            let mut segment = sealed[usize::try_from(index).unwrap()].clone();
            let at = usize::from(u16::try_from(rng.next_u32() >> 16).unwrap());
            segment[at] ^= 1 << (rng.next_u32() % 8);
            let result = decryptor.open_segment(index, &mut segment);
            assert_eq!(result, Err(StreamError::Damaged));
            assert!(segment.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn no_order_of_five_segments_opens_but_their_own() {
        // Each segment in each place, that is every permutation and every repetition.
        let (shape, plain, sealed) = five();
        assert_eq!(open_all(shape, &sealed).as_deref(), Ok(&plain[..]));
        let decryptor = Decryptor::new(&key(), shape);
        for (from, segment) in sealed.iter().enumerate() {
            for place in 0..5_u64 {
                let opened = decryptor.open_segment(place, &mut segment.clone()).is_ok();
                assert_eq!(opened, usize::try_from(place).unwrap() == from);
            }
        }
        let mut opened = 0;
        for order in permutations(5) {
            let moved: Vec<_> = order.iter().map(|at| sealed[*at].clone()).collect();
            opened += usize::from(open_all(shape, &moved).is_ok());
        }
        assert_eq!(opened, 1);
    }

    fn permutations(count: usize) -> Vec<Vec<usize>> {
        if count == 0 {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for shorter in permutations(count - 1) {
            for at in 0..count {
                let mut order = shorter.clone();
                order.insert(at, count - 1);
                all.push(order);
            }
        }
        all
    }

    #[test]
    fn dropped_repeated_and_cut_segments_are_refused() {
        let (shape, _, sealed) = five();
        for at in 0..5 {
            let mut dropped = sealed.clone();
            dropped.remove(at);
            assert!(open_all(shape, &dropped).is_err());
            let mut repeated = sealed.clone();
            repeated.insert(at, sealed[at].clone());
            assert!(open_all(shape, &repeated[..5]).is_err() || at == 4);
            assert!(open_all(shape, &repeated).is_err());
            let mut cut = sealed.clone();
            cut[at].pop();
            assert!(open_all(shape, &cut).is_err());
        }
    }

    #[test]
    fn a_shorter_or_longer_claim_does_not_open() {
        // A blob cut at a segment's end, with sizes that fit the cut, lacks the last flag.
        let (shape, _, sealed) = five();
        for (padded, len) in [
            (4 * 65_520, 3 * 65_520 + 100),
            (3 * 65_520, 3 * 65_520),
            (5 * 65_520, 3 * 65_520 + 99),
            (5 * 65_520, 3 * 65_520 + 101),
            (5 * 65_520 - 1, 3 * 65_520 + 100),
            (6 * 65_520, 3 * 65_520 + 100),
        ] {
            let claim = Shape::signed(Class::Original, 0, padded, len).unwrap();
            assert!(open_all(claim, &sealed).is_err());
            let first = &mut sealed[0].clone();
            let decryptor = Decryptor::new(&key(), claim);
            assert_eq!(
                decryptor.open_segment(0, first),
                Err(StreamError::Damaged),
                "sizes are bound to every segment"
            );
        }
        for other in [
            Shape::signed(Class::Preview, 0, shape.padded_bytes(), shape.len()).unwrap(),
            Shape::signed(Class::Original, 1, shape.padded_bytes(), shape.len()).unwrap(),
        ] {
            assert_eq!(open_all(other, &sealed), Err(StreamError::Damaged));
        }
    }

    #[test]
    fn padding_that_hides_bytes_is_refused() {
        // The author's own key seals five bytes of which the op admits three.
        let honest = Shape::signed(Class::Original, 0, 5, 3).unwrap();
        let cipher = Cipher::new(&key(), honest);
        let mut hidden = b"abc\0!".to_vec();
        cipher
            .key
            .seal_in_place_append_tag(cipher.nonce(0), Aad::from(&cipher.aad), &mut hidden)
            .unwrap();
        let decryptor = Decryptor::new(&key(), honest);
        assert_eq!(
            decryptor.open_segment(0, &mut hidden),
            Err(StreamError::Damaged)
        );
        assert_eq!(hidden, [0; 21]);
    }

    #[test]
    fn another_key_opens_nothing() {
        let (shape, _, sealed) = five();
        let decryptor = Decryptor::new(&BlobKey::from_bytes([0; 32]), shape);
        for (index, segment) in (0..).zip(&sealed) {
            assert_eq!(
                decryptor.open_segment(index, &mut segment.clone()),
                Err(StreamError::Damaged)
            );
        }
    }

    #[test]
    fn a_nonce_serves_once() {
        let (shape, plain, _) = five();
        let mut encryptor = Encryptor::new(&key(), shape);
        let mut buf = plain[..FULL].to_vec();
        encryptor.seal_segment(1, &mut buf).unwrap();
        for index in [0, 1] {
            let mut again = plain[..FULL].to_vec();
            assert_eq!(
                encryptor.seal_segment(index, &mut again),
                Err(StreamError::SealedAlready(index))
            );
            assert_eq!(again, plain[..FULL]);
        }
        let mut short = vec![0; 99];
        assert_eq!(
            encryptor.seal_segment(3, &mut short),
            Err(StreamError::Length {
                expected: 100,
                found: 99
            })
        );
        assert_eq!(
            encryptor.seal_segment(5, &mut Vec::new()),
            Err(StreamError::PastEnd(5))
        );
    }

    #[test]
    fn a_range_touches_the_segments_that_hold_it() {
        let (shape, plain, sealed) = five();
        let decryptor = Decryptor::new(&key(), shape);
        let total = plain.len();
        for (offset, len) in [
            (0, 1),
            (0, FULL),
            (FULL - 1, 2),
            (FULL, FULL),
            (100, 2 * FULL),
            (3 * FULL, 100),
            (0, total),
            (total - 1, 50),
            (total, 5),
            (total + 9, 5),
            (7, 0),
        ] {
            let (from, count) = (u64::try_from(offset).unwrap(), u64::try_from(len).unwrap());
            let touched = decryptor.touched(from, count);
            let mut opened: Vec<u8> = Vec::new();
            for index in touched.segments.clone() {
                let mut segment = sealed[usize::try_from(index).unwrap()].clone();
                opened.extend(decryptor.open_segment(index, &mut segment).unwrap());
            }
            let start = offset.min(total);
            let end = (offset + len).min(total);
            let length = usize::try_from(touched.len).unwrap();
            let read = opened.get(touched.skip..touched.skip + length);
            assert_eq!(read.unwrap_or(&[]), &plain[start..end.max(start)]);
            assert!(touched.segments.end <= 4);
        }
        assert_eq!(decryptor.touched(u64::MAX, u64::MAX).len, 0);
        assert_eq!(decryptor.touched(0, u64::MAX).segments, 0..4);
    }
}
