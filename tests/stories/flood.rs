//! A stranger on the local network that announces without end, strangers and what a device of the family has
//! announced itself: the node stays small, makes few calls for it, and still finds its family.
#![cfg(target_os = "linux")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use crate::devices::{
    Device, Dice, Homes, Running, link,
    namespaces::{Cable, End, Kind, kinds, lacking},
    pair, report, skipped, wait_until,
};

/// Announcements of the flood, each of a node of its own; every other one says what a device of the family said.
const FLOOD: u32 = 100_000;
/// Sent before the sender waits: what no socket holds is lost, and would flood nobody.
const BURST: u32 = 200;
const PAUSE: Duration = Duration::from_millis(5);
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5353);
const PATIENCE: Duration = Duration::from_secs(90);
/// What a node may grow by, whatever is announced.
const GROWTH: u64 = 96 * 1024 * 1024;
/// Addresses that may be called in a minute for what a device of the family is said to be at.
const CALLED: usize = 64;

fn device(homes: &Homes, name: &str, end: &End) -> Device {
    let mut device = homes.device(name);
    fs::remove_file(device.home.join("config.toml")).expect("it was there");
    device.prefix = end.prefix();
    device
}

/// A name of DNS.
fn name(labels: &[&str]) -> Vec<u8> {
    let mut name = Vec::new();
    for label in labels {
        name.push(u8::try_from(label.len()).expect("a short label"));
        name.extend_from_slice(label.as_bytes());
    }
    name.push(0);
    name
}

fn record(of: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = of.to_vec();
    record.extend_from_slice(&kind.to_be_bytes());
    record.extend_from_slice(&1_u16.to_be_bytes());
    record.extend_from_slice(&4500_u32.to_be_bytes());
    record.extend_from_slice(&u16::try_from(data.len()).expect("short").to_be_bytes());
    record.extend_from_slice(data);
    record
}

/// What an announcement says of who it is, in hex, and the port.
#[derive(Clone)]
struct Said {
    nonce: String,
    tag: String,
    port: u16,
}

impl Said {
    fn stranger(dice: &mut Dice) -> Self {
        let hex = |bytes: Vec<u8>| data_encoding::HEXLOWER.encode(&bytes);
        Self {
            nonce: hex(dice.bytes(8)),
            tag: hex(dice.bytes(16)),
            port: 4001,
        }
    }

    /// What a device has announced that listens at a port, out of all packets of its network.
    fn heard(packets: &[Vec<u8>], from: Ipv4Addr, port: u16) -> Option<Self> {
        let value = |packet: &[u8], name: &[u8], digits: usize| {
            let key = [&[u8::try_from(digits + 2).ok()?][..], name].concat();
            let at = packet.windows(key.len()).position(|found| found == key)?;
            let text = packet.get(at + key.len()..)?.get(..digits)?;
            String::from_utf8(text.to_vec()).ok()
        };
        let mut said = packets
            .iter()
            .filter(|packet| packet.get(12..16) == Some(&from.octets()[..]))
            .filter_map(|packet| value(packet, b"n=", 16).zip(value(packet, b"t=", 32)));
        let (nonce, tag) = said.next_back()?;
        Some(Self { nonce, tag, port })
    }
}

/// What a node announces (RFC 6763): the service, where it is, what it says.
fn announcement(nth: u32, said: &Said) -> Vec<u8> {
    const PTR: u16 = 12;
    const TXT: u16 = 16;
    const SRV: u16 = 33;
    const A: u16 = 1;
    let (instance, host) = (format!("{nth:016x}"), format!("{nth:015x}h"));
    let service = name(&["_heirloom", "_udp", "local"]);
    let instance = name(&[&instance, "_heirloom", "_udp", "local"]);
    let host = name(&[&host, "local"]);
    let mut says = Vec::new();
    for text in [
        "v=1".to_owned(),
        format!("n={}", said.nonce),
        format!("t={}", said.tag),
    ] {
        says.push(u8::try_from(text.len()).expect("short"));
        says.extend_from_slice(text.as_bytes());
    }
    let port = [&[0; 4][..], &said.port.to_be_bytes(), &host].concat();
    let [.., high, low] = nth.to_be_bytes();
    let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    packet.extend(record(&service, PTR, &instance));
    packet.extend(record(&instance, SRV, &port));
    packet.extend(record(&instance, TXT, &says));
    packet.extend(record(&host, A, &[10, 88, high, low]));
    packet
}

