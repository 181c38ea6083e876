//! Two homes behind routers, and a device of the family that both reach: what crosses, and how.
#![cfg(target_os = "linux")]

use std::{
    collections::BTreeSet,
    fs,
    net::UdpSocket,
    time::{Duration, Instant},
};

use crate::devices::{
    Device, Dice, Homes, Running,
    canaries::Canaries,
    internet::{Internet, Router, lacking_internet},
    link,
    namespaces::{Capture, End, streams},
    pair, pictures, report, skipped, wait_until,
};
use serde_json::Value;

/// How long anything between the homes may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// The port of the device that everybody reaches.
pub(super) const PORT: &str = "4001";

/// Anna's laptop and her box, which come to stand in two homes, and Ben's computer in the third
/// place, which has none of her photos.
pub(super) struct Family {
    pub(super) homes: Homes,
    pub(super) laptop: Device,
    pub(super) far: Device,
    pub(super) ben: Device,
}

impl Family {
    /// They meet in the third place.
    pub(super) fn new(internet: &Internet) -> Self {
        let homes = Homes::new();
        let device = |name: &str| {
            let mut device = homes.device(name);
            fs::remove_file(device.home.join("config.toml")).expect("it was there");
            device.prefix = internet.place.prefix();
            device
        };
        let [laptop, far, ben] = ["laptop", "far", "ben"].map(device);
        laptop.init("Berger", "Anna", "laptop");
        let node = laptop.serve_with(&["--no-discovery"]);
        pair(&laptop, &["--device"], &far, "far", link);
        pair(&laptop, &["--person", "Ben"], &ben, "ben", link);
        // Each hears of the others.
        far.ok(&["sync"]);
        ben.ok(&["sync"]);
        node.stop();
        for device in [&laptop, &far, &ben] {
            device.forget_all();
            device.ok(&["config", "set", "port_mapping", "false"]);
            device.ok(&["config", "set", "discovery", "false"]);
        }
        Self {
            homes,
            laptop,
            far,
            ben,
        }
    }

    /// They go home, and Ben's computer relays. Each knows where that is, and nothing else.
    pub(super) fn go_home(&mut self, internet: &Internet) -> Running {
        self.laptop.prefix = internet.homes[0].prefix();
        self.far.prefix = internet.homes[1].prefix();
        let relay = self.ben.serve_with(&["--relay", "--port", PORT]);
        let peer = relay.ready["peer"].as_str().expect("a peer");
        let address = format!("/ip4/{}/tcp/{PORT}/p2p/{peer}", internet.place.ip);
        self.laptop.know_only(&address);
        self.far.know_only(&address);
        relay
    }

    pub(super) fn import(&self, name: &str, dice: &mut Dice) {
        self.import_as(name, &pictures::bmp(90, dice), "Summer");
    }

    /// Takes a photo in on the laptop; its id.
    pub(super) fn import_as(&self, name: &str, bytes: &[u8], album: &str) -> String {
        let file = self.homes.path().join(name);
        fs::write(&file, bytes).expect("a photo");
        let file = file.to_str().expect("UTF-8");
        let lines = self.laptop.ok(&["import", file, "--album", album]);
        lines[0]["asset"].as_str().expect("an asset").to_owned()
    }

    pub(super) fn never_panicked(&self) {
        for device in [&self.laptop, &self.far, &self.ben] {
            device.never_panicked();
        }
    }
}

/// How a device reaches another one.
pub(super) fn path(device: &Device, name: &str) -> Option<String> {
    let lines = device.ok(&["peer", "list"]);
    let peer = lines.iter().find(|line| line["name"] == name)?;
    peer["path"].as_str().map(str::to_owned)
}

pub(super) fn wait_for_path(device: &Device, name: &str, wanted: &str) -> Duration {
    let since = Instant::now();
    let mut last = None;
    let what = format!("{name} is reached by {wanted}");
    wait_until(&what, PATIENCE, || {
        let now = path(device, name);
        if now != last {
            report(&format!("{name}: {now:?} after {:?}", since.elapsed()));
        }
        last = now;
        last.as_deref() == Some(wanted)
    });
    since.elapsed()
}

