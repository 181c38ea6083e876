//! What runs on every connection, and the limits on their number.
//!
//! Gate and streams, limits on connections and memory, ping; for members of the
//! family, unless the node talks to its own network alone, what makes ways between
//! homes. Whatever is not here cannot be asked of us.

use std::sync::Arc;

use libp2p::{
    connection_limits::{self, ConnectionLimits},
    ping,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};

use super::{
    address::Peer,
    event::Counters,
    family_only::FamilyOnly,
    gate::Gate,
    limits::{
        ESTABLISHED_OUTBOUND, NetLimits, PENDING_INBOUND, PENDING_OUTBOUND, PING_TIMEOUT,
        PINGS_IN_SILENCE,
    },
    remote::Ways,
    streams::Streams,
};

/// The behaviours in the order in which they judge a connection: the gate
/// first, so that a stranger gets neither ping nor a place.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) streams: Streams,
    connections: connection_limits::Behaviour,
    memory: libp2p_memory_connection_limits::Behaviour,
    ping: ping::Behaviour,
    /// Last: it is told only of connections that all the others let in.
    pub(super) ways: Toggle<FamilyOnly<Ways>>,
}

impl Behaviour {
    pub(super) fn new(
        me: Peer,
        gate: Gate,
        limits: &NetLimits,
        refused: Arc<Counters>,
        ways: Option<Ways>,
    ) -> Self {
        // Two that call each other through a relay and punch holes for both have four for a moment, and
        // each would end the other one's.
        let per_peer = match ways {
            Some(_) => limits.per_peer * 2,
            None => limits.per_peer,
        };
        let connections = ConnectionLimits::default()
            .with_max_pending_incoming(Some(PENDING_INBOUND))
            .with_max_pending_outgoing(Some(PENDING_OUTBOUND))
            .with_max_established_incoming(Some(limits.inbound))
            .with_max_established_outgoing(Some(ESTABLISHED_OUTBOUND))
            .with_max_established_per_peer(Some(per_peer));
        let ping = ping::Config::new()
            .with_interval(limits.silence / PINGS_IN_SILENCE)
            .with_timeout(PING_TIMEOUT);
        Self {
            streams: Streams::new(me, gate, refused),
            connections: connection_limits::Behaviour::new(connections),
            memory: libp2p_memory_connection_limits::Behaviour::with_max_bytes(limits.memory_bytes),
            ping: ping::Behaviour::new(ping),
            ways: ways.map(FamilyOnly::new).into(),
        }
    }
}
