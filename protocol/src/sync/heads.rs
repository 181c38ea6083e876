//! What a peer lacks of a space, from the positions it names, and in what order it is sent.
//!
//! The logs of one device in one incarnation form a tree: each branch is a
//! segment of its own, named by its first entry. Two devices that know different
//! forks cut the same tree into different segments, so a position counts in any
//! segment that holds that very entry, whatever name it came under. Where no
//! position is found and the names are equal, the segments part somewhere below:
//! that log is answered with a hint, and the asker names positions at growing
//! distances ([`locators`]), of which the latest common one is found.

use std::collections::BTreeMap;

use super::{Digest, Head, LogView, heads_digest};
use crate::{
    id::{BranchId, DeviceId, LogId, SpaceId},
    limits,
};

/// A position as a peer named it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) branch: BranchId,
    pub(super) seq: u32,
    pub(super) hash: [u8; 8],
}

/// The positions of one ask, tree by tree.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Places {
    trees: BTreeMap<(DeviceId, u64), Vec<Place>>,
    len: usize,
}

impl Places {
    pub(super) fn add(&mut self, device: DeviceId, inc: u64, place: Place) {
        self.trees.entry((device, inc)).or_default().push(place);
        self.len += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

/// The first bytes of an entry's id.
pub(super) fn short(id: crate::id::EntryId) -> [u8; 8] {
    let mut hash = [0; 8];
    hash.copy_from_slice(&id.0[..8]);
    hash
}

/// The answer to one ask, as far as it is not sent yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    pub(super) ask: u32,
    pub(super) space: SpaceId,
    pub(super) part: u32,
    /// The asker may replicate the space no more: it gets what led to that.
    pub(super) is_ending: bool,
    /// The heads that the asker holds when all is sent.
    pub(super) digest: Digest,
    /// Logs in which the asker's position is not ours.
    pub(super) forks: Vec<LogId>,
    /// Something of it did not read, and is not sent.
    pub(super) is_torn: bool,
    /// What is to be sent, the last first.
    runs: Vec<Run>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    log: LogId,
    next: u32,
    last: u32,
}

struct Lack {
    log: LogId,
    first: u32,
    next: u32,
    last: u32,
}

/// How many entries an ask may have looked up: a hostile list of positions in
/// many branches would multiply.
const LOOKUPS: usize = 4 * limits::SYNC_HEADS;

impl Plan {
    /// Compares positions with what is held here.
    pub(super) fn new(view: &impl LogView, ask: u32, space: SpaceId, places: &Places) -> Self {
        Self::up_to(view.heads(space), view, ask, space, places)
    }

    /// The same, as if the logs of the space ended with these heads.
    pub(super) fn up_to(
        mut heads: Vec<Head>,
        view: &impl LogView,
        ask: u32,
        space: SpaceId,
        places: &Places,
    ) -> Self {
        heads.sort_unstable_by_key(|head| {
            (head.log.device, head.log.inc, head.first, head.log.branch)
        });
        let mut lookups = LOOKUPS;
        let mut lacks = Vec::new();
        let mut forks = Vec::new();
        for head in &heads {
            let tree = (head.log.device, head.log.inc);
            let places = places.trees.get(&tree).map_or(&[][..], Vec::as_slice);
            match held(view, head, places, &mut lookups) {
                Held::UpTo(seq) if seq >= head.seq => {}
                Held::UpTo(seq) => lacks.push(lack(head, seq + 1)),
                Held::Nothing => lacks.push(lack(head, head.first)),
                Held::Other if forks.len() < limits::SYNC_FORKS => forks.push(head.log),
                Held::Other => {}
            }
        }
        let runs = order(view, space, lacks);
        Self {
            ask,
            space,
            part: 0,
            is_ending: false,
            digest: heads_digest(heads),
            forks,
            is_torn: false,
            runs,
        }
    }

    /// The next entry to send, without taking it; logs that cannot be read are left out.
    pub(super) fn peek(&mut self, view: &impl LogView) -> Option<crate::log::entry::EntryBytes> {
        while let Some(run) = self.runs.last() {
            let entry = (run.next <= run.last).then(|| view.entry(&run.log, run.next));
            match entry {
                Some(Some(entry)) => return Some(entry),
                Some(None) => self.is_torn = true,
                None => {}
            }
            self.runs.pop();
        }
        None
    }

