//! JPEG XL: size and orientation from the codestream's header, EXIF from the container.
//!
//! ISO/IEC 18181-1 (SizeHeader, ImageMetadata) and 18181-2 (boxes).

use super::bmff;
use super::{Found, Orientation, Size, exif, xmp};
use crate::media::source::Source;

pub(super) fn read(source: &mut Source<'_>, found: &mut Found) {
    let size = source.size();
    if source.array(0) == Some([0xff, 0x0a]) {
        read_codestream(source, 0, found);
        return;
    }
    let mut has_size = false;
    for atom in bmff::list(source, 0, size) {
        match &atom.kind {
            b"jxlc" if !has_size => {
                read_codestream(source, atom.at, found);
                has_size = true;
            }
            // Pieces of a codestream are numbered first.
            b"jxlp" if !has_size => {
                read_codestream(source, atom.at + 4, found);
                has_size = true;
            }
            b"Exif" => {
                if let Some(offset) = source.u32(atom.at) {
                    let skip = u64::from(offset) + 4;
                    let at = atom.at.saturating_add(skip);
                    exif::read_block(source, at, atom.len.saturating_sub(skip), found);
                }
            }
            b"xml " => {
                if let Some(packet) = source.bytes(atom.at, atom.len) {
                    xmp::parse(packet).tell(found);
                }
            }
            _ => {}
        }
    }
    // What the codestream says is what decoders do; EXIF is for information only.
    found.container_turn = found.container_turn.or(Some(Orientation::UPRIGHT));
}

fn read_codestream(source: &mut Source<'_>, at: u64, found: &mut Found) {
    let Some(head) = source.up_to(at, 32) else {
        return;
    };
    let Some(body) = head.strip_prefix(&[0xff, 0x0a]) else {
        return;
    };
    let mut bits = Bits {
        bytes: body,
        next: 0,
    };
    let mut parse = || {
        let small = bits.take(1)? == 1;
        let height = side(&mut bits, small)?;
        let ratio = bits.take(3)?;
        let width = match ratio {
            0 => side(&mut bits, small)?,
            1 => height,
            2 => u32::try_from(u64::from(height) * 12 / 10).ok()?,
            3 => u32::try_from(u64::from(height) * 4 / 3).ok()?,
            4 => u32::try_from(u64::from(height) * 3 / 2).ok()?,
            5 => u32::try_from(u64::from(height) * 16 / 9).ok()?,
            6 => u32::try_from(u64::from(height) * 5 / 4).ok()?,
            _ => height.checked_mul(2)?,
        };
        found.stored = Size::new(width, height);
        let all_default = bits.take(1)? == 1;
        let extra_fields = !all_default && bits.take(1)? == 1;
        let orientation = if extra_fields { bits.take(3)? + 1 } else { 1 };
        found.container_turn = Some(Orientation::new(u64::from(orientation)));
        Some(())
    };
    parse();
}

fn side(bits: &mut Bits<'_>, small: bool) -> Option<u32> {
    if small {
        return Some((bits.take(5)? + 1) * 8);
    }
    let width = match bits.take(2)? {
        0 => 9,
        1 => 13,
        2 => 18,
        _ => 30,
    };
    Some(bits.take(width)? + 1)
}

/// Bits from the least significant one on.
struct Bits<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for i in 0..count {
            let byte = u32::from(*self.bytes.get(self.next / 8)?);
            value |= (byte >> (self.next % 8) & 1) << i;
            self.next += 1;
        }
        Some(value)
    }
}
