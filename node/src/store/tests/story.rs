//! What happens to a store in the tests of crashes, step by step: photos are taken in, one is
//! received in pieces, one goes to the trash, one is purged, another comes.
//!
//! Every step can be tried again after it failed half-way.

use heirloom_protocol::id::BlobId;

use super::super::{Batch, BlobState, EntryRecord, Store, StoreError, Table};
use super::{bytes, entry, log};

/// How many steps the story has.
pub(super) const STEPS: u32 = 8;
/// The step in which a large blob comes in pieces.
const RECEIVED: u32 = 2;
/// The step that moves the first photo to the trash.
const TRASHED: u32 = 4;
/// The step that drops the first photo's blobs.
const DROPPED: u32 = 5;
/// The step that erases what was dropped.
const ERASED: u32 = 6;
/// When the first photo's blobs were dropped, in milliseconds.
const SINCE: u64 = 100;

/// A step that adds a photo: its number among them.
fn photo(step: u32) -> Option<u32> {
    match step {
        TRASHED | DROPPED | ERASED => None,
        step if step < TRASHED => Some(step),
        step => Some(step - 3),
    }
}

/// Does one step; what it did is durable when this returns `Ok`.
pub(super) fn step(store: &Store, step: u32) -> Result<(), StoreError> {
    let first = entry_of(0);
    match step {
        TRASHED => store.commit(&value(first.seq, b"trashed")),
        DROPPED => {
            let ordinals = first.first_blob..first.first_blob + 2;
            let drops = ordinals.map(|ordinal| (first.log, ordinal, SINCE));
            store.commit(&Batch {
                drops: drops.collect(),
                ..Batch::default()
            })
        }
        ERASED => store.collect(SINCE).map(drop),
        _ => add(store, photo(step).expect("every other step adds")),
    }
}

fn value(photo: u32, value: &[u8]) -> Batch {
    Batch {
        puts: vec![(Table::Assets, photo.to_be_bytes().to_vec(), value.to_vec())],
        ..Batch::default()
    }
}

/// An entry of one of two logs, a small and a large blob, a value.
fn add(store: &Store, photo: u32) -> Result<(), StoreError> {
    let entry = entry_of(photo);
    let mut batch = value(photo, b"value");
    for (content, ordinal) in contents(photo).iter().zip(entry.first_blob..) {
        let stored = if photo == RECEIVED && content.len() > 200_000 {
            receive(store, content)?
        } else {
            store.blobs().put(content)?
        };
        batch.places.push((entry.log, ordinal, stored.place));
    }
    batch.entries.push(entry);
    store.commit(&batch)
}

/// A blob that comes leaf by leaf, noted after two of them.
fn receive(store: &Store, content: &[u8]) -> Result<super::Stored, StoreError> {
    let cid = BlobId(*blake3::hash(content).as_bytes());
    let len = u64::try_from(content.len()).unwrap();
    let leaves: Vec<_> = content.chunks(65_536).collect();
    let verify = |index: u64, bytes: &[u8]| leaves[usize::try_from(index).unwrap()] == bytes;
    let partial = store.blobs().partial(&cid, len, verify)?;
    for (done, index) in partial.missing().iter().enumerate() {
        partial.write_leaf(index, leaves[usize::try_from(index).unwrap()])?;
        if done == 1 {
            partial.note()?;
        }
    }
    partial.finish()
}

fn entry_of(photo: u32) -> EntryRecord {
    entry(log(1, u8::try_from(photo % 2).unwrap()), photo / 2)
}

fn contents(photo: u32) -> [Vec<u8>; 2] {
    let seed = u8::try_from(photo).unwrap();
    [bytes(seed, 2000), bytes(seed, 263_000)]
}

/// Everything that the first `steps` steps committed is there and whole, and what they ended is
/// not.
pub(super) fn check(store: &Store, steps: u32, what: &str) {
    for photo in (0..steps).filter_map(photo) {
        let wanted = entry_of(photo);
        let found = store.entry(&wanted.log, wanted.seq).unwrap();
        assert_eq!(found.as_ref(), Some(&wanted), "photo {photo}, {what}");
        check_value(store, photo, steps, what);
        for (content, ordinal) in contents(photo).iter().zip(wanted.first_blob..) {
            let state = store.blob_state(&wanted.log, ordinal).unwrap();
            match state {
                BlobState::Here(place) => {
                    let cid = BlobId(*blake3::hash(content).as_bytes());
                    let read = store.blobs().read(&cid, &place).unwrap();
                    assert_eq!(read, *content, "{what}");
                    assert!(photo > 0 || steps <= DROPPED, "it was dropped, {what}");
                }
                // The step that drops it may have been done and not told.
                _ => assert!(
                    photo == 0 && steps >= DROPPED,
                    "blob {ordinal} of photo {photo} is not here, {what}"
                ),
            }
        }
    }
}

fn check_value(store: &Store, photo: u32, steps: u32, what: &str) {
    let value = store.get(Table::Assets, &photo.to_be_bytes()).unwrap();
    let value = value.as_deref().unwrap_or_default();
    let trashed = value == b"trashed";
    assert!(trashed || value == b"value", "photo {photo}, {what}");
    assert!(!trashed || (photo == 0 && steps >= TRASHED), "{what}");
    assert!(trashed || photo > 0 || steps <= TRASHED, "{what}");
}

/// Takes in what reached only the files and goes on with the story to its end.
pub(super) fn go_on(store: &Store, steps: u32, what: &str) {
    let unindexed = store.unindexed_logs().unwrap();
    let waiting: u32 = unindexed
        .iter()
        .map(|(_, seqs)| seqs.end - seqs.start)
        .sum();
    assert!(waiting <= 1, "{what}");
    for done in steps..STEPS {
        // The entry may lie in its file already; the rest of the step was lost with it.
        step(store, done).unwrap();
    }
    check(store, STEPS, what);
}
