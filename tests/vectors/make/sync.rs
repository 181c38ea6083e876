//! Frames of both streams, digests, bitmaps.

use heirloom_protocol::{
    crypto::{RecipientKind, SealBox, Signature, SignedBytes},
    id::{BranchId, DeviceId, EntryId, EpochId, LogId, OpId, SpaceId},
    limits,
    log::entry::EntryBytes,
    op::{BlobRange, SealedTo},
    sync::{
        Head,
        blob::{
            AnswerHead, AnswerKind, BlobPlace, GetLeaves, GetMany, GetRange, Gone, Group, Request,
        },
        have, heads_digest,
        message::{
            Announce, Close, Credit, Devices, Entries, Gossip, Have, HaveDigests, HaveMode,
            HavePull, HaveRow, HeadRow, Heads, Hello, HoldRequest, Key, KeyPull, LogRef, Message,
            PeerRole, Refused, Room, Sent, Settled, Spaces,
        },
    },
};

use super::{computed, cut, longer, stretched};
use crate::{
    case::{Case, Class, drawn, drawn32, hex},
    verify,
};

const SPACE: SpaceId = SpaceId([0x81; 16]);
const INC: u64 = 0xfedc_ba98_7654_3210;

pub(super) fn all() -> Vec<Case> {
    [frames(), requests(), answers(), bitmaps(), digests()].concat()
}

fn log() -> LogRef {
    LogRef {
        device: 251,
        inc: INC,
        branch: BranchId([0x82; 8]),
    }
}

fn log_id(n: u8) -> LogId {
    LogId {
        space: SPACE,
        device: DeviceId([n; 32]),
        inc: INC,
        branch: BranchId::ZERO,
    }
}

fn entry() -> EntryBytes {
    EntryBytes {
        header: drawn(90, 300),
        signature: Signature([0x83; 64]),
        body: drawn(91, 40),
    }
}

fn rows() -> Vec<(SpaceId, [u8; 16])> {
    vec![(SPACE, [0x84; 16]), (SpaceId([0x85; 16]), [0x86; 16])]
}

/// Values 3 to 5 in an array container of the portable Roaring format.
fn array() -> Vec<u8> {
    unhex_all("3a300000 01000000 0000 0200 10000000 0300 0400 0500")
}

fn unhex_all(text: &str) -> Vec<u8> {
    crate::case::unhex(&text.replace(' ', "")).unwrap()
}

fn messages() -> Vec<(&'static str, Message)> {
    let hello = Hello {
        version: 1,
        features: 5,
        role: PeerRole::Archive,
        incarnation: INC,
        credit: 4 << 20,
        cookie: Some([0x87; 16]),
        have: [0x88; 16],
        have_known: None,
    };
    let head = HeadRow {
        log: log(),
        seq: 70_000,
        hash: [0x89; 8],
    };
    let devices = Devices {
        first: 300,
        devices: vec![DeviceId([0x8a; 32])],
    };
    let seal = SealedTo {
        kind: RecipientKind::Device,
        to: DeviceId([0x8b; 32]),
        cert: OpId([0x8c; 32]),
        sealed: SealBox(drawn(92, 80).try_into().unwrap()),
    };
    let gossip = Gossip {
        kind: 1,
        space: Some(SPACE),
        raw: SignedBytes {
            bytes: drawn(93, 60),
            signature: Signature([0x8d; 64]),
        },
    };
    let range = BlobRange {
        device: DeviceId([0x8e; 32]),
        inc: INC,
        branch: BranchId::ZERO,
        from: 5,
        to: 70_000,
    };
    let hold = HoldRequest {
        space: SPACE,
        ranges: vec![range],
        until: super::family::NOW,
    };
    let have = Have {
        space: SPACE,
        mode: HaveMode::Removed,
        rows: vec![HaveRow {
            log: log(),
            bits: array(),
        }],
    };
    let epoch = EpochId([0x8f; 32]);
    let space = SPACE;
    let entries = vec![entry(), entry()];
    let digest = [0x90; 16];
    vec![
        ("hello", Message::Hello(hello)),
        (
            "spaces",
            Message::Spaces(Spaces {
                rows: rows(),
                more: true,
            }),
        ),
        ("devices", Message::Devices(devices)),
        (
            "heads",
            Message::Heads(Heads {
                ask: 3,
                space,
                rows: vec![head],
                more: false,
            }),
        ),
        (
            "entries",
            Message::Entries(Entries {
                ask: 3,
                part: 1,
                entries,
            }),
        ),
        (
            "sent",
            Message::Sent(Sent {
                ask: 3,
                digest,
                forks: vec![log()],
            }),
        ),
        ("refused", Message::Refused(Refused { ask: 300 })),
        ("credit", Message::Credit(Credit { total: 5 << 20 })),
        ("announce", Message::Announce(Announce { entry: entry() })),
        ("settled", Message::Settled(Settled { seen: 12 })),
        ("gossip", Message::Gossip(gossip)),
        ("key-pull", Message::KeyPull(KeyPull { space, epoch })),
        ("key", Message::Key(Key { space, epoch, seal })),
        ("hold-request", Message::HoldRequest(hold)),
        (
            "have-digests",
            Message::HaveDigests(HaveDigests {
                rows: rows(),
                more: false,
            }),
        ),
        (
            "have-pull",
            Message::HavePull(HavePull {
                spaces: vec![SPACE],
            }),
        ),
        ("have", Message::Have(have)),
        ("room", Message::Room(Room { full: true })),
        ("close", Message::Close(Close { code: 4 })),
    ]
}

