//! One large blob on its way here, from as many peers as hold it.
//!
//! Each peer's own task asks and takes; what they share is a [`Fetch`], which
//! deals out ranges of leaves, and the file into which verified leaves go.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Instant,
};

use heirloom_protocol::{
    album::asset::BlobRef,
    crypto::LeafList,
    id::{BlobId, DeviceId},
    limits,
    sync::{
        blob::blob_bytes,
        fetch::{Fetch, Input, Output, Part},
    },
};
use tokio::sync::Notify;

use crate::store::{BlobPlace, PartialBlob, Store, StoreError};

/// Leaves of a large blob asked of one peer at a time: 4 MiB.
pub(super) const WINDOW: u32 = 64;
/// Peers that send parts of one blob: together they are asked for no more than 64 MiB.
const SOURCES: usize = 16;

/// A blob that comes leaf by leaf.
pub(super) struct Download {
    blob: BlobRef,
    shared: Mutex<Shared>,
    /// Taken when the blob is whole.
    partial: RwLock<Option<PartialBlob>>,
}

struct Shared {
    fetch: Fetch,
    sources: BTreeMap<DeviceId, Source>,
    /// The same blob under other names, wanted as well.
    names: Vec<BlobRef>,
    /// Leaves that are not in the file.
    left: u64,
    window: u32,
    /// Somebody looks at it.
    is_urgent: bool,
    is_over: bool,
}

struct Source {
    /// Wakes the task of the peer.
    wake: Arc<Notify>,
    /// What is to be asked of it.
    asks: VecDeque<(u32, Part)>,
    /// It is asked no more.
    is_out: bool,
}

/// What an event asks of whoever brought it.
#[derive(Default)]
pub(super) struct Effects {
    /// Leaves to write, verified.
    pub(super) leaves: Vec<(u32, Vec<u8>)>,
    /// A list to keep.
    pub(super) list: Option<LeafList>,
    /// The peer sent what no honest peer sends; the leaf or line is the one that it was at.
    pub(super) is_blamed: bool,
    /// Peers that do not give it.
    pub(super) lacking: Vec<DeviceId>,
}

impl Download {
    /// Goes on with what an earlier attempt left, or begins; `None` for a blob that does not come this way.
    pub(super) fn open(store: &Store, blob: BlobRef) -> Result<Option<Self>, StoreError> {
        let total = blob_bytes(&blob);
        let limit = total.div_ceil(65_536).saturating_mul(32);
        let list = store.blobs().leaves(&blob.id, limit)?;
        let list = list.and_then(|bytes| LeafList::from_bytes(blob.id, total, &bytes).ok());
        let verify = |index: u64, bytes: &[u8]| {
            list.as_ref()
                .is_some_and(|list| list.verify_leaf(index, bytes).is_ok())
        };
        let partial = store.blobs().partial(&blob.id, total, verify)?;
        let missing = partial.missing();
        let (fetch, left) = match list {
            Some(list) => {
                let mut have = roaring::RoaringBitmap::new();
                have.insert_range(0..partial.leaves());
                have -= &missing;
                (Fetch::resume(blob, WINDOW, list, &have), missing.len())
            }
            None => (Fetch::new(blob, WINDOW), u64::from(partial.leaves())),
        };
        let open = |fetch| Self {
            blob,
            shared: Mutex::new(Shared {
                fetch,
                sources: BTreeMap::new(),
                names: Vec::new(),
                left,
                window: WINDOW,
                is_urgent: false,
                is_over: false,
            }),
            partial: RwLock::new(Some(partial)),
        };
        Ok(fetch.ok().map(open))
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name under which it is asked for.
    pub(super) fn blob(&self) -> BlobRef {
        self.blob
    }

    pub(super) fn id(&self) -> BlobId {
        self.blob.id
    }

    /// Whether several peers send parts of it at once.
    pub(super) fn is_shared(&self) -> bool {
        blob_bytes(&self.blob) >= u64::from(WINDOW) * 65_536
    }

    /// Adds another name of the same blob; it is wanted no more once this one is here.
    pub(super) fn also_for(&self, blob: BlobRef) {
        let mut shared = self.shared();
        let name = |blob: &BlobRef| (blob.log, blob.ordinal);
        let known = shared.names.iter().chain([&self.blob]);
        if known.into_iter().all(|known| name(known) != name(&blob)) {
            shared.names.push(blob);
        }
    }

    /// All its names.
    pub(super) fn names(&self) -> Vec<BlobRef> {
        let mut names = self.shared().names.clone();
        names.push(self.blob);
        names
    }

    /// Whether a peer may be asked for parts of it.
    pub(super) fn is_open_to(&self, peer: &DeviceId) -> bool {
        let shared = self.shared();
        !shared.is_over
            && shared.left > 0
            && shared.sources.len() < SOURCES
            && !shared.sources.contains_key(peer)
    }

    /// Asks a peer as well; false where it is over, or the peer is asked already or no more.
    pub(super) fn join(&self, peer: DeviceId, cost: u32, wake: &Arc<Notify>) -> bool {
        let mut shared = self.shared();
        let is_known = shared.sources.contains_key(&peer);
        if shared.is_over || is_known || shared.sources.len() >= SOURCES {
            return false;
        }
        let source = Source {
            wake: wake.clone(),
            asks: VecDeque::new(),
            is_out: false,
        };
        shared.sources.insert(peer, source);
        shared.handle(Input::PeerUp { peer, cost });
        true
    }

    /// Whether a peer was asked for it and did not give it.
    pub(super) fn was_refused_by(&self, peer: &DeviceId) -> bool {
        let shared = self.shared();
        let source = shared.sources.get(peer);
        source.is_some_and(|source| source.is_out)
    }

    /// Whether it was given up.
    pub(super) fn is_over(&self) -> bool {
        self.shared().is_over
    }

    /// Asks a peer no more; true where nobody is left, and it is given up.
    pub(super) fn leave(&self, peer: DeviceId) -> bool {
        let mut shared = self.shared();
        shared.sources.remove(&peer);
        shared.handle(Input::PeerDown(peer));
        let is_left = shared.sources.values().any(|source| !source.is_out);
        if is_left || shared.left == 0 || shared.is_over {
            return false;
        }
        shared.is_over = true;
        true
    }

    /// Whether a peer still sends parts of it.
    pub(super) fn has_source(&self, peer: &DeviceId) -> bool {
        let shared = self.shared();
        let source = shared.sources.get(peer);
        !shared.is_over && shared.left > 0 && source.is_some_and(|source| !source.is_out)
    }

    /// What is to be asked of a peer now.
    pub(super) fn asks(&self, peer: &DeviceId) -> VecDeque<(u32, Part)> {
        let mut shared = self.shared();
        let source = shared.sources.get_mut(peer);
        source.map_or_else(VecDeque::new, |source| std::mem::take(&mut source.asks))
    }

    /// Takes what came, or that time has passed.
    pub(super) fn handle(&self, input: Input) -> Effects {
        self.shared().handle(input)
    }

    /// When time alone decides something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.shared().fetch.deadline()
    }

