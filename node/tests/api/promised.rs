//! Who let go of an original for a promise has it back until the promise ends, whatever becomes of the album.

use heirloom_node::{
    runtime::Runtime,
    store::{Batch, BlobState},
};
use heirloom_protocol::{
    album::asset::BlobRef,
    id::{AlbumId, DeviceId, OpId},
    limits,
    op::{BlobRange, Op, Policy, Role},
    sync::blob::BlobPlace as Name,
};
use serde_json::json;

use crate::{
    forks::copy,
    world::{Home, noise},
};

const DAY: u64 = 24 * 3600 * 1000;
const LARGE: usize = 3_000_000;

async fn runtime<T: Send + 'static>(
    home: &Home,
    work: impl FnOnce(&mut Runtime) -> T + Send + 'static,
) -> T {
    home.node().await.ask(work).await.unwrap()
}

async fn device(home: &Home) -> DeviceId {
    home.node().await.view().await.unwrap().device
}

async fn names(home: &Home, album: &str) -> Vec<String> {
    let told = home.ask("list", json!({"album": album})).await;
    let name = |line: &&serde_json::Value| line["name"].as_str().unwrap().to_owned();
    let mut names: Vec<_> = told.of("asset").iter().map(name).collect();
    names.sort();
    names
}

/// Anna's laptop with the album Trip in it, a keeper, and Ben's phone, which has added photos to it.
struct Trip {
    laptop: Home,
    attic: Home,
    phone: Home,
    /// Of Ben, all.
    his: Vec<BlobRef>,
    /// One of Anna.
    hers: BlobRef,
}

async fn blob_of(home: &Home, album: &str, item: OpId) -> BlobRef {
    let (node, album) = (home.node().await, home.album(album).await);
    let key = heirloom_node::runtime::AssetKey { album, item };
    let asset = key.load(node.store()).unwrap();
    let blob = asset.all_parts().next().map(|(_, blob)| *blob);
    blob.unwrap()
}

impl Trip {
    async fn new() -> Self {
        let laptop = Home::anna().await;
        let ben = laptop.add_person("Ben", Role::Member).await;
        let attic = laptop.join_keeper("attic").await;
        let create = json!({"do": "create", "name": "Trip"});
        laptop.ask("album", create).await.done();
        let share = json!({"album": "Trip", "person": "Ben", "role": "contributor"});
        laptop.ask("share", share).await.done();
        let phone = laptop.join(ben, "phone").await;
        let library = heirloom_protocol::op::AlbumUse::Library;
        runtime(&phone, move |runtime| {
            runtime.make_album("Library", library)
        })
        .await
        .unwrap();
        let mut his = Vec::new();
        for (name, bytes) in [("large.jpg", LARGE), ("small.jpg", 40_000)] {
            let item = phone.add("Trip", name, &noise(bytes, 1)).await;
            his.push(blob_of(&phone, "Trip", item).await);
        }
        let item = laptop.add("Trip", "hers.jpg", &noise(50_000, 2)).await;
        let hers = blob_of(&laptop, "Trip", item).await;
        for home in [&laptop, &attic] {
            home.take_from(&phone).await;
            home.take_blobs_from(&phone).await;
        }
        for home in [&phone, &attic] {
            home.take_from(&laptop).await;
            home.take_blobs_from(&laptop).await;
        }
        Self {
            laptop,
            attic,
            phone,
            his,
            hers,
        }
    }

    /// Has a device promise to keep what Ben added, and the phone let go of it for that.
    async fn offload(&mut self, keeper: bool) {
        let asker = device(&self.phone).await;
        let home = if keeper { &self.attic } else { &self.laptop };
        promise(home, asker, &self.his).await;
        self.phone.take_from(home).await;
        runtime(&self.phone, move |runtime| {
            runtime.set_policy(asker, Policy::Cache(0))
        })
        .await
        .unwrap();
        let_go(&self.phone, &self.his).await;
        let phone = std::mem::replace(&mut self.phone, Home::empty().await);
        self.phone = phone.again().await;
        assert_eq!(held(&self.phone, &self.his).await, 0);
    }

    async fn unshare(&self) {
        let body = json!({"album": "Trip", "person": "Ben"});
        self.laptop.ask("unshare", body).await.done();
    }
}

/// Erases some blobs as an offload does.
async fn let_go(home: &Home, blobs: &[BlobRef]) {
    let drops = blobs.iter().map(|blob| (blob.log, blob.ordinal, 0));
    let batch = Batch {
        drops: drops.collect(),
        ..Batch::default()
    };
    let node = home.node().await;
    node.store().commit(&batch).unwrap();
    node.store().collect(0).unwrap();
}

