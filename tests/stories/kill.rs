//! Two devices, either of which is killed again and again in the middle of its work.
//!
//! Whatever was acknowledged is there in the end, byte for byte, with no repair
//! by hand; what had arrived is not sent again, and a kill costs no more than
//! what was asked for and had not come. `HEIRLOOM_KILLS` says how many kills,
//! `HEIRLOOM_SEED` brings the moments of a run back.
#![cfg(unix)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::devices::{
    Device, Dice, Homes, Running, alike, asked, files, link, pair, pictures, proxy::Proxy, report,
};
use heirloom_protocol::crypto::{
    Class,
    shape::{ciphertext_len, padded_len},
};
use serde_json::Value;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// Small blobs that were asked for and have not come: two requests of 4 MiB.
const ASKED: u64 = 8 * MIB;
/// Of a large blob: 64 leaves in flight, and what came since the last note of what is durable.
const ASKED_OF_LARGE: u64 = 4 * MIB + 8 * MIB;
/// Whoever has got everything asks the other to show leaves of up to 32 originals.
const AUDIT: u64 = 32 * 64 * KIB;
/// The most a picture of a test's tiny photo takes.
const PICTURE: u64 = 64 * KIB;
/// Kills of the import of the large file.
const LARGE_IMPORTS: u64 = 3;

fn kills() -> u64 {
    asked("HEIRLOOM_KILLS", 50)
}

/// What entries, requests and framing may take beside `bytes` of blobs.
fn beside(bytes: u64) -> u64 {
    512 * KIB + bytes / 50
}

/// The bytes of a file's blob.
fn blob_of(bytes: u64) -> u64 {
    ciphertext_len(padded_len(Class::Original, bytes).expect("it is small enough"))
}

/// When a device is killed: at a progress that was seen.
enum Moment {
    /// After so many lines about files.
    Lines(u64),
    /// As soon as a folder of the home has grown by so many bytes.
    Grown(&'static str, u64),
}

impl Moment {
    fn random(dice: &mut Dice) -> Self {
        match dice.within(0, 4) {
            0 => Self::Lines(dice.within(0, 6)),
            // Between the entry and the word that it is safe.
            1 => Self::Grown("logs", 1),
            _ => Self::Grown("blobs", dice.within(1, 600 * KIB)),
        }
    }
}

/// A device with the files it is to keep.
struct Side {
    device: Device,
    source: PathBuf,
    made: u64,
    /// Files that were said to be safe.
    told: BTreeSet<String>,
}

impl Side {
    fn new(homes: &Homes, name: &str) -> Self {
        let source = homes.path().join(format!("{name}-photos"));
        fs::create_dir(&source).expect("a folder");
        Self {
            device: homes.device(name),
            source,
            made: 0,
            told: BTreeSet::new(),
        }
    }

    fn make(&mut self, extension: &str, bytes: &[u8]) {
        self.made += 1;
        let name = format!("{:04}.{extension}", self.made);
        fs::write(self.source.join(name), bytes).expect("a file");
    }

    fn make_photos(&mut self, count: u64, dice: &mut Dice) {
        for _ in 0..count {
            let side = u32::try_from(dice.within(82, 110)).expect("small");
            self.make("bmp", &pictures::bmp(side, dice));
        }
    }

    fn make_movies(&mut self, count: u64, largest: u64, dice: &mut Dice) {
        for _ in 0..count {
            let bytes = usize::try_from(dice.within(20 * KIB, largest)).expect("small");
            self.make("mp4", &pictures::movie(bytes, dice));
        }
    }

    fn start_import(&self) -> Running {
        let source = self.source.to_str().expect("UTF-8");
        self.device.start(&["import", source, "--album", "Kills"])
    }

    /// Takes note of what an import said; what was safe once is never new again.
    #[track_caller]
    fn hear(&mut self, lines: &[Value]) {
        for line in lines.iter().filter(|line| line["type"] == "file") {
            let path = line["path"].as_str().expect("a path").to_owned();
            match line["outcome"].as_str() {
                Some("added") => assert!(self.told.insert(path), "lost: {line}"),
                Some("present") => drop(self.told.insert(path)),
                _ => panic!("{line}"),
            }
        }
    }

