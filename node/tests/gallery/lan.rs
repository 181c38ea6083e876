//! The door for phones: only when asked, only over TLS, and only for what a phone may do.

use std::{net::SocketAddr, sync::Arc};

use data_encoding::HEXUPPER;
use heirloom_node::gallery::{Gallery, GalleryOptions};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use crate::{
    client::{Told, raw},
    world::Home,
};

/// Trusts one certificate, by the fingerprint that a person compared.
#[derive(Debug)]
struct Pinned(String, WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let digest = ::ring::digest::digest(&::ring::digest::SHA256, certificate);
        let pairs: Vec<_> = digest
            .as_ref()
            .iter()
            .map(|b| HEXUPPER.encode(&[*b]))
            .collect();
        match pairs.join(":") == self.0 {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::General("another certificate".into())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.1)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.1)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.supported_schemes()
    }
}

struct Phone {
    at: SocketAddr,
    host: String,
    config: Arc<ClientConfig>,
    cookie: String,
}

impl Phone {
    fn new(gallery: &Gallery) -> Self {
        let (url, fingerprint) = gallery.lan().unwrap();
        let host = url.strip_prefix("https://").unwrap().to_owned();
        let port = host.rsplit_once(':').unwrap().1.parse().unwrap();
        let provider = ring::default_provider();
        let pinned = Pinned(fingerprint, provider.signature_verification_algorithms);
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_no_client_auth();
        Self {
            // Every address of this computer is listened on.
            at: SocketAddr::from(([127, 0, 0, 1], port)),
            host,
            config: Arc::new(config),
            cookie: String::new(),
        }
    }

    async fn send(&self, request: &str) -> Told {
        let stream = TcpStream::connect(self.at).await.unwrap();
        let name = ServerName::try_from("heirloom.local").unwrap();
        let connector = TlsConnector::from(self.config.clone());
        let mut stream = connector.connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), None);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told).await;
        Told::parse(&told)
    }

    async fn get(&self, path: &str) -> Told {
        let (host, cookie) = (&self.host, &self.cookie);
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        ))
        .await
    }

    async fn post(&self, path: &str, body: &str) -> Told {
        let (host, cookie) = (&self.host, &self.cookie);
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nOrigin: https://{host}\r\nX-Heirloom: 1\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await
    }
}

async fn open_to_phones(home: &Home) -> Gallery {
    let options = GalleryOptions {
        listen: Some("0.0.0.0:0".parse().unwrap()),
        lan: true,
        ..GalleryOptions::default()
    };
    Gallery::start(home.doorway.clone(), options).await.unwrap()
}

#[tokio::test]
async fn phones_are_let_in_only_when_asked_for() {
    let home = Home::anna().await;
    let gallery = Gallery::start(home.doorway.clone(), GalleryOptions::default());
    let gallery = gallery.await.unwrap();
    assert_eq!(gallery.lan(), None);
    assert_eq!(gallery.phone_link().unwrap_err().id, "E-USAGE");
}

