//! A device of the family that has gone bad: its key is real, its program hostile. It sends noise, frames that are
//! too long, that never end or that it has no business to send, over connections that are let in. The node that
//! hears it stays small and keeps serving the others; what breaks the protocol is named and kept away, and nobody
//! loses anything.
#![cfg(target_os = "linux")]

use std::{
    collections::VecDeque,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use heirloom_node::{
    net::{Address, Net, NetConfig, NetEvent, Peer, Proto, Stream, Whom},
    runtime::Identity,
    store::Store,
};
use heirloom_protocol::{
    crypto::{Signature, SignedBytes},
    id::{BranchId, DeviceId, LogId, SpaceId},
    limits,
    log::entry::{Entry, EntryBytes},
    replica::log_of,
    sync::{
        blob::{GetMany, Group, Request},
        have,
        message::{
            Announce, Devices, Entries, Gossip, Have, HaveMode, HavePull, HaveRow, Heads, Hello,
            LogRef, Message, PREFIX_BYTES, PeerRole, Spaces, VERSION,
        },
    },
    wire,
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::devices::{
    Device, Dice, Homes, Running, asked, link, pair, pictures, report, sums, wait_until,
};

/// What the node may grow by, whatever comes, in KiB.
pub(super) const GROWTH: u64 = 64 * 1024;
/// Longest wait for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// The device that sends what is no breach.
const PHONE: &str = "phone";
/// How long a stream takes nothing before another is tried.
const SILENCE: Duration = Duration::from_secs(2);
/// Streams that it leaves open, below what a connection may hold.
const HELD: usize = 12;

/// For how long at least each is sent that is no breach; what is one is sent until its device is kept away.
fn seconds() -> Duration {
    Duration::from_secs(asked("HEIRLOOM_FLOOD_SECONDS", 0))
}

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Lengths that no frame has.
    Lengths,
    /// Frames of the largest length with noise in them.
    Noise,
    /// Lists of spaces without an end.
    Spaces,
    /// Another dictionary of devices over the first.
    Devices,
    /// More questions than it takes answers to.
    Asks,
    /// Answers that nobody asked for.
    Unasked,
    /// An entry that its author has not signed.
    Forged,
    /// Noise where blobs are asked for.
    Mumbled,
    /// Frames of a later version.
    Later,
    /// Entries of a later version.
    LaterEntries,
    /// Entries that are here, again and again.
    Replays,
    /// Signed statements that are none.
    Statements,
    /// Claims to hold what does not exist.
    Claims,
    /// Questions for claims whose answers are not read.
    Pulls,
    /// Frames that are not ended.
    Halves,
    /// Requests for blobs that break off.
    Torn,
    /// Sessions that end as they have begun.
    Comings,
    /// Requests for blobs whose answers are not read, on as many streams as there can be.
    Requests,
    /// Noise where newcomers are handed what they need.
    Pairing,
}

/// No honest device sends these.
const BREACHES: [Kind; 8] = [
    Kind::Lengths,
    Kind::Noise,
    Kind::Spaces,
    Kind::Devices,
    Kind::Asks,
    Kind::Unasked,
    Kind::Forged,
    Kind::Mumbled,
];

/// Each of these an honest device may send, if not so much of it.
const NUISANCES: [Kind; 11] = [
    Kind::LaterEntries,
    Kind::Later,
    Kind::Replays,
    Kind::Statements,
    Kind::Claims,
    Kind::Pulls,
    Kind::Halves,
    Kind::Torn,
    Kind::Comings,
    Kind::Requests,
    Kind::Pairing,
];

fn array<const N: usize>(dice: &mut Dice) -> [u8; N] {
    dice.bytes(N).try_into().expect("so many")
}

fn spaces(count: usize, dice: &mut Dice) -> Vec<SpaceId> {
    (0..count).map(|_| SpaceId(array(dice))).collect()
}

pub(super) fn raw(length: usize, tag: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).expect("it fits");
    [&length.to_le_bytes()[..], &tag.to_le_bytes(), body].concat()
}

