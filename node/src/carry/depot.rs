//! Depots: folders that running nodes keep up to date, as a keeper without a program.
//!
//! A depot has a file that says so, so that the empty folder in which a disk is
//! usually mounted is never taken for it and filled. Of what
//! this device says that lies there it reads some again each hour and compares
//! it with its own; what is wrong is written anew. A depot is no device: no
//! copy in it counts as one, and nothing leaves this device because of it.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use heirloom_protocol::{id::FamilyId, wire};
use serde::{Deserialize, Serialize};
use tokio::{
    runtime::Handle,
    sync::OwnedMutexGuard,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{
    Carrier, CarryError, Folder, Pace, Reading,
    bucket::{Access, Bucket},
    check::check_some,
    http::is_refused,
    own::own,
    read, write,
};
use crate::{
    api::Doorway,
    net::Reach,
    node::Node,
    runtime::{News, RuntimeError, Scope},
    store::{Batch, Store, StoreError, Table},
};

/// The file that says which depot this is.
pub(super) const MARKER: &str = "heirloom.depot";
const MARKER_BYTES: u64 = 64;
/// How long between two rounds without news.
const EVERY: Duration = Duration::from_secs(3600);
/// How long after news a round begins, so that many make one.
const AFTER_NEWS: Duration = Duration::from_secs(3);
/// How long a round that is cancelled may take to end; a share that hangs ends with the process.
const FAREWELL: Duration = Duration::from_secs(3);
const DAY_MS: u64 = 24 * 3600 * 1000;
/// Wrong files that are remembered.
const WRONG: usize = 20;

/// A depot of this device.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Depot {
    /// What its row is called.
    pub(crate) id: [u8; 16],
    /// Where it is.
    pub(crate) place: Place,
    /// How it was when it was last looked at.
    pub(crate) state: State,
}

/// Where a depot is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) enum Place {
    /// A folder.
    Folder(PathBuf),
    /// A prefix in a bucket.
    Bucket {
        /// `s3://bucket/prefix`.
        url: String,
        /// Where the store is, `http://` or `https://`.
        endpoint: String,
        /// The region that requests are signed for.
        region: String,
    },
}

impl Place {
    /// What it is called.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Folder(path) => path.to_string_lossy().into_owned(),
            Self::Bucket { url, .. } => url.clone(),
        }
    }
}

/// How a depot was.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// When it was last up to date, Unix milliseconds; 0 for never.
    pub(crate) updated: u64,
    /// When some of it was last read again and found right, Unix milliseconds; 0 for never.
    pub(crate) checked: u64,
    /// Blobs that this device knows to lie there.
    pub(crate) blobs: u64,
    /// Files that were wrong when it was last looked at, the first few.
    pub(crate) wrong: Vec<String>,
    /// Why it is not up to date, for people.
    pub(crate) problem: Option<String>,
}

/// What came of a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Round {
    /// Blobs that were put there.
    pub(crate) put: u64,
    /// Blobs that came from there.
    pub(crate) came: u64,
    /// Entries that came from there.
    pub(crate) entries: u64,
    /// Blobs that were deleted for good, there as well.
    pub(crate) removed: u64,
    /// Files that were wrong.
    pub(crate) wrong: u64,
}

fn key(id: &[u8; 16]) -> Vec<u8> {
    [b"depot/", &id[..]].concat()
}

fn seen_key(id: &[u8; 16]) -> Vec<u8> {
    [b"depot-seen/", &id[..]].concat()
}

/// The depots of this device, in the order of their places.
///
/// # Errors
///
/// What the disk says; a damaged row is left out.
pub(crate) fn all(store: &Store) -> Result<Vec<Depot>, StoreError> {
    let mut depots: Vec<Depot> = Vec::new();
    store.scan(Table::Kv, b"depot/", |_, row| {
        depots.extend(row.ok().and_then(|row| wire::decode_row(&row).ok()));
        ControlFlow::Continue(())
    })?;
    depots.sort_by(|a, b| a.place.cmp(&b.place));
    Ok(depots)
}

fn save(store: &Store, depot: &Depot) -> Result<(), StoreError> {
    // Rows of this kind are far below the limit.
    let row = wire::encode_row(depot).unwrap_or_default();
    store.commit(&Batch {
        puts: vec![(Table::Kv, key(&depot.id), row)],
        ..Batch::default()
    })
}

