//! A family that comes from elsewhere: folders of Google Takeout, sidecars, and its own export.
#![cfg(unix)]

#[path = "../fuzz/targets/archives.rs"]
pub(crate) mod archives;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::devices::{Device, Dice, Homes, pictures, report};

/// One device of a family.
struct Home {
    homes: Homes,
    device: Device,
    dice: Dice,
}

impl Home {
    fn new() -> Self {
        let homes = Homes::new();
        let device = homes.device("laptop");
        device.init("Berger", "Anna", "laptop");
        let dice = Dice::new();
        Self {
            homes,
            device,
            dice,
        }
    }

    /// A picture that nobody else has, below the folder of the test.
    fn picture(&mut self, path: &str) -> PathBuf {
        let picture = pictures::bmp(8, &mut self.dice);
        self.write(path, &picture)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.homes.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(&path, bytes).expect("a file");
        path
    }

    #[track_caller]
    fn import(&self, path: &str, more: &[&str]) -> (Vec<Value>, Value) {
        import(&self.device, &self.homes.path().join(path), more)
    }
}

#[track_caller]
fn import(device: &Device, path: &Path, more: &[&str]) -> (Vec<Value>, Value) {
    let path = path.to_str().expect("UTF-8");
    let lines = device.ok(&[&["import", path], more].concat());
    let files = lines.iter().filter(|line| line["type"] == "file");
    (files.cloned().collect(), lines[lines.len() - 1].clone())
}

/// The line of the file whose path ends so.
#[track_caller]
fn of<'a>(files: &'a [Value], ending: &str) -> &'a Value {
    let is_it = |file: &&Value| {
        file["path"]
            .as_str()
            .is_some_and(|path| path.ends_with(ending))
    };
    let found = files.iter().find(is_it);
    found.unwrap_or_else(|| panic!("no line for {ending}: {files:?}"))
}

/// What stands of each photo, by name.
fn listed(device: &Device) -> BTreeMap<String, Value> {
    let lines = device.ok(&["list"]);
    let assets = lines.into_iter().filter(|line| line["type"] == "asset");
    assets
        .map(|asset| (asset["name"].as_str().expect("a name").to_owned(), asset))
        .collect()
}

fn takeout(title: &str, seconds: i64, more: Value) -> Vec<u8> {
    let mut said = json!({
        "title": title, "description": "", "photoTakenTime": {"timestamp": seconds.to_string()},
        "geoData": {"latitude": 0.0, "longitude": 0.0},
    });
    for (field, value) in more.as_object().expect("fields") {
        said[field] = value.clone();
    }
    said.to_string().into_bytes()
}

/// A takeout as it lies on a disk: six files in two folders, and four sidecars.
fn write_takeout(home: &mut Home) {
    let year = "Takeout/Google Photos/Photos from 2019";
    let garda = "Takeout/Google Photos/Garda";
    for name in ["IMG_1.bmp", "IMG_1(1).bmp", "IMG_1-edited.bmp", "plain.bmp"] {
        home.picture(&format!("{year}/{name}"));
    }
    let seen = home.picture(&format!("{year}/lake.bmp"));
    let seen = fs::read(seen).expect("a picture");
    home.write(&format!("{garda}/lake.bmp"), &seen);
    let words = json!({"description": "Ben \u{2764} the sea", "favorited": true,
        "geoData": {"latitude": 45.6, "longitude": 10.6}});
    let first = takeout("IMG_1.bmp", 1_546_300_800, words);
    home.write(
        &format!("{year}/IMG_1.bmp.supplemental-metadata.json"),
        &first,
    );
    let second = takeout("IMG_1.bmp", 1_546_387_200, json!({}));
    home.write(&format!("{year}/IMG_1.bmp.suppl(1).json"), &second);
    let album = br#"{"title": "Lago di Garda", "access": "protected", "date": {"timestamp": "1"}}"#;
    home.write(&format!("{garda}/m\u{e9}tadonn\u{e9}es.json"), album);
    home.write(&format!("{year}/lost.bmp.json"), &second);
}

/// Where the photos of an import are, or would be: the album, how many, how many of these were here, who sees it.
fn places(summary: &Value) -> Vec<Value> {
    let albums = summary["albums"].as_array().expect("albums").iter();
    let place = |one: &Value| json!([one["album"], one["added"], one["put"], one["seen_by"]]);
    let mut places: Vec<_> = albums.map(place).collect();
    places.sort_by_key(|place| place[0].to_string());
    places.reverse();
    places
}

