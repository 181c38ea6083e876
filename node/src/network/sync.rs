//! Pumps sessions over their streams: one task a peer, a reader and a writer apart.
//!
//! The reader goes on while the writer waits, so two devices that both have
//! much to say never wait for each other (rust-libp2p #5410). Frames are taken
//! from the session only while the writer has room for them.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use heirloom_protocol::{
    id::{DeviceId, LogId, SpaceId},
    op::BlobRange,
    sync::{
        message::{Message, PREFIX_BYTES, PeerRole},
        session::{CloseReason, Input, News as EntryNews},
    },
};
use roaring::RoaringBitmap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{Notify, mpsc},
};
use tokio_util::task::AbortOnDropHandle;

use super::{Network, calls, gossip::Greeted, peer_of};
use crate::{
    net::{Address, NetError, Proto, Stream},
    runtime::{Greeting, RuntimeError, Step},
};

/// Frames read ahead of the session.
const READ_AHEAD: usize = 8;
/// Bytes of frames taken from a session at once.
const WRITE_BYTES: usize = 1024 * 1024;
/// Pieces of local news that wait for a session.
const NEWS: usize = 256;

/// How long a device that is connected may take to open the stream of a session.
const LATE: Duration = Duration::from_secs(10);

/// How long after its last bytes a device counts as being sent to: longer than one piece takes over a slow line.
const SENDING: Duration = Duration::from_secs(3);

/// Connections tried for the stream of a session.
const TRIES: usize = 4;

/// What moved since the node joined the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moved {
    /// Entries that peers took.
    pub entries_sent: u64,
    /// Entries taken from peers.
    pub entries_received: u64,
    /// Blobs that peers took.
    pub blobs_sent: u64,
    /// Blobs taken from peers.
    pub blobs_received: u64,
    /// Bytes of blobs that peers took.
    pub bytes_sent: u64,
    /// Bytes of blobs taken from peers.
    pub bytes_received: u64,
}

/// How far the session with a peer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SyncState {
    /// The peer.
    pub device: DeviceId,
    /// Neither side has entries to get from the other.
    pub settled: bool,
}

/// A session that runs.
pub(super) struct Running {
    inputs: mpsc::Sender<Input>,
    settled: bool,
    pub(super) number: u64,
    pub(super) fetching: bool,
    /// There may be more to fetch since the last look.
    pub(super) again: bool,
    /// Wakes whoever fetches.
    pub(super) wake: Arc<Notify>,
    /// Leaves are being asked for.
    pub(super) auditing: bool,
    /// Leaves were asked for, or could not be, since it connected.
    pub(super) audited: bool,
}

impl Network {
    /// What moved since this node joined.
    pub fn moved(&self) -> Moved {
        self.state().moved
    }

    /// The sessions that run.
    pub fn sessions(&self) -> Vec<SyncState> {
        let state = self.state();
        state
            .sessions
            .iter()
            .map(|(device, run)| SyncState {
                device: *device,
                settled: run.settled,
            })
            .collect()
    }

    /// Devices from which blobs are being fetched.
    pub fn fetching(&self) -> usize {
        let state = self.state();
        state.sessions.values().filter(|run| run.fetching).count()
    }

    /// Devices to which blobs are being sent: bytes of one went there a moment ago.
    pub fn sending(&self) -> usize {
        let state = self.state();
        let sent = state.sent_at.values();
        sent.filter(|at| at.elapsed() < SENDING).count()
    }

    /// Whether nobody was served a blob for a while.
    pub fn serves_nobody(&self, since: std::time::Duration) -> bool {
        let served = self.state().served_at;
        served.is_none_or(|at| at.elapsed() >= since)
    }

    /// Asks a peer for leaves of what it claims, if that is due and neither side has anything left to get.
    pub(super) async fn audit_even(&self, device: DeviceId) {
        let fresh = {
            let state = self.state();
            let running = state.sessions.get(&device);
            running
                .filter(|running| running.settled && !running.fetching)
                .map(|running| !running.audited)
        };
        let Some(fresh) = fresh else { return };
        let left = self.node().ask(move |runtime| {
            let due = runtime.audit_due(&device, fresh);
            due.then(|| runtime.left_with(device)).transpose()
        });
        if matches!(left.await, Ok(Ok(Some(left))) if left.is_nothing()) {
            self.audit(device);
        }
    }

    /// Asks every peer for leaves of which that is due.
    pub(super) fn audit_all(&self) {
        for device in self.session_devices() {
            self.audit(device);
        }
    }

    /// Asks a peer to promise that it keeps blobs; false where there is no session to ask over.
    pub(crate) fn ask_hold(
        &self,
        device: DeviceId,
        space: SpaceId,
        ranges: Vec<BlobRange>,
        until: u64,
    ) -> bool {
        let state = self.state();
        let asked = Input::AskHold {
            space,
            ranges,
            until,
        };
        let running = state.sessions.get(&device);
        running.is_some_and(|running| running.inputs.try_send(asked).is_ok())
    }

