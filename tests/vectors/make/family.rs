//! A family of two persons with an album, written by the program itself.

use std::sync::Arc;

use heirloom_protocol::{
    album::epoch::{Epochs, Opener},
    crypto::{BlobKey, Class, DeviceKeys, EpochKey, EpochKind, RecoveryKit, SeededRng, Shape},
    id::{BlobId, FamilyId, PersonId, PlainHash, SpaceId},
    log::entry::{BlobLine, Entry},
    op::{
        AddItem, AddPerson, AlbumUse, Camera, Captured, DeviceKind, Epoch, Genesis, ItemKind,
        KitProof, KitPublic, Level, Op, Part, PartRole, Place, Role, Subject,
    },
    replica::{Recorded, Replica, found, sign_device},
    time::Timestamp,
};

use crate::case::drawn32;

/// When everything here happens.
pub(super) const NOW: u64 = 1_790_000_000_000;

pub(super) fn keys(seed: u8) -> DeviceKeys {
    DeviceKeys::generate(&mut SeededRng::from_seed([seed; 32]))
}

pub(super) fn kit(seed: u8) -> RecoveryKit {
    RecoveryKit::generate(&mut SeededRng::from_seed([seed; 32]))
}

/// A family, its founder's replica and all entries in order.
pub(super) struct Family {
    pub(super) id: FamilyId,
    pub(super) genesis: Genesis,
    pub(super) founder: DeviceKeys,
    pub(super) member: PersonId,
    pub(super) replica: Replica,
    pub(super) entries: Vec<Entry>,
    /// The key of the album's only epoch.
    pub(super) epoch_key: EpochKey,
}

impl Family {
    pub(super) fn new() -> Self {
        let mut rng = SeededRng::from_seed([42; 32]);
        let founder = keys(1);
        let kit = kit(2);
        let public = KitPublic {
            sign: kit.sign().id(),
            seal: kit.seal().public(),
        };
        let mut now = Timestamp(NOW);
        let founded = found(&founder, Some(public), now, &mut rng);
        let (id, genesis) = (founded.family, founded.genesis);
        let mut replica = Replica::new(Arc::new(keys(1)), 7, id, genesis.clone());
        let mut entries = Vec::new();
        let mut keep = |recorded: Recorded| entries.extend(recorded.entries);
        let person = genesis.person;
        let names = [
            (Subject::Family, "Ericson"),
            (Subject::Person(person), "Anna"),
            (Subject::Device(founder.device_id()), "laptop"),
        ];
        keep(replica.record_founding(&names, now, &mut rng).unwrap());
        now.0 += 1000;
        let second = keys(3);
        let member = PersonId([0x5a; 16]);
        let add = AddPerson {
            person: member,
            role: Role::Member,
            kit: Some(KitProof::make(&self::kit(4), &id, &member)),
        };
        let device = sign_device(&second, id, member, DeviceKind::Device);
        let ops = vec![Op::AddPerson(add), Op::AddDevice(device)];
        keep(replica.record_control(ops, now).unwrap());
        keep(replica.tend(now, &mut rng).unwrap());
        let made = replica.record_album("Summer", AlbumUse::Album, now, &mut rng);
        let (album, recorded) = made.unwrap();
        keep(recorded);
        now.0 += 1000;
        let access = replica.record_access(album, member, Level::Contributor, now, &mut rng);
        keep(access.unwrap());
        let (ops, blobs) = (vec![Op::AddItem(item())], vec![line()]);
        let added = replica.record(album, ops, blobs, Vec::new(), now, &mut rng);
        keep(added.unwrap());
        let (_, epoch_key) = opened(&entries, album, EpochKind::Album, id, &founder);
        Self {
            id,
            genesis,
            founder,
            member,
            replica,
            entries,
            epoch_key,
        }
    }

    /// The entry at a place in the story.
    pub(super) fn entry(&self, fits: impl Fn(&Entry) -> bool) -> &Entry {
        self.entries.iter().find(|entry| fits(entry)).unwrap()
    }

    pub(super) fn control(&self) -> SpaceId {
        self.id.control_space()
    }
}

/// The first epoch of a kind in a space, opened as its founder opens it.
pub(super) fn opened(
    entries: &[Entry],
    space: SpaceId,
    kind: EpochKind,
    family: FamilyId,
    keys: &DeviceKeys,
) -> (Epoch, EpochKey) {
    let control = entries
        .iter()
        .filter(|entry| entry.header().space == space && entry.header().is_control());
    for entry in control {
        for op in entry.open(None).unwrap().into_iter().flatten() {
            let Op::Epoch(epoch) = op else { continue };
            if epoch.kind == kind {
                let mut epochs = Epochs::default();
                let device = entry.header().device;
                epochs.add(space, device, entry.id(), Vec::new(), &epoch);
                epochs.open(family, &Opener::device(keys));
                let key = *epochs.key(&epoch.id).unwrap().as_bytes();
                return (epoch, EpochKey::from_bytes(key));
            }
        }
    }
    panic!("a space begins with its epochs");
}

/// The kinds of epoch by the number that stands for them.
pub(super) fn kind_code(kind: EpochKind) -> u64 {
    u64::from(kind.code())
}

pub(super) fn item() -> AddItem {
    AddItem {
        kind: ItemKind::Photo,
        media: 7,
        captured: Captured {
            wall: Some(1_753_542_184_250),
            offset: Some(-180),
            source: 3,
        },
        width: 4032,
        height: 3024,
        duration_ms: 0,
        place: Some(Place {
            lat_e7: -338_567_844,
            lon_e7: 1_512_152_967,
            alt_cm: Some(-150),
        }),
        camera: Some(Camera {
            make: "Lumiere".to_owned(),
            model: "Cinematographe 1".to_owned(),
        }),
        parts: vec![part()],
    }
}

pub(super) fn part() -> Part {
    Part {
        role: PartRole::Still,
        name: "IMG_0001.HEIC".to_owned(),
        len: 3_000_000,
        pt_hash: PlainHash(drawn32(21)),
        key: BlobKey::from_bytes(drawn32(22)),
        blob: 0,
    }
}

pub(super) fn line() -> BlobLine {
    let shape = Shape::padded(Class::Original, 0, 3_000_000).unwrap();
    BlobLine {
        part: 0,
        class: shape.class().code(),
        id: BlobId(drawn32(23)),
        padded: shape.padded_bytes(),
    }
}
