//! Whatever a family says and shows leaves no device in clear, and stands in no file of one.
//!
//! Words that stand nowhere else are put into pixels, EXIF, names, captions and
//! tags; then everything that a thief or a listener could get is searched for
//! them, in several forms. In each place one word is planted in clear, and must be
//! the only one that is found.
#![cfg(target_os = "linux")]

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
};

use crate::devices::{
    Device, Dice, Homes,
    canaries::{Canaries, Search, forms},
    files, link,
    namespaces::{Cable, Capture, End, Kind, kinds, lacking, streams},
    pair,
    pictures::{self, Text},
    proxy::Proxy,
    report, skipped,
    store::{Store, access},
    words,
};
use flate2::{
    Compression,
    read::{GzEncoder, ZlibEncoder},
};
use heirloom_node::store::Store as Disk;
use heirloom_protocol::family::invite::{InviteCode, InviteText, parse};
use serde_json::Value;

/// Words in the story of a family that are to be found nowhere.
const CANARIES: usize = 200;
/// Where the planted word stands in the list of hits.
const PLANTED: &str = "planted as raw";

/// Two people, each with a device, and what is to be found nowhere.
struct Family {
    homes: Homes,
    dice: Dice,
    canaries: Canaries,
    planted: String,
    a: Device,
    b: Device,
    album: String,
}

impl Family {
    fn new() -> Self {
        let (homes, mut dice) = (Homes::new(), Dice::new());
        let mut canaries = Canaries::default();
        let [a, b] = ["a", "b"].map(|name| watched(&homes, name));
        Self {
            planted: canaries.place("planted", &mut dice),
            album: canaries.place("album name", &mut dice),
            homes,
            dice,
            canaries,
            a,
            b,
        }
    }

    fn place(&mut self, place: &str) -> String {
        self.canaries.place(place, &mut self.dice)
    }

    /// Pixels that spell a word again and again.
    fn pixels(&mut self, count: usize) -> Vec<u8> {
        let word = self.place("bytes: pixels");
        word.bytes().cycle().take(count).collect()
    }

    /// Photos of one person in a folder of their own, each with words wherever words can stand.
    fn photos(&mut self, count: usize) -> PathBuf {
        let folder = self.homes.path().join(self.dice.word(8));
        fs::create_dir(&folder).expect("a folder");
        for nth in 0..count {
            // Bitmaps have no place for them.
            let fields = match nth % 3 {
                0 | 1 => &[Text::Make, Text::Model, Text::Description, Text::Artist][..],
                _ => &[],
            };
            let words: Vec<_> = fields.iter().map(|_| self.place("bytes: EXIF")).collect();
            let texts = fields.iter().copied().zip(words.iter().map(String::as_str));
            let texts: Vec<_> = texts.collect();
            let (extension, mut bytes) = match nth % 3 {
                0 => ("jpg", pictures::jpeg(48, &texts, &mut self.dice)),
                1 => ("tif", pictures::tiff(40, &self.pixels(1600), &texts)),
                _ => ("bmp", pictures::bmp_of(20, &self.pixels(1200))),
            };
            bytes.extend_from_slice(self.place("bytes: behind the picture").as_bytes());
            let name = format!("{}.{extension}", self.place("list: file name"));
            fs::write(folder.join(name), bytes).expect("a photo");
        }
        folder
    }

    /// Takes photos in on a device and says things of them.
    fn fill(&mut self, device: &Device, album: &str, count: usize) {
        let folder = self.photos(count);
        let folder = folder.to_str().expect("UTF-8");
        let lines = device.ok(&["import", folder, "--album", album]);
        let ids = lines.iter().filter_map(|line| line["asset"].as_str());
        let ids: Vec<String> = ids.map(str::to_owned).collect();
        assert_eq!(ids.len(), count);
        for id in ids {
            device.ok(&["caption", &id, &self.place("list: caption")]);
            let tags = [(); 2].map(|()| self.place("list: tag"));
            device.ok(&["tag", &id, "--add", &tags[0], "--add", &tags[1]]);
        }
    }

