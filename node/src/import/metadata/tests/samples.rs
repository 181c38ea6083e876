//! Small files as cameras, phones and programs write them, whole; `tests/fuzz` breaks them too.

/// One value of a directory under construction: tag, type, count, bytes.
pub(crate) type Value = (u16, u16, u32, Vec<u8>);

pub(crate) fn ascii(tag: u16, text: &str) -> Value {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    (tag, 2, length(&bytes), bytes)
}

pub(crate) fn short(tag: u16, n: u16) -> Value {
    (tag, 3, 1, n.to_be_bytes().to_vec())
}

pub(crate) fn long(tag: u16, n: u32) -> Value {
    (tag, 4, 1, n.to_be_bytes().to_vec())
}

pub(crate) fn fractions(tag: u16, parts: &[(u32, u32)]) -> Value {
    let bytes: Vec<u8> = parts
        .iter()
        .flat_map(|(over, under)| [over.to_be_bytes(), under.to_be_bytes()].concat())
        .collect();
    (tag, 5, length(parts), bytes)
}

pub(crate) fn length<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).expect("small")
}

/// A directory that stands at `at`, its long values right behind it.
pub(crate) fn directory(at: u32, values: &[Value]) -> Vec<u8> {
    let count = u16::try_from(values.len()).expect("small");
    let mut head = count.to_be_bytes().to_vec();
    let mut tail = Vec::new();
    let behind = at + 2 + u32::from(count) * 12 + 4;
    for (tag, kind, count, bytes) in values {
        head.extend(tag.to_be_bytes());
        head.extend(kind.to_be_bytes());
        head.extend(count.to_be_bytes());
        if bytes.len() <= 4 {
            let mut inline = bytes.clone();
            inline.resize(4, 0);
            head.extend(inline);
        } else {
            head.extend((behind + length(&tail)).to_be_bytes());
            tail.extend(bytes);
        }
    }
    head.extend([0; 4]);
    [head, tail].concat()
}

/// A TIFF tree: the first directory at 8, EXIF at 500, GPS at 1500.
pub(crate) fn tiff(main: &[Value], exif: &[Value], gps: &[Value]) -> Vec<u8> {
    let mut main = main.to_vec();
    if !exif.is_empty() {
        main.push(long(0x8769, 500));
    }
    if !gps.is_empty() {
        main.push(long(0x8825, 1500));
    }
    let mut out = b"MM\0*\0\0\0\x08".to_vec();
    out.extend(directory(8, &main));
    for (at, values) in [(500, exif), (1500, gps)] {
        let place = usize::try_from(at).expect("small");
        assert!(out.len() <= place);
        out.resize(place, 0);
        out.extend(directory(at, values));
    }
    out
}

/// What a phone writes.
pub(crate) fn phone() -> Vec<u8> {
    phone_with_sides(&[])
}

pub(crate) fn phone_with_sides(sides: &[Value]) -> Vec<u8> {
    let note = [
        &b"Apple iOS\0\0\x01MM"[..],
        &directory(14, &[ascii(0x11, "AB12-CD34-EF56")]),
    ]
    .concat();
    let main = [
        ascii(0x010f, "Apple"),
        ascii(0x0110, "iPhone 12"),
        short(0x0112, 6),
        ascii(0x0132, "2023:10:22 09:39:48"),
        short(0x4746, 4),
    ];
    tiff(
        &[sides, &main].concat(),
        &[
            ascii(0x9003, "2023:10:22 09:39:48"),
            ascii(0x9291, "445"),
            ascii(0x9011, "+02:00"),
            (0x927c, 7, length(&note), note),
        ],
        &[
            ascii(1, "N"),
            fractions(2, &[(41, 1), (50, 1), (3625, 100)]),
            ascii(3, "E"),
            fractions(4, &[(3, 1), (3, 1), (5842, 100)]),
            (5, 1, 1, vec![1]),
            fractions(6, &[(1289, 10)]),
        ],
    )
}

pub(crate) fn jpeg(exif: &[u8]) -> Vec<u8> {
    let segment = |marker: u8, body: &[u8]| {
        let len = u16::try_from(body.len() + 2).expect("small").to_be_bytes();
        [&[0xff, marker], &len[..], body].concat()
    };
    [
        &[0xff, 0xd8][..],
        &segment(0xe1, &[b"Exif\0\0", exif].concat()),
        &segment(0xc0, &[8, 0, 30, 0, 40, 1, 1, 0x11, 0]),
        &[0xff, 0xda, 0, 2, 0xff, 0xd9],
    ]
    .concat()
}

