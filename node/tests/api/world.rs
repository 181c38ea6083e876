//! Homes without a network: a router each, photos put in by hand, entries carried from one to the other.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{Router, body::Body, http::Request};
use futures::StreamExt;
use heirloom_node::{
    api::{Doorway, router},
    network::{Network, NetworkOptions},
    node::{Node, Options},
    runtime::{Identity, system_rng},
    store::{BlobState, Store},
    upkeep,
};
use heirloom_protocol::{
    album::asset::BlobRef,
    crypto::{BlobKey, Class, DeviceKeys, Encryptor, RecoveryKit, Shape},
    id::{AlbumId, FamilyId, OpId, PersonId, PlainHash},
    log::entry::{BlobLine, Entry, EntryBytes},
    op::{
        AddItem, AddPart, AddPerson, Captured, DeviceKind, ItemKind, Op, Part, PartRole, Role,
        Subject,
    },
    replica::sign_device,
    time::Timestamp,
    wire,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

const DAY: u64 = 24 * 3600 * 1000;

/// A home and its router.
pub struct Home {
    pub dir: TempDir,
    pub doorway: Arc<Doorway>,
    router: Router,
}

/// Bytes that no program makes smaller, always the same for a seed.
pub fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// The lines of an answer.
#[derive(Debug)]
pub struct Told(pub Vec<Value>);

impl Told {
    /// The last line.
    pub fn last(&self) -> &Value {
        self.0.last().expect("an answer ends with a line")
    }

    /// The lines of a type.
    pub fn of(&self, kind: &str) -> Vec<&Value> {
        let lines = self.0.iter();
        lines.filter(|line| line["type"] == kind).collect()
    }

    /// The exit code that the command would have.
    pub fn exit(&self) -> u64 {
        self.last()["exit"].as_u64().unwrap_or(0)
    }

    /// The summary of an act that did everything.
    pub fn done(&self) -> &Value {
        assert_eq!(self.last()["type"], "summary", "{self:?}");
        assert_eq!(self.exit(), 0, "{self:?}");
        self.last()
    }

    /// The id of the error and its exit.
    pub fn error(&self) -> (&str, u64) {
        assert_eq!(self.last()["type"], "error", "{self:?}");
        (self.last()["id"].as_str().unwrap(), self.exit())
    }
}

pub fn options() -> Options {
    Options {
        worker: (PathBuf::from("/bin/false"), Vec::new()),
    }
}

/// A photo to put in.
pub struct Photo<'a> {
    pub name: &'a str,
    pub bytes: &'a [u8],
    pub wall: Option<i64>,
}

impl Home {
    /// Bytes of the files below its blobs.
    pub fn blob_bytes(&self) -> u64 {
        fn of(folder: &Path) -> u64 {
            let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
            entries
                .map(|entry| match entry.path() {
                    path if path.is_dir() => of(&path),
                    path => path.metadata().unwrap().len(),
                })
                .sum()
        }
        of(&self.doorway.home().join("blobs"))
    }

