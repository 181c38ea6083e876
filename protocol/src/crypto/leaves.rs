//! A blob's address, and the list by which each 64 KiB of it can be checked alone.
//!
//! A [`BlobId`] is the BLAKE3 of the ciphertext. A leaf is 65,536 bytes of it (the
//! last may be shorter): 64 BLAKE3 chunks, a whole subtree, whose chaining value
//! is one line of the list. The chaining values merge to the id, so a list that
//! does is right, whoever sent it; after that each leaf is checked alone, in any
//! order, from any peer. A blob of one leaf needs no list: it is hashed whole.

use blake3::hazmat::{self, HasherExt, Mode};

use crate::id::BlobId;
use crate::limits::{BLOB_BYTES, LEAF_BYTES};

const LEAF: u64 = 65_536;
const _: () = assert!(LEAF_BYTES == 65_536);

/// Bytes of one line of a list.
pub const VALUE_BYTES: usize = 32;

/// Why leaves are not those of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// The length is zero or past the limit of a blob.
    #[error("{0} is no length of a blob")]
    BlobLength(u64),
    /// The list has another number of lines than the length asks for.
    #[error("{found} leaves instead of {expected}")]
    Count {
        /// Lines of the list.
        found: u64,
        /// Lines that the length asks for.
        expected: u64,
    },
    /// The list does not merge to the blob's id.
    #[error("the leaves are not those of the blob")]
    WrongRoot,
    /// The bytes are not this leaf of the blob.
    #[error("leaf {0} is damaged")]
    WrongLeaf(u64),
}

/// How many leaves a ciphertext of `len` bytes has.
pub const fn leaf_count(len: u64) -> u64 {
    len.div_ceil(LEAF)
}

/// How many lines the list of such a ciphertext has: none for a single leaf.
pub const fn list_count(len: u64) -> u64 {
    if len <= LEAF { 0 } else { leaf_count(len) }
}

/// The verified leaves of one blob.
///
/// 32 bytes for each 64 KiB, so half a gigabyte for the largest blob: ask for
/// the list of a large blob only when its size is signed and wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeafList {
    blob: BlobId,
    len: u64,
    values: Vec<[u8; VALUE_BYTES]>,
}

impl LeafList {
    /// Checks a list against the id and the length that a signed header names.
    ///
    /// # Errors
    ///
    /// [`LeafError`].
    pub fn verify(
        blob: BlobId,
        len: u64,
        values: Vec<[u8; VALUE_BYTES]>,
    ) -> Result<Self, LeafError> {
        check_count(len, values.len())?;
        if !values.is_empty() && root(&values) != Some(blob) {
            return Err(LeafError::WrongRoot);
        }
        Ok(Self { blob, len, values })
    }

    /// [`verify`](Self::verify) for a list in its byte form, the values one after the other.
    ///
    /// # Errors
    ///
    /// [`LeafError`]; nothing is allocated for a list of the wrong length.
    pub fn from_bytes(blob: BlobId, len: u64, bytes: &[u8]) -> Result<Self, LeafError> {
        let (values, rest) = bytes.as_chunks::<VALUE_BYTES>();
        check_count(len, values.len() + usize::from(!rest.is_empty()))?;
        if !rest.is_empty() {
            return Err(LeafError::WrongRoot);
        }
        Self::verify(blob, len, values.to_vec())
    }

    /// The byte form; empty for a blob of one leaf.
    pub fn as_bytes(&self) -> &[u8] {
        self.values.as_flattened()
    }

    /// The blob's id.
    pub const fn blob(&self) -> BlobId {
        self.blob
    }

    /// Bytes of the blob.
    pub const fn blob_bytes(&self) -> u64 {
        self.len
    }

    /// How many leaves the blob has.
    pub const fn leaf_count(&self) -> u64 {
        leaf_count(self.len)
    }

    /// Checks the bytes of one leaf.
    ///
    /// # Errors
    ///
    /// [`LeafError::WrongLeaf`] for other bytes, for a wrong number of them, and
    /// for a leaf past the end.
    pub fn verify_leaf(&self, index: u64, bytes: &[u8]) -> Result<(), LeafError> {
        let wrong = LeafError::WrongLeaf(index);
        let line = match self.values.is_empty() {
            true => None,
            false => {
                let at = usize::try_from(index).map_err(|_| wrong)?;
                Some(self.values.get(at).ok_or(wrong)?)
            }
        };
        is_leaf(self.blob, self.len, line, index, bytes)
    }
}

