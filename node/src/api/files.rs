//! `get` and `export`: originals as plain files.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use heirloom_protocol::{album::asset::BlobRef, id::OpId};
use serde_json::{Value, json};

use super::{
    Answer, ApiError, Done, Doorway,
    answer::Progress,
    edits::ids,
    offload::{bring, who_has},
    pick,
    status::entries_lost,
    verify::closed,
};
use crate::{
    catalog::Folded,
    export::{Export, ExportError, Layout, Outcome, Report, Request, Sidecars, Size},
    node::Node,
    runtime::{self, View},
    store::StoreError,
};

#[derive(Clone, Copy, Default)]
struct Totals {
    written: u64,
    present: u64,
    failed: u64,
    damaged: u64,
    not_here: u64,
    /// Entries that were here and are gone, and blobs of which nothing tells: there was more to write.
    entries_lost: u64,
    unnamed: usize,
    bytes: u64,
    done_bytes: u64,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.done_bytes = self.done_bytes.saturating_add(report.bytes);
        match report.outcome {
            Outcome::Written => {
                self.written += 1;
                self.bytes = self.bytes.saturating_add(report.bytes);
            }
            Outcome::Present => self.present += 1,
            Outcome::Damaged => {
                self.damaged += 1;
                self.failed += 1;
            }
            Outcome::NotHere => {
                self.not_here += 1;
                self.failed += 1;
            }
            Outcome::Closed(_) | Outcome::Failed(_) => self.failed += 1,
        }
    }

    fn summary(self) -> Value {
        let mut summary = json!({
            "written": self.written, "present": self.present, "failed": self.failed,
            "not_here": self.not_here, "damaged": self.damaged, "bytes": self.bytes,
        });
        let exit = match self {
            Self { damaged: 1.., .. }
            | Self {
                entries_lost: 1.., ..
            }
            | Self { unnamed: 1.., .. } => 9,
            Self { failed: 1.., .. } => 3,
            _ => 0,
        };
        if let Some(fields) = summary.as_object_mut().filter(|_| exit > 0) {
            fields.insert("exit".into(), json!(exit));
            fields.insert("entries_lost".into(), json!(self.entries_lost));
            fields.insert("unnamed".into(), json!(self.unnamed));
        }
        summary
    }
}

/// `get`: some assets into one folder.
///
/// What is on other devices alone is got from them first, as far as they are in reach.
pub(super) async fn get(
    doorway: &Arc<Doorway>,
    node: &Node,
    body: &Value,
    answer: &Arc<Answer>,
) -> Done {
    let dir = folder(doorway, body, "output")?;
    let view = node.view().await?;
    let picked = pick::some_assets(node, &view, &ids(body)?).await?;
    for (id, why) in &picked.missing {
        let line = json!({
            "type": "file", "v": 1, "path": id, "outcome": "failed",
            "asset": null, "reason": why.message, "bytes": 0,
        });
        answer.line(&line).await;
    }
    let totals = Totals {
        failed: u64::try_from(picked.missing.len()).unwrap_or(u64::MAX),
        ..Totals::default()
    };
    let assets = picked.found;
    run(doorway, node, answer, totals, move |export| {
        export.get(&assets, dir)
    })
    .await
}

