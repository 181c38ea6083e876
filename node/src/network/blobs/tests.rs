//! Real nodes, one of which lies, has a bad disk, or shows nothing of what it says it holds.

use std::{collections::BTreeMap, path::Path, time::Duration};

use heirloom_protocol::{
    album::asset::BlobRef,
    crypto::{BlobKey, Class, DeviceKeys, Encryptor, Shape},
    id::{AlbumId, DeviceId, PlainHash},
    limits,
    log::entry::BlobLine,
    op::{AddItem, Captured, DeviceKind, ItemKind, Op, Part, PartRole, Subject},
    replica::sign_device,
    sync::blob::{AnswerHead, AnswerKind, GetMany, Gone, Group, Request, blob_bytes},
    time::Timestamp,
    wire,
};
use roaring::RoaringBitmap;
use tokio::io::AsyncWriteExt as _;

use super::{CHALLENGES, Network, line::Line};
use crate::{
    net::Address,
    network::{NetworkOptions, remember},
    node::{FamilyNames, Node, Options},
    runtime::{Audit, Identity, Served, system_rng},
    store::{BlobPlace, Store},
};

impl Network {
    /// Changes what is sent of a large blob, once, if this node was told to. Not what an audit asks for,
    /// which is any leaf at any time: it is asked again, and the lie would be spent on it.
    pub(super) fn lie(&self, id: u32, first: u32, bytes: &mut Vec<u8>) {
        if id >= CHALLENGES {
            return;
        }
        let mut lie = self.0.lie.lock().unwrap();
        match *lie {
            Some(Lie::Leaf(after)) if first >= after => bytes[70] ^= 1,
            Some(Lie::Short(after)) if first >= after => bytes.truncate(70),
            _ => return,
        }
        *lie = None;
    }

    /// What is served under the name of a blob: another one, if this node was told to.
    pub(super) fn instead_of(&self, served: Option<Served>) -> Option<Served> {
        match *self.0.lie.lock().unwrap() {
            Some(Lie::Other(other)) => served.map(|_| other),
            _ => served,
        }
    }

    /// What a node that withholds answers a challenge with. Nothing of this program looks at the
    /// other's intentions, so that is all that an auditor sees of a keeper that holds nothing.
    pub(super) fn withhold(&self, request: &Request) -> Option<Vec<u8>> {
        let how = (*self.0.withholds.lock().unwrap())?;
        let (id, blob) = match request {
            Request::Range(range) => (range.id, range.blob),
            Request::Leaves(list) => (list.id, list.blob),
            _ => return None,
        };
        if id < CHALLENGES {
            return None;
        }
        if how == Withholds::AndTakesBack {
            let gone = RoaringBitmap::from_iter([blob.ordinal]);
            self.tell_have(&BTreeMap::from([(blob.log, gone)]), false);
        }
        Some(AnswerHead::gone(id, None, Gone::Absent))
    }

    fn be(&self, how: Option<Withholds>) {
        *self.0.withholds.lock().unwrap() = how;
    }
}

/// What a node sends instead of a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::network) enum Lie {
    /// One wrong bit, after so many leaves.
    Leaf(u32),
    /// Less than it says, after so many leaves.
    Short(u32),
    /// This one, whichever is asked for, and the list of its leaves.
    Other(Served),
}

