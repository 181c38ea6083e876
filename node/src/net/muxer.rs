//! Many streams over one encrypted connection: yamux, with our own settings.
//!
//! `libp2p-yamux` speaks the same protocol but hides the two settings that
//! matter here: a frame as large as a Noise message, and a receive window
//! that one peer cannot drive to a gigabyte. Peers with the usual settings
//! are understood, and understand us. The muxer also notices that the other
//! side has gone silent, and ends the connection.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    io, iter,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite, FutureExt};
use libp2p::core::{
    muxing::{StreamMuxer, StreamMuxerEvent},
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};

use super::{
    Refused,
    limits::{FAREWELL, FRAME, WAITING_STREAMS, YAMUX_STREAMS, YAMUX_WINDOW},
};

/// Turns an encrypted connection into a multiplexed one.
#[derive(Clone)]
pub(super) struct Mux {
    pub(super) refused: Arc<Refused>,
    pub(super) silence: Duration,
}

impl Mux {
    fn start<C: AsyncRead + AsyncWrite + Unpin>(self, io: C, mode: yamux::Mode) -> Muxer<C> {
        let mut config = yamux::Config::default();
        config
            .set_max_num_streams(YAMUX_STREAMS)
            .set_max_connection_receive_window(Some(YAMUX_WINDOW))
            .set_split_send_size(FRAME);
        let heard = Arc::new(AtomicBool::new(true));
        let io = Heard {
            io,
            heard: Arc::clone(&heard),
        };
        let half = self.silence / 2;
        Muxer {
            yamux: yamux::Connection::new(io, config, mode),
            waiting: VecDeque::new(),
            refused: self.refused,
            heard,
            silent: false,
            half,
            check: Box::pin(sleep(half)),
            farewell: None,
        }
    }
}

impl UpgradeInfo for Mux {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Mux {
    type Output = Muxer<C>;
    type Error = Infallible;
    type Future = Ready<Result<Muxer<C>, Infallible>>;

    fn upgrade_inbound(self, io: C, _: Self::Info) -> Self::Future {
        ready(Ok(self.start(io, yamux::Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Mux {
    type Output = Muxer<C>;
    type Error = Infallible;
    type Future = Ready<Result<Muxer<C>, Infallible>>;

    fn upgrade_outbound(self, io: C, _: Self::Info) -> Self::Future {
        ready(Ok(self.start(io, yamux::Mode::Client)))
    }
}

/// One multiplexed connection.
pub(super) struct Muxer<C> {
    yamux: yamux::Connection<Heard<C>>,
    /// Inbound streams that yamux gave before libp2p asked for them. They
    /// come while the connection is driven and cannot be put back.
    waiting: VecDeque<yamux::Stream>,
    refused: Arc<Refused>,
    heard: Arc<AtomicBool>,
    /// Nothing came in the last period.
    silent: bool,
    half: Duration,
    check: Pin<Box<Sleep>>,
    farewell: Option<Pin<Box<Sleep>>>,
}

/// Why a multiplexed connection ended.
#[derive(Debug, Error)]
pub(super) enum MuxerError {
    #[error(transparent)]
    Yamux(#[from] yamux::ConnectionError),
    #[error("the peer closed the connection")]
    Closed,
    #[error("the peer has gone silent")]
    Silent,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    fn poll_yamux(&mut self, cx: &mut Context<'_>) -> Poll<Result<yamux::Stream, MuxerError>> {
        Poll::Ready(match ready!(self.yamux.poll_next_inbound(cx)) {
            Some(stream) => stream.map_err(MuxerError::from),
            None => Err(MuxerError::Closed),
        })
    }

    /// Two periods in a row without a byte mean that nobody is there. Both
    /// sides ping several times in that span, and their pings arrive whatever
    /// our own uplink is busy with. yamux stops reading while it cannot write
    /// a pong, so two sides that both do would wait for ever: this ends that.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<MuxerError> {
        while self.check.poll_unpin(cx).is_ready() {
            let heard = self.heard.swap(false, Ordering::Relaxed);
            if self.silent && !heard {
                return Poll::Ready(MuxerError::Silent);
            }
            self.silent = !heard;
            self.check.as_mut().reset(Instant::now() + self.half);
        }
        Poll::Pending
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = yamux::Stream;
    type Error = MuxerError;

    fn poll_inbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<yamux::Stream, MuxerError>> {
        let this = self.get_mut();
        match this.waiting.pop_front() {
            Some(stream) => Poll::Ready(Ok(stream)),
            None => this.poll_yamux(cx),
        }
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<yamux::Stream, MuxerError>> {
        let opened = ready!(self.get_mut().yamux.poll_new_outbound(cx));
        Poll::Ready(opened.map_err(MuxerError::from))
    }

    /// A peer that does not read could hold the connection open for ever, so
    /// the goodbye has a deadline.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), MuxerError>> {
        let this = self.get_mut();
        if let Poll::Ready(closed) = this.yamux.poll_close(cx) {
            return Poll::Ready(closed.map_err(MuxerError::from));
        }
        let farewell = this
            .farewell
            .get_or_insert_with(|| Box::pin(sleep(FAREWELL)));
        farewell.poll_unpin(cx).map(|()| Err(MuxerError::Silent))
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, MuxerError>> {
        let this = self.get_mut();
        if let Poll::Ready(error) = this.poll_silence(cx) {
            return Poll::Ready(Err(error));
        }
        let stream = ready!(this.poll_yamux(cx))?;
        if this.waiting.len() < WAITING_STREAMS {
            this.waiting.push_back(stream);
        } else {
            // Dropping an open yamux stream resets it.
            this.refused.streams.fetch_add(1, Ordering::Relaxed);
        }
        // There may be more, and libp2p is to ask for what waits.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A connection that remembers whether anything has come in.
struct Heard<C> {
    io: C,
    heard: Arc<AtomicBool>,
}

impl<C: AsyncRead + Unpin> AsyncRead for Heard<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        self.heard.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(read))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Heard<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}
