//! What befalls devices, disks and the network while a family lives.

use heirloom_protocol::{
    id::{BlobId, EntryId},
    op::{AddPerson, DeviceKind, Op, Role},
    replica::sign_device,
};

use crate::{
    check::Views,
    disk::Disk,
    faults::Faults,
    story::{Draft, Said, skew},
    world::{Event, Seat, Then, Todo, World},
};

/// Milliseconds of a month.
pub(crate) const MONTH: u64 = 30 * 24 * 3600 * 1000;
/// Homes in a world, copies among them.
const SEATS: usize = 11;

/// A backup of a home: what was durable, and what its device knew of who may read what.
pub(crate) struct Image {
    disk: Disk,
    views: Views,
}

/// What happened in a world, to be counted over many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) crashes: u64,
    pub(crate) refused: u64,
    pub(crate) restores: u64,
    pub(crate) copies: u64,
    pub(crate) equivocators: u64,
    pub(crate) flips: u64,
    pub(crate) forks: u64,
    pub(crate) entries: u64,
    pub(crate) removals: u64,
    pub(crate) jumps: u64,
    pub(crate) replays: u64,
    pub(crate) trashed: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.crashes += more.crashes;
        self.refused += more.refused;
        self.restores += more.restores;
        self.copies += more.copies;
        self.equivocators += more.equivocators;
        self.flips += more.flips;
        self.forks += more.forks;
        self.entries += more.entries;
        self.removals += more.removals;
        self.jumps += more.jumps;
        self.replays += more.replays;
        self.trashed += more.trashed;
    }
}

impl World {
    /// What happens to devices and to the network.
    pub(crate) fn fate(&mut self) {
        let at = self.dice.index(self.seats.len());
        let faults = self.faults.clone();
        if self.dice.permille(faults.crash) && self.seats[at].device.is_on() {
            self.crash(at);
            if self.dice.permille(faults.rot) {
                self.rot(at);
            }
        }
        if self.dice.permille(faults.partition) {
            self.part();
        }
        if self.dice.permille(faults.away) {
            self.seats[at].away = !self.seats[at].away;
            self.note(at, &"goes away or comes back");
            self.cut_far_lines();
        }
        if self.dice.permille(faults.month) {
            self.now += self.dice.range(MONTH / 30, MONTH);
            self.note(at, &"days pass");
        }
        if self.dice.permille(faults.jump) {
            self.seats[at].skew = skew(&mut self.dice);
            self.counts.jumps += 1;
            self.note(at, &"its clock jumps");
        }
        if self.dice.permille(faults.full) {
            self.seats[at].full = true;
            self.note(at, &"its disk is full");
            let delay = self.dice.range(2_000, 120_000);
            self.after(delay, Event::Room(at));
        }
        if self.dice.permille(faults.rot_entry) {
            self.rot_entry(at);
        }
        if self.dice.permille(faults.churn) {
            self.churn(at);
        }
        self.doubles(at, &faults);
    }

    /// What makes two of one.
    fn doubles(&mut self, at: usize, faults: &Faults) {
        if faults.restore > 0 && self.dice.permille(100) {
            self.back_up(at);
        }
        if self.dice.permille(faults.restore) {
            self.restore(at);
        }
        if self.dice.permille(faults.copy) {
            self.copy(at);
        }
        if self.dice.permille(faults.byzantine) {
            self.turn_bad(at);
        }
    }

    fn part(&mut self) {
        match self.dice.below(5) {
            0 => {
                let alone = self.dice.index(self.groups.len());
                self.groups[alone] = 1;
            }
            1 => {
                for group in &mut self.groups {
                    *group = u8::from(self.dice.coin());
                }
            }
            2 => {
                // Towards one device nothing comes through; what it says itself does.
                let deaf = self.dice.index(self.seats.len());
                self.seats[deaf].deaf_until = self.now + self.dice.range(5_000, 120_000);
                return self.note(deaf, &"hears nothing");
            }
            3 => {
                let times = u8::try_from(self.dice.range(4, 20)).expect("few");
                return self.after(0, Event::Flap(times));
            }
            _ => self.groups.fill(0),
        }
        self.note(0, &format_args!("the network parts: {:?}", self.groups));
        self.cut_far_lines();
        let delay = self.dice.range(1_000, 300_000);
        self.after(delay, Event::Mend);
    }

