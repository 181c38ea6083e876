//! Bringing photos and movies into the family: from a path to an asset that is durable.
//!
//! ```text
//! walk -> [ hash, known? metadata, encrypt ] x cores -> batch of 64 -> blobs synced -> entry committed -> told
//!                                                                                  '-> previews, in the background
//! ```
//!
//! Every queue is bounded and files are read in pieces, so memory does not grow
//! with what is imported. A file is told as added only when its entry is
//! durable, and as present only when its bytes are safe without it (`known.rs`).
//! Interrupted at any point, the next import goes on: what is here is found by
//! content. What sidecars beside a file say of it goes with it (`sidecar`).

mod albums;
mod archive;
mod batch;
mod deleted;
mod encrypt;
mod known;
pub mod metadata;
pub(crate) mod pictures;
mod prepare;
pub mod previews;
mod reuse;
mod scan;
pub mod sidecar;
mod tried;

pub(crate) use self::albums::unmade;

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
};

use heirloom_protocol::{
    id::{AlbumId, OpId, PlainHash},
    op::Op,
};

pub(crate) use self::archive::files_of as files_in_archive;
use self::{
    albums::Aim,
    batch::Batcher,
    prepare::{Again, Photo},
    scan::Found,
};
use crate::{
    api::ApiError,
    media::Pool,
    node::Node,
    runtime::{AssetKey, RuntimeError},
};

/// Files that wait between two stages.
const QUEUE: usize = 64;

/// What is to be imported, and where to.
#[derive(Clone, Debug)]
pub struct Request {
    /// Files and folders, absolute.
    pub paths: Vec<PathBuf>,
    /// A folder that is left out wherever it is met: the home, by its real path.
    pub leave_out: Option<PathBuf>,
    /// The album.
    pub target: Target,
    /// Albums that sidecars name are made, or used where nobody else sees them.
    pub titled: bool,
    /// Archives are opened.
    pub archives: bool,
    /// Only files changed since then, Unix milliseconds.
    pub since: Option<i64>,
    /// Only say what would happen.
    pub dry_run: bool,
    /// Bring back what was deleted, instead of leaving it so.
    pub restore: bool,
    /// Of how many that are added pictures are made at once, before the rest is read: so that there is something to
    /// see while thousands are still to come.
    pub seen_first: usize,
}

/// Where photos go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// One album.
    Album(AlbumId),
    /// An album for each folder, by its name.
    PerFolder,
}

/// What became of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is a new asset.
    Added,
    /// The album has its content already, and its bytes are on this device or proved on an archive.
    Present,
    /// The album had it and its original was damaged or missing: it is whole again.
    PutBack,
    /// The album had its content in the trash, and it was brought back.
    Restored,
    /// The album has its content in the trash, where it stays.
    Trashed,
    /// The same, and this person may not bring it back.
    OutOfReach,
    /// It became a part of an asset.
    Paired,
    /// It is no photo or movie.
    Skipped,
    /// It was deleted for good, and stays so.
    Purged,
    /// It is no photo either: it says something of one.
    Sidecar,
    /// It is an archive, whose files have lines of their own.
    Opened,
    /// It could not be read, or changed meanwhile.
    Failed,
}

impl Outcome {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Present | Self::PutBack | Self::Restored | Self::Trashed | Self::OutOfReach => {
                "present"
            }
            Self::Paired => "paired",
            Self::Skipped | Self::Purged | Self::Sidecar | Self::Opened => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// One file's line.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// What became of it.
    pub outcome: Outcome,
    /// The asset.
    pub asset: Option<OpId>,
    /// Why.
    pub reason: Option<String>,
    /// Its length.
    pub bytes: u64,
}

impl Report {
    fn refused(path: PathBuf, outcome: Outcome, reason: impl Into<String>) -> Self {
        Self {
            path,
            outcome,
            asset: None,
            reason: Some(reason.into()),
            bytes: 0,
        }
    }
}

/// How far an import is.
#[derive(Debug, Default)]
pub struct Counters {
    /// Files found so far.
    pub found: AtomicU64,
    /// Bytes found so far.
    pub found_bytes: AtomicU64,
    /// Files done.
    pub done: AtomicU64,
    /// Bytes done.
    pub done_bytes: AtomicU64,
}