/// A frame with another body, its length set right.
fn reframed(frame: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(2 + body.len()).unwrap();
    [&length.to_le_bytes(), &frame[4..6], body].concat()
}

fn frames() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, message) in messages() {
        let frame = message.to_frame();
        let body = frame[6..].to_vec();
        let right = Case::right(
            &format!("sync/frame-{name}"),
            "frame",
            "length, tag and body",
            &frame,
        )
        .number("tag", u64::from(message.tag()));
        let not_canonical = |bytes: &[u8]| {
            use heirloom_protocol::{sync::message::FrameError, wire::WireError};
            let read = Message::from_frame(&reframed(&frame, bytes)[4..]);
            read == Err(FrameError::Wire(WireError::NotCanonical))
        };
        cases.extend([
            right
                .wrong("short-body", Class::Truncated, "the body ends early")
                .with(reframed(&frame, &cut(&body))),
            right
                .wrong("long-body", Class::NotCanonical, "a byte follows the body")
                .with(reframed(&frame, &longer(&body))),
            right
                .wrong(
                    "cut",
                    Class::Truncated,
                    "the frame ends before its length says",
                )
                .with(cut(&frame)),
        ]);
        if let Some(long) = stretched(&body, not_canonical) {
            cases.push(
                right
                    .wrong(
                        "long-number",
                        Class::NotCanonical,
                        "a number in a longer form",
                    )
                    .with(reframed(&frame, &long)),
            );
        }
        cases.push(right);
    }
    cases.extend(odd_frames());
    cases
}

fn odd_frames() -> Vec<Case> {
    let right = Case::right(
        "sync/frame-unknown",
        "frame",
        "a later version's frame is read over",
        &unhex_all("09000000 3905 01020304050607"),
    )
    .number("tag", 0x0539)
    .text("known", "no");
    let too_large = u32::try_from(limits::FRAME_BYTES + 1)
        .unwrap()
        .to_le_bytes();
    let forks = Sent {
        ask: 0,
        digest: [0; 16],
        forks: vec![log(); limits::SYNC_FORKS + 1],
    };
    let announce = Announce {
        entry: EntryBytes {
            header: Vec::new(),
            signature: Signature([0; 64]),
            body: vec![0; limits::ANNOUNCE_INLINE_BYTES],
        },
    };
    let frame = |name: &str, tag| {
        Case::right(&format!("sync/frame-{name}"), "frame", "", &[]).number("tag", tag)
    };
    vec![
        right
            .wrong(
                "length-1",
                Class::TooLarge,
                "no frame is shorter than its tag",
            )
            .with([1, 0, 0, 0, 1]),
        right
            .wrong("length-beyond", Class::TooLarge, "no frame is so long")
            .with([&too_large[..], &[1, 0]].concat()),
        right
            .wrong("without-length", Class::Truncated, "the length ends early")
            .with([2, 0, 0]),
        right,
        frame("sent", 6)
            .wrong("forks", Class::TooLarge, "more forks than an answer names")
            .with(Message::Sent(forks).to_frame()),
        frame("announce", 9)
            .wrong("large", Class::TooLarge, "an entry that is to be asked for")
            .with(Message::Announce(announce).to_frame()),
    ]
}

