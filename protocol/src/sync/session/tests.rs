//! Two sessions over logs in memory, wired back to back.

use std::collections::VecDeque;

use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::*;
use crate::{
    crypto::sign::Signature,
    id::{BranchId, EpochId},
    sync::{
        heads_digest,
        message::{Entries, Have, HaveMode, HaveRow, Heads, PREFIX_BYTES, Refused, Sent},
        tests::memory::{CONTROL, Draft, Memory, id},
    },
};

mod again;
mod converge;
mod endings;
mod hostile;
mod unread;

const A: usize = 0;
const B: usize = 1;

fn device(n: u8) -> DeviceId {
    DeviceId([n; 32])
}

fn album(n: u16) -> SpaceId {
    let mut bytes = [0xa1; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    SpaceId(bytes)
}

fn opening(peer: DeviceId) -> Opening {
    Opening {
        peer,
        control: CONTROL,
        role: PeerRole::Archive,
        incarnation: 7,
    }
}

/// One device with its session.
struct End {
    store: Memory,
    session: Session,
    /// Frames on their way to the other end.
    wire: VecDeque<Vec<u8>>,
    commits: VecDeque<(u64, Vec<EntryBytes>)>,
    sent_bytes: usize,
    sent: Vec<Message>,
    settled: u32,
    closed: Option<CloseReason>,
    other: Vec<Output>,
}

impl End {
    fn new(store: Memory, peer: DeviceId, now: Instant) -> Self {
        let session = Session::open(opening(peer), &store, now);
        Self {
            store,
            session,
            wire: VecDeque::new(),
            commits: VecDeque::new(),
            sent_bytes: 0,
            sent: Vec::new(),
            settled: 0,
            closed: None,
            other: Vec::new(),
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll(&self.store) {
            match output {
                Output::Send(message) => {
                    let frame = message.to_frame();
                    self.sent_bytes += frame.len();
                    self.sent.push(message);
                    self.wire.push_back(frame);
                }
                Output::Commit { batch, entries, .. } => self.commits.push_back((batch, entries)),
                Output::Settled => self.settled += 1,
                Output::Close(reason) => self.closed = Some(reason),
                Output::PeerHas { mode, rows, space } => {
                    if mode == HaveMode::Full {
                        self.store.peer_have.retain(|log, _| log.space != space);
                    }
                    for (log, bits) in rows {
                        let held = self.store.peer_have.entry(log).or_default();
                        match mode {
                            HaveMode::Removed => *held -= bits,
                            _ => *held |= bits,
                        }
                    }
                }
                other => self.other.push(other),
            }
        }
    }

    fn commit(&mut self, now: Instant) -> bool {
        let Some((batch, entries)) = self.commits.pop_front() else {
            return false;
        };
        let verdicts = entries
            .iter()
            .map(|entry| self.store.accept(entry))
            .collect();
        let input = Input::Committed { batch, verdicts };
        self.session.handle(input, &self.store, now);
        self.drain();
        true
    }

    fn count(&self, tag: u16) -> usize {
        self.sent
            .iter()
            .filter(|message| message.tag() == tag)
            .count()
    }
}

/// Two devices and the stream between them.
struct Pair {
    ends: [End; 2],
    now: Instant,
    steps: u64,
}

impl Pair {
    fn new(a: Memory, b: Memory) -> Self {
        let now = Instant::now();
        let ends = [End::new(a, device(2), now), End::new(b, device(1), now)];
        let mut pair = Self {
            ends,
            now,
            steps: 0,
        };
        pair.ends[A].drain();
        pair.ends[B].drain();
        pair
    }

    fn deliver(&mut self, to: usize) -> bool {
        let Some(frame) = self.ends[1 - to].wire.pop_front() else {
            return false;
        };
        let message = Message::from_frame(&frame[PREFIX_BYTES..]).unwrap();
        self.input(to, Input::Message(message));
        true
    }

    fn input(&mut self, to: usize, input: Input) {
        let end = &mut self.ends[to];
        end.session.handle(input, &end.store, self.now);
        end.drain();
    }

    /// One step of any kind; false when all is quiet.
    fn step(&mut self, choice: u64) -> bool {
        self.steps += 1;
        for turn in 0..4 {
            let done = match (choice + turn) % 4 {
                0 => self.deliver(A),
                1 => self.deliver(B),
                2 => self.ends[A].commit(self.now),
                _ => self.ends[B].commit(self.now),
            };
            if done {
                return true;
            }
        }
        false
    }

    /// Runs until nothing moves, deadlines included; more than `most` steps is a failure.
    fn run(&mut self, most: u64) {
        let mut seed = 9_u64;
        let mut ticks = 0;
        loop {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if self.step(seed >> 33) {
                assert!(self.steps <= most, "still moving after {most} steps");
                continue;
            }
            let deadline = |end: &End| end.session.deadline();
            let Some(next) = self.ends.iter().filter_map(deadline).min() else {
                return;
            };
            ticks += 1;
            assert!(ticks <= most, "deadlines without end");
            self.now = self.now.max(next);
            self.input(A, Input::Tick);
            self.input(B, Input::Tick);
        }
    }

    fn write(&mut self, at: usize, space: SpaceId, by: u8, body: usize) -> EntryId {
        let entry = self.ends[at]
            .store
            .write(space, device(by), vec![], false, body);
        self.news(at, &[id(&entry)]);
        id(&entry)
    }

    fn news(&mut self, at: usize, ids: &[EntryId]) {
        let store = &self.ends[at].store;
        let news = ids.iter().map(|id| {
            let (log, seq) = store.locate(*id).unwrap();
            News { log, seq, id: *id }
        });
        let news = news.collect();
        self.input(at, Input::LocalNews(news));
    }

    fn assert_converged(&self) {
        assert_eq!(self.ends[A].closed, None);
        assert_eq!(self.ends[B].closed, None);
        assert!(self.ends[A].store.ids() == self.ends[B].store.ids());
        assert!(self.ends[A].session.is_settled());
        assert!(self.ends[B].session.is_settled());
    }

    fn bytes(&self) -> usize {
        self.ends[A].sent_bytes + self.ends[B].sent_bytes
    }
}

/// The same albums, each with entries of three devices.
fn library(albums: u16, entries: u32) -> Memory {
    let mut store = Memory::default();
    let genesis = id(&store.write(CONTROL, device(1), vec![], true, 200));
    store.write(CONTROL, device(2), vec![genesis], true, 200);
    for n in 0..albums {
        let start = id(&store.write(album(n), device(1), vec![genesis], true, 300));
        store.write(album(n), device(2), vec![start], true, 100);
        for _ in 0..entries {
            store.write(album(n), device(3), vec![], false, 500);
        }
    }
    store
}

#[test]
fn two_that_agree_exchange_next_to_nothing() {
    let mut pair = Pair::new(library(100, 3), library(100, 3));
    pair.run(100);
    pair.assert_converged();
    assert!(pair.bytes() <= 200, "{} bytes", pair.bytes());
    assert_eq!(pair.ends[A].store.reads.get(), 0);
}

#[test]
fn a_new_device_gets_everything_control_first() {
    let mut pair = Pair::new(library(20, 30), Memory::default());
    pair.run(2000);
    pair.assert_converged();
    let asked: Vec<SpaceId> = pair.ends[B]
        .sent
        .iter()
        .filter_map(|message| match message {
            Message::Heads(heads) => Some(heads.space),
            _ => None,
        })
        .collect();
    assert_eq!(asked[0], CONTROL);
    assert_eq!(asked.len(), 21, "each space is asked for once");
}

#[test]
fn albums_wait_until_the_control_space_is_committed() {
    let mut pair = Pair::new(library(2, 1), Memory::default());
    while pair.deliver(A) || pair.deliver(B) {}
    assert_eq!(
        pair.ends[B].count(4),
        1,
        "only the control space was asked for"
    );
    assert!(!pair.ends[B].session.is_settled());
    pair.run(200);
    pair.assert_converged();
}

#[test]
fn thousands_of_entries_pass_within_the_credit() {
    let mut store = library(1, 0);
    for n in 0..3000_u32 {
        let by = device(3 + u8::try_from(n % 4).unwrap());
        store.write(album(0), by, vec![], n % 7 == 0, 4000);
    }
    let mut pair = Pair::new(store, Memory::default());
    let mut in_flight = 0;
    let mut most = 0;
    for turn in 0..20_000 {
        // The receiver commits only now and then.
        let moved =
            pair.deliver(A) | pair.deliver(B) | (turn % 3 == 0 && pair.ends[B].commit(pair.now));
        in_flight = pair.ends[B]
            .commits
            .iter()
            .flat_map(|(_, batch)| batch)
            .map(EntryBytes::size)
            .sum();
        most = most.max(in_flight);
        if !moved && turn % 3 == 0 {
            break;
        }
    }
    assert_eq!(in_flight, 0);
    pair.assert_converged();
    assert!(most <= limits::ENTRY_CREDIT_BYTES, "{most} in flight");
    assert!(
        most > limits::ENTRY_CREDIT_BYTES / 2,
        "the credit was used: {most}"
    );
}

#[test]
fn nothing_is_sent_beyond_the_credit_before_it_is_granted_again() {
    let mut store = library(1, 0);
    for _ in 0..2000 {
        store.write(album(0), device(3), vec![], false, 4000);
    }
    let mut pair = Pair::new(store, Memory::default());
    // Control first, then the receiver's disk hangs.
    while pair.ends[B].count(4) < 2 {
        pair.deliver(A);
        pair.deliver(B);
        pair.ends[B].commit(pair.now);
    }
    while pair.deliver(A) || pair.deliver(B) {}
    let held: usize = pair.ends[B]
        .commits
        .iter()
        .flat_map(|(_, batch)| batch)
        .map(EntryBytes::size)
        .sum();
    assert!(held <= limits::ENTRY_CREDIT_BYTES && held > limits::ENTRY_CREDIT_BYTES - 8192);
    pair.run(2000);
    pair.assert_converged();
}

#[test]
fn both_sides_may_lack_something() {
    let (mut a, mut b) = (library(3, 2), library(3, 2));
    for _ in 0..50 {
        a.write(album(0), device(1), vec![], false, 100);
        b.write(album(0), device(2), vec![], false, 100);
        b.write(album(7), device(2), vec![], false, 100);
    }
    let mut pair = Pair::new(a, b);
    pair.run(500);
    pair.assert_converged();
}

#[test]
fn one_new_photo_is_announced_once_and_acknowledged() {
    let mut pair = Pair::new(library(100, 3), library(100, 3));
    pair.run(100);
    let before = pair.bytes();
    let new = pair.write(A, album(5), 1, 3000);
    pair.run(200);
    pair.assert_converged();
    assert!(pair.ends[B].store.holds(new));
    assert_eq!(pair.ends[A].count(9), 1);
    assert_eq!(pair.ends[B].count(9), 0, "it does not come back");
    assert_eq!(
        pair.ends[A].count(4) + pair.ends[B].count(4),
        0,
        "nobody had to ask"
    );
    assert!(
        pair.bytes() - before < 3000 + 400,
        "{} bytes",
        pair.bytes() - before
    );
    // News that came through this session is not news to the peer.
    pair.news(B, &[new]);
    pair.run(300);
    assert_eq!(pair.ends[B].count(9), 0);
    assert_eq!(pair.ends[A].settled, 2);
}

#[test]
fn an_import_in_full_swing_is_announced_without_asking() {
    let mut pair = Pair::new(library(2, 3), library(2, 3));
    pair.run(100);
    for _ in 0..30 {
        pair.write(A, album(0), 1, 800);
        pair.step(1);
    }
    pair.run(1000);
    pair.assert_converged();
    assert_eq!(pair.ends[A].count(9), 30);
    assert_eq!(pair.ends[B].count(4), 0, "the receiver never had to ask");
}

#[test]
fn an_entry_too_large_to_announce_is_asked_for() {
    let mut pair = Pair::new(library(2, 3), library(2, 3));
    pair.run(100);
    pair.write(A, album(1), 1, limits::ANNOUNCE_INLINE_BYTES + 1);
    pair.run(300);
    pair.assert_converged();
    assert_eq!((pair.ends[A].count(9), pair.ends[B].count(4)), (0, 1));
}

#[test]
fn a_space_that_is_new_during_the_session_reaches_the_peer() {
    let mut pair = Pair::new(library(2, 3), library(2, 3));
    pair.run(100);
    let first = id(&pair.ends[A]
        .store
        .write(album(9), device(1), vec![], true, 300));
    pair.news(A, &[first]);
    pair.run(300);
    pair.assert_converged();
}

#[test]
fn what_happens_while_greeting_is_not_missed() {
    for cookies in [true, false] {
        let b = if cookies {
            library(2, 3)
        } else {
            library(2, 2)
        };
        let mut pair = Pair::new(library(2, 3), b);
        pair.write(A, album(0), 1, 100);
        pair.write(B, album(1), 2, 100);
        pair.run(400);
        pair.assert_converged();
    }
}

#[test]
fn a_peer_learns_nothing_of_a_space_that_is_not_for_it() {
    let mut a = library(3, 2);
    let secret = album(2);
    a.write(secret, device(1), vec![], false, 100);
    a.denied.insert((device(2), secret));
    let mut pair = Pair::new(a, library(1, 2));
    pair.run(300);
    let id = pair.write(A, secret, 1, 10);
    pair.input(
        A,
        Input::HaveChanged {
            log: LogId {
                space: secret,
                device: device(1),
                inc: 1,
                branch: BranchId::ZERO,
            },
            added: RoaringBitmap::from_iter([1]),
            removed: RoaringBitmap::new(),
        },
    );
    pair.run(600);
    assert!(!pair.ends[B].store.holds(id));
    assert!(pair.ends[A].session.is_settled());
    for message in &pair.ends[A].sent {
        let bytes = message.to_frame();
        assert!(
            !bytes.windows(16).any(|part| part == secret.0),
            "{message:?}"
        );
    }
    // Asking by name is declined in the same words as for a space that does not exist.
    for (ask, space) in [(0, secret), (1, album(77))] {
        let ask = ask + u32::try_from(pair.ends[B].count(4)).unwrap();
        let heads = Heads {
            ask,
            space,
            rows: vec![],
            more: false,
        };
        pair.input(A, Input::Message(Message::Heads(heads)));
        assert!(
            pair.ends[A]
                .sent
                .contains(&Message::Refused(Refused { ask }))
        );
    }
    assert_eq!(pair.ends[A].closed, None);
}

#[test]
fn access_that_ends_stops_an_answer() {
    let mut a = library(1, 0);
    for _ in 0..3000 {
        a.write(album(0), device(3), vec![], false, 4000);
    }
    let mut pair = Pair::new(a, Memory::default());
    while pair.ends[B].store.len() < 500 {
        pair.deliver(A);
        pair.deliver(B);
        pair.ends[B].commit(pair.now);
    }
    pair.ends[A].store.denied.insert((device(2), album(0)));
    let news = pair.write(A, CONTROL, 1, 10);
    pair.run(2000);
    assert!(pair.ends[B].store.holds(news));
    assert!(pair.ends[B].store.len() < 2600);
    assert_eq!(pair.ends[A].count(7), 1);
    assert_eq!((pair.ends[A].closed, pair.ends[B].closed), (None, None));
    // Given back, the rest follows.
    pair.ends[A].store.denied.clear();
    pair.write(A, CONTROL, 1, 10);
    pair.run(6000);
    pair.assert_converged();
}

#[test]
fn a_space_begun_from_a_peer_of_unknown_standing_is_completed() {
    let mut a = library(1, 0);
    let mut b = library(1, 0);
    for n in 0..20 {
        let entry = a.write(album(4), device(1), vec![], n == 0, 100);
        if n < 5 {
            b.accept(&entry);
        }
    }
    // B does not know yet that A may replicate the album.
    b.denied.insert((device(1), album(4)));
    let mut pair = Pair::new(a, b);
    pair.run(500);
    assert!(pair.ends[B].store.ids() == pair.ends[A].store.ids());
    let rows: Vec<_> = pair.ends[B]
        .sent
        .iter()
        .filter_map(|message| match message {
            Message::Heads(heads) if heads.space == album(4) => Some(heads.rows.len()),
            _ => None,
        })
        .collect();
    assert_eq!(rows, [0], "and it was not told what B holds");
}

#[test]
fn entries_that_wait_are_asked_for_again_when_something_came() {
    let (mut a, mut b) = (library(1, 1), library(1, 1));
    // An album entry of A's that depends on a control entry which A's peer gets later, from elsewhere.
    let mut other = library(1, 1);
    let missing = other.write(CONTROL, device(3), vec![], true, 10);
    a.accept(&missing);
    a.write(album(0), device(1), vec![id(&missing)], true, 10);
    a.denied.insert((device(2), CONTROL));
    b.denied.insert((device(1), CONTROL));
    let mut pair = Pair::new(a, b);
    pair.run(300);
    assert_eq!(pair.ends[B].store.len() + 2, pair.ends[A].store.len());
    let asks = pair.ends[B].count(4);
    // Nothing new: no more asks, whatever time passes.
    pair.now += Duration::from_secs(1000);
    pair.input(B, Input::Tick);
    pair.run(600);
    assert_eq!(pair.ends[B].count(4), asks);
    pair.ends[B].store.accept(&missing);
    pair.news(B, &[id(&missing)]);
    pair.run(900);
    assert!(pair.ends[A].store.ids() == pair.ends[B].store.ids());
}

#[test]
fn unwanted_logs_are_not_sent_again() {
    let mut b = library(1, 0);
    b.unwanted.insert(device(3));
    let mut pair = Pair::new(library(1, 50), b);
    pair.run(300);
    let reads = pair.ends[A].store.reads.get();
    for _ in 0..10 {
        pair.write(A, album(0), 1, limits::ANNOUNCE_INLINE_BYTES);
        pair.run(3000);
    }
    assert_eq!(pair.ends[B].store.len() + 50, pair.ends[A].store.len());
    assert!(pair.ends[A].store.reads.get() - reads <= 20);
    assert!(pair.ends[A].session.is_settled() && pair.ends[B].session.is_settled());
}

#[test]
fn a_space_that_another_session_gets_is_left_to_it_for_a_while() {
    let mut b = Memory::default();
    b.elsewhere.insert(CONTROL);
    let mut pair = Pair::new(library(1, 5), b);
    while pair.step(0) {}
    assert_eq!(pair.ends[B].count(4), 0);
    assert!(!pair.ends[B].session.is_settled());
    let begun = pair.now;
    pair.run(500);
    pair.assert_converged();
    assert!(pair.now - begun >= Duration::from_secs(10));
}

#[test]
fn every_frame_may_come_twice() {
    let (mut a, mut b) = (library(3, 2), library(2, 5));
    converge::fork(&mut a, 9, 10, 10, 1);
    converge::fork(&mut b, 9, 10, 20, 2);
    let mut pair = Pair::new(a, b);
    let mut new = 0;
    for turn in 0..5000_u64 {
        for to in [A, B] {
            if let Some(frame) = pair.ends[1 - to].wire.front().cloned() {
                let message = Message::from_frame(&frame[PREFIX_BYTES..]).unwrap();
                pair.deliver(to);
                for _ in 0..turn % 5 {
                    pair.input(to, Input::Message(message.clone()));
                }
            }
            pair.ends[to].commit(pair.now);
        }
        if turn % 40 == 0 && new < 6 {
            new += 1;
            pair.write(A, album(0), 1, 50);
        }
    }
    assert!(
        pair.ends.iter().all(|end| end.wire.is_empty()),
        "it came to rest"
    );
    assert_eq!(pair.ends[A].closed.or(pair.ends[B].closed), None);
    assert!(pair.ends[A].store.ids() == pair.ends[B].store.ids());
}

#[test]
fn blobs_are_told_once_then_by_change() {
    let log = |n: u16| LogId {
        space: album(n),
        device: device(3),
        inc: 1,
        branch: BranchId::ZERO,
    };
    let (mut a, b) = (library(4, 3), library(4, 3));
    for n in 0..3 {
        a.have.insert(log(n), RoaringBitmap::from_iter([1, 2, 3]));
    }
    let mut pair = Pair::new(a, b);
    pair.run(200);
    assert_eq!(pair.ends[B].store.peer_have, pair.ends[A].store.have);
    let change = |added: &[u32], removed: &[u32]| Input::HaveChanged {
        log: log(3),
        added: added.iter().copied().collect(),
        removed: removed.iter().copied().collect(),
    };
    pair.input(A, change(&[7, 8], &[]));
    pair.input(A, change(&[9], &[7]));
    pair.ends[A]
        .store
        .have
        .insert(log(3), RoaringBitmap::from_iter([8, 9]));
    pair.run(400);
    assert_eq!(pair.ends[B].store.peer_have, pair.ends[A].store.have);
    // The next session begins where this one ended.
    let [a, b] = pair.ends;
    let mut again = Pair::new(a.store, b.store);
    again.run(100);
    again.assert_converged();
    assert!(again.bytes() <= 200, "{} bytes", again.bytes());
    // What changed in between is all that is told.
    let [mut a, b] = again.ends;
    a.store
        .have
        .insert(log(1), RoaringBitmap::from_iter([1, 2]));
    let mut third = Pair::new(a.store, b.store);
    third.run(100);
    assert_eq!(third.ends[B].store.peer_have, third.ends[A].store.have);
    assert_eq!(third.ends[A].count(17), 1);
}

#[test]
fn blobs_of_a_space_shared_during_the_session_are_told() {
    let log = LogId {
        space: album(1),
        device: device(3),
        inc: 1,
        branch: BranchId::ZERO,
    };
    let mut a = library(2, 3);
    a.have.insert(log, RoaringBitmap::from_iter([0, 1, 2]));
    a.denied.insert((device(2), album(1)));
    let mut pair = Pair::new(a, library(1, 3));
    pair.run(200);
    assert!(pair.ends[B].store.peer_have.is_empty());
    pair.ends[A].store.denied.clear();
    pair.input(A, Input::Tick);
    pair.run(400);
    pair.assert_converged();
    assert_eq!(pair.ends[B].store.peer_have, pair.ends[A].store.have);
}

#[test]
fn blobs_that_come_before_their_space_is_told_are_not_missed() {
    let (mut a, b) = (library(1, 3), library(1, 3));
    let first = id(&a.write(album(9), device(1), vec![], true, 300));
    let mut pair = Pair::new(a, b);
    let log = LogId {
        space: album(9),
        device: device(1),
        inc: 1,
        branch: BranchId::ZERO,
    };
    let bits = RoaringBitmap::from_iter([4]);
    let row = |device| {
        HaveRow::new(
            LogRef {
                device,
                inc: 1,
                branch: BranchId::ZERO,
            },
            &bits,
        )
    };
    let early = [
        Message::Devices(Devices {
            first: 0,
            devices: vec![device(1)],
        }),
        Message::Have(Have {
            space: album(9),
            mode: HaveMode::Added,
            rows: vec![row(0)],
        }),
    ];
    // Only the greeting of the other end is delivered before.
    assert!(pair.deliver(B));
    for message in early {
        pair.input(B, Input::Message(message));
    }
    assert_eq!(pair.ends[B].closed, None);
    assert_eq!(pair.ends[B].store.peer_have.get(&log), Some(&bits));
    assert!(!pair.ends[B].store.holds(first));
}

#[test]
fn keys_and_holds_are_passed_for_shared_spaces_alone() {
    let mut a = library(2, 0);
    a.denied.insert((device(2), album(1)));
    let mut pair = Pair::new(a, library(2, 0));
    pair.run(200);
    pair.ends[A].other.clear();
    for space in [album(0), album(1)] {
        pair.input(
            B,
            Input::AskKey {
                space,
                epoch: EpochId([1; 32]),
            },
        );
        pair.input(
            B,
            Input::AskHold {
                space,
                ranges: vec![],
                until: 1,
            },
        );
    }
    pair.run(300);
    assert_eq!(
        pair.ends[A].other,
        [
            Output::KeyAsked {
                space: album(0),
                epoch: EpochId([1; 32])
            },
            Output::HoldAsked {
                space: album(0),
                ranges: vec![],
                until: 1
            },
        ]
    );
}
