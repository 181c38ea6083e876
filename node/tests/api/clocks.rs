//! Clocks that are wrong by decades: nothing disappears, and once they are right new edits win.

use heirloom_node::upkeep;
use heirloom_protocol::op::Role;
use serde_json::{Value, json};

use crate::{
    deletion::{blobs, states},
    world::{Home, Photo, listed, noise},
};

const START: u64 = 1_800_000_000_000;
const MINUTE: u64 = 60 * 1000;
const YEAR: u64 = 365 * 24 * 3600 * 1000;

async fn exchange(a: &Home, b: &Home) {
    a.take_from(b).await;
    b.take_from(a).await;
}

async fn caption(home: &Home, id: &str) -> Value {
    let told = home.ask("show", json!({"id": id})).await;
    told.of("asset")[0]["caption"].clone()
}

async fn say(home: &Home, id: &str, text: &str) {
    home.ask("caption", json!({"id": id, "text": text}))
        .await
        .done();
}

/// Anna's laptop, whose clock is right, and her phone.
async fn two() -> (Home, Home) {
    let home = Home::anna().await;
    home.set_clock(START).await;
    let anna = home.node().await.view().await.unwrap().person.unwrap();
    let phone = home.join(anna, "phone").await;
    (home, phone)
}

async fn add(home: &Home, name: &str, wall: i64) -> String {
    let photo = Photo {
        name,
        bytes: name.as_bytes(),
        wall: Some(wall),
    };
    home.add_photo("Family", &photo).await.to_string()
}

#[tokio::test]
async fn photos_of_devices_that_are_decades_off_are_there_in_the_order_they_were_taken() {
    for off in [-30_i64, -8, 8, 30] {
        let (home, phone) = two().await;
        let wrong = START.saturating_add_signed(off * i64::try_from(YEAR).unwrap());
        phone.set_clock(wrong).await;
        let second = add(&phone, "second.jpg", 2_000).await;
        let first = add(&home, "first.jpg", 1_000).await;
        let third = add(&home, "third.jpg", 3_000).await;
        exchange(&home, &phone).await;
        let in_order = [first, second, third];
        assert_eq!(listed(&home, json!({})).await, in_order, "{off} years");
        assert_eq!(listed(&phone, json!({})).await, in_order, "{off} years");
        // The phone jumps back and forth, and starts anew in between.
        for years in [0, 50, -9] {
            let jump = START.saturating_add_signed(years * i64::try_from(YEAR).unwrap());
            phone.set_clock(jump).await;
            upkeep::round(&phone.node().await).await.unwrap();
            assert_eq!(listed(&phone, json!({})).await, in_order);
        }
        let phone = phone.again().await;
        let more = add(&phone, "more.jpg", 4_000).await;
        exchange(&home, &phone).await;
        assert_eq!(listed(&home, json!({})).await[3], more);
        assert_eq!(listed(&home, json!({})).await.len(), 4);
    }
}

#[tokio::test]
async fn once_a_clock_that_was_ahead_is_right_what_it_said_counts_and_new_edits_win() {
    let (home, phone) = two().await;
    let photo = add(&home, "a.jpg", 1_000).await;
    let other = add(&home, "b.jpg", 2_000).await;
    exchange(&home, &phone).await;
    phone.set_clock(START + 30 * YEAR).await;
    say(&phone, &photo, "from the future").await;
    phone.ask("trash", json!({"ids": [other]})).await.done();
    let kept = add(&phone, "c.jpg", 3_000).await;
    exchange(&home, &phone).await;
    // Held: the laptop shows what it knew.
    assert_eq!(caption(&home, &photo).await, Value::Null);
    assert_eq!(listed(&home, json!({})).await.len(), 3);
    say(&home, &photo, "from the laptop").await;

    for each in [&home, &phone] {
        each.set_clock(START + 10 * MINUTE).await;
    }
    upkeep::round(&phone.node().await).await.unwrap();
    exchange(&home, &phone).await;
    for each in [&home, &phone] {
        assert_eq!(caption(each, &photo).await, "from the future");
        assert_eq!(listed(each, json!({})).await, [photo.clone(), kept.clone()]);
    }
    // Nothing is said twice.
    let entries = |home: &Home| {
        let store = home.doorway.clone();
        async move {
            let store = store.node().await.unwrap().store().clone();
            store.stats().unwrap().entries
        }
    };
    let before = entries(&phone).await;
    upkeep::round(&phone.node().await).await.unwrap();
    assert_eq!(entries(&phone).await, before);

    for (nth, (from, text)) in [(&home, "one"), (&phone, "two"), (&home, "three")]
        .into_iter()
        .enumerate()
    {
        for each in [&home, &phone] {
            let nth = u64::try_from(nth).unwrap();
            each.set_clock(START + (11 + nth) * MINUTE).await;
        }
        say(from, &photo, text).await;
        exchange(&home, &phone).await;
        for each in [&home, &phone] {
            assert_eq!(caption(each, &photo).await, text);
        }
    }
    // It stays so when both start anew.
    for each in [home.again().await, phone.again().await] {
        each.set_clock(START + 20 * MINUTE).await;
        upkeep::round(&each.node().await).await.unwrap();
        assert_eq!(caption(&each, &photo).await, "three");
        assert_eq!(listed(&each, json!({})).await.len(), 2);
    }
}

