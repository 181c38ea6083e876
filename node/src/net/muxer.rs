//! Many streams over one encrypted connection: yamux, with our own settings.
//!
//! `libp2p-yamux` speaks the same protocol but hides the two settings that
//! matter here: a frame as large as a Noise message, and a receive window
//! that one peer cannot drive to a gigabyte. Peers with the usual settings
//! are understood, and understand us. The muxer also notices that the other
//! side has gone silent, or sends more than anybody reads, and ends the connection.

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
use libp2p::{
    PeerId,
    core::{
        muxing::{StreamMuxer, StreamMuxerEvent},
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
    },
};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};

use super::{
    backlog::{Backlog, Backlogs, Frames, Substream},
    event::Counters,
    limits::{FRAME, WAITING_STREAMS, YAMUX_STREAMS, YAMUX_WINDOW},
};

/// What the connections of a node have in common.
#[derive(Clone)]
pub(super) struct Muxing {
    pub(super) refused: Arc<Counters>,
    pub(super) silence: Duration,
    pub(super) farewell: Duration,
    pub(super) backlogs: Backlogs,
}

impl Muxing {
    /// For a connection with this peer.
    pub(super) fn with(self, peer: &PeerId) -> Mux {
        let backlog = self.backlogs.of(peer);
        Mux {
            refused: self.refused,
            silence: self.silence,
            farewell: self.farewell,
            backlog,
        }
    }
}

/// Turns an encrypted connection into a multiplexed one.
#[derive(Clone)]
pub(super) struct Mux {
    refused: Arc<Counters>,
    silence: Duration,
    farewell: Duration,
    backlog: Backlog,
}

