//! Who was there, noted as it happens.

use heirloom_protocol::{
    id::DeviceId,
    sync::{message::Message, session::Input},
};

use super::{Network, device_of};
use crate::{
    net::{Address, Path, Standing, is_elsewhere},
    runtime::{note_came_in, note_met, note_seen, note_turned_away},
    store::{Store, StoreError},
};

/// How long after a call that ended before a word the device is called once more.
const ONCE_MORE: std::time::Duration = std::time::Duration::from_secs(1);

impl Network {
    /// Notes something on the disk, in a while; what cannot be noted is missed by nobody but a person who asks.
    fn put_down(&self, write: impl FnOnce(&Store) -> Result<(), StoreError> + Send + 'static) {
        // Who is met in the name of a kit knows the kit, and this device perhaps not yet.
        if self.0.kit.is_some() {
            return;
        }
        let store = self.node().store().clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = write(&store) {
                tracing::warn!(%error, "when a device was seen could not be kept");
            }
        });
    }

    /// Notes that a device was connected until now.
    fn note_seen(&self, device: DeviceId) {
        let now = self.node().clock().now();
        self.put_down(move |store| note_seen(store, &[device], now));
    }

    /// Notes that a device is connected, and whether it is in another network.
    pub(super) fn note_met(&self, device: DeviceId) {
        let now = self.node().clock().now();
        let is_elsewhere = self.state().elsewhere.contains(&device);
        self.put_down(move |store| note_met(store, &device, is_elsewhere, now));
    }

    /// Notes that all who are connected were so until now. Durable when it returns.
    ///
    /// Who stays connected for long would else be taken for away when this node is started again.
    pub(super) async fn note_all_seen(&self) {
        let mut all = self.connected().await;
        {
            let state = self.state();
            all.retain(|peer| {
                peer.standing == Standing::Member && !state.unjudged.contains(&device_of(peer.peer))
            });
        }
        let all: Vec<_> = all.iter().map(|peer| device_of(peer.peer)).collect();
        if all.is_empty() || self.0.kit.is_some() {
            return;
        }
        let (store, now) = (self.node().store().clone(), self.node().clock().now());
        let noted = self
            .node()
            .blocking(move || note_seen(&store, &all, now))
            .await;
        if !matches!(noted, Ok(Ok(()))) {
            tracing::warn!("who was connected could not be kept");
        }
    }

    /// Takes in whether a device that has just connected is in another network.
    pub(super) fn take_place(&self, device: DeviceId, from: &Address, path: Path) {
        let is_elsewhere = path == Path::Relay || is_elsewhere(from.ip, &self.addresses());
        let mut state = self.state();
        match is_elsewhere {
            true => state.elsewhere.insert(device),
            false => state.elsewhere.remove(&device),
        };
    }

    /// Notes at which addresses of this device somebody came in, if that was from another network.
    ///
    /// A router does not say at which of its addresses somebody came in: it is taken for those of the same kind.
    /// Who met through a relay first may come in through a hole that was made for them; that is never the first
    /// connection, and no other is told of.
    pub(super) fn note_came_in(&self, from: &Address, path: Path) {
        let own = self.addresses();
        if path == Path::Relay || !is_elsewhere(from.ip, &own) {
            return;
        }
        let at = own
            .iter()
            .filter(|own| own.is_outside() && own.is_of_kind(from));
        let at: Vec<_> = at.map(Address::place).collect();
        let now = self.node().clock().now();
        if !at.is_empty() {
            self.put_down(move |store| note_came_in(store, &at, now));
        }
    }

    /// Whether a person named this address of this device.
    pub(crate) fn is_named(&self, address: &Address) -> bool {
        self.0
            .external
            .iter()
            .any(|named| named.is_same_place(address))
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
            self.note_met(device);
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
