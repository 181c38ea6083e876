//! The sessions' side of the runtime: what they may read, what they have committed, what peers hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{ControlFlow, Range},
    time::Instant,
};

use heirloom_protocol::{
    album::asset::{Asset, BlobRef},
    id::{DeviceId, EntryId, LogId, PersonId, SpaceId},
    log::entry::EntryBytes,
    op::Policy,
    replica::Refusal,
    sync::{
        Digest, Head, LogView,
        have::{self, PeerHaves},
        heads_digest,
        message::{HaveMode, PeerRole},
        session::{CloseReason, Input, Opening, Output, Session, Verdict as Answer},
    },
    wire,
};
use roaring::RoaringBitmap;

use super::{Audit, Passed, Runtime, RuntimeError, Said, Verdict, audit, load::entry_of, needed};
use crate::store::Table;

/// Which blobs other devices say they hold.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    pub(super) have: PeerHaves,
    /// Of logs that forked: which blobs the store keeps under a name that peers know by another.
    pub(super) renamed: Vec<(LogId, Range<u32>, LogId)>,
    pub(super) audits: BTreeMap<DeviceId, Audit>,
}

impl Peers {
    /// Whether a device says that it holds a blob, and was not found out.
    pub(super) fn holds(&self, device: &DeviceId, blob: &BlobRef) -> bool {
        let mut renamed = self.renamed.iter();
        let other = renamed
            .find(|(kept, blobs, _)| *kept == blob.log && blobs.contains(&blob.ordinal))
            .map(|(_, _, name)| name);
        let log = other.unwrap_or(&blob.log);
        let audit = self.audits.get(device);
        self.have.holds(device, log, blob.ordinal)
            && !audit.is_some_and(|audit| audit.fails_at(log, blob.ordinal))
    }

    /// Whether some device says that it holds a blob, and was not found out.
    pub(crate) fn anyone_holds(&self, blob: &BlobRef) -> bool {
        self.have.peers().any(|device| self.holds(device, blob))
    }

    /// What came of the audits of a device.
    pub fn audit(&self, device: &DeviceId) -> Option<&Audit> {
        self.audits.get(device)
    }

    /// Whether a device has said anything of what it holds.
    pub fn has_told(&self, device: &DeviceId) -> bool {
        self.have.peers().any(|peer| peer == device)
    }

    /// Whether a device has said of a blob that it holds it or not: it speaks of the log up to there.
    pub fn has_told_of(&self, device: &DeviceId, blob: &BlobRef) -> bool {
        let bits = self.have.bits(device, &blob.log);
        let last = bits.and_then(roaring::RoaringBitmap::max);
        last.is_some_and(|last| last >= blob.ordinal)
    }

    /// The devices that hold every original without which items that are one photo are not whole for `me`.
    pub fn holders_of<'a>(
        &self,
        items: impl Iterator<Item = &'a Asset>,
        me: Option<PersonId>,
    ) -> BTreeSet<DeviceId> {
        let sets = needed::files(items, me);
        let holds_all = |device: &&DeviceId| {
            sets.iter().any(|files| {
                let mut files = files.iter();
                files.all(|file| file.iter().any(|blob| self.holds(device, blob)))
            })
        };
        self.have.peers().filter(holds_all).copied().collect()
    }
}

/// A session and what came of it that is not yet told.
pub(super) struct Slot {
    pub(super) session: Session,
    settled: bool,
    /// Tells it from an earlier and a later one with the same peer.
    number: u64,
}

/// What a step of a session leads to.
#[derive(Debug, Default)]
pub struct Step {
    /// Frames to write, in order.
    pub frames: Vec<Vec<u8>>,
    /// Nothing is left to be said for now.
    pub idle: bool,
    /// Both sides had nothing left to get from each other.
    pub settled: bool,
    /// The peer's holdings changed.
    pub peer_has: bool,
    /// Write what is left, then close.
    pub closed: Option<CloseReason>,
    /// The session is no longer there, and nobody is to blame: another took its place, or the replica was made again.
    pub gone: bool,
    /// When the session wants a tick.
    pub deadline: Option<Instant>,
    /// Entries taken from the peer in this step.
    pub received: u64,
    /// Entries given to the peer in this step.
    pub sent: u64,
}

