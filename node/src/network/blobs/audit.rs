//! Asks a peer to show random leaves of what it says it holds.
//!
//! The questions are ordinary requests for a range and for a list of leaves. All
//! of a round are asked at once, so that a round takes no longer than its answers.
//! Of a list one line is kept; a hostile peer can make this device read the lists of
//! what it claims, which are as long as signed headers say, and keep nothing of them.

use heirloom_protocol::{
    crypto::leaves::{self, KnownLeaf, LeafFinder},
    id::DeviceId,
    limits,
    sync::blob::{AnswerKind, GetLeaves, GetRange, Request, blob_bytes},
};
use tokio::io::AsyncWriteExt;

use super::{CHALLENGES, Ended, Network, line::Line};
use crate::{
    runtime::{Challenge, RuntimeError, name_of},
    store::{Store, StoreError},
};

/// Requests on their way at once: they fit into what a stream takes unread. A blob with more is asked for alone.
const ROUND: usize = 128;

/// What was asked for one challenge.
struct Asked {
    challenge: Challenge,
    /// The leaf, where the list is kept here.
    kept: Option<KnownLeaf>,
    /// Requests for pages of the list, and how many lines each has.
    pages: Vec<(u32, u32)>,
    range: u32,
}

/// Asks for leaves of blobs; says of each whether the right bytes came.
///
/// # Errors
///
/// [`Ended::Lost`] when the connection ended or the peer says nothing: that is no answer.
pub(super) async fn challenge(
    network: &Network,
    device: DeviceId,
    challenges: &[Challenge],
) -> Result<Vec<bool>, Ended> {
    let mut good = Vec::with_capacity(challenges.len());
    if challenges.is_empty() {
        return Ok(good);
    }
    let mut line = Line::open(network, device, CHALLENGES).await?;
    let mut left = challenges;
    while !left.is_empty() {
        let (round, rest) = left.split_at(fitting(left));
        left = rest;
        let (store, some) = (network.node().store().clone(), round.to_vec());
        let lists = network.node().blocking(move || kept(&store, &some));
        let mut asked = Vec::with_capacity(round.len());
        for (challenge, list) in round.iter().zip(lists.await??) {
            asked.push(ask(&mut line, *challenge, list).await?);
        }
        line.write.flush().await?;
        for one in asked {
            good.push(take(&mut line, one).await?);
        }
    }
    line.write.shutdown().await?;
    Ok(good)
}

/// How many challenges make a round: at least one.
fn fitting(challenges: &[Challenge]) -> usize {
    let mut requests = 0;
    let fit = challenges.iter().take_while(|challenge| {
        let lines = leaves::list_count(blob_bytes(&challenge.blob));
        requests += 1 + usize::try_from(lines.div_ceil(u64::from(limits::LEAF_PAGE)))
            .unwrap_or(usize::MAX - ROUND);
        requests <= ROUND
    });
    fit.count().max(1)
}

/// The leaves of which the list is kept here: those of large blobs that are here as well.
fn kept(store: &Store, challenges: &[Challenge]) -> Result<Vec<Option<KnownLeaf>>, StoreError> {
    let mut known = Vec::with_capacity(challenges.len());
    for challenge in challenges {
        let limit = leaves::list_count(blob_bytes(&challenge.blob)).saturating_mul(32);
        let kept = match limit {
            0 => None,
            _ => store.blobs().leaves(&challenge.blob.id, limit)?,
        };
        known.push(kept.and_then(|bytes| {
            let mut finder = finder(challenge)?;
            finder.take(&bytes).ok()?;
            finder.finish().ok()
        }));
    }
    Ok(known)
}

fn finder(challenge: &Challenge) -> Option<LeafFinder> {
    let (blob, leaf) = (&challenge.blob, u64::from(challenge.leaf));
    LeafFinder::new(blob.id, blob_bytes(blob), leaf).ok()
}

async fn ask(
    line: &mut Line,
    challenge: Challenge,
    kept: Option<KnownLeaf>,
) -> Result<Asked, Ended> {
    let blob = name_of(&challenge.blob);
    let lines = match &kept {
        Some(_) => 0,
        None => leaves::list_count(blob_bytes(&challenge.blob)),
    };
    let lines = u32::try_from(lines).unwrap_or(u32::MAX);
    let mut pages = Vec::new();
    let mut first = 0;
    while first < lines {
        let (id, count) = (line.id(), limits::LEAF_PAGE.min(lines - first));
        let request = Request::Leaves(GetLeaves {
            id,
            blob,
            first,
            count,
        });
        line.write.write_all(&request.to_frame()).await?;
        pages.push((id, count));
        first += count;
    }
    let range = line.id();
    let request = Request::Range(GetRange {
        id: range,
        blob,
        first: challenge.leaf,
        count: 1,
    });
    line.write.write_all(&request.to_frame()).await?;
    Ok(Asked {
        challenge,
        kept,
        pages,
        range,
    })
}

