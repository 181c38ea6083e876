//! Who was let into an album by a device that is removed by one that had not heard of it.

use heirloom_protocol::{
    id::DeviceId,
    op::{Op, Role},
    sync::LogView as _,
};
use serde_json::json;

use crate::world::{Home, listed, noise};

async fn device(home: &Home) -> DeviceId {
    home.node().await.view().await.unwrap().device
}

/// Hands a device what another tells it of the family, and of albums that its person was taken out of.
async fn tell(to: &Home, from: &Home) {
    let (peer, sender) = (device(to).await, device(from).await);
    let node = from.node().await;
    let family = node.view().await.unwrap().family.control_space();
    let heads = |log: &heirloom_node::store::Head| (log.log, log.seq);
    let mut told: Vec<_> = node.store().logs(family).iter().map(heads).collect();
    let ends = node
        .ask(move |runtime| runtime.endings(peer))
        .await
        .unwrap();
    let ends = ends.into_iter().flat_map(|(_, heads)| heads);
    told.extend(ends.map(|head| (head.log, head.seq)));
    for (log, last) in told {
        let records = node.store().entries(&log, 0, usize::MAX).unwrap();
        let told = records.iter().filter(|record| record.seq <= last);
        let entries: Vec<_> = told
            .map(|record| heirloom_protocol::wire::decode_row(&record.bytes).unwrap())
            .collect();
        let node = to.node().await;
        node.ask(move |runtime| runtime.accept(sender, entries))
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_added_by_a_grant_that_a_removal_undid_stays_with_who_added_it() {
    let laptop = Home::anna().await;
    let anna = laptop.node().await.view().await.unwrap().person.unwrap();
    let ben = laptop.add_person("Ben", Role::Member).await;
    let create = json!({"do": "create", "name": "Trip"});
    laptop.ask("album", create).await.done();
    let phone = laptop.join(anna, "phone").await;
    let desk = laptop.join(anna, "desk").await;
    let bens = laptop.join(ben, "bens").await;
    let library = heirloom_protocol::op::AlbumUse::Library;
    let node = bens.node().await;
    node.ask(move |runtime| runtime.make_album("Library", library))
        .await
        .unwrap()
        .unwrap();
    for home in [&phone, &desk] {
        home.take_from(&laptop).await;
    }
    let share = json!({"album": "Trip", "person": "Ben", "role": "contributor"});
    phone.ask("share", share.clone()).await.done();
    bens.take_from(&phone).await;
    bens.add("Trip", "his.jpg", &noise(40_000, 1)).await;
    desk.take_from(&phone).await;
    desk.take_from(&bens).await;
    assert_eq!(listed(&desk, json!({"album": "Trip"})).await.len(), 1);

    // The laptop has heard of none of this.
    let gone = device(&phone).await;
    let node = laptop.node().await;
    node.ask(move |runtime| runtime.remove(Op::RemoveDevice((gone,))))
        .await
        .unwrap()
        .unwrap();
    desk.take_from(&laptop).await;
    assert_eq!(listed(&desk, json!({"album": "Trip"})).await.len(), 0);
    tell(&bens, &desk).await;
    let status = bens.ask("status", json!({})).await;
    let problems = status.of("status")[0]["problems"].to_string();
    assert!(problems.contains("no longer shared with you"), "{problems}");
    // Nobody is in reach, and it looks after what is its own all the same.
    bens.ask("sync", json!({})).await;
    assert_eq!(listed(&bens, json!({"album": "Library"})).await.len(), 1);

    // Whoever manages the album shares it again.
    laptop.take_from(&desk).await;
    laptop.ask("share", share).await.done();
    bens.take_from(&laptop).await;
    assert_eq!(listed(&bens, json!({"album": "Trip"})).await.len(), 1);
}
