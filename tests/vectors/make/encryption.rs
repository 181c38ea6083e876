//! Derivation, sealing, blobs.

use heirloom_protocol::{
    album::epoch::{Epochs, Opener, Reader},
    crypto::{
        BlobKey, BodyKey, Class as BlobClass, EpochKey, EpochKind, EpochName, LeafHasher, Purpose,
        RecipientKind, SealContext, SealPublic, SealSecret, SeededRng, Shape,
        body::{self, BodyNonce},
        derive, seal,
    },
    id::{BlobId, BranchId, DeviceId, EntryId, FamilyId, LogId, OpId, SpaceId},
    op::{Op, SetProfile, Subject},
    wire,
};

use super::{
    computed, cut,
    family::{Family, keys, kind_code, opened},
    flipped, longer, stretched,
};
use crate::case::{Case, Class, drawn, drawn32};
use crate::verify::encrypt;

const SPACE: SpaceId = SpaceId([0x41; 16]);

pub(super) fn all() -> Vec<Case> {
    [
        derivation(),
        epochs(),
        bodies(),
        sealed_values(),
        chains(),
        seal_boxes(),
        padding(),
        blobs(),
        leaves(),
    ]
    .concat()
}

fn derivation() -> Vec<Case> {
    let mut cases = Vec::new();
    for purpose in Purpose::ALL {
        let name = purpose.context().strip_prefix("heirloom 2026 v1 ").unwrap();
        let material = b"material";
        let right = Case::right(
            &format!("encryption/derive-{}", name.replace(' ', "-")),
            "derive",
            "the context is the project's, the year, the version and the purpose",
            &derive(purpose, &[material]),
        )
        .text("purpose", name)
        .hex("material", material);
        cases.extend(computed(right));
    }
    let rng = Case::right(
        "encryption/rng",
        "rng",
        "the generator of these vectors",
        &drawn(30, 100),
    )
    .hex("rng", &[30; 32])
    .number("length", 100);
    cases.extend(computed(rng));
    cases
}

fn epochs() -> Vec<Case> {
    let key = EpochKey::from_bytes(drawn32(31));
    let mut cases = Vec::new();
    for (short, kind) in [
        ("album", EpochKind::Album),
        ("family", EpochKind::Family),
        ("net", EpochKind::Net),
    ] {
        let name = EpochName {
            space: SPACE,
            kind,
            generation: 300,
            minter: DeviceId([0x42; 32]),
        };
        let right = Case::right(
            &format!("encryption/epoch-id-{short}"),
            "epoch id",
            "an id commits to the key and to every part of the name",
            &key.id(&name).0,
        )
        .hex("key", key.as_bytes())
        .hex("space", &SPACE.0)
        .number("kind", kind_code(kind))
        .number("generation", 300)
        .hex("minter", &name.minter.0);
        cases.extend([
            right
                .wrong("other-key", Class::BadChain, "the id of another key")
                .hex("key", &[1; 32]),
            right
                .wrong(
                    "other-generation",
                    Class::BadChain,
                    "the id of another generation",
                )
                .number("generation", 301),
            right
                .wrong(
                    "other-minter",
                    Class::BadChain,
                    "the id of another device's epoch",
                )
                .hex("minter", &[0x43; 32]),
        ]);
        cases.extend(computed(right));
    }
    let log = LogId {
        space: SPACE,
        device: DeviceId([0x42; 32]),
        inc: 0x0102_0304_0506_0708,
        branch: BranchId::ZERO,
    };
    let [body, value, chain] = [key.body_key(&log), key.value_key(), key.chain_key()];
    let bytes = [body.as_bytes(), value.as_bytes(), chain.as_bytes()].map(|key| &key[..]);
    let right = Case::right(
        "encryption/epoch-keys",
        "epoch keys",
        "the key of a log's bodies, of sealed values and of the chain",
        &bytes.concat(),
    )
    .hex("key", key.as_bytes())
    .hex("space", &SPACE.0)
    .hex("device", &log.device.0)
    .number("incarnation", log.inc);
    cases.push(
        right
            .wrong(
                "other-log",
                Class::BadChain,
                "the keys of another incarnation's log",
            )
            .number("incarnation", 9),
    );
    cases.extend(computed(right));
    cases
}

