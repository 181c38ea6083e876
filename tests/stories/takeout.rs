//! A family that comes from elsewhere: folders of Google Takeout, sidecars, and its own export.
#![cfg(unix)]

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

#[test]
fn a_takeout_brings_times_places_words_and_albums() {
    let mut home = Home::new();
    write_takeout(&mut home);
    let (_, dry) = home.import("Takeout", &["--dry-run"]);
    assert_eq!((&dry["added"], &dry["sidecars"]), (&json!(6), &json!(4)));
    let albums = home.device.ok(&["album", "list"]);
    assert!(!albums.iter().any(|album| album["name"] == "Lago di Garda"));

    let (files, summary) = home.import("Takeout", &[]);
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

/// Seconds since 1970 of when an asset was taken.
fn instant(asset: &Value) -> Option<i64> {
    use heirloom_node::import::metadata::time::{Stamp, parse_offset};
    let wall = Stamp::parse(asset["taken"].as_str()?)?.wall.unix_millis();
    let offset = asset["offset"].as_str().and_then(parse_offset).unwrap_or(0);
    Some(wall.div_euclid(1000) - i64::from(offset) * 60)
}
