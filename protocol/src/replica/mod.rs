//! The family as this device knows it.
//!
//! [`Replica::accept`] (theirs) and [`Replica::record`] (ours) are the only ways
//! in. Both change memory alone and say in data what follows: the entries to
//! commit, and [`Effect`]s for the catalog. Everything here can be made again
//! from the entries, in any order that keeps each after what it names.

mod ahead;
mod control;
mod ended;
mod keys;
mod logs;
mod policy;
mod project;
mod recovery;
mod removal;
mod roster;
mod space;
#[cfg(test)]
mod tests;
mod write;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use self::logs::{Fit, Logs};
use crate::{
    crypto::DeviceKeys,
    id::{BranchId, DeviceId, EntryId, FamilyId, LogId, PersonId, SpaceId},
    log::entry::Entry,
    op::Genesis,
    time::{Hlc, Timestamp},
};

pub use self::{
    control::{Control, cosign_bytes},
    logs::{KeptLog, LogState, Place, Step},
    project::{Projected, Projection},
    recovery::{KitAct, KitUse},
    roster::{DeviceRow, PersonRow},
    space::{AlbumSpace, Promise},
    write::{Founded, Recorded, WriteError, found, sign_device},
};

/// What follows from an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The entry's ops can be projected now.
    Project,
    /// Everything of an album is to be projected anew: access, cuts or keys changed.
    Rebuild(SpaceId),
    /// Who belongs, or their keys or names, changed.
    Roster,
    /// An album came or its access changed.
    Album(SpaceId),
    /// A log forked; this is the branch that came last. What lay above the fork has another name now.
    Fork(LogId),
}

/// Why an entry is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is here already; nothing is wrong.
    #[error("entry is here already")]
    AlreadyHere,
    /// It names something that is not here yet; try again later.
    #[error("entry waits for others")]
    Waiting,
    /// It does not follow its log.
    #[error("entry does not follow its log")]
    BadChain,
    /// Its author may not write here.
    #[error("author may not write here")]
    NotAMember,
    /// It is of another kind than its space allows.
    #[error("entry does not belong in this space")]
    WrongSpace,
}

/// The family as this device knows it.
pub struct Replica {
    keys: Arc<DeviceKeys>,
    incarnation: u64,
    control: Control,
    albums: BTreeMap<SpaceId, AlbumSpace>,
    logs: Logs,
    clock: Hlc,
    /// Entries whose last-writer-wins ops wait until this device's clock reaches them.
    held: Vec<(Hlc, EntryId)>,
}

impl Replica {
    /// A replica that knows nothing but the family's first op.
    ///
    /// `incarnation` is random and kept by the caller; a device that is not sure
    /// of its past starts with a new one.
    pub fn new(
        keys: Arc<DeviceKeys>,
        incarnation: u64,
        family: FamilyId,
        genesis: Genesis,
    ) -> Self {
        Self {
            keys,
            incarnation,
            control: Control::new(family, genesis),
            albums: BTreeMap::new(),
            logs: Logs::default(),
            clock: Hlc::default(),
            held: Vec::new(),
        }
    }

    /// The family.
    pub fn family(&self) -> FamilyId {
        self.control.family()
    }

    /// This device.
    pub fn device(&self) -> DeviceId {
        self.keys.device_id()
    }

    /// The incarnation under which this device writes.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Goes on writing under another incarnation: a fresh random number, kept by the caller before
    /// anything is written under it.
    pub fn renew(&mut self, incarnation: u64) {
        self.incarnation = incarnation;
        // A new log need not follow a clock that was ahead.
        self.clock = Hlc::default();
    }

    /// Whether this device has to go on in a new incarnation before it writes.
    pub fn is_own_log_forked(&self) -> bool {
        let mine = self.logs.iter().map(|(log, _)| log).filter(|log| {
            log.device == self.device()
                && log.inc == self.incarnation
                && log.branch != BranchId::ZERO
        });
        mine.count() > 0
    }

    /// This device's person, unless it is a keeper or was removed.
    pub fn person(&self) -> Option<PersonId> {
        self.control.person_of(&self.device())
    }

    /// Who belongs.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// An album's access and keys.
    pub fn album(&self, space: &SpaceId) -> Option<&AlbumSpace> {
        self.albums.get(space)
    }

    /// All albums known here.
    pub fn albums(&self) -> impl Iterator<Item = (&SpaceId, &AlbumSpace)> {
        self.albums.iter()
    }

    /// All logs known here.
    pub fn logs(&self) -> impl Iterator<Item = (&LogId, &LogState)> {
        self.logs.iter()
    }

    /// One log.
    pub fn log(&self, log: &LogId) -> Option<&LogState> {
        self.logs.get(log)
    }

    /// The logs of one space.
    pub fn logs_of(&self, space: SpaceId) -> impl Iterator<Item = (&LogId, &LogState)> {
        self.logs.of_space(space)
    }

    /// Whether a peer may replicate a space: its readers, and every keeper.
    pub fn may_replicate(&self, peer: &DeviceId, space: &SpaceId) -> bool {
        if !self.control.is_live(peer) {
            return false;
        }
        if *space == self.family().control_space() {
            return true;
        }
        match self.albums.get(space) {
            None => false,
            Some(album) => match self.control.person_of(peer) {
                Some(person) => album.may_read(&person),
                None => album.may_keep(peer),
            },
        }
    }

