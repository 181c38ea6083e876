//! Who belongs and who may do what, with a second and third home.

use heirloom_protocol::op::Role;
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
