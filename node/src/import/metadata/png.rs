//! PNG: header, EXIF chunk, XMP text, and the profiles that old ImageMagick hides in text.
//!
//! Image data is hopped over, because real files carry `eXIf` behind it. PNG 3rd edition.

use std::io::Cursor;

use super::{Found, Size, exif, xmp};
use crate::media::source::Source;

/// Chunks hopped over: 64 MB of image data in chunks of 8 KiB.
const MAX_CHUNKS: usize = 8192;
/// The longest text inflated.
const MAX_INFLATED: usize = 1 << 20;

pub(super) fn read(source: &mut Source<'_>, found: &mut Found) {
    let mut at = 8;
    for _ in 0..MAX_CHUNKS {
        let Some([l0, l1, l2, l3, kind @ ..]) = source.array::<8>(at) else {
            return;
        };
        let len = u64::from(u32::from_be_bytes([l0, l1, l2, l3]));
        let start = at + 8;
        match &kind {
            b"IHDR" => {
                if let (Some(width), Some(height)) = (source.u32(start), source.u32(start + 4)) {
                    found.stored = Size::new(width, height);
                }
            }
            b"eXIf" => exif::read_block(source, start, len, found),
            b"iTXt" => read_itxt(source, start, len, found),
            b"tEXt" | b"zTXt" => read_profile(source, start, len, &kind == b"zTXt", found),
            b"IEND" => return,
            _ => {}
        }
        // Length, kind, data, checksum. The checksum is not looked at: a wrong one is no reason
        // to lose a date.
        at = start + len + 4;
    }
}

fn read_itxt(source: &mut Source<'_>, start: u64, len: u64, found: &mut Found) {
    const KEYWORD: &[u8] = b"XML:com.adobe.xmp\0";
    let Some(rest) = source
        .up_to(start, len)
        .and_then(|s| s.strip_prefix(KEYWORD))
    else {
        return;
    };
    let compressed = rest.first() == Some(&1);
    // Language and translated keyword, each ended by NUL.
    let Some(text) = rest.get(2..).and_then(|r| r.splitn(3, |b| *b == 0).nth(2)) else {
        return;
    };
    let inflated = if compressed { inflate(text) } else { None };
    xmp::parse(inflated.as_deref().unwrap_or(text)).tell(found);
}

/// `Raw profile type exif` (or `APP1`): a line with the name, one with the length, then hex.
fn read_profile(
    source: &mut Source<'_>,
    start: u64,
    len: u64,
    compressed: bool,
    found: &mut Found,
) {
    let Some(chunk) = source.up_to(start, len) else {
        return;
    };
    let Some(text) = [
        &b"Raw profile type exif\0"[..],
        b"Raw profile type APP1\0",
        b"Raw profile type xmp\0",
    ]
    .iter()
    .find_map(|k| chunk.strip_prefix(*k)) else {
        return;
    };
    let inflated = if compressed {
        text.get(1..).and_then(inflate)
    } else {
        None
    };
    let text = inflated.as_deref().unwrap_or(text);
    let body = text
        .splitn(4, |b| *b == b'\n')
        .nth(3)
        .map(unhex)
        .unwrap_or_default();
    if body.starts_with(b"<") {
        xmp::parse(&body).tell(found);
        return;
    }
    let Ok(size) = u64::try_from(body.len()) else {
        return;
    };
    let mut cursor = Cursor::new(body);
    let mut inner = Source::new(&mut cursor, size, 1 << 20);
    exif::read_block(&mut inner, 0, size, found);
}

fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(bytes, MAX_INFLATED).ok()
}

fn unhex(text: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = text
        .iter()
        .filter_map(|b| char::from(*b).to_digit(16))
        .filter_map(|d| u8::try_from(d).ok())
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
