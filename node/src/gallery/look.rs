//! Looking: the timeline, the assets of a month, and all that is known of one.

use axum::{
    Json,
    body::Body,
    extract::{Path, Query as Asked, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse, Response},
};
use heirloom_protocol::id::OpId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Gallery, item_of,
    refusal::Refusal,
    shelf::{Query, Shelf, kind},
};
use crate::{
    api,
    catalog::{Folded, Held, instant_text, read_like},
    runtime::AssetKey,
    store::StoreError,
};

/// What a timeline is narrowed to, as the address says it.
#[derive(Deserialize, Default)]
pub(super) struct Narrowed {
    album: Option<String>,
    trashed: Option<String>,
    favorite: Option<String>,
    only_here: Option<String>,
    q: Option<String>,
    r#type: Option<String>,
}

impl Narrowed {
    fn query(self, shelf: &Shelf) -> Result<Query, Refusal> {
        let flag = |text: Option<String>| match text.as_deref() {
            None | Some("" | "0") => Ok(false),
            Some("1") => Ok(true),
            Some(_) => Err(Refusal::usage()),
        };
        let album = match self.album.filter(|asked| !asked.is_empty()) {
            None => None,
            Some(asked) => Some(api::album_id(&shelf.view(), &asked)?),
        };
        let video = match self.r#type.as_deref() {
            None | Some("") => None,
            Some("video") => Some(true),
            Some("photo") => Some(false),
            Some(_) => return Err(Refusal::usage()),
        };
        let words = self.q.unwrap_or_default();
        Ok(Query {
            album,
            trashed: flag(self.trashed)?,
            favorite: flag(self.favorite)?,
            video,
            only_here: flag(self.only_here)?,
            words: words.split_whitespace().map(str::to_owned).collect(),
        })
    }
}

type Narrowing = Result<Asked<Narrowed>, QueryRejection>;

/// `GET /api/v1/timeline`.
pub(super) async fn timeline(
    State(gallery): State<Gallery>,
    asked: Narrowing,
) -> Result<Response, Refusal> {
    let Asked(narrowed) = asked.map_err(|_| Refusal::usage())?;
    let shelf = gallery.shelf().await?;
    let table = shelf.table(&narrowed.query(&shelf)?).await?;
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((kind, Body::from(table.body.clone())).into_response())
}

/// `GET /api/v1/month/2019-08`: what the page shows of each asset, in the order of the timeline.
pub(super) async fn month(
    State(gallery): State<Gallery>,
    Path(month): Path<String>,
    asked: Narrowing,
) -> Result<Json<Value>, Refusal> {
    let Asked(narrowed) = asked.map_err(|_| Refusal::usage())?;
    let shelf = gallery.shelf().await?;
    let table = shelf.table(&narrowed.query(&shelf)?).await?;
    let keys = table.month(&month).to_vec();
    // The last of a month may have gone since the page asked for the timeline.
    if keys.is_empty() && !is_month(&month) {
        return Err(Refusal::not_found());
    }
    let version = table.version;
    let node = shelf.node().clone();
    let assets = node.blocking(move || rows(&shelf, &keys)).await??;
    Ok(Json(json!({"version": version, "assets": assets})))
}

/// Whether a text names a month, be there photos of it or none.
fn is_month(text: &str) -> bool {
    let number = |part: &str, digits| {
        let fits = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u32>().ok().filter(|_| fits)
    };
    let parts = text.split_once('-');
    let dated = parts.and_then(|(year, month)| number(year, 4).zip(number(month, 2)));
    text == "undated" || dated.is_some_and(|(_, month)| (1..=12).contains(&month))
}

fn rows(shelf: &Shelf, keys: &[AssetKey]) -> Result<Vec<Value>, StoreError> {
    let (store, view) = (shelf.node().store(), shelf.view());
    let held = Held::of(store);
    let mut rows = Vec::with_capacity(keys.len());
    for key in keys {
        let listed = match read_like(store, &view, *key)? {
            Some(folded) => folded
                .listed_with(&held, &view)?
                .map(|listed| (folded, listed)),
            None => None,
        };
        let Some((folded, listed)) = listed else {
            // It went meanwhile; its place stays until the page asks for the timeline again.
            rows.push(json!({"id": key.item.to_string(), "gone": true}));
            continue;
        };
        rows.push(json!({
            "id": listed.id, "t": listed.taken, "o": listed.offset,
            "k": kind(&folded.first().asset), "w": listed.width, "h": listed.height,
            "d": seconds(&folded), "n": listed.name, "c": listed.caption, "f": listed.favorite,
            "h1": listed.here.original, "copies": listed.copies,
            // No place has a name without asking somebody else.
            "p": Value::Null,
            "pv": listed.preview, "by": listed.by,
        }));
    }
    Ok(rows)
}

/// How long a movie runs.
fn seconds(folded: &Folded) -> Option<f64> {
    let added = folded.first().asset.added.as_ref()?;
    let ms = added.item.duration_ms;
    (ms > 0).then(|| f64::from(ms) / 1000.0)
}

/// `GET /api/v1/asset/{id}`.
pub(super) async fn asset(
    State(gallery): State<Gallery>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let shelf = gallery.shelf().await?;
    let item = item_of(&id).ok_or_else(Refusal::not_found)?;
    let node = shelf.node().clone();
    let told = node.blocking(move || one(&shelf, item)).await??;
    told.map(Json).ok_or_else(Refusal::not_found)
}

fn one(shelf: &Shelf, item: OpId) -> Result<Option<Value>, StoreError> {
    let (store, view) = (shelf.node().store(), shelf.view());
    let Some(key) = shelf.item(item) else {
        return Ok(None);
    };
    let Some(folded) = read_like(store, &view, key)? else {
        return Ok(None);
    };
    let Some(listed) = folded.listed(store, &view)? else {
        return Ok(None);
    };
    let kept_on: Vec<Value> = view
        .kept_on(&folded, listed.here.original)
        .into_iter()
        .map(|kept| {
            let mut rows = view.people.devices.iter();
            let row = rows.find(|row| row.id.to_string() == kept.device);
            let audit = row.and_then(|row| view.peers.audit(&row.id));
            let proved_at = audit.and_then(|audit| audit.proved());
            json!({
                "this": kept.device == view.device.to_string(),
                "device": kept.device, "name": kept.name, "proved": kept.proved,
                "proved_at": proved_at.map(|at| instant_text(at.0)),
            })
        })
        .collect();
    let added_at = folded.first().asset.added.as_ref();
    let added_at = added_at.map(|added| instant_text(added.origin.stamp.hlc.time().0));
    let wanted = view.copies_wanted_of(&folded);
    let is_safe = view.copies(&folded, listed.here.original).has(wanted);
    let mut told = serde_json::to_value(&listed).unwrap_or_default();
    if let Some(fields) = told.as_object_mut() {
        fields.insert("copies_wanted".into(), json!(wanted));
        fields.insert("safe".into(), json!(is_safe));
        fields.insert("kept_on".into(), json!(kept_on));
        fields.insert("added_by".into(), json!(listed.by));
        fields.insert("added_at".into(), json!(added_at));
        fields.insert("k".into(), json!(kind(&folded.first().asset)));
        fields.insert("duration".into(), json!(seconds(&folded)));
        fields.insert("comments".into(), json!(api::comments(&folded, &view)));
    }
    Ok(Some(told))
}
