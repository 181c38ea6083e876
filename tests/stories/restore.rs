//! Every device of a person is gone. What brings all of it back is the 24 words and one keeper.
#![cfg(unix)]

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use crate::devices::{
    Device, Dice, Homes, Running, alike, files, link, pair, pictures, sums, wait_until,
};
use serde_json::{Value, json};

/// How long a command may take to come to a place where it is killed.
const SOON: Duration = Duration::from_secs(60);

/// Anna's laptop and phone, Ben's tablet, and two keepers.
struct Family {
    homes: Homes,
    dice: Dice,
    laptop: Device,
    ben: Device,
    keepers: [Device; 2],
    words: String,
    photos: PathBuf,
}

/// What a person sees, and all of whose originals they hold.
#[derive(PartialEq, Eq, Debug)]
struct Seen {
    assets: Vec<String>,
    albums: BTreeSet<String>,
    people: BTreeSet<String>,
    originals: BTreeSet<String>,
}

fn all(device: &Device, args: &[&str], kind: &str) -> Vec<Value> {
    let mut lines = device.ok(args);
    lines.retain(|line| line["type"] == kind);
    lines
}

fn seen(homes: &Homes, device: &Device, name: &str) -> Seen {
    let out = homes.path().join(name);
    device.ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]);
    let text = |lines: Vec<Value>, fields: &[&str]| -> BTreeSet<String> {
        let line = |line: &Value| {
            let fields = fields.iter().map(|field| line[*field].to_string());
            fields.collect::<Vec<_>>().join(" ")
        };
        lines.iter().map(line).collect()
    };
    Seen {
        assets: alike(&device.assets()),
        albums: text(
            all(device, &["album", "list"], "album"),
            &["id", "name", "role", "people"],
        ),
        people: text(
            all(device, &["people", "list"], "person"),
            &["id", "name", "role"],
        ),
        originals: sums(&out).into_keys().collect(),
    }
}

fn problems(device: &Device) -> String {
    all(device, &["status"], "status")[0]["problems"].to_string()
}

fn is_settled(device: &Device) {
    let summary = device.ok(&["sync"]).pop().expect("a summary");
    assert_eq!(summary["settled"], true, "{summary}");
}

/// Restores with words and addresses on stdin.
fn restore(device: &Device, words: &str, nodes: &[&Running], more: &[&str]) -> (Value, i32) {
    let (mut lines, exit) = restored(device, words, nodes, more);
    (lines.pop().expect("a last line"), exit)
}

/// The same, with all that it says.
fn restored(device: &Device, words: &str, nodes: &[&Running], more: &[&str]) -> (Vec<Value>, i32) {
    let mut running = device.start(&[&["recovery", "restore"], more, &["-"]].concat());
    running.say(&stdin(words, nodes));
    running.all()
}

/// The albums that a device which is gone could read, as they were said.
fn reach(lines: &[Value]) -> BTreeSet<String> {
    let rows = lines.iter().filter(|line| line["type"] == "reach");
    let rows = rows.filter(|row| row["device"] == "old laptop");
    rows.map(|row| row["album"].as_str().expect("a name").to_owned())
        .collect()
}

fn stdin(words: &str, nodes: &[&Running]) -> String {
    let mut text = format!("{words}\n");
    for address in nodes.iter().flat_map(|node| node.addresses()) {
        text += &format!("{address}\n");
    }
    text
}

impl Family {
    fn new() -> Self {
        let (homes, dice) = (Homes::new(), Dice::new());
        let [laptop, phone, ben] = ["laptop", "phone", "ben"].map(|name| homes.device(name));
        let keepers = ["attic", "cellar"].map(|name| homes.device(name));
        let names = [
            "--family",
            "Berger",
            "--person",
            "Anna",
            "--device",
            "old laptop",
        ];
        let made = laptop.ok(&[&["init"], &names[..]].concat()).pop();
        let words = made.expect("a summary")["recovery"].clone();
        let words: Vec<_> = words.as_array().into_iter().flatten().collect();
        let words: Vec<_> = words.into_iter().filter_map(Value::as_str).collect();
        assert_eq!(words.len(), 24);
        let photos = homes.path().join("photos");
        let mut family = Self {
            words: words.join(" "),
            homes,
            dice,
            laptop,
            ben,
            keepers,
            photos,
        };
        family.live(&phone);
        family
    }

