//! The task that owns the libp2p `Swarm`: commands in, events out.
//!
//! It never waits for the application. Events that do not fit the channel
//! queue here, and what a peer can add to that queue is bounded: its streams
//! hold places, and coming and going again cancels out.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, Swarm,
    swarm::{ConnectionId, ListenError, SwarmEvent},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use super::{
    address::{Address, Peer},
    behaviour::{Behaviour, BehaviourEvent},
    dial::{Dialled, Dials},
    discovery::{Advert, Heard, Sighting},
    event::{NetEvent, PeerPath},
    gate::{Gate, Refusal, Standing, Whom},
    limits::{EVENTS_WAITING, FAREWELL},
    line::Opened,
    relays::Relays,
    start::{Browsing, Shared},
    stream::{Proto, Wire},
    streams::Inbound,
};

/// What the handle asks of the task.
pub(super) enum Command {
    SetAllowed(BTreeSet<Peer>, oneshot::Sender<()>),
    AllowGuest(Peer, Duration, oneshot::Sender<()>),
    ForgetGuest(Peer, oneshot::Sender<()>),
    AwaitHosts(oneshot::Sender<()>),
    SetAdverts(Vec<Advert>, oneshot::Sender<()>),
    Dial(Whom, Vec<Address>, Dialled),
    Open(Peer, Proto, Opened),
    Disconnect(Peer, oneshot::Sender<()>),
    KeepAway(Peer, Duration, oneshot::Sender<()>),
    HangUp(Peer, Wire, oneshot::Sender<()>),
    Connected(oneshot::Sender<Vec<PeerPath>>),
    Shutdown(oneshot::Sender<()>),
}

/// Everything the network task owns.
pub(super) struct Driver {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) discovery: Option<Browsing>,
    pub(super) sightings: mpsc::Receiver<Heard>,
    pub(super) dials: Dials,
    pub(super) relays: Relays,
    pub(super) outbox: Outbox,
}

