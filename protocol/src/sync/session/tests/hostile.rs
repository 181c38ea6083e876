//! Peers that break the protocol, and those that only dawdle.

use super::*;

/// What a hostile peer sends after the greeting, and what it gets for it.
fn hostile(messages: Vec<Message>) -> (Option<CloseReason>, Pair) {
    let mut pair = Pair::new(library(2, 2), library(2, 3));
    // B asks for nothing: all it lacks is A's, and the wire is cut.
    pair.deliver(A);
    pair.deliver(B);
    pair.deliver(A);
    pair.deliver(B);
    for message in messages {
        pair.input(A, Input::Message(message));
    }
    (pair.ends[A].closed, pair)
}

fn entries(ask: u32, part: u32, entries: Vec<EntryBytes>) -> Message {
    Message::Entries(Entries { ask, part, entries })
}

#[test]
fn each_breach_has_its_reason() {
    let mut source = library(2, 3);
    let wanted = source.write(album(0), device(3), vec![], false, 10);
    let foreign = source.write(album(1), device(3), vec![], false, 10);
    let heads = |ask, rows| {
        Message::Heads(Heads {
            ask,
            space: album(0),
            rows,
            more: false,
        })
    };
    let stray = LogRef {
        device: 99,
        inc: 1,
        branch: BranchId::ZERO,
    };
    let row = message::HeadRow {
        log: stray,
        seq: 1,
        hash: [0; 8],
    };
    let devices = Message::Devices(Devices {
        first: 5,
        devices: vec![],
    });
    let (closed, pair) = hostile(vec![]);
    assert_eq!(closed, None);
    assert_eq!(pair.ends[A].session.asks.len(), 2, "A asks for both albums");
    let ask = pair.ends[A].session.next_ask - 2;
    let sent = Message::Sent(Sent {
        ask: ask + 9,
        digest: [0; 16],
        forks: vec![],
    });
    let one = || vec![wanted.clone()];
    let cases = [
        (entries(ask + 2, 0, one()), CloseReason::Unasked),
        (entries(ask, 0, vec![foreign]), CloseReason::Unasked),
        (entries(ask, 1, one()), CloseReason::Order),
        (entries(ask, 0, vec![]), CloseReason::Order),
        (heads(1, vec![]), CloseReason::Order),
        (heads(0, vec![row]), CloseReason::Order),
        (devices, CloseReason::Order),
        (sent, CloseReason::Unasked),
        (Message::Close(Close { code: 5 }), CloseReason::Peer(5)),
    ];
    for (message, reason) in cases {
        let shown = format!("{message:?}");
        let (closed, pair) = hostile(vec![message]);
        assert_eq!(closed, Some(reason), "{shown}");
        assert!(pair.ends[A].session.is_closed());
        let told = pair.ends[A].sent.last()
            == Some(&Message::Close(Close {
                code: reason.code(),
            }));
        assert_eq!(told, !matches!(reason, CloseReason::Peer(_)));
    }
}

#[test]
fn entries_beyond_the_credit_or_forged_end_the_session() {
    let mut source = library(2, 3);
    let wanted = source.write(album(0), device(3), vec![], false, 10);
    let mut forged = wanted.clone();
    forged.signature = Signature([0xff; 64]);
    let big = source.write(
        album(0),
        device(3),
        vec![],
        false,
        limits::ENTRY_BYTES - 400,
    );
    let ask = hostile(vec![]).1.ends[A].session.next_ask - 2;
    let part = |part| entries(ask, part, vec![big.clone(), big.clone()]);
    assert_eq!(
        hostile((0..16).map(part).collect()).0,
        Some(CloseReason::OverCredit)
    );
    let (closed, mut pair) = hostile(vec![entries(ask, 0, vec![wanted, forged])]);
    assert_eq!(closed, None);
    while pair.ends[A].commit(pair.now) {}
    assert_eq!(pair.ends[A].closed, Some(CloseReason::BadEntry));
}

#[test]
fn a_statement_that_is_not_signed_ends_the_session() {
    let (closed, mut pair) = hostile(vec![]);
    assert_eq!(closed, None);
    pair.input(A, Input::Forged);
    assert_eq!(pair.ends[A].closed, Some(CloseReason::BadEntry));
    assert!(CloseReason::BadEntry.is_misbehaviour());
}