/// What an import tells as it goes.
pub trait Listener: Sync {
    /// A file is done; what is told as added is durable.
    fn file(&self, report: Report);
    /// Something moved.
    fn progress(&self, counters: &Counters);
    /// A file would be added, where that is only to be said.
    fn planned(&self, _plan: Plan) {}
}

/// What would be added.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to; of an album that would be made, what stands for it.
    pub album: AlbumId,
    /// What such an album would be called.
    pub name: Option<String>,
    /// Its content.
    pub hash: PlainHash,
    /// Its length.
    pub bytes: u64,
}

/// What the stages share.
struct Shared<'a> {
    node: &'a Node,
    pool: Arc<Pool>,
    request: &'a Request,
    albums: Mutex<BTreeMap<String, Aim>>,
    in_work: Mutex<HashSet<(AlbumId, PlainHash)>>,
    counters: Counters,
    cancelled: &'a AtomicBool,
    /// Nothing more can be recorded.
    has_ended: AtomicBool,
    listener: &'a dyn Listener,
}

impl Shared<'_> {
    fn report(&self, report: Report) {
        self.counters.done.fetch_add(1, Ordering::Relaxed);
        self.counters
            .done_bytes
            .fetch_add(report.bytes, Ordering::Relaxed);
        self.listener.file(report);
        self.listener.progress(&self.counters);
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.has_ended.load(Ordering::Relaxed)
    }

    fn in_work(&self) -> MutexGuard<'_, HashSet<(AlbumId, PlainHash)>> {
        self.in_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What goes from the preparing stage to the batching one.
enum Ready {
    /// A photo with its blob written, not yet durable.
    Photo(Box<Photo>),
    /// The missing original of an item, written again and not yet durable.
    Again(Box<Again>),
    /// The same content is being added by another file: to be told once that one is recorded.
    Twin {
        path: PathBuf,
        album: AlbumId,
        hash: PlainHash,
        bytes: u64,
    },
    /// It lies in the album's trash and is to come back.
    Restore {
        path: PathBuf,
        key: AssetKey,
        bytes: u64,
    },
    /// It is here, and a sidecar says of it what nobody has said so far.
    Known {
        album: AlbumId,
        ops: Vec<Op>,
        report: Report,
    },
    /// Nothing to record.
    Told(Report),
    /// The disk of the home takes nothing more.
    Ended(RuntimeError),
}

/// Imports; returns when everything that was added is durable. Blocks.
///
/// A home whose disk is full or fails ends it with an error after telling what is
/// safe; one bad file does not.
///
/// # Errors
///
/// [`ApiError`] when nothing more can be added.
pub fn run(
    node: &Node,
    pool: Arc<Pool>,
    request: &Request,
    cancelled: &AtomicBool,
    listener: &dyn Listener,
) -> Result<Vec<previews::Due>, ApiError> {
    let shared = Shared {
        node,
        pool,
        request,
        albums: Mutex::default(),
        in_work: Mutex::default(),
        counters: Counters::default(),
        cancelled,
        has_ended: AtomicBool::new(false),
        listener,
    };
    let (found, to_prepare) = mpsc::sync_channel::<Found>(QUEUE);
    let to_prepare = Mutex::new(to_prepare);
    let (ready, to_record) = mpsc::sync_channel::<Ready>(QUEUE);
    let workers = shared.pool.workers().max(1);
    std::thread::scope(|scope| {
        let (shared, told) = (&shared, ready.clone());
        scope.spawn(move || {
            if let Err(error) = scan::walk(shared, &found) {
                // Whoever records may have come to an end already.
                let _ = told.send(Ready::Ended(error.into()));
            }
        });
        for _ in 0..workers {
            let ready = ready.clone();
            let to_prepare = &to_prepare;
            scope.spawn(move || {
                loop {
                    let next = to_prepare
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .recv();
                    let Ok(found) = next else { return };
                    if shared.is_cancelled() {
                        continue;
                    }
                    let prepared = prepare::prepare(shared, found);
                    if ready.send(prepared).is_err() {
                        return;
                    }
                }
            });
        }
        drop(ready);
        let recorded = Batcher::new(shared).run(&to_record);
        if recorded.is_err() {
            // The stages before still send: let them come to their end without doing more.
            shared.has_ended.store(true, Ordering::Relaxed);
            while to_record.recv().is_ok() {}
        }
        recorded
    })
}
