//! Metadata of files that the tests build themselves, whole and broken.

mod samples;

use std::io::Cursor;

use self::samples::*;
use super::*;

fn tell(bytes: &[u8], media: MediaType) -> Metadata {
    let size = u64::try_from(bytes.len()).expect("small");
    read(&mut Cursor::new(bytes), media, size)
}

fn taken(metadata: &Metadata) -> Option<(String, Option<i16>, CaptureSource)> {
    let c = metadata.capture?;
    Some((c.wall.to_string(), c.offset_minutes, c.source))
}

fn at(
    wall: &str,
    offset: Option<i16>,
    source: CaptureSource,
) -> Option<(String, Option<i16>, CaptureSource)> {
    Some((wall.to_owned(), offset, source))
}

/// What every container with the phone's EXIF must tell.
fn check_phone(m: &Metadata, turns: bool, name: &str) {
    assert_eq!(
        taken(m),
        at("2023-10-22T09:39:48", Some(120), CaptureSource::Exif),
        "{name}"
    );
    assert_eq!(m.capture.map(|c| c.wall.millis()), Some(445), "{name}");
    let place = m.place.expect(name);
    assert!((place.lat - 41.843_403).abs() < 1e-6, "{name}");
    assert!((place.lon - 3.066_228).abs() < 1e-6, "{name}");
    assert_eq!(place.alt, Some(-128.9), "{name}");
    let camera = ("Apple".to_owned(), "iPhone 12".to_owned());
    assert_eq!(m.camera, Some(camera), "{name}");
    assert_eq!(m.live_id.as_deref(), Some("AB12-CD34-EF56"), "{name}");
    assert_eq!(m.rating, Some(4), "{name}");
    assert_eq!(m.orientation.code(), if turns { 6 } else { 1 }, "{name}");
    let (stored, shown) = (m.stored.expect(name), m.shown.expect(name));
    if turns {
        assert_eq!((stored.width, stored.height), (shown.height, shown.width));
    } else {
        assert_eq!(stored, shown);
    }
}

fn profile<'k>(kind: &'k [u8; 4], exif: &[u8]) -> (&'k [u8; 4], Vec<u8>) {
    let hex: String = exif.iter().map(|b| format!("{b:02x}")).collect();
    let text = format!("\nexif\n    {}\n{hex}\n", exif.len()).into_bytes();
    let key = b"Raw profile type exif\0";
    let body = if kind == b"zTXt" {
        let packed = miniz_oxide::deflate::compress_to_vec_zlib(&text, 6);
        [&key[..], &[0], &packed].concat()
    } else {
        [&key[..], &text].concat()
    };
    (kind, body)
}

#[test]
fn exif_is_found_in_every_container() {
    let exif = phone();
    for (name, bytes, media, turns) in [
        ("jpeg", jpeg(&exif), MediaType::Jpeg, true),
        ("png", png(&[(b"eXIf", exif.clone())]), MediaType::Png, true),
        (
            "png, EXIF behind the data",
            png(&[(b"IDAT", vec![0; 50_000]), (b"eXIf", exif.clone())]),
            MediaType::Png,
            true,
        ),
        (
            "png, text",
            png(&[profile(b"tEXt", &exif)]),
            MediaType::Png,
            true,
        ),
        (
            "png, packed",
            png(&[profile(b"zTXt", &exif)]),
            MediaType::Png,
            true,
        ),
        ("webp", webp(b"", &exif), MediaType::Webp, true),
        (
            "webp, JPEG's prefix",
            webp(b"Exif\0\0", &exif),
            MediaType::Webp,
            true,
        ),
        (
            "webp, odd prefix",
            webp(b"Exif00", &exif),
            MediaType::Webp,
            true,
        ),
        ("heic", heic(&exif), MediaType::Heic, false),
        (
            "tiff",
            phone_with_sides(&[long(0x0100, 40), short(0x0101, 30)]),
            MediaType::Tiff,
            true,
        ),
    ] {
        check_phone(&tell(&bytes, media), turns, name);
    }
}

