//! Getting one large blob, leaf by leaf, from one or several peers.
//!
//! A [`Fetch`] first gets the list of leaves, a 2048th of the blob, from one
//! peer, and checks it against the name that the signed header gives. From then on
//! each leaf is checked alone as it comes, so that a peer can waste no more than
//! one leaf, is known by name when it does, and any leaf may come from anyone.
//! It does no IO: requests go out as [`Output::Ask`], verified leaves as
//! [`Output::Leaves`]. How much is in flight in all is the caller's to bound.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use roaring::RoaringBitmap;

use super::blob::{BlobPlace, GetLeaves, GetRange, Request, blob_bytes};
use crate::{
    album::asset::BlobRef,
    crypto::leaves::{LeafList, VALUE_BYTES, leaf_count},
    id::DeviceId,
    limits,
};

/// How long a peer may send nothing before its leaves are given to another.
pub const SLOW: Duration = Duration::from_secs(5);
/// How long it may send nothing when there is no other.
pub const LOST: Duration = Duration::from_secs(30);
/// Parts of the list in flight.
const PAGES: usize = 4;
/// From here on a blob is got from several peers at once.
const SHARED_LEAVES: u32 = 64;

/// What is asked of a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// Lines of the list of leaves.
    List {
        /// The first leaf.
        first: u32,
        /// How many.
        count: u32,
    },
    /// Leaves.
    Leaves {
        /// The first.
        first: u32,
        /// How many.
        count: u32,
    },
}

impl Part {
    /// The request for this part.
    pub const fn request(self, id: u32, blob: BlobPlace) -> Request {
        match self {
            Self::List { first, count } => Request::Leaves(GetLeaves {
                id,
                blob,
                first,
                count,
            }),
            Self::Leaves { first, count } => Request::Range(GetRange {
                id,
                blob,
                first,
                count,
            }),
        }
    }
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A peer says that it holds the blob. Of two the cheaper is asked first.
    PeerUp {
        /// The peer.
        peer: DeviceId,
        /// What the way to it costs.
        cost: u32,
    },
    /// A peer is not to be asked any more, or is gone.
    PeerDown(DeviceId),
    /// Leaves came.
    Data {
        /// The ask.
        token: u32,
        /// The first leaf.
        index: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Lines of the list came.
    List {
        /// The ask.
        token: u32,
        /// The first leaf.
        index: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The peer does not give what was asked for.
    Gone {
        /// The ask.
        token: u32,
    },
    /// The deadline has come.
    Tick,
}

/// Something that is now to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Ask a peer.
    Ask {
        /// The peer.
        peer: DeviceId,
        /// Names the ask in what comes back.
        token: u32,
        /// What to ask for.
        part: Part,
    },
    /// The list of leaves is known and right. Of blobs above
    /// [`limits::LEAF_LIST_STORED_ABOVE_BYTES`], store it: with it a fetch can go on after a restart.
    Listed(LeafList),
    /// Store these leaves. They are verified, and come once.
    Leaves {
        /// The first.
        first: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A peer sent what no honest peer sends; it is asked for nothing more here.
    Blame(DeviceId),
    /// A peer does not hold the blob after all, or has gone silent.
    Lacks(DeviceId),
    /// No peer is left to ask. [`Input::PeerUp`] makes it go on.
    Stuck,
    /// All leaves were handed out.
    Done,
}

/// A blob that this device does not fetch this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// So small that it comes whole, or without a length.
    #[error("a blob of {0} bytes comes whole")]
    Small(u64),
    /// So large that its list of leaves would not fit in memory.
    #[error("a blob of {0} bytes is too large")]
    TooLarge(u64),
}

#[derive(Debug)]
struct Peer {
    cost: u32,
    in_flight: u32,
    is_slow: bool,
    /// When it last sent something, or was first asked after a pause.
    heard: Instant,
}

#[derive(Debug)]
struct Ask {
    peer: DeviceId,
    part: Part,
    next: u32,
    end: u32,
    /// Another peer was asked for the same.
    is_doubled: bool,
}

#[derive(Debug)]
struct Listing {
    peer: DeviceId,
    bytes: Vec<u8>,
    /// The first leaf whose line was not asked for yet.
    asked: u32,
    /// Pages in flight, in order.
    pages: VecDeque<u32>,
}

/// One large blob on its way here.
#[derive(Debug)]
pub struct Fetch {
    blob: BlobRef,
    bytes: u64,
    count: u32,
    window: u32,
    list: Option<LeafList>,
    listing: Option<Listing>,
    have: RoaringBitmap,
    /// Neither here nor asked for.
    free: RoaringBitmap,
    peers: BTreeMap<DeviceId, Peer>,
    asks: BTreeMap<u32, Ask>,
    next_token: u32,
    out: VecDeque<Output>,
    is_stuck: bool,
    is_done: bool,
}

impl Fetch {
    /// Begins to fetch a blob, with at most `window` leaves asked of one peer at a time.
    ///
    /// # Errors
    ///
    /// [`FetchError`] for a blob that comes whole, or is too large.
    pub fn new(blob: BlobRef, window: u32) -> Result<Self, FetchError> {
        let bytes = blob_bytes(&blob);
        if bytes <= limits::SMALL_BLOB_BYTES {
            return Err(FetchError::Small(bytes));
        }
        if bytes > limits::FETCH_BLOB_BYTES {
            return Err(FetchError::TooLarge(bytes));
        }
        let count = u32::try_from(leaf_count(bytes)).map_err(|_| FetchError::TooLarge(bytes))?;
        let mut free = RoaringBitmap::new();
        free.insert_range(0..count);
        Ok(Self {
            blob,
            bytes,
            count,
            window: window.max(1),
            list: None,
            listing: None,
            have: RoaringBitmap::new(),
            free,
            peers: BTreeMap::new(),
            asks: BTreeMap::new(),
            next_token: 0,
            out: VecDeque::new(),
            is_stuck: false,
            is_done: false,
        })
    }

