//! Which entries of a space count, by their place in their logs.
//!
//! Photo entries name no past, so a removal cannot be set against what its
//! author had seen. Position takes that part: a cut honours the entries it
//! names and their ancestors, a removed device's other entries count as far as
//! somebody else had seen them, and what lies above a fork waits for a witness
//! or a cut. The [`Ledger`] holds the shape of the logs; which cuts count is
//! settled in [`crate::album::access`].
//!
//! Not here: signatures, chains of hashes and clocks (checked before an entry
//! comes in), and what an entry says.

mod bounds;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::id::{BranchId, DeviceId, EntryId, OpId};

pub(crate) use self::bounds::{
    Cuts, Facts, Honour, Lowering, Namings, Need, Reach, Restrictions, Witness,
};

/// Whether an entry counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Standing {
    /// It counts.
    Stands,
    /// Its author was removed or lowered, and nobody named it before: what it adds is shown, nothing else.
    Unconfirmed,
    /// It lies above a fork of its log, nobody named it before, and this device wrote it: what it adds is shown here,
    /// nothing else.
    Own,
    /// It lies above a fork of its log, and nobody named it before: it is kept, and shown to nobody.
    Suspended,
    /// It does not count.
    Cut,
}

/// What the first entry of a log or a later one follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follows {
    /// Nothing: it opens its log under the op that certified its author.
    Certificate(OpId),
    /// The entry before it.
    Entry(EntryId),
}

/// An entry's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// The author.
    pub device: DeviceId,
    /// The author's incarnation.
    pub inc: u64,
    /// The entry.
    pub entry: EntryId,
    /// What it follows.
    pub follows: Follows,
}

/// What an entry did to its log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Appended {
    /// It is the new head of its log or branch.
    Grew,
    /// Another entry follows the same one: from there on each is a branch.
    Forked,
    /// It is here already.
    Known,
    /// What it follows is not here, or is of another log.
    Missing,
}

/// How an entry names another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Naming {
    /// In an `Anchor`.
    Anchor,
    /// In the deps of a control entry.
    Deps,
}

/// What the author of a naming had seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// That the device it names was removed from the family.
    pub is_removed: bool,
    /// The last ops of the album in its past.
    pub ops: Arc<[OpId]>,
}

/// That an entry names another.
struct Named {
    by: EntryId,
    how: Naming,
    entry: EntryId,
    seen: Seen,
}

/// A run of a log between forks.
struct Stretch {
    device: DeviceId,
    inc: u64,
    cert: OpId,
    /// The stretch that it goes on from, at whose end the log forks.
    parent: Option<usize>,
    branches: Vec<usize>,
    first: u32,
    entries: Vec<EntryId>,
}

impl Stretch {
    /// The sequence number after the last.
    fn end(&self) -> u32 {
        let len = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.first.saturating_add(len)
    }
}

/// The logs of a space: what follows what, and who named whom.
#[derive(Default)]
pub struct Ledger {
    stretches: Vec<Stretch>,
    /// The stretch below any fork.
    trunks: BTreeMap<(DeviceId, u64), usize>,
    places: BTreeMap<EntryId, (usize, u32)>,
    names: Vec<Named>,
    /// Entries that were named and are not here.
    awaited: BTreeSet<EntryId>,
    /// Entries for which this device itself is the witness, and tells nobody.
    noted: BTreeSet<EntryId>,
    /// Ends of what this device wrote itself above forks.
    own: BTreeSet<EntryId>,
}

impl Ledger {
    /// Adds an entry after the one that it follows.
    ///
    /// A fork costs the length of the log; a hostile author forks no oftener than it writes.
    pub fn append(&mut self, link: Link) -> Appended {
        if self.places.contains_key(&link.entry) {
            return Appended::Known;
        }
        let trunk = self.trunks.get(&(link.device, link.inc)).copied();
        let (after, cert) = match (link.follows, trunk) {
            (Follows::Certificate(cert), None) => {
                self.trunks
                    .insert((link.device, link.inc), self.stretches.len());
                self.open(&link, cert, None, 0);
                return Appended::Grew;
            }
            (Follows::Certificate(cert), Some(trunk)) => ((trunk, 0), cert),
            (Follows::Entry(before), _) => {
                let Some((at, seq)) = self.places.get(&before).copied() else {
                    return Appended::Missing;
                };
                let stretch = &self.stretches[at];
                if (stretch.device, stretch.inc) != (link.device, link.inc) {
                    return Appended::Missing;
                }
                ((at, seq.saturating_add(1)), stretch.cert)
            }
        };
        let (at, seq) = after;
        let is_head = seq == self.stretches[at].end() && self.stretches[at].branches.is_empty();
        if is_head && !self.stretches[at].entries.is_empty() {
            self.places.insert(link.entry, (at, seq));
            self.stretches[at].entries.push(link.entry);
            return Appended::Grew;
        }
        self.split(at, seq);
        self.open(&link, cert, Some(at), seq);
        Appended::Forked
    }

