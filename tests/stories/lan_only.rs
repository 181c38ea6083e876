//! A node that talks to its own network alone, on a cable that leads everywhere, with an address book
//! full of the world's addresses: every packet is looked at.
#![cfg(target_os = "linux")]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream},
    time::Duration,
};

use crate::devices::{
    Device, Dice, Homes, alike,
    namespaces::{Cable, End, Kind, kinds, lacking},
    pair, pictures, report, skipped, wait_until, words,
};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

/// How long the network may need for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// An address of the world that answers, as this cable leads there.
const WORLD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The same, for a store.
const STORE: &str = "198.51.100.7";
const ICMPV6: u8 = 58;
/// What both sides of a connection say first.
const HELLO: &[u8] = b"\x13/multistream/1.0.0\n";

fn device(homes: &Homes, name: &str, end: &End) -> Device {
    let mut device = homes.device(name);
    fs::remove_file(device.home.join("config.toml")).expect("it was there");
    device.prefix = end.prefix();
    device
}

/// The packets that went neither to the other end of the cable nor to a group of the link, by kind.
fn strays(packets: &[Vec<u8>], ends: &[IpAddr]) -> BTreeMap<Kind, usize> {
    let mut strays = kinds(packets);
    strays.retain(|kind, _| match kind {
        Kind::Tcp(one, other) => !(ends.contains(one) && ends.contains(other)),
        Kind::Mdns | Kind::Kernel | Kind::Loopback => false,
        // Who is at an address of the link is asked and told by the kernel.
        Kind::Other(ICMPV6, Some(to)) => !ends.contains(to),
        Kind::Router | Kind::Other(..) => true,
    });
    strays
}

/// Fills the address book of a device with addresses of another one that are all over the world.
fn scatter(device: &Device, peer: &str) {
    for nth in 1..=5 {
        let address = format!("/ip4/203.0.113.{nth}/tcp/4001/p2p/{peer}");
        device.ok(&["peer", "add", &address]);
    }
    // Shared address space (RFC 6598) is not this network's own either.
    for ip in ["/ip6/2001:db8::1", "/ip4/100.64.0.9"] {
        device.ok(&["peer", "add", &format!("{ip}/tcp/4001/p2p/{peer}")]);
    }
}

/// What a node says to a caller that comes from this address of the other end.
fn answer(end: &End, from: Ipv4Addr, to: SocketAddrV4) -> Vec<u8> {
    end.within(|| {
        let caller = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&caller, &SocketAddr::from((from, 0))).expect("its address");
        connect(&caller, &SocketAddr::from(to)).expect("the kernel answers");
        let mut caller = TcpStream::from(caller);
        caller.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // It may be closed already.
        let _ = caller.write_all(HELLO);
        let mut said = vec![0; HELLO.len()];
        match caller.read(&mut said) {
            Ok(count) => said.truncate(count),
            Err(_) => said.clear(),
        }
        said
    })
}

/// Somebody has this address, and runs no store.
fn add_far_depot(device: &Device) {
    let endpoint = format!("http://{STORE}:9");
    let place = ["depot", "add", "s3://photos", "--endpoint", &endpoint];
    let (told, exit) = device.run(&place, "");
    assert_eq!(exit, 1, "{told}");
}

fn refused(device: &Device) {
    let (told, exit) = device.run(&["sync", "--timeout", "3s"], "");
    assert_ne!(exit, 0, "{told}");
}

