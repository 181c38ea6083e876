//! `heirloom device`: the family's devices and what they store.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::Talk;
use crate::{
    args::{Device, DeviceAct},
    error::CliError,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Device, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    if let DeviceAct::Remove { device, .. } = &args.act {
        let would = talk.may("device", body(&args.act)).await?;
        let question = format!("Remove the device {device} from the family?");
        // There is nothing left to ask where it is gone.
        match would.is("removed_before") {
            true => {}
            false => ask(talk, &would, "it", &question).await?,
        }
    }
    let mut table = text::Table::default();
    talk.act("device", body(&args.act), |ui, line| match line.kind() {
        "device" => table.row(row(line, ui.now())),
        "reach" => say_reach(ui, line),
        "summary" => {
            for line in table.lines() {
                ui.say(line);
            }
            match (&args.act, line.is("removed_before")) {
                (DeviceAct::Remove { device, .. }, true) => {
                    ui.say(text::plain(&was_removed(device, line)));
                }
                (act, _) => {
                    if let Some(done) = done(act) {
                        ui.say(text::plain(&done));
                    }
                }
            }
            if line.is("lost") {
                say_lost(ui, line);
            }
        }
        _ => super::unknown(ui, line),
    })
    .await
}

/// Asks whether devices are to go, and says what photos lose with them.
pub(super) async fn ask(
    talk: &mut Talk<'_>,
    would: &Line,
    they: &str,
    question: &str,
) -> Result<(), CliError> {
    let mut told = Vec::new();
    let (fewer, last) = (would.count("fewer"), would.count("last"));
    if last > 0 {
        let photos = text::count(last, "item", "items");
        told.push(format!(
            "No other device is known to have the original of {photos}."
        ));
    }
    if fewer > 0 {
        let photos = text::count(fewer, "item has", "items have");
        told.push(format!(
            "Without {they} {photos} fewer copies than you want."
        ));
    }
    ask_after(talk, told, question).await
}

/// Asks, once it is told what there is to know before.
pub(super) async fn ask_after(
    talk: &mut Talk<'_>,
    mut told: Vec<String>,
    question: &str,
) -> Result<(), CliError> {
    // Who is not asked is told as well.
    if talk.ui.manner.yes {
        for told in told.drain(..) {
            talk.ui.warn(&told);
        }
    }
    told.push(question.to_owned());
    talk.sure(&told.join(" ")).await
}

/// What a device that is gone could read of an album.
pub(super) fn say_reach(ui: &mut Ui, line: &Line) {
    let items = text::count(line.count("assets"), "item", "items");
    let album = line.text_or("album", "");
    ui.say(format!("It could read {}: {items}.", text::plain(&album)));
}

/// That a device was out already, and since when.
fn was_removed(device: &str, line: &Line) -> String {
    let at = line.text("removed_at");
    let day = at.as_deref().and_then(|at| at.get(..10));
    let on = day.map(|day| format!(" on {day}")).unwrap_or_default();
    format!("{device} was removed{on}.")
}

/// What is true of a device that is gone, so that nobody believes more.
fn say_lost(ui: &mut Ui, line: &Line) {
    let hidden = line.count("hidden_albums");
    if hidden > 0 {
        let albums = text::count(hidden, "album", "albums");
        ui.say(format!("It could read {albums} that you cannot see, too."));
    }
    ui.say("What was on it stays readable to whoever can unlock it.");
    ui.say("Its connections have ended. Whatever is added from now on goes under fresh keys.");
    ui.note("Devices that have not heard of this yet let it in until they do.");
}

fn body(act: &DeviceAct) -> Value {
    match act {
        DeviceAct::List => json!({"do": "list"}),
        DeviceAct::Rename { device, name } => {
            json!({"do": "rename", "device": device, "name": name})
        }
        DeviceAct::Remove {
            device,
            lost,
            with_last_copies,
        } => {
            json!({"do": "remove", "device": device, "lost": lost, "last": with_last_copies})
        }
        DeviceAct::Policy {
            device,
            policy,
            limit,
        } => {
            json!({"do": "policy", "device": device, "policy": policy.word(), "limit": limit})
        }
    }
}

fn row(device: &Line, now: SystemTime) -> [String; 6] {
    [
        device.text_or("name", "(no name)"),
        device
            .text("person_name")
            .or_else(|| device.text("person"))
            .unwrap_or_default(),
        device.text_or("kind", "device"),
        device.text_or("policy", ""),
        device.id("id"),
        seen(device, now),
    ]
}

/// Says whether a device is there, or when it was.
pub(super) fn seen(device: &Line, now: SystemTime) -> String {
    let full = if device.is("full") { ", disk full" } else { "" };
    seen_when(device, now) + full
}

fn seen_when(device: &Line, now: SystemTime) -> String {
    if device.is("removed") {
        "removed".to_owned()
    } else if device.is("this") {
        "this device".to_owned()
    } else if device.is("connected") {
        device
            .text("path")
            .map_or("connected".to_owned(), |path| format!("connected ({path})"))
    } else {
        let last = device.text("last_seen");
        last.map_or("not seen yet".to_owned(), |last| {
            format!("seen {}", text::ago(&last, now))
        })
    }
}

fn done(act: &DeviceAct) -> Option<String> {
    match act {
        DeviceAct::List => None,
        DeviceAct::Rename { device, name } => Some(format!("{device} is now called {name}.")),
        DeviceAct::Remove { device, .. } => Some(format!(
            "Removed {device}. New photos are out of its reach."
        )),
        DeviceAct::Policy { device, policy, .. } => Some(format!(
            "{device} is now a device that works as {}.",
            policy.word()
        )),
    }
}
