//! A large blob that comes from several real nodes, one of which lies or has a bad disk.

use std::{path::Path, time::Duration};

use heirloom_protocol::{
    album::asset::BlobRef,
    crypto::{BlobKey, Class, DeviceKeys, Encryptor, Shape},
    id::{AlbumId, DeviceId, PlainHash},
    log::entry::BlobLine,
    op::{AddItem, Captured, DeviceKind, ItemKind, Op, Part, PartRole, Subject},
    replica::sign_device,
    wire,
};

use super::Network;
use crate::{
    net::Address,
    network::{NetworkOptions, remember},
    node::{FamilyNames, Node, Options},
    runtime::{Identity, system_rng},
    store::Store,
};

impl Network {
    /// Sends one wrong byte, if this node was told to.
    pub(super) fn lie(&self, first: u32, bytes: &mut [u8]) {
        let mut lies_after = self.0.lies_after.lock().unwrap();
        if lies_after.is_some_and(|leaf| first >= leaf) {
            *lies_after = None;
            bytes[70] ^= 1;
        }
    }
}

/// A device on loopback.
struct Home {
    folder: tempfile::TempDir,
    node: Node,
}

fn options() -> Options {
    Options {
        worker: ("/bin/false".into(), Vec::new()),
    }
}

impl Home {
    async fn found() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = FamilyNames {
            family: "Berger".into(),
            person: "Anna".into(),
            device: "laptop".into(),
        };
        let home = folder.path().join("home");
        let made = Node::found(&home, &options(), names, None).await.unwrap();
        Self {
            folder,
            node: made.node,
        }
    }

    /// Another device of the same person, which knows who belongs and no more.
    async fn join(&self, name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let view = self.node.view().await.unwrap();
        let (person, sender) = (view.person.unwrap(), view.device);
        let keys = DeviceKeys::generate(&mut system_rng().unwrap());
        let known = self.node.ask(|runtime| {
            let replica = runtime.replica();
            (replica.family(), replica.control().genesis().clone())
        });
        let (family, genesis) = known.await.unwrap();
        let store = Store::create(&home).unwrap();
        let identity = Identity::new(&keys, family, genesis, 7);
        identity.save(&store).unwrap();
        drop(store);
        let add = sign_device(&keys, family, person, DeviceKind::Device);
        let device = add.device;
        let added = self.node.ask(move |runtime| {
            runtime.record_control(vec![Op::AddDevice(add)])?;
            runtime.name(Subject::Device(device), name)?;
            runtime.tend()
        });
        added.await.unwrap().unwrap();
        let node = Node::open(Path::new(&home), &options()).await.unwrap();
        let node = node.unwrap();
        for head in self.node.store().logs(family.control_space()) {
            let records = self.node.store().entries(&head.log, 0, usize::MAX).unwrap();
            let entries = records.iter().map(|r| wire::decode_row(&r.bytes).unwrap());
            let entries = entries.collect();
            let taken = node.ask(move |runtime| runtime.accept(sender, entries));
            taken.await.unwrap().unwrap();
        }
        Self { folder, node }
    }

    async fn device(&self) -> DeviceId {
        self.node.view().await.unwrap().device
    }

    async fn network(&self) -> Network {
        let loopback: Address = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
        let options = NetworkOptions {
            listen: vec![loopback],
            discovery: false,
            ..NetworkOptions::default()
        };
        let network = Network::start(self.node.clone(), options).await.unwrap();
        until(async || !network.addresses().is_empty()).await;
        network
    }

    async fn knows(&self, other: &Self, network: &Network) {
        let device = other.device().await;
        remember(self.node.store(), &device, network.addresses()[0]).unwrap();
    }

    /// Records an original of so many leaves.
    async fn movie(&self, leaves: usize) -> BlobRef {
        let album: AlbumId = self.node.view().await.unwrap().library().unwrap().id;
        let plain: Vec<u8> = (0..leaves * 65_520)
            .map(|at| u8::try_from(at / 7 % 251).unwrap())
            .collect();
        let key = BlobKey::from_bytes([9; 32]);
        let len = u64::try_from(plain.len()).unwrap();
        let shape = Shape::padded(Class::Original, 0, len).unwrap();
        let mut encryptor = Encryptor::new(&key, shape);
        let mut writer = self.node.store().blobs().writer();
        let mut rest = &plain[..];
        for index in 0..shape.segments() {
            let (now, later) = rest.split_at(shape.data_bytes(index));
            rest = later;
            let mut segment = now.to_vec();
            encryptor.seal_segment(index, &mut segment).unwrap();
            writer.write(&segment).unwrap();
        }
        let stored = writer.finish().unwrap();
        self.node.store().blobs().sync().unwrap();
        let line = BlobLine {
            part: 0,
            class: Class::Original.code(),
            id: stored.cid,
            padded: shape.padded_bytes(),
        };
        let part = Part {
            role: PartRole::Still,
            name: "movie".into(),
            len,
            pt_hash: PlainHash(*blake3::hash(&plain).as_bytes()),
            key,
            blob: 0,
        };
        let item = AddItem {
            kind: ItemKind::Photo,
            media: 1,
            captured: Captured {
                wall: None,
                offset: None,
                source: 0,
            },
            width: 4,
            height: 3,
            duration_ms: 0,
            place: None,
            camera: None,
            parts: vec![part],
        };
        let recorded = self.node.ask(move |runtime| {
            runtime.record(album, vec![Op::AddItem(item)], vec![line], &[stored.place])
        });
        recorded.await.unwrap().unwrap();
        let logs = self.node.store().logs(album);
        let mut blobs = Vec::new();
        for head in logs {
            let blob = self.node.ask(move |runtime| runtime.blob_of(&head.log, 0));
            blobs.extend(blob.await.unwrap().unwrap());
        }
        blobs[0]
    }

    async fn has(&self, blob: BlobRef) -> bool {
        let here = self.node.store().here(&blob.log).unwrap();
        here.contains(blob.ordinal)
    }
}

