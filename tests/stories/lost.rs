//! Files of a home that are gone: it says so, every time, until what was in them is back.
#![cfg(unix)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::devices::{Device, Dice, Homes, files, link, pair, pictures};
use serde_json::Value;

/// So many that nothing is told at more length.
const PHOTOS: usize = 20;

/// A laptop with photos and a second device that has them too; neither runs.
fn two(homes: &Homes) -> (Device, Device) {
    let (laptop, pi) = (homes.device("laptop"), homes.device("pi"));
    let mut dice = Dice::new();
    laptop.init("Berger", "Anna", "laptop");
    let photos = homes.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    for nth in 0..PHOTOS {
        // One is a file of its own, all others lie in a pack.
        let photo = pictures::bmp(if nth == 0 { 320 } else { 40 }, &mut dice);
        fs::write(photos.join(format!("{nth}.bmp")), photo).expect("a photo");
    }
    laptop.ok(&["import", photos.to_str().expect("UTF-8")]);
    let node = laptop.serve();
    pair(&laptop, &["--device"], &pi, "pi", link);
    pi.ok(&["sync"]);
    node.stop();
    (laptop, pi)
}

/// The log that tells of the photos.
fn longest_log(home: &Path) -> PathBuf {
    let logs = files(&home.join("logs")).into_iter();
    let size = |path: &PathBuf| fs::metadata(path).expect("there").len();
    logs.max_by_key(size).expect("a log")
}

fn problems(device: &Device) -> (Vec<Value>, i32) {
    let (lines, exit) = device.start(&["status", "--check"]).all();
    let details = lines[0]["problem_details"].as_array().expect("a list");
    (details.clone(), exit)
}

#[track_caller]
fn is_missed(device: &Device) {
    let (problems, exit) = problems(device);
    assert_eq!(exit, 9, "{problems:?}");
    let is_it = |problem: &&Value| problem["id"] == "entries-lost";
    let lost = problems.iter().find(is_it).expect("it is told");
    assert!(lost["values"]["n"].as_u64() >= Some(1), "{lost}");
    let (lines, exit) = device.start(&["verify", "--read-data"]).all();
    assert_eq!(exit, 9, "{lines:?}");
    assert!(
        lines.iter().any(|line| line["type"] == "damage"),
        "{lines:?}"
    );
    // What is known is written, and nobody takes it for all there was.
    let (lines, exit) = exported(device);
    assert_eq!(exit, 9, "{lines:?}");
    let summary = lines.last().expect("a summary");
    assert!(summary["entries_lost"].as_u64() >= Some(1), "{summary}");
}

fn exported(device: &Device) -> (Vec<Value>, i32) {
    let out = device.home.with_extension("export");
    let all = device
        .start(&["export", out.to_str().expect("UTF-8")])
        .all();
    if out.exists() {
        fs::remove_dir_all(&out).expect("removed");
    }
    all
}

#[test]
fn a_log_that_is_gone_or_short_is_missed_until_another_device_brings_it_back() {
    let homes = Homes::new();
    let (laptop, pi) = two(&homes);
    let log = longest_log(&laptop.home);
    let whole = fs::read(&log).expect("readable");
    let blobs = files(&laptop.home.join("blobs")).len();
    for kept in [0, whole.len() / 2] {
        match kept {
            0 => fs::remove_file(&log).expect("removed"),
            _ => fs::write(&log, &whole[..kept]).expect("cut"),
        }
        // A second look knows no less than the first, and nothing that the log named is swept up.
        for _ in 0..2 {
            // The photos stand before what was said of them.
            assert_eq!(laptop.assets().is_empty(), kept == 0);
            is_missed(&laptop);
        }
        let node = laptop.serve();
        is_missed(&laptop);
        node.stop();
        assert!(files(&laptop.home.join("blobs")).len() >= blobs);
        let node = pi.serve();
        laptop.know_only(&node.addresses()[0]);
        laptop.ok(&["sync"]);
        node.stop();
        assert_eq!(laptop.assets().len(), PHOTOS);
        let (problems, exit) = problems(&laptop);
        assert_eq!(exit, 0, "{problems:?}");
        // A file was missing: that is not a home from an older backup.
        let told = problems.iter().map(|problem| problem["id"].to_string());
        let told: Vec<_> = told.collect();
        assert!(!told.iter().any(|id| id.contains("restored")), "{told:?}");
        assert!(notes(&laptop).contains(&"log-back".to_owned()));
        laptop.is_whole();
    }
    laptop.never_panicked();
}

