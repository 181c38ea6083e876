//! One simulated device: a replica, its sessions and its disk, driven as the node drives them.
//!
//! The only file that calls [`Replica`] and [`Session`]. What is taken or said
//! changes memory at once and comes out as a [`Stage`]; the world writes it to
//! the disk in its own time and then calls [`Device::settle`]. Until then the
//! device does nothing else, as the node's one thread waits for its disk.

mod damage;
mod seen;
mod sessions;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use heirloom_protocol::{
    album::asset::BlobRef,
    crypto::{Class, DeviceKeys, SeededRng, shape},
    id::{BlobId, DeviceId, EntryId, FamilyId, LogId, PersonId, SpaceId},
    log::{
        entry::{BlobLine, Entry, EntryBytes, EntryError},
        standing::Standing,
    },
    op::{Genesis, Level, Op, Policy},
    replica::{
        Effect, KeptLog, LogState, Place, Projection, Recorded, Refusal, Replica, Step, WriteError,
        log_of,
    },
    sync::{
        Digest, Head, LogView,
        blob::BlobPlace,
        have, heads_digest,
        message::{HaveMode, PeerRole},
        session::{Input, News, Opening, Output, Session, Verdict},
        want::{Failure, Path, Want},
    },
    time::Timestamp,
    wire,
};
use roaring::RoaringBitmap;

use self::seen::{Reads, Seen};
use crate::{
    dice::Dice,
    disk::{Catalog, Disk, Record},
};

/// A time so late that nothing is held any more.
pub(crate) const LATE: Timestamp = Timestamp((1 << 48) - 1);

/// Now, by the device's own two clocks.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) wall: Timestamp,
    pub(crate) mono: Instant,
}

/// Entries whose signature was checked somewhere in this world, so that it is checked once.
#[derive(Default)]
pub(crate) struct Verified(BTreeMap<EntryId, Arc<Entry>>);

impl Verified {
    fn verify(&mut self, family: FamilyId, bytes: EntryBytes) -> Result<Arc<Entry>, EntryError> {
        let id = EntryId(*blake3::hash(&bytes.header).as_bytes());
        if let Some(entry) = self.0.get(&id)
            && *entry.bytes() == bytes
        {
            return Ok(entry.clone());
        }
        let entry = Arc::new(Entry::verify(family, bytes)?);
        self.0.insert(id, entry.clone());
        Ok(entry)
    }
}

/// What waits to become one commit.
#[derive(Default)]
pub(crate) struct Stage {
    pub(crate) records: Vec<Record>,
    pub(crate) places: Vec<(LogId, u32)>,
    projections: Vec<(LogId, Arc<Entry>, Projection)>,
    rebuild: BTreeSet<SpaceId>,
    forked: BTreeSet<SpaceId>,
    /// A control entry reads again, and what it says is to be taken in.
    pub(crate) reload: bool,
    pub(crate) roster: bool,
    pub(crate) albums: bool,
    pub(crate) from: Option<DeviceId>,
}

/// What follows from a commit, for whoever is to be told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) entries: Vec<News>,
    pub(crate) blobs: BTreeMap<LogId, RoaringBitmap>,
    /// Spaces in which a log forked.
    pub(crate) renamed: BTreeSet<SpaceId>,
}

pub(super) struct Live {
    replica: Replica,
    want: Want,
    sessions: BTreeMap<DeviceId, Session>,
    digests: RefCell<BTreeMap<SpaceId, Digest>>,
}

