//! Depots: a folder that several devices keep up to date, with nobody running there.
#![cfg(unix)]

use std::{
    fs,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::devices::{Device, alike, apart::Apart, files, link, pair, wait_until};
use serde_json::Value;

const ALBUM: &str = "Summer";
const SOON: Duration = Duration::from_secs(60);

/// Two devices of two people, and a place for a depot.
struct Family {
    apart: Apart,
    place: PathBuf,
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
        let apart = Apart::sharing(ALBUM);
        let place = apart.homes.path().join("share");
        Self { apart, place }
    }

    fn place(&self) -> &str {
        self.place.to_str().expect("UTF-8")
    }

    /// Makes the place a depot of a device, or brings both up to date if it is one.
    #[track_caller]
    fn add(&self, device: &Device) -> Value {
        let lines = device.ok(&["depot", "add", self.place()]);
        lines.last().expect("a summary").clone()
    }

    fn depot(&self, device: &Device) -> Value {
        let mut lines = device.ok(&["depot", "list"]);
        lines.retain(|line| line["type"] == "depot");
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }
}

fn blobs(place: &Path) -> Vec<PathBuf> {
    let mut blobs = files(&place.join("blobs"));
    blobs.retain(|path| path.extension().is_none());
    blobs
}

/// Every file of a blob that lies there has the bytes that its name says.
fn is_right(place: &Path) {
    for path in files(&place.join("blobs")) {
        let name = path.file_name().expect("a name").to_string_lossy();
        let bytes = fs::read(&path).expect("a blob");
        assert_eq!(name, blake3::hash(&bytes).to_hex().as_str());
    }
}

#[test]
fn running_nodes_that_never_meet_keep_a_depot_up_to_date() {
    let mut family = Family::new();
    let (a, b) = (family.a.clone(), family.b.clone());
    let mut all = family.import(&a, 2);
    let [node_a, node_b] = [&a, &b].map(Device::serve);
    family.add(&a);
    let first = blobs(&family.place).len();
    assert!(first >= 2, "{first}");
    let got = family.add(&b);
    assert_eq!(got["blobs"].as_u64(), u64::try_from(first).ok(), "{got}");
    assert_eq!(family.originals(&b), all);

    // What is new on one is put there without a command, and the other takes it.
    all.extend(family.import(&a, 3));
    let place = family.place.clone();
    let before = fs::read(place.join("heirloom.depot")).expect("a marker");
    wait_until("the depot has the new photos", SOON, || {
        blobs(&place).len() >= first + 3 && family.depot(&a)["blobs"].as_u64() >= Some(5)
    });
    wait_until("the other device has them", SOON, || {
        family.add(&b);
        b.assets()
            .iter()
            .filter(|asset| asset["here"]["original"] == true)
            .count()
            == 5
    });
    assert_eq!(family.originals(&b), all);
    // And the other way.
    all.extend(family.import(&b, 1));
    wait_until("all of it is on the first device", SOON, || {
        family.add(&a);
        a.assets()
            .iter()
            .filter(|asset| asset["here"]["original"] == true)
            .count()
            == 6
    });
    assert_eq!(family.originals(&a), all);
    assert_eq!(alike(&a.assets()), alike(&b.assets()));
    assert_eq!(
        fs::read(place.join("heirloom.depot")).expect("a marker"),
        before
    );
    is_right(&place);
    // Shown apart: a depot is no device, and no copy there counts.
    let status = a.ok(&["status"]);
    let status = status.iter().find(|line| line["type"] == "status");
    let status = status.expect("a status");
    assert_eq!(status["depots"][0]["path"], family.place(), "{status}");
    assert_eq!(status["safe"], 0, "{status}");
    node_a.stop();
    node_b.stop();
    for device in [&a, &b] {
        device.is_whole();
        device.never_panicked();
    }
}

