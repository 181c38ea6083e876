//! `join`: this device becomes one of a family, with the code of an invite.
//!
//! The device's keys are durable before the pairing begins, and what it may
//! have become before the person's yes goes out. When the connection breaks at
//! the very end, the next `join` asks the inviter for what is missing.

use std::{collections::BTreeSet, sync::Arc};

use heirloom_protocol::{
    crypto::{DeviceKeys, RecoveryKit, SealPublic},
    family::{
        consent::KitProof,
        invite::{InviteError, InviteFor, InviteText, parse},
        pairing::{Acceptance, Joiner, Offer, Outcome, is_name},
    },
    id::{DeviceId, FamilyId, PersonId},
    op::AlbumUse,
    wire,
};
use rand_core::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    Answer, ApiError, Done, Doorway,
    pair::{self, Question},
    pick,
};
use crate::{
    net::{Address, Net, NetConfig, NetError, NetEvent, Peer, Proto, Stream, Whom},
    network::{
        NetworkOptions, device_of, guest_seed,
        pair::{Joining, Verdict, fetch_handed, run_joiner},
        peer_of, remember,
    },
    node::{Node, Options, open_empty},
    runtime::{Handed, Identity, Runtime, RuntimeError, note_seen, system_rng},
    store::{KeyFile, Store},
};

mod reach;
#[cfg(test)]
mod tests;

/// What this device may have become, kept until it knows.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Pending {
    sign: [u8; 32],
    seal: [u8; 32],
    /// The words of a new person's kit, which nobody has seen yet.
    recovery: Option<String>,
    #[zeroize(skip)]
    promise: Option<Promise>,
}

/// The certificate that this device consented to.
#[derive(Clone, Serialize, Deserialize)]
struct Promise {
    family: FamilyId,
    inviter: DeviceId,
    invite_for: InviteFor,
    /// Where the inviter was reached.
    addresses: Vec<String>,
}

impl Promise {
    fn person(&self) -> Option<PersonId> {
        match self.invite_for {
            InviteFor::Keeper => None,
            other => Some(other.person()),
        }
    }

    fn addresses(&self) -> Vec<Address> {
        let texts = self.addresses.iter();
        texts.filter_map(|text| text.parse().ok()).collect()
    }
}

impl Pending {
    fn new(keys: &DeviceKeys) -> Self {
        Self {
            sign: *keys.sign.to_bytes(),
            seal: *keys.seal.to_bytes(),
            recovery: None,
            promise: None,
        }
    }

    fn keys(&self) -> DeviceKeys {
        let mut secret = Zeroizing::new([0; DeviceKeys::SECRET_BYTES]);
        secret[..32].copy_from_slice(&self.sign);
        secret[32..].copy_from_slice(&self.seal);
        DeviceKeys::from_secret_bytes(&secret)
    }

    fn recovery_words(&self) -> Option<Vec<String>> {
        let words = self.recovery.as_deref()?;
        Some(words.split(' ').map(str::to_owned).collect())
    }

    /// Durable when it returns.
    fn save(&self, store: &Store) -> Result<(), ApiError> {
        let bytes = Zeroizing::new(wire::encode(self));
        Ok(store.keyring()?.write(KeyFile::Pending, &bytes)?)
    }

    fn load(store: &Store) -> Result<Option<Self>, ApiError> {
        Ok(store.keyring()?.load(KeyFile::Pending)?)
    }

    fn clear(store: &Store) -> Result<(), ApiError> {
        Ok(store.keyring()?.remove(KeyFile::Pending)?)
    }
}

/// A device that has become a member.
struct Member {
    node: Node,
    promise: Promise,
    recovery: Option<Vec<String>>,
}

/// What the person said of this device and of themselves.
struct Wishes {
    device: Option<String>,
    person: Option<String>,
    no_recovery: bool,
}

impl Wishes {
    fn of(body: &Value) -> Result<Self, ApiError> {
        let name = |field: &str| match pick::optional(body, field) {
            Some(name) if !is_name(name) => {
                pick::name(body, field)?;
                Err(ApiError::usage(&format!(
                    "the name of the {field} is no line of text"
                )))
            }
            name => Ok(name.map(str::to_owned)),
        };
        Ok(Self {
            device: name("device")?,
            person: name("person")?,
            no_recovery: pick::flag(body, "no_recovery"),
        })
    }
}