    /// Notes that an entry names another, which may come later.
    ///
    /// Namings of another space or by an author who was not entitled are the caller's to leave out.
    pub fn name(&mut self, by: EntryId, how: Naming, entry: EntryId, seen: Seen) {
        self.names.push(Named {
            by,
            how,
            entry,
            seen,
        });
        if !self.places.contains_key(&entry) {
            self.awaited.insert(entry);
        }
    }

    /// The author of an entry that is here.
    pub fn device(&self, entry: &EntryId) -> Option<DeviceId> {
        let (at, _) = self.places.get(entry)?;
        Some(self.stretches[*at].device)
    }

    /// Says for which entries this device itself is a witness, that they and what they follow were here in
    /// time; of the logs of a space a function of what all know, but for these.
    pub fn note(&mut self, entries: BTreeSet<EntryId>) {
        self.noted = entries;
    }

    /// Says how far this device wrote itself above forks of its log. Here alone that is not suspended.
    pub fn own(&mut self, entries: BTreeSet<EntryId>) {
        self.own = entries;
    }

    /// Whether somebody named an entry before it came; says so once.
    pub fn was_awaited(&mut self, entry: &EntryId) -> bool {
        self.awaited.remove(entry)
    }

    /// Whether an entry is here.
    pub fn contains(&self, entry: &EntryId) -> bool {
        self.places.contains_key(entry)
    }

    /// Its sequence number.
    pub fn seq(&self, entry: &EntryId) -> Option<u32> {
        self.places.get(entry).map(|(_, seq)| *seq)
    }

    /// The op that certified its author, as its log names it.
    pub fn cert(&self, entry: &EntryId) -> Option<OpId> {
        let (at, _) = self.places.get(entry)?;
        Some(self.stretches[*at].cert)
    }

    /// The branch of its log that an entry is on: zero below every fork.
    pub fn branch(&self, entry: &EntryId) -> Option<BranchId> {
        let (at, _) = self.places.get(entry)?;
        let stretch = &self.stretches[*at];
        let mut branch = BranchId::ZERO;
        if stretch.parent.is_some() {
            let size = branch.0.len();
            branch
                .0
                .copy_from_slice(&stretch.entries.first()?.0[..size]);
        }
        Some(branch)
    }

