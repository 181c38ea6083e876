//! `heirloom doctor`: problems of this device, each with its remedy.

use serde_json::json;

use super::Talk;
use crate::{
    error::CliError,
    ui::{Line, Ui, text},
};

pub(super) async fn run(talk: &mut Talk<'_>) -> Result<u8, CliError> {
    talk.act("doctor", json!({}), |ui, line| match line.kind() {
        "check" => say_check(ui, line),
        "summary" if line.count("problems") == 0 => ui.say("All is well."),
        "summary" => ui.say(format!(
            "{} found.",
            text::count(line.count("problems"), "problem", "problems")
        )),
        _ => super::unknown(ui, line),
    })
    .await
}

fn say_check(ui: &mut Ui, line: &Line) {
    let mark = if line.is("ok") {
        "ok      "
    } else {
        "problem "
    };
    ui.say(format!(
        "{mark}  {}: {}",
        line.text_or("name", "?"),
        line.text_or("message", "")
    ));
    if let Some(remedy) = line.text("remedy") {
        ui.say(format!("          {remedy}"));
    }
}
