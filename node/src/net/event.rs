//! What the network tells: events, errors, who is connected, what was refused.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use thiserror::Error;

use super::{
    address::{Address, Path, Peer},
    discovery::Sighting,
    gate::Standing,
    stream::{Proto, Stream},
};

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
    /// The first connection to a peer stands, or one that came while all others
    /// were ending. At the caller's side this comes before the other side has
    /// judged: it may close again at once.
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
    /// A member was called, answered, and ended that before [`NetEvent::Connected`] was told.
    Ended {
        /// Who answered.
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
pub(super) struct Counters {
    pub(super) strangers: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) handshakes: AtomicU64,
    pub(super) streams: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Refusals {
        Refusals {
            strangers: self.strangers.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
            handshakes: self.handshakes.load(Ordering::Relaxed),
            streams: self.streams.load(Ordering::Relaxed),
        }
    }
}
