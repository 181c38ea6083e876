//! Which blobs a device holds: bitmaps over the blob ordinals of each log.
//!
//! On the wire a bitmap is the portable Roaring format. What a peer sends is
//! bounded in size and in ordinals before anything is done with it, since a few
//! bytes can stand for billions of numbers.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringBitmap;

use super::{Digest, cut, message::HaveMode};
use crate::{
    id::{DeviceId, LogId, SpaceId},
    limits,
};

/// Why bytes are not a bitmap of blob ordinals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HaveError {
    /// More bytes than a bitmap of allowed ordinals needs.
    #[error("bitmap is too large")]
    TooLarge,
    /// Not the portable Roaring format.
    #[error("bitmap is malformed")]
    Malformed,
    /// An ordinal that no blob has.
    #[error("bitmap names an impossible blob")]
    Ordinal,
}

/// What each peer says that it holds.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PeerHaves {
    peers: BTreeMap<DeviceId, BTreeMap<LogId, RoaringBitmap>>,
    /// Spaces of which it said anything: of one without a blob, it is known that there is none.
    told: BTreeMap<DeviceId, BTreeSet<SpaceId>>,
}

impl PeerHaves {
    /// Takes what a session brought.
    pub fn apply(
        &mut self,
        peer: DeviceId,
        space: SpaceId,
        mode: HaveMode,
        rows: Vec<(LogId, RoaringBitmap)>,
    ) {
        self.told.entry(peer).or_default().insert(space);
        let logs = self.peers.entry(peer).or_default();
        if mode == HaveMode::Full {
            logs.retain(|log, _| log.space != space);
        }
        for (log, bits) in rows.into_iter().filter(|(log, _)| log.space == space) {
            let held = logs.entry(log).or_default();
            match mode {
                HaveMode::Full | HaveMode::Added => *held |= bits,
                HaveMode::Removed => *held -= bits,
            }
            if held.is_empty() {
                logs.remove(&log);
            }
        }
    }

    /// Takes back one blob that a peer turned out not to hold.
    pub fn lacks(&mut self, peer: &DeviceId, log: &LogId, ordinal: u32) {
        if let Some(held) = self.peers.get_mut(peer).and_then(|logs| logs.get_mut(log)) {
            held.remove(ordinal);
        }
    }

    /// Forgets a peer.
    pub fn forget(&mut self, peer: &DeviceId) {
        self.peers.remove(peer);
        self.told.remove(peer);
    }

    /// Forgets what a peer said of one space, and gives it back.
    pub fn forget_space(
        &mut self,
        peer: &DeviceId,
        space: &SpaceId,
    ) -> Vec<(LogId, RoaringBitmap)> {
        if let Some(told) = self.told.get_mut(peer) {
            told.remove(space);
        }
        let Some(logs) = self.peers.get_mut(peer) else {
            return Vec::new();
        };
        let (gone, left): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(logs)
            .into_iter()
            .partition(|(log, _)| log.space == *space);
        *logs = left;
        gone.into_iter().collect()
    }

    /// The spaces of which a peer said anything.
    pub fn spaces(&self, peer: &DeviceId) -> impl Iterator<Item = SpaceId> {
        self.told.get(peer).into_iter().flatten().copied()
    }

    /// Whether a peer said anything of a space.
    pub fn names(&self, peer: &DeviceId, space: &SpaceId) -> bool {
        self.told.get(peer).is_some_and(|told| told.contains(space))
    }

    /// The peers of which anything is known.
    pub fn peers(&self) -> impl Iterator<Item = &DeviceId> {
        self.peers.keys()
    }

    /// What a peer holds, in order of logs.
    pub fn logs(&self, peer: &DeviceId) -> impl Iterator<Item = (&LogId, &RoaringBitmap)> {
        self.peers.get(peer).into_iter().flatten()
    }

    /// What a peer holds of one log.
    pub fn bits(&self, peer: &DeviceId, log: &LogId) -> Option<&RoaringBitmap> {
        self.peers.get(peer)?.get(log)
    }

    /// Whether a peer holds a blob.
    pub fn holds(&self, peer: &DeviceId, log: &LogId, ordinal: u32) -> bool {
        self.bits(peer, log)
            .is_some_and(|bits| bits.contains(ordinal))
    }

    /// The peers that hold a blob.
    pub fn holders(&self, log: &LogId, ordinal: u32) -> impl Iterator<Item = &DeviceId> {
        let holds = move |peer: &&DeviceId| self.holds(peer, log, ordinal);
        self.peers.keys().filter(holds)
    }

