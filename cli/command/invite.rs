//! `heirloom invite`: a one-time code for a device, a person or a keeper.

use heirloom_node::forms;
use serde_json::json;

use super::Talk;
use crate::{
    args::Invite,
    error::CliError,
    ui::{Line, Ui, qr, text},
};

pub(super) async fn run(args: Invite, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    if !talk.ui.manner.yes && !talk.ui.can_ask() {
        return Err(CliError::usage(
            "an invite asks whether both screens show the same words, and there is nobody to ask",
            "run it on a terminal, or add --yes",
        ));
    }
    let body = json!({
        "device": args.device,
        "person": args.person,
        "keeper": args.keeper,
        "role": args.role.word(),
        "album": args.album,
        "valid": args.valid,
    });
    let valid = text::span(forms::seconds(&args.valid).unwrap_or_default());
    talk.act("invite", body, |ui, line| match line.kind() {
        "invite" => say_code(ui, line, &valid),
        "summary" => say_joined(ui, line),
        _ => super::unknown(ui, line),
    })
    .await
}

fn say_code(ui: &mut Ui, line: &Line, valid: &str) {
    let words = line.texts("words");
    let code = ui.strong(&words.join(" "));
    ui.note("On the other device run:  heirloom join");
    ui.say(format!("Code:  {code}"));
    ui.note(format!("({} words, valid {valid}, one use)", words.len()));
    let Some(link) = line.text("code") else {
        return;
    };
    if ui.terminal.out
        && let Some(drawn) = qr(&link, ui.manner.color.0)
    {
        ui.say(drawn);
    }
    ui.say(format!("Link:  {link}"));
    match line.exact("from_afar") {
        Some("proved") => {
            ui.note("The words work in this network alone; from another home use the link.");
        }
        Some("untried") => ui.note(
            "The words work in this network alone; from another home use the link, if this device\n\
             is reached from outside: nobody has come in yet (heirloom doctor).",
        ),
        Some("none") if line.is("invite_on") => ui.note(format!(
            "Words and link work in this network: this device is not reached from outside.\n\
             For another home invite on {} instead, which is.",
            line.text_or("invite_on", "?")
        )),
        Some("none") => ui.note(
            "Words and link work in this network: this device is not reached from outside\n\
             (heirloom doctor says what would help).",
        ),
        _ => {}
    }
    ui.note("Waiting for the other device; Ctrl+C takes the code back.");
}

fn say_joined(ui: &mut Ui, summary: &Line) {
    let device = summary
        .text("device_name")
        .unwrap_or_else(|| summary.id("device"));
    match summary.text("person_name") {
        Some(person) => ui.say(format!("Joined: {person} with {device}.")),
        None => ui.say(format!("Joined: {device}.")),
    }
    let others = summary.count("others");
    if others > 0 {
        let albums = text::count(others, "album", "albums");
        ui.note(format!(
            "It holds {albums} that others manage too: theirs is to say who keeps them."
        ));
    }
}
