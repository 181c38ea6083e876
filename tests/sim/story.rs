//! The life of a family: what its people do, and what happens to their devices.
//!
//! Each seed switches a random half of the habits and of the faults off, so that
//! one does not hide another.

use std::{collections::BTreeSet, sync::Arc};

use heirloom_protocol::{
    crypto::{BlobKey, Class, RecoveryKit},
    id::{BlobId, DeviceId, OpId, PersonId, PlainHash, SpaceId},
    log::entry::BlobLine,
    op::{
        AddBlob, AddItem, AlbumUse, Captured, Comment, Field, ItemKind, Items, Level, Op, Part,
        PartRole, React, Role, SetAlbum, SetField, Subject, Tag, Untag,
    },
    replica::{Recorded, Refusal, Replica, WriteError},
    time::Timestamp,
};

use crate::{
    blobs::encrypt,
    dice::Dice,
    fate::MONTH,
    join::Joins,
    world::{Event, Job, Then, Todo, World},
};

/// What a person says, before it is an entry.
#[derive(Clone)]
pub(crate) enum Said {
    Tend,
    Anchor,
    Control(Vec<Op>),
    Name(Subject, String),
    Removal(Op),
    Access(SpaceId, PersonId, Level),
    Album(SpaceId, Vec<Op>, Vec<BlobLine>),
    NewAlbum(String, AlbumUse),
    Kit(Arc<RecoveryKit>, u64),
}

/// What a person says and the blobs it names.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) said: Said,
    blobs: Vec<(BlobId, Arc<[u8]>)>,
}

impl Draft {
    pub(crate) fn new(said: Said) -> Self {
        let blobs = Vec::new();
        Self { said, blobs }
    }

    pub(crate) fn tend() -> Self {
        Self::new(Said::Tend)
    }

    pub(crate) fn blob_ids(&self) -> Vec<BlobId> {
        self.blobs.iter().map(|(id, _)| *id).collect()
    }
}

/// What the family does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Habits {
    pub(crate) edits: bool,
    pub(crate) trash: bool,
    pub(crate) thumbs: bool,
    pub(crate) albums: bool,
    pub(crate) share: bool,
    pub(crate) unshare: bool,
    pub(crate) roles: bool,
    pub(crate) remove_device: bool,
    pub(crate) remove_person: bool,
    pub(crate) keepers: bool,
    pub(crate) kits: bool,
    pub(crate) names: bool,
    pub(crate) oversize: bool,
    pub(crate) pairing: bool,
    pub(crate) devices: usize,
    /// Sabotage: says of itself that nobody takes a right away.
    pub(crate) feigned: bool,
}

impl Habits {
    pub(crate) fn roll(dice: &mut Dice) -> Self {
        Self {
            edits: dice.permille(750),
            trash: dice.coin(),
            thumbs: dice.coin(),
            albums: dice.permille(750),
            share: dice.permille(750),
            unshare: dice.coin(),
            roles: dice.coin(),
            remove_device: dice.coin(),
            remove_person: dice.coin(),
            keepers: dice.coin(),
            kits: dice.coin(),
            names: dice.coin(),
            oversize: dice.permille(200),
            pairing: dice.coin(),
            devices: usize::try_from(dice.range(3, 9)).expect("few"),
            feigned: false,
        }
    }
}

impl Habits {
    /// Whether nobody in this family takes a right away from anybody.
    pub(crate) fn is_calm(&self) -> bool {
        self.feigned || !(self.unshare || self.roles || self.remove_device || self.remove_person)
    }
}

impl World {
    /// One step of the story, and of fate.
    pub(crate) fn story_step(&mut self) {
        self.story_left = self.story_left.saturating_sub(1);
        self.fate();
        if self.story_left.is_multiple_of(8)
            && let Err(what) = crate::check::forks::as_it_goes(self)
        {
            self.fail(what);
        }
        let at = self.dice.index(self.seats.len());
        if self.seats[at].device.is_member() {
            self.person_acts(at);
        }
        let pause = match self.dice.below(20) {
            0 => self.dice.range(10_000, 90_000),
            1..5 => self.dice.range(1_000, 10_000),
            _ => self.dice.range(0, 1_000),
        };
        if self.story_left > 0 {
            self.after(pause, Event::Story);
        }
    }