    fn import(&self, device: &Device, name: &str, bytes: &[u8], album: Option<&str>) -> String {
        fs::create_dir_all(&self.photos).expect("a folder");
        let path = self.photos.join(name);
        fs::write(&path, bytes).expect("a photo");
        let mut args = vec!["import", path.to_str().expect("UTF-8")];
        args.extend(album.into_iter().flat_map(|album| ["--album", album]));
        let file = all(device, &args, "file").remove(0);
        assert_eq!(file["outcome"], "added", "{file}");
        file["asset"].as_str().expect("an id").to_owned()
    }

    /// Photos, albums, names, captions and tags of two people; the keepers hold all of it.
    fn live(&mut self, phone: &Device) {
        let (laptop, ben) = (self.laptop.clone(), self.ben.clone());
        let node = laptop.serve();
        pair(&laptop, &["--device"], phone, "Annas phone", link);
        let [attic, cellar] = self.keepers.clone();
        pair(&laptop, &["--keeper", "attic"], &attic, "attic", link);
        pair(&laptop, &["--keeper", "cellar"], &cellar, "cellar", link);
        let dice = &mut self.dice;
        let texts = [(pictures::Text::Make, "Leica")];
        let small = pictures::jpeg(64, &texts, dice);
        let large = pictures::bmp(400, dice);
        let movie = pictures::movie(5_000_000, dice);
        let others: Vec<_> = (0..4).map(|_| pictures::bmp(50, dice)).collect();
        let beach = self.import(&laptop, "beach.jpg", &small, Some("Summer"));
        let dunes = self.import(&laptop, "dunes.bmp", &large, Some("Summer"));
        self.import(&laptop, "waves.mp4", &movie, Some("Winter"));
        self.import(&laptop, "own.bmp", &others[0], None);
        let gone = self.import(&laptop, "gone.bmp", &others[1], Some("Winter"));
        laptop.ok(&["caption", &beach, "Grandma\u{2019}s caf\u{e9}"]);
        laptop.ok(&["tag", &dunes, "--add", "sea", "--add", "wind"]);
        laptop.ok(&["favorite", &dunes]);
        laptop.ok(&["album", "rename", "Winter", "Winter 2019"]);
        laptop.ok(&["--yes", "trash", &gone]);
        let whom = ["--person", "Ben", "--album", "Summer"];
        pair(&laptop, &whom, &ben, "tablet", link);
        is_settled(&ben);
        let bens = self.import(&ben, "bens.bmp", &others[2], Some("Summer"));
        ben.ok(&["caption", &bens, "by Ben"]);
        // What is his alone, and no word of Anna's opens.
        self.import(&ben, "private.bmp", &others[3], None);
        is_settled(&ben);
        is_settled(phone);
        let far = self.import(phone, "phone.bmp", &others[3], Some("Summer"));
        phone.ok(&["comment", &far, "seen from the phone"]);
        is_settled(phone);
        for keeper in &self.keepers {
            is_settled(keeper);
        }
        drop(node);
        // Ben meets the keepers, which hold his library as well.
        for keeper in &self.keepers {
            let node = keeper.serve();
            ben.ok(&["peer", "add", &node.addresses()[0]]);
            is_settled(&ben);
        }
        fs::remove_dir_all(&phone.home).expect("the phone is gone");
    }

    fn fresh(&self, name: &str) -> Device {
        self.homes.device(name)
    }
}

