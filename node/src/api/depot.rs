//! `depot`: folders that are kept up to date as a keeper without a program.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Answer, ApiError, Done, Doorway,
    bundle::{into_error, path, progress},
    pick,
};
use crate::{
    carry::{
        Pace,
        depot::{self, Depot, Place, Terms},
    },
    catalog::instant_text,
    net::Reach,
    node::Node,
};

/// The act.
pub(super) async fn depot(
    doorway: &Doorway,
    node: &Node,
    body: &Value,
    answer: &Arc<Answer>,
) -> Done {
    match pick::text(body, "do")? {
        "add" => add(doorway.reach(), node, body, answer).await,
        "list" => list(node, answer).await,
        "remove" => remove(node, body).await,
        _ => Err(ApiError::usage("a depot is added, listed or removed")),
    }
}

async fn add(reach: Reach, node: &Node, body: &Value, answer: &Arc<Answer>) -> Done {
    let place = match pick::optional(body, "dir").filter(|dir| dir.starts_with("s3://")) {
        None => Place::Folder(path(node, body)?),
        Some(url) => Place::Bucket {
            url: url.to_owned(),
            endpoint: pick::text(body, "endpoint")?.to_owned(),
            region: pick::optional(body, "region")
                .unwrap_or("us-east-1")
                .to_owned(),
        },
    };
    let (working, told) = (node.clone(), Arc::clone(answer));
    let terms = Terms {
        reach,
        cancelled: answer.dropped().clone(),
    };
    let done = node.blocking(move || {
        let depot = depot::add(&working, place, &terms)?;
        let mut tell = |pace: Pace| told.progress(progress(pace));
        depot::round(&working, &depot, true, &terms, &mut tell)
    });
    let round = done.await?.map_err(|error| into_error(error, true))?;
    Ok(json!({
        "put": round.put, "blobs": round.came, "entries": round.entries, "wrong": round.wrong,
    }))
}

/// The depots of this device, as `status` tells them.
pub(super) async fn all(node: &Node) -> Result<Vec<Value>, ApiError> {
    let store = node.store().clone();
    let depots = node.blocking(move || depot::all(&store)).await??;
    Ok(depots.iter().map(told).collect())
}

/// A depot as `depot list` and `status` tell it.
fn told(depot: &Depot) -> Value {
    let at = |ms: u64| (ms > 0).then(|| instant_text(ms));
    let state = &depot.state;
    json!({
        "path": depot.place.name(),
        "blobs": state.blobs, "updated": at(state.updated), "checked": at(state.checked),
        "wrong": state.wrong, "problem": state.problem,
    })
}

async fn list(node: &Node, answer: &Arc<Answer>) -> Done {
    let depots = all(node).await?;
    let count = depots.len();
    for mut line in depots {
        line["type"] = json!("depot");
        line["v"] = json!(1);
        answer.line(&line).await;
    }
    Ok(json!({"depots": count}))
}

async fn remove(node: &Node, body: &Value) -> Done {
    let place = pick::text(body, "dir")?.to_owned();
    let store = node.store().clone();
    match node
        .blocking(move || depot::remove(&store, &place))
        .await??
    {
        true => Ok(json!({})),
        false => Err(ApiError::not_found("depot at this place")
            .hint("heirloom depot list shows the depots of this device")),
    }
}