#[test]
fn a_takeout_brings_times_places_words_and_albums() {
    let mut home = Home::new();
    write_takeout(&mut home);
    let (_, dry) = home.import("Takeout", &["--dry-run"]);
    assert_eq!((&dry["added"], &dry["sidecars"]), (&json!(6), &json!(4)));
    let albums = home.device.ok(&["album", "list"]);
    assert!(!albums.iter().any(|album| album["name"] == "Lago di Garda"));

    let (files, summary) = home.import("Takeout", &[]);
    assert_eq!(places(&dry), places(&summary));
    assert_eq!(
        places(&dry),
        [json!([null, 5, 0, []]), json!(["Lago di Garda", 1, 0, []])]
    );
    for (field, count) in [("added", 6), ("sidecars", 4), ("skipped", 4), ("failed", 0)] {
        assert_eq!(summary[field], count, "{field}: {summary}");
    }
    let lost = of(&files, "lost.bmp.json");
    assert_eq!(lost["outcome"], "skipped");
    assert_eq!(lost["reason"], "sidecar: its photo is not in this folder");

    let lines = home.device.ok(&["list"]);
    let at = |taken: &str| {
        let mut fits = lines.iter().filter(move |line| line["taken"] == taken);
        fits.find(|line| line["name"] == "IMG_1.bmp")
            .expect("a photo of that time")
    };
    let first = at("2019-01-01T00:00:00");
    assert_eq!(first["caption"], "Ben \u{2764} the sea");
    assert_eq!(
        (&first["favorite"], &first["taken_source"]),
        (&json!(true), &json!("takeout"))
    );
    assert_eq!(first["place"], json!({"lat": 45.6, "lon": 10.6}));
    assert_eq!(at("2019-01-02T00:00:00")["caption"], Value::Null);
    let all = listed(&home.device);
    let edited = &all["IMG_1-edited.bmp"];
    assert_eq!(
        (&edited["taken"], &edited["favorite"]),
        (&json!("2019-01-01T00:00:00"), &json!(false))
    );
    assert_eq!(all["plain.bmp"]["taken"], Value::Null);
    assert_eq!(
        all["lake.bmp"]["albums"],
        json!(["Lago di Garda", "Library"])
    );

    // Again, with what a person has said since.
    let id = first["id"].as_str().expect("an id");
    home.device.ok(&["caption", id, "mine"]);
    home.device.ok(&["favorite", "--remove", id]);
    let (_, again) = home.import("Takeout", &[]);
    assert_eq!((&again["added"], &again["present"]), (&json!(0), &json!(6)));
    let shown = home.device.ok(&["show", id]);
    assert_eq!(
        (&shown[0]["caption"], &shown[0]["favorite"]),
        (&json!("mine"), &json!(false))
    );

    // What is here already would be put into an album of another name, and is.
    let args = ["--album", "Sea"];
    let (_, dry) = home.import("Takeout", &[&args[..], &["--dry-run"]].concat());
    let (_, put) = home.import("Takeout", &args);
    assert_eq!(places(&dry), places(&put));
    assert_eq!(places(&dry), [json!(["Sea", 5, 5, []])]);
}

/// Two parts of a takeout, whose sidecars lie in the second; gives the picture of the first.
fn write_parts(home: &mut Home) -> Vec<u8> {
    let year = "Takeout/Google Photos/Photos from 2019";
    let picture = pictures::bmp(8, &mut home.dice);
    let other = pictures::bmp(8, &mut home.dice);
    let third = pictures::bmp(8, &mut home.dice);
    let said = takeout(
        "a.bmp",
        1_546_300_800,
        json!({"description": "by the sea", "favorited": true}),
    );
    let album = br#"{"title": "Garda", "access": "protected"}"#;
    let long = format!("Takeout/{}/c.bmp", "folder/".repeat(30));
    let name = |name: &str| format!("{year}/{name}");
    let (a, b, json) = (name("a.bmp"), name("b.bmp"), name("a.bmp.json"));
    let first: &[(&str, &[u8])] = &[
        (&a, &picture),
        (&b, &other),
        ("notes.txt", b"words"),
        ("/../../evil.bmp", &other),
    ];
    let second: &[(&str, &[u8])] = &[
        (&json, &said),
        ("Takeout/Google Photos/G/metadata.json", album),
        ("Takeout/Google Photos/G/a.bmp", &picture),
        ("Takeout/Google Photos/G/a.bmp.json", &said),
        (&long, &third),
        ("../../../evil.bmp", &third),
    ];
    home.write("in/takeout-20240101T000000Z-001.zip", &archives::zip(first));
    let tgz = archives::gzip(&archives::tar(second));
    home.write("in/takeout-20240101T000000Z-002.tgz", &tgz);
    picture
}

