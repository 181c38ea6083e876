//! Devices of one family as people run them: a served node, an invite, a join, a sync.
#![cfg(unix)]

mod devices;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use devices::{Homes, LOOPBACK, Running, join, run, serve};
use heirloom_node::{
    api::{Doorway, router},
    net::{Address, Net, NetConfig, NetEvent, Peer, Proto, Whom},
    network::{Network, NetworkOptions},
    node::{FamilyNames, Node, Options},
};
use heirloom_protocol::{
    family::invite::{InviteCode, InviteSecret, InviteText, parse},
    op::{AlbumUse, Role},
};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::ServiceExt as _;

fn options() -> Options {
    Options {
        worker: (env!("CARGO_BIN_EXE_heirloom").into(), Vec::new()),
    }
}

/// A home with a family of its own.
async fn founded(homes: &Homes, name: &str) -> PathBuf {
    let home = homes.home(name);
    let names = FamilyNames {
        family: "Berger".into(),
        person: "Anna".into(),
        device: "laptop".into(),
    };
    let made = Node::found(&home, &options(), names, None).await;
    assert!(made.is_ok(), "{:?}", made.err());
    home
}

#[tokio::test]
async fn a_device_joins_once_with_a_code_and_both_screens_show_the_same_words() {
    let homes = Homes::new();
    let a = founded(&homes, "a").await;
    let (b, c) = (homes.home("b"), homes.home("c"));
    let node = serve(&a);
    let mut invite = Running::start(&a, &["--yes", "invite", "--device"]);
    let line = invite.line("invite");
    let code = line["code"].as_str().expect("a link").to_owned();
    assert_eq!(line["words"].as_array().map(Vec::len), Some(12));

    let (joined, exit) = join(&b, &code);
    assert_eq!(exit, 0, "{joined}");
    let shown = invite.line("confirm");
    assert_eq!(shown["words"].as_array().map(Vec::len), Some(4));
    assert_eq!(shown["words"], joined["words"]);
    let (invited, exit) = invite.end();
    assert_eq!(exit, 0, "{invited}");
    assert_eq!(invited["device"], joined["device"]);
    assert_eq!(invited["person"], joined["person"]);
    assert_eq!(joined["family_name"], "Berger");
    assert_eq!(joined["person_name"], "Anna");
    assert_eq!(joined["recovery"], Value::Null);

    let (refused, exit) = join(&c, &code);
    assert_eq!((refused["id"].as_str(), exit), (Some("E-CODE"), 8));
    let (refused, exit) = join(&b, &code);
    assert_eq!(
        (refused["id"].as_str(), exit),
        (Some("E-ALREADY-SET-UP"), 1)
    );

    let (synced, exit) = run(&b, &["sync"], "");
    assert_eq!((exit, &synced["settled"]), (0, &json!(true)), "{synced}");
    drop(node);
    let view = view(&b).await;
    let devices: Vec<_> = view
        .people
        .devices
        .iter()
        .map(|d| d.id.to_string())
        .collect();
    assert_eq!(devices.len(), 2);
    assert!(devices.iter().any(|id| joined["device"] == **id));
    // Its person's library came with the sync.
    assert!(view.library().is_some());
    assert_eq!(view.albums.len(), 2);
}

async fn view(home: &Path) -> heirloom_node::runtime::View {
    let inside = Inside::open(home).await;
    let node = inside.doorway.node().await.expect("set up");
    let view = node.view().await.expect("a view");
    inside.stop().await;
    view
}

#[tokio::test]
async fn a_new_person_joins_with_recovery_words_a_library_and_the_familys_album() {
    let homes = Homes::new();
    let a = founded(&homes, "a").await;
    let b = homes.home("b");
    let node = serve(&a);
    let mut invite = Running::start(&a, &["--yes", "invite", "--person", "Ben"]);
    let code = invite.line("invite")["code"]
        .as_str()
        .expect("a link")
        .to_owned();
    let (joined, exit) = join(&b, &code);
    assert_eq!(exit, 0, "{joined}");
    assert_eq!(joined["recovery"].as_array().map(Vec::len), Some(24));
    assert_eq!(joined["person_name"], "Ben");
    let (invited, exit) = invite.end();
    assert_eq!(
        (exit, &invited["person_name"]),
        (0, &json!("Ben")),
        "{invited}"
    );
    let (synced, exit) = run(&b, &["sync"], "");
    assert_eq!(exit, 0, "{synced}");
    drop(node);
    let view = view(&b).await;
    assert_eq!(view.people.persons.len(), 2);
    let ben = view
        .people
        .persons
        .iter()
        .find(|p| Some(p.id) == view.person);
    let ben = ben.expect("Ben is in the family");
    assert_eq!((ben.role, ben.has_kit), (Some(Role::Member), true));
    assert!(view.library().is_some());
    let family =
        |album: &&heirloom_node::runtime::SeenAlbum| album.row.purpose() == AlbumUse::Family;
    assert!(view.albums.values().find(family).is_some());
}

