//! `recovery restore`: a device that knows 24 words and nothing else becomes one of the family's.
//!
//! In the name of the kit it asks whoever is in reach which family this is, has the kit certify a key
//! of its own, pulls what the person may read and opens with the kit what is sealed to it. Only then
//! the home is set up; from there on the device acts in its own name and fetches everything. Its key
//! is durable before anybody hears of it, so that the command can be cut off and given again at any
//! moment.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use heirloom_protocol::{
    crypto::{DeviceKeys, RecoveryKit},
    id::{DeviceId, FamilyId},
    op::{Genesis, Subject},
    replica::WriteError,
    wire,
};
use rand_core::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    Answer, ApiError, Done, Doorway, family, library, network, pair, people, pick, recovery,
};
use crate::{
    net::Address,
    network::{Moved, Network, addresses, peer_of, remember},
    node::{Node, Options, open_empty},
    runtime::{Identity, Runtime, RuntimeError, confirm_kit, system_rng},
    store::{KeyFile, Store},
};

mod find;

/// Most addresses of peers that are tried.
const PEERS: usize = 64;
/// How long others are looked for on the local network before the kit is put away.
const LOOK: Duration = Duration::from_secs(5);
/// How long nothing may move.
const STUCK: Duration = Duration::from_secs(30);
/// How long everything must be quiet.
const QUIET: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How often those who have just learned of this device are called.
const CALLS: usize = 5;

/// The keys of a device that is being restored, kept until all of it is done.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Restoring {
    sign: [u8; 32],
    seal: [u8; 32],
    incarnation: u64,
    #[zeroize(skip)]
    kit: DeviceId,
}

impl Restoring {
    /// Those of an earlier attempt with these words, else new ones. Durable when it returns.
    fn begin(store: &Store, kit: DeviceId) -> Result<Self, ApiError> {
        if let Some(begun) = Self::load(store)?.filter(|begun| begun.kit == kit) {
            return Ok(begun);
        }
        let mut rng = system_rng()?;
        let keys = DeviceKeys::generate(&mut rng);
        let new = Self {
            sign: *keys.sign.to_bytes(),
            seal: *keys.seal.to_bytes(),
            incarnation: rng.next_u64(),
            kit,
        };
        let bytes = Zeroizing::new(wire::encode(&new));
        store.keyring()?.write(KeyFile::Restoring, &bytes)?;
        Ok(new)
    }

    fn load(store: &Store) -> Result<Option<Self>, ApiError> {
        Ok(store.keyring()?.load(KeyFile::Restoring)?)
    }

    fn clear(store: &Store) -> Result<(), ApiError> {
        Ok(store.keyring()?.remove(KeyFile::Restoring)?)
    }

    fn keys(&self) -> DeviceKeys {
        let mut secret = Zeroizing::new([0; DeviceKeys::SECRET_BYTES]);
        secret[..32].copy_from_slice(&self.sign);
        secret[32..].copy_from_slice(&self.seal);
        DeviceKeys::from_secret_bytes(&secret)
    }

    fn identity(&self, family: FamilyId, genesis: Genesis) -> Identity {
        Identity::new(&self.keys(), family, genesis, self.incarnation)
    }
}

/// What the person asked for beside the words.
struct Asked {
    device: String,
    peers: Vec<Address>,
    /// Devices that are gone and are to be removed.
    lost: Vec<String>,
}

impl Asked {
    fn of(body: &Value) -> Result<Self, ApiError> {
        let device = match pick::optional(body, "device") {
            Some(_) => pick::name(body, "device")?.to_owned(),
            None => family::host_name(),
        };
        let texts = |field| -> Vec<String> {
            let texts = pick::texts(body, field).into_iter();
            texts.map(str::to_owned).collect()
        };
        let peers = addresses(&texts("peers"))?;
        if peers.len() > PEERS {
            return Err(ApiError::usage("more addresses than are tried: 64"));
        }
        Ok(Self {
            device,
            peers,
            lost: texts("remove_lost"),
        })
    }
}

/// The act.
pub(super) async fn restore(doorway: &Arc<Doorway>, body: &Value, answer: &Answer) -> Done {
    let words = Zeroizing::new(pick::text(body, "words")?.to_owned());
    let asked = Asked::of(body)?;
    let node = match doorway.node().await {
        // A home that is set up is left alone, unless it is this restore that was cut off.
        Ok(node) => match Restoring::load(node.store())? {
            Some(begun) if recovery::typed(&words)?.sign().id() == begun.kit => node,
            _ if recovery::are_own(&node, &words).await => return Err(restored_already()),
            _ => return Err(ApiError::already_set_up()),
        },
        Err(_) => {
            let kit = Arc::new(recovery::typed(&words)?);
            bring_back(doorway, &kit, &asked, answer).await?
        }
    };
    fetch(doorway, &node, &asked, answer).await
}

