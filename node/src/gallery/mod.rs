//! The gallery: a web page of this node, for a browser on this computer and, when asked, phones on the local network.
//!
//! The page and all it needs are in the program. Nothing is answered before
//! host, origin and session are looked at (`guard`); what people called their
//! files and albums is passed on as text and never as markup. The acts are those
//! of [`crate::api`].

mod acts;
mod events;
mod guard;
mod hurt;
mod listen;
mod look;
mod media;
mod origin;
mod page;
mod range;
mod refusal;
mod session;
mod shelf;
mod state;
mod tls;
mod upload;
mod works;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Path},
    http::Request,
    middleware::from_fn_with_state,
    routing::{get, post},
};
use data_encoding::HEXLOWER;
use tokio::{net::TcpListener, sync::Mutex, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use self::{
    guard::Door,
    listen::Listener,
    refusal::Refusal,
    session::{LINK_MS, PHONE_LINK_MS, Reach},
    shelf::Shelf,
    tls::Identity,
    upload::Uploads,
    works::Works,
};
pub(crate) use self::{session::Sessions, upload::kept as kept_uploads};
use crate::{
    api::{ApiError, Doorway},
    clock::Clock,
    node::Node,
    store::{Batch, StoreError, Table},
};

/// Largest body of a request that is no upload.
const BODY_BYTES: usize = 1024 * 1024;
/// Largest body of a request that needs no session.
const TOKEN_BYTES: usize = 4096;
/// How long such a body may take to come, all in all.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a browser is waited for that began something and does not go on.
const STALL: Duration = Duration::from_secs(60);
/// How long after its last file what waits of a batch is imported, though nobody says that it is done.
const IDLE: Duration = Duration::from_secs(30);
/// Where the port is remembered, so that a bookmark stays right.
const PORT_ROW: &[u8] = b"gallery/port";

/// Where the gallery is offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GalleryOptions {
    /// The address to listen on; a free port of this computer where none is said.
    pub listen: Option<SocketAddr>,
    /// Whether phones on the local network may come in, over TLS and each with its own link.
    pub lan: bool,
    /// How long a browser may send nothing of a file that it began, and take nothing of an answer; a minute where
    /// nothing is said.
    pub stall: Option<Duration>,
    /// How long after its last file a batch of uploads counts as left, so that all of it is imported; half a minute
    /// where nothing is said.
    pub idle: Option<Duration>,
}

impl GalleryOptions {
    /// Whether the address can be reached from other computers.
    pub fn is_open(&self) -> bool {
        self.listen.is_some_and(|at| !at.ip().is_loopback())
    }

    fn check(&self) -> Result<(), ApiError> {
        if self.is_open() && !self.lan {
            return Err(ApiError::usage(
                "other computers could reach the gallery at this address",
            )
            .safe("Nothing was started.")
            .hint("--lan-gallery lets phones in, each with a link of its own; without it the address is 127.0.0.1:PORT"));
        }
        Ok(())
    }
}

/// A running gallery. Cheap to clone.
#[derive(Clone)]
pub struct Gallery(Arc<Inner>);

struct Inner {
    doorway: Arc<Doorway>,
    sessions: Sessions,
    /// Where this computer's browser finds it.
    local: SocketAddr,
    /// Where phones find it.
    lan: Option<Lan>,
    shelf: Mutex<Option<Shelf>>,
    uploads: Uploads,
    works: Works,
    stall: Duration,
    idle: Duration,
    stop: CancellationToken,
    tasks: OnceLock<std::sync::Mutex<Vec<JoinHandle<()>>>>,
}

/// The door for phones.
struct Lan {
    at: SocketAddr,
    identity: Identity,
}

