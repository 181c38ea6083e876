//! `heirloom people`: who is in the family.

use serde_json::{Value, json};

use super::{Talk, device};
use crate::{
    args::{People, PeopleAct},
    error::CliError,
    ui::{Line, text},
};

pub(super) async fn run(args: People, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    if let PeopleAct::Remove { person, .. } = &args.act {
        let would = talk.may("people", body(&args.act)).await?;
        let question = format!("Remove {person} and all their devices from the family?");
        device::ask(talk, &would, "them", &question).await?;
    }
    let mut table = text::Table::default();
    talk.act("people", body(&args.act), |ui, line| match line.kind() {
        "person" => table.row(row(line)),
        "summary" => {
            for line in table.lines() {
                ui.say(line);
            }
            match &args.act {
                PeopleAct::List => {}
                PeopleAct::Rename { person, name } => {
                    ui.say(text::plain(&format!("{person} is now called {name}.")));
                }
                PeopleAct::Remove { person, .. } => {
                    ui.say(text::plain(&format!(
                        "Removed {person}. New photos are out of their reach."
                    )));
                }
            }
        }
        _ => super::unknown(ui, line),
    })
    .await
}

fn body(act: &PeopleAct) -> Value {
    match act {
        PeopleAct::List => json!({"do": "list"}),
        PeopleAct::Rename { person, name } => {
            json!({"do": "rename", "person": person, "name": name})
        }
        PeopleAct::Remove {
            person,
            with_last_copies,
        } => json!({"do": "remove", "person": person, "last": with_last_copies}),
    }
}

fn row(person: &Line) -> [String; 4] {
    [
        person.text_or("name", "(no name)"),
        person.text_or("role", ""),
        person.id("id"),
        if person.is("removed") {
            "removed".to_owned()
        } else {
            String::new()
        },
    ]
}