pub(super) fn photos(device: &Device, which: &str) -> usize {
    let assets = device.assets();
    assets
        .iter()
        .filter(|asset| asset["here"][which] == true)
        .count()
}

pub(super) fn status(device: &Device) -> Value {
    let lines = device.ok(&["status"]);
    let status = lines.into_iter().find(|line| line["type"] == "status");
    status.expect("a status")
}

/// Bytes of TCP that one namespace has sent and received.
pub(super) fn carried(end: &End) -> u64 {
    end.within(|| {
        let text = fs::read_to_string("/proc/thread-self/net/dev").expect("readable");
        let line = text.lines().find(|line| line.contains(&end.link));
        let words: Vec<u64> = line
            .and_then(|line| line.split(':').nth(1))
            .into_iter()
            .flat_map(str::split_whitespace)
            .filter_map(|word| word.parse().ok())
            .collect();
        words[0] + words[8]
    })
}

#[test]
fn behind_routers_that_draw_ports_previews_are_relayed_and_originals_wait_until_told() {
    if let Some(why) = lacking_internet() {
        skipped(why);
        return;
    }
    let internet = Internet::new('d', Router::DrawsPorts);
    let mut dice = Dice::new();
    let mut family = Family::new(&internet);
    let relay = family.go_home(&internet);
    let laptop = family.laptop.serve_with(&[]);
    let far = family.far.serve_with(&[]);
    wait_for_path(&family.laptop, "far", "relay");
    let mut canaries = Canaries::default();
    let capture = internet.place.capture();
    say_much(&family, &mut canaries, &mut dice);
    wait_until("its preview", PATIENCE, || {
        photos(&family.far, "preview") == 1
    });
    wait_until("its thumbnail", PATIENCE, || {
        photos(&family.far, "thumbnail") == 1
    });
    wait_until("the original is held back", PATIENCE, || {
        status(&family.far)["moving"]["held_back"] == 1
    });
    assert_eq!(photos(&family.far, "original"), 0);
    report(&format!(
        "the relay carried {} bytes",
        carried(&internet.place)
    ));
    far.stop();
    family.far.ok(&["config", "set", "relay_originals", "true"]);
    let far = family.far.serve_with(&[]);
    wait_until("the original", PATIENCE, || {
        photos(&family.far, "original") == 1
    });
    assert_eq!(path(&family.far, "laptop").as_deref(), Some("relay"));
    wait_until("a copy that was shown", PATIENCE, || {
        status(&family.laptop)["only_here"] == 0
    });
    assert_eq!(status(&family.laptop)["notes"], Value::Array(Vec::new()));
    drop((laptop, far, relay));
    is_silent(&capture, &internet, &family, canaries, &mut dice);
    family.never_panicked();
}

/// A photo of which everything that can be said is a word that stands nowhere else.
fn say_much(family: &Family, canaries: &mut Canaries, dice: &mut Dice) {
    let mut place = |what: &str| canaries.place(what, dice);
    let [name, album, caption, tag, pixels] =
        ["name", "album", "caption", "tag", "pixels"].map(&mut place);
    let pixels: Vec<u8> = pixels.bytes().cycle().take(100 * 100 * 3).collect();
    let bytes = pictures::bmp_of(100, &pixels);
    let id = family.import_as(&format!("{name}.bmp"), &bytes, &album);
    family.laptop.ok(&["caption", &id, &caption]);
    family.laptop.ok(&["tag", &id, "--add", &tag]);
}