#[tokio::test]
async fn a_code_that_fits_no_invite_gets_nothing() {
    let homes = Homes::new();
    let a = founded(&homes, "a").await;
    let b = homes.home("b");
    let (refused, exit) = join(
        &b,
        "these are twelve words that no one ever made into a code",
    );
    assert_eq!((refused["id"].as_str(), exit), (Some("E-CODE"), 8));

    let node = serve(&a);
    let mut invite = Running::start(&a, &["--yes", "invite", "--device"]);
    let code = invite.line("invite")["code"]
        .as_str()
        .expect("a link")
        .to_owned();
    let InviteText::Link(code) = parse(&code).expect("well formed") else {
        panic!("words");
    };
    let guessed = InviteCode {
        secret: InviteSecret::from_bytes([7; 16]),
        ..code
    }
    .link();
    let (refused, exit) = join(&b, &guessed);
    assert_eq!((refused["id"].as_str(), exit), (Some("E-CODE"), 8));
    // The code dies with its command, and nobody answers once the node is gone.
    drop(invite);
    drop(node);
    let (refused, exit) = join(&b, &guessed);
    assert_eq!((refused["id"].as_str(), exit), (Some("E-NO-PEER"), 6));
    let (refused, exit) = run(&b, &["status"], "");
    assert_eq!((refused["id"].as_str(), exit), (Some("E-NOT-SET-UP"), 5));
}

#[tokio::test]
async fn one_node_runs_on_a_home_and_its_socket_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let homes = Homes::new();
    let a = founded(&homes, "a").await;
    let b = homes.home("b");
    let node = serve(&a);
    let mode = std::fs::metadata(a.join("node.sock"))
        .expect("a socket")
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let (second, exit) = run(&a, &["serve", "--no-discovery", "--listen", LOOPBACK], "");
    assert_eq!((second["id"].as_str(), exit), (Some("E-LOCKED"), 7));
    // A killed node leaves its socket behind; the next one takes its place.
    drop(node);
    assert!(a.join("node.sock").exists());
    drop(serve(&a));
    let bare = [
        "serve",
        "--no-gallery",
        "--no-discovery",
        "--listen",
        LOOPBACK,
    ];
    let (refused, exit) = run(&b, &bare, "");
    assert_eq!((refused["id"].as_str(), exit), (Some("E-NOT-SET-UP"), 5));
}

/// A node in this process, for answers that no command gives.
struct Inside {
    doorway: Arc<Doorway>,
    network: Option<Network>,
}

impl Inside {
    async fn open(home: &Path) -> Self {
        let doorway = loop {
            match Doorway::open(home.to_owned(), options()).await {
                Ok(doorway) => break doorway,
                // The thread of a node that was dropped may still be at its end.
                Err(error) if error.id == "E-LOCKED" => tokio::task::yield_now().await,
                Err(error) => panic!("{error:?}"),
            }
        };
        let network = match doorway.node().await {
            Err(_) => None,
            Ok(node) => {
                let options = NetworkOptions::of_home(home).expect("settings");
                let network = Network::start(node, options).await;
                Some(network.unwrap_or_else(|error| panic!("{error:?}")))
            }
        };
        doorway.run_on(network.clone()).await;
        Self { doorway, network }
    }

    async fn act(&self, act: &str, body: Value) -> Act {
        let request = Request::post(format!("/v1/{act}")).body(Full::from(body.to_string()));
        let request = request.expect("a request");
        let Ok(response) = router(self.doorway.clone()).oneshot(request).await;
        Act {
            body: response.into_body(),
            rest: Vec::new(),
        }
    }

    /// Answers a question.
    async fn say(&self, question: &Value, accept: bool) {
        let body = json!({"token": question["token"], "accept": accept});
        let told = self.act("confirm", body).await.end().await;
        assert_eq!(told["taken"], true, "{told}");
    }

    async fn stop(self) {
        if let Some(network) = self.network {
            network.stop().await;
        }
    }
}

/// An act and its lines.
struct Act {
    body: heirloom_node::api::AnswerBody,
    rest: Vec<u8>,
}

