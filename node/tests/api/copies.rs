//! What `list` and `status` say of copies, held against what really lies on the devices.

use heirloom_protocol::id::DeviceId;
use serde_json::{Value, json};

use crate::world::Home;

const DAY: u64 = 24 * 3600 * 1000;

async fn status(home: &Home) -> Value {
    let told = home.ask("status", json!({})).await;
    told.of("status")[0].clone()
}

/// Of every asset, by name: what the list says of copies.
async fn said(home: &Home) -> Vec<(String, u64)> {
    let told = home.ask("list", json!({})).await;
    let lines = told.of("asset").into_iter();
    let mut said: Vec<_> = lines
        .map(|line| {
            let name = line["name"].as_str().unwrap().to_owned();
            (name, line["copies"].as_u64().unwrap())
        })
        .collect();
    said.sort();
    said
}

/// Blobs that lie on a device, over all logs.
async fn held(home: &Home) -> u64 {
    let node = home.node().await;
    let spaces = node.store().spaces().into_iter();
    let logs = spaces.flat_map(|space| node.store().logs(space));
    logs.map(|head| node.store().here(&head.log).unwrap().len())
        .sum()
}

async fn device(home: &Home) -> DeviceId {
    home.node().await.view().await.unwrap().device
}

fn counts(status: &Value) -> [u64; 4] {
    ["assets", "safe", "unsafe", "only_here"].map(|field| status[field].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_copies_follow_what_devices_hold() {
    let here = Home::anna().await;
    let anna = here.node().await.view().await.unwrap().person.unwrap();
    let attic = here.join_keeper("attic").await;
    let phone = here.join(anna, "phone").await;
    here.ask(
        "device",
        json!({"do": "policy", "device": "phone", "policy": "cache"}),
    )
    .await
    .done();
    for (name, bytes) in [("a.jpg", 400_000), ("b.jpg", 4_000)] {
        here.add("Family", name, &vec![name.as_bytes()[0]; bytes])
            .await;
    }
    let now = here.node().await.clock().now().0;
    assert_eq!(counts(&status(&here).await), [2, 0, 2, 2]);
    assert_eq!(
        said(&here).await,
        [("a.jpg".into(), 1), ("b.jpg".into(), 1)]
    );

    // A keeper that holds all of it makes it safe.
    let keeper = attic.serve().await;
    here.stay_here();
    here.knows(&keeper).await;
    here.ask("sync", json!({})).await.done();
    assert_eq!(held(&attic).await, 2);
    assert_eq!(
        said(&here).await,
        [("a.jpg".into(), 2), ("b.jpg".into(), 2)]
    );
    assert_eq!(counts(&status(&here).await), [2, 2, 0, 0]);
    assert_eq!(here.ask("status", json!({"check": true})).await.exit(), 0);

    // A cache holds no originals, and is not relied upon.
    let cache = phone.serve().await;
    here.knows(&cache).await;
    here.ask("sync", json!({})).await.done();
    assert_eq!(held(&phone).await, 0);
    assert_eq!(
        said(&here).await,
        [("a.jpg".into(), 2), ("b.jpg".into(), 2)]
    );

    // The keeper loses one, and says so.
    let b = {
        let node = attic.node().await;
        let spaces = node.store().spaces().into_iter();
        let mut heads = spaces.flat_map(|space| node.store().logs(space));
        let log = heads.find(|head| head.blobs == 2).unwrap().log;
        (log, 1)
    };
    let node = attic.node().await;
    let store = node.store().clone();
    keeper.stop().await;
    attic.doorway.run_on(None).await;
    store
        .commit(&heirloom_node::store::Batch {
            lost: vec![b],
            ..Default::default()
        })
        .unwrap();
    drop((node, store, keeper));
    let before = here.again().await;
    assert_eq!(
        said(&before).await,
        [("a.jpg".into(), 2), ("b.jpg".into(), 2)]
    );
    // It gets it back at the next sync, and both hold everything again.
    let attic = attic.again().await;
    let keeper = attic.serve().await;
    before.knows(&keeper).await;
    before.ask("sync", json!({})).await.done();
    assert_eq!(held(&attic).await, 2);
    assert_eq!(counts(&status(&before).await), [2, 2, 0, 0]);
    keeper.stop().await;

    // Nobody relies on a keeper that proved nothing for two weeks, or that is no longer of the family.
    before.set_clock(now + 13 * DAY).await;
    assert_eq!(counts(&status(&before).await), [2, 2, 0, 0]);
    before.set_clock(now + 16 * DAY).await;
    assert_eq!(counts(&status(&before).await), [2, 0, 2, 2]);
    assert_eq!(
        said(&before).await,
        [("a.jpg".into(), 1), ("b.jpg".into(), 1)]
    );
    before.set_clock(now).await;
    let id = device(&attic).await.to_string();
    before
        .ask("device", json!({"do": "remove", "device": id}))
        .await
        .done();
    assert_eq!(
        said(&before).await,
        [("a.jpg".into(), 1), ("b.jpg".into(), 1)]
    );
    assert_eq!(counts(&status(&before).await), [2, 0, 2, 2]);
    cache.stop().await;
}

/// Of every device, by name: how many photos `keep show` says that it holds, and of how many.
async fn loads(home: &Home) -> Vec<(String, u64, u64)> {
    let told = home.ask("keep", json!({"do": "show"})).await;
    let lines = told.of("holder").into_iter();
    let mut loads: Vec<_> = lines
        .map(|line| {
            let count = |field: &str| line[field].as_u64().unwrap();
            let name = line["name"].as_str().unwrap().to_owned();
            (name, count("holds"), count("of"))
        })
        .collect();
    loads.sort();
    loads
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_box_does_not_hold_yet_shows_before_it_is_carried_away() {
    let load = |name: &str, holds, of| (name.to_owned(), holds, of);
    let here = Home::anna().await;
    let anna = here.node().await.view().await.unwrap().person.unwrap();
    let attic = here.join_keeper("attic").await;
    let desktop = here.join(anna, "desktop").await;
    for (name, byte) in [("a.jpg", 1), ("b.jpg", 2)] {
        here.add("Family", name, &[byte; 4_000]).await;
    }
    let served = [attic.serve().await, desktop.serve().await];
    here.stay_here();
    for network in &served {
        here.knows(network).await;
    }
    here.ask("sync", json!({})).await.done();
    let this = here.node().await.view().await.unwrap();
    let this = this.device_name(&this.device);
    let all = [
        load("attic", 2, 2),
        load("desktop", 2, 2),
        load(&this, 2, 2),
    ];
    assert_eq!(loads(&here).await, all);
    // With the box switched off, two copies at home are as many as are wanted, and it lacks the new one.
    let [keeper, second] = served;
    keeper.stop().await;
    here.add("Family", "c.jpg", &[3; 4_000]).await;
    here.ask("sync", json!({})).await;
    let shown = here.ask("keep", json!({})).await;
    let mut albums = shown.of("keep").into_iter();
    let album = albums.find(|line| line["album"] == "Family");
    assert_eq!(album.unwrap()["safe"], 3);
    let short = [
        load("attic", 2, 3),
        load("desktop", 3, 3),
        load(&this, 3, 3),
    ];
    assert_eq!(loads(&here).await, short);
    second.stop().await;
}
