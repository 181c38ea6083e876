//! `heirloom restore`: back out of the trash.

use serde_json::json;

use super::Talk;
use crate::{args::Restore, error::CliError, ui::text};

pub(super) async fn run(args: Restore, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"ids": args.ids});
    talk.act("restore", body, |ui, line| match line.kind() {
        "summary" => {
            let items = super::changed(line, args.ids.len());
            ui.say(format!(
                "Brought back {}.",
                text::count(items, "item", "items")
            ));
        }
        _ => super::unknown(ui, line),
    })
    .await
}
