//! A person's recovery kit: which one counts, another in its place, and a device that it brings back.

use rand_core::CryptoRng;

use super::{Effect, Recorded, Replica, WriteError, sign_device};
use crate::{
    album::epoch::Opener,
    crypto::{EpochKind, RecipientKind, RecoveryKit, SignKind, sign},
    family::resolver::Owner,
    id::{BranchId, DeviceId, LogId, OpId, PersonId, SpaceId},
    log::entry::Entry,
    op::{DeviceKind, KitProof, Op, SetRecovery},
    time::{Hlc, Timestamp},
};

/// Something that the holder of a kit's words did with them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KitUse {
    /// The op.
    pub op: OpId,
    /// Whose kit it is.
    pub person: PersonId,
    /// When, by the clock of who did it: a thief says what they like.
    pub at: Hlc,
    /// What was done.
    pub act: KitAct,
}

/// What can be done with a kit alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KitAct {
    /// A device was made one of the person's.
    Added(DeviceId),
    /// A device of the person was removed.
    Removed(DeviceId),
    /// Another kit took its place.
    Replaced,
}

impl KitAct {
    /// What an op does, if it is one that a kit may author.
    pub(super) fn of(op: &Op) -> Option<Self> {
        match op {
            Op::AddDevice(add) => Some(Self::Added(add.device)),
            Op::RemoveDevice((device,)) => Some(Self::Removed(*device)),
            Op::SetRecovery(_) => Some(Self::Replaced),
            _ => None,
        }
    }
}

impl Replica {
    /// What was done with recovery kits and counts, in the order in which this device heard of it.
    pub fn kit_uses(&self) -> impl Iterator<Item = &KitUse> {
        let accepted = &self.control.resolution().accepted;
        let uses = self.control.kit_uses.iter();
        uses.filter(|used| accepted.contains(&used.op))
    }

    /// The person whose kit this is, if it is the one that counts.
    pub fn person_of_kit(&self, kit: &DeviceId) -> Option<PersonId> {
        let kits = &self.control.resolution().kits;
        let found = kits.iter().find(|(_, standing)| standing.kit == *kit);
        found.map(|(person, _)| *person)
    }

    /// Makes this device one of the person whose kit this is; nothing where it is one already.
    ///
    /// The kit signs, in a log of its own under `incarnation`, which is fresh and random.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotAllowed`] when it is not the kit that counts, or this device is another
    /// person's, a keeper or was removed.
    pub fn record_restored(
        &mut self,
        kit: &RecoveryKit,
        incarnation: u64,
        now: Timestamp,
    ) -> Result<Recorded, WriteError> {
        let person = self.person_of_kit(&kit.sign().id());
        let person = person.ok_or(WriteError::NotAllowed)?;
        if self.person() == Some(person) {
            return Ok(Recorded::default());
        }
        let keys = self.keys.clone();
        let add = sign_device(&keys, self.family(), person, DeviceKind::Device);
        let recorded = self.record_with_kit(kit, person, Op::AddDevice(add), incarnation, now)?;
        match self.person() == Some(person) {
            true => Ok(recorded),
            false => Err(WriteError::NotAllowed),
        }
    }