    /// Notes whether somebody looks at it.
    pub(super) fn set_urgent(&self, is_urgent: bool) {
        self.shared().is_urgent = is_urgent;
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.shared().is_urgent
    }

    /// Leaves most of the way to what somebody looks at, or takes it again.
    pub(super) fn give_way(&self, gives_way: bool) {
        let mut shared = self.shared();
        let window = if gives_way { 1 } else { WINDOW };
        if shared.window != window {
            shared.window = window;
            shared.fetch.set_window(window, Instant::now());
            // A window alone makes nothing but asks.
            shared.take();
        }
    }

    /// Writes verified leaves; true for whoever wrote the last one, who is to finish it.
    pub(super) fn write(&self, leaves: &[(u32, Vec<u8>)]) -> Result<bool, StoreError> {
        let mut written = 0;
        {
            let partial = self.partial.read().unwrap_or_else(PoisonError::into_inner);
            let Some(partial) = partial.as_ref() else {
                return Ok(false);
            };
            for (first, bytes) in leaves {
                for (index, leaf) in (*first..).zip(bytes.chunks(limits::LEAF_BYTES)) {
                    partial.write_leaf(index, leaf)?;
                    written += 1;
                }
            }
        }
        let mut shared = self.shared();
        shared.left = shared.left.saturating_sub(written);
        let is_whole = shared.left == 0 && written > 0;
        if is_whole {
            shared.wake_all();
        }
        Ok(is_whole)
    }

    /// Whether nothing was missing from the beginning.
    pub(super) fn is_whole(&self) -> bool {
        self.shared().left == 0
    }

    /// Puts the whole blob in its place. Durable when it returns.
    pub(super) fn finish(&self, store: &Store) -> Result<Option<BlobPlace>, StoreError> {
        let partial = self.partial.write();
        let partial = partial.unwrap_or_else(PoisonError::into_inner).take();
        let Some(partial) = partial else {
            return Ok(None);
        };
        let stored = partial.finish()?;
        store.blobs().sync()?;
        Ok(Some(stored.place))
    }

    /// Gives it up for now, for all that send parts of it; what came of it is kept.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        {
            // What others would still be asked for would go nowhere.
            let mut shared = self.shared();
            shared.is_over = true;
            for source in shared.sources.values_mut() {
                source.asks.clear();
            }
            shared.wake_all();
        }
        let partial = self.partial.write();
        let partial = partial.unwrap_or_else(PoisonError::into_inner).take();
        partial.map_or(Ok(()), |partial| partial.note())
    }
}

