//! A person who was removed, with everything their device ever held and all the ciphertext there is.
#![cfg(unix)]

use std::{fs, path::Path, time::Duration};

use crate::devices::{Device, Dice, Homes, files, link, pair, pictures, sums, wait_until};
use serde_json::{Value, json};

/// A copy of a home, with its index taken away so that it is made again from the files.
fn stolen(homes: &Homes, of: &Device, name: &str) -> Device {
    let device = Device {
        home: homes.path().join(name),
        ..homes.device(&format!("{name}-log"))
    };
    copy(&of.home, &device.home);
    device
}

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    for file in files(from) {
        let to = to.join(file.strip_prefix(from).expect("below it"));
        let folder = to.parent().expect("a folder");
        let mut builder = fs::DirBuilder::new();
        builder
            .mode(0o700)
            .recursive(true)
            .create(folder)
            .expect("a folder");
        fs::copy(&file, &to).expect("a copy");
    }
}

/// Gives a stolen home the logs and blobs of another one, but for the logs of a space.
fn gets_all_of(thief: &Device, other: &Device, but: Option<&str>) {
    copy(&other.home.join("blobs"), &thief.home.join("blobs"));
    for space in fs::read_dir(other.home.join("logs")).expect("logs") {
        let space = space.expect("a space").file_name();
        if but.is_none_or(|but| *but != *space) {
            let logs = Path::new("logs").join(space);
            copy(&other.home.join(&logs), &thief.home.join(&logs));
        }
    }
    fs::remove_file(thief.home.join("heirloom.redb")).expect("the index");
}

fn names(device: &Device) -> Vec<String> {
    let assets = device.assets();
    let name = |asset: &Value| asset["name"].as_str().expect("a name").to_owned();
    let mut names: Vec<_> = assets.iter().map(name).collect();
    names.sort();
    names
}

#[test]
fn a_removed_device_is_turned_away_and_reads_nothing_new_with_all_the_ciphertext() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let [a, pi, b] = ["a", "pi", "b"].map(|name| homes.device(name));
    let photos = homes.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    let take = |name: &str, dice: &mut Dice| {
        fs::write(photos.join(name), pictures::bmp(90, dice)).expect("a photo");
        a.ok(&[
            "import",
            photos.to_str().expect("UTF-8"),
            "--album",
            "Summer",
        ]);
    };
    a.init("Berger", "Anna", "laptop");
    take("old.bmp", &mut dice);
    let node = a.serve();
    pair(&a, &["--device"], &pi, "pi", link);
    pair(
        &a,
        &["--person", "Ben", "--album", "Summer"],
        &b,
        "phone",
        link,
    );
    for device in [&pi, &b] {
        device.ok(&["sync"]);
        assert_eq!(names(device), ["old.bmp"]);
    }
    // Both were copied in time, keys and all.
    let bens = stolen(&homes, &b, "bens");
    let unaware = stolen(&homes, &b, "unaware");
    let annas = stolen(&homes, &pi, "annas");

    a.ok(&["--yes", "people", "remove", "Ben"]);
    take("new.bmp", &mut dice);
    // Who was removed is turned away right after the handshake, and so is a copy.
    for device in [&b, &bens] {
        let (refused, exit) = device.run(&["sync"], "");
        assert_eq!(
            (refused["id"].as_str(), exit),
            (Some("E-REFUSED"), 8),
            "{refused}"
        );
        let problems = device.ok(&["status"])[0]["problems"].to_string();
        assert!(
            problems.contains("laptop turned this device away"),
            "{problems}"
        );
        let checks = device.ok(&["doctor"]);
        let family = checks.iter().find(|check| check["name"] == "family");
        assert_eq!(
            family.map(|check| &check["ok"]),
            Some(&Value::from(false)),
            "{checks:?}"
        );
        assert_eq!(names(device), ["old.bmp"]);
    }
    // The others go on, and turn it away as well.
    pi.ok(&["sync"]);
    assert_eq!(names(&pi), ["new.bmp", "old.bmp"]);
    drop(node);
    let pis_node = pi.serve();
    let peer = pis_node.ready["peer"].as_str().expect("a peer").to_owned();
    let address = format!("/ip4/127.0.0.1/tcp/{}/p2p/{peer}", pis_node.port());
    b.know_only(&address);
    let (refused, exit) = b.run(&["sync"], "");
    assert_eq!(
        (refused["id"].as_str(), exit),
        (Some("E-REFUSED"), 8),
        "{refused}"
    );
    drop(pis_node);

    let out = |device: &Device, name: &str| {
        let out = homes.path().join(name);
        device.ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]);
        sums(&out)
    };
    // The way in is a real one: who was not removed reads it all with the same means.
    gets_all_of(&annas, &a, None);
    assert_eq!(names(&annas), ["new.bmp", "old.bmp"]);
    assert!(
        out(&annas, "annas-out")
            .into_keys()
            .eq(sums(&photos).into_keys())
    );

    // Without the log that says so, the program does not know that its person was removed.
    let status = a.ok(&["status"]);
    let family = status[0]["family"].as_str().expect("an id");
    let control = &family[..32];
    assert!(a.home.join("logs").join(control).is_dir());
    gets_all_of(&unaware, &a, Some(control));
    assert_eq!(names(&unaware), ["old.bmp"]);
    let old = crate::devices::sha256(&fs::read(photos.join("old.bmp")).expect("a photo"));
    assert!(out(&unaware, "unaware-out").into_keys().eq([old.clone()]));
    // With all of it, it shows no more than that.
    gets_all_of(&bens, &a, None);
    assert!(!names(&bens).contains(&"new.bmp".to_owned()));
    assert!(out(&bens, "bens-out").into_keys().all(|sum| sum == old));
    for device in [&a, &pi, &b, &bens, &unaware, &annas] {
        device.never_panicked();
    }
}

