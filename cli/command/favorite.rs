//! `heirloom favorite`: a mark for the best ones.

use serde_json::json;

use super::Talk;
use crate::{args::Favorite, error::CliError, ui::text};

pub(super) async fn run(args: Favorite, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"ids": args.ids, "remove": args.remove});
    talk.act("favorite", body, |ui, line| match line.kind() {
        "summary" => {
            let items = text::count(super::changed(line, args.ids.len()), "item", "items");
            ui.say(if args.remove {
                format!("Took the mark from {items}.")
            } else {
                format!("Marked {items}.")
            });
        }
        _ => super::unknown(ui, line),
    })
    .await
}
