//! What a sync that did not come to its end left undone, by device.

use std::collections::BTreeMap;

use heirloom_protocol::id::DeviceId;
use serde_json::{Value, json};

use crate::{
    api::ApiError,
    node::Node,
    runtime::{Left, RuntimeError},
};

/// What is known to be left with one device.
#[derive(Default)]
struct With {
    files: Left,
    /// Entries that it has signed for and that are not here.
    entries: u64,
    /// Whether it is still in reach.
    connected: bool,
}

/// What is left with each device that was reached and is not done with; `reached` says which are, and
/// `connected` which are still there. A device that went away is told with what it said before.
pub(super) async fn left(
    node: &Node,
    reached: &BTreeMap<DeviceId, bool>,
    connected: &BTreeMap<DeviceId, bool>,
) -> Result<Vec<Value>, ApiError> {
    let undone = reached.iter().filter(|(_, done)| !**done);
    let mut all: BTreeMap<DeviceId, With> = undone
        .map(|(device, _)| {
            let with = With {
                connected: connected.contains_key(device),
                ..With::default()
            };
            (*device, with)
        })
        .collect();
    let asked = node.ask(move |runtime| {
        let lore = runtime.lore()?;
        for (device, with) in &mut all {
            with.files = runtime.left_with(*device)?;
            with.entries = lore.behind.get(device).copied().unwrap_or(0);
        }
        Ok::<_, RuntimeError>(all)
    });
    let all = asked.await??;
    let view = node.view().await?;
    let line = |(device, with): (&DeviceId, &With)| {
        json!({
            "device": device.to_string(), "name": view.device_name(device),
            "connected": with.connected, "entries": with.entries,
            "files_to_get": with.files.to_get, "files_to_give": with.files.to_give,
        })
    };
    Ok(all.iter().map(line).collect())
}