    pub(crate) fn person_acts(&mut self, at: usize) {
        if self.seats[at].full || !self.seats[at].device.is_whole() {
            return;
        }
        if self.seats.len() < self.habits.devices && self.dice.permille(250) {
            let joins = self.who_joins(at);
            return self.join(at, joins);
        }
        let draft = match self.dice.below(100) {
            0..35 => self.imports(at),
            35..60 => self.edits(at),
            60..66 => self.makes_album(),
            66..76 => self.shares(at),
            76..80 => self.lowers(at),
            80..84 => self.changes_role(at),
            84..87 => self.removes(at),
            87..90 => self.renames(at),
            90..92 => self.changes_kit(at),
            92..95 => self.adds_thumbnail(at),
            95..97 => Some(Draft::new(Said::Anchor)),
            _ => self.says_too_much(at),
        };
        let Some(draft) = draft else { return };
        if draft.blobs.is_empty() {
            self.seats[at].inbox_push(Todo::Say(Box::new(draft)));
            self.wake(at);
        } else {
            for (id, bytes) in &draft.blobs {
                let disk = &mut self.seats[at].device.disk;
                disk.put_blob(*id, bytes.clone());
            }
            self.write_blobs(at, Job::Say(Box::new(draft)));
        }
    }

    fn who_joins(&mut self, at: usize) -> Joins {
        match self.dice.below(10) {
            0..5 => {
                let roles = [Role::Viewer, Role::Member, Role::Admin];
                let role = *self.dice.pick(&roles).expect("three");
                Joins::Person(PersonId(half(&self.dice.seed())), role)
            }
            5 | 6 if self.habits.keepers => Joins::Keeper,
            _ => match self.seats[at].device.replica().person() {
                Some(person) => Joins::Device(person),
                None => Joins::Keeper,
            },
        }
    }

    /// Says something on a device, and writes it.
    pub(crate) fn speak(&mut self, at: usize, draft: &Draft) {
        let now = self.moment(at);
        let said = draft.said.clone();
        if let Said::Access(space, person, level) = &said {
            let (space, person) = (*space, *person);
            let device = &self.seats[at].device;
            let album = device.replica().album(&space);
            if album.is_some_and(|album| album.level(&person) > *level) {
                self.ledger.lowered.insert((space, person));
            }
        }
        if let Said::Album(space, ..) | Said::Access(space, ..) = &said {
            self.seats[at].device.renew_if_cut(space);
        }
        if matches!(said, Said::Anchor | Said::Removal(_)) {
            for space in self.seats[at].device.albums() {
                self.seats[at].device.renew_if_cut(&space);
            }
        }
        let result = self.seats[at]
            .device
            .say(now, |replica, now, rng| match said {
                Said::Tend => replica.tend(now, rng),
                Said::Anchor => anchor(replica, now),
                Said::Control(ops) => replica.record_control(ops, now),
                Said::Name(subject, name) => replica.record_names(&[(subject, &name)], now, rng),
                Said::Removal(op) => remove(replica, op, now, rng),
                Said::Access(space, person, level) => {
                    replica.record_access(space, person, level, now, rng)
                }
                Said::Album(space, ops, lines) => {
                    replica.record(space, ops, lines, Vec::new(), now, rng)
                }
                Said::NewAlbum(name, purpose) => {
                    let made = replica.record_album(&name, purpose, now, rng);
                    made.map(|(_, recorded)| recorded)
                }
                Said::Kit(kit, incarnation) => {
                    replica.record_recovery(None, &kit, incarnation, now, rng)
                }
            });
        match result {
            Ok(stage) if stage.records.is_empty() => {}
            Ok(stage) => {
                self.note(at, &format_args!("says {}", draft.said.word()));
                match &draft.said {
                    Said::Removal(_) => self.counts.removals += 1,
                    Said::Album(_, ops, _) if matches!(ops[..], [Op::Trash(_)]) => {
                        self.counts.trashed += 1;
                    }
                    _ => {}
                }
                self.commit(at, stage, Then::Ack);
            }
            Err(error) => {
                self.note(
                    at,
                    &format_args!("cannot say {}: {error}", draft.said.word()),
                );
                if let WriteError::Refused(refusal) = error
                    && refusal != Refusal::NotAMember
                    && !self.seats[at].device.bad
                {
                    let label = self.seats[at].device.label.clone();
                    self.fail(format!("{label}: its own entry is refused: {refusal}"));
                }
                if let Err(what) = self.seats[at].device.memory_is_on_disk() {
                    let word = draft.said.word();
                    self.fail(format!("after it could not say {word} ({error}): {what}"));
                    self.crash(at);
                }
            }
        }
    }

