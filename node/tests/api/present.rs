//! `present`: said of a file only where its bytes would be safe without it.

use std::path::Path;

use heirloom_node::store::BlobState;
use heirloom_protocol::op::Role;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{Home, Told, listed};

/// The bytes of a photo: large enough that a blob of it is a file of its own.
fn photo(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; 300_000];
    blake3::Hasher::new()
        .update(&seed.to_be_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes[..4].copy_from_slice(&[0xff, 0xd8, 0xff, 0xe0]);
    bytes
}

fn card(photos: &[Vec<u8>]) -> TempDir {
    let card = tempfile::tempdir().unwrap();
    for (nth, bytes) in photos.iter().enumerate() {
        std::fs::write(card.path().join(format!("{nth}.jpg")), bytes).unwrap();
    }
    card
}

async fn import(home: &Home, from: &Path, more: Value) -> Told {
    let mut body = json!({"paths": [from.to_str().unwrap()], "album": "Family"});
    let fields = body.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    home.ask("import", body).await
}

fn counts(told: &Told) -> [u64; 3] {
    ["added", "present", "failed"].map(|field| told.last()[field].as_u64().unwrap())
}

async fn is_here(home: &Home) -> Vec<bool> {
    let told = home.ask("list", json!({})).await;
    let assets = told.of("asset");
    let here = assets.iter().map(|asset| &asset["here"]["original"]);
    here.map(|here| here.as_bool().unwrap()).collect()
}

/// What an export gives, by content.
async fn exported(home: &Home) -> Vec<Vec<u8>> {
    let out = tempfile::tempdir().unwrap();
    let to = out.path().join("out");
    let body = json!({"dir": to.to_str().unwrap(), "sidecars": "none"});
    home.ask("export", body).await.done();
    let mut all = Vec::new();
    for file in walkdir::WalkDir::new(&to) {
        let file = file.unwrap();
        if file.file_type().is_file() {
            all.push(std::fs::read(file.path()).unwrap());
        }
    }
    all.sort();
    all
}