#[test]
fn a_flood_ends_the_session_or_is_dropped() {
    let device_flood = Devices {
        first: 0,
        devices: vec![device(1); limits::SYNC_DEVICES],
    };
    let more = Devices {
        first: u16::try_from(limits::SYNC_DEVICES).unwrap(),
        devices: vec![device(2)],
    };
    let (closed, _) = hostile(vec![Message::Devices(device_flood), Message::Devices(more)]);
    assert_eq!(closed, Some(CloseReason::TooMuch));

    let asks = (0..200)
        .map(|ask| {
            Message::Heads(Heads {
                ask,
                space: album(0),
                rows: vec![],
                more: false,
            })
        })
        .collect();
    // Answers leave at once while the wire has room; a reader that stops is cut off elsewhere.
    assert_eq!(hostile(asks).0, None);

    let rows = |from: u16| {
        let rows = (from..from + 10_000).map(|n| (album(n), [1; 16])).collect();
        Message::Spaces(message::Spaces { rows, more: true })
    };
    assert_eq!(
        hostile(vec![rows(0), rows(10_000)]).0,
        Some(CloseReason::TooMuch)
    );

    // Announcements beyond the bound are dropped; the space is asked for instead.
    let mut source = Memory::default();
    let flood: Vec<Message> = (0..1000)
        .map(|_| source.write(album(8), device(7), vec![], false, 20_000))
        .map(|entry| Message::Announce(Announce { entry }))
        .collect();
    let (closed, pair) = hostile(flood);
    assert_eq!(closed, None);
    assert_eq!(pair.ends[A].commits.len(), limits::ANNOUNCES_IN_FLIGHT);
}

#[test]
fn asks_without_a_reader_are_bounded() {
    let mut store = library(1, 0);
    for _ in 0..100 {
        store.write(album(0), device(3), vec![], false, 4000);
    }
    let now = Instant::now();
    let mut session = Session::open(opening(device(2)), &store, now);
    let mut other = Session::open(opening(device(1)), &Memory::default(), now);
    let Some(Output::Send(hello)) = other.poll(&Memory::default()) else {
        panic!()
    };
    session.handle(Input::Message(hello), &store, now);
    for ask in 0..200 {
        let heads = Heads {
            ask,
            space: album(0),
            rows: vec![],
            more: false,
        };
        session.handle(Input::Message(Message::Heads(heads)), &store, now);
    }
    assert!(session.is_closed());
    assert_eq!(
        store.reads.get(),
        0,
        "nothing was read for a peer that does not read"
    );
    let mut other = Session::open(opening(device(2)), &store, now);
    for _ in 0..3 {
        other.handle(Input::Malformed, &store, now);
    }
    let last = std::iter::from_fn(|| other.poll(&store)).last();
    assert_eq!(last, Some(Output::Close(CloseReason::Malformed)));
}

#[test]
fn silence_is_not_waited_for_without_end() {
    let store = library(1, 1);
    let now = Instant::now();
    let mut session = Session::open(opening(device(2)), &store, now);
    assert_eq!(session.deadline(), Some(now + PATIENCE));
    session.handle(Input::Tick, &store, now + PATIENCE);
    assert!(session.is_closed());
    // After the greeting, too.
    let mut pair = Pair::new(library(1, 1), Memory::default());
    while pair.ends[B].count(4) == 0 {
        pair.deliver(A);
        pair.deliver(B);
    }
    pair.now += PATIENCE;
    pair.input(B, Input::Tick);
    assert_eq!(pair.ends[B].closed, Some(CloseReason::Stalled));
    // Whoever has all it wants waits in peace.
    let mut pair = Pair::new(library(1, 1), library(1, 1));
    pair.run(100);
    assert_eq!(pair.ends[A].session.deadline(), None);
}

#[test]
fn another_version_and_a_tiny_credit_are_refused() {
    let store = library(1, 1);
    let now = Instant::now();
    for (version, credit, reason) in [
        (2, 4 << 20, CloseReason::Version),
        (1, 1000, CloseReason::Malformed),
    ] {
        let mut session = Session::open(opening(device(2)), &store, now);
        let mut hello = session.hello.clone();
        (hello.version, hello.credit) = (version, credit);
        session.handle(Input::Message(Message::Hello(hello)), &store, now);
        let last = std::iter::from_fn(|| session.poll(&store)).last();
        assert_eq!(last, Some(Output::Close(reason)));
    }
}

#[test]
fn a_later_versions_frames_are_passed_over() {
    let (closed, _) = hostile(vec![Message::Unknown(999); 100]);
    assert_eq!(closed, None);
}

proptest! {
    #[test]
    fn random_frames_never_panic_or_loop(
        frames in prop::collection::vec((1..21_u16, prop::collection::vec(any::<u8>(), 0..80)), 0..40),
    ) {
        let mut pair = Pair::new(library(2, 2), library(2, 3));
        for _ in 0..6 { pair.step(0); }
        for (tag, body) in frames {
            let bytes = [&tag.to_le_bytes()[..], &body].concat();
            let input = Message::from_frame(&bytes).map_or(Input::Malformed, Input::Message);
            if input != Input::Malformed {
                pair.input(A, input);
            }
        }
        for _ in 0..1000 {
            if !pair.step(1) { break; }
        }
    }
}
