//! `heirloom verify`: whether all that is stored is whole.

use serde_json::json;

use super::Talk;
use crate::{
    args::Verify,
    error::CliError,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Verify, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"read_data": args.read_data, "repair": args.repair});
    talk.act("verify", body, |ui, line| match line.kind() {
        "damage" => say_damage(ui, line),
        "summary" => say_summary(ui, line, &args),
        _ => super::unknown(ui, line),
    })
    .await
}

fn say_damage(ui: &mut Ui, line: &Line) {
    let what = line.text_or("what", "part");
    let of = match line.text("asset") {
        Some(_) => format!(" of {}", named(line)),
        None => String::new(),
    };
    let word = match line.is("repaired") {
        true => "repaired",
        false => "damaged",
    };
    ui.say(format!(
        "{word}: {what} {}{of}: {}",
        line.id("id"),
        line.text_or("problem", "unknown")
    ));
}

/// A photo as people know it: its name, its albums, its id.
fn named(line: &Line) -> String {
    let id = line.id("asset");
    let albums = line.texts("albums");
    let within = match albums.is_empty() {
        true => String::new(),
        false => format!(" in {}", text::and(&albums)),
    };
    match line.text("name") {
        Some(name) => format!("{name}{within} ({id})"),
        None => format!("the photo {id}{within}"),
    }
}

fn say_summary(ui: &mut Ui, line: &Line, args: &Verify) {
    let checked = text::count(line.count("checked"), "thing", "things");
    if line.count("damaged") == 0 {
        ui.say(format!("Checked {checked}: all is whole."));
        if !args.read_data {
            ui.hint("heirloom verify --read-data reads every byte too");
        }
    } else {
        ui.say(format!(
            "Checked {checked}: {} damaged or missing.",
            text::thousands(line.count("damaged"))
        ));
        let left = line.count("damaged").saturating_sub(line.count("repaired"));
        if line.count("repaired") > 0 {
            ui.say(format!(
                "Repaired {}, {} left.",
                text::thousands(line.count("repaired")),
                text::thousands(left)
            ));
        }
        let closed = line.count("closed");
        if closed > 0 {
            let (files, them) = match closed {
                1 => ("1 of these belongs".to_owned(), "it"),
                _ => (
                    format!("{} of these belong", text::thousands(closed)),
                    "them",
                ),
            };
            ui.hint(format!(
                "{files} to another account or may not be read: give {them} to the account that runs Heirloom (chown, or chmod u+r), then verify again"
            ));
        }
        let lost = line.count("lost");
        // Nothing of them is damaged: their line says the way.
        let left = left.saturating_sub(closed + line.count("unnamed").min(1));
        if lost > 0 {
            let files = text::count(lost, "original", "originals");
            ui.say(format!(
                "No other device is known to have {files} of these."
            ));
            ui.hint(
                "if a card, a phone or a backup still has them, import them again: heirloom import",
            );
        }
        if !args.repair && left > lost {
            ui.hint(match args.read_data {
                true => "another device may hold a good copy: heirloom verify --read-data --repair",
                false => "another device may hold a good copy: heirloom verify --repair",
            });
        } else if args.repair && left > lost {
            ui.hint(
                "what is left comes by itself once a device is met that holds it: heirloom serve",
            );
        }
    }
}
