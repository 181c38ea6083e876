//! `heirloom sync`: everything with every device in reach, once.

use serde_json::json;

use super::Talk;
use crate::{
    args::Sync,
    error::CliError,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Sync, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    talk.act(
        "sync",
        json!({"timeout": args.timeout}),
        |ui, line| match line.kind() {
            "summary" => say(ui, line),
            _ => super::unknown(ui, line),
        },
    )
    .await
}

fn say(ui: &mut Ui, line: &Line) {
    let devices = text::count(line.count("peers"), "device", "devices");
    let (sent, received) = (line.count("bytes_sent"), line.count("bytes_received"));
    let entries = line.count("entries_sent") + line.count("entries_received");
    let is_settled = line.is("settled");
    if sent + received + entries == 0 {
        ui.say(match is_settled {
            true => format!("In step with {devices}; there was nothing new."),
            false => format!("Met {devices}; nothing could be exchanged yet."),
        });
    } else {
        let (sent, received) = (text::size(sent), text::size(received));
        ui.say(format!(
            "Exchanged with {devices}: {received} received, {sent} sent."
        ));
    }
    if !is_settled {
        say_left(ui, line);
    }
}

/// What is still to come and to go, by device, and what helps.
fn say_left(ui: &mut Ui, line: &Line) {
    let left = line.inner("left");
    for with in &left {
        for sentence in left_with(with) {
            ui.say(sentence);
        }
    }
    let no_room = line.count("without_room");
    if no_room > 0 {
        let files = text::count(no_room, "file has", "files have");
        ui.say(format!(
            "The disk of this device is full: {files} no room here."
        ));
        return ui.hint("make room on this disk, then run heirloom sync again. What is here is safe, and it goes on where this stopped");
    }
    ui.hint(match line.is("stuck") {
        // A node of an older version does not say why it ended.
        _ if left.is_empty() => {
            "not all of it could be exchanged yet; run heirloom sync again, and if that does not help heirloom doctor"
        }
        true => {
            "nothing has moved for a while: see that the devices named are on and run heirloom serve, then run heirloom sync again; \
             heirloom doctor, here and there, says what may be in the way"
        }
        false => {
            "the time was over. Nothing is lost and nothing is sent twice: heirloom sync goes on where this stopped"
        }
    });
}

fn left_with(with: &Line) -> Vec<String> {
    let name = with.text_or("name", "?");
    let files = |field| match with.count(field) {
        0 => None,
        n => Some(text::count(n, "file", "files")),
    };
    let entries = match with.count("entries") {
        0 => None,
        n => Some(text::count(
            n,
            "entry, with what it names",
            "entries, with what they name",
        )),
    };
    let to_come: Vec<_> = files("files_to_get").into_iter().chain(entries).collect();
    let mut told = Vec::new();
    if !to_come.is_empty() {
        told.push(format!(
            "Still to come from {name}: {}.",
            text::and(&to_come)
        ));
    }
    if let Some(to_go) = files("files_to_give") {
        told.push(format!("Still to go to {name}: {to_go}."));
    }
    if !with.is("connected") {
        told.push(format!("{name} is not in reach any more."));
    } else if told.is_empty() {
        told.push(format!(
            "{name} was not done: what it and this device still lack is not known yet."
        ));
    }
    told
}
