//! `heirloom status`: what is safe, what is not, who is connected, what is moving.

use std::time::Duration;

use serde_json::json;

use super::{Talk, device};
use crate::{
    args::Status,
    error::CliError,
    ui::{Line, Ui, text},
};

const AGAIN: Duration = Duration::from_secs(2);

pub(super) async fn run(args: Status, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"check": args.check});
    if !args.watch {
        return talk.act("status", body, say).await;
    }
    // Until Ctrl+C, which the caller watches for.
    loop {
        if talk.ui.terminal.out {
            talk.ui.say("\u{1b}[H\u{1b}[2J");
        }
        talk.answer("status", body.clone(), &mut say).await?;
        // A node may have been started or stopped since.
        talk.door = None;
        if talk.ui.is_closed() {
            return Ok(0);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn say(ui: &mut Ui, line: &Line) {
    if line.kind() != "status" {
        return super::unknown(ui, line);
    }
    // A keeper knows no names.
    let family = line.text("family_name");
    let family = ui.strong(&family.unwrap_or_else(|| format!("Family {}", line.id("family"))));
    let device = line.text("device_name");
    let device = device.filter(|name| *name != line.id("device"));
    let device = device.unwrap_or_else(|| format!("device {}", line.id("device")));
    let running = if line.text("node").as_deref() == Some("running") {
        "running"
    } else {
        "not running"
    };
    ui.say(format!("{family}, on {device}; the node is {running}."));
    match line.inner("keeper").into_iter().next() {
        Some(kept) => say_keeper(ui, &kept),
        None => say_safety(ui, line),
    }
    say_moving(ui, line);
    say_peers(ui, line);
    say_scrubbed(ui, line);
    for depot in line.inner("depots") {
        super::depot::say_depot(ui, &depot);
    }
    if let Some(gallery) = line.text("gallery") {
        ui.say(format!("Gallery:  {gallery}"));
    }
    for problem in line.texts_whole("problems") {
        ui.say(format!("Problem:  {problem}"));
    }
    for note in line.texts_whole("notes") {
        ui.say(format!("Note:     {note}"));
    }
    if running != "running" && !line.inner("peers").is_empty() {
        ui.hint("heirloom serve keeps this device in step with the others");
    }
}

/// What a keeper holds, by the keys of persons: it knows no names.
fn say_keeper(ui: &mut Ui, kept: &Line) {
    let blobs = text::count(kept.count("blobs"), "blob", "blobs");
    let entries = text::count(kept.count("entries"), "entry", "entries");
    let size = text::size(kept.count("bytes"));
    let quota = match kept.count("quota") {
        0 => String::new(),
        quota => format!(" of {}", text::size(quota)),
    };
    ui.say(format!(
        "Keeps:     {size}{quota} in {blobs}, and {entries}."
    ));
    for person in kept.inner("persons") {
        let size = text::size(person.count("bytes"));
        let blobs = text::count(person.count("blobs"), "blob", "blobs");
        let whose = match person.text("person") {
            Some(_) => format!("person {}", person.id("person")),
            None => "of nobody".to_owned(),
        };
        ui.say(format!("           {whose}  {size} in {blobs}"));
    }
    if kept.count("blobs") > 0 && kept.is("full") {
        ui.say("It is full: it takes entries and no more photos than it may.");
    }
}

fn say_safety(ui: &mut Ui, line: &Line) {
    let (assets, exposed) = (line.count("assets"), line.count("unsafe"));
    let items = text::count(assets, "photo or video", "photos and videos");
    let size = text::size(line.count("bytes"));
    let wanted = text::count(line.count("copies_wanted"), "copy", "copies");
    let have = if assets == 1 { "has" } else { "have" };
    let is_gone = |problem: &Line| {
        let id = problem.exact("id");
        matches!(id, Some("unnamed-files" | "entries-lost"))
    };
    if assets == 0 && line.inner("problem_details").iter().any(is_gone) {
        ui.say(
            "No photo can be shown: what told of them is gone. The problems below say what helps.",
        );
    } else if assets == 0 {
        ui.say("There are no photos yet.");
        ui.hint(match line.inner("peers").is_empty() {
            true => "add some: heirloom import ~/Pictures",
            false => {
                "fetch the others' with heirloom sync, or add some: heirloom import ~/Pictures"
            }
        });
    } else if exposed == 0 {
        let all = if assets == 1 { "" } else { "all " };
        ui.say(format!("Safe:      {all}{items} ({size}) {have} {wanted}."));
    } else {
        let safe = text::thousands(line.count("safe"));
        ui.say(format!(
            "Safe:      {safe} of {items} ({size}) {have} {wanted}."
        ));
        let exposed = text::thousands(exposed);
        ui.say(match line.count("only_here") {
            0 => format!("Not safe:  {exposed}."),
            here => format!(
                "Not safe:  {exposed}, of which {} only on this device.",
                text::thousands(here)
            ),
        });
        ui.hint(next_step(line));
    }
}

/// What makes photos safe that are not.
fn next_step(line: &Line) -> &'static str {
    if line.inner("peers").is_empty() {
        "a second device makes them safe: heirloom invite --device"
    } else if line.count("archives") < line.count("copies_wanted") {
        // Keepers are for admins to invite.
        match line.exact("role") {
            Some("admin") => {
                "too few devices keep everything: add one (heirloom invite --device, or --keeper \
                 NAME), or have one that is there do so: heirloom device policy NAME archive"
            }
            Some(_) => {
                "too few devices keep everything: add one of yours (heirloom invite --device), or \
                 have one do so that is there: heirloom device policy NAME archive"
            }
            None => "too few devices keep everything: an admin of the family can invite one",
        }
    } else {
        "they are safe once the devices that keep everything hold them and have shown it: \
         heirloom serve on these and here"
    }
}

/// When everything was read again, and how far it is now.
fn say_scrubbed(ui: &mut Ui, line: &Line) {
    let Some(scrubbed) = line.inner("scrubbed").into_iter().next() else {
        return;
    };
    let (done, total) = (scrubbed.count("done"), scrubbed.count("total"));
    let percent = done.saturating_mul(100).checked_div(total).unwrap_or(0);
    match scrubbed.text("last") {
        Some(last) => {
            let day = last.split('T').next().unwrap_or(&last).to_owned();
            ui.say(format!(
                "Checked:   every byte was read again on {day}; {percent} % since then."
            ));
        }
        None if done > 0 => ui.say(format!("Checked:   {percent} % was read again so far.")),
        None => {}
    }
}

fn say_moving(ui: &mut Ui, line: &Line) {
    let Some(moving) = line.inner("moving").into_iter().next() else {
        return;
    };
    // Nobody who is known says that it has them: no device is on its way with them.
    let is_held = !line.inner("waiting_at").is_empty();
    let devices = |way: &str| text::count(moving.count(way), "device", "devices");
    let told = [
        ("sending", format!("sending to {}", devices("sending"))),
        (
            "receiving",
            format!("receiving from {}", devices("receiving")),
        ),
        (
            "waiting",
            text::count(moving.count("waiting"), "file to come", "files to come"),
        ),
    ];
    let told: Vec<String> = told
        .into_iter()
        .filter(|(way, _)| moving.count(way) > 0 && (is_held || *way != "waiting"))
        .map(|(_, said)| said)
        .collect();
    if !told.is_empty() {
        ui.say(format!("Moving:    {}.", text::and(&told)));
    }
    let waiting = moving.count("waiting");
    if waiting > 0 && !is_held {
        ui.say(format!(
            "Waiting:   {} known to have: a device that has {} brings {1}, or an import.",
            text::count(waiting, "file that no device is", "files that no device is"),
            if waiting == 1 { "it" } else { "them" },
        ));
    }
}

fn say_peers(ui: &mut Ui, line: &Line) {
    let mut table = text::Table::default();
    for peer in line.inner("peers") {
        let name = peer.text("name").unwrap_or_else(|| peer.id("device"));
        table.row([name, device::seen(&peer, ui.now())]);
    }
    let lines = table.lines();
    if !lines.is_empty() {
        ui.say("Devices:");
    }
    for line in lines {
        ui.say(format!("  {line}"));
    }
}
