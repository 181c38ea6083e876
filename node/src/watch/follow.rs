//! Follows the folders while the node runs.
//!
//! The system tells of changes where it can; beside that everything is looked at
//! from time to time, because network disks and full tables of watches tell
//! nothing.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    LeftOut, Watched, folders, known,
    left::{self, NoRoom},
    look::{Fresh, SETTLE, Sight},
    note,
};
use crate::{
    api::{ApiError, Doorway, listen_first},
    import::{self, Counters, Listener, Outcome, Report, Request, Target, previews},
    media::Pool,
    node::Node,
};

/// How often everything is looked at where the system tells of changes.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// The same where it does not.
const LOOK_BLIND: Duration = Duration::from_secs(30);
/// How long an import that is cancelled may take to end.
const FAREWELL: Duration = Duration::from_secs(10);
/// Files that are imported at a time, so that their pictures come along.
const AT_ONCE: usize = 256;

/// Imports what comes into the folders of a home that is set up, until `ending`.
pub(crate) async fn run(doorway: Arc<Doorway>, ending: CancellationToken) {
    let Ok(node) = doorway.node().await else {
        return;
    };
    // Raised when the list has changed, among others.
    let mut stirs = doorway.stirs();
    let mut eyes = Eyes::default();
    let stirred = eyes.stirred.clone();
    let mut sights = Sights::default();
    let left_out = doorway.left_out().clone();
    loop {
        tokio::select! {
            () = ending.cancelled() => return,
            () = listen_first(&doorway) => {}
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        let (working, work, left) = (node.clone(), cancelled.clone(), left_out.clone());
        let looking = node.blocking(move || {
            let outcome = sights.look(&working, &left, &work);
            let is_told = eyes.follow(sights.0.keys());
            (sights, eyes, outcome, is_told)
        });
        tokio::pin!(looking);
        let looked = tokio::select! {
            looked = &mut looking => looked,
            () = ending.cancelled() => {
                cancelled.store(true, Ordering::Relaxed);
                // What is being imported is brought to an end that can be gone on from; a share that
                // hangs brings nothing to an end.
                let _ = timeout(FAREWELL, looking).await;
                return;
            }
        };
        let Ok((sights_back, eyes_back, outcome, is_told)) = looked else {
            return;
        };
        (sights, eyes) = (sights_back, eyes_back);
        let at = Instant::now();
        let looked = outcome.unwrap_or_else(|error| {
            tracing::warn!(id = error.id, "following folders");
            Looked::default()
        });
        let wait = match (looked.is_growing, is_told) {
            (true, _) => SETTLE,
            (false, true) => LOOK_EVERY,
            (false, false) => LOOK_BLIND,
        };
        tokio::select! {
            () = ending.cancelled() => return,
            () = sleep_until(at + wait) => {}
            () = left::has_come(node.store(), looked.no_room) => {}
            () = stirred.notified() => sleep_until(at + SETTLE).await,
            changed = stirs.changed() => if changed.is_err() { return },
        }
    }
}

/// What the system tells of.
#[derive(Default)]
struct Eyes {
    stirred: Arc<Notify>,
    /// With the folders that it watches.
    watcher: Option<(RecommendedWatcher, Vec<PathBuf>)>,
}

impl Eyes {
    /// Has the system tell of changes in these folders; whether it does for all of them. Blocks.
    fn follow<'a>(&mut self, dirs: impl Iterator<Item = &'a PathBuf>) -> bool {
        let dirs: Vec<PathBuf> = dirs.filter(|dir| dir.is_dir()).cloned().collect();
        if let Some((_, watched)) = &self.watcher
            && *watched == dirs
        {
            return true;
        }
        self.watcher = None;
        if dirs.is_empty() {
            return false;
        }
        let stirred = self.stirred.clone();
        let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| is_change(&event.kind)) {
                stirred.notify_one();
            }
        });
        let watching = made.and_then(|mut watcher| {
            for dir in &dirs {
                watcher.watch(dir, RecursiveMode::Recursive)?;
            }
            Ok(watcher)
        });
        match watching {
            Ok(watcher) => {
                self.watcher = Some((watcher, dirs));
                true
            }
            Err(error) => {
                tracing::info!(kind = ?error.kind, "changes in folders are not told: they are looked at instead");
                false
            }
        }
    }
}

