//! One conversation with one peer, as a state machine.
//!
//! A [`Session`] never touches a socket, a clock or a disk. Feed it what happened
//! with [`handle`](Session::handle), then take what is to be done from
//! [`poll`](Session::poll) while there is room for it. Reads come in through
//! [`LogView`]; writes go out as [`Output::Commit`], and the peer hears that
//! entries arrived only after [`Input::Committed`] says they are on disk.
//!
//! The session trusts the peer with nothing but its own time: it verifies no
//! signature (the replica does), but lets in only what was asked for, in order
//! and within the credit, and keeps every list below a limit.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use super::{
    Digest, LogView,
    heads::Plan,
    list_digest,
    message::{
        self, Announce, Close, Credit, Devices, Hello, HoldRequest, Key, KeyPull, LogRef, Message,
        PeerRole, Room, Settled,
    },
};
use crate::{
    id::{DeviceId, EntryId, LogId, SpaceId},
    limits,
    log::entry::EntryBytes,
};

mod answer;
mod ask;
mod blobs;
mod event;
#[cfg(test)]
mod tests;

use answer::Gather;
use ask::Space;

pub use event::{CloseReason, Input, News, Output, Verdict};

/// How long a peer may take to say hello, or to go on with what was asked of it.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Outputs that may lie unread before a peer counts as a flooder.
const OUTPUTS: usize = 4096;
/// Former digests of ours that a late peer is recognised by.
const PAST: usize = 256;
/// Entries that need not be announced again.
const SEEN: usize = 1024;
/// News of one space that is announced entry by entry; for more the peer is told to ask.
const ANNOUNCE_BATCH: usize = 8;
/// Answers that come after their ask has ended, before a peer counts as a flooder.
const STALE: u32 = 64;

/// What a session knows when it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// The device at the other end, proven by the transport.
    pub peer: DeviceId,
    /// The family's control space.
    pub control: SpaceId,
    /// What this device is.
    pub role: PeerRole,
    /// This device's incarnation in the control space.
    pub incarnation: u64,
}

/// One conversation with one peer.
///
/// Its memory is bounded: 4 MiB of entries that wait for their commit, 200 bytes
/// a space, and one ask of the peer in each of [`limits::SYNC_ASKS`].
#[derive(Debug)]
pub struct Session {
    peer: DeviceId,
    control: SpaceId,
    hello: Hello,
    /// The peer's hello has come.
    greeted: bool,
    closed: bool,
    /// All of the peer's first list is in.
    listed: bool,
    out: VecDeque<Output>,
    spaces: BTreeMap<SpaceId, Space>,

    // Pulling.
    next_ask: u32,
    asks: BTreeMap<u32, SpaceId>,
    next_batch: u64,
    batches: BTreeMap<u64, Batch>,
    announced: usize,
    granted: u64,
    received: u64,
    freed: u64,
    stale: u32,
    /// Entries that came to this device since the session began, by whatever way.
    progress: u64,
    /// Logs of which the replica wants nothing.
    unwanted: BTreeSet<LogId>,
    /// Some space could not be asked for yet.
    is_hungry: bool,
    heard: Instant,
    now: Instant,

    // Serving.
    plans: VecDeque<Plan>,
    gather: Option<Gather>,
    last_ask: Option<u32>,
    allowance: u64,
    sent: u64,

    // Names.
    our_devices: BTreeMap<DeviceId, u16>,
    their_devices: Vec<DeviceId>,
    seen: Ring<EntryId>,
    past: Ring<(SpaceId, Digest)>,

    // Blobs.
    haves: blobs::Haves,

    // Rest.
    work_sent: u64,
    work_received: u64,
    settled_sent: Option<u64>,
    settled_received: Option<u64>,
    is_settled: bool,
}

#[derive(Debug)]
struct Batch {
    space: SpaceId,
    bytes: u64,
    count: usize,
    is_announced: bool,
}

/// The last few of something.
#[derive(Debug)]
struct Ring<T> {
    order: VecDeque<T>,
    set: BTreeSet<T>,
    most: usize,
}

impl<T: Ord + Copy> Ring<T> {
    fn new(most: usize) -> Self {
        Self {
            order: VecDeque::new(),
            set: BTreeSet::new(),
            most,
        }
    }

    fn insert(&mut self, item: T) {
        if !self.set.insert(item) {
            return;
        }
        self.order.push_back(item);
        if self.order.len() > self.most
            && let Some(old) = self.order.pop_front()
        {
            self.set.remove(&old);
        }
    }

    fn contains(&self, item: &T) -> bool {
        self.set.contains(item)
    }
}