#[test]
fn lan_only_sends_no_packet_to_any_other_network() {
    if let Some(why) = lacking() {
        skipped(why);
        return;
    }
    let homes = Homes::new();
    let mut dice = Dice::new();
    let cable = Cable::new('l');
    cable.lead_out();
    let [one, two] = &cable.ends;
    let ends: Vec<IpAddr> = cable.ends.iter().flat_map(End::addresses).collect();
    let [mut a, b] = [device(&homes, "a", one), device(&homes, "b", two)];
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        a.env.insert(name.to_owned(), "heirloom".to_owned());
    }
    let photos = homes.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    fs::write(photos.join("one.bmp"), pictures::bmp(90, &mut dice)).expect("a photo");
    a.init("Berger", "Anna", "laptop");
    a.ok(&[
        "import",
        photos.to_str().expect("UTF-8"),
        "--album",
        "Summer",
    ]);
    // Before it has talked to anybody.
    for device in [&a, &b] {
        device.ok(&["config", "set", "lan_only", "true"]);
    }
    let capture = one.capture();

    // It finds, pairs with and syncs with who is near.
    let a_node = a.serve_with(&[]);
    assert_eq!(a_node.ready["lan_only"], true);
    pair(&a, &["--device"], &b, "pi", words);
    let b_node = b.serve_with(&[]);
    wait_until("the photo", PATIENCE, || b.assets().len() == 1);
    let peer = b_node.ready["peer"].as_str().expect("a peer").to_owned();
    drop((a_node, b_node));
    a.forget_all();
    scatter(&a, &peer);
    refused(&a);
    // With the world in its book a node still gets along with who is near, and with nobody else.
    fs::write(photos.join("two.bmp"), pictures::bmp(90, &mut dice)).expect("a photo");
    a.ok(&[
        "import",
        photos.to_str().expect("UTF-8"),
        "--album",
        "Summer",
    ]);
    let a_node = a.serve_with(&[]);
    let b_node = b.serve_with(&[]);
    wait_until("the second photo", PATIENCE, || b.assets().len() == 2);
    assert_eq!(alike(&a.assets()), alike(&b.assets()));
    drop(b_node);
    let seen = kinds(&capture.packets());
    report(&format!("lan only: {seen:?}"));
    assert!(seen.keys().any(|kind| matches!(kind, Kind::Tcp(..))));
    assert!(seen.contains_key(&Kind::Mdns));
    let strays_seen = strays(&capture.packets(), &ends);
    report(&format!("packets to other networks: {}", strays_seen.len()));
    assert!(strays_seen.is_empty(), "{strays_seen:?}");

    // Who calls from elsewhere hears nothing.
    two.own(WORLD);
    let listens = SocketAddrV4::new(one.ip, a_node.port());
    assert_eq!(answer(two, WORLD, listens), b"");
    assert_eq!(answer(two, two.ip, listens), HELLO);
    a_node.stop();

    // A node that was told so when it was started, whatever the home's settings say: nor to a store of the world.
    a.ok(&["config", "set", "lan_only", "false"]);
    let capture = one.capture();
    let a_node = a.serve_with(&["--lan-only"]);
    add_far_depot(&a);
    a_node.stop();
    let seen = strays(&capture.packets(), &ends);
    assert!(seen.is_empty(), "{seen:?}");

    // The same home without the rule: the counter counts.
    let capture = one.capture();
    refused(&a);
    add_far_depot(&a);
    let seen = strays(&capture.packets(), &ends);
    report(&format!("without the rule: {seen:?}"));
    let world = ["203.0.113.1", "203.0.113.5", "2001:db8::1", "100.64.0.9"];
    let world = world.iter().chain([&STORE]);
    for ip in world.map(|ip| ip.parse::<IpAddr>().expect("an address")) {
        let is_called = |kind: &Kind| matches!(kind, Kind::Tcp(x, y) if [x, y].contains(&&ip));
        assert!(seen.keys().any(is_called), "{ip}");
    }

    // A range that is listed is near.
    let capture = one.capture();
    a.ok(&["config", "set", "lan_only", "true"]);
    a.ok(&["config", "set", "lan_ranges", "100.64.0.0/10"]);
    refused(&a);
    let seen = strays(&capture.packets(), &ends);
    assert_eq!(seen.len(), 1, "{seen:?}");
    let overlay: IpAddr = [100, 64, 0, 9].into();
    assert!(matches!(seen.keys().next(), Some(Kind::Tcp(x, y)) if [x, y].contains(&&overlay)));
    a.never_panicked();
    b.never_panicked();
}
