//! `heirloom caption`: words for a photo.

use serde_json::json;

use super::Talk;
use crate::{args::Caption, error::CliError};

pub(super) async fn run(args: Caption, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let said = if args.text.is_empty() {
        "The caption is gone."
    } else {
        "The caption is written."
    };
    let body = json!({"id": args.id, "text": args.text});
    talk.act("caption", body, |ui, line| match line.kind() {
        "summary" => ui.say(said),
        _ => super::unknown(ui, line),
    })
    .await
}
