//! Devices that have just come, by words or by an invite: what they and the others are told.

use std::time::{Duration, Instant};

use heirloom_protocol::op::Role;
use serde_json::{Value, json};

use crate::world::Home;

/// What needs a person, by its id.
async fn problem(home: &Home, id: &str) -> Option<Value> {
    let told = home.ask("status", json!({})).await;
    let problems = told.of("status")[0]["problem_details"].clone();
    let problems = problems.as_array().unwrap().clone();
    problems.into_iter().find(|problem| problem["id"] == id)
}

/// What the doctor says of the family; null where all is well.
async fn belonging(home: &Home) -> Value {
    let told = home.ask("doctor", json!({})).await;
    let checks = told.of("check");
    let check = checks.iter().find(|line| line["name"] == "family");
    check.map_or(Value::Null, |check| (*check).clone())
}

/// Syncs until it is turned away: a call that is ended before anybody is known to be there says that nobody answers.
async fn turned_away(home: &Home) -> Value {
    let started = Instant::now();
    loop {
        let told = home.ask("sync", json!({})).await;
        match told.error() {
            ("E-REFUSED", 8) => return told.last().clone(),
            ("E-NO-PEER", 6) => {}
            other => panic!("{other:?}: {told:?}"),
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_heard_of_a_new_device_is_not_said_to_have_removed_it() {
    let home = Home::anna().await;
    let anna = home.node().await.view().await.unwrap().person.unwrap();
    let keeper = home.join_keeper("attic").await;
    keeper.take_from(&home).await;
    let tablet = home.join(anna, "tablet").await;
    tablet.stay_here();
    let attic = keeper.serve().await;
    tablet.knows(&attic).await;

    // Nobody is known to know it.
    let refused = turned_away(&tablet).await;
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("attic answered and does not know this device yet"),
        "{refused}"
    );
    assert!(!refused.to_string().contains("removed"), "{refused}");
    assert!(problem(&tablet, "not-known-anywhere").await.is_some());

    // The laptop does.
    let laptop = home.serve().await;
    tablet.knows(&laptop).await;
    tablet.ask("sync", json!({})).await.done();
    let told = problem(&tablet, "not-known").await.unwrap();
    assert_eq!(told["values"], json!({"name": "attic", "by": "laptop"}));
    let text = told["text"].as_str().unwrap();
    assert!(text.contains("hears of it from laptop"), "{text}");
    assert!(problem(&tablet, "turned-away").await.is_none());
    let said = belonging(&tablet).await.to_string();
    assert!(
        said.contains("attic turned this device away and does not know it yet"),
        "{said}"
    );
    assert!(!said.contains("removed"), "{said}");

    // It has heard.
    keeper.take_from(&home).await;
    tablet.ask("sync", json!({})).await.done();
    assert!(problem(&tablet, "not-known").await.is_none());
    assert_eq!(belonging(&tablet).await, Value::Null);

    // Removed in earnest, it is told so.
    let remove = json!({"do": "remove", "device": "tablet"});
    home.ask("device", remove).await.done();
    laptop.stop().await;
    keeper.take_from(&home).await;
    let refused = turned_away(&tablet).await;
    assert!(
        refused["hint"].as_str().unwrap().contains("removed"),
        "{refused}"
    );
    let told = problem(&tablet, "turned-away").await.unwrap();
    assert_eq!(told["values"]["name"], "attic");
    let said = belonging(&tablet).await.to_string();
    assert!(said.contains("may have been removed"), "{said}");
    attic.stop().await;
}

/// Anna's home, and her words.
async fn with_words() -> (Home, String) {
    let home = Home::empty().await;
    let body = json!({"family": "Berger", "person": "Anna", "device": "laptop"});
    let made = home.ask("init", body).await.done().clone();
    let words = made["recovery"].as_array().unwrap().iter();
    let words: Vec<_> = words.map(|word| word.as_str().unwrap()).collect();
    (home, words.join(" "))
}

#[tokio::test]
async fn that_words_brought_a_device_is_told_with_its_name_until_it_is_removed() {
    let (home, words) = with_words().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let bens = home.join(ben, "bens").await;
    let tablet = home.bring_back(&words, "new tablet").await;
    bens.take_from(&home).await;
    for (device, own) in [(&home, true), (&bens, false)] {
        let told = problem(device, "words-added").await.unwrap();
        let values = &told["values"];
        assert_eq!(
            (&values["person"], &values["name"]),
            (&json!("Anna"), &json!("new tablet"))
        );
        assert_eq!(values["own"], own);
        let text = told["text"].as_str().unwrap();
        // A member may not remove it, and new words would be his own: he asks.
        let remove = "heirloom device remove \"new tablet\" --lost";
        for says in [remove, "recovery replace", "recovery check"] {
            assert_eq!(text.contains(says), own, "{text}");
        }
        assert_eq!(text.contains("ask Anna; "), !own, "{text}");
        assert_eq!(values["ask"], if own { Value::Null } else { json!("Anna") });
    }
    // To itself it is no news.
    assert!(problem(&tablet, "words-added").await.is_none());

    let remove = json!({"do": "remove", "device": "new tablet", "lost": true});
    home.ask("device", remove.clone()).await.done();
    bens.take_from(&home).await;
    for device in [&home, &bens] {
        assert!(problem(device, "words-added").await.is_none());
    }
}

#[tokio::test]
async fn that_words_were_used_is_settled_where_their_person_types_them() {
    let (home, words) = with_words().await;
    let ben = home.add_person("Ben", Role::Admin).await;
    let bens = home.join(ben, "bens").await;
    let tablet = home.bring_back(&words, "new tablet").await;
    bens.take_from(&home).await;
    assert!(problem(&home, "words-added").await.is_some());
    let check = json!({"do": "check", "words": words});
    // Wrong words settle nothing.
    let wrong = json!({"do": "check", "words": format!("{}art", "abandon ".repeat(23))});
    assert_eq!(home.ask("recovery", wrong).await.error(), ("E-CODE", 8));
    assert!(problem(&home, "words-added").await.is_some());
    let told = home.ask("recovery", check.clone()).await;
    assert_eq!(told.done()["settled"], 1);
    assert!(problem(&home, "words-added").await.is_none());
    // It stays so, and others go on being told.
    let home = home.again().await;
    assert!(problem(&home, "words-added").await.is_none());
    let told = problem(&bens, "words-added").await.unwrap();
    // Another admin may remove the device; new words are Anna's to make.
    let text = told["text"].as_str().unwrap();
    assert!(text.contains("device remove \"new tablet\""), "{text}");
    assert!(text.contains("new words are for Anna to make"), "{text}");
    assert!(!text.contains("recovery replace"), "{text}");
    assert_eq!(home.ask("recovery", check).await.done()["settled"], 0);
    // What is done with them next is told again.
    home.bring_back(&words, "another").await;
    let told = problem(&home, "words-added").await.unwrap();
    assert_eq!(told["values"]["name"], "another");
    drop(tablet);
}

#[tokio::test]
async fn that_words_were_replaced_is_told_on_every_device_but_the_one_that_did_it() {
    let (home, words) = with_words().await;
    let anna = home.node().await.view().await.unwrap().person.unwrap();
    let ben = home.add_person("Ben", Role::Member).await;
    let carla = home.add_person("Carla", Role::Admin).await;
    let bens = home.join(ben, "bens").await;
    let carlas = home.join(carla, "carlas").await;
    let desktop = home.join(anna, "desktop").await;
    let replace = json!({"do": "replace", "words": words});
    home.ask("recovery", replace).await.done();
    assert!(problem(&home, "words-replaced").await.is_none());
    for (device, says) in [
        (&desktop, "heirloom device list"),
        (&carlas, "heirloom device list"),
        (&bens, "ask Anna or an admin (Carla); "),
    ] {
        device.take_from(&home).await;
        let told = problem(device, "words-replaced").await.unwrap();
        let text = told["text"].as_str().unwrap();
        assert!(text.contains(says), "{text}");
    }
    // Neither is it told there later.
    let home = home.again().await;
    assert!(problem(&home, "words-replaced").await.is_none());
}

#[tokio::test]
async fn a_device_that_was_removed_before_is_said_to_be_with_what_it_could_read_then() {
    let home = Home::anna().await;
    home.set_clock(1_800_000_000_000).await;
    let anna = home.node().await.view().await.unwrap().person.unwrap();
    home.join(anna, "phone").await;
    home.add("Family", "a.jpg", b"1").await;
    let remove = |lost: bool| json!({"do": "remove", "device": "phone", "lost": lost});
    home.ask("device", remove(false)).await.done();
    home.set_clock(1_800_000_600_000).await;
    home.add("Family", "later.jpg", b"2").await;
    home.ask("album", json!({"do": "create", "name": "New"}))
        .await
        .done();
    let told = home.ask("device", remove(true)).await;
    let summary = told.done();
    assert_eq!(summary["removed_before"], true);
    assert_eq!(
        summary["removed_at"].as_str().unwrap().get(..10),
        Some("2027-01-15")
    );
    let reach = told.of("reach");
    assert_eq!(reach.len(), 1, "{told:?}");
    assert_eq!(
        (&reach[0]["album"], &reach[0]["assets"]),
        (&json!("Family"), &json!(1))
    );
    // Without --lost there is nothing to do, and it says why.
    let told = home.ask("device", remove(false)).await;
    assert_eq!(told.error(), ("E-NOT-FOUND", 4));
    assert_eq!(told.last()["message"], "phone was removed on 2027-01-15");
    // A live one of that name is meant first.
    home.join(anna, "phone").await;
    let told = home.ask("device", remove(true)).await;
    assert_eq!(told.done()["removed_before"], Value::Null);
}