fn flood(end: &End, family: &Said, dice: &mut Dice) {
    end.within(|| {
        let socket = UdpSocket::bind((end.ip, GROUP.1)).expect("the port is free here");
        for nth in 0..FLOOD {
            let said = match nth % 2 {
                0 => family.clone(),
                _ => Said::stranger(dice),
            };
            socket
                .send_to(&announcement(nth, &said), GROUP)
                .expect("it is sent");
            if nth % BURST == 0 {
                std::thread::sleep(PAUSE);
            }
        }
    });
}

/// How many addresses that are nowhere were called.
fn called(seen: &BTreeMap<Kind, usize>) -> usize {
    let nowhere = |ip: &IpAddr| matches!(ip, IpAddr::V4(ip) if ip.octets()[..2] == [10, 88]);
    let called = seen.keys().filter_map(|kind| match kind {
        Kind::Tcp(one, other) => [one, other].into_iter().find(|ip| nowhere(ip)),
        _ => None,
    });
    called.collect::<BTreeSet<_>>().len()
}

/// Bytes of memory that a process has now.
fn memory(running: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", running.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.expect("its size").parse::<u64>().expect("a number") * 1024
}

#[test]
fn a_flood_of_announcements_neither_fills_memory_nor_leads_to_many_calls() {
    if let Some(why) = lacking() {
        skipped(why);
        return;
    }
    let homes = Homes::new();
    let mut dice = Dice::new();
    let cable = Cable::new('f');
    // Whoever is called at an address that is nowhere is seen to be called.
    cable.lead_out();
    let [one, two] = &cable.ends;
    let [a, b] = [device(&homes, "a", one), device(&homes, "b", two)];
    a.init("Berger", "Anna", "laptop");
    for device in [&a, &b] {
        device.ok(&["config", "set", "lan_only", "true"]);
    }
    let a_node = a.serve_with(&[]);
    pair(&a, &["--device"], &b, "pi", link);
    a.forget_all();
    // What the other device announces is kept and said again once it is gone.
    let overheard = one.capture();
    let b_node = b.serve_with(&[]);
    let mut family = None;
    wait_until("it announces itself", PATIENCE, || {
        family = Said::heard(&overheard.packets(), two.ip, b_node.port());
        family.is_some()
    });
    wait_until("they meet", PATIENCE, || {
        let lines = a.ok(&["peer", "list"]);
        lines.iter().any(|line| line["path"] == "lan")
    });
    b_node.stop();
    a.forget_all();
    drop(overheard);
    let capture = one.capture();
    let before = memory(&a_node);
    let since = Instant::now();
    flood(two, &family.expect("heard"), &mut dice);
    let after = memory(&a_node);
    let took = since.elapsed();
    let seen = kinds(&capture.packets());
    let heard = seen.get(&Kind::Mdns).copied().unwrap_or(0);
    report(&format!(
        "{FLOOD} announcements in {took:?}, {heard} packets on the cable: {} MiB before, {} MiB after",
        before >> 20,
        after >> 20
    ));
    assert!(
        heard > usize::try_from(FLOOD / 2).expect("it fits"),
        "{heard}"
    );
    assert!(after < before + GROWTH, "{before} {after}");
    let calls = called(&seen);
    report(&format!("{calls} addresses were called"));
    // At least one, or what was said again was not taken for the device's.
    let minutes = usize::try_from(took.as_secs() / 60 + 1).expect("few");
    assert!((1..=CALLED * minutes).contains(&calls), "{calls}");
    // Who is family is found as before.
    b.forget_all();
    let b_node = b.serve_with(&[]);
    wait_until("they meet", PATIENCE, || {
        let lines = a.ok(&["peer", "list"]);
        lines.iter().any(|line| line["path"] == "lan")
    });
    report(&format!(
        "found again; {} MiB, {} addresses called",
        memory(&a_node) >> 20,
        called(&kinds(&capture.packets()))
    ));
    assert!(memory(&a_node) < before + GROWTH);
    drop((a_node, b_node));
    a.never_panicked();
    b.never_panicked();
}