fn bodies() -> Vec<Case> {
    let key = BodyKey::from_bytes(drawn32(32));
    let nonce = BodyNonce(drawn(33, 24).try_into().unwrap());
    let mut cases = Vec::new();
    for (name, plain) in [("body-empty", &b""[..]), ("body", &[7; 300])] {
        let sealed = body::seal(&key, &nonce, b"header", plain);
        let right = Case::right(
            &format!("encryption/{name}"),
            "body",
            "XChaCha20-Poly1305 with associated data",
            &sealed,
        )
        .hex("key", key.as_bytes())
        .hex("nonce", &nonce.0)
        .hex("associated data", b"header")
        .hex("plain", plain);
        cases.extend([
            right
                .wrong("tampered", Class::WrongKey, "one bit differs")
                .with(flipped(&sealed, 0)),
            right
                .wrong(
                    "cut",
                    Class::WrongKey,
                    "the last byte of the tag is missing",
                )
                .with(cut(&sealed)),
            right
                .wrong("other-key", Class::WrongKey, "another key")
                .hex("key", &[1; 32]),
            right
                .wrong("other-nonce", Class::WrongKey, "another nonce")
                .hex("nonce", &[1; 24]),
            right
                .wrong("other-data", Class::WrongKey, "other associated data")
                .hex("associated data", b"headex"),
            right,
        ]);
    }
    cases
}

/// The names of the family's first day, sealed by its founder.
fn sealed_values() -> Vec<Case> {
    let family = Family::new();
    let mut cases = Vec::new();
    let names: Vec<SetProfile> = family
        .entries
        .iter()
        .filter(|entry| entry.header().space == family.control())
        .flat_map(|entry| entry.open(None).unwrap())
        .filter_map(|op| match op {
            Some(Op::SetProfile(set)) => Some(set),
            _ => None,
        })
        .collect();
    let (_, epoch) = opened(
        &family.entries,
        family.control(),
        EpochKind::Family,
        family.id,
        &family.founder,
    );
    for (set, (short, plain)) in names.iter().zip([
        ("family", "Ericson"),
        ("person", "Anna"),
        ("device", "laptop"),
    ]) {
        let bytes = wire::encode(&set.value);
        let right = Case::right(
            &format!("encryption/sealed-value-{short}"),
            "sealed value",
            "a name in the control log that only members read",
            &bytes,
        )
        .hex("key", epoch.as_bytes())
        .hex("epoch", &set.value.epoch.0)
        .hex("space", &family.control().0)
        .hex("author", &family.founder.device_id().0)
        .number("field", u64::from(set.field))
        .hex("subject", &wire::encode(&set.subject))
        .hex("plain", plain.as_bytes());
        let subject = wire::encode(&Subject::Device(DeviceId([9; 32])));
        cases.extend([
            right
                .wrong(
                    "other-subject",
                    Class::WrongKey,
                    "a name moved to somebody else",
                )
                .hex("subject", &subject),
            right
                .wrong(
                    "other-field",
                    Class::WrongKey,
                    "a name moved to another field",
                )
                .number("field", 1),
            right
                .wrong(
                    "other-author",
                    Class::WrongKey,
                    "a name said by another device",
                )
                .hex("author", &[9; 32]),
            right
                .wrong(
                    "other-epoch",
                    Class::WrongKey,
                    "a value that names another epoch",
                )
                .hex("epoch", &[9; 32]),
            right
                .wrong("tampered", Class::WrongKey, "one bit of the tag differs")
                .with(flipped(&bytes, bytes.len() - 1)),
            right
                .wrong("cut", Class::Truncated, "it ends early")
                .with(cut(&bytes)),
            right
                .wrong("trailing", Class::NotCanonical, "a byte follows")
                .with(longer(&bytes)),
            right,
        ]);
    }
    cases
}

