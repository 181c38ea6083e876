//! Which control ops count, for any set of them.
//!
//! A pure function of a set of ops, so that devices that hold the same ops agree
//! whatever order these came in. Each op is judged in its own past: was its
//! author entitled there (`entitle`), and with what [`Key`]? Then all are taken
//! in one order and accepted in one pass (`pass`), and what is accepted makes
//! the state (`standing`). Section 1 of the specification states the rule; the
//! vectors under `tests/vectors/resolver` come from a second implementation.
//!
//! Not here: signatures, proofs and encodings (checked before an op comes in),
//! names, and anything of albums.
//!
//! Cost, for n ops of which s add, change or remove somebody: placing an op
//! takes O(n), judging it O(s) in the worst case and O(1) where the past was
//! judged before; memory is n*n/8 bytes for the pasts.

mod entitle;
mod pass;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::{pass::Memo, standing::View};
use crate::{
    causal::{Bits, Graph, Line},
    id::{DeviceId, OpId, PersonId},
};

/// What a person may do in the family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Reads what is shared with them.
    Viewer,
    /// Makes albums and contributes.
    Member,
    /// Adds and removes people, devices and keepers as well.
    Admin,
}

/// Who signed an op.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Author {
    /// A device, by its public key.
    Device(DeviceId),
    /// A recovery kit, by its signing key.
    Kit(DeviceId),
}

impl Author {
    /// The signing key.
    pub const fn key(&self) -> DeviceId {
        match *self {
            Self::Device(key) | Self::Kit(key) => key,
        }
    }
}

/// The first op: the founder, who is never removed or demoted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Founding {
    /// Its id; the certificate of the founder's first device and kit.
    pub id: OpId,
    /// The founder.
    pub person: PersonId,
    /// The founder's first device.
    pub device: DeviceId,
    /// The founder's recovery kit, if one was made.
    pub kit: Option<DeviceId>,
}

/// A control op as the resolver sees it. Its signatures and proofs are good: the caller checked them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlOp {
    /// Its name, which also breaks the last ties.
    pub id: OpId,
    /// Who signed it.
    pub author: Author,
    /// The op before it in its log and those its author names as seen.
    pub parents: Vec<OpId>,
    /// What it says.
    pub act: Act,
}

/// What a control op says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// Adds a person; their first device follows as [`Act::AddDevice`].
    AddPerson {
        /// Who.
        person: PersonId,
        /// What they may do.
        role: Role,
        /// Their recovery kit, from the joiner.
        kit: Option<DeviceId>,
    },
    /// Raises a person to a role.
    Promote {
        /// Who.
        person: PersonId,
        /// The role, above the present one.
        role: Role,
    },
    /// Lowers a person to a role.
    Demote {
        /// Who.
        person: PersonId,
        /// The role, below the present one.
        role: Role,
    },
    /// Certifies a device.
    AddDevice {
        /// Whose; `None` for a keeper.
        person: Option<PersonId>,
        /// Its key.
        device: DeviceId,
    },
    /// Removes a device, a keeper or a recovery kit.
    RemoveDevice {
        /// Its key.
        device: DeviceId,
    },
    /// Removes a person with all devices and the kit.
    RemovePerson {
        /// Who.
        person: PersonId,
    },
    /// Installs a recovery kit.
    SetRecovery {
        /// Whose.
        person: PersonId,
        /// The new kit's signing key.
        kit: DeviceId,
        /// The device of another person's that signed too; the caller checked its signature.
        cosigner: Option<DeviceId>,
    },
    /// A device's new sealing key.
    RotateSeal,
    /// A profile or policy value; changes nobody's standing.
    Describe(Subject),
    /// Says only what its author had seen: joins heads.
    Join,
}

/// Whom a profile or policy value is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Subject {
    /// The family.
    Family,
    /// A person.
    Person(PersonId),
    /// A device.
    Device(DeviceId),
}

/// A person's rank: smaller is senior.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rank {
    /// An admin.
    Admin {
        /// Grants between the founder and this one.
        depth: u32,
        /// The op that made them admin; zero for the founder.
        grant: OpId,
    },
    /// Another person; `None` for a keeper.
    Other(Option<PersonId>),
}

/// The seniority of an op's author when it was made, fixed with the op.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Key {
    /// The person's.
    pub rank: Rank,
    /// Half steps between the person's original kit and the author.
    pub level: u32,
    /// The op that certified the author; zero for an original kit.
    pub cert: OpId,
}