impl LogView for Runtime {
    fn spaces_for(&self, peer: DeviceId) -> Vec<(SpaceId, Digest)> {
        let control = self.replica.family().control_space();
        let spaces = std::iter::once(control).chain(self.replica.albums().map(|(id, _)| *id));
        let mut rows: Vec<_> = spaces
            .filter(|space| self.replica.may_replicate(&peer, space))
            .map(|space| (space, heads_digest(self.heads(space))))
            .collect();
        rows.sort_unstable();
        rows
    }

    fn endings(&self, peer: DeviceId) -> Vec<(SpaceId, Vec<Head>)> {
        let spaces = self.replica.albums().map(|(space, _)| *space);
        let endings = spaces.map(|space| {
            let ends = self.replica.ending(&peer, &space).into_iter();
            let heads = ends.filter_map(|(log, seq)| {
                let state = self.replica.log(&log)?;
                self.whole_head(Head {
                    log,
                    first: state.first,
                    seq,
                    id: state.step(seq)?.id,
                })
            });
            (space, heads.collect::<Vec<_>>())
        });
        let mut endings: Vec<_> = endings.filter(|(_, heads)| !heads.is_empty()).collect();
        endings.sort_unstable_by_key(|(space, _)| *space);
        endings
    }

    fn heads(&self, space: SpaceId) -> Vec<Head> {
        let logs = self.replica.logs_of(space);
        logs.filter_map(|(log, state)| {
            let (seq, id) = state.head()?;
            self.whole_head(Head {
                log: *log,
                first: state.first,
                seq,
                id,
            })
        })
        .collect()
    }

    fn entry(&self, log: &LogId, seq: u32) -> Option<EntryBytes> {
        let kept = self.replica.kept(log, seq)?;
        match self.store.entry(&kept, seq) {
            Ok(record) => entry_of(&record?).map(|entry| entry.bytes().clone()),
            Err(error) => {
                tracing::error!(%error, "an entry cannot be read");
                self.meet(error);
                None
            }
        }
    }

    fn entry_id(&self, log: &LogId, seq: u32) -> Option<EntryId> {
        Some(self.replica.log(log)?.step(seq)?.id)
    }

    fn causal(&self, space: SpaceId) -> Vec<(LogId, u32)> {
        let control = self.replica.family().control_space();
        let entries: Vec<EntryId> = if space == control {
            self.replica.control().entries().collect()
        } else {
            self.replica
                .album(&space)
                .map(|album| album.control_entries().collect())
                .unwrap_or_default()
        };
        entries
            .iter()
            .filter_map(|id| {
                let (kept, seq) = self.store.locate(id).ok().flatten()?;
                Some((self.replica.named(&kept, seq)?, seq))
            })
            .collect()
    }

    fn is_pulled_elsewhere(&self, space: SpaceId, peer: DeviceId) -> bool {
        self.sessions
            .iter()
            .any(|(other, slot)| *other != peer && slot.session.is_pulling(space))
    }

    fn have_digests(&self, peer: DeviceId) -> Vec<(SpaceId, Digest)> {
        let spaces = self.spaces_for(peer).into_iter().map(|(space, _)| space);
        spaces
            .map(|space| (space, digest_of(&self.have(space))))
            .collect()
    }

    fn have(&self, space: SpaceId) -> Vec<(LogId, RoaringBitmap)> {
        let logs = self
            .replica
            .logs_of(space)
            .filter(|(_, state)| !state.ordinals().is_empty());
        logs.filter_map(|(log, _)| Some((*log, self.blobs_here(log).ok()?)))
            .collect()
    }

