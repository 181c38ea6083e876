//! Rot anywhere: what comes back is right or is named as damage, never wrong.

use std::fs;
use std::ops::ControlFlow;

use heirloom_protocol::id::{BlobId, SpaceId};
use heirloom_protocol::limits::LEAF_BYTES;

use super::super::fs::hook;
use super::super::{Batch, BlobState, Cursor, Damage, Depth, Finding, Store, StoreError, Table};
use super::{bytes, copy, entry, home, log, places, take_in};

/// A small deterministic generator; the seed is what a failure is repeated with.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound
    }
}

const ENTRIES: u32 = 12;
const VALUES: u32 = 40;

fn value(index: u32) -> Vec<u8> {
    index.to_be_bytes().repeat(9)
}

fn make(home: &std::path::Path) {
    let store = Store::create(home).unwrap();
    let stored = [900, 300_000].map(|len| store.blobs().put(&bytes(3, len)).unwrap());
    store.commit(&places(&stored)).unwrap();
    let entries = (1..ENTRIES).map(|seq| entry(log(1, 1), seq)).collect();
    let puts = (0..VALUES).map(|index| (Table::Assets, index.to_be_bytes().to_vec(), value(index)));
    let puts = puts.collect();
    store
        .commit(&Batch {
            entries,
            puts,
            ..Batch::default()
        })
        .unwrap();
}

/// Asks for everything; wrong answers panic, damage and absence are counted.
fn probe(store: &Store) -> usize {
    let mut missed = 0;
    let mut judge = |outcome: Result<bool, StoreError>| match outcome {
        Ok(true) => {}
        Ok(false) | Err(StoreError::Damaged(_) | StoreError::Io(_)) => missed += 1,
        Err(other) => panic!("{other:?}"),
    };
    for seq in 0..ENTRIES {
        let wanted = entry(log(1, 1), seq);
        let right = |found: Option<_>| {
            found.is_some_and(|found| {
                assert_eq!(found, wanted);
                true
            })
        };
        judge(store.entry(&log(1, 1), seq).map(right));
        judge(store.entry_by_id(&wanted.id).map(right));
    }
    let control = store.control_entries(SpaceId([1; 16]));
    judge(control.map(|found| {
        let wanted = (0..ENTRIES).map(|seq| entry(log(1, 1), seq));
        let wanted: Vec<_> = wanted.filter(|entry| entry.control).collect();
        assert!(found == wanted || found.is_empty());
        !found.is_empty()
    }));
    for index in 0..VALUES {
        let found = store.get(Table::Assets, &index.to_be_bytes());
        judge(found.map(|found| {
            found.is_some_and(|found| {
                assert_eq!(found, value(index));
                true
            })
        }));
    }
    for (ordinal, len) in [(0, 900), (1, 300_000)] {
        let state = store.blob_state(&log(1, 1), ordinal);
        judge(state.and_then(|state| {
            let BlobState::Here(place) = state else {
                return Ok(false);
            };
            let wanted = bytes(3, len);
            let cid = BlobId(*blake3::hash(&wanted).as_bytes());
            let found = store.blobs().read(&cid, &place)?;
            assert_eq!(found, wanted);
            Ok(true)
        }));
    }
    missed
}

#[test]
fn a_flipped_bit_in_the_index_never_gives_wrong_answers() {
    let base = home();
    make(base.path());
    let raw = fs::read(base.path().join("heirloom.redb")).unwrap();
    // The unused part of the file is of no interest.
    let used = raw.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut random = Random(0x5eed_0001);
    let mut noticed = 0;
    for round in 0..250 {
        let home = home();
        copy(base.path(), home.path());
        let at = random.below(used);
        let mut bad = raw.clone();
        bad[at] ^= 1 << random.below(8);
        fs::write(home.path().join("heirloom.redb"), &bad).unwrap();
        let store = Store::open(home.path()).unwrap();
        take_in(&store);
        let missed = probe(&store);
        let rebuilt = store.opened().rebuilt.is_some();
        let found = store.verify(Depth::Data, |_, _| None, |_| ControlFlow::Continue(()));
        let named = found.is_ok_and(|found| !found.findings.is_empty());
        assert!(missed == 0 || rebuilt || named, "round {round}, byte {at}");
        noticed += usize::from(missed > 0 || rebuilt || named);
        store.rebuild_at_next_open().unwrap();
        drop(store);
        let store = Store::open(home.path()).unwrap();
        take_in(&store);
        assert_eq!(store.head(&log(1, 1)).unwrap().seq, ENTRIES - 1);
    }
    assert!(noticed > 20, "{noticed}");
}

