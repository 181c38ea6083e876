//! HEIF and AVIF: size, turn and metadata items of the primary picture (ISO/IEC 23008-12).
//!
//! Only the `meta` box is read whole. The container turns the picture (`irot`, `imir`); the
//! orientation in its EXIF is a copy for readers of old and must not turn it again.

use std::io::Cursor;

use heifer::heifer_isobmff::boxes::{ConstructionMethod, Extent, Property};
use heifer::heifer_isobmff::{HeifFile, Item, ItemId};

use super::bmff::{self, Atom};
use super::{Found, Orientation, Size, exif, xmp};
use crate::media::source::Source;

/// The largest `meta` box read; a grid of 100 tiles needs 20 KiB.
const MAX_META_BYTES: u64 = 1 << 20;

pub(super) fn read(source: &mut Source<'_>, found: &mut Found) {
    let size = source.size();
    let atoms = bmff::list(source, 0, size);
    // Without irot and imir the picture is shown as it is coded, whatever EXIF says.
    found.container_turn = Some(Orientation::UPRIGHT);
    found.motion |= atoms.iter().any(|a| &a.kind == b"mpvd");
    let (Some(ftyp), Some(meta)) = (first(&atoms, *b"ftyp"), first(&atoms, *b"meta")) else {
        return;
    };
    let Some(head) = join(source, &[ftyp, meta]) else {
        return;
    };
    let Ok(file) = HeifFile::parse(&head) else {
        return;
    };
    read_properties(&file, found);
    let idat = idat_of(source, &meta);
    for item in metadata_items(&file) {
        let Some(bytes) = item_bytes(source, item, idat) else {
            continue;
        };
        match &item.item_type.0 {
            b"Exif" => read_exif(&bytes, found),
            b"mime" => xmp::parse(&bytes).tell(found),
            _ => {}
        }
    }
}

fn first(atoms: &[Atom], kind: [u8; 4]) -> Option<Atom> {
    atoms.iter().find(|a| a.kind == kind).copied()
}

/// The boxes alone, as a small file of their own.
fn join(source: &mut Source<'_>, atoms: &[Atom]) -> Option<Vec<u8>> {
    let mut joined = Vec::new();
    for atom in atoms {
        if atom.len > MAX_META_BYTES {
            return None;
        }
        let whole = u32::try_from(atom.len + 8).ok()?;
        joined.extend(whole.to_be_bytes());
        joined.extend(atom.kind);
        joined.extend(source.bytes(atom.at, atom.len)?);
    }
    Some(joined)
}

fn read_properties(file: &HeifFile<'_>, found: &mut Found) {
    let Ok(properties) = file.item_properties(file.primary_id) else {
        return;
    };
    let mut turn = Turn::default();
    for property in properties {
        match *property {
            Property::ImageSize { width, height } => found.stored = Size::new(width, height),
            Property::CleanAperture { width, height, .. } => {
                let side = |(over, under): (u32, u32)| over.checked_div(under);
                let crop = side(width)
                    .zip(side(height))
                    .and_then(|(w, h)| Size::new(w, h));
                found.cropped = found.stored.zip(crop).map(|(whole, crop)| Size {
                    width: whole.width.min(crop.width),
                    height: whole.height.min(crop.height),
                });
            }
            Property::Rotation(quarters) => turn.rotate_ccw(quarters),
            Property::Mirror(top_bottom) => turn.mirror(top_bottom),
            _ => {}
        }
    }
    found.container_turn = Some(turn.orientation());
}

/// A turn, then perhaps a mirroring left to right: all eight ways to hold a picture.
#[derive(Debug, Clone, Copy, Default)]
struct Turn {
    quarters_cw: u8,
    mirrored: bool,
}

impl Turn {
    fn rotate_ccw(&mut self, quarters: u8) {
        // Behind a mirror, the other way round.
        let cw = if self.mirrored {
            quarters
        } else {
            4 - quarters % 4
        };
        self.quarters_cw = (self.quarters_cw + cw) % 4;
    }

