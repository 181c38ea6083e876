//! Movies of the QuickTime family, and Canon's CR3, which is built the same way.
//!
//! Sample tables may be large: boxes are hopped over, never read whole. ISO/IEC 14496-12;
//! QuickTime File Format (keys and user data); 3GPP TS 26.244 (`loci`); ISO 6709 (places).

use super::bmff::{self, Atom};
use super::{Found, Orientation, Place, Size, Stamp, Tiff, WallTime, clean_bytes, exif, xmp};
use crate::media::source::Source;

/// From 1904, where QuickTime counts from, to 1970.
const EPOCH_GAP_SECONDS: i64 = 2_082_844_800;
const CANON: [u8; 16] = [
    0x85, 0xc0, 0xb6, 0x87, 0x82, 0x0f, 0x11, 0xe0, 0x81, 0x11, 0xf4, 0xce, 0x46, 0x2b, 0x6a, 0x48,
];
const XMP: [u8; 16] = [
    0xbe, 0x7a, 0xcf, 0xcb, 0x97, 0xa9, 0x42, 0xe8, 0x9c, 0x71, 0x99, 0x94, 0x91, 0xe3, 0xaf, 0xac,
];
/// The longest text of user data and keys that is looked at.
const MAX_VALUE_BYTES: u64 = 4096;
const MAX_KEYS: u64 = 256;

pub(super) fn read(source: &mut Source<'_>, found: &mut Found) {
    let size = source.size();
    for atom in bmff::list(source, 0, size) {
        match (&atom.kind, atom.uuid) {
            (b"moov", _) => read_moov(source, &atom, found),
            (b"uuid", Some(XMP)) => read_xmp(source, &atom, found),
            _ => {}
        }
    }
}

fn read_moov(source: &mut Source<'_>, moov: &Atom, found: &mut Found) {
    for atom in bmff::list(source, moov.at, moov.end()) {
        match (&atom.kind, atom.uuid) {
            (b"mvhd", _) => read_header(source, &atom, found),
            (b"trak", _) => read_track(source, &atom, found),
            (b"meta", _) => read_meta(source, &atom, found),
            (b"udta", _) => read_user_data(source, &atom, found),
            (b"uuid", Some(CANON)) => read_canon(source, &atom, found),
            (b"uuid", Some(XMP)) => read_xmp(source, &atom, found),
            _ => {}
        }
    }
}

fn read_xmp(source: &mut Source<'_>, atom: &Atom, found: &mut Found) {
    if let Some(packet) = source.bytes(atom.at, atom.len) {
        xmp::parse(packet).tell(found);
    }
}

fn read_header(source: &mut Source<'_>, atom: &Atom, found: &mut Found) {
    let version = source.array(atom.at);
    let fields = if version == Some([1]) {
        (|| {
            Some((
                source.u64(atom.at + 4)?,
                source.u32(atom.at + 20)?,
                source.u64(atom.at + 24)?,
            ))
        })()
    } else {
        (|| {
            Some((
                u64::from(source.u32(atom.at + 4)?),
                source.u32(atom.at + 12)?,
                u64::from(source.u32(atom.at + 16)?),
            ))
        })()
    };
    let Some((created, scale, duration)) = fields else {
        return;
    };
    found.movie_header = header_time(created);
    found.duration_ms = duration
        .checked_mul(1000)
        .and_then(|ms| ms.checked_div(u64::from(scale)))
        .filter(|ms| *ms > 0);
}

/// Seconds since 1904, zero for unknown; some writers count from 1970.
fn header_time(seconds: u64) -> Option<WallTime> {
    let seconds = i64::try_from(seconds).ok().filter(|s| *s != 0)?;
    let unix = if seconds >= EPOCH_GAP_SECONDS {
        seconds - EPOCH_GAP_SECONDS
    } else {
        seconds
    };
    WallTime::from_unix_millis(unix.checked_mul(1000)?)
}

/// Takes size and turn from the first track that shows pictures.
fn read_track(source: &mut Source<'_>, trak: &Atom, found: &mut Found) {
    if found.stored.is_some() {
        return;
    }
    let children = bmff::list(source, trak.at, trak.end());
    let child = |kind: &[u8; 4]| children.iter().find(|a| a.kind == *kind);
    let (Some(tkhd), Some(mdia)) = (child(b"tkhd"), child(b"mdia")) else {
        return;
    };
    let shows = bmff::list(source, mdia.at, mdia.end())
        .iter()
        .find(|a| &a.kind == b"hdlr")
        .and_then(|hdlr| source.array(hdlr.at + 8));
    if shows != Some(*b"vide") {
        return;
    }
    let matrix = match source.array(tkhd.at) {
        Some([1]) => tkhd.at + 52,
        _ => tkhd.at + 40,
    };
    let side = |source: &mut Source<'_>, at| source.u32(at).map(|fixed| fixed >> 16);
    let width = side(source, matrix + 36);
    let height = side(source, matrix + 40);
    found.stored = width.zip(height).and_then(|(w, h)| Size::new(w, h));
    if found.stored.is_some() {
        let cell = |source: &mut Source<'_>, i: u64| {
            source.u32(matrix + i * 4).map(|v| v.cast_signed().signum())
        };
        let turn = (
            cell(source, 0),
            cell(source, 1),
            cell(source, 3),
            cell(source, 4),
        );
        found.container_turn = Some(turn_of(turn));
    }
}

