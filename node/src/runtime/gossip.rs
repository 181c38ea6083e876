//! What devices say of themselves under their signature: where they are, and how far their logs go.
//!
//! ```text
//! beacon/ device[32]             the newest beacon of a device, as it was signed
//! head/   device[32] space[16]   the newest head of a device in a space, as it was signed
//! told/   device[32]             marks of what a peer was told, so that it is not told again that day
//! ```
//!
//! A statement is kept if its signature holds, its signer belongs to the family now, its stamp is
//! neither in the future nor expired, and it is newer than what is known. A hostile member can
//! make others dial up to [`limits::ADDRESSES`] addresses in search of it, and nothing more: who
//! answers there must prove to be that device.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    time::Instant,
};

use heirloom_protocol::{
    crypto::{Signed, SignedBytes, Statement, sign::SignError},
    discovery::{
        Address,
        gossip::{Beacon, Head, RoleFlags, is_current},
    },
    id::{BranchId, DeviceId, SpaceId},
    limits,
    op::Policy,
    replica::LogState,
    sync::{
        message::{Gossip, PeerRole},
        session::Input,
    },
    time::Hlc,
    wire,
};

use super::{News, Runtime, RuntimeError, sync::Slot};
use crate::store::{Batch, Table};

const HEAD: u8 = 1;
const BEACON: u8 = 2;
/// Free space is told in these steps, so that it tells nothing finer.
const FREE_STEP: u64 = 1_000_000_000;
/// Less free space than this, and a device says that it is full.
pub const FULL_BYTES: u64 = 256 * 1024 * 1024;
/// Heads of others that a session begins with.
const HEADS: usize = 512;
/// Statements that a session begins with: half of what it may leave unread.
const STATEMENTS: usize = 2048;
/// How much newer a beacon is that says the same and is passed on all the same.
const AGAIN_MS: u64 = 15 * 60 * 1000;

/// How long a peer is not told again what it was told.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What a statement says, in short: its stamp counts by the day, so that all is told anew tomorrow.
type Mark = [u8; 8];

/// What a session began with, or need not begin with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Greeting {
    marks: BTreeSet<Mark>,
    /// Heads of others. A peer drops those of a space that it does not hold yet.
    heads: BTreeSet<Mark>,
}

/// What a peer said in its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Said {
    /// What it says it is; the roster decides.
    pub role: Option<PeerRole>,
    /// Its incarnation in the control space.
    pub incarnation: u64,
    /// Bits of what it can do besides.
    pub features: u64,
    /// Its disk takes no more blobs.
    pub full: bool,
}

/// What is known of the statements of a device.
#[derive(Clone, Debug, Default)]
pub struct Lore {
    /// What each peer said in its last session since this node started.
    pub said: BTreeMap<DeviceId, Said>,
    /// The newest beacons that have not expired.
    pub beacons: BTreeMap<DeviceId, Beacon>,
    /// Entries of a device that it has signed for and that are not here, by device.
    pub behind: BTreeMap<DeviceId, u64>,
}

/// What a statement says of the peer that passed it on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passed {
    /// Nothing: it holds, or is of a later version.
    Well,
    /// It can be read and its signer has not signed it, which whoever keeps to the rules sees before passing it on.
    Forged,
}

impl Passed {
    fn with(error: SignError) -> Self {
        match error {
            SignError::BadSignature => Self::Forged,
            SignError::OutOfBounds | SignError::Wire(_) => Self::Well,
        }
    }
}

impl Lore {
    /// Whether a device takes no more blobs, by what it said last.
    pub fn is_full(&self, device: &DeviceId) -> bool {
        match self.said.get(device) {
            Some(said) if said.role.is_some() => said.full,
            _ => self
                .beacons
                .get(device)
                .is_some_and(|beacon| beacon.flags.has(RoleFlags::FULL)),
        }
    }
}

fn beacon_key(device: &DeviceId) -> Vec<u8> {
    [b"beacon/", &device.0[..]].concat()
}

fn head_key(device: &DeviceId, space: &SpaceId) -> Vec<u8> {
    [b"head/", &device.0[..], &space.0[..]].concat()
}

fn told_key(peer: &DeviceId) -> Vec<u8> {
    [b"told/", &peer.0[..]].concat()
}

fn cut(says: &impl serde::Serialize, hlc: Hlc) -> Mark {
    let day = hlc.time().0 / DAY_MS;
    let hash = blake3::hash(&wire::encode(&(says, day)));
    let mut mark = Mark::default();
    mark.copy_from_slice(&hash.as_bytes()[..8]);
    mark
}

