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
    }
    laptop.never_panicked();
}
