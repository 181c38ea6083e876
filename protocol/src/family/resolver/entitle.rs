//! Was an author entitled to an op, in the op's own past and nowhere else?

use super::{
    Act, Author, Claim, Entitled, FOUNDER, Founding, Key, Rank, Removed, Resolver, Role, Subject,
    standing::{Seat, View},
};
use crate::{
    id::{DeviceId, OpId, PersonId},
    limits,
};

/// What entitlement adds to the author's standing.
#[derive(Default)]
struct Terms {
    as_admin: bool,
    about: Option<usize>,
    removes: Option<Removed>,
}

impl Terms {
    /// An op that an admin is needed for.
    fn admin() -> Self {
        Self {
            as_admin: true,
            ..Self::default()
        }
    }
}

impl Resolver {
    pub(super) fn admit_founding(&mut self, at: usize, founding: Founding) {
        let person = self.person_slot(founding.person);
        let device = self.key_slot(founding.device);
        let first = Entitled {
            key: Key {
                rank: Rank::Admin {
                    depth: 0,
                    grant: OpId::ZERO,
                },
                level: 0,
                cert: OpId::ZERO,
            },
            support: Vec::new(),
            with: None,
            by: None,
            as_admin: false,
            about: None,
            removes: None,
        };
        self.stand_in_line(at, &first, true);
        self.persons[person].grants.push(at);
        self.keys[device].claims.push((at, Claim::Device(person)));
        if let Some(kit) = founding.kit {
            let kit = self.key_slot(kit);
            self.keys[kit].claims.push((at, Claim::Kit(person)));
            self.persons[person].installs.push((at, kit));
        }
        self.graph.node_mut(at).op.entitled = Some(first);
    }

    /// Judges an op that became ready and takes it into account when its author was entitled to it.
    pub(super) fn weigh(&mut self, at: usize) {
        let Some((author, act)) = self.graph.node(at).op.said else {
            return;
        };
        let with = self.key_slot(author.key());
        let before = self.keys[with].wrote.count_in(&self.graph.node(at).past);
        self.keys[with].wrote.add(at);
        if usize::try_from(before).is_ok_and(|before| before >= limits::RESOLVER_OPS) {
            return;
        }
        self.name_slots(&act);
        let accepted = self.accepted_in_past(at);
        let view = View::new(self, &accepted);
        let Some(seat) = view.seat(author, with) else {
            return;
        };
        let Some(terms) = self.terms(&view, author, &seat, &act) else {
            return;
        };
        let entitled = Entitled {
            key: seat.key,
            support: seat.support,
            with: Some(with),
            by: seat.person,
            as_admin: terms.as_admin,
            about: terms.about,
            removes: terms.removes,
        };
        self.admit(at, entitled, act);
    }

    /// Gives every person and key that the op names a slot.
    fn name_slots(&mut self, act: &Act) {
        match *act {
            Act::AddPerson { person, kit, .. } => {
                self.person_slot(person);
                kit.map(|kit| self.key_slot(kit));
            }
            Act::Promote { person, .. }
            | Act::Demote { person, .. }
            | Act::RemovePerson { person } => {
                self.person_slot(person);
            }
            Act::AddDevice { person, device } => {
                person.map(|person| self.person_slot(person));
                self.key_slot(device);
            }
            Act::RemoveDevice { device } => {
                self.key_slot(device);
            }
            Act::SetRecovery { person, kit, .. } => {
                self.person_slot(person);
                self.key_slot(kit);
            }
            Act::RotateSeal | Act::Describe(_) | Act::Join => {}
        }
    }

    fn terms(&self, view: &View<'_>, author: Author, seat: &Seat, act: &Act) -> Option<Terms> {
        let with_kit = matches!(author, Author::Kit(_));
        let asks = Asks {
            resolver: self,
            view,
            seat,
            with_kit,
            admin: seat.role == Some(Role::Admin) && !with_kit,
        };
        match *act {
            Act::AddDevice { person, device } => asks.add_device(person, device),
            Act::RemoveDevice { device } => asks.remove_device(device),
            Act::SetRecovery {
                person,
                kit,
                cosigner,
            } => asks.set_recovery(person, kit, cosigner),
            Act::Join => Some(Terms::default()),
            _ if with_kit => None,
            Act::AddPerson { person, kit, .. } => asks.add_person(person, kit),
            Act::Promote { person, role } => asks.promote(person, role),
            Act::Demote { person, role } => asks.demote(person, role),
            Act::RemovePerson { person } => asks.remove_person(person),
            Act::Describe(subject) => asks.describe(subject),
            Act::RotateSeal => Some(Terms::default()),
        }
    }

