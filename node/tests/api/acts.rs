//! Looking, editing, the trash and albums.

use heirloom_protocol::op::{PartRole, Role};
use serde_json::{Value, json};

use crate::world::{Home, Photo, listed};

#[tokio::test]
async fn a_home_that_is_not_set_up_says_so_to_every_act() {
    let home = Home::empty().await;
    for act in ["status", "list", "album", "words", "anything"] {
        let told = home.ask(act, Value::Null).await;
        assert_eq!(told.error(), ("E-NOT-SET-UP", 5), "{act}");
    }
    for (body, before) in [
        (json!({"do": "list"}), false),
        (json!({"do": "get", "key": "lan_only"}), false),
        (
            json!({"do": "set", "key": "bandwidth.up", "value": "2MB/s"}),
            false,
        ),
        // Whom a device talks to and how much it takes is said before it joins.
        (
            json!({"do": "set", "key": "lan_only", "value": "true"}),
            true,
        ),
    ] {
        let told = home.ask("config", body.clone()).await;
        assert_eq!(told.exit(), if before { 0 } else { 5 }, "{body}");
        assert_eq!(home.dir.path().join("home").exists(), before, "{body}");
    }
}

#[tokio::test]
async fn of_several_ids_one_that_is_none_stops_the_others_not() {
    let home = Home::anna().await;
    let id = home.add("Library", "a.jpg", b"a").await.to_string();
    let to = home.dir.path().join("out");
    for (act, mut body) in [
        ("get", json!({"output": to})),
        ("favorite", json!({})),
        ("tag", json!({"add": ["sea"]})),
        ("trash", json!({})),
        ("restore", json!({})),
        ("album", json!({"do": "add", "album": "Family"})),
    ] {
        body["ids"] = json!([id, "zzzzzzzz"]);
        let told = home.ask(act, body.clone()).await;
        assert_eq!(
            (told.exit(), told.last()["type"].as_str()),
            (3, Some("summary")),
            "{told:?}"
        );
        assert_eq!(told.last()["failed"], 1, "{told:?}");
        let failed = told
            .0
            .iter()
            .any(|line| line["reason"] == "there is no photo or video \"zzzzzzzz\"");
        assert!(failed, "{told:?}");
        body["ids"] = json!(["zzzzzzzz"]);
        assert_eq!(
            home.ask(act, body).await.error(),
            ("E-NOT-FOUND", 4),
            "{act}"
        );
    }
    assert_eq!(std::fs::read(to.join("a.jpg")).unwrap(), b"a");
    assert!(listed_by(&home, "sea").await == [id]);
}

#[tokio::test]
async fn a_name_that_somebody_or_something_has_is_not_given_twice() {
    let home = Home::anna().await;
    home.ask("album", json!({"do": "create", "name": "Summer"}))
        .await
        .done();
    home.ask("album", json!({"do": "create", "name": "Winter"}))
        .await
        .done();
    for (act, body) in [
        ("album", json!({"do": "create", "name": "summer"})),
        ("album", json!({"do": "create", "name": "Library"})),
        (
            "album",
            json!({"do": "rename", "album": "Winter", "name": "Summer"}),
        ),
        ("invite", json!({"person": "anna"})),
    ] {
        let told = home.ask(act, body.clone()).await;
        assert_eq!(told.error(), ("E-AMBIGUOUS", 2), "{body}");
        assert!(
            told.last()["message"]
                .as_str()
                .unwrap()
                .contains("already (")
        );
    }
    // Its own name in other letters is no clash.
    home.ask(
        "album",
        json!({"do": "rename", "album": "Winter", "name": "WINTER"}),
    )
    .await
    .done();
    home.ask(
        "people",
        json!({"do": "rename", "person": "Anna", "name": "anna"}),
    )
    .await
    .done();
}

