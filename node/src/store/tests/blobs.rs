//! Blobs: under their own name or not at all, here after anything once a commit named them.

use std::cell::Cell;
use std::fs;
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use heirloom_protocol::id::BlobId;
use heirloom_protocol::limits::LEAF_BYTES;

use super::super::fs::{Change, hook};
use super::super::pack::{PACK_BYTES, path_of};
use super::super::{Batch, BlobPlace, BlobState, Damage, Refusal, Store, StoreError, Stored};
use super::{bytes, copy, home, log, place, places, take_in};

#[test]
fn small_and_large_blobs_are_read_back_after_reopening() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let sizes = [1, 20_000, 262_143, 262_144, 3_000_000];
    let contents: Vec<_> = sizes
        .iter()
        .zip(0..)
        .map(|(len, seed)| bytes(seed, *len))
        .collect();
    let stored: Vec<_> = contents
        .iter()
        .map(|content| {
            let mut writer = store.blobs().writer();
            for piece in content.chunks(50_000) {
                writer.write(piece).unwrap();
            }
            writer.finish().unwrap()
        })
        .collect();
    store.commit(&places(&stored)).unwrap();
    drop(store);
    let store = Store::open(home.path()).unwrap();
    for ((content, stored), ordinal) in contents.iter().zip(&stored).zip(0..) {
        let place = place(&store, ordinal);
        assert_eq!(place, stored.place);
        assert_eq!(stored.cid.0, *blake3::hash(content).as_bytes());
        assert_eq!(store.blobs().read(&stored.cid, &place).unwrap(), *content);
        assert!(store.blobs().is_whole(&stored.cid, &place).unwrap());
        assert_eq!(store.blobs().name(&place).unwrap(), Some(stored.cid));
        let reader = store.blobs().open_blob(&stored.cid, &place).unwrap();
        assert_eq!(reader.len(), u64::try_from(content.len()).unwrap());
        let from = content.len() / 3;
        let mut part = vec![0; content.len() - from];
        reader
            .read_at(u64::try_from(from).unwrap(), &mut part)
            .unwrap();
        assert_eq!(part, content[from..]);
        assert!(reader.read_at(reader.len(), &mut [0]).is_err());
    }
    assert!(matches!(stored[2].place, BlobPlace::Pack { .. }));
    assert!(matches!(stored[3].place, BlobPlace::File { .. }));
    let here: Vec<_> = store.here(&log(1, 1)).unwrap().iter().collect();
    assert_eq!(here, [0, 1, 2, 3, 4]);
    assert_eq!(store.blob_state(&log(1, 1), 9).unwrap(), BlobState::Absent);
}

#[test]
fn a_large_blob_has_its_name_only_once_it_is_durable() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = store.blobs().put(&bytes(1, 400_000)).unwrap();
    assert_eq!(store.blobs().find(&stored.cid).unwrap(), None);
    store.blobs().sync().unwrap();
    assert_eq!(store.blobs().find(&stored.cid).unwrap(), Some(stored.place));
    drop(store.blobs().writer());
    let mut writer = store.blobs().writer();
    writer.write(&bytes(2, 400_000)).unwrap();
    drop(writer);
    assert_eq!(
        fs::read_dir(home.path().join("blobs/tmp")).unwrap().count(),
        0
    );
}

