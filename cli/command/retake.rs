//! `heirloom retake`: when photos were taken.

use serde_json::json;

use super::Talk;
use crate::{args::Retake, error::CliError, ui::text};

pub(super) async fn run(args: Retake, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"ids": args.ids, "at": args.at, "shift": args.shift});
    talk.act("retake", body, |ui, line| match line.kind() {
        "summary" => {
            let items = super::changed(line, args.ids.len());
            let items = text::count(items, "item", "items");
            ui.say(format!("Changed the time of {items}."));
        }
        _ => super::unknown(ui, line),
    })
    .await
}