#[test]
fn the_words_and_one_keeper_bring_back_every_original_name_album_and_caption() {
    let family = Family::new();
    let [attic, cellar] = &family.keepers;
    let before = seen(&family.homes, &family.laptop, "before");
    assert_eq!(before.originals.len(), 6);
    for lost in [&family.laptop, &family.ben, cellar] {
        fs::remove_dir_all(&lost.home).expect("destroyed");
    }
    let node = attic.serve();
    let tablet = family.fresh("new");
    let more = [
        "--device",
        "new laptop",
        "--remove-lost",
        "old laptop",
        "--remove-lost",
        "none",
    ];
    let (lines, exit) = restored(&tablet, &family.words, &[&node], &more);
    let summary = lines.last().expect("a summary");
    assert_eq!(exit, 3, "a device of no name was to be removed: {summary}");
    assert_eq!(
        (
            &summary["family_name"],
            &summary["person_name"],
            &summary["device_name"]
        ),
        (&json!("Berger"), &json!("Anna"), &json!("new laptop")),
        "{summary}"
    );
    assert_eq!(summary["missing"], 0, "{summary}");
    assert_eq!(summary["settled"], true, "{summary}");
    assert_eq!(summary["removed"], json!(["old laptop"]), "{summary}");
    assert_eq!(summary["not_found"], json!(["none"]), "{summary}");
    // What the lost one could read is named, and once more when it is removed again.
    let could = reach(&lines);
    let albums = ["Library", "Summer", "Winter 2019"].map(str::to_owned);
    assert!(could.is_superset(&BTreeSet::from(albums)), "{lines:?}");
    let told = tablet.ok(&["--yes", "device", "remove", "old laptop", "--lost"]);
    let removed = told.last().expect("a summary");
    assert_eq!(removed["removed_before"], true, "{removed}");
    assert_eq!(reach(&told), could, "{told:?}");
    let after = seen(&family.homes, &tablet, "after");
    assert_eq!(after, before);
    assert!(
        after
            .originals
            .iter()
            .eq(sums(&family.homes.path().join("before")).keys())
    );
    assert!(after.assets.concat().contains("Grandma\u{2019}s caf\u{e9}"));
    tablet.is_whole();
    let trashed = all(&tablet, &["list", "--trashed"], "asset");
    assert_eq!(trashed.len(), 1, "{trashed:?}");
    let fate = &trashed[0]["trash"];
    assert_eq!(
        (&fate["by"], &fate["device"]),
        (&json!("Anna"), &json!("old laptop")),
        "{fate}"
    );
    assert!(
        after
            .assets
            .iter()
            .all(|asset| !asset.contains("\"trash\""))
    );
    let devices = all(&tablet, &["device", "list"], "device");
    let named = |removed: bool| -> BTreeSet<&str> {
        let fits = devices.iter().filter(|device| device["removed"] == removed);
        fits.filter_map(|device| device["name"].as_str()).collect()
    };
    assert_eq!(named(true), BTreeSet::from(["old laptop"]));
    assert_eq!(
        named(false),
        BTreeSet::from(["Annas phone", "attic", "cellar", "new laptop", "tablet"])
    );
    assert!(!tablet.home.join("keys/restoring.key").exists());

    // It is a device like any other: it writes, and others of the family read it.
    let bytes = fs::read(family.photos.join("beach.jpg")).expect("a photo");
    let new = [&bytes[..], b"new"].concat();
    family.import(&tablet, "later.jpg", &new, Some("Summer"));
    is_settled(&tablet);
    let again = family.fresh("again");
    let (summary, exit) = restore(&again, &family.words, &[&node], &["--device", "second"]);
    assert_eq!(exit, 0, "{summary}");
    assert_eq!(again.assets().len(), tablet.assets().len());
    for device in [&tablet, &again, attic] {
        device.never_panicked();
    }
}

