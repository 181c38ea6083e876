//! What somebody did with recovery words: everybody is to know, for it may have been a thief.

use heirloom_protocol::{
    id::PersonId,
    op::Role,
    replica::{KitAct, KitUse},
};
use serde_json::json;

use crate::{api::problem::Problem, catalog::instant_text, runtime::View};

/// The notice of one use. Commands are named to those alone who may give them.
pub(super) fn problem(view: &View, used: &KitUse) -> Problem {
    let person = view.person_name(&used.person);
    let at = instant_text(used.at.time().0);
    let (id, device) = match &used.act {
        KitAct::Added(device) => ("words-added", Some(view.device_name(device))),
        KitAct::Removed(device) => ("words-removed", Some(view.device_name(device))),
        KitAct::Replaced => ("words-replaced", None),
    };
    let name = device.as_deref().unwrap_or_default();
    let did = match &used.act {
        KitAct::Added(_) => format!("to add the device {name}"),
        KitAct::Removed(_) => format!("to remove the device {name}"),
        KitAct::Replaced => "to put new ones in their place".into(),
    };
    let is_own = view.person == Some(used.person);
    let ends = match is_own {
        true => "If it was you, typing the words here ends this notice (heirloom recovery check)",
        false => "If it was, there is nothing to do: this notice ends by itself",
    };
    let (ask, then) = match remedy(view, used, name) {
        Some(remedy) => (None, format!("If that was not them: {remedy}. {ends}.")),
        None => {
            let others = others(view, &used.person);
            let whom = match (view.person, others.is_empty()) {
                // A keeper knows nobody by name.
                (None, _) => "an admin of the family".to_owned(),
                (_, true) => person.clone(),
                (_, false) => format!("{person} or an admin ({})", others.join(", ")),
            };
            let ask = [vec![person.clone()], others].concat().join(", ");
            let then = "this notice ends by itself";
            (
                Some(ask),
                format!("If you did not expect it, ask {whom}; {then}."),
            )
        }
    };
    let text =
        format!("The recovery words of {person} were used {did} (by its clock {at}). {then}");
    let values = json!({"person": person, "name": device, "at": at, "own": is_own, "ask": ask});
    Problem::new(id, values, text)
}

/// What this device's person can do about it; nothing where that is for others.
fn remedy(view: &View, used: &KitUse, name: &str) -> Option<String> {
    let is_own = view.person == Some(used.person);
    let may_remove = is_own || view.is_admin();
    match &used.act {
        KitAct::Added(_) if is_own => Some(format!(
            "heirloom device remove {name:?} --lost, then new words (heirloom recovery replace)"
        )),
        KitAct::Added(_) if may_remove => Some(format!(
            "heirloom device remove {name:?} --lost, and new words are for {} to make",
            view.person_name(&used.person)
        )),
        KitAct::Removed(_) if is_own => Some("make new words (heirloom recovery replace)".into()),
        KitAct::Replaced if may_remove => Some(
            "look at the devices (heirloom device list), and remove those that are lost".into(),
        ),
        KitAct::Added(_) | KitAct::Removed(_) | KitAct::Replaced => None,
    }
}

/// The admins who may be asked beside a person.
fn others(view: &View, person: &PersonId) -> Vec<String> {
    let mut admins = admin_ids(view);
    admins.retain(|id| id != person && Some(*id) != view.person);
    admins.iter().map(|id| view.person_name(id)).collect()
}

fn admin_ids(view: &View) -> Vec<PersonId> {
    let persons = view.people.persons.iter();
    let admins = persons.filter(|row| row.role == Some(Role::Admin));
    admins.map(|row| row.id).collect()
}

/// The names of those who take care of the family, as far as this device knows them.
pub(in crate::api) fn admins(view: &View) -> String {
    let ids = admin_ids(view);
    if ids.is_empty() {
        return "an admin".to_owned();
    }
    let names: Vec<_> = ids.iter().map(|id| view.person_name(id)).collect();
    names.join(", ")
}
