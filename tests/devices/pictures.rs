//! Photos and movies that a test makes, byte by byte, so that it knows what is in them.

use super::Dice;

/// A picture of random pixels without compression, 24 bits each.
pub(crate) fn bmp(side: u32, dice: &mut Dice) -> Vec<u8> {
    let row = (side * 3).next_multiple_of(4);
    let pixels = usize::try_from(row * side).expect("small");
    bmp_of(side, &dice.bytes(pixels))
}

/// A picture whose pixels are these bytes; `pixels` holds whole rows of a multiple of four bytes.
pub(crate) fn bmp_of(side: u32, pixels: &[u8]) -> Vec<u8> {
    let image = u32::try_from(pixels.len()).expect("small");
    let mut file = Vec::with_capacity(pixels.len() + 54);
    file.extend_from_slice(b"BM");
    for word in [54 + image, 0, 54, 40, side, side] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for half in [1_u16, 24] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    for word in [0, image, 2835, 2835, 0, 0] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(pixels);
    file
}

/// What counts as a movie by its head, and is nothing more: no picture is made of it.
pub(crate) fn movie(bytes: usize, dice: &mut Dice) -> Vec<u8> {
    let mut file = b"\0\0\0\x14ftypisom\0\0\0\0mp42\0\0\0\0mdat".to_vec();
    file.extend_from_slice(&dice.bytes(bytes));
    file
}

/// Text fields of EXIF in the main directory.
#[derive(Clone, Copy)]
pub(crate) enum Text {
    Description,
    Make,
    Model,
    Software,
    Artist,
    Copyright,
}

impl Text {
    fn tag(self) -> u16 {
        match self {
            Self::Description => 0x010e,
            Self::Make => 0x010f,
            Self::Model => 0x0110,
            Self::Software => 0x0131,
            Self::Artist => 0x013b,
            Self::Copyright => 0x8298,
        }
    }
}

const SHORT: u16 = 3;
const LONG: u16 = 4;
const ASCII: u16 = 2;

/// An uncompressed grey TIFF of these pixels, with texts. Without pixels it is the body of an EXIF segment.
pub(crate) fn tiff(side: u32, pixels: &[u8], texts: &[(Text, &str)]) -> Vec<u8> {
    let count = |bytes: &[u8]| u32::try_from(bytes.len()).expect("small");
    let mut rows: Vec<(u16, u16, u32, Vec<u8>)> = texts
        .iter()
        .map(|(text, value)| {
            let value = [value.as_bytes(), b"\0"].concat();
            (text.tag(), ASCII, count(&value), value)
        })
        .collect();
    let short = |tag: u16, value: u16| (tag, SHORT, 1, value.to_le_bytes().to_vec());
    let long = |tag: u16, value: u32| (tag, LONG, 1, value.to_le_bytes().to_vec());
    if !pixels.is_empty() {
        rows.extend([
            long(0x0100, side),
            long(0x0101, side),
            short(0x0102, 8),
            short(0x0103, 1),
            short(0x0106, 1),
            long(0x0111, 8),
            short(0x0115, 1),
            long(0x0116, side),
            long(0x0117, count(pixels)),
        ]);
    }
    rows.sort_by_key(|row| row.0);
    let directory = 8 + count(pixels).next_multiple_of(2);
    let mut values_at = directory + 2 + 12 * u32::try_from(rows.len()).expect("few") + 4;
    let mut file = b"II\x2a\0".to_vec();
    file.extend_from_slice(&directory.to_le_bytes());
    file.extend_from_slice(pixels);
    file.resize(usize::try_from(directory).expect("small"), 0);
    file.extend_from_slice(&u16::try_from(rows.len()).expect("few").to_le_bytes());
    let mut values = Vec::new();
    for (tag, kind, number, value) in rows {
        file.extend_from_slice(&tag.to_le_bytes());
        file.extend_from_slice(&kind.to_le_bytes());
        file.extend_from_slice(&number.to_le_bytes());
        if value.len() <= 4 {
            let mut inline = value;
            inline.resize(4, 0);
            file.extend_from_slice(&inline);
        } else {
            file.extend_from_slice(&values_at.to_le_bytes());
            values_at += count(&value).next_multiple_of(2);
            values.extend_from_slice(&value);
            if value.len() % 2 == 1 {
                values.push(0);
            }
        }
    }
    file.extend_from_slice(&0_u32.to_le_bytes());
    file.extend_from_slice(&values);
    file
}