/// A person of the family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PersonStanding {
    /// What they may do.
    pub role: Role,
    /// Their rank among admins.
    pub rank: Rank,
    /// The op that added them.
    pub added: OpId,
    /// The op that gave them the role: the same or a promotion.
    pub grant: OpId,
}

/// A device that may connect and write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceStanding {
    /// Whose it is; `None` for a keeper.
    pub person: Option<PersonId>,
    /// Half steps from the person's original kit.
    pub level: u32,
    /// The op that certified it.
    pub cert: OpId,
}

/// A person's current recovery kit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KitStanding {
    /// Its signing key.
    pub kit: DeviceId,
    /// Half steps from the person's original kit.
    pub level: u32,
    /// The op that installed it.
    pub cert: OpId,
}

/// What a key was first accepted as, and so is for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// A person's device.
    Device(PersonId),
    /// A person's recovery kit.
    Kit(PersonId),
    /// A keeper.
    Keeper,
}

/// What an op certifies, fixed with the op.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// The device or keeper.
    pub device: DeviceId,
    /// Whose it is; `None` for a keeper.
    pub person: Option<PersonId>,
    /// Half steps from the person's original kit.
    pub level: u32,
}

/// The family that a set of ops describes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolution {
    /// The ops that count, the first one included.
    pub accepted: BTreeSet<OpId>,
    /// The persons.
    pub persons: BTreeMap<PersonId, PersonStanding>,
    /// The live devices and keepers.
    pub devices: BTreeMap<DeviceId, DeviceStanding>,
    /// The current recovery kits.
    pub kits: BTreeMap<PersonId, KitStanding>,
    /// Every key that was ever accepted, those of the removed included.
    pub owners: BTreeMap<DeviceId, Owner>,
    /// The accepted certificates of devices and keepers, by op.
    pub certs: BTreeMap<OpId, Certificate>,
    /// Those of them whose device or person was removed since.
    pub retired: BTreeSet<OpId>,
}

impl Resolution {
    /// The live device's person's role; `None` for a keeper and for whoever is not live.
    pub fn role_of_device(&self, device: &DeviceId) -> Option<Role> {
        let person = self.devices.get(device)?.person?;
        self.persons.get(&person).map(|standing| standing.role)
    }
}

/// An op in the graph, and what its own past says of it.
#[derive(Clone)]
struct Weighed {
    /// `None` for the first op.
    said: Option<(Author, Act)>,
    /// `None` when its author was not entitled.
    entitled: Option<Entitled>,
}

/// What an entitled op draws from its past.
#[derive(Clone)]
struct Entitled {
    key: Key,
    /// The grants and the certificate that gave its author standing.
    support: Vec<usize>,
    /// The author's key and person; none for the first op, no person for a keeper.
    with: Option<usize>,
    by: Option<usize>,
    /// It needed the author to be an admin.
    as_admin: bool,
    /// The op that had added the person it is about.
    about: Option<usize>,
    removes: Option<Removed>,
}

/// Whom a removal takes out.
#[derive(Clone, Copy)]
enum Removed {
    Key(usize),
    Person(usize),
    Rights(usize),
}

/// What is said of a person: entitled ops alone, in the order of the line.
#[derive(Clone, Default)]
struct PersonOps {
    grants: Vec<usize>,
    promotions: Vec<usize>,
    demotions: Vec<usize>,
    removals: Vec<usize>,
    /// With the kit's key.
    installs: Vec<(usize, usize)>,
}

/// What is said of a key: entitled ops alone, in the order of the line.
#[derive(Clone, Default)]
struct KeyOps {
    claims: Vec<(usize, Claim)>,
    removals: Vec<usize>,
    /// Every op it signed, entitled or not.
    wrote: Bits,
}

/// What an op takes a key for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    Device(usize),
    Kit(usize),
    Keeper,
}

/// Order of judgement: seniority, then the longest path from the first op, then the id.
type Turn = (Key, u32, OpId);

/// The control ops known so far and what follows from them.
#[derive(Clone)]
pub struct Resolver {
    graph: Graph<Weighed>,
    /// The entitled ops, and of these the ones that can change somebody's standing.
    line: Line<Turn>,
    spine_line: Line<Turn>,
    spine: Bits,
    /// The founder is the first person, the founder's first device the first key.
    person_ids: Vec<PersonId>,
    person_slots: BTreeMap<PersonId, usize>,
    persons: Vec<PersonOps>,
    key_ids: Vec<DeviceId>,
    key_slots: BTreeMap<DeviceId, usize>,
    keys: Vec<KeyOps>,
    memo: Memo,
}