    /// Imports everything to the end.
    #[track_caller]
    fn import(&mut self) {
        let (lines, exit) = self.start_import().all();
        assert_eq!(exit, 0, "{:?}", lines.last());
        self.hear(&lines);
        assert_eq!(self.told.len(), files(&self.source).len());
    }

    /// Kills an import at a moment, with the node that works on it; false when it was faster.
    fn kill_import(&mut self, moment: &Moment, is_served: bool) -> bool {
        let node = is_served.then(|| self.device.serve());
        let grown = |folder: &str| size(&self.device.home.join(folder));
        let before = match moment {
            Moment::Grown(folder, _) => grown(folder),
            Moment::Lines(_) => 0,
        };
        let mut import = self.start_import();
        let mut lines = Vec::new();
        let mut heard = 0;
        let came = loop {
            let is_now = match moment {
                Moment::Lines(wanted) => heard >= *wanted,
                Moment::Grown(folder, bytes) => grown(folder) >= before + bytes,
            };
            if is_now {
                break true;
            }
            match import.come() {
                Some(line) => {
                    heard += u64::from(line["type"] == "file");
                    lines.push(line);
                }
                None if import.has_ended() => break false,
                None => std::thread::yield_now(),
            }
        };
        // What came last still counts: it was said.
        match node {
            Some(node) => {
                node.kill();
                lines.extend(import.all().0);
            }
            None => lines.extend(import.kill()),
        }
        self.hear(&lines);
        came
    }
}

fn size(folder: &Path) -> u64 {
    let size = |path: PathBuf| fs::metadata(path).map_or(0, |found| found.len());
    files(folder).into_iter().map(size).sum()
}

/// What of an asset is on a device, by the hash of its original.
type Here = BTreeMap<String, (u64, [bool; 3])>;

fn here(device: &Device) -> Here {
    let flag = |asset: &Value, class: &str| asset["here"][class] == true;
    let row = |asset: &Value| {
        let hash = asset["blake3"].as_str().expect("a hash").to_owned();
        let flags = ["original", "preview", "thumbnail"].map(|class| flag(asset, class));
        (hash, (asset["bytes"].as_u64().expect("a size"), flags))
    };
    device.assets().iter().map(row).collect()
}

fn blobs(here: &Here) -> usize {
    here.values()
        .flat_map(|(_, flags)| flags)
        .filter(|flag| **flag)
        .count()
}

/// The bytes of the blobs that are in `after` and not in `before`, pictures counted high.
fn gained(before: &Here, after: &Here) -> u64 {
    let none = (0, [false; 3]);
    let gain = |(hash, (bytes, now)): (&String, &(u64, [bool; 3]))| {
        let (_, was) = before.get(hash).unwrap_or(&none);
        let new = |class: usize| now[class] && !was[class];
        u64::from(new(0)) * blob_of(*bytes) + (u64::from(new(1)) + u64::from(new(2))) * PICTURE
    };
    after.iter().map(gain).sum()
}

/// Both devices, with a proxy that is the only way from the second to the first.
///
/// Each sync has both at other ports than before, so what they told each other of where they listen
/// does not lead around the proxy.
struct Pair {
    a: Side,
    b: Side,
    proxy: Proxy,
    a_node: Option<Running>,
    dice: Dice,
    killed: u64,
}

impl Pair {
    fn new(homes: &Homes) -> Self {
        let (a, b) = (Side::new(homes, "a"), Side::new(homes, "b"));
        a.device.init("Berger", "Anna", "laptop");
        a.device.ok(&["album", "create", "Kills"]);
        let node = a.device.serve();
        pair(&a.device, &["--device"], &b.device, "pi", link);
        let peer = node.ready["peer"].as_str().expect("a peer").to_owned();
        drop(node);
        let proxy = Proxy::new();
        b.device
            .know_only(&format!("{}/p2p/{peer}", proxy.multiaddr()));
        let mut pair = Self {
            a,
            b,
            proxy,
            a_node: None,
            dice: Dice::new(),
            killed: 0,
        };
        // The second device gets the keys of its person's albums.
        pair.sync();
        pair
    }

