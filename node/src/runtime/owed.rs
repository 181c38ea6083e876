//! Originals that others promised to keep and that they owe to a person, although one of the two may not have
//! the album any more.
//!
//! Who lets go of an original for a promise has it back until the promise ends, whoever ends the share: who
//! promised serves it to the devices of the person who added it, and these ask for it. Nobody claims it to them
//! any more; the signed promise stands in for the claim, and is no copy that counts.

use std::collections::BTreeMap;

use heirloom_protocol::{
    id::{DeviceId, LogId, SpaceId},
    limits,
    op::{Hold, Policy},
    replica::Promise,
    sync::{
        blob::BlobPlace as Name,
        have::PeerHaves,
        message::HaveMode,
        want::{Helping, Path, Wanted},
    },
};
use roaring::RoaringBitmap;

use super::{Runtime, RuntimeError, blobs::line_of, fork::within, load::entry_of, taken};
use crate::store::StoreError;

impl Runtime {
    /// The promises about a blob, past ones included. One by a name that it had before its log forked is one,
    /// too: maybe it was about a blob of the other branch, and then this one is kept for nothing.
    pub(super) fn promises_of(&self, name: &Name) -> impl Iterator<Item = &Promise> {
        let names = self.replica.names_before(&name.log);
        let ordinal = name.ordinal;
        let album = self.replica.album(&name.log.space);
        let all = album.into_iter().flat_map(|album| album.promises());
        all.filter(move |promise| names.iter().any(|log| promise.covers(log, ordinal)))
    }

    /// Whether this device promised to keep a blob that the person of a peer added.
    pub(super) fn owes(&self, peer: &DeviceId, name: &Name) -> bool {
        let control = self.replica.control();
        let device = control.resolution().devices.get(peer);
        let person = device.and_then(|device| device.person);
        person.is_some()
            && control.owner_of(&name.log.device) == person
            && self.promised_until(name).is_some()
    }

    /// Reckons anew what others owe this person: of albums that are no longer shared with them what is in sight
    /// nowhere else, and of others what a device promised that may not have the album any more and that no
    /// archive claims.
    pub(super) fn reckon_owed(&mut self) -> Result<(), RuntimeError> {
        for album in &self.ended {
            // What of it is in sight again is wanted no more.
            self.want.let_go(album);
        }
        let promised = self.promised_to_me();
        self.owed = PeerHaves::default();
        if promised.is_empty() {
            return Ok(());
        }
        let lost = self.taken_and_lost()?;
        let mut wanted: BTreeMap<LogId, RoaringBitmap> = BTreeMap::new();
        for (by, log, mut blobs) in promised {
            if self.ended.contains(&log.space) {
                blobs &= lost.get(&log).unwrap_or(&RoaringBitmap::new());
                *wanted.entry(log).or_default() |= &blobs;
            } else {
                blobs -= self.kept_by_archives(&log);
            }
            if !blobs.is_empty() {
                let rows = vec![(log, blobs)];
                self.owed.apply(by, log.space, HaveMode::Added, rows);
            }
        }
        for (log, blobs) in wanted {
            self.want_these(&log, blobs)?;
        }
        Ok(())
    }

    /// What live devices promised of this person's blobs, where they or this person may not have the album.
    fn promised_to_me(&self) -> Vec<(DeviceId, LogId, RoaringBitmap)> {
        let (me, now) = (self.device(), self.now().0);
        let Some(person) = self.replica.person() else {
            return Vec::new();
        };
        let control = self.replica.control();
        let mut promised = Vec::new();
        for (space, album) in self.replica.albums() {
            let is_over = self.ended.contains(space);
            let counts = |promise: &&Promise| {
                promise.by != me
                    && promise.until > now
                    && control.resolution().devices.contains_key(&promise.by)
                    && (is_over || !self.replica.may_replicate(&promise.by, space))
            };
            for promise in album.promises().iter().filter(counts) {
                for range in &promise.ranges {
                    if control.owner_of(&range.log.device) != Some(person) {
                        continue;
                    }
                    for (log, blobs) in self.named_now(&range.log, range.from..range.to) {
                        promised.push((promise.by, log, blobs));
                    }
                }
            }
        }
        promised
    }

    /// The blobs that a promise may be about, by the names that they have now.
    fn named_now(
        &self,
        log: &LogId,
        ordinals: std::ops::Range<u32>,
    ) -> Vec<(LogId, RoaringBitmap)> {
        let logs = self.replica.logs_of(log.space);
        let of_one = logs.filter(|(one, _)| (one.device, one.inc) == (log.device, log.inc));
        let named = of_one.filter(|(one, _)| self.replica.names_before(one).contains(log));
        named
            .map(|(one, state)| {
                let mut blobs = RoaringBitmap::new();
                blobs.insert_range(state.ordinals());
                (*one, within(blobs, &ordinals))
            })
            .collect()
    }