/// The ids of what `status` notes.
fn notes(device: &Device) -> Vec<String> {
    let status = device.ok(&["status"]);
    let notes = status[0]["note_details"].as_array().expect("a list");
    let ids = notes.iter().map(|note| note["id"].as_str().expect("an id"));
    ids.map(str::to_owned).collect()
}

#[test]
fn a_database_that_was_made_again_says_that_copies_are_to_be_shown_anew() {
    let homes = Homes::new();
    let (laptop, pi) = two(&homes);
    let safe = |device: &Device| device.ok(&["status"])[0]["safe"].clone();
    let meet = || {
        let node = pi.serve();
        laptop.know_only(&node.addresses()[0]);
        laptop.ok(&["sync"]);
        node.stop();
    };
    let until_shown = || {
        for _ in 0..50 {
            if safe(&laptop) == PHOTOS {
                return;
            }
            meet();
        }
        panic!("it was never shown");
    };
    until_shown();
    assert_eq!(notes(&laptop), ["one-home"]);
    let database = laptop.home.join("heirloom.redb");
    for is_there in [false, true] {
        match is_there {
            false => fs::remove_file(&database).expect("a database"),
            true => fs::write(&database, "").expect("emptied"),
        }
        // A second look knows no less than the first.
        for _ in 0..2 {
            assert_eq!(safe(&laptop), 0);
            assert!(notes(&laptop).contains(&"shown-again".to_owned()));
        }
        let (problems, _) = problems(&laptop);
        assert!(!problems.iter().any(is_unnamed), "{problems:?}");
        until_shown();
    }
    assert_eq!(notes(&laptop), ["one-home"]);

    // The key of the database is replaced, and with it the database: no photo lies under it.
    let key = laptop.home.join("keys/store.key");
    let mut bytes = fs::read(&key).expect("a key");
    bytes[60] ^= 1;
    fs::write(&key, bytes).expect("one bit");
    let status = laptop.ok(&["status"]);
    let details = status[0]["problem_details"].to_string();
    assert!(!details.contains("home-damaged"), "{details}");
    let told = status[0]["notes"].to_string();
    assert!(
        told.contains("store.key") && told.contains("nothing of them is lost"),
        "{told}"
    );
    assert!(
        told.contains("has to be shown anew") && told.contains(": pi (heirloom"),
        "{told}"
    );
    assert_eq!(laptop.assets().len(), PHOTOS);

    // Without the device's own key nothing would open: there are two files with it, and each heals the other.
    for file in ["keys/device.key", "keys/device.copy.key"] {
        let path = laptop.home.join(file);
        let whole = fs::read(&path).expect("a key");
        let mut bytes = whole.clone();
        bytes[60] ^= 1;
        fs::write(&path, bytes).expect("one bit");
        let status = laptop.ok(&["status"]);
        let details = status[0]["problem_details"].to_string();
        assert!(!details.contains("home-damaged"), "{details}");
        let told = status[0]["notes"].to_string();
        let says = format!("({file}) was damaged or missing");
        assert!(told.contains(&says), "{told}");
        assert!(fs::read(&path).expect("a key") == whole, "{file}");
    }
    fs::remove_file(laptop.home.join("keys/device.key")).expect("removed");
    assert!(notes(&laptop).contains(&"device-key".to_owned()));
    assert!(!notes(&laptop).contains(&"device-key".to_owned()));
    laptop.is_whole();
}