/// One device.
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) label: String,
    /// Whose it is to be; `None` for a keeper.
    pub(crate) person: Option<PersonId>,
    keys: Arc<DeviceKeys>,
    family: FamilyId,
    genesis: Genesis,
    rng: SeededRng,
    /// For incarnations: no copy of this device draws the same.
    fresh: Dice,
    pub(crate) disk: Disk,
    live: Option<Live>,
    pub(crate) reads: Reads,
    /// Signs for two: takes nothing back of what another with its keys wrote.
    pub(crate) bad: bool,
    /// Sabotage: tells every peer of every space.
    pub(crate) leaks: bool,
    /// Sabotage: does not project anew what changed.
    pub(crate) lazy: bool,
    /// Sabotage: takes no second branch of a log.
    pub(crate) blind: bool,
    /// Sabotage: writes no record again that rotted.
    pub(crate) careless: bool,
    /// Sabotage: stays in a log that forked.
    pub(crate) stays: bool,
}

/// Which blobs of a log, by the name that peers know, are here.
fn blobs_here(replica: &Replica, disk: &Disk, log: &LogId) -> RoaringBitmap {
    let mut all = RoaringBitmap::new();
    for (kept, ordinals) in replica.kept_parts(log) {
        let mut here = disk.here.get(&kept).cloned().unwrap_or_default();
        here.remove_range(..ordinals.start);
        here.remove_range(ordinals.end..);
        all |= here;
    }
    all
}

/// Whether the blobs of an entry are wanted: not of one that a cut took out.
fn counts(replica: &Replica, entry: &Entry) -> bool {
    replica.album(&entry.header().space).is_some_and(|album| {
        let standing = album.standing(replica.control(), &entry.id(), Level::Contributor);
        standing != Standing::Cut
    })
}

/// Where an accepted entry stands.
fn place_of(replica: &Replica, entry: &Entry) -> Place {
    replica.place(entry).expect("an accepted entry has a place")
}

fn class_of(code: u8) -> Class {
    let classes = [Class::Original, Class::Preview, Class::Thumbnail];
    let found = classes.into_iter().find(|class| class.code() == code);
    found.expect("a verified entry has known classes")
}

fn lines_of(entry: &Entry) -> Vec<(Class, u64)> {
    let line = |line: &BlobLine| (class_of(line.class), shape::ciphertext_len(line.padded));
    entry.header().blobs.iter().map(line).collect()
}

/// Ordinals of the blobs that an entry announces, with their names.
pub(crate) fn announced(entry: &Entry) -> impl Iterator<Item = (u32, BlobId)> + '_ {
    let header = entry.header();
    (header.first_blob..).zip(header.blobs.iter().map(|line| line.id))
}

