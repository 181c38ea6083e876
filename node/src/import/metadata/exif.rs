//! EXIF: times, place, orientation and camera from a TIFF tree (EXIF 2.32).
//!
//! Errors never stop it: what one broken entry hides, the next may still tell.

use super::{Entry, Found, Orientation, Place, Size, Stamp, Tiff, WallTime};
use super::{time, xmp};
use crate::media::source::Source;

const WIDTH: u16 = 0x0100;
const HEIGHT: u16 = 0x0101;
const MAKE: u16 = 0x010f;
const MODEL: u16 = 0x0110;
const ORIENTATION: u16 = 0x0112;
const DATE_TIME: u16 = 0x0132;
const SUB_IFDS: u16 = 0x014a;
const XMP: u16 = 0x02bc;
const RATING: u16 = 0x4746;
const EXIF_IFD: u16 = 0x8769;
const GPS_IFD: u16 = 0x8825;
const DATE_TIME_ORIGINAL: u16 = 0x9003;
const DATE_TIME_DIGITIZED: u16 = 0x9004;
const OFFSET_TIME: u16 = 0x9010;
const OFFSET_TIME_ORIGINAL: u16 = 0x9011;
const OFFSET_TIME_DIGITIZED: u16 = 0x9012;
const MAKER_NOTE: u16 = 0x927c;
const SUB_SEC: u16 = 0x9290;
const SUB_SEC_ORIGINAL: u16 = 0x9291;
const SUB_SEC_DIGITIZED: u16 = 0x9292;
/// Panasonic RW2 keeps the picture's border instead of its size.
const PANASONIC_BOTTOM: u16 = 0x0006;
const PANASONIC_RIGHT: u16 = 0x0007;
const PANASONIC_JPEG: u16 = 0x002e;

/// Directories followed from the first one on, and from a list of sub-directories.
const MAX_SIBLINGS: usize = 8;

/// Reads the EXIF block of `len` bytes at `base`, with or without its `Exif\0\0` prefix.
pub(super) fn read_block(source: &mut Source<'_>, base: u64, len: u64, found: &mut Found) {
    // "Exif" and any two bytes: writers of WebP put `\0\0`, `00` and worse there.
    let prefix = match source.array::<4>(base) {
        Some(head) if &head == b"Exif" => 6,
        _ => 0,
    };
    let (Some(base), Some(len)) = (base.checked_add(prefix), len.checked_sub(prefix)) else {
        return;
    };
    if let Some(mut tiff) = Tiff::open(source, base, len) {
        read_tree(&mut tiff, found);
    }
}

/// Reads a whole TIFF or raw file: EXIF, and the size of its largest picture.
pub(super) fn read_file(source: &mut Source<'_>, found: &mut Found) {
    let size = source.size();
    let Some(mut tiff) = Tiff::open(source, 0, size) else {
        return;
    };
    read_tree(&mut tiff, found);
    found.stored = largest_picture(&mut tiff);
    if found.stored.is_none() {
        read_panasonic(&mut tiff, found);
    }
}

/// Reads the tree from its first directory on.
pub(super) fn read_tree(tiff: &mut Tiff<'_, '_>, found: &mut Found) {
    let Some(first) = tiff.first() else { return };
    let (entries, _) = tiff.directory(first);
    let modified = read_main(tiff, &entries, found);
    if let Some(offset) = pointer(tiff, &entries, EXIF_IFD) {
        let (entries, _) = tiff.directory(offset);
        read_times(tiff, &entries, modified, found);
    } else {
        found.modified = modified;
    }
    if let Some(offset) = pointer(tiff, &entries, GPS_IFD) {
        let (entries, _) = tiff.directory(offset);
        read_gps(tiff, &entries, found);
    }
}

