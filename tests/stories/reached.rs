//! A home whose router leads a port to a device: how that is found out, and what it is good for.
#![cfg(target_os = "linux")]

use std::{fs, net::TcpListener};

use crate::devices::{
    Device, Dice, Homes,
    internet::{Internet, Router, lacking_internet},
    link, pair, skipped,
    upnp::{Opener, lacking_opener},
    wait_until,
};

use serde_json::Value;

use super::between_homes::{Family, PATIENCE, PORT, path, photos, wait_for_path};

/// What the doctor says of the way between homes.
fn homes_check(device: &Device) -> Value {
    let (lines, _) = device.start(&["doctor"]).all();
    let check = lines.iter().find(|line| line["name"] == "homes");
    check.expect("the doctor looks").clone()
}

fn told(device: &Device) -> String {
    homes_check(device)["message"].to_string()
}

/// That the way is proved, which it was not before.
fn somebody_came_in(device: &Device, address: &str) {
    wait_until("it is known that somebody came in", PATIENCE, || {
        told(device).contains(&format!("at {address}: somebody came in by it"))
    });
}

/// That the way is named as what is missing.
fn misses_the_way(device: &Device, way: &str) {
    wait_until("the doctor misses the way", PATIENCE, || {
        let check = homes_check(device);
        let said = check["message"].to_string();
        check["ok"] == false
            && said.contains("the way between two homes is off")
            && said.contains(&format!("{way} (last seen"))
    });
}

fn is_reached_at(device: &Device, address: &str) {
    let what = format!("the doctor says: at {address}");
    wait_until(&what, PATIENCE, || told(device).contains(address));
}

/// The third place turns away whoever calls it, as a router would.
fn close_the_place(internet: &Internet) {
    internet.place.rules(
        "table ip closed {
             chain coming {
                 type filter hook input priority 0;
                 iifname \"lo\" accept
                 ct state new drop
             }
         }",
    );
}

#[test]
fn a_port_that_is_set_is_listened_on_from_the_next_start_on() {
    let homes = Homes::new();
    let laptop = homes.device("laptop");
    laptop.init("Berger", "Anna", "laptop");
    // One that is free now.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    laptop.ok(&["config", "set", "port", &port.to_string()]);
    for _ in 0..2 {
        let node = laptop.serve_with(&["--no-discovery"]);
        assert_eq!(node.port(), port, "{}", node.ready);
        node.stop();
    }
    // What is said at the start goes before it.
    let node = laptop.serve_with(&["--no-discovery", "--port", "0"]);
    assert_ne!(node.port(), port, "{}", node.ready);
    node.stop();
    laptop.never_panicked();
}

#[test]
fn a_port_that_leads_home_is_found_by_calling_back_and_the_device_behind_it_relays() {
    if let Some(why) = lacking_internet() {
        skipped(why);
        return;
    }
    // No hole can be punched: a direct way is one through the port.
    let internet = Internet::new('o', Router::DrawsPorts);
    let mut dice = Dice::new();
    let mut family = Family::new(&internet);
    let relay = family.go_home(&internet);
    internet.open_port(0, PORT, PORT);
    let laptop = family.laptop.serve_with(&["--port", PORT]);
    let outside = format!("/ip4/{}/tcp/{PORT}", internet.routers[0].ip);
    is_reached_at(&family.laptop, &outside);
    let far = family.far.serve_with(&[]);
    wait_for_path(&family.far, "laptop", "direct");
    // Without the third device they stay connected, and find each other again.
    relay.kill();
    far.stop();
    let far = family.far.serve_with(&[]);
    wait_for_path(&family.far, "laptop", "direct");
    family.import("one.bmp", &mut dice);
    wait_until("the original", PATIENCE, || {
        photos(&family.far, "original") == 1
    });
    // Now it is the laptop that relays for two whom nobody can call.
    close_the_place(&internet);
    let peer = laptop.ready["peer"].as_str().expect("a peer");
    family.ben.know_only(&format!("{outside}/p2p/{peer}"));
    let ben = family.ben.serve_with(&[]);
    wait_for_path(&family.ben, "far", "relay");
    assert_eq!(path(&family.ben, "laptop").as_deref(), Some("direct"));
    drop((laptop, far, ben));
    family.never_panicked();
}

#[test]
fn an_address_that_a_person_named_is_told_to_the_family_and_works() {
    if let Some(why) = lacking_internet() {
        skipped(why);
        return;
    }
    let internet = Internet::new('x', Router::DrawsPorts);
    let mut dice = Dice::new();
    let mut family = Family::new(&internet);
    let relay = family.go_home(&internet);
    // Another port outside than inside: who calls back at the port of this device finds nothing.
    internet.open_port(0, "4999", PORT);
    let outside = format!("/ip4/{}/tcp/4999", internet.routers[0].ip);
    let laptop = &family.laptop;
    laptop.ok(&["config", "set", "external_addresses", &outside]);
    let node = laptop.serve_with(&["--port", PORT]);
    is_reached_at(laptop, &outside);
    let unproved = homes_check(laptop);
    assert_eq!(node.ready["named"].as_array().map(Vec::len), Some(1));
    let noted = (&unproved["ok"], &unproved["note"]);
    assert_eq!(noted, (&true.into(), &true.into()), "{unproved}");
    let said = format!(
        "you named {outside}; nobody has come in by it yet; this node listens at port {PORT}"
    );
    assert_eq!(unproved["message"], said, "{unproved}");
    let far = family.far.serve_with(&[]);
    wait_for_path(&family.far, "laptop", "direct");
    somebody_came_in(&family.laptop, &outside);
    drop(relay);
    family.import("one.bmp", &mut dice);
    wait_until("the original", PATIENCE, || {
        photos(&family.far, "original") == 1
    });
    // It is off, though it was there a moment ago.
    node.stop();
    misses_the_way(&family.far, "laptop");
    // Who came in is remembered.
    let node = family.laptop.serve_with(&["--port", PORT]);
    assert!(told(&family.laptop).contains("somebody came in by it"));
    drop((node, far));
    family.never_panicked();
}

