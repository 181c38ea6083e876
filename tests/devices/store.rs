//! An S3-compatible store that a test runs itself: what [the API](https://docs.aws.amazon.com/AmazonS3/latest/API)
//! says of objects, over plain HTTP/1.1, in memory; and what a store does that fails, stalls or lies.
//!
//! It lets in who signs with the one key that it knows, and no request that was changed after it was signed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::sha256;

/// How the store behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mood {
    /// As it should.
    Honest,
    /// Each request fails with 500.
    Fails,
    /// Nothing is answered.
    Stalls,
    /// Objects come with one bit changed, but for the one that says that it is a depot; so with the next two.
    Lies,
    /// Objects end early.
    Cuts,
    /// Objects never end, and say nothing of their length.
    Floods,
    /// Objects come byte by byte, often enough that no silence is long.
    Trickles,
    /// Lists have another page, always.
    Pages,
    /// The page of a list never ends.
    Lists,
}

type Objects = BTreeMap<String, Vec<u8>>;

/// The one key that the store knows.
const KEY_ID: &str = "heirloom";
const SECRET: &str = "not-a-secret";

/// What a device has in its environment that may read and write here.
pub(crate) fn access() -> [(String, String); 2] {
    [
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// A store that runs until the test ends.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    objects: Mutex<Objects>,
    mood: Mutex<Mood>,
    counts: Mutex<Counts>,
}

/// What a store was asked.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    /// Requests that were not signed with the right key, or not as they came.
    pub(crate) refused: u64,
    /// Connections.
    pub(crate) connections: u64,
    /// Requests, of which so many for the size of one object and so many for a list.
    pub(crate) requests: u64,
    pub(crate) heads: u64,
    pub(crate) lists: u64,
    /// Objects that were given byte by byte.
    pub(crate) trickled: u64,
    /// Bytes of lists that did not end.
    pub(crate) flooded: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Request {
    method: String,
    /// Path and query as they came.
    target: (String, String),
    path: String,
    query: BTreeMap<String, String>,
    /// By their names in lower case.
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    ring::hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

impl Request {
    /// Whether it is signed with the key of the store, as it came
    /// ([version 4](https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html)).
    fn is_signed(&self) -> bool {
        self.signature()
            .is_some_and(|(given, right)| given == right)
    }

    /// The signature that was given, and the right one; `None` where it has another form.
    fn signature(&self) -> Option<(String, String)> {
        let header = |name: &str| self.headers.get(name).map(String::as_str);
        let given = header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let part = |name: &str| {
            let mut parts = given.split(',').map(str::trim);
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let scope = part("Credential")?
            .strip_prefix(KEY_ID)?
            .strip_prefix('/')?;
        let names = part("SignedHeaders")?;
        let hash = header("x-amz-content-sha256")?;
        let signs = |name: &str| names.split(';').any(|signed| signed == name);
        if hash != sha256(&self.body) || !signs("host") || !signs("x-amz-content-sha256") {
            return None;
        }
        let mut request = format!("{}\n{}\n", self.method, self.target.0);
        let mut query: Vec<_> = self.target.1.split('&').collect();
        query.sort_unstable();
        request.push_str(&query.join("&"));
        request.push('\n');
        for name in names.split(';') {
            let words: Vec<_> = header(name)?.split_whitespace().collect();
            request.push_str(&format!("{name}:{}\n", words.join(" ")));
        }
        request.push_str(&format!("\n{names}\n{hash}"));
        let date = header("x-amz-date")?;
        let hash = sha256(request.as_bytes());
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        let parts: Vec<_> = scope.split('/').collect();
        let [day, _, "s3", "aws4_request"] = parts[..] else {
            return None;
        };
        if !date.starts_with(day) {
            return None;
        }
        let mut key = format!("AWS4{SECRET}").into_bytes();
        for part in parts {
            key = keyed(&key, part);
        }
        let right = data_encoding::HEXLOWER.encode(&keyed(&key, &text));
        Some((part("Signature")?.to_owned(), right))
    }
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match digits.map(|two| u8::from_str_radix(two, 16)) {
            Some(Ok(byte)) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header)?;
        let header = header.trim_end();
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length");
    let length = length.and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Ok(Some(Request {
        method,
        target: (path.to_owned(), query.to_owned()),
        path: unescape(path).trim_start_matches('/').to_owned(),
        query: pairs
            .map(|(name, value)| (name.to_owned(), unescape(value)))
            .collect(),
        headers,
        body,
    }))
}

impl Store {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let store = Self(Arc::new(Inner {
            address: listener.local_addr().expect("bound"),
            objects: Mutex::default(),
            mood: Mutex::new(Mood::Honest),
            counts: Mutex::default(),
        }));
        let serving = store.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                // A client that goes away ends its own thread.
                std::thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        store
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.0.address)
    }

    pub(crate) fn be(&self, mood: Mood) {
        *lock(&self.0.mood) = mood;
    }

    pub(crate) fn objects(&self) -> MutexGuard<'_, Objects> {
        lock(&self.0.objects)
    }

    pub(crate) fn counts(&self) -> Counts {
        *lock(&self.0.counts)
    }

    fn count(&self, request: &Request) {
        let mut counts = lock(&self.0.counts);
        counts.requests += 1;
        counts.refused += u64::from(!request.is_signed());
        counts.heads += u64::from(request.method == "HEAD");
        counts.lists += u64::from(request.query.contains_key("list-type"));
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut write = stream.try_clone()?;
        lock(&self.0.counts).connections += 1;
        let mut stream = BufReader::new(stream);
        while let Some(request) = read(&mut stream)? {
            let mood = *lock(&self.0.mood);
            self.count(&request);
            match mood {
                _ if !request.is_signed() => {
                    let with_body = request.method != "HEAD";
                    answer(&mut write, "403 Forbidden", REFUSAL, with_body)?;
                }
                Mood::Fails => answer(&mut write, "500 Internal Server Error", &[], true)?,
                Mood::Stalls => {
                    // Until the client gives up and closes.
                    let mut end = [0];
                    let _ = stream.read(&mut end);
                    return Ok(());
                }
                _ => self.answer(&mut write, &request, mood)?,
            }
        }
        Ok(())
    }

    fn answer(&self, write: &mut TcpStream, request: &Request, mood: Mood) -> io::Result<()> {
        let found = self.objects().get(&request.path).cloned();
        match (request.method.as_str(), found) {
            ("PUT", _) => {
                self.objects()
                    .insert(request.path.clone(), request.body.clone());
                answer(write, "200 OK", &[], true)
            }
            ("DELETE", _) => {
                self.objects().remove(&request.path);
                answer(write, "204 No Content", &[], true)
            }
            ("GET", _) if request.query.contains_key("list-type") => match mood {
                Mood::Pages => answer(write, "200 OK", self.another_page().as_bytes(), true),
                Mood::Lists => self.flood_list(write),
                _ => answer(write, "200 OK", self.list(request).as_bytes(), true),
            },
            ("HEAD", Some(bytes)) => answer(write, "200 OK", &bytes, false),
            // What says that it is a depot is right, or nothing else would be asked for.
            ("GET", Some(bytes)) if request.path.ends_with(".depot") => {
                give(write, bytes, Mood::Honest)
            }
            ("GET", Some(bytes)) if mood == Mood::Trickles => {
                lock(&self.0.counts).trickled += 1;
                trickle(write, &bytes)
            }
            ("GET", Some(bytes)) => give(write, bytes, mood),
            ("HEAD", None) => answer(write, "404 Not Found", &[], false),
            ("GET", None) => answer(write, "404 Not Found", &[], true),
            _ => answer(write, "400 Bad Request", &[], true),
        }
    }

    /// A page of a thousand names that no other page has, and after which there is one more.
    fn another_page(&self) -> String {
        let page = self.counts().lists;
        let name = |nth: usize| {
            format!(
                "<CommonPrefixes><Prefix>of/ours/devices/{page:032x}{nth:032x}/</Prefix></CommonPrefixes>"
            )
        };
        let names: String = (0..1000).map(name).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><IsTruncated>true</IsTruncated>\
             <NextContinuationToken>{page}</NextContinuationToken>{names}</ListBucketResult>"
        )
    }

    /// A page that goes on until the client closes, or takes no more.
    fn flood_list(&self, write: &mut TcpStream) -> io::Result<()> {
        head(write, 1 << 40)?;
        write.set_write_timeout(Some(Duration::from_secs(5)))?;
        write.write_all(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult>")?;
        let piece =
            "<CommonPrefixes><Prefix>of/ours/devices/x/</Prefix></CommonPrefixes>".repeat(1000);
        loop {
            write.write_all(piece.as_bytes())?;
            lock(&self.0.counts).flooded += u64::try_from(piece.len()).unwrap_or(0);
        }
    }

    fn list(&self, request: &Request) -> String {
        let field = |name: &str| request.query.get(name).cloned().unwrap_or_default();
        let (prefix, delimiter) = (field("prefix"), field("delimiter"));
        let bucket = format!("{}/", request.path.trim_end_matches('/'));
        let (mut objects, mut folders) = (String::new(), BTreeSet::new());
        for (path, bytes) in self.objects().iter() {
            let Some(key) = path.strip_prefix(&bucket) else {
                continue;
            };
            let Some(rest) = key.strip_prefix(&prefix) else {
                continue;
            };
            match rest.split_once('/') {
                Some((folder, _)) if delimiter == "/" => {
                    folders.insert(format!("{prefix}{folder}/"));
                }
                _ => objects.push_str(&format!(
                    "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                     <ETag>\"0\"</ETag><Size>{}</Size></Contents>",
                    bytes.len()
                )),
            }
        }
        let folders: String = folders
            .iter()
            .map(|folder| format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"))
            .collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult>\
             <IsTruncated>false</IsTruncated>{objects}{folders}</ListBucketResult>"
        )
    }
}

