//! What may go goes, what anybody still refers to stays, and verification tells the difference.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use heirloom_protocol::id::BlobId;

use super::super::pack::path_of;
use super::super::{Batch, BlobState, Collected, Damage, Depth, Store, Stored, Unusable, Verified};
use super::{batch, bytes, entry, home, log, place, places, take_in};
use crate::upkeep::sweep_daily;

fn here(store: &Store, stored: &Stored) -> bool {
    store.blobs().is_whole(&stored.cid, &stored.place).unwrap()
}

fn drop_at(store: &Store, drops: &[(u32, u64)]) {
    let drops = drops.iter();
    let drops = drops.map(|(ordinal, since)| (log(1, 1), *ordinal, *since));
    let drops = drops.collect();
    store
        .commit(&Batch {
            drops,
            ..Batch::default()
        })
        .unwrap();
}

fn verified(store: &Store, depth: Depth) -> Verified {
    store
        .verify(depth, |_, _| None, |_| ControlFlow::Continue(()))
        .unwrap()
}

fn tomorrow() -> SystemTime {
    SystemTime::now() + Duration::from_secs(86_400)
}

#[test]
fn a_dropped_blob_goes_when_its_time_has_come() {
    for len in [30_000, 400_000] {
        let home = home();
        let store = Store::create(home.path()).unwrap();
        let stored = [1, 2].map(|seed| store.blobs().put(&bytes(seed, len)).unwrap());
        store.commit(&places(&stored)).unwrap();
        drop_at(&store, &[(0, 100)]);
        assert_eq!(store.collect(99).unwrap(), Collected::default());
        assert!(here(&store, &stored[0]));
        let collected = store.collect(100).unwrap();
        assert_eq!(collected.blobs, 1);
        assert!(!here(&store, &stored[0]));
        assert!(here(&store, &stored[1]));
        assert_eq!(store.blob_state(&log(1, 1), 0).unwrap(), BlobState::Absent);
        assert_eq!(store.collect(100).unwrap(), Collected::default());
        assert!(verified(&store, Depth::Data).findings.is_empty());
        // It may come again.
        let again = store.blobs().put(&bytes(1, len)).unwrap();
        store.commit(&places(&[again])).unwrap();
        assert!(here(&store, &again));
    }
}

#[test]
fn a_blob_stays_as_long_as_one_reference_does() {
    for len in [30_000, 400_000] {
        let home = home();
        let store = Store::create(home.path()).unwrap();
        let stored = store.blobs().put(&bytes(1, len)).unwrap();
        store.commit(&places(&[stored, stored, stored])).unwrap();
        drop_at(&store, &[(0, 100), (1, 500)]);
        assert_eq!(store.collect(200).unwrap().blobs, 0);
        assert_eq!(store.blob_state(&log(1, 1), 0).unwrap(), BlobState::Absent);
        drop_at(&store, &[(2, 100)]);
        assert_eq!(store.collect(200).unwrap().blobs, 0);
        assert!(here(&store, &stored));
        assert_eq!(store.collect(500).unwrap().blobs, 1);
        assert!(!here(&store, &stored));
    }
}

#[test]
fn a_sweep_takes_what_nothing_names_and_nothing_else() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = [1, 2, 3].map(|seed| store.blobs().put(&bytes(seed, 400_000)).unwrap());
    store.commit(&places(&stored[..1])).unwrap();
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    assert_eq!(store.sweep(yesterday, |_| false).unwrap().blobs, 0);
    let swept = store
        .sweep(tomorrow(), |cid| *cid == stored[1].cid)
        .unwrap();
    assert_eq!(
        swept,
        Collected {
            blobs: 1,
            bytes: 400_000
        }
    );
    assert_eq!(
        stored.map(|stored| here(&store, &stored)),
        [true, true, false]
    );
    drop(store);
    fs::remove_file(home.path().join("heirloom.redb")).unwrap();
    let store = Store::open(home.path()).unwrap();
    assert!(store.sweep(tomorrow(), |_| false).is_err());
}

/// Milliseconds so many days from now.
fn days_on(days: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap() + days * 86_400_000
}

/// A store of four entries that name a large blob each.
fn four(home: &Path) -> (Store, Vec<Stored>) {
    let store = Store::create(home).unwrap();
    let mut all = Vec::new();
    for seq in 0..4 {
        let seed = u8::try_from(seq).unwrap() + 1;
        let stored = store.blobs().put(&bytes(seed, 400_000)).unwrap();
        let commit = Batch {
            places: vec![(log(1, 1), seq * 6, stored.place)],
            ..batch([entry(log(1, 1), seq)])
        };
        store.commit(&commit).unwrap();
        all.push(stored);
    }
    (store, all)
}

/// Breaks the record of an entry beyond mending.
fn break_record(store: &Store, seq: u32) {
    let file = store.0.files.path(&log(1, 1));
    let mut raw = fs::read(&file).unwrap();
    let wanted = entry(log(1, 1), seq).bytes;
    let at = raw.windows(wanted.len()).position(|it| it == wanted);
    let at = at.unwrap();
    for byte in &mut raw[at..at + 30] {
        *byte ^= 0x5a;
    }
    fs::write(file, raw).unwrap();
}