    /// The blobs that a promise may be about, by the names under which they are kept.
    pub(super) fn blobs_of_hold(&self, space: &SpaceId, hold: &Hold) -> Vec<(LogId, u32)> {
        let mut found = Vec::new();
        for range in hold.ranges.iter().take(limits::HOLD_RANGES) {
            let log = LogId {
                space: *space,
                device: range.device,
                inc: range.inc,
                branch: range.branch,
            };
            for (log, blobs) in self.named_now(&log, range.from..range.to) {
                let kept = |ordinal| Some((self.replica.kept_blob(&log, ordinal)?, ordinal));
                found.extend(blobs.iter().filter_map(kept));
            }
        }
        found
    }

    /// The originals of what this person had in albums that were lost and that is nowhere else in sight.
    fn taken_and_lost(&self) -> Result<BTreeMap<LogId, RoaringBitmap>, StoreError> {
        let mut lost: BTreeMap<LogId, RoaringBitmap> = BTreeMap::new();
        if self.ended.is_empty() {
            return Ok(lost);
        }
        for (key, asset) in taken(&self.store)? {
            if !self.ended.contains(&key.album) {
                continue;
            }
            for (_, blob) in asset.needed_parts(self.replica.person()) {
                let name = self.name_kept(&blob.log, blob.ordinal);
                lost.entry(name.log).or_default().insert(name.ordinal);
            }
        }
        Ok(lost)
    }

    /// Blobs of a log that some archive which may have them says it holds.
    fn kept_by_archives(&self, log: &LogId) -> RoaringBitmap {
        let mut kept = RoaringBitmap::new();
        for peer in self.peers.have.peers() {
            let is_archive = self.replica.control().policy(peer) == Policy::Archive;
            if is_archive
                && self.replica.may_replicate(peer, &log.space)
                && let Some(bits) = self.peers.have.bits(peer, log)
            {
                kept |= bits;
            }
        }
        kept
    }

    /// Wants those of some blobs that are not here, and nothing else of their entries.
    fn want_these(&mut self, log: &LogId, blobs: RoaringBitmap) -> Result<(), RuntimeError> {
        let mut left = blobs.clone();
        while let Some(ordinal) = left.min() {
            let kept = self.replica.kept_blob(log, ordinal).unwrap_or(*log);
            let record = self.store.entry_with_blob(&kept, ordinal)?;
            let Some(entry) = record.as_ref().and_then(entry_of) else {
                left.remove(ordinal);
                continue;
            };
            let header = entry.header();
            let lines: Vec<_> = header.blobs.iter().map(line_of).collect();
            let end = header
                .first_blob
                .saturating_add(u32::try_from(lines.len()).unwrap_or(u32::MAX));
            let mut held = RoaringBitmap::new();
            held.insert_range(header.first_blob..end);
            held -= &blobs;
            held |= self.drops.settled(&kept, self.store.here(&kept)?);
            self.want
                .add(*log, header.first_blob, header.hlc, &lines, &held);
            left.remove_range(..end.max(ordinal.saturating_add(1)));
        }
        Ok(())
    }

    /// How many originals a peer owes this person that are lacking here, and that it does not claim besides where
    /// this device wants by itself what it claims.
    pub(super) fn owed_by(&self, peer: DeviceId, path: Path) -> u64 {
        let policy = self.replica.control().policy(&self.device());
        let wants_claimed = policy == Policy::Archive && path == Path::Free;
        let mut owed = 0;
        for (log, blobs) in self.owed.logs(&peer) {
            for ordinal in blobs {
                let place = Name { log: *log, ordinal };
                let is_claimed = wants_claimed && self.peers.have.holds(&peer, log, ordinal);
                owed += u64::from(!is_claimed && self.want.is_open_to(peer, &place));
            }
        }
        owed
    }

    /// Reckons it anew where a peer did not give some of it: it may have it again when it is met next.
    pub(super) fn reckon_refused(&mut self) -> Result<(), RuntimeError> {
        let owes_nothing = self.owed.peers().next().is_none();
        if owes_nothing {
            return Ok(());
        }
        self.reckon_owed()
    }

    /// What a peer owes this person and is to be asked for now.
    pub(super) fn next_owed(&mut self, peer: DeviceId, helping: Helping) -> Vec<Wanted> {
        self.want.next_owed(peer, &self.owed, helping)
    }
}
