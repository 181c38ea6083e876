//! What a depot keeps, and what it lets go.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use heirloom_protocol::op::Role;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    holds::large_files,
    world::{Home, listed, noise},
};

const START: u64 = 1_800_000_000_000;
const DAY: u64 = 24 * 3600 * 1000;

/// Sets the clock and does what time brings.
async fn at(home: &Home, day: u64) {
    home.live_until(START + day * DAY).await;
}

/// Brings a depot and a home up to date with each other.
async fn round(home: &Home, disk: &TempDir) -> Value {
    let body = json!({"do": "add", "dir": disk.path().to_str().unwrap()});
    home.ask("depot", body).await.done().clone()
}

/// The files of blobs in a depot.
fn blobs(disk: &TempDir) -> BTreeSet<PathBuf> {
    let files = walkdir::WalkDir::new(disk.path().join("blobs")).into_iter();
    let files = files
        .map(Result::unwrap)
        .filter(|file| file.file_type().is_file());
    files.map(walkdir::DirEntry::into_path).collect()
}

/// Names an asset in another album as well.
async fn also_in(home: &Home, album: &str, id: &str) {
    let add = json!({"do": "add", "album": album, "ids": [id]});
    home.ask("album", add).await.done();
}

/// Deletes for good what an album shows.
async fn purge(home: &Home, album: &str) {
    let ids = listed(home, json!({"album": album})).await;
    assert_eq!(ids.len(), 1, "{album}");
    for act in ["trash", "purge"] {
        let body = json!({"ids": ids, "album": album});
        home.ask(act, body).await.done();
    }
}

async fn has_original(home: &Home) -> bool {
    let id = listed(home, json!({})).await[0].clone();
    let told = home.ask("show", json!({"id": id})).await;
    told.of("asset")[0]["here"]["original"] == true
}

#[tokio::test]
async fn a_photo_in_two_albums_is_put_into_a_depot_once() {
    let (home, disk) = (Home::anna().await, tempfile::tempdir().unwrap());
    let photo = home.add("Family", "a.jpg", &noise(400_000, 1)).await;
    also_in(&home, "Library", &photo.to_string()).await;
    assert_eq!(round(&home, &disk).await["put"], 1);
    assert_eq!(blobs(&disk).len(), 1);
    assert_eq!(round(&home, &disk).await["put"], 0);
}

#[tokio::test]
async fn a_depot_keeps_what_another_album_still_names() {
    let (home, disk) = (Home::anna().await, tempfile::tempdir().unwrap());
    home.set_clock(START).await;
    let photo = home.add("Family", "a.jpg", &noise(400_000, 1)).await;
    also_in(&home, "Library", &photo.to_string()).await;
    round(&home, &disk).await;
    purge(&home, "Family").await;
    for day in [0, 40, 41] {
        at(&home, day).await;
        round(&home, &disk).await;
        assert_eq!(blobs(&disk).len(), 1, "day {day}");
    }
    purge(&home, "Library").await;
    for (day, left) in [(41, 1), (70, 1), (72, 0)] {
        at(&home, day).await;
        round(&home, &disk).await;
        assert_eq!(blobs(&disk).len(), left, "day {day}");
    }
}

#[tokio::test]
async fn a_depot_keeps_what_another_person_names_in_an_album_of_their_own() {
    let (home, disk) = (Home::anna().await, tempfile::tempdir().unwrap());
    let ben = home.add_person("Ben", Role::Member).await;
    let share = json!({"album": "Family", "person": "Ben", "role": "contributor"});
    home.ask("share", share).await.done();
    let phone = home.join(ben, "phone").await;
    for each in [&home, &phone] {
        each.set_clock(START).await;
    }
    let photo = home.add("Family", "a.jpg", &noise(400_000, 1)).await;
    round(&home, &disk).await;
    assert_eq!(round(&phone, &disk).await["blobs"], 1);
    let create = json!({"do": "create", "name": "Mine"});
    phone.ask("album", create).await.done();
    also_in(&phone, "Mine", &photo.to_string()).await;
    round(&phone, &disk).await;
    purge(&home, "Family").await;
    phone.take_from(&home).await;
    for day in [0, 40] {
        for each in [&phone, &home, &phone] {
            at(each, day).await;
            round(each, &disk).await;
            assert_eq!(blobs(&disk).len(), 1, "day {day}");
        }
    }
    assert!(has_original(&phone).await);
    // Whoever lets it go last removes it.
    purge(&phone, "Mine").await;
    at(&phone, 71).await;
    round(&phone, &disk).await;
    assert!(blobs(&disk).is_empty());
}

