//! Files that are whole, on their way into an album: at once, when their batch is idle, at the end, or again.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex as StdMutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use heirloom_protocol::id::AlbumId;
use serde_json::{Value, json};
use tokio::{
    sync::{Mutex, broadcast, oneshot},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    super::{Gallery, refusal::Refusal},
    arrived::{Arrivals, Whole},
};
use crate::{
    api,
    import::{self, Counters, Listener, Outcome, Report, Request, Target, previews},
    media::Pool,
    node::Node,
};

/// Batches that are remembered, and lines of each.
const BATCHES: usize = 32;
const LINES: usize = 20_000;
/// Files that are imported in one go.
const TOGETHER: usize = 64;
/// After this many idle times what could not be imported is tried again.
const AGAIN_AFTER: u32 = 20;
/// How long imports may take once the gallery is told to end; what is left is imported at its next start.
const AT_THE_END: Duration = Duration::from_secs(20);

/// A file that waits to be imported. Dropping it leaves it on disk.
pub(super) struct Waiting {
    pub(super) whole: Whole,
    pub(super) reply: Option<oneshot::Sender<Value>>,
    /// Whether it could not be imported before.
    pub(super) has_failed: bool,
}

/// What became of the files that were added together.
pub(super) struct Batch {
    /// Files that are coming at this moment.
    coming: usize,
    queue: Vec<Waiting>,
    movies: Vec<Waiting>,
    /// Files that are being imported.
    in_work: usize,
    pub(super) lines: Vec<Value>,
    counts: BTreeMap<&'static str, u64>,
    received: u64,
    is_done: bool,
    /// When the last file came.
    touched: Instant,
}

impl Batch {
    fn new() -> Self {
        Self {
            coming: 0,
            queue: Vec::new(),
            movies: Vec::new(),
            in_work: 0,
            lines: Vec::new(),
            counts: BTreeMap::new(),
            received: 0,
            is_done: false,
            touched: Instant::now(),
        }
    }

    fn waiting(&self) -> usize {
        self.queue.len() + self.movies.len() + self.in_work
    }

    /// Whether nothing of it is under way.
    fn is_over(&self) -> bool {
        self.is_done && self.coming == 0 && self.waiting() == 0
    }

    pub(super) fn summary(&self, id: &str) -> Value {
        let count = |word| self.counts.get(word).copied().unwrap_or(0);
        json!({
            "batch": id, "done": self.is_done, "received": self.received,
            "waiting": self.waiting(),
            "added": count("added"), "present": count("present"), "paired": count("paired"),
            "skipped": count("skipped"), "failed": count("failed"),
        })
    }

    fn enter(&mut self, file: Waiting, after_all: bool) {
        self.received += 1;
        self.is_done = false;
        self.touched = Instant::now();
        match after_all {
            true => self.movies.push(file),
            false => self.queue.push(file),
        }
    }

    fn release(&mut self) {
        self.queue.append(&mut self.movies);
    }

    fn note(&mut self, word: &'static str, line: &Value, has_failed: bool) {
        let failed = word == Outcome::Failed.word();
        if has_failed && failed {
            return;
        }
        if has_failed && let Some(count) = self.counts.get_mut(Outcome::Failed.word()) {
            *count = count.saturating_sub(1);
        }
        *self.counts.entry(word).or_default() += 1;
        if self.lines.len() < LINES {
            self.lines.push(line.clone());
        }
    }
}

/// What uploads share.
struct Desk {
    batches: Vec<(String, Batch)>,
    /// What could not be imported, and what an earlier run of the node left.
    again: Vec<Waiting>,
    again_at: Instant,
}

impl Desk {
    fn batch(&mut self, id: &str) -> Option<&mut Batch> {
        let found = self.batches.iter_mut().find(|(known, _)| known == id);
        found.map(|(_, batch)| batch)
    }

    /// The batch of that name, made where there is room for one more. One that is under way is never forgotten.
    fn room(&mut self, id: &str) -> Option<&mut Batch> {
        if !self.batches.iter().any(|(known, _)| known == id) {
            if self.batches.len() >= BATCHES {
                let over = self.batches.iter().position(|(_, batch)| batch.is_over());
                self.batches.remove(over?);
            }
            self.batches.push((id.to_owned(), Batch::new()));
        }
        self.batch(id)
    }
}

