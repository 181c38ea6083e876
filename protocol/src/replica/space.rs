//! One album's control entries: who may do what, which entries count, its keys.

mod endings;
mod own;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Control, Effect, Refusal, Replica, logs::Logs};
use crate::{
    album::{
        access::{Access, AccessOp, Act, Settled, Writer},
        drops::Range,
        epoch::Epochs,
    },
    crypto::EpochKind,
    family::resolver::{Owner, Resolution, Role},
    id::{DeviceId, EntryId, LogId, OpId, PersonId, SpaceId},
    limits,
    log::{
        entry::{Entry, Header},
        graph::Graph,
        standing::{Appended, Follows, Ledger, Link, Naming, Seen, Standing},
    },
    op::{AlbumGenesis, Level, Op, Position, Witness},
};

/// What a setting says, once it is known which one counts.
#[derive(Clone, Debug)]
enum Setting {
    Keepers(Option<Vec<DeviceId>>),
    /// Days.
    Retention(u16),
    Close,
}

/// What this device knows of an album besides its assets.
pub struct AlbumSpace {
    genesis: AlbumGenesis,
    pub(super) graph: Graph,
    pub(super) epochs: Epochs,
    ledger: Ledger,
    access: Access,
    settled: Settled,
    /// Something came that can change what is settled.
    pub(super) unsettled: bool,
    /// Where each op that was weighed stands.
    entries: BTreeMap<OpId, EntryId>,
    settings: BTreeMap<OpId, Setting>,
    /// Whom each op that takes all access away is about: the devices that the person had then.
    endings: BTreeMap<OpId, Vec<DeviceId>>,
    /// The device that each cut is about, and the family that its author knew.
    cuts: BTreeMap<OpId, (DeviceId, Option<Arc<Resolution>>)>,
    /// What each control entry had seen of the control space, its own past included.
    seen: BTreeMap<EntryId, Vec<EntryId>>,
    left_behind: BTreeMap<(DeviceId, u64), u32>,
    /// What each author anchored last of each log.
    anchored: BTreeMap<DeviceId, BTreeMap<LogId, EntryId>>,
    /// Entries that say nothing but what is there and kept: no news to anchor.
    quiet: BTreeSet<EntryId>,
    promises: Vec<Promise>,
    /// What this device noted for itself when somebody was removed, after its person was taken out of here.
    pub(super) noted: Option<(PersonId, BTreeSet<EntryId>)>,
}

/// A device's signed promise to keep blobs (`Hold`). It outlives whatever becomes of its author's
/// rights and of the blobs' references.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Promise {
    /// Who promised.
    pub by: DeviceId,
    /// Which blobs, by the names that peers know; at most [`limits::HOLD_RANGES`].
    pub ranges: Vec<Range>,
    /// Until when, Unix milliseconds, as its author says.
    pub until: u64,
}

impl Promise {
    /// Whether it is about a blob.
    pub fn covers(&self, log: &LogId, ordinal: u32) -> bool {
        let mut ranges = self.ranges.iter();
        ranges.any(|range| range.log == *log && (range.from..range.to).contains(&ordinal))
    }
}

/// How far a person's word in an entry counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Voice {
    pub(super) person: PersonId,
    /// The highest level whose ops count.
    pub(super) level: Level,
    /// What it adds is shown although nothing above `level` counts.
    pub(super) adds: bool,
}

impl AlbumSpace {
    fn new(genesis: AlbumGenesis, control: &Control) -> Self {
        let access = Access::new(genesis.person);
        let ledger = Ledger::default();
        let settled = access.settle(&ledger, control.resolution());
        Self {
            genesis,
            graph: Graph::default(),
            epochs: Epochs::default(),
            ledger,
            access,
            settled,
            unsettled: false,
            entries: BTreeMap::new(),
            settings: BTreeMap::new(),
            endings: BTreeMap::new(),
            cuts: BTreeMap::new(),
            seen: BTreeMap::new(),
            left_behind: BTreeMap::new(),
            anchored: BTreeMap::new(),
            quiet: BTreeSet::new(),
            promises: Vec::new(),
            noted: None,
        }
    }

    /// The album's first op.
    pub fn genesis(&self) -> &AlbumGenesis {
        &self.genesis
    }

    /// The control entries in an order in which each follows what it names.
    pub fn control_entries(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.graph.entries()
    }

