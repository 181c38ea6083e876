//! What must hold: safety as the world goes on, liveness once its faults have stopped.
//!
//! The ledger knows more than any device does: what each one has said to be
//! durable, who was ever given what, and what an author knew when it wrote.

pub(crate) mod forks;
mod holes;
mod secrets;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use heirloom_protocol::{
    id::{BlobId, DeviceId, EntryId, LogId, OpId, PersonId, SpaceId},
    log::{
        entry::{Entry, EntryBytes},
        standing::Standing,
    },
    op::{Level, Op},
    replica::log_of,
    sync::{blob::BlobPlace, message::Message, session::CloseReason},
};

pub(crate) use self::secrets::Views;
use self::{
    holes::{Hole, Holes},
    secrets::{LetIn, nobody_reads_what_is_secret, nothing_leaked},
};
use crate::{
    blobs::decrypt,
    device::{Device, LATE, Stage, announced},
    disk::Record,
    faults::Sabotage,
    world::World,
};

/// A sealed entry and what its author knew.
struct Written {
    at: usize,
    entry: Arc<Entry>,
    /// Devices that once could read the album, and by then could not, as the author saw it.
    lost: BTreeMap<DeviceId, u64>,
}

/// What the world knows of all devices.
#[derive(Default)]
pub(crate) struct Ledger {
    /// What each device has said to be durable.
    promised: BTreeMap<usize, BTreeMap<LogId, Vec<EntryId>>>,
    /// Every place in every log.
    taken: BTreeMap<(LogId, u32), EntryId>,
    written: Vec<Written>,
    views: BTreeMap<usize, Views>,
    let_in: LetIn,
    /// Whom devices that mean ill let in.
    betrayed_to: LetIn,
    pub(crate) keepers: BTreeSet<DeviceId>,
    /// Whose level in an album was ever lowered.
    pub(crate) lowered: BTreeSet<(SpaceId, PersonId)>,
    pub(crate) rotted: BTreeSet<BlobId>,
    /// Why sessions ended.
    pub(crate) closed: BTreeMap<CloseReason, u32>,
    /// Devices of which there were two, or that were set back: their logs may fork.
    pub(crate) twice: BTreeSet<DeviceId>,
    /// Devices that sign for two and mean ill.
    pub(crate) bad: BTreeSet<DeviceId>,
    /// What those gave to whom: they tell what they know to whom they like.
    betrayed: BTreeSet<(DeviceId, EntryId)>,
    /// Places in logs that more than one entry took.
    forks: BTreeMap<(LogId, u32), BTreeSet<EntryId>>,
    /// What a restored device had and its backup did not.
    lost: BTreeSet<EntryId>,
    /// Entries that counted when somebody vouched for them, and in which entry.
    anchored: BTreeMap<EntryId, EntryId>,
    forked: Option<String>,
}

fn space_of(entry: &EntryBytes) -> SpaceId {
    let bytes = entry
        .header
        .get(3..19)
        .and_then(|bytes| bytes.try_into().ok());
    SpaceId(bytes.expect("an entry that is sent was verified"))
}

impl Ledger {
    /// Entries are durable on a device, or so it says.
    pub(crate) fn durable(&mut self, at: usize, records: &[Record]) {
        let promised = self.promised.entry(at).or_default();
        for record in records {
            let (id, seq) = (record.entry.id(), record.entry.header().seq);
            let name = log_of(&record.entry);
            let log = promised.entry(name).or_default();
            if !log.contains(&id) {
                log.push(id);
            }
            let there = *self.taken.entry((name, seq)).or_insert(id);
            if there == id {
                continue;
            }
            let both = self.forks.entry((name, seq)).or_default();
            both.extend([there, id]);
            if !self.twice.contains(&name.device) {
                let what = format!("two entries at {seq} of one log: {there} and {id}");
                self.forked.get_or_insert(what);
            }
        }
    }

    /// A device takes entries from another.
    pub(crate) fn given(&mut self, from: &DeviceId, to: &DeviceId, records: &[Record]) {
        if self.bad.contains(from) {
            let ids = records.iter().map(|record| (*to, record.entry.id()));
            self.betrayed.extend(ids);
        }
    }

