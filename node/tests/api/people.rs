//! Who belongs and who may do what, with a second and third home.

use heirloom_protocol::op::{AlbumUse, Role};
use serde_json::{Value, json};

use crate::world::{Home, listed};

async fn person(home: &Home, name: &str) -> Value {
    let told = home.ask("people", json!({"do": "list"})).await;
    let lines = told.of("person");
    let found = lines.into_iter().find(|line| line["name"] == name);
    found.cloned().unwrap_or(Value::Null)
}

#[tokio::test]
async fn people_and_devices_are_listed_named_and_removed() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let phone = home.join(ben, "phone").await;
    let row = person(&home, "Ben").await;
    assert_eq!(
        (&row["role"], &row["id"]),
        (&json!("member"), &json!(ben.to_string()))
    );
    let devices = home.ask("device", json!({"do": "list"})).await;
    let names: Vec<_> = devices
        .of("device")
        .iter()
        .map(|line| line["name"].clone())
        .collect();
    assert_eq!(names, ["laptop", "phone"]);
    let laptop = devices.of("device")[0];
    assert_eq!(
        (&laptop["this"], &laptop["person_name"]),
        (&json!(true), &json!("Anna"))
    );
    for field in [
        "kind",
        "policy",
        "last_seen",
        "connected",
        "removed",
        "person",
    ] {
        assert!(laptop.get(field).is_some(), "{field}");
    }
    let words = |told: crate::world::Told| told.done()["words"].clone();
    let before = words(home.ask("words", Value::Null).await);
    assert_eq!(before.as_array().unwrap().len(), 8);
    assert_eq!(words(phone.ask("words", Value::Null).await), before);

    home.ask(
        "people",
        json!({"do": "rename", "person": "Ben", "name": "Benjamin"}),
    )
    .await
    .done();
    home.ask(
        "device",
        json!({"do": "rename", "device": "phone", "name": "Ben's phone"}),
    )
    .await
    .done();
    phone.take_from(&home).await;
    assert_eq!(person(&phone, "Benjamin").await["this"], true);
    // Ben names himself, and nobody else.
    phone
        .ask(
            "people",
            json!({"do": "rename", "person": "Benjamin", "name": "Ben"}),
        )
        .await
        .done();
    for (act, body) in [
        (
            "people",
            json!({"do": "rename", "person": "Anna", "name": "X"}),
        ),
        ("people", json!({"do": "remove", "person": "Anna"})),
        (
            "device",
            json!({"do": "rename", "device": "laptop", "name": "X"}),
        ),
        ("device", json!({"do": "remove", "device": "laptop"})),
        ("device", json!({"do": "remove", "device": "Ben's phone"})),
        (
            "device",
            json!({"do": "policy", "device": "laptop", "policy": "archive"}),
        ),
    ] {
        let told = phone.ask(act, body.clone()).await;
        assert_eq!(told.error(), ("E-NOT-ALLOWED", 1), "{body}");
    }
    home.ask(
        "device",
        json!({"do": "policy", "device": "laptop", "policy": "cache", "limit": 5}),
    )
    .await
    .done();
    let devices = home.ask("device", json!({"do": "list"})).await;
    assert_eq!(devices.of("device")[1]["policy"], "cache");
}

