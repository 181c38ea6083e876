//! Every frame of the sync stream, in the order in which a session first uses them.
//!
//! ```text
//! frame:  length u32 (little endian, of all that follows)  tag u16 (little endian)  body
//! body:   wire encoding of the message's struct
//! ```
//!
//! A tag of a later version is read over ([`Message::Unknown`]). Structs never
//! grow: what is new gets a new tag. Every count below is limited before the
//! session sees it.

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::{Digest, have};
use crate::{
    crypto::sign::SignedBytes,
    id::{BranchId, DeviceId, EpochId, SpaceId},
    limits,
    log::entry::EntryBytes,
    op::{BlobRange, SealedTo},
    wire::{self, WireError},
};

/// The version of the sync stream that this code speaks.
pub const VERSION: u16 = 1;
/// Bytes before a frame's tag.
pub const PREFIX_BYTES: usize = 4;

const TAG_BYTES: usize = 2;

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length that no frame has.
    #[error("a frame of {0} bytes")]
    Length(u32),
    /// The body does not decode.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// More of something than the protocol allows.
    #[error("frame with tag {0} holds too much")]
    TooMuch(u16),
}

/// What a device is to the family; a hint, the roster decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum PeerRole {
    /// May drop what others keep.
    Cache,
    /// Keeps everything it is entitled to.
    Archive,
    /// Keeps ciphertext.
    Keeper,
    /// A recovery kit.
    Kit,
}

/// The first frame of each side.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u16,
    /// Bits of what the sender can do besides.
    pub features: u64,
    /// What the sender is.
    pub role: PeerRole,
    /// The sender's incarnation in the control space.
    pub incarnation: u64,
    /// Bytes of entries that the sender takes before it grants more.
    pub credit: u32,
    /// Digest of all spaces that the receiver may replicate; equal on both sides when nothing differs.
    pub cookie: Option<Digest>,
    /// Digest of all blobs held, as far as the receiver may know.
    pub have: Digest,
    /// The [`Self::have`] of the receiver that the sender remembers.
    pub have_known: Option<Digest>,
}

/// What the sender holds durably: of all spaces at first, of changed ones later.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Spaces {
    /// A space that the receiver may replicate, and the digest of its heads.
    pub rows: Vec<(SpaceId, Digest)>,
    /// More of the first list follows.
    pub more: bool,
}

/// Adds to the sender's dictionary of devices.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Devices {
    /// The index of the first one.
    pub first: u16,
    /// The devices.
    pub devices: Vec<DeviceId>,
}

/// A log, by the sender's dictionary.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct LogRef {
    /// The writer.
    pub device: u16,
    /// Its incarnation.
    pub inc: u64,
    /// The branch.
    pub branch: BranchId,
}

/// One position that the sender holds, with everything before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeadRow {
    /// The log.
    pub log: LogRef,
    /// The position; the largest number stands for "nothing of this log, please".
    pub seq: u32,
    /// The first bytes of the id of the entry there.
    pub hash: [u8; 8],
}

/// Asks for all entries of a space beyond those positions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Heads {
    /// Numbers the asks of one side from 0.
    pub ask: u32,
    /// The space.
    pub space: SpaceId,
    /// What is held.
    pub rows: Vec<HeadRow>,
    /// More rows of this ask follow.
    pub more: bool,
}

/// Entries that were asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entries {
    /// Which ask they answer.
    pub ask: u32,
    /// Numbers the parts of one answer from 0.
    pub part: u32,
    /// The entries, oldest first inside a log and each control entry after what it depends on.
    pub entries: Vec<EntryBytes>,
}

/// Ends the answer to an ask.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sent {
    /// Which ask.
    pub ask: u32,
    /// The digest of the sender's heads when it took up the ask.
    pub digest: Digest,
    /// Logs in which the position asked from is another entry here; to be asked with more positions.
    pub forks: Vec<LogRef>,
}

/// Declines an ask, in the same words whether the space is unknown or not for the asker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Which ask.
    pub ask: u32,
}

/// Allows the receiver to send more entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Credit {
    /// Bytes allowed since the session began, [`Hello::credit`] included.
    pub total: u64,
}

/// A new entry that nobody asked for, of at most [`limits::ANNOUNCE_INLINE_BYTES`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Announce {
    /// The entry.
    pub entry: EntryBytes,
}

/// The sender has nothing left to get, to commit, or to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Settled {
    /// How many frames about entries it had received by then.
    pub seen: u64,
}

