//! Homes that come back from a backup, and homes that were copied and run twice, with the real
//! program: nothing is lost on any side, everybody ends with the same, and is told what happened.
#![cfg(unix)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::devices::{
    Device, Dice, Homes, LOOPBACK, Running, files, link, pair, pictures, proxy::Proxy, report,
    sums, wait_until,
};
use serde_json::Value;

/// A laptop, and a second device of the same person that is always on.
struct Family {
    homes: Homes,
    laptop: Device,
    pi: Device,
    /// Where the laptop finds the other, whatever port that has.
    proxy: Proxy,
    node: Option<Running>,
    dice: Dice,
    /// The hashes of all photos.
    photos: BTreeSet<String>,
    made: u32,
}

impl Family {
    /// Both are in step, and hold two photos.
    fn new() -> Self {
        let homes = Homes::new();
        let (laptop, pi) = (homes.device("laptop"), homes.device("pi"));
        laptop.init("Berger", "Anna", "laptop");
        laptop.ok(&["album", "create", "Summer"]);
        let node = laptop.serve();
        pair(&laptop, &["--device"], &pi, "pi", link);
        pi.ok(&["sync"]);
        drop(node);
        let mut family = Self {
            homes,
            laptop,
            pi,
            proxy: Proxy::new(),
            node: None,
            dice: Dice::new(),
            photos: BTreeSet::new(),
            made: 0,
        };
        let node = family.pi.serve();
        family.proxy.lead_to(node.port());
        let peer = node.ready["peer"].as_str().expect("a peer");
        let address = format!("{}/p2p/{peer}", family.proxy.multiaddr());
        family.laptop.know_only(&address);
        family.node = Some(node);
        family.import_on(&family.laptop.clone(), 2);
        sync(&family.laptop);
        family
    }

    fn import_on(&mut self, device: &Device, count: usize) {
        self.made += 1;
        let folder = self.homes.path().join(format!("photos-{}", self.made));
        fs::create_dir(&folder).expect("a folder");
        for number in 0..count {
            let bytes = pictures::movie(20_000 + number, &mut self.dice);
            fs::write(folder.join(format!("{}-{number}.mp4", self.made)), bytes).expect("a file");
        }
        self.photos.extend(sums(&folder).into_keys());
        let folder = folder.to_str().expect("UTF-8");
        let told = device.ok(&["import", folder, "--album", "Summer"]);
        let added = told.iter().filter(|line| line["outcome"] == "added");
        assert_eq!(added.count(), count, "{told:?}");
    }

    fn backup(&self, of: &Device) -> PathBuf {
        let backup = self.homes.path().join("backup");
        copy(&of.home, &backup);
        backup
    }

    /// Everything is on a device, byte for byte.
    #[track_caller]
    fn is_all_on(&self, device: &Device) {
        device.is_whole();
        let out = self.homes.path().join("out");
        let to = out.to_str().expect("UTF-8");
        device.ok(&["export", to, "--sidecars", "none"]);
        let exported: BTreeSet<String> = sums(&out).into_keys().collect();
        assert_eq!(exported, self.photos);
        fs::remove_dir_all(&out).expect("it was made");
        device.never_panicked();
    }

