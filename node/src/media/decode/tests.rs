//! Decoding, held against pictures that the tests make themselves.

use std::io::Cursor;

use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, RgbImage, RgbaImage};
use jpeg_encoder::{ColorType, Encoder};

use super::*;

const UPRIGHT: Orientation = Orientation::UPRIGHT;

/// A picture in which no pixel is like another.
fn sample(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let byte = |n: u32| n.to_le_bytes()[0];
        image::Rgb([byte(x * 7), byte(y * 11), byte(x + y * width)])
    })
}

fn coded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).expect("can be encoded");
    out.into_inner()
}

fn shown(bytes: &[u8], media: MediaType, turn: Orientation) -> Result<(Size, Vec<u8>), Reason> {
    let pixels = decode(bytes, media, turn)?.upright(u32::MAX)?;
    Ok((pixels.size(), pixels.rgb().to_vec()))
}

fn refused(bytes: &[u8], media: MediaType) -> Option<Reason> {
    decode(bytes, media, UPRIGHT).err()
}

fn jpeg(width: u16, height: u16, kind: ColorType, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(&mut out, 95)
        .encode(data, width, height, kind)
        .expect("can be encoded");
    out
}

fn near(ours: &[u8], want: &[u8], by: u8) -> bool {
    ours.len() == want.len() && ours.iter().zip(want).all(|(a, b)| a.abs_diff(*b) <= by)
}

#[test]
fn all_eight_orientations_are_shown_upright() {
    // Wider than a block on one side, so that blocks of every shape are turned.
    let picture = DynamicImage::ImageRgb8(sample(70, 33));
    let bytes = coded(&picture, ImageFormat::Png);
    for code in 1..=8 {
        let mut want = picture.clone();
        let turn = image::metadata::Orientation::from_exif(code).expect("one of the eight");
        want.apply_orientation(turn);
        let turn = Orientation::new(u64::from(code));
        let decoded = decode(&bytes, MediaType::Png, turn).expect("can be decoded");
        let size = decoded.shown();
        assert_eq!((size.width, size.height), (want.width(), want.height()));
        let pixels = decoded.upright(u32::MAX).expect("can be turned");
        assert_eq!(pixels.size(), size);
        assert_eq!(pixels.rgb(), want.to_rgb8().as_raw(), "orientation {code}");
    }
}

#[test]
fn lossless_formats_come_out_as_they_went_in() {
    let picture = DynamicImage::ImageRgb8(sample(31, 17));
    for (format, media) in [
        (ImageFormat::Png, MediaType::Png),
        (ImageFormat::WebP, MediaType::Webp),
        (ImageFormat::Tiff, MediaType::Tiff),
        (ImageFormat::Bmp, MediaType::Bmp),
    ] {
        let bytes = coded(&picture, format);
        let (size, rgb) = shown(&bytes, media, UPRIGHT).expect("can be decoded");
        assert_eq!((size.width, size.height), (31, 17), "{media:?}");
        assert_eq!(
            &rgb,
            picture.as_rgb8().expect("is one").as_raw(),
            "{media:?}"
        );
    }
}

#[test]
fn transparent_parts_are_shown_on_white() {
    let picture = RgbaImage::from_fn(3, 1, |x, _| {
        image::Rgba([0, 0, 0, [0, 128, 255][super::super::index(x)]])
    });
    let bytes = coded(&picture.into(), ImageFormat::Png);
    let (_, rgb) = shown(&bytes, MediaType::Png, UPRIGHT).expect("can be decoded");
    assert_eq!(rgb, [255, 255, 255, 127, 127, 127, 0, 0, 0]);
}

#[test]
fn sixteen_bits_and_grey_are_shown_in_eight() {
    let deep = image::ImageBuffer::from_fn(4, 4, |x, _| {
        image::Rgb([
            0x8080_u16,
            u16::try_from(x).expect("small") * 0x1111,
            0xffff,
        ])
    });
    let bytes = coded(&DynamicImage::ImageRgb16(deep), ImageFormat::Png);
    let (_, rgb) = shown(&bytes, MediaType::Png, UPRIGHT).expect("can be decoded");
    assert_eq!(rgb[..6], [0x80, 0, 0xff, 0x80, 0x11, 0xff]);
    let grey = jpeg(16, 16, ColorType::Luma, &[77; 256]);
    let (_, rgb) = shown(&grey, MediaType::Jpeg, UPRIGHT).expect("can be decoded");
    assert!(near(&rgb, &[77; 768], 1));
}