/// Takes all answers for one challenge. Whatever is not the right bytes is a failure, not an error.
async fn take(line: &mut Line, asked: Asked) -> Result<bool, Ended> {
    let blob = asked.challenge.blob;
    let total = blob_bytes(&blob);
    let mut passing = finder(&asked.challenge);
    for (id, count) in asked.pages {
        let bytes = usize::try_from(count).unwrap_or(0).saturating_mul(32);
        let is_whole = answer(line, id, AnswerKind::Leaves, bytes, |piece| {
            passing = passing.take().and_then(|mut passing| {
                passing.take(&piece).ok()?;
                Some(passing)
            });
        });
        if !is_whole.await? {
            passing = None;
        }
    }
    let at = u64::from(asked.challenge.leaf).saturating_mul(LEAF);
    let len = usize::try_from(total.saturating_sub(at).min(LEAF)).unwrap_or(0);
    let mut leaf = Vec::with_capacity(len);
    let take = |piece: Vec<u8>| leaf.extend(piece);
    let is_whole = answer(line, asked.range, AnswerKind::Data, len, take).await?;
    let known = match asked.kept {
        Some(known) => Some(known),
        None => passing.and_then(|passing| passing.finish().ok()),
    };
    Ok(is_whole && known.is_some_and(|known| known.verify(&leaf).is_ok()))
}

/// Takes the answer to one request, piece by piece; false where the peer has none.
async fn answer(
    line: &mut Line,
    id: u32,
    kind: AnswerKind,
    bytes: usize,
    mut take: impl FnMut(Vec<u8>),
) -> Result<bool, Ended> {
    let mut came = 0;
    while came < bytes {
        let head = line.head().await?;
        let payload = line.payload(&head).await?;
        if head.kind == AnswerKind::Unknown {
            continue;
        }
        if head.id != id {
            return Err(Ended::Misbehaved);
        }
        if head.kind == AnswerKind::Gone {
            return Ok(false);
        }
        if head.kind != kind || payload.is_empty() || came + payload.len() > bytes {
            return Err(Ended::Misbehaved);
        }
        came += payload.len();
        take(payload);
    }
    Ok(true)
}

const LEAF: u64 = 65_536;

impl Network {
    /// Asks a peer for random leaves of what it claims, if that is due, unless it is under way.
    pub(in crate::network) fn audit(&self, device: DeviceId) {
        if self.0.kit.is_some() {
            return;
        }
        let fresh = {
            let mut state = self.state();
            let Some(running) = state.sessions.get_mut(&device) else {
                return;
            };
            if std::mem::replace(&mut running.auditing, true) {
                return;
            }
            !running.audited
        };
        let network = self.clone();
        tokio::spawn(async move {
            let ended = network.audit_once(device, fresh).await;
            if let Err(error) = &ended {
                tracing::debug!(device = %device.short(), %error, "an audit ended early");
            }
            if let Some(running) = network.state().sessions.get_mut(&device) {
                running.auditing = false;
                running.audited |= !matches!(ended, Ok(false));
            }
            network.stir();
        });
    }

    /// Whether nothing is to be asked of a peer now, or an attempt to ask has failed and waits for its turn.
    pub(crate) async fn is_audited(&self, device: DeviceId) -> bool {
        let (auditing, audited) = {
            let state = self.state();
            let running = state.sessions.get(&device);
            running.map_or((false, true), |run| (run.auditing, run.audited))
        };
        if auditing {
            return false;
        }
        let due = self
            .node()
            .ask(move |runtime| runtime.audit_due(&device, !audited));
        if matches!(due.await, Ok(true)) && !audited {
            self.audit(device);
            return false;
        }
        true
    }

    /// Whether an audit was due.
    pub(super) async fn audit_once(&self, device: DeviceId, fresh: bool) -> Result<bool, Ended> {
        let plan = self
            .node()
            .ask(move |runtime| match runtime.audit_due(&device, fresh) {
                true => runtime.audit_plan(&device).map(Some),
                false => Ok(None),
            });
        let Some(plan) = plan.await?? else {
            return Ok(false);
        };
        let mut shown = self.challenge(device, plan).await?;
        if shown.iter().any(|(_, good)| !good) {
            // What it let go of meanwhile it has said by now.
            let failed = shown.iter().filter(|(_, good)| !good);
            let again: Vec<_> = failed.map(|(asked, _)| *asked).collect();
            let again = self.challenge(device, again).await?;
            shown.retain(|(_, good)| *good);
            shown.extend(again);
        }
        self.node()
            .ask(move |runtime| runtime.note_audit(device, &shown))
            .await??;
        Ok(true)
    }

    /// Has a peer show leaves of what this device is about to rely on; says of each whether it did. One that
    /// could not is remembered as after an audit; one that does not answer has shown nothing.
    pub(crate) async fn prove(
        &self,
        device: DeviceId,
        challenges: Vec<Challenge>,
    ) -> Result<Vec<(Challenge, bool)>, RuntimeError> {
        let shown = match self.challenge(device, challenges).await {
            Ok(shown) => shown,
            Err(error) => {
                tracing::info!(device = %device.short(), %error, "a device did not show what was asked for");
                return Ok(Vec::new());
            }
        };
        if shown.iter().any(|(_, good)| !good) {
            let noted = shown.clone();
            self.node()
                .ask(move |runtime| runtime.note_shown(device, &noted))
                .await??;
        }
        Ok(shown)
    }

    /// Has a peer show leaves; says of each whether the right bytes came.
    async fn challenge(
        &self,
        device: DeviceId,
        challenges: Vec<Challenge>,
    ) -> Result<Vec<(Challenge, bool)>, Ended> {
        let good = challenge(self, device, &challenges).await?;
        Ok(challenges.into_iter().zip(good).collect())
    }
}
