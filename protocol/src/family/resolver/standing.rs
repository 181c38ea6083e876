//! What a set of accepted ops makes of persons and keys.
//!
//! A grant or certificate is alive while every accepted removal of its target
//! lies in its past, so a removal wins over a concurrent grant. What is said of
//! a person counts for the grant that its author had seen: whoever adds the
//! same person beside it gains no device, kit or rank from that.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Act, Author, Claim, DeviceStanding, Key, KitStanding, Owner, PersonStanding, Rank, Resolution,
    Resolver, Role,
};
use crate::{
    causal::Bits,
    id::{DeviceId, OpId},
};

/// Half steps of a device beside its person's grant; a certified one is as far from its certifier.
const STEP: u32 = 2;

/// Accepted ops and the state they make, looked up piece by piece.
pub(super) struct View<'a> {
    resolver: &'a Resolver,
    accepted: &'a Bits,
}

/// A live person.
pub(super) struct Person {
    pub(super) role: Role,
    pub(super) rank: Rank,
    pub(super) added: usize,
    pub(super) grant: usize,
}

/// A live device or current kit.
pub(super) struct Live {
    /// None for a keeper.
    pub(super) person: Option<usize>,
    pub(super) level: u32,
    pub(super) cert: usize,
}

/// An author's standing.
pub(super) struct Seat {
    pub(super) person: Option<usize>,
    pub(super) role: Option<Role>,
    pub(super) key: Key,
    pub(super) support: Vec<usize>,
}

impl Resolver {
    /// The level that an entitled certificate gives.
    pub(super) fn device_level(&self, cert: usize, person: Option<usize>) -> Option<u32> {
        let certifier = self.entitled(cert)?;
        let own = person.is_some() && certifier.by == person;
        let base = if own { certifier.key.level } else { 0 };
        Some(base.saturating_add(STEP))
    }
}

impl<'a> View<'a> {
    pub(super) fn new(resolver: &'a Resolver, accepted: &'a Bits) -> Self {
        Self { resolver, accepted }
    }

    fn id(&self, op: usize) -> OpId {
        self.resolver.graph.node(op).id
    }

    fn said(&self, op: usize) -> Option<(Author, Act)> {
        self.resolver.graph.node(op).op.said
    }

    /// Whether an accepted removal lies outside the op's past.
    fn is_struck(&self, removals: &[usize], op: usize) -> bool {
        let past = &self.resolver.graph.node(op).past;
        // The latest are the likeliest to lie outside.
        let mut removals = removals.iter().rev().filter(|r| self.accepted.has(**r));
        removals.any(|r| !past.has(*r))
    }

    /// The live grant of a person that is first in order.
    fn added(&self, person: usize) -> Option<usize> {
        let said = &self.resolver.persons[person];
        let mut grants = said
            .grants
            .iter()
            .copied()
            .filter(|g| self.accepted.has(*g));
        grants.find(|g| !self.is_struck(&said.removals, *g))
    }

    /// Whether a grant, certificate or install is for the person as added by this op.
    fn is_for(&self, op: usize, added: usize) -> bool {
        let about = self.resolver.entitled(op).and_then(|e| e.about);
        op == added || about == Some(added)
    }

    pub(super) fn person(&self, person: usize) -> Option<Person> {
        let added = self.added(person)?;
        let mut grant = added;
        let mut role = self.granted(person, added, Role::Viewer);
        for op in self.resolver.persons[person].promotions.iter().copied() {
            if self.accepted.has(op) && self.is_for(op, added) {
                let raised = self.granted(person, op, role);
                if raised > role {
                    (grant, role) = (op, raised);
                }
            }
        }
        let rank = match (role, self.said(grant)) {
            (Role::Admin, None) => Rank::Admin {
                depth: 0,
                grant: OpId::ZERO,
            },
            (Role::Admin, Some(_)) => Rank::Admin {
                depth: self.depth_below(grant),
                grant: self.id(grant),
            },
            _ => Rank::Other(Some(self.resolver.person_ids[person])),
        };
        Some(Person {
            role,
            rank,
            added,
            grant,
        })
    }

    /// The depth of an admin whom this op made one.
    fn depth_below(&self, grant: usize) -> u32 {
        match self.resolver.entitled(grant).map(|e| e.key.rank) {
            Some(Rank::Admin { depth, .. }) => depth.saturating_add(1),
            Some(Rank::Other(_)) | None => u32::MAX,
        }
    }

