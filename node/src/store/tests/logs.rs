//! Logs and their index: what was acknowledged is there, in order, after anything.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use heirloom_protocol::id::{BranchId, EntryId, LogId, SpaceId};

use super::super::index::Unusable;
use super::super::record::HEADER_BYTES;
use super::super::{Damage, Refusal, Store, StoreError};
use super::{batch, copy, entry, everything, filled, home, log, take_in};

#[test]
fn what_was_committed_is_read_back_after_reopening() {
    let home = home();
    let store = filled(home.path(), 9);
    store
        .commit(&batch([entry(log(2, 1), 0), entry(log(1, 2), 0)]))
        .unwrap();
    let before = everything(&store);
    drop(store);
    let store = Store::open(home.path()).unwrap();
    assert_eq!(everything(&store), before);
    assert_eq!(store.spaces(), [SpaceId([1; 16]), SpaceId([2; 16])]);
    assert!(store.unindexed_logs().unwrap().is_empty());
    assert!(store.opened().rebuilt.is_none());
    let head = store.head(&log(1, 1)).unwrap();
    assert_eq!(
        (head.first, head.seq, head.items, head.blobs),
        (0, 8, 18, 54)
    );
    assert_eq!(head.id, entry(log(1, 1), 8).id);
    assert_eq!(store.logs(SpaceId([1; 16])).len(), 2);
    assert_eq!(store.head(&log(9, 9)), None);
}

#[test]
fn entries_are_found_by_seq_by_name_and_by_what_they_announce() {
    let home = home();
    let store = filled(home.path(), 8);
    let log = log(1, 1);
    let fifth = entry(log, 5);
    assert_eq!(store.entry(&log, 5).unwrap(), Some(fifth.clone()));
    assert_eq!(store.entry_by_id(&fifth.id).unwrap(), Some(fifth.clone()));
    assert_eq!(store.entry_id(&log, 5).unwrap(), Some(fifth.id));
    assert_eq!(store.entry_by_id(&EntryId([9; 32])).unwrap(), None);
    assert_eq!(
        store.entry_with_blob(&log, 33).unwrap(),
        Some(fifth.clone())
    );
    assert_eq!(store.entry_with_blob(&log, 48).unwrap(), None);
    assert_eq!(store.entry_with_item(&log, 11).unwrap(), Some(fifth));
    assert_eq!(store.entry(&log, 8).unwrap(), None);
    let some = store.entries(&log, 3, 300).unwrap();
    assert_eq!(some[0].seq, 3);
    assert!(some.len() < 5);
    assert_eq!(store.entries(&log, 3, 0).unwrap().len(), 1);
    assert!(store.entries(&log, 8, 300).unwrap().is_empty());
}

#[test]
fn control_entries_come_without_the_others() {
    let home = home();
    let store = filled(home.path(), 8);
    let seqs: Vec<_> = store
        .control_entries(SpaceId([1; 16]))
        .unwrap()
        .iter()
        .map(|entry| entry.seq)
        .collect();
    assert_eq!(seqs, [0, 3, 6]);
    assert!(store.control_entries(SpaceId([2; 16])).unwrap().is_empty());
}

#[test]
fn entries_that_do_not_follow_are_refused_and_present_ones_passed_over() {
    let home = home();
    let store = filled(home.path(), 4);
    let log = log(1, 1);
    let gap = store.commit(&batch([entry(log, 5)]));
    assert!(matches!(
        gap,
        Err(StoreError::Refused(Refusal::Gap {
            expected: 4,
            found: 5,
            ..
        }))
    ));
    store
        .commit(&batch((0..6).map(|seq| entry(log, seq))))
        .unwrap();
    assert_eq!(everything(&store).len(), 6);
    let mut other = entry(log, 3);
    other.id = EntryId([3; 32]);
    let taken = store.commit(&batch([other]));
    assert!(matches!(
        taken,
        Err(StoreError::Refused(Refusal::Taken { seq: 3, .. }))
    ));
    let mut huge = entry(log, 6);
    huge.bytes = vec![0; super::super::ENTRY_BYTES_MAX + 1];
    assert!(matches!(
        store.commit(&batch([huge])),
        Err(StoreError::Refused(Refusal::TooLarge { .. }))
    ));
}

#[test]
fn a_refused_batch_changes_nothing() {
    let home = home();
    let store = filled(home.path(), 4);
    let refused = store.commit(&batch([entry(log(3, 3), 0), entry(log(1, 1), 9)]));
    assert!(refused.is_err());
    assert_eq!(store.spaces(), [SpaceId([1; 16])]);
    drop(store);
    assert_eq!(everything(&Store::open(home.path()).unwrap()).len(), 4);
}

