//! What lies on this disk is found there, and what is damaged on it is got again by whoever reads it.
#![cfg(unix)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::devices::{Device, Dice, Homes, Running, files, link, pair, pictures, sums};
use serde_json::Value;

/// More than are got at once.
const PHOTOS: u32 = 40;

/// A laptop with photos, of which some are packed; the folder they came from.
fn laptop(homes: &Homes) -> (Device, PathBuf) {
    let (laptop, mut dice) = (homes.device("laptop"), Dice::new());
    laptop.init("Berger", "Anna", "laptop");
    let photos = homes.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    for nth in 0..PHOTOS {
        let side = if nth < 2 { 500 + nth } else { 40 + nth };
        let photo = pictures::bmp(side, &mut dice);
        fs::write(photos.join(format!("{nth}.bmp")), photo).expect("a photo");
    }
    laptop.ok(&["import", photos.to_str().expect("UTF-8")]);
    (laptop, photos)
}

/// A second device beside the laptop, which runs on. With a limit it gets no originals by itself.
fn second(homes: &Homes, laptop: &Device, limit: Option<&str>) -> (Device, Running) {
    let pi = homes.device("pi");
    let node = laptop.serve();
    pair(laptop, &["--device"], &pi, "pi", link);
    if let Some(limit) = limit {
        laptop.ok(&["device", "policy", "pi", "cache", "--limit", limit]);
    }
    pi.ok(&["sync"]);
    (pi, node)
}

fn originals_here(device: &Device) -> usize {
    let assets = device.assets();
    let here = assets
        .iter()
        .filter(|asset| asset["here"]["original"] == true);
    here.count()
}

/// The large originals of a home.
fn large(device: &Device) -> Vec<PathBuf> {
    let mut blobs = files(&device.home.join("blobs"));
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    blobs.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.len() == 64) && bytes(path) > 700_000
    });
    assert_eq!(blobs.len(), 2, "{blobs:?}");
    blobs
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[100_000] ^= 4;
    fs::write(path, bytes).expect("a file");
}

/// Gets each photo into a folder of its own; the lines of what failed.
fn get_all(device: &Device, into: &Path) -> Vec<Value> {
    let assets = device.assets();
    let ids: Vec<_> = assets
        .iter()
        .filter_map(|asset| asset["id"].as_str())
        .collect();
    let get = [&["get"], &ids[..], &["-o", into.to_str().expect("UTF-8")]].concat();
    let (lines, _) = device.start(&get).all();
    let failed = lines.into_iter().filter(|line| line["outcome"] == "failed");
    failed.collect()
}

fn names(folder: &Path) -> Vec<String> {
    sums(folder).into_keys().collect()
}

#[test]
fn originals_that_lie_here_are_found_when_a_lost_log_comes_back_from_one_that_lacks_them() {
    let homes = Homes::new();
    let (laptop, photos) = laptop(&homes);
    let (pi, node) = second(&homes, &laptop, Some("1MB"));
    node.stop();
    assert_eq!(originals_here(&pi), 0);
    let spoiled = large(&laptop).swap_remove(0);
    let size = |path: &PathBuf| fs::metadata(path).expect("there").len();
    let logs = files(&laptop.home.join("logs")).into_iter();
    let log = logs.max_by_key(size).expect("a log");
    fs::remove_file(log).expect("removed");
    let whole = fs::read(&spoiled).expect("a file");
    flip(&spoiled);
    assert!(laptop.assets().is_empty());

    let node = pi.serve();
    laptop.know_only(&node.addresses()[0]);
    laptop.ok(&["sync"]);
    node.stop();
    assert_eq!(laptop.assets().len(), 40);
    // What is damaged counts no more than what is not there.
    assert_eq!(originals_here(&laptop), 39);
    fs::write(&spoiled, whole).expect("written");
    let out = homes.path().join("out");
    get_all(&laptop, &out);
    let (got, from) = (names(&out), names(&photos));
    assert_eq!(got.len(), 39);
    assert!(got.iter().all(|sum| from.contains(sum)));
    laptop.never_panicked();
}

#[test]
fn a_damaged_original_that_is_read_is_got_again_from_a_device_in_reach() {
    let homes = Homes::new();
    let (laptop, photos) = laptop(&homes);
    let (pi, laptops) = second(&homes, &laptop, None);
    let damaged = large(&pi);
    for act in ["get", "export", "a running node"] {
        damaged.iter().for_each(|path| flip(path));
        let out = homes.path().join(act.replace(' ', "-"));
        if act != "export" {
            // What was found and nobody has dealt with counts no more, and is got like the rest.
            let (lines, exit) = pi.start(&["verify", "--read-data"]).all();
            assert_eq!(exit, 9, "{lines:?}");
            assert_eq!(originals_here(&pi), 38, "{act}");
        }
        let node = (act == "a running node").then(|| pi.serve());
        match act {
            "export" => {
                drop(pi.ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]))
            }
            _ => assert_eq!(get_all(&pi, &out), Vec::<Value>::new(), "{act}"),
        }
        assert_eq!(names(&out), names(&photos), "{act}");
        assert_eq!(originals_here(&pi), 40, "{act}");
        if let Some(node) = node {
            node.stop();
        }
        pi.is_whole();
    }
    laptops.stop();
    pi.never_panicked();
}

