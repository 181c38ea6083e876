//! Acts of the page that take long, and go on when it is left: imports and exports.
//!
//! The page names such an act as it names a batch of uploads, and finds it again by that
//! name in `imports` and in the events. Nothing of it is durable: it ends with the node.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Mutex as StdMutex, MutexGuard, PoisonError},
};

use axum::body::Bytes;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Gallery;
use crate::api::Lines;

/// Works that are remembered.
const WORKS: usize = 32;
/// Lines that wait for a slow page.
const QUEUE: usize = 64;
/// Albums of an import that are remembered.
const ALBUMS: usize = 64;
/// Outcomes of files that a summary counts.
const OUTCOMES: [&str; 5] = ["added", "present", "paired", "skipped", "failed"];

/// Whether an act goes on without the page that began it.
pub(super) fn goes_on(act: &str) -> bool {
    matches!(act, "import" | "export")
}

/// How far an act is.
struct Work {
    act: String,
    done: u64,
    total: u64,
    counts: BTreeMap<String, u64>,
    /// Where what an import added is, as its summary says.
    albums: Vec<Value>,
    /// What ended it, where it did not come to its end: in words, and its id.
    error: Option<(String, String)>,
    is_done: bool,
    stop: CancellationToken,
}

impl Work {
    /// The fields of a batch of uploads, so that the page shows both alike.
    fn summary(&self, id: &str) -> Value {
        let count = |word: &str| self.counts.get(word).copied().unwrap_or(0);
        let waiting = match self.is_done {
            true => 0,
            // Before its files are counted at least one is.
            false => self.total.saturating_sub(self.done).max(1),
        };
        let mut told = json!({
            "batch": id, "act": self.act, "done": self.is_done,
            "received": self.done + waiting, "waiting": waiting, "albums": self.albums,
            "error": self.error.as_ref().map(|(message, _)| message),
            "error_id": self.error.as_ref().map(|(_, id)| id),
        });
        if let Some(fields) = told.as_object_mut() {
            fields.extend(OUTCOMES.map(|word| (word.to_owned(), json!(count(word)))));
        }
        told
    }

    /// Reads a line of the answer; gives whether it is worth telling.
    fn read(&mut self, line: &Value) -> bool {
        let number = |name: &str| line.get(name).and_then(Value::as_u64).unwrap_or(0);
        match line.get("type").and_then(Value::as_str) {
            Some("progress") => {
                (self.done, self.total) = (number("done"), number("total"));
                true
            }
            Some("file") => {
                let word = line.get("outcome").and_then(Value::as_str);
                *self
                    .counts
                    .entry(word.unwrap_or("failed").into())
                    .or_default() += 1;
                false
            }
            Some("summary") => {
                self.counts = OUTCOMES.map(|word| (word.into(), number(word))).into();
                let albums = line.get("albums").and_then(Value::as_array);
                self.albums = albums.into_iter().flatten().take(ALBUMS).cloned().collect();
                self.is_done = true;
                true
            }
            Some("error") => {
                let text = |name| line.get(name).and_then(Value::as_str).unwrap_or_default();
                self.error = Some((text("message").to_owned(), text("id").to_owned()));
                self.is_done = true;
                true
            }
            _ => false,
        }
    }
}

/// The works of one gallery, oldest first.
#[derive(Default)]
pub(super) struct Works(StdMutex<Vec<(String, Work)>>);

impl Works {
    fn lock(&self) -> MutexGuard<'_, Vec<(String, Work)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, unless too many run or one of that name does.
    fn open(&self, id: &str, act: &str) -> Option<CancellationToken> {
        let mut works = self.lock();
        if works.iter().any(|(known, _)| known == id) {
            return None;
        }
        if works.len() >= WORKS {
            let over = works.iter().position(|(_, work)| work.is_done);
            works.remove(over?);
        }
        let stop = CancellationToken::new();
        let work = Work {
            act: act.to_owned(),
            done: 0,
            total: 0,
            counts: BTreeMap::new(),
            albums: Vec::new(),
            error: None,
            is_done: false,
            stop: stop.clone(),
        };
        works.push((id.to_owned(), work));
        Some(stop)
    }

