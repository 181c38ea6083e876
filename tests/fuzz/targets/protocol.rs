//! Bytes and texts that the protocol reads, beside those of the vectors; and a whole session.

use std::time::Instant;

use heirloom_protocol::{
    carry,
    crypto::{RecoveryKit, SignedBytes},
    discovery::{
        Address, Announcement,
        gossip::{Beacon, Head as GossipHead},
    },
    family::{
        consent::KitProof,
        invite::{self, InviteText},
        pairing::{Newcomer, Offer},
    },
    id::{BranchId, DeviceId, EntryId, LogId, SpaceId},
    limits,
    log::entry::{EntryBytes, Header},
    op::{Op, RawOp, Sealed, decode_ops, encode_ops},
    sync::{
        Digest, Head, LogView,
        message::{Message, PREFIX_BYTES, PeerRole},
        session::{Input, Opening, Output, Session, Verdict},
    },
    wire,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Target, text, vectors};

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "header",
        seeds: headers,
        run: |bytes| is_one_encoding::<Header>(bytes, limits::ENTRY_BYTES),
    },
    Target {
        name: "op",
        seeds: vectors::ops,
        run: op,
    },
    Target {
        name: "ops",
        seeds: || vectors::bytes_of("ops"),
        run: ops,
    },
    Target {
        name: "carried",
        seeds: carried_seeds,
        run: carried,
    },
    Target {
        name: "values",
        seeds: values_seeds,
        run: values,
    },
    Target {
        name: "session",
        seeds: sessions,
        run: session,
    },
    Target {
        name: "invite_code",
        seeds: || {
            [
                vectors::fields_of("invite words", "words"),
                vectors::fields_of("invite link", "link"),
            ]
            .concat()
        },
        run: |bytes| text(bytes, invite_code),
    },
    Target {
        name: "recovery_words",
        seeds: || vectors::fields_of("kit", "words"),
        run: |bytes| text(bytes, |words| RecoveryKit::from_words(words).is_ok()),
    },
    Target {
        name: "announcement",
        seeds: announcements,
        run: |bytes| text(bytes, announcement),
    },
];

/// Takes bytes only if they are the one encoding of what they decode to.
fn is_one_encoding<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> bool {
    let Ok(value) = wire::decode::<T>(bytes, limit) else {
        return false;
    };
    assert_eq!(wire::encode(&value), bytes, "a value has two encodings");
    true
}

fn headers() -> Vec<Vec<u8>> {
    let entries = vectors::bytes_of("entry").into_iter();
    let header = |bytes: Vec<u8>| {
        let entry: EntryBytes = wire::decode(&bytes, limits::ENTRY_BYTES).expect("an entry");
        entry.header.to_vec()
    };
    entries.map(header).collect()
}

fn op(bytes: &[u8]) -> bool {
    let Some((tag, body)) = bytes.split_first_chunk() else {
        return false;
    };
    let raw = RawOp {
        tag: u16::from_be_bytes(*tag),
        bytes: body.to_vec(),
    };
    let Ok(op) = Op::from_raw(raw.clone()) else {
        return false;
    };
    assert_eq!(op.to_raw(), raw, "an op has two encodings");
    true
}

fn ops(bytes: &[u8]) -> bool {
    let Ok(ops) = decode_ops(bytes) else {
        return false;
    };
    assert!(ops.len() <= limits::ENTRY_OPS, "{} ops", ops.len());
    let understood: Option<Vec<Op>> = ops.into_iter().collect();
    if let Some(ops) = understood {
        assert_eq!(encode_ops(&ops), bytes, "a list of ops has two encodings");
    }
    true
}

const VALUES: &[fn(&[u8]) -> bool] = &[
    |bytes| is_one_encoding::<SignedBytes>(bytes, wire::MAX_BYTES),
    |bytes| is_one_encoding::<Beacon>(bytes, limits::BEACON_BYTES),
    |bytes| is_one_encoding::<GossipHead>(bytes, wire::MAX_BYTES),
    |bytes| is_one_encoding::<KitProof>(bytes, 256),
    |bytes| is_one_encoding::<Offer>(bytes, 4096),
    |bytes| is_one_encoding::<Newcomer>(bytes, 4096),
    |bytes| is_one_encoding::<Sealed>(bytes, limits::ENTRY_BYTES),
    |bytes| is_one_encoding::<Address>(bytes, 4096),
];

