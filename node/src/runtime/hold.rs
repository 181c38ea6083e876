//! Promises to keep blobs, given and relied upon, and the dropping of originals that rests on them.
//!
//! Before a device drops an original, other archives show it and sign a `Hold`.
//! Two rules keep two devices from relying on each other: who asks others for a
//! blob promises it to nobody meanwhile, and who promised it does not drop it.
//! Both questions are answered on the thread that owns the replica, so there is
//! no moment between them.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_protocol::{
    album::{asset::BlobRef, drops},
    id::{DeviceId, LogId, SpaceId},
    limits,
    op::{BlobRange, Hold, Policy},
    sync::blob::BlobPlace as Name,
};
use roaring::RoaringBitmap;

use super::{News, Runtime, RuntimeError, fork::within, name_of};
use crate::store::{Batch, BlobState};

/// Entries with promises to one device in a day; what it asks for beyond gets none.
const GRANTS: u32 = 256;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// What is going on between this device and those it asks for promises, or gives them to.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// Blobs that this device is about to drop, by the names that peers know.
    outstanding: BTreeMap<LogId, RoaringBitmap>,
    /// Promises given to each device today.
    granted: BTreeMap<DeviceId, (u64, u32)>,
}

/// One asset that is to leave this device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Leaving {
    /// All its originals.
    pub(crate) blobs: Vec<BlobRef>,
    /// On how many other archives it has to be.
    pub(crate) wanted: usize,
    /// The devices that have just shown all of them.
    pub(crate) shown: BTreeSet<DeviceId>,
    /// Of whom one at least has to keep it, if anybody's device does not do.
    pub(crate) staying: Option<BTreeSet<DeviceId>>,
}

impl Leaving {
    /// Whether these devices are enough for it to go.
    pub(crate) fn is_kept_by(&self, keepers: &BTreeSet<DeviceId>) -> bool {
        let staying = self.staying.as_ref();
        keepers.len() >= self.wanted && staying.is_none_or(|all| !all.is_disjoint(keepers))
    }
}

impl Runtime {
    /// Until when this device has promised to keep a blob; `None` if it has not, or no longer.
    pub(super) fn promised_until(&self, name: &Name) -> Option<u64> {
        let own = self.promises_of(name);
        let own = own.filter(|promise| promise.by == self.device());
        own.map(|promise| promise.until)
            .max()
            .filter(|until| *until > self.now().0)
    }

    /// The same for a blob by the name under which it is kept.
    pub(super) fn promised_kept(&self, kept: &LogId, ordinal: u32) -> Option<u64> {
        self.promised_until(&self.name_kept(kept, ordinal))
    }

    /// Answers a device that asks for a promise: with a `Hold` for those of the blobs that are here
    /// and stay here, or not at all. Durable when it returns.
    pub fn hold_asked(
        &mut self,
        peer: DeviceId,
        space: SpaceId,
        ranges: &[BlobRange],
        until: u64,
    ) -> Result<(), RuntimeError> {
        let now = self.now().0;
        let ends = now.saturating_add(limits::HOLD_MS);
        // A clock that differs by more would make the promise another one than was asked for.
        let is_usual = until.abs_diff(ends) <= limits::HOLD_SLACK_MS;
        let keeps = self.replica.control().policy(&self.device()) == Policy::Archive;
        if !is_usual || !keeps || !self.may_grant(peer, now / DAY_MS) {
            tracing::info!(peer = %peer.short(), "a promise to keep photos was not given");
            return Ok(());
        }
        let mut asked: BTreeMap<LogId, Vec<std::ops::Range<u32>>> = BTreeMap::new();
        for range in ranges.iter().take(limits::HOLD_RANGES) {
            let log = LogId {
                space,
                device: range.device,
                inc: range.inc,
                branch: range.branch,
            };
            if range.from < range.to {
                asked.entry(log).or_default().push(range.from..range.to);
            }
        }
        let mut promised = Vec::new();
        for (log, ranges) in asked {
            let here = self.blobs_here(&log)?;
            let mut blobs = RoaringBitmap::new();
            for range in ranges {
                blobs |= within(here.clone(), &range);
            }
            if let Some(outstanding) = self.holds.outstanding.get(&log) {
                blobs -= outstanding;
            }
            // What was promised lately needs no second entry.
            for promise in self.own_promises(space) {
                if promise.until.saturating_add(limits::HOLD_SLACK_MS) > until {
                    let ranges = promise.ranges.iter().filter(|range| range.log == log);
                    ranges.for_each(|range| {
                        blobs.remove_range(range.from..range.to);
                    });
                }
            }
            promised.extend(blobs.iter().map(|ordinal| (log, ordinal)));
        }
        let mut ranges = ranges_of(promised);
        ranges.truncate(limits::HOLD_RANGES);
        if ranges.is_empty() {
            return Ok(());
        }
        self.renew_before_writing(&space)?;
        let hold = Hold { ranges, until };
        let recorded = self.replica.record_hold(space, hold, self.now())?;
        self.commit(&recorded, &[])
    }

