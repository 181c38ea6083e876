//! Two machines on one cable that leads nowhere else: pairing by the words alone, sync by discovery,
//! and nothing on the cable but that and the question whether a router opens a port.
#![cfg(target_os = "linux")]

use std::{collections::BTreeSet, fs, net::IpAddr, time::Duration};

use crate::devices::{
    Device, Dice, Homes, alike,
    namespaces::{Cable, End, Kind, kinds, lacking},
    pair, pictures, report, skipped, sums, wait_until, words,
};

/// How long the network may need to come back after the cable was plugged in again.
const RECONNECT: Duration = Duration::from_secs(90);

fn device(homes: &Homes, name: &str, end: &End) -> Device {
    let mut device = homes.device(name);
    fs::remove_file(device.home.join("config.toml")).expect("it was there");
    device.prefix = end.prefix();
    device
}

fn is_connected(device: &Device) -> bool {
    let lines = device.ok(&["status"]);
    let status = lines.iter().find(|line| line["type"] == "status");
    let peers = status.expect("a status")["peers"].as_array();
    let peers = peers.expect("peers");
    assert_eq!(peers.len(), 1);
    peers[0]["connected"] == true
}

#[test]
fn two_machines_on_a_cable_find_each_other_and_speak_to_nobody_else() {
    if let Some(why) = lacking() {
        skipped(why);
        return;
    }
    let homes = Homes::new();
    let mut dice = Dice::new();
    let cable = Cable::new('n');
    let captures = cable.ends.each_ref().map(End::capture);
    let [a, b] = [("a", 0), ("b", 1)].map(|(name, nth)| device(&homes, name, &cable.ends[nth]));
    let photos = homes.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    let take = |name: &str, dice: &mut Dice| {
        fs::write(photos.join(name), pictures::bmp(90, dice)).expect("a photo");
        let photos = photos.to_str().expect("UTF-8");
        a.ok(&["import", photos, "--album", "Summer"]);
    };
    a.init("Berger", "Anna", "laptop");
    take("one.bmp", &mut dice);
    take("two.bmp", &mut dice);

    // The words alone: where the other one is, the network tells.
    let a_node = a.serve_with(&[]);
    pair(&a, &["--device"], &b, "pi", words);
    drop(a_node);
    b.forget_all();
    let a_node = a.serve_with(&[]);
    let summary = b.ok(&["sync"]).pop().expect("a summary");
    assert_eq!(summary["settled"], true, "{summary}");
    assert_eq!(alike(&a.assets()), alike(&b.assets()));
    let out = homes.path().join("out");
    b.ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]);
    assert!(sums(&photos).into_keys().eq(sums(&out).into_keys()));
    assert_eq!(sums(&out).len(), 2);

    let b_node = b.serve_with(&[]);
    wait_until("the served nodes meet", RECONNECT, || is_connected(&b));
    // The cable is out for a moment: the connection may live through it.
    cable.plug(false);
    take("three.bmp", &mut dice);
    assert_eq!(b.assets().len(), 2);
    cable.plug(true);
    wait_until("the third photo", RECONNECT, || b.assets().len() == 3);
    // And for as long as it takes both to notice.
    cable.plug(false);
    take("four.bmp", &mut dice);
    wait_until("both notice", RECONNECT, || {
        !is_connected(&a) && !is_connected(&b)
    });
    b.forget_all();
    cable.plug(true);
    wait_until("the fourth photo", RECONNECT, || b.assets().len() == 4);
    wait_until("its original", RECONNECT, || {
        b.assets()
            .iter()
            .all(|asset| asset["here"]["original"] == true)
    });
    drop((a_node, b_node));
    assert_eq!(alike(&a.assets()), alike(&b.assets()));

    let ends: BTreeSet<IpAddr> = cable.ends.iter().flat_map(End::addresses).collect();
    assert!(ends.len() >= 2, "{ends:?}");
    for capture in &captures {
        let kinds = kinds(&capture.packets());
        report(&format!("{kinds:?}"));
        assert!(kinds.contains_key(&Kind::Mdns));
        let is_tcp = |kind: &&Kind| matches!(kind, Kind::Tcp(..));
        assert!(kinds.keys().any(|kind| is_tcp(&kind)));
        let strays: Vec<_> = kinds
            .keys()
            .filter(|kind| match kind {
                Kind::Tcp(one, other) => !(ends.contains(one) && ends.contains(other)),
                Kind::Mdns | Kind::Router | Kind::Kernel | Kind::Loopback => false,
                Kind::Other(..) => true,
            })
            .collect();
        assert!(strays.is_empty(), "{strays:?}");
    }
    a.never_panicked();
    b.never_panicked();
}

#[test]
fn a_packet_with_another_destination_is_noticed() {
    if let Some(why) = lacking() {
        skipped(why);
        return;
    }
    let cable = Cable::new('s');
    cable.lead_out();
    let [one, two] = &cable.ends;
    let capture = one.capture();
    let far: IpAddr = [192, 0, 2, 7].into();
    one.within(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket.send_to(b"stray", (far, 53)).expect("it is sent");
        socket.send_to(b"near", (two.ip, 53)).expect("it is sent");
    });
    wait_until("the strays", Duration::from_secs(10), || {
        let kinds = kinds(&capture.packets());
        [far, two.ip.into()]
            .iter()
            .all(|ip| kinds.contains_key(&Kind::Other(17, Some(*ip))))
    });
}