fn is_leaf(
    blob: BlobId,
    len: u64,
    line: Option<&[u8; VALUE_BYTES]>,
    index: u64,
    bytes: &[u8],
) -> Result<(), LeafError> {
    let wrong = LeafError::WrongLeaf(index);
    let start = index.checked_mul(LEAF).ok_or(wrong)?;
    let expected = len.saturating_sub(start).min(LEAF);
    if expected == 0 || u64::try_from(bytes.len()) != Ok(expected) {
        return Err(wrong);
    }
    let right = match line {
        None => blake3::hash(bytes) == blob.0,
        Some(line) => *line == chaining_value(start, bytes),
    };
    if right { Ok(()) } else { Err(wrong) }
}

fn check_count(len: u64, lines: usize) -> Result<(), LeafError> {
    if len == 0 || len > BLOB_BYTES {
        return Err(LeafError::BlobLength(len));
    }
    let expected = list_count(len);
    let found = u64::try_from(lines).unwrap_or(u64::MAX);
    if found == expected {
        Ok(())
    } else {
        Err(LeafError::Count { found, expected })
    }
}

fn chaining_value(offset: u64, bytes: &[u8]) -> [u8; VALUE_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset);
    hasher.update(bytes).finalize_non_root()
}

/// The id to which a list of two or more leaves merges; shorter lists have none.
pub fn root(values: &[[u8; VALUE_BYTES]]) -> Option<BlobId> {
    if values.len() < 2 {
        return None;
    }
    let (left, right) = values.split_at(left_count(values.len()));
    let hash = hazmat::merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash);
    Some(BlobId(*hash.as_bytes()))
}

fn subtree(values: &[[u8; VALUE_BYTES]]) -> [u8; VALUE_BYTES] {
    match values {
        [only] => *only,
        _ => {
            let (left, right) = values.split_at(left_count(values.len()));
            hazmat::merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

/// The largest power of two below `count`: the left side of a BLAKE3 tree is always full.
const fn left_count(count: usize) -> usize {
    1 << (count - 1).ilog2()
}

/// Checks a list whose lines pass by, to learn one of them, in memory that does not grow with the list.
#[derive(Debug)]
pub struct LeafFinder {
    blob: BlobId,
    len: u64,
    index: u64,
    seen: u64,
    line: Option<[u8; VALUE_BYTES]>,
    /// Full subtrees that are not merged yet, the largest first.
    subtrees: Vec<[u8; VALUE_BYTES]>,
}

impl LeafFinder {
    /// Looks for the line of one leaf.
    ///
    /// # Errors
    ///
    /// [`LeafError::BlobLength`] and, for a leaf past the end, [`LeafError::WrongLeaf`].
    pub const fn new(blob: BlobId, len: u64, index: u64) -> Result<Self, LeafError> {
        if len == 0 || len > BLOB_BYTES {
            return Err(LeafError::BlobLength(len));
        }
        if index >= leaf_count(len) {
            return Err(LeafError::WrongLeaf(index));
        }
        Ok(Self {
            blob,
            len,
            index,
            seen: 0,
            line: None,
            subtrees: Vec::new(),
        })
    }

    /// Takes the next lines, whole ones, in their byte form.
    ///
    /// # Errors
    ///
    /// [`LeafError::Count`] for more than the length asks for, or a part of a line.
    pub fn take(&mut self, lines: &[u8]) -> Result<(), LeafError> {
        let (values, rest) = lines.as_chunks::<VALUE_BYTES>();
        let expected = list_count(self.len);
        let more = u64::try_from(values.len()).unwrap_or(u64::MAX);
        let found = self.seen.saturating_add(more);
        if found > expected || !rest.is_empty() {
            return Err(LeafError::Count { found, expected });
        }
        for value in values {
            self.merge_full();
            if self.seen == self.index {
                self.line = Some(*value);
            }
            self.subtrees.push(*value);
            self.seen += 1;
        }
        Ok(())
    }

    /// Merges what is full now that another line follows: so many subtrees are left as the count has ones.
    fn merge_full(&mut self) {
        let left = usize::try_from(self.seen.count_ones()).expect("at most 64");
        while self.subtrees.len() > left
            && let (Some(right), Some(left)) = (self.subtrees.pop(), self.subtrees.pop())
        {
            let merged = hazmat::merge_subtrees_non_root(&left, &right, Mode::Hash);
            self.subtrees.push(merged);
        }
    }

    /// The leaf, once all lines have passed.
    ///
    /// # Errors
    ///
    /// [`LeafError::Count`] where some are lacking, [`LeafError::WrongRoot`] where they are of another blob.
    pub fn finish(mut self) -> Result<KnownLeaf, LeafError> {
        let (found, expected) = (self.seen, list_count(self.len));
        if found != expected {
            return Err(LeafError::Count { found, expected });
        }
        while let Some(right) = self.subtrees.pop()
            && let Some(left) = self.subtrees.pop()
        {
            if self.subtrees.is_empty() {
                let root = hazmat::merge_subtrees_root(&left, &right, Mode::Hash);
                if root != self.blob.0 {
                    return Err(LeafError::WrongRoot);
                }
                break;
            }
            let merged = hazmat::merge_subtrees_non_root(&left, &right, Mode::Hash);
            self.subtrees.push(merged);
        }
        Ok(KnownLeaf {
            blob: self.blob,
            len: self.len,
            index: self.index,
            line: self.line,
        })
    }
}

/// One leaf of a blob, by which its bytes can be checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownLeaf {
    blob: BlobId,
    len: u64,
    index: u64,
    /// None for a blob of one leaf.
    line: Option<[u8; VALUE_BYTES]>,
}

impl KnownLeaf {
    /// Checks the bytes of the leaf.
    ///
    /// # Errors
    ///
    /// [`LeafError::WrongLeaf`] for other bytes, or a wrong number of them.
    pub fn verify(&self, bytes: &[u8]) -> Result<(), LeafError> {
        is_leaf(self.blob, self.len, self.line.as_ref(), self.index, bytes)
    }
}

/// Hashes a ciphertext as it streams by, into its id and its leaves at once.
///
/// Each byte is hashed once. Pieces of 64 KiB that begin on a leaf are fastest:
/// BLAKE3 hashes many chunks side by side within a piece.
pub struct LeafHasher {
    leaf: blake3::Hasher,
    in_leaf: usize,
    values: Vec<[u8; VALUE_BYTES]>,
    len: u64,
}

impl Default for LeafHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl LeafHasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self {
            leaf: blake3::Hasher::new(),
            in_leaf: 0,
            values: Vec::new(),
            len: 0,
        }
    }

    /// Takes the next bytes of the ciphertext.
    ///
    /// # Errors
    ///
    /// [`LeafError::BlobLength`] past the limit of a blob.
    pub fn update(&mut self, mut bytes: &[u8]) -> Result<(), LeafError> {
        let added = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let len = self.len.saturating_add(added);
        if len > BLOB_BYTES {
            return Err(LeafError::BlobLength(len));
        }
        while !bytes.is_empty() {
            // A full leaf is closed only when more follows, since a blob's single leaf is hashed as a root.
            if self.in_leaf == LEAF_BYTES {
                self.values.push(self.leaf.finalize_non_root());
                self.leaf = blake3::Hasher::new();
                self.leaf.set_input_offset(self.len);
                self.in_leaf = 0;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(LEAF_BYTES - self.in_leaf));
            self.leaf.update(now);
            self.in_leaf += now.len();
            self.len += u64::try_from(now.len()).expect("at most a leaf");
            bytes = rest;
        }
        Ok(())
    }

    /// The leaves of what was seen, with the id in [`LeafList::blob`].
    ///
    /// # Errors
    ///
    /// [`LeafError::BlobLength`] when nothing was seen: no ciphertext is empty.
    pub fn finish(mut self) -> Result<LeafList, LeafError> {
        let len = self.len;
        if len == 0 {
            return Err(LeafError::BlobLength(0));
        }
        if self.values.is_empty() {
            let blob = BlobId(*self.leaf.finalize().as_bytes());
            let values = self.values;
            return Ok(LeafList { blob, len, values });
        }
        self.values.push(self.leaf.finalize_non_root());
        let values = self.values;
        let blob = root(&values).expect("a second leaf was pushed above");
        Ok(LeafList { blob, len, values })
    }
}

