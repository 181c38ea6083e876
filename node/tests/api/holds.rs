//! Promises to keep originals, and originals that leave a device on the strength of them.

use std::path::{Path, PathBuf};

use heirloom_node::{network::Network, node::Node, runtime::Runtime, store::BlobState};
use heirloom_protocol::{
    album::asset::BlobRef,
    id::DeviceId,
    limits,
    log::entry::{Entry, EntryBytes},
    op::{BlobRange, Role},
    wire,
};
use serde_json::{Value, json};

use crate::world::Home;

const DAY: u64 = 24 * 3600 * 1000;
const LARGE: usize = 3_000_000;
/// What an audit asks for at once is never less.
const PIECE: usize = 64 * 1024;
const SMALL: usize = 40_000;

/// The bytes of a photo of some name, which no other has.
fn photo(name: &str, bytes: usize) -> Vec<u8> {
    let seed = blake3::hash(name.as_bytes());
    let mut out = vec![0; bytes];
    blake3::Hasher::new_keyed(seed.as_bytes())
        .finalize_xof()
        .fill(&mut out);
    out
}

async fn device(home: &Home) -> DeviceId {
    home.node().await.view().await.unwrap().device
}

async fn status(home: &Home) -> Value {
    let told = home.ask("status", json!({})).await;
    told.of("status")[0].clone()
}

/// Of every asset, by name: the copies that are told, and whether its original is here.
async fn said(home: &Home) -> Vec<(String, u64, bool)> {
    let told = home.ask("list", json!({})).await;
    let lines = told.of("asset").into_iter();
    let mut said: Vec<_> = lines
        .map(|line| {
            let name = line["name"].as_str().unwrap().to_owned();
            let here = line["here"]["original"].as_bool().unwrap();
            (name, line["copies"].as_u64().unwrap(), here)
        })
        .collect();
    said.sort();
    said
}

/// The files in which large blobs lie.
pub fn large_files(home: &Home) -> Vec<PathBuf> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                below(&entry.path(), found);
            } else if entry.metadata().unwrap().len() >= LARGE as u64 {
                found.push(entry.path());
            }
        }
    }
    let mut found = Vec::new();
    below(&home.doorway.home().join("blobs"), &mut found);
    found
}

/// Every blob that this home announced in albums.
async fn blobs(home: &Home) -> Vec<BlobRef> {
    let node = home.node().await;
    let mut blobs = Vec::new();
    for space in node.store().spaces() {
        for head in node.store().logs(space) {
            for record in node.store().entries(&head.log, 0, usize::MAX).unwrap() {
                let bytes: EntryBytes = wire::decode_row(&record.bytes).unwrap();
                let entry = Entry::trust(bytes).unwrap();
                let header = entry.header();
                for (index, line) in (0..).zip(&header.blobs) {
                    blobs.extend(BlobRef::of(head.log, header.first_blob, index, line));
                }
            }
        }
    }
    blobs
}

async fn runtime<T: Send + 'static>(
    node: &Node,
    work: impl FnOnce(&mut Runtime) -> T + Send + 'static,
) -> T {
    node.ask(work).await.unwrap()
}

/// How many of some blobs have bytes on a device, deleted ones included.
async fn with_bytes(home: &Home, blobs: &[BlobRef]) -> usize {
    let node = home.node().await;
    let absent = |blob: &&BlobRef| {
        let state = node.store().blob_state(&blob.log, blob.ordinal).unwrap();
        !matches!(state, BlobState::Absent)
    };
    blobs.iter().filter(absent).count()
}

/// Anna's laptop, whose words are known, her desktop, and a keeper; two photos are on all of them.
struct Family {
    laptop: Home,
    desktop: Home,
    attic: Home,
    words: String,
    served: [Network; 2],
}

