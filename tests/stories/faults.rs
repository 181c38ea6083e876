//! The real program under injected faults: killed at the k-th call that changes a disk, and told at
//! the k-th that it failed.
//!
//! Every run starts on a fresh copy of a home. After it the home is whole with
//! no repair by hand, what was said to be safe is there byte for byte, and the
//! same command run again completes. `HEIRLOOM_FAULT_STRIDE` says how many calls
//! apart the faults are, `HEIRLOOM_IMPORT_STRIDE` those of an import; 1 tries each.
//! `HEIRLOOM_FAULT=rename:7` tries that one alone.
#![cfg(target_os = "linux")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use crate::devices::{
    Device, Dice, Homes, Running, asked, link, pair, pictures,
    proxy::Proxy,
    report, sha256, skipped,
    strace::{Fault, Harm, Trace, missing},
};
use serde_json::Value;

/// Everything by which the program changes a disk, but the making of files: that is among the many calls of
/// `openat`, and killed at files by their names.
const CHANGES: [&str; 9] = [
    "fdatasync",
    "fsync",
    "pwrite64",
    "write",
    "rename",
    "mkdir",
    "unlink",
    "ftruncate",
    "fallocate",
];
const SYNCS: [&str; 2] = ["fsync", "fdatasync"];
/// More calls of one name than any of these commands makes in a thread.
const CALLS_MAX: u32 = 2000;
/// Runs in a row that did not meet their fault, after which there is no such call: threads share
/// the work otherwise each time, and the k-th call is counted in each of them by itself.
const MISSES: u32 = 3;
/// Files of the import that is killed.
const PHOTOS: usize = 20;
/// Kills of that import, and other faults of a smaller one, where every call is tried.
const KILLS: u32 = 250;
const FAULTS: u32 = 100;

/// How many calls lie between two faults, unless the environment says it.
fn stride(usual: u32) -> u32 {
    asked("HEIRLOOM_FAULT_STRIDE", usual).max(1)
}

/// The same for an import.
fn import_stride(usual: u32) -> u32 {
    asked("HEIRLOOM_IMPORT_STRIDE", stride(usual)).max(1)
}

/// The only fault that is asked for: its call and which one.
fn only() -> Option<(String, u32)> {
    let asked = std::env::var("HEIRLOOM_FAULT").ok()?;
    let (call, nth) = asked
        .split_once(':')
        .expect("HEIRLOOM_FAULT is call:number");
    Some((call.to_owned(), nth.parse().expect("a number")))
}

/// Which calls of a name suffer the fault.
fn places(call: &str, stride: u32) -> Vec<u32> {
    let steps = usize::try_from(stride).expect("small");
    match only() {
        Some((asked, nth)) if asked == call => vec![nth],
        Some(_) => Vec::new(),
        None => (1..CALLS_MAX).step_by(steps).collect(),
    }
}

/// Whether there is no strace here; says so.
fn is_left_out() -> bool {
    let why = missing();
    if let Some(why) = &why {
        skipped(why);
    }
    why.is_some()
}

/// A copy of a folder, rights and all.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new folder");
    fs::set_permissions(to, fs::metadata(from).expect("there").permissions()).expect("its rights");
    for item in fs::read_dir(from).expect("a folder") {
        let item = item.expect("an item");
        let target = to.join(item.file_name());
        match item.file_type().expect("a type") {
            kind if kind.is_dir() => copy(&item.path(), &target),
            kind if kind.is_file() => {
                fs::copy(item.path(), target).expect("a copy");
            }
            // A socket of a node that has ended.
            _ => {}
        }
    }
}

fn added(lines: &[Value]) -> BTreeSet<String> {
    let told = lines.iter().filter(|line| line["outcome"] == "added");
    told.map(|line| line["path"].as_str().expect("a path").to_owned())
        .collect()
}

/// A second device, from which the one that suffers gets everything.
struct Giver {
    device: Device,
    before: PathBuf,
    /// The same address for each of its nodes.
    proxy: Proxy,
    node: Option<Running>,
}

