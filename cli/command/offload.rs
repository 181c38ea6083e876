//! `heirloom offload`: originals leave this device when enough others have promised to keep them.

use serde_json::json;

use super::Talk;
use crate::{
    args::Offload,
    error::CliError,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Offload, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    if !args.dry_run {
        talk.sure(
            "Drop originals from this device that enough others have promised to keep? \
             heirloom offload --dry-run says which, heirloom get brings one back.",
        )
        .await?;
    }
    let body = json!({"album": args.album, "older": args.older, "dry_run": args.dry_run});
    talk.act("offload", body, |ui, line| match line.kind() {
        "original" => say_original(ui, line),
        "summary" => say_done(ui, line),
        _ => super::unknown(ui, line),
    })
    .await
}

fn say_original(ui: &mut Ui, line: &Line) {
    let name = line.text_or("name", "?");
    match (line.exact("outcome"), line.text("reason")) {
        (Some("kept"), reason) => {
            let reason = reason.unwrap_or_else(|| "not enough others keep it".to_owned());
            ui.warn(format!("stays here: {name}: {reason}"));
        }
        _ => ui.note(name),
    }
}

fn say_done(ui: &mut Ui, line: &Line) {
    let (dropped, kept) = (line.count("dropped"), line.count("kept"));
    let originals = text::count(dropped, "original", "originals");
    let size = text::size(line.count("bytes"));
    if dropped == 0 && kept == 0 {
        ui.say("There is nothing to offload.");
    } else if line.is("dry_run") {
        ui.say(format!("{originals} ({size}) could leave this device."));
    } else {
        ui.say(format!(
            "{originals} ({size}) left this device; heirloom get brings them back."
        ));
    }
    if kept > 0 {
        let stay = text::count(kept, "original stays", "originals stay");
        ui.say(format!("{stay} here: too few other devices keep them."));
    }
}
