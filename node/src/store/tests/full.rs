//! A disk that is really full: a small one in memory, where the test may mount it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::super::{Batch, Store, StoreError, Table};
use super::{bytes, entry, home, log};
use crate::numbers::{asked, report};

/// How often a store sees its disk fill; the environment may ask for more, for as many stores as it takes.
const CYCLES: u64 = 24;

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

/// Fills a disk and makes room on it, so many times; how many entries a store on it has then.
fn fill_and_empty(disk: &Path, cycles: u64) -> u32 {
    let home = disk.join("home");
    let store = Store::create(&home).unwrap();
    let filler = disk.join("filler");
    let mut count = 0;
    for cycle in 0..cycles {
        // So much room, a little more each time, so that another write meets the end.
        let (free, _) = super::super::fs::space(disk).unwrap();
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
    drop(store);
    let store = Store::open(&home).unwrap();
    assert!(store.opened().rebuilt.is_none());
    check(&store, count);
    drop(store);
    fs::remove_dir_all(&home).unwrap();
    count
}

#[test]
fn a_full_disk_still_reads_and_goes_on_once_there_is_room() {
    let folder = home();
    let Some(mount) = Mount::new(folder.path()) else {
        report("skipped: this needs to mount a small disk, which is not allowed here");
        let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!in_ci, "nothing is left out under CI");
        return;
    };
    let cycles: u64 = asked("HEIRLOOM_STORE_CYCLES", CYCLES);
    let (mut left, mut entries) = (cycles, 0);
    while left > 0 {
        let now = left.min(CYCLES);
        entries += fill_and_empty(mount.0, now);
        left -= now;
    }
    assert!(u64::from(entries) > 2 * cycles, "{entries}");
    report(&format!(
        "a disk was filled and emptied {cycles} times, for {entries} entries"
    ));
}