/// Names of what a device lists, in an album or at all.
fn names(device: &Device, more: &[&str]) -> BTreeSet<String> {
    let (lines, exit) = device.start(&[&["list"], more].concat()).all();
    assert!(exit == 0 || exit == 4, "{more:?}: {lines:?}");
    let assets = lines.iter().filter(|line| line["type"] == "asset");
    let name = |asset: &Value| asset["name"].as_str().expect("a name").to_owned();
    assets.map(name).collect()
}

/// How many libraries of their person a device knows.
fn libraries(device: &Device) -> usize {
    let albums = all(device, &["album", "list"], "album");
    let libraries = albums.iter().filter(|album| album["name"] == "Library");
    libraries.count()
}

#[test]
fn who_is_brought_back_by_another_person_has_a_library_again() {
    let homes = Homes::new();
    let [anna, ben] = ["anna", "ben"].map(|name| homes.device(name));
    anna.init("Berger", "Anna", "laptop");
    let node = anna.serve();
    let mut invite = anna.start(&["--yes", "invite", "--person", "Ben"]);
    let (joined, exit) = ben.join(&link(&invite.line("invite")));
    assert_eq!((exit, invite.end().1), (0, 0), "{joined}");
    let words = joined["recovery"].as_array().expect("24 words");
    let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
    let mut dice = Dice::new();
    let mut photo = |name: &str| {
        let path = homes.path().join(name);
        fs::write(&path, pictures::bmp(60, &mut dice)).expect("a photo");
        path.to_str().expect("UTF-8").to_owned()
    };
    anna.ok(&["import", &photo("annas.bmp"), "--album", "Summer"]);
    anna.ok(&["share", "Summer", "Ben"]);
    is_settled(&ben);
    ben.ok(&["import", &photo("early.bmp"), "--album", "Summer"]);
    is_settled(&ben);
    ben.ok(&["import", &photo("private.bmp")]);

    // Nobody else has his library.
    let new = homes.device("new");
    let (summary, exit) = restore(&new, &words.join(" "), &[&node], &["--device", "tablet"]);
    assert_eq!(
        (exit, &summary["library_begun"]),
        (0, &json!(true)),
        "{summary}"
    );
    new.ok(&["import", &photo("late.bmp"), "--album", "Summer"]);
    new.ok(&["import", &photo("own.bmp")]);
    is_settled(&new);
    anna.ok(&["--yes", "unshare", "Summer", "Ben"]);
    is_settled(&new);
    let told = problems(&new);
    assert!(told.contains("stay in your library"), "{told}");
    wait_until("what he added is in his library", SOON, || {
        names(&new, &["--album", "Library"])
            == ["early.bmp", "late.bmp", "own.bmp"]
                .map(str::to_owned)
                .into()
    });
    new.ok(&["album", "leave", "Summer"]);
    drop(node);

    // The old one turns up again, and hears of it: both libraries are seen, and all that is in them.
    let node = anna.serve();
    ben.know_only(&node.addresses()[0]);
    is_settled(&ben);
    drop(node);
    let node = new.serve();
    ben.know_only(&node.addresses()[0]);
    is_settled(&ben);
    let every = ["early.bmp", "late.bmp", "own.bmp", "private.bmp"].map(str::to_owned);
    for device in [&ben, &new] {
        assert_eq!(libraries(device), 2);
        assert!(names(device, &[]).is_superset(&every.clone().into()));
        device.ok(&["import", &photo("more.bmp")]);
        is_settled(&ben);
        device.is_whole();
        device.never_panicked();
    }
    assert_eq!(names(&ben, &[]), names(&new, &[]));
}

