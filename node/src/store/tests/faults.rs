//! Disks that fail: every change in turn is refused, or is the last before a crash.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::super::fs::{Change, hook};
use super::super::{Batch, BlobState, Store, StoreError, Table};
use super::{bytes, copy, entry, home, log};

const STEPS: u32 = 4;

/// What one step of the story commits: an entry of one of two logs, a small and a large blob, a
/// value.
fn step(store: &Store, step: u32) -> Result<(), StoreError> {
    let entry = entry_of(step);
    let blobs = contents(step);
    let mut batch = Batch {
        puts: vec![(
            Table::Assets,
            step.to_be_bytes().to_vec(),
            b"value".to_vec(),
        )],
        ..Batch::default()
    };
    for (content, ordinal) in blobs.iter().zip(entry.first_blob..) {
        let stored = store.blobs().put(content)?;
        batch.places.push((entry.log, ordinal, stored.place));
    }
    batch.entries.push(entry);
    store.commit(&batch)
}

fn entry_of(step: u32) -> super::EntryRecord {
    entry(log(1, u8::try_from(step % 2).unwrap()), step / 2)
}

fn contents(step: u32) -> [Vec<u8>; 2] {
    let seed = u8::try_from(step).unwrap();
    [bytes(seed, 2000), bytes(seed, 263_000)]
}

/// Everything that the first `steps` steps committed is there and whole.
fn check(store: &Store, steps: u32, what: &str) {
    for step in 0..steps {
        let wanted = entry_of(step);
        let found = store.entry(&wanted.log, wanted.seq).unwrap();
        assert_eq!(found.as_ref(), Some(&wanted), "step {step}, {what}");
        let value = store.get(Table::Assets, &step.to_be_bytes()).unwrap();
        assert_eq!(
            value.as_deref(),
            Some(b"value".as_slice()),
            "step {step}, {what}"
        );
        for (content, ordinal) in contents(step).iter().zip(wanted.first_blob..) {
            let BlobState::Here(place) = store.blob_state(&wanted.log, ordinal).unwrap() else {
                panic!("blob {ordinal} of step {step} is not here, {what}");
            };
            let cid = heirloom_protocol::id::BlobId(*blake3::hash(content).as_bytes());
            assert_eq!(
                store.blobs().read(&cid, &place).unwrap(),
                *content,
                "{what}"
            );
        }
    }
}

/// Refuses the changes `from..from + count` of the story with an error.
fn refuse(
    from: u32,
    count: u32,
    kind: io::ErrorKind,
) -> (impl FnMut(&Change<'_>) -> io::Result<()>, Rc<Cell<u32>>) {
    let seen = Rc::new(Cell::new(0));
    let counter = Rc::clone(&seen);
    let hook = move |_: &Change<'_>| {
        let at = counter.get();
        counter.set(at + 1);
        if (from..from.saturating_add(count)).contains(&at) {
            return Err(kind.into());
        }
        Ok(())
    };
    (hook, seen)
}

/// Runs the story on a disk that refuses some changes; whatever fails is tried again until it
/// works.
fn story_with_faults(count: u32, kind: io::ErrorKind) {
    let mut from = 0;
    loop {
        let what = format!("changes {from} and {count} on refused with {kind:?}");
        let home = home();
        let store = Store::create(home.path()).unwrap();
        let (hook, seen) = refuse(from, count, kind);
        let mut failures = 0;
        hook::with(hook, || {
            for done in 0..STEPS {
                while let Err(error) = step(&store, done) {
                    let expected = match kind {
                        io::ErrorKind::StorageFull => matches!(error, StoreError::DiskFull),
                        _ => matches!(error, StoreError::Io(_)),
                    };
                    let blob_lost = matches!(error, StoreError::Refused(_));
                    // The index may first say that an earlier write failed.
                    let earlier = matches!(error, StoreError::Io(_));
                    assert!(expected || blob_lost || earlier, "{error}, {what}");
                    failures += 1;
                    assert!(failures < 3 + count, "it does not recover, {what}");
                    check(&store, done, &what);
                }
                check(&store, done + 1, &what);
            }
        });
        drop(store);
        let store = Store::open(home.path()).unwrap();
        assert!(store.unindexed_logs().unwrap().is_empty(), "{what}");
        check(&store, STEPS, &what);
        if seen.get() < from {
            assert!(from > 60, "the story has only {from} changes");
            eprintln!("{from} changes refused, {count} in a row, with {kind:?}");
            return;
        }
        from += 1;
    }
}

