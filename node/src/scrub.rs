//! Everything is read again within a month, so that rot is found while others still hold a good copy.
//!
//! A running node reads a little every ten minutes, no more than keeps the pace,
//! and rests longer than it reads. How far it is stands in the store, so that a
//! restart goes on with it. What is damaged is put aside and fetched again.

use std::{
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use heirloom_protocol::wire;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    import::pictures::{self, Names, Which},
    node::Node,
    runtime::{BlobNames, RuntimeError},
    store::{Batch, Cursor, Damage, Finding, Store, StoreError, Table},
};

/// How long a pass takes: 25 days, so that days on which the node rests do not make it 30.
pub const PASS: Duration = Duration::from_secs(25 * 24 * 3600);
/// Between two steps of a running node.
const EVERY: Duration = Duration::from_secs(600);
/// Bytes read between two rests.
const SLICE_BYTES: u64 = 4 * 1024 * 1024;
/// Most bytes of one step: enough for 2 TB in a pass.
const STEP_BYTES: u64 = 512 * 1024 * 1024;
/// The rest after a slice, by the time that reading it took.
const REST: u32 = 3;
const REST_MAX: Duration = Duration::from_secs(1);
/// Files that are gone and dealt with between two turns of others.
const GONE_AT_ONCE: usize = 256;
const ROW: &[u8] = b"scrub";

/// How far the reading is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Scrub {
    cursor: Cursor,
    /// When this pass began, Unix milliseconds; 0 before the first.
    started: u64,
    /// Bytes read in this pass.
    pub done: u64,
    /// Bytes that there were to read when it last went on.
    pub total: u64,
    /// When everything was last read to the end, Unix milliseconds; 0 for never.
    pub last: u64,
}

impl Scrub {
    /// How far it is.
    ///
    /// # Errors
    ///
    /// What the disk says. A damaged row is as none: the pass begins again.
    pub fn of(store: &Store) -> Result<Self, StoreError> {
        let row = match store.get(Table::Kv, ROW) {
            Err(StoreError::Damaged(_)) => None,
            row => row?,
        };
        Ok(row
            .and_then(|row| wire::decode_row(&row).ok())
            .unwrap_or_default())
    }

    fn keep(&self, store: &Store) -> Result<(), StoreError> {
        let Ok(row) = wire::encode_row(self) else {
            return Ok(());
        };
        store.commit(&Batch {
            puts: vec![(Table::Kv, ROW.to_vec(), row)],
            ..Batch::default()
        })
    }

    /// Bytes that are to be read by now to keep the pace.
    fn due(&self, now: u64) -> u64 {
        let pass = PASS.as_millis();
        let since = u128::from(now.saturating_sub(self.started)).min(pass);
        let wanted = u128::from(self.total) * since / pass;
        u64::try_from(wanted)
            .unwrap_or(u64::MAX)
            .saturating_sub(self.done)
    }

    /// Whether the time of a pass is over: what is left, entries and values perhaps, is read now.
    fn is_over(&self, now: u64) -> bool {
        u128::from(now.saturating_sub(self.started)) >= PASS.as_millis()
    }
}

/// Reads on as far as is due, and deals with the damage that it finds.
///
/// # Errors
///
/// What the disk says; it goes on from the same place the next time.
pub async fn step(node: &Node) -> Result<(), RuntimeError> {
    let mut lost = Names::new();
    replace_gone(node, &mut lost).await?;
    let done = read_on(node, &mut lost).await;
    if !lost.is_empty() {
        remake(node, lost).await?;
    }
    done
}

/// Makes pictures again that were lost, where their originals are here and no other device has them.
async fn remake(node: &Node, lost: Names) -> Result<(), RuntimeError> {
    let busy = node.clone();
    let made = node
        .blocking(move || pictures::remake(&busy, &Which::Found(lost), &AtomicBool::new(false)));
    match made.await? {
        Ok(made) if made.is_empty() => {}
        Ok(made) => tracing::info!(count = made.len(), "pictures were made again"),
        Err(error) => tracing::warn!(error = error.message, "making pictures again"),
    }
    Ok(())
}

