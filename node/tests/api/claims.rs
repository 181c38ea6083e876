//! What others say of a content, and what they have no say in: one's own photo of it.

use heirloom_node::store::BlobState;
use heirloom_protocol::op::Role;
use serde_json::{Value, json};

use crate::world::{Home, listed, noise};

const PHOTO: &[u8] = b"a photo that matters";

/// Anna's laptop with an album that Ben may see, and a phone of Ben, who may add to the family's album.
async fn two() -> (Home, Home) {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let phone = home.join(ben, "bens phone").await;
    home.ask("album", json!({"do": "create", "name": "Trip"}))
        .await
        .done();
    for (album, role) in [("Trip", "viewer"), ("Family", "contributor")] {
        let body = json!({"album": album, "person": "Ben", "role": role});
        home.ask("share", body).await.done();
    }
    phone.take_from(&home).await;
    (home, phone)
}

async fn meet(home: &Home, phone: &Home) {
    for (one, other) in [(home, phone), (phone, home)] {
        one.take_from(other).await;
        one.take_blobs_from(other).await;
    }
}

async fn names(home: &Home, body: Value) -> Vec<String> {
    let told = home.ask("list", body).await;
    let lines = told.of("asset").into_iter();
    let mut names: Vec<_> = lines
        .map(|line| line["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_said_to_be_ones_photo_is_shown_and_deleted_apart_from_it() {
    let (home, phone) = two().await;
    // It is older than hers, and would be the first of the two.
    let fake = phone
        .add_claiming("Family", "fake.jpg", b"junk", PHOTO)
        .await;
    meet(&home, &phone).await;
    home.add("Trip", "own.jpg", PHOTO).await;
    assert_eq!(names(&home, json!({})).await, ["fake.jpg", "own.jpg"]);
    let told = home.ask("trash", json!({"ids": [fake.to_string()]})).await;
    assert_eq!(
        (&told.done()["changed"], &told.done()["trashed"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(names(&home, json!({})).await, ["own.jpg"]);
    assert_eq!(names(&home, json!({"trashed": true})).await, ["fake.jpg"]);
}

#[tokio::test]
async fn who_copies_ones_photo_ties_nothing_else_to_it() {
    let (home, phone) = two().await;
    let own = home.add("Trip", "own.jpg", PHOTO).await.to_string();
    meet(&home, &phone).await;
    // The same blob under an item of his, and other bytes that are said to be it.
    let body = json!({"do": "add", "album": "Family", "ids": [own]});
    assert_eq!(phone.ask("album", body).await.done()["added"], 1);
    let fake = phone
        .add_claiming("Family", "fake.jpg", b"junk", PHOTO)
        .await;
    meet(&home, &phone).await;
    assert_eq!(names(&home, json!({})).await, ["fake.jpg", "own.jpg"]);
    let albums = home.ask("show", json!({"id": own})).await;
    assert_eq!(albums.of("asset")[0]["albums"], json!(["Family", "Trip"]));
    home.ask("trash", json!({"ids": [fake.to_string()]}))
        .await
        .done();
    assert_eq!(listed(&home, json!({})).await, [own]);
}

#[tokio::test]
async fn who_names_a_blob_in_another_album_is_served_it_no_sooner_than_they_gave_it() {
    let (home, phone) = two().await;
    let own = home.add("Trip", "own.jpg", &noise(400_000, 1)).await;
    meet(&home, &phone).await;
    let body = json!({"do": "add", "album": "Family", "ids": [own.to_string()]});
    assert_eq!(phone.ask("album", body).await.done()["added"], 1);
    let theirs = phone.node().await.view().await.unwrap().device;
    let (node, family) = (home.node().await, home.album("Family").await);
    let heres = async || {
        let heads = node.store().logs(family).into_iter();
        let of_theirs = heads.filter(|head| head.log.device == theirs);
        let states = of_theirs.flat_map(|head| {
            let store = node.store();
            (0..head.blobs).map(move |ordinal| store.blob_state(&head.log, ordinal).unwrap())
        });
        let states: Vec<_> = states.collect();
        assert!(!states.is_empty());
        let here = states
            .iter()
            .filter(|state| matches!(state, BlobState::Here(_)));
        here.count()
    };
    home.take_from(&phone).await;
    assert_eq!(heres().await, 0);
    home.take_blobs_from(&phone).await;
    assert!(heres().await > 0);
}

#[tokio::test]
async fn a_claim_in_another_album_keeps_no_photo_from_being_kept() {
    let (home, phone) = two().await;
    phone
        .add_claiming("Family", "fake.jpg", b"junk", PHOTO)
        .await;
    meet(&home, &phone).await;
    let own = home.add("Trip", "own.jpg", PHOTO).await.to_string();
    let body = json!({"do": "add", "album": "Family", "ids": [own]});
    let told = home.ask("album", body).await;
    assert_eq!(
        (&told.done()["added"], &told.done()["present"]),
        (&json!(1), &json!(0))
    );
    let body = json!({"do": "remove", "album": "Family", "ids": [own]});
    home.ask("album", body).await.done();
    let told = home
        .ask("album", json!({"do": "delete", "album": "Trip"}))
        .await;
    assert_eq!(told.done()["kept"], 1);
    assert_eq!(names(&home, json!({"album": "Library"})).await, ["own.jpg"]);
}

#[tokio::test]
async fn a_claim_brings_nothing_back_that_was_deleted() {
    let (home, phone) = two().await;
    for each in [&home, &phone] {
        each.set_clock(1_800_000_000_000).await;
    }
    let ids = [
        home.add("Family", "a.jpg", PHOTO).await,
        home.add("Family", "b.jpg", b"b").await,
    ];
    let ids = ids.map(|id| id.to_string());
    home.ask("trash", json!({"ids": ids})).await.done();
    home.ask("purge", json!({"ids": [ids[1]]})).await.done();
    meet(&home, &phone).await;
    for said in [PHOTO, b"b"] {
        phone
            .add_claiming("Family", "fake.jpg", b"junk", said)
            .await;
    }
    meet(&home, &phone).await;
    let body = json!({"device": "laptop", "since": "2027-01-01T00:00"});
    let told = home.ask("undo", body.clone()).await;
    let told = (&told.done()["restored"], &told.done()["added_again"]);
    assert_eq!(told, (&json!(1), &json!(1)));
    assert_eq!(
        names(&home, json!({})).await,
        ["a.jpg", "b.jpg", "fake.jpg", "fake.jpg"]
    );
    // What is back under another item is back.
    let again = home.ask("undo", body).await;
    let again = (&again.done()["restored"], &again.done()["added_again"]);
    assert_eq!(again, (&json!(0), &json!(0)));
}

#[tokio::test]
async fn what_one_person_added_twice_is_one_for_everybody() {
    let (home, phone) = two().await;
    for album in ["Trip", "Family"] {
        home.add(album, "own.jpg", PHOTO).await;
    }
    meet(&home, &phone).await;
    for each in [&home, &phone] {
        let told = each.ask("list", json!({})).await;
        let albums: Vec<_> = told
            .of("asset")
            .iter()
            .map(|a| a["albums"].clone())
            .collect();
        assert_eq!(albums, [json!(["Family", "Trip"])]);
    }
}

/// A photo that one person added twice, the second time with its movie, is whole where both files are.
#[tokio::test]
async fn a_photo_is_not_whole_where_the_movie_of_one_of_its_items_is_gone() {
    use heirloom_node::store::BlobState;
    use heirloom_protocol::op::PartRole;

    let home = Home::anna().await;
    let (still, movie) = (vec![1; 400_000], vec![2; 400_000]);
    home.add("Library", "sea.jpg", &still).await;
    let files = [
        (PartRole::Still, "sea.jpg", &still[..]),
        (PartRole::Motion, "sea.mov", &movie[..]),
    ];
    home.add_parts("Family", None, &files).await;
    let here = async || {
        let told = home.ask("list", json!({})).await;
        let assets = told.of("asset");
        assert_eq!(assets.len(), 1, "{told:?}");
        assets[0]["here"]["original"].clone()
    };
    assert_eq!(here().await, true);
    // Each item's still is there; the movie is not any more.
    let node = home.node().await;
    let mut gone = 0;
    for space in node.store().spaces() {
        for head in node.store().logs(space) {
            if let Ok(BlobState::Here(place)) = node.store().blob_state(&head.log, 1)
                && head.blobs == 2
            {
                let heirloom_node::store::BlobPlace::File { cid, .. } = place else {
                    panic!("it is large");
                };
                let name = cid.to_string();
                let folder = home.doorway.home().join("blobs");
                let path = folder.join(&name[..2]).join(&name[2..4]).join(&name);
                std::fs::remove_file(path).unwrap();
                gone += 1;
            }
        }
    }
    assert_eq!(gone, 1);
    home.ask("verify", json!({"repair": true})).await;
    assert_eq!(here().await, false, "its movie is nowhere");
    let told = home.ask("status", json!({})).await;
    let problems = told.of("status")[0]["problem_details"].as_array().unwrap();
    let lost = problems.iter().find(|problem| problem["id"] == "lost");
    assert_eq!(
        lost.map(|lost| &lost["values"]["n"]),
        Some(&json!(1)),
        "{problems:?}"
    );
}