impl Session {
    /// Opens the conversation; the first output is the hello.
    pub fn open(opening: Opening, view: &impl LogView, now: Instant) -> Self {
        let peer = opening.peer;
        let rows = view.spaces_for(peer);
        let haves = blobs::Haves::new(view, peer);
        let credit = u32::try_from(limits::ENTRY_CREDIT_BYTES).expect("4 MiB");
        let hello = Hello {
            version: message::VERSION,
            features: 0,
            role: opening.role,
            incarnation: opening.incarnation,
            credit,
            cookie: (!rows.is_empty()).then(|| list_digest(&rows)),
            have: haves.ours(),
            have_known: haves.known(),
        };
        let mut session = Self {
            peer,
            control: opening.control,
            hello: hello.clone(),
            greeted: false,
            closed: false,
            listed: false,
            out: VecDeque::from([Output::Send(Message::Hello(hello))]),
            spaces: BTreeMap::new(),
            next_ask: 0,
            asks: BTreeMap::new(),
            next_batch: 0,
            batches: BTreeMap::new(),
            announced: 0,
            granted: u64::from(credit),
            received: 0,
            freed: 0,
            stale: 0,
            progress: 0,
            unwanted: BTreeSet::new(),
            is_hungry: false,
            heard: now,
            now,
            plans: VecDeque::new(),
            gather: None,
            last_ask: None,
            allowance: 0,
            sent: 0,
            our_devices: BTreeMap::new(),
            their_devices: Vec::new(),
            seen: Ring::new(SEEN),
            past: Ring::new(PAST),
            haves,
            work_sent: 0,
            work_received: 0,
            settled_sent: None,
            settled_received: None,
            is_settled: false,
        };
        for (id, digest) in rows {
            let mut space = Space::new(digest);
            space.allowed = true;
            // As of the cookie, whether or not the peer turns out to have the same.
            space.told = Some(digest);
            session.spaces.insert(id, space);
        }
        session
    }

    /// The device at the other end.
    pub const fn peer(&self) -> DeviceId {
        self.peer
    }

    /// Whether neither side had anything left to get when last heard.
    pub const fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Whether the session is over.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether entries of a space are being got here, for [`LogView::is_pulled_elsewhere`] of other sessions.
    pub fn is_pulling(&self, space: SpaceId) -> bool {
        self.spaces
            .get(&space)
            .is_some_and(|space| space.ask.is_some() || space.batches > 0)
    }

    /// Whether the peer holds the same entries of a space, or those that this device held a while ago.
    ///
    /// Only then does the name of a blob mean the same on both sides: where one of the two does not
    /// know yet that a log forked, each calls a blob of its own branch by that name.
    pub fn names_alike(&self, space: SpaceId) -> bool {
        let state = self.spaces.get(&space);
        let said = state.and_then(|state| Some((state.mine, state.peer?)));
        said.is_some_and(|(mine, peer)| peer == mine || self.past.contains(&(space, peer)))
    }

    /// Feeds the session one event.
    pub fn handle(&mut self, input: Input, view: &impl LogView, now: Instant) {
        if self.closed {
            return;
        }
        self.now = now;
        let result = match input {
            Input::Message(message) => self.message(message, view, now),
            Input::Malformed => Err(CloseReason::Malformed),
            Input::Forged => Err(CloseReason::BadEntry),
            Input::Committed { batch, verdicts } => self.committed(batch, &verdicts, view, now),
            Input::LocalNews(news) => {
                self.local_news(&news, view, now);
                Ok(())
            }
            Input::Tick => {
                self.refresh(view, now);
                self.check_patience(now)
            }
            other => {
                self.pass(other);
                Ok(())
            }
        };
        let result = result.and_then(|()| {
            if self.greeted {
                self.ask_on(view, now);
                self.name_again(now);
                self.tell();
                self.offer_opened(view);
            }
            if self.out.len() > OUTPUTS {
                Err(CloseReason::TooMuch)
            } else {
                Ok(())
            }
        });
        if let Err(reason) = result {
            self.close(reason);
        }
    }

    /// Takes the next thing to do, or `None` when the session waits for input.
    ///
    /// Entries and bitmaps are read from `view` only here, one frame at a time: a
    /// caller that polls while its writer has room holds no more than that.
    pub fn poll(&mut self, view: &impl LogView) -> Option<Output> {
        loop {
            if let Some(output) = self.out.pop_front() {
                if let Output::Send(message) = &output {
                    self.work_sent += u64::from(is_work(message));
                }
                return Some(output);
            }
            if self.closed || !self.greeted {
                return None;
            }
            if !self.answer(view) && !self.show_blobs(view) && !self.settle() {
                return None;
            }
        }
    }

    /// When the session next needs [`Input::Tick`], `None` while it waits for nothing.
    pub fn deadline(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        if !self.greeted || self.is_owed() {
            return Some(self.heard + PATIENCE)
                .into_iter()
                .chain(self.ask_again_at())
                .min();
        }
        self.ask_again_at()
    }

