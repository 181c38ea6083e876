//! The node on the network: who is let in, who is called, and what runs over the streams.
//!
//! [`crate::net`] moves bytes and knows nothing of families; this is where the
//! roster, the discovery tags and the sessions meet it. One task takes the
//! events in order and starts a task for each stream; it never waits for a peer.

mod adverts;
mod blobs;
mod calls;
mod gossip;
mod options;
mod pace;
pub(crate) mod pair;
mod seen;
mod sync;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use heirloom_protocol::{
    crypto::{RecoveryKit, SignSecret},
    discovery::InviteTagKey,
    id::DeviceId,
    sync::want::Path as Way,
};
use tokio::sync::{Semaphore, mpsc, watch};
use zeroize::Zeroizing;

use crate::{
    api::ApiError,
    net::{
        Address, Net, NetConfig, NetEvent, Path, Peer, PeerPath, Proto, Sighting, Standing, Stream,
        Wire,
    },
    node::Node,
    runtime::{News, RuntimeError, is_beacon},
};

pub(crate) use self::options::{addresses, ranges, rates};
pub use self::{
    calls::{addresses_of, forget, forget_address, known_addresses, remember},
    options::NetworkOptions,
    pace::{NoRate, Rates},
    sync::{Moved, SyncState},
};

/// A pairing stream from a guest, for whoever redeems invites.
pub struct GuestStream {
    /// The guest's identity on the outer connection.
    pub guest: Peer,
    /// The stream.
    pub stream: Stream,
}

/// A node on the network. It leaves when the last handle is dropped or [`Network::stop`] is called.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    node: Node,
    net: Net,
    pace: pace::Pace,
    discovery: bool,
    /// The recovery kit in whose name this node is here, and not in its own.
    kit: Option<DeviceId>,
    lan_only: bool,
    /// Where others reach this node from outside, as a person says.
    external: Vec<Address>,
    metered: bool,
    relay_originals: bool,
    state: Mutex<State>,
    downloads: blobs::Downloads,
    lists: blobs::Lists,
    /// What this device sends instead of blobs; the truth where it is nothing.
    #[cfg(test)]
    lie: Mutex<Option<blobs::Lie>>,
    /// Whether this device answers no challenge, and whether it takes its claims back as it is asked.
    #[cfg(test)]
    withholds: Mutex<Option<blobs::Withholds>>,
    /// Raised whenever sessions, transfers or connections changed.
    stirred: watch::Sender<u64>,
    cancel: tokio_util::sync::CancellationToken,
}

#[derive(Default)]
struct State {
    sessions: BTreeMap<DeviceId, sync::Running>,
    /// By guest: who redeems the invite, and its tag key.
    invites: BTreeMap<Peer, (mpsc::Sender<GuestStream>, InviteTagKey)>,
    nonce_round: u64,
    misbehaved: BTreeMap<DeviceId, tokio::time::Instant>,
    moved: Moved,
    /// Called devices that stand connected and have not said a word yet.
    unjudged: BTreeSet<DeviceId>,
    /// Devices that ended one call before they said a word, and are called once more.
    doubted: BTreeSet<DeviceId>,
    /// Devices that ended the last two calls before they said a word.
    turned_away: BTreeSet<DeviceId>,
    /// How many calls of a device are under way.
    calling: BTreeMap<DeviceId, u8>,
    /// Connected devices over whose way previews alone come.
    costly: BTreeSet<DeviceId>,
    /// Devices that are in another network, by their last first connection.
    elsewhere: BTreeSet<DeviceId>,
    /// Devices that are called because they were seen.
    sought: BTreeMap<DeviceId, u8>,
    /// When devices were called last because of what somebody said.
    called_again: Option<tokio::time::Instant>,
    /// Peers were told that this device is full.
    full: bool,
    /// What is being handed over, one at a time to each device.
    handing: pair::Handing,
    /// When a peer was last served a blob.
    served_at: Option<std::time::Instant>,
    /// When bytes of a blob last went to a device.
    sent_at: BTreeMap<DeviceId, std::time::Instant>,
    places: BTreeMap<DeviceId, Places>,
}