/// Has a device promise to keep some blobs of one album.
async fn promise(keeper: &Home, asker: DeviceId, blobs: &[BlobRef]) {
    let (album, blobs) = (blobs[0].log.space, blobs.to_vec());
    let until = keeper.node().await.clock().now().0 + limits::HOLD_MS;
    runtime(keeper, move |runtime| {
        let ranges: Vec<_> = blobs.iter().map(range).collect();
        runtime.hold_asked(asker, album, &ranges, until)
    })
    .await
    .unwrap();
}

/// Promises that a device has given in an album.
async fn promises(keeper: &Home, album: AlbumId) -> usize {
    let me = device(keeper).await;
    runtime(keeper, move |runtime| {
        let album = runtime.replica().album(&album).unwrap();
        album.promises().iter().filter(|one| one.by == me).count()
    })
    .await
}

/// Puts everything in an album into the trash and deletes it for good.
async fn delete_all(home: &Home, album: &str) {
    let listed = home.ask("list", json!({"album": album})).await;
    let ids = listed
        .of("asset")
        .into_iter()
        .map(|line| line["id"].clone());
    let ids: Vec<_> = ids.collect();
    home.ask("trash", json!({"ids": ids})).await.done();
    home.ask("purge", json!({"ids": ids})).await.done();
}

/// How many of some blobs have bytes on a device, deleted ones included.
async fn with_bytes(home: &Home, blobs: &[BlobRef]) -> usize {
    let node = home.node().await;
    let state = |blob: &BlobRef| node.store().blob_state(&blob.log, blob.ordinal).unwrap();
    let states = blobs.iter().map(state);
    states.filter(|state| *state != BlobState::Absent).count()
}

fn range(blob: &BlobRef) -> BlobRange {
    BlobRange {
        device: blob.log.device,
        inc: blob.log.inc,
        branch: blob.log.branch,
        from: blob.ordinal,
        to: blob.ordinal + 1,
    }
}

/// How many of some blobs are here.
async fn held(home: &Home, blobs: &[BlobRef]) -> usize {
    let node = home.node().await;
    let state = |blob: &BlobRef| node.store().blob_state(&blob.log, blob.ordinal).unwrap();
    let here = blobs.iter().map(state);
    here.filter(|state| matches!(state, BlobState::Here(_)))
        .count()
}

/// How many of some blobs a device serves to another.
async fn served(home: &Home, to: DeviceId, blobs: &[BlobRef]) -> usize {
    let blobs = blobs.to_vec();
    runtime(home, move |runtime| {
        let name = |blob: &BlobRef| Name {
            log: blob.log,
            ordinal: blob.ordinal,
        };
        let served = blobs.iter().map(|blob| runtime.served_to(&to, &name(blob)));
        served.filter(|one| one.as_ref().unwrap().is_some()).count()
    })
    .await
}

