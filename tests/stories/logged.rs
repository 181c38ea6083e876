//! What `log` shows to somebody who looks after a node: what happened, and nothing that is private.
#![cfg(unix)]

use std::fs;

use crate::devices::{Device, Dice, Homes, files, link, pair, pictures};

const NAMES: [&str; 4] = ["Berger", "Anna", "Quittenbaum", "desktop"];

fn log(device: &Device) -> String {
    let lines = device.ok(&["log", "--lines", "1000"]).into_iter();
    let texts = lines.filter_map(|line| line["line"].as_str().map(str::to_owned));
    texts.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_node_logs_what_happened_and_no_name_of_anything() {
    let homes = Homes::new();
    let [laptop, desktop] = ["laptop", "desktop"].map(|name| homes.device(name));
    for args in [&["log"][..], &["log", "-f"]] {
        let (error, exit) = laptop.start(args).end();
        assert_eq!((&error["id"], exit), (&"E-NOT-SET-UP".into(), 5), "{error}");
    }
    laptop.init("Berger", "Anna", "laptop");
    assert_eq!(laptop.start(&["log"]).end().1, 4, "no node has run");
    let node = laptop.serve();
    pair(&laptop, &["--device"], &desktop, "desktop", link);
    let photo = homes.path().join("Quittenbaum.bmp");
    fs::write(&photo, pictures::bmp(500, &mut Dice::new())).expect("a photo");
    laptop.ok(&["import", photo.to_str().expect("UTF-8")]);
    laptop.ok(&[
        "caption",
        laptop.assets()[0]["id"].as_str().expect("an id"),
        "Quittenbaum",
    ]);
    desktop.ok(&["sync"]);
    let blob = files(&laptop.home.join("blobs")).into_iter().find(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.len() == 64)
    });
    fs::remove_file(blob.expect("a large blob")).expect("it was there");
    let (_, exit) = laptop.start(&["verify", "--repair"]).all();
    assert_eq!(exit, 9, "nobody else is there");
    desktop.ok(&["sync"]);
    node.stop();
    let told = log(&laptop);
    for word in [
        "the node runs",
        "a device is there",
        "a device has gone",
        "photos were imported",
        "went to other devices",
        "damage was dealt with",
        "are here again",
        "came from other devices",
        "the node has stopped",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    for name in NAMES {
        assert!(!told.contains(name), "{name}: {told}");
    }
    laptop.never_panicked();
    desktop.never_panicked();
}
