//! Claims of a device that makes up logs, and of one that is ahead of its entries.

use heirloom_protocol::{
    crypto::{BlobKey, Class, DeviceKeys, Shape},
    id::{AlbumId, BranchId, PlainHash},
    log::entry::BlobLine,
    op::{AddDevice, AddItem, Captured, DeviceKind, ItemKind, Op, Part, PartRole},
    replica::sign_device,
};

use super::*;
use crate::{
    node::{FamilyNames, Node, Options},
    runtime::system_rng,
};

/// A laptop, its library, and another device of the same person that exists in name alone.
async fn family() -> (tempfile::TempDir, Node, AlbumId, DeviceId) {
    let folder = tempfile::tempdir().unwrap();
    let names = FamilyNames {
        family: "Berger".into(),
        person: "Anna".into(),
        device: "laptop".into(),
    };
    let options = Options {
        worker: ("/bin/false".into(), Vec::new()),
    };
    let home = folder.path().join("home");
    let made = Node::found(&home, &options, names, None).await.unwrap();
    let node = made.node;
    let view = node.view().await.unwrap();
    let (album, person) = (view.library().unwrap().id, view.person.unwrap());
    let keys = DeviceKeys::generate(&mut system_rng().unwrap());
    let added = node.ask(move |runtime| {
        let family = runtime.replica().family();
        let add: AddDevice = sign_device(&keys, family, person, DeviceKind::Device);
        let device = add.device;
        runtime.record_control(vec![Op::AddDevice(add)])?;
        Ok::<_, RuntimeError>(device)
    });
    let device = added.await.unwrap().unwrap();
    (folder, node, album, device)
}

fn log(space: SpaceId, device: DeviceId, inc: u64) -> LogId {
    LogId {
        space,
        device,
        inc,
        branch: BranchId::ZERO,
    }
}

/// Announces so many originals in the first entry of this device's log.
fn record(runtime: &mut Runtime, album: AlbumId, count: u32) {
    let (mut ops, mut lines, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for blob in 0..count {
        let shape = Shape::padded(Class::Original, 0, 1000).unwrap();
        let bytes =
            vec![u8::try_from(blob).unwrap(); usize::try_from(shape.ciphertext_len()).unwrap()];
        let stored = runtime.store.blobs().put(&bytes).unwrap();
        let part = Part {
            role: PartRole::Still,
            name: "photo".into(),
            len: 1000,
            pt_hash: PlainHash([u8::try_from(blob).unwrap(); 32]),
            key: BlobKey::from_bytes([9; 32]),
            blob,
        };
        ops.push(Op::AddItem(AddItem {
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
        }));
        lines.push(BlobLine {
            part: 0,
            class: Class::Original.code(),
            id: stored.cid,
            padded: shape.padded_bytes(),
        });
        places.push(stored.place);
    }
    runtime.store.blobs().sync().unwrap();
    runtime.record(album, ops, lines, &places).unwrap();
}

fn rows_on_disk(runtime: &Runtime) -> Vec<usize> {
    let mut rows = Vec::new();
    let found = runtime.store.scan(Table::Peers, b"have/", |_, row| {
        rows.push(row.unwrap().len());
        std::ops::ControlFlow::Continue(())
    });
    found.unwrap();
    rows
}

#[tokio::test]
async fn claims_of_logs_that_do_not_exist_fill_neither_memory_nor_disk() {
    let (folder, node, album, device) = family().await;
    let told = node.ask(move |runtime| {
        let mut scattered = RoaringBitmap::new();
        scattered.extend((0..400_000).map(|n| n * 2));
        for inc in 1..3000 {
            let rows = vec![(log(album, device, inc), scattered.clone())];
            runtime.peer_has(device, album, HaveMode::Added, rows)?;
            // And of a space that nobody knows.
            let space = SpaceId([7; 16]);
            let rows = vec![(log(space, device, inc), scattered.clone())];
            runtime.peer_has(device, space, HaveMode::Full, rows)?;
        }
        runtime.save_claims()?;
        assert_eq!(runtime.peers.have.logs(&device).count(), 0);
        let early = &runtime.claims.early[&device].rows;
        let bytes: usize = early.values().map(RoaringBitmap::serialized_size).sum();
        assert!(early.len() <= EARLY_LOGS && bytes <= EARLY_BYTES, "{bytes}");
        assert!(rows_on_disk(runtime).iter().all(|row| *row < 100));
        // What it takes back waits no longer.
        let log = *early.keys().next().unwrap();
        runtime.peer_has(device, log.space, HaveMode::Removed, vec![(log, scattered)])?;
        assert!(!runtime.claims.early[&device].rows.contains_key(&log));
        Ok::<_, RuntimeError>(())
    });
    told.await.unwrap().unwrap();
    drop(folder);
}

#[tokio::test]
async fn a_claim_that_comes_before_its_entry_counts_once_that_is_here() {
    let (folder, node, album, device) = family().await;
    let told = node.ask(move |runtime| {
        let own = runtime.replica.own_log(album);
        let claimed: RoaringBitmap = (0..40).collect();
        runtime.peer_has(device, album, HaveMode::Full, vec![(own, claimed)])?;
        let held = |runtime: &Runtime| {
            let bits = runtime.peers.have.bits(&device, &own).cloned();
            bits.unwrap_or_default()
        };
        assert!(held(runtime).is_empty(), "nothing is announced");
        Ok::<_, RuntimeError>((own, held(runtime)))
    });
    let (own, _) = told.await.unwrap().unwrap();
    let told = node.ask(move |runtime| {
        record(runtime, album, 3);
        let bits = runtime.peers.have.bits(&device, &own).cloned();
        runtime.save_claims()?;
        let rows = rows_on_disk(runtime).len();
        Ok::<_, RuntimeError>((bits.unwrap_or_default(), rows))
    });
    let (bits, rows) = told.await.unwrap().unwrap();
    assert_eq!((bits, rows), ((0..3).collect(), 1));

    // Who is removed claims nothing.
    let told = node.ask(move |runtime| {
        runtime.remove(Op::RemoveDevice((device,)))?;
        let known = runtime.peers.have.peers().count();
        Ok::<_, RuntimeError>((
            known,
            rows_on_disk(runtime).len(),
            runtime.claims.early.len(),
        ))
    });
    assert_eq!(told.await.unwrap().unwrap(), (0, 0, 0));
    drop(folder);
}
