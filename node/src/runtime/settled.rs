//! What a person settled on this device alone: rows of their own, since no log tells.

use heirloom_protocol::{id::DeviceId, sync::keep::ARCHIVES_MIN};

use crate::store::{Batch, Store, StoreError, Table};

const COPIES: &[u8] = b"copies wanted";
const WORDS: &[u8] = b"recovery confirmed";
/// Most copies that can be asked for.
pub const COPIES_MAX: u32 = 9;

/// On how many archives an original is to be where no album says so.
pub(crate) fn copies_wanted(store: &Store) -> u32 {
    let row = store.get(Table::Kv, COPIES).unwrap_or_else(|error| {
        tracing::warn!(%error, "how many copies are wanted cannot be read");
        None
    });
    match row.as_deref() {
        Some([copies]) if (1..=COPIES_MAX).contains(&u32::from(*copies)) => u32::from(*copies),
        _ => ARCHIVES_MIN,
    }
}

/// Sets [`copies_wanted`]. Durable when it returns.
pub(crate) fn want_copies(store: &Store, copies: u8) -> Result<(), StoreError> {
    put(store, COPIES, vec![copies])
}

/// The kit whose words this person last typed right on this device.
pub(crate) fn confirmed_kit(store: &Store) -> Result<Option<DeviceId>, StoreError> {
    let row = store.get(Table::Kv, WORDS)?;
    Ok(row.and_then(|row| row.try_into().ok()).map(DeviceId))
}

/// Remembers that the words of a kit were typed right. Durable when it returns.
pub(crate) fn confirm_kit(store: &Store, kit: DeviceId) -> Result<(), StoreError> {
    put(store, WORDS, kit.0.to_vec())
}

fn put(store: &Store, key: &[u8], row: Vec<u8>) -> Result<(), StoreError> {
    store.commit(&Batch {
        puts: vec![(Table::Kv, key.to_vec(), row)],
        ..Batch::default()
    })
}