    /// The network parts and heals, again and again.
    pub(crate) fn flap(&mut self, times: u8) {
        let whole = self.groups.iter().all(|group| *group == 0);
        for at in 0..self.groups.len() {
            self.groups[at] = u8::from(whole && self.dice.coin());
        }
        self.note(0, &format_args!("the network flaps: {:?}", self.groups));
        self.cut_far_lines();
        if let Some(left) = times.checked_sub(1) {
            let delay = self.dice.range(200, 6_000);
            self.after(delay, Event::Flap(left));
        } else {
            self.groups.fill(0);
        }
    }

    /// A blob rots on a disk that is off, where another disk has a copy.
    fn rot(&mut self, at: usize) {
        let disk = &self.seats[at].device.disk;
        let mut held = Vec::new();
        for record in disk.entries() {
            for (ordinal, id) in crate::device::announced(&record.entry) {
                let here = disk.here.get(&record.kept);
                if here.is_some_and(|here| here.contains(ordinal)) {
                    held.push((record.kept, ordinal, id));
                }
            }
        }
        let Some((log, ordinal, id)) = self.dice.pick(&held).copied() else {
            return;
        };
        self.counts.flips += 1;
        self.ledger.rotted.insert(id);
        self.note(at, &"a blob rots");
        let disk = &mut self.seats[at].device.disk;
        disk.lose_blob(&log, ordinal, &id);
    }

    /// An album's entry rots on a disk, where another disk has a copy.
    ///
    /// Not one of the family's own: who does not know whom it belongs to asks nobody.
    fn rot_entry(&mut self, at: usize) {
        let seat = &self.seats[at];
        if seat.device.bad {
            return;
        }
        let control = seat.device.control_space();
        let others = |id: &EntryId| {
            let mut others = self.seats.iter().enumerate();
            others.any(|(other, seat)| {
                let record = seat.device.disk.by_id(id);
                let disk = &seat.device.disk;
                other != at && !seat.device.bad && record.is_some_and(|r| disk.reads(r))
            })
        };
        let entries = seat.device.disk.entries();
        let there: Vec<_> = entries
            .filter(|record| record.kept.space != control && others(&record.entry.id()))
            .map(|record| (record.kept, record.entry.header().seq))
            .collect();
        let Some((log, seq)) = self.dice.pick(&there).copied() else {
            return;
        };
        self.counts.flips += 1;
        self.note(
            at,
            &format_args!("entry {seq} of {} rots", log.device.short()),
        );
        self.seats[at].device.rot_entry(log, seq);
        // Whoever finds it out calls the others anew, and claims no more than it can read.
        if self.seats[at].is_idle() {
            self.reload(at);
        }
    }

    fn back_up(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        if !seat.is_idle() || seat.device.bad || seat.device.disk.rotten().next().is_some() {
            return;
        }
        let image = Image {
            disk: seat.device.disk.image(),
            views: self.ledger.views_of(at),
        };
        seat.images.push(image);
        self.note(at, &"is backed up");
    }

    /// A device comes back as it was once, and maybe goes on before it meets anybody.
    fn restore(&mut self, at: usize) {
        if self.seats[at].device.bad || self.seats[at].images.is_empty() {
            return;
        }
        let which = self.dice.index(self.seats[at].images.len());
        let Image { disk, views } = self.seats[at].images.swap_remove(which);
        if self.seats[at].device.is_on() {
            self.crash(at);
        }
        self.counts.restores += 1;
        let old = std::mem::replace(&mut self.seats[at].device.disk, disk);
        let lost = self
            .ledger
            .set_back(at, &self.seats[at].device, &old, views);
        self.note(at, &format_args!("is set back by {} entries", lost.len()));
        if self.sabotage == Some(crate::faults::Sabotage::Thorough) {
            self.lose_everywhere(at, &lost);
        }
        if self.dice.coin() {
            self.seats[at].away = true;
            self.cut_far_lines();
            let delay = self.dice.range(30_000, 200_000);
            self.after(delay, Event::Back(at));
        }
        let delay = self.dice.range(30_000, 30_100);
        self.after(delay, Event::Act(at));
    }

    /// For sabotage: what a backup did not hold is on no other disk either.
    fn lose_everywhere(&mut self, at: usize, lost: &[EntryId]) {
        for other in (0..self.seats.len()).filter(|other| *other != at) {
            if self.seats[other].device.is_on() {
                self.crash(other);
            }
            self.seats[other].device.disk.lose_entries(lost);
        }
    }

    /// A home is copied, and both are run.
    fn copy(&mut self, at: usize) {
        let seat = &self.seats[at];
        let sound =
            seat.is_idle() && !seat.device.bad && seat.device.disk.rotten().next().is_none();
        if !sound || self.seats.len() >= SEATS || !seat.device.is_member() {
            return;
        }
        self.note(at, &"is copied");
        self.counts.copies += 1;
        self.twin(at);
    }

