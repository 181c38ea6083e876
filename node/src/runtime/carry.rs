//! What of the family's logs and blobs goes into a folder that is carried, and what is taken out of one.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use heirloom_protocol::{
    album::asset::BlobRef,
    carry::SpaceRow,
    id::{BlobId, DeviceId, LogId, PersonId, SpaceId},
    log::entry::{Entry, EntryBytes, EntryError},
    replica::Refusal,
    sync::{
        Head, LogView,
        have::{self, PeerHaves},
        message::HaveMode,
        want::{Failure, Path, Wanted},
    },
};
use roaring::RoaringBitmap;

use super::{Runtime, RuntimeError, Verdict, days::kept_since, name_of};
use crate::store::{BlobPlace, BlobState};

/// Of one log, what is to be carried.
#[derive(Clone, PartialEq, Debug)]
pub struct CarriedLog {
    /// The log, by the name that peers know.
    pub log: LogId,
    /// The entries.
    pub seqs: Range<u32>,
    /// The blobs, all of which are here.
    pub blobs: RoaringBitmap,
}

/// Of one space, what is to be carried, and who may have it.
#[derive(Clone, PartialEq, Debug)]
pub struct CarriedSpace {
    /// The space.
    pub space: SpaceId,
    /// Persons whose devices may replicate it.
    pub persons: Vec<PersonId>,
    /// Keepers that may.
    pub keepers: Vec<DeviceId>,
    /// Control entries among those of the logs, each after all that it names.
    pub first: Vec<(LogId, u32)>,
    /// The logs.
    pub logs: Vec<CarriedLog>,
}

/// What is carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scope {
    /// For this device alone: spaces that it may have, without what it is known to hold.
    pub to: Option<DeviceId>,
    /// Of albums, what was written since then, Unix milliseconds.
    pub since: Option<u64>,
}

/// How a device stands in the family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Standing {
    /// It belongs to it.
    Live,
    /// It did, and was removed.
    Left,
    /// It never did, as far as is known.
    #[default]
    Unknown,
}

/// What became of entries that were carried here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// New here, and durable.
    pub new: u64,
    /// Here already, or valid and of no account.
    pub known: u64,
    /// Waiting for something that is not here.
    pub waiting: u64,
    /// Signed by nobody of this family, or not what follows in their log.
    pub invalid: u64,
    /// Of a space that is not for this device, as far as is known.
    pub not_ours: u64,
}

impl Taken {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.new += other.new;
        self.known += other.known;
        self.waiting += other.waiting;
        self.invalid += other.invalid;
        self.not_ours += other.not_ours;
    }
}

/// A blob as an entry names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reference {
    /// The log of the entry.
    pub log: LogId,
    /// The number of the blob there.
    pub ordinal: u32,
    /// The blob.
    pub id: BlobId,
    /// Whether it did not end so long ago that an archive lets the blob go.
    pub counts: bool,
}

/// References that ended so long ago, of logs as they are kept.
struct LongEnded {
    /// When they had to have ended, Unix milliseconds.
    until: u64,
    /// What was looked up.
    logs: BTreeMap<LogId, RoaringBitmap>,
}

impl Runtime {
    /// What is to be carried, the control space first.
    pub fn carried(&self, scope: Scope) -> Result<Vec<CarriedSpace>, RuntimeError> {
        let control = self.replica.family().control_space();
        let reader = scope.to.unwrap_or_else(|| self.device());
        let mut spaces: Vec<_> = self
            .spaces_for(reader)
            .into_iter()
            .map(|(space, _)| space)
            .collect();
        spaces.sort_by_key(|space| (*space != control, *space));
        let mut carried = Vec::with_capacity(spaces.len());
        for space in spaces {
            let mut logs = Vec::new();
            for head in self.heads(space) {
                logs.push(self.carried_log(&head, scope, space == control)?);
            }
            let (persons, keepers) = self.readers_of(&space);
            let ranges: BTreeMap<LogId, Range<u32>> = logs
                .iter()
                .map(|carried| (carried.log, carried.seqs.clone()))
                .collect();
            let mut first = self.causal(space);
            first.retain(|(log, seq)| ranges.get(log).is_some_and(|seqs| seqs.contains(seq)));
            carried.push(CarriedSpace {
                space,
                persons,
                keepers,
                first,
                logs,
            });
        }
        Ok(carried)
    }