impl Giver {
    /// Joins the bench's device and imports its photos.
    fn of(bench: &Bench) -> Self {
        let device = bench.homes.device("giver");
        let node = bench.device.serve();
        pair(&bench.device, &["--device"], &device, "giver", link);
        // It gets the keys of its person's albums.
        device.ok(&["sync"]);
        drop(node);
        device.ok(&bench.import());
        let before = bench.homes.path().join("giver-before");
        copy(&device.home, &before);
        let mut giver = Self {
            device,
            before,
            proxy: Proxy::new(),
            node: None,
        };
        giver.serve();
        let node = giver.node.as_ref().expect("it runs");
        let peer = node.ready["peer"].as_str().expect("a peer").to_owned();
        let address = format!("{}/p2p/{peer}", giver.proxy.multiaddr());
        giver.node = None;
        bench.device.know_only(&address);
        giver
    }

    fn serve(&mut self) {
        let node = self.device.serve();
        self.proxy.lead_to(node.port());
        self.node = Some(node);
    }

    /// A copied home that came back would be a fork: it goes on where the others' copies do.
    fn again(&mut self) {
        self.node = None;
        fs::remove_dir_all(&self.device.home).expect("the last copy");
        copy(&self.before, &self.device.home);
        self.serve();
    }
}

/// A home as it is before each fault, the copy that suffers it, and photos.
struct Bench {
    homes: Homes,
    before: PathBuf,
    device: Device,
    photos: PathBuf,
    /// The hash of each photo, by its path.
    sums: BTreeMap<String, String>,
    trace: PathBuf,
    started: Instant,
    faults: u32,
    /// The highest number that met its fault, by what it was.
    highest: BTreeMap<String, u32>,
    giver: Option<Giver>,
}

impl Bench {
    fn new() -> Self {
        let homes = Homes::new();
        let device = homes.device("laptop");
        device.init("Berger", "Anna", "laptop");
        device.ok(&["album", "create", "Kills"]);
        let photos = homes.path().join("photos");
        fs::create_dir(&photos).expect("a folder");
        let mut bench = Self {
            before: homes.path().join("before"),
            trace: homes.path().join("trace"),
            sums: BTreeMap::new(),
            started: Instant::now(),
            faults: 0,
            highest: BTreeMap::new(),
            giver: None,
            homes,
            device,
            photos,
        };
        // Two that share a pack, and one that is a file by itself. No picture is made of them.
        bench.make(&[30_000, 45_000, 400_000]);
        bench
    }

    /// Adds photos, so that workers are started and pictures recorded, until there are so many files.
    fn add_photos(&mut self, files: usize) {
        let mut dice = Dice::new();
        for number in self.sums.len()..files {
            let bytes = pictures::bmp(40, &mut dice);
            let path = self.photos.join(format!("{number}.bmp"));
            fs::write(&path, &bytes).expect("a file");
            let path = path.to_str().expect("UTF-8").to_owned();
            self.sums.insert(path, sha256(&bytes));
        }
    }

    fn make(&mut self, sizes: &[usize]) {
        let mut dice = Dice::new();
        for (number, bytes) in sizes.iter().enumerate() {
            let path = self.photos.join(format!("{number}.mp4"));
            let bytes = pictures::movie(*bytes, &mut dice);
            fs::write(&path, &bytes).expect("a file");
            let path = path.to_str().expect("UTF-8").to_owned();
            self.sums.insert(path, sha256(&bytes));
        }
    }

    /// The home as it is now is what every fault begins with.
    fn keep(&self) {
        copy(&self.device.home, &self.before);
    }

    fn again(&mut self) {
        fs::remove_dir_all(&self.device.home).expect("the last copy");
        copy(&self.before, &self.device.home);
        if let Some(giver) = &mut self.giver {
            giver.again();
        }
    }

    fn import(&self) -> [&str; 4] {
        [
            "import",
            self.photos.to_str().expect("UTF-8"),
            "--album",
            "Kills",
        ]
    }

    /// Runs a command with a fault: its lines, its exit code, and whether the fault was met.
    fn run(&mut self, args: &[&str], fault: &Fault) -> (Vec<Value>, Option<i32>, bool) {
        let mut device = self.device.clone();
        // What an earlier run left is not read.
        let _ = fs::remove_file(&self.trace);
        Trace::arm(&mut device, fault, &self.trace);
        let (lines, exit) = device.start(args).fate();
        let met = match fault.harm {
            Harm::Kill => exit.is_none(),
            Harm::Error(_) | Harm::ErrorsFrom(_) => Trace::read(&self.trace).is_injected(),
        };
        self.faults += u32::from(met);
        if met {
            let highest = self.highest.entry(fault.kind()).or_default();
            *highest = fault.nth.max(*highest);
        }
        (lines, exit, met)
    }

