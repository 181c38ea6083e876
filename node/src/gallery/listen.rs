//! Connections: few, patient with nobody, and HTTP/1.1 alone.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{guard::Door, page};
use crate::net::source_of;

/// Most connections at one time of a door: this computer and phones have places of their own, so that whoever is
/// in the local network takes none of those of this computer.
pub(super) const CONNECTIONS: usize = 64;
/// Most connections of one phone; a browser opens six, and one more for events.
pub(super) const CONNECTIONS_OF_ONE: usize = 16;
/// Most bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;
/// How long a request's head may take, and how long a connection may say nothing.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The first byte of a connection that speaks TLS (RFC 8446, section 5.1).
const TLS_HANDSHAKE: [u8; 1] = [22];
/// How long running answers have at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// One place to listen.
pub(super) struct Listener {
    pub(super) tcp: TcpListener,
    pub(super) door: Door,
    pub(super) tls: Option<TlsAcceptor>,
}

/// How many connections there may be, and how patient they are. Cheap to clone.
#[derive(Clone)]
pub(super) struct Room {
    /// How long a peer may take no bytes that wait for it.
    stall: Duration,
    places: Arc<Semaphore>,
    /// Most connections from one address.
    most_of_one: usize,
    from: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Room {
    /// One for all listeners of a door.
    pub(super) fn new(stall: Duration, most_of_one: usize) -> Self {
        Self {
            stall,
            places: Arc::new(Semaphore::new(CONNECTIONS)),
            most_of_one,
            from: Arc::default(),
        }
    }

    /// A place for one more, if there is one.
    fn enter(&self, ip: IpAddr) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        let ip = source_of(ip);
        let mut from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        let held = from.entry(ip).or_default();
        if *held >= self.most_of_one {
            return None;
        }
        *held += 1;
        Some(Place {
            _permit: permit,
            ip,
            from: self.from.clone(),
        })
    }
}

/// A place that is taken; dropping it gives it back.
struct Place {
    _permit: OwnedSemaphorePermit,
    ip: IpAddr,
    from: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        let held = from.get_mut(&self.ip).map(|held| {
            *held = held.saturating_sub(1);
            *held
        });
        if held == Some(0) {
            from.remove(&self.ip);
        }
    }
}

/// Where a request comes from: an address, or the network of one (IPv6).
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(pub(super) IpAddr);

/// Serves until it is told to stop.
pub(super) async fn serve(listener: Listener, router: Router, room: Room, stop: CancellationToken) {
    let tasks = tokio_util::task::TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.tcp.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let Ok((stream, from)) = accepted else {
            // Too many open files, for one: it passes.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Whoever comes when there is no room is sent away at once.
        let Some(place) = room.enter(from.ip()) else {
            continue;
        };
        let (door, stop) = (listener.door.clone(), stop.clone());
        let router = router.clone();
        let tls = listener.tls.clone();
        // Small answers should not wait for more of them.
        let _ = stream.set_nodelay(true);
        let stream = Patient::new(stream, room.stall);
        tasks.spawn(async move { connection(stream, tls, router, door, place, stop).await });
    }
    tasks.close();
    // Those who do not end in time are cut off with the runtime.
    let _ = timeout(FAREWELL, tasks.wait()).await;
}

async fn connection(
    stream: Patient,
    tls: Option<TlsAcceptor>,
    router: Router,
    door: Door,
    place: Place,
    stop: CancellationToken,
) {
    let caller = Caller(place.ip);
    let Some(tls) = tls else {
        return answer(stream, router, door, caller, stop).await;
    };
    let mut first = [0];
    match timeout(HEAD_TIME, stream.stream.peek(&mut first)).await {
        Ok(Ok(1)) if first == TLS_HANDSHAKE => {}
        // Somebody typed the address without its https.
        Ok(Ok(1)) => return answer(stream, page::to_https(), door, caller, stop).await,
        _ => return,
    }
    match timeout(HEAD_TIME, tls.accept(stream)).await {
        Ok(Ok(stream)) => answer(stream, router, door, caller, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

async fn answer<S>(stream: S, router: Router, door: Door, caller: Caller, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(door.clone());
        request.extensions_mut().insert(caller);
        request.map(axum::body::Body::new)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            match timeout(FAREWELL, serving).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the gallery");
    }
}

/// A stream that breaks when its peer takes nothing for a while.
struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// Runs while bytes wait to be taken.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn new(stream: TcpStream, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            stalled: None,
        }
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