    fn serve(&mut self) {
        self.a_node = None;
        let node = self.a.device.serve();
        self.proxy.lead_to(node.port());
        self.a_node = Some(node);
    }

    /// Exchanges everything: the second device's summary, and the bytes that passed.
    #[track_caller]
    fn sync(&mut self) -> (Value, u64) {
        self.serve();
        let before = self.proxy.back();
        let (summary, exit) = self.b.device.run(&["sync"], "");
        assert_eq!((exit, &summary["settled"]), (0, &true.into()), "{summary}");
        (summary, self.proxy.back() - before)
    }

    /// Kills one of the two when so many bytes have come; the bytes that came, and whether it was
    /// killed before everything was there. Who is left is told to stop.
    fn kill_sync(&mut self, bytes: u64, is_b: bool) -> (u64, bool) {
        let before = self.proxy.back();
        self.serve();
        self.proxy.hold_after(bytes);
        let mut sync = self.b.device.start(&["sync"]);
        let came = loop {
            if self.proxy.is_held_within(Duration::from_millis(20)) {
                break true;
            }
            if sync.has_ended() {
                break false;
            }
        };
        match (came, is_b) {
            (true, true) => drop(sync.kill()),
            (true, false) => {
                self.a_node.take().expect("it runs").kill();
                self.proxy.sever();
                sync.interrupt();
            }
            (false, _) => {}
        }
        self.killed += u64::from(came);
        self.proxy.sever();
        (self.proxy.back() - before, came)
    }

    fn kill_imports(&mut self, kills: u64) {
        self.a_node = None;
        let until = self.killed + kills;
        while self.killed < until {
            let dice = &mut self.dice;
            let side = if dice.within(0, 3) == 0 {
                &mut self.b
            } else {
                &mut self.a
            };
            side.make_photos(2, dice);
            side.make_movies(2, 500 * KIB, dice);
            let moment = Moment::random(dice);
            self.killed += u64::from(side.kill_import(&moment, dice.coin()));
        }
        self.a.import();
        self.b.import();
    }

    /// Kills in the exchange of many blobs, each bounded by what can have been asked for.
    fn kill_small(&mut self, kills: u64) {
        let until = self.killed + kills;
        let mut before = here(&self.b.device);
        while self.killed < until {
            let is_long = self.dice.within(0, 3) == 0;
            let bytes = match is_long {
                true => self.dice.within(9 * MIB, 13 * MIB),
                false => self.dice.within(0, 2 * MIB),
            };
            let is_b = self.dice.coin();
            let (passed, came) = self.kill_sync(bytes, is_b);
            let after = here(&self.b.device);
            let gained = gained(&before, &after);
            assert!(
                passed <= gained + ASKED + beside(passed),
                "{passed} bytes came and {gained} of them are there"
            );
            before = after;
            if !came {
                self.a.make_movies(60, 900 * KIB, &mut self.dice);
                self.a.import();
            }
        }
    }

    /// What is left comes, and nothing of what was there.
    #[track_caller]
    fn finish(&mut self) {
        let before = here(&self.b.device);
        let (summary, passed) = self.sync();
        let after = here(&self.b.device);
        let lacked = blobs(&after) - blobs(&before);
        assert_eq!(summary["blobs_received"], lacked, "{summary}");
        let gained = gained(&before, &after);
        let most = gained + AUDIT + beside(passed);
        assert!(passed <= most, "{passed} for {gained}");
    }

