//! `open` and `sessions`: who is let into the gallery.

use serde_json::{Value, json};

use super::{Answer, ApiError, Done, Doorway, pick};
use crate::gallery::Sessions;

/// `open`: an address that lets one browser in, once, within a minute.
pub(super) async fn open(doorway: &Doorway) -> Done {
    let Some(gallery) = doorway.gallery().await else {
        let is_keeper = match doorway.node().await {
            Ok(node) => node.view().await?.person.is_none(),
            Err(_) => false,
        };
        let error = |message: &str| ApiError::new("E-NO-GALLERY", 1, message);
        return Err(match is_keeper {
            true => error("this is a keeper, which can read no photo")
                .hint("open the gallery on a device of a person"),
            false => error("this node offers no gallery")
                .safe("The node runs on.")
                .hint("stop it and start it without --no-gallery: heirloom serve"),
        });
    };
    Ok(json!({"url": gallery.link()?, "gallery": gallery.address()}))
}

/// `sessions`, with what to do in `do`: `list`, or `revoke` one by its `id` or all.
pub(super) async fn sessions(doorway: &Doorway, body: &Value, answer: &Answer) -> Done {
    let node = doorway.node().await?;
    let running = doorway.gallery().await;
    let stored = match running {
        Some(_) => None,
        None => Some(Sessions::of(Some(node.store()), node.clock().clone())?),
    };
    let sessions = match (&running, &stored) {
        (Some(gallery), _) => gallery.sessions(),
        (None, Some(stored)) => stored,
        (None, None) => return Err(ApiError::usage("there are no sessions")),
    };
    match pick::text(body, "do")? {
        "list" => {
            let lines = sessions.lines();
            for line in &lines {
                answer.line(line).await;
            }
            Ok(json!({"count": lines.len()}))
        }
        "revoke" => {
            let name = pick::optional(body, "id");
            let ended = sessions.revoke(name);
            if ended == 0 && name.is_some() {
                return Err(ApiError::not_found("session of this id")
                    .hint("heirloom sessions list names all of them"));
            }
            sessions.keep(node.store())?;
            Ok(json!({"revoked": ended}))
        }
        other => Err(ApiError::usage(&format!(
            "sessions does not know {other:?}"
        ))),
    }
}
