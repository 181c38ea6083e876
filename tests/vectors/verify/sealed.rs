//! Derivation, sealing, blobs.

use heirloom_protocol::{
    crypto::{
        BlobKey, BodyKey, Class as BlobClass, Decryptor, Encryptor, EpochKey, EpochKind, EpochName,
        LeafHasher, LeafList, Purpose, RecipientKind, SealBox, SealContext, SealSecret, SeededRng,
        Shape,
        body::{self, BodyNonce},
        derive,
        leaves::{LeafError, list_count},
        seal,
        shape::ShapeError,
    },
    id::{BlobId, BranchId, DeviceId, EpochId, FamilyId, LogId, OpId, SpaceId},
    limits,
    op::{Chained, Sealed, Subject},
    wire,
};

use super::{Checked, agree, decode, same};
use crate::case::{Case, Class};

pub(super) fn derived(case: &Case) -> Checked {
    let context = ["heirloom 2026 v1", case.string("purpose")].join(" ");
    let purpose = Purpose::ALL.into_iter().find(|p| p.context() == context);
    let purpose = purpose.expect("a purpose of the list");
    same(&case.bytes, &derive(purpose, &[&case.raw("material")]))
}

pub(super) fn rng(case: &Case) -> Checked {
    let mut reader = blake3::Hasher::new_keyed(&case.array("rng")).finalize_xof();
    let mut bytes = vec![0; case.value("length")];
    reader.fill(&mut bytes);
    // The same bytes through the generator itself, which draws keys of 32 bytes.
    let mut rng = SeededRng::from_seed(case.array("rng"));
    let first = EpochKey::generate(&mut rng);
    agree(bytes.starts_with(&first.as_bytes()[..bytes.len().min(32)]))?;
    same(&case.bytes, &bytes)
}

fn epoch_key(case: &Case) -> EpochKey {
    EpochKey::from_bytes(case.array("key"))
}

fn kind(case: &Case) -> EpochKind {
    match case.string("kind") {
        "0" => EpochKind::Album,
        "1" => EpochKind::Family,
        _ => EpochKind::Net,
    }
}

fn name(case: &Case) -> EpochName {
    EpochName {
        space: SpaceId(case.array("space")),
        kind: kind(case),
        generation: case.value("generation"),
        minter: DeviceId(case.array("minter")),
    }
}

pub(super) fn epoch_id(case: &Case) -> Checked {
    same(&case.bytes, &epoch_key(case).id(&name(case)).0)
}

pub(super) fn epoch_keys(case: &Case) -> Checked {
    let key = epoch_key(case);
    let log = LogId {
        space: SpaceId(case.array("space")),
        device: DeviceId(case.array("device")),
        inc: case.value("incarnation"),
        branch: BranchId::ZERO,
    };
    let keys = [key.body_key(&log), key.value_key(), key.chain_key()];
    let keys: Vec<u8> = keys.iter().flat_map(|key| *key.as_bytes()).collect();
    same(&case.bytes, &keys)
}

pub(super) fn body(case: &Case) -> Checked {
    let key = BodyKey::from_bytes(case.array("key"));
    let nonce = BodyNonce(case.array("nonce"));
    let plain = body::open(&key, &nonce, &case.raw("associated data"), &case.bytes)
        .map_err(|_| Class::WrongKey)?;
    agree(plain == case.raw("plain"))
}

pub(super) fn value(case: &Case) -> Checked {
    let sealed: Sealed = decode(&case.bytes, limits::ENTRY_BYTES)?;
    if sealed.epoch != EpochId(case.array("epoch")) {
        return Err(Class::WrongKey);
    }
    let subject: Subject = wire::decode(&case.raw("subject"), 64).expect("a subject");
    let aad = wire::encode(&(
        SpaceId(case.array("space")),
        DeviceId(case.array("author")),
        0x0109_u16,
        case.value::<u16>("field"),
        subject,
    ));
    let key = epoch_key(case).value_key();
    let plain = body::open(&key, &sealed.nonce, &aad, &sealed.ciphertext);
    agree(plain.map_err(|_| Class::WrongKey)? == case.raw("plain"))
}

pub(super) fn chain(case: &Case) -> Checked {
    let chained: Chained = decode(&case.bytes, limits::ENTRY_BYTES)?;
    let key = epoch_key(case).chain_key();
    let epoch: [u8; 32] = case.array("epoch");
    let plain = body::open(&key, &chained.nonce, &epoch, &chained.ciphertext)
        .map_err(|_| Class::WrongKey)?;
    let older: Vec<(EpochId, [u8; 32])> = decode(&plain, 64 * 64 + 16)?;
    let flat: Vec<u8> = older
        .iter()
        .flat_map(|(id, key)| [id.0, *key].concat())
        .collect();
    agree(flat == case.raw("older"))
}