#[test]
fn a_branch_starts_where_its_fork_is() {
    let home = home();
    let branch = LogId {
        branch: BranchId([5; 8]),
        ..log(1, 1)
    };
    let store = filled(home.path(), 4);
    store
        .commit(&batch((2..5).map(|seq| entry(branch, seq))))
        .unwrap();
    drop(store);
    fs::remove_file(home.path().join("heirloom.redb")).unwrap();
    let store = Store::open(home.path()).unwrap();
    assert_eq!(take_in(&store), 7);
    let head = store.head(&branch).unwrap();
    assert_eq!((head.first, head.seq), (2, 4));
    assert_eq!(store.entry(&branch, 1).unwrap(), None);
    assert_eq!(store.entries(&branch, 0, usize::MAX).unwrap().len(), 3);
}

#[test]
fn a_tail_torn_at_any_byte_goes_and_everything_before_stays() {
    let base = home();
    drop(filled(base.path(), 4));
    let file = super::super::logs::LogFiles::new("logs".into()).path(&log(1, 1));
    let whole = fs::read(base.path().join(&file)).unwrap();
    let mut longer = whole.clone();
    super::super::record::encode(&entry(log(1, 1), 4), &mut longer);
    for cut in whole.len()..longer.len() {
        let home = home();
        copy(base.path(), home.path());
        fs::write(home.path().join(&file), &longer[..cut]).unwrap();
        let store = Store::open(home.path()).unwrap();
        assert_eq!(everything(&store).len(), 4, "cut at {cut}");
        assert!(store.unindexed_logs().unwrap().is_empty());
        let torn = u64::try_from(cut - whole.len()).unwrap();
        assert_eq!(store.opened().torn_bytes, torn);
        assert!(store.opened().damages.is_empty());
        store.commit(&batch([entry(log(1, 1), 4)])).unwrap();
        assert_eq!(fs::read(home.path().join(&file)).unwrap(), longer);
    }
}

#[test]
fn the_first_entry_of_a_log_torn_at_any_byte_leaves_no_log() {
    let base = home();
    drop(filled(base.path(), 2));
    let new = log(1, 2);
    let file = super::super::logs::LogFiles::new("logs".into()).path(&new);
    let mut whole = super::super::record::header(&new);
    super::super::record::encode(&entry(new, 0), &mut whole);
    for cut in 0..whole.len() {
        let home = home();
        copy(base.path(), home.path());
        fs::write(home.path().join(&file), &whole[..cut]).unwrap();
        let store = Store::open(home.path()).unwrap();
        assert_eq!(store.head(&new), None);
        store.commit(&batch([entry(new, 0)])).unwrap();
        drop(store);
        let store = Store::open(home.path()).unwrap();
        assert_eq!(
            store.entry(&new, 0).unwrap(),
            Some(entry(new, 0)),
            "cut at {cut}"
        );
    }
}

#[test]
fn entries_that_reached_only_their_files_are_handed_back_and_not_written_twice() {
    let [home, crashed] = [home(), home()];
    let store = filled(home.path(), 4);
    copy(home.path(), crashed.path());
    store
        .commit(&batch([entry(log(1, 1), 4), entry(log(1, 1), 5)]))
        .unwrap();
    let wanted = everything(&store);
    drop(store);
    fs::remove_dir_all(crashed.path().join("logs")).unwrap();
    copy(&home.path().join("logs"), &crashed.path().join("logs"));
    let store = Store::open(crashed.path()).unwrap();
    assert_eq!(everything(&store).len(), 4);
    assert_eq!(store.unindexed_logs().unwrap(), [(log(1, 1), 4..6)]);
    let mut other = entry(log(1, 1), 4);
    other.id = EntryId([3; 32]);
    assert!(matches!(
        store.commit(&batch([other])),
        Err(StoreError::Refused(Refusal::Unindexed { seq: 4, .. }))
    ));
    let file = store.0.files.path(&log(1, 1));
    let bytes = fs::metadata(&file).unwrap().len();
    assert_eq!(take_in(&store), 2);
    assert_eq!(fs::metadata(&file).unwrap().len(), bytes);
    assert_eq!(everything(&store), wanted);
    drop(store);
    let store = Store::open(crashed.path()).unwrap();
    assert!(store.unindexed_logs().unwrap().is_empty());
    assert_eq!(everything(&store), wanted);
}

