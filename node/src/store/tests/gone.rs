//! Packs and folders that somebody removed, while the store was open and while it was not.

use std::fs;
use std::io::{ErrorKind, Write};
use std::time::{Duration, SystemTime};

use super::super::fs::hook;
use super::super::pack::path_of;
use super::super::{Batch, BlobPlace, Store, Unusable};
use super::{bytes, entry, home, log, place, places, take_in};

fn pack_of(place: BlobPlace) -> u32 {
    match place {
        BlobPlace::Pack { pack, .. } => pack,
        BlobPlace::File { .. } => panic!("a large blob"),
    }
}

/// Names one more blob, as the next entry would.
fn name(store: &Store, ordinal: u32, place: BlobPlace) {
    let batch = Batch {
        places: vec![(log(1, 1), ordinal, place)],
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
}

#[test]
fn a_pack_that_is_removed_under_the_store_is_named_and_the_next_is_begun() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let root = home.path().join("blobs");
    let stored = [1, 2, 3].map(|seed| store.blobs().put(&bytes(seed, 900)).unwrap());
    store.commit(&places(&stored)).unwrap();
    assert!(!store.is_short() && store.gone().unwrap().is_empty());
    fs::remove_file(path_of(&root, 1)).unwrap();
    let after = store.blobs().put(&bytes(4, 900)).unwrap();
    name(&store, 3, after.place);
    assert_eq!(pack_of(after.place), 2);
    assert_eq!(
        store.blobs().read(&after.cid, &after.place).unwrap(),
        bytes(4, 900)
    );
    assert!(store.is_short());
    let gone = store.gone().unwrap();
    assert_eq!((gone.len(), gone.is_most()), (3, true));
    assert_eq!(gone.packs.into_iter().collect::<Vec<_>>(), [1]);
    // The folder as a whole, and what is written into it for large ones.
    fs::remove_dir_all(&root).unwrap();
    let large = store.blobs().put(&bytes(5, 300_000)).unwrap();
    let small = store.blobs().put(&bytes(6, 900)).unwrap();
    name(&store, 4, large.place);
    name(&store, 5, small.place);
    drop(store);
    let store = Store::open(home.path()).unwrap();
    assert!(store.blobs().is_whole(&large.cid, &large.place).unwrap());
    assert!(store.blobs().is_whole(&small.cid, &small.place).unwrap());
    assert_eq!(store.gone().unwrap().len(), 4);
}

#[test]
fn a_pack_that_was_put_back_from_elsewhere_takes_nothing_into_a_file_without_a_name() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let path = path_of(&home.path().join("blobs"), 1);
    let first = store.blobs().put(&bytes(1, 900)).unwrap();
    store.commit(&places(&[first])).unwrap();
    let copy = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, copy).unwrap();
    let second = store.blobs().put(&bytes(2, 900)).unwrap();
    name(&store, 1, second.place);
    drop(store);
    let store = Store::open(home.path()).unwrap();
    assert!(store.blobs().is_whole(&first.cid, &first.place).unwrap());
    assert!(store.blobs().is_whole(&second.cid, &second.place).unwrap());
    assert!(store.gone().unwrap().is_empty());
}

#[test]
fn what_comes_after_packs_are_gone_is_not_taken_for_what_lay_in_them() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let root = home.path().join("blobs");
    let old = store.blobs().put(&bytes(1, 900)).unwrap();
    store.commit(&places(&[old])).unwrap();
    drop(store);
    fs::remove_dir_all(&root).unwrap();
    let store = Store::open(home.path()).unwrap();
    assert!(store.is_short(), "opening notices it");
    let gone = store.gone().unwrap();
    assert_eq!((gone.len(), gone.is_most()), (1, true));
    // As long as the other, and it would lie where that did.
    let new = store.blobs().put(&bytes(2, 900)).unwrap();
    name(&store, 1, new.place);
    assert_ne!(pack_of(new.place), pack_of(old.place));
    let drops = vec![(log(1, 1), 0, 1)];
    store
        .commit(&Batch {
            drops,
            ..Batch::default()
        })
        .unwrap();
    store.collect(1).unwrap();
    assert_eq!(place(&store, 1), new.place);
    assert!(store.blobs().is_whole(&new.cid, &new.place).unwrap());
    assert!(store.gone().unwrap().is_empty() && !store.is_short());
}

#[test]
fn a_home_that_never_held_anything_misses_nothing() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    store.commit(&super::batch([entry(log(1, 1), 0)])).unwrap();
    drop(store);
    fs::remove_dir_all(home.path().join("blobs")).unwrap();
    let store = Store::open(home.path()).unwrap();
    assert!(!store.is_short() && store.gone().unwrap().is_empty());
}

#[test]
fn a_pack_that_cannot_be_read_hides_no_other_and_is_read_once_it_can_be() {
    let home = home();
    let root = home.path().join("blobs");
    let mut stored = Vec::new();
    for number in 1..=3 {
        let store = match number {
            1 => Store::create(home.path()).unwrap(),
            _ => Store::open(home.path()).unwrap(),
        };
        let one = store.blobs().put(&bytes(number, 900)).unwrap();
        assert_eq!(pack_of(one.place), u32::from(number));
        match number {
            1 => store.commit(&places(&[one])).unwrap(),
            _ => name(&store, u32::from(number), one.place),
        }
        stored.push(one);
        drop(store);
        // What is torn at its end is not gone on with.
        let path = path_of(&root, u32::from(number));
        let mut pack = fs::File::options().append(true).open(path).unwrap();
        pack.write_all(b"torn").unwrap();
    }
    let store = Store::open(home.path()).unwrap();
    let (closed, path) = (path_of(&root, 1), path_of(&root, 1));
    let refuse = move |path: &std::path::Path| match path == closed {
        true => Err(ErrorKind::PermissionDenied.into()),
        false => Ok(()),
    };
    hook::with_reads(refuse, || {
        store.rebuild_index().unwrap();
        let found = stored
            .iter()
            .map(|one| store.blobs().find(&one.cid).unwrap());
        let found: Vec<_> = found.collect();
        assert_eq!(found, [None, Some(stored[1].place), Some(stored[2].place)]);
    });
    assert_eq!(store.unread_packs().into_keys().collect::<Vec<_>>(), [1]);
    take_in(&store);
    let later = SystemTime::now() + Duration::from_secs(3600);
    store.sweep(later, |_| false).unwrap();
    assert!(path.exists(), "nothing names it, and it is kept");
    drop(store);
    let store = Store::open(home.path()).unwrap();
    assert_eq!(store.opened().rebuilt, Some(Unusable::Asked));
    let again = store.blobs().find(&stored[0].cid).unwrap();
    assert_eq!(again, Some(stored[0].place));
    assert!(store.unread_packs().is_empty());
    take_in(&store);
    drop(store);
    assert_eq!(Store::open(home.path()).unwrap().opened().rebuilt, None);
}
