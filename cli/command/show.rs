//! `heirloom show`: all that is known of one photo.

use serde_json::json;

use super::{Talk, list};
use crate::{
    args::Show,
    error::CliError,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Show, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    talk.act("show", json!({"id": args.id}), |ui, line| {
        match line.kind() {
            "asset" => say(ui, line),
            _ => super::unknown(ui, line),
        }
    })
    .await
}

fn say(ui: &mut Ui, asset: &Line) {
    let name = ui.strong(&asset.text_or("name", "(no name)"));
    ui.say(format!("{name}  ({})", asset.text_or("kind", "photo")));
    let mut table = text::Table::default();
    for (label, value) in facts(asset) {
        if let Some(value) = value {
            table.row([format!("{label}:"), value]);
        }
    }
    for line in table.lines() {
        ui.say(format!("  {line}"));
    }
}

fn facts(asset: &Line) -> Vec<(&'static str, Option<String>)> {
    let list = |field: &str| Some(text::and(&asset.texts(field))).filter(|names| !names.is_empty());
    vec![
        ("id", asset.text("id")),
        ("taken", taken(asset)),
        ("caption", asset.text("caption")),
        ("albums", list("albums")),
        ("tags", list("tags")),
        ("favourite", asset.is("favorite").then(|| "yes".to_owned())),
        (
            "added by",
            asset.text("by_name").or_else(|| asset.text("by")),
        ),
        ("place", place(asset)),
        ("camera", camera(asset)),
        ("size", size(asset)),
        ("parts", parts(asset)),
        ("copies", Some(asset.count("copies").to_string())),
        ("kept on", kept_on(asset)),
        ("here", here(asset)),
        ("preview", preview(asset)),
        (
            "trashed",
            list::trashed(asset).map(|fate| format!("{fate}; for 30 days at most")),
        ),
        ("blake3", asset.text("blake3")),
    ]
}

fn taken(asset: &Line) -> Option<String> {
    let time = asset.text("taken")?.replacen('T', " ", 1);
    let offset = asset
        .text("offset")
        .map(|offset| format!(" {offset}"))
        .unwrap_or_default();
    let source = asset
        .text("taken_source")
        .map(|from| format!(" (from {from})"))
        .unwrap_or_default();
    Some(format!("{time}{offset}{source}"))
}

fn place(asset: &Line) -> Option<String> {
    let place = asset.inner("place").into_iter().next()?;
    Some(format!(
        "{:.5}, {:.5}",
        place.fraction("lat")?,
        place.fraction("lon")?
    ))
}

fn camera(asset: &Line) -> Option<String> {
    let camera = asset.inner("camera").into_iter().next()?;
    let (make, model) = (camera.text("make"), camera.text("model"));
    match (make, model) {
        // Many models begin with who made them.
        (Some(make), Some(model)) if !model.starts_with(&make) => Some(format!("{make} {model}")),
        (make, model) => model.or(make),
    }
}

fn size(asset: &Line) -> Option<String> {
    let bytes = text::size(asset.count("bytes"));
    if asset.count("width") > 0 {
        Some(format!(
            "{bytes}, {} x {}",
            asset.count("width"),
            asset.count("height")
        ))
    } else {
        Some(bytes)
    }
}

fn parts(asset: &Line) -> Option<String> {
    let parts = asset.inner("parts");
    let told: Vec<String> = parts
        .iter()
        .map(|part| {
            format!(
                "{} {}",
                part.text_or("role", "part"),
                part.text_or("name", "?")
            )
        })
        .collect();
    (told.len() > 1).then(|| told.join(", "))
}

/// Who holds it; whoever has not shown it lately is named as such.
fn kept_on(asset: &Line) -> Option<String> {
    let names: Vec<String> = asset
        .inner("kept_on")
        .iter()
        .map(|kept| {
            let name = kept.text_or("name", "?");
            match kept.is("proved") {
                true => name,
                false => format!("{name} (not proved)"),
            }
        })
        .collect();
    (!names.is_empty()).then(|| text::and(&names))
}

fn here(asset: &Line) -> Option<String> {
    let here = asset.inner("here").into_iter().next()?;
    let held: Vec<String> = ["original", "preview", "thumbnail"]
        .into_iter()
        .filter(|class| here.is(class))
        .map(str::to_owned)
        .collect();
    Some(if held.is_empty() {
        "nothing yet".to_owned()
    } else {
        text::and(&held)
    })
}

fn preview(asset: &Line) -> Option<String> {
    match (
        asset.text("preview")?.as_str(),
        asset.text("preview_reason"),
    ) {
        ("made", _) => None,
        (state, Some(reason)) => Some(format!("{state}: {reason}")),
        (state, None) => Some(state.to_owned()),
    }
}