/// The first byte says of what type the rest is.
fn values(bytes: &[u8]) -> bool {
    let Some((kind, rest)) = bytes.split_first() else {
        return false;
    };
    VALUES[usize::from(*kind) % VALUES.len()](rest)
}

fn values_seeds() -> Vec<Vec<u8>> {
    let signed = [vectors::bytes_of("beacon"), vectors::bytes_of("head")].concat();
    let inner = |bytes: &Vec<u8>| {
        let signed: SignedBytes = wire::decode(bytes, wire::MAX_BYTES).expect("a statement");
        signed.bytes.to_vec()
    };
    let offers = vectors::fields_of("pairing", "offer").into_iter();
    let offers = offers.map(|hex| data(&hex)).collect();
    let address = Address::try_from("/ip4/192.168.1.20/tcp/4001".to_owned());
    let kinds = [
        (0, signed.clone()),
        (1, vec![inner(&signed[0])]),
        (2, vec![inner(&signed[signed.len() - 1])]),
        (3, vectors::bytes_of("kit proof")),
        (4, offers),
        (6, vectors::bytes_of("sealed value")),
        (7, vec![wire::encode(&address.expect("an address"))]),
    ];
    let mut seeds = Vec::new();
    for (kind, all) in kinds {
        seeds.extend(all.into_iter().map(|bytes| [vec![kind], bytes].concat()));
    }
    seeds
}

fn data(hex: &[u8]) -> Vec<u8> {
    let hex = std::str::from_utf8(hex).expect("hex");
    crate::case::unhex(hex).expect("hex")
}

/// One entry of one log in one space.
struct Shelf {
    log: LogId,
    entry: EntryBytes,
    id: EntryId,
}

impl Shelf {
    fn new() -> Self {
        let bytes = vectors::bytes_of("entry").swap_remove(0);
        let entry: EntryBytes = wire::decode(&bytes, limits::ENTRY_BYTES).expect("an entry");
        let log = LogId {
            space: SpaceId([1; 16]),
            device: DeviceId([2; 32]),
            inc: 1,
            branch: BranchId::ZERO,
        };
        let id = EntryId([3; 32]);
        Self { log, entry, id }
    }
}

impl LogView for Shelf {
    fn spaces_for(&self, _: DeviceId) -> Vec<(SpaceId, Digest)> {
        vec![(self.log.space, self.digest(self.log.space))]
    }

    fn heads(&self, space: SpaceId) -> Vec<Head> {
        let head = Head {
            log: self.log,
            first: 0,
            seq: 0,
            id: self.id,
        };
        let is_here = space == self.log.space;
        is_here.then_some(head).into_iter().collect()
    }

    fn entry(&self, log: &LogId, seq: u32) -> Option<EntryBytes> {
        (*log == self.log && seq == 0).then(|| self.entry.clone())
    }

    fn entry_id(&self, log: &LogId, seq: u32) -> Option<EntryId> {
        (*log == self.log && seq == 0).then_some(self.id)
    }

    fn causal(&self, space: SpaceId) -> Vec<(LogId, u32)> {
        let is_here = space == self.log.space;
        is_here.then_some((self.log, 0)).into_iter().collect()
    }
}

