//! What people say to each other about photos: `comment` and `activity`.

use heirloom_protocol::{
    id::{OpId, PersonId},
    limits,
    op::{Comment, Field, Level, Op, Uncomment},
    time::Hlc,
};
use serde_json::{Value, json};

use super::{Answer, ApiError, Done, pick, write::Edits};
use crate::{
    catalog::{self, Folded, instant_text},
    node::Node,
    runtime::View,
    store::StoreError,
};

/// Lines of activity when no number is given, and most of them.
const LINES: u64 = 100;
const LINES_MAX: u64 = 1000;
/// What a person adds within this time is one line.
const TOGETHER_MS: u64 = 3_600_000;
/// Photos of such a line that are named.
const SHOWN: usize = 6;

/// `comment`: says something about an asset, or takes an own comment back.
pub(super) async fn comment(node: &Node, body: &Value) -> Done {
    let id = pick::text(body, "id")?;
    let view = node.view().await?;
    let mut found = pick::assets(node, &view, &[id]).await?;
    let folded = found.pop().ok_or_else(|| pick::no_photo(id))?;
    match pick::optional(body, "remove") {
        Some(comment) => take_back(node, &view, &folded, comment).await,
        None => say(node, &view, &folded, pick::text(body, "text")?).await,
    }
}

async fn say(node: &Node, view: &View, folded: &Folded, text: &str) -> Done {
    let text = text.trim();
    if text.is_empty() || text.len() > limits::TEXT_BYTES {
        return Err(ApiError::usage("a comment has 1 byte to 16 KiB"));
    }
    // Where most people read it: the shared albums come before the own library.
    let readers = |item: &&catalog::Item| {
        let album = view.albums.get(&item.key.album);
        album.map_or(0, |album| album.people.len())
    };
    let may = folded
        .items
        .iter()
        .filter(|item| view.level(&item.key.album) >= Level::Viewer);
    let item = may
        .filter(|item| item.asset.trashed().is_none() || folded.is_trashed())
        .max_by_key(readers)
        .ok_or_else(|| ApiError::not_allowed("you cannot see this photo any more"))?;
    let op = Op::Comment(Comment {
        item: item.key.item,
        text: text.to_owned(),
    });
    let album = item.key.album;
    let made = node
        .ask(move |runtime| runtime.record(album, vec![op], Vec::new(), &[]))
        .await??;
    Ok(json!({
        "asset": folded.first().key.item.to_string(),
        "comment": made.first().map(OpId::to_string),
    }))
}

async fn take_back(node: &Node, view: &View, folded: &Folded, comment: &str) -> Done {
    let mut edits = Edits::default();
    for item in &folded.items {
        for said in item.asset.shown_comments() {
            if said.origin.op.to_string() != comment {
                continue;
            }
            if Some(said.origin.author.person) != view.person {
                return Err(
                    ApiError::not_allowed("only who wrote a comment takes it back")
                        .safe("Nothing was changed."),
                );
            }
            let op = Op::Uncomment(Uncomment {
                item: item.key.item,
                comment: said.origin.op,
            });
            edits.say(item.key.album, op);
            edits.record(node).await?;
            return Ok(json!({"comment": comment, "removed": true}));
        }
    }
    Err(ApiError::not_found("comment of this id on this photo"))
}

/// The comments of an asset in all its albums, oldest first.
pub(crate) fn comments(folded: &Folded, view: &View) -> Vec<Value> {
    let mut said: Vec<_> = folded
        .items
        .iter()
        .flat_map(|item| item.asset.shown_comments())
        .collect();
    said.sort_by_key(|said| said.origin.stamp);
    let told = said.iter().map(|said| {
        json!({
            "id": said.origin.op.to_string(),
            "person": said.origin.author.person.to_string(),
            "by": view.person_name(&said.origin.author.person),
            "mine": Some(said.origin.author.person) == view.person,
            "text": said.text,
            "at": instant_text(said.origin.stamp.hlc.time().0),
        })
    });
    told.collect()
}

