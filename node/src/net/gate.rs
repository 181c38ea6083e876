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
    address::{Address, Path, Peer},
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

impl Reach {
    /// Whether packets may go to and come from an address, when nobody passes them on.
    pub(crate) fn holds(&self, ip: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::LanOnly(ranges) => {
                Path::of(ip) == Path::Lan || ranges.iter().any(|range| range.contains(ip))
            }
        }
    }
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
    /// Attempts of dials that another attempt has answered.
    ended: BTreeSet<ConnectionId>,
    /// Whether what makes ways between homes may dial members by itself.
    has_ways: bool,
}

impl Gate {
    pub(super) const fn new(me: Peer, reach: Reach) -> Self {
        Self {
            has_ways: false,
            ended: BTreeSet::new(),
            me,
            reach,
            members: BTreeSet::new(),
            guests: BTreeMap::new(),
            awaits_hosts: false,
            asked: BTreeMap::new(),
        }
    }

    /// Lets what makes ways between homes dial members by itself.
    pub(super) fn open_ways(&mut self) {
        self.has_ways = self.reach == Reach::Anywhere;
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
    pub(super) fn reaches(&self, address: &Address) -> bool {
        match address.via {
            None => self.reach.holds(address.ip),
            Some(_) => self.has_ways,
        }
    }

    /// Whether connections that a relay hands over are taken.
    pub(super) const fn takes_relayed(&self) -> bool {
        self.has_ways
    }

    /// Whether a connection was asked for by a dial, and not by what makes ways.
    pub(super) fn is_asked(&self, connection: ConnectionId) -> bool {
        self.asked.contains_key(&connection)
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
        self.ended.remove(&connection);
    }

    /// Ends a dial by its first connection; the other attempts are refused
    /// from here on, so a peer with ten addresses gets one connection.
    pub(super) fn arrived(&mut self, connection: ConnectionId) {
        if let Some((_, dial)) = self.asked.remove(&connection) {
            let others = self.asked.iter().filter(|(_, (_, other))| *other == dial);
            self.ended.extend(others.map(|(id, _)| *id));
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
    ///
    /// What makes ways dials members at addresses that these have named, so none of them may lead
    /// to this machine's own programs.
    pub(super) fn attempt(
        &self,
        connection: ConnectionId,
        peer: Option<Peer>,
        addresses: &[Address],
    ) -> Result<(), Refusal> {
        let is_asked = self.is_asked(connection);
        if !is_asked && !self.is_by_ways(connection, peer) {
            return Err(Refusal::Unasked);
        }
        let fits = |address: &Address| {
            let is_safe = address.can_be_dialled() && !address.ip.to_canonical().is_loopback();
            self.reaches(address) && (is_asked || is_safe)
        };
        match addresses.iter().all(fits) {
            true => Ok(()),
            false => Err(Refusal::Outside),
        }
    }

    fn is_by_ways(&self, connection: ConnectionId, peer: Option<Peer>) -> bool {
        self.has_ways
            && !self.ended.contains(&connection)
            && peer.is_some_and(|peer| self.members.contains(&peer))
    }

    /// Judges who has just proved its identity on an outbound connection.
    pub(super) fn outbound(
        &self,
        connection: ConnectionId,
        peer: Option<Peer>,
    ) -> Result<Standing, Refusal> {
        let peer = peer.ok_or(Refusal::Stranger)?;
        let Some((whom, _)) = self.asked.get(&connection) else {
            return match self.is_by_ways(connection, Some(peer)) {
                true => Ok(Standing::Member),
                false => Err(Refusal::Unasked),
            };
        };
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
        gate.open_ways();
        let attempt = |number| gate.attempt(connection(number), Some(ANNA), &[]);
        assert_eq!(attempt(1), Err(Refusal::Unasked));
        assert_eq!(attempt(3), Ok(()));
        assert_eq!(
            gate.outbound(connection(1), Some(ANNA)),
            Err(Refusal::Unasked)
        );
    }

    #[test]
    fn what_makes_ways_dials_members_alone_and_never_this_machine() {
        let mut gate = gate(&[ANNA]);
        let outside = Address::new([203, 0, 113, 7].into(), 4001);
        let attempt = |gate: &Gate, peer, addresses: &[Address]| {
            gate.attempt(connection(9), Some(peer), addresses)
        };
        assert_eq!(attempt(&gate, ANNA, &[outside]), Err(Refusal::Unasked));
        gate.open_ways();
        assert_eq!(attempt(&gate, ANNA, &[outside]), Ok(()));
        assert_eq!(
            gate.outbound(connection(9), Some(ANNA)),
            Ok(Standing::Member)
        );
        assert_eq!(attempt(&gate, BEN, &[outside]), Err(Refusal::Unasked));
        assert_eq!(
            gate.outbound(connection(9), Some(BEN)),
            Err(Refusal::Unasked)
        );
        let own = Address::new([127, 0, 0, 1].into(), 631);
        assert_eq!(attempt(&gate, ANNA, &[outside, own]), Err(Refusal::Outside));
        let mut near = Gate::new(ME, Reach::LanOnly(Vec::new()));
        near.set_members([ANNA].into());
        near.open_ways();
        assert_eq!(attempt(&near, ANNA, &[outside]), Err(Refusal::Unasked));
    }

    #[test]
    fn a_relayed_address_is_for_nodes_that_speak_to_everybody() {
        let relayed = Address {
            peer: Some(ANNA),
            via: Some(BEN),
            ..Address::new([192, 168, 1, 7].into(), 4001)
        };
        let mut near = Gate::new(ME, Reach::LanOnly(Vec::new()));
        near.open_ways();
        assert!(!near.reaches(&relayed) && !near.takes_relayed());
        let mut gate = gate(&[ANNA]);
        assert!(!gate.reaches(&relayed));
        gate.open_ways();
        assert!(gate.reaches(&relayed) && gate.takes_relayed());
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
        let overlay = "100.64.0.0/10".parse().unwrap();
        let near = Gate::new(ME, Reach::LanOnly(Vec::new()));
        let listed = Gate::new(ME, Reach::LanOnly(vec![overlay]));
        let open = Gate::new(ME, Reach::Anywhere);
        for (ip, in_near, in_listed) in [
            ("192.168.1.1", true, true),
            ("fe80::1", true, true),
            ("100.64.0.1", false, true),
            ("8.8.8.8", false, false),
        ] {
            let address = Address::new(ip.parse().unwrap(), 1);
            assert_eq!(near.reaches(&address), in_near, "{ip}");
            assert_eq!(listed.reaches(&address), in_listed, "{ip}");
            assert!(open.reaches(&address), "{ip}");
        }
    }
}