    /// One large file: killed while it is taken in, then while it is sent.
    fn kill_large(&mut self) {
        let bytes = usize::try_from(40 * MIB + self.dice.within(0, MIB)).expect("small");
        self.a.make("mp4", &pictures::movie(bytes, &mut self.dice));
        self.a_node = None;
        for _ in 0..LARGE_IMPORTS {
            let grown = self.dice.within(MIB, 38 * MIB);
            let is_served = self.dice.coin();
            let moment = Moment::Grown("blobs", grown);
            self.killed += u64::from(self.a.kill_import(&moment, is_served));
        }
        self.a.import();
        let killed = self.killed;
        let before = here(&self.b.device);
        let mut total = 0;
        loop {
            // More than a kill may cost, so that one who begins anew each time is found out.
            let bytes = self.dice.within(14 * MIB, 24 * MIB);
            let is_b = self.dice.coin();
            let (passed, came) = self.kill_sync(bytes, is_b);
            total += passed;
            if !came {
                break;
            }
            assert!(
                self.killed - killed < 20,
                "the large file never comes whole"
            );
        }
        let needed = gained(&before, &here(&self.b.device));
        assert!(needed >= 40 * MIB, "it came whole");
        let kills = self.killed - killed;
        assert!(kills > 0, "it was interrupted");
        let most = needed + kills * ASKED_OF_LARGE + (kills + 1) * beside(needed);
        assert!(
            total <= most,
            "{total} bytes for {needed} with {kills} kills"
        );
    }
}

/// How an index is lost.
const LOSSES: [&str; 5] = ["deleted", "cut short", "zeros", "noise", "empty"];

fn lose(index: &Path, how: &str, dice: &mut Dice) {
    let len = fs::metadata(index).expect("the index").len();
    let len = usize::try_from(len).expect("a small index");
    match how {
        "deleted" => fs::remove_file(index),
        "cut short" => fs::write(index, &fs::read(index).expect("the index")[..len / 3]),
        "zeros" => fs::write(index, vec![0; len]),
        "noise" => fs::write(index, dice.bytes(len)),
        _ => fs::write(index, b""),
    }
    .expect(how);
}

/// The names of the logs that a device holds: another one shows a fork or a new incarnation.
fn logs(device: &Device) -> BTreeSet<PathBuf> {
    let root = device.home.join("logs");
    let within = |path: &PathBuf| path.strip_prefix(&root).expect("in it").to_owned();
    files(&root).iter().map(within).collect()
}

/// What people see besides photos.
fn said(device: &Device) -> Vec<String> {
    let lists: [&[&str]; 3] = [&["album", "list"], &["people", "list"], &["device", "list"]];
    let lines = lists.iter().flat_map(|args| device.ok(args));
    let mut said: Vec<_> = lines
        .map(|mut line| {
            let fields = line.as_object_mut().expect("an object");
            // What is known of the others' state is no part of the logs.
            for field in ["last_seen", "connected", "free", "full", "behind"] {
                fields.remove(field);
            }
            line.to_string()
        })
        .collect();
    said.sort();
    said
}

#[test]
fn a_lost_index_is_made_again_and_no_peer_sees_a_fork() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let (mut side, other) = (Side::new(&homes, "a"), homes.device("b"));
    side.device.init("Berger", "Anna", "laptop");
    side.device.ok(&["album", "create", "Kills"]);
    let node = side.device.serve();
    pair(&side.device, &["--device"], &other, "pi", link);
    // Small blobs lie in packs, larger ones in files of their own.
    side.make_photos(3, &mut dice);
    side.make_movies(3, 900 * KIB, &mut dice);
    side.import();
    let ids: Vec<String> = side
        .device
        .assets()
        .iter()
        .map(|asset| asset["id"].as_str().expect("an id").to_owned())
        .collect();
    side.device.ok(&["caption", &ids[0], "the old house"]);
    side.device.ok(&["favorite", &ids[1]]);
    side.device.ok(&["tag", &ids[2], "--add", "sea"]);
    side.device.ok(&["trash", &ids[3]]);
    side.device.ok(&["album", "rename", "Kills", "Kills again"]);
    other.ok(&["sync"]);
    node.stop();
    let out = homes.path().join("out");
    let to = out.to_str().expect("UTF-8");
    let camera = homes.path().join("Camera");
    fs::create_dir(&camera).expect("a folder");
    let dir = camera.to_str().expect("UTF-8");
    side.device
        .ok(&["watch", "add", dir, "--album", "Kills again"]);
    side.device.ok(&["keep", "set", "--copies", "3"]);
    let set = |device: &Device| {
        let mut followed = device.ok(&["watch", "list"]);
        followed.extend(device.ok(&["keep", "show"]).pop());
        followed
    };
    let settings = set(&side.device);
    assert_eq!(settings[0]["dir"], dir, "{settings:?}");
    for how in LOSSES {
        let (assets, seen) = (side.device.assets(), said(&side.device));
        let (before, names) = (here(&side.device), logs(&side.device));
        assert!(before.values().all(|(_, [original, ..])| *original));
        lose(&side.device.home.join("heirloom.redb"), how, &mut dice);
        assert_eq!(alike(&side.device.assets()), alike(&assets), "{how}");
        assert_eq!(set(&side.device), settings, "{how}");
        assert_eq!(here(&side.device), before, "{how}");
        assert_eq!(said(&side.device), seen, "{how}");
        side.device.is_whole();
        // It goes on in the same logs, and the other device follows.
        side.device.ok(&["caption", &ids[0], how]);
        side.device.ok(&["album", "create", how]);
        let node = side.device.serve();
        let address = node.addresses()[0].clone();
        other.know_only(&address);
        other.ok(&["sync"]);
        node.stop();
        let mut more = names.clone();
        more.extend(logs(&side.device));
        let spaces = |logs: &BTreeSet<PathBuf>| -> BTreeSet<PathBuf> {
            logs.iter()
                .filter_map(|log| log.parent().map(Path::to_owned))
                .collect()
        };
        // A log in the new album, and no other.
        assert_eq!(more.len(), names.len() + 1, "{how}");
        assert_eq!(spaces(&more).len(), spaces(&names).len() + 1, "{how}");
        assert_eq!(logs(&other), logs(&side.device), "{how}");
        assert_eq!(
            alike(&other.assets()),
            alike(&side.device.assets()),
            "{how}"
        );
    }
    side.device.ok(&["restore", &ids[3]]);
    side.device.ok(&["export", to, "--sidecars", "none"]);
    let sums = |folder: &Path| crate::devices::sums(folder).into_keys().collect::<Vec<_>>();
    assert_eq!(sums(&out), sums(&side.source));
    side.device.never_panicked();
    other.never_panicked();
}