    fn found(&mut self, count: usize) {
        let [family, person, name] =
            ["family", "person", "device"].map(|what| self.place(&format!("name of a {what}")));
        let a = self.a.clone();
        let names = ["--family", &family, "--person", &person, "--device", &name];
        let founded = a.ok(&[&["init"], &names[..]].concat()).pop();
        let recovery = founded.expect("a summary")["recovery"].clone();
        let recovery: Vec<_> = recovery.as_array().into_iter().flatten().collect();
        assert_eq!(recovery.len(), 24);
        let recovery: Vec<_> = recovery.into_iter().filter_map(Value::as_str).collect();
        self.canaries.note("recovery words", &recovery.join(" "));
        let album = self.album.clone();
        self.fill(&a, &album, count);
    }

    /// A second person joins with a code that is changed on the way as it must be to get there.
    fn join(&mut self, edit: impl Fn(&Value) -> String) {
        let [person, name] =
            ["person", "device"].map(|what| self.place(&format!("name of a {what}")));
        let whom = ["--person", &person, "--album", &self.album];
        let secrets = std::cell::RefCell::new(Vec::new());
        pair(&self.a, &whom, &self.b, &name, |invite| {
            secrets
                .borrow_mut()
                .extend([link(invite), words(invite), edit(invite)]);
            edit(invite)
        });
        for secret in secrets.into_inner() {
            self.canaries.note("invite code", &secret);
        }
    }

    /// The second person adds to the album, and everything is exchanged.
    fn live(&mut self, count: usize, mut before_sync: impl FnMut()) {
        let b = self.b.clone();
        before_sync();
        b.ok(&["sync"]);
        let album = self.album.clone();
        self.fill(&b, &album, count);
        let renamed = self.place("name of an album");
        self.a.ok(&["album", "rename", &album, &renamed]);
        before_sync();
        let summary = b.ok(&["sync"]).pop().expect("a summary");
        assert_eq!(summary["settled"], true, "{summary}");
    }

    /// The words did travel: each is on the other device, and comes out of its export.
    fn has_arrived(&self) {
        let search = self.canaries.search();
        let out = self.homes.path().join("out");
        self.b
            .ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]);
        let all = files(&out)
            .into_iter()
            .map(|file| fs::read(file).expect("readable"));
        let all = all.collect::<Vec<_>>().concat();
        let raw = search.words(&all);
        for word in self.canaries.at("bytes: ") {
            assert!(raw.contains(word), "{word} in no original");
        }
        for (device, whose) in [(&self.a, "a"), (&self.b, "b")] {
            let list: String = device.assets().iter().map(Value::to_string).collect();
            for word in self.canaries.at("list: ") {
                assert!(list.contains(word), "{word} on {whose}");
            }
        }
    }

    /// A disk that is carried away holds the planted word, and no other.
    fn is_silent_on_a_disk(&self) {
        let disk = self.homes.path().join("disk");
        let path = disk.to_str().expect("UTF-8");
        for device in [&self.a, &self.b] {
            let written = device.ok(&["bundle", "write", path]).pop();
            let written = written.expect("a summary");
            let blobs = written["blobs"].as_u64().zip(written["present"].as_u64());
            assert!(blobs.is_some_and(|(new, old)| new + old > 20), "{written}");
        }
        let depot = disk.join("depot");
        self.a.ok(&["depot", "add", depot.to_str().expect("UTF-8")]);
        assert!(files(&depot.join("blobs")).len() > 20);
        self.is_silent_in_a_bucket();
        let search = self.canaries.search();
        assert_eq!(search.hits_below(&disk), Vec::<String>::new());
        let file = disk.join("planted");
        fs::write(&file, &self.planted).expect("planted");
        let hits = search.hits_below(&disk);
        assert_eq!(hits, [format!("{PLANTED} in {}", file.display())]);
    }

    /// What a store of somebody else gets, names of objects too, holds the planted word, and no other.
    fn is_silent_in_a_bucket(&self) {
        let store = Store::new();
        let mut device = self.a.clone();
        device.env.extend(access());
        let endpoint = store.endpoint();
        device.ok(&["depot", "add", "s3://photos/ours", "--endpoint", &endpoint]);
        device.ok(&["depot", "remove", "s3://photos/ours"]);
        let search = self.canaries.search();
        let hits = || {
            let objects = store.objects();
            assert!(objects.len() > 20, "{}", objects.len());
            let searched = objects
                .iter()
                .flat_map(|(name, bytes)| [search.hits(name.as_bytes()), search.hits(bytes)]);
            searched.flatten().collect::<Vec<_>>()
        };
        assert_eq!(hits(), Vec::<String>::new());
        let planted = self.planted.clone().into_bytes();
        store
            .objects()
            .insert("photos/ours/planted".into(), planted);
        assert_eq!(hits(), [PLANTED]);
    }

    /// Homes, logs and temporary folders hold the planted word, and no other.
    fn is_silent(&self) {
        self.are_silent(&[&self.a, &self.b]);
    }

    fn are_silent(&self, devices: &[&Device]) {
        let search = self.canaries.search();
        for device in devices {
            let log = device.log.as_ref().expect("a log");
            let text = fs::read_to_string(log).expect("a log");
            assert!(text.contains("TRACE"), "the log is kept at trace level");
            let places: [(&Path, &str); 2] = [
                (&device.home, "planted"),
                (Path::new(&device.env["TMPDIR"]), "planted"),
            ];
            for (folder, name) in places {
                let file = folder.join(name);
                fs::write(&file, &self.planted).expect("planted");
                let hits = search.hits_below(folder);
                assert_eq!(hits, [format!("{PLANTED} in {}", file.display())]);
            }
            let planted = format!("{text}{}", self.planted);
            assert_eq!(
                search.hits(planted.as_bytes()),
                [PLANTED],
                "{}",
                log.display()
            );
            device.never_panicked();
        }
    }
}

