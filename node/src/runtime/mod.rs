//! The one place where things change: a thread that owns the replica and writes the store.
//!
//! Everybody else holds a [`Node`](crate::node::Node) and sends it work. The thread
//! takes one piece at a time, in order; local work and remote work wait in the
//! same bounded queue. Nothing here waits for the network.

mod accept;
mod account;
mod admit;
mod ahead;
mod album;
mod anew;
mod asset;
mod audit;
mod blame;
mod blobs;
mod carry;
mod claims;
mod collect;
mod commit;
mod days;
mod drops;
mod ended;
mod fork;
mod found;
mod gone;
mod gossip;
mod heal;
mod hold;
mod judge;
mod keepers;
mod left;
mod load;
mod missed;
mod names;
pub(crate) mod needed;
mod odd;
mod owed;
mod past;
mod rebuild;
mod seen;
mod settled;
mod sync;
#[cfg(test)]
mod tests;
mod trash;
mod used;
mod view;
mod words;
mod write;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use heirloom_protocol::{
    crypto::{DeviceKeys, Purpose, SeededRng},
    id::{AlbumId, DeviceId, LogId, PlainHash, SpaceId},
    replica::{Replica, WriteError},
    sync::{have::PeerHaves, message::Gossip, session::News as EntryNews, want::Want},
};
use roaring::RoaringBitmap;
use tokio::sync::{broadcast, mpsc};
use zeroize::Zeroizing;

use crate::{
    clock::Clock,
    store::{Damage, Store, StoreError},
};

pub use self::{
    accept::Verdict,
    account::{Bounds, Stored, Sum},
    album::AlbumRow,
    asset::{AssetKey, BlobHere},
    audit::Audit,
    blame::Blame,
    blobs::{Served, name_of},
    carry::{CarriedLog, CarriedSpace, Reference, Scope, Standing, Taken},
    collect::Due,
    ended::EndedAlbum,
    gone::{Burst, Gone, bursts, gone},
    gossip::{FULL_BYTES, Greeting, Lore, Passed, Said},
    left::Left,
    load::Identity,
    names::BlobNames,
    past::Past,
    seen::last_seen,
    settled::COPIES_MAX,
    sync::{Peers, Step},
    view::{People, SeenAlbum, View},
    write::system_rng,
};
pub(crate) use self::{
    account::bytes,
    admit::Handed,
    anew::{unnamed, waits_for_others},
    asset::{decode as decode_asset, items_with},
    audit::Challenge,
    days::kept_since,
    ended::{forget_taken, taken},
    gossip::is_beacon,
    heal::{Kept, damaged},
    hold::Leaving,
    missed::{Missed, Missing, is_noted, noted},
    odd::Clocks,
    seen::{Met, came_in, met, note_came_in, note_met, note_seen, note_turned_away, turned_away},
    settled::{confirm_kit, confirmed_kit, want_copies},
    used::{forget_used, note_used, used},
};

/// Why the runtime did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored could not be read again after a write that failed. Until it can be, nobody is told what is here.
    #[error(transparent)]
    Unread(StoreError),
    /// The family's rules say no.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    NoRandomness,
    /// The thread has ended.
    #[error("the node has stopped")]
    Stopped,
}

/// Something that changed, for whoever shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// Who belongs, or a name.
    Roster,
    /// Entries were committed, from a peer or by this device.
    Entries(Option<DeviceId>, Vec<EntryNews>),
    /// Rows of assets changed.
    Assets(Vec<AssetKey>),
    /// All rows of an album were made again.
    Rebuilt(AlbumId),
    /// Blobs of a log arrived.
    Blobs(BTreeMap<LogId, RoaringBitmap>),
    /// References to blobs ended: they are served no more.
    Dropped(BTreeMap<LogId, RoaringBitmap>),
    /// A log of a space forked: blobs in it have other names now.
    Renamed(SpaceId),
    /// A peer's news changed what is known of copies.
    Peers,
    /// A device passed on what another one signed, and others have not heard it.
    Gossip(DeviceId, Gossip),
    /// A device signed a time that is not the one here: it is to hear what the time is here.
    OddClock(DeviceId),
}

