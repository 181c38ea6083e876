//! Deleting for real: what goes, when, on whose word, and what does not.

use heirloom_node::{
    runtime::{AssetKey, Verdict},
    store::{Batch, BlobState, Damage, Finding},
    upkeep,
};
use heirloom_protocol::{
    id::{BlobId, LogId, OpId},
    log::entry::EntryBytes,
    op::{Items, Op, Role},
    wire,
};
use serde_json::json;

use crate::world::{Home, listed, noise};

pub const START: u64 = 1_800_000_000_000;
pub const DAY: u64 = 24 * 3600 * 1000;

pub async fn round(home: &Home) {
    upkeep::round(&home.node().await).await.unwrap();
}

/// Lives until a day and does what time brings.
pub async fn at(home: &Home, day: u64) {
    home.live_until(START + day * DAY).await;
}

/// The blobs of an item.
pub async fn blobs(home: &Home, item: &OpId) -> Vec<(LogId, u32)> {
    let node = home.node().await;
    let album = home.album("Family").await;
    let key = AssetKey { album, item: *item };
    let asset = key.load(node.store()).unwrap();
    let parts = asset.all_parts();
    parts.map(|(_, blob)| (blob.log, blob.ordinal)).collect()
}

pub async fn states(home: &Home, blobs: &[(LogId, u32)]) -> Vec<&'static str> {
    let node = home.node().await;
    let state = |(log, ordinal): &(LogId, u32)| match node.store().blob_state(log, *ordinal) {
        Ok(BlobState::Here(_)) => "here",
        Ok(BlobState::Dropped { .. }) => "dropped",
        Ok(BlobState::Absent) => "gone",
        Err(error) => panic!("{error}"),
    };
    blobs.iter().map(state).collect()
}

/// Deletes for good as people do: first into the trash.
async fn purge(home: &Home, id: &str) {
    let body = json!({"ids": [id]});
    home.ask("trash", body.clone()).await.done();
    home.ask("purge", body).await.done();
}

