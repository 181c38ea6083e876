//! Two nodes on the network of this machine: what a sync has done when it says that it is done.

use std::time::{Duration, Instant};

use heirloom_node::network::Network;
use heirloom_protocol::{id::PersonId, op::Policy, sync::LogView as _};
use serde_json::json;

use crate::world::{Home, listed, noise};

async fn person(home: &Home) -> PersonId {
    home.node().await.view().await.unwrap().person.unwrap()
}

/// How many originals are on a device, of how many it knows.
async fn originals(home: &Home) -> (usize, usize) {
    let told = home.ask("list", json!({})).await;
    let assets = told.of("asset");
    let here = assets.iter().filter(|a| a["here"]["original"] == true);
    (here.count(), assets.len())
}

/// Waits until something holds of the nodes; each change of either wakes it.
async fn until(networks: [&Network; 2], what: &str, holds: impl AsyncFn() -> bool) {
    let started = Instant::now();
    let [mut one, mut other] = networks.map(Network::stirs);
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        let _ = tokio::time::timeout(Duration::from_millis(200), async {
            tokio::select! {
                _ = one.changed() => {}
                _ = other.changed() => {}
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_ends_when_the_other_side_has_everything_too() {
    let here = Home::anna().await;
    let there = here.join(person(&here).await, "desk").await;
    let desk = there.serve().await;
    here.stay_here();
    here.knows(&desk).await;
    for seed in 0..12 {
        let bytes = noise(3_000_000, seed);
        here.add("Family", &format!("{seed}.jpg"), &bytes).await;
        let (name, bytes) = (format!("desk-{seed}.jpg"), noise(50_000, 100 + seed));
        there.add("Family", &name, &bytes).await;
    }
    let told = here.ask("sync", json!({})).await;
    let summary = told.done();
    assert_eq!(summary["settled"], true);
    assert_eq!(summary["blobs_sent"], 12);
    assert_eq!(summary["blobs_received"], 12);
    // Whatever the command left undone has no more chance now: its node is gone.
    assert_eq!(originals(&there).await, (24, 24));
    assert_eq!(originals(&here).await, (24, 24));
    let told = here.ask("sync", json!({})).await;
    assert_eq!(told.done()["blobs_sent"], 0);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_waits_for_a_peer_that_is_slow_to_take_what_it_lacks() {
    let here = Home::anna().await;
    let there = here.join(person(&here).await, "desk").await;
    let (laptop, desk) = (here.serve().await, there.serve().await);
    here.knows(&desk).await;
    for seed in 0..30 {
        let bytes = noise(3_000_000, seed);
        here.add("Family", &format!("{seed}.jpg"), &bytes).await;
    }
    let syncing = here.ask("sync", json!({}));
    tokio::pin!(syncing);
    let have_entries = async || {
        let sessions = laptop.sessions();
        !sessions.is_empty() && sessions.iter().all(|session| session.settled)
    };
    tokio::select! {
        told = &mut syncing => panic!("{told:?}"),
        () = until([&laptop, &desk], "both have all entries", have_entries) => {}
    }
    // The other side stands still while it lacks photos: nothing moves, and nothing is done.
    let (go_on, standing) = std::sync::mpsc::channel::<()>();
    let node = there.node().await;
    let stands = std::thread::spawn(move || node.ask_blocking(move |_| standing.recv()));
    let ended = tokio::time::timeout(Duration::from_secs(3), &mut syncing).await;
    assert!(ended.is_err(), "{ended:?}");
    go_on.send(()).unwrap();
    stands.join().unwrap().unwrap().unwrap();
    assert_eq!(syncing.await.done()["settled"], true);
    assert_eq!(originals(&there).await, (30, 30));
    for network in [laptop, desk] {
        network.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_does_not_come_to_its_end_says_what_is_left_and_with_whom() {
    let here = Home::anna().await;
    let there = here.join(person(&here).await, "desk").await;
    let (laptop, desk) = (here.serve().await, there.serve().await);
    here.knows(&desk).await;
    for seed in 0..30 {
        let bytes = noise(3_000_000, seed);
        there.add("Family", &format!("{seed}.jpg"), &bytes).await;
    }
    // The other side stands still as soon as its photos are known here: none of them is served.
    let (go_on, standing) = std::sync::mpsc::channel::<()>();
    let node = there.node().await;
    laptop.call_round().await.unwrap();
    let known = async || {
        let node = here.node().await;
        let at = node.ask(|runtime| runtime.lacking_at()).await;
        !at.unwrap().is_empty()
    };
    until([&laptop, &desk], "the photos are known here", known).await;
    let stands = std::thread::spawn(move || node.ask_blocking(move |_| standing.recv()));
    let told = here.ask("sync", json!({"timeout": "1s"})).await;
    let summary = told.last();
    assert_eq!(
        (&summary["settled"], told.exit()),
        (&json!(false), 75),
        "{summary}"
    );
    assert_eq!(summary["stuck"], false);
    let left = summary["left"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{summary}");
    assert_eq!(
        (&left[0]["name"], &left[0]["connected"]),
        (&json!("desk"), &json!(true))
    );
    assert!(left[0]["files_to_get"].as_u64() > Some(0), "{summary}");
    assert_eq!(left[0]["files_to_give"], 0);
    // The status says of it as well where it is.
    let status = here.ask("status", json!({})).await;
    let status = status.of("status")[0];
    let problems = status["problems"].to_string();
    assert!(problems.contains("desk has"), "{problems}");
    assert_eq!(status["waiting_at"][0]["name"], "desk", "{status}");
    go_on.send(()).unwrap();
    stands.join().unwrap().unwrap().unwrap();
    assert_eq!(here.ask("sync", json!({})).await.done()["settled"], true);
    assert_eq!(originals(&here).await, (30, 30));
    for network in [laptop, desk] {
        network.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_is_not_waited_for_to_take_originals() {
    let here = Home::anna().await;
    let there = here.join(person(&here).await, "phone").await;
    let device = there.node().await.view().await.unwrap().device;
    let policy = json!({"do": "policy", "device": "phone", "policy": "cache"});
    here.ask("device", policy).await.done();
    let phone = there.serve().await;
    here.stay_here();
    here.knows(&phone).await;
    here.add("Family", "a.jpg", &noise(300_000, 1)).await;
    let told = here.ask("sync", json!({})).await;
    assert_eq!(told.done()["settled"], true);
    assert_eq!(told.done()["blobs_sent"], 0);
    assert_eq!(originals(&there).await, (0, 1));
    let node = here.node().await;
    let is_cache = node.ask(move |runtime| {
        let policy = runtime.replica().control().policy(&device);
        matches!(policy, Policy::Cache(_))
    });
    assert!(is_cache.await.unwrap());
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_ends_where_what_is_left_cannot_be_read() {
    let here = Home::anna().await;
    let there = here.join(person(&here).await, "desk").await;
    let desk = there.serve().await;
    here.stay_here();
    here.knows(&desk).await;
    // What cannot be read here is found out while it is sent, and claimed no more: nothing is left
    // that one could give the other, and the damage is told.
    let photo = here.add("Family", "a.jpg", &noise(400_000, 1)).await;
    let blobs = here.doorway.home().join("blobs");
    let file = walk(&blobs).into_iter().find(|path| {
        let len = path.metadata().unwrap().len();
        len > 390_000 && path.file_name().unwrap().len() == 64
    });
    let file = file.expect("the blob is a file");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[200_000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let told = here.ask("sync", json!({"timeout": "6s"})).await;
    assert_eq!(told.last()["settled"], true);
    assert_eq!(told.exit(), 0);
    let status = here.ask("status", json!({})).await;
    let problems = status.of("status")[0]["problems"].to_string();
    assert!(problems.contains("damaged"), "{problems}");
    assert_eq!(listed(&there, json!({})).await, [photo.to_string()]);
    assert_eq!(originals(&there).await, (0, 1));
    desk.stop().await;
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let each = entries.map(|entry| entry.path());
    each.flat_map(|path| {
        if path.is_dir() {
            walk(&path)
        } else {
            vec![path]
        }
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_learn_from_others_where_the_rest_listens() {
    let desk_home = Home::anna().await;
    let anna = person(&desk_home).await;
    let laptop_home = desk_home.join(anna, "laptop").await;
    let attic_home = desk_home.join_keeper("attic").await;
    laptop_home.take_from(&desk_home).await;
    let (desk, attic) = (desk_home.serve().await, attic_home.serve().await);
    attic_home.knows(&desk).await;
    attic.call_round().await.unwrap();
    // The laptop knows the desk alone.
    let laptop = laptop_home.serve().await;
    laptop_home.knows(&desk).await;
    laptop.call_round().await.unwrap();
    let attic_id = attic_home.node().await.view().await.unwrap().device;
    until(
        [&desk, &laptop],
        "the laptop hears where the attic is",
        async || {
            let node = laptop_home.node().await;
            let told = node.ask(move |runtime| runtime.told_addresses(&attic_id));
            !told.await.unwrap().unwrap().is_empty()
        },
    )
    .await;
    let is_connected = async |network: &Network| {
        let all = network.connected().await;
        all.iter().any(|path| path.peer.0 == attic_id.0)
    };
    laptop.call_round().await.unwrap();
    until(
        [&attic, &laptop],
        "the laptop calls the attic",
        async || is_connected(&laptop).await,
    )
    .await;
    let told = laptop_home.ask("device", json!({"do": "list"})).await;
    let lines = told.of("device");
    let line = lines.iter().find(|line| line["name"] == "attic").unwrap();
    assert_eq!(
        (&line["connected"], &line["full"]),
        (&json!(true), &json!(false))
    );
    assert!(
        line["free"].is_u64() && line["last_seen"].is_string(),
        "{line}"
    );
    for network in [desk, attic, laptop] {
        network.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_called_is_listed_where_it_can_be_called() {
    let here = Home::anna().await;
    let there = here.join(person(&here).await, "desk").await;
    let (laptop, desk) = (here.serve().await, there.serve().await);
    here.knows(&desk).await;
    laptop.call_round().await.unwrap();
    let listed = async |home: &Home| {
        let told = home.ask("peer", json!({"do": "list"})).await;
        told.of("peer").into_iter().next().cloned()
    };
    let is_known = async || {
        listed(&there)
            .await
            .is_some_and(|line| line["reachable"] == true)
    };
    until(
        [&laptop, &desk],
        "the laptop says where it listens",
        is_known,
    )
    .await;
    let listens = async |network: &Network| {
        let all = network.addresses();
        all.iter().map(|at| at.port).collect::<Vec<_>>()
    };
    let port = |line: &serde_json::Value| {
        let address = line["addr"]
            .as_str()
            .unwrap()
            .parse::<heirloom_node::net::Address>();
        address.unwrap().port
    };
    let line = listed(&there).await.unwrap();
    assert!(listens(&laptop).await.contains(&port(&line)), "{line}");
    assert_eq!(line["called_from"], "127.0.0.1", "{line}");
    // Whoever called shows where.
    let line = listed(&here).await.unwrap();
    assert!(listens(&desk).await.contains(&port(&line)), "{line}");
    assert_eq!(line["called_from"], serde_json::Value::Null);
    for network in [laptop, desk] {
        network.stop().await;
    }
}

/// Bytes that the streams of the one connection of a node have moved.
async fn streamed(network: &Network) -> u64 {
    let connected = network.connected().await;
    connected
        .first()
        .map_or(0, |path| path.sent + path.received)
}

async fn agree(one: &Network, other: &Network) {
    let settled = |network: &Network| {
        let sessions = network.sessions();
        !sessions.is_empty() && sessions.iter().all(|session| session.settled)
    };
    let both = async || settled(one) && settled(other);
    until([one, other], "both have settled", both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_met_before_and_agree_say_less_than_a_kilobyte_however_many_albums_they_share() {
    let here = Home::anna().await;
    for n in 0..30 {
        let body = json!({"do": "create", "name": format!("Album {n}")});
        here.ask("album", body).await.done();
    }
    let there = here.join(person(&here).await, "desk").await;
    let (desk, laptop) = (there.serve().await, here.serve().await);
    here.knows(&desk).await;
    laptop.call_round().await.unwrap();
    agree(&laptop, &desk).await;
    let told = async || knows_blobs_of(&here, &there).await && knows_blobs_of(&there, &here).await;
    until([&laptop, &desk], "both know what the other holds", told).await;
    laptop.stop().await;
    desk.stop().await;

    let (desk, laptop) = (there.serve().await, here.serve().await);
    here.knows(&desk).await;
    laptop.call_round().await.unwrap();
    agree(&laptop, &desk).await;
    let bytes = streamed(&laptop).await;
    assert!(bytes < 1024, "{bytes} bytes");
    assert!(bytes > 100, "the counter counts: {bytes} bytes");
    // What either would have said besides goes over the stream before this.
    for (seed, from, to) in [(1, &here, &there), (2, &there, &here)] {
        from.add("Album 7", "new.jpg", &noise(300, seed)).await;
        let count = listed(from, json!({})).await.len();
        let came = async || listed(to, json!({})).await.len() == count;
        until([&laptop, &desk], "the new photo is listed", came).await;
    }
    let bytes = streamed(&laptop).await;
    assert!(bytes < 3 * 1024, "{bytes} bytes with two photos");
    laptop.stop().await;
    desk.stop().await;
}

/// Whether a home knows of each blob whether another one holds it.
async fn knows_blobs_of(home: &Home, other: &Home) -> bool {
    let device = async |home: &Home| home.node().await.view().await.unwrap().device;
    let (me, it) = (device(home).await, device(other).await);
    let theirs = other.node().await;
    let theirs = theirs.ask(move |runtime| runtime.have_digests(me)).await;
    let known = home.node().await;
    let known = known
        .ask(move |runtime| runtime.peer_have_digests(it))
        .await;
    known.unwrap() == theirs.unwrap()
}