fn is_unnamed(problem: &Value) -> bool {
    problem["id"] == "unnamed-files"
}

/// Makes every file look as if it had lain there for long.
fn age(folder: &Path) {
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(90 * 24 * 3600);
    for path in files(folder) {
        let file = fs::File::options().write(true).open(path);
        file.and_then(|file| file.set_modified(long_ago))
            .expect("older");
    }
}

#[test]
fn photos_that_nothing_tells_of_any_more_are_told_kept_and_found_again() {
    let homes = Homes::new();
    let (laptop, pi) = two(&homes);
    let blobs = laptop.home.join("blobs");
    age(&blobs);
    let held = files(&blobs);
    fs::remove_file(longest_log(&laptop.home)).expect("a log");
    fs::remove_file(laptop.home.join("heirloom.redb")).expect("a database");
    let tells = || {
        assert!(laptop.assets().is_empty());
        let (problems, exit) = problems(&laptop);
        let unnamed = problems.iter().find(|problem| is_unnamed(problem));
        let n = unnamed.and_then(|problem| problem["values"]["n"].as_u64());
        // Small pictures lie there besides.
        assert!(exit == 9 && n > u64::try_from(PHOTOS).ok(), "{problems:?}");
        assert!(notes(&laptop).contains(&"shown-again".to_owned()));
        for act in [&["verify", "--read-data"][..], &["doctor"]] {
            let (lines, exit) = laptop.start(act).all();
            let said = format!("{lines:?}");
            let is_told = exit == 9 || act[0] == "doctor";
            assert!(
                is_told && said.contains("heirloom sync gets what"),
                "{act:?}: {said}"
            );
        }
        let (lines, exit) = exported(&laptop);
        assert_eq!(exit, 9, "{lines:?}");
        let summary = lines.last().expect("a summary");
        assert_eq!(summary["unnamed"].as_u64(), n, "{summary}");
    };
    tells();
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_heirloom"))
        .arg("--home")
        .arg(&laptop.home)
        .arg("status")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(!said.contains("no photos yet"), "{said}");
    // A node that runs looks at once what it may remove.
    let node = laptop.serve();
    tells();
    node.stop();
    assert_eq!(files(&blobs), held);
    // No other device has them: who tells of them is enough.
    fs::remove_dir_all(pi.home.join("blobs")).expect("removed");
    let node = pi.serve();
    laptop.know_only(&node.addresses()[0]);
    laptop.ok(&["sync"]);
    node.stop();
    assert_eq!(laptop.assets().len(), PHOTOS);
    let (lines, exit) = exported(&laptop);
    assert_eq!(exit, 0, "{lines:?}");
    let summary = lines.last().expect("a summary");
    assert_eq!(summary["written"], PHOTOS, "{summary}");
    let (problems, _) = problems(&laptop);
    assert!(!problems.iter().any(is_unnamed), "{problems:?}");
    laptop.is_whole();
    laptop.never_panicked();
}

#[test]
fn a_home_without_its_keys_or_its_version_is_never_set_up_anew() {
    let homes = Homes::new();
    let (laptop, _) = two(&homes);
    let (keys, aside) = (laptop.home.join("keys"), homes.path().join("keys"));
    fs::rename(&keys, &aside).expect("moved");
    let init = [
        "--yes",
        "init",
        "--family",
        "B",
        "--person",
        "A",
        "--no-recovery",
    ];
    for args in [&["list"][..], &["status"], &["import", "."], &init] {
        let (error, exit) = laptop.run(args, "");
        assert_eq!(
            (&error["id"], exit),
            (&"E-DAMAGED".into(), 9),
            "{args:?}: {error}"
        );
        assert!(
            error["hint"]
                .as_str()
                .is_some_and(|hint| hint.contains("backup"))
        );
    }
    fs::remove_dir_all(&keys).expect("the one made meanwhile");
    fs::rename(&aside, &keys).expect("moved back");
    assert_eq!(laptop.assets().len(), PHOTOS);
    // The smallest file of all is made again.
    fs::remove_file(laptop.home.join("version")).expect("removed");
    let (error, _) = laptop.run(&init, "");
    assert_eq!(error["id"], "E-ALREADY-SET-UP", "{error}");
    fs::remove_file(laptop.home.join("version")).expect("removed");
    assert_eq!(laptop.assets().len(), PHOTOS);
    laptop.is_whole();
}

