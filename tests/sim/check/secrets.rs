//! Who reads which album, as each device sees it, and that nobody else does.
//!
//! A device that means ill lets in whom it likes, and gives away what it may read itself: no
//! protocol keeps it from that. What it may not read is as secret from its friends as from itself.

use super::*;

/// Who reads which album, as one device sees it.
pub(crate) type Views = BTreeMap<SpaceId, View>;

/// Who reads an album, as one device sees it.
#[derive(Clone, Default)]
pub(crate) struct View {
    reads: BTreeSet<DeviceId>,
    /// Who could read it before, and since when this device knows better.
    pub(super) lost: BTreeMap<DeviceId, u64>,
}

/// Whom some devices let in.
#[derive(Default)]
pub(super) struct LetIn {
    /// Who ever could read an album, as any of them saw it.
    ever: BTreeMap<SpaceId, BTreeSet<DeviceId>>,
    /// When somebody could read an album again, as one of them saw it.
    returned: Vec<(u64, SpaceId, DeviceId)>,
}

impl LetIn {
    pub(super) fn contains(&self, space: &SpaceId, device: &DeviceId) -> bool {
        let ever = self.ever.get(space);
        ever.is_some_and(|ever| ever.contains(device))
    }

    /// Whether a device may open an entry: it was let in, and its author knew of no loss.
    ///
    /// Whoever was let in again since its author knew of the loss got the keys until then,
    /// and its author need not have heard of what came after.
    fn opens(&self, written: &Written, device: &DeviceId) -> bool {
        let space = written.entry.header().space;
        let returned = |lost: &u64| {
            let mut returned = self.returned.iter();
            returned.any(|(when, album, who)| (*album, *who) == (space, *device) && *when >= *lost)
        };
        self.contains(&space, device) && written.lost.get(device).is_none_or(returned)
    }
}

impl Ledger {
    /// Looks again at who may read what, as a device sees it.
    pub(crate) fn look(&mut self, at: usize, device: &Device, now: u64) {
        let let_in = match device.bad {
            true => &mut self.betrayed_to,
            false => &mut self.let_in,
        };
        if !device.is_whole() {
            // What it has forgotten for now takes nothing away; whom it lets in is let in.
            for (space, reads) in device.readers() {
                let_in.ever.entry(space).or_default().extend(reads);
            }
            return;
        }
        for (space, reads) in device.readers() {
            let view = self.views.entry(at).or_default().entry(space).or_default();
            for reader in &reads {
                if view.lost.remove(reader).is_some() {
                    let_in.returned.push((now, space, *reader));
                }
            }
            let gone = view.reads.difference(&reads).copied();
            let gone: Vec<_> = gone.map(|reader| (reader, now)).collect();
            view.lost.extend(gone);
            let_in.ever.entry(space).or_default().extend(&reads);
            view.reads = reads;
        }
    }

    /// Entries that a device must never open.
    fn secrets_from(&self, device: &DeviceId) -> Vec<Arc<Entry>> {
        let is_secret = |written: &&Written| {
            let reads = |id: &DeviceId| self.let_in.opens(written, id);
            let is_betrayed =
                || self.betrayed_to.opens(written, device) && self.bad.iter().any(reads);
            !reads(device) && !is_betrayed()
        };
        let secrets = self.written.iter().filter(is_secret);
        secrets.map(|written| written.entry.clone()).collect()
    }
}

/// No disk holds anything of an album that was never for its device, but what a traitor gave it.
pub(super) fn nothing_leaked(world: &World) -> Result<(), String> {
    for seat in world.seats.iter().filter(|seat| !seat.device.bad) {
        let device = &seat.device;
        for record in device.disk.entries() {
            let space = record.kept.space;
            let control = space == device.control_space();
            let betrayed = (device.id, record.entry.id());
            let is_betrayed = world.ledger.betrayed.contains(&betrayed);
            if !control && !is_betrayed && !world.ledger.was_entitled(&device.id, &space) {
                let label = &device.label;
                return Err(format!("{label} holds entries of {space}, never for it"));
            }
        }
    }
    Ok(())
}

/// Whoever lost access, or never had it, tries every key on everything, with the help of all others.
pub(super) fn nobody_reads_what_is_secret(world: &mut World) -> Result<(), String> {
    let mut attackers: Vec<(usize, Vec<Arc<Entry>>)> = (0..world.seats.len())
        .map(|at| (at, world.ledger.secrets_from(&world.seats[at].device.id)))
        .filter(|(at, secrets)| !secrets.is_empty() && world.seats[*at].device.is_on())
        .collect();
    let most = if world.sabotage.is_some() { 9 } else { 2 };
    while attackers.len() > most {
        let at = world.dice.index(attackers.len());
        attackers.swap_remove(at);
    }
    let mut all: BTreeMap<EntryId, Arc<Entry>> = BTreeMap::new();
    for seat in &world.seats {
        let entries = seat.device.disk.entries().map(|record| &record.entry);
        let control = entries.filter(|entry| entry.header().is_control());
        all.extend(control.map(|entry| (entry.id(), entry.clone())));
    }
    // A loss that its author knew of may turn out not to count, as when its own right was taken.
    let mut readers_in_the_end: BTreeSet<(SpaceId, DeviceId)> = BTreeSet::new();
    for at in family(world) {
        for (space, readers) in world.seats[at].device.readers() {
            readers_in_the_end.extend(readers.into_iter().map(|id| (space, id)));
        }
    }
    for (at, secrets) in attackers {
        if world.sabotage == Some(Sabotage::StolenKey) {
            let moment = world.moment(at);
            let victim = (0..world.seats.len()).find(|other| {
                let id = &world.seats[*other].device.id;
                world.ledger.secrets_from(id).is_empty()
            });
            let Some(victim) = victim else { continue };
            let disk = world.seats[victim].device.disk.clone();
            let (low, high) = (at.min(victim), at.max(victim));
            let (left, right) = world.seats.split_at_mut(high);
            let (a, b) = (&mut left[low].device, &mut right[0].device);
            if at < victim {
                a.steal(b)
            } else {
                b.steal(a)
            }
            world.seats[at].device.disk = disk;
            world.seats[at].device.start(moment)?;
        }
        let device = &mut world.seats[at].device;
        let mut left: Vec<&Arc<Entry>> = all
            .values()
            .filter(|entry| !device.disk.holds(&entry.id()))
            .collect();
        loop {
            let before = left.len();
            left.retain(|entry| !device.swallow(entry));
            if left.len() == before {
                break;
            }
        }
        for entry in secrets {
            let may_read =
                |id: &DeviceId| readers_in_the_end.contains(&(entry.header().space, *id));
            if device.opens(&entry) && !may_read(&device.id) {
                let (label, id) = (&device.label, entry.id().short());
                return Err(format!("{label} reads {id}, which is not for it"));
            }
        }
    }
    Ok(())
}