    fn peer_have_digests(&self, peer: DeviceId) -> Vec<(SpaceId, Digest)> {
        self.peers.have.digests(&peer)
    }
}

fn digest_of(rows: &[(LogId, RoaringBitmap)]) -> Digest {
    have::digest(rows.iter().map(|(log, bits)| (log, bits)))
}

impl Runtime {
    /// Opens a session with a peer under a number of its own, replacing one that is there.
    pub fn open_session(&mut self, peer: DeviceId, number: u64) {
        self.open_session_as(peer, number, None);
    }

    /// The same, in the role of another than this device.
    pub fn open_session_as(&mut self, peer: DeviceId, number: u64, acts: Option<PeerRole>) {
        let role = match self.replica.control().policy(&self.device()) {
            _ if self.replica.person().is_none() => PeerRole::Keeper,
            Policy::Archive => PeerRole::Archive,
            Policy::Cache(_) => PeerRole::Cache,
        };
        let opening = Opening {
            peer,
            control: self.replica.family().control_space(),
            role: acts.unwrap_or(role),
            incarnation: self.replica.incarnation(),
        };
        self.sessions.remove(&peer);
        let session = Session::open(opening, self, Instant::now());
        self.sessions.insert(
            peer,
            Slot {
                session,
                settled: false,
                number,
            },
        );
    }

    /// Ends a session, if it is the one of this number. What the peer claimed is durable when it returns.
    pub fn close_session(&mut self, peer: &DeviceId, number: u64) -> Result<(), RuntimeError> {
        drop(self.take_session(peer, number));
        self.save_claims()?;
        self.reckon_refused()
    }

    fn take_session(&mut self, peer: &DeviceId, number: u64) -> Option<Slot> {
        let is_it = self.sessions.get(peer)?.number == number;
        is_it.then(|| self.sessions.remove(peer)).flatten()
    }

    /// Feeds a session and takes from it about `room` bytes of frames.
    ///
    /// Entries that the peer sent are durable before the step that acknowledges
    /// them returns.
    pub fn step_session(
        &mut self,
        (peer, number): (DeviceId, u64),
        input: Option<Input>,
        room: usize,
    ) -> Result<Step, RuntimeError> {
        let mut step = Step::default();
        let Some(mut slot) = self.take_session(&peer, number) else {
            step.gone = true;
            return Ok(step);
        };
        if let Some(input) = input {
            slot.session.handle(input, self, Instant::now());
        }
        let mut bytes = 0;
        step.idle = true;
        loop {
            if bytes >= room {
                step.idle = false;
                break;
            }
            let Some(output) = slot.session.poll(self) else {
                break;
            };
            if let Output::Send(message) = &output {
                let frame = message.to_frame();
                bytes += frame.len();
                step.sent += message.entry_count();
                step.frames.push(frame);
                continue;
            }
            self.session_output(&mut slot, output, &mut step)?;
        }
        step.settled = slot.settled && slot.session.is_settled();
        if step.settled {
            // Nothing more is on its way: a command that looks after a kill knows what was told.
            self.save_claims()?;
        }
        step.deadline = slot.session.deadline();
        if step.closed.is_none() {
            self.sessions.insert(peer, slot);
        }
        self.heal_met();
        Ok(step)
    }

