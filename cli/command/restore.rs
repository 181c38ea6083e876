//! `heirloom restore`: back out of the trash.

use serde_json::json;

use super::Talk;
use crate::{args::Restore, error::CliError, ui::text};

pub(super) async fn run(args: Restore, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"ids": args.ids});
    talk.act("restore", body, |ui, line| match line.kind() {
        "summary" => {
            let changed = super::changed(line, args.ids.len());
            let items = text::count(changed, "item", "items");
            match (changed, line.count("already")) {
                (0, 1..) => ui.say(format!(
                    "{} not in the trash; nothing was changed.",
                    text::count(line.count("already"), "item is", "items are")
                )),
                (_, 0) => ui.say(format!("Brought back {items}.")),
                (_, already) => ui.say(format!(
                    "Brought back {items}; {} not in the trash.",
                    text::count(already, "was", "were")
                )),
            }
        }
        _ => super::unknown(ui, line),
    })
    .await
}