    fn read(&self, id: &str, line: &Value) -> Option<Value> {
        let mut works = self.lock();
        let (_, work) = works.iter_mut().find(|(known, _)| known == id)?;
        work.read(line).then(|| work.summary(id))
    }

    /// What runs and what ran.
    pub(super) fn told(&self) -> Vec<Value> {
        let works = self.lock();
        let all = works.iter().map(|(id, work)| work.summary(id));
        all.collect()
    }

    /// Ends one where it is; what it did stays. Gives whether there is one of that name.
    pub(super) fn stop(&self, id: &str) -> bool {
        let works = self.lock();
        let found = works.iter().find(|(known, _)| known == id);
        found.inspect(|(_, work)| work.stop.cancel()).is_some()
    }
}

/// A line for the page.
type Line = Result<Bytes, Infallible>;

/// Lines for the page that asked; the act goes on without it. None where the name is taken or too many run.
pub(super) fn keep(
    gallery: &Gallery,
    id: &str,
    act: &str,
    begin: impl FnOnce() -> Lines,
) -> Option<mpsc::Receiver<Line>> {
    let stop = gallery.0.works.open(id, act)?;
    let (tell, told) = mpsc::channel(QUEUE);
    tokio::spawn(follow(gallery.clone(), id.to_owned(), begin(), stop, tell));
    Some(told)
}

async fn follow(
    gallery: Gallery,
    id: String,
    mut lines: Lines,
    stop: CancellationToken,
    tell: mpsc::Sender<Line>,
) {
    loop {
        let line = tokio::select! {
            // The act is dropped with its lines.
            () = gallery.0.stop.cancelled() => return,
            () = stop.cancelled(), if !lines.is_stopped() => { lines.stop(); continue }
            line = lines.next() => line,
        };
        let Some(Ok(line)) = line else {
            return;
        };
        let read = serde_json::from_slice(&line).unwrap_or_default();
        if let Some(told) = gallery.0.works.read(&id, &read) {
            gallery.0.uploads.tell(told);
        }
        // Whoever left hears nothing more, and the act goes on.
        let _ = tell.send(Ok(line)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_work_is_told_as_a_batch_of_uploads_until_its_end() {
        let works = Works::default();
        let stop = works.open("a", "import").expect("room");
        assert!(works.open("a", "import").is_none(), "the name is taken");
        assert_eq!(works.told()[0]["waiting"], 1);
        let progress = json!({"type": "progress", "done": 2, "total": 5});
        let told = works.read("a", &progress).expect("news");
        assert_eq!(
            (&told["received"], &told["waiting"]),
            (&json!(5), &json!(3))
        );
        let file = json!({"type": "file", "outcome": "added"});
        assert!(
            works.read("a", &file).is_none(),
            "told with the next progress"
        );
        assert_eq!(works.told()[0]["added"], 1);
        assert!(works.stop("a") && stop.is_cancelled());
        let told = works.read("a", &json!({"type": "summary", "added": 2, "failed": 1}));
        let told = told.expect("the end");
        assert_eq!((&told["done"], &told["waiting"]), (&json!(true), &json!(0)));
        assert_eq!((&told["added"], &told["failed"]), (&json!(2), &json!(1)));
    }

    #[test]
    fn what_runs_is_not_forgotten_for_what_begins() {
        let works = Works::default();
        for nth in 0..WORKS {
            assert!(works.open(&nth.to_string(), "export").is_some());
        }
        assert!(works.open("more", "export").is_none());
        works.read(
            "7",
            &json!({"type": "error", "id": "E-DISK-FULL", "message": "the disk is full"}),
        );
        let told = works.told();
        assert_eq!(told[7]["error"], "the disk is full");
        assert_eq!(told[7]["error_id"], "E-DISK-FULL");
        assert!(works.open("more", "export").is_some());
        assert!(!works.stop("7"), "it is forgotten");
    }
}