#[test]
fn parts_of_a_takeout_are_read_as_one() {
    let mut home = Home::new();
    let picture = write_parts(&mut home);
    let (_, dry) = home.import("in", &["--dry-run"]);
    assert_eq!((&dry["added"], &dry["archives"]), (&json!(4), &json!(2)));
    let (files, summary) = home.import("in", &[]);
    let told = |ending: &str| of(&files, ending);
    // The second picture lies there twice, and so does the third.
    for (field, count) in [
        ("added", 4),
        ("present", 2),
        ("sidecars", 3),
        ("archives", 2),
        ("skipped", 6),
        ("failed", 0),
    ] {
        assert_eq!(summary[field], count, "{field}: {summary}");
    }
    assert_eq!(told("notes.txt")["reason"], "text");
    assert_eq!(told("001.zip")["reason"], "archive: 4 files in it");
    assert_eq!(told("002.tgz")["reason"], "archive: 6 files in it");
    let evil = told("001.zip/evil.bmp");
    assert!(evil["asset"].is_string(), "{evil}");
    let all = listed(&home.device);
    let photo = &all["a.bmp"];
    assert_eq!(
        (&photo["caption"], &photo["favorite"]),
        (&json!("by the sea"), &json!(true))
    );
    assert_eq!(photo["taken"], "2019-01-01T00:00:00");
    assert_eq!(photo["albums"], json!(["Garda", "Library"]));
    assert_eq!(all.len(), 3, "{:?}", all.keys());
    let ends_so = |path: &PathBuf| path.ends_with("evil.bmp");
    assert!(!files_of(&home).iter().any(ends_so));
    let above = home.homes.path().parent().expect("a folder");
    assert!(!above.join("evil.bmp").exists());
    // The bytes come back.
    let out = home.homes.path().join("out");
    home.device
        .ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]);
    assert_eq!(fs::read(out.join("Garda/a.bmp")).expect("a photo"), picture);
    let (_, again) = home.import("in", &[]);
    assert_eq!((&again["added"], &again["present"]), (&json!(0), &json!(6)));
}

/// Every file below the folder of a test.
fn files_of(home: &Home) -> Vec<PathBuf> {
    crate::devices::files(home.homes.path())
}