#[test]
fn an_index_made_again_equals_the_lost_one() {
    let home = home();
    let store = filled(home.path(), 20);
    store
        .commit(&batch((0..5).map(|seq| entry(log(2, 3), seq))))
        .unwrap();
    let before = (everything(&store), store.logs(SpaceId([1; 16])));
    let control = store.control_entries(SpaceId([1; 16])).unwrap();
    drop(store);
    fs::remove_file(home.path().join("heirloom.redb")).unwrap();
    let store = Store::open(home.path()).unwrap();
    assert_eq!(store.opened().rebuilt, Some(Unusable::Missing));
    assert!(everything(&store).is_empty());
    // Interrupted half way, it goes on from there.
    let some = store.unindexed(&log(1, 1), 0, 500).unwrap();
    store.commit(&batch(some)).unwrap();
    drop(store);
    let store = Store::open(home.path()).unwrap();
    assert_eq!(store.opened().rebuilt, None);
    take_in(&store);
    assert_eq!((everything(&store), store.logs(SpaceId([1; 16]))), before);
    assert_eq!(store.control_entries(SpaceId([1; 16])).unwrap(), control);
}

#[test]
fn an_unusable_index_is_set_aside_and_made_again() {
    let garbage: [(&str, Vec<u8>); 3] = [
        ("text", b"this is no database".repeat(1000)),
        ("zeros", vec![0; 8192]),
        ("short", vec![1; 10]),
    ];
    for (name, bytes) in garbage {
        let home = home();
        let wanted = everything(&filled(home.path(), 6));
        let path = home.path().join("heirloom.redb");
        fs::write(&path, &bytes).unwrap();
        let store = Store::open(home.path()).unwrap();
        assert_eq!(store.opened().rebuilt, Some(Unusable::Unreadable), "{name}");
        let [aside] = &store.opened().set_aside[..] else {
            panic!("nothing set aside for {name}");
        };
        assert_eq!(fs::read(aside).unwrap(), bytes);
        take_in(&store);
        assert_eq!(everything(&store), wanted);
    }
}

#[test]
fn the_index_of_another_home_is_not_believed() {
    let [ours, other] = [home(), home()];
    let wanted = everything(&filled(ours.path(), 6));
    drop(filled(other.path(), 2));
    let name = "heirloom.redb";
    fs::copy(other.path().join(name), ours.path().join(name)).unwrap();
    let store = Store::open(ours.path()).unwrap();
    assert_eq!(store.opened().rebuilt, Some(Unusable::Foreign));
    take_in(&store);
    assert_eq!(everything(&store), wanted);
}

#[test]
fn an_index_that_knows_more_than_the_files_is_made_again() {
    let home = home();
    let store = filled(home.path(), 6);
    let file = store.0.files.path(&log(1, 1));
    drop(store);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 10]).unwrap();
    let store = Store::open(home.path()).unwrap();
    assert_eq!(store.opened().rebuilt, Some(Unusable::Ahead));
    assert!(!store.opened().damages.is_empty());
    assert_eq!(take_in(&store), 5);
    store.commit(&batch([entry(log(1, 1), 5)])).unwrap();
    assert_eq!(everything(&store).len(), 6);
}

#[test]
fn damage_inside_a_file_strands_what_follows_until_it_is_fetched_again() {
    let home = home();
    let store = filled(home.path(), 6);
    let row = store.0.entry_row(&log(1, 1), 2).unwrap().unwrap();
    let wanted = everything(&store);
    let file = store.0.files.path(&log(1, 1));
    drop(store);
    let mut bytes = fs::read(&file).unwrap();
    bytes[usize::try_from(row.offset).unwrap() + 30] ^= 1;
    fs::write(&file, &bytes).unwrap();
    fs::remove_file(home.path().join("heirloom.redb")).unwrap();
    let store = Store::open(home.path()).unwrap();
    assert_eq!(store.opened().stranded, [(log(1, 1), 2, 5)]);
    assert!(matches!(store.opened().damages[..], [Damage::Log { .. }]));
    assert_eq!(take_in(&store), 2);
    store.commit(&batch([entry(log(1, 1), 2)])).unwrap();
    assert_eq!(store.unindexed_logs().unwrap(), [(log(1, 1), 3..6)]);
    drop(store);
    let store = Store::open(home.path()).unwrap();
    assert_eq!(take_in(&store), 3);
    assert_eq!(everything(&store), wanted);
}

