//! Dials in progress: several addresses at once, one answer.
//!
//! Every address is an attempt of its own. libp2p would take the first
//! address that answers and fail the whole dial when that is somebody else,
//! which happens whenever a router gives an old address to a new device.

use std::collections::BTreeMap;

use libp2p::{
    Swarm,
    swarm::{
        ConnectionId, DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::sync::oneshot;

use super::{
    address::{Address, Path, Peer},
    behaviour::Behaviour,
    event::NetError,
    gate::{Refusal, Whom},
    limits::DIAL_ADDRESSES,
};

/// Where the outcome of a dial goes.
pub(super) type Dialled = oneshot::Sender<Result<Peer, NetError>>;

struct Dial {
    dialled: Dialled,
    left: usize,
    somebody_else: bool,
    /// Connected already, in a less good way.
    anyway: Option<Peer>,
}

/// The dials of one node.
#[derive(Default)]
pub(super) struct Dials {
    last: u64,
    dials: BTreeMap<u64, Dial>,
    attempts: BTreeMap<ConnectionId, u64>,
}

impl Dials {
    /// Starts a dial, or answers at once where there is nothing to try.
    pub(super) fn start(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        whom: Whom,
        addresses: &[Address],
        dialled: Dialled,
    ) {
        let streams = &swarm.behaviour().streams;
        let known = match whom {
            Whom::Device(peer) | Whom::Host(Some(peer)) => Some(peer),
            Whom::Member | Whom::Host(None) => None,
        };
        let nearer = |path| {
            let near = |address: &Address| Path::of(address.ip) < path;
            addresses.iter().any(near)
        };
        let mut anyway = None;
        if let Some((_, live)) = known.and_then(|peer| streams.best(peer)) {
            if !nearer(live.path) {
                let _ = dialled.send(Ok(live.peer));
                return;
            }
            anyway = Some(live.peer);
        }
        if !streams.gate().may_dial(whom) {
            let _ = dialled.send(Err(NetError::NotAllowed));
            return;
        }
        let own: Vec<Address> = swarm
            .listeners()
            .filter_map(|own| Address::of(own).ok())
            .collect();
        let mut targets: Vec<(Address, Option<Peer>)> = addresses
            .iter()
            .filter(|address| address.can_be_dialled() && streams.gate().reaches(address.ip))
            .filter(|address| known.is_none() || address.peer.is_none() || address.peer == known)
            .filter(|address| {
                !own.iter()
                    .any(|own| (own.ip, own.port) == (address.ip, address.port))
            })
            .map(|address| (*address, known.or(address.peer)))
            .collect();
        targets.sort_by_key(|(address, _)| (Path::of(address.ip), *address));
        targets.dedup_by_key(|(address, peer)| (address.ip, address.port, *peer));
        targets.truncate(DIAL_ADDRESSES);
        self.last += 1;
        let dial = Dial {
            dialled,
            left: targets.len(),
            somebody_else: false,
            anyway,
        };
        self.dials.insert(self.last, dial);
        for (address, peer) in targets {
            self.attempt(swarm, whom, &address, peer);
        }
        self.finish(self.last);
    }

    fn attempt(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        whom: Whom,
        address: &Address,
        peer: Option<Peer>,
    ) {
        let target = address.multiaddr();
        // A new port each time: with the listening port for both, two devices
        // that call each other in the same moment meet in one TCP connection
        // that both believe to have opened, and its handshake fails.
        let options = match peer {
            Some(peer) => DialOpts::peer_id(peer.id())
                .condition(PeerCondition::Always)
                .addresses(vec![target])
                .allocate_new_port()
                .build(),
            None => DialOpts::unknown_peer_id()
                .address(target)
                .allocate_new_port()
                .build(),
        };
        let connection = options.connection_id();
        self.attempts.insert(connection, self.last);
        swarm
            .behaviour_mut()
            .streams
            .change(|gate| gate.ask(connection, whom, self.last));
        if let Err(error) = swarm.dial(options) {
            self.failed(connection, &error);
        }
    }

    /// Answers the dial that this connection came from, if it came from one.
    pub(super) fn established(&mut self, connection: ConnectionId, peer: Peer) {
        let Some(number) = self.attempts.remove(&connection) else {
            return;
        };
        if let Some(dial) = self.dials.remove(&number) {
            let _ = dial.dialled.send(Ok(peer));
        }
        self.attempts.retain(|_, other| *other != number);
    }

    /// Notes that an attempt failed; the last one answers the dial.
    pub(super) fn failed(&mut self, connection: ConnectionId, error: &DialError) {
        let Some(number) = self.attempts.remove(&connection) else {
            return;
        };
        if let Some(dial) = self.dials.get_mut(&number) {
            dial.left -= 1;
            dial.somebody_else |= match error {
                DialError::WrongPeerId { .. } | DialError::LocalPeerId { .. } => true,
                DialError::Denied { cause } => {
                    matches!(cause.downcast_ref(), Some(Refusal::Stranger))
                }
                _ => false,
            };
        }
        self.finish(number);
    }

    fn finish(&mut self, number: u64) {
        if self.dials.get(&number).is_some_and(|dial| dial.left == 0)
            && let Some(dial) = self.dials.remove(&number)
        {
            let outcome = match (dial.anyway, dial.somebody_else) {
                (Some(peer), _) => Ok(peer),
                (None, true) => Err(NetError::WrongPeer),
                (None, false) => Err(NetError::Unreachable),
            };
            let _ = dial.dialled.send(outcome);
        }
    }
}