    fn carried_log(
        &self,
        head: &Head,
        scope: Scope,
        is_control: bool,
    ) -> Result<CarriedLog, RuntimeError> {
        let log = head.log;
        let end = head.seq.saturating_add(1);
        let mut blobs = self.blobs_here(&log)?;
        let mut from = head.first;
        // Who belongs must be known before anything else counts, and costs little.
        if let Some(state) = self.replica.log(&log).filter(|_| !is_control) {
            if let Some(since) = scope.since {
                let old = state
                    .chain
                    .iter()
                    .take_while(|step| step.hlc.time().0 < since);
                let old = u32::try_from(old.count()).unwrap_or(u32::MAX);
                from = from.max(state.first.saturating_add(old));
                if let Some(step) = state.step(from) {
                    blobs.remove_range(..step.first_blob);
                } else {
                    blobs.clear();
                }
            }
            if let Some(to) = scope.to
                && let Some(held) = self.peers.have.bits(&to, &log)
            {
                // Who holds a blob has the entry that announces it, and all before. But its own log
                // goes whole: a device that comes back from a backup has lost the end of it.
                if let Some(last) = held.max().filter(|_| to != log.device) {
                    let known = state.chain.partition_point(|step| step.first_blob <= last);
                    let known = u32::try_from(known).unwrap_or(u32::MAX);
                    from = from.max(state.first.saturating_add(known));
                }
                blobs -= held;
            }
        }
        Ok(CarriedLog {
            log,
            seqs: from.min(end)..end,
            blobs,
        })
    }

    fn readers_of(&self, space: &SpaceId) -> (Vec<PersonId>, Vec<DeviceId>) {
        let control = self.replica.control();
        let (mut persons, mut keepers) = (BTreeSet::new(), BTreeSet::new());
        for device in control.resolution().devices.keys() {
            if !self.replica.may_replicate(device, space) {
                continue;
            }
            match control.person_of(device) {
                Some(person) => persons.insert(person),
                None => keepers.insert(*device),
            };
        }
        (persons.into_iter().collect(), keepers.into_iter().collect())
    }

    /// An entry that is here and whole.
    pub fn carried_entry(&self, log: &LogId, seq: u32) -> Option<EntryBytes> {
        self.entry(log, seq)
    }

    /// Where blobs of a log lie; those that are not here are left out.
    pub fn carried_blobs(
        &self,
        log: &LogId,
        ordinals: &[u32],
    ) -> Result<Vec<(BlobRef, BlobPlace)>, RuntimeError> {
        let mut found = Vec::with_capacity(ordinals.len());
        for ordinal in ordinals {
            let Some(kept) = self.replica.kept_blob(log, *ordinal) else {
                continue;
            };
            if let BlobState::Here(place) = self.store.blob_state(&kept, *ordinal)?
                && let Some(blob) = self.blob_of(log, *ordinal)?
            {
                found.push((blob, place));
            }
        }
        Ok(found)
    }

    /// Those of some blobs of a log that were deleted for good, here as well, and so long ago that an
    /// archive lets them go: until then a deletion can be taken back.
    pub fn gone_for_good(
        &self,
        log: &LogId,
        blobs: &RoaringBitmap,
    ) -> Result<Vec<BlobRef>, RuntimeError> {
        let mut ended = self.long_ended()?;
        let mut gone = Vec::new();
        for ordinal in blobs {
            let Some(kept) = self.replica.kept_blob(log, ordinal) else {
                continue;
            };
            if self.has_long_ended(&mut ended, &kept, ordinal)
                && self.store.blob_state(&kept, ordinal)? == BlobState::Absent
            {
                gone.extend(self.blob_of(log, ordinal)?);
            }
        }
        Ok(gone)
    }

    /// An archive lets go what this device lets go: by days that it saw, not by a clock that jumps.
    fn long_ended(&self) -> Result<LongEnded, RuntimeError> {
        Ok(LongEnded {
            until: kept_since(&self.store, self.now().0)?,
            logs: BTreeMap::new(),
        })
    }

    fn has_long_ended(&self, ended: &mut LongEnded, kept: &LogId, ordinal: u32) -> bool {
        let until = ended.until;
        let ended = ended.logs.entry(*kept);
        ended
            .or_insert_with(|| self.drops.ended_until(kept, until))
            .contains(ordinal)
    }

    /// References by the names under which they are kept, by those that peers know, and whether they count.
    pub fn judged(&self, references: Vec<Reference>) -> Result<Vec<Reference>, RuntimeError> {
        let mut ended = self.long_ended()?;
        let judged = references.into_iter().map(|one| Reference {
            log: self.name_kept(&one.log, one.ordinal).log,
            counts: !self.has_long_ended(&mut ended, &one.log, one.ordinal),
            ..one
        });
        Ok(judged.collect())
    }

    /// The blobs that entries of a log announce.
    pub fn ordinals_of(&self, log: &LogId) -> RoaringBitmap {
        let mut bits = RoaringBitmap::new();
        if let Some(state) = self.replica.log(log) {
            bits.insert_range(state.ordinals());
        }
        bits
    }

    /// What of some blobs no entry here announces.
    pub fn unannounced(&self, blobs: Vec<(LogId, RoaringBitmap)>) -> Vec<(LogId, RoaringBitmap)> {
        let blobs = blobs.into_iter();
        let unknown = blobs.map(|(log, bits)| (log, bits - self.ordinals_of(&log)));
        unknown.filter(|(_, bits)| !bits.is_empty()).collect()
    }