/// What is said to who may not, in the words of such a store.
const REFUSAL: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>SignatureDoesNotMatch</Code>\
    <Message>The request signature we calculated does not match the signature you provided.</Message></Error>";

/// Gives two bytes a second.
fn trickle(write: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    head(write, u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    for byte in bytes.chunks(1) {
        std::thread::sleep(Duration::from_millis(500));
        write.write_all(byte)?;
    }
    Ok(())
}

fn head(write: &mut TcpStream, length: u64) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nETag: \"0\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n"
    );
    write.write_all(head.as_bytes())
}

fn answer(write: &mut TcpStream, status: &str, body: &[u8], with_body: bool) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"0\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n",
        body.len()
    );
    write.write_all(head.as_bytes())?;
    if with_body {
        write.write_all(body)?;
    }
    write.flush()
}

fn give(write: &mut TcpStream, mut bytes: Vec<u8>, mood: Mood) -> io::Result<()> {
    match mood {
        Mood::Lies => {
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 1;
            }
            answer(write, "200 OK", &bytes, true)
        }
        Mood::Cuts => {
            bytes.truncate(bytes.len() / 2);
            answer(write, "200 OK", &bytes, true)
        }
        Mood::Floods => {
            head(write, 1 << 40)?;
            write.set_write_timeout(Some(Duration::from_secs(5)))?;
            let piece = vec![7; 1024 * 1024];
            // Ends when the client closes, or takes no more.
            loop {
                write.write_all(&piece)?;
            }
        }
        _ => answer(write, "200 OK", &bytes, true),
    }
}