    /// This device wrote something that is durable now.
    pub(crate) fn wrote(&mut self, at: usize, device: &Device, stage: &Stage) {
        if device.bad {
            return;
        }
        for record in &stage.records {
            let header = record.entry.header();
            if header.is_control() && header.device == device.id {
                self.vouch(device, &record.entry);
            }
            if header.is_control() || header.device != device.id {
                continue;
            }
            let view = self
                .views
                .get(&at)
                .and_then(|views| views.get(&header.space));
            self.written.push(Written {
                at,
                entry: record.entry.clone(),
                lost: view.map(|view| view.lost.clone()).unwrap_or_default(),
            });
        }
    }

    fn was_entitled(&self, device: &DeviceId, space: &SpaceId) -> bool {
        self.keepers.contains(device) || self.let_in.contains(space, device)
    }

    /// A session sends nothing of a space to a peer that may not replicate it.
    pub(crate) fn may_send(
        &self,
        device: &Device,
        peer: &DeviceId,
        message: &Message,
    ) -> Result<(), String> {
        let spaces: BTreeSet<SpaceId> = match message {
            Message::Entries(entries) => entries.entries.iter().map(space_of).collect(),
            Message::Announce(announce) => [space_of(&announce.entry)].into(),
            Message::Spaces(spaces) => spaces.rows.iter().map(|(space, _)| *space).collect(),
            _ => return Ok(()),
        };
        for space in spaces {
            let is_control = space == device.control_space();
            let may = device.replica().may_replicate(peer, &space);
            if !may || !(is_control || self.was_entitled(peer, &space)) {
                let (from, to) = (&device.label, peer.short());
                return Err(format!("{from} tells {to} of {space}, which is not for it"));
            }
        }
        Ok(())
    }

    /// A blob is given to nobody who was never entitled to its album, but by who means ill.
    pub(crate) fn may_serve(
        &self,
        device: &Device,
        peer: &DeviceId,
        place: &BlobPlace,
    ) -> Result<(), String> {
        if device.bad || self.was_entitled(peer, &place.log.space) {
            return Ok(());
        }
        let (from, to) = (&device.label, peer.short());
        Err(format!("{from} gives {to} a blob that is not for it"))
    }

    /// What a commit says to be here is durable.
    pub(crate) fn blobs_are_here(&self, device: &Device, stage: &Stage) -> Result<(), String> {
        for (log, ordinal) in &stage.places {
            let staged = stage.records.iter().filter(|record| record.kept == *log);
            let stored = device.disk.with_blob(log, *ordinal);
            let blob = staged.chain(stored).find_map(|record| {
                let mut blobs = announced(&record.entry);
                blobs.find(|(number, _)| number == ordinal)
            });
            let (_, blob) = blob.ok_or("a place of a blob that no entry announces")?;
            if !device.disk.has_durable_blob(&blob) {
                let label = &device.label;
                return Err(format!("{label} claims a blob that is not durable"));
            }
        }
        Ok(())
    }

    /// After a start: all that a device ever said to be durable is still there.
    pub(crate) fn nothing_was_lost(&self, at: usize, device: &Device) -> Result<(), String> {
        for (log, entries) in self.promised.get(&at).into_iter().flatten() {
            for entry in entries {
                if !device.disk.holds(entry) {
                    let label = &device.label;
                    return Err(format!("{label} lost {} of {log:?}", entry.short()));
                }
            }
        }
        for (log, here) in &device.disk.here {
            for ordinal in here {
                let record = device.disk.with_blob(log, ordinal);
                let blob = record.and_then(|record| {
                    let mut blobs = announced(&record.entry);
                    blobs.find(|(number, _)| *number == ordinal)
                });
                if !blob.is_some_and(|(_, blob)| device.disk.has_durable_blob(&blob)) {
                    let label = &device.label;
                    return Err(format!("{label} lost a blob that it claims"));
                }
            }
        }
        Ok(())
    }

    /// A session ended by itself.
    pub(crate) fn closed(&mut self, reason: CloseReason) {
        *self.closed.entry(reason).or_default() += 1;
    }
}

