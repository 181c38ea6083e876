//! Which blobs this device lacks, and which of them to ask a peer for next.
//!
//! What is on a screen comes first, then thumbnails, previews, originals; newest
//! first within a class, but of originals those that the fewest other devices
//! hold before the rest. A device that keeps everything wants all; one that may
//! drop what others keep wants originals only when somebody looks at them.
//!
//! A blob that is lacking takes four bytes and some bits, so a library of a
//! million costs a few megabytes; what is here costs nothing.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use roaring::RoaringBitmap;

use super::{blob::BlobPlace, have::PeerHaves};
use crate::{
    crypto::Class,
    id::{DeviceId, LogId, SpaceId},
    op::Policy,
    time::Hlc,
};

/// The classes in the order in which they are got.
const ORDER: [Class; 3] = [Class::Thumbnail, Class::Preview, Class::Original];
/// Blobs that a screen may ask for at once; the oldest wish gives way.
const URGENT: usize = 4096;
/// Originals that up to so many devices hold besides the one that is asked come before the rest.
const RARE: usize = 3;
/// Blobs that one peer is remembered to have failed at; then all of them may be tried again.
const SHUNNED: usize = 65_536;

/// What the way to a peer costs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Path {
    /// Nothing to speak of.
    Free,
    /// Money or another's bandwidth: originals are got over it only when somebody looks at them.
    Costly,
}

/// A blob that is to be got.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Wanted {
    /// Its place.
    pub place: BlobPlace,
    /// Which picture of its asset it is.
    pub class: Class,
    /// Its length in KiB, rounded up.
    pub kib: u32,
}

/// Which blobs to look for in one turn. What is on a screen is looked for in any.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// Thumbnails and previews.
    Pictures,
    /// These, and originals that no other device holds.
    Lone,
    /// Everything.
    All,
}

/// How much to ask a peer for in one turn.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Helping {
    /// Which blobs.
    pub scope: Scope,
    /// At most so many.
    pub blobs: usize,
    /// After so many KiB no further one; the first comes whatever its size.
    pub kib: u64,
}

impl Helping {
    /// So many blobs of any size.
    pub const fn of(blobs: usize) -> Self {
        Self {
            scope: Scope::All,
            blobs,
            kib: u64::MAX,
        }
    }

    /// The first of some blobs that fit.
    fn cut(&self, wanted: &mut Vec<Wanted>) {
        let mut kib = 0;
        let fits = wanted.iter().take_while(|blob| {
            let is_first = kib == 0;
            kib += u64::from(blob.kib).max(1);
            is_first || kib <= self.kib
        });
        let fits = fits.count();
        wanted.truncate(fits);
    }
}

/// Why a blob did not come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Failure {
    /// The peer does not give it: another is to be tried.
    Lacking,
    /// The connection ended, or time ran out: any peer may be tried.
    Interrupted,
}

/// How much of a class is lacking.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lacking {
    /// Blobs.
    pub blobs: u64,
    /// KiB, each blob rounded up.
    pub kib: u64,
}

/// The blobs of one entry.
#[derive(Debug)]
struct Batch {
    hlc: Hlc,
    /// Class in two bits, KiB in thirty.
    lines: Box<[u32]>,
    left: u32,
}

#[derive(Debug, Default)]
struct Log {
    batches: BTreeMap<u32, Batch>,
    missing: [RoaringBitmap; 3],
    taken: RoaringBitmap,
    /// Lacking, and not to be got for now.
    aside: RoaringBitmap,
}

/// The blobs that this device lacks.
#[derive(Debug)]
pub struct Want {
    policy: Policy,
    logs: BTreeMap<LogId, Log>,
    lacking: [Lacking; 3],
    aside: Lacking,
    taken: BTreeMap<BlobPlace, DeviceId>,
    urgent: VecDeque<BlobPlace>,
    shunned: BTreeSet<(DeviceId, BlobPlace)>,
}

fn slot(class: Class) -> usize {
    usize::from(class.code())
}

