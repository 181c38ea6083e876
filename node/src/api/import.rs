//! `import`: files of this computer into an album, with a line for each.

mod places;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use heirloom_protocol::{
    id::AlbumId,
    op::{AlbumUse, Level},
};
use serde_json::{Value, json};

use self::places::Places;
use super::{Answer, ApiError, Done, Doorway, answer::Progress, library, pick};
use crate::{
    catalog::parse_range,
    import::{self, Counters, Listener, Outcome, Plan, Report, Request, Target, previews},
    media::Pool,
    node::Node,
    runtime::View,
};

#[derive(Default)]
struct Totals {
    by_outcome: [u64; 12],
    bytes: u64,
}

/// Sends each file's line and adds up.
struct Telling<'a> {
    answer: &'a Answer,
    totals: Mutex<Totals>,
    /// What would be added, where that is only to be said.
    plans: Mutex<Vec<Plan>>,
}

impl Telling<'_> {
    /// What ended an import, with how far it had come.
    fn ended(&self, mut error: ApiError) -> ApiError {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let added = totals.by_outcome[place(Outcome::Added)];
        if error.id == "E-DISK-FULL" {
            error.message = match added {
                0 => "the disk is full: nothing was added".into(),
                1 => "the disk is full: one file was added before, the rest was not".into(),
                _ => format!("the disk is full: {added} files were added before, the rest was not"),
            };
        }
        error
    }
}

impl Listener for Telling<'_> {
    fn file(&self, report: Report) {
        {
            let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
            totals.by_outcome[place(report.outcome)] += 1;
            if matches!(report.outcome, Outcome::Added | Outcome::Paired) {
                totals.bytes += report.bytes;
            }
        }
        self.answer.line_blocking(&json!({
            "type": "file", "v": 1,
            "path": report.path.to_string_lossy(),
            "outcome": report.outcome.word(),
            "asset": report.asset.map(|id| id.to_string()),
            "reason": report.reason,
        }));
    }

    fn planned(&self, plan: Plan) {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans.push(plan);
    }

    fn progress(&self, counters: &Counters) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.answer.progress(Progress {
            done: read(&counters.done),
            total: read(&counters.found),
            bytes: read(&counters.done_bytes),
            bytes_total: read(&counters.found_bytes),
        });
    }
}

/// Photos that are shown before the others are read.
const SEEN_FIRST: usize = 6;

const fn place(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Added => 0,
        Outcome::Present => 1,
        Outcome::Paired => 2,
        Outcome::Skipped => 3,
        Outcome::Failed => 4,
        Outcome::Restored => 5,
        Outcome::Sidecar => 6,
        Outcome::Opened => 7,
        Outcome::Trashed => 8,
        Outcome::Purged => 9,
        Outcome::OutOfReach => 10,
        Outcome::PutBack => 11,
    }
}

/// The act.
pub(super) async fn import(doorway: &Arc<Doorway>, body: &Value, answer: &Arc<Answer>) -> Done {
    let node = doorway.node().await?;
    let mut view = node.view().await?;
    if pick::optional(body, "album").is_none() && !pick::flag(body, "album_per_folder") {
        view = library::bring(doorway, &node, view, answer).await?;
    }
    let (request, album, seen_by) = request(&node, &view, body).await?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let (stop, dropped) = (cancelled.clone(), answer.dropped().clone());
    tokio::spawn(async move {
        dropped.cancelled().await;
        stop.store(true, Ordering::Relaxed);
    });
    let (program, args) = node.options().worker.clone();
    let pool = Arc::new(Pool::new(program, args, 0));
    let (worker, told) = (node.clone(), answer.clone());
    let asked = album.clone();
    let (totals, places) = node
        .blocking(move || work(&worker, &pool, &request, asked, &cancelled, &told))
        .await??;
    // Albums that a sidecar or a folder names may be new.
    let albums = places.told(&node.view().await?);
    let [
        added,
        present,
        paired,
        skipped,
        failed,
        restored,
        sidecars,
        archives,
        trashed,
        purged,
        out_of_reach,
        put_back,
    ] = totals.by_outcome;
    let trashed = trashed + out_of_reach;
    if !pick::flag(body, "dry_run") {
        tracing::info!(added, paired, failed, "photos were imported");
    }
    Ok(json!({
        "added": added, "present": present + put_back + restored + trashed, "put_back": put_back, "paired": paired, "skipped": skipped + sidecars + archives + purged,
        "trashed": trashed, "out_of_reach": out_of_reach, "purged": purged,
        "sidecars": sidecars, "archives": archives, "failed": failed, "restored": restored, "bytes": totals.bytes, "album": album, "seen_by": seen_by, "albums": albums,
        "exit": if failed > 0 { 3 } else { 0 },
    }))
}

