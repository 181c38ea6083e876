//! Keepers with little room, and keepers whose files are not what they were.
#![cfg(unix)]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::devices::{
    Device, Dice, Homes, Running, files, link, pair, pictures, report, sha256, sums, wait_until,
};
use serde_json::{Value, json};

/// How long the network may need for anything.
const PATIENCE: Duration = Duration::from_secs(60);

fn status(device: &Device) -> Value {
    let mut lines = device.ok(&["status"]);
    lines.retain(|line| line["type"] == "status");
    lines.remove(0)
}

fn problems(device: &Device) -> String {
    status(device)["problems"].to_string()
}

fn import(device: &Device, folder: &Path, name: &str, dice: &mut Dice) {
    fs::create_dir_all(folder).expect("a folder");
    // Just over a million bytes.
    fs::write(folder.join(name), pictures::bmp(600, dice)).expect("a photo");
    let path = folder.join(name);
    device.ok(&["import", path.to_str().expect("UTF-8"), "--album", "Summer"]);
}

fn settle(device: &Device) {
    let summary = device.ok(&["sync"]).pop().expect("a summary");
    assert_eq!(summary["settled"], true, "{summary}");
}

/// Copies of each photo, by name.
fn copies(device: &Device) -> Vec<(String, u64)> {
    let assets = device.assets();
    let copies = |asset: &Value| {
        let name = asset["name"].as_str().expect("a name").to_owned();
        (name, asset["copies"].as_u64().expect("a count"))
    };
    let mut copies: Vec<_> = assets.iter().map(copies).collect();
    copies.sort();
    copies
}

/// Waits until the copies are these: the other device hears of them a moment after a sync has settled.
fn come(device: &Device, wanted: &[(String, u64)]) {
    let what = format!("the copies are {wanted:?}");
    wait_until(&what, PATIENCE, || copies(device) == wanted);
}

fn owned(counts: &[(&str, u64)]) -> Vec<(String, u64)> {
    let count = |(name, count): &(&str, u64)| ((*name).to_owned(), *count);
    counts.iter().map(count).collect()
}

#[test]
fn a_full_keeper_takes_entries_and_no_photos_says_so_and_goes_on_with_more_room() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let [laptop, attic] = ["laptop", "attic"].map(|name| homes.device(name));
    let photos = homes.path().join("photos");
    laptop.init("Berger", "Anna", "laptop");
    attic.ok(&["config", "set", "keeper.quota", "2500kB"]);
    let wrong = attic
        .run(&["config", "set", "keeper.quota", "plenty"], "")
        .0;
    assert_eq!(wrong["id"], "E-USAGE", "{wrong}");
    import(&laptop, &photos, "one.bmp", &mut dice);
    let node = laptop.serve();
    pair(&laptop, &["--keeper", "attic"], &attic, "attic", link);
    settle(&attic);
    let kept = status(&attic)["keeper"].clone();
    assert_eq!(
        (&kept["quota"], &kept["full"]),
        (&json!(2_500_000), &json!(false)),
        "{kept}"
    );
    let before = kept["entries"].as_u64().expect("a count");
    drop(node);

    for name in ["two.bmp", "three.bmp"] {
        import(&laptop, &photos, name, &mut dice);
    }
    let node = attic.serve();
    laptop.ok(&["peer", "add", &node.addresses()[0]]);
    settle(&laptop);
    let kept = status(&attic)["keeper"].clone();
    assert_eq!(kept["full"], true, "{kept}");
    let bytes = kept["bytes"].as_u64().expect("bytes");
    assert!((2_000_000..=2_500_000).contains(&bytes), "{kept}");
    assert!(kept["entries"].as_u64() > Some(before), "{kept}");
    takes_no_more_than(&attic, 2_500_000);
    let person = status_person(&laptop);
    let persons = kept["persons"].as_array().expect("a list");
    assert_eq!(persons.len(), 1, "{kept}");
    assert_eq!(persons[0]["person"], json!(person), "{kept}");
    assert!(
        problems(&attic).contains("This keeper is full"),
        "{}",
        problems(&attic)
    );
    // The other side has heard, and counts what is really there.
    let beside = laptop.serve();
    wait_until("it is told", PATIENCE, || {
        status(&laptop)["peers"][0]["full"] == true
    });
    let told = problems(&laptop);
    assert!(told.contains("attic is full"), "{told}");
    // The previews of all three and one of the originals fill it.
    wait_until("four copies are told", PATIENCE, || {
        let copies = copies(&laptop).into_iter();
        copies.map(|(_, copies)| copies).sum::<u64>() == 4
    });
    beside.stop();
    // Words still get through.
    let id = laptop.assets()[0]["id"].as_str().expect("an id").to_owned();
    laptop.ok(&["caption", &id, "a caption"]);
    settle(&laptop);
    let after = status(&attic)["keeper"]["entries"].as_u64();
    assert!(after > kept["entries"].as_u64(), "{after:?}");
    node.stop();

    attic.ok(&["config", "set", "keeper.quota", "2GB"]);
    let node = attic.serve();
    laptop.ok(&["peer", "add", &node.addresses()[0]]);
    settle(&laptop);
    settle(&laptop);
    let all = owned(&[("one.bmp", 2), ("three.bmp", 2), ("two.bmp", 2)]);
    come(&laptop, &all);
    let kept = status(&attic)["keeper"].clone();
    assert_eq!(kept["full"], false, "{kept}");
    assert!(
        !problems(&laptop).contains("is full"),
        "{}",
        problems(&laptop)
    );
    node.stop();
    attic.is_whole();
    attic.never_panicked();
}