/// Frames one after another, from a peer that belongs to the family; the disk refuses every entry.
///
/// Takes them if the session is open at the end.
fn session(bytes: &[u8]) -> bool {
    let view = Shelf::new();
    let now = Instant::now();
    let opening = Opening {
        peer: DeviceId([9; 32]),
        control: view.log.space,
        role: PeerRole::Archive,
        incarnation: 1,
    };
    let mut session = Session::open(opening, &view, now);
    let mut rest = bytes;
    loop {
        let mut turns = 0;
        while let Some(output) = session.poll(&view) {
            turns += 1;
            assert!(turns < 10_000, "a session that never falls silent");
            match output {
                Output::Commit { batch, entries, .. } => {
                    let verdicts = entries.iter().map(|_| Verdict::Waiting).collect();
                    session.handle(Input::Committed { batch, verdicts }, &view, now);
                }
                Output::Close(_) => return false,
                _ => {}
            }
        }
        let Some((prefix, after)) = rest.split_first_chunk::<PREFIX_BYTES>() else {
            return rest.is_empty();
        };
        let message = match Message::frame_len(*prefix) {
            Ok(length) if length <= after.len() => {
                let (frame, left) = after.split_at(length);
                rest = left;
                Message::from_frame(frame).ok()
            }
            _ => {
                rest = &[];
                None
            }
        };
        let input = message.map_or(Input::Malformed, Input::Message);
        session.handle(input, &view, now);
    }
}

/// A hello, and a hello with each other frame behind it; those that a session bears.
fn sessions() -> Vec<Vec<u8>> {
    let frames = vectors::bytes_of("frame");
    let is_hello = |frame: &&Vec<u8>| {
        let message = Message::from_frame(&frame[PREFIX_BYTES..]);
        matches!(message, Ok(Message::Hello(_)))
    };
    let hello = frames.iter().find(is_hello).expect("a hello");
    let behind = frames.iter().map(|frame| [&hello[..], frame].concat());
    let mut seeds: Vec<Vec<u8>> = behind.filter(|bytes| session(bytes)).collect();
    assert!(seeds.len() >= 5, "{} conversations", seeds.len());
    seeds.push(hello.clone());
    seeds
}

fn invite_code(typed: &str) -> bool {
    match invite::parse(typed) {
        Ok(InviteText::Words(secret)) => {
            let words = secret.words();
            let again = invite::parse(&words);
            assert!(
                matches!(again, Ok(InviteText::Words(same)) if same.to_bytes() == secret.to_bytes())
            );
            true
        }
        Ok(InviteText::Link(code)) => {
            let again = invite::parse(&code.link());
            assert!(matches!(again, Ok(InviteText::Link(same)) if same.link() == code.link()));
            true
        }
        Err(_) => false,
    }
}

/// The nonce and the tag of a TXT record, a space between.
fn announcement(record: &str) -> bool {
    let Some((n, t)) = record.split_once(' ') else {
        return false;
    };
    let Some(heard) = Announcement::from_txt(n, t, 4001) else {
        return false;
    };
    assert_eq!(heard.to_txt(), (n.to_owned(), t.to_owned()));
    true
}

fn announcements() -> Vec<Vec<u8>> {
    let n = vectors::fields_of("txt", "n").into_iter();
    n.zip(vectors::fields_of("txt", "t"))
        .map(|(n, t)| [n, t].join(&b' '))
        .collect()
}

fn carried_seeds() -> Vec<Vec<u8>> {
    let mut file = Vec::new();
    for n in 1..4 {
        let entry = EntryBytes {
            header: vec![n; 40],
            signature: heirloom_protocol::crypto::Signature([n; 64]),
            body: vec![n; 90],
        };
        carry::put_entry(&mut file, &entry);
    }
    let mut seeds = vectors::bytes_of("list");
    seeds.push(file);
    seeds
}

/// A list or a file of entries from a disk that anybody may have written.
fn carried(bytes: &[u8]) -> bool {
    let rows = carry::read_list(bytes);
    if let Some(rows) = &rows {
        assert_eq!(wire::encode(rows), bytes);
    }
    let (entries, is_whole) = carry::read_entries(bytes);
    let mut again = Vec::new();
    for entry in &entries {
        carry::put_entry(&mut again, entry);
    }
    assert!(bytes.starts_with(&again));
    assert_eq!(is_whole, again.len() == bytes.len());
    rows.is_some() || is_whole && !entries.is_empty()
}
