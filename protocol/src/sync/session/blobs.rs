//! Telling each other which blobs are held: digests first, bitmaps where they differ, then changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use roaring::RoaringBitmap;

use super::{CloseReason, Output, Session};
use crate::{
    id::{DeviceId, LogId, SpaceId},
    limits,
    sync::{
        Digest, LogView, have, list_digest,
        message::{Have, HaveDigests, HaveMode, HavePull, HaveRow, Hello, Message},
    },
};

/// Bytes of bitmaps after which a frame is sent; one more still fits.
const FRAME_BYTES: usize = 400 * 1024;

/// What the peer is still to be told.
#[derive(Debug)]
pub(super) struct Haves {
    ours: Digest,
    known: Option<Digest>,
    /// Spaces whose bitmaps the peer asked for.
    asked: VecDeque<SpaceId>,
    /// Bitmaps of one of them that are not sent yet.
    rows: VecDeque<(LogId, RoaringBitmap)>,
    mode: HaveMode,
    /// Spaces of which the peer is to be told all blobs again: it may replicate them since the
    /// greeting, or a log in them forked.
    fresh: BTreeSet<SpaceId>,
    /// Changes that are not sent yet: added, removed.
    changes: BTreeMap<LogId, (RoaringBitmap, RoaringBitmap)>,
}

impl Haves {
    pub(super) fn new(view: &impl LogView, peer: DeviceId) -> Self {
        let known = view.peer_have_digests(peer);
        Self {
            ours: list_digest(&view.have_digests(peer)),
            known: (!known.is_empty()).then(|| list_digest(&known)),
            asked: VecDeque::new(),
            rows: VecDeque::new(),
            mode: HaveMode::Full,
            fresh: BTreeSet::new(),
            changes: BTreeMap::new(),
        }
    }

    /// The peer may replicate a space that it could not replicate before.
    pub(super) fn opened(&mut self, space: SpaceId) {
        self.fresh.insert(space);
    }

    pub(super) fn ours(&self) -> Digest {
        self.ours
    }

    pub(super) fn known(&self) -> Option<Digest> {
        self.known
    }

    pub(super) fn change(&mut self, log: LogId, added: &RoaringBitmap, removed: &RoaringBitmap) {
        let (plus, minus) = self.changes.entry(log).or_default();
        *plus |= added;
        *plus -= removed;
        *minus |= removed;
        *minus -= added;
    }
}

impl Session {
    /// Tells what is held, in short, if the peer remembers something else.
    pub(super) fn offer_blobs(&mut self, hello: &Hello, view: &impl LogView) {
        if hello.have_known == Some(self.haves.ours) {
            return;
        }
        let mut rows = view.have_digests(self.peer);
        if rows.is_empty() && hello.have_known.is_none() {
            return;
        }
        loop {
            let rest = rows.split_off(rows.len().min(limits::SYNC_PAGE_ROWS));
            let more = !rest.is_empty();
            self.send(Message::HaveDigests(HaveDigests { rows, more }));
            if !more {
                return;
            }
            rows = rest;
        }
    }

    /// Tells what is held of spaces that were opened to the peer since the greeting.
    pub(super) fn offer_opened(&mut self, view: &impl LogView) {
        if self.haves.fresh.is_empty() {
            return;
        }
        let fresh = std::mem::take(&mut self.haves.fresh);
        let rows = view.have_digests(self.peer).into_iter();
        let rows: Vec<_> = rows.filter(|(space, _)| fresh.contains(space)).collect();
        for page in rows.chunks(limits::SYNC_PAGE_ROWS) {
            self.send(Message::HaveDigests(HaveDigests {
                rows: page.to_vec(),
                more: false,
            }));
        }
    }

    pub(super) fn peer_have_digests(&mut self, digests: &HaveDigests, view: &impl LogView) {
        let known: BTreeMap<_, _> = view.peer_have_digests(self.peer).into_iter().collect();
        let spaces: Vec<SpaceId> = digests
            .rows
            .iter()
            .filter(|(space, digest)| known.get(space) != Some(digest))
            .map(|(space, _)| *space)
            .collect();
        if !spaces.is_empty() {
            self.send(Message::HavePull(HavePull { spaces }));
        }
    }

    pub(super) fn have_pulled(&mut self, pull: &HavePull) {
        let mut queued: BTreeSet<SpaceId> = self.haves.asked.iter().copied().collect();
        for space in &pull.spaces {
            if self.is_allowed(*space) && queued.insert(*space) {
                self.haves.asked.push_back(*space);
            }
        }
    }

    pub(super) fn peer_has(&mut self, have: Have, view: &impl LogView) -> Result<(), CloseReason> {
        // A space may be told of here before its digest is.
        self.space(have.space, view)?;
        let mut rows = Vec::new();
        for row in &have.rows {
            let log = self.peer_log(have.space, &row.log)?;
            let bits = have::decode(&row.bits).map_err(|_| CloseReason::Malformed)?;
            rows.push((log, bits));
        }
        self.out.push_back(Output::PeerHas {
            space: have.space,
            mode: have.mode,
            rows,
        });
        Ok(())
    }

    /// Makes the next frame about blobs; false when there is none.
    pub(super) fn show_blobs(&mut self, view: &impl LogView) -> bool {
        if self.haves.rows.is_empty() {
            let Some(space) = self.haves.asked.pop_front() else {
                return self.show_changes();
            };
            if !self.is_allowed(space) {
                return true;
            }
            // The bitmaps hold every change up to now.
            self.haves.changes.retain(|log, _| log.space != space);
            self.haves.mode = HaveMode::Full;
            let rows = view.have(space).into_iter();
            self.haves.rows = rows
                .flat_map(|(log, bits)| {
                    have::pieces(&bits).into_iter().map(move |bits| (log, bits))
                })
                .collect();
            if self.haves.rows.is_empty() {
                self.send_have(space, HaveMode::Full, Vec::new());
                return true;
            }
        }
        let Some((first, _)) = self.haves.rows.front() else {
            return true;
        };
        let space = first.space;
        let mut rows = Vec::new();
        let mut bytes = 0;
        while bytes < FRAME_BYTES
            && rows.len() < limits::SYNC_PAGE_ROWS
            && let Some((log, bits)) = self.haves.rows.pop_front()
        {
            bytes += 64 + bits.serialized_size();
            rows.push((log, bits));
        }
        let mode = std::mem::replace(&mut self.haves.mode, HaveMode::Added);
        if self.is_allowed(space) {
            self.send_have(space, mode, rows);
        } else {
            self.haves.rows.clear();
        }
        true
    }

    fn show_changes(&mut self) -> bool {
        let Some((log, (added, removed))) = self.haves.changes.pop_first() else {
            return false;
        };
        if self.is_allowed(log.space) {
            for (mode, bits) in [(HaveMode::Added, added), (HaveMode::Removed, removed)] {
                for piece in have::pieces(&bits) {
                    self.send_have(log.space, mode, vec![(log, piece)]);
                }
            }
        }
        true
    }

    fn send_have(&mut self, space: SpaceId, mode: HaveMode, rows: Vec<(LogId, RoaringBitmap)>) {
        let logs = self.log_refs(rows.iter().map(|(log, _)| *log));
        let devices = &self.our_devices;
        let rows = rows
            .iter()
            .filter(|(log, _)| devices.contains_key(&log.device))
            .zip(logs)
            .map(|((_, bits), log)| HaveRow::new(log, bits))
            .collect();
        self.send(Message::Have(Have { space, mode, rows }));
    }
}
