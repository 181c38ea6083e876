//! Persons and devices with their names, for people to read.

use super::Replica;
use crate::{
    crypto::{Purpose, derive, words},
    family::resolver::Owner,
    id::{DeviceId, PersonId},
    op::{DeviceKind, PROFILE_NAME, Policy, Role, Subject},
};

/// A person as people see them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PersonRow {
    /// Who.
    pub id: PersonId,
    /// Their name, once its key is here.
    pub name: Option<String>,
    /// What they may do; `None` once removed.
    pub role: Option<Role>,
    /// Whether they have a recovery kit.
    pub has_kit: bool,
}

/// A device as people see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceRow {
    /// Which.
    pub id: DeviceId,
    /// Its name, once its key is here.
    pub name: Option<String>,
    /// Whose; `None` for a keeper.
    pub person: Option<PersonId>,
    /// What they are called, also once they were removed.
    pub person_name: Option<String>,
    /// Device or keeper.
    pub kind: DeviceKind,
    /// What it keeps.
    pub policy: Policy,
    /// Whether it was removed.
    pub removed: bool,
    /// Since when, by the clock of who removed it or its person: Unix milliseconds.
    pub removed_at: Option<u64>,
}

impl Replica {
    /// The family's name.
    pub fn family_name(&self) -> Option<String> {
        self.name_of(&Subject::Family)
    }

    /// A name, by the latest op that counts and whose author may give it.
    pub fn name_of(&self, subject: &Subject) -> Option<String> {
        let accepted = &self.control.resolution().accepted;
        let mut candidates: Vec<_> = self
            .control
            .described
            .iter()
            .filter(|d| d.set.subject == *subject && d.set.field == PROFILE_NAME)
            .filter(|d| accepted.contains(&d.op))
            .collect();
        candidates.sort_by_key(|d| (d.hlc, d.op));
        candidates
            .iter()
            .rev()
            .find_map(|d| self.open_value(d.author, subject, PROFILE_NAME, &d.set.value))
    }

    /// Everyone in the family.
    pub fn persons(&self) -> Vec<PersonRow> {
        let resolution = self.control.resolution();
        let row =
            |(id, standing): (&PersonId, &crate::family::resolver::PersonStanding)| PersonRow {
                id: *id,
                name: self.name_of(&Subject::Person(*id)),
                role: Some(standing.role),
                has_kit: resolution.kits.contains_key(id),
            };
        resolution.persons.iter().map(row).collect()
    }

    /// Every device that ever belonged, kits left out.
    pub fn devices(&self) -> Vec<DeviceRow> {
        let resolution = self.control.resolution();
        let mut rows = Vec::new();
        for (id, owner) in &resolution.owners {
            let (person, kind) = match owner {
                Owner::Device(person) => (Some(*person), DeviceKind::Device),
                Owner::Keeper => (None, DeviceKind::Keeper),
                Owner::Kit(_) => continue,
            };
            let removed = !resolution.devices.contains_key(id);
            rows.push(DeviceRow {
                id: *id,
                name: self.name_of(&Subject::Device(*id)),
                person,
                person_name: person.and_then(|person| self.name_of(&Subject::Person(person))),
                kind,
                policy: self.control.policy(id),
                removed,
                removed_at: removed.then(|| self.removed_at(id, person)).flatten(),
            });
        }
        rows
    }

    /// The first statement that counts and takes a device or its person out of the family.
    fn removed_at(&self, device: &DeviceId, person: Option<PersonId>) -> Option<u64> {
        let removals = self.control.removals_of(*device, person);
        removals.map(|at| at.time().0).min()
    }

    /// Eight words for who belongs: two devices that show the same agree on every person and device.
    ///
    /// BLAKE3 in derive mode over family, persons with roles, devices with their
    /// persons and kits, each list sorted by id.
    pub fn words(&self) -> [&'static str; 8] {
        let resolution = self.control.resolution();
        let mut state = Vec::new();
        for (id, standing) in &resolution.persons {
            state.push(b'p');
            state.extend_from_slice(&id.0);
            state.push(match standing.role {
                Role::Viewer => 0,
                Role::Member => 1,
                Role::Admin => 2,
            });
        }
        for (id, device) in &resolution.devices {
            state.push(b'd');
            state.extend_from_slice(&id.0);
            state.extend_from_slice(&device.person.unwrap_or(PersonId::ZERO).0);
        }
        for (person, kit) in &resolution.kits {
            state.push(b'k');
            state.extend_from_slice(&person.0);
            state.extend_from_slice(&kit.kit.0);
        }
        let hash = derive(Purpose::FamilyWords, &[&self.family().0, &state]);
        words::phrase(&hash)
    }
}