    fn own_promises(
        &self,
        space: SpaceId,
    ) -> impl Iterator<Item = &heirloom_protocol::replica::Promise> {
        let me = self.device();
        let album = self.replica.album(&space);
        let all = album.into_iter().flat_map(|album| album.promises());
        all.filter(move |promise| promise.by == me)
    }

    fn may_grant(&mut self, peer: DeviceId, day: u64) -> bool {
        let granted = self.holds.granted.entry(peer).or_default();
        if granted.0 != day {
            *granted = (day, 0);
        }
        granted.1 = granted.1.saturating_add(1);
        granted.1 <= GRANTS
    }

    /// Names the blobs that this device is about to drop: it promises them to nobody until
    /// [`Self::end_offload`]. False, and nothing changes, while another offload goes on.
    ///
    /// What this device has promised to others is left out, and given back with the end of the promise.
    pub fn begin_offload(&mut self, blobs: &[BlobRef]) -> Option<BTreeMap<(LogId, u32), u64>> {
        if !self.holds.outstanding.is_empty() {
            return None;
        }
        let mut promised = BTreeMap::new();
        let mut outstanding: BTreeMap<LogId, RoaringBitmap> = BTreeMap::new();
        for name in blobs.iter().map(name_of) {
            match self.promised_until(&name) {
                Some(until) => drop(promised.insert((name.log, name.ordinal), until)),
                None => drop(
                    outstanding
                        .entry(name.log)
                        .or_default()
                        .insert(name.ordinal),
                ),
            }
        }
        self.holds.outstanding = outstanding;
        Some(promised)
    }

    /// Ends what [`Self::begin_offload`] began.
    pub fn end_offload(&mut self) {
        self.holds.outstanding.clear();
    }

    /// What to ask archives for: promises for some blobs, by space, as many ranges as a request may have.
    pub(crate) fn hold_requests(&self, blobs: &[BlobRef]) -> Vec<(SpaceId, Vec<BlobRange>)> {
        let mut spaces: BTreeMap<SpaceId, Vec<(LogId, u32)>> = BTreeMap::new();
        for blob in blobs {
            let named = spaces.entry(blob.log.space).or_default();
            named.push((blob.log, blob.ordinal));
        }
        let mut requests = Vec::new();
        for (space, named) in spaces {
            for some in ranges_of(named).chunks(limits::HOLD_RANGES) {
                requests.push((space, some.to_vec()));
            }
        }
        requests
    }

    /// The live archives that have promised to keep a blob for as long as a promise lasts.
    pub(crate) fn promisers(&self, blob: &BlobRef) -> BTreeSet<DeviceId> {
        let Some(album) = self.replica.album(&blob.log.space) else {
            return BTreeSet::new();
        };
        let control = self.replica.control();
        let least = self
            .now()
            .0
            .saturating_add(limits::HOLD_MS - limits::HOLD_SLACK_MS);
        let counts = |by: &DeviceId| {
            *by != self.device()
                && control.resolution().devices.contains_key(by)
                && control.policy(by) == Policy::Archive
                && self.replica.may_replicate(by, &blob.log.space)
                && self.peers.have.holds(by, &blob.log, blob.ordinal)
        };
        let promises = album
            .promises()
            .iter()
            .filter(|promise| promise.until >= least && promise.covers(&blob.log, blob.ordinal));
        promises.map(|promise| promise.by).filter(counts).collect()
    }