    /// Nothing in the home is damaged.
    #[track_caller]
    fn is_whole(&self, fault: &str) {
        let (summary, exit) = self.device.run(&["verify", "--read-data"], "");
        let damaged = &summary["damaged"];
        assert_eq!((exit, damaged), (0, &0.into()), "{fault}: {summary}");
    }

    /// The home is whole, and holds these photos byte for byte.
    #[track_caller]
    fn holds(&self, photos: &BTreeSet<String>, fault: &str) {
        self.is_whole(fault);
        let out = self.homes.path().join("out");
        let to = out.to_str().expect("UTF-8");
        let (summary, exit) = self.device.run(&["export", to, "--sidecars", "none"], "");
        assert_eq!(exit, 0, "{fault}: {summary}");
        let exported = crate::devices::sums(&out);
        for photo in photos {
            assert!(
                exported.contains_key(&self.sums[photo]),
                "{fault}: lost {photo}"
            );
        }
        // An empty home makes no folder.
        let _ = fs::remove_dir_all(&out);
    }

    /// The import run once more brings everything, each photo once.
    #[track_caller]
    fn completes(&self, told: &BTreeSet<String>, fault: &str) {
        let (lines, exit) = self.device.start(&self.import()).all();
        assert_eq!(exit, 0, "{fault}: {:?}", lines.last());
        let again = added(&lines);
        assert!(again.is_disjoint(told), "{fault}: added twice: {again:?}");
        self.holds(&self.sums.keys().cloned().collect(), fault);
        assert_eq!(self.device.assets().len(), self.sums.len(), "{fault}");
    }

    /// How many photos have their picture. A worker that was killed itself may have cost the reason why there
    /// is none; what an import did not come to is made up for by the next.
    #[track_caller]
    fn pictures(&self, fault: &str) -> usize {
        let assets = self.device.assets();
        let mut photos: Vec<_> = assets
            .iter()
            .filter(|asset| asset["kind"] == "photo")
            .collect();
        assert!(
            photos.iter().all(|photo| photo["preview"] != "pending"),
            "{fault}: {photos:?}"
        );
        photos.retain(|photo| photo["preview"] == "made");
        photos.len()
    }

    /// Goes through the calls of a name until the command ends, some times in a row, without having
    /// met the fault.
    fn each(
        &mut self,
        args: &[&str],
        fault: &Fault,
        stride: u32,
        mut after: impl FnMut(&mut Self, &[Value], Option<i32>, &Fault),
    ) {
        let mut missed = 0;
        let places = places(fault.call, stride);
        for nth in places.iter().copied() {
            let fault = Fault {
                nth,
                ..fault.clone()
            };
            self.again();
            let (lines, exit, met) = self.run(args, &fault);
            if met {
                missed = 0;
                after(self, &lines, exit, &fault);
                continue;
            }
            assert_eq!(exit, Some(0), "{fault}: {:?}", lines.last());
            missed += 1;
            if missed == MISSES {
                return;
            }
        }
        let is_end = places.len() < 2;
        assert!(is_end, "{args:?} makes no end of {}", fault.call);
    }

    /// Tells of at least so many faults, or of those that were asked for.
    fn report(&self, least: u32, what: &str) {
        self.device.never_panicked();
        let least = if only().is_some() { 0 } else { least };
        let Self {
            faults, highest, ..
        } = self;
        assert!(*faults >= least, "only {faults} {what}");
        let highest: Vec<_> = highest
            .iter()
            .map(|(k, n)| format!("{n} for {k}"))
            .collect();
        report(&format!(
            "{faults} {what} in {:?}; the highest: {}",
            self.started.elapsed(),
            highest.join(", ")
        ));
    }
}

