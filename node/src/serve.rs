//! A node that runs: on the network, on its socket file, until it is told to stop.

use std::{collections::BTreeSet, future::Future, path::PathBuf, sync::Arc, time::Duration};

use heirloom_protocol::id::AlbumId;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{Answer, ApiError, Doorway, Lines, keep_from_deleted, keep_taken, keep_within_limit},
    carry::depot,
    gallery::{Gallery, GalleryOptions},
    import::previews,
    net::Relaying,
    network::{Network, NetworkOptions, addresses},
    node::{Node, Options},
    runtime::{News, RuntimeError},
    scrub, upkeep, watch,
};

/// How long between two rounds of what time brings: trash that expires, disks that get their space back.
const ROUND_EVERY: Duration = Duration::from_secs(3600);
/// When the first of them is: who was restored from an older copy learns its own log before it writes.
const FIRST_ROUND: Duration = Duration::from_secs(30);
/// How long after news of a forked log both its sides are vouched for.
const VOUCH_AFTER: Duration = Duration::from_secs(2);
/// How long between two looks at entries whose clock was ahead.
const RELEASE_EVERY: Duration = Duration::from_secs(60);
/// How long after a change of the roster keys are given out.
const TEND_AFTER: Duration = Duration::from_secs(10);
/// How long between two lines of the log on what came and went.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How long the first line waits for an address.
const LISTENING: Duration = Duration::from_secs(2);

/// How a node is run.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Its home.
    pub home: PathBuf,
    /// How it does its work.
    pub node: Options,
    /// The port to listen on, on all interfaces; instead of `listen` and of what the home's settings say.
    pub port: Option<u16>,
    /// Multiaddrs to listen on; empty for what the home's settings say.
    pub listen: Vec<String>,
    /// Whether it talks to the local network alone.
    pub lan_only: bool,
    /// Where others reach it from outside, beside what its settings say.
    pub external: Vec<String>,
    /// Whether it relays even where nobody has called it from outside yet, if it has an address there.
    pub relay: bool,
    /// Whether it announces itself and looks for others, unless its settings say no.
    pub discovery: bool,
    /// Where the gallery is offered; `None` for nowhere.
    pub gallery: Option<GalleryOptions>,
}

impl ServeOptions {
    fn network(&self) -> Result<NetworkOptions, ApiError> {
        let mut options = NetworkOptions::of_home(&self.home)?;
        // What is said at the start goes before the settings.
        if let Some(port) = self.port {
            options.listen = Vec::new();
            options.port = Some(port).filter(|port| *port != 0);
        } else if !self.listen.is_empty() {
            options.listen = addresses(&self.listen)?;
            options.port = None;
        }
        options.lan_only |= self.lan_only;
        options.external.extend(addresses(&self.external)?);
        if self.relay {
            options.relaying = Relaying::Always;
        }
        options.discovery &= self.discovery;
        Ok(options)
    }
}

