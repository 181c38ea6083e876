//! Blobs over their streams: serving what a peer may have, fetching what this device lacks.
//!
//! A device opens one stream to each peer for its own requests and keeps two of
//! them in flight. Small blobs come many in one answer; large ones leaf by
//! leaf, each verified before it is stored, and go on after an interruption. A
//! peer that sends what does not belong to the blob is named and kept away.

mod audit;
mod fetch;
mod serve;

use heirloom_protocol::id::DeviceId;

use super::Network;
use crate::net::Stream;

/// Requests with this id and above are challenges by the numbering of this program: serving them moves no
/// blob, and is left out of what is told of a sync. Nothing else depends on it.
const CHALLENGES: u32 = 1 << 31;

/// Why a blob stream ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// The connection or the stream is gone.
    #[error("the connection ended")]
    Lost,
    /// The peer sent what no honest peer sends.
    #[error("the peer sent what was not asked for, or is not what it should be")]
    Misbehaved,
    /// This device cannot go on.
    #[error(transparent)]
    Runtime(#[from] crate::runtime::RuntimeError),
    /// The disk said no.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

impl From<std::io::Error> for Ended {
    fn from(_: std::io::Error) -> Self {
        Self::Lost
    }
}

impl Network {
    /// Serves a peer's requests until it closes the stream.
    pub(super) fn serve_blobs(&self, device: DeviceId, stream: Stream) {
        if self.is_kept_away(&device) {
            return;
        }
        let network = self.clone();
        tokio::spawn(async move {
            if let Err(error) = serve::serve(&network, device, stream).await {
                tracing::debug!(device = %device.short(), %error, "serving ended");
            }
        });
    }

    /// Fetches from a peer what this device lacks, unless that is under way.
    pub(super) fn fetch_from(&self, device: DeviceId) {
        if self.0.kit.is_some() {
            return;
        }
        let number = {
            let mut state = self.state();
            let Some(running) = state.sessions.get_mut(&device) else {
                return;
            };
            running.again = true;
            if std::mem::replace(&mut running.fetching, true) {
                return;
            }
            running.number
        };
        let network = self.clone();
        tokio::spawn(async move {
            let mut goes_on = true;
            loop {
                while goes_on && network.takes_again(device, number) {
                    goes_on = network.fetch_once(device).await;
                }
                // Before anybody may fetch from this device again, or two would fetch the same.
                let lost = network
                    .node()
                    .ask(move |runtime| runtime.peer_lost(&device));
                if lost.await.is_err() || network.rests(device, number, goes_on) {
                    break;
                }
            }
            network.audit_even(device).await;
            network.stir();
        });
    }

    /// Fetches until nothing is left that the peer is known to have; false where it is of no use to go on.
    async fn fetch_once(&self, device: DeviceId) -> bool {
        match fetch::fetch(self, device).await {
            Ok(()) => return true,
            Err(Ended::Misbehaved) => {
                tracing::warn!(device = %device.short(), "a device sent a bad blob");
                self.keep_away(device);
                self.cut_off(device).await;
            }
            Err(error) => {
                tracing::debug!(device = %device.short(), %error, "fetching ended");
            }
        }
        false
    }

    /// Whether there may be more to fetch since the last look.
    fn takes_again(&self, device: DeviceId, number: u64) -> bool {
        let mut state = self.state();
        let running = state.sessions.get_mut(&device);
        running
            .filter(|running| running.number == number)
            .is_some_and(|running| std::mem::replace(&mut running.again, false))
    }

    /// Ends fetching, unless there is more to fetch by now and it goes on.
    fn rests(&self, device: DeviceId, number: u64, goes_on: bool) -> bool {
        let mut state = self.state();
        let running = state.sessions.get_mut(&device);
        let Some(running) = running.filter(|running| running.number == number) else {
            return true;
        };
        if goes_on && running.again {
            return false;
        }
        running.fetching = false;
        true
    }
}