    /// What a person may do now.
    pub fn level(&self, person: &PersonId) -> Level {
        self.settled.level(person)
    }

    /// What was said of a person by those who might, whether or not it counts now.
    pub(super) fn said_level(&self, person: &PersonId) -> Level {
        self.access.said_level(person)
    }

    /// The highest level a person was ever validly given.
    pub fn highest_level(&self, person: &PersonId) -> Level {
        let highest = self.settled.highest.get(person).copied();
        highest.unwrap_or(Level::None)
    }

    /// Everyone who may read, and what more they may do.
    pub fn people(&self) -> impl Iterator<Item = (PersonId, Level)> + '_ {
        self.settled.levels.iter().map(|(p, l)| (*p, *l))
    }

    /// Whether a person may read now.
    pub fn may_read(&self, person: &PersonId) -> bool {
        self.level(person) >= Level::Viewer
    }

    /// Whether a keeper holds this album.
    pub fn may_keep(&self, keeper: &DeviceId) -> bool {
        let setting = self.settled.keepers.and_then(|op| self.settings.get(&op));
        match setting {
            Some(Setting::Keepers(Some(named))) => named.contains(keeper),
            _ => true,
        }
    }

    /// For how many days the album keeps what was trashed, where it says so itself.
    pub fn retention(&self) -> Option<u16> {
        let setting = self.settled.retention.and_then(|op| self.settings.get(&op));
        match setting {
            Some(Setting::Retention(days)) => Some(*days),
            _ => None,
        }
    }

    /// The promises to keep blobs, past ones included, in the order in which they came.
    pub fn promises(&self) -> &[Promise] {
        &self.promises
    }

    /// Whether the album was closed for all.
    pub fn is_closed(&self) -> bool {
        let setting = self.settled.closed.and_then(|op| self.settings.get(&op));
        matches!(setting, Some(Setting::Close))
    }

    /// Whether an entry counts for ops that need a level of its author.
    pub fn standing(&self, control: &Control, entry: &EntryId, need: Level) -> Standing {
        let family = control.resolution();
        self.settled.standing(&self.ledger, family, entry, need)
    }

    /// Whether what a device writes next in a log would not count: it was let in again.
    fn cuts_next(&self, control: &Control, device: &DeviceId, inc: u64, level: Level) -> bool {
        let (ledger, family) = (&self.ledger, control.resolution());
        let standing = |last| self.settled.standing_after(ledger, family, &last, level);
        let next = ledger.last(device, inc).map(standing);
        matches!(next, Some(Standing::Cut | Standing::Unconfirmed))
    }

    pub(super) fn ever_read(&self, person: &PersonId) -> bool {
        self.highest_level(person) >= Level::Viewer
    }

    /// The entries of the losses of access that count.
    pub(super) fn lowered(&self) -> impl Iterator<Item = EntryId> + '_ {
        let lowered = self.settled.lowered.iter();
        lowered.filter_map(|op| self.entries.get(op).copied())
    }

    pub(super) fn minter_may(&self, control: &Control, minter: &DeviceId) -> bool {
        control
            .owner_of(minter)
            .is_some_and(|person| self.highest_level(&person) >= Level::Contributor)
    }

    /// How far what an entry says counts, keepers apart.
    pub(super) fn voice(&self, control: &Control, entry: &Entry) -> Option<Voice> {
        let person = control.owner_of(&entry.header().device)?;
        let stands = |need| self.standing(control, &entry.id(), need);
        let levels = [Level::Manager, Level::Contributor, Level::Viewer];
        let level = levels
            .into_iter()
            .find(|need| stands(*need) == Standing::Stands);
        let level = level.unwrap_or(Level::None);
        let adds = level < Level::Contributor
            && matches!(
                stands(Level::Contributor),
                Standing::Unconfirmed | Standing::Own
            );
        (level > Level::None || adds).then_some(Voice {
            person,
            level,
            adds,
        })
    }

    /// Whether an entry is not above the place where its device left its log behind.
    pub(super) fn is_current(&self, header: &Header) -> bool {
        let last = self.left_behind.get(&(header.device, header.inc));
        last.is_none_or(|last| header.seq <= *last)
    }

    /// Whether a device has said that it left one of its logs behind.
    pub(super) fn is_left_behind(&self, device: &DeviceId, inc: u64) -> bool {
        self.left_behind.contains_key(&(*device, inc))
    }

    /// Puts an entry in its place among the others; says whether its log forked by it.
    fn append(
        &mut self,
        control: &Control,
        header: &Header,
        id: EntryId,
        cert: Option<OpId>,
    ) -> bool {
        let follows = match cert {
            Some(cert) => Follows::Certificate(cert),
            None => Follows::Entry(header.prev),
        };
        let link = Link {
            device: header.device,
            inc: header.inc,
            entry: id,
            follows,
        };
        let forked = self.ledger.append(link) == Appended::Forked;
        if cert.is_some() {
            self.settled.keep_up(&self.ledger, control.resolution());
        }
        // What was named before it came is witnessed from now on, with all that lies below it.
        self.unsettled |= forked | self.ledger.was_awaited(&id);
        forked
    }

    /// Puts what a store kept in its place, before the control entries are replayed.
    fn restore(&mut self, logs: &Logs, space: SpaceId, control: &Control) {
        let mut branches: Vec<_> = logs.of_space(space).collect();
        branches.sort_by_key(|(log, state)| (log.device, log.inc, state.first));
        for (log, state) in branches {
            let mut follows = match state.first {
                0 => match control.cert_named(space, log.device, log.inc, state.after) {
                    Some(cert) => Follows::Certificate(cert),
                    None => continue,
                },
                _ => Follows::Entry(state.after),
            };
            for step in &state.chain {
                let link = Link {
                    device: log.device,
                    inc: log.inc,
                    entry: step.id,
                    follows,
                };
                self.ledger.append(link);
                follows = Follows::Entry(step.id);
            }
        }
        self.unsettled = true;
    }

    /// Notes that an entry names another of a device, and what its author had seen by then.
    fn name(
        &mut self,
        by: EntryId,
        (how, named): (Naming, EntryId),
        device: &DeviceId,
        past: &Past,
    ) {
        let seen = Seen {
            is_removed: past.has_lost(device),
            ops: past.heads.clone(),
        };
        self.ledger.name(by, how, named, seen);
        self.unsettled = true;
    }

    /// Takes an op that is not weighed.
    fn note(&mut self, entry: &Entry, op: &Op, past: &Past) {
        let header = entry.header();
        match op {
            Op::Epoch(epoch) if epoch.kind == EpochKind::Album => {
                let mut seen = header.deps.clone();
                seen.extend([header.prev, entry.id()]);
                self.epochs
                    .add(header.space, header.device, entry.id(), seen, epoch);
            }
            Op::Seal(seal) => self
                .epochs
                .add_boxes(seal.epoch, header.device, &seal.seals),
            Op::Anchor((positions,)) => {
                for witness in positions.iter().filter(|w| w.device != header.device) {
                    let log = LogId {
                        space: header.space,
                        device: witness.device,
                        inc: witness.position.inc,
                        branch: witness.branch,
                    };
                    let named = witness.position.entry;
                    let anchored = self.anchored.entry(header.device).or_default();
                    anchored.insert(log, named);
                    let naming = (Naming::Anchor, named);
                    self.name(entry.id(), naming, &witness.device, past);
                }
            }
            Op::Hold(hold) => {
                let ranges = hold.ranges.iter().take(limits::HOLD_RANGES);
                let ranges = ranges.map(|range| Range {
                    log: LogId {
                        space: header.space,
                        device: range.device,
                        inc: range.inc,
                        branch: range.branch,
                    },
                    from: range.from,
                    to: range.to.min(limits::LOG_BLOBS),
                });
                self.promises.push(Promise {
                    by: header.device,
                    ranges: ranges.collect(),
                    until: hold.until,
                });
            }
            Op::NewIncarnation(left) => {
                let left_behind = (header.device, left.old.inc);
                let last = self.left_behind.entry(left_behind).or_insert(left.old.seq);
                *last = (*last).min(left.old.seq);
            }
            _ => {}
        }
    }

    /// What these entries had seen of the control space.
    fn seen_by<'a>(&'a self, entries: &'a [EntryId]) -> impl Iterator<Item = EntryId> + 'a {
        let seen = entries.iter().filter_map(|entry| self.seen.get(entry));
        seen.flatten().copied()
    }

    /// Takes what a keeper may say.
    fn take_keepers(
        &mut self,
        entry: &Entry,
        ops: &[Option<Op>],
        parents: &[EntryId],
        past: &Past,
    ) {
        for op in ops.iter().flatten() {
            if matches!(op, Op::Anchor(_) | Op::Hold(_) | Op::NewIncarnation(_)) {
                self.note(entry, op, past);
            }
        }
        self.graph.insert(entry.id(), parents, &[], false);
    }

    /// Takes the ops of a control entry of a person's device.
    fn take(&mut self, entry: &Entry, ops: &[Option<Op>], parents: &[EntryId], mut past: Past) {
        for dep in parents.iter().filter(|dep| **dep != entry.header().prev) {
            if let Some(device) = self.ledger.device(dep) {
                self.name(entry.id(), (Naming::Deps, *dep), &device, &past);
            }
        }
        let mut weighed = Vec::new();
        let mut is_head = ops.is_empty() && parents.len() > 2;
        for (index, op) in ops.iter().enumerate() {
            let Some(op) = op else { continue };
            self.note(entry, op, &past);
            is_head |= op.is_weighed();
            let id = entry.op_id(index);
            let Some((writer, act)) = past.writer.zip(self.act(id, op, &past)) else {
                continue;
            };
            self.access.insert(AccessOp {
                id,
                entry: entry.id(),
                writer,
                parents: std::mem::replace(&mut past.parents, vec![id]),
                act,
            });
            self.entries.insert(id, entry.id());
            self.unsettled = true;
            weighed.push(id);
        }
        self.graph.insert(entry.id(), parents, &weighed, is_head);
    }

    /// What an op says of access; `None` for one that is not about that.
    fn act(&mut self, id: OpId, op: &Op, past: &Past) -> Option<Act> {
        let act = match op {
            Op::SetAccess(set) => {
                if set.level == Level::None {
                    self.endings.insert(id, past.devices_of(&set.person));
                }
                Act::Set {
                    person: set.person,
                    added: past.added(&set.person),
                    level: set.level,
                    cuts: set.cuts.clone(),
                }
            }
            Op::SetKeepers((keepers,)) => {
                self.settings.insert(id, Setting::Keepers(keepers.clone()));
                Act::Keepers
            }
            Op::Retention((days,)) => {
                self.settings.insert(id, Setting::Retention(*days));
                Act::Retention
            }
            Op::CloseAlbum(()) => {
                self.settings.insert(id, Setting::Close);
                Act::Close
            }
            Op::Cut(cut) => {
                self.cuts.insert(id, (cut.device, past.family.clone()));
                Act::Cut {
                    person: past.owner(&cut.device),
                    cut: cut.clone(),
                }
            }
            _ => return None,
        };
        Some(act)
    }

    /// Whether this space is for an author at all: else an entry waits, maybe for a grant.
    fn is_open_to(
        &self,
        control: &Control,
        header: &Header,
        ops: &[Option<Op>],
        past: &Past,
    ) -> bool {
        let mut persons = control.claimed_by(&header.device).peekable();
        if persons.peek().is_none() {
            return true;
        }
        // An admin may cut a removed device's log in an album that nobody manages any more.
        let only_cuts = ops.iter().all(|op| matches!(op, Some(Op::Cut(_))));
        persons.any(|person| self.settled.was_let_in(&person))
            || self.genesis.device == header.device
            || (only_cuts && past.is_admin(&header.device))
    }

    /// Where the logs of others end, as far as this author has not anchored them.
    pub(super) fn to_anchor(&self, logs: &Logs, space: SpaceId, author: DeviceId) -> Vec<Witness> {
        let anchored = self.anchored.get(&author);
        let others = logs.of_space(space).filter(|(log, _)| log.device != author);
        let ends = others.filter_map(|(log, state)| {
            let (seq, entry) = state.head()?;
            let last = anchored.and_then(|anchored| anchored.get(log));
            let new = state
                .chain
                .iter()
                .rev()
                .take_while(|step| Some(&step.id) != last);
            let is_news = new.into_iter().any(|step| !self.quiet.contains(&step.id));
            let position = Position {
                inc: log.inc,
                seq,
                entry,
            };
            is_news.then_some(Witness {
                device: log.device,
                branch: log.branch,
                position,
            })
        });
        ends.collect()
    }

    /// Settles who may do what and which entries count; says whether entries that were here count
    /// otherwise than before.
    pub(super) fn settle(&mut self, control: &Control) -> bool {
        let settled = self.settle_as_noted(control.resolution());
        let changed = settled.counts_otherwise(&self.settled);
        self.settled = settled;
        self.unsettled = false;
        changed
    }

    /// What was noted counts only as far as it keeps its person out: among those who are in, all see the same.
    /// Whoever lets them in again is heard, also where they know nothing of what is noted.
    fn settle_as_noted(&mut self, family: &Resolution) -> Settled {
        self.ledger.note(BTreeSet::new());
        let plain = self.access.settle(&self.ledger, family);
        let Some((person, noted)) = &self.noted else {
            return plain;
        };
        let ends: Vec<_> = noted.iter().copied().collect();
        let past = self.graph.past(&ends);
        let mut grants = self.access.grants_to(person);
        let is_later = |op: OpId| {
            let entry = self.entries.get(&op);
            plain.accepted.contains(&op) && entry.is_some_and(|entry| !past.contains(entry))
        };
        if plain.level(person) > Level::None && grants.any(is_later) {
            return plain;
        }
        self.ledger.note(noted.clone());
        let settled = self.access.settle(&self.ledger, family);
        if settled.level(person) == Level::None {
            return settled;
        }
        self.ledger.note(BTreeSet::new());
        plain
    }
}