    /// The role that a grant or promotion gives, less what demotions outside its past took.
    ///
    /// Looks no further once it is down to `floor`.
    fn granted(&self, person: usize, grant: usize, floor: Role) -> Role {
        let mut role = match self.said(grant) {
            None => Role::Admin,
            Some((_, Act::AddPerson { role, .. } | Act::Promote { role, .. })) => role,
            Some(_) => Role::Viewer,
        };
        let past = &self.resolver.graph.node(grant).past;
        for demotion in self.resolver.persons[person]
            .demotions
            .iter()
            .rev()
            .copied()
        {
            if role <= floor {
                break;
            }
            if let Some((_, Act::Demote { role: to, .. })) = self.said(demotion)
                && self.accepted.has(demotion)
                && !past.has(demotion)
            {
                role = role.min(to);
            }
        }
        role
    }

    /// What a key was first accepted as.
    pub(super) fn owner(&self, key: usize) -> Option<Claim> {
        let mut claims = self.resolver.keys[key].claims.iter();
        let first = claims.find(|(op, _)| self.accepted.has(*op));
        first.map(|(_, claim)| *claim)
    }

    pub(super) fn device(&self, key: usize) -> Option<Live> {
        let owner = self.owner(key)?;
        let mut certs = self.resolver.keys[key].claims.iter();
        let (cert, _) = certs.find(|(op, claim)| {
            *claim == owner && self.accepted.has(*op) && self.is_alive(key, *op, *claim)
        })?;
        let person = match owner {
            Claim::Kit(_) => return None,
            Claim::Keeper => None,
            Claim::Device(person) => Some(person),
        };
        let (level, cert) = (self.resolver.device_level(*cert, person)?, *cert);
        Some(Live {
            person,
            level,
            cert,
        })
    }

    /// Whether neither the key nor its person was removed since an accepted certificate.
    fn is_alive(&self, key: usize, cert: usize, claim: Claim) -> bool {
        let of_person = match claim {
            Claim::Kit(_) => false,
            Claim::Keeper => true,
            Claim::Device(person) => self.added(person).is_some_and(|added| {
                self.is_for(cert, added)
                    && !self.is_struck(&self.resolver.persons[person].removals, cert)
            }),
        };
        of_person && !self.is_struck(&self.resolver.keys[key].removals, cert)
    }

    /// A person's current kit and its key.
    pub(super) fn kit(&self, person: usize) -> Option<(usize, Live)> {
        let added = self.added(person)?;
        let said = &self.resolver.persons[person];
        let installs = said.installs.iter().copied().filter(|(op, kit)| {
            self.accepted.has(*op)
                && self.is_for(*op, added)
                && !self.is_struck(&said.removals, *op)
                && self.owner(*kit) == Some(Claim::Kit(person))
        });
        let installs: Vec<_> = installs.collect();
        let mut replaced = Bits::default();
        for (op, _) in &installs {
            replaced.add_all(&self.resolver.graph.node(*op).past);
        }
        // A kit that was replaced does not come back when its successor is removed.
        let (cert, kit) = installs.into_iter().find(|(op, kit)| {
            !replaced.has(*op) && !self.is_struck(&self.resolver.keys[*kit].removals, *op)
        })?;
        let level = self.kit_level(cert);
        let person = Some(person);
        Some((
            kit,
            Live {
                person,
                level,
                cert,
            },
        ))
    }

    fn kit_level(&self, install: usize) -> u32 {
        let Some(entitled) = self.resolver.entitled(install) else {
            return u32::MAX;
        };
        let level = entitled.key.level;
        match self.said(install) {
            Some((Author::Kit(_), Act::SetRecovery { .. })) => level,
            Some((
                _,
                Act::SetRecovery {
                    cosigner: Some(_), ..
                },
            )) => level.saturating_sub(1),
            Some((_, Act::SetRecovery { cosigner: None, .. })) => level.saturating_add(STEP),
            _ => 0,
        }
    }

    /// Whether a kit was ever installed for a person.
    pub(super) fn had_kit(&self, person: usize) -> bool {
        let installs = &self.resolver.persons[person].installs;
        installs.iter().any(|(op, _)| self.accepted.has(*op))
    }

    /// The person and role of a live device; a keeper has none.
    pub(super) fn person_of_device(&self, key: usize) -> Option<(usize, Role)> {
        let person = self.device(key)?.person?;
        Some((person, self.person(person)?.role))
    }

