//! What a device does by itself as time goes by: deletions come to their end, disks get their space
//! back, and what others wrote is vouched for.
//!
//! A running node does a round each hour; `purge` and `sync` do one as well, so
//! that a family that never runs a node for long deletes all the same.

use std::time::{Duration, UNIX_EPOCH};

use crate::{
    node::Node,
    runtime::RuntimeError,
    store::{Batch, Collected, Store, StoreError, Table},
};

/// How old a file must be that nothing names before it is removed: whoever is writing it has long ended.
const GRACE: Duration = Duration::from_secs(24 * 3600);
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
    node.ask(|runtime| runtime.look_for_room()).await??;
    Ok(freed)
}

/// Removes files that nothing names, once a day: interrupted imports and rounds leave such.
///
/// Where entries were damaged when the home was opened, what they name is not
/// known, and nothing is removed.
///
/// # Errors
///
/// What the disk says.
pub async fn sweep(node: &Node) -> Result<Freed, RuntimeError> {
    let store = node.store().clone();
    let lost = node.blocking(move || store.lost()).await??;
    let opened = node.store().opened();
    if !opened.damages.is_empty() || !opened.stranded.is_empty() || !lost.is_empty() {
        return Ok(Freed::default());
    }
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

fn sweep_daily(store: &Store, now: u64) -> Result<Freed, StoreError> {
    let last = store.get(Table::Kv, SWEPT)?;
    let last = last
        .and_then(|row| row.try_into().ok())
        .map(u64::from_be_bytes);
    let day = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
    if last.is_some_and(|last| last <= now && now - last < day) {
        return Ok(Freed::default());
    }
    let older = UNIX_EPOCH + Duration::from_millis(now).saturating_sub(GRACE);
    let swept = store.sweep(older, |_| false)?;
    store.commit(&Batch {
        puts: vec![(Table::Kv, SWEPT.to_vec(), now.to_be_bytes().to_vec())],
        ..Batch::default()
    })?;
    Ok(swept)
}
