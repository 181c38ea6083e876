//! What devices believe of each other's signed statements, and for how long.

use heirloom_node::runtime::Passed;
use heirloom_protocol::{discovery::Address, id::DeviceId, sync::message::Gossip};
use serde_json::json;

use crate::world::Home;

const START: u64 = 1_800_000_000_000;
const MINUTE: u64 = 60 * 1000;
const DAY: u64 = 24 * 60 * MINUTE;

fn address(text: &str) -> Address {
    Address::try_from(text.to_owned()).unwrap()
}

/// A home's beacon at a time, saying that it listens at a port.
async fn beacon(home: &Home, at: u64, port: u16) -> Gossip {
    home.set_clock(at).await;
    let addrs = [address(&format!("/ip4/10.0.0.7/tcp/{port}"))];
    let node = home.node().await;
    let signed = node.ask(move |runtime| runtime.own_beacon(&addrs)).await;
    signed.unwrap().unwrap()
}

async fn hears(home: &Home, from: DeviceId, gossip: &Gossip) -> Passed {
    let (node, gossip) = (home.node().await, gossip.clone());
    let heard = node.ask(move |runtime| runtime.take_gossip(from, gossip));
    heard.await.unwrap().unwrap()
}

/// The port at which a home believes a device to listen.
async fn port(home: &Home, of: DeviceId) -> Option<u16> {
    let node = home.node().await;
    let told = node.ask(move |runtime| runtime.told_addresses(&of)).await;
    let told = told.unwrap().unwrap();
    let last = told.first()?.as_str().rsplit('/').next()?;
    last.parse().ok()
}

async fn device(home: &Home) -> DeviceId {
    home.node().await.view().await.unwrap().device
}

#[tokio::test]
async fn an_address_is_believed_while_it_is_the_newest_and_not_expired() {
    let home = Home::anna().await;
    let anna = home.node().await.view().await.unwrap().person.unwrap();
    let phone = home.join(anna, "phone").await;
    let (me, it) = (device(&home).await, device(&phone).await);
    home.set_clock(START).await;
    let old = beacon(&phone, START - DAY, 1).await;
    let new = beacon(&phone, START, 2).await;
    let future = beacon(&phone, START + 11 * MINUTE, 3).await;
    hears(&home, it, &new).await;
    hears(&home, it, &old).await;
    assert_eq!(
        port(&home, it).await,
        Some(2),
        "an old one does not replace a new one"
    );
    hears(&home, it, &future).await;
    assert_eq!(
        port(&home, it).await,
        Some(2),
        "one of the future is not taken"
    );
    // The signer, the stamp, and what a later version may have made longer.
    for (at, passed) in [
        (0, Passed::Forged),
        (40, Passed::Forged),
        (usize::MAX, Passed::Well),
    ] {
        let mut forged = new.clone();
        match forged.raw.bytes.get_mut(at) {
            Some(byte) => *byte ^= 1,
            None => forged.raw.bytes.push(0),
        }
        assert_eq!(hears(&home, it, &forged).await, passed, "{at}");
    }
    assert_eq!(hears(&home, it, &new).await, Passed::Well, "not news");
    assert_eq!(port(&home, it).await, Some(2), "a changed one is not taken");
    let own = beacon(&home, START, 9).await;
    hears(&home, it, &own).await;
    assert_eq!(
        port(&home, me).await,
        None,
        "nobody tells a device where it is itself"
    );
    // It outlives a start, and expires after 30 days.
    let home = home.again().await;
    home.set_clock(START + 30 * DAY).await;
    assert_eq!(port(&home, it).await, Some(2));
    home.set_clock(START + 30 * DAY + MINUTE).await;
    assert_eq!(port(&home, it).await, None);
    // One that had expired before it came is not taken either.
    hears(&home, it, &old).await;
    assert_eq!(port(&home, it).await, None);
}

#[tokio::test]
async fn nobody_outside_the_family_is_believed() {
    let home = Home::anna().await;
    let ben = home
        .add_person("Ben", heirloom_protocol::op::Role::Member)
        .await;
    let phone = home.join(ben, "phone").await;
    let it = device(&phone).await;
    home.set_clock(START).await;
    let before = beacon(&phone, START, 1).await;
    hears(&home, it, &before).await;
    home.ask("device", json!({"do": "remove", "device": "phone"}))
        .await
        .done();
    let after = beacon(&phone, START + MINUTE, 2).await;
    hears(&home, it, &after).await;
    assert_ne!(port(&home, it).await, Some(2));
    let stranger = Home::anna().await;
    let theirs = beacon(&stranger, START, 3).await;
    hears(&home, it, &theirs).await;
    assert_eq!(port(&home, device(&stranger).await).await, None);
}

#[tokio::test]
async fn what_was_signed_for_and_has_not_come_is_told() {
    let home = Home::anna().await;
    let anna = home.node().await.view().await.unwrap().person.unwrap();
    let phone = home.join(anna, "phone").await;
    let it = device(&phone).await;
    for each in [&home, &phone] {
        each.set_clock(START).await;
    }
    phone.add("Family", "a.jpg", b"1").await;
    phone.add("Family", "b.jpg", b"2").await;
    let (node, family) = (phone.node().await, home.album("Family").await);
    let heads = node.ask(move |runtime| runtime.own_heads(&[family])).await;
    let heads = heads.unwrap();
    assert_eq!(heads.len(), 1);
    hears(&home, it, &heads[0]).await;
    let problems = async || {
        let told = home.ask("status", json!({})).await;
        told.of("status")[0]["problems"].to_string()
    };
    let said = problems().await;
    assert!(said.contains("phone has written 2 entries"), "{said}");
    // One of another space than it says, is not taken.
    let mut wrong = heads[0].clone();
    wrong.space = None;
    hears(&home, it, &wrong).await;
    home.take_from(&phone).await;
    assert!(!problems().await.contains("phone has written"));
}
