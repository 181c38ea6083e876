//! When each device was last connected.

use std::collections::BTreeMap;

use heirloom_protocol::id::DeviceId;

use super::Network;
use crate::{
    runtime::{Runtime, RuntimeError},
    store::{Batch, Store, Table},
};

const PREFIX: &[u8] = b"seen/";

/// When each device was last connected, in Unix milliseconds. Devices that never were have none.
pub fn last_seen(store: &Store) -> Result<BTreeMap<DeviceId, u64>, RuntimeError> {
    let mut seen = BTreeMap::new();
    store.scan(Table::Peers, PREFIX, |key, value| {
        let device = key.strip_prefix(PREFIX).and_then(|id| id.try_into().ok());
        let at = value.ok().and_then(|row| row.try_into().ok());
        if let Some((device, at)) = device.zip(at) {
            seen.insert(DeviceId(device), u64::from_be_bytes(at));
        }
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(seen)
}

impl Network {
    /// Notes that a device was connected until now.
    pub(super) fn note_seen(&self, device: DeviceId) {
        let row = Runtime::now().0.to_be_bytes().to_vec();
        let puts = vec![(Table::Peers, [PREFIX, &device.0].concat(), row)];
        let batch = Batch {
            puts,
            ..Batch::default()
        };
        let store = self.node().store().clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.commit(&batch) {
                tracing::warn!(%error, "when a device was seen could not be kept");
            }
        });
    }
}
