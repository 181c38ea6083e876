//! Who gets in: the decision alone, without any connection.
//!
//! The roster is the allow-list. A stranger is turned away right after the
//! handshake, which is the first moment that shows who it is; it has then cost
//! one handshake, learned this device's PeerId, and gets no stream at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use libp2p::swarm::ConnectionId;
use thiserror::Error;
use tokio::time::Instant;

use super::{
    address::{Path, Peer},
    range::Range,
};

/// What a peer is to this device, which decides what it may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A device in the roster: every protocol, both ways.
    Member,
    /// The holder of a live invite: may open pairing, nothing else, and
    /// nothing is opened towards it.
    Guest,
    /// Who answered this device's own request to join or to be restored: pairing
    /// may be opened towards it, and it may open nothing.
    Host,
}

/// Whom a dial is meant to reach. Where that is not known beforehand, all the
/// addresses of one dial must be those of one node: the first who answers and
/// proves to be somebody acceptable ends the other attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// This device, which must be in the roster.
    Device(Peer),
    /// Whichever device of the roster listens there.
    Member,
    /// Who made the invite that this node holds, known or not. The connection
    /// can carry pairing only, which proves who it is.
    Host(Option<Peer>),
}

/// Which addresses a node speaks to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Any address.
    #[default]
    Anywhere,
    /// Private, unique-local, link-local and loopback addresses and these
    /// ranges alone, for what comes in as for what goes out.
    LanOnly(Vec<Range>),
}

/// Why a connection is turned away. Never told to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    #[error("not a device of this family")]
    Stranger,
    #[error("outside the local network")]
    Outside,
    #[error("nobody asked for this connection")]
    Unasked,
}

/// The rules, and the little state they need.
pub(super) struct Gate {
    me: Peer,
    reach: Reach,
    members: BTreeSet<Peer>,
    guests: BTreeMap<Peer, Instant>,
    /// Whoever calls may be the one this node asks to take it in.
    awaits_hosts: bool,
    /// Outbound attempts and the dial each belongs to. The first one of a
    /// dial that gets through ends the others.
    asked: BTreeMap<ConnectionId, (Whom, u64)>,
}

impl Gate {
    pub(super) const fn new(me: Peer, reach: Reach) -> Self {
        Self {
            me,
            reach,
            members: BTreeSet::new(),
            guests: BTreeMap::new(),
            awaits_hosts: false,
            asked: BTreeMap::new(),
        }
    }

    pub(super) fn set_members(&mut self, members: BTreeSet<Peer>) {
        self.members = members;
        self.members.remove(&self.me);
    }

    pub(super) fn admit_guest(&mut self, guest: Peer, until: Instant) {
        self.guests.insert(guest, until);
    }

    pub(super) fn forget_guest(&mut self, guest: Peer) {
        self.guests.remove(&guest);
    }

    pub(super) fn await_hosts(&mut self) {
        self.awaits_hosts = true;
    }

    /// Whether packets may go to and come from this address.
    pub(super) fn reaches(&self, ip: IpAddr) -> bool {
        match &self.reach {
            Reach::Anywhere => true,
            Reach::LanOnly(ranges) => {
                Path::of(ip) == Path::Lan || ranges.iter().any(|range| range.contains(ip))
            }
        }
    }

    /// Whether a dial to this end makes sense at all.
    pub(super) fn may_dial(&self, whom: Whom) -> bool {
        match whom {
            Whom::Device(peer) => self.members.contains(&peer),
            Whom::Member => !self.members.is_empty(),
            Whom::Host(peer) => peer != Some(self.me),
        }
    }

    pub(super) fn ask(&mut self, connection: ConnectionId, whom: Whom, dial: u64) {
        self.asked.insert(connection, (whom, dial));
    }

    /// Forgets an attempt that failed.
    pub(super) fn failed(&mut self, connection: ConnectionId) {
        self.asked.remove(&connection);
    }

    /// Ends a dial by its first connection; the other attempts are refused
    /// from here on, so a peer with ten addresses gets one connection.
    pub(super) fn arrived(&mut self, connection: ConnectionId) {
        if let Some((_, dial)) = self.asked.remove(&connection) {
            self.asked.retain(|_, (_, other)| *other != dial);
        }
    }

    /// Judges who has just proved its identity on an inbound connection.
    pub(super) fn inbound(&self, peer: Option<Peer>, now: Instant) -> Result<Standing, Refusal> {
        let peer = peer.ok_or(Refusal::Stranger)?;
        if self.members.contains(&peer) {
            return Ok(Standing::Member);
        }
        match self.guests.get(&peer) {
            Some(until) if now < *until => Ok(Standing::Guest),
            _ if self.awaits_hosts && peer != self.me => Ok(Standing::Host),
            _ => Err(Refusal::Stranger),
        }
    }

    /// Whether an outbound attempt may begin.
    pub(super) fn attempt(&self, connection: ConnectionId) -> Result<(), Refusal> {
        match self.asked.contains_key(&connection) {
            true => Ok(()),
            false => Err(Refusal::Unasked),
        }
    }

    /// Judges who has just proved its identity on an outbound connection.
    pub(super) fn outbound(
        &self,
        connection: ConnectionId,
        peer: Option<Peer>,
    ) -> Result<Standing, Refusal> {
        let peer = peer.ok_or(Refusal::Stranger)?;
        let (whom, _) = self.asked.get(&connection).ok_or(Refusal::Unasked)?;
        let member = self.members.contains(&peer);
        match whom {
            Whom::Device(expected) if member && *expected == peer => Ok(Standing::Member),
            Whom::Member if member => Ok(Standing::Member),
            Whom::Host(None) if peer != self.me => Ok(Standing::Host),
            Whom::Host(Some(expected)) if *expected == peer => Ok(Standing::Host),
            _ => Err(Refusal::Stranger),
        }
    }