fn hello() -> Vec<u8> {
    let hello = Hello {
        version: VERSION,
        features: 0,
        role: PeerRole::Archive,
        incarnation: 0,
        credit: 4 << 20,
        cookie: None,
        have: [0; 16],
        have_known: None,
    };
    Message::Hello(hello).to_frame()
}

/// What the device knows of the family, as an honest one learns it.
pub(super) struct Lore {
    spaces: Vec<SpaceId>,
    entries: Vec<EntryBytes>,
}

impl Lore {
    /// A log with photos.
    pub(super) fn log(&self) -> LogId {
        let entries = self.entries.iter();
        let mut entries = entries.filter_map(|bytes| Entry::trust(bytes.clone()).ok());
        let photos = entries.find(|entry| !entry.header().blobs.is_empty());
        log_of(&photos.expect("a photo was there"))
    }

    /// A small entry of that log.
    fn entry(&self) -> EntryBytes {
        let entries = self.entries.iter();
        let mut small = entries.filter(|entry| entry.size() < limits::ANNOUNCE_INLINE_BYTES);
        small.next().expect("an entry").clone()
    }
}

fn claims(lore: &Lore, dice: &mut Dice) -> Message {
    let rows = (0..200).map(|_| {
        let mut bits = roaring::RoaringBitmap::new();
        let from = u32::try_from(dice.within(0, 1 << 20)).expect("it fits");
        bits.insert_range(from..from + 5000);
        let log = LogRef {
            device: u16::try_from(dice.within(0, 8)).expect("small"),
            inc: dice.next(),
            branch: BranchId::ZERO,
        };
        let bits = have::encode(&bits);
        HaveRow { log, bits }
    });
    Message::Have(Have {
        space: lore.log().space,
        mode: HaveMode::Added,
        rows: rows.collect(),
    })
}

pub(super) fn many(id: u32, log: LogId) -> Vec<u8> {
    let most = u32::try_from(limits::GET_MANY_BLOBS).expect("few");
    // The same blob as often as may be: what is asked for is there.
    let ordinals = (0..most).map(|_| 0).collect();
    let groups = vec![Group { log, ordinals }];
    Request::Many(GetMany { id, groups }).to_frame()
}

fn devices(first: u16, count: usize, dice: &mut Dice) -> Vec<u8> {
    let devices = (0..count).map(|_| DeviceId(array(dice))).collect();
    Message::Devices(Devices { first, devices }).to_frame()
}

fn statement(nth: u32, dice: &mut Dice) -> Vec<u8> {
    let raw = SignedBytes {
        bytes: dice.bytes(limits::GOSSIP_BYTES / 2),
        signature: Signature([7; 64]),
    };
    let (kind, space) = (u8::try_from(nth % 5).expect("small"), None);
    Message::Gossip(Gossip { kind, space, raw }).to_frame()
}

impl Kind {
    fn proto(self) -> Proto {
        match self {
            Self::Requests | Self::Mumbled | Self::Torn => Proto::Blob,
            Self::Pairing => Proto::Pair,
            _ => Proto::Sync,
        }
    }

    /// Whether it takes in what it is answered.
    fn reads(self) -> bool {
        !matches!(self, Self::Pulls | Self::Requests | Self::Pairing)
    }

    /// On how many streams a nuisance comes, and how many pieces on each.
    fn dose(self) -> (usize, u32) {
        match self {
            Self::Later | Self::Statements => (1, 32),
            Self::Halves | Self::Torn => (2 * HELD, 1),
            Self::Comings => (100, 0),
            Self::Requests => (HELD, 30),
            Self::Pairing => (2 * HELD, 3),
            Self::LaterEntries | Self::Replays | Self::Claims | Self::Pulls => (1, 100),
            // Breaches: until they are heard.
            _ => (1, 60),
        }
    }