#[test]
fn a_blob_under_another_name_is_refused_and_leaves_nothing() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let expected = BlobId([7; 32]);
    for len in [100, 400_000] {
        let refused = store.blobs().put_as(&expected, &bytes(1, len));
        assert!(matches!(
            refused,
            Err(StoreError::Refused(Refusal::WrongBlob { .. }))
        ));
    }
    assert!(!store.blobs().is_dirty());
    assert_eq!(
        fs::read_dir(home.path().join("blobs/tmp")).unwrap().count(),
        0
    );
    assert_eq!(
        fs::read_dir(home.path().join("blobs/packs"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn packs_roll_over_and_every_blob_in_them_is_found() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let len = 250_000;
    let count = usize::try_from(PACK_BYTES).unwrap() / len + 20;
    let stored: Vec<_> = (0..count)
        .map(|index| {
            let mut content = bytes(0, len);
            content[..8].copy_from_slice(&index.to_le_bytes());
            store.blobs().put(&content).unwrap()
        })
        .collect();
    store.commit(&places(&stored)).unwrap();
    drop(store);
    let store = Store::open(home.path()).unwrap();
    let packs = fs::read_dir(home.path().join("blobs/packs"))
        .unwrap()
        .count();
    assert_eq!(packs, 2);
    for (stored, ordinal) in stored.iter().zip(0..) {
        let place = place(&store, ordinal);
        assert!(store.blobs().is_whole(&stored.cid, &place).unwrap());
    }
    // The last pack goes on where it was committed.
    let more = store.blobs().put(&bytes(9, 1000)).unwrap();
    assert!(matches!(more.place, BlobPlace::Pack { pack: 2, .. }));
}

#[test]
fn a_pack_with_a_torn_end_is_not_continued() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let first = store.blobs().put(&bytes(1, 1000)).unwrap();
    store.commit(&places(&[first])).unwrap();
    store.blobs().put(&bytes(2, 1000)).unwrap();
    drop(store);
    let path = path_of(&home.path().join("blobs"), 1);
    let torn = fs::read(&path).unwrap();
    fs::write(&path, &torn[..torn.len() - 100]).unwrap();
    let store = Store::open(home.path()).unwrap();
    let next = store.blobs().put(&bytes(3, 1000)).unwrap();
    assert!(matches!(next.place, BlobPlace::Pack { pack: 2, .. }));
    assert!(
        store
            .blobs()
            .is_whole(&first.cid, &place(&store, 0))
            .unwrap()
    );
}

#[test]
fn a_place_without_a_blob_is_refused() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let cid = BlobId([7; 32]);
    let packed = store.blobs().put(&bytes(1, 1000)).unwrap();
    let BlobPlace::Pack { pack, offset, len } = packed.place else {
        panic!("a file");
    };
    let wrong = [
        BlobPlace::File { cid, len: 5 },
        BlobPlace::Pack {
            pack: 9,
            offset,
            len,
        },
        BlobPlace::Pack {
            pack,
            offset: offset + 1,
            len,
        },
        BlobPlace::Pack {
            pack,
            offset,
            len: len + 1,
        },
    ];
    for place in wrong {
        let refused = store.commit(&places(&[Stored { cid, place }]));
        assert!(matches!(
            refused,
            Err(StoreError::Refused(Refusal::BlobGone(_)))
        ));
    }
    assert_eq!(store.head(&log(1, 1)), None);
}

#[test]
fn drops_take_a_blob_out_of_sight_and_undrops_bring_it_back() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = store.blobs().put(&bytes(1, 1000)).unwrap();
    store.commit(&places(&[stored, stored])).unwrap();
    let here = || store.here(&log(1, 1)).unwrap().iter().collect::<Vec<_>>();
    let drops = vec![(log(1, 1), 0, 77), (log(1, 1), 5, 77)];
    store
        .commit(&Batch {
            drops,
            ..Batch::default()
        })
        .unwrap();
    let state = store.blob_state(&log(1, 1), 0).unwrap();
    assert_eq!(
        state,
        BlobState::Dropped {
            place: stored.place,
            since: 77
        }
    );
    assert_eq!(store.blob_state(&log(1, 1), 5).unwrap(), BlobState::Absent);
    assert_eq!(here(), [1]);
    let undrops = vec![(log(1, 1), 0)];
    store
        .commit(&Batch {
            undrops,
            ..Batch::default()
        })
        .unwrap();
    assert_eq!(place(&store, 0), stored.place);
    assert_eq!(here(), [0, 1]);
    let lost = vec![(log(1, 1), 1)];
    store
        .commit(&Batch {
            lost,
            ..Batch::default()
        })
        .unwrap();
    assert_eq!(store.blob_state(&log(1, 1), 1).unwrap(), BlobState::Absent);
    assert_eq!(here(), [0]);
}