/// The same of one album's item alone.
async fn purge_here(home: &Home, item: OpId) {
    let (album, node) = (home.album("Family").await, home.node().await);
    let done = node.ask(move |runtime| {
        let trash = Op::Trash(Items { items: vec![item] });
        runtime.record(album, vec![trash], Vec::new(), &[])?;
        runtime.purge(album, &[item])
    });
    done.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_not_in_the_trash_is_not_purged() {
    let home = Home::anna().await;
    let live = home.add("Family", "live.jpg", b"live").await.to_string();
    let gone = home.add("Family", "gone.jpg", b"gone").await.to_string();
    let body = json!({"ids": [gone]});
    home.ask("trash", body.clone()).await.done();
    let again = home.ask("trash", body).await;
    assert_eq!(
        (&again.done()["changed"], &again.done()["already"]),
        (&json!(0), &json!(1))
    );
    let told = home.ask("purge", json!({"ids": [live]})).await;
    assert_eq!(told.error(), ("E-NOT-ALLOWED", 1));
    assert!(
        told.last()["message"].to_string().contains("trash"),
        "{told:?}"
    );
    let told = home.ask("purge", json!({"ids": [live, gone]})).await;
    let last = told.last();
    assert_eq!(
        (told.exit(), &last["changed"], &last["failed"]),
        (3, &json!(1), &json!(1))
    );
    assert_eq!(listed(&home, json!({})).await, [live.clone()]);
    assert!(listed(&home, json!({"trashed": true})).await.is_empty());
    // Who asks for it by its id is told what became of it, and how it comes back.
    for (act, body) in [
        ("show", json!({"id": gone})),
        ("restore", json!({"ids": [&gone[..8]]})),
    ] {
        let told = home.ask(act, body).await;
        assert_eq!(told.error(), ("E-NOT-FOUND", 4));
        let last = told.last();
        assert!(
            last["message"].to_string().contains("was deleted for good"),
            "{last}"
        );
        assert!(
            last["hint"]
                .to_string()
                .contains("heirloom undo laptop --since 20"),
            "{last}"
        );
        assert_eq!(last["safe"], "Nothing was changed.");
    }

    // In the trash of one album and in sight in another: it goes from that trash alone.
    let add = json!({"do": "add", "album": "Library", "ids": [live]});
    home.ask("album", add).await.done();
    let body = json!({"ids": [live], "album": "Family"});
    home.ask("trash", body).await.done();
    let told = home.ask("purge", json!({"ids": [live]})).await;
    let undo = told.done()["undo"].as_str().unwrap();
    assert!(
        undo.starts_with("heirloom undo laptop --since 20"),
        "{undo}"
    );
    let told = home.ask("list", json!({})).await;
    assert_eq!(told.of("asset")[0]["albums"], json!(["Library"]));
}

#[tokio::test]
async fn a_purge_frees_the_disk_after_thirty_days_and_not_before() {
    let home = Home::anna().await;
    home.set_clock(START).await;
    home.add("Family", "stays.jpg", &noise(400_000, 1)).await;
    let goes = home.add("Family", "goes.jpg", &noise(500_000, 2)).await;
    let (both, named) = (home.blob_bytes(), blobs(&home, &goes).await);
    purge(&home, &goes.to_string()).await;
    assert_eq!(listed(&home, json!({})).await.len(), 1);
    assert_eq!(states(&home, &named).await, ["dropped"]);
    at(&home, 29).await;
    assert_eq!(home.blob_bytes(), both, "the bytes are there for 30 days");
    at(&home, 30).await;
    assert_eq!(states(&home, &named).await, ["gone"]);
    assert!(home.blob_bytes() < both - 500_000);
    let told = home.ask("verify", json!({"read_data": true})).await;
    assert_eq!(told.done()["damaged"], 0);
    // It is neither wanted nor missed, also after a start.
    let home = home.again().await;
    let told = home.ask("status", json!({})).await;
    assert_eq!(told.of("status")[0]["moving"]["waiting"], 0);
    assert_eq!(told.of("status")[0]["assets"], 1);
    let restore = home
        .ask("restore", json!({"ids": [goes.to_string()]}))
        .await;
    assert_eq!(restore.error(), ("E-NOT-FOUND", 4));
}

/// Says how many came back.
async fn undo(home: &Home) -> serde_json::Value {
    let body = json!({"device": "laptop", "since": "2027-01-01T00:00"});
    let told = home.ask("undo", body).await;
    told.last()["added_again"].clone()
}

#[tokio::test]
async fn what_was_deleted_is_kept_whatever_a_device_is_told_to_keep() {
    let small = json!({"do": "policy", "device": "laptop", "policy": "cache", "limit": 1});
    // Told before, or by a thief in the hour in which everything is deleted.
    for before in [true, false] {
        let home = Home::anna().await;
        home.set_clock(START).await;
        if before {
            home.ask("device", small.clone()).await.done();
        }
        let goes = home.add("Family", "goes.jpg", &noise(500_000, 2)).await;
        let again = home.add("Family", "again.jpg", &noise(400_000, 3)).await;
        let (all, named) = (home.blob_bytes(), blobs(&home, &goes).await);
        purge(&home, &again.to_string()).await;
        at(&home, 5).await;
        assert_eq!(undo(&home).await, 1);
        purge(&home, &goes.to_string()).await;
        home.ask("device", small.clone()).await.done();
        at(&home, 34).await;
        assert_eq!(states(&home, &named).await, ["dropped"]);
        assert_eq!(home.blob_bytes(), all);
        at(&home, 35).await;
        assert_eq!(states(&home, &named).await, ["gone"]);
        assert_eq!(listed(&home, json!({})).await.len(), 1);
    }
}

#[tokio::test]
async fn a_clock_that_is_ahead_for_a_while_erases_nothing() {
    let home = Home::anna().await;
    home.set_clock(START).await;
    let goes = home.add("Family", "goes.jpg", &noise(500_000, 2)).await;
    let named = blobs(&home, &goes).await;
    purge(&home, &goes.to_string()).await;
    for day in [40, 4000] {
        home.set_clock(START + day * DAY).await;
        round(&home).await;
        assert_eq!(states(&home, &named).await, ["dropped"], "{day} days ahead");
    }
    home.set_clock(START + DAY / 24).await;
    round(&home).await;
    assert_eq!(undo(&home).await, 1);
    assert_eq!(listed(&home, json!({})).await.len(), 1);
}

#[tokio::test]
async fn bytes_stay_while_another_album_refers_to_them() {
    let home = Home::anna().await;
    home.set_clock(START).await;
    let photo = home.add("Family", "a.jpg", &noise(400_000, 1)).await;
    let bytes = home.blob_bytes();
    home.ask(
        "album",
        json!({"do": "add", "album": "Library", "ids": [photo.to_string()]}),
    )
    .await
    .done();
    purge_here(&home, photo).await;
    at(&home, 40).await;
    assert_eq!(home.blob_bytes(), bytes);
    let id = listed(&home, json!({})).await[0].clone();
    let told = home.ask("show", json!({"id": id})).await;
    assert_eq!(told.of("asset")[0]["here"]["original"], true);
    purge(&home, &id).await;
    at(&home, 71).await;
    assert!(home.blob_bytes() < bytes - 400_000);
}

/// A photo in two albums, deleted for good from one of them: its blob's name, and both references, of which
/// the second has ended.
async fn ended_once(home: &Home, bytes: &[u8]) -> (BlobId, [(LogId, u32); 2]) {
    home.set_clock(START).await;
    let photo = home.add("Family", "a.jpg", bytes).await;
    let ended = blobs(home, &photo).await[0];
    let add = json!({"do": "add", "album": "Library", "ids": [photo.to_string()]});
    home.ask("album", add).await.done();
    purge_here(home, photo).await;
    let node = home.node().await;
    let album = home.album("Library").await;
    let item = OpId::from_hex(&listed(home, json!({})).await[0]).unwrap();
    let asset = AssetKey { album, item }.load(node.store()).unwrap();
    let (_, blob) = asset.all_parts().next().unwrap();
    let live = (blob.log, blob.ordinal);
    assert_eq!(states(home, &[live, ended]).await, ["here", "dropped"]);
    (blob.id, [live, ended])
}

/// Some bytes in the middle of the largest file of blobs.
fn rot(home: &Home) {
    let files = walkdir::WalkDir::new(home.doorway.home().join("blobs")).into_iter();
    let files = files.map(Result::unwrap);
    let largest = files.max_by_key(|file| file.metadata().map_or(0, |data| data.len()));
    let path = largest.unwrap().into_path();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at..at + 40].fill(0xa5);
    std::fs::write(path, bytes).unwrap();
}

