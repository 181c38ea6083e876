//! Removals: who goes, with fresh keys for the family and a cut in every album that this person manages;
//! and what stays of theirs.

use rand_core::CryptoRng;

use super::{Recorded, Replica, WriteError, control::Hit};
use crate::{
    crypto::EpochKind,
    family::resolver::Act,
    id::{DeviceId, SpaceId},
    op::{Cut, Level, Op, Position},
    time::Timestamp,
};

impl Replica {
    /// Removes a person or a device and renews the control space's keys in the same entry.
    ///
    /// Albums' keys are renewed when somebody next writes to them. Whether the removal counts is for
    /// the resolver to say; where it does not, no key is renewed and no album is told of it. The cut in
    /// albums reaches no lower than what others had vouched for: this device may be the last to hear of it.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; nothing has changed then, but for joins.
    pub fn record_removal(
        &mut self,
        removal: Op,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Recorded, WriteError> {
        let (hit, act) = match &removal {
            Op::RemoveDevice((device,)) => {
                let device = *device;
                (Hit::Device(device), Act::RemoveDevice { device })
            }
            Op::RemovePerson((person,)) => {
                let person = *person;
                (Hit::Person(person), Act::RemovePerson { person })
            }
            _ => return Err(WriteError::NotAllowed),
        };
        let forked = |space: &SpaceId| self.logs.is_forked(&self.own_log(*space));
        if self.managed_albums().iter().any(forked) {
            return Err(WriteError::Forked);
        }
        let mut ops = vec![removal];
        // Fresh keys would be kept from somebody who stays.
        if self.control.would_count(self.device(), act) {
            let epochs = [EpochKind::Family, EpochKind::Net]
                .map(|kind| Op::Epoch(self.mint_control(kind, &[hit], rng)));
            ops.extend(epochs);
        }
        let gone: Vec<_> = self.keys_hit(hit);
        let mut recorded = self.record_control(ops, now)?;
        // A cut counts by itself: it would shut out somebody who stays.
        let said = recorded.entries.last().map(|entry| entry.op_id(0));
        if !said.is_some_and(|op| self.control.resolution().accepted.contains(&op)) {
            return Ok(recorded);
        }
        for space in self.managed_albums() {
            let cuts: Vec<_> = gone
                .iter()
                .map(|device| Op::Cut(self.cut_here(space, *device)))
                .collect();
            if !cuts.is_empty() {
                recorded.extend(self.record_album_control(space, &cuts, now)?);
            }
        }
        Ok(recorded)
    }

    /// The live devices of others that a removal would take out of the family; none for other ops.
    pub fn hit_by(&self, removal: &Op) -> Vec<DeviceId> {
        match removal {
            Op::RemoveDevice((device,)) => self.others_hit(Hit::Device(*device)),
            Op::RemovePerson((person,)) => self.others_hit(Hit::Person(*person)),
            _ => Vec::new(),
        }
    }

    /// The live devices of another person that an op of an album takes access from; none for other ops.
    pub fn lowered_by(&self, space: &SpaceId, op: &Op) -> Vec<DeviceId> {
        let Op::SetAccess(set) = op else {
            return Vec::new();
        };
        let level = self.albums.get(space).map(|album| album.level(&set.person));
        if self.person() == Some(set.person) || level.is_none_or(|level| set.level >= level) {
            return Vec::new();
        }
        self.others_hit(Hit::Person(set.person))
    }

    fn others_hit(&self, hit: Hit) -> Vec<DeviceId> {
        let mut hit = self.keys_hit(hit);
        let me = self.device();
        hit.retain(|device| *device != me && self.control.is_live(device));
        hit
    }

    /// Says how far the logs of these devices are known here, so that it outlives their removal, or their
    /// person's loss of access; `None` when nothing is new.
    ///
    /// To be committed before that is recorded or taken in: what nobody else has named by then,
    /// access that they gave to others included, has no effect after it. One anchor holds at most
    /// [`ANCHOR_POSITIONS`](crate::limits::ANCHOR_POSITIONS) logs, so this is asked again until nothing is new.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; nothing has changed then.
    pub fn record_vouch(
        &mut self,
        space: SpaceId,
        devices: &[DeviceId],
        now: Timestamp,
    ) -> Result<Option<Recorded>, WriteError> {
        self.anchor_of(space, now, |device| devices.contains(device))
    }

    pub(super) fn keys_hit(&self, hit: Hit) -> Vec<DeviceId> {
        let owned = self.control.resolution().owners.keys();
        let fits = |id: &&DeviceId| match hit {
            Hit::Device(device) => **id == device,
            Hit::Person(person) => self.control.owner_of(id) == Some(person),
        };
        owned.filter(fits).copied().collect()
    }

    fn managed_albums(&self) -> Vec<SpaceId> {
        let Some(person) = self.person() else {
            return Vec::new();
        };
        let managed = self
            .albums
            .iter()
            .filter(|(_, album)| album.level(&person) == Level::Manager);
        managed.map(|(space, _)| *space).collect()
    }

    /// A cut of a device's logs in a space at what this device holds of them.
    pub(super) fn cut_here(&self, space: SpaceId, device: DeviceId) -> Cut {
        let logs = self.logs_of(space).filter(|(log, _)| log.device == device);
        let positions = logs.filter_map(|(log, state)| {
            let (seq, entry) = state.head()?;
            Some(Position {
                inc: log.inc,
                seq,
                entry,
            })
        });
        Cut {
            device,
            positions: positions.collect(),
        }
    }
}