fn beacon_mark(beacon: &Beacon) -> Mark {
    let says = (
        BEACON,
        beacon.device,
        &beacon.addrs,
        &beacon.relays,
        beacon.flags,
    );
    cut(&says, beacon.hlc)
}

fn head_mark(head: &Head) -> Mark {
    let says = (
        HEAD,
        head.device,
        head.space,
        head.inc,
        head.branch,
        head.hash,
    );
    cut(&says, head.hlc)
}

/// Whether a statement is a beacon.
pub(crate) fn is_beacon(gossip: &Gossip) -> bool {
    gossip.kind == BEACON
}

fn gossip(kind: u8, space: Option<SpaceId>, raw: SignedBytes) -> Gossip {
    Gossip { kind, space, raw }
}

impl Runtime {
    /// Notes whether this device relays for the family, which its next beacon says.
    pub fn set_relaying(&mut self, relays: bool) {
        self.relays = relays;
    }

    /// Says this device's beacon, with where it can be dialled.
    pub fn own_beacon(&mut self, addrs: &[Address]) -> Option<Gossip> {
        let signed = self.sign_beacon(addrs)?;
        Some(gossip(BEACON, None, signed.raw().clone()))
    }

    fn sign_beacon(&mut self, addrs: &[Address]) -> Option<Signed<Beacon>> {
        let archive = self.replica.control().policy(&self.device()) == Policy::Archive;
        let free_bytes = self.store.free_bytes().unwrap_or(0);
        let flags = [
            (archive, RoleFlags::ARCHIVE),
            (self.replica.person().is_none(), RoleFlags::KEEPER),
            (self.relays, RoleFlags::RELAY),
            (self.is_full(), RoleFlags::FULL),
        ];
        let flags = flags.into_iter().filter(|(set, _)| *set);
        self.beacons += 1;
        let beacon = Beacon {
            device: self.device(),
            inc: self.replica.incarnation(),
            n: self.beacons,
            hlc: Hlc::at(self.now()),
            addrs: addrs.iter().take(limits::ADDRESSES).cloned().collect(),
            relays: Vec::new(),
            flags: flags.fold(RoleFlags::default(), |all, (_, flag)| all.with(flag)),
            free_bytes: free_bytes / FREE_STEP * FREE_STEP,
        };
        Signed::sign(&self.keys.sign, &self.replica.family(), beacon).ok()
    }

    /// Says how far this device's logs go in some spaces.
    pub fn own_heads(&self, spaces: &[SpaceId]) -> Vec<Gossip> {
        let signed = self.sign_heads(spaces).into_iter();
        signed
            .map(|head| gossip(HEAD, Some(head.value().space), head.raw().clone()))
            .collect()
    }

    fn sign_heads(&self, spaces: &[SpaceId]) -> Vec<Signed<Head>> {
        let (family, now) = (self.replica.family(), Hlc::at(self.now()));
        let mut heads = Vec::new();
        for space in spaces {
            let log = self.replica.own_log(*space);
            let state = self.replica.log(&log);
            let Some((seq, hash)) = state.and_then(|state| state.head()) else {
                continue;
            };
            let head = Head {
                device: log.device,
                space: *space,
                inc: log.inc,
                branch: BranchId::ZERO,
                seq,
                hash,
                hlc: now,
            };
            heads.extend(Signed::sign(&self.keys.sign, &family, head));
        }
        heads
    }

    /// Begins a session with what this device has to say and has heard, but for what the peer was told.
    ///
    /// Two devices that agree would else say more of this than of all the rest.
    pub fn greet(&mut self, peer: DeviceId, addrs: &[Address]) -> Result<Greeting, RuntimeError> {
        let mut greeting = Greeting::default();
        let Some(mut slot) = self.sessions.remove(&peer) else {
            return Ok(greeting);
        };
        let told = self.told(&peer)?;
        let mut said = Vec::new();
        for (mark, is_anothers_head, statement) in self.statements(peer, addrs)? {
            if !told.contains(&mark) {
                if said.len() == STATEMENTS {
                    continue;
                }
                said.push(Input::Gossip(statement));
            }
            match is_anothers_head && !told.contains(&mark) {
                true => greeting.heads.insert(mark),
                false => greeting.marks.insert(mark),
            };
        }
        let full = self.is_full().then_some(Input::Room { full: true });
        for input in said.into_iter().chain(full) {
            slot.session.handle(input, self, Instant::now());
        }
        self.sessions.insert(peer, slot);
        Ok(greeting)
    }