impl Mux {
    fn start<C: AsyncRead + AsyncWrite + Unpin>(self, io: C, mode: yamux::Mode) -> Muxer<C> {
        let mut config = yamux::Config::default();
        config
            .set_max_num_streams(YAMUX_STREAMS)
            .set_max_connection_receive_window(Some(YAMUX_WINDOW))
            .set_split_send_size(FRAME);
        let state = Arc::new(LineState::default());
        let io = Watched {
            io,
            state: Arc::clone(&state),
            frames: Frames::default(),
            backlog: self.backlog.clone(),
        };
        let half = self.silence / 2;
        Muxer {
            yamux: yamux::Connection::new(io, config, mode),
            waiting: VecDeque::new(),
            refused: self.refused,
            state,
            backlog: self.backlog,
            silent: false,
            half,
            check: Box::pin(sleep(half)),
            farewell: self.farewell,
            leaving: None,
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
    yamux: yamux::Connection<Watched<C>>,
    /// Inbound streams that yamux gave before libp2p asked for them. They
    /// come while the connection is driven and cannot be put back.
    waiting: VecDeque<Substream>,
    refused: Arc<Counters>,
    state: Arc<LineState>,
    backlog: Backlog,
    /// Nothing came in the last period.
    silent: bool,
    half: Duration,
    check: Pin<Box<Sleep>>,
    farewell: Duration,
    leaving: Option<Pin<Box<Sleep>>>,
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
    fn poll_yamux(&mut self, cx: &mut Context<'_>) -> Poll<Result<Substream, MuxerError>> {
        let Some(stream) = ready!(self.yamux.poll_next_inbound(cx)) else {
            return Poll::Ready(Err(MuxerError::Closed));
        };
        self.state.used.store(true, Ordering::Relaxed);
        let stream = stream.map_err(MuxerError::from);
        Poll::Ready(stream.map(|stream| self.counted(stream)))
    }

    fn counted(&self, stream: yamux::Stream) -> Substream {
        Substream::new(stream, self.backlog.clone())
    }

    /// Two periods in a row without a byte mean that nobody is there. Both
    /// sides ping several times in that span, and their pings arrive whatever
    /// our own uplink is busy with. yamux stops reading while it cannot write
    /// a pong, so two sides that both do would wait for ever: this ends that.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<MuxerError> {
        while self.check.poll_unpin(cx).is_ready() {
            let heard = self.state.heard.swap(false, Ordering::Relaxed);
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
    type Substream = Substream;
    type Error = MuxerError;

    fn poll_inbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Substream, MuxerError>> {
        let this = self.get_mut();
        match this.waiting.pop_front() {
            Some(stream) => Poll::Ready(Ok(stream)),
            None => this.poll_yamux(cx),
        }
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Substream, MuxerError>> {
        let this = self.get_mut();
        let opened = ready!(this.yamux.poll_new_outbound(cx))?;
        this.state.used.store(true, Ordering::Relaxed);
        this.backlog.begin(opened.id().val());
        Poll::Ready(Ok(this.counted(opened)))
    }

    /// A peer that does not read could hold the connection open for ever, so
    /// the goodbye has a deadline.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), MuxerError>> {
        let this = self.get_mut();
        if let Poll::Ready(closed) = this.yamux.poll_close(cx) {
            return Poll::Ready(closed.map_err(MuxerError::from));
        }
        let farewell = this.farewell;
        let leaving = this
            .leaving
            .get_or_insert_with(|| Box::pin(sleep(farewell)));
        leaving.poll_unpin(cx).map(|()| Err(MuxerError::Silent))
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

/// What the muxer and the connection below yamux tell each other.
#[derive(Default)]
struct LineState {
    /// Something has come in since the last look.
    heard: AtomicBool,
    /// There has been a stream. Who is turned away at the gate never has one.
    used: AtomicBool,
}

/// The encrypted connection, watched for silence and closed with patience.
struct Watched<C> {
    io: C,
    state: Arc<LineState>,
    frames: Frames,
    backlog: Backlog,
}

impl<C: AsyncRead + Unpin> AsyncRead for Watched<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let read = ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        this.state.heard.store(true, Ordering::Relaxed);
        if !this.frames.count(&buffer[..read], &this.backlog) {
            tracing::warn!("a device sends more than anybody reads: the connection is ended");
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        Poll::Ready(Ok(read))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.backlog.flushed();
        Poll::Ready(Ok(()))
    }

    /// Closes for writing, then reads until the peer closes as well. A TCP
    /// socket that is closed with bytes unread resets the connection, and the
    /// reset overtakes what was written just before. The muxer ends the wait;
    /// who never had a stream is not waited for.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_close(cx))?;
        if !self.state.used.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let mut rest = [0; 1024];
        loop {
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut rest)) {
                Ok(0) | Err(_) => return Poll::Ready(Ok(())),
                Ok(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::{AsyncReadExt as _, AsyncWriteExt as _, future::join};
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
    use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

    use super::*;

    type Pipe = Compat<DuplexStream>;

    fn muxer(io: DuplexStream, mode: yamux::Mode) -> (Muxer<Pipe>, Arc<Counters>) {
        let refused = Arc::new(Counters::default());
        let muxing = Muxing {
            refused: Arc::clone(&refused),
            silence: Duration::from_secs(60),
            farewell: Duration::from_millis(50),
            backlogs: Backlogs::default(),
        };
        let mux = muxing.with(&PeerId::random());
        (mux.start(io.compat(), mode), refused)
    }

    async fn opened(muxer: &mut Muxer<Pipe>) -> Substream {
        poll_fn(|cx| Pin::new(&mut *muxer).poll_outbound(cx))
            .await
            .unwrap()
    }

    fn drive(mut muxer: Muxer<Pipe>) {
        tokio::spawn(async move { poll_fn(|cx| Pin::new(&mut muxer).poll(cx)).await });
    }

    #[tokio::test]
    async fn a_full_frame_is_one_noise_message() {
        let (ours, mut wire) = duplex(1024 * 1024);
        let (mut muxer, _) = muxer(ours, yamux::Mode::Client);
        let mut stream = opened(&mut muxer).await;
        drive(muxer);
        let sent = 3 * FRAME + 1;
        stream.write_all(&vec![7; sent]).await.unwrap();
        let mut frames = Vec::new();
        while frames.iter().sum::<usize>() < sent {
            let mut header = [0; 12];
            wire.read_exact(&mut header).await.unwrap();
            // Type 0 is data; the others have no body (yamux specification).
            if header[1] == 0 {
                let length = u32::from_be_bytes(header[8..].try_into().unwrap());
                let length = usize::try_from(length).unwrap();
                wire.read_exact(&mut vec![0; length]).await.unwrap();
                frames.push(length);
            }
        }
        assert_eq!(frames, [FRAME, FRAME, FRAME, 1]);
        assert_eq!(FRAME + 12, 65_535 - 1024);
    }

    #[tokio::test]
    async fn peers_with_the_usual_settings_are_understood() {
        let (ours, theirs) = duplex(64 * 1024);
        let (mut muxer, _) = muxer(ours, yamux::Mode::Client);
        let stream = opened(&mut muxer).await;
        drive(muxer);
        let usual = yamux::Config::default();
        let mut peer = yamux::Connection::new(theirs.compat(), usual, yamux::Mode::Server);
        tokio::spawn(async move {
            while let Some(Ok(stream)) = poll_fn(|cx| peer.poll_next_inbound(cx)).await {
                tokio::spawn(async move {
                    let (read, mut write) = stream.split();
                    futures::io::copy(read, &mut write).await.unwrap();
                    write.close().await.unwrap();
                });
            }
        });
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(2 * 1024 * 1024).collect();
        let (mut read, mut write) = stream.split();
        let send = async {
            write.write_all(&bytes).await.unwrap();
            write.close().await.unwrap();
        };
        let mut back = Vec::new();
        let (_, read) = join(send, read.read_to_end(&mut back)).await;
        read.unwrap();
        assert!(back == bytes);
    }

    #[tokio::test]
    async fn streams_that_nobody_takes_are_bounded_and_counted() {
        let (ours, theirs) = duplex(64 * 1024);
        let (mut ours, refused) = muxer(ours, yamux::Mode::Server);
        let (mut theirs, _) = muxer(theirs, yamux::Mode::Client);
        let opened_streams = WAITING_STREAMS + 5;
        let mut streams = Vec::new();
        for _ in 0..opened_streams {
            let mut stream = opened(&mut theirs).await;
            stream.write_all(b"x").await.unwrap();
            streams.push(stream);
        }
        drive(theirs);
        let over = u64::try_from(opened_streams - WAITING_STREAMS).unwrap();
        poll_fn(|cx| {
            assert!(Pin::new(&mut ours).poll(cx).is_pending());
            match refused.streams.load(Ordering::Relaxed) == over {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        assert_eq!(ours.waiting.len(), WAITING_STREAMS);
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_cannot_delay_the_goodbye_for_ever() {
        let (ours, _theirs) = duplex(16);
        let (mut muxer, _) = muxer(ours, yamux::Mode::Client);
        let mut stream = opened(&mut muxer).await;
        stream.write_all(&[0; 1024]).await.unwrap();
        let closed = poll_fn(|cx| Pin::new(&mut muxer).poll_close(cx)).await;
        assert!(matches!(closed, Err(MuxerError::Silent)));
    }
}
