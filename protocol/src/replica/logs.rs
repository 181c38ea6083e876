//! The logs as this device knows them, and what a fork makes of one.
//!
//! The entries of one device in one incarnation of one space form a tree: each
//! names the one before it, and where two name the same, the log forks. Above a
//! fork each branch is a log of its own, named by its first entry
//! (docs/spec/03-log.md). So the name of what is already here changes when the
//! other branch arrives. A store does not move what it wrote: it keeps an entry
//! under the name that its log had when it came ([`Place::kept`]), and this
//! module leads from one name to the other.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Refusal;
use crate::{
    id::{BranchId, DeviceId, EntryId, LogId, SpaceId},
    log::entry::Header,
    time::Hlc,
};

/// What is remembered of every entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The entry.
    pub id: EntryId,
    /// Its clock.
    pub hlc: Hlc,
    /// Items in its log before it, as its author counts them.
    pub first_item: u32,
    /// Blobs in its log before it.
    pub first_blob: u32,
}

/// How far one log, or one branch of a forked log, is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogState {
    /// Sequence number of its first entry: 0, or where the branch begins.
    pub first: u32,
    /// What its first entry follows.
    pub after: EntryId,
    /// Every entry, in order. Never empty.
    pub chain: Vec<Step>,
    /// Items announced so far, as far as they were counted.
    pub items: u32,
    /// Blobs announced so far.
    pub blobs: u32,
    /// From which sequence number on a store keeps it under which name.
    kept: Vec<(u32, BranchId)>,
}

impl LogState {
    /// The last entry and its place.
    pub fn head(&self) -> Option<(u32, EntryId)> {
        let last = self.chain.last()?;
        Some((self.end().checked_sub(1)?, last.id))
    }

    /// The last entry's clock.
    pub fn hlc(&self) -> Hlc {
        self.chain.last().map_or_else(Hlc::default, |step| step.hlc)
    }

    /// The sequence number after the last.
    pub fn end(&self) -> u32 {
        let len = u32::try_from(self.chain.len()).unwrap_or(u32::MAX);
        self.first.saturating_add(len)
    }

    /// The entry at a sequence number.
    pub fn step(&self, seq: u32) -> Option<&Step> {
        let index = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        self.chain.get(index)
    }

    /// Ordinals of the blobs that it announces.
    pub fn ordinals(&self) -> Range<u32> {
        self.chain.first().map_or(0, |step| step.first_blob)..self.blobs
    }

    fn kept_at(&self, seq: u32) -> BranchId {
        let before = self.kept.iter().rev().find(|(from, _)| *from <= seq);
        before.map_or(BranchId::ZERO, |(_, name)| *name)
    }

    /// The sequence number of the entry that announces a blob.
    fn seq_of_blob(&self, ordinal: u32) -> Option<u32> {
        if !self.ordinals().contains(&ordinal) {
            return None;
        }
        let after = self
            .chain
            .partition_point(|step| step.first_blob <= ordinal);
        // Entries without blobs share the ordinal with the next that has some.
        let index = u32::try_from(after.checked_sub(1)?).ok()?;
        Some(self.first.saturating_add(index))
    }
}

/// Where an entry stands now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its log, by the name that peers know.
    pub log: LogId,
    /// Its place in it.
    pub seq: u32,
    /// The name under which a store keeps it, for ever.
    pub kept: LogId,
}

/// A log as a store kept it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptLog {
    /// The name under which it was kept.
    pub log: LogId,
    /// Sequence number of its first entry.
    pub first: u32,
    /// What that one follows.
    pub after: EntryId,
    /// Its entries, in order.
    pub chain: Vec<Step>,
    /// Items announced in all.
    pub items: u32,
    /// Blobs announced in all.
    pub blobs: u32,
}

/// How an entry goes on from what is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    /// The first of its log; what it follows names its author's certificate.
    First,
    /// After the last entry of this log.
    Next(LogId),
    /// Another entry already follows the same one: from here on each is a branch.
    Fork,
}

/// All logs.
#[derive(Default)]
pub(super) struct Logs(BTreeMap<LogId, LogState>);

/// The name of a branch: the first bytes of its first entry's id.
fn branch_of(first: &EntryId) -> BranchId {
    let mut name = BranchId::ZERO;
    let size = name.0.len();
    name.0.copy_from_slice(&first.0[..size]);
    name
}