#[cfg(test)]
mod tests {
    use rand_core::Rng;

    use super::*;
    use crate::crypto::SeededRng;

    fn bytes(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        SeededRng::from_seed([1; 32]).fill_bytes(&mut bytes);
        bytes
    }

    fn list(data: &[u8]) -> LeafList {
        let mut hasher = LeafHasher::new();
        hasher.update(data).unwrap();
        hasher.finish().unwrap()
    }

    fn chunks(data: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
        (0..).zip(data.chunks(LEAF_BYTES))
    }

    #[test]
    fn the_id_is_the_plain_blake3_at_every_size() {
        let sizes = (1..=17)
            .flat_map(|n| [n * LEAF_BYTES - 1, n * LEAF_BYTES, n * LEAF_BYTES + 1])
            .chain([1, 16, 1024, 1025, 8192]);
        for size in sizes {
            let data = bytes(size);
            let list = list(&data);
            assert_eq!(blake3::hash(&data), list.blob().0, "{size}");
            let lines = u64::try_from(list.as_bytes().len() / 32).unwrap();
            assert_eq!(lines, list_count(list.blob_bytes()));
            let again = LeafList::from_bytes(list.blob(), list.blob_bytes(), list.as_bytes());
            assert_eq!(again.as_ref(), Ok(&list));
            for (index, leaf) in chunks(&data) {
                assert_eq!(list.verify_leaf(index, leaf), Ok(()));
            }
        }
    }

