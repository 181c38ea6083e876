//! Files that a browser sends: streamed into the home, imported, and gone again.
//!
//! Until it is imported a file lies in clear in a folder of this home that its
//! owner alone can read. It is removed when it has been imported, when the
//! request breaks off, and when the gallery starts or ends. Stills are imported
//! as they come; movies wait until the batch is done, because a live photo's
//! clip joins a still that has to be there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex as StdMutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use heirloom_protocol::id::AlbumId;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt as _,
    sync::{Mutex, broadcast, oneshot},
};

use super::{Gallery, refusal::Refusal};
use crate::{
    api, export,
    import::{self, Counters, Listener, Outcome, Report, Request, Target, previews},
    media::{HEAD_BYTES, MediaKind, MediaType, Pool},
    node::Node,
};

/// Folder below the home.
const FOLDER: &str = "uploads";
/// Largest file that is taken: 64 GiB.
const FILE_BYTES: u64 = 64 << 30;
/// What stays free on the disk whatever is sent.
const SPARE_BYTES: u64 = 256 << 20;
/// Batches that are remembered, and lines of each.
const BATCHES: usize = 32;
const LINES: usize = 20_000;
/// Files that are imported in one go.
const TOGETHER: usize = 64;

/// What a file is and where it goes.
#[derive(Deserialize, Default)]
pub(super) struct Told {
    #[serde(default)]
    batch: String,
    #[serde(default)]
    name: String,
    album: Option<String>,
    /// Where it lay in the folder that was dropped; shown again, never used as a path.
    path: Option<String>,
}

/// A file that is here and waits to be imported. Dropping it removes it.
struct Waiting {
    _folder: TempDir,
    path: PathBuf,
    shown: String,
    album: AlbumId,
    reply: Option<oneshot::Sender<Value>>,
}

/// What became of the files that were added together.
#[derive(Default)]
struct Batch {
    queue: Vec<Waiting>,
    movies: Vec<Waiting>,
    lines: Vec<Value>,
    counts: BTreeMap<&'static str, u64>,
    received: u64,
    is_done: bool,
}

impl Batch {
    fn summary(&self, id: &str) -> Value {
        let count = |word| self.counts.get(word).copied().unwrap_or(0);
        json!({
            "batch": id, "done": self.is_done, "received": self.received,
            "waiting": self.queue.len() + self.movies.len(),
            "added": count("added"), "present": count("present"), "paired": count("paired"),
            "skipped": count("skipped"), "failed": count("failed"),
        })
    }

    fn note(&mut self, word: &'static str, line: &Value) {
        *self.counts.entry(word).or_default() += 1;
        if self.lines.len() < LINES {
            self.lines.push(line.clone());
        }
    }
}

/// Uploads of one home.
pub(super) struct Uploads {
    root: PathBuf,
    batches: Arc<StdMutex<Vec<(String, Batch)>>>,
    /// One import at a time.
    turn: Arc<Mutex<()>>,
    /// Ends the import that runs.
    running: Arc<StdMutex<Arc<AtomicBool>>>,
    told: broadcast::Sender<Value>,
}

impl Uploads {
    /// Removes what a crash left.
    ///
    /// # Errors
    ///
    /// When it cannot be removed: plaintext must not stay.
    pub(super) fn clean(home: &Path) -> io::Result<Self> {
        let root = home.join(FOLDER);
        remove(&root)?;
        Ok(Self {
            root,
            batches: Arc::default(),
            turn: Arc::default(),
            running: Arc::default(),
            told: broadcast::Sender::new(256),
        })
    }

    /// Takes back what is not imported.
    pub(super) async fn clear(&self) {
        lock(&self.running).store(true, Ordering::Relaxed);
        let _turn = self.turn.lock().await;
        lock(&self.batches).clear();
        if let Err(error) = remove(&self.root) {
            tracing::warn!(%error, "uploads stay behind");
        }
    }

    /// What is imported from now on.
    pub(super) fn told(&self) -> broadcast::Receiver<Value> {
        self.told.subscribe()
    }

    fn folder(&self) -> io::Result<TempDir> {
        let made = fs::create_dir(&self.root);
        if made
            .as_ref()
            .is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists)
        {
            made?;
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700))?;
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix("file-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(fs::Permissions::from_mode(0o700));
        }
        builder.tempdir_in(&self.root)
    }

    fn change<T>(&self, batch: &str, change: impl FnOnce(&mut Batch) -> T) -> T {
        let mut batches = lock(&self.batches);
        if !batches.iter().any(|(id, _)| id == batch) {
            if batches.len() >= BATCHES {
                let oldest = batches.iter().position(|(_, batch)| batch.is_done);
                batches.remove(oldest.unwrap_or(0));
            }
            batches.push((batch.to_owned(), Batch::default()));
        }
        let at = batches.iter().position(|(id, _)| id == batch).unwrap_or(0);
        change(&mut batches[at].1)
    }
}

