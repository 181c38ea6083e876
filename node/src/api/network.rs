//! `peer` and `sync`: the network as people see it, and one exchange with everybody in reach.

mod full;
mod left;
mod places;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use heirloom_protocol::id::DeviceId;
use serde_json::{Value, json};

use super::{
    Answer, ApiError, Done, Doorway, answer::Progress, away, deleted::keep_from_deleted, pair, pick,
};
use crate::{
    forms,
    net::{Address, PeerPath, Standing},
    network::{Moved, Network, device_of, forget_address, known_addresses, remember},
    node::Node,
    runtime::View,
    upkeep,
};

/// How long a node that was started for a sync looks for devices.
const LOOK: Duration = Duration::from_secs(5);
/// How long nothing may move before a sync gives up.
const STUCK: Duration = Duration::from_secs(30);
/// How long everything must be quiet before a sync is done.
const QUIET: Duration = Duration::from_millis(500);
/// How long the end of a call may take to be heard of.
const ENDING: Duration = Duration::from_secs(2);
/// Between two looks at what moved.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Over which time a rate is measured.
const RATE: Duration = Duration::from_millis(500);

/// `peer`: lists devices as the network sees them, adds or removes an address.
pub(super) async fn peer(
    doorway: &Arc<Doorway>,
    node: &Node,
    body: &Value,
    answer: &Answer,
) -> Done {
    match pick::optional(body, "do").unwrap_or("list") {
        "list" => list(doorway, node, answer).await,
        "add" => add(doorway, node, address(body)?).await,
        "remove" => {
            let (store, address) = (node.store().clone(), address(body)?);
            let found = node
                .blocking(move || forget_address(&store, &address))
                .await??;
            match found {
                true => Ok(json!({"addr": address.to_string()})),
                false => Err(ApiError::not_found(&format!("address {address}"))
                    .hint("heirloom peer list shows the addresses")),
            }
        }
        _ => Err(ApiError::usage("peer can list, add and remove")),
    }
}

fn address(body: &Value) -> Result<Address, ApiError> {
    let text = pick::text(body, "addr")?;
    text.parse()
        .map_err(|error| ApiError::usage(&format!("{text:?} is no address: {error}")))
}

async fn list(doorway: &Arc<Doorway>, node: &Node, answer: &Answer) -> Done {
    let view = node.view().await?;
    let (connected, before) = match doorway.network().await {
        None => (Vec::new(), Vec::new()),
        Some(network) => {
            let before = members(&network).await;
            if !before.is_empty() {
                tokio::time::sleep(RATE).await;
            }
            (members(&network).await, before)
        }
    };
    let store = node.store().clone();
    let known = node.blocking(move || known_addresses(&store)).await??;
    let mut count = 0_u64;
    for path in &connected {
        let reached = places::reached(node, path, &known).await?;
        answer.line(&path_line(&view, path, reached, &before)).await;
        count += 1;
    }
    for (device, addresses) in known {
        let is_connected = connected.iter().any(|path| device_of(path.peer) == device);
        let mut rows = view.people.devices.iter();
        let is_removed = rows.any(|row| row.id == device && row.removed);
        let Some(address) = addresses.first().filter(|_| !is_connected && !is_removed) else {
            continue;
        };
        let line = json!({
            "type": "peer", "v": 1, "device": device.to_string(), "name": view.device_name(&device),
            "addr": address.to_string(), "called_from": null, "reachable": true, "path": null, "rtt_ms": null, "rate": null,
        });
        answer.line(&line).await;
        count += 1;
    }
    let others = view.people.devices.iter();
    let others = others.filter(|row| row.id != view.device && !row.removed);
    Ok(json!({"peers": count, "others": others.count()}))
}

/// The line of a connected device. Of one that called, `addr` is where it can be called, if that is known.
fn path_line(view: &View, path: &PeerPath, reached: Option<Address>, before: &[PeerPath]) -> Value {
    let device = device_of(path.peer);
    let bytes = |path: &PeerPath| path.received.saturating_add(path.sent);
    let earlier = before.iter().find(|earlier| earlier.peer == path.peer);
    let rate = earlier.map(|earlier| {
        let moved = u128::from(bytes(path).saturating_sub(bytes(earlier)));
        u64::try_from(moved * 1000 / RATE.as_millis()).unwrap_or(u64::MAX)
    });
    let rtt = path
        .rtt
        .map(|rtt| u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX));
    json!({
        "type": "peer", "v": 1, "device": device.to_string(), "name": view.device_name(&device),
        "addr": reached.unwrap_or(path.address).to_string(),
        "called_from": places::called_from(path).map(|from| from.ip.to_string()),
        "reachable": reached.is_some(),
        "path": path.path.name(),
        "rtt_ms": rtt, "rate": rate,
    })
}