async fn read_on(node: &Node, lost: &mut Names) -> Result<(), RuntimeError> {
    let (store, now) = (node.store().clone(), node.clock().now().0);
    let mut scrub = node.blocking(move || begin(&store, now)).await??;
    let mut left = scrub.due(now).min(STEP_BYTES);
    while left > 0 || scrub.is_over(now) {
        let (store, began) = (node.store().clone(), Instant::now());
        let bytes = match scrub.is_over(now) {
            true => SLICE_BYTES,
            false => left.min(SLICE_BYTES),
        };
        let (verified, next) = node
            .blocking(move || {
                let mut names = BlobNames::default();
                let cursor = &mut scrub.cursor;
                let verified = store.scrub(cursor, bytes, |log, at| names.of(&store, log, at))?;
                Ok::<_, StoreError>((verified, scrub))
            })
            .await??;
        scrub = next;
        scrub.done = scrub.done.saturating_add(verified.bytes);
        left = left.saturating_sub(bytes);
        let findings = verified.findings;
        let healed = match findings.is_empty() {
            true => Ok(()),
            false => {
                let first = findings.first().map(|finding| finding.damage.to_string());
                tracing::warn!(count = findings.len(), first, "damage was found");
                lost.extend(findings.iter().filter_map(|finding| finding.blob));
                let healed = node.ask(move |runtime| runtime.heal(&findings)).await?;
                healed.map(drop)
            }
        };
        let is_whole = scrub.cursor.is_at_start();
        if is_whole {
            (scrub.last, scrub.started, scrub.done) = (now, now, 0);
        }
        let (store, kept) = (node.store().clone(), scrub.clone());
        node.blocking(move || kept.keep(&store)).await??;
        healed?;
        if is_whole {
            return Ok(());
        }
        tokio::time::sleep((began.elapsed() * REST).min(REST_MAX)).await;
    }
    Ok(())
}

/// Has what lay in packs and folders that are gone fetched again.
///
/// Where that is most of what there is, nothing is given up: it may be on a disk that is not mounted, and a
/// place that was given up is not found again. `verify --repair` is how a person decides that.
async fn replace_gone(node: &Node, lost: &mut Names) -> Result<(), RuntimeError> {
    let store = node.store().clone();
    let findings = node
        .blocking(move || {
            let gone = store.gone()?;
            let count = gone.len();
            if gone.is_empty() {
                return Ok(Vec::new());
            }
            if gone.is_most() {
                tracing::warn!(count, "most files of this home are gone");
                return Ok(Vec::new());
            }
            tracing::warn!(count, "files of this home are gone, and fetched again");
            let mut names = BlobNames::default();
            let blobs = gone.blobs.iter();
            let blobs = blobs.flat_map(|(log, blobs)| blobs.iter().map(|at| (*log, at)));
            let findings = blobs.filter_map(|(log, ordinal)| {
                let cid = names.of(&store, &log, ordinal)?;
                let (damage, blob) = (Damage::Blob { cid }, Some((log, ordinal)));
                Some(Finding { damage, blob })
            });
            Ok::<Vec<_>, StoreError>(findings.collect())
        })
        .await??;
    for findings in findings.chunks(GONE_AT_ONCE) {
        let findings = findings.to_vec();
        lost.extend(findings.iter().filter_map(|finding| finding.blob));
        node.ask(move |runtime| runtime.heal(&findings)).await??;
    }
    Ok(())
}

fn begin(store: &Store, now: u64) -> Result<Scrub, StoreError> {
    let mut scrub = Scrub::of(store)?;
    // A clock that was set back would make the pass wait for it.
    if scrub.started == 0 || scrub.started > now {
        scrub.started = now;
    }
    let stats = store.stats()?;
    scrub.total = stats.large_bytes + stats.small_bytes;
    scrub.keep(store)?;
    Ok(scrub)
}

/// Goes on as long as the node runs.
pub(crate) async fn run(node: Node, ending: CancellationToken) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = ending.cancelled() => return,
            _ = every.tick() => {}
        }
        let done = tokio::select! {
            () = ending.cancelled() => return,
            done = step(&node) => done,
        };
        match done {
            Ok(()) => {}
            Err(RuntimeError::Stopped) => return,
            Err(error) => tracing::warn!(%error, "reading everything again"),
        }
    }
}
