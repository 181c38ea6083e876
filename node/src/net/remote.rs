//! The way between two homes, as libp2p makes it: who sees this node where, who
//! relays for it, for whom it relays, and how a relayed connection becomes a direct one.
//!
//! None of it is made for a node that talks to its own network alone.

use std::{num::NonZeroU32, time::Duration};

use libp2p::{
    PeerId, dcutr, identify,
    identity::Keypair,
    relay,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
    upnp,
};
use libp2p_autonat::v2 as autonat;

use super::{
    address::Address,
    limits::{CIRCUIT_TIME, CIRCUITS, CIRCUITS_PER_PEER, RESERVATIONS, RESERVATIONS_PER_PEER},
};

/// What devices call their program and its version among themselves: the same for all.
const AGENT: &str = "heirloom";
/// The protocol by which a relay is asked for a place or a circuit.
pub(super) const HOP: &str = "/libp2p/circuit/relay/0.2.0/hop";

/// Whether a node relays between devices of its family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Relaying {
    /// Never.
    Off,
    /// Once it is known to be reachable from outside: an address that a person named, one that a
    /// router opened, or one that another device of the family called it back at.
    #[default]
    Reachable,
    /// The same, and its own addresses of the internet count as reachable.
    Always,
}

/// How a node takes part in what lies beyond its own network.
#[derive(Clone, Debug, Default)]
pub struct Remote {
    /// Where others reach this node from outside, as a person says.
    pub external: Vec<Address>,
    /// Whether it relays.
    pub relaying: Relaying,
    /// Whether it asks the router to open a port (UPnP).
    pub port_mapping: bool,
}

/// The behaviours, for members' connections alone.
#[derive(NetworkBehaviour)]
pub(super) struct Ways {
    identify: identify::Behaviour,
    pub(super) relay: Toggle<relay::Behaviour>,
    client: relay::client::Behaviour,
    dcutr: dcutr::Behaviour,
    asks: autonat::client::Behaviour,
    answers: autonat::server::Behaviour,
    upnp: Toggle<upnp::tokio::Behaviour>,
}

impl Ways {
    pub(super) fn new(key: &Keypair, remote: &Remote, client: relay::client::Behaviour) -> Self {
        let me = key.public().to_peer_id();
        let identify = identify::Config::new(AGENT.to_owned(), key.public())
            .with_agent_version(AGENT.to_owned())
            .with_hide_listen_addrs(true)
            .with_cache_size(0);
        let relays = remote.relaying != Relaying::Off;
        Self {
            identify: identify::Behaviour::new(identify),
            relay: relays.then(|| relay_of(me)).into(),
            client,
            dcutr: dcutr::Behaviour::new(me),
            asks: autonat::client::Behaviour::default(),
            answers: autonat::server::Behaviour::default(),
            upnp: remote
                .port_mapping
                .then(upnp::tokio::Behaviour::default)
                .into(),
        }
    }
}

/// A relay for a family: photos go through it, so neither bytes nor minutes end a circuit, and it is
/// for so few that each may have several.
fn relay_of(me: PeerId) -> relay::Behaviour {
    let config = relay::Config {
        max_reservations: RESERVATIONS,
        max_reservations_per_peer: RESERVATIONS_PER_PEER,
        reservation_rate_limiters: Vec::new(),
        max_circuits: CIRCUITS,
        max_circuits_per_peer: CIRCUITS_PER_PEER,
        max_circuit_duration: CIRCUIT_TIME,
        // None.
        max_circuit_bytes: 0,
        circuit_src_rate_limiters: Vec::new(),
        ..relay::Config::default()
    };
    let often = |limit| NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN);
    let config = config
        .reservation_rate_per_peer(often(30), Duration::from_secs(30))
        .circuit_src_per_peer(often(60), Duration::from_secs(10));
    let mut relay = relay::Behaviour::new(me, config);
    // Its own place at another relay is no address at which it could relay.
    relay.set_status(Some(relay::Status::Disable));
    relay
}