impl Family {
    async fn new() -> Self {
        let laptop = Home::empty().await;
        let body = json!({"family": "Berger", "person": "Anna", "device": "laptop"});
        let made = laptop.ask("init", body).await;
        let words = made.done()["recovery"].as_array().unwrap().iter();
        let words: Vec<_> = words.map(|word| word.as_str().unwrap()).collect();
        let words = words.join(" ");
        let anna = laptop.node().await.view().await.unwrap().person.unwrap();
        let attic = laptop.join_keeper("attic").await;
        let desktop = laptop.join(anna, "desktop").await;
        attic.take_from(&laptop).await;
        laptop.add("Family", "a.jpg", &photo("a", LARGE)).await;
        laptop.add("Family", "b.jpg", &photo("b", SMALL)).await;
        laptop.stay_here();
        let served = [attic.serve().await, desktop.serve().await];
        for network in &served {
            laptop.knows(network).await;
        }
        laptop.ask("sync", json!({})).await.done();
        Self {
            laptop,
            desktop,
            attic,
            words,
            served,
        }
    }

    async fn check_words(&self, home: &Home) {
        let body = json!({"do": "check", "words": self.words});
        home.ask("recovery", body).await.done();
    }
}

/// What a device that lies is found out by, the tests of network::blobs show: one that runs this
/// program finds out itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_lost_a_copy_finds_out_when_asked_and_gets_it_again() {
    let here = Home::anna().await;
    let attic = here.join_keeper("attic").await;
    for (name, bytes) in [("a.jpg", LARGE), ("b.jpg", SMALL), ("c.jpg", LARGE)] {
        here.add("Family", name, &photo(name, bytes)).await;
    }
    let keeper = attic.serve().await;
    here.stay_here();
    here.knows(&keeper).await;
    here.ask("sync", json!({})).await.done();
    assert_eq!(status(&here).await["safe"], 3);
    let now = here.node().await.clock().now().0;
    let mut days = 0;
    for delete in [true, false] {
        let file = large_files(&attic).pop().unwrap();
        let whole = std::fs::read(&file).unwrap();
        if delete {
            std::fs::remove_file(&file).unwrap();
        } else {
            // In every piece, of which an audit asks for one.
            let mut bad = whole.clone();
            bad.iter_mut().step_by(PIECE).for_each(|byte| *byte ^= 1);
            std::fs::write(&file, bad).unwrap();
        }
        // It still says that it holds all three, and is asked for pieces of them every second day.
        assert_eq!(status(&here).await["safe"], 3);
        while std::fs::read(&file).ok().as_ref() != Some(&whole) {
            days += 2;
            assert!(days < 40, "it is not found out");
            here.set_clock(now + days * DAY).await;
            here.ask("sync", json!({})).await.done();
        }
        // What it took back proves nothing: it is asked for something else at once.
        here.ask("sync", json!({})).await.done();
        let told = status(&here).await;
        assert_eq!((&told["safe"], &told["only_here"]), (&json!(3), &json!(0)));
        assert!(!told["problems"].to_string().contains("could not show"));
    }
    keeper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_may_want_more_copies_than_others() {
    let family = Family::new().await;
    let laptop = &family.laptop;
    assert_eq!(status(laptop).await["safe"], 2);
    laptop
        .ask("keep", json!({"do": "set", "album": "Family", "copies": 4}))
        .await
        .done();
    let told = status(laptop).await;
    assert_eq!(
        (&told["safe"], &told["copies_wanted"]),
        (&json!(0), &json!(2))
    );
    let shown = laptop.ask("keep", json!({"do": "show"})).await;
    let albums = shown.of("keep");
    let album = albums
        .iter()
        .find(|line| line["album"] == "Family")
        .unwrap();
    assert_eq!(
        (&album["copies_wanted"], &album["safe"]),
        (&json!(4), &json!(0))
    );
    let holders = shown.of("holder");
    assert_eq!(holders.len(), 3);
    assert!(
        holders.iter().all(|line| line["proved"] == true),
        "{shown:?}"
    );
    // The wish travels with the album.
    laptop.ask("sync", json!({})).await.done();
    assert_eq!(status(&family.desktop).await["safe"], 0);
    let bad = laptop.ask("keep", json!({"do": "set", "copies": 0})).await;
    assert_eq!(bad.error(), ("E-USAGE", 2));
    laptop
        .ask("keep", json!({"do": "set", "copies": 3}))
        .await
        .done();
    assert_eq!(status(laptop).await["copies_wanted"], 3);
    for network in family.served {
        network.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn originals_leave_only_on_proof_and_promise_and_come_back() {
    let family = Family::new().await;
    let Family {
        laptop,
        desktop,
        attic,
        served: [keeper, second],
        ..
    } = &family;
    // Without the words nothing leaves.
    let refused = laptop.ask("offload", json!({})).await;
    assert_eq!(refused.error(), ("E-NOT-ALLOWED", 1));
    assert!(
        refused.last()["hint"]
            .to_string()
            .contains("recovery check")
    );
    family.check_words(laptop).await;
    let would = laptop.ask("offload", json!({"dry_run": true})).await;
    assert_eq!(would.done()["dropped"], 2);
    assert!(said(laptop).await.iter().all(|(_, _, here)| *here));

    // With one of two in reach nothing leaves, and the missing one is named.
    keeper.stop().await;
    attic.doorway.run_on(None).await;
    let kept = laptop.ask("offload", json!({})).await;
    assert_eq!((kept.exit(), &kept.last()["dropped"]), (3, &json!(0)));
    let reason = kept.of("original")[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("2 other devices have to promise to keep it, 1 did (desktop)"),
        "{reason}"
    );
    assert!(reason.contains("attic is not in reach"), "{reason}");
    assert!(said(laptop).await.iter().all(|(_, _, here)| *here));

    let keeper = attic.serve().await;
    laptop.knows(&keeper).await;
    let gone = laptop.ask("offload", json!({})).await;
    assert_eq!(
        (&gone.done()["dropped"], &gone.last()["kept"]),
        (&json!(2), &json!(0))
    );
    assert!(large_files(laptop).is_empty(), "its space is free at once");
    assert_eq!(
        said(laptop).await,
        [("a.jpg".into(), 2, false), ("b.jpg".into(), 2, false)]
    );
    assert_eq!(status(laptop).await["safe"], 2);
    assert_eq!(laptop.ask("offload", json!({})).await.exit(), 4);
    // Nothing is left to do with a device that does not want them back.
    laptop.ask("sync", json!({})).await.done();
    assert!(said(laptop).await.iter().all(|(_, _, here)| !here));

    // Who promised does not drop, though its own words are right and another device is there.
    family.check_words(desktop).await;
    desktop.knows(&keeper).await;
    let kept = desktop.ask("offload", json!({})).await;
    assert_eq!((kept.exit(), &kept.last()["dropped"]), (3, &json!(0)));
    let reason = kept.of("original")[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("promised others to keep it until"),
        "{reason}"
    );

    // They come when they are asked for, byte for byte.
    let listed = laptop.ask("list", json!({})).await;
    let ids: Vec<_> = listed
        .of("asset")
        .iter()
        .map(|line| line["id"].clone())
        .collect();
    let out = tempfile::tempdir().unwrap();
    let body = json!({"ids": ids, "output": out.path().to_str().unwrap()});
    laptop.ask("get", body).await.done();
    assert_eq!(
        std::fs::read(out.path().join("a.jpg")).unwrap(),
        photo("a", LARGE)
    );
    assert_eq!(
        std::fs::read(out.path().join("b.jpg")).unwrap(),
        photo("b", SMALL)
    );
    keeper.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_outlives_the_deletion_and_the_change_of_role() {
    let family = Family::new().await;
    let Family {
        laptop,
        desktop,
        attic,
        served,
        ..
    } = &family;
    family.check_words(laptop).await;
    laptop.ask("offload", json!({})).await.done();
    let all = blobs(laptop).await;
    assert_eq!(all.len(), 2);
    let now = laptop.node().await.clock().now().0;
    let listed = laptop.ask("list", json!({})).await;
    let ids: Vec<_> = listed
        .of("asset")
        .iter()
        .map(|line| line["id"].clone())
        .collect();
    laptop.ask("trash", json!({"ids": ids})).await.done();
    laptop.ask("purge", json!({"ids": ids})).await.done();
    let policy = json!({"do": "policy", "device": "desktop", "policy": "cache"});
    laptop.ask("device", policy).await.done();
    laptop.ask("sync", json!({})).await.done();
    for home in [desktop, attic] {
        assert_eq!(with_bytes(home, &all).await, 2);
        for days in [1, 31, 89] {
            home.live_until(now + days * DAY).await;
            assert_eq!(with_bytes(home, &all).await, 2, "after {days} days");
        }
        home.live_until(now + 125 * DAY).await;
        assert_eq!(with_bytes(home, &all).await, 0, "the promise is over");
    }
    for network in served {
        network.stop().await;
    }
}

/// Promises by a device that this home knows of.
async fn promises(home: &Home, by: DeviceId) -> usize {
    let album = home.album("Family").await;
    runtime(&home.node().await, move |runtime| {
        let album = runtime.replica().album(&album).unwrap();
        album.promises().iter().filter(|one| one.by == by).count()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_promises_nothing_and_who_promised_does_not_ask() {
    let family = Family::new().await;
    let Family {
        laptop,
        desktop,
        served,
        ..
    } = &family;
    let (asker, me) = (device(laptop).await, device(desktop).await);
    let all = blobs(laptop).await;
    let album = laptop.album("Family").await;
    let ranges: Vec<_> = all
        .iter()
        .map(|blob| BlobRange {
            device: blob.log.device,
            inc: blob.log.inc,
            branch: blob.log.branch,
            from: blob.ordinal,
            to: blob.ordinal + 1,
        })
        .collect();
    let node = desktop.node().await;
    let ask = |until: u64| {
        let (node, ranges) = (node.clone(), ranges.clone());
        async move {
            runtime(&node, move |runtime| {
                runtime.hold_asked(asker, album, &ranges, until)
            })
            .await
            .unwrap();
        }
    };
    let until = node.clock().now().0 + limits::HOLD_MS;
    // While it is about to drop one of them itself, it promises the other alone.
    let mine = vec![all[0]];
    let begun = runtime(&node, move |runtime| runtime.begin_offload(&mine)).await;
    assert_eq!(begun, Some(Default::default()));
    let again = all.clone();
    let second = runtime(&node, move |runtime| runtime.begin_offload(&again)).await;
    assert_eq!(second, None, "one offload at a time");
    ask(until).await;
    let kept = runtime(&node, move |runtime| {
        let album = runtime.replica().album(&album).unwrap();
        album.promises().to_vec()
    })
    .await;
    assert_eq!(kept.len(), 1);
    assert!(!kept[0].covers(&all[0].log, all[0].ordinal));
    assert!(kept[0].covers(&all[1].log, all[1].ordinal));
    runtime(&node, |runtime| runtime.end_offload()).await;

    // Then it promises the first too, and what is promised leaves no more.
    ask(until).await;
    assert_eq!(promises(desktop, me).await, 2);
    let both = all.clone();
    let begun = runtime(&node, move |runtime| runtime.begin_offload(&both))
        .await
        .unwrap();
    assert_eq!(begun.len(), 2);
    assert!(begun.values().all(|end| *end == until));
    runtime(&node, |runtime| runtime.end_offload()).await;

    // What is promised needs no second entry; a wrong clock and a cache get and give none.
    ask(until).await;
    ask(until + 400 * DAY).await;
    ask(0).await;
    assert_eq!(promises(desktop, me).await, 2);
    let policy = json!({"do": "policy", "device": "desktop", "policy": "cache"});
    desktop.ask("device", policy).await.done();
    node.clock()
        .set(heirloom_protocol::time::Timestamp(until - DAY));
    ask(until + limits::HOLD_MS - DAY).await;
    assert_eq!(promises(desktop, me).await, 2);
    for network in served {
        network.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_offload_at_once_do_not_rely_on_each_other() {
    let family = Family::new().await;
    let Family {
        laptop,
        desktop,
        attic,
        served,
        ..
    } = &family;
    family.check_words(laptop).await;
    family.check_words(desktop).await;
    let mine = laptop.serve().await;
    laptop.knows(&served[0]).await;
    laptop.knows(&served[1]).await;
    desktop.knows(&served[0]).await;
    let (one, two) = tokio::join!(
        laptop.ask("offload", json!({})),
        desktop.ask("offload", json!({}))
    );
    for told in [&one, &two] {
        assert_eq!(told.last()["type"], "summary", "{told:?}");
    }
    // Each needs the other beside the keeper: whoever came first, two others hold what left.
    let (here, there) = (said(laptop).await, said(desktop).await);
    let attic_files = large_files(attic).len();
    assert_eq!(attic_files, 1);
    for ((name, _, here), (_, _, there)) in here.iter().zip(&there) {
        assert!(
            *here || *there,
            "{name} is on one device alone: {one:?} {two:?}"
        );
    }
    mine.stop().await;
    for network in served {
        network.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_gets_what_only_other_devices_hold() {
    let family = Family::new().await;
    let laptop = &family.laptop;
    family.check_words(laptop).await;
    laptop.ask("offload", json!({})).await.done();
    assert!(said(laptop).await.iter().all(|(_, _, here)| !here));
    let out = tempfile::tempdir().unwrap();
    let body = json!({"dir": out.path(), "album": ["Family"], "sidecars": "none"});
    let told = laptop.ask("export", body.clone()).await;
    assert_eq!(
        (&told.done()["written"], &told.last()["not_here"]),
        (&json!(2), &json!(0))
    );
    for (name, bytes) in [("a", LARGE), ("b", SMALL)] {
        let path = out.path().join(format!("Family/{name}.jpg"));
        assert_eq!(std::fs::read(path).unwrap(), photo(name, bytes));
    }

    // With nobody in reach it says what could not be had, and where that is.
    laptop.ask("offload", json!({})).await.done();
    for network in family.served {
        network.stop().await;
    }
    let out = tempfile::tempdir().unwrap();
    let body = json!({"dir": out.path(), "album": ["Family"], "sidecars": "none"});
    let told = laptop.ask("export", body).await;
    assert_eq!((told.exit(), &told.last()["not_here"]), (3, &json!(2)));
    let reason = told.of("file")[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("desktop") && reason.contains("attic"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_lost_an_album_is_no_copy_of_it() {
    let laptop = Home::anna().await;
    let ben = laptop.add_person("Ben", Role::Member).await;
    let nas = laptop.join(ben, "bens nas").await;
    let create = json!({"do": "create", "name": "Trip"});
    laptop.ask("album", create).await.done();
    let shared = |album| json!({"album": album, "person": "Ben", "role": "viewer"});
    for album in ["Family", "Trip"] {
        laptop.ask("share", shared(album)).await.done();
    }
    let mut bytes = photo("a", LARGE);
    bytes[..4].copy_from_slice(&[0xff, 0xd8, 0xff, 0xe0]);
    laptop.add("Trip", "a.jpg", &bytes).await;
    laptop.add("Family", "b.jpg", &photo("b", SMALL)).await;
    nas.take_from(&laptop).await;
    laptop.stay_here();
    let served = nas.serve().await;
    laptop.knows(&served).await;
    laptop.ask("sync", json!({})).await.done();
    let both = |trip: u64| {
        let copies = [("a.jpg", trip), ("b.jpg", 2)];
        copies.map(|(name, copies)| (name.to_owned(), copies, true))
    };
    assert_eq!(said(&laptop).await, both(2));

    let unshare = json!({"album": "Trip", "person": "Ben"});
    laptop.ask("unshare", unshare).await.done();
    assert_eq!(said(&laptop).await, both(1));
    laptop.ask("sync", json!({})).await.done();
    assert_eq!(said(&laptop).await, both(1));
    let laptop = laptop.again().await;
    assert_eq!(said(&laptop).await, both(1));
    // So what the laptop lost is nowhere, and comes from the card.
    std::fs::remove_file(large_files(&laptop).pop().unwrap()).unwrap();
    laptop.ask("verify", json!({})).await;
    let card = tempfile::tempdir().unwrap();
    std::fs::write(card.path().join("a.jpg"), &bytes).unwrap();
    let body = json!({"paths": [card.path()], "album": "Trip"});
    let told = laptop.ask("import", body).await;
    assert_eq!(
        told.of("file")[0]["reason"],
        "its original was missing and is kept again"
    );
    assert_eq!(said(&laptop).await, both(1));

    // Who may have it again says again that it is there.
    laptop.ask("share", shared("Trip")).await.done();
    laptop.ask("sync", json!({})).await.done();
    assert_eq!(said(&laptop).await, both(2));
    served.stop().await;
}
