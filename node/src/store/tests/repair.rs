//! What is put right without anybody's help: wrong bits, headers, the index.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use super::super::record::HEADER_BYTES;
use super::super::{Batch, BlobState, Damage, Depth, Finding, Store};
use super::{batch, bytes, entry, home, log, place, places, take_in};

fn findings(store: &Store) -> Vec<Finding> {
    let found = store.verify(Depth::Data, |_, _| None, |_| ControlFlow::Continue(()));
    found.unwrap().findings
}

fn flip(path: &Path, at: usize, bit: u8) {
    let mut raw = fs::read(path).unwrap();
    raw[at] ^= 1 << bit;
    fs::write(path, raw).unwrap();
}

#[test]
fn one_wrong_bit_of_a_log_is_put_right_from_its_checksum() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let entries: Vec<_> = (0..4).map(|seq| entry(log(1, 1), seq)).collect();
    store.commit(&batch(entries.clone())).unwrap();
    let file = store.0.files.path(&log(1, 1));
    let raw = fs::read(&file).unwrap();
    for at in 0..raw.len() {
        flip(&file, at, u8::try_from(at % 8).unwrap());
        let found = findings(&store);
        assert!(!found.is_empty(), "byte {at}");
        let is_header = u64::try_from(at).unwrap() < HEADER_BYTES;
        for finding in &found {
            let is_log = matches!(finding.damage, Damage::Log { offset: 0, .. });
            assert_eq!(is_log, is_header, "byte {at}: {finding:?}");
            assert!(store.mend(finding).unwrap(), "byte {at}");
        }
        assert_eq!(findings(&store), []);
        assert_eq!(fs::read(&file).unwrap(), raw, "byte {at}");
    }
    // Of two wrong bits nobody can tell which they were.
    let at = usize::try_from(HEADER_BYTES).unwrap() + 100;
    flip(&file, at, 0);
    flip(&file, at + 1, 3);
    let found = findings(&store);
    let named = found
        .iter()
        .find(|finding| matches!(finding.damage, Damage::Entry { .. }));
    let named = named.unwrap();
    assert!(!store.mend(named).unwrap());
    let Damage::Entry { seq, .. } = named.damage else {
        unreachable!()
    };
    store
        .repair_entry(&entries[usize::try_from(seq).unwrap()])
        .unwrap();
    assert_eq!(findings(&store), []);
}

#[test]
fn the_header_of_a_packed_blob_is_written_again() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = [1, 2, 3].map(|seed| store.blobs().put(&bytes(seed, 900)).unwrap());
    store.commit(&places(&stored)).unwrap();
    let pack = super::super::pack::path_of(&home.path().join("blobs"), 1);
    let raw = fs::read(&pack).unwrap();
    // The second record begins after the file's magic and the first record.
    let second = 16 + 56 + 900;
    for at in (second..second + 49).step_by(3) {
        flip(&pack, at, 5);
        let found = findings(&store);
        assert!(!found.is_empty(), "byte {at}");
        // First the blobs, then what is left of the stretch.
        for finding in found.iter().filter(|finding| finding.blob.is_some()) {
            let named = Finding {
                damage: Damage::Blob { cid: stored[1].cid },
                blob: finding.blob,
            };
            assert!(store.mend(&named).unwrap(), "byte {at}");
        }
        assert_eq!(findings(&store), []);
        assert_eq!(fs::read(&pack).unwrap(), raw, "byte {at}");
    }
}

#[test]
fn a_damaged_stretch_is_buried_only_where_nothing_lies() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = [1, 2, 3].map(|seed| store.blobs().put(&bytes(seed, 900)).unwrap());
    store.commit(&places(&stored)).unwrap();
    let pack = super::super::pack::path_of(&home.path().join("blobs"), 1);
    let second = 16 + 56 + 900;
    for at in [second + 10, second + 500] {
        flip(&pack, at, 1);
    }
    let found = findings(&store);
    let stretch = found
        .iter()
        .find(|finding| matches!(finding.damage, Damage::Pack { .. }));
    let stretch = stretch.unwrap();
    assert!(!store.mend(stretch).unwrap());
    store
        .blobs()
        .quarantine(&stored[1].cid, &stored[1].place)
        .unwrap();
    let lost = found.iter().find_map(|finding| finding.blob).unwrap();
    store
        .commit(&Batch {
            lost: vec![lost],
            ..Batch::default()
        })
        .unwrap();
    assert!(store.mend(stretch).unwrap());
    assert_eq!(findings(&store), []);
    assert!(store.blobs().quarantined().contains(&stored[1].cid));
    store.blobs().release(&stored[1].cid).unwrap();
    assert!(store.blobs().quarantined().is_empty());
}