    /// The next piece.
    fn piece(self, nth: u32, lore: &Lore, dice: &mut Dice) -> Vec<u8> {
        let most = limits::FRAME_BYTES;
        match self {
            Self::Lengths => [&[0xff; 4][..], &dice.bytes(60_000)].concat(),
            Self::Noise => raw(most, 1, &dice.bytes(most - 2)),
            Self::Mumbled => raw(limits::BLOB_ASK_BYTES, 2, &dice.bytes(10_000)),
            Self::Later => raw(most, 999, &vec![7; most - 2]),
            Self::Halves => raw(most, 999, &vec![7; most / 2]),
            Self::Pairing => raw(60_000, 1, &dice.bytes(60_000)),
            Self::Comings => Vec::new(),
            Self::Torn => many(nth, lore.log())[..20].to_vec(),
            Self::Requests => many(nth, lore.log()),
            Self::Spaces => {
                let rows = spaces(10_000, dice)
                    .into_iter()
                    .map(|space| (space, [1; 16]))
                    .collect();
                Message::Spaces(Spaces { rows, more: true }).to_frame()
            }
            Self::Devices => devices(0, 1000, dice),
            Self::Asks => asks(nth * 1000..(nth + 1) * 1000, &lore.spaces),
            Self::Unasked => {
                let (ask, part, entries) = (7, 0, vec![lore.entry()]);
                Message::Entries(Entries { ask, part, entries }).to_frame()
            }
            Self::Forged => {
                let mut entry = lore.entry();
                entry.signature.0[0] ^= 1;
                Message::Announce(Announce { entry }).to_frame()
            }
            Self::LaterEntries => {
                let mut header = dice.bytes(300);
                header[0] = 99;
                let (signature, body) = (Signature([7; 64]), dice.bytes(30_000));
                let entry = EntryBytes {
                    header,
                    signature,
                    body,
                };
                Message::Announce(Announce { entry }).to_frame()
            }
            Self::Replays => {
                let short = |entry: &&EntryBytes| entry.size() < limits::ANNOUNCE_INLINE_BYTES;
                let known = lore.entries.iter().filter(short).cloned();
                known
                    .flat_map(|entry| Message::Announce(Announce { entry }).to_frame())
                    .collect()
            }
            Self::Statements => statement(nth, dice),
            Self::Claims if nth == 0 => devices(0, 8, dice),
            Self::Claims => claims(lore, dice).to_frame(),
            Self::Pulls => {
                let spaces = [spaces(10_000, dice), lore.spaces.clone()].concat();
                Message::HavePull(HavePull { spaces }).to_frame()
            }
        }
    }
}

/// Questions with these numbers, about spaces in turn.
fn asks(numbers: std::ops::Range<u32>, spaces: &[SpaceId]) -> Vec<u8> {
    let ask = |(ask, space): (u32, &SpaceId)| Heads {
        ask,
        space: *space,
        rows: Vec::new(),
        more: false,
    };
    let asks = numbers.zip(spaces.iter().cycle()).map(ask);
    asks.flat_map(|heads| Message::Heads(heads).to_frame())
        .collect()
}

/// Reads until nothing more comes.
async fn end_of(read: &mut (impl AsyncRead + Unpin)) {
    let mut bytes = vec![0; 65_536];
    while matches!(read.read(&mut bytes).await, Ok(1..)) {}
}

async fn heard(stream: &mut Stream) -> Option<Message> {
    let read = async {
        let mut prefix = [0; PREFIX_BYTES];
        stream.read_exact(&mut prefix).await.ok()?;
        let mut frame = vec![0; Message::frame_len(prefix).expect("a frame")];
        stream.read_exact(&mut frame).await.ok()?;
        Some(Message::from_frame(&frame).expect("a message"))
    };
    timeout(PATIENCE, read).await.expect("a word or the end")
}

/// A device's place in the network with nothing behind it that keeps to the rules.
pub(super) struct Bad {
    net: Net,
    peer: Peer,
    pub(super) address: Address,
}