fn lock<T>(mutex: &StdMutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remove(root: &Path) -> io::Result<()> {
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_name(batch: &str) -> bool {
    (1..=64).contains(&batch.len())
        && batch
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// `POST /api/v1/upload?batch=B&name=FILE&album=A&path=REL`: one file.
pub(super) async fn upload(
    State(gallery): State<Gallery>,
    told: Result<Query<Told>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let Query(told) = told.map_err(|_| Refusal::usage())?;
    if !is_name(&told.batch) || told.name.is_empty() {
        return Err(Refusal::usage());
    }
    let node = gallery.0.doorway.node().await?;
    let album = api::album_to_add_to(&node.view().await?, told.album.as_deref())?;
    let uploads = &gallery.0.uploads;
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    check_room(&node, length.unwrap_or(0))?;
    let folder = uploads.folder().map_err(io_refusal)?;
    let path = folder.path().join(export::safe_name(&told.name));
    let head = take(&node, &path, body, gallery.0.stall).await?;
    let media = MediaType::of(&head, &told.name);
    let is_movie = media.is_some_and(|media| media.kind() == MediaKind::Video);
    let (reply, replied) = oneshot::channel();
    let waiting = Waiting {
        _folder: folder,
        path,
        shown: told.path.unwrap_or(told.name),
        album,
        reply: (!is_movie).then_some(reply),
    };
    let shown = waiting.shown.clone();
    uploads.change(&told.batch, |batch| {
        batch.received += 1;
        batch.is_done = false;
        match is_movie {
            true => batch.movies.push(waiting),
            false => batch.queue.push(waiting),
        }
    });
    if is_movie {
        return Ok(Json(json!({
            "type": "file", "v": 1, "path": shown, "outcome": "waiting",
            "asset": null, "reason": null,
        })));
    }
    // The import goes on when the browser leaves.
    tokio::spawn(run(gallery.clone(), node, told.batch));
    replied.await.map(Json).map_err(|_| Refusal::broken())
}

fn check_room(node: &Node, more: u64) -> Result<(), Refusal> {
    if more > FILE_BYTES {
        return Err(Refusal::too_large());
    }
    // In clear and encrypted, for a moment both.
    let wanted = more.saturating_mul(2).saturating_add(SPARE_BYTES);
    match node.store().free_bytes() {
        Some(free) if free < wanted => Err(Refusal::disk_full()),
        _ => Ok(()),
    }
}

fn io_refusal(error: io::Error) -> Refusal {
    tracing::warn!(%error, "an upload");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refusal::disk_full(),
        _ => Refusal::broken(),
    }
}

/// Streams a body into a file and gives its first bytes.
async fn take(
    node: &Node,
    path: &Path,
    mut body: Body,
    stall: Duration,
) -> Result<Vec<u8>, Refusal> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let file = options.open(path).map_err(io_refusal)?;
    let mut file = tokio::fs::File::from_std(file);
    let (mut head, mut bytes) = (Vec::new(), 0_u64);
    loop {
        let frame = tokio::time::timeout(stall, body.frame()).await;
        let Some(frame) = frame.map_err(|_| Refusal::cut_short())? else {
            break;
        };
        let frame = frame.map_err(|_| Refusal::cut_short())?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let more = u64::try_from(data.len()).unwrap_or(u64::MAX);
        // One check for each 64 MiB is enough to stop before the disk is full.
        if (bytes >> 26) != (bytes.saturating_add(more) >> 26) {
            check_room(node, 64 << 20)?;
        }
        bytes = bytes.saturating_add(more);
        if bytes > FILE_BYTES {
            return Err(Refusal::too_large());
        }
        let wanted = HEAD_BYTES.saturating_sub(head.len()).min(data.len());
        head.extend_from_slice(&data[..wanted]);
        file.write_all(&data).await.map_err(io_refusal)?;
    }
    file.flush().await.map_err(io_refusal)?;
    Ok(head)
}

/// `POST /api/v1/upload/done?batch=B`: imports what waits, and says what became of all.
pub(super) async fn done(
    State(gallery): State<Gallery>,
    told: Result<Query<Told>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(told) = told.map_err(|_| Refusal::usage())?;
    if !is_name(&told.batch) {
        return Err(Refusal::usage());
    }
    let node = gallery.0.doorway.node().await?;
    let uploads = &gallery.0.uploads;
    uploads.change(&told.batch, |batch| {
        let movies = std::mem::take(&mut batch.movies);
        batch.queue.extend(movies);
    });
    let batch = told.batch.clone();
    let finished = tokio::spawn(run(gallery.clone(), node, batch));
    finished.await.map_err(|_| Refusal::broken())?;
    let (lines, summary) = uploads.change(&told.batch, |batch| {
        batch.is_done = true;
        (batch.lines.clone(), batch.summary(&told.batch))
    });
    // The page knows what it was answered; what waited is told here.
    let mut text = String::new();
    for line in lines {
        text.push_str(&format!("{line}\n"));
    }
    let mut summary = summary;
    if let Some(fields) = summary.as_object_mut() {
        fields.extend([
            ("type".into(), json!("summary")),
            ("v".into(), json!(1)),
            ("act".into(), json!("upload")),
        ]);
    }
    text.push_str(&format!("{summary}\n"));
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Bytes::from(text)).into_response())
}