    /// [`digest`] of each space, as [`super::LogView::peer_have_digests`] gives it.
    pub fn digests(&self, peer: &DeviceId) -> Vec<(SpaceId, Digest)> {
        let told = self.told.get(peer).into_iter().flatten();
        let mut spaces: BTreeMap<SpaceId, Vec<(&LogId, &RoaringBitmap)>> =
            told.map(|space| (*space, Vec::new())).collect();
        for (log, bits) in self.logs(peer) {
            spaces.entry(log.space).or_default().push((log, bits));
        }
        spaces
            .into_iter()
            .map(|(space, rows)| (space, digest(rows)))
            .collect()
    }
}

/// Encodes a bitmap in its smallest form.
pub fn encode(bits: &RoaringBitmap) -> Vec<u8> {
    let mut bits = bits.clone();
    bits.optimize();
    let mut bytes = Vec::with_capacity(bits.serialized_size());
    bits.serialize_into(&mut bytes)
        .expect("writing to memory cannot fail");
    bytes
}

/// The parts of a bitmap that [`encode`] into a frame each; none for an empty one.
pub fn pieces(bits: &RoaringBitmap) -> Vec<RoaringBitmap> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < limits::LOG_BLOBS {
        let mut span = RoaringBitmap::new();
        span.insert_range(from..from + limits::HAVE_SPAN);
        span &= bits;
        if !span.is_empty() {
            pieces.push(span);
        }
        from += limits::HAVE_SPAN;
    }
    pieces
}

/// Decodes a bitmap from a peer.
///
/// # Errors
///
/// [`HaveError`]. It takes no more memory than its bytes, and at most 2 MiB once it is changed.
pub fn decode(mut bytes: &[u8]) -> Result<RoaringBitmap, HaveError> {
    if bytes.len() > limits::HAVE_BYTES {
        return Err(HaveError::TooLarge);
    }
    let bits = RoaringBitmap::deserialize_from(&mut bytes).map_err(|_| HaveError::Malformed)?;
    if !bytes.is_empty() {
        return Err(HaveError::Malformed);
    }
    if bits.max().is_some_and(|max| max >= limits::LOG_BLOBS) {
        return Err(HaveError::Ordinal);
    }
    Ok(bits)
}

