//! `verify --repair`: what this disk cannot put right by itself comes again from other devices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Answer, ApiError, Doorway, pair::Lent};
use crate::{
    import::{
        pictures::{self, Which},
        previews,
    },
    network::Network,
    node::Node,
    runtime::RuntimeError,
    store::{Damage, Finding},
};

/// How long devices are looked for that hold a good copy.
const LOOK: Duration = Duration::from_secs(10);
/// How long nothing may come once everything was exchanged with those reached.
const QUIET: Duration = Duration::from_secs(4);
/// How long a blob may take: of a large one nothing is heard before it is whole.
const FETCH: Duration = Duration::from_secs(120);
/// Between two looks at what came, and between two rounds of calls.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
const CALL_AGAIN: Duration = Duration::from_secs(2);

/// Puts right what was found; says of each finding whether it is.
///
/// # Errors
///
/// What the disk says. That nobody could be reached is none: nothing is repaired then, and what
/// is damaged stays put aside and comes when a device is met.
pub(super) async fn repair(
    doorway: &Arc<Doorway>,
    node: &Node,
    findings: &[Finding],
    answer: &Answer,
) -> Result<Vec<bool>, ApiError> {
    let found = findings.to_vec();
    let mut healed = node.ask(move |runtime| runtime.heal(&found)).await??;
    if healed.iter().all(|healed| *healed) {
        return Ok(healed);
    }
    let lent = match Lent::of(doorway, node).await {
        Ok(lent) => lent,
        Err(error) => {
            tracing::warn!(error = error.message, "no network to repair from");
            return Ok(healed);
        }
    };
    let done = fetch(&lent.network, findings, &mut healed, answer).await;
    lent.give_back().await;
    done?;
    Ok(healed)
}

/// Makes pictures again that no device brought and whose originals are here, and tries those once more that
/// could not be made; says of what was found whether it is put right by then.
///
/// # Errors
///
/// What the disk says. That a picture cannot be made is none.
pub(super) async fn pictures(
    node: &Node,
    findings: &[Finding],
    healed: &mut [bool],
    answer: &Answer,
) -> Result<(), ApiError> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let (busy, ended) = (node.clone(), Arc::clone(&cancelled));
    let work = node.blocking(move || {
        pictures::remake(&busy, &Which::All, &ended)?;
        previews::make_again(&busy, true, &ended)
    });
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => done??,
        () = answer.dropped().cancelled() => {
            cancelled.store(true, Ordering::Relaxed);
            work.await??;
        }
    }
    Ok(look(node, findings, healed).await?)
}

/// Waits until everything has come again, or nobody brings more.
async fn fetch(
    network: &Network,
    findings: &[Finding],
    healed: &mut [bool],
    answer: &Answer,
) -> Result<(), ApiError> {
    let mut stirs = network.stirs();
    let mut moved = network.moved();
    let mut moved_at = Instant::now();
    let mut called_at: Option<Instant> = None;
    loop {
        let now = network.moved();
        if now != moved {
            (moved, moved_at) = (now, Instant::now());
        }
        look(network.node(), findings, healed).await?;
        if healed.iter().all(|healed| *healed) || answer.dropped().is_cancelled() {
            return Ok(());
        }
        let sessions = network.sessions();
        let is_even = !sessions.is_empty() && sessions.iter().all(|session| session.settled);
        let patience = match (network.fetching() > 0, is_even) {
            (true, _) => FETCH,
            (false, true) => QUIET,
            (false, false) => LOOK,
        };
        if moved_at.elapsed() >= patience {
            return Ok(());
        }
        if called_at.is_none_or(|at| at.elapsed() >= CALL_AGAIN) {
            called_at = Some(Instant::now());
            if let Err(error) = network.call_round().await {
                tracing::debug!(%error, "a round of calls");
            }
        }
        // Nothing may stir while time alone decides.
        let _ = tokio::time::timeout(LOOK_AGAIN, stirs.changed()).await;
    }
}

/// Looks which of the findings are put right by now.
async fn look(node: &Node, findings: &[Finding], healed: &mut [bool]) -> Result<(), RuntimeError> {
    for (finding, healed) in findings.iter().zip(healed.iter_mut()) {
        if *healed {
            continue;
        }
        *healed = match (&finding.damage, finding.blob) {
            (Damage::Entry { log, seq, .. }, _) => {
                let (store, log, seq) = (node.store().clone(), *log, *seq);
                let read = node.blocking(move || store.entry(&log, seq)).await?;
                matches!(read, Ok(Some(_)))
            }
            (Damage::Blob { cid }, Some((log, ordinal))) => {
                let cid = *cid;
                node.ask(move |runtime| runtime.is_healed(&log, ordinal, &cid))
                    .await?
            }
            _ => false,
        };
    }
    Ok(())
}
