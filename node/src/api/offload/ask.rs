//! The other devices are asked: show it, promise it. What comes of it decides nothing here.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use heirloom_protocol::{
    album::asset::BlobRef,
    id::{DeviceId, LogId},
    limits,
    op::Policy,
};

use super::{ALBUM_OF_OTHERS, ApiError, Candidate};
use crate::{
    api::people::CACHE_BYTES,
    catalog::instant_text,
    forms::counted,
    network::Network,
    node::Node,
    runtime::{Leaving, RuntimeError, View},
};

/// How long no further promise may come before those that are missing are given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Blobs by their names.
type Names = BTreeSet<(LogId, u32)>;

/// One offload as it goes on.
pub(super) struct Asking {
    node: Node,
    network: Network,
    view: View,
    /// Archives that are in reach.
    near: BTreeSet<DeviceId>,
    /// Of those, the ones that were asked for promises and gave none.
    silent: BTreeSet<DeviceId>,
    /// What this device becomes by it, if it was an archive.
    becomes: Option<u64>,
    /// This device stopped being an archive by this.
    pub(super) became_cache: bool,
}

/// Ends what was begun, whichever way an offload ends.
struct Outstanding(Option<Node>);

impl Outstanding {
    async fn end(mut self) -> Result<(), RuntimeError> {
        match self.0.take() {
            Some(node) => node.ask(|runtime| runtime.end_offload()).await,
            None => Ok(()),
        }
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        let Some(node) = self.0.take() else { return };
        tokio::spawn(async move {
            // A node that has stopped remembers nothing of it.
            let _ = node.ask(|runtime| runtime.end_offload()).await;
        });
    }
}

/// What came of one batch before anything went.
struct Asked {
    leaving: Vec<Leaving>,
    promised_here: BTreeMap<(LogId, u32), u64>,
    claimed: BTreeMap<DeviceId, Names>,
    keepers: Vec<BTreeSet<DeviceId>>,
}

impl Asking {
    pub(super) async fn new(node: Node, network: Network) -> Result<Self, ApiError> {
        let view = node.view().await?;
        let sessions = network.sessions().into_iter().map(|session| session.device);
        let counts = |device: &DeviceId| {
            let witness = view.witnesses.get(device);
            witness.is_some_and(|witness| witness.counts(view.now))
        };
        let near = sessions.filter(counts).collect();
        let silent = BTreeSet::new();
        Ok(Self {
            node,
            network,
            view,
            near,
            silent,
            becomes: Some(CACHE_BYTES),
            became_cache: false,
        })
    }

    /// Lets nothing go where this device is an archive.
    pub(super) fn never_changes_policy(&mut self) {
        self.becomes = None;
    }

    /// Offloads some photos; says of each why it stayed, or nothing.
    pub(super) async fn offload(
        &mut self,
        some: &[Candidate],
    ) -> Result<Vec<Option<String>>, ApiError> {
        let blobs: Vec<BlobRef> = some.iter().flat_map(|one| one.blobs.clone()).collect();
        let begun = blobs.clone();
        let begun = self
            .node
            .ask(move |runtime| runtime.begin_offload(&begun))
            .await?;
        let Some(promised_here) = begun else {
            return Err(ApiError::try_later("another offload is going on").hint("let it finish"));
        };
        let outstanding = Outstanding(Some(self.node.clone()));
        let asked = self.ask(some, &blobs, promised_here).await?;
        let (leaving, becomes) = (asked.leaving.clone(), self.becomes);
        let gone = self.node.ask(move |runtime| {
            let was = runtime.replica().control().policy(&runtime.device());
            let gone = runtime.let_go(&leaving, becomes)?;
            let is = runtime.replica().control().policy(&runtime.device());
            Ok::<_, RuntimeError>((gone, was == Policy::Archive && is != Policy::Archive))
        });
        let (gone, became_cache) = gone.await??;
        outstanding.end().await?;
        self.became_cache |= became_cache;
        if gone.contains(&true) {
            let store = self.node.store().clone();
            // Nothing but what was just let go was dropped at the beginning of time.
            self.node.blocking(move || store.collect(0)).await??;
        }
        let reasons = some.iter().enumerate().zip(gone);
        Ok(reasons
            .map(|((at, one), gone)| (!gone).then(|| self.reason(&asked, at, one)))
            .collect())
    }

    async fn ask(
        &mut self,
        some: &[Candidate],
        blobs: &[BlobRef],
        promised_here: BTreeMap<(LogId, u32), u64>,
    ) -> Result<Asked, ApiError> {
        let (mut shown, mut claimed) = (BTreeMap::new(), BTreeMap::new());
        let devices: Vec<DeviceId> = self.near.difference(&self.silent).copied().collect();
        let asks = devices.iter().map(|device| self.show(*device, blobs));
        for (device, came) in devices.iter().zip(futures::future::join_all(asks).await) {
            let (claims, proofs) = came?;
            claimed.insert(*device, claims);
            shown.insert(*device, proofs);
        }
        let names = |one: &Candidate| -> Names { one.blobs.iter().map(name).collect() };
        let leaving: Vec<Leaving> = some
            .iter()
            .map(|one| {
                let all = names(one);
                let whole = shown.iter().filter(|(_, shown)| all.is_subset(shown));
                Leaving {
                    blobs: one.blobs.clone(),
                    wanted: usize::try_from(one.wanted).unwrap_or(usize::MAX),
                    shown: whole.map(|(device, _)| *device).collect(),
                    staying: one.staying.clone(),
                }
            })
            .collect();
        let mut asked = BTreeSet::new();
        for (device, shown) in &shown {
            let theirs = blobs.iter().filter(|blob| {
                let name = name(blob);
                shown.contains(&name) && !promised_here.contains_key(&name)
            });
            let theirs: Vec<_> = theirs.copied().collect();
            if !theirs.is_empty() {
                asked.insert(*device);
                self.ask_holds(*device, theirs).await?;
            }
        }
        let keepers = self.wait(&leaving, &promised_here).await?;
        let promised = |device: &DeviceId| keepers.iter().any(|keepers| keepers.contains(device));
        self.silent
            .extend(asked.into_iter().filter(|device| !promised(device)));
        Ok(Asked {
            leaving,
            promised_here,
            claimed,
            keepers,
        })
    }

