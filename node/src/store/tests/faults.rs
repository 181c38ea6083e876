//! Disks that fail: every change in turn is refused, or is the last before a crash.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::super::fs::{Change, hook};
use super::super::{Store, StoreError};
use super::story::{STEPS, check, go_on, step};
use super::{copy, home};
use crate::numbers::report;

/// What a disk that refuses has seen.
#[derive(Default)]
struct Seen {
    changes: Cell<u32>,
    /// A sync of entries or of blobs was among the refused.
    lost_sync: Cell<bool>,
}

/// Refuses the changes `from..from + count` of the story with an error.
fn refuse(
    from: u32,
    count: u32,
    kind: io::ErrorKind,
) -> (impl FnMut(&Change<'_>) -> io::Result<()>, Rc<Seen>) {
    let seen = Rc::new(Seen::default());
    let counter = Rc::clone(&seen);
    let hook = move |change: &Change<'_>| {
        let at = counter.changes.get();
        counter.changes.set(at + 1);
        if (from..from.saturating_add(count)).contains(&at) {
            if let Change::Sync(path) | Change::SyncFolder(path) = change {
                let is_truth = |part: &std::ffi::OsStr| part == "logs" || part == "blobs";
                let lost = path.iter().any(is_truth);
                counter.lost_sync.set(counter.lost_sync.get() || lost);
            }
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
                    // While the disk still fails, an index that has to be opened anew may as well.
                    if seen.changes.get() >= from.saturating_add(count) {
                        check(&store, done, &what);
                    }
                }
                check(&store, done + 1, &what);
            }
        });
        // On a full disk the room that is kept lets a commit be done again.
        let is_full = kind == io::ErrorKind::StorageFull;
        let told = failures > 0 || is_full || !seen.lost_sync.get();
        assert!(told, "not told, {what}");
        drop(store);
        let store = Store::open(home.path()).unwrap();
        assert!(store.unindexed_logs().unwrap().is_empty(), "{what}");
        check(&store, STEPS, &what);
        if seen.changes.get() < from {
            assert!(from > 60, "the story has only {from} changes");
            report(&format!(
                "{from} changes refused, {count} in a row, with {kind:?}"
            ));
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
    report(&format!("{} crash images of kills", images.get()));
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
