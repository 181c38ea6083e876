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
//! 64 MiB only as fast as this node reads, a connection, of which it has three,
//! and six where there are ways between homes.

mod address;
mod backlog;
mod behaviour;
mod dial;
mod discovery;
mod event;
mod family_only;
mod gate;
mod gather;
mod limits;
mod line;
mod muxer;
mod places;
mod range;
mod relays;
mod remote;
mod start;
mod stream;
mod streams;
mod swarm;
mod transport;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

pub(crate) use address::is_elsewhere;
pub use address::{Address, AddressError, Path, Peer};
pub(crate) use discovery::of_properties;
pub use discovery::{Advert, Sighting};
pub use event::{NetError, NetEvent, PeerPath, Refusals};
pub use gate::{Reach, Standing, Whom};
pub use limits::NetLimits;
pub(crate) use range::source_of;
pub use range::{Range, RangeError};
pub use remote::{Relaying, Remote};
pub use start::NetConfig;
pub use stream::{Proto, Stream, Wire};

use start::Shared;
use swarm::Command;

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
    pub async fn start(config: NetConfig) -> Result<(Self, mpsc::Receiver<NetEvent>), NetError> {
        let (commands, commanded) = mpsc::channel(limits::COMMANDS);
        let (events, received) = mpsc::channel(limits::EVENTS);
        let driver = start::driver(config, commanded).await?;
        let shared = Arc::clone(&driver.shared);
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

    /// Whether a device of the family that is elsewhere has called this node back at an address of its own.
    pub fn was_called_back_at(&self, address: &Address) -> bool {
        self.shared.was_called_back_at(address)
    }

    /// How often the network said no.
    pub fn refusals(&self) -> Refusals {
        self.shared.refused.read()
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

    /// Lets anybody in as the one who may take this node in: pairing can be opened towards them, and
    /// they can open nothing.
    pub async fn await_hosts(&self) -> Result<(), NetError> {
        self.ask(Command::AwaitHosts).await
    }

    /// Replaces what is announced on the local network, under new random
    /// names; at most 8. Does nothing without discovery.
    pub async fn set_adverts(&self, adverts: Vec<Advert>) -> Result<(), NetError> {
        self.ask(|done| Command::SetAdverts(adverts, done)).await
    }

    /// Connects, or finds that a connection stands already.
    ///
    /// Tries at most 16 addresses of one node at once and keeps the first
    /// connection to the one asked for; what leads through a relay is tried a
    /// moment later, and at once where there is nothing else. A device that is connected the long
    /// way is dialled again where there is an address in the home. This node's
    /// own addresses, those outside the reach and those of a known other peer
    /// are left out. Fails after 12 seconds at the latest. Success means that
    /// the other side proved who it is, not yet that it lets this device in.
    /// Dropping the future does not stop it.
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

    /// Closes every connection to a peer, and for so long gives it no part in the ways between homes: it gets no
    /// place here and nothing is relayed for it. It may come back; what it opens is for others to answer or not.
    pub async fn keep_away(&self, peer: Peer, time: Duration) -> Result<(), NetError> {
        self.ask(|done| Command::KeepAway(peer, time, done)).await
    }

    /// Closes one connection to a peer, and what stands beside it unused. Another
    /// one that [`NetEvent::Connected`] told of stays.
    pub async fn hang_up(&self, peer: Peer, wire: Wire) -> Result<(), NetError> {
        self.ask(|done| Command::HangUp(peer, wire, done)).await
    }

    /// Whether this node relays between devices of the family now.
    pub fn relays(&self) -> bool {
        self.shared.relays.load(Ordering::Relaxed)
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