impl Bad {
    /// Goes by the key of a home whose node does not run, and talks to one other.
    pub(super) async fn of(home: &Device, other: &Running) -> Self {
        let store = Store::open(&home.home).expect("a home");
        let identity = Identity::load(&store).expect("readable").expect("a key");
        // What is kept of a device begins with the seed of the key that it signs with.
        let seed: [u8; 32] = wire::encode(&identity)[..32].try_into().expect("a seed");
        drop(store);
        let address: Address = other.addresses()[0].parse().expect("an address");
        let peer = address.peer.expect("whose it is");
        let config = NetConfig {
            listen: Vec::new(),
            discovery: false,
            ..NetConfig::new(seed.into())
        };
        let (net, mut events) = Net::start(config).await.expect("a network");
        // Streams that come the other way are held and never read.
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Some(event) = events.recv().await {
                if let NetEvent::Stream { stream, .. } = event {
                    held.push(stream);
                }
            }
        });
        net.set_allowed([peer].into()).await.expect("it runs");
        Self { net, peer, address }
    }

    /// A stream, whatever becomes of it; none where the connection has just ended.
    pub(super) async fn open(&self, proto: Proto) -> Option<Stream> {
        let dialled = self.net.dial(Whom::Device(self.peer), vec![self.address]);
        timeout(PATIENCE, dialled).await.expect("an answer").ok()?;
        let opened = timeout(PATIENCE, self.net.open(self.peer, proto)).await;
        opened.expect("an answer").ok()
    }

    /// A stream on which it was let in, and greeted as an honest device does.
    async fn enter(&self, proto: Proto) -> Option<Stream> {
        let mut stream = self.open(proto).await?;
        if proto == Proto::Sync {
            stream.write_all(&hello()).await.ok()?;
            stream.flush().await.ok()?;
            let greeted = heard(&mut stream).await?;
            assert!(matches!(greeted, Message::Hello(_)), "{greeted:?}");
        }
        Some(stream)
    }

    /// Learns what it may know.
    pub(super) async fn lore(&self) -> Lore {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "it is not let in");
            if let Some(lore) = self.learn().await {
                return lore;
            }
        }
    }

    async fn learn(&self) -> Option<Lore> {
        let mut stream = self.enter(Proto::Sync).await?;
        let (mut spaces, mut entries, mut answered) = (Vec::new(), Vec::new(), 0);
        while spaces.is_empty() || answered < spaces.len() {
            match heard(&mut stream).await? {
                Message::Spaces(told) if spaces.is_empty() => {
                    spaces.extend(told.rows.into_iter().map(|(space, _)| space));
                    let count = u32::try_from(spaces.len()).expect("few");
                    stream.write_all(&asks(0..count, &spaces)).await.ok()?;
                    stream.flush().await.ok()?;
                }
                Message::Entries(part) => entries.extend(part.entries),
                Message::Sent(_) => answered += 1,
                _ => {}
            }
        }
        Some(Lore { spaces, entries })
    }

    /// Sends so many pieces on a new stream, unless that ends before; gives the bytes, and the stream if it has not.
    async fn send(&self, kind: Kind, lore: &Lore, dice: &mut Dice) -> (usize, Option<Stream>) {
        let Some(stream) = self.enter(kind.proto()).await else {
            return (0, None);
        };
        let (mut read, mut write) = tokio::io::split(stream);
        let mut sent = 0;
        for nth in 0..kind.dose().1 {
            let piece = kind.piece(nth, lore, dice);
            let wrote = async {
                write.write_all(&piece).await?;
                write.flush().await
            };
            // A stream that the node has left takes no more, which shows where it is read, or as silence.
            let is_over = tokio::select! {
                biased;
                wrote = timeout(SILENCE, wrote) => !matches!(wrote, Ok(Ok(()))),
                () = end_of(&mut read), if kind.reads() => true,
            };
            if is_over {
                return (sent, None);
            }
            sent += piece.len();
        }
        (sent, Some(read.unsplit(write)))
    }

    /// Whether a stream of any kind ends without a word.
    async fn is_kept_away(&self, lore: &Lore) -> bool {
        for proto in [Proto::Sync, Proto::Blob, Proto::Pair] {
            let Some(mut stream) = self.open(proto).await else {
                return false;
            };
            let said = match proto {
                Proto::Sync => hello(),
                Proto::Blob => many(1, lore.log()),
                Proto::Pair => Vec::new(),
            };
            // Who is kept away may find the stream closed already.
            let _ = stream.write_all(&said).await;
            let _ = stream.flush().await;
            let mut answer = [0; 1];
            let read = timeout(PATIENCE, stream.read(&mut answer)).await;
            if matches!(read.expect("an answer or the end"), Ok(1..)) {
                return false;
            }
        }
        true
    }
}

