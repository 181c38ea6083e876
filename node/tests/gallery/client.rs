//! A browser by hand: bytes on a TCP connection, and what comes back.

use std::{net::SocketAddr, time::Duration};

use heirloom_node::gallery::{Gallery, GalleryOptions};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::world::Home;

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub struct Told {
    pub status: u16,
    pub head: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Told {
    /// Reads a whole answer; a chunked body is put together.
    pub fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap();
        assert!(status.starts_with("HTTP/1.1 "), "{status}");
        let status = status[9..12].parse().unwrap();
        let head = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        let mut told = Self {
            status,
            head: head.collect(),
            body: bytes[end + 4..].to_vec(),
        };
        if told.header("transfer-encoding") == Some("chunked") {
            told.body = unchunked(&told.body);
        }
        told
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.head.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The id of an error, and that nothing else is told with it.
    pub fn error(&self) -> (u16, String) {
        let told = self.json();
        (self.status, told["id"].as_str().unwrap().to_owned())
    }

    /// The lines of an act.
    pub fn lines(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.body).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&body[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
    whole
}

/// Sends bytes and reads until the other side closes.
pub async fn raw(at: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).await.unwrap();
    // Whoever refuses a head need not read all of it.
    let _ = stream.write_all(bytes).await;
    let mut told = Vec::new();
    let read = timeout(DEADLINE, stream.read_to_end(&mut told)).await;
    // A connection that is reset says no more than one that is closed.
    let _ = read.expect("an answer in time");
    told
}

/// A gallery on a home and a browser that it let in.
pub struct Browser {
    pub gallery: Gallery,
    pub at: SocketAddr,
    pub cookie: String,
}

impl Browser {
    /// Starts a gallery and is let in by a link.
    pub async fn of(home: &Home) -> Self {
        let mut browser = Self::stranger(home).await;
        browser.cookie = browser.let_in().await;
        browser
    }

    /// Starts a gallery and knows no link.
    pub async fn stranger(home: &Home) -> Self {
        Self::with(home, GalleryOptions::default()).await
    }

    /// The same of a gallery that waits no longer than this, and is let in.
    pub async fn impatient(home: &Home, stall: Duration) -> Self {
        let options = GalleryOptions {
            stall: Some(stall),
            ..GalleryOptions::default()
        };
        let mut browser = Self::with(home, options).await;
        browser.cookie = browser.let_in().await;
        browser
    }

    /// The same of a gallery that takes a batch for left after so long.
    pub async fn forgetful(home: &Home, idle: Duration) -> Self {
        let options = GalleryOptions {
            idle: Some(idle),
            ..GalleryOptions::default()
        };
        let mut browser = Self::with(home, options).await;
        browser.cookie = browser.let_in().await;
        browser
    }

    pub async fn with(home: &Home, options: GalleryOptions) -> Self {
        let gallery = Gallery::start(home.doorway.clone(), options);
        let gallery = gallery.await.unwrap();
        home.doorway.show(Some(gallery.clone())).await;
        let at = gallery.address();
        let at = at.strip_prefix("http://").unwrap().parse().unwrap();
        Self {
            gallery,
            at,
            cookie: String::new(),
        }
    }

    /// The secret of a fresh link.
    pub fn token(&self) -> String {
        let link = self.gallery.link().unwrap();
        let (address, token) = link.split_once("/#t=").unwrap();
        assert_eq!(address, self.gallery.address());
        token.to_owned()
    }

    async fn let_in(&self) -> String {
        let body = format!("{{\"token\":\"{}\"}}", self.token());
        let told = self.post("/api/v1/session", &body).await;
        assert_eq!(told.status, 204, "{told:?}");
        let cookie = told.header("set-cookie").unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    /// The lines of a head that a browser sends with everything.
    pub fn usual(&self) -> String {
        let mut head = format!("Host: {}\r\nConnection: close\r\n", self.at);
        if !self.cookie.is_empty() {
            head.push_str(&format!("Cookie: other=1; {}\r\n", self.cookie));
        }
        head
    }

    /// The lines that the page sends with what changes something.
    pub fn own(&self) -> String {
        format!(
            "Origin: http://{}\r\nX-Heirloom: 1\r\nSec-Fetch-Site: same-origin\r\n",
            self.at
        )
    }

    pub async fn send(&self, request: &str) -> Told {
        Told::parse(&raw(self.at, request.as_bytes()).await)
    }

    pub async fn get(&self, path: &str) -> Told {
        self.get_with(path, "").await
    }

    pub async fn get_with(&self, path: &str, head: &str) -> Told {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\n{}{head}\r\n",
            self.usual()
        ))
        .await
    }

    pub async fn post(&self, path: &str, body: &str) -> Told {
        let head = format!("{}Content-Type: application/json\r\n", self.own());
        self.post_with(path, &head, body.as_bytes()).await
    }

    pub async fn post_with(&self, path: &str, head: &str, body: &[u8]) -> Told {
        let usual = self.usual();
        let mut request = format!(
            "POST {path} HTTP/1.1\r\n{usual}{head}Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        Told::parse(&raw(self.at, &request).await)
    }

    pub async fn act(&self, act: &str, body: &Value) -> Vec<Value> {
        let told = self
            .post(&format!("/api/v1/act/{act}"), &body.to_string())
            .await;
        assert_eq!(told.status, 200, "{told:?}");
        told.lines()
    }

    /// Sends a file as the page does.
    pub async fn upload(&self, query: &str, bytes: &[u8]) -> Told {
        let head = format!("{}Content-Type: application/octet-stream\r\n", self.own());
        self.post_with(&format!("/api/v1/upload?{query}"), &head, bytes)
            .await
    }
}