    fn session_output(
        &mut self,
        slot: &mut Slot,
        output: Output,
        step: &mut Step,
    ) -> Result<(), RuntimeError> {
        let peer = slot.session.peer();
        match output {
            Output::Commit { batch, entries, .. } => {
                let ids: Vec<_> = entries.iter().map(entry_name).collect();
                let verdicts = self.accept(peer, entries)?;
                let answers: Vec<_> = verdicts
                    .into_iter()
                    .zip(ids)
                    .map(|(v, id)| answer(v, id))
                    .collect();
                let taken = answers
                    .iter()
                    .filter(|a| matches!(a, Answer::Accepted(_)))
                    .count();
                step.received += u64::try_from(taken).unwrap_or(0);
                let input = Input::Committed {
                    batch,
                    verdicts: answers,
                };
                slot.session.handle(input, self, Instant::now());
            }
            Output::PeerHas { mode, rows, space } => {
                self.peer_has(peer, space, mode, rows)?;
                step.peer_has = true;
            }
            // A key travels as a Seal op in the log, so that it is there for the next one as well.
            Output::KeyAsked { .. } => self.tend()?,
            Output::Settled => slot.settled = true,
            Output::Close(reason) => step.closed = Some(reason),
            Output::PeerHello {
                role,
                incarnation,
                features,
            } => self.note_said(slot, |said| {
                *said = Said {
                    role: Some(role),
                    incarnation,
                    features,
                    full: false,
                };
            }),
            Output::PeerRoom { full } => self.note_said(slot, |said| said.full = full),
            Output::Gossip(heard) => {
                if self.take_gossip(peer, heard)? == Passed::Forged {
                    slot.session.handle(Input::Forged, self, Instant::now());
                }
            }
            Output::HoldAsked {
                space,
                ranges,
                until,
            } => self.hold_asked(peer, space, &ranges, until)?,
            // Keys come as Seal ops of a log, and are never asked for over a session.
            Output::KeyGiven { .. } | Output::Send(_) => {}
        }
        Ok(())
    }

    pub(super) fn load_peers(&mut self) -> Result<(), RuntimeError> {
        let mut have = PeerHaves::default();
        self.store.scan(Table::Peers, b"have/", |key, value| {
            let device = key
                .get(5..37)
                .and_then(|bytes| bytes.try_into().ok())
                .map(DeviceId);
            let space = key
                .get(37..53)
                .and_then(|bytes| bytes.try_into().ok())
                .map(SpaceId);
            // What a peer holds is asked for again, so a damaged row is no more than a delay.
            let rows = value
                .ok()
                .and_then(|row| wire::decode_row::<Vec<(LogId, serde_bytes::ByteBuf)>>(&row).ok());
            if let (Some(device), Some(space), Some(rows)) = (device, space, rows) {
                let rows = rows
                    .iter()
                    .filter_map(|(log, bits)| Some((*log, have::decode(bits).ok()?)));
                have.apply(device, space, HaveMode::Full, rows.collect());
            }
            ControlFlow::Continue(())
        })?;
        self.peers = Peers {
            have,
            renamed: self.renamed_blobs(),
            audits: audit::load(&self.store)?,
        };
        self.forget_claims_that_ended()
    }

    /// Devices and kits that may connect, this one included.
    pub fn live_keys(&self) -> Vec<DeviceId> {
        let resolution = self.replica.control().resolution();
        let kits = resolution.kits.values().map(|kit| kit.kit);
        resolution.devices.keys().copied().chain(kits).collect()
    }
}

fn entry_name(bytes: &EntryBytes) -> Named {
    let id = EntryId(*blake3::hash(&bytes.header).as_bytes());
    let log = heirloom_protocol::log::entry::Entry::trust(bytes.clone())
        .ok()
        .map(|entry| heirloom_protocol::replica::log_of(&entry));
    Named { id, log }
}

struct Named {
    id: EntryId,
    log: Option<LogId>,
}

fn answer(verdict: Verdict, named: Named) -> Answer {
    match (verdict, named.log) {
        (Verdict::Taken, _) => Answer::Accepted(named.id),
        (Verdict::Here, _) => Answer::Known,
        (Verdict::Waits, _) => Answer::Waiting,
        (Verdict::Invalid | Verdict::Refused(Refusal::BadChain | Refusal::WrongSpace), _)
        | (_, None) => Answer::Forged,
        (Verdict::Refused(_), Some(log)) => Answer::Refused(log),
    }
}