#[test]
fn an_index_whose_list_of_free_pages_is_damaged_is_made_again_while_the_store_is_open() {
    let base = home();
    make(base.path());
    let raw = fs::read(base.path().join("heirloom.redb")).unwrap();
    // Three levels of a list of free pages, as the database keeps it for quick opening.
    let levels = [3, 0, 0, 0, 0x1c, 0, 0, 0, 0x28, 0, 0, 0, 0x34, 0, 0, 0];
    let lists = (0..raw.len() - 64).filter(|at| raw[*at..].starts_with(&levels));
    let lists: Vec<_> = lists.collect();
    assert!(lists.len() > 4, "{lists:?}");
    for at in lists
        .iter()
        .flat_map(|list| (list + 16..list + 64).step_by(2))
    {
        let home = home();
        copy(base.path(), home.path());
        let mut bad = raw.clone();
        bad[at] ^= 0x40;
        fs::write(home.path().join("heirloom.redb"), &bad).unwrap();
        let store = Store::open(home.path()).unwrap();
        // What the old one alone knew is looked for in it; closing it may fail in any way.
        store.rebuild_index().unwrap();
        take_in(&store);
        assert_eq!(
            store.head(&log(1, 1)).unwrap().seq,
            ENTRIES - 1,
            "byte {at}"
        );
    }
}

#[test]
fn a_flipped_bit_in_a_log_is_named_and_spares_the_other_entries() {
    let base = home();
    make(base.path());
    let file = super::super::logs::LogFiles::new("logs".into()).path(&log(1, 1));
    let raw = fs::read(base.path().join(&file)).unwrap();
    for at in (0..raw.len()).step_by(3) {
        let home = home();
        copy(base.path(), home.path());
        let mut bad = raw.clone();
        bad[at] ^= 0x20;
        fs::write(home.path().join(&file), &bad).unwrap();
        let store = Store::open(home.path()).unwrap();
        let missed = probe(&store);
        // By seq, by name, and perhaps among the control entries.
        assert!(missed <= 3, "byte {at}: {missed}");
        if u64::try_from(at).unwrap() >= super::super::record::HEADER_BYTES {
            assert!(missed >= 2, "byte {at}: {missed}");
        }
    }
}

/// Reads of these files fail as they do on a bad sector.
fn bad_sector(path: std::path::PathBuf) -> impl FnMut(&std::path::Path) -> std::io::Result<()> {
    move |read: &std::path::Path| match read == path {
        true => Err(eio()),
        false => Ok(()),
    }
}

fn eio() -> std::io::Error {
    std::io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

#[test]
fn a_bad_sector_in_a_blob_is_damage_and_what_lies_behind_it_is_read() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored: Vec<_> = (0..4)
        .map(|seed| store.blobs().put(&bytes(seed, 300_000)).unwrap())
        .collect();
    store.commit(&places(&stored)).unwrap();
    store
        .commit(&Batch {
            entries: vec![entry(log(1, 1), 1)],
            ..Batch::default()
        })
        .unwrap();
    let bad = store.blobs().0.path(&stored[1].cid);
    let wanted = Damage::Blob { cid: stored[1].cid };
    let scrubbed = hook::with_reads(bad_sector(bad), || {
        assert!(
            !store
                .blobs()
                .is_whole(&stored[1].cid, &stored[1].place)
                .unwrap()
        );
        let error = store
            .blobs()
            .read(&stored[1].cid, &stored[1].place)
            .unwrap_err();
        assert!(matches!(error, StoreError::Damaged(damage) if damage == wanted));
        let (mut at, mut seen) = (Cursor::default(), Vec::new());
        let mut bytes = 0;
        // A little at a time, as a node does: no step may come to the same place again.
        for _ in 0..100 {
            let read = store.scrub(&mut at, 100_000, |_, ordinal| {
                Some(stored[usize::try_from(ordinal).unwrap()].cid)
            });
            let read = read.unwrap();
            seen.extend(read.findings.into_iter().map(|found| found.damage));
            bytes += read.bytes;
            if at.is_at_start() {
                return (seen, bytes);
            }
        }
        panic!("no end");
    });
    assert_eq!(scrubbed, (vec![wanted], 4 * 300_000));
    store
        .blobs()
        .quarantine(&stored[1].cid, &stored[1].place)
        .unwrap();
    assert_eq!(store.blobs().quarantined().len(), 1);
    // A good copy takes its place, whatever the old one still says.
    let again = store.blobs().put(&bytes(1, 300_000)).unwrap();
    store.blobs().sync().unwrap();
    assert!(store.blobs().is_whole(&again.cid, &again.place).unwrap());
}

