//! Imports as people do them: on a device that has just joined, twice, into two albums, from oddly named cards.
#![cfg(unix)]

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use crate::devices::{Device, Dice, Homes, files, link, pair, pictures, sums};
use serde_json::Value;

fn laptop(homes: &Homes) -> Device {
    let laptop = homes.device("laptop");
    laptop.init("Berger", "Anna", "laptop");
    laptop
}

/// A card with photos of these sizes.
fn card(homes: &Homes, sides: &[u32]) -> PathBuf {
    let (card, mut dice) = (homes.path().join("card"), Dice::new());
    fs::create_dir(&card).expect("a folder");
    for side in sides {
        let photo = pictures::bmp(*side, &mut dice);
        fs::write(card.join(format!("{side}.bmp")), photo).expect("a photo");
    }
    card
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What an import says of photos that are new, and of those that are not.
fn counts(told: &[Value]) -> [Option<u64>; 2] {
    let summary = told.last().expect("a summary");
    ["added", "present"].map(|field| summary[field].as_u64())
}

#[test]
fn the_first_import_of_a_device_that_has_just_joined_finds_its_library() {
    let homes = Homes::new();
    let (laptop, card) = (laptop(&homes), card(&homes, &[40]));
    let [pi, tablet] = ["pi", "tablet"].map(|name| homes.device(name));
    let node = laptop.serve();
    pair(&laptop, &["--device"], &pi, "pi", link);
    pair(&laptop, &["--device"], &tablet, "tablet", link);
    let told = pi.ok(&["import", text(&card)]);
    assert_eq!(counts(&told), [Some(1), Some(0)]);
    assert_eq!(pi.assets()[0]["albums"], serde_json::json!(["Library"]));
    node.stop();

    // Where nobody could tell of the library it says what to do, and an album needs none.
    let (error, exit) = tablet.start(&["import", text(&card)]).end();
    assert_eq!((&error["id"], exit), (&"E-NO-PEER".into(), 6), "{error}");
    let hint = error["hint"].as_str().expect("a hint");
    assert!(
        hint.contains("heirloom serve") && hint.contains("--album"),
        "{hint}"
    );
    let told = tablet.ok(&["import", text(&card), "--album", "Garden"]);
    assert_eq!(counts(&told), [Some(1), Some(0)]);
    for device in [&laptop, &pi, &tablet] {
        device.never_panicked();
    }
}

/// The albums that a summary names, with how many photos came into each.
fn albums(lines: &[Value]) -> Vec<String> {
    let summary = lines.last().expect("a summary");
    let albums = summary["albums"].as_array().expect("albums").iter();
    let told = |one: &Value| format!("{} {} {}", one["album"], one["added"], one["put"]);
    let mut told: Vec<_> = albums.map(told).collect();
    told.sort();
    told
}

#[test]
fn what_a_dry_run_counts_is_what_an_import_does() {
    let homes = Homes::new();
    let (laptop, card) = (laptop(&homes), card(&homes, &[40, 60]));
    fs::copy(card.join("40.bmp"), card.join("again.bmp")).expect("a twin");
    fs::create_dir(card.join("inside")).expect("a folder");
    fs::copy(card.join("60.bmp"), card.join("inside/60.bmp")).expect("a twin");
    let ways: [&[&str]; 4] = [
        &[],
        &["--album", "Garden"],
        &["--album-per-folder"],
        &["--album", "Garden"],
    ];
    let expected = [[2, 2], [2, 2], [3, 1], [0, 4]];
    for (way, expected) in ways.iter().zip(expected) {
        let args = [&["import", text(&card)], *way].concat();
        let planned = laptop.ok(&[&args[..], &["--dry-run"]].concat());
        let done = laptop.ok(&args);
        assert_eq!(counts(&done), expected.map(Some), "{way:?}");
        assert_eq!(counts(&planned), expected.map(Some), "{way:?}");
        assert_eq!(albums(&planned), albums(&done), "{way:?}");
    }
    laptop.never_panicked();
}

#[test]
fn a_photo_in_a_second_album_takes_no_room_of_its_own() {
    let homes = Homes::new();
    let (laptop, card) = (laptop(&homes), card(&homes, &[250, 500]));
    let pi = homes.device("pi");
    let node = laptop.serve();
    pair(&laptop, &["--device"], &pi, "pi", link);
    let room = |device: &Device| -> u64 {
        let blobs = files(&device.home.join("blobs")).into_iter();
        let size = |path: PathBuf| fs::metadata(path).expect("there").size();
        blobs.map(size).sum()
    };
    laptop.ok(&["import", text(&card)]);
    let before = room(&laptop);
    let told = laptop.ok(&["import", text(&card), "--album", "Garden"]);
    assert_eq!(counts(&told), [Some(2), Some(0)]);
    assert_eq!(room(&laptop), before);
    for asset in laptop.assets() {
        let albums = asset["albums"].as_array().map(Vec::len);
        assert_eq!(
            (albums, &asset["preview"]),
            (Some(2), &"made".into()),
            "{asset}"
        );
    }
    // What one album lets go of stays in the other, here and elsewhere.
    let ids: Vec<_> = laptop.assets().iter().map(|a| a["id"].clone()).collect();
    for id in &ids {
        let id = id.as_str().expect("an id");
        laptop.ok(&["trash", id, "--album", "Library"]);
    }
    let args: Vec<_> = ["--yes", "purge"]
        .into_iter()
        .chain(ids.iter().filter_map(Value::as_str))
        .collect();
    let (lines, _) = laptop.start(&args).all();
    assert_eq!(lines.last().expect("an end")["v"], 1);
    pi.ok(&["sync"]);
    node.stop();
    let contents = |folder: &Path| sums(folder).into_keys().collect::<Vec<_>>();
    for device in [&laptop, &pi] {
        device.is_whole();
        let out = device.home.with_extension("out");
        device.ok(&["export", text(&out), "--sidecars", "none"]);
        assert_eq!(contents(&out), contents(&card));
        device.never_panicked();
    }
    assert!(room(&pi) < before * 3 / 2, "{} of {before}", room(&pi));
}

#[test]
fn a_folder_whose_name_is_no_text_is_imported_exported_and_carried_all_the_same() {
    let homes = Homes::new();
    let (laptop, card) = (laptop(&homes), card(&homes, &[40]));
    let odd = |name: &[u8]| homes.path().join(OsStr::from_bytes(name));
    let folder = odd(b"caf\xe9");
    if fs::create_dir(&folder).is_err() {
        eprintln!("skipped: names are text on this file system");
        return;
    }
    let photo = folder.join(OsStr::from_bytes(b"\xff.bmp"));
    fs::copy(card.join("40.bmp"), &photo).expect("a photo");
    let run = |args: &[&OsStr]| {
        let mut command = laptop.command(&[]);
        let ended = command.args(args).output().expect("it runs");
        let last = String::from_utf8(ended.stdout).expect("UTF-8");
        let last: Value = serde_json::from_str(last.lines().last().expect("a line")).expect("JSON");
        (last, ended.status.code())
    };
    // In process, and through a node that runs.
    for (nth, name) in [b"out\xe9", b"uit\xe9"].into_iter().enumerate() {
        let node = (nth == 1).then(|| laptop.serve());
        let (told, exit) = run(&["import".as_ref(), photo.as_ref()]);
        assert_eq!((exit, &told["failed"]), (Some(0), &0.into()), "{told}");
        let (told, exit) = run(&["import".as_ref(), folder.as_ref()]);
        assert_eq!((exit, &told["present"]), (Some(0), &1.into()), "{told}");
        let out = odd(name);
        let sidecars = ["--sidecars", "none"].map(OsStr::new);
        let (told, exit) = run(&["export".as_ref(), out.as_ref(), sidecars[0], sidecars[1]]);
        assert_eq!(exit, Some(0), "{told}");
        assert_eq!(sums(&out).len(), 1);
        let carried = out.with_extension("carried");
        for act in ["write", "read"] {
            let (told, exit) = run(&["bundle".as_ref(), act.as_ref(), carried.as_ref()]);
            assert_eq!(exit, Some(0), "{act}: {told}");
        }
        // What is remembered has a name that can be said.
        for act in ["watch", "depot"] {
            let (told, exit) = run(&[act.as_ref(), "add".as_ref(), folder.as_ref()]);
            assert_eq!(
                (exit, &told["id"]),
                (Some(2), &"E-USAGE".into()),
                "{act}: {told}"
            );
            let message = told["message"].as_str().expect("a message");
            assert!(message.contains("is not UTF-8"), "{act}: {message}");
        }
        if let Some(node) = node {
            node.stop();
        }
    }
    laptop.never_panicked();
}

/// Adds files to the only item of a home, as another program might, until it has as many as it may.
fn fill_up(device: &Device) {
    use heirloom_node::{api::Doorway, node::Options};
    use heirloom_protocol::{
        crypto::BlobKey,
        id::{OpId, PlainHash},
        limits,
        log::entry::BlobLine,
        op::{AddPart, Op, Part, PartRole},
    };
    let listed = device.assets();
    let id = listed[0]["id"].as_str().expect("an id");
    let item = OpId::from_hex(id).expect("an id");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let options = Options {
            worker: (PathBuf::from("/bin/false"), Vec::new()),
        };
        let doorway = Doorway::open(device.home.clone(), options).await;
        let node = doorway.expect("it opens").node().await.expect("a home");
        let view = node.view().await.expect("a view");
        let album = view.library().expect("a library").id;
        for number in 1..=limits::ITEM_PARTS {
            let bytes = vec![u8::try_from(number).expect("few"); 1000];
            let stored = node.store().blobs().put(&bytes).expect("stored");
            let number = u8::try_from(number).expect("few");
            let line = BlobLine {
                part: number,
                class: 0,
                id: stored.cid,
                padded: 1000,
            };
            let part = Part {
                role: PartRole::Raw,
                name: format!("{number}.raw"),
                len: 900,
                pt_hash: PlainHash([number; 32]),
                key: BlobKey::from_bytes([number; 32]),
                blob: 0,
            };
            let op = Op::AddPart(AddPart { item, part });
            let recorded = node
                .ask(move |runtime| runtime.record(album, vec![op], vec![line], &[stored.place]));
            recorded.await.expect("it runs").expect("recorded");
        }
    });
}