    fn twin(&mut self, at: usize) -> usize {
        let mut copy = self.seats[at].device.copied(&mut self.dice);
        let off = self.seats[at].skew;
        copy.stays = self.sabotage == Some(crate::faults::Sabotage::Stays);
        self.seats[at].device.stays = copy.stays;
        let now = self.moment_at(off);
        let started = copy.start(now);
        self.ledger.twice.insert(copy.id);
        self.ledger.copied(at, self.seats.len());
        let twin = self.settle_in(Seat::new(copy, off));
        if let Err(what) = started {
            self.fail(format!("a copied home does not start: {what}"));
        }
        twin
    }

    /// A member's device signs for two from now on, and shows each half of the family another face.
    fn turn_bad(&mut self, at: usize) {
        let seat = &self.seats[at];
        let sound = seat.is_idle() && seat.device.disk.rotten().next().is_none();
        let is_first = self.counts.equivocators == 0;
        let is_alone = !self.ledger.twice.contains(&seat.device.id);
        let fits = sound && is_first && is_alone && seat.device.is_member();
        if !fits || at == 0 || self.seats.len() < 4 || self.seats.len() >= SEATS {
            return;
        }
        self.note(at, &"turns bad");
        self.counts.equivocators += 1;
        let twin = self.twin(at);
        for (face, at) in [at, twin].into_iter().enumerate() {
            let seat = &mut self.seats[at];
            seat.device.bad = true;
            seat.device.label.push('!');
            seat.face = Some(face);
        }
        self.ledger.bad.insert(self.seats[at].device.id);
        self.cut_far_lines();
    }

    /// Two remove each other at once, or somebody is let in again.
    fn churn(&mut self, at: usize) {
        if !self.habits.remove_device || !self.seats[at].is_idle() {
            return;
        }
        let other = self.dice.index(self.seats.len());
        let [a, b] = [at, other].map(|at| self.seats[at].device.id);
        if a == b || !self.seats[at].device.is_member() {
            return;
        }
        if !self.seats[at].device.admits(&b) {
            return self.let_in_again(at, other);
        }
        if self.seats[other].is_idle() && self.seats[other].device.is_member() {
            self.note(at, &"and another one remove each other");
            for (by, gone) in [(at, b), (other, a)] {
                let draft = Draft::new(Said::Removal(Op::RemoveDevice((gone,))));
                self.seats[by].inbox_push(Todo::Say(Box::new(draft)));
            }
            self.wake(at);
            self.wake(other);
        }
    }

    fn let_in_again(&mut self, at: usize, other: usize) {
        let device = &self.seats[other].device;
        if !self.seats[other].is_idle() || device.bad || !device.is_whole() {
            return;
        }
        if self.seats[at].device.person.is_none() || !self.seats[at].device.is_whole() {
            return;
        }
        let (id, person) = (device.id, device.person);
        let kind = match person {
            Some(_) => DeviceKind::Device,
            None => DeviceKind::Keeper,
        };
        let (family, _) = device.founding();
        let owner = person.unwrap_or(heirloom_protocol::id::PersonId::ZERO);
        let add = sign_device(device.keys(), family, owner, kind);
        let mut ops = Vec::new();
        let replica = self.seats[at].device.replica();
        if let Some(person) = person
            && !replica.control().resolution().persons.contains_key(&person)
        {
            let (role, kit) = (Role::Member, None);
            ops.push(Op::AddPerson(AddPerson { person, role, kit }));
        }
        ops.push(Op::AddDevice(add));
        self.say_now(at, Said::Control(ops));
        let again = self.seats[at].device.admits(&id);
        self.note(
            at,
            &format_args!("lets {} in again: {again}", self.seats[other].device.label),
        );
        if !again {
            return;
        }
        self.say_now(at, Said::Tend);
        let by = self.seats[at].device.id;
        for entries in self.payload(at).chunks(256) {
            let now = self.moment(other);
            let device = &mut self.seats[other].device;
            let (stage, _) = device.take(by, entries.to_vec(), &mut self.verified, now);
            self.finish(other, stage, Then::Nothing);
        }
        self.wake(at);
        self.wake(other);
    }
}

/// The blobs of one disk that another has not.
pub(crate) fn blobs_lost(old: &Disk, new: &Disk) -> Vec<BlobId> {
    let lost = old.blob_ids().filter(|id| !new.has_durable_blob(id));
    lost.collect()
}
