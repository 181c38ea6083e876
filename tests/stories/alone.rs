//! Photos that nobody else may hold, in a family with devices enough: what is said of them helps.
#![cfg(unix)]

use std::{fs, path::Path};

use crate::devices::{Device, Dice, Homes, files, link, pair, pictures};
use serde_json::Value;

/// Sets up Anna's laptop; gives her words.
fn init(laptop: &Device) -> String {
    let names = [
        "--family", "Berger", "--person", "Anna", "--device", "laptop",
    ];
    let made = laptop.ok(&[&["init"], &names[..]].concat());
    let words = made.last().expect("a summary")["recovery"].as_array();
    let words = words.expect("24 words").iter().filter_map(Value::as_str);
    words.collect::<Vec<_>>().join(" ")
}

fn problems(device: &Device) -> Vec<String> {
    let lines = device.ok(&["status"]);
    let problems = lines[0]["problems"].as_array().expect("problems");
    let texts = problems.iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// What an offload says of why a photo stays.
fn reason(device: &Device, args: &[&str]) -> String {
    let (lines, exit) = device.start(&[&["--yes", "offload"], args].concat()).all();
    assert_eq!(exit, 3, "{lines:?}");
    let kept = lines.iter().find(|line| line["type"] == "original");
    let reason = kept.expect("a line")["reason"].as_str();
    reason.expect("a reason").to_owned()
}

fn take(on: &Device, homes: &Homes, dice: &mut Dice, name: &str, album: &[&str]) {
    let photo = homes.path().join(name);
    fs::write(&photo, pictures::bmp(60, dice)).expect("a photo");
    on.ok(&[&["import", photo.to_str().expect("UTF-8")], album].concat());
}

#[test]
fn a_library_that_no_other_device_may_hold_is_told_with_what_helps() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let [a, b] = ["a", "b"].map(|name| homes.device(name));
    let words = init(&a);
    take(&a, &homes, &mut dice, "hers.bmp", &[]);
    let node = a.serve();
    pair(&a, &["--person", "Ben"], &b, "phone", link);
    b.ok(&["sync"]);

    let ever = |n: &str| format!("{n} on this device alone, and no other device may hold");
    let told = problems(&a);
    let found = told.iter().find(|text| text.contains(&ever("1 photo is")));
    let found = found.unwrap_or_else(|| panic!("{told:?}"));
    for helps in ["heirloom invite --device", "heirloom invite --keeper NAME"] {
        assert!(found.contains(helps), "{found}");
    }
    assert!(
        !told
            .iter()
            .any(|text| text.contains("keep it and another one")),
        "{told:?}"
    );

    // Ben is told what he may do himself: a keeper is for Anna to invite.
    take(&b, &homes, &mut dice, "his.bmp", &[]);
    let told = problems(&b);
    let found = told.iter().find(|text| text.contains(&ever("1 photo is")));
    let helps = "heirloom invite --device, or ask Anna to invite a keeper";
    assert!(found.is_some_and(|text| text.contains(helps)), "{told:?}");

    // What Ben's phone may hold and has not got yet is told apart.
    a.ok(&["album", "create", "Summer"]);
    a.ok(&["share", "Summer", "Ben"]);
    take(&a, &homes, &mut dice, "both.bmp", &["--album", "Summer"]);
    let told = problems(&a);
    assert!(
        told.iter().any(|text| text.contains(&ever("1 photo is"))),
        "{told:?}"
    );
    let keep = "1 photo is on this device alone: keep it and another one running";
    assert!(told.iter().any(|text| text.contains(keep)), "{told:?}");

    // A phone that may not see a photo is not blamed for having none.
    let dry = reason(&a, &["--album", "Library", "--dry-run"]);
    let (checked, exit) = a.run(&["recovery", "check", "-"], &format!("{words}\n"));
    assert_eq!(exit, 0, "{checked}");
    b.ok(&["sync"]);
    let bens = b.serve();
    a.ok(&["peer", "add", &bens.addresses()[0]]);
    let asked = reason(&a, &["--album", "Library"]);
    for reason in [dry, asked] {
        assert!(reason.contains("phone may not hold it"), "{reason}");
        assert!(reason.contains("heirloom invite --device"), "{reason}");
        assert!(!reason.contains("does not have it"), "{reason}");
    }
    drop((node, bens));

    // Whoever made an album cannot leave it, and is told so without being asked.
    for args in [["album", "leave", "Summer"], ["album", "delete", "Library"]] {
        let (refused, exit) = a.run(&args, "");
        assert_eq!(
            (refused["id"].as_str(), exit),
            (Some("E-NOT-ALLOWED"), 1),
            "{refused}"
        );
    }
    for device in [&a, &b] {
        device.never_panicked();
    }
}

fn largest(folder: &Path) -> std::path::PathBuf {
    let size = |path: &std::path::PathBuf| fs::metadata(path).expect("there").len();
    files(folder).into_iter().max_by_key(size).expect("a file")
}

#[test]
fn damage_is_told_by_the_name_of_the_photo_and_its_album() {
    let homes = Homes::new();
    let a = homes.device("a");
    init(&a);
    a.ok(&["album", "create", "Summer"]);
    let movie = homes.path().join("clip.mp4");
    fs::write(&movie, pictures::movie(3_000_000, &mut Dice::new())).expect("a movie");
    a.ok(&[
        "import",
        movie.to_str().expect("UTF-8"),
        "--album",
        "Summer",
    ]);
    let blob = largest(&a.home.join("blobs"));
    let mut bytes = fs::read(&blob).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&blob, bytes).expect("written");
    let (lines, exit) = a.start(&["verify", "--read-data"]).all();
    assert_eq!(exit, 9, "{lines:?}");
    let damage = lines.iter().find(|line| line["type"] == "damage");
    let damage = damage.expect("it is named");
    assert_eq!(
        (&damage["name"], &damage["albums"]),
        (&"clip.mp4".into(), &serde_json::json!(["Summer"])),
        "{damage}"
    );
    a.never_panicked();
}