#[tokio::test]
async fn a_removed_person_and_device_are_gone() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    home.join(ben, "phone").await;
    home.join(ben, "tablet").await;
    home.ask(
        "device",
        json!({"do": "remove", "device": "phone", "lost": true}),
    )
    .await
    .done();
    let devices = home.ask("device", json!({"do": "list"})).await;
    let removed: Vec<_> = devices
        .of("device")
        .iter()
        .map(|line| (line["name"].clone(), line["removed"].clone()))
        .collect();
    assert!(
        removed.contains(&(json!("phone"), json!(true))),
        "{removed:?}"
    );
    assert!(removed.contains(&(json!("tablet"), json!(false))));
    home.ask("people", json!({"do": "remove", "person": "Ben"}))
        .await
        .done();
    assert_eq!(person(&home, "Ben").await, Value::Null);
    let devices = home.ask("device", json!({"do": "list"})).await;
    let devices = devices.of("device").into_iter();
    let of_ben = devices.filter(|line| line["person_name"] == "Ben");
    assert_eq!(of_ben.count(), 2, "his name is still known");
    for (act, body, error) in [
        (
            "people",
            json!({"do": "remove", "person": "Ben"}),
            ("E-NOT-FOUND", 4),
        ),
        (
            "people",
            json!({"do": "remove", "person": "Anna"}),
            ("E-NOT-ALLOWED", 1),
        ),
        (
            "device",
            json!({"do": "remove", "device": "laptop"}),
            ("E-NOT-ALLOWED", 1),
        ),
        (
            "device",
            json!({"do": "remove", "device": "phone"}),
            ("E-NOT-FOUND", 4),
        ),
    ] {
        assert_eq!(home.ask(act, body.clone()).await.error(), error, "{body}");
    }
    // The family goes on: names are sealed under a fresh key.
    home.ask(
        "people",
        json!({"do": "rename", "person": "Anna", "name": "Anne"}),
    )
    .await
    .done();
}

