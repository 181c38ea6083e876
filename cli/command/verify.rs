//! `heirloom verify`: whether all that is stored is whole.

use serde_json::json;

use super::Talk;
use crate::{
    args::Verify,
    error::CliError,
    ui::{Line, Ui, text},
};

pub(super) async fn run(args: Verify, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let body = json!({"read_data": args.read_data});
    talk.act("verify", body, |ui, line| match line.kind() {
        "damage" => say_damage(ui, line),
        "summary" => say_summary(ui, line, args.read_data),
        _ => super::unknown(ui, line),
    })
    .await
}

fn say_damage(ui: &mut Ui, line: &Line) {
    let what = line.text_or("what", "part");
    let of = match line.text("asset") {
        Some(_) => format!(" of the photo {}", line.id("asset")),
        None => String::new(),
    };
    ui.say(format!(
        "damaged: {what} {}{of}: {}",
        line.id("id"),
        line.text_or("problem", "unknown")
    ));
}

fn say_summary(ui: &mut Ui, line: &Line, read_data: bool) {
    let checked = text::count(line.count("checked"), "thing", "things");
    if line.count("damaged") == 0 {
        ui.say(format!("Checked {checked}: all is whole."));
        if !read_data {
            ui.hint("heirloom verify --read-data reads every byte too");
        }
    } else {
        ui.say(format!(
            "Checked {checked}: {} damaged or missing.",
            text::thousands(line.count("damaged"))
        ));
        ui.hint("another device may hold a good copy: heirloom sync");
    }
}
