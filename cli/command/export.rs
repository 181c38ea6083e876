//! `heirloom export`: every original in a plain folder.

use serde_json::json;

use super::Talk;
use crate::{
    args::Export,
    error::CliError,
    home::place,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Export, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({
        "dir": place(&args.dir)?,
        "album": args.album,
        "layout": args.layout.word(),
        "sidecars": args.sidecars.word(),
    });
    talk.act("export", body, |ui, line| match line.kind() {
        "file" => say_file(ui, line),
        "summary" => say_summary(ui, line, &args),
        _ => super::unknown(ui, line),
    })
    .await
}

fn say_file(ui: &mut Ui, line: &Line) {
    // Thousands of names help nobody; what failed does.
    if line.text("outcome").as_deref() == Some("failed") || ui.manner.verbose {
        super::get::say_file(ui, line);
    }
}

fn say_summary(ui: &mut Ui, line: &Line, args: &Export) {
    let written = text::count(line.count("written"), "file", "files");
    let mut told = format!(
        "Wrote {written} ({}) to {}",
        text::size(line.count("bytes")),
        args.dir.display()
    );
    if line.count("present") > 0 {
        told.push_str(&format!(
            "; {} were there already",
            text::thousands(line.count("present"))
        ));
    }
    ui.say(format!("{told}."));
    say_gone(ui, line);
    if line.count("failed") > 0 {
        ui.warn(format!(
            "{} could not be written.",
            text::count(line.count("failed"), "file", "files")
        ));
        let (away, damaged) = (line.count("not_here"), line.count("damaged"));
        if damaged > 0 {
            let are = text::count(damaged, "of them is", "of them are");
            ui.hint(format!(
                "{are} damaged on this device: heirloom verify --read-data --repair gets again what another device has, then run the same export again"
            ));
        }
        if away > 0 {
            let originals = text::count(away, "original is", "originals are");
            ui.hint(format!(
                "{originals} not on this device: switch on the devices that hold what is missing, and run it again; heirloom status says what no device is known to have"
            ));
        } else if damaged == 0 {
            ui.hint("run the same export again: it goes on where it stopped");
        }
    }
}

/// That there was more than is known now: what was written is not all.
fn say_gone(ui: &mut Ui, line: &Line) {
    let (entries, unnamed) = (line.count("entries_lost"), line.count("unnamed"));
    if entries > 0 {
        ui.warn(match entries {
            1 => "1 entry that was here is gone, and what it told of photos with it: this is not all there was.".to_owned(),
            _ => format!(
                "{} entries that were here are gone, and what they told of photos with them: this is not all there was.",
                text::thousands(entries)
            ),
        });
    }
    if unnamed > 0 {
        let lie = text::count(unnamed, "file of photos lies", "files of photos lie");
        ui.warn(format!(
            "{lie} in this home, and nothing in it tells of them any more: this is not all there was."
        ));
    }
    if entries > 0 || unnamed > 0 {
        ui.hint(
            "heirloom sync gets them from a device that has them, then run the same export again; heirloom status says more",
        );
    }
}
