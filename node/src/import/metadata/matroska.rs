//! Matroska and WebM: date, duration and size (RFC 9559), up to the first cluster.

use super::{Found, Size, WallTime};
use crate::media::source::Source;

const SEGMENT: u64 = 0x1853_8067;
const INFO: u64 = 0x1549_a966;
const TRACKS: u64 = 0x1654_ae6b;
const TRACK: u64 = 0xae;
const VIDEO: u64 = 0xe0;
const CLUSTER: u64 = 0x1f43_b675;
const DATE: u64 = 0x4461;
const DURATION: u64 = 0x4489;
const SCALE: u64 = 0x002a_d7b1;
const WIDTH: u64 = 0xb0;
const HEIGHT: u64 = 0xba;
const MAX_ELEMENTS: usize = 500;
/// 2001-01-01, where Matroska counts nanoseconds from.
const EPOCH_MS: i64 = 978_307_200_000;

pub(super) fn read(source: &mut Source<'_>, found: &mut Found) {
    let size = source.size();
    let Some(segment) = list(source, 0, size).into_iter().find(|e| e.id == SEGMENT) else {
        return;
    };
    for element in list(source, segment.at, segment.end) {
        match element.id {
            INFO => read_info(source, &element, found),
            TRACKS => read_tracks(source, &element, found),
            _ => {}
        }
    }
}

fn read_info(source: &mut Source<'_>, info: &Element, found: &mut Found) {
    let mut scale = 1_000_000;
    let mut duration = None;
    for element in list(source, info.at, info.end) {
        match element.id {
            DATE => {
                found.movie_header = source
                    .array(element.at)
                    .map(i64::from_be_bytes)
                    .filter(|_| element.end - element.at == 8)
                    .and_then(|ns| WallTime::from_unix_millis(EPOCH_MS + ns / 1_000_000));
            }
            SCALE => scale = number(source, &element).unwrap_or(scale),
            DURATION => duration = float(source, &element),
            _ => {}
        }
    }
    // Ticks of `scale` nanoseconds, as a float.
    found.duration_ms = duration
        .zip(u32::try_from(scale).ok())
        .map(|(ticks, scale)| ticks * f64::from(scale) / 1e6)
        .filter(|ms| (1.0..1e12).contains(ms))
        .and_then(|ms| format!("{ms:.0}").parse().ok());
}

fn read_tracks(source: &mut Source<'_>, tracks: &Element, found: &mut Found) {
    for track in list(source, tracks.at, tracks.end) {
        if track.id != TRACK || found.stored.is_some() {
            continue;
        }
        let inner = list(source, track.at, track.end);
        let Some(video) = inner.iter().find(|e| e.id == VIDEO) else {
            continue;
        };
        let (mut width, mut height) = (0, 0);
        for element in list(source, video.at, video.end) {
            match element.id {
                WIDTH => width = number(source, &element).unwrap_or(0),
                HEIGHT => height = number(source, &element).unwrap_or(0),
                _ => {}
            }
        }
        let side = |n: u64| u32::try_from(n).unwrap_or(0);
        found.stored = Size::new(side(width), side(height));
    }
}

struct Element {
    id: u64,
    at: u64,
    end: u64,
}

/// The elements between two places, until one makes no sense or pictures begin.
fn list(source: &mut Source<'_>, from: u64, to: u64) -> Vec<Element> {
    let to = to.min(source.size());
    let mut at = from;
    let mut elements: Vec<Element> = Vec::new();
    while at < to && elements.len() < MAX_ELEMENTS {
        let Some(element) = element(source, at, to).filter(|e| e.id != CLUSTER) else {
            break;
        };
        at = element.end;
        elements.push(element);
    }
    elements
}

fn element(source: &mut Source<'_>, at: u64, to: u64) -> Option<Element> {
    let (id, id_len, _) = varint(source, at, true)?;
    let (size, size_len, unknown) = varint(source, at + id_len, false)?;
    let at = at + id_len + size_len;
    // What is around it may end before its header does.
    if at > to {
        return None;
    }
    let end = if unknown {
        to
    } else {
        at.checked_add(size)?.min(to)
    };
    Some(Element { id, at, end })
}

/// A number whose leading zeros tell its length; ids keep the mark, all ones are "unknown".
fn varint(source: &mut Source<'_>, at: u64, keep_mark: bool) -> Option<(u64, u64, bool)> {
    let [first] = source.array(at)?;
    let extra = u64::from(first.leading_zeros());
    if extra >= 8 {
        return None;
    }
    let mask = 0x7f_u8 >> extra;
    let mut value = u64::from(if keep_mark { first } else { first & mask });
    let mut ones = first & mask == mask;
    for i in 1..=extra {
        let [byte] = source.array(at + i)?;
        value = value << 8 | u64::from(byte);
        ones &= byte == 0xff;
    }
    Some((value, extra + 1, ones))
}

fn number(source: &mut Source<'_>, element: &Element) -> Option<u64> {
    let len = element.end.checked_sub(element.at).filter(|l| *l <= 8)?;
    let bytes = source.bytes(element.at, len)?;
    Some(bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

fn float(source: &mut Source<'_>, element: &Element) -> Option<f64> {
    match element.end.checked_sub(element.at)? {
        4 => source
            .array(element.at)
            .map(|b| f64::from(f32::from_be_bytes(b))),
        8 => source.array(element.at).map(f64::from_be_bytes),
        _ => None,
    }
}