#[tokio::test]
async fn what_a_clock_that_was_ahead_deleted_for_good_can_be_had_as_long_as_others_show_it() {
    const HOUR: u64 = 60 * MINUTE;
    for off in [HOUR, 48 * HOUR, 19 * YEAR] {
        let (home, phone) = two().await;
        let keeper = home.join_keeper("attic").await;
        keeper.set_clock(START).await;
        // The second of them comes to others before its clock is wrong.
        let known = phone.add("Family", "known.jpg", &noise(400_000, 1)).await;
        for each in [&home, &keeper] {
            each.take_from(&phone).await;
            each.take_blobs_from(&phone).await;
        }
        phone.set_clock(START + off).await;
        let new = phone.add("Family", "new.jpg", &noise(400_000, 2)).await;
        let ids = json!({"ids": [known.to_string(), new.to_string()]});
        for act in ["trash", "purge"] {
            phone.ask(act, ids.clone()).await.done();
        }
        let named = [blobs(&phone, &known).await, blobs(&phone, &new).await].concat();
        assert_eq!(states(&phone, &named).await, ["dropped"; 2]);
        phone.set_clock(START + MINUTE).await;
        upkeep::round(&phone.node().await).await.unwrap();
        for each in [&home, &keeper] {
            each.take_from(&phone).await;
            each.take_blobs_from(&phone).await;
            upkeep::round(&each.node().await).await.unwrap();
        }
        for each in [&home, &keeper, &phone] {
            assert_eq!(states(each, &named).await, ["here"; 2], "{off} ms ahead");
        }
        if off > HOUR {
            // What was in the trash is so again, and is not gone for good.
            home.ask("restore", ids).await.done();
            assert_eq!(listed(&home, json!({})).await.len(), 2);
            continue;
        }
        // Nothing is said twice, and in its time it counts everywhere.
        let written = || async { phone.node().await.store().stats().unwrap().entries };
        let before = written().await;
        upkeep::round(&phone.node().await).await.unwrap();
        assert_eq!(written().await, before);
        for each in [&home, &keeper, &phone] {
            each.set_clock(START + off + MINUTE).await;
            upkeep::round(&each.node().await).await.unwrap();
            assert_eq!(states(each, &named).await, ["dropped"; 2]);
        }
        assert!(listed(&home, json!({})).await.is_empty());
    }
}

#[tokio::test]
async fn what_a_clock_an_hour_ahead_deleted_for_good_comes_back_by_the_undo_it_named() {
    const HOUR: u64 = 60 * MINUTE;
    for is_at_once in [true, false] {
        let (home, phone) = two().await;
        let keeper = home.join_keeper("attic").await;
        keeper.set_clock(START).await;
        let photo = phone.add("Family", "a.jpg", &noise(400_000, 1)).await;
        for each in [&home, &keeper] {
            each.take_from(&phone).await;
            each.take_blobs_from(&phone).await;
        }
        phone.set_clock(START + HOUR).await;
        let ids = json!({"ids": [photo.to_string()]});
        phone.ask("trash", ids.clone()).await.done();
        let purged = phone.ask("purge", ids).await.done().clone();
        assert_eq!(
            purged["undo"],
            "heirloom undo phone --since 2027-01-15T09:00"
        );
        assert!(listed(&phone, json!({})).await.is_empty());
        for each in [&home, &keeper] {
            each.take_from(&phone).await;
        }
        // The others show it until they come to that time, and know whose clock it is.
        assert_eq!(listed(&home, json!({})).await.len(), 1);
        let said = clocks(&home).await;
        assert!(
            said.contains("the clock of phone is 60 minutes ahead"),
            "{said}"
        );
        // It is set right.
        phone.set_clock(START + MINUTE).await;
        let undo = json!({"device": "phone", "since": "2027-01-15T09:00"});
        if is_at_once {
            let undone = phone.ask("undo", undo.clone()).await;
            assert_eq!(undone.done()["added_again"], 1, "{undone:?}");
            assert_eq!(listed(&phone, json!({})).await.len(), 1);
        }
        for at in [HOUR + MINUTE, 2 * HOUR] {
            for each in [&home, &keeper, &phone] {
                each.set_clock(START + at).await;
                upkeep::round(&each.node().await).await.unwrap();
            }
            for each in [&home, &keeper] {
                each.take_from(&phone).await;
                each.take_blobs_from(&phone).await;
            }
        }
        if !is_at_once {
            assert!(listed(&home, json!({})).await.is_empty());
            assert_eq!(home.ask("undo", undo).await.done()["added_again"], 1);
            phone.take_from(&home).await;
            phone.take_blobs_from(&home).await;
        }
        for each in [&home, &phone] {
            let told = each.ask("list", json!({})).await;
            let assets = told.of("asset");
            assert_eq!(assets.len(), 1);
            assert_eq!(assets[0]["here"]["original"], true, "{assets:?}");
            let told = each.ask("status", json!({})).await;
            let status = told.of("status")[0];
            let wrong = ["lost", "nowhere", "damaged"].map(|field| status[field].clone());
            assert_eq!(wrong, [json!(0), json!(0), json!(0)], "{status}");
        }
    }
}

