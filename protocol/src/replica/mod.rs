//! The family as this device knows it.
//!
//! [`Replica::accept`] (theirs) and [`Replica::record`] (ours) are the only ways
//! in. Both change memory alone and say in data what follows: the entries to
//! commit, and [`Effect`]s for the catalog. Everything here can be made again
//! from the entries, in any order that keeps each after what it names.

mod control;
mod keys;
mod project;
mod recovery;
mod roster;
mod space;
#[cfg(test)]
mod tests;
mod write;

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    crypto::DeviceKeys,
    id::{BranchId, DeviceId, EntryId, FamilyId, LogId, PersonId, SpaceId},
    log::entry::Entry,
    op::Genesis,
    time::{Hlc, Timestamp},
};

pub use self::{
    control::{Control, cosign_bytes},
    project::{Projected, Projection, Standing},
    roster::{DeviceRow, PersonRow},
    space::AlbumSpace,
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
    /// Another entry of the same author stands in its place.
    #[error("entry forks its log at {0}")]
    Fork(EntryId),
    /// Its author may not write here.
    #[error("author may not write here")]
    NotAMember,
    /// It lies above the position where its author was cut off.
    #[error("entry lies above a cut")]
    Cut,
    /// It is of another kind than its space allows.
    #[error("entry does not belong in this space")]
    WrongSpace,
}

/// How far one log is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogState {
    /// Every entry, by sequence number.
    pub chain: Vec<EntryId>,
    /// The last entry's clock.
    pub hlc: Hlc,
    /// Items announced so far, as the author counts them.
    pub items: u32,
    /// Blobs announced so far.
    pub blobs: u32,
}

impl LogState {
    /// The last entry and its place.
    pub fn head(&self) -> Option<(u32, EntryId)> {
        let last = self.chain.last()?;
        Some((u32::try_from(self.chain.len() - 1).ok()?, *last))
    }
}

/// The family as this device knows it.
pub struct Replica {
    keys: Arc<DeviceKeys>,
    incarnation: u64,
    control: Control,
    albums: BTreeMap<SpaceId, AlbumSpace>,
    logs: BTreeMap<LogId, LogState>,
    clock: Hlc,
    /// Entries whose last-writer-wins ops wait until this device's clock reaches them.
    held: Vec<(Hlc, LogId, u32)>,
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
            logs: BTreeMap::new(),
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
        let first = LogId {
            space,
            device: DeviceId::ZERO,
            inc: 0,
            branch: BranchId::ZERO,
        };
        self.logs
            .range(first..)
            .take_while(move |(log, _)| log.space == space)
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
        let header = entry.header();
        let log = log_of(entry);
        self.check_chain(&log, entry)?;
        let effects = if header.space == self.family().control_space() {
            self.accept_control(entry)?
        } else {
            self.accept_album(entry)?
        };
        let state = self.logs.entry(log).or_insert_with(|| LogState {
            chain: Vec::new(),
            hlc: Hlc::default(),
            items: 0,
            blobs: 0,
        });
        state.chain.push(entry.id());
        state.hlc = header.hlc;
        state.items = header.first_item;
        state.blobs = header
            .first_blob
            .saturating_add(u32::try_from(header.blobs.len()).unwrap_or(u32::MAX));
        self.clock = self.clock.observe(header.hlc, now);
        if header.hlc.is_held(now) && !header.is_control() {
            self.held.push((header.hlc, log, header.seq));
        }
        Ok(effects)
    }

    /// Takes the logs as they were when the store was opened, before [`Self::replay`].
    pub fn restore(&mut self, logs: BTreeMap<LogId, LogState>) {
        self.clock = logs
            .values()
            .map(|state| state.hlc)
            .max()
            .unwrap_or_default();
        self.logs = logs;
    }

    /// Takes a control entry that this device accepted before and holds in its store.
    ///
    /// # Errors
    ///
    /// [`Refusal::Waiting`] until what it names was replayed; any other means that the store is damaged.
    pub fn replay(&mut self, entry: &Entry) -> Result<(), Refusal> {
        if entry.header().seq == 0 {
            self.control.check_first(entry)?;
        }
        if entry.header().space == self.family().control_space() {
            self.accept_control(entry).map(drop)
        } else {
            self.accept_album(entry).map(drop)
        }
    }

    /// Puts an entry on the list of those that wait for this device's clock, when the store is opened.
    pub fn hold(&mut self, hlc: Hlc, log: LogId, seq: u32) {
        self.held.push((hlc, log, seq));
    }

    /// Tells how many items an entry of this log added, so that the next one counts on.
    pub fn count_items(&mut self, log: &LogId, items: u32) {
        if let Some(state) = self.logs.get_mut(log) {
            state.items = state.items.saturating_add(items);
        }
    }

    /// Entries that were held and no longer are: their ops are to be projected again.
    pub fn due(&mut self, now: Timestamp) -> Vec<(LogId, u32)> {
        let (held, due) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|(hlc, _, _)| hlc.is_held(now));
        self.held = held;
        due.into_iter().map(|(_, log, seq)| (log, seq)).collect()
    }

    fn check_chain(&self, log: &LogId, entry: &Entry) -> Result<(), Refusal> {
        let header = entry.header();
        let seq = usize::try_from(header.seq).map_err(|_| Refusal::BadChain)?;
        let state = self.logs.get(log);
        let known = state.map_or(0, |state| state.chain.len());
        if seq < known {
            let there = state.map_or(EntryId::ZERO, |state| state.chain[seq]);
            return Err(if there == entry.id() {
                Refusal::AlreadyHere
            } else {
                Refusal::Fork(there)
            });
        }
        if seq > known {
            return Err(Refusal::Waiting);
        }
        let Some(state) = state else {
            if header.first_item != 0 || header.first_blob != 0 {
                return Err(Refusal::BadChain);
            }
            return self.control.check_first(entry);
        };
        let follows = state.chain.last() == Some(&header.prev)
            && header.hlc > state.hlc
            && header.first_blob == state.blobs
            && header.first_item >= state.items;
        if follows {
            Ok(())
        } else {
            Err(Refusal::BadChain)
        }
    }
}

/// The log an entry belongs to.
pub fn log_of(entry: &Entry) -> LogId {
    let header = entry.header();
    LogId {
        space: header.space,
        device: header.device,
        inc: header.inc,
        branch: BranchId::ZERO,
    }
}
