//! When originals were last used on this device: rows of its own, as far as it may drop any.

use std::{collections::BTreeMap, ops::ControlFlow};

use heirloom_protocol::{album::asset::BlobRef, id::LogId, wire};

use crate::store::{Batch, Store, StoreError, Table};

const PREFIX: &[u8] = b"used/";
/// A use within so many milliseconds of the last one that is known is not written down.
const COARSE_MS: u64 = 5 * 60 * 1000;

fn key(blob: &BlobRef) -> Vec<u8> {
    [PREFIX, &wire::encode(&(blob.log, blob.ordinal))].concat()
}

/// Notes that originals are used now, by the names under which they are kept. Durable when it returns.
pub(crate) fn note_used(store: &Store, blobs: &[BlobRef], now: u64) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    for blob in blobs {
        let key = key(blob);
        let last = store.get(Table::Kv, &key)?.and_then(time);
        if last.is_none_or(|last| now.abs_diff(last) >= COARSE_MS) {
            batch
                .puts
                .push((Table::Kv, key, now.to_be_bytes().to_vec()));
        }
    }
    if batch.puts.is_empty() {
        return Ok(());
    }
    store.commit(&batch)
}

/// Forgets when originals were used that are not here any more. Durable when it returns.
pub(crate) fn forget_used(store: &Store, names: &[(LogId, u32)]) -> Result<(), StoreError> {
    let row = |name: &(LogId, u32)| (Table::Kv, [PREFIX, &wire::encode(name)].concat());
    store.commit(&Batch {
        deletes: names.iter().map(row).collect(),
        ..Batch::default()
    })
}

/// When each original was last used, Unix milliseconds; what is not named never was, as far as is known.
pub(crate) fn used(store: &Store) -> Result<BTreeMap<(LogId, u32), u64>, StoreError> {
    let mut used = BTreeMap::new();
    store.scan(Table::Kv, PREFIX, |key, row| {
        let name = key.strip_prefix(PREFIX);
        let name = name.and_then(|name| wire::decode(name, wire::MAX_BYTES).ok());
        // A damaged row costs its original's turn at most.
        if let Some((name, at)) = name.zip(row.ok().and_then(time)) {
            used.insert(name, at);
        }
        ControlFlow::Continue(())
    })?;
    Ok(used)
}

fn time(row: Vec<u8>) -> Option<u64> {
    row.try_into().ok().map(u64::from_be_bytes)
}
