//! What a node reads from its pipes, its settings, its neighbours and its people.

use heirloom_node::{
    fuzz,
    import::{
        metadata::{WallTime, name, time},
        sidecar::{self, Sidecar},
    },
    net::Address,
};
use heirloom_protocol::limits;

use super::{
    Target,
    archives::{gzip, tar, zip},
    text, texts, vectors,
};

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "worker",
        seeds: workers,
        run: worker,
    },
    Target {
        name: "byte_range",
        seeds: || texts(RANGES),
        run: |bytes| text(bytes, byte_range),
    },
    Target {
        name: "gallery_path",
        seeds: || texts(PATHS),
        run: |bytes| text(bytes, gallery_path),
    },
    Target {
        name: "config",
        seeds: || texts(&[CONFIG, "[other]\nkey = [1, 2.5, \"x\"]\n"]),
        run: |bytes| text(bytes, |settings| fuzz::config(settings).is_some()),
    },
    Target {
        name: "record",
        seeds: records,
        run: |bytes| text(bytes, record),
    },
    Target {
        name: "address",
        seeds: || texts(ADDRESSES),
        run: |bytes| text(bytes, address),
    },
    Target {
        name: "file_name",
        seeds: || texts(NAMES),
        run: |bytes| text(bytes, file_name),
    },
    Target {
        name: "archive",
        seeds: archives,
        run: |bytes| fuzz::archive(bytes) > 0,
    },
    Target {
        name: "sidecar",
        seeds: || texts(SIDECARS),
        run: sidecar,
    },
    Target {
        name: "sidecar_names",
        seeds: || texts(&[BESIDE]),
        run: |bytes| text(bytes, |names| fuzz::beside(names) > 0),
    },
    Target {
        name: "times",
        seeds: || texts(TIMES),
        run: |bytes| text(bytes, times),
    },
];

const CONFIG: &str =
    "[network]\nlisten = [\"/ip4/127.0.0.1/tcp/0\"]\ndiscovery = false\nlan_only = true\n";

/// `Range`, `If-Range` where it is one, and how long the file is, one a line.
const RANGES: &[&str] = &[
    "bytes=0-0\n\n100",
    "bytes=90-200\n\"a\"\n100",
    "bytes=-5\n\n18446744073709551615",
    "BYTES = 7-\n\n8",
];

const PATHS: &[&str] = &[
    "/",
    "/photos",
    "/assets/main.js",
    "/assets/m%61in.js?a=b",
    "/albums/x",
    "/manifest.webmanifest",
    "/original/000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
];

const ADDRESSES: &[&str] = &[
    "/ip4/192.168.1.20/tcp/4001",
    "/ip6/fe80::1/tcp/65535",
    "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
];

const NAMES: &[&str] = &[
    "IMG_20230514_124135.jpg",
    "PXL_20230514_104135123.MP~2.jpg",
    "Screenshot 2023-05-14 at 12.41.35.png",
    "WhatsApp Image 2023-05-14 at 12.41.35 PM.jpeg",
    "20230514_124135(1).heic",
    "IMG-20230514-WA0001.jpg",
];

/// Files of Takeout, of an album, of our own export, and XMP.
const SIDECARS: &[&str] = &[
    r#"{"title": "a.jpg", "description": "b", "photoTakenTime": {"timestamp": "1577880000"}, "favorited": true,
    "geoData": {"latitude": 45.6, "longitude": 10.6, "altitude": 7.5}, "geoDataExif": {"latitude": 1, "longitude": 2}}"#,
    r#"{"title": "a.jpg", "caption": "b", "heirloom": {"wall": "2010-12-12T12:41:35.250", "offset": "+03:00",
    "taken_source": "edit", "tags": ["c", "d/e"], "albums": ["f"], "rating": 3}}"#,
    r#"{"albumData": {"title": "a", "date": {"timestamp": "1"}}}"#,
    r#"<x:xmpmeta><rdf:Description xmp:Rating="4" exif:DateTimeOriginal="2020-01-02T03:04:05+01:00"
    exif:GPSLatitude="48,9.0032N" exif:GPSLongitude="11,34,34.2E"><dc:subject><rdf:Bag><rdf:li>a</rdf:li>"#,
];

/// Names of a folder, one a line.
const BESIDE: &str = "IMG_1.jpg\nIMG_1(1).jpg\nIMG_1-edited.jpg\nIMG_1.mov\nIMG_1.jpg.supplemental-metadata.json\n\
    IMG_1.jpg(1).json\nIMG_1.xmp\na very long name of a photo that is cut by those who.jpg\n\
    a very long name of a photo that is cut by tho.json";

const TIMES: &[&str] = &[
    "2023:05:14 12:41:35",
    "2023-05-14T12:41:35.123+02:00",
    "2023-05-14",
    "+05:45",
    "2023-05-01..2023-05-31",
    "1d12h",
];

fn byte_range(lines: &str) -> bool {
    let mut lines = lines.lines();
    let [range, if_range] = [(); 2].map(|()| lines.next().unwrap_or_default());
    let len = lines.next().and_then(|len| len.parse().ok()).unwrap_or(0);
    let if_range = Some(if_range).filter(|condition| !condition.is_empty());
    let Some((first, last)) = fuzz::byte_range(range, if_range, len) else {
        return false;
    };
    assert!(
        first <= last && last < len,
        "{range:?} of {len}: {first}-{last}"
    );
    true
}

