//! The body of every op.

use heirloom_protocol::{
    crypto::{BlobKey, EpochKind, RecipientKind, SealBox, SealPublic, Signature, body::BodyNonce},
    family::consent::KitProof,
    id::{BranchId, DeviceId, EntryId, EpochId, FamilyId, OpId, PersonId, PlainHash},
    op::{
        AddBlob, AddDevice, AddItem, AddPart, AddPerson, AlbumGenesis, BlobRange, Captured,
        Chained, Comment, Cut, DeviceKind, Epoch, Genesis, Hold, ItemKind, Items, KitPublic, Level,
        NewIncarnation, Op, Part, PartRole, Policy, Position, RawOp, React, Role, Seal, Sealed,
        SealedTo, SetAccess, SetAlbum, SetField, SetProfile, SetRecovery, Subject, Tag, Uncomment,
        Untag, Witness,
    },
    wire::WireError,
};

use super::{
    cut,
    family::{NOW, item, part},
    longer, stretched,
};
use crate::case::{Case, Class, drawn, drawn32};

const ITEM: OpId = OpId([0x61; 32]);
const PERSON: PersonId = PersonId([0x62; 16]);
const DEVICE: DeviceId = DeviceId([0x63; 32]);
const SEAL: SealPublic = SealPublic([0x64; 32]);
const INC: u64 = 0xfedc_ba98_7654_3210;

pub(super) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, op) in of_items().into_iter().chain(of_family()).chain(of_albums()) {
        cases.extend(body(name, &op));
    }
    cases.push(fourth_role());
    cases
}

fn fourth_role() -> Case {
    let bytes = [&PERSON.0[..], &[3, 0]].concat();
    Case::right("ops/op-add-person", "op", "", &bytes)
        .wrong("no-such-role", Class::NotCanonical, "there are three roles")
        .text("tag", "0101")
}

fn body(name: &str, op: &Op) -> Vec<Case> {
    let raw = op.to_raw();
    let right = Case::right(
        &format!("ops/op-{name}"),
        "op",
        "the body is what the tag says",
        &raw.bytes,
    )
    .text("tag", &format!("{:04x}", raw.tag));
    let tag = raw.tag;
    let refused = |bytes: &[u8]| {
        let bytes = bytes.to_vec();
        Op::from_raw(RawOp { tag, bytes }) == Err(WireError::NotCanonical)
    };
    let mut cases = vec![
        right
            .wrong("trailing", Class::NotCanonical, "a byte follows the body")
            .with(longer(&raw.bytes)),
        right
            .wrong(
                "two-trailing",
                Class::NotCanonical,
                "two bytes follow the body",
            )
            .with([&raw.bytes[..], &[1, 2]].concat()),
    ];
    if raw.bytes.is_empty() {
        cases.push(
            right
                .wrong("again", Class::NotCanonical, "a body where there is none")
                .with([0xff; 16]),
        );
    } else {
        cases.push(
            right
                .wrong("cut", Class::Truncated, "the last byte is missing")
                .with(cut(&raw.bytes)),
        );
        cases.push(
            right
                .wrong("empty", Class::Truncated, "there is no body")
                .with([]),
        );
    }
    if let Some(long) = stretched(&raw.bytes, refused) {
        cases.push(
            right
                .wrong(
                    "long-number",
                    Class::NotCanonical,
                    "a number in a longer form",
                )
                .with(long),
        );
    }
    cases.push(right);
    cases
}

fn of_items() -> Vec<(&'static str, Op)> {
    let movie = AddItem {
        kind: ItemKind::Video,
        media: 41,
        captured: Captured::default(),
        width: 70_000,
        height: 0,
        duration_ms: 3_600_000,
        place: None,
        camera: None,
        parts: vec![
            part(),
            Part {
                role: PartRole::Sidecar,
                name: "IMG_0001.xmp".to_owned(),
                len: 250,
                blob: 1,
                ..part()
            },
        ],
    };
    let preview = AddBlob {
        item: ITEM,
        len: 20_000,
        width: 512,
        height: 384,
        pt_hash: PlainHash(drawn32(60)),
        key: BlobKey::from_bytes(drawn32(61)),
        thumbhash: drawn(62, 25),
        blob: 300,
    };
    let items = || Items {
        items: vec![ITEM, OpId([1; 32])],
    };
    vec![
        ("add-item", Op::AddItem(item())),
        ("add-item-video", Op::AddItem(movie)),
        ("add-blob", Op::AddBlob(preview)),
        (
            "set-field",
            Op::SetField(SetField {
                item: ITEM,
                field: 0,
                value: b"On the beach".to_vec(),
            }),
        ),
        ("trash", Op::Trash(items())),
        ("restore", Op::Restore(items())),
        ("purge", Op::Purge(items())),
        (
            "set-album",
            Op::SetAlbum(SetAlbum {
                field: 0,
                value: b"Summer".to_vec(),
            }),
        ),
        (
            "comment",
            Op::Comment(Comment {
                item: ITEM,
                text: "look at the dog".to_owned(),
            }),
        ),
        (
            "uncomment",
            Op::Uncomment(Uncomment {
                item: ITEM,
                comment: OpId([2; 32]),
            }),
        ),
        (
            "react",
            Op::React(React {
                item: ITEM,
                sign: "heart".to_owned(),
                on: true,
            }),
        ),
        (
            "tag",
            Op::Tag(Tag {
                item: ITEM,
                tag: "beach".to_owned(),
            }),
        ),
        (
            "untag",
            Op::Untag(Untag {
                item: ITEM,
                tag: "beach".to_owned(),
                added_by: vec![OpId([3; 32])],
            }),
        ),
        (
            "add-part",
            Op::AddPart(AddPart {
                item: ITEM,
                part: part(),
            }),
        ),
    ]
}