    /// Takes an entry whose signature was checked.
    ///
    /// The caller commits it before anybody hears of it. A hostile author can
    /// make this return a [`Refusal`], and no more.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; nothing has changed then.
    pub fn accept(&mut self, entry: &Entry, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        self.accept_kept(entry, None, now)
    }

    /// Takes an entry that a store kept under a name, but does not list.
    ///
    /// # Errors
    ///
    /// As [`Self::accept`].
    pub fn accept_kept(
        &mut self,
        entry: &Entry,
        kept: Option<&LogId>,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        let header = entry.header();
        let fit = self.logs.fit(header, entry.id())?;
        let cert = match header.seq {
            0 => Some(self.control.cert_of(header)?),
            _ => None,
        };
        let mut effects = if header.space == self.family().control_space() {
            self.accept_control(entry)?
        } else {
            self.accept_album(entry, cert)?
        };
        let kept = kept.map(|log| log.branch);
        let place = self.logs.append(header, entry.id(), fit, kept);
        if fit == Fit::Fork {
            effects.push(Effect::Fork(place.log));
            if header.device == self.device() && self.settle_with_own(header.space) {
                effects.push(Effect::Rebuild(header.space));
            }
        }
        self.clock = self.clock.observe(header.hlc, now);
        if header.hlc.is_held(now) && !header.is_control() {
            self.held.push((header.hlc, entry.id()));
        }
        Ok(effects)
    }

    /// Takes the logs as they were when the store was opened, before [`Self::replay`].
    ///
    /// Returns those of which the beginning is not here: they come again from others.
    pub fn restore(&mut self, logs: Vec<KeptLog>) -> Vec<LogId> {
        // The clock follows when something is written: here nobody knows which stamps are held.
        self.logs.restore(logs)
    }

    /// Takes a control entry that this device accepted before and holds in its store.
    ///
    /// What an album's entries come to is said by [`Self::settle`], after the last of them.
    ///
    /// # Errors
    ///
    /// [`Refusal::Waiting`] until what it names was replayed; any other means that the store is damaged.
    pub fn replay(&mut self, entry: &Entry) -> Result<(), Refusal> {
        let header = entry.header();
        let cert = match header.seq {
            0 => Some(self.control.cert_of(header)?),
            _ => None,
        };
        if header.space == self.family().control_space() {
            self.accept_control(entry).map(drop)
        } else {
            self.take_album_control(entry, cert, true).map(drop)
        }
    }

    /// Puts an entry on the list of those that wait for this device's clock, when the store is opened.
    pub fn hold(&mut self, hlc: Hlc, entry: EntryId) {
        self.held.push((hlc, entry));
    }

    /// Tells how many items an entry of this log added, so that the next one counts on.
    pub fn count_items(&mut self, log: &LogId, items: u32) {
        self.logs.count_items(log, items);
    }

    /// Entries that were held and no longer are: their ops are to be projected again.
    pub fn due(&mut self, now: Timestamp) -> Vec<EntryId> {
        let (held, due) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|(hlc, _)| hlc.is_held(now));
        self.held = held;
        due.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Where an entry that was accepted stands now.
    pub fn place(&self, entry: &Entry) -> Option<Place> {
        self.logs.place(entry.header(), entry.id())
    }

    /// Whether a log is not one line any more.
    pub fn is_forked(&self, log: &LogId) -> bool {
        self.logs.is_forked(log)
    }

    /// The name under which a store keeps an entry of a log.
    pub fn kept(&self, log: &LogId, seq: u32) -> Option<LogId> {
        self.logs.kept(log, seq)
    }

    /// The name under which a store keeps a blob of a log.
    pub fn kept_blob(&self, log: &LogId, ordinal: u32) -> Option<LogId> {
        self.logs.kept_blob(log, ordinal)
    }

    /// The names under which a store keeps a log, with the ordinals of the blobs in each.
    pub fn kept_parts(&self, log: &LogId) -> Vec<(LogId, Range<u32>)> {
        self.logs.kept_parts(log)
    }

    /// Where a store keeps a range of a log's blobs. What lies beyond its end comes to be kept where its
    /// end is; beyond the fork of a log nobody knows which branch is meant, and nothing is named.
    pub fn kept_range(&self, log: &LogId, ordinals: Range<u32>) -> Vec<(LogId, Range<u32>)> {
        self.logs.kept_range(log, ordinals)
    }

    /// How many blobs are announced in what a store keeps under a name, and before it.
    pub fn kept_blobs(&self, kept: &LogId) -> u32 {
        self.logs.kept_blobs(kept)
    }

    /// The names that the blobs of a log may have had, the one of now first. Others than that one where the log
    /// forked, and then maybe too many: until a fork is known, both of its sides have one name.
    pub fn names_before(&self, log: &LogId) -> Vec<LogId> {
        self.logs.names_before(log)
    }

    /// The name that peers know, of an entry that a store keeps under another.
    pub fn named(&self, kept: &LogId, seq: u32) -> Option<LogId> {
        self.logs.named(kept, seq)
    }

    /// The name that peers know, of the log of a blob that a store keeps under another.
    pub fn named_blob(&self, kept: &LogId, ordinal: u32) -> Option<LogId> {
        self.logs.named_blob(kept, ordinal)
    }
}

/// The log of an entry as its author names it, which knows of no fork; see [`Replica::place`].
pub fn log_of(entry: &Entry) -> LogId {
    let header = entry.header();
    LogId {
        space: header.space,
        device: header.device,
        inc: header.inc,
        branch: BranchId::ZERO,
    }
}
