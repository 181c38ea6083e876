//! Letting a newcomer in: what the inviter writes, what it hands over, what the newcomer makes of it.
//!
//! What is handed over, all of it little endian:
//!
//! ```text
//! length u32, Head (wire encoding), then for each entry of the control space,
//! after all that it names: length u32, EntryBytes (wire encoding)
//! ```
//!
//! It ends with [`limits::PAIRING_PAYLOAD_BYTES`] at the latest. Names of albums,
//! albums themselves and photos come by ordinary sync.

use std::sync::Arc;

use heirloom_protocol::{
    crypto::{DeviceKeys, SealPublic},
    discovery::Address,
    family::{
        invite::InviteFor,
        pairing::{Admission, Payload},
    },
    id::{AlbumId, DeviceId, FamilyId, PersonId},
    limits,
    log::entry::{Entry, EntryBytes, EntryError},
    op::{AddDevice, AddPerson, AlbumUse, Genesis, Level, Op, Role, Subject},
    replica::Replica,
    time::Timestamp,
    wire,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Runtime, RuntimeError, Verdict, load::entry_of};

/// Room for what the encoding adds to the bytes of an entry.
const ENTRY_FRAME_BYTES: usize = limits::ENTRY_BYTES + 1024;
/// Largest head: the first op and [`limits::ADDRESSES`] addresses.
const HEAD_BYTES: usize = 64 * 1024;

/// What a newcomer must know before it can read an entry.
#[derive(Serialize, Deserialize)]
struct Head {
    genesis: Genesis,
    addrs: Vec<Address>,
}

/// What a newcomer was handed, read but not yet believed.
pub(crate) struct Handed {
    /// The family's first op; its hash is the family's id.
    pub(crate) genesis: Genesis,
    /// Where the inviter listens.
    pub(crate) addrs: Vec<Address>,
    entries: Vec<EntryBytes>,
}

/// What was handed over does not make this device a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what was handed over is not the family that was offered")]
pub(crate) struct NotAMember;

fn put(bytes: &mut Vec<u8>, piece: &[u8]) {
    let length = u32::try_from(piece.len()).expect("pieces stay below the limit of the wire");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(piece);
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (piece, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(piece)
}

impl Handed {
    /// Reads what was handed over; `None` for anything but the form above.
    pub(crate) fn read(mut bytes: &[u8]) -> Option<Self> {
        let head: Head = wire::decode(take(&mut bytes)?, HEAD_BYTES).ok()?;
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            entries.push(wire::decode(take(&mut bytes)?, ENTRY_FRAME_BYTES).ok()?);
        }
        let mut addrs = head.addrs;
        addrs.truncate(limits::ADDRESSES);
        Some(Self {
            genesis: head.genesis,
            addrs,
            entries,
        })
    }

    /// The family that the first op founds.
    pub(crate) fn family(&self) -> FamilyId {
        FamilyId(*blake3::hash(&wire::encode(&self.genesis)).as_bytes())
    }

    /// The person whose kit this is by what was handed over, and whether `from`, who handed it over,
    /// belongs to that family; `None` where it is nobody's or anything is not signed as it should be.
    ///
    /// The words do not name the family: whoever knows a founder's kit by its public half can found
    /// another one that has it. Names and check words are for the person to look at.
    pub(crate) fn person_of_kit(
        &self,
        kit: DeviceId,
        from: DeviceId,
        keys: &Arc<DeviceKeys>,
        now: Timestamp,
    ) -> Option<PersonId> {
        let family = self.family();
        let mut replica = Replica::new(keys.clone(), 0, family, self.genesis.clone());
        for bytes in &self.entries {
            match Entry::verify(family, bytes.clone()) {
                // One that names what is not here is asked for again later.
                Ok(entry) => drop(replica.accept(&entry, now)),
                Err(EntryError::UnknownVersion(..)) => {}
                Err(_) => return None,
            }
        }
        let person = replica.person_of_kit(&kit)?;
        replica.control().is_live(&from).then_some(person)
    }
}

