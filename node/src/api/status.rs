//! `status`: what is safe, what is not, who is connected and what is moving.

use std::sync::Arc;

use heirloom_protocol::sync::keep::ARCHIVES_MIN;
use serde_json::{Value, json};

use super::{Answer, ApiError, Done, Doorway, doctor, live::Live, past};
use crate::{
    catalog::{self, Held, instant_text},
    node::Node,
    runtime::View,
};

#[derive(Default)]
struct Sums {
    assets: u64,
    bytes: u64,
    safe: u64,
    only_here: u64,
}

/// The act; with `check` the exit code says whether everything is safe.
pub(super) async fn status(
    doorway: &Arc<Doorway>,
    node: &Node,
    body: &Value,
    answer: &Answer,
) -> Done {
    let view = node.view().await?;
    let (store, seen) = (node.store().clone(), view.clone());
    let sums = node.blocking(move || sum(&store, &seen)).await??;
    let live = Live::of(doorway, node).await?;
    let peers: Vec<_> = view
        .people
        .devices
        .iter()
        .filter(|row| row.id != view.device && !row.removed)
        .map(|row| {
            let met = live.met(&row.id);
            json!({
                "device": row.id.to_string(),
                "name": view.device_name(&row.id),
                "connected": met.path.is_some(),
                "path": met.path,
                "last_seen": met.last_seen.map(instant_text),
                "full": live.lore.is_full(&row.id),
            })
        })
        .collect();
    let problems = problems(&sums, &live, node, &view, peers.len());
    let is_safe = sums.safe == sums.assets;
    answer
        .line(&json!({
            "type": "status", "v": 1,
            "family": view.family.to_string(), "family_name": view.family_name,
            "device": view.device.to_string(), "device_name": view.device_name(&view.device),
            "node": if live.runs { "running" } else { "stopped" },
            "assets": sums.assets, "bytes": sums.bytes, "copies_wanted": ARCHIVES_MIN,
            "safe": sums.safe, "unsafe": sums.assets - sums.safe, "only_here": sums.only_here,
            "peers": peers,
            "moving": { "sending": 0, "receiving": live.receiving, "waiting": live.waiting },
            "problems": problems, "gallery": null, "listen": live.listen,
        }))
        .await;
    let check = super::pick::flag(body, "check");
    Ok(json!({ "safe": is_safe, "exit": if check && !is_safe { 9 } else { 0 } }))
}

/// Counts what is kept where. An original counts as safe where enough devices that keep everything,
/// and were there lately, say that they hold it.
fn sum(store: &crate::store::Store, view: &View) -> Result<Sums, ApiError> {
    let mut sums = Sums::default();
    let held = Held::of(store);
    for folded in catalog::read(store, view)?.iter() {
        if folded.is_trashed() {
            continue;
        }
        let here = held.here(&folded)?.original;
        let copies = view.copies(&folded, here);
        sums.assets += 1;
        let parts = folded.first().asset.all_parts();
        sums.bytes += parts.map(|(part, _)| part.len).sum::<u64>();
        sums.safe += u64::from(copies.is_safe());
        sums.only_here += u64::from(here && copies.devices == 1);
    }
    Ok(sums)
}

fn problems(sums: &Sums, live: &Live, node: &Node, view: &View, others: usize) -> Vec<String> {
    let mut problems: Vec<String> = Vec::new();
    if others == 0 {
        problems.push("This is the only device of the family: invite a second one (heirloom invite --device).".into());
    } else if sums.only_here > 0 {
        problems.push(format!(
            "{} photos are on this device alone: keep it and another one running (heirloom serve).",
            sums.only_here
        ));
    }
    for row in view.people.devices.iter().filter(|row| !row.removed) {
        let name = view.device_name(&row.id);
        if live.lore.is_full(&row.id) {
            problems.push(format!(
                "The disk of {name} is full: it takes no more photos."
            ));
        }
        if let Some(count) = live.lore.behind.get(&row.id) {
            problems.push(format!(
                "{name} has written {count} entries that have not come here yet."
            ));
        }
    }
    for word in past::words(view, &live.pasts) {
        problems.push(format!("{} {}", word.message, word.remedy));
    }
    if live.wrong_deletions > 0 {
        problems.push(format!(
            "{} deletions named photos that nobody deleted; they were taken back.",
            live.wrong_deletions
        ));
    }
    if live.waiting > 0 {
        problems.push(format!("{} files have not arrived yet: they come as soon as a device that holds them is in reach.", live.waiting));
    }
    if !doctor::has_kit(view) {
        problems.push("There are no recovery words: make them (heirloom recovery replace).".into());
    }
    let free = node.store().free_bytes();
    if let Some(free) = free.filter(|free| *free < doctor::NEARLY_FULL_BYTES) {
        problems.push(format!(
            "The disk is nearly full: {} MB are free.",
            free / 1_000_000
        ));
    }
    let opened = node.store().opened();
    if !opened.damages.is_empty() || !opened.stranded.is_empty() {
        problems
            .push("Damage was found when the home was opened: heirloom verify names it.".into());
    }
    problems
}