/// Waits until something holds.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waits = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waits).await;
    waited.expect("within a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_lies_in_one_leaf_is_named_and_the_blob_comes_from_another() {
    let laptop = Home::found().await;
    let (desktop, asker) = (laptop.join("desktop").await, laptop.join("asker").await);
    let blob = laptop.movie(200).await;
    let (honest, liar) = (laptop.network().await, desktop.network().await);
    desktop.knows(&laptop, &honest).await;
    liar.call_round().await.unwrap();
    until(async || desktop.has(blob).await).await;
    // Else the asker would hear of it, and have the blob from there.
    honest.stop().await;

    // Alone with the liar: what it sent before its lie is kept, and it is turned away.
    *liar.0.lies_after.lock().unwrap() = Some(120);
    let asking = asker.network().await;
    asker.knows(&desktop, &liar).await;
    asking.call_round().await.unwrap();
    let device = desktop.device().await;
    until(async || asking.is_kept_away(&device)).await;
    let named = async || {
        let view = asker.node.view().await.unwrap();
        let audit = view.peers.audit(&device);
        audit.is_some_and(|audit| audit.failing == [(blob.log, blob.ordinal)])
    };
    until(named).await;
    assert!(!asker.has(blob).await);

    let honest = laptop.network().await;
    asker.knows(&laptop, &honest).await;
    asking.call_round().await.unwrap();
    until(async || asker.has(blob).await).await;
    let place = asker.node.store().place_of(&blob.log, blob.ordinal);
    let place = place.unwrap().unwrap();
    assert!(
        asker
            .node
            .store()
            .blobs()
            .is_whole(&blob.id, &place)
            .unwrap()
    );
    let sent = honest.moved().bytes_sent;
    assert!(sent <= 140 * 65_536, "{sent}");
    for network in [honest, liar, asking] {
        network.stop().await;
    }
    drop((laptop.folder, desktop.folder, asker.folder));
}