    fn close(&mut self, reason: CloseReason) {
        // What was received before stays to be committed; what was to be said is said no more.
        self.out.retain(|output| !matches!(output, Output::Send(_)));
        if !matches!(reason, CloseReason::Peer(_)) {
            self.out.push_back(Output::Send(Message::Close(Close {
                code: reason.code(),
            })));
        }
        self.out.push_back(Output::Close(reason));
        self.closed = true;
    }

    fn send(&mut self, message: Message) {
        self.out.push_back(Output::Send(message));
    }

    fn message(
        &mut self,
        message: Message,
        view: &impl LogView,
        now: Instant,
    ) -> Result<(), CloseReason> {
        self.work_received += u64::from(is_work(&message));
        match message {
            Message::Close(Close { code }) => return Err(CloseReason::Peer(code)),
            Message::Hello(hello) => return self.hello(&hello, view, now),
            _ if !self.greeted => return Err(CloseReason::Order),
            Message::Spaces(spaces) => return self.peer_spaces(&spaces, view),
            Message::Devices(devices) => return self.peer_devices(&devices),
            Message::Heads(heads) => return self.asked(heads, view),
            Message::Entries(entries) => return self.entries(entries, now),
            Message::Sent(sent) => return self.answered(&sent, view, now),
            Message::Refused(refused) => self.refused(refused.ask, now),
            Message::Credit(Credit { total }) => self.allowance = self.allowance.max(total),
            Message::Announce(Announce { entry }) => return self.announced(entry, view),
            Message::Settled(Settled { seen }) => {
                self.settled_received = self.settled_received.max(Some(seen));
            }
            Message::HaveDigests(digests) => self.peer_have_digests(&digests, view),
            Message::HavePull(pull) => self.have_pulled(&pull),
            Message::Have(have) => return self.peer_has(have, view),
            Message::Room(Room { full }) => self.out.push_back(Output::PeerRoom { full }),
            Message::Gossip(gossip) => self.out.push_back(Output::Gossip(gossip)),
            Message::KeyPull(KeyPull { space, epoch }) if self.is_allowed(space) => {
                self.out.push_back(Output::KeyAsked { space, epoch });
            }
            Message::Key(Key { space, epoch, seal }) => {
                self.out.push_back(Output::KeyGiven { space, epoch, seal });
            }
            Message::HoldRequest(HoldRequest {
                space,
                ranges,
                until,
            }) if self.is_allowed(space) => {
                self.out.push_back(Output::HoldAsked {
                    space,
                    ranges,
                    until,
                });
            }
            Message::KeyPull(_) | Message::HoldRequest(_) | Message::Unknown(_) => {}
        }
        Ok(())
    }

    fn hello(
        &mut self,
        hello: &Hello,
        view: &impl LogView,
        now: Instant,
    ) -> Result<(), CloseReason> {
        if self.greeted {
            return Ok(());
        }
        if hello.version != message::VERSION {
            return Err(CloseReason::Version);
        }
        let credit = u64::from(hello.credit);
        if credit < u64::try_from(limits::ENTRY_CREDIT_BYTES_MIN).expect("small") {
            return Err(CloseReason::Malformed);
        }
        self.allowance = credit;
        self.greeted = true;
        self.heard = now;
        self.out.push_back(Output::PeerHello {
            role: hello.role,
            incarnation: hello.incarnation,
            features: hello.features,
        });
        // Both sides compare the same two values, so both come to the same answer.
        if hello.cookie.is_some() && hello.cookie == self.hello.cookie {
            self.listed = true;
            for space in self.spaces.values_mut() {
                space.peer = space.told;
                space.pulled = space.told;
            }
        } else {
            self.refresh(view, now);
            self.learn_endings(view);
            self.tell_all();
        }
        self.offer_blobs(hello, view);
        Ok(())
    }

    fn peer_devices(&mut self, devices: &Devices) -> Result<(), CloseReason> {
        let first = usize::from(devices.first);
        let known = self.their_devices.len();
        if first > known {
            return Err(CloseReason::Order);
        }
        let again = (known - first).min(devices.devices.len());
        let (old, new) = devices.devices.split_at(again);
        if self.their_devices[first..first + again] != *old {
            return Err(CloseReason::Order);
        }
        if known + new.len() > limits::SYNC_DEVICES {
            return Err(CloseReason::TooMuch);
        }
        self.their_devices.extend_from_slice(new);
        Ok(())
    }

