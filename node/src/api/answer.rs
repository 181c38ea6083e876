//! The lines of an answer, as they come.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::body::Bytes;
use futures::Stream;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Done;

/// Lines that wait for a slow reader.
const QUEUE: usize = 64;
/// Least time between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Where an act writes its lines.
pub struct Answer {
    act: String,
    lines: mpsc::Sender<Bytes>,
    dropped: CancellationToken,
    progress: std::sync::Mutex<Option<Instant>>,
}

/// The lines, for the body of a response. Dropping it cancels the act.
pub struct Lines {
    lines: mpsc::Receiver<Bytes>,
    dropped: CancellationToken,
    _guard: DropGuard,
}

impl Stream for Lines {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.lines.poll_recv(cx).map(|line| line.map(Ok))
    }
}

impl Lines {
    /// Cancels the act; how it ended is still to be read.
    pub fn stop(&self) {
        self.dropped.cancel();
    }

    /// Whether the act was cancelled.
    pub fn is_stopped(&self) -> bool {
        self.dropped.is_cancelled()
    }

    /// The lines as the body of a response.
    pub fn into_body(self) -> axum::body::Body {
        axum::body::Body::from_stream(self)
    }
}

/// How far an act has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Things done.
    pub done: u64,
    /// Things in all, 0 while unknown.
    pub total: u64,
    /// Bytes done.
    pub bytes: u64,
    /// Bytes in all, 0 while unknown.
    pub bytes_total: u64,
}

fn bytes_of(line: &Value) -> Bytes {
    let mut text = line.to_string();
    text.push('\n');
    text.into()
}

impl Answer {
    /// An answer to an act and its lines.
    pub fn new(act: &str) -> (Self, Lines) {
        let (lines, received) = mpsc::channel(QUEUE);
        let dropped = CancellationToken::new();
        let (guard, stop) = (dropped.clone().drop_guard(), dropped.clone());
        let progress = std::sync::Mutex::new(None);
        let answer = Self {
            act: act.to_owned(),
            lines,
            dropped,
            progress,
        };
        (
            answer,
            Lines {
                lines: received,
                dropped: stop,
                _guard: guard,
            },
        )
    }

    /// Cancelled when nobody reads the answer any more.
    pub fn dropped(&self) -> &CancellationToken {
        &self.dropped
    }

    /// Writes one line; `type` and `v` are in it. Waits while the reader is slow.
    pub async fn line(&self, line: &impl Serialize) {
        let line = serde_json::to_value(line).expect("lines have string keys");
        // A reader who is gone cancels the act through `dropped`.
        let _ = self.lines.send(bytes_of(&line)).await;
    }

    /// The same from a thread that may block.
    pub fn line_blocking(&self, line: &impl Serialize) {
        let line = serde_json::to_value(line).expect("lines have string keys");
        let _ = self.lines.blocking_send(bytes_of(&line));
    }

    /// Says something to the person beside the result.
    pub async fn note(&self, text: &str) {
        self.line(&json!({"type": "note", "v": 1, "text": text}))
            .await;
    }

    /// Says how far the act is, at most four times a second.
    pub fn progress(&self, progress: Progress) {
        {
            let mut last = self
                .progress
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if last.is_some_and(|last| last.elapsed() < PROGRESS_EVERY) {
                return;
            }
            *last = Some(Instant::now());
        }
        let Progress {
            done,
            total,
            bytes,
            bytes_total,
        } = progress;
        let line = json!({
            "type": "progress", "v": 1, "act": self.act,
            "done": done, "total": total, "bytes": bytes, "bytes_total": bytes_total,
        });
        // Progress that nobody has time to read is left out.
        let _ = self.lines.try_send(bytes_of(&line));
    }

    /// Ends the answer.
    pub async fn finish(&self, done: Done) {
        let line = match done {
            Ok(mut summary) => {
                if let Some(fields) = summary.as_object_mut() {
                    fields.insert("type".into(), json!("summary"));
                    fields.insert("v".into(), json!(1));
                    fields.insert("act".into(), json!(self.act));
                }
                summary
            }
            Err(error) => error.line(),
        };
        let _ = self.lines.send(bytes_of(&line)).await;
    }
}
