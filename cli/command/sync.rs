//! `heirloom sync`: everything with every device in reach, once.

use serde_json::json;

use super::Talk;
use crate::{
    args::Sync,
    error::CliError,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Sync, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    talk.act(
        "sync",
        json!({"timeout": args.timeout}),
        |ui, line| match line.kind() {
            "summary" => say(ui, line),
            _ => super::unknown(ui, line),
        },
    )
    .await
}

fn say(ui: &mut Ui, line: &Line) {
    let devices = text::count(line.count("peers"), "device", "devices");
    let (sent, received) = (line.count("bytes_sent"), line.count("bytes_received"));
    let entries = line.count("entries_sent") + line.count("entries_received");
    let is_settled = line.is("settled");
    if sent + received + entries == 0 {
        ui.say(match is_settled {
            true => format!("In step with {devices}; there was nothing new."),
            false => format!("Met {devices}; nothing could be exchanged yet."),
        });
    } else {
        let (sent, received) = (text::size(sent), text::size(received));
        ui.say(format!(
            "Exchanged with {devices}: {received} received, {sent} sent."
        ));
    }
    if !is_settled {
        ui.hint("not all of it could be exchanged yet; run heirloom sync again, and if that does not help heirloom doctor");
    }
}