/// Starts a node and runs it until `stop`; the lines are `ready`, then at the end a summary.
///
/// It answers on its socket file before the first line is written. Dropping the
/// lines stops it as well. On a home that is not set up it offers the gallery's
/// set-up page alone; once the home is, it runs on, with a line `set_up`.
///
/// # Errors
///
/// `E-NOT-SET-UP` where no gallery is offered, `E-LOCKED` when another process
/// works on the home, and whatever disk and network say.
pub async fn serve(
    options: ServeOptions,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Lines, ApiError> {
    let network_options = options.network()?;
    let doorway = Doorway::open(options.home.clone(), options.node.clone()).await?;
    if network_options.lan_only {
        doorway.stay_near();
    }
    let is_set_up = match doorway.node().await {
        Err(error) if options.gallery.is_none() => return Err(error),
        node => node.is_ok(),
    };
    if !is_set_up {
        crate::store::Store::prepare(&options.home)?;
    }
    let (answer, lines) = Answer::new("serve");
    let mut running = Running {
        doorway: doorway.clone(),
        network_options,
        ending: CancellationToken::new(),
        network: None,
        work: Vec::new(),
    };
    if is_set_up {
        running.join_network().await?;
    }
    let gallery = match running.offer(options.gallery).await {
        Ok(gallery) => gallery,
        Err(error) => {
            running.stop().await;
            return Err(error);
        }
    };
    #[cfg(unix)]
    let socket = match crate::api::Socket::bind(&options.home) {
        Ok(socket) => socket,
        Err(error) => {
            running.stop().await;
            return Err(error);
        }
    };
    #[cfg(unix)]
    let answering = tokio::spawn(socket.serve(Arc::clone(&doorway), running.ending.clone()));
    tokio::spawn(async move {
        running.tell(&answer, "ready", gallery.as_ref()).await;
        let dropped = answer.dropped().clone();
        let stop = async {
            tokio::select! {
                () = stop => {}
                () = dropped.cancelled() => {}
            }
        };
        let ran = running.until(stop, &answer, gallery.as_ref()).await;
        running.ending.cancel();
        // Tasks that fail have said so; the others are waited for, so that the last writes are done.
        #[cfg(unix)]
        let _ = answering.await;
        running.stop().await;
        answer.finish(ran.map(|()| json!({}))).await;
    });
    Ok(lines)
}

/// What runs, and how to end it.
struct Running {
    doorway: Arc<Doorway>,
    network_options: NetworkOptions,
    ending: CancellationToken,
    network: Option<Network>,
    /// What goes on beside answering.
    work: Vec<tokio::task::JoinHandle<()>>,
}

impl Running {
    /// Takes the node of a home that is set up to the network.
    async fn join_network(&mut self) -> Result<(), ApiError> {
        let node = self.doorway.node().await?;
        let network = Network::start(node.clone(), self.network_options.clone()).await?;
        self.network = Some(network.clone());
        self.doorway.run_on(Some(network.clone())).await;
        let device = node.view().await?.device;
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(%version, device = %device.short(), "the node runs");
        self.work = vec![
            tokio::spawn(tell_moved(network.clone(), self.ending.clone())),
            tokio::spawn(scrub::run(node.clone(), self.ending.clone())),
            tokio::spawn(previews::run_again(node.clone(), self.ending.clone())),
            tokio::spawn(keep_up(node.clone(), self.ending.clone())),
            tokio::spawn(keep_within_limit(node, network, self.ending.clone())),
            tokio::spawn(depot::run(self.doorway.clone(), self.ending.clone())),
            tokio::spawn(watch::run(self.doorway.clone(), self.ending.clone())),
        ];
        Ok(())
    }

    /// Offers the gallery; a keeper has nothing to show and offers none.
    async fn offer(&self, options: Option<GalleryOptions>) -> Result<Option<Gallery>, ApiError> {
        let Some(options) = options else {
            return Ok(None);
        };
        if let Ok(node) = self.doorway.node().await
            && node.view().await?.person.is_none()
        {
            return Ok(None);
        }
        let gallery = Gallery::start(self.doorway.clone(), options).await?;
        self.doorway.show(Some(gallery.clone())).await;
        Ok(Some(gallery))
    }

    /// Runs until `stop`; a home that is set up meanwhile goes to the network.
    async fn until(
        &mut self,
        stop: impl Future<Output = ()>,
        answer: &Answer,
        gallery: Option<&Gallery>,
    ) -> Result<(), ApiError> {
        let mut stop = std::pin::pin!(stop);
        let mut stirs = self.doorway.stirs();
        while self.network.is_none() {
            match self.doorway.node().await {
                Ok(node) => {
                    self.join_network().await?;
                    if let Some(gallery) = gallery {
                        gallery.settled(&node).await;
                    }
                    self.tell(answer, "set_up", gallery).await;
                }
                Err(_) => tokio::select! {
                    () = &mut stop => return Ok(()),
                    _ = stirs.changed() => {}
                },
            }
        }
        stop.await;
        Ok(())
    }

    async fn tell(&self, answer: &Answer, line: &str, gallery: Option<&Gallery>) {
        let (listen, named) = match &self.network {
            Some(network) => listening(network).await,
            None => Default::default(),
        };
        let peer = self
            .network
            .as_ref()
            .map(|network| network.net().me().to_string());
        let phones = gallery.and_then(Gallery::lan);
        answer
            .line(&json!({
                "type": line, "v": 1, "peer": peer, "listen": listen,
                // Those of them that a person named: whether anybody is led here is not known.
                "named": named,
                "gallery": gallery.map(Gallery::address),
                "phones": phones.map(|(url, fingerprint)| json!({"url": url, "fingerprint": fingerprint})),
                "lan_only": self.network_options.lan_only,
            }))
            .await;
    }

    async fn stop(&mut self) {
        self.ending.cancel();
        let did_run = self.network.is_some();
        if let Some(gallery) = self.doorway.gallery().await {
            self.doorway.show(None).await;
            gallery.stop().await;
        }
        for task in self.work.drain(..) {
            // A task that failed has said so.
            let _ = task.await;
        }
        self.doorway.run_on(None).await;
        if let Some(network) = self.network.take() {
            network.stop().await;
        }
        if did_run {
            tracing::info!("the node has stopped");
        }
    }
}

/// Logs how much came and went, for whom looks later; what is left to tell at the end as well.
async fn tell_moved(network: Network, ending: CancellationToken) {
    let mut every = interval(TELL_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = network.moved();
    loop {
        let is_ending = tokio::select! {
            () = ending.cancelled() => true,
            _ = every.tick() => false,
        };
        let now = network.moved();
        if now.blobs_received > told.blobs_received {
            let files = now.blobs_received.saturating_sub(told.blobs_received);
            let bytes = now.bytes_received.saturating_sub(told.bytes_received);
            tracing::info!(
                files,
                bytes,
                "photos and their pictures came from other devices"
            );
        }
        if now.blobs_sent > told.blobs_sent {
            let files = now.blobs_sent.saturating_sub(told.blobs_sent);
            let bytes = now.bytes_sent.saturating_sub(told.bytes_sent);
            tracing::info!(
                files,
                bytes,
                "photos and their pictures went to other devices"
            );
        }
        told = now;
        if is_ending {
            return;
        }
    }
}

/// Where others may dial this node, and which of that a person named.
async fn listening(network: &Network) -> (Vec<String>, Vec<String>) {
    let mut stirs = network.stirs();
    let waited = async { while network.addresses().is_empty() && stirs.changed().await.is_ok() {} };
    // A node that nobody can dial still calls others.
    let _ = timeout(LISTENING, waited).await;
    let all = network.addresses();
    let named = all.iter().filter(|address| network.is_named(address));
    (
        all.iter().map(ToString::to_string).collect(),
        named.map(ToString::to_string).collect(),
    )
}

async fn rounds(node: &Node) -> Result<(), RuntimeError> {
    upkeep::round(node).await?;
    upkeep::sweep(node).await?;
    if let Err(error) = keep_from_deleted(node).await {
        tracing::warn!(error = error.message, "photos of a deleted album");
    }
    Ok(())
}

/// Puts into the library what went out of sight as an album ended; `deleted` are those of them that were looked at:
/// each look at deleted ones reads the whole catalog.
async fn keep_what_ended(node: &Node, deleted: &mut BTreeSet<AlbumId>) -> Result<(), ApiError> {
    let asked = node.ask(|runtime| runtime.deleted_albums().into_keys().collect());
    let now: BTreeSet<AlbumId> = asked.await?;
    if now.is_subset(deleted) {
        return keep_taken(node).await;
    }
    keep_from_deleted(node).await?;
    *deleted = now;
    Ok(())
}

/// What a running node does by itself: held entries are let go in time, newcomers get their keys.
async fn keep_up(node: Node, ending: CancellationToken) {
    let mut news = node.news();
    let mut release = interval(RELEASE_EVERY);
    release.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = interval_at(Instant::now() + FIRST_ROUND, ROUND_EVERY);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Keys that were due when the node was last stopped.
    let mut tend_at = Some(Instant::now() + TEND_AFTER);
    let mut vouch_at = None;
    let mut deleted = BTreeSet::new();
    loop {
        let due = tend_at.unwrap_or_else(|| Instant::now() + RELEASE_EVERY);
        let vouch_due = vouch_at.unwrap_or(due);
        let done = tokio::select! {
            () = ending.cancelled() => return,
            _ = release.tick() => node.ask(|runtime| {
                runtime.save_claims()?;
                runtime.release_held()
            }).await,
            _ = round.tick() => Ok(rounds(&node).await),
            () = sleep_until(due), if tend_at.is_some() => {
                tend_at = None;
                node.ask(|runtime| runtime.tend()).await
            }
            () = sleep_until(vouch_due), if vouch_at.is_some() => {
                vouch_at = None;
                if let Err(error) = keep_what_ended(&node, &mut deleted).await {
                    tracing::warn!(error = error.message, "photos of an album that ended");
                }
                node.ask(|runtime| runtime.vouch_for_forks()).await
            }
            told = news.recv() => {
                use tokio::sync::broadcast::error::RecvError;
                match told {
                    Ok(News::Roster) | Err(RecvError::Lagged(_)) => {
                        tend_at.get_or_insert(Instant::now() + TEND_AFTER);
                    }
                    Ok(News::Renamed(_) | News::Entries(Some(_), _)) => {
                        vouch_at.get_or_insert(Instant::now() + VOUCH_AFTER);
                    }
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                }
                continue;
            }
        };
        match done {
            Ok(Ok(())) => {}
            Err(RuntimeError::Stopped) => return,
            Ok(Err(error)) | Err(error) => tracing::warn!(%error, "upkeep"),
        }
    }
}