/// The largest group of which each is near to another one of it.
fn largest_group(all: Vec<usize>, near: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut left: BTreeSet<usize> = all.into_iter().collect();
    let mut largest = Vec::new();
    while let Some(first) = left.pop_first() {
        let mut group = vec![first];
        let mut next = 0;
        while let Some(at) = group.get(next).copied() {
            next += 1;
            let found: Vec<usize> = left.iter().copied().filter(|b| near(at, *b)).collect();
            for other in found {
                left.remove(&other);
                group.push(other);
            }
        }
        if group.len() > largest.len() {
            largest = group;
        }
    }
    largest
}

/// The devices that belong together: the largest group whose members let each other in.
///
/// Whoever was removed and is let in by nobody any more need not hear of it.
pub(crate) fn family(world: &World) -> Vec<usize> {
    let seats = &world.seats;
    let members = (0..seats.len()).filter(|at| seats[*at].device.is_member());
    let members = members.filter(|at| !seats[*at].device.bad);
    // Two homes with one key never talk to each other: they need somebody in between.
    largest_group(members.collect(), |a, b| {
        let (a, b) = (&seats[a].device, &seats[b].device);
        a.id != b.id && a.admits(&b.id) && b.admits(&a.id)
    })
}

/// The devices that hold a space together: the largest group that may tell each other of it.
///
/// Whoever lost access is told of nothing more, not even of that.
fn holders<'a>(world: &'a World, family: &[usize], space: SpaceId) -> Vec<&'a Device> {
    let device = |at: usize| &world.seats[at].device;
    let may = |a: &Device, b: &Device| a.replica().may_replicate(&b.id, &space);
    let apart = |a: usize, b: usize| device(a).id != device(b).id;
    let members = family.iter().copied();
    let members = members.filter(|at| may(device(*at), device(*at)));
    let group = largest_group(members.collect(), |a, b| {
        apart(a, b) && may(device(a), device(b)) && may(device(b), device(a))
    });
    group.into_iter().map(device).collect()
}

/// Whether everybody who belongs has everything that is for them; if not, what is lacking.
pub(crate) fn converged(world: &World) -> Result<(), String> {
    let family = family(world);
    let devices: Vec<&Device> = family.iter().map(|at| &world.seats[*at].device).collect();
    let Some(first) = devices.first() else {
        return Ok(());
    };
    if family.iter().any(|at| !world.seats[*at].is_idle()) {
        return Err("a disk is still busy".into());
    }
    if family.iter().any(|at| world.seats[*at].upkeep) {
        return Err("somebody is yet to look who lacks keys".into());
    }
    let control = first.control_space();
    let mut spaces = BTreeSet::from([control]);
    for device in &devices {
        spaces.extend(device.replica().albums().map(|(space, _)| *space));
    }
    for space in spaces {
        let members = holders(world, &family, space);
        if let Some(hole) = Hole::of(&members, space) {
            hole.what_can_be_given_is_here(&members)?;
        } else {
            same_entries(&members, space, space == control)?;
        }
        blobs_are_everywhere(&members, space)?;
    }
    Ok(())
}

fn same_entries(members: &[&Device], space: SpaceId, is_control: bool) -> Result<(), String> {
    for pair in members.windows(2) {
        if pair[0].digest(space) != pair[1].digest(space) {
            let (a, b) = (&pair[0].label, &pair[1].label);
            let what = match is_control {
                true => "the control space",
                false => "an album",
            };
            return Err(format!(
                "{a} and {b} hold different entries of {what}, {space}"
            ));
        }
    }
    Ok(())
}

/// What one holds, all hold that know of it.
fn blobs_are_everywhere(members: &[&Device], space: SpaceId) -> Result<(), String> {
    for device in members {
        for (log, ordinal) in device.lacking() {
            let holds = |other: &Device| other.holds_blob(&log, ordinal);
            if log.space == space && members.iter().any(|other| holds(other)) {
                let wants = device.wants(log, ordinal);
                let label = &device.label;
                let said = members.iter().map(|other| {
                    let says = device.disk.haves.holds(&other.id, &log, ordinal);
                    let (name, has) = (&other.label, holds(other));
                    format!(" {name}: has {has}, said {says}")
                });
                let said: String = said.collect();
                return Err(format!(
                    "{label} lacks blob {ordinal} of {}, on its list: {wants};{said}",
                    log.device.short()
                ));
            }
        }
    }
    Ok(())
}

