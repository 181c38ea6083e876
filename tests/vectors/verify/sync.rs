//! Frames of both streams, digests, bitmaps.

use std::time::Instant;

use heirloom_protocol::{
    id::{BranchId, DeviceId, EntryId, LogId, SpaceId},
    log::entry::EntryBytes,
    sync::{
        Digest, Head, LogView,
        blob::{AnswerHead, BlobFrameError, HEAD_BYTES, Request},
        have::{self, HaveError},
        heads_digest,
        message::{FrameError, Message, PREFIX_BYTES, PeerRole},
        session::{Opening, Output, Session},
    },
    wire::WireError,
};

use super::{Checked, agree, same};
use crate::case::{Case, Class, unhex};

/// What follows the length, if it is a length and what follows is as long.
fn after_length(
    bytes: &[u8],
    length: impl Fn([u8; PREFIX_BYTES]) -> Option<usize>,
) -> Result<&[u8], Class> {
    let (prefix, rest) = bytes.split_first_chunk().ok_or(Class::Truncated)?;
    let length = length(*prefix).ok_or(Class::TooLarge)?;
    if rest.len() < length {
        return Err(Class::Truncated);
    }
    if rest.len() > length {
        return Err(Class::NotCanonical);
    }
    Ok(rest)
}

/// Whether bytes that are malformed would go on with zeros.
fn malformed(ends_early: bool) -> Class {
    if ends_early {
        Class::Truncated
    } else {
        Class::NotCanonical
    }
}

fn wire_class(error: WireError, ends_early: impl FnOnce() -> bool) -> Class {
    match error {
        WireError::TooLarge(..) => Class::TooLarge,
        WireError::NotCanonical => Class::NotCanonical,
        WireError::Malformed => malformed(ends_early()),
    }
}

pub(super) fn frame(case: &Case) -> Checked {
    let rest = after_length(&case.bytes, |prefix| Message::frame_len(prefix).ok())?;
    let message = Message::from_frame(rest).map_err(|error| match error {
        FrameError::Length(_) => Class::Truncated,
        FrameError::TooMuch(_) => Class::TooLarge,
        FrameError::Wire(error) => wire_class(error, || {
            let longer = Message::from_frame(&[rest, &[0; 1024]].concat());
            longer != Err(FrameError::Wire(WireError::Malformed))
        }),
    })?;
    agree(message.tag() == case.value::<u16>("tag"))?;
    match message {
        Message::Unknown(_) => agree(case.field("known") == Some("no")),
        known => agree(known.to_frame() == case.bytes),
    }
}

pub(super) fn request(case: &Case) -> Checked {
    let rest = after_length(&case.bytes, |prefix| Request::frame_len(prefix).ok())?;
    let request = Request::from_frame(rest).map_err(|error| match error {
        BlobFrameError::Length(_) => Class::Truncated,
        BlobFrameError::OutOfBounds => Class::TooLarge,
        BlobFrameError::Wire(error) => wire_class(error, || {
            let longer = Request::from_frame(&[rest, &[0; 1024]].concat());
            longer != Err(BlobFrameError::Wire(WireError::Malformed))
        }),
    })?;
    agree(request.id() == case.value::<u32>("id"))
}

pub(super) fn answer(case: &Case) -> Checked {
    let (head, payload) = case
        .bytes
        .split_first_chunk::<HEAD_BYTES>()
        .ok_or(Class::Truncated)?;
    let head = AnswerHead::parse(*head).map_err(|_| Class::TooLarge)?;
    if payload.len() < head.len {
        return Err(Class::Truncated);
    }
    if payload.len() > head.len {
        return Err(Class::NotCanonical);
    }
    agree(format!("{:?}", head.kind).to_lowercase() == case.string("kind"))?;
    agree(head.id == case.value::<u32>("id") && head.index == case.value::<u32>("index"))
}

pub(super) fn bitmap(case: &Case) -> Checked {
    let bits = have::decode(&case.bytes).map_err(|error| match error {
        HaveError::TooLarge | HaveError::Ordinal => Class::TooLarge,
        HaveError::Malformed => Class::NotCanonical,
    })?;
    let mut iter = bits.iter();
    let mut runs = Vec::new();
    while let Some(run) = iter.next_range() {
        runs.push(format!("{}-{}", run.start(), run.end()));
    }
    agree(runs.join(" ") == case.string("runs"))?;
    agree(case.field("smallest") != Some("yes") || have::encode(&bits) == case.bytes)
}

fn log(row: &[u8]) -> LogId {
    LogId {
        space: SpaceId([1; 16]),
        device: DeviceId(row[..32].try_into().unwrap()),
        inc: u64::from_be_bytes(row[32..40].try_into().unwrap()),
        branch: BranchId(row[40..48].try_into().unwrap()),
    }
}

pub(super) fn heads(case: &Case) -> Checked {
    let heads = case.raw("heads");
    let heads = heads.chunks(84).map(|row| Head {
        log: log(row),
        first: 0,
        seq: u32::from_be_bytes(row[48..52].try_into().unwrap()),
        id: EntryId(row[52..].try_into().unwrap()),
    });
    same(&case.bytes, &heads_digest(heads.collect()))
}

pub(super) fn have_digest(case: &Case) -> Checked {
    let logs = case.raw("logs");
    let bitmaps = case.string("bitmaps").split(' ');
    let rows: Vec<_> = logs
        .chunks(48)
        .zip(bitmaps)
        .map(|(row, bits)| (log(row), have::decode(&unhex(bits).unwrap()).unwrap()))
        .collect();
    let digest = have::digest(rows.iter().map(|(log, bits)| (log, bits)));
    same(&case.bytes, &digest)
}

/// Spaces with their digests, and nothing in them.
struct Shelf(Vec<(SpaceId, Digest)>);

impl LogView for Shelf {
    fn spaces_for(&self, _: DeviceId) -> Vec<(SpaceId, Digest)> {
        self.0.clone()
    }

    fn heads(&self, _: SpaceId) -> Vec<Head> {
        Vec::new()
    }

    fn entry(&self, _: &LogId, _: u32) -> Option<EntryBytes> {
        None
    }

    fn entry_id(&self, _: &LogId, _: u32) -> Option<EntryId> {
        None
    }

    fn causal(&self, _: SpaceId) -> Vec<(LogId, u32)> {
        Vec::new()
    }
}

/// The cookie that a session opens with.
pub(crate) fn cookie(rows: &[u8]) -> Option<Digest> {
    let mut shelf: Vec<(SpaceId, Digest)> = rows
        .chunks(32)
        .map(|row| {
            let space = SpaceId(row[..16].try_into().unwrap());
            (space, row[16..].try_into().unwrap())
        })
        .collect();
    shelf.sort_unstable();
    let view = Shelf(shelf);
    let opening = Opening {
        peer: DeviceId([1; 32]),
        control: SpaceId([1; 16]),
        role: PeerRole::Archive,
        incarnation: 1,
    };
    let mut session = Session::open(opening, &view, Instant::now());
    match session.poll(&view) {
        Some(Output::Send(Message::Hello(hello))) => hello.cookie,
        other => panic!("a session begins with a hello, not {other:?}"),
    }
}

pub(super) fn spaces(case: &Case) -> Checked {
    let digest = cookie(&case.raw("rows")).expect("there are spaces");
    same(&case.bytes, &digest)
}
