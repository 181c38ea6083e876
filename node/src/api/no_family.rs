//! A device that does not know its family any more: its log is damaged or gone, and so is what the database knew.
//!
//! Who founded a family knows from its key file nobody but itself, so there is no device to get the log from: it
//! would have to be let in without being known. Any other device still has that log, byte for byte, and so does
//! each that joins. What lies here can be read again once it is back.

use std::path::Path;

use heirloom_protocol::{id::SpaceId, op::AlbumUse};
use serde_json::json;

use super::{ApiError, problem::Problem};
use crate::{
    runtime::{Runtime, RuntimeError},
    store::{Store, Table},
};

/// Whether the family's log is damaged, and no device is known that could be asked for it.
pub(crate) fn is_unsure(store: &Store, runtime: &Runtime) -> Result<bool, RuntimeError> {
    let devices = runtime.replica().devices();
    let mut others = devices.iter().filter(|row| !row.removed);
    if others.any(|row| row.id != runtime.device()) {
        return Ok(false);
    }
    let control = runtime.replica().family().control_space();
    Ok(is_gone(store, control)? || store.is_torn(control) || !has_library(runtime))
}

/// Of an unsure one, whether nothing can be shown of what is here. Where photos can be, they are.
pub(crate) fn is_unknown(store: &Store, runtime: &Runtime) -> Result<bool, RuntimeError> {
    let control = runtime.replica().family().control_space();
    if is_gone(store, control)? || !has_library(runtime) {
        return Ok(true);
    }
    let mut is_empty = true;
    store.scan(Table::Assets, &[], |_, _| {
        is_empty = false;
        std::ops::ControlFlow::Break(())
    })?;
    // What was said after the entries that are missing waits for them.
    Ok(is_empty && !store.unindexed_logs()?.is_empty())
}

/// Whether entries of the family's log are missed.
fn is_gone(store: &Store, control: SpaceId) -> Result<bool, RuntimeError> {
    Ok(store.lost()?.iter().any(|(log, _)| log.space == control))
}

/// It is made with the family, so without it not even the beginning is known.
fn has_library(runtime: &Runtime) -> bool {
    let albums = runtime.view().albums;
    let mut albums = albums.values();
    albums.any(|album| album.row.purpose() == AlbumUse::Library)
}

/// What keeps the home from being opened.
pub(crate) fn error(home: &Path, control: SpaceId) -> ApiError {
    let message = "the family's log on this disk is damaged, so this device does not know its family any more";
    ApiError::new("E-DAMAGED", 9, message)
        .safe("Nothing was changed: the photos in this folder and the keys to them are as they were. Keep this folder, and do not remove this device from the family: what it alone holds is shown again once that log is back.")
        .hint(remedy(home, control))
}

/// The same where a part of the photos can still be shown.
pub(super) fn problem(home: &Path, control: SpaceId) -> Problem {
    let text = format!(
        "The family's log on this disk is damaged: other devices may belong to the family that this one does not know any more. What is shown is whole; more may be here, and is shown again once that log is back. Change nothing until then: {}. If there never was another device: heirloom invite --device adds one.",
        remedy(home, control)
    );
    Problem::new("home-damaged", json!({}), text)
}

fn remedy(home: &Path, control: SpaceId) -> String {
    let folder = Path::new("logs").join(control.to_string());
    format!(
        "any other device of the family has that log. Make a second home here, named by any new folder NEW: heirloom invite --device on the other device and heirloom --home NEW join here, or heirloom --home NEW recovery restore with the 24 words while the other device runs. Then stop Heirloom on this home, move {} away and put a copy of {} in its place. A backup of that folder does as well",
        home.join(&folder).display(),
        Path::new("NEW").join(&folder).display(),
    )
}
