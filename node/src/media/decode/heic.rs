//! HEIC by heifer, which crops and turns as the container says and converts to sRGB.
//!
//! A file cut short by a broken transfer still holds its first tiles: those are shown, grey
//! where the rest is missing.

use heifer::heifer_isobmff::boxes::Property;
use heifer::heifer_isobmff::{HeifFile, ItemId, read_box_header};
use heifer::{Error, Image, Options};

use super::{Decoded, Layout, MAX_PIXELS, checked};
use crate::import::metadata::Orientation;
use crate::media::{Reason, index};

/// heifer holds 4 bytes a pixel, twice while it turns or converts: what fits the worker.
const BYTES_PER_PIXEL: u64 = 4;
/// One grey for what is missing.
const MISSING: u8 = 0x80;

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Reason> {
    let options = Options {
        // The worker may not start threads; several workers run side by side.
        max_threads: 1,
        max_pixels: MAX_PIXELS,
    };
    let mended = mend(bytes);
    let bytes = mended.as_deref().unwrap_or(bytes);
    let file = HeifFile::parse(bytes).map_err(|e| reason(&e.into()))?;
    if let Ok(Some((width, height))) = file.image_size(file.primary_id) {
        checked(width, height, BYTES_PER_PIXEL)?;
    }
    match heifer::decode_srgb_rgba8(bytes, &options) {
        Ok(image) => finish(image),
        // Colours that cannot be converted (HDR) are shown as they are coded.
        Err(Error::Unsupported(_)) => {
            let image = heifer::decode_rgba8(bytes, &options).map_err(|e| reason(&e))?;
            finish(image)
        }
        Err(error) => salvage(&file).ok_or(reason(&error)),
    }
}

fn finish(image: Image<u8>) -> Result<Decoded, Reason> {
    let size = checked(image.width, image.height, BYTES_PER_PIXEL)?;
    let layout = if image.has_alpha {
        Layout::Rgba
    } else {
        Layout::Rgb
    };
    let data = if image.has_alpha {
        image.data
    } else {
        image.into_rgb8()
    };
    Decoded::new(size, layout, data, Orientation::UPRIGHT, None)
}

fn reason(error: &Error) -> Reason {
    match error {
        Error::Unsupported(_) => Reason::NotSupported,
        _ => Reason::Damaged,
    }
}

/// Makes a last box that claims more than there is end with the file.
fn mend(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).filter(|r| !r.is_empty())?;
        let header = read_box_header(rest).ok()?;
        let whole = usize::try_from(header.size?).ok()?;
        if whole <= rest.len() {
            at += whole;
            continue;
        }
        if &header.box_type.0 != b"mdat" {
            return None;
        }
        // A size of 0 stands for "to the end of the file".
        let mut mended = bytes.to_vec();
        mended.get_mut(at..at + 4)?.fill(0);
        return Some(mended);
    }
}

/// Puts together the tiles that can be decoded; `None` when none can.
fn salvage(file: &HeifFile<'_>) -> Option<Decoded> {
    let id = file.primary_id;
    let grid = file.grid(id).ok()?;
    let size = checked(grid.output_width, grid.output_height, BYTES_PER_PIXEL).ok()?;
    let tiles: Vec<ItemId> = file.referenced_items(id, b"dimg").to_vec();
    let (tile_width, tile_height) = file.image_size(*tiles.first()?).ok()??;
    let columns = usize::from(grid.columns);
    let mut canvas = Canvas::new(size.width, size.height);
    let mut shown = 0;
    for (i, tile) in tiles.iter().enumerate() {
        let Ok(image) = heifer::decode_item(file, *tile, 1) else {
            continue;
        };
        if (image.width, image.height) != (tile_width, tile_height) {
            continue;
        }
        shown += 1;
        canvas.put(
            (i % columns) * index(tile_width),
            (i / columns) * index(tile_height),
            index(tile_width),
            &image.to_rgb8(),
        );
    }
    if shown == 0 {
        return None;
    }
    let image = transformed(file, canvas.into_image(size.width, size.height))?;
    let size = checked(image.width, image.height, BYTES_PER_PIXEL).ok()?;
    let profile = file.icc_profile(id).ok().flatten().map(<[u8]>::to_vec);
    let data = image.into_rgb8();
    Decoded::new(size, Layout::Rgb, data, Orientation::UPRIGHT, profile).ok()
}

/// Turns and mirrors as heifer would have done.
fn transformed(file: &HeifFile<'_>, mut image: Image<u8>) -> Option<Image<u8>> {
    for property in file.item_properties(file.primary_id).ok()? {
        image = match *property {
            Property::Rotation(quarters) if quarters != 0 => image.rotate_ccw(quarters),
            Property::Mirror(top_bottom) => image.mirror(top_bottom),
            _ => image,
        };
    }
    Some(image)
}

struct Canvas {
    width: usize,
    rgba: Vec<u8>,
}

impl Canvas {
    fn new(width: u32, height: u32) -> Self {
        let (width, height) = (index(width), index(height));
        Self {
            width,
            rgba: [MISSING, MISSING, MISSING, 0xff].repeat(width * height),
        }
    }

    fn put(&mut self, x: usize, y: usize, tile_width: usize, rgb: &[u8]) {
        let visible = tile_width.min(self.width.saturating_sub(x));
        for (row, line) in rgb.chunks_exact(tile_width * 3).enumerate() {
            let at = ((y + row) * self.width + x) * 4;
            let Some(into) = self.rgba.get_mut(at..at + visible * 4) else {
                return;
            };
            for (to, from) in into.chunks_exact_mut(4).zip(line.chunks_exact(3)) {
                to[..3].copy_from_slice(from);
            }
        }
    }

    fn into_image(self, width: u32, height: u32) -> Image<u8> {
        Image {
            width,
            height,
            bit_depth: 8,
            has_alpha: false,
            data: self.rgba,
        }
    }
}
