//! Homes that never meet: a disk goes back and forth between them, gets lost, breaks, and is meddled with.
#![cfg(unix)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::devices::{Device, alike, apart::Apart, files, pictures, wait_until};
use serde_json::Value;

const ALBUM: &str = "Summer";
/// Longer than what one file on a disk holds of a blob.
const LONG: usize = 34 * 1024 * 1024;

/// Two devices of two people, and a disk.
struct Family {
    apart: Apart,
    disk: PathBuf,
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
        let disk = apart.homes.path().join("disk");
        Self { apart, disk }
    }

    fn disk(&self) -> &str {
        self.disk.to_str().expect("UTF-8")
    }

    #[track_caller]
    fn write(&self, device: &Device, more: &[&str]) -> Value {
        let lines = device.ok(&[&["bundle", "write", self.disk()], more].concat());
        lines.last().expect("a summary").clone()
    }

    /// The names of wrong files, each with its reason, the summary and the exit code.
    fn read(&self, device: &Device) -> (BTreeMap<String, String>, Value, i32) {
        let (mut lines, exit) = device.start(&["bundle", "read", self.disk()]).all();
        let summary = lines.pop().expect("a summary");
        lines.retain(|line| line["type"] == "file");
        let text = |line: &Value, field: &str| line[field].as_str().expect("text").to_owned();
        let wrong = lines
            .iter()
            .map(|line| (text(line, "path"), text(line, "reason")));
        (wrong.collect(), summary, exit)
    }

    #[track_caller]
    fn read_well(&self, device: &Device) -> Value {
        let (wrong, summary, exit) = self.read(device);
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(exit, 0, "{summary}");
        assert_eq!(summary["waiting"], 0, "{summary}");
        summary
    }

    fn blobs(&self) -> Vec<PathBuf> {
        files(&self.disk.join("blobs"))
    }

    fn name(&self, path: &Path) -> String {
        let name = path.strip_prefix(&self.disk).expect("on the disk");
        name.to_str().expect("UTF-8").to_owned()
    }
}

#[test]
fn two_homes_that_never_meet_exchange_an_album_by_a_disk() {
    let mut family = Family::new();
    let (a, b) = (family.a.clone(), family.b.clone());
    let mut all = family.import_with(&a, 3, LONG);
    let first = a.assets()[0]["id"].as_str().expect("an id").to_owned();
    a.ok(&["caption", &first, "Low tide"]);
    let written = family.write(&a, &[]);
    assert!(written["blobs"].as_u64() >= Some(4), "{written}");
    let read = family.read_well(&b);
    assert_eq!(read["blobs"], written["blobs"], "{read}");
    assert_eq!(alike(&a.assets()), alike(&b.assets()));
    assert_eq!(family.originals(&b), all);

    // The other way on the same disk; what lies there is not written twice.
    all.extend(family.import_with(&b, 2, 100_000));
    b.ok(&["tag", &first, "--add", "sea"]);
    let back = family.write(&b, &[]);
    assert_eq!(back["present"], written["blobs"], "{back}");
    assert!(back["blobs"].as_u64() >= Some(3), "{back}");
    let read = family.read_well(&a);
    assert_eq!(read["blobs"], back["blobs"], "{read}");
    assert_eq!(alike(&a.assets()), alike(&b.assets()));
    assert_eq!(family.originals(&a), all);
    let nothing = family.read_well(&a);
    assert_eq!(
        (&nothing["blobs"], &nothing["entries"]),
        (&0.into(), &0.into())
    );

    // By now each knows from the disk what the other holds.
    all.extend(family.import(&a, 1));
    family.disk = family.homes.path().join("small");
    let small = family.write(&a, &["--to", "desk"]);
    let blobs = small["blobs"].as_u64().expect("a count");
    assert!((1..=3).contains(&blobs), "{small}");
    family.read_well(&b);
    assert_eq!(family.originals(&b), all);
    for device in [&a, &b] {
        device.is_whole();
        device.never_panicked();
    }
}

