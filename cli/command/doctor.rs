//! `heirloom doctor`: problems of this device, each with its remedy.

use serde_json::json;

use super::Talk;
use crate::{
    error::CliError,
    ui::{Line, Ui, text},
};

/// What keeps a home from being opened, and is for the doctor to name.
const ILLS: &[(&str, &str)] = &[
    ("E-KEY-PERMISSIONS", "permissions"),
    ("E-OTHER-ACCOUNT", "permissions"),
    ("E-READ-ONLY", "permissions"),
    ("E-IO", "disk"),
    ("E-DISK-FULL", "disk"),
    ("E-DAMAGED", "store"),
    ("E-NEWER-FORMAT", "store"),
];

pub(super) async fn run(talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let error = match talk.act("doctor", json!({}), say).await {
        Err(error) => error,
        done => return done,
    };
    let Some((_, name)) = ILLS.iter().find(|(id, _)| *id == error.id()) else {
        return Err(error);
    };
    // Nothing else can be looked at while the home does not open.
    let check = Line::own(
        "check",
        json!({
            "name": name, "ok": false, "message": error.message(),
            "remedy": error.hint().unwrap_or("docs/errors.md says more"),
        }),
    );
    if talk.ui.manner.json {
        talk.ui.line(&check);
    } else {
        say(talk.ui, &check);
    }
    let summary = json!({"act": "doctor", "checks": 1, "problems": 1, "exit": error.exit()});
    Ok(talk.close(&Line::own("summary", summary), say))
}

fn say(ui: &mut Ui, line: &Line) {
    match line.kind() {
        "check" => say_check(ui, line),
        "summary" if line.count("problems") == 0 => match line.count("notes") {
            0 => {
                ui.say("No problem found.");
                ui.hint("heirloom status says whether your photos are safe");
            }
            notes => ui.say(format!(
                "No problem found; {} above.",
                text::count(notes, "note", "notes")
            )),
        },
        "summary" => ui.say(format!(
            "{} found.",
            text::count(line.count("problems"), "problem", "problems")
        )),
        _ => super::unknown(ui, line),
    }
}

fn say_check(ui: &mut Ui, line: &Line) {
    let mark = match (line.is("ok"), line.is("note")) {
        (true, true) => "note    ",
        (true, false) => "ok      ",
        (false, _) => "problem ",
    };
    ui.say(format!(
        "{mark}  {}: {}",
        line.text_or("name", "?"),
        line.text_or("message", "")
    ));
    if let Some(remedy) = line.text("remedy") {
        ui.say(format!("          {remedy}"));
    }
}
