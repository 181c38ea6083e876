//! `heirloom words`: the family's check words.

use serde_json::json;

use super::Talk;
use crate::error::CliError;

pub(super) async fn run(talk: &mut Talk<'_>) -> Result<u8, CliError> {
    talk.act("words", json!({}), |ui, line| match line.kind() {
        "summary" => {
            let words = ui.strong(&line.texts("words").join(" "));
            ui.say(words);
            ui.note("Two devices that show the same words agree on who belongs to the family.");
        }
        _ => super::unknown(ui, line),
    })
    .await
}