pub(crate) fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let head = (
        b"IHDR",
        [&[0, 0, 0, 40, 0, 0, 0, 30][..], &[8, 2, 0, 0, 0]].concat(),
    );
    for (kind, data) in std::iter::once(&head).chain(chunks) {
        out.extend(length(data).to_be_bytes());
        out.extend(*kind);
        out.extend(data);
        out.extend([0; 4]);
    }
    out
}

pub(crate) fn webp(prefix: &[u8], exif: &[u8]) -> Vec<u8> {
    let mut out = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x08\0\0\0\x27\0\0\x1d\0\0EXIF".to_vec();
    let body = [prefix, exif].concat();
    out.extend(length(&body).to_le_bytes());
    out.extend(body);
    out
}

pub(crate) fn atom(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&(length(&body) + 8).to_be_bytes()[..], kind, &body].concat()
}

pub(crate) fn movie(extra: &[&[u8]]) -> Vec<u8> {
    let mvhd = [
        &[0; 4][..],
        &3_688_734_549_u32.to_be_bytes(),
        &[0; 4],
        &600_u32.to_be_bytes(),
        &1500_u32.to_be_bytes(),
    ]
    .concat();
    let one = 0x0001_0000_u32.to_be_bytes();
    let minus = 0xffff_0000_u32.to_be_bytes();
    let zero = [0; 4];
    // Turned by 90 degrees clockwise.
    let matrix = [zero, one, zero, minus, zero, zero, zero, zero, one].concat();
    let sides = [(640_u32 << 16).to_be_bytes(), (360_u32 << 16).to_be_bytes()].concat();
    let tkhd = [&[0; 40][..], &matrix, &sides].concat();
    let hdlr = atom(b"hdlr", &[&[0; 8], b"vide", &[0; 12]]);
    let trak = atom(
        b"trak",
        &[&atom(b"tkhd", &[&tkhd]), &atom(b"mdia", &[&hdlr])],
    );
    let moov = atom(b"moov", &[&atom(b"mvhd", &[&mvhd]), &trak, &extra.concat()]);
    [
        atom(b"ftyp", &[b"qt  \0\0\0\0"]),
        atom(b"mdat", &[&[0; 99]]),
        moov,
    ]
    .concat()
}

pub(crate) fn keys(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut names = [&[0; 4][..], &length(pairs).to_be_bytes()].concat();
    let mut values = Vec::new();
    for (i, (name, value)) in pairs.iter().enumerate() {
        names.extend((8 + length(name.as_bytes())).to_be_bytes());
        names.extend(b"mdta");
        names.extend(name.as_bytes());
        let data = atom(b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0], value.as_bytes()]);
        let number = u32::try_from(i + 1).expect("small").to_be_bytes();
        values.extend(atom(&number, &[&data]));
    }
    let hdlr = atom(b"hdlr", &[&[0; 8], b"mdta", &[0; 13]]);
    atom(
        b"meta",
        &[&hdlr, &atom(b"keys", &[&names]), &atom(b"ilst", &[&values])],
    )
}

pub(crate) fn matroska() -> Vec<u8> {
    let element = |id: &[u8], body: &[u8]| {
        let len = u8::try_from(body.len()).expect("small") | 0x80;
        [id, &[len], body].concat()
    };
    let date = 274_179_600_000_000_000_i64.to_be_bytes();
    let info = [
        element(&[0x44, 0x61], &date),
        element(&[0x44, 0x89], &2500_f64.to_be_bytes()),
    ]
    .concat();
    let video = [element(&[0xb0], &[2, 128]), element(&[0xba], &[1, 104])].concat();
    let track = element(&[0xae], &element(&[0xe0], &video));
    let mut out = element(&[0x1a, 0x45, 0xdf, 0xa3], b"\x42\x82\x84webm");
    // A segment of unknown length.
    out.extend([
        0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    ]);
    out.extend(element(&[0x15, 0x49, 0xa9, 0x66], &info));
    out.extend(element(&[0x16, 0x54, 0xae, 0x6b], &track));
    out.extend([
        0x1f, 0x43, 0xb6, 0x75, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    ]);
    out
}

pub(crate) fn heic(exif: &[u8]) -> Vec<u8> {
    let picture = heifer::Image::filled(64, 48, 8, [200, 100, 50, 255]);
    let metadata = heifer::Metadata {
        exif: Some(exif.to_vec()),
        ..Default::default()
    };
    let options = heifer::EncodeOptions {
        quality: 50,
        max_threads: 1,
    };
    heifer::encode_with_metadata(&picture, &metadata, &options).expect("can be encoded")
}
