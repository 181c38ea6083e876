//! The two doors to a node: its socket when it runs, its router in process when it does not.
//!
//! Only this file names the node's crate. Whichever door is used, an act is one
//! request and its answer a stream of JSON lines.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use heirloom_node::{
    api::{ApiError, Doorway},
    gallery::GalleryOptions,
    node::Options,
    store::Keyring,
};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Body, Bytes, Frame},
    header,
};
use serde_json::Value;
use tower::{ServiceExt, util::BoxCloneSyncService};

use crate::{
    error::{CliError, Told},
    ui::Line,
};

/// How long a command waits for another one that works on the same home.
const WAIT: Duration = Duration::from_secs(10);
/// How long a node that works may take for its first word. It answers at once, then works.
const SIGN_OF_LIFE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 20 });
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// Longest line that is believed to be one.
const LINE_BYTES: usize = 16 * 1024 * 1024;

type AnyError = Box<dyn std::error::Error + Send + Sync>;
type AnyBody = UnsyncBoxBody<Bytes, AnyError>;
/// The node's API as a value, whatever it is made of.
pub(crate) type Router = BoxCloneSyncService<Request<Full<Bytes>>, Response<AnyBody>, Infallible>;

/// A way to the node of one home.
pub(crate) enum Door {
    /// A node runs and listens on its socket file.
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "there is no socket file on this platform")
    )]
    Socket(PathBuf),
    /// No node runs: its router, with the store open in this process.
    InProcess(Router),
}

impl Door {
    /// Opens the door that there is, waiting up to ten seconds for another command to finish.
    pub(crate) async fn open(home: &Path) -> Result<Self, CliError> {
        let began = Instant::now();
        loop {
            let socket = home.join("node.sock");
            if answers(&socket).await {
                return Ok(Self::Socket(socket));
            }
            match in_process(home).await {
                Err(error) if error.id() == "E-LOCKED" && began.elapsed() < WAIT => {
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                opened => return opened.map(Self::InProcess),
            }
        }
    }

    /// The door of a node that runs, if one does.
    pub(crate) async fn of_running(home: &Path) -> Option<Self> {
        let socket = home.join("node.sock");
        answers(&socket).await.then_some(Self::Socket(socket))
    }

    /// Asks the node for an act; dropping the stream cancels it.
    pub(crate) async fn call(&self, act: &str, body: &Value) -> Result<LineStream, CliError> {
        let request = Request::post(format!("/v1/{act}"))
            .header(header::HOST, "heirloom")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()))
            .expect("an act is a plain word");
        match self {
            Self::Socket(path) => {
                let answer = tokio::time::timeout(SIGN_OF_LIFE, over_socket(path, request)).await;
                let answer = answer.map_err(|_| CliError::NodeSilent)??;
                Ok(LineStream {
                    node: Some(path.clone()),
                    ..LineStream::of(answer.into_body())
                })
            }
            Self::InProcess(router) => {
                let Ok(response) = router.clone().oneshot(request).await;
                Ok(LineStream::of(response.into_body()))
            }
        }
    }
}

/// How a node is run by `serve`.
pub(crate) struct ServeOptions {
    pub(crate) home: PathBuf,
    pub(crate) port: Option<u16>,
    pub(crate) listen: Vec<String>,
    pub(crate) lan_only: bool,
    pub(crate) discovery: bool,
    /// Whether a gallery is offered: where, if that was said, and whether to phones.
    pub(crate) gallery: Option<(Option<SocketAddr>, bool)>,
    pub(crate) external: Vec<String>,
    pub(crate) relay: bool,
}

/// Runs the node until `stop`; its first line is `ready`, its last a `summary`.
///
/// Waits for another command to finish, but not for another node.
pub(crate) async fn serve(
    options: ServeOptions,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<LineStream, CliError> {
    let serve = heirloom_node::serve::ServeOptions {
        home: options.home,
        node: node_options()?,
        port: options.port,
        listen: options.listen,
        lan_only: options.lan_only,
        external: options.external,
        relay: options.relay,
        discovery: options.discovery,
        gallery: options.gallery.map(|(listen, lan)| GalleryOptions {
            listen,
            lan,
            ..GalleryOptions::default()
        }),
    };
    let (tell, told) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        stop.await;
        // Nobody listens any more when the node has ended by itself.
        let _ = tell.send(true);
    });
    let began = Instant::now();
    loop {
        let mut told = told.clone();
        let stop = async move {
            // A sender that is gone means the same.
            let _ = told.wait_for(|stop| *stop).await;
        };
        match heirloom_node::serve::serve(serve.clone(), stop).await {
            Ok(lines) => return Ok(LineStream::of(boxed(Response::new(lines.into_body())))),
            Err(error) if error.id == "E-LOCKED" && began.elapsed() < WAIT => {
                if answers(&serve.home.join("node.sock")).await {
                    return Err(told_by_node(error));
                }
                tokio::time::sleep(TRY_AGAIN).await;
            }
            Err(error) => return Err(told_by_node(error)),
        }
    }
}