    /// The albums in which a device may do as much.
    pub(crate) fn writable(&self, at: usize, level: Level) -> Vec<SpaceId> {
        let device = &self.seats[at].device;
        let albums = device.replica().albums().map(|(space, _)| *space);
        albums
            .filter(|space| device.level(space) >= level)
            .collect()
    }

    fn imports(&mut self, at: usize) -> Option<Draft> {
        let spaces = self.writable(at, Level::Contributor);
        let space = *self.dice.pick(&spaces)?;
        let count = self.dice.range(1, 4);
        let (mut ops, mut lines, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let plain = self.picture();
            let key = BlobKey::from_bytes(self.dice.seed());
            let (line, bytes) = encrypt(&plain, Class::Original, &key);
            let part = Part {
                role: PartRole::Still,
                name: "picture.jpg".into(),
                len: u64::try_from(plain.len()).expect("small"),
                pt_hash: PlainHash(*blake3::hash(&plain).as_bytes()),
                key,
                blob: u32::try_from(lines.len()).expect("few"),
            };
            ops.push(Op::AddItem(AddItem {
                kind: ItemKind::Photo,
                media: 1,
                captured: Captured::default(),
                width: 4,
                height: 3,
                duration_ms: 0,
                place: None,
                camera: None,
                parts: vec![part],
            }));
            blobs.push((line.id, bytes));
            lines.push(line);
        }
        let said = Said::Album(space, ops, lines);
        Some(Draft { said, blobs })
    }

    /// A small picture that nobody else has.
    fn picture(&mut self) -> Vec<u8> {
        let words = self.dice.range(1, 30);
        (0..words)
            .flat_map(|_| self.dice.next().to_le_bytes())
            .collect()
    }

    fn an_item(&mut self, at: usize, level: Level) -> Option<(SpaceId, OpId)> {
        let spaces: BTreeSet<_> = self.writable(at, level).into_iter().collect();
        let catalog = &self.seats[at].device.disk.catalog;
        let items: Vec<_> = catalog
            .assets
            .iter()
            .filter(|((space, _), asset)| spaces.contains(space) && asset.added.is_some())
            .map(|(key, _)| *key)
            .collect();
        self.dice.pick(&items).copied()
    }

    fn adds_thumbnail(&mut self, at: usize) -> Option<Draft> {
        if !self.habits.thumbs {
            return None;
        }
        let (space, item) = self.an_item(at, Level::Contributor)?;
        let plain = self.picture();
        let key = BlobKey::from_bytes(self.dice.seed());
        let (line, bytes) = encrypt(&plain, Class::Thumbnail, &key);
        let made = AddBlob {
            item,
            len: u64::try_from(plain.len()).expect("small"),
            width: 2,
            height: 2,
            pt_hash: PlainHash(*blake3::hash(&plain).as_bytes()),
            key,
            thumbhash: vec![1; 25],
            blob: 0,
        };
        Some(Draft {
            said: Said::Album(space, vec![Op::AddBlob(made)], vec![line]),
            blobs: vec![(line.id, bytes)],
        })
    }

