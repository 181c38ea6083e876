//! A join that broke at its end, words on the local network, and guests without an invite.

use std::net::Ipv4Addr;

use heirloom_protocol::{
    crypto::SeededRng,
    discovery::InviteTagKey,
    family::{
        consent::{Certificate, DeviceKind},
        invite::{InviteCode, InviteSecret},
        pairing::{Admission, Newcomer},
    },
    op::Role,
};

use super::*;
use crate::{
    net::{Advert, Sighting},
    network::Network,
    node::FamilyNames,
};

const SETTINGS: &str = "[network]\nlisten = [\"/ip4/127.0.0.1/tcp/0\"]\ndiscovery = false\n";

fn options() -> Options {
    Options {
        worker: ("heirloom".into(), Vec::new()),
    }
}

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(home.path(), private).unwrap();
    }
    std::fs::write(home.path().join("config.toml"), SETTINGS).unwrap();
    home
}

async fn inviter(home: &std::path::Path) -> Network {
    let names = FamilyNames {
        family: "Berger".into(),
        person: "Anna".into(),
        device: "laptop".into(),
    };
    let made = Node::found(home, &options(), names, None).await;
    let node = made.unwrap_or_else(|error| panic!("{error:?}")).node;
    let options = NetworkOptions::of_home(home).unwrap();
    Network::start(node, options).await.unwrap()
}

/// What a device leaves behind whose pairing broke after it had consented.
async fn broken_pairing(home: &std::path::Path, network: &Network, person: PersonId) -> Pending {
    let keys = DeviceKeys::generate(&mut SeededRng::from_seed([3; 32]));
    let invite_for = InviteFor::Person {
        person,
        role: Role::Member,
    };
    let mut pending = Pending::new(&keys);
    pending.recovery = Some("abandon zoo".into());
    pending.promise = Some(Promise {
        family: network.node().view().await.unwrap().family,
        inviter: device_of(network.net().me()),
        invite_for,
        addresses: network
            .addresses()
            .iter()
            .map(ToString::to_string)
            .collect(),
    });
    let store = open_empty(home).unwrap();
    pending.save(&store).unwrap();
    pending
}

fn admission(pending: &Pending) -> Admission {
    let (keys, promise) = (pending.keys(), pending.promise.clone().unwrap());
    let certificate = Certificate::of(&keys, promise.invite_for.person(), DeviceKind::Device);
    Admission {
        invite_for: promise.invite_for,
        newcomer: Newcomer {
            device: keys.device_id(),
            device_name: "phone".into(),
            person_name: Some("Ben".into()),
        },
        certificate,
        device_sig: certificate.sign(&keys, &promise.family),
        kit: None,
    }
}

async fn join_again(doorway: &Arc<Doorway>) -> Done {
    let words = InviteSecret::from_bytes([9; 16]).words();
    let (answer, _lines) = Answer::new("join");
    join(doorway, &json!({"code": words.as_str()}), &answer).await
}

#[tokio::test]
async fn who_was_let_in_when_the_connection_broke_is_a_member_after_the_next_try() {
    let (there, here) = (home(), home());
    let network = inviter(there.path()).await;
    let pending = broken_pairing(here.path(), &network, PersonId([4; 16])).await;
    let written = admission(&pending);
    let admitted = network
        .node()
        .ask(move |runtime| runtime.admit(&written, &[]))
        .await
        .unwrap();
    admitted.unwrap();
    // The roster reaches the network by its news; a call before that is refused like any stranger's.
    let doorway = Doorway::open(here.path().to_owned(), options())
        .await
        .unwrap_or_else(|error| panic!("{error:?}"));
    let device = pending.keys().device_id();
    network
        .net()
        .set_allowed(BTreeSet::from([peer_of(device)]))
        .await
        .unwrap();
    let joined = join_again(&doorway).await.unwrap();
    assert_eq!(joined["person"], PersonId([4; 16]).to_string());
    assert_eq!(joined["device"], device.to_string());
    assert_eq!(joined["recovery"], json!(["abandon", "zoo"]));
    let view = doorway.node().await.unwrap().view().await.unwrap();
    assert!(view.library().is_some());
    assert_eq!(view.people.devices.len(), 2);
    // It is done: there is nothing left to take up.
    let again = join_again(&doorway).await.unwrap_err();
    assert_eq!(again.id, "E-ALREADY-SET-UP");
    network.stop().await;
}

/// The state of the session with a device, once there is one that has settled.
async fn settled(network: &Network, device: DeviceId) -> bool {
    let mut stirs = network.stirs();
    let settles = async {
        while !network
            .sessions()
            .iter()
            .any(|state| state.device == device && state.settled)
        {
            stirs.changed().await.unwrap();
        }
    };
    let patience = std::time::Duration::from_secs(10);
    tokio::time::timeout(patience, settles).await.is_ok()
}

