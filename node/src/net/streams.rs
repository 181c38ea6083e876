//! All connections of this node: who they lead to and what runs over them.
//!
//! A libp2p behaviour that asks the [`Gate`] about every connection, gives
//! those that pass a [`Line`], and remembers them until they end.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour,
        NotifyHandler, THandlerInEvent, ToSwarm, behaviour::ConnectionEstablished,
    },
};
use tokio::time::Instant;

use super::{
    address::{Address, Path, Peer, is_relayed, relay_end},
    event::{Counters, NetError},
    gate::{Gate, Refusal, Standing},
    line::{Accepted, Line, Open, Opened, may_open},
    stream::{Proto, Stream, Tie, Wire},
};

/// A live connection.
pub(super) struct Live {
    pub(super) peer: Peer,
    pub(super) standing: Standing,
    pub(super) address: Address,
    pub(super) path: Path,
    pub(super) outbound: bool,
    pub(super) rtt: Option<Duration>,
    pub(super) tie: Tie,
    /// Made to see whether the peer is reachable at an address, and for nothing else.
    pub(super) passing: bool,
    /// The application was told of it.
    pub(super) announced: bool,
}

/// A stream that a peer has opened.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) connection: ConnectionId,
    pub(super) peer: Peer,
    pub(super) proto: Proto,
    pub(super) stream: Stream,
}

/// The gate and what it has let in.
pub(super) struct Streams {
    me: Peer,
    gate: Gate,
    /// Let in a moment ago; limits may still turn them away.
    fresh: BTreeMap<ConnectionId, (Standing, Tie, bool)>,
    live: BTreeMap<ConnectionId, Live>,
    orders: VecDeque<ToSwarm<Inbound, Open>>,
    refused: Arc<Counters>,
}

impl Streams {
    pub(super) const fn new(me: Peer, gate: Gate, refused: Arc<Counters>) -> Self {
        Self {
            me,
            gate,
            fresh: BTreeMap::new(),
            live: BTreeMap::new(),
            orders: VecDeque::new(),
            refused,
        }
    }

    pub(super) const fn me(&self) -> Peer {
        self.me
    }

    pub(super) const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Changes the rules and ends at once what they no longer allow.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Gate)) {
        change(&mut self.gate);
        let gate = &self.gate;
        close(&mut self.orders, &self.live, |live| {
            !gate.keeps(live.peer, live.standing)
        });
    }

    /// Ends every connection to a peer.
    pub(super) fn disconnect(&mut self, peer: Peer) {
        close(&mut self.orders, &self.live, |live| live.peer == peer);
    }

    /// Ends one connection to a peer, and those beside it that nobody was told of.
    pub(super) fn hang_up(&mut self, peer: Peer, wire: Wire) {
        close(&mut self.orders, &self.live, |live| {
            live.peer == peer && (live.tie.wire == Some(wire) || !live.announced)
        });
    }

    /// Notes that the application is told of a connection.
    pub(super) fn announced(&mut self, connection: ConnectionId) {
        if let Some(live) = self.live.get_mut(&connection) {
            live.announced = true;
        }
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Live> {
        self.live.values()
    }

    pub(super) fn connection(&self, connection: ConnectionId) -> Option<&Live> {
        self.live.get(&connection)
    }

    /// Whether a connection is the only one to its peer that is not about to end.
    pub(super) fn stands_alone(&self, connection: ConnectionId) -> bool {
        let Some(one) = self.live.get(&connection).filter(|live| !live.passing) else {
            return false;
        };
        let mut others = self.live.iter().filter(|(id, _)| **id != connection);
        others.all(|(_, live)| live.peer != one.peer || live.passing || live.tie.cut.is_cancelled())
    }

    pub(super) fn measured(&mut self, connection: ConnectionId, rtt: Duration) {
        if let Some(live) = self.live.get_mut(&connection) {
            live.rtt = Some(rtt);
        }
    }

    /// The connection that new streams to this peer use.
    ///
    /// Where two devices dialled each other, the call of the smaller key is
    /// preferred, so both sides use the same connection.
    pub(super) fn best(&self, peer: Peer) -> Option<(ConnectionId, &Live)> {
        self.live
            .iter()
            .filter(|(_, live)| live.peer == peer && !live.passing)
            .filter(|(_, live)| !live.tie.cut.is_cancelled())
            .min_by_key(|(id, live)| {
                let by_the_larger = live.outbound != (self.me < peer);
                (live.path, by_the_larger, **id)
            })
            .map(|(id, live)| (*id, live))
    }

    /// Opens a stream; the answer goes to `opened` in any case.
    pub(super) fn open(&mut self, peer: Peer, proto: Proto, opened: Opened) {
        let refused = match self.best(peer) {
            None => NetError::NotConnected,
            Some((_, live)) if !may_open(live.standing, proto) => NetError::NotAllowed,
            Some((id, _)) => {
                return self.orders.push_back(ToSwarm::NotifyHandler {
                    peer_id: peer.id(),
                    handler: NotifyHandler::One(id),
                    event: Open { proto, opened },
                });
            }
        };
        let _ = opened.send(Err(refused));
    }

    fn welcome(&mut self, connection: ConnectionId, standing: Standing, passing: bool) -> Line {
        let tie = Tie::of(Wire(connection));
        self.fresh
            .insert(connection, (standing, tie.clone(), passing));
        let stays = standing == Standing::Member && !passing;
        Line::new(standing, stays, tie, Arc::clone(&self.refused))
    }

    /// Where the other end of a connection is; of one that a relay handed over, where the relay is.
    fn place(&self, endpoint: &ConnectedPoint) -> Option<Address> {
        let local = match endpoint {
            ConnectedPoint::Dialer { address, .. } => return Address::of(address).ok(),
            ConnectedPoint::Listener {
                local_addr,
                send_back_addr,
            } if !is_relayed(local_addr) => return Address::of(send_back_addr).ok(),
            ConnectedPoint::Listener { local_addr, .. } => local_addr,
        };
        let relay = Address::of(&relay_end(local)).ok()?;
        let mut live = self.live.values();
        let known =
            live.find(|live| (live.address.ip, live.address.port) == (relay.ip, relay.port));
        let via = relay.peer.or_else(|| known.map(|live| live.peer))?;
        Some(Address {
            peer: None,
            via: Some(via),
            ..relay
        })
    }

    /// Ends what goes through a relay once there is a better way: new streams take that, and what
    /// ran over the relay goes on there.
    fn leave_relays(&mut self, peer: Peer) {
        close(&mut self.orders, &self.live, |live| {
            live.peer == peer && live.path == Path::Relay
        });
    }

    fn established(&mut self, event: &ConnectionEstablished<'_>) {
        let id = event.connection_id;
        self.gate.arrived(id);
        let outbound = event.endpoint.is_dialer();
        let fresh = self.fresh.remove(&id);
        let peer = Peer::of(&event.peer_id);
        let address = self.place(event.endpoint);
        let (Some((standing, tie, passing)), Some(peer), Some(address)) = (fresh, peer, address)
        else {
            return;
        };
        let path = address.path();
        let address = Address {
            peer: Some(peer),
            ..address
        };
        let live = Live {
            peer,
            standing,
            address,
            path,
            outbound,
            rtt: None,
            tie,
            passing,
            announced: false,
        };
        self.live.insert(id, live);
        if path != Path::Relay && !passing {
            self.leave_relays(peer);
        }
    }
}