    /// Takes an entitled op into account.
    fn admit(&mut self, at: usize, entitled: Entitled, act: Act) {
        let changes = !matches!(act, Act::RotateSeal | Act::Describe(_) | Act::Join);
        self.stand_in_line(at, &entitled, changes);
        self.graph.node_mut(at).op.entitled = Some(entitled);
        match act {
            Act::AddPerson { person, kit, .. } => {
                let person = self.person_slot(person);
                self.line
                    .file(&mut self.persons[person].grants, at, |op| *op);
                if let Some(kit) = kit {
                    self.admit_kit(at, person, kit);
                }
            }
            Act::Promote { person, .. } => {
                let person = self.person_slot(person);
                self.line
                    .file(&mut self.persons[person].promotions, at, |op| *op);
            }
            Act::Demote { person, .. } => {
                let person = self.person_slot(person);
                self.line
                    .file(&mut self.persons[person].demotions, at, |op| *op);
            }
            Act::RemovePerson { person } => {
                let person = self.person_slot(person);
                self.line
                    .file(&mut self.persons[person].removals, at, |op| *op);
            }
            Act::AddDevice { person, device } => {
                let person = person.map(|person| self.person_slot(person));
                let claim = person.map_or(Claim::Keeper, Claim::Device);
                let device = self.key_slot(device);
                self.line
                    .file(&mut self.keys[device].claims, (at, claim), |(op, _)| *op);
            }
            Act::RemoveDevice { device } => {
                let device = self.key_slot(device);
                self.line
                    .file(&mut self.keys[device].removals, at, |op| *op);
            }
            Act::SetRecovery { person, kit, .. } => {
                let person = self.person_slot(person);
                self.admit_kit(at, person, kit);
            }
            Act::RotateSeal | Act::Describe(_) | Act::Join => {}
        }
    }

    fn admit_kit(&mut self, at: usize, person: usize, kit: DeviceId) {
        let kit = self.key_slot(kit);
        let claim = (at, Claim::Kit(person));
        self.line
            .file(&mut self.keys[kit].claims, claim, |(op, _)| *op);
        self.line
            .file(&mut self.persons[person].installs, (at, kit), |(op, _)| *op);
    }

    fn stand_in_line(&mut self, at: usize, entitled: &Entitled, changes: bool) {
        let node = self.graph.node(at);
        let turn = (entitled.key, node.path, node.id);
        self.line.insert(at, turn, &entitled.support);
        if changes {
            self.spine.add(at);
            self.spine_line.insert(at, turn, &entitled.support);
        }
    }
}

/// What an author asks for, against the state of the op's past. `None` refuses.
struct Asks<'a> {
    resolver: &'a Resolver,
    view: &'a View<'a>,
    seat: &'a Seat,
    with_kit: bool,
    /// A live admin device.
    admin: bool,
}