    pub(super) fn connected_to(&self, device: DeviceId, address: Address, outbound: bool) {
        if outbound && let Err(error) = calls::remember(self.node().store(), &device, address) {
            tracing::warn!(%error, "an address could not be kept");
        }
        self.stir();
        // One stream a pair: the device with the lower id opens it. Two that call each other in
        // the same moment do not agree on whose connection was first.
        let is_mine = self.0.kit.is_some() || peer_of(device) > self.net().me();
        if !is_mine {
            return self.begin_late(device);
        }
        if self.is_kept_away(&device) {
            return;
        }
        let network = self.clone();
        tokio::spawn(async move {
            // Who has the words of a kit and nothing else first asks which family this is.
            if network.is_kit(device).await {
                return;
            }
            match network.open_sync(device).await {
                Ok(stream) => network.begin_session(device, stream),
                Err(error) => {
                    tracing::debug!(device = %device.short(), %error, "no session");
                    // Who is connected is not called again.
                    network.cut_off(device).await;
                }
            }
        });
    }

    /// Opens the stream that the other has not opened in time. It takes the connection for one too many where another
    /// computer runs a copy of this home and was there first; the newest session counts with it, so both get their turn.
    fn begin_late(&self, device: DeviceId) {
        let inner = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(LATE).await;
            let Some(network) = inner.upgrade().map(Self) else {
                return;
            };
            if network.state().sessions.contains_key(&device) {
                return;
            }
            if let Ok(stream) = network.open_sync(device).await {
                network.begin_session(device, stream);
            }
        });
    }

    async fn is_kit(&self, device: DeviceId) -> bool {
        let asked = self
            .node()
            .ask(move |runtime| runtime.replica().person_of_kit(&device).is_some());
        asked.await.unwrap_or(false)
    }

    /// Opens the stream of a session. Of two devices that call each other each may end one of the
    /// connections as one too many, so another is tried where there is one.
    async fn open_sync(&self, device: DeviceId) -> Result<Stream, NetError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.net().open(peer_of(device), Proto::Sync).await {
                Err(NetError::NotConnected) if tries < TRIES => {}
                opened => return opened,
            }
        }
    }

    pub(super) fn begin_session(&self, device: DeviceId, stream: Stream) {
        if self.is_kept_away(&device) {
            return;
        }
        let (inputs, waiting) = mpsc::channel(NEWS);
        let number = {
            let mut state = self.state();
            state.nonce_round += 1;
            let number = state.nonce_round;
            let running = Running {
                inputs,
                settled: false,
                number,
                fetching: false,
                again: false,
                wake: Arc::default(),
                auditing: false,
                audited: false,
            };
            state.sessions.insert(device, running);
            number
        };
        let network = self.clone();
        let wire = stream.wire();
        tracing::info!(device = %device.short(), "a device is there");
        let places = self.places(device).sessions;
        tokio::spawn(async move {
            let place = places.acquire_owned().await;
            let ended = network.pump((device, number), stream, waiting).await;
            drop(place);
            match ended {
                Ok(Some(reason)) if reason.is_misbehaviour() => {
                    tracing::warn!(device = %device.short(), ?reason, "a device broke the protocol");
                    network.turn_out(device).await;
                }
                Ok(reason) => tracing::debug!(device = %device.short(), ?reason, "session ended"),
                Err(error) => tracing::warn!(device = %device.short(), %error, "session failed"),
            }
            if network
                .state()
                .sessions
                .get(&device)
                .is_none_or(|run| run.number == number)
            {
                tracing::info!(device = %device.short(), "a device has gone");
            }
            let is_latest = network
                .state()
                .sessions
                .get(&device)
                .is_some_and(|run| run.number == number);
            if is_latest {
                network.state().sessions.remove(&device);
                // The connection is of no use without its session; whoever wants one calls again.
                // A better one may stand by now, which has or gets a session of its own.
                if let Some(wire) = wire {
                    network.hang_up(device, wire).await;
                }
            }
            network.stir();
        });
    }

    async fn pump(
        &self,
        session: (DeviceId, u64),
        stream: Stream,
        mut waiting: mpsc::Receiver<Input>,
    ) -> Result<Option<CloseReason>, RuntimeError> {
        let addrs = self.beacon_addresses();
        let acts = self.0.kit.map(|_| PeerRole::Kit);
        let greeting = self
            .node()
            .ask(move |runtime| {
                runtime.open_session_as(session.0, session.1, acts);
                match acts {
                    None => runtime.greet(session.0, &addrs),
                    Some(_) => Ok(Greeting::default()),
                }
            })
            .await??;
        let mut greeting = Greeted::new(greeting);
        let (read, write) = tokio::io::split(stream);
        let (heard, mut frames) = mpsc::channel(READ_AHEAD);
        let reader = tokio::spawn(read_frames(read, heard));
        let (say, said) = mpsc::channel(1);
        let writer = AbortOnDropHandle::new(tokio::spawn(write_frames(write, said)));
        let mut deadline: Option<Instant> = None;
        let mut idle = false;
        let ended = loop {
            let wakes = tokio::time::Instant::from(deadline.unwrap_or_else(far));
            let (input, room) = tokio::select! {
                frame = frames.recv() => match frame {
                    Some(Ok(message)) => (Some(self.heard(session.0, message)), 0),
                    Some(Err(())) => (Some(Input::Malformed), 0),
                    None => break None,
                },
                input = waiting.recv() => match input {
                    Some(input) => (Some(input), 0),
                    None => break None,
                },
                permit = say.reserve(), if !idle => match permit {
                    Ok(permit) => {
                        let step = self.step(session, None, WRITE_BYTES).await?;
                        (idle, deadline) = (step.idle, step.deadline);
                        self.note_told(session.0, &mut greeting, &step).await?;
                        let closed = step.closed;
                        permit.send(step.frames);
                        if closed.is_some() || step.gone {
                            break closed;
                        }
                        continue;
                    }
                    Err(_) => break None,
                },
                () = tokio::time::sleep_until(wakes) => (Some(Input::Tick), 0),
            };
            let step = self.step(session, input, room).await?;
            (idle, deadline) = (false, step.deadline);
            self.note_told(session.0, &mut greeting, &step).await?;
            if step.closed.is_some() || step.gone {
                break step.closed;
            }
        };
        drop((say, frames));
        reader.abort();
        // What was said last still goes out, unless the peer does not read it.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), writer).await;
        self.node()
            .ask(move |runtime| runtime.close_session(&session.0, session.1))
            .await??;
        Ok(ended)
    }

    async fn step(
        &self,
        (device, number): (DeviceId, u64),
        input: Option<Input>,
        room: usize,
    ) -> Result<Step, RuntimeError> {
        let step = self
            .node()
            .ask(move |runtime| runtime.step_session((device, number), input, room))
            .await??;
        let changed = {
            let mut state = self.state();
            state.moved.entries_received += step.received;
            state.moved.entries_sent += step.sent;
            let running = state.sessions.get_mut(&device);
            let running = running.filter(|running| running.number == number);
            running.is_some_and(|running| {
                std::mem::replace(&mut running.settled, step.settled) != step.settled
            })
        };
        if step.peer_has || step.received > 0 || step.settled {
            self.fetch_from(device);
        }
        if changed || step.peer_has {
            self.stir();
        }
        Ok(step)
    }

    /// Tells every session but the one they came through of new entries.
    pub(super) fn tell_sessions(&self, from: Option<DeviceId>, entries: &[EntryNews]) {
        self.tell(|device| (Some(*device) != from).then(|| Input::LocalNews(entries.to_vec())));
        self.fetch_all();
    }

    /// Goes on with what is lacking, also where it broke off.
    pub(crate) fn fetch_all(&self) {
        for device in self.session_devices() {
            self.fetch_from(device);
        }
    }

    /// Tells every session which blobs came, or which are served no more.
    pub(super) fn tell_have(&self, changes: &BTreeMap<LogId, RoaringBitmap>, came: bool) {
        for (log, bits) in changes {
            let (added, removed) = match came {
                true => (bits.clone(), RoaringBitmap::new()),
                false => (RoaringBitmap::new(), bits.clone()),
            };
            self.tell(|_| {
                Some(Input::HaveChanged {
                    log: *log,
                    added: added.clone(),
                    removed: removed.clone(),
                })
            });
        }
    }

    /// Tells every session that blobs of a space have other names now.
    pub(super) fn tell_renamed(&self, space: SpaceId) {
        self.tell(|_| Some(Input::Renamed(space)));
    }

    /// Has every session look again at who may read what.
    pub(super) fn tick_sessions(&self) {
        self.tell(|_| Some(Input::Tick));
    }

    fn session_devices(&self) -> Vec<DeviceId> {
        self.state().sessions.keys().copied().collect()
    }

    pub(super) fn tell(&self, input: impl Fn(&DeviceId) -> Option<Input>) {
        let mut state = self.state();
        // A session that does not keep up is ended; the next one begins from the heads.
        state
            .sessions
            .retain(|device, running| match input(device) {
                Some(input) => running.inputs.try_send(input).is_ok(),
                None => true,
            });
    }
}

fn far() -> Instant {
    Instant::now() + std::time::Duration::from_secs(3600)
}

async fn read_frames(mut read: ReadHalf<Stream>, heard: mpsc::Sender<Result<Message, ()>>) {
    loop {
        let mut prefix = [0; PREFIX_BYTES];
        if read.read_exact(&mut prefix).await.is_err() {
            return;
        }
        let Ok(length) = Message::frame_len(prefix) else {
            let _ = heard.send(Err(())).await;
            return;
        };
        let mut frame = vec![0; length];
        if read.read_exact(&mut frame).await.is_err() {
            return;
        }
        let message = Message::from_frame(&frame).map_err(drop);
        if heard.send(message).await.is_err() {
            return;
        }
    }
}

async fn write_frames(mut write: WriteHalf<Stream>, mut said: mpsc::Receiver<Vec<Vec<u8>>>) {
    while let Some(frames) = said.recv().await {
        for frame in frames {
            if write.write_all(&frame).await.is_err() {
                return;
            }
        }
        if said.is_empty() && write.flush().await.is_err() {
            return;
        }
    }
    let _ = write.shutdown().await;
}