/// One digest for all bitmaps of a space: over the runs of ordinals, log after log in order.
///
/// Logs without a blob do not count.
pub fn digest<'a>(rows: impl IntoIterator<Item = (&'a LogId, &'a RoaringBitmap)>) -> Digest {
    let mut rows: Vec<_> = rows
        .into_iter()
        .filter(|(_, bits)| !bits.is_empty())
        .collect();
    rows.sort_unstable_by_key(|(log, _)| **log);
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"heirloom have v1");
    for (log, bits) in rows {
        hasher.update(&log.device.0);
        hasher.update(&log.inc.to_be_bytes());
        hasher.update(&log.branch.0);
        let mut iter = bits.iter();
        while let Some(run) = iter.next_range() {
            hasher.update(&run.start().to_be_bytes());
            hasher.update(&run.end().to_be_bytes());
        }
        // No run starts after it ends: this one closes the log.
        hasher.update(&[255, 255, 255, 255, 0, 0, 0, 0]);
    }
    cut(&hasher)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::BranchId;

    fn log(n: u8) -> LogId {
        LogId {
            space: SpaceId([1; 16]),
            device: DeviceId([n; 32]),
            inc: 1,
            branch: BranchId::ZERO,
        }
    }

    #[test]
    fn a_complete_log_of_a_million_blobs_takes_few_bytes() {
        let mut bits = RoaringBitmap::new();
        bits.insert_range(0..3_000_000);
        assert!(encode(&bits).len() < 700);
    }

    #[test]
    fn a_space_without_a_blob_is_known_to_have_none() {
        let (peer, space) = (DeviceId([7; 32]), SpaceId([1; 16]));
        let none = digest([]);
        let mut haves = PeerHaves::default();
        assert_eq!(haves.digests(&peer), []);
        haves.apply(peer, space, HaveMode::Full, vec![]);
        assert_eq!(haves.digests(&peer), [(space, none)]);
        let bits = RoaringBitmap::from_iter([3]);
        haves.apply(peer, space, HaveMode::Added, vec![(log(1), bits.clone())]);
        assert_eq!(haves.digests(&peer), [(space, digest([(&log(1), &bits)]))]);
        haves.apply(peer, space, HaveMode::Removed, vec![(log(1), bits)]);
        assert_eq!(haves.digests(&peer), [(space, none)]);
        haves.forget(&peer);
        assert_eq!(haves.digests(&peer), []);
    }

    #[test]
    fn a_bitmap_beyond_the_ordinals_is_refused() {
        let last = limits::LOG_BLOBS - 1;
        assert!(decode(&encode(&RoaringBitmap::from_iter([last]))).is_ok());
        let beyond = encode(&RoaringBitmap::from_iter([last + 1]));
        assert_eq!(decode(&beyond), Err(HaveError::Ordinal));
        let mut all = RoaringBitmap::new();
        all.insert_range(0..=u32::MAX);
        assert_eq!(decode(&encode(&all)), Err(HaveError::TooLarge));
    }

    #[test]
    fn the_worst_bitmap_fits_in_pieces() {
        let bits: RoaringBitmap = (0..limits::LOG_BLOBS / 2).map(|n| n * 2).collect();
        let pieces = pieces(&bits);
        assert_eq!(pieces.len(), 4);
        let mut whole = RoaringBitmap::new();
        for piece in &pieces {
            whole |= decode(&encode(piece)).unwrap();
        }
        assert_eq!(whole, bits);
    }

    #[test]
    fn trailing_bytes_and_size_are_checked() {
        let mut bytes = encode(&RoaringBitmap::from_iter([1, 2, 9]));
        bytes.push(0);
        assert_eq!(decode(&bytes), Err(HaveError::Malformed));
        assert_eq!(
            decode(&vec![0; limits::HAVE_BYTES + 1]),
            Err(HaveError::TooLarge)
        );
        assert_eq!(decode(&[]), Err(HaveError::Malformed));
    }

    #[test]
    fn the_digest_knows_the_log_and_ignores_form_and_empty_logs() {
        let mut runs = RoaringBitmap::new();
        runs.insert_range(3..900);
        let single = RoaringBitmap::from_iter(3..900);
        let empty = RoaringBitmap::new();
        let (a, b) = (log(1), log(2));
        assert_eq!(digest([(&a, &runs)]), digest([(&b, &empty), (&a, &single)]));
        assert_ne!(digest([(&a, &runs)]), digest([(&b, &runs)]));
        assert_ne!(digest([(&a, &runs)]), digest([(&a, &runs), (&b, &single)]));
    }

    #[test]
    fn what_peers_hold_is_replaced_added_and_removed() {
        let space = log(1).space;
        let (one, two) = (DeviceId([1; 32]), DeviceId([2; 32]));
        let bits = |from: u32| RoaringBitmap::from_iter(from..from + 10);
        let mut haves = PeerHaves::default();
        haves.apply(
            one,
            space,
            HaveMode::Full,
            vec![(log(1), bits(0)), (log(2), bits(0))],
        );
        haves.apply(one, space, HaveMode::Added, vec![(log(1), bits(5))]);
        haves.apply(
            one,
            space,
            HaveMode::Removed,
            vec![(log(1), bits(0)), (log(2), bits(0))],
        );
        haves.apply(two, space, HaveMode::Added, vec![(log(1), bits(12))]);
        assert_eq!(
            haves.bits(&one, &log(1)),
            Some(&RoaringBitmap::from_iter(10..15))
        );
        assert_eq!(haves.bits(&one, &log(2)), None);
        assert_eq!(haves.holders(&log(1), 14).count(), 2);
        assert_eq!(haves.holders(&log(1), 10).collect::<Vec<_>>(), [&one]);
        haves.lacks(&one, &log(1), 10);
        assert!(!haves.holds(&one, &log(1), 10));
        assert_eq!(
            haves.digests(&two),
            [(space, digest([(&log(1), &bits(12))]))]
        );
        // A row of another space than the frame's is passed over.
        let foreign = LogId {
            space: SpaceId([9; 16]),
            ..log(1)
        };
        haves.apply(two, space, HaveMode::Full, vec![(foreign, bits(0))]);
        assert_eq!(haves.logs(&two).count(), 0);
        haves.forget(&one);
        assert_eq!(haves.peers().collect::<Vec<_>>(), [&two]);
    }

    proptest! {
        #[test]
        fn any_bitmap_round_trips(set in prop::collection::btree_set(0..limits::LOG_BLOBS, 0..300)) {
            let bits: RoaringBitmap = set.into_iter().collect();
            prop_assert_eq!(decode(&encode(&bits)), Ok(bits));
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..3) {
            let mut bytes = bytes;
            if kind > 0 && bytes.len() >= 4 {
                // The two cookies of the format, so that what follows is looked at.
                let cookie: u32 = if kind == 1 { 12346 } else { 12347 };
                bytes[..2].copy_from_slice(&cookie.to_le_bytes()[..2]);
                if kind == 1 { bytes[2..4].fill(0); }
            }
            if let Ok(bits) = decode(&bytes) {
                // What was accepted must stand use.
                let mut other = RoaringBitmap::new();
                other.insert_range(5..100_000);
                other |= &bits;
                prop_assert!(other.len() >= bits.len());
                prop_assert_eq!(decode(&encode(&bits)), Ok(bits));
            }
        }
    }
}