impl Device {
    /// A device that is off, with an empty disk.
    pub(crate) fn new(
        label: String,
        keys: Arc<DeviceKeys>,
        person: Option<PersonId>,
        (family, genesis): (FamilyId, Genesis),
        dice: &mut Dice,
    ) -> Self {
        Self {
            id: keys.device_id(),
            label,
            person,
            keys,
            family,
            genesis,
            rng: SeededRng::from_seed(dice.seed()),
            fresh: Dice::new(dice.next()),
            disk: Disk::new(dice.next()),
            live: None,
            reads: Reads::new(dice),
            bad: false,
            leaks: false,
            lazy: false,
            blind: false,
            careless: false,
            stays: false,
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.live.is_some()
    }

    pub(crate) fn control_space(&self) -> SpaceId {
        self.family.control_space()
    }

    pub(crate) fn keys(&self) -> &Arc<DeviceKeys> {
        &self.keys
    }

    /// What this device was founded on, for whoever joins.
    pub(crate) fn founding(&self) -> (FamilyId, Genesis) {
        (self.family, self.genesis.clone())
    }

    /// The family as this device knows it; only of one that is on.
    pub(crate) fn replica(&self) -> &Replica {
        &self.live.as_ref().expect("the device is on").replica
    }

    /// Whether this device belongs, as far as it knows.
    pub(crate) fn is_member(&self) -> bool {
        self.is_on() && self.replica().control().is_live(&self.id)
    }

    /// Whether this device lets a peer connect.
    pub(crate) fn admits(&self, peer: &DeviceId) -> bool {
        self.is_on() && self.replica().control().is_live(peer)
    }

    /// Starts from the disk, as after a crash. Everything is durable when it returns.
    ///
    /// Fails with what the disk holds and the replica does not take.
    pub(crate) fn start(&mut self, now: Moment) -> Result<(), String> {
        let tails = self.disk.take_unindexed();
        let founded = (self.keys.clone(), self.disk.incarnation, self.family);
        let mut replica = Replica::new(founded.0, founded.1, founded.2, self.genesis.clone());
        let left_out = replica.restore(self.kept_logs());
        if !left_out.is_empty() {
            return Err(format!("branches without their beginning: {left_out:?}"));
        }
        let mut spaces: Vec<_> = self.disk.logs().map(|(log, _)| log.space).collect();
        spaces.sort_by_key(|space| (*space != self.control_space(), *space));
        spaces.dedup();
        for space in spaces {
            let replayed = replay(&mut replica, &self.disk, space);
            // What no longer reads comes again from others, and with it what waits for it.
            if self.disk.is_whole() {
                replayed?;
            }
        }
        replica.settle();
        let policy = replica.control().policy(&self.id);
        self.live = Some(Live {
            replica,
            want: Want::new(policy),
            sessions: BTreeMap::new(),
            digests: RefCell::default(),
        });
        for space in std::mem::take(&mut self.disk.held) {
            self.rebuild(space, now);
        }
        self.take_tails(tails, now);
        self.renew_if_forked();
        self.load_wants();
        Ok(())
    }

    /// Projects an album anew; what the clock has not reached waits for it.
    ///
    /// A clock that jumped back has not reached what it had reached before, and a
    /// device that was off may start with another: the disk remembers where something waits.
    fn rebuild(&mut self, space: SpaceId, now: Moment) {
        self.disk.catalog.clear(space);
        let catalog = self.project_all(space, now.wall);
        self.disk.catalog.assets.extend(catalog.assets);
        self.disk.catalog.fields.extend(catalog.fields);
        let live = self.live.as_mut().expect("the device is on");
        let mut waits = false;
        for record in self.disk.entries_of(space) {
            let header = record.entry.header();
            if header.hlc.is_held(now.wall) && !header.is_control() {
                live.replica.hold(header.hlc, record.entry.id());
                waits = true;
            }
        }
        if waits {
            self.disk.held.insert(space);
        }
    }

    fn kept_logs(&self) -> Vec<KeptLog> {
        let mut logs = Vec::new();
        for (log, file) in self.disk.logs() {
            let (Some(first), Some(last)) = (file.first(), file.last()) else {
                continue;
            };
            let header = last.entry.header();
            let blobs = u32::try_from(header.blobs.len()).expect("few");
            let step = |record: &Record| {
                let header = record.entry.header();
                Step {
                    id: record.entry.id(),
                    hlc: header.hlc,
                    first_item: header.first_item,
                    first_blob: header.first_blob,
                }
            };
            logs.push(KeptLog {
                log: *log,
                first: first.entry.header().seq,
                after: first.entry.header().prev,
                chain: file.iter().map(step).collect(),
                items: header.first_item + last.items,
                blobs: header.first_blob + blobs,
            });
        }
        logs
    }

    /// Takes in entries that reached their files before a crash, and not the index.
    fn take_tails(&mut self, mut left: Vec<Record>, now: Moment) {
        loop {
            let before = left.len();
            let mut stage = Stage::default();
            let mut waiting = Vec::new();
            for record in left {
                match self.accept(&record.entry, Some(&record.kept), &mut stage, now) {
                    Ok(()) => {
                        let live = self.live.as_mut().expect("the device is on");
                        let named = place_of(&live.replica, &record.entry).log;
                        live.replica.count_items(&named, record.items);
                    }
                    Err(_) => waiting.push(record),
                }
            }
            left = waiting;
            // The places of blobs that had been synced are found again by their names.
            for record in &stage.records {
                for (ordinal, blob) in announced(&record.entry) {
                    if self.disk.has_durable_blob(&blob) {
                        stage.places.push((record.kept, ordinal));
                    }
                }
            }
            self.settle(stage, now);
            if left.len() == before {
                return;
            }
        }
    }

    fn load_wants(&mut self) {
        let records: Vec<_> = self.disk.entries().cloned().collect();
        for record in records {
            self.want_blobs_of(&record);
        }
    }

    fn want_blobs_of(&mut self, record: &Record) {
        let lines = lines_of(&record.entry);
        if lines.is_empty() {
            return;
        }
        let held = self
            .disk
            .here
            .get(&record.kept)
            .cloned()
            .unwrap_or_default();
        let Some(live) = &mut self.live else {
            return;
        };
        let header = record.entry.header();
        if counts(&live.replica, &record.entry) {
            let log = place_of(&live.replica, &record.entry).log;
            live.want
                .add(log, header.first_blob, header.hlc, &lines, &held);
        }
    }

    /// Ends without a word; what was not durable is gone.
    pub(crate) fn stop(&mut self) {
        self.live = None;
    }

    fn accept(
        &mut self,
        entry: &Arc<Entry>,
        kept: Option<&LogId>,
        stage: &mut Stage,
        now: Moment,
    ) -> Result<(), Refusal> {
        let live = self.live.as_mut().expect("the device is on");
        let effects = live.replica.accept_kept(entry, kept, now.wall)?;
        stage.take_effects(&effects);
        self.stage_entry(entry.clone(), stage, now);
        Ok(())
    }

    fn stage_entry(&mut self, entry: Arc<Entry>, stage: &mut Stage, now: Moment) {
        let live = self.live.as_mut().expect("the device is on");
        live.digests.borrow_mut().remove(&entry.header().space);
        let projection = live.replica.project(&entry, now.wall);
        let kept = place_of(&live.replica, &entry).kept;
        stage.records.push(Record {
            kept,
            entry: entry.clone(),
            items: projection.items,
        });
        stage.projections.push((kept, entry, projection));
    }

    /// Takes entries from a peer, and says what became of each.
    pub(crate) fn take(
        &mut self,
        from: DeviceId,
        entries: Vec<EntryBytes>,
        verified: &mut Verified,
        now: Moment,
    ) -> (Stage, Vec<Verdict>) {
        let mut stage = Stage {
            from: Some(from),
            ..Stage::default()
        };
        let mut verdicts = Vec::new();
        for bytes in entries {
            let verdict = match verified.verify(self.family, bytes) {
                Ok(entry) if self.turns_away(&entry) => Verdict::Known,
                Ok(entry) => match self.accept(&entry, None, &mut stage, now) {
                    Ok(()) => Verdict::Accepted(entry.id()),
                    Err(Refusal::AlreadyHere) => {
                        self.mend(&entry, &mut stage);
                        Verdict::Known
                    }
                    Err(Refusal::Waiting) => Verdict::Waiting,
                    Err(Refusal::BadChain | Refusal::WrongSpace) => Verdict::Forged,
                    Err(_) => Verdict::Refused(log_of(&entry)),
                },
                Err(EntryError::UnknownVersion(..)) => Verdict::Waiting,
                Err(_) => Verdict::Forged,
            };
            verdicts.push(verdict);
        }
        (stage, verdicts)
    }

    /// Says something. `places` are the blobs of the last entry, which are durable.
    pub(crate) fn say(
        &mut self,
        now: Moment,
        act: impl FnOnce(&mut Replica, Timestamp, &mut SeededRng) -> Result<Recorded, WriteError>,
    ) -> Result<Stage, WriteError> {
        let live = self.live.as_mut().expect("the device is on");
        let recorded = act(&mut live.replica, now.wall, &mut self.rng)?;
        let mut stage = Stage::default();
        stage.take_effects(&recorded.effects);
        for entry in recorded.entries {
            self.stage_entry(Arc::new(entry), &mut stage, now);
        }
        if let Some(last) = stage.records.last()
            && !last.entry.header().is_control()
        {
            let places = announced(&last.entry).map(|(ordinal, _)| (last.kept, ordinal));
            stage.places.extend(places);
        }
        Ok(stage)
    }

    /// Entries that were held and no longer are, projected again.
    pub(crate) fn release_held(&mut self, now: Moment) {
        let live = self.live.as_mut().expect("the device is on");
        for id in live.replica.due(now.wall) {
            if let Some(record) = self.disk.by_id(&id).cloned() {
                let projection = live.replica.project(&record.entry, now.wall);
                let catalog = &mut self.disk.catalog;
                catalog.take(record.kept, &record.entry, &projection);
            }
        }
    }

    /// Commits a stage: durable when it returns, and then others may hear of it.
    pub(crate) fn settle(&mut self, stage: Stage, now: Moment) -> Told {
        self.disk.commit(&stage.records, &stage.places);
        for (kept, entry, projection) in &stage.projections {
            self.disk.catalog.take(*kept, entry, projection);
            let header = entry.header();
            if header.hlc.is_held(now.wall) && !header.is_control() {
                self.disk.held.insert(header.space);
            }
        }
        if !self.lazy {
            for space in &stage.rebuild {
                self.rebuild(*space, now);
            }
        }
        if stage.reload {
            // Made once more, when all that is known reads again.
            self.disk.held.extend(&stage.rebuild);
        }
        if !stage.forked.is_empty() {
            self.after_fork();
        } else if !stage.rebuild.is_empty() {
            self.load_wants();
        }
        for record in &stage.records {
            self.want_blobs_of(record);
        }
        let Some(live) = &mut self.live else {
            return Told::default();
        };
        let mut blobs: BTreeMap<LogId, RoaringBitmap> = BTreeMap::new();
        for (kept, ordinal) in &stage.places {
            let (log, ordinal) = (live.replica.named_blob(kept, *ordinal), *ordinal);
            let log = log.expect("a blob of an accepted entry has a name");
            blobs.entry(log).or_default().insert(ordinal);
            live.want.done(&BlobPlace { log, ordinal });
        }
        let news = |record: &Record| {
            let place = place_of(&live.replica, &record.entry);
            News {
                log: place.log,
                seq: place.seq,
                id: record.entry.id(),
            }
        };
        Told {
            entries: stage.records.iter().map(news).collect(),
            blobs,
            renamed: stage.forked,
        }
    }

    /// An album as all its entries make it, at a moment, and as this device stores it.
    pub(crate) fn project_all(&self, space: SpaceId, now: Timestamp) -> Catalog {
        self.project_as(space, now, |record| Some(record.kept))
    }

    /// What some entries make of an album, as everybody sees it, with blobs under the names that all know.
    pub(crate) fn view(&self, space: SpaceId, counts: impl Fn(&EntryId) -> bool) -> Catalog {
        self.project_as(space, LATE, |record| {
            let counts = counts(&record.entry.id());
            counts.then(|| place_of(self.replica(), &record.entry).log)
        })
    }

    fn project_as(
        &self,
        space: SpaceId,
        now: Timestamp,
        log: impl Fn(&Record) -> Option<LogId>,
    ) -> Catalog {
        let mut catalog = Catalog::default();
        for record in self.disk.readable_of(space) {
            let Some(log) = log(record) else { continue };
            let projection = self.replica().project(&record.entry, now);
            catalog.take(log, &record.entry, &projection);
        }
        catalog
    }

    /// Whether the keys here open a sealed entry that adds something.
    pub(crate) fn opens(&self, entry: &Entry) -> bool {
        let projection = self.replica().project(entry, LATE);
        projection.items > 0 || !projection.ops.is_empty()
    }

    /// Takes whatever it is given without asking where from; for an attacker, and never written.
    pub(crate) fn swallow(&mut self, entry: &Entry) -> bool {
        let live = self.live.as_mut().expect("the device is on");
        live.replica.accept(entry, LATE).is_ok()
    }

    /// After something was refused: own logs in memory and on disk end at the same place.
    pub(crate) fn memory_is_on_disk(&self) -> Result<(), String> {
        let written = self.disk.entries().count();
        let known: usize = self
            .replica()
            .logs()
            .map(|(_, state)| state.chain.len())
            .sum();
        if known != written {
            return Err(format!("{known} entries in memory, {written} on disk"));
        }
        Ok(())
    }

    /// The digest of the heads of a space.
    pub(crate) fn digest(&self, space: SpaceId) -> Digest {
        let live = self.live.as_ref().expect("the device is on");
        let seen = Seen::of(live, &self.disk, &self.reads, false);
        seen.digest(space)
    }

    /// For sabotage: gives this device the keys of another, as if it had kept them.
    pub(crate) fn steal(&mut self, from: &Self) {
        self.keys = from.keys.clone();
    }

    /// Readers of every album, by device, as this device sees it.
    pub(crate) fn readers(&self) -> BTreeMap<SpaceId, BTreeSet<DeviceId>> {
        let replica = self.replica();
        let devices = &replica.control().resolution().devices;
        let readers = |(space, album): (&SpaceId, &heirloom_protocol::replica::AlbumSpace)| {
            let reads = |person: Option<PersonId>| person.is_some_and(|p| album.may_read(&p));
            let ids = devices
                .iter()
                .filter(|(_, standing)| reads(standing.person));
            (*space, ids.map(|(id, _)| *id).collect())
        };
        replica.albums().map(readers).collect()
    }

    /// What this device's person may do in an album.
    pub(crate) fn level(&self, space: &SpaceId) -> Level {
        let replica = self.replica();
        match (replica.person(), replica.album(space)) {
            (Some(person), Some(album)) => album.level(&person),
            _ => Level::None,
        }
    }
}

/// Replays the control entries of a space, each after what it names.
fn replay(replica: &mut Replica, disk: &Disk, space: SpaceId) -> Result<(), String> {
    let mut left: Vec<_> = disk
        .readable_of(space)
        .filter(|record| record.entry.header().is_control())
        .map(|record| record.entry.clone())
        .collect();
    left.sort_by_key(|entry| (entry.header().hlc, entry.id()));
    loop {
        let before = left.len();
        // What waits has all that follows it in its log wait too, else the order would be lost.
        let mut waiting = BTreeSet::new();
        left.retain(|entry| {
            let log = log_of(entry);
            let waits =
                waiting.contains(&log) || matches!(replica.replay(entry), Err(Refusal::Waiting));
            if waits {
                waiting.insert(log);
            }
            waits
        });
        if left.is_empty() {
            return Ok(());
        }
        if left.len() == before {
            let entry = left[0].id().short();
            return Err(format!(
                "{before} control entries cannot be replayed, {entry}"
            ));
        }
    }
}

fn blob_ref(replica: &Replica, disk: &Disk, place: &BlobPlace) -> Option<BlobRef> {
    let kept = replica.kept_blob(&place.log, place.ordinal)?;
    let record = disk.with_blob(&kept, place.ordinal)?;
    let header = record.entry.header();
    let index = place.ordinal - header.first_blob;
    let line = header.blobs.get(usize::try_from(index).ok()?)?;
    BlobRef::of(place.log, header.first_blob, index, line)
}

impl Stage {
    /// Whether nothing is to be written and nothing to be looked at again.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.rebuild.is_empty() && !self.reload
    }

    fn take_effects(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Project => {}
                Effect::Album(_) => self.albums = true,
                Effect::Rebuild(space) => {
                    self.rebuild.insert(*space);
                }
                Effect::Roster => self.roster = true,
                Effect::Fork(log) => {
                    self.forked.insert(log.space);
                }
            }
        }
    }
}
