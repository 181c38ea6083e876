//! A device with little room among archives, as real processes: it keeps within its limit, gets
//! what somebody asks for, and keeps what too few others hold.
#![cfg(unix)]

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use crate::devices::{Device, Dice, Homes, Running, link, pair, pictures, wait_until};
use serde_json::Value;

/// How long anything may take.
const LONGEST: Duration = Duration::from_secs(110);
const LIMIT: u64 = 5_000_000;

/// Five photos of about two megabytes.
fn photos(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut dice = Dice::new();
    fs::create_dir(folder).expect("a new folder");
    let mut all = BTreeMap::new();
    for n in 0..5_u32 {
        all.insert(format!("{n}.bmp"), pictures::bmp(820 + n, &mut dice));
    }
    for (name, bytes) in &all {
        fs::write(folder.join(name), bytes).expect("a photo");
    }
    all
}

/// Founds the family; the person's recovery words.
fn init(device: &Device, name: &str) -> String {
    let names = ["--family", "Berger", "--person", "Anna", "--device", name];
    let made = device.ok(&[&["init"], &names[..]].concat());
    let words = made.last().expect("a summary")["recovery"].as_array();
    let words = words.expect("24 words").iter().filter_map(Value::as_str);
    words.collect::<Vec<_>>().join(" ")
}

fn here(device: &Device, class: &str) -> BTreeMap<String, bool> {
    let assets = device.assets();
    let row = |asset: &Value| {
        let name = asset["name"].as_str().expect("a name").to_owned();
        (name, asset["here"][class] == true)
    };
    assets.iter().map(row).collect()
}

fn bytes_here(device: &Device) -> u64 {
    let assets = device.assets();
    let here = assets
        .iter()
        .filter(|asset| asset["here"]["original"] == true);
    here.filter_map(|asset| asset["bytes"].as_u64()).sum()
}

fn problems(device: &Device) -> String {
    let lines = device.ok(&["status"]);
    lines[0]["problems"].to_string()
}

fn know(device: &Device, other: &Running) {
    device.ok(&["peer", "add", &other.addresses()[0]]);
}

#[test]
fn a_cache_keeps_within_its_limit_and_never_drops_what_too_few_others_hold() {
    let homes = Homes::new();
    let [phone, tablet, desktop, attic] =
        ["phone", "tablet", "desktop", "attic"].map(|name| homes.device(name));
    let words = init(&phone, "phone");
    let source = homes.path().join("pictures");
    let all = photos(&source);
    let text = source.to_str().expect("text");
    phone.ok(&["import", text, "--album", "Summer"]);
    pair(&phone, &["--device"], &desktop, "desktop", link);
    pair(&phone, &["--device"], &tablet, "tablet", link);
    pair(&phone, &["--keeper", "attic"], &attic, "attic", link);
    for name in ["phone", "tablet"] {
        let limit = LIMIT.to_string();
        phone.ok(&["device", "policy", name, "cache", "--limit", &limit]);
    }

    // One archive alone has everything: all of it stays, and it is said why.
    let second = desktop.serve();
    know(&phone, &second);
    phone.ok(&["sync"]);
    let told = problems(&phone);
    assert!(told.contains("recovery check"), "{told}");
    let (checked, exit) = phone.run(&["recovery", "check", "-"], &format!("{words}\n"));
    assert_eq!(exit, 0, "{checked}");
    let told = problems(&phone);
    assert!(told.contains("5 photos stay"), "{told}");
    assert!(here(&phone, "original").values().all(|here| *here));

    // A cache gets pictures and no originals by itself.
    know(&tablet, &second);
    tablet.ok(&["sync"]);
    assert!(here(&tablet, "thumbnail").values().all(|here| *here));
    assert!(here(&tablet, "original").values().all(|here| !here));

    // With a second archive the oldest go until the rest fits.
    let keeper = attic.serve();
    know(&phone, &keeper);
    let running = phone.serve();
    wait_until("the rest fits", LONGEST, || bytes_here(&phone) <= LIMIT);
    let kept = here(&phone, "original");
    assert_eq!(kept.values().filter(|here| **here).count(), 2, "{kept:?}");
    assert!(here(&phone, "thumbnail").values().all(|here| *here));
    assert!(here(&phone, "preview").values().all(|here| *here));
    let told = problems(&phone);
    assert!(!told.contains("photos stay"), "{told}");
    for asset in phone.assets() {
        assert!(asset["copies"].as_u64() >= Some(2), "{asset}");
    }

    // What somebody asks for comes, stays for now, and another one goes.
    let assets = phone.assets();
    let is_away = |asset: &&Value| asset["here"]["original"] != true;
    let away = assets.iter().find(is_away).expect("one that went");
    let (id, name) = (away["id"].as_str(), away["name"].as_str());
    let (id, name) = (id.expect("an id"), name.expect("a name"));
    let out = homes.path().join("out");
    phone.ok(&["get", id, "-o", out.to_str().expect("text")]);
    assert!(fs::read(out.join(name)).expect("a file") == all[name]);
    wait_until("another one went", LONGEST, || bytes_here(&phone) <= LIMIT);
    assert!(here(&phone, "original")[name], "what was used last stays");
    running.stop();
    phone.is_whole();

    // Every original is on both archives still, byte for byte.
    second.stop();
    keeper.stop();
    attic.is_whole();
    assert!(here(&desktop, "original").values().all(|here| *here));
    desktop.is_whole();
    for device in [phone, tablet, desktop, attic] {
        device.never_panicked();
    }
}

