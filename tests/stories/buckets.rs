//! Depots in an S3-compatible store, which the test runs itself (`devices/store.rs`): it fails, stalls and lies.
#![cfg(unix)]

use std::{
    fs,
    ops::{Deref, DerefMut},
    time::{Duration, Instant},
};

use crate::devices::{
    Device, LOOPBACK, Running,
    apart::Apart,
    report,
    store::{Mood, Store, access},
    wait_until,
};
use serde_json::Value;

const PLACE: &str = "s3://photos/of/ours";
const SOON: Duration = Duration::from_secs(60);

/// Two devices of one person, and a store.
struct Family {
    apart: Apart,
    store: Store,
}

impl Deref for Family {
    type Target = Apart;

    fn deref(&self) -> &Apart {
        &self.apart
    }
}

impl DerefMut for Family {
    fn deref_mut(&mut self) -> &mut Apart {
        &mut self.apart
    }
}

impl Family {
    fn new() -> Self {
        let mut apart = Apart::alone();
        for device in [&mut apart.a, &mut apart.b] {
            device.env.extend(access());
        }
        let store = Store::new();
        Self { apart, store }
    }

    fn begin_add(&self, device: &Device) -> Running {
        let endpoint = self.store.endpoint();
        device.start(&["depot", "add", PLACE, "--endpoint", &endpoint])
    }

    fn try_add(&self, device: &Device) -> (Value, i32) {
        self.begin_add(device).end()
    }

    #[track_caller]
    fn add(&self, device: &Device) -> Value {
        let (summary, exit) = self.try_add(device);
        assert_eq!(exit, 0, "{summary}");
        summary
    }
}

#[test]
fn two_devices_exchange_by_a_bucket() {
    let mut family = Family::new();
    let (a, b) = (family.a.clone(), family.b.clone());
    let mut all = family.import(&a, 4);
    family.add(&a);
    let count = family.store.objects().len();
    assert!(count >= 8, "{count}");
    let keys: Vec<_> = family.store.objects().keys().cloned().collect();
    assert!(
        keys.iter().all(|key| key.starts_with("photos/of/ours/")),
        "{keys:?}"
    );
    family.add(&b);
    assert_eq!(family.originals(&b), all);
    all.extend(family.import(&b, 2));
    family.add(&b);
    family.add(&a);
    assert_eq!(family.originals(&a), all);
    assert_eq!(family.store.counts().refused, 0);
    let listed = a.ok(&["depot", "list"]);
    assert_eq!(listed[0]["path"], PLACE, "{listed:?}");
    // Neither key stands in a home.
    for device in [&a, &b] {
        for file in crate::devices::files(&device.home) {
            let bytes = fs::read(&file).expect("a file");
            let secret = b"not-a-secret";
            assert!(
                !bytes.windows(secret.len()).any(|at| at == secret),
                "{}",
                file.display()
            );
        }
        device.never_panicked();
    }
    a.ok(&["depot", "remove", PLACE]);
}

#[test]
fn a_store_that_fails_stalls_or_lies_loses_and_forges_nothing() {
    let mut family = Family::new();
    let (a, b) = (family.a.clone(), family.b.clone());
    let all = family.import(&a, 3);
    family.add(&a);
    family.add(&b);
    let more = family.import(&a, 3);
    family.add(&a);
    for (mood, answers) in [
        (Mood::Fails, false),
        (Mood::Stalls, false),
        (Mood::Lies, true),
        (Mood::Cuts, true),
        (Mood::Floods, true),
    ] {
        family.store.be(mood);
        let started = Instant::now();
        // At once, since both may wait for a while.
        let ended = [&b, &a].map(|device| family.begin_add(device));
        for (said, exit) in ended.map(Running::end) {
            match answers {
                // What comes is named and not taken, and what goes there goes.
                true => assert!(
                    exit == 0 && said["wrong"].as_u64() >= Some(1),
                    "{mood:?}: {said}"
                ),
                false => assert!(exit == 1 && said["id"] == "E-IO", "{mood:?}: {said}"),
            }
        }
        report(&format!("{mood:?}: {:?}", started.elapsed()));
        assert_eq!(family.originals(&b), all, "{mood:?}");
        b.is_whole();
    }
    family.store.be(Mood::Honest);
    family.add(&a);
    family.add(&b);
    family.add(&a);
    family.add(&b);
    assert_eq!(family.originals(&b), all.union(&more).cloned().collect());
    a.never_panicked();
    b.never_panicked();
}

#[test]
fn lists_without_an_end_are_given_up() {
    let mut family = Family::new();
    let (a, b) = (family.a.clone(), family.b.clone());
    family.import(&a, 1);
    family.add(&a);
    for mood in [Mood::Pages, Mood::Lists] {
        let before = family.store.counts();
        family.store.be(mood);
        let (said, exit) = family.try_add(&b);
        assert_eq!(exit, 1, "{mood:?}: {said}");
        let after = family.store.counts();
        let (lists, bytes) = (after.lists - before.lists, after.flooded - before.flooded);
        report(&format!(
            "{mood:?}: {lists} lists, {bytes} bytes without an end"
        ));
        assert!((1..=101).contains(&lists), "{mood:?}: {lists}");
        // What lies in buffers of the two ends counts as sent.
        assert!(bytes < 32 * 1024 * 1024, "{mood:?}: {bytes}");
        b.is_whole();
    }
    family.store.be(Mood::Honest);
    family.add(&b);
    assert_eq!(b.assets().len(), 1);
    b.never_panicked();
}