#[tokio::test]
async fn a_depot_of_a_device_that_keeps_little_keeps_what_was_deleted_for_thirty_days() {
    let (home, disk) = (Home::anna().await, tempfile::tempdir().unwrap());
    home.set_clock(START).await;
    let policy = json!({"do": "policy", "device": "laptop", "policy": "cache", "limit": 5});
    home.ask("device", policy).await.done();
    home.add("Family", "a.jpg", &noise(400_000, 1)).await;
    round(&home, &disk).await;
    purge(&home, "Family").await;
    for (day, left) in [(0, 1), (29, 1), (31, 0)] {
        at(&home, day).await;
        round(&home, &disk).await;
        assert_eq!(blobs(&disk).len(), left, "day {day}");
    }
}

#[tokio::test]
async fn a_depot_loses_nothing_while_a_list_of_another_device_cannot_be_read() {
    let (home, disk) = (Home::anna().await, tempfile::tempdir().unwrap());
    let anna = home.node().await.view().await.unwrap().person.unwrap();
    let phone = home.join(anna, "phone").await;
    for each in [&home, &phone] {
        each.set_clock(START).await;
    }
    home.add("Family", "a.jpg", &noise(400_000, 1)).await;
    round(&home, &disk).await;
    round(&phone, &disk).await;
    purge(&home, "Family").await;
    at(&home, 40).await;
    let manifest = manifest(disk.path(), &phone).await;
    let whole = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, &whole[1..]).unwrap();
    round(&home, &disk).await;
    assert_eq!(blobs(&disk).len(), 1);
    std::fs::remove_file(&manifest).unwrap();
    round(&home, &disk).await;
    assert!(blobs(&disk).is_empty());
}

async fn manifest(disk: &Path, of: &Home) -> PathBuf {
    let device = of.node().await.view().await.unwrap().device;
    disk.join(format!("devices/{device}/manifest"))
}

#[tokio::test]
async fn a_depot_of_a_device_that_was_removed_gives_back_what_it_has() {
    let (home, disk) = (Home::anna().await, tempfile::tempdir().unwrap());
    let anna = home.node().await.view().await.unwrap().person.unwrap();
    let phone = home.join(anna, "phone").await;
    for each in [&home, &phone] {
        each.set_clock(START).await;
    }
    home.add("Family", "a.jpg", &noise(400_000, 1)).await;
    round(&home, &disk).await;
    let first = blobs(&disk);
    home.add("Family", "b.jpg", &noise(400_000, 2)).await;
    round(&home, &disk).await;
    phone.take_from(&home).await;
    // The second is lost there too: nobody vouches for the list any more, and nothing is wrong with it.
    for lost in blobs(&disk).difference(&first) {
        std::fs::remove_file(lost).unwrap();
    }
    let remove = json!({"do": "remove", "device": "laptop", "lost": true});
    phone.ask("device", remove).await.done();
    let told = round(&phone, &disk).await;
    assert_eq!(
        (&told["blobs"], &told["wrong"]),
        (&json!(1), &json!(0)),
        "{told}"
    );
    let here = phone.blob_bytes();
    assert!((400_000..800_000).contains(&here), "{here}");
    // Nor does that list keep what is deleted.
    for id in listed(&phone, json!({"album": "Family"})).await {
        for act in ["trash", "purge"] {
            phone.ask(act, json!({"ids": [id]})).await.done();
        }
    }
    at(&phone, 31).await;
    round(&phone, &disk).await;
    assert!(blobs(&disk).is_empty());
}

