//! Which blobs this device lacks, where those that came lie, and who may have which.

use heirloom_protocol::{
    album::asset::BlobRef,
    crypto::{Class, shape},
    id::{DeviceId, LogId},
    log::{
        entry::{BlobLine, Entry},
        standing::Standing as Counts,
    },
    op::{Level, Policy},
    sync::{
        blob::BlobPlace as Name,
        want::{Failure, Helping, Lacking, Path, Wanted},
    },
};

use super::{News, Runtime, RuntimeError, load::entry_of};
use crate::store::{Batch, BlobPlace, BlobState, StoreError};

/// What a peer may be served of a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Served {
    /// What it is.
    pub blob: BlobRef,
    /// Where it lies.
    pub place: BlobPlace,
}

fn class_of(code: u8) -> Option<Class> {
    [Class::Original, Class::Preview, Class::Thumbnail]
        .into_iter()
        .find(|class| class.code() == code)
}

pub(super) fn line_of(line: &BlobLine) -> (Class, u64) {
    let class = class_of(line.class).unwrap_or(Class::Original);
    (class, shape::ciphertext_len(line.padded))
}

impl Runtime {
    /// Wants the blobs of a new entry that are not here, if this device replicates its space.
    pub(super) fn want_blobs_of(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let header = entry.header();
        if header.blobs.is_empty() || self.ended.contains(&header.space) {
            return Ok(());
        }
        let lines: Vec<_> = header.blobs.iter().map(line_of).collect();
        let counts = match self.replica.album(&header.space) {
            Some(album) => {
                let control = self.replica.control();
                album.standing(control, &entry.id(), Level::Contributor) != Counts::Cut
            }
            None => false,
        };
        if !counts {
            return Ok(());
        }
        let place = self.place_of(entry);
        let held = self
            .drops
            .settled(&place.kept, self.store.here(&place.kept)?);
        self.want
            .add(place.log, header.first_blob, header.hlc, &lines, &held);
        Ok(())
    }

    /// Looks through the logs for blobs that are not here. Logs that are complete cost nothing.
    pub(super) fn load_wants(&mut self) -> Result<(), RuntimeError> {
        let spaces = self.store.spaces().into_iter();
        let heads: Vec<_> = spaces.flat_map(|space| self.store.logs(space)).collect();
        for head in heads {
            let log = head.log;
            let before = match head.first {
                0 => 0,
                first => self.store.entry(&log, first)?.map_or(0, |e| e.first_blob),
            };
            let announced = u64::from(head.blobs.saturating_sub(before));
            let held = self.drops.settled(&log, self.store.here(&log)?);
            if announced == 0 || held.len() >= announced {
                continue;
            }
            let mut from = head.first;
            while from <= head.seq {
                let (records, next) = self.whole_entries(&log, from)?;
                from = next;
                for entry in records
                    .iter()
                    .filter(|record| record.blobs > 0)
                    .filter_map(entry_of)
                {
                    self.want_blobs_of(&entry)?;
                }
            }
        }
        self.reckon_owed()
    }

    /// Notes whether the way to a peer is one for previews alone.
    pub fn set_way(&mut self, peer: DeviceId, path: Path) {
        match path {
            Path::Costly => self.costly.insert(peer),
            Path::Free => self.costly.remove(&peer),
        };
    }

    /// What the way to a peer costs.
    pub(super) fn way_to(&self, peer: &DeviceId) -> Path {
        match self.costly.contains(peer) {
            true => Path::Costly,
            false => Path::Free,
        }
    }

    /// How many blobs the connected peers hold that wait for a better way to them.
    pub fn held_back(&self) -> u64 {
        let have = &self.peers.have;
        let waiting = |peer: &DeviceId| {
            let all = self.want.offered(*peer, have, Path::Free);
            all.saturating_sub(self.want.offered(*peer, have, Path::Costly))
        };
        let costly = self
            .costly
            .iter()
            .filter(|peer| self.sessions.contains_key(peer));
        costly.map(waiting).max().unwrap_or(0)
    }