    /// Everything a peer may hear, its own word left out: the mark, whether it is another's head, the statement.
    fn statements(
        &mut self,
        peer: DeviceId,
        addrs: &[Address],
    ) -> Result<Vec<(Mark, bool, Gossip)>, RuntimeError> {
        let control = self.replica.family().control_space();
        let spaces: Vec<SpaceId> = std::iter::once(control)
            .chain(self.replica.albums().map(|(id, _)| *id))
            .filter(|space| self.replica.may_replicate(&peer, space))
            .collect();
        let mut beacons: Vec<_> = self.sign_beacon(addrs).into_iter().collect();
        beacons.extend(self.heard::<Beacon>(b"beacon/", |beacon| beacon.hlc)?);
        let own = self.sign_heads(&spaces);
        let mut heads = self.heard::<Head>(b"head/", |head| head.hlc)?;
        heads.retain(|head| head.value().device != peer && spaces.contains(&head.value().space));
        heads.truncate(HEADS);
        let me = self.device();
        let beacons = beacons
            .iter()
            .filter(|signed| signed.value().device != peer);
        let beacons = beacons.map(|signed| {
            let statement = gossip(BEACON, None, signed.raw().clone());
            (beacon_mark(signed.value()), false, statement)
        });
        let heads = own.iter().chain(&heads).map(|signed| {
            let head = signed.value();
            let statement = gossip(HEAD, Some(head.space), signed.raw().clone());
            (head_mark(head), head.device != me, statement)
        });
        Ok(beacons.chain(heads).collect())
    }

    fn told(&self, peer: &DeviceId) -> Result<BTreeSet<Mark>, RuntimeError> {
        let row = self.store.get(Table::Peers, &told_key(peer))?;
        let (marks, _) = row.as_deref().unwrap_or_default().as_chunks::<8>();
        Ok(marks.iter().copied().collect())
    }

    /// Notes that a peer has heard a greeting. Durable when it returns.
    ///
    /// `held_all` says that the peer held every space before it: then heads of
    /// others count as heard as well.
    pub fn note_told(
        &mut self,
        peer: &DeviceId,
        greeting: Greeting,
        held_all: bool,
    ) -> Result<(), RuntimeError> {
        let Greeting { mut marks, heads } = greeting;
        if held_all {
            marks.extend(heads);
        }
        if self.told(peer)? == marks {
            return Ok(());
        }
        let row = marks.into_iter().flatten().collect();
        Ok(self.store.commit(&Batch {
            puts: vec![(Table::Peers, told_key(peer), row)],
            ..Batch::default()
        })?)
    }

    /// Statements kept here that still count.
    fn heard<T: Statement>(
        &self,
        prefix: &[u8],
        stamp: impl Fn(&T) -> Hlc,
    ) -> Result<Vec<Signed<T>>, RuntimeError> {
        let (family, now) = (self.replica.family(), self.now());
        let mut heard = Vec::new();
        self.store.scan(Table::Peers, prefix, |_, row| {
            let raw = row.ok().and_then(|row| wire::decode_row(&row).ok());
            let signed = raw.and_then(|raw| Signed::<T>::verify(&family, raw).ok());
            heard.extend(signed.filter(|signed| {
                let live = self.replica.control().is_live(&signed.value().signer());
                live && is_current(stamp(signed.value()), now)
            }));
            ControlFlow::Continue(())
        })?;
        Ok(heard)
    }

    fn known<T: Statement + Clone>(&self, key: &[u8]) -> Result<Option<T>, RuntimeError> {
        let row = self.store.get(Table::Peers, key)?;
        let raw = row.and_then(|row| wire::decode_row(&row).ok());
        let signed = raw.and_then(|raw| Signed::<T>::verify(&self.replica.family(), raw).ok());
        Ok(signed.map(|signed| signed.value().clone()))
    }

