//! `heirloom comment`: something said about a photo.

use serde_json::json;

use super::Talk;
use crate::{args::Comment, error::CliError};

pub(super) async fn run(args: Comment, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = match &args.remove {
        Some(comment) => json!({"id": args.id, "remove": comment}),
        None => json!({"id": args.id, "text": args.text}),
    };
    let said = match args.remove {
        Some(_) => "The comment is gone.",
        None => "Said; everybody who sees the photo can read it.",
    };
    talk.act("comment", body, |ui, line| match line.kind() {
        "summary" => ui.say(said),
        _ => super::unknown(ui, line),
    })
    .await
}