#[test]
fn a_new_device_gets_everything_from_a_depot_alone() {
    let mut family = Family::new();
    let (a, c) = (family.a.clone(), family.homes.device("c"));
    let all = family.import(&a, 4);
    let id = a.assets()[0]["id"].as_str().expect("an id").to_owned();
    a.ok(&["caption", &id, "Low tide"]);
    let node = a.serve();
    pair(&a, &["--device"], &c, "tablet", link);
    node.stop();
    c.forget_all();
    family.add(&a);
    // The first device is gone, with all that it had.
    fs::remove_dir_all(&a.home).expect("removed");
    let got = family.add(&c);
    assert!(got["blobs"].as_u64() >= Some(4), "{got}");
    assert_eq!(family.originals(&c), all);
    assert_eq!(c.assets().len(), 4);
    assert!(
        c.assets()
            .iter()
            .any(|asset| asset["caption"] == "Low tide")
    );
    c.is_whole();
}

#[test]
fn wrong_files_in_a_depot_are_found_named_and_put_right() {
    let mut family = Family::new();
    let (a, b) = (family.a.clone(), family.b.clone());
    let all = family.import(&a, 4);
    family.add(&a);
    let there = blobs(&family.place);
    let bytes = fs::read(&there[0]).expect("a blob");
    let swapped = vec![7; bytes.len()];
    fs::write(&there[0], swapped).expect("swapped");
    let bytes = fs::read(&there[1]).expect("a blob");
    fs::write(&there[1], &bytes[..bytes.len() / 2]).expect("cut");
    fs::remove_file(&there[2]).expect("removed");
    // A stranger to them takes nothing wrong.
    let got = family.add(&b);
    assert!(got["wrong"].as_u64() >= Some(3), "{got}");
    b.is_whole();
    let found = family.add(&a);
    assert_eq!(
        (&found["wrong"], &found["put"]),
        (&3.into(), &3.into()),
        "{found}"
    );
    let wrong = family.depot(&a)["wrong"].as_array().expect("names").len();
    assert_eq!(wrong, 3);
    is_right(&family.place);
    let again = family.add(&a);
    assert_eq!(
        (&again["wrong"], &again["put"]),
        (&0.into(), &0.into()),
        "{again}"
    );
    family.add(&b);
    assert_eq!(family.originals(&b), all);

    // Files of entries as well, and a manifest that says nothing any more.
    for name in ["entries-", "list-", "manifest"] {
        let all = files(&family.place.join("devices"));
        let of_a = |path: &&PathBuf| path.to_string_lossy().contains(name);
        for path in all.iter().filter(of_a) {
            let mut bytes = fs::read(path).expect("a file");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x40;
            fs::write(path, bytes).expect("changed");
        }
        family.add(&a);
        family.add(&b);
        let healed = [&a, &b].map(|device| family.add(device));
        assert!(
            healed.iter().all(|round| round["wrong"] == 0),
            "{name}: {healed:?}"
        );
    }
    let c = family.homes.device("c");
    let node = a.serve();
    pair(&a, &["--device"], &c, "tablet", link);
    node.stop();
    c.forget_all();
    family.add(&a);
    family.add(&c);
    assert_eq!(family.originals(&c), all);
}

#[test]
fn a_disk_that_is_not_plugged_in_is_not_written_past() {
    let mut family = Family::new();
    let a = family.a.clone();
    family.import(&a, 1);
    family.add(&a);
    let count = blobs(&family.place).len();
    let unplugged = family.homes.path().join("unplugged");
    fs::rename(&family.place, &unplugged).expect("unplugged");
    // Where the disk is mounted, an empty folder is left.
    fs::create_dir(&family.place).expect("a folder");
    family.import(&a, 2);
    let node = a.serve();
    wait_until("it is told", SOON, || {
        family.depot(&a)["problem"]
            .as_str()
            .is_some_and(|told| told.contains("not in reach"))
    });
    assert_eq!(files(&family.place), Vec::<PathBuf>::new());
    fs::remove_dir(&family.place).expect("removed");
    fs::rename(&unplugged, &family.place).expect("plugged in");
    let put = family.add(&a);
    assert!(put["put"].as_u64() >= Some(2), "{put}");
    assert!(blobs(&family.place).len() >= count + 2);
    assert_eq!(family.depot(&a)["problem"], Value::Null);
    node.stop();
    a.ok(&["depot", "remove", family.place()]);
    let (gone, exit) = a.run(&["depot", "remove", family.place()], "");
    assert_eq!(exit, 4, "{gone}");
    assert!(blobs(&family.place).len() >= count + 2);
}

