//! Blobs over their streams: serving what a peer may have, fetching what this device lacks.
//!
//! A device opens one stream to each peer for its own requests and keeps several
//! of them in flight. Small blobs come many in one answer; large ones leaf by
//! leaf, from every peer that holds them at once, each leaf verified before it is
//! stored, and go on after an interruption. A peer that sends what does not belong
//! to the blob, or what is no request, is named and kept away.

mod audit;
mod download;
mod downloads;
mod fetch;
mod line;
mod lists;
mod serve;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use heirloom_protocol::{album::asset::BlobRef, crypto::Class, id::DeviceId, sync::want::Path};

#[cfg(test)]
pub(super) use self::tests::{Lie, Withholds};
pub(super) use self::{downloads::Downloads, lists::Lists};
use super::Network;
use crate::{
    net::Stream,
    runtime::Challenge,
    store::{BlobPlace, StoreError},
};

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
    /// The peer means another blob by the same name, and does not know better.
    #[error("the peer sent another blob: one of the two does not know yet that a log forked")]
    Mistaken,
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
        let places = self.places(device).served;
        tokio::spawn(async move {
            let _place = places.acquire_owned().await;
            match serve::serve(&network, device, stream).await {
                Ok(()) => {}
                Err(Ended::Misbehaved) => {
                    tracing::warn!(device = %device.short(), "a device asked for blobs with what is no request");
                    network.turn_out(device).await;
                }
                Err(error) => {
                    tracing::debug!(device = %device.short(), %error, "serving ended");
                }
            }
        });
    }

    /// Fetches from a peer what this device lacks, unless that is under way.
    pub(super) fn fetch_from(&self, device: DeviceId) {
        if self.0.kit.is_some() {
            return;
        }
        let (number, wake) = {
            let mut state = self.state();
            let Some(running) = state.sessions.get_mut(&device) else {
                return;
            };
            running.again = true;
            if std::mem::replace(&mut running.fetching, true) {
                running.wake.notify_one();
                return;
            }
            (running.number, running.wake.clone())
        };
        let network = self.clone();
        tokio::spawn(async move {
            let mut goes_on = true;
            loop {
                while goes_on && network.takes_again(device, number) {
                    goes_on = network.fetch_once((device, number), &wake).await;
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
    async fn fetch_once(&self, session: (DeviceId, u64), wake: &Arc<tokio::sync::Notify>) -> bool {
        let device = session.0;
        match fetch::fetch(self, session, wake.clone()).await {
            Ok(()) => return true,
            Err(Ended::Misbehaved) => {
                tracing::warn!(device = %device.short(), "a device sent a bad blob");
                self.turn_out(device).await;
            }
            // Once more, without that blob: the peer counts as not holding it.
            Err(Ended::Mistaken) => return self.fetches_anew(device).await,
            // What did not fit was left aside, and others may fit.
            Err(Ended::Store(StoreError::DiskFull)) => return self.fetches_anew(device).await,
            Err(error) => {
                tracing::debug!(device = %device.short(), %error, "fetching ended");
            }
        }
        false
    }

    /// Takes back what was asked of a peer and not got, and has it asked for again.
    async fn fetches_anew(&self, device: DeviceId) -> bool {
        let lost = self.node().ask(move |runtime| runtime.peer_lost(&device));
        if let Some(running) = self.state().sessions.get_mut(&device) {
            running.again = true;
        }
        lost.await.is_ok()
    }

    /// Whether there may be more to fetch since the last look.
    fn takes_again(&self, device: DeviceId, number: u64) -> bool {
        let mut state = self.state();
        let running = state.sessions.get_mut(&device);
        running
            .filter(|running| running.number == number)
            .is_some_and(|running| std::mem::replace(&mut running.again, false))
    }

    /// There is more to fetch, whatever was found before.
    fn hunger(&self, device: DeviceId, number: u64) {
        let mut state = self.state();
        let running = state.sessions.get_mut(&device);
        if let Some(running) = running.filter(|running| running.number == number) {
            running.again = true;
        }
    }

    /// What the way to a device costs: over a costly one originals come only when somebody looks at them.
    fn path_to(&self, device: DeviceId) -> Path {
        match self.state().costly.contains(&device) {
            true => Path::Costly,
            false => Path::Free,
        }
    }

    /// Says where blobs lie that came and are durable, of which so many bytes were not counted yet.
    async fn note(&self, kept: Vec<(BlobRef, BlobPlace)>, bytes: u64) -> Result<(), Ended> {
        if kept.is_empty() {
            return Ok(());
        }
        let blobs = u64::try_from(kept.len()).unwrap_or(0);
        self.node()
            .ask(move |runtime| runtime.blobs_came(&kept))
            .await??;
        self.count_received(blobs, bytes);
        Ok(())
    }

    /// Leaves aside what the disk had no room for after all.
    async fn no_room(&self, blobs: Vec<BlobRef>) -> Result<(), Ended> {
        let told = self.node().ask(move |runtime| {
            for blob in &blobs {
                runtime.no_room_for(blob);
            }
        });
        Ok(told.await?)
    }

    fn count_received(&self, blobs: u64, bytes: u64) {
        {
            let mut state = self.state();
            state.moved.blobs_received += blobs;
            state.moved.bytes_received += bytes;
        }
        self.stir();
    }

    /// Remembers that a device sent something else for an original that it says it holds: its copies
    /// count for nothing until it has shown the right bytes.
    async fn note_lie(&self, device: DeviceId, blob: BlobRef, leaf: u32) {
        let noted = self.node().ask(move |runtime| {
            // What it does not claim, or is no original, would count as passed.
            let is_lie = blob.class == Class::Original.code() && runtime.claims(&device, &blob);
            let shown = [(Challenge { blob, leaf }, false)];
            is_lie
                .then(|| runtime.note_shown(device, &shown))
                .transpose()
        });
        if let Ok(Err(error)) = noted.await {
            tracing::warn!(%error, "what a device did cannot be remembered");
        }
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
