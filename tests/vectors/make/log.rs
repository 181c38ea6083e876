//! Entries, their names and stamps, albums.

use heirloom_protocol::{
    id::{DeviceId, EntryId, FamilyId, OpId, SpaceId},
    limits,
    log::{
        entry::{Entry, EntryBytes, Header, first_prev},
        graph::Graph,
    },
    op::{AlbumGenesis, Op, encode_ops},
    time::{Hlc, Timestamp},
    wire,
};

use super::{
    computed, cut,
    family::{Family, NOW},
    flipped, longer, stretched,
};
use crate::{
    case::{Case, Class, drawn32},
    verify::encoded,
};

pub(super) fn all() -> Vec<Case> {
    [names(), entries(), bodies(), stamps(), albums()].concat()
}

fn names() -> Vec<Case> {
    let (space, device) = (SpaceId([0x51; 16]), DeviceId([0x52; 32]));
    let certificate = OpId([0x53; 32]);
    let incarnation = 0x0102_0304_0506_0708;
    let prev = first_prev(space, device, incarnation, certificate);
    let first = Case::right(
        "log/first-prev",
        "first prev",
        "what the first entry of a log names as the one before",
        &prev.0,
    )
    .hex("space", &space.0)
    .hex("device", &device.0)
    .number("incarnation", incarnation)
    .hex("certificate", &certificate.0);
    let mut cases = vec![
        first
            .wrong(
                "other-incarnation",
                Class::BadChain,
                "the first entry of another log",
            )
            .number("incarnation", 0x0807_0605_0403_0201),
        first
            .wrong(
                "other-certificate",
                Class::BadChain,
                "under another certificate",
            )
            .hex("certificate", &[1; 32]),
    ];
    cases.extend(computed(first));
    let entry = EntryId([0x54; 32]);
    for index in [0, 511] {
        let op = Case::right(
            &format!("log/op-id-{index}"),
            "op id",
            "the entry and the place in it",
            &OpId::of(entry, index).0,
        )
        .hex("entry", &entry.0)
        .number("index", u64::from(index));
        cases.push(
            op.wrong("other-index", Class::BadChain, "the op before")
                .number("index", u64::from(index + 1)),
        );
        cases.extend(computed(op));
    }
    let heads = [[3; 32], [1; 32], [2; 32]];
    let mut graph = Graph::default();
    for head in heads {
        graph.insert(EntryId(head), &[], &[OpId(head)], true);
    }
    let digest = Case::right(
        "log/heads-digest",
        "heads digest",
        "the heads are sorted first",
        &graph.digest(),
    )
    .hex("heads", &heads.concat());
    cases.push(
        digest
            .wrong("other-heads", Class::BadChain, "a head is missing")
            .hex("heads", &heads[1..].concat()),
    );
    cases.extend(computed(digest));
    cases
}

/// The tags of an entry's ops, as a vector shows them.
fn tags(entry: &Entry, family: &Family) -> String {
    let ops = entry.open(Some(&family.epoch_key)).unwrap();
    let tags = ops
        .iter()
        .map(|op| format!("{:04x}", op.as_ref().unwrap().tag()));
    tags.collect::<Vec<_>>().join(" ")
}

fn case(family: &Family, name: &str, entry: &Entry, why: &str) -> Case {
    let case = Case::right(&format!("log/{name}"), "entry", why, &encoded(entry))
        .hex("family", &family.id.0)
        .hex("id", &entry.id().0)
        .text("ops", &tags(entry, family));
    let case = match entry.header().seq {
        0 => case.hex("certificate", &family.id.0),
        _ => case,
    };
    match entry.header().is_control() {
        true => case,
        false => case.hex("key", family.epoch_key.as_bytes()),
    }
}

fn entries() -> Vec<Case> {
    let family = Family::new();
    let holds = |entry: &Entry, tag: u16| {
        let ops = entry.open(Some(&family.epoch_key)).unwrap_or_default();
        ops.iter().flatten().any(|op| op.tag() == tag)
    };
    let find = |tag| family.entry(|entry| holds(entry, tag));
    let stories = [
        ("entry-genesis", find(0x0100), "the first entry of a family"),
        ("entry-epochs", find(0x0125), "the second entry of a family"),
        (
            "entry-names",
            find(0x0109),
            "names, sealed, in an entry in clear",
        ),
        ("entry-add-person", find(0x0101), "a person and a device"),
        ("entry-seal", find(0x0126), "keys for the newcomer"),
        ("entry-album", find(0x0120), "the first entry of an album"),
        ("entry-access", find(0x0121), "an album is shared"),
        ("entry-set-album", find(0x0007), "the album's name, sealed"),
        ("entry-add-item", find(0x0001), "a photo"),
    ];
    let mut cases = Vec::new();
    for (name, entry, why) in stories {
        let right = case(&family, name, entry, why);
        cases.extend(tampered(&right, entry, &family));
        if !entry.header().is_control() {
            cases.push(
                right
                    .wrong("other-key", Class::WrongKey, "the key of another epoch")
                    .hex("key", &[1; 32]),
            );
        }
        if entry.header().seq == 0 {
            cases.push(
                right
                    .wrong(
                        "not-certified",
                        Class::NotAMember,
                        "its log hangs on another certificate",
                    )
                    .hex("certificate", &[1; 32]),
            );
        }
        cases.push(right);
    }
    cases.extend(oversized(&family));
    cases
}

