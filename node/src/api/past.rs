//! Homes that were restored or copied: what people are told of it, and why a node that has just
//! started listens before it writes.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use heirloom_protocol::id::DeviceId;
use serde_json::{Value, json};

use super::{Doorway, pick, problem::Problem};
use crate::{
    catalog::instant_text,
    net::Standing,
    network::{Network, device_of},
    runtime::{Past, View},
};

/// How long after its start a node looks for others before it writes alone.
const LOOK: Duration = Duration::from_secs(2);
/// How long it listens to those that it found.
const LISTEN: Duration = Duration::from_secs(5);

/// What happened, and what to do about it.
pub(super) struct Word {
    pub(super) message: String,
    pub(super) remedy: &'static str,
    id: &'static str,
    values: Value,
}

impl Word {
    /// The same as what needs a person.
    pub(super) fn problem(&self) -> Problem {
        let text = format!("{} {}", self.message, self.remedy);
        Problem::new(self.id, self.values.clone(), text)
    }
}

const OWN_REMEDY: &str = "If another computer runs a copy of this home: once both say that all is safe, stop it there, and let that computer join as a device of its own (heirloom invite --device).";
const OTHERS_REMEDY: &str = "If two computers run copies of that home: once both say that all is safe, stop one of them, and let it join as a device of its own (heirloom invite --device).";

/// The words for what was noticed of each device. `is_whole` says that nothing is missed here.
pub(super) fn words(view: &View, pasts: &[(DeviceId, Past)], is_whole: bool) -> Vec<Word> {
    let rest = match is_whole {
        true => "nothing was lost.",
        false => "but not all that was here has come back yet.",
    };
    let word = |(device, past): &(_, Past)| {
        let at = instant_text(past.since);
        let day = at.get(..10).unwrap_or(&at);
        if *device != view.device {
            let name = view.device_name(device);
            return Word {
                message: format!(
                    "The home of {name} was restored from an older copy, or is used on two computers (noticed on {day}). The photos of both sides are kept."
                ),
                remedy: OTHERS_REMEDY,
                id: "restored-other",
                values: json!({"name": name, "at": at}),
            };
        }
        let message = match past.forked || past.twice {
            true => format!(
                "This home was restored from an older copy, or is used on two computers (noticed on {day}): it goes on under a new identity of its log, and what was written on either side is kept; {rest}"
            ),
            false => format!(
                "This home was restored from an older copy (noticed on {day}): what it had written since came back from the other devices, and it goes on under a new identity of its log; {rest}"
            ),
        };
        Word {
            message,
            remedy: OWN_REMEDY,
            id: if is_whole {
                "restored"
            } else {
                "restored-part"
            },
            values: json!({"at": at}),
        }
    };
    pasts.iter().map(word).collect()
}

/// Whether an act writes into this device's own logs.
pub(super) fn writes(act: &str, body: &Value) -> bool {
    match act {
        "import" | "caption" | "favorite" | "tag" | "trash" | "restore" | "purge" | "share"
        | "unshare" => true,
        "retake" => true,
        "watch" => pick::optional(body, "do") == Some("add"),
        "album" => !matches!(
            pick::optional(body, "do"),
            None | Some("list" | "show" | "may")
        ),
        _ => false,
    }
}

/// Waits until those in reach have told what they know of this device's own log.
///
/// A home that was restored from an older copy would else write a second time over what it wrote
/// already. A node that is not on the network does not wait, and one that finds nobody no longer
/// than two seconds from its start: what it writes then is kept all the same. Once is enough: what was
/// written then stands, and a device that cannot be synced with holds up no second act.
pub(crate) async fn listen_first(doorway: &Doorway) {
    let Some((network, since)) = doorway.network_since().await else {
        return;
    };
    if doorway.has_listened.load(Ordering::Relaxed) {
        return;
    }
    let mut stirs = network.stirs();
    while !has_listened(&network, since).await {
        // Nothing may stir while time alone decides.
        let _ = tokio::time::timeout(Duration::from_millis(100), stirs.changed()).await;
    }
    doorway.has_listened.store(true, Ordering::Relaxed);
}

async fn has_listened(network: &Network, since: Instant) -> bool {
    if since.elapsed() >= LISTEN || has_no_others(network).await {
        return true;
    }
    let sessions = network.sessions();
    let mut members = network.connected().await;
    members.retain(|path| path.standing == Standing::Member);
    if members.is_empty() {
        return since.elapsed() >= LOOK;
    }
    members.iter().all(|path| {
        let device = device_of(path.peer);
        let mut sessions = sessions.iter();
        sessions.any(|session| session.device == device && session.settled)
    })
}

async fn has_no_others(network: &Network) -> bool {
    let asked = network.node().ask(|runtime| runtime.live_keys().len());
    asked.await.is_ok_and(|live| live <= 1)
}