    /// Goes on with a blob of which the list and some leaves are here.
    ///
    /// # Errors
    ///
    /// [`FetchError`]. A list of another blob is passed over, and the leaves with it.
    pub fn resume(
        blob: BlobRef,
        window: u32,
        list: LeafList,
        have: &RoaringBitmap,
    ) -> Result<Self, FetchError> {
        let mut fetch = Self::new(blob, window)?;
        if list.blob() == blob.id && list.blob_bytes() == fetch.bytes {
            fetch.list = Some(list);
            fetch.have = have & &fetch.free;
            fetch.free -= have;
            fetch.finish();
        }
        Ok(fetch)
    }

    /// The blob.
    pub const fn blob(&self) -> &BlobRef {
        &self.blob
    }

    /// Leaves of the blob, and how many of them were handed out.
    pub fn progress(&self) -> (u32, u64) {
        (self.count, self.have.len())
    }

    /// How many leaves are asked for and have not come, over all peers.
    pub fn in_flight(&self) -> u32 {
        self.peers.values().map(|peer| peer.in_flight).sum()
    }

    /// Changes how many leaves are asked of one peer at a time.
    pub fn set_window(&mut self, window: u32, now: Instant) {
        self.window = window.max(1);
        self.assign(now);
    }

    /// Feeds the fetch one event. What came for an ask that is over is passed over.
    pub fn handle(&mut self, input: Input, now: Instant) {
        if self.is_done {
            return;
        }
        match input {
            Input::PeerUp { peer, cost } => {
                let fresh = Peer {
                    cost,
                    in_flight: 0,
                    is_slow: false,
                    heard: now,
                };
                self.peers.entry(peer).or_insert(fresh).cost = cost;
                self.is_stuck = false;
            }
            Input::PeerDown(peer) => self.drop_peer(peer),
            Input::Data {
                token,
                index,
                bytes,
            } => self.data(token, index, bytes, now),
            Input::List {
                token,
                index,
                bytes,
            } => self.lines(token, index, &bytes, now),
            Input::Gone { token } => {
                if let Some(peer) = self.asks.get(&token).map(|ask| ask.peer) {
                    self.drop_peer(peer);
                    self.out.push_back(Output::Lacks(peer));
                }
            }
            Input::Tick => self.check_patience(now),
        }
        self.assign(now);
    }

    /// Takes the next thing to do, or `None` when the fetch waits for input.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When the fetch next needs [`Input::Tick`].
    pub fn deadline(&self) -> Option<Instant> {
        let asked: BTreeSet<DeviceId> = self.asks.values().map(|ask| ask.peer).collect();
        let waits = |peer| {
            let patience = if self.has_other(peer) { SLOW } else { LOST };
            Some(self.peers.get(&peer)?.heard + patience)
        };
        asked.into_iter().filter_map(waits).min()
    }

    fn has_other(&self, peer: DeviceId) -> bool {
        self.peers
            .iter()
            .any(|(other, state)| *other != peer && !state.is_slow)
    }

    fn blame(&mut self, peer: DeviceId) {
        self.drop_peer(peer);
        self.out.push_back(Output::Blame(peer));
    }

    fn drop_peer(&mut self, peer: DeviceId) {
        self.peers.remove(&peer);
        let asks: Vec<u32> = self.asks_of(peer).collect();
        for token in asks {
            self.release(token);
        }
        if self
            .listing
            .as_ref()
            .is_some_and(|listing| listing.peer == peer)
        {
            self.listing = None;
        }
    }