#[test]
fn wrong_files_of_a_bundle_are_named_and_the_rest_is_taken() {
    let mut family = Family::new();
    let (a, b) = (family.a.clone(), family.b.clone());
    let all = family.import(&a, 6);
    let written = family.write(&a, &[]);
    let mut blobs = family.blobs();
    let size = |path: &PathBuf| fs::metadata(path).expect("a file").len();
    blobs.sort_by_key(|path| (size(path), path.clone()));
    let before: Vec<_> = blobs
        .iter()
        .map(|path| fs::read(path).expect("a blob"))
        .collect();
    let twins = blobs
        .windows(2)
        .position(|two| size(&two[0]) == size(&two[1]));
    let twins = twins.expect("padded sizes are alike");
    let mut rest: Vec<_> = (0..blobs.len())
        .filter(|n| ![twins, twins + 1].contains(n))
        .collect();
    let (cut, gone) = (rest.remove(0), rest.remove(0));
    fs::write(&blobs[twins], &before[twins + 1]).expect("swapped");
    fs::write(&blobs[twins + 1], &before[twins]).expect("swapped");
    fs::write(&blobs[cut], &before[cut][..before[cut].len() / 2]).expect("cut");
    fs::remove_file(&blobs[gone]).expect("removed");
    let bad: BTreeSet<_> = [twins, twins + 1, cut, gone]
        .map(|n| family.name(&blobs[n]))
        .into();
    let (wrong, read, exit) = family.read(&b);
    assert_eq!(exit, 9, "{read}");
    assert_eq!(wrong.keys().cloned().collect::<BTreeSet<_>>(), bad);
    let missing: Vec<_> = wrong
        .iter()
        .filter(|(_, why)| why.contains("missing"))
        .collect();
    assert_eq!(missing.len(), 1, "{wrong:?}");
    let came = read["blobs"].as_u64().expect("a count");
    assert_eq!(
        came + 4,
        written["blobs"].as_u64().expect("a count"),
        "{read}"
    );
    assert_eq!(read["lacking"], 4, "{read}");
    assert_eq!(alike(&a.assets()), alike(&b.assets()));
    b.is_whole();

    // What is named is removed and written again.
    for name in &bad {
        let _ = fs::remove_file(family.disk.join(name));
    }
    let again = family.write(&a, &[]);
    assert_eq!(again["blobs"], 4, "{again}");
    assert_eq!(family.read_well(&b)["lacking"], 0);
    assert_eq!(family.originals(&b), all);
}

#[test]
fn entries_that_were_changed_are_named_and_never_believed() {
    let mut family = Family::new();
    let (a, b) = (family.a.clone(), family.b.clone());
    family.import(&a, 2);
    family.write(&a, &[]);
    let entries = files(&family.disk.join("devices"));
    let entries: Vec<_> = entries
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("entries-"))
        .collect();
    let [file] = &entries[..] else {
        panic!("{entries:?}");
    };
    let good = fs::read(file).expect("entries");
    let mut hostile: Vec<Vec<u8>> = (0..12)
        .map(|_| {
            let mut bytes = good.clone();
            let at = usize::try_from(family.dice.next()).unwrap_or(0) % bytes.len();
            bytes[at] ^= 1 << (family.dice.next() % 8);
            bytes
        })
        .collect();
    hostile.push(good[..good.len() - 5].to_vec());
    hostile.push(family.dice.bytes(5000));
    hostile.push(Vec::new());
    for bytes in hostile {
        fs::write(file, &bytes).expect("changed");
        let (wrong, read, exit) = family.read(&b);
        assert_eq!(exit, 9, "{read}");
        assert!(wrong.contains_key(&family.name(file)), "{wrong:?}");
    }
    fs::write(file, &good).expect("as it was");
    family.read_well(&b);
    assert_eq!(alike(&a.assets()), alike(&b.assets()));

    // A manifest that was changed names itself, and what lies there is taken all the same.
    let c = family.b.clone();
    family.import(&a, 2);
    family.write(&a, &[]);
    let devices = files(&family.disk.join("devices"));
    let manifest = devices
        .iter()
        .find(|path| path.ends_with("manifest"))
        .expect("a manifest");
    let mut bytes = fs::read(manifest).expect("a manifest");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(manifest, bytes).expect("changed");
    let (wrong, read, exit) = family.read(&c);
    assert_eq!(exit, 9, "{read}");
    assert_eq!(wrong.keys().collect::<Vec<_>>(), [&family.name(manifest)]);
    assert_eq!(read["lacking"], 0, "{read}");
    assert_eq!(alike(&a.assets()), alike(&c.assets()));
}

#[test]
fn a_writer_that_was_killed_leaves_what_can_be_read_and_goes_on() {
    let mut family = Family::new();
    let (a, b) = (family.a.clone(), family.b.clone());
    let all = family.import_with(&a, 8, LONG);
    let writing = a.start(&["bundle", "write", family.disk()]);
    let disk = family.disk.clone();
    wait_until("a blob on the disk", Duration::from_secs(60), || {
        files(&disk.join("blobs"))
            .iter()
            .any(|path| path.extension().is_none())
    });
    writing.kill();
    let (wrong, read, exit) = family.read(&b);
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(exit == 0, "{read}");
    assert!(read["blobs"].as_u64() >= Some(1), "{read}");
    b.is_whole();
    let lacked = read["lacking"].as_u64().expect("a count");
    let written = family.write(&a, &[]);
    assert!(written["present"].as_u64() >= Some(1), "{written}");
    let read = family.read_well(&b);
    assert_eq!(read["blobs"].as_u64(), Some(lacked), "{read}");
    assert_eq!(read["unfinished"], 0, "{read}");
    assert_eq!(family.originals(&b), all);
}