#[test]
fn a_damaged_file_header_is_written_again() {
    let home = home();
    let store = filled(home.path(), 3);
    let file = store.0.files.path(&log(1, 1));
    drop(store);
    let good = fs::read(&file).unwrap();
    let mut bytes = good.clone();
    bytes[3] ^= 1;
    fs::write(&file, &bytes).unwrap();
    fs::remove_file(home.path().join("heirloom.redb")).unwrap();
    let store = Store::open(home.path()).unwrap();
    let damage = Damage::Log {
        log: log(1, 1),
        offset: 0,
        bytes: HEADER_BYTES,
    };
    assert_eq!(store.opened().damages, [damage]);
    assert_eq!(take_in(&store), 3);
    assert_eq!(fs::read(&file).unwrap(), good);
}

#[test]
fn a_home_has_one_owner_at_a_time() {
    let home = home();
    let store = filled(home.path(), 1);
    let second = store.clone();
    drop(store);
    assert!(matches!(Store::open(home.path()), Err(StoreError::Locked)));
    drop(second);
    Store::open(home.path()).unwrap();
}

#[test]
fn a_lock_that_is_let_go_of_in_a_moment_is_waited_for() {
    let home = home();
    drop(Store::create(home.path()).unwrap());
    // A program that is being started holds it like this, until it is that program.
    let held = fs::File::open(home.path().join("lock")).unwrap();
    held.lock().unwrap();
    let (begin, begun) = std::sync::mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        begun.recv().unwrap();
        // Nobody says anything: it is the time that passes.
        let moment = std::time::Duration::from_millis(40);
        assert!(begun.recv_timeout(moment).is_err());
        drop(held);
    });
    begin.send(()).unwrap();
    assert!(Store::open(home.path()).is_ok());
    drop(begin);
    holder.join().unwrap();
}

#[test]
fn a_home_is_made_once_and_opened_only_then() {
    let home = home();
    assert!(matches!(
        Store::open(home.path()),
        Err(StoreError::NotSetUp)
    ));
    let inner = home.path().join("new/home");
    drop(Store::create(&inner).unwrap());
    assert!(matches!(
        Store::create(&inner),
        Err(StoreError::Refused(Refusal::SetUp))
    ));
    for name in ["", "keys", "logs", "blobs"] {
        let mode = fs::metadata(inner.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{name}");
    }
    for name in ["heirloom.redb", "keys/store.key", "version", "lock"] {
        let mode = fs::metadata(inner.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_newer_store_is_refused_and_not_touched() {
    let home = home();
    drop(filled(home.path(), 3));
    fs::write(home.path().join("version"), "heirloom store 2\n").unwrap();
    let before = snapshot(home.path());
    let opened = Store::open(home.path());
    assert!(matches!(
        opened,
        Err(StoreError::Newer { found: 2, known: 1 })
    ));
    assert!(matches!(
        Store::create(home.path()),
        Err(StoreError::Refused(Refusal::SetUp))
    ));
    assert_eq!(snapshot(home.path()), before);
}

fn snapshot(home: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let items = walkdir::WalkDir::new(home).sort_by_file_name();
    let files = items.into_iter().map(Result::unwrap);
    let files = files.filter(|item| item.file_type().is_file());
    files
        .map(|item| (item.path().to_owned(), fs::read(item.path()).unwrap()))
        .collect()
}

#[test]
fn whatever_others_could_read_is_refused_with_the_remedy() {
    for (path, mode, fix) in [
        ("keys/store.key", 0o640, "/keys'"),
        ("keys", 0o750, "/keys'"),
        (".", 0o755, "'"),
    ] {
        let home = home();
        drop(filled(home.path(), 1));
        let path = home.path().join(path);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        match Store::open(home.path()) {
            Err(StoreError::Permissions {
                mode: found,
                fix: remedy,
                ..
            }) => {
                assert_eq!(found, mode);
                assert!(remedy.starts_with("chmod -R go-rwx '"), "{remedy}");
                assert!(remedy.ends_with(fix), "{remedy}");
            }
            other => panic!("{:?}", other.err()),
        }
    }
}

#[test]
fn a_version_file_that_says_no_version_is_damage_and_stays_as_it_is() {
    for text in [
        "",
        "nonsense\n",
        "heirloom store one\n",
        "heirloom store -1\n",
    ] {
        let home = home();
        drop(filled(home.path(), 1));
        let path = home.path().join("version");
        fs::write(&path, text).unwrap();
        let opened = Store::open(home.path());
        assert!(
            matches!(opened, Err(StoreError::Damaged(Damage::Version { .. }))),
            "{text:?}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