/// A JPEG of random pixels with texts in its EXIF segment.
pub(crate) fn jpeg(side: u16, texts: &[(Text, &str)], dice: &mut Dice) -> Vec<u8> {
    let pixels = dice.bytes(usize::from(side) * usize::from(side) * 3);
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, 80);
    let exif = tiff(0, &[], texts);
    encoder.add_exif_metadata(&exif).expect("it fits a segment");
    encoder
        .encode(&pixels, side, side, jpeg_encoder::ColorType::Rgb)
        .expect("it is encoded");
    file
}

/// A live photo as a telephone leaves it: a still of about so many bytes, and its movie, which carry one identifier.
pub(crate) fn live(id: &str, bytes: usize, dice: &mut Dice) -> (Vec<u8>, Vec<u8>) {
    let short = |bytes: &[u8]| u16::try_from(bytes.len()).expect("small").to_be_bytes();
    let long = |bytes: &[u8]| u32::try_from(bytes.len()).expect("small").to_be_bytes();
    let text = [id.as_bytes(), b"\0"].concat();
    // The maker's note has a directory of its own at byte 14, whose offsets count from the note.
    let note = [
        &b"Apple iOS\0\0\x01MM\0\x01"[..],
        &[0, 0x11, 0, 2],
        &long(&text),
        &32_u32.to_be_bytes(),
        &[0; 4],
        &text,
    ]
    .concat();
    let tiff = [
        &b"MM\0*\0\0\0\x08"[..],
        // The main directory names that of EXIF, and that the note.
        &[0, 1, 0x87, 0x69, 0, 4, 0, 0, 0, 1, 0, 0, 0, 26, 0, 0, 0, 0],
        &[0, 1, 0x92, 0x7c, 0, 7],
        &long(&note),
        &[0, 0, 0, 44, 0, 0, 0, 0],
        &note,
    ]
    .concat();
    let exif = [&b"Exif\0\0"[..], &tiff].concat();
    let mut still = [
        &[0xff, 0xd8, 0xff, 0xe1][..],
        &short(&[&exif[..], &[0; 2]].concat()),
        &exif,
    ]
    .concat();
    while still.len() < bytes {
        let comment = dice.bytes(65_533);
        still.extend([0xff, 0xfe, 0xff, 0xff]);
        still.extend(comment);
    }
    still.extend([0xff, 0xd9]);
    let atom = |kind: &[u8; 4], body: &[u8]| {
        [
            &(u32::try_from(body.len()).expect("small") + 8).to_be_bytes()[..],
            kind,
            body,
        ]
        .concat()
    };
    let name = b"com.apple.quicktime.content.identifier";
    let names = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &atom(b"mdta", name)].concat();
    let value = atom(
        b"data",
        &[&[0, 0, 0, 1, 0, 0, 0, 0][..], id.as_bytes()].concat(),
    );
    let values = [
        &long(&[&value[..], &[0; 8]].concat())[..],
        &1_u32.to_be_bytes(),
        &value,
    ]
    .concat();
    let handler = atom(b"hdlr", &[&[0; 8][..], b"mdta", &[0; 13]].concat());
    let meta = atom(
        b"meta",
        &[handler, atom(b"keys", &names), atom(b"ilst", &values)].concat(),
    );
    let movie = [
        atom(b"ftyp", b"qt  \0\0\0\0qt  "),
        atom(b"moov", &meta),
        atom(b"mdat", &dice.bytes(2000)),
    ];
    (still, movie.concat())
}
