//! A sync that ends since the disk of this device is full.

use serde_json::{Value, json};

use crate::{
    api::{ApiError, Done},
    forms::counted,
    node::Node,
};

/// What a sync comes to where files had no room here: an error if that ended it; if its time was over before,
/// its summary says so as well.
///
/// A keeper that takes no more than it may has done what it is to do.
///
/// # Errors
///
/// `E-DISK-FULL`.
pub(super) async fn judge(node: &Node, mut summary: Value) -> Done {
    let asked = node.ask(|runtime| {
        let is_keeper = runtime.replica().person().is_none();
        (is_keeper, runtime.without_room().blobs, runtime.lacking())
    });
    let (is_keeper, aside, lacking) = asked.await?;
    let is_stuck = summary["stuck"] == true && !node.store().has_room();
    if is_keeper || (aside == 0 && !is_stuck) {
        return Ok(summary);
    }
    if summary["settled"] == true {
        return Err(error(aside, &summary));
    }
    if summary["stuck"] == true {
        return Err(error(aside + lacking, &summary));
    }
    summary["without_room"] = json!(aside);
    Ok(summary)
}

fn error(missing: u64, summary: &Value) -> ApiError {
    let came = summary["blobs_received"].as_u64().unwrap_or(0);
    let missing = counted(missing, "file is not here yet", "files are not here yet");
    let message = match came {
        0 => format!("the disk is full: {missing}"),
        _ => format!(
            "the disk is full: {} and {missing}",
            counted(came, "file came,", "files came,")
        ),
    };
    ApiError::new("E-DISK-FULL", 1, message)
        .safe("What is here is safe, and what is not is kept where it is.")
        .hint("make room on this disk, then run heirloom sync again: it goes on where this stopped. A node that runs goes on by itself")
}