#[tokio::test]
async fn a_lost_device_reads_nothing_new_and_what_it_could_read_is_named() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let phone = home.join(ben, "phone").await;
    home.ask("album", json!({"do": "create", "name": "Summer"}))
        .await
        .done();
    for (album, name) in [
        ("Family", "a.jpg"),
        ("Family", "b.jpg"),
        ("Library", "c.jpg"),
    ] {
        home.add(album, name, name.as_bytes()).await;
    }
    for album in ["Family", "Summer"] {
        home.ask(
            "share",
            json!({"album": album, "person": "Ben", "role": "viewer"}),
        )
        .await
        .done();
    }
    phone.take_from(&home).await;
    assert_eq!(listed(&phone, json!({})).await.len(), 2);
    let network = [home.serve().await, phone.serve().await];
    home.knows(&network[1]).await;
    network[0].call_round().await.unwrap();
    let mut stirs = network[1].stirs();
    while network[1].connected().await.is_empty() {
        stirs.changed().await.unwrap();
    }
    let told = home
        .ask(
            "device",
            json!({"do": "remove", "device": "phone", "lost": true}),
        )
        .await;
    let reach: Vec<_> = told
        .of("reach")
        .iter()
        .map(|line| (line["album"].clone(), line["assets"].clone()))
        .collect();
    assert_eq!(
        reach,
        [(json!("Family"), json!(2)), (json!("Summer"), json!(0))]
    );
    let summary = told.done();
    assert_eq!(
        (&summary["lost"], &summary["assets"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(summary["hidden_albums"], 0);
    // Its connection ends at once, and it gets in no more.
    while !network[1].connected().await.is_empty() {
        stirs.changed().await.unwrap();
    }
    // Nor does it stand among those who are called.
    let peers = home.ask("peer", json!({"do": "list"})).await;
    assert_eq!(peers.done()["peers"], 0, "{peers:?}");
    phone.knows(&network[0]).await;
    // A caller learns that it is refused only once it is connected, for its own side.
    network[1].call_round().await.unwrap();
    while !network[1].connected().await.is_empty() {
        stirs.changed().await.unwrap();
    }
    assert!(network[0].connected().await.is_empty());
    for network in network {
        network.stop().await;
    }
    // What is written from now on is under a key that it lacks, even if the entries reach it.
    let new = home.add("Family", "d.jpg", b"new").await;
    let (node, thief) = (home.node().await, phone.node().await);
    let album = home.album("Family").await;
    let key = heirloom_node::runtime::AssetKey { album, item: new };
    assert!(key.load(node.store()).unwrap().added.is_some());
    phone.take_from(&home).await;
    assert!(key.load(thief.store()).unwrap().added.is_none());
}

#[tokio::test]
async fn whether_somebody_may_be_removed_is_a_question_that_removes_nobody() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    home.join(ben, "phone").await;
    let of_ben = json!({"do": "may", "act": "remove", "person": "Ben"});
    let of_phone = json!({"do": "may", "act": "remove", "device": "phone"});
    // An earlier command line asks in this way.
    let before = json!({"do": "remove", "person": "Ben", "dry_run": true});
    for (act, body) in [("people", of_ben), ("device", of_phone), ("people", before)] {
        let told = home.ask(act, body.clone()).await;
        let would = told.done();
        assert_eq!(
            (&would["last"], &would["fewer"]),
            (&json!(0), &json!(0)),
            "{body}"
        );
        assert_eq!(person(&home, "Ben").await["devices"], 1, "{body}");
    }
    for (act, body, error) in [
        (
            "people",
            json!({"do": "may", "act": "remove", "person": "Anna"}),
            "E-NOT-ALLOWED",
        ),
        (
            "people",
            json!({"do": "may", "act": "rename", "person": "Ben"}),
            "E-USAGE",
        ),
        ("device", json!({"do": "may", "device": "phone"}), "E-USAGE"),
    ] {
        assert_eq!(home.ask(act, body.clone()).await.error().0, error, "{body}");
    }
}

#[tokio::test]
async fn sharing_gives_takes_and_limits() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let phone = home.join(ben, "phone").await;
    home.ask("album", json!({"do": "create", "name": "Summer"}))
        .await
        .done();
    let id = home.add("Summer", "a.jpg", b"1").await.to_string();
    phone.take_from(&home).await;
    let hidden = phone.ask("list", json!({"album": "Summer"})).await;
    assert_eq!(hidden.error(), ("E-NOT-FOUND", 4));

    let share = |role: &str| json!({"album": "Summer", "person": "Ben", "role": role});
    home.ask("share", share("viewer")).await.done();
    phone.take_from(&home).await;
    assert_eq!(
        listed(&phone, json!({"album": "Summer"})).await,
        [id.clone()]
    );
    // A viewer favours, and neither edits nor decides nor shares.
    phone.ask("favorite", json!({"ids": [id]})).await.done();
    for (act, body) in [
        ("caption", json!({"id": id, "text": "x"})),
        ("tag", json!({"ids": [id], "add": ["x"]})),
        ("trash", json!({"ids": [id]})),
        ("purge", json!({"ids": [id]})),
        (
            "album",
            json!({"do": "rename", "album": "Summer", "name": "x"}),
        ),
        (
            "album",
            json!({"do": "add", "album": "Summer", "ids": [id]}),
        ),
        ("album", json!({"do": "delete", "album": "Summer"})),
        ("share", share("manager")),
    ] {
        let told = phone.ask(act, body.clone()).await;
        assert_eq!(told.error(), ("E-NOT-ALLOWED", 1), "{body}");
    }
    // The original is not on the phone, so it cannot be announced from there.
    let copy = json!({"do": "add", "album": "Library", "ids": [id]});
    assert_eq!(phone.ask("album", copy).await.error(), ("E-NOT-FOUND", 4));

    home.ask("share", share("contributor")).await.done();
    phone.take_from(&home).await;
    phone
        .ask("caption", json!({"id": id, "text": "from Ben"}))
        .await
        .done();
    let own = phone.add("Summer", "ben.jpg", b"2").await.to_string();
    assert_eq!(
        phone.ask("trash", json!({"ids": [id]})).await.error(),
        ("E-NOT-ALLOWED", 1)
    );
    let some = phone.ask("trash", json!({"ids": [id, own]})).await;
    assert_eq!((some.exit(), &some.last()["changed"]), (3, &json!(1)));
    home.take_from(&phone).await;
    let told = home.ask("show", json!({"id": id})).await;
    assert_eq!(told.of("asset")[0]["caption"], "from Ben");
    assert_eq!(
        told.of("asset")[0]["favorite"],
        false,
        "a favourite is each person's own"
    );
    assert_eq!(listed(&home, json!({"trashed": true})).await, [own]);

    let unshare = json!({"album": "Summer", "person": "Ben"});
    home.ask("unshare", unshare.clone()).await.done();
    assert_eq!(
        home.ask("unshare", unshare).await.error(),
        ("E-NOT-FOUND", 4)
    );
    phone.take_from(&home).await;
    assert!(listed(&phone, json!({})).await.is_empty());
    for (body, error) in [
        (
            json!({"album": "Summer", "person": "Anna", "role": "viewer"}),
            ("E-NOT-ALLOWED", 1),
        ),
        (
            json!({"album": "Summer", "person": "Zoe"}),
            ("E-NOT-FOUND", 4),
        ),
        (
            json!({"album": "Summer", "person": "Ben", "role": "king"}),
            ("E-USAGE", 2),
        ),
    ] {
        assert_eq!(
            home.ask("share", body.clone()).await.error(),
            error,
            "{body}"
        );
    }
}