#[test]
fn the_zone_of_an_editor_is_not_that_of_the_camera() {
    let edited = |modified: &str| {
        let exif = tiff(
            &[ascii(0x0132, modified)],
            &[
                ascii(0x9003, "2021:07:10 20:39:25"),
                ascii(0x9010, "+02:00"),
            ],
            &[],
        );
        taken(&tell(&jpeg(&exif), MediaType::Jpeg))
    };
    assert_eq!(
        edited("2021:07:11 19:29:14"),
        at("2021-07-10T20:39:25", None, CaptureSource::Exif)
    );
    assert_eq!(
        edited("2021:07:10 20:39:25"),
        at("2021-07-10T20:39:25", Some(120), CaptureSource::Exif)
    );
}

#[test]
fn a_zone_is_recovered_from_gps_time() {
    let exif = tiff(
        &[],
        &[ascii(0x9003, "2018:02:05 15:11:44")],
        &[
            fractions(7, &[(7, 1), (11, 1), (4307, 100)]),
            ascii(0x1d, "2018:02:05"),
        ],
    );
    assert_eq!(
        taken(&tell(&jpeg(&exif), MediaType::Jpeg)),
        at("2018-02-05T15:11:44", Some(480), CaptureSource::Exif)
    );
}

#[test]
fn what_makes_no_sense_is_unknown() {
    let exif = tiff(
        &[short(0x0112, 0), short(0x4746, 99), ascii(0x010f, "  ")],
        &[
            ascii(0x9003, "0000:00:00 00:00:00"),
            ascii(0x9004, "2021:02:30 00:00:00"),
        ],
        &[
            ascii(1, "N"),
            fractions(2, &[(95, 1), (0, 1), (0, 1)]),
            ascii(3, "E"),
            fractions(4, &[(5, 0), (0, 1), (0, 1)]),
        ],
    );
    let m = tell(&jpeg(&exif), MediaType::Jpeg);
    assert_eq!(m.orientation, Orientation::UPRIGHT);
    assert_eq!(
        Metadata {
            stored: None,
            shown: None,
            ..m
        },
        Metadata::default()
    );
}

#[test]
fn an_older_date_than_1970_is_a_date() {
    let exif = tiff(&[], &[ascii(0x9003, "1919:05:04 05:59:26")], &[]);
    let m = tell(&jpeg(&exif), MediaType::Jpeg);
    assert_eq!(
        taken(&m),
        at("1919-05-04T05:59:26", None, CaptureSource::Exif)
    );
    assert!(m.capture.expect("has one").wall.unix_millis() < 0);
}

#[test]
fn a_movies_own_date_beats_its_header() {
    let plain = tell(&movie(&[]), MediaType::Mov);
    assert_eq!(
        taken(&plain),
        at("2020-11-20T16:29:09", Some(0), CaptureSource::MovieHeader)
    );
    assert_eq!(plain.duration_ms, Some(2500));
    assert_eq!(plain.orientation.code(), 6);
    assert_eq!(plain.shown, Size::new(360, 640));
    let meta = keys(&[
        (
            "com.apple.quicktime.location.ISO6709",
            "+52.2097-000.8955+103.6/",
        ),
        ("com.apple.quicktime.make", "Apple"),
        (
            "com.apple.quicktime.creationdate",
            "2019-07-24T11:25:40+0300",
        ),
        ("com.apple.quicktime.content.identifier", "E905E6C6"),
    ]);
    let told = tell(&movie(&[&meta]), MediaType::Mov);
    assert_eq!(
        taken(&told),
        at("2019-07-24T11:25:40", Some(180), CaptureSource::Movie)
    );
    assert_eq!(told.place, Place::new(52.2097, -0.8955, Some(103.6)));
    assert_eq!(told.live_id.as_deref(), Some("E905E6C6"));
    assert_eq!(told.camera, Some(("Apple".to_owned(), String::new())));
    let place = atom(b"\xa9xyz", &[&[0, 0x12, 0x15, 0xc7], b"+00.0000+000.0000/"]);
    let android = atom(
        b"udta",
        &[&place, &atom(b"date", &[b"2020-11-20T15:04:02+0100"])],
    );
    let told = tell(&movie(&[&android]), MediaType::Mp4);
    assert_eq!(
        taken(&told),
        at("2020-11-20T15:04:02", Some(60), CaptureSource::Movie)
    );
    assert_eq!(told.place, None);
}