/// `export`: everything, or some albums, into folders.
///
/// What is on other devices alone is got from them on the way, as far as they are in reach.
pub(super) async fn export(
    doorway: &Arc<Doorway>,
    node: &Node,
    body: &Value,
    answer: &Arc<Answer>,
) -> Done {
    let view = node.view().await?;
    let mut albums = BTreeSet::new();
    for asked in pick::texts(body, "album") {
        albums.insert(pick::album_id(&view, asked)?);
    }
    let layout = match pick::optional(body, "layout").unwrap_or("album") {
        "album" => Layout::Album,
        "date" => Layout::Date,
        _ => return Err(ApiError::usage("layout is album or date")),
    };
    let (json, xmp) = match pick::optional(body, "sidecars").unwrap_or("json") {
        "json" => (true, false),
        "xmp" => (false, true),
        "both" => (true, true),
        "none" => (false, false),
        _ => return Err(ApiError::usage("sidecars are json, xmp, both or none")),
    };
    let request = Request {
        dir: folder(doorway, body, "dir")?,
        albums,
        layout,
        sidecars: Sidecars { json, xmp },
    };
    let store = node.store().clone();
    let totals = node.blocking(move || {
        Ok::<_, StoreError>(Totals {
            entries_lost: entries_lost(&store)?,
            unnamed: runtime::unnamed(&store),
            ..Totals::default()
        })
    });
    let totals = totals.await??;
    run(doorway, node, answer, totals, move |export| {
        export.run(&request)
    })
    .await
}

fn folder(doorway: &Doorway, body: &Value, field: &str) -> Result<PathBuf, ApiError> {
    let path = pick::path(body, field)?;
    if !path.is_absolute() {
        // This process may be a node that was started somewhere else.
        return Err(ApiError::usage("the folder is given with its whole path").why("path", 0));
    }
    let home = doorway.home();
    let home = home.canonicalize().unwrap_or_else(|_| home.to_owned());
    if real(&path).starts_with(home) {
        return Err(ApiError::usage(
            "the folder lies in Heirloom's own home, which holds no photos in clear",
        )
        .hint("name a folder elsewhere")
        .why("home", 0));
    }
    Ok(path)
}

/// Where a path leads that need not be there yet.
fn real(path: &Path) -> PathBuf {
    // Not `..` by name alone: a link above it leads elsewhere.
    let mut rest = Vec::new();
    for above in path.ancestors() {
        if let Ok(real) = above.canonicalize() {
            return rest.iter().rev().fold(real, |path, name| path.join(name));
        }
        rest.extend(above.components().next_back());
    }
    path.to_owned()
}

/// Gets originals for an export as it comes to them, from who has them.
struct Bringer {
    doorway: Arc<Doorway>,
    node: Node,
    answer: Arc<Answer>,
    view: View,
    /// Nothing came any more: nobody who has the rest is in reach, and each try takes its time.
    is_given_up: bool,
    /// Who says that they have what could not be got.
    who: BTreeMap<OpId, Vec<String>>,
}

impl Bringer {
    /// Blocks until they are here or nothing comes any more.
    fn bring(&mut self, assets: &[&Folded]) -> Result<(), ApiError> {
        let store = self.node.store();
        let assets: Vec<Folded> = assets.iter().copied().cloned().collect();
        let lacking = who_has(store, &self.view, &assets)?;
        if lacking.is_empty() {
            return Ok(());
        }
        if !self.is_given_up {
            let bringing = bring(&self.doorway, &self.node, &assets, &self.answer);
            tokio::runtime::Handle::current().block_on(bringing)?;
        }
        let left = who_has(store, &self.view, &assets)?;
        let held_by_some = lacking.values().any(|names| !names.is_empty());
        self.is_given_up |= held_by_some && left.len() == lacking.len();
        self.who.extend(left);
        Ok(())
    }

    /// What is damaged counts no more from now on, so that it is got like what is elsewhere.
    fn put_aside(&self, blobs: &[BlobRef]) {
        let healed = match runtime::damaged(self.node.store(), blobs) {
            Ok(damaged) if damaged.is_empty() => return,
            Ok(damaged) => self
                .node
                .ask_blocking(move |runtime| runtime.heal_read(&damaged)),
            Err(error) => Ok(Err(error.into())),
        };
        if let Ok(Err(error)) | Err(error) = healed {
            tracing::warn!(%error, "a damaged original could not be put aside");
        }
    }
}

