//! `heirloom unshare`: an album for one person fewer.

use serde_json::json;

use super::Talk;
use crate::{args::Unshare, error::CliError, ui::text};

pub(super) async fn run(args: Unshare, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"album": args.album, "person": args.person});
    talk.act("unshare", body, |ui, line| match line.kind() {
        "summary" => {
            let said = format!("{} gets no new photos of {}.", args.person, args.album);
            ui.say(text::plain(&said));
            ui.note("What they have already received stays with them.");
        }
        _ => super::unknown(ui, line),
    })
    .await
}
