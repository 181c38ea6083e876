//! `fetch`: the original of one asset comes here from who has it, before everything else.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Answer, ApiError, Done, Doorway,
    offload::{bring, who_has},
    pick,
};
use crate::{catalog::Held, node::Node};

/// The act. Durable when it is done.
pub(super) async fn fetch(
    doorway: &Arc<Doorway>,
    node: &Node,
    body: &Value,
    answer: &Answer,
) -> Done {
    let id = pick::text(body, "id")?;
    let view = node.view().await?;
    let assets = pick::assets(node, &view, &[id]).await?;
    let (store, all) = (node.store().clone(), assets.clone());
    let who = node
        .blocking(move || who_has(&store, &view, &all))
        .await??;
    for devices in who.values() {
        answer
            .line(&json!({"type": "from", "v": 1, "devices": devices}))
            .await;
    }
    bring(doorway, node, &assets, answer).await?;
    let store = node.store().clone();
    let here = node.blocking(move || {
        let held = Held::of(&store);
        assets.iter().try_fold(true, |all, folded| {
            held.here(folded).map(|here| all && here.original)
        })
    });
    match here.await?? {
        true => Ok(json!({"asset": id})),
        false => Err(ApiError::no_peer(
            "no device that has the original is in reach",
        )),
    }
}
