//! What photos lose with devices that leave: copies they are to have, or the last original that is known.

use std::collections::BTreeSet;

use heirloom_protocol::{
    id::{AlbumId, DeviceId},
    op::Policy,
    replica::DeviceRow,
};
use serde_json::{Value, json};

use super::{ApiError, pick::flag, problem::Problem};
use crate::{
    catalog::{self, Folded, Held, Item},
    forms::counted,
    node::Node,
    runtime::View,
    store::{Store, StoreError},
};

/// How many photos lose something without some devices.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Loss {
    /// They have as many copies as are wanted, and would not have them.
    pub(super) fewer: u64,
    /// No other device is known to hold their original.
    pub(super) last: u64,
}

impl Loss {
    /// Counts it by what this device knows: devices leave one album, or the family.
    ///
    /// What they promised to give back to who added it counts as lost as well: they may not be met until the
    /// promise ends.
    pub(super) async fn without(
        node: &Node,
        view: &View,
        gone: BTreeSet<DeviceId>,
        album: Option<AlbumId>,
    ) -> Result<Self, ApiError> {
        let (store, view) = (node.store().clone(), view.clone());
        let counted = node.blocking(move || Self::count(&store, &view, &gone, album));
        Ok(counted.await??)
    }

    fn count(
        store: &Store,
        view: &View,
        gone: &BTreeSet<DeviceId>,
        album: Option<AlbumId>,
    ) -> Result<Self, StoreError> {
        let held = Held::of(store);
        let mut loss = Self::default();
        for folded in catalog::read(store, view)?.iter() {
            if folded.is_trashed() {
                continue;
            }
            let is_left = |item: &&Item| album.is_none_or(|album| item.key.album == album);
            let (left, kept): (Vec<_>, Vec<_>) = folded.items.iter().partition(is_left);
            if left.is_empty() {
                continue;
            }
            let here = held.here(&folded)?.original;
            let mut holders = holders(view, &folded.items);
            // Devices that leave one album keep what is in another one, and give it from there.
            let keepers = self::holders(view, kept.iter().copied());
            let wanted = view.copies_wanted_of(&folded);
            let is_safe = view.copies_at(&holders, here).has(wanted);
            let has = |items: &[&Item], holders: &BTreeSet<DeviceId>| {
                let mut rows = view.others().filter(|row| gone.contains(&row.id));
                rows.any(|row| {
                    holders.contains(&row.id) || has_added(view, items.iter().copied(), row)
                })
            };
            let may_go = has(&left, &holders) && !has(&kept, &keepers);
            holders.retain(|device| !gone.contains(device) || keepers.contains(device));
            loss.fewer += u64::from(is_safe && !view.copies_at(&holders, here).has(wanted));
            loss.last += u64::from(may_go && !here && holders.is_empty());
        }
        Ok(loss)
    }

    /// Refuses what takes the last known originals, unless the device is gone anyway or that is meant.
    ///
    /// # Errors
    ///
    /// `E-NOT-ALLOWED`, with the number of photos in `why`.
    pub(super) fn allow(self, body: &Value, who: &str, again: &str) -> Result<(), ApiError> {
        if self.last == 0 || flag(body, "lost") || flag(body, "last") {
            return Ok(());
        }
        let they = self.they();
        Err(self.refusal(who)
            .safe("Nothing was removed.")
            .hint(format!(
                "first let a device that stays keep {they} (heirloom device policy NAME archive, then heirloom sync), or export {they} there. To remove it all the same: {again}"
            )))
    }

    /// Refuses to end a share that takes the last known originals out of reach, unless that is meant.
    ///
    /// # Errors
    ///
    /// As for a removal.
    pub(super) fn allow_end(self, body: &Value, name: &str, again: &str) -> Result<(), ApiError> {
        if self.last == 0 || flag(body, "last") {
            return Ok(());
        }
        let they = self.they();
        Err(self
            .refusal(&format!("those of {name}"))
            .safe(format!(
                "Nothing was changed: the album is still shared, and the devices of {name} still give {they}."
            ))
            .hint(format!(
                "start one of those devices and run heirloom sync on a device that keeps everything (heirloom device policy NAME archive), or wait until that has {they}. To end the share all the same: {again}"
            )))
    }

    fn refusal(self, who: &str) -> ApiError {
        let photos = counted(self.last, "photo", "photos");
        let number = usize::try_from(self.last).unwrap_or(usize::MAX);
        ApiError::not_allowed(&format!(
            "no device but {who} is known to have the originals of {photos}"
        ))
        .why("last", number)
    }

    fn they(self) -> &'static str {
        if self.last == 1 { "it" } else { "them" }
    }

    /// Adds both numbers to a summary.
    pub(super) fn tell(self, summary: &mut Value) {
        summary["fewer"] = json!(self.fewer);
        summary["last"] = json!(self.last);
    }
}

/// The other live devices that say they hold an asset, by some of its items.
fn holders<'a>(view: &View, items: impl IntoIterator<Item = &'a Item>) -> BTreeSet<DeviceId> {
    let items = items.into_iter().map(|item| &item.asset);
    let mut holders = view.peers.holders_of(items, view.person);
    holders.retain(|device| view.witnesses.contains_key(device));
    holders
}

/// Whether a photo's original is on no device of the family, as far as this one can know; it is not here.
pub(super) fn is_nowhere(view: &View, folded: &Folded) -> bool {
    who_may_have(view, folded).is_empty()
}

/// The other devices that have a photo's original, or may have it as far as this one can know.
///
/// Who has added it, and who keeps everything, may have it before they have said so.
pub(super) fn who_may_have(view: &View, folded: &Folded) -> BTreeSet<DeviceId> {
    let may_have = |row: &&DeviceRow| {
        let keeps = row.policy == Policy::Archive
            && view.may_hold(row, folded)
            && !view.peers.has_told(&row.id);
        keeps || has_added(view, &folded.items, row)
    };
    let others = view.others().filter(may_have).map(|row| row.id);
    let holders = holders(view, &folded.items).into_iter();
    holders.chain(others).collect()
}

/// That originals are on no device of the family.
pub(super) fn problem(nowhere: u64) -> Option<Problem> {
    let (of, they) = match nowhere {
        1 => ("1 photo".to_owned(), "it"),
        n => (format!("{n} photos"), "them"),
    };
    let text = format!(
        "No device of the family is known to have the original of {of}; what is said of {they} stays, and the small pictures that are here. If a device that was removed, or may not see the album any more, still has {they}, export there (heirloom export DIR) and import here; a card or a backup does as well (heirloom import)."
    );
    (nowhere > 0).then(|| Problem::new("nowhere", json!({"n": nowhere}), text))
}

/// Whether a device added a photo, and has not told since that it let it go. Who may not see it any more gives it to
/// nobody.
fn has_added<'a>(view: &View, items: impl IntoIterator<Item = &'a Item>, row: &DeviceRow) -> bool {
    let items = items.into_iter();
    let seen = items.filter(|item| view.may_hold_album(row, &item.key.album));
    let parts = seen.flat_map(|item| item.asset.all_parts());
    let mut own = parts.filter(|(_, blob)| blob.log.device == row.id);
    own.any(|(_, blob)| !view.peers.has_told_of(&row.id, blob))
}