#[tokio::test]
async fn a_phone_comes_in_over_tls_and_does_what_phones_may() {
    let home = Home::anna().await;
    let item = home
        .add("Family", "a.jpg", b"\xff\xd8\xff\xe0 one")
        .await
        .to_string();
    let gallery = open_to_phones(&home).await;
    let mut phone = Phone::new(&gallery);
    assert_eq!(phone.get("/api/v1/state").await.status, 401);
    // A link for this computer lets nobody in from the network.
    let link = gallery.link().unwrap();
    let token = |link: &str| format!("{{\"token\":\"{}\"}}", link.split_once("#t=").unwrap().1);
    assert_eq!(
        phone.post("/api/v1/session", &token(&link)).await.status,
        403
    );
    let link = gallery.phone_link().unwrap();
    assert!(link.url.starts_with(&format!("https://{}/#t=", phone.host)));
    let told = phone.post("/api/v1/session", &token(&link.url)).await;
    assert_eq!(told.status, 204, "{told:?}");
    let cookie = told.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-heirloom_"), "{cookie}");
    let rules = "; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000; Secure";
    assert!(cookie.ends_with(rules), "{cookie}");
    assert_eq!(told.header("strict-transport-security"), None);
    phone.cookie = cookie.split(';').next().unwrap().to_owned();
    let state = phone.get("/api/v1/state").await.json();
    assert_eq!(
        (&state["limited"], &state["lan"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        state["pictures"],
        json!(null),
        "nothing of this computer's folders"
    );
    assert_eq!(phone.get("/api/v1/timeline").await.json()["total"], 1);
    assert_eq!(phone.get(&format!("/original/{item}")).await.status, 200);
    let ids = json!({"ids": [item]}).to_string();
    assert_eq!(phone.post("/api/v1/act/favorite", &ids).await.status, 200);
    for act in [
        "trash", "export", "import", "invite", "config", "recovery", "open", "sessions",
    ] {
        let told = phone.post(&format!("/api/v1/act/{act}"), &ids).await;
        assert_eq!(told.error(), (403, "E-NOT-ALLOWED".into()), "{act}");
    }
    assert_eq!(phone.post("/api/v1/phone", "{}").await.status, 403);
    let stop = phone.post("/api/v1/imports/stop?batch=one", "{}").await;
    assert_eq!(stop.status, 403);
    // What a phone may look at, it may look at from the network alone.
    let local = gallery.address();
    let local: SocketAddr = local.strip_prefix("http://").unwrap().parse().unwrap();
    let bare = phone.cookie.trim_start_matches("__Host-").to_owned();
    let ask = format!(
        "GET /api/v1/state HTTP/1.1\r\nHost: {local}\r\nCookie: {bare}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(Told::parse(&raw(local, ask.as_bytes()).await).status, 401);
}

#[tokio::test]
async fn who_forgets_https_is_led_there() {
    let home = Home::anna().await;
    let gallery = open_to_phones(&home).await;
    let phone = Phone::new(&gallery);
    let host = &phone.host;
    let ask =
        |host: &str| format!("GET /photos HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let told = Told::parse(&raw(phone.at, ask(host).as_bytes()).await);
    assert_eq!(told.status, 308);
    assert_eq!(
        told.header("location"),
        Some(format!("https://{host}/photos").as_str())
    );
    let told = Told::parse(&raw(phone.at, ask("evil.example").as_bytes()).await);
    assert_eq!((told.status, told.header("location")), (421, None));
}

#[tokio::test]
async fn a_home_keeps_its_certificate() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::anna().await;
    let first = open_to_phones(&home).await;
    let again = open_to_phones(&home).await;
    assert_eq!(first.lan().unwrap().1, again.lan().unwrap().1);
    let folder = home.doorway.home().join("gallery");
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("key.der")), 0o600);
}

/// A connection from an address of this computer.
async fn from(ip: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((ip, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stranger_in_the_network_keeps_neither_this_computer_nor_others_out() {
    let home = Home::anna().await;
    let gallery = open_to_phones(&home).await;
    let phone = Phone::new(&gallery);
    let ask = format!(
        "GET /photos HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        phone.host
    );
    let asked = async |ip| {
        let mut stream = from(ip, phone.at).await;
        // Whoever is sent away need not be listened to.
        let _ = stream.write_all(ask.as_bytes()).await;
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told).await;
        (!told.is_empty()).then(|| Told::parse(&told).status)
    };
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(from([127, 0, 0, 2], phone.at).await);
    }
    assert_eq!(asked([127, 0, 0, 2]).await, None);
    assert_eq!(asked([127, 0, 0, 3]).await, Some(308));
    for ip in [3, 4, 5] {
        for _ in 0..16 {
            held.push(from([127, 0, 0, ip], phone.at).await);
        }
    }
    assert_eq!(asked([127, 0, 0, 6]).await, None, "all places are taken");
    let local = gallery.address();
    let local: SocketAddr = local.strip_prefix("http://").unwrap().parse().unwrap();
    let ask = format!("GET /healthz HTTP/1.1\r\nHost: {local}\r\nConnection: close\r\n\r\n");
    assert_eq!(Told::parse(&raw(local, ask.as_bytes()).await).status, 200);
    drop(held);
}

#[tokio::test]
async fn who_guesses_in_the_network_keeps_nobody_out() {
    let home = Home::anna().await;
    let gallery = open_to_phones(&home).await;
    let phone = Phone::new(&gallery);
    let token = |secret: &str| format!("{{\"token\":\"{secret}\"}}");
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(phone.post("/api/v1/session", &token("guess")).await.status);
    }
    assert_eq!(told, [403, 403, 403, 403, 403, 429]);
    let link = gallery.link().unwrap();
    let (at, secret) = link.split_once("/#t=").unwrap();
    let at: SocketAddr = at.strip_prefix("http://").unwrap().parse().unwrap();
    for (secret, status) in [("guess", 403), (secret, 204)] {
        let body = token(secret);
        let ask = format!(
            "POST /api/v1/session HTTP/1.1\r\nHost: {at}\r\nOrigin: http://{at}\r\nX-Heirloom: 1\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(Told::parse(&raw(at, ask.as_bytes()).await).status, status);
    }
    let link = gallery.phone_link().unwrap();
    let secret = link.url.split_once("#t=").unwrap().1;
    assert_eq!(
        phone.post("/api/v1/session", &token(secret)).await.status,
        204
    );
}