    /// Takes a statement that a peer passed on, and has it passed on to others if it is news. Durable
    /// when it returns; what does not hold, or says nothing new, changes nothing.
    pub fn take_gossip(&mut self, from: DeviceId, heard: Gossip) -> Result<Passed, RuntimeError> {
        let row = wire::encode_row(&heard.raw).unwrap_or_default();
        let family = self.replica.family();
        let taken = match heard.kind {
            BEACON => match Signed::<Beacon>::verify(&family, heard.raw.clone()) {
                Ok(signed) => {
                    let beacon = signed.value();
                    // Of itself a device signs anew as it connects; what others pass on is older.
                    if beacon.device == from && self.replica.control().is_live(&from) {
                        self.compare_clocks(from, beacon.hlc)?;
                    }
                    self.weigh_beacon(beacon)?
                }
                Err(error) => return Ok(Passed::with(error)),
            },
            HEAD => match Signed::<Head>::verify(&family, heard.raw.clone()) {
                Ok(signed) if heard.space == Some(signed.value().space) => {
                    self.weigh_head(signed.value())?
                }
                Ok(_) => None,
                Err(error) => return Ok(Passed::with(error)),
            },
            // The proof of a fork, and what a later version says.
            _ => None,
        };
        let Some((key, pass_on)) = taken else {
            return Ok(Passed::Well);
        };
        self.store.commit(&Batch {
            puts: vec![(Table::Peers, key, row)],
            ..Batch::default()
        })?;
        if pass_on {
            self.news.push(News::Gossip(from, heard));
        }
        Ok(Passed::Well)
    }

    fn is_from_family(&self, signer: &DeviceId, hlc: Hlc) -> bool {
        let known = self.replica.control().is_live(signer);
        known && *signer != self.device() && is_current(hlc, self.now())
    }

    /// The row of a beacon to keep, and whether others are to hear of it.
    fn weigh_beacon(&self, beacon: &Beacon) -> Result<Option<(Vec<u8>, bool)>, RuntimeError> {
        if !self.is_from_family(&beacon.device, beacon.hlc) {
            return Ok(None);
        }
        let key = beacon_key(&beacon.device);
        let Some(known) = self.known::<Beacon>(&key)? else {
            return Ok(Some((key, true)));
        };
        let is_newer = beacon.is_newer_than(&known);
        let says_more = (&known.addrs, known.flags) != (&beacon.addrs, beacon.flags)
            || beacon.hlc.time().0 >= known.hlc.time().0.saturating_add(AGAIN_MS);
        Ok(is_newer.then_some((key, says_more)))
    }

    /// The same for a head.
    fn weigh_head(&self, head: &Head) -> Result<Option<(Vec<u8>, bool)>, RuntimeError> {
        let is_held = self.replica.logs_of(head.space).next().is_some();
        if !is_held || !self.is_from_family(&head.device, head.hlc) {
            return Ok(None);
        }
        let key = head_key(&head.device, &head.space);
        let known = self.known::<Head>(&key)?;
        let is_newer = known.as_ref().is_none_or(|known| head.is_newer_than(known));
        let says_more = known.is_none_or(|known| (known.inc, known.seq) != (head.inc, head.seq));
        Ok(is_newer.then_some((key, says_more)))
    }

    /// What the peer of a session said that is no entry and no blob.
    pub(super) fn note_said(&mut self, slot: &Slot, change: impl FnOnce(&mut Said)) {
        let said = self.said.entry(slot.session.peer()).or_default();
        change(said);
        self.news.push(News::Peers);
    }

    /// Where a device says it can be dialled, its best address first; none once that has expired.
    pub fn told_addresses(&self, device: &DeviceId) -> Result<Vec<Address>, RuntimeError> {
        let beacon = self.known::<Beacon>(&beacon_key(device))?;
        let beacon = beacon.filter(|beacon| is_current(beacon.hlc, self.now()));
        Ok(beacon.map(|beacon| beacon.addrs).unwrap_or_default())
    }

    /// All that is known of other devices by their own word.
    pub fn lore(&self) -> Result<Lore, RuntimeError> {
        let mut lore = Lore {
            said: self.said.clone(),
            ..Lore::default()
        };
        for signed in self.heard::<Beacon>(b"beacon/", |beacon| beacon.hlc)? {
            let beacon = signed.value();
            lore.beacons.insert(beacon.device, beacon.clone());
        }
        for signed in self.heard::<Head>(b"head/", |head| head.hlc)? {
            let head = signed.value();
            if self.replica.is_forked(&head.log()) {
                // It speaks of its own branch, whatever that is called here.
                continue;
            }
            let here = self.replica.log(&head.log());
            let here = here.map_or(0, LogState::end);
            let all = u64::from(head.seq) + 1;
            let lacking = all.saturating_sub(u64::from(here));
            if lacking > 0 {
                *lore.behind.entry(head.device).or_default() += lacking;
            }
        }
        Ok(lore)
    }
}