fn trunk(space: SpaceId, device: DeviceId, inc: u64) -> LogId {
    LogId {
        space,
        device,
        inc,
        branch: BranchId::ZERO,
    }
}

impl Logs {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&LogId, &LogState)> {
        self.0.iter()
    }

    pub(super) fn get(&self, log: &LogId) -> Option<&LogState> {
        self.0.get(log)
    }

    pub(super) fn of_space(&self, space: SpaceId) -> impl Iterator<Item = (&LogId, &LogState)> {
        let first = trunk(space, DeviceId::ZERO, 0);
        self.0
            .range(first..)
            .take_while(move |(log, _)| log.space == space)
    }

    /// The branches of one log, itself among them.
    pub(super) fn tree(&self, log: &LogId) -> impl Iterator<Item = (&LogId, &LogState)> {
        let first = LogId {
            branch: BranchId::ZERO,
            ..*log
        };
        let last = LogId {
            branch: BranchId([255; 8]),
            ..*log
        };
        self.0.range(first..=last)
    }

    /// Whether a log is not one line any more.
    pub(super) fn is_forked(&self, log: &LogId) -> bool {
        self.tree(log)
            .any(|(name, _)| name.branch != BranchId::ZERO)
    }

    /// How an entry goes on from what is here.
    ///
    /// All that is compared stands in headers, so every device says the same
    /// of the same two entries, in whatever order they come.
    pub(super) fn fit(&self, header: &Header, id: EntryId) -> Result<Fit, Refusal> {
        let log = trunk(header.space, header.device, header.inc);
        let at = |seq: u32| move |state: &LogState| state.step(seq).map(|step| step.id);
        if self.tree(&log).any(|(_, s)| at(header.seq)(s) == Some(id)) {
            return Err(Refusal::AlreadyHere);
        }
        let Some(before) = header.seq.checked_sub(1) else {
            if header.first_item != 0 || header.first_blob != 0 {
                return Err(Refusal::BadChain);
            }
            return match self.tree(&log).next() {
                None => Ok(Fit::First),
                Some(_) => self.fork(&log, id),
            };
        };
        let parent = self
            .tree(&log)
            .find(|(_, state)| at(before)(state) == Some(header.prev));
        let Some((name, state)) = parent else {
            return Err(Refusal::Waiting);
        };
        let step = state.step(before).ok_or(Refusal::Waiting)?;
        let blobs = match state.step(header.seq) {
            Some(next) => next.first_blob,
            None => state.blobs,
        };
        let follows = header.hlc > step.hlc
            && header.first_blob == blobs
            && header.first_item >= step.first_item;
        if !follows {
            return Err(Refusal::BadChain);
        }
        let is_last =
            header.seq == state.end() && !self.has_children(&log, header.seq, before, state);
        if is_last {
            return Ok(Fit::Next(*name));
        }
        self.fork(&log, id)
    }

    fn has_children(&self, log: &LogId, seq: u32, before: u32, state: &LogState) -> bool {
        let parent = state.step(before).map(|step| step.id);
        self.tree(log)
            .any(|(_, child)| child.first == seq && seq > 0 && Some(child.after) == parent)
    }

    fn fork(&self, log: &LogId, id: EntryId) -> Result<Fit, Refusal> {
        let branch = branch_of(&id);
        // Two names alike need a search of four thousand million hashes by the author of both.
        if branch == BranchId::ZERO || self.0.contains_key(&LogId { branch, ..*log }) {
            return Err(Refusal::BadChain);
        }
        Ok(Fit::Fork)
    }

    /// Adds an entry that fits, and tells where it stands.
    ///
    /// `kept` is the name under which a store has it already, if it does.
    pub(super) fn append(
        &mut self,
        header: &Header,
        id: EntryId,
        fit: Fit,
        kept: Option<BranchId>,
    ) -> Place {
        let log = trunk(header.space, header.device, header.inc);
        let step = Step {
            id,
            hlc: header.hlc,
            first_item: header.first_item,
            first_blob: header.first_blob,
        };
        let blobs = u32::try_from(header.blobs.len()).unwrap_or(u32::MAX);
        let counts = (header.first_item, header.first_blob.saturating_add(blobs));
        let named = match fit {
            Fit::Next(name) => name,
            Fit::First => self.start(&log, BranchId::ZERO, header, kept),
            Fit::Fork => {
                self.split(&log, header.seq, &header.prev);
                self.start(&log, branch_of(&id), header, kept)
            }
        };
        let state = self.0.entry(named).or_insert_with(|| LogState {
            first: header.seq,
            after: header.prev,
            chain: Vec::new(),
            items: 0,
            blobs: 0,
            kept: Vec::new(),
        });
        if let Some(kept) = kept
            && state.kept_at(header.seq) != kept
        {
            state.kept.push((header.seq, kept));
        }
        state.chain.push(step);
        (state.items, state.blobs) = counts;
        let branch = state.kept_at(header.seq);
        Place {
            log: named,
            seq: header.seq,
            kept: LogId { branch, ..named },
        }
    }

    fn start(
        &mut self,
        log: &LogId,
        branch: BranchId,
        header: &Header,
        kept: Option<BranchId>,
    ) -> LogId {
        let name = LogId { branch, ..*log };
        let state = LogState {
            first: header.seq,
            after: header.prev,
            chain: Vec::new(),
            items: 0,
            blobs: 0,
            kept: vec![(header.seq, kept.unwrap_or(branch))],
        };
        self.0.insert(name, state);
        name
    }

    /// Makes what follows an entry a branch of its own, where it is not one yet.
    fn split(&mut self, log: &LogId, seq: u32, prev: &EntryId) {
        let name = match seq.checked_sub(1) {
            None => Some(*log).filter(|trunk| self.0.contains_key(trunk)),
            Some(before) => {
                let holds = |state: &LogState| state.step(before).is_some_and(|s| s.id == *prev);
                let mut tree = self.tree(log);
                tree.find(|(_, state)| holds(state)).map(|(name, _)| *name)
            }
        };
        let Some(name) = name else { return };
        let Some(mut state) = self.0.remove(&name) else {
            return;
        };
        let at = usize::try_from(seq - state.first).unwrap_or(usize::MAX);
        if at >= state.chain.len() {
            self.0.insert(name, state);
            return;
        }
        let tail = state.chain.split_off(at);
        let Some(first) = tail.first().copied() else {
            return;
        };
        let mut kept = vec![(seq, state.kept_at(seq))];
        kept.extend(state.kept.iter().filter(|(from, _)| *from > seq));
        let branch = LogState {
            first: seq,
            after: *prev,
            items: state.items,
            blobs: state.blobs,
            chain: tail,
            kept,
        };
        let tail_name = LogId {
            branch: branch_of(&first.id),
            ..*log
        };
        self.0.insert(tail_name, branch);
        if !state.chain.is_empty() {
            state.kept.retain(|(from, _)| *from < seq);
            (state.items, state.blobs) = (first.first_item, first.first_blob);
            self.0.insert(name, state);
        }
    }

    /// Takes in logs as a store kept them; returns those whose beginning is missing.
    pub(super) fn restore(&mut self, mut kept: Vec<KeptLog>) -> Vec<LogId> {
        // What a branch begins at lies in a log that begins earlier.
        kept.sort_by_key(|log| (log.first, log.log));
        let mut orphans = Vec::new();
        for log in kept {
            let name = log.log;
            if !self.attach(log) {
                orphans.push(name);
            }
        }
        orphans
    }

    fn attach(&mut self, log: KeptLog) -> bool {
        let tree = LogId {
            branch: BranchId::ZERO,
            ..log.log
        };
        let Some(first) = log.chain.first().copied() else {
            return true;
        };
        let kept = (log.first, log.log.branch);
        let parent = log.first.checked_sub(1).map(|before| {
            self.tree(&tree)
                .find(|(_, state)| state.step(before).is_some_and(|s| s.id == log.after))
                .map(|(name, state)| (*name, state.end(), before))
        });
        let goes_on = match parent {
            Some(None) => return false,
            Some(Some((name, end, before))) => {
                let state = &self.0[&name];
                let last = end == log.first && !self.has_children(&tree, log.first, before, state);
                last.then_some(name)
            }
            None => None,
        };
        if let Some(name) = goes_on
            && let Some(state) = self.0.get_mut(&name)
        {
            state.kept.push(kept);
            state.chain.extend(log.chain);
            (state.items, state.blobs) = (log.items, log.blobs);
            return true;
        }
        let is_trunk = log.first == 0 && self.tree(&tree).next().is_none();
        self.split(&tree, log.first, &log.after);
        let branch = if is_trunk {
            BranchId::ZERO
        } else {
            branch_of(&first.id)
        };
        let state = LogState {
            first: log.first,
            after: log.after,
            chain: log.chain,
            items: log.items,
            blobs: log.blobs,
            kept: vec![kept],
        };
        self.0.insert(LogId { branch, ..tree }, state);
        true
    }

    /// Adds items that were counted to the end of a log.
    pub(super) fn count_items(&mut self, log: &LogId, items: u32) {
        if let Some(state) = self.0.get_mut(log) {
            state.items = state.items.saturating_add(items);
        }
    }

    /// Where an entry of this header stands.
    pub(super) fn place(&self, header: &Header, id: EntryId) -> Option<Place> {
        let log = trunk(header.space, header.device, header.inc);
        let (name, state) = self
            .tree(&log)
            .find(|(_, state)| state.step(header.seq).is_some_and(|s| s.id == id))?;
        Some(Place {
            log: *name,
            seq: header.seq,
            kept: LogId {
                branch: state.kept_at(header.seq),
                ..*name
            },
        })
    }

    /// The name under which a store keeps an entry.
    pub(super) fn kept(&self, log: &LogId, seq: u32) -> Option<LogId> {
        let state = self.0.get(log)?;
        state.step(seq)?;
        let branch = state.kept_at(seq);
        Some(LogId { branch, ..*log })
    }

    /// The name under which a store keeps a blob.
    pub(super) fn kept_blob(&self, log: &LogId, ordinal: u32) -> Option<LogId> {
        let seq = self.0.get(log)?.seq_of_blob(ordinal)?;
        self.kept(log, seq)
    }

    /// The names under which a store keeps a log, with the ordinals of the blobs in each.
    pub(super) fn kept_parts(&self, log: &LogId) -> Vec<(LogId, Range<u32>)> {
        let Some(state) = self.0.get(log) else {
            return Vec::new();
        };
        let mut parts = Vec::new();
        let mut end = state.blobs;
        for (from, branch) in state.kept.iter().rev() {
            let start = state.step(*from).map_or(end, |step| step.first_blob);
            let kept = LogId {
                branch: *branch,
                ..*log
            };
            parts.push((kept, start..end));
            end = start;
        }
        parts.reverse();
        parts
    }

    /// Where a store keeps a range of a log's blobs.
    pub(super) fn kept_range(&self, log: &LogId, blobs: Range<u32>) -> Vec<(LogId, Range<u32>)> {
        let mut parts = self.kept_parts(log);
        match parts.last_mut() {
            // Not here yet: it will be kept under the name that it has now.
            None if !self.is_forked(log) => parts.push((*log, 0..u32::MAX)),
            Some((_, last)) if !self.has_branches(log) => last.end = u32::MAX,
            _ => {}
        }
        let cut = parts.into_iter().map(|(kept, part)| {
            let range = blobs.start.max(part.start)..blobs.end.min(part.end);
            (kept, range)
        });
        cut.filter(|(_, range)| !range.is_empty()).collect()
    }

    /// Whether a log forks at its end.
    fn has_branches(&self, log: &LogId) -> bool {
        let Some(state) = self.0.get(log) else {
            return false;
        };
        let end = state.end();
        end > 0 && self.has_children(log, end, end - 1, state)
    }

    /// How many blobs are announced in what a store keeps under a name, and before it.
    pub(super) fn kept_blobs(&self, kept: &LogId) -> u32 {
        let parts = self.tree(kept).flat_map(|(log, _)| self.kept_parts(log));
        let ends = parts.filter(|(name, _)| name == kept).map(|(_, r)| r.end);
        ends.max().unwrap_or(0)
    }

    /// The names that what lies in a log may have had, the one of now first: what lies above a fork had
    /// the name of the log that forked until the other branch was known.
    pub(super) fn names_before(&self, log: &LogId) -> Vec<LogId> {
        let mut names = vec![*log];
        let mut at = self.0.get(log);
        while let Some((name, state)) = at.and_then(|state| self.parent(log, state)) {
            names.push(*name);
            at = Some(state);
        }
        let trunk = trunk(log.space, log.device, log.inc);
        if !names.contains(&trunk) {
            names.push(trunk);
        }
        names
    }

    /// The log that one begins in.
    fn parent(&self, log: &LogId, state: &LogState) -> Option<(&LogId, &LogState)> {
        let before = state.first.checked_sub(1)?;
        let mut tree = self.tree(log);
        tree.find(|(_, parent)| {
            parent
                .step(before)
                .is_some_and(|step| step.id == state.after)
        })
    }

    /// The name that peers know, of an entry that a store keeps under another.
    pub(super) fn named(&self, kept: &LogId, seq: u32) -> Option<LogId> {
        let mut tree = self.tree(kept);
        let here =
            tree.find(|(_, state)| state.step(seq).is_some() && state.kept_at(seq) == kept.branch);
        here.map(|(name, _)| *name)
    }

    /// The name that peers know, of the log of a blob that a store keeps under another.
    pub(super) fn named_blob(&self, kept: &LogId, ordinal: u32) -> Option<LogId> {
        let mut tree = self.tree(kept);
        let here = tree.find(|(_, state)| {
            let seq = state.seq_of_blob(ordinal);
            seq.is_some_and(|seq| state.kept_at(seq) == kept.branch)
        });
        here.map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{crypto::body::BodyNonce, id::BlobId, id::EpochId, log::entry::BlobLine};

    fn id(n: u8) -> EntryId {
        EntryId([n; 32])
    }

    fn branch(n: u8) -> BranchId {
        BranchId([n; 8])
    }

    /// Entry `n` after entry `after`, at `seq`, with one blob.
    fn header(seq: u32, after: u8) -> Header {
        let line = BlobLine {
            part: 0,
            class: 0,
            id: BlobId::ZERO,
            padded: 1,
        };
        Header {
            version: 1,
            suite: 1,
            flags: 0,
            space: SpaceId([1; 16]),
            device: DeviceId([2; 32]),
            inc: 3,
            seq,
            prev: id(after),
            hlc: Hlc(u64::from(seq) + 1),
            control_seen: 0,
            control_digest: [0; 16],
            epoch: EpochId::ZERO,
            nonce: BodyNonce::ZERO,
            first_item: seq,
            first_blob: seq,
            blobs: vec![line],
            drops: Vec::new(),
            deps: Vec::new(),
            body_hash: [0; 32],
        }
    }

    fn add(logs: &mut Logs, n: u8, seq: u32, after: u8) -> Result<Place, Refusal> {
        let header = header(seq, after);
        let fit = logs.fit(&header, id(n))?;
        Ok(logs.append(&header, id(n), fit, None))
    }

    fn names(logs: &Logs) -> Vec<(BranchId, u32, Vec<u8>)> {
        let rows = logs.iter().map(|(log, state)| {
            let ids = state.chain.iter().map(|step| step.id.0[0]).collect();
            (log.branch, state.first, ids)
        });
        rows.collect()
    }

    const TREE: [(u8, u32, u8); 7] = [
        (1, 0, 0),
        (2, 1, 1),
        (3, 2, 2),
        (4, 3, 3),
        (5, 3, 3),
        (6, 2, 2),
        (7, 4, 5),
    ];

    #[test]
    fn a_tree_has_one_shape_whatever_branch_came_first() {
        let expected = vec![
            (BranchId::ZERO, 0, vec![1, 2]),
            (branch(3), 2, vec![3]),
            (branch(4), 3, vec![4]),
            (branch(5), 3, vec![5, 7]),
            (branch(6), 2, vec![6]),
        ];
        for turn in 0..TREE.len() {
            let mut left = TREE.to_vec();
            left.rotate_left(turn);
            left.reverse();
            let mut logs = Logs::default();
            while !left.is_empty() {
                left.retain(|(n, seq, after)| add(&mut logs, *n, *seq, *after).is_err());
            }
            assert_eq!(names(&logs), expected);
        }
    }

    #[test]
    fn what_a_store_kept_is_found_under_the_new_names() {
        let mut logs = Logs::default();
        let mut kept = BTreeMap::new();
        for (n, seq, after) in TREE {
            let place = add(&mut logs, n, seq, after).unwrap();
            kept.insert(n, place.kept);
        }
        assert_eq!(kept[&4].branch, BranchId::ZERO);
        assert_eq!(kept[&5].branch, branch(5));
        assert_eq!(kept[&6].branch, branch(6));
        for (n, seq, after) in TREE {
            let place = logs.place(&header(seq, after), id(n)).unwrap();
            assert_eq!(place.kept, kept[&n]);
            assert_eq!(logs.kept(&place.log, seq), Some(place.kept));
            assert_eq!(logs.kept_blob(&place.log, seq), Some(place.kept));
            assert_eq!(logs.named(&place.kept, seq), Some(place.log));
            assert_eq!(logs.named_blob(&place.kept, seq), Some(place.log));
        }
    }

    #[test]
    fn a_blob_is_found_by_every_name_that_it_had() {
        for turn in 0..TREE.len() {
            let mut left = TREE.to_vec();
            left.rotate_left(turn);
            let mut logs = Logs::default();
            let mut names: BTreeMap<u8, Vec<LogId>> = BTreeMap::new();
            while !left.is_empty() {
                left.retain(|(n, seq, after)| add(&mut logs, *n, *seq, *after).is_err());
                for (n, seq, after) in TREE.iter().filter(|one| !left.contains(one)) {
                    let place = logs.place(&header(*seq, *after), id(*n)).unwrap();
                    names.entry(*n).or_default().push(place.log);
                }
            }
            for (n, seq, after) in TREE {
                let now = logs.place(&header(seq, after), id(n)).unwrap().log;
                let before = logs.names_before(&now);
                assert_eq!(before[0], now);
                assert!(names[&n].iter().all(|name| before.contains(name)));
            }
            // The other side of a fork is another log, whose blobs have the same numbers.
            let names = |n| LogId {
                branch: branch(n),
                ..trunk(SpaceId([1; 16]), DeviceId([2; 32]), 3)
            };
            assert!(!logs.names_before(&names(4)).contains(&names(5)));
            assert!(!logs.names_before(&names(6)).contains(&names(3)));
        }
    }

    #[test]
    fn logs_come_back_from_a_store_as_they_were() {
        let mut logs = Logs::default();
        let mut files: BTreeMap<LogId, KeptLog> = BTreeMap::new();
        for (n, seq, after) in TREE {
            let place = add(&mut logs, n, seq, after).unwrap();
            let file = files.entry(place.kept).or_insert_with(|| KeptLog {
                log: place.kept,
                first: seq,
                after: id(after),
                chain: Vec::new(),
                items: 0,
                blobs: 0,
            });
            let header = header(seq, after);
            file.chain.push(Step {
                id: id(n),
                hlc: header.hlc,
                first_item: seq,
                first_blob: seq,
            });
            (file.items, file.blobs) = (seq, seq + 1);
        }
        let mut again = Logs::default();
        assert!(again.restore(files.into_values().collect()).is_empty());
        assert_eq!(again.0, logs.0);
    }

    #[test]
    fn a_log_forks_at_its_first_entry_too() {
        let mut logs = Logs::default();
        add(&mut logs, 1, 0, 0).unwrap();
        add(&mut logs, 2, 1, 1).unwrap();
        add(&mut logs, 3, 0, 0).unwrap();
        let expected = vec![(branch(1), 0, vec![1, 2]), (branch(3), 0, vec![3])];
        assert_eq!(names(&logs), expected);
        assert!(logs.is_forked(&trunk(SpaceId([1; 16]), DeviceId([2; 32]), 3)));
        assert_eq!(add(&mut logs, 3, 0, 0), Err(Refusal::AlreadyHere));
        assert_eq!(add(&mut logs, 9, 5, 8), Err(Refusal::Waiting));
    }

    #[test]
    fn an_entry_must_go_on_from_the_one_it_names() {
        let mut logs = Logs::default();
        add(&mut logs, 1, 0, 0).unwrap();
        let mut late = header(1, 1);
        late.hlc = Hlc(0);
        assert_eq!(logs.fit(&late, id(2)), Err(Refusal::BadChain));
        let mut skips = header(1, 1);
        skips.first_blob = 2;
        assert_eq!(logs.fit(&skips, id(2)), Err(Refusal::BadChain));
    }
}
