//! How two devices come to hold the same: one [`session::Session`] a peer, and what it reads.
//!
//! Nothing is pushed that was not asked for, but small news on a live session.
//! The frames of one session, in the order in which they first appear; both
//! sides do all of this at once, so the drawing shows one direction of pulling:
//!
//! ```text
//!  puller                                                    server
//!    |  Hello{cookie, have, ..} <------------------> Hello      |  same cookie: nothing differs,
//!    |                                                          |  straight to Settled
//!    |  <------------------------- Spaces{[(space, digest)]}    |  only spaces the puller may replicate
//!    |  Devices{[device]}, Heads{ask 0, control, rows} ----->   |  "send me what lies beyond these"
//!    |  <------------------------------- Entries{ask 0, part}   |  causal order, within the credit
//!    |      Commit -> replica -> store -> Committed             |
//!    |  Credit{total} -------------------------------------->   |
//!    |  <------------------- Sent{ask 0, digest, forks: []}     |
//!    |  Spaces{[(control, digest)]} ------------------------>   |  "this is on my disk": the ack
//!    |  Heads{ask 1, album, ..}, Heads{ask 2, ..} ---------->   |  albums once control is calm
//!    |  <--------------------------- Entries, Sent, Entries ..  |
//!    |  Settled{seen} <-----------------------------> Settled   |  nothing left on either side
//!    .                                                          .
//!    |  <----------------------------------- Announce{entry}    |  live: one frame for a new entry
//!    |  Spaces{[(album, digest)]} -------------------------->   |
//!    |  Settled{seen} <-----------------------------> Settled   |
//!    |  HaveDigests, HavePull, Have: which blobs, at any time   |
//! ```
//!
//! Bulk goes over another stream, [`blob`]; which of it and in what order is
//! [`want`]'s, how safe a blob is [`keep`]'s.

use roaring::RoaringBitmap;

use crate::{
    id::{DeviceId, EntryId, LogId, SpaceId},
    log::entry::EntryBytes,
};

pub mod blob;
pub mod fetch;
pub mod have;
mod heads;
pub mod keep;
pub mod message;
pub mod session;
pub mod want;

#[cfg(test)]
mod tests;

/// A digest of the heads, or of the blobs held, of one space.
pub type Digest = [u8; 16];

/// The last entry known of one log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Head {
    /// The log; each branch of a forked log is one of its own.
    pub log: LogId,
    /// Sequence number of the log's first entry: 0, or where the branch begins.
    pub first: u32,
    /// Sequence number of its last entry.
    pub seq: u32,
    /// Its last entry.
    pub id: EntryId,
}

/// What a session may read. Everything seen through it must be durable.
pub trait LogView {
    /// The spaces that this device holds and `peer` may replicate, with the digest of their heads.
    ///
    /// Asked again at every change, so keep the digests at hand; ordered by space.
    fn spaces_for(&self, peer: DeviceId) -> Vec<(SpaceId, Digest)>;

    /// The albums that `peer` may replicate no more, as far as it may still be told of them: heads as if
    /// each log ended with the last entry that led to the loss of its access, ordered by space.
    ///
    /// Asked when a session begins, when the peer loses a space, and when it asks for one of these.
    fn endings(&self, _peer: DeviceId) -> Vec<(SpaceId, Vec<Head>)> {
        Vec::new()
    }

    /// The heads of a space, in any order; none for a space that is not held.
    fn heads(&self, space: SpaceId) -> Vec<Head>;

    /// One entry; `None` outside `first..=seq` of the log's head.
    fn entry(&self, log: &LogId, seq: u32) -> Option<EntryBytes>;

    /// The id of one entry.
    fn entry_id(&self, log: &LogId, seq: u32) -> Option<EntryId>;

    /// The control-flag entries of a space, each after those it depends on: the order of acceptance will do.
    fn causal(&self, space: SpaceId) -> Vec<(LogId, u32)>;

    /// The digest of the heads of one space.
    fn digest(&self, space: SpaceId) -> Digest {
        heads_digest(self.heads(space))
    }

    /// Whether another session is getting this space just now, so that this one had better wait.
    fn is_pulled_elsewhere(&self, _space: SpaceId, _peer: DeviceId) -> bool {
        false
    }

    /// The spaces of which `peer` may know what blobs are held here, with [`have::digest`] of that.
    fn have_digests(&self, _peer: DeviceId) -> Vec<(SpaceId, Digest)> {
        Vec::new()
    }

    /// Which blob ordinals of each log of a space are held here.
    fn have(&self, _space: SpaceId) -> Vec<(LogId, RoaringBitmap)> {
        Vec::new()
    }

    /// [`have::digest`] of what this device remembers of what `peer` holds.
    fn peer_have_digests(&self, _peer: DeviceId) -> Vec<(SpaceId, Digest)> {
        Vec::new()
    }
}

/// BLAKE3 of the heads in order of their logs, cut to 16 bytes.
///
/// Two devices with the same entries have the same heads, branches included.
pub fn heads_digest(mut heads: Vec<Head>) -> Digest {
    heads.sort_unstable_by_key(|head| (head.log, head.seq));
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"heirloom heads v1");
    for head in &heads {
        hasher.update(&head.log.device.0);
        hasher.update(&head.log.inc.to_be_bytes());
        hasher.update(&head.log.branch.0);
        hasher.update(&head.seq.to_be_bytes());
        hasher.update(&head.id.0);
    }
    cut(&hasher)
}

/// One digest for a list of spaces and their digests.
fn list_digest(rows: &[(SpaceId, Digest)]) -> Digest {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"heirloom spaces v1");
    for (space, digest) in &rows {
        hasher.update(&space.0);
        hasher.update(digest);
    }
    cut(&hasher)
}

fn cut(hasher: &blake3::Hasher) -> Digest {
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}