/// A device whose log tells everything and whose temporary files lie apart.
fn watched(homes: &Homes, name: &str) -> Device {
    let mut device = homes.device(name);
    let temporary = homes.path().join(format!("{name}-tmp"));
    fs::create_dir(&temporary).expect("a folder");
    let temporary = temporary.to_str().expect("UTF-8").to_owned();
    device.env.insert("TMPDIR".into(), temporary);
    device.env.insert("HEIRLOOM_LOG".into(), "trace".into());
    device
}

/// The bytes of every blob in a home, each where it is referred to.
fn blob_sizes(home: &Path) -> Vec<u64> {
    let store = Disk::open(home).expect("a home");
    let mut sizes = Vec::new();
    for space in store.spaces() {
        for head in store.logs(space) {
            let listed = store.places(&head.log, |_, place| sizes.push(place.len()));
            listed.expect("readable");
        }
    }
    sizes
}

#[test]
fn a_keeper_holds_nothing_in_clear_and_no_size_that_tells_one() {
    let mut family = Family::new();
    family.found(8);
    let keeper = watched(&family.homes, "k");
    // Photos whose lengths lie close together and are each their own: what is kept must not tell them apart.
    let folder = family.homes.path().join("close");
    fs::create_dir(&folder).expect("a folder");
    let mut lengths = Vec::new();
    for nth in 0..24_usize {
        let mut bytes = pictures::bmp_of(20, &family.pixels(1200));
        bytes.extend(family.dice.bytes(150_000 + 37 * nth));
        lengths.push(u64::try_from(bytes.len()).expect("small"));
        fs::write(
            folder.join(format!("{}.bmp", family.place("list: file name"))),
            bytes,
        )
        .expect("a photo");
    }
    let album = family.album.clone();
    let path = folder.to_str().expect("UTF-8").to_owned();
    family.a.ok(&["import", &path, "--album", &album]);
    let node = family.a.serve();
    let name = family.place("name of a keeper");
    pair(&family.a, &["--keeper", &name], &keeper, &name, link);
    let summary = keeper.ok(&["sync"]).pop().expect("a summary");
    assert_eq!(summary["settled"], true, "{summary}");
    node.kill();
    for command in ["status", "list", "doctor"] {
        let said = keeper.start(&[command]).all().0;
        let said: String = said.iter().map(Value::to_string).collect();
        assert!(
            family.canaries.search().hits(said.as_bytes()).is_empty(),
            "{said}"
        );
    }
    family.are_silent(&[&keeper]);

    // A constant, or one for each segment, added to a length would give it away.
    let sizes = blob_sizes(&keeper.home);
    assert!(sizes.len() >= 3 * 24, "{}", sizes.len());
    for length in &lengths {
        let added = |size: &u64| size.checked_sub(*length);
        let tags = 16 * length.div_ceil(65_520);
        let told = sizes
            .iter()
            .filter_map(added)
            .any(|more| more == 0 || more == 16 || more == tags);
        assert!(!told, "a blob is as long as a photo of {length} bytes");
    }
    let near: BTreeSet<_> = sizes.iter().filter(|size| **size >= lengths[0]).collect();
    assert!(
        near.len() * 4 <= lengths.len(),
        "{} sizes for {} lengths",
        near.len(),
        lengths.len()
    );
    report(&format!(
        "{} canaries and {} lengths: none on the keeper",
        family.canaries.len(),
        lengths.len()
    ));
}

