//! What photos lose with devices that leave: copies they are to have, or the last original that is known.

use std::collections::BTreeSet;

use heirloom_protocol::{id::DeviceId, op::Policy, replica::DeviceRow};
use serde_json::{Value, json};

use super::{ApiError, pick::flag, problem::Problem};
use crate::{
    catalog::{self, Folded, Held},
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
    /// Counts it by what this device knows.
    pub(super) async fn without(
        node: &Node,
        view: &View,
        gone: BTreeSet<DeviceId>,
    ) -> Result<Self, ApiError> {
        let (store, view) = (node.store().clone(), view.clone());
        let counted = node.blocking(move || Self::count(&store, &view, &gone));
        Ok(counted.await??)
    }

    fn count(store: &Store, view: &View, gone: &BTreeSet<DeviceId>) -> Result<Self, StoreError> {
        let held = Held::of(store);
        let mut loss = Self::default();
        for folded in catalog::read(store, view)?.iter() {
            if folded.is_trashed() {
                continue;
            }
            let here = held.here(&folded)?.original;
            let mut holders = holders(view, &folded);
            let wanted = view.copies_wanted_of(&folded);
            let is_safe = view.copies_at(&holders, here).has(wanted);
            let may_go = gone
                .iter()
                .any(|device| holders.contains(device) || has_added(view, &folded, device));
            holders.retain(|device| !gone.contains(device));
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
        let photos = counted(self.last, "photo", "photos");
        let they = if self.last == 1 { "it" } else { "them" };
        let error = ApiError::not_allowed(&format!(
            "no device but {who} is known to have the originals of {photos}"
        ));
        let number = usize::try_from(self.last).unwrap_or(usize::MAX);
        Err(error
            .safe("Nothing was removed.")
            .why("last", number)
            .hint(format!(
                "first let a device that stays keep {they} (heirloom device policy NAME archive, then heirloom sync), or export {they} there. To remove it all the same: {again}"
            )))
    }

    /// Adds both numbers to a summary.
    pub(super) fn tell(self, summary: &mut Value) {
        summary["fewer"] = json!(self.fewer);
        summary["last"] = json!(self.last);
    }
}

/// The other live devices that say they hold an asset.
fn holders(view: &View, folded: &Folded) -> BTreeSet<DeviceId> {
    let items = folded.items.iter().map(|item| &item.asset);
    let mut holders = view.peers.holders_of(items, view.person);
    holders.retain(|device| view.witnesses.contains_key(device));
    holders
}

/// Whether a photo's original is on no device of the family, as far as this one can know; it is not here.
///
/// Who has added it, and who keeps everything, may have it before they have said so.
pub(super) fn is_nowhere(view: &View, folded: &Folded) -> bool {
    let may_have = |row: &DeviceRow| {
        let keeps = row.policy == Policy::Archive
            && view.may_hold(row, folded)
            && !view.peers.has_told(&row.id);
        keeps || has_added(view, folded, &row.id)
    };
    holders(view, folded).is_empty() && !view.others().any(may_have)
}

/// That originals are on no device of the family.
pub(super) fn problem(nowhere: u64) -> Option<Problem> {
    let (of, they) = match nowhere {
        1 => ("1 photo".to_owned(), "it"),
        n => (format!("{n} photos"), "them"),
    };
    let text = format!(
        "No device of the family is known to have the original of {of}; what is said of {they} stays, and the small pictures that are here. If a device that was removed still has {they}, export there (heirloom export DIR) and import here; a card or a backup does as well (heirloom import)."
    );
    (nowhere > 0).then(|| Problem::new("nowhere", json!({"n": nowhere}), text))
}

/// Whether a device added a photo, and has not told since that it let it go.
fn has_added(view: &View, folded: &Folded, device: &DeviceId) -> bool {
    let parts = folded.items.iter().flat_map(|item| item.asset.all_parts());
    let mut own = parts.filter(|(_, blob)| blob.log.device == *device);
    own.any(|(_, blob)| !view.peers.has_told_of(device, blob))
}
