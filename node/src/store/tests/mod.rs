//! Tests of the store as a whole, through its public calls and the files it leaves.

use std::path::Path;

use heirloom_protocol::id::{BranchId, DeviceId, EntryId, LogId, SpaceId};
use tempfile::TempDir;

use super::{Batch, BlobPlace, BlobState, EntryRecord, Store, Stored};

mod blobs;
mod collect;
mod damage;
mod faults;
mod full;
mod gone;
mod keys;
mod logs;
mod measure;
mod outage;
mod power;
mod random;
mod repair;
mod story;
mod values;

fn log(space: u8, device: u8) -> LogId {
    LogId {
        space: SpaceId([space; 16]),
        device: DeviceId([device; 32]),
        inc: 7,
        branch: BranchId::ZERO,
    }
}

/// An entry whose name and content follow from its place; each has 2 items and 6 blobs.
fn entry(log: LogId, seq: u32) -> EntryRecord {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&super::record::log_bytes(&log));
    hasher.update(&seq.to_le_bytes());
    let id = EntryId(*hasher.finalize().as_bytes());
    let mut bytes = vec![0; 40 + usize::try_from(seq % 7).unwrap() * 31];
    hasher.finalize_xof().fill(&mut bytes);
    EntryRecord {
        log,
        seq,
        id,
        control: seq.is_multiple_of(3),
        hlc: 1000 + u64::from(seq),
        first_item: seq * 2,
        first_blob: seq * 6,
        items: 2,
        blobs: 6,
        bytes,
    }
}

fn batch(entries: impl IntoIterator<Item = EntryRecord>) -> Batch {
    Batch {
        entries: entries.into_iter().collect(),
        ..Batch::default()
    }
}

fn home() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let private = std::fs::Permissions::from_mode(0o700);
    let mut builder = tempfile::Builder::new();
    let builder = builder.permissions(private);
    // In memory where that is to be had: a sync costs nothing there.
    let made = builder
        .tempdir_in("/dev/shm")
        .or_else(|_| builder.tempdir());
    made.unwrap()
}

/// A store with `count` entries in one log, in batches of two.
fn filled(home: &Path, count: u32) -> Store {
    let store = Store::create(home).unwrap();
    for seq in (0..count).step_by(2) {
        let entries = (seq..count.min(seq + 2)).map(|seq| entry(log(1, 1), seq));
        store.commit(&batch(entries)).unwrap();
    }
    store
}

/// Every entry of every log, by name.
fn everything(store: &Store) -> Vec<EntryRecord> {
    let mut all = Vec::new();
    for space in store.spaces() {
        for head in store.logs(space) {
            all.extend(store.entries(&head.log, 0, usize::MAX).unwrap());
        }
    }
    all
}

/// Takes in what the files hold and the index does not, as a node does at its start.
fn take_in(store: &Store) -> usize {
    let mut taken = 0;
    for (log, seqs) in store.unindexed_logs().unwrap() {
        let mut from = seqs.start;
        while from < seqs.end {
            let entries = store.unindexed(&log, from, 1000).unwrap();
            taken += entries.len();
            from = entries.last().unwrap().seq + 1;
            store.commit(&batch(entries)).unwrap();
        }
    }
    taken
}

/// Copies a home as it lies on disk now.
fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    for item in walkdir::WalkDir::new(from) {
        let item = item.unwrap();
        let target = to.join(item.path().strip_prefix(from).unwrap());
        if item.file_type().is_dir() {
            if !target.exists() {
                std::fs::DirBuilder::new()
                    .mode(0o700)
                    .create(&target)
                    .unwrap();
            }
        } else {
            std::fs::copy(item.path(), &target).unwrap();
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

fn bytes(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn places(stored: &[Stored]) -> Batch {
    let places = stored.iter().zip(0..);
    Batch {
        places: places
            .map(|(stored, ordinal)| (log(1, 1), ordinal, stored.place))
            .collect(),
        ..batch([entry(log(1, 1), 0)])
    }
}

fn place(store: &Store, ordinal: u32) -> BlobPlace {
    match store.blob_state(&log(1, 1), ordinal).unwrap() {
        BlobState::Here(place) => place,
        other => panic!("{other:?}"),
    }
}
