//! What sessions see of a device: what it can read, and no more.

use super::*;

/// What a session may read.
pub(super) struct Seen<'a> {
    replica: &'a Replica,
    disk: &'a Disk,
    sessions: &'a BTreeMap<DeviceId, Session>,
    digests: &'a RefCell<BTreeMap<SpaceId, Digest>>,
    reads: &'a Reads,
    leaks: bool,
}

/// How well a disk reads: in so many of a thousand cases it does not.
pub(crate) struct Reads {
    pub(crate) errors: u64,
    dice: RefCell<Dice>,
}

impl Reads {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let dice = RefCell::new(Dice::new(dice.next()));
        Self { errors: 0, dice }
    }

    fn fails(&self) -> bool {
        self.errors > 0 && self.dice.borrow_mut().permille(self.errors)
    }
}

impl<'a> Seen<'a> {
    pub(super) fn of(live: &'a Live, disk: &'a Disk, reads: &'a Reads, leaks: bool) -> Self {
        Self {
            replica: &live.replica,
            disk,
            sessions: &live.sessions,
            digests: &live.digests,
            reads,
            leaks,
        }
    }

    /// From where on a log does not read, by the name that peers know.
    ///
    /// A device claims no more than it can read, and so is given the rest again.
    fn unreadable(&self) -> BTreeMap<LogId, u32> {
        let mut from = BTreeMap::new();
        for (kept, seq) in self.disk.rotten() {
            if let Some(log) = self.replica.named(&kept, seq) {
                let first = from.entry(log).or_insert(seq);
                *first = (*first).min(seq);
            }
        }
        from
    }
}

impl LogView for Seen<'_> {
    fn spaces_for(&self, peer: DeviceId) -> Vec<(SpaceId, Digest)> {
        let control = self.replica.family().control_space();
        let spaces = std::iter::once(control).chain(self.replica.albums().map(|(id, _)| *id));
        let mut rows: Vec<_> = spaces
            .filter(|space| self.leaks || self.replica.may_replicate(&peer, space))
            .map(|space| (space, self.digest(space)))
            .collect();
        rows.sort_unstable();
        rows
    }

    fn heads(&self, space: SpaceId) -> Vec<Head> {
        let logs = self.replica.logs_of(space);
        let unreadable = self.unreadable();
        let head = |(log, state): (&LogId, &LogState)| {
            let (mut seq, mut id) = state.head()?;
            if let Some(from) = unreadable.get(log) {
                seq = from.checked_sub(1)?;
                id = state.step(seq)?.id;
            }
            Some(Head {
                log: *log,
                first: state.first,
                seq,
                id,
            })
        };
        logs.filter_map(head).collect()
    }

    fn entry(&self, log: &LogId, seq: u32) -> Option<EntryBytes> {
        let kept = self.replica.kept(log, seq)?;
        let record = self.disk.record(&kept, seq)?;
        let reads = self.disk.reads(record) && !self.reads.fails();
        reads.then(|| record.entry.bytes().clone())
    }

    fn entry_id(&self, log: &LogId, seq: u32) -> Option<EntryId> {
        Some(self.replica.log(log)?.step(seq)?.id)
    }

    fn causal(&self, space: SpaceId) -> Vec<(LogId, u32)> {
        let entries = self.disk.causal(space).iter();
        let place = |id| {
            let (kept, seq) = self.disk.locate(id)?;
            Some((self.replica.named(&kept, seq)?, seq))
        };
        entries.filter_map(place).collect()
    }

    fn digest(&self, space: SpaceId) -> Digest {
        let mut digests = self.digests.borrow_mut();
        *digests
            .entry(space)
            .or_insert_with(|| heads_digest(self.heads(space)))
    }

    fn is_pulled_elsewhere(&self, space: SpaceId, peer: DeviceId) -> bool {
        let mut others = self.sessions.iter().filter(|(other, _)| **other != peer);
        others.any(|(_, session)| session.is_pulling(space))
    }

    fn have_digests(&self, peer: DeviceId) -> Vec<(SpaceId, Digest)> {
        let spaces = self.spaces_for(peer).into_iter();
        spaces
            .map(|(space, _)| {
                let rows = self.have(space);
                (
                    space,
                    have::digest(rows.iter().map(|(log, bits)| (log, bits))),
                )
            })
            .collect()
    }

    fn have(&self, space: SpaceId) -> Vec<(LogId, RoaringBitmap)> {
        let logs = self.replica.logs_of(space);
        logs.filter(|(_, state)| !state.ordinals().is_empty())
            .map(|(log, _)| (*log, blobs_here(self.replica, self.disk, log)))
            .collect()
    }

    fn peer_have_digests(&self, peer: DeviceId) -> Vec<(SpaceId, Digest)> {
        self.disk.haves.digests(&peer)
    }
}
