//! What a control entry had seen: its past by `prev` and `deps`.
//!
//! Entries are inserted after everything they name, so the past of an entry is
//! made of smaller numbers. A space has some thousand control entries at most;
//! the pasts take n * n / 8 bytes.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{EntryId, OpId};

#[derive(Clone, Debug)]
struct Node {
    id: EntryId,
    past: Vec<u64>,
    /// The ops that stand for this entry in the parents of a later op.
    frontier: Vec<OpId>,
}

/// The control entries of one space and who had seen whom.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    numbers: BTreeMap<EntryId, usize>,
    /// Entries that later ones name and that no other such entry has seen.
    heads: BTreeSet<EntryId>,
    weighed: u32,
}

fn has(past: &[u64], number: usize) -> bool {
    past.get(number / 64)
        .is_some_and(|word| word >> (number % 64) & 1 == 1)
}

impl Graph {
    /// Whether an entry is here.
    pub fn contains(&self, id: &EntryId) -> bool {
        self.numbers.contains_key(id)
    }

    /// The ops that stand for entries in the parents of a later op; unknown entries are passed over.
    pub fn frontier(&self, entries: &[EntryId]) -> Vec<OpId> {
        let known = entries.iter().filter_map(|id| self.numbers.get(id));
        let mut ops: Vec<_> = known
            .flat_map(|number| self.nodes[*number].frontier.iter().copied())
            .collect();
        ops.sort_unstable();
        ops.dedup();
        ops
    }

    /// Adds an entry whose `parents` (its `prev` and deps) are here, with the resolver's ops in it.
    ///
    /// `is_head` says that later entries are to name it: it holds resolver ops, or joins others.
    pub fn insert(&mut self, id: EntryId, parents: &[EntryId], ops: &[OpId], is_head: bool) {
        if self.contains(&id) {
            return;
        }
        let mut past = vec![0; self.nodes.len() / 64 + 1];
        for number in parents.iter().filter_map(|id| self.numbers.get(id)) {
            past[number / 64] |= 1 << (number % 64);
            for (mine, theirs) in past.iter_mut().zip(&self.nodes[*number].past) {
                *mine |= theirs;
            }
        }
        let frontier = match ops.last() {
            Some(last) => vec![*last],
            None => self.frontier(parents),
        };
        if is_head {
            let numbers = &self.numbers;
            self.heads
                .retain(|head| !numbers.get(head).is_some_and(|n| has(&past, *n)));
            self.heads.insert(id);
        }
        self.weighed = self
            .weighed
            .saturating_add(u32::try_from(ops.len()).unwrap_or(u32::MAX));
        self.numbers.insert(id, self.nodes.len());
        self.nodes.push(Node { id, past, frontier });
    }

    /// Whether `entry` is one of `of` or in their past.
    pub fn sees(&self, of: &[EntryId], entry: &EntryId) -> bool {
        let Some(number) = self.numbers.get(entry) else {
            return false;
        };
        of.iter().any(|id| {
            id == entry
                || self
                    .numbers
                    .get(id)
                    .is_some_and(|of| has(&self.nodes[*of].past, *number))
        })
    }

    /// Entries and all that they had seen; those that are not here are passed over.
    pub fn past(&self, of: &[EntryId]) -> BTreeSet<EntryId> {
        let numbers = of.iter().filter_map(|id| self.numbers.get(id));
        let mut past = BTreeSet::new();
        for node in numbers.map(|number| &self.nodes[*number]) {
            past.insert(node.id);
            let nodes = self.nodes.iter().enumerate();
            let seen = nodes.filter(|(number, _)| has(&node.past, *number));
            past.extend(seen.map(|(_, node)| node.id));
        }
        past
    }

    /// The heads that a new entry names in its deps.
    pub fn heads(&self) -> Vec<EntryId> {
        self.heads.iter().copied().collect()
    }

    /// How many resolver ops are here.
    pub fn weighed(&self) -> u32 {
        self.weighed
    }

    /// BLAKE3 of the sorted heads, cut to 16 bytes.
    pub fn digest(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        for head in &self.heads {
            hasher.update(&head.0);
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        digest
    }

    /// All entries, each after everything it names.
    pub fn entries(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.nodes.iter().map(|node| node.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> EntryId {
        EntryId([n; 32])
    }

    fn op(n: u8) -> OpId {
        OpId([n; 32])
    }

    #[test]
    fn a_join_replaces_the_heads_it_has_seen() {
        let mut graph = Graph::default();
        graph.insert(id(1), &[], &[op(1)], true);
        graph.insert(id(2), &[id(1)], &[op(2)], true);
        graph.insert(id(3), &[id(1)], &[op(3)], true);
        assert_eq!(graph.heads(), [id(2), id(3)]);
        graph.insert(id(4), &[id(2), id(3)], &[], true);
        assert_eq!(graph.heads(), [id(4)]);
        assert_eq!(graph.frontier(&[id(4)]), [op(2), op(3)]);
        assert!(graph.sees(&[id(4)], &id(1)));
        assert!(!graph.sees(&[id(2)], &id(3)));
        assert_eq!(graph.past(&[id(2)]), [id(1), id(2)].into());
        assert_eq!(graph.past(&[id(4), id(9)]), [1, 2, 3, 4].map(id).into());
        assert_eq!(graph.weighed(), 3);
    }

    #[test]
    fn an_entry_without_resolver_ops_is_no_head_but_passes_on_its_past() {
        let mut graph = Graph::default();
        graph.insert(id(1), &[], &[op(1)], true);
        graph.insert(id(2), &[id(1)], &[], false);
        assert_eq!(graph.heads(), [id(1)]);
        assert_eq!(graph.frontier(&[id(2)]), [op(1)]);
    }
}