/// Everything that is looked at once the world has come to rest.
pub(crate) fn at_rest(world: &mut World) -> Result<(), String> {
    if let Some(forked) = &world.ledger.forked {
        return Err(forked.clone());
    }
    for at in 0..world.seats.len() {
        world.ledger.nothing_was_lost(at, &world.seats[at].device)?;
    }
    let family = family(world);
    one_roster(world, &family)?;
    one_view(world, &family)?;
    forks::at_rest(world, &family)?;
    fresh_catalogs(world, &family)?;
    nothing_acknowledged_is_lost(world, &family)?;
    pictures_come_out(world, &family)?;
    nothing_leaked(world)?;
    nobody_reads_what_is_secret(world)
}

fn one_roster(world: &World, family: &[usize]) -> Result<(), String> {
    for pair in family.windows(2) {
        let [a, b] = [pair[0], pair[1]].map(|at| &world.seats[at].device);
        let (left, right) = (a.replica(), b.replica());
        let mut differs = Vec::new();
        if left.words() != right.words() {
            differs.push(format!("words {:?} {:?}", left.words(), right.words()));
        }
        // Names are not for keepers.
        if a.person.is_some() && b.person.is_some() {
            let persons = left.persons().into_iter().zip(right.persons());
            let persons = persons.filter(|(a, b)| a != b);
            differs.extend(persons.map(|pair| format!("{pair:?}")));
            let devices = left.devices().into_iter().zip(right.devices());
            let devices = devices.filter(|(a, b)| a != b);
            differs.extend(devices.map(|pair| format!("{pair:?}")));
        }
        if !differs.is_empty() {
            let (a, b) = (&a.label, &b.label);
            return Err(format!("{a} and {b} see different rosters: {differs:?}"));
        }
    }
    Ok(())
}

/// Those who may look at an album, of the devices that hold it together.
pub(crate) fn readers_of<'a>(
    world: &'a World,
    family: &[usize],
    space: SpaceId,
) -> Vec<&'a Device> {
    let holders = holders(world, family, space).into_iter();
    holders
        .filter(|device| device.level(&space) >= Level::Viewer)
        .collect()
}

/// Every album that somebody knows.
pub(crate) fn albums_of(world: &World, family: &[usize]) -> BTreeSet<SpaceId> {
    let devices = family.iter().map(|at| world.seats[*at].device.replica());
    devices
        .flat_map(|replica| replica.albums().map(|(space, _)| *space))
        .collect()
}

fn one_view(world: &World, family: &[usize]) -> Result<(), String> {
    for space in albums_of(world, family) {
        let readers = readers_of(world, family, space);
        let hole = Hole::of(&holders(world, family, space), space);
        if hole.as_ref().is_some_and(|hole| !hole.all_know_the_same) {
            continue;
        }
        let mut first = None;
        for device in readers {
            let people: Vec<_> = device.replica().album(&space).into_iter().collect();
            let levels: Vec<_> = people.iter().flat_map(|album| album.people()).collect();
            let shown = device.view(space, |id| {
                // What nobody vouched for its author alone shows.
                let record = device.disk.by_id(id);
                let is_own = record.is_some_and(|record| device.shows_as_own(&record.entry));
                !is_own && hole.as_ref().is_none_or(|hole| hole.given.contains(id))
            });
            let view = (levels, shown.canonical(space));
            let (label, there) = first.get_or_insert((&device.label, view.clone()));
            if view != *there {
                let ours = &device.label;
                let what = if view.0 == there.0 {
                    "content"
                } else {
                    "access"
                };
                let (a, b) = (there.1.len(), view.1.len());
                return Err(format!(
                    "{label} and {ours} see album {space} differently: {what}, {a} and {b} rows"
                ));
            }
        }
    }
    Ok(())
}

