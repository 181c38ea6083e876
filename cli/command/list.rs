//! `heirloom list`: photos and videos, one a line.

use serde_json::json;

use super::Talk;
use crate::{
    args::List,
    error::CliError,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: List, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({
        "album": args.album,
        "taken": args.taken,
        "type": args.kind.map(|kind| kind.word()),
        "only_here": args.only_here,
        "trashed": args.trashed,
    });
    let mut listed = 0;
    talk.act("list", body, |ui, line| say(ui, line, &mut listed))
        .await
}

/// Says a list of assets and how many there were.
pub(super) fn say(ui: &mut Ui, line: &Line, listed: &mut u64) {
    match line.kind() {
        "asset" => {
            *listed += 1;
            ui.say(row(line));
        }
        "summary" => ui.note(format!("{}.", text::count(*listed, "item", "items"))),
        _ => super::unknown(ui, line),
    }
}

/// One asset in columns that stay in place while the list runs on.
fn row(asset: &Line) -> String {
    let taken = asset
        .text("taken")
        .map_or("no date".to_owned(), |taken| text::wall_time(&taken));
    let mut row = format!(
        "{:<8}  {taken:<16}  {:>8}  {:<9}  {}",
        asset.id("id"),
        text::size(asset.count("bytes")),
        text::count(asset.count("copies"), "copy", "copies"),
        asset.text_or("name", "(no name)"),
    );
    if asset.is("favorite") {
        row.push_str("  *");
    }
    if let Some(caption) = asset.text("caption") {
        row.push_str(&format!("  \"{caption}\""));
    }
    if let Some(fate) = trashed(asset) {
        row.push_str(&format!("  (trashed {fate})"));
    }
    row
}

/// Who put an asset into the trash, and when.
pub(super) fn trashed(asset: &Line) -> Option<String> {
    let fate = asset.inner("trash").pop()?;
    let at = fate.text("at")?;
    let day = at.get(..16).unwrap_or(&at).replacen('T', " ", 1);
    let (by, device) = (fate.text_or("by", "?"), fate.text_or("device", "?"));
    Some(format!("by {by} on {device}, {day} UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_trash_says_who_put_it_there_and_when() {
        let fate = json!({"by": "Ben", "device": "tablet", "at": "2026-11-25T07:06:05Z"});
        let asset = json!({"type": "asset", "id": "0102", "name": "a.jpg", "trash": fate});
        let line = Line::parse(asset.to_string().as_bytes()).expect("a line");
        let row = row(&line);
        assert!(
            row.ends_with("a.jpg  (trashed by Ben on tablet, 2026-11-25 07:06 UTC)"),
            "{row}"
        );
        assert_eq!(trashed(&line.with("trash", json!(null))), None);
    }
}
