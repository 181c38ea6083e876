//! `heirloom trash`: out of sight, and safe for 30 days.

use serde_json::json;

use super::Talk;
use crate::{args::Trash, error::CliError, ui::text};

pub(super) async fn run(args: Trash, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"ids": args.ids, "album": args.album});
    talk.act("trash", body, |ui, line| match line.kind() {
        "summary" => {
            let changed = super::changed(line, args.ids.len());
            let items = text::count(changed, "item", "items");
            match (changed, line.count("already")) {
                (0, 1..) => ui.say(format!(
                    "{} in the trash already; nothing was changed.",
                    text::count(line.count("already"), "item is", "items are")
                )),
                (_, 0) => ui.say(format!("Moved {items} to the trash, for 30 days.")),
                (_, already) => ui.say(format!(
                    "Moved {items} to the trash, for 30 days; {} there already.",
                    text::count(already, "was", "were")
                )),
            }
            ui.hint("heirloom restore ID brings one back");
        }
        _ => super::unknown(ui, line),
    })
    .await
}
