//! `keep`: on how many devices that keep everything the originals are to be, and on which they are.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_protocol::{
    id::DeviceId,
    op::{ALBUM_COPIES, DeviceKind, Level, Op, SetAlbum},
};
use serde_json::{Value, json};

use super::{Answer, ApiError, Done, pick, write::Edits};
use crate::{
    catalog::{self, Held, instant_text},
    node::Node,
    runtime::{COPIES_MAX, View, want_copies},
    store::{Store, StoreError},
};

/// `keep`, with what to do in `do`.
pub(super) async fn keep(node: &Node, body: &Value, answer: &Answer) -> Done {
    match pick::optional(body, "do").unwrap_or("show") {
        "show" => show(node, answer).await,
        "set" => set(node, body).await,
        other => Err(ApiError::usage(&format!("keep does not know {other:?}"))),
    }
}

async fn show(node: &Node, answer: &Answer) -> Done {
    let view = node.view().await?;
    let (store, seen) = (node.store().clone(), view.clone());
    let (sums, loads) = node.blocking(move || sums(&store, &seen)).await??;
    for ((album, wanted), sum) in sums {
        let line = json!({
            "type": "keep", "v": 1, "album": album, "ids": sum.ids,
            "copies_wanted": wanted, "own": sum.own,
            "assets": sum.assets, "safe": sum.safe,
        });
        answer.line(&line).await;
    }
    let devices = view.people.devices.iter().filter(|row| !row.removed);
    for row in devices {
        let audit = view.peers.audit(&row.id);
        let is_this = row.id == view.device;
        let witness = view.witnesses.get(&row.id);
        let load = loads.get(&row.id).copied().unwrap_or_default();
        let line = json!({
            "type": "holder", "v": 1,
            "device": row.id.to_string(), "name": view.device_name(&row.id), "this": is_this,
            "kind": match row.kind { DeviceKind::Device => "device", DeviceKind::Keeper => "keeper" },
            "archive": if is_this { view.keeps } else { witness.is_some_and(|w| w.is_archive) },
            "holds": load.holds, "of": load.of,
            "proved": is_this || witness.is_some_and(|w| w.is_proved(view.now)),
            "proved_at": audit.and_then(|audit| audit.proved()).map(|at| instant_text(at.0)),
            "checked": audit.map_or(0, |audit| audit.checked),
            "failed": audit.map_or(0, |audit| audit.failing.len()),
        });
        answer.line(&line).await;
    }
    Ok(json!({"copies_wanted": view.copies_wanted}))
}

#[derive(Default)]
struct Sum {
    /// Of the albums with this name.
    ids: Vec<String>,
    own: bool,
    assets: u64,
    safe: u64,
}

/// Of the photos that a device may hold: how many it says that it holds, and was not found out.
#[derive(Clone, Copy, Default)]
struct Load {
    holds: u64,
    of: u64,
}

type Sums = BTreeMap<(String, u32), Sum>;
type Loads = BTreeMap<DeviceId, Load>;

/// By album: how many of its assets have as many copies as are wanted for them; and by device: how many
/// it holds.
fn sums(store: &Store, view: &View) -> Result<(Sums, Loads), StoreError> {
    let (mut sums, mut loads) = (Sums::new(), Loads::new());
    let key = |album: &crate::runtime::SeenAlbum| {
        let wanted = album.row.copies().unwrap_or(view.copies_wanted);
        (album.name(view), wanted)
    };
    for (id, album) in &view.albums {
        let sum = sums.entry(key(album)).or_default();
        sum.own |= album.row.copies().is_some();
        sum.ids.push(id.to_string());
    }
    let held = Held::of(store);
    for folded in catalog::read(store, view)?.iter() {
        if folded.is_trashed() {
            continue;
        }
        let here = held.here(&folded)?.original;
        let assets = folded.items.iter().map(|item| &item.asset);
        let holders = view.peers.holders_of(assets, view.person);
        for row in view.people.devices.iter().filter(|row| !row.removed) {
            if !view.may_hold(row, &folded) {
                continue;
            }
            let holds = match row.id == view.device {
                true => here,
                false => holders.contains(&row.id),
            };
            let load = loads.entry(row.id).or_default();
            load.of += 1;
            load.holds += u64::from(holds);
        }
        let copies = view.copies_at(&holders, here);
        let safe = copies.has(view.copies_wanted_of(&folded));
        let live = folded
            .items
            .iter()
            .filter(|item| item.asset.trashed().is_none());
        let albums = live.filter_map(|item| view.albums.get(&item.key.album));
        for album in albums.map(key).collect::<BTreeSet<_>>() {
            let sum = sums.entry(album).or_default();
            sum.assets += 1;
            sum.safe += u64::from(safe);
        }
    }
    Ok((sums, loads))
}

async fn set(node: &Node, body: &Value) -> Done {
    let copies = body.get("copies").and_then(Value::as_u64);
    let copies = copies.and_then(|copies| u8::try_from(copies).ok());
    let copies = copies.filter(|copies| (1..=COPIES_MAX).contains(&u32::from(*copies)));
    let copies = copies
        .ok_or_else(|| ApiError::usage(&format!("copies is a number from 1 to {COPIES_MAX}")))?;
    let view = node.view().await?;
    let Some(asked) = pick::optional(body, "album") else {
        let store = node.store().clone();
        node.blocking(move || want_copies(&store, copies)).await??;
        let device_name = view.device_name(&view.device);
        return Ok(json!({"copies_wanted": copies, "device_name": device_name}));
    };
    let album = pick::album_id(&view, asked)?;
    if view.level(&album) < Level::Manager {
        return Err(ApiError::not_allowed(
            "only who manages an album says how many copies of it are kept",
        )
        .safe("Nothing was changed.")
        .hint("ask somebody who manages the album"));
    }
    let mut edits = Edits::default();
    let (field, value) = (ALBUM_COPIES, vec![copies]);
    edits.say(album, Op::SetAlbum(SetAlbum { field, value }));
    edits.record(node).await?;
    Ok(json!({"copies_wanted": copies, "album": album.to_string()}))
}