/// A signed statement to pass on: a head, a beacon, the proof of a fork.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gossip {
    /// What it is; codes in docs/spec.
    pub kind: u8,
    /// The space whose replicas alone may have it.
    pub space: Option<SpaceId>,
    /// The statement.
    pub raw: SignedBytes,
}

/// Asks for an epoch's key, sealed to the sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeyPull {
    /// The space.
    pub space: SpaceId,
    /// The epoch.
    pub epoch: EpochId,
}

/// An epoch's key, sealed to the receiver.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Key {
    /// The space.
    pub space: SpaceId,
    /// The epoch.
    pub epoch: EpochId,
    /// The key, and the certificate it was sealed by.
    pub seal: SealedTo,
}

/// Asks an archive for a promise to keep blobs; the answer is a `Hold` in its log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HoldRequest {
    /// The space.
    pub space: SpaceId,
    /// Which blobs.
    pub ranges: Vec<BlobRange>,
    /// Until when, Unix milliseconds.
    pub until: u64,
}

/// What blobs the sender holds, in short.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HaveDigests {
    /// A space and [`have::digest`] of what is held of it.
    pub rows: Vec<(SpaceId, Digest)>,
    /// More rows follow.
    pub more: bool,
}

/// Asks for all bitmaps of some spaces.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HavePull {
    /// The spaces.
    pub spaces: Vec<SpaceId>,
}

/// What a list of bitmaps does to what was known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum HaveMode {
    /// Replaces all that was known of the space.
    Full,
    /// These are held as well.
    Added,
    /// These are held no longer.
    Removed,
}

/// The blob ordinals of one log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HaveRow {
    /// The log.
    pub log: LogRef,
    /// [`have::encode`] of the ordinals.
    #[serde(with = "serde_bytes")]
    pub bits: Vec<u8>,
}

/// Which blobs of a space the sender holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Have {
    /// The space.
    pub space: SpaceId,
    /// What the rows do.
    pub mode: HaveMode,
    /// One row a log.
    pub rows: Vec<HaveRow>,
}

/// Whether the sender's disk has room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Room {
    /// It takes no more blobs; what it does not hold, it will not get.
    pub full: bool,
}

/// Ends the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Close {
    /// [`super::session::CloseReason::code`].
    pub code: u8,
}

/// How one kind of message is kept in bounds.
trait Bounded {
    fn is_bounded(&self) -> bool {
        true
    }
}

impl Bounded for Hello {}
impl Bounded for Sent {
    fn is_bounded(&self) -> bool {
        self.forks.len() <= limits::SYNC_FORKS
    }
}
impl Bounded for Spaces {
    fn is_bounded(&self) -> bool {
        self.rows.len() <= limits::SYNC_PAGE_ROWS
    }
}
impl Bounded for Devices {
    fn is_bounded(&self) -> bool {
        self.devices.len() <= limits::SYNC_DEVICES
    }
}
impl Bounded for Heads {
    fn is_bounded(&self) -> bool {
        self.rows.len() <= limits::SYNC_PAGE_ROWS
    }
}
impl Bounded for Entries {
    fn is_bounded(&self) -> bool {
        self.entries
            .iter()
            .all(|entry| entry.size() <= limits::ENTRY_BYTES)
    }
}
impl Bounded for Refused {}
impl Bounded for Credit {}
impl Bounded for Announce {
    fn is_bounded(&self) -> bool {
        self.entry.size() <= limits::ANNOUNCE_INLINE_BYTES
    }
}
impl Bounded for Settled {}
impl Bounded for Gossip {
    fn is_bounded(&self) -> bool {
        self.raw.bytes.len() <= limits::GOSSIP_BYTES
    }
}
impl Bounded for KeyPull {}
impl Bounded for Key {}
impl Bounded for HoldRequest {
    fn is_bounded(&self) -> bool {
        self.ranges.len() <= limits::HOLD_RANGES
    }
}
impl Bounded for HaveDigests {
    fn is_bounded(&self) -> bool {
        self.rows.len() <= limits::SYNC_PAGE_ROWS
    }
}
impl Bounded for HavePull {
    fn is_bounded(&self) -> bool {
        self.spaces.len() <= limits::SYNC_PAGE_ROWS
    }
}
impl Bounded for Have {
    fn is_bounded(&self) -> bool {
        self.rows.len() <= limits::SYNC_PAGE_ROWS
    }
}
impl Bounded for Room {}
impl Bounded for Close {}

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident = $tag:literal,)*) => {
        /// One frame.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Message {
            $($(#[$doc])* $name($name),)*
            /// What a later version says, by its tag; its body is not kept.
            Unknown(u16),
        }

        impl Message {
            /// The number that names the message on the wire.
            pub const fn tag(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $tag,)*
                    Self::Unknown(tag) => *tag,
                }
            }

            fn body(&self) -> Vec<u8> {
                match self {
                    $(Self::$name(body) => wire::encode(body),)*
                    Self::Unknown(_) => Vec::new(),
                }
            }

            fn decode(tag: u16, body: &[u8]) -> Result<Self, FrameError> {
                let limit = limits::FRAME_BYTES - TAG_BYTES;
                match tag {
                    $($tag => {
                        let body: $name = wire::decode(body, limit)?;
                        if body.is_bounded() {
                            Ok(Self::$name(body))
                        } else {
                            Err(FrameError::TooMuch(tag))
                        }
                    })*
                    _ => Ok(Self::Unknown(tag)),
                }
            }
        }
    };
}

