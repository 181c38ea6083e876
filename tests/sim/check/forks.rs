//! What must hold where a log goes on in two ways, a device was set back or means ill.

use super::*;
use crate::{disk::Disk, fate::blobs_lost};

/// Backups, copies and forks.
impl Ledger {
    pub(crate) fn views_of(&self, at: usize) -> Views {
        self.views.get(&at).cloned().unwrap_or_default()
    }

    /// A home is there twice: the copy has said what the first one said.
    pub(crate) fn copied(&mut self, from: usize, to: usize) {
        let promised = self.promised.get(&from).cloned().unwrap_or_default();
        self.promised.insert(to, promised);
        let views = self.views_of(from);
        self.views.insert(to, views);
    }

    /// A device has an older disk now; names the entries that this one lacks.
    ///
    /// What it promised since is for others to keep.
    pub(crate) fn set_back(
        &mut self,
        at: usize,
        device: &Device,
        old: &Disk,
        views: Views,
    ) -> Vec<EntryId> {
        self.twice.insert(device.id);
        self.views.insert(at, views);
        let ids = old.entries().map(|record| record.entry.id());
        let lost: Vec<_> = ids.filter(|id| !device.disk.holds(id)).collect();
        self.lost.extend(&lost);
        self.rotted.extend(blobs_lost(old, &device.disk));
        for entries in self.promised.entry(at).or_default().values_mut() {
            entries.retain(|id| device.disk.holds(id));
        }
        lost
    }

    /// Notes what an anchor vouches for that counts.
    pub(super) fn vouch(&mut self, device: &Device, anchor: &Entry) {
        let space = anchor.header().space;
        let Ok(ops) = anchor.open(None) else { return };
        for id in device.vouched(space, &ops) {
            let record = device.disk.by_id(&id);
            let stands = record.and_then(|record| device.standing(&record.entry));
            if stands == Some(Standing::Stands) {
                self.anchored.entry(id).or_insert(anchor.id());
            }
        }
    }

    /// Logs of which two devices hold different sides and one of them does not know yet.
    pub(crate) fn forks_between(&self, a: &Device, b: &Device) -> BTreeSet<LogId> {
        let apart = |ids: &BTreeSet<EntryId>| {
            let of = |device: &Device| -> Vec<EntryId> {
                let held = ids.iter().copied().filter(|id| device.disk.holds(id));
                held.collect()
            };
            let (left, right) = (of(a), of(b));
            left.iter()
                .any(|one| right.iter().any(|other| one != other))
        };
        let forks = self.forks.iter().filter(|(_, ids)| apart(ids));
        let logs = forks.map(|((log, _), _)| *log);
        logs.filter(|log| !a.knows_fork(log) || !b.knows_fork(log))
            .collect()
    }

    /// How many logs forked.
    pub(crate) fn forks(&self) -> u64 {
        let logs: BTreeSet<_> = self.forks.keys().map(|(log, _)| *log).collect();
        u64::try_from(logs.len()).expect("few")
    }
}

/// Looks at two devices while the world goes on.
pub(crate) fn as_it_goes(world: &mut World) -> Result<(), String> {
    let [a, b] = [(); 2].map(|()| world.dice.index(world.seats.len()));
    anchored_stand(world, a)?;
    same_heads_same_view(world, a, b)
}

/// What somebody vouched for, and counted, counts for good: no fork takes it away.
///
/// Where rights are taken away there is more to it, and other checks.
pub(crate) fn anchored_stand(world: &World, at: usize) -> Result<(), String> {
    let device = &world.seats[at].device;
    if !world.habits.is_calm() || device.bad || !device.is_on() || !device.is_whole() {
        return Ok(());
    }
    for (id, anchor) in &world.ledger.anchored {
        let Some(record) = device.disk.by_id(id).filter(|_| device.disk.holds(anchor)) else {
            continue;
        };
        let standing = device.standing(&record.entry);
        if standing != Some(Standing::Stands) {
            let (label, id) = (&device.label, id.short());
            return Err(format!(
                "{label} voids {id}, which was anchored: {standing:?}"
            ));
        }
    }
    Ok(())
}

/// Whether one of two devices shows what it wrote itself above a fork, for which nobody vouched yet: the other waits.
fn is_own_side_shown(left: &Device, right: &Device, space: SpaceId) -> bool {
    let shows = |one: &Device, other: &Device| {
        let own = one.disk.entries_of(space).map(|record| &record.entry);
        let mut own = own.filter(|entry| entry.header().device == one.replica().device());
        own.any(|entry| one.shows_as_own(entry) && !other.shows_as_own(entry))
    };
    shows(left, right) || shows(right, left)
}

/// Two devices with the same entries see the same: levels, branches, and what counts.
fn same_heads_same_view(world: &World, a: usize, b: usize) -> Result<(), String> {
    let sound = |at: usize| {
        let seat = &world.seats[at];
        seat.is_idle() && !seat.device.bad && seat.device.disk.rotten().next().is_none()
    };
    if a == b || !sound(a) || !sound(b) {
        return Ok(());
    }
    let [left, right] = [a, b].map(|at| &world.seats[at].device);
    let control = left.control_space();
    if left.digest(control) != right.digest(control) {
        return Ok(());
    }
    for space in left.albums() {
        if left.digest(space) != right.digest(space) || is_own_side_shown(left, right, space) {
            continue;
        }
        let (mut ours, theirs) = (left.seen_of(space), right.seen_of(space));
        if world.sabotage == Some(Sabotage::Biased) {
            ours[0] ^= 1;
        }
        if ours != theirs {
            let (a, b) = (&left.label, &right.label);
            let standing = |device: &Device, entry| device.standing(entry);
            let mut entries = left.disk.entries_of(space).map(|record| &record.entry);
            let first = entries.find(|entry| standing(left, entry) != standing(right, entry));
            let first = first.map(|entry| {
                let (id, seq) = (entry.id().short(), entry.header().seq);
                let device = entry.header().device.short();
                let standings = (standing(left, entry), standing(right, entry));
                format!("{id} at {seq} of {device}: {standings:?}")
            });
            return Err(format!(
                "{a} and {b} hold the same of {space} and see it otherwise: {first:?}"
            ));
        }
    }
    Ok(())
}

/// Once all is quiet and a day has passed.
pub(super) fn at_rest(world: &World, family: &[usize]) -> Result<(), String> {
    for at in family.iter().copied() {
        let device = &world.seats[at].device;
        if device.is_stuck() {
            let label = &device.label;
            return Err(format!(
                "{label} would write on in a log of its own that forked"
            ));
        }
        anchored_stand(world, at)?;
    }
    for pair in family.windows(2) {
        same_heads_same_view(world, pair[0], pair[1])?;
    }
    both_sides_count(world, family)
}

/// Where nobody takes a right away, all that anybody wrote counts once another device vouched for it.
fn both_sides_count(world: &World, family: &[usize]) -> Result<(), String> {
    if !world.habits.is_calm() {
        return Ok(());
    }
    for written in &world.ledger.written {
        let header = written.entry.header();
        if world.ledger.bad.contains(&header.device) {
            continue;
        }
        let holders = holders(world, family, header.space);
        if !holders.iter().any(|device| device.id != header.device) {
            continue;
        }
        for device in holders {
            let held = device.disk.holds(&written.entry.id());
            let standing = device.standing(&written.entry);
            if held && standing != Some(Standing::Stands) {
                let (label, id) = (&device.label, written.entry.id().short());
                return Err(format!(
                    "{label} holds {id}, and it does not count: {standing:?}"
                ));
            }
        }
    }
    Ok(())
}
