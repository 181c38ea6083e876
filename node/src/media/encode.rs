//! Pixels into what travels: a preview, a thumbnail, and a hash that blurs into a placeholder.
//!
//! Nothing of the original's metadata is in any of them; they are upright and in sRGB, because
//! browsers differ on both.

use jpeg_encoder::{ColorType, Encoder};

use super::decode::{Decoded, Pixels};
use super::{Reason, index};
use crate::import::metadata::Size;

/// The longer side of a preview, in pixels.
pub const PREVIEW_SIDE: u32 = 2048;
/// The longer side of a thumbnail, in pixels.
pub const THUMBNAIL_SIDE: u32 = 512;
/// The most bytes a preview can have: noise at full size needs half of it.
pub const MAX_PREVIEW_BYTES: usize = 8 << 20;
/// The most bytes a thumbnail can have.
pub const MAX_THUMBNAIL_BYTES: usize = 1 << 20;
/// The most bytes a ThumbHash can have.
pub const MAX_THUMBHASH_BYTES: usize = 25;

const QUALITY: u8 = 80;
/// The longer side a ThumbHash is made from; its inventor's limit.
const THUMBHASH_SIDE: u32 = 100;

/// The pictures made of a photo. The JPEGs carry no metadata.
#[derive(Clone, PartialEq, Eq)]
pub struct Previews {
    /// The original's size as a person sees it.
    pub shown: Size,
    /// JPEG, longer side at most [`PREVIEW_SIDE`], never larger than the original.
    pub preview: Vec<u8>,
    /// The preview's size.
    pub preview_size: Size,
    /// JPEG, longer side at most [`THUMBNAIL_SIDE`].
    pub thumbnail: Vec<u8>,
    /// The thumbnail's size.
    pub thumbnail_size: Size,
    /// ThumbHash of the thumbnail, at most [`MAX_THUMBHASH_BYTES`].
    pub thumbhash: Vec<u8>,
}

impl Previews {
    /// Makes all three: the preview from the original, the thumbnail from the preview, the hash
    /// from the thumbnail.
    pub fn make(original: Decoded) -> Result<Self, Reason> {
        let shown = original.shown();
        let preview = original.upright(PREVIEW_SIDE)?;
        let thumbnail = preview.shrunk(THUMBNAIL_SIDE)?;
        Ok(Self {
            shown,
            preview: jpeg(&preview)?,
            preview_size: preview.size(),
            thumbnail: jpeg(&thumbnail)?,
            thumbnail_size: thumbnail.size(),
            thumbhash: thumbhash(&thumbnail.shrunk(THUMBHASH_SIDE)?),
        })
    }
}

fn jpeg(pixels: &Pixels) -> Result<Vec<u8>, Reason> {
    let Size { width, height } = pixels.size();
    let side = |n: u32| u16::try_from(n).map_err(|_| Reason::TooLarge);
    let mut out = Vec::new();
    Encoder::new(&mut out, QUALITY)
        .encode(pixels.rgb(), side(width)?, side(height)?, ColorType::Rgb)
        .map_err(|_| Reason::Damaged)?;
    Ok(out)
}

fn thumbhash(pixels: &Pixels) -> Vec<u8> {
    let Size { width, height } = pixels.size();
    let rgba: Vec<u8> = pixels
        .rgb()
        .chunks_exact(3)
        .flat_map(|p| [p[0], p[1], p[2], 0xff])
        .collect();
    thumbhash::rgba_to_thumb_hash(index(width), index(height), &rgba)
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::super::decode::decode;
    use super::*;
    use crate::import::metadata::{Orientation, read};
    use crate::media::MediaType;

    fn make(width: u32, height: u32, turn: u64) -> Previews {
        let picture = RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([x.to_le_bytes()[0], y.to_le_bytes()[0], 128])
        });
        let mut png = std::io::Cursor::new(Vec::new());
        picture
            .write_to(&mut png, image::ImageFormat::Png)
            .expect("can be encoded");
        let decoded = decode(png.get_ref(), MediaType::Png, Orientation::new(turn));
        Previews::make(decoded.expect("can be decoded")).expect("can be made")
    }

    fn sides(size: Size) -> (u32, u32) {
        (size.width, size.height)
    }

    #[test]
    fn previews_have_their_sizes_and_say_nothing_of_the_original() {
        let p = make(2560, 1280, 8);
        assert_eq!(sides(p.shown), (1280, 2560));
        assert_eq!(sides(p.preview_size), (1024, 2048));
        assert_eq!(sides(p.thumbnail_size), (256, 512));
        for (bytes, size) in [
            (&p.preview, p.preview_size),
            (&p.thumbnail, p.thumbnail_size),
        ] {
            let length = u64::try_from(bytes.len()).expect("small");
            let mut cursor = std::io::Cursor::new(bytes);
            let metadata = read(&mut cursor, MediaType::Jpeg, length);
            assert_eq!(metadata.stored, Some(size));
            assert_eq!(metadata.orientation, Orientation::UPRIGHT);
            // APP1 to APP15 and comments: where metadata would be.
            let segments = bytes.windows(2).take_while(|w| *w != [0xff, 0xda]);
            assert!(
                !segments
                    .into_iter()
                    .any(|w| w[0] == 0xff && matches!(w[1], 0xe1..=0xef | 0xfe))
            );
        }
    }

    #[test]
    fn small_and_thin_pictures_are_kept_as_large_as_they_are() {
        let p = make(1, 1, 1);
        assert_eq!(
            (sides(p.preview_size), sides(p.thumbnail_size)),
            ((1, 1), (1, 1))
        );
        assert!((5..=MAX_THUMBHASH_BYTES).contains(&p.thumbhash.len()));
        let p = make(3000, 1, 1);
        assert_eq!(sides(p.preview_size), (2048, 1));
        assert_eq!(sides(p.thumbnail_size), (512, 1));
        let p = make(600, 700, 3);
        assert_eq!(sides(p.preview_size), (600, 700));
    }

    #[test]
    fn hashes_fit_their_room_for_every_shape() {
        for (width, height) in [(100, 100), (100, 1), (1, 100), (100, 37), (64, 100)] {
            let hash = make(width, height, 1).thumbhash;
            assert!(
                (5..=MAX_THUMBHASH_BYTES).contains(&hash.len()),
                "{}",
                hash.len()
            );
        }
    }
}