fn put_aside(home: &Home) -> usize {
    let folder = std::fs::read_dir(home.doorway.home().join("blobs/quarantine"));
    folder.map_or(0, Iterator::count)
}

#[tokio::test]
async fn rotten_bytes_of_an_ended_reference_are_not_taken_for_the_blob() {
    // A file of its own, and a blob in a pack.
    for len in [400_000, 20_000] {
        let home = Home::anna().await;
        let (cid, [live, ended]) = ended_once(&home, &noise(len, 1)).await;
        rot(&home);
        let finding = Finding {
            damage: Damage::Blob { cid },
            blob: Some(live),
        };
        let node = home.node().await;
        let healed = node.ask(move |runtime| runtime.heal(&[finding]));
        assert_eq!(healed.await.unwrap().unwrap(), [false]);
        assert_eq!(put_aside(&home), 1, "{len}");
        at(&home, 40).await;
        assert_eq!(states(&home, &[live, ended]).await, ["gone", "gone"]);
        assert_eq!(put_aside(&home), 1, "{len}: it has not come again");
        let lacking = node.ask(|runtime| runtime.lacking()).await.unwrap();
        assert_eq!(lacking, 1, "{len}");
    }
}

#[tokio::test]
async fn the_last_bytes_of_a_photo_are_put_aside_where_they_are_rotten() {
    for len in [400_000, 20_000] {
        let home = Home::anna().await;
        let (_, [live, ended]) = ended_once(&home, &noise(len, 1)).await;
        let lost = vec![live];
        let batch = Batch {
            lost,
            ..Batch::default()
        };
        home.node().await.store().commit(&batch).unwrap();
        rot(&home);
        at(&home, 40).await;
        assert_eq!(states(&home, &[live, ended]).await, ["gone", "gone"]);
        assert_eq!(put_aside(&home), 1, "{len}");
    }
}

