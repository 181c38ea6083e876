//! The network: devices that find each other and streams of bytes between them.
//!
//! [`Net`] is a handle to one task that owns the libp2p `Swarm`; nobody
//! outside this folder names a type of libp2p or mdns-sd. It knows who may
//! come in (the roster, and the guest of a live invite), how to reach a peer
//! and how to open a stream. It does not know what the streams carry, and
//! neither makes nor recognises discovery tags.
//!
//! ```text
//!  roster, invites, adverts -> [ gate | limits | ping | streams ] -> Connected, Stream
//!  dial, open ---------------> [ muxer | Noise | TCP ] <-> peers
//!                              [ discovery ] ----------> Discovered
//! ```
//!
//! A hostile peer that is not in the roster costs one handshake and gets no
//! stream. One that is can hold 16 streams and a receive window that grows to
//! 64 MiB only as fast as this node reads, a connection, of which it has three.

mod address;
mod behaviour;
mod dial;
mod discovery;
mod gate;
mod limits;
mod line;
mod muxer;
mod stream;
mod streams;
mod swarm;
mod transport;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use libp2p::{
    Swarm,
    identity::Keypair,
    swarm::{Config as SwarmConfig, SwarmEvent},
};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

pub use address::{Address, AddressError, Path, Peer};
pub use discovery::{Advert, Sighting};
pub use gate::{Reach, Standing, Whom};
pub use limits::NetLimits;
pub use stream::{Proto, Stream};

use behaviour::Behaviour;
use dial::Dials;
use discovery::Discovery;
use swarm::{Command, Driver, Outbox};

/// How a node takes part in the network.
pub struct NetConfig {
    /// The seed of the Ed25519 key that this node proves to hold (RFC 8032):
    /// the device's own, or that of an invite's guest while joining.
    pub seed: Zeroizing<[u8; 32]>,
    /// Where to listen; empty for a node that only dials. Port 0 takes a
    /// random one, the same for every address that asks for it.
    pub listen: Vec<Address>,
    /// Whether to announce and browse with multicast DNS.
    pub discovery: bool,
    /// Which addresses are spoken to.
    pub reach: Reach,
    /// Other bounds than the usual.
    pub limits: NetLimits,
}

impl NetConfig {
    /// Listens on all interfaces at a random port, with discovery.
    pub fn new(seed: Zeroizing<[u8; 32]>) -> Self {
        let any = [
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ];
        Self {
            seed,
            listen: any.map(|ip| Address::new(ip, 0)).to_vec(),
            discovery: true,
            reach: Reach::default(),
            limits: NetLimits::default(),
        }
    }
}

/// Why something on the network did not happen.
#[derive(Debug, Error)]
pub enum NetError {
    /// No address could be listened on; the cause is that of the first.
    #[error("cannot listen on {address}")]
    Listen {
        /// The first address that failed.
        address: Address,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
    /// Nobody answered, or there was no address that may be dialled.
    #[error("no address answered")]
    Unreachable,
    /// Somebody answered who is not the one asked for.
    #[error("another device answered")]
    WrongPeer,
    /// The roster or the standing of the peer does not allow it.
    #[error("not allowed with this device")]
    NotAllowed,
    /// There is no connection, or it ended meanwhile.
    #[error("the device is not connected")]
    NotConnected,
    /// The peer does not speak this protocol with us.
    #[error("the device refused")]
    Refused,
    /// 16 streams to this peer are open already.
    #[error("too many streams to this device are open")]
    Busy,
    /// The network task has ended.
    #[error("the network is stopped")]
    Stopped,
}

/// Something that happened on the network.
#[derive(Debug)]
pub enum NetEvent {
    /// This node can be dialled there. Comes at the start and whenever an
    /// interface appears, which is also when adverts want a new nonce.
    Listening {
        /// The address, with this node's own peer.
        address: Address,
    },
    /// This node can no longer be dialled there.
    NotListening {
        /// The address that went away.
        address: Address,
    },
    /// The first connection to a peer stands. At the caller's side this comes
    /// before the other side has judged: it may close again at once.
    Connected {
        /// Who it is, proved by the handshake.
        peer: Peer,
        /// What it may do.
        standing: Standing,
        /// Its address; for an inbound connection with the port it called from.
        address: Address,
        /// How it is reached.
        path: Path,
        /// Whether this side dialled.
        outbound: bool,
    },
    /// The last connection to a peer ended.
    Disconnected {
        /// Who is gone.
        peer: Peer,
    },
    /// A peer opened a stream.
    Stream {
        /// Who opened it.
        peer: Peer,
        /// What it is for; for a guest always pairing.
        proto: Proto,
        /// The stream.
        stream: Stream,
    },
    /// A record of some Heirloom node was seen on the local network.
    Discovered(Sighting),
}

/// A connected peer, as `peer list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPath {
    /// Who it is.
    pub peer: Peer,
    /// What it may do.
    pub standing: Standing,
    /// The address of the connection that new streams use.
    pub address: Address,
    /// How it is reached.
    pub path: Path,
    /// Whether this side dialled.
    pub outbound: bool,
    /// The last measured round trip.
    pub rtt: Option<Duration>,
    /// Bytes that the streams of this connection have brought so far.
    pub received: u64,
    /// Bytes that the streams of this connection have taken so far.
    pub sent: u64,
}