#[test]
fn whoever_is_killed_nothing_that_was_acknowledged_is_lost_or_sent_again() {
    let started = Instant::now();
    let kills = kills();
    let homes = Homes::new();
    let mut pair = Pair::new(&homes);
    pair.kill_imports(kills / 2);
    pair.kill_large();
    let left = kills.saturating_sub(pair.killed);
    pair.kill_small(left);
    pair.finish();
    // Everything is there: whoever is killed once more, nothing comes again.
    pair.serve();
    pair.a_node.take().expect("it runs").kill();
    let (summary, passed) = pair.sync();
    assert_eq!(summary["blobs_received"], 0, "{summary}");
    assert!(
        passed <= beside(0),
        "{passed} bytes when nothing was lacking"
    );
    pair.a_node = None;

    let (at_a, at_b) = (pair.a.device.assets(), pair.b.device.assets());
    assert_eq!(alike(&at_a), alike(&at_b));
    assert_eq!(here(&pair.a.device), here(&pair.b.device));
    let sources: BTreeSet<String> = [&pair.a, &pair.b]
        .iter()
        .flat_map(|side| crate::devices::sums(&side.source).into_keys())
        .collect();
    assert_eq!(at_a.len(), sources.len());
    for (side, out) in [(&pair.a, "out-a"), (&pair.b, "out-b")] {
        side.device.is_whole();
        let out = homes.path().join(out);
        let to = out.to_str().expect("UTF-8");
        let (lines, exit) = side
            .device
            .start(&["export", to, "--sidecars", "none"])
            .all();
        let failed = lines.iter().find(|line| line["outcome"] == "failed");
        assert_eq!((exit, failed), (0, None), "{out:?}");
        let exported: BTreeSet<String> = crate::devices::sums(&out).into_keys().collect();
        assert_eq!(exported, sources);
        side.device.never_panicked();
    }
    report(&format!(
        "{} kills, {} files, {:?}",
        pair.killed,
        sources.len(),
        started.elapsed()
    ));
}
