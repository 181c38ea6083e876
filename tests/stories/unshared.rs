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

    // Whoever has read it need not read it for a month; nothing else of it changes.
    let left = shared.b.ok(&["album", "leave", "Summer"]);
    assert_eq!(left.last().expect("a summary")["ended"], true);
    assert!(ended(&shared.b).is_empty());
    assert!(!problems(&shared.b).contains("no longer shared"));
    assert_eq!(names(&shared.b, &[]), ["early.bmp", "late.bmp"]);
    shared.b.ok(&["sync"]);
    assert!(ended(&shared.b).is_empty());

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
fn a_photo_whose_library_copy_is_in_the_trash_comes_back_when_the_share_ends() {
    let mut shared = Shared::new();
    let node = shared.serve();
    let (one, other) = (shared.photo("one.bmp"), shared.photo("other.bmp"));
    for photo in [&one, &other] {
        shared.b.ok(&["import", photo]);
        shared.b.ok(&["import", photo, "--album", "Summer"]);
    }
    let ids = |args: &[&str]| -> Vec<String> {
        let lines = shared.b.ok(&[&["list"], args].concat());
        let assets = lines.iter().filter(|line| line["type"] == "asset");
        let id = |asset: &Value| asset["id"].as_str().expect("an id").to_owned();
        assets.map(id).collect()
    };
    for id in ids(&["--album", "Library"]) {
        shared.b.ok(&["trash", &id, "--album", "Library"]);
    }
    shared.b.ok(&["sync"]);
    assert_eq!(names(&shared.b, &["--album", "Library"]), [""; 0]);

    shared.a.ok(&["unshare", "Summer", "Ben"]);
    shared.b.ok(&["sync"]);
    assert_eq!(
        names(&shared.b, &["--album", "Library"]),
        ["early.bmp", "one.bmp", "other.bmp"]
    );
    assert_eq!(names(&shared.b, &["--trashed"]), [""; 0]);
    // What is deleted afterwards stays deleted.
    let again = ids(&["--album", "Library"]);
    shared.b.ok(&["trash", &again[0]]);
    shared.b.ok(&["sync"]);
    assert_eq!(names(&shared.b, &[]).len(), 2);
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
        let assets = shared.a.assets();
        let more = assets.iter().find(|asset| asset["name"] == "more.bmp");
        more.is_some_and(|more| more["here"]["original"] == true)
    });
    // What ends once more is told once more, also to who had read of it before.
    shared.a.ok(&["unshare", "Summer", "Ben"]);
    let is_told = || ended(&shared.b).len() == 1;
    wait_until("Ben hears of it again", soon, is_told);
    shared.b.ok(&["album", "leave", "Summer"]);
    assert!(ended(&shared.b).is_empty());
    shared.a.ok(&["share", "Summer", "Ben"]);
    let is_in = || albums(&shared.b).contains(&"Summer".to_owned());
    wait_until("Ben is let in once more", soon, is_in);
    shared.a.ok(&["unshare", "Summer", "Ben"]);
    wait_until("Ben hears of the third end", soon, is_told);
    drop((node, bens));
    for device in [&shared.a, &shared.b] {
        device.never_panicked();
    }
}

/// The albums that a device shows, by name.
fn albums(device: &Device) -> Vec<String> {
    let lines = device.ok(&["album", "list"]);
    let albums = lines.iter().filter(|line| line["type"] == "album");
    let name = |album: &Value| album["name"].as_str().expect("a name").to_owned();
    albums.map(name).collect()
}

