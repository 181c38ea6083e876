//! `trash`, `restore` and `purge`: what is to become of assets.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_protocol::{
    id::{AlbumId, OpId},
    op::{Level, Op},
    replica::DeviceRow,
};
use serde_json::{Map, Value, json};

use super::{
    Answer, ApiError, Done,
    edits::ids,
    pick, undo,
    write::{Edits, Outcome},
};
use crate::{
    catalog::{Folded, Held, Item},
    node::Node,
    runtime::{AssetKey, SeenAlbum, View},
    store::{Store, StoreError},
    upkeep,
};

/// Why a photo that is in sight is not deleted for good: a mistyped id must take nothing from anybody.
const NOT_TRASHED: &str = "it is not in the trash, and only what is there can be deleted for good";
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

/// `purge`: gone for good, wherever it lies in the trash and this person may decide that.
///
/// What is in sight is refused, whoever asks.
/// What was deleted long enough ago leaves this disk in the same go.
pub(super) async fn purge(node: &Node, body: &Value, answer: &Answer) -> Done {
    let view = node.view().await?;
    let ids = ids(body)?;
    let is_in = |item: &Item| item.asset.trashed().is_some();
    let done = decide(node, &view, &ids, None, answer, is_in, What::Purge).await?;
    // What was asked for is done; what else is due can wait.
    if let Err(error) = upkeep::round(node).await {
        tracing::warn!(%error, "upkeep");
    }
    Ok(done)
}

/// What is decided.
#[derive(Clone, Copy, PartialEq, Eq)]
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
    let picked = pick::some_assets(node, view, ids).await?;
    let mut outcome = Outcome {
        missing: picked.missing,
        ..Outcome::default()
    };
    let mut decided: BTreeMap<AlbumId, Vec<OpId>> = BTreeMap::new();
    let mut notes = Vec::new();
    let mut live = Vec::new();
    let (mut out_of_sight, mut away) = (0, Away::default());
    for folded in &picked.found {
        let weighed = weigh(view, folded, album, &concerns)?;
        let name = folded.first().key.item.short();
        if weighed.allowed && weighed.concerned == 0 && what == What::Purge {
            live.push(name);
            continue;
        }
        if !weighed.allowed {
            outcome.refused.push(name);
            continue;
        }
        outcome.allowed += 1;
        outcome.changed += u64::from(!weighed.decided.is_empty());
        let items = folded.items.iter();
        let in_sight = items.filter(|item| item.asset.trashed().is_none());
        let mut left = in_sight.filter(|item| !weighed.decided.contains(&item.key));
        let goes = what == What::Trash && !weighed.decided.is_empty();
        out_of_sight += u64::from(goes && left.next().is_none());
        if what == What::Purge {
            away.look(node.store(), view, folded, &weighed.decided)?;
        }
        for AssetKey { album, item } in weighed.decided {
            decided.entry(album).or_default().push(item);
        }
        for album in weighed.stays {
            notes.push(format!("{name} stays as it is in {album}: {NOT_DECIDED}"));
        }
    }
    let began = node.ask(|runtime| runtime.now().0).await?;
    what.record(node, decided).await?;
    for note in notes {
        answer.note(&note).await;
    }
    if !live.is_empty() {
        return refuse_live(outcome, live, answer).await;
    }
    let already = outcome.allowed - outcome.changed;
    let changed = outcome.changed;
    let mut summary = outcome.finish(answer, NOT_DECIDED).await?;
    if let Some(fields) = summary.as_object_mut() {
        fields.insert("already".into(), json!(already));
        // Out of one album is not out of sight where another has it.
        if what == What::Trash {
            fields.insert("trashed".into(), json!(out_of_sight));
        }
        if what == What::Purge {
            let undo = undo::command(&view.device_name(&view.device), began);
            away.tell(fields, changed, undo);
        }
    }
    Ok(summary)
}

/// What of some purged assets undo does not bring back on this device, and who may.
#[derive(Default)]
struct Away {
    /// Of how many this device has no original.
    count: u64,
    /// The devices that have some of those, by name; keepers add nothing.
    on: BTreeSet<String>,
}

impl Away {
    /// Adds it to the summary of a purge, and the command where it brings anything back.
    fn tell(&self, fields: &mut Map<String, Value>, changed: u64, undo: String) {
        let undo = (self.count < changed || !self.on.is_empty()).then_some(undo);
        fields.insert("undo".into(), json!(undo));
        fields.insert("away".into(), json!(self.count));
        fields.insert("undo_on".into(), json!(self.on));
    }

    /// Counts an asset of which some items are to be purged, before they are.
    fn look(
        &mut self,
        store: &Store,
        view: &View,
        folded: &Folded,
        decided: &[AssetKey],
    ) -> Result<(), StoreError> {
        let held = Held::of(store);
        let items = folded.items.iter();
        let items: Vec<_> = items.filter(|item| decided.contains(&item.key)).collect();
        for item in &items {
            if held.has_originals(item, view.person)? {
                return Ok(());
            }
        }
        self.count += u64::from(!items.is_empty());
        let assets = items.iter().map(|item| &item.asset);
        let holders = view.peers.holders_of(assets, view.person);
        let may = |row: &&DeviceRow| {
            let mut albums = items.iter().map(|item| view.albums.get(&item.key.album));
            holders.contains(&row.id)
                && albums.any(|album| album.is_some_and(|album| may_add(album, row)))
        };
        let names = view.others().filter(may);
        self.on.extend(names.map(|row| view.device_name(&row.id)));
        Ok(())
    }
}

/// Whether a device's person adds photos to an album; a keeper has none.
fn may_add(album: &SeenAlbum, row: &DeviceRow) -> bool {
    let mut people = album.people.iter();
    people.any(|(person, level)| row.person == Some(*person) && *level >= Level::Contributor)
}

/// Ends a purge that named what is not in the trash.
async fn refuse_live(mut outcome: Outcome, live: Vec<String>, answer: &Answer) -> Done {
    let hint = "heirloom trash ID puts it there first";
    if outcome.allowed == 0 && outcome.refused.is_empty() {
        return Err(ApiError::not_allowed(NOT_TRASHED)
            .safe("Nothing was changed.")
            .hint(hint));
    }
    for name in &live {
        answer.note(&format!("{name}: {NOT_TRASHED}; {hint}")).await;
    }
    for name in &outcome.refused {
        answer.note(&format!("{name}: {NOT_DECIDED}")).await;
    }
    outcome.refused.extend(live);
    let failed = outcome.refused.len();
    let exit = if outcome.allowed == 0 { 1 } else { 3 };
    Ok(json!({"changed": outcome.changed, "failed": failed, "exit": exit}))
}

/// What of an asset is decided.
#[derive(Default)]
struct Weighed {
    /// Whether this person decides about any of its items.
    allowed: bool,
    /// How many of its items the act is about, whoever decides about them.
    concerned: usize,
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
        weighed.concerned += 1;
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
        let error = ApiError::not_found(&format!("photo or video {name} in that album"));
        Err(error.hint("heirloom show says in which albums it is"))
    }
}