/// The turn that the upper left of a track's matrix stands for, by its signs.
fn turn_of(matrix: (Option<i32>, Option<i32>, Option<i32>, Option<i32>)) -> Orientation {
    let (Some(a), Some(b), Some(c), Some(d)) = matrix else {
        return Orientation::UPRIGHT;
    };
    Orientation::new(match (a, b, c, d) {
        (-1, 0, 0, 1) => 2,
        (-1, 0, 0, -1) => 3,
        (1, 0, 0, -1) => 4,
        (0, 1, 1, 0) => 5,
        (0, 1, -1, 0) => 6,
        (0, -1, -1, 0) => 7,
        (0, -1, 1, 0) => 8,
        _ => 1,
    })
}

/// Metadata of either kind: Apple's keys, or iTunes' four letters.
fn read_meta(source: &mut Source<'_>, meta: &Atom, found: &mut Found) {
    // MP4 has version and flags here, QuickTime has not.
    let plain = source.array(meta.at + 4) == Some(*b"hdlr");
    let from = meta.at + if plain { 0 } else { 4 };
    let mut keys = Vec::new();
    for atom in bmff::list(source, from, meta.end()) {
        match &atom.kind {
            b"keys" => keys = read_keys(source, &atom),
            b"ilst" => read_items(source, &atom, &keys, found),
            _ => {}
        }
    }
}

fn read_keys(source: &mut Source<'_>, atom: &Atom) -> Vec<String> {
    let count = source.u32(atom.at + 4).map_or(0, u64::from).min(MAX_KEYS);
    let mut keys = Vec::new();
    let mut at = atom.at + 8;
    for _ in 0..count {
        let Some(len) = source.u32(at).map(u64::from).filter(|l| *l >= 8) else {
            break;
        };
        let name = source.bytes(at + 8, (len - 8).min(MAX_VALUE_BYTES));
        keys.push(name.and_then(clean_bytes).unwrap_or_default());
        at += len;
    }
    keys
}

fn read_items(source: &mut Source<'_>, ilst: &Atom, keys: &[String], found: &mut Found) {
    for item in bmff::list(source, ilst.at, ilst.end()) {
        let data = bmff::list(source, item.at, item.end());
        let Some(data) = data.iter().find(|a| &a.kind == b"data") else {
            continue;
        };
        // Kind and language stand before the value.
        let Some(value) = text(source, data.at + 8, data.len.saturating_sub(8)) else {
            continue;
        };
        let by_key = usize::try_from(u32::from_be_bytes(item.kind))
            .ok()
            .and_then(|i| keys.get(i.checked_sub(1)?));
        match by_key {
            Some(key) => tell_key(key, &value, found),
            None => tell(item.kind, &value, found),
        }
    }
}

fn tell_key(key: &str, value: &str, found: &mut Found) {
    let Some(name) = key.strip_prefix("com.apple.quicktime.") else {
        return;
    };
    match name {
        "creationdate" => found.movie = Stamp::parse(value).or(found.movie),
        "location.ISO6709" => found.place = iso6709(value).or(found.place),
        "make" => found.make = Some(value.to_owned()),
        "model" => found.model = Some(value.to_owned()),
        "content.identifier" => found.live_id = Some(value.to_owned()),
        "rating.user" => {
            found.rating = value.parse().ok().filter(|r| (0..=5).contains(r));
        }
        _ => {}
    }
}

fn read_user_data(source: &mut Source<'_>, udta: &Atom, found: &mut Found) {
    for atom in bmff::list(source, udta.at, udta.end()) {
        match &atom.kind {
            b"meta" => read_meta(source, &atom, found),
            b"loci" => read_loci(source, &atom, found),
            b"XMP_" => read_xmp(source, &atom, found),
            kind => {
                let kind = *kind;
                if let Some(value) = user_text(source, &atom) {
                    tell(kind, &value, found);
                }
            }
        }
    }
}

fn tell(kind: [u8; 4], value: &str, found: &mut Found) {
    match &kind {
        // A date without a zone or time of day is a title's year of release, not a camera's.
        b"\xa9day" | b"date" => {
            let stamp = Stamp::parse(value).filter(|s| s.offset.is_some());
            found.movie = found.movie.or(stamp);
        }
        b"\xa9xyz" => found.place = found.place.or_else(|| iso6709(value)),
        b"\xa9mak" | b"manu" => {
            found.make.get_or_insert_with(|| value.to_owned());
        }
        b"\xa9mod" | b"modl" => {
            found.model.get_or_insert_with(|| value.to_owned());
        }
        _ => {}
    }
}