    /// Goes on to the entry after the one that [`Self::peek`] gave.
    pub(super) fn advance(&mut self) {
        if let Some(run) = self.runs.last_mut() {
            match run.next.checked_add(1) {
                Some(next) if next <= run.last => run.next = next,
                _ => {
                    self.runs.pop();
                }
            }
        }
    }
}

fn lack(head: &Head, next: u32) -> Lack {
    Lack {
        log: head.log,
        first: head.first,
        next,
        last: head.seq,
    }
}

enum Held {
    UpTo(u32),
    Nothing,
    Other,
}

/// How much of one segment somebody with these positions holds.
fn held(view: &impl LogView, head: &Head, places: &[Place], lookups: &mut usize) -> Held {
    let mut found = None;
    let mut beyond = false;
    let mut other = false;
    for place in places {
        let same_name = place.branch == head.log.branch;
        if place.seq > head.seq {
            beyond |= same_name;
            continue;
        }
        if place.seq < head.first || found.is_some_and(|seq| seq >= place.seq) || *lookups == 0 {
            continue;
        }
        *lookups -= 1;
        let id = if place.seq == head.seq {
            Some(head.id)
        } else {
            view.entry_id(&head.log, place.seq)
        };
        if id.is_some_and(|id| short(id) == place.hash) {
            found = Some(place.seq);
        } else if same_name && place.seq > head.first {
            other = true;
        }
    }
    // A position at the very start of the segment that is not ours ends the search.
    let searched = places
        .iter()
        .any(|place| place.branch == head.log.branch && place.seq == head.first);
    match found {
        Some(seq) => Held::UpTo(seq),
        None if other && !searched => Held::Other,
        None if beyond && !other => Held::UpTo(head.seq),
        None => Held::Nothing,
    }
}

/// Oldest first inside a log, control entries after what they depend on, a branch after its stem.
fn order(view: &impl LogView, space: SpaceId, mut lacks: Vec<Lack>) -> Vec<Run> {
    let mut runs = Vec::new();
    if lacks.len() > 1 {
        let places: BTreeMap<LogId, usize> = lacks
            .iter()
            .enumerate()
            .map(|(at, lack)| (lack.log, at))
            .collect();
        for (log, seq) in view.causal(space) {
            if let Some(&at) = places.get(&log) {
                emit(&mut lacks, at, seq, &mut runs);
            }
        }
    }
    for at in 0..lacks.len() {
        emit(&mut lacks, at, u32::MAX, &mut runs);
    }
    runs.reverse();
    runs
}

/// Plans everything of `lacks[at]` up to `seq`.
fn emit(lacks: &mut [Lack], at: usize, seq: u32, runs: &mut Vec<Run>) {
    let Lack {
        log,
        first,
        next,
        last,
    } = lacks[at];
    let upto = seq.min(last);
    if next > upto || next < first {
        return;
    }
    if next == first && first > 0 {
        // The segments of a tree lie together, those that begin earlier first.
        let tree = lacks[..at]
            .iter()
            .rposition(|lack| (lack.log.device, lack.log.inc) != (log.device, log.inc))
            .map_or(0, |before| before + 1);
        for stem in &mut lacks[tree..at] {
            push(stem, first - 1, runs);
        }
    }
    push(&mut lacks[at], upto, runs);
}

fn push(lack: &mut Lack, upto: u32, runs: &mut Vec<Run>) {
    let upto = upto.min(lack.last);
    if lack.next <= upto {
        runs.push(Run {
            log: lack.log,
            next: lack.next,
            last: upto,
        });
        // Beyond the last, nothing more is planned of it.
        lack.next = upto.saturating_add(1);
        if upto == u32::MAX {
            lack.last = 0;
        }
    }
}

/// Positions of one log at growing distances from its end, its first entry included.
pub(super) fn locators(view: &impl LogView, head: &Head) -> Vec<Place> {
    let mut seqs = vec![head.seq];
    let mut back = 1;
    while let Some(seq) = head.seq.checked_sub(back).filter(|seq| *seq > head.first) {
        seqs.push(seq);
        back = back.saturating_mul(2);
    }
    seqs.push(head.first);
    seqs.dedup();
    seqs.into_iter()
        .filter_map(|seq| {
            let hash = short(view.entry_id(&head.log, seq)?);
            Some(Place {
                branch: head.log.branch,
                seq,
                hash,
            })
        })
        .collect()
}
