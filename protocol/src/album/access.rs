//! Who may read, contribute and manage, and so which entries of an album count.
//!
//! The control log's rule once more: the creator's person has rank 0, managers are the
//! admins, [`Act::Set`] grants and lowers. An op is judged in its own past by the
//! album's ops alone (`entitle`), and all are accepted in one order (`pass`).
//! What differs: a family removal has seen no op of an album, so whether it, a
//! cut or a lowering hits an op is a matter of position
//! ([`crate::log::standing`]). Cuts are settled first, in order of seniority;
//! then everything else under them. A cut that falls under those it is settled
//! with does not count (`settle`).
//!
//! Not here: encodings and signatures, the contents of settings, keys.
//!
//! Cost of [`Access::settle`], for n ops of which c cut or lower, and w pairs of
//! logs that name each other: O(n + c * w) twice, and three times more for each
//! of at most 16 rounds in which cuts fell. So it is for the end of a batch of
//! entries, not for each of them.

mod entitle;
mod pass;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    causal::{Bits, Graph, Line},
    family::resolver::{Key, Resolution},
    id::{DeviceId, EntryId, OpId, PersonId},
    log::standing::{Facts, Ledger, Reach, Restrictions, Standing, Witness},
    op::{Cut, Level},
};

/// Who wrote an op, as the op's own past has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Writer {
    /// The device.
    pub device: DeviceId,
    /// Its person. Keepers write no such op.
    pub person: PersonId,
    /// The op that had added the person to the family, in the control past of what is written.
    pub added: OpId,
    /// Half steps from the person's original kit.
    pub level: u32,
    /// The op that certified the device.
    pub cert: OpId,
}

/// An op that changes who may do what, or one of an album's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessOp {
    /// Its name, which also breaks the last ties.
    pub id: OpId,
    /// The entry it stands in.
    pub entry: EntryId,
    /// Who wrote it.
    pub writer: Writer,
    /// The album's ops before it in its log and those its author names as seen.
    pub parents: Vec<OpId>,
    /// What it says.
    pub act: Act,
}

/// What such an op says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Gives a person a level, or lowers it.
    Set {
        /// Whose.
        person: PersonId,
        /// The op that had added them to the family, in the control past of this one. What was
        /// given to them before they were added again is over.
        added: Option<OpId>,
        /// The level.
        level: Level,
        /// Where it lowers: up to where their logs count.
        cuts: Vec<Cut>,
    },
    /// Names the keepers that hold the album.
    Keepers,
    /// Says how long it keeps what was trashed.
    Retention,
    /// Closes it.
    Close,
    /// Honours a device's logs up to some entries.
    Cut {
        /// The person of the device in the control past of this op; `None` for a keeper.
        person: Option<PersonId>,
        /// The device and the entries.
        cut: Cut,
    },
}

/// An op in the graph, and what its own past says of it.
struct Weighed {
    op: AccessOp,
    /// `None` when its author was not entitled.
    entitled: Option<Entitled>,
}

/// What an entitled op draws from its past.
struct Entitled {
    key: Key,
    /// The grant that gave its author standing; none for the creator.
    support: Option<usize>,
    /// What its entry must stand for.
    need: Level,
    kind: Kind,
}

/// What an op does to others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Grant,
    Lowering,
    Cut(Claim),
    Setting,
}

/// By what right an op cuts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// The log is its author's person's, or its author a manager senior to the log's.
    Always,
    /// Its author is a manager: only where the device was removed or forked.
    Manager,
    /// Neither: as an admin, where besides no manager is left.
    Admin,
}

/// Order of judgement: seniority, then the longest path from the first op, then the id.
type Turn = (Key, u32, OpId);

/// What is said of a person: entitled ops alone, in the order of the line.
#[derive(Default)]
struct Said {
    grants: Vec<usize>,
    lowerings: Vec<usize>,
}

/// The ops of an album that decide who may do what.
pub struct Access {
    creator: PersonId,
    graph: Graph<Weighed>,
    line: Line<Turn>,
    said: BTreeMap<PersonId, Said>,
    wrote: BTreeMap<DeviceId, Bits>,
}

impl Access {
    /// An album that is its creator's alone.
    pub fn new(creator: PersonId) -> Self {
        Self {
            creator,
            graph: Graph::new(),
            line: Line::new(),
            said: BTreeMap::new(),
            wrote: BTreeMap::new(),
        }
    }

    /// Takes an op in; one that names ops not here yet waits for them. One seen before changes nothing.
    ///
    /// The caller leaves out what a keeper or a kit wrote, and what was written by a device
    /// that was not live in the control past of the op.
    pub fn insert(&mut self, op: AccessOp) {
        let (id, parents) = (op.id, op.parents.clone());
        let entitled = None;
        for at in self.graph.insert(id, parents, Weighed { op, entitled }) {
            self.weigh(at);
        }
    }

