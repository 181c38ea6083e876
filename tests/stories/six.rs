//! A family of six devices that lives: photos come and go on all of them at once, and every few moments
//! one of them is killed or switched off for a while, or the line of a home is cut, one-way or slow.
//!
//! In the end all show the same, every photo that was said to be safe is on every device, byte for byte, on the
//! keeper too, from which a new device restores it with the words; and every home is whole.
//! `HEIRLOOM_FAMILY_SECONDS` says how long it lives (15), `HEIRLOOM_SEED` brings a life back as far as
//! processes let it.
#![cfg(unix)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::devices::{
    Device, Dice, Homes, Running, alike, asked, link, pair, pictures, report, sha256, sums,
    wait_until,
};
use serde_json::{Value, json};

use super::ground::Ground;

/// How long the network may need to make all alike when nothing happens any more.
const REST: Duration = Duration::from_secs(120);

fn seconds() -> u64 {
    asked("HEIRLOOM_FAMILY_SECONDS", 15)
}

/// One device, on or off.
struct Member {
    name: &'static str,
    device: Device,
    port: u16,
    node: Option<Running>,
    is_keeper: bool,
    /// Whether it is alone on this machine, and not in a home with a network of its own.
    is_local: bool,
}

impl Member {
    /// Serves at the same port each time, as a device at home does.
    fn on(&mut self) {
        let port = self.port.to_string();
        let listen = format!("/ip4/127.0.0.1/tcp/{port}");
        let mut args = vec!["--no-discovery"];
        args.extend(match self.is_local {
            true => ["--listen", &listen],
            false => ["--port", &port],
        });
        args.extend((self.is_keeper && !self.is_local).then_some("--relay"));
        let node = self.device.serve_with(&args);
        self.port = node.port();
        self.node = Some(node);
    }
}

struct Family {
    homes: Homes,
    members: Vec<Member>,
    dice: Dice,
    made: u32,
    /// The photos that were said to be safe, by their hash.
    safe: BTreeSet<String>,
    acts: BTreeMap<&'static str, u32>,
    words: String,
    /// Last: its networks go after what runs in them.
    ground: Ground,
}

impl Family {
    fn new() -> Self {
        let (homes, mut dice) = (Homes::new(), Dice::new());
        let ground = Ground::new(&mut dice);
        let names = ["laptop", "phone", "pc", "tablet", "mac", "nas"];
        let member = |(name, port)| {
            let mut device = homes.device(name);
            ground.settle(&mut device);
            Member {
                name,
                device,
                port: if ground.is_wide() { port } else { 0 },
                node: None,
                is_keeper: name == "nas",
                is_local: !ground.is_wide(),
            }
        };
        let mut members: Vec<_> = names.into_iter().zip(4001..).map(member).collect();
        let who = [
            "--family", "Berger", "--person", "Anna", "--device", "laptop",
        ];
        let made = members[0].device.ok(&[&["init"], &who[..]].concat()).pop();
        let words = made.expect("a summary")["recovery"].clone();
        let words: Vec<_> = words.as_array().into_iter().flatten().collect();
        let words: Vec<_> = words.into_iter().filter_map(Value::as_str).collect();
        let words = words.join(" ");
        members[0].on();
        for (joiner, inviter, whom) in [
            (1, 0, &["--device"][..]),
            (2, 0, &["--person", "Ben"]),
            (3, 2, &["--device"]),
            (4, 0, &["--person", "Cara"]),
            (5, 0, &["--keeper", "nas"]),
        ] {
            let name = members[joiner].name;
            pair(
                &members[inviter].device,
                whom,
                &members[joiner].device,
                name,
                link,
            );
            members[joiner].on();
        }
        let mut family = Self {
            homes,
            members,
            dice,
            made: 0,
            safe: BTreeSet::new(),
            acts: BTreeMap::new(),
            words,
            ground,
        };
        if family.ground.is_wide() {
            family.go_home();
        }
        family
    }

    /// All but the keeper go to one of two homes, and know the way to the keeper alone.
    fn go_home(&mut self) {
        let nas = self.members[5].node.as_ref().expect("it is on");
        let peer = nas.ready["peer"].as_str().expect("a peer").to_owned();
        let address = self.ground.address(self.members[5].port, &peer);
        // Nobody takes the address of a device that they have not heard of.
        let keeper = self.members[5].device.ok(&["status"])[0]["device"].clone();
        for member in &self.members[..5] {
            wait_until("all have heard of the keeper", REST, || {
                let devices = member.device.ok(&["device", "list"]);
                devices.iter().any(|line| line["id"] == keeper)
            });
        }
        for (at, member) in self.members[..5].iter_mut().enumerate() {
            member.node.take().expect("it is on").stop();
            member.device.prefix = self.ground.home(at % 2);
            member.device.know_only(&address);
        }
        for member in &mut self.members[..5] {
            member.on();
        }
    }