    fn edits(&mut self, at: usize) -> Option<Draft> {
        let level = if self.dice.permille(100) {
            Level::Viewer
        } else {
            Level::Contributor
        };
        let (space, item) = self.an_item(at, level)?;
        let text = format!("{}", self.dice.below(1000));
        let set = |field: Field, value: Vec<u8>| {
            let field = field.code();
            Op::SetField(SetField { item, field, value })
        };
        let items = || Items { items: vec![item] };
        let edits = self.habits.edits;
        let op = match self.dice.below(10) {
            0 | 1 if edits => set(Field::Caption, text.into_bytes()),
            2 if edits => set(Field::Favorite, vec![1]),
            3 if edits => Op::Tag(Tag { item, tag: text }),
            4 if edits => self.untags(at, space, item, text),
            5 if edits => Op::Comment(Comment { item, text }),
            6 if edits => {
                let (sign, on) = ("heart".into(), self.dice.coin());
                Op::React(React { item, sign, on })
            }
            7 if self.habits.trash => Op::Trash(items()),
            8 if self.habits.trash => Op::Restore(items()),
            9 if self.habits.trash => Op::Purge(items()),
            _ => return None,
        };
        Some(Draft::new(Said::Album(space, vec![op], Vec::new())))
    }

    fn untags(&self, at: usize, space: SpaceId, item: OpId, tag: String) -> Op {
        let catalog = &self.seats[at].device.disk.catalog;
        let asset = catalog.assets.get(&(space, item));
        let tags = asset.map_or(&[][..], |asset| &asset.tags);
        let added_by = tags.iter().map(|tagged| tagged.op).collect();
        Op::Untag(Untag {
            item,
            tag,
            added_by,
        })
    }

    fn makes_album(&mut self) -> Option<Draft> {
        let name = format!("album {}", self.dice.below(1000));
        self.habits
            .albums
            .then(|| Draft::new(Said::NewAlbum(name, AlbumUse::Album)))
    }

    fn a_person(&mut self, at: usize) -> Option<PersonId> {
        let resolution = self.seats[at].device.replica().control().resolution();
        let persons: Vec<_> = resolution.persons.keys().copied().collect();
        self.dice.pick(&persons).copied()
    }

    fn shares(&mut self, at: usize) -> Option<Draft> {
        let spaces = self.writable(at, Level::Manager);
        let space = *self.dice.pick(&spaces)?;
        let person = self.a_person(at)?;
        let levels = [Level::Viewer, Level::Contributor, Level::Manager];
        let level = *self.dice.pick(&levels)?;
        let album = self.seats[at].device.replica().album(&space)?;
        let raises = album.level(&person) < level;
        (self.habits.share && raises).then(|| Draft::new(Said::Access(space, person, level)))
    }

    fn lowers(&mut self, at: usize) -> Option<Draft> {
        let spaces = self.writable(at, Level::Manager);
        let space = *self.dice.pick(&spaces)?;
        let person = self.a_person(at)?;
        let levels = [Level::None, Level::Viewer, Level::Contributor];
        let level = *self.dice.pick(&levels)?;
        let album = self.seats[at].device.replica().album(&space)?;
        let lowers = album.level(&person) > level;
        (self.habits.unshare && lowers).then(|| Draft::new(Said::Access(space, person, level)))
    }

    fn changes_role(&mut self, at: usize) -> Option<Draft> {
        if !self.habits.roles {
            return None;
        }
        let person = self.a_person(at)?;
        let op = if self.dice.coin() {
            Op::Promote((person, Role::Admin))
        } else {
            Op::Demote((person, Role::Member))
        };
        Some(Draft::new(Said::Control(vec![op])))
    }

    fn removes(&mut self, at: usize) -> Option<Draft> {
        let replica = self.seats[at].device.replica();
        let resolution = replica.control().resolution();
        if self.dice.coin() {
            let devices: Vec<DeviceId> = resolution.devices.keys().copied().collect();
            let device = *self.dice.pick(&devices)?;
            let op = Op::RemoveDevice((device,));
            self.habits
                .remove_device
                .then(|| Draft::new(Said::Removal(op)))
        } else {
            let person = self.a_person(at)?;
            let op = Op::RemovePerson((person,));
            self.habits
                .remove_person
                .then(|| Draft::new(Said::Removal(op)))
        }
    }