/// What is there is a part of the page, which everybody may see, or has an id.
fn gallery_path(path: &str) -> bool {
    let Some((status, is_open)) = fuzz::gallery_path(path) else {
        return false;
    };
    let is_photo = path.contains("/original/");
    match status {
        200 => assert!(is_open || is_photo, "{path:?}"),
        status => assert!([400, 404].contains(&status), "{path:?}: {status}"),
    }
    status == 200
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("small").to_le_bytes();
    [&[kind], &length[..], body].concat()
}

/// Conversations as a worker begins them.
fn workers() -> Vec<Vec<u8>> {
    let metadata = serde_json::to_vec(&heirloom_node::import::metadata::Metadata::default());
    let metadata = frame(b'M', &metadata.expect("JSON"));
    let read = frame(
        b'R',
        &[&0_u64.to_le_bytes()[..], &16_u32.to_le_bytes()].concat(),
    );
    let sides = [40_u32.to_le_bytes(), 30_u32.to_le_bytes()].concat();
    let picture = super::media::jpeg_of(40, 30);
    let pictures = [
        frame(b'P', &[&sides[..], &picture].concat()),
        frame(b'T', &[&sides[..], &picture].concat()),
        frame(b'H', &[&sides[..], &[7; 20]].concat()),
    ];
    let done = frame(b'D', &[0, 0]);
    vec![
        [read.clone(), metadata.clone(), pictures.concat(), done].concat(),
        [read, metadata, frame(b'D', &[1, 1])].concat(),
    ]
}

/// Takes what tells of metadata at the least.
fn worker(said: &[u8]) -> bool {
    let made = fuzz::worker_says(said, 4096);
    let Some(metadata) = made.metadata else {
        return false;
    };
    assert_eq!(metadata.clone().checked(), metadata);
    true
}

fn records() -> Vec<Vec<u8>> {
    let n = vectors::fields_of("txt", "n").into_iter();
    let record =
        |(n, t): (Vec<u8>, Vec<u8>)| [b"v=1\nn=".to_vec(), n, b"\nt=".to_vec(), t].concat();
    n.zip(vectors::fields_of("txt", "t")).map(record).collect()
}

/// Properties of a TXT record, one a line.
fn record(lines: &str) -> bool {
    let properties: Vec<(&str, &str)> = lines
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    fuzz::record(&properties).is_some()
}

fn address(typed: &str) -> bool {
    let Ok(address) = typed.parse::<Address>() else {
        return false;
    };
    let again: Result<Address, _> = address.to_string().parse();
    assert_eq!(again.ok(), Some(address), "{typed}");
    true
}

fn file_name(called: &str) -> bool {
    for written in fuzz::export_names(called, 1)
        .into_iter()
        .chain(fuzz::export_names(called, 12))
    {
        let is_one_part = !written.is_empty()
            && written.len() <= 255
            && !written.starts_with('.')
            && !written.contains(['/', '\\', '\0']);
        assert!(is_one_part, "{called:?} is written as {written:?}");
    }
    name::taken(called).is_some()
}

fn archives() -> Vec<Vec<u8>> {
    let long = format!("{}/a.jpg", "folder/".repeat(20));
    let files: [(&str, &[u8]); 3] = [
        ("a/b.jpg", b"bytes"),
        (&long, &[7; 700]),
        ("../c.json", b"{}"),
    ];
    vec![zip(&files), tar(&files), gzip(&tar(&files))]
}

/// What is read may be written: every string and number is within its bounds.
fn sidecar(bytes: &[u8]) -> bool {
    let read = [
        sidecar::read("a.json", bytes),
        sidecar::read("a.xmp", bytes),
    ];
    for sidecar in &read {
        let Sidecar::Photo(said) = sidecar else {
            continue;
        };
        assert!(
            said.caption
                .as_ref()
                .is_none_or(|text| text.len() <= limits::TEXT_BYTES)
        );
        assert!(
            said.tags
                .iter()
                .all(|tag| !tag.is_empty() && tag.len() <= limits::TAG_BYTES)
        );
        assert!(said.rating.is_none_or(|stars| stars <= 5));
        assert!(
            said.place
                .is_none_or(|place| place.lat.abs() <= 90.0 && place.lon.abs() <= 180.0)
        );
    }
    read.iter().any(|sidecar| *sidecar != Sidecar::Nothing)
}

fn times(typed: &str) -> bool {
    let stamp = time::Stamp::parse(typed);
    if let Some(stamp) = stamp {
        let again = WallTime::from_unix_millis(stamp.wall.unix_millis());
        assert_eq!(again, Some(stamp.wall), "{typed}");
    }
    let range = fuzz::range(typed);
    assert!(range.is_none_or(|(from, to)| from < to), "{typed}");
    let offset = time::parse_offset(typed);
    stamp.is_some() || range.is_some() || offset.is_some() || fuzz::seconds(typed).is_some()
}