#[test]
fn nothing_is_swept_that_entries_behind_damage_name() {
    let home = home();
    let (store, stored) = four(home.path());
    break_record(&store, 1);
    // A running node makes its index again: the entries behind the broken one wait for it.
    store.rebuild_index().unwrap();
    assert_eq!(take_in(&store), 1);
    assert!(!store.stranded().is_empty());
    let all_here = |store: &Store| stored.iter().all(|stored| here(store, stored));
    for days in [2, 4, 40, 80] {
        sweep_daily(&store, days_on(days)).unwrap();
        assert!(all_here(&store), "after {days} days");
    }
    drop(store);
    let store = Store::open(home.path()).unwrap();
    sweep_daily(&store, days_on(120)).unwrap();
    assert!(all_here(&store), "in the next run");
}

#[test]
fn nothing_is_swept_for_a_month_after_a_tail_was_set_aside() {
    let home = home();
    let (store, stored) = four(home.path());
    break_record(&store, 3);
    store.rebuild_index().unwrap();
    assert_eq!(take_in(&store), 3);
    let whole = stored[..3].iter().zip(0..);
    store
        .commit(&Batch {
            places: whole
                .map(|(stored, seq)| (log(1, 1), seq * 6, stored.place))
                .collect(),
            ..Batch::default()
        })
        .unwrap();
    drop(store);
    // The second run finds a home in order, and knows nothing of the fourth entry.
    let store = Store::open(home.path()).unwrap();
    assert!(store.opened().damages.is_empty() && store.stranded().is_empty());
    // A clock that jumps, and is set right again, ends no month.
    for days in (2..=20).chain([400]).chain(21..=31) {
        sweep_daily(&store, days_on(days)).unwrap();
        assert!(here(&store, &stored[3]), "after {days} days");
    }
    for days in 32..=34 {
        sweep_daily(&store, days_on(days)).unwrap();
    }
    let left: Vec<_> = stored.iter().map(|stored| here(&store, stored)).collect();
    assert_eq!(left, [true, true, true, false]);
}

#[test]
fn nothing_is_swept_for_a_month_after_the_database_was_lost_with_a_log() {
    let home = home();
    let (store, stored) = four(home.path());
    let file = store.0.files.path(&log(1, 1));
    drop(store);
    fs::remove_file(file).unwrap();
    fs::remove_file(home.path().join("heirloom.redb")).unwrap();
    // No log is left, and no row: the blobs alone say that there was more.
    let store = Store::open(home.path()).unwrap();
    assert_eq!(store.opened().rebuilt, Some(Unusable::Missing));
    for days in 2..=31 {
        sweep_daily(&store, days_on(days)).unwrap();
        let mut stored = stored.iter();
        assert!(stored.all(|it| here(&store, it)), "after {days} days");
    }
}

#[test]
fn what_was_begun_and_is_not_gone_on_with_goes_in_a_week() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let begin = |n: u8| {
        let partial = store
            .blobs()
            .partial(&BlobId([n; 32]), 200_000, |_, _| true);
        let partial = partial.unwrap();
        partial.write_leaf(0, &bytes(n, 65_536)).unwrap();
        partial.note().unwrap();
        partial
    };
    drop(begin(1));
    let open = begin(2);
    assert_eq!(sweep_daily(&store, days_on(6)).unwrap().blobs, 0);
    assert_eq!(store.blobs().partials().unwrap().len(), 2);
    assert_eq!(sweep_daily(&store, days_on(8)).unwrap().blobs, 1);
    assert_eq!(store.blobs().partials().unwrap(), [BlobId([2; 32])]);
    drop(open);
    assert_eq!(sweep_daily(&store, days_on(10)).unwrap().blobs, 1);
    let left = fs::read_dir(home.path().join("blobs/partial")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn verification_names_every_kind_of_damage() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = [30_000, 400_000, 500_000].map(|len| store.blobs().put(&bytes(1, len)).unwrap());
    store.commit(&places(&stored)).unwrap();
    let clean = verified(&store, Depth::Data);
    assert_eq!((clean.entries, clean.blobs, clean.bytes), (1, 3, 930_000));
    assert!(clean.pages && clean.findings.is_empty());

    let flip = |path: &std::path::Path, from_end: usize| {
        let mut raw = fs::read(path).unwrap();
        let at = raw.len() - from_end;
        raw[at] ^= 1;
        fs::write(path, raw).unwrap();
    };
    flip(&path_of(&home.path().join("blobs"), 1), 7);
    flip(&store.blobs().0.path(&stored[1].cid), 7);
    fs::remove_file(store.blobs().0.path(&stored[2].cid)).unwrap();
    flip(&store.0.files.path(&log(1, 1)), 7);
    let entry_damage = Damage::Entry {
        log: log(1, 1),
        seq: 0,
        id: Some(entry(log(1, 1), 0).id),
    };
    let quick = verified(&store, Depth::Structure).findings;
    // The entry twice, since it is a control entry too, and the blob that is gone.
    assert_eq!(quick.len(), 3);
    let found: Vec<_> = verified(&store, Depth::Data)
        .findings
        .into_iter()
        .map(|finding| (finding.damage, finding.blob.map(|(_, ordinal)| ordinal)))
        .collect();
    let blob = |index: usize| Damage::Blob {
        cid: stored[index].cid,
    };
    let missing = Damage::Place {
        log: log(1, 1),
        ordinal: 2,
    };
    assert_eq!(
        found[..],
        [
            (entry_damage.clone(), None),
            (blob(0), Some(0)),
            (blob(1), Some(1)),
            (missing, Some(2)),
            // The control entry cannot be read either.
            (entry_damage, None),
        ]
    );

    store.repair_entry(&entry(log(1, 1), 0)).unwrap();
    let mut other = entry(log(1, 1), 0);
    other.id.0[0] ^= 1;
    assert!(store.repair_entry(&other).is_err());
    let lost = (0..3).map(|ordinal| (log(1, 1), ordinal)).collect();
    store
        .commit(&Batch {
            lost,
            ..Batch::default()
        })
        .unwrap();
    let again = [30_000, 400_000, 500_000].map(|len| store.blobs().put(&bytes(1, len)).unwrap());
    store.commit(&places(&again)).unwrap();
    assert!(verified(&store, Depth::Data).findings.is_empty());
    assert!(here(&store, &again[1]));
}

