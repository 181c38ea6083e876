//! One album's control entries: who may do what, which entries stand, its keys.

use std::collections::BTreeMap;

use super::{Control, Effect, Refusal, Replica, log_of, project::Standing};
use crate::{
    album::epoch::Epochs,
    crypto::EpochKind,
    id::{DeviceId, EntryId, LogId, OpId, PersonId, SpaceId},
    log::{entry::Entry, graph::Graph},
    op::{AlbumGenesis, Cut, Level, Op, Position, SetAccess},
    time::Hlc,
};

/// A change of access or a cut, as it stands in an entry.
#[derive(Clone, Debug)]
struct Act {
    op: OpId,
    entry: EntryId,
    hlc: Hlc,
    author: DeviceId,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Access(SetAccess),
    Cut(Cut),
    Keepers(Option<Vec<DeviceId>>),
    Close,
}

/// What this device knows of an album besides its assets.
pub struct AlbumSpace {
    genesis: AlbumGenesis,
    pub(super) graph: Graph,
    pub(super) epochs: Epochs,
    acts: Vec<Act>,
    levels: BTreeMap<PersonId, Level>,
    highest: BTreeMap<PersonId, Level>,
    lowered: Vec<EntryId>,
    /// The honoured length of each log that was cut.
    cuts: BTreeMap<DeviceId, BTreeMap<u64, Position>>,
    keepers: Option<Vec<DeviceId>>,
    closed: bool,
    witnessed: BTreeMap<LogId, u32>,
    left_behind: BTreeMap<LogId, u32>,
    removed: Vec<DeviceId>,
}

impl AlbumSpace {
    fn new(genesis: AlbumGenesis) -> Self {
        Self {
            genesis,
            graph: Graph::default(),
            epochs: Epochs::default(),
            acts: Vec::new(),
            levels: BTreeMap::new(),
            highest: BTreeMap::new(),
            lowered: Vec::new(),
            cuts: BTreeMap::new(),
            keepers: None,
            closed: false,
            witnessed: BTreeMap::new(),
            left_behind: BTreeMap::new(),
            removed: Vec::new(),
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
        self.levels.get(person).copied().unwrap_or(Level::None)
    }

    /// The highest level a person was ever validly given.
    pub fn highest_level(&self, person: &PersonId) -> Level {
        self.highest.get(person).copied().unwrap_or(Level::None)
    }

    /// Everyone who may read, and what more they may do.
    pub fn people(&self) -> impl Iterator<Item = (PersonId, Level)> + '_ {
        self.levels
            .iter()
            .filter(|(_, level)| **level > Level::None)
            .map(|(p, l)| (*p, *l))
    }

    /// Whether a person may read now.
    pub fn may_read(&self, person: &PersonId) -> bool {
        self.level(person) >= Level::Viewer
    }

    /// Whether a keeper holds this album.
    pub fn may_keep(&self, keeper: &DeviceId) -> bool {
        self.keepers
            .as_ref()
            .is_none_or(|named| named.contains(keeper))
    }

    /// Whether the album was closed for all.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn ever_read(&self, person: &PersonId) -> bool {
        self.highest_level(person) >= Level::Viewer
    }

    pub(super) fn lowered(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.lowered.iter().copied()
    }

    pub(super) fn minter_may(&self, control: &Control, minter: &DeviceId) -> bool {
        control
            .owner_of(minter)
            .is_some_and(|person| self.highest_level(&person) >= Level::Contributor)
    }

    pub(super) fn stands(&self, log: &LogId, seq: u32) -> Standing {
        if let Some(positions) = self.cuts.get(&log.device) {
            let honoured = positions
                .get(&log.inc)
                .is_some_and(|position| seq <= position.seq);
            return if honoured {
                Standing::Stands
            } else {
                Standing::Not
            };
        }
        if self.removed.contains(&log.device) {
            let witnessed = self.witnessed.get(log).is_some_and(|last| seq <= *last);
            return if witnessed {
                Standing::Stands
            } else {
                Standing::Unconfirmed
            };
        }
        Standing::Stands
    }

    pub(super) fn is_current(&self, log: &LogId, seq: u32) -> bool {
        self.left_behind.get(log).is_none_or(|last| seq <= *last)
    }

    fn note(&mut self, entry: &Entry, index: usize, op: &Op) {
        let header = entry.header();
        let what = match op {
            Op::SetAccess(set) => What::Access(set.clone()),
            Op::Cut(cut) => What::Cut(cut.clone()),
            Op::SetKeepers((keepers,)) => What::Keepers(keepers.clone()),
            Op::CloseAlbum(()) => What::Close,
            Op::Epoch(epoch) if epoch.kind == EpochKind::Album => {
                let mut seen = header.deps.clone();
                seen.extend([header.prev, entry.id()]);
                return self
                    .epochs
                    .add(header.space, header.device, entry.id(), seen, epoch);
            }
            Op::Seal(seal) => {
                return self
                    .epochs
                    .add_boxes(seal.epoch, header.device, &seal.seals);
            }
            Op::Anchor((positions,)) => {
                for witness in positions.iter().filter(|w| w.device != header.device) {
                    let log = LogId {
                        space: header.space,
                        device: witness.device,
                        inc: witness.position.inc,
                        branch: witness.branch,
                    };
                    let last = self.witnessed.entry(log).or_default();
                    *last = (*last).max(witness.position.seq);
                }
                return;
            }
            Op::NewIncarnation(left) => {
                let log = LogId {
                    inc: left.old.inc,
                    ..log_of(entry)
                };
                let last = self.left_behind.entry(log).or_insert(left.old.seq);
                *last = (*last).min(left.old.seq);
                return;
            }
            _ => return,
        };
        let op = entry.op_id(index);
        self.acts.push(Act {
            op,
            entry: entry.id(),
            hlc: header.hlc,
            author: header.device,
            what,
        });
    }

    /// Settles who may do what from all acts here.
    pub(super) fn settle(&mut self, control: &Control) {
        let creator = self.genesis.person;
        self.levels = BTreeMap::from([(creator, Level::Manager)]);
        self.highest = self.levels.clone();
        self.lowered.clear();
        self.cuts.clear();
        self.acts.sort_by_key(|act| (act.hlc, act.op));
        for act in &self.acts {
            let Some(author) = control.owner_of(&act.author) else {
                continue;
            };
            let may = self.levels.get(&author) == Some(&Level::Manager);
            match &act.what {
                What::Access(set) => {
                    let leaves = author == set.person && set.level == Level::None;
                    if (!may && !leaves) || set.person == creator {
                        continue;
                    }
                    let before = self
                        .levels
                        .insert(set.person, set.level)
                        .unwrap_or(Level::None);
                    let highest = self.highest.entry(set.person).or_insert(set.level);
                    *highest = (*highest).max(set.level);
                    if set.level < before {
                        self.lowered.push(act.entry);
                        set.cuts.iter().for_each(|cut| add_cut(&mut self.cuts, cut));
                    } else {
                        // Given back: what the person writes from here on counts again.
                        self.cuts
                            .retain(|device, _| control.owner_of(device) != Some(set.person));
                    }
                }
                What::Cut(cut) => {
                    let own = control.owner_of(&cut.device) == Some(author);
                    if may || own {
                        add_cut(&mut self.cuts, cut);
                    }
                }
                What::Keepers(keepers) if may => self.keepers.clone_from(keepers),
                What::Close if may => self.closed = true,
                What::Keepers(_) | What::Close => {}
            }
        }
        let resolution = control.resolution();
        self.levels
            .retain(|person, _| resolution.persons.contains_key(person));
        let gone = resolution.owners.keys().filter(|id| !control.is_live(id));
        self.removed = gone.copied().collect();
    }
}

