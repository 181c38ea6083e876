//! `heirloom import`: photos and videos from files, folders and archives.

use serde_json::json;

use super::Talk;
use crate::{
    args::Import,
    error::CliError,
    home::place,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Import, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let paths: Result<Vec<_>, CliError> = args.paths.iter().map(|path| place(path)).collect();
    let body = json!({
        "paths": paths?,
        "album": args.album,
        "album_per_folder": args.album_per_folder,
        "dry_run": args.dry_run,
        "since": args.since,
        "restore": args.restore,
    });
    talk.act("import", body, |ui, line| match line.kind() {
        "file" => say_file(ui, line),
        "summary" => say_summary(ui, line, args.dry_run, args.album_per_folder),
        _ => super::unknown(ui, line),
    })
    .await
}

fn say_file(ui: &mut Ui, line: &Line) {
    let (path, outcome) = (line.text_or("path", "?"), line.text_or("outcome", "?"));
    let told = match line.text("reason") {
        Some(reason) => format!("{outcome}: {path}: {reason}"),
        None => format!("{outcome}: {path}"),
    };
    if outcome == "failed" {
        ui.warn(told);
    } else if ui.manner.verbose {
        ui.note(told);
    }
}

fn say_summary(ui: &mut Ui, line: &Line, dry_run: bool, per_folder: bool) {
    let added = text::count(line.count("added"), "photo or video", "photos and videos");
    let verb = if dry_run { "Would import" } else { "Imported" };
    let mut rest: Vec<String> = Vec::new();
    let restored = line.count("restored");
    if restored > 0 {
        rest.push(format!(
            "{} brought back from the trash",
            text::thousands(restored)
        ));
    }
    let present = line.count("present").saturating_sub(restored);
    if present > 0 {
        rest.push(format!("{} already here", text::thousands(present)));
    }
    let taken_in = line
        .count("sidecars")
        .saturating_add(line.count("archives"));
    let skipped = line.count("skipped").saturating_sub(taken_in);
    for (count, words) in [
        (line.count("paired"), "joined to another as its part"),
        (line.count("sidecars"), "read for what they say of photos"),
        (line.count("archives"), "opened as archives"),
        (skipped, "left out"),
        (line.count("failed"), "not readable"),
    ] {
        if count > 0 {
            rest.push(format!("{} {words}", text::thousands(count)));
        }
    }
    let rest = if rest.is_empty() {
        String::new()
    } else {
        format!("; {}", text::and(&rest))
    };
    ui.say(format!(
        "{verb} {added} ({}){rest}.",
        text::size(line.count("bytes"))
    ));
    if line.count("added") > 0 {
        match per_folder {
            // An album may have been there, and others see it.
            true => ui.say(
                "Albums have the names of their folders; heirloom album list says who sees each.",
            ),
            false => say_who_sees(ui, line, dry_run),
        }
    }
    if line.count("failed") > 0 {
        ui.hint("what failed was left as it is; run the same import again, nothing is added twice");
    } else if skipped > 0 && !ui.manner.verbose {
        ui.hint("heirloom import -v says of each file why it was left out");
    }
}

fn say_who_sees(ui: &mut Ui, line: &Line, dry_run: bool) {
    let they = match (line.count("added"), dry_run) {
        (1, false) => "It is",
        (_, false) => "They are",
        (1, true) => "It would be",
        (_, true) => "They would be",
    };
    let place = match line.text("album") {
        Some(album) => format!("the album {album}"),
        None => "your library".to_owned(),
    };
    let who = line.texts("seen_by");
    if who.is_empty() {
        ui.say(format!("{they} in {place}, which only you can see."));
    } else {
        ui.say(format!(
            "{they} in {place}, which {} can see too.",
            text::and(&who)
        ));
    }
}