/// The bytes of an entry with another header, signature or body.
fn with(entry: &Entry, change: impl FnOnce(&mut EntryBytes)) -> Vec<u8> {
    let mut bytes = entry.bytes().clone();
    change(&mut bytes);
    wire::encode(&bytes)
}

fn tampered(right: &Case, entry: &Entry, family: &Family) -> Vec<Case> {
    let bytes = &right.bytes;
    let not_canonical = |header: &[u8]| {
        wire::decode::<Header>(header, limits::ENTRY_BYTES) == Err(wire::WireError::NotCanonical)
    };
    let header = &entry.bytes().header;
    let long = stretched(header, |changed| {
        changed[..2] == [1, 1] && not_canonical(changed)
    });
    let signed = |header: Vec<u8>| {
        let key = &family.founder.sign;
        let kind = heirloom_protocol::crypto::SignKind::Entry;
        let signature = heirloom_protocol::crypto::sign::sign(key, kind, &family.id, &header);
        with(entry, |bytes| {
            bytes.header = header;
            bytes.signature = signature;
        })
    };
    let version = [&[2, 1], &header[2..]].concat();
    let suite = [&[1, 2], &header[2..]].concat();
    vec![
        right
            .wrong(
                "tampered-header",
                Class::BadSignature,
                "one bit of the header differs",
            )
            .with(with(entry, |bytes| bytes.header[40] ^= 1)),
        right
            .wrong(
                "tampered-body",
                Class::BadChain,
                "one bit of the body differs",
            )
            .with(with(entry, |bytes| bytes.body[0] ^= 1)),
        right
            .wrong(
                "tampered-signature",
                Class::BadSignature,
                "one bit of the signature differs",
            )
            .with(with(entry, |bytes| bytes.signature.0[7] ^= 1)),
        right
            .wrong(
                "other-family",
                Class::BadSignature,
                "an entry of another family",
            )
            .hex("family", &FamilyId([9; 32]).0),
        right
            .wrong("cut", Class::Truncated, "it ends early")
            .with(cut(bytes)),
        right
            .wrong("trailing", Class::NotCanonical, "a byte follows")
            .with(longer(bytes)),
        right
            .wrong(
                "short-header",
                Class::Truncated,
                "the header, signed, ends early",
            )
            .with(signed(cut(header))),
        right
            .wrong(
                "long-header",
                Class::NotCanonical,
                "a byte follows the header, signed",
            )
            .with(signed(longer(header))),
        right
            .wrong(
                "long-number",
                Class::NotCanonical,
                "a number of the header, signed, in a longer form",
            )
            .with(signed(long.unwrap())),
        right
            .wrong(
                "version",
                Class::UnknownVersion,
                "a version of another time",
            )
            .with(signed(version)),
        right
            .wrong("suite", Class::UnknownVersion, "a suite of another time")
            .with(signed(suite)),
        right
            .wrong("flags", Class::NotCanonical, "a flag that nobody knows")
            .with(signed(flag(entry.header(), 2))),
        right
            .wrong(
                "other-flag",
                Class::NotCanonical,
                "of the other kind, with what that kind does not have",
            )
            .with(signed(other_kind(entry.header()))),
    ]
}

fn flag(header: &Header, flag: u8) -> Vec<u8> {
    wire::encode(&Header {
        flags: header.flags | flag,
        ..header.clone()
    })
}

/// A control entry with an epoch, or another one with deps.
fn other_kind(header: &Header) -> Vec<u8> {
    let mut header = header.clone();
    if header.is_control() {
        header.epoch.0[0] = 1;
    } else {
        header.deps.push(EntryId([1; 32]));
    }
    wire::encode(&header)
}

/// Entries with one more of something than an entry holds.
fn oversized(family: &Family) -> Vec<Case> {
    let control = family.entry(|entry| entry.header().is_control());
    let sealed = family.entry(|entry| !entry.header().blobs.is_empty());
    let right = |entry, name| case(family, name, entry, "");
    let deps = Header {
        deps: vec![EntryId([1; 32]); limits::ENTRY_DEPS + 1],
        ..control.header().clone()
    };
    let deps = Entry::sign_control(family.id, &family.founder, deps, &[]);
    let line = sealed.header().blobs[0];
    let blobs = Header {
        blobs: vec![line; limits::ENTRY_BLOBS + 1],
        ..sealed.header().clone()
    };
    let blobs = Entry::seal(family.id, &family.founder, blobs, &family.epoch_key, &[]);
    let mut large = line;
    large.padded = limits::BLOB_BYTES + 1;
    let mut header = sealed.header().clone();
    header.blobs = vec![large];
    let padded = Entry::seal(family.id, &family.founder, header, &family.epoch_key, &[]);
    vec![
        right(control, "entry-genesis")
            .wrong("deps", Class::TooLarge, "more deps than an entry names")
            .with(encoded(&deps)),
        right(sealed, "entry-add-item")
            .wrong(
                "blobs",
                Class::TooLarge,
                "more blobs than an entry announces",
            )
            .with(encoded(&blobs)),
        right(sealed, "entry-add-item")
            .wrong(
                "padded",
                Class::NotCanonical,
                "a blob of more than a blob may have",
            )
            .with(encoded(&padded)),
    ]
}

