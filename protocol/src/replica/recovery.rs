//! A person's recovery kit: which one counts, and another in its place.

use rand_core::CryptoRng;

use super::{Recorded, Replica, WriteError};
use crate::{
    crypto::{EpochKind, RecoveryKit, SignKind, sign},
    family::resolver::Owner,
    id::{BranchId, DeviceId, LogId, PersonId},
    log::entry::Entry,
    op::{KitProof, Op, SetRecovery},
    time::Timestamp,
};

impl Replica {
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
    /// [`WriteError::NotAllowed`] when `old` is not the kit that counts, or is missing and there was one.
    pub fn record_recovery(
        &mut self,
        old: Option<&RecoveryKit>,
        new: &RecoveryKit,
        incarnation: u64,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Recorded, WriteError> {
        let person = self.person().ok_or(WriteError::NotAllowed)?;
        let op = Op::SetRecovery(SetRecovery {
            person,
            kit: KitProof::make(new, &self.family(), &person),
            cosign: None,
        });
        let mut recorded = match old {
            Some(old) => self.record_with_kit(old, op, incarnation, now)?,
            None if self.had_kit(&person) => return Err(WriteError::NotAllowed),
            None => self.record_control(vec![op], now)?,
        };
        if self.kit_of(&person) != Some(new.sign().id()) {
            return Err(WriteError::NotAllowed);
        }
        let epochs = [EpochKind::Family, EpochKind::Net]
            .map(|kind| Op::Epoch(self.mint_control(kind, &[], rng)));
        recorded.extend(self.record_control(epochs.to_vec(), now)?);
        recorded.extend(self.tend(now, rng)?);
        Ok(recorded)
    }

    /// Writes an op in the name of this person's kit.
    fn record_with_kit(
        &mut self,
        kit: &RecoveryKit,
        op: Op,
        incarnation: u64,
        now: Timestamp,
    ) -> Result<Recorded, WriteError> {
        let key = kit.sign();
        let person = self.person().ok_or(WriteError::NotAllowed)?;
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