/// What was projected as it came is what all entries make together.
fn fresh_catalogs(world: &mut World, family: &[usize]) -> Result<(), String> {
    for at in family.iter().copied() {
        let now = world.moment(at);
        // What a clock that was ahead let count is held again now.
        if world.seats[at].latest > now.wall {
            continue;
        }
        // The other copy of what rotted left the family.
        if world.seats[at].device.disk.rotten().next().is_some() {
            continue;
        }
        world.seats[at].device.release_held(now);
        let device = &world.seats[at].device;
        for (space, _) in device.replica().albums() {
            let fresh = device.project_all(*space, now.wall).canonical(*space);
            let shown = device.disk.catalog.canonical(*space);
            if shown != fresh {
                let label = &device.label;
                let differs = |a: &[(Vec<u8>, Vec<u8>)], b: &[(Vec<u8>, Vec<u8>)]| {
                    a.iter().filter(|row| !b.contains(row)).count()
                };
                let (more, less) = (differs(&shown, &fresh), differs(&fresh, &shown));
                return Err(format!(
                    "{label} shows album {space} as it no longer is: {more} rows of its own, {less} of all entries"
                ));
            }
        }
    }
    Ok(())
}

fn items_of(device: &Device, entry: &Entry) -> Vec<OpId> {
    let projection = device.replica().project(entry, LATE);
    let added = projection
        .ops
        .iter()
        .filter(|op| matches!(op.op, Op::AddItem(_)));
    added.map(|op| op.origin.op).collect()
}

fn nothing_acknowledged_is_lost(world: &World, family: &[usize]) -> Result<(), String> {
    let mut holes = Holes::default();
    for written in &world.ledger.written {
        let author = &world.seats[written.at].device;
        let space = written.entry.header().space;
        let Some(person) = author.person.filter(|_| !author.bad) else {
            continue;
        };
        if world.ledger.lowered.contains(&(space, person)) {
            continue;
        }
        let readers = readers_of(world, family, space);
        let is_among_them = readers.iter().any(|device| std::ptr::eq(*device, author));
        let id = written.entry.id();
        if !is_among_them || !holes.gives(world, family, space, &id) {
            continue;
        }
        // A backup that was older than this, and nobody else has it: it is gone, and nobody says else.
        let is_here = readers.iter().any(|device| device.disk.holds(&id));
        if !is_here && world.ledger.lost.contains(&id) {
            continue;
        }
        // Others show it once somebody vouched for it, which is looked at where forks are.
        if author.shows_as_own(&written.entry) {
            continue;
        }
        if !author.counts_here(&written.entry) {
            // Whoever gave its author the right may have lost it meanwhile, but only so.
            if world.habits.is_calm() {
                let (a, id) = (&author.label, written.entry.id().short());
                return Err(format!(
                    "{id} of {a} does not count, and nobody took a right away"
                ));
            }
            continue;
        }
        let items = items_of(author, &written.entry);
        for device in readers {
            let id = written.entry.id();
            if !device.disk.holds(&id) || items_of(device, &written.entry) != items {
                let (a, b) = (&author.label, &device.label);
                return Err(format!("{b} does not show {} of {a}", id.short()));
            }
            let lost = announced(&written.entry).find(|(ordinal, blob)| {
                let is_here = device.has_blob(&written.entry, *ordinal);
                // Pictures of whoever may not contribute are for nobody.
                !is_here
                    && device.wants_blobs_of(&written.entry)
                    && !world.ledger.rotted.contains(blob)
            });
            if let Some((ordinal, _)) = lost {
                let (a, b) = (&author.label, &device.label);
                return Err(format!("{b} never got blob {ordinal} of {a}"));
            }
        }
    }
    Ok(())
}

/// One reader decrypts every original that it holds.
fn pictures_come_out(world: &mut World, family: &[usize]) -> Result<(), String> {
    let Some(at) = world.dice.pick(family).copied() else {
        return Ok(());
    };
    let device = &world.seats[at].device;
    for asset in device.disk.catalog.assets.values() {
        for (part, blob) in asset.all_parts() {
            let Some(bytes) = device.disk.blob(&blob.id) else {
                continue;
            };
            let plain = decrypt(bytes, (blob.padded, part.len), &part.key);
            let hash = plain.map(|plain| *blake3::hash(&plain).as_bytes());
            if hash != Some(part.pt_hash.0) {
                let label = &device.label;
                return Err(format!("{label} does not get a picture out again"));
            }
        }
    }
    Ok(())
}