#[test]
fn two_keepers_bring_back_what_neither_has_alone_and_everybody_is_told() {
    let family = Family::new();
    let before = seen(&family.homes, &family.laptop, "before");
    let bens = family.ben.assets().len();
    fs::remove_dir_all(&family.laptop.home).expect("destroyed");
    // Each has lost the large files of the other.
    let mut torn = 0;
    for (nth, keeper) in family.keepers.iter().enumerate() {
        let mut large = files(&keeper.home.join("blobs"));
        large.retain(|file| file.file_name().is_some_and(|name| name.len() == 64));
        for (at, file) in large.iter().enumerate() {
            if at % 2 == nth {
                fs::remove_file(file).expect("torn out");
                torn += 1;
            }
        }
    }
    assert!(torn >= 2, "only {torn} large files");
    let nodes = family.keepers.each_ref().map(Device::serve);
    let tablet = family.fresh("new");
    let nodes_of: Vec<&Running> = nodes.iter().collect();
    let (summary, exit) = restore(
        &tablet,
        &family.words,
        &nodes_of,
        &["--device", "new laptop"],
    );
    assert_eq!((exit, &summary["missing"]), (0, &json!(0)), "{summary}");
    assert_eq!(seen(&family.homes, &tablet, "after"), before);
    tablet.is_whole();

    // Ben comes back, hears of it, and sees no more and no less than before.
    for node in &nodes {
        family.ben.ok(&["peer", "add", &node.addresses()[0]]);
    }
    family.ben.ok(&["sync", "--timeout", "20s"]);
    assert_eq!(family.ben.assets().len(), bens);
    let told = problems(&family.ben);
    assert!(told.contains("recovery words of Anna were used"), "{told}");
    // He is a member, who may remove no device of hers.
    assert!(told.contains("add the device new laptop"), "{told}");
    assert!(told.contains("ask Anna; "), "{told}");
    assert!(!told.contains("device remove"), "{told}");
    // The device that they brought has no news of itself.
    let told = problems(&tablet);
    assert!(!told.contains("recovery words of"), "{told}");
    // The keepers have heard it as well, and know no names.
    drop(nodes);
    for keeper in &family.keepers {
        let told = problems(keeper);
        assert!(told.contains("recovery words of"), "{told}");
        assert!(!told.contains("Anna"), "{told}");
        assert!(told.contains("ask an admin of the family; "), "{told}");
    }
}

#[test]
fn a_restore_that_is_killed_at_any_moment_goes_on_when_it_is_given_again() {
    let family = Family::new();
    let before = seen(&family.homes, &family.laptop, "before");
    let node = family.keepers[0].serve();
    let tablet = family.fresh("new");
    let has = |file: &str| tablet.home.join(file).exists();
    let stages: [(&str, &dyn Fn() -> bool); 4] = [
        ("its key", &|| has("keys/restoring.key")),
        ("the family", &|| {
            !files(&tablet.home.join("logs")).is_empty()
        }),
        ("its identity", &|| has("keys/device.key")),
        ("photos", &|| {
            has("keys/device.key") && !files(&tablet.home.join("blobs")).is_empty()
        }),
    ];
    for (what, reached) in stages {
        let mut running = tablet.start(&["recovery", "restore", "--device", "new", "-"]);
        running.say(&stdin(&family.words, &[&node]));
        wait_until(what, SOON, || reached() || running.has_ended());
        running.kill();
    }
    if has("keys/restoring.key") {
        // Another paper does not take up what this one began.
        let (refused, exit) = restore(&tablet, &other_words(&family.homes), &[&node], &[]);
        assert!(exit == 8 || exit == 1, "{refused}");
        let (summary, exit) = restore(&tablet, &family.words, &[&node], &["--device", "new"]);
        assert_eq!(exit, 0, "{summary}");
    }
    assert_eq!(seen(&family.homes, &tablet, "after"), before);
    tablet.is_whole();
    let devices = all(&tablet, &["device", "list"], "device");
    let mine = devices.iter().filter(|device| device["name"] == "new");
    assert_eq!(mine.count(), 1, "{devices:?}");
    assert_eq!(devices.len(), 6, "{devices:?}");
    let (refused, exit) = restore(&tablet, &family.words, &[&node], &[]);
    assert_eq!(
        (refused["id"].as_str(), exit),
        (Some("E-ALREADY-SET-UP"), 1),
        "{refused}"
    );
    // The other keeper has not heard of it, and turns it away: nobody is alarmed.
    let cellar = &family.keepers[1];
    let other = cellar.serve();
    tablet.ok(&["peer", "add", &other.addresses()[0]]);
    // It is called twice before its silence says anything.
    wait_until("it is turned away", SOON, || {
        is_settled(&tablet);
        problems(&tablet).contains("cellar does not know this device yet")
    });
    let told = problems(&tablet);
    assert!(told.contains("hears of it from attic"), "{told}");
    assert!(!told.contains("may have been removed"), "{told}");
    drop(other);
    cellar.ok(&["peer", "add", &node.addresses()[0]]);
    is_settled(cellar);
    let other = cellar.serve();
    tablet.ok(&["peer", "add", &other.addresses()[0]]);
    is_settled(&tablet);
    let told = problems(&tablet);
    assert!(!told.contains("does not know this device"), "{told}");
    tablet.never_panicked();
}