    /// Opens every key that is sealed to a kit and seals what this device is entitled to to itself.
    ///
    /// To be called again when more has come: what was sealed to the kit alone opens with it alone.
    ///
    /// # Errors
    ///
    /// As [`Self::tend`].
    pub fn record_opened(
        &mut self,
        kit: &RecoveryKit,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Recorded, WriteError> {
        let readable = self.open_with_kit(kit);
        let mut recorded = Recorded {
            entries: Vec::new(),
            effects: readable.into_iter().map(Effect::Rebuild).collect(),
        };
        recorded.effects.push(Effect::Roster);
        recorded.extend(self.tend(now, rng)?);
        Ok(recorded)
    }

    /// Names the albums that became readable.
    fn open_with_kit(&mut self, kit: &RecoveryKit) -> Vec<SpaceId> {
        let (family, secret) = (self.family(), kit.seal());
        let opener = Opener {
            kind: RecipientKind::Kit,
            id: kit.sign().id(),
            secrets: vec![&secret],
        };
        self.control.epochs.open(family, &opener);
        let albums = self.albums.iter_mut();
        let opened = albums.filter_map(|(space, album)| {
            let new = album.epochs.open(family, &opener);
            (new > 0).then_some(*space)
        });
        opened.collect()
    }

    /// The name of a person's kit that counts now.
    pub fn kit_of(&self, person: &PersonId) -> Option<DeviceId> {
        let kits = &self.control.resolution().kits;
        kits.get(person).map(|standing| standing.kit)
    }

    /// Whether a person has, or ever had, a kit.
    pub fn had_kit(&self, person: &PersonId) -> bool {
        let owners = &self.control.resolution().owners;
        owners.values().any(|owner| *owner == Owner::Kit(*person))
    }

    /// Puts a new kit in the place of this person's old one, and renews the keys that the old one opens.
    ///
    /// The old kit signs, in a log of its own under `incarnation`, which is fresh
    /// and random. Without one this device signs, which counts only while the
    /// person never had a kit: else whoever holds the device for an hour could
    /// lock its person out.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotAllowed`] when `old` is not the kit that counts, or is missing and there was one;
    /// [`WriteError::Forked`]. Nothing has changed then. Whether the new kit counts is for the resolver
    /// to say, and [`Self::kit_of`] tells it: where it does not, no key is renewed.
    pub fn record_recovery(
        &mut self,
        old: Option<&RecoveryKit>,
        new: &RecoveryKit,
        incarnation: u64,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Recorded, WriteError> {
        let person = self.person().ok_or(WriteError::NotAllowed)?;
        // Before the kit has said anything: what it says is not taken back.
        if self
            .logs
            .is_forked(&self.own_log(self.family().control_space()))
        {
            return Err(WriteError::Forked);
        }
        let op = Op::SetRecovery(SetRecovery {
            person,
            kit: KitProof::make(new, &self.family(), &person),
            cosign: None,
        });
        let mut recorded = match old {
            Some(old) => self.record_with_kit(old, person, op, incarnation, now)?,
            None if self.had_kit(&person) => return Err(WriteError::NotAllowed),
            None => self.record_control(vec![op], now)?,
        };
        if self.kit_of(&person) != Some(new.sign().id()) {
            return Ok(recorded);
        }
        let epochs = [EpochKind::Family, EpochKind::Net]
            .map(|kind| Op::Epoch(self.mint_control(kind, &[], rng)));
        recorded.extend(self.record_control(epochs.to_vec(), now)?);
        // Who gets no key now gets it when somebody tends next.
        recorded.extend(self.tend(now, rng).unwrap_or_default());
        Ok(recorded)
    }

    /// Writes an op in the name of a person's kit.
    fn record_with_kit(
        &mut self,
        kit: &RecoveryKit,
        person: PersonId,
        op: Op,
        incarnation: u64,
        now: Timestamp,
    ) -> Result<Recorded, WriteError> {
        let key = kit.sign();
        let standing = self.control.resolution().kits.get(&person);
        let standing = standing.filter(|standing| standing.kit == key.id());
        let cert = standing.ok_or(WriteError::NotAllowed)?.cert;
        let log = LogId {
            space: self.family().control_space(),
            device: key.id(),
            inc: incarnation,
            branch: BranchId::ZERO,
        };
        let mut header = self.header_in(log, Some(cert), now)?;
        header.deps = self.control.graph.heads();
        header.deps.truncate(crate::limits::ENTRY_DEPS);
        let family = self.family();
        let entry = Entry::sign_with(header, &[op], |bytes| {
            sign::sign(&key, SignKind::Entry, &family, bytes)
        });
        self.take_own(entry, now)
    }
}
