//! `heirloom album`: make, list, show and change albums.

use serde_json::{Value, json};

use super::{Talk, device, list};
use crate::{
    args::{Album, AlbumAct},
    error::CliError,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Album, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    match &args.act {
        AlbumAct::Delete { album, .. } => {
            let would = talk.may("album", body(&args.act)).await?;
            let question = format!("Delete the album {album} for everybody it is shared with?");
            device::ask_after(talk, lacking(&would), &question).await?;
        }
        AlbumAct::Leave { album, .. } => {
            let would = talk.may("album", body(&args.act)).await?;
            let question = format!(
                "Leave the album {album}? Only its managers can bring you back. \
                 Photos of yours that are in no other album stay in your library."
            );
            match (would.is("ended"), would.count("away")) {
                (false, _) => device::ask_after(talk, lacking(&would), &question).await?,
                // Nothing is left to lose.
                (true, 0) => {}
                (true, away) => {
                    let items = text::count(away, "item", "items");
                    let question = format!(
                        "Leave the album {album}, and look no more for what you had added and is not here: {items}?"
                    );
                    talk.sure(&question).await?;
                }
            }
        }
        _ => {}
    }
    let mut table = text::Table::default();
    let mut listed = 0;
    let mut ended: Vec<String> = Vec::new();
    talk.act("album", body(&args.act), |ui, line| match line.kind() {
        "album" => match args.act {
            AlbumAct::List => table.row(row(line)),
            _ => say(ui, line),
        },
        "asset" => list::say(ui, line, &mut listed),
        "ended" => ended.extend(line.texts_whole("text")),
        "summary" => {
            for line in table.lines() {
                ui.say(line);
            }
            for text in ended.drain(..) {
                ui.say(text);
            }
            if let Some(done) = done(&args.act, line) {
                ui.say(done);
            }
            let trashed = line.count("trashed");
            if trashed > 0 {
                let items = text::count(trashed, "item", "items");
                ui.note(format!(
                    "In no other album, and so in the trash now, for 30 days: {items}."
                ));
                ui.hint("heirloom restore ID brings one back");
            }
        }
        _ => super::unknown(ui, line),
    })
    .await
}

/// What goes out of sight with an album.
fn lacking(would: &Line) -> Vec<String> {
    let last = would.count("last");
    let items = text::count(last, "item that is", "items that are");
    let nowhere = format!(
        "No device is known to have the original of {items} in this album alone; what is said of them goes with it."
    );
    let elsewhere = would.count("elsewhere");
    let items = text::count(elsewhere, "item that is", "items that are");
    let away = format!(
        "The original of {items} in this album alone is not here, and does not come into your library any more."
    );
    let told = [(last, nowhere), (elsewhere, away)].into_iter();
    told.filter(|(count, _)| *count > 0)
        .map(|(_, told)| told)
        .collect()
}

fn body(act: &AlbumAct) -> Value {
    match act {
        AlbumAct::Create { name } => json!({"do": "create", "name": name}),
        AlbumAct::List => json!({"do": "list"}),
        AlbumAct::Show { album } => json!({"do": "show", "album": album}),
        AlbumAct::Rename { album, name } => json!({"do": "rename", "album": album, "name": name}),
        AlbumAct::Add { album, ids } => json!({"do": "add", "album": album, "ids": ids}),
        AlbumAct::Remove { album, ids } => json!({"do": "remove", "album": album, "ids": ids}),
        AlbumAct::Leave {
            album,
            with_last_copies,
        } => json!({"do": "leave", "album": album, "last": with_last_copies}),
        AlbumAct::Delete {
            album,
            with_last_copies,
        } => json!({"do": "delete", "album": album, "last": with_last_copies}),
    }
}

fn row(album: &Line) -> [String; 4] {
    [
        album.text_or("name", "(no name)"),
        text::count(album.count("assets"), "item", "items"),
        album.text_or("role", ""),
        shared_with(album),
    ]
}

fn shared_with(album: &Line) -> String {
    let names: Vec<String> = album
        .inner("people")
        .iter()
        .filter_map(|person| person.text("name"))
        .collect();
    match names.len() {
        0 | 1 => "only you".to_owned(),
        _ => text::and(&names),
    }
}

fn say(ui: &mut Ui, album: &Line) {
    let name = ui.strong(&album.text_or("name", "(no name)"));
    ui.say(format!(
        "{name}  ({})",
        text::count(album.count("assets"), "item", "items")
    ));
    ui.say(format!("  id:    {}", album.text_or("id", "?")));
    for person in album.inner("people") {
        ui.say(format!(
            "  {}: {}",
            person.text_or("role", "member"),
            person.text_or("name", "?")
        ));
    }
}

fn done(act: &AlbumAct, summary: &Line) -> Option<String> {
    let moved =
        |ids: &Vec<String>| text::count(super::changed(summary, ids.len()), "item", "items");
    let said = match act {
        AlbumAct::List | AlbumAct::Show { .. } => return None,
        AlbumAct::Create { name } => {
            format!("Made the album {name}; only you can see it until you share it.")
        }
        AlbumAct::Rename { album, name } => format!("The album {album} is now called {name}."),
        AlbumAct::Add { album, ids } => format!("Put {} into {album}.", moved(ids)),
        AlbumAct::Remove { album, ids } => format!("Took {} out of {album}.", moved(ids)),
        AlbumAct::Leave { .. } if summary.is("ended") => left(summary.count("away")),
        AlbumAct::Leave { album, .. } => format!("Left the album {album}."),
        AlbumAct::Delete { album, .. } => format!("Deleted the album {album}."),
    };
    Some(text::plain(&said).into_owned())
}

/// What became of an album that is no longer shared.
fn left(away: u64) -> String {
    let told = "That it is no longer shared with you is told no more; what you had added is in your library";
    match away {
        0 => format!("{told}."),
        _ => {
            let items = text::count(away, "item", "items");
            format!("{told}, without {items} that are looked for no more.")
        }
    }
}
