//! The program on a disk that is really full: a small one in memory, where the test may mount it.
//!
//! What was acknowledged stays, looking and deleting go on, and a node that runs
//! takes photos again by itself once there is room. `HEIRLOOM_FULL_CYCLES` says
//! how often the disk is filled.
#![cfg(target_os = "linux")]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::devices::{
    Device, Dice, Homes, asked, link, pair, pictures, report, sha256, skipped, sums, wait_until,
};
use crate::takeout::archives;
use serde_json::Value;

const MIB: u64 = 1024 * 1024;
/// MiB of the disk, and what a round of filling it leaves there.
const DISK: u64 = 128;
const CYCLE: u64 = 24;
/// What photos leave free on such a disk: room for the reserve, and for a commit.
const LEFT_FREE: u64 = 10 * MIB;
/// How long after there is room again a node may refuse photos.
const RECOVERS: Duration = Duration::from_secs(30);

fn cycles() -> u64 {
    asked("HEIRLOOM_FULL_CYCLES", 5)
}

/// A small disk in memory.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this process may not mount one.
    fn new(path: &Path, mib: u64) -> Option<Self> {
        fs::create_dir(path).expect("a folder");
        let options = format!("size={mib}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]);
        let mounted = mount.arg(path).stderr(Stdio::null()).status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(path.to_owned()))
    }

    /// A device whose home is here.
    fn device(&self, homes: &Homes) -> Device {
        let device = homes.device("aside");
        let home = self.0.join("home");
        fs::rename(&device.home, homes.path().join("settings")).expect("a folder");
        use std::os::unix::fs::DirBuilderExt as _;
        let mut folder = fs::DirBuilder::new();
        folder.mode(0o700).create(&home).expect("a folder");
        let settings = homes.path().join("settings/config.toml");
        fs::copy(settings, home.join("config.toml")).expect("settings");
        Device { home, ..device }
    }

    fn free(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.0).expect("a file system");
        found.f_bavail * found.f_frsize
    }

    fn remount(&self, how: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{how}")]).arg(&self.0);
        assert!(mount.status().expect("mount runs").success(), "{how}");
    }

    /// Takes all room but so much with a file that is no part of a home.
    fn fill(&self, but: u64) {
        let mut filler = File::create(self.0.join(format!("filler-{but}"))).expect("a file");
        let piece = vec![1; 64 * 1024];
        while self.free() > but {
            let left = usize::try_from(self.free() - but).expect("a small disk");
            if let Err(error) = filler.write_all(&piece[..left.min(piece.len())]) {
                assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
                return;
            }
        }
    }

    fn empty(&self) {
        for entry in fs::read_dir(&self.0).expect("the disk") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                fs::remove_file(path).expect("a filler");
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A device on a small disk, and what it said is safe.
struct Home {
    device: Device,
    disk: Disk,
    source: PathBuf,
    made: u64,
    dice: Dice,
    /// Assets by id, with the file each was made of.
    told: BTreeMap<String, String>,
}

impl Home {
    fn new(homes: &Homes) -> Option<Self> {
        let disk = Disk::new(&homes.path().join("disk"), DISK + cycles() * CYCLE)?;
        let device = disk.device(homes);
        let source = homes.path().join("photos");
        fs::create_dir(&source).expect("a folder");
        Some(Self {
            device,
            disk,
            source,
            made: 0,
            dice: Dice::new(),
            told: BTreeMap::new(),
        })
    }

    /// A new folder with so many new photos and a movie.
    fn make(&mut self, photos: u64) -> PathBuf {
        self.made += 1;
        let folder = self.source.join(self.made.to_string());
        fs::create_dir(&folder).expect("a folder");
        for number in 0..photos {
            let side = u32::try_from(self.dice.within(100, 300)).expect("small");
            let photo = pictures::bmp(side, &mut self.dice);
            fs::write(folder.join(format!("{number}.bmp")), photo).expect("a file");
        }
        let movie = pictures::movie(700_000, &mut self.dice);
        fs::write(folder.join("m.mp4"), movie).expect("a file");
        folder
    }

    /// Imports a folder and takes note of what was said to be safe: the last line and the exit code.
    fn import(&mut self, folder: &Path) -> (Value, i32) {
        let from = folder.to_str().expect("UTF-8");
        let (mut lines, exit) = self.device.start(&["import", from]).all();
        for line in lines.iter().filter(|line| line["type"] == "file") {
            match line["outcome"].as_str() {
                Some("added" | "present") => {
                    let id = line["asset"].as_str().expect("an id").to_owned();
                    let path = line["path"].as_str().expect("a path").to_owned();
                    self.told.insert(id, path);
                }
                // What was purged in the round before stays so.
                Some("skipped") if line["reason"].to_string().contains("for good") => {}
                _ => panic!("{line}"),
            }
        }
        (lines.pop().unwrap_or_default(), exit)
    }

    /// What is here is all that was said to be safe.
    #[track_caller]
    fn holds_what_it_told(&self) {
        let assets = self.device.assets();
        for id in self.told.keys() {
            let found = assets.iter().find(|asset| asset["id"] == id.as_str());
            let found = found.unwrap_or_else(|| panic!("lost: {id}"));
            assert_eq!(found["here"]["original"], true, "{found}");
        }
    }

    fn problems(&self) -> String {
        problems(&self.device)
    }

    /// Looks, gets, says and deletes while nothing is free.
    fn live_on(&mut self, out: &Path) {
        self.holds_what_it_told();
        assert!(
            self.problems().contains("The disk is full"),
            "{}",
            self.problems()
        );
        let ids: Vec<String> = self.told.keys().take(3).cloned().collect();
        let [shown, trashed, purged] = &ids[..] else {
            panic!("three photos at least")
        };
        let to = out.to_str().expect("UTF-8");
        self.device.ok(&["get", shown, "-o", to]);
        let got: Vec<_> = sums(out).into_keys().collect();
        let wanted = fs::read(&self.told[shown]).expect("the file");
        assert_eq!(got, [sha256(&wanted)]);
        fs::remove_dir_all(out).expect("what was got");
        self.device.ok(&["caption", shown, "on a full disk"]);
        self.device.ok(&["trash", trashed]);
        self.device.ok(&["restore", trashed]);
        self.device.ok(&["trash", purged]);
        self.device.ok(&["--yes", "purge", purged]);
        self.told.remove(purged);
        let gone = self.device.assets();
        assert!(gone.iter().all(|asset| asset["id"] != purged.as_str()));
    }

    fn cycle(&mut self, number: u64, out: &Path) -> Duration {
        // So much room beside what photos leave free, a little other each time.
        self.disk.fill(LEFT_FREE + 2 * MIB + number % 7 * 300_000);
        let folder = self.make(40);
        let (last, exit) = self.import(&folder);
        assert_eq!((last["id"].as_str(), exit), (Some("E-DISK-FULL"), 1));
        let text = |field: &str| last[field].as_str().unwrap_or_default().to_owned();
        assert!(text("message").contains("the disk is full"), "{last}");
        assert!(text("safe").contains("is safe"), "{last}");
        assert!(text("hint").contains("free some space"), "{last}");
        // Others take what is left.
        self.disk.fill(0);
        assert_eq!(self.disk.free(), 0);
        self.live_on(out);
        let again = self.import(&folder);
        assert_eq!((again.0["id"].as_str(), again.1), (Some("E-DISK-FULL"), 1));
        self.holds_what_it_told();
        // What is asked is when photos are taken again, not how long a folder of them takes.
        let few = self.make(1);
        self.disk.empty();
        let emptied = Instant::now();
        loop {
            let (last, exit) = self.import(&few);
            if exit == 0 {
                break;
            }
            assert_eq!(last["id"], "E-DISK-FULL", "{last}");
            assert!(emptied.elapsed() < RECOVERS, "photos are still refused");
        }
        let took = emptied.elapsed();
        assert!(took < RECOVERS, "{took:?}");
        assert_eq!(self.import(&folder).1, 0);
        assert!(!self.problems().contains("The disk is full"));
        assert!(self.device.home.join("reserve").exists());
        self.holds_what_it_told();
        self.device.is_whole();
        took
    }
}

fn may_mount(homes: &Homes) -> Option<Home> {
    let home = Home::new(homes);
    if home.is_none() {
        skipped("this needs to mount a small disk, which is not allowed here");
    }
    home
}

#[test]
fn a_full_disk_loses_nothing_and_the_node_goes_on_by_itself() {
    let homes = Homes::new();
    let Some(mut home) = may_mount(&homes) else {
        return;
    };
    home.device.init("Berger", "Anna", "laptop");
    let first = home.make(4);
    let node = home.device.serve();
    assert_eq!(home.import(&first).1, 0);
    let out = homes.path().join("out");
    let mut slowest = Duration::ZERO;
    for number in 0..cycles() {
        slowest = slowest.max(home.cycle(number, &out));
    }
    node.stop();
    home.holds_what_it_told();
    home.device.is_whole();
    let to = out.to_str().expect("UTF-8");
    home.device.ok(&["export", to, "--sidecars", "none"]);
    let exported = sums(&out);
    for path in home.told.values() {
        let sum = sha256(&fs::read(path).expect("the file"));
        assert!(exported.contains_key(&sum), "lost: {path}");
    }
    home.device.never_panicked();
    report(&format!(
        "{} cycles, slowest recovery {slowest:?}",
        cycles()
    ));
}

#[test]
fn a_disk_that_can_only_be_read_is_refused_in_plain_words() {
    let homes = Homes::new();
    let Some(mut home) = may_mount(&homes) else {
        return;
    };
    home.device.init("Berger", "Anna", "laptop");
    let folder = home.make(2);
    assert_eq!(home.import(&folder).1, 0);
    home.disk.remount("ro");
    let out = homes.path().join("out");
    let to = out.to_str().expect("UTF-8");
    let from = folder.to_str().expect("UTF-8");
    let refused: [&[&str]; 6] = [
        &["list"],
        &["status"],
        &["export", to],
        &["import", from],
        &["verify"],
        &["serve", "--no-gallery"],
    ];
    for args in refused {
        let (last, exit) = home.device.run(args, "");
        assert_eq!((last["id"].as_str(), exit), (Some("E-READ-ONLY"), 1));
        assert!(last["hint"].as_str().expect("a hint").contains("copy"));
    }
    home.disk.remount("rw");
    home.holds_what_it_told();
    home.device.is_whole();
    home.device.never_panicked();
}

/// What `status` says is wrong.
fn problems(device: &Device) -> String {
    let lines = device.ok(&["status"]);
    let status = lines.iter().find(|line| line["type"] == "status");
    status.expect("a status")["problems"].to_string()
}

/// Names of the photos whose originals are on a device.
fn held(device: &Device) -> Vec<String> {
    let assets = device.assets();
    let here = assets
        .iter()
        .filter(|asset| asset["here"]["original"] == true);
    let mut names: Vec<_> = here
        .map(|asset| asset["name"].as_str().expect("a name").to_owned())
        .collect();
    names.sort();
    names
}

/// What `status` says of files without room: how many.
fn without_room(device: &Device) -> Option<u64> {
    let lines = device.ok(&["status"]);
    let status = lines.iter().find(|line| line["type"] == "status");
    let told = status.expect("a status")["problem_details"].clone();
    let told = told.as_array().expect("a list").clone();
    let found = told.iter().find(|told| told["id"] == "no-room")?;
    Some(found["values"]["n"].as_u64().expect("a count"))
}

#[test]
fn a_movie_without_room_waits_and_all_else_comes() {
    let homes = Homes::new();
    let Some(disk) = Disk::new(&homes.path().join("disk"), 64) else {
        return skipped("this needs to mount a small disk, which is not allowed here");
    };
    let (laptop, small) = (homes.device("laptop"), disk.device(&homes));
    let mut dice = Dice::new();
    let photos = homes.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    let import = |name: String, bytes: Vec<u8>| {
        fs::write(photos.join(&name), bytes).expect("a file");
        let path = photos.join(&name);
        laptop.ok(&["import", path.to_str().expect("UTF-8"), "--album", "Summer"]);
        name
    };
    laptop.init("Berger", "Anna", "laptop");
    let mut names: Vec<_> = (0..12)
        .map(|n| import(format!("{n:02}.bmp"), pictures::bmp(300, &mut dice)))
        .collect();
    // The newest, and more than the other disk has.
    let movie = import("movie.mp4".into(), pictures::movie(70_000_000, &mut dice));
    let node = laptop.serve();
    pair(&laptop, &["--device"], &small, "small", link);
    let (synced, exit) = small.run(&["sync"], "");
    assert_eq!((synced["id"].as_str(), exit), (Some("E-DISK-FULL"), 1));
    let text = |field: &str| synced[field].as_str().unwrap_or_default().to_owned();
    assert!(
        text("message").contains("1 file is not here yet"),
        "{synced}"
    );
    assert!(text("safe").contains("What is here is safe"), "{synced}");
    assert!(text("hint").contains("make room"), "{synced}");
    assert_eq!(held(&small), names);
    // What a stopped node tried it does not know, and it sees that what is lacking does not fit.
    assert_eq!(without_room(&small), None);
    assert!(
        problems(&small).contains("no room for it"),
        "{}",
        problems(&small)
    );

    // A node that runs says so, goes on with what is new, and takes the movie once there is room.
    let aside = small.serve();
    laptop.ok(&["peer", "add", &aside.addresses()[0]]);
    let patience = Duration::from_secs(60);
    wait_until("it is told", patience, || without_room(&small) == Some(1));
    let heard = || problems(&laptop);
    wait_until("the others hear", patience, || {
        heard().contains("small is full")
    });
    // Nobody who looks later has forgotten it: it was signed, and has come once all is quiet.
    laptop.ok(&["sync"]);
    node.stop();
    assert!(heard().contains("small is full"), "{}", heard());
    let node = laptop.serve();
    names.push(import("12.bmp".into(), pictures::bmp(300, &mut dice)));
    wait_until("the new one", patience, || held(&small) == names);
    disk.remount("size=256m");
    names.push(movie);
    wait_until("the movie", patience, || held(&small) == names);
    assert_eq!(without_room(&small), None);
    // Little is free there, and nothing is lacking.
    wait_until("that it holds everything is heard", patience, || {
        !heard().contains("small is full")
    });
    drop((aside, node));
    small.is_whole();
    small.never_panicked();
    laptop.never_panicked();
}

#[test]
fn many_photos_without_room_end_a_sync_each_time_until_there_is_some() {
    let homes = Homes::new();
    let Some(disk) = Disk::new(&homes.path().join("disk"), 22) else {
        return skipped("this needs to mount a small disk, which is not allowed here");
    };
    let (laptop, small) = (homes.device("laptop"), disk.device(&homes));
    let mut dice = Dice::new();
    let photos = homes.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    // Small ones and large ones, more than the other disk has.
    for n in 0..30 {
        let side = u32::try_from(dice.within(150, 900)).expect("small");
        let photo = pictures::bmp(side, &mut dice);
        fs::write(photos.join(format!("{n:02}.bmp")), photo).expect("a file");
    }
    let names = ["--family", "Berger", "--person", "Anna", "--device"];
    let made = laptop.ok(&[&["init"], &names[..], &["laptop"]].concat());
    let words = made.last().expect("a summary")["recovery"].as_array();
    let words = words.expect("24 words").iter().filter_map(Value::as_str);
    let words = words.collect::<Vec<_>>().join(" ");
    let from = photos.to_str().expect("UTF-8");
    laptop.ok(&["import", from, "--album", "Summer"]);
    let node = laptop.serve();
    // It comes with the words, and not all of it has room.
    let said = format!("{words}\n{}\n", node.addresses()[0]);
    let restore = || small.run(&["recovery", "restore", "--device", "small", "-"], &said);
    let (restored, exit) = restore();
    assert_eq!(exit, 75, "{restored}");
    assert!(restored["without_room"].as_u64() > Some(0), "{restored}");
    // The same once more does nothing, and says what does.
    let (again, exit) = restore();
    let told = (again["id"].as_str(), exit);
    assert_eq!(told, (Some("E-ALREADY-SET-UP"), 1), "{again}");
    let message = again["message"].as_str().expect("a message");
    assert!(message.contains("restored already"), "{message}");
    let hint = again["hint"].as_str().expect("a hint");
    assert!(hint.contains("heirloom sync"), "{hint}");
    let (synced, exit) = small.run(&["sync"], "");
    assert_eq!(
        (synced["id"].as_str(), exit),
        (Some("E-DISK-FULL"), 1),
        "{synced}"
    );
    assert!(held(&small).len() < 30);
    let told = problems(&small);
    assert!(told.contains("no room for all of them"), "{told}");
    assert!(!told.contains("is in reach"), "{told}");
    disk.remount("size=256m");
    let synced = small.ok(&["sync"]).pop().expect("a summary");
    assert_eq!(synced["settled"], true, "{synced}");
    assert_eq!(held(&small).len(), 30);
    node.stop();
    small.is_whole();
    small.never_panicked();
    laptop.never_panicked();
}

#[test]
fn a_followed_folder_goes_on_by_itself_once_there_is_room() {
    let homes = Homes::new();
    let Some(disk) = Disk::new(&homes.path().join("disk"), 16) else {
        return skipped("this needs to mount a small disk, which is not allowed here");
    };
    let device = disk.device(&homes);
    let mut dice = Dice::new();
    let folder = homes.path().join("Camera");
    fs::create_dir(&folder).expect("a folder");
    for n in 0..16 {
        let photo = pictures::bmp(700, &mut dice);
        fs::write(folder.join(format!("{n:02}.bmp")), photo).expect("a file");
    }
    device.init("Berger", "Anna", "laptop");
    let node = device.serve();
    let dir = folder.to_str().expect("UTF-8");
    device.ok(&["watch", "add", dir, "--album", "Summer"]);
    let left_out = || {
        let lines = device.ok(&["watch", "list"]);
        lines[0]["left_out"].as_u64().expect("a count")
    };
    let patience = Duration::from_secs(60);
    wait_until("some are left out", patience, || left_out() > 0);
    let count = u64::try_from(held(&device).len()).expect("few");
    assert_eq!(left_out() + count, 16);
    let told = problems(&device);
    assert!(told.contains("of the followed folder"), "{told}");
    assert!(told.contains("The disk is full: no more photos"), "{told}");
    disk.remount("size=256m");
    wait_until("all are taken", RECOVERS, || held(&device).len() == 16);
    wait_until("none is left out", patience, || left_out() == 0);
    let told = problems(&device);
    assert!(!told.contains("of the followed folder"), "{told}");
    assert!(!told.contains("The disk is full"), "{told}");
    node.stop();
    device.is_whole();
    device.never_panicked();
}

#[test]
fn an_archive_for_which_the_disk_is_too_small_leaves_nothing_half_and_is_gone_on_with() {
    let homes = Homes::new();
    let Some(disk) = Disk::new(&homes.path().join("disk"), 64) else {
        return skipped("this needs to mount a small disk, which is not allowed here");
    };
    let device = disk.device(&homes);
    let mut dice = Dice::new();
    device.init("Berger", "Anna", "laptop");
    let photos: Vec<(String, Vec<u8>)> = (0..40)
        .map(|n| (format!("{n:02}.bmp"), pictures::bmp(700, &mut dice)))
        .collect();
    let inside: Vec<_> = photos
        .iter()
        .map(|(name, bytes)| (&name[..], &bytes[..]))
        .collect();
    let archive = homes.path().join("all.zip");
    fs::write(&archive, archives::zip(&inside)).expect("an archive");
    let from = archive.to_str().expect("UTF-8");
    for _ in 0..2 {
        let (lines, exit) = device.start(&["import", from]).all();
        let last = lines.last().expect("an error");
        assert_eq!(
            (last["id"].as_str(), exit),
            (Some("E-DISK-FULL"), 1),
            "{last}"
        );
        let hint = last["hint"].as_str().unwrap_or_default();
        assert!(hint.contains("free some space"), "{last}");
        // What was told is here, and nothing else is.
        let told = lines.iter().filter(|line| line["type"] == "file");
        let told =
            told.filter(|line| matches!(line["outcome"].as_str(), Some("added" | "present")));
        let told: std::collections::BTreeSet<_> = told
            .map(|line| line["asset"].as_str().expect("an id").to_owned())
            .collect();
        let assets = device.assets();
        let listed = assets
            .iter()
            .map(|asset| asset["id"].as_str().expect("an id"));
        let listed: std::collections::BTreeSet<_> = listed.map(str::to_owned).collect();
        assert!(
            !listed.is_empty() && told.is_subset(&listed),
            "{told:?} {listed:?}"
        );
        assert!(assets.iter().all(|asset| asset["here"]["original"] == true));
        let left = crate::devices::files(&device.home.join("blobs/tmp"));
        assert!(left.is_empty(), "{left:?}");
        device.is_whole();
    }
    disk.remount("size=256m");
    let told = device.ok(&["import", from]);
    let summary = told.last().expect("a summary");
    let sum = |fields: [&str; 2]| -> u64 {
        let of = |field: &str| summary[field].as_u64().unwrap_or(0);
        fields.into_iter().map(of).sum()
    };
    assert_eq!(sum(["added", "present"]), 40, "{summary}");
    device.is_whole();
    let out = homes.path().join("out");
    device.ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]);
    let exported = sums(&out);
    assert!(
        photos
            .iter()
            .all(|(_, bytes)| exported.contains_key(&sha256(bytes)))
    );
    device.never_panicked();
}
