//! `heirloom version`: which version this is.

use serde_json::{Value, json};

use super::Talk;
use crate::{error::CliError, ui::Line};

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn run(talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let summary = Line::own("summary", fields());
    Ok(talk.close(&summary, |ui, _| ui.say(format!("heirloom {VERSION}"))))
}

/// The fields of its summary.
pub(super) fn fields() -> Value {
    json!({"act": "version", "version": VERSION})
}