fn chains() -> Vec<Case> {
    let family = FamilyId([0x11; 32]);
    let device = keys(34);
    let reader = Reader {
        kind: RecipientKind::Device,
        id: device.device_id(),
        cert: OpId([1; 32]),
        seal: device.seal_public(),
    };
    let mut rng = SeededRng::from_seed([35; 32]);
    let mut epochs = Epochs::default();
    let mut last = None;
    let mut older = Vec::new();
    for _ in 0..2 {
        let minter = device.device_id();
        let kind = EpochKind::Album;
        let epoch = epochs.mint(family, SPACE, kind, minter, &[reader], true, &mut rng);
        epochs.add(SPACE, minter, EntryId([2; 32]), Vec::new(), &epoch);
        epochs.open(family, &Opener::device(&device));
        let key = *epochs.key(&epoch.id).unwrap().as_bytes();
        older.push([epoch.id.0, key].concat());
        last = Some((epoch, key));
    }
    let (epoch, key) = last.unwrap();
    let bytes = wire::encode(&epoch.prev.unwrap());
    let right = Case::right(
        "encryption/chain",
        "chain",
        "who opens an epoch opens the one before",
        &bytes,
    )
    .hex("key", &key)
    .hex("epoch", &epoch.id.0)
    .hex("older", &older[0]);
    let not_canonical = |bytes: &[u8]| {
        wire::decode::<heirloom_protocol::op::Chained>(bytes, 1024)
            == Err(wire::WireError::NotCanonical)
    };
    vec![
        right
            .wrong("other-key", Class::WrongKey, "the key of another epoch")
            .hex("key", &older[0][32..]),
        right
            .wrong("other-epoch", Class::WrongKey, "moved to another epoch")
            .hex("epoch", &[1; 32]),
        right
            .wrong("tampered", Class::WrongKey, "one bit differs")
            .with(flipped(&bytes, 40)),
        right
            .wrong("cut", Class::Truncated, "it ends early")
            .with(cut(&bytes)),
        right
            .wrong(
                "long-number",
                Class::NotCanonical,
                "the length in a longer form",
            )
            .with(stretched(&bytes, not_canonical).unwrap()),
        right,
    ]
}

fn seal_boxes() -> Vec<Case> {
    let secret = SealSecret::from_bytes(&drawn32(36));
    let key = EpochKey::from_bytes(drawn32(37));
    let mut cases = Vec::new();
    for (short, kind, recipient_kind, code) in [
        ("device", EpochKind::Album, RecipientKind::Device, 0),
        ("kit", EpochKind::Net, RecipientKind::Kit, 1),
    ] {
        let epoch = EpochName {
            space: SPACE,
            kind,
            generation: 2,
            minter: DeviceId([0x42; 32]),
        };
        let context = SealContext {
            family: FamilyId([0x11; 32]),
            epoch,
            epoch_id: key.id(&epoch),
            recipient_kind,
            recipient: DeviceId([0x44; 32]),
            certificate: OpId([0x45; 32]),
            author: DeviceId([0x46; 32]),
        };
        let mut rng = SeededRng::from_seed([38; 32]);
        let sealed = seal::seal(&context, &secret.public(), &key, &mut rng).unwrap();
        let right = Case::right(
            &format!("encryption/seal-box-{short}"),
            "seal box",
            "an epoch's key for one reader in one place",
            &sealed.0,
        )
        .hex("rng", &[38; 32])
        .hex("secret", secret.to_bytes().as_ref())
        .hex("key", key.as_bytes())
        .hex("family", &context.family.0)
        .hex("space", &SPACE.0)
        .number("kind", kind_code(kind))
        .number("generation", 2)
        .hex("minter", &epoch.minter.0)
        .hex("epoch", &context.epoch_id.0)
        .number("recipient kind", code)
        .hex("recipient", &context.recipient.0)
        .hex("certificate", &context.certificate.0)
        .hex("author", &context.author.0);
        let kind = if code == 0 { 1 } else { 0 };
        cases.extend(elsewhere(&right));
        cases.extend([
            right
                .wrong(
                    "other-recipient-kind",
                    Class::WrongKey,
                    "for the other kind of reader",
                )
                .number("recipient kind", kind),
            right
                .wrong(
                    "tampered-point",
                    Class::WrongKey,
                    "one bit of the ephemeral key differs",
                )
                .with(flipped(&sealed.0, 3)),
            right
                .wrong(
                    "tampered-tag",
                    Class::WrongKey,
                    "one bit of the tag differs",
                )
                .with(flipped(&sealed.0, 79)),
            right
                .wrong("cut", Class::Truncated, "it ends early")
                .with(cut(&sealed.0)),
            right
                .wrong("trailing", Class::NotCanonical, "a byte follows")
                .with(longer(&sealed.0)),
            right
                .wrong(
                    "small-order",
                    Class::WrongKey,
                    "the ephemeral key is of small order",
                )
                .with([&[0; 32], &sealed.0[32..]].concat()),
            right,
        ]);
    }
    assert!(seal_refuses_small_order());
    cases
}