#[test]
fn a_log_that_is_all_zeros_closes_nothing_but_itself() {
    let homes = Homes::new();
    let (laptop, pi) = two(&homes);
    let all = files(&laptop.home.join("logs"));
    assert!(all.len() >= 3, "{all:?}");
    let (mut healed, mut closed) = (0, 0);
    for log in all {
        let whole = fs::read(&log).expect("readable");
        fs::write(&log, vec![0; whole.len()]).expect("zeros");
        let (error, exit) = laptop.run(&["list"], "");
        if error["id"] == "E-DAMAGED" {
            // What says who belongs to the family: it must be told, and nothing can be done in its place.
            assert_eq!(exit, 9, "{error}");
            let hint = error["hint"].as_str().expect("a hint");
            assert!(hint.contains("recovery restore"), "{hint}");
            assert_eq!(laptop.run(&["list"], "").0["id"], "E-DAMAGED");
            fs::write(&log, whole).expect("brought back");
            closed += 1;
        } else {
            is_missed(&laptop);
            let node = pi.serve();
            laptop.know_only(&node.addresses()[0]);
            laptop.ok(&["sync"]);
            node.stop();
            healed += 1;
        }
        let (problems, exit) = problems(&laptop);
        assert_eq!(exit, 0, "{problems:?}");
        assert_eq!(laptop.assets().len(), PHOTOS);
        laptop.is_whole();
    }
    assert!(healed >= 2 && closed >= 1, "{healed} {closed}");
    laptop.never_panicked();
}

#[test]
fn a_damaged_log_is_not_safe_until_it_is_whole_again() {
    let homes = Homes::new();
    let (laptop, pi) = two(&homes);
    let check = |device: &Device| device.start(&["status", "--check"]).all().1;
    let meet = || {
        let node = pi.serve();
        laptop.know_only(&node.addresses()[0]);
        laptop.ok(&["sync"]);
        node.stop();
    };
    for _ in 0..50 {
        if check(&laptop) == 0 {
            break;
        }
        meet();
    }
    assert_eq!(check(&laptop), 0);
    // An entry that tells of photos: who read it before knows what it says.
    let log = longest_log(&laptop.home);
    let mut bytes = fs::read(&log).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 100].fill(0xa5);
    fs::write(&log, bytes).expect("written");
    assert_eq!(laptop.start(&["verify"]).all().1, 9);
    for _ in 0..2 {
        let (problems, exit) = problems(&laptop);
        assert_eq!(exit, 9, "{problems:?}");
        assert!(problems.iter().any(|problem| problem["id"] == "damaged"));
    }
    meet();
    assert_eq!(laptop.start(&["verify", "--read-data"]).all().1, 0);
    let (problems, exit) = problems(&laptop);
    assert_eq!(exit, 0, "{problems:?}");
    laptop.is_whole();
}

/// The folder of the log that says who belongs to the family.
fn family_folder(device: &Device) -> PathBuf {
    let status = device.ok(&["status"]);
    let family = status[0]["family"].as_str().expect("an id");
    device.home.join("logs").join(&family[..32])
}

/// Overwrites what lies in logs, from a place to their ends.
fn ruin(folder: &Path, from: usize) {
    for log in files(folder) {
        let mut bytes = fs::read(&log).expect("readable");
        let from = from.min(bytes.len());
        bytes[from..].fill(0xa5);
        fs::write(&log, bytes).expect("written");
    }
}