/// The family as a control entry of an album had seen it.
struct Past {
    family: Option<Arc<Resolution>>,
    /// `None` for a keeper, and for a device that was not live then: its ops are not weighed.
    writer: Option<Writer>,
    /// The ops of the album before it.
    parents: Vec<OpId>,
    /// The same, for what it names.
    heads: Arc<[OpId]>,
}

impl Past {
    fn of(family: Option<Arc<Resolution>>, device: DeviceId, parents: Vec<OpId>) -> Self {
        let writer = family.as_ref().and_then(|family| {
            let standing = family.devices.get(&device)?;
            let person = standing.person?;
            Some(Writer {
                device,
                person,
                added: family.persons.get(&person)?.added,
                level: standing.level,
                cert: standing.cert,
            })
        });
        Self {
            family,
            writer,
            heads: parents.as_slice().into(),
            parents,
        }
    }

    fn added(&self, person: &PersonId) -> Option<OpId> {
        Some(self.family.as_ref()?.persons.get(person)?.added)
    }

    fn devices_of(&self, person: &PersonId) -> Vec<DeviceId> {
        let devices = self.family.iter().flat_map(|family| &family.devices);
        let theirs = devices.filter(|(_, standing)| standing.person == Some(*person));
        theirs.map(|(device, _)| *device).collect()
    }