async fn members(network: &Network) -> Vec<PeerPath> {
    let mut all = network.connected().await;
    all.retain(|path| path.standing == Standing::Member);
    all
}

async fn add(doorway: &Arc<Doorway>, node: &Node, address: Address) -> Done {
    if let Some(peer) = address.peer {
        let device = device_of(peer);
        let live = node.ask(|runtime| runtime.live_keys()).await?;
        if !live.contains(&device) || device == node.view().await?.device {
            return Err(ApiError::not_found(&format!(
                "other device {peer} in this family"
            )));
        }
        let store = node.store().clone();
        node.blocking(move || remember(&store, &device, address))
            .await??;
        if let Some(network) = doorway.network().await {
            tokio::spawn(async move { network.call_round().await });
        }
        return Ok(added(device, &address));
    }
    if !doorway.reach().holds(address.ip) {
        return Err(outside_own(&address));
    }
    // Who listens there is only known once they have answered.
    let lent = pair::Lent::of(doorway, node).await?;
    let called = lent.network.call(address).await;
    lent.give_back().await;
    match called {
        Ok(device) => {
            let name = node.view().await?.device_name(&device);
            let mut added = added(device, &address);
            added["answered"] = json!(true);
            added["name"] = json!(name);
            Ok(added)
        }
        Err(error) => {
            tracing::debug!(%error, "a call");
            let hint = "is the other device on, and running heirloom serve? From another home its router must lead that port to it";
            Err(ApiError::no_peer("no device of this family answers there").hint(hint))
        }
    }
}

/// An address that this device does not call at all.
fn outside_own(address: &Address) -> ApiError {
    let message = format!(
        "this device talks to its own network alone (lan_only); {} is outside it",
        address.ip
    );
    ApiError::no_peer(&message).hint(
        "heirloom config set lan_ranges counts an overlay network as near; heirloom config set lan_only false lets it call elsewhere, from the next start of the node on",
    )
}

fn added(device: DeviceId, address: &Address) -> Value {
    json!({"device": device.to_string(), "addr": address.to_string()})
}

/// `sync`: exchanges everything with everybody in reach.
pub(super) async fn sync(
    doorway: &Arc<Doorway>,
    node: &Node,
    body: &Value,
    answer: &Answer,
) -> Done {
    let longest = match pick::optional(body, "timeout") {
        None => None,
        Some(text) => Some(
            forms::seconds(text)
                .map(Duration::from_secs)
                .ok_or_else(|| ApiError::usage("a duration looks like 90s, 24h or 7d"))?,
        ),
    };
    let lent = pair::Lent::of(doorway, node).await?;
    let watch = Watch {
        before: lent.network.moved(),
        network: &lent.network,
        answer,
        has_kept_up: AtomicBool::new(false),
        met: Mutex::default(),
    };
    let looking = watch.exchange(lent.is_own);
    let done = match longest {
        None => looking.await,
        Some(longest) => match tokio::time::timeout(longest, looking).await {
            Ok(done) => done,
            Err(_) => match watch.met().await {
                none if none.is_empty() => Err(watch.nobody().await),
                reached => watch.unsettled(&reached, Halt::TimeOver).await,
            },
        },
    };
    let done = match done {
        Ok(summary) => full::judge(node, summary).await,
        Err(error) => Err(error),
    };
    if done.is_err() && !watch.has_kept_up.load(Ordering::Relaxed) {
        // Nobody was there to learn from: deletions come to their end all the same.
        keep_up(node).await;
    }
    lent.give_back().await;
    let others = node.view().await?.people.devices;
    let is_alone = others.iter().filter(|row| !row.removed).count() < 2;
    done.map_err(|error| match error.id {
        "E-NO-PEER" if is_alone => error.hint(
            "this is the family's only device: heirloom invite --device brings in a second one",
        ),
        _ => error,
    })
}

/// Meets everybody in reach as `sync` does: nothing is left to do with them when it returns, or it does not move.
///
/// # Errors
///
/// `E-NO-PEER` when nobody answers.
pub(super) async fn meet(lent: &pair::Lent, answer: &Answer) -> Result<(), ApiError> {
    exchange(lent, answer).await.map(drop)
}

