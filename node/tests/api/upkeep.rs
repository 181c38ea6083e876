//! Status, settings, the doctor, verification and recovery words.

use heirloom_node::upkeep;
use heirloom_protocol::op::Role;
use serde_json::{Value, json};

use crate::world::{Home, noise};

#[tokio::test]
async fn status_has_every_field_and_counts() {
    let home = Home::anna().await;
    home.add("Family", "a.jpg", b"123").await;
    let told = home.ask("status", json!({})).await;
    told.done();
    let status = told.of("status")[0];
    for (field, value) in [
        ("family_name", json!("Berger")),
        ("device_name", json!("laptop")),
        ("node", json!("stopped")),
        ("assets", json!(1)),
        ("bytes", json!(3)),
        ("copies_wanted", json!(2)),
        ("safe", json!(0)),
        ("unsafe", json!(1)),
        ("only_here", json!(1)),
        ("peers", json!([])),
        (
            "moving",
            json!({"sending": 0, "receiving": 0, "waiting": 0, "held_back": 0}),
        ),
        ("gallery", Value::Null),
        ("listen", json!([])),
    ] {
        assert_eq!(status[field], value, "{field}");
    }
    assert_eq!(status["problems"].as_array().unwrap().len(), 2, "{status}");
    assert_eq!(home.ask("status", json!({"check": true})).await.exit(), 9);
    let ben = home.add_person("Ben", Role::Member).await;
    home.join(ben, "phone").await;
    let told = home.ask("status", json!({})).await;
    let peer = &told.of("status")[0]["peers"][0];
    assert_eq!(peer["name"], "phone");
    assert_eq!(
        (&peer["connected"], &peer["path"], &peer["last_seen"]),
        (&json!(false), &Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn settings_are_kept_checked_and_taken_away() {
    let home = Home::anna().await;
    let set = async |key: &str, value: &str| {
        home.ask("config", json!({"do": "set", "key": key, "value": value}))
            .await
    };
    let get = async |key: &str| {
        let told = home.ask("config", json!({"do": "get", "key": key})).await;
        told.done();
        told.of("setting")[0]["value"].clone()
    };
    assert_eq!(get("network.lan_only").await, false);
    assert_eq!(get("discovery").await, true);
    set("network.lan_only", "yes").await.done();
    set("listen", "/ip4/127.0.0.1/tcp/0, /ip6/::1/tcp/0")
        .await
        .done();
    assert_eq!(get("lan_only").await, true);
    assert_eq!(
        get("network.listen").await,
        json!(["/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0"])
    );
    assert_eq!(get("lan_ranges").await, json!([]));
    set("lan_ranges", "100.64.0.0/10 fd7a:115c::/32")
        .await
        .done();
    assert_eq!(
        get("lan_ranges").await,
        json!(["100.64.0.0/10", "fd7a:115c::/32"])
    );
    let list = home.ask("config", json!({"do": "list"})).await;
    assert_eq!(list.of("setting").len(), 15);
    assert_eq!(get("port").await, json!(null));
    set("port", "4001").await.done();
    assert_eq!(get("network.port").await, 4001);
    set("port", "0").await.done();
    assert_eq!(get("port").await, json!(null));
    for (key, value) in [
        ("lan_only", "perhaps"),
        ("lan_ranges", "0.0.0.0/0"),
        ("listen", "localhost"),
        ("port", "65536"),
        ("port", "any"),
    ] {
        assert_eq!(set(key, value).await.error(), ("E-USAGE", 2), "{key}");
    }
    assert_eq!(set("colour", "blue").await.error(), ("E-NOT-FOUND", 4));
    let unknown = home
        .ask("config", json!({"do": "get", "key": "colour"}))
        .await;
    assert!(
        unknown.last()["hint"]
            .as_str()
            .unwrap()
            .contains("network.listen")
    );
    set("listen", "").await.done();
    assert_eq!(get("listen").await, json!([]));
    let path = home.dir.path().join("home/config.toml");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // What this version does not know stays.
    std::fs::write(&path, "[other]\nkey = 1\n").unwrap();
    set("discovery", "off").await.done();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("[other]") && text.contains("discovery = false"),
        "{text}"
    );
    std::fs::write(&path, "not toml [").unwrap();
    assert_eq!(set("discovery", "on").await.error(), ("E-USAGE", 2));
}

#[tokio::test]
async fn an_empty_list_is_taken_as_it_is_printed_and_a_wrong_address_told_the_form() {
    let home = Home::anna().await;
    let set = async |key: &str, value: &str| {
        home.ask("config", json!({"do": "set", "key": key, "value": value}))
            .await
    };
    for value in [r#"["100.64.0.0/10"]"#, "[]"] {
        set("lan_ranges", value).await.done();
        let told = home
            .ask("config", json!({"do": "get", "key": "lan_ranges"}))
            .await;
        let want: Value = serde_json::from_str(value).unwrap();
        assert_eq!(told.of("setting")[0]["value"], want);
    }
    let wrong = set("external_addresses", "203.0.113.11:4001").await;
    assert_eq!(wrong.error(), ("E-USAGE", 2));
    let message = wrong.last()["message"].as_str().unwrap();
    assert!(message.contains("/ip4/203.0.113.7/tcp/4001"), "{message}");
}

#[tokio::test]
async fn an_address_that_is_named_while_the_node_runs_counts_from_its_next_start() {
    let home = Home::anna().await;
    let settings = async || {
        let told = home.ask("doctor", json!({})).await;
        let checks = told.of("check").into_iter();
        let mut found = checks.filter(|check| check["name"] == "settings");
        found.next().unwrap().clone()
    };
    let set = async |value: &str| {
        let body = json!({"do": "set", "key": "external_addresses", "value": value});
        home.ask("config", body).await.done();
    };
    let named = "/ip4/203.0.113.11/tcp/4001";
    let network = home.serve().await;
    set(named).await;
    let told = settings().await;
    assert_eq!((&told["ok"], &told["note"]), (&json!(true), &json!(true)));
    assert!(told["message"].as_str().unwrap().contains(named), "{told}");
    set("").await;
    assert_eq!(settings().await["note"], false);
    network.stop().await;
}

#[tokio::test]
async fn who_answers_at_an_address_is_named_and_one_outside_is_not_called_by_lan_only() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let phone = home.join(ben, "phone").await;
    phone.stay_here();
    let network = home.serve().await;
    let address = network.addresses()[0].to_string();
    let (place, _) = address.split_once("/p2p/").unwrap();
    let add = async |addr: &str| phone.ask("peer", json!({"do": "add", "addr": addr})).await;
    let told = add(place).await;
    told.done();
    assert_eq!(told.last()["answered"], true);
    assert_eq!(told.last()["name"], "laptop");
    let set = json!({"do": "set", "key": "lan_only", "value": "true"});
    phone.ask("config", set).await.done();
    let told = add("/ip4/203.0.113.11/tcp/4001").await;
    assert_eq!(told.error(), ("E-NO-PEER", 6));
    let message = told.last()["message"].as_str().unwrap();
    let words = "its own network alone (lan_only); 203.0.113.11 is outside it";
    assert!(message.contains(words), "{message}");
    network.stop().await;
}

#[tokio::test]
async fn the_doctor_names_problems_with_remedies() {
    let home = Home::anna().await;
    let told = home.ask("doctor", json!({})).await;
    told.done();
    let problems = |told: &crate::world::Told| -> Vec<String> {
        let checks = told.of("check").into_iter();
        checks
            .filter(|check| check["ok"] == false)
            .inspect(|check| assert!(check["remedy"].is_string()))
            .map(|check| check["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(problems(&told), ["recovery", "devices"]);
    assert_eq!(told.last()["problems"], 2);
    home.ask("recovery", json!({"do": "replace", "words": null}))
        .await
        .done();
    let ben = home.add_person("Ben", Role::Member).await;
    home.join(ben, "phone").await;
    // Ben's holds what is shared with him, and Anna's library it may not hold.
    let told = home.ask("doctor", json!({})).await;
    assert_eq!(problems(&told), ["devices"]);
    home.join_keeper("attic").await;
    let told = home.ask("doctor", json!({})).await;
    assert_eq!(problems(&told), [""; 0]);
    let path = home.dir.path().join("home/config.toml");
    std::fs::write(&path, "[").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let told = home.ask("doctor", json!({})).await;
        assert_eq!(problems(&told), ["permissions", "settings"]);
    }
}

#[tokio::test]
async fn the_doctor_says_why_two_homes_cannot_meet_and_what_would_help() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let phone = home.join(ben, "phone").await;
    let homes = async || {
        let told = home.ask("doctor", json!({})).await;
        let checks = told.of("check").into_iter();
        let mut homes = checks.filter(|check| check["name"] == "homes");
        homes.next().unwrap().clone()
    };
    // Whether others reach it is known while it runs.
    assert_eq!(homes().await["ok"], true);
    let network = home.serve().await;
    let told = homes().await;
    assert_eq!(told["ok"], false, "{told}");
    let message = told["message"].as_str().unwrap();
    assert!(
        message.starts_with("phone is out of reach: no device"),
        "{told}"
    );
    let remedy = told["remedy"].as_str().unwrap();
    for helps in ["IPv6", "a port", "external_addresses", "overlay network"] {
        assert!(remedy.contains(helps), "{remedy}");
    }
    // Who is met in this network needs no way from outside, until it has not been met for a day.
    let other = phone.serve().await;
    phone.knows(&network).await;
    let mut stirs = network.stirs();
    other.call_round().await.unwrap();
    while homes().await["ok"] == false {
        stirs.changed().await.unwrap();
    }
    other.stop().await;
    while !network.connected().await.is_empty() {
        stirs.changed().await.unwrap();
    }
    assert_eq!(homes().await["ok"], true);
    let now = home.node().await.clock().now().0;
    home.set_clock(now + 25 * 3600 * 1000).await;
    assert_eq!(homes().await["ok"], false);
    network.stop().await;
}

#[tokio::test]
async fn a_whole_home_verifies() {
    let home = Home::anna().await;
    home.add("Family", "a.jpg", b"1").await;
    home.add("Family", "b.jpg", &[7; 100_000]).await;
    for read_data in [false, true] {
        let told = home.ask("verify", json!({"read_data": read_data})).await;
        assert_eq!(told.done()["damaged"], 0);
        assert!(told.done()["checked"].as_u64().unwrap() >= 10);
    }
}

fn words(told: &crate::world::Told) -> String {
    let words = told.done()["recovery"].as_array().unwrap();
    let words: Vec<_> = words.iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(words.len(), 24);
    words.join(" ")
}

#[tokio::test]
async fn recovery_words_are_proved_and_replaced_by_the_old_ones() {
    let home = Home::empty().await;
    let body = json!({"family": "B", "person": "Anna", "device": "laptop"});
    let first = words(&home.ask("init", body).await);
    let check = |words: &str| json!({"do": "check", "words": words});
    let replace = |words: Option<&str>| json!({"do": "replace", "words": words});
    home.ask("recovery", check(&first)).await.done();
    home.ask("recovery", check(&first.to_uppercase()))
        .await
        .done();
    let strange = "abandon ".repeat(23) + "art";
    for wrong in ["", "one two", &strange, &first.replacen(' ', " zzz ", 1)] {
        let told = home.ask("recovery", check(wrong)).await;
        assert_eq!(told.error(), ("E-CODE", 8), "{wrong}");
        assert!(!told.last()["hint"].as_str().unwrap().contains("invite"));
    }
    assert_eq!(
        home.ask("recovery", replace(None)).await.error(),
        ("E-NOT-ALLOWED", 1)
    );
    assert_eq!(
        home.ask("recovery", replace(Some(&strange))).await.error(),
        ("E-CODE", 8)
    );
    let second = words(&home.ask("recovery", replace(Some(&first))).await);
    assert_ne!(first, second);
    assert_eq!(
        home.ask("recovery", check(&first)).await.error(),
        ("E-CODE", 8)
    );
    home.ask("recovery", check(&second)).await.done();
    let spent = home.ask("recovery", replace(Some(&first))).await;
    assert_eq!(spent.error(), ("E-CODE", 8));
    // Everything goes on under fresh keys, here and on another device.
    home.ask(
        "people",
        json!({"do": "rename", "person": "Anna", "name": "Anne"}),
    )
    .await
    .done();
    let id = home.add("Family", "a.jpg", b"1").await.to_string();
    let person = home.node().await.view().await.unwrap().person.unwrap();
    let phone = home.join(person, "phone").await;
    assert_eq!(crate::world::listed(&phone, json!({})).await, [id]);
    phone.ask("recovery", check(&second)).await.done();
    let home = home.again().await;
    home.ask("recovery", check(&second)).await.done();
    let third = words(&home.ask("recovery", replace(Some(&second))).await);
    home.ask("recovery", check(&third)).await.done();
}

#[tokio::test]
async fn who_never_had_words_makes_them_once() {
    let home = Home::anna().await;
    let check = |words: &str| json!({"do": "check", "words": words});
    let none = home.ask("recovery", check("abandon")).await;
    assert_eq!(none.error(), ("E-NOT-FOUND", 4));
    let replace = json!({"do": "replace", "words": null});
    let made = words(&home.ask("recovery", replace.clone()).await);
    home.ask("recovery", check(&made)).await.done();
    assert_eq!(
        home.ask("recovery", replace).await.error(),
        ("E-NOT-ALLOWED", 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_go_under_a_node_are_noticed_within_the_hour() {
    let home = Home::anna().await;
    home.add("Family", "a.jpg", &noise(40_000, 1)).await;
    std::fs::remove_dir_all(home.doorway.home().join("blobs")).unwrap();
    upkeep::round(&home.node().await).await.unwrap();
    let told = home.ask("list", json!({})).await;
    assert_eq!(told.of("asset")[0]["here"]["original"], false);
    let status = home.ask("status", json!({})).await;
    let problems = status.of("status")[0]["problems"].to_string();
    assert!(problems.contains("gone from the disk"), "{problems}");
}
