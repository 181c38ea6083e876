//! Frames of former sessions, which somebody kept.

use super::*;
use crate::numbers::report;

/// A library of the n-th kind: albums and entries, some with a log that forked.
fn varied(n: u32) -> Memory {
    let mut store = library(u16::try_from(n % 4).unwrap(), n / 4 % 7);
    if n.is_multiple_of(3) {
        converge::fork(&mut store, 9, n % 11, 1 + n % 13, 1);
    }
    store
}

/// Two sides, of which one is new in every second case.
fn sides(n: u32) -> (Memory, Memory) {
    let held = match n.is_multiple_of(2) {
        true => Memory::default(),
        false => varied(n / 28),
    };
    (varied(n), held)
}

/// The frames of the session of two sides, each with the end that it went to.
fn recorded(n: u32) -> Vec<(usize, Message)> {
    let (a, b) = sides(n);
    let mut pair = Pair::new(a, b);
    pair.run(3000);
    pair.assert_converged();
    let [a, b] = pair.ends.map(|end| end.sent);
    let to_b = a.into_iter().map(|frame| (B, frame));
    to_b.chain(b.into_iter().map(|frame| (A, frame))).collect()
}

/// Two devices whose last session ended meet again.
fn again(pair: Pair) -> Pair {
    let [a, b] = pair.ends;
    Pair::new(a.store, b.store)
}

#[test]
fn frames_of_a_former_session_change_nothing() {
    const SESSIONS: u32 = 1_000;
    let (mut frames, mut times) = (0_u32, 0_u32);
    for n in 0..SESSIONS {
        let (a, b) = sides(n);
        let all = &a.ids() | &b.ids();
        let mut pair = Pair::new(a, b);
        // At rest in every second one, in the others while the same is going on once more.
        if n.is_multiple_of(4) || n % 4 == 3 {
            pair.run(3000);
        }
        for (number, (to, message)) in (0..).zip(recorded(n)) {
            frames += 1;
            for _ in 0..=(n + number) % 5 {
                times += 1;
                pair.input(to, Input::Message(message.clone()));
                pair.step(u64::from(number));
            }
            // An answer that nobody asked for ends a session, and the next one begins.
            if pair.ends.iter().any(|end| end.closed.is_some()) {
                pair = again(pair);
            }
        }
        let mut pair = again(pair);
        pair.run(3000);
        pair.assert_converged();
        assert!(pair.ends[A].store.ids() == all, "session {n}");
    }
    report(&format!(
        "{frames} frames of {SESSIONS} sessions came again, {times} times in all, and changed nothing"
    ));
}
