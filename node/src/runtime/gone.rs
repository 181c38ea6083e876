//! What was deleted, by which device and when: so that a burst of deletions is noticed and can be
//! taken back.
//!
//! ```text
//! gone/ album[16] item[32]   who trashed or purged it and when
//! ```
//!
//! A row follows from its asset alone, so it is the same after the asset is made again.

use std::{collections::BTreeMap, ops::ControlFlow};

use heirloom_protocol::{
    album::asset::Asset,
    id::{AlbumId, DeviceId},
    limits, wire,
};
use serde::{Deserialize, Serialize};

use super::AssetKey;
use crate::store::{Batch, Store, StoreError, Table};

/// More deletions than this by one device in one album within [`SPAN_MS`] are a burst.
const MANY: usize = 50;
/// So are as many as one in this many of an album's items ...
const SHARE: u64 = 5;
/// ... but for the few of a small album.
const FEW: usize = 3;
/// The time within which deletions count together.
const SPAN_MS: u64 = 3600 * 1000;

/// A deletion.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gone {
    /// The device that deleted.
    pub device: DeviceId,
    /// When, by that device's clock: Unix milliseconds.
    pub at: u64,
    /// Whether the item is gone for good and not only in the trash.
    pub purged: bool,
}

/// Many deletions at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Burst {
    /// The device that deleted.
    pub device: DeviceId,
    /// Where.
    pub album: AlbumId,
    /// How many within the hour that begins with `from`.
    pub count: usize,
    /// When the first of them was, Unix milliseconds.
    pub from: u64,
}

fn key_of(key: AssetKey) -> Vec<u8> {
    [&b"gone/"[..], &key.to_bytes()].concat()
}

impl Gone {
    /// The deletion that an asset has come to, if any.
    ///
    /// What time purges out of the trash was deleted by who put it there.
    pub fn of(asset: &Asset) -> Option<Self> {
        let (trashed, purged) = (asset.trashed(), asset.purged());
        let at = |fate: &heirloom_protocol::album::asset::Fate| fate.origin.stamp.hlc.time().0;
        let expired = |trash, purge| at(purge) >= at(trash) + limits::TRASH_MS;
        let fate = match (trashed, purged) {
            (Some(trash), Some(purge)) if expired(trash, purge) => trash,
            (_, Some(purge)) => purge,
            (trash, None) => trash?,
        };
        Some(Self {
            device: fate.origin.stamp.log.device,
            at: at(fate),
            purged: purged.is_some(),
        })
    }

    /// Keeps the row of an asset in step with it.
    pub(super) fn stage(batch: &mut Batch, key: AssetKey, asset: &Asset) {
        match Self::of(asset) {
            Some(gone) => {
                let row = (Table::Receipts, key_of(key), wire::encode(&gone));
                batch.puts.push(row);
            }
            None => batch.deletes.push((Table::Receipts, key_of(key))),
        }
    }
}

/// Every deletion that is known. Costs a row each.
pub fn gone(store: &Store) -> Result<Vec<(AssetKey, Gone)>, StoreError> {
    let mut all = Vec::new();
    store.scan(Table::Receipts, b"gone/", |key, row| {
        let key = key.strip_prefix(b"gone/").and_then(AssetKey::from_bytes);
        let row = row.ok().and_then(|row| wire::decode_row(&row).ok());
        all.extend(key.zip(row));
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

/// The bursts among deletions since a time, the largest of each device in each album.
///
/// `living` is how many items each album has left.
pub fn bursts(
    gone: &[(AssetKey, Gone)],
    living: &BTreeMap<AlbumId, u64>,
    since: u64,
) -> Vec<Burst> {
    let mut times: BTreeMap<(AlbumId, DeviceId), Vec<u64>> = BTreeMap::new();
    for (key, gone) in gone.iter().filter(|(_, gone)| gone.at >= since) {
        let of = times.entry((key.album, gone.device)).or_default();
        of.push(gone.at);
    }
    let mut bursts = Vec::new();
    for ((album, device), mut times) in times {
        times.sort_unstable();
        let Some((count, from)) = densest(&times) else {
            continue;
        };
        let deleted = u64::try_from(count).unwrap_or(u64::MAX);
        let before = living.get(&album).copied().unwrap_or(0) + deleted;
        if count > MANY || (count >= FEW && deleted.saturating_mul(SHARE) >= before) {
            bursts.push(Burst {
                device,
                album,
                count,
                from,
            });
        }
    }
    bursts
}

/// The most of some rising times that lie within [`SPAN_MS`], and the first of these.
fn densest(times: &[u64]) -> Option<(usize, u64)> {
    let mut end = 0;
    let spans = times.iter().enumerate().map(|(start, from)| {
        while times.get(end).is_some_and(|at| at - from < SPAN_MS) {
            end += 1;
        }
        (end - start, *from)
    });
    spans.max_by_key(|(count, from)| (*count, std::cmp::Reverse(*from)))
}

#[cfg(test)]
mod tests {
    use heirloom_protocol::id::OpId;

    use super::*;

    const ALBUM: AlbumId = heirloom_protocol::id::SpaceId([1; 16]);

    fn deleted(times: impl IntoIterator<Item = u64>) -> Vec<(AssetKey, Gone)> {
        let row = |(index, at): (usize, u64)| {
            let mut item = OpId::ZERO;
            item.0[..8].copy_from_slice(&index.to_be_bytes());
            let gone = Gone {
                device: DeviceId([2; 32]),
                at,
                purged: false,
            };
            (AssetKey { album: ALBUM, item }, gone)
        };
        times.into_iter().enumerate().map(row).collect()
    }

    fn burst(times: impl IntoIterator<Item = u64>, living: u64) -> Option<(usize, u64)> {
        let living = BTreeMap::from([(ALBUM, living)]);
        let bursts = bursts(&deleted(times), &living, 100);
        bursts.first().map(|burst| (burst.count, burst.from))
    }

    #[test]
    fn more_than_fifty_within_an_hour_are_a_burst() {
        assert_eq!(burst(200..250, 1_000_000), None);
        assert_eq!(burst(200..251, 1_000_000), Some((51, 200)));
        // Not where they are spread over a longer time.
        let spread = (0..60).map(|nth| 200 + nth * SPAN_MS / 40);
        assert_eq!(burst(spread, 1_000_000), None);
        let later = (0..60)
            .map(|nth| nth * SPAN_MS)
            .chain(7 * SPAN_MS + 1..7 * SPAN_MS + 51);
        assert_eq!(burst(later, 1_000_000), Some((51, 7 * SPAN_MS)));
    }

    #[test]
    fn a_fifth_of_an_album_is_a_burst_and_a_few_of_a_small_one_are_not() {
        assert_eq!(burst(200..204, 16), Some((4, 200)));
        assert_eq!(burst(200..204, 17), None);
        assert_eq!(burst(200..202, 0), None);
        assert_eq!(burst(0..100, 16), None, "long ago");
    }
}
