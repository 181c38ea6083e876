//! Every bound of the network layer in one table.
//!
//! The values of the libp2p crates are made for open networks (1 GiB of
//! receive window and 512 streams a connection, no connection limits at all).
//! A family is small and known, so these are tighter.

use std::time::Duration;

/// Inbound connections that may be in their handshake at one time; one more takes the place of another.
pub(super) const HANDSHAKES: usize = 32;
/// Inbound connections that may be in their handshake or just have lost their place: a backstop
/// that is not reached, as who loses its place ends at once.
pub(super) const PENDING_INBOUND: u32 = 128;
/// Outbound connection attempts at one time.
pub(super) const PENDING_OUTBOUND: u32 = 128;
/// Outbound connections at one time.
pub(super) const ESTABLISHED_OUTBOUND: u32 = 64;
/// How long a connection without streams and without a member behind it stays.
pub(super) const IDLE: Duration = Duration::from_secs(30);
/// How long a connection may take to say goodbye before it is dropped.
pub(super) const FAREWELL: Duration = Duration::from_secs(3);
/// Pings in the time after which silence ends a connection. Both sides ping,
/// so a live connection is never silent for much longer than one of these,
/// whatever else it carries.
pub(super) const PINGS_IN_SILENCE: u32 = 3;
/// A ping that takes longer counts as lost. Nothing follows from a lost ping:
/// a slow uplink full of photos answers late and is alive nevertheless.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Read from the socket at once, below Noise.
pub(super) const READ_BUFFER: usize = 128 * 1024;
/// Of that, what one gets who has sent nothing yet: a handshake fits.
pub(super) const FIRST_READ: usize = 2 * 1024;
/// Largest yamux payload: with its header of 12 bytes it is 64,511 bytes, the
/// largest Noise message libp2p writes, so one frame is one message.
pub(super) const FRAME: usize = 64_499;
/// Yamux streams on one connection, both directions and pings included. The
/// connection ends where a peer opens more.
pub(super) const YAMUX_STREAMS: usize = 64;
/// Receive window of all streams of one connection: what yamux has each begin with, 256 KiB, and 8 MiB by which
/// those grow that bring much. More is on its way to nobody: a device asks for no more at once, and TCP takes less.
pub(super) const YAMUX_WINDOW: usize = YAMUX_STREAMS * 256 * 1024 + 8 * 1024 * 1024;
/// What may wait unread of one peer, over all of its connections. One more byte ends the connection it comes by.
pub(super) const UNREAD: usize = 24 * 1024 * 1024;
/// What yamux takes for a frame that waits, besides its bytes: a place in a list that grows by doubling, and an
/// allocation.
pub(super) const FRAME_COST: usize = 96;
/// Streams a connection may hold that libp2p has not begun to negotiate.
pub(super) const WAITING_STREAMS: usize = 8;
/// Inbound streams of one connection whose protocol is being negotiated.
pub(super) const NEGOTIATING_STREAMS: usize = 16;
/// Streams open on one connection, in each direction. Twice this, what waits
/// and negotiates, and the pings stay below [`YAMUX_STREAMS`].
pub(super) const STREAMS: usize = 16;

/// Addresses tried in one dial; the rest is ignored.
pub(super) const DIAL_ADDRESSES: usize = 16;
/// How long a dial waits for other ways before it asks a relay.
pub(super) const RELAY_AFTER: Duration = Duration::from_millis(1500);
/// Relays at which this node takes a place.
pub(super) const RELAYS: usize = 3;
/// Places that this node as a relay gives: one for each device of a large family.
pub(super) const RESERVATIONS: usize = 300;
/// Places for one device, whose connections come and go.
pub(super) const RESERVATIONS_PER_PEER: usize = 8;
/// Connections relayed at one time.
pub(super) const CIRCUITS: usize = 64;
/// Connections relayed from one device at one time.
pub(super) const CIRCUITS_PER_PEER: usize = 8;
/// How long a relayed connection may last.
pub(super) const CIRCUIT_TIME: Duration = Duration::from_secs(24 * 3600);
/// Addresses that others claim to have seen this node at, taken in so long.
pub(super) const CANDIDATES: usize = 64;
/// How long that many are enough.
pub(super) const CANDIDATES_FOR: Duration = Duration::from_secs(3600);
/// Bytes of a multiaddr as text.
pub(super) const ADDRESS_TEXT: usize = 256;
/// Events that wait for the application before the rest queues inside.
pub(super) const EVENTS: usize = 256;
/// Events that wait inside above which records of others are dropped; they
/// come again.
pub(super) const EVENTS_WAITING: usize = 1024;
/// Commands that wait for the network task.
pub(super) const COMMANDS: usize = 64;

/// Adverts of one node at one time.
pub(super) const ADVERTS: usize = 8;
/// Own names remembered; each new advert takes one.
pub(super) const NAMES_KEPT: usize = 64;
/// Records of others reported in one minute.
pub(super) const SIGHTINGS_A_MINUTE: u32 = 64;
/// Records that multicast DNS may hold; above, somebody floods the network, and it begins anew. A
/// family of 300 devices has some thousand.
pub(super) const RECORDS: i64 = 4096;
/// How long between two looks at that number, while records come.
pub(super) const RECORDS_LOOK: Duration = Duration::from_millis(250);
/// How long nobody is looked for after a flood.
pub(super) const FLOOD_PAUSE: Duration = Duration::from_secs(10);
/// Records of others remembered, so that repeats are not reported.
pub(super) const SIGHTINGS_KEPT: usize = 512;

/// The bounds a node may be given other values for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetLimits {
    /// Inbound connections at one time.
    pub inbound: u32,
    /// Connections to one peer at one time, both directions; twice as many where there are ways
    /// between homes.
    pub per_peer: u32,
    /// Resident bytes of the process above which no connection is made or taken.
    pub memory_bytes: usize,
    /// How long a connection may take from the first byte to the multiplexer.
    pub handshake: Duration,
    /// A connection that brings no byte for this long is dropped, at the
    /// latest after one and a half times this. Peers with longer values ping
    /// too seldom for a node with a shorter one.
    pub silence: Duration,
}

impl Default for NetLimits {
    fn default() -> Self {
        Self {
            inbound: 64,
            per_peer: 3,
            memory_bytes: 1024 * 1024 * 1024,
            handshake: Duration::from_secs(10),
            silence: Duration::from_secs(18),
        }
    }
}
