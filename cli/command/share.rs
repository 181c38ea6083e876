//! `heirloom share`: an album for one more person.

use serde_json::json;

use super::Talk;
use crate::{args::Share, error::CliError, ui::text};

pub(super) async fn run(args: Share, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"album": args.album, "person": args.person, "role": args.role.word()});
    talk.act("share", body, |ui, line| match line.kind() {
        "summary" => {
            let said = format!(
                "Shared {} with {} as {}.",
                args.album,
                args.person,
                args.role.word()
            );
            ui.say(text::plain(&said));
        }
        _ => super::unknown(ui, line),
    })
    .await
}
