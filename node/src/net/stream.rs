//! One stream of bytes to a peer, as the rest of the node sees it.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures::{AsyncRead as _, AsyncWrite as _, FutureExt};
use libp2p::swarm::ConnectionId;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proto {
    /// `/heirloom/pair/1`: an invite is redeemed.
    Pair,
    /// `/heirloom/sync/1`: the conversation about logs.
    Sync,
    /// `/heirloom/blob/1`: bulk.
    Blob,
}

impl Proto {
    /// Every protocol.
    pub const ALL: &'static [Self] = &[Self::Pair, Self::Sync, Self::Blob];
}

/// The name on the wire.
impl AsRef<str> for Proto {
    fn as_ref(&self) -> &str {
        match self {
            Self::Pair => "/heirloom/pair/1",
            Self::Sync => "/heirloom/sync/1",
            Self::Blob => "/heirloom/blob/1",
        }
    }
}

/// Bytes that went over the streams of one connection.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
}

/// One connection among those of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire(pub(super) ConnectionId);

/// What all streams of one connection share.
#[derive(Clone, Default)]
pub(super) struct Tie {
    pub(super) wire: Option<Wire>,
    /// Cancelled when the connection ends, for whatever reason.
    pub(super) cut: CancellationToken,
    pub(super) traffic: Arc<Traffic>,
}

impl Tie {
    pub(super) fn of(wire: Wire) -> Self {
        Self {
            wire: Some(wire),
            ..Self::default()
        }
    }
}

/// An ordered, encrypted, authenticated stream of bytes to a peer.
///
/// Implements tokio's [`AsyncRead`] and [`AsyncWrite`]. Read and write from
/// two tasks ([`tokio::io::split`]) wherever the peer may write as well: who
/// refuses to read while writing can wait for ever (rust-libp2p #5410).
///
/// End of file may also mean that the peer reset the stream or that the
/// connection broke, so only what carries its own length is complete. Once a
/// device is removed its streams take no more bytes, and a read that waits
/// fails. Dropping a stream that was not shut down resets it and frees its
/// place.
pub struct Stream {
    inner: libp2p::Stream,
    tie: Tie,
    read_cut: Cut,
    write_cut: Cut,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    pub(super) fn new(inner: libp2p::Stream, tie: Tie, place: OwnedSemaphorePermit) -> Self {
        Self {
            inner,
            read_cut: Box::pin(tie.cut.clone().cancelled_owned()),
            write_cut: Box::pin(tie.cut.clone().cancelled_owned()),
            tie,
            _place: place,
        }
    }

    /// The connection that it runs over.
    pub fn wire(&self) -> Option<Wire> {
        self.tie.wire
    }
}

/// The end of the connection, for one direction of a stream: a future wakes
/// only the task that polled it last, and the two halves are often two tasks.
type Cut = Pin<Box<WaitForCancellationFutureOwned>>;

/// Turns waiting into failing once the connection has ended: yamux wakes
/// nobody when this side closes it.
fn or_cut<T>(
    result: Poll<io::Result<T>>,
    cut: &mut Cut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<T>> {
    match result {
        Poll::Pending => cut.poll_unpin(cx).map(|()| Err(ended())),
        ready => ready,
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection has ended")
}

fn count(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let space = buffer.initialize_unfilled();
        if space.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut this.inner).poll_read(cx, space);
        let read = ready!(or_cut(read, &mut this.read_cut, cx))?;
        buffer.advance(read);
        count(&this.tie.traffic.received, read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.tie.cut.is_cancelled() {
            return Poll::Ready(Err(ended()));
        }
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        let written = ready!(or_cut(written, &mut this.write_cut, cx))?;
        count(&this.tie.traffic.sent, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.inner).poll_flush(cx);
        or_cut(flushed, &mut this.write_cut, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let closed = Pin::new(&mut this.inner).poll_close(cx);
        or_cut(closed, &mut this.write_cut, cx)
    }
}