/// `GET /api/v1/imports`: batches that run and that ran, with what became of their files.
pub(super) async fn imports(State(gallery): State<Gallery>) -> Json<Value> {
    let batches = lock(&gallery.0.uploads.batches);
    let told = batches.iter().map(|(id, batch)| {
        let mut told = batch.summary(id);
        if let Some(fields) = told.as_object_mut() {
            fields.insert("files".into(), json!(batch.lines));
        }
        told
    });
    let told: Vec<Value> = told.collect();
    Json(json!({"batches": told}))
}

/// Imports what waits in a batch until nothing does.
async fn run(gallery: Gallery, node: Node, batch: String) {
    let uploads = &gallery.0.uploads;
    let _turn = uploads.turn.clone().lock_owned().await;
    while !gallery.0.stop.is_cancelled() {
        let mut taken = uploads.change(&batch, |batch| {
            let count = batch.queue.len().min(TOGETHER);
            batch.queue.drain(..count).collect::<Vec<_>>()
        });
        if taken.is_empty() {
            return;
        }
        let albums: BTreeSet<AlbumId> = taken.iter().map(|waiting| waiting.album).collect();
        for album in albums {
            let (now, later) = taken.into_iter().partition(|one| one.album == album);
            taken = later;
            let sink = Sink {
                batch: batch.clone(),
                batches: uploads.batches.clone(),
                told: uploads.told.clone(),
                files: StdMutex::new(now),
            };
            let cancelled = Arc::new(AtomicBool::new(false));
            *lock(&uploads.running) = cancelled.clone();
            let worker = node.clone();
            let done = node
                .blocking(move || sink.import(&worker, album, &cancelled))
                .await;
            if done.is_err() {
                tracing::warn!("an import did not come to its end");
            }
        }
    }
}

/// Files of one album, and where it is told what became of them.
struct Sink {
    batch: String,
    batches: Arc<StdMutex<Vec<(String, Batch)>>>,
    told: broadcast::Sender<Value>,
    files: StdMutex<Vec<Waiting>>,
}

impl Sink {
    fn import(self, node: &Node, album: AlbumId, cancelled: &AtomicBool) {
        let (program, args) = node.options().worker.clone();
        let pool = Arc::new(Pool::new(program, args, 0));
        let paths = lock(&self.files)
            .iter()
            .map(|one| one.path.clone())
            .collect();
        let request = Request {
            paths,
            target: Target::Album(album),
            since: None,
            dry_run: false,
            restore: false,
            // These are few, and their pictures are made when they are in.
            seen_first: 0,
        };
        let done = import::run(node, pool.clone(), &request, cancelled, &self);
        let reason = match &done {
            Ok(_) => "it was not looked at".to_owned(),
            Err(error) => error.message.clone(),
        };
        let left: Vec<PathBuf> = lock(&self.files)
            .iter()
            .map(|one| one.path.clone())
            .collect();
        for path in left {
            self.file(Report {
                path,
                outcome: Outcome::Failed,
                asset: None,
                reason: Some(reason.clone()),
                bytes: 0,
            });
        }
        if let Ok(due) = done
            && let Err(error) = previews::make(node, &pool, due, cancelled, || {})
        {
            tracing::warn!(id = error.id, message = error.message, "previews");
        }
    }

    fn change(&self, change: impl FnOnce(&mut Batch) -> Value) -> Option<Value> {
        let mut batches = lock(&self.batches);
        let found = batches.iter_mut().find(|(id, _)| *id == self.batch);
        found.map(|(_, batch)| change(batch))
    }
}

impl Listener for Sink {
    fn file(&self, report: Report) {
        let found = {
            let mut files = lock(&self.files);
            let at = files.iter().position(|one| one.path == report.path);
            at.map(|at| files.swap_remove(at))
        };
        let Some(file) = found else {
            return;
        };
        let word = report.outcome.word();
        let line = json!({
            "type": "file", "v": 1, "path": file.shown, "outcome": word,
            "asset": report.asset.map(|id| id.to_string()), "reason": report.reason,
        });
        let summary = self.change(|batch| {
            batch.note(word, &line);
            batch.summary(&self.batch)
        });
        if let Some(reply) = file.reply {
            // The browser may have left.
            let _ = reply.send(line);
        }
        if let Some(summary) = summary {
            let _ = self.told.send(summary);
        }
    }

    fn progress(&self, _: &Counters) {}
}