fn work(
    node: &Node,
    pool: &Arc<Pool>,
    request: &Request,
    asked: Option<String>,
    cancelled: &AtomicBool,
    answer: &Answer,
) -> Result<(Totals, Places), ApiError> {
    let telling = Telling {
        answer,
        totals: Mutex::default(),
        plans: Mutex::default(),
    };
    let due = import::run(node, pool.clone(), request, cancelled, &telling)
        .map_err(|error| telling.ended(error))?;
    let plans = std::mem::take(&mut *telling.plans.lock().unwrap_or_else(PoisonError::into_inner));
    let places = match request.dry_run {
        true => Places::planned(node.store(), plans, asked.as_deref())?,
        false => Places::of(node.store(), &due)?,
    };
    if !request.dry_run {
        let albums: Vec<AlbumId> = match &request.target {
            Target::Album(album) => vec![*album],
            Target::PerFolder => Vec::new(),
        };
        let mut all = due;
        // What an interrupted import left without pictures is made up for.
        for overdue in previews::overdue(node, &albums)? {
            if !all.contains(&overdue) {
                all.push(overdue);
            }
        }
        let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
        let done = AtomicU64::new(0);
        previews::make(node, pool, all, cancelled, || {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            answer.progress(Progress {
                done,
                total,
                bytes: 0,
                bytes_total: 0,
            });
        })?;
    }
    let totals = telling.totals.into_inner();
    Ok((totals.unwrap_or_else(PoisonError::into_inner), places))
}

async fn request(
    node: &Node,
    view: &View,
    body: &Value,
) -> Result<(Request, Option<String>, Vec<String>), ApiError> {
    let paths = pick::paths(body, "paths");
    if paths.is_empty() {
        return Err(ApiError::usage("no files or folders are named"));
    }
    // Of several, those that are there are taken, and the others told as failed.
    let is_there = |path: &PathBuf| std::fs::symlink_metadata(path).is_ok();
    if let Some(first) = paths.first().filter(|_| !paths.iter().any(is_there)) {
        return Err(
            ApiError::not_found(&format!("file or folder {}", first.display()))
                .hint("look at the name, and whether the disk is connected"),
        );
    }
    let since = match pick::optional(body, "since") {
        None => None,
        Some(text) => {
            let range = parse_range(text).ok_or_else(|| ApiError::usage("since is not a date"))?;
            Some(range.0)
        }
    };
    let dry_run = pick::flag(body, "dry_run");
    let (target, name) = if pick::flag(body, "album_per_folder") {
        (Target::PerFolder, None)
    } else {
        match pick::optional(body, "album") {
            Some(asked) => {
                let album = album_named(node, view, asked, dry_run).await?;
                (Target::Album(album), Some(asked.to_owned()))
            }
            None => {
                let library = view.library().ok_or_else(|| library::missing(view))?;
                (Target::Album(library.id), None)
            }
        }
    };
    let seen_by = match &target {
        Target::Album(album) => seen_by(view, album),
        Target::PerFolder => Vec::new(),
    };
    Ok((
        Request {
            paths: paths.into_iter().map(followed).collect(),
            titled: name.is_none(),
            leave_out: node.store().home().canonicalize().ok(),
            archives: true,
            target,
            since,
            dry_run,
            restore: pick::flag(body, "restore"),
            seen_first: SEEN_FIRST,
        },
        name,
        seen_by,
    ))
}

/// A link to a file is followed where a person named it; within folders none is.
fn followed(path: PathBuf) -> PathBuf {
    match std::fs::canonicalize(&path) {
        Ok(real) if path.is_symlink() && real.is_file() => real,
        _ => path,
    }
}

/// An album to add to, made if there is none of that name.
pub(super) async fn album_named(
    node: &Node,
    view: &View,
    asked: &str,
    dry_run: bool,
) -> Result<AlbumId, ApiError> {
    match pick::album(view, asked) {
        Ok(album) if album.level >= Level::Contributor => Ok(album.id),
        Ok(_) => Err(ApiError::not_allowed(
            "you may look at this album, not add to it",
        )),
        Err(error) if error.id != "E-NOT-FOUND" => Err(error),
        Err(_) if dry_run => Ok(import::unmade(asked)),
        Err(_) => {
            let name = pick::checked_name(asked, "the name of the album")?.to_owned();
            let made = node
                .ask(move |runtime| runtime.make_album(&name, AlbumUse::Album))
                .await?;
            Ok(made?)
        }
    }
}

/// The album that is there to add to: the named one, else this person's library.
pub(crate) fn album_to_add_to(view: &View, asked: Option<&str>) -> Result<AlbumId, ApiError> {
    let album = match asked.filter(|asked| !asked.is_empty()) {
        Some(asked) => pick::album(view, asked)?,
        None => view.library().ok_or_else(|| library::missing(view))?,
    };
    if album.level < Level::Contributor {
        return Err(ApiError::not_allowed(
            "you may look at this album, not add to it",
        ));
    }
    Ok(album.id)
}

fn seen_by(view: &View, album: &AlbumId) -> Vec<String> {
    let Some(album) = view.albums.get(album) else {
        return Vec::new();
    };
    let others = album
        .people
        .iter()
        .filter(|(person, _)| Some(*person) != view.person);
    others.map(|(person, _)| view.person_name(person)).collect()
}
