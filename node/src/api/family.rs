//! `init`: a family, its first person and this device.

use heirloom_protocol::crypto::RecoveryKit;
use serde_json::{Value, json};

use super::{ApiError, Done, Doorway, pick};
use crate::{
    net::Peer,
    node::{FamilyNames, Node},
    runtime::system_rng,
};

/// What a device is called whose system does not say.
const DEVICE: &str = "This device";

/// `init`: founds a family in a home that has none, and gives the recovery words this once.
pub(super) async fn init(doorway: &Doorway, body: &Value) -> Done {
    if doorway.node().await.is_ok() {
        return Err(ApiError::already_set_up());
    }
    let device = match pick::optional(body, "device") {
        Some(_) => pick::name(body, "device")?.to_owned(),
        None => host_name(),
    };
    let names = FamilyNames {
        family: pick::name(body, "family")?.to_owned(),
        person: pick::name(body, "person")?.to_owned(),
        device,
    };
    let wanted = body.get("recovery").and_then(Value::as_bool);
    let kit = if wanted.unwrap_or(!pick::flag(body, "no_recovery")) {
        Some(RecoveryKit::generate(&mut system_rng()?))
    } else {
        None
    };
    let made = Node::found(doorway.home(), doorway.options(), names, kit.as_ref()).await?;
    doorway.settle(made.node).await;
    Ok(json!({
        "family": made.family.to_string(),
        "person": made.person.to_string(),
        "device": made.device.to_string(),
        "peer": Peer(made.device.0).to_string(),
        "recovery": kit.as_ref().map(words),
    }))
}

/// The words of a kit, for the one line that ever shows them.
pub(super) fn words(kit: &RecoveryKit) -> Vec<String> {
    kit.words().split(' ').map(str::to_owned).collect()
}

/// What the system calls this device, cut to what a name may be.
pub(crate) fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let name: String = name.chars().filter(|c| !c.is_control()).take(63).collect();
    match name.trim() {
        "" => DEVICE.into(),
        name => name.into(),
    }
}
