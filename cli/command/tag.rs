//! `heirloom tag`: words to find photos by.

use serde_json::json;

use super::Talk;
use crate::{args::Tag, error::CliError, ui::text};

pub(super) async fn run(args: Tag, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"ids": args.ids, "add": args.add, "remove": args.remove});
    talk.act("tag", body, |ui, line| match line.kind() {
        "summary" => {
            let items = super::changed(line, args.ids.len());
            ui.say(format!(
                "Changed the tags of {}.",
                text::count(items, "item", "items")
            ));
        }
        _ => super::unknown(ui, line),
    })
    .await
}
