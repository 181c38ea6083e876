//! What a photo or a movie is, what it says of itself, and its pixels.

#[path = "../../../node/src/import/metadata/tests/samples.rs"]
mod samples;

use std::io::Cursor;

use heirloom_node::{
    import::metadata::{self, Orientation, xmp},
    media::{MediaType, Take, decode},
};
use image::{DynamicImage, ImageFormat, RgbImage, RgbaImage};

use super::Target;

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "sniff",
        seeds: || {
            [
                pictures(ImageFormat::Png),
                tiffs(),
                boxes(),
                films(),
                chunks(),
            ]
            .concat()
        },
        run: sniff,
    },
    Target {
        name: "xmp",
        seeds: || {
            vec![
                XMP.to_vec(),
                [b"<x:xmpmeta>", XMP, b"</x:xmpmeta>"].concat(),
            ]
        },
        run: told_by_xmp,
    },
    Target {
        name: "metadata_exif",
        seeds: tiffs,
        run: |bytes| told(bytes, &[MediaType::Jpeg, MediaType::Nef, MediaType::Tiff]),
    },
    Target {
        name: "metadata_bmff",
        seeds: boxes,
        run: |bytes| {
            told(
                bytes,
                &[
                    MediaType::Heic,
                    MediaType::Mov,
                    MediaType::Cr3,
                    MediaType::Jxl,
                ],
            )
        },
    },
    Target {
        name: "metadata_png",
        seeds: pngs,
        run: |bytes| told(bytes, &[MediaType::Png]),
    },
    Target {
        name: "metadata_matroska",
        seeds: films,
        run: |bytes| told(bytes, &[MediaType::Mkv]),
    },
    Target {
        name: "metadata_chunks",
        seeds: chunks,
        run: |bytes| {
            told(
                bytes,
                &[
                    MediaType::Webp,
                    MediaType::Avi,
                    MediaType::Gif,
                    MediaType::Bmp,
                    MediaType::Raf,
                ],
            )
        },
    },
    Target {
        name: "embedded_jpeg",
        seeds: raws,
        run: embedded,
    },
    Target {
        name: "picture_jpeg",
        seeds: || vec![jpeg_of(40, 30), jpeg_of(9, 17)],
        run: |bytes| shown(bytes, MediaType::Jpeg),
    },
    Target {
        name: "picture_png",
        seeds: || pictures(ImageFormat::Png),
        run: |bytes| shown(bytes, MediaType::Png),
    },
    Target {
        name: "picture_gif",
        seeds: || pictures(ImageFormat::Gif),
        run: |bytes| shown(bytes, MediaType::Gif),
    },
    Target {
        name: "picture_webp",
        seeds: || pictures(ImageFormat::WebP),
        run: |bytes| shown(bytes, MediaType::Webp),
    },
    Target {
        name: "picture_tiff",
        seeds: || pictures(ImageFormat::Tiff),
        run: |bytes| shown(bytes, MediaType::Tiff),
    },
    Target {
        name: "picture_bmp",
        seeds: || pictures(ImageFormat::Bmp),
        run: |bytes| shown(bytes, MediaType::Bmp),
    },
    Target {
        name: "picture_heic",
        seeds: || vec![samples::heic(&samples::phone()), samples::heic(b"")],
        run: |bytes| shown(bytes, MediaType::Heic),
    },
];

const XMP: &[u8] = b"<x xmp:CreateDate='2020-01-01T01:02:03Z' xmp:Rating='4' exif:GPSLatitude='48,9.0032N' \
    exif:GPSLongitude='11,34E'><dc:subject><rdf:Bag><rdf:li>sea</rdf:li><rdf:li>a &amp; b</rdf:li></rdf:Bag>\
    </dc:subject><dc:description><rdf:Alt><rdf:li xml:lang='x-default'>Beach</rdf:li></rdf:Alt></dc:description></x>";

/// A picture in which no pixel is like another.
fn sample(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let byte = |n: u32| n.to_le_bytes()[0];
        image::Rgb([byte(x * 7), byte(y * 11), byte(x + y * width)])
    })
}