/// What a device may have going on at once, over all of its connections: what is on its way out is in memory until it
/// takes it. One more waits, and is not read.
#[derive(Clone)]
struct Places {
    /// Streams by which it asks for blobs: it fetches by one, and asks what is held by one or two.
    served: Arc<Semaphore>,
    /// Sessions: one, beside one that ends.
    sessions: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            served: Arc::new(Semaphore::new(4)),
            sessions: Arc::new(Semaphore::new(2)),
        }
    }
}

/// Streams of one guest that wait.
const GUESTS: usize = 16;
/// How long between two rounds of calling devices that are not connected.
const CALL_EVERY: Duration = Duration::from_secs(15);
/// How long at least between two rounds because somebody said where a device is.
const CALL_AGAIN: Duration = Duration::from_secs(3);
/// How long adverts keep their nonces.
const ADVERT_EVERY: Duration = Duration::from_secs(3600);

impl Network {
    /// Joins the network: listens, announces, lets the roster in and calls it.
    ///
    /// # Errors
    ///
    /// `E-IO` when no address can be listened on.
    pub async fn start(node: Node, options: NetworkOptions) -> Result<Self, ApiError> {
        let keys = node.ask(|runtime| runtime.keys().clone()).await?;
        Self::begin(node, options, keys.sign.to_bytes(), None).await
    }

