//! `trash`, `restore` and `purge`: what is to become of assets.

use std::collections::BTreeMap;

use heirloom_protocol::{
    id::{AlbumId, OpId},
    op::Op,
};
use serde_json::Value;

use super::{
    Answer, ApiError, Done,
    edits::ids,
    pick,
    write::{Edits, Outcome},
};
use crate::{
    catalog::{Folded, Item},
    node::Node,
    runtime::{AssetKey, View},
    upkeep,
};

const NOT_DECIDED: &str = "only who added it, or a manager of the album, may do that";

/// `trash`: out of sight, everywhere or in one album.
pub(super) async fn trash(node: &Node, body: &Value, answer: &Answer) -> Done {
    let view = node.view().await?;
    let asked = pick::optional(body, "album");
    let album = asked
        .map(|asked| pick::album_id(&view, asked))
        .transpose()?;
    let ids = ids(body)?;
    let is_out = |item: &Item| item.asset.trashed().is_none();
    decide(node, &view, &ids, album, answer, is_out, What::Trash).await
}

/// `restore`: back from the trash, wherever it lies in it.
pub(super) async fn restore(node: &Node, body: &Value, answer: &Answer) -> Done {
    let view = node.view().await?;
    let ids = ids(body)?;
    let is_in = |item: &Item| item.asset.trashed().is_some();
    decide(node, &view, &ids, None, answer, is_in, What::Restore).await
}

/// `purge`: gone for good, wherever this person may decide that.
///
/// What was deleted long enough ago leaves this disk in the same go.
pub(super) async fn purge(node: &Node, body: &Value, answer: &Answer) -> Done {
    let view = node.view().await?;
    let ids = ids(body)?;
    let done = decide(node, &view, &ids, None, answer, |_| true, What::Purge).await?;
    // What was asked for is done; what else is due can wait.
    if let Err(error) = upkeep::round(node).await {
        tracing::warn!(%error, "upkeep");
    }
    Ok(done)
}

/// What is decided.
#[derive(Clone, Copy)]
enum What {
    Trash,
    Restore,
    Purge,
}

impl What {
    async fn record(
        self,
        node: &Node,
        decided: BTreeMap<AlbumId, Vec<OpId>>,
    ) -> Result<(), ApiError> {
        let op = match self {
            Self::Trash => Op::Trash,
            Self::Restore => Op::Restore,
            Self::Purge => {
                for (album, items) in decided {
                    node.ask(move |runtime| runtime.purge(album, &items))
                        .await??;
                }
                return Ok(());
            }
        };
        let mut edits = Edits::default();
        edits.say_of_all(decided, op);
        edits.record(node).await
    }
}

/// Whether this person decides what becomes of an item.
pub(super) fn may_decide(view: &View, item: &Item) -> bool {
    view.may_decide(&item.key.album, &item.asset)
}

async fn decide(
    node: &Node,
    view: &View,
    ids: &[&str],
    album: Option<AlbumId>,
    answer: &Answer,
    concerns: impl Fn(&Item) -> bool,
    what: What,
) -> Done {
    let assets = pick::assets(node, view, ids).await?;
    let mut outcome = Outcome::default();
    let mut decided: BTreeMap<AlbumId, Vec<OpId>> = BTreeMap::new();
    let mut notes = Vec::new();
    for folded in &assets {
        let weighed = weigh(view, folded, album, &concerns)?;
        let name = folded.first().key.item.short();
        if !weighed.allowed {
            outcome.refused.push(name);
            continue;
        }
        outcome.allowed += 1;
        outcome.changed += u64::from(!weighed.decided.is_empty());
        for AssetKey { album, item } in weighed.decided {
            decided.entry(album).or_default().push(item);
        }
        for album in weighed.stays {
            notes.push(format!("{name} stays as it is in {album}: {NOT_DECIDED}"));
        }
    }
    what.record(node, decided).await?;
    for note in notes {
        answer.note(&note).await;
    }
    outcome.finish(answer, NOT_DECIDED).await
}

/// What of an asset is decided.
#[derive(Default)]
struct Weighed {
    /// Whether this person decides about any of its items.
    allowed: bool,
    decided: Vec<AssetKey>,
    /// Albums where it stays as it is.
    stays: Vec<String>,
}

fn weigh(
    view: &View,
    folded: &Folded,
    album: Option<AlbumId>,
    concerns: impl Fn(&Item) -> bool,
) -> Result<Weighed, ApiError> {
    let mut weighed = Weighed::default();
    let mut found = false;
    for item in &folded.items {
        if album.is_some_and(|album| album != item.key.album) {
            continue;
        }
        found = true;
        let may = may_decide(view, item);
        weighed.allowed |= may;
        if !concerns(item) {
            continue;
        }
        if may {
            weighed.decided.push(item.key);
        } else if let Some(album) = view.albums.get(&item.key.album) {
            weighed.stays.push(album.name(view));
        }
    }
    if found {
        Ok(weighed)
    } else {
        let name = folded.first().key.item.short();
        Err(ApiError::not_found(&format!("asset {name} in that album")))
    }
}
