//! A cache lets its least recently used originals go once they take more than its limit.
//!
//! They go the way `offload` goes: by fresh proofs and signed promises of enough
//! archives, decided by the runtime in the turn in which they go. What too few
//! others keep stays, over the limit, and `status` says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use heirloom_protocol::{
    id::{LogId, OpId},
    op::Policy,
};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{ApiError, BATCH, Candidate, ask::Asking, candidates, may_offload};
use crate::{
    catalog::Filter,
    network::Network,
    node::Node,
    runtime::{News, View, forget_used},
};

/// The shortest time between two looks at what the originals take.
const EVERY: Duration = Duration::from_secs(10);
/// A look takes at most one part in so many of the time.
const SHARE: u32 = 20;
/// The longest time between two looks.
const AT_LEAST: Duration = Duration::from_secs(3600);
/// How long a photo that others did not promise to keep is left alone.
const REFUSED: Duration = Duration::from_secs(1800);
/// An original that was used so lately stays, in milliseconds: somebody may be reading it.
const IN_USE_MS: u64 = 10 * 60 * 1000;

/// Photos that stayed though they were to go, and until when they are left alone.
type Refused = BTreeMap<OpId, Instant>;

/// The limit of a device that is a cache, in bytes of originals.
pub(in crate::api) fn limit_of(view: &View) -> Option<u64> {
    let mut devices = view.people.devices.iter();
    let own = devices.find(|row| row.id == view.device)?;
    match own.policy {
        Policy::Cache(limit) => Some(limit),
        Policy::Archive => None,
    }
}

/// Keeps a cache within its limit until `ending`. Does nothing on an archive.
pub(crate) async fn keep_within_limit(node: Node, network: Network, ending: CancellationToken) {
    let mut refused = Refused::new();
    let mut news = node.news();
    loop {
        let begun = Instant::now();
        let looked = tokio::select! {
            () = ending.cancelled() => return,
            looked = look(&node, &network, &mut refused) => looked,
        };
        if let Err(error) = looked {
            tracing::warn!(
                error = error.message,
                "originals beyond the limit stay for now"
            );
        }
        let rest = EVERY.max(begun.elapsed() * SHARE);
        tokio::select! {
            () = ending.cancelled() => return,
            () = tokio::time::sleep(rest) => {}
        }
        let until = begun + AT_LEAST;
        loop {
            let told = tokio::select! {
                () = ending.cancelled() => return,
                told = timeout_at(until, news.recv()) => told,
            };
            use tokio::sync::broadcast::error::RecvError;
            match told {
                // Time alone changes what is promised and what is in use.
                Err(_) | Ok(Err(RecvError::Lagged(_))) => break,
                Ok(Ok(News::Gossip(..) | News::Renamed(_) | News::OddClock(_))) => {}
                Ok(Ok(_)) => break,
                Ok(Err(RecvError::Closed)) => return,
            }
        }
    }
}

/// Lets go of what is beyond the limit, as far as others keep it.
async fn look(node: &Node, network: &Network, refused: &mut Refused) -> Result<(), ApiError> {
    let asked = node.ask(|runtime| runtime.replica().control().policy(&runtime.device()));
    let Policy::Cache(limit) = asked.await? else {
        return Ok(());
    };
    let view = node.view().await?;
    let all = candidates(node, Filter::default()).await?;
    let total: u64 = all.iter().map(|one| one.bytes).sum();
    let over = total.saturating_sub(limit);
    // Whose words were never checked keeps everything, as with `offload`; status says so.
    if over == 0 || may_offload(node, &view).await.is_err() {
        return Ok(());
    }
    let now = Instant::now();
    refused.retain(|_, until| *until > now);
    let going = chosen(all, over, view.now.0, refused);
    if going.is_empty() {
        return Ok(());
    }
    let mut asking = Asking::new(node.clone(), network.clone()).await?;
    asking.never_changes_policy();
    for some in going.chunks(BATCH) {
        let mut gone: BTreeSet<(LogId, u32)> = BTreeSet::new();
        for (one, why) in some.iter().zip(asking.offload(some).await?) {
            match why {
                None => gone.extend(one.kept.iter().copied()),
                Some(why) => {
                    tracing::info!(photo = %one.id.short(), %why, "a photo beyond the limit stays");
                    refused.insert(one.id, now + REFUSED);
                }
            }
        }
        let gone: Vec<_> = gone.into_iter().collect();
        tracing::info!(blobs = gone.len(), "originals beyond the limit were let go");
        let store = node.store().clone();
        node.blocking(move || forget_used(&store, &gone)).await??;
    }
    Ok(())
}

/// What is to go: the least recently used, of those never used the oldest, until it is enough.
fn chosen(mut all: Vec<Candidate>, over: u64, now: u64, refused: &Refused) -> Vec<Candidate> {
    all.retain(|one| {
        let is_kept = one.likely.len() >= usize::try_from(one.wanted).unwrap_or(usize::MAX);
        let is_in_use = now.saturating_sub(one.used) < IN_USE_MS;
        is_kept
            && one.likely_stays
            && one.has_pictures
            && !is_in_use
            && !refused.contains_key(&one.id)
    });
    // They come newest first.
    all.reverse();
    all.sort_by_key(|one| one.used);
    let mut bytes = 0;
    let goes = all.iter().take_while(|one| {
        let is_needed = bytes < over;
        bytes += one.bytes;
        is_needed
    });
    let count = goes.count();
    all.truncate(count);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(n: u8, used: u64) -> Candidate {
        Candidate {
            barred: BTreeSet::new(),
            allowed: 2,
            id: OpId([n; 32]),
            name: String::new(),
            bytes: 10,
            blobs: Vec::new(),
            wanted: 2,
            likely: BTreeSet::from(["attic".to_owned(), "desktop".to_owned()]),
            staying: None,
            likely_stays: true,
            kept: Vec::new(),
            used,
            has_pictures: true,
        }
    }

    fn ids(chosen: &[Candidate]) -> Vec<u8> {
        chosen.iter().map(|one| one.id.0[0]).collect()
    }

    #[test]
    fn the_least_recently_used_go_first_and_no_more_than_is_needed() {
        let now = 100 * IN_USE_MS;
        // The newest photo first; 1 and 4 were never used.
        let all = vec![
            candidate(1, 0),
            candidate(2, 500),
            candidate(3, 400),
            candidate(4, 0),
        ];
        let none = Refused::new();
        assert_eq!(ids(&chosen(all.clone(), 0, now, &none)), [0_u8; 0]);
        assert_eq!(ids(&chosen(all.clone(), 1, now, &none)), [4]);
        assert_eq!(ids(&chosen(all.clone(), 25, now, &none)), [4, 1, 3]);
        assert_eq!(ids(&chosen(all.clone(), 99, now, &none)), [4, 1, 3, 2]);
        let refused = Refused::from([(OpId([4; 32]), Instant::now() + REFUSED)]);
        assert_eq!(ids(&chosen(all, 11, now, &refused)), [1, 3]);
    }

    #[test]
    fn what_is_in_use_or_has_no_pictures_or_too_few_copies_stays() {
        let now = 100 * IN_USE_MS;
        let mut few = candidate(1, 0);
        few.likely.pop_first();
        let mut pending = candidate(2, 0);
        pending.has_pictures = false;
        let mut lent = candidate(4, 0);
        lent.likely_stays = false;
        let all = vec![few, pending, lent, candidate(3, now - IN_USE_MS + 1)];
        assert!(chosen(all, 99, now, &Refused::new()).is_empty());
    }
}
