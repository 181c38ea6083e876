//! The world of one seed: virtual time, one queue of events, a network and its faults.
//!
//! A stream between two devices is reliable and in order, as TCP under Noise is:
//! what can happen to it is delay, and being cut at any frame, noticed by either
//! end in its own time. Reordering happens across connections.

mod network;
mod power;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use heirloom_protocol::{
    album::asset::BlobRef,
    id::{DeviceId, LogId},
    sync::{
        blob::Many,
        message::Message,
        session::{Input, Output, Verdict},
    },
    time::Timestamp,
};

use crate::{
    check::Ledger,
    device::{Device, Moment, Stage, Verified},
    dice::Dice,
    fate::{Counts, Image},
    faults::{Faults, Sabotage},
    story::{Draft, Habits},
};

/// The wall clock of a world's first moment, Unix milliseconds.
const START: u64 = 1_700_000_000_000;
/// Frames under way in one direction before a writer has no room.
const ROOM: usize = 24;
/// Events of a world that comes to an end.
const STEPS: u64 = 300_000;
/// How long after a change of the roster a node looks for devices that lack keys.
const TEND_AFTER: u64 = 1_000;

/// Something that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A person does something.
    Story,
    /// A device calls others.
    Dial(usize, u64),
    /// A frame arrives at one end of a connection.
    Deliver(u64, usize),
    /// One end of a connection notices that it is gone.
    Lost(u64, usize),
    /// A session's deadline.
    Tick(usize, u64, DeviceId),
    /// A commit is durable.
    Done(usize, u64),
    /// The blobs of a job are durable.
    Synced(usize, u64, u64),
    /// Keys are given to who lacks them, held entries are let go.
    Upkeep(usize, u64),
    /// A device is switched on.
    Start(usize),
    /// The network is whole again.
    Mend,
    /// The network parts or heals, so many times more.
    Flap(u8),
    /// A disk has room again.
    Room(usize),
    /// A device that was away is near again.
    Back(usize),
    /// A person does something on this device.
    Act(usize),
}

/// What travels between two devices.
#[derive(Clone, Debug)]
pub(crate) enum Wire {
    /// A frame of the session.
    Frame(Vec<u8>),
    /// A request for blobs.
    Ask(Vec<u8>),
    /// An answer to one: head and payload.
    Answer(Vec<u8>),
    /// The stream ends in order.
    End,
}

/// A connection; the frames under way to each of its ends.
struct Conn {
    ends: [usize; 2],
    flight: [VecDeque<Wire>; 2],
    last: [u64; 2],
    delay: u64,
    dead: bool,
}

/// One end of a connection, as its device sees it.
pub(crate) struct Line {
    pub(crate) conn: u64,
    pub(crate) side: usize,
    pub(crate) asking: Option<(u32, Many)>,
    pub(crate) next_id: u32,
    stalled: bool,
}

/// What a device has still to look at.
pub(crate) enum Todo {
    Wire(u64, DeviceId, Wire),
    Tick(DeviceId),
    Say(Box<Draft>),
    Came(Vec<BlobRef>),
    Upkeep,
}

/// What waits for blobs to be durable.
pub(crate) enum Job {
    Say(Box<Draft>),
    Fetched(Vec<BlobRef>),
}

/// A commit under way and what follows it.
struct Pending {
    stage: Stage,
    then: Then,
}

/// What follows a commit.
pub(crate) enum Then {
    Nothing,
    Answer(DeviceId, u64, Vec<Verdict>),
    Ack,
}

/// A device in its place in the world.
pub(crate) struct Seat {
    pub(crate) device: Device,
    /// How far its clock is off, in milliseconds.
    pub(crate) skew: i64,
    /// Counts starts, so that what an earlier life had planned does not happen.
    pub(crate) life: u64,
    pending: Option<Pending>,
    inbox: VecDeque<Todo>,
    dirty: BTreeSet<DeviceId>,
    pub(crate) lines: BTreeMap<DeviceId, Line>,
    ticks: BTreeMap<DeviceId, u64>,
    jobs: BTreeMap<u64, Job>,
    /// Whether it is about to look who lacks keys.
    pub(crate) upkeep: bool,
    /// Whether its person carries it away from any network.
    pub(crate) away: bool,
    /// Until when nothing that is sent to it arrives.
    pub(crate) deaf_until: u64,
    /// Whether nothing more can be written.
    pub(crate) full: bool,
    /// Of a device that signs for two: which half of the others it shows itself to.
    pub(crate) face: Option<usize>,
    /// It is never switched on again.
    pub(crate) is_gone: bool,
    pub(crate) images: Vec<Image>,
    /// The latest that its clock ever showed.
    pub(crate) latest: Timestamp,
}

