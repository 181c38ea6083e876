//! What is restored stays, whatever was purged by a device that had not heard, or by a clock gone wrong.

use heirloom_protocol::op::Role;
use serde_json::json;

use crate::{
    deletion::{DAY, START, at, blobs, round, states},
    world::{Home, listed, noise},
};

async fn exchange(a: &Home, b: &Home) {
    a.take_from(b).await;
    b.take_from(a).await;
}

/// Anna's laptop and her phone.
async fn two() -> (Home, Home) {
    let home = Home::anna().await;
    home.set_clock(START).await;
    let anna = home.node().await.view().await.unwrap().person.unwrap();
    let phone = home.join(anna, "phone").await;
    phone.set_clock(START).await;
    (home, phone)
}

/// Nobody is told of a deletion that named what nobody deleted.
async fn tells_nothing_of_deletions(home: &Home) {
    let told = home.ask("status", json!({})).await;
    let problems = told.of("status")[0]["problems"].to_string();
    assert!(!problems.contains("deletion"), "{problems}");
}

#[tokio::test]
async fn what_one_device_restores_outlives_the_trash_of_another_that_has_not_heard() {
    // The day before the laptop empties its trash, and the day after.
    for day in [29, 31] {
        let (home, phone) = two().await;
        let keeper = home.join_keeper("attic").await;
        keeper.set_clock(START).await;
        let kept = home.add("Family", "kept.jpg", &noise(400_000, 1)).await;
        let gone = home.add("Family", "gone.jpg", &noise(300_000, 2)).await;
        for other in [&phone, &keeper] {
            other.take_from(&home).await;
            other.take_blobs_from(&home).await;
        }
        let named = [blobs(&home, &kept).await, blobs(&home, &gone).await].concat();
        let (kept, gone) = (kept.to_string(), gone.to_string());
        let both = json!({"ids": [kept, gone]});
        home.ask("trash", both).await.done();
        phone.take_from(&home).await;

        phone.set_clock(START + day * DAY).await;
        phone.ask("restore", json!({"ids": [kept]})).await.done();
        at(&home, 30).await;
        assert!(listed(&home, json!({})).await.is_empty());
        keeper.set_clock(START + 30 * DAY).await;
        keeper.take_from(&home).await;
        assert_eq!(states(&keeper, &named).await, ["dropped", "dropped"]);

        for each in [&home, &phone] {
            each.set_clock(START + 31 * DAY).await;
        }
        exchange(&home, &phone).await;
        for each in [&home, &phone] {
            assert_eq!(listed(each, json!({})).await, [kept.clone()], "day {day}");
            assert!(listed(each, json!({"trashed": true})).await.is_empty());
            assert_eq!(states(each, &named).await[0], "here", "day {day}");
        }
        // What was deleted in the same go stays deleted.
        at(&home, 32).await;
        assert_eq!(states(&home, &named).await, ["here", "dropped"]);
        at(&home, 35).await;
        exchange(&home, &phone).await;
        keeper.set_clock(START + 35 * DAY).await;
        keeper.take_from(&home).await;
        assert_eq!(states(&keeper, &named).await, ["here", "dropped"]);
        for each in [&home, &phone, &keeper] {
            at(each, 36).await;
            at(each, 70).await;
            assert_eq!(states(each, &named).await, ["here", "gone"], "day {day}");
        }
        for each in [&home, &phone] {
            assert_eq!(listed(each, json!({})).await, [kept.clone()]);
            tells_nothing_of_deletions(each).await;
        }
        // It can be deleted as before.
        home.ask("trash", json!({"ids": [kept]})).await.done();
        home.ask("purge", json!({"ids": [kept]})).await.done();
        assert_eq!(states(&home, &named).await, ["dropped", "gone"]);
    }
}

#[tokio::test]
async fn what_a_clock_that_was_ahead_took_out_of_the_trash_can_be_restored() {
    let (home, phone) = two().await;
    let photo = home.add("Family", "a.jpg", &noise(400_000, 1)).await;
    let named = blobs(&home, &photo).await;
    let ids = json!({"ids": [photo.to_string()]});
    home.ask("trash", ids.clone()).await.done();
    phone.take_from(&home).await;
    phone.take_blobs_from(&home).await;
    at(&home, 40).await;
    assert!(listed(&home, json!({"trashed": true})).await.is_empty());

    // Right again, it goes back on what it did.
    home.set_clock(START + DAY / 24).await;
    round(&home).await;
    exchange(&home, &phone).await;
    for each in [&home, &phone] {
        let trashed = listed(each, json!({"trashed": true})).await;
        assert_eq!(trashed, [photo.to_string()]);
        assert_eq!(states(each, &named).await, ["here"]);
    }
    phone.set_clock(START + DAY).await;
    phone.ask("restore", ids).await.done();
    exchange(&home, &phone).await;
    for day in [41, 45, 80] {
        for each in [&home, &phone] {
            at(each, day).await;
        }
        exchange(&home, &phone).await;
        for each in [&home, &phone] {
            let shown = listed(each, json!({})).await;
            assert_eq!(shown, [photo.to_string()], "day {day}");
            assert_eq!(states(each, &named).await, ["here"], "day {day}");
            tells_nothing_of_deletions(each).await;
        }
    }
}

#[tokio::test]
async fn who_was_let_in_again_deletes_for_good_with_effect() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let phone = home.join(ben, "phone").await;
    let share = json!({"album": "Family", "person": "Ben", "role": "contributor"});
    home.ask("share", share.clone()).await.done();
    phone.take_from(&home).await;
    let photo = phone.add("Family", "a.jpg", &noise(300_000, 1)).await;
    let ids = json!({"ids": [photo.to_string()]});
    phone.ask("trash", ids.clone()).await.done();
    home.take_from(&phone).await;
    let unshare = json!({"album": "Family", "person": "Ben"});
    home.ask("unshare", unshare).await.done();
    home.ask("share", share).await.done();
    phone.take_from(&home).await;
    phone.ask("purge", ids).await.done();
    exchange(&home, &phone).await;
    for each in [&home, &phone] {
        assert!(listed(each, json!({"trashed": true})).await.is_empty());
        assert!(listed(each, json!({})).await.is_empty());
    }
}
