//! Three devices as people run them: originals leave one, stay on the others, and come back byte for byte.
#![cfg(unix)]

use std::{collections::BTreeMap, fs, path::Path};

use crate::devices::{Device, Dice, Homes, Running, link, pair, pictures};
use serde_json::{Value, json};

/// Some photos and a movie that is larger than what comes whole.
fn photos(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut dice = Dice::new();
    fs::create_dir(folder).expect("a new folder");
    let mut all = BTreeMap::new();
    for n in 0..5 {
        all.insert(format!("{n}.bmp"), pictures::bmp(64 + n, &mut dice));
    }
    all.insert("clip.mp4".into(), pictures::movie(3_000_000, &mut dice));
    for (name, bytes) in &all {
        fs::write(folder.join(name), bytes).expect("a photo");
    }
    all
}

fn know(device: &Device, other: &Running) {
    device.ok(&["peer", "add", &other.addresses()[0]]);
}

fn is_here(device: &Device) -> Vec<bool> {
    let assets = device.assets();
    let here = assets.iter().map(|asset| &asset["here"]["original"]);
    here.map(|here| here.as_bool().expect("yes or no"))
        .collect()
}

fn ids_of(device: &Device) -> Vec<String> {
    let assets = device.assets();
    let ids = assets.iter().map(|asset| asset["id"].as_str());
    ids.map(|id| id.expect("an id").to_owned()).collect()
}

fn bytes_in(folder: &Path) -> u64 {
    let files = crate::devices::files(folder);
    files
        .iter()
        .map(|file| fs::metadata(file).expect("a file").len())
        .sum()
}

/// The words of this device's person, from what `init` said.
fn init(laptop: &Device) -> String {
    let args = [
        "init", "--family", "Berger", "--person", "Anna", "--device", "laptop",
    ];
    let made = laptop.ok(&args);
    let summary = made.last().expect("a summary");
    let words = summary["recovery"].as_array().expect("24 words");
    let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
    assert_eq!(words.len(), 24);
    words.join(" ")
}

#[test]
fn originals_leave_a_device_stay_on_two_others_and_come_back() {
    let homes = Homes::new();
    let [laptop, desktop, attic] = ["laptop", "desktop", "attic"].map(|name| homes.device(name));
    let words = init(&laptop);
    let source = homes.path().join("pictures");
    let all = photos(&source);
    laptop.ok(&[
        "import",
        source.to_str().expect("text"),
        "--album",
        "Summer",
    ]);
    pair(&laptop, &["--device"], &desktop, "desktop", link);
    pair(&laptop, &["--keeper", "attic"], &attic, "attic", link);
    let (keeper, second) = (attic.serve(), desktop.serve());
    know(&laptop, &keeper);
    know(&laptop, &second);
    laptop.ok(&["sync"]);
    for asset in laptop.assets() {
        assert_eq!(asset["copies"], 3, "{asset}");
    }
    let status = &laptop.ok(&["status"])[0];
    let told = &status["note_details"][0]["id"];
    assert_eq!(told, "one-home", "{status}");

    // The paper first.
    let (refused, exit) = laptop.run(&["--yes", "offload"], "");
    assert_eq!(
        (exit, &refused["id"]),
        (1, &"E-NOT-ALLOWED".into()),
        "{refused}"
    );
    let (checked, exit) = laptop.run(&["recovery", "check", "-"], &format!("{words}\n"));
    assert_eq!(exit, 0, "{checked}");

    // With one of the others off nothing leaves, and it is named.
    second.stop();
    let (lines, exit) = laptop.start(&["--yes", "offload"]).all();
    assert_eq!(exit, 3, "{lines:?}");
    let kept = lines
        .iter()
        .find(|line| line["type"] == "original")
        .expect("a line");
    let reason = kept["reason"].as_str().expect("a reason");
    assert!(reason.contains("desktop is not in reach"), "{reason}");
    assert!(is_here(&laptop).iter().all(|here| *here));

    let second = desktop.serve();
    know(&laptop, &second);
    let before = bytes_in(&laptop.home.join("blobs"));
    let gone = laptop.ok(&["--yes", "offload"]);
    let summary = gone.last().expect("a summary");
    assert_eq!(
        (&summary["dropped"], &summary["kept"]),
        (&6.into(), &0.into())
    );
    assert_eq!(is_here(&laptop), [false; 6]);
    let after = bytes_in(&laptop.home.join("blobs"));
    assert!(before - after > 3_000_000, "{before} bytes became {after}");
    laptop.is_whole();
    for asset in laptop.assets() {
        assert_eq!(asset["copies"], 2, "{asset}");
    }
    // What others hold and have just proved needs no room here to be safe.
    let pictures = source.to_str().expect("text");
    let told = laptop.ok(&["import", pictures, "--album", "Summer"]);
    assert_eq!(told.last().expect("a summary")["present"], 6, "{told:?}");
    assert_eq!(is_here(&laptop), [false; 6]);

    // Nobody in reach: it is said where they are. Somebody in reach: they come.
    let ids = ids_of(&laptop);
    // What is not here goes into no other album, and what is said to help does.
    laptop.ok(&["album", "create", "Lake"]);
    let add = ["album", "add", "Lake", &ids[0]];
    let (refused, exit) = laptop.run(&add, "");
    assert_eq!(exit, 75, "{refused}");
    let hint = refused["hint"].as_str().expect("a hint");
    let helps = format!("heirloom get {}", &ids[0][..8]);
    assert!(hint.contains(&helps), "{hint}");
    // Undo brings nothing back on a device that has let the originals go, and it is said where it does.
    let last = ids[5].as_str();
    laptop.ok(&["trash", last]);
    let purged = laptop.ok(&["--yes", "purge", last]);
    let summary = purged.last().expect("a summary");
    let told = (&summary["away"], &summary["undo_on"]);
    assert_eq!(told, (&1.into(), &json!(["desktop"])), "{summary}");
    second.stop();
    keeper.stop();
    let undo = summary["undo"].as_str().expect("a command");
    let undo: Vec<&str> = undo.split(' ').skip(1).collect();
    let (undone, exit) = laptop.run(&undo, "");
    assert_eq!((exit, &undone["added_again"]), (1, &0.into()), "{undone}");
    let second = laptop.serve();
    know(&desktop, &second);
    desktop.ok(&["sync"]);
    let undone = desktop.ok(&undo);
    assert_eq!(undone.last().expect("a summary")["added_again"], 1);
    desktop.ok(&["sync"]);
    second.stop();
    let all_ids = ids_of(&laptop);
    assert_eq!(all_ids.len(), 6);
    let out = homes.path().join("out");
    let out_text = out.to_str().expect("text");
    let (lines, exit) = laptop.start(&["get", &ids[0], "-o", out_text]).all();
    assert_eq!(exit, 3, "{lines:?}");
    let failed = lines
        .iter()
        .find(|line| line["type"] == "file")
        .expect("a line");
    let reason = failed["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("attic") && reason.contains("desktop"),
        "{reason}"
    );
    let (keeper, second) = (attic.serve(), desktop.serve());
    know(&laptop, &keeper);
    know(&laptop, &second);
    let mut args = vec!["get", "-o", out_text];
    args.extend(all_ids.iter().map(String::as_str));
    laptop.ok(&args);
    for (name, bytes) in &all {
        let got = fs::read(out.join(name)).expect("a file");
        assert!(got == *bytes, "{name} differs");
    }
    laptop.ok(&["album", "add", "Lake", &ids[0]]);
    keeper.stop();
    second.stop();
    for device in [laptop, desktop, attic] {
        device.never_panicked();
    }
}