impl Seat {
    pub(crate) fn new(device: Device, skew: i64) -> Self {
        Self {
            device,
            skew,
            life: 0,
            pending: None,
            inbox: VecDeque::new(),
            dirty: BTreeSet::new(),
            lines: BTreeMap::new(),
            ticks: BTreeMap::new(),
            jobs: BTreeMap::new(),
            upkeep: false,
            away: false,
            deaf_until: 0,
            full: false,
            face: None,
            is_gone: false,
            images: Vec::new(),
            latest: Timestamp(0),
        }
    }

    pub(crate) fn inbox_push(&mut self, todo: Todo) {
        self.inbox.push_back(todo);
    }

    /// Whether it can be asked for something at once.
    pub(crate) fn is_idle(&self) -> bool {
        self.device.is_on() && self.pending.is_none()
    }
}

/// Everything.
pub(crate) struct World {
    pub(crate) dice: Dice,
    /// Milliseconds since the beginning.
    pub(crate) now: u64,
    epoch: Instant,
    queue: BTreeMap<(u64, u64), Event>,
    planned: u64,
    pub(crate) seats: Vec<Seat>,
    conns: BTreeMap<u64, Conn>,
    pub(crate) groups: Vec<u8>,
    pub(crate) verified: Verified,
    pub(crate) ledger: Ledger,
    pub(crate) faults: Faults,
    pub(crate) habits: Habits,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) failure: Option<String>,
    recorded: Vec<(DeviceId, DeviceId, Vec<u8>)>,
    pub(crate) story_left: u32,
    pub(crate) trace: bool,
    pub(crate) steps: u64,
    pub(crate) counts: Counts,
    /// Pairs that met and hold two sides of a fork, and how often they came to rest since.
    contacts: BTreeMap<(usize, usize, LogId), u32>,
}

