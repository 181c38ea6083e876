//! `heirloom watch`: folders that are followed.

use serde_json::json;

use super::Talk;
use crate::{
    args::{Watch, WatchAct},
    error::CliError,
    home::absolute,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Watch, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = match &args.act {
        WatchAct::Add { dir, album } => {
            json!({"do": "add", "dir": absolute(dir)?, "album": album})
        }
        WatchAct::List => json!({"do": "list"}),
        WatchAct::Remove { dir } => json!({"do": "remove", "dir": absolute(dir)?}),
    };
    talk.act("watch", body, |ui, line| match (line.kind(), &args.act) {
        ("watch", _) => say(ui, line),
        ("summary", WatchAct::Add { .. }) if !line.is("runs") => {
            ui.hint("it is followed while heirloom serve runs");
        }
        ("summary", WatchAct::List) if line.count("count") == 0 => {
            ui.say("No folder is followed.");
        }
        ("summary", WatchAct::Remove { .. }) => {
            let dir = line.text_or("dir", "?");
            ui.say(format!(
                "{dir} is followed no more. What was imported stays."
            ));
        }
        _ => super::unknown(ui, line),
    })
    .await
}

fn say(ui: &mut Ui, line: &Line) {
    let dir = line.text_or("dir", "?");
    let into = match line.text("album") {
        Some(album) => format!("into {album}"),
        None => "into an album that is no longer there".to_owned(),
    };
    let missing = if line.is("there") {
        ""
    } else {
        "; it is not there now"
    };
    ui.say(format!("{dir} is followed, {into}{missing}."));
    let n = line.count("left_out");
    if n > 0 {
        let left = text::count(n, "file of it was", "files of it were");
        let come = if n == 1 {
            "it comes by itself"
        } else {
            "they come by themselves"
        };
        ui.say(format!(
            "{left} left out as the disk is full: {come} once there is room."
        ));
    }
}