fn pack(class: Class, bytes: u64) -> u32 {
    let kib = u32::try_from(bytes.div_ceil(1024))
        .unwrap_or(u32::MAX)
        .min((1 << 30) - 1);
    u32::from(class.code()) << 30 | kib
}

fn unpack(line: u32) -> (Class, u32) {
    let class = match line >> 30 {
        0 => Class::Original,
        1 => Class::Preview,
        _ => Class::Thumbnail,
    };
    (class, line & ((1 << 30) - 1))
}

impl Log {
    fn line(&self, ordinal: u32) -> Option<(Class, u32, Hlc)> {
        let (class, kib, hlc) = self.said_of(ordinal)?;
        self.missing[slot(class)]
            .contains(ordinal)
            .then_some((class, kib, hlc))
    }

    fn said_of(&self, ordinal: u32) -> Option<(Class, u32, Hlc)> {
        let (first, batch) = self.batches.range(..=ordinal).next_back()?;
        let at = usize::try_from(ordinal - first).ok()?;
        let (class, kib) = unpack(*batch.lines.get(at)?);
        Some((class, kib, batch.hlc))
    }
}

impl Want {
    /// Wants nothing yet.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            logs: BTreeMap::new(),
            lacking: Default::default(),
            aside: Lacking::default(),
            taken: BTreeMap::new(),
            urgent: VecDeque::new(),
            shunned: BTreeSet::new(),
        }
    }

    /// Changes whether originals are wanted.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Wants the blobs of an entry that are not here.
    ///
    /// `lines` are the class and the bytes of the blobs from `first` on. An entry
    /// that was added before is passed over.
    pub fn add(
        &mut self,
        log: LogId,
        first: u32,
        hlc: Hlc,
        lines: &[(Class, u64)],
        held: &RoaringBitmap,
    ) {
        let state = self.logs.entry(log).or_default();
        let mut left = 0;
        if !state.batches.contains_key(&first) {
            for ((class, bytes), ordinal) in lines.iter().zip(first..) {
                if !held.contains(ordinal) {
                    let (_, kib) = unpack(pack(*class, *bytes));
                    state.missing[slot(*class)].insert(ordinal);
                    self.lacking[slot(*class)].blobs += 1;
                    self.lacking[slot(*class)].kib += u64::from(kib);
                    left += 1;
                }
            }
        }
        if left > 0 {
            let lines = lines
                .iter()
                .map(|(class, bytes)| pack(*class, *bytes))
                .collect();
            state.batches.insert(first, Batch { hlc, lines, left });
        } else if state.batches.is_empty() {
            self.logs.remove(&log);
        }
    }

    /// Wants nothing of a space any more: nobody gives it.
    pub fn let_go(&mut self, space: &SpaceId) {
        let logs = self.logs.iter().filter(|(log, _)| log.space == *space);
        let missing = logs.flat_map(|(log, state)| {
            let ordinals = state.missing.iter().chain([&state.aside]);
            let ordinals = ordinals.flat_map(RoaringBitmap::iter);
            ordinals.map(|ordinal| BlobPlace { log: *log, ordinal })
        });
        for place in missing.collect::<Vec<_>>() {
            self.done(&place);
        }
    }

    /// Wants a blob no more: it is here, or nobody needs it.
    pub fn done(&mut self, place: &BlobPlace) {
        self.taken.remove(place);
        self.readmit(place);
        let Some(log) = self.logs.get_mut(&place.log) else {
            return;
        };
        log.taken.remove(place.ordinal);
        let Some((class, kib, _)) = log.line(place.ordinal) else {
            return;
        };
        log.missing[slot(class)].remove(place.ordinal);
        self.lacking[slot(class)].blobs -= 1;
        self.lacking[slot(class)].kib -= u64::from(kib);
        if let Some((first, batch)) = log.batches.range_mut(..=place.ordinal).next_back() {
            batch.left -= 1;
            if batch.left == 0 {
                let first = *first;
                log.batches.remove(&first);
            }
        }
        if log.batches.is_empty() {
            self.logs.remove(&place.log);
        }
    }

    /// Leaves a blob aside that there is no room for: it is asked of nobody and counts as lacking no
    /// more, until [`Self::take_up`]. A wish of a screen for it ends.
    pub fn set_aside(&mut self, place: &BlobPlace) {
        self.release(place);
        let Some(log) = self.logs.get_mut(&place.log) else {
            return;
        };
        let Some((class, kib, _)) = log.line(place.ordinal) else {
            return;
        };
        log.missing[slot(class)].remove(place.ordinal);
        log.aside.insert(place.ordinal);
        self.lacking[slot(class)].blobs -= 1;
        self.lacking[slot(class)].kib -= u64::from(kib);
        self.aside.blobs += 1;
        self.aside.kib += u64::from(kib);
    }

    /// What was left aside.
    pub const fn aside(&self) -> Lacking {
        self.aside
    }

    /// Wants again all that was left aside.
    pub fn take_up(&mut self) {
        let aside = |(log, state): (&LogId, &Log)| {
            let places = state.aside.iter();
            let place = |ordinal| BlobPlace { log: *log, ordinal };
            places.map(place).collect::<Vec<_>>()
        };
        let places: Vec<BlobPlace> = self.logs.iter().flat_map(aside).collect();
        for place in places {
            self.readmit(&place);
        }
    }

    fn readmit(&mut self, place: &BlobPlace) {
        let Some(log) = self.logs.get_mut(&place.log) else {
            return;
        };
        if !log.aside.remove(place.ordinal) {
            return;
        }
        let Some((class, kib, _)) = log.said_of(place.ordinal) else {
            return;
        };
        log.missing[slot(class)].insert(place.ordinal);
        self.lacking[slot(class)].blobs += 1;
        self.lacking[slot(class)].kib += u64::from(kib);
        self.aside.blobs -= 1;
        self.aside.kib -= u64::from(kib);
    }

    /// Wants the blob still, but did not get it from this peer.
    pub fn failed(&mut self, place: &BlobPlace, peer: DeviceId, failure: Failure) {
        self.release(place);
        if failure == Failure::Lacking {
            if self.shunned.len() >= SHUNNED {
                self.shunned.clear();
            }
            self.shunned.insert((peer, *place));
        }
    }

    /// A peer says that it holds blobs of a log: it may be asked again for those of them that it did
    /// not give before. What was not for this device then may be so now.
    pub fn told(&mut self, peer: DeviceId, log: &LogId, held: &RoaringBitmap) {
        self.shunned.retain(|(shunned, place)| {
            *shunned != peer || place.log != *log || !held.contains(place.ordinal)
        });
    }

    /// A peer is gone: what it was asked for may be asked of others, and of it when it is back.
    pub fn lost(&mut self, peer: &DeviceId) {
        let places: Vec<BlobPlace> = self
            .taken
            .iter()
            .filter(|(_, by)| *by == peer)
            .map(|(place, _)| *place)
            .collect();
        for place in places {
            self.release(&place);
        }
        self.shunned.retain(|(shunned, _)| shunned != peer);
    }

    fn release(&mut self, place: &BlobPlace) {
        self.taken.remove(place);
        if let Some(log) = self.logs.get_mut(&place.log) {
            log.taken.remove(place.ordinal);
        }
    }

    /// Gets a blob before all others, an original on any device and any way; the last wish first.
    pub fn look_at(&mut self, place: BlobPlace) {
        self.urgent.retain(|urgent| *urgent != place);
        self.urgent.push_front(place);
        self.urgent.truncate(URGENT);
    }

    /// Whether a screen waits for a blob.
    pub fn is_looked_at(&self, place: &BlobPlace) -> bool {
        self.urgent.contains(place)
    }

    /// Whether a blob is lacking.
    pub fn is_wanted(&self, place: &BlobPlace) -> bool {
        self.logs
            .get(&place.log)
            .is_some_and(|log| log.line(place.ordinal).is_some())
    }

    /// Whether a blob is lacking and a peer has not failed to give it.
    pub fn is_open_to(&self, peer: DeviceId, place: &BlobPlace) -> bool {
        self.is_wanted(place) && !self.shunned.contains(&(peer, *place))
    }

    /// How many blobs that this device wants by itself over such a way a peer holds and has not
    /// failed to give, those that it was asked for included.
    pub fn offered(&self, peer: DeviceId, haves: &PeerHaves, path: Path) -> u64 {
        let mut offered = 0;
        for (log, held) in haves.logs(&peer) {
            let Some(state) = self.logs.get(log) else {
                continue;
            };
            for class in self.classes(path) {
                offered += state.missing[slot(class)].intersection_len(held);
            }
        }
        let shunned = self.shunned.iter().filter(|(by, place)| {
            let log = self.logs.get(&place.log).filter(|_| *by == peer);
            let line = log.and_then(|log| log.line(place.ordinal));
            let classes = &mut self.classes(path);
            let is_wanted = line.is_some_and(|(class, _, _)| classes.any(|of| of == class));
            is_wanted && haves.holds(&peer, &place.log, place.ordinal)
        });
        offered.saturating_sub(u64::try_from(shunned.count()).unwrap_or(u64::MAX))
    }

    /// How much of a class is lacking, wanted or not; without what was left aside.
    pub fn lacking(&self, class: Class) -> Lacking {
        self.lacking[slot(class)]
    }

    /// Whether nothing is lacking that this device wants by itself.
    pub fn is_empty(&self) -> bool {
        self.classes(Path::Free)
            .all(|class| self.lacking(class).blobs == 0)
    }

    fn classes(&self, path: Path) -> impl Iterator<Item = Class> {
        let originals = self.policy == Policy::Archive && path == Path::Free;
        ORDER
            .into_iter()
            .filter(move |class| *class != Class::Original || originals)
    }

    /// The blobs to ask a peer for now, at most `max`, the most wanted first. They count as
    /// asked for until they are done, failed or the peer is lost.
    ///
    /// All of one class, so that an answer is of one kind; blobs on a screen come by themselves.
    pub fn next(
        &mut self,
        peer: DeviceId,
        haves: &PeerHaves,
        path: Path,
        max: usize,
    ) -> Vec<Wanted> {
        self.next_helping(peer, haves, path, Helping::of(max))
    }

    /// The same with bounds on what is looked for.
    pub fn next_helping(
        &mut self,
        peer: DeviceId,
        haves: &PeerHaves,
        path: Path,
        helping: Helping,
    ) -> Vec<Wanted> {
        let mut wanted = self.next_urgent(peer, haves, helping.blobs);
        if wanted.is_empty() {
            let found = self.classes(path).find_map(|class| {
                let found = match class {
                    Class::Original => self.rarest(peer, haves, helping),
                    _ => self.newest(class, peer, haves, helping.blobs, None),
                };
                (!found.is_empty()).then_some(found)
            });
            wanted = found.unwrap_or_default();
        }
        helping.cut(&mut wanted);
        self.take(peer, &wanted);
        wanted
    }

    /// Originals that a peer owes this device's person, on any device and over any way: nobody else may have
    /// them, and nobody can look at them. They count as asked for like those of [`Self::next`].
    pub fn next_owed(&mut self, peer: DeviceId, owed: &PeerHaves, helping: Helping) -> Vec<Wanted> {
        if helping.scope == Scope::Pictures {
            return Vec::new();
        }
        let mut wanted = self.newest(Class::Original, peer, owed, helping.blobs, None);
        helping.cut(&mut wanted);
        self.take(peer, &wanted);
        wanted
    }

    fn take(&mut self, peer: DeviceId, wanted: &[Wanted]) {
        for blob in wanted {
            self.taken.insert(blob.place, peer);
            if let Some(log) = self.logs.get_mut(&blob.place.log) {
                log.taken.insert(blob.place.ordinal);
            }
        }
    }

    fn next_urgent(&mut self, peer: DeviceId, haves: &PeerHaves, max: usize) -> Vec<Wanted> {
        let logs = &self.logs;
        let line = |place: &BlobPlace| logs.get(&place.log)?.line(place.ordinal);
        self.urgent.retain(|place| line(place).is_some());
        let free = self.urgent.iter().filter(|place| {
            let is_taken = self.taken.contains_key(place);
            let is_shunned = self.shunned.contains(&(peer, **place));
            !is_taken && !is_shunned && haves.holds(&peer, &place.log, place.ordinal)
        });
        let wanted = free.filter_map(|place| {
            let (class, kib, _) = line(place)?;
            Some(Wanted {
                place: *place,
                class,
                kib,
            })
        });
        wanted.take(max).collect()
    }

    /// Originals that a peer holds: those that the fewest others hold, of these the newest.
    fn rarest(&self, peer: DeviceId, haves: &PeerHaves, helping: Helping) -> Vec<Wanted> {
        let others = haves.peers().filter(|other| **other != peer).count();
        let up_to = match helping.scope {
            Scope::Pictures => return Vec::new(),
            Scope::Lone => 1,
            Scope::All => RARE.min(others),
        };
        let rare = (0..up_to).map(Some);
        let all = (helping.scope == Scope::All).then_some(None);
        let found = rare.chain(all).map(|others| {
            let class = Class::Original;
            self.newest(class, peer, haves, helping.blobs, others)
        });
        let mut found = found.filter(|found| !found.is_empty());
        found.next().unwrap_or_default()
    }

    /// The newest blobs of a class that a peer holds and at most `others` other peers do.
    fn newest(
        &self,
        class: Class,
        peer: DeviceId,
        haves: &PeerHaves,
        max: usize,
        others: Option<usize>,
    ) -> Vec<Wanted> {
        let mut offers = Vec::new();
        for (log, held) in haves.logs(&peer) {
            let Some(state) = self.logs.get(log) else {
                continue;
            };
            let mut offer = &state.missing[slot(class)] & held;
            offer -= &state.taken;
            if let Some(most) = others {
                let others = haves.peers().filter(|other| **other != peer);
                let held = others.filter_map(|other| haves.bits(other, log));
                offer = held_by_at_most(most, offer, held);
            }
            if !offer.is_empty() {
                offers.push((*log, state, offer));
            }
        }
        // Within a log the newest has the greatest ordinal; between logs the clock decides.
        let mut heap = BinaryHeap::new();
        for (at, (_, state, offer)) in offers.iter().enumerate() {
            heap.extend(newest_of(state, offer, at));
        }
        let mut wanted = Vec::new();
        while wanted.len() < max
            && let Some((_, ordinal, at)) = heap.pop()
        {
            let (log, state, offer) = &mut offers[at];
            let place = BlobPlace { log: *log, ordinal };
            if let Some((class, kib, _)) = state.line(ordinal)
                && !self.shunned.contains(&(peer, place))
            {
                wanted.push(Wanted { place, class, kib });
            }
            offer.remove(ordinal);
            heap.extend(newest_of(state, offer, at));
        }
        wanted
    }
}

/// Those of some blobs that at most so many bitmaps name.
fn held_by_at_most<'a>(
    most: usize,
    offer: RoaringBitmap,
    held: impl Iterator<Item = &'a RoaringBitmap>,
) -> RoaringBitmap {
    // levels[n] is what at least n + 1 of them name.
    let mut levels = vec![RoaringBitmap::new(); most + 1];
    for held in held {
        let mut more = &offer & held;
        for level in &mut levels {
            let both = &*level & &more;
            *level |= &more;
            more = both;
        }
    }
    let many = levels.pop().unwrap_or_default();
    offer - many
}

fn newest_of(state: &Log, offer: &RoaringBitmap, at: usize) -> Option<(Hlc, u32, usize)> {
    let ordinal = offer.max()?;
    let (_, _, hlc) = state.line(ordinal)?;
    Some((hlc, ordinal, at))
}

#[cfg(test)]
mod tests;
