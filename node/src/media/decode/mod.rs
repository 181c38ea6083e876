//! Coded pictures into pixels: JPEG, PNG, GIF, WebP, TIFF, BMP, HEIC, and the JPEG inside raw.
//!
//! Sizes are checked from the header before anything is allocated; only the first picture of an
//! animation is decoded. [`Decoded`] gives its pixels away once, upright and in sRGB, so that no
//! picture is turned twice or not at all. Meant to run inside the worker process.

mod heic;
mod pixels;
mod raster;
mod raw;
#[cfg(test)]
mod tests;

pub use self::pixels::Pixels;
pub use self::raw::embedded_jpeg;
use super::Reason;
use super::sniff::MediaType;
use crate::import::metadata::{Orientation, Size};

/// The longest side that is decoded, in pixels.
pub const MAX_SIDE: u32 = 30_000;
/// The most pixels that are decoded.
pub const MAX_PIXELS: u64 = 100_000_000;
/// The most bytes of pixels held at once: 100 megapixels at 3 bytes.
pub const MAX_PIXEL_BYTES: u64 = 300_000_000;
/// The longest coded still that is read.
pub const MAX_FILE_BYTES: u64 = 200 << 20;

/// How pixels lie in memory, 8 bits a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Rgb,
    Rgba,
}

/// A decoded picture, not yet turned.
pub struct Decoded {
    size: Size,
    layout: Layout,
    data: Vec<u8>,
    turn: Orientation,
    /// A colour profile that is not sRGB.
    profile: Option<Vec<u8>>,
}

/// Whether there is a decoder for this format.
#[must_use]
pub fn is_supported(media: MediaType) -> bool {
    media.is_raw()
        || matches!(
            media,
            MediaType::Jpeg
                | MediaType::Png
                | MediaType::Gif
                | MediaType::Webp
                | MediaType::Tiff
                | MediaType::Bmp
                | MediaType::Heic
        )
}

/// Decodes the first picture of a still.
///
/// `orientation` is what its EXIF says; HEIC turns itself and ignores it. Hostile bytes cost at
/// most the limits above, but decoders are foreign code: a panic or worse is possible, which is
/// why this runs in a process of its own.
pub fn decode(bytes: &[u8], media: MediaType, orientation: Orientation) -> Result<Decoded, Reason> {
    let length = u64::try_from(bytes.len()).map_err(|_| Reason::TooLarge)?;
    if length > MAX_FILE_BYTES {
        return Err(Reason::TooLarge);
    }
    match media {
        MediaType::Jpeg => raster::jpeg(bytes, orientation),
        MediaType::Heic => heic::decode(bytes),
        MediaType::Png | MediaType::Gif | MediaType::Webp | MediaType::Tiff | MediaType::Bmp => {
            raster::with_image(bytes, media, orientation)
        }
        _ => Err(Reason::NotSupported),
    }
}

/// Accepts a size that may be decoded at so many bytes a pixel.
fn checked(width: u32, height: u32, bytes_per_pixel: u64) -> Result<Size, Reason> {
    let size = Size::new(width, height).ok_or(match width == 0 || height == 0 {
        true => Reason::Damaged,
        false => Reason::TooLarge,
    })?;
    let pixels = u64::from(width) * u64::from(height);
    if width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS {
        return Err(Reason::TooLarge);
    }
    if pixels * bytes_per_pixel > MAX_PIXEL_BYTES {
        return Err(Reason::TooMuchMemory);
    }
    Ok(size)
}
