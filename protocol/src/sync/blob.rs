//! The blob stream: numbered requests, pipelined, and answers that flow past a hash into the store.
//!
//! ```text
//! request:  length u32  tag u16  body        wire encoding, at most 16 KiB
//! answer:   length u32  tag u16  id u32  index u32  bytes        plain, at most 256 KiB
//! ```
//!
//! All numbers are little endian; the length counts what follows it. Requests go
//! one way and answers the other on one long stream for each direction. Answers
//! come in the order of their requests, each in as many frames as it takes. A
//! blob is named by its place in a log; what it must hash to, and how long it is,
//! stands in the signed header, so nothing about it is believed here.
//!
//! Blobs up to [`limits::SMALL_BLOB_BYTES`] come whole, many in one answer
//! ([`Many`]); larger ones leaf by leaf, from several peers ([`super::fetch`]).

use serde::{Deserialize, Serialize};

use crate::{
    album::asset::BlobRef,
    crypto::shape,
    id::LogId,
    limits,
    wire::{self, WireError},
};

/// Bytes before a request's tag.
pub const PREFIX_BYTES: usize = 4;
/// Bytes of an answer before its payload.
pub const HEAD_BYTES: usize = 14;

const TAG_BYTES: usize = 2;
const AFTER_LENGTH: usize = HEAD_BYTES - PREFIX_BYTES;
/// The index of an answer that is about the whole request.
const ALL: u32 = u32::MAX;

/// A blob, by its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct BlobPlace {
    /// The log that announces it.
    pub log: LogId,
    /// Its number there.
    pub ordinal: u32,
}

/// Asks for leaves of one blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GetRange {
    /// Numbers the requests of one stream.
    pub id: u32,
    /// The blob.
    pub blob: BlobPlace,
    /// The first leaf.
    pub first: u32,
    /// How many, at most [`limits::RANGE_LEAVES`].
    pub count: u32,
}

/// Small blobs of one log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Group {
    /// The log.
    pub log: LogId,
    /// The blobs.
    pub ordinals: Vec<u32>,
}

/// Asks for whole small blobs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GetMany {
    /// Numbers the requests of one stream.
    pub id: u32,
    /// The blobs, at most [`limits::GET_MANY_BLOBS`] and [`limits::GET_MANY_BYTES`] together.
    pub groups: Vec<Group>,
}

impl GetMany {
    /// The blobs in the order of their answers.
    pub fn places(&self) -> impl Iterator<Item = BlobPlace> + '_ {
        self.groups.iter().flat_map(|group| {
            let place = |ordinal: &u32| BlobPlace {
                log: group.log,
                ordinal: *ordinal,
            };
            group.ordinals.iter().map(place)
        })
    }
}

/// Asks for a part of the list of leaves of one blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GetLeaves {
    /// Numbers the requests of one stream.
    pub id: u32,
    /// The blob.
    pub blob: BlobPlace,
    /// The first leaf.
    pub first: u32,
    /// How many, at most [`limits::LEAF_PAGE`].
    pub count: u32,
}

/// One request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Leaves of one blob.
    Range(GetRange),
    /// Whole small blobs.
    Many(GetMany),
    /// A part of a list of leaves.
    Leaves(GetLeaves),
    /// What a later version asks; to be answered by [`Gone::Unknown`].
    Unknown {
        /// Its number: later requests begin with it, too.
        id: u32,
    },
}

/// Why bytes are not a frame of the blob stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlobFrameError {
    /// A length that no such frame has.
    #[error("a frame of {0} bytes")]
    Length(u32),
    /// The body does not decode.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// More leaves or blobs than one request may name, or none.
    #[error("request out of bounds")]
    OutOfBounds,
}

impl Request {
    /// The number of the request.
    pub const fn id(&self) -> u32 {
        match self {
            Self::Range(GetRange { id, .. })
            | Self::Many(GetMany { id, .. })
            | Self::Leaves(GetLeaves { id, .. })
            | Self::Unknown { id } => *id,
        }
    }

