//! When each device was last connected: rows of their own, since no log tells.

use std::{collections::BTreeMap, ops::ControlFlow};

use heirloom_protocol::{id::DeviceId, time::Timestamp};

use crate::store::{Batch, Store, StoreError, Table};

const PREFIX: &[u8] = b"seen/";

/// When each device was last connected. Devices that never were have none.
pub fn last_seen(store: &Store) -> Result<BTreeMap<DeviceId, Timestamp>, StoreError> {
    let mut seen = BTreeMap::new();
    store.scan(Table::Peers, PREFIX, |key, value| {
        let device = key.strip_prefix(PREFIX).and_then(|id| id.try_into().ok());
        let at = value.ok().and_then(|row| row.try_into().ok());
        if let Some((device, at)) = device.zip(at) {
            seen.insert(DeviceId(device), Timestamp(u64::from_be_bytes(at)));
        }
        ControlFlow::Continue(())
    })?;
    Ok(seen)
}

/// Notes that a device was connected until now. Durable when it returns.
pub(crate) fn note_seen(
    store: &Store,
    device: &DeviceId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let row = now.0.to_be_bytes().to_vec();
    store.commit(&Batch {
        puts: vec![(Table::Peers, [PREFIX, &device.0].concat(), row)],
        ..Batch::default()
    })
}
