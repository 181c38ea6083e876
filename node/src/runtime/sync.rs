//! What is known of other devices, and the conversations with them.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_protocol::{
    album::asset::Asset,
    id::{DeviceId, LogId},
};
use roaring::RoaringBitmap;

use super::{Runtime, RuntimeError};
use crate::store::EntryRecord;

/// Which blobs other devices say they hold.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Peers {
    have: BTreeMap<DeviceId, BTreeMap<LogId, RoaringBitmap>>,
}

impl Peers {
    /// The devices that hold every original of one of the items.
    pub fn holders_of<'a>(&self, items: impl Iterator<Item = &'a Asset>) -> BTreeSet<DeviceId> {
        let mut holders = BTreeSet::new();
        for asset in items {
            for (device, logs) in &self.have {
                let has = |log: &LogId, ordinal: u32| {
                    logs.get(log).is_some_and(|bits| bits.contains(ordinal))
                };
                let mut blobs = asset.all_parts().map(|(_, blob)| blob).peekable();
                if blobs.peek().is_some() && blobs.all(|blob| has(&blob.log, blob.ordinal)) {
                    holders.insert(*device);
                }
            }
        }
        holders
    }
}

impl Runtime {
    pub(super) fn want_blobs_of(&mut self, _entry: &EntryRecord) {}

    pub(super) fn load_peers(&mut self) -> Result<(), RuntimeError> {
        Ok(())
    }
}
