//! `offload`: originals leave this device once enough others have just shown and promised to keep them.
//!
//! Nothing here decides that a blob may go: [`crate::runtime`] does, in the turn
//! in which it goes. This asks the others, waits for what they sign, and says of
//! each photo what came of it.

mod ask;
mod bring;
mod evict;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use heirloom_protocol::{
    album::asset::BlobRef,
    id::{DeviceId, LogId, OpId},
    replica::DeviceRow,
};
use serde_json::{Value, json};

use self::ask::Asking;
pub(crate) use self::evict::keep_within_limit;
pub(super) use self::{
    bring::{bring, who_has},
    evict::limit_of,
};
use super::{Answer, ApiError, Done, Doorway, answer::Progress, more, network, pair, pick};
use crate::{
    catalog::{self, Filter, Folded, Held},
    forms::counted,
    node::Node,
    runtime::{SeenAlbum, View, confirmed_kit, used},
    store::{Store, StoreError},
};

/// Why a photo stays that would be nowhere for its owner once a share ended.
const ALBUM_OF_OTHERS: &str = "it is yours and only in an album that somebody else made, whose devices give it to you for 90 days at most once that share ends: another device of yours has to keep it too, or it has to be in your library (heirloom album add Library ID)";

/// Photos for which promises are asked at once.
const BATCH: usize = 256;

/// A photo whose original is here.
#[derive(Clone, Debug)]
struct Candidate {
    id: OpId,
    name: String,
    bytes: u64,
    /// By the names that peers know.
    blobs: Vec<BlobRef>,
    /// On how many other devices it has to be.
    wanted: u32,
    /// Devices that keep everything and may not hold this.
    barred: BTreeSet<DeviceId>,
    /// How many may.
    allowed: u32,
    /// The archives that say they hold it and have proved lately what they hold.
    likely: BTreeSet<String>,
    /// Of whom one at least has to keep it, if anybody's device does not do: see [`staying`].
    staying: Option<BTreeSet<DeviceId>>,
    /// Whether one of those is likely to.
    likely_stays: bool,
    /// By the names under which they are kept.
    kept: Vec<(LogId, u32)>,
    /// When one of them was last used, Unix milliseconds; 0 for never.
    used: u64,
    /// Its pictures are made, or cannot be: nothing has to be read for them.
    has_pictures: bool,
}

impl Candidate {
    /// Which devices may not hold it, and what to do where too few may; nothing where none is barred
    /// and enough are there.
    fn why_barred(&self, view: &View) -> String {
        let barred = self.barred.iter();
        let barred = barred.map(|device| format!("; {} may not hold it", view.device_name(device)));
        let mut text: String = barred.collect();
        if self.allowed < self.wanted {
            let how = more::device(view);
            text.push_str(&format!(
                "; one more that keeps everything and may hold it is needed ({how})"
            ));
        }
        text
    }

    fn line(&self, outcome: &str, reason: Option<String>) -> Value {
        json!({
            "type": "original", "v": 1, "asset": self.id.to_string(), "name": self.name,
            "bytes": self.bytes, "outcome": outcome, "reason": reason,
        })
    }
}

#[derive(Clone, Copy, Default)]
struct Totals {
    dropped: u64,
    kept: u64,
    bytes: u64,
}

impl Totals {
    fn add(&mut self, candidate: &Candidate, dropped: bool) {
        self.dropped += u64::from(dropped);
        self.kept += u64::from(!dropped);
        self.bytes += if dropped { candidate.bytes } else { 0 };
    }

    fn summary(self, dry: bool) -> Value {
        let exit = match self {
            Self { kept: 1.., .. } => 3,
            Self { dropped: 0, .. } => 4,
            _ => 0,
        };
        json!({
            "dropped": self.dropped, "kept": self.kept, "bytes": self.bytes,
            "dry_run": dry, "exit": exit,
        })
    }
}