/// Joins a family.
pub(super) async fn join(doorway: &Arc<Doorway>, body: &Value, answer: &Answer) -> Done {
    let text = Zeroizing::new(pick::text(body, "code")?.to_owned());
    let code = parse(&text).map_err(|error| {
        let wrong = ApiError::new("E-CODE", 8, error.to_string())
            .safe("Nothing was changed.")
            .hint("type it again as the other device shows it");
        match error {
            InviteError::Words(error) => wrong.of_words(error),
            InviteError::Link | InviteError::TooLong => wrong.why("link", 0),
            InviteError::Version(_) => wrong.why("newer", 0),
        }
    })?;
    let wishes = Wishes::of(body)?;
    if let Ok(node) = doorway.node().await {
        return finish_late(doorway, node).await;
    }
    let network = doorway.network_options()?;
    let home = doorway.home().to_owned();
    let opened = tokio::task::spawn_blocking(move || open_empty(&home)).await;
    let store = opened.map_err(|_| RuntimeError::Stopped)??;
    let earlier = Pending::load(&store)?.filter(|earlier| earlier.promise.is_some());
    let has_earlier = earlier.is_some();
    if let Some(earlier) = earlier
        && let Some(member) = take_up(&store, doorway.options(), &network, earlier, &code).await?
    {
        return finish(doorway, &store, member, &[]).await;
    }
    let keys = DeviceKeys::generate(&mut system_rng()?);
    let pending = Pending::new(&keys);
    if !has_earlier {
        pending.save(&store)?;
    }
    let mut config = NetConfig::new(guest_seed(&code.secret().guest()));
    config.listen.clear();
    config.discovery = network.discovery && matches!(code, InviteText::Words(_));
    config.reach = network.reach();
    let (net, events) = start(config).await?;
    let mut guest = Guest {
        doorway,
        store: store.clone(),
        answer,
        wishes,
        keys: Arc::new(keys),
        pending,
        has_earlier,
        host: None,
        offered: None,
        words: Vec::new(),
        node: None,
    };
    let outcome = guest.pair(&net, events, &code).await;
    net.shutdown().await;
    match outcome {
        Ok(outcome) => guest.end(outcome).await,
        Err(error) => {
            if guest.pending.promise.is_none() {
                guest.forget()?;
            }
            Err(error)
        }
    }
}

async fn start(config: NetConfig) -> Result<(Net, mpsc::Receiver<NetEvent>), ApiError> {
    let started = Net::start(config).await;
    started.map_err(|error| ApiError::network(&error))
}

/// Asks the inviter of a pairing that broke at its end for what is missing; `None` where there was none
/// or this device did not become a member.
async fn take_up(
    store: &Store,
    options: &Options,
    network: &NetworkOptions,
    pending: Pending,
    code: &InviteText,
) -> Result<Option<Member>, ApiError> {
    let Some(promise) = pending.promise.clone() else {
        return Ok(None);
    };
    let mut addresses = promise.addresses();
    if let InviteText::Link(code) = code
        && code.inviter == promise.inviter
    {
        // Since it was started again it may be elsewhere.
        let known = code.addrs.iter();
        addresses.extend(known.filter_map(|text| text.to_string().parse::<Address>().ok()));
    }
    let keys = Arc::new(pending.keys());
    let mut config = NetConfig::new(keys.sign.to_bytes());
    config.listen.clear();
    config.discovery = false;
    config.reach = network.reach();
    let (net, mut events) = start(config).await?;
    let drain = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let inviter = peer_of(promise.inviter);
    let asked = async {
        net.set_allowed(BTreeSet::from([inviter])).await?;
        net.dial(Whom::Device(inviter), addresses).await?;
        fetch_handed(net.open(inviter, Proto::Pair).await?).await
    };
    let handed: Result<_, NetError> = asked.await;
    net.shutdown().await;
    drain.abort();
    let handed = match handed {
        Ok(handed) => handed,
        Err(error) => {
            tracing::info!(%error, "an earlier attempt to join led to nothing");
            return Ok(None);
        }
    };
    let node = match settle_in(store, options, &keys, &promise, None, &handed).await {
        Ok(node) => node,
        // It is not the family that was promised; the code at hand may be of a better one.
        Err(error) if error.id == "E-CODE" => return Ok(None),
        Err(error) => return Err(error),
    };
    let recovery = pending.recovery_words();
    Ok(Some(Member {
        node,
        promise,
        recovery,
    }))
}