impl Shared {
    fn handle(&mut self, input: Input) -> Effects {
        self.fetch.handle(input, Instant::now());
        self.take()
    }

    fn take(&mut self) -> Effects {
        let mut effects = Effects::default();
        while let Some(output) = self.fetch.poll() {
            match output {
                Output::Ask { peer, token, part } => {
                    if let Some(source) = self.sources.get_mut(&peer) {
                        source.asks.push_back((token, part));
                        source.wake.notify_one();
                    }
                }
                Output::Listed(list) => effects.list = Some(list),
                Output::Leaves { first, bytes } => effects.leaves.push((first, bytes)),
                Output::Blame(peer) => {
                    self.put_out(&peer);
                    effects.is_blamed = true;
                }
                Output::Lacks(peer) => {
                    self.put_out(&peer);
                    effects.lacking.push(peer);
                }
                Output::Stuck | Output::Done => self.wake_all(),
            }
        }
        effects
    }

    fn put_out(&mut self, peer: &DeviceId) {
        if let Some(source) = self.sources.get_mut(peer) {
            source.asks.clear();
            source.is_out = true;
            source.wake.notify_one();
        }
    }

    fn wake_all(&self) {
        for source in self.sources.values() {
            source.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use heirloom_protocol::{
        crypto::{Class, LeafHasher, Shape},
        id::{BranchId, LogId, SpaceId},
    };

    use super::*;
    use crate::store::fs::{Change, hook};

    const LOG: LogId = LogId {
        space: SpaceId([1; 16]),
        device: DeviceId([2; 32]),
        inc: 3,
        branch: BranchId::ZERO,
    };

    /// A large blob with a name, its bytes in leaves, and their list.
    fn blob() -> (BlobRef, Vec<Vec<u8>>, LeafList) {
        let mut blob = BlobRef {
            log: LOG,
            ordinal: 0,
            part: 0,
            class: Class::Original.code(),
            id: BlobId([0; 32]),
            padded: Shape::padded(Class::Original, 0, limits::SMALL_BLOB_BYTES + 1)
                .unwrap()
                .padded_bytes(),
        };
        let total = usize::try_from(blob_bytes(&blob)).unwrap();
        let bytes: Vec<u8> = (0..total)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect();
        blob.id = BlobId(*blake3::hash(&bytes).as_bytes());
        let leaves: Vec<_> = bytes
            .chunks(limits::LEAF_BYTES)
            .map(<[u8]>::to_vec)
            .collect();
        let mut hasher = LeafHasher::new();
        for leaf in &leaves {
            hasher.update(leaf).unwrap();
        }
        (blob, leaves, hasher.finish().unwrap())
    }

    #[test]
    fn a_leaf_that_could_not_be_written_is_asked_for_again_and_nobody_sends_for_nothing() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::create(&home.path().join("home")).unwrap();
        let (blob, leaves, list) = blob();
        store.blobs().put_leaves(&blob.id, list.as_bytes()).unwrap();
        let wake = Arc::new(Notify::new());
        let first = Download::open(&store, blob).unwrap().unwrap();
        let (one, other) = (DeviceId([4; 32]), DeviceId([5; 32]));
        assert!(first.join(one, 0, &wake) && first.join(other, 0, &wake));
        assert!(!first.write(&[(0, leaves[0].clone())]).unwrap());
        let fails = |change: &Change<'_>| match change {
            Change::Write(path, 65_536, _) if path.iter().any(|part| part == "partial") => {
                Err(std::io::Error::from_raw_os_error(5))
            }
            _ => Ok(()),
        };
        let written = hook::with(fails, || first.write(&[(1, leaves[1].clone())]));
        assert!(matches!(written, Err(StoreError::Io(_))), "{written:?}");
        first.close().unwrap();
        assert!(first.is_over() && !first.is_open_to(&DeviceId([6; 32])));
        for peer in [&one, &other] {
            assert!(first.asks(peer).is_empty() && !first.has_source(peer));
        }
        assert_eq!(store.blobs().partials().unwrap(), [blob.id]);
        // Begun anew it lacks what was not written, and no more.
        let second = Download::open(&store, blob).unwrap().unwrap();
        let missing = second.partial.read().unwrap().as_ref().unwrap().missing();
        let count = u32::try_from(leaves.len()).unwrap();
        assert_eq!(
            missing.iter().collect::<Vec<_>>(),
            (1..count).collect::<Vec<_>>()
        );
        let rest = leaves[1..].concat();
        assert!(second.write(&[(1, rest)]).unwrap());
        let place = second.finish(&store).unwrap().unwrap();
        assert!(store.blobs().is_whole(&blob.id, &place).unwrap());
        assert!(store.blobs().partials().unwrap().is_empty());
    }
}