#[test]
fn a_full_disk_at_any_change_loses_nothing_and_is_recovered_from() {
    story_with_faults(1, io::ErrorKind::StorageFull);
}

#[test]
fn a_failed_change_or_sync_is_reported_and_recovered_from() {
    story_with_faults(1, io::ErrorKind::Other);
}

#[test]
fn a_disk_that_fails_for_a_while_is_recovered_from() {
    story_with_faults(6, io::ErrorKind::Other);
}

#[test]
fn a_kill_at_any_change_keeps_what_was_acknowledged() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let done = Rc::new(Cell::new(0));
    let images = Rc::new(Cell::new(0));
    let (acknowledged, count) = (Rc::clone(&done), Rc::clone(&images));
    let source = home.path().to_owned();
    let look = move |change: &Change<'_>| {
        count.set(count.get() + 1);
        open_copy(
            &source,
            acknowledged.get(),
            &format!("killed before {change:?}"),
        );
        Ok(())
    };
    hook::with(look, || {
        for step_number in 0..STEPS {
            step(&store, step_number).unwrap();
            done.set(step_number + 1);
        }
    });
    assert!(images.get() > 60);
    eprintln!("{} crash images of kills", images.get());
}

/// Opens a copy of a home as it lies there and goes on with the story.
fn open_copy(source: &Path, steps: u32, what: &str) {
    let image = home();
    copy(source, image.path());
    let store = Store::open(image.path()).unwrap();
    assert!(store.opened().rebuilt.is_none(), "{what}");
    check(&store, steps, what);
    go_on(&store, steps, what);
}

/// Takes in what reached only the files and goes on with the story to its end.
pub(super) fn go_on(store: &Store, steps: u32, what: &str) {
    let unindexed = store.unindexed_logs().unwrap();
    let waiting: u32 = unindexed
        .iter()
        .map(|(_, seqs)| seqs.end - seqs.start)
        .sum();
    assert!(waiting <= 1, "{what}");
    for done in steps..STEPS {
        // The entry may lie in its file already; the rest of the step was lost with it.
        step(store, done).unwrap();
    }
    check(store, STEPS, what);
}

#[test]
fn a_loss_of_power_at_any_change_keeps_what_was_acknowledged() {
    let home = home();
    let tape = Rc::new(RefCell::new(super::power::Tape::default()));
    let recorder = Rc::clone(&tape);
    let marks = Rc::clone(&tape);
    let root = home.path().to_owned();
    let record = move |change: &Change<'_>| {
        recorder.borrow_mut().record(&root, change);
        Ok(())
    };
    hook::with(record, || {
        let store = Store::create(home.path()).unwrap();
        marks.borrow_mut().mark(0);
        for done in 0..STEPS {
            step(&store, done).unwrap();
            marks.borrow_mut().mark(done + 1);
        }
    });
    let tape = tape.borrow();
    let rounds = std::env::var("STORE_CRASH_ROUNDS");
    let rounds: u64 = rounds
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(1);
    let mut images = 0;
    for round in 0..rounds {
        for at in tape.made()..=tape.len() {
            let seed = round * 1_000_003 + u64::try_from(at).unwrap() + 1;
            power_fails(&tape, at, seed);
            images += 1;
        }
    }
    eprintln!(
        "{images} crash images of lost power, every third with a second loss in the start after it"
    );
}

fn power_fails(tape: &super::power::Tape, at: usize, seed: u64) {
    let steps = tape.acknowledged(at);
    let what = format!("power lost before change {at}, seed {seed}");
    let image = home();
    tape.image(at, seed, image.path());
    // The power goes again while the store is being opened.
    let second = Rc::new(RefCell::new(super::power::Tape::of(image.path())));
    let recorder = Rc::clone(&second);
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
    let second = second.borrow();
    if second.len() > 0 && seed.is_multiple_of(3) {
        let again = usize::try_from(seed / 3).unwrap() % second.len();
        let image = home();
        second.image(again, seed, image.path());
        let store = Store::open(image.path()).unwrap();
        let what = format!("{what}, and again before change {again} of opening");
        check(&store, steps, &what);
        go_on(&store, steps, &what);
    }
}
