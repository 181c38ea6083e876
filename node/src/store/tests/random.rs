//! Any sequence of acts: the store holds what a model in memory says that it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use heirloom_protocol::id::LogId;
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::{Batch, BlobState, EntryRecord, Store, Stored, Table};
use super::{bytes, entry, home, log};
use crate::numbers::cases;

#[derive(Clone, Debug)]
enum Act {
    /// Entries in a log, each with so many of its blobs put and placed.
    Commit {
        log: u8,
        entries: u8,
        blobs: u8,
        large: bool,
    },
    /// A value under a key, or its end.
    Value {
        key: u8,
        value: Option<u8>,
    },
    Drop {
        log: u8,
        nth: u8,
        since: u64,
    },
    Undrop {
        log: u8,
        nth: u8,
    },
    Collect {
        until: u64,
    },
    Reopen,
    /// Half a record behind the last one, then a reopening.
    Tear {
        log: u8,
        bytes: u8,
    },
    LoseIndex,
    /// A blob put and forgotten.
    Orphan,
}

fn act() -> impl Strategy<Value = Act> {
    let log = 0..3_u8;
    prop_oneof![
        6 => (log.clone(), 0..4_u8, 0..4_u8, any::<bool>())
            .prop_map(|(log, entries, blobs, large)| Act::Commit { log, entries, blobs, large }),
        3 => (0..6_u8, any::<Option<u8>>()).prop_map(|(key, value)| Act::Value { key, value }),
        3 => (log.clone(), 0..9_u8, 1..10_u64)
            .prop_map(|(log, nth, since)| Act::Drop { log, nth, since }),
        1 => (log.clone(), 0..9_u8).prop_map(|(log, nth)| Act::Undrop { log, nth }),
        2 => (1..10_u64).prop_map(|until| Act::Collect { until }),
        2 => Just(Act::Reopen),
        1 => (log, 1..200_u8).prop_map(|(log, bytes)| Act::Tear { log, bytes }),
        1 => Just(Act::LoseIndex),
        1 => Just(Act::Orphan),
    ]
}

struct World {
    home: TempDir,
    store: Option<Store>,
    seed: u8,
    entries: BTreeMap<LogId, Vec<EntryRecord>>,
    blobs: BTreeMap<(LogId, u32), (Stored, Vec<u8>)>,
    dropped: BTreeMap<(LogId, u32), u64>,
    values: BTreeMap<u8, u8>,
}

