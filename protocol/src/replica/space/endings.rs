//! What took somebody's access to an album, and how far they are still told of it.

use std::collections::BTreeSet;

use super::AlbumSpace;
use crate::{
    id::{DeviceId, EntryId, LogId, OpId, PersonId, SpaceId},
    replica::{Control, Replica},
};

impl AlbumSpace {
    /// The entries that took the access of a person, whose device this is, where it is gone: those that
    /// count, cuts of a device that the access came from among them. None for a device that the person had
    /// not yet when that was written.
    pub fn ended_by(
        &self,
        control: &Control,
        person: &PersonId,
        device: &DeviceId,
    ) -> Vec<EntryId> {
        if self.may_read(person) {
            return Vec::new();
        }
        let had = |op: &&OpId| {
            let devices = self.endings.get(op);
            devices.is_some_and(|devices| devices.contains(device))
        };
        let lowered = self.settled.lowered.iter();
        let lowered = lowered.filter(|_| self.ever_read(person)).filter(had);
        let cuts = self.cuts.iter().filter(|(op, (cut, family))| {
            let standing = family.as_ref().and_then(|f| f.devices.get(device));
            standing.is_some_and(|standing| standing.person == Some(*person))
                && self.settled.accepted.contains(op)
                && self.rests_on(control, person, cut)
        });
        let ended = lowered.chain(cuts.map(|(op, _)| op));
        ended
            .filter_map(|op| self.entries.get(op).copied())
            .collect()
    }

    /// The entry that closed the album for all, where it is closed.
    pub fn closed_by(&self) -> Option<EntryId> {
        let op = self.settled.closed.filter(|_| self.is_closed())?;
        self.entries.get(&op).copied()
    }

    /// Whether a device gave a person access to the album, or gave it to who did, and so on, whether or not any of
    /// that counts.
    pub fn rests_on(&self, control: &Control, person: &PersonId, device: &DeviceId) -> bool {
        let (mut seen, mut next) = (BTreeSet::from([*person]), vec![*person]);
        while let Some(person) = next.pop() {
            let entries = self.access.grants_to(&person);
            let entries = entries.filter_map(|op| self.entries.get(&op));
            for author in entries.filter_map(|entry| self.ledger.device(entry)) {
                if author == *device {
                    return true;
                }
                next.extend(control.owner_of(&author).filter(|by| seen.insert(*by)));
            }
        }
        false
    }
}

impl Replica {
    /// How far a device may still be told of an album that its person was taken out of: by log, the last
    /// control entry that led to it, the one that took access away among them. Nothing where
    /// it may replicate the album, or never could.
    ///
    /// All of it was there when that entry was written, and so for this person to have. A device that they
    /// had not yet is told nothing.
    pub fn ending(&self, peer: &DeviceId, space: &SpaceId) -> Vec<(LogId, u32)> {
        let person = self.control.person_of(peer);
        let Some((album, person)) = self.albums.get(space).zip(person) else {
            return Vec::new();
        };
        if !self.control.is_live(peer) {
            return Vec::new();
        }
        let ended = album.ended_by(&self.control, &person, peer);
        if ended.is_empty() {
            return Vec::new();
        }
        let past = album.graph.past(&ended);
        let ends = self.logs.of_space(*space).filter_map(|(log, state)| {
            let last = state
                .chain
                .iter()
                .rposition(|step| past.contains(&step.id))?;
            let seq = state.first.checked_add(u32::try_from(last).ok()?)?;
            Some((*log, seq))
        });
        ends.collect()
    }
}
