//! What a peer has sent and nobody has read yet, counted over all of its connections.
//!
//! yamux bounds the bytes that wait in the streams of one connection. It does not count what keeping them costs,
//! which is a hundred times as much where they come one by one, and it knows nothing of the peer's other
//! connections. So what comes is counted below it, frame by frame, and what is read above it. A device that keeps
//! to the rules is sent what it asked for and stays far below the limit; who goes beyond it loses the connection.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::PeerId;

use super::limits::{FRAME_COST, UNREAD, YAMUX_STREAMS};

/// Frames of which only the sum is remembered.
const FRAMES_TOGETHER: usize = 64;
/// Streams of one connection that are remembered. yamux refuses to hold so many, but goes on with who begins them.
const STREAMS: usize = 4 * YAMUX_STREAMS;

/// What waits of each peer.
#[derive(Clone, Default)]
pub(super) struct Backlogs(Arc<Mutex<BTreeMap<PeerId, Weak<AtomicUsize>>>>);

impl Backlogs {
    /// The count of a new connection with a peer.
    pub(super) fn of(&self, peer: &PeerId) -> Backlog {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|_, all| all.strong_count() > 0);
        let known = peers.get(peer).and_then(Weak::upgrade);
        let of_peer = known.unwrap_or_else(|| {
            let all = Arc::default();
            peers.insert(*peer, Arc::downgrade(&all));
            all
        });
        Backlog(Arc::new(Inner {
            of_peer,
            streams: Mutex::default(),
        }))
    }
}

/// What waits in the streams of one connection.
#[derive(Clone)]
pub(super) struct Backlog(Arc<Inner>);

struct Inner {
    /// What all connections of the peer take, in bytes.
    of_peer: Arc<AtomicUsize>,
    streams: Mutex<Streams>,
}

#[derive(Default)]
struct Streams {
    waiting: BTreeMap<u32, Waiting>,
    /// Streams that were dropped and that yamux may still hold, as it takes notice between two writes.
    dropped: VecDeque<u32>,
}

/// What waits in one stream.
#[derive(Default)]
struct Waiting {
    /// Frames and their bytes, the oldest first.
    unread: VecDeque<(usize, usize)>,
    bytes: usize,
    frames: usize,
    /// The room for so many frames is kept to the end of the stream.
    most_frames: usize,
}

impl Waiting {
    const fn cost(&self) -> usize {
        self.bytes + self.most_frames * FRAME_COST
    }

    fn came(&mut self, len: usize) {
        match self.unread.back_mut() {
            Some((frames, bytes)) if *frames < FRAMES_TOGETHER => {
                *frames += 1;
                *bytes += len;
            }
            _ => self.unread.push_back((1, len)),
        }
        self.bytes += len;
        self.frames += 1;
        self.most_frames = self.most_frames.max(self.frames);
    }

    fn read(&mut self, mut len: usize) {
        self.bytes = self.bytes.saturating_sub(len);
        while let Some((frames, bytes)) = self.unread.front_mut() {
            if len < *bytes {
                *bytes -= len;
                return;
            }
            len -= *bytes;
            self.frames -= *frames;
            self.unread.pop_front();
        }
    }
}

impl Backlog {
    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.0
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what waits in a stream, if that is there; what the peer takes by then.
    fn change(&self, streams: &mut Streams, id: u32, change: impl FnOnce(&mut Waiting)) -> usize {
        let Some(waiting) = streams.waiting.get_mut(&id) else {
            return self.0.of_peer.load(Ordering::Relaxed);
        };
        let before = waiting.cost();
        change(waiting);
        self.moved(before, waiting.cost())
    }

    fn moved(&self, before: usize, after: usize) -> usize {
        let all = &self.0.of_peer;
        // Both wrap alike, so the sum is right whatever the sign.
        let moved = after.wrapping_sub(before);
        all.fetch_add(moved, Ordering::Relaxed).wrapping_add(moved)
    }

    /// A stream begins; whether the peer may go on.
    pub(super) fn begin(&self, id: u32) -> bool {
        let mut streams = self.streams();
        streams.dropped.retain(|dropped| *dropped != id);
        streams.waiting.entry(id).or_default();
        streams.waiting.len() <= STREAMS
    }

    /// A frame with so many bytes comes; whether the peer may go on.
    fn came(&self, id: u32, len: usize) -> bool {
        self.change(&mut self.streams(), id, |waiting| waiting.came(len)) <= UNREAD
    }

    fn read(&self, id: u32, len: usize) {
        self.change(&mut self.streams(), id, |waiting| waiting.read(len));
    }

    fn end(&self, id: u32) {
        self.streams().dropped.push_back(id);
    }