/// The same, with what was moved as `sync` says it.
///
/// # Errors
///
/// As [`meet`].
pub(super) async fn exchange(lent: &pair::Lent, answer: &Answer) -> Done {
    let watch = Watch {
        before: lent.network.moved(),
        network: &lent.network,
        answer,
        has_kept_up: AtomicBool::new(false),
        met: Mutex::default(),
    };
    watch.exchange(lent.is_own).await
}

/// What time has brought. A device that was restored from an older copy first learns its own log
/// from others, as all of this may write to it.
async fn keep_up(node: &Node) {
    if let Err(error) = upkeep::round(node).await {
        tracing::warn!(%error, "upkeep");
    }
    if let Err(error) = keep_from_deleted(node).await {
        tracing::warn!(error = error.message, "photos of a deleted album");
    }
}

/// One sync as it goes on.
struct Watch<'a> {
    network: &'a Network,
    answer: &'a Answer,
    /// What the node had moved before.
    before: Moved,
    /// Whether this device has written what time brought.
    has_kept_up: AtomicBool,
    /// Who was reached, those that have gone since included.
    met: Mutex<Reached>,
}

/// Why a sync ends before its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Halt {
    /// Whoever asked for it waits no longer.
    TimeOver,
    /// Nothing has moved for long.
    Stuck,
}

/// The peers that were reached, and whether nothing is left to do with each.
type Reached = BTreeMap<DeviceId, bool>;