#[test]
fn what_is_no_bundle_of_this_family_is_refused() {
    let mut family = Family::new();
    let a = family.a.clone();
    let (none, exit) = a.run(&["bundle", "read", family.disk()], "");
    assert_eq!((exit, &none["id"]), (4, &"E-NOT-FOUND".into()), "{none}");
    family.import(&a, 1);
    family.write(&a, &[]);
    let stranger = family.homes.device("stranger");
    stranger.init("Huber", "Eva", "tablet");
    let (foreign, exit) = stranger.run(&["bundle", "read", family.disk()], "");
    assert_eq!(
        (exit, &foreign["id"]),
        (1, &"E-NOT-ALLOWED".into()),
        "{foreign}"
    );
    assert!(stranger.assets().is_empty());
    let home = a.home.to_str().expect("UTF-8").to_owned();
    let (inside, exit) = a.run(&["bundle", "write", &home], "");
    assert_eq!(exit, 2, "{inside}");
}

#[test]
fn an_album_that_is_not_for_a_device_does_not_come_from_a_disk() {
    let mut family = Family::new();
    let (a, b) = (family.a.clone(), family.b.clone());
    a.ok(&["album", "create", "Secret"]);
    let folder = family.homes.path().join("secret");
    fs::create_dir(&folder).expect("a folder");
    let bytes = pictures::bmp(40, &mut family.dice);
    fs::write(folder.join("s.bmp"), bytes).expect("a photo");
    a.ok(&[
        "import",
        folder.to_str().expect("UTF-8"),
        "--album",
        "Secret",
    ]);
    let all = family.import(&a, 1);
    family.write(&a, &[]);
    let read = family.read_well(&b);
    assert!(read["not_ours"].as_u64() > Some(0), "{read}");
    assert_eq!(read["lacking"], 0, "{read}");
    assert_eq!(family.originals(&b), all);
    // Shared later, it comes from the next disk, with all that was in it.
    a.ok(&["share", "Secret", "Ben", "--role", "viewer"]);
    family.write(&a, &[]);
    family.read_well(&b);
    assert_eq!(family.originals(&b).len(), 2);
}

/// A time in the form that is asked for, in UTC.
fn instant(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days of a year that begins with March: the leap day is the last of them.
    let from = days + 719_468;
    let (era, day) = (from.div_euclid(146_097), from.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1);
    let year = era * 400 + year + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_secs()).expect("it fits")
}

#[test]
fn only_what_was_written_since_a_time_is_taken_along() {
    assert_eq!(instant(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(instant(1_798_761_599), "2026-12-31T23:59:59Z");
    let mut family = Family::new();
    let (a, b) = (family.a.clone(), family.b.clone());
    let mut all = family.import(&a, 3);
    let old = now();
    // What comes now is later than the second in which the last of those was written.
    wait_until("the second is over", Duration::from_secs(5), || now() > old);
    let between = instant(now());
    let new = family.import(&a, 2);

    let day = 86_400;
    let nothing = family.write(&a, &["--since", &instant(now() + day)]);
    assert_eq!(nothing["blobs"], 0, "{nothing}");
    assert!(family.blobs().is_empty());
    // Who belongs to the family goes along whatever the time, and is known there already.
    assert!(nothing["entries"].as_u64() > Some(0), "{nothing}");
    let read = family.read_well(&b);
    assert_eq!(
        (&read["entries"], &read["blobs"], &read["lacking"]),
        (&0.into(), &0.into(), &0.into()),
        "{read}"
    );
    assert!(b.assets().is_empty());

    // Entries follow each other, so that the new ones wait for those before them, and nothing is lost of them.
    let later = family.write(&a, &["--since", &between]);
    let blobs = later["blobs"].as_u64().expect("a count");
    assert!((2..=6).contains(&blobs), "{later}");
    assert!(later["entries"].as_u64() > nothing["entries"].as_u64());
    let (wrong, read, exit) = family.read(&b);
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(exit, 3, "{read}");
    assert!(read["waiting"].as_u64() > Some(0), "{read}");
    assert!(b.assets().is_empty());

    let whole = family.write(&a, &["--since", &instant(old - day)]);
    assert_eq!(whole["present"].as_u64(), Some(blobs), "{whole}");
    assert!(whole["blobs"].as_u64() >= Some(3), "{whole}");
    family.read_well(&b);
    all.extend(new);
    assert_eq!(family.originals(&b), all);
    assert_eq!(alike(&a.assets()), alike(&b.assets()));

    // For who has what came before, the new alone is enough.
    family.disk = family.homes.path().join("small");
    let old = now();
    wait_until("the second is over", Duration::from_secs(5), || now() > old);
    let between = instant(now());
    all.extend(family.import(&a, 1));
    let small = family.write(&a, &["--since", &between]);
    let blobs = small["blobs"].as_u64().expect("a count");
    assert!((1..=3).contains(&blobs), "{small}");
    family.read_well(&b);
    assert_eq!(family.originals(&b), all);

    let (wrong, exit) = a.run(&["bundle", "write", family.disk(), "--since", "soon"], "");
    assert_eq!((exit, &wrong["id"]), (2, &"E-USAGE".into()), "{wrong}");
    a.never_panicked();
    b.never_panicked();
}
