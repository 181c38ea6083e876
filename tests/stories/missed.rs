//! Originals that are damaged or missing and that nobody else has: every look names them, until they are here
//! again or are purged.
#![cfg(unix)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::devices::{Device, Dice, Homes, files, pictures};
use serde_json::Value;

/// A device with three photos, of which one is packed, and the card they came from.
fn laptop(homes: &Homes) -> (Device, PathBuf) {
    let (device, mut dice) = (homes.device("laptop"), Dice::new());
    device.init("Berger", "Anna", "laptop");
    let card = homes.path().join("card");
    fs::create_dir(&card).expect("a folder");
    for (name, side) in [("small", 250), ("large", 500), ("whole", 510)] {
        let photo = pictures::bmp(side, &mut dice);
        fs::write(card.join(name).with_extension("bmp"), photo).expect("a photo");
    }
    import(&device, &card);
    (device, card)
}

fn import(device: &Device, card: &Path) {
    device.ok(&["import", card.to_str().expect("UTF-8")]);
}

fn large_blob(device: &Device) -> PathBuf {
    let mut blobs = files(&device.home.join("blobs"));
    blobs.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.len() == 64)
    });
    blobs.sort();
    blobs.swap_remove(0)
}

fn pack(device: &Device) -> PathBuf {
    files(&device.home.join("blobs/packs")).swap_remove(0)
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[at] ^= 4;
    fs::write(path, bytes).expect("a file");
}

fn problem(device: &Device, id: &str) -> Option<u64> {
    let (lines, _) = device.start(&["status"]).all();
    let problems = lines[0]["problem_details"].as_array().expect("a list");
    let found = problems.iter().find(|problem| problem["id"] == id);
    found.map(|problem| problem["values"]["n"].as_u64().expect("a number"))
}

/// Of each photo: how many copies are counted, and whether the original is here.
fn copies(device: &Device) -> Vec<(u64, bool)> {
    let assets = device.assets();
    let row = |asset: &Value| {
        let copies = asset["copies"].as_u64().expect("a number");
        (copies, asset["here"]["original"] == true)
    };
    assets.iter().map(row).collect()
}

/// What `verify` names as damaged blobs: the photo of each.
#[track_caller]
fn named(device: &Device, args: &[&str]) -> Vec<Value> {
    let (lines, exit) = device.start(&[&["verify"], args].concat()).all();
    let damage = lines.iter().filter(|line| line["type"] == "damage");
    let named: Vec<_> = damage.map(|line| line["asset"].clone()).collect();
    let expected = if named.is_empty() { 0 } else { 9 };
    assert_eq!(exit, expected, "{lines:?}");
    assert_eq!(
        lines.last().expect("a summary")["damaged"],
        named.len(),
        "{lines:?}"
    );
    named
}

#[test]
fn an_original_that_no_device_has_is_named_until_the_card_brings_it_back() {
    let homes = Homes::new();
    let (device, card) = laptop(&homes);
    fs::remove_file(large_blob(&device)).expect("it was there");
    flip(&pack(&device), 5000);
    let first = named(&device, &["--read-data"]);
    assert_eq!(first.len(), 2, "{first:?}");
    // Nothing was dealt with, and it is known all the same.
    assert_eq!(problem(&device, "lost"), Some(2));
    // It is the only device: nothing comes again from another.
    assert_eq!(problem(&device, "damaged"), None);
    assert_eq!(device.ok(&["status"])[0]["damaged"], 2);
    let (checks, _) = device.start(&["doctor"]).all();
    let check = checks.iter().find(|check| check["name"] == "files");
    let check = check.expect("a look at the files");
    assert_eq!(check["ok"], false, "{check}");
    assert!(
        check["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("2 files were")),
        "{check}"
    );
    // Nor is it called a copy.
    let mut copies = copies(&device);
    copies.sort();
    assert_eq!(copies, [(0, false), (0, false), (1, true)]);
    let only_here = device.ok(&["list", "--only-here"]);
    let only_here = only_here.iter().filter(|line| line["type"] == "asset");
    assert_eq!(only_here.count(), 1);
    let (lines, _) = device.start(&["offload", "--dry-run"]).all();
    let summary = lines.last().expect("a summary");
    assert_eq!(summary["kept"], 1, "{lines:?}");
    assert_eq!(named(&device, &[]).len(), 2);
    // Put aside, what is left looks like what never came.
    assert_eq!(named(&device, &["--read-data", "--repair"]).len(), 2);
    for args in [&[][..], &["--read-data"], &["--repair"], &[]] {
        let mut again = named(&device, args);
        again.sort_by_key(ToString::to_string);
        let mut first = first.clone();
        first.sort_by_key(ToString::to_string);
        assert_eq!(again, first, "{args:?}");
        assert_eq!(problem(&device, "lost"), Some(2), "{args:?}");
        let (lines, exit) = device.start(&["status", "--check"]).all();
        assert_eq!((exit, &lines[0]["lost"]), (9, &2.into()), "{lines:?}");
    }
    // A running node knows no less.
    let node = device.serve();
    assert_eq!(named(&device, &[]).len(), 2);
    assert_eq!(problem(&device, "lost"), Some(2));
    node.stop();

    import(&device, &card);
    assert_eq!(named(&device, &["--read-data"]), Vec::<Value>::new());
    assert_eq!(problem(&device, "damaged"), None);
    assert_eq!(problem(&device, "lost"), None);
    device.never_panicked();
}

#[test]
fn an_original_that_two_albums_name_is_brought_back_for_both() {
    let homes = Homes::new();
    let (device, card) = laptop(&homes);
    let into_garden = ["import", card.to_str().expect("UTF-8"), "--album", "Garden"];
    device.ok(&into_garden);
    fs::remove_file(large_blob(&device)).expect("it was there");
    assert_eq!(named(&device, &["--repair"]).len(), 2);
    assert_eq!(named(&device, &[]).len(), 2);
    assert_eq!(problem(&device, "lost"), Some(1));
    device.ok(&into_garden);
    assert_eq!(named(&device, &["--read-data"]), Vec::<Value>::new());
    assert_eq!(problem(&device, "lost"), None);
    device.never_panicked();
}

#[test]
fn a_lost_original_is_missed_no_more_once_its_photo_is_purged() {
    let homes = Homes::new();
    let (device, _) = laptop(&homes);
    flip(&large_blob(&device), 100_000);
    device.start(&["verify", "--read-data", "--repair"]).all();
    let lost = named(&device, &[]);
    assert_eq!(lost.len(), 1, "{lost:?}");
    let id = lost[0].as_str().expect("an id");
    device.ok(&["trash", id]);
    assert_eq!(named(&device, &[]), [id], "it can be restored");
    device.ok(&["--yes", "purge", id]);
    assert_eq!(named(&device, &["--read-data"]), Vec::<Value>::new());
    assert_eq!(problem(&device, "lost"), None);
    assert_eq!(problem(&device, "damaged"), None);
    device.never_panicked();
}