/// What an earlier restore could not fetch, for want of room say, is no matter of the words any more.
fn restored_already() -> ApiError {
    let message =
        "this device is restored already: it is one of this person's and knows the family";
    ApiError {
        message: message.into(),
        ..ApiError::already_set_up()
    }
    .safe("Nothing was changed, and what is here is safe.")
    .hint("heirloom sync fetches what is not here yet; if this disk is full, make room first")
}

/// Makes this device one of the person's and its home one of the family's.
async fn bring_back(
    doorway: &Arc<Doorway>,
    kit: &Arc<RecoveryKit>,
    asked: &Asked,
    answer: &Answer,
) -> Result<Node, ApiError> {
    let options = doorway.network_options()?;
    let home = doorway.home().to_owned();
    let opened = tokio::task::spawn_blocking(move || open_empty(&home)).await;
    let store = opened.map_err(|_| RuntimeError::Stopped)??;
    let restoring = Restoring::begin(&store, kit.sign().id())?;
    let keys = Arc::new(restoring.keys());
    let found = find::family(&options, kit, &asked.peers, &keys, answer.dropped()).await?;
    let (family, genesis) = (found.handed.family(), found.handed.genesis.clone());
    let identity = Arc::new(restoring.identity(family, genesis));
    let node = take_in(&store, doorway.options(), &identity, kit, found).await?;
    let network = Network::start_for_kit(node.clone(), options.clone(), kit).await?;
    let pulled = Pull {
        network: &network,
        kit,
        answer,
        looks: options.discovery,
    };
    let pulled = pulled.run(&asked.peers).await;
    network.stop().await;
    pulled?;
    let name = asked.device.clone();
    let named = node.ask(move |runtime| runtime.name(Subject::Device(runtime.device()), &name));
    if let Err(error) = named.await? {
        // Without the key of the family's names it goes by its id.
        tracing::warn!(%error, "this device has no name yet");
    }
    let kit = kit.sign().id();
    let done = node.blocking(move || -> Result<(), ApiError> {
        confirm_kit(&store, kit)?;
        // Last: a home without a key file is one that is not set up.
        Ok(identity.save(&store)?)
    });
    done.await??;
    doorway.settle(node.clone()).await;
    Ok(node)
}

/// Takes the family that was found and writes this device into it, in the kit's name. Durable when it
/// returns; the home is not set up yet.
async fn take_in(
    store: &Store,
    options: &Options,
    identity: &Arc<Identity>,
    kit: &Arc<RecoveryKit>,
    found: find::Found,
) -> Result<Node, ApiError> {
    let (store, options) = (store.clone(), options.clone());
    let (identity, kit) = (identity.clone(), kit.clone());
    let work = move || -> Result<Node, ApiError> {
        let spaces = store.spaces();
        if !spaces.is_empty() && !spaces.contains(&found.handed.family().control_space()) {
            return Err(
                ApiError::not_allowed("this folder holds the beginning of another family")
                    .safe("Nothing was changed.")
                    .hint("restore into an empty folder: heirloom --home DIR recovery restore"),
            );
        }
        let mut runtime = Runtime::open(store.clone(), &identity)?;
        let texts = found.handed.addrs.iter().map(ToString::to_string);
        let known: Vec<Address> = texts.filter_map(|text| text.parse().ok()).collect();
        // The first one is remembered last and so tried first.
        for mut address in known.into_iter().rev() {
            address.peer = Some(peer_of(found.host));
            remember(&store, &found.host, address)?;
        }
        let wrong = || ApiError::code("what was handed over is not a family that these words open");
        if !runtime.take_family(found.host, found.handed)? {
            return Err(wrong());
        }
        match runtime.restore_with(&kit) {
            Err(RuntimeError::Write(WriteError::NotAllowed)) => return Err(wrong()),
            restored => restored?,
        }
        Node::run(store, runtime, options)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| RuntimeError::Stopped)?
}

/// The exchange in the kit's name.
struct Pull<'a> {
    network: &'a Network,
    kit: &'a Arc<RecoveryKit>,
    answer: &'a Answer,
    /// Whether others may be found on the local network.
    looks: bool,
}