/// How a node answers challenges with nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::network) enum Withholds {
    /// And stands by what it claims.
    Plainly,
    /// And says then that it does not hold what it was asked for.
    AndTakesBack,
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
        let plain: Vec<u8> = (0..leaves * 65_520)
            .map(|at| u8::try_from(at / 7 % 251).unwrap())
            .collect();
        self.record(vec![plain]).await[0]
    }

    /// Records so many small originals.
    async fn photos(&self, count: u8) -> Vec<BlobRef> {
        self.record((0..count).map(|n| vec![n; 3000]).collect())
            .await
    }

    /// Records originals in one entry, the first of the album's log.
    async fn record(&self, plains: Vec<Vec<u8>>) -> Vec<BlobRef> {
        let album: AlbumId = self.node.view().await.unwrap().library().unwrap().id;
        let count = u32::try_from(plains.len()).unwrap();
        let (mut ops, mut lines, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (at, plain) in (0_u32..).zip(plains) {
            let (add, line, place) = self.encrypt(&plain, at);
            ops.push(Op::AddItem(add));
            lines.push(line);
            places.push(place);
        }
        let recorded = self
            .node
            .ask(move |runtime| runtime.record(album, ops, lines, &places));
        recorded.await.unwrap().unwrap();
        let logs = self.node.store().logs(album);
        let mut blobs = Vec::new();
        for head in logs {
            for ordinal in 0..count {
                let blob = self
                    .node
                    .ask(move |runtime| runtime.blob_of(&head.log, ordinal));
                blobs.extend(blob.await.unwrap().unwrap());
            }
        }
        blobs
    }

    fn encrypt(&self, plain: &[u8], blob: u32) -> (AddItem, BlobLine, BlobPlace) {
        let key = BlobKey::from_bytes([9; 32]);
        let len = u64::try_from(plain.len()).unwrap();
        let shape = Shape::padded(Class::Original, 0, len).unwrap();
        let mut encryptor = Encryptor::new(&key, shape);
        let mut writer = self.node.store().blobs().writer();
        let mut rest = plain;
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
            pt_hash: PlainHash(*blake3::hash(plain).as_bytes()),
            key,
            blob,
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
        (item, line, stored.place)
    }

    /// What this device remembers of the audits of another.
    async fn audit(&self, device: DeviceId) -> Audit {
        let view = self.node.view().await.unwrap();
        view.peers.audit(&device).cloned().unwrap_or_default()
    }

    /// How many of some blobs another says it holds.
    async fn claims(&self, device: DeviceId, blobs: &[BlobRef]) -> usize {
        let blobs = blobs.to_vec();
        let claims = self.node.ask(move |runtime| {
            let claimed = blobs.iter().filter(|blob| runtime.claims(&device, blob));
            claimed.count()
        });
        claims.await.unwrap()
    }

    /// Makes it so much later for this device; what time it is then.
    fn later(&self, hours: u64) -> u64 {
        let now = self.node.clock().now().0 + hours * 3_600_000;
        self.node.clock().set(Timestamp(now));
        now
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
async fn who_sends_says_to_how_many() {
    let laptop = Home::found().await;
    let desktop = laptop.join("desktop").await;
    let blob = laptop.movie(200).await;
    let (sends, gets) = (laptop.network().await, desktop.network().await);
    assert_eq!(sends.sending(), 0);
    desktop.knows(&laptop, &sends).await;
    gets.call_round().await.unwrap();
    tokio::join!(
        until(async || sends.sending() == 1),
        until(async || desktop.has(blob).await),
    );
    assert_eq!(gets.sending(), 0);
    until(async || sends.sending() == 0).await;
    for network in [sends, gets] {
        network.stop().await;
    }
    drop((laptop.folder, desktop.folder));
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
    *liar.0.lie.lock().unwrap() = Some(Lie::Leaf(120));
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

/// Two originals of a laptop that another device holds, which lies; whoever asks it names it and takes
/// nothing wrong, and gets both from the laptop.
async fn is_named_for(plains: [Vec<u8>; 2], lie: impl FnOnce([Served; 2]) -> Lie) {
    let laptop = Home::found().await;
    let (desktop, asker) = (laptop.join("desktop").await, laptop.join("asker").await);
    let blobs = laptop.record(plains.into()).await;
    let (honest, liar) = (laptop.network().await, desktop.network().await);
    desktop.knows(&laptop, &honest).await;
    liar.call_round().await.unwrap();
    let all = async |home: &Home| home.has(blobs[0]).await && home.has(blobs[1]).await;
    until(async || all(&desktop).await).await;
    // Else the asker would hear of it, and have the blobs from there.
    honest.stop().await;

    let store = desktop.node.store();
    let served = [0, 1].map(|nth| {
        let blob: BlobRef = blobs[nth];
        let place = store.place_of(&blob.log, blob.ordinal);
        let place = place.unwrap().unwrap();
        Served { blob, place }
    });
    let lie = lie(served);
    *liar.0.lie.lock().unwrap() = Some(lie);
    let asking = asker.network().await;
    asker.knows(&desktop, &liar).await;
    asking.call_round().await.unwrap();
    let device = desktop.device().await;
    until(async || asking.is_kept_away(&device)).await;
    let blamed = asker.node.ask(|runtime| runtime.blamed()).await;
    let blamed = blamed.unwrap().unwrap();
    assert_eq!(blamed.keys().collect::<Vec<_>>(), [&device], "{lie:?}");
    assert!(!all(&asker).await, "{lie:?}");
    liar.stop().await;

    let honest = laptop.network().await;
    asker.knows(&laptop, &honest).await;
    asking.call_round().await.unwrap();
    until(async || all(&asker).await).await;
    for blob in &blobs {
        let place = asker.node.store().place_of(&blob.log, blob.ordinal);
        let place = place.unwrap().unwrap();
        let whole = asker.node.store().blobs().is_whole(&blob.id, &place);
        assert!(whole.unwrap(), "{lie:?}");
    }
    for network in [honest, asking] {
        network.stop().await;
    }
    drop((laptop.folder, desktop.folder, asker.folder));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_device_sends_instead_of_a_blob_it_is_named() {
    let large = || [1, 2].map(|n| vec![n; 80 * 65_520]);
    let small = || [1, 2].map(|n| vec![n; 3000]);
    is_named_for(large(), |_| Lie::Leaf(40)).await;
    is_named_for(large(), |_| Lie::Short(40)).await;
    is_named_for(large(), |[_, second]| Lie::Other(second)).await;
    is_named_for(small(), |[_, second]| Lie::Other(second)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_cannot_be_begun_holds_up_no_other() {
    let laptop = Home::found().await;
    let attic = laptop.join("attic").await;
    let movies = (1..=3).map(|n| vec![n; 20 * 65_520]).collect();
    let blobs = laptop.record(movies).await;
    // Whichever way round they are asked for, one of these comes before the other.
    let partial = attic.folder.path().join("home/blobs/partial");
    let blocked = [blobs[0], blobs[2]].map(|blob| partial.join(blob.id.to_string()));
    for path in &blocked {
        std::fs::create_dir(path).unwrap();
    }
    let (ours, theirs) = (laptop.network().await, attic.network().await);
    attic.knows(&laptop, &ours).await;
    theirs.call_round().await.unwrap();
    until(async || attic.has(blobs[1]).await).await;
    assert!(!attic.has(blobs[0]).await && !attic.has(blobs[2]).await);
    for path in &blocked {
        std::fs::remove_dir(path).unwrap();
    }
    until(async || {
        theirs.fetch_all();
        attic.has(blobs[0]).await && attic.has(blobs[2]).await
    })
    .await;
    for network in [ours, theirs] {
        network.stop().await;
    }
    drop((laptop.folder, attic.folder));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_brings_no_more_than_a_request_may() {
    let laptop = Home::found().await;
    let attic = laptop.join("attic").await;
    let blobs = laptop
        .record((0..10).map(|n| vec![n; 700_000]).collect())
        .await;
    let (ours, theirs) = (laptop.network().await, attic.network().await);
    attic.knows(&laptop, &ours).await;
    theirs.call_round().await.unwrap();
    let device = laptop.device().await;
    until(async || attic.has(blobs[0]).await).await;
    let mut line = Line::open(&theirs, device, CHALLENGES).await.unwrap();
    let group = Group {
        log: blobs[0].log,
        ordinals: blobs.iter().map(|blob| blob.ordinal).collect(),
    };
    let groups = vec![group];
    let asked = Request::Many(GetMany { id: 7, groups }).to_frame();
    line.write.write_all(&asked).await.unwrap();
    line.write.flush().await.unwrap();
    let (mut sent, mut whole, mut left_out) = (0, Vec::new(), Vec::new());
    while left_out.len() + whole.len() < blobs.len() {
        let head = line.head().await.unwrap();
        let payload = line.payload(&head).await.unwrap();
        match head.kind {
            AnswerKind::Data => {
                sent += u64::try_from(payload.len()).unwrap();
                if payload.len() < limits::DATA_BYTES {
                    whole.push(head.index);
                }
            }
            _ => left_out.push(head.read_gone(&payload)),
        }
    }
    let bytes = blob_bytes(&blobs[0]);
    let fit = limits::GET_MANY_BYTES / bytes;
    assert_eq!(sent, fit * bytes);
    let fit = u32::try_from(fit).unwrap();
    assert_eq!(whole, (0..fit).collect::<Vec<_>>());
    let rest = (fit..10).map(|at| (Some(at), Gone::TooMuch));
    assert_eq!(left_out, rest.collect::<Vec<_>>());
    for network in [ours, theirs] {
        network.stop().await;
    }
    drop((laptop.folder, attic.folder));
}

/// A laptop and an attic that has fetched all of so many photos from it, and was audited once.
async fn kept(count: u8) -> ([Home; 2], [Network; 2], Vec<BlobRef>, DeviceId) {
    let laptop = Home::found().await;
    let attic = laptop.join("attic").await;
    let blobs = laptop.photos(count).await;
    let (ours, theirs) = (laptop.network().await, attic.network().await);
    attic.knows(&laptop, &ours).await;
    theirs.call_round().await.unwrap();
    let device = attic.device().await;
    until(async || laptop.claims(device, &blobs).await == blobs.len()).await;
    until(async || laptop.audit(device).await.passed > 0).await;
    // What the first audit asked while the claims came in does not matter here.
    until(async || ours.is_audited(device).await).await;
    ([laptop, attic], [ours, theirs], blobs, device)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_back_what_it_cannot_show_has_proved_nothing() {
    let ([laptop, attic], [ours, theirs], blobs, device) = kept(80).await;
    let honest = laptop.audit(device).await;
    assert!(honest.failing.is_empty() && honest.proved().is_some());

    // It lost everything, says of each that it is gone as it is asked, and claims the rest.
    theirs.be(Some(Withholds::AndTakesBack));
    let now = laptop.later(25);
    assert!(ours.audit_once(device, false).await.unwrap());
    let after = laptop.audit(device).await;
    assert_ne!(after.passed, now, "{after:?}");
    assert!(after.proved().is_none() || !after.failing.is_empty());
    until(async || laptop.claims(device, &blobs).await < 80).await;
    assert!(laptop.claims(device, &blobs).await >= 80 - 32);
    // It is asked for more at once, until it claims nothing that it cannot show.
    until(async || {
        let claimed = laptop.claims(device, &blobs).await;
        // What is taken back is heard of a little after the answer.
        claimed == 0 || !ours.audit_once(device, true).await.unwrap()
    })
    .await;
    assert_eq!(
        laptop.claims(device, &blobs).await,
        0,
        "it is due till then"
    );
    let after = laptop.audit(device).await;
    assert!(after.passed != now && (after.proved().is_none() || !after.failing.is_empty()));

    // Once it has all again and shows it, it counts.
    theirs.be(None);
    let all: RoaringBitmap = blobs.iter().map(|blob| blob.ordinal).collect();
    theirs.tell_have(&BTreeMap::from([(blobs[0].log, all)]), true);
    until(async || laptop.claims(device, &blobs).await == 80).await;
    let now = laptop.later(25);
    assert!(ours.audit_once(device, true).await.unwrap());
    let after = laptop.audit(device).await;
    assert_eq!(
        (after.passed, after.failing.len()),
        (now, 0),
        "it showed all"
    );
    for network in [ours, theirs] {
        network.stop().await;
    }
    drop((laptop.folder, attic.folder));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_shown_counts_as_not_shown_until_it_was() {
    let ([laptop, attic], [ours, theirs], blobs, device) = kept(100).await;
    let before = laptop.audit(device).await.passed;
    let now = laptop.later(1);
    theirs.be(Some(Withholds::Plainly));
    let asked = blobs.clone();
    let asked = laptop.node.ask(move |runtime| runtime.challenges(&asked));
    let asked = asked.await.unwrap().unwrap();
    let shown = ours.prove(device, asked).await.unwrap();
    assert!(shown.len() == 100 && shown.iter().all(|(_, good)| !good));
    let failed = laptop.audit(device).await;
    assert_eq!((failed.failing.len(), failed.passed), (100, before));

    // At most 64 are asked for in one audit: those that were not are not forgotten.
    theirs.be(None);
    let mut left = 100;
    loop {
        assert!(ours.audit_once(device, true).await.unwrap(), "it is due");
        let audit = laptop.audit(device).await;
        assert!(
            audit.failing.len() >= left - 64_usize.min(left),
            "{left}: {audit:?}"
        );
        assert!(audit.failing.len() < left);
        left = audit.failing.len();
        if left == 0 {
            assert_eq!(audit.passed, now);
            break;
        }
        assert_eq!(audit.passed, before, "{left} are not shown yet");
    }
    for network in [ours, theirs] {
        network.stop().await;
    }
    drop((laptop.folder, attic.folder));
}