/// What a runtime does with what was found, without other devices: mends, else puts aside and gives up the
/// place, then buries. Says of each whether it is put right.
fn heal(store: &Store, found: &[Finding], stored: &[super::super::Stored]) -> Vec<bool> {
    let of_pack = |finding: &&Finding| matches!(finding.damage, Damage::Pack { .. });
    let mut healed = Vec::new();
    for finding in found.iter().filter(|finding| !of_pack(finding)) {
        let blob = finding.blob.unwrap();
        let stored = &stored[usize::try_from(blob.1).unwrap()];
        let damage = Damage::Blob { cid: stored.cid };
        let named = Finding {
            damage,
            blob: Some(blob),
        };
        if !store.mend(&named).unwrap() {
            store
                .blobs()
                .quarantine(&stored.cid, &stored.place)
                .unwrap();
            let lost = vec![blob];
            store
                .commit(&Batch {
                    lost,
                    ..Batch::default()
                })
                .unwrap();
        }
        healed.push(true);
    }
    for finding in found.iter().filter(of_pack) {
        healed.push(store.mend(finding).unwrap());
    }
    healed
}

#[test]
fn of_a_stretch_what_was_mended_is_kept_and_the_rest_buried() {
    const RECORD: usize = 56 + 900;
    // Records whose headers and whose blobs are damaged: one whose header alone is, one that is lost, both
    // beside each other, and the last of all, which more is written behind.
    let cases: [(&[usize], &[usize]); 6] = [
        (&[1], &[]),
        (&[1], &[1]),
        (&[1, 2], &[2]),
        (&[1, 2, 3], &[1, 3]),
        (&[3], &[]),
        (&[3], &[3]),
    ];
    for (heads, blobs) in cases {
        let home = home();
        let store = Store::create(home.path()).unwrap();
        let put = |seed| store.blobs().put(&bytes(seed, 900)).unwrap();
        let stored = [1, 2, 3, 4].map(put);
        store.commit(&places(&stored)).unwrap();
        let pack = super::super::pack::path_of(&home.path().join("blobs"), 1);
        for (records, at) in [(heads, 10), (blobs, 500)] {
            for record in records {
                flip(&pack, 16 + RECORD * record + at, 2);
            }
        }
        let what = format!("{heads:?} {blobs:?}");
        let found = findings(&store);
        let is_stretch = |finding: &Finding| matches!(finding.damage, Damage::Pack { .. });
        assert_eq!(
            found.iter().filter(|finding| is_stretch(finding)).count(),
            1,
            "{what}"
        );
        let healed = heal(&store, &found, &stored);
        assert!(healed.iter().all(|healed| *healed), "{what}: {found:?}");
        // What is lost comes again, and lies behind.
        for lost in blobs {
            put(u8::try_from(*lost).unwrap() + 1);
        }
        store.blobs().sync().unwrap();
        assert_eq!(findings(&store), [], "{what}");
    }
}

#[test]
fn an_index_made_again_finds_blobs_whose_headers_are_damaged() {
    // In the middle and at the end of a pack; the length, the name, the sum.
    for (record, at) in [(1, 5), (1, 20), (2, 6), (2, 44)] {
        let home = home();
        let store = Store::create(home.path()).unwrap();
        let stored = [1, 2, 3].map(|seed| store.blobs().put(&bytes(seed, 900)).unwrap());
        store.commit(&places(&stored)).unwrap();
        let pack = super::super::pack::path_of(&home.path().join("blobs"), 1);
        let raw = fs::read(&pack).unwrap();
        flip(&pack, 16 + 956 * record + at, 2);
        store.rebuild_index().unwrap();
        let found = store.blobs().find(&stored[record].cid).unwrap();
        assert_eq!(found, Some(stored[record].place), "{record} {at}");
        assert_eq!(fs::read(&pack).unwrap(), raw, "{record} {at}");
    }
}

