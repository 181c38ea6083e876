//! Bringing a node up: its key, its swarm, its listeners, its discovery.

use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
};

use futures::StreamExt;
use libp2p::{
    Swarm, TransportError,
    identity::Keypair,
    relay,
    swarm::{Config as SwarmConfig, SwarmEvent},
};
use tokio::{sync::mpsc, time::Instant};
use zeroize::Zeroizing;

use super::{
    address::{Address, Peer},
    behaviour::Behaviour,
    dial::Dials,
    discovery::{Advert, Discovery, Heard},
    event::{Counters, NetError},
    gate::{Gate, Reach},
    limits::{self, NetLimits},
    relays::Relays,
    remote::{Remote, Ways},
    swarm::{Command, Driver, Outbox},
    transport,
};

/// How a node takes part in the network.
pub struct NetConfig {
    /// The seed of the Ed25519 key that this node proves to hold (RFC 8032):
    /// the device's own, or that of an invite's guest while joining.
    pub seed: Zeroizing<[u8; 32]>,
    /// Where to listen; empty for a node that only dials. Port 0 takes a
    /// random one, the same for every address that asks for it.
    pub listen: Vec<Address>,
    /// Whether to browse with multicast DNS and, where this node listens, to
    /// announce it. Goes by the interfaces of `listen`; all where it is empty.
    pub discovery: bool,
    /// Which addresses are spoken to.
    pub reach: Reach,
    /// How it takes part in what lies beyond its own network; not at all where
    /// that is `None`, or the reach is the local network.
    pub remote: Option<Remote>,
    /// Other bounds than the usual.
    pub limits: NetLimits,
}

impl NetConfig {
    /// Listens on all interfaces at a random port, with discovery.
    pub fn new(seed: Zeroizing<[u8; 32]>) -> Self {
        Self {
            seed,
            listen: Address::everywhere(0).to_vec(),
            discovery: true,
            reach: Reach::default(),
            remote: None,
            limits: NetLimits::default(),
        }
    }
}

/// What the handle reads without asking the task.
pub(super) struct Shared {
    pub(super) me: Peer,
    pub(super) port: Option<u16>,
    pub(super) refused: Arc<Counters>,
    /// Whether this node relays for others now.
    pub(super) relays: AtomicBool,
    listening: Mutex<BTreeSet<Address>>,
    /// Where devices elsewhere have called this node back.
    called_back: Mutex<BTreeSet<Address>>,
}

impl Shared {
    /// Whether that was news.
    pub(super) fn set_listening(&self, address: Address, now: bool) -> bool {
        let mut listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match now {
            true => listening.insert(address),
            false => listening.remove(&address),
        }
    }

    /// Notes that this node was called back at an address, or is not reached there any more.
    pub(super) fn set_called_back(&self, address: Address, now: bool) {
        let mut called = self
            .called_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match now {
            true => called.insert(address),
            false => called.remove(&address),
        };
    }

    pub(super) fn was_called_back_at(&self, address: &Address) -> bool {
        let called = self
            .called_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        called.iter().any(|known| known.is_same_place(address))
    }

    pub(super) fn listening(&self) -> Vec<Address> {
        let listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listening.iter().copied().collect()
    }
}

/// Makes the network task of one node, listening already.
pub(super) async fn driver(
    mut config: NetConfig,
    commands: mpsc::Receiver<Command>,
) -> Result<Driver, NetError> {
    let key =
        Keypair::ed25519_from_bytes(config.seed.as_mut_slice()).expect("every 32 bytes are a seed");
    let id = key.public().to_peer_id();
    let me = Peer::of(&id).expect("the key is Ed25519");
    let refused = Arc::new(Counters::default());
    let remote = config.remote.filter(|_| config.reach == Reach::Anywhere);
    let mut gate = Gate::new(me, config.reach);
    let (circuits, ways) = match &remote {
        None => (None, None),
        Some(remote) => {
            gate.open_ways();
            let (circuits, client) = relay::client::new(id);
            (Some(circuits), Some(Ways::new(&key, remote, client)))
        }
    };
    let transport = transport::build(&key, Arc::clone(&refused), &config.limits, circuits)
        .expect("an Ed25519 key signs the Noise key");
    let behaviour = Behaviour::new(me, gate, &config.limits, Arc::clone(&refused), ways);
    let settings = SwarmConfig::with_tokio_executor()
        .with_idle_connection_timeout(limits::IDLE)
        .with_max_negotiating_inbound_streams(limits::NEGOTIATING_STREAMS);
    let mut swarm = Swarm::new(transport, behaviour, id, settings);
    let port = listen(&mut swarm, &config.listen).await?;

    let (sighted, sightings) = mpsc::channel(limits::COMMANDS);
    let discovery = match config.discovery {
        true => Some(Browsing::new(port, &config.listen, sighted)),
        false => None,
    };
    let shared = Arc::new(Shared {
        me,
        port,
        refused,
        relays: AtomicBool::new(false),
        listening: Mutex::default(),
        called_back: Mutex::default(),
    });
    let addresses: Vec<_> = swarm.listeners().cloned().collect();
    let remote = remote.unwrap_or_default();
    let mut driver = Driver {
        swarm,
        shared,
        commands,
        discovery,
        sightings,
        dials: Dials::default(),
        relays: Relays::new(remote.relaying),
        outbox: Outbox::default(),
    };
    for address in addresses {
        driver.listening(&address, true);
    }
    driver.go_out(&remote);
    Ok(driver)
}