    /// All that was written is on its way: yamux takes notice of one more stream that was dropped.
    pub(super) fn flushed(&self) {
        let mut streams = self.streams();
        let Some(id) = streams.dropped.pop_front() else {
            return;
        };
        if let Some(waiting) = streams.waiting.remove(&id) {
            self.moved(waiting.cost(), 0);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let streams = self
            .streams
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let left: usize = streams.waiting.values().map(Waiting::cost).sum();
        self.of_peer.fetch_sub(left, Ordering::Relaxed);
    }
}

/// The frames of yamux as they come in: a header of 12 bytes, and where it is of data its bytes.
#[derive(Default)]
pub(super) struct Frames {
    header: [u8; 12],
    have: usize,
    body: usize,
}

impl Frames {
    /// Counts what has come; whether the peer may go on.
    pub(super) fn count(&mut self, mut bytes: &[u8], backlog: &Backlog) -> bool {
        const NEW: u8 = 1;
        while !bytes.is_empty() {
            if self.body > 0 {
                let passed = self.body.min(bytes.len());
                self.body -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let taken = (self.header.len() - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have < self.header.len() {
                break;
            }
            self.have = 0;
            let [_, kind, _, flags, a, b, c, d, length @ ..] = self.header;
            let id = u32::from_be_bytes([a, b, c, d]);
            if kind <= 1 && flags & NEW != 0 && !backlog.begin(id) {
                return false;
            }
            if kind == 0 {
                self.body = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            }
            if self.body > 0 && !backlog.came(id, self.body) {
                return false;
            }
        }
        true
    }
}

/// A stream whose bytes are counted until they are read.
pub(super) struct Substream {
    stream: yamux::Stream,
    backlog: Backlog,
}

impl Substream {
    pub(super) fn new(stream: yamux::Stream, backlog: Backlog) -> Self {
        Self { stream, backlog }
    }
}

impl Drop for Substream {
    fn drop(&mut self) {
        self.backlog.end(self.stream.id().val());
    }
}

impl AsyncRead for Substream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.backlog.read(self.stream.id().val(), read);
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Substream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> PeerId {
        libp2p::identity::Keypair::ed25519_from_bytes([7; 32])
            .unwrap()
            .public()
            .to_peer_id()
    }

    fn taken(backlog: &Backlog) -> usize {
        backlog.0.of_peer.load(Ordering::Relaxed)
    }

    fn frame(kind: u8, flags: u8, id: u32, length: u32, body: &[u8]) -> Vec<u8> {
        let head = [&[0, kind, 0, flags][..], &id.to_be_bytes()].concat();
        [&head[..], &length.to_be_bytes(), body].concat()
    }

    fn data(id: u32, body: &[u8]) -> Vec<u8> {
        frame(0, 0, id, u32::try_from(body.len()).unwrap(), body)
    }

    #[test]
    fn what_was_read_waits_no_more_and_its_frames_are_remembered_to_the_end() {
        let backlog = Backlogs::default().of(&peer());
        backlog.begin(1);
        for _ in 0..1000 {
            assert!(backlog.came(1, 10));
        }
        assert_eq!(taken(&backlog), 10_000 + 1000 * FRAME_COST);
        backlog.read(1, 9_999);
        assert_eq!(taken(&backlog), 1 + 1000 * FRAME_COST);
        let left = backlog.streams().waiting[&1].frames;
        assert!(left <= FRAMES_TOGETHER, "{left}");
        backlog.read(1, 1);
        assert_eq!(backlog.streams().waiting[&1].frames, 0);
        // The same again takes the room that is there.
        for _ in 0..1000 {
            assert!(backlog.came(1, 10));
        }
        assert_eq!(taken(&backlog), 10_000 + 1000 * FRAME_COST);
        backlog.end(1);
        assert!(taken(&backlog) > 0, "yamux has not let it go");
        backlog.flushed();
        assert_eq!(taken(&backlog), 0);
        assert!(backlog.came(1, 1 << 30), "what comes for it is thrown away");
        assert_eq!(taken(&backlog), 0);
    }

    #[test]
    fn all_connections_of_a_peer_count_together_and_no_longer_than_they_live() {
        let backlogs = Backlogs::default();
        let [one, other] = [(); 2].map(|()| backlogs.of(&peer()));
        one.begin(1);
        other.begin(1);
        assert!(one.came(1, UNREAD / 2));
        assert!(!other.came(1, UNREAD / 2));
        drop(one);
        assert!(other.came(1, 1));
        drop(other);
        assert_eq!(taken(&backlogs.of(&peer())), 0);
    }

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let sent = [
            frame(0, 1, 5, 3, b"abc"),
            // A window and a ping carry no bytes, whatever stands where their length would be.
            frame(1, 0, 5, 65_536, b""),
            frame(2, 1, 0, 77, b""),
            data(5, b"defgh"),
            data(5, b""),
            data(9, b"of no stream"),
            frame(1, 1, 7, 0, b""),
            data(7, b"xy"),
        ]
        .concat();
        for size in [1, 5, 12, 13, sent.len()] {
            let backlog = Backlogs::default().of(&peer());
            let mut frames = Frames::default();
            assert!(sent.chunks(size).all(|part| frames.count(part, &backlog)));
            let waiting = |id| {
                let streams = backlog.streams();
                let waiting = streams.waiting.get(&id);
                waiting.map(|waiting| (waiting.frames, waiting.bytes))
            };
            assert_eq!(waiting(5), Some((2, 8)));
            assert_eq!(waiting(7), Some((1, 2)));
            assert_eq!(waiting(9), None);
        }
    }

    #[test]
    fn streams_without_end_are_not_remembered() {
        let backlog = Backlogs::default().of(&peer());
        let mut frames = Frames::default();
        let begun = (0..).take_while(|id| frames.count(&frame(1, 1, *id, 0, b""), &backlog));
        assert_eq!(begun.count(), STREAMS);
        let kept = backlog.streams().waiting.len();
        assert!(kept <= STREAMS + 1, "{kept}");
    }

    #[test]
    fn single_bytes_are_too_many_long_before_they_are_much() {
        let backlog = Backlogs::default().of(&peer());
        let mut frames = Frames::default();
        assert!(frames.count(&frame(1, 1, 1, 0, b""), &backlog));
        let sent = (0..UNREAD).take_while(|_| frames.count(&data(1, b"x"), &backlog));
        assert_eq!(sent.count(), UNREAD / (FRAME_COST + 1));
    }
}