impl Gallery {
    /// Listens and begins to answer.
    ///
    /// On a home that is not set up it offers what `init` and `join` need, and
    /// nothing else. What a crash left of uploads is removed first where it is not whole, and imported where it is.
    ///
    /// # Errors
    ///
    /// `E-USAGE` for an address that others can reach without `lan`, `E-IO`
    /// where the port cannot be had, and what the store says.
    pub async fn start(doorway: Arc<Doorway>, options: GalleryOptions) -> Result<Self, ApiError> {
        options.check()?;
        let node = doorway.node().await.ok();
        let uploads = Uploads::open(doorway.home()).map_err(StoreError::Io)?;
        let clock = node
            .as_ref()
            .map_or_else(Clock::default, |node| node.clock().clone());
        let sessions = Sessions::of(node.as_ref().map(Node::store), clock)?;
        let (mut listeners, local) = local(options, node.as_ref()).await?;
        let lan = match options.listen.filter(|_| options.is_open()) {
            None => None,
            Some(at) => {
                let (listener, lan) = Lan::open(at, doorway.home()).await?;
                listeners.push(listener);
                Some(lan)
            }
        };
        let stall = options.stall.unwrap_or(STALL);
        let gallery = Self(Arc::new(Inner {
            doorway,
            sessions,
            local,
            lan,
            shelf: Mutex::default(),
            uploads,
            works: Works::default(),
            stall,
            idle: options.idle.unwrap_or(IDLE),
            stop: CancellationToken::new(),
            tasks: OnceLock::new(),
        }));
        let router = router(gallery.clone());
        // All of this computer is one address.
        let here = listen::Room::new(stall, listen::CONNECTIONS);
        let phones = listen::Room::new(stall, listen::CONNECTIONS_OF_ONE);
        let serving = listeners.into_iter().map(|listener| {
            let stop = gallery.0.stop.clone();
            let room = if listener.door.is_lan { &phones } else { &here };
            tokio::spawn(listen::serve(listener, router.clone(), room.clone(), stop))
        });
        let mut serving: Vec<_> = serving.collect();
        serving.push(tokio::spawn(upload::tend(gallery.clone())));
        gallery
            .0
            .tasks
            .get_or_init(|| std::sync::Mutex::new(serving));
        if let Some(node) = node {
            gallery.remember_port(&node).await;
        }
        Ok(gallery)
    }

    /// Where a browser on this computer finds it: `http://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("http://{}", self.0.local)
    }

    /// An address that lets one browser of this computer in, once, within a minute.
    ///
    /// # Errors
    ///
    /// `E-IO` when the system gives no randomness.
    pub fn link(&self) -> Result<String, ApiError> {
        let secret = self.0.sessions.link(Reach::Full, LINK_MS)?;
        Ok(format!("{}/#t={secret}", self.address()))
    }

    /// The same for one phone, with the fingerprint of the certificate that it will see.
    ///
    /// # Errors
    ///
    /// `E-USAGE` when phones are not let in.
    pub fn phone_link(&self) -> Result<PhoneLink, ApiError> {
        let lan = self.0.lan.as_ref().ok_or_else(|| {
            ApiError::usage("phones are not let in")
                .hint("heirloom serve --gallery 0.0.0.0:8443 --lan-gallery")
        })?;
        let secret = self.0.sessions.link(Reach::Phone, PHONE_LINK_MS)?;
        Ok(PhoneLink {
            url: format!("https://{}/#t={secret}", lan.named()),
            fingerprint: lan.identity.fingerprint().to_owned(),
        })
    }

    /// Where phones find it and the fingerprint of its certificate, if they are let in.
    pub fn lan(&self) -> Option<(String, String)> {
        let lan = self.0.lan.as_ref()?;
        let fingerprint = lan.identity.fingerprint().to_owned();
        Some((format!("https://{}", lan.named()), fingerprint))
    }

    /// Ends every connection. What was sent whole is imported first, or at the next start; what was not is removed.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        let tasks = self.0.tasks.get().map(|tasks| {
            let mut tasks = tasks
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        });
        for task in tasks.unwrap_or_default() {
            // A task that failed has said so.
            let _ = task.await;
        }
        *self.0.shelf.lock().await = None;
        self.0.uploads.end(self).await;
    }

    /// How many files that were sent whole could not be imported; they are tried again.
    pub(crate) fn stuck_uploads(&self) -> usize {
        self.0.uploads.stuck()
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// Writes the sessions down where there is a store.
    pub(crate) async fn keep_sessions(&self) -> Result<(), ApiError> {
        let Ok(node) = self.0.doorway.node().await else {
            return Ok(());
        };
        let (gallery, store) = (self.clone(), node.store().clone());
        let kept = node
            .blocking(move || gallery.0.sessions.keep(&store))
            .await?;
        Ok(kept?)
    }

    async fn remember_port(&self, node: &Node) {
        let port = self.0.local.port().to_le_bytes().to_vec();
        let store = node.store().clone();
        let kept = node.blocking(move || match store.get(Table::Kv, PORT_ROW)? {
            Some(known) if known == port => Ok(()),
            _ => store.commit(&Batch {
                puts: vec![(Table::Kv, PORT_ROW.to_vec(), port)],
                ..Batch::default()
            }),
        });
        if let Ok(Err(error)) = kept.await {
            let id = ApiError::from(error).id;
            tracing::warn!(id, "the gallery's port is not remembered");
        }
    }

    /// What the home became after it was set up is kept as well.
    pub(crate) async fn settled(&self, node: &Node) {
        self.remember_port(node).await;
        if let Err(error) = self.keep_sessions().await {
            tracing::warn!(id = error.id, "sessions are not kept");
        }
    }

    async fn shelf(&self) -> Result<Shelf, Refusal> {
        let mut shelf = self.0.shelf.lock().await;
        if let Some(shelf) = &*shelf {
            return Ok(shelf.clone());
        }
        let node = self.0.doorway.node().await?;
        let opened = Shelf::open(node, self.0.stop.clone()).await?;
        *shelf = Some(opened.clone());
        Ok(opened)
    }

    /// Cookies know no ports: another node on this computer has another name.
    fn cookie_name(&self, door: &Door) -> String {
        let port = match (&self.0.lan, door.is_lan) {
            (Some(lan), true) => lan.at.port(),
            _ => self.0.local.port(),
        };
        let home = self.0.doorway.home().as_os_str().as_encoded_bytes();
        let told = [&port.to_le_bytes()[..], home].concat();
        let hash = blake3::derive_key("heirloom gallery cookie name", &told);
        let instance = HEXLOWER.encode(&hash[..8]);
        match door.is_lan {
            true => format!("__Host-heirloom_{instance}"),
            false => format!("heirloom_{instance}"),
        }
    }
}