#[test]
fn a_bad_copy_under_a_blobs_name_gives_way_to_a_good_one() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = store.blobs().put(&bytes(1, 300_000)).unwrap();
    store.blobs().sync().unwrap();
    let bad = store.blobs().0.path(&stored.cid);
    hook::with_reads(bad_sector(bad), || {
        store.blobs().put(&bytes(1, 300_000)).unwrap();
        store.blobs().sync().unwrap();
    });
    assert!(store.blobs().is_whole(&stored.cid, &stored.place).unwrap());
    assert_eq!(store.blobs().quarantined().len(), 1);
}

#[test]
fn bad_sectors_of_a_pack_and_of_a_log_are_named_and_end_nothing() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored: Vec<_> = (0..3)
        .map(|seed| store.blobs().put(&bytes(seed, 900)).unwrap())
        .collect();
    store.commit(&places(&stored)).unwrap();
    let entries = (1..4).map(|seq| entry(log(1, 1), seq)).collect();
    store
        .commit(&Batch {
            entries,
            ..Batch::default()
        })
        .unwrap();
    let name = |at: u32| Some(stored[usize::try_from(at).unwrap()].cid);
    let verify = || {
        let verified = store.verify(Depth::Data, |_, at| name(at), |_| ControlFlow::Continue(()));
        verified.unwrap()
    };
    assert_eq!(verify().findings, []);
    let pack = home.path().join("blobs/packs/000001.pack");
    assert!(pack.exists());
    let found = hook::with_reads(bad_sector(pack.clone()), verify);
    let damages: Vec<_> = found.findings.iter().map(|found| &found.damage).collect();
    for blob in &stored {
        assert!(
            damages.contains(&&Damage::Blob { cid: blob.cid }),
            "{damages:?}"
        );
    }
    // Nothing is written over that may yet be read.
    let finding = |damage| Finding {
        damage,
        blob: Some((log(1, 1), 0)),
    };
    hook::with_reads(bad_sector(pack), || {
        let (cid, place) = (stored[0].cid, stored[0].place);
        assert!(!store.mend(&finding(Damage::Blob { cid })).unwrap());
        store.blobs().quarantine(&cid, &place).unwrap();
    });
    let path = store.0.files.path(&log(1, 1));
    let found = hook::with_reads(bad_sector(path.clone()), verify);
    let named = |seq| {
        let mut damages = found.findings.iter().map(|found| &found.damage);
        damages.any(|damage| matches!(damage, Damage::Entry { seq: named, .. } if *named == seq))
    };
    assert!((0..4).all(named), "{:?}", found.findings);
    let id = None;
    hook::with_reads(bad_sector(path), || {
        let damage = Damage::Entry {
            log: log(1, 1),
            seq: 2,
            id,
        };
        assert!(!store.mend(&finding(damage)).unwrap());
    });
    assert_eq!(verify().findings, []);
}

