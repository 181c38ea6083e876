//! The small containers: GIF, BMP, WebP, AVI, and Fuji's RAF.

use super::{Found, Size, exif, jpeg, xmp};
use crate::media::sniff::MediaType;
use crate::media::source::Source;

/// Chunks of a RIFF file looked at.
const MAX_CHUNKS: usize = 1000;

pub(super) fn read(source: &mut Source<'_>, media: MediaType, found: &mut Found) {
    match media {
        MediaType::Gif => found.stored = little_sides(source, 6),
        MediaType::Bmp => found.stored = bmp_size(source),
        MediaType::Webp => read_webp(source, found),
        _ => read_avi(source, found),
    }
}

/// Reads a RAF: a header that says where the whole camera JPEG stands, EXIF and all.
pub(super) fn read_raf(source: &mut Source<'_>, found: &mut Found) {
    if let Some(at) = source.u32(84).map(u64::from) {
        jpeg::read_at(source, at, found);
    }
}

fn little_sides(source: &mut Source<'_>, at: u64) -> Option<Size> {
    let [w0, w1, h0, h1] = source.array(at)?;
    Size::new(
        u32::from(u16::from_le_bytes([w0, w1])),
        u32::from(u16::from_le_bytes([h0, h1])),
    )
}

fn bmp_size(source: &mut Source<'_>) -> Option<Size> {
    if source.array(14).map(u32::from_le_bytes)? == 12 {
        return little_sides(source, 18);
    }
    let width = source.array(18).map(i32::from_le_bytes)?;
    let height = source.array(22).map(i32::from_le_bytes)?;
    // A negative height says that rows run from the top.
    Size::new(width.unsigned_abs(), height.unsigned_abs())
}

struct Chunk {
    kind: [u8; 4],
    at: u64,
    len: u64,
}

fn chunks(source: &mut Source<'_>, from: u64, to: u64) -> Vec<Chunk> {
    let to = to.min(source.size());
    let mut at = from;
    let mut all = Vec::new();
    while at < to && all.len() < MAX_CHUNKS {
        let Some(kind) = source.array(at) else { break };
        let Some(len) = source.array(at + 4).map(u32::from_le_bytes).map(u64::from) else {
            break;
        };
        all.push(Chunk {
            kind,
            at: at + 8,
            len,
        });
        at += 8 + len + len % 2;
    }
    all
}

fn read_webp(source: &mut Source<'_>, found: &mut Found) {
    let size = source.size();
    for chunk in chunks(source, 12, size) {
        match &chunk.kind {
            b"VP8X" => {
                if let Some([w0, w1, w2, h0, h1, h2]) = source.array(chunk.at + 4) {
                    let side = |b: [u8; 3]| u32::from_le_bytes([b[0], b[1], b[2], 0]) + 1;
                    found.stored = Size::new(side([w0, w1, w2]), side([h0, h1, h2]));
                }
            }
            b"VP8 " if found.stored.is_none() => {
                // Three bytes of frame tag, three of start code, then 14 bits a side.
                if let Some([w0, w1, h0, h1]) = source.array(chunk.at + 6) {
                    let side = |b| u32::from(u16::from_le_bytes(b) & 0x3fff);
                    found.stored = Size::new(side([w0, w1]), side([h0, h1]));
                }
            }
            b"VP8L" if found.stored.is_none() => {
                if let Some(bits) = source.array(chunk.at + 1).map(u32::from_le_bytes) {
                    found.stored = Size::new((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1);
                }
            }
            b"EXIF" => exif::read_block(source, chunk.at, chunk.len, found),
            b"XMP " => {
                if let Some(packet) = source.up_to(chunk.at, chunk.len) {
                    xmp::parse(packet).tell(found);
                }
            }
            _ => {}
        }
    }
}

fn read_avi(source: &mut Source<'_>, found: &mut Found) {
    let size = source.size();
    let Some(list) = chunks(source, 12, size)
        .into_iter()
        .find(|c| &c.kind == b"LIST" && source.array(c.at) == Some(*b"hdrl"))
    else {
        return;
    };
    let inner = chunks(source, list.at + 4, list.at.saturating_add(list.len));
    let Some(avih) = inner.iter().find(|c| &c.kind == b"avih") else {
        return;
    };
    let mut field = |i: u64| source.array(avih.at + i * 4).map(u32::from_le_bytes);
    let (micros, frames) = (field(0), field(4));
    let (width, height) = (field(8), field(9));
    found.stored = width.zip(height).and_then(|(w, h)| Size::new(w, h));
    found.duration_ms = micros
        .zip(frames)
        .map(|(micros, frames)| u64::from(micros) * u64::from(frames) / 1000)
        .filter(|ms| *ms > 0);
}