/// A box moved to other places, of which each has another prologue.
fn elsewhere(right: &Case) -> Vec<Case> {
    let moved = [
        ("family", "made for another family", 32),
        ("space", "made for another space", 16),
        ("minter", "made for another device's epoch", 32),
        ("epoch", "made for another epoch", 32),
        ("recipient", "made for another reader", 32),
        (
            "certificate",
            "made for another certificate of the reader",
            32,
        ),
        ("author", "signed by another device", 32),
        ("secret", "opened with another device's key", 32),
    ];
    let cases = moved.into_iter().map(|(name, why, length)| {
        right
            .wrong(&format!("other-{name}"), Class::WrongKey, why)
            .hex(name, &[9; 32][..length])
    });
    cases.collect()
}

fn seal_refuses_small_order() -> bool {
    let epoch = EpochName {
        space: SPACE,
        kind: EpochKind::Album,
        generation: 1,
        minter: DeviceId([1; 32]),
    };
    let key = EpochKey::from_bytes([1; 32]);
    let context = SealContext {
        family: FamilyId([1; 32]),
        epoch,
        epoch_id: key.id(&epoch),
        recipient_kind: RecipientKind::Device,
        recipient: DeviceId([1; 32]),
        certificate: OpId([1; 32]),
        author: DeviceId([1; 32]),
    };
    let mut rng = SeededRng::from_seed([1; 32]);
    seal::seal(&context, &SealPublic([0; 32]), &key, &mut rng).is_err()
}

fn padding() -> Vec<Case> {
    let mut cases = Vec::new();
    for (class, code, lengths) in [
        (
            BlobClass::Original,
            0,
            &[0, 1, 2, 3, 9, 100, 65_520, 65_521, 3_000_000, 1_000_000_007][..],
        ),
        (BlobClass::Preview, 1, &[300_000]),
        (BlobClass::Thumbnail, 2, &[0, 8176, 8177, 65_520, 65_521]),
    ] {
        for length in lengths {
            let shape = Shape::padded(class, 0, *length).unwrap();
            let right = Case::right(
                &format!("encryption/padding-{code}-{length}"),
                "padding",
                "a size that tells little of the true one",
                &[],
            )
            .number("class", code)
            .number("length", *length)
            .number("padded", shape.padded_bytes())
            .number("segments", shape.segments())
            .number("ciphertext", shape.ciphertext_len());
            cases.extend([
                right
                    .wrong("other-size", Class::BadChain, "padded to another size")
                    .number("padded", shape.padded_bytes() + 1),
                right
                    .wrong("without-tags", Class::BadChain, "the tags are not counted")
                    .number("ciphertext", shape.padded_bytes()),
                right
                    .wrong("more-segments", Class::BadChain, "a segment too many")
                    .number("segments", shape.segments() + 1),
                right,
            ]);
        }
    }
    let large = Case::right("encryption/padding-0-65520", "padding", "", &[])
        .number("class", 0)
        .number("padded", 0)
        .number("segments", 0)
        .number("ciphertext", 0);
    cases.push(
        large
            .wrong("beyond", Class::TooLarge, "more than a blob may have")
            .number("length", heirloom_protocol::limits::PADDED_BYTES + 1),
    );
    cases
}

fn blob_case(path: &str, why: &str, key: &BlobKey, shape: Shape) -> Case {
    Case::right(path, "", why, &[])
        .hex("key", key.as_bytes())
        .number("class", u64::from(shape.class().code()))
        .number("part", u64::from(shape.part()))
        .number("padded", shape.padded_bytes())
        .number("length", shape.len())
}

