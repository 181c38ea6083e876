//! Files that a browser sends: streamed into the home, imported, and gone again.
//!
//! Until it is imported a file lies in clear in a folder of this home that its
//! owner alone can read (`arrived`). What breaks off is removed; what came whole
//! is removed by its import and by nothing else (`intake`). Stills are imported
//! as they come; movies wait until the batch is done or nothing more comes,
//! because a live photo's clip joins a still that has to be there.

mod arrived;
mod intake;

use std::{io, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, sync::oneshot};

pub(super) use self::intake::{Uploads, tend};
use self::{
    arrived::{Arrivals, Said, create},
    intake::{Coming, Waiting, finish, run},
};
use super::{Gallery, refusal::Refusal};
use crate::{
    api,
    media::{HEAD_BYTES, MediaKind, MediaType},
    node::Node,
};

/// Largest file that is taken: 64 GiB.
const FILE_BYTES: u64 = 64 << 30;
/// What stays free on the disk whatever is sent.
const SPARE_BYTES: u64 = 256 << 20;

/// What a file is and where it goes.
#[derive(Deserialize, Default)]
pub(super) struct Told {
    #[serde(default)]
    batch: String,
    #[serde(default)]
    name: String,
    album: Option<String>,
    /// Where it lay in the folder that was dropped; shown again, never used as a path.
    path: Option<String>,
}

/// How many files of a home came whole and are not imported yet.
pub(crate) fn kept(home: &std::path::Path) -> usize {
    Arrivals::of(home).count()
}

/// Whether something may be called so.
pub(super) fn is_name(batch: &str) -> bool {
    (1..=64).contains(&batch.len())
        && batch
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// `POST /api/v1/upload?batch=B&name=FILE&album=A&path=REL`: one file.
pub(super) async fn upload(
    State(gallery): State<Gallery>,
    told: Result<Query<Told>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let Query(told) = told.map_err(|_| Refusal::usage())?;
    if !is_name(&told.batch) || told.name.is_empty() {
        return Err(Refusal::usage());
    }
    let node = gallery.0.doorway.node().await?;
    let album = api::album_to_add_to(&node.view().await?, told.album.as_deref())?;
    let uploads = &gallery.0.uploads;
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    check_room(&node, length.unwrap_or(0))?;
    let coming = Coming::begin(&gallery, &told.batch)?;
    let place = uploads.arrivals.begin(&told.name).map_err(io_refusal)?;
    let (head, bytes) = take(&node, &place.path, body, gallery.0.stall).await?;
    let media = MediaType::of(&head, &told.name);
    let is_movie = media.is_some_and(|media| media.kind() == MediaKind::Video);
    let said = Said {
        batch: told.batch.clone(),
        name: place.name.clone(),
        shown: told.path.unwrap_or(told.name),
        album: album.to_string(),
        is_movie,
        bytes,
    };
    let shown = said.shown.clone();
    let (reply, replied) = oneshot::channel();
    let (arrivals, mover) = (uploads.arrivals.clone(), node.clone());
    // From here on it goes on when the browser leaves.
    let entering = tokio::spawn(async move {
        // A movie is answered before it is imported; of a still nothing is said until it is safe.
        let kept = mover.blocking(move || arrivals.keep(place, said, is_movie));
        let kept = kept.await.map_err(|_| Refusal::broken())?;
        let file = Waiting {
            whole: kept.map_err(io_refusal)?,
            reply: (!is_movie).then_some(reply),
            has_failed: false,
        };
        coming.end(file, is_movie);
        if !is_movie {
            tokio::spawn(run(gallery, node, told.batch));
        }
        Ok::<_, Refusal>(())
    });
    entering.await.map_err(|_| Refusal::broken())??;
    if is_movie {
        return Ok(Json(json!({
            "type": "file", "v": 1, "path": shown, "outcome": "waiting",
            "asset": null, "reason": null,
        })));
    }
    replied.await.map(Json).map_err(|_| Refusal::broken())
}

fn check_room(node: &Node, more: u64) -> Result<(), Refusal> {
    if more > FILE_BYTES {
        return Err(Refusal::too_large());
    }
    // In clear and encrypted, for a moment both.
    let wanted = more.saturating_mul(2).saturating_add(SPARE_BYTES);
    match node.store().free_bytes() {
        Some(free) if free < wanted => Err(Refusal::disk_full()),
        _ => Ok(()),
    }
}

fn io_refusal(error: io::Error) -> Refusal {
    tracing::warn!(kind = ?error.kind(), "an upload");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refusal::disk_full(),
        _ => Refusal::broken(),
    }
}

/// Streams a body into a file; gives its first bytes and how many there were.
async fn take(
    node: &Node,
    path: &std::path::Path,
    mut body: Body,
    stall: Duration,
) -> Result<(Vec<u8>, u64), Refusal> {
    let file = create(path).map_err(io_refusal)?;
    let mut file = tokio::fs::File::from_std(file);
    let (mut head, mut bytes) = (Vec::new(), 0_u64);
    loop {
        let frame = tokio::time::timeout(stall, body.frame()).await;
        let Some(frame) = frame.map_err(|_| Refusal::cut_short())? else {
            break;
        };
        let frame = frame.map_err(|_| Refusal::cut_short())?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let more = u64::try_from(data.len()).unwrap_or(u64::MAX);
        // One check for each 64 MiB is enough to stop before the disk is full.
        if (bytes >> 26) != (bytes.saturating_add(more) >> 26) {
            check_room(node, 64 << 20)?;
        }
        bytes = bytes.saturating_add(more);
        if bytes > FILE_BYTES {
            return Err(Refusal::too_large());
        }
        let wanted = HEAD_BYTES.saturating_sub(head.len()).min(data.len());
        head.extend_from_slice(&data[..wanted]);
        file.write_all(&data).await.map_err(io_refusal)?;
    }
    file.flush().await.map_err(io_refusal)?;
    Ok((head, bytes))
}

/// `POST /api/v1/upload/done?batch=B`: imports what waits, and says what became of all.
pub(super) async fn done(
    State(gallery): State<Gallery>,
    told: Result<Query<Told>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(told) = told.map_err(|_| Refusal::usage())?;
    if !is_name(&told.batch) {
        return Err(Refusal::usage());
    }
    let node = gallery.0.doorway.node().await?;
    let finished = tokio::spawn(finish(gallery.clone(), node, told.batch.clone()));
    finished.await.map_err(|_| Refusal::broken())?;
    let (lines, summary) = gallery.0.uploads.close(&told.batch);
    // The page knows what it was answered; what waited is told here.
    let mut text = String::new();
    for line in lines {
        text.push_str(&format!("{line}\n"));
    }
    let mut summary = summary;
    if let Some(fields) = summary.as_object_mut() {
        fields.extend([
            ("type".into(), json!("summary")),
            ("v".into(), json!(1)),
            ("act".into(), json!("upload")),
        ]);
    }
    text.push_str(&format!("{summary}\n"));
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Bytes::from(text)).into_response())
}

/// `GET /api/v1/imports`: batches that run and that ran, with what became of their files; then the acts that go on
/// without the page, with how many.
pub(super) async fn imports(State(gallery): State<Gallery>) -> Json<Value> {
    let told = gallery.0.uploads.batches(|id, batch| {
        let mut told = batch.summary(id);
        if let Some(fields) = told.as_object_mut() {
            fields.insert("files".into(), json!(batch.lines));
        }
        told
    });
    let batches = [told, gallery.0.works.told()].concat();
    Json(json!({"batches": batches}))
}
