//! A disk that does not read what somebody asks for.

use super::*;

/// Entries of a log of which the one in the middle does not read, and somebody who lacks all.
fn unreadable() -> (Pair, EntryBytes) {
    let mut store = library(2, 0);
    let [_, lost, _] = [(); 3].map(|()| store.write(album(0), device(3), vec![], false, 500));
    store.unread.insert(id(&lost));
    (Pair::new(store, Memory::default()), lost)
}

/// Goes on until the next deadline; says how long that was.
fn pause(pair: &mut Pair) -> Option<Duration> {
    while pair.step(0) {}
    let deadline = |end: &End| end.session.deadline();
    let next = pair.ends.iter().filter_map(deadline).min()?;
    let pause = next.saturating_duration_since(pair.now);
    pair.now = pair.now.max(next);
    pair.input(A, Input::Tick);
    pair.input(B, Input::Tick);
    Some(pause)
}

#[test]
fn what_did_not_read_is_asked_for_again_in_the_same_session() {
    let (mut pair, _) = unreadable();
    while pair.step(0) {}
    let held = pair.ends[B].store.ids().len();
    assert_eq!(held, pair.ends[A].store.ids().len() - 2, "all else is here");
    pair.ends[A].store.unread.clear();
    pair.run(200);
    pair.assert_converged();
}

#[test]
fn nobody_says_that_nothing_is_left_while_something_does_not_read() {
    let (mut pair, _) = unreadable();
    for _ in 0..5 {
        pause(&mut pair);
        assert!(pair.ends.iter().all(|end| !end.session.is_settled()));
        assert!(!pair.ends[B].session.names_alike(album(0)));
        assert!(pair.ends[B].session.names_alike(album(1)));
    }
}

#[test]
fn what_never_reads_is_tried_ever_more_rarely() {
    let (mut pair, _) = unreadable();
    let pauses: Vec<_> = (0..12).filter_map(|_| pause(&mut pair)).collect();
    let seconds: Vec<_> = pauses.iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert_eq!((pair.ends[A].closed, pair.ends[B].closed), (None, None));
    pair.ends[A].store.unread.clear();
    pair.run(500);
    pair.assert_converged();
}

#[test]
fn whoever_got_it_elsewhere_asks_no_more() {
    let (mut pair, lost) = unreadable();
    while pair.step(0) {}
    let came = pair.ends[B].store.accept(&lost);
    assert_eq!(came, Verdict::Accepted(id(&lost)));
    pair.news(B, &[id(&lost)]);
    pair.run(300);
    pair.assert_converged();
}

#[test]
fn what_is_written_meanwhile_does_not_wait_for_what_does_not_read() {
    let (mut pair, _) = unreadable();
    for _ in 0..2000 {
        let store = &mut pair.ends[A].store;
        store.write(album(0), device(4), vec![], false, 4000);
    }
    pair.ends[A].session = Session::open(opening(device(2)), &pair.ends[A].store, pair.now);
    pair.ends[A].wire.clear();
    pair.ends[A].drain();
    // The answer stops where the credit ends, as nothing is committed yet.
    while pair.ends[B].count(4) < 2 {
        let moved = pair.deliver(A) || pair.deliver(B) || pair.ends[B].commit(pair.now);
        assert!(moved);
    }
    while pair.deliver(A) || pair.deliver(B) {}
    let fresh = pair.write(A, album(0), 5, 100);
    assert!(pair.ends[A].count(7) == 0, "the answer goes on");
    // No time passes.
    while pair.step(0) {}
    assert!(pair.ends[B].store.ids().contains(&fresh));
    assert!(!pair.ends[A].session.is_settled());
}