#[tokio::test]
async fn a_device_alone_sees_its_edits_whatever_its_clock_did() {
    let (home, _) = two().await;
    let photo = add(&home, "a.jpg", 1_000).await;
    for (at, text) in [
        (START + 20 * YEAR, "ahead"),
        (START, "right again"),
        (0, "never set"),
        (START + MINUTE, "set"),
    ] {
        home.set_clock(at.max(1)).await;
        say(&home, &photo, text).await;
        assert_eq!(caption(&home, &photo).await, text);
    }
}

#[tokio::test]
async fn a_peer_from_the_future_does_not_drag_a_clock_along_even_over_a_start() {
    let (home, phone) = two().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let bens = home.join(ben, "bens").await;
    home.ask(
        "share",
        json!({"album": "Family", "person": "Ben", "role": "contributor"}),
    )
    .await
    .done();
    let photo = add(&home, "a.jpg", 1_000).await;
    for each in [&phone, &bens] {
        each.take_from(&home).await;
    }
    bens.set_clock(START + 20 * YEAR).await;
    add(&bens, "b.jpg", 2_000).await;
    home.take_from(&bens).await;
    let home = home.again().await;
    for each in [&home, &phone] {
        each.set_clock(START + MINUTE).await;
    }
    say(&home, &photo, "now").await;
    phone.take_from(&home).await;
    assert_eq!(caption(&phone, &photo).await, "now");
}

/// What the doctor says of clocks.
async fn clocks(home: &Home) -> String {
    let told = home.ask("doctor", json!({})).await;
    let checks = told.of("check");
    let check = checks.iter().find(|line| line["name"] == "clock");
    check.expect("clocks are looked at").to_string()
}

