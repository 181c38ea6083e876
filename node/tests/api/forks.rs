//! A home that was copied and used on both sides: nothing is lost, and everybody ends with the same.

use std::path::Path;

use heirloom_protocol::op::Role;
use serde_json::json;
use tempfile::TempDir;

use super::world::Home;

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy_folder(&item.path(), &target);
        } else {
            std::fs::copy(item.path(), target).unwrap();
        }
    }
}

/// Closes a home and opens it and a copy of it.
pub async fn copy(home: Home) -> (Home, Home) {
    let dir = home.close().await;
    let other = TempDir::new().unwrap();
    copy_folder(&dir.path().join("home"), &other.path().join("home"));
    (Home::open(dir).await, Home::open(other).await)
}

async fn names(home: &Home) -> Vec<String> {
    let told = home.ask("list", json!({})).await;
    let mut names: Vec<_> = told
        .of("asset")
        .iter()
        .map(|asset| asset["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Anna's laptop, a copy of it, and her second device, which has met both.
async fn forked() -> [Home; 3] {
    let laptop = Home::anna().await;
    let me = laptop.node().await.view().await.unwrap().person.unwrap();
    let pi = laptop.join(me, "pi").await;
    laptop.add("Library", "before.jpg", b"before").await;
    let (laptop, clone) = copy(laptop).await;
    laptop.add("Library", "here.jpg", b"here").await;
    clone.add("Library", "there.jpg", b"there").await;
    for home in [&laptop, &clone] {
        pi.take_from(home).await;
        pi.take_blobs_from(home).await;
    }
    [laptop, clone, pi]
}

async fn anchor(home: &Home) {
    let node = home.node().await;
    node.ask(|runtime| runtime.anchor()).await.unwrap().unwrap();
}

#[tokio::test]
async fn both_sides_of_a_copied_home_are_kept_and_shown_everywhere_once_anchored() {
    let [laptop, clone, pi] = forked().await;
    assert_eq!(names(&pi).await, ["before.jpg"]);
    anchor(&pi).await;
    let all = ["before.jpg", "here.jpg", "there.jpg"];
    assert_eq!(names(&pi).await, all);
    for home in [&laptop, &clone] {
        home.take_from(&pi).await;
        home.take_blobs_from(&pi).await;
        assert_eq!(names(home).await, all);
        home.ask("verify", json!({"read_data": true})).await.done();
    }
    let pi = pi.again().await;
    assert_eq!(names(&pi).await, all);
    pi.ask("verify", json!({"read_data": true})).await.done();
}

#[tokio::test]
async fn what_a_copied_home_wrote_itself_stays_in_sight_there_until_somebody_vouches() {
    let [laptop, clone, pi] = forked().await;
    // It hears of the fork, and meets nobody after that.
    laptop.take_from(&pi).await;
    clone.take_from(&pi).await;
    assert_eq!(names(&laptop).await, ["before.jpg", "here.jpg"]);
    assert_eq!(names(&clone).await, ["before.jpg", "there.jpg"]);
    let laptop = laptop.again().await;
    assert_eq!(names(&laptop).await, ["before.jpg", "here.jpg"]);
    let dir = laptop.close().await;
    std::fs::remove_file(dir.path().join("home/heirloom.redb")).unwrap();
    let laptop = Home::open(dir).await;
    assert_eq!(names(&laptop).await, ["before.jpg", "here.jpg"]);
    let told = laptop.ask("status", json!({})).await;
    assert_eq!(told.of("status")[0]["assets"], 2);
}

#[tokio::test]
async fn a_copied_home_goes_on_in_a_new_incarnation_and_forks_no_more() {
    let [laptop, _clone, pi] = forked().await;
    let of = |home: &Home| {
        let node = home.doorway.clone();
        async move {
            let node = node.node().await.unwrap();
            node.ask(|runtime| runtime.replica().incarnation())
                .await
                .unwrap()
        }
    };
    let before = of(&laptop).await;
    laptop.take_from(&pi).await;
    let after = of(&laptop).await;
    assert_ne!(before, after);
    laptop.add("Library", "later.jpg", b"later").await;
    let laptop = laptop.again().await;
    assert_eq!(of(&laptop).await, after);
    laptop.add("Library", "last.jpg", b"last").await;
    pi.take_from(&laptop).await;
    let seen = names(&pi).await;
    assert!(seen.contains(&"later.jpg".to_owned()) && seen.contains(&"last.jpg".to_owned()));
}

#[tokio::test]
async fn a_forked_log_comes_back_from_its_files_when_the_index_is_lost() {
    let [_laptop, _clone, pi] = forked().await;
    anchor(&pi).await;
    let before = names(&pi).await;
    let dir = pi.close().await;
    std::fs::remove_file(dir.path().join("home/heirloom.redb")).unwrap();
    let pi = Home::open(dir).await;
    assert_eq!(names(&pi).await, before);
    pi.ask("verify", json!({"read_data": true})).await.done();
}

#[tokio::test]
async fn two_that_met_different_sides_agree_after_a_sync() {
    let laptop = Home::anna().await;
    let me = laptop.node().await.view().await.unwrap().person.unwrap();
    let pi = laptop.join(me, "pi").await;
    let ben = laptop.add_person("Ben", Role::Member).await;
    let bens = laptop.join(ben, "bens").await;
    laptop.add("Family", "before.jpg", b"before").await;
    let album = laptop.album("Family").await;
    let node = laptop.node().await;
    node.ask(move |runtime| {
        runtime.set_access(album, ben, heirloom_protocol::op::Level::Contributor)
    })
    .await
    .unwrap()
    .unwrap();
    drop(node);
    let (laptop, clone) = copy(laptop).await;
    laptop.add("Family", "here.jpg", b"here").await;
    clone.add("Family", "there.jpg", b"there").await;
    pi.take_from(&laptop).await;
    pi.take_blobs_from(&laptop).await;
    bens.take_from(&clone).await;
    bens.take_blobs_from(&clone).await;
    let network = pi.serve().await;
    bens.stay_here();
    bens.knows(&network).await;
    let summary = bens.ask("sync", json!({"timeout": "30s"})).await;
    assert_eq!(summary.done()["settled"], true, "{summary:?}");
    anchor(&bens).await;
    bens.ask("sync", json!({"timeout": "30s"})).await.done();
    let all = ["before.jpg", "here.jpg", "there.jpg"];
    assert_eq!(names(&bens).await, all);
    assert_eq!(names(&pi).await, all);
    for home in [&pi, &bens] {
        home.ask("verify", json!({"read_data": true})).await.done();
    }
}
