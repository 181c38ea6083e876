//! The two passes: cuts in order of seniority, then everything else under them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Access, Act, Kind, Settled, pass::Pass};
use crate::{
    causal::Bits,
    family::resolver::Resolution,
    id::{OpId, PersonId},
    log::standing::{Facts, Ledger, Namings, Restrictions, Witness},
    op::Level,
};

/// How often cuts that fell make the others be judged anew. Without a bound one hostile person
/// with a log for each of a thousand cuts would keep everybody at it.
const ROUNDS: usize = 16;

impl Access {
    /// What all ops that do not wait come to in a family.
    ///
    /// A function of the sets of ops, entries and namings, and of the family: whatever order they came in.
    pub fn settle(&self, ledger: &Ledger, family: &Resolution) -> Settled {
        let known = self.known();
        let facts = Facts {
            ledger,
            family,
            known: &known,
        };
        let namings = facts.namings(|person, seen| self.lost(person, seen));
        let (accepted, restrictions, witness) = self.settle_cuts(facts, &namings);
        let counts = |act: fn(&Act) -> bool| self.latest(&accepted, act);
        let (keepers, retention, closed) = (
            counts(|act| matches!(act, Act::Keepers)),
            counts(|act| matches!(act, Act::Retention)),
            counts(|act| matches!(act, Act::Close)),
        );
        let ops = self.line.ops().iter().filter(|op| accepted.has(**op));
        let lowered = |op: &&usize| {
            self.entitled(**op)
                .is_some_and(|e| e.kind == Kind::Lowering)
        };
        let highest = self.highest(&accepted);
        let reaches = facts.reaches(0, &highest, &restrictions, &witness);
        Settled {
            reaches,
            accepted: ops.clone().map(|op| self.graph.node(*op).id).collect(),
            levels: self.levels(&accepted, family),
            highest,
            lowered: ops
                .filter(lowered)
                .map(|op| self.graph.node(*op).id)
                .collect(),
            keepers,
            retention,
            closed,
            known,
            restrictions,
            witness,
        }
    }

    /// Settles which cuts count, and what does under them.
    ///
    /// Those that do not stand under all others are left out and the rest is settled anew: first the
    /// ones that fall under cuts which stand themselves, else the last of them, which an earlier
    /// one cannot have felled. After [`ROUNDS`] nothing comes back that once fell.
    fn settle_cuts(&self, facts: Facts<'_>, namings: &Namings) -> (Bits, Restrictions, Witness) {
        let pass = || Pass::new(self, facts, namings);
        let under = |in_force: &[usize], candidates: &[usize]| {
            let mut pass = pass();
            pass.take_rest(in_force, candidates);
            pass
        };
        let mut fallen = Bits::default();
        let mut cuts = pass().take_cuts(&fallen);
        let mut rounds = 0;
        loop {
            let all = under(&cuts, &cuts);
            let (good, bad): (Vec<_>, Vec<_>) =
                cuts.iter().partition(|cut| all.accepted.has(**cut));
            let Some(last) = bad.last().copied() else {
                return (all.accepted, all.restrictions, all.witness);
            };
            if rounds == ROUNDS {
                cuts = good;
                continue;
            }
            rounds += 1;
            let accepted = under(&good, &cuts).accepted;
            let mut felled = bad;
            felled.retain(|cut| !accepted.has(*cut));
            if felled.is_empty() {
                felled.push(last);
            }
            felled.into_iter().for_each(|cut| fallen.add(cut));
            cuts = pass().take_cuts(&fallen);
        }
    }

    /// Persons who were ever given access by an entitled op.
    fn known(&self) -> BTreeSet<PersonId> {
        let granted = self.said.iter().filter(|(_, said)| !said.grants.is_empty());
        let mut known: BTreeSet<_> = granted.map(|(person, _)| *person).collect();
        known.insert(self.creator);
        known
    }

    /// The accepted op of a kind that no later one of it had seen, the most senior of several.
    fn latest(&self, accepted: &Bits, act: fn(&Act) -> bool) -> Option<OpId> {
        let ops = self.line.ops().iter().copied();
        let ops: Vec<_> = ops
            .filter(|op| accepted.has(*op) && act(&self.op(*op).act))
            .collect();
        let mut seen = Bits::default();
        ops.iter()
            .for_each(|op| seen.add_all(&self.graph.node(*op).past));
        let latest = ops.into_iter().find(|op| !seen.has(*op));
        latest.map(|op| self.graph.node(op).id)
    }

    fn highest(&self, accepted: &Bits) -> BTreeMap<PersonId, Level> {
        let mut highest = BTreeMap::from([(self.creator, Level::Manager)]);
        for (person, said) in &self.said {
            let grants = said.grants.iter().filter(|grant| accepted.has(**grant));
            if let Some(level) = grants.map(|grant| self.level_said(*grant)).max() {
                highest.insert(*person, level);
            }
        }
        highest
    }

    /// What persons of the family may do under the accepted ops.
    fn levels(&self, accepted: &Bits, family: &Resolution) -> BTreeMap<PersonId, Level> {
        let mut levels = BTreeMap::new();
        for person in family.persons.keys() {
            let level = self.level_of(accepted, family, person);
            if level > Level::None {
                levels.insert(*person, level);
            }
        }
        levels
    }

    fn level_of(&self, accepted: &Bits, family: &Resolution, person: &PersonId) -> Level {
        let Some(standing) = family.persons.get(person) else {
            return Level::None;
        };
        if *person == self.creator {
            return Level::Manager;
        }
        let mut level = Level::None;
        if let Some(said) = self.said.get(person) {
            for grant in said
                .grants
                .iter()
                .copied()
                .filter(|grant| accepted.has(*grant))
            {
                if self.granted_to(grant) == Some(standing.added) {
                    let lowerings = said.lowerings.iter().rev().copied();
                    let lowerings = lowerings.filter(|l| accepted.has(*l));
                    level = level.max(self.granted(grant, lowerings, level));
                }
            }
        }
        level
    }

    /// Whether a manager with a live device is left.
    pub(super) fn is_managed(&self, accepted: &Bits, family: &Resolution) -> bool {
        let live: BTreeSet<_> = family.devices.values().filter_map(|d| d.person).collect();
        let mut persons = std::iter::once(&self.creator).chain(self.said.keys());
        persons.any(|person| {
            live.contains(person) && self.level_of(accepted, family, person) == Level::Manager
        })
    }
}