#[test]
fn the_last_known_originals_go_with_a_device_only_where_that_is_said() {
    let homes = Homes::new();
    let [desktop, laptop, phone] = ["desktop", "laptop", "phone"].map(|name| homes.device(name));
    desktop.init("Berger", "Anna", "desktop");
    let mut dice = Dice::new();
    let mut photo = |name: &str| {
        let path = homes.path().join(name);
        fs::write(&path, pictures::bmp(90, &mut dice)).expect("a photo");
        path.to_str().expect("UTF-8").to_owned()
    };
    desktop.ok(&["import", &photo("annas.bmp"), "--album", "Summer"]);
    let node = desktop.serve();
    pair(&desktop, &["--device"], &laptop, "laptop", link);
    let ben = ["--person", "Ben", "--album", "Summer"];
    pair(&desktop, &ben, &phone, "phone", link);
    laptop.ok(&["device", "policy", "laptop", "cache"]);
    for device in [&laptop, &phone] {
        know(device, &node);
        device.ok(&["sync"]);
    }
    drop(node);
    // What Ben adds comes to the laptop, and its original stays on his phone.
    let node = laptop.serve();
    phone.know_only(&node.addresses()[0]);
    phone.ok(&["import", &photo("bens.bmp"), "--album", "Summer"]);
    phone.ok(&["sync"]);
    drop(node);
    assert_eq!(laptop.assets().len(), 2);
    let nowhere = || laptop.ok(&["status"])[0]["nowhere"].clone();
    assert_eq!(nowhere(), 0);

    for args in [["people", "remove", "Ben"], ["device", "remove", "phone"]] {
        let (refused, exit) = laptop.run(&args, "");
        assert_eq!((&refused["id"], exit), (&"E-NOT-ALLOWED".into(), 1));
        let message = refused["message"].to_string();
        assert!(message.contains("the originals of 1 photo"), "{message}");
        assert!(refused["hint"].to_string().contains("--with-last-copies"));
    }
    assert_eq!(nowhere(), 0);
    let removed = laptop.ok(&["people", "remove", "Ben", "--with-last-copies", "--yes"]);
    assert_eq!(removed.last().expect("a summary")["last"], 1);
    assert_eq!(nowhere(), 1);
    // Of what Ben's phone had as well, the desktop has the last one now; what is lost is gone anyway.
    let (refused, exit) = laptop.run(&["device", "remove", "desktop"], "");
    assert_eq!((&refused["id"], exit), (&"E-NOT-ALLOWED".into(), 1));
    let removed = laptop.ok(&["device", "remove", "desktop", "--lost", "--yes"]);
    assert_eq!(removed.last().expect("a summary")["last"], 1);
    assert_eq!(nowhere(), 2);
    let told = problems(&laptop);
    assert!(told.contains("the original of 2 photos"), "{told}");
    // Imported again, they are whole.
    let files: Vec<String> = ["annas.bmp", "bens.bmp"]
        .iter()
        .map(|name| homes.path().join(name).to_str().expect("UTF-8").to_owned())
        .collect();
    laptop.ok(&["import", &files[0], &files[1], "--album", "Summer"]);
    assert_eq!(nowhere(), 0);
    for device in [&desktop, &laptop, &phone] {
        device.never_panicked();
    }
}
