//! `heirloom completions`: the script that completes commands in a shell.

use serde_json::json;

use super::Talk;
use crate::{
    args::{self, Completions},
    error::CliError,
    ui::Line,
};

pub(super) fn run(args: Completions, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let script = String::from_utf8_lossy(&args::completion_script(args.shell)).into_owned();
    let summary = Line::own("summary", json!({"act": "completions", "script": script}));
    Ok(talk.close(&summary, |ui, _| ui.verbatim(&script)))
}