#[test]
fn a_bad_sector_in_an_unfinished_blob_costs_the_leaf_that_it_lies_in() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let content = bytes(5, LEAF_BYTES * 3 + 777);
    let cid = BlobId(*blake3::hash(&content).as_bytes());
    let len = u64::try_from(content.len()).unwrap();
    let leaves: Vec<_> = content.chunks(LEAF_BYTES).collect();
    let partial = store.blobs().partial(&cid, len, |_, _| true).unwrap();
    for (leaf, index) in leaves.iter().zip(0..) {
        partial.write_leaf(index, leaf).unwrap();
    }
    partial.note().unwrap();
    drop(partial);
    let path = home.path().join("blobs/partial").join(cid.to_string());
    let check = |index: u64, bytes: &[u8]| bytes == leaves[usize::try_from(index).unwrap()];
    // The second leaf that is read of it.
    let (bad, mut reads) = (path.clone(), 0);
    let second = move |read: &std::path::Path| {
        reads += u32::from(read == bad);
        match reads == 2 && read == bad {
            true => Err(eio()),
            false => Ok(()),
        }
    };
    let partial = hook::with_reads(second, || store.blobs().partial(&cid, len, check).unwrap());
    assert_eq!(partial.missing().iter().collect::<Vec<_>>(), [1]);
    drop(partial);
    // Without its note all that is there is looked at.
    let note = bad_sector(path.with_extension("have"));
    let partial = hook::with_reads(note, || store.blobs().partial(&cid, len, check).unwrap());
    assert!(partial.missing().is_empty());
    let stored = partial.finish().unwrap();
    store.blobs().sync().unwrap();
    assert_eq!(store.blobs().read(&cid, &stored.place).unwrap(), content);
}

#[test]
fn what_may_not_be_read_is_named_and_what_lies_behind_it_is_read() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let large = (0..4).map(|seed| store.blobs().put(&bytes(seed, 300_000)).unwrap());
    let mut stored: Vec<_> = large.collect();
    stored.push(store.blobs().put(&bytes(9, 900)).unwrap());
    store.commit(&places(&stored)).unwrap();
    let closed = [
        store.blobs().0.path(&stored[1].cid),
        home.path().join("blobs/packs/000001.pack"),
    ];
    let denied = move |read: &std::path::Path| match closed.iter().any(|path| path == read) {
        true => Err(std::io::ErrorKind::PermissionDenied.into()),
        false => Ok(()),
    };
    let found = hook::with_reads(denied, || {
        let (mut at, mut seen) = (Cursor::default(), Vec::new());
        let mut bytes = 0;
        for _ in 0..100 {
            let read = store.scrub(&mut at, 100_000, |_, ordinal| {
                Some(stored[usize::try_from(ordinal).unwrap()].cid)
            });
            let read = read.unwrap();
            seen.extend(read.findings);
            bytes += read.bytes;
            if at.is_at_start() {
                return (seen, bytes);
            }
        }
        panic!("no end");
    });
    let (found, read) = found;
    assert_eq!(read, 4 * 300_000 + 900);
    let blobs: Vec<_> = found.iter().filter_map(|found| found.blob).collect();
    assert_eq!(blobs, [(log(1, 1), 1), (log(1, 1), 4)], "{found:?}");
    for finding in &found {
        // Nothing says that it is damaged, so nothing is put aside or given up for it.
        assert!(
            matches!(finding.damage, Damage::Closed { .. }),
            "{finding:?}"
        );
        assert!(!store.mend(finding).unwrap());
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_entered_is_not_an_empty_one() {
    let home = home();
    let store = Store::create(home.path()).unwrap();
    let stored = store.blobs().put(&bytes(1, 300_000)).unwrap();
    store.commit(&places(&[stored])).unwrap();
    let path = store.blobs().0.path(&stored.cid);
    let folder = path.parent().unwrap();
    let aside = home.path().join("aside");
    fs::rename(folder, &aside).unwrap();
    std::os::unix::fs::symlink(folder, folder).unwrap();
    let asked = store.blobs().is_whole(&stored.cid, &stored.place);
    assert!(matches!(asked, Err(StoreError::Io(_))), "{asked:?}");
    fs::remove_file(folder).unwrap();
    let asked = store.blobs().is_whole(&stored.cid, &stored.place);
    assert!(!asked.unwrap());
    fs::rename(&aside, folder).unwrap();
    assert!(store.blobs().is_whole(&stored.cid, &stored.place).unwrap());
}