/// Takes the large file of the one photo from a device, which lies in a depot alone then.
async fn let_go(home: &Home) {
    let large = large_files(home).pop().unwrap();
    let bytes = large.metadata().unwrap().len();
    std::fs::remove_file(large).unwrap();
    home.ask("verify", json!({"repair": true})).await;
    assert!(home.blob_bytes() < bytes);
}

/// What a device that has nothing gets from a depot.
async fn got_from(disk: &TempDir, phone: &Home) -> (Value, Value) {
    let told = round(phone, disk).await;
    (told["blobs"].clone(), told["wrong"].clone())
}

async fn with_phone() -> (Home, Home, TempDir) {
    let (home, disk) = (Home::anna().await, tempfile::tempdir().unwrap());
    let anna = home.node().await.view().await.unwrap().person.unwrap();
    let phone = home.join(anna, "phone").await;
    (home, phone, disk)
}

#[tokio::test]
async fn what_a_device_let_go_and_a_depot_lost_is_told_and_whole_when_it_is_back() {
    let (home, phone, disk) = with_phone().await;
    home.add("Family", "a.jpg", &noise(3_000_000, 1)).await;
    round(&home, &disk).await;
    let_go(&home).await;
    assert_eq!(round(&home, &disk).await["wrong"], 0);
    let file = blobs(&disk).pop_first().unwrap();
    let whole = std::fs::read(&file).unwrap();
    for wrong in [&[7; 1000][..], &whole[1..]] {
        std::fs::write(&file, wrong).unwrap();
        assert_eq!(round(&home, &disk).await["wrong"], 1);
        assert_eq!(std::fs::read(&file).unwrap(), wrong);
    }
    std::fs::write(&file, whole).unwrap();
    assert_eq!(round(&home, &disk).await["wrong"], 0);
    assert_eq!(got_from(&disk, &phone).await, (json!(1), json!(0)));
}

#[tokio::test]
async fn a_depot_keeps_the_other_pieces_of_a_photo_while_one_is_away() {
    let (home, phone, disk) = with_phone().await;
    home.add("Family", "a.jpg", &noise(40_000_000, 1)).await;
    round(&home, &disk).await;
    let_go(&home).await;
    let pieces = blobs(&disk);
    assert_eq!(pieces.len(), 2);
    let (piece, away) = (pieces.first().unwrap(), disk.path().join("away"));
    std::fs::rename(piece, &away).unwrap();
    // Which of the pieces is looked at is drawn.
    while round(&home, &disk).await["wrong"] == 0 {}
    assert_eq!(blobs(&disk).len(), 1);
    std::fs::rename(&away, piece).unwrap();
    assert_eq!(round(&home, &disk).await["wrong"], 0);
    assert_eq!(got_from(&disk, &phone).await, (json!(1), json!(0)));
}

#[tokio::test]
async fn a_file_that_is_damaged_here_takes_none_from_a_depot() {
    let (home, disk) = (Home::anna().await, tempfile::tempdir().unwrap());
    home.add("Family", "a.jpg", &noise(3_000_000, 1)).await;
    round(&home, &disk).await;
    let file = blobs(&disk).pop_first().unwrap();
    let whole = std::fs::read(&file).unwrap();
    let large = large_files(&home).pop().unwrap();
    let mut ours = std::fs::read(&large).unwrap();
    ours[2_000_000] ^= 1;
    std::fs::remove_file(&large).unwrap();
    std::fs::write(&large, ours).unwrap();
    for _ in 0..2 {
        assert_eq!(round(&home, &disk).await["wrong"], 0);
        assert_eq!(std::fs::read(&file).unwrap(), whole);
    }
}

/// The files of a device in a depot whose names begin so.
async fn of_device(disk: &TempDir, of: &Home, stem: &str) -> Vec<PathBuf> {
    let folder = manifest(disk.path(), of).await;
    let files = std::fs::read_dir(folder.parent().unwrap()).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let is_one = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(stem)
    };
    files.filter(is_one).collect()
}

