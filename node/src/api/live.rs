//! What the network says of this moment, for those who show it.

use std::collections::BTreeMap;

use heirloom_protocol::{id::DeviceId, replica::KitUse, sync::want::Lacking, time::Timestamp};

use super::{ApiError, Doorway, away::Away};
use crate::{
    net::{Address, Standing, is_elsewhere},
    network::{Network, device_of},
    node::Node,
    runtime::{self, Blame, Lore, Past, RuntimeError, Stored, came_in, last_seen},
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
    /// Devices that this one sends blobs to.
    pub(super) sending: u64,
    /// Blobs that are still to be got.
    pub(super) waiting: u64,
    /// How many of these each device says it holds.
    pub(super) waiting_at: BTreeMap<DeviceId, u64>,
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
    /// Whether the disk has too little room for what is lacking, tried or not.
    pub(super) is_short_of_room: bool,
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
    /// Whether it was in another network then.
    pub(super) was_elsewhere: bool,
}

impl Met {
    /// How devices were met when they were there last.
    fn before(
        seen: BTreeMap<DeviceId, Timestamp>,
        places: &BTreeMap<DeviceId, runtime::Met>,
    ) -> BTreeMap<DeviceId, Self> {
        let met = |(device, at): (DeviceId, Timestamp)| {
            let met = Self {
                path: None,
                last_seen: Some(at.0),
                was_elsewhere: places.get(&device).is_some_and(runtime::Met::was_elsewhere),
            };
            (device, met)
        };
        seen.into_iter().map(met).collect()
    }
}

/// How devices in other networks reach this one.
#[derive(Clone, Debug, Default)]
pub(super) struct Outside {
    /// It talks to its own network alone.
    pub(super) lan_only: bool,
    /// Addresses of the internet that this device has, or is said to have.
    pub(super) at: Vec<Reached>,
    /// A device that relays to it.
    pub(super) via: Option<DeviceId>,
}

/// An address of the internet, and what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reached {
    /// A multiaddr without the device.
    pub(super) address: String,
    /// A person named it.
    pub(super) named: bool,
    /// A device of the family that is elsewhere was asked to call it, and has.
    pub(super) tried: bool,
    /// When somebody last came in from elsewhere at an address of this kind, Unix milliseconds.
    pub(super) came: Option<u64>,
}

/// For how long it counts that somebody came in at an address: routers forget, and are replaced.
const PROVED_MS: u64 = 30 * 24 * 3600 * 1000;

impl Reached {
    /// How long ago somebody came in, if that still shows that others reach it.
    pub(super) fn came_lately(&self, now: u64) -> Option<u64> {
        let ago = now.saturating_sub(self.came?);
        (ago <= PROVED_MS).then_some(ago)
    }
}

impl Outside {
    /// How devices in other networks reach this one, as far as is known now.
    pub(super) async fn now(network: &Network) -> Result<Self, ApiError> {
        let store = network.node().store().clone();
        let came = network.node().blocking(move || came_in(&store)).await??;
        Ok(Self::of(network, &came))
    }

    /// Whether somebody elsewhere could use an address of this device: `proved`, `untried`, or `none` where it
    /// has none.
    pub(super) fn afar(&self, now: u64) -> &'static str {
        let is_proved = |at: &Reached| at.tried || at.came_lately(now).is_some();
        match &self.at {
            at if self.lan_only || at.is_empty() => "none",
            at if at.iter().any(is_proved) => "proved",
            _ => "untried",
        }
    }

    fn of(network: &Network, came: &BTreeMap<String, Timestamp>) -> Self {
        let addresses = network.addresses();
        let direct = addresses.iter().filter(|address| address.is_outside());
        let reached = |address: &Address| {
            let place = address.place();
            Reached {
                named: network.is_named(address),
                tried: network.net().was_called_back_at(address),
                came: came.get(&place).map(|at| at.0),
                address: place,
            }
        };
        Self {
            lan_only: network.is_lan_only(),
            at: direct.map(reached).collect(),
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
        let noted = node.blocking(move || {
            let met = (last_seen(&store)?, runtime::met(&store)?);
            Ok::<_, StoreError>((met, Away::of(&store)?, came_in(&store)?))
        });
        let ((seen, places), away, came) = noted.await??;
        let asked = node.ask(|runtime| {
            let marred = (runtime.wrong_deletions()?, runtime.broken());
            let pasts = runtime.pasts()?.into_iter().collect();
            let lore = runtime.lore()?;
            let words_used = runtime.words_used()?;
            let here = (runtime.stored()?, runtime.is_full(), runtime.blamed()?);
            let told = (pasts, words_used, here);
            let waiting = (
                (runtime.lacking(), runtime.lacking_at()),
                runtime.held_back(),
                (runtime.without_room(), runtime.is_short_of_room()),
            );
            Ok::<_, RuntimeError>((waiting, lore, marred, told))
        });
        let (
            ((waiting, waiting_at), held_back, (without_room, is_short_of_room)),
            lore,
            (wrong_deletions, broken),
            told,
        ) = asked.await??;
        let (pasts, words_used, (stored, is_full, blamed)) = told;
        let mut live = Self {
            devices: Met::before(seen, &places),
            waiting,
            waiting_at,
            held_back,
            without_room,
            is_short_of_room,
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
        live.outside = Outside::of(&network, &came);
        live.listen = network
            .addresses()
            .iter()
            .map(ToString::to_string)
            .collect();
        live.receiving = u64::try_from(network.fetching()).unwrap_or(u64::MAX);
        live.sending = u64::try_from(network.sending()).unwrap_or(u64::MAX);
        let now = node.clock().now().0;
        for peer in network.connected().await {
            if peer.standing != Standing::Member {
                continue;
            }
            let met = live.devices.entry(device_of(peer.peer)).or_default();
            met.path = Some(peer.path.name());
            met.last_seen = Some(now);
        }
        Ok(live)
    }

    /// An address of the internet at which a device says that it is reached, and that is not of this home.
    pub(super) fn said_outside(&self, device: &DeviceId) -> Option<String> {
        let own: Vec<Address> = self
            .listen
            .iter()
            .filter_map(|at| at.parse().ok())
            .collect();
        let said = self.lore.beacons.get(device)?.addrs.iter();
        let said = said.filter_map(|said| said.as_str().parse::<Address>().ok());
        let outside = |said: &Address| {
            said.via.is_none() && said.can_be_dialled() && is_elsewhere(said.ip, &own)
        };
        said.into_iter().find(outside).map(|said| said.place())
    }

    /// An address of the internet that a person named, and that the running node does not go by yet.
    pub(super) fn not_yet_named(&self, named: &[Address]) -> Option<String> {
        let goes_by = |place: &String| {
            self.outside
                .at
                .iter()
                .any(|at| at.named && at.address == *place)
        };
        let mut places = named
            .iter()
            .filter(|at| at.is_outside())
            .map(Address::place);
        match self.runs && !self.outside.lan_only {
            true => places.find(|place| !goes_by(place)),
            false => None,
        }
    }

    /// How a device was met, if it was.
    pub(super) fn met(&self, device: &DeviceId) -> Met {
        self.devices.get(device).copied().unwrap_or_default()
    }
}