/// Imports what fails in part: the outcome and reason of each file by its path, and the summary.
#[track_caller]
fn import_in_part(device: &Device, path: &Path) -> (BTreeMap<String, [String; 2]>, Value) {
    let (lines, exit) = device
        .start(&["import", path.to_str().expect("UTF-8")])
        .all();
    assert_eq!(exit, 3, "{lines:?}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let files = lines.iter().filter(|line| line["type"] == "file");
    let told = files
        .map(|line| {
            (
                text(&line["path"]),
                [text(&line["outcome"]), text(&line["reason"])],
            )
        })
        .collect();
    (told, lines.last().expect("a summary").clone())
}

#[test]
fn half_an_archive_fails_with_a_reason_and_gives_what_it_has() {
    let mut home = Home::new();
    let pictures = [0; 3].map(|_| pictures::bmp(40, &mut home.dice));
    let files: Vec<(&str, &[u8])> = ["a.bmp", "b.bmp", "c.bmp"]
        .into_iter()
        .zip(pictures.iter().map(|picture| &picture[..]))
        .collect();
    let (zip, tar) = (archives::zip(&files), archives::tar(&files));
    let tgz = archives::gzip(&tar);
    for (name, bytes, added) in [
        ("half.zip", &zip[..zip.len() - 30], 0),
        ("half.tar", &tar[..tar.len() / 2], 1),
        ("half.tgz", &tgz[..tgz.len() / 2], 1),
        ("none.zip", b"no archive at all", 0),
        ("nothing.tgz", b"", 0),
    ] {
        let path = home.write(name, bytes);
        let other = home.homes.device(&format!("for-{name}"));
        other.init("Berger", "Anna", "other");
        let (told, summary) = import_in_part(&other, &path);
        assert_eq!(summary["added"], added, "{name}: {told:?}");
        let [outcome, why] = &told[path.to_str().expect("UTF-8")];
        assert_eq!(outcome, "failed", "{name}: {why}");
        assert!(why.contains("archive"), "{name}: {why}");
    }
    // One byte that is wrong in one photo takes none of the others.
    let mut wrong = zip.clone();
    let mut names = wrong.windows(5);
    let at = names.position(|bytes| bytes == b"b.bmp").expect("a name");
    wrong[at + 200] ^= 1;
    let path = home.write("wrong.zip", &wrong);
    let (told, summary) = import_in_part(&home.device, &path);
    assert_eq!(
        (&summary["added"], &summary["failed"], &summary["archives"]),
        (&json!(2), &json!(1), &json!(1)),
        "{told:?}"
    );
    let [outcome, why] = &told[path.join("b.bmp").to_str().expect("UTF-8")];
    assert_eq!(outcome, "failed");
    assert!(why.contains("the archive is damaged there"), "{why}");
}

#[test]
fn an_archive_that_is_not_opened_is_never_passed_over_in_silence() {
    let mut home = Home::new();
    let pictures = [0; 3].map(|_| pictures::bmp(8, &mut home.dice));
    let inner = archives::zip(&[("x.bmp", &pictures[0])]);
    let files: [(&str, &[u8]); 3] = [
        ("a.bmp", &pictures[1]),
        ("inner.zip", &inner),
        ("b.bmp", &pictures[2]),
    ];
    let mut outer = archives::zip(&files);
    // Its flags say that the last one is encrypted.
    let mut list = (0..outer.len() - 4).rev();
    let last = list.find(|at| outer[*at..].starts_with(b"PK\x01\x02"));
    outer[last.expect("a list") + 8] |= 1;
    home.write("in/outer.zip", &outer);
    home.write("in/old.rar", b"Rar!\x1a\x07\x01\0rest of it");
    home.write("in/new.7z", b"7z\xbc\xaf\x27\x1c\0\x04");
    home.write("in/renamed.zip", b"Rar!\x1a\x07\x01\0rest of it");
    // A photo is a photo whatever it is called.
    home.write("in/photo.zip", &pictures[0]);
    let (told, summary) = import_in_part(&home.device, &home.homes.path().join("in"));
    assert_eq!(
        (&summary["added"], &summary["failed"]),
        (&json!(2), &json!(5)),
        "{told:?}"
    );
    let path = |name: &str| {
        let path = home.homes.path().join("in").join(name);
        path.to_str().expect("UTF-8").to_owned()
    };
    for (name, why) in [
        (
            "old.rar",
            "a RAR archive, which is not opened here; unpack it",
        ),
        ("renamed.zip", "a RAR archive"),
        ("new.7z", "a 7-Zip archive"),
        ("outer.zip/inner.zip", "an archive in an archive; unpack"),
        ("outer.zip/b.bmp", "locked with a password"),
    ] {
        let [outcome, told] = &told[&path(name)];
        assert_eq!(outcome, "failed", "{name}: {told}");
        assert!(told.contains(why), "{name}: {told}");
    }
    assert_eq!(told[&path("outer.zip")][1], "archive: 3 files in it");
    // A person is told too, not a program alone.
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_heirloom"))
        .arg("--home")
        .arg(&home.device.home)
        .args(["import", &path("old.rar")])
        .output()
        .expect("it runs");
    assert_eq!(said.status.code(), Some(3));
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("old.rar: a RAR archive"), "{said}");
}

#[test]
fn a_killed_import_of_an_archive_goes_on() {
    let mut home = Home::new();
    let pictures: Vec<(String, Vec<u8>)> = (0..200)
        .map(|at| (format!("{at:03}.bmp"), pictures::bmp(60, &mut home.dice)))
        .collect();
    let files: Vec<(&str, &[u8])> = pictures
        .iter()
        .map(|(name, bytes)| (&name[..], &bytes[..]))
        .collect();
    let path = home.write("all.tgz", &archives::gzip(&archives::tar(&files)));
    let path = path.to_str().expect("UTF-8");
    let mut running = home.device.start(&["import", path]);
    let mut told = 0;
    while told < 70 {
        let line = running.next().expect("a line");
        told += u32::from(line["outcome"] == "added");
    }
    let rest = running.kill();
    let rest = rest.iter().filter(|line| line["outcome"] == "added");
    let told = told + u32::try_from(rest.count()).expect("small");
    let (lines, exit) = home.device.start(&["import", path]).all();
    let summary = lines.last().expect("a summary");
    assert_eq!((exit, &summary["failed"]), (0, &json!(0)), "{summary}");
    let count = |field: &str| summary[field].as_u64().expect("a number");
    assert_eq!(count("added") + count("present"), 200, "{summary}");
    assert!(count("present") >= u64::from(told), "{told}: {summary}");
    // All of it comes back, and none of it lies in the home in clear.
    let out = home.homes.path().join("out");
    home.device
        .ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]);
    let sums = crate::devices::sums(&out);
    for (name, bytes) in &pictures {
        let sum = crate::devices::sha256(bytes);
        assert!(sums.contains_key(&sum), "{name}");
    }
    let clear = &pictures[0].1[100..164];
    for file in crate::devices::files(&home.device.home) {
        let bytes = fs::read(&file).expect("readable");
        let has_it = bytes.windows(clear.len()).any(|bytes| bytes == clear);
        assert!(!has_it, "{}", file.display());
    }
}