/// The calls of each name, and those on the index by themselves.
fn kills(home: &Path) -> Vec<Fault> {
    let fault = |call, at| Fault {
        call,
        harm: Harm::Kill,
        nth: 1,
        at,
    };
    let index = home.join("heirloom.redb");
    let all = CHANGES.map(|call| fault(call, None));
    let of_index = ["fdatasync", "pwrite64"].map(|call| fault(call, Some(index.clone())));
    let made = ["blobs/tmp/0", "blobs/packs/000001.pack"];
    let made = made.map(|file| fault("openat", Some(home.join(file))));
    all.into_iter().chain(of_index).chain(made).collect()
}

#[test]
fn an_import_killed_at_any_call_leaves_a_whole_home_with_every_acknowledged_photo() {
    if is_left_out() {
        return;
    }
    let mut bench = Bench::new();
    bench.add_photos(PHOTOS);
    bench.keep();
    let import = bench.import().map(str::to_owned);
    let import = import.each_ref().map(String::as_str);
    let mut made = 0;
    for fault in kills(&bench.device.home.clone()) {
        bench.each(
            &import,
            &fault,
            import_stride(6),
            |bench, lines, _, fault| {
                let told = added(lines);
                bench.holds(&told, &fault.to_string());
                bench.completes(&told, &fault.to_string());
                made += bench.pictures(&fault.to_string());
            },
        );
    }
    assert!(made > 0 || only().is_some(), "no picture was ever made");
    let least = if import_stride(6) == 1 { KILLS } else { 20 };
    bench.report(least, "kills of an import at calls that change the disk");
}

#[test]
fn a_sync_that_fails_is_never_told_as_a_success() {
    if is_left_out() {
        return;
    }
    let mut bench = Bench::new();
    bench.keep();
    let import = bench.import().map(str::to_owned);
    let import = import.each_ref().map(String::as_str);
    let harms = [
        Harm::Error("EIO"),
        Harm::Error("ENOSPC"),
        Harm::ErrorsFrom("EIO"),
    ];
    let calls = SYNCS.into_iter().chain(["pwrite64"]);
    let faults = calls.flat_map(|call| harms.map(|harm| (call, harm)));
    for (call, harm) in faults {
        let fault = Fault {
            call,
            harm,
            nth: 1,
            at: None,
        };
        let stride = import_stride(if call == "pwrite64" { 9 } else { 2 });
        bench.each(&import, &fault, stride, |bench, lines, exit, fault| {
            let told = added(lines);
            let fault = fault.to_string();
            assert!(exit.is_some(), "{fault}: ended by a signal");
            let lost = Trace::read(&bench.trace).relied_upon();
            assert!(lost.is_empty(), "{fault}: told without {lost:?}");
            if exit == Some(0) {
                assert_eq!(told.len(), bench.sums.len(), "{fault}");
            } else {
                let last = lines.last().expect("a word");
                assert_eq!(last["type"], "error", "{fault}: {last}");
            }
            bench.holds(&told, &fault);
            bench.completes(&told, &fault);
        });
    }
    let least = if import_stride(2) == 1 { FAULTS } else { 20 };
    bench.report(least, "failed syncs and writes of an import");
}

#[test]
fn a_home_that_takes_no_photo_is_blamed_for_it_and_not_the_photo() {
    if is_left_out() {
        return;
    }
    let mut bench = Bench::new();
    let pack = bench.device.home.join("blobs/packs/000001.pack");
    let fault = Fault {
        call: "pwrite64",
        harm: Harm::ErrorsFrom("EIO"),
        nth: 1,
        at: Some(pack),
    };
    let import = bench.import().map(str::to_owned);
    let (lines, exit, met) = bench.run(&import.each_ref().map(String::as_str), &fault);
    assert!(met, "{lines:?}");
    let last = lines.last().expect("a word");
    assert_eq!((exit, &last["id"]), (Some(1), &"E-IO".into()), "{lines:?}");
    let said = |field: &str| last[field].as_str().unwrap_or_default().to_owned();
    assert!(said("message").contains("000001.pack"), "{last}");
    assert!(said("safe").contains("is safe"), "{last}");
    assert!(said("hint").contains("disk is connected"), "{last}");
    let blamed = lines.iter().find(|line| line["outcome"] == "failed");
    assert_eq!(blamed, None);
    bench.completes(&added(&lines), "a pack that cannot be written");
    bench.device.never_panicked();
}

