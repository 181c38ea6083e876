//! Who was there, noted as it happens.

use heirloom_protocol::{
    id::DeviceId,
    sync::{message::Message, session::Input},
};

use super::Network;
use crate::runtime::{note_seen, note_turned_away};

/// How long after a call that ended before a word the device is called once more.
const ONCE_MORE: std::time::Duration = std::time::Duration::from_secs(1);

impl Network {
    /// Notes that a device was connected until now.
    pub(super) fn note_seen(&self, device: DeviceId) {
        // Who is met in the name of a kit knows the kit, and this device perhaps not yet.
        if self.0.kit.is_some() {
            return;
        }
        let (store, now) = (self.node().store().clone(), self.node().clock().now());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = note_seen(&store, &device, now) {
                tracing::warn!(%error, "when a device was seen could not be kept");
            }
        });
    }

    /// What a device said, which shows that it takes this one for a device of the family.
    pub(super) fn heard(&self, device: DeviceId, message: Message) -> Input {
        self.heard_from(device);
        Input::Message(message)
    }

    /// Notes that a called device has said something: it takes this one for a device of the family.
    fn heard_from(&self, device: DeviceId) {
        let mut state = self.state();
        state.turned_away.remove(&device);
        state.doubted.remove(&device);
        if state.unjudged.remove(&device) {
            drop(state);
            self.note_seen(device);
        }
    }

    /// Notes that the last connection to a device ended. Where it had not said a word to a call, and
    /// says none to a second one, it has turned this one away: a line may break once just then, or the
    /// other side may take the new connection for one too many.
    pub(super) fn note_end(&self, device: DeviceId, had_session: bool) {
        if !self.state().unjudged.remove(&device) {
            if had_session {
                self.note_seen(device);
            }
            return;
        }
        // The holder of a kit is let in by few, and knows it.
        if self.0.kit.is_some() || self.0.cancel.is_cancelled() || self.is_kept_away(&device) {
            return;
        }
        let is_first = {
            let mut state = self.state();
            !state.turned_away.contains(&device) && !state.doubted.remove(&device)
        };
        match is_first {
            true => self.call_once_more(device),
            false => self.note_turned_away(device),
        }
    }

    fn call_once_more(&self, device: DeviceId) {
        self.state().doubted.insert(device);
        let network = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = network.0.cancel.cancelled() => return,
                () = tokio::time::sleep(ONCE_MORE) => {}
            }
            if let Err(error) = network.call_round().await {
                tracing::debug!(%error, "calling");
            }
            // The end of that call may be on its way; one that nobody answers says nothing.
            tokio::time::sleep(ONCE_MORE).await;
            network.state().doubted.remove(&device);
            network.stir();
        });
    }

    fn note_turned_away(&self, device: DeviceId) {
        tracing::warn!(device = %device.short(), "a device turned this one away: it does not know it yet, or has heard that it was removed");
        self.state().turned_away.insert(device);
        let (network, now) = (self.clone(), self.node().clock().now());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = note_turned_away(network.node().store(), &device, now) {
                tracing::warn!(%error, "who turned this device away could not be kept");
            }
            // Who looks at a page hears of it at once.
            network.stir();
        });
    }

    /// Whether a device that was called has not said a word yet, and may.
    pub(crate) fn awaits_a_word(&self) -> bool {
        let state = self.state();
        !state.unjudged.is_empty() || !state.doubted.is_empty()
    }

    /// The devices that turned this one away when they were called last.
    pub(crate) fn turned_away(&self) -> Vec<DeviceId> {
        self.state().turned_away.iter().copied().collect()
    }
}
