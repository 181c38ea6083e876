//! The requests of a bucket over HTTP: hyper and ring, each request on a connection of its own.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use hyper::body::Bytes;
use hyper::{
    Uri,
    body::{Body, Frame, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpResponseBody, HttpService,
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

/// How long a server may say nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes a second below which sending is given up.
const SLOWEST: u64 = 64 * 1024;

/// Makes the clients of buckets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connector {
    /// Whether servers outside the local network are refused.
    pub(super) lan_only: bool,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Client(*self)))
    }
}

#[derive(Debug)]
struct Client(Connector);

fn failed(kind: HttpErrorKind) -> impl FnOnce(io::Error) -> HttpError {
    move |error| HttpError::new(kind, error)
}

fn stalled() -> HttpError {
    let error = io::Error::new(io::ErrorKind::TimedOut, "the store says nothing");
    HttpError::new(HttpErrorKind::Timeout, error)
}

/// Whether an address is of this computer or of the network that it is in.
fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Whether a server is not talked to. Names are not looked up where only the local network is: that is done outside.
pub(super) fn is_refused(endpoint: &str, lan_only: bool) -> bool {
    let uri = endpoint.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).map(bare);
    lan_only && !host.and_then(|host| host.parse().ok()).is_some_and(is_near)
}

/// A host without the brackets around an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

impl Client {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = request.uri().clone();
        let stream = timeout(PATIENCE, self.dial(&uri))
            .await
            .map_err(|_| stalled())?
            .map_err(failed(HttpErrorKind::Connect))?;
        let lost = |error: hyper::Error| HttpError::new(HttpErrorKind::Request, error);
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // It ends with the body of the answer, or when that is dropped.
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a store ended");
            }
        });
        let length = u64::try_from(request.body().content_length()).unwrap_or(u64::MAX);
        let patience = PATIENCE.saturating_add(Duration::from_secs(length / SLOWEST));
        let answered = timeout(patience, sender.send_request(into_hyper(request))).await;
        let answer = match answered {
            Ok(answer) => answer.map_err(lost)?,
            Err(_) => {
                connection.abort();
                return Err(stalled());
            }
        };
        let (parts, body) = answer.into_parts();
        let body = HttpResponseBody::new(Patient::new(body));
        Ok(HttpResponse::from_parts(parts, body))
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
        if self.0.lan_only && !host.parse().is_ok_and(is_near) {
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

/// An answer's body that ends with an error where the server says nothing for a while.
struct Patient {
    body: Incoming,
    wakes: Pin<Box<Sleep>>,
}

impl Patient {
    fn new(body: Incoming) -> Self {
        let wakes = Box::pin(tokio::time::sleep(PATIENCE));
        Self { body, wakes }
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.wakes.as_mut().reset(Instant::now() + PATIENCE);
                let lost = |error| HttpError::new(HttpErrorKind::Interrupted, error);
                Poll::Ready(frame.map(|frame| frame.map_err(lost)))
            }
            Poll::Pending => match self.wakes.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(stalled()))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_local_network_are_near() {
        for near in [
            "http://127.0.0.1:9000",
            "https://192.168.1.4",
            "http://[fd00::1]:1",
        ] {
            assert!(!is_refused(near, true), "{near}");
        }
        for far in [
            "https://192.0.2.1",
            "http://localhost:9",
            "https://s3.example.org",
            "x",
        ] {
            assert!(is_refused(far, true), "{far}");
            assert!(!is_refused(far, false), "{far}");
        }
    }
}