impl World {
    fn new() -> Self {
        let home = home();
        let store = Some(Store::create(home.path()).unwrap());
        Self {
            home,
            store,
            seed: 0,
            entries: BTreeMap::new(),
            blobs: BTreeMap::new(),
            dropped: BTreeMap::new(),
            values: BTreeMap::new(),
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn commit(&self, batch: &Batch) {
        self.store().commit(batch).unwrap();
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(Store::open(self.home.path()).unwrap());
    }

    fn put(&mut self, large: bool) -> (Stored, Vec<u8>) {
        self.seed = self.seed.wrapping_add(1);
        let content = bytes(self.seed, if large { 270_000 } else { 5000 });
        (self.store().blobs().put(&content).unwrap(), content)
    }

    fn nth(&self, device: u8, nth: u8) -> Option<(LogId, u32)> {
        let of_log = self
            .blobs
            .keys()
            .filter(|(log, _)| *log == super::log(1, device));
        of_log.copied().nth(usize::from(nth))
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Commit {
                log: device,
                entries,
                blobs,
                large,
            } => {
                let log = log(1, *device);
                let next = self.entries.entry(log).or_default().len();
                let next = u32::try_from(next).unwrap();
                let mut batch = Batch::default();
                for seq in next..next + u32::from(*entries) {
                    let entry = entry(log, seq);
                    for ordinal in entry.first_blob..entry.first_blob + u32::from(*blobs) {
                        let (stored, content) = self.put(*large && ordinal % 2 == 0);
                        batch.places.push((log, ordinal, stored.place));
                        self.blobs.insert((log, ordinal), (stored, content));
                    }
                    self.entries.entry(log).or_default().push(entry.clone());
                    batch.entries.push(entry);
                }
                self.commit(&batch);
            }
            Act::Value {
                key,
                value: Some(value),
            } => {
                let puts = vec![(Table::Kv, vec![*key], vec![*value])];
                self.commit(&Batch {
                    puts,
                    ..Batch::default()
                });
                self.values.insert(*key, *value);
            }
            Act::Value { key, value: None } => {
                let deletes = vec![(Table::Kv, vec![*key])];
                self.commit(&Batch {
                    deletes,
                    ..Batch::default()
                });
                self.values.remove(key);
            }
            Act::Drop { log, nth, since } => {
                if let Some((log, ordinal)) = self.nth(*log, *nth) {
                    let drops = vec![(log, ordinal, *since)];
                    self.commit(&Batch {
                        drops,
                        ..Batch::default()
                    });
                    self.dropped.insert((log, ordinal), *since);
                }
            }
            Act::Undrop { log, nth } => {
                if let Some((log, ordinal)) = self.nth(*log, *nth) {
                    let undrops = vec![(log, ordinal)];
                    self.commit(&Batch {
                        undrops,
                        ..Batch::default()
                    });
                    self.dropped.remove(&(log, ordinal));
                }
            }
            Act::Collect { until } => self.collect(*until),
            Act::Reopen => self.reopen(),
            Act::Tear {
                log: device,
                bytes: count,
            } => {
                let path = self.store().0.files.path(&log(1, *device));
                self.store = None;
                if path.exists() {
                    let mut raw = fs::read(&path).unwrap();
                    raw.extend(bytes(*count, usize::from(*count)));
                    fs::write(&path, raw).unwrap();
                }
                self.reopen();
            }
            Act::LoseIndex => self.lose_index(),
            Act::Orphan => drop(self.put(self.seed.is_multiple_of(2))),
        }
    }

    fn collect(&mut self, until: u64) {
        let due: BTreeSet<_> = self
            .dropped
            .iter()
            .filter(|(_, since)| **since <= until)
            .map(|(key, _)| *key)
            .collect();
        let collected = self.store().collect(until).unwrap();
        // Contents repeat once the seed has gone round, but hardly within one run.
        assert_eq!(collected.blobs, u64::try_from(due.len()).unwrap());
        for key in due {
            self.dropped.remove(&key);
            self.blobs.remove(&key);
        }
    }

    /// What a node does when its index is gone: takes every entry in again and looks for its blobs.
    fn lose_index(&mut self) {
        self.store = None;
        fs::remove_file(self.home.path().join("heirloom.redb")).unwrap();
        self.reopen();
        for (log, seqs) in self.store().unindexed_logs().unwrap() {
            let mut from = seqs.start;
            while from < seqs.end {
                let entries = self.store().unindexed(&log, from, 300).unwrap();
                from += u32::try_from(entries.len()).unwrap();
                let mut batch = super::batch(entries.clone());
                for entry in entries {
                    for ordinal in entry.first_blob..entry.first_blob + entry.blobs {
                        if let Some((stored, _)) = self.blobs.get(&(log, ordinal)) {
                            let place = self.store().blobs().find(&stored.cid).unwrap();
                            batch.places.push((log, ordinal, place.unwrap()));
                        }
                    }
                }
                self.commit(&batch);
            }
        }
        // What no log tells is gone with it; the drops here are told by none.
        self.dropped.clear();
        self.values.clear();
    }

    fn check(&self) {
        let store = self.store();
        assert!(store.unindexed_logs().unwrap().is_empty());
        for (log, entries) in &self.entries {
            assert_eq!(store.entries(log, 0, usize::MAX).unwrap(), *entries);
            assert_eq!(
                store.head(log).map(|head| head.id),
                entries.last().map(|entry| entry.id)
            );
            let here: BTreeSet<_> = store.here(log).unwrap().iter().collect();
            let wanted = self.blobs.keys().filter(|key| key.0 == *log);
            let wanted = wanted.filter(|key| !self.dropped.contains_key(key));
            assert_eq!(here, wanted.map(|key| key.1).collect());
        }
        for ((log, ordinal), (stored, content)) in &self.blobs {
            let place = match store.blob_state(log, *ordinal).unwrap() {
                BlobState::Here(place) => place,
                BlobState::Dropped { place, since } => {
                    assert_eq!(self.dropped.get(&(*log, *ordinal)), Some(&since));
                    place
                }
                BlobState::Absent => panic!("blob {ordinal} of {log:?} is gone"),
            };
            assert_eq!(store.blobs().read(&stored.cid, &place).unwrap(), *content);
        }
        for key in 0..6 {
            let value = store.get(Table::Kv, &[key]).unwrap();
            assert_eq!(value, self.values.get(&key).map(|value| vec![*value]));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(48), ..ProptestConfig::default() })]

    #[test]
    fn the_store_holds_what_the_model_holds(acts in prop::collection::vec(act(), 1..25)) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
        }
        world.check();
        world.reopen();
        world.check();
    }
}
