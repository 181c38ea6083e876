//! Everything is read again in time; what is damaged is put aside, wanted, and whole again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use heirloom_node::{scrub, store::Finding};
use serde_json::{Value, json};

use crate::world::Home;

const DAY: u64 = 24 * 3600 * 1000;
const START: u64 = 1_700_000_000_000;

fn below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .map(Result::unwrap)
        .flat_map(|entry| match entry.file_type().unwrap().is_dir() {
            true => below(&entry.path()),
            false => vec![entry.path()],
        })
        .collect()
}

fn largest(home: &Home, folder: &str) -> PathBuf {
    let mut files = below(&home.doorway.home().join(folder));
    files.sort_by_key(|path| fs::metadata(path).unwrap().len());
    files.pop().unwrap()
}

/// Some bytes in the middle that no checksum can bring back.
fn damage(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at..at + 40].fill(0xa5);
    fs::write(path, bytes).unwrap();
}

async fn status(home: &Home) -> Value {
    home.ask("status", json!({})).await.of("status")[0].clone()
}

async fn step(home: &Home, day: u64) -> Value {
    home.set_clock(START + day * DAY).await;
    scrub::step(&home.node().await).await.unwrap();
    status(home).await
}

async fn filled() -> Home {
    let home = Home::anna().await;
    for number in 0..6_u8 {
        let bytes: Vec<u8> = (0..30_000).map(|at| (at % 251) as u8 ^ number).collect();
        home.add("Family", &format!("{number}.jpg"), &bytes).await;
    }
    home.add("Family", "large.jpg", &[7; 400_000]).await;
    home
}

#[tokio::test]
async fn everything_is_read_again_within_thirty_days() {
    let mut home = filled().await;
    let first = step(&home, 0).await;
    assert_eq!(first["scrubbed"]["last"], Value::Null);
    assert_eq!(first["scrubbed"]["done"], 0);
    let total = first["scrubbed"]["total"].as_u64().unwrap();
    assert!(total > 500_000, "{total}");
    let mut before = 0;
    let mut ended = Vec::new();
    for day in 1..=60 {
        if day % 7 == 0 {
            // It goes on where it was.
            home = home.again().await;
        }
        let seen = step(&home, day).await;
        let done = seen["scrubbed"]["done"].as_u64().unwrap();
        let last = &seen["scrubbed"]["last"];
        if ended.last() == Some(last) || last.is_null() {
            assert!(done >= before, "day {day}");
            // The pace, and no more than the blob that was begun beyond it.
            let since = day - ended.len() as u64 * 25;
            assert!(done <= total * since / 25 + 450_000, "day {day}: {done}");
        } else {
            ended.push(last.clone());
        }
        before = done;
    }
    assert_eq!(ended.len(), 2, "{ended:?}");
}

#[tokio::test]
async fn what_it_finds_damaged_is_put_aside_and_comes_again() {
    let home = filled().await;
    let person = home.node().await.view().await.unwrap().person.unwrap();
    let other = home.join(person, "pi").await;
    other.take_blobs_from(&home).await;
    let large = largest(&home, "blobs");
    damage(&large, 200_000);
    let bad = fs::read(&large).unwrap();
    step(&home, 0).await;
    let seen = step(&home, 26).await;
    assert!(!seen["scrubbed"]["last"].is_null());
    let problems = seen["problems"].to_string();
    assert!(problems.contains("1 file was found damaged"), "{problems}");
    let kept = below(&home.doorway.home().join("blobs/quarantine"));
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read(&kept[0]).unwrap(), bad);
    assert!(!large.exists());
    let node = home.node().await;
    assert_eq!(node.ask(|runtime| runtime.lacking()).await.unwrap(), 1);
    // A restart does not forget it.
    drop(node);
    let home = home.again().await;
    assert!(
        status(&home).await["problems"]
            .to_string()
            .contains("found damaged")
    );
    home.take_blobs_from(&other).await;
    assert_eq!(
        below(&home.doorway.home().join("blobs/quarantine")),
        [] as [PathBuf; 0]
    );
    let problems = status(&home).await["problems"].to_string();
    assert!(!problems.contains("found damaged"), "{problems}");
    let verified = home.ask("verify", json!({"read_data": true})).await;
    assert_eq!(verified.done()["damaged"], 0);
}

#[tokio::test]
async fn a_damaged_entry_is_asked_for_again_and_written_over() {
    let home = filled().await;
    let person = home.node().await.view().await.unwrap().person.unwrap();
    let other = home.join(person, "pi").await;
    let album = home.album("Family").await;
    let store = home.node().await.store().clone();
    let log = store.logs(album)[0].log;
    // An entry with a photo: one that says who may read keeps the home from being opened.
    let seqs = 0..=store.head(&log).unwrap().seq;
    let mut entries = seqs.map(|seq| store.entry(&log, seq).unwrap().unwrap());
    let wanted = entries.rfind(|entry| entry.blobs > 0).unwrap();
    let file = largest(&home, &format!("logs/{album}"));
    let raw = fs::read(&file).unwrap();
    let mut places = raw.windows(wanted.bytes.len());
    let at = places.position(|window| window == wanted.bytes).unwrap();
    damage(&file, at + 50);
    drop(store);
    let told = home.ask("verify", json!({})).await;
    assert_eq!(told.exit(), 9);
    assert!(told.of("damage").iter().all(|line| line["what"] == "entry"));
    let node = home.node().await;
    let store = node.store().clone();
    let found = store
        .verify(
            heirloom_node::store::Depth::Structure,
            |_, _| None,
            |_| std::ops::ControlFlow::Continue(()),
        )
        .unwrap()
        .findings;
    let findings: Vec<Finding> = found.clone();
    let healed = node
        .ask(move |runtime| runtime.heal(&findings))
        .await
        .unwrap()
        .unwrap();
    assert!(healed.iter().any(|healed| !healed));
    assert_eq!(node.ask(|runtime| runtime.broken()).await.unwrap(), 1);
    drop((node, store));
    let home = home.again().await;
    let node = home.node().await;
    assert_eq!(node.ask(|runtime| runtime.broken()).await.unwrap(), 1);
    // Peers are told less than is here, so that they send it again.
    home.take_from(&other).await;
    assert_eq!(node.ask(|runtime| runtime.broken()).await.unwrap(), 0);
    home.ask("verify", json!({"read_data": true})).await.done();
}

#[tokio::test]
async fn where_no_other_device_is_nothing_is_said_to_come_again() {
    let home = filled().await;
    damage(&largest(&home, "blobs"), 200_000);
    step(&home, 0).await;
    let seen = step(&home, 26).await;
    let ids: Vec<_> = seen["problem_details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["id"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&"lost"), "{ids:?}");
    assert!(!ids.contains(&"damaged"), "{ids:?}");
    assert!(!ids.contains(&"waiting"), "{ids:?}");
}