    /// The archives that have shown and promised every original of an asset.
    pub(crate) fn keepers_of(&self, leaving: &Leaving) -> BTreeSet<DeviceId> {
        let mut keepers = leaving.shown.clone();
        for blob in &leaving.blobs {
            let promisers = self.promisers(blob);
            keepers.retain(|keeper| promisers.contains(keeper));
        }
        keepers
    }

    /// Lets go of the originals of assets that enough archives have just shown and promised to keep;
    /// says of each whether it went. Durable when it returns.
    ///
    /// This device keeps originals no longer for others to rely on: it becomes a cache of
    /// `cache_bytes` first, or where there is no number, lets go of nothing unless it is one. The bytes go with the next [`crate::store::Store::collect`].
    pub(crate) fn let_go(
        &mut self,
        assets: &[Leaving],
        cache_bytes: Option<u64>,
    ) -> Result<Vec<bool>, RuntimeError> {
        let me = self.device();
        let is_archive = self.replica.control().policy(&me) == Policy::Archive;
        if is_archive && cache_bytes.is_none() {
            return Ok(vec![false; assets.len()]);
        }
        let mut gone = Vec::with_capacity(assets.len());
        let mut going: BTreeMap<LogId, RoaringBitmap> = BTreeMap::new();
        for asset in assets {
            let is_outstanding = |blob: &BlobRef| {
                let outstanding = self.holds.outstanding.get(&blob.log);
                outstanding.is_some_and(|blobs| blobs.contains(blob.ordinal))
            };
            let goes = !asset.blobs.is_empty()
                && asset.blobs.iter().all(is_outstanding)
                && asset.is_kept_by(&self.keepers_of(asset));
            gone.push(goes);
            for blob in asset.blobs.iter().filter(|_| goes) {
                let kept = self.kept_name(blob);
                if let BlobState::Here(_) = self.store.blob_state(&kept, blob.ordinal)? {
                    going.entry(kept).or_default().insert(blob.ordinal);
                }
            }
        }
        if going.is_empty() {
            return Ok(gone);
        }
        if let Some(bytes) = cache_bytes.filter(|_| is_archive) {
            self.set_policy(me, Policy::Cache(bytes))?;
        }
        let drops = going.iter().flat_map(|(log, blobs)| {
            // The oldest of drops: what waits for its 30 days stays when these are collected.
            blobs.iter().map(|ordinal| (*log, ordinal, 0))
        });
        let drops: Vec<_> = drops.collect();
        let gone_now = drops.iter().map(|(log, ordinal, _)| (*log, *ordinal));
        let gone_now: Vec<_> = gone_now.collect();
        self.store.commit(&Batch {
            drops,
            // What others promised to keep is missed here no more.
            deletes: self.found_again(gone_now.iter().copied()),
            ..Batch::default()
        })?;
        self.forget_missed(gone_now.into_iter());
        for (log, blobs) in going {
            self.news.push(News::Dropped(self.names_of(&log, &blobs)));
            self.want_again(&log, blobs)?;
        }
        Ok(gone)
    }

    /// Blobs by the names that peers know, from those under which they are kept.
    pub(crate) fn named_blobs(&self, blobs: &[BlobRef]) -> Vec<BlobRef> {
        let named = |blob: &BlobRef| BlobRef {
            log: self.name_kept(&blob.log, blob.ordinal).log,
            ..*blob
        };
        blobs.iter().map(named).collect()
    }

    /// Whether a device says that it holds a blob.
    pub(crate) fn claims(&self, device: &DeviceId, blob: &BlobRef) -> bool {
        self.peers.have.holds(device, &blob.log, blob.ordinal)
    }

    /// Has blobs got before all others, on any device and any way, wherever they are lacking.
    pub(crate) fn look_at(&mut self, blobs: &[BlobRef]) {
        for blob in blobs.iter().rev() {
            self.want.look_at(name_of(blob));
        }
    }
}

fn ranges_of(named: Vec<(LogId, u32)>) -> Vec<BlobRange> {
    let ranges = drops::ranges(named).into_iter();
    ranges
        .map(|range| BlobRange {
            device: range.device,
            inc: range.inc,
            branch: range.branch,
            from: range.from,
            to: range.to,
        })
        .collect()
}
