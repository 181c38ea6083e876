//! What the timeline needs to know of one item: less than two hundred bytes, so that all of them fit into memory.

use std::sync::LazyLock;

use heirloom_protocol::{
    album::asset::Asset,
    id::PersonId,
    limits,
    op::{Captured, Field, ItemKind, PartRole},
    wire,
};

use crate::catalog::{CopyId, said};

/// Thirty-seconds of a doubling for each step of a ratio; 128 is a square.
const STEPS: f64 = 32.0;
/// Where one ratio ends and the next begins.
static BORDERS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let border = |step: u8| ((f64::from(step) + 0.5 - 128.0) / STEPS).exp2();
    (0..u8::MAX).map(border).collect()
});
/// Width to height of a picture of unknown size: four to three.
const USUAL: (u32, u32) = (4, 3);

/// One item of an album.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Card {
    /// The first bytes of its content's hash.
    pub(super) content: [u8; 16],
    /// Of what it is a copy, and who added it: what folds it with others of that content.
    pub(super) said: (CopyId, PersonId),
    /// When it was added, as the protocol's clock.
    pub(super) hlc: u64,
    /// Wall time of capture in milliseconds.
    pub(super) wall: Option<i64>,
    /// Whether a person said so.
    pub(super) is_corrected: bool,
    /// Width to height, a step each thirty-second of a doubling.
    pub(super) ratio: u8,
    pub(super) is_video: bool,
    pub(super) is_trashed: bool,
    pub(super) is_favorite: bool,
}

/// The byte of a picture's shape.
pub(super) fn ratio(width: u32, height: u32) -> u8 {
    let (width, height) = match (width, height) {
        (0, _) | (_, 0) => USUAL,
        known => known,
    };
    let shape = f64::from(width) / f64::from(height);
    let below = BORDERS.partition_point(|border| *border <= shape);
    u8::try_from(below).unwrap_or(u8::MAX)
}

/// The word for what an asset is.
pub(in crate::gallery) fn kind(asset: &Asset) -> &'static str {
    let is = |wanted| asset.all_parts().any(|(part, _)| part.role == wanted);
    match asset.added.as_ref().map(|added| added.item.kind) {
        Some(ItemKind::Photo) if is(PartRole::Motion) => "live",
        Some(ItemKind::Photo) if is_raw(asset) => "raw",
        Some(ItemKind::Photo) | None => "photo",
        Some(_) => "video",
    }
}

fn is_raw(asset: &Asset) -> bool {
    let media = asset.added.as_ref().map(|added| added.item.media);
    let media = media.and_then(|code| u8::try_from(code).ok());
    media
        .and_then(crate::media::MediaType::from_code)
        .is_some_and(crate::media::MediaType::is_raw)
}

impl Card {
    /// The card of an item; `None` for one that is not there, or no longer.
    pub(super) fn of(asset: &Asset, me: Option<PersonId>) -> Option<Self> {
        let added = asset.added.as_ref().filter(|_| !asset.is_purged())?;
        let main = added.item.parts.first()?;
        let taken = asset.field(Field::Taken);
        let taken: Option<Captured> =
            taken.and_then(|set| wire::decode(set, limits::TEXT_BYTES).ok());
        let favorite = me.and_then(|me| asset.own_field(Field::Favorite, me));
        Some(Self {
            content: *main.pt_hash.0.first_chunk()?,
            said: said(asset)?,
            hlc: added.origin.stamp.hlc.0,
            wall: taken.unwrap_or(added.item.captured).wall,
            is_corrected: taken.is_some(),
            ratio: ratio(added.item.width, added.item.height),
            is_video: added.item.kind != ItemKind::Photo,
            is_trashed: asset.trashed().is_some(),
            is_favorite: favorite == Some(&[1]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_told_to_a_fiftieth() {
        assert_eq!(ratio(100, 100), 128);
        assert_eq!(ratio(200, 100), 160);
        assert_eq!(ratio(100, 200), 96);
        assert_eq!(ratio(0, 100), ratio(4, 3));
        assert_eq!(ratio(u32::MAX, 1), 255);
        assert_eq!(ratio(1, u32::MAX), 0);
        for (width, height) in [(4032, 3024), (1080, 1920), (6000, 4000), (3, 1), (1, 3)] {
            let told = ((f64::from(ratio(width, height)) - 128.0) / STEPS).exp2();
            let wrong = told / (f64::from(width) / f64::from(height));
            assert!((0.98..1.02).contains(&wrong), "{width}x{height}: {wrong}");
        }
    }
}
