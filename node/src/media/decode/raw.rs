//! The JPEG that cameras put into their raw files, found without decoding anything.

use crate::import::metadata::{Entry, Tiff, bmff, exif};
use crate::media::MediaType;
use crate::media::source::{ReadSeek, Source};

/// Bytes of the file looked at while searching.
const BUDGET: u64 = 4 << 20;
/// Segments looked at to tell a lossless JPEG (raw data) from one that can be shown.
const MAX_SEGMENTS: usize = 100;

const COMPRESSION: u16 = 0x0103;
const STRIP_OFFSETS: u16 = 0x0111;
const STRIP_BYTES: u16 = 0x0117;
const JPEG_OFFSET: u16 = 0x0201;
const JPEG_BYTES: u16 = 0x0202;
const PANASONIC_JPEG: u16 = 0x002e;
const CANON_PREVIEW: [u8; 16] = [
    0xea, 0xf4, 0x2b, 0x5e, 0x1c, 0x98, 0x4b, 0x88, 0xb9, 0xfb, 0xb7, 0xdc, 0x40, 0x6e, 0x4d, 0x16,
];

/// Finds the largest JPEG that can be shown inside a raw file of `size` bytes: where it starts
/// and how many bytes it has.
pub fn embedded_jpeg(reader: &mut dyn ReadSeek, media: MediaType, size: u64) -> Option<(u64, u64)> {
    let mut source = Source::new(reader, size, BUDGET);
    let mut candidates = match media {
        MediaType::Raf => raf(&mut source).into_iter().collect(),
        MediaType::Cr3 => cr3(&mut source).into_iter().collect(),
        _ => tiff(&mut source, size).unwrap_or_default(),
    };
    // The largest first.
    candidates.sort_unstable_by_key(|(_, len)| std::cmp::Reverse(*len));
    candidates
        .into_iter()
        .filter(|(at, len)| at.checked_add(*len).is_some_and(|end| end <= size))
        .find(|(at, _)| can_be_shown(&mut source, *at))
}

fn raf(source: &mut Source<'_>) -> Option<(u64, u64)> {
    Some((u64::from(source.u32(84)?), u64::from(source.u32(88)?)))
}

/// CR3: a `uuid` box with a PRVW box, whose JPEG stands behind 24 bytes of header.
fn cr3(source: &mut Source<'_>) -> Option<(u64, u64)> {
    let size = source.size();
    let outer = bmff::list(source, 0, size)
        .into_iter()
        .find(|a| a.uuid == Some(CANON_PREVIEW))?;
    let preview = bmff::list(source, outer.at.checked_add(8)?, outer.end())
        .into_iter()
        .find(|a| &a.kind == b"PRVW")?;
    let len = u64::from(source.u32(preview.at + 12)?);
    Some((preview.at + 16, len))
}

fn tiff(source: &mut Source<'_>, size: u64) -> Option<Vec<(u64, u64)>> {
    let mut tiff = Tiff::open(source, 0, size)?;
    let mut found = Vec::new();
    for entries in exif::pictures(&mut tiff) {
        found.extend(pair(&mut tiff, &entries, JPEG_OFFSET, JPEG_BYTES));
        // Old-style and new-style JPEG; one strip only, as previews are written.
        let compression = exif::number(&mut tiff, &entries, COMPRESSION);
        if matches!(compression, Some(6 | 7)) {
            found.extend(pair(&mut tiff, &entries, STRIP_OFFSETS, STRIP_BYTES));
        }
        if let Some(e) = exif::entry(&entries, PANASONIC_JPEG) {
            found.push((e.at, e.len));
        }
    }
    Some(found)
}

fn pair(tiff: &mut Tiff<'_, '_>, entries: &[Entry], offset: u16, bytes: u16) -> Option<(u64, u64)> {
    let one_strip = exif::entry(entries, offset)?.count() == 1;
    let pair = (
        exif::number(tiff, entries, offset)?,
        exif::number(tiff, entries, bytes)?,
    );
    one_strip.then_some(pair)
}

/// Whether a JPEG starts here whose frame is baseline or progressive.
fn can_be_shown(source: &mut Source<'_>, start: u64) -> bool {
    if source.array(start) != Some([0xff, 0xd8]) {
        return false;
    }
    let mut at = start + 2;
    for _ in 0..MAX_SEGMENTS {
        let Some([0xff, marker, l1, l0]) = source.array(at) else {
            return false;
        };
        match marker {
            0xc0..=0xc2 => return true,
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | 0xd9 | 0xda => return false,
            _ => at += 2 + u64::from(u16::from_be_bytes([l1, l0])),
        }
    }
    false
}