    /// Joins the network in the name of a recovery kit, for a device that nobody knows yet.
    ///
    /// Entries are exchanged and nothing else: no blobs, no audits, nothing that the device signs of
    /// where it is.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub(crate) async fn start_for_kit(
        node: Node,
        options: NetworkOptions,
        kit: &RecoveryKit,
    ) -> Result<Self, ApiError> {
        let key = kit.sign();
        Self::begin(node, options, key.to_bytes(), Some(key.id())).await
    }

    async fn begin(
        node: Node,
        options: NetworkOptions,
        seed: Zeroizing<[u8; 32]>,
        kit: Option<DeviceId>,
    ) -> Result<Self, ApiError> {
        let mut config = NetConfig::new(seed);
        config.reach = options.reach();
        config.remote = Some(options.remote());
        config.listen = options.listens();
        config.discovery = options.discovery;
        let (net, events) = Net::start(config)
            .await
            .map_err(|error| ApiError::network(&error))?;
        let pace = pace::Pace::new(options.up, options.down, node.clock());
        let network = Self(Arc::new(Inner {
            node,
            net,
            pace,
            discovery: options.discovery,
            kit,
            lan_only: options.lan_only,
            external: options.external,
            metered: options.metered,
            relay_originals: options.relay_originals,
            state: Mutex::default(),
            downloads: blobs::Downloads::default(),
            lists: blobs::Lists::default(),
            #[cfg(test)]
            lie: Mutex::default(),
            #[cfg(test)]
            withholds: Mutex::default(),
            stirred: watch::Sender::new(0),
            cancel: tokio_util::sync::CancellationToken::new(),
        }));
        network.let_roster_in().await?;
        network.renew_adverts().await?;
        tokio::spawn(network.clone().drive(events));
        Ok(network)
    }

    /// The node behind it.
    pub fn node(&self) -> &Node {
        &self.0.node
    }

    /// The streams and connections beneath.
    pub fn net(&self) -> &Net {
        &self.0.net
    }

    /// Where this node can be dialled.
    pub fn addresses(&self) -> Vec<Address> {
        self.0.net.addresses()
    }

    /// Whether it talks to its own network alone.
    pub fn is_lan_only(&self) -> bool {
        self.0.lan_only
    }

    /// Who is connected.
    pub async fn connected(&self) -> Vec<PeerPath> {
        self.0.net.connected().await.unwrap_or_default()
    }

    /// Wakes whenever a session, a transfer or a connection changed.
    pub fn stirs(&self) -> watch::Receiver<u64> {
        self.0.stirred.subscribe()
    }

    /// Leaves the network, telling peers goodbye.
    pub async fn stop(&self) {
        self.0.cancel.cancel();
        self.note_all_seen().await;
        self.0.net.clone().shutdown().await;
        if let Ok(Err(error)) = self.node().ask(|runtime| runtime.save_claims()).await {
            tracing::warn!(%error, "what others claim could not be kept");
        }
    }

    /// Lets the guest of an invite in for pairing, announces the invite, and gives its streams.
    pub async fn welcome(
        &self,
        guest: &SignSecret,
        tag: InviteTagKey,
        valid: Duration,
    ) -> mpsc::Receiver<GuestStream> {
        let (tell, guests) = mpsc::channel(GUESTS);
        let guest = peer_of(guest.id());
        self.state().invites.insert(guest, (tell, tag));
        if let Err(error) = self.0.net.allow_guest(guest, valid).await {
            tracing::warn!(%error, "a guest cannot be let in");
        }
        self.renew_adverts_logged().await;
        guests
    }

    /// Ends what [`Self::welcome`] began.
    pub async fn dismiss(&self, guest: &SignSecret) {
        let guest = peer_of(guest.id());
        self.state().invites.remove(&guest);
        // An error says that the network has stopped, and nobody comes in.
        let _ = self.0.net.forget_guest(guest).await;
        self.renew_adverts_logged().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self, device: DeviceId) -> Places {
        self.state().places.entry(device).or_default().clone()
    }

    fn stir(&self) {
        self.0
            .stirred
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    async fn let_roster_in(&self) -> Result<(), RuntimeError> {
        let me = self.0.net.me();
        let live = self.0.node.ask(|runtime| runtime.live_keys()).await?;
        let allowed: BTreeSet<_> = live
            .into_iter()
            .map(peer_of)
            .filter(|peer| *peer != me)
            .collect();
        if self.0.net.set_allowed(allowed).await.is_err() {
            tracing::debug!("the network has stopped");
        }
        Ok(())
    }

    /// Ends every connection with a device.
    async fn cut_off(&self, device: DeviceId) {
        if let Err(error) = self.0.net.disconnect(peer_of(device)).await {
            tracing::debug!(device = %device.short(), %error, "not disconnected");
        }
    }

    /// Ends one connection with a device.
    async fn hang_up(&self, device: DeviceId, wire: Wire) {
        if let Err(error) = self.0.net.hang_up(peer_of(device), wire).await {
            tracing::debug!(device = %device.short(), %error, "not disconnected");
        }
    }

    async fn drive(self, mut events: mpsc::Receiver<NetEvent>) {
        let mut news = self.0.node.news();
        let mut call = tokio::time::interval(CALL_EVERY);
        let mut adverts = tokio::time::interval(ADVERT_EVERY);
        adverts.reset();
        loop {
            tokio::select! {
                () = self.0.cancel.cancelled() => return,
                event = events.recv() => match event {
                    Some(event) => self.event(event).await,
                    None => return,
                },
                told = news.recv() => match told {
                    Ok(news) => self.news(news).await,
                    // Too much happened to be told one by one: look at everything.
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => self.all_news().await,
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                },
                _ = call.tick() => {
                    self.call_absent();
                    self.fetch_all();
                    self.audit_all();
                    self.tell_room().await;
                }
                _ = adverts.tick() => {
                    self.note_all_seen().await;
                    self.renew_adverts_logged().await;
                    self.tell_own_beacon().await;
                }
            }
        }
    }

    async fn event(&self, event: NetEvent) {
        match event {
            NetEvent::Listening { .. } | NetEvent::NotListening { .. } => {
                self.renew_adverts_logged().await;
                self.tell_own_beacon().await;
                self.stir();
            }
            NetEvent::Connected {
                peer,
                standing: Standing::Member,
                address,
                outbound,
                path,
            } => {
                self.take_place(device_of(peer), &address, path);
                // Who was called has not judged this device yet, and may end it at once.
                if outbound {
                    self.state().unjudged.insert(device_of(peer));
                } else {
                    self.note_came_in(&address, path);
                    self.state().doubted.remove(&device_of(peer));
                    self.state().turned_away.remove(&device_of(peer));
                    self.note_met(device_of(peer));
                }
                self.note_way(device_of(peer), path).await;
                self.connected_to(device_of(peer), address, outbound);
            }
            NetEvent::Connected {
                address,
                path,
                outbound: false,
                ..
            } => self.note_came_in(&address, path),
            NetEvent::Connected { .. } => {}
            NetEvent::Disconnected { peer } => {
                let ended = self.state().sessions.remove(&device_of(peer));
                self.note_end(device_of(peer), ended.is_some());
                self.stir();
            }
            NetEvent::Ended { peer } => {
                self.state().unjudged.insert(device_of(peer));
                self.note_end(device_of(peer), false);
            }
            NetEvent::Stream {
                peer,
                proto,
                stream,
            } => self.take_stream(peer, proto, stream),
            NetEvent::Discovered(sighting) => self.sighted(sighting),
        }
    }

    /// Previews alone come over a way that costs somebody something, unless a person said otherwise.
    async fn note_way(&self, device: DeviceId, path: Path) {
        let costs = path == Path::Relay || self.0.metered && path != Path::Lan;
        let way = match costs && !self.0.relay_originals {
            true => Way::Costly,
            false => Way::Free,
        };
        {
            let mut state = self.state();
            match way {
                Way::Costly => state.costly.insert(device),
                Way::Free => state.costly.remove(&device),
            };
        }
        let noted = self.0.node.ask(move |runtime| runtime.set_way(device, way));
        if let Err(error) = noted.await {
            tracing::debug!(%error, "the way to a device");
        }
    }

    fn take_stream(&self, peer: Peer, proto: Proto, stream: Stream) {
        let device = device_of(peer);
        match proto {
            Proto::Sync => self.begin_session(device, stream),
            Proto::Blob => self.serve_blobs(device, stream),
            Proto::Pair => {
                let guests = self
                    .state()
                    .invites
                    .get(&peer)
                    .map(|(tell, _)| tell.clone());
                match guests {
                    // A guest beyond the queue finds the stream closed and tries again.
                    Some(guests) => drop(guests.try_send(GuestStream {
                        guest: peer,
                        stream,
                    })),
                    None => self.hand_over(device, stream),
                }
            }
        }
    }

    async fn news(&self, news: News) {
        match news {
            News::Roster => {
                if let Err(error) = self.let_roster_in().await {
                    tracing::warn!(%error, "roster");
                }
                self.renew_adverts_logged().await;
                self.tick_sessions();
                self.call_absent();
            }
            News::Entries(from, entries) => self.tell_sessions(from, &entries),
            News::Blobs(changes) => self.tell_have(&changes, true),
            News::Dropped(changes) => self.tell_have(&changes, false),
            News::Renamed(space) => self.tell_renamed(space),
            News::Peers => self.tell_room().await,
            News::Assets(_) | News::Rebuilt(_) => {}
            News::Gossip(from, gossip) => {
                self.tell_gossip(Some(from), &gossip);
                if is_beacon(&gossip) {
                    self.call_again();
                }
            }
            News::OddClock(device) => self.tell_beacon_to(device).await,
        }
        self.stir();
    }

    async fn all_news(&self) {
        self.news(News::Roster).await;
        self.tick_sessions();
    }

    fn sighted(&self, sighting: Sighting) {
        let network = self.clone();
        tokio::spawn(async move { network.recognise(sighting).await });
    }
}

/// A device as the network names it.
pub(crate) fn peer_of(device: DeviceId) -> Peer {
    Peer(device.0)
}

/// A peer as the family names it.
pub(crate) fn device_of(peer: Peer) -> DeviceId {
    DeviceId(peer.0)
}

/// The seed of a guest's identity.
pub(crate) fn guest_seed(guest: &SignSecret) -> Zeroizing<[u8; 32]> {
    guest.to_bytes()
}