    /// Whether a live connection may stay after the roster or the invites changed.
    pub(super) fn keeps(&self, peer: Peer, standing: Standing) -> bool {
        match standing {
            Standing::Member => self.members.contains(&peer),
            Standing::Guest => self.guests.contains_key(&peer),
            Standing::Host => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ME: Peer = Peer([0; 32]);
    const ANNA: Peer = Peer([1; 32]);
    const BEN: Peer = Peer([2; 32]);

    fn gate(members: &[Peer]) -> Gate {
        let mut gate = Gate::new(ME, Reach::Anywhere);
        gate.set_members(members.iter().copied().collect());
        gate
    }

    fn connection(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    #[test]
    fn only_the_roster_and_live_guests_come_in() {
        let now = Instant::now();
        let mut gate = gate(&[ANNA]);
        gate.admit_guest(BEN, now + Duration::from_secs(60));
        assert_eq!(gate.inbound(Some(ANNA), now), Ok(Standing::Member));
        assert_eq!(gate.inbound(Some(BEN), now), Ok(Standing::Guest));
        let later = now + Duration::from_secs(60);
        assert_eq!(gate.inbound(Some(BEN), later), Err(Refusal::Stranger));
        assert_eq!(gate.inbound(Some(ME), now), Err(Refusal::Stranger));
        assert_eq!(gate.inbound(None, now), Err(Refusal::Stranger));
        gate.forget_guest(BEN);
        assert_eq!(gate.inbound(Some(BEN), now), Err(Refusal::Stranger));
    }

    #[test]
    fn who_waits_to_be_taken_in_hears_anybody_and_lets_nobody_open_anything() {
        let now = Instant::now();
        let mut gate = gate(&[ANNA]);
        gate.await_hosts();
        assert_eq!(gate.inbound(Some(BEN), now), Ok(Standing::Host));
        assert_eq!(gate.inbound(Some(ANNA), now), Ok(Standing::Member));
        assert_eq!(gate.inbound(Some(ME), now), Err(Refusal::Stranger));
        assert_eq!(gate.inbound(None, now), Err(Refusal::Stranger));
    }

    #[test]
    fn an_outbound_connection_is_judged_by_what_was_asked_for() {
        let mut gate = gate(&[ANNA]);
        let one = connection(1);
        for (whom, peer, judged) in [
            (Whom::Device(ANNA), ANNA, Ok(Standing::Member)),
            (Whom::Device(ANNA), BEN, Err(Refusal::Stranger)),
            (Whom::Device(BEN), BEN, Err(Refusal::Stranger)),
            (Whom::Member, ANNA, Ok(Standing::Member)),
            (Whom::Member, BEN, Err(Refusal::Stranger)),
            (Whom::Host(None), BEN, Ok(Standing::Host)),
            (Whom::Host(None), ME, Err(Refusal::Stranger)),
            (Whom::Host(Some(BEN)), BEN, Ok(Standing::Host)),
            (Whom::Host(Some(BEN)), ANNA, Err(Refusal::Stranger)),
        ] {
            gate.ask(one, whom, 1);
            assert_eq!(gate.outbound(one, Some(peer)), judged, "{whom:?}");
        }
        let other = connection(2);
        assert_eq!(gate.outbound(other, Some(ANNA)), Err(Refusal::Unasked));
    }

    #[test]
    fn the_first_connection_of_a_dial_ends_its_other_attempts() {
        let mut gate = gate(&[ANNA]);
        gate.ask(connection(1), Whom::Device(ANNA), 7);
        gate.ask(connection(2), Whom::Device(ANNA), 7);
        gate.ask(connection(3), Whom::Device(ANNA), 8);
        gate.arrived(connection(2));
        assert_eq!(gate.attempt(connection(1)), Err(Refusal::Unasked));
        assert_eq!(gate.attempt(connection(3)), Ok(()));
    }

    #[test]
    fn who_leaves_the_roster_keeps_nothing() {
        let mut gate = gate(&[ANNA, BEN]);
        gate.set_members([BEN].into());
        assert!(!gate.keeps(ANNA, Standing::Member));
        assert!(gate.keeps(BEN, Standing::Member));
        assert!(!gate.may_dial(Whom::Device(ANNA)));
    }

    #[test]
    fn lan_only_speaks_to_home_addresses_alone() {
        let gate = Gate::new(ME, Reach::LanOnly(Vec::new()));
        assert!(gate.reaches("192.168.1.1".parse().unwrap()));
        assert!(!gate.reaches("8.8.8.8".parse().unwrap()));
        assert!(!gate.reaches("100.64.0.1".parse().unwrap()));
        let overlay = "100.64.0.0/10".parse().unwrap();
        let gate = Gate::new(ME, Reach::LanOnly(vec![overlay]));
        assert!(gate.reaches("100.64.0.1".parse().unwrap()));
        assert!(gate.reaches("fe80::1".parse().unwrap()));
        assert!(!gate.reaches("8.8.8.8".parse().unwrap()));
        let open = Gate::new(ME, Reach::Anywhere);
        assert!(open.reaches("8.8.8.8".parse().unwrap()));
    }
}
