//! JPEG: its segments up to the first scan, and Samsung's trailer.

use super::{Found, Size, exif, xmp};
use crate::media::source::Source;

const XMP_PREFIX: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// Segments looked at before the first scan; real files have a few dozen.
const MAX_SEGMENTS: usize = 500;
/// Bytes between two segments that are passed over.
const MAX_JUNK_BYTES: u64 = 4096;

pub(super) fn read(source: &mut Source<'_>, found: &mut Found) {
    read_at(source, 0, found);
    found.motion |= has_samsung_movie(source).unwrap_or(false);
}

/// Reads a JPEG that starts at `at`, as raw formats carry them.
pub(super) fn read_at(source: &mut Source<'_>, at: u64, found: &mut Found) {
    if source.array(at) != Some([0xff, 0xd8]) {
        return;
    }
    let mut at = at + 2;
    let mut has_exif = false;
    for _ in 0..MAX_SEGMENTS {
        let Some([lead, marker]) = source.array(at) else {
            return;
        };
        if lead != 0xff {
            // Broken editors leave a few bytes behind a segment they shortened.
            match next_marker(source, at) {
                Some(next) => at = next,
                None => return,
            }
            continue;
        }
        match marker {
            // Fill bytes, and markers without a length.
            0xff => {
                at += 1;
                continue;
            }
            0x01 | 0xd0..=0xd8 => {
                at += 2;
                continue;
            }
            // The scan, or the end.
            0xd9 | 0xda => return,
            _ => {}
        }
        let Some(len) = source
            .array(at + 2)
            .map(|l| u64::from(u16::from_be_bytes(l)))
        else {
            return;
        };
        let Some(inner) = len.checked_sub(2) else {
            return;
        };
        let start = at + 4;
        match marker {
            0xe1 if !has_exif && source.array(start) == Some(*b"Exif") => {
                exif::read_block(source, start, inner, found);
                has_exif = true;
            }
            0xe1 => read_xmp(source, start, inner, found),
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                if let Some([_, h1, h0, w1, w0]) = source.array(start) {
                    let height = u32::from(u16::from_be_bytes([h1, h0]));
                    let width = u32::from(u16::from_be_bytes([w1, w0]));
                    found.stored = found.stored.or(Size::new(width, height));
                }
            }
            _ => {}
        }
        at += 2 + len;
    }
}

/// Where the next marker stands within the bytes that may be passed over.
fn next_marker(source: &mut Source<'_>, at: u64) -> Option<u64> {
    let junk = source.up_to(at, MAX_JUNK_BYTES)?;
    let skip = junk
        .windows(2)
        .position(|w| w[0] == 0xff && (0xc0..=0xfe).contains(&w[1]))?;
    at.checked_add(u64::try_from(skip).ok()?)
}

fn read_xmp(source: &mut Source<'_>, start: u64, len: u64, found: &mut Found) {
    if let Some(packet) = source
        .up_to(start, len)
        .and_then(|s| s.strip_prefix(XMP_PREFIX))
    {
        xmp::parse(packet).tell(found);
    }
}

/// Whether Samsung's trailer (`SEFH` .. `SEFT`) lists a movie.
fn has_samsung_movie(source: &mut Source<'_>) -> Option<bool> {
    const MOTION_PHOTO: u16 = 0x0a30;
    let end = source.size();
    let tail: [u8; 8] = source.array(end.checked_sub(8)?)?;
    if !tail.ends_with(b"SEFT") {
        return None;
    }
    let len = u64::from(u32::from_le_bytes(*tail.first_chunk()?));
    let directory = end.checked_sub(8)?.checked_sub(len)?;
    if source.array(directory)? != *b"SEFH" {
        return None;
    }
    let count = source.array(directory + 8).map(u32::from_le_bytes)?.min(64);
    Some((0..u64::from(count)).any(|i| {
        let kind = source.array(directory + 12 + i * 12 + 2);
        kind.map(u16::from_le_bytes) == Some(MOTION_PHOTO)
    }))
}
