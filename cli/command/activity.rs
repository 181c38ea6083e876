//! `heirloom activity`: who added, favoured and said what, newest first.

use std::time::SystemTime;

use serde_json::json;

use super::Talk;
use crate::{
    args::Activity,
    error::CliError,
    ui::{Line, text},
};

pub(super) async fn run(args: Activity, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    talk.act(
        "activity",
        json!({"limit": args.limit}),
        |ui, line| match line.kind() {
            "activity" => {
                let told = sentence(line, ui.now());
                ui.say(told);
            }
            "summary" if line.count("count") == 0 => ui.note("Nothing has happened yet."),
            "summary" => {}
            _ => super::unknown(ui, line),
        },
    )
    .await
}

fn sentence(line: &Line, now: SystemTime) -> String {
    let (at, by, name) = (
        text::ago(&line.text_or("at", ""), now),
        line.text_or("by", ""),
        line.text_or("name", ""),
    );
    match line.text_or("what", "").as_str() {
        "comment" => format!("{at}  {by} on {name}: {}", line.text_or("text", "")),
        "favorite" => format!("{at}  {by} likes {name}"),
        _ if line.count("count") > 1 => {
            format!(
                "{at}  {by} added {name} and {} more",
                line.count("count") - 1
            )
        }
        _ => format!("{at}  {by} added {name}"),
    }
}
