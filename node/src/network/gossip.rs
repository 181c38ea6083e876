//! Signed statements on the way: this device's own to everybody, others' from one session to the rest.

use heirloom_protocol::{
    discovery::Address,
    id::DeviceId,
    sync::{message::Gossip, session::Input},
};

use super::Network;
use crate::runtime::{Greeting, RuntimeError, Step};

/// What a session began with, until the peer has heard it.
pub(super) struct Greeted {
    greeting: Option<Greeting>,
    given: u64,
}

impl Greeted {
    pub(super) fn new(greeting: Greeting) -> Self {
        Self {
            greeting: Some(greeting),
            given: 0,
        }
    }
}

impl Network {
    /// Remembers what a peer has heard once its session has settled: what was said came before that.
    pub(super) async fn note_told(
        &self,
        peer: DeviceId,
        greeted: &mut Greeted,
        step: &Step,
    ) -> Result<(), RuntimeError> {
        greeted.given += step.sent;
        if step.settled
            && let Some(greeting) = greeted.greeting.take()
        {
            let held_all = greeted.given == 0;
            self.node()
                .ask(move |runtime| runtime.note_told(&peer, greeting, held_all))
                .await??;
        }
        Ok(())
    }

    /// Where others may dial this node. What leads to whoever dials it is of no use to them, but
    /// among nodes that all stay on one machine.
    pub(super) fn beacon_addresses(&self) -> Vec<Address> {
        let alone = self.stays_here();
        self.addresses_where(|address| alone || !address.ip.is_loopback())
    }

    /// Whether this node listens on loopback and nowhere else.
    pub(super) fn stays_here(&self) -> bool {
        let own = self.addresses();
        !own.is_empty() && own.iter().all(|address| address.ip.is_loopback())
    }

    /// Tells every session but one of a statement.
    pub(super) fn tell_gossip(&self, from: Option<DeviceId>, gossip: &Gossip) {
        self.tell(|device| (Some(*device) != from).then(|| Input::Gossip(gossip.clone())));
    }

    /// Signs where this node is now and tells every session.
    pub(super) async fn tell_own_beacon(&self) {
        if let Some(beacon) = self.signed_beacon().await {
            self.tell_gossip(None, &beacon);
        }
    }

    /// The same for one device, which may have heard as much before today: but for the time.
    pub(super) async fn tell_beacon_to(&self, to: DeviceId) {
        if let Some(beacon) = self.signed_beacon().await {
            self.tell(|device| (*device == to).then(|| Input::Gossip(beacon.clone())));
        }
    }

    async fn signed_beacon(&self) -> Option<Gossip> {
        if self.0.kit.is_some() {
            return None;
        }
        let (addrs, relays) = (self.beacon_addresses(), self.net().relays());
        let signed = self
            .node()
            .ask(move |runtime| {
                runtime.set_relaying(relays);
                runtime.own_beacon(&addrs)
            })
            .await;
        signed.ok().flatten()
    }

    /// Tells every session when this device becomes full, or is no longer so, and signs it: the word lasts
    /// as long as the session, the beacon until there is a newer one.
    pub(super) async fn tell_room(&self) {
        let Ok(full) = self.node().ask(|runtime| runtime.is_full()).await else {
            return;
        };
        let before = std::mem::replace(&mut self.state().full, full);
        if before != full {
            self.tell(|_| Some(Input::Room { full }));
            self.tell_own_beacon().await;
        }
    }
}
