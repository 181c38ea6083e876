//! JPEG by zune-jpeg, the fastest safe decoder there is; the rest by the `image` crates.

use std::io::Cursor;

use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, png::PngDecoder};
use image::codecs::{tiff::TiffDecoder, webp::WebPDecoder};
use image::error::{ImageError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, Limits};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::{Decoded, Layout, MAX_PIXEL_BYTES, MAX_SIDE, checked};
use crate::import::metadata::Orientation;
use crate::media::{MediaType, Reason};

/// Scans of a progressive JPEG; encoders write about ten.
const MAX_SCANS: usize = 100;

pub(super) fn jpeg(bytes: &[u8], turn: Orientation) -> Result<Decoded, Reason> {
    // Its own bounds would call a picture that is too large damaged: ours follow below.
    let options = DecoderOptions::default()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        // A half-transferred photo shows its half.
        .set_strict_mode(false)
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| jpeg_reason(&e))?;
    let info = decoder.info().ok_or(Reason::Damaged)?;
    let size = checked(u32::from(info.width), u32::from(info.height), 3)?;
    let profile = decoder.icc_profile();
    let data = decoder.decode().map_err(|e| jpeg_reason(&e))?;
    Decoded::new(size, Layout::Rgb, data, turn, profile)
}

fn jpeg_reason(error: &DecodeErrors) -> Reason {
    match error {
        DecodeErrors::Unsupported(_) => Reason::NotSupported,
        DecodeErrors::LargeDimensions(_) => Reason::TooLarge,
        _ => Reason::Damaged,
    }
}

pub(super) fn with_image(
    bytes: &[u8],
    media: MediaType,
    turn: Orientation,
) -> Result<Decoded, Reason> {
    let cursor = Cursor::new(bytes);
    let reason = |e: ImageError| image_reason(&e);
    match media {
        MediaType::Png => finish(
            PngDecoder::with_limits(cursor, limits()).map_err(reason)?,
            turn,
        ),
        MediaType::Gif => finish(GifDecoder::new(cursor).map_err(reason)?, turn),
        MediaType::Webp => finish(WebPDecoder::new(cursor).map_err(reason)?, turn),
        MediaType::Tiff => finish(TiffDecoder::new(cursor).map_err(reason)?, turn),
        _ => finish(BmpDecoder::new(cursor).map_err(reason)?, turn),
    }
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_PIXEL_BYTES);
    limits
}

fn finish(mut decoder: impl ImageDecoder, turn: Orientation) -> Result<Decoded, Reason> {
    let (width, height) = decoder.dimensions();
    let bytes = u64::from(decoder.color_type().bytes_per_pixel());
    let size = checked(width, height, bytes)?;
    decoder.set_limits(limits()).map_err(|e| image_reason(&e))?;
    // A broken profile is no reason to show nothing.
    let profile = decoder.icc_profile().unwrap_or_default();
    let picture = DynamicImage::from_decoder(decoder).map_err(|e| image_reason(&e))?;
    let (layout, data) = if picture.color().has_alpha() {
        (Layout::Rgba, picture.into_rgba8().into_raw())
    } else {
        (Layout::Rgb, picture.into_rgb8().into_raw())
    };
    Decoded::new(size, layout, data, turn, profile)
}

fn image_reason(error: &ImageError) -> Reason {
    match error {
        ImageError::Unsupported(_) => Reason::NotSupported,
        ImageError::Limits(limit) => match limit.kind() {
            LimitErrorKind::InsufficientMemory => Reason::TooMuchMemory,
            _ => Reason::TooLarge,
        },
        _ => Reason::Damaged,
    }
}