/// A keeper's disk holds what it may take and a twentieth more, besides entries and the index of what is there.
fn takes_no_more_than(keeper: &Device, quota: u64) {
    let mut sums = std::collections::BTreeMap::<String, u64>::new();
    for file in files(&keeper.home) {
        let path = file.strip_prefix(&keeper.home).expect("below it");
        let first = path.iter().next().expect("a name").to_string_lossy();
        let size = fs::metadata(&file).map_or(0, |found| found.len());
        *sums.entry(first.into_owned()).or_default() += size;
    }
    report(&format!("quota {quota}: {sums:?}"));
    let entries = sums.remove("logs").expect("entries");
    assert!(entries > 0, "{sums:?}");
    let index = sums.remove("heirloom.redb").expect("an index");
    // Room that is given up for entries once the disk is full, and is none of the photos'.
    sums.remove("reserve");
    let all: u64 = sums.values().sum();
    assert!(all <= quota + quota / 20, "{all} of {quota}: {sums:?}");
    assert!(
        all >= quota / 2,
        "what is counted is what is there: {sums:?}"
    );
    assert!(index <= 8 * 1024 * 1024, "{index}");
}

fn status_person(device: &Device) -> String {
    let people = device.ok(&["people", "list"]);
    let person = people.iter().find(|line| line["type"] == "person");
    person.expect("a person")["id"]
        .as_str()
        .expect("an id")
        .to_owned()
}

#[test]
fn one_person_does_not_take_the_room_of_another() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let [laptop, tablet, attic] = ["laptop", "tablet", "attic"].map(|name| homes.device(name));
    laptop.init("Berger", "Anna", "laptop");
    attic.ok(&["config", "set", "keeper.quota_person", "2500kB"]);
    let photos = homes.path().join("photos");
    for name in ["a1.bmp", "a2.bmp", "a3.bmp", "a4.bmp"] {
        import(&laptop, &photos, name, &mut dice);
    }
    let node = laptop.serve();
    let whom = ["--person", "Ben", "--album", "Summer"];
    pair(&laptop, &whom, &tablet, "tablet", link);
    pair(&laptop, &["--keeper", "attic"], &attic, "attic", link);
    settle(&tablet);
    import(&tablet, &homes.path().join("bens"), "b1.bmp", &mut dice);
    settle(&tablet);
    attic.ok(&["sync", "--timeout", "60s"]);
    drop(node);
    let kept = status(&attic)["keeper"].clone();
    let persons = kept["persons"].as_array().expect("a list");
    let bytes: Vec<u64> = persons
        .iter()
        .filter_map(|one| one["bytes"].as_u64())
        .collect();
    assert_eq!(bytes.len(), 2, "{kept}");
    assert!(bytes.iter().all(|bytes| *bytes <= 2_500_000), "{kept}");
    assert!(bytes.iter().all(|bytes| *bytes >= 1_000_000), "{kept}");
    // Nothing but keys of persons, bytes and counts.
    let said = status(&attic).to_string();
    for name in [
        "Anna", "Ben", "Berger", "Summer", "laptop", "a1.bmp", "b1.bmp",
    ] {
        assert!(!said.contains(name), "{name}: {said}");
    }
}