messages! {
    /// Opens the session.
    Hello = 1,
    /// What is held durably.
    Spaces = 2,
    /// Adds to the dictionary.
    Devices = 3,
    /// Asks for entries.
    Heads = 4,
    /// Answers an ask.
    Entries = 5,
    /// Ends an answer.
    Sent = 6,
    /// Declines an ask.
    Refused = 7,
    /// Allows more entries.
    Credit = 8,
    /// Brings a new entry.
    Announce = 9,
    /// Nothing is left.
    Settled = 10,
    /// Passes a signed statement on.
    Gossip = 11,
    /// Asks for a key.
    KeyPull = 12,
    /// Brings a key.
    Key = 13,
    /// Asks for a promise to keep blobs.
    HoldRequest = 14,
    /// What blobs are held, in short.
    HaveDigests = 15,
    /// Asks for bitmaps.
    HavePull = 16,
    /// Which blobs are held.
    Have = 17,
    /// Whether there is room.
    Room = 18,
    /// Ends the session.
    Close = 19,
}

impl Message {
    /// The whole frame, its length first.
    ///
    /// # Panics
    ///
    /// Never for what a session made: it keeps every message within a frame.
    pub fn to_frame(&self) -> Vec<u8> {
        let body = self.body();
        let len = TAG_BYTES + body.len();
        assert!(
            len <= limits::FRAME_BYTES,
            "a session keeps its messages within a frame"
        );
        let len = u32::try_from(len).expect("a frame is at most 1 MiB");
        let mut frame = Vec::with_capacity(PREFIX_BYTES + TAG_BYTES + body.len());
        frame.extend_from_slice(&len.to_le_bytes());
        frame.extend_from_slice(&self.tag().to_le_bytes());
        frame.extend_from_slice(&body);
        frame
    }

    /// How many bytes follow a length prefix.
    ///
    /// # Errors
    ///
    /// [`FrameError::Length`] when it is none that a frame has; read no further then.
    pub fn frame_len(prefix: [u8; PREFIX_BYTES]) -> Result<usize, FrameError> {
        let len = u32::from_le_bytes(prefix);
        match usize::try_from(len) {
            Ok(bytes) if (TAG_BYTES..=limits::FRAME_BYTES).contains(&bytes) => Ok(bytes),
            _ => Err(FrameError::Length(len)),
        }
    }

    /// Reads what follows the length prefix.
    ///
    /// # Errors
    ///
    /// [`FrameError`]; at most a small multiple of the frame's own size is allocated.
    pub fn from_frame(bytes: &[u8]) -> Result<Self, FrameError> {
        let Some((tag, body)) = bytes.split_first_chunk::<TAG_BYTES>() else {
            return Err(FrameError::Length(
                u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            ));
        };
        Self::decode(u16::from_le_bytes(*tag), body)
    }
}

impl Message {
    /// How many entries the message carries.
    pub fn entry_count(&self) -> u64 {
        match self {
            Self::Entries(entries) => u64::try_from(entries.entries.len()).unwrap_or(u64::MAX),
            Self::Announce(_) => 1,
            _ => 0,
        }
    }
}