/// How often the network said no, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Peers that are neither in the roster nor a guest.
    pub strangers: u64,
    /// Inbound connections beyond a limit or from outside the local network.
    pub connections: u64,
    /// Inbound connections that broke or timed out in the handshake.
    pub handshakes: u64,
    /// Inbound streams beyond a limit.
    pub streams: u64,
}

/// The counters behind [`Refusals`].
#[derive(Default)]
struct Refused {
    strangers: AtomicU64,
    connections: AtomicU64,
    handshakes: AtomicU64,
    streams: AtomicU64,
}

/// What the handle reads without asking the task.
struct Shared {
    me: Peer,
    port: Option<u16>,
    refused: Arc<Refused>,
    listening: Mutex<BTreeSet<Address>>,
}

impl Shared {
    /// Whether that was news.
    fn set_listening(&self, address: Address, now: bool) -> bool {
        let mut listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match now {
            true => listening.insert(address),
            false => listening.remove(&address),
        }
    }

    fn listening(&self) -> Vec<Address> {
        let listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listening.iter().copied().collect()
    }
}

/// A handle to the network task. Cheap to clone; the task ends when the last
/// handle is dropped or [`Net::shutdown`] is called.
///
/// Every method but [`Net::dial`] and [`Net::open`] answers at once. Dropping
/// a future of any of them is safe.
#[derive(Clone)]
pub struct Net {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

impl Net {
    /// Starts to listen and, if asked to, to browse. Must run inside tokio.
    ///
    /// Nobody gets in before [`Net::set_allowed`] or [`Net::allow_guest`].
    /// The events must be received: what is left waiting keeps its streams'
    /// places, so peers find them busy. Failing discovery is logged and left
    /// out; failing to listen on every address is an error.
    pub async fn start(
        mut config: NetConfig,
    ) -> Result<(Self, mpsc::Receiver<NetEvent>), NetError> {
        let key = Keypair::ed25519_from_bytes(config.seed.as_mut_slice())
            .expect("every 32 bytes are a seed");
        let id = key.public().to_peer_id();
        let me = Peer::of(&id).expect("the key is Ed25519");
        let refused = Arc::new(Refused::default());
        let transport = transport::build(&key, Arc::clone(&refused), &config.limits)
            .expect("an Ed25519 key signs the Noise key");
        let behaviour = Behaviour::new(me, config.reach, &config.limits, Arc::clone(&refused));
        let settings = SwarmConfig::with_tokio_executor()
            .with_idle_connection_timeout(limits::IDLE)
            .with_max_negotiating_inbound_streams(limits::NEGOTIATING_STREAMS);
        let mut swarm = Swarm::new(transport, behaviour, id, settings);
        let port = listen(&mut swarm, &config.listen).await?;

        let (sighted, sightings) = mpsc::channel(limits::COMMANDS);
        let discovery = match port {
            Some(port) if config.discovery => browse(port, &config.listen, sighted),
            _ => None,
        };
        let shared = Arc::new(Shared {
            me,
            port,
            refused,
            listening: Mutex::default(),
        });
        let (events, received) = mpsc::channel(limits::EVENTS);
        let (commands, commanded) = mpsc::channel(limits::COMMANDS);
        let addresses: Vec<_> = swarm.listeners().cloned().collect();
        let mut driver = Driver {
            swarm,
            shared: Arc::clone(&shared),
            commands: commanded,
            discovery,
            sightings,
            dials: Dials::default(),
            outbox: Outbox::default(),
        };
        for address in addresses {
            driver.listening(&address, true);
        }
        tokio::spawn(driver.run(events));
        Ok((Self { commands, shared }, received))
    }