/// Reads the first directory and returns when the file was last written.
pub(super) fn read_main(
    tiff: &mut Tiff<'_, '_>,
    entries: &[Entry],
    found: &mut Found,
) -> Option<Stamp> {
    found.make = text(tiff, entries, MAKE);
    found.model = text(tiff, entries, MODEL);
    if let Some(code) = number(tiff, entries, ORIENTATION) {
        found.exif_orientation = Some(Orientation::new(code));
    }
    found.rating = number(tiff, entries, RATING)
        .and_then(|r| i8::try_from(r).ok())
        .filter(|r| (0..=5).contains(r));
    if let Some(packet) = entry(entries, XMP).and_then(|e| tiff.bytes(e)) {
        xmp::parse(packet).tell(found);
    }
    text(tiff, entries, DATE_TIME)
        .as_deref()
        .and_then(Stamp::parse)
}

/// Reads the EXIF directory: times and the maker note.
pub(super) fn read_times(
    tiff: &mut Tiff<'_, '_>,
    entries: &[Entry],
    modified: Option<Stamp>,
    found: &mut Found,
) {
    let mut stamp = |date: u16, fraction: u16, offset: u16| {
        let mut stamp = Stamp::parse(&text(tiff, entries, date)?)?;
        if let Some(digits) = text(tiff, entries, fraction) {
            stamp.wall = stamp.wall.with_millis(time::millis_from_fraction(&digits));
        }
        let told = text(tiff, entries, offset);
        stamp.offset = stamp
            .offset
            .or(told.as_deref().and_then(time::parse_offset));
        Some(stamp)
    };
    found.original = stamp(DATE_TIME_ORIGINAL, SUB_SEC_ORIGINAL, OFFSET_TIME_ORIGINAL);
    found.digitized = stamp(
        DATE_TIME_DIGITIZED,
        SUB_SEC_DIGITIZED,
        OFFSET_TIME_DIGITIZED,
    );
    let fraction = text(tiff, entries, SUB_SEC);
    let offset = text(tiff, entries, OFFSET_TIME);
    found.modified = modified.map(|m| Stamp {
        wall: match fraction {
            Some(digits) => m.wall.with_millis(time::millis_from_fraction(&digits)),
            None => m.wall,
        },
        offset: offset.as_deref().and_then(time::parse_offset),
    });
    borrow_offset(found);
    if let Some(note) = entry(entries, MAKER_NOTE).copied() {
        found.live_id = found.live_id.take().or_else(|| apple_id(tiff, &note));
    }
}

/// Lends the zone of another of the three times, but only when both show the same second: an
/// editor far away writes its own zone beside its own time (OffsetTime).
fn borrow_offset(found: &mut Found) {
    let lenders = [found.digitized, found.modified];
    for taker in [&mut found.original, &mut found.digitized]
        .into_iter()
        .flatten()
    {
        let lender = lenders
            .iter()
            .flatten()
            .find(|l| l.offset.is_some() && l.wall.same_second(&taker.wall));
        taker.offset = taker.offset.or(lender.and_then(|l| l.offset));
    }
}

/// Reads the GPS directory: place and UTC.
pub(super) fn read_gps(tiff: &mut Tiff<'_, '_>, entries: &[Entry], found: &mut Found) {
    if let Some(place) = place(tiff, entries) {
        found.place = Some(place);
    }
    found.gps_utc_ms = gps_utc_ms(tiff, entries);
}

fn place(tiff: &mut Tiff<'_, '_>, entries: &[Entry]) -> Option<Place> {
    let mut degrees = |value: u16, side: u16, negative: char| {
        let entry = entry(entries, value)?;
        let d = tiff.fraction(entry, 0)?;
        let m = tiff.fraction(entry, 1).unwrap_or(0.0);
        let s = tiff.fraction(entry, 2).unwrap_or(0.0);
        let side = text(tiff, entries, side)?.chars().next()?;
        let sign = if side.eq_ignore_ascii_case(&negative) {
            -1.0
        } else {
            1.0
        };
        Some(sign * (d.abs() + m / 60.0 + s / 3600.0))
    };
    let lat = degrees(2, 1, 'S')?;
    let lon = degrees(4, 3, 'W')?;
    let below = number(tiff, entries, 5) == Some(1);
    let alt = entry(entries, 6)
        .and_then(|e| tiff.fraction(e, 0))
        .map(|a| if below { -a.abs() } else { a });
    Place::new(lat, lon, alt)
}

