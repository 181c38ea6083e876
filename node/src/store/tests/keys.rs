//! Secrets at rest: written whole, read whole, by nobody else.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;

use super::super::fs::{Change, hook};
use super::super::{Damage, KeyFile, Keyring, Refusal, Store, StoreError};
use super::{everything, filled, home, take_in};

const MAIN: &str = "keys/device.key";
const COPY: &str = "keys/device.copy.key";

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
    assert_eq!(names, 2, "the key and its copy");
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

/// A home with a device's key, and the bytes of its file.
fn with_device() -> (tempfile::TempDir, Vec<u8>) {
    let home = home();
    let store = filled(home.path(), 2);
    let keyring = store.keyring().unwrap();
    keyring.write(KeyFile::Device, b"an identity").unwrap();
    let bytes = fs::read(home.path().join(MAIN)).unwrap();
    (home, bytes)
}

#[test]
fn either_file_of_the_devices_key_heals_the_other() {
    for (hurt, key) in [(MAIN, KeyFile::Device), (COPY, KeyFile::DeviceCopy)] {
        for at in [None, Some(0), Some(20), Some(50)] {
            let (home, good) = with_device();
            let path = home.path().join(hurt);
            match at {
                None => fs::remove_file(&path).unwrap(),
                Some(at) => {
                    let mut bad = good.clone();
                    bad[at] ^= 4;
                    fs::write(&path, bad).unwrap();
                }
            }
            let store = Store::open(home.path()).unwrap();
            let opened = store.opened();
            assert!(opened.damages.is_empty() && opened.rebuilt.is_none());
            // A home of before has no copy, and nothing is wrong with it.
            let is_told = at.is_some() || key == KeyFile::Device;
            assert_eq!(opened.healed_key, is_told.then_some(key), "{hurt} {at:?}");
            let is_kept = at.is_some() && key == KeyFile::Device;
            assert_eq!(opened.set_aside.len(), usize::from(is_kept));
            for file in [MAIN, COPY] {
                let path = home.path().join(file);
                assert_eq!(fs::read(&path).unwrap(), good, "{hurt} {at:?}");
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
            }
            drop(store);
            let again = Store::open(home.path()).unwrap();
            assert_eq!(again.opened().healed_key, None);
        }
    }
}

#[test]
fn a_home_of_which_the_copy_of_the_key_is_left_is_one() {
    let (home, good) = with_device();
    for file in [MAIN, "version"] {
        fs::remove_file(home.path().join(file)).unwrap();
    }
    fs::remove_dir_all(home.path().join("blobs")).unwrap();
    let made = Store::create(home.path());
    assert!(matches!(made, Err(StoreError::Refused(Refusal::SetUp))));
    drop(Store::open(home.path()).unwrap());
    assert_eq!(fs::read(home.path().join(MAIN)).unwrap(), good);
}

#[test]
fn with_both_files_of_the_key_damaged_nothing_is_touched() {
    let (home, _) = with_device();
    for file in [MAIN, COPY] {
        fs::write(home.path().join(file), file).unwrap();
    }
    let store = Store::open(home.path()).unwrap();
    let damaged = store.keyring().unwrap().read(KeyFile::Device);
    assert!(
        matches!(damaged, Err(StoreError::Damaged(Damage::Key { path })) if path.ends_with(MAIN))
    );
    assert_eq!(store.opened().healed_key, None);
    for file in [MAIN, COPY] {
        assert_eq!(fs::read(home.path().join(file)).unwrap(), file.as_bytes());
    }
}

#[test]
fn a_key_that_is_whole_is_never_replaced_by_its_copy() {
    let closed_with = |bytes: &[u8], form: u8| {
        let mut bytes = bytes.to_vec();
        bytes[16] = form;
        let body = bytes.len() - 32;
        let check = blake3::derive_key("heirloom 2026 v1 key file", &bytes[..body]);
        bytes[body..].copy_from_slice(&check);
        bytes
    };
    // With a passphrase, and as a later version may do it.
    for form in [1, 7] {
        for file in [MAIN, COPY] {
            let (home, good) = with_device();
            let later = closed_with(&good, form);
            let path = home.path().join(file);
            fs::write(&path, &later).unwrap();
            assert_eq!(Store::open(home.path()).unwrap().opened().healed_key, None);
            assert_eq!(fs::read(&path).unwrap(), later);
        }
    }
    let (home, _) = with_device();
    let loose = fs::Permissions::from_mode(0o644);
    fs::set_permissions(home.path().join(COPY), loose).unwrap();
    let refused = Store::open(home.path());
    assert!(matches!(refused, Err(StoreError::Permissions { path, .. }) if path.ends_with(COPY)));
}

#[test]
fn a_new_key_whose_copy_was_not_written_is_the_one_that_stays() {
    let (home, old) = with_device();
    let keyring = Keyring::open(home.path()).unwrap();
    let copy = home.path().join(COPY);
    let half = copy.with_extension("tmp");
    let refuse = move |change: &Change<'_>| match change {
        Change::Create(path) if *path == half => Err(std::io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    };
    hook::with(refuse, || {
        keyring.write(KeyFile::Device, b"a new one").unwrap()
    });
    assert!(!copy.exists(), "an old key outlived the new one");
    // As after a kill between the two files.
    fs::write(&copy, &old).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
    drop(Store::open(home.path()).unwrap());
    let new = fs::read(home.path().join(MAIN)).unwrap();
    assert!(new != old && fs::read(&copy).unwrap() == new);
    keyring.remove(KeyFile::Device).unwrap();
    assert!(!Keyring::has_device(home.path()));
}

#[test]
fn a_copy_of_the_key_that_cannot_be_written_keeps_no_home_closed() {
    let (home, _) = with_device();
    fs::remove_file(home.path().join(COPY)).unwrap();
    let refuse = |change: &Change<'_>| match change {
        Change::Create(path) if path.ends_with("keys/device.copy.tmp") => {
            Err(std::io::ErrorKind::PermissionDenied.into())
        }
        _ => Ok(()),
    };
    let store = hook::with(refuse, || Store::open(home.path()).unwrap());
    assert_eq!(store.opened().healed_key, None);
}