    #[test]
    fn a_list_that_passes_by_is_checked_in_little_memory() {
        for leaves in 1..=40 {
            let data = bytes(leaves * LEAF_BYTES - 7);
            let list = list(&data);
            let (blob, len) = (list.blob(), list.blob_bytes());
            for (index, leaf) in chunks(&data) {
                let found = |lines: &[u8]| {
                    let mut finder = LeafFinder::new(blob, len, index)?;
                    for piece in lines.chunks(3 * VALUE_BYTES) {
                        finder.take(piece)?;
                        assert!(finder.subtrees.len() <= 7, "of 40 lines");
                    }
                    finder.finish()
                };
                let known = found(list.as_bytes()).unwrap();
                assert_eq!(known.verify(leaf), Ok(()));
                assert_eq!(known.verify(&leaf[1..]), Err(LeafError::WrongLeaf(index)));
                if let Some(last) = list.as_bytes().len().checked_sub(1) {
                    let mut wrong = list.as_bytes().to_vec();
                    wrong[last / 2] ^= 1;
                    assert_eq!(found(&wrong), Err(LeafError::WrongRoot));
                    assert!(matches!(
                        found(&wrong[..last]),
                        Err(LeafError::Count { .. })
                    ));
                }
                let more = [list.as_bytes(), &[0; VALUE_BYTES]].concat();
                assert!(matches!(found(&more), Err(LeafError::Count { .. })));
            }
            let past = u64::try_from(leaves).unwrap();
            assert!(LeafFinder::new(blob, len, past).is_err());
        }
    }

    #[test]
    fn the_pieces_of_a_stream_do_not_matter() {
        let data = bytes(5 * LEAF_BYTES + 777);
        for piece in [1000, 1023, 65_535, 65_536, 65_537, 200_000] {
            let mut hasher = LeafHasher::new();
            for part in data.chunks(piece) {
                hasher.update(part).unwrap();
            }
            assert_eq!(hasher.finish(), Ok(list(&data)), "{piece}");
        }
    }

    #[test]
    fn a_leaf_counts_only_in_its_place() {
        let data = bytes(4 * LEAF_BYTES + 5);
        let list = list(&data);
        for (at, leaf) in chunks(&data) {
            for index in 0..6 {
                assert_eq!(list.verify_leaf(index, leaf).is_ok(), index == at);
            }
        }
        for past in [5, 1 << 40, u64::MAX] {
            assert!(list.verify_leaf(past, &data[..LEAF_BYTES]).is_err());
            assert!(list.verify_leaf(past, &[]).is_err());
        }
        assert!(list.verify_leaf(4, &data[4 * LEAF_BYTES..][..4]).is_err());
    }

    #[test]
    fn any_flipped_byte_is_found_in_its_leaf() {
        let mut data = bytes(2 * LEAF_BYTES + 100);
        let list = list(&data);
        for at in (0..data.len()).step_by(997) {
            data[at] ^= 0x10;
            for (index, leaf) in chunks(&data) {
                let hit = usize::try_from(index).unwrap() == at / LEAF_BYTES;
                assert_eq!(list.verify_leaf(index, leaf).is_err(), hit);
            }
            data[at] ^= 0x10;
        }
    }

    #[test]
    fn a_wrong_list_is_refused_whole() {
        let data = bytes(5 * LEAF_BYTES);
        let list = list(&data);
        let (blob, len) = (list.blob(), list.blob_bytes());
        for at in 0..list.as_bytes().len() {
            let mut changed = list.as_bytes().to_vec();
            changed[at] ^= 1;
            assert_eq!(
                LeafList::from_bytes(blob, len, &changed),
                Err(LeafError::WrongRoot)
            );
        }
        let mut swapped = list.values.clone();
        swapped.swap(1, 2);
        assert_eq!(
            LeafList::verify(blob, len, swapped),
            Err(LeafError::WrongRoot)
        );
        for cut in 0..list.as_bytes().len() {
            assert!(LeafList::from_bytes(blob, len, &list.as_bytes()[..cut]).is_err());
        }
        let other = BlobId([0; 32]);
        assert_eq!(
            LeafList::verify(other, len, list.values.clone()),
            Err(LeafError::WrongRoot)
        );
    }

    #[test]
    fn lengths_are_checked_before_anything() {
        let blob = BlobId([0; 32]);
        for len in [0, BLOB_BYTES + 1, u64::MAX] {
            assert_eq!(
                LeafList::verify(blob, len, Vec::new()),
                Err(LeafError::BlobLength(len))
            );
        }
        assert_eq!(
            LeafList::verify(blob, BLOB_BYTES, Vec::new()),
            Err(LeafError::Count {
                found: 0,
                expected: 1 << 24
            })
        );
        assert_eq!(LeafHasher::new().finish(), Err(LeafError::BlobLength(0)));
    }
}
