//! Where an entry rotted on a disk and reads on none: its other copies left the family or were set back.
//!
//! What follows it in its log, or names it, can be given to nobody any more. All else must be everywhere.

use super::*;

/// What is left of a space with such a hole.
pub(super) struct Hole {
    space: SpaceId,
    /// What somebody can give.
    pub(super) given: BTreeSet<EntryId>,
    /// Whether everybody reads all that anybody was ever told of rights and keys.
    pub(super) all_know_the_same: bool,
}

impl Hole {
    /// `None` where every entry of a space reads on some disk.
    pub(super) fn of(members: &[&Device], space: SpaceId) -> Option<Self> {
        let reads = |id: &EntryId| {
            let record =
                |other: &&Device| other.disk.by_id(id).is_some_and(|r| other.disk.reads(r));
            members.iter().any(record)
        };
        let entries = || {
            members
                .iter()
                .flat_map(|device| device.disk.entries_of(space))
        };
        let rotted = members.iter().flat_map(|device| {
            let records = device.disk.entries_of(space);
            records.filter(|record| !device.disk.reads(record))
        });
        if rotted.map(|record| record.entry.id()).all(|id| reads(&id)) {
            return None;
        }
        let given: BTreeSet<EntryId> = members
            .iter()
            .flat_map(|device| device.gives(space))
            .collect();
        let mut control = entries().filter(|record| record.entry.header().is_control());
        let all_know_the_same = control.all(|record| given.contains(&record.entry.id()));
        Some(Self {
            space,
            given,
            all_know_the_same,
        })
    }

    /// All that anybody can give is on every disk.
    pub(super) fn what_can_be_given_is_here(&self, members: &[&Device]) -> Result<(), String> {
        for id in &self.given {
            if let Some(lacks) = members.iter().find(|device| !device.disk.holds(id)) {
                let (label, id, space) = (&lacks.label, id.short(), self.space);
                return Err(format!(
                    "{label} lacks {id} of {space}, which somebody can give"
                ));
            }
        }
        Ok(())
    }
}

/// The holes of all spaces that were looked at.
#[derive(Default)]
pub(super) struct Holes(BTreeMap<SpaceId, Option<Hole>>);

impl Holes {
    /// Whether an entry must be with everybody, and seen alike, as no hole keeps it from them.
    pub(super) fn gives(
        &mut self,
        world: &World,
        family: &[usize],
        space: SpaceId,
        id: &EntryId,
    ) -> bool {
        let hole = self.0.entry(space);
        let hole = hole.or_insert_with(|| Hole::of(&holders(world, family, space), space));
        hole.as_ref()
            .is_none_or(|hole| hole.all_know_the_same && hole.given.contains(id))
    }
}
