//! What the network says of this moment, for those who show it.

use std::collections::BTreeMap;

use heirloom_protocol::id::DeviceId;

use super::{ApiError, Doorway};
use crate::{
    net::{Path, Standing},
    network::{device_of, last_seen},
    node::Node,
};

/// What the network says of this moment; where none runs, when devices were last seen.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Whether the node runs.
    pub(super) runs: bool,
    devices: BTreeMap<DeviceId, Met>,
    /// Devices that this one gets blobs from.
    pub(super) receiving: u64,
    /// Blobs that are still to be got.
    pub(super) waiting: u64,
    /// Multiaddrs that can be dialled.
    pub(super) listen: Vec<String>,
}

/// How a device was met.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    /// The kind of path, while it is connected.
    pub(super) path: Option<&'static str>,
    /// When it was there last, Unix milliseconds.
    pub(super) last_seen: Option<u64>,
}

impl Live {
    /// Looks.
    pub(super) async fn of(doorway: &Doorway, node: &Node) -> Result<Self, ApiError> {
        let store = node.store().clone();
        let seen = node.blocking(move || last_seen(&store)).await??;
        let met = |(device, at): (DeviceId, u64)| {
            let met = Met {
                path: None,
                last_seen: Some(at),
            };
            (device, met)
        };
        let waiting = node.ask(|runtime| runtime.lacking()).await?;
        let mut live = Self {
            devices: seen.into_iter().map(met).collect(),
            waiting,
            ..Self::default()
        };
        let Some(network) = doorway.network().await else {
            return Ok(live);
        };
        live.runs = true;
        live.listen = network
            .addresses()
            .iter()
            .map(ToString::to_string)
            .collect();
        live.receiving = u64::try_from(network.fetching()).unwrap_or(u64::MAX);
        let now = crate::runtime::Runtime::now().0;
        for peer in network.connected().await {
            if peer.standing != Standing::Member {
                continue;
            }
            let path = match peer.path {
                Path::Lan => "lan",
                Path::Direct => "direct",
            };
            let met = Met {
                path: Some(path),
                last_seen: Some(now),
            };
            live.devices.insert(device_of(peer.peer), met);
        }
        Ok(live)
    }

    /// How a device was met, if it was.
    pub(super) fn met(&self, device: &DeviceId) -> Met {
        self.devices.get(device).copied().unwrap_or_default()
    }
}
