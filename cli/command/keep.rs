//! `heirloom keep`: how many copies there are to be, and who holds them.

use serde_json::{Value, json};

use super::Talk;
use crate::{
    args::{Keep, KeepAct},
    error::CliError,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Keep, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let mut albums = text::Table::default();
    let mut holders = text::Table::default();
    talk.act("keep", body(&args.act), |ui, line| match line.kind() {
        "keep" => albums.row(album(line)),
        "holder" => holders.row(holder(line, ui)),
        "summary" => {
            for line in albums.lines() {
                ui.say(line);
            }
            if !holders.lines().is_empty() {
                ui.say("Devices:");
            }
            for line in holders.lines() {
                ui.say(format!("  {line}"));
            }
            if matches!(args.act, KeepAct::Set { .. }) {
                say_set(ui, &args.act, line);
            }
        }
        _ => super::unknown(ui, line),
    })
    .await
}

fn body(act: &KeepAct) -> Value {
    match act {
        KeepAct::Show => json!({"do": "show"}),
        KeepAct::Set { album, copies } => json!({"do": "set", "album": album, "copies": copies}),
    }
}

fn album(line: &Line) -> [String; 3] {
    let (assets, safe) = (line.count("assets"), line.count("safe"));
    let wanted = text::count(line.count("copies_wanted"), "copy wanted", "copies wanted");
    let state = match assets {
        0 => "no photos yet".to_owned(),
        1 if safe == 1 => "1 of 1 safe".to_owned(),
        _ if safe == assets => format!("all {} safe", text::thousands(assets)),
        _ => format!(
            "{} of {} safe",
            text::thousands(safe),
            text::thousands(assets)
        ),
    };
    [line.text_or("album", "?"), wanted, state]
}

fn holder(line: &Line, ui: &Ui) -> [String; 4] {
    let keeps = match line.is("archive") {
        true => "keeps everything",
        false => "may drop originals",
    };
    let proved = match (
        line.is("this"),
        line.count("failed"),
        line.exact("proved_at"),
    ) {
        (true, ..) => "this device".to_owned(),
        (_, 1.., _) => format!(
            "could not show {} of what it says it holds",
            line.count("failed")
        ),
        (.., Some(at)) => format!("proved {}", text::ago(at, ui.now())),
        _ => "not proved yet".to_owned(),
    };
    [
        line.text_or("name", "?"),
        keeps.to_owned(),
        held(line),
        proved,
    ]
}

/// How many of the photos that it may hold are on a device.
fn held(line: &Line) -> String {
    let (holds, of) = (line.count("holds"), line.count("of"));
    match of {
        // A keeper itself knows of no photos, and a new family has none.
        0 => "no photos yet".to_owned(),
        1 if holds == 1 => "holds 1 of 1".to_owned(),
        _ if holds == of => format!("holds all {}", text::thousands(of)),
        _ => format!(
            "holds {} of {}",
            text::thousands(holds),
            text::thousands(of)
        ),
    }
}

fn say_set(ui: &mut Ui, act: &KeepAct, line: &Line) {
    let copies = text::count(line.count("copies_wanted"), "device", "devices");
    match act {
        KeepAct::Set {
            album: Some(album), ..
        } => {
            let album = text::plain(album).into_owned();
            ui.say(format!(
                "{album} is safe when {copies} that keep everything hold it. Everybody who can see the album is told."
            ));
        }
        _ => {
            ui.say(format!(
                "A photo counts as safe on this device when {copies} that keep everything hold it."
            ));
            let device = line.text("device_name");
            let device = device.unwrap_or_else(|| "this device".to_owned());
            ui.note(format!(
                "This holds on {device} alone: give it on your other devices too."
            ));
        }
    }
}