#[test]
fn a_movie_for_which_its_still_has_no_room_is_an_item_of_its_own() {
    let homes = Homes::new();
    let a = laptop(&homes);
    let (still, movie) = pictures::live("LIVE-FULL", 4000, &mut Dice::new());
    let folder = homes.path().join("in");
    fs::create_dir(&folder).expect("a folder");
    let (photo, motion) = (folder.join("IMG.JPG"), folder.join("IMG.MOV"));
    fs::write(&photo, still).expect("a still");
    fs::write(&motion, &movie).expect("a movie");
    a.ok(&["import", text(&photo)]);
    fill_up(&a);
    let told = a.ok(&["import", text(&motion)]);
    let summary = told.last().expect("a summary");
    assert_eq!(
        (&summary["added"], &summary["paired"]),
        (&1.into(), &0.into()),
        "{summary}"
    );
    let kinds = a.assets();
    let videos = kinds.iter().filter(|asset| asset["kind"] == "video");
    assert_eq!(videos.count(), 1, "{kinds:?}");
    let out = homes.path().join("out");
    // The files that were put in by hand hold nothing that could be read.
    a.start(&["export", text(&out), "--sidecars", "none"]).all();
    let is_there = sums(&out).into_values();
    let mut is_there = is_there.map(|path| fs::read(path).expect("a file"));
    assert!(
        is_there.any(|bytes| bytes == movie),
        "the movie comes out again"
    );
    a.never_panicked();
}

#[test]
fn a_movie_whose_still_is_in_the_trash_is_an_item_of_its_own() {
    let homes = Homes::new();
    let a = laptop(&homes);
    let (still, movie) = pictures::live("LIVE-LATE", 4000, &mut Dice::new());
    let folder = homes.path().join("in");
    fs::create_dir(&folder).expect("a folder");
    let (photo, motion) = (folder.join("IMG.JPG"), folder.join("IMG.MOV"));
    fs::write(&photo, still).expect("a still");
    fs::write(&motion, &movie).expect("a movie");
    let told = a.ok(&["import", text(&photo)]);
    let id = told[0]["asset"].as_str().expect("an id").to_owned();
    a.ok(&["trash", &id]);
    let told = a.ok(&["import", text(&motion)]);
    let summary = told.last().expect("a summary");
    let came = (&summary["added"], &summary["paired"]);
    assert_eq!(came, (&1.into(), &0.into()), "{summary}");
    let kinds = a.assets();
    assert_eq!((kinds.len(), &kinds[0]["kind"]), (1, &"video".into()));
}
