//! What has not arrived yet, and which devices have it.

use serde_json::{Value, json};

use crate::{
    api::{live::Live, problem::Problem},
    forms::counted,
    runtime::View,
};

/// Most devices that a sentence names.
const NAMED: usize = 3;

/// The devices that say they hold what is lacking here, with how much of it: most first.
fn holders(live: &Live, view: &View) -> Vec<(String, String, u64)> {
    let held = live.waiting_at.iter();
    let mut all: Vec<_> = held
        .map(|(device, n)| (device.to_string(), view.device_name(device), *n))
        .collect();
    all.sort_by_key(|(_, _, n)| std::cmp::Reverse(*n));
    all
}

/// The same for programs.
pub(super) fn at(live: &Live, view: &View) -> Vec<Value> {
    let line = |(device, name, n): (String, String, u64)| json!({"device": device, "name": name, "files": n});
    holders(live, view).into_iter().map(line).collect()
}

/// The problem that files are lacking, with who has them as far as this device has heard.
pub(super) fn problem(live: &Live, view: &View) -> Problem {
    if live.is_short_of_room && live.stored.is_none() {
        return no_room(live.waiting);
    }
    let missing = counted(
        live.waiting,
        "file has not arrived yet: it comes as soon as a device that holds it",
        "files have not arrived yet: they come as soon as a device that holds them",
    );
    let named: Vec<_> = holders(live, view).into_iter().take(NAMED).collect();
    let names: Vec<_> = named.iter().map(|(_, name, _)| name.as_str()).collect();
    let has: Vec<_> = named
        .iter()
        .map(|(_, name, n)| format!("{name} has {n}"))
        .collect();
    let who = match has.as_slice() {
        [] => String::new(),
        _ => format!(": {} (heirloom serve there)", has.join(", ")),
    };
    let text = format!("{missing} is in reach{who}.");
    let values = json!({"n": live.waiting, "holders": names.join(", ")});
    Problem::new("waiting", values, text)
}

/// The problem that they find no room here, whoever is in reach.
fn no_room(waiting: u64) -> Problem {
    let text = match waiting {
        1 => "1 file has not arrived yet, and this disk has no room for it. Make room, then heirloom sync or heirloom serve gets it. What is here is safe.".to_owned(),
        _ => format!(
            "{waiting} files have not arrived yet, and this disk has no room for all of them. Make room, then heirloom sync or heirloom serve gets them. What is here is safe."
        ),
    };
    Problem::new("waiting-no-room", json!({"n": waiting}), text)
}