#[test]
fn sidecars_that_come_later_fill_in_what_nobody_has_said() {
    let mut home = Home::new();
    home.picture("in/a.bmp");
    home.import("in", &[]);
    let xmp = "<x:xmpmeta><rdf:Description xmp:Rating=\"4\" exif:DateTimeOriginal=\"2001-02-03T04:05:06\">\
        <dc:description><rdf:Alt><rdf:li xml:lang=\"x-default\">Oma</rdf:li></rdf:Alt></dc:description>\
        <dc:subject><rdf:Bag><rdf:li>garden</rdf:li></rdf:Bag></dc:subject></rdf:Description></x:xmpmeta>";
    home.write("in/a.xmp", xmp.as_bytes());
    let (files, _) = home.import("in", &[]);
    assert_eq!(of(&files, "a.bmp")["outcome"], "present");
    let asset = &listed(&home.device)["a.bmp"];
    assert_eq!(asset["caption"], "Oma");
    assert_eq!(asset["tags"], json!(["garden"]));
    assert_eq!(
        (&asset["taken"], &asset["taken_source"]),
        (&json!("2001-02-03T04:05:06"), &json!("sidecar"))
    );
    let id = asset["id"].as_str().expect("an id");
    home.device.ok(&["tag", id, "--remove", "garden"]);
    home.import("in", &[]);
    assert_eq!(listed(&home.device)["a.bmp"]["tags"], json!([]));
}

#[test]
fn an_export_that_is_imported_elsewhere_is_the_same() {
    let mut home = Home::new();
    for name in ["a.bmp", "b.bmp"] {
        home.picture(&format!("in/{name}"));
    }
    home.import("in", &["--album", "Summer"]);
    let ids = listed(&home.device);
    let id = |name: &str| ids[name]["id"].as_str().expect("an id").to_owned();
    let (a, b) = (id("a.bmp"), id("b.bmp"));
    home.device.ok(&["caption", &a, "two\nlines & <marks>"]);
    home.device.ok(&["favorite", &a]);
    home.device.ok(&["tag", &a, "--add", "sea", "--add", "sun"]);
    home.device
        .ok(&["retake", &a, "--at", "2010-12-12T12:41:35"]);
    home.device.ok(&["album", "create", "Best"]);
    home.device.ok(&["album", "add", "Best", &a]);
    let said = |device: &Device| -> Vec<Value> {
        let all = listed(device).into_values();
        let fields = [
            "name",
            "albums",
            "taken",
            "offset",
            "taken_source",
            "caption",
            "favorite",
            "tags",
            "blake3",
        ];
        all.map(|asset| fields.iter().map(|field| asset[field].clone()).collect())
            .collect()
    };
    for layout in ["album", "date"] {
        let out = home.homes.path().join(layout);
        let to = out.to_str().expect("UTF-8");
        home.device.ok(&["export", to, "--layout", layout]);
        let other = home.homes.device(&format!("other-{layout}"));
        other.init("Berger", "Anna", "other");
        let (_, summary) = import(&other, &out, &[]);
        assert_eq!(summary["failed"], 0);
        assert_eq!(said(&other), said(&home.device), "{layout}");
    }
    assert_ne!(a, b);
}

#[test]
fn a_name_alone_shows_nothing_to_others() {
    let mut home = Home::new();
    home.picture("in/a.bmp");
    let own = |album: &str| json!({"heirloom": {"albums": [album]}}).to_string();
    home.write("in/a.bmp.json", own("Family").as_bytes());
    let (files, _) = home.import("in", &[]);
    let told = of(&files, "a.bmp")["reason"].as_str().expect("a reason");
    assert!(told.contains("others can see the album Family"), "{told}");
    assert_eq!(listed(&home.device)["a.bmp"]["albums"], json!(["Library"]));
}

