//! The requests of a bucket over HTTP/1.1: hyper and ring, on connections that are used again.
//!
//! A server is hostile here. It has to say something within a while and to
//! bring bytes at a least rate, a list or a message ends at a length, and a
//! connection serves again only once its answer was read to the end.

use std::{
    fmt, io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use hyper::body::Bytes;
use hyper::{
    Method, Uri,
    body::{Body, Frame, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
        HttpResponse, HttpResponseBody, HttpService,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, Sleep, timeout},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};
use tokio_util::task::AbortOnDropHandle;

use crate::net::Reach;

/// How long a server may say nothing.
#[cfg(not(test))]
const PATIENCE: Duration = Duration::from_secs(10);
#[cfg(test)]
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes a second below which a request is given up, either way. Eight that are sent at once
/// share what a slow line has.
const SLOWEST: u64 = 8 * 1024;
/// Longest answer that is no object: a list has a thousand names of at most a thousand bytes.
const ANSWER_BYTES: u64 = 4 * 1024 * 1024;
/// Connections that are kept for the next request.
const IDLE: usize = 8;

/// Makes the clients of buckets.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    /// Which servers may be talked to.
    pub(super) reach: Reach,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Client {
            reach: self.reach.clone(),
            idle: Idle::default(),
        }))
    }
}

/// Talks to servers; what it keeps open ends with it.
#[derive(Debug)]
struct Client {
    reach: Reach,
    idle: Idle,
}

/// A connection to a place, which ends when this is dropped.
struct Line {
    place: Uri,
    sender: SendRequest<HttpRequestBody>,
    _connection: AbortOnDropHandle<()>,
}

/// Connections whose last answer was read to the end.
#[derive(Clone, Default)]
struct Idle(Arc<Mutex<Vec<Line>>>);

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Idle")
    }
}

impl Idle {
    fn take(&self, place: &Uri) -> Option<Line> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = lines.iter().rposition(|line| line.place == *place)?;
        Some(lines.swap_remove(at))
    }

    fn keep(&self, line: Line) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|line| !line.sender.is_closed());
        if lines.len() < IDLE {
            lines.push(line);
        }
    }
}

fn failed(kind: HttpErrorKind) -> impl FnOnce(io::Error) -> HttpError {
    move |error| HttpError::new(kind, error)
}

fn lost(error: hyper::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Request, error)
}

fn stalled() -> HttpError {
    let error = io::Error::new(io::ErrorKind::TimedOut, "the store says too little");
    HttpError::new(HttpErrorKind::Timeout, error)
}

/// How long so many bytes may take.
fn time_of(bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / SLOWEST)
}

/// Whether a server is not talked to. Names are not looked up where only the local network is: that is done outside.
pub(super) fn is_refused(endpoint: &str, reach: &Reach) -> bool {
    let uri = endpoint.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).map(bare);
    !host.is_some_and(|host| is_held(host, reach)) && *reach != Reach::Anywhere
}

fn is_held(host: &str, reach: &Reach) -> bool {
    *reach == Reach::Anywhere || host.parse::<IpAddr>().is_ok_and(|ip| reach.holds(ip))
}

/// A host without the brackets around an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Scheme, host and port alone.
fn place_of(uri: &Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(hyper::http::uri::PathAndQuery::from_static("/"));
    Uri::from_parts(parts).unwrap_or_default()
}

impl Client {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let place = place_of(request.uri());
        while let Some(mut line) = self.idle.take(&place) {
            // One that the server has closed says so here, or when it is written to. What is asked
            // of a store does the same when it is asked twice.
            let ready = timeout(PATIENCE, line.sender.ready()).await;
            if !matches!(ready, Ok(Ok(()))) {
                continue;
            }
            match self.ask(line, request.clone()).await {
                Err(error) if error.kind() == HttpErrorKind::Request => {}
                answered => return answered,
            }
        }
        let line = timeout(PATIENCE, self.call(&place))
            .await
            .map_err(|_| stalled())??;
        self.ask(line, request).await
    }

    async fn call(&self, place: &Uri) -> Result<Line, HttpError> {
        let stream = self.dial(place).await;
        let stream = stream.map_err(failed(HttpErrorKind::Connect))?;
        line(place.clone(), stream).await
    }

    async fn ask(&self, mut line: Line, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_list = request.uri().query().is_some_and(is_list);
        let is_object = request.method() == Method::GET && !is_list;
        let length = u64::try_from(request.body().content_length()).unwrap_or(u64::MAX);
        let patience = PATIENCE.saturating_add(time_of(length));
        let answered = timeout(patience, line.sender.send_request(into_hyper(request))).await;
        let answer = answered.map_err(|_| stalled())?.map_err(lost)?;
        let (parts, body) = answer.into_parts();
        let most = match is_object && parts.status.is_success() {
            true => u64::MAX,
            false => ANSWER_BYTES,
        };
        let body = Patient::new(body, most, line, self.idle.clone());
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }

    async fn dial(&self, uri: &Uri) -> io::Result<Box<dyn Duplex>> {
        let invalid = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
        let host = uri
            .host()
            .ok_or_else(|| invalid("an address without a host"))?;
        let host = bare(host);
        let is_secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        // A name would have to be looked up outside.
        if !is_held(host, &self.reach) {
            return Err(invalid("this device talks to the local network alone"));
        }
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        if !is_secure {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| invalid("a name that no certificate has"))?;
        let tls = TlsConnector::from(Arc::clone(&*TLS));
        Ok(Box::new(tls.connect(name, stream).await?))
    }
}

