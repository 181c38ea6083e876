//! What the network says of this moment, for those who show it.

use std::collections::BTreeMap;

use heirloom_protocol::{id::DeviceId, replica::KitUse, sync::want::Lacking, time::Timestamp};

use super::{ApiError, Doorway, away::Away};
use crate::{
    net::{Address, Path, Standing},
    network::{Network, device_of},
    node::Node,
    runtime::{Blame, Lore, Past, RuntimeError, Stored, last_seen},
    store::StoreError,
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
    /// How devices elsewhere reach this one.
    pub(super) outside: Outside,
    /// Blobs of connected devices that wait for a better way to them.
    pub(super) held_back: u64,
    /// What other devices say of themselves.
    pub(super) lore: Lore,
    /// What there is no room for.
    pub(super) without_room: Lacking,
    /// Deletions that named what nobody deleted.
    pub(super) wrong_deletions: usize,
    /// Entries that are damaged here and are to come again.
    pub(super) broken: usize,
    /// Devices that lately sent what is provably wrong.
    pub(super) blamed: BTreeMap<DeviceId, Blame>,
    /// Whether this device takes no more photos.
    pub(super) is_full: bool,
    /// What lies here, on a keeper.
    pub(super) stored: Option<Stored>,
    /// What was lately done with recovery words.
    pub(super) words_used: Vec<KitUse>,
    /// Devices that turned this one away when it called last.
    pub(super) away: Away,
    /// Devices whose homes were restored or copied.
    pub(super) pasts: Vec<(DeviceId, Past)>,
}

/// How a device was met.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    /// The kind of path, while it is connected.
    pub(super) path: Option<&'static str>,
    /// When it was there last, Unix milliseconds.
    pub(super) last_seen: Option<u64>,
}

/// How devices in other networks reach this one.
#[derive(Clone, Debug, Default)]
pub(super) struct Outside {
    /// It talks to its own network alone.
    pub(super) lan_only: bool,
    /// An address of the internet.
    pub(super) at: Option<String>,
    /// A device that relays to it.
    pub(super) via: Option<DeviceId>,
}

impl Outside {
    fn of(network: &Network) -> Self {
        let addresses = network.addresses();
        let direct = addresses
            .iter()
            .find(|address| address.path() == Path::Direct);
        Self {
            lan_only: network.is_lan_only(),
            at: direct.map(|address| Address::new(address.ip, address.port).to_string()),
            via: addresses
                .iter()
                .find_map(|address| address.via)
                .map(device_of),
        }
    }
}

impl Live {
    /// Looks.
    pub(super) async fn of(doorway: &Doorway, node: &Node) -> Result<Self, ApiError> {
        let store = node.store().clone();
        let noted =
            node.blocking(move || Ok::<_, StoreError>((last_seen(&store)?, Away::of(&store)?)));
        let (seen, away) = noted.await??;
        let met = |(device, at): (DeviceId, Timestamp)| {
            let met = Met {
                path: None,
                last_seen: Some(at.0),
            };
            (device, met)
        };
        let asked = node.ask(|runtime| {
            let marred = (runtime.wrong_deletions(), runtime.broken());
            let pasts = runtime.pasts()?.into_iter().collect();
            let lore = runtime.lore()?;
            let words_used = runtime.words_used()?;
            let here = (runtime.stored()?, runtime.is_full(), runtime.blamed()?);
            let told = (pasts, words_used, here);
            let waiting = (
                runtime.lacking(),
                runtime.held_back(),
                runtime.without_room(),
            );
            Ok::<_, RuntimeError>((waiting, lore, marred, told))
        });
        let ((waiting, held_back, without_room), lore, (wrong_deletions, broken), told) =
            asked.await??;
        let (pasts, words_used, (stored, is_full, blamed)) = told;
        let mut live = Self {
            devices: seen.into_iter().map(met).collect(),
            waiting,
            held_back,
            without_room,
            lore,
            wrong_deletions,
            broken,
            pasts,
            words_used,
            away,
            stored,
            is_full,
            blamed,
            ..Self::default()
        };
        let Some(network) = doorway.network().await else {
            return Ok(live);
        };
        live.runs = true;
        live.outside = Outside::of(&network);
        live.listen = network
            .addresses()
            .iter()
            .map(ToString::to_string)
            .collect();
        live.receiving = u64::try_from(network.fetching()).unwrap_or(u64::MAX);
        let now = node.clock().now().0;
        for peer in network.connected().await {
            if peer.standing != Standing::Member {
                continue;
            }
            let met = Met {
                path: Some(peer.path.name()),
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
