//! `heirloom config`: read and change settings.

use serde_json::{Value, json};

use super::Talk;
use crate::{
    args::{Config, ConfigAct},
    error::CliError,
};

pub(super) async fn run(args: Config, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    talk.act("config", body(&args.act), |ui, line| {
        match (line.kind(), &args.act) {
            ("setting", ConfigAct::Get { .. }) => ui.say(line.shown("value")),
            ("setting", _) => ui.say(format!(
                "{} = {}",
                line.text_or("key", "?"),
                line.shown("value")
            )),
            ("summary", ConfigAct::Set { .. }) => {
                ui.note("It holds from the next start of the node on.")
            }
            _ => super::unknown(ui, line),
        }
    })
    .await
}

fn body(act: &ConfigAct) -> Value {
    match act {
        ConfigAct::Get { key } => json!({"do": "get", "key": key}),
        ConfigAct::Set { key, value } => json!({"do": "set", "key": key, "value": value}),
        ConfigAct::List => json!({"do": "list"}),
    }
}
