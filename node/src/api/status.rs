//! `status`: what is safe, what is not, who is connected and what is moving.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Answer, ApiError, Done, Doorway, live::Live};
use crate::{
    catalog::{self, instant_text},
    node::Node,
    runtime::View,
};

/// Devices that are to hold every original, this one included.
const COPIES_WANTED: usize = 2;

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
    let network = doorway.network().await;
    let connected = match &network {
        Some(network) => network.connected().await,
        None => Vec::new(),
    };
    let waiting = Live::of(doorway, node).await?.waiting;
    let peers: Vec<_> = view
        .people
        .devices
        .iter()
        .filter(|row| row.id != view.device && !row.removed)
        .map(|row| {
            let path = connected.iter().find(|path| path.peer.0 == row.id.0);
            json!({
                "device": row.id.to_string(),
                "name": view.device_name(&row.id),
                "connected": path.is_some(),
                "path": path.map(|path| match path.path {
                    crate::net::Path::Lan => "lan",
                    crate::net::Path::Direct => "direct",
                }),
                "last_seen": path.map(|_| instant_text(crate::runtime::Runtime::now().0)),
            })
        })
        .collect();
    let (sending, receiving) = network.as_ref().map_or((0, 0), |network| {
        let moved = network.moved();
        (moved.blobs_sent, moved.blobs_received)
    });
    let problems = problems(&sums, peers.len(), waiting);
    let is_safe = sums.safe == sums.assets;
    let listen: Vec<_> = network
        .iter()
        .flat_map(|n| n.addresses())
        .map(|a| a.to_string())
        .collect();
    answer
        .line(&json!({
            "type": "status", "v": 1,
            "family": view.family.to_string(), "family_name": view.family_name,
            "device": view.device.to_string(), "device_name": view.device_name(&view.device),
            "node": if network.is_some() { "running" } else { "stopped" },
            "assets": sums.assets, "bytes": sums.bytes, "copies_wanted": COPIES_WANTED,
            "safe": sums.safe, "unsafe": sums.assets - sums.safe, "only_here": sums.only_here,
            "peers": peers,
            "moving": { "sending": sending, "receiving": receiving, "waiting": waiting },
            "problems": problems, "gallery": null, "listen": listen,
        }))
        .await;
    let check = super::pick::flag(body, "check");
    Ok(json!({ "safe": is_safe, "exit": if check && !is_safe { 9 } else { 0 } }))
}

/// Counts what is kept where: an original counts as safe where enough devices say that they hold it.
fn sum(store: &crate::store::Store, view: &View) -> Result<Sums, ApiError> {
    let mut sums = Sums::default();
    for folded in catalog::read(store, view)? {
        if folded.is_trashed() {
            continue;
        }
        let here = catalog::here(store, &folded)?.original;
        let copies = view.copies(&folded, here);
        sums.assets += 1;
        let parts = folded.first().asset.all_parts();
        sums.bytes += parts.map(|(part, _)| part.len).sum::<u64>();
        sums.safe += u64::from(copies >= COPIES_WANTED);
        sums.only_here += u64::from(here && copies == 1);
    }
    Ok(sums)
}

fn problems(sums: &Sums, others: usize, waiting: u64) -> Vec<String> {
    let mut problems = Vec::new();
    if others == 0 {
        problems.push("This is the only device of the family: invite a second one (heirloom invite --device).".into());
    } else if sums.only_here > 0 {
        problems.push(format!(
            "{} photos are on this device alone: keep it and another one running (heirloom serve).",
            sums.only_here
        ));
    }
    if waiting > 0 {
        problems.push(format!("{waiting} files have not arrived yet: they come as soon as a device that holds them is in reach."));
    }
    problems
}