    /// The whole frame, its length first.
    pub fn to_frame(&self) -> Vec<u8> {
        let (tag, body): (u16, _) = match self {
            Self::Range(body) => (1, wire::encode(body)),
            Self::Many(body) => (2, wire::encode(body)),
            Self::Leaves(body) => (3, wire::encode(body)),
            Self::Unknown { id } => (u16::MAX, wire::encode(id)),
        };
        let len = u32::try_from(TAG_BYTES + body.len()).expect("a request is at most 16 KiB");
        [&len.to_le_bytes()[..], &tag.to_le_bytes(), &body].concat()
    }

    /// How many bytes follow a length prefix.
    ///
    /// # Errors
    ///
    /// [`BlobFrameError::Length`]; read no further then.
    pub fn frame_len(prefix: [u8; PREFIX_BYTES]) -> Result<usize, BlobFrameError> {
        let len = u32::from_le_bytes(prefix);
        match usize::try_from(len) {
            Ok(bytes) if (TAG_BYTES..=limits::BLOB_ASK_BYTES).contains(&bytes) => Ok(bytes),
            _ => Err(BlobFrameError::Length(len)),
        }
    }

    /// Reads what follows the length prefix.
    ///
    /// # Errors
    ///
    /// [`BlobFrameError`].
    pub fn from_frame(bytes: &[u8]) -> Result<Self, BlobFrameError> {
        let Some((tag, body)) = bytes.split_first_chunk::<TAG_BYTES>() else {
            return Err(BlobFrameError::Length(0));
        };
        let limit = limits::BLOB_ASK_BYTES;
        let within = |count: u32, most: u32| count > 0 && count <= most;
        let (request, is_bounded) = match u16::from_le_bytes(*tag) {
            1 => {
                let ask: GetRange = wire::decode(body, limit)?;
                (Self::Range(ask), within(ask.count, limits::RANGE_LEAVES))
            }
            2 => {
                let ask: GetMany = wire::decode(body, limit)?;
                let count = ask.places().count();
                let groups = ask.groups.len() <= limits::GET_MANY_BLOBS;
                (
                    Self::Many(ask),
                    groups && count > 0 && count <= limits::GET_MANY_BLOBS,
                )
            }
            3 => {
                let ask: GetLeaves = wire::decode(body, limit)?;
                (Self::Leaves(ask), within(ask.count, limits::LEAF_PAGE))
            }
            _ => {
                // The number stands first, and is at most five bytes long.
                let id = (1..=body.len().min(5)).find_map(|len| wire::decode(&body[..len], 5).ok());
                (
                    Self::Unknown {
                        id: id.ok_or(WireError::Malformed)?,
                    },
                    true,
                )
            }
        };
        if is_bounded {
            Ok(request)
        } else {
            Err(BlobFrameError::OutOfBounds)
        }
    }
}

/// Why a blob does not come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Gone {
    /// It is not here, or not for the asker: which of the two is not said.
    Absent,
    /// It is here, but could not be read.
    Damaged,
    /// Too much was asked for at once.
    TooMuch,
    /// The request is none that is known here.
    Unknown,
}

impl Gone {
    const ALL: [Self; 4] = [Self::Absent, Self::Damaged, Self::TooMuch, Self::Unknown];

    fn code(self) -> u8 {
        let at = Self::ALL.iter().position(|gone| *gone == self).unwrap_or(0);
        u8::try_from(at).unwrap_or(0)
    }

    fn from_code(code: u8) -> Self {
        Self::ALL
            .get(usize::from(code))
            .copied()
            .unwrap_or(Self::Absent)
    }
}

/// What an answer's payload is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AnswerKind {
    /// Leaves from `index` on, or bytes of the small blob number `index`.
    Data,
    /// Lines of a list of leaves from `index` on.
    Leaves,
    /// One byte: why the blob number `index`, or everything, does not come.
    Gone,
    /// A later version's; its bytes are to be read over.
    Unknown,
}

