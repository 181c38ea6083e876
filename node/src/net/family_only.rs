//! A behaviour of libp2p for devices of the family alone.
//!
//! What finds and makes ways between homes believes whom it is connected to:
//! a relay serves all of them, observed addresses are taken from any. So guests
//! of an invite and who answered this device's own request get none of it, and
//! of what members claim to have observed only so much is passed on.

use std::{
    collections::{BTreeMap, BTreeSet},
    task::{Context, Poll},
};

use either::Either;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};
use tokio::time::Instant;

use super::{
    address::{Address, Path, Peer},
    limits::{CANDIDATES, CANDIDATES_FOR},
};

/// Shows a behaviour the connections of members that are not kept away, and no other.
pub(super) struct FamilyOnly<B> {
    pub(super) inner: B,
    members: BTreeSet<Peer>,
    kept_away: BTreeMap<Peer, Instant>,
    shown: BTreeSet<ConnectionId>,
    candidates: Candidates,
}

impl<B> FamilyOnly<B> {
    pub(super) fn new(inner: B) -> Self {
        Self {
            inner,
            members: BTreeSet::new(),
            kept_away: BTreeMap::new(),
            shown: BTreeSet::new(),
            candidates: Candidates::default(),
        }
    }

    pub(super) fn set_members(&mut self, members: BTreeSet<Peer>) {
        self.members = members;
    }

    /// Hides the connections that a member makes until then. What it has by now goes on until they end.
    pub(super) fn keep_away(&mut self, peer: Peer, until: Instant) {
        let now = Instant::now();
        self.kept_away.retain(|_, until| *until > now);
        self.kept_away.insert(peer, until);
    }

    fn is_welcome(&self, peer: &PeerId) -> bool {
        let Some(peer) = Peer::of(peer) else {
            return false;
        };
        let until = self.kept_away.get(&peer);
        self.members.contains(&peer) && until.is_none_or(|until| *until <= Instant::now())
    }
}

/// Where others say to have seen this node. What keeps them below never forgets
/// one, so a liar is given so many a while.
#[derive(Default)]
struct Candidates {
    seen: BTreeSet<Multiaddr>,
    until: Option<Instant>,
}

impl Candidates {
    /// Whether an address goes on: one of the world, not too many of them.
    fn take(&mut self, address: &Multiaddr, now: Instant) -> bool {
        let is_outside = Address::of(address)
            .is_ok_and(|address| address.can_be_dialled() && address.path() == Path::Direct);
        if !is_outside {
            return false;
        }
        if self.until.is_none_or(|until| now >= until) {
            self.seen.clear();
            self.until = Some(now + CANDIDATES_FOR);
        }
        self.seen.contains(address)
            || (self.seen.len() < CANDIDATES && self.seen.insert(address.clone()))
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for FamilyOnly<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.is_welcome(&peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let inner = &mut self.inner;
        let handler =
            inner.handle_established_inbound_connection(connection, peer, local, remote)?;
        self.shown.insert(connection);
        Ok(Either::Left(handler))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.is_welcome(&peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let inner = &mut self.inner;
        let handler =
            inner.handle_established_outbound_connection(connection, peer, address, role, port)?;
        self.shown.insert(connection);
        Ok(Either::Left(handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let is_shown = match &event {
            FromSwarm::ConnectionEstablished(event) => self.shown.contains(&event.connection_id),
            FromSwarm::ConnectionClosed(event) => self.shown.remove(&event.connection_id),
            FromSwarm::AddressChange(event) => self.shown.contains(&event.connection_id),
            FromSwarm::NewExternalAddrCandidate(event) => {
                self.candidates.take(event.addr, Instant::now())
            }
            _ => true,
        };
        if is_shown {
            self.inner.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => self
                .inner
                .on_connection_handler_event(peer, connection, event),
            Either::Right(never) => match never {},
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        let order = self.inner.poll(cx);
        order.map(|order| order.map_in(Either::Left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_others_claim_to_have_seen_so_much_is_taken() {
        let now = Instant::now();
        let mut candidates = Candidates::default();
        for text in [
            "/ip4/192.168.1.7/tcp/4001",
            "/ip4/127.0.0.1/tcp/4001",
            "/ip4/203.0.113.7/tcp/0",
            "/dns4/example.org/tcp/4001",
            "/ip4/203.0.113.7/udp/4001/quic-v1",
        ] {
            assert!(!candidates.take(&text.parse().unwrap(), now), "{text}");
        }
        let flood = |candidates: &mut Candidates, now| {
            let address = |port| format!("/ip4/203.0.113.7/tcp/{port}").parse().unwrap();
            (1..10_000_u32)
                .filter(|port| candidates.take(&address(*port), now))
                .count()
        };
        assert_eq!(flood(&mut candidates, now), CANDIDATES);
        assert_eq!(flood(&mut candidates, now), CANDIDATES, "the same again");
        assert_eq!(candidates.seen.len(), CANDIDATES);
        assert_eq!(flood(&mut candidates, now + CANDIDATES_FOR), CANDIDATES);
    }
}