impl Driver {
    /// Runs until it is told to stop or nobody holds a handle any more.
    pub(super) async fn run(mut self, events: mpsc::Sender<NetEvent>) {
        let stopped = loop {
            let due = self.dials.due();
            let again = self
                .discovery
                .as_ref()
                .and_then(|discovery| discovery.again);
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Shutdown(stopped)) => break Some(stopped),
                    Some(command) => self.obey(command),
                    None => break None,
                },
                event = self.swarm.select_next_some() => self.note(event),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.dials.ask_relays(&mut self.swarm, Instant::now());
                }
                Some(heard) = self.sightings.recv() => match heard {
                    Heard::Sighting(sighting) => self.sighted(sighting),
                    Heard::Flood => self.flooded(),
                },
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {
                    if let Some(discovery) = &mut self.discovery {
                        discovery.begin();
                    }
                }
                place = events.reserve(), if !self.outbox.waiting.is_empty() => match place {
                    Ok(place) => {
                        if let Some((_, event)) = self.outbox.waiting.pop_front() {
                            place.send(event);
                        }
                    }
                    Err(_) => self.outbox.waiting.clear(),
                },
            }
        };
        self.leave().await;
        if let Some(stopped) = stopped {
            let _ = stopped.send(());
        }
    }

    /// Says goodbye to everybody, for a few seconds at most.
    async fn leave(mut self) {
        drop(self.discovery.take());
        let peers: BTreeSet<Peer> = self.peers().collect();
        for peer in peers {
            self.swarm.behaviour_mut().streams.disconnect(peer);
        }
        let _ = timeout(FAREWELL, async {
            while self.peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        })
        .await;
    }

    fn peers(&self) -> impl Iterator<Item = Peer> {
        self.swarm.behaviour().streams.live().map(|live| live.peer)
    }

    fn obey(&mut self, command: Command) {
        let streams = &mut self.swarm.behaviour_mut().streams;
        // Who asked may have stopped waiting for the answer.
        let _ = match command {
            Command::SetAllowed(members, done) => {
                streams.change(|gate| gate.set_members(members.clone()));
                if let Some(ways) = self.swarm.behaviour_mut().ways.as_mut() {
                    ways.set_members(members);
                }
                done.send(())
            }
            Command::AllowGuest(guest, valid, done) => {
                streams.change(|gate| gate.admit_guest(guest, Instant::now() + valid));
                done.send(())
            }
            Command::ForgetGuest(guest, done) => {
                streams.change(|gate| gate.forget_guest(guest));
                done.send(())
            }
            Command::AwaitHosts(done) => {
                streams.change(Gate::await_hosts);
                done.send(())
            }
            Command::SetAdverts(adverts, done) => {
                if let Some(discovery) = &mut self.discovery {
                    discovery.publish(adverts);
                }
                done.send(())
            }
            Command::Dial(whom, addresses, dialled) => {
                self.dials.start(&mut self.swarm, whom, &addresses, dialled);
                Ok(())
            }
            Command::Open(peer, proto, opened) => {
                streams.open(peer, proto, opened);
                Ok(())
            }
            Command::Disconnect(peer, done) => {
                streams.disconnect(peer);
                done.send(())
            }
            Command::KeepAway(peer, time, done) => {
                streams.disconnect(peer);
                if let Some(ways) = self.swarm.behaviour_mut().ways.as_mut() {
                    ways.keep_away(peer, Instant::now() + time);
                }
                done.send(())
            }
            Command::HangUp(peer, wire, done) => {
                streams.hang_up(peer, wire);
                done.send(())
            }
            Command::Connected(paths) => {
                let _ = paths.send(self.paths());
                Ok(())
            }
            Command::Shutdown(done) => done.send(()),
        };
    }

    fn paths(&self) -> Vec<PeerPath> {
        let streams = &self.swarm.behaviour().streams;
        let peers: BTreeSet<Peer> = self.peers().collect();
        let best = peers.into_iter().filter_map(|peer| streams.best(peer));
        best.map(|(_, live)| PeerPath {
            peer: live.peer,
            standing: live.standing,
            address: live.address,
            path: live.path,
            outbound: live.outbound,
            rtt: live.rtt,
            received: live.tie.traffic.received.load(Ordering::Relaxed),
            sent: live.tie.traffic.sent.load(Ordering::Relaxed),
        })
        .collect()
    }

    fn note(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(inbound)) => self.inbound(inbound),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) => {
                if let Ok(rtt) = ping.result {
                    let streams = &mut self.swarm.behaviour_mut().streams;
                    streams.measured(ping.connection, rtt);
                }
            }
            SwarmEvent::ConnectionEstablished { connection_id, .. } => {
                self.established(connection_id);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                ..
            } => {
                if let Some(peer) = Peer::of(&peer_id) {
                    self.outbox
                        .closed(connection_id, peer, num_established == 0);
                }
            }
            SwarmEvent::IncomingConnectionError { error, .. } => self.turned_away(error),
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                ..
            } => self.dials.failed(&mut self.swarm, connection_id, &error),
            SwarmEvent::Behaviour(BehaviourEvent::Ways(event)) => self.way(event),
            SwarmEvent::NewListenAddr { address, .. } => self.listening(&address, true),
            SwarmEvent::ExpiredListenAddr { address, .. } => self.listening(&address, false),
            SwarmEvent::ListenerClosed {
                listener_id,
                addresses,
                ..
            } => self.place_lost(listener_id, &addresses),
            SwarmEvent::ExternalAddrConfirmed { address } => self.reached_at(address),
            SwarmEvent::ExternalAddrExpired { address } => self.reached_no_more(&address),
            _ => {}
        }
    }

    fn inbound(&mut self, inbound: Inbound) {
        let event = NetEvent::Stream {
            peer: inbound.peer,
            proto: inbound.proto,
            stream: inbound.stream,
        };
        self.outbox.push(Some(inbound.connection), event);
    }

    fn established(&mut self, id: ConnectionId) {
        let streams = &self.swarm.behaviour().streams;
        let Some(live) = streams.connection(id) else {
            return;
        };
        self.dials.established(id, live.peer);
        // One that comes while all others end is a first one too, or nobody would use it.
        if streams.stands_alone(id) {
            let event = NetEvent::Connected {
                peer: live.peer,
                standing: live.standing,
                address: live.address,
                path: live.path,
                outbound: live.outbound,
            };
            self.outbox.push(None, event);
            self.swarm.behaviour_mut().streams.announced(id);
        }
    }

    fn turned_away(&self, error: ListenError) {
        let refused = &self.shared.refused;
        let counter = match error {
            ListenError::Denied { cause } => match cause.downcast_ref::<Refusal>() {
                Some(Refusal::Stranger) => &refused.strangers,
                _ => &refused.connections,
            },
            _ => &refused.handshakes,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn listening(&mut self, multiaddr: &Multiaddr, now: bool) {
        let Ok(mut address) = Address::of(multiaddr) else {
            return;
        };
        address.peer = Some(self.shared.me);
        if !address.can_be_dialled() {
            return;
        }
        if !self.shared.set_listening(address, now) {
            return;
        }
        let event = match now {
            true => NetEvent::Listening { address },
            false => NetEvent::NotListening { address },
        };
        self.outbox.push(None, event);
        if now && self.trusts(&address) {
            self.reached_at(address.multiaddr());
        }
    }

    fn flooded(&mut self) {
        if let Some(discovery) = &mut self.discovery {
            discovery.pause();
        }
    }

    /// Passes on a record from the network, less the addresses that make no
    /// sense from here.
    fn sighted(&mut self, mut sighting: Sighting) {
        let gate = self.swarm.behaviour().streams.gate();
        let addresses = &mut sighting.addresses;
        addresses.retain(|address| gate.reaches(address));
        drop_foreign_loopback(addresses, &self.shared.listening());
        if !addresses.is_empty() && self.outbox.waiting.len() < EVENTS_WAITING {
            self.outbox.push(None, NetEvent::Discovered(sighting));
        }
    }
}

/// Keeps loopback addresses only where all the others are this machine's own:
/// else a stranger could point this node at its own machine's ports.
fn drop_foreign_loopback(addresses: &mut Vec<Address>, own: &[Address]) {
    let here = |address: &Address| {
        address.ip.is_loopback()
            || own
                .iter()
                .any(|own| own.via.is_none() && own.ip == address.ip)
    };
    if !addresses.iter().all(here) {
        addresses.retain(|address| !address.ip.is_loopback());
    }
}

/// Events on their way to the application.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<(Option<ConnectionId>, NetEvent)>,
}

