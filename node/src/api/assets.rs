//! Looking: `list`, `find` and `show`.

use std::ops::ControlFlow;

use heirloom_protocol::op::ItemKind;
use serde_json::{Value, json};

use super::{Answer, ApiError, Done, pick};
use crate::{
    catalog::{self, Filter, Folded, Held},
    node::Node,
    runtime::View,
    store::StoreError,
};

/// `list`: what a filter lets through, by time of capture.
pub(super) async fn list(node: &Node, body: &Value, answer: &Answer) -> Done {
    let view = node.view().await?;
    let mut filter = Filter {
        only_here: pick::flag(body, "only_here"),
        trashed: pick::flag(body, "trashed"),
        ..Filter::default()
    };
    if let Some(asked) = pick::optional(body, "album") {
        filter.album = Some(pick::album_id(&view, asked)?);
    }
    if let Some(asked) = pick::optional(body, "taken") {
        let range = catalog::parse_range(asked).ok_or_else(|| {
            ApiError::usage(&format!("{asked:?} is no date"))
                .hint("2023, 2023-05, 2023-05-01, or two of them with .. between")
        })?;
        filter.taken = Some(range);
    }
    filter.kind = match pick::optional(body, "type") {
        None => None,
        Some("photo") => Some(ItemKind::Photo),
        Some("video") => Some(ItemKind::Video),
        Some(_) => return Err(ApiError::usage("type is photo or video")),
    };
    let narrowed = filter.album.is_some()
        || filter.taken.is_some()
        || filter.kind.is_some()
        || filter.only_here
        || filter.trashed;
    let count = tell(node, view, filter, answer).await?;
    Ok(ended(count, narrowed))
}

/// `find`: where all words occur.
pub(super) async fn find(node: &Node, body: &Value, answer: &Answer) -> Done {
    let words: Vec<String> = pick::texts(body, "words")
        .into_iter()
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect();
    if words.is_empty() {
        return Err(ApiError::usage("there is no word to look for"));
    }
    let view = node.view().await?;
    let filter = Filter {
        words,
        ..Filter::default()
    };
    let count = tell(node, view, filter, answer).await?;
    Ok(ended(count, true))
}

/// `show`: all that is known of one asset.
pub(super) async fn show(node: &Node, body: &Value, answer: &Answer) -> Done {
    let id = pick::text(body, "id")?.to_owned();
    let view = node.view().await?;
    let mut found = pick::assets(node, &view, &[&id]).await?;
    let store = node.store().clone();
    let listed = node
        .blocking(move || match found.pop() {
            Some(folded) => {
                let listed = folded.listed(&store, &view)?;
                Ok::<_, StoreError>(listed.map(|mut listed| {
                    listed.kept_on = Some(view.kept_on(&folded, listed.here.original));
                    listed
                }))
            }
            None => Ok(None),
        })
        .await??;
    let listed = listed.ok_or_else(|| pick::no_photo(&id))?;
    answer.line(&listed).await;
    Ok(json!({}))
}

/// Nothing is an answer where everything was asked for, and nothing found where something was.
fn ended(count: u64, narrowed: bool) -> Value {
    if count == 0 && narrowed {
        json!({"count": 0, "exit": 4})
    } else {
        json!({"count": count})
    }
}

/// Writes a line for each asset that a filter lets through; gives how many.
pub(super) async fn tell(
    node: &Node,
    view: View,
    filter: Filter,
    answer: &Answer,
) -> Result<u64, ApiError> {
    let (lines, mut told) = tokio::sync::mpsc::channel(16);
    let store = node.store().clone();
    let reading = node.blocking(move || {
        let held = Held::of(&store);
        let rows = catalog::read(&store, &view)?;
        let folded = rows.in_order(|one| filter.fits(one));
        each(folded, &held, &view, &filter, |listed| {
            // Whoever asked has gone when nobody takes it.
            match lines.blocking_send(listed) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })
    });
    let telling = async {
        let mut count = 0;
        while let Some(listed) = told.recv().await {
            if answer.dropped().is_cancelled() {
                break;
            }
            answer.line(&listed).await;
            count += 1;
        }
        drop(told);
        count
    };
    let (read, count) = tokio::join!(reading, telling);
    read??;
    Ok(count)
}

fn each(
    folded: impl Iterator<Item = Folded>,
    held: &Held<'_>,
    view: &View,
    filter: &Filter,
    mut tell: impl FnMut(Box<catalog::Listed>) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    for one in folded {
        let Some(listed) = one.listed_with(held, view)? else {
            continue;
        };
        let only_here = listed.here.original && listed.copies == 1;
        if (filter.only_here && !only_here) || !filter.has_words(&listed) {
            continue;
        }
        if tell(Box::new(listed)).is_break() {
            break;
        }
    }
    Ok(())
}