/// What a process has in memory of its own, in KiB.
pub(super) fn resident(node: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.expect("a kernel tells it").parse().expect("a number")
}

/// Whether a device is named for what it sent.
fn is_named(by: &Device, name: &str) -> bool {
    let lines = by.ok(&["status"]);
    let problems = lines[0]["problems"].as_array().expect("problems");
    let mut texts = problems.iter().filter_map(Value::as_str);
    texts.any(|text| text.starts_with(&format!("{name} has sent ")))
}

/// Two devices that keep to the rules beside one that does not.
struct Honest<'a> {
    a: &'a Device,
    b: &'a Device,
    folder: &'a Path,
    dice: Dice,
    added: usize,
}

impl Honest<'_> {
    /// Adds a photo at one device and waits until the other has it.
    fn add(&mut self) -> Duration {
        let photo = self.folder.join(format!("{}.bmp", self.added));
        fs::write(&photo, pictures::bmp(200, &mut self.dice)).expect("a photo");
        self.added += 1;
        let began = Instant::now();
        self.a.ok(&["import", photo.to_str().expect("UTF-8")]);
        wait_until("the other device has it", PATIENCE, || {
            let assets = self.b.assets();
            let here = |asset: &&Value| asset["here"]["original"] == true;
            assets.iter().filter(here).count() == self.added
        });
        began.elapsed()
    }
}

/// A node under what is sent to it, while two devices go on.
struct Play<'a> {
    a: &'a Device,
    node: &'a Running,
    honest: Honest<'a>,
    noise: Dice,
    runtime: tokio::runtime::Runtime,
    before: u64,
    most: u64,
}

impl<'a> Play<'a> {
    fn new(a: &'a Device, node: &'a Running, honest: Honest<'a>) -> Self {
        let before = resident(node);
        Self {
            a,
            node,
            honest,
            noise: Dice::new(),
            runtime: tokio::runtime::Runtime::new().expect("threads"),
            before,
            most: before,
        }
    }

    /// Sends one kind, has a photo go from one device to the other meanwhile, and holds the node to its memory.
    fn play(&mut self, kind: Kind, bad: &Bad, lore: &Lore) -> Vec<Stream> {
        let (a, node, noise, most) = (self.a, self.node, &mut self.noise, &mut self.most);
        let mut look = || *most = resident(node).max(*most);
        let (honest, runtime) = (&mut self.honest, &self.runtime);
        let (sent, held, took) = std::thread::scope(|scope| {
            let adding = scope.spawn(|| honest.add());
            let sending = async {
                match BREACHES.contains(&kind) {
                    true => (breach(kind, bad, lore, noise, &mut look).await, Vec::new()),
                    false => bother(kind, bad, lore, noise, &mut look).await,
                }
            };
            let (sent, held) = runtime.block_on(sending);
            (sent, held, adding.join().expect("it got in"))
        });
        look();
        let name = format!("{kind:?}");
        let grown = self.most.saturating_sub(self.before);
        report(&format!(
            "{name}: {sent} bytes, a photo took {took:?} meanwhile; {grown} KiB more by now"
        ));
        assert!(grown <= GROWTH, "{name}: {grown} KiB");
        let named: Vec<_> = [name.as_str(), PHONE]
            .into_iter()
            .filter(|name| is_named(a, name))
            .collect();
        let breach: &[&str] = match BREACHES.contains(&kind) {
            true => &[&name],
            false => &[],
        };
        assert_eq!(named, breach, "{name}");
        held
    }
}

