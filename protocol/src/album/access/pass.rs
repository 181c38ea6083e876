//! One pass over an album's ops in order: what counts under the cuts in force.

use std::collections::{BTreeMap, BTreeSet};

use super::{Access, AccessOp, Act, Claim, Entitled, Kind};
use crate::{
    causal::Bits,
    family::resolver::Role,
    id::{DeviceId, EntryId, PersonId},
    limits,
    log::standing::{
        Cuts, Facts, Honour, Lowering, Namings, Need, Restrictions, Standing, Witness,
    },
    op::{Cut, Level},
};

/// One pass over the line.
pub(super) struct Pass<'a> {
    access: &'a Access,
    facts: Facts<'a>,
    namings: &'a Namings,
    pub(super) accepted: Bits,
    pub(super) restrictions: Restrictions,
    pub(super) witness: Witness,
}

impl<'a> Pass<'a> {
    pub(super) fn new(access: &'a Access, facts: Facts<'a>, namings: &'a Namings) -> Self {
        let restrictions = Restrictions::default();
        Self {
            access,
            facts,
            namings,
            accepted: Bits::default(),
            witness: facts.witness(namings, &restrictions),
            restrictions,
        }
    }

    /// Takes cuts as they come, but for those that fell before, and gives those that count.
    pub(super) fn take_cuts(mut self, fallen: &Bits) -> Vec<usize> {
        let mut cuts = Vec::new();
        let mut left: BTreeMap<PersonId, usize> = BTreeMap::new();
        for op in self.access.line.ops().iter().copied() {
            let Some(entitled) = self.supported(op) else {
                continue;
            };
            let Kind::Cut(claim) = entitled.kind else {
                self.take(op, entitled);
                continue;
            };
            let person = self.access.op(op).writer.person;
            let left = left.entry(person).or_insert(limits::PERSON_CUTS);
            if *left == 0 {
                continue;
            }
            if fallen.has(op) || !self.stands(op, entitled.need) || !self.is_right(op, claim) {
                continue;
            }
            self.restrict(&[op]);
            if self.stands(op, entitled.need) {
                self.accepted.add(op);
                cuts.push(op);
                *left -= 1;
            } else {
                self.relax(op);
            }
        }
        cuts
    }

    /// Takes everything under cuts in force; of cuts, the candidates, which are in the order of the line.
    pub(super) fn take_rest(&mut self, in_force: &[usize], candidates: &[usize]) {
        self.restrict(in_force);
        let mut candidates = candidates.iter().copied().peekable();
        for op in self.access.line.ops().iter().copied() {
            let is_candidate = candidates.next_if_eq(&op).is_some();
            let Some(entitled) = self.supported(op) else {
                continue;
            };
            if is_candidate || !matches!(entitled.kind, Kind::Cut(_)) {
                self.take(op, entitled);
            }
        }
    }