#[tokio::test]
async fn a_clock_that_is_ahead_for_one_look_erases_nothing_from_a_depot() {
    let (home, disk) = (Home::anna().await, tempfile::tempdir().unwrap());
    at(&home, 0).await;
    home.add("Family", "a.jpg", &noise(3_000_000, 1)).await;
    round(&home, &disk).await;
    let_go(&home).await;
    purge(&home, "Family").await;
    for day in [1, 40, 1] {
        home.set_clock(START + day * DAY).await;
        round(&home, &disk).await;
        assert_eq!(blobs(&disk).len(), 1, "day {day}");
    }
    // The days that this device lived through count.
    at(&home, 32).await;
    round(&home, &disk).await;
    assert!(blobs(&disk).is_empty());
}

#[tokio::test]
async fn a_depot_whose_lists_are_damaged_names_what_lies_there_again() {
    let (home, phone, disk) = with_phone().await;
    home.add("Family", "a.jpg", &noise(3_000_000, 1)).await;
    round(&home, &disk).await;
    let_go(&home).await;
    round(&home, &disk).await;
    for (stem, is_removed) in [
        ("list-", false),
        ("list-", true),
        ("manifest", false),
        ("manifest", true),
    ] {
        for path in of_device(&disk, &home, stem).await {
            let mut bytes = std::fs::read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            if !is_removed {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            }
        }
        let told = round(&home, &disk).await;
        assert_eq!(
            (&told["wrong"], &told["put"]),
            (&json!(1), &json!(0)),
            "{stem} {is_removed}"
        );
        assert_eq!(round(&home, &disk).await["wrong"], 0);
        let told = home.ask("depot", json!({"do": "list"})).await;
        assert_eq!(told.of("depot")[0]["blobs"], 1, "{stem} {is_removed}");
    }
    assert_eq!(got_from(&disk, &phone).await, (json!(1), json!(0)));
}

#[tokio::test]
async fn a_depot_names_what_is_kept_for_an_album_that_came_to_it_later() {
    let (home, phone, disk) = with_phone().await;
    at(&home, 0).await;
    let photo = home.add("Family", "a.jpg", &noise(3_000_000, 1)).await;
    round(&home, &disk).await;
    // Another device, which knows no depot, has it in another album as well.
    phone.take_from(&home).await;
    phone.take_blobs_from(&home).await;
    also_in(&phone, "Library", &photo.to_string()).await;
    let_go(&home).await;
    home.take_from(&phone).await;
    purge(&home, "Family").await;
    at(&home, 40).await;
    for _ in 0..2 {
        round(&home, &disk).await;
        assert_eq!(blobs(&disk).len(), 1);
    }
    let anna = home.node().await.view().await.unwrap().person.unwrap();
    let tablet = home.join(anna, "tablet").await;
    let body = json!({"do": "read", "dir": disk.path().to_str().unwrap()});
    assert_eq!(tablet.ask("bundle", body).await.done()["blobs"], 1);
    assert!(has_original(&tablet).await);
    purge(&home, "Library").await;
    at(&home, 71).await;
    round(&home, &disk).await;
    assert!(blobs(&disk).is_empty());
}

#[tokio::test]
async fn a_round_that_fails_while_lists_are_made_again_forgets_nothing() {
    let (home, phone, disk) = with_phone().await;
    home.add("Family", "a.jpg", &noise(3_000_000, 1)).await;
    round(&home, &disk).await;
    let_go(&home).await;
    let first = blobs(&disk);
    home.add("Family", "b.jpg", &noise(400_000, 2)).await;
    round(&home, &disk).await;
    let second = blobs(&disk).difference(&first).next().unwrap().clone();
    // The second cannot be written, so that the round does not come to its end.
    std::fs::remove_file(&second).unwrap();
    std::fs::create_dir(&second).unwrap();
    for list in of_device(&disk, &home, "list-").await {
        std::fs::remove_file(list).unwrap();
    }
    let body = json!({"do": "add", "dir": disk.path().to_str().unwrap()});
    assert_eq!(home.ask("depot", body).await.error(), ("E-IO", 1));
    std::fs::remove_dir(&second).unwrap();
    round(&home, &disk).await;
    assert_eq!(got_from(&disk, &phone).await, (json!(2), json!(0)));
}