/// What is done to the files of a keeper while it is off.
type Harm = fn(&[PathBuf]);

fn swap(large: &[PathBuf]) {
    let [one, two] = [0, 1].map(|nth| fs::read(&large[nth]).expect("a blob"));
    assert_eq!(one.len(), two.len());
    fs::write(&large[0], two).expect("swapped");
    fs::write(&large[1], one).expect("swapped");
}

fn truncate(large: &[PathBuf]) {
    for file in large {
        let bytes = fs::read(file).expect("a blob");
        fs::write(file, &bytes[..bytes.len() / 2]).expect("cut");
    }
}

fn remove(large: &[PathBuf]) {
    for file in large {
        fs::remove_file(file).expect("removed");
    }
}

/// One leaf in the middle of each is another.
fn alter(large: &[PathBuf]) {
    for file in large {
        let mut bytes = fs::read(file).expect("a blob");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).expect("altered");
    }
}

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    for file in files(from) {
        let to = to.join(file.strip_prefix(from).expect("below it"));
        let mut builder = fs::DirBuilder::new();
        let builder = builder.mode(0o700).recursive(true);
        builder
            .create(to.parent().expect("a folder"))
            .expect("a folder");
        fs::copy(&file, &to).expect("a copy");
    }
}

fn copied(homes: &Homes, of: &Device, name: &str) -> Device {
    let device = Device {
        home: homes.path().join(name),
        ..homes.device(&format!("{name}-log"))
    };
    copy(&of.home, &device.home);
    device
}

fn large(keeper: &Device) -> Vec<PathBuf> {
    let mut large = files(&keeper.home.join("blobs"));
    let is_long = |file: &PathBuf| fs::metadata(file).is_ok_and(|found| found.len() > 500_000);
    large.retain(|file| file.file_name().is_some_and(|name| name.len() == 64) && is_long(file));
    large
}