#[tokio::test]
async fn who_is_given_an_album_may_leave_it() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let phone = home.join(ben, "phone").await;
    home.ask("album", json!({"do": "create", "name": "Summer"}))
        .await
        .done();
    home.ask(
        "share",
        json!({"album": "Summer", "person": "Ben", "role": "viewer"}),
    )
    .await
    .done();
    phone.take_from(&home).await;
    phone
        .ask("album", json!({"do": "leave", "album": "Summer"}))
        .await
        .done();
    let left = phone
        .ask("album", json!({"do": "show", "album": "Summer"}))
        .await;
    assert_eq!(left.error(), ("E-NOT-FOUND", 4));
    home.take_from(&phone).await;
    let told = home
        .ask("album", json!({"do": "show", "album": "Summer"}))
        .await;
    assert_eq!(told.of("album")[0]["people"].as_array().unwrap().len(), 1);
}

/// Anna's and Eva's homes, with an album that Eva made and gave to Anna, and a photo of each in it.
async fn evas_album(level: &str) -> (Home, Home) {
    let home = Home::anna().await;
    let eva = home.add_person("Eva", Role::Member).await;
    let phone = home.join(eva, "phone").await;
    let body = json!({"do": "create", "name": "Hers"});
    phone.ask("album", body).await.done();
    phone.add("Hers", "eva.jpg", b"of Eva").await;
    let body = json!({"do": "share", "album": "Hers", "person": "Anna", "role": level});
    phone.ask("share", body).await.done();
    home.take_from(&phone).await;
    if level != "viewer" {
        home.add("Hers", "own.jpg", b"of Anna").await;
    }
    (home, phone)
}

#[tokio::test]
async fn albums_that_a_removed_person_made_stay_with_everybody_who_had_them() {
    for (level, count) in [("viewer", 1), ("contributor", 2), ("manager", 2)] {
        let (home, _phone) = evas_album(level).await;
        assert_eq!(listed(&home, json!({})).await.len(), count, "{level}");
        let body = json!({"do": "remove", "person": "Eva", "last": true});
        home.ask("people", body).await.done();
        assert_eq!(listed(&home, json!({})).await.len(), count, "{level}");
        home.album("Hers").await;
        let home = home.again().await;
        assert_eq!(listed(&home, json!({})).await.len(), count, "{level}");
    }
}

#[tokio::test]
async fn who_made_an_album_may_lose_the_device_that_made_it() {
    let (home, _phone) = evas_album("contributor").await;
    let body = json!({"do": "remove", "device": "phone", "last": true});
    home.ask("device", body).await.done();
    assert_eq!(listed(&home, json!({})).await.len(), 2);
    home.album("Hers").await;
}