#[tokio::test]
async fn a_keeper_counts_from_its_own_receipt() {
    let home = Home::anna().await;
    let keeper = home.join_keeper("attic").await;
    for each in [&home, &keeper] {
        each.set_clock(START).await;
    }
    let photo = home.add("Family", "a.jpg", &noise(400_000, 1)).await;
    keeper.take_from(&home).await;
    keeper.take_blobs_from(&home).await;
    let named = blobs(&home, &photo).await;
    assert_eq!(states(&keeper, &named).await, ["here"]);
    purge(&home, &photo.to_string()).await;
    at(&home, 30).await;
    assert_eq!(states(&home, &named).await, ["gone"]);
    // The keeper was away, and hears of it on day 60.
    at(&keeper, 60).await;
    keeper.take_from(&home).await;
    assert_eq!(states(&keeper, &named).await, ["dropped"]);
    at(&keeper, 89).await;
    assert_eq!(states(&keeper, &named).await, ["dropped"]);
    // What it knows of that outlives a start.
    let keeper = keeper.again().await;
    at(&keeper, 89).await;
    assert_eq!(states(&keeper, &named).await, ["dropped"]);
    at(&keeper, 90).await;
    assert_eq!(states(&keeper, &named).await, ["gone"]);
    assert_eq!(keeper.blob_bytes(), 0);
}