const FOUNDER: usize = 0;
const FOUNDER_DEVICE: usize = 0;

impl Resolver {
    /// A family of its founder alone.
    pub fn new(founding: Founding) -> Self {
        let mut resolver = Self {
            graph: Graph::new(),
            line: Line::new(),
            spine_line: Line::new(),
            spine: Bits::default(),
            person_ids: Vec::new(),
            person_slots: BTreeMap::new(),
            persons: Vec::new(),
            key_ids: Vec::new(),
            key_slots: BTreeMap::new(),
            keys: Vec::new(),
            memo: Memo::default(),
        };
        let first = Weighed {
            said: None,
            entitled: None,
        };
        for at in resolver.graph.insert(founding.id, Vec::new(), first) {
            resolver.admit_founding(at, founding);
        }
        resolver
    }

    /// Takes an op in; one that names ops not here yet waits for them. One seen before changes nothing.
    ///
    /// An op without parents is kept and counts for nothing. Waiting ops are
    /// held without bound: the caller takes in no more than it stores.
    pub fn insert(&mut self, op: ControlOp) {
        let weighed = Weighed {
            said: Some((op.author, op.act)),
            entitled: None,
        };
        for at in self.graph.insert(op.id, op.parents, weighed) {
            self.weigh(at);
        }
    }

    /// The family as all ops that do not wait describe it.
    pub fn resolve(&self) -> Resolution {
        let mut all = Bits::default();
        (0..self.graph.len()).for_each(|at| all.add(at));
        self.resolve_set(&all)
    }

    /// The family as somebody saw it who named these ops; `None` while one of them is not here or waits.
    pub fn resolve_at(&self, heads: &[OpId]) -> Option<Resolution> {
        Some(self.resolve_set(&self.graph.closure(heads)?))
    }

    /// Whether the op is one of these or in their past; no, while one of them is not here or waits.
    pub fn sees(&self, heads: &[OpId], op: &OpId) -> bool {
        let closure = self.graph.closure(heads).zip(self.graph.find(op));
        closure.is_some_and(|(past, op)| past.has(op))
    }

    /// Whether the op and its whole past are here.
    pub fn holds(&self, op: &OpId) -> bool {
        self.graph.find(op).is_some()
    }

    /// The seniority with which an op was made; `None` when its author was not entitled to it.
    pub fn key_of(&self, op: &OpId) -> Option<Key> {
        self.entitled(self.graph.find(op)?)
            .map(|entitled| entitled.key)
    }

    /// What an op certifies, whether or not it counts today; `None` where it does not certify
    /// a device or its author was not entitled to it.
    pub fn certificate(&self, op: &OpId) -> Option<Certificate> {
        let at = self.graph.find(op)?;
        let certified = |person: Option<PersonId>, device| {
            let slot = person.and_then(|person| self.person_slots.get(&person).copied());
            let level = self.device_level(at, slot)?;
            Some(Certificate {
                device,
                person,
                level,
            })
        };
        match self.graph.node(at).op.said {
            Some((_, Act::AddDevice { person, device })) => certified(person, device),
            Some(_) => None,
            None => certified(
                self.person_ids.get(FOUNDER).copied(),
                *self.key_ids.get(FOUNDER_DEVICE)?,
            ),
        }
    }

    /// How many ops wait for others.
    pub fn waiting(&self) -> usize {
        self.graph.waiting()
    }

    fn resolve_set(&self, set: &Bits) -> Resolution {
        let accepted = self.accept(set, self.line.ops());
        View::new(self, &accepted).resolution()
    }

    fn entitled(&self, op: usize) -> Option<&Entitled> {
        self.graph.node(op).op.entitled.as_ref()
    }

    fn person_slot(&mut self, person: PersonId) -> usize {
        let next = self.person_ids.len();
        let slot = *self.person_slots.entry(person).or_insert(next);
        if slot == next {
            self.person_ids.push(person);
            self.persons.push(PersonOps::default());
        }
        slot
    }

    fn key_slot(&mut self, key: DeviceId) -> usize {
        let next = self.key_ids.len();
        let slot = *self.key_slots.entry(key).or_insert(next);
        if slot == next {
            self.key_ids.push(key);
            self.keys.push(KeyOps::default());
        }
        slot
    }
}