fn pictures(format: ImageFormat) -> Vec<Vec<u8>> {
    let plain = DynamicImage::ImageRgb8(sample(19, 11));
    let clear = DynamicImage::ImageRgba8(RgbaImage::from_pixel(8, 8, image::Rgba([1, 2, 3, 4])));
    let coded = |picture: &DynamicImage| {
        let mut out = Cursor::new(Vec::new());
        picture
            .write_to(&mut out, format)
            .map(|()| out.into_inner())
    };
    // Not every format has transparency.
    [plain, clear]
        .iter()
        .filter_map(|picture| coded(picture).ok())
        .collect()
}

/// A JPEG of a size, as the node writes them.
pub(super) fn jpeg_of(width: u32, height: u32) -> Vec<u8> {
    let picture = DynamicImage::ImageRgb8(sample(width, height));
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).expect("a PNG");
    let decoded = decode::decode(png.get_ref(), MediaType::Png, Orientation::UPRIGHT);
    let made = heirloom_node::media::Previews::make(decoded.expect("a picture"));
    made.expect("a preview").preview
}

fn tiffs() -> Vec<Vec<u8>> {
    let exif = samples::phone();
    vec![samples::jpeg(&exif), exif]
}

fn boxes() -> Vec<Vec<u8>> {
    let keys = samples::keys(&[
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
        &samples::atom(b"jxlc", &[b"\xff\x0a\xfa\x7f\x01\x20\x08"]),
        &samples::atom(b"Exif", &[&[0; 4], &samples::phone()]),
    ];
    vec![
        samples::heic(&samples::phone()),
        samples::movie(&[&keys]),
        jxl.concat(),
    ]
}

fn pngs() -> Vec<Vec<u8>> {
    let xmp = [&b"XML:com.adobe.xmp\0\0\0\0\0"[..], XMP].concat();
    vec![samples::png(&[(b"eXIf", samples::phone()), (b"iTXt", xmp)])]
}

fn films() -> Vec<Vec<u8>> {
    vec![samples::matroska()]
}

fn chunks() -> Vec<Vec<u8>> {
    let webp = samples::webp(b"Exif\0\0", &samples::phone());
    let small = [ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::WebP].map(pictures);
    [vec![webp], small.concat()].concat()
}

/// A raw file as Fuji's cameras begin it: where the JPEG stands, and the JPEG.
fn raws() -> Vec<Vec<u8>> {
    let jpeg = jpeg_of(40, 30);
    let mut raf = b"FUJIFILMCCD-RAW ".to_vec();
    raf.resize(84, 0);
    raf.extend(100_u32.to_be_bytes());
    raf.extend(u32::try_from(jpeg.len()).expect("small").to_be_bytes());
    raf.resize(100, 0);
    raf.extend(jpeg);
    vec![raf]
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("a length")
}

fn sniff(head: &[u8]) -> bool {
    let named = ["a.jpg", "a.nef", "a.txt", "a"];
    for name in named {
        let _ = Take::decide(name, length(head), head);
    }
    MediaType::of(head, "a").is_some()
}

fn told_by_xmp(packet: &[u8]) -> bool {
    let told = xmp::parse(packet);
    let texts = told.tags.iter().chain(&told.title).chain(&told.description);
    for text in texts {
        assert!(!text.contains('\0'), "{text:?}");
    }
    told.taken.is_some()
}

fn told(bytes: &[u8], types: &[MediaType]) -> bool {
    let mut any = false;
    for media in types {
        let found = metadata::read(&mut Cursor::new(bytes), *media, length(bytes));
        assert_eq!(found.clone().checked(), found, "{media:?}");
        any |= found != metadata::Metadata::default();
    }
    any
}

fn embedded(bytes: &[u8]) -> bool {
    let mut any = false;
    for media in [MediaType::Raf, MediaType::Nef, MediaType::Cr3] {
        let found = decode::embedded_jpeg(&mut Cursor::new(bytes), media, length(bytes));
        let inside =
            |(at, len): (u64, u64)| at.checked_add(len).is_some_and(|end| end <= length(bytes));
        assert!(found.is_none_or(inside), "{media:?}: {found:?}");
        any |= found.is_some();
    }
    any
}

fn shown(bytes: &[u8], media: MediaType) -> bool {
    let Ok(decoded) = decode::decode(bytes, media, Orientation::UPRIGHT) else {
        return false;
    };
    let size = decoded.shown();
    let pixels = decoded
        .upright(512)
        .expect("a decoded picture can be turned");
    let shown = pixels.size();
    assert!(shown.width <= size.width.max(512) && shown.height <= size.height.max(512));
    true
}
