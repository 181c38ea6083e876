//! `heirloom man`: one manual page for each command.

use serde_json::json;

use super::Talk;
use crate::{
    args::{self, Man},
    error::CliError,
    home::absolute,
    ui::Line,
};

pub(super) fn run(args: Man, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let dir = absolute(&args.dir)?;
    let failed = |source| CliError::File {
        act: "write man pages to",
        path: args.dir.clone(),
        source,
    };
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    args::write_man_pages(&args.dir).map_err(failed)?;
    let summary = Line::own("summary", json!({"act": "man", "dir": dir}));
    Ok(talk.close(&summary, |ui, line| {
        ui.say(format!(
            "Wrote the man pages to {}.",
            line.text_or("dir", "?")
        ));
    }))
}
