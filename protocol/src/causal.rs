//! Ops as a graph: what each of them had seen, whatever the order of arrival.
//!
//! [`Graph`] keeps an op back until everything it names is there and knows the
//! whole past of the others. [`Line`] puts ops into one order that every device
//! arrives at. What the ops mean is for the caller to say.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use crate::id::OpId;

/// A set of ops by their place in a [`Graph`].
///
/// Never ends in a zero word, so that equal sets compare equal.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Bits(Vec<u64>);

/// The word and the bit of a place.
fn split(at: usize) -> (usize, u64) {
    (at / 64, 1 << (at % 64))
}

impl Bits {
    pub(crate) fn has(&self, at: usize) -> bool {
        let (word, bit) = split(at);
        self.0.get(word).is_some_and(|w| w & bit != 0)
    }

    pub(crate) fn add(&mut self, at: usize) {
        let (word, bit) = split(at);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    pub(crate) fn remove(&mut self, at: usize) {
        let (word, bit) = split(at);
        if let Some(w) = self.0.get_mut(word) {
            *w &= !bit;
        }
        self.trim();
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (w, o) in self.0.iter_mut().zip(&other.0) {
            *w |= o;
        }
    }

    pub(crate) fn both(&self, other: &Self) -> Self {
        let mut out = Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect());
        out.trim();
        out
    }

    pub(crate) fn count_in(&self, other: &Self) -> u32 {
        let words = self.0.iter().zip(&other.0);
        words.map(|(a, b)| (a & b).count_ones()).sum()
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

/// An op all of whose past is there.
#[derive(Clone)]
pub(crate) struct Node<T> {
    pub(crate) id: OpId,
    /// Everything reachable from it, itself excluded.
    pub(crate) past: Bits,
    /// Ops on the longest path that leads here.
    pub(crate) path: u32,
    pub(crate) op: T,
}

/// Ops in the order in which they became ready: a past has smaller places.
#[derive(Clone)]
pub(crate) struct Graph<T> {
    nodes: Vec<Node<T>>,
    index: BTreeMap<OpId, usize>,
    waiting: BTreeMap<OpId, (Vec<OpId>, T)>,
    /// Who waits for an op that is not there.
    blocked: BTreeMap<OpId, BTreeSet<OpId>>,
}

impl<T> Graph<T> {
    pub(crate) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            index: BTreeMap::new(),
            waiting: BTreeMap::new(),
            blocked: BTreeMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn node(&self, at: usize) -> &Node<T> {
        &self.nodes[at]
    }

    pub(crate) fn node_mut(&mut self, at: usize) -> &mut Node<T> {
        &mut self.nodes[at]
    }

    pub(crate) fn find(&self, id: &OpId) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// Neither had seen the other.
    pub(crate) fn concurrent(&self, a: usize, b: usize) -> bool {
        a != b && !self.nodes[a].past.has(b) && !self.nodes[b].past.has(a)
    }

    /// The ops named and everything they had seen; `None` while one of them is not there.
    pub(crate) fn closure(&self, heads: &[OpId]) -> Option<Bits> {
        let mut all = Bits::default();
        for head in heads {
            let at = self.find(head)?;
            all.add_all(&self.nodes[at].past);
            all.add(at);
        }
        Some(all)
    }

    /// Takes an op and gives the places of those that became ready by it. One seen before changes nothing.
    pub(crate) fn insert(&mut self, id: OpId, parents: Vec<OpId>, op: T) -> Range<usize> {
        let first = self.nodes.len();
        if self.index.contains_key(&id) || self.waiting.contains_key(&id) {
            return first..first;
        }
        self.waiting.insert(id, (parents, op));
        let mut ready = vec![id];
        while let Some(id) = ready.pop() {
            if self.place(id) {
                ready.extend(self.blocked.remove(&id).into_iter().flatten());
            }
        }
        first..self.nodes.len()
    }

    fn place(&mut self, id: OpId) -> bool {
        let Some((parents, _)) = self.waiting.get(&id) else {
            return false;
        };
        if let Some(missing) = parents.iter().find(|p| !self.index.contains_key(p)) {
            self.blocked.entry(*missing).or_default().insert(id);
            return false;
        }
        let past = self.closure(parents).unwrap_or_default();
        let longest = parents.iter().filter_map(|p| self.find(p));
        let longest = longest.map(|p| self.nodes[p].path + 1).max();
        if let Some((_, op)) = self.waiting.remove(&id) {
            self.index.insert(id, self.nodes.len());
            let path = longest.unwrap_or(0);
            self.nodes.push(Node { id, past, path, op });
        }
        true
    }
}

/// Ops in the order in which they are judged: the smallest key first among those all of whose support was judged.
///
/// Whether one op comes before another depends on these two and their pasts
/// alone, so that a later arrival never swaps them.
#[derive(Clone)]
pub(crate) struct Line<K> {
    line: Vec<usize>,
    keys: Vec<K>,
    /// By place in the graph; `None` where an op stands in no line.
    turn: Vec<Option<usize>>,
}

impl<K: Ord> Line<K> {
    pub(crate) fn new() -> Self {
        Self {
            line: Vec::new(),
            keys: Vec::new(),
            turn: Vec::new(),
        }
    }

    pub(crate) fn ops(&self) -> &[usize] {
        &self.line
    }

    /// Its turn; the last one for an op that stands in no line.
    pub(crate) fn turn(&self, op: usize) -> usize {
        self.turn.get(op).copied().flatten().unwrap_or(usize::MAX)
    }

    /// Adds to a list that is kept in the order of the line.
    pub(crate) fn file<T>(&self, list: &mut Vec<T>, new: T, op: impl Fn(&T) -> usize) {
        let turn = self.turn(op(&new));
        let place = list.partition_point(|old| self.turn(op(old)) < turn);
        list.insert(place, new);
    }

    /// Adds an op that supports none of those that are there.
    ///
    /// It becomes free after the last of its support and from there on goes
    /// before the first op with a larger key: the place at which a queue
    /// ordered by key would have let it out.
    pub(crate) fn insert(&mut self, op: usize, key: K, support: &[usize]) {
        let freed = support.iter().map(|s| self.turn(*s));
        let mut at = freed.max().map_or(0, |turn| turn.saturating_add(1));
        at = at.min(self.line.len());
        while at < self.line.len() && self.keys[at] < key {
            at += 1;
        }
        self.line.insert(at, op);
        self.keys.insert(at, key);
        if self.turn.len() <= op {
            self.turn.resize(op + 1, None);
        }
        for (turn, op) in self.line.iter().enumerate().skip(at) {
            self.turn[*op] = Some(turn);
        }
    }
}