    fn asks_of(&self, peer: DeviceId) -> impl Iterator<Item = u32> + '_ {
        let theirs = self.asks.iter().filter(move |(_, ask)| ask.peer == peer);
        theirs.map(|(token, _)| *token)
    }

    /// Ends an ask; what did not come of it may be asked for again.
    fn release(&mut self, token: u32) {
        let Some(ask) = self.asks.remove(&token) else {
            return;
        };
        if !matches!(ask.part, Part::Leaves { .. }) {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&ask.peer) {
            peer.in_flight = peer.in_flight.saturating_sub(ask.end - ask.next);
        }
        let mut left = RoaringBitmap::new();
        left.insert_range(ask.next..ask.end);
        left -= &self.have;
        for other in self.asks.values_mut() {
            if matches!(other.part, Part::Leaves { .. }) {
                left.remove_range(other.next..other.end);
                other.is_doubled &= other.end != ask.end;
            }
        }
        self.free |= left;
    }

    fn lines(&mut self, token: u32, index: u32, bytes: &[u8], now: Instant) {
        let Some(ask) = self.asks.get_mut(&token) else {
            return;
        };
        let peer = ask.peer;
        let (lines, rest) = bytes.as_chunks::<VALUE_BYTES>();
        let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        let fits = matches!(ask.part, Part::List { .. })
            && rest.is_empty()
            && count > 0
            && index == ask.next
            && count <= ask.end - ask.next;
        let Some(listing) = self.listing.as_mut().filter(|listing| listing.peer == peer) else {
            return;
        };
        if !fits || listing.pages.front() != Some(&token) {
            self.blame(peer);
            return;
        }
        listing.bytes.extend_from_slice(bytes);
        ask.next += count;
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.heard = now;
        }
        if ask.next < ask.end {
            return;
        }
        self.asks.remove(&token);
        listing.pages.pop_front();
        if listing.asked < self.count || !listing.pages.is_empty() {
            return;
        }
        match LeafList::from_bytes(self.blob.id, self.bytes, &listing.bytes) {
            Ok(list) => {
                self.listing = None;
                self.out.push_back(Output::Listed(list.clone()));
                self.list = Some(list);
            }
            Err(_) => self.blame(peer),
        }
    }

    fn data(&mut self, token: u32, index: u32, bytes: Vec<u8>, now: Instant) {
        let Some(ask) = self.asks.get_mut(&token) else {
            return;
        };
        let peer = ask.peer;
        let count = u32::try_from(bytes.len().div_ceil(limits::LEAF_BYTES)).unwrap_or(u32::MAX);
        let fits = matches!(ask.part, Part::Leaves { .. })
            && count > 0
            && index == ask.next
            && count <= ask.end - ask.next;
        // The list was asked for before, and answers come in order.
        let Some(list) = self.list.as_ref().filter(|_| fits) else {
            self.blame(peer);
            return;
        };
        let is_right = bytes
            .chunks(limits::LEAF_BYTES)
            .zip(index..)
            .all(|(leaf, at)| list.verify_leaf(u64::from(at), leaf).is_ok());
        if !is_right {
            self.blame(peer);
            return;
        }
        ask.next += count;
        let is_over = ask.next == ask.end;
        if is_over {
            self.asks.remove(&token);
        }
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.in_flight = peer.in_flight.saturating_sub(count);
            peer.is_slow = false;
            peer.heard = now;
        }
        self.keep(index, count, bytes);
    }

    /// Hands leaves out that are not here yet.
    fn keep(&mut self, first: u32, count: u32, bytes: Vec<u8>) {
        if self.have.range_cardinality(first..first + count) == 0 {
            self.out.push_back(Output::Leaves { first, bytes });
        } else {
            for (leaf, at) in bytes.chunks(limits::LEAF_BYTES).zip(first..) {
                if !self.have.contains(at) {
                    self.out.push_back(Output::Leaves {
                        first: at,
                        bytes: leaf.to_vec(),
                    });
                }
            }
        }
        self.have.insert_range(first..first + count);
        self.free.remove_range(first..first + count);
        self.finish();
    }

    fn finish(&mut self) {
        if self.have.len() == u64::from(self.count) {
            self.is_done = true;
            self.asks.clear();
            self.peers.clear();
            self.out.push_back(Output::Done);
        }
    }

    fn check_patience(&mut self, now: Instant) {
        let asked: BTreeSet<DeviceId> = self.asks.values().map(|ask| ask.peer).collect();
        for peer in asked {
            let has_other = self.has_other(peer);
            let lists = self
                .listing
                .as_ref()
                .is_some_and(|listing| listing.peer == peer);
            let Some(state) = self.peers.get_mut(&peer) else {
                continue;
            };
            let silent = now.saturating_duration_since(state.heard);
            if silent >= LOST || (silent >= SLOW && has_other && lists) {
                self.drop_peer(peer);
                self.out.push_back(Output::Lacks(peer));
            } else if silent >= SLOW && has_other {
                state.is_slow = true;
                let asks: Vec<u32> = self.asks_of(peer).collect();
                for token in asks {
                    self.release(token);
                }
            }
        }
    }

    /// Peers to ask, the best first: quick ones, then cheap ones, then those with little to do.
    fn ranked(&self) -> Vec<DeviceId> {
        let quick = self.peers.values().any(|peer| !peer.is_slow);
        let mut peers: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| !quick || !peer.is_slow)
            .map(|(id, peer)| (peer.cost, peer.in_flight, *id))
            .collect();
        peers.sort_unstable();
        peers.into_iter().map(|(_, _, id)| id).collect()
    }

    fn assign(&mut self, now: Instant) {
        if self.is_done {
            return;
        }
        let mut peers = self.ranked();
        if peers.is_empty() {
            if !self.is_stuck && self.peers.is_empty() {
                self.is_stuck = true;
                self.out.push_back(Output::Stuck);
            }
            return;
        }
        if self.list.is_none() {
            let Some(peer) = self.ask_list(peers[0], now) else {
                return;
            };
            // Its leaves come behind its list, so it need not be waited for.
            peers = vec![peer];
        } else if self.count < SHARED_LEAVES {
            // A short blob stays with whoever began to send it.
            let busy = peers.iter().find(|peer| self.peers[peer].in_flight > 0);
            peers = vec![*busy.unwrap_or(&peers[0])];
        }
        for peer in peers {
            self.ask_leaves(peer, now);
        }
    }

    /// Asks for the list; gives the peer once all of it was asked for.
    fn ask_list(&mut self, best: DeviceId, now: Instant) -> Option<DeviceId> {
        let listing = self.listing.get_or_insert_with(|| Listing {
            peer: best,
            bytes: Vec::new(),
            asked: 0,
            pages: VecDeque::new(),
        });
        let peer = listing.peer;
        let mut parts = Vec::new();
        while listing.pages.len() < PAGES && listing.asked < self.count {
            let first = listing.asked;
            let count = (self.count - first).min(limits::LEAF_PAGE);
            listing.asked += count;
            listing.pages.push_back(self.next_token);
            parts.push((self.next_token, Part::List { first, count }));
            self.next_token = self.next_token.wrapping_add(1);
        }
        let is_asked = listing.asked == self.count;
        for (token, part) in parts {
            self.ask(token, peer, part, now);
        }
        is_asked.then_some(peer)
    }

    fn ask_leaves(&mut self, peer: DeviceId, now: Instant) {
        while self
            .peers
            .get(&peer)
            .is_some_and(|state| state.in_flight < self.window)
        {
            let (first, end) = match self.free.min() {
                Some(first) => {
                    let most = (first + limits::RANGE_LEAVES).min(self.count);
                    let end = (first..most).find(|leaf| !self.free.contains(*leaf));
                    (first, end.unwrap_or(most))
                }
                None => match self.double(peer) {
                    Some(range) => range,
                    None => return,
                },
            };
            self.free.remove_range(first..end);
            let token = self.next_token;
            self.next_token = self.next_token.wrapping_add(1);
            self.ask(
                token,
                peer,
                Part::Leaves {
                    first,
                    count: end - first,
                },
                now,
            );
        }
    }

    /// When all is asked for, an idle peer gets the longest rest of another as well.
    fn double(&mut self, peer: DeviceId) -> Option<(u32, u32)> {
        if self.peers.get(&peer)?.in_flight > 0 {
            return None;
        }
        let is_open = |ask: &&mut Ask| {
            ask.peer != peer && !ask.is_doubled && matches!(ask.part, Part::Leaves { .. })
        };
        let ask = self
            .asks
            .values_mut()
            .filter(is_open)
            .max_by_key(|ask| ask.end - ask.next)?;
        ask.is_doubled = true;
        Some((ask.next, ask.end))
    }

    fn ask(&mut self, token: u32, peer: DeviceId, part: Part, now: Instant) {
        let (Part::List { first, count } | Part::Leaves { first, count }) = part;
        let is_doubled = self
            .asks
            .values()
            .any(|ask| ask.is_doubled && ask.end == first + count && ask.next <= first);
        let was_idle = self.asks_of(peer).next().is_none();
        if let Some(state) = self.peers.get_mut(&peer) {
            if matches!(part, Part::Leaves { .. }) {
                state.in_flight += count;
            }
            if was_idle {
                state.heard = now;
            }
        }
        let ask = Ask {
            peer,
            part,
            next: first,
            end: first + count,
            is_doubled,
        };
        self.asks.insert(token, ask);
        self.out.push_back(Output::Ask { peer, token, part });
    }
}

#[cfg(test)]
mod tests;
