//! `heirloom init`: a family, its first person and this device.

use serde_json::json;

use super::{Talk, paper};
use crate::{
    args::Init,
    error::CliError,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Init, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let paper = paper::Paper::ready(args.recovery.recovery_out.as_deref())?;
    let body = json!({
        "family": args.family,
        "person": args.person,
        "device": args.device,
        "no_recovery": args.recovery.no_recovery,
    });
    let summary = talk.answer("init", body, &mut super::unknown).await?;
    let summary = paper.take_words(summary, talk.ui);
    let exit = talk.close(&summary, |ui, line| say(ui, line, &args));
    paper::rescue_words(talk.ui, &summary)?;
    Ok(exit)
}

fn say(ui: &mut Ui, summary: &Line, args: &Init) {
    ui.say(format!(
        "Made the family {}, with {} on this device.",
        text::plain(&args.family),
        text::plain(&args.person)
    ));
    paper::show_words(ui, summary);
    if args.recovery.no_recovery {
        ui.hint("there are no recovery words yet; make them with heirloom recovery replace");
    }
    ui.hint("add photos with heirloom import, a second device with heirloom invite --device");
}
