//! Somebody is taken out of an album: they are told, keep what they added, and add nothing in vain.
#![cfg(unix)]

use std::{fs, time::Duration};

use crate::devices::{Device, Dice, Homes, Running, link, pair, pictures, wait_until};
use serde_json::Value;

/// Names of the photos that a device shows, in an album or at all.
fn names(device: &Device, args: &[&str]) -> Vec<String> {
    // Nothing at all is no failure here.
    let (lines, exit) = device.start(&[&["list"], args].concat()).all();
    assert!(exit == 0 || exit == 4, "{args:?}: {lines:?}");
    let assets = lines.iter().filter(|line| line["type"] == "asset");
    let name = |asset: &Value| asset["name"].as_str().expect("a name").to_owned();
    let mut names: Vec<_> = assets.map(name).collect();
    names.sort();
    names
}

/// What a device says of the albums that are no longer shared with it.
fn ended(device: &Device) -> Vec<Value> {
    let lines = device.ok(&["album", "list"]);
    let ended = lines.into_iter().filter(|line| line["type"] == "ended");
    ended.collect()
}

fn problems(device: &Device) -> String {
    device.ok(&["status"])[0]["problems"].to_string()
}

/// Anna's album Summer with Ben in it, and a way to add photos to it.
struct Shared {
    homes: Homes,
    dice: Dice,
    a: Device,
    b: Device,
}

impl Shared {
    fn new() -> Self {
        let homes = Homes::new();
        let [a, b] = ["a", "b"].map(|name| homes.device(name));
        a.init("Berger", "Anna", "laptop");
        let dice = Dice::new();
        let mut shared = Self { homes, dice, a, b };
        shared.take(true, "annas.bmp");
        let node = shared.a.serve();
        let whom = ["--person", "Ben", "--album", "Summer"];
        pair(&shared.a, &whom, &shared.b, "phone", link);
        shared.b.ok(&["sync"]);
        shared.take(false, "early.bmp");
        shared.b.ok(&["sync"]);
        assert_eq!(names(&shared.a, &[]), ["annas.bmp", "early.bmp"]);
        drop(node);
        shared
    }

    /// Anna's node, where Ben's device finds it.
    fn serve(&self) -> Running {
        let node = self.a.serve();
        self.b.know_only(&node.addresses()[0]);
        node
    }

    fn photo(&mut self, name: &str) -> String {
        let photo = self.homes.path().join(name);
        fs::write(&photo, pictures::bmp(90, &mut self.dice)).expect("a photo");
        photo.to_str().expect("UTF-8").to_owned()
    }

    fn take(&mut self, by_anna: bool, name: &str) {
        let photo = self.photo(name);
        let on = if by_anna { &self.a } else { &self.b };
        on.ok(&["import", &photo, "--album", "Summer"]);
    }
}

#[test]
fn who_was_taken_out_of_an_album_is_told_and_keeps_what_they_added() {
    let mut shared = Shared::new();
    // Both go on while they are apart.
    shared.take(true, "before.bmp");
    shared.take(false, "late.bmp");
    shared.a.ok(&["unshare", "Summer", "Ben"]);
    shared.take(true, "secret.bmp");
    assert!(ended(&shared.b).is_empty());
    let node = shared.serve();
    shared.b.ok(&["sync"]);

    let told = ended(&shared.b);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (told[0]["name"].as_str(), told[0]["by"].as_str()),
        (Some("Summer"), Some("Anna"))
    );
    let text = told[0]["text"].as_str().expect("a text");
    assert!(text.contains("stay in your library"), "{text}");
    let problems_told = problems(&shared.b);
    assert!(
        problems_told.contains("The album \\\"Summer\\\" is no longer shared with you: Anna"),
        "{problems_told}"
    );
    // What Ben added stays his, and what Anna had not heard of as well; hers is not shown.
    assert_eq!(names(&shared.b, &[]), ["early.bmp", "late.bmp"]);
    assert_eq!(
        names(&shared.b, &["--album", "Library"]),
        ["early.bmp", "late.bmp"]
    );
    // Nothing is added in vain, and no album of that name is made by the way.
    let more = shared.photo("more.bmp");
    for args in [
        vec!["import", &more, "--album", "Summer"],
        vec!["import", &more, "--album", "Summer", "--dry-run"],
        vec!["album", "show", "Summer"],
    ] {
        let (refused, exit) = shared.b.run(&args, "");
        assert_eq!(
            (refused["id"].as_str(), exit),
            (Some("E-NOT-ALLOWED"), 1),
            "{refused}"
        );
        let text = refused.to_string();
        for words in ["no longer shared with you", "album create"] {
            assert!(text.contains(words), "{text}");
        }
    }
    // Again and again it is the same, and nothing comes twice.
    shared.b.ok(&["sync"]);
    assert_eq!(names(&shared.b, &[]), ["early.bmp", "late.bmp"]);
    assert_eq!(
        names(&shared.a, &[]).len(),
        4,
        "{:?}",
        names(&shared.a, &[])
    );

    // An album of one's own may be called the same.
    shared.b.ok(&["album", "create", "Summer"]);
    shared.b.ok(&["import", &more, "--album", "Summer"]);
    assert_eq!(names(&shared.b, &["--album", "Summer"]), ["more.bmp"]);
    drop(node);
    for device in [&shared.a, &shared.b] {
        device.never_panicked();
    }
}

#[test]
fn a_running_node_hears_at_once_and_who_is_let_in_again_is_told_nothing_more() {
    let mut shared = Shared::new();
    let node = shared.serve();
    let bens = shared.b.serve();
    shared.b.ok(&["sync"]);
    shared.a.ok(&["unshare", "Summer", "Ben"]);
    let soon = Duration::from_secs(30);
    wait_until("Ben's node hears of it", soon, || {
        !ended(&shared.b).is_empty()
    });
    wait_until("Ben's photo is in his library", soon, || {
        names(&shared.b, &["--album", "Library"]) == ["early.bmp"]
    });
    let more = shared.photo("more.bmp");
    let (refused, exit) = shared.b.run(&["import", &more, "--album", "Summer"], "");
    assert_eq!((refused["id"].as_str(), exit), (Some("E-NOT-ALLOWED"), 1));
    shared.a.ok(&["share", "Summer", "Ben"]);
    wait_until("Ben is in again", soon, || ended(&shared.b).is_empty());
    assert!(!problems(&shared.b).contains("no longer shared"));
    shared.b.ok(&["import", &more, "--album", "Summer"]);
    wait_until("Anna gets what he adds", soon, || {
        names(&shared.a, &[]).contains(&"more.bmp".to_owned())
    });
    drop((node, bens));
    for device in [&shared.a, &shared.b] {
        device.never_panicked();
    }
}