#[test]
fn a_second_crash_while_the_first_is_made_good_loses_nothing() {
    if is_left_out() {
        return;
    }
    let mut bench = Bench::new();
    bench.keep();
    let import = bench.import().map(str::to_owned);
    let import = import.each_ref().map(String::as_str);
    let index = bench.device.home.join("heirloom.redb");
    let (mut crashes, mut missed) = (0, 0);
    let intact = bench.before.clone();
    for nth in (1..CALLS_MAX).step_by(usize::try_from(stride(2)).expect("small")) {
        bench.before.clone_from(&intact);
        bench.again();
        let first = Fault {
            call: "fdatasync",
            harm: Harm::Kill,
            nth,
            at: Some(index.clone()),
        };
        let (lines, _, met) = bench.run(&import, &first);
        if !met {
            missed += 1;
            if missed == MISSES {
                break;
            }
            continue;
        }
        missed = 0;
        let told = added(&lines);
        bench.before = bench.homes.path().join(format!("crashed-{nth}"));
        bench.keep();
        crashes += 1;
        for call in ["fdatasync", "pwrite64", "ftruncate", "unlink"] {
            let second = Fault {
                call,
                harm: Harm::Kill,
                nth: 1,
                at: None,
            };
            bench.each(&["list"], &second, stride(2), |bench, _, _, second| {
                let fault = format!("{first}, then {second}");
                bench.holds(&told, &fault);
                bench.completes(&told, &fault);
            });
        }
    }
    assert!(crashes > 1, "only {crashes} crashes");
    bench.report(2, "kills, each second one in the start after the first");
}

#[test]
fn a_purge_killed_at_any_call_keeps_every_other_photo() {
    if is_left_out() {
        return;
    }
    let mut bench = Bench::new();
    bench.device.ok(&bench.import());
    let assets = bench.device.assets();
    let doomed = assets.iter().find(|asset| asset["name"] == "0.mp4");
    let doomed = doomed.expect("it was imported")["id"].as_str();
    let doomed = doomed.expect("an id").to_owned();
    bench.device.ok(&["trash", &doomed]);
    bench.keep();
    let others: BTreeSet<String> = bench
        .sums
        .keys()
        .filter(|path| !path.ends_with("/0.mp4"))
        .cloned()
        .collect();
    for fault in kills(&bench.device.home.clone()) {
        let purge = ["--yes", "purge", &doomed];
        bench.each(&purge, &fault, stride(6), |bench, _, _, fault| {
            bench.holds(&others, &fault.to_string());
            // It may have been done: then nothing of that name is left in the trash.
            let (summary, exit) = bench.device.run(&purge, "");
            let is_done = exit == 0 || summary["id"] == "E-NOT-FOUND";
            assert!(is_done, "{fault}: {summary}");
            assert_eq!(bench.device.assets().len(), 2, "{fault}");
            bench.holds(&others, &fault.to_string());
        });
    }
    bench.report(10, "kills of a purge at calls that change the disk");
}

#[test]
fn a_device_killed_at_any_call_of_a_sync_gets_the_rest_later() {
    if is_left_out() {
        return;
    }
    let mut bench = Bench::new();
    bench.giver = Some(Giver::of(&bench));
    bench.keep();
    let all: BTreeSet<String> = bench.sums.keys().cloned().collect();
    let calls = ["fdatasync", "pwrite64", "rename"];
    let kills = kills(&bench.device.home.clone()).into_iter();
    for fault in kills.filter(|fault| calls.contains(&fault.call) && fault.at.is_none()) {
        bench.each(&["sync"], &fault, stride(25), |bench, _, _, fault| {
            let fault = fault.to_string();
            bench.is_whole(&fault);
            let (summary, exit) = bench.device.run(&["sync"], "");
            assert_eq!(
                (exit, &summary["settled"]),
                (0, &true.into()),
                "{fault}: {summary}"
            );
            bench.holds(&all, &fault);
        });
    }
    bench.report(5, "kills of a sync at calls that change the disk");
}