/// What a phone scans.
#[derive(Clone, Debug)]
pub struct PhoneLink {
    /// Lets one phone in.
    pub url: String,
    /// SHA-256 of the certificate, in pairs of hex digits.
    pub fingerprint: String,
}

impl Lan {
    async fn open(at: SocketAddr, home: &std::path::Path) -> Result<(Listener, Self), ApiError> {
        let identity = Identity::of_home(home)?;
        let tcp = bind(at).await?;
        let at = tcp.local_addr().map_err(StoreError::Io)?;
        let hosts = tls::names(at.ip())
            .into_iter()
            .map(|name| format!("{name}:{}", at.port()));
        let door = Door {
            hosts: hosts.collect(),
            scheme: "https",
            is_lan: true,
        };
        let tls = Some(identity.acceptor()?);
        Ok((Listener { tcp, door, tls }, Self { at, identity }))
    }

    /// What phones can call this computer, with the port.
    fn named(&self) -> String {
        let port = self.at.port();
        if !self.at.ip().is_unspecified() {
            return self.at.to_string();
        }
        match tls::own_address() {
            Some(ip) => SocketAddr::new(ip, port).to_string(),
            None => {
                let name = tls::names(self.at.ip()).pop();
                format!("{}:{port}", name.unwrap_or_default())
            }
        }
    }
}

async fn bind(at: SocketAddr) -> Result<TcpListener, ApiError> {
    TcpListener::bind(at).await.map_err(|error| {
        ApiError::new(
            "E-IO",
            1,
            format!("the gallery cannot listen on {at}: {error}"),
        )
        .hint("choose another port: heirloom serve --gallery 127.0.0.1:PORT")
    })
}