#[tokio::test]
async fn a_keeper_that_hears_of_a_drop_before_the_blob_does_not_get_it() {
    let home = Home::anna().await;
    let anna = home.node().await.view().await.unwrap().person.unwrap();
    let phone = home.join(anna, "phone").await;
    let keeper = home.join_keeper("attic").await;
    for each in [&home, &phone, &keeper] {
        each.set_clock(START).await;
    }
    keeper.take_from(&home).await;
    let photo = home.add("Family", "a.jpg", &noise(400_000, 1)).await;
    phone.take_from(&home).await;
    purge_here(&phone, photo).await;
    let node = phone.node().await;
    // What the phone wrote comes before what the laptop wrote.
    let me = node.view().await.unwrap().device;
    let heads = node.store().logs(home.album("Family").await).into_iter();
    let own = heads.filter(|head| head.log.device == me);
    let records = own.flat_map(|head| node.store().entries(&head.log, 0, usize::MAX).unwrap());
    let entries: Vec<EntryBytes> = records
        .map(|record| wire::decode_row(&record.bytes).unwrap())
        .collect();
    assert!(!entries.is_empty());
    let attic = keeper.node().await;
    let taken = attic.ask(move |runtime| runtime.accept(me, entries)).await;
    let taken = taken.unwrap().unwrap();
    assert!(
        taken.iter().all(|verdict| *verdict == Verdict::Taken),
        "{taken:?}"
    );
    keeper.take_from(&home).await;
    let lacking = attic.ask(|runtime| runtime.lacking()).await.unwrap();
    assert_eq!(lacking, 0, "what was dropped is not to be got");
    let left = home.node().await;
    let id = attic.view().await.unwrap().device;
    home.take_from(&phone).await;
    let left = left.ask(move |runtime| runtime.left_with(id)).await;
    assert!(left.unwrap().unwrap().is_nothing());
    // The same after a start.
    drop(attic);
    let keeper = keeper.again().await;
    let node = keeper.node().await;
    assert_eq!(node.ask(|runtime| runtime.lacking()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_drop_without_a_purge_deletes_nothing() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let phone = home.join(ben, "phone").await;
    home.ask(
        "share",
        json!({"album": "Family", "person": "Ben", "role": "contributor"}),
    )
    .await
    .done();
    phone.take_from(&home).await;
    let keeper = home.join_keeper("attic").await;
    for each in [&home, &phone, &keeper] {
        each.set_clock(START).await;
    }
    let annas = home.add("Family", "anna.jpg", &noise(400_000, 1)).await;
    let bens = phone.add("Family", "ben.jpg", &noise(400_000, 2)).await;
    phone.take_from(&home).await;
    home.take_from(&phone).await;
    home.take_blobs_from(&phone).await;
    keeper.take_from(&home).await;
    keeper.take_blobs_from(&home).await;
    let named = [blobs(&home, &annas).await, blobs(&home, &bens).await].concat();
    // Ben's phone ends both references, and purges nothing.
    let (family, node) = (home.album("Family").await, phone.node().await);
    let both = named.clone();
    node.ask(move |runtime| runtime.end_references(family, both))
        .await
        .unwrap()
        .unwrap();
    home.take_from(&phone).await;
    keeper.take_from(&phone).await;
    // A keeper cannot know better, but that Anna's photo is not Ben's to drop.
    assert_eq!(states(&keeper, &named).await, ["here", "dropped"]);
    assert_eq!(states(&home, &named).await, ["here", "here"]);
    at(&home, 2).await;
    keeper.take_from(&home).await;
    let state = states(&keeper, &named).await;
    assert_eq!(
        state,
        ["here", "dropped"],
        "a late purge has three days to come"
    );
    at(&home, 3).await;
    keeper.take_from(&home).await;
    assert_eq!(states(&keeper, &named).await, ["here", "here"]);
    let told = home.ask("status", json!({})).await;
    let problems = told.of("status")[0]["problems"].to_string();
    assert!(problems.contains("nobody deleted"), "{problems}");
    at(&home, 60).await;
    at(&keeper, 60).await;
    let keeper = keeper.again().await;
    at(&keeper, 90).await;
    assert_eq!(states(&keeper, &named).await, ["here", "here"]);
    assert_eq!(states(&home, &named).await, ["here", "here"]);
    assert_eq!(listed(&home, json!({})).await.len(), 2);
    // Said again by the phone, the drop stays void for who hears of the objection first.
    let late = home.join_keeper("late").await;
    late.take_from(&home).await;
    late.take_blobs_from(&home).await;
    assert_eq!(states(&late, &named).await, ["here", "here"]);
}

#[tokio::test]
async fn who_may_only_add_takes_a_wrong_drop_back() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let phone = home.join(ben, "phone").await;
    home.ask(
        "share",
        json!({"album": "Family", "person": "Ben", "role": "contributor"}),
    )
    .await
    .done();
    phone.take_from(&home).await;
    let keeper = home.join_keeper("attic").await;
    for each in [&home, &phone, &keeper] {
        each.set_clock(START).await;
    }
    let photo = home.add("Family", "anna.jpg", &noise(400_000, 1)).await;
    for each in [&phone, &keeper] {
        each.take_from(&home).await;
        each.take_blobs_from(&home).await;
    }
    let named = blobs(&home, &photo).await;
    // Something on Anna's laptop ends the reference, and nobody deleted the photo.
    let (family, node) = (home.album("Family").await, home.node().await);
    let both = named.clone();
    node.ask(move |runtime| runtime.end_references(family, both))
        .await
        .unwrap()
        .unwrap();
    phone.take_from(&home).await;
    keeper.take_from(&home).await;
    assert_eq!(states(&keeper, &named).await, ["dropped"]);
    // The laptop is off from then on, and Ben is the only one who can object.
    at(&phone, 3).await;
    keeper.take_from(&phone).await;
    assert_eq!(states(&keeper, &named).await, ["here"]);
    at(&phone, 40).await;
    at(&keeper, 40).await;
    for each in [&phone, &keeper] {
        assert_eq!(states(each, &named).await, ["here"]);
    }
}

#[tokio::test]
async fn what_is_restored_after_its_bytes_were_erased_is_fetched_again() {
    let home = Home::anna().await;
    let anna = home.node().await.view().await.unwrap().person.unwrap();
    let phone = home.join(anna, "phone").await;
    for each in [&home, &phone] {
        each.set_clock(START).await;
    }
    let photo = home.add("Family", "a.jpg", &noise(400_000, 1)).await;
    home.ask("trash", json!({"ids": [photo.to_string()]}))
        .await
        .done();
    phone.take_from(&home).await;
    phone.take_blobs_from(&home).await;
    let named = blobs(&home, &photo).await;
    home.ask("purge", json!({"ids": [photo.to_string()]}))
        .await
        .done();
    at(&home, 30).await;
    assert_eq!(states(&home, &named).await, ["gone"]);
    // The phone was off, and has it in its trash.
    phone.set_clock(START + 45 * DAY).await;
    home.set_clock(START + 45 * DAY).await;
    phone
        .ask("restore", json!({"ids": [photo.to_string()]}))
        .await
        .done();
    phone.take_from(&home).await;
    home.take_from(&phone).await;
    assert_eq!(listed(&home, json!({})).await.len(), 1);
    home.take_blobs_from(&phone).await;
    for each in [&home, &phone] {
        assert_eq!(states(each, &named).await, ["here"]);
    }
}

#[tokio::test]
async fn a_drop_that_comes_before_its_purge_is_right_in_the_end() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    home.ask(
        "share",
        json!({"album": "Family", "person": "Ben", "role": "manager"}),
    )
    .await
    .done();
    let phone = home.join(ben, "phone").await;
    for each in [&home, &phone] {
        each.set_clock(START).await;
    }
    let photo = home.add("Family", "a.jpg", &noise(400_000, 1)).await;
    phone.take_from(&home).await;
    let named = blobs(&home, &photo).await;
    let (family, node, dropped) = (
        home.album("Family").await,
        phone.node().await,
        named.clone(),
    );
    // The phone ends the reference first and purges later.
    node.ask(move |runtime| runtime.end_references(family, dropped))
        .await
        .unwrap()
        .unwrap();
    home.take_from(&phone).await;
    at(&home, 1).await;
    assert_eq!(states(&home, &named).await, ["here"]);
    purge_here(&phone, photo).await;
    home.take_from(&phone).await;
    at(&home, 4).await;
    assert_eq!(states(&home, &named).await, ["dropped"]);
    let told = home.ask("status", json!({})).await;
    let problems = told.of("status")[0]["problems"].to_string();
    assert!(!problems.contains("taken back"), "{problems}");
    // It counts from when this device heard of the purge, which made the drop right.
    at(&home, 30).await;
    assert_eq!(states(&home, &named).await, ["dropped"]);
    at(&home, 31).await;
    assert_eq!(states(&home, &named).await, ["gone"]);
}