/// Nothing of it crosses the relay's cable in clear or stands on its disk; a planted word is found in both.
fn is_silent(
    capture: &Capture,
    internet: &Internet,
    family: &Family,
    mut canaries: Canaries,
    dice: &mut Dice,
) {
    let told = canaries.len();
    let planted = canaries.place("planted", dice);
    let search = canaries.search();
    internet.place.within(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        let there = (internet.routers[0].ip, 9);
        socket.send_to(planted.as_bytes(), there).expect("sent");
    });
    let hits = || {
        let packets = capture.packets();
        let all = packets.iter().cloned().chain(streams(&packets));
        all.flat_map(|bytes| search.hits(&bytes))
            .collect::<BTreeSet<_>>()
    };
    wait_until("the planted word", PATIENCE, || !hits().is_empty());
    assert_eq!(hits(), BTreeSet::from(["planted as raw".to_owned()]));
    let bytes: usize = capture.packets().iter().map(Vec::len).sum();
    assert!(bytes > 30_000, "the original went over it: {bytes}");
    let file = family.ben.home.join("planted");
    fs::write(&file, &planted).expect("planted");
    let below = search.hits_below(&family.ben.home);
    assert_eq!(below, [format!("planted as raw in {}", file.display())]);
    report(&format!(
        "{told} canaries, {bytes} bytes at the relay: none in clear"
    ));
}

#[test]
fn behind_routers_that_keep_ports_the_relayed_way_becomes_a_direct_one() {
    if let Some(why) = lacking_internet() {
        skipped(why);
        return;
    }
    let internet = Internet::new('k', Router::KeepsPorts);
    let mut dice = Dice::new();
    let mut family = Family::new(&internet);
    for device in [&mut family.laptop, &mut family.far] {
        let filter = "info,heirloom_node::net=debug".to_owned();
        device.env.insert("HEIRLOOM_LOG".to_owned(), filter);
    }
    let relay = family.go_home(&internet);
    let laptop = family.laptop.serve_with(&[]);
    let far = family.far.serve_with(&[]);
    wait_for_path(&family.laptop, "far", "direct");
    wait_for_path(&family.far, "laptop", "direct");
    // Only over a relayed connection is a hole agreed upon.
    let punched = |device: &Device| {
        let log = fs::read_to_string(device.log.as_ref().expect("a log is kept"));
        log.expect("readable").contains("a direct way was found")
    };
    wait_until("the relayed way became a direct one", PATIENCE, || {
        punched(&family.laptop) && punched(&family.far)
    });
    let before = carried(&internet.place);
    // Two million bytes.
    family.import_as("one.bmp", &pictures::bmp(820, &mut dice), "Summer");
    wait_until("the original", PATIENCE, || {
        photos(&family.far, "original") == 1
    });
    let relayed = carried(&internet.place) - before;
    report(&format!("the relay carried {relayed} bytes of 2,000,000"));
    assert!(relayed < 200_000, "{relayed}");
    assert_eq!(path(&family.far, "laptop").as_deref(), Some("direct"));
    far.stop();
    let far = on_a_meter(&family, &mut dice);
    drop((laptop, far, relay));
    family.never_panicked();
}

/// A way that costs something brings previews alone, though it is a direct one, unless told otherwise.
fn on_a_meter(family: &Family, dice: &mut Dice) -> Running {
    family.far.ok(&["config", "set", "metered", "true"]);
    let far = family.far.serve_with(&[]);
    wait_for_path(&family.far, "laptop", "direct");
    family.import("two.bmp", dice);
    wait_until("its preview", PATIENCE, || {
        photos(&family.far, "preview") == 2
    });
    wait_until("the original is held back", PATIENCE, || {
        status(&family.far)["moving"]["held_back"] == 1
    });
    assert_eq!(path(&family.far, "laptop").as_deref(), Some("direct"));
    assert_eq!(photos(&family.far, "original"), 1);
    far.stop();
    family.far.ok(&["config", "set", "relay_originals", "true"]);
    let far = family.far.serve_with(&[]);
    wait_until("the other original", PATIENCE, || {
        photos(&family.far, "original") == 2
    });
    far
}

/// What can be wrong with the line of one home.
pub(super) const TROUBLES: [(&str, &str); 4] = [
    ("cut", "drop"),
    ("one way: nothing comes out", "iifname \"inside\" drop"),
    ("one way: nothing gets in", "oifname \"inside\" drop"),
    ("slow", "limit rate over 40 kbytes/second drop"),
];