    /// The one that is always on has vouched for what forked, so that it shows everything.
    #[track_caller]
    fn wait_for_all_on_pi(&self) {
        let longest = Duration::from_secs(30);
        wait_until("everything on the pi", longest, || {
            self.pi.assets().len() == self.photos.len()
        });
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new folder");
    fs::set_permissions(to, fs::metadata(from).expect("there").permissions()).expect("its rights");
    for item in fs::read_dir(from).expect("a folder") {
        let item = item.expect("an item");
        let target = to.join(item.file_name());
        let kind = item.file_type().expect("a type");
        if kind.is_dir() {
            copy(&item.path(), &target);
        } else if kind.is_file() {
            fs::copy(item.path(), target).expect("a copy");
        }
    }
}

fn restore(device: &Device, backup: &Path) {
    fs::remove_dir_all(&device.home).expect("the newer home");
    copy(backup, &device.home);
}

#[track_caller]
fn sync(device: &Device) {
    let (summary, exit) = device.run(&["sync"], "");
    assert_eq!((exit, &summary["settled"]), (0, &true.into()), "{summary}");
}

/// What `status` says of homes that were restored or copied.
fn told_by(device: &Device) -> Vec<String> {
    let status = device.ok(&["status"]);
    let problems = status[0]["problems"].as_array().expect("problems");
    let told = problems.iter().filter_map(Value::as_str);
    let told = told.filter(|problem| problem.contains("restored from an older copy"));
    told.map(str::to_owned).collect()
}

/// The line of `doctor` about them that names a problem.
#[track_caller]
fn remedy_of(device: &Device) -> String {
    let checks = device.ok(&["doctor"]);
    let found = checks
        .iter()
        .find(|line| line["name"] == "copies" && line["ok"] == false);
    let found = found.unwrap_or_else(|| panic!("{checks:?}"));
    found["remedy"].as_str().expect("a remedy").to_owned()
}

#[test]
fn a_restored_home_learns_its_own_log_before_it_writes() {
    let mut family = Family::new();
    let laptop = family.laptop.clone();
    assert_eq!(told_by(&laptop), [""; 0]);
    let backup = family.backup(&laptop);
    family.import_on(&laptop, 2);
    sync(&laptop);

    restore(&laptop, &backup);
    assert_eq!(laptop.assets().len(), 2);
    sync(&laptop);
    assert_eq!(laptop.assets().len(), 4);
    let told = told_by(&laptop);
    assert!(
        told.len() == 1 && told[0].contains("nothing was lost"),
        "{told:?}"
    );
    assert!(
        told[0].contains("came back from the other devices"),
        "{told:?}"
    );
    family.import_on(&laptop, 1);
    sync(&laptop);
    // Where something is gone after all, nobody is told that nothing was lost.
    let logs = files(&laptop.home.join("logs")).into_iter();
    let log = logs.max_by_key(|log| fs::metadata(log).expect("there").len());
    let log = log.expect("a log");
    let whole = fs::read(&log).expect("readable");
    fs::write(&log, &whole[..whole.len() / 2]).expect("cut");
    let told = told_by(&laptop);
    assert!(
        told.len() == 1 && told[0].contains("not all that was here has come back"),
        "{told:?}"
    );
    assert!(!told[0].contains("nothing was lost"), "{told:?}");
    sync(&laptop);
    assert!(told_by(&laptop)[0].contains("nothing was lost"));
    // It wrote nothing twice, so nobody else has anything to tell.
    assert_eq!(told_by(&family.pi), [""; 0]);
    for device in [&laptop, &family.pi] {
        family.is_all_on(device);
    }
}

#[test]
fn a_restored_home_that_is_served_listens_before_it_writes() {
    let mut family = Family::new();
    let laptop = family.laptop.clone();
    let backup = family.backup(&laptop);
    family.import_on(&laptop, 2);
    sync(&laptop);

    restore(&laptop, &backup);
    let node = laptop.serve();
    // At once, with no time to be found by hand.
    family.import_on(&laptop, 1);
    family.wait_for_all_on_pi();
    assert_eq!(told_by(&laptop).len(), 1);
    assert_eq!(told_by(&family.pi), [""; 0]);
    node.stop();
    sync(&laptop);
    for device in [&laptop, &family.pi] {
        family.is_all_on(device);
    }
}

#[test]
fn a_restored_home_that_writes_alone_heals_when_it_meets_another() {
    let mut family = Family::new();
    let laptop = family.laptop.clone();
    let backup = family.backup(&laptop);
    family.import_on(&laptop, 2);
    sync(&laptop);

    restore(&laptop, &backup);
    family.node.take().expect("it runs").stop();
    family.import_on(&laptop, 3);
    assert_eq!(laptop.assets().len(), 5);
    let node = family.pi.serve();
    family.proxy.lead_to(node.port());
    family.node = Some(node);
    sync(&laptop);
    let told = told_by(&laptop);
    assert!(
        told.len() == 1 && told[0].contains("nothing was lost"),
        "{told:?}"
    );
    let told = told_by(&family.pi);
    assert!(told.len() == 1 && told[0].contains("laptop"), "{told:?}");

    family.wait_for_all_on_pi();
    sync(&laptop);
    for device in [&laptop, &family.pi] {
        family.is_all_on(device);
    }
    // It goes on as before.
    family.import_on(&laptop, 1);
    sync(&laptop);
    for device in [&laptop, &family.pi] {
        family.is_all_on(device);
    }
}

#[test]
fn a_home_that_runs_twice_is_found_out_in_two_rounds_and_loses_nothing() {
    let mut family = Family::new();
    let laptop = family.laptop.clone();
    let mut clone = laptop.clone();
    clone.home = family.homes.path().join("clone");
    copy(&laptop.home, &clone.home);
    let pi = family.pi.clone();
    let both = [laptop, clone];
    for _ in 0..2 {
        for device in &both {
            family.import_on(device, 2);
            sync(device);
        }
    }
    for device in &both {
        let told = told_by(device);
        assert!(told.len() == 1 && told[0].contains("This home"), "{told:?}");
        assert!(remedy_of(device).contains("heirloom invite --device"));
    }
    let told = told_by(&pi);
    assert!(told.len() == 1 && told[0].contains("laptop"), "{told:?}");
    assert!(remedy_of(&pi).contains("stop one of them"));
    family.wait_for_all_on_pi();
    for device in &both {
        sync(device);
        family.is_all_on(device);
    }
    family.is_all_on(&pi);
}

/// A laptop and a device of the same person whose key comes after the laptop's: the laptop opens their sessions.
fn led_by_the_laptop() -> (Homes, Device, Device) {
    let key = |device: &Device| device.ok(&["status"])[0]["device"].clone();
    loop {
        let homes = Homes::new();
        let (laptop, pi) = (homes.device("laptop"), homes.device("pi"));
        laptop.init("Berger", "Anna", "laptop");
        let node = laptop.serve();
        pair(&laptop, &["--device"], &pi, "pi", link);
        pi.ok(&["sync"]);
        node.stop();
        if key(&laptop).as_str() < key(&pi).as_str() {
            return (homes, laptop, pi);
        }
    }
}

#[test]
fn two_nodes_that_run_on_copies_of_a_home_at_once_both_get_their_turn() {
    let (homes, laptop, pi) = led_by_the_laptop();
    let mut clone = pi.clone();
    clone.home = homes.path().join("clone");
    copy(&pi.home, &clone.home);
    let node = laptop.serve();
    let peer = node.ready["peer"].as_str().expect("a peer");
    let address = format!("/ip4/127.0.0.1/tcp/{}/p2p/{peer}", node.port());
    let mut dice = Dice::new();
    let mut add = |device: &Device, name: &str| {
        let movie = homes.path().join(name);
        fs::write(&movie, pictures::movie(20_000, &mut dice)).expect("a file");
        device.ok(&["import", movie.to_str().expect("UTF-8")]);
    };
    add(&pi, "pi.mp4");
    add(&clone, "clone.mp4");
    let both = [&pi, &clone];
    both.iter().for_each(|device| device.know_only(&address));
    let nodes = both.map(Device::serve);
    // While both run on, and not only where one is off for a while.
    let longest = Duration::from_secs(120);
    wait_until("everything on all three", longest, || {
        let has_all = |device: &Device| {
            let assets = device.assets();
            assets.len() == 2 && assets.iter().all(|asset| asset["here"]["original"] == true)
        };
        has_all(&laptop) && has_all(&pi) && has_all(&clone)
    });
    nodes.into_iter().for_each(Running::stop);
    node.stop();
}

/// Two nodes that wrote to one home would both be its only writer.
#[test]
fn of_a_hundred_nodes_started_at_once_on_a_home_one_runs() {
    let homes = Homes::new();
    let device = homes.device("a");
    device.init("Berger", "Anna", "laptop");
    let args = ["--no-gallery", "--no-discovery", "--listen", LOOPBACK];
    let args = [&["serve"], &args[..]].concat();
    let started: Vec<_> = (0..100).map(|_| device.start(&args)).collect();
    let mut running = Vec::new();
    for mut node in started {
        let line = node.next().expect("a line");
        if line["type"] == "ready" {
            running.push(node);
            continue;
        }
        let (_, exit) = node.end();
        assert_eq!((line["id"].as_str(), exit), (Some("E-LOCKED"), 7), "{line}");
    }
    assert_eq!(running.len(), 1);
    report("100 nodes started at once on one home: one runs, 99 say that it is taken");
}

/// Lays a kept home into a folder, private as a home has to be.
fn lay(from: &Path, to: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for file in crate::devices::files(from) {
        let target = to.join(file.strip_prefix(from).expect("it lies below"));
        let folders = target.ancestors().skip(1);
        fs::create_dir_all(target.parent().expect("a folder")).expect("made");
        for folder in folders.take_while(|folder| folder.starts_with(to)) {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("made private");
        }
        fs::copy(&file, &target).expect("copied");
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).expect("made private");
    }
}