#[tokio::test]
async fn who_hears_of_a_removal_keeps_what_was_shared_with_them_alone() {
    let home = Home::anna().await;
    let eva = home.add_person("Eva", Role::Member).await;
    let ben = home.add_person("Benjamin", Role::Member).await;
    let phone = home.join(eva, "phone").await;
    let tablet = home.join(ben, "tablet").await;
    phone.take_from(&home).await;
    let body = json!({"do": "create", "name": "Hers"});
    phone.ask("album", body).await.done();
    phone.add("Hers", "eva.jpg", b"of Eva").await;
    let body = json!({"do": "share", "album": "Hers", "person": "Benjamin"});
    phone.ask("share", body).await.done();
    tablet.take_from(&phone).await;
    tablet.add("Hers", "ben.jpg", b"of Ben").await;
    assert_eq!(listed(&tablet, json!({})).await.len(), 2);
    phone.take_from(&tablet).await;

    let body = json!({"do": "remove", "person": "Eva"});
    home.ask("people", body).await.done();
    tablet.take_from(&home).await;
    assert_eq!(person(&tablet, "Eva").await, Value::Null);
    assert_eq!(listed(&tablet, json!({})).await.len(), 2);
    tablet.album("Hers").await;

    // What she says after that has no effect on anybody.
    let ids = listed(&phone, json!({})).await;
    phone.ask("trash", json!({"ids": ids})).await.done();
    assert_eq!(listed(&phone, json!({})).await.len(), 0);
    tablet.take_from(&phone).await;
    tablet.take_from(&home).await;
    assert_eq!(listed(&tablet, json!({})).await.len(), 2);
}

#[tokio::test]
async fn who_leaves_an_album_keeps_their_own_photos() {
    let home = Home::anna().await;
    let ben = home.add_person("Benjamin", Role::Member).await;
    let phone = home.join(ben, "phone").await;
    let node = phone.node().await;
    let made = node.ask(|runtime| runtime.make_album("Library", AlbumUse::Library));
    made.await.unwrap().unwrap();
    let body = json!({"do": "create", "name": "Summer"});
    home.ask("album", body).await.done();
    home.add("Summer", "anna.jpg", b"of Anna").await;
    let body = json!({"album": "Summer", "person": "Benjamin"});
    home.ask("share", body).await.done();
    phone.take_from(&home).await;
    phone.add("Summer", "ben.jpg", b"of Ben").await;
    phone.add("Summer", "both.jpg", b"of Ben too").await;
    phone.add("Library", "both.jpg", b"of Ben too").await;

    let body = json!({"do": "leave", "album": "Summer"});
    let told = phone.ask("album", body).await;
    assert_eq!(told.done()["kept"], 1);
    assert_eq!(told.of("note").len(), 1, "{told:?}");
    let told = phone.ask("list", json!({})).await;
    let assets = told.of("asset");
    let mut names: Vec<_> = assets.iter().map(|line| line["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, [Some("ben.jpg"), Some("both.jpg")]);
    let here = |line: &&Value| line["here"]["original"] == true;
    assert!(assets.iter().all(here), "{told:?}");
    home.take_from(&phone).await;
    assert_eq!(listed(&home, json!({})).await.len(), 3);
}

#[tokio::test]
async fn an_id_means_what_it_always_meant_whatever_others_call_themselves() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let eva = home.add_person("Emily", Role::Member).await;
    home.join(ben, "phone").await;
    let rename = async |act: &str, field: &str, whom: &str, name: &str| {
        let body = json!({"do": "rename", field: whom, "name": name});
        home.ask(act, body).await
    };
    let id = ben.to_string();
    rename("people", "person", "Emily", &id).await.done();
    // By the whole id it is Ben.
    rename("people", "person", &id, "Benjamin").await.done();
    assert_eq!(person(&home, "Benjamin").await["id"], id);
    assert_eq!(person(&home, &id).await["id"], eva.to_string());
    // By its beginning, as lists show it, it may be either.
    let eva = eva.to_string();
    rename("people", "person", &eva, &id[..8]).await.done();
    let told = rename("people", "person", &id[..8], "X").await;
    assert_eq!(told.error().0, "E-AMBIGUOUS");
    // The same of devices.
    let devices = home.ask("device", json!({"do": "list"})).await;
    let own = |line: &&Value| line["this"] == true;
    let laptop = devices.of("device").into_iter().find(own).unwrap()["id"].clone();
    let laptop = laptop.as_str().unwrap();
    rename("device", "device", "phone", laptop).await.done();
    rename("device", "device", laptop, "desk").await.done();
    let devices = home.ask("device", json!({"do": "list"})).await;
    let laptop = devices.of("device").into_iter().find(own).unwrap();
    assert_eq!(laptop["name"], "desk");
}