impl World {
    pub(crate) fn new(
        dice: Dice,
        faults: Faults,
        habits: Habits,
        sabotage: Option<Sabotage>,
        trace: bool,
    ) -> Self {
        Self {
            dice,
            habits,
            now: 0,
            // Only differences count, so the world is the same whenever it is run.
            epoch: Instant::now() + Duration::from_secs(3600),
            queue: BTreeMap::new(),
            planned: 0,
            seats: Vec::new(),
            conns: BTreeMap::new(),
            groups: Vec::new(),
            verified: Verified::default(),
            ledger: Ledger::default(),
            faults,
            sabotage,
            failure: None,
            recorded: Vec::new(),
            story_left: 0,
            trace,
            steps: 0,
            counts: Counts::default(),
            contacts: BTreeMap::new(),
        }
    }

    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.failure.get_or_insert(what);
    }

    /// Says what happens, in the column of its device.
    pub(crate) fn note(&self, at: usize, text: &dyn std::fmt::Display) {
        if self.trace {
            let (now, indent) = (self.now, at * 12);
            let label = self.seats.get(at).map_or("", |seat| &seat.device.label);
            eprintln!("{now:>10} {:indent$}{label}: {text}", "");
        }
    }

    pub(crate) fn at(&mut self, when: u64, event: Event) {
        self.planned += 1;
        self.queue.insert((when.max(self.now), self.planned), event);
    }

    pub(crate) fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(crate) fn moment(&mut self, at: usize) -> Moment {
        let now = self.moment_at(self.seats[at].skew);
        self.seats[at].latest = self.seats[at].latest.max(now.wall);
        now
    }

    /// Now, by a clock that is off by `skew` milliseconds.
    pub(crate) fn moment_at(&self, skew: i64) -> Moment {
        let wall = i64::try_from(START + self.now).expect("far from the end of time");
        let wall = wall.saturating_add(skew).max(0);
        Moment {
            wall: Timestamp(u64::try_from(wall).expect("not negative")),
            mono: self.epoch + Duration::from_millis(self.now),
        }
    }

    /// Puts a device into the world; it is on.
    pub(crate) fn settle_in(&mut self, seat: Seat) -> usize {
        let at = self.seats.len();
        self.groups.push(0);
        self.seats.push(seat);
        self.awaken(at);
        at
    }

    /// Lets a device that is on begin to call others.
    fn awaken(&mut self, at: usize) {
        let life = self.seats[at].life;
        let delay = self.dice.range(50, 2_000);
        self.after(delay, Event::Dial(at, life));
        self.upkeep_soon(at);
    }

    /// Runs until nothing is due before `until`, or something is wrong.
    pub(crate) fn run(&mut self, until: u64) {
        while self.failure.is_none() {
            let Some((&(when, number), _)) = self.queue.first_key_value() else {
                break;
            };
            if when > until {
                break;
            }
            let event = self.queue.remove(&(when, number)).expect("found above");
            // A world that slept does late what was due meanwhile.
            self.now = self.now.max(when);
            self.steps += 1;
            if self.steps > STEPS {
                return self.fail("it goes round in circles");
            }
            self.happen(event);
        }
        self.now = self.now.max(until);
    }

    /// Runs the story to its end.
    pub(crate) fn run_story(&mut self) {
        while self.failure.is_none() && self.story_left > 0 {
            let next = self.queue.first_key_value().map(|(&(when, _), _)| when);
            self.run(next.unwrap_or(self.now).max(self.now));
        }
    }

    fn happen(&mut self, event: Event) {
        let is_past = |world: &Self, at: usize, life: u64| {
            world.seats[at].life != life || !world.seats[at].device.is_on()
        };
        match event {
            Event::Story => self.story_step(),
            Event::Start(at) => self.start(at),
            Event::Mend => self.groups.fill(0),
            Event::Flap(times) => self.flap(times),
            Event::Room(at) => self.has_room(at),
            Event::Back(at) => self.seats[at].away = false,
            Event::Act(at) => {
                if self.seats[at].device.is_member() {
                    self.person_acts(at);
                }
            }
            Event::Deliver(conn, side) => self.deliver(conn, side),
            Event::Lost(conn, side) => self.lost(conn, side),
            Event::Dial(at, life) if !is_past(self, at, life) => self.dial(at),
            Event::Tick(at, life, peer) if !is_past(self, at, life) => {
                self.seats[at].ticks.remove(&peer);
                self.seats[at].inbox.push_back(Todo::Tick(peer));
                self.wake(at);
            }
            Event::Done(at, life) if !is_past(self, at, life) => self.done(at),
            Event::Synced(at, life, job) if !is_past(self, at, life) => self.synced(at, job),
            Event::Upkeep(at, life) if !is_past(self, at, life) => {
                self.seats[at].upkeep = false;
                self.seats[at].inbox.push_back(Todo::Upkeep);
                self.wake(at);
            }
            Event::Dial(..)
            | Event::Tick(..)
            | Event::Done(..)
            | Event::Synced(..)
            | Event::Upkeep(..) => {}
        }
    }

    /// Works off what a device has to look at, until it must wait for its disk.
    pub(crate) fn wake(&mut self, at: usize) {
        while self.failure.is_none() && self.seats[at].is_idle() {
            let seat = &mut self.seats[at];
            if let Some(peer) = seat.dirty.first().copied() {
                self.pump(at, peer);
            } else if let Some(todo) = seat.inbox.pop_front() {
                self.attend(at, todo);
            } else {
                return;
            }
        }
    }

    fn attend(&mut self, at: usize, todo: Todo) {
        match todo {
            Todo::Wire(conn, peer, wire) => {
                let line = self.seats[at].lines.get(&peer);
                if line.is_some_and(|line| line.conn == conn) {
                    self.hear(at, peer, wire);
                }
            }
            Todo::Tick(peer) => self.feed(at, peer, Input::Tick),
            Todo::Say(draft) => self.speak(at, &draft),
            Todo::Came(blobs) => self.came(at, &blobs),
            Todo::Upkeep => {
                let now = self.moment(at);
                self.seats[at].device.release_held(now);
                if self.seats[at].device.is_whole() {
                    self.speak(at, &Draft::tend());
                }
            }
        }
    }

    /// Feeds a session and looks at what comes out of it as soon as there is time.
    pub(crate) fn feed(&mut self, at: usize, peer: DeviceId, input: Input) {
        let now = self.moment(at);
        self.seats[at].device.feed(peer, input, now);
        self.seats[at].dirty.insert(peer);
    }

    fn pump(&mut self, at: usize, peer: DeviceId) {
        loop {
            let Some(line) = self.seats[at].lines.get(&peer) else {
                self.seats[at].dirty.remove(&peer);
                return;
            };
            let (conn, side) = (line.conn, line.side);
            let under_way = self
                .conns
                .get(&conn)
                .map_or(0, |c| c.flight[1 - side].len());
            if under_way >= ROOM {
                let line = self.seats[at].lines.get_mut(&peer).expect("found above");
                line.stalled = true;
                self.seats[at].dirty.remove(&peer);
                return;
            }
            match self.seats[at].device.poll(peer) {
                None => break,
                Some(output) => self.output(at, peer, output),
            }
            if self.seats[at].pending.is_some() || self.failure.is_some() {
                return;
            }
        }
        self.seats[at].dirty.remove(&peer);
        self.plan_tick(at, peer);
        self.fetch(at, peer);
    }

    fn plan_tick(&mut self, at: usize, peer: DeviceId) {
        let Some(deadline) = self.seats[at].device.deadline(&peer) else {
            return;
        };
        let due = deadline.saturating_duration_since(self.epoch).as_millis();
        let due = u64::try_from(due).unwrap_or(u64::MAX).max(self.now + 1);
        let planned = self.seats[at].ticks.get(&peer);
        if planned.is_none_or(|planned| *planned > due) {
            self.seats[at].ticks.insert(peer, due);
            let life = self.seats[at].life;
            self.at(due, Event::Tick(at, life, peer));
        }
    }

    fn output(&mut self, at: usize, peer: DeviceId, output: Output) {
        match output {
            Output::Send(message) => {
                if self.sabotage == Some(Sabotage::Mute) && at == 0 {
                    return;
                }
                if self.seats[at].device.bad {
                    return self.send_badly(at, peer, &message);
                }
                if let Err(what) = self
                    .ledger
                    .may_send(&self.seats[at].device, &peer, &message)
                {
                    self.fail(what);
                }
                if let Some(text) = self.trace.then(|| crate::dump::frame(&message)).flatten() {
                    self.note(at, &format_args!("tells {}: {text}", peer.short()));
                }
                self.send(at, peer, Wire::Frame(message.to_frame()));
            }
            Output::Commit { batch, entries, .. } => {
                let now = self.moment(at);
                let device = &mut self.seats[at].device;
                let (mut stage, verdicts) = device.take(peer, entries, &mut self.verified, now);
                self.ledger.given(&peer, &device.id, &stage.records);
                self.note(at, &format_args!("takes {} entries", stage.records.len()));
                if self.sabotage == Some(Sabotage::LoseEntry) && at == 1 && self.now > 60_000 {
                    self.ledger.durable(at, &stage.records);
                    stage.records.pop();
                }
                if stage.is_empty() {
                    self.feed(at, peer, Input::Committed { batch, verdicts });
                } else {
                    self.commit(at, stage, Then::Answer(peer, batch, verdicts));
                }
            }
            Output::PeerHas { space, mode, rows } => {
                self.seats[at].device.peer_has(peer, space, mode, rows);
            }
            Output::KeyAsked { .. } => self.upkeep_soon(at),
            Output::Close(reason) => {
                self.note(at, &format_args!("closes: {reason:?}"));
                self.ledger.closed(reason);
                self.hang_up(at, peer);
            }
            Output::Settled => self.met(at, peer),
            Output::PeerHello { .. }
            | Output::PeerRoom { .. }
            | Output::KeyGiven { .. }
            | Output::HoldAsked { .. }
            | Output::Gossip(_) => {}
        }
    }

    /// A stage is durable: whoever waits for it hears of it.
    pub(crate) fn finish(&mut self, at: usize, stage: Stage, then: Then) {
        let now = self.moment(at);
        self.ledger.durable(at, &stage.records);
        if let Err(what) = self.ledger.blobs_are_here(&self.seats[at].device, &stage) {
            self.fail(what);
        }
        if matches!(then, Then::Ack) {
            self.ledger.wrote(at, &self.seats[at].device, &stage);
        }
        let (from, roster, albums) = (stage.from, stage.roster, stage.albums);
        let reload = stage.reload;
        let written = u64::try_from(stage.records.len()).expect("few");
        self.counts.entries += written;
        let told = self.seats[at].device.settle(stage, now);
        if let Then::Answer(peer, batch, verdicts) = then {
            self.feed(at, peer, Input::Committed { batch, verdicts });
        }
        for peer in self.seats[at].device.session_peers() {
            if Some(peer) != from && !told.entries.is_empty() {
                self.feed(at, peer, Input::LocalNews(told.entries.clone()));
            }
            for space in &told.renamed {
                self.feed(at, peer, Input::Renamed(*space));
            }
            for (log, added) in &told.blobs {
                let (log, added) = (*log, added.clone());
                let removed = roaring::RoaringBitmap::new();
                let input = Input::HaveChanged {
                    log,
                    added,
                    removed,
                };
                self.feed(at, peer, input);
            }
            self.seats[at].dirty.insert(peer);
        }
        if roster || albums {
            self.ledger.look(at, &self.seats[at].device, self.now);
            self.upkeep_soon(at);
        }
        if roster {
            self.guard_gate(at);
        }
        if reload {
            self.reload(at);
        }
    }

    /// Ends connections with whom is no longer let in, and has sessions look again.
    fn guard_gate(&mut self, at: usize) {
        for peer in self.seats[at].device.session_peers() {
            if self.seats[at].device.admits(&peer) {
                self.feed(at, peer, Input::Tick);
            } else {
                self.hang_up(at, peer);
            }
        }
    }

    /// Has what is being written durable at once.
    pub(crate) fn finish_now(&mut self, at: usize) {
        if let Some(pending) = self.seats[at].pending.take() {
            self.finish(at, pending.stage, pending.then);
        }
    }

    pub(crate) fn upkeep_soon(&mut self, at: usize) {
        // One that is off looks when it starts.
        if !self.seats[at].device.is_on() {
            return;
        }
        if !std::mem::replace(&mut self.seats[at].upkeep, true) {
            let life = self.seats[at].life;
            self.after(TEND_AFTER, Event::Upkeep(at, life));
        }
    }

    /// Writes blobs; the job goes on when they are durable.
    pub(crate) fn write_blobs(&mut self, at: usize, job: Job) {
        self.planned += 1;
        let number = self.planned;
        let early = self.sabotage == Some(Sabotage::BlobLate);
        let delay = if early { 0 } else { self.dice.range(1, 60) };
        self.seats[at].jobs.insert(number, job);
        let life = self.seats[at].life;
        self.after(delay, Event::Synced(at, life, number));
    }

    fn synced(&mut self, at: usize, number: u64) {
        let Some(job) = self.seats[at].jobs.remove(&number) else {
            return;
        };
        if self.seats[at].full {
            return self.no_room_for(at, &job);
        }
        let early = self.sabotage == Some(Sabotage::BlobLate);
        let disk = &mut self.seats[at].device.disk;
        let todo = match job {
            Job::Say(draft) => {
                if !early {
                    disk.sync_blobs(&draft.blob_ids());
                }
                Todo::Say(draft)
            }
            Job::Fetched(blobs) => {
                let ids: Vec<_> = blobs.iter().map(|blob| blob.id).collect();
                disk.sync_blobs(&ids);
                Todo::Came(blobs)
            }
        };
        self.seats[at].inbox.push_back(todo);
        self.wake(at);
    }
}

/// Reads a frame as the node does: its length first.
fn heirloom_frame(frame: &[u8]) -> Option<Message> {
    let (prefix, body) = frame.split_first_chunk()?;
    let length = Message::frame_len(*prefix).ok()?;
    if length != body.len() {
        return None;
    }
    Message::from_frame(body).ok()
}