/// Opens the home in this process and gives its router.
///
/// It succeeds on a home that is not set up, where only `init` and `join` do anything.
async fn in_process(home: &Path) -> Result<Router, CliError> {
    let options = node_options()?;
    let doorway = Doorway::open(home.to_owned(), options).await;
    let router = heirloom_node::api::router(doorway.map_err(told_by_node)?);
    let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let answer = router.clone().oneshot(request);
        async move {
            let Ok(response) = answer.await;
            let (parts, body) = response.into_parts();
            let body = boxed(Response::new(body));
            Ok(Response::from_parts(parts, body))
        }
    });
    Ok(BoxCloneSyncService::new(service))
}

/// How nodes do their work in this program: pictures are decoded by itself, in a process apart.
fn node_options() -> Result<Options, CliError> {
    let program = std::env::current_exe().map_err(|source| CliError::File {
        act: "find",
        path: "heirloom".into(),
        source,
    })?;
    Ok(Options {
        worker: (program, vec!["worker-decode".into()]),
    })
}

/// What every command says of a home that is not set up, where no node has to be asked for it.
pub(crate) fn check_set_up(home: &Path) -> Result<(), CliError> {
    match Keyring::has_device(home) {
        true => Ok(()),
        false => Err(told_by_node(ApiError::not_set_up())),
    }
}

fn told_by_node(error: ApiError) -> CliError {
    CliError::Told(Told {
        id: error.id.to_owned(),
        message: error.message,
        safe: error.safe,
        hint: error.hint,
        exit: error.exit,
    })
}

