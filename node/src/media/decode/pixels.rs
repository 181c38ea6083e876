//! From decoded to shown: shrunk, freed of alpha, converted to sRGB, turned, in this order.
//!
//! Shrinking first makes all that follows cheap: a photo of 12 megapixels becomes one of three.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use moxcms::{ColorProfile, TransformOptions};

use super::{Decoded, Layout};
use crate::import::metadata::{Orientation, Size};
use crate::media::{Reason, index};

/// Blocks of pixels turned together, so that both sides stay in the cache.
const BLOCK: u32 = 32;
/// Bytes of a profile searched for its name.
const PROFILE_NAME_WITHIN: usize = 4096;

/// An upright picture in sRGB, three bytes a pixel.
#[derive(Clone, PartialEq, Eq)]
pub struct Pixels {
    size: Size,
    rgb: Vec<u8>,
}

impl Pixels {
    /// Wraps rows of red, green and blue; `None` unless they are exactly as many as the size
    /// says.
    #[must_use]
    pub fn new(size: Size, rgb: Vec<u8>) -> Option<Self> {
        let expected = index(size.width).checked_mul(index(size.height))?;
        (Some(rgb.len()) == expected.checked_mul(3)).then_some(Self { size, rgb })
    }

    /// Width and height.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }

    /// Rows of red, green and blue.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// A copy whose longer side has at most `long_side` pixels; never enlarged.
    pub fn shrunk(&self, long_side: u32) -> Result<Self, Reason> {
        let size = shrunk_size(self.size, long_side);
        if size == self.size {
            return Ok(self.clone());
        }
        let rgb = resize(self.size, &self.rgb, size, PixelType::U8x3)?;
        Ok(Self { size, rgb })
    }
}

/// The size of a picture whose longer side has at most `long_side` pixels; never enlarged, no
/// side below one pixel.
fn shrunk_size(size: Size, long_side: u32) -> Size {
    let long = size.width.max(size.height);
    if long <= long_side {
        return size;
    }
    let side = |n: u32| {
        let scaled = (u64::from(n) * u64::from(long_side) + u64::from(long) / 2) / u64::from(long);
        u32::try_from(scaled)
            .expect("smaller than the side it is made from")
            .max(1)
    };
    Size {
        width: side(size.width),
        height: side(size.height),
    }
}

impl Decoded {
    pub(super) fn new(
        size: Size,
        layout: Layout,
        data: Vec<u8>,
        turn: Orientation,
        profile: Option<Vec<u8>>,
    ) -> Result<Self, Reason> {
        let pixels = index(size.width) * index(size.height);
        let channels = match layout {
            Layout::Rgb => 3,
            Layout::Rgba => 4,
        };
        if data.len() != pixels * channels {
            return Err(Reason::Damaged);
        }
        Ok(Self {
            size,
            layout,
            data,
            turn,
            profile: profile.filter(|p| !is_srgb(p)),
        })
    }

    /// The size a person sees: the coded one after turning.
    #[must_use]
    pub fn shown(&self) -> Size {
        self.size.turned(self.turn.code())
    }

    /// Gives the pixels: shrunk to at most `long_side`, on white where they were transparent,
    /// in sRGB, upright.
    pub fn upright(self, long_side: u32) -> Result<Pixels, Reason> {
        let size = shrunk_size(self.size, long_side);
        let kind = match self.layout {
            Layout::Rgb => PixelType::U8x3,
            Layout::Rgba => PixelType::U8x4,
        };
        let data = if size == self.size {
            self.data
        } else {
            resize(self.size, &self.data, size, kind)?
        };
        let rgb = match self.layout {
            Layout::Rgb => data,
            Layout::Rgba => on_white(&data),
        };
        let rgb = match self.profile {
            Some(profile) => to_srgb(&profile, rgb),
            None => rgb,
        };
        Ok(turned(size, rgb, self.turn))
    }
}

fn resize(from: Size, data: &[u8], to: Size, kind: PixelType) -> Result<Vec<u8>, Reason> {
    let source = ImageRef::new(from.width, from.height, data, kind).map_err(|_| Reason::Damaged)?;
    let mut target = Image::new(to.width, to.height, kind);
    // Lanczos keeps hair and leaves sharp. Alpha is multiplied in and out again, so that what is
    // transparent lends no colour to its neighbours.
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .use_alpha(true);
    Resizer::new()
        .resize(&source, &mut target, &options)
        .map_err(|_| Reason::Damaged)?;
    Ok(target.into_vec())
}

fn on_white(rgba: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(rgba.len() / 4 * 3);
    for pixel in rgba.chunks_exact(4) {
        let alpha = u32::from(pixel[3]);
        for channel in &pixel[..3] {
            let mixed = (u32::from(*channel) * alpha + 255 * (255 - alpha) + 127) / 255;
            rgb.push(u8::try_from(mixed).expect("a mean of two bytes is a byte"));
        }
    }
    rgb
}

/// Most profiles are sRGB under one of its names, and need no work.
fn is_srgb(profile: &[u8]) -> bool {
    let head = profile.get(..PROFILE_NAME_WITHIN).unwrap_or(profile);
    let has = |name: &[u8]| head.windows(name.len()).any(|w| w == name);
    has(b"sRGB") || has(b"s\0R\0G\0B")
}

/// Converts by a profile; one that makes no sense changes nothing.
fn to_srgb(profile: &[u8], rgb: Vec<u8>) -> Vec<u8> {
    let convert = || {
        let from = ColorProfile::new_from_slice(profile).ok()?;
        let transform = from
            .create_transform_8bit(
                moxcms::Layout::Rgb,
                &ColorProfile::new_srgb(),
                moxcms::Layout::Rgb,
                TransformOptions::default(),
            )
            .ok()?;
        let mut converted = vec![0; rgb.len()];
        transform.transform(&rgb, &mut converted).ok()?;
        Some(converted)
    };
    match convert() {
        Some(converted) => converted,
        None => rgb,
    }
}

/// Turns a picture as its EXIF orientation says.
fn turned(size: Size, rgb: Vec<u8>, turn: Orientation) -> Pixels {
    if turn == Orientation::UPRIGHT {
        return Pixels { size, rgb };
    }
    let target = size.turned(turn.code());
    let (right, bottom) = (size.width - 1, size.height - 1);
    // For each place in the new picture, the one in the old that it shows.
    let origin = |x: u32, y: u32| match turn.code() {
        2 => (right - x, y),
        3 => (right - x, bottom - y),
        4 => (x, bottom - y),
        5 => (y, x),
        6 => (y, bottom - x),
        7 => (right - y, bottom - x),
        8 => (right - y, x),
        _ => (x, y),
    };
    let at = |x: u32, y: u32, width: u32| (index(y) * index(width) + index(x)) * 3;
    let mut out = vec![0; rgb.len()];
    for top in (0..target.height).step_by(index(BLOCK)) {
        for left in (0..target.width).step_by(index(BLOCK)) {
            for y in top..target.height.min(top + BLOCK) {
                for x in left..target.width.min(left + BLOCK) {
                    let (from_x, from_y) = origin(x, y);
                    let from = at(from_x, from_y, size.width);
                    let to = at(x, y, target.width);
                    out[to..to + 3].copy_from_slice(&rgb[from..from + 3]);
                }
            }
        }
    }
    Pixels {
        size: target,
        rgb: out,
    }
}