#[tokio::test]
async fn what_is_wrong_with_a_name_is_said() {
    let home = Home::anna().await;
    let long = "x".repeat(10_000);
    for (name, message) in [
        ("", "the name is empty"),
        (long.as_str(), "the name is longer than 256 bytes"),
        ("a\nb", "the name has control characters"),
    ] {
        let told = home
            .ask("album", json!({"do": "create", "name": name}))
            .await;
        assert_eq!(told.error(), ("E-USAGE", 2));
        assert_eq!(told.last()["message"], message);
        assert!(told.last()["hint"].is_string());
    }
    let told = home
        .ask("album", json!({"do": "show", "album": long}))
        .await;
    assert_eq!(told.error(), ("E-NOT-FOUND", 4));
    assert!(
        told.last()["message"].as_str().unwrap().len() < 200,
        "{told:?}"
    );
    assert_eq!(told.last()["hint"], "heirloom album list names all of them");
    let short = home.ask("show", json!({"id": "ab"})).await;
    assert_eq!(short.last()["hint"], "give at least 4 characters of the id");
}

#[tokio::test]
async fn init_makes_a_family_once() {
    let home = Home::empty().await;
    for bad in ["", "  ", "a\nb", &"x".repeat(257)] {
        let told = home
            .ask("init", json!({"family": bad, "person": "Anna"}))
            .await;
        assert_eq!(told.error(), ("E-USAGE", 2), "{bad:?}");
    }
    let body = json!({"family": "Berger", "person": "Anna", "device": null, "no_recovery": false});
    let told = home.ask("init", body.clone()).await;
    let made = told.done();
    assert_eq!(made["recovery"].as_array().unwrap().len(), 24);
    assert!(made["peer"].as_str().unwrap().starts_with("12D3Koo"));
    for (field, digits) in [("family", 64), ("person", 32), ("device", 64)] {
        assert_eq!(made[field].as_str().unwrap().len(), digits, "{field}");
    }
    let again = home.ask("init", body).await;
    assert_eq!(again.error(), ("E-ALREADY-SET-UP", 1));
    assert_eq!(listed(&home, json!({})).await.len(), 0);
    assert_eq!(home.ask("list", json!({})).await.exit(), 0);
    let unknown = home.ask("fly", json!({})).await;
    assert_eq!(unknown.error(), ("E-NOT-YET", 2));
}

#[tokio::test]
async fn without_recovery_there_are_no_words() {
    let home = Home::empty().await;
    let body = json!({"family": "B", "person": "A", "device": "d", "no_recovery": true});
    assert_eq!(home.ask("init", body).await.done()["recovery"], Value::Null);
}

#[tokio::test]
async fn a_list_is_sorted_by_capture_and_narrowed_by_filters() {
    let home = Home::anna().await;
    let day = 86_400_000;
    let photo = |name, bytes: &'static [u8], wall| Photo { name, bytes, wall };
    let late = home
        .add_photo("Family", &photo("b.jpg", b"2", Some(20 * day)))
        .await;
    let none = home.add_photo("Family", &photo("a.jpg", b"0", None)).await;
    let early = home
        .add_photo("Library", &photo("c.jpg", b"1", Some(day)))
        .await;
    let [late, none, early] = [late, none, early].map(|id| id.to_string());
    let all = [early.clone(), late.clone(), none.clone()];
    assert_eq!(listed(&home, json!({})).await, all);
    let cases = [
        (json!({"album": "Family"}), vec![&late, &none]),
        (json!({"album": "library"}), vec![&early]),
        (json!({"taken": "1970-01-01..1970-01-05"}), vec![&early]),
        (json!({"only_here": true}), all.iter().collect()),
        (json!({"type": "photo"}), all.iter().collect()),
    ];
    for (body, ids) in cases {
        let ids: Vec<_> = ids.into_iter().cloned().collect();
        assert_eq!(listed(&home, body.clone()).await, ids, "{body}");
    }
    for body in [json!({"type": "video"}), json!({"trashed": true})] {
        assert_eq!(home.ask("list", body.clone()).await.exit(), 4, "{body}");
    }
    for (act, body, error) in [
        ("list", json!({"album": "Nowhere"}), ("E-NOT-FOUND", 4)),
        ("list", json!({"taken": "soon"}), ("E-USAGE", 2)),
        ("show", json!({"id": "zzzzzzzz"}), ("E-NOT-FOUND", 4)),
        ("show", json!({}), ("E-USAGE", 2)),
        ("find", json!({"words": " "}), ("E-USAGE", 2)),
    ] {
        assert_eq!(home.ask(act, body).await.error(), error);
    }
}