    /// Numbers logs for the peer, and sends the names that it does not know yet.
    fn log_refs(&mut self, logs: impl Iterator<Item = LogId>) -> Vec<LogRef> {
        let first = self.our_devices.len();
        let mut new = Vec::new();
        let mut refs = Vec::new();
        for log in logs {
            let next = self.our_devices.len();
            let index = match self.our_devices.get(&log.device) {
                Some(index) => *index,
                // Beyond the limit a log is left out: the peer then counts as not holding it.
                None if next >= limits::SYNC_DEVICES => continue,
                None => {
                    let index = u16::try_from(next).expect("below the limit, which is below 2^16");
                    self.our_devices.insert(log.device, index);
                    new.push(log.device);
                    index
                }
            };
            refs.push(LogRef {
                device: index,
                inc: log.inc,
                branch: log.branch,
            });
        }
        if !new.is_empty() {
            let first = u16::try_from(first).expect("below the limit, which is below 2^16");
            self.send(Message::Devices(Devices {
                first,
                devices: new,
            }));
        }
        refs
    }

    fn peer_log(&self, space: SpaceId, log: &LogRef) -> Result<LogId, CloseReason> {
        let device = self
            .their_devices
            .get(usize::from(log.device))
            .ok_or(CloseReason::Order)?;
        Ok(LogId {
            space,
            device: *device,
            inc: log.inc,
            branch: log.branch,
        })
    }

    fn is_allowed(&self, space: SpaceId) -> bool {
        self.spaces.get(&space).is_some_and(|space| space.allowed)
    }

    /// What the caller wants said besides.
    fn pass(&mut self, input: Input) {
        match input {
            Input::Renamed(space) if self.is_allowed(space) => self.haves.opened(space),
            Input::Renamed(_) => {}
            Input::HaveChanged {
                log,
                added,
                removed,
            } => {
                if self.is_allowed(log.space) {
                    self.haves.change(log, &added, &removed);
                }
            }
            Input::AskKey { space, epoch } => self.send(Message::KeyPull(KeyPull { space, epoch })),
            Input::KeyFor { space, epoch, seal } => {
                if self.is_allowed(space) {
                    self.send(Message::Key(Key { space, epoch, seal }));
                }
            }
            Input::AskHold {
                space,
                mut ranges,
                until,
            } => {
                ranges.truncate(limits::HOLD_RANGES);
                self.send(Message::HoldRequest(HoldRequest {
                    space,
                    ranges,
                    until,
                }));
            }
            Input::Gossip(gossip) => {
                if gossip.space.is_none_or(|space| self.is_allowed(space)) {
                    self.send(Message::Gossip(gossip));
                }
            }
            Input::Room { full } => self.send(Message::Room(Room { full })),
            Input::Message(_)
            | Input::Malformed
            | Input::Forged
            | Input::Committed { .. }
            | Input::LocalNews(_)
            | Input::Tick => {}
        }
    }

    /// Whether the peer owes an answer that it is free to send.
    fn is_owed(&self) -> bool {
        let room = self.granted.saturating_sub(self.received);
        let entry = u64::try_from(limits::ENTRY_BYTES).expect("256 KiB");
        let list = self.greeted && !self.listed;
        list || (!self.asks.is_empty() && room >= entry)
    }

    fn check_patience(&mut self, now: Instant) -> Result<(), CloseReason> {
        let late = now.saturating_duration_since(self.heard) >= PATIENCE;
        if late && (!self.greeted || self.is_owed()) {
            return Err(CloseReason::Stalled);
        }
        Ok(())
    }

    /// Says that nothing is left, and notices when the peer has said so too.
    fn settle(&mut self) -> bool {
        let idle = self.listed
            && !self.is_hungry
            && self.asks.is_empty()
            && self.batches.is_empty()
            && self.plans.is_empty()
            && self.gather.is_none()
            && !self.is_unread();
        if !idle {
            self.is_settled = false;
            return false;
        }
        if self.settled_sent != Some(self.work_received) {
            self.settled_sent = Some(self.work_received);
            self.send(Message::Settled(Settled {
                seen: self.work_received,
            }));
            return true;
        }
        let settled = self
            .settled_received
            .is_some_and(|seen| seen >= self.work_sent);
        if settled && !self.is_settled {
            self.is_settled = true;
            self.out.push_back(Output::Settled);
            return true;
        }
        self.is_settled = settled;
        false
    }
}

/// Whether a frame can give its receiver something to do about entries.
const fn is_work(message: &Message) -> bool {
    matches!(
        message,
        Message::Spaces(_)
            | Message::Heads(_)
            | Message::Entries(_)
            | Message::Sent(_)
            | Message::Refused(_)
            | Message::Announce(_)
    )
}

/// The space that an entry names, read at its fixed place: version, suite and flags take three bytes.
fn space_of(entry: &EntryBytes) -> Option<SpaceId> {
    let bytes = entry.header.get(3..19)?;
    bytes.try_into().ok().map(SpaceId)
}

/// The id of an entry.
fn id_of(entry: &EntryBytes) -> EntryId {
    EntryId(*blake3::hash(&entry.header).as_bytes())
}
