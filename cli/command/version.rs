//! `heirloom version`: which version this is.

use serde_json::json;

use super::Talk;
use crate::{error::CliError, ui::Line};

pub(super) fn run(talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    let summary = Line::own("summary", json!({"act": "version", "version": version}));
    Ok(talk.close(&summary, |ui, _| ui.say(format!("heirloom {version}"))))
}