/// Listens on what can be listened on; a machine may lack IPv6. The port of
/// the first is used wherever none was named, because a record in the local
/// network has one port for all addresses.
async fn listen(
    swarm: &mut Swarm<Behaviour>,
    addresses: &[Address],
) -> Result<Option<u16>, NetError> {
    let mut port = None;
    let mut failed = None;
    for address in addresses {
        let mut wanted = *address;
        if wanted.port == 0 {
            wanted.port = port.unwrap_or(0);
        }
        match swarm.listen_on(wanted.multiaddr()) {
            Ok(_) if port.is_none() => port = listening_port(swarm).await,
            Ok(_) => {}
            Err(error) => {
                let cause = match error {
                    TransportError::Other(cause) => cause,
                    unsupported => io::Error::other(unsupported.to_string()),
                };
                tracing::warn!(%address, %cause, "cannot listen");
                failed.get_or_insert(NetError::Listen {
                    address: *address,
                    cause,
                });
            }
        }
    }
    match (port, failed) {
        (None, Some(error)) => Err(error),
        (port, _) => Ok(port),
    }
}

/// Waits for the first listener to name its port, which is the first thing
/// that a new swarm has to tell.
async fn listening_port(swarm: &mut Swarm<Behaviour>) -> Option<u16> {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => {
                return Address::of(&address).ok().map(|address| address.port);
            }
            SwarmEvent::ListenerClosed { .. } => return None,
            _ => {}
        }
    }
}

/// What is looked for and published on the local network, and how to begin that anew.
pub(super) struct Browsing {
    port: Option<u16>,
    /// None for all of this machine.
    addresses: Vec<IpAddr>,
    heard: mpsc::Sender<Heard>,
    adverts: Vec<Advert>,
    discovery: Option<Discovery>,
    /// When discovery begins anew after a flood.
    pub(super) again: Option<Instant>,
}

impl Browsing {
    fn new(port: Option<u16>, listen: &[Address], heard: mpsc::Sender<Heard>) -> Self {
        let everywhere = listen.iter().any(|address| address.ip.is_unspecified());
        let addresses = match everywhere {
            true => Vec::new(),
            false => listen.iter().map(|address| address.ip).collect(),
        };
        let mut browsing = Self {
            port,
            addresses,
            heard,
            adverts: Vec::new(),
            discovery: None,
            again: None,
        };
        browsing.begin();
        browsing
    }

    /// Looks and publishes, where that does not go on already.
    pub(super) fn begin(&mut self) {
        self.again = None;
        let started = Discovery::start(self.port, self.addresses.clone(), self.heard.clone());
        self.discovery = started
            .inspect_err(|error| tracing::warn!(%error, "discovery is off"))
            .ok();
        let adverts = std::mem::take(&mut self.adverts);
        self.publish(adverts);
    }

    pub(super) fn publish(&mut self, adverts: Vec<Advert>) {
        if let Some(discovery) = &mut self.discovery {
            discovery.publish(&adverts);
        }
        self.adverts = adverts;
    }

    /// Gives up for a while what somebody has flooded, with all the memory it took.
    pub(super) fn pause(&mut self) {
        tracing::warn!(
            "a flood of announcements: nobody is looked for on this network for a moment"
        );
        self.discovery = None;
        self.again = Some(Instant::now() + limits::FLOOD_PAUSE);
    }
}