    fn mirror(&mut self, top_bottom: bool) {
        self.mirrored = !self.mirrored;
        if top_bottom {
            self.rotate_ccw(2);
        }
    }

    fn orientation(self) -> Orientation {
        let codes = if self.mirrored {
            [2, 5, 4, 7]
        } else {
            [1, 6, 3, 8]
        };
        Orientation::new(codes[usize::from(self.quarters_cw % 4)])
    }
}

/// EXIF and XMP of the primary picture: those that describe it, else any there are.
fn metadata_items<'f>(file: &'f HeifFile<'_>) -> Vec<&'f Item> {
    let is_metadata = |item: &&Item| {
        item.item_type.0 == *b"Exif"
            || (item.item_type.0 == *b"mime"
                && item.content_type.as_deref() == Some("application/rdf+xml"))
    };
    let describing: Vec<ItemId> = file.referencing_items(file.primary_id, b"cdsc");
    let all: Vec<&Item> = file.items.iter().filter(is_metadata).take(8).collect();
    let own: Vec<&Item> = all
        .iter()
        .copied()
        .filter(|i| describing.contains(&i.id))
        .collect();
    if own.is_empty() { all } else { own }
}

/// Where the content of `idat` stands, for items that are kept inside `meta`.
fn idat_of(source: &mut Source<'_>, meta: &Atom) -> Option<Atom> {
    let children = bmff::list(source, meta.at.checked_add(4)?, meta.end());
    first(&children, *b"idat")
}

fn item_bytes(source: &mut Source<'_>, item: &Item, idat: Option<Atom>) -> Option<Vec<u8>> {
    let location = item.location.as_ref()?;
    let mut bytes = Vec::new();
    for extent in location.extents.iter().take(16) {
        let at = match location.construction_method {
            ConstructionMethod::File => extent.offset,
            ConstructionMethod::Idat => idat?.at.checked_add(extent.offset)?,
            ConstructionMethod::Item => return None,
        };
        // Length 0 stands for "to the end"; nobody writes metadata so.
        let Extent { length, .. } = *extent;
        let held = u64::try_from(bytes.len()).ok()?;
        if length == 0 || held.checked_add(length)? > MAX_META_BYTES {
            return None;
        }
        bytes.extend_from_slice(source.up_to(at, length)?);
    }
    Some(bytes)
}

/// An Exif item: four bytes that say how far behind them the TIFF header stands.
fn read_exif(bytes: &[u8], found: &mut Found) {
    let Some(offset) = bytes.first_chunk::<4>().map(|b| u32::from_be_bytes(*b)) else {
        return;
    };
    let Ok(size) = u64::try_from(bytes.len()) else {
        return;
    };
    let at = u64::from(offset) + 4;
    let mut cursor = Cursor::new(bytes);
    let mut inner = Source::new(&mut cursor, size, 2 * MAX_META_BYTES);
    exif::read_block(&mut inner, at, size.saturating_sub(at), found);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_and_mirrors_add_up_to_the_eight_orientations() {
        // (anti-clockwise quarters, mirror) in the order of the file, as EXIF numbers them.
        for (quarters, mirror, code) in [
            (0, None, 1),
            (1, None, 8),
            (2, None, 3),
            (3, None, 6),
            (0, Some(false), 2),
            (0, Some(true), 4),
            (3, Some(false), 5),
            (1, Some(false), 7),
            (1, Some(true), 5),
            (3, Some(true), 7),
        ] {
            let mut turn = Turn::default();
            turn.rotate_ccw(quarters);
            if let Some(top_bottom) = mirror {
                turn.mirror(top_bottom);
            }
            assert_eq!(
                turn.orientation().code(),
                code,
                "{quarters} quarters, {mirror:?}"
            );
        }
    }

    #[test]
    fn a_mirror_before_a_turn_counts_too() {
        let mut turn = Turn::default();
        turn.mirror(false);
        turn.rotate_ccw(1);
        // Mirrored, then turned anti-clockwise: what EXIF calls 5 (transposed).
        assert_eq!(turn.orientation().code(), 5);
    }
}