#[test]
fn blobs_are_found_again_while_the_index_is_made_again() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = [1, 2, 3].map(|seed| {
        store
            .blobs()
            .put(&bytes(seed, usize::from(seed) * 150_000))
            .unwrap()
    });
    store.commit(&places(&stored)).unwrap();
    assert_eq!(store.blobs().find(&stored[0].cid).unwrap(), None);
    drop(store);
    fs::remove_file(home.path().join("heirloom.redb")).unwrap();
    let store = Store::open(home.path()).unwrap();
    for stored in stored {
        assert_eq!(store.blobs().find(&stored.cid).unwrap(), Some(stored.place));
    }
    assert_eq!(store.blobs().find(&BlobId([0; 32])).unwrap(), None);
    store.commit(&places(&stored)).unwrap();
    assert_eq!(store.blobs().find(&stored[0].cid).unwrap(), None);
    assert_eq!(take_in(&store), 0);
    assert_eq!(place(&store, 2), stored[2].place);
}

#[test]
fn damage_to_a_blob_is_named_and_its_bytes_are_not_handed_out() {
    for len in [1000, 400_000] {
        let home = home();
        let store = Store::create(home.path()).unwrap();
        let stored = store.blobs().put(&bytes(1, len)).unwrap();
        store.commit(&places(&[stored])).unwrap();
        let path = match stored.place {
            BlobPlace::File { cid, .. } => store.blobs().0.path(&cid),
            BlobPlace::Pack { .. } => path_of(&home.path().join("blobs"), 1),
        };
        let good = fs::read(&path).unwrap();
        for at in [good.len() - 1, good.len() - len + 1, good.len() - len / 2] {
            let mut bad = good.clone();
            bad[at] ^= 4;
            fs::write(&path, &bad).unwrap();
            match store.blobs().read(&stored.cid, &stored.place) {
                Err(StoreError::Damaged(found)) => {
                    assert_eq!(found, Damage::Blob { cid: stored.cid });
                }
                other => panic!("{:?}", other.map(|bytes| bytes.len())),
            }
            assert!(!store.blobs().is_whole(&stored.cid, &stored.place).unwrap());
        }
    }
}

fn leaf(content: &[u8], index: u32) -> &[u8] {
    content
        .chunks(LEAF_BYTES)
        .nth(usize::try_from(index).unwrap())
        .unwrap()
}

