//! `heirloom undo`: what a device deleted comes back.

use serde_json::json;

use super::Talk;
use crate::{args::Undo, error::CliError, ui::text};

pub(super) async fn run(args: Undo, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({
        "device": args.device, "since": args.since,
        "album": args.album, "dry_run": args.dry_run,
    });
    talk.act("undo", body, |ui, line| match line.kind() {
        "summary" => {
            let verb = if args.dry_run {
                "Would bring back"
            } else {
                "Brought back"
            };
            let restored = text::count(line.count("restored"), "item", "items");
            ui.say(match line.count("added_again") {
                0 => format!("{verb} {restored} from the trash."),
                again => format!(
                    "{verb} {restored} from the trash, and {} that had been deleted for good.",
                    text::thousands(again)
                ),
            });
        }
        _ => super::unknown(ui, line),
    })
    .await
}