#[test]
fn the_takeouts_of_the_corpus_come_in_as_expected() {
    let photos = std::env::var_os("HEIRLOOM_PHOTOS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/photos"),
        PathBuf::from,
    );
    let Ok(table) = fs::read_to_string(photos.join("takeout-names/EXPECTED.tsv")) else {
        report("skipped: no photo corpus");
        return;
    };
    let home = Home::new();
    let (files, summary) = import(&home.device, &photos.join("takeout-names/Takeout"), &[]);
    assert_eq!(summary["failed"], 0);
    let lines = home.device.ok(&["list"]);
    let mut rows = table.lines();
    let header: Vec<&str> = rows.next().expect("a header").split('\t').collect();
    let mut count = 0;
    for row in rows {
        let row: BTreeMap<&str, &str> = header.iter().copied().zip(row.split('\t')).collect();
        let path = photos.join(row["media"]);
        let file = files
            .iter()
            .find(|file| file["path"].as_str() == path.to_str());
        let id = &file.unwrap_or_else(|| panic!("no line for {}", row["media"]))["asset"];
        let asset = lines.iter().find(|line| line["id"] == *id);
        let Some(asset) = asset else {
            // Shown under another of its items.
            continue;
        };
        count += 1;
        if let Ok(seconds) = row["captured_unix"].parse::<i64>() {
            assert_eq!(instant(asset), Some(seconds), "{}", row["media"]);
        }
        if let Ok(lat) = row["lat"].parse::<f64>() {
            let told = asset["place"]["lat"].as_f64().expect("a place");
            assert!((told - lat).abs() < 0.001, "{}", row["media"]);
        }
        assert_eq!(
            asset["favorite"],
            row["favourite"] == "yes",
            "{}",
            row["media"]
        );
        if !row["album"].is_empty() {
            let albums = asset["albums"].as_array().expect("albums");
            assert!(albums.contains(&json!(row["album"])), "{}", row["media"]);
        }
    }
    assert!(count >= 10, "{count} rows were held against what came in");
}

#[test]
fn a_takeout_of_the_corpus_in_archives_is_the_same_as_in_folders() {
    let photos = std::env::var_os("HEIRLOOM_PHOTOS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/photos"),
        PathBuf::from,
    );
    let source = photos.join("takeout");
    if !source.is_dir() {
        report("skipped: no photo corpus");
        return;
    }
    let home = Home::new();
    import(&home.device, &source, &[]);
    // Photos in one part, what is said of them in another.
    let packed = Home::new();
    let paths = crate::devices::files(&source);
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(&source).expect("below it");
        let name = name.to_str().expect("UTF-8").to_owned();
        (name, fs::read(path).expect("a file"))
    };
    let (said, media): (Vec<_>, Vec<_>) = paths
        .iter()
        .map(read)
        .partition(|(name, _)| name.ends_with(".json"));
    let part = |files: &[(String, Vec<u8>)]| {
        let files: Vec<(&str, &[u8])> = files
            .iter()
            .map(|(name, bytes)| (&name[..], &bytes[..]))
            .collect();
        archives::zip(&files)
    };
    packed.write("in/takeout-1-001.zip", &part(&media));
    packed.write("in/takeout-1-002.zip", &part(&said));
    let (_, summary) = packed.import("in", &[]);
    assert_eq!(
        (&summary["archives"], &summary["failed"]),
        (&json!(2), &json!(0))
    );
    let all = |device: &Device| -> Vec<Value> {
        let fields = [
            "blake3",
            "name",
            "albums",
            "taken",
            "taken_source",
            "place",
            "caption",
        ];
        let mut lines = device.ok(&["list"]);
        lines.retain(|line| line["type"] == "asset");
        lines.sort_by_key(|line| line["blake3"].to_string());
        let said = |line: &Value| fields.iter().map(|field| line[field].clone()).collect();
        lines.iter().map(said).collect()
    };
    assert!(!said.is_empty() && all(&home.device).len() >= 8);
    assert_eq!(all(&packed.device), all(&home.device));
}

/// Seconds since 1970 of when an asset was taken.
fn instant(asset: &Value) -> Option<i64> {
    use heirloom_node::import::metadata::time::{Stamp, parse_offset};
    let wall = Stamp::parse(asset["taken"].as_str()?)?.wall.unix_millis();
    let offset = asset["offset"].as_str().and_then(parse_offset).unwrap_or(0);
    Some(wall.div_euclid(1000) - i64::from(offset) * 60)
}