/// Sends what is a breach until the device is kept away for it; says how much it sent.
async fn breach(
    kind: Kind,
    bad: &Bad,
    lore: &Lore,
    noise: &mut Dice,
    look: &mut impl FnMut(),
) -> usize {
    let began = Instant::now();
    let mut sent = 0;
    loop {
        let (bytes, stream) = bad.send(kind, lore, noise).await;
        sent += bytes;
        look();
        // Until all of it was heard: another session would end this one.
        if let Some(mut stream) = stream {
            let ended = timeout(PATIENCE, end_of(&mut stream)).await;
            assert!(ended.is_ok(), "{kind:?}: it is listened to");
        }
        // A node that calls at the same time ends one of the two sessions, and this was it.
        if bad.is_kept_away(lore).await {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{kind:?}: it is let in");
    }
    assert!(sent > 0, "{kind:?}: it was never let in");
    sent
}

/// Sends all of what is none; how much that is, and the streams that it leaves open.
async fn bother(
    kind: Kind,
    bad: &Bad,
    lore: &Lore,
    noise: &mut Dice,
    look: &mut impl FnMut(),
) -> (usize, Vec<Stream>) {
    let (began, goes_on) = (Instant::now(), seconds());
    let (mut all, mut held, mut done) = (0, VecDeque::new(), 0);
    while done < kind.dose().0 || began.elapsed() < goes_on {
        let is_late = done == 0 && began.elapsed() >= PATIENCE;
        assert!(
            !is_late && began.elapsed() < PATIENCE + goes_on,
            "{kind:?}: it is not let in"
        );
        let (sent, stream) = bad.send(kind, lore, noise).await;
        look();
        all += sent;
        done += usize::from(stream.is_some());
        held.extend(stream);
        if held.len() > HELD {
            held.pop_front();
        }
    }
    (all, held.into())
}

#[test]
fn a_device_that_has_gone_bad_is_named_and_kept_away_and_costs_the_others_nothing() {
    let homes = Homes::new();
    let [a, b] = ["a", "b"].map(|name| homes.device(name));
    a.init("Berger", "Anna", "laptop");
    let node = a.serve();
    pair(&a, &["--device"], &b, "desk", link);
    // One for each breach, as each is kept away for it, and one for all the rest.
    let join = |name: &str| {
        let home = homes.device(name);
        pair(&a, &["--device"], &home, name, link);
        home
    };
    let breaches = BREACHES.map(|kind| (kind, join(&format!("{kind:?}"))));
    let nuisance = join(PHONE);
    let other = b.serve();
    let folder = homes.path().join("photos");
    fs::create_dir(&folder).expect("a folder");
    let mut honest = Honest {
        a: &a,
        b: &b,
        folder: &folder,
        dice: Dice::new(),
        added: 0,
    };
    honest.add();
    let quiet = honest.add();
    report(&format!("a photo takes {quiet:?} while nothing is sent"));

    let mut play = Play::new(&a, &node, honest);
    let phone = play.runtime.block_on(Bad::of(&nuisance, &node));
    let lore = play.runtime.block_on(phone.lore());
    let mut held = Vec::new();
    for kind in NUISANCES {
        drop(std::mem::take(&mut held));
        held = play.play(kind, &phone, &lore);
    }
    // What was asked for last waits to be taken all the while.
    for (kind, home) in &breaches {
        let bad = play.runtime.block_on(Bad::of(home, &node));
        play.play(*kind, &bad, &lore);
    }
    assert!(!is_named(&a, "desk"));
    drop(held);
    // Who sent much of what may be sent is let in as before.
    play.runtime.block_on(phone.lore());
    play.honest.add();
    let grown = play.most.saturating_sub(play.before);
    report(&format!("{grown} KiB more at most"));
    drop((play, phone));

    let out = homes.path().join("out");
    b.ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]);
    let sent: Vec<_> = sums(&folder).into_keys().collect();
    assert_eq!(sums(&out).into_keys().collect::<Vec<_>>(), sent);
    other.stop();
    node.stop();
    for (kind, _) in &breaches {
        assert!(is_named(&a, &format!("{kind:?}")), "{kind:?}: forgotten");
    }
    for device in [&a, &b] {
        device.is_whole();
        device.never_panicked();
    }
}