    fn owner(&self, device: &DeviceId) -> Option<PersonId> {
        match self.family.as_ref()?.owners.get(device)? {
            Owner::Device(person) => Some(*person),
            Owner::Kit(_) | Owner::Keeper => None,
        }
    }

    /// Whether the family had removed a device of its own.
    fn has_lost(&self, device: &DeviceId) -> bool {
        let family = self.family.as_ref();
        family.is_some_and(|family| {
            family.owners.contains_key(device) && !family.devices.contains_key(device)
        })
    }

    fn is_admin(&self, device: &DeviceId) -> bool {
        let family = self.family.as_ref();
        family.and_then(|family| family.role_of_device(device)) == Some(Role::Admin)
    }
}

/// The album that a first entry starts, if it may.
fn starts(entry: &Entry, ops: &[Option<Op>], control: &Control) -> Option<AlbumGenesis> {
    let header = entry.header();
    let Some(Some(Op::AlbumGenesis(genesis))) = ops.first() else {
        return None;
    };
    let sound = header.seq == 0
        && header.space == album_id(genesis)
        && header.device == genesis.device
        && control.owner_of(&genesis.device) == Some(genesis.person);
    sound.then(|| genesis.clone())
}

/// An album's id: BLAKE3 of its first op's bytes, cut to 16.
pub(super) fn album_id(genesis: &AlbumGenesis) -> SpaceId {
    let hash = blake3::hash(&crate::wire::encode(genesis));
    let mut id = [0; 16];
    id.copy_from_slice(&hash.as_bytes()[..16]);
    SpaceId(id)
}

