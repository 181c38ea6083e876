//! Numbers for the choices that the store's comments name; run by hand:
//! `cargo test -p heirloom-node measure -- --ignored --nocapture`.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use super::super::{Batch, Store, Table};
use super::{bytes, entry, log};

const ITEMS: u32 = 100_000;
const BATCH: u32 = 64;

fn rss_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

fn fill(store: &Store, items: u32) {
    let small = store.blobs().put(&bytes(1, 1000)).unwrap();
    let large = store.blobs().put(&bytes(1, 300_000)).unwrap();
    for seq in 0..items / BATCH {
        let mut entry = entry(log(1, 1), seq);
        entry.bytes = bytes(1, 18_000);
        entry.first_item = seq * BATCH;
        entry.first_blob = seq * BATCH * 3;
        entry.items = BATCH;
        entry.blobs = BATCH * 3;
        entry.control = false;
        let mut batch = Batch::default();
        for item in 0..BATCH {
            let number = entry.first_item + item;
            batch
                .puts
                .push((Table::Assets, number.to_be_bytes().to_vec(), vec![7; 300]));
            let blind = store.blind(Table::PlainHashes, &number.to_be_bytes());
            batch
                .puts
                .push((Table::PlainHashes, blind.to_vec(), vec![7; 36]));
            let first = entry.first_blob + item * 3;
            let places = [large.place, large.place, small.place];
            let places = places.into_iter().zip(first..);
            batch
                .places
                .extend(places.map(|(place, ordinal)| (entry.log, ordinal, place)));
        }
        batch.entries.push(entry);
        store.commit(&batch).unwrap();
    }
}

fn timed<R>(what: &str, act: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = act();
    eprintln!("{what}: {:?}, {} MB resident", start.elapsed(), rss_mb());
    result
}

#[test]
#[ignore = "measures, takes a minute"]
fn measure_a_library() {
    let items = std::env::var("STORE_ITEMS")
        .ok()
        .and_then(|text| text.parse().ok());
    let items = items.unwrap_or(ITEMS);
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let home = folder.path().join("home");
    let store = Store::create(&home).unwrap();
    timed("fill", || fill(&store, items));
    eprintln!("{:?}", store.stats().unwrap());
    let killed = folder.path().join("killed");
    super::copy(&home, &mkdir(&killed));
    timed("close", || drop(store));
    let store = timed("open after a kill", || Store::open(&killed).unwrap());
    drop(store);
    let store = timed("open", || Store::open(&home).unwrap());
    timed("here", || store.here(&log(1, 1)).unwrap());
    timed("places", || store.places(&log(1, 1), |_, _| ()).unwrap());
    timed("stats", || store.stats().unwrap());
    timed("scan assets", || {
        store
            .scan(Table::Assets, &[], |_, value| {
                assert_eq!(value.unwrap().len(), 300);
                ControlFlow::Continue(())
            })
            .unwrap();
    });
    timed("control entries", || {
        store.control_entries(log(1, 1).space).unwrap()
    });
    timed("1000 blinded gets", || {
        for number in 0..1000_u32 {
            let blind = store.blind(Table::PlainHashes, &(number * 61 % items).to_be_bytes());
            store.get(Table::PlainHashes, &blind).unwrap().unwrap();
        }
    });
    timed("check of all pages", || {
        store.0.index.check_integrity().unwrap()
    });
    drop(store);
    std::fs::remove_file(home.join("heirloom.redb")).unwrap();
    let store = timed("open without an index", || Store::open(&home).unwrap());
    assert!(!store.unindexed_logs().unwrap().is_empty());
}

fn mkdir(path: &Path) -> std::path::PathBuf {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(path).unwrap();
    path.to_owned()
}

#[test]
#[ignore = "measures, takes a minute"]
fn measure_putting_blobs() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let store = Store::create(&folder.path().join("home")).unwrap();
    let content = bytes(1, 3_000_000);
    for (count, len) in [(64, 3_000_000), (64, 300_000), (2000, 20_000)] {
        timed(&format!("put {count} blobs of {len} bytes"), || {
            for index in 0..count {
                let mut content = content[..len].to_vec();
                content[..4].copy_from_slice(&u32::to_be_bytes(index));
                store.blobs().put(&content).unwrap();
            }
        });
        timed("sync", || store.blobs().sync().unwrap());
    }
}
