//! `heirloom purge`: what is in the trash, gone from every view.

use serde_json::json;

use super::Talk;
use crate::{
    args::Purge,
    error::CliError,
    ui::{Line, text},
};

/// Keepers hold ciphertext alone: they add nothing again, and give nothing out that was deleted.
const NOBODY: &str = "no device that could bring it back is known to have one: only a card, a phone or a backup does \
                      (heirloom import --restore).";

pub(super) async fn run(args: Purge, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let count = u64::try_from(args.ids.len()).unwrap_or(u64::MAX);
    let items = text::count(count, "item", "items");
    talk.sure(&format!(
        "Delete {items} from the trash for good, on every device? Nobody sees them any more; \
         their room comes back after 30 days, and until then only heirloom undo brings them back, on a device that has \
         their originals (heirloom get ID brings one here first)."
    ))
    .await?;
    talk.act("purge", json!({"ids": args.ids}), |ui, line| {
        match line.kind() {
            "summary" => {
                let items = super::changed(line, args.ids.len());
                ui.say(format!(
                    "Deleted {} for good.",
                    text::count(items, "item", "items")
                ));
                for told in what_undoes_it(line, items) {
                    ui.note(told);
                }
            }
            _ => super::unknown(ui, line),
        }
    })
    .await
}

/// What brings back what was deleted, as far as anything does, and where.
fn what_undoes_it(line: &Line, items: u64) -> Vec<String> {
    let undo = line.text_or("undo", "heirloom undo DEVICE --since TIME");
    let (away, on) = (line.count("away"), line.texts("undo_on").join(", "));
    let freed = "Each device frees the space 30 days after it has heard of this";
    let no_original = format!(
        "{} no original on this device",
        text::count(away, "of them has", "of them have")
    );
    match (away, on.is_empty()) {
        (0, _) => vec![format!(
            "{freed}; until then this brings back what was deleted: {undo}"
        )],
        (_, true) if away < items => vec![
            format!("{freed}; until then this brings back what has its original here: {undo}"),
            format!("{no_original}, and {NOBODY}"),
        ],
        (_, false) if away < items => vec![
            format!("{freed}; until then this brings back what has its original here: {undo}"),
            format!("{no_original}: the same command brings that back on {on}."),
        ],
        (_, true) => vec![format!(
            "{freed}. This device has no original of it, and {NOBODY}"
        )],
        (_, false) => vec![format!(
            "{freed}. This device has no original of it: until then this brings it back on {on}: {undo}"
        )],
    }
}