fn bodies() -> Vec<Case> {
    let remove = |n: u8| Op::RemoveDevice((DeviceId([n; 32]),));
    let unknown = |tag| {
        Op::Unknown(heirloom_protocol::op::RawOp {
            tag,
            bytes: b"later".to_vec(),
        })
    };
    let broken = Op::Unknown(heirloom_protocol::op::RawOp {
        tag: 0x0105,
        bytes: vec![1; 33],
    });
    let ops = [
        remove(1),
        unknown(0x0fff),
        broken,
        unknown(0x8fff),
        remove(2),
    ];
    let bytes = encode_ops(&ops);
    let right = Case::right(
        "log/ops",
        "ops",
        "unknown and broken ops do not affect the others",
        &bytes,
    )
    .text("effects", "0105 unknown none unknown 0105");
    let many: Vec<Op> = (0..=limits::ENTRY_OPS)
        .map(|_| Op::CloseAlbum(()))
        .collect();
    vec![
        right
            .wrong("cut", Class::Truncated, "the list ends early")
            .with(cut(&bytes)),
        right
            .wrong("trailing", Class::NotCanonical, "a byte follows the list")
            .with(longer(&bytes)),
        right
            .wrong(
                "too-many",
                Class::TooLarge,
                "one op more than an entry holds",
            )
            .with(encode_ops(&many)),
        right
            .wrong(
                "long-count",
                Class::NotCanonical,
                "the count in a longer form",
            )
            .with([&[251, 5, 0], &bytes[1..]].concat()),
        right,
    ]
}

fn stamps() -> Vec<Case> {
    let clock = Timestamp(NOW);
    let late = Hlc::at(Timestamp(NOW + 5000));
    let far = Hlc::at(Timestamp(NOW + limits::CLOCK_AHEAD_MS + 1));
    let mut cases = Vec::new();
    for (name, last, why) in [
        (
            "stamp-clock",
            Hlc::at(Timestamp(NOW - 1)),
            "the clock is ahead of the last stamp",
        ),
        (
            "stamp-counter",
            late,
            "the last stamp is ahead of the clock",
        ),
        (
            "stamp-carry",
            Hlc(late.0 | 0xffff),
            "the counter runs over into the milliseconds",
        ),
        (
            "stamp-held",
            far,
            "more than ten minutes ahead of the reader",
        ),
    ] {
        let next = last.next(clock);
        let bytes = wire::encode(&next);
        let right = Case::right(&format!("log/{name}"), "stamp", why, &bytes)
            .number("last", last.0)
            .number("clock", NOW)
            .number("milliseconds", next.time().0)
            .number("reader clock", NOW)
            .text("held", &next.is_held(clock).to_string());
        cases.extend([
            right
                .wrong("fallen", Class::BadChain, "not above the last stamp")
                .with(wire::encode(&Hlc(last.0 - 1))),
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

fn albums() -> Vec<Case> {
    let family = Family::new();
    let mut cases = Vec::new();
    for from_now in [false, true] {
        let genesis = AlbumGenesis {
            suite: 1,
            nonce: drawn32(50),
            person: family.genesis.person,
            device: family.founder.device_id(),
            created: NOW,
            from_now,
        };
        let bytes = wire::encode(&genesis);
        let hash = blake3::hash(&bytes);
        let name = if from_now { "album-from-now" } else { "album" };
        let right = Case::right(
            &format!("albums/{name}"),
            "album",
            "an album is named by the hash of its first op",
            &bytes,
        )
        .hex("album", &hash.as_bytes()[..16]);
        let last = bytes.len() - 1;
        let bool_of_two = [&bytes[..last], &[2]].concat();
        cases.extend([
            right
                .wrong(
                    "other-nonce",
                    Class::BadChain,
                    "the hash is of another nonce",
                )
                .with(flipped(&bytes, 1)),
            right
                .wrong("cut", Class::Truncated, "it ends early")
                .with(cut(&bytes)),
            right
                .wrong("trailing", Class::NotCanonical, "a byte follows")
                .with(longer(&bytes)),
            right
                .wrong("bool", Class::NotCanonical, "a bool is 0 or 1")
                .with(bool_of_two),
            right,
        ]);
    }
    cases
}
