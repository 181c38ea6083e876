//! Calling devices whose addresses are known.

use heirloom_protocol::id::DeviceId;
use tokio::time::{Duration, Instant};

use super::{CALL_AGAIN, Network, device_of, peer_of};
use crate::{
    net::{Address, Path, Peer, PeerPath, Whom},
    runtime::RuntimeError,
    store::{Batch, Table},
};

/// How long a device that broke the protocol is not called, and its sessions are refused.
const KEEP_AWAY: Duration = Duration::from_secs(300);
/// Addresses remembered of one device, the latest first.
const ADDRESSES: usize = 8;

/// Calls of one device at a time, when it is told to be elsewhere meanwhile.
const CALLS: u8 = 3;

fn key(device: &DeviceId) -> Vec<u8> {
    [b"addr/", &device.0[..]].concat()
}

/// The addresses a device was reached at, or that a person gave, the latest first.
pub fn addresses_of(
    store: &crate::store::Store,
    device: &DeviceId,
) -> Result<Vec<Address>, RuntimeError> {
    let row = store.get(Table::Peers, &key(device))?.unwrap_or_default();
    let text = String::from_utf8(row).unwrap_or_default();
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Remembers an address of a device. Durable when it returns.
pub fn remember(
    store: &crate::store::Store,
    device: &DeviceId,
    address: Address,
) -> Result<(), RuntimeError> {
    let mut all = addresses_of(store, device)?;
    if all.first() == Some(&address) {
        return Ok(());
    }
    all.retain(|known| *known != address);
    all.insert(0, address);
    all.truncate(ADDRESSES);
    let text: Vec<_> = all.iter().map(ToString::to_string).collect();
    let puts = vec![(Table::Peers, key(device), text.join("\n").into_bytes())];
    Ok(store.commit(&Batch {
        puts,
        ..Batch::default()
    })?)
}

/// Forgets the addresses of a device. Durable when it returns.
pub fn forget(store: &crate::store::Store, device: &DeviceId) -> Result<(), RuntimeError> {
    let deletes = vec![(Table::Peers, key(device))];
    Ok(store.commit(&Batch {
        deletes,
        ..Batch::default()
    })?)
}

/// Forgets one address, whoever was reached there. Says whether anybody was. Durable when it returns.
pub fn forget_address(
    store: &crate::store::Store,
    address: &Address,
) -> Result<bool, RuntimeError> {
    let fits = |known: &Address| {
        (known.ip, known.port, known.via) == (address.ip, address.port, address.via)
            && (address.peer.is_none() || known.peer.is_none() || known.peer == address.peer)
    };
    let mut batch = Batch::default();
    for (device, mut all) in known_addresses(store)? {
        let before = all.len();
        all.retain(|known| !fits(known));
        if all.is_empty() {
            batch.deletes.push((Table::Peers, key(&device)));
        } else if all.len() < before {
            let text: Vec<_> = all.iter().map(ToString::to_string).collect();
            let row = text.join("\n").into_bytes();
            batch.puts.push((Table::Peers, key(&device), row));
        }
    }
    let found = !batch.puts.is_empty() || !batch.deletes.is_empty();
    if found {
        store.commit(&batch)?;
    }
    Ok(found)
}

/// Every device of which an address is known.
pub fn known_addresses(
    store: &crate::store::Store,
) -> Result<Vec<(DeviceId, Vec<Address>)>, RuntimeError> {
    let mut devices = Vec::new();
    store.scan(Table::Peers, b"addr/", |key, _| {
        let id = key.strip_prefix(b"addr/");
        devices.extend(id.and_then(|id| id.try_into().ok()).map(DeviceId));
        std::ops::ControlFlow::Continue(())
    })?;
    devices
        .into_iter()
        .map(|device| Ok((device, addresses_of(store, &device)?)))
        .collect()
}

impl Network {
    /// Calls every live device that is not connected and whose address is known, each in a task of its own.
    pub(super) fn call_absent(&self) {
        let network = self.clone();
        tokio::spawn(async move {
            if let Err(error) = network.call_round().await {
                tracing::debug!(%error, "calling");
            }
        });
    }

    /// Calls who is absent because somebody told where a device is; not more often than every few
    /// seconds, whatever is told.
    pub(super) fn call_again(&self) {
        let now = Instant::now();
        let at = {
            let mut state = self.state();
            let at = state.called_again.map_or(now, |last| last + CALL_AGAIN);
            if at > now + CALL_AGAIN {
                // A round to come will know of it.
                return;
            }
            let at = at.max(now);
            state.called_again = Some(at);
            at
        };
        let network = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            // Who is being called at an old address is called at the new one as well.
            if let Err(error) = network.call_all(CALLS).await {
                tracing::debug!(%error, "calling");
            }
        });
    }

    /// One round of calls; returns when each was answered or given up. Says how many answered.
    pub async fn call_round(&self) -> Result<usize, RuntimeError> {
        self.call_all(1).await
    }

    /// One round of calls of devices that are called less than so many times already.
    async fn call_all(&self, most: u8) -> Result<usize, RuntimeError> {
        let live = self.0.node.ask(|runtime| runtime.live_keys()).await?;
        let paths = self.connected().await;
        // Whoever is reached through a relay alone is called where somebody said just now that it is.
        let is_reached = |path: &&PeerPath| most == 1 || path.path != Path::Relay;
        let connected: Vec<Peer> = paths
            .iter()
            .filter(is_reached)
            .map(|path| path.peer)
            .collect();
        let me = self.0.net.me();
        let alone = self.stays_here();
        let mut calls = tokio::task::JoinSet::new();
        for device in live {
            let peer = peer_of(device);
            if peer == me || connected.contains(&peer) || self.is_kept_away(&device) {
                continue;
            }
            let mut addresses = addresses_of(self.0.node.store(), &device)?;
            let told = self
                .0
                .node
                .ask(move |runtime| runtime.told_addresses(&device))
                .await??;
            let told = told.iter().filter_map(|told| told.as_str().parse().ok());
            // A device that speaks of loopback would have this one knock at its own programs.
            let fits = |told: &Address| told.can_be_dialled() && (alone || !told.ip.is_loopback());
            let told = told.filter(fits);
            for told in told {
                if !addresses.iter().any(|known| known.is_same_place(&told)) {
                    addresses.push(told);
                }
            }
            if addresses.is_empty() || !self.may_call(device, most) {
                continue;
            }
            let network = self.clone();
            calls.spawn(async move {
                let answered = network.0.net.dial(Whom::Device(peer), addresses).await;
                network.called(&device);
                answered.is_ok()
            });
        }
        let mut answered = 0;
        while let Some(call) = calls.join_next().await {
            answered += usize::from(call.unwrap_or(false));
        }
        Ok(answered)
    }

    /// Whether anything is under way by which another device could be found: somebody is being called,
    /// or the local network is listened to.
    pub(crate) fn may_find_more(&self) -> bool {
        let state = self.state();
        self.0.discovery
            || !state.unjudged.is_empty()
            || !state.doubted.is_empty()
            || state.calling.values().any(|calls| *calls > 0)
            || state.called_again.is_some_and(|at| at > Instant::now())
    }

    fn may_call(&self, device: DeviceId, most: u8) -> bool {
        let mut state = self.state();
        let calls = state.calling.entry(device).or_default();
        let may = *calls < most;
        *calls += u8::from(may);
        may
    }

    fn called(&self, device: &DeviceId) {
        if let Some(calls) = self.state().calling.get_mut(device) {
            *calls = calls.saturating_sub(1);
        }
    }

    /// Calls one address and remembers who answered.
    ///
    /// # Errors
    ///
    /// What the network says.
    pub async fn call(&self, address: Address) -> Result<DeviceId, crate::net::NetError> {
        let whom = address.peer.map_or(Whom::Member, Whom::Device);
        let device = device_of(self.0.net.dial(whom, vec![address]).await?);
        if let Err(error) = remember(self.0.node.store(), &device, address) {
            tracing::warn!(%error, "an address could not be kept");
        }
        Ok(device)
    }

    /// Names a device that broke the protocol, keeps it away for a while, and ends what it has open.
    pub(super) async fn turn_out(&self, device: DeviceId) {
        self.blame(device).await;
        self.keep_away(device).await;
    }

    async fn keep_away(&self, device: DeviceId) {
        let until = Instant::now() + KEEP_AWAY;
        self.state().misbehaved.insert(device, until);
        let kept = self.net().keep_away(peer_of(device), KEEP_AWAY).await;
        if let Err(error) = kept {
            tracing::debug!(device = %device.short(), %error, "not disconnected");
        }
    }

    /// Remembers that a device sent what is provably wrong, to name it.
    async fn blame(&self, device: DeviceId) {
        let blamed = self.0.node.ask(move |runtime| runtime.blame(device)).await;
        if let Ok(Err(error)) | Err(error) = blamed {
            tracing::warn!(%error, "who sent what is wrong could not be noted");
        }
    }

    pub(super) fn is_kept_away(&self, device: &DeviceId) -> bool {
        self.state()
            .misbehaved
            .get(device)
            .is_some_and(|until| *until > Instant::now())
    }
}
