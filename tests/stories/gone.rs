//! Files of a home that somebody removed: packs under a node that runs, all blobs of one that does not.
//!
//! Imports go on, what is gone is named, and it comes again from the other device.
#![cfg(unix)]

use std::{fs, path::Path};

use serde_json::Value;

use crate::devices::{Device, Dice, Homes, Running, files, link, pair, pictures};

fn photos(folder: &Path, from: u32, dice: &mut Dice) -> String {
    fs::create_dir(folder).expect("a folder");
    for number in from..from + 4 {
        let photo = pictures::bmp(60 + number, dice);
        fs::write(folder.join(format!("{number}.bmp")), photo).expect("a photo");
    }
    folder.to_str().expect("UTF-8").to_owned()
}

/// Two devices with the same photos: one in reach, and one whose node is started if asked for.
fn two(homes: &Homes, dice: &mut Dice) -> (Device, Device, Running) {
    let (a, b) = (homes.device("a"), homes.device("b"));
    a.init("Berger", "Anna", "laptop");
    let node = a.serve();
    pair(&a, &["--device"], &b, "pi", link);
    a.ok(&[
        "import",
        &photos(&homes.path().join("old"), 0, dice),
        "--album",
        "Sea",
    ]);
    let movie = homes.path().join("m.mp4");
    fs::write(&movie, pictures::movie(300_000, dice)).expect("a movie");
    a.ok(&["import", movie.to_str().expect("UTF-8"), "--album", "Sea"]);
    b.ok(&["sync"]);
    node.stop();
    let served = b.serve();
    a.know_only(&served.addresses()[0]);
    a.ok(&["sync"]);
    a.is_whole();
    (a, b, served)
}

fn doctor(device: &Device) -> Value {
    let (lines, _) = device.start(&["doctor"]).all();
    let check = lines.into_iter().find(|line| line["name"] == "files");
    check.expect("it looks whether files are there")
}

fn problem(device: &Device, id: &str) -> Option<Value> {
    let status = device.ok(&["status"]);
    let problems = status[0]["problem_details"].as_array().expect("problems");
    problems.iter().find(|problem| problem["id"] == id).cloned()
}

/// Named, got again, and whole.
#[track_caller]
fn is_named_and_comes_again(device: &Device, what: &str) {
    let check = doctor(device);
    assert_eq!(check["ok"], false, "{check}");
    let message = check["message"].as_str().expect("a message");
    assert!(message.contains(what), "{message}");
    let told = problem(device, "files-gone");
    assert!(told.is_some(), "{what}");
    let (lines, exit) = device.start(&["verify"]).all();
    assert_eq!(exit, 9, "{:?}", lines.last());
    let (lines, exit) = device.start(&["verify", "--repair"]).all();
    let last = lines.last().expect("a summary");
    assert_eq!(exit, 0, "{last}");
    assert!(last["damaged"].as_u64() > Some(0), "{last}");
    assert_eq!(last["damaged"], last["repaired"], "{last}");
    let check = doctor(device);
    assert_eq!(check["ok"], true, "{check}");
    assert_eq!(problem(device, "files-gone"), None);
    device.is_whole();
}

#[test]
fn a_pack_deleted_under_a_node_keeps_no_import_out_and_comes_again() {
    let (homes, mut dice) = (Homes::new(), Dice::new());
    let (a, _b, served) = two(&homes, &mut dice);
    let node = a.serve();
    let packs = files(&a.home.join("blobs/packs"));
    assert!(!packs.is_empty());
    for pack in &packs {
        fs::remove_file(pack).expect("it was there");
    }
    for round in 0..2 {
        let folder = homes.path().join(format!("new-{round}"));
        let told = a.ok(&[
            "import",
            &photos(&folder, 100 + round * 10, &mut dice),
            "--album",
            "Sea",
        ]);
        let last = told.last().expect("a summary");
        assert_eq!(last["added"], 4, "{last}");
    }
    is_named_and_comes_again(&a, "pack 1");
    node.stop();
    served.stop();
    a.never_panicked();
}

#[test]
fn a_home_whose_blobs_are_gone_says_so_and_gets_them_again() {
    let (homes, mut dice) = (Homes::new(), Dice::new());
    let (a, _b, served) = two(&homes, &mut dice);
    let blobs = a.home.join("blobs");
    fs::remove_dir_all(&blobs).expect("it was there");
    let told = a.ok(&[
        "import",
        &photos(&homes.path().join("new"), 100, &mut dice),
        "--album",
        "Sea",
    ]);
    assert_eq!(told.last().expect("a summary")["added"], 4);
    let check = doctor(&a);
    let remedy = check["remedy"].as_str().expect("a remedy");
    assert!(remedy.contains("mount it"), "{remedy}");
    // What is gone is no copy.
    let away = |asset: &Value| asset["here"]["original"] == false;
    assert!(a.assets().iter().any(away));
    assert_eq!(a.start(&["status", "--check"]).all().1, 9);
    is_named_and_comes_again(&a, "folder");
    served.stop();
    a.never_panicked();
}

#[test]
fn a_pack_that_cannot_be_read_hides_no_other_and_counts_again_once_it_can_be() {
    let (homes, mut dice) = (Homes::new(), Dice::new());
    let a = homes.device("a");
    a.init("Berger", "Anna", "laptop");
    let packs = a.home.join("blobs/packs");
    for number in 0..2 {
        let folder = homes.path().join(number.to_string());
        a.ok(&[
            "import",
            &photos(&folder, number * 10, &mut dice),
            "--album",
            "Sea",
        ]);
        // What is torn at its end is not gone on with: each has a pack of its own.
        let pack = files(&packs).pop().expect("a pack");
        let mut bytes = fs::read(&pack).expect("a pack");
        bytes.extend_from_slice(b"torn");
        fs::write(&pack, bytes).expect("a pack");
    }
    assert_eq!(files(&packs).len(), 2);
    let here = || {
        let here = a.assets().into_iter();
        here.filter(|asset| asset["here"]["original"] == true)
            .count()
    };
    // Nobody may be refused anything where everybody is root: but nobody reads a folder as a file.
    let (first, aside) = (packs.join("000001.pack"), homes.path().join("aside"));
    fs::rename(&first, &aside).expect("moved");
    fs::create_dir(&first).expect("a folder");
    fs::remove_file(a.home.join("heirloom.redb")).expect("an index");
    assert_eq!(here(), 4);
    let check = doctor(&a);
    let message = check["message"].as_str().expect("a message");
    assert!(message.contains("pack 1 could not be read"), "{message}");
    let (lines, exit) = a.start(&["verify", "--read-data"]).all();
    assert_eq!(exit, 9, "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|line| line["problem"].to_string().contains("may not be read"))
    );
    fs::remove_dir(&first).expect("a folder");
    fs::rename(&aside, &first).expect("moved");
    assert_eq!(here(), 8);
    assert_eq!(doctor(&a)["ok"], true);
    a.is_whole();
    a.never_panicked();
}
