//! `heirloom sessions`: browsers that are let into the gallery.

use serde_json::json;

use super::Talk;
use crate::{
    args::{Sessions, SessionsAct},
    error::CliError,
    ui::text,
};

pub(super) async fn run(args: Sessions, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = match &args.act {
        SessionsAct::List => json!({"do": "list"}),
        SessionsAct::Revoke { id } => json!({"do": "revoke", "id": id}),
    };
    let mut table = text::Table::default();
    talk.act("sessions", body, |ui, line| match line.kind() {
        "session" => table.row(["id", "reach", "made", "expires"].map(|f| line.text_or(f, ""))),
        "summary" => {
            for line in table.lines() {
                ui.say(line);
            }
            if matches!(args.act, SessionsAct::List) && line.count("count") == 0 {
                ui.say("No browser is let into the gallery.");
                ui.hint("heirloom open leads one in");
            }
            if matches!(args.act, SessionsAct::Revoke { .. }) {
                let ended = line.count("revoked");
                ui.say(format!(
                    "{ended} sessions ended; no link that was given out works any more."
                ));
            }
        }
        _ => super::unknown(ui, line),
    })
    .await
}