fn requests() -> Vec<Case> {
    let blob = BlobPlace {
        log: log_id(0x91),
        ordinal: 70_000,
    };
    let range = |count| {
        Request::Range(GetRange {
            id: 300,
            blob,
            first: 16,
            count,
        })
    };
    let leaves = |count| {
        Request::Leaves(GetLeaves {
            id: 301,
            blob,
            first: 0,
            count,
        })
    };
    let many = |count| {
        let groups = vec![
            Group {
                log: log_id(0x92),
                ordinals: vec![1, 2, 300],
            },
            Group {
                log: log_id(0x93),
                ordinals: (0..count).collect(),
            },
        ];
        Request::Many(GetMany { id: 7, groups })
    };
    let all = [
        ("range", range(16), range(17)),
        ("range-one", range(1), range(0)),
        ("leaves", leaves(8192), leaves(8193)),
        ("many", many(2), many(62)),
    ];
    let mut cases = Vec::new();
    for (name, request, beyond) in all {
        let frame = request.to_frame();
        let body = frame[6..].to_vec();
        let right = Case::right(
            &format!("sync/request-{name}"),
            "request",
            "what a device asks of another's blobs",
            &frame,
        )
        .number("id", u64::from(request.id()));
        cases.extend([
            right
                .wrong(
                    "beyond",
                    Class::TooLarge,
                    "more than one request names, or nothing",
                )
                .with(beyond.to_frame()),
            right
                .wrong("short-body", Class::Truncated, "the body ends early")
                .with(reframed(&frame, &cut(&body))),
            right
                .wrong("long-body", Class::NotCanonical, "a byte follows the body")
                .with(reframed(&frame, &longer(&body))),
            right
                .wrong(
                    "cut",
                    Class::Truncated,
                    "the frame ends before its length says",
                )
                .with(cut(&frame)),
            right,
        ]);
    }
    let unknown = Case::right(
        "sync/request-unknown",
        "request",
        "a later version's request begins with its id",
        &unhex_all("08000000 ff7f fb2c01 070707"),
    )
    .number("id", 300);
    cases.extend([
        unknown
            .wrong("without-id", Class::Truncated, "there is no id")
            .with(unhex_all("02000000 ff7f")),
        unknown
            .wrong("length-1", Class::TooLarge, "no request is so short")
            .with([1, 0, 0, 0, 1]),
        unknown
            .wrong("length-beyond", Class::TooLarge, "no request is so long")
            .with([1, 0x40, 0, 0, 1]),
        unknown,
    ]);
    cases
}