impl Pull<'_> {
    /// Ends once whoever was reached knows this device, and everything of theirs is here and opened.
    async fn run(&self, peers: &[Address]) -> Result<(), ApiError> {
        self.call(peers).await?;
        let started = Instant::now();
        let mut stirs = self.network.stirs();
        let (mut moved, mut moved_at) = (Moved::default(), Instant::now());
        let mut opened: Option<u64> = None;
        let mut quiet_since: Option<Instant> = None;
        loop {
            let sessions = self.network.sessions();
            let settled = !sessions.is_empty() && sessions.iter().all(|session| session.settled);
            let now = self.network.moved();
            if now != moved {
                (moved, moved_at) = (now, Instant::now());
            }
            if settled && opened != Some(now.entries_received) {
                opened = Some(now.entries_received);
                quiet_since = None;
                self.open().await?;
            } else if settled {
                let since = *quiet_since.get_or_insert_with(Instant::now);
                let looked = !self.looks || started.elapsed() >= LOOK;
                if looked && since.elapsed() >= QUIET {
                    return Ok(());
                }
            } else {
                quiet_since = None;
            }
            if moved_at.elapsed() >= STUCK {
                return Err(cut_off());
            }
            tokio::select! {
                () = self.answer.dropped().cancelled() => return Err(cut_off()),
                // Nothing may stir while time alone decides.
                _ = tokio::time::timeout(LOOK_AGAIN, stirs.changed()) => {}
            }
        }
    }

    async fn call(&self, peers: &[Address]) -> Result<(), ApiError> {
        let mut calls = tokio::task::JoinSet::new();
        for address in peers {
            let (network, address) = (self.network.clone(), *address);
            calls.spawn(async move {
                if let Err(error) = network.call(address).await {
                    tracing::debug!(%error, "an address that was given does not answer");
                }
            });
        }
        calls.join_all().await;
        self.network.call_round().await?;
        Ok(())
    }

    async fn open(&self) -> Result<(), ApiError> {
        let kit = self.kit.clone();
        let opened = self.network.node();
        Ok(opened
            .ask(move |runtime| runtime.open_with_kit(&kit))
            .await??)
    }
}

fn cut_off() -> ApiError {
    ApiError::try_later("the connection broke before everything was here")
        .safe("What has come is kept.")
        .hint("give the same command again: it goes on where it was")
}

/// Fetches everything in this device's own name, and says what came of it.
async fn fetch(doorway: &Arc<Doorway>, node: &Node, asked: &Asked, answer: &Answer) -> Done {
    let (mut removed, mut gone) = (Vec::new(), Vec::new());
    let mut unknown = Vec::new();
    for name in &asked.lost {
        match people::remove_named(node, name).await {
            Ok(device) => {
                gone.push((device, name));
                removed.push(name);
            }
            Err(error) if error.id == "E-NOT-FOUND" => unknown.push(name),
            Err(error) => return Err(error),
        }
    }
    let lent = lend(doorway, node).await?;
    let mut fetched = Err(cut_off());
    // They may not have let this device in yet, of which they have just heard.
    for _ in 0..CALLS {
        fetched = network::exchange(&lent, answer).await;
        if !matches!(&fetched, Err(error) if ["E-NO-PEER", "E-REFUSED"].contains(&error.id)) {
            break;
        }
    }
    lent.give_back().await;
    let mut summary = fetched?;
    let mut view = node.view().await?;
    let is_new = view.library().is_none() && view.person.is_some();
    if is_new {
        library::begin(node).await?;
        view = node.view().await?;
    }
    Restoring::clear(node.store())?;
    for (device, name) in &gone {
        people::reach_of(node, &view, (device, name), answer).await?;
    }
    let asked = node.ask(|runtime| (runtime.lacking(), runtime.without_room().blobs));
    let (lacking, aside) = asked.await?;
    let missing = lacking + aside;
    // Others may have it all.
    let without_room = match aside > 0 || !node.store().has_room() {
        true => missing,
        false => 0,
    };
    if let Some(fields) = summary.as_object_mut() {
        let told = json!({
            "family": view.family.to_string(),
            "family_name": view.family_name,
            "person": view.person.map(|person| person.to_string()),
            "person_name": view.person.map(|person| view.person_name(&person)),
            "device": view.device.to_string(),
            "device_name": view.device_name(&view.device),
            "peer": peer_of(view.device).to_string(),
            "missing": missing,
            "without_room": without_room,
            "library_begun": is_new,
            "removed": removed,
            "not_found": unknown,
        });
        fields.extend(told.as_object().cloned().unwrap_or_default());
        // What the others lack is not this person's trouble now.
        let exit = match (missing, unknown.is_empty()) {
            (0, true) => 0,
            (0, false) => 3,
            _ => 75,
        };
        fields.insert("exit".into(), json!(exit));
    }
    Ok(summary)
}

/// The network of this home: a node that serves it takes it there by itself.
async fn lend(doorway: &Arc<Doorway>, node: &Node) -> Result<pair::Lent, ApiError> {
    let mut stirs = doorway.stirs();
    let is_served = doorway.gallery().await.is_some();
    let waited = async {
        while is_served && doorway.network().await.is_none() {
            if stirs.changed().await.is_err() {
                return;
            }
        }
    };
    // Where it does not come up, this act has one of its own.
    let _ = tokio::time::timeout(STUCK, waited).await;
    pair::Lent::of(doorway, node).await
}
