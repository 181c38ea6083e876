//! The one pass: taken in order, an op counts unless its support fell or a removal hits it.

use std::collections::VecDeque;

use super::{Entitled, FOUNDER, FOUNDER_DEVICE, Removed, Resolver, standing::View};
use crate::causal::Bits;

/// How many answers are kept. A log that goes on asks for the one before; sets that alternate need a few.
const MEMO: usize = 32;

/// What was accepted of sets asked for lately.
#[derive(Clone, Default)]
pub(super) struct Memo(VecDeque<(Bits, Bits)>);

impl Memo {
    fn get(&self, set: &Bits) -> Option<&Bits> {
        let found = self.0.iter().find(|(asked, _)| asked == set);
        found.map(|(_, accepted)| accepted)
    }

    fn put(&mut self, set: Bits, accepted: Bits) {
        self.0.truncate(MEMO - 1);
        self.0.push_front((set, accepted));
    }
}

impl Resolver {
    /// What counts in the past of an op, of all that can change somebody's standing.
    pub(super) fn accepted_in_past(&mut self, op: usize) -> Bits {
        let set = self.graph.node(op).past.both(&self.spine);
        if let Some(accepted) = self.memo.get(&set) {
            return accepted.clone();
        }
        let accepted = self.accept(&set, self.spine_line.ops());
        self.memo.put(set, accepted.clone());
        accepted
    }

    /// What counts of a set that holds the past of each of its ops.
    pub(super) fn accept(&self, set: &Bits, line: &[usize]) -> Bits {
        let mut accepted = Bits::default();
        let mut last_admin = (FOUNDER_DEVICE, FOUNDER);
        for op in line.iter().copied().filter(|op| set.has(*op)) {
            let Some(entitled) = self.entitled(op) else {
                continue;
            };
            let stands = entitled.support.iter().all(|s| accepted.has(*s));
            if !stands || self.is_hit(op, entitled, &accepted) {
                continue;
            }
            accepted.add(op);
            // What comes later in the line takes no standing away unless it removes, so a
            // device seen live is looked for again only when a removal names it.
            let (device, person) = last_admin;
            let threatened = match entitled.removes {
                None => false,
                Some(Removed::Key(key)) => key == device,
                Some(Removed::Person(whom) | Removed::Rights(whom)) => whom == person,
            };
            if threatened {
                match View::new(self, &accepted).admin_device(|_, _| true) {
                    Some(other) => last_admin = other,
                    None => accepted.remove(op),
                }
            }
        }
        accepted
    }

    /// Whether an accepted removal of its author is concurrent with the op.
    fn is_hit(&self, op: usize, entitled: &Entitled, accepted: &Bits) -> bool {
        let by_any = |removals: &[usize]| {
            let mut removals = removals.iter().filter(|r| accepted.has(**r));
            removals.any(|r| self.graph.concurrent(*r, op))
        };
        let key = entitled
            .with
            .is_some_and(|key| by_any(&self.keys[key].removals));
        key || entitled.by.is_some_and(|person| {
            let said = &self.persons[person];
            by_any(&said.removals) || (entitled.as_admin && by_any(&said.demotions))
        })
    }
}
