//! Photos that lie here and of which nothing tells any more: a log went, and with the database who would have known.

use serde_json::json;

use super::problem::Problem;
use crate::{forms::counted, runtime::View};

/// What it means that so many blobs are named by nothing.
pub(super) fn problem(n: usize, view: &View) -> Option<Problem> {
    let text = format!("{}. They are kept. {}", what(n), way(view));
    (n > 0).then(|| Problem::new("unnamed-files", json!({"n": n}), text))
}

/// What lies here.
pub(super) fn what(n: usize) -> String {
    let lie = counted(n, "file of photos lies", "files of photos lie");
    format!(
        "{lie} in this home, and nothing in it tells of them any more: that went with the database and a log"
    )
}

/// What brings back what tells of them.
pub(super) fn way(view: &View) -> &'static str {
    match view.others().next() {
        Some(_) => {
            "heirloom sync gets what tells of them from a device that has it (heirloom serve there). Until then keep this home, and remove nothing from it."
        }
        None => {
            "If a card, a phone or a backup still has your photos, import them again (heirloom import). Keep this home, and remove nothing from it."
        }
    }
}
