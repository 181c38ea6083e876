//! Originals that are on other devices come when somebody asks for them.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use heirloom_protocol::{
    album::asset::{Asset, BlobRef},
    id::OpId,
};

use super::{ApiError, pair};
use crate::{
    api::{Answer, Doorway, answer::Progress},
    catalog::{Folded, Held},
    node::Node,
    runtime::{View, damaged, needed, note_used},
    store::{Store, StoreError},
};

/// How long nothing may come before the rest is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at what came.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Of the assets whose originals are not here: who says that they hold them.
pub(in crate::api) fn who_has(
    store: &Store,
    view: &View,
    assets: &[Folded],
) -> Result<BTreeMap<OpId, Vec<String>>, StoreError> {
    let held = Held::of(store);
    let mut who = BTreeMap::new();
    for folded in assets {
        if !held.here(folded)?.original {
            let kept_on = view.kept_on(folded, false).into_iter();
            let names = kept_on.map(|kept| kept.name).collect();
            who.insert(folded.first().key.item, names);
        }
    }
    Ok(who)
}

/// Gets the originals of assets that are not here and that another device says it holds, as far as
/// they come: each that is there now is durable.
pub(in crate::api) async fn bring(
    doorway: &Arc<Doorway>,
    node: &Node,
    assets: &[Folded],
    answer: &Answer,
) -> Result<(), ApiError> {
    let view = node.view().await?;
    note(node, &view, assets).await?;
    let (store, all) = (node.store().clone(), assets.to_vec());
    let missing = node.blocking(move || missing(&store, &view, &all));
    let mut missing = give_up(node, missing.await??).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let lent = pair::Lent::of(doorway, node).await?;
    let came = wait(node, &lent, &mut missing, answer).await;
    lent.give_back().await;
    came
}

/// Notes on a device with little room that somebody uses these originals, so that they are not let go now.
async fn note(node: &Node, view: &View, assets: &[Folded]) -> Result<(), ApiError> {
    if view.keeps {
        return Ok(());
    }
    let items = assets.iter().flat_map(|folded| &folded.items);
    let blobs: Vec<BlobRef> = items
        .flat_map(|item| item.asset.all_parts())
        .map(|(_, blob)| *blob)
        .collect();
    let (store, now) = (node.store().clone(), view.now.0);
    let noted = node.blocking(move || note_used(&store, &blobs, now));
    Ok(noted.await??)
}

/// The originals that are lacking of assets that somebody else holds.
fn missing(store: &Store, view: &View, assets: &[Folded]) -> Result<Vec<BlobRef>, StoreError> {
    let held = Held::of(store);
    let mut missing = Vec::new();
    for folded in assets {
        if held.here(folded)?.original || view.kept_on(folded, false).is_empty() {
            continue;
        }
        let items = || folded.items.iter().map(|item| &item.asset);
        let theirs = |blob: &&&BlobRef| view.peers.anyone_holds(blob);
        // Of what makes it whole, one set that can be had is enough.
        for files in needed::files(items(), view.person) {
            let mut lacking = Vec::new();
            let mut is_whole = true;
            for file in &files {
                let mut is_here = false;
                for blob in file {
                    is_here |= held.has(blob)?;
                }
                if !is_here {
                    let there = file.iter().find(theirs);
                    is_whole &= there.is_some();
                    lacking.extend(there.map(|blob| **blob));
                }
            }
            if is_whole {
                missing.extend(lacking);
                break;
            }
        }
        // What others added to it comes with it.
        for (person, _, blob) in items().flat_map(Asset::said_parts) {
            let is_own =
                Some(person) == view.person || Some(person) == folded.first().asset.owner();
            if !is_own
                && !missing.contains(blob)
                && !held.has(blob)?
                && view.peers.anyone_holds(blob)
            {
                missing.push(*blob);
            }
        }
    }
    Ok(missing)
}

/// Puts aside what was found damaged or missing here, of what is to come: while the index names it nobody gets it
/// again. What turns out to be whole is missed no more, and what may not be read stays as it is. Gives what is to come.
async fn give_up(node: &Node, missing: Vec<BlobRef>) -> Result<Vec<BlobRef>, ApiError> {
    let store = node.store().clone();
    let sorted = node.blocking(move || {
        let held = Held::of(&store);
        let (mut to_come, mut bad, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        for blob in missing {
            if !held.may_have(&blob)? {
                to_come.push(blob);
                continue;
            }
            match damaged(&store, &[blob]) {
                Ok(none) if none.is_empty() => whole.push((blob.log, blob.ordinal)),
                Ok(_) => bad.push(blob),
                Err(error) => tracing::debug!(%error, "an original may not be read"),
            }
        }
        to_come.extend(&bad);
        Ok::<_, StoreError>((to_come, bad, whole))
    });
    let (to_come, bad, whole) = sorted.await??;
    if !(bad.is_empty() && whole.is_empty()) {
        let done = node.ask(move |runtime| {
            runtime.miss_no_more(&whole)?;
            match bad.is_empty() {
                true => Ok(()),
                false => runtime.heal_read(&bad),
            }
        });
        done.await??;
    }
    Ok(to_come)
}

async fn wait(
    node: &Node,
    lent: &pair::Lent,
    missing: &mut Vec<BlobRef>,
    answer: &Answer,
) -> Result<(), ApiError> {
    let total = u64::try_from(missing.len()).unwrap_or(u64::MAX);
    let blobs = missing.clone();
    node.ask(move |runtime| {
        let named = runtime.named_blobs(&blobs);
        runtime.look_at(&named);
    })
    .await?;
    lent.network.call_round().await?;
    let mut stirs = lent.network.stirs();
    let (mut moved, mut changed) = (lent.network.moved(), Instant::now());
    loop {
        lent.network.fetch_all();
        let (store, blobs) = (node.store().clone(), missing.clone());
        let left = node.blocking(move || lacking(&store, blobs)).await??;
        let now = lent.network.moved();
        if left.len() != missing.len() || now.bytes_received != moved.bytes_received {
            (moved, changed) = (now, Instant::now());
        }
        *missing = left;
        let done = total - u64::try_from(missing.len()).unwrap_or(total).min(total);
        answer.progress(Progress {
            done,
            total,
            ..Progress::default()
        });
        let is_over = missing.is_empty() || answer.dropped().is_cancelled();
        if is_over || changed.elapsed() >= PATIENCE {
            return Ok(());
        }
        // Time alone may decide.
        let _ = tokio::time::timeout(LOOK_AGAIN, stirs.changed()).await;
    }
}

fn lacking(store: &Store, mut blobs: Vec<BlobRef>) -> Result<Vec<BlobRef>, StoreError> {
    let held = Held::of(store);
    let mut failed = None;
    blobs.retain(|blob| match held.has(blob) {
        Ok(has) => !has,
        Err(error) => {
            failed = Some(error);
            true
        }
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(blobs),
    }
}
