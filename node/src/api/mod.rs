//! The one router: what a person can do, as HTTP and JSON.
//!
//! Every act is `POST /v1/<act>` with a JSON object, and answers with lines of
//! JSON (`application/x-ndjson`): objects of the act, `progress`, and at the end
//! exactly one `summary` or `error`. A running node offers the router on its
//! socket file; without one the command line calls it in process. Whoever drops
//! the answer cancels the act; what was committed by then stays.

mod albums;
mod answer;
mod assets;
mod away;
mod bundle;
mod config;
mod copy;
mod deleted;
mod depot;
mod doctor;
mod edits;
mod ended;
mod error;
mod family;
mod fetch;
mod files;
mod followed;
mod gallery;
mod import;
mod invite;
mod join;
mod keep;
mod kept;
mod last;
mod library;
mod live;
mod more;
mod network;
pub(crate) mod no_family;
mod offload;
mod pair;
mod past;
mod people;
mod pick;
mod problem;
mod recovery;
mod repair;
mod restore;
mod share;
#[cfg(unix)]
mod socket;
mod status;
mod talk;
mod trash;
mod undo;
mod unnamed;
mod verify;
mod write;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::Value;
use tokio::sync::{RwLock, watch};

use crate::{
    gallery::Gallery,
    net::Reach,
    network::{Network, NetworkOptions},
    node::{Node, Options},
    watch::{LeftOut, There},
};

#[cfg(unix)]
pub(crate) use self::socket::Socket;
pub use self::{
    answer::{Answer, Lines},
    error::ApiError,
};
pub(crate) use self::{
    deleted::keep_from_deleted, ended::keep_taken, family::host_name, import::album_to_add_to,
    offload::keep_within_limit, past::listen_first, pick::album_id, talk::comments, write::entries,
};
/// The lines of an answer as a body, for whoever speaks HTTP in process.
pub use axum::body::Body as AnswerBody;

/// Largest body of a request.
const BODY_BYTES: usize = 1024 * 1024;

/// A home and the node in it, once it is set up.
pub struct Doorway {
    home: PathBuf,
    options: Options,
    node: RwLock<Option<Node>>,
    /// With the moment since when this node runs on it.
    network: RwLock<Option<(Network, Instant)>>,
    /// Whether those in reach of that network have told what they know of this device's own past.
    has_listened: AtomicBool,
    gallery: RwLock<Option<Gallery>>,
    questions: pair::Questions,
    /// Whether it was said at the start that only the local network is talked to.
    stays_near: AtomicBool,
    /// Whether followed folders are there.
    there: There,
    /// How many files of them wait for room.
    left_out: LeftOut,
    /// Raised when the node, its network or its gallery comes or goes.
    stirred: watch::Sender<u64>,
}

impl Doorway {
    /// Opens a home; one that is not set up is no error, and knows `init` and `join` alone.
    ///
    /// # Errors
    ///
    /// [`ApiError`] when the home is locked, damaged or readable by others.
    pub async fn open(home: PathBuf, options: Options) -> Result<Arc<Self>, ApiError> {
        let node = Node::open(&home, &options).await?;
        Ok(Arc::new(Self {
            home,
            options,
            node: RwLock::new(node),
            network: RwLock::new(None),
            has_listened: AtomicBool::new(false),
            gallery: RwLock::new(None),
            questions: pair::Questions::default(),
            stays_near: AtomicBool::new(false),
            there: There::default(),
            left_out: LeftOut::default(),
            stirred: watch::Sender::new(0),
        }))
    }

    /// The node.
    ///
    /// # Errors
    ///
    /// `E-NOT-SET-UP`.
    pub async fn node(&self) -> Result<Node, ApiError> {
        self.node
            .read()
            .await
            .clone()
            .ok_or_else(ApiError::not_set_up)
    }

    /// The folder.
    pub fn home(&self) -> &std::path::Path {
        &self.home
    }

    /// How nodes are run here.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Holds everything that is done through it to the local network, whatever the home's settings say.
    pub(crate) fn stay_near(&self) {
        self.stays_near.store(true, Ordering::Relaxed);
    }

    /// How this device takes part in the network: as its settings say, and what was said at its start.
    ///
    /// # Errors
    ///
    /// `E-USAGE` for settings that cannot be read.
    pub(crate) fn network_options(&self) -> Result<NetworkOptions, ApiError> {
        let mut options = NetworkOptions::of_home(&self.home)?;
        options.lan_only |= self.stays_near.load(Ordering::Relaxed);
        Ok(options)
    }

    /// What it may talk to; settings that cannot be read let nothing out.
    pub(crate) fn reach(&self) -> Reach {
        let options = self.network_options();
        options.map_or_else(|_| Reach::LanOnly(Vec::new()), |options| options.reach())
    }

    /// Who knows whether followed folders are there.
    fn there(&self) -> &There {
        &self.there
    }

    /// How many files of followed folders wait for room on the disk.
    pub(crate) fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// The network, where this node runs and is not only asked.
    pub async fn network(&self) -> Option<Network> {
        self.network_since().await.map(|(network, _)| network)
    }

    /// The same, with the moment since when.
    async fn network_since(&self) -> Option<(Network, Instant)> {
        self.network.read().await.clone()
    }

    /// Says that the node runs on this network, or that it no longer does.
    pub async fn run_on(&self, network: Option<Network>) {
        let since = Instant::now();
        self.has_listened.store(false, Ordering::Relaxed);
        *self.network.write().await = network.map(|network| (network, since));
        self.stir();
    }

