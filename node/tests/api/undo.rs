//! Deletions that nobody meant: noticed, taken back, and not brought back by the next import.

use heirloom_node::upkeep;
use heirloom_protocol::{id::OpId, op::Role};
use serde_json::{Value, json};

use crate::{
    numbers::report,
    world::{Home, listed},
};

const START: u64 = 1_800_000_000_000;
const DAY: u64 = 24 * 3600 * 1000;

fn noise(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; 3000];
    blake3::Hasher::new()
        .update(&seed.to_be_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// Anna's laptop, and a phone of Ben, who may add to the family's album.
async fn two(bens_role: &str) -> (Home, Home) {
    let home = Home::anna().await;
    let ben = home.add_person("Ben", Role::Member).await;
    let phone = home.join(ben, "bens phone").await;
    home.ask(
        "share",
        json!({"album": "Family", "person": "Ben", "role": bens_role}),
    )
    .await
    .done();
    phone.take_from(&home).await;
    for each in [&home, &phone] {
        each.set_clock(START).await;
    }
    (home, phone)
}

async fn add(home: &Home, count: u64) -> Vec<OpId> {
    let mut ids = Vec::new();
    for nth in 0..count {
        let name = format!("{nth}.jpg");
        ids.push(home.add("Family", &name, &noise(nth)).await);
    }
    ids
}

fn texts(ids: &[OpId]) -> Value {
    json!({"ids": ids.iter().map(ToString::to_string).collect::<Vec<_>>()})
}

async fn notices(home: &Home) -> Vec<String> {
    let told = home.ask("status", json!({})).await;
    let problems = told.of("status")[0]["problems"].as_array().unwrap().clone();
    let texts = problems.iter().filter_map(Value::as_str);
    let bursts = texts.filter(|text| text.contains("heirloom undo"));
    bursts.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_burst_of_deletions_is_told_and_one_command_takes_it_back() {
    let (home, phone) = two("manager").await;
    let ids = add(&home, 12).await;
    home.ask(
        "caption",
        json!({"id": ids[1].to_string(), "text": "the lake"}),
    )
    .await
    .done();
    phone.take_from(&home).await;
    phone.take_blobs_from(&home).await;
    phone.ask("trash", texts(&ids[..1])).await.done();
    phone.ask("trash", texts(&ids[1..3])).await.done();
    phone.ask("purge", texts(&ids[1..3])).await.done();
    let stays = phone.add("Family", "later.jpg", &noise(99)).await;
    home.take_from(&phone).await;
    home.take_blobs_from(&phone).await;
    let told = notices(&home).await;
    assert_eq!(told.len(), 1, "{told:?}");
    // The same for who speaks no English: an id, with values that `undo` takes.
    let asked = home.ask("status", json!({})).await;
    let status = &asked.of("status")[0];
    let details = status["problem_details"].as_array().unwrap();
    let texts: Vec<_> = details.iter().map(|one| &one["text"]).collect();
    assert_eq!(json!(texts), status["problems"]);
    let burst = details.iter().find(|one| one["id"] == "deleted").unwrap();
    let values = &burst["values"];
    assert_eq!(
        (&values["name"], &values["n"]),
        (&json!("bens phone"), &json!(3))
    );
    let rehearsed = json!({
        "device": values["device"], "since": values["since"], "album": values["album_id"], "dry_run": true,
    });
    let rehearsed = home.ask("undo", rehearsed).await;
    let rehearsed = rehearsed.done();
    let counts = (&rehearsed["restored"], &rehearsed["added_again"]);
    assert_eq!(counts, (&json!(1), &json!(2)));
    assert!(
        told[0].starts_with("bens phone (Ben) deleted 3 photos of Family"),
        "{told:?}"
    );
    assert!(
        told[0].ends_with("heirloom undo 'bens phone' --since 2027-01-15T08:00"),
        "{told:?}"
    );
    assert_eq!(listed(&home, json!({})).await.len(), 10);

    let asked = json!({"device": "bens phone", "since": "2027-01-15T08:00"});
    let mut dry = asked.clone();
    dry["dry_run"] = true.into();
    let told = home.ask("undo", dry).await;
    assert_eq!(
        (&told.done()["restored"], &told.done()["added_again"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        listed(&home, json!({})).await.len(),
        10,
        "a dry run changes nothing"
    );
    // Bytes that were given up are there for 30 days.
    home.set_clock(START + 20 * DAY).await;
    let told = home.ask("undo", asked.clone()).await;
    assert_eq!(
        (&told.done()["restored"], &told.done()["added_again"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(notices(&home).await, [""; 0]);
    let back = listed(&home, json!({})).await;
    assert_eq!(back.len(), 13);
    assert!(
        back.contains(&stays.to_string()),
        "what the phone added stays"
    );
    let lake = home.ask("find", json!({"words": ["lake"]})).await;
    assert_eq!(lake.of("asset").len(), 1);
    // Once more does nothing, and what is back has its bytes for good.
    let told = home.ask("undo", asked).await;
    assert_eq!(
        (&told.done()["restored"], &told.done()["added_again"]),
        (&json!(0), &json!(0))
    );
    home.live_until(START + 90 * DAY).await;
    let told = home.ask("verify", json!({"read_data": true})).await;
    assert_eq!(told.done()["damaged"], 0);
    for asset in home.ask("list", json!({})).await.of("asset") {
        assert_eq!(asset["here"]["original"], true, "{asset}");
    }
    phone.set_clock(START + 90 * DAY).await;
    phone.take_from(&home).await;
    assert_eq!(listed(&phone, json!({})).await.len(), 13);
}

/// How many photos a member deletes who means harm.
const MANY: u64 = 120;

#[tokio::test]
async fn all_that_a_hostile_member_deletes_comes_back() {
    let (home, phone) = two("contributor").await;
    let ids = add(&home, MANY).await;
    // A contributor may delete its own alone.
    phone.take_from(&home).await;
    phone.take_blobs_from(&home).await;
    for some in ids.chunks(40) {
        phone.ask("trash", texts(some)).await;
        phone.ask("purge", texts(some)).await;
    }
    home.take_from(&phone).await;
    assert_eq!(listed(&home, json!({})).await.len(), ids.len());
    // A manager may delete everybody's, for good as well.
    home.ask(
        "share",
        json!({"album": "Family", "person": "Ben", "role": "manager"}),
    )
    .await
    .done();
    phone.take_from(&home).await;
    for some in ids.chunks(40) {
        phone.ask("trash", texts(some)).await.done();
    }
    for some in ids[..60].chunks(40) {
        phone.ask("purge", texts(some)).await.done();
    }
    home.take_from(&phone).await;
    assert_eq!(listed(&home, json!({})).await.len(), 0);
    let told = notices(&home).await;
    assert_eq!(told.len(), 1, "{told:?}");
    let told = told[0].clone();
    assert!(told.contains(&format!("deleted {MANY} photos")), "{told}");

    let asked = json!({"device": "bens phone", "since": "2027-01-15T08:00"});
    let undone = home.ask("undo", asked).await;
    let counts = ["restored", "added_again"].map(|field| undone.done()[field].clone());
    assert_eq!(counts, [json!(60), json!(60)]);
    assert_eq!(listed(&home, json!({})).await.len(), ids.len());
    // Their bytes are there for good.
    home.live_until(START + 90 * DAY).await;
    let told = home.ask("verify", json!({"read_data": true})).await;
    assert_eq!(told.done()["damaged"], 0);
    let kept = home.ask("list", json!({})).await;
    let kept = kept.of("asset");
    let whole = kept
        .iter()
        .filter(|asset| asset["here"]["original"] == true);
    let whole = whole.count();
    assert_eq!(u64::try_from(whole).unwrap(), MANY);
    report(&format!(
        "a contributor deleted 0 and a manager {MANY} photos of others; {whole} are back"
    ));
}

#[tokio::test]
async fn undo_takes_back_what_lies_within_its_time_and_is_this_persons_to_decide() {
    let (home, phone) = two("contributor").await;
    let ids = add(&phone, 8).await;
    phone.ask("trash", texts(&ids[..2])).await.done();
    for each in [&home, &phone] {
        each.set_clock(START + DAY).await;
    }
    phone.ask("trash", texts(&ids[2..5])).await.done();
    home.take_from(&phone).await;
    home.take_blobs_from(&phone).await;
    let since = json!({"device": "bens phone", "since": "2027-01-16"});
    let told = home.ask("undo", since).await;
    assert_eq!(told.done()["restored"], 3);
    assert_eq!(listed(&home, json!({})).await.len(), 6);
    // A device or a time that makes no sense changes nothing.
    let told = home
        .ask("undo", json!({"device": "nobody", "since": "2027"}))
        .await;
    assert_eq!(told.error(), ("E-NOT-FOUND", 4));
    let told = home
        .ask("undo", json!({"device": "bens phone", "since": "soon"}))
        .await;
    assert_eq!(told.error(), ("E-USAGE", 2));
    // Who only contributes brings back nobody else's.
    let annas = home.add("Family", "annas.jpg", &noise(50)).await;
    home.ask("trash", texts(&[annas])).await.done();
    phone.take_from(&home).await;
    let laptop = home.node().await.view().await.unwrap();
    let laptop = laptop.device_name(&laptop.device);
    let told = phone
        .ask("undo", json!({"device": laptop, "since": "2027-01-01"}))
        .await;
    assert_eq!((told.exit(), &told.last()["failed"]), (1, &json!(1)));
}

#[tokio::test]
async fn a_few_deletions_are_no_burst_and_ones_own_are_told_for_a_day() {
    let (home, phone) = two("manager").await;
    let ids = add(&home, 12).await;
    home.ask("trash", texts(&ids[..2])).await.done();
    assert_eq!(notices(&home).await, [""; 0]);
    home.ask("trash", texts(&ids[2..4])).await.done();
    assert_eq!(notices(&home).await.len(), 1);
    phone.take_from(&home).await;
    for each in [&home, &phone] {
        each.set_clock(START + 2 * DAY).await;
    }
    assert_eq!(notices(&home).await, [""; 0]);
    assert_eq!(notices(&phone).await.len(), 1);
    // What the trash gives up by itself after 30 days is no burst of who does that.
    home.set_clock(START + 31 * DAY).await;
    upkeep::round(&home.node().await).await.unwrap();
    assert_eq!(notices(&home).await, [""; 0]);
}

#[tokio::test]
async fn what_was_deleted_and_is_imported_again_stays_deleted_until_told_otherwise() {
    let home = Home::anna().await;
    home.set_clock(START).await;
    let photos = tempfile::tempdir().unwrap();
    for nth in 0..3 {
        let mut jpeg = vec![0xff, 0xd8, 0xff, 0xe0];
        jpeg.extend(noise(nth));
        std::fs::write(photos.path().join(format!("{nth}.jpg")), jpeg).unwrap();
    }
    let path = photos.path().to_str().unwrap();
    let import = |restore: bool| json!({"paths": [path], "album": "Family", "restore": restore});
    let first = home.ask("import", import(false)).await;
    assert_eq!(first.done()["added"], 3);
    let id = |nth: usize| first.of("file")[nth]["asset"].clone();
    home.ask("trash", json!({"ids": [id(0)]})).await.done();
    home.ask("trash", json!({"ids": [id(1)]})).await.done();
    home.ask("purge", json!({"ids": [id(1)]})).await.done();

    let again = home.ask("import", import(false)).await;
    let counts = |told: &Value| {
        let names = [
            "added", "present", "skipped", "restored", "trashed", "purged",
        ];
        names.map(|name| told[name].as_u64().unwrap())
    };
    assert_eq!(counts(again.done()), [0, 2, 1, 0, 1, 1]);
    let reason = |told: &crate::world::Told, asset: &Value| {
        let line = told
            .of("file")
            .into_iter()
            .find(|line| line["asset"] == *asset);
        line.unwrap()["reason"].as_str().unwrap_or("").to_owned()
    };
    assert_eq!(
        reason(&again, &id(0)),
        "it was deleted by Anna on 2027-01-15 and is in the trash; import --restore brings it back"
    );
    assert_eq!(
        reason(&again, &id(1)),
        "it was deleted by Anna on 2027-01-15 for good; import --restore adds it again"
    );
    assert_eq!(listed(&home, json!({})).await.len(), 1);

    let restored = home.ask("import", import(true)).await;
    assert_eq!(counts(restored.done()), [1, 2, 0, 1, 0, 0]);
    assert_eq!(listed(&home, json!({})).await.len(), 3);
    let settled = home.ask("import", import(true)).await;
    assert_eq!(counts(settled.done()), [0, 3, 0, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_undo_would_bring_back_is_what_it_can() {
    let home = Home::anna().await;
    home.set_clock(START).await;
    let ids = add(&home, 2).await;
    home.ask("trash", texts(&ids)).await.done();
    let told = home.ask("purge", texts(&ids)).await;
    assert_eq!(told.done()["away"], 0);
    let device = home.node().await.view().await.unwrap().device.to_string();
    let would = json!({"device": device, "since": "2027-01-01", "dry_run": true});
    let told = home.ask("undo", would.clone()).await;
    assert_eq!(told.last()["added_again"], 2);
    // Their time is over.
    home.node().await.store().collect(u64::MAX).unwrap();
    let told = home.ask("undo", would).await;
    let last = told.last();
    assert_eq!(
        (&last["added_again"], &last["failed"]),
        (&json!(0), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_says_what_no_undo_on_this_device_brings_back() {
    let home = Home::anna().await;
    let ids = add(&home, 2).await;
    let blobs = home.doorway.home().join("blobs");
    std::fs::remove_dir_all(blobs).unwrap();
    let home = home.again().await;
    home.ask("trash", texts(&ids)).await.done();
    let told = home.ask("purge", texts(&ids)).await;
    let told = (&told.done()["away"], &told.done()["undo"]);
    assert_eq!(told, (&json!(2), &Value::Null));
}