fn add_cut(cuts: &mut BTreeMap<DeviceId, BTreeMap<u64, Position>>, cut: &Cut) {
    let logs = cuts.entry(cut.device).or_default();
    for position in &cut.positions {
        let there = logs.entry(position.inc).or_insert(*position);
        if position.seq < there.seq {
            *there = *position;
        }
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
    pub(super) fn accept_album(&mut self, entry: &Entry) -> Result<Vec<Effect>, Refusal> {
        let header = entry.header();
        let space = header.space;
        let log = log_of(entry);
        if header.is_control() {
            return self.accept_album_control(entry);
        }
        let album = self.albums.get(&space).ok_or(Refusal::Waiting)?;
        let Some(person) = self.control.owner_of(&header.device) else {
            return Err(Refusal::NotAMember);
        };
        if album.highest_level(&person) == Level::None {
            return Err(Refusal::Waiting);
        }
        match album.stands(&log, header.seq) {
            Standing::Not => Err(Refusal::Cut),
            Standing::Stands | Standing::Unconfirmed => Ok(vec![Effect::Project]),
        }
    }

    fn accept_album_control(&mut self, entry: &Entry) -> Result<Vec<Effect>, Refusal> {
        let header = entry.header();
        let space = header.space;
        let ops = entry.open(None).map_err(|_| Refusal::WrongSpace)?;
        let (in_album, in_control): (Vec<_>, Vec<_>) = header.deps.iter().partition(|id| {
            self.albums
                .get(&space)
                .is_some_and(|album| album.graph.contains(id))
        });
        if !self.control.knows(&in_control) {
            return Err(Refusal::Waiting);
        }
        if let Some(genesis) = starts(entry, &ops, &self.control) {
            self.albums
                .entry(space)
                .or_insert_with(|| AlbumSpace::new(genesis));
        }
        let Some(album) = self.albums.get_mut(&space) else {
            return Err(Refusal::Waiting);
        };
        let person = self.control.owner_of(&header.device);
        let is_keeper = person.is_none();
        if person.is_some_and(|person| album.highest_level(&person) == Level::None)
            && album.genesis.device != header.device
        {
            // An admin may cut a removed device's log in an album that nobody manages any more.
            return Err(Refusal::Waiting);
        }
        if album.stands(&log_of(entry), header.seq) == Standing::Not {
            return Err(Refusal::Cut);
        }
        let mut parents = in_album;
        parents.push(header.prev);
        let mut weighed = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            let Some(op) = op else { continue };
            if is_keeper && !matches!(op, Op::Anchor(_) | Op::Hold(_) | Op::NewIncarnation(_)) {
                continue;
            }
            album.note(entry, index, op);
            if op.is_weighed() {
                weighed.push(entry.op_id(index));
            }
        }
        let joins = ops.is_empty() && parents.len() > 2;
        album
            .graph
            .insert(entry.id(), &parents, &weighed, !weighed.is_empty() || joins);
        let before = (
            album.levels.clone(),
            album.highest.clone(),
            album.cuts.clone(),
        );
        album.settle(&self.control);
        let changed = before
            != (
                album.levels.clone(),
                album.highest.clone(),
                album.cuts.clone(),
            );
        let left_behind = ops
            .iter()
            .flatten()
            .any(|op| matches!(op, Op::NewIncarnation(_)));
        let opened = self.open_keys();
        let mut effects = vec![Effect::Album(space)];
        if changed || left_behind || opened.contains(&space) {
            effects.push(Effect::Rebuild(space));
        }
        Ok(effects)
    }

    /// Settles every album again after the family changed.
    pub(super) fn refresh_standing(&mut self) {
        for album in self.albums.values_mut() {
            album.settle(&self.control);
        }
    }
}