/// What a round keeps to.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Which servers may be talked to.
    pub(crate) reach: Reach,
    /// Ends it.
    pub(crate) cancelled: CancellationToken,
}

fn open(node: &Node, place: &Place, terms: &Terms) -> Result<Box<dyn Carrier>, CarryError> {
    match place {
        Place::Folder(path) => {
            let mark = node.ask_blocking(|runtime| runtime.device().short())?;
            Ok(Box::new(Folder::new(path.clone(), mark)))
        }
        Place::Bucket {
            url,
            endpoint,
            region,
        } => {
            let home = node.store().home();
            let (key_id, secret) = keys(home)?;
            let access = Access {
                endpoint: endpoint.clone(),
                region: region.clone(),
                key_id,
                secret,
            };
            let Terms { reach, cancelled } = terms.clone();
            Ok(Box::new(Bucket::new(url, access, reach, cancelled)?))
        }
    }
}

/// The file in the home that holds the keys of a store.
const KEYS: &str = "s3.toml";

#[derive(Deserialize)]
struct Keys {
    access_key_id: String,
    secret_access_key: String,
}

/// The keys of a store: from the environment, else from a file of the home that nobody else can read.
fn keys(home: &std::path::Path) -> Result<(String, Zeroizing<String>), CarryError> {
    let env = |name: &str| std::env::var(name).ok().filter(|key| !key.is_empty());
    if let Some((id, secret)) = env("AWS_ACCESS_KEY_ID").zip(env("AWS_SECRET_ACCESS_KEY")) {
        return Ok((id, Zeroizing::new(secret)));
    }
    let path = home.join(KEYS);
    let shown = path.display();
    if !path.exists() {
        let text = format!(
            "the keys of the store are missing: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or {shown}"
        );
        return Err(CarryError::NoAccess(text));
    }
    if crate::store::fs::loose_mode(&path)?.is_some() {
        let text = format!("{shown} can be read by others: chmod 600 it, and make new keys");
        return Err(CarryError::NoAccess(text));
    }
    let text = Zeroizing::new(std::fs::read_to_string(&path)?);
    // What stands in it is told to nobody.
    let keys: Keys = toml::from_str(&text).map_err(|_| {
        let text = format!("{shown} has no access_key_id and secret_access_key");
        CarryError::NoAccess(text)
    })?;
    Ok((keys.access_key_id, Zeroizing::new(keys.secret_access_key)))
}

/// What stands in the file that says whose depot it is: the same, whichever device writes it.
fn tag(family: &FamilyId) -> Vec<u8> {
    let hash = blake3::hash(&[b"heirloom depot v1", &family.0[..]].concat());
    let mut text = data_encoding::HEXLOWER.encode(&hash.as_bytes()[..16]);
    text.push('\n');
    text.into_bytes()
}

/// Remembers a folder as a depot; one that is a depot already becomes this device's as well.
///
/// # Errors
///
/// What the place and the disk say; nothing is remembered then.
pub(crate) fn add(node: &Node, place: Place, terms: &Terms) -> Result<Depot, CarryError> {
    let folder = open(node, &place, terms)?;
    let family = node.ask_blocking(|runtime| runtime.replica().family())?;
    match folder.get(MARKER, MARKER_BYTES)? {
        Some(there) if there == tag(&family) => {}
        Some(_) => return Err(CarryError::Foreign),
        None => {
            folder.put(MARKER, &tag(&family))?;
            folder.settle()?;
        }
    }
    let hash = blake3::hash(place.name().as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hash.as_bytes()[..16]);
    let known = all(node.store())?.into_iter().find(|depot| depot.id == id);
    let state = known.map(|depot| depot.state).unwrap_or_default();
    let depot = Depot { id, place, state };
    save(node.store(), &depot)?;
    Ok(depot)
}

/// Forgets a depot; what lies there stays. False where it is none of this device's.
///
/// # Errors
///
/// What the disk says.
pub(crate) fn remove(store: &Store, place: &str) -> Result<bool, StoreError> {
    let mut found = false;
    for depot in all(store)? {
        if depot.place.name() == place {
            found = true;
            store.commit(&Batch {
                deletes: vec![
                    (Table::Kv, key(&depot.id)),
                    (Table::Kv, seen_key(&depot.id)),
                ],
                ..Batch::default()
            })?;
        }
    }
    Ok(found)
}

