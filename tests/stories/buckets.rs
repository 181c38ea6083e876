//! Depots in an S3-compatible store, which the test runs itself (`devices/store.rs`): it fails, stalls and lies.
#![cfg(unix)]

use std::{collections::BTreeSet, fs, time::Instant};

use crate::devices::{
    Device, Dice, Homes, link, pair, pictures, report,
    store::{Mood, Store},
    sums,
};
use serde_json::Value;

const PLACE: &str = "s3://photos/of/ours";

struct Family {
    homes: Homes,
    dice: Dice,
    a: Device,
    b: Device,
    store: Store,
}

fn with_access(mut device: Device) -> Device {
    let access = [
        ("AWS_ACCESS_KEY_ID", "heirloom"),
        ("AWS_SECRET_ACCESS_KEY", "not-a-secret"),
    ];
    let access = access.map(|(name, value)| (name.to_owned(), value.to_owned()));
    device.env.extend(access);
    device
}

impl Family {
    fn new() -> Self {
        let (homes, dice) = (Homes::new(), Dice::new());
        let [a, b] = ["a", "b"].map(|name| with_access(homes.device(name)));
        a.init("Berger", "Anna", "laptop");
        let node = a.serve();
        pair(&a, &["--device"], &b, "desk", link);
        node.stop();
        for device in [&a, &b] {
            device.forget_all();
        }
        Self {
            homes,
            dice,
            a,
            b,
            store: Store::new(),
        }
    }

    fn import(&mut self, device: &Device, count: u32) -> BTreeSet<String> {
        let folder = self.homes.path().join(self.dice.word(8));
        fs::create_dir(&folder).expect("a folder");
        for n in 0..count {
            let bytes = pictures::bmp(50 + n, &mut self.dice);
            fs::write(folder.join(format!("{n}.bmp")), bytes).expect("a photo");
        }
        device.ok(&["import", folder.to_str().expect("UTF-8")]);
        sums(&folder).into_keys().collect()
    }

    fn try_add(&self, device: &Device) -> (Value, i32) {
        let endpoint = self.store.endpoint();
        device.run(&["depot", "add", PLACE, "--endpoint", &endpoint], "")
    }

    #[track_caller]
    fn add(&self, device: &Device) -> Value {
        let (summary, exit) = self.try_add(device);
        assert_eq!(exit, 0, "{summary}");
        summary
    }

    fn originals(&mut self, device: &Device) -> BTreeSet<String> {
        let out = self.homes.path().join(self.dice.word(8));
        let path = out.to_str().expect("UTF-8");
        device.run(&["export", path, "--sidecars", "none"], "");
        sums(&out).into_keys().collect()
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
    assert_eq!(family.store.unsigned(), 0);
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
    for mood in [
        Mood::Fails,
        Mood::Stalls,
        Mood::Lies,
        Mood::Cuts,
        Mood::Floods,
    ] {
        family.store.be(mood);
        let started = Instant::now();
        for device in [&b, &a] {
            let (said, exit) = family.try_add(device);
            assert!(exit == 1 || exit == 0, "{mood:?}: {said}");
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