fn is_list(query: &str) -> bool {
    query.split('&').any(|part| part == "list-type=2")
}

async fn line(place: Uri, stream: Box<dyn Duplex>) -> Result<Line, HttpError> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let connection = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a store ended");
        }
    });
    Ok(Line {
        place,
        sender,
        _connection: AbortOnDropHandle::new(connection),
    })
}

/// Trust in what the system trusts.
static TLS: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // One that cannot be read is left out, as others do.
        let _ = roots.add(certificate);
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
});

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// The request in the form of HTTP/1.1: the path alone, the host in a header.
fn into_hyper(request: HttpRequest) -> HttpRequest {
    let (mut parts, body) = request.into_parts();
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = authority.as_str().parse()
    {
        parts.headers.entry(hyper::header::HOST).or_insert(host);
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if let Ok(path) = path.parse() {
        parts.uri = path;
    }
    HttpRequest::from_parts(parts, body)
}

impl HttpService for Client {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> BoxFuture<'b, Result<HttpResponse, HttpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.exchange(request))
    }
}

/// An answer's body that ends with an error where the server is too slow or says too much.
struct Patient {
    body: Incoming,
    wakes: Pin<Box<Sleep>>,
    /// Bytes that may still come.
    left: u64,
    line: Option<Line>,
    idle: Idle,
}

impl Patient {
    fn new(body: Incoming, most: u64, line: Line, idle: Idle) -> Self {
        let mut patient = Self {
            body,
            wakes: Box::pin(tokio::time::sleep(PATIENCE)),
            left: most,
            line: Some(line),
            idle,
        };
        patient.rest();
        patient
    }

    /// Gives the connection back once there is nothing more to come on it.
    fn rest(&mut self) {
        if self.body.is_end_stream()
            && let Some(line) = self.line.take()
        {
            self.idle.keep(line);
        }
    }

    /// Takes account of bytes that came. They buy time, and never more of it than silence may take.
    fn came(&mut self, bytes: u64) -> Result<(), HttpError> {
        let now = Instant::now();
        let until = self.wakes.deadline();
        if now > until {
            return Err(stalled());
        }
        let until = (until + time_of(bytes)).min(now + PATIENCE);
        self.wakes.as_mut().reset(until);
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::InvalidData, "the store says too much");
            HttpError::new(HttpErrorKind::Decode, error)
        })?;
        Ok(())
    }
}