/// Words that are well formed and nobody's here.
fn other_words(homes: &Homes) -> String {
    let stranger = homes.path().join("stranger");
    if !stranger.exists() {
        homes.home("stranger");
    }
    let device = Device::at(&stranger);
    let words = homes.path().join("stranger.txt");
    if !words.exists() {
        let path = words.to_str().expect("UTF-8");
        device.ok(&[
            "init",
            "--family",
            "F",
            "--person",
            "P",
            "--recovery-out",
            path,
        ]);
    }
    fs::read_to_string(&words).expect("words").trim().to_owned()
}

#[test]
fn wrong_words_strangers_and_silence_each_have_their_answer() {
    let homes = Homes::new();
    let [laptop, bare] = ["laptop", "bare"].map(|name| homes.device(name));
    let path = homes.path().join("words.txt");
    let out = path.to_str().expect("UTF-8");
    laptop.ok(&[
        "init",
        "--family",
        "F",
        "--person",
        "P",
        "--recovery-out",
        out,
    ]);
    let words = fs::read_to_string(&path).expect("words").trim().to_owned();
    let node = laptop.serve();

    // Words that do not fit together are refused before anybody is asked.
    let mut list: Vec<_> = words.split(' ').collect();
    list[3] = if list[3] == "zoo" { "able" } else { "zoo" };
    for wrong in ["abandon zoo".to_owned(), list.join(" ")] {
        let (refused, exit) = restore(&bare, &wrong, &[&node], &[]);
        assert_eq!(
            (refused["id"].as_str(), exit),
            (Some("E-CODE"), 8),
            "{refused}"
        );
    }
    assert!(!bare.home.join("keys/restoring.key").exists());
    // Good words that nobody here knows; the stranger's node does not answer for another family.
    let other = other_words(&homes);
    let (refused, exit) = restore(&bare, &other, &[&node], &[]);
    assert_eq!(
        (refused["id"].as_str(), exit),
        (Some("E-CODE"), 8),
        "{refused}"
    );
    let stranger = Device::at(&homes.path().join("stranger"));
    let strangers = stranger.serve();
    let (refused, exit) = restore(&bare, &words, &[&strangers], &[]);
    assert_eq!(
        (refused["id"].as_str(), exit),
        (Some("E-CODE"), 8),
        "{refused}"
    );
    // Nobody in reach.
    let address = node.addresses().remove(0);
    drop(node);
    let (refused, exit) = bare.run(
        &["recovery", "restore", "-"],
        &format!("{words}\n{address}\n"),
    );
    assert_eq!(
        (refused["id"].as_str(), exit),
        (Some("E-NO-PEER"), 6),
        "{refused}"
    );
    let (refused, exit) = restore(&bare, &words, &[], &[]);
    assert_eq!(
        (refused["id"].as_str(), exit),
        (Some("E-NO-PEER"), 6),
        "{refused}"
    );
    // A home that is set up is left alone.
    let (refused, exit) = restore(&laptop, &words, &[], &[]);
    assert_eq!(
        (refused["id"].as_str(), exit),
        (Some("E-ALREADY-SET-UP"), 1),
        "{refused}"
    );
    // What failed has left nothing that stands in the way.
    let node = laptop.serve();
    let (summary, exit) = restore(&bare, &words, &[&node], &["--device", "new"]);
    assert_eq!(exit, 0, "{summary}");

    // Old words, once they were replaced, are nobody's.
    let replaced = homes.path().join("new.txt");
    let args = [
        "recovery",
        "replace",
        "--recovery-out",
        replaced.to_str().expect("UTF-8"),
        "-",
    ];
    let (summary, exit) = laptop.run(&args, &format!("{words}\n"));
    assert_eq!(exit, 0, "{summary}");
    let late = homes.device("late");
    let (refused, exit) = restore(&late, &words, &[&node], &[]);
    assert_eq!(
        (refused["id"].as_str(), exit),
        (Some("E-CODE"), 8),
        "{refused}"
    );
    let words = fs::read_to_string(&replaced)
        .expect("words")
        .trim()
        .to_owned();
    let (summary, exit) = restore(&late, &words, &[&node], &[]);
    assert_eq!(exit, 0, "{summary}");
}