/// Brings a depot and this device up to date with each other; with `check`, some of it is read again first.
///
/// Blocks, and waits for another round of the same depot. What came of it is
/// remembered, also of one that failed, but not of one that was cancelled.
///
/// # Errors
///
/// [`CarryError::Away`] where it is not in reach, and whatever place and disk say.
pub(crate) fn round(
    node: &Node,
    depot: &Depot,
    check: bool,
    terms: &Terms,
    tell: &mut dyn FnMut(Pace),
) -> Result<Round, CarryError> {
    let _turn = turn(depot.id, &terms.cancelled)?;
    let mut depot = depot.clone();
    let done = exchange(node, &mut depot, check, terms, tell);
    if done.is_err() && terms.cancelled.is_cancelled() {
        return Err(RuntimeError::Stopped.into());
    }
    depot.state.problem = done.as_ref().err().map(ToString::to_string);
    // It may have been removed meanwhile.
    if all(node.store())?.iter().any(|known| known.id == depot.id) {
        save(node.store(), &depot)?;
    }
    done
}

/// Waits until no other round of a depot runs: two would write the same unfinished files.
fn turn(id: [u8; 16], cancelled: &CancellationToken) -> Result<OwnedMutexGuard<()>, CarryError> {
    type Turn = Arc<tokio::sync::Mutex<()>>;
    static TURNS: Mutex<BTreeMap<[u8; 16], Turn>> = Mutex::new(BTreeMap::new());
    let turn = {
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(id).or_default())
    };
    Handle::current().block_on(async {
        tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(RuntimeError::Stopped.into()),
            turn = turn.lock_owned() => Ok(turn),
        }
    })
}

fn exchange(
    node: &Node,
    depot: &mut Depot,
    check: bool,
    terms: &Terms,
    tell: &mut dyn FnMut(Pace),
) -> Result<Round, CarryError> {
    let (folder, cancelled) = (&*open(node, &depot.place, terms)?, &terms.cancelled);
    let family = node.ask_blocking(|runtime| runtime.replica().family())?;
    let there = match &depot.place {
        Place::Folder(_) => folder.get(MARKER, MARKER_BYTES).ok().flatten(),
        // Why a store does not answer is worth telling.
        Place::Bucket { .. } => folder.get(MARKER, MARKER_BYTES)?,
    };
    if there != Some(tag(&family)) {
        return Err(CarryError::Away);
    }
    let (me, now) = node.ask_blocking(|runtime| (runtime.device(), runtime.clock().now().0))?;
    let seen = node.store().get(Table::Kv, &seen_key(&depot.id));
    let seen = seen.ok().flatten();
    let reading = Reading {
        depot: Some(me),
        seen: seen
            .and_then(|row| wire::decode_row(&row).ok())
            .unwrap_or_default(),
    };
    let read = read(node, folder, &reading, cancelled, tell)?;
    let row = wire::encode_row(&read.seen).unwrap_or_default();
    node.store().commit(&Batch {
        puts: vec![(Table::Kv, seen_key(&depot.id), row)],
        ..Batch::default()
    })?;
    let mut wrong: Vec<String> = read.wrong.iter().map(|wrong| wrong.name.clone()).collect();
    let was_here = depot.state.updated > 0;
    let (mut before, untold) = own(node, folder, &me, was_here, cancelled)?;
    wrong.extend(untold);
    if check {
        wrong.extend(check_some(node, folder, &me, &mut before)?);
    }
    before.others = read.others;
    before.is_cleaned = check;
    let written = write(node, folder, Scope::default(), &before, cancelled, tell)?;
    let state = &mut depot.state;
    state.updated = now;
    if check {
        state.checked = now;
    }
    state.blobs = written.there;
    let count = u64::try_from(wrong.len()).unwrap_or(u64::MAX);
    wrong.truncate(WRONG);
    state.wrong = wrong;
    Ok(Round {
        put: written.blobs,
        came: read.blobs,
        entries: read.entries,
        removed: written.removed,
        wrong: count,
    })
}

