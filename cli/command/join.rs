//! `heirloom join`: this device joins a family, with the code of an invite.

use serde_json::json;

use super::{Talk, paper};
use crate::{
    args::Join,
    error::CliError,
    ui::{Line, Ui},
};

pub(super) async fn run(args: Join, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let paper = paper::Paper::ready(args.recovery.recovery_out.as_deref())?;
    let code = talk.secret(&args.from, "Code: ").await?;
    let body = json!({
        "code": code,
        "person": args.person,
        "device": args.device,
        "no_recovery": args.recovery.no_recovery,
    });
    let summary = talk.answer("join", body, &mut super::unknown).await?;
    let summary = paper.take_words(summary, talk.ui);
    let exit = talk.close(&summary, say);
    paper::rescue_words(talk.ui, &summary)?;
    Ok(exit)
}

fn say(ui: &mut Ui, summary: &Line) {
    let family = summary.text_or("family_name", "the family");
    match summary.text("person_name") {
        Some(person) => ui.say(format!(
            "Joined the family {family} as a device of {person}."
        )),
        None => ui.say("Joined the family as a keeper."),
    }
    paper::show_words(ui, summary);
    ui.hint("fetch the photos with heirloom sync, or stay connected with heirloom serve");
}
