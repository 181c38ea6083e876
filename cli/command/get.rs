//! `heirloom get`: originals out of the store, byte for byte.

use serde_json::json;

use super::Talk;
use crate::{
    args::Get,
    error::CliError,
    home::place,
    ui::{Line, Ui},
};

pub(super) async fn run(args: Get, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"ids": args.ids, "output": place(&args.output)?});
    talk.act("get", body, |ui, line| match line.kind() {
        "file" => say_file(ui, line),
        _ => super::unknown(ui, line),
    })
    .await
}

/// Says where an original was written, or why it was not.
pub(super) fn say_file(ui: &mut Ui, line: &Line) {
    let path = line.text_or("path", "?");
    match (line.text("outcome").as_deref(), line.text("reason")) {
        (Some("failed"), reason) => {
            let reason = reason.unwrap_or_else(|| "it could not be written".to_owned());
            ui.warn(format!("failed: {path}: {reason}"));
        }
        (Some("present"), _) => ui.note(format!("already there: {path}")),
        _ => ui.say(path),
    }
}
