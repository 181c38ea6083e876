//! `heirloom offload`: originals leave this device when enough others have promised to keep them.

use std::collections::BTreeMap;

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
    let mut stays = Stays::default();
    talk.act("offload", body, |ui, line| match line.kind() {
        "original" => match line.exact("outcome") {
            Some("kept") => stays.add(line),
            _ => ui.note(line.text_or("name", "?")),
        },
        "summary" => {
            stays.say(ui);
            say_done(ui, line);
        }
        _ => super::unknown(ui, line),
    })
    .await
}

/// How many photos are named of those that stay for one reason.
const NAMED: usize = 3;

/// The photos that stay, by why.
#[derive(Default)]
struct Stays(BTreeMap<String, Vec<String>>);

impl Stays {
    fn add(&mut self, line: &Line) {
        let reason = line.text("reason");
        let reason = reason.unwrap_or_else(|| "not enough others keep it".to_owned());
        let names = self.0.entry(reason).or_default();
        names.push(line.text_or("name", "?"));
    }

    /// One line for each reason, or with `--verbose` for each photo.
    fn say(&self, ui: &mut Ui) {
        let mut is_short = false;
        for (reason, names) in &self.0 {
            if names.len() == 1 || ui.manner.verbose {
                for name in names {
                    ui.warn(format!("stays here: {name}: {reason}"));
                }
                continue;
            }
            let mut some: Vec<String> = names.iter().take(NAMED).cloned().collect();
            let more = names.len().saturating_sub(NAMED);
            if more > 0 {
                is_short = true;
                some.push(format!("{} more", thousands(more)));
            }
            ui.warn(format!(
                "{} stay here ({}), each for this: {reason}",
                thousands(names.len()),
                text::and(&some)
            ));
        }
        if is_short {
            ui.hint("heirloom offload -v names every photo that stays");
        }
    }
}

fn thousands(count: usize) -> String {
    text::thousands(u64::try_from(count).unwrap_or(u64::MAX))
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