fn answers() -> Vec<Case> {
    let head = |kind, len| AnswerHead {
        kind,
        id: 300,
        index: 2,
        len,
    };
    let payload = drawn(94, 32);
    let with = |kind| [&head(kind, 32).to_bytes()[..], &payload].concat();
    let all = [
        ("data", 2, with(AnswerKind::Data)),
        ("leaves", 2, with(AnswerKind::Leaves)),
        ("gone", 2, AnswerHead::gone(300, Some(2), Gone::TooMuch)),
        ("unknown", 2, with(AnswerKind::Unknown)),
    ];
    let mut cases = Vec::new();
    for (name, index, bytes) in all {
        let right = Case::right(
            &format!("sync/answer-{name}"),
            "answer",
            "a head of 14 bytes and the payload",
            &bytes,
        )
        .text("kind", name)
        .number("id", 300)
        .number("index", index);
        let mut large = bytes.clone();
        large[2] = 0x40;
        let mut short = bytes.clone();
        short[..4].copy_from_slice(&[9, 0, 0, 0]);
        cases.extend([
            right
                .wrong("large", Class::TooLarge, "more than one answer holds")
                .with(large),
            right
                .wrong("length-9", Class::TooLarge, "shorter than id and index")
                .with(short),
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

fn bitmaps() -> Vec<Case> {
    // Ordinals 3 to 902 as one run; 65536 k + 0, 2, 4 .. as a bitmap of 8 KiB.
    let run = unhex_all("3b300000 01 0000 8303 0100 0300 8303");
    let mut even = unhex_all("3a300000 01000000 0100 8713 10000000");
    even.extend((0..8192_u32).map(|at| if at < 1250 { 0x55 } else { 0 }));
    let evens: Vec<String> = (0..5000_u32)
        .map(|n| 65_536 + 2 * n)
        .map(|n| format!("{n}-{n}"))
        .collect();
    let last = unhex_all("3a300000 01000000 ff00 0000 10000000 ffff");
    let all = [
        ("array", array(), "3-5".to_owned(), "no"),
        ("run", run, "3-902".to_owned(), "yes"),
        ("bits", even, evens.join(" "), "yes"),
        ("last", last, "16777215-16777215".to_owned(), "yes"),
    ];
    let mut cases = Vec::new();
    for (name, bytes, runs, smallest) in all {
        let right = Case::right(
            &format!("sync/bitmap-{name}"),
            "bitmap",
            "the portable Roaring format",
            &bytes,
        )
        .text("runs", &runs)
        .text("smallest", smallest);
        assert!(have::decode(&bytes).is_ok(), "{name}");
        let mut cookie = bytes.clone();
        cookie[0] = 0;
        cases.extend([
            right
                .wrong("cut", Class::NotCanonical, "it ends early")
                .with(cut(&bytes)),
            right
                .wrong("trailing", Class::NotCanonical, "a byte follows")
                .with(longer(&bytes)),
            right
                .wrong("cookie", Class::NotCanonical, "another format")
                .with(cookie),
            right,
        ]);
    }
    let beyond = unhex_all("3a300000 01000000 0001 0000 10000000 0000");
    let last = Case::right("sync/bitmap-last", "bitmap", "", &[]).text("runs", "");
    cases.push(
        last.wrong("beyond", Class::TooLarge, "an ordinal that no blob has")
            .with(beyond),
    );
    cases
}

fn digests() -> Vec<Case> {
    let heads: Vec<Head> = [(2, 5), (1, 70_000)]
        .into_iter()
        .map(|(n, seq)| Head {
            log: log_id(n),
            first: 0,
            seq,
            id: EntryId(drawn32(95 + n)),
        })
        .collect();
    let row = |log: &LogId| [&log.device.0[..], &log.inc.to_be_bytes(), &log.branch.0].concat();
    let shown: Vec<u8> = heads
        .iter()
        .flat_map(|head| [&row(&head.log)[..], &head.seq.to_be_bytes(), &head.id.0].concat())
        .collect();
    let heads = Case::right(
        "sync/digest-heads",
        "heads",
        "the last entries of a space's logs, sorted",
        &heads_digest(heads),
    )
    .hex("heads", &shown);
    let fewer = heads
        .wrong("fewer", Class::BadChain, "a log is missing")
        .hex("heads", &shown[84..]);
    let listed: Vec<u8> = rows()
        .iter()
        .rev()
        .flat_map(|(space, digest)| [space.0, *digest].concat())
        .collect();
    let spaces = Case::right(
        "sync/digest-spaces",
        "spaces",
        "the spaces that a peer may replicate, sorted",
        &verify::cookie(&listed).unwrap(),
    )
    .hex("rows", &listed);
    let other = spaces
        .wrong("fewer", Class::BadChain, "a space is missing")
        .hex("rows", &listed[32..]);
    [
        vec![fewer],
        computed(heads),
        vec![other],
        computed(spaces),
        have_digest(),
    ]
    .concat()
}

fn have_digest() -> Vec<Case> {
    let run = unhex_all("3b300000 01 0000 8303 0100 0300 8303");
    let bitmaps = [run, array()];
    let logs = [log_id(9), log_id(8)];
    let bits: Vec<_> = bitmaps
        .iter()
        .map(|bytes| have::decode(bytes).unwrap())
        .collect();
    let digest = have::digest(logs.iter().zip(&bits));
    let shown: Vec<u8> = logs
        .iter()
        .flat_map(|log| [&log.device.0[..], &log.inc.to_be_bytes(), &log.branch.0].concat())
        .collect();
    let right = Case::right(
        "sync/digest-have",
        "have",
        "runs of ordinals, log after log in order",
        &digest,
    )
    .hex("logs", &shown)
    .text("bitmaps", &bitmaps.map(|bytes| hex(&bytes)).join(" "));
    let fewer = right
        .wrong("fewer", Class::BadChain, "a log is missing")
        .hex("logs", &shown[48..]);
    [vec![fewer], computed(right)].concat()
}