/// One photo in an album of its own.
fn another(device: &Device, photos: &Path, dice: &mut Dice) {
    fs::create_dir(photos).expect("a folder");
    fs::write(photos.join("own.bmp"), pictures::bmp(40, dice)).expect("a photo");
    let photos = photos.to_str().expect("UTF-8");
    device.ok(&["import", photos, "--album", "Own"]);
}

/// Says that the family is not known any more, what is safe and what helps.
#[track_caller]
fn does_not_know_its_family(device: &Device, folder: &Path) {
    for args in [&["status", "--check"][..], &["verify", "--repair"]] {
        let (error, exit) = device.run(args, "");
        assert_eq!((&error["id"], exit), (&"E-DAMAGED".into(), 9), "{error}");
        let told = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
        assert!(told("message").contains("the family's log"), "{error}");
        assert!(told("safe").contains("Keep this folder"), "{error}");
        let hint = told("hint");
        let folder = folder.to_str().expect("UTF-8");
        for words in ["recovery restore", "invite --device", "join", folder] {
            assert!(hint.contains(words), "{words}: {hint}");
        }
    }
}

/// Shows what it can, and says that there may be more, and other devices.
#[track_caller]
fn doubts_its_family(device: &Device, folder: &Path) {
    assert_eq!(device.assets().len(), PHOTOS);
    let (problems, exit) = problems(device);
    assert_eq!(exit, 9, "{problems:?}");
    let is = |id: &str| problems.iter().find(|problem| problem["id"] == id);
    assert_eq!(is("alone"), None);
    let told = is("home-damaged").expect("it is told")["text"].to_string();
    for words in ["family's log", folder.to_str().expect("UTF-8")] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_family_that_is_not_known_any_more_is_known_again_by_its_log_from_a_new_home() {
    let homes = Homes::new();
    let (laptop, pi) = two(&homes);
    another(&laptop, &homes.path().join("own"), &mut Dice::new());
    let folder = family_folder(&laptop);
    let log = files(&folder).remove(0);
    let len = usize::try_from(fs::metadata(log).expect("there").len()).expect("small");
    let name = folder.file_name().expect("a name");
    let new = homes.device("new");
    let node = pi.serve();
    pair(&pi, &["--device"], &new, "new", link);
    new.ok(&["sync"]);
    node.stop();
    // The whole log, all but its first entry, and its end, where the other device is.
    for (from, with_index) in [(0, false), (100, true), (100, false), (len - 900, false)] {
        let index = laptop.home.join("heirloom.redb");
        if !with_index {
            fs::remove_file(&index).expect("a database");
        }
        ruin(&folder, from);
        // A second look knows no less than the first, and leaves no more behind.
        let mut aside = Vec::new();
        for _ in 0..2 {
            match from > 100 {
                true => doubts_its_family(&laptop, &folder),
                false => does_not_know_its_family(&laptop, &folder),
            }
            let all = fs::read_dir(&laptop.home).expect("a folder");
            aside.push(all.count());
        }
        assert_eq!(aside[0], aside[1], "from {from}");
        fs::remove_dir_all(&folder).expect("put away");
        fs::create_dir(&folder).expect("a folder");
        for log in files(&new.home.join("logs").join(name)) {
            fs::copy(&log, folder.join(log.file_name().expect("a name"))).expect("copied");
        }
        assert_eq!(laptop.assets().len(), PHOTOS + 1, "from {from}");
        laptop.is_whole();
    }
    // What this device alone had comes to the others now.
    let node = pi.serve();
    laptop.know_only(&node.addresses()[0]);
    laptop.ok(&["sync"]);
    node.stop();
    assert_eq!(pi.assets().len(), PHOTOS + 1);
    laptop.never_panicked();
}
