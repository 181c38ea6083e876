//! Sealed values: what comes back is what went in, for the same key of the same table, or nothing.

use std::fs;
use std::ops::{Bound, ControlFlow};

use super::super::{Batch, Damage, Order, Store, StoreError, Table};
use super::{batch, entry, home, log};

fn put(store: &Store, table: Table, key: &[u8], value: &[u8]) {
    let batch = Batch {
        puts: vec![(table, key.to_vec(), value.to_vec())],
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
}

fn keys(store: &Store, prefix: &[u8]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    store
        .scan(Table::Assets, prefix, |key, value| {
            value.unwrap();
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    keys
}

#[test]
fn values_survive_and_no_plaintext_lies_on_disk() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let secret = b"Grandmother at the lake, 47.5N 8.7E";
    put(&store, Table::Assets, b"a", secret);
    drop(store);
    let store = Store::open(home.path()).unwrap();
    assert_eq!(store.get(Table::Assets, b"a").unwrap().unwrap(), secret);
    assert_eq!(store.get(Table::Kv, b"a").unwrap(), None);
    drop(store);
    let raw = fs::read(home.path().join("heirloom.redb")).unwrap();
    assert!(!raw.windows(11).any(|window| window == b"Grandmother"));
}

#[test]
fn deleting_removes_and_putting_again_replaces() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    put(&store, Table::Receipts, b"a", b"1");
    put(&store, Table::Receipts, b"a", b"2");
    assert_eq!(store.get(Table::Receipts, b"a").unwrap().unwrap(), b"2");
    assert_eq!(store.count(Table::Receipts).unwrap(), 1);
    let batch = Batch {
        deletes: vec![(Table::Receipts, b"a".to_vec())],
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
    assert_eq!(store.get(Table::Receipts, b"a").unwrap(), None);
}

#[test]
fn scans_show_a_prefix_a_range_and_both_directions() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let puts = (0..1200_u32).map(|index| {
        let mut key = vec![if index < 1100 { 0xff } else { 1 }];
        key.extend(index.to_be_bytes());
        (Table::Assets, key, index.to_be_bytes().to_vec())
    });
    let puts = puts.collect();
    store
        .commit(&Batch {
            puts,
            ..Batch::default()
        })
        .unwrap();
    assert_eq!(keys(&store, &[]).len(), 1200);
    assert_eq!(keys(&store, &[0xff]).len(), 1100);
    assert_eq!(keys(&store, &[1]).len(), 100);
    assert!(keys(&store, &[2]).is_empty());
    let mut last = Vec::new();
    let low = [0xff];
    let range = (Bound::Included(low.as_slice()), Bound::Unbounded);
    store
        .scan_range(Table::Assets, range, Order::Falling, |_, value| {
            last.push(u32::from_be_bytes(value.unwrap().try_into().unwrap()));
            match last.len() {
                600 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        })
        .unwrap();
    assert_eq!(last, (500..1100).rev().collect::<Vec<_>>());
    let crossed = (
        Bound::Included([9].as_slice()),
        Bound::Excluded([3].as_slice()),
    );
    store
        .scan_range(Table::Assets, crossed, Order::Rising, |_, _| {
            panic!("a key")
        })
        .unwrap();
}

#[test]
fn a_value_moved_to_another_key_or_table_does_not_open() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    put(&store, Table::Assets, b"a", b"one");
    let sealed = store.0.sealer.seal(Table::Assets, b"a", b"one").unwrap();
    for (table, key) in [(Table::Assets, b"b"), (Table::Albums, b"a")] {
        let moved = store.0.index.write(|write| {
            let mut values = write.open_table(table.definition()).unwrap();
            values.insert(key.as_slice(), sealed.as_slice()).unwrap();
            Ok(())
        });
        assert!(moved.is_ok());
        let damage = Damage::Value {
            table,
            key: key.to_vec(),
        };
        match store.get(table, key) {
            Err(StoreError::Damaged(found)) => assert_eq!(found, damage),
            other => panic!("{other:?}"),
        }
        let mut seen = Vec::new();
        store
            .scan(table, b"", |key, value| {
                seen.push((key.to_vec(), value.is_ok()));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert!(seen.contains(&(key.to_vec(), false)));
    }
    assert_eq!(store.get(Table::Assets, b"a").unwrap().unwrap(), b"one");
}

#[test]
fn blinded_terms_differ_by_table_and_home() {
    let [one, two] = [home(), home()];
    let [one, two] = [&one, &two].map(|home| Store::create(home.path()).unwrap());
    let blind = one.blind(Table::PlainHashes, b"term");
    assert_eq!(one.blind(Table::PlainHashes, b"term"), blind);
    assert_ne!(one.blind(Table::Sources, b"term"), blind);
    assert_ne!(two.blind(Table::PlainHashes, b"term"), blind);
}

#[test]
fn what_no_log_tells_is_carried_into_an_index_made_again() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    put(&store, Table::Invites, b"spent", b"yes");
    put(&store, Table::Assets, b"derived", b"from the logs");
    store.rebuild_at_next_open().unwrap();
    drop(store);
    let store = Store::open(home.path()).unwrap();
    assert!(store.opened().rebuilt.is_some());
    assert_eq!(
        store.get(Table::Invites, b"spent").unwrap().unwrap(),
        b"yes"
    );
    assert_eq!(store.get(Table::Assets, b"derived").unwrap(), None);
    drop(store);
    assert!(Store::open(home.path()).unwrap().opened().rebuilt.is_none());
}

#[test]
fn what_was_set_here_outlives_an_index_that_is_gone() {
    let home = home();
    let (index, kept) = (
        home.path().join("heirloom.redb"),
        home.path().join("settings"),
    );
    let store = Store::create(home.path()).unwrap();
    store.commit(&batch([entry(log(1, 1), 0)])).unwrap();
    put(&store, Table::Kv, b"watched folders", b"the camera");
    put(&store, Table::Kv, b"depot/1", b"the disk");
    put(&store, Table::Kv, b"depot/2", b"another");
    put(&store, Table::Kv, b"scrub", b"how far");
    let deletes = vec![(Table::Kv, b"depot/2".to_vec())];
    store
        .commit(&Batch {
            deletes,
            ..Batch::default()
        })
        .unwrap();
    drop(store);
    let whole = fs::read(&kept).unwrap();
    let text = String::from_utf8_lossy(&whole);
    assert!(!text.contains("camera") && !text.contains("disk"), "sealed");

    fs::remove_file(&index).unwrap();
    let store = Store::open(home.path()).unwrap();
    let value = |store: &Store, key: &[u8]| store.get(Table::Kv, key).unwrap();
    assert_eq!(value(&store, b"watched folders").unwrap(), b"the camera");
    assert_eq!(value(&store, b"depot/1").unwrap(), b"the disk");
    assert_eq!(value(&store, b"depot/2"), None);
    assert_eq!(value(&store, b"scrub"), None);
    drop(store);

    // A file with a wrong bit, cut off or gone is written again from the index; with both gone, nothing is
    // believed that does not open.
    for bad in [
        whole[..whole.len() / 2].to_vec(),
        whole.iter().map(|byte| byte ^ 4).collect(),
        Vec::new(),
    ] {
        fs::write(&kept, &bad).unwrap();
        drop(Store::open(home.path()).unwrap());
        assert_eq!(fs::read(&kept).unwrap(), whole);
        fs::write(&kept, &bad).unwrap();
        fs::remove_file(&index).unwrap();
        let store = Store::open(home.path()).unwrap();
        assert_eq!(value(&store, b"watched folders"), None);
        put(&store, Table::Kv, b"watched folders", b"the camera");
        put(&store, Table::Kv, b"depot/1", b"the disk");
        assert_eq!(value(&store, b"depot/1").unwrap(), b"the disk");
        drop(store);
        fs::write(&kept, &whole).unwrap();
        fs::remove_file(&index).unwrap();
        drop(Store::open(home.path()).unwrap());
    }
}