#[tokio::test]
async fn two_devices_that_call_each_other_at_once_have_one_session() {
    let (there, here) = (home(), home());
    let network = inviter(there.path()).await;
    let pending = broken_pairing(here.path(), &network, PersonId([4; 16])).await;
    let written = admission(&pending);
    let device = pending.keys().device_id();
    let admitted = network
        .node()
        .ask(move |runtime| runtime.admit(&written, &[]))
        .await
        .unwrap();
    admitted.unwrap();
    let doorway = Doorway::open(here.path().to_owned(), options())
        .await
        .unwrap_or_else(|error| panic!("{error:?}"));
    let roster = BTreeSet::from([peer_of(device)]);
    network.net().set_allowed(roster).await.unwrap();
    join_again(&doorway).await.unwrap();
    let node = doorway.node().await.unwrap();
    let me = device_of(network.net().me());
    for round in 0..10 {
        let options = NetworkOptions::of_home(here.path()).unwrap();
        let other = Network::start(node.clone(), options).await.unwrap();
        let (mine, theirs) = (network.addresses()[0], other.addresses()[0]);
        let (called, calling) = tokio::join!(network.call(theirs), other.call(mine));
        assert_eq!(
            (called.ok(), calling.ok()),
            (Some(device), Some(me)),
            "round {round}"
        );
        assert!(settled(&other, me).await, "round {round}");
        assert!(settled(&network, device).await, "round {round}");
        other.stop().await;
    }
    network.stop().await;
}

#[tokio::test]
async fn words_lead_to_the_device_whose_tag_fits() {
    let there = home();
    let network = inviter(there.path()).await;
    let secret = InviteSecret::from_bytes([5; 16]);
    let _guests = network
        .welcome(
            &secret.guest(),
            secret.tag_key(),
            std::time::Duration::from_secs(60),
        )
        .await;
    let mut config = NetConfig::new(guest_seed(&secret.guest()));
    config.listen.clear();
    config.discovery = false;
    let (net, _events) = start(config).await.unwrap();
    let (tell, mut events) = mpsc::channel(4);
    let address = network.addresses()[0];
    let seen = |tag: InviteTagKey, port: u16| {
        let heard = tag.announce([1; 8], port);
        NetEvent::Discovered(Sighting {
            advert: Advert {
                nonce: heard.nonce,
                tag: heard.tag,
            },
            port,
            addresses: vec![Address::new(address.ip, port)],
        })
    };
    let other = InviteSecret::from_bytes([6; 16]);
    // Another invite, then a replayed tag behind which nobody is, then the right one.
    let closed = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    for event in [
        seen(other.tag_key(), address.port),
        seen(secret.tag_key(), port),
        seen(secret.tag_key(), address.port),
    ] {
        tell.send(event).await.unwrap();
    }
    let code = InviteText::Words(secret);
    let host = reach::host(&net, &mut events, &code).await.unwrap();
    assert_eq!(host, network.net().me());
    net.shutdown().await;
    network.stop().await;
}

#[tokio::test]
async fn who_is_not_found_is_told_what_words_and_links_are_good_for() {
    let mut config = NetConfig::new(guest_seed(&InviteSecret::from_bytes([5; 16]).guest()));
    config.listen.clear();
    config.discovery = false;
    let (net, mut events) = start(config).await.unwrap();
    let closed = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let link = InviteText::Link(InviteCode {
        family: FamilyId([1; 32]).control_space(),
        inviter: DeviceId([2; 32]),
        secret: InviteSecret::from_bytes([5; 16]),
        addrs: vec![format!("/ip4/127.0.0.1/tcp/{port}").try_into().unwrap()],
    });
    let lost = reach::host(&net, &mut events, &link).await.unwrap_err();
    assert_eq!((lost.id, lost.why), ("E-NO-PEER", Some(("link", 0))));
    let hint = lost.hint.unwrap();
    assert!(hint.contains("must be reached from outside"), "{hint}");
    // Nothing more is to be heard on this network.
    let (_, mut nothing) = mpsc::channel(1);
    let words = InviteText::Words(InviteSecret::from_bytes([5; 16]));
    let lost = reach::host(&net, &mut nothing, &words).await.unwrap_err();
    assert_eq!((lost.id, lost.why), ("E-NO-PEER", Some(("words", 0))));
    let hint = lost.hint.unwrap();
    for part in [
        "words work in one network alone",
        "use the link",
        "reached from outside",
    ] {
        assert!(hint.contains(part), "{hint}");
    }
    net.shutdown().await;
}

#[tokio::test]
async fn a_guest_without_an_invite_is_handed_nothing() {
    let there = home();
    let network = inviter(there.path()).await;
    let guest = InviteSecret::from_bytes([5; 16]).guest();
    // As when an invite ends while its guest's stream is on the way.
    let minute = std::time::Duration::from_secs(60);
    let let_in = network.net().allow_guest(peer_of(guest.id()), minute).await;
    let_in.unwrap();
    let mut config = NetConfig::new(guest_seed(&guest));
    config.listen.clear();
    config.discovery = false;
    let (net, _events) = start(config).await.unwrap();
    let host = Whom::Host(Some(network.net().me()));
    let host = net.dial(host, network.addresses()).await.unwrap();
    let stream = net.open(host, Proto::Pair).await.unwrap();
    let handed = fetch_handed(stream).await;
    assert!(matches!(handed, Err(NetError::Refused)));
    net.shutdown().await;
    network.stop().await;
}