    fn did(&mut self, act: &'static str) {
        *self.acts.entry(act).or_default() += 1;
    }

    /// A device that is on and not a keeper.
    fn somebody(&mut self) -> Option<usize> {
        let on = |member: &Member| member.node.is_some() && !member.is_keeper;
        let on: Vec<_> = (0..self.members.len())
            .filter(|at| on(&self.members[*at]))
            .collect();
        let nth = self
            .dice
            .within(0, u64::try_from(on.len()).expect("six").max(1));
        on.get(usize::try_from(nth).expect("six")).copied()
    }

    fn photos(&mut self, count: u64) -> Vec<PathBuf> {
        (0..count)
            .map(|_| {
                self.made += 1;
                let path = self.homes.path().join(format!("photo-{}.bmp", self.made));
                let side = u32::try_from(self.dice.within(8, 300)).expect("small");
                fs::write(&path, pictures::bmp(side, &mut self.dice)).expect("written");
                path
            })
            .collect()
    }

    /// Photos on one device; where `killed`, its node is killed as soon as the first is safe.
    fn import(&mut self, killed: bool) {
        let Some(at) = self.somebody() else { return };
        let count = self.dice.within(1, 5);
        let photos = self.photos(count);
        let paths = photos.iter().map(|path| path.to_str().expect("UTF-8"));
        let args: Vec<_> = ["import", "--album", "Family"]
            .into_iter()
            .chain(paths)
            .collect();
        let mut import = self.members[at].device.start(&args);
        let mut lines = Vec::new();
        if killed {
            lines.extend(import.next());
            if let Some(node) = self.members[at].node.take() {
                node.kill();
            }
        }
        let (rest, _) = import.fate();
        lines.extend(rest);
        for line in lines.iter().filter(|line| line["outcome"] == "added") {
            let path = line["path"].as_str().expect("a path");
            self.safe
                .insert(sha256(&fs::read(path).expect("it was written")));
        }
        if killed {
            self.members[at].on();
        }
        self.did(if killed { "killed imports" } else { "imports" });
    }

    /// Something said about a photo that the device shows.
    fn say(&mut self) {
        let Some(at) = self.somebody() else { return };
        let assets = self.members[at].device.assets();
        if assets.is_empty() {
            return;
        }
        let nth = self
            .dice
            .within(0, u64::try_from(assets.len()).expect("few"));
        let asset = &assets[usize::try_from(nth).expect("few")];
        let id = asset["id"].as_str().expect("an id").to_owned();
        let word = self.dice.word(8);
        let (act, args): (_, Vec<&str>) = match self.dice.within(0, 5) {
            0 => ("captions", vec!["caption", &id, &word]),
            1 => ("favourites", vec!["favorite", &id]),
            2 => ("tags", vec!["tag", &id, "--add", &word]),
            3 => ("comments", vec!["comment", &id, &word]),
            _ => ("trashed", vec!["--yes", "trash", &id]),
        };
        // Who may not do it is told so.
        let _ = self.members[at].device.run(&args, "");
        self.did(act);
    }

    /// One device is killed, or switched off for a while, or on again; or the line of a home is bad for a while.
    fn shake(&mut self) {
        let at = usize::try_from(self.dice.within(0, 8)).expect("six");
        if at >= self.members.len() {
            if let Some(what) = self.ground.shake(at % 2, &mut self.dice) {
                self.did(what);
            }
            return;
        }
        let is_kill = self.dice.coin();
        match self.members[at].node.take() {
            None => {
                self.members[at].on();
                self.did("on again");
            }
            Some(node) if is_kill => {
                node.kill();
                self.members[at].on();
                self.did("kills");
            }
            Some(node) => {
                node.stop();
                self.did("off");
            }
        }
    }

    fn live(&mut self, long: Duration) {
        let began = Instant::now();
        while began.elapsed() < long {
            match self.dice.within(0, 10) {
                0..=2 => self.import(false),
                3 => self.import(true),
                4..=7 => self.say(),
                _ => self.shake(),
            }
        }
    }