    /// The last entries of all logs and branches of a device: what a cut of them now would name.
    pub fn heads<'a>(
        &'a self,
        device: &DeviceId,
    ) -> impl Iterator<Item = (u64, u32, EntryId)> + 'a {
        let device = *device;
        let ends = self
            .stretches
            .iter()
            .filter(move |stretch| stretch.device == device && stretch.branches.is_empty());
        ends.filter_map(|end| Some((end.inc, end.end().checked_sub(1)?, *end.entries.last()?)))
    }

    /// The last entry of a log that did not fork.
    pub fn last(&self, device: &DeviceId, inc: u64) -> Option<EntryId> {
        let stretch = &self.stretches[*self.trunks.get(&(*device, inc))?];
        stretch.entries.last().copied()
    }

    /// Whether any log of a device forked.
    pub fn is_forked(&self, device: &DeviceId) -> bool {
        let mut of_device = self.stretches.iter().filter(|s| s.device == *device);
        of_device.any(|stretch| stretch.parent.is_some())
    }

    fn open(&mut self, link: &Link, cert: OpId, parent: Option<usize>, first: u32) {
        let at = self.stretches.len();
        if let Some(parent) = parent {
            self.stretches[parent].branches.push(at);
        }
        self.places.insert(link.entry, (at, first));
        self.stretches.push(Stretch {
            device: link.device,
            inc: link.inc,
            cert,
            parent,
            branches: Vec::new(),
            first,
            entries: vec![link.entry],
        });
    }

    /// How much of a stretch an entry and its ancestors make; `None` when the entry is not here.
    fn reach(&self, at: usize, entry: &EntryId) -> Option<u32> {
        let (mut on, seq) = *self.places.get(entry)?;
        let mut end = seq.saturating_add(1);
        loop {
            if on == at {
                return Some(end);
            }
            let stretch = &self.stretches[on];
            let Some(parent) = stretch.parent else {
                return Some(0);
            };
            (on, end) = (parent, stretch.first);
        }
    }

    /// Makes what follows `seq` in a stretch a branch of its own.
    fn split(&mut self, at: usize, seq: u32) {
        let stretch = &mut self.stretches[at];
        let kept = usize::try_from(seq.saturating_sub(stretch.first)).unwrap_or(usize::MAX);
        if kept >= stretch.entries.len() {
            return;
        }
        let tail = Stretch {
            device: stretch.device,
            inc: stretch.inc,
            cert: stretch.cert,
            parent: Some(at),
            branches: std::mem::take(&mut stretch.branches),
            first: seq,
            entries: stretch.entries.split_off(kept),
        };
        let new = self.stretches.len();
        self.stretches[at].branches.push(new);
        for branch in &tail.branches {
            self.stretches[*branch].parent = Some(new);
        }
        for entry in &tail.entries {
            if let Some(place) = self.places.get_mut(entry) {
                place.0 = new;
            }
        }
        self.stretches.push(tail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u8) -> EntryId {
        EntryId([n; 32])
    }

    fn append(ledger: &mut Ledger, n: u8, after: u8) -> Appended {
        let follows = match after {
            0 => Follows::Certificate(OpId([9; 32])),
            before => Follows::Entry(entry(before)),
        };
        ledger.append(Link {
            device: DeviceId([1; 32]),
            inc: 1,
            entry: entry(n),
            follows,
        })
    }

    fn branches(ledger: &Ledger, entries: &[u8]) -> Vec<(u32, BranchId)> {
        let places = entries.iter().map(|n| {
            let entry = entry(*n);
            ledger.seq(&entry).zip(ledger.branch(&entry))
        });
        places.map(|place| place.expect("is here")).collect()
    }

    fn branch(n: u8) -> BranchId {
        BranchId([n; 8])
    }

    #[test]
    fn branches_have_the_same_names_whatever_came_first() {
        let all = [(1, 0), (2, 1), (3, 2), (4, 3), (5, 3), (6, 2), (7, 5)];
        let expected = [
            (0, BranchId::ZERO),
            (1, BranchId::ZERO),
            (2, branch(3)),
            (3, branch(4)),
            (3, branch(5)),
            (2, branch(6)),
            (4, branch(5)),
        ];
        for turn in 0..all.len() {
            let mut ledger = Ledger::default();
            let mut left = all.to_vec();
            left.rotate_left(turn);
            left.reverse();
            while !left.is_empty() {
                left.retain(|(n, after)| append(&mut ledger, *n, *after) == Appended::Missing);
            }
            assert_eq!(branches(&ledger, &[1, 2, 3, 4, 5, 6, 7]), expected);
            let mut heads: Vec<_> = ledger.heads(&DeviceId([1; 32])).collect();
            heads.sort_unstable();
            assert_eq!(
                heads,
                [(1, 2, entry(6)), (1, 3, entry(4)), (1, 4, entry(7))]
            );
            let at = |n: u8| ledger.places[&entry(n)].0;
            assert_eq!(ledger.reach(at(3), &entry(7)), Some(3));
            assert_eq!(ledger.reach(at(1), &entry(7)), Some(2));
            assert_eq!(ledger.reach(at(6), &entry(7)), Some(0));
        }
    }

    #[test]
    fn a_log_forks_at_its_first_entry_too() {
        let mut ledger = Ledger::default();
        assert_eq!(append(&mut ledger, 1, 0), Appended::Grew);
        assert_eq!(append(&mut ledger, 2, 1), Appended::Grew);
        assert_eq!(append(&mut ledger, 3, 0), Appended::Forked);
        assert_eq!(append(&mut ledger, 3, 0), Appended::Known);
        assert_eq!(append(&mut ledger, 4, 8), Appended::Missing);
        let expected = [(0, branch(1)), (1, branch(1)), (0, branch(3))];
        assert_eq!(branches(&ledger, &[1, 2, 3]), expected);
        assert!(ledger.is_forked(&DeviceId([1; 32])));
    }
}