    /// A live device of an admin, with the admin, that the caller does not refuse.
    pub(super) fn admin_device(
        &self,
        wanted: impl Fn(usize, usize) -> bool,
    ) -> Option<(usize, usize)> {
        (0..self.resolver.keys.len()).find_map(|key| {
            let (person, role) = self.person_of_device(key)?;
            (role == Role::Admin && wanted(key, person)).then_some((key, person))
        })
    }

    /// The standing of an op's author.
    pub(super) fn seat(&self, author: Author, key: usize) -> Option<Seat> {
        let live = match author {
            Author::Device(_) => self.device(key)?,
            Author::Kit(_) => {
                let Some(Claim::Kit(person)) = self.owner(key) else {
                    return None;
                };
                let (current, live) = self.kit(person)?;
                (current == key).then_some(live)?
            }
        };
        // An original kit has no certificate of its own: it comes before every kit that followed it.
        let original =
            live.level == 0 && !matches!(self.said(live.cert), Some((_, Act::SetRecovery { .. })));
        let cert = if original {
            OpId::ZERO
        } else {
            self.id(live.cert)
        };
        let mut seat = Seat {
            person: live.person,
            role: None,
            key: Key {
                rank: Rank::Other(None),
                level: live.level,
                cert,
            },
            support: vec![live.cert],
        };
        if let Some(person) = live.person {
            let person = self.person(person)?;
            seat.role = Some(person.role);
            seat.key.rank = person.rank;
            seat.support.extend([person.grant, person.added]);
            seat.support.sort_unstable();
            seat.support.dedup();
        }
        Some(seat)
    }

    pub(super) fn resolution(&self) -> Resolution {
        let mut out = Resolution {
            accepted: BTreeSet::new(),
            persons: BTreeMap::new(),
            devices: BTreeMap::new(),
            kits: BTreeMap::new(),
            owners: BTreeMap::new(),
            certs: BTreeMap::new(),
            retired: BTreeSet::new(),
        };
        let ops = 0..self.resolver.graph.len();
        let accepted = ops.filter(|op| self.accepted.has(*op));
        out.accepted.extend(accepted.map(|op| self.id(op)));
        for (slot, id) in self.resolver.person_ids.iter().enumerate() {
            if let Some(person) = self.person(slot) {
                out.persons.insert(*id, self.person_standing(&person));
            }
            if let Some((key, live)) = self.kit(slot) {
                let kit = self.resolver.key_ids[key];
                let (level, cert) = (live.level, self.id(live.cert));
                out.kits.insert(*id, KitStanding { kit, level, cert });
            }
        }
        for (slot, id) in self.resolver.key_ids.iter().enumerate() {
            self.add_key(&mut out, slot, *id);
            self.add_certificates(&mut out, slot);
        }
        out
    }

    fn person_standing(&self, person: &Person) -> PersonStanding {
        PersonStanding {
            role: person.role,
            rank: person.rank,
            added: self.id(person.added),
            grant: self.id(person.grant),
        }
    }

    fn add_key(&self, out: &mut Resolution, slot: usize, id: DeviceId) {
        let person_ids = &self.resolver.person_ids;
        if let Some(claim) = self.owner(slot) {
            let owner = match claim {
                Claim::Device(person) => Owner::Device(person_ids[person]),
                Claim::Kit(person) => Owner::Kit(person_ids[person]),
                Claim::Keeper => Owner::Keeper,
            };
            out.owners.insert(id, owner);
        }
        if let Some(live) = self.device(slot) {
            let standing = DeviceStanding {
                person: live.person.map(|person| person_ids[person]),
                level: live.level,
                cert: self.id(live.cert),
            };
            out.devices.insert(id, standing);
        }
    }

    fn add_certificates(&self, out: &mut Resolution, slot: usize) {
        let claims = self.resolver.keys[slot].claims.iter().copied();
        for (op, claim) in claims.filter(|(op, _)| self.accepted.has(*op)) {
            if matches!(claim, Claim::Kit(_)) {
                continue;
            }
            let id = self.id(op);
            if let Some(certificate) = self.resolver.certificate(&id) {
                out.certs.insert(id, certificate);
                if self.owner(slot) != Some(claim) || !self.is_alive(slot, op, claim) {
                    out.retired.insert(id);
                }
            }
        }
    }
}