impl Act {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=at).collect();
                return Some(serde_json::from_slice(&line).expect("JSON"));
            }
            let frame = self.body.frame().await?.expect("a frame");
            let data: Bytes = frame.into_data().expect("data");
            self.rest.extend_from_slice(&data);
        }
    }

    async fn line(&mut self, kind: &str) -> Value {
        loop {
            let line = self.next().await.expect("a line");
            if line["type"] == kind {
                return line;
            }
            assert!(line["type"] != "error", "{line}");
        }
    }

    async fn end(mut self) -> Value {
        let mut last = Value::Null;
        while let Some(line) = self.next().await {
            last = line;
        }
        last
    }
}

#[tokio::test]
async fn words_that_are_refused_on_either_side_let_nobody_in() {
    let homes = Homes::new();
    let a = Inside::open(&founded(&homes, "a").await).await;
    let b = Inside::open(&homes.home("b")).await;
    let mut invite = a.act("invite", json!({"device": true})).await;
    let code = invite.line("invite").await["code"].clone();

    // The joiner says no: the code lives on.
    let mut join = b.act("join", json!({"code": code})).await;
    b.say(&join.line("confirm").await, false).await;
    assert_eq!(join.end().await["id"], "E-REFUSED");
    invite.line("confirm").await;

    // The inviter says no: the code is burned, and the other side hears of it.
    let mut join = b.act("join", json!({"code": code})).await;
    let (there, here) = (join.line("confirm").await, invite.line("confirm").await);
    assert_eq!(there["words"], here["words"]);
    b.say(&there, true).await;
    a.say(&here, false).await;
    for act in [join, invite] {
        let end = act.end().await;
        assert_eq!((&end["id"], &end["exit"]), (&json!("E-REFUSED"), &json!(8)));
    }
    let again = b.act("join", json!({"code": code})).await.end().await;
    assert_eq!(
        (&again["id"], &again["exit"]),
        (&json!("E-CODE"), &json!(8))
    );
    a.stop().await;
}

#[tokio::test]
async fn two_invites_at_once_do_not_disturb_each_other() {
    let homes = Homes::new();
    let a = Inside::open(&founded(&homes, "a").await).await;
    let b = Inside::open(&homes.home("b")).await;
    let mut first = a.act("invite", json!({"device": true})).await;
    let code = first.line("invite").await["code"].clone();
    let mut second = a.act("invite", json!({"keeper": "cellar"})).await;
    second.line("invite").await;
    let mut join = b.act("join", json!({"code": code, "device": "pi"})).await;
    let (there, here) = (join.line("confirm").await, first.line("confirm").await);
    b.say(&there, true).await;
    a.say(&here, true).await;
    assert_eq!(first.end().await["device_name"], "pi");
    assert_eq!(join.end().await["device_name"], "pi");
    a.stop().await;
}

#[tokio::test]
async fn five_bad_handshakes_burn_a_code() {
    let homes = Homes::new();
    let a = founded(&homes, "a").await;
    let node = serve(&a);
    let mut invite = Running::start(&a, &["--yes", "invite", "--device"]);
    let code = invite.line("invite")["code"]
        .as_str()
        .expect("a link")
        .to_owned();
    let InviteText::Link(code) = parse(&code).expect("well formed") else {
        panic!("words");
    };
    for _ in 0..5 {
        knock(&code).await;
    }
    let (ended, exit) = invite.end();
    assert_eq!((ended["id"].as_str(), exit), (Some("E-CODE"), 8));
    let (refused, exit) = join(&homes.home("b"), &code.link());
    assert_eq!((refused["id"].as_str(), exit), (Some("E-CODE"), 8));
    drop(node);
}

/// Comes as the invite's guest, says nonsense and waits for the end of the conversation.
async fn knock(code: &InviteCode) {
    let mut config = NetConfig::new(code.secret.guest().to_bytes());
    config.listen.clear();
    config.discovery = false;
    let (net, mut events) = Net::start(config).await.expect("a node");
    let drain = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            assert!(
                !matches!(event, NetEvent::Stream { .. }),
                "nothing is opened to a guest"
            );
        }
    });
    let addresses: Vec<Address> = code
        .addrs
        .iter()
        .map(|address| address.to_string().parse().expect("an address"))
        .collect();
    let host = Whom::Host(Some(Peer(code.inviter.0)));
    let peer = net
        .dial(host, addresses)
        .await
        .expect("the inviter answers");
    let mut stream = net.open(peer, Proto::Pair).await.expect("a guest may pair");
    let frame = [&code.secret.id().0[..], &[7; 32]].concat();
    let length = u32::try_from(frame.len()).expect("short").to_le_bytes();
    stream
        .write_all(&[&length[..], &frame].concat())
        .await
        .expect("sent");
    let mut heard = Vec::new();
    // The end may come as a reset.
    let _ = stream.read_to_end(&mut heard).await;
    assert!(heard.is_empty(), "a wrong code hears nothing");
    net.shutdown().await;
    drain.abort();
}
