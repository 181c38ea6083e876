//! A disk that is really full: a small one in memory, where the test may mount it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::super::{Batch, Store, StoreError, Table};
use super::{bytes, entry, home, log};

struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn new(path: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs"]);
        let status = mount.arg(path).stderr(Stdio::null()).status();
        status
            .is_ok_and(|status| status.success())
            .then_some(Self(path))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

fn add(store: &Store, seq: u32) -> Result<(), StoreError> {
    let mut entry = entry(log(1, 1), seq);
    entry.bytes = bytes(1, 20_000);
    let stored = store
        .blobs()
        .put(&bytes(u8::try_from(seq % 251).unwrap(), 30_000))?;
    let batch = Batch {
        places: vec![(entry.log, entry.first_blob, stored.place)],
        puts: vec![(Table::Assets, seq.to_be_bytes().to_vec(), vec![7; 5000])],
        entries: vec![entry],
        ..Batch::default()
    };
    store.commit(&batch)
}

fn check(store: &Store, count: u32) {
    assert_eq!(store.head(&log(1, 1)).map_or(0, |head| head.seq + 1), count);
    for seq in 0..count {
        assert!(store.entry(&log(1, 1), seq).unwrap().is_some());
        assert!(
            store
                .get(Table::Assets, &seq.to_be_bytes())
                .unwrap()
                .is_some()
        );
    }
}

#[test]
fn a_full_disk_still_reads_and_goes_on_once_there_is_room() {
    let folder = home();
    let Some(mount) = Mount::new(folder.path()) else {
        eprintln!("skipped: this needs to mount a small disk, which is not allowed here");
        return;
    };
    let store = Store::create(&mount.0.join("home")).unwrap();
    let filler = mount.0.join("filler");
    let mut count = 0;
    for cycle in 0..24 {
        // So much room, a little more each time, so that another write meets the end.
        let (free, _) = super::super::fs::space(mount.0).unwrap();
        let room = 300_000 + cycle * 17_000;
        let filling = usize::try_from(free.saturating_sub(room)).unwrap();
        fs::write(&filler, vec![1; filling]).unwrap();
        let error = loop {
            match add(&store, count) {
                Ok(()) => count += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::DiskFull), "{error}");
        check(&store, count);
        fs::remove_file(&filler).unwrap();
        // What reached only its file is taken in by the same entry coming again.
        add(&store, count).unwrap();
        count += 1;
        check(&store, count);
    }
    assert!(count > 48, "{count}");
    drop(store);
    let store = Store::open(&mount.0.join("home")).unwrap();
    assert!(store.opened().rebuilt.is_none());
    check(&store, count);
}