    /// All are on, and show and hold the same.
    fn rest(&mut self) {
        self.ground.calm();
        for member in &mut self.members {
            if member.node.is_none() {
                member.on();
            }
        }
        let readers: Vec<_> = self
            .members
            .iter()
            .filter(|member| !member.is_keeper)
            .collect();
        let began = Instant::now();
        loop {
            let shown: Vec<_> = readers
                .iter()
                .map(|member| everything(&member.device))
                .collect();
            let first = alike(&shown[0]);
            let lacks = |assets: &Vec<Value>| {
                let lacking = assets
                    .iter()
                    .filter(|asset| asset["here"]["original"] != true);
                (alike(assets) == first, assets.len(), lacking.count())
            };
            let states: Vec<_> = shown.iter().map(lacks).collect();
            let count = shown[0].len();
            // Each photo is an original, a preview and a thumbnail; who was killed may have made one twice.
            let kept = kept(&self.members[5].device);
            let is_all_kept = kept >= u64::try_from(count * 3).expect("few");
            let is_alike = states.iter().all(|state| *state == (true, count, 0));
            if is_alike && is_all_kept && count >= self.safe.len() {
                break;
            }
            assert!(
                began.elapsed() < REST,
                "alike, shown, without original: {states:?}, of {}; kept: {kept} blobs",
                self.safe.len()
            );
            // The devices need the processor.
            std::thread::sleep(Duration::from_millis(500));
        }
        report(&format!("at rest after {} ms", began.elapsed().as_millis()));
    }

    fn check(mut self) {
        for member in &mut self.members {
            member.node.take().expect("it is on").stop();
            member.device.never_panicked();
            member.device.is_whole();
        }
        let readers: Vec<_> = self.members[..5]
            .iter()
            .map(|member| (member.name, member.device.clone()))
            .collect();
        for (name, device) in &readers {
            self.has_all(name, device);
        }
        self.restore();
        report(&format!(
            "six devices for {} s: {} photos said to be safe, all of them on all, and brought back by the keeper; {:?}",
            seconds(),
            self.safe.len(),
            self.acts
        ));
    }

    /// Every photo that was said to be safe comes out of a device, byte for byte.
    fn has_all(&self, name: &str, device: &Device) {
        let trashed = everything(device);
        let trashed = trashed.iter().filter(|asset| asset["trashed"] == true);
        let ids: Vec<_> = trashed.filter_map(|asset| asset["id"].as_str()).collect();
        let out = self.homes.path().join(format!("out-{name}"));
        let folder = out.to_str().expect("UTF-8");
        device.ok(&["export", folder]);
        if !ids.is_empty() {
            device.ok(&[&["get", "-o", folder], &ids[..]].concat());
        }
        let there = sums(&out);
        let lost: Vec<_> = self
            .safe
            .iter()
            .filter(|sum| !there.contains_key(*sum))
            .collect();
        assert!(lost.is_empty(), "{name} lost {lost:?}");
    }

    /// A new device has the words, and the keeper alone is on.
    fn restore(&mut self) {
        self.members[5].on();
        let keeper = self.members[5].node.as_ref().expect("it is on");
        let mut device = self.homes.device("new");
        self.ground.settle(&mut device);
        let stdin = format!("{}\n{}\n", self.words, keeper.addresses()[0]);
        let args = ["recovery", "restore", "--device", "new", "-"];
        let (summary, exit) = device.run(&args, &stdin);
        assert_eq!((exit, &summary["missing"]), (0, &json!(0)), "{summary}");
        let before = alike(&everything(&self.members[0].device));
        assert_eq!(alike(&everything(&device)), before);
        self.has_all("new", &device);
        device.is_whole();
        device.never_panicked();
    }
}

/// How many blobs a keeper says to keep.
fn kept(keeper: &Device) -> u64 {
    let lines = keeper.ok(&["status"]);
    let status = lines.iter().find(|line| line["type"] == "status");
    status.expect("a status")["keeper"]["blobs"]
        .as_u64()
        .expect("a count")
}

/// What a device shows, the trash included.
fn everything(device: &Device) -> Vec<Value> {
    let mut all = device.assets();
    // Nothing there is an exit of its own.
    let (trashed, _) = device.start(&["list", "--trashed"]).all();
    all.extend(trashed.into_iter().filter(|line| line["type"] == "asset"));
    for asset in &mut all {
        // Each person's own.
        asset["favorite"].take();
    }
    all
}

#[test]
fn whatever_happens_to_six_devices_they_end_alike_and_nothing_is_lost() {
    let mut family = Family::new();
    family.live(Duration::from_secs(seconds()));
    family.rest();
    family.check();
}