fn blobs() -> Vec<Case> {
    let key = BlobKey::from_bytes(drawn32(39));
    let mut cases = Vec::new();
    for (name, shape, why) in [
        (
            "blob-empty",
            Shape::padded(BlobClass::Original, 0, 0),
            "an empty file is one empty segment",
        ),
        (
            "blob-1",
            Shape::padded(BlobClass::Original, 0, 1),
            "one byte, not padded",
        ),
        (
            "blob-100",
            Shape::padded(BlobClass::Preview, 3, 100),
            "padded by a few bytes",
        ),
        (
            "blob-exact",
            Shape::exact(BlobClass::Original, 1, 77),
            "padding left out",
        ),
        (
            "blob-thumbnail",
            Shape::padded(BlobClass::Thumbnail, 0, 500),
            "the smallest bucket",
        ),
    ] {
        let shape = shape.unwrap();
        let plain = drawn(40, usize::try_from(shape.len()).unwrap());
        let sealed = encrypt(&key, shape, &plain);
        let path = format!("encryption/{name}");
        let mut right = blob_case(&path, why, &key, shape).hex("plain", &plain);
        right.check = "blob".to_owned();
        right.bytes.clone_from(&sealed);
        cases.extend([
            right
                .wrong("tampered", Class::WrongKey, "one bit differs")
                .with(flipped(&sealed, sealed.len() / 2)),
            right
                .wrong("other-key", Class::WrongKey, "the key of another blob")
                .hex("key", &[1; 32]),
            right
                .wrong("other-part", Class::WrongKey, "shown as another part")
                .number("part", 9),
            right
                .wrong("other-class", Class::WrongKey, "shown as another class")
                .number("class", (u64::from(shape.class().code()) + 1) % 3),
            right
                .wrong("cut", Class::Truncated, "it ends early")
                .with(cut(&sealed)),
            right
                .wrong("trailing", Class::NotCanonical, "a byte follows")
                .with(longer(&sealed)),
            right
                .wrong(
                    "over-length",
                    Class::NotCanonical,
                    "a length beyond the padded size",
                )
                .number("length", shape.padded_bytes() + 1),
            right,
        ]);
    }
    cases
}

fn leaves() -> Vec<Case> {
    let key = BlobKey::from_bytes(drawn32(39));
    let mut cases = Vec::new();
    for (name, class, length) in [
        ("65520", BlobClass::Original, 65_520),
        ("65521", BlobClass::Original, 65_521),
        ("padded", BlobClass::Preview, 200_000),
    ] {
        let shape = Shape::padded(class, 2, length).unwrap();
        let plain = drawn(41, usize::try_from(length).unwrap());
        let sealed = encrypt(&key, shape, &plain);
        let mut hasher = LeafHasher::new();
        hasher.update(&sealed).unwrap();
        let list = hasher.finish().unwrap();
        let path = format!("encryption/blob-id-{name}");
        let why = "the ciphertext of drawn bytes has this id and these leaves";
        let mut right = blob_case(&path, why, &key, shape)
            .hex("plain rng", &[41; 32])
            .hex("plain hash", blake3::hash(&plain).as_bytes())
            .hex("blob", &list.blob().0)
            .with(list.as_bytes());
        right.check = "blob id".to_owned();
        cases.extend([
            right
                .wrong(
                    "other-key",
                    Class::BadChain,
                    "the id of what another key makes",
                )
                .hex("key", &[1; 32]),
            right
                .wrong(
                    "other-class",
                    Class::BadChain,
                    "the id of what another class makes",
                )
                .number("class", 2),
            right
                .wrong(
                    "other-plain",
                    Class::BadChain,
                    "the id of what another file makes",
                )
                .hex("plain rng", &[42; 32]),
            right.clone(),
        ]);
        cases.extend(lists(
            name,
            list.blob(),
            shape.ciphertext_len(),
            list.as_bytes(),
        ));
    }
    cases
}

fn lists(name: &str, blob: BlobId, length: u64, bytes: &[u8]) -> Vec<Case> {
    let right = Case::right(
        &format!("encryption/leaves-{name}"),
        "leaves",
        "the list merges to the id",
        bytes,
    )
    .hex("blob", &blob.0)
    .number("length", length);
    let mut cases = vec![
        right
            .wrong("length-zero", Class::TooLarge, "no blob is empty")
            .number("length", 0),
        right
            .wrong("length-beyond", Class::TooLarge, "no blob is so large")
            .number("length", heirloom_protocol::limits::BLOB_BYTES + 1),
        right
            .wrong("more-lines", Class::NotCanonical, "a line too many")
            .with([bytes, &[0; 32]].concat()),
    ];
    if !bytes.is_empty() {
        let mut swapped = bytes.to_vec();
        swapped[..64].rotate_left(32);
        cases.extend([
            right
                .wrong(
                    "swapped",
                    Class::BadChain,
                    "two leaves in each other's place",
                )
                .with(swapped),
            right
                .wrong("tampered", Class::BadChain, "one bit differs")
                .with(flipped(bytes, 1)),
            right
                .wrong("fewer-lines", Class::Truncated, "a line is missing")
                .with(&bytes[32..]),
        ]);
    }
    cases.push(right);
    cases
}
