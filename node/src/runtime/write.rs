//! What a person does: ops recorded and committed.

use heirloom_protocol::{
    crypto::{RecoveryKit, SeededRng},
    id::{AlbumId, DeviceId, PersonId},
    log::entry::BlobLine,
    op::{AlbumUse, Level, Op, Policy, Subject},
    replica::WriteError,
};
use rand_core::Rng as _;
use zeroize::Zeroizing;

use super::{Runtime, RuntimeError};
use crate::store::BlobPlace;

/// Randomness of the system alone, for a device that has no secret yet.
///
/// # Errors
///
/// [`RuntimeError::NoRandomness`].
pub fn system_rng() -> Result<SeededRng, RuntimeError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|_| RuntimeError::NoRandomness)?;
    Ok(SeededRng::from_seed(*seed))
}

impl Runtime {
    /// Writes the first entries of a family just founded. Durable when it returns.
    pub fn found(&mut self, names: &[(Subject, &str)]) -> Result<(), RuntimeError> {
        let mut rng = self.rng()?;
        let recorded = self.replica.record_founding(names, self.now(), &mut rng)?;
        self.commit(&recorded, &[])
    }

    /// Makes an album. Durable when it returns.
    pub fn make_album(&mut self, name: &str, purpose: AlbumUse) -> Result<AlbumId, RuntimeError> {
        let mut rng = self.rng()?;
        let (album, recorded) = self
            .replica
            .record_album(name, purpose, self.now(), &mut rng)?;
        self.commit(&recorded, &[])?;
        self.leave_to_keepers(album)?;
        Ok(album)
    }

    /// Says something in an album. Durable when it returns.
    ///
    /// `ops` name blobs by their place in `blobs`, which are durable at `places`.
    /// One entry: at most 512 ops. Returns the id of each op.
    pub fn record(
        &mut self,
        album: AlbumId,
        ops: Vec<Op>,
        blobs: Vec<BlobLine>,
        places: &[BlobPlace],
    ) -> Result<Vec<heirloom_protocol::id::OpId>, RuntimeError> {
        self.renew_before_writing(&album)?;
        let mut rng = self.rng()?;
        let count = ops.len();
        let recorded = self
            .replica
            .record(album, ops, blobs, Vec::new(), self.now(), &mut rng)?;
        self.commit(&recorded, places)?;
        let entry = recorded.entries.last();
        Ok(entry
            .map(|entry| (0..count).map(|index| entry.op_id(index)).collect())
            .unwrap_or_default())
    }

    /// Writes ops of the control space. Durable when it returns.
    pub fn record_control(&mut self, ops: Vec<Op>) -> Result<(), RuntimeError> {
        let recorded = self.replica.record_control(ops, self.now())?;
        self.commit(&recorded, &[])
    }

    /// Says what a device keeps. Durable when it returns.
    pub fn set_policy(&mut self, device: DeviceId, policy: Policy) -> Result<(), RuntimeError> {
        let recorded = self.replica.record_policy(device, policy, self.now())?;
        self.commit(&recorded, &[])
    }

    /// Names somebody. Durable when it returns.
    pub fn name(&mut self, subject: Subject, name: &str) -> Result<(), RuntimeError> {
        let mut rng = self.rng()?;
        let recorded = self
            .replica
            .record_names(&[(subject, name)], self.now(), &mut rng)?;
        self.commit(&recorded, &[])
    }

    /// Removes a person or a device: `Op::RemovePerson` or `Op::RemoveDevice`. Durable when it returns.
    ///
    /// What is here of theirs is vouched for first, so that it stays.
    pub fn remove(&mut self, removal: Op) -> Result<(), RuntimeError> {
        self.vouch_before(&removal)?;
        let mut rng = self.rng()?;
        let recorded = self.replica.record_removal(removal, self.now(), &mut rng)?;
        self.commit(&recorded, &[])
    }

    /// Puts a new recovery kit in the place of this person's old one. Durable when it returns.
    pub fn replace_kit(
        &mut self,
        old: Option<&RecoveryKit>,
        new: &RecoveryKit,
    ) -> Result<(), RuntimeError> {
        let mut rng = self.rng()?;
        let incarnation = rng.next_u64();
        let now = self.now();
        let before: Vec<_> = self.replica.kit_uses().map(|used| used.op).collect();
        let recorded = self
            .replica
            .record_recovery(old, new, incarnation, now, &mut rng)?;
        self.commit(&recorded, &[])?;
        let person = self.replica.person();
        let counts = person.and_then(|person| self.replica.kit_of(&person));
        if counts != Some(new.sign().id()) {
            return Err(WriteError::NotAllowed.into());
        }
        self.know_of_own_use(&before)
    }

    /// Makes this device one of the person whose kit this is. Durable when it returns.
    pub fn restore_with(&mut self, kit: &RecoveryKit) -> Result<(), RuntimeError> {
        let incarnation = self.rng()?.next_u64();
        let recorded = self.replica.record_restored(kit, incarnation, self.now())?;
        if recorded.entries.is_empty() {
            return Ok(());
        }
        self.commit(&recorded, &[])
    }

    /// Opens the keys that are sealed to a kit and seals them to this device. Durable when it returns.
    pub fn open_with_kit(&mut self, kit: &RecoveryKit) -> Result<(), RuntimeError> {
        let mut rng = self.rng()?;
        let recorded = self.replica.record_opened(kit, self.now(), &mut rng)?;
        self.commit(&recorded, &[])
    }

    /// Gives or lowers a person's level in an album. Durable when it returns.
    pub fn set_access(
        &mut self,
        album: AlbumId,
        person: PersonId,
        level: Level,
    ) -> Result<(), RuntimeError> {
        self.renew_before_writing(&album)?;
        let mut rng = self.rng()?;
        let recorded = self
            .replica
            .record_access(album, person, level, self.now(), &mut rng)?;
        self.commit(&recorded, &[])
    }

    /// Gives keys to entitled devices that have none yet. Durable when it returns.
    pub fn tend(&mut self) -> Result<(), RuntimeError> {
        let mut rng = self.rng()?;
        let recorded = self.replica.tend(self.now(), &mut rng)?;
        if recorded.entries.is_empty() {
            return Ok(());
        }
        self.commit(&recorded, &[])
    }

    /// Writes control ops of an album. Durable when it returns.
    pub fn record_in_album(&mut self, album: AlbumId, ops: &[Op]) -> Result<(), RuntimeError> {
        self.renew_before_writing(&album)?;
        let recorded = self.replica.record_album_ops(album, ops, self.now())?;
        self.commit(&recorded, &[])
    }
}