impl Watch<'_> {
    async fn exchange(&self, is_own: bool) -> Done {
        self.find(is_own).await?;
        let mut reached = Reached::new();
        let mut moved = self.network.moved();
        let mut moved_at = Instant::now();
        let mut quiet_since: Option<Instant> = None;
        let mut stirs = self.network.stirs();
        loop {
            reached.extend(self.reached().await);
            // Who was there for a moment, to say by its silence that it wants nothing of this device.
            for device in self.network.turned_away() {
                reached.remove(&device);
            }
            self.note(&reached);
            let now = self.network.moved();
            if now != moved {
                (moved, moved_at) = (now, Instant::now());
                self.answer.progress(self.progress());
            }
            // On a slow machine it takes a while until a call is answered, or ended.
            let patience = match self.network.awaits_a_word() {
                true => STUCK,
                false => ENDING,
            };
            if reached.is_empty() && moved_at.elapsed() >= patience {
                return Err(self.nobody().await);
            }
            let is_quiet = self.network.fetching() == 0
                // Who has just got something asks whether it is kept here.
                && self.network.serves_nobody(QUIET)
                && !reached.is_empty()
                && reached.values().all(|settled| *settled);
            match quiet_since.filter(|_| is_quiet) {
                Some(since)
                    if since.elapsed() >= QUIET && self.has_kept_up.load(Ordering::Relaxed) =>
                {
                    return self.summary(&reached);
                }
                Some(since) if since.elapsed() >= QUIET => {
                    self.write_what_is_due().await?;
                    quiet_since = None;
                }
                Some(_) => {}
                None => quiet_since = is_quiet.then(Instant::now),
            }
            if moved_at.elapsed() >= STUCK {
                return self.unsettled(&reached, Halt::Stuck).await;
            }
            tokio::select! {
                () = self.answer.dropped().cancelled() => return self.unsettled(&reached, Halt::TimeOver).await,
                // Nothing may stir while time alone decides.
                _ = tokio::time::timeout(LOOK_AGAIN, stirs.changed()) => {}
            }
        }
    }

    fn note(&self, reached: &Reached) {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.clone_from(reached);
    }

    /// Who was reached so far, and how it stands with them now.
    async fn met(&self) -> Reached {
        let now = self.reached().await;
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = met.clone();
        all.extend(now);
        all
    }

    /// Why nobody was reached: nobody answered, or who did turned this device away.
    async fn nobody(&self) -> ApiError {
        let turned = self.network.turned_away();
        if turned.is_empty() {
            return ApiError::no_peer("no other device of the family answers");
        }
        match away::refusal(self.network.node(), turned).await {
            Ok(refusal) | Err(refusal) => refusal,
        }
    }

    /// Writes what others are to hear as well, now that their news is here.
    async fn write_what_is_due(&self) -> Result<(), ApiError> {
        self.has_kept_up.store(true, Ordering::Relaxed);
        let node = self.network.node();
        keep_up(node).await;
        let tended = node.ask(|runtime| {
            // Who joined elsewhere may lack keys that only this device has.
            runtime.tend()?;
            runtime.vouch_for_forks()
        });
        tended.await??;
        // There may be room now for what there was none before.
        self.network.fetch_all();
        Ok(())
    }

    /// Calls everybody; a node that has just started waits a little to be found.
    async fn find(&self, is_own: bool) -> Result<(), ApiError> {
        let started = Instant::now();
        self.network.call_round().await?;
        if !is_own {
            return Ok(());
        }
        let others = self
            .network
            .node()
            .ask(|runtime| {
                let me = runtime.device();
                let devices = &runtime.replica().control().resolution().devices;
                devices.keys().filter(|device| **device != me).count()
            })
            .await?;
        let mut stirs = self.network.stirs();
        while started.elapsed() < LOOK {
            let members = members(self.network).await;
            if members.len() >= others || !self.may_find_more(&members) {
                break;
            }
            tokio::select! {
                () = self.answer.dropped().cancelled() => break,
                _ = tokio::time::timeout(LOOK_AGAIN, stirs.changed()) => {}
            }
        }
        Ok(())
    }

    /// Whether another device could be found yet. Who is reached may say where others are, so each
    /// must have said what it has to say.
    fn may_find_more(&self, members: &[PeerPath]) -> bool {
        let sessions = self.network.sessions();
        let is_settled = |path: &PeerPath| {
            let device = device_of(path.peer);
            sessions
                .iter()
                .any(|one| one.device == device && one.settled)
        };
        self.network.may_find_more() || !members.iter().all(is_settled)
    }

    async fn reached(&self) -> Reached {
        let sessions = self.network.sessions();
        let mut reached = Reached::new();
        for path in members(self.network).await {
            let device = device_of(path.peer);
            let session = sessions.iter().find(|session| session.device == device);
            let settled = session.is_some_and(|session| session.settled);
            // Entries tell which blobs there are, so the other question comes after them.
            let even = settled && self.is_even_with(device).await;
            reached.insert(device, even && self.network.is_audited(device).await);
        }
        reached
    }

    /// Whether neither this device nor a peer has blobs to get from the other.
    async fn is_even_with(&self, peer: DeviceId) -> bool {
        let node = self.network.node();
        match node.ask(move |runtime| runtime.left_with(peer)).await {
            Ok(Ok(left)) => left.is_nothing(),
            Ok(Err(error)) | Err(error) => {
                tracing::warn!(%error, "what is left to exchange");
                false
            }
        }
    }

    fn since(&self) -> Moved {
        let (now, before) = (self.network.moved(), self.before);
        Moved {
            entries_sent: now.entries_sent - before.entries_sent,
            entries_received: now.entries_received - before.entries_received,
            blobs_sent: now.blobs_sent - before.blobs_sent,
            blobs_received: now.blobs_received - before.blobs_received,
            bytes_sent: now.bytes_sent - before.bytes_sent,
            bytes_received: now.bytes_received - before.bytes_received,
        }
    }

    fn progress(&self) -> Progress {
        let moved = self.since();
        Progress {
            done: moved.blobs_sent + moved.blobs_received,
            total: 0,
            bytes: moved.bytes_sent + moved.bytes_received,
            bytes_total: 0,
        }
    }

    /// Of a sync that did what there was to do.
    fn summary(&self, reached: &Reached) -> Done {
        let mut summary = self.counted(reached)?;
        summary["settled"] = json!(true);
        Ok(summary)
    }

    /// Of one that ended before, with what is left as far as this device knows.
    async fn unsettled(&self, reached: &Reached, halt: Halt) -> Done {
        let mut summary = self.counted(reached)?;
        let connected = self.reached().await;
        summary["left"] = json!(left::left(self.network.node(), reached, &connected).await?);
        summary["stuck"] = json!(halt == Halt::Stuck);
        summary["settled"] = json!(false);
        summary["exit"] = json!(75);
        Ok(summary)
    }

    fn counted(&self, reached: &Reached) -> Done {
        if reached.is_empty() {
            return Err(ApiError::no_peer("no other device of the family answers"));
        }
        let moved = self.since();
        Ok(json!({
            "peers": reached.len(),
            "entries_sent": moved.entries_sent, "entries_received": moved.entries_received,
            "blobs_sent": moved.blobs_sent, "blobs_received": moved.blobs_received,
            "bytes_sent": moved.bytes_sent, "bytes_received": moved.bytes_received,
        }))
    }
}