fn close(
    orders: &mut VecDeque<ToSwarm<Inbound, Open>>,
    live: &BTreeMap<ConnectionId, Live>,
    which: impl Fn(&Live) -> bool,
) {
    for (id, live) in live.iter().filter(|(_, live)| which(live)) {
        // Streams fail from here on, before the network task gets to closing.
        live.tie.cut.cancel();
        orders.push_back(ToSwarm::CloseConnection {
            peer_id: live.peer.id(),
            connection: CloseConnection::One(*id),
        });
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Line;
    type ToSwarm = Inbound;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let near = match is_relayed(local) {
            true => self.gate.takes_relayed(),
            false => Address::of(remote).is_ok_and(|address| self.gate.reaches(&address)),
        };
        if near {
            return Ok(());
        }
        Err(ConnectionDenied::new(Refusal::Outside))
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Line, ConnectionDenied> {
        let judged = self.gate.inbound(Peer::of(&peer), Instant::now());
        let standing = judged.map_err(ConnectionDenied::new)?;
        Ok(self.welcome(connection, standing, false))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let read: Result<Vec<Address>, _> = addresses.iter().map(Address::of).collect();
        let read = read.map_err(|_| ConnectionDenied::new(Refusal::Outside))?;
        let peer = peer.as_ref().and_then(Peer::of);
        let judged = self.gate.attempt(connection, peer, &read);
        judged.map_err(ConnectionDenied::new)?;
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        port: PortUse,
    ) -> Result<Line, ConnectionDenied> {
        let judged = self.gate.outbound(connection, Peer::of(&peer));
        let standing = judged.map_err(ConnectionDenied::new)?;
        // Hole punching and calls to a relay use the port that this node listens on.
        let passing = !self.gate.is_asked(connection) && port == PortUse::New;
        Ok(self.welcome(connection, standing, passing))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.established(&event),
            FromSwarm::ConnectionClosed(event) => {
                self.live.remove(&event.connection_id);
            }
            FromSwarm::DialFailure(event) => {
                self.fresh.remove(&event.connection_id);
                self.gate.failed(event.connection_id);
            }
            FromSwarm::ListenFailure(event) => {
                self.fresh.remove(&event.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        connection: ConnectionId,
        Accepted { proto, stream }: Accepted,
    ) {
        let Some(live) = self.live.get(&connection) else {
            return;
        };
        self.orders.push_back(ToSwarm::GenerateEvent(Inbound {
            connection,
            peer: live.peer,
            proto,
            stream,
        }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Inbound, THandlerInEvent<Self>>> {
        // No waker: the task that gives orders is the one that polls.
        match self.orders.pop_front() {
            Some(order) => Poll::Ready(order),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::gate::Reach, *};

    #[test]
    fn a_connection_beside_one_that_ends_is_the_first() {
        let me = Peer([0; 32]);
        let gate = Gate::new(me, Reach::Anywhere);
        let mut streams = Streams::new(me, gate, Arc::default());
        let [one, two, other] = [1, 2, 3].map(ConnectionId::new_unchecked);
        for (id, peer) in [(one, 1), (two, 1), (other, 2)] {
            let live = Live {
                peer: Peer([peer; 32]),
                standing: Standing::Member,
                address: Address::new([10, 0, 0, 1].into(), 1),
                path: Path::Lan,
                outbound: false,
                rtt: None,
                tie: Tie::default(),
                passing: false,
                announced: false,
            };
            streams.live.insert(id, live);
        }
        assert!(!streams.stands_alone(two));
        assert!(streams.stands_alone(other));
        streams.live[&one].tie.cut.cancel();
        assert!(streams.stands_alone(two));
        assert!(!streams.stands_alone(one));
    }
}