    fn renames(&mut self, at: usize) -> Option<Draft> {
        if !self.habits.names {
            return None;
        }
        let name = format!("name {}", self.dice.below(1000));
        if self.dice.coin() {
            let person = self.a_person(at)?;
            return Some(Draft::new(Said::Name(Subject::Person(person), name)));
        }
        let spaces = self.writable(at, Level::Manager);
        let space = *self.dice.pick(&spaces)?;
        let set = SetAlbum {
            field: heirloom_protocol::op::ALBUM_NAME,
            value: name.into_bytes(),
        };
        let ops = vec![Op::SetAlbum(set)];
        Some(Draft::new(Said::Album(space, ops, Vec::new())))
    }

    fn changes_kit(&mut self, at: usize) -> Option<Draft> {
        self.seats[at].device.replica().person()?;
        let mut rng = heirloom_protocol::crypto::SeededRng::from_seed(self.dice.seed());
        let kit = Arc::new(RecoveryKit::generate(&mut rng));
        let incarnation = self.dice.next();
        self.habits
            .kits
            .then(|| Draft::new(Said::Kit(kit, incarnation)))
    }

    /// More than an entry holds: refused, and nothing may be left behind by it.
    fn says_too_much(&mut self, at: usize) -> Option<Draft> {
        if !self.habits.oversize {
            return None;
        }
        let (space, item) = self.an_item(at, Level::Contributor)?;
        let comment = Comment {
            item,
            text: "a".repeat(heirloom_protocol::limits::ENTRY_BYTES),
        };
        let ops = vec![Op::Comment(comment)];
        Some(Draft::new(Said::Album(space, ops, Vec::new())))
    }
}

impl Said {
    fn word(&self) -> &'static str {
        match self {
            Self::Tend => "who gets keys",
            Self::Anchor => "what it knows of others",
            Self::Control(_) => "a control op",
            Self::Name(..) => "a name",
            Self::Removal(_) => "a removal",
            Self::Access(..) => "who may do what",
            Self::Album(..) => "something in an album",
            Self::NewAlbum(..) => "a new album",
            Self::Kit(..) => "a new kit",
        }
    }
}

/// Says in every album how far the logs of others are known.
fn anchor(replica: &mut Replica, now: Timestamp) -> Result<Recorded, WriteError> {
    let spaces: Vec<SpaceId> = replica.albums().map(|(space, _)| *space).collect();
    let me = replica.device();
    let mut recorded = Recorded::default();
    for space in spaces {
        if replica.may_replicate(&me, &space)
            && let Some(anchor) = replica.record_anchor(space, now)?
        {
            recorded.extend(anchor);
        }
    }
    Ok(recorded)
}

/// Vouches for what is here of who goes, and removes them.
fn remove(
    replica: &mut Replica,
    removal: Op,
    now: Timestamp,
    rng: &mut heirloom_protocol::crypto::SeededRng,
) -> Result<Recorded, WriteError> {
    let gone = replica.hit_by(&removal);
    let spaces: Vec<SpaceId> = replica.albums().map(|(space, _)| *space).collect();
    let me = replica.device();
    let mut recorded = Recorded::default();
    for space in spaces {
        if replica.may_replicate(&me, &space)
            && let Some(vouch) = replica.record_vouch(space, &gone, now)?
        {
            recorded.extend(vouch);
        }
    }
    recorded.extend(replica.record_removal(removal, now, rng)?);
    Ok(recorded)
}

/// A clock that is off: minutes or decades, either way.
pub(crate) fn skew(dice: &mut Dice) -> i64 {
    let most = match dice.below(3) {
        0 => 60_000,
        1 => 3 * 3_600_000,
        _ => 30 * 12 * MONTH,
    };
    let off = i64::try_from(dice.below(most)).expect("less than a century");
    if dice.coin() { off } else { -off }
}

fn half(seed: &[u8; 32]) -> [u8; 16] {
    let (half, _) = seed.split_first_chunk().expect("32 bytes");
    *half
}
