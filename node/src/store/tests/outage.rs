//! The power fails at every change of the story, and again while the store is being opened.
//!
//! At each change: nothing of what was not synced is left, everything, all but one, each prefix, one
//! write torn, then by chance. `HEIRLOOM_CRASH_IMAGES` says how many disks are tried in all.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::super::Store;
use super::super::fs::{Change, hook};
use super::home;
use super::power::{Fate, Tape};
use super::story::{STEPS, check, go_on, step};
use crate::numbers::{asked, report};

/// Disks that are tried, unless the environment says otherwise.
const IMAGES: usize = 600;
/// Every third disk loses its power a second time.
const TWICE: usize = 3;

/// All changes of the story.
fn tape() -> Tape {
    let home = home();
    let tape = Rc::new(RefCell::new(Tape::default()));
    let recorder = Rc::clone(&tape);
    let root = home.path().to_owned();
    let record = move |change: &Change<'_>| {
        recorder.borrow_mut().record(&root, change);
        Ok(())
    };
    hook::with(record, || {
        let store = Store::create(home.path()).unwrap();
        tape.borrow_mut().mark(0);
        for done in 0..STEPS {
            step(&store, done).unwrap();
            tape.borrow_mut().mark(done + 1);
        }
    });
    Rc::try_unwrap(tape)
        .ok()
        .expect("nobody else holds it")
        .into_inner()
}

/// So many outages, spread evenly where every one that is not left to chance would be more.
fn outages(tape: &Tape, asked: usize) -> Vec<(usize, Fate)> {
    let places: Vec<_> = (tape.made()..=tape.len()).collect();
    let mut all: Vec<_> = Vec::new();
    for at in &places {
        all.extend(Fate::all(tape.disk(*at).loose()).map(|fate| (*at, fate)));
    }
    if all.len() > asked {
        let every = all.len().div_ceil(asked);
        return all.into_iter().step_by(every).collect();
    }
    let by_chance = places.iter().cycle().zip(1..);
    let more = asked - all.len();
    all.extend(
        by_chance
            .take(more)
            .map(|(at, seed)| (*at, Fate::Random(seed))),
    );
    all
}

#[test]
fn a_loss_of_power_at_any_change_keeps_what_was_acknowledged() {
    let tape = tape();
    let outages = outages(&tape, asked("HEIRLOOM_CRASH_IMAGES", IMAGES));
    let (next, twice) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some((at, fate)) = outages.get(next.fetch_add(1, Ordering::Relaxed)) {
            let again = next.load(Ordering::Relaxed);
            let second = again.is_multiple_of(TWICE).then_some(again / TWICE);
            if power_fails(&tape, *at, *fate, second) {
                twice.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let twice = twice.into_inner();
    assert!(twice * TWICE * 2 > outages.len(), "{twice} second losses");
    report(&format!(
        "{} crash images of lost power, {twice} of them with a second loss in the start after it",
        outages.len()
    ));
}

/// Opens what is left after an outage, and what is left after a second one at some change of that
/// opening; whether there was such a change.
fn power_fails(tape: &Tape, at: usize, fate: Fate, second: Option<usize>) -> bool {
    let steps = tape.acknowledged(at);
    let what = format!("power lost before change {at}, {fate:?}");
    let image = home();
    tape.disk(at).crash(fate, image.path());
    let opening = Rc::new(RefCell::new(Tape::of(image.path())));
    let recorder = Rc::clone(&opening);
    let root = image.path().to_owned();
    let record = move |change: &Change<'_>| {
        recorder.borrow_mut().record(&root, change);
        Ok(())
    };
    let store = hook::with(record, || Store::open(image.path()).unwrap());
    assert!(store.opened().rebuilt.is_none(), "{what}");
    check(&store, steps, &what);
    go_on(&store, steps, &what);
    drop(store);
    let opening = opening.borrow();
    let Some(second) = second.filter(|_| opening.len() > 0) else {
        return false;
    };
    let again = second % opening.len();
    let what = format!("{what}, and again before change {again} of opening");
    let image = home();
    let seed = u64::try_from(second).unwrap();
    opening.disk(again).crash(Fate::Random(seed), image.path());
    let store = Store::open(image.path()).unwrap();
    check(&store, steps, &what);
    go_on(&store, steps, &what);
    true
}