#[test]
fn verification_holds_a_blob_against_the_name_its_entry_gives() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = [1, 2].map(|seed| store.blobs().put(&bytes(seed, 1000)).unwrap());
    // A row that points to the wrong blob of the right size.
    store.commit(&places(&[stored[1]])).unwrap();
    assert!(verified(&store, Depth::Data).findings.is_empty());
    let found = store
        .verify(
            Depth::Data,
            |_, _| Some(stored[0].cid),
            |_| ControlFlow::Continue(()),
        )
        .unwrap();
    assert_eq!(
        found.findings[0].damage,
        Damage::Blob { cid: stored[0].cid }
    );
    let stopped = store
        .verify(Depth::Data, |_, _| None, |_| ControlFlow::Break(()))
        .unwrap();
    assert_eq!(stopped.blobs, 0);
}

#[test]
fn sizes_and_counts_add_up() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = [1000, 2000, 400_000].map(|len| store.blobs().put(&bytes(1, len)).unwrap());
    store.commit(&places(&stored)).unwrap();
    drop_at(&store, &[(1, 5)]);
    let stats = store.stats().unwrap();
    assert_eq!((stats.logs, stats.entries), (1, 1));
    assert_eq!((stats.small_blobs, stats.small_bytes), (2, 3000));
    assert_eq!((stats.large_blobs, stats.large_bytes), (1, 400_000));
    assert_eq!(stats.dropped, 1);
    assert!(stats.pack_bytes > 3000 && stats.index_bytes > 0);
    let file = fs::metadata(store.0.files.path(&log(1, 1))).unwrap();
    assert_eq!(stats.log_bytes, file.len());
    let _ = place(&store, 0);
    assert_eq!(store.blobs().find(&BlobId([0; 32])).unwrap(), None);
}

#[test]
fn an_index_that_is_begun_anew_meanwhile_makes_no_orphans() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = [1, 2].map(|seed| store.blobs().put(&bytes(seed, 400_000)).unwrap());
    store.commit(&places(&stored)).unwrap();
    let orphan = store.blobs().put(&bytes(3, 400_000)).unwrap();
    store.blobs().sync().unwrap();
    // A sweep that waits for its turn.
    let turn = store.0.collecting.turn.lock().unwrap();
    let (begun, begins) = std::sync::mpsc::channel();
    let sweeping = store.clone();
    let sweep = std::thread::spawn(move || {
        begun.send(()).unwrap();
        sweeping.sweep(tomorrow(), |_| false)
    });
    begins.recv().unwrap();
    store.rebuild_index().unwrap();
    drop(turn);
    // Refused, or over before the index was begun anew: but that waits for its turn.
    assert!(sweep.join().unwrap().is_err());
    assert!(stored.iter().all(|stored| here(&store, stored)));
    let say_again = || {
        take_in(&store);
        let places = places(&stored).places;
        let batch = Batch {
            places,
            ..Batch::default()
        };
        store.commit(&batch).unwrap();
    };
    say_again();
    // One that is under way ends: what it read of the index counts no more.
    let swept = store.sweep(tomorrow(), |_| {
        store.rebuild_index().unwrap();
        false
    });
    assert_eq!(swept.unwrap(), Collected::default());
    say_again();
    assert!(here(&store, &orphan));
    assert_eq!(store.sweep(tomorrow(), |_| false).unwrap().blobs, 1);
    assert!(stored.iter().all(|stored| here(&store, stored)));
}