/// Whether something was written; being looked at by this program is nothing.
fn is_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(access) => *access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Each folder with what is known of it.
#[derive(Default)]
struct Sights(BTreeMap<PathBuf, (Watched, Sight)>);

/// What a look at all folders comes to.
#[derive(Default)]
struct Looked {
    /// Some files are not complete: look again soon.
    is_growing: bool,
    /// Some found no room on the disk.
    no_room: Option<NoRoom>,
}

impl Sights {
    /// Looks at every folder and imports what is new. Blocks.
    fn look(
        &mut self,
        node: &Node,
        left_out: &LeftOut,
        cancelled: &Arc<AtomicBool>,
    ) -> Result<Looked, ApiError> {
        let folders = folders(node.store())?;
        self.0
            .retain(|_, (watched, _)| folders.iter().any(|folder| folder == watched));
        let mut looked = Looked::default();
        let mut left = BTreeMap::new();
        for folder in folders {
            if !self.0.contains_key(&folder.dir) {
                let known = known(node.store(), &folder)?;
                let sight = Sight::new(known);
                self.0.insert(folder.dir.clone(), (folder.clone(), sight));
            }
            let Some((_, sight)) = self.0.get_mut(&folder.dir) else {
                continue;
            };
            let now = std::time::Instant::now();
            let found = sight.look(&folder.dir, node.store().home(), now);
            looked.is_growing |= found.is_growing;
            note(node.store(), &folder, Vec::new(), &found.gone)?;
            for some in found.fresh.chunks(AT_ONCE) {
                if cancelled.load(Ordering::Relaxed) {
                    return Ok(Looked::default());
                }
                let was = left::room(node.store());
                // A folder whose album takes nothing does not keep the others waiting.
                let Err(error) = take(node, &folder, sight, some, cancelled) else {
                    continue;
                };
                tracing::warn!(id = error.id, "a followed folder is not imported");
                let all = found.fresh.iter();
                let rest: Vec<_> = all.filter(|fresh| !sight.has_tried(fresh)).collect();
                if error.id == "E-DISK-FULL" && !rest.is_empty() {
                    // What is freed from here on counts.
                    let was = was.min(left::room(node.store()));
                    let files = rest.iter().map(|fresh| &*fresh.path);
                    let no_room = NoRoom::of(was, files);
                    looked.no_room = Some(no_room.or(looked.no_room));
                    left.insert(folder.dir.clone(), rest.len());
                }
                break;
            }
        }
        left_out.set(left);
        Ok(looked)
    }
}

/// Imports files and remembers those that were dealt with.
fn take(
    node: &Node,
    folder: &Watched,
    sight: &mut Sight,
    fresh: &[Fresh],
    cancelled: &Arc<AtomicBool>,
) -> Result<(), ApiError> {
    let view = node.ask_blocking(|runtime| runtime.view())?;
    if !view.albums.contains_key(&folder.album()) {
        return Err(ApiError::not_found("album for a followed folder"));
    }
    let request = Request {
        paths: fresh.iter().map(|fresh| fresh.path.clone()).collect(),
        leave_out: None,
        target: Target::Album(folder.album()),
        titled: false,
        archives: false,
        since: None,
        dry_run: false,
        restore: false,
        seen_first: 0,
    };
    let (program, args) = node.options().worker.clone();
    let pool = Arc::new(Pool::new(program, args, 0));
    let told = Told::default();
    let due = import::run(node, pool.clone(), &request, cancelled, &told);
    let told = told.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut states = Vec::new();
    for fresh in fresh {
        match told.done.get(&fresh.path) {
            Some(Outcome::Failed) => sight.put_off(fresh, std::time::Instant::now()),
            Some(_) => {
                sight.done(fresh);
                states.push((fresh.name, fresh.state));
            }
            None => {}
        }
    }
    note(node.store(), folder, states, &[])?;
    if told.added > 0 {
        tracing::info!(added = told.added, "files came into a followed folder");
    }
    previews::make(node, &pool, due?, cancelled, || {})
}

/// What an import told.
#[derive(Default)]
struct Told(Mutex<Tally>);

#[derive(Default)]
struct Tally {
    added: u32,
    done: HashMap<PathBuf, Outcome>,
}

impl Listener for Told {
    fn file(&self, report: Report) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.added += u32::from(matches!(report.outcome, Outcome::Added | Outcome::Paired));
        tally.done.insert(report.path, report.outcome);
    }

    fn progress(&self, _: &Counters) {}
}
