//! What other devices say they hold, as far as it can be true.
//!
//! A claim is kept of a log that is here, in a space that the device may replicate, up to the last blob that the
//! log has announced. A claim may come before the entries that announce its blobs: what is ahead of them waits in
//! memory, bounded for each device, and is believed as far as they have come. What does not fit is dropped: the two
//! devices' digests differ then, and the next greeting brings it again. So a hostile member fills neither memory
//! nor the disk with logs that do not exist.
//!
//! While a session has much to say, rows follow claims each second and not with each frame; once it is settled
//! they are up to date. What a crash loses is asked for again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use heirloom_protocol::{
    id::{DeviceId, LogId, SpaceId},
    sync::{have, message::HaveMode},
    wire,
};
use roaring::RoaringBitmap;

use super::{News, Runtime, RuntimeError};
use crate::store::{Batch, Table};

/// Logs of one device's claims that may be ahead of their entries.
const EARLY_LOGS: usize = 1024;
/// Bytes of these claims.
const EARLY_BYTES: usize = 4 * 1024 * 1024;
/// How long claims wait for a commit while more come.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Claims of one device that are ahead of their entries.
#[derive(Default)]
struct Early {
    rows: BTreeMap<LogId, RoaringBitmap>,
    /// At least what they take.
    bytes: usize,
}

/// Claims that are not kept yet.
#[derive(Default)]
pub(super) struct Claims {
    /// Ahead of the entries that announce what they name, by device.
    early: BTreeMap<DeviceId, Early>,
    /// Of which the row on disk is older than what is known.
    unsaved: BTreeSet<(DeviceId, SpaceId)>,
    saved: Option<Instant>,
}

impl Claims {
    fn wait(&mut self, peer: DeviceId, log: LogId, bits: RoaringBitmap) {
        if bits.is_empty() {
            return;
        }
        let early = self.early.entry(peer).or_default();
        let bytes = early.bytes + bits.serialized_size();
        let has_place = early.rows.len() < EARLY_LOGS || early.rows.contains_key(&log);
        if bytes <= EARLY_BYTES && has_place {
            early.bytes = bytes;
            *early.rows.entry(log).or_default() |= bits;
        } else {
            tracing::debug!(device = %peer.short(), "claims of what is not here are dropped");
        }
    }

    /// Takes back what a new word of a device replaces.
    fn take_back(
        &mut self,
        peer: &DeviceId,
        space: &SpaceId,
        mode: HaveMode,
        rows: &[(LogId, RoaringBitmap)],
    ) {
        let Some(early) = self.early.get_mut(peer) else {
            return;
        };
        match mode {
            HaveMode::Full => early.rows.retain(|log, _| log.space != *space),
            HaveMode::Added => return,
            HaveMode::Removed => {
                for (log, bits) in rows {
                    if let Some(held) = early.rows.get_mut(log) {
                        *held -= bits;
                    }
                }
            }
        }
        early.rows.retain(|_, bits| !bits.is_empty());
        let sizes = early.rows.values().map(RoaringBitmap::serialized_size);
        early.bytes = sizes.sum();
        if early.rows.is_empty() {
            self.early.remove(peer);
        }
    }
}

fn key(device: &DeviceId, space: &SpaceId) -> Vec<u8> {
    [b"have/", &device.0[..], &space.0[..]].concat()
}

impl Runtime {
    /// Takes what a device says it holds in one space.
    pub(super) fn peer_has(
        &mut self,
        peer: DeviceId,
        space: SpaceId,
        mode: HaveMode,
        rows: Vec<(LogId, RoaringBitmap)>,
    ) -> Result<(), RuntimeError> {
        self.claims.take_back(&peer, &space, mode, &rows);
        let may = self.replica.may_replicate(&peer, &space);
        let mut known = Vec::with_capacity(rows.len());
        for (log, bits) in rows.into_iter().filter(|(log, _)| log.space == space) {
            if mode == HaveMode::Removed {
                known.push((log, bits));
                continue;
            }
            let (now, later) = self.split_claim(&log, bits, may);
            self.claims.wait(peer, log, later);
            if !now.is_empty() {
                known.push((log, now));
            }
        }
        // What it takes back counts whatever it may have.
        let takes_back = mode == HaveMode::Removed && self.peers.have.names(&peer, &space);
        if may || takes_back {
            self.believe(peer, space, mode, known)?;
        }
        Ok(())
    }

    /// What of a claim names blobs that are announced here, and the rest.
    fn split_claim(
        &self,
        log: &LogId,
        bits: RoaringBitmap,
        may: bool,
    ) -> (RoaringBitmap, RoaringBitmap) {
        let blobs = self.replica.log(log).map_or(0, |state| state.blobs);
        let blobs = if may { blobs } else { 0 };
        let (mut now, mut later) = (bits.clone(), bits);
        now.remove_range(blobs..);
        later.remove_range(..blobs);
        (now, later)
    }