pub(super) fn trouble(router: &End, rule: &str) {
    router.rules(&format!(
        "table ip trouble {{
             chain through {{
                 type filter hook forward priority -10;
                 {rule}
             }}
         }}"
    ));
}

/// Adds photos at the place and says how long it took until a home had them.
fn takes_a_round(family: &Family, device: &Device, round: usize, dice: &mut Dice) -> Duration {
    let folder = family.homes.path().join(format!("round{round}"));
    fs::create_dir(&folder).expect("a folder");
    for nth in 0..3 {
        let name = format!("{round}-{nth}.bmp");
        fs::write(folder.join(name), pictures::bmp(300, dice)).expect("a photo");
    }
    let folder = folder.to_str().expect("UTF-8");
    let since = Instant::now();
    family.laptop.ok(&["import", folder, "--album", "Summer"]);
    wait_until("the photos of this round", PATIENCE, || {
        photos(device, "original") == (round + 1) * 3
    });
    since.elapsed()
}

#[test]
fn a_home_in_trouble_does_not_hold_up_another() {
    if let Some(why) = lacking_internet() {
        skipped(why);
        return;
    }
    let internet = Internet::new('t', Router::DrawsPorts);
    let mut dice = Dice::new();
    let mut family = Family::new(&internet);
    // The laptop stays in the place; the box and a second one stand in the homes.
    family.far.prefix = internet.homes[0].prefix();
    let mut other = family.homes.device("other");
    fs::remove_file(other.home.join("config.toml")).expect("it was there");
    other.prefix = internet.place.prefix();
    let node = family.laptop.serve_with(&["--port", PORT]);
    pair(&family.laptop, &["--device"], &other, "other", link);
    other.ok(&["config", "set", "port_mapping", "false"]);
    other.prefix = internet.homes[1].prefix();
    let peer = node.ready["peer"].as_str().expect("a peer");
    let address = format!("/ip4/{}/tcp/{PORT}/p2p/{peer}", internet.place.ip);
    family.far.know_only(&address);
    other.know_only(&address);
    let far = family.far.serve_with(&[]);
    let mut sick = other.serve_with(&[]);
    wait_for_path(&family.far, "laptop", "direct");
    wait_for_path(&other, "laptop", "direct");
    let mut round = 0;
    // The median of three, since other tests run beside this one.
    let mut takes = || {
        let mut took = [Duration::ZERO; 3];
        for took in &mut took {
            *took = takes_a_round(&family, &family.far, round, &mut dice);
            round += 1;
        }
        took.sort_unstable();
        took[1]
    };
    let well = takes();
    let mut worst = Duration::ZERO;
    let mut note = |what: &str, took: Duration| {
        let ratio = took.as_secs_f64() / well.as_secs_f64();
        report(&format!(
            "{what}: {took:?}, {ratio:.2} of {well:?} when all is well"
        ));
        worst = worst.max(took);
    };
    for (what, rule) in TROUBLES {
        trouble(&internet.routers[1], rule);
        note(what, takes());
        internet.routers[1].rules("delete table ip trouble");
    }
    // Half open: there, and reading nothing.
    sick.signal(rustix::process::Signal::STOP);
    note("half open", takes());
    sick.signal(rustix::process::Signal::CONT);
    let flap = |up: &str| {
        let router = &internet.routers[1];
        router.ip(&["link", "set", &router.link, up]);
    };
    for _ in 0..10 {
        flap("down");
        flap("up");
    }
    note("flapping", takes());
    // A line that is well again brings what was missed.
    wait_until("the other home has all", PATIENCE, || {
        photos(&other, "original") == round * 3
    });
    // Half as much again, and what a busy computer makes of that.
    let longest = well * 3 / 2 + Duration::from_secs(1);
    assert!(worst < longest, "{worst:?} of {longest:?}");
    drop((node, far, sick));
    family.never_panicked();
    other.never_panicked();
}