/// The link of an invite that leads to the proxy instead of the node.
fn through(proxy: &Proxy, invite: &Value) -> String {
    let InviteText::Link(code) = parse(&link(invite)).expect("a link") else {
        panic!("words");
    };
    let address = proxy.multiaddr().try_into().expect("an address");
    let code = InviteCode {
        addrs: vec![address],
        ..code
    };
    code.link().to_string()
}

#[test]
fn the_search_finds_a_word_in_every_form() {
    let mut dice = Dice::new();
    let mut canaries = Canaries::default();
    let word = canaries.place("planted", &mut dice);
    let search = canaries.search();
    assert!(search.hits(&dice.bytes(100_000)).is_empty());
    let forms = forms(word.as_bytes());
    for (form, needle) in &forms {
        // Hex without a letter is the same in capitals.
        let same = forms.iter().filter(|(_, other)| other == needle);
        let same: BTreeSet<_> = same.map(|(form, _)| format!("planted as {form}")).collect();
        assert!(same.len() == 1 || form.eq_ignore_ascii_case("hex"));
        // No zero next to it, which would make the one order of UTF-16 the other.
        let hay = [&dice.bytes(1000)[..], &[1], needle, &[1], &dice.bytes(1000)].concat();
        assert_eq!(search.hits(&hay), Vec::from_iter(same));
    }
    // Base64 of a text in which the word stands anywhere.
    for before in 0..6 {
        for after in 0..6 {
            let text = [
                dice.bytes(before),
                word.clone().into_bytes(),
                dice.bytes(after),
            ]
            .concat();
            let hay = data_encoding::BASE64.encode(&text);
            assert_eq!(search.hits(hay.as_bytes()).len(), 1, "{before} {after}");
        }
    }
    let packed = |zlib: bool| {
        // What can be made shorter is not kept as it is.
        let text = format!("{:500}{word}{:500}", "", "");
        let level = Compression::default();
        let mut out = Vec::new();
        let done = match zlib {
            true => ZlibEncoder::new(text.as_bytes(), level).read_to_end(&mut out),
            false => GzEncoder::new(text.as_bytes(), level).read_to_end(&mut out),
        };
        done.expect("in memory");
        [dice.bytes(1000), out, dice.bytes(1000)].concat()
    };
    for hay in [true, false].map(packed) {
        assert_eq!(search.hits(&hay), [format!("{PLANTED}, compressed")]);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).expect("a folder");
    fs::write(inner.join(&word), b"nothing").expect("a file");
    fs::write(inner.join("other"), &word).expect("a file");
    assert_eq!(search.hits_below(folder.path()).len(), 2);
}