/// Something that somebody did.
struct Deed {
    at: Hlc,
    person: PersonId,
    what: &'static str,
    asset: OpId,
    /// Some of the photos that were added with it, itself first.
    some: Vec<OpId>,
    name: String,
    text: Option<String>,
    /// Photos that were added with it, itself included.
    count: u64,
}

/// `activity`: who added, favoured and said what, newest first.
pub(super) async fn activity(node: &Node, body: &Value, answer: &Answer) -> Done {
    let limit = body.get("limit").and_then(Value::as_u64).unwrap_or(LINES);
    let limit = usize::try_from(limit.min(LINES_MAX)).unwrap_or(usize::MAX);
    let view = node.view().await?;
    let (store, seen) = (node.store().clone(), view.clone());
    let deeds = node.blocking(move || {
        let rows = catalog::read(&store, &seen)?;
        let mut deeds = Vec::new();
        for folded in rows.iter().filter(|folded| !folded.is_trashed()) {
            note(&folded, &seen, &mut deeds);
        }
        Ok::<_, StoreError>(together(deeds))
    });
    let mut deeds = deeds.await??;
    deeds.truncate(limit);
    for deed in &deeds {
        answer
            .line(&json!({
                "type": "activity", "v": 1, "what": deed.what,
                "at": instant_text(deed.at.time().0),
                "person": deed.person.to_string(), "by": view.person_name(&deed.person),
                "mine": Some(deed.person) == view.person,
                "asset": deed.asset.to_string(), "name": deed.name,
                "assets": deed.some.iter().map(OpId::to_string).collect::<Vec<_>>(),
                "text": deed.text, "count": deed.count,
            }))
            .await;
    }
    Ok(json!({"count": deeds.len()}))
}

fn note(folded: &Folded, view: &View, deeds: &mut Vec<Deed>) {
    let first = folded.first();
    let Some(added) = &first.asset.added else {
        return;
    };
    let (asset, main) = (first.key.item, added.item.parts.first());
    let name = main.map(|part| part.name.clone()).unwrap_or_default();
    let mut deed = |at, person, what, text| {
        deeds.push(Deed {
            at,
            person,
            what,
            asset,
            some: vec![asset],
            name: name.clone(),
            text,
            count: 1,
        });
    };
    let origin = added.origin;
    deed(origin.stamp.hlc, origin.author.person, "added", None);
    for item in &folded.items {
        for said in item.asset.shown_comments() {
            let text = Some(said.text.clone());
            deed(
                said.origin.stamp.hlc,
                said.origin.author.person,
                "comment",
                text,
            );
        }
    }
    for row in &view.people.persons {
        let marks = folded.items.iter().flat_map(|item| &item.asset.edits);
        let own = marks.filter(|edit| {
            edit.field == Field::Favorite.code() && edit.origin.author.person == row.id
        });
        let last = own.max_by_key(|edit| edit.origin.stamp);
        if let Some(mark) = last.filter(|mark| mark.value == [1]) {
            deed(mark.origin.stamp.hlc, row.id, "favorite", None);
        }
    }
}

/// Newest first; photos that one person added soon after one another are one line.
fn together(mut deeds: Vec<Deed>) -> Vec<Deed> {
    deeds.sort_by_key(|deed| std::cmp::Reverse((deed.at, deed.asset)));
    let mut told: Vec<Deed> = Vec::new();
    for deed in deeds {
        let last = told
            .iter_mut()
            .rev()
            .take(8)
            .find(|last| last.what == "added" && last.person == deed.person);
        match last {
            Some(last)
                if deed.what == "added"
                    && last.at.time().0.saturating_sub(deed.at.time().0) < TOGETHER_MS =>
            {
                last.count += 1;
                if last.some.len() < SHOWN {
                    last.some.push(deed.asset);
                }
            }
            _ => told.push(deed),
        }
    }
    told
}