#[test]
fn a_damaged_original_that_no_other_device_has_counts_no_more_once_it_was_read() {
    let homes = Homes::new();
    let (laptop, photos) = laptop(&homes);
    large(&laptop).iter().for_each(|path| flip(path));
    let out = homes.path().join("out");
    let export = ["export", out.to_str().expect("UTF-8"), "--sidecars", "none"];
    let (lines, exit) = laptop.start(&export).all();
    assert_eq!(exit, 9, "{lines:?}");
    let failed = lines.iter().filter(|line| line["outcome"] == "failed");
    for line in failed {
        let reason = line["reason"].as_str().expect("a reason");
        assert!(
            reason.contains("heirloom verify --read-data --repair"),
            "{reason}"
        );
    }
    let summary = lines.last().expect("a summary");
    assert_eq!(
        (&summary["written"], &summary["damaged"]),
        (&38.into(), &2.into())
    );
    let (lines, exit) = laptop.start(&["status", "--check"]).all();
    assert_eq!((exit, &lines[0]["lost"]), (9, &2.into()), "{lines:?}");
    assert_eq!(originals_here(&laptop), 38);
    // The card they came from brings them back.
    laptop.ok(&["import", photos.to_str().expect("UTF-8")]);
    laptop.ok(&export);
    assert_eq!(names(&out), names(&photos));
    laptop.is_whole();
    laptop.never_panicked();
}

#[test]
fn an_export_waits_for_all_originals_that_come_from_another_device() {
    let homes = Homes::new();
    let (laptop, photos) = laptop(&homes);
    let (pi, node) = second(&homes, &laptop, Some("50MB"));
    assert_eq!(originals_here(&pi), 0);
    let out = homes.path().join("out");
    pi.ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]);
    assert_eq!(names(&out), names(&photos));
    node.stop();
    pi.never_panicked();
}

/// The device, of which no command may read more than its files' modes let it, be it root's.
fn bound(device: &Device) -> Device {
    let rights = "-dac_override,-dac_read_search";
    let prefix = ["setpriv", "--bounding-set", rights, "--inh-caps", rights];
    let mut bound = device.clone();
    if is_root() {
        bound.prefix = prefix.map(str::to_owned).to_vec();
    }
    bound
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn an_original_that_may_not_be_read_is_no_copy_and_keeps_nothing_else_from_being_exported() {
    if is_root() && Command::new("setpriv").arg("-V").output().is_err() {
        return crate::devices::skipped("setpriv is not there");
    }
    let homes = Homes::new();
    let (laptop, _) = laptop(&homes);
    let (bound, closed) = (bound(&laptop), large(&laptop).swap_remove(0));
    let mode = |mode| fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).expect("set");
    mode(0o000);
    let out = homes.path().join("out");
    let export = ["export", out.to_str().expect("UTF-8"), "--sidecars", "none"];
    let (lines, exit) = bound.start(&export).all();
    assert_eq!(exit, 3, "{lines:?}");
    assert_eq!(lines.last().expect("a summary")["written"], 39, "{lines:?}");
    let failed = lines
        .iter()
        .find(|line| line["outcome"] == "failed")
        .expect("one");
    let reason = failed["reason"].as_str().expect("a reason");
    assert!(reason.contains("chown"), "{reason}");
    for repair in [&["verify"][..], &["verify", "--repair"], &["verify"]] {
        let (lines, exit) = bound.start(repair).all();
        let summary = lines.last().expect("a summary");
        assert_eq!((exit, &summary["closed"]), (9, &1.into()), "{lines:?}");
        assert_eq!(
            (&summary["damaged"], &summary["lost"]),
            (&1.into(), &0.into())
        );
        let (lines, exit) = bound.start(&["status", "--check"]).all();
        assert_eq!((exit, &lines[0]["lost"]), (9, &1.into()), "{lines:?}");
    }
    mode(0o600);
    laptop.is_whole();
    let status = laptop.ok(&["status"]);
    assert_eq!(status[0]["lost"], 0, "{status:?}");
    laptop.ok(&export);
    laptop.never_panicked();
}