/// Keeps every depot up to date: when something is new here, and each hour. None waits for another.
pub(crate) async fn run(doorway: Arc<Doorway>, ending: CancellationToken) {
    let Ok(node) = doorway.node().await else {
        return;
    };
    let mut news = node.news();
    let mut hour = interval(EVERY);
    hour.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due: Option<Instant> = None;
    let mut is_check_due = false;
    let mut rounds = Rounds::default();
    let stop = ending.child_token();
    loop {
        let at = due.unwrap_or_else(|| Instant::now() + EVERY);
        let is_due = tokio::select! {
            () = ending.cancelled() => break,
            _ = hour.tick() => {
                is_check_due = true;
                true
            }
            () = sleep_until(at), if due.is_some() => true,
            Some(ended) = rounds.running.join_next() => {
                if let Some(check) = ended.ok().and_then(|id| rounds.ended(&id)) {
                    is_check_due |= check;
                    due.get_or_insert(Instant::now() + AFTER_NEWS);
                }
                false
            }
            told = news.recv() => {
                use tokio::sync::broadcast::error::RecvError;
                match told {
                    Ok(News::Entries(..) | News::Blobs(_) | News::Dropped(_) | News::Roster)
                    | Err(RecvError::Lagged(_)) => {
                        due.get_or_insert(Instant::now() + AFTER_NEWS);
                    }
                    Ok(_) => {}
                    Err(RecvError::Closed) => break,
                }
                false
            }
        };
        if !is_due {
            continue;
        }
        due = None;
        let terms = Terms {
            reach: doorway.reach(),
            cancelled: stop.clone(),
        };
        let check = std::mem::take(&mut is_check_due);
        match rounds.begin(&node, check, &terms).await {
            Ok(()) => {}
            Err(RuntimeError::Stopped) => break,
            Err(error) => tracing::warn!(%error, "depots"),
        }
    }
    stop.cancel();
    let ended = async { while rounds.running.join_next().await.is_some() {} };
    // One that a share keeps is left behind: what it has not said is said again by the next.
    let _ = timeout(FAREWELL, ended).await;
}

/// The rounds that run, one of a depot at most.
#[derive(Default)]
struct Rounds {
    running: JoinSet<[u8; 16]>,
    /// Depots with a round that runs, and whether another came due meanwhile, with a check or without.
    busy: BTreeMap<[u8; 16], Option<bool>>,
}

impl Rounds {
    /// Begins a round of each depot that has none.
    async fn begin(&mut self, node: &Node, check: bool, terms: &Terms) -> Result<(), RuntimeError> {
        let store = node.store().clone();
        let depots = node.blocking(move || all(&store)).await??;
        let now = node.clock().now().0;
        for depot in depots {
            if let Some(missed) = self.busy.get_mut(&depot.id) {
                *missed = Some(check || *missed == Some(true));
                continue;
            }
            // Reading from a bucket often costs money.
            let is_due = match &depot.place {
                Place::Folder(_) => true,
                Place::Bucket { endpoint, .. } if is_refused(endpoint, &terms.reach) => continue,
                Place::Bucket { .. } => now.abs_diff(depot.state.checked) >= DAY_MS,
            };
            self.busy.insert(depot.id, None);
            let (node, terms) = (node.clone(), terms.clone());
            self.running.spawn(async move {
                let (id, working) = (depot.id, node.clone());
                let done = node
                    .blocking(move || round(&working, &depot, check && is_due, &terms, &mut |_| {}))
                    .await;
                tell(done);
                id
            });
        }
        Ok(())
    }

    /// Forgets a round that ended; whether another is due, and with a check.
    fn ended(&mut self, id: &[u8; 16]) -> Option<bool> {
        self.busy.remove(id).flatten()
    }
}

fn tell(done: Result<Result<Round, CarryError>, RuntimeError>) {
    match done {
        Ok(Ok(round)) if round == Round::default() => {}
        Ok(Ok(round)) => tracing::info!(?round, "a depot"),
        Ok(Err(CarryError::Away)) => tracing::debug!("a depot is not in reach"),
        Ok(Err(CarryError::Runtime(RuntimeError::Stopped))) | Err(RuntimeError::Stopped) => {}
        Ok(Err(error)) => tracing::warn!(%error, "a depot"),
        Err(error) => tracing::warn!(%error, "a depot"),
    }
}
