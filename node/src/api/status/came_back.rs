//! What was damaged or missing in this home and is whole again: nobody need do anything, and may wonder.

use serde_json::json;

use super::Sums;
use crate::{
    api::{ApiError, problem::Problem},
    catalog::instant_text,
    forms::counted,
    node::Node,
    runtime::View,
    store::{Damage, KeyFile, Store},
};

/// The notes.
pub(super) async fn notes(node: &Node, view: &View, sums: &Sums) -> Result<Vec<Problem>, ApiError> {
    let asked = node.ask(|runtime| (runtime.to_show_again(), runtime.log_back()));
    let (to_show, back) = asked.await?;
    let mut notes = Vec::new();
    notes.extend(of_key(node.store()));
    notes.extend(of_device_key(node.store()));
    // Where no photo is known, it may be that none is any more.
    let is_felt = sums.assets == 0 || sums.safe < sums.assets;
    if let Some((at, silent)) = to_show?.filter(|_| is_felt) {
        let names: Vec<_> = silent
            .iter()
            .map(|device| view.device_name(device))
            .collect();
        let (names, at) = (names.join(", "), instant_text(at));
        let day = at.get(..10).unwrap_or(&at);
        let is_all = sums.assets > 0 && sums.unnamed == 0 && sums.entries_lost == 0;
        let what = match is_all {
            true => "no photo is lost",
            false => "what they tell of is shown",
        };
        let text = format!(
            "The database of this home was lost or damaged, and was made again from the logs on {day}: {what}. What it knew of copies elsewhere has to be shown anew, so fewer count as safe until these were in reach: {names} (heirloom serve there and here)."
        );
        notes.push(Problem::new(
            "shown-again",
            json!({"names": names, "at": at}),
            text,
        ));
    }
    if let Some((at, entries)) = back? {
        let at = instant_text(at);
        let day = at.get(..10).unwrap_or(&at);
        let text = format!(
            "A file of this device's own log was missing, and {} came back from another device on {day}: nothing of it was lost. If nobody removed that file, look whether the disk is failing (heirloom verify --read-data).",
            counted(entries, "entry", "entries"),
        );
        notes.push(Problem::new(
            "log-back",
            json!({"n": entries, "at": at}),
            text,
        ));
    }
    Ok(notes)
}

/// That the key of the database was damaged, and replaced when the home was opened.
fn of_key(store: &Store) -> Option<Problem> {
    store.opened().damages.iter().any(is_of_key).then(|| {
        let text = "The key of this home's database (keys/store.key) was damaged. It was replaced, and the database made again from the logs: your photos lie encrypted in files of their own, and nothing of them is lost. There is nothing to do; if it happens again, the disk is failing: heirloom verify --read-data, and copy what matters to another one.";
        Problem::new("store-key", json!({}), text)
    })
}

/// That one of the two files of this device's key was written again from the other.
fn of_device_key(store: &Store) -> Option<Problem> {
    let (file, whole) = match store.opened().healed_key? {
        KeyFile::DeviceCopy => ("keys/device.copy.key", "keys/device.key"),
        _ => ("keys/device.key", "keys/device.copy.key"),
    };
    let text = format!(
        "The key of this device is kept twice. One of the two files ({file}) was damaged or missing, and was made whole from the other ({whole}): nothing is lost. There is nothing to do; if it happens again, the disk is failing: heirloom verify --read-data, and copy what matters to another one."
    );
    Some(Problem::new("device-key", json!({"file": file}), text))
}

/// Whether a damage is of the key that is replaced by itself; one of both files of the device's own opens no home.
pub(super) fn is_of_key(damage: &Damage) -> bool {
    matches!(damage, Damage::Key { .. })
}