/// Removes the files of the originals that a device has added.
async fn lose_own(home: &Home) {
    let node = home.node().await;
    let me = node.view().await.unwrap().device;
    let store = node.store();
    let spaces = store.spaces().into_iter();
    let heads = spaces.flat_map(|space| store.logs(space));
    for head in heads.filter(|head| head.log.device == me) {
        for ordinal in 0..head.blobs {
            let state = store.blob_state(&head.log, ordinal).unwrap();
            let (BlobState::Here(place) | BlobState::Dropped { place, .. }) = state else {
                continue;
            };
            let blob = store.blobs().name(&place).unwrap().unwrap().to_string();
            let folder = home.doorway.home().join("blobs");
            let path = folder.join(&blob[..2]).join(&blob[2..4]).join(&blob);
            if path.exists() {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
}

/// Anna's laptop, and a phone of Ben, who may add to the family's album.
async fn two() -> (Home, Home) {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let phone = home.join(ben, "bens phone").await;
    let body = json!({"album": "Family", "person": "Ben", "role": "contributor"});
    home.ask("share", body).await.done();
    phone.take_from(&home).await;
    (home, phone)
}

#[tokio::test]
async fn a_photo_that_another_device_alone_speaks_of_is_stored() {
    let home = Home::anna().await;
    let me = home.node().await.view().await.unwrap().person.unwrap();
    let desktop = home.join(me, "desktop").await;
    let photos: Vec<_> = (0..3).map(photo).collect();
    let card = card(&photos);
    assert_eq!(
        counts(&import(&home, card.path(), json!({})).await),
        [3, 0, 0]
    );
    desktop.take_from(&home).await;
    assert_eq!(is_here(&desktop).await, [false; 3]);
    let before = listed(&desktop, json!({})).await;

    // Of what would be done nothing is.
    let planned = import(&desktop, card.path(), json!({"dry_run": true})).await;
    assert_eq!(counts(&planned), [3, 0, 0]);
    assert_eq!(is_here(&desktop).await, [false; 3]);

    std::fs::copy(card.path().join("0.jpg"), card.path().join("twin.jpg")).unwrap();
    let told = import(&desktop, card.path(), json!({})).await;
    assert_eq!(counts(&told), [0, 4, 0]);
    assert_eq!(is_here(&desktop).await, [true; 3]);
    assert_eq!(listed(&desktop, json!({})).await, before);
    let mut wanted = photos.clone();
    wanted.sort();
    assert_eq!(exported(&desktop).await, wanted);
    let verified = desktop.ask("verify", json!({"read_data": true})).await;
    assert_eq!(verified.done()["damaged"], 0);
    // It gives them to the others like what it got.
    home.ask("verify", json!({})).await.done();
    let again = import(&desktop, card.path(), json!({})).await;
    assert_eq!(counts(&again), [0, 4, 0]);
    let reasons = again.of("file");
    assert!(reasons.iter().all(|line| line["reason"].is_null()));
}

#[tokio::test]
async fn what_a_person_claims_of_a_photo_keeps_nobody_elses_out() {
    let (home, phone) = two().await;
    let photo = photo(1);
    let other = self::photo(2);
    phone
        .add_claiming("Family", "mine.jpg", &other, &photo)
        .await;
    home.take_from(&phone).await;
    home.take_blobs_from(&phone).await;
    let card = card(&[photo.clone()]);
    let told = import(&home, card.path(), json!({})).await;
    assert_eq!(counts(&told), [1, 0, 0]);
    let again = import(&home, card.path(), json!({})).await;
    assert_eq!(counts(&again), [0, 1, 0]);
    assert_eq!(again.of("file")[0]["asset"], told.of("file")[0]["asset"]);
}

#[tokio::test]
async fn a_claim_with_a_length_or_a_key_that_is_not_the_photos_keeps_nothing_out() {
    let (home, phone) = two().await;
    let photo = photo(1);
    // Neither its bytes nor those that were meant are here.
    for (name, other) in [("same.jpg", self::photo(2)), ("short.jpg", vec![7; 1000])] {
        phone.add_claiming("Family", name, &other, &photo).await;
    }
    home.take_from(&phone).await;
    let card = card(&[photo]);
    let told = import(&home, card.path(), json!({})).await;
    assert_eq!(counts(&told), [1, 0, 0]);
}

#[tokio::test]
async fn what_a_person_adds_to_anothers_item_keeps_no_photo_out() {
    let (home, phone) = two().await;
    let [first, second] = [photo(0), photo(1)];
    let item = home.add("Family", "first.jpg", &first).await;
    let asset = item.to_string();
    phone.take_from(&home).await;
    phone
        .add_part_claiming("Family", item, &photo(2), &second)
        .await;
    home.take_from(&phone).await;
    // Nobody has its bytes: the photo to which it was added is whole all the same.
    assert_eq!(is_here(&home).await, [true]);
    let body = json!({"do": "add", "album": "Library", "ids": [asset]});
    assert_eq!(home.ask("album", body).await.done()["added"], 1);
    let told = home.ask("list", json!({"album": "Library"})).await;
    assert_eq!(told.of("asset")[0]["here"]["original"], true);

    home.take_blobs_from(&phone).await;
    let card = card(&[second.clone()]);
    let told = import(&home, card.path(), json!({"dry_run": true})).await;
    assert_eq!(counts(&told), [1, 0, 0]);
    // Nor does it once the item that it was added to is deleted.
    home.ask("trash", json!({"ids": [asset]})).await.done();
    home.ask("purge", json!({"ids": [asset]})).await.done();
    let told = import(&home, card.path(), json!({})).await;
    assert_eq!(counts(&told), [1, 0, 0]);
    assert_eq!(exported(&home).await, [second]);
}

#[tokio::test]
async fn who_may_not_bring_a_photo_back_is_told_so_and_can_keep_it_elsewhere() {
    let (home, phone) = two().await;
    let one = photo(1);
    let item = home.add("Family", "annas.jpg", &one).await.to_string();
    phone.take_from(&home).await;
    phone.take_blobs_from(&home).await;
    home.ask("trash", json!({"ids": [item]})).await.done();
    phone.take_from(&home).await;
    let card = card(std::slice::from_ref(&one));
    for more in [
        json!({}),
        json!({"restore": true}),
        json!({"restore": true, "dry_run": true}),
    ] {
        let told = import(&phone, card.path(), more.clone()).await;
        assert_eq!(counts(&told), [0, 1, 0], "{more}");
        let said = ["trashed", "out_of_reach", "restored"].map(|field| &told.last()[field]);
        assert_eq!(said, [&json!(1), &json!(1), &json!(0)], "{more}");
        let reason = told.of("file")[0]["reason"].to_string();
        assert!(reason.contains("keep the file, or add it to"), "{reason}");
    }
    assert!(listed(&phone, json!({})).await.is_empty());

    // In an album of his own it stays, whatever becomes of hers.
    let told = import(&phone, card.path(), json!({"album": "Bens"})).await;
    assert_eq!(counts(&told), [1, 0, 0]);
    home.ask("purge", json!({"ids": [item]})).await.done();
    phone.take_from(&home).await;
    assert_eq!(listed(&phone, json!({})).await.len(), 1);
    assert_eq!(is_here(&phone).await, [true]);
    assert_eq!(exported(&phone).await, std::slice::from_ref(&one));

    // A manager brings it back, and what is in sight comes before what is not.
    let told = import(&home, card.path(), json!({"restore": true})).await;
    assert_eq!(counts(&told), [1, 0, 0]);
    let bens = phone.add("Family", "bens.jpg", &one).await.to_string();
    phone
        .ask("trash", json!({"ids": [bens], "album": "Family"}))
        .await
        .done();
    home.take_from(&phone).await;
    let told = import(&home, card.path(), json!({})).await;
    assert_eq!(
        (counts(&told), &told.last()["trashed"]),
        ([0, 1, 0], &json!(0))
    );

    // What is lost of it is put back, though his lies here in the trash: that goes with his.
    home.take_blobs_from(&phone).await;
    lose_own(&home).await;
    let damaged = home.ask("verify", json!({})).await.last()["damaged"].clone();
    assert_ne!(damaged, 0, "it was there");
    let told = import(&home, card.path(), json!({})).await;
    assert_eq!(counts(&told), [0, 1, 0]);
    let reason = &told.of("file")[0]["reason"];
    assert_eq!(reason, "its original was missing and is kept again");
    assert_eq!(is_here(&home).await, [true]);
}

#[tokio::test]
async fn what_is_copied_from_another_person_is_told_as_what_it_is() {
    let (home, phone) = two().await;
    let [photo, other] = [photo(1), photo(2)];
    let claimed = phone
        .add_claiming("Family", "mine.jpg", &other, &photo)
        .await;
    let honest = phone.add("Family", "honest.jpg", &self::photo(3)).await;
    home.take_from(&phone).await;
    home.take_blobs_from(&phone).await;
    let ids = [claimed, honest].map(|id| id.to_string());
    let body = json!({"do": "add", "album": "Library", "ids": ids});
    assert_eq!(home.ask("album", body).await.done()["added"], 2);
    let told = home.ask("list", json!({"album": "Library"})).await;
    let hashes = told.of("asset").into_iter();
    let mut hashes: Vec<_> = hashes.map(|one| one["blake3"].clone()).collect();
    let mut wanted: Vec<_> = [other, self::photo(3)]
        .map(|bytes| json!(blake3::hash(&bytes).to_hex().as_str()))
        .into();
    for all in [&mut hashes, &mut wanted] {
        all.sort_by_key(ToString::to_string);
    }
    assert_eq!(hashes, wanted);
    // Own words are believed: so nothing false became one.
    let card = card(&[photo]);
    let told = import(&home, card.path(), json!({"album": "Library"})).await;
    assert_eq!(counts(&told), [1, 0, 0]);
}

#[tokio::test]
async fn a_photo_of_another_person_counts_once_its_bytes_are_here() {
    let (home, phone) = two().await;
    let photo = photo(1);
    let theirs = phone.add("Family", "theirs.jpg", &photo).await;
    home.take_from(&phone).await;
    assert_eq!(is_here(&home).await, [false]);
    let card = card(&[photo.clone()]);
    let told = import(&home, card.path(), json!({})).await;
    assert_eq!(counts(&told), [0, 1, 0]);
    assert_eq!(told.of("file")[0]["asset"], theirs.to_string());
    assert_eq!(is_here(&home).await, [true]);
    assert_eq!(exported(&home).await, [photo]);
    let again = import(&home, card.path(), json!({})).await;
    assert_eq!(counts(&again), [0, 1, 0]);
}

#[tokio::test]
async fn what_is_gone_from_this_disk_is_put_back_even_for_the_trash() {
    let home = Home::anna().await;
    let photo = photo(1);
    let card = card(&[photo.clone()]);
    let first = import(&home, card.path(), json!({})).await;
    assert_eq!(counts(&first), [1, 0, 0]);
    let id = first.of("file")[0]["asset"].clone();
    let lose = async || {
        let store = home.node().await.store().clone();
        let space = store.spaces().into_iter();
        let heads = space.flat_map(|space| store.logs(space));
        for head in heads.filter(|head| head.blobs > 0) {
            let state = store.blob_state(&head.log, 0).unwrap();
            let BlobState::Here(place) = state else {
                panic!("{state:?}")
            };
            let blob = store.blobs().name(&place).unwrap().unwrap().to_string();
            let folder = home.doorway.home().join("blobs");
            let path = folder.join(&blob[..2]).join(&blob[2..4]).join(&blob);
            std::fs::remove_file(path).unwrap();
        }
    };
    lose().await;
    assert_eq!(
        home.ask("verify", json!({})).await.last()["damaged"],
        1,
        "it was there"
    );
    let told = import(&home, card.path(), json!({})).await;
    assert_eq!(counts(&told), [0, 1, 0]);
    assert_eq!(
        told.of("file")[0]["reason"],
        "its original was missing and is kept again"
    );
    assert_eq!(told.last()["put_back"], 1);
    assert_eq!(exported(&home).await, [photo.clone()]);

    lose().await;
    home.ask("trash", json!({"ids": [id]})).await.done();
    let told = import(&home, card.path(), json!({})).await;
    assert_eq!(counts(&told), [0, 1, 0]);
    let reason = told.of("file")[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("is in the trash"), "{reason}");
    home.ask("verify", json!({"read_data": true})).await.done();

    lose().await;
    let told = import(&home, card.path(), json!({"restore": true})).await;
    assert_eq!(told.done()["restored"], 1);
    assert_eq!(exported(&home).await, [photo]);
}

/// By album: its name, what is new in it, and how many of these were in another album already.
fn places(told: &Told) -> Vec<(Value, u64, u64)> {
    let albums = told.done()["albums"].as_array().unwrap();
    let place = |album: &Value| {
        let count = |field: &str| album[field].as_u64().unwrap();
        (album["album"].clone(), count("added"), count("put"))
    };
    let mut places: Vec<_> = albums.iter().map(place).collect();
    places.sort_by_key(|place| place.0.to_string());
    places
}

#[tokio::test]
async fn an_import_says_into_which_albums_photos_went() {
    let home = Home::anna().await;
    let card = card(&[photo(1), photo(2)]);
    let lake = card.path().join("Lake");
    std::fs::create_dir(&lake).unwrap();
    std::fs::rename(card.path().join("1.jpg"), lake.join("1.jpg")).unwrap();
    std::fs::write(
        lake.join("metadata.json"),
        r#"{"title": "Lake", "access": "protected"}"#,
    )
    .unwrap();
    let told = import(&home, card.path(), json!({"album": null})).await;
    assert_eq!(
        places(&told),
        [(json!("Lake"), 1, 0), (Value::Null, 1, 0)],
        "{told:?}"
    );
    // Nothing new came, and one more album shows it.
    let told = import(&home, &lake, json!({"album": "Hill"})).await;
    assert_eq!(counts(&told), [1, 0, 0]);
    assert_eq!(places(&told), [(json!("Hill"), 1, 1)], "{told:?}");
    let told = import(&home, &lake, json!({"album": "Hill"})).await;
    assert_eq!((counts(&told), places(&told)), ([0, 1, 0], Vec::new()));
}