/// What the thread owns.
pub struct Runtime {
    store: Store,
    clock: Clock,
    keys: Arc<DeviceKeys>,
    replica: Replica,
    albums: BTreeMap<AlbumId, AlbumRow>,
    peers: Peers,
    claims: claims::Claims,
    want: Want,
    /// Albums that this person may read no more: nothing of them is wanted but what others owe.
    ended: BTreeSet<AlbumId>,
    /// What others promised to keep for this person and may not claim to this device.
    owed: PeerHaves,
    sessions: BTreeMap<DeviceId, sync::Slot>,
    news: Vec<News>,
    drawn: u64,
    drops: drops::Drops,
    holds: hold::Holds,
    /// Which blobs are originals, as far as anybody asked.
    originals: BTreeMap<LogId, RoaringBitmap>,
    said: BTreeMap<DeviceId, Said>,
    /// Beacons signed since this node started.
    beacons: u64,
    /// Whether this device relays for the family.
    relays: bool,
    /// Connected devices over whose way only previews are got.
    costly: BTreeSet<DeviceId>,
    /// Memory does not agree with the disk, and making it agree has failed.
    is_stale: bool,
    /// The store was read once.
    is_filled: bool,
    /// Entries whose records are damaged, under the names they are kept by.
    broken: BTreeSet<(LogId, u32)>,
    missed: missed::Missed,
    /// Damage that was met while a peer's question was answered.
    met: RefCell<Vec<Damage>>,
    account: account::Account,
    /// Whether entries of a forked log came that this device has not vouched for.
    has_unvouched: bool,
}

/// Work for the thread.
pub(crate) type Work = Box<dyn FnOnce(Result<&mut Runtime, RuntimeError>) + Send>;

/// Most pieces of work that wait.
const QUEUE: usize = 256;
/// Most pieces of news that wait for a slow listener, who then looks at everything.
const NEWS: usize = 1024;

/// The queue to the runtime and what it tells.
#[derive(Clone)]
pub(crate) struct Line {
    work: mpsc::Sender<Work>,
    news: broadcast::Sender<News>,
}

impl Line {
    /// Has the runtime do something and gives its answer.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Runtime) -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let work: Work = Box::new(move |runtime| {
            // Nobody waits any more when the caller has gone; the work is done all the same.
            let _ = tell.send(runtime.map(work));
        });
        self.work
            .send(work)
            .await
            .map_err(|_| RuntimeError::Stopped)?;
        told.await.map_err(|_| RuntimeError::Stopped)?
    }

    /// The same from a thread that may block.
    pub(crate) fn ask_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Runtime) -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let work: Work = Box::new(move |runtime| {
            let _ = tell.send(runtime.map(work));
        });
        self.work
            .blocking_send(work)
            .map_err(|_| RuntimeError::Stopped)?;
        told.recv().map_err(|_| RuntimeError::Stopped)?
    }

    /// What changes from now on.
    pub(crate) fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }
}

fn line() -> (Line, mpsc::Receiver<Work>) {
    let (work, queue) = mpsc::channel(QUEUE);
    let news = broadcast::Sender::new(NEWS);
    (Line { work, news }, queue)
}

/// Starts the thread. It ends, and the home is free, when every handle is dropped.
pub(crate) fn start(runtime: Runtime) -> Result<Line, std::io::Error> {
    let (line, queue) = line();
    let news = line.news.clone();
    std::thread::Builder::new()
        .name("runtime".into())
        .spawn(move || run(runtime, queue, &news))?;
    Ok(line)
}

fn run(mut runtime: Runtime, mut queue: mpsc::Receiver<Work>, news: &broadcast::Sender<News>) {
    while let Some(work) = queue.blocking_recv() {
        if runtime.is_stale
            && let Err(error) = runtime.reload()
        {
            tracing::error!(%error, "the store cannot be read again");
            // Whoever asked hears why, instead of half of what is here. The node has not stopped: who hears that
            // asks no more, and the disk may do what it should at the next try.
            work(Err(error));
            continue;
        }
        work(Ok(&mut runtime));
        for told in std::mem::take(&mut runtime.news) {
            // Nobody may be listening.
            let _ = news.send(told);
        }
    }
}

impl Runtime {
    /// What this device reads the time from.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Fresh randomness, hedged against a system that repeats itself.
    pub fn rng(&mut self) -> Result<SeededRng, RuntimeError> {
        let mut random = Zeroizing::new([0; 32]);
        getrandom::fill(random.as_mut()).map_err(|_| RuntimeError::NoRandomness)?;
        self.drawn = self.drawn.wrapping_add(1);
        let mut position = self.drawn.to_be_bytes().to_vec();
        position.extend_from_slice(&self.now().0.to_be_bytes());
        let seed = self
            .keys
            .hedge(Purpose::RandomId, &random, &PlainHash::ZERO, &position);
        Ok(SeededRng::from_seed(seed))
    }

    /// The family as this device knows it.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The disk.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// This device.
    pub fn device(&self) -> DeviceId {
        self.keys.device_id()
    }

    /// This device's keys.
    pub fn keys(&self) -> &Arc<DeviceKeys> {
        &self.keys
    }
}