#[test]
fn a_partial_blob_goes_on_after_a_restart_and_trusts_nothing() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let content = bytes(5, LEAF_BYTES * 6 + 777);
    let cid = BlobId(*blake3::hash(&content).as_bytes());
    let len = u64::try_from(content.len()).unwrap();
    let partial = store
        .blobs()
        .partial(&cid, len, |_, _| panic!("nothing yet"))
        .unwrap();
    assert_eq!(partial.leaves(), 7);
    assert!(matches!(
        store.blobs().partial(&cid, len, |_, _| true),
        Err(StoreError::Refused(Refusal::Busy { .. }))
    ));
    for index in [6, 0, 3] {
        partial.write_leaf(index, leaf(&content, index)).unwrap();
    }
    assert!(partial.write_leaf(6, leaf(&content, 0)).is_err());
    assert!(partial.write_leaf(7, b"x").is_err());
    partial.note().unwrap();
    partial.write_leaf(1, leaf(&content, 1)).unwrap();
    assert_eq!(
        partial.read_leaf(3).unwrap().as_deref(),
        Some(leaf(&content, 3))
    );
    assert_eq!(partial.read_leaf(4).unwrap(), None);
    drop(partial);
    drop(store);
    // What was noted but rotted since is fetched again.
    let path = home.path().join("blobs/partial").join(cid.to_string());
    let mut raw = fs::read(&path).unwrap();
    raw[10] ^= 1;
    fs::write(&path, &raw).unwrap();
    let store = Store::open(home.path()).unwrap();
    assert_eq!(store.blobs().partials().unwrap(), [cid]);
    let check = |index: u64, bytes: &[u8]| bytes == leaf(&content, u32::try_from(index).unwrap());
    let partial = store.blobs().partial(&cid, len, check).unwrap();
    let missing: Vec<_> = partial.missing().iter().collect();
    assert_eq!(missing, [0, 1, 2, 4, 5]);
    drop(partial);
    // Without a usable note everything is looked at.
    fs::write(path.with_extension("have"), b"torn").unwrap();
    let partial = store.blobs().partial(&cid, len, check).unwrap();
    let missing: Vec<_> = partial.missing().iter().collect();
    assert_eq!(missing, [0, 2, 4, 5]);
    for index in missing {
        partial.write_leaf(index, leaf(&content, index)).unwrap();
    }
    let stored = partial.finish().unwrap();
    store.commit(&places(&[stored])).unwrap();
    assert_eq!(
        store.blobs().read(&cid, &place(&store, 0)).unwrap(),
        content
    );
    assert!(store.blobs().partials().unwrap().is_empty());
    assert_eq!(
        fs::read_dir(home.path().join("blobs/partial"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_partial_blob_that_is_incomplete_or_wrong_is_not_put() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let content = bytes(5, LEAF_BYTES * 2);
    let cid = BlobId(*blake3::hash(&content).as_bytes());
    let len = u64::try_from(content.len()).unwrap();
    let partial = store.blobs().partial(&cid, len, |_, _| true).unwrap();
    partial.write_leaf(0, leaf(&content, 0)).unwrap();
    assert!(matches!(
        partial.finish(),
        Err(StoreError::Refused(Refusal::Incomplete { .. }))
    ));
    let partial = store
        .blobs()
        .partial(&cid, len, |index, _| index == 0)
        .unwrap();
    partial.write_leaf(1, leaf(&content, 0)).unwrap();
    assert!(matches!(
        partial.finish(),
        Err(StoreError::Refused(Refusal::WrongBlob { .. }))
    ));
    assert!(store.blobs().partials().unwrap().is_empty());
    let partial = store
        .blobs()
        .partial(&cid, len, |_, _| panic!("begun anew"))
        .unwrap();
    for index in [0, 1] {
        partial.write_leaf(index, leaf(&content, index)).unwrap();
    }
    let stored = partial.finish().unwrap();
    assert!(matches!(stored.place, BlobPlace::Pack { .. }));
    store.blobs().sync().unwrap();
    assert_eq!(store.blobs().read(&cid, &stored.place).unwrap(), content);
    let partial = store.blobs().partial(&cid, len, |_, _| true).unwrap();
    partial.discard().unwrap();
    assert!(store.blobs().partials().unwrap().is_empty());
}

#[test]
fn leaf_lists_are_kept_beside_large_blobs() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let cid = BlobId([4; 32]);
    assert_eq!(store.blobs().leaves(&cid, 100).unwrap(), None);
    store.blobs().put_leaves(&cid, b"list").unwrap();
    assert_eq!(store.blobs().leaves(&cid, 100).unwrap().unwrap(), b"list");
    assert_eq!(store.blobs().leaves(&cid, 3).unwrap(), None);
    assert_eq!(store.blobs().find(&cid).unwrap(), None);
}

#[test]
fn a_copy_of_the_home_taken_after_a_commit_holds_every_blob_of_it() {
    let [home, copied] = [home(), home()];
    let store = Store::create(home.path()).unwrap();
    let stored = [1, 2].map(|seed| {
        store
            .blobs()
            .put(&bytes(seed, usize::from(seed) * 200_000))
            .unwrap()
    });
    store.commit(&places(&stored)).unwrap();
    copy(home.path(), copied.path());
    let store = Store::open(copied.path()).unwrap();
    for (stored, ordinal) in stored.iter().zip(0..) {
        assert!(
            store
                .blobs()
                .is_whole(&stored.cid, &place(&store, ordinal))
                .unwrap()
        );
    }
}

#[test]
fn a_sync_that_failed_for_another_leaves_no_damaged_file_to_be_named() {
    let is_change: [fn(&Change<'_>) -> bool; 2] = [
        |change| matches!(change, Change::Sync(_)),
        |change| matches!(change, Change::Rename(..)),
    ];
    for fails in is_change {
        let home = home();
        let store = Store::create(home.path()).unwrap();
        let content = bytes(1, 300_000);
        let stored = store.blobs().put(&content).unwrap();
        store.commit(&places(&[stored])).unwrap();
        let path = store.blobs().0.path(&stored.cid);
        let mut bad = content.clone();
        bad[70_000] ^= 1;
        fs::write(&path, &bad).unwrap();
        // One makes it again, and the sync of another, which takes what all have put, fails for it.
        store.blobs().put(&content).unwrap();
        let refuse = move |change: &Change<'_>| match fails(change) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        };
        hook::with(refuse, || store.blobs().sync().unwrap_err());
        let tmp = fs::read_dir(home.path().join("blobs/tmp")).unwrap();
        assert_eq!(tmp.count(), 0, "room is given back on a full disk");
        // The own sync has nothing to do.
        store.blobs().sync().unwrap();
        let again = Batch {
            places: vec![(log(1, 1), 1, stored.place)],
            ..Batch::default()
        };
        let named = store.commit(&again);
        assert!(
            matches!(named, Err(StoreError::Refused(Refusal::BlobGone(_)))),
            "{named:?}"
        );
        store.blobs().put(&content).unwrap();
        store.commit(&again).unwrap();
        assert_eq!(
            store.blobs().read(&stored.cid, &place(&store, 1)).unwrap(),
            content
        );
    }
}

#[test]
fn a_failed_sync_is_not_held_against_a_whole_blob_of_the_same_name() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let content = bytes(1, 300_000);
    let stored = store.blobs().put(&content).unwrap();
    store.commit(&places(&[stored])).unwrap();
    store.blobs().put(&content).unwrap();
    let refuse = |change: &Change<'_>| match change {
        Change::Sync(_) => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    };
    hook::with(refuse, || store.blobs().sync().unwrap_err());
    let again = Batch {
        places: vec![(log(1, 1), 1, stored.place)],
        ..Batch::default()
    };
    store.commit(&again).unwrap();
    assert_eq!(place(&store, 1), stored.place);
}

#[test]
fn a_commit_that_names_a_blob_waits_for_the_sync_that_has_taken_it() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = store.blobs().put(&bytes(1, 300_000)).unwrap();
    let (reached, is_reached) = mpsc::channel();
    let (commits, committed) = mpsc::channel();
    let syncing = store.clone();
    let sync = thread::spawn(move || {
        let is_first = Cell::new(true);
        // The blob has its name by now, and a loss of power would take that away again.
        let wait = move |change: &Change<'_>| {
            if matches!(change, Change::SyncFolder(_)) && is_first.take() {
                reached.send(()).unwrap();
                let soon = committed.recv_timeout(Duration::from_millis(300));
                assert_eq!(soon, Err(mpsc::RecvTimeoutError::Timeout));
            }
            Ok(())
        };
        hook::with(wait, || syncing.blobs().sync().unwrap());
    });
    is_reached.recv().unwrap();
    store.commit(&places(&[stored])).unwrap();
    // Nobody listens once the sync has ended.
    let _ = commits.send(());
    sync.join().unwrap();
    assert_eq!(place(&store, 0), stored.place);
}