#[test]
fn an_address_that_was_named_and_leads_nowhere_is_told_in_the_other_home() {
    if let Some(why) = lacking_internet() {
        skipped(why);
        return;
    }
    let internet = Internet::new('v', Router::DrawsPorts);
    let mut family = Family::new(&internet);
    let outside = format!("/ip4/{}/tcp/{PORT}", internet.routers[0].ip);
    // They meet in one home.
    family.laptop.prefix = internet.homes[0].prefix();
    family.far.prefix = internet.homes[0].prefix();
    let laptop = &family.laptop;
    laptop.ok(&["config", "set", "external_addresses", &outside]);
    laptop.ok(&["config", "set", "port", PORT]);
    let node = laptop.serve_with(&[]);
    let peer = node.ready["peer"].as_str().expect("a peer");
    let near = format!("/ip4/{}/tcp/{PORT}/p2p/{peer}", internet.homes[0].ip);
    family.far.know_only(&near);
    let far = family.far.serve_with(&[]);
    wait_for_path(&family.far, "laptop", "lan");
    far.stop();
    // One is carried to another home, and the router of the first leads no port anywhere.
    family.far.prefix = internet.homes[1].prefix();
    let far = family.far.serve_with(&[]);
    wait_until("the address that does not answer is told", PATIENCE, || {
        let said = told(&family.far);
        said.contains(&format!("does not answer at {outside}"))
    });
    internet.open_port(0, PORT, PORT);
    wait_for_path(&family.far, "laptop", "direct");
    // Who is to join from a third home is invited there.
    let mut invite = family.far.start(&["--yes", "invite", "--device"]);
    let code = invite.line("invite");
    assert_eq!(code["from_afar"], "none", "{code}");
    assert_eq!(code["invite_on"], "laptop", "{code}");
    drop((invite, node, far));
    family.never_panicked();
}

#[test]
fn a_router_that_opens_ports_is_asked_for_one() {
    if let Some(why) = lacking_internet().or_else(lacking_opener) {
        skipped(why);
        return;
    }
    let internet = Internet::new('u', Router::DrawsPorts);
    let mut dice = Dice::new();
    let mut family = Family::new(&internet);
    let opener = Opener::new(&internet.routers[0], family.homes.path());
    family.go_home(&internet).stop();
    let laptop = &family.laptop;
    laptop.ok(&["config", "set", "port_mapping", "true"]);
    let node = laptop.serve_with(&["--port", PORT]);
    // Nobody else is there who could have said so.
    is_reached_at(
        laptop,
        &format!("/ip4/{}/tcp/{PORT}", internet.routers[0].ip),
    );
    let rules = opener.rules();
    let led = format!("dnat ip to {}:{PORT}", internet.homes[0].ip);
    assert!(rules.contains(&led), "{rules}");
    let relay = family.ben.serve_with(&["--relay", "--port", PORT]);
    let far = family.far.serve_with(&[]);
    wait_for_path(&family.far, "laptop", "direct");
    family.import("one.bmp", &mut dice);
    wait_until("the original", PATIENCE, || {
        photos(&family.far, "original") == 1
    });
    drop((node, far, relay));
    family.never_panicked();
}

#[test]
fn a_guest_joins_from_afar_at_a_port_that_leads_home() {
    if let Some(why) = lacking_internet() {
        skipped(why);
        return;
    }
    let internet = Internet::new('g', Router::DrawsPorts);
    let mut dice = Dice::new();
    let mut family = Family::new(&internet);
    family.laptop.prefix = internet.homes[0].prefix();
    internet.open_port(0, PORT, PORT);
    let outside = format!("/ip4/{}/tcp/{PORT}", internet.routers[0].ip);
    let laptop = &family.laptop;
    laptop.ok(&["config", "set", "external_addresses", &outside]);
    laptop.ok(&["config", "set", "port", PORT]);
    let node = laptop.serve_with(&[]);
    let mut grandma = family.homes.device("grandma");
    fs::remove_file(grandma.home.join("config.toml")).expect("it was there");
    grandma.ok(&["config", "set", "port_mapping", "false"]);
    grandma.prefix = internet.homes[1].prefix();
    family.import("one.bmp", &mut dice);
    let whom = ["--person", "Grandma", "--album", "Summer"];
    let joined = pair(laptop, &whom, &grandma, "tablet", link);
    assert_eq!(joined["family_name"], "Berger", "{joined}");
    somebody_came_in(laptop, &outside);
    let there = grandma.serve_with(&[]);
    wait_until("the original", PATIENCE, || {
        photos(&grandma, "original") == 1
    });
    assert_eq!(path(&grandma, "laptop").as_deref(), Some("direct"));
    drop((node, there));
    grandma.never_panicked();
    family.never_panicked();
}