    fn supported(&self, op: usize) -> Option<&'a Entitled> {
        let entitled = self.access.entitled(op)?;
        let stands = entitled
            .support
            .is_none_or(|grant| self.accepted.has(grant));
        stands.then_some(entitled)
    }

    fn stands(&self, op: usize, need: impl Into<Need>) -> bool {
        let entry = &self.access.op(op).entry;
        let standing = self
            .facts
            .standing(entry, need.into(), &self.restrictions, &self.witness);
        standing == Standing::Stands
    }

    fn take(&mut self, op: usize, entitled: &Entitled) {
        let need = match entitled.kind {
            Kind::Grant => Need::GRANT,
            _ => entitled.need.into(),
        };
        if !self.stands(op, need) {
            return;
        }
        match entitled.kind {
            Kind::Cut(_) | Kind::Setting => self.accepted.add(op),
            Kind::Grant => {
                self.accepted.add(op);
                self.lift(op);
            }
            Kind::Lowering => self.lower(op),
        }
    }

    /// Takes a lowering, unless the last live manager would go.
    fn lower(&mut self, op: usize) {
        let family = self.facts.family;
        let before = self.access.is_managed(&self.accepted, family);
        self.accepted.add(op);
        if before && !self.access.is_managed(&self.accepted, family) {
            self.accepted.remove(op);
            return;
        }
        let Act::Set {
            person,
            level,
            cuts,
            ..
        } = &self.access.op(op).act
        else {
            return;
        };
        let mut honours: BTreeMap<DeviceId, BTreeMap<u64, Honour>> = BTreeMap::new();
        for cut in cuts {
            let of_device = honours.entry(cut.device).or_default();
            for (inc, honour) in self.honours(op, cut, false) {
                let there = of_device.entry(inc);
                let there = there.or_insert_with(|| Honour {
                    positions: Vec::new(),
                    ..honour.clone()
                });
                there.positions.extend(honour.positions);
            }
        }
        let said = self.access.said.get(person);
        let grants = said.map_or(&[][..], |said| &said.grants);
        let after = grants
            .iter()
            .copied()
            .filter(|grant| self.has_seen(*grant, op));
        let after = after.filter(|grant| self.accepted.has(*grant));
        let lifted = after.map(|grant| self.access.level_said(grant)).max();
        let lowering = Lowering {
            level: *level,
            lifted: lifted.unwrap_or(Level::None),
            honours,
        };
        let id = self.access.op(op).id;
        self.restrictions
            .lowerings
            .entry(*person)
            .or_default()
            .insert(id, lowering);
        self.look_again();
    }

    /// A grant gives back what lowerings that it had seen took.
    fn lift(&mut self, grant: usize) {
        let Act::Set { person, level, .. } = self.access.op(grant).act else {
            return;
        };
        let Some(lowerings) = self.restrictions.lowerings.get_mut(&person) else {
            return;
        };
        let mut changed = false;
        for (id, lowering) in lowerings {
            let seen = self.access.graph.find(id);
            let past = &self.access.graph.node(grant).past;
            if level > lowering.lifted && seen.is_some_and(|op| past.has(op)) {
                lowering.lifted = level;
                changed = true;
            }
        }
        if changed {
            self.look_again();
        }
    }

    fn has_seen(&self, later: usize, op: usize) -> bool {
        self.access.graph.node(later).past.has(op)
    }

    fn restrict(&mut self, cuts: &[usize]) {
        for op in cuts {
            if let Act::Cut { cut, .. } = &self.access.op(*op).act {
                let is_strict = self.is_strict(*op);
                let honours = self.honours(*op, cut, is_strict);
                let of_device = self.restrictions.cuts.entry(cut.device).or_default();
                of_device.count += 1;
                of_device.strict += usize::from(is_strict);
                for (inc, honour) in honours {
                    of_device.honours.entry(inc).or_default().push(honour);
                }
            }
        }
        self.look_again();
    }

    /// Takes the last cut back.
    fn relax(&mut self, op: usize) {
        let is_strict = self.is_strict(op);
        if let Act::Cut { cut, .. } = &self.access.op(op).act
            && let Some(cuts) = self.restrictions.cuts.get_mut(&cut.device)
        {
            let Cuts {
                count,
                strict,
                honours,
            } = cuts;
            *count -= 1;
            *strict -= usize::from(is_strict);
            let listed: BTreeSet<u64> = cut.positions.iter().map(|p| p.inc).collect();
            for inc in listed {
                honours.get_mut(&inc).and_then(Vec::pop);
            }
        }
        self.look_again();
    }

    fn look_again(&mut self) {
        self.witness = self.facts.witness(self.namings, &self.restrictions);
    }

    /// What an op's cut honours, by incarnation.
    fn honours(&self, op: usize, cut: &Cut, is_strict: bool) -> BTreeMap<u64, Honour> {
        let nothing = Honour {
            positions: Vec::new(),
            support: self.rests_on(op),
            is_strict,
        };
        let mut honours = BTreeMap::new();
        for position in &cut.positions {
            let honour = honours
                .entry(position.inc)
                .or_insert_with(|| nothing.clone());
            honour.positions.push(*position);
        }
        honours
    }

    /// Whether a cut leaves no grant above what it lists, whoever vouched for it: an admin's, or a manager's of a
    /// removed device of their own. Else a stolen device would share albums with whom it likes, by way of those who
    /// have not heard of its removal. A loss of access stays, as who ended a share relies on it.
    fn is_strict(&self, op: usize) -> bool {
        let AccessOp { writer, act, .. } = self.access.op(op);
        let Act::Cut { person, cut } = act else {
            return false;
        };
        let by_right = self.access.entitled(op).is_some_and(|entitled| {
            entitled.need == Level::Manager || entitled.kind == Kind::Cut(Claim::Admin)
        });
        let is_live = self.facts.family.devices.contains_key(&cut.device);
        let is_own = !is_live && *person == Some(writer.person);
        by_right && (is_own || self.is_admin(&writer.person))
    }

    fn is_admin(&self, person: &PersonId) -> bool {
        let standing = self.facts.family.persons.get(person);
        standing.is_some_and(|standing| standing.role == Role::Admin)
    }

    /// The entries of the grants that an op's author owes its standing to.
    fn rests_on(&self, op: usize) -> Vec<EntryId> {
        let mut entries = Vec::new();
        let mut next = self.access.entitled(op).and_then(|e| e.support);
        while let Some(grant) = next {
            entries.push(self.access.op(grant).entry);
            next = self.access.entitled(grant).and_then(|e| e.support);
        }
        entries
    }

    fn is_right(&self, op: usize, claim: Claim) -> bool {
        let Act::Cut {
            cut: Cut { device, .. },
            ..
        } = &self.access.op(op).act
        else {
            return false;
        };
        match claim {
            Claim::Always => true,
            Claim::Manager => self.is_loose(device),
            Claim::Admin => {
                self.is_loose(device)
                    && self.is_admin(&self.access.op(op).writer.person)
                    && !self.access.is_managed(&self.accepted, self.facts.family)
            }
        }
    }

    /// Whether a device was removed or forked a log.
    fn is_loose(&self, device: &DeviceId) -> bool {
        let family = self.facts.family;
        let was_live = family.certs.values().any(|cert| cert.device == *device);
        (was_live && !family.devices.contains_key(device)) || self.facts.ledger.is_forked(device)
    }
}