#[test]
fn a_keeper_whose_files_are_not_what_they_were_gives_nothing_wrong_and_says_so() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let [laptop, attic, desk] = ["laptop", "attic", "desk"].map(|name| homes.device(name));
    let photos = homes.path().join("photos");
    laptop.init("Berger", "Anna", "laptop");
    for name in ["one.bmp", "two.bmp", "three.bmp"] {
        import(&laptop, &photos, name, &mut dice);
    }
    let node = laptop.serve();
    pair(&laptop, &["--keeper", "attic"], &attic, "attic", link);
    pair(&laptop, &["--device"], &desk, "desk", link);
    settle(&attic);
    drop(node);
    assert!(large(&attic).len() >= 3);
    let harms: [(&str, Harm); 4] = [
        ("swapped", swap),
        ("cut", truncate),
        ("withheld", remove),
        ("altered", alter),
    ];
    for (harm, does) in harms {
        let keeper = copied(&homes, &attic, &format!("attic-{harm}"));
        let asker = copied(&homes, &desk, &format!("desk-{harm}"));
        does(&large(&keeper));
        let node: Running = keeper.serve();
        asker.forget_all();
        asker.ok(&["peer", "add", &node.addresses()[0]]);
        // It cannot be done with such a peer; how that ends is told by the exit code.
        let (_, exit) = asker.run(&["sync", "--timeout", "40s"], "");
        let told = problems(&asker);
        let found = problems(&keeper);
        report(&format!("{harm}: exit {exit}; {told}; by itself: {found}"));
        // A keeper that runs this program finds out itself before it sends what is wrong. What one is worth
        // that runs another is tested where it can be made: `who_takes_back_what_it_cannot_show_has_proved_nothing`.
        let is_named = told.contains("attic could not show") || told.contains("attic has sent");
        let is_told = found.contains("damaged") || found.contains("have not arrived");
        assert!(is_named || is_told, "{harm}: {told} {found}");
        // What did come is what was taken of the world, and nothing else is shown as a photo.
        asker.is_whole();
        let out = homes.path().join(format!("out-{harm}"));
        let args = ["export", out.to_str().expect("UTF-8"), "--sidecars", "none"];
        let (summary, exit) = asker.run(&args, "");
        let good: Vec<String> = sums(&photos).into_keys().collect();
        let written = files(&out);
        for file in &written {
            let sum = sha256(&fs::read(file).expect("a file"));
            assert!(good.contains(&sum), "{harm}: {}", file.display());
        }
        // It says of each photo whether it was written, and does not end as if all were there.
        let [done, failed] = ["written", "failed"].map(|field| summary[field].as_u64());
        let lacking = good.len() - written.len();
        let counts = [written.len(), lacking].map(|count| u64::try_from(count).ok());
        assert_eq!([done, failed], counts, "{harm}: {summary}");
        assert_eq!(exit == 0, lacking == 0, "{harm}: {exit}, {summary}");
        drop(node);
        keeper.never_panicked();
        asker.never_panicked();
    }
}

#[test]
fn what_was_begun_counts_against_a_keepers_quota() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let [laptop, attic] = ["laptop", "attic"].map(|name| homes.device(name));
    let photos = homes.path().join("photos");
    laptop.init("Berger", "Anna", "laptop");
    attic.ok(&["config", "set", "keeper.quota", "2500kB"]);
    let node = laptop.serve();
    pair(&laptop, &["--keeper", "attic"], &attic, "attic", link);
    // As a peer leaves it that begins a movie and never ends it.
    let partial = attic.home.join("blobs/partial");
    fs::create_dir_all(&partial).expect("a folder");
    let begun = partial.join("ab".repeat(32));
    fs::write(&begun, dice.bytes(2_000_000)).expect("a part");
    import(&laptop, &photos, "one.bmp", &mut dice);
    settle(&attic);
    assert_eq!(copies(&laptop), owned(&[("one.bmp", 1)]));
    fs::remove_file(&begun).expect("the part");
    settle(&attic);
    come(&laptop, &owned(&[("one.bmp", 2)]));
    drop(node);
    attic.never_panicked();
    laptop.never_panicked();
}

#[test]
fn a_keeper_that_was_rolled_back_counts_for_what_it_has() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let [laptop, attic] = ["laptop", "attic"].map(|name| homes.device(name));
    let photos = homes.path().join("photos");
    laptop.init("Berger", "Anna", "laptop");
    import(&laptop, &photos, "one.bmp", &mut dice);
    let node = laptop.serve();
    pair(&laptop, &["--keeper", "attic"], &attic, "attic", link);
    settle(&attic);
    let old = copied(&homes, &attic, "old-attic");
    import(&laptop, &photos, "two.bmp", &mut dice);
    settle(&attic);
    drop(node);
    come(&laptop, &owned(&[("one.bmp", 2), ("two.bmp", 2)]));
    // The old state comes up in its place, and says no more than what it has.
    let node = old.serve();
    laptop.ok(&["peer", "add", &node.addresses()[0]]);
    laptop.ok(&["sync", "--timeout", "40s"]);
    let told = problems(&laptop);
    report(&format!("rolled back: {told}"));
    come(&laptop, &owned(&[("one.bmp", 2), ("two.bmp", 2)]));
    drop(node);
    old.is_whole();
    assert!(
        !told.contains("could not show"),
        "it is whole again: {told}"
    );
}