    /// The blobs to ask a connected peer for now, the most wanted first.
    ///
    /// They count as asked for until [`Self::blobs_came`], [`Self::blob_failed`]
    /// or [`Self::peer_lost`].
    pub fn wanted_from(
        &mut self,
        peer: DeviceId,
        path: Path,
        helping: Helping,
    ) -> Result<Vec<BlobRef>, RuntimeError> {
        // A way that costs somebody something is for previews, whatever else is asked.
        let path = path.max(self.way_to(&peer));
        let partials = self.store.blobs().partial_sizes()?;
        self.take_up_what_fits(&partials);
        let mut wanted = self
            .want
            .next_helping(peer, &self.peers.have, path, helping);
        if wanted.is_empty() {
            wanted = self.next_owed(peer, helping);
        }
        let mut blobs = Vec::with_capacity(wanted.len());
        for Wanted { place, .. } in wanted {
            match self.blob_of(&place.log, place.ordinal)? {
                Some(blob) => {
                    if self.has_room_for(peer, &blob, &partials)? {
                        blobs.push(blob);
                    }
                }
                None => self.want.done(&place),
            }
        }
        Ok(blobs)
    }

    /// Whether somebody waits for a blob in front of a screen.
    pub(crate) fn is_looked_at(&self, blob: &BlobRef) -> bool {
        self.want.is_looked_at(&name_of(blob))
    }

    /// How many blobs are lacking that this device wants by itself; without what there is no room for.
    pub fn lacking(&self) -> u64 {
        match self.want.is_empty() {
            true => 0,
            false => self.lacking_by_class().map(|lacking| lacking.blobs).sum(),
        }
    }

    /// The bytes of these, each blob rounded up to KiB.
    pub(super) fn lacking_bytes(&self) -> u64 {
        let kib = self.lacking_by_class().map(|lacking| lacking.kib);
        kib.sum::<u64>().saturating_mul(1024)
    }

    fn lacking_by_class(&self) -> impl Iterator<Item = Lacking> {
        let originals = self.replica.control().policy(&self.device()) == Policy::Archive;
        let classes = [Class::Original, Class::Preview, Class::Thumbnail];
        let wanted = classes.into_iter();
        wanted
            .filter(move |class| originals || *class != Class::Original)
            .map(|class| self.want.lacking(class))
    }

    /// What the signed header says of a blob.
    pub(crate) fn blob_of(&self, log: &LogId, ordinal: u32) -> Result<Option<BlobRef>, StoreError> {
        let Some(kept) = self.replica.kept_blob(log, ordinal) else {
            return Ok(None);
        };
        let Some(record) = self.store.entry_with_blob(&kept, ordinal)? else {
            return Ok(None);
        };
        let Some(entry) = entry_of(&record) else {
            return Ok(None);
        };
        let header = entry.header();
        let Some(index) = ordinal.checked_sub(header.first_blob) else {
            return Ok(None);
        };
        let line = usize::try_from(index)
            .ok()
            .and_then(|index| header.blobs.get(index));
        Ok(line.and_then(|line| BlobRef::of(*log, header.first_blob, index, line)))
    }

    /// A blob as it may be served to a peer: `None` for one that is not here or not for the peer.
    ///
    /// What this device promised to keep is for the person who added it, also once they may not have the album any
    /// more, and also if somebody deleted it after that.
    pub fn served_to(&self, peer: &DeviceId, name: &Name) -> Result<Option<Served>, RuntimeError> {
        let may_have = self.replica.may_replicate(peer, &name.log.space);
        if !may_have && !self.owes(peer, name) {
            return Ok(None);
        }
        let Some(kept) = self.replica.kept_blob(&name.log, name.ordinal) else {
            return Ok(None);
        };
        let place = match self.store.blob_state(&kept, name.ordinal)? {
            BlobState::Here(place) => place,
            BlobState::Dropped { place, .. } if !may_have => place,
            BlobState::Dropped { .. } | BlobState::Absent => return Ok(None),
        };
        Ok(self
            .blob_of(&name.log, name.ordinal)?
            .map(|blob| Served { blob, place }))
    }

