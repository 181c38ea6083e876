//! When each device was last connected, and which turned this one away: rows of their own, since no log tells.

use std::{collections::BTreeMap, ops::ControlFlow};

use heirloom_protocol::{id::DeviceId, time::Timestamp};

use crate::store::{Batch, Store, StoreError, Table};

const PREFIX: &[u8] = b"seen/";
/// Of devices that ended this one's call without a word.
const AWAY: &[u8] = b"away/";

/// When each device was last connected. Devices that never were have none.
pub fn last_seen(store: &Store) -> Result<BTreeMap<DeviceId, Timestamp>, StoreError> {
    times(store, PREFIX)
}

/// The devices that turned this one away when it called last, and when that was.
///
/// They have proved who they are and ended the connection before a word was said, as those do
/// who know that this device is out of the family.
pub(crate) fn turned_away(store: &Store) -> Result<BTreeMap<DeviceId, Timestamp>, StoreError> {
    times(store, AWAY)
}

fn times(store: &Store, prefix: &[u8]) -> Result<BTreeMap<DeviceId, Timestamp>, StoreError> {
    let mut seen = BTreeMap::new();
    store.scan(Table::Peers, prefix, |key, value| {
        let device = key.strip_prefix(prefix).and_then(|id| id.try_into().ok());
        let at = value.ok().and_then(|row| row.try_into().ok());
        if let Some((device, at)) = device.zip(at) {
            seen.insert(DeviceId(device), Timestamp(u64::from_be_bytes(at)));
        }
        ControlFlow::Continue(())
    })?;
    Ok(seen)
}

/// Notes that a device has turned this one away. Durable when it returns.
pub(crate) fn note_turned_away(
    store: &Store,
    device: &DeviceId,
    now: Timestamp,
) -> Result<(), StoreError> {
    store.commit(&Batch {
        puts: vec![row(AWAY, device, now)],
        ..Batch::default()
    })
}

/// Notes that a device was connected until now. Durable when it returns.
pub(crate) fn note_seen(
    store: &Store,
    device: &DeviceId,
    now: Timestamp,
) -> Result<(), StoreError> {
    store.commit(&Batch {
        puts: vec![row(PREFIX, device, now)],
        deletes: vec![(Table::Peers, [AWAY, &device.0].concat())],
        ..Batch::default()
    })
}

fn row(prefix: &[u8], device: &DeviceId, at: Timestamp) -> (Table, Vec<u8>, Vec<u8>) {
    let key = [prefix, &device.0].concat();
    (Table::Peers, key, at.0.to_be_bytes().to_vec())
}