#[test]
fn an_ended_share_stays_ended_when_the_device_that_ended_it_is_lost() {
    let mut shared = Shared::new();
    let pi = shared.homes.device("pi");
    let node = shared.serve();
    pair(&shared.a, &["--device"], &pi, "pi", link);
    pi.ok(&["sync"]);
    // What let Ben in counts by somebody else as well as by the laptop.
    let photo = shared.photo("pi.bmp");
    pi.ok(&["import", &photo, "--album", "Winter"]);
    pi.ok(&["share", "Winter", "Ben"]);
    pi.ok(&["sync"]);
    shared.b.ok(&["sync"]);
    shared.take(false, "early-too.bmp");
    assert!(albums(&shared.b).contains(&"Winter".to_owned()));
    for album in ["Summer", "Winter"] {
        shared.a.ok(&["unshare", album, "Ben"]);
    }
    shared.b.ok(&["sync"]);
    pi.ok(&["sync"]);
    drop(node);
    let told = |b: &Device| {
        let mut told: Vec<_> = ended(b)
            .iter()
            .map(|line| line["name"].to_string())
            .collect();
        told.sort();
        told
    };
    let both = ["\"Summer\"", "\"Winter\""];
    assert_eq!(told(&shared.b), both);

    let node = pi.serve();
    pi.ok(&["--yes", "device", "remove", "laptop", "--lost"]);
    shared.b.know_only(&node.addresses()[0]);
    shared.b.ok(&["sync"]);
    let devices = shared.b.ok(&["device", "list"]);
    let laptop = devices.iter().find(|device| device["name"] == "laptop");
    assert_eq!(laptop.expect("it is told of")["removed"], true);
    assert_eq!(told(&shared.b), both);
    assert_eq!(albums(&shared.b), ["Library", "Family"]);
    let more = shared.photo("more.bmp");
    for album in ["Summer", "Winter"] {
        let (refused, _) = shared.b.run(&["import", &more, "--album", album], "");
        assert_eq!(refused["id"], "E-NOT-ALLOWED", "{refused}");
    }

    // Whoever lets him in again is heard.
    pi.ok(&["share", "Winter", "Ben"]);
    shared.b.ok(&["sync"]);
    assert!(albums(&shared.b).contains(&"Winter".to_owned()));
    shared.b.ok(&["import", &more, "--album", "Winter"]);
    shared.b.ok(&["sync"]);
    assert_eq!(names(&pi, &["--album", "Winter"]), ["more.bmp", "pi.bmp"]);
    drop(node);
    for device in [&shared.a, &shared.b, &pi] {
        device.never_panicked();
    }
}

#[test]
fn who_hears_late_of_the_end_of_a_share_and_of_the_loss_of_the_device_is_out_as_well() {
    let mut shared = Shared::new();
    let pi = shared.homes.device("pi");
    let node = shared.serve();
    pair(&shared.a, &["--device"], &pi, "pi", link);
    pi.ok(&["sync"]);
    let photo = shared.photo("pi.bmp");
    pi.ok(&["import", &photo, "--album", "Winter"]);
    pi.ok(&["share", "Winter", "Ben"]);
    pi.ok(&["sync"]);
    shared.b.ok(&["sync"]);
    for album in ["Summer", "Winter"] {
        shared.a.ok(&["unshare", album, "Ben"]);
    }
    pi.ok(&["sync"]);
    drop(node);
    let node = pi.serve();
    pi.ok(&["--yes", "device", "remove", "laptop", "--lost"]);
    shared.b.know_only(&node.addresses()[0]);
    shared.b.ok(&["sync"]);
    assert_eq!(albums(&shared.b), ["Library", "Family"]);
    assert_eq!(ended(&shared.b).len(), 2);
    shared.b.ok(&["sync"]);
    pi.ok(&["share", "Winter", "Ben"]);
    shared.b.ok(&["sync"]);
    assert!(albums(&shared.b).contains(&"Winter".to_owned()));
    drop(node);
    for device in [&shared.a, &shared.b, &pi] {
        device.never_panicked();
    }
}

/// Lets Ben join Anna's node for the album Summer, with words that he has checked.
fn join_with_words(a: &Device, b: &Device) {
    let whom = ["--yes", "invite", "--person", "Ben", "--album", "Summer"];
    let mut invite = a.start(&whom);
    let code = link(&invite.line("invite"));
    let join = ["--yes", "join", "--device", "phone", "-"];
    let (joined, exit) = b.run(&join, &format!("{code}\n"));
    assert_eq!((exit, invite.end().1), (0, 0), "{joined}");
    let words = joined["recovery"].as_array().expect("24 words");
    let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
    let (checked, exit) = b.run(
        &["recovery", "check", "-"],
        &format!("{}\n", words.join(" ")),
    );
    assert_eq!(exit, 0, "{checked}");
    b.ok(&["keep", "set", "--copies", "1"]);
}

/// A photo of Ben's in the album Summer.
fn add_bens(homes: &Homes, b: &Device) {
    let photo = homes.path().join("bens.bmp");
    fs::write(&photo, pictures::bmp(90, &mut Dice::new())).expect("a photo");
    let photo = photo.to_str().expect("UTF-8");
    b.ok(&["import", photo, "--album", "Summer"]);
}

