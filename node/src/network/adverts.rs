//! What this node announces, and whom it recognises.

use heirloom_protocol::{
    discovery::{Announcement, KitTagKey, recognise_device, recognise_kit},
    id::DeviceId,
};

use super::{Network, device_of, peer_of};
use crate::{
    net::{Advert, Sighting, Whom},
    runtime::{RuntimeError, system_rng},
};

/// Calls at one time of a device that was seen: its addresses come in several records.
const SOUGHT: u8 = 4;

impl Network {
    /// Puts out fresh tags: one for the family, one for each live invite.
    pub(super) async fn renew_adverts(&self) -> Result<(), RuntimeError> {
        let Some(port) = self.0.net.port().filter(|_| self.0.discovery) else {
            return Ok(());
        };
        let mut rng = system_rng()?;
        let device = device_of(self.0.net.me());
        let keys = self
            .0
            .node
            .ask(|runtime| runtime.replica().net_tag_keys())
            .await?;
        let mut adverts = Vec::new();
        if let Some(kit) = &self.0.kit {
            adverts.push(KitTagKey::new(kit).announce(Announcement::nonce(&mut rng), port));
        } else if let Some(key) = keys.first() {
            adverts.push(key.announce(&device, Announcement::nonce(&mut rng), port));
        }
        for (_, key) in self.state().invites.values() {
            adverts.push(key.announce(Announcement::nonce(&mut rng), port));
        }
        let adverts = adverts
            .into_iter()
            .map(|a| Advert {
                nonce: a.nonce,
                tag: a.tag,
            })
            .collect();
        if self.0.net.set_adverts(adverts).await.is_err() {
            tracing::debug!("the network has stopped");
        }
        Ok(())
    }

    pub(super) async fn renew_adverts_logged(&self) {
        if let Err(error) = self.renew_adverts().await {
            tracing::warn!(%error, "adverts");
        }
    }

    /// Takes one of the calls that a device gets at a time for being seen; false where all are taken.
    fn seek(&self, device: DeviceId) -> bool {
        let mut state = self.state();
        let calls = state.sought.entry(device).or_default();
        let may = *calls < SOUGHT;
        *calls += u8::from(may);
        may
    }

    fn sought(&self, device: &DeviceId) {
        let mut state = self.state();
        if let Some(calls) = state.sought.get_mut(device) {
            *calls = calls.saturating_sub(1);
        }
    }

    /// Calls the device behind a sighting, if it is one of the family, or the holder of a recovery kit.
    pub(super) async fn recognise(&self, sighting: Sighting) {
        let asked = self
            .0
            .node
            .ask(|runtime| (runtime.replica().net_tag_keys(), runtime.live_keys()));
        let Ok((keys, live)) = asked.await else {
            return;
        };
        let heard = Announcement {
            nonce: sighting.advert.nonce,
            port: sighting.port,
            tag: sighting.advert.tag,
        };
        let known = recognise_device(&keys, live.iter(), &heard);
        // A device's own key is no kit's, so that both can be looked for among all.
        let Some(device) = known.or_else(|| recognise_kit(live.iter(), &heard)) else {
            return;
        };
        if device == device_of(self.0.net.me()) || self.is_kept_away(&device) {
            return;
        }
        // A record that somebody repeats under ever new addresses leads to few calls at a time.
        if !self.seek(device) {
            return;
        }
        let dialled = self
            .0
            .net
            .dial(Whom::Device(peer_of(device)), sighting.addresses)
            .await;
        self.sought(&device);
        if let Err(error) = dialled {
            tracing::debug!(device = %device.short(), %error, "a device was seen but does not answer");
        }
    }
}