impl Replica {
    pub(super) fn accept_album(
        &mut self,
        entry: &Entry,
        cert: Option<OpId>,
    ) -> Result<Vec<Effect>, Refusal> {
        let header = entry.header();
        let space = header.space;
        if header.is_control() {
            let mut anew = self.take_album_control(entry, cert, false)?;
            anew |= self.settle_album(space);
            let mut effects = vec![Effect::Album(space)];
            if anew {
                effects.push(Effect::Rebuild(space));
            }
            return Ok(effects);
        }
        let album = self.albums.get_mut(&space).ok_or(Refusal::Waiting)?;
        let mut persons = self.control.claimed_by(&header.device).peekable();
        if persons.peek().is_none() {
            return Err(Refusal::NotAMember);
        }
        if !persons.any(|person| album.settled.was_let_in(&person)) {
            return Err(Refusal::Waiting);
        }
        // What lies above a cut is kept like all else: the cut may turn out not to count.
        let mut anew = album.append(&self.control, header, entry.id(), cert);
        anew |= album.unsettled && album.settle(&self.control);
        let mut effects = vec![Effect::Project];
        if anew {
            effects.push(Effect::Rebuild(space));
        }
        Ok(effects)
    }

    /// Takes an album's control entry in; nothing is settled by it yet.
    ///
    /// Says whether entries that were here can be read now, or may count
    /// otherwise because their log forked or was left behind. `was_taken` says that the entry
    /// was accepted before.
    pub(super) fn take_album_control(
        &mut self,
        entry: &Entry,
        cert: Option<OpId>,
        was_taken: bool,
    ) -> Result<bool, Refusal> {
        let header = entry.header();
        let space = header.space;
        let ops = entry.open(None).map_err(|_| Refusal::WrongSpace)?;
        let album = self.albums.get(&space);
        let is_here = |id: &EntryId| album.is_some_and(|album| album.graph.contains(id));
        let (mut parents, mut seen): (Vec<_>, Vec<_>) =
            header.deps.iter().copied().partition(is_here);
        if !self.control.knows(&seen) {
            return Err(Refusal::Waiting);
        }
        parents.push(header.prev);
        let earlier = album.into_iter().flat_map(|album| album.seen_by(&parents));
        seen.extend(earlier);
        let seen = self.control.latest(seen);
        let family = self.control.family_at(&seen);
        if album.is_none() {
            let genesis = starts(entry, &ops, &self.control).ok_or(Refusal::Waiting)?;
            let mut album = AlbumSpace::new(genesis, &self.control);
            album.restore(&self.logs, space, &self.control);
            self.albums.insert(space, album);
        }
        let control = &self.control;
        let album = self.albums.get_mut(&space).ok_or(Refusal::Waiting)?;
        let past = Past::of(family, header.device, album.graph.frontier(&parents));
        if !was_taken && !album.is_open_to(control, header, &ops, &past) {
            return Err(Refusal::Waiting);
        }
        let forked = album.append(control, header, entry.id(), cert);
        album.seen.insert(entry.id(), seen);
        if ops
            .iter()
            .all(|op| matches!(op, Some(Op::Anchor(_) | Op::Hold(_))))
        {
            album.quiet.insert(entry.id());
        }
        if control.claimed_by(&header.device).next().is_some() {
            album.take(entry, &ops, &parents, past);
        } else {
            album.take_keepers(entry, &ops, &parents, &past);
        }
        let opened = self.open_keys().contains(&space);
        let left_behind = ops
            .iter()
            .flatten()
            .any(|op| matches!(op, Op::NewIncarnation(_)));
        Ok(opened || left_behind || forked)
    }

    /// Whether this device's log in an album was cut before the person was let in again, so that
    /// it has to go on in a new incarnation.
    pub fn is_own_log_cut(&self, space: &SpaceId) -> bool {
        let Some((album, person)) = self.albums.get(space).zip(self.person()) else {
            return false;
        };
        let level = album.level(&person);
        level > Level::None
            && album.cuts_next(&self.control, &self.device(), self.incarnation, level)
    }

    /// Settles what came to an album; says whether entries that were here count otherwise.
    fn settle_album(&mut self, space: SpaceId) -> bool {
        let album = self.albums.get_mut(&space);
        album.is_some_and(|album| album.unsettled && album.settle(&self.control))
    }

    /// Settles every album after [`Self::replay`].
    pub fn settle(&mut self) {
        let spaces: Vec<_> = self.albums.keys().copied().collect();
        for space in spaces {
            self.settle_with_own(space);
        }
    }

    /// Settles every album again after the family changed; names those whose entries count otherwise.
    pub(super) fn refresh_standing(&mut self) -> Vec<SpaceId> {
        let control = &self.control;
        let albums = self.albums.iter_mut();
        let changed = albums.filter_map(|(space, album)| album.settle(control).then_some(*space));
        changed.collect()
    }
}