pub(super) fn seal_box(case: &Case) -> Checked {
    let sealed: SealBox = decode(&case.bytes, 160)?;
    let context = SealContext {
        family: FamilyId(case.array("family")),
        epoch: name(case),
        epoch_id: EpochId(case.array("epoch")),
        recipient_kind: match case.string("recipient kind") {
            "0" => RecipientKind::Device,
            _ => RecipientKind::Kit,
        },
        recipient: DeviceId(case.array("recipient")),
        certificate: OpId(case.array("certificate")),
        author: DeviceId(case.array("author")),
    };
    let secret = SealSecret::from_bytes(&case.array("secret"));
    let key = seal::open(&context, &secret, &sealed).map_err(|_| Class::WrongKey)?;
    agree(key == epoch_key(case))?;
    let mut rng = SeededRng::from_seed(case.array("rng"));
    let again = seal::seal(&context, &secret.public(), &key, &mut rng);
    agree(again == Ok(sealed))
}

fn class(code: &str) -> BlobClass {
    match code {
        "0" => BlobClass::Original,
        "1" => BlobClass::Preview,
        _ => BlobClass::Thumbnail,
    }
}

fn no_shape(error: ShapeError) -> Class {
    match error {
        ShapeError::TooLarge => Class::TooLarge,
        ShapeError::PaddedBelowLength => Class::NotCanonical,
    }
}

pub(super) fn padding(case: &Case) -> Checked {
    let shape = Shape::padded(class(case.string("class")), 0, case.value("length"));
    let shape = shape.map_err(no_shape)?;
    agree(shape.padded_bytes() == case.value::<u64>("padded"))?;
    agree(shape.segments() == case.value::<u64>("segments"))?;
    agree(shape.ciphertext_len() == case.value::<u64>("ciphertext"))
}

fn shape(case: &Case) -> Result<Shape, Class> {
    let class = class(case.string("class"));
    let (part, padded) = (case.value("part"), case.value::<u64>("padded"));
    Shape::signed(class, part, padded, case.value("length")).map_err(no_shape)
}

pub(super) fn blob(case: &Case) -> Checked {
    let shape = shape(case)?;
    let bytes = u64::try_from(case.bytes.len()).unwrap();
    if bytes < shape.ciphertext_len() {
        return Err(Class::Truncated);
    }
    if bytes > shape.ciphertext_len() {
        return Err(Class::NotCanonical);
    }
    let decryptor = Decryptor::new(&BlobKey::from_bytes(case.array("key")), shape);
    let mut plain = Vec::new();
    for (index, leaf) in (0..).zip(case.bytes.chunks(limits::LEAF_BYTES)) {
        let mut leaf = leaf.to_vec();
        let opened = decryptor.open_segment(index, &mut leaf);
        plain.extend_from_slice(opened.map_err(|_| Class::WrongKey)?);
    }
    agree(plain == case.raw("plain"))
}

pub(crate) fn encrypt(key: &BlobKey, shape: Shape, plain: &[u8]) -> Vec<u8> {
    let mut encryptor = Encryptor::new(key, shape);
    let mut out = Vec::new();
    let mut rest = plain;
    for index in 0..shape.segments() {
        let (now, later) = rest.split_at(shape.data_bytes(index));
        let mut segment = now.to_vec();
        encryptor.seal_segment(index, &mut segment).unwrap();
        out.extend(segment);
        rest = later;
    }
    out
}

pub(super) fn blob_id(case: &Case) -> Checked {
    let shape = shape(case)?;
    let mut plain = vec![0; usize::try_from(shape.len()).unwrap()];
    let mut reader = blake3::Hasher::new_keyed(&case.array("plain rng")).finalize_xof();
    reader.fill(&mut plain);
    let sealed = encrypt(&BlobKey::from_bytes(case.array("key")), shape, &plain);
    let mut hasher = LeafHasher::new();
    hasher.update(&sealed).unwrap();
    let list = hasher.finish().unwrap();
    agree(list.blob() == BlobId(case.array("blob")))?;
    agree(*blake3::hash(&plain).as_bytes() == case.array("plain hash"))?;
    same(&case.bytes, list.as_bytes())
}

pub(super) fn leaves(case: &Case) -> Checked {
    let blob = BlobId(case.array("blob"));
    let length = case.value("length");
    let checked = LeafList::from_bytes(blob, length, &case.bytes);
    checked.map(drop).map_err(|error| match error {
        LeafError::BlobLength(_) => Class::TooLarge,
        LeafError::Count { found, .. } if found < list_count(length) => Class::Truncated,
        LeafError::Count { .. } => Class::NotCanonical,
        LeafError::WrongRoot | LeafError::WrongLeaf(_) => Class::BadChain,
    })
}