    /// An empty folder.
    pub async fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::open(dir).await
    }

    /// A folder as it is.
    pub async fn open(dir: TempDir) -> Self {
        Self::open_with(dir, options()).await
    }

    /// A folder as it is, with another worker.
    pub async fn open_with(dir: TempDir, options: Options) -> Self {
        let doorway = loop {
            match Doorway::open(dir.path().join("home"), options.clone()).await {
                Ok(doorway) => break doorway,
                // It is free when the runtime's thread has seen that nobody holds it any more.
                Err(error) => assert_eq!(error.id, "E-LOCKED"),
            }
            tokio::task::yield_now().await;
        };
        let router = router(doorway.clone());
        Self {
            dir,
            doorway,
            router,
        }
    }

    /// Closes the home; nobody has it open when this returns.
    pub async fn close(self) -> TempDir {
        let Self {
            dir,
            doorway,
            router,
        } = self;
        drop((doorway, router));
        while Store::open(&dir.path().join("home")).is_err() {
            tokio::task::yield_now().await;
        }
        dir
    }

    /// Closes the home and opens it again.
    pub async fn again(self) -> Self {
        let Self {
            dir,
            doorway,
            router,
        } = self;
        drop((doorway, router));
        Self::open(dir).await
    }

    /// The home of Anna, who founded the family Berger.
    pub async fn anna() -> Self {
        let home = Self::empty().await;
        let body =
            json!({"family": "Berger", "person": "Anna", "device": "laptop", "no_recovery": true});
        home.ask("init", body).await.done();
        home
    }

    /// Asks for an act.
    pub async fn ask(&self, act: &str, body: Value) -> Told {
        let request = Request::post(format!("/v1/{act}"))
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let mut stream = response.into_body().into_data_stream();
        let mut bytes = Vec::new();
        while let Some(part) = stream.next().await {
            bytes.extend(part.unwrap());
        }
        let text = String::from_utf8(bytes).unwrap();
        let told = Told(
            text.lines()
                .map(|l| serde_json::from_str(l).unwrap())
                .collect(),
        );
        let ends = ["summary", "error"];
        let ended = told.0.iter().filter(|line| {
            let kind = line["type"].as_str().unwrap();
            ends.contains(&kind)
        });
        assert_eq!(ended.count(), 1, "{told:?}");
        assert!(ends.contains(&told.last()["type"].as_str().unwrap()));
        assert!(told.0.iter().all(|line| line["v"] == 1), "{told:?}");
        told
    }

    /// What is said of the node's health, as a status of HTTP.
    pub async fn health(&self) -> u16 {
        let request = Request::get("/healthz").body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        response.status().as_u16()
    }

    /// The node.
    pub async fn node(&self) -> Node {
        self.doorway.node().await.unwrap()
    }

    /// An album by its name.
    pub async fn album(&self, name: &str) -> AlbumId {
        let view = self.node().await.view().await.unwrap();
        let mut albums = view.albums.values();
        let found = albums.find(|album| album.name(&view) == name);
        found.expect("an album of this name").id
    }

    /// Puts a photo into an album.
    pub async fn add(&self, album: &str, name: &str, bytes: &[u8]) -> OpId {
        let wall = None;
        self.add_photo(album, &Photo { name, bytes, wall }).await
    }

    /// Puts a photo with a time into an album.
    pub async fn add_photo(&self, album: &str, photo: &Photo<'_>) -> OpId {
        self.add_parts(
            album,
            photo.wall,
            &[(PartRole::Still, photo.name, photo.bytes)],
        )
        .await
    }

    /// Puts an asset of several files into an album.
    pub async fn add_parts(
        &self,
        album: &str,
        wall: Option<i64>,
        files: &[(PartRole, &str, &[u8])],
    ) -> OpId {
        self.record_parts(album, wall, files, None).await
    }

    /// Puts a photo into an album that is said to be another one.
    pub async fn add_claiming(&self, album: &str, name: &str, bytes: &[u8], said: &[u8]) -> OpId {
        let files = [(PartRole::Still, name, bytes)];
        let claim = PlainHash(*blake3::hash(said).as_bytes());
        self.record_parts(album, None, &files, Some(claim)).await
    }

    /// Adds a file to an item that is there, said to be another one.
    pub async fn add_part_claiming(&self, album: &str, item: OpId, bytes: &[u8], said: &[u8]) {
        let (node, album) = (self.node().await, self.album(album).await);
        let sealed = seal(9, bytes);
        let stored = node.store().blobs().put(&sealed.ciphertext).unwrap();
        let line = BlobLine {
            part: 9,
            class: 0,
            id: stored.cid,
            padded: sealed.shape.padded_bytes(),
        };
        let part = Part {
            role: PartRole::Motion,
            name: "part.mov".to_owned(),
            len: sealed.shape.len(),
            pt_hash: PlainHash(*blake3::hash(said).as_bytes()),
            key: sealed.key,
            blob: 0,
        };
        let op = Op::AddPart(AddPart { item, part });
        node.ask(move |runtime| runtime.record(album, vec![op], vec![line], &[stored.place]))
            .await
            .unwrap()
            .unwrap();
    }

    async fn record_parts(
        &self,
        album: &str,
        wall: Option<i64>,
        files: &[(PartRole, &str, &[u8])],
        claim: Option<PlainHash>,
    ) -> OpId {
        let (node, album) = (self.node().await, self.album(album).await);
        let (mut parts, mut lines, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (role, name, bytes)) in files.iter().enumerate() {
            let number = u8::try_from(index).unwrap();
            let sealed = seal(number, bytes);
            let stored = node.store().blobs().put(&sealed.ciphertext).unwrap();
            lines.push(BlobLine {
                part: number,
                class: 0,
                id: stored.cid,
                padded: sealed.shape.padded_bytes(),
            });
            places.push(stored.place);
            parts.push(Part {
                role: *role,
                name: (*name).to_owned(),
                len: sealed.shape.len(),
                pt_hash: claim.unwrap_or(PlainHash(*blake3::hash(bytes).as_bytes())),
                key: sealed.key,
                blob: u32::from(number),
            });
        }
        let item = AddItem {
            kind: ItemKind::Photo,
            media: 1,
            captured: Captured {
                wall,
                offset: None,
                source: 1,
            },
            width: 4,
            height: 3,
            duration_ms: 0,
            place: None,
            camera: None,
            parts,
        };
        let ids = node
            .ask(move |runtime| runtime.record(album, vec![Op::AddItem(item)], lines, &places))
            .await
            .unwrap()
            .unwrap();
        ids[0]
    }

    /// Adds a person without a device.
    pub async fn add_person(&self, name: &'static str, role: Role) -> PersonId {
        let person = PersonId([name.len() as u8; 16]);
        let add = AddPerson {
            person,
            role,
            kit: None,
        };
        let node = self.node().await;
        node.ask(move |runtime| {
            runtime.record_control(vec![Op::AddPerson(add)])?;
            runtime.name(Subject::Person(person), name)
        })
        .await
        .unwrap()
        .unwrap();
        person
    }

    /// Makes a home for a new device of a person, and has this one take it in.
    pub async fn join(&self, person: PersonId, name: &'static str) -> Self {
        self.join_as(person, DeviceKind::Device, name).await
    }

    /// Makes a home for a keeper, and has this one take it in.
    pub async fn join_keeper(&self, name: &'static str) -> Self {
        self.join_as(PersonId::ZERO, DeviceKind::Keeper, name).await
    }

    async fn join_as(&self, person: PersonId, kind: DeviceKind, name: &'static str) -> Self {
        let (dir, keys, family) = self.newborn().await;
        let node = self.node().await;
        let add = sign_device(&keys, family, person, kind);
        let device = add.device;
        node.ask(move |runtime| {
            runtime.record_control(vec![Op::AddDevice(add)])?;
            runtime.name(Subject::Device(device), name)?;
            runtime.tend()
        })
        .await
        .unwrap()
        .unwrap();
        let home = Self::open(dir).await;
        home.take_from(self).await;
        home
    }

    /// Makes a home for a new device of the person whose words these are, and tells this one.
    pub async fn bring_back(&self, words: &str, name: &'static str) -> Self {
        let (dir, _, _) = self.newborn().await;
        let home = Self::open(dir).await;
        home.take_from(self).await;
        let kit = RecoveryKit::from_words(words).unwrap();
        home.node()
            .await
            .ask(move |runtime| {
                runtime.restore_with(&kit)?;
                runtime.open_with_kit(&kit)?;
                runtime.name(Subject::Device(runtime.device()), name)
            })
            .await
            .unwrap()
            .unwrap();
        self.take_from(&home).await;
        home
    }

    /// A home with keys of its own, of which the family has not heard.
    async fn newborn(&self) -> (TempDir, DeviceKeys, FamilyId) {
        let dir = tempfile::tempdir().unwrap();
        let keys = DeviceKeys::generate(&mut system_rng().unwrap());
        let node = self.node().await;
        let (family, genesis) = node
            .ask(|runtime| {
                let replica = runtime.replica();
                (replica.family(), replica.control().genesis().clone())
            })
            .await
            .unwrap();
        let store = Store::create(&dir.path().join("home")).unwrap();
        let identity = Identity::new(&keys, family, genesis, 7);
        identity.save(&store).unwrap();
        (dir, keys, family)
    }

    /// Sets what its node takes for the time.
    pub async fn set_clock(&self, ms: u64) {
        self.node().await.clock().set(Timestamp(ms));
    }

    /// Comes to a time day by day, over a month at most, and does what each of these days brings.
    pub async fn live_until(&self, ms: u64) {
        let node = self.node().await;
        let mut at = node.clock().now().0.max(ms.saturating_sub(31 * DAY));
        loop {
            at = ms.min(at + DAY);
            node.clock().set(Timestamp(at));
            upkeep::round(&node).await.unwrap();
            if at == ms {
                return;
            }
        }
    }

    /// Runs its node on the network of this machine alone.
    pub async fn serve(&self) -> Network {
        self.stay_here();
        let options = NetworkOptions::of_home(self.doorway.home()).unwrap();
        let network = Network::start(self.node().await, options).await.unwrap();
        let mut stirs = network.stirs();
        while network.addresses().is_empty() {
            stirs.changed().await.unwrap();
        }
        self.doorway.run_on(Some(network.clone())).await;
        network
    }

    /// Has commands of this home talk to this machine alone.
    pub fn stay_here(&self) {
        let settings = "[network]\nlisten = [\"/ip4/127.0.0.1/tcp/0\"]\ndiscovery = false\n";
        std::fs::write(self.doorway.home().join("config.toml"), settings).unwrap();
    }

    /// Remembers where another node listens.
    pub async fn knows(&self, other: &Network) {
        let addr = other.addresses()[0].to_string();
        self.ask("peer", json!({"do": "add", "addr": addr}))
            .await
            .done();
    }

    /// Takes every blob that another home holds and this one lacks.
    pub async fn take_blobs_from(&self, other: &Self) {
        let (from, to) = (other.node().await, self.node().await);
        let mut came = Vec::new();
        for space in from.store().spaces() {
            for head in from.store().logs(space) {
                let lacking =
                    from.store().here(&head.log).unwrap() - to.store().here(&head.log).unwrap();
                for ordinal in lacking {
                    let BlobState::Here(place) =
                        from.store().blob_state(&head.log, ordinal).unwrap()
                    else {
                        continue;
                    };
                    let record = from.store().entry_with_blob(&head.log, ordinal).unwrap();
                    let bytes: EntryBytes = wire::decode_row(&record.unwrap().bytes).unwrap();
                    let entry = Entry::trust(bytes).unwrap();
                    let first = entry.header().first_blob;
                    let line = &entry.header().blobs[(ordinal - first) as usize];
                    let blob = BlobRef::of(head.log, first, ordinal - first, line).unwrap();
                    let bytes = from.store().blobs().read(&line.id, &place).unwrap();
                    let stored = to.store().blobs().put_as(&line.id, &bytes).unwrap();
                    came.push((blob, stored.place));
                }
            }
        }
        to.store().blobs().sync().unwrap();
        to.ask(move |runtime| runtime.blobs_came(&came))
            .await
            .unwrap()
            .unwrap();
    }

    /// Takes every entry that another home has.
    pub async fn take_from(&self, other: &Self) {
        let (from, to) = (other.node().await, self.node().await);
        let sender = from.view().await.unwrap().device;
        let control = from.view().await.unwrap().family.control_space();
        let mut spaces = from.store().spaces();
        spaces.sort_by_key(|space| *space != control);
        // Each round takes what the one before made possible.
        for _ in 0..4 {
            for space in &spaces {
                for head in from.store().logs(*space) {
                    let records = from.store().entries(&head.log, 0, usize::MAX).unwrap();
                    let entries: Vec<EntryBytes> = records
                        .iter()
                        .map(|record| wire::decode_row(&record.bytes).unwrap())
                        .collect();
                    to.ask(move |runtime| runtime.accept(sender, entries))
                        .await
                        .unwrap()
                        .unwrap();
                }
            }
        }
    }
}

struct Sealed {
    ciphertext: Vec<u8>,
    shape: Shape,
    key: BlobKey,
}

fn seal(part: u8, bytes: &[u8]) -> Sealed {
    let key = BlobKey::generate(&mut system_rng().unwrap());
    let shape = Shape::padded(Class::Original, part, bytes.len() as u64).unwrap();
    let mut encryptor = Encryptor::new(&key, shape);
    let mut ciphertext = Vec::new();
    let mut rest = bytes;
    for index in 0..shape.segments() {
        let (now, later) = rest.split_at(shape.data_bytes(index));
        rest = later;
        let mut buf = now.to_vec();
        encryptor.seal_segment(index, &mut buf).unwrap();
        ciphertext.extend(buf);
    }
    Sealed {
        ciphertext,
        shape,
        key,
    }
}

/// The ids of the assets that a list shows, in its order.
pub async fn listed(home: &Home, body: Value) -> Vec<String> {
    let told = home.ask("list", body).await;
    let assets = told.of("asset");
    assets
        .iter()
        .map(|line| line["id"].as_str().unwrap().to_owned())
        .collect()
}
