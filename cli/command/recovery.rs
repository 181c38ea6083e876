//! `heirloom recovery`: prove that the 24 words are right, make new ones, or bring a device back with them.

use serde_json::json;

use super::{Talk, device, paper};
use crate::{
    args::{Recovery, RecoveryAct},
    error::CliError,
    ui::{Line, Ui, text},
};

const ADDRESS: &str = "Address of a device elsewhere (Enter: none, look on this network): ";

pub(super) async fn run(args: Recovery, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    match args.act {
        RecoveryAct::Check { from } => {
            let words = talk.secret(&from, "The 24 words: ").await?;
            talk.act(
                "recovery",
                json!({"do": "check", "words": words}),
                |ui, line| match line.kind() {
                    "summary" => {
                        ui.say("These are the right words. Keep the paper safe.");
                        if line.count("settled") > 0 {
                            ui.note("heirloom status tells no more here that they were used.");
                        }
                    }
                    _ => super::unknown(ui, line),
                },
            )
            .await
        }
        RecoveryAct::Restore {
            device,
            remove_lost,
            from,
        } => {
            let words = talk.secret(&from, "The 24 words: ").await?;
            let peers = peers(talk, from.is_empty()).await?;
            let body = json!({
                "do": "restore", "words": words, "peers": peers,
                "device": device, "remove_lost": remove_lost,
            });
            let mut reach = Vec::new();
            talk.act("recovery", body, |ui, line| match line.kind() {
                "reach" => reach.push(line.clone()),
                "summary" => restored(ui, line, &reach),
                _ => super::unknown(ui, line),
            })
            .await
        }
        RecoveryAct::Replace { recovery_out, from } => {
            let paper = paper::Paper::ready(recovery_out.as_deref())?;
            let words = talk
                .secret(&from, "The old 24 words (Enter if you never had any): ")
                .await?;
            let words = Some(words).filter(|words| !words.is_empty());
            let body = json!({"do": "replace", "words": words});
            let summary = talk.answer("recovery", body, &mut super::unknown).await?;
            let summary = paper.take_words(summary, talk.ui);
            let exit = talk.close(&summary, |ui, line| {
                ui.say("The old recovery words work no longer.");
                paper::show_words(ui, line);
            });
            paper::rescue_words(talk.ui, &summary)?;
            Ok(exit)
        }
    }
}

/// Addresses of devices, as a person gives them or as stdin has them, up to a blank line or the end.
async fn peers(talk: &mut Talk<'_>, asks: bool) -> Result<Vec<String>, CliError> {
    let mut peers = Vec::new();
    loop {
        let line = match asks {
            true => talk.ui.ask(ADDRESS).await?,
            false => talk.ui.read_line().await?,
        };
        match line {
            Some(line) if !line.is_empty() => peers.push(line),
            _ => return Ok(peers),
        }
    }
}

fn restored(ui: &mut Ui, line: &Line, reach: &[Line]) {
    let family = line.text_or("family_name", "the family");
    let person = line.text_or("person_name", "you");
    ui.say(format!(
        "This is a device of {person} in the family {family} again."
    ));
    for name in line.texts("removed") {
        ui.say(format!("{name} was removed."));
        let of_it = |line: &&Line| line.text("device").as_ref() == Some(&name);
        for line in reach.iter().filter(of_it) {
            device::say_reach(ui, line);
        }
    }
    for name in line.texts("not_found") {
        ui.warn(format!("There is no device {name} to remove."));
    }
    match line.count("missing") {
        missing if line.count("without_room") > 0 => ui.warn(format!(
            "The disk of this device is full: {} not here yet. They are safe where they are; make room on this disk, then run heirloom sync.",
            text::count(missing, "file is", "files are")
        )),
        0 => ui.say("Everything that the devices in reach hold is here."),
        1 => ui.say("1 file is on no device that was in reach: it comes once one that holds it is."),
        missing => ui.say(format!(
            "{missing} files are on no device that was in reach: they come once one that holds them is."
        )),
    }
    if line.is("library_begun") {
        ui.warn("No device in reach had your library: photos that you had put into no album are not here. They come once another of your devices, or a keeper, is in reach: heirloom sync. A new library was begun; what you import goes into it.");
    }
    ui.hint("compare the family's words with another device (heirloom words), and remove devices that are gone: heirloom device remove --lost NAME");
}