#[test]
fn an_original_does_not_leave_its_owner_for_devices_that_would_not_give_it_back() {
    let homes = Homes::new();
    let [a, attic, b] = ["a", "attic", "b"].map(|name| homes.device(name));
    a.init("Berger", "Anna", "laptop");
    a.ok(&["album", "create", "Summer"]);
    let node = a.serve();
    pair(&a, &["--keeper", "attic"], &attic, "attic", link);
    let keeper = attic.serve();
    join_with_words(&a, &b);
    for address in [&node.addresses()[0], &keeper.addresses()[0]] {
        b.ok(&["peer", "add", address]);
    }
    b.ok(&["sync"]);
    add_bens(&homes, &b);
    b.ok(&["sync"]);

    // Both would promise to keep it, and would give Ben nothing once the share ended.
    for args in [vec!["offload", "--dry-run"], vec!["--yes", "offload"]] {
        let (lines, exit) = b.start(&args).all();
        assert_eq!(exit, 3, "{lines:?}");
        let reason = lines.iter().find(|line| line["type"] == "original");
        let reason = reason.expect("a line")["reason"].to_string();
        assert!(
            reason.contains("an album that somebody else made"),
            "{reason}"
        );
    }
    // In his library it is his, and the keeper gives it back from there.
    let id = b.assets()[0]["id"].as_str().expect("an id").to_owned();
    b.ok(&["album", "add", "Library", &id]);
    b.ok(&["sync"]);
    b.ok(&["--yes", "offload"]);
    assert_eq!(b.assets()[0]["here"]["original"], false);
    a.ok(&["unshare", "Summer", "Ben"]);
    b.ok(&["sync"]);
    assert_eq!(names(&b, &["--album", "Library"]), ["bens.bmp"]);
    let out = homes.path().join("out");
    let id = b.assets()[0]["id"].as_str().expect("an id").to_owned();
    b.ok(&["get", &id, "-o", out.to_str().expect("UTF-8")]);
    drop((node, keeper));
    for device in [&a, &attic, &b] {
        device.never_panicked();
    }
}

#[test]
fn an_original_that_others_promised_to_keep_comes_back_after_the_share_ended() {
    let homes = Homes::new();
    let [a, own, b] = ["a", "own", "b"].map(|name| homes.device(name));
    a.init("Berger", "Anna", "laptop");
    a.ok(&["album", "create", "Summer"]);
    let node = a.serve();
    join_with_words(&a, &b);
    b.know_only(&node.addresses()[0]);
    b.ok(&["sync"]);
    add_bens(&homes, &b);
    b.ok(&["sync"]);
    let phone = b.serve();
    pair(&b, &["--device"], &own, "box", link);
    own.know_only(&phone.addresses()[0]);
    own.ok(&["sync"]);
    drop(phone);
    let kept = own.serve();
    b.ok(&["peer", "add", &kept.addresses()[0]]);
    b.ok(&["sync"]);
    b.ok(&["--yes", "offload"]);
    assert_eq!(b.assets()[0]["here"]["original"], false);

    // His own box is broken, and the share ends: Anna's laptop still keeps its word.
    drop(kept);
    a.ok(&["unshare", "Summer", "Ben"]);
    b.know_only(&node.addresses()[0]);
    b.ok(&["sync"]);
    assert_eq!(names(&b, &["--album", "Library"]), ["bens.bmp"]);
    assert_eq!(b.assets()[0]["here"]["original"], true);
    assert_eq!(b.ok(&["status"])[0]["away"], 0);
    drop(node);
    for device in [&a, &own, &b] {
        device.never_panicked();
    }
}

#[test]
fn photos_of_an_ended_share_that_are_not_here_are_told_until_they_come() {
    let shared = Shared::new();
    let tablet = shared.homes.device("tablet");
    let phone = shared.b.serve();
    pair(&shared.b, &["--device"], &tablet, "tablet", link);
    tablet.ok(&["device", "policy", "tablet", "cache"]);
    tablet.know_only(&phone.addresses()[0]);
    tablet.ok(&["sync"]);
    drop(phone);
    assert_eq!(names(&tablet, &[]), ["annas.bmp", "early.bmp"]);

    // Anna's laptop has Ben's photo, promised nothing, and gives it to him no more.
    let node = shared.serve();
    shared.b.ok(&["sync"]);
    shared.a.ok(&["unshare", "Summer", "Ben"]);
    tablet.know_only(&node.addresses()[0]);
    tablet.ok(&["sync"]);
    assert_eq!(names(&tablet, &[]), [""; 0]);
    let status = tablet.ok(&["status"]);
    let summary = status.last().expect("a summary");
    assert_eq!(
        (&status[0]["away"], &summary["safe"]),
        (&1.into(), &false.into())
    );
    let told = status[0]["problems"].to_string();
    assert!(told.contains("1 photo that you had added"), "{told}");

    shared.b.ok(&["sync"]);
    drop(node);
    let phone = shared.b.serve();
    tablet.know_only(&phone.addresses()[0]);
    tablet.ok(&["sync"]);
    assert_eq!(names(&tablet, &[]), ["early.bmp"]);
    assert_eq!(tablet.ok(&["status"])[0]["away"], 0);
    drop(phone);
    for device in [&shared.a, &shared.b, &tablet] {
        device.never_panicked();
    }
}
