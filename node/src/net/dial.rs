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
use tokio::{sync::oneshot, time::Instant};

use super::{
    address::{Address, Path, Peer},
    behaviour::Behaviour,
    event::NetError,
    gate::{Refusal, Whom},
    limits::{DIAL_ADDRESSES, RELAY_AFTER},
};

/// Where the outcome of a dial goes.
pub(super) type Dialled = oneshot::Sender<Result<Peer, NetError>>;

struct Dial {
    dialled: Dialled,
    left: usize,
    somebody_else: bool,
    /// Connected already, in a less good way.
    anyway: Option<Peer>,
    whom: Whom,
    /// Through relays, for when the others fail or take long.
    later: Vec<(Address, Option<Peer>)>,
    due: Instant,
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
            let near = |address: &Address| address.path() < path;
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
        let (now, later) = targets(swarm, known, addresses, anyway.is_some());
        self.last += 1;
        let dial = Dial {
            dialled,
            left: 0,
            somebody_else: false,
            anyway,
            whom,
            later,
            due: Instant::now() + RELAY_AFTER,
        };
        self.dials.insert(self.last, dial);
        self.begin(swarm, self.last, now);
        self.finish(swarm, self.last);
    }

    fn begin(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        number: u64,
        targets: Vec<(Address, Option<Peer>)>,
    ) {
        let Some(dial) = self.dials.get_mut(&number) else {
            return;
        };
        let whom = dial.whom;
        dial.left += targets.len();
        for (address, peer) in targets {
            self.attempt(swarm, (number, whom), &address, peer);
        }
    }

    /// When something is to be done that waits.
    pub(super) fn due(&self) -> Option<Instant> {
        let waiting = self.dials.values().filter(|dial| !dial.later.is_empty());
        waiting.map(|dial| dial.due).min()
    }

    /// Asks the relays of dials that take long.
    pub(super) fn ask_relays(&mut self, swarm: &mut Swarm<Behaviour>, now: Instant) {
        let is_due = |(_, dial): &(&u64, &Dial)| dial.due <= now && !dial.later.is_empty();
        let due: Vec<u64> = self
            .dials
            .iter()
            .filter(is_due)
            .map(|(id, _)| *id)
            .collect();
        for number in due {
            self.take_later(swarm, number);
            self.finish(swarm, number);
        }
    }

    fn take_later(&mut self, swarm: &mut Swarm<Behaviour>, number: u64) {
        let dial = self.dials.get_mut(&number);
        let later = dial.map(|dial| std::mem::take(&mut dial.later));
        self.begin(swarm, number, later.unwrap_or_default());
    }

    fn attempt(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        (number, whom): (u64, Whom),
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
        self.attempts.insert(connection, number);
        swarm
            .behaviour_mut()
            .streams
            .change(|gate| gate.ask(connection, whom, number));
        if let Err(error) = swarm.dial(options) {
            self.note_failed(connection, &error);
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
    pub(super) fn failed(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        connection: ConnectionId,
        error: &DialError,
    ) {
        if let Some(number) = self.note_failed(connection, error) {
            self.finish(swarm, number);
        }
    }

    fn note_failed(&mut self, connection: ConnectionId, error: &DialError) -> Option<u64> {
        let number = self.attempts.remove(&connection)?;
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
        Some(number)
    }

    fn finish(&mut self, swarm: &mut Swarm<Behaviour>, number: u64) {
        if self.dials.get(&number).is_some_and(|dial| dial.left == 0) {
            self.take_later(swarm, number);
        }
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

type Targets = Vec<(Address, Option<Peer>)>;

/// Which addresses are tried at once, and which through relays, the nearest first. Of a peer that is
/// `connected` in a less good way the relays are of no use.
fn targets(
    swarm: &Swarm<Behaviour>,
    known: Option<Peer>,
    addresses: &[Address],
    connected: bool,
) -> (Targets, Targets) {
    let streams = &swarm.behaviour().streams;
    let me = streams.me();
    let own: Vec<Address> = swarm
        .listeners()
        .filter_map(|own| Address::of(own).ok())
        .collect();
    let mut targets: Targets = addresses
        .iter()
        .filter(|address| address.can_be_dialled() && streams.gate().reaches(address))
        .filter(|address| known.is_none() || address.peer.is_none() || address.peer == known)
        .filter(|address| {
            address.via != Some(me) && !own.iter().any(|own| own.is_same_place(address))
        })
        .map(|address| (*address, known.or(address.peer)))
        .collect();
    targets.sort_by_key(|(address, _)| (address.path(), *address));
    targets.dedup_by(|(one, its), (other, others)| one.is_same_place(other) && its == others);
    targets.truncate(DIAL_ADDRESSES);
    let relayed = targets.partition_point(|(address, _)| address.path() < Path::Relay);
    let mut later = targets.split_off(relayed);
    if connected {
        later.clear();
    }
    (targets, later)
}