/// What stands before an answer's payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnswerHead {
    /// What follows.
    pub kind: AnswerKind,
    /// The request.
    pub id: u32,
    /// The place of the payload in the answer.
    pub index: u32,
    /// Bytes of the payload, at most [`limits::DATA_BYTES`].
    pub len: usize,
}

impl AnswerHead {
    /// The head of a payload of `len` bytes.
    ///
    /// # Panics
    ///
    /// When `len` is more than [`limits::DATA_BYTES`].
    pub fn to_bytes(&self) -> [u8; HEAD_BYTES] {
        assert!(
            self.len <= limits::DATA_BYTES,
            "a payload is at most 256 KiB"
        );
        let len = u32::try_from(AFTER_LENGTH + self.len).expect("at most 256 KiB");
        let tag: u16 = match self.kind {
            AnswerKind::Data => 1,
            AnswerKind::Leaves => 2,
            AnswerKind::Gone => 3,
            AnswerKind::Unknown => u16::MAX,
        };
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        bytes[4..6].copy_from_slice(&tag.to_le_bytes());
        bytes[6..10].copy_from_slice(&self.id.to_le_bytes());
        bytes[10..].copy_from_slice(&self.index.to_le_bytes());
        bytes
    }

    /// Reads a head; its payload follows on the stream.
    ///
    /// # Errors
    ///
    /// [`BlobFrameError::Length`]; read no further then.
    pub fn parse(bytes: [u8; HEAD_BYTES]) -> Result<Self, BlobFrameError> {
        let [l0, l1, l2, l3, t0, t1, i0, i1, i2, i3, x0, x1, x2, x3] = bytes;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let len = usize::try_from(length)
            .ok()
            .and_then(|len| len.checked_sub(AFTER_LENGTH))
            .filter(|len| *len <= limits::DATA_BYTES)
            .ok_or(BlobFrameError::Length(length))?;
        let kind = match u16::from_le_bytes([t0, t1]) {
            1 => AnswerKind::Data,
            2 => AnswerKind::Leaves,
            3 => AnswerKind::Gone,
            _ => AnswerKind::Unknown,
        };
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let index = u32::from_le_bytes([x0, x1, x2, x3]);
        Ok(Self {
            kind,
            id,
            index,
            len,
        })
    }

    /// The whole frame that says that a request, or one blob of it, gets no more answer.
    pub fn gone(id: u32, index: Option<u32>, why: Gone) -> Vec<u8> {
        let index = index.unwrap_or(ALL);
        let head = Self {
            kind: AnswerKind::Gone,
            id,
            index,
            len: 1,
        };
        [&head.to_bytes()[..], &[why.code()]].concat()
    }

    /// What a payload of [`AnswerKind::Gone`] means: of which blob, `None` for all, and why.
    pub fn read_gone(&self, payload: &[u8]) -> (Option<u32>, Gone) {
        let code = payload.first().copied().unwrap_or(0);
        (
            (self.index != ALL).then_some(self.index),
            Gone::from_code(code),
        )
    }
}

/// How many bytes of ciphertext a blob has.
pub const fn blob_bytes(blob: &BlobRef) -> u64 {
    shape::ciphertext_len(blob.padded)
}

/// Whether a blob comes whole, by [`GetMany`].
pub fn is_small(blob: &BlobRef) -> bool {
    blob_bytes(blob) <= limits::SMALL_BLOB_BYTES
}

/// What one request for small blobs may bring, counted alike by who asks and by who answers.
#[derive(Default, Debug)]
pub struct ManyBounds {
    blobs: usize,
    bytes: u64,
}

impl ManyBounds {
    /// Whether another blob fits, which then counts.
    pub fn takes(&mut self, blob: &BlobRef) -> bool {
        let bytes = self.bytes.saturating_add(blob_bytes(blob));
        let fits = is_small(blob)
            && self.blobs < limits::GET_MANY_BLOBS
            && bytes <= limits::GET_MANY_BYTES;
        if fits {
            self.blobs += 1;
            self.bytes = bytes;
        }
        fits
    }
}