/// Two devices that hold the same photos, the second one served and known to the first.
fn pair_of(homes: &Homes, photos: &Path) -> (Device, Device, Running) {
    let [a, b] = ["a", "b"].map(|name| homes.device(name));
    let mut dice = Dice::new();
    fs::create_dir(photos).expect("a folder");
    // Packed, and files of their own.
    for (name, side) in [("small.bmp", 200), ("large.bmp", 500), ("other.bmp", 600)] {
        let photo = pictures::bmp(side, &mut dice);
        fs::write(photos.join(name), photo).expect("a photo");
    }
    a.init("Berger", "Anna", "laptop");
    let node = a.serve();
    pair(&a, &["--device"], &b, "pi", link);
    a.ok(&["import", photos.to_str().expect("UTF-8"), "--album", "Rot"]);
    b.ok(&["sync"]);
    node.stop();
    let served = b.serve();
    a.forget_all();
    a.ok(&["peer", "add", &served.addresses()[0]]);
    a.ok(&["sync"]);
    (a, b, served)
}

#[test]
fn a_bad_sector_costs_one_blob_which_is_named_and_got_again() {
    if is_left_out() {
        return;
    }
    let homes = Homes::new();
    let photos = homes.path().join("photos");
    let (a, b, served) = pair_of(&homes, &photos);
    let whole = a.ok(&["verify", "--read-data"]).pop().expect("a summary");
    let blobs = crate::devices::files(&a.home.join("blobs"));
    let is_large = |path: &&PathBuf| path.file_name().is_some_and(|name| name.len() == 64);
    let large = blobs.iter().find(is_large).expect("a large blob").clone();
    let bad = |harm, at: &Path| {
        let mut sick = a.clone();
        let fault = Fault {
            call: "pread64",
            harm,
            nth: 1,
            at: Some(at.to_owned()),
        };
        Trace::arm(&mut sick, &fault, &homes.path().join("trace"));
        sick
    };
    let aside = a.home.join("blobs/quarantine");

    // Everything else is read all the same, and nothing is moved by looking.
    let looking = bad(Harm::ErrorsFrom("EIO"), &large);
    let (lines, exit) = looking.start(&["verify", "--read-data"]).all();
    let summary = lines.last().expect("a summary");
    assert_eq!((exit, &summary["damaged"]), (9, &1.into()), "{lines:?}");
    assert_eq!(summary["checked"], whole["checked"], "{lines:?}");
    assert!(Trace::read(&homes.path().join("trace")).is_injected());
    let damage = lines.iter().find(|line| line["type"] == "damage");
    let damage = damage.expect("it is named");
    assert_eq!(damage["what"], "blob", "{damage}");
    assert!(damage["asset"].is_string(), "{damage}");
    assert!(large.exists() && !aside.exists());
    a.is_whole();

    // The good copy lies elsewhere on the disk, where each thread's first read alone fails.
    let repairing = bad(Harm::Error("EIO"), &large);
    let (lines, exit) = repairing
        .start(&["verify", "--read-data", "--repair"])
        .all();
    let summary = lines.last().expect("a summary");
    let counts = (exit, &summary["damaged"], &summary["repaired"]);
    assert_eq!(counts, (0, &1.into(), &1.into()), "{lines:?}");
    assert!(Trace::read(&homes.path().join("trace")).is_injected());
    assert!(large.exists());
    assert!(crate::devices::files(&aside).is_empty());
    a.is_whole();

    // Of a pack nothing can be read any more: its blobs come again into another place.
    let pack = blobs
        .iter()
        .find(|path| path.extension().is_some_and(|e| e == "pack"));
    let pack = pack.expect("a pack");
    let repairing = bad(Harm::ErrorsFrom("EIO"), pack);
    let (lines, _) = repairing
        .start(&["verify", "--read-data", "--repair"])
        .all();
    let summary = lines.last().expect("a summary");
    assert!(summary["damaged"].as_u64() > Some(2), "{lines:?}");
    a.ok(&["sync"]);
    a.is_whole();
    for asset in a.assets() {
        assert_eq!(asset["here"]["original"], true, "{asset}");
    }
    let out = homes.path().join("out");
    a.ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]);
    let contents =
        |folder| -> BTreeSet<String> { crate::devices::sums(folder).into_keys().collect() };
    assert_eq!(contents(&out), contents(&photos));
    served.stop();
    a.never_panicked();
    b.never_panicked();
}