impl Runtime {
    /// Writes a newcomer into the family, with its names, its albums and its keys. Durable when it returns.
    ///
    /// A new person gets the family's album and `albums`; of those that this
    /// person does not manage nothing is said. A keeper holds `albums`, or all
    /// where none is named; how many albums of others it holds besides is
    /// returned. After an error the newcomer may be a member without them.
    pub(crate) fn admit(
        &mut self,
        admission: &Admission,
        albums: &[AlbumId],
    ) -> Result<usize, RuntimeError> {
        let certificate = admission.certificate;
        let newcomer = &admission.newcomer;
        let mut ops = Vec::new();
        if let InviteFor::Person { person, role } = admission.invite_for {
            ops.push(Op::AddPerson(AddPerson {
                person,
                role,
                kit: admission.kit,
            }));
        }
        ops.push(Op::AddDevice(AddDevice {
            person: certificate.person,
            device: certificate.device,
            seal: certificate.seal,
            kind: certificate.kind,
            device_sig: admission.device_sig,
        }));
        let mut rng = self.rng()?;
        let replica = self.replica();
        if let Some(name) = &newcomer.person_name {
            ops.push(replica.name_op(Subject::Person(certificate.person), name, &mut rng)?);
        }
        let device = Subject::Device(certificate.device);
        ops.push(replica.name_op(device, &newcomer.device_name, &mut rng)?);
        self.record_control(ops)?;
        let mut others = 0;
        match admission.invite_for {
            InviteFor::Person { person, role } => self.share_with_newcomer(person, role, albums)?,
            InviteFor::Keeper => others = self.assign_keeper(certificate.device, albums)?,
            InviteFor::Device { .. } => {}
        }
        self.tend()?;
        Ok(others)
    }

    fn share_with_newcomer(
        &mut self,
        person: PersonId,
        role: Role,
        albums: &[AlbumId],
    ) -> Result<(), RuntimeError> {
        let level = |for_all: bool| match role {
            Role::Admin if for_all => Level::Manager,
            Role::Admin | Role::Member => Level::Contributor,
            Role::Viewer => Level::Viewer,
        };
        let view = self.view();
        for (id, album) in &view.albums {
            let for_all = album.row.purpose() == AlbumUse::Family;
            if (for_all || albums.contains(id)) && album.level == Level::Manager {
                self.set_access(*id, person, level(for_all))?;
            }
        }
        Ok(())
    }

    /// What a newcomer is handed; `None` when the control space outgrew what fits.
    pub(crate) fn payload(&self, addrs: Vec<Address>) -> Result<Option<Payload>, RuntimeError> {
        Ok(Payload::new(self.payload_bytes(addrs)?))
    }

    /// The bytes of [`Self::payload`].
    pub(crate) fn payload_bytes(
        &self,
        addrs: Vec<Address>,
    ) -> Result<Zeroizing<Vec<u8>>, RuntimeError> {
        let genesis = self.replica.control().genesis().clone();
        let mut bytes = Zeroizing::new(Vec::new());
        put(&mut bytes, &wire::encode(&Head { genesis, addrs }));
        for id in self.replica.control().entries() {
            let Some(record) = self.store.entry_by_id(&id)? else {
                continue;
            };
            if let Some(entry) = entry_of(&record) {
                put(&mut bytes, &wire::encode(entry.bytes()));
            }
        }
        Ok(bytes)
    }

    /// Takes the control space that this device was handed; false where something in it is not valid.
    /// Durable when it returns.
    pub(crate) fn take_family(
        &mut self,
        from: DeviceId,
        handed: Handed,
    ) -> Result<bool, RuntimeError> {
        for entries in handed.entries.chunks(256) {
            let verdicts = self.accept(from, entries.to_vec())?;
            if verdicts.contains(&Verdict::Invalid) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes what this device was handed and looks whether it makes it the member it was to become.
    ///
    /// `person` is whose device this is, `None` for a keeper; `seal` the key that
    /// the inviter used in the pairing. Durable when it returns.
    pub(crate) fn take_handed(
        &mut self,
        handed: Handed,
        inviter: DeviceId,
        seal: Option<SealPublic>,
        person: Option<PersonId>,
    ) -> Result<Result<(), NotAMember>, RuntimeError> {
        let control = self.replica.family().control_space();
        if !self.take_family(inviter, handed)? {
            return Ok(Err(NotAMember));
        }
        let me = self.device();
        let known = self.replica.control();
        let is_member = known.is_live(&me)
            && known.person_of(&me) == person
            && self.replica.may_replicate(&inviter, &control)
            && seal.is_none_or(|seal| known.seal_of(&inviter) == Some(seal));
        Ok(is_member.then_some(()).ok_or(NotAMember))
    }
}