fn is_connected(device: &Device, name: &str) -> bool {
    let lines = device.ok(&["status"]);
    let status = lines.iter().find(|line| line["type"] == "status");
    let peers = status.expect("a status")["peers"].as_array();
    let peers = peers.expect("peers").iter();
    let mut named = peers.filter(|peer| peer["name"] == name);
    named.any(|peer| peer["connected"] == true)
}

#[test]
fn a_lost_device_is_cut_off_at_once_and_opens_nothing_that_anybody_writes_later() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let [laptop, phone, tablet] = ["laptop", "phone", "tablet"].map(|name| homes.device(name));
    let mut take = |on: &Device, name: &str| {
        let photo = homes.path().join(name);
        fs::write(&photo, pictures::bmp(90, &mut dice)).expect("a photo");
        let photo = photo.to_str().expect("UTF-8");
        on.ok(&["import", photo, "--album", "Summer"]);
    };
    laptop.init("Berger", "Anna", "laptop");
    take(&laptop, "old.bmp");
    let node = laptop.serve();
    pair(&laptop, &["--device"], &phone, "phone", link);
    let whom = ["--person", "Ben", "--album", "Summer"];
    pair(&laptop, &whom, &tablet, "tablet", link);
    for device in [&phone, &tablet] {
        device.ok(&["sync"]);
    }
    let unaware = stolen(&homes, &phone, "unaware");
    let phones_node = phone.serve();
    let soon = Duration::from_secs(30);
    wait_until("they meet", soon, || is_connected(&laptop, "phone"));

    let lines = laptop.ok(&["--yes", "device", "remove", "phone", "--lost"]);
    // While the command ends the line is cut already.
    assert!(!is_connected(&laptop, "phone"));
    wait_until("it is cut off", soon, || !is_connected(&phone, "laptop"));
    let summary = lines.last().expect("a summary");
    let reach = lines.iter().filter(|line| line["type"] == "reach");
    let reach: Vec<_> = reach
        .map(|line| (&line["album"], &line["assets"]))
        .collect();
    let (library, summer) = (json!("Library"), json!("Summer"));
    assert!(reach.contains(&(&library, &json!(0))), "{reach:?}");
    assert!(reach.contains(&(&summer, &json!(1))), "{reach:?}");
    assert_eq!(
        (&summary["lost"], &summary["assets"]),
        (&json!(true), &json!(1)),
        "{summary}"
    );
    drop(phones_node);
    take(&laptop, "new.bmp");
    let (refused, exit) = phone.run(&["sync"], "");
    assert_eq!(
        (refused["id"].as_str(), exit),
        (Some("E-REFUSED"), 8),
        "{refused}"
    );

    // Ben's tablet was away. Until it hears, it would let the phone in; from then on it does not.
    tablet.ok(&["sync"]);
    drop(node);
    take(&tablet, "bens.bmp");
    let node = tablet.serve();
    let peer = node.ready["peer"].as_str().expect("a peer").to_owned();
    let address = format!("/ip4/127.0.0.1/tcp/{}/p2p/{peer}", node.port());
    phone.know_only(&address);
    let (refused, exit) = phone.run(&["sync"], "");
    assert_eq!(
        (refused["id"].as_str(), exit),
        (Some("E-REFUSED"), 8),
        "{refused}"
    );
    drop(node);
    assert_eq!(names(&tablet), ["bens.bmp", "new.bmp", "old.bmp"]);

    // With every byte that the others ever wrote it opens what it could before, and no more; one
    // that hears of its removal shows nothing.
    gets_all_of(&phone, &tablet, None);
    assert!(names(&phone).is_empty());
    let status = laptop.ok(&["status"]);
    let family = status[0]["family"].as_str().expect("an id");
    gets_all_of(&unaware, &tablet, Some(&family[..32]));
    assert_eq!(names(&unaware), ["old.bmp"]);
    for device in [&laptop, &phone, &tablet, &unaware] {
        device.never_panicked();
    }
}