async fn run(
    doorway: &Arc<Doorway>,
    node: &Node,
    answer: &Arc<Answer>,
    mut totals: Totals,
    work: impl FnOnce(&mut Export<'_>) -> Result<(), ExportError> + Send + 'static,
) -> Done {
    let view = node.view().await?;
    let (store, answer) = (node.store().clone(), Arc::clone(answer));
    let bringer = std::cell::RefCell::new(Bringer {
        doorway: Arc::clone(doorway),
        node: node.clone(),
        answer: Arc::clone(&answer),
        view: view.clone(),
        is_given_up: false,
        who: BTreeMap::new(),
    });
    let done = node.blocking(move || {
        let size = std::cell::Cell::new(Size::default());
        let mut tell = |report: Report| {
            totals.add(&report);
            answer.line_blocking(&line(&report, &bringer.borrow().who));
            let all = size.get();
            answer.progress(Progress {
                done: totals.written + totals.present + totals.failed,
                total: all.files,
                bytes: totals.done_bytes,
                bytes_total: all.bytes,
            });
        };
        let mut export = Export {
            store: &store,
            view: &view,
            cancelled: answer.dropped().clone(),
            sized: &mut |all| size.set(all),
            tell: &mut tell,
            bring: &mut |assets| {
                if let Err(error) = bringer.borrow_mut().bring(assets) {
                    // What is here is written all the same, and what is not is named.
                    tracing::warn!(error = %error.message, "originals could not be got");
                }
            },
            put_aside: &mut |blobs| bringer.borrow().put_aside(blobs),
        };
        work(&mut export)?;
        Ok::<_, ExportError>(totals.summary())
    });
    Ok(done.await??)
}

fn line(report: &Report, who: &BTreeMap<OpId, Vec<String>>) -> Value {
    let (outcome, reason) = match &report.outcome {
        Outcome::Written => ("written", None),
        Outcome::Present => ("present", None),
        Outcome::NotHere => ("failed", Some(not_here(report, who))),
        Outcome::Damaged => ("failed", Some(damaged(report, who))),
        Outcome::Closed(what) => ("failed", Some(format!("its original {}", closed(what)))),
        Outcome::Failed(reason) => ("failed", Some(reason.clone())),
    };
    json!({
        "type": "file", "v": 1,
        "path": report.path.to_string_lossy(),
        "outcome": outcome,
        "asset": report.asset.to_string(),
        "reason": reason,
        "bytes": report.bytes,
    })
}

/// Why an original is not written that is not here: where it is, if anybody says so.
fn not_here(report: &Report, who: &BTreeMap<OpId, Vec<String>>) -> String {
    let names = who.get(&report.asset).filter(|names| !names.is_empty());
    match names {
        None => "its original is not on this device".to_owned(),
        Some(names) => format!(
            "its original is not on this device, and could not be got from where it is ({})",
            names.join(", ")
        ),
    }
}

/// Why an original is not written whose bytes here are damaged, and what gets it again.
fn damaged(report: &Report, who: &BTreeMap<OpId, Vec<String>>) -> String {
    let names = who.get(&report.asset).filter(|names| !names.is_empty());
    match names {
        None => "what is stored of it here is damaged, and no other device is known to have it: heirloom verify --read-data --repair tries to get it again".to_owned(),
        Some(names) => format!(
            "what is stored of it here is damaged, and could not be got from where else it is ({0}): heirloom verify --read-data --repair, once {0} can be reached",
            names.join(", ")
        ),
    }
}

impl From<ExportError> for ApiError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(StoreError::DiskFull) => Self::new(
                "E-DISK-FULL",
                1,
                "there is no room left where the files are written",
            )
            .safe("Every file that is there is whole.")
            .hint("free some space and run it again: it goes on where it stopped"),
            ExportError::Store(error) => error.into(),
            ExportError::Folder { .. } => Self::new("E-IO", 1, error.to_string())
                .safe("Every file that is there is whole.")
                .hint("choose a place that you may write to"),
        }
    }
}
