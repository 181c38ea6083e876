//! What goes into a session, what comes out, and why it ends.

use roaring::RoaringBitmap;

use crate::{
    id::{EntryId, EpochId, LogId, SpaceId},
    log::entry::EntryBytes,
    op::{BlobRange, SealedTo},
    sync::message::{Gossip, HaveMode, Message, PeerRole},
};

/// What the replica made of one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is new here and durable.
    Accepted(EntryId),
    /// It was here before.
    Known,
    /// Something that it follows or depends on is not here; it was not kept.
    Waiting,
    /// Nothing of this log is wanted here for now: past a quota, or not let in. Nobody is to blame.
    Refused(LogId),
    /// It fails what every device checks before it stores: no honest peer sends it.
    Forged,
}

/// An entry that this device now holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct News {
    /// The log.
    pub log: LogId,
    /// Its place there.
    pub seq: u32,
    /// Its id.
    pub id: EntryId,
}

/// Something that happened to the session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A frame arrived.
    Message(Message),
    /// Bytes arrived that are no frame.
    Malformed,
    /// A statement that the peer passed on was not signed by its signer.
    Forged,
    /// A [`Output::Commit`] is done; one verdict for each of its entries, in order.
    Committed {
        /// Which.
        batch: u64,
        /// What became of the entries.
        verdicts: Vec<Verdict>,
    },
    /// Entries are durable that came neither from this peer nor through this session.
    LocalNews(Vec<News>),
    /// Blobs of a log came or went.
    HaveChanged {
        /// The log.
        log: LogId,
        /// Ordinals held from now on.
        added: RoaringBitmap,
        /// Ordinals held no longer.
        removed: RoaringBitmap,
    },
    /// A log of a space forked, so that blobs in it have other names now.
    Renamed(SpaceId),
    /// Asks the peer for a key.
    AskKey {
        /// The space.
        space: SpaceId,
        /// The epoch.
        epoch: EpochId,
    },
    /// Answers [`Output::KeyAsked`].
    KeyFor {
        /// The space.
        space: SpaceId,
        /// The epoch.
        epoch: EpochId,
        /// The key, sealed to the peer.
        seal: SealedTo,
    },
    /// Asks the peer to promise to keep blobs.
    AskHold {
        /// The space.
        space: SpaceId,
        /// Which blobs, at most [`crate::limits::HOLD_RANGES`].
        ranges: Vec<BlobRange>,
        /// Until when, Unix milliseconds.
        until: u64,
    },
    /// Passes a signed statement on; one of a space only to a peer that may replicate it.
    Gossip(Gossip),
    /// Whether this device's disk is full.
    Room {
        /// It takes no more blobs.
        full: bool,
    },
    /// The deadline has come, or who may read what has changed.
    Tick,
}

/// Something that is now to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Write a frame.
    Send(Message),
    /// Verify the entries and make them durable, then say [`Input::Committed`]. In order of batches.
    Commit {
        /// Names the batch.
        batch: u64,
        /// The space that each of the entries names in its header.
        space: SpaceId,
        /// The entries, at most [`crate::limits::FRAME_BYTES`] together.
        entries: Vec<EntryBytes>,
    },
    /// The peer said what it is.
    PeerHello {
        /// Its role, as it says.
        role: PeerRole,
        /// Its incarnation in the control space.
        incarnation: u64,
        /// What it can do besides.
        features: u64,
    },
    /// The peer holds blobs. Remember it, and by [`crate::sync::have::digest`] what was remembered.
    PeerHas {
        /// The space.
        space: SpaceId,
        /// What the rows do to what was known.
        mode: HaveMode,
        /// The logs and the ordinals. A log need not be known here yet.
        rows: Vec<(LogId, RoaringBitmap)>,
    },
    /// The peer's disk is full, or no longer so.
    PeerRoom {
        /// It takes no more blobs.
        full: bool,
    },
    /// The peer lacks a key. Answer by [`Input::KeyFor`], and only if the peer is entitled to it.
    KeyAsked {
        /// The space; the peer may replicate it.
        space: SpaceId,
        /// The epoch.
        epoch: EpochId,
    },
    /// The peer gave a key; its id is to be checked on opening.
    KeyGiven {
        /// The space.
        space: SpaceId,
        /// The epoch.
        epoch: EpochId,
        /// The key, sealed to this device.
        seal: SealedTo,
    },
    /// The peer asks for a promise to keep blobs.
    HoldAsked {
        /// The space; the peer may replicate it.
        space: SpaceId,
        /// Which blobs.
        ranges: Vec<BlobRange>,
        /// Until when, Unix milliseconds.
        until: u64,
    },
    /// The peer passed a signed statement on; it is not verified.
    Gossip(Gossip),
    /// Neither side has anything left to get from the other. Comes again after each unrest.
    Settled,
    /// The session is over; write what is left, then close the stream.
    Close(CloseReason),
}

/// Why a session ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CloseReason {
    /// The peer speaks another version.
    Version,
    /// The peer sent what is no frame, or a frame that cannot mean anything.
    Malformed,
    /// The peer sent a frame that has no place here.
    Order,
    /// The peer sent more of something than the protocol allows.
    TooMuch,
    /// The peer sent more entries than it was allowed to.
    OverCredit,
    /// The peer sent entries that were not asked for.
    Unasked,
    /// The peer sent an entry that no honest device keeps, or a statement that none passes on.
    BadEntry,
    /// The peer went silent while something was asked of it.
    Stalled,
    /// The peer ended the session, with this code.
    Peer(u8),
}

impl CloseReason {
    /// The number that the peer is told.
    pub const fn code(self) -> u8 {
        match self {
            Self::Version => 1,
            Self::Malformed => 2,
            Self::Order => 3,
            Self::TooMuch => 4,
            Self::OverCredit => 5,
            Self::Unasked => 6,
            Self::BadEntry => 7,
            Self::Stalled => 8,
            Self::Peer(_) => 0,
        }
    }

    /// Whether the peer broke the protocol, and is to be kept away for a while.
    pub const fn is_misbehaviour(self) -> bool {
        !matches!(self, Self::Version | Self::Stalled | Self::Peer(_))
    }
}