#[tokio::test]
async fn show_has_every_field_of_the_contract() {
    let home = Home::anna().await;
    let photo = Photo {
        name: "IMG_1.jpg",
        bytes: b"bytes of a photo",
        wall: Some(1_292_157_695_000),
    };
    let id = home.add_photo("Family", &photo).await.to_string();
    let told = home.ask("show", json!({"id": &id[..8]})).await;
    told.done();
    let asset = told.of("asset")[0];
    assert_eq!(asset["id"], id);
    assert_eq!(asset["name"], "IMG_1.jpg");
    assert_eq!(asset["kind"], "photo");
    assert_eq!(asset["albums"], json!(["Family"]));
    assert_eq!(asset["taken"], "2010-12-12T12:41:35");
    assert_eq!(asset["offset"], Value::Null);
    assert_eq!(asset["bytes"], 16);
    assert_eq!(asset["blake3"], blake3::hash(photo.bytes).to_hex().as_str());
    assert_eq!(asset["by"], "Anna");
    assert_eq!(asset["copies"], 1);
    assert_eq!(
        asset["here"],
        json!({"original": true, "preview": false, "thumbnail": false})
    );
    assert_eq!(asset["preview"], "pending");
    assert_eq!(asset["parts"][0]["role"], "still");
    for field in [
        "taken_source",
        "width",
        "height",
        "place",
        "camera",
        "caption",
        "favorite",
        "tags",
        "trashed",
        "preview_reason",
    ] {
        assert!(asset.get(field).is_some(), "{field}");
    }
}

#[tokio::test]
async fn captions_tags_and_favourites_are_seen_and_taken_back() {
    let home = Home::anna().await;
    let id = home.add("Library", "a.jpg", b"1").await.to_string();
    let shown = async |field: &str| {
        let told = home.ask("show", json!({"id": id})).await;
        told.of("asset")[0][field].clone()
    };
    let changed = async |act: &str, body: Value| {
        let told = home.ask(act, body).await;
        told.done()["changed"].as_u64().unwrap()
    };
    let caption = json!({"id": id, "text": "At the beach"});
    assert_eq!(changed("caption", caption.clone()).await, 1);
    assert_eq!(changed("caption", caption).await, 0);
    assert_eq!(shown("caption").await, "At the beach");
    assert_eq!(listed_by(&home, "BEACH the").await, [id.clone()]);
    assert_eq!(changed("caption", json!({"id": id, "text": ""})).await, 1);
    assert_eq!(shown("caption").await, Value::Null);
    let long = json!({"id": id, "text": "x".repeat(16 * 1024 + 1)});
    assert_eq!(home.ask("caption", long).await.error(), ("E-USAGE", 2));

    assert_eq!(changed("favorite", json!({"ids": [id]})).await, 1);
    assert_eq!(shown("favorite").await, true);
    assert_eq!(
        changed("favorite", json!({"ids": [id], "remove": true})).await,
        1
    );
    assert_eq!(shown("favorite").await, false);

    let both = json!({"ids": [id], "add": ["sea", "sun", "sea"], "remove": []});
    assert_eq!(changed("tag", both).await, 1);
    assert_eq!(shown("tags").await, json!(["sea", "sun"]));
    assert_eq!(
        changed("tag", json!({"ids": [id], "remove": ["sea", "snow"]})).await,
        1
    );
    assert_eq!(shown("tags").await, json!(["sun"]));
    assert_eq!(changed("tag", json!({"ids": [id], "add": "sea"})).await, 1);
    assert_eq!(shown("tags").await, json!(["sea", "sun"]));
    for bad in ["", "a\u{7}b", &"t".repeat(129)] {
        let told = home.ask("tag", json!({"ids": [id], "add": [bad]})).await;
        assert_eq!(told.error(), ("E-USAGE", 2));
    }
    assert_eq!(
        home.ask("tag", json!({"ids": [id]})).await.error(),
        ("E-USAGE", 2)
    );
    assert_eq!(
        home.ask("trash", json!({"ids": []})).await.error(),
        ("E-USAGE", 2)
    );
}

