//! Homes of one family in this process: founded, joined, asked, on the network of this machine.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http::Request};
use futures::StreamExt as _;
use heirloom_node::{
    api::{Doorway, router},
    net::Address,
    network::{Network, NetworkOptions, remember},
    node::{Node, Options},
    runtime::{Identity, system_rng},
    store::Store,
};
use heirloom_protocol::{
    crypto::DeviceKeys,
    id::{AlbumId, DeviceId, PersonId},
    log::entry::EntryBytes,
    op::{DeviceKind, Op, Subject},
    replica::sign_device,
    wire,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// How long anything may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(1800);

/// How this program runs nodes: it is the worker itself.
pub fn options() -> Options {
    let program = std::env::current_exe().unwrap();
    Options {
        worker: (program, vec!["worker-decode".into()]),
    }
}

/// What an act said, in short.
pub struct Told {
    /// Lines, the last one included.
    pub lines: usize,
    /// How long the first took.
    pub first: Duration,
    /// The last line.
    pub last: Value,
}

impl Told {
    /// Reads the lines of an answer.
    pub async fn of(body: Body, begun: Instant) -> Self {
        let mut stream = body.into_data_stream();
        let (mut lines, mut first, mut last) = (0, None, Vec::new());
        while let Some(part) = stream.next().await {
            for byte in part.unwrap() {
                if byte == b'\n' {
                    lines += 1;
                    first.get_or_insert_with(|| begun.elapsed());
                }
                match last.last() {
                    Some(b'\n') => {
                        last.clear();
                        last.push(byte);
                    }
                    _ => last.push(byte),
                }
            }
        }
        let last: Value = serde_json::from_slice(&last).unwrap();
        assert_eq!(last["type"], "summary", "{last}");
        assert_eq!(last["exit"].as_u64().unwrap_or(0), 0, "{last}");
        Self {
            lines,
            first: first.unwrap(),
            last,
        }
    }
}

/// A request for an act.
pub fn request(act: &str, body: &Value) -> Request<Body> {
    Request::post(format!("/v1/{act}"))
        .header("host", "heirloom")
        .body(Body::from(body.to_string()))
        .unwrap()
}

/// A home that is open in this process.
pub struct Home {
    pub path: PathBuf,
    pub doorway: Arc<Doorway>,
    router: Router,
}

impl Home {
    /// A new family in a new folder.
    pub async fn found(path: &Path) -> Self {
        let home = Self::open(path).await;
        let body =
            json!({"family": "Berger", "person": "Anna", "device": "laptop", "no_recovery": true});
        home.ask("init", &body).await;
        home
    }

    /// A folder as it is; waits until the node that had it open before is gone.
    pub async fn open(path: &Path) -> Self {
        let begun = Instant::now();
        let doorway = loop {
            match Doorway::open(path.to_owned(), options()).await {
                Ok(doorway) => break doorway,
                Err(error) => assert_eq!(error.id, "E-LOCKED"),
            }
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let router = router(doorway.clone());
        Self {
            path: path.to_owned(),
            doorway,
            router,
        }
    }

    /// Closes it; free when this returns.
    pub async fn close(self) {
        let path = self.path.clone();
        drop(self);
        let begun = Instant::now();
        while Store::open(&path).is_err() {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Asks for an act.
    pub async fn ask(&self, act: &str, body: &Value) -> Told {
        let begun = Instant::now();
        let response = self.router.clone().oneshot(request(act, body)).await;
        Told::of(response.unwrap().into_body(), begun).await
    }

    /// The node.
    pub async fn node(&self) -> Node {
        self.doorway.node().await.unwrap()
    }

    /// This person's library.
    pub async fn library(&self) -> AlbumId {
        let view = self.node().await.view().await.unwrap();
        view.library().unwrap().id
    }

    /// Makes a home for a second device of the same person, which knows who belongs and no more.
    pub async fn join(&self, path: &Path) -> Self {
        let person = self.node().await.view().await.unwrap().person.unwrap();
        self.join_as(person, DeviceKind::Device, path).await
    }

    /// Makes a home for a keeper, which knows who belongs and no more.
    pub async fn join_keeper(&self, path: &Path) -> Self {
        self.join_as(PersonId::ZERO, DeviceKind::Keeper, path).await
    }

    async fn join_as(&self, person: PersonId, kind: DeviceKind, path: &Path) -> Self {
        let node = self.node().await;
        let keys = DeviceKeys::generate(&mut system_rng().unwrap());
        let (family, genesis) = node
            .ask(|runtime| {
                let replica = runtime.replica();
                (replica.family(), replica.control().genesis().clone())
            })
            .await
            .unwrap();
        let store = Store::create(path).unwrap();
        let identity = Identity::new(&keys, family, genesis, 7);
        identity.save(&store).unwrap();
        drop(store);
        let add = sign_device(&keys, family, person, kind);
        let device = add.device;
        node.ask(move |runtime| {
            runtime.record_control(vec![Op::AddDevice(add)])?;
            runtime.name(Subject::Device(device), "other")?;
            runtime.tend()
        })
        .await
        .unwrap()
        .unwrap();
        let home = Self::open(path).await;
        let to = home.node().await;
        let sender = self.device().await;
        for head in node.store().logs(family.control_space()) {
            let records = node.store().entries(&head.log, 0, usize::MAX).unwrap();
            let entries: Vec<EntryBytes> = records
                .iter()
                .map(|record| wire::decode_row(&record.bytes).unwrap())
                .collect();
            to.ask(move |runtime| runtime.accept(sender, entries))
                .await
                .unwrap()
                .unwrap();
        }
        home
    }

    /// This device.
    pub async fn device(&self) -> DeviceId {
        self.node().await.view().await.unwrap().device
    }

    /// Joins the network of this machine.
    pub async fn network(&self) -> Network {
        let loopback: Address = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
        let options = NetworkOptions {
            listen: vec![loopback],
            discovery: false,
            lan_only: false,
            ..NetworkOptions::default()
        };
        let network = Network::start(self.node().await, options).await.unwrap();
        until("the node listens", || !network.addresses().is_empty()).await;
        network
    }

    /// Remembers where a device can be called.
    pub async fn knows(&self, device: DeviceId, address: Address) {
        remember(self.node().await.store(), &device, address).unwrap();
    }
}

/// Waits for something.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