fn proof() -> KitProof {
    KitProof {
        sign: DeviceId([0x65; 32]),
        seal: SEAL,
        proof: Signature([0x66; 64]),
    }
}

fn of_family() -> Vec<(&'static str, Op)> {
    let name = SetProfile {
        subject: Subject::Person(PERSON),
        field: 0,
        value: Sealed {
            epoch: EpochId([0x67; 32]),
            nonce: BodyNonce([0x68; 24]),
            ciphertext: drawn(63, 20),
        },
    };
    let genesis = Genesis {
        suite: 1,
        nonce: [0x69; 32],
        person: PERSON,
        device: DEVICE,
        seal: SEAL,
        kit: Some(KitPublic {
            sign: DeviceId([0x65; 32]),
            seal: SEAL,
        }),
        created: NOW,
        prev_family: Some(FamilyId([0x6a; 32])),
    };
    vec![
        ("genesis", Op::Genesis(genesis)),
        (
            "add-person",
            Op::AddPerson(AddPerson {
                person: PERSON,
                role: Role::Admin,
                kit: Some(proof()),
            }),
        ),
        ("promote", Op::Promote((PERSON, Role::Admin))),
        ("demote", Op::Demote((PERSON, Role::Viewer))),
        (
            "add-device",
            Op::AddDevice(AddDevice {
                person: PERSON,
                device: DEVICE,
                seal: SEAL,
                kind: DeviceKind::Device,
                device_sig: Signature([0x6b; 64]),
            }),
        ),
        ("remove-device", Op::RemoveDevice((DEVICE,))),
        ("remove-person", Op::RemovePerson((PERSON,))),
        (
            "set-recovery",
            Op::SetRecovery(SetRecovery {
                person: PERSON,
                kit: proof(),
                cosign: Some((DEVICE, Signature([0x6c; 64]))),
            }),
        ),
        ("rotate-seal", Op::RotateSeal((SEAL,))),
        ("set-profile", Op::SetProfile(name)),
        (
            "set-policy",
            Op::SetPolicy((DEVICE, Policy::Cache(1 << 35))),
        ),
        (
            "set-policy-archive",
            Op::SetPolicy((DEVICE, Policy::Archive)),
        ),
    ]
}

fn of_albums() -> Vec<(&'static str, Op)> {
    let position = Position {
        inc: INC,
        seq: 251,
        entry: EntryId([0x6d; 32]),
    };
    let cut = || Cut {
        device: DEVICE,
        positions: vec![position],
    };
    let sealed = || SealedTo {
        kind: RecipientKind::Kit,
        to: DEVICE,
        cert: OpId([0x6e; 32]),
        sealed: SealBox(drawn(64, 80).try_into().unwrap()),
    };
    let range = BlobRange {
        device: DEVICE,
        inc: INC,
        branch: BranchId([7; 8]),
        from: 0,
        to: 65_536,
    };
    let witness = Witness {
        device: DEVICE,
        branch: BranchId::ZERO,
        position,
    };
    let epoch = Epoch {
        kind: EpochKind::Album,
        generation: 2,
        id: EpochId([0x6f; 32]),
        after: vec![EpochId([0x70; 32])],
        prev: Some(Chained {
            nonce: BodyNonce([0x71; 24]),
            ciphertext: drawn(65, 81),
        }),
        seals: vec![sealed()],
    };
    let genesis = AlbumGenesis {
        suite: 1,
        nonce: [0x72; 32],
        person: PERSON,
        device: DEVICE,
        created: NOW,
        from_now: false,
    };
    let access = SetAccess {
        person: PERSON,
        level: Level::Viewer,
        cuts: vec![cut()],
    };
    let seal = Seal {
        epoch: EpochId([0x70; 32]),
        seals: vec![sealed(), sealed()],
    };
    let hold = Hold {
        ranges: vec![range],
        until: NOW,
    };
    vec![
        ("album-genesis", Op::AlbumGenesis(genesis)),
        ("set-access", Op::SetAccess(access)),
        ("set-keepers", Op::SetKeepers((Some(vec![DEVICE]),))),
        ("set-keepers-all", Op::SetKeepers((None,))),
        ("retention", Op::Retention((365,))),
        ("close-album", Op::CloseAlbum(())),
        ("epoch", Op::Epoch(epoch)),
        ("seal", Op::Seal(seal)),
        ("cut", Op::Cut(cut())),
        ("undrop", Op::Undrop((EntryId([0x73; 32]),))),
        ("anchor", Op::Anchor((vec![witness],))),
        ("hold", Op::Hold(hold)),
        (
            "new-incarnation",
            Op::NewIncarnation(NewIncarnation { old: position }),
        ),
    ]
}