impl Asks<'_> {
    fn person_slot(&self, person: PersonId) -> Option<usize> {
        self.resolver.person_slots.get(&person).copied()
    }

    fn key_slot(&self, key: DeviceId) -> Option<usize> {
        self.resolver.key_slots.get(&key).copied()
    }

    /// What a person may do for themselves and an admin for everybody.
    fn own_or_admin(&self, person: Option<usize>) -> Option<Terms> {
        if person.is_some() && self.seat.person == person {
            return Some(Terms::default());
        }
        self.admin.then(Terms::admin)
    }

    /// Whether a key is new, or was a kit of this person before.
    fn can_be_kit(&self, kit: usize, person: usize) -> bool {
        let owner = self.view.owner(kit);
        owner.is_none_or(|owner| owner == Claim::Kit(person))
    }

    /// A removal must leave a live admin device.
    fn removing(&self, terms: Terms, removed: Removed) -> Option<Terms> {
        let left = self.view.admin_device(|key, person| match removed {
            Removed::Key(gone) => key != gone,
            Removed::Person(gone) | Removed::Rights(gone) => person != gone,
        });
        left.map(|_| Terms {
            removes: Some(removed),
            ..terms
        })
    }

    fn add_person(&self, person: PersonId, kit: Option<DeviceId>) -> Option<Terms> {
        let slot = self.person_slot(person)?;
        let kit = kit.and_then(|kit| self.key_slot(kit));
        let free = kit.is_none_or(|kit| self.can_be_kit(kit, slot));
        let new = self.view.person(slot).is_none();
        (self.admin && free && new).then(Terms::admin)
    }

    fn promote(&self, person: PersonId, role: Role) -> Option<Terms> {
        let target = self.view.person(self.person_slot(person)?)?;
        (self.admin && target.role < role).then(|| Terms {
            about: Some(target.added),
            ..Terms::admin()
        })
    }

    fn demote(&self, person: PersonId, role: Role) -> Option<Terms> {
        let slot = self.person_slot(person)?;
        let target = self.view.person(slot)?;
        if slot == FOUNDER || target.role <= role {
            return None;
        }
        self.removing(self.own_or_admin(Some(slot))?, Removed::Rights(slot))
    }

    fn remove_person(&self, person: PersonId) -> Option<Terms> {
        let slot = self.person_slot(person)?;
        self.view.person(slot)?;
        if slot == FOUNDER {
            return None;
        }
        self.removing(self.own_or_admin(Some(slot))?, Removed::Person(slot))
    }

    fn add_device(&self, person: Option<PersonId>, device: DeviceId) -> Option<Terms> {
        let key = self.key_slot(device)?;
        if self.view.device(key).is_some() {
            return None;
        }
        let owner = self.view.owner(key);
        let Some(person) = person else {
            let free = owner.is_none_or(|owner| owner == Claim::Keeper);
            return (self.admin && free).then(Terms::admin);
        };
        let slot = self.person_slot(person)?;
        let target = self.view.person(slot)?;
        if owner.is_some_and(|owner| owner != Claim::Device(slot)) {
            return None;
        }
        let terms = self.own_or_admin(Some(slot))?;
        // No junior admin may act in a senior's name, and a device is a name.
        if terms.as_admin && self.seat.key.rank >= target.rank {
            return None;
        }
        Some(Terms {
            about: Some(target.added),
            ..terms
        })
    }

    fn remove_device(&self, device: DeviceId) -> Option<Terms> {
        let key = self.key_slot(device)?;
        let person = match self.view.owner(key)? {
            Claim::Kit(person) => {
                let (current, _) = self.view.kit(person)?;
                (current == key).then_some(Some(person))?
            }
            Claim::Device(_) | Claim::Keeper => self.view.device(key)?.person,
        };
        self.removing(self.own_or_admin(person)?, Removed::Key(key))
    }

    fn set_recovery(
        &self,
        person: PersonId,
        kit: DeviceId,
        cosigner: Option<DeviceId>,
    ) -> Option<Terms> {
        let slot = self.person_slot(person)?;
        let target = self.view.person(slot)?;
        let kit = self.key_slot(kit)?;
        let current = self
            .view
            .kit(slot)
            .is_some_and(|(current, _)| current == kit);
        if self.seat.person != Some(slot) || current || !self.can_be_kit(kit, slot) {
            return None;
        }
        let allowed = self.with_kit
            || match cosigner {
                // Else whoever holds the device for an hour could lock its person out.
                None => !self.view.had_kit(slot),
                Some(device) => self.is_admin_beside(device, slot),
            };
        allowed.then(|| Terms {
            about: Some(target.added),
            ..Terms::default()
        })
    }

    /// Whether this is a live admin device of another person.
    fn is_admin_beside(&self, device: DeviceId, person: usize) -> bool {
        let key = self.key_slot(device);
        let owner = key.and_then(|key| self.view.person_of_device(key));
        owner.is_some_and(|(other, role)| other != person && role == Role::Admin)
    }

    fn describe(&self, subject: Subject) -> Option<Terms> {
        match subject {
            Subject::Family => self.admin.then(Terms::admin),
            Subject::Person(person) => {
                let slot = self.person_slot(person)?;
                self.view.person(slot)?;
                self.own_or_admin(Some(slot))
            }
            Subject::Device(device) => {
                let live = self.view.device(self.key_slot(device)?)?;
                self.own_or_admin(live.person)
            }
        }
    }
}