/// The peer sent what no honest peer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("answer is not what was asked for")]
pub struct Misbehaved;

/// One request for small blobs, until its last answer. At most one blob is held in memory.
#[derive(Debug)]
pub struct Many {
    blobs: Vec<BlobRef>,
    next: usize,
    bytes: Vec<u8>,
}

impl Many {
    /// A request for blobs of one peer; larger ones, and what goes beyond the limits of one request, are handed back.
    pub fn new(blobs: Vec<BlobRef>) -> (Self, Vec<BlobRef>) {
        let mut bounds = ManyBounds::default();
        let (taken, rest) = blobs.into_iter().partition(|blob| bounds.takes(blob));
        (
            Self {
                blobs: taken,
                next: 0,
                bytes: Vec::new(),
            },
            rest,
        )
    }

    /// The request.
    pub fn request(&self, id: u32) -> Request {
        let mut groups: Vec<Group> = Vec::new();
        for blob in &self.blobs {
            match groups.last_mut() {
                Some(group) if group.log == blob.log => group.ordinals.push(blob.ordinal),
                _ => groups.push(Group {
                    log: blob.log,
                    ordinals: vec![blob.ordinal],
                }),
            }
        }
        Request::Many(GetMany { id, groups })
    }

    /// The blobs that have not come.
    pub fn left(&self) -> &[BlobRef] {
        &self.blobs[self.next..]
    }

    /// Whether the last answer is in.
    pub fn is_done(&self) -> bool {
        self.next == self.blobs.len()
    }

    /// Takes a payload of [`AnswerKind::Data`]; a blob that is complete comes out verified.
    ///
    /// # Errors
    ///
    /// [`Misbehaved`] for bytes of another blob, too many of them, a frame that is not full and does not
    /// end the blob, or bytes that do not hash to the blob's name.
    pub fn data(
        &mut self,
        index: u32,
        bytes: &[u8],
    ) -> Result<Option<(BlobRef, Vec<u8>)>, Misbehaved> {
        let blob = self.at(index)?;
        let wanted = usize::try_from(blob_bytes(&blob)).map_err(|_| Misbehaved)?;
        if bytes.is_empty() || bytes.len() > wanted - self.bytes.len() {
            return Err(Misbehaved);
        }
        if self.bytes.is_empty() {
            self.bytes.reserve_exact(wanted);
        }
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() < wanted {
            // The end of a shorter blob: nothing follows that one could wait for.
            let is_full = bytes.len() == limits::DATA_BYTES;
            return is_full.then_some(None).ok_or(Misbehaved);
        }
        let whole = std::mem::take(&mut self.bytes);
        if *blake3::hash(&whole).as_bytes() != blob.id.0 {
            return Err(Misbehaved);
        }
        self.next += 1;
        Ok(Some((blob, whole)))
    }

    /// Takes a [`AnswerKind::Gone`]: the blobs that this peer does not give.
    ///
    /// # Errors
    ///
    /// [`Misbehaved`] out of order.
    pub fn gone(&mut self, index: Option<u32>) -> Result<Vec<BlobRef>, Misbehaved> {
        self.bytes = Vec::new();
        match index {
            None => {
                let gone = self.left().to_vec();
                self.next = self.blobs.len();
                Ok(gone)
            }
            Some(index) => {
                let blob = self.at(index)?;
                self.next += 1;
                Ok(vec![blob])
            }
        }
    }