/// The homes that released versions left, by their names.
fn kept_homes() -> BTreeSet<String> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/homes");
    let items = fs::read_dir(&kept).expect("a folder").map_while(Result::ok);
    let homes = items.filter(|item| item.path().is_dir());
    homes
        .map(|home| home.file_name().into_string().expect("UTF-8"))
        .collect()
}

/// What a version wrote is read by every later one: beside each home stands what was in it.
#[test]
fn the_home_of_every_released_version_opens_with_all_that_was_in_it() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/homes");
    let homes = Homes::new();
    let versions = kept_homes();
    assert!(versions.contains("0.1"), "{versions:?}");
    let mut photos = 0;
    for version in &versions {
        let device = homes.device(version);
        lay(&kept.join(version), &device.home);
        device.is_whole();
        let assets = device.assets();
        let told: Vec<_> = assets
            .iter()
            .map(|asset| ["name", "albums", "caption", "tags", "by", "blake3"].map(|f| &asset[f]))
            .map(|fields| serde_json::json!(fields))
            .collect();
        let wanted = fs::read_to_string(kept.join(format!("{version}.json")));
        let wanted = wanted.unwrap_or_else(|_| panic!("nothing says what was in {version}"));
        let wanted: Vec<Value> = serde_json::from_str(&wanted).expect("rows of fields");
        assert!(!wanted.is_empty(), "{version}");
        assert_eq!(told, wanted, "{version}");
        photos += wanted.len();
        let out = homes.path().join(format!("out-{version}"));
        device.ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]);
        let originals: BTreeSet<_> = crate::devices::files(&out)
            .iter()
            .map(|file| blake3::hash(&fs::read(file).expect("readable")).to_string())
            .collect();
        let sums = wanted.iter().map(|row| row[5].as_str().expect("a hash"));
        assert_eq!(originals, sums.map(str::to_owned).collect(), "{version}");
    }
    report(&format!(
        "homes of {} released versions opened, with {photos} photos",
        versions.len()
    ));
}
