//! What a device does by itself as time goes by: deletions come to their end, disks get their space
//! back, and what others wrote is vouched for.
//!
//! A running node does a round each hour; `purge` and `sync` do one as well, so
//! that a family that never runs a node for long deletes all the same.

use std::time::{Duration, UNIX_EPOCH};

use crate::{
    node::Node,
    runtime::{RuntimeError, kept_since, waits_for_others},
    store::{Batch, Collected, DAMAGED, Store, StoreError, Table},
};

/// How old a file must be that nothing names before it is removed: whoever is writing it has long ended.
const GRACE: Duration = Duration::from_secs(24 * 3600);
/// How long a blob stays that was begun and to which nothing was added. Shorter than a deleted one is kept,
/// so that no part of it outlives it.
const UNFINISHED: Duration = Duration::from_secs(7 * 24 * 3600);
/// The row that holds when files were last swept, Unix milliseconds.
const SWEPT: &[u8] = b"swept";

/// What a round frees.
pub type Freed = Collected;

/// One round: trash that is old enough is purged, blobs whose references ended long enough ago are erased.
///
/// Rows go before bytes, durably, so that an interruption leaves files without a
/// name, which [`sweep`] removes later.
///
/// # Errors
///
/// What disk and replica say; what was done by then stays.
pub async fn round(node: &Node) -> Result<Freed, RuntimeError> {
    node.ask(|runtime| {
        runtime.leave_ahead()?;
        runtime.release_held()?;
        runtime.anchor_daily()?;
        runtime.settle_deletions()
    })
    .await??;
    let due = node.ask(|runtime| runtime.due()).await??;
    let (store, asked) = (node.store().clone(), due.clone());
    let found = node
        .blocking(move || asked.still_referred_to(&store))
        .await??;
    if !found.is_empty() {
        node.ask(move |runtime| runtime.blobs_came(&found))
            .await??;
    }
    let store = node.store().clone();
    let freed = node.blocking(move || due.collect(&store)).await??;
    if freed.blobs > 0 {
        tracing::info!(freed.blobs, freed.bytes, "deleted blobs were erased");
    }
    // What somebody removed under a node that runs is no copy from now on.
    let store = node.store().clone();
    if let Err(error) = node.blocking(move || store.gone()).await? {
        tracing::debug!(%error, "whether files are gone could not be seen");
    }
    node.ask(|runtime| runtime.look_for_room()).await??;
    Ok(freed)
}

/// Removes files that nothing names, once a day: interrupted imports and rounds leave such. What was begun and
/// nobody went on with goes as well.
///
/// Where entries were damaged, what they name is not known and may come again: nothing is removed while any are
/// stranded or lost, and for 30 days that this device saw go by after damage was found, in this run or an earlier one.
/// A lost database counts as damage, and until another device has told what it has.
///
/// # Errors
///
/// What the disk says.
pub async fn sweep(node: &Node) -> Result<Freed, RuntimeError> {
    let (store, now) = (node.store().clone(), node.clock().now().0);
    let swept = node.blocking(move || sweep_daily(&store, now)).await??;
    if swept.blobs > 0 {
        tracing::info!(
            swept.blobs,
            swept.bytes,
            "files that nothing names were removed"
        );
    }
    Ok(swept)
}

pub(crate) fn sweep_daily(store: &Store, now: u64) -> Result<Freed, StoreError> {
    let last = store.get(Table::Kv, SWEPT)?;
    let last = last
        .and_then(|row| row.try_into().ok())
        .map(u64::from_be_bytes);
    if last.is_some_and(|last| last <= now && now - last < millis(GRACE)) {
        return Ok(Freed::default());
    }
    let before = |age: Duration| UNIX_EPOCH + Duration::from_millis(now).saturating_sub(age);
    let mut swept = store.blobs().sweep_partials(before(UNFINISHED))?;
    if !may_be_damaged(store, now)? {
        let orphans = store.sweep(before(GRACE), |_| false)?;
        swept.blobs += orphans.blobs;
        swept.bytes += orphans.bytes;
    }
    note(store, SWEPT, now)?;
    Ok(swept)
}

/// Whether damage was found lately. Counts from the first look at it.
fn may_be_damaged(store: &Store, now: u64) -> Result<bool, StoreError> {
    let Some(row) = store.get(Table::Kv, DAMAGED)? else {
        return Ok(false);
    };
    let since = row.try_into().map_or(0, u64::from_be_bytes);
    if since == 0 || since > now {
        note(store, DAMAGED, now)?;
        return Ok(true);
    }
    if since > kept_since(store, now)? || waits_for_others(store)? {
        return Ok(true);
    }
    store.commit(&Batch {
        deletes: vec![(Table::Kv, DAMAGED.to_vec())],
        ..Batch::default()
    })?;
    Ok(false)
}

fn note(store: &Store, key: &[u8], now: u64) -> Result<(), StoreError> {
    store.commit(&Batch {
        puts: vec![(Table::Kv, key.to_vec(), now.to_be_bytes().to_vec())],
        ..Batch::default()
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