    /// The gallery, where one is offered.
    pub async fn gallery(&self) -> Option<Gallery> {
        self.gallery.read().await.clone()
    }

    /// Says that a gallery is offered, or that it no longer is.
    pub async fn show(&self, gallery: Option<Gallery>) {
        *self.gallery.write().await = gallery;
        self.stir();
    }

    /// Wakes when the node, its network or its gallery comes or goes.
    pub(crate) fn stirs(&self) -> watch::Receiver<u64> {
        self.stirred.subscribe()
    }

    fn stir(&self) {
        self.stirred
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Puts the node in place that `init` or `join` made.
    pub async fn settle(&self, node: Node) {
        *self.node.write().await = Some(node);
        self.stir();
    }
}

/// The router of a home.
pub fn router(doorway: Arc<Doorway>) -> Router {
    Router::new()
        .route("/v1/{act}", post(act))
        .route("/healthz", get(health))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES))
        .with_state(doorway)
}

/// Answers once the runtime's thread has come to it; whoever waits too long knows that it hangs.
async fn health(State(doorway): State<Arc<Doorway>>) -> (StatusCode, &'static str) {
    let alive = match doorway.node().await {
        Ok(node) => node.ask(|_| ()).await.is_ok(),
        // Nothing is set up that could hang.
        Err(_) => true,
    };
    if alive {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the node has stopped")
    }
}

async fn act(
    State(doorway): State<Arc<Doorway>>,
    Path(act): Path<String>,
    body: Bytes,
) -> Response {
    let body = if body.is_empty() {
        Ok(Value::Null)
    } else {
        serde_json::from_slice(&body)
    };
    let lines = match body {
        Ok(body) => begin(doorway, act, body),
        Err(_) => {
            let (answer, lines) = Answer::new(&act);
            let wrong = ApiError::usage("the request is not JSON");
            answer.finish(Err(wrong)).await;
            lines
        }
    };
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::from_stream(lines)).into_response()
}

/// Begins an act; its lines come as it goes, and dropping them cancels it.
pub(crate) fn begin(doorway: Arc<Doorway>, act: String, body: Value) -> Lines {
    let (answer, lines) = Answer::new(&act);
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        let done = dispatch(&doorway, &act, body, &answer).await;
        answer.finish(done).await;
    });
    lines
}

/// What an act came to: the fields of its summary.
pub type Done = Result<Value, ApiError>;

async fn dispatch(doorway: &Arc<Doorway>, act: &str, body: Value, answer: &Arc<Answer>) -> Done {
    let body = &body;
    // Acts of a home that is not set up.
    match act {
        "init" => return family::init(doorway, body).await,
        "confirm" => return pair::confirm(doorway, body),
        "join" => return join::join(doorway, body, answer).await,
        "open" => return gallery::open(doorway).await,
        // Whom a device talks to is said before it joins.
        "config" => return config::config(doorway, body, answer).await,
        "recovery" if pick::optional(body, "do") == Some("restore") => {
            return restore::restore(doorway, body, answer).await;
        }
        _ => {}
    }
    let node = &doorway.node().await?;
    if past::writes(act, body) {
        past::listen_first(doorway).await;
    }
    match act {
        "invite" => invite::invite(doorway, node, body, answer).await,
        "peer" => network::peer(doorway, node, body, answer).await,
        "sync" => network::sync(doorway, node, body, answer).await,
        "retake" => edits::retake(node, body, answer).await,
        "watch" => followed::watch(doorway, node, body, answer).await,
        "import" => import::import(doorway, body, answer).await,
        "status" => status::status(doorway, node, body, answer).await,
        "list" => assets::list(node, body, answer).await,
        "fetch" => fetch::fetch(doorway, node, body, answer).await,
        "find" => assets::find(node, body, answer).await,
        "show" => assets::show(node, body, answer).await,
        "caption" => edits::caption(node, body, answer).await,
        "favorite" => edits::favorite(node, body, answer).await,
        "comment" => talk::comment(node, body).await,
        "activity" => talk::activity(node, body, answer).await,
        "sessions" => gallery::sessions(doorway, body, answer).await,
        "tag" => edits::tag(node, body, answer).await,
        "trash" => trash::trash(node, body, answer).await,
        "restore" => trash::restore(node, body, answer).await,
        "undo" => undo::undo(node, body, answer).await,
        "purge" => trash::purge(node, body, answer).await,
        "get" => files::get(doorway, node, body, answer).await,
        "export" => files::export(doorway, node, body, answer).await,
        "album" => albums::album(node, body, answer).await,
        "share" => share::share(node, body).await,
        "unshare" => share::unshare(node, body).await,
        "people" => people::people(node, body, answer).await,
        "device" => people::device(doorway, node, body, answer).await,
        "words" => people::words(node).await,
        "recovery" => recovery::recovery(node, body).await,
        "doctor" => doctor::doctor(doorway, node, answer).await,
        "verify" => verify::verify(doorway, node, body, answer).await,
        "keep" => keep::keep(node, body, answer).await,
        "offload" => offload::offload(doorway, node, body, answer).await,
        "depot" => depot::depot(doorway, node, body, answer).await,
        "bundle" => bundle::bundle(node, body, answer).await,
        _ => Err(ApiError::not_yet(act)),
    }
}
