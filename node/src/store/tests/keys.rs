//! Secrets at rest: written whole, read whole, by nobody else.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;

use super::super::fs::{Change, hook};
use super::super::{Damage, KeyFile, Keyring, Refusal, Store, StoreError};
use super::{everything, filled, home, take_in};

#[test]
fn a_secret_is_read_back_and_replaced_as_a_whole() {
    let home = home();
    let keyring = Keyring::open(home.path()).unwrap();
    assert!(!keyring.holds(KeyFile::Device));
    assert!(matches!(
        keyring.read(KeyFile::Device),
        Err(StoreError::Io(_))
    ));
    keyring.write(KeyFile::Device, b"first secret").unwrap();
    keyring.write(KeyFile::Device, b"second").unwrap();
    assert_eq!(**keyring.read(KeyFile::Device).unwrap(), *b"second");
    let path = keyring.path(KeyFile::Device);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let names = fs::read_dir(home.path().join("keys")).unwrap().count();
    assert_eq!(names, 1);
    let huge = vec![0; 70_000];
    assert!(matches!(
        keyring.write(KeyFile::Device, &huge),
        Err(StoreError::Refused(Refusal::TooLarge { .. }))
    ));
}

#[test]
fn any_changed_byte_of_a_key_file_is_noticed() {
    let home = home();
    let keyring = Keyring::open(home.path()).unwrap();
    keyring.write(KeyFile::Device, b"secret").unwrap();
    let path = keyring.path(KeyFile::Device);
    let good = fs::read(&path).unwrap();
    let damage = Damage::Key { path: path.clone() };
    let check = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        match keyring.read(KeyFile::Device) {
            Err(StoreError::Damaged(found)) => assert_eq!(found, damage),
            other => panic!("{:?}", other.map(|_| ())),
        }
    };
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        check(&bad);
        check(&good[..at]);
    }
    check(&vec![0; 100_000]);
}

#[test]
fn a_key_file_with_a_passphrase_is_said_to_be_one() {
    let home = home();
    let keyring = Keyring::open(home.path()).unwrap();
    keyring.write(KeyFile::Device, b"secret").unwrap();
    let path = keyring.path(KeyFile::Device);
    let mut bytes = fs::read(&path).unwrap();
    bytes[16] = 1;
    let body = bytes.len() - 32;
    let check = blake3::derive_key("heirloom 2026 v1 key file", &bytes[..body]);
    bytes[body..].copy_from_slice(&check);
    fs::write(&path, bytes).unwrap();
    let error = keyring.read(KeyFile::Device).err().unwrap().to_string();
    assert!(error.contains("passphrase"), "{error}");
}

#[test]
fn what_an_interrupted_write_left_is_cleared() {
    let home = home();
    drop(filled(home.path(), 1));
    let left = home.path().join("keys/device.tmp");
    fs::write(&left, b"half a secret").unwrap();
    drop(Store::open(home.path()).unwrap());
    assert!(!left.exists());
}

#[test]
fn what_another_thread_is_writing_is_left_alone() {
    let home = home();
    let store = filled(home.path(), 1);
    let half = home.path().join("keys/pending.tmp");
    fs::write(&half, b"half a secret").unwrap();
    let keyring = store.keyring().unwrap();
    assert!(half.exists());
    assert!(keyring.holds(KeyFile::Store));
}

#[test]
fn a_secret_that_was_removed_does_not_come_back() {
    let home = home();
    let keyring = Keyring::open(home.path()).unwrap();
    keyring.write(KeyFile::Pending, b"secret").unwrap();
    let changes = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&changes);
    let look = move |change: &Change<'_>| {
        match change {
            Change::Remove(path) => seen.borrow_mut().push(path.to_path_buf()),
            Change::SyncFolder(folder) => seen.borrow_mut().push(folder.to_path_buf()),
            _ => {}
        }
        Ok(())
    };
    hook::with(look, || {
        keyring.remove(KeyFile::Pending).unwrap();
        keyring.remove(KeyFile::Pending).unwrap();
    });
    let folder = home.path().join("keys");
    assert_eq!(changes.take(), [folder.join("pending.key"), folder]);
}

#[test]
fn a_secret_of_a_newer_version_is_not_taken_for_none() {
    let home = home();
    let keyring = Keyring::open(home.path()).unwrap();
    assert_eq!(keyring.load::<[u8; 4]>(KeyFile::Device).unwrap(), None);
    keyring.write(KeyFile::Device, &[1, 2, 3, 4]).unwrap();
    let read = keyring.load::<[u8; 4]>(KeyFile::Device).unwrap();
    assert_eq!(read, Some([1, 2, 3, 4]));
    // As it would be with a field more, and with one less.
    for secret in [&[1, 2, 3, 4, 5][..], &[1, 2, 3]] {
        keyring.write(KeyFile::Device, secret).unwrap();
        assert!(matches!(
            keyring.load::<[u8; 4]>(KeyFile::Device),
            Err(StoreError::NewerKey { path }) if path == keyring.path(KeyFile::Device)
        ));
    }
}

#[test]
fn a_lost_or_damaged_store_key_costs_the_index_and_nothing_else() {
    for damage in [true, false] {
        let home = home();
        let wanted = everything(&filled(home.path(), 6));
        let path = home.path().join("keys/store.key");
        if damage {
            fs::write(&path, b"garbage").unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        let store = Store::open(home.path()).unwrap();
        assert!(store.opened().rebuilt.is_some());
        assert_eq!(store.opened().damages.len(), usize::from(damage));
        take_in(&store);
        assert_eq!(everything(&store), wanted);
    }
}