    fn believe(
        &mut self,
        peer: DeviceId,
        space: SpaceId,
        mode: HaveMode,
        rows: Vec<(LogId, RoaringBitmap)>,
    ) -> Result<(), RuntimeError> {
        if mode != HaveMode::Removed {
            for (log, held) in &rows {
                self.want.told(peer, log, held);
            }
        }
        self.peers.have.apply(peer, space, mode, rows);
        self.claims.unsaved.insert((peer, space));
        self.news.push(News::Peers);
        let since = self.claims.saved;
        if since.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY) {
            self.save_claims()?;
        }
        Ok(())
    }

    /// Believes what waited for entries that have come.
    pub(super) fn hear_early_claims(&mut self) -> Result<(), RuntimeError> {
        for (peer, early) in std::mem::take(&mut self.claims.early) {
            let mut come: BTreeMap<SpaceId, Vec<(LogId, RoaringBitmap)>> = BTreeMap::new();
            for (log, bits) in early.rows {
                let may = self.replica.may_replicate(&peer, &log.space);
                let (now, later) = self.split_claim(&log, bits, may);
                self.claims.wait(peer, log, later);
                if !now.is_empty() {
                    come.entry(log.space).or_default().push((log, now));
                }
            }
            for (space, rows) in come {
                self.believe(peer, space, HaveMode::Added, rows)?;
            }
        }
        Ok(())
    }

    /// Makes what is known of claims durable, as far as it changed.
    pub fn save_claims(&mut self) -> Result<(), RuntimeError> {
        let unsaved = std::mem::take(&mut self.claims.unsaved);
        if unsaved.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        for (peer, space) in unsaved {
            let rows = self.peers.have.logs(&peer);
            let rows: Vec<_> = rows
                .filter(|(log, _)| log.space == space)
                .map(|(log, bits)| (*log, serde_bytes::ByteBuf::from(have::encode(bits))))
                .collect();
            match wire::encode_row(&rows) {
                Ok(row) => batch.puts.push((Table::Peers, key(&peer, &space), row)),
                // An old row would be worse than none: it is asked for again.
                Err(_) => batch.deletes.push((Table::Peers, key(&peer, &space))),
            }
        }
        self.claims.saved = Some(Instant::now());
        Ok(self.store.commit(&batch)?)
    }

    /// Forgets what devices claimed that were removed from the family, and of spaces that they may
    /// have no longer: nobody asks them for it any more, and they may have erased it. Durable when it returns.
    ///
    /// Of a device or an album that is not known nothing is forgotten: what let it in may be on its way back.
    pub(super) fn forget_claims_that_ended(&mut self) -> Result<(), RuntimeError> {
        let rows = self.replica.devices().into_iter();
        let removed: BTreeSet<DeviceId> =
            rows.filter(|row| row.removed).map(|row| row.id).collect();
        self.claims.early.retain(|peer, _| !removed.contains(peer));
        let gone: Vec<DeviceId> = self.peers.have.peers().copied().collect();
        let mut deletes = self.forget_closed_spaces(&gone);
        for peer in gone.into_iter().filter(|peer| removed.contains(peer)) {
            self.peers.have.forget(&peer);
            self.claims.unsaved.retain(|(of, _)| *of != peer);
            let prefix = [b"have/", &peer.0[..]].concat();
            self.store.scan(Table::Peers, &prefix, |key, _| {
                deletes.push((Table::Peers, key.to_vec()));
                std::ops::ControlFlow::Continue(())
            })?;
        }
        if deletes.is_empty() {
            return Ok(());
        }
        Ok(self.store.commit(&Batch {
            deletes,
            ..Batch::default()
        })?)
    }

    /// Takes the claims of live devices back of albums that they may not have; names their rows.
    ///
    /// They wait like those that come before their entries: who is given the album again holds it yet.
    fn forget_closed_spaces(&mut self, peers: &[DeviceId]) -> Vec<(Table, Vec<u8>)> {
        let mut deletes = Vec::new();
        let control = self.replica.control().resolution();
        let live = peers
            .iter()
            .filter(|peer| control.devices.contains_key(*peer));
        let mut closed: Vec<(DeviceId, SpaceId)> = Vec::new();
        for peer in live {
            let spaces: BTreeSet<SpaceId> = self.peers.have.spaces(peer).collect();
            let ended = spaces.into_iter().filter(|space| {
                self.replica.album(space).is_some() && !self.replica.may_replicate(peer, space)
            });
            closed.extend(ended.map(|space| (*peer, space)));
        }
        for (peer, space) in closed {
            for (log, bits) in self.peers.have.forget_space(&peer, &space) {
                self.claims.wait(peer, log, bits);
            }
            self.claims.unsaved.remove(&(peer, space));
            deletes.push((Table::Peers, key(&peer, &space)));
            self.news.push(News::Peers);
        }
        deletes
    }
}

#[cfg(test)]
mod tests;
