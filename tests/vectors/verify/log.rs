//! Entries, ops, stamps, albums.

use heirloom_protocol::{
    crypto::EpochKey,
    id::{DeviceId, EntryId, FamilyId, OpId, SpaceId},
    limits,
    log::{
        entry::{self, Entry, EntryBytes, EntryError, Header},
        graph::Graph,
    },
    op::{AlbumGenesis, Op, RawOp},
    time::{Hlc, Timestamp},
    wire::{self, WireError},
};

use super::{Checked, agree, decode, same};
use crate::case::{Case, Class};

pub(super) fn first_prev(case: &Case) -> Checked {
    let prev = entry::first_prev(
        SpaceId(case.array("space")),
        DeviceId(case.array("device")),
        case.value("incarnation"),
        OpId(case.array("certificate")),
    );
    same(&case.bytes, &prev.0)
}

pub(super) fn op_id(case: &Case) -> Checked {
    let entry = EntryId(case.array("entry"));
    same(&case.bytes, &OpId::of(entry, case.value("index")).0)
}

/// How the body of an op fails, told finer than `Op::from_raw` does.
fn body_class(raw: &RawOp, error: WireError) -> Class {
    match error {
        WireError::TooLarge(..) => Class::TooLarge,
        WireError::NotCanonical => Class::NotCanonical,
        WireError::Malformed => {
            let longer = RawOp {
                tag: raw.tag,
                bytes: [&raw.bytes[..], &[0; 1024]].concat(),
            };
            match Op::from_raw(longer) {
                Err(WireError::Malformed) => Class::NotCanonical,
                _ => Class::Truncated,
            }
        }
    }
}

pub(super) fn op(case: &Case) -> Checked {
    let tag: u16 = u16::from_str_radix(case.string("tag"), 16).unwrap();
    let raw = RawOp {
        tag,
        bytes: case.bytes.clone(),
    };
    let op = Op::from_raw(raw.clone()).map_err(|error| body_class(&raw, error))?;
    assert!(!matches!(op, Op::Unknown(_)), "{}", case.path);
    agree(op.to_raw() == raw)
}

pub(super) fn ops(case: &Case) -> Checked {
    let raw: Vec<RawOp> = decode(&case.bytes, limits::ENTRY_BYTES)?;
    let ops = heirloom_protocol::op::decode_ops(&case.bytes).map_err(|error| match error {
        WireError::TooLarge(..) => Class::TooLarge,
        WireError::NotCanonical | WireError::Malformed => Class::NotCanonical,
    })?;
    let effect = |op: &Option<Op>| match op {
        None => "none".to_owned(),
        Some(Op::Unknown(_)) => "unknown".to_owned(),
        Some(op) => format!("{:04x}", op.tag()),
    };
    let effects: Vec<_> = ops.iter().map(effect).collect();
    agree(raw.len() == ops.len() && effects.join(" ") == case.string("effects"))
}

pub(super) fn entry(case: &Case) -> Checked {
    // The lengths before header and body come on top of what counts.
    let bytes: EntryBytes = decode(&case.bytes, limits::ENTRY_BYTES + 10)?;
    let family = FamilyId(case.array("family"));
    let entry = Entry::verify(family, bytes.clone()).map_err(|error| match error {
        EntryError::TooLarge => Class::TooLarge,
        EntryError::Malformed => decode::<Header>(&bytes.header, limits::ENTRY_BYTES)
            .err()
            .unwrap_or(Class::NotCanonical),
        EntryError::UnknownVersion(..) => Class::UnknownVersion,
        EntryError::BadSignature => Class::BadSignature,
        EntryError::BadBody => Class::BadChain,
        EntryError::WrongKey => Class::WrongKey,
    })?;
    agree(entry.id() == EntryId(case.array("id")))?;
    if let Some(certificate) = case.field("certificate") {
        assert_eq!(certificate.len(), 64);
        let header = entry.header();
        let certificate = OpId(case.array("certificate"));
        let first = entry::first_prev(header.space, header.device, header.inc, certificate);
        if first != header.prev {
            return Err(Class::NotAMember);
        }
    }
    let key = case
        .field("key")
        .map(|_| EpochKey::from_bytes(case.array("key")));
    let ops = entry.open(key.as_ref()).map_err(|error| match error {
        EntryError::WrongKey => Class::WrongKey,
        _ => Class::NotCanonical,
    })?;
    let tag = |op: &Option<Op>| {
        op.as_ref()
            .map_or("none".to_owned(), |op| format!("{:04x}", op.tag()))
    };
    let tags: Vec<_> = ops.iter().map(tag).collect();
    agree(tags.join(" ") == case.string("ops"))
}

pub(super) fn stamp(case: &Case) -> Checked {
    let next: Hlc = decode(&case.bytes, 16)?;
    let (last, clock) = (Hlc(case.value("last")), Timestamp(case.value("clock")));
    agree(last.next(clock) == next)?;
    agree(next.time().0 == case.value::<u64>("milliseconds"))?;
    let reader = Timestamp(case.value("reader clock"));
    agree(next.is_held(reader).to_string() == case.string("held"))
}

pub(super) fn heads_digest(case: &Case) -> Checked {
    let mut graph = Graph::default();
    for head in case.raw("heads").chunks(32) {
        let head = EntryId(head.try_into().unwrap());
        graph.insert(head, &[], &[OpId(head.0)], true);
    }
    same(&case.bytes, &graph.digest())
}

pub(super) fn album(case: &Case) -> Checked {
    let _: AlbumGenesis = decode(&case.bytes, limits::ENTRY_BYTES)?;
    let album: [u8; 16] = case.array("album");
    agree(blake3::hash(&case.bytes).as_bytes()[..16] == album)
}

/// The encoding of an entry, for those who make vectors.
pub(crate) fn encoded(entry: &Entry) -> Vec<u8> {
    wire::encode(entry.bytes())
}
