//! `heirloom trash`: out of sight, and safe for 30 days.

use serde_json::json;

use super::Talk;
use crate::{args::Trash, error::CliError, ui::text};

pub(super) async fn run(args: Trash, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"ids": args.ids, "album": args.album});
    talk.act("trash", body, |ui, line| match line.kind() {
        "summary" => {
            let items = text::count(super::changed(line, args.ids.len()), "item", "items");
            ui.say(format!("Moved {items} to the trash, for 30 days."));
            ui.hint("heirloom restore ID brings one back");
        }
        _ => super::unknown(ui, line),
    })
    .await
}