fn gps_utc_ms(tiff: &mut Tiff<'_, '_>, entries: &[Entry]) -> Option<i64> {
    let date = Stamp::parse(&text(tiff, entries, 0x1d)?)?.wall.date();
    let time = entry(entries, 7)?;
    let mut part = |index: u64| u8::try_from(tiff.whole(time, index)?).ok();
    let time = (part(0)?, part(1)?, part(2).unwrap_or(0));
    WallTime::new(date, time, 0).map(|w| w.unix_millis())
}

/// Apple's content identifier in its maker note, whose offsets count from the note's start.
fn apple_id(tiff: &mut Tiff<'_, '_>, note: &Entry) -> Option<String> {
    const PREFIX: &[u8] = b"Apple iOS\0";
    const CONTENT_IDENTIFIER: u16 = 0x0011;
    if tiff.source().bytes(note.at, 14)?.get(..PREFIX.len())? != PREFIX {
        return None;
    }
    let mut inner = Tiff::bare(tiff.source(), note.at, note.len, true);
    let (entries, _) = inner.directory(14);
    text(&mut inner, &entries, CONTENT_IDENTIFIER)
}

/// The largest picture of a TIFF-based file: raw formats put a thumbnail first.
fn largest_picture(tiff: &mut Tiff<'_, '_>) -> Option<Size> {
    let mut best: Option<Size> = None;
    for entries in pictures(tiff) {
        let width = number(tiff, &entries, WIDTH).and_then(|n| u32::try_from(n).ok());
        let height = number(tiff, &entries, HEIGHT).and_then(|n| u32::try_from(n).ok());
        let size = width.zip(height).and_then(|(w, h)| Size::new(w, h));
        let area = |s: Size| u64::from(s.width) * u64::from(s.height);
        if let Some(size) = size
            && best.is_none_or(|b| area(size) > area(b))
        {
            best = Some(size);
        }
    }
    best
}

/// The directories that describe pictures: the chain from the first, and their children.
pub(crate) fn pictures(tiff: &mut Tiff<'_, '_>) -> Vec<Vec<Entry>> {
    let mut all = Vec::new();
    let mut next = tiff.first();
    while let Some(offset) = next.filter(|_| all.len() < MAX_SIBLINGS) {
        let (entries, following) = tiff.directory(offset);
        next = following;
        if let Some(children) = entry(&entries, SUB_IFDS).copied() {
            for i in 0.. {
                let Some(child) = tiff.number(&children, i).filter(|_| i < 8) else {
                    break;
                };
                all.push(tiff.directory(child).0);
            }
        }
        all.push(entries);
    }
    all
}

fn read_panasonic(tiff: &mut Tiff<'_, '_>, found: &mut Found) {
    let Some(first) = tiff.first() else { return };
    let (entries, _) = tiff.directory(first);
    let side = |tiff: &mut Tiff<'_, '_>, tag| {
        number(tiff, &entries, tag).and_then(|n| u32::try_from(n).ok())
    };
    let (width, height) = (side(tiff, PANASONIC_RIGHT), side(tiff, PANASONIC_BOTTOM));
    found.stored = width.zip(height).and_then(|(w, h)| Size::new(w, h));
    // Time and place stand in the EXIF of the JPEG inside.
    if let Some(jpeg) = entry(&entries, PANASONIC_JPEG).copied() {
        let stored = found.stored.take();
        super::jpeg::read_at(tiff.source(), jpeg.at, found);
        found.stored = stored;
    }
}

pub(crate) fn entry(entries: &[Entry], tag: u16) -> Option<&Entry> {
    entries.iter().find(|e| e.tag == tag)
}

pub(crate) fn number(tiff: &mut Tiff<'_, '_>, entries: &[Entry], tag: u16) -> Option<u64> {
    tiff.number(entry(entries, tag)?, 0)
}

fn text(tiff: &mut Tiff<'_, '_>, entries: &[Entry], tag: u16) -> Option<String> {
    tiff.text(entry(entries, tag)?)
}

fn pointer(tiff: &mut Tiff<'_, '_>, entries: &[Entry], tag: u16) -> Option<u64> {
    number(tiff, entries, tag)
}
