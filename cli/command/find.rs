//! `heirloom find`: photos by their words.

use serde_json::json;

use super::{Talk, list};
use crate::{args::Find, error::CliError};

pub(super) async fn run(args: Find, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"words": args.words.join(" ")});
    let mut listed = 0;
    talk.act("find", body, |ui, line| list::say(ui, line, &mut listed))
        .await
}
