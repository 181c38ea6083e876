//! A device that comes twice, that is set back, and whose records rot.

use super::*;

/// What is not as it should be.
impl Device {
    /// Another device with the keys of this one and what is durable of it; it is off.
    pub(crate) fn copied(&self, dice: &mut Dice) -> Self {
        let founding = (self.family, self.genesis.clone());
        let label = format!("{}'", self.label);
        let mut copy = Self::new(label, self.keys.clone(), self.person, founding, dice);
        copy.disk = self.disk.image();
        copy
    }

    /// Whether every control entry of this device reads, and it knows all that it knew.
    pub(crate) fn is_whole(&self) -> bool {
        self.disk.is_whole()
    }

    /// An entry rots while nobody looks.
    pub(crate) fn rot_entry(&mut self, log: LogId, seq: u32) {
        self.disk.rot_entry(log, seq);
        if let Some(live) = &self.live {
            live.digests.borrow_mut().clear();
        }
    }

    /// Writes a record again that came again, if it no longer read.
    pub(super) fn mend(&mut self, entry: &Entry, stage: &mut Stage) {
        let live = self.live.as_ref().expect("the device is on");
        let place = place_of(&live.replica, entry);
        if self.careless || !self.disk.mend(place.kept, place.seq) {
            return;
        }
        live.digests.borrow_mut().clear();
        let header = entry.header();
        if header.is_control() {
            stage.reload = true;
        }
        stage.rebuild.insert(header.space);
    }

    /// Whether this device takes no notice of an entry, for being bad or sabotaged.
    pub(super) fn turns_away(&self, entry: &Entry) -> bool {
        if self.bad && entry.header().device == self.id {
            return !self.disk.holds(&entry.id());
        }
        let goes_elsewhere = |seq| {
            let logs = self.replica().logs();
            let mut same = logs.filter(|(log, _)| {
                (log.space, log.device, log.inc)
                    == (
                        entry.header().space,
                        entry.header().device,
                        entry.header().inc,
                    )
            });
            same.any(|(_, state)| state.step(seq).is_some_and(|step| step.id != entry.id()))
        };
        self.blind && goes_elsewhere(entry.header().seq)
    }

    /// The entries of a space that others can be given: those that read, as do all before them and
    /// all that they name.
    pub(crate) fn gives(&self, space: SpaceId) -> BTreeSet<EntryId> {
        let mut given: BTreeSet<EntryId> = self
            .disk
            .readable_of(space)
            .map(|record| record.entry.id())
            .collect();
        loop {
            let has_all = |record: &&Record| {
                let header = record.entry.header();
                let is_here = |id: &EntryId| {
                    let elsewhere = |record: &Record| record.kept.space != space;
                    given.contains(id) || self.disk.by_id(id).is_some_and(elsewhere)
                };
                given.contains(&record.entry.id())
                    && (header.seq == 0 || is_here(&header.prev))
                    && header.deps.iter().all(is_here)
            };
            let records = self.disk.entries_of(space).filter(has_all);
            let left: BTreeSet<EntryId> = records.map(|record| record.entry.id()).collect();
            if left == given {
                return given;
            }
            given = left;
        }
    }

    /// Whether a log is known here to go on in two ways.
    pub(crate) fn knows_fork(&self, log: &LogId) -> bool {
        self.is_on() && self.replica().is_forked(log)
    }

    /// Whether another may be told of a space, as far as this device knows all.
    pub(crate) fn may_tell(&self, other: &Self, space: &SpaceId) -> bool {
        self.is_whole() && self.replica().may_replicate(&other.id, space)
    }

    /// The albums that this device knows.
    pub(crate) fn albums(&self) -> Vec<SpaceId> {
        let albums = self.replica().albums();
        albums.map(|(space, _)| *space).collect()
    }

    /// Whether it would write on in a log that forked.
    pub(crate) fn is_stuck(&self) -> bool {
        self.is_on() && self.replica().is_own_log_forked()
    }

    /// How an entry of an album stands here.
    pub(crate) fn standing(&self, entry: &Entry) -> Option<Standing> {
        let album = self.replica().album(&entry.header().space)?;
        let control = self.replica().control();
        Some(album.standing(control, &entry.id(), Level::Viewer))
    }

    /// Whether this device alone shows what an entry of its own adds: it lies above a fork, and nobody vouched for it.
    pub(crate) fn shows_as_own(&self, entry: &Entry) -> bool {
        let album = self.replica().album(&entry.header().space);
        let control = self.replica().control();
        let standing = album.map(|album| album.standing(control, &entry.id(), Level::Contributor));
        standing == Some(Standing::Own)
    }

    /// The entries that an anchor of this device's vouches for, by what it names.
    pub(crate) fn vouched(&self, space: SpaceId, ops: &[Option<Op>]) -> Vec<EntryId> {
        let mut vouched = Vec::new();
        for op in ops.iter().flatten() {
            let Op::Anchor((positions,)) = op else {
                continue;
            };
            for witness in positions {
                let log = LogId {
                    space,
                    device: witness.device,
                    inc: witness.position.inc,
                    branch: witness.branch,
                };
                let steps = self
                    .replica()
                    .log(&log)
                    .map(|state| (state.first, &state.chain));
                let Some((first, chain)) = steps else {
                    continue;
                };
                let upto = (first..).zip(chain);
                let upto = upto.take_while(|(seq, _)| *seq <= witness.position.seq);
                vouched.extend(upto.map(|(_, step)| step.id));
            }
        }
        vouched
    }

    /// What everybody with the same entries must see of a space, whatever their keys: 32 bytes.
    pub(crate) fn seen_of(&self, space: SpaceId) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let replica = self.replica();
        let people = replica.album(&space).into_iter();
        for (person, level) in people.flat_map(|album| album.people()) {
            hasher.update(&person.0);
            hasher.update(&wire::encode(&level));
        }
        let mut entries: Vec<_> = self.disk.entries_of(space).collect();
        entries.sort_by_key(|record| record.entry.id());
        for record in entries {
            let place = place_of(replica, &record.entry);
            hasher.update(&record.entry.id().0);
            hasher.update(&place.log.branch.0);
            hasher.update(&wire::encode(&replica.level_of(&record.entry)));
        }
        *hasher.finalize().as_bytes()
    }
}
