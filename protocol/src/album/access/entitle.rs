//! Was an author entitled to an op, by the album's ops in its own past?

use super::{Access, Act, Claim, Entitled, Kind, Writer};
use crate::{
    causal::Bits,
    family::resolver::{Key, Rank},
    id::{OpId, PersonId},
    limits,
    op::Level,
};

impl Access {
    /// Judges an op that became ready and takes it into account when its author was entitled to it.
    pub(super) fn weigh(&mut self, at: usize) {
        let device = self.op(at).writer.device;
        let wrote = self.wrote.entry(device).or_default();
        let before = wrote.count_in(&self.graph.node(at).past);
        wrote.add(at);
        if usize::try_from(before).is_ok_and(|before| before >= limits::RESOLVER_OPS) {
            return;
        }
        let Some(entitled) = self.entitle(at) else {
            return;
        };
        let node = self.graph.node(at);
        let turn = (entitled.key, node.path, node.id);
        self.line.insert(at, turn, entitled.support.as_slice());
        if let Act::Set { person, .. } = node.op.op.act {
            let said = self.said.entry(person).or_default();
            match entitled.kind {
                Kind::Grant => self.line.file(&mut said.grants, at, |op| *op),
                _ => self.line.file(&mut said.lowerings, at, |op| *op),
            }
        }
        self.graph.node_mut(at).op.entitled = Some(entitled);
    }

    fn entitle(&self, at: usize) -> Option<Entitled> {
        let past = &self.graph.node(at).past;
        let op = self.op(at);
        let writer = op.writer;
        let (level, support) = self.level_in(past, writer.person, Some(writer.added));
        let key = Key {
            rank: self.rank(writer.person, level, support),
            level: writer.level,
            cert: writer.cert,
        };
        let manages = level == Level::Manager;
        let (kind, need) = match &op.act {
            Act::Set {
                person,
                added,
                level: to,
                ..
            } => {
                let (from, _) = self.level_in(past, *person, *added);
                let leaves = writer.person == *person;
                if *person == self.creator {
                    return None;
                }
                match to.cmp(&from) {
                    std::cmp::Ordering::Greater if manages => {
                        (*added)?;
                        (Kind::Grant, Level::Manager)
                    }
                    std::cmp::Ordering::Less if manages => (Kind::Lowering, Level::Manager),
                    std::cmp::Ordering::Less if leaves => (Kind::Lowering, Level::Viewer),
                    _ => return None,
                }
            }
            Act::Keepers | Act::Retention | Act::Close => {
                if !manages {
                    return None;
                }
                (Kind::Setting, Level::Manager)
            }
            Act::Cut { person, .. } => self.cut(past, &writer, level, &key, *person),
        };
        Some(Entitled {
            key,
            support,
            need,
            kind,
        })
    }

    /// By what right an author cuts a person's device, and what that needs of the entry.
    fn cut(
        &self,
        past: &Bits,
        writer: &Writer,
        level: Level,
        key: &Key,
        of: Option<PersonId>,
    ) -> (Kind, Level) {
        let rank_of = of.map_or(Rank::Other(None), |person| {
            let (level, grant) = self.level_in(past, person, None);
            self.rank(person, level, grant)
        });
        let own = of == Some(writer.person) && level >= Level::Contributor;
        let manages = level == Level::Manager;
        let claim = match () {
            () if own || (manages && key.rank < rank_of) => Claim::Always,
            () if manages => Claim::Manager,
            () => Claim::Admin,
        };
        let need = match () {
            () if manages => Level::Manager,
            () if own => Level::Contributor,
            () => Level::None,
        };
        (Kind::Cut(claim), need)
    }

    /// The ops by somebody entitled that took access from a person, among some and what these had seen.
    pub(super) fn lost(&self, person: &PersonId, seen: &[OpId]) -> Vec<OpId> {
        let said = self.said.get(person);
        let lowerings = said.map_or(&[][..], |said| &said.lowerings);
        if lowerings.is_empty() {
            return Vec::new();
        }
        let set = self.graph.closure(seen).unwrap_or_default();
        let lost = lowerings.iter().filter(|lowering| set.has(**lowering));
        lost.map(|lowering| self.graph.node(*lowering).id).collect()
    }

    /// A person's level by the entitled ops of a set, and the grant that gives it.
    ///
    /// Of a person added to the family more than once only what was given to this one counts.
    pub(super) fn level_in(
        &self,
        set: &Bits,
        person: PersonId,
        added: Option<OpId>,
    ) -> (Level, Option<usize>) {
        if person == self.creator {
            return (Level::Manager, None);
        }
        let mut best = (Level::None, None);
        let Some(said) = self.said.get(&person) else {
            return best;
        };
        for grant in said.grants.iter().copied().filter(|grant| set.has(*grant)) {
            if added.is_some() && self.granted_to(grant) != added {
                continue;
            }
            let lowerings = said.lowerings.iter().rev().copied();
            let level = self.granted(grant, lowerings.filter(|l| set.has(*l)), best.0);
            if level > best.0 {
                best = (level, Some(grant));
            }
        }
        best
    }

    /// The level that a grant gives, less what lowerings outside its past took.
    ///
    /// Looks no further once it is down to `floor`.
    pub(super) fn granted(
        &self,
        grant: usize,
        lowerings: impl Iterator<Item = usize>,
        floor: Level,
    ) -> Level {
        let past = &self.graph.node(grant).past;
        let mut level = self.level_said(grant);
        for lowering in lowerings.filter(|lowering| !past.has(*lowering)) {
            level = level.min(self.level_said(lowering));
            if level <= floor {
                break;
            }
        }
        level
    }

    /// The op that had added the person a grant is for.
    pub(super) fn granted_to(&self, grant: usize) -> Option<OpId> {
        match self.op(grant).act {
            Act::Set { added, .. } => added,
            _ => None,
        }
    }

    /// The level that an op sets.
    pub(super) fn level_said(&self, op: usize) -> Level {
        match self.op(op).act {
            Act::Set { level, .. } => level,
            _ => Level::None,
        }
    }

    fn rank(&self, person: PersonId, level: Level, grant: Option<usize>) -> Rank {
        if level < Level::Manager {
            return Rank::Other(Some(person));
        }
        let Some(grant) = grant else {
            return Rank::Admin {
                depth: 0,
                grant: OpId::ZERO,
            };
        };
        let depth = match self.entitled(grant).map(|entitled| entitled.key.rank) {
            Some(Rank::Admin { depth, .. }) => depth.saturating_add(1),
            Some(Rank::Other(_)) | None => u32::MAX,
        };
        Rank::Admin {
            depth,
            grant: self.graph.node(grant).id,
        }
    }
}