#[test]
fn nothing_leaves_a_device_in_clear_or_stands_so_on_its_disk() {
    let mut family = Family::new();
    family.found(17);
    let proxy = Proxy::new();
    proxy.record();
    let node = family.a.serve();
    proxy.lead_to(node.port());
    family.join(|invite| through(&proxy, invite));
    let peer = node.ready["peer"].as_str().expect("a peer").to_owned();
    let address = format!("{}/p2p/{peer}", proxy.multiaddr());
    family.b.know_only(&address);
    // At another port each time, or the second would know a way around the proxy.
    let a = family.a.clone();
    let mut running = Some(node);
    family.live(6, || {
        drop(running.take());
        let node = a.serve();
        proxy.lead_to(node.port());
        running = Some(node);
    });
    family.has_arrived();
    running.expect("it runs").kill();
    family.is_silent_on_a_disk();

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    proxy.lead_to(listener.local_addr().expect("bound").port());
    let mut plain = TcpStream::connect(proxy.address()).expect("the proxy");
    plain.write_all(family.planted.as_bytes()).expect("sent");
    crate::devices::wait_until("it passed", std::time::Duration::from_secs(10), || {
        proxy.tape().ends_with(family.planted.as_bytes())
            || !family.canaries.search().hits(&proxy.tape()).is_empty()
    });
    let tape = proxy.tape();
    // Photos of both went through it.
    assert!(
        proxy.back() > 100_000 && proxy.forth() > 50_000,
        "{} {}",
        proxy.back(),
        proxy.forth()
    );
    assert_eq!(family.canaries.search().hits(&tape), [PLANTED]);
    family.is_silent();
    let count = family.canaries.len();
    assert!(count >= CANARIES, "only {count} canaries");
    report(&format!(
        "{count} canaries, {} bytes on the wire: none in clear",
        tape.len()
    ));
}

#[test]
fn nothing_is_said_in_clear_on_a_cable_and_to_nobody_else() {
    if let Some(why) = lacking() {
        skipped(why);
        return;
    }
    let cable = Cable::new('c');
    // Whoever wants to talk to the world outside is heard.
    cable.lead_out();
    let captures = cable.ends.each_ref().map(End::capture);
    let mut family = Family::new();
    for (device, end) in [
        (&mut family.a, &cable.ends[0]),
        (&mut family.b, &cable.ends[1]),
    ] {
        fs::remove_file(device.home.join("config.toml")).expect("it was there");
        device.prefix = end.prefix();
    }
    family.found(4);
    let node = family.a.serve_with(&[]);
    family.join(words);
    family.live(2, || {});
    family.has_arrived();
    // A notice of the end goes out by multicast as well.
    node.stop();

    let [one, two] = &cable.ends;
    let planted = family.planted.clone();
    one.within(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket
            .send_to(planted.as_bytes(), (two.ip, 9))
            .expect("sent");
    });
    let search = family.canaries.search();
    for capture in &captures {
        crate::devices::wait_until(
            "the planted word",
            std::time::Duration::from_secs(10),
            || {
                capture
                    .packets()
                    .iter()
                    .any(|packet| !search.hits(packet).is_empty())
            },
        );
        check(capture, &search, &cable);
    }
    family.is_silent();
    report(&format!(
        "{} canaries on the cable: none in clear",
        family.canaries.len()
    ));
}

fn check(capture: &Capture, search: &Search, cable: &Cable) {
    let packets = capture.packets();
    let bytes: usize = packets.iter().map(Vec::len).sum();
    assert!(bytes > 100_000, "photos went over it: {bytes}");
    // Streams put together again, so that a word cut in two is found.
    let all = packets.iter().cloned().chain(streams(&packets));
    let hits: BTreeSet<_> = all.flat_map(|bytes| search.hits(&bytes)).collect();
    assert_eq!(hits, BTreeSet::from([PLANTED.to_owned()]));
    let kinds = kinds(&packets);
    assert!(kinds.contains_key(&Kind::Mdns), "{kinds:?}");
    let ends = cable.ends.each_ref().map(End::addresses).concat();
    let [one, two] = &cable.ends;
    let strays: Vec<_> = kinds
        .keys()
        .filter(|kind| match kind {
            Kind::Tcp(from, to) => !(ends.contains(from) && ends.contains(to)),
            // The planted word, and that nobody listens for it.
            Kind::Other(17, Some(to)) => *to != two.ip || kinds[kind] > 1,
            Kind::Other(1, Some(to)) => *to != one.ip || kinds[kind] > 1,
            // Who is at an address of the link (ICMPv6) is asked and told by the kernel.
            Kind::Other(58, Some(to)) => !ends.contains(to),
            Kind::Other(..) => true,
            Kind::Mdns | Kind::Router | Kind::Kernel | Kind::Loopback => false,
        })
        .collect();
    assert!(strays.is_empty(), "{strays:?}");
}