    fn at(&self, index: u32) -> Result<BlobRef, Misbehaved> {
        let here = u32::try_from(self.next).is_ok_and(|next| next == index);
        let blob = self.blobs.get(self.next).filter(|_| here);
        blob.copied().ok_or(Misbehaved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BlobId, BranchId, DeviceId, SpaceId};

    fn log(n: u8) -> LogId {
        LogId {
            space: SpaceId([n; 16]),
            device: DeviceId([9; 32]),
            inc: 1,
            branch: BranchId::ZERO,
        }
    }

    fn blob(ordinal: u32, padded: usize) -> (BlobRef, Vec<u8>) {
        let padded = u64::try_from(padded).unwrap();
        let len = usize::try_from(shape::ciphertext_len(padded)).unwrap();
        let bytes = vec![u8::try_from(ordinal % 251).unwrap(); len];
        let id = BlobId(*blake3::hash(&bytes).as_bytes());
        (
            BlobRef {
                log: log(1),
                ordinal,
                id,
                padded,
                part: 0,
                class: 2,
            },
            bytes,
        )
    }

    fn read(frame: &[u8]) -> Result<Request, BlobFrameError> {
        let (prefix, body) = frame.split_first_chunk::<PREFIX_BYTES>().unwrap();
        assert_eq!(Request::frame_len(*prefix), Ok(body.len()));
        Request::from_frame(body)
    }

    #[test]
    fn requests_round_trip_and_are_bounded() {
        let place = BlobPlace {
            log: log(1),
            ordinal: 7,
        };
        let range = |count| {
            Request::Range(GetRange {
                id: 3,
                blob: place,
                first: 16,
                count,
            })
        };
        let leaves = |count| {
            Request::Leaves(GetLeaves {
                id: 70_000,
                blob: place,
                first: 0,
                count,
            })
        };
        let many = |count: u32| {
            let groups = vec![Group {
                log: log(1),
                ordinals: (0..count).collect(),
            }];
            Request::Many(GetMany { id: 5, groups })
        };
        for request in [range(1), range(16), leaves(8192), many(64), many(1)] {
            assert_eq!(read(&request.to_frame()), Ok(request));
        }
        for request in [
            range(0),
            range(17),
            leaves(0),
            leaves(8193),
            many(0),
            many(65),
        ] {
            assert_eq!(read(&request.to_frame()), Err(BlobFrameError::OutOfBounds));
        }
        let spread = (0..64)
            .map(|n| Group {
                log: log(n),
                ordinals: vec![u32::MAX],
            })
            .collect();
        assert!(
            read(
                &Request::Many(GetMany {
                    id: 1,
                    groups: spread
                })
                .to_frame()
            )
            .is_ok()
        );
        assert_eq!(
            read(&Request::Unknown { id: 900 }.to_frame()),
            Ok(Request::Unknown { id: 900 })
        );
        let too_long = u32::try_from(limits::BLOB_ASK_BYTES + 1).unwrap();
        for len in [0, 1, too_long, u32::MAX] {
            assert_eq!(
                Request::frame_len(len.to_le_bytes()),
                Err(BlobFrameError::Length(len))
            );
        }
    }

    #[test]
    fn answers_round_trip_and_are_bounded() {
        for kind in [
            AnswerKind::Data,
            AnswerKind::Leaves,
            AnswerKind::Gone,
            AnswerKind::Unknown,
        ] {
            let head = AnswerHead {
                kind,
                id: 7,
                index: 9,
                len: limits::DATA_BYTES,
            };
            assert_eq!(AnswerHead::parse(head.to_bytes()), Ok(head));
        }
        let mut bytes = [0; HEAD_BYTES];
        for len in [0, 9, 11 + 256 * 1024, u32::MAX] {
            bytes[..4].copy_from_slice(&len.to_le_bytes());
            assert_eq!(AnswerHead::parse(bytes), Err(BlobFrameError::Length(len)));
        }
        for (index, why) in [(None, Gone::Absent), (Some(3), Gone::TooMuch)] {
            let frame = AnswerHead::gone(1, index, why);
            let (head, payload) = frame.split_first_chunk::<HEAD_BYTES>().unwrap();
            let head = AnswerHead::parse(*head).unwrap();
            assert_eq!(head.len, payload.len());
            assert_eq!(head.read_gone(payload), (index, why));
        }
    }

    #[test]
    fn small_blobs_come_in_one_answer_and_are_verified() {
        let blobs: Vec<_> = [100, 8176, 300_000, 65_520].into_iter().zip(0..).collect();
        let blobs: Vec<_> = blobs.into_iter().map(|(len, at)| blob(at, len)).collect();
        let (mut many, rest) = Many::new(blobs.iter().map(|(blob, _)| *blob).collect());
        assert!(rest.is_empty());
        let mut got = Vec::new();
        for (index, (_, bytes)) in (0..).zip(&blobs) {
            if index == 1 {
                assert_eq!(many.gone(Some(1)), Ok(vec![blobs[1].0]));
                continue;
            }
            for piece in bytes.chunks(limits::DATA_BYTES) {
                got.extend(many.data(index, piece).unwrap());
            }
        }
        assert!(many.is_done());
        assert_eq!(got, [blobs[0].clone(), blobs[2].clone(), blobs[3].clone()]);
    }

    #[test]
    fn a_wrong_small_blob_is_blamed_on_its_sender() {
        let (first, good) = blob(0, 5000);
        let (second, other) = blob(1, 5000);
        let start = || Many::new(vec![first, second]).0;
        let mut flipped = good.clone();
        flipped[4999] ^= 1;
        for bytes in [&flipped, &other, &vec![0; good.len() + 1], &vec![]] {
            assert_eq!(start().data(0, bytes), Err(Misbehaved));
        }
        assert_eq!(start().data(1, &other), Err(Misbehaved));
        assert_eq!(start().gone(Some(1)), Err(Misbehaved));
        let mut many = start();
        assert_eq!(many.gone(None), Ok(vec![first, second]));
        assert_eq!(many.data(0, &good), Err(Misbehaved));
    }

    #[test]
    fn another_blob_that_is_shorter_is_found_out_with_its_last_frame() {
        for (wanted, other) in [(5000, 100), (700_000, 5000), (700_000, 300_000)] {
            let [(wanted, _), (_, other)] = [blob(0, wanted), blob(1, other)];
            let mut many = Many::new(vec![wanted]).0;
            let pieces = other.chunks(limits::DATA_BYTES);
            let answers: Vec<_> = pieces.map(|piece| many.data(0, piece)).collect();
            assert_eq!(answers.last(), Some(&Err(Misbehaved)));
        }
    }

    #[test]
    fn what_fits_a_request_is_counted_by_blobs_and_by_bytes() {
        let fitting = |blob: BlobRef| {
            let mut bounds = ManyBounds::default();
            (0..1000).take_while(|_| bounds.takes(&blob)).count()
        };
        assert_eq!(fitting(blob(0, 10).0), limits::GET_MANY_BLOBS);
        let preview = blob(0, 500_000).0;
        let bytes = usize::try_from(blob_bytes(&preview)).unwrap();
        let most = usize::try_from(limits::GET_MANY_BYTES).unwrap();
        assert_eq!(fitting(preview), most / bytes);
        assert_eq!(fitting(blob(0, 2_000_000).0), 0);
        // What does not fit takes no room from what does.
        let mut bounds = ManyBounds::default();
        while bounds.takes(&preview) {}
        assert!(bounds.takes(&blob(0, 10).0));
    }

    #[test]
    fn a_request_takes_only_what_fits_it() {
        let many: Vec<_> = (0..100).map(|at| blob(at, 10).0).collect();
        let (taken, rest) = Many::new(many);
        assert_eq!(
            (taken.left().len(), rest.len()),
            (limits::GET_MANY_BLOBS, 36)
        );
        let large = blob(0, 2_000_000).0;
        let previews: Vec<_> = (1..20).map(|at| blob(at, 500_000).0).collect();
        let (taken, rest) = Many::new([vec![large], previews].concat());
        assert_eq!((taken.left().len(), rest.len()), (8, 12));
        assert!(!is_small(&large));
    }
}