impl Outbox {
    fn push(&mut self, connection: Option<ConnectionId>, event: NetEvent) {
        self.waiting.push_back((connection, event));
    }

    /// Takes back what nobody has seen yet of a connection that is gone. That a call of a member was
    /// answered and ended at once is told all the same: it is how a device that was removed hears of it.
    fn closed(&mut self, connection: ConnectionId, peer: Peer, last: bool) {
        self.waiting.retain(|(of, _)| *of != Some(connection));
        if !last {
            return;
        }
        let (mut unseen, mut called) = (false, false);
        self.waiting.retain(|(_, event)| match event {
            NetEvent::Connected {
                peer: other,
                standing,
                outbound,
                ..
            } if *other == peer => {
                let is_member = *standing == Standing::Member;
                (unseen, called) = (true, called || *outbound && is_member);
                false
            }
            NetEvent::Ended { peer: other } => *other != peer,
            _ => true,
        });
        match (unseen, called) {
            (false, _) => self.push(None, NetEvent::Disconnected { peer }),
            (true, true) => self.push(None, NetEvent::Ended { peer }),
            (true, false) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::address::Path;

    #[test]
    fn a_record_from_elsewhere_does_not_lead_to_our_own_machine() {
        let at = |ip: [u8; 4]| Address::new(ip.into(), 1);
        let (loopback, mine, other) = (at([127, 0, 0, 1]), at([10, 0, 0, 1]), at([10, 0, 0, 2]));
        for (record, kept) in [
            (vec![loopback, mine], vec![loopback, mine]),
            (vec![loopback], vec![loopback]),
            (vec![loopback, other], vec![other]),
        ] {
            let mut addresses = record;
            drop_foreign_loopback(&mut addresses, &[mine]);
            assert_eq!(addresses, kept);
        }
    }

    /// What waits after a thousand connections to a peer that each ended before anybody looked.
    fn after_a_thousand(peer: Peer, outbound: bool) -> Outbox {
        let mut outbox = Outbox::default();
        for number in 0..1000 {
            let connected = NetEvent::Connected {
                peer,
                standing: Standing::Member,
                address: Address::new([10, 0, 0, 1].into(), 1),
                path: Path::Lan,
                outbound,
            };
            outbox.push(None, connected);
            outbox.closed(ConnectionId::new_unchecked(number), peer, true);
        }
        outbox
    }

    #[test]
    fn a_peer_that_comes_and_goes_does_not_fill_the_queue() {
        let peer = Peer([1; 32]);
        let mut outbox = after_a_thousand(peer, false);
        assert!(outbox.waiting.is_empty());
        outbox.closed(ConnectionId::new_unchecked(1000), peer, true);
        assert_eq!(outbox.waiting.len(), 1);
    }

    #[test]
    fn a_call_that_is_answered_and_ended_before_anybody_looks_is_told_once() {
        let peer = Peer([1; 32]);
        let mut outbox = after_a_thousand(peer, true);
        let told: Vec<_> = outbox.waiting.drain(..).map(|(_, event)| event).collect();
        assert!(
            matches!(told[..], [NetEvent::Ended { peer: other }] if other == peer),
            "{told:?}"
        );
    }
}
