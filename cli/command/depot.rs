//! `heirloom depot`: folders that are kept up to date as a keeper without a program.

use std::path::Path;

use serde_json::json;

use super::Talk;
use crate::{
    args::{Depot, DepotAct},
    error::CliError,
    home::absolute,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Depot, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    match args.act {
        DepotAct::Add {
            place,
            endpoint,
            region,
        } => {
            let body = json!({
                "do": "add", "dir": whole(&place)?, "endpoint": endpoint, "region": region,
            });
            talk.act("depot", body, |ui, line| match line.kind() {
                "summary" => say_added(ui, line),
                _ => super::unknown(ui, line),
            })
            .await
        }
        DepotAct::List => {
            let body = json!({"do": "list"});
            talk.act("depot", body, |ui, line| match line.kind() {
                "depot" => say_depot(ui, line),
                "summary" if line.count("depots") == 0 => {
                    ui.say("There are no depots.");
                    ui.hint("a disk or a share becomes one: heirloom depot add DIR");
                }
                "summary" => {}
                _ => super::unknown(ui, line),
            })
            .await
        }
        DepotAct::Remove { place } => {
            let body = json!({"do": "remove", "dir": whole(&place)?});
            talk.act("depot", body, |ui, line| match line.kind() {
                "summary" => ui.say("It is kept up to date no longer; what lies there stays."),
                _ => super::unknown(ui, line),
            })
            .await
        }
    }
}

/// The whole path of a folder; what stands for a bucket is left as it is.
fn whole(place: &Path) -> Result<String, CliError> {
    match place.to_str().filter(|place| place.starts_with("s3://")) {
        Some(place) => Ok(place.to_owned()),
        None => absolute(place),
    }
}

fn say_added(ui: &mut Ui, line: &Line) {
    ui.say(format!(
        "Put {} there, took {}.",
        text::count(line.count("put"), "encrypted file", "encrypted files"),
        text::count(line.count("blobs"), "encrypted file", "encrypted files"),
    ));
    if line.count("wrong") > 0 {
        ui.warn(format!(
            "{} wrong there: heirloom depot list names some.",
            text::count(line.count("wrong"), "file was", "files were")
        ));
    }
    ui.hint("a running node keeps it up to date: heirloom serve");
}

pub(super) fn say_depot(ui: &mut Ui, line: &Line) {
    let day = |field: &str| {
        line.text(field)
            .and_then(|at| at.get(..10).map(str::to_owned))
    };
    let updated = match day("updated") {
        Some(day) => format!("up to date on {day}"),
        None => "never up to date".to_owned(),
    };
    let checked = match day("checked") {
        Some(day) => format!("parts of it read again on {day}"),
        None => "never read again".to_owned(),
    };
    ui.say(format!(
        "{}: {}, {updated}, {checked}.",
        line.text_or("path", "?"),
        text::count(line.count("blobs"), "encrypted file", "encrypted files"),
    ));
    if let Some(problem) = line.text("problem") {
        ui.say(format!("  Problem: {problem}."));
    }
    for wrong in line.texts("wrong") {
        ui.say(format!("  Was wrong: {wrong}"));
    }
}
