//! Originals that no device has any more, while the card that they came from still has them: a card is
//! emptied when the import says so, and what it says has to be true.
#![cfg(unix)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::devices::{Device, Dice, Homes, files, link, pair, pictures, sums};
use serde_json::Value;

/// A card with a photo that is packed, one that is not, and a movie.
fn card(homes: &Homes, dice: &mut Dice) -> PathBuf {
    let card = homes.path().join("card");
    fs::create_dir(&card).expect("a folder");
    let photos = [
        ("small.bmp", pictures::bmp(250, dice)),
        ("large.bmp", pictures::bmp(500, dice)),
        ("clip.mp4", pictures::movie(700_000, dice)),
    ];
    for (name, bytes) in photos {
        fs::write(card.join(name), bytes).expect("a photo");
    }
    card
}

fn import(device: &Device, card: &Path) -> Vec<Value> {
    device.ok(&["import", card.to_str().expect("UTF-8"), "--album", "Summer"])
}

#[track_caller]
fn all_present(told: &[Value]) {
    let summary = told.last().expect("a summary");
    let counts = ["added", "present", "failed"].map(|field| summary[field].as_u64());
    assert_eq!(counts, [Some(0), Some(3), Some(0)], "{told:?}");
}

/// All originals are here, and the photos come out as they are on the card.
#[track_caller]
fn has_all(device: &Device, card: &Path, ids: &BTreeSet<String>) {
    let assets = device.assets();
    for asset in &assets {
        assert_eq!(asset["here"]["original"], true, "{asset}");
    }
    assert_eq!(ids_of(&assets), *ids);
    device.is_whole();
    let out = device.home.with_extension("out");
    device.ok(&["export", out.to_str().expect("UTF-8"), "--sidecars", "none"]);
    let contents = |folder| sums(folder).into_keys().collect::<BTreeSet<_>>();
    assert_eq!(contents(&out), contents(card));
    fs::remove_dir_all(&out).expect("removed");
}

fn ids_of(assets: &[Value]) -> BTreeSet<String> {
    let ids = assets.iter().map(|asset| asset["id"].as_str());
    ids.map(|id| id.expect("an id").to_owned()).collect()
}

fn large_blobs(device: &Device) -> Vec<PathBuf> {
    let mut blobs = files(&device.home.join("blobs"));
    let is_whole = |name: &str| name.len() == 64;
    blobs.retain(|path| {
        path.file_name()
            .is_some_and(|n| n.to_str().is_some_and(is_whole))
    });
    blobs
}

fn packs(device: &Device) -> Vec<PathBuf> {
    files(&device.home.join("blobs/packs"))
}

#[test]
fn a_photo_that_only_the_card_still_has_is_stored_by_the_next_device_and_healed_on_the_first() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let card = card(&homes, &mut dice);
    let [laptop, desktop] = ["laptop", "desktop"].map(|name| homes.device(name));
    laptop.init("Berger", "Anna", "laptop");
    let node = laptop.serve();
    pair(&laptop, &["--device"], &desktop, "desktop", link);
    node.stop();
    let told = import(&laptop, &card);
    assert_eq!(told.last().expect("a summary")["added"], 3, "{told:?}");
    let ids = ids_of(&laptop.assets());
    // The disk takes everything but the words.
    for lost in large_blobs(&laptop).iter().chain(&packs(&laptop)) {
        fs::remove_file(lost).expect("it was there");
    }
    let node = laptop.serve();
    desktop.forget_all();
    desktop.ok(&["peer", "add", &node.addresses()[0]]);
    desktop.start(&["sync"]).all();
    node.stop();
    let assets = desktop.assets();
    assert_eq!(ids_of(&assets), ids);
    for asset in &assets {
        let here = (&asset["here"]["original"], &asset["copies"]);
        assert_eq!(here, (&false.into(), &0.into()), "{asset}");
    }

    all_present(&import(&desktop, &card));
    has_all(&desktop, &card, &ids);
    // What the desktop made of its copy of the card is what the laptop lost.
    let node = desktop.serve();
    laptop.forget_all();
    laptop.ok(&["peer", "add", &node.addresses()[0]]);
    laptop.start(&["verify", "--read-data", "--repair"]).all();
    laptop.start(&["sync"]).all();
    node.stop();
    has_all(&laptop, &card, &ids);
    laptop.never_panicked();
    desktop.never_panicked();
}

#[test]
fn a_damaged_photo_is_healed_by_importing_it_again() {
    let homes = Homes::new();
    let mut dice = Dice::new();
    let card = card(&homes, &mut dice);
    let device = homes.device("laptop");
    device.init("Berger", "Anna", "laptop");
    import(&device, &card);
    let ids = ids_of(&device.assets());
    let flip = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).expect("a file");
        bytes[at] ^= 4;
        fs::write(path, bytes).expect("a file");
    };
    // What was found damaged and nobody could give again.
    let large = large_blobs(&device);
    assert_eq!(large.len(), 2, "{large:?}");
    flip(&large[0], 100_000);
    flip(&large[1], 200_000);
    // The first in it is a photo; its pictures come after all photos.
    flip(&packs(&device)[0], 5000);
    let (verified, exit) = device.start(&["verify", "--read-data", "--repair"]).all();
    let summary = verified.last().expect("a summary");
    assert_eq!(
        (exit, &summary["damaged"], &summary["repaired"]),
        (9, &3.into(), &0.into()),
        "{verified:?}"
    );
    let aside = device.home.join("blobs/quarantine");
    assert_eq!(files(&aside).len(), 3);
    all_present(&import(&device, &card));
    has_all(&device, &card, &ids);
    assert_eq!(files(&aside).len(), 0, "the bad copies are let go");

    // What is damaged and nobody has found yet, on a card that is read for the first time.
    flip(&large_blobs(&device)[0], 50_000);
    let another = homes.path().join("copy");
    fs::create_dir(&another).expect("a folder");
    for path in files(&card) {
        let name = path.file_name().expect("a name");
        fs::copy(&path, another.join(name)).expect("a copy");
    }
    all_present(&import(&device, &another));
    has_all(&device, &card, &ids);
    device.never_panicked();
}