    /// How many ops wait for others.
    pub fn waiting(&self) -> usize {
        self.graph.waiting()
    }

    /// The ops by somebody entitled that gave a person access, whether or not they count.
    pub fn grants_to(&self, person: &PersonId) -> impl Iterator<Item = OpId> + '_ {
        let said = self.said.get(person);
        let grants = said.into_iter().flat_map(|said| &said.grants);
        grants.map(|grant| self.graph.node(*grant).id)
    }

    /// The level that all that was said of a person by somebody entitled comes to, whether or not it counts: what
    /// somebody who says something next says it of.
    pub fn said_level(&self, person: &PersonId) -> Level {
        let mut all = Bits::default();
        (0..self.graph.len()).for_each(|at| all.add(at));
        self.level_in(&all, *person, None).0
    }

    fn entitled(&self, op: usize) -> Option<&Entitled> {
        self.graph.node(op).op.entitled.as_ref()
    }

    fn op(&self, op: usize) -> &AccessOp {
        &self.graph.node(op).op.op
    }
}

/// What an album's ops come to in the family of a moment.
///
/// To be made again when an op, a naming or a fork is added, or the family changes;
/// entries appended since to a log or opening a new one are judged by it as well.
pub struct Settled {
    /// The ops that count.
    pub accepted: BTreeSet<OpId>,
    /// What each person may do now; only persons of the family, none at [`Level::None`].
    pub levels: BTreeMap<PersonId, Level>,
    /// The highest level that each person was ever validly given.
    pub highest: BTreeMap<PersonId, Level>,
    /// The accepted ops that lowered somebody.
    pub lowered: BTreeSet<OpId>,
    /// The op whose keepers hold the album, if any names them.
    pub keepers: Option<OpId>,
    /// The op whose retention applies.
    pub retention: Option<OpId>,
    /// The op that closed the album.
    pub closed: Option<OpId>,
    known: BTreeSet<PersonId>,
    restrictions: Restrictions,
    witness: Witness,
    /// How far the logs of the moment count, by what they would be asked for.
    reaches: Vec<Reach>,
}

impl Settled {
    /// Whether entries that were there when `before` was settled count otherwise by this, or for more.
    pub fn counts_otherwise(&self, before: &Self) -> bool {
        // Who had no level then has no entries there.
        let had = before
            .highest
            .iter()
            .filter(|(_, level)| **level > Level::None);
        let mut moved = had.filter(|(person, level)| self.highest.get(*person) != Some(level));
        moved.next().is_some()
            || self.reaches.get(..before.reaches.len()) != Some(&before.reaches[..])
    }

    /// Takes note of logs that were opened since, so that [`Self::counts_otherwise`] knows them.
    pub fn keep_up(&mut self, ledger: &Ledger, family: &Resolution) {
        let facts = self.facts(ledger, family);
        let (restrictions, witness) = (&self.restrictions, &self.witness);
        let opened = facts.reaches(self.reaches.len(), &self.highest, restrictions, witness);
        self.reaches.extend(opened);
    }

    /// Whether a person was ever given access by somebody who was entitled to.
    ///
    /// Whatever came later, and whether or not the grant counts: so what is kept of a person's
    /// logs does not depend on what came first.
    pub fn was_let_in(&self, person: &PersonId) -> bool {
        self.known.contains(person)
    }

    /// What a person may do now.
    pub fn level(&self, person: &PersonId) -> Level {
        self.levels.get(person).copied().unwrap_or(Level::None)
    }

    /// Whether an entry counts for ops that need a level of its author.
    ///
    /// A keeper's entries are asked for as a viewer's. An entry that is not in the ledger is cut.
    pub fn standing(
        &self,
        ledger: &Ledger,
        family: &Resolution,
        entry: &EntryId,
        need: Level,
    ) -> Standing {
        let highest = match ledger.cert(entry).and_then(|cert| family.certs.get(&cert)) {
            None => Level::None,
            Some(cert) => cert.person.map_or(Level::Viewer, |person| {
                self.highest.get(&person).copied().unwrap_or(Level::None)
            }),
        };
        if highest < need {
            return Standing::Cut;
        }
        let facts = self.facts(ledger, family);
        facts.standing(entry, need.into(), &self.restrictions, &self.witness)
    }

    /// The standing that what follows an entry in its log would have.
    pub fn standing_after(
        &self,
        ledger: &Ledger,
        family: &Resolution,
        entry: &EntryId,
        need: Level,
    ) -> Standing {
        let facts = self.facts(ledger, family);
        facts.standing_after(entry, need, &self.restrictions, &self.witness)
    }

    fn facts<'a>(&'a self, ledger: &'a Ledger, family: &'a Resolution) -> Facts<'a> {
        let known = &self.known;
        Facts {
            ledger,
            family,
            known,
        }
    }
}
