//! Shares and albums that end while originals are out of reach, or would be then.

use heirloom_protocol::op::{AlbumUse, Role};
use serde_json::json;

use crate::world::{Home, Told, listed};

/// Anna's album Summer, and Ben's phone with photos of his in it that nobody else has.
async fn bens() -> (Home, Home) {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let phone = home.join(ben, "phone").await;
    for name in ["Summer", "Trip"] {
        let create = json!({"do": "create", "name": name});
        home.ask("album", create).await.done();
        let share = json!({"album": name, "person": "Ben", "role": "contributor"});
        home.ask("share", share).await.done();
    }
    phone.take_from(&home).await;
    let node = phone.node().await;
    let made = node.ask(|runtime| runtime.make_album("Library", AlbumUse::Library));
    made.await.unwrap().unwrap();
    phone.add("Summer", "a.jpg", b"1").await;
    phone.add("Summer", "b.jpg", b"2").await;
    home.take_from(&phone).await;
    (home, phone)
}

async fn people_of(home: &Home, album: &str) -> usize {
    let told = home
        .ask("album", json!({"do": "show", "album": album}))
        .await;
    told.of("album")[0]["people"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_share_is_not_ended_while_others_cannot_have_the_originals_but_from_there() {
    let (home, phone) = bens().await;
    home.add("Summer", "annas.jpg", b"3").await;
    let unshare = json!({"album": "Summer", "person": "Ben"});
    let refused = home.ask("unshare", unshare.clone()).await;
    assert_eq!(refused.error(), ("E-NOT-ALLOWED", 1));
    let last = refused.last();
    assert_eq!(last["why"], json!({"id": "last", "n": 2}));
    let message = last["message"].as_str().unwrap();
    assert!(message.contains("the originals of 2 photos"), "{message}");
    let safe = last["safe"].as_str().unwrap();
    assert!(safe.contains("still shared"), "{safe}");
    let hint = last["hint"].as_str().unwrap();
    for words in [
        "heirloom sync",
        "wait",
        "heirloom unshare \"Summer\" \"Ben\" --with-last-copies",
    ] {
        assert!(hint.contains(words), "{hint}");
    }
    assert_eq!(people_of(&home, "Summer").await, 2);
    // Another album has none of them.
    let other = json!({"album": "Trip", "person": "Ben"});
    home.ask("unshare", other).await.done();

    home.take_blobs_from(&phone).await;
    let ended = home.ask("unshare", unshare).await;
    assert_eq!(ended.done()["last"], 0);
    assert_eq!(people_of(&home, "Summer").await, 1);
}

#[tokio::test]
async fn a_share_is_ended_with_the_last_originals_where_that_is_said() {
    let (home, phone) = bens().await;
    // What is in another album of his is given from there.
    phone.add("Trip", "b.jpg", b"2").await;
    home.take_from(&phone).await;
    let unshare = async |album: &str, last: bool| {
        let body = json!({"album": album, "person": "Ben", "last": last});
        home.ask("unshare", body).await
    };
    let refused = unshare("Summer", false).await;
    assert_eq!(refused.last()["why"], json!({"id": "last", "n": 1}));
    assert_eq!(unshare("Trip", false).await.done()["last"], 0);
    // And from one that he may not see any more it is not.
    let refused = unshare("Summer", false).await;
    assert_eq!(refused.last()["why"], json!({"id": "last", "n": 2}));
    assert_eq!(unshare("Summer", true).await.done()["last"], 2);
    assert_eq!(people_of(&home, "Summer").await, 1);
}

async fn of_album(home: &Home, act: &str, last: bool) -> Told {
    let body = json!({"do": act, "album": "Summer", "last": last});
    home.ask("album", body).await
}

/// Refused because of so many photos of which nobody is known to have the original; asked about, just the same.
async fn is_refused(home: &Home, act: &str, photos: u64) {
    let may = json!({"do": "may", "act": act, "album": "Summer"});
    for refused in [
        home.ask("album", may).await,
        of_album(home, act, false).await,
    ] {
        assert_eq!(refused.error(), ("E-NOT-ALLOWED", 1));
        let last = refused.last();
        assert_eq!(last["why"], json!({"id": "nowhere", "n": photos}));
        let hint = last["hint"].as_str().unwrap();
        let again = format!("heirloom album {act} \"Summer\" --with-last-copies");
        for words in ["heirloom import", &again] {
            assert!(hint.contains(words), "{hint}");
        }
    }
}

#[tokio::test]
async fn an_album_is_deleted_without_originals_that_nobody_has_where_that_is_said() {
    for (act, body) in [
        (
            "unshare",
            json!({"album": "Summer", "person": "Ben", "last": true}),
        ),
        (
            "people",
            json!({"do": "remove", "person": "Ben", "last": true}),
        ),
    ] {
        let (home, _phone) = bens().await;
        home.add("Summer", "annas.jpg", b"3").await;
        // While a device may have them that can still give them, they are waited for, and it is named.
        for last in [false, true] {
            let refused = of_album(&home, "delete", last).await;
            assert_eq!(refused.error(), ("E-TRY-LATER", 75));
            let message = refused.last()["message"].as_str().unwrap();
            assert!(message.contains("2 photos"), "{message}");
            assert!(message.contains("phone"), "{message}");
        }
        home.ask(act, body).await.done();
        is_refused(&home, "delete", 2).await;
        assert_eq!(listed(&home, json!({"album": "Summer"})).await.len(), 3);

        let deleted = of_album(&home, "delete", true).await;
        assert_eq!(
            (&deleted.done()["kept"], &deleted.done()["last"]),
            (&json!(1), &json!(2))
        );
        assert_eq!(listed(&home, json!({"album": "Library"})).await.len(), 1);
        assert_eq!(
            of_album(&home, "delete", false).await.error(),
            ("E-NOT-FOUND", 4)
        );
    }
}

#[tokio::test]
async fn an_album_is_left_without_own_originals_that_nobody_has_where_that_is_said() {
    let (home, phone) = bens().await;
    let view = phone.node().await.view().await.unwrap();
    let tablet = home.join(view.person.unwrap(), "tablet").await;
    let cache = json!({"do": "policy", "device": "laptop", "policy": "cache"});
    home.ask("device", cache).await.done();
    tablet.take_from(&home).await;
    let refused = of_album(&tablet, "leave", false).await;
    assert_eq!(refused.error(), ("E-TRY-LATER", 75));
    let lost = json!({"do": "remove", "device": "phone", "lost": true});
    tablet.ask("device", lost).await.done();
    is_refused(&tablet, "leave", 2).await;
    let left = of_album(&tablet, "leave", true).await;
    assert_eq!(left.done()["last"], 2);
    assert_eq!(
        of_album(&tablet, "leave", false).await.error(),
        ("E-NOT-FOUND", 4)
    );
}

#[tokio::test]
async fn an_album_whose_files_are_gone_from_the_disk_says_so_and_is_left_where_that_is_said() {
    let (home, phone) = bens().await;
    let view = phone.node().await.view().await.unwrap();
    let tablet = home.join(view.person.unwrap(), "tablet").await;
    for other in [&home, &phone] {
        tablet.take_from(other).await;
        tablet.take_blobs_from(other).await;
    }
    std::fs::remove_dir_all(tablet.doorway.home().join("blobs/packs")).unwrap();
    let may = json!({"do": "may", "act": "leave", "album": "Summer"});
    // As it was noticed when the home was opened, or by the first look.
    tablet.node().await.store().gone().unwrap();
    for refused in [
        tablet.ask("album", may).await,
        of_album(&tablet, "leave", false).await,
    ] {
        assert_eq!(refused.error(), ("E-TRY-LATER", 75));
        let last = refused.last();
        let message = last["message"].as_str().unwrap();
        assert!(message.contains("gone from the disk"), "{message}");
        let hint = last["hint"].as_str().unwrap();
        let again = "heirloom album leave \"Summer\" --with-last-copies";
        for words in ["heirloom verify --repair", again] {
            assert!(hint.contains(words), "{hint}");
        }
    }
    let may = json!({"do": "may", "act": "leave", "album": "Summer", "last": true});
    assert_eq!(tablet.ask("album", may).await.done()["elsewhere"], 2);
    let left = of_album(&tablet, "leave", true).await;
    assert_eq!(left.done()["elsewhere"], 2);
    assert_eq!(
        of_album(&tablet, "leave", false).await.error(),
        ("E-NOT-FOUND", 4)
    );
}

/// How many photos of ended shares are not here, and how many albums a device tells of as no longer shared.
async fn away(home: &Home) -> (u64, usize) {
    let told = home.ask("status", json!({})).await;
    let away = told.of("status")[0]["away"].as_u64().unwrap();
    let albums = home.ask("album", json!({"do": "list"})).await;
    (away, albums.of("ended").len())
}

#[tokio::test]
async fn what_an_ended_share_owes_is_looked_for_until_it_is_given_up() {
    let (home, phone) = bens().await;
    let view = phone.node().await.view().await.unwrap();
    let tablet = home.join(view.person.unwrap(), "tablet").await;
    phone.take_from(&home).await;
    let node = phone.node().await;
    node.ask(|runtime| runtime.tend()).await.unwrap().unwrap();
    for other in [&phone, &home] {
        tablet.take_from(other).await;
    }
    let unshare = json!({"album": "Summer", "person": "Ben", "last": true});
    home.ask("unshare", unshare).await.done();
    tablet.take_from(&home).await;
    assert_eq!(away(&tablet).await, (2, 1));

    let may = json!({"do": "may", "act": "leave", "album": "Summer"});
    for refused in [
        tablet.ask("album", may).await,
        of_album(&tablet, "leave", false).await,
    ] {
        assert_eq!(refused.error(), ("E-NOT-ALLOWED", 1));
        let last = refused.last();
        assert_eq!(last["why"], json!({"id": "away", "n": 2}));
        let hint = last["hint"].as_str().unwrap();
        let again = "heirloom album leave \"Summer\" --with-last-copies";
        for words in ["heirloom sync", again] {
            assert!(hint.contains(words), "{hint}");
        }
    }
    let status = tablet.ask("status", json!({})).await;
    let problems = status.of("status")[0]["problems"].to_string();
    assert!(problems.contains("--with-last-copies"), "{problems}");
    assert_eq!(away(&tablet).await, (2, 1));

    let left = of_album(&tablet, "leave", true).await;
    assert_eq!(
        (&left.done()["ended"], &left.done()["away"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(away(&tablet).await, (0, 0));
    // On the device that has them they stay in the library, and are kept before the notice ends.
    phone.take_from(&home).await;
    assert_eq!(of_album(&phone, "leave", false).await.done()["away"], 0);
    let library = json!({"album": "Library"});
    assert_eq!(listed(&phone, library).await.len(), 2);
}