    /// Whether a device belongs to the family now.
    pub fn is_live(&self, device: &DeviceId) -> bool {
        self.replica.control().is_live(device)
    }

    /// How a device stands in the family, as far as is known.
    pub fn standing(&self, device: &DeviceId) -> Standing {
        let control = self.replica.control();
        match control.resolution().owners.contains_key(device) {
            _ if control.is_live(device) => Standing::Live,
            true => Standing::Left,
            false => Standing::Unknown,
        }
    }

    /// The spaces of some rows that are for this device, by the word of who wrote the rows.
    pub fn spaces_among(&self, rows: &[SpaceRow]) -> BTreeSet<SpaceId> {
        let (me, person) = (self.device(), self.replica.person());
        let is_ours = |row: &&SpaceRow| match &person {
            Some(person) => row.persons.contains(person),
            None => row.keepers.contains(&me),
        };
        rows.iter().filter(is_ours).map(|row| row.space).collect()
    }

    /// Takes note of what a device of the family put into a folder, as if it had claimed it in a session.
    ///
    /// A claim counts as a copy only once it was proved. Durable when it returns.
    pub fn note_carried(
        &mut self,
        device: DeviceId,
        rows: &[SpaceRow],
    ) -> Result<(), RuntimeError> {
        // The command that reads a disk ends soon: nothing may wait for a later commit.
        if !self.is_live(&device) || device == self.device() {
            return Ok(());
        }
        for row in rows {
            let logs = row.logs.iter().filter_map(|log| {
                let bits = have::decode(&log.blobs).ok()?;
                Some((log.log(row.space), bits))
            });
            let logs: Vec<_> = logs
                .filter(|(log, _)| self.replica.log(log).is_some())
                .collect();
            if !logs.is_empty() {
                self.peer_has(device, row.space, HaveMode::Added, logs)?;
            }
        }
        self.save_claims()
    }

    /// Takes entries that were carried here, as if a peer had sent them. Durable when it returns.
    ///
    /// Those of a space that this device does not replicate and that is not among `offered` are left.
    pub fn take_carried(
        &mut self,
        entries: Vec<EntryBytes>,
        offered: &BTreeSet<SpaceId>,
    ) -> Result<Taken, RuntimeError> {
        let me = self.device();
        let mut taken = Taken::default();
        let mut ours = Vec::with_capacity(entries.len());
        for bytes in entries {
            let space = Entry::trust(bytes.clone()).map(|entry| entry.header().space);
            match space {
                Ok(space)
                    if self.replica.may_replicate(&me, &space) || offered.contains(&space) =>
                {
                    ours.push(bytes);
                }
                Ok(_) => taken.not_ours += 1,
                // A later version of the program may read it.
                Err(EntryError::UnknownVersion(..)) => taken.waiting += 1,
                Err(_) => taken.invalid += 1,
            }
        }
        // Nobody else is to be spared the news: this device has no session with itself.
        for verdict in self.accept(me, ours)? {
            match verdict {
                Verdict::Taken => taken.new += 1,
                Verdict::Here => taken.known += 1,
                Verdict::Waits => taken.waiting += 1,
                Verdict::Invalid => taken.invalid += 1,
                Verdict::Refused(Refusal::BadChain | Refusal::WrongSpace) => taken.invalid += 1,
                Verdict::Refused(_) => taken.known += 1,
            }
        }
        Ok(taken)
    }

    /// All blobs that entries here announce, as if somebody claimed them.
    pub fn claims_of_all(&self, as_device: DeviceId) -> PeerHaves {
        let mut claims = PeerHaves::default();
        for (log, state) in self.replica.logs() {
            let mut bits = RoaringBitmap::new();
            bits.insert_range(state.ordinals());
            claims.apply(as_device, log.space, HaveMode::Added, vec![(*log, bits)]);
        }
        claims
    }

    /// Blobs that this device lacks and a carrier claims, the most wanted first.
    ///
    /// They count as asked for until they came, failed, or [`Self::peer_lost`].
    pub fn wanted_carried(
        &mut self,
        from: DeviceId,
        claims: &PeerHaves,
        max: usize,
    ) -> Result<Vec<BlobRef>, RuntimeError> {
        loop {
            let wanted = self.want.next(from, claims, Path::Free, max);
            if wanted.is_empty() {
                return Ok(Vec::new());
            }
            let mut blobs = Vec::with_capacity(wanted.len());
            for Wanted { place, .. } in wanted {
                match self.blob_of(&place.log, place.ordinal)? {
                    Some(blob) => blobs.push(blob),
                    None => self.want.done(&place),
                }
            }
            if !blobs.is_empty() {
                return Ok(blobs);
            }
        }
    }

    /// A blob did not come from a carrier: peers and other carriers may be asked.
    pub fn not_carried(&mut self, blob: &BlobRef, from: DeviceId) {
        self.want.failed(&name_of(blob), from, Failure::Interrupted);
    }
}