/// Makes this device's home one of the family. Durable when it returns; interrupted it leaves a home
/// that is not set up.
async fn settle_in(
    store: &Store,
    options: &Options,
    keys: &Arc<DeviceKeys>,
    promise: &Promise,
    seal: Option<SealPublic>,
    handed: &[u8],
) -> Result<Node, ApiError> {
    let wrong = || ApiError::code("the other device handed over something else than its family");
    let handed = Handed::read(handed).ok_or_else(wrong)?;
    if handed.family() != promise.family {
        return Err(wrong());
    }
    let (store, options) = (store.clone(), options.clone());
    let (keys, promise) = (keys.clone(), promise.clone());
    let work = move || -> Result<Node, ApiError> {
        let genesis = handed.genesis.clone();
        let incarnation = system_rng()?.next_u64();
        let identity = Identity::new(&keys, promise.family, genesis, incarnation);
        let mut runtime = Runtime::open(store.clone(), &identity)?;
        let inviter = promise.inviter;
        let mut addresses = promise.addresses();
        addresses.extend(
            handed
                .addrs
                .iter()
                .filter_map(|text| text.to_string().parse::<Address>().ok()),
        );
        runtime
            .take_handed(handed, inviter, seal, promise.person())?
            .map_err(|_| wrong())?;
        // An attempt that was killed after this has made it already.
        if let InviteFor::Person { .. } = promise.invite_for
            && runtime.view().library().is_none()
        {
            runtime.make_album("Library", AlbumUse::Library)?;
        }
        // The first one is remembered last and so tried first.
        for mut address in addresses.into_iter().rev() {
            address.peer = Some(peer_of(inviter));
            remember(&store, &inviter, address)?;
        }
        // It has just taken this device in, and so knows it.
        note_seen(&store, &[inviter], runtime.now())?;
        // Last: a home without a key file is one that is not set up.
        identity.save(&store)?;
        Node::run(store, runtime, options)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| RuntimeError::Stopped)?
}

/// Puts the node in place and says what came of it.
async fn finish(doorway: &Doorway, store: &Store, member: Member, words: &[&str]) -> Done {
    Pending::clear(store)?;
    let view = member.node.view().await?;
    let device = view.device;
    doorway.settle(member.node).await;
    let person = member.promise.person();
    Ok(json!({
        "family": view.family.to_string(),
        "family_name": view.family_name,
        "person": person.map(|person| person.to_string()),
        "person_name": person.map(|person| view.person_name(&person)),
        "device": device.to_string(),
        "device_name": view.device_name(&device),
        "peer": peer_of(device).to_string(),
        "words": words,
        "recovery": member.recovery,
    }))
}

/// Ends a join that was interrupted when all but its last words was done; any other home is set up already.
async fn finish_late(doorway: &Doorway, node: Node) -> Done {
    let store = node.store().clone();
    let pending = Pending::load(&store)?.ok_or_else(ApiError::already_set_up)?;
    let family = node.view().await?.family;
    match pending.promise.clone() {
        Some(promise) if promise.family == family => {
            let recovery = pending.recovery_words();
            let member = Member {
                node,
                promise,
                recovery,
            };
            finish(doorway, &store, member, &[]).await
        }
        _ => Err(ApiError::already_set_up()),
    }
}

/// This device while it holds a code.
struct Guest<'a> {
    doorway: &'a Doorway,
    store: Store,
    answer: &'a Answer,
    wishes: Wishes,
    keys: Arc<DeviceKeys>,
    pending: Pending,
    /// Whether an earlier pairing broke at its end: what it left stays until another comes as far, as the
    /// inviter of that one may only be out of reach.
    has_earlier: bool,
    /// Who answered, and where.
    host: Option<(Peer, Option<Address>)>,
    offered: Option<(Offer, SealPublic)>,
    words: Vec<&'static str>,
    node: Option<Node>,
}