/// Syncs until there is nothing more to get.
async fn sync(home: &Home) {
    for _ in 0..3 {
        home.ask("sync", json!({})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_promised_gives_an_original_back_to_its_author_after_the_share_ended() {
    let mut trip = Trip::new().await;
    trip.offload(false).await;
    let Trip {
        laptop, phone, his, ..
    } = &trip;
    trip.unshare().await;
    let network = laptop.serve().await;
    phone.stay_here();
    phone.knows(&network).await;
    sync(phone).await;
    assert_eq!(names(phone, "Library").await, ["large.jpg", "small.jpg"]);
    assert_eq!(held(phone, his).await, 2);
    let status = phone.ask("status", json!({})).await;
    assert_eq!(status.of("status")[0]["away"], 0);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ended_a_share_is_not_asked_to_show_what_was_in_it() {
    let trip = Trip::new().await;
    let Trip { laptop, phone, .. } = &trip;
    let share = json!({"album": "Family", "person": "Ben", "role": "contributor"});
    laptop.ask("share", share).await.done();
    phone.take_from(laptop).await;
    phone.add("Family", "other.jpg", &noise(60_000, 3)).await;
    phone.stay_here();
    let network = laptop.serve().await;
    phone.knows(&network).await;
    sync(phone).await;
    trip.unshare().await;
    sync(phone).await;
    network.stop().await;
    // The next day it is asked again.
    let tomorrow = phone.node().await.clock().now().0 + DAY;
    for home in [laptop, phone] {
        home.set_clock(tomorrow).await;
    }
    let network = laptop.serve().await;
    phone.knows(&network).await;
    sync(phone).await;
    let status = phone.ask("status", json!({})).await;
    let problems = status.of("status")[0]["problems"].to_string();
    assert!(!problems.contains("could not show"), "{problems}");
    let listed = phone.ask("list", json!({})).await;
    let copies = |line: &&serde_json::Value| (line["name"].clone(), line["copies"].clone());
    let copies: Vec<_> = listed.of("asset").iter().map(copies).collect();
    assert!(
        copies.contains(&(json!("other.jpg"), json!(2))),
        "{copies:?}"
    );
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_of_an_ended_share_is_served_and_nothing_after_the_promise() {
    let mut trip = Trip::new().await;
    trip.offload(false).await;
    let Trip {
        laptop,
        attic,
        phone,
        his,
        hers,
    } = &trip;
    let carla = laptop.add_person("Carla", Role::Member).await;
    let carlas = device(&laptop.join(carla, "carlas").await).await;
    let (bens, keeper) = (device(phone).await, device(attic).await);
    assert_eq!(served(laptop, bens, &[*hers]).await, 1);
    trip.unshare().await;
    assert_eq!(served(laptop, bens, his).await, 2);
    assert_eq!(served(laptop, bens, &[*hers]).await, 0, "not his");
    assert_eq!(served(laptop, carlas, his).await, 0, "not hers");
    attic.take_from(laptop).await;
    assert_eq!(served(attic, bens, his).await, 0, "it promised nothing");
    assert_eq!(served(laptop, keeper, his).await, 2, "it has the album");

    // Who ended the share deletes his photos besides: the promise stands.
    delete_all(laptop, "Trip").await;
    assert_eq!(held(laptop, his).await, 0);
    assert_eq!(served(laptop, bens, his).await, 2);
    assert_eq!(served(laptop, keeper, his).await, 0, "it is deleted");
    let now = laptop.node().await.clock().now().0;
    laptop.live_until(now + 89 * DAY).await;
    assert_eq!(served(laptop, bens, his).await, 2);
    laptop.set_clock(now + 91 * DAY).await;
    assert_eq!(served(laptop, bens, his).await, 0);

    // Nor is anything for a device that left the family.
    laptop.set_clock(now).await;
    assert_eq!(served(laptop, bens, his).await, 2);
    let removal = json!({"do": "remove", "device": "phone", "lost": true});
    laptop.ask("device", removal).await.done();
    assert_eq!(served(laptop, bens, his).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_lost_the_album_gives_back_what_it_promised() {
    let mut trip = Trip::new().await;
    trip.offload(true).await;
    let Trip {
        laptop,
        attic,
        phone,
        his,
        ..
    } = &trip;
    // Nobody else has them any more.
    let_go(laptop, his).await;
    let album = laptop.album("Trip").await;
    runtime(laptop, move |runtime| {
        runtime.record_in_album(album, &[Op::SetKeepers((Some(Vec::new()),))])
    })
    .await
    .unwrap();
    for home in [attic, phone] {
        home.take_from(laptop).await;
    }
    let now = attic.node().await.clock().now().0;
    attic.live_until(now + 89 * DAY).await;
    attic.set_clock(now).await;
    assert_eq!(held(attic, his).await, 2, "it keeps its word");

    let network = attic.serve().await;
    phone.stay_here();
    phone.knows(&network).await;
    sync(phone).await;
    assert_eq!(held(phone, his).await, 2);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_outlives_the_loss_of_the_index() {
    let laptop = Home::anna().await;
    let attic = laptop.join_keeper("attic").await;
    let item = laptop.add("Family", "a.jpg", &noise(LARGE, 1)).await;
    let blobs = [blob_of(&laptop, "Family", item).await];
    attic.take_from(&laptop).await;
    attic.take_blobs_from(&laptop).await;
    promise(&attic, device(&laptop).await, &blobs).await;
    let album = laptop.album("Family").await;
    assert_eq!(promises(&attic, album).await, 1);
    laptop.take_from(&attic).await;
    delete_all(&laptop, "Family").await;
    attic.take_from(&laptop).await;
    let now = attic.node().await.clock().now().0;

    // The log with the deletion is taken in before the keeper's own.
    let dir = attic.close().await;
    std::fs::remove_file(dir.path().join("home/heirloom.redb")).unwrap();
    let attic = Home::open(dir).await;
    assert_eq!(promises(&attic, album).await, 1);
    for days in [1, 31, 62, 89] {
        attic.live_until(now + days * DAY).await;
        assert_eq!(with_bytes(&attic, &blobs).await, 1, "after {days} days");
    }
    attic.live_until(now + 125 * DAY).await;
    assert_eq!(with_bytes(&attic, &blobs).await, 0, "the promise is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_kept_for_30_days_from_the_loss_of_the_index() {
    let laptop = Home::anna().await;
    let attic = laptop.join_keeper("attic").await;
    let item = laptop.add("Family", "a.jpg", &noise(LARGE, 1)).await;
    let blobs = [blob_of(&laptop, "Family", item).await];
    attic.take_from(&laptop).await;
    attic.take_blobs_from(&laptop).await;
    delete_all(&laptop, "Family").await;
    attic.take_from(&laptop).await;
    let now = attic.node().await.clock().now().0;
    attic.live_until(now + 20 * DAY).await;
    let dir = attic.close().await;
    std::fs::remove_file(dir.path().join("home/heirloom.redb")).unwrap();
    let attic = Home::open(dir).await;
    attic.set_clock(now + 20 * DAY).await;
    for days in [21, 31, 45] {
        attic.live_until(now + days * DAY).await;
        assert_eq!(with_bytes(&attic, &blobs).await, 1, "after {days} days");
    }
    attic.live_until(now + 85 * DAY).await;
    assert_eq!(with_bytes(&attic, &blobs).await, 0);
}

/// Anna's laptop and a keeper that promised a photo of it, which stands above a fork by now.
async fn promised_and_forked() -> (Home, Home, BlobRef) {
    let laptop = Home::anna().await;
    let me = laptop.node().await.view().await.unwrap().person.unwrap();
    let attic = laptop.join_keeper("attic").await;
    let pi = laptop.join(me, "pi").await;
    let (laptop, clone) = copy(laptop).await;
    let item = laptop.add("Family", "here.jpg", &noise(LARGE, 1)).await;
    let blob = blob_of(&laptop, "Family", item).await;
    attic.take_from(&laptop).await;
    attic.take_blobs_from(&laptop).await;
    promise(&attic, device(&laptop).await, &[blob]).await;
    clone.add("Family", "there.jpg", &noise(LARGE, 2)).await;
    for home in [&attic, &pi] {
        home.take_from(&laptop).await;
        home.take_from(&clone).await;
    }
    runtime(&pi, |runtime| runtime.anchor()).await.unwrap();
    for home in [&laptop, &attic] {
        home.take_from(&pi).await;
    }
    laptop.take_from(&attic).await;
    let now = runtime(&attic, move |runtime| {
        runtime.replica().named_blob(&blob.log, blob.ordinal)
    })
    .await;
    assert_ne!(now, Some(blob.log), "it has another name");
    let named = BlobRef {
        log: now.unwrap(),
        ..blob
    };
    (laptop, attic, named)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_outlives_a_fork_of_the_log_that_it_names() {
    let (laptop, attic, named) = promised_and_forked().await;
    let begun = runtime(&attic, move |runtime| {
        let begun = runtime.begin_offload(&[named]);
        runtime.end_offload();
        begun
    })
    .await;
    assert_eq!(begun.unwrap().len(), 1, "it is about to drop nothing");
    // Who asks once more is not refused: the new name is another promise.
    promise(&attic, device(&laptop).await, &[named]).await;
    assert_eq!(promises(&attic, named.log.space).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_before_a_fork_is_kept_after_its_deletion() {
    let (laptop, attic, named) = promised_and_forked().await;
    let kept = runtime(&attic, move |runtime| {
        runtime.replica().kept_blob(&named.log, named.ordinal)
    });
    let kept = BlobRef {
        log: kept.await.unwrap(),
        ..named
    };
    // The laptop goes on in a new incarnation and deletes it from there.
    delete_all(&laptop, "Family").await;
    attic.take_from(&laptop).await;
    assert_eq!(held(&attic, &[kept]).await, 0, "it is deleted");
    let now = attic.node().await.clock().now().0;
    for days in [1, 31, 62, 89] {
        attic.live_until(now + days * DAY).await;
        assert_eq!(with_bytes(&attic, &[kept]).await, 1, "after {days} days");
    }
    attic.live_until(now + 125 * DAY).await;
    assert_eq!(with_bytes(&attic, &[kept]).await, 0, "the promise is over");
}