/// The act.
pub(super) async fn offload(
    doorway: &Arc<Doorway>,
    node: &Node,
    body: &Value,
    answer: &Answer,
) -> Done {
    let view = node.view().await?;
    let mut filter = Filter::default();
    if let Some(asked) = pick::optional(body, "album") {
        filter.album = Some(pick::album_id(&view, asked)?);
    }
    if let Some(asked) = pick::optional(body, "older") {
        let (from, _) = catalog::parse_range(asked).ok_or_else(|| {
            ApiError::usage(&format!("{asked:?} is no date")).hint("2023, 2023-05 or 2023-05-01")
        })?;
        filter.taken = Some((i64::MIN, from));
    }
    if pick::flag(body, "dry_run") {
        return rehearse(node, filter, answer).await;
    }
    may_offload(node, &view).await?;
    let lent = pair::Lent::of(doorway, node).await?;
    let done = match network::meet(&lent, answer).await {
        Ok(()) => run(node, &lent.network, filter, answer).await,
        Err(error) => Err(error.safe("Nothing was dropped.")),
    };
    lent.give_back().await;
    done
}

/// Says what an offload would do by what is known here, and asks nobody.
async fn rehearse(node: &Node, filter: Filter, answer: &Answer) -> Done {
    let mut totals = Totals::default();
    let view = node.view().await?;
    for candidate in candidates(node, filter).await? {
        let have = u32::try_from(candidate.likely.len()).unwrap_or(u32::MAX);
        let goes = have >= candidate.wanted && candidate.likely_stays;
        totals.add(&candidate, goes);
        let reason = (!goes).then(|| {
            if have >= candidate.wanted {
                return ALBUM_OF_OTHERS.to_owned();
            }
            let names = ask::listing(candidate.likely.iter().map(String::as_str));
            let devices = counted(
                candidate.wanted,
                "other device that keeps",
                "other devices that keep",
            );
            let barred = candidate.why_barred(&view);
            format!("it has to be on {devices} everything, and is on {have}{names}{barred}")
        });
        let outcome = if goes { "would" } else { "kept" };
        answer.line(&candidate.line(outcome, reason)).await;
    }
    Ok(totals.summary(true))
}

/// Only whose recovery words were typed right may rely on other devices.
pub(super) async fn may_offload(node: &Node, view: &View) -> Result<(), ApiError> {
    let refused = |message: &str, hint: &str| {
        let error = ApiError::not_allowed(message).safe("Nothing was dropped.");
        Err(error.hint(hint))
    };
    let Some(person) = view.person else {
        return refused("a keeper keeps everything", "offload on another device");
    };
    let kit = node
        .ask(move |runtime| runtime.replica().kit_of(&person))
        .await?;
    let store = node.store().clone();
    let confirmed = node.blocking(move || confirmed_kit(&store)).await??;
    match kit {
        None => refused(
            "there are no recovery words: with this device your way to the other copies could be lost",
            "make them (heirloom recovery replace), then prove them (heirloom recovery check)",
        ),
        Some(kit) if confirmed != Some(kit) => refused(
            "your recovery words were never checked on this device: without them your way to the other copies could be lost",
            "take the paper and run heirloom recovery check",
        ),
        Some(_) => Ok(()),
    }
}

async fn run(
    node: &Node,
    network: &crate::network::Network,
    filter: Filter,
    answer: &Answer,
) -> Done {
    let mut totals = Totals::default();
    let all = candidates(node, filter).await?;
    let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
    let mut asking = Asking::new(node.clone(), network.clone()).await?;
    for some in all.chunks(BATCH) {
        for (candidate, why) in some.iter().zip(asking.offload(some).await?) {
            totals.add(candidate, why.is_none());
            let outcome = if why.is_none() { "dropped" } else { "kept" };
            answer.line(&candidate.line(outcome, why)).await;
        }
        answer.progress(Progress {
            done: totals.dropped + totals.kept,
            total,
            bytes: totals.bytes,
            bytes_total: 0,
        });
        if answer.dropped().is_cancelled() {
            break;
        }
    }
    if asking.became_cache {
        let text = "This device is now one that may drop originals: it gets those of others when you ask for them. \
                    To have everything here again: heirloom device policy NAME archive";
        answer.note(text).await;
    }
    Ok(totals.summary(false))
}