impl Guest<'_> {
    async fn pair(
        &mut self,
        net: &Net,
        mut events: mpsc::Receiver<NetEvent>,
        code: &InviteText,
    ) -> Result<Outcome, ApiError> {
        let dropped = self.answer.dropped().clone();
        let host = tokio::select! {
            host = reach::host(net, &mut events, code) => host?,
            () = dropped.cancelled() => return Ok(Outcome::Withdrawn),
        };
        // Events hold places of streams until they are taken.
        let drain = tokio::spawn(async move { while events.recv().await.is_some() {} });
        let connected = net.connected().await.unwrap_or_default();
        let path = connected.iter().find(|path| path.peer == host);
        self.host = Some((host, path.map(|path| path.address)));
        let outcome = match net.open(host, Proto::Pair).await {
            Ok(stream) => self.talk(stream, host, code).await,
            // It answered, and does not let this guest in.
            Err(error) => {
                tracing::debug!(%error, "the inviter does not talk");
                Ok(Outcome::Lost)
            }
        };
        drain.abort();
        outcome
    }

    async fn talk(
        &mut self,
        stream: Stream,
        host: Peer,
        code: &InviteText,
    ) -> Result<Outcome, ApiError> {
        let mut rng = system_rng()?;
        let family = match code {
            InviteText::Link(code) => Some(code.family),
            InviteText::Words(_) => None,
        };
        let keys = self.keys.clone();
        let machine = Joiner::new(code.secret(), &keys, device_of(host), family, &mut rng);
        let dropped = self.answer.dropped().clone();
        run_joiner(stream, machine, self, &dropped).await
    }

    /// Removes what this pairing left, when nothing has come of it.
    fn forget(&self) -> Result<(), ApiError> {
        match self.has_earlier && self.pending.promise.is_none() {
            true => Ok(()),
            false => Pending::clear(&self.store),
        }
    }

    async fn end(mut self, outcome: Outcome) -> Done {
        if let (Some(node), Some(promise)) = (self.node.take(), self.pending.promise.clone()) {
            let recovery = self.pending.recovery_words();
            let member = Member {
                node,
                promise,
                recovery,
            };
            return finish(self.doorway, &self.store, member, &self.words).await;
        }
        if outcome == Outcome::LostLate {
            return Err(ApiError::try_later(
                "the connection broke at the moment when this device was let in",
            )
            .safe("Its keys are kept.")
            .hint("run heirloom join again, with the same code; it asks whether it was let in"));
        }
        self.forget()?;
        Err(match outcome {
            Outcome::Refused => ApiError::refused("the other side said no"),
            Outcome::Withdrawn => ApiError::refused("you said no"),
            Outcome::Lost if self.offered.is_some() => {
                ApiError::try_later("the connection broke before anything was agreed")
                    .safe("Nothing was shared, and nobody joined.")
                    .hint("run heirloom join again, with the same code")
            }
            _ => ApiError::code("the code is wrong, was used already, or has expired"),
        })
    }

    fn device_name(&self, offer: &Offer) -> String {
        match (&self.wishes.device, offer.invite_for) {
            (Some(name), _) => name.clone(),
            (None, InviteFor::Keeper) => offer.person_name.clone(),
            (None, _) => host_name(),
        }
    }
}

impl Joining for Guest<'_> {
    fn accept(&mut self, offer: &Offer, seal: SealPublic) -> Result<Acceptance, ApiError> {
        self.offered = Some((offer.clone(), seal));
        let mut acceptance = Acceptance {
            device_name: self.device_name(offer),
            person_name: None,
            kit: None,
        };
        if let InviteFor::Person { person, .. } = offer.invite_for {
            let asked = self.wishes.person.as_ref();
            acceptance.person_name = Some(asked.unwrap_or(&offer.person_name).clone());
            if !self.wishes.no_recovery {
                let kit = RecoveryKit::generate(&mut system_rng()?);
                acceptance.kit = Some(KitProof::make(&kit, &offer.family, &person));
                self.pending.recovery = Some(kit.words().as_str().to_owned());
            }
        }
        Ok(acceptance)
    }

    async fn ask(&mut self, words: [&'static str; 4]) -> Verdict {
        self.words = words.to_vec();
        let (Some((offer, _)), Some((host, address))) = (&self.offered, &self.host) else {
            return tokio::sync::oneshot::channel().1;
        };
        self.pending.promise = Some(Promise {
            family: offer.family,
            inviter: device_of(*host),
            invite_for: offer.invite_for,
            addresses: address.iter().map(ToString::to_string).collect(),
        });
        // What this device may become is on disk before anybody can say yes.
        if let Err(error) = self.pending.save(&self.store) {
            tracing::error!(?error, "this device cannot keep what it is about to become");
            return tokio::sync::oneshot::channel().1;
        }
        let (device, person) = (&offer.inviter_device, &offer.inviter_name);
        let question = Question {
            id: "inviter",
            device: device.clone(),
            person: person.clone(),
            text: format!("Does {device} of {person} show the same words?"),
        };
        pair::ask(self.doorway, self.answer, &words, question).await
    }

    async fn store(&mut self, handed: Zeroizing<Vec<u8>>) -> Result<(), ApiError> {
        let (Some(promise), Some((_, seal))) = (&self.pending.promise, &self.offered) else {
            return Err(RuntimeError::Stopped.into());
        };
        let (store, options) = (&self.store, self.doorway.options());
        let node = settle_in(store, options, &self.keys, promise, Some(*seal), &handed).await?;
        self.node = Some(node);
        Ok(())
    }
}

/// What this device is called where nobody says.
fn host_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    if is_name(&name) {
        name
    } else {
        "device".into()
    }
}