/// Whether the node that runs on a home does its work; waits for as long as it takes.
pub(crate) async fn is_alive(home: &Path) -> bool {
    let request = Request::get("/healthz")
        .header(header::HOST, "heirloom")
        .body(Full::default())
        .expect("a plain path");
    let socket = home.join("node.sock");
    let answer = over_socket(&socket, request).await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// Whether the process behind a socket runs at all, whatever it is busy with.
async fn runs(socket: &Path) -> bool {
    // It knows no such place, and says so without asking anybody.
    let request = Request::get("/")
        .header(header::HOST, "heirloom")
        .body(Full::default())
        .expect("a plain path");
    let answer = tokio::time::timeout(SIGN_OF_LIFE, over_socket(socket, request)).await;
    matches!(answer, Ok(Ok(_)))
}

/// Whether this process has the rights of the system's own account.
pub(crate) fn is_root() -> bool {
    heirloom_node::sys::is_root()
}

/// Whether this process was started so that the end of its terminal does not concern it.
#[cfg(unix)]
pub(crate) fn is_hangup_ignored() -> bool {
    heirloom_node::sys::is_hangup_ignored()
}

/// Decodes pictures from stdin to stdout until it is closed; gives the exit code.
pub(crate) fn decode_worker() -> u8 {
    u8::try_from(heirloom_node::media::worker::run()).unwrap_or(1)
}

/// Boxes what a router answers with.
fn boxed<B>(response: Response<B>) -> AnyBody
where
    B: Body<Data = Bytes, Error: Into<AnyError>> + Send + 'static,
{
    response.into_body().map_err(Into::into).boxed_unsync()
}

#[cfg(unix)]
async fn answers(socket: &Path) -> bool {
    use std::io::ErrorKind::WouldBlock;
    match tokio::net::UnixStream::connect(socket).await {
        Ok(_) => true,
        // So many knock already that none is let in: the node is there, and stuck.
        Err(error) => error.kind() == WouldBlock,
    }
}

#[cfg(unix)]
async fn over_socket(
    path: &Path,
    request: Request<Full<Bytes>>,
) -> Result<Response<AnyBody>, CliError> {
    let stream = tokio::net::UnixStream::connect(path).await;
    let stream = stream.map_err(|_| CliError::NodeGone)?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let spoken = hyper::client::conn::http1::handshake(io).await;
    let (mut sender, connection) = spoken.map_err(|_| CliError::NodeGone)?;
    // It ends with the answer, or with the stream being dropped.
    tokio::spawn(connection);
    let response = sender.send_request(request).await;
    let response = response.map_err(|_| CliError::NodeGone)?;
    let (parts, body) = response.into_parts();
    Ok(Response::from_parts(parts, boxed(Response::new(body))))
}

#[cfg(not(unix))]
async fn answers(_: &Path) -> bool {
    false
}

#[cfg(not(unix))]
async fn over_socket(_: &Path, _: Request<Full<Bytes>>) -> Result<Response<AnyBody>, CliError> {
    Err(CliError::NodeGone)
}

/// The lines of an answer, as they come.
pub(crate) struct LineStream {
    body: AnyBody,
    /// The socket of the node that answers, if it is another process.
    node: Option<PathBuf>,
    buffer: Vec<u8>,
    /// Where in `buffer` the next line begins.
    start: usize,
}

impl LineStream {
    fn of(body: AnyBody) -> Self {
        Self {
            body,
            node: None,
            buffer: Vec::new(),
            start: 0,
        }
    }

    /// Waits for as long as it takes, while the node runs.
    async fn frame(&mut self) -> Result<Option<Result<Frame<Bytes>, AnyError>>, CliError> {
        let Some(node) = &self.node else {
            return Ok(self.body.frame().await);
        };
        loop {
            match tokio::time::timeout(SIGN_OF_LIFE, self.body.frame()).await {
                Ok(frame) => return Ok(frame),
                // Some acts have nothing to say for hours.
                Err(_) if runs(node).await => {}
                Err(_) => return Err(CliError::NodeSilent),
            }
        }
    }

    /// Takes the next line; `None` when the answer has ended. Safe to drop between lines.
    pub(crate) async fn next(&mut self) -> Result<Option<Line>, CliError> {
        let mut scanned = self.start;
        loop {
            let newline = self.buffer[scanned..]
                .iter()
                .position(|byte| *byte == b'\n');
            if let Some(at) = newline {
                let line = &self.buffer[self.start..scanned + at];
                let parsed = Line::parse(line).ok_or(CliError::Garbled);
                self.start = scanned + at + 1;
                return parsed.map(Some);
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            scanned = self.buffer.len();
            if scanned > LINE_BYTES {
                return Err(CliError::Garbled);
            }
            match self.frame().await? {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(_)) => return Err(CliError::NodeGone),
                None if self.buffer.is_empty() => return Ok(None),
                // A line without its end was cut: what it says may not be whole.
                None => return Err(CliError::NodeGone),
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod recorded {
    //! A node that answers from a list.

    use std::sync::{Arc, Mutex};

    use tower::service_fn;

    use super::*;

    /// The acts that were asked for, with their bodies.
    #[derive(Clone, Default)]
    pub(crate) struct Asked(Arc<Mutex<Vec<(String, Value)>>>);

    impl Asked {
        pub(crate) fn acts(&self) -> Vec<(String, Value)> {
            self.0.lock().expect("no request panicked").clone()
        }
    }

    /// A door behind which each act is answered with the lines that stand beside it.
    pub(crate) fn door(answers: &[(&str, &str)]) -> (Door, Asked) {
        let answers: Arc<Vec<(String, String)>> = Arc::new(
            answers
                .iter()
                .map(|(act, lines)| ((*act).to_owned(), (*lines).to_owned()))
                .collect(),
        );
        let asked = Asked::default();
        let seen = asked.clone();
        let router = service_fn(move |request: Request<Full<Bytes>>| {
            let (answers, seen) = (answers.clone(), seen.clone());
            async move {
                let (parts, body) = request.into_parts();
                let act = parts.uri.path().trim_start_matches("/v1/").to_owned();
                let Ok(body) = body.collect().await;
                let body = serde_json::from_slice(&body.to_bytes()).expect("a JSON body");
                let lines = answers.iter().find(|(known, _)| *known == act);
                let lines = lines.map(|(_, lines)| lines.clone()).unwrap_or_default();
                seen.0
                    .lock()
                    .expect("no request panicked")
                    .push((act, body));
                Ok(Response::new(boxed(Response::new(Full::from(lines)))))
            }
        });
        (Door::InProcess(BoxCloneSyncService::new(router)), asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(door: &Door) -> Result<Vec<String>, CliError> {
        let mut lines = door.call("list", &Value::Null).await?;
        let mut kinds = Vec::new();
        while let Some(line) = lines.next().await? {
            kinds.push(line.kind().to_owned());
        }
        Ok(kinds)
    }

    #[tokio::test]
    async fn an_answer_is_read_line_by_line() {
        let (door, _) = recorded::door(&[("list", "{\"type\":\"a\"}\n{\"type\":\"b\"}\n")]);
        assert_eq!(all(&door).await.expect("two lines"), ["a", "b"]);
        let (door, _) = recorded::door(&[]);
        assert_eq!(all(&door).await.expect("no lines"), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_cut_or_senseless_answer_is_an_error() {
        let (door, _) = recorded::door(&[("list", "{\"type\":\"a\"}\n{\"type\":\"b\"}")]);
        assert_eq!(all(&door).await.map_err(|e| e.exit()), Err(75));
        let (door, _) = recorded::door(&[("list", "<html>\n")]);
        assert_eq!(all(&door).await.map_err(|e| e.exit()), Err(1));
    }

    #[cfg(unix)]
    mod socket {
        use tokio::{
            io::{AsyncReadExt, AsyncWriteExt},
            net::{UnixListener, UnixStream},
        };

        use super::*;

        async fn request(stream: &mut UnixStream) -> String {
            let mut bytes = vec![0; 4096];
            let count = stream.read(&mut bytes).await.expect("a request");
            String::from_utf8_lossy(&bytes[..count]).into_owned()
        }

        #[tokio::test]
        async fn a_running_node_is_asked_over_its_socket() {
            let home = tempfile::tempdir().expect("a folder");
            let listener = UnixListener::bind(home.path().join("node.sock")).expect("a socket");
            let node = tokio::spawn(async move {
                // The first connection only asks whether anybody is there.
                drop(listener.accept().await.expect("a knock"));
                let (mut stream, _) = listener.accept().await.expect("a caller");
                let asked = request(&mut stream).await;
                // Chunks need not end where lines do.
                stream
                    .write_all(
                        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"typ\r\n",
                    )
                    .await
                    .expect("half a line");
                stream
                    .write_all(b"8\r\ne\":\"a\"}\n\r\n0\r\n\r\n")
                    .await
                    .expect("the rest");
                asked
            });
            let door = Door::open(home.path()).await.expect("the socket");
            assert!(matches!(door, Door::Socket(_)));
            assert_eq!(all(&door).await.expect("a line"), ["a"]);
            let asked = node.await.expect("the node");
            assert!(asked.starts_with("POST /v1/list HTTP/1.1\r\n"), "{asked}");
            assert!(asked.ends_with("\r\n\r\nnull"), "{asked}");
        }

        #[tokio::test]
        async fn a_node_that_stands_still_is_not_waited_for_for_ever() {
            let home = tempfile::tempdir().expect("a folder");
            let path = home.path().join("node.sock");
            // The system lets callers in, and nobody ever hears them.
            let _listener = UnixListener::bind(&path).expect("a socket");
            let door = Door::open(home.path()).await.expect("the socket");
            let stuck = door
                .call("list", &Value::Null)
                .await
                .err()
                .expect("no head");
            assert_eq!((stuck.id(), stuck.exit()), ("E-TRY-LATER", 75));
        }

        #[tokio::test]
        async fn a_long_act_goes_on_as_long_as_its_node_shows_signs_of_life() {
            let home = tempfile::tempdir().expect("a folder");
            let path = home.path().join("node.sock");
            let listener = UnixListener::bind(&path).expect("a socket");
            let node = tokio::spawn(async move {
                let (mut act, _) = listener.accept().await.expect("a caller");
                request(&mut act).await;
                let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                act.write_all(head).await.expect("a head");
                let (mut probe, _) = listener.accept().await.expect("a look");
                assert!(request(&mut probe).await.starts_with("GET / "));
                let nothing = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
                probe.write_all(nothing).await.expect("an answer");
                // From here on it stands still.
                (act, listener)
            });
            let stuck = all(&Door::Socket(path))
                .await
                .map_err(|e| e.id().to_owned());
            assert_eq!(stuck, Err("E-TRY-LATER".to_owned()));
            node.await.expect("looked at once");
        }

        #[tokio::test]
        async fn dropping_the_answer_hangs_up() {
            let home = tempfile::tempdir().expect("a folder");
            let path = home.path().join("node.sock");
            let listener = UnixListener::bind(&path).expect("a socket");
            let node = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.expect("a caller");
                request(&mut stream).await;
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                    .await
                    .expect("a head without an end");
                stream.read(&mut [0; 16]).await
            });
            let answer = Door::Socket(path)
                .call("serve", &Value::Null)
                .await
                .expect("an answer");
            drop(answer);
            assert!(matches!(node.await.expect("the node"), Ok(0) | Err(_)));
        }

        #[tokio::test]
        async fn a_node_that_goes_away_is_an_error_and_not_an_end() {
            let home = tempfile::tempdir().expect("a folder");
            let path = home.path().join("node.sock");
            let listener = UnixListener::bind(&path).expect("a socket");
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.expect("a caller");
                request(&mut stream).await;
                let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head).await.expect("a head without an end");
            });
            assert_eq!(
                all(&Door::Socket(path)).await.map_err(|e| e.exit()),
                Err(75)
            );
            let nobody = Door::Socket(home.path().join("nobody.sock"));
            assert_eq!(all(&nobody).await.map_err(|e| e.exit()), Err(75));
        }
    }
}