impl HaveRow {
    /// The row of a log.
    pub fn new(log: LogRef, bits: &RoaringBitmap) -> Self {
        Self {
            log,
            bits: have::encode(bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            version: VERSION,
            features: 0,
            role: PeerRole::Archive,
            incarnation: u64::MAX,
            credit: 4 << 20,
            cookie: Some([1; 16]),
            have: [2; 16],
            have_known: Some([3; 16]),
        }
    }

    fn read(frame: &[u8]) -> Result<Message, FrameError> {
        let prefix = frame[..PREFIX_BYTES].try_into().unwrap();
        assert_eq!(
            Message::frame_len(prefix).unwrap(),
            frame.len() - PREFIX_BYTES
        );
        Message::from_frame(&frame[PREFIX_BYTES..])
    }

    fn entry(size: usize) -> EntryBytes {
        EntryBytes {
            header: vec![7; size - 64],
            signature: crate::crypto::sign::Signature([1; 64]),
            body: Vec::new(),
        }
    }

    #[test]
    fn frames_round_trip() {
        let log = LogRef {
            device: 3,
            inc: 9,
            branch: BranchId([4; 8]),
        };
        let bits = RoaringBitmap::from_iter([1, 5, 6, 7]);
        for message in [
            Message::Hello(hello()),
            Message::Spaces(Spaces {
                rows: vec![(SpaceId([1; 16]), [2; 16])],
                more: false,
            }),
            Message::Devices(Devices {
                first: 0,
                devices: vec![DeviceId([5; 32])],
            }),
            Message::Heads(Heads {
                ask: 0,
                space: SpaceId([1; 16]),
                rows: vec![HeadRow {
                    log,
                    seq: 70_000,
                    hash: [8; 8],
                }],
                more: true,
            }),
            Message::Entries(Entries {
                ask: 1,
                part: 2,
                entries: vec![entry(300)],
            }),
            Message::Sent(Sent {
                ask: 1,
                digest: [1; 16],
                forks: vec![log],
            }),
            Message::Announce(Announce { entry: entry(100) }),
            Message::Have(Have {
                space: SpaceId([1; 16]),
                mode: HaveMode::Added,
                rows: vec![HaveRow::new(log, &bits)],
            }),
            Message::Close(Close { code: 3 }),
        ] {
            assert_eq!(read(&message.to_frame()), Ok(message));
        }
    }

    #[test]
    fn a_later_versions_frame_is_read_over() {
        let frame = [9, 0, 0, 0, 0x39, 0x05, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(read(&frame), Ok(Message::Unknown(0x0539)));
    }

    #[test]
    fn impossible_lengths_are_refused_before_anything_is_read() {
        let longest = u32::try_from(limits::FRAME_BYTES).unwrap();
        for len in [0, 1, longest + 1, u32::MAX] {
            assert_eq!(
                Message::frame_len(len.to_le_bytes()),
                Err(FrameError::Length(len))
            );
        }
        assert!(Message::frame_len(longest.to_le_bytes()).is_ok());
        assert_eq!(Message::from_frame(&[1]), Err(FrameError::Length(1)));
    }

    #[test]
    fn too_much_in_a_frame_is_refused() {
        let announce = Message::Announce(Announce {
            entry: entry(limits::ANNOUNCE_INLINE_BYTES + 1),
        });
        assert_eq!(read(&announce.to_frame()), Err(FrameError::TooMuch(9)));
        let rows = vec![(SpaceId([1; 16]), [2; 16]); limits::SYNC_PAGE_ROWS + 1];
        let spaces = Message::Spaces(Spaces { rows, more: false });
        assert_eq!(read(&spaces.to_frame()), Err(FrameError::TooMuch(2)));
        let entries = Entries {
            ask: 0,
            part: 0,
            entries: vec![entry(limits::ENTRY_BYTES + 1)],
        };
        assert_eq!(
            read(&Message::Entries(entries).to_frame()),
            Err(FrameError::TooMuch(5))
        );
    }

    #[test]
    fn the_largest_frames_of_a_session_fit() {
        let rows = vec![(SpaceId([255; 16]), [255; 16]); limits::SYNC_PAGE_ROWS];
        assert!(read(&Message::Spaces(Spaces { rows, more: true }).to_frame()).is_ok());
        let log = LogRef {
            device: u16::MAX,
            inc: u64::MAX,
            branch: BranchId([255; 8]),
        };
        let row = HeadRow {
            log,
            seq: u32::MAX,
            hash: [255; 8],
        };
        let heads = Heads {
            ask: u32::MAX,
            space: SpaceId([255; 16]),
            rows: vec![row; limits::SYNC_PAGE_ROWS],
            more: true,
        };
        assert!(read(&Message::Heads(heads).to_frame()).is_ok());
        let devices = vec![DeviceId([255; 32]); limits::SYNC_DEVICES];
        assert!(read(&Message::Devices(Devices { first: 0, devices }).to_frame()).is_ok());
    }

    #[test]
    fn every_cut_or_lengthened_hello_is_refused() {
        let frame = Message::Hello(hello()).to_frame();
        let body = &frame[PREFIX_BYTES..];
        for end in 0..body.len() {
            assert!(Message::from_frame(&body[..end]).is_err());
        }
        assert!(Message::from_frame(&[body, &[0]].concat()).is_err());
    }
}