    /// Notes where blobs lie that came from a peer; they are durable. Durable when it returns.
    pub fn blobs_came(&mut self, came: &[(BlobRef, BlobPlace)]) -> Result<(), RuntimeError> {
        let came = &self.with_twins(came);
        let places = came
            .iter()
            .map(|(blob, place)| (self.kept_name(blob), blob.ordinal, *place))
            .collect();
        // A place takes a drop back, and what ended meanwhile stays ended.
        let ended = came
            .iter()
            .map(|(blob, _)| (self.kept_name(blob), blob.ordinal));
        let ended = ended.filter(|(log, ordinal)| self.drops.has_ended(log, *ordinal));
        let drops: Vec<_> = ended
            .map(|(log, ordinal)| {
                let since = self
                    .now()
                    .0
                    .max(self.promised_kept(&log, ordinal).unwrap_or(0));
                (log, ordinal, since)
            })
            .collect();
        let kept: Vec<_> = came
            .iter()
            .map(|(blob, _)| (self.kept_name(blob), blob.ordinal))
            .collect();
        self.store.commit(&Batch {
            places,
            drops,
            deletes: self.found_again(kept.iter().copied()),
            ..Batch::default()
        })?;
        let before = self.missed.len();
        self.forget_missed(kept.into_iter());
        if self.missed.len() < before {
            let count = before.saturating_sub(self.missed.len());
            tracing::info!(
                count,
                "originals that were damaged or missing are here again"
            );
        }
        self.count_came(came);
        for (blob, _) in came {
            // What was damaged is here again; leaving the bad copy would only cost room.
            if let Err(error) = self.store.blobs().release(&blob.id) {
                tracing::warn!(%error, "a damaged copy could not be removed");
            }
        }
        let stays = |blob: &BlobRef| !self.drops.has_ended(&self.kept_name(blob), blob.ordinal);
        let came: Vec<_> = came.iter().filter(|(blob, _)| stays(blob)).collect();
        let mut bits = std::collections::BTreeMap::<LogId, roaring::RoaringBitmap>::new();
        for (blob, _) in came {
            self.want.done(&name_of(blob));
            bits.entry(blob.log).or_default().insert(blob.ordinal);
        }
        self.news.push(News::Blobs(bits));
        Ok(())
    }

    /// Whether a peer that sent other bytes than a blob's name says means ill. Not where one of the
    /// two may not know yet that the log forked, so that each means another blob by that name.
    pub fn is_to_blame(&self, peer: &DeviceId, blob: &BlobRef) -> Result<bool, RuntimeError> {
        let session = self.sessions.get(peer).map(|slot| &slot.session);
        let is_alike = session.is_some_and(|session| session.names_alike(blob.log.space));
        let now = self.blob_of(&blob.log, blob.ordinal)?;
        Ok(is_alike && now.is_some_and(|now| now.id == blob.id))
    }

    /// A blob did not come from a peer; others may have it.
    pub fn blob_failed(&mut self, blob: &BlobRef, peer: DeviceId, failure: Failure) {
        self.count_failed(blob);
        if failure == Failure::Lacking {
            self.peers.have.lacks(&peer, &blob.log, blob.ordinal);
            self.owed.lacks(&peer, &blob.log, blob.ordinal);
        }
        self.want.failed(&name_of(blob), peer, failure);
    }

    /// A peer is gone: what it was asked for may be asked of others.
    pub fn peer_lost(&mut self, peer: &DeviceId) {
        self.count_lost(peer);
        self.want.lost(peer);
    }
}

/// A blob's name between peers.
pub fn name_of(blob: &BlobRef) -> Name {
    Name {
        log: blob.log,
        ordinal: blob.ordinal,
    }
}