async fn listed_by(home: &Home, words: &str) -> Vec<String> {
    let told = home.ask("find", json!({"words": words})).await;
    let ids = told.of("asset").into_iter();
    ids.map(|line| line["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn what_is_found_nowhere_exits_four() {
    let home = Home::anna().await;
    home.add("Library", "a.jpg", b"1").await;
    let told = home.ask("find", json!({"words": "unicorn"})).await;
    assert_eq!((told.exit(), told.0.len()), (4, 1));
    assert_eq!(listed_by(&home, "anna a.jpg library").await.len(), 1);
}

#[tokio::test]
async fn the_trash_hides_gives_back_and_purges() {
    let home = Home::anna().await;
    let one = home.add("Library", "a.jpg", b"1").await.to_string();
    let two = home.add("Library", "b.jpg", b"2").await.to_string();
    let both = json!({"ids": [one, two, one[..12]]});
    assert_eq!(home.ask("trash", both.clone()).await.done()["changed"], 2);
    assert_eq!(home.ask("trash", both.clone()).await.done()["changed"], 0);
    assert!(listed(&home, json!({})).await.is_empty());
    assert_eq!(listed(&home, json!({"trashed": true})).await.len(), 2);
    assert_eq!(
        home.ask("restore", json!({"ids": [one]})).await.done()["changed"],
        1
    );
    assert_eq!(listed(&home, json!({})).await, [one.clone()]);
    assert_eq!(
        home.ask("purge", json!({"ids": [two]})).await.done()["changed"],
        1
    );
    assert!(listed(&home, json!({"trashed": true})).await.is_empty());
    let gone = home.ask("show", json!({"id": two})).await;
    assert_eq!(gone.error(), ("E-NOT-FOUND", 4));
    let gone = home.ask("restore", json!({"ids": [two]})).await;
    assert_eq!(gone.error(), ("E-NOT-FOUND", 4));
}

#[tokio::test]
async fn albums_are_made_filled_and_emptied() {
    let home = Home::anna().await;
    let id = home.add("Library", "a.jpg", b"1").await.to_string();
    home.ask("caption", json!({"id": id, "text": "words"}))
        .await
        .done();
    home.ask("tag", json!({"ids": [id], "add": ["sea"]}))
        .await
        .done();
    let made = home
        .ask("album", json!({"do": "create", "name": "Summer"}))
        .await;
    let album = made.done()["id"].as_str().unwrap().to_owned();
    let put = json!({"do": "add", "album": "summer", "ids": [id]});
    let told = home.ask("album", put.clone()).await;
    assert_eq!(
        (&told.done()["changed"], &told.done()["present"]),
        (&json!(1), &json!(0))
    );
    let told = home.ask("album", put.clone()).await;
    assert_eq!(
        (&told.done()["changed"], &told.done()["present"]),
        (&json!(0), &json!(1))
    );
    let shown = home.ask("show", json!({"id": id})).await;
    assert_eq!(shown.of("asset")[0]["albums"], json!(["Library", "Summer"]));
    let listing = home.ask("album", json!({"do": "list"})).await;
    let albums: Vec<_> = listing
        .of("album")
        .iter()
        .map(|line| {
            (
                line["name"].clone(),
                line["assets"].clone(),
                line["role"].clone(),
            )
        })
        .collect();
    let row = |name: &str, count: u64| (json!(name), json!(count), json!("manager"));
    assert_eq!(
        albums,
        [row("Library", 1), row("Family", 0), row("Summer", 1)]
    );
    assert_eq!(listing.of("album")[2]["people"][0]["name"], "Anna");
    // What was said of the photo stands in the new album too.
    let body = json!({"ids": [id], "album": "Library"});
    let told = home.ask("trash", body).await;
    assert_eq!(told.done()["trashed"], 0, "Summer has it");
    let shown = home
        .ask("album", json!({"do": "show", "album": album[..6]}))
        .await;
    assert_eq!(shown.of("asset")[0]["caption"], "words");
    assert_eq!(shown.of("asset")[0]["tags"], json!(["sea"]));
    assert_eq!(shown.of("asset")[0]["here"]["original"], true);
    let body = json!({"do": "remove", "album": "Summer", "ids": [id]});
    let told = home.ask("album", body).await;
    assert_eq!(told.done()["trashed"], 1, "it was in no other");
    assert!(listed(&home, json!({})).await.is_empty());
    // Put in again, it comes out of the trash and is no second item.
    assert_eq!(home.ask("album", put).await.done()["changed"], 1);
    let told = home.ask("list", json!({"album": "Summer"})).await;
    assert_eq!(told.of("asset").len(), 1);
    home.ask(
        "album",
        json!({"do": "rename", "album": "Summer", "name": "Winter"}),
    )
    .await
    .done();
    home.album("Winter").await;
    for (body, error) in [
        (
            json!({"do": "rename", "album": "Library", "name": "X"}),
            ("E-NOT-ALLOWED", 1),
        ),
        (
            json!({"do": "rename", "album": "Winter", "name": ""}),
            ("E-USAGE", 2),
        ),
        (
            json!({"do": "leave", "album": "Winter"}),
            ("E-NOT-ALLOWED", 1),
        ),
        (
            json!({"do": "delete", "album": "Library"}),
            ("E-NOT-ALLOWED", 1),
        ),
        (
            json!({"do": "delete", "album": "Family"}),
            ("E-NOT-ALLOWED", 1),
        ),
        (json!({"do": "show", "album": "Spring"}), ("E-NOT-FOUND", 4)),
        (json!({"do": "juggle"}), ("E-USAGE", 2)),
    ] {
        assert_eq!(
            home.ask("album", body.clone()).await.error(),
            error,
            "{body}"
        );
    }
}

#[tokio::test]
async fn deleting_an_album_deletes_no_photo() {
    let home = Home::anna().await;
    home.ask("album", json!({"do": "create", "name": "Summer"}))
        .await
        .done();
    home.add("Summer", "only.jpg", b"1").await;
    let trashed = home.add("Summer", "trashed.jpg", b"2").await.to_string();
    home.ask("trash", json!({"ids": [trashed]})).await.done();
    let told = home
        .ask("album", json!({"do": "delete", "album": "Summer"}))
        .await;
    assert_eq!(told.done()["kept"], 1);
    let told = home.ask("list", json!({})).await;
    let names: Vec<_> = told
        .of("asset")
        .iter()
        .map(|line| line["name"].clone())
        .collect();
    assert_eq!(names, ["only.jpg"]);
    assert_eq!(told.of("asset")[0]["albums"], json!(["Library"]));
    assert_eq!(told.of("asset")[0]["here"]["original"], true);
    assert_eq!(
        home.ask("album", json!({"do": "list"}))
            .await
            .of("album")
            .len(),
        2
    );
}

#[tokio::test]
async fn everything_is_there_after_the_home_was_closed_and_opened() {
    let home = Home::anna().await;
    let id = home
        .add_parts(
            "Library",
            None,
            &[
                (PartRole::Still, "a.heic", b"1"),
                (PartRole::Motion, "a.mov", b"2"),
            ],
        )
        .await
        .to_string();
    home.ask("caption", json!({"id": id, "text": "words"}))
        .await
        .done();
    home.ask("album", json!({"do": "create", "name": "Summer"}))
        .await
        .done();
    home.ask(
        "album",
        json!({"do": "add", "album": "Summer", "ids": [id]}),
    )
    .await
    .done();
    home.add_person("Ben", Role::Member).await;
    let before = home.ask("show", json!({"id": id})).await.0;
    let home = home.again().await;
    assert_eq!(home.ask("show", json!({"id": id})).await.0, before);
    assert_eq!(before[0]["parts"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_node_is_well_only_while_its_runtime_answers() {
    let home = Home::anna().await;
    assert_eq!(home.health().await, 200);
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = tokio::sync::oneshot::channel();
    let node = home.node().await;
    let busy = tokio::spawn(async move {
        let work = move |_: &mut _| begin.send(()).is_ok() && held.recv().is_ok();
        node.ask(work).await
    });
    begun.await.unwrap();
    let mut asked = std::pin::pin!(home.health());
    for _ in 0..1000 {
        assert!(futures::poll!(&mut asked).is_pending());
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    assert_eq!(asked.await, 200);
    assert!(busy.await.unwrap().unwrap());
    assert_eq!(Home::empty().await.health().await, 200, "nothing to ask");
}

#[tokio::test]
async fn a_wrong_time_is_put_right_and_the_original_stays() {
    let home = Home::anna().await;
    let day = 86_400_000;
    for (name, wall) in [("a.jpg", Some(day)), ("b.jpg", None)] {
        let bytes = name.as_bytes();
        home.add_photo("Family", &Photo { name, bytes, wall }).await;
    }
    let all = home.ask("list", json!({})).await;
    let all = all.of("asset");
    let id = |name: &str| all.iter().find(|a| a["name"] == name).unwrap()["id"].clone();
    let (a, b) = (id("a.jpg"), id("b.jpg"));
    let retake = async |body: Value| home.ask("retake", body).await;
    let shown = async |id: &Value| {
        let told = home.ask("show", json!({"id": id})).await;
        told.of("asset")[0].clone()
    };
    let told = retake(json!({"ids": [a, b], "shift": "-1h30m"})).await;
    assert_eq!(
        told.done()["changed"],
        1,
        "what has no time cannot be moved"
    );
    let asset = shown(&a).await;
    assert_eq!(
        (&asset["taken"], &asset["taken_source"]),
        (&json!("1970-01-01T22:30:00"), &json!("edit"))
    );
    assert!(shown(&b).await["taken"].is_null());
    let told = retake(json!({"ids": [a, b], "at": "1931-08-12T15:00"})).await;
    assert_eq!(told.done()["changed"], 2);
    let again = retake(json!({"ids": [a, b], "at": "1931-08-12T15:00"})).await;
    assert_eq!(again.done()["changed"], 0);
    let asset = shown(&b).await;
    assert_eq!(asset["taken"], "1931-08-12T15:00:00");
    let before = all.iter().find(|asset| asset["id"] == b).unwrap();
    assert_eq!(asset["blake3"], before["blake3"]);
    // Beyond the calendar nothing moves.
    let far = retake(json!({"ids": [b], "shift": "4000000d"})).await;
    assert_eq!(far.done()["changed"], 0);
    for wrong in [
        json!({"ids": [a]}),
        json!({"ids": [a], "at": "noon"}),
        json!({"ids": [a], "shift": "--1h"}),
        json!({"ids": [a], "shift": "1h", "at": "2020-01-01"}),
        json!({"ids": [], "shift": "1h"}),
    ] {
        assert_eq!(retake(wrong).await.error(), ("E-USAGE", 2));
    }
}