/// Uploads of one home.
pub(in super::super) struct Uploads {
    pub(super) arrivals: Arrivals,
    desk: Arc<StdMutex<Desk>>,
    /// One import at a time.
    turn: Arc<Mutex<()>>,
    /// Ends the import that runs, and lets no other begin.
    is_over: Arc<AtomicBool>,
    told: broadcast::Sender<Value>,
}

fn lock(desk: &StdMutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Uploads {
    /// Removes what came in part before a crash, and takes up what came whole: [`tend`] imports it.
    ///
    /// # Errors
    ///
    /// When something cannot be removed: plaintext must not stay.
    pub(in super::super) fn open(home: &Path) -> io::Result<Self> {
        let arrivals = Arrivals::of(home);
        let left = arrivals.tidy()?;
        let again = left.into_iter().map(|whole| Waiting {
            whole,
            reply: None,
            has_failed: false,
        });
        let desk = Desk {
            batches: Vec::new(),
            again: again.collect(),
            again_at: Instant::now(),
        };
        Ok(Self {
            arrivals,
            desk: Arc::new(StdMutex::new(desk)),
            turn: Arc::default(),
            is_over: Arc::default(),
            told: broadcast::Sender::new(256),
        })
    }

    /// Imports what is here while there is time, and forgets the rest, which stays for the next start.
    pub(in super::super) async fn end(&self, gallery: &Gallery) {
        if let Ok(node) = gallery.0.doorway.node().await {
            let gallery = gallery.clone();
            let mut work = tokio::spawn(async move { import_all(&gallery, node).await });
            if timeout(AT_THE_END, &mut work).await.is_err() {
                self.is_over.store(true, Ordering::Relaxed);
                // It ends with the file that it is at.
                let _ = work.await;
            }
        }
        self.is_over.store(true, Ordering::Relaxed);
        let _turn = self.turn.lock().await;
        *lock(&self.desk) = Desk {
            batches: Vec::new(),
            again: Vec::new(),
            again_at: Instant::now(),
        };
        if let Err(error) = self.arrivals.tidy() {
            tracing::warn!(kind = ?error.kind(), "uploads stay behind");
        }
    }

    /// What is imported from now on.
    pub(in super::super) fn told(&self) -> broadcast::Receiver<Value> {
        self.told.subscribe()
    }

    /// Tells who looks of something else that is added.
    pub(in super::super) fn tell(&self, told: Value) {
        let _ = self.told.send(told);
    }

    /// How many files could not be imported; they are kept and tried again.
    pub(in super::super) fn stuck(&self) -> usize {
        let desk = lock(&self.desk);
        desk.again.iter().filter(|file| file.has_failed).count()
    }

    /// All batches, oldest first.
    pub(super) fn batches<T>(&self, mut tell: impl FnMut(&str, &Batch) -> T) -> Vec<T> {
        let desk = lock(&self.desk);
        let all = desk.batches.iter();
        all.map(|(id, batch)| tell(id, batch)).collect()
    }

    /// Marks a batch as done and gives all of its lines, with a summary behind them.
    pub(super) fn close(&self, id: &str) -> (Vec<Value>, Value) {
        let mut desk = lock(&self.desk);
        let Some(batch) = desk.batch(id) else {
            return (Vec::new(), Batch::new().summary(id));
        };
        batch.is_done = true;
        (batch.lines.clone(), batch.summary(id))
    }

    fn release(&self, id: &str) {
        if let Some(batch) = lock(&self.desk).batch(id) {
            batch.release();
        }
    }

    /// Batches that nobody finished and into which nothing has come for a while.
    fn idle(&self, idle: Duration) -> Vec<String> {
        let desk = lock(&self.desk);
        let found = desk.batches.iter().filter(|(_, batch)| {
            !batch.is_done && batch.coming == 0 && batch.touched.elapsed() >= idle
        });
        found.map(|(id, _)| id.clone()).collect()
    }

    /// What is to be tried again now.
    fn again(&self, after: Duration) -> Vec<Waiting> {
        let mut desk = lock(&self.desk);
        if desk.again_at > Instant::now() {
            return Vec::new();
        }
        desk.again_at = Instant::now() + after;
        std::mem::take(&mut desk.again)
    }

    /// Puts files that wait from before into their batches, and gives the names of these.
    fn resume(&self, files: Vec<Waiting>) -> BTreeSet<String> {
        let mut desk = lock(&self.desk);
        let mut names = BTreeSet::new();
        for file in files {
            let id = file.whole.said.batch.clone();
            match desk.room(&id) {
                Some(batch) => {
                    batch.received += u64::from(!file.has_failed);
                    batch.queue.push(file);
                    names.insert(id);
                }
                None => desk.again.push(file),
            }
        }
        names
    }
}

/// A file of a batch that is coming: meanwhile the batch is not idle.
pub(super) struct Coming {
    gallery: Gallery,
    id: String,
}

impl Coming {
    /// Opens a batch, or goes on with it.
    ///
    /// # Errors
    ///
    /// Too many batches that are under way.
    pub(super) fn begin(gallery: &Gallery, id: &str) -> Result<Self, Refusal> {
        let mut desk = lock(&gallery.0.uploads.desk);
        let batch = desk.room(id).ok_or_else(Refusal::busy)?;
        batch.coming += 1;
        Ok(Self {
            gallery: gallery.clone(),
            id: id.to_owned(),
        })
    }

    /// It is whole, and is imported with the others of its batch; with `after_all` when all are there.
    pub(super) fn end(self, file: Waiting, after_all: bool) {
        if let Some(batch) = lock(&self.gallery.0.uploads.desk).batch(&self.id) {
            batch.enter(file, after_all);
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut desk = lock(&self.gallery.0.uploads.desk);
        let Some(batch) = desk.batch(&self.id) else {
            return;
        };
        batch.coming = batch.coming.saturating_sub(1);
        batch.touched = Instant::now();
        if batch.received == 0 && batch.coming == 0 && batch.waiting() == 0 {
            desk.batches.retain(|(id, _)| *id != self.id);
        }
    }
}

/// Imports what nobody came back for, until the gallery ends.
pub(in super::super) async fn tend(gallery: Gallery) {
    let (uploads, idle) = (&gallery.0.uploads, gallery.0.idle);
    let mut tick = interval((idle / 4).max(Duration::from_millis(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = gallery.0.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let Ok(node) = gallery.0.doorway.node().await else {
            continue;
        };
        let mut due = uploads.resume(uploads.again(idle * AGAIN_AFTER));
        due.extend(uploads.idle(idle));
        for id in due {
            let work = tokio::spawn(finish(gallery.clone(), node.clone(), id));
            tokio::select! {
                () = gallery.0.stop.cancelled() => return,
                _ = work => {}
            }
        }
    }
}

/// Imports everything of a batch and tells who looks that it is done.
pub(super) async fn finish(gallery: Gallery, node: Node, id: String) {
    let uploads = &gallery.0.uploads;
    uploads.release(&id);
    run(gallery.clone(), node, id.clone()).await;
    let told = {
        let mut desk = lock(&uploads.desk);
        let batch = desk.batch(&id);
        // More may have come meanwhile.
        let ended = batch.filter(|batch| batch.coming == 0 && batch.waiting() == 0);
        ended.map(|batch| {
            batch.is_done = true;
            batch.summary(&id)
        })
    };
    if let Some(told) = told {
        let _ = uploads.told.send(told);
    }
}

async fn import_all(gallery: &Gallery, node: Node) {
    let uploads = &gallery.0.uploads;
    let mut ids: BTreeSet<String> = uploads.batches(|id, _| id.to_owned()).into_iter().collect();
    // What an earlier run left and nobody has looked at yet; what failed has had its try.
    let fresh = {
        let mut desk = lock(&uploads.desk);
        let (fresh, failed) = std::mem::take(&mut desk.again)
            .into_iter()
            .partition(|file| !file.has_failed);
        desk.again = failed;
        fresh
    };
    ids.extend(uploads.resume(fresh));
    for id in ids {
        uploads.release(&id);
        run(gallery.clone(), node.clone(), id).await;
    }
}

/// The album that a file was sent for, or this person's library where that album takes nothing any more.
async fn album_of(node: &Node, said: &str) -> Option<AlbumId> {
    let view = node.view().await.ok()?;
    let named = api::album_to_add_to(&view, Some(said));
    named.or_else(|_| api::album_to_add_to(&view, None)).ok()
}

/// Imports what waits in a batch until nothing does.
pub(super) async fn run(gallery: Gallery, node: Node, id: String) {
    let uploads = &gallery.0.uploads;
    let _turn = uploads.turn.clone().lock_owned().await;
    while !uploads.is_over.load(Ordering::Relaxed) {
        let taken = {
            let mut desk = lock(&uploads.desk);
            let Some(batch) = desk.batch(&id) else {
                return;
            };
            let count = batch.queue.len().min(TOGETHER);
            batch.in_work = count;
            batch.queue.drain(..count).collect::<Vec<_>>()
        };
        if taken.is_empty() {
            return;
        }
        let mut albums: BTreeMap<String, Vec<Waiting>> = BTreeMap::new();
        for file in taken {
            let album = file.whole.said.album.clone();
            albums.entry(album).or_default().push(file);
        }
        for (album, files) in albums {
            let sink = Sink {
                batch: id.clone(),
                desk: uploads.desk.clone(),
                told: uploads.told.clone(),
                files: StdMutex::new(files),
            };
            let (album, worker) = (album_of(&node, &album).await, node.clone());
            let is_over = uploads.is_over.clone();
            let done = node.blocking(move || sink.import(&worker, album, &is_over));
            if done.await.is_err() {
                tracing::warn!("an import did not come to its end");
            }
        }
    }
}

/// Files of one album, and where it is told what became of them.
struct Sink {
    batch: String,
    desk: Arc<StdMutex<Desk>>,
    told: broadcast::Sender<Value>,
    files: StdMutex<Vec<Waiting>>,
}

impl Sink {
    fn paths(&self) -> Vec<PathBuf> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter().map(|one| one.whole.path.clone()).collect()
    }

    fn import(self, node: &Node, album: Option<AlbumId>, is_over: &AtomicBool) {
        let Some(album) = album else {
            return self.fail("there is no album that takes it");
        };
        let (program, args) = node.options().worker.clone();
        let pool = Arc::new(Pool::new(program, args, 0));
        let request = Request {
            paths: self.paths(),
            leave_out: None,
            target: Target::Album(album),
            titled: false,
            archives: false,
            since: None,
            dry_run: false,
            restore: false,
            // These are few, and their pictures are made when they are in.
            seen_first: 0,
        };
        let done = import::run(node, pool.clone(), &request, is_over, &self);
        if is_over.load(Ordering::Relaxed) {
            // What is left was not looked at, and waits for the next start.
            return;
        }
        self.fail(match &done {
            Ok(_) => "it was not looked at",
            Err(error) => error.message.as_ref(),
        });
        if let Ok(due) = done
            && let Err(error) = previews::make(node, &pool, due, is_over, || {})
        {
            tracing::warn!(id = error.id, "previews");
        }
    }

    /// Tells of all that is left that it could not be added.
    fn fail(&self, reason: &str) {
        for path in self.paths() {
            self.file(Report {
                path,
                outcome: Outcome::Failed,
                asset: None,
                reason: Some(reason.to_owned()),
                bytes: 0,
            });
        }
    }
}

impl Listener for Sink {
    fn file(&self, report: Report) {
        let found = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            let at = files.iter().position(|one| one.whole.path == report.path);
            at.map(|at| files.swap_remove(at))
        };
        let Some(mut file) = found else {
            return;
        };
        let word = report.outcome.word();
        let line = json!({
            "type": "file", "v": 1, "path": file.whole.said.shown, "outcome": word,
            "asset": report.asset.map(|id| id.to_string()), "reason": report.reason,
        });
        if report.outcome != Outcome::Failed {
            file.whole.remove();
        }
        let reply = file.reply.take();
        let summary = {
            let mut desk = lock(&self.desk);
            let summary = desk.batch(&self.batch).map(|batch| {
                batch.in_work = batch.in_work.saturating_sub(1);
                batch.note(word, &line, file.has_failed);
                batch.summary(&self.batch)
            });
            if report.outcome == Outcome::Failed {
                file.has_failed = true;
                desk.again.push(file);
            }
            summary
        };
        if let Some(reply) = reply {
            // The browser may have left.
            let _ = reply.send(line);
        }
        if let Some(summary) = summary {
            let _ = self.told.send(summary);
        }
    }

    fn progress(&self, _: &Counters) {}
}
