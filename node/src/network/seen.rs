//! Who was there, noted as it happens.

use heirloom_protocol::id::DeviceId;

use super::Network;
use crate::runtime::note_seen;

impl Network {
    /// Notes that a device was connected until now.
    pub(super) fn note_seen(&self, device: DeviceId) {
        let (store, now) = (self.node().store().clone(), self.node().clock().now());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = note_seen(&store, &device, now) {
                tracing::warn!(%error, "when a device was seen could not be kept");
            }
        });
    }
}