/// Ben's photo is on Carl's device alone when Anna, whose device was off, takes something from Ben.
fn what_others_hold_stays(end: &[&str]) {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| homes.device(name));
    let photos = homes.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    let take = |device: &Device, name: &str, dice: &mut Dice| {
        let photo = photos.join(name);
        fs::write(&photo, pictures::bmp(90, dice)).expect("a photo");
        let photo = photo.to_str().expect("UTF-8");
        device.ok(&["import", photo, "--album", "Summer"]);
    };
    a.init("Berger", "Anna", "laptop");
    take(&a, "old.bmp", &mut dice);
    let node = a.serve();
    for (person, device) in [("Ben", &b), ("Carl", &c)] {
        let invite = ["--person", person, "--album", "Summer"];
        pair(&a, &invite, device, person, link);
        device.ok(&["sync"]);
    }
    // Ben hears of Carl, too.
    b.ok(&["sync"]);
    drop(node);
    let carls = c.serve();
    let peer = carls.ready["peer"].as_str().expect("a peer");
    let address = format!("/ip4/127.0.0.1/tcp/{}/p2p/{peer}", carls.port());
    b.know_only(&address);
    take(&b, "new.bmp", &mut dice);
    let bens = b.serve();
    let both = ["new.bmp", "old.bmp"];
    wait_until("the photo at Carl's", Duration::from_secs(60), || {
        names(&c) == both
    });
    drop(bens);

    a.ok(&[&["--yes"], end].concat());
    a.know_only(&address);
    let node = a.serve();
    wait_until("the photo at Anna's", Duration::from_secs(60), || {
        names(&a) == both
    });
    // And Carl has heard of it.
    a.ok(&["sync"]);
    assert_eq!(names(&c), both);
    drop((node, carls));
}

#[test]
fn what_others_hold_stays_where_who_removes_somebody_had_not_seen_it() {
    what_others_hold_stays(&["people", "remove", "Ben"]);
    what_others_hold_stays(&["unshare", "Summer", "Ben"]);
}