/// User data begins with its length and language where the name has the copyright sign.
fn user_text(source: &mut Source<'_>, atom: &Atom) -> Option<String> {
    let declared = source.array(atom.at).map(u16::from_be_bytes).map(u64::from);
    match declared.zip(atom.len.checked_sub(4)) {
        Some((len, rest)) if len <= rest && atom.kind[0] == 0xa9 => text(source, atom.at + 4, len),
        _ => text(source, atom.at, atom.len),
    }
}

fn text(source: &mut Source<'_>, at: u64, len: u64) -> Option<String> {
    clean_bytes(source.bytes(at, len.min(MAX_VALUE_BYTES))?)
}

/// 3GPP: language, a name, its role, then longitude, latitude and altitude in 16.16.
fn read_loci(source: &mut Source<'_>, atom: &Atom, found: &mut Found) {
    let mut parse = || {
        let bytes = source.bytes(atom.at, atom.len.min(MAX_VALUE_BYTES))?;
        let name = bytes.get(6..)?;
        let end = name.iter().position(|b| *b == 0)?;
        let numbers = name.get(end + 2..)?;
        let fixed = |i: usize| {
            let b = numbers.get(i * 4..)?.first_chunk::<4>()?;
            Some(f64::from(i32::from_be_bytes(*b)) / 65_536.0)
        };
        Place::new(fixed(1)?, fixed(0)?, fixed(2))
    };
    found.place = parse().or(found.place);
}

/// `+52.2097-000.8955+103.6/`, also with minutes (`+5212.58`) and seconds.
fn iso6709(text: &str) -> Option<Place> {
    let text = text.trim_end_matches('/');
    let starts: Vec<usize> = text
        .char_indices()
        .filter(|(_, c)| matches!(c, '+' | '-'))
        .map(|(i, _)| i)
        .collect();
    let part = |n: usize| {
        let from = *starts.get(n)?;
        let to = starts.get(n + 1).copied().unwrap_or(text.len());
        text.get(from..to)
    };
    let altitude = part(2).and_then(|a| {
        let number: String = a
            .chars()
            .take_while(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
            .collect();
        number.parse().ok()
    });
    Place::new(angle(part(0)?, 2)?, angle(part(1)?, 3)?, altitude)
}

/// Degrees of two or three digits, then perhaps minutes and seconds of two each.
fn angle(text: &str, degree_digits: usize) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+')?),
    };
    let whole = digits.find('.').unwrap_or(digits.len());
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<f64>().ok();
    let end = digits.len();
    let d = degree_digits;
    let value = if whole <= d {
        number(0, end)?
    } else if whole == d + 2 {
        number(0, d)? + number(d, end)? / 60.0
    } else if whole == d + 4 {
        number(0, d)? + number(d, d + 2)? / 60.0 + number(d + 2, end)? / 3600.0
    } else {
        return None;
    };
    Some(sign * value)
}

/// Canon keeps four TIFF trees in boxes: main, EXIF, maker note, GPS.
fn read_canon(source: &mut Source<'_>, atom: &Atom, found: &mut Found) {
    let mut modified = None;
    for part in bmff::list(source, atom.at, atom.end()) {
        let Some(mut tiff) = Tiff::open(source, part.at, part.len) else {
            continue;
        };
        let Some(first) = tiff.first() else { continue };
        let (entries, _) = tiff.directory(first);
        match &part.kind {
            b"CMT1" => {
                modified = exif::read_main(&mut tiff, &entries, found);
                let mut side = |tag| {
                    exif::number(&mut tiff, &entries, tag).and_then(|n| u32::try_from(n).ok())
                };
                let (width, height) = (side(0x0100), side(0x0101));
                found.stored = width.zip(height).and_then(|(w, h)| Size::new(w, h));
            }
            b"CMT2" => exif::read_times(&mut tiff, &entries, modified, found),
            b"CMT4" => exif::read_gps(&mut tiff, &entries, found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_in_all_three_precisions() {
        let close = |text: &str, lat: f64, lon: f64, alt: Option<f64>| {
            let p = iso6709(text).expect(text);
            assert!(
                (p.lat - lat).abs() < 1e-6 && (p.lon - lon).abs() < 1e-6,
                "{text}: {p:?}"
            );
            assert_eq!(p.alt, alt, "{text}");
        };
        close("+52.2097-000.8955+103.6/", 52.2097, -0.8955, Some(103.6));
        close("-3352.5+15112.0/", -33.875, 151.2, None);
        close(
            "+401234.5-0740000.0+10CRSWGS_84/",
            40.209_583_333,
            -74.0,
            Some(10.0),
        );
        for bad in [
            "",
            "+",
            "+1",
            "+91.0+000.0/",
            "+00.0000+000.0000/",
            "+1-",
            "++",
        ] {
            assert_eq!(iso6709(bad), None, "{bad}");
        }
    }

    #[test]
    fn header_times_count_from_1904_or_from_1970() {
        let show = |s| header_time(s).map(|w| w.to_string());
        assert_eq!(show(0), None);
        assert_eq!(show(3_688_734_549), Some("2020-11-20T16:29:09".to_owned()));
        assert_eq!(show(1_546_300_800), Some("2019-01-01T00:00:00".to_owned()));
        assert_eq!(show(u64::MAX), None);
    }
}