#[test]
#[cfg(target_os = "linux")]
fn on_a_local_network_the_words_alone_find_the_keeper() {
    use crate::devices::{
        namespaces::{Cable, lacking},
        skipped,
    };
    if let Some(why) = lacking() {
        skipped(why);
        return;
    }
    let homes = Homes::new();
    let mut dice = Dice::new();
    let cable = Cable::new('r');
    let on = |name: &str, nth: usize| {
        let mut device = homes.device(name);
        fs::remove_file(device.home.join("config.toml")).expect("it was there");
        device.prefix = cable.ends[nth].prefix();
        device
    };
    let (laptop, attic, bare) = (on("laptop", 0), on("attic", 0), on("bare", 1));
    let path = homes.path().join("words.txt");
    let out = path.to_str().expect("UTF-8");
    laptop.ok(&[
        "init",
        "--family",
        "Berger",
        "--person",
        "Anna",
        "--recovery-out",
        out,
    ]);
    let photo = homes.path().join("one.bmp");
    fs::write(&photo, pictures::bmp(90, &mut dice)).expect("a photo");
    laptop.ok(&[
        "import",
        photo.to_str().expect("UTF-8"),
        "--album",
        "Summer",
    ]);
    let node = laptop.serve_with(&[]);
    pair(&laptop, &["--keeper", "attic"], &attic, "attic", link);
    is_settled(&attic);
    drop(node);
    fs::remove_dir_all(&laptop.home).expect("destroyed");
    let node = attic.serve_with(&[]);
    // Words that count no more: there is somebody, and the network is not what is wrong.
    let (refused, exit) = bare.run(&["recovery", "restore", "-"], &other_words(&homes));
    assert_eq!(exit, 6, "{refused}");
    let message = refused["message"].as_str().expect("a message");
    assert!(
        message.contains("none of them knows these words"),
        "{refused}"
    );
    let words = fs::read_to_string(&path).expect("words");
    let (summary, exit) = bare.run(&["recovery", "restore", "-"], &words);
    assert_eq!((exit, &summary["missing"]), (0, &json!(0)), "{summary}");
    let back = homes.path().join("out");
    bare.ok(&[
        "export",
        back.to_str().expect("UTF-8"),
        "--sidecars",
        "none",
    ]);
    let sum = crate::devices::sha256(&fs::read(&photo).expect("a photo"));
    assert!(sums(&back).into_keys().eq([sum]));
    drop(node);
}