#[test]
fn two_devices_that_write_at_once_do_each_other_no_harm() {
    let mut family = Family::new();
    let (a, b) = (family.a.clone(), family.b.clone());
    let mut all = family.import(&a, 6);
    // Both hold the same photos before there is a depot.
    let disk = family.homes.path().join("disk");
    let path = disk.to_str().expect("UTF-8");
    a.ok(&["bundle", "write", path]);
    b.ok(&["bundle", "read", path]);
    all.extend(family.import(&b, 2));
    let started = [&a, &b].map(|device| device.start(&["depot", "add", family.place()]));
    for running in started {
        let (summary, exit) = running.end();
        assert_eq!(exit, 0, "{summary}");
    }
    is_right(&family.place);
    let parts = files(&family.place);
    assert!(
        parts
            .iter()
            .all(|path| path.extension().is_none_or(|ending| ending != "part"))
    );
    family.add(&a);
    family.add(&b);
    assert_eq!(alike(&a.assets()), alike(&b.assets()));
    assert_eq!(family.originals(&a), all);
    assert_eq!(family.originals(&b), all);
}

/// A file that no device of the family wrote, as other programs leave them.
fn strays(place: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let blobs = place.join("blobs");
    let inner = blobs.join("00");
    fs::create_dir_all(&inner).expect("a folder");
    let half = format!("{}.1234abcd.part", "ab".repeat(32));
    let strays = [
        (place.join("Holiday.docx"), b"a letter".to_vec()),
        (blobs.join(".DS_Store"), vec![0; 6148]),
        (inner.join(half), vec![7; 5000]),
        (inner.join("cd".repeat(32)), b"half".to_vec()),
        (place.join("devices/Thumbs.db"), vec![1; 100]),
    ];
    for (path, bytes) in &strays {
        fs::write(path, bytes).expect("a stray");
    }
    strays.into()
}

#[test]
fn three_devices_write_at_once_again_and_again_beside_files_of_others() {
    let mut family = Family::new();
    let (a, b, c) = (family.a.clone(), family.b.clone(), family.homes.device("c"));
    let node = a.serve();
    pair(&a, &["--device"], &c, "tablet", link);
    node.stop();
    c.forget_all();
    let devices = [&a, &b, &c];
    let mut all = family.import(&a, 2);
    for device in devices {
        family.add(device);
    }
    let strays = strays(&family.place);
    for round in 0..5 {
        for device in devices {
            all.extend(family.import(device, 2));
        }
        let started = devices.map(|device| device.start(&["depot", "add", family.place()]));
        for running in started {
            let (summary, exit) = running.end();
            assert_eq!(exit, 0, "{round}: {summary}");
            assert_eq!(summary["wrong"], 0, "{round}: {summary}");
        }
    }
    // The last of them to be read may have been put after the first had looked.
    for device in devices {
        family.add(device);
    }
    for device in devices {
        assert_eq!(family.originals(device), all);
        assert_eq!(alike(&device.assets()), alike(&a.assets()));
        device.is_whole();
        device.never_panicked();
    }
    // What is not theirs lies as it did, and what is theirs is whole.
    for (path, bytes) in &strays {
        assert_eq!(&fs::read(path).expect("it is there"), bytes);
        fs::remove_file(path).expect("removed");
    }
    is_right(&family.place);
    let left: Vec<_> = files(&family.place)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "part"))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}
