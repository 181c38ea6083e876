//! What is in albums that somebody deleted: whose it is keeps it in the own library.
//!
//! Whoever deletes an album keeps what is there to be seen. What others added to it is theirs, and what
//! came from a device that had not heard yet would be in sight nowhere.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_protocol::{
    id::{AlbumId, OpId, PersonId},
    op::Op,
};

use super::{
    ApiError, copy::copy_into, ended::keep_taken, library, trash::may_decide, write::Edits,
};
use crate::{
    catalog::{self, Folded, Held, Item},
    node::Node,
    runtime::View,
    store::{Store, StoreError},
};

/// What is to be done about deleted albums.
#[derive(Default)]
struct Plan {
    /// In sight nowhere, and to be put into the library.
    keep: Vec<Folded>,
    /// Items in deleted albums that are in sight under another item of the same person by then.
    let_go: BTreeMap<AlbumId, Vec<OpId>>,
}

/// Puts into the library what this person added to albums that were deleted and that is in no other album,
/// and lets go of it there: what is later deleted from the library does not come back.
///
/// What of it is not on this device waits for another round. Durable when it returns.
///
/// The same with what was in albums that are no longer shared with this person.
pub(crate) async fn keep_from_deleted(node: &Node) -> Result<(), ApiError> {
    keep_taken(node).await?;
    let deleted = node.ask(|runtime| runtime.deleted_albums()).await?;
    if deleted.is_empty() {
        return Ok(());
    }
    let view = node.view().await?;
    let library = library::begun(node, &view).await?;
    let Some((me, library)) = view.person.zip(library) else {
        return Ok(());
    };
    let gone: BTreeSet<AlbumId> = deleted.keys().copied().collect();
    let mut all = view.clone();
    all.albums.extend(deleted);
    let store = node.store().clone();
    let planned = node.blocking(move || plan(&store, &all, &gone, me));
    let Plan { keep, let_go } = planned.await??;
    if !keep.is_empty() {
        let kept = copy_into(node, &view, library, keep).await?;
        tracing::info!(added = kept.added, "photos of a deleted album are kept");
    }
    let mut edits = Edits::default();
    edits.say_of_all(let_go, Op::Trash);
    edits.record(node).await
}

fn plan(
    store: &Store,
    view: &View,
    gone: &BTreeSet<AlbumId>,
    me: PersonId,
) -> Result<Plan, StoreError> {
    let held = Held::of(store);
    let mut plan = Plan::default();
    let rows = catalog::read(store, view)?;
    for folded in rows.iter() {
        let is_own = |item: &&&Item| item.asset.owner() == Some(me);
        let is_live = |item: &&Item| item.asset.trashed().is_none();
        let live = folded.items.iter().filter(is_live);
        let (lost, seen): (Vec<_>, Vec<_>) = live.partition(|item| gone.contains(&item.key.album));
        let lost = lost.iter().filter(is_own);
        let own: Vec<_> = lost.filter(|item| may_decide(view, item)).collect();
        if own.is_empty() {
            continue;
        }
        let is_kept = if seen.is_empty() {
            held.here(&folded)?.original
        } else {
            seen.iter().any(|item| is_own(&item))
        };
        if !is_kept {
            continue;
        }
        for item in own {
            let items = plan.let_go.entry(item.key.album).or_default();
            items.push(item.key.item);
        }
        if seen.is_empty() {
            plan.keep.push(folded);
        }
    }
    Ok(plan)
}
