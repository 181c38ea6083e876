//! Where this node can be reached from outside, and at which relays it has a place.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use libp2p::{
    Multiaddr, PeerId, StreamProtocol, core::transport::ListenerId, dcutr, identify,
    multiaddr::Protocol, relay::Status, swarm::ConnectionId, upnp,
};

use super::{
    address::{Address, Path, Peer, is_elsewhere, is_relayed},
    limits::RELAYS,
    remote::{HOP, Relaying, Remote, WaysEvent},
    swarm::Driver,
};

/// What the network task knows of the world outside.
#[derive(Default)]
pub(super) struct Relays {
    relaying: Relaying,
    /// Addresses at which others reach this node without a relay.
    reachable: BTreeSet<Multiaddr>,
    /// The relays at which this node has a place or has asked for one.
    places: BTreeMap<Peer, ListenerId>,
}

impl Relays {
    pub(super) fn new(relaying: Relaying) -> Self {
        Self {
            relaying,
            ..Self::default()
        }
    }
}

impl Driver {
    /// Takes what a person said of the addresses outside.
    pub(super) fn go_out(&mut self, remote: &Remote) {
        for address in &remote.external {
            if address.via.is_none() && address.can_be_dialled() {
                self.reached_at(address.multiaddr());
            }
        }
    }

    /// Whether an address of this machine counts as one that others reach.
    pub(super) fn trusts(&self, address: &Address) -> bool {
        self.relays.relaying == Relaying::Always && address.path() == Path::Direct
    }

    /// This node is reached at an address, as a person, a router or a device of the family says.
    pub(super) fn reached_at(&mut self, multiaddr: Multiaddr) {
        if is_relayed(&multiaddr) || !self.relays.reachable.insert(multiaddr.clone()) {
            return;
        }
        tracing::info!(address = %multiaddr, "reachable from outside");
        self.swarm.add_external_address(multiaddr.clone());
        self.listening(&multiaddr, true);
        self.relay_or_not();
    }

    /// This node is not reached there any more.
    pub(super) fn reached_no_more(&mut self, multiaddr: &Multiaddr) {
        if self.relays.reachable.remove(multiaddr) {
            tracing::info!(address = %multiaddr, "no longer reachable from outside");
            self.swarm.remove_external_address(multiaddr);
            self.listening(multiaddr, false);
            if let Ok(address) = Address::of(multiaddr) {
                self.shared.set_called_back(address, false);
            }
            self.relay_or_not();
        }
    }

    fn relay_or_not(&mut self) {
        let relays = !self.relays.reachable.is_empty() && self.relays.relaying != Relaying::Off;
        let ways = self.swarm.behaviour_mut().ways.as_mut();
        if let Some(relay) = ways.and_then(|ways| ways.inner.relay.as_mut()) {
            let status = if relays {
                Status::Enable
            } else {
                Status::Disable
            };
            relay.set_status(Some(status));
            self.shared.relays.store(relays, Ordering::Relaxed);
        }
    }

    pub(super) fn way(&mut self, event: WaysEvent) {
        match event {
            WaysEvent::Identify(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            }) => self.identified(connection_id, &peer_id, &info.protocols),
            WaysEvent::Dcutr(dcutr::Event {
                remote_peer_id,
                result,
            }) => match result {
                Ok(_) => tracing::debug!(peer = %remote_peer_id, "a direct way was found"),
                Err(error) => tracing::debug!(peer = %remote_peer_id, %error, "no direct way"),
            },
            WaysEvent::Upnp(upnp::Event::GatewayNotFound) => {
                tracing::debug!("no router here opens ports");
            }
            WaysEvent::Asks(event) if event.result.is_ok() => {
                self.called_back(&event.server, &event.tested_addr);
            }
            event => tracing::trace!(?event, "ways"),
        }
    }

    /// A device of the family has called this node back at an address. One in this home proves nothing: it need
    /// not come through the router.
    fn called_back(&mut self, server: &PeerId, tested: &Multiaddr) {
        let (Some(server), Ok(tested)) = (Peer::of(server), Address::of(tested)) else {
            return;
        };
        let mut own = self.shared.listening();
        own.push(tested);
        let mut ways = self.swarm.behaviour().streams.live();
        let is_outside = ways.any(|live| {
            let is_way = live.peer == server && live.path != Path::Relay && !live.passing;
            is_way && is_elsewhere(live.address.ip, &own)
        });
        if is_outside {
            self.shared.set_called_back(tested, true);
        }
    }

    /// Takes a place at a device that relays, unless this node is reached without or has enough.
    fn identified(
        &mut self,
        connection: ConnectionId,
        peer: &PeerId,
        protocols: &[StreamProtocol],
    ) {
        let relays = protocols.iter().any(|protocol| protocol.as_ref() == HOP);
        let (Some(peer), true) = (Peer::of(peer), relays) else {
            return;
        };
        let places = &self.relays.places;
        let is_enough = places.len() >= RELAYS || places.contains_key(&peer);
        if is_enough || !self.relays.reachable.is_empty() {
            return;
        }
        let live = self.swarm.behaviour().streams.connection(connection);
        let Some(live) = live.filter(|live| live.path != Path::Relay && !live.passing) else {
            return;
        };
        let place = live
            .address
            .multiaddr()
            .with(Protocol::P2p(peer.id()))
            .with(Protocol::P2pCircuit);
        match self.swarm.listen_on(place) {
            Ok(id) => drop(self.relays.places.insert(peer, id)),
            Err(error) => tracing::debug!(%peer, %error, "no place at a relay"),
        }
    }

    /// A place at a relay is gone, or was not given; the next word of the relay asks again.
    pub(super) fn place_lost(&mut self, id: ListenerId, addresses: &[Multiaddr]) {
        self.relays.places.retain(|_, place| *place != id);
        for address in addresses {
            self.listening(address, false);
        }
    }
}