#[test]
fn printers_colours_are_shown_as_light() {
    // Adobe's files hold ink inverted, and so do these: 255 is no ink.
    let inks: [([u8; 4], [u8; 3]); 4] = [
        ([0, 0, 0, 0], [255, 255, 255]),
        ([255, 0, 0, 0], [0, 255, 255]),
        ([0, 255, 255, 0], [255, 0, 0]),
        ([0, 0, 0, 255], [0, 0, 0]),
    ];
    for (ink, light) in inks {
        for kind in [ColorType::Cmyk, ColorType::CmykAsYcck] {
            let bytes = jpeg(16, 16, kind, &ink.repeat(256));
            let (_, rgb) = shown(&bytes, MediaType::Jpeg, UPRIGHT).expect("can be decoded");
            assert!(
                near(&rgb, &light.repeat(256), 3),
                "{ink:?}: {:?}",
                &rgb[..3]
            );
        }
    }
}

#[test]
fn animations_show_their_first_picture() {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    for grey in [10, 200] {
        let frame = RgbaImage::from_pixel(8, 8, image::Rgba([grey, grey, grey, 255]));
        encoder
            .encode_frame(image::Frame::new(frame))
            .expect("can be encoded");
    }
    drop(encoder);
    let (_, rgb) = shown(&bytes, MediaType::Gif, UPRIGHT).expect("can be decoded");
    assert!(near(&rgb, &[10; 192], 2));
}

#[test]
fn heic_is_decoded_and_ignores_its_exif_turn() {
    let picture = RgbImage::from_fn(96, 64, |x, y| {
        let byte = |n: u32| n.to_le_bytes()[0];
        image::Rgb([byte(x * 2), byte(y * 3), 90])
    });
    let bytes = heic(&picture);
    let turn = Orientation::new(6);
    let (size, rgb) = shown(&bytes, MediaType::Heic, turn).expect("can be decoded");
    assert_eq!((size.width, size.height), (96, 64));
    assert!(near(&rgb, picture.as_raw(), 16));
}

fn heic(picture: &RgbImage) -> Vec<u8> {
    let options = heifer::EncodeOptions {
        quality: 90,
        max_threads: 1,
    };
    heifer::encode_rgb8(picture.width(), picture.height(), picture, &options)
        .expect("can be encoded")
}

#[test]
fn a_damaged_heic_shows_the_tiles_it_has() {
    // Three tiles of 512 side by side.
    let picture = RgbImage::from_fn(1200, 64, |x, _| {
        image::Rgb([if x < 512 { 240 } else { 20 }; 3])
    });
    let at = |rgb: &[u8], x: usize| [rgb[x * 3], rgb[x * 3 + 1], rgb[x * 3 + 2]];
    let whole = heic(&picture);
    // The thumbnail stands last and is not needed.
    let cut = &whole[..whole.len() - 5];
    for bytes in [&whole[..], cut] {
        let (size, rgb) = shown(bytes, MediaType::Heic, UPRIGHT).expect("can be decoded");
        assert_eq!((size.width, size.height), (1200, 64));
        assert!(near(&at(&rgb, 0), &[240; 3], 8));
        assert!(near(&at(&rgb, 1199), &[20; 3], 8));
    }
    let file = heifer::heifer_isobmff::HeifFile::parse(&whole).expect("is whole");
    let tile = *file
        .referenced_items(file.primary_id, b"dimg")
        .last()
        .expect("has three");
    let place = file
        .item(tile)
        .expect("exists")
        .location
        .clone()
        .expect("has one");
    let mut broken = whole.clone();
    let start = usize::try_from(place.extents[0].offset).expect("small");
    broken[start..start + 4].fill(0xff);
    let (size, rgb) = shown(&broken, MediaType::Heic, UPRIGHT).expect("can be salvaged");
    assert_eq!((size.width, size.height), (1200, 64));
    assert!(near(&at(&rgb, 0), &[240; 3], 8));
    assert!(near(&at(&rgb, 1000), &[20; 3], 8));
    assert_eq!(at(&rgb, 1199), [0x80; 3]);
    let stub = &whole[..whole.len() / 4];
    assert_eq!(refused(stub, MediaType::Heic), Some(Reason::Damaged));
}

#[test]
fn a_jpeg_cut_short_shows_what_it_has() {
    let picture = RgbImage::from_pixel(256, 256, image::Rgb([200, 100, 50]));
    let bytes = jpeg(256, 256, ColorType::Rgb, &picture);
    let half = &bytes[..bytes.len() - bytes.len() / 4];
    let (size, rgb) = shown(half, MediaType::Jpeg, UPRIGHT).expect("has its start");
    assert_eq!((size.width, size.height), (256, 256));
    assert!(near(&rgb[..3], &[200, 100, 50], 4));
    for cut in [2, 20, 200] {
        assert_eq!(
            refused(&bytes[..cut], MediaType::Jpeg),
            Some(Reason::Damaged)
        );
    }
}

