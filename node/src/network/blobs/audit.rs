//! Asks a peer to show random leaves of what it says it holds.
//!
//! The questions are ordinary requests for a range and for a list of leaves. All
//! of a round are asked at once, so that a round takes no longer than its answers.

use heirloom_protocol::{
    crypto::{LeafList, leaves},
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

/// Challenges on their way at once: their requests fit into what a stream takes unread.
const ROUND: usize = 32;

/// What was asked for one challenge.
struct Asked {
    challenge: Challenge,
    /// The list of leaves, where it is kept here.
    kept: Option<LeafList>,
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
    for round in challenges.chunks(ROUND) {
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

/// The lists of leaves that are kept here: those of large blobs that are here as well.
fn kept(store: &Store, challenges: &[Challenge]) -> Result<Vec<Option<LeafList>>, StoreError> {
    let mut lists = Vec::with_capacity(challenges.len());
    for Challenge { blob, .. } in challenges {
        let total = blob_bytes(blob);
        let limit = leaves::list_count(total).saturating_mul(32);
        let kept = match limit {
            0 => None,
            _ => store.blobs().leaves(&blob.id, limit)?,
        };
        lists.push(kept.and_then(|bytes| LeafList::from_bytes(blob.id, total, &bytes).ok()));
    }
    Ok(lists)
}

async fn ask(
    line: &mut Line,
    challenge: Challenge,
    kept: Option<LeafList>,
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
    let mut lines = Some(Vec::new());
    for (id, count) in asked.pages {
        let bytes = usize::try_from(count).unwrap_or(0).saturating_mul(32);
        let page = answer(line, id, AnswerKind::Leaves, bytes).await?;
        lines = lines.zip(page).map(|(mut all, page)| {
            all.extend(page);
            all
        });
    }
    let at = u64::from(asked.challenge.leaf).saturating_mul(LEAF);
    let len = usize::try_from(total.saturating_sub(at).min(LEAF)).unwrap_or(0);
    let leaf = answer(line, asked.range, AnswerKind::Data, len).await?;
    let list = match asked.kept {
        Some(list) => Some(list),
        None => lines.and_then(|lines| LeafList::from_bytes(blob.id, total, &lines).ok()),
    };
    let is_right = |(list, leaf): (LeafList, Vec<u8>)| {
        let index = u64::from(asked.challenge.leaf);
        list.verify_leaf(index, &leaf).is_ok()
    };
    Ok(list.zip(leaf).is_some_and(is_right))
}

/// The whole answer to one request; `None` where the peer has none or it is of another length.
async fn answer(
    line: &mut Line,
    id: u32,
    kind: AnswerKind,
    bytes: usize,
) -> Result<Option<Vec<u8>>, Ended> {
    let mut all: Vec<u8> = Vec::new();
    while all.len() < bytes {
        let head = line.head().await?;
        let payload = line.payload(&head).await?;
        if head.kind == AnswerKind::Unknown {
            continue;
        }
        if head.id != id {
            return Err(Ended::Misbehaved);
        }
        if head.kind == AnswerKind::Gone {
            return Ok(None);
        }
        if head.kind != kind || payload.is_empty() || all.len() + payload.len() > bytes {
            return Err(Ended::Misbehaved);
        }
        all.extend(payload);
    }
    Ok(Some(all))
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
    async fn audit_once(&self, device: DeviceId, fresh: bool) -> Result<bool, Ended> {
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
                .ask(move |runtime| runtime.note_audit(device, &noted))
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