#[tokio::test]
async fn trash_ends_after_thirty_days_on_a_device_of_its_person() {
    let home = Home::anna().await;
    home.set_clock(START).await;
    let [first, second] = [1, 2].map(|seed| (seed, noise(400_000, seed)));
    let kept = home.add("Family", "kept.jpg", &first.1).await;
    let gone = home.add("Family", "gone.jpg", &second.1).await;
    let ids = json!({"ids": [kept.to_string(), gone.to_string()]});
    home.ask("trash", ids).await.done();
    at(&home, 29).await;
    assert_eq!(listed(&home, json!({"trashed": true})).await.len(), 2);
    home.ask("restore", json!({"ids": [kept.to_string()]}))
        .await
        .done();
    at(&home, 30).await;
    assert_eq!(listed(&home, json!({"trashed": true})).await.len(), 0);
    assert_eq!(listed(&home, json!({})).await, [kept.to_string()]);
    let named = [blobs(&home, &kept).await, blobs(&home, &gone).await].concat();
    assert_eq!(states(&home, &named).await, ["here", "dropped"]);
    // Once more into the trash counts from then.
    home.ask("trash", json!({"ids": [kept.to_string()]}))
        .await
        .done();
    at(&home, 59).await;
    assert_eq!(states(&home, &named).await, ["here", "dropped"]);
    at(&home, 60).await;
    assert_eq!(states(&home, &named).await, ["dropped", "gone"]);
}