#[test]
fn matroska_tells_date_length_and_size() {
    let m = tell(&matroska(), MediaType::Webm);
    assert_eq!(
        taken(&m),
        at("2009-09-09T09:00:00", Some(0), CaptureSource::MovieHeader)
    );
    assert_eq!((m.duration_ms, m.shown), (Some(2500), Size::new(640, 360)));
}

#[test]
fn an_element_of_matroska_that_ends_within_a_header_is_passed_over() {
    let mut file = matroska();
    let info = [0x15, 0x49, 0xa9, 0x66];
    let at = file
        .windows(4)
        .position(|id| id == info)
        .expect("it is there");
    // One byte: the id of the date, which has two, begins in it.
    file[at + 4] = 0x81;
    assert_eq!(tell(&file, MediaType::Webm).duration_ms, None);
}

#[test]
fn sizes_of_the_small_formats_are_read() {
    let mut bmp = b"BM".to_vec();
    bmp.extend([0; 12]);
    bmp.extend(40_u32.to_le_bytes());
    bmp.extend(40_i32.to_le_bytes());
    bmp.extend((-30_i32).to_le_bytes());
    let avi = [
        &b"RIFF\0\0\0\0AVI LIST\x44\0\0\0hdrlavih\x38\0\0\0"[..],
        &40_000_u32.to_le_bytes(),
        &[0; 12],
        &50_u32.to_le_bytes(),
        &[0; 12],
        &40_u32.to_le_bytes(),
        &30_u32.to_le_bytes(),
        &[0; 16],
    ]
    .concat();
    for (bytes, media) in [
        (b"GIF89a\x28\0\x1e\0".to_vec(), MediaType::Gif),
        (bmp, MediaType::Bmp),
        (
            b"RIFF\0\0\0\0WEBPVP8L\x05\0\0\0\x2f\x27\x40\x07\0".to_vec(),
            MediaType::Webp,
        ),
        (
            b"RIFF\0\0\0\0WEBPVP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a\x28\0\x1e\0".to_vec(),
            MediaType::Webp,
        ),
        (avi, MediaType::Avi),
    ] {
        assert_eq!(tell(&bytes, media).shown, Size::new(40, 30), "{media:?}");
    }
}

/// A generator of numbers that is the same on every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).expect("31 bits") % n.max(1)
    }
}