    /// What a device claims of some blobs, and what it has just shown of them.
    async fn show(
        &self,
        device: DeviceId,
        blobs: &[BlobRef],
    ) -> Result<(Names, Names), RuntimeError> {
        let all = blobs.to_vec();
        let plan = self.node.ask(move |runtime| {
            let claimed: Vec<_> = all
                .into_iter()
                .filter(|blob| runtime.claims(&device, blob))
                .collect();
            runtime.challenges(&claimed)
        });
        let plan = plan.await??;
        let claims = plan.iter().map(|asked| name(&asked.blob)).collect();
        let shown = self.network.prove(device, plan).await?;
        let shown = shown.into_iter().filter(|(_, good)| *good);
        Ok((claims, shown.map(|(asked, _)| name(&asked.blob)).collect()))
    }

    async fn ask_holds(&self, device: DeviceId, blobs: Vec<BlobRef>) -> Result<(), RuntimeError> {
        let until = self.node.clock().now().0.saturating_add(limits::HOLD_MS);
        let requests = self
            .node
            .ask(move |runtime| runtime.hold_requests(&blobs))
            .await?;
        for (space, ranges) in requests {
            if !self.network.ask_hold(device, space, ranges, until) {
                tracing::debug!(device = %device.short(), "not asked for promises");
            }
        }
        Ok(())
    }

    /// Waits until everybody who showed everything has promised it, or promises no longer come.
    async fn wait(
        &self,
        leaving: &[Leaving],
        promised_here: &BTreeMap<(LogId, u32), u64>,
    ) -> Result<Vec<BTreeSet<DeviceId>>, RuntimeError> {
        let mut news = self.node.news();
        let mut last = Vec::new();
        let mut changed = Instant::now();
        loop {
            let asked = leaving.to_vec();
            let keepers = self.node.ask(move |runtime| -> Vec<BTreeSet<DeviceId>> {
                asked.iter().map(|one| runtime.keepers_of(one)).collect()
            });
            let keepers = keepers.await?;
            if keepers != last {
                (last, changed) = (keepers, Instant::now());
            }
            let mut each = leaving.iter().zip(&last);
            let all = each.all(|(one, keepers)| {
                let stays = one
                    .blobs
                    .iter()
                    .any(|blob| promised_here.contains_key(&name(blob)));
                stays || *keepers == one.shown
            });
            let left = PATIENCE.saturating_sub(changed.elapsed());
            if all || left.is_zero() {
                return Ok(last);
            }
            // Whether something came or time ran out, there is another look.
            let _ = tokio::time::timeout(left, news.recv()).await;
        }
    }

    /// Why a photo stayed: which copy is missing.
    fn reason(&self, asked: &Asked, at: usize, one: &Candidate) -> String {
        let until = one
            .blobs
            .iter()
            .filter_map(|blob| asked.promised_here.get(&name(blob)));
        if let Some(until) = until.max() {
            let day = instant_text(*until);
            let day = day.get(..10).unwrap_or(&day);
            return format!("this device has promised others to keep it until {day}");
        }
        let (keepers, shown) = (&asked.keepers[at], &asked.leaving[at].shown);
        if keepers.len() >= asked.leaving[at].wanted && !asked.leaving[at].is_kept_by(keepers) {
            return ALBUM_OF_OTHERS.to_owned();
        }
        let all: Names = one.blobs.iter().map(name).collect();
        let mut why = Vec::new();
        for (device, witness) in &self.view.witnesses {
            if !witness.is_archive || keepers.contains(device) || one.barred.contains(device) {
                continue;
            }
            let claims = asked.claimed.get(device);
            let what = if witness.failed_audit {
                "could not show what it says it holds"
            } else if !self.near.contains(device) {
                "is not in reach"
            } else if self.silent.contains(device) || shown.contains(device) {
                "did not promise to keep it (maybe it is about to drop it as well)"
            } else if claims.is_some_and(|claims| all.is_subset(claims)) {
                "could not show it"
            } else {
                "does not have it"
            };
            why.push(format!("{} {what}", self.view.device_name(device)));
        }
        let names = keepers.iter().map(|device| self.view.device_name(device));
        let names: Vec<_> = names.collect();
        let names = listing(names.iter().map(String::as_str));
        let mut text = format!(
            "{} to promise to keep it, {} did{names}",
            counted(one.wanted, "other device has", "other devices have"),
            keepers.len()
        );
        if why.is_empty() && one.barred.is_empty() {
            text.push_str("; no other device keeps everything");
        }
        for why in why {
            text.push_str("; ");
            text.push_str(&why);
        }
        text.push_str(&one.why_barred(&self.view));
        text
    }
}

fn name(blob: &BlobRef) -> (LogId, u32) {
    (blob.log, blob.ordinal)
}

/// Names in brackets, or nothing.
pub(super) fn listing<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(" ({})", names.join(", ")),
    }
}