/// Listens on this computer alone: both loopback addresses where there are two.
async fn local(
    options: GalleryOptions,
    node: Option<&Node>,
) -> Result<(Vec<Listener>, SocketAddr), ApiError> {
    let asked = options.listen.filter(|_| !options.is_open());
    let tcp = match asked {
        Some(at) => bind(at).await?,
        None => {
            let port = node.and_then(known_port).unwrap_or(0);
            let home = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            match bind(home(port)).await {
                Ok(tcp) => tcp,
                // Somebody else has taken it meanwhile.
                Err(_) => bind(home(0)).await?,
            }
        }
    };
    let at = tcp.local_addr().map_err(StoreError::Io)?;
    let port = at.port();
    let hosts = ["localhost", "127.0.0.1", "[::1]"].map(|name| format!("{name}:{port}"));
    let door = Door {
        hosts: hosts.into(),
        scheme: "http",
        is_lan: false,
    };
    let mut listeners = vec![Listener {
        tcp,
        door: door.clone(),
        tls: None,
    }];
    if at.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        // Not every system has it, and somebody else may have this port there.
        if let Ok(tcp) = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
            let tls = None;
            listeners.push(Listener { tcp, door, tls });
        }
    }
    Ok((listeners, at))
}

fn known_port(node: &Node) -> Option<u16> {
    let row = node.store().get(Table::Kv, PORT_ROW).ok()??;
    Some(u16::from_le_bytes(row.try_into().ok()?))
}

fn router(gallery: Gallery) -> Router {
    let api = Router::new()
        .route(
            "/session",
            post(page::let_in).layer(DefaultBodyLimit::max(TOKEN_BYTES)),
        )
        .route("/logout", post(page::leave))
        .route("/state", get(state::state))
        .route("/phone", post(state::phone))
        .route("/act/{act}", post(acts::act))
        .route("/timeline", get(look::timeline))
        .route("/month/{month}", get(look::month))
        .route("/asset/{id}", get(look::asset))
        .route("/fetch", post(acts::fetch))
        .route("/upload/done", post(upload::done))
        .route("/imports", get(upload::imports))
        .route("/imports/stop", post(acts::stop))
        .route("/events", get(events::events))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .route(
            "/upload",
            post(upload::upload).layer(DefaultBodyLimit::disable()),
        );
    Router::new()
        .nest("/api/v1", api)
        .merge(pages())
        .route("/thumb/{id}", get(media::thumb))
        .route("/preview/{id}", get(media::preview))
        .route("/original/{id}", get(origin::original))
        .fallback(|| async { Refusal::not_found() })
        .method_not_allowed_fallback(|| async { Refusal::not_found() })
        .layer(from_fn_with_state(gallery.clone(), guard::guard))
        .with_state(gallery)
}

/// The page and its parts, the same for everybody.
fn pages<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let mut router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/robots.txt", get(page::robots))
        .route("/manifest.webmanifest", get(page::manifest))
        .route("/assets/{*name}", get(page::asset))
        .route("/photos/{id}", get(page::index))
        .route("/albums/{id}", get(page::index));
    for path in page::SCREENS {
        router = router.route(path, get(page::index));
    }
    router
}

/// For `fuzz`: the bytes of a file of `len` that `Range` and `If-Range` ask for.
pub(crate) fn bytes_asked(range: &str, if_range: Option<&str>, len: u64) -> Option<(u64, u64)> {
    match range::Wanted::of(Some(range), if_range, "\"a\"", len) {
        range::Wanted::Part(first, last) => Some((first, last)),
        range::Wanted::Whole | range::Wanted::Unsatisfiable => None,
    }
}

/// For `fuzz`: the status of what is answered to a path, with a photo behind every id, and whether it
/// counts as a part of the page. `None` where it is no path.
pub(crate) async fn path_asked(path: &str) -> Option<(u16, bool)> {
    let asked = Request::get(path).body(Body::empty()).ok()?;
    let is_open = guard::is_open(asked.uri().path());
    let original = |Path(id): Path<String>| async move {
        let found = item_of(&id).ok_or_else(Refusal::not_found)?;
        Ok::<_, Refusal>(found.to_string())
    };
    let router: Router = pages()
        .route("/original/{id}", get(original))
        .fallback(|| async { Refusal::not_found() });
    let Ok(told) = router.oneshot(asked).await;
    Some((told.status().as_u16(), is_open))
}

/// The id of an asset in an address: all 64 digits, in lower case.
fn item_of(id: &str) -> Option<heirloom_protocol::id::OpId> {
    let bytes = HEXLOWER.decode(id.as_bytes()).ok()?;
    Some(heirloom_protocol::id::OpId(bytes.try_into().ok()?))
}
