//! `heirloom purge`: what is in the trash, gone from every view.

use serde_json::json;

use super::Talk;
use crate::{args::Purge, error::CliError, ui::text};

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
                let undo = line.text_or("undo", "heirloom undo DEVICE --since TIME");
                ui.note(format!(
                    "Each device frees the space 30 days after it has heard of this; \
                     until then this brings back what was deleted: {undo}"
                ));
                if line.count("away") > 0 {
                    ui.note(format!(
                        "{} no original on this device: only a device of the family that keeps it, and is no keeper, \
                         can bring that back.",
                        text::count(line.count("away"), "of them has", "of them have")
                    ));
                }
            }
            _ => super::unknown(ui, line),
        }
    })
    .await
}