#[test]
fn an_open_store_makes_its_index_again() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = [900, 300_000].map(|len| store.blobs().put(&bytes(3, len)).unwrap());
    store.commit(&places(&stored)).unwrap();
    let more = (1..5).map(|seq| entry(log(1, 1), seq));
    store.commit(&batch(more)).unwrap();
    let head = store.head(&log(1, 1)).unwrap();
    store.rebuild_index().unwrap();
    assert!(!home.path().join("rebuild-index").exists());
    assert!(store.head(&log(1, 1)).is_none());
    for stored in &stored {
        assert_eq!(store.blobs().find(&stored.cid).unwrap(), Some(stored.place));
    }
    store.commit(&places(&stored)).unwrap();
    take_in(&store);
    assert_eq!(store.head(&log(1, 1)).unwrap(), head);
    let are_here = |store: &Store| {
        for (stored, ordinal) in stored.iter().zip(0..) {
            assert_eq!(place(store, ordinal), stored.place);
            assert!(store.blobs().is_whole(&stored.cid, &stored.place).unwrap());
        }
    };
    are_here(&store);
    // The old one was put aside, and the new one holds.
    drop(store);
    let store = Store::open(home.path()).unwrap();
    assert!(store.opened().rebuilt.is_none());
    assert_eq!(store.head(&log(1, 1)).unwrap(), head);
    are_here(&store);
}

#[test]
fn a_packed_blob_that_was_put_aside_is_not_found_when_the_index_is_made_again() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = [1, 2].map(|seed| store.blobs().put(&bytes(seed, 900)).unwrap());
    // One photo twice, as a copied one is.
    let twice = [stored[0], stored[1], stored[1]];
    store.commit(&places(&twice)).unwrap();
    let pack = super::super::pack::path_of(&home.path().join("blobs"), 1);
    flip(&pack, 16 + 56 + 900 + 500, 2);
    let raw = fs::read(&pack).unwrap();
    let found = findings(&store);
    let blobs: Vec<_> = found.iter().filter_map(|found| found.blob).collect();
    assert_eq!(blobs, [(log(1, 1), 1), (log(1, 1), 2)]);
    let put_aside = || {
        let (cid, place) = (stored[1].cid, stored[1].place);
        store.blobs().quarantine(&cid, &place).unwrap();
    };
    put_aside();
    // Until its place is given up the record is as it was.
    assert_eq!(fs::read(&pack).unwrap(), raw);
    for blob in blobs {
        put_aside();
        let lost = vec![blob];
        let batch = Batch {
            lost,
            ..Batch::default()
        };
        store.commit(&batch).unwrap();
    }
    let folder = home.path().join("blobs/quarantine");
    let aside: Vec<_> = fs::read_dir(&folder).unwrap().map(Result::unwrap).collect();
    for copy in &aside {
        assert_eq!(fs::read(copy.path()).unwrap(), raw[16 + 56 + 900 + 56..]);
    }
    store.rebuild_index().unwrap();
    assert_eq!(store.blobs().find(&stored[1].cid).unwrap(), None);
    let first = store.blobs().find(&stored[0].cid).unwrap();
    assert_eq!(first, Some(stored[0].place));
    take_in(&store);
    let state = store.blob_state(&log(1, 1), 1).unwrap();
    assert_eq!(state, BlobState::Absent);
    // It comes again, and that copy is found.
    let again = store.blobs().put(&bytes(2, 900)).unwrap();
    store.blobs().sync().unwrap();
    store.rebuild_index().unwrap();
    let found = store.blobs().find(&again.cid).unwrap();
    assert_eq!(found, Some(again.place));
    take_in(&store);
    assert_eq!(findings(&store), []);
}

#[test]
fn room_that_is_kept_is_given_once_and_made_again() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let reserve = home.path().join("reserve");
    assert!(reserve.exists());
    assert!(store.0.reserve.give());
    assert!(!reserve.exists());
    assert!(!store.0.reserve.give());
    store.commit(&batch([entry(log(1, 1), 0)])).unwrap();
    assert!(reserve.exists());
}

#[test]
fn a_pass_in_small_steps_reads_what_one_at_once_reads() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = [900, 300_000, 1200].map(|len| store.blobs().put(&bytes(3, len)).unwrap());
    store.commit(&places(&stored)).unwrap();
    store
        .commit(&batch((0..9).map(|seq| entry(log(2, 1), seq))))
        .unwrap();
    let whole = store.verify(Depth::Data, |_, _| None, |_| ControlFlow::Continue(()));
    let whole = whole.unwrap();
    let mut at = super::super::Cursor::default();
    let (mut entries, mut blobs, mut read, mut steps) = (0, 0, 0, 0);
    loop {
        let seen = store.scrub(&mut at, 3000, |_, _| None).unwrap();
        assert_eq!(seen.findings, []);
        entries += seen.entries;
        blobs += seen.blobs;
        read += seen.bytes;
        steps += 1;
        if at.is_at_start() {
            break;
        }
    }
    assert_eq!(
        (entries, blobs, read),
        (whole.entries, whole.blobs, whole.bytes)
    );
    assert!(steps > 8, "{steps}");
}