#[test]
fn broken_files_are_read_without_panic_and_within_bounds() {
    let exif = phone();
    let meta = keys(&[
        (
            "com.apple.quicktime.location.ISO6709",
            "+52.2097-000.8955+103.6/",
        ),
        (
            "com.apple.quicktime.creationdate",
            "2019-07-24T11:25:40+0300",
        ),
    ]);
    let jxl = [
        &b"\0\0\0\x0cJXL \r\n\x87\n"[..],
        &atom(b"jxlc", &[b"\xff\x0a\xfa\x7f\x01\x20\x08"]),
        &atom(b"Exif", &[&[0; 4], &exif]),
    ]
    .concat();
    let xmp = b"XML:com.adobe.xmp\0\0\0\0\0<x xmp:CreateDate='2020-01-01T01:02:03Z' exif:GPSLatitude='48,9.0032N' exif:GPSLongitude='11,34E'/>";
    let samples = [
        (jpeg(&exif), MediaType::Jpeg),
        (
            png(&[(b"iTXt", xmp.to_vec()), profile(b"zTXt", &exif)]),
            MediaType::Png,
        ),
        (webp(b"Exif\0\0", &exif), MediaType::Webp),
        (heic(&exif), MediaType::Heic),
        (exif.clone(), MediaType::Nef),
        (movie(&[&meta]), MediaType::Mov),
        (matroska(), MediaType::Mkv),
        (jxl, MediaType::Jxl),
    ];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut told = 0;
    for round in 0..20_000 {
        let (sample, media) = &samples[round % samples.len()];
        let mut bytes = sample.clone();
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len());
            match dice.below(4) {
                0 => bytes[at] = [0, 0xff, 0x7f, 0x80][dice.below(4)],
                1 => bytes[at] ^= 1 << dice.below(8),
                2 => bytes.truncate(at),
                _ => {
                    bytes.remove(at);
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        let metadata = tell(&bytes, *media);
        told += usize::from(metadata.capture.is_some());
        assert_eq!(metadata.clone().checked(), metadata, "round {round}");
        let size = u64::try_from(bytes.len()).expect("small");
        let found = crate::media::decode::embedded_jpeg(&mut Cursor::new(&bytes), *media, size);
        assert!(found.is_none_or(|(at, len)| at + len <= size));
    }
    // Most damage misses most fields: a reader that gave up on all of them would show here.
    assert!(told > 10_000, "{told}");
}

#[test]
fn strings_are_cleaned_and_capped() {
    assert_eq!(clean_bytes(b"Canon\0\0rest"), Some("Canon".to_owned()));
    assert_eq!(
        clean_bytes(b"  NIKON \x1b[2J D5 "),
        Some("NIKON [2J D5".to_owned())
    );
    assert_eq!(clean_bytes(b"caf\xe9"), Some("caf\u{e9}".to_owned()));
    assert_eq!(clean_bytes(b" \0"), None);
    let long = clean(&"\u{e9}".repeat(300)).expect("not empty");
    assert_eq!(long.len(), MAX_TEXT_BYTES);
}

#[test]
fn impossible_places_are_unknown() {
    assert_eq!(Place::new(0.0, 0.0, Some(5.0)), None);
    assert_eq!(Place::new(90.1, 0.0, None), None);
    assert_eq!(Place::new(0.0, -180.1, None), None);
    assert_eq!(Place::new(f64::NAN, 1.0, None), None);
    assert_eq!(
        Place::new(-90.0, 180.0, Some(f64::INFINITY)),
        Some(Place {
            lat: -90.0,
            lon: 180.0,
            alt: None
        })
    );
}

#[test]
fn every_source_of_time_keeps_its_number() {
    for (index, source) in CaptureSource::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(source.code()), index + 1);
        assert_eq!(CaptureSource::from_code(source.code()), Some(source));
    }
    assert_eq!(CaptureSource::from_code(0), None);
    assert_eq!(CaptureSource::from_code(11), None);
}

#[test]
fn metadata_from_a_worker_is_held_against_every_range() {
    let wild = Metadata {
        capture: Some(Capture {
            wall: WallTime::new((2020, 1, 1), (0, 0, 0), 0).expect("valid"),
            offset_minutes: Some(9999),
            source: CaptureSource::Exif,
        }),
        place: Some(Place {
            lat: 1e9,
            lon: 0.0,
            alt: None,
        }),
        camera: Some(("x".repeat(1000), String::new())),
        stored: Some(Size {
            width: u32::MAX,
            height: 1,
        }),
        live_id: Some("\u{7}".to_owned()),
        rating: Some(100),
        duration_ms: Some(u64::MAX),
        ..Metadata::default()
    }
    .checked();
    assert_eq!(wild.capture.and_then(|c| c.offset_minutes), None);
    assert_eq!(wild.place, None);
    assert_eq!(wild.camera.map(|(make, _)| make.len()), Some(256));
    assert_eq!(
        (wild.stored, wild.live_id, wild.rating, wild.duration_ms),
        (None, None, None, None)
    );
}

#[test]
fn the_zone_from_gps_must_fit_the_sun() {
    let stamp = |text: &str| Stamp::parse(text).expect("valid");
    let found = |lon: f64| Found {
        original: Some(stamp("2018-02-05T15:11:44")),
        gps_utc_ms: Some(stamp("2018-02-05T07:11:43").wall.unix_millis()),
        place: Place::new(23.0, lon, None),
        ..Found::default()
    };
    let offset = |f: Found| f.settle().capture.expect("has a time").offset_minutes;
    assert_eq!(offset(found(113.4)), Some(480));
    assert_eq!(offset(found(-113.4)), None);
}
