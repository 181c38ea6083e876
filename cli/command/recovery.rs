//! `heirloom recovery`: prove that the 24 words are right, or make new ones.

use serde_json::json;

use super::{Talk, paper};
use crate::{
    args::{Recovery, RecoveryAct},
    error::CliError,
};

pub(super) async fn run(args: Recovery, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    match args.act {
        RecoveryAct::Check { from } => {
            let words = talk.secret(&from, "The 24 words: ").await?;
            talk.act(
                "recovery",
                json!({"do": "check", "words": words}),
                |ui, line| match line.kind() {
                    "summary" => ui.say("These are the right words. Keep the paper safe."),
                    _ => super::unknown(ui, line),
                },
            )
            .await
        }
        RecoveryAct::Replace { recovery_out, from } => {
            let paper = paper::Paper::ready(recovery_out.as_deref())?;
            let words = talk
                .secret(&from, "The old 24 words (Enter when they are gone): ")
                .await?;
            let words = Some(words).filter(|words| !words.is_empty());
            let body = json!({"do": "replace", "words": words});
            let summary = talk.answer("recovery", body, &mut super::unknown).await?;
            let summary = paper.take_words(summary, talk.ui);
            Ok(talk.close(&summary, |ui, line| {
                ui.say("The old recovery words work no longer.");
                paper::show_words(ui, line);
            }))
        }
    }
}
