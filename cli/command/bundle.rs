//! `heirloom bundle`: photos between devices that never meet, on a disk.

use std::path::Path;

use serde_json::json;

use super::Talk;
use crate::{
    args::{Bundle, BundleAct},
    error::CliError,
    home::place,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Bundle, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    match args.act {
        BundleAct::Write { dir, to, since } => {
            let body = json!({
                "do": "write", "dir": place(&dir)?, "to": to, "since": since,
            });
            talk.act("bundle", body, |ui, line| match line.kind() {
                "summary" => say_written(ui, line, &dir),
                _ => super::unknown(ui, line),
            })
            .await
        }
        BundleAct::Read { dir } => {
            let body = json!({"do": "read", "dir": place(&dir)?});
            talk.act("bundle", body, |ui, line| match line.kind() {
                "file" => say_wrong(ui, line),
                "summary" => say_read(ui, line),
                _ => super::unknown(ui, line),
            })
            .await
        }
    }
}

fn say_written(ui: &mut Ui, line: &Line, dir: &Path) {
    let files = line.count("blobs") + line.count("present");
    ui.say(format!(
        "Wrote {} and {} to {} ({} new).",
        text::count(files, "encrypted file", "encrypted files"),
        text::count(line.count("entries"), "entry", "entries"),
        dir.display(),
        text::size(line.count("bytes")),
    ));
    if line.count("damaged") > 0 {
        ui.warn(format!(
            "{} damaged on this device, and left out.",
            text::count(line.count("damaged"), "file is", "files are")
        ));
        ui.hint("heirloom verify --read-data --repair gets good copies from other devices");
    }
    ui.hint("on the other device: heirloom bundle read DIR");
}

fn say_wrong(ui: &mut Ui, line: &Line) {
    ui.say(format!(
        "wrong: {}: {}",
        line.text_or("path", "?"),
        line.text_or("reason", "unknown")
    ));
}

fn say_read(ui: &mut Ui, line: &Line) {
    ui.say(format!(
        "Took {} ({}) and {}.",
        text::count(line.count("blobs"), "encrypted file", "encrypted files"),
        text::size(line.count("bytes")),
        text::count(line.count("entries"), "entry", "entries"),
    ));
    if line.count("wrong") > 0 {
        ui.warn(format!(
            "{} not what was written; everything else was taken.",
            text::count(line.count("wrong"), "file is", "files are")
        ));
        ui.hint(
            "remove the files that are named and write the bundle again: it writes what is missing",
        );
    }
    if line.count("waiting") > 0 {
        ui.warn(format!(
            "{} for earlier ones that are not in this bundle.",
            text::count(line.count("waiting"), "entry waits", "entries wait")
        ));
        ui.hint("write the bundle again without --to and --since");
    }
    if line.count("unfinished") > 0 {
        ui.warn("The bundle was not finished: more may be missing.");
    }
}
