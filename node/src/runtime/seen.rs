//! When each device was last connected, where it was then, and which turned this one away: rows of their own,
//! since no log tells.

use std::{collections::BTreeMap, ops::ControlFlow};

use heirloom_protocol::{id::DeviceId, time::Timestamp};

use crate::store::{Batch, Store, StoreError, Table};

const PREFIX: &[u8] = b"seen/";
/// Of devices that ended this one's call without a word.
const AWAY: &[u8] = b"away/";
/// When a device was last met near and when elsewhere.
const MET: &[u8] = b"met/";
/// When somebody last came in from elsewhere at an address of this device.
const CAME: &[u8] = b"came/";

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

/// Where and when a device was met. Times are of this device's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Met {
    /// In the network of this device, or as if it were: at a private address.
    pub(crate) near: Option<Timestamp>,
    /// Through a relay, or at an address of the internet that is not of this home.
    pub(crate) elsewhere: Option<Timestamp>,
}

impl Met {
    /// Whether it was elsewhere when it was met last.
    pub(crate) fn was_elsewhere(&self) -> bool {
        self.elsewhere > self.near
    }

    fn of_row(row: [u8; 16]) -> Self {
        let [near, elsewhere] = [&row[..8], &row[8..]].map(|half| {
            let half = half.try_into().map_or(0, u64::from_be_bytes);
            (half > 0).then_some(Timestamp(half))
        });
        Self { near, elsewhere }
    }

    fn row(&self) -> Vec<u8> {
        let halves = [self.near, self.elsewhere].map(|at| at.map_or(0, |at| at.0).to_be_bytes());
        halves.concat()
    }
}

/// Where and when devices were met. Devices that never were have none.
pub(crate) fn met(store: &Store) -> Result<BTreeMap<DeviceId, Met>, StoreError> {
    let mut met = BTreeMap::new();
    store.scan(Table::Peers, MET, |key, value| {
        let device = key.strip_prefix(MET).and_then(|id| id.try_into().ok());
        let row = value.ok().and_then(|row| row.try_into().ok());
        if let Some((device, row)) = device.zip(row) {
            met.insert(DeviceId(device), Met::of_row(row));
        }
        ControlFlow::Continue(())
    })?;
    Ok(met)
}

/// The addresses of this device at which somebody came in from elsewhere, and when last.
pub(crate) fn came_in(store: &Store) -> Result<BTreeMap<String, Timestamp>, StoreError> {
    let mut came = BTreeMap::new();
    store.scan(Table::Peers, CAME, |key, value| {
        let address = key.strip_prefix(CAME).map(<[u8]>::to_vec);
        let address = address.and_then(|text| String::from_utf8(text).ok());
        let at = value.ok().and_then(|row| row.try_into().ok());
        if let Some((address, at)) = address.zip(at) {
            came.insert(address, Timestamp(u64::from_be_bytes(at)));
        }
        ControlFlow::Continue(())
    })?;
    Ok(came)
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

/// Notes that a device is connected, and where it is. Durable when it returns.
pub(crate) fn note_met(
    store: &Store,
    device: &DeviceId,
    is_elsewhere: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let key = [MET, &device.0].concat();
    let before = store.get(Table::Peers, &key)?;
    let before = before.and_then(|row| row.try_into().ok());
    let mut met = before.map_or_else(Met::default, Met::of_row);
    match is_elsewhere {
        true => met.elsewhere = Some(now),
        false => met.near = Some(now),
    }
    store.commit(&Batch {
        puts: vec![row(PREFIX, device, now), (Table::Peers, key, met.row())],
        deletes: vec![(Table::Peers, [AWAY, &device.0].concat())],
        ..Batch::default()
    })
}

/// Notes that devices were connected until now. Durable when it returns.
pub(crate) fn note_seen(
    store: &Store,
    devices: &[DeviceId],
    now: Timestamp,
) -> Result<(), StoreError> {
    let devices = devices.iter();
    store.commit(&Batch {
        puts: devices
            .clone()
            .map(|device| row(PREFIX, device, now))
            .collect(),
        deletes: devices
            .map(|device| (Table::Peers, [AWAY, &device.0].concat()))
            .collect(),
        ..Batch::default()
    })
}

/// Notes that somebody came in from elsewhere, at one of these addresses. Durable when it returns.
pub(crate) fn note_came_in(
    store: &Store,
    addresses: &[String],
    now: Timestamp,
) -> Result<(), StoreError> {
    let row = now.0.to_be_bytes().to_vec();
    let key = |address: &String| [CAME, address.as_bytes()].concat();
    store.commit(&Batch {
        puts: addresses
            .iter()
            .map(|address| (Table::Peers, key(address), row.clone()))
            .collect(),
        ..Batch::default()
    })
}

fn row(prefix: &[u8], device: &DeviceId, at: Timestamp) -> (Table, Vec<u8>, Vec<u8>) {
    let key = [prefix, &device.0].concat();
    (Table::Peers, key, at.0.to_be_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_device_was_met_last_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(&dir.path().join("home")).unwrap();
        let device = DeviceId([7; 32]);
        note_met(&store, &device, false, Timestamp(5)).unwrap();
        assert!(!met(&store).unwrap()[&device].was_elsewhere());
        note_met(&store, &device, true, Timestamp(6)).unwrap();
        assert!(met(&store).unwrap()[&device].was_elsewhere());
        note_seen(&store, &[device], Timestamp(9)).unwrap();
        assert_eq!(last_seen(&store).unwrap()[&device], Timestamp(9));
        let both = met(&store).unwrap()[&device];
        assert_eq!(
            (both.near, both.elsewhere),
            (Some(Timestamp(5)), Some(Timestamp(6)))
        );
        note_met(&store, &device, false, Timestamp(10)).unwrap();
        assert!(!met(&store).unwrap()[&device].was_elsewhere());
        let address = "/ip4/203.0.113.7/tcp/4001".to_owned();
        note_came_in(&store, std::slice::from_ref(&address), Timestamp(8)).unwrap();
        assert_eq!(came_in(&store).unwrap()[&address], Timestamp(8));
    }
}