/// Headers that claim sizes nobody should allocate, each a few dozen bytes long.
fn bombs() -> Vec<(&'static str, Vec<u8>, MediaType)> {
    let png = |w: u32, h: u32| {
        let header = [&w.to_be_bytes()[..], &h.to_be_bytes(), &[16, 6, 0, 0, 0]].concat();
        let chunk = |kind: &[u8], data: &[u8]| {
            let len = u32::try_from(data.len()).expect("small").to_be_bytes();
            let crc = crc32(&[kind, data].concat()).to_be_bytes();
            [&len[..], kind, data, &crc].concat()
        };
        [
            &b"\x89PNG\r\n\x1a\n"[..],
            &chunk(b"IHDR", &header),
            &chunk(b"IDAT", &[0x78, 0x9c, 0x63, 0, 0]),
        ]
        .concat()
    };
    let mut small = jpeg(16, 16, ColorType::Rgb, &[0; 768]);
    let sof = small
        .windows(2)
        .position(|w| w == [0xff, 0xc0])
        .expect("has a frame");
    small[sof + 5..sof + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    let mut wide = coded(&sample(4, 4).into(), ImageFormat::Bmp);
    wide[18..22].copy_from_slice(&40_000_u32.to_le_bytes());
    let mut tiff = coded(&sample(4, 4).into(), ImageFormat::Tiff);
    let width = tiff
        .windows(4)
        .position(|w| w == [0, 1, 4, 0] || w == [0, 1, 3, 0])
        .expect("has a width");
    tiff[width + 2] = 4;
    tiff[width + 8..width + 12].copy_from_slice(&0x00ff_ffff_u32.to_le_bytes());
    let webp =
        b"RIFF\x20\0\0\0WEBPVP8L\x12\0\0\0\x2f\xfe\xff\xfe\x07\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    vec![
        ("png", png(0x7fff_ffff, 0x7fff_ffff), MediaType::Png),
        ("wide png", png(30_001, 1), MediaType::Png),
        ("deep png", png(9_000, 9_000), MediaType::Png),
        (
            "gif",
            b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02".to_vec(),
            MediaType::Gif,
        ),
        ("jpeg", small, MediaType::Jpeg),
        ("bmp", wide, MediaType::Bmp),
        ("tiff", tiff, MediaType::Tiff),
        ("webp", webp, MediaType::Webp),
    ]
}

/// CRC-32 as PNG has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| {
            if c & 1 == 1 {
                c >> 1 ^ 0xedb8_8320
            } else {
                c >> 1
            }
        })
    })
}

#[test]
fn sizes_of_bombs_are_refused_from_their_headers() {
    for (name, bytes, media) in bombs() {
        let reason = refused(&bytes, media);
        assert!(
            matches!(reason, Some(Reason::TooLarge | Reason::TooMuchMemory)),
            "{name}: {reason:?}"
        );
    }
}

#[test]
fn a_picture_without_a_side_is_damaged() {
    let mut flat = jpeg(16, 16, ColorType::Rgb, &[0; 768]);
    let sof = flat
        .windows(2)
        .position(|w| w == [0xff, 0xc0])
        .expect("has a frame");
    flat[sof + 5..sof + 7].fill(0);
    assert_eq!(refused(&flat, MediaType::Jpeg), Some(Reason::Damaged));
    assert_eq!(refused(b"", MediaType::Png), Some(Reason::Damaged));
    assert_eq!(refused(b"", MediaType::Heic), Some(Reason::Damaged));
    assert_eq!(
        refused(b"\xff\x0a", MediaType::Jxl),
        Some(Reason::NotSupported)
    );
}

#[test]
fn a_wide_gamut_is_brought_into_srgb() {
    let profile = moxcms::ColorProfile::new_display_p3()
        .encode()
        .expect("can be encoded");
    let mut png = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.set_icc_profile(profile).expect("is supported");
    // A green that sRGB has too: less saturated when told in P3's primaries.
    encoder
        .write_image(&[117, 251, 76], 1, 1, ExtendedColorType::Rgb8)
        .expect("can be encoded");
    let (_, rgb) = shown(&png, MediaType::Png, UPRIGHT).expect("can be decoded");
    assert!(near(&rgb, &[0, 255, 0], 4), "{rgb:?}");
}

#[test]
fn pictures_are_shrunk_but_never_enlarged() {
    let picture = sample(100, 40);
    let bytes = coded(&picture.into(), ImageFormat::Png);
    let size = |long_side, turn| {
        let decoded = decode(&bytes, MediaType::Png, Orientation::new(turn)).expect("valid");
        let size = decoded.upright(long_side).expect("valid").size();
        (size.width, size.height)
    };
    assert_eq!(size(100, 1), (100, 40));
    assert_eq!(size(4000, 1), (100, 40));
    assert_eq!(size(50, 1), (50, 20));
    assert_eq!(size(50, 6), (20, 50));
    assert_eq!(size(1, 1), (1, 1));
}