/// What `status` says of clocks, if anything.
async fn wrong_clock(home: &Home) -> Option<String> {
    let told = home.ask("status", json!({})).await;
    let problems = told.of("status")[0]["problem_details"]
        .as_array()
        .expect("a list")
        .iter();
    let mut of_clock = problems.filter(|problem| problem["id"] == "clock");
    of_clock
        .next()
        .map(|problem| problem["text"].as_str().expect("a sentence").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_whose_clock_is_wrong_by_years_takes_keeps_serves_and_is_named() {
    // The first was never set; the second could be right. Each has a family of its own, and what one waits
    // for the others need not.
    futures::future::join_all([-20_i64, -1, 20].map(a_keeper_that_is_off)).await;
}

/// A keeper whose clock is off by years, from its join to the end of a photo that is deleted.
async fn a_keeper_that_is_off(off: i64) {
    const DAY: u64 = 24 * 60 * MINUTE;
    const NOW: u64 = START + DAY;
    let home = Home::anna().await;
    home.set_clock(START).await;
    let anna = home.node().await.view().await.unwrap().person.unwrap();
    let keeper = home.join_keeper("attic").await;
    let wrong = START.saturating_add_signed(off * i64::try_from(YEAR).unwrap());
    keeper.set_clock(wrong).await;
    home.add("Family", "kept.jpg", &vec![1; 400_000]).await;
    let purged = home.add("Family", "purged.jpg", &vec![2; 400_000]).await;
    keeper.take_from(&home).await;
    keeper.take_blobs_from(&home).await;
    let full = keeper.blob_bytes();
    assert!(full >= 800_000, "it took entries and blobs: {full}");

    // A new device gets everything from it alone.
    let tablet = home.join(anna, "tablet").await;
    home.set_clock(NOW).await;
    tablet.set_clock(NOW).await;
    keeper.take_from(&home).await;
    let attic = keeper.serve().await;
    tablet.stay_here();
    tablet.knows(&attic).await;
    assert_eq!(tablet.ask("sync", json!({})).await.done()["settled"], true);
    let told = tablet.ask("list", json!({})).await;
    let here = told.of("asset");
    let here = here.iter().filter(|line| line["here"]["original"] == true);
    assert_eq!(here.count(), 2, "{told:?}");
    home.stay_here();
    home.knows(&attic).await;
    assert_eq!(home.ask("sync", json!({})).await.done()["settled"], true);

    // Where it is by its own word is not believed at such a time, and the doctor says whose clock it is.
    let id = keeper.node().await.view().await.unwrap().device;
    let believed = async |device: &Home| {
        let node = device.node().await;
        let told = node.ask(move |runtime| runtime.told_addresses(&id)).await;
        !told.unwrap().unwrap().is_empty()
    };
    for device in [&tablet, &home] {
        assert!(!believed(device).await, "{off} years");
        let said = clocks(device).await;
        let word = if off > 0 { "ahead of" } else { "behind" };
        let is_named = said.contains("the clock of attic is") && said.contains(word);
        assert!(is_named, "{off} years: {said}");
    }
    attic.stop().await;
    // Set right, it is believed again, and nobody speaks of it any more.
    keeper.set_clock(NOW).await;
    let attic = keeper.serve().await;
    home.knows(&attic).await;
    assert_eq!(home.ask("sync", json!({})).await.done()["settled"], true);
    assert!(believed(&home).await, "{off} years");
    let said = clocks(&home).await;
    assert!(!said.contains("attic"), "{off} years: {said}");
    attic.stop().await;

    // A deletion counts from its own receipt, by whatever clock it has, and not before it was made.
    keeper.set_clock(wrong).await;
    for act in ["trash", "purge"] {
        let body = json!({"ids": [purged.to_string()]});
        home.ask(act, body).await.done();
    }
    keeper.take_from(&home).await;
    let made = wrong.max(NOW);
    for (at, left) in [
        (wrong, full),
        (wrong + 29 * DAY, full),
        (made + 29 * DAY, full),
        (made + 31 * DAY, full / 2),
    ] {
        keeper.live_until(at).await;
        let bytes = keeper.blob_bytes();
        assert!(
            bytes <= left && bytes > left / 4 * 3,
            "{off} years, {at}: {bytes}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_clock_is_off_is_told_so_and_once_it_is_right_nobody_names_it() {
    let (home, phone) = two().await;
    phone.set_clock(START).await;
    let photo = add(&home, "a.jpg", 1_000).await;
    let laptop = home.serve().await;
    phone.stay_here();
    phone.knows(&laptop).await;
    // They meet until both say what is awaited.
    let meet_until = async |on_laptop: &str, on_phone: &str| {
        let mut said = (String::new(), String::new());
        for _ in 0..20 {
            phone.ask("sync", json!({})).await.done();
            said = (clocks(&home).await, clocks(&phone).await);
            if said.0.contains(on_laptop) && said.1.contains(on_phone) {
                return;
            }
        }
        panic!("{said:?}");
    };
    const WELL: &str = "it agrees with the other devices";
    meet_until(WELL, WELL).await;
    // What the laptop said of itself that day the phone has heard: all but the time.
    phone.set_clock(START + 20 * YEAR).await;
    say(&phone, &photo, "from the future").await;
    meet_until(
        "the clock of phone is 20 years ahead of this one's",
        "the clock of laptop is 20 years behind this one's",
    )
    .await;
    phone.set_clock(START + MINUTE).await;
    let said = clocks(&phone).await;
    let wrote = "this device wrote things 20 years in the future";
    assert!(said.contains(wrote), "{said}");
    upkeep::round(&phone.node().await).await.unwrap();
    meet_until(WELL, WELL).await;
    assert_eq!(wrong_clock(&phone).await, None);
    phone.set_clock(START - 20 * YEAR).await;
    let said = clocks(&phone).await;
    assert!(said.contains("this computer's clock shows 2007-"), "{said}");
    // It is told without being asked as well.
    let told = wrong_clock(&phone).await.expect("a problem");
    let starts = "This computer's clock shows 2007-";
    assert!(
        told.starts_with(starts) && told.contains("Your photos are safe"),
        "{told}"
    );
    laptop.stop().await;
}