impl Drop for Patient {
    fn drop(&mut self) {
        self.rest();
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            return match self.wakes.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(stalled()))),
                Poll::Pending => Poll::Pending,
            };
        };
        self.rest();
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))?;
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.came(u64::try_from(bytes).unwrap_or(u64::MAX))?;
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    #[test]
    fn only_addresses_of_the_local_network_are_near() {
        let near = Reach::LanOnly(Vec::new());
        for text in [
            "http://127.0.0.1:9000",
            "https://192.168.1.4",
            "http://[fd00::1]:1",
        ] {
            assert!(!is_refused(text, &near), "{text}");
        }
        for far in [
            "https://192.0.2.1",
            "http://localhost:9",
            "https://s3.example.org",
            "x",
        ] {
            assert!(is_refused(far, &near), "{far}");
            assert!(!is_refused(far, &Reach::Anywhere), "{far}");
        }
        // What a person counts as near is near here as well.
        let overlay = Reach::LanOnly(vec!["100.64.0.0/10".parse().unwrap()]);
        assert!(is_refused("http://100.64.0.9", &near));
        assert!(!is_refused("http://100.64.0.9", &overlay));
        assert!(is_refused("http://192.0.2.1", &overlay));
    }

    const PLACE: &str = "http://192.0.2.1/";

    /// A client whose connection leads to what a test says.
    async fn connected() -> (Client, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let line = line(Uri::from_static(PLACE), Box::new(ours)).await.unwrap();
        let client = Client {
            // Nothing else is called.
            reach: Reach::LanOnly(Vec::new()),
            idle: Idle::default(),
        };
        client.idle.keep(line);
        (client, theirs)
    }

    fn request(path: &str) -> HttpRequest {
        let uri = format!("{PLACE}{path}");
        let request = hyper::Request::get(uri).body(HttpRequestBody::empty());
        request.unwrap()
    }

    async fn hear(server: &mut DuplexStream) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            heard.push(server.read_u8().await.unwrap());
        }
        String::from_utf8(heard).unwrap()
    }

    async fn all(answer: HttpResponse) -> Result<usize, HttpError> {
        let mut stream = answer.into_body().into_data_stream();
        let mut bytes = 0;
        while let Some(piece) = stream.next().await {
            bytes += piece?.len();
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn a_server_that_trickles_is_given_up_and_a_slow_one_is_not() {
        for (every, bytes, is_given_up) in [(100, 1, true), (1500, 1, true), (250, 20_000, false)] {
            let (client, mut server) = connected().await;
            let serving = tokio::spawn(async move {
                hear(&mut server).await;
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n";
                server.write_all(head).await.unwrap();
                let piece = vec![7; bytes];
                for _ in 0..200_000 / bytes {
                    tokio::time::sleep(Duration::from_millis(every)).await;
                    if server.write_all(&piece).await.is_err() {
                        return;
                    }
                }
            });
            let begun = Instant::now();
            let answer = client.exchange(request("object")).await.unwrap();
            let read = all(answer).await;
            match is_given_up {
                true => assert_eq!(read.unwrap_err().kind(), HttpErrorKind::Timeout),
                false => assert_eq!(read.unwrap(), 200_000),
            }
            assert!(begun.elapsed() >= PATIENCE, "{:?}", begun.elapsed());
            serving.await.unwrap();
        }
    }

    #[tokio::test]
    async fn bytes_that_came_fast_buy_no_silence() {
        let (client, mut server) = connected().await;
        tokio::spawn(async move {
            hear(&mut server).await;
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n";
            server.write_all(head).await.unwrap();
            server.write_all(&vec![7; 8_000_000]).await.unwrap();
            std::future::pending::<()>().await;
        });
        let begun = Instant::now();
        let answer = client.exchange(request("object")).await.unwrap();
        let error = all(answer).await.unwrap_err();
        assert_eq!(error.kind(), HttpErrorKind::Timeout);
        let most = time_of(8_000_000);
        assert!(begun.elapsed() < most / 2, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_list_ends_at_a_length_and_an_object_does_not() {
        let length = usize::try_from(ANSWER_BYTES).unwrap() + 1;
        for (path, is_too_long) in [("?list-type=2&prefix=a", true), ("object", false)] {
            let (client, mut server) = connected().await;
            let serving = tokio::spawn(async move {
                hear(&mut server).await;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                server.write_all(head.as_bytes()).await.unwrap();
                // The client may hang up.
                let _ = server.write_all(&vec![b' '; length]).await;
            });
            let answer = client.exchange(request(path)).await.unwrap();
            let read = all(answer).await;
            assert_eq!(read.is_err(), is_too_long, "{path}");
            serving.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_connection_serves_again_once_its_answer_was_read() {
        let (client, mut server) = connected().await;
        let serving = tokio::spawn(async move {
            let mut heard = Vec::new();
            for _ in 0..3 {
                heard.push(hear(&mut server).await);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                server.write_all(answer).await.unwrap();
            }
            heard
        });
        for path in ["a", "b"] {
            let answer = client.exchange(request(path)).await.unwrap();
            assert_eq!(all(answer).await.unwrap(), 2);
        }
        // Nobody reads this answer: its connection is not used again, and no other may be made.
        drop(client.exchange(request("c")).await.unwrap());
        let heard = serving.await.unwrap();
        assert!(heard[2].starts_with("GET /c HTTP/1.1\r\n"), "{heard:?}");
        let refused = client.exchange(request("d")).await.unwrap_err();
        assert_eq!(refused.kind(), HttpErrorKind::Connect);
    }
}