/// Photos that a filter lets through and whose originals are here, by the names that peers know.
async fn candidates(node: &Node, filter: Filter) -> Result<Vec<Candidate>, ApiError> {
    let view = node.view().await?;
    let store = node.store().clone();
    let found = node
        .blocking(move || find(&store, &view, &filter))
        .await??;
    let named = node.ask(move |runtime| {
        let mut found = found;
        for candidate in &mut found {
            candidate.blobs = runtime.named_blobs(&candidate.blobs);
        }
        found
    });
    Ok(named.await?)
}

fn find(store: &Store, view: &View, filter: &Filter) -> Result<Vec<Candidate>, StoreError> {
    let held = Held::of(store);
    let mut found = Vec::new();
    let used = used(store)?;
    for folded in catalog::read(store, view)?.in_order(|one| filter.fits(one)) {
        let mut blobs: Vec<BlobRef> = Vec::new();
        for item in &folded.items {
            if !held.has_originals(item, folded.me)? {
                continue;
            }
            for (_, blob) in item.asset.all_parts() {
                // What somebody else added to it may be nowhere, and is none of what is let go.
                if held.has(blob)? {
                    blobs.push(*blob);
                }
            }
        }
        blobs.sort_by_key(|blob| (blob.log, blob.ordinal));
        blobs.dedup();
        if blobs.is_empty() {
            continue;
        }
        found.push(candidate(view, &folded, blobs, &used));
    }
    Ok(found)
}

fn candidate(
    view: &View,
    folded: &Folded,
    blobs: Vec<BlobRef>,
    used: &BTreeMap<(LogId, u32), u64>,
) -> Candidate {
    let kept: Vec<_> = blobs.iter().map(|blob| (blob.log, blob.ordinal)).collect();
    let uses = kept.iter().filter_map(|name| used.get(name));
    let first = folded.first();
    let parts: Vec<_> = first.asset.all_parts().map(|(part, _)| part).collect();
    let kept_on = view.kept_on(folded, false);
    let staying = staying(view, folded);
    let archives: BTreeSet<String> = view
        .witnesses
        .iter()
        .filter(|(_, witness)| witness.counts(view.now))
        .map(|(device, _)| device.to_string())
        .collect();
    let keeps = |row: &&DeviceRow| {
        let witness = view.witnesses.get(&row.id);
        witness.is_some_and(|witness| witness.is_archive)
    };
    let (may, barred): (Vec<_>, Vec<_>) = view
        .others()
        .filter(keeps)
        .partition(|row| view.may_hold(row, folded));
    Candidate {
        barred: barred.into_iter().map(|row| row.id).collect(),
        allowed: u32::try_from(may.len()).unwrap_or(u32::MAX),
        id: first.key.item,
        name: parts
            .first()
            .map(|part| part.name.clone())
            .unwrap_or_default(),
        bytes: parts.iter().map(|part| part.len).sum(),
        blobs,
        wanted: view.copies_wanted_of(folded),
        likely_stays: staying.as_ref().is_none_or(|staying| {
            let stays = |id: &String| staying.iter().any(|device| device.to_string() == *id);
            let mut likely = kept_on
                .iter()
                .filter(|kept| archives.contains(&kept.device));
            likely.any(|kept| stays(&kept.device))
        }),
        staying,
        likely: kept_on
            .into_iter()
            .filter(|kept| archives.contains(&kept.device))
            .map(|kept| kept.name)
            .collect(),
        used: uses.max().copied().unwrap_or(0),
        has_pictures: !folded.waits_for_pictures(),
        kept,
    }
}

/// This person's other devices, where they added a photo to albums that others made and to none of their own.
///
/// Who made such an album, or manages it, may end the share at any time: then their devices, and keepers, give
/// this person of it what they promised to keep, until the promise ends, and nothing after that.
fn staying(view: &View, folded: &Folded) -> Option<BTreeSet<DeviceId>> {
    let items = folded.items.iter();
    let own = items.filter(|item| item.asset.owner() == view.person);
    let own = own.filter(|item| item.asset.trashed().is_none());
    let mut albums = own.map(|item| view.albums.get(&item.key.album)).peekable();
    albums.peek()?;
    let is_mine =
        |album: Option<&SeenAlbum>| album.is_some_and(|album| Some(album.creator) == view.person);
    if albums.any(is_mine) {
        return None;
    }
    let mine = view.others().filter(|row| row.person == view.person);
    Some(mine.map(|row| row.id).collect())
}