    /// Who this node is to others.
    pub fn me(&self) -> Peer {
        self.shared.me
    }

    /// The port that adverts are made for; `None` where nothing is listened on.
    pub fn port(&self) -> Option<u16> {
        self.shared.port
    }

    /// Where this node can be dialled now, each with its own peer.
    pub fn addresses(&self) -> Vec<Address> {
        self.shared.listening()
    }

    /// How often the network said no.
    pub fn refusals(&self) -> Refusals {
        let refused = &self.shared.refused;
        Refusals {
            strangers: refused.strangers.load(Ordering::Relaxed),
            connections: refused.connections.load(Ordering::Relaxed),
            handshakes: refused.handshakes.load(Ordering::Relaxed),
            streams: refused.streams.load(Ordering::Relaxed),
        }
    }

    /// Replaces the roster. Connections of devices that are no longer in it
    /// take no more bytes when this returns, and are closed.
    pub async fn set_allowed(&self, devices: BTreeSet<Peer>) -> Result<(), NetError> {
        self.ask(|done| Command::SetAllowed(devices, done)).await
    }

    /// Lets the guest of an invite in for so long, for pairing alone.
    pub async fn allow_guest(&self, guest: Peer, valid: Duration) -> Result<(), NetError> {
        self.ask(|done| Command::AllowGuest(guest, valid, done))
            .await
    }

    /// Lets a guest in no more and ends what it has open.
    pub async fn forget_guest(&self, guest: Peer) -> Result<(), NetError> {
        self.ask(|done| Command::ForgetGuest(guest, done)).await
    }

    /// Replaces what is announced on the local network, under new random
    /// names; at most 8. Does nothing without discovery.
    pub async fn set_adverts(&self, adverts: Vec<Advert>) -> Result<(), NetError> {
        self.ask(|done| Command::SetAdverts(adverts, done)).await
    }

    /// Connects, or finds that a connection stands already.
    ///
    /// Tries at most 16 addresses at once and keeps the first connection to
    /// the one asked for. This node's own addresses, those outside the reach
    /// and those of a known other peer are left out. Fails after 10 seconds
    /// at the latest. Success means that the other side proved who it is, not
    /// yet that it lets this device in. Dropping the future does not stop it.
    pub async fn dial(&self, whom: Whom, addresses: Vec<Address>) -> Result<Peer, NetError> {
        self.ask(|dialled| Command::Dial(whom, addresses, dialled))
            .await?
    }

    /// Opens a stream over the best connection to a peer.
    ///
    /// At most 16 streams to a peer are open at a time; the next is
    /// [`NetError::Busy`]. A peer that has as many of ours open resets it,
    /// which shows as end of file.
    pub async fn open(&self, peer: Peer, proto: Proto) -> Result<Stream, NetError> {
        let (opened, answer) = oneshot::channel();
        let command = Command::Open(peer, proto, opened);
        let sent = self.commands.send(command).await;
        sent.map_err(|_| NetError::Stopped)?;
        // A connection that ends drops what was asked of it.
        answer.await.unwrap_or(Err(NetError::NotConnected))
    }

    /// Closes every connection to a peer; it may come back.
    pub async fn disconnect(&self, peer: Peer) -> Result<(), NetError> {
        self.ask(|done| Command::Disconnect(peer, done)).await
    }

    /// Who is connected, and how.
    pub async fn connected(&self) -> Result<Vec<PeerPath>, NetError> {
        self.ask(Command::Connected).await
    }

    /// Withdraws the adverts, says goodbye to every peer and stops. Waits for
    /// what was written, 3 seconds at most.
    pub async fn shutdown(self) {
        // An error says that it has stopped already.
        let _ = self.ask(Command::Shutdown).await;
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, NetError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| NetError::Stopped)?;
        answer.await.map_err(|_| NetError::Stopped)
    }
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
                let cause = io::Error::other(error);
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

fn browse(port: u16, listen: &[Address], sighted: mpsc::Sender<Sighting>) -> Option<Discovery> {
    let everywhere = listen.iter().any(|address| address.ip.is_unspecified());
    let addresses = match everywhere {
        true => Vec::new(),
        false => listen.iter().map(|address| address.ip).collect(),
    };
    let started = Discovery::start(port, addresses, sighted);
    started
        .inspect_err(|error| tracing::warn!(%error, "discovery is off"))
        .ok()
}