#[tokio::test]
async fn a_trash_that_is_dated_back_purges_nothing_before_its_time() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    home.ask(
        "share",
        json!({"album": "Family", "person": "Ben", "role": "contributor"}),
    )
    .await
    .done();
    let [phone, tablet] = [
        home.join(ben, "phone").await,
        home.join(ben, "tablet").await,
    ];
    // The phone's clock is a hundred days behind that of all others.
    phone.set_clock(START - 100 * DAY).await;
    tablet.set_clock(START).await;
    let photo = phone.add("Family", "a.jpg", &noise(400_000, 1)).await;
    let family = home.album("Family").await;
    let items = vec![photo];
    let trash = vec![Op::Trash(Items { items })];
    let node = phone.node().await;
    node.ask(move |runtime| runtime.record(family, trash, Vec::new(), &[]))
        .await
        .unwrap()
        .unwrap();
    tablet.take_from(&phone).await;
    for day in [0, 29] {
        at(&tablet, day).await;
        let trashed = listed(&tablet, json!({"trashed": true})).await;
        assert_eq!(trashed, [photo.to_string()], "day {day}");
    }
    at(&tablet, 30).await;
    assert!(listed(&tablet, json!({"trashed": true})).await.is_empty());
    // Others hear of it.
    home.set_clock(START + 30 * DAY).await;
    home.take_from(&tablet).await;
    assert!(listed(&home, json!({"trashed": true})).await.is_empty());
}

#[tokio::test]
async fn a_manager_purges_what_nobody_else_is_left_to_purge() {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let phone = home.join(ben, "phone").await;
    home.ask(
        "share",
        json!({"album": "Family", "person": "Ben", "role": "contributor"}),
    )
    .await
    .done();
    phone.take_from(&home).await;
    for each in [&home, &phone] {
        each.set_clock(START).await;
    }
    let photo = phone.add("Family", "a.jpg", &noise(300_000, 1)).await;
    phone
        .ask("trash", json!({"ids": [photo.to_string()]}))
        .await
        .done();
    home.take_from(&phone).await;
    home.take_blobs_from(&phone).await;
    at(&home, 31).await;
    let trashed = listed(&home, json!({"trashed": true})).await;
    assert_eq!(trashed.len(), 1, "Ben's own device comes first");
    at(&home, 37).await;
    assert!(listed(&home, json!({"trashed": true})).await.is_empty());
    let named = blobs(&home, &photo).await;
    assert_eq!(states(&home, &named).await, ["dropped"]);
}

#[tokio::test]
async fn blobs_are_found_again_when_the_index_is_lost() {
    let home = Home::anna().await;
    home.add("Family", "large.jpg", &noise(400_000, 1)).await;
    home.add("Family", "small.jpg", &noise(4_000, 2)).await;
    let index = home.doorway.home().join("heirloom.redb");
    let dir = home.close().await;
    std::fs::remove_file(index).unwrap();
    let home = Home::open(dir).await;
    let told = home.ask("list", json!({})).await;
    let assets = told.of("asset");
    assert_eq!(assets.len(), 2);
    for asset in assets {
        assert_eq!(asset["here"]["original"], true, "{asset}");
    }
    let told = home.ask("status", json!({})).await;
    assert_eq!(told.of("status")[0]["moving"]["waiting"], 0);
    // A sweep takes none of them either.
    let (node, now) = (home.node().await, home.node().await.clock().now().0);
    let before = home.blob_bytes();
    home.set_clock(now + 2 * DAY).await;
    upkeep::sweep(&node).await.unwrap();
    assert_eq!(home.blob_bytes(), before);
}

#[tokio::test]
async fn a_file_that_nothing_names_is_swept_after_a_day() {
    let home = Home::anna().await;
    home.add("Family", "a.jpg", &noise(400_000, 1)).await;
    let node = home.node().await;
    let before = home.blob_bytes();
    let stray = node.store().blobs().put(&noise(300_000, 2)).unwrap();
    node.store().blobs().sync().unwrap();
    let now = node.clock().now().0;
    assert_eq!(upkeep::sweep(&node).await.unwrap().blobs, 0);
    home.set_clock(now + DAY / 2).await;
    assert_eq!(upkeep::sweep(&node).await.unwrap().blobs, 0);
    assert_eq!(home.blob_bytes(), before + stray.place.len());
    home.set_clock(now + 2 * DAY).await;
    assert_eq!(upkeep::sweep(&node).await.unwrap().blobs, 1);
    assert_eq!(home.blob_bytes(), before);
    let told = home.ask("verify", json!({"read_data": true})).await;
    assert_eq!(told.done()["damaged"], 0);
}