#[test]
fn a_store_that_trickles_keeps_neither_other_depots_nor_the_end_waiting() {
    let mut family = Family::new();
    let (a, b) = (family.a.clone(), family.b.clone());
    family.import(&a, 1);
    family.add(&a);
    family.add(&b);
    let other = Store::new();
    let elsewhere = "s3://photos/of/ours/too";
    let node = a.serve();
    family.add(&a);
    let endpoint = other.endpoint();
    a.ok(&["depot", "add", elsewhere, "--endpoint", &endpoint]);
    let (count, before) = (other.objects().len(), family.store.counts());
    family.import(&b, 1);
    family.add(&b);
    family.store.be(Mood::Trickles);
    family.import(&a, 2);
    wait_until("the other depot has the new photos", SOON, || {
        other.objects().len() >= count + 2
    });
    wait_until("the store is being read", SOON, || {
        family.store.counts().trickled > before.trickled
    });
    let begun = Instant::now();
    node.stop();
    let took = begun.elapsed();
    report(&format!("stopped after {took:?}"));
    assert!(took < Duration::from_secs(8), "{took:?}");
    a.is_whole();
    a.never_panicked();
}

#[test]
fn a_bucket_is_asked_on_few_connections_and_listed_instead_of_asked_for_each_file() {
    let mut family = Family::new();
    let a = family.a.clone();
    family.import(&a, 40);
    family.add(&a);
    let blobs = |store: &Store| {
        let objects = store.objects();
        objects.keys().filter(|key| key.contains("/blobs/")).count()
    };
    let count = blobs(&family.store);
    let counts = family.store.counts();
    report(&format!("{count} blobs: {counts:?}"));
    assert!(count >= 40, "{count}");
    assert!(counts.connections <= 16, "{counts:?}");
    // Before the first page of the list there are a few, and other files than blobs.
    assert!(counts.heads <= 8, "{counts:?}");
}

#[test]
fn a_node_that_stays_near_asks_no_store_far_away() {
    let family = Family::new();
    let a = family.a.clone();
    let node = a.serve_with(&["--no-discovery", "--listen", LOOPBACK, "--lan-only"]);
    let far = ["depot", "add", PLACE, "--endpoint", "http://192.0.2.1:9"];
    let (said, exit) = a.run(&far, "");
    assert_eq!(exit, 1, "{said}");
    let text = said["message"].as_str().expect("a message");
    assert!(text.contains("local network"), "{said}");
    family.add(&a);
    node.stop();
}

#[test]
fn a_key_that_the_store_does_not_know_is_told_in_plain_words() {
    let mut family = Family::new();
    let a = family.a.clone();
    family.import(&a, 2);
    let wrong = |name: &str, value: &str| {
        let mut device = a.clone();
        device.env.insert(name.into(), value.into());
        device
    };
    let told = |said: &Value| {
        assert_eq!(said["id"], "E-IO", "{said}");
        let text = said["message"].as_str().expect("a message").to_owned();
        assert!(text.contains("the store refuses the keys"), "{said}");
        for noise in ["<", "privileges", "403"] {
            assert!(!text.contains(noise), "{said}");
        }
        let hint = said["hint"].as_str().expect("a hint");
        assert!(hint.contains("AWS_SECRET_ACCESS_KEY"), "{said}");
        assert!(!said.to_string().contains("no-secret-of-this-store"));
    };
    let device = wrong("AWS_SECRET_ACCESS_KEY", "no-secret-of-this-store");
    for device in [&device, &wrong("AWS_ACCESS_KEY_ID", "somebody")] {
        let (said, exit) = family.try_add(device);
        assert_eq!(exit, 1, "{said}");
        told(&said);
    }
    assert!(family.store.counts().refused >= 2);
    assert!(family.store.objects().is_empty());
    assert_eq!(a.ok(&["depot", "list"]).len(), 1, "none was remembered");
    // Keys that are taken away later are told too, and what lies there stays.
    family.add(&a);
    let count = family.store.objects().len();
    family.import(&a, 1);
    let (said, exit) = family.try_add(&device);
    assert_eq!(exit, 1, "{said}");
    told(&said);
    assert_eq!(family.store.objects().len(), count);
    family.add(&a);
    assert!(family.store.objects().len() > count);
    a.never_panicked();
}

#[test]
fn without_access_or_on_another_network_nothing_is_asked() {
    let family = Family::new();
    let mut bare = family.a.clone();
    bare.env.clear();
    let (said, exit) = family.try_add(&bare);
    assert_eq!(exit, 2, "{said}");
    let (said, exit) = family.a.run(&["depot", "add", "s3://photos"], "");
    assert_eq!(exit, 2, "{said}");
    family.a.ok(&["config", "set", "lan_only", "true"]);
    let public = ["depot", "add", PLACE, "--endpoint", "http://192.0.2.1:9"];
    let (said, exit) = family.a.run(&public, "");
    assert_eq!(exit, 1, "{said}");
    assert!(
        said["message"]
            .as_str()
            .is_some_and(|text| text.contains("local network")),
        "{said}"
    );
    assert!(family.store.objects().is_empty());
}
