//! `bundle`: entries and ciphertext on a disk that is taken along.

use std::{path::PathBuf, sync::Arc};

use serde_json::{Value, json};

use super::{Answer, ApiError, Done, answer::Progress, pick};
use crate::{
    carry::{self, Before, CarryError, Folder, Pace, Reading, Wrong},
    catalog,
    node::Node,
    runtime::Scope,
};

/// The act.
pub(super) async fn bundle(node: &Node, body: &Value, answer: &Arc<Answer>) -> Done {
    match pick::text(body, "do")? {
        "write" => write(node, body, answer).await,
        "read" => read(node, body, answer).await,
        _ => Err(ApiError::usage("a bundle is written or read")),
    }
}

/// The place that is asked for: a whole path that is neither in the home nor around it.
pub(super) fn path(node: &Node, body: &Value) -> Result<PathBuf, ApiError> {
    let path = pick::path(body, "dir")?;
    if !path.is_absolute() {
        // This process may be a node that was started somewhere else.
        return Err(ApiError::usage("the folder is given with its whole path"));
    }
    let home = node.store().home();
    if path.starts_with(home) || home.starts_with(&path) {
        return Err(ApiError::usage(
            "this folder lies in the home of this device, or the home lies in it: what is carried needs one of its own",
        )
        .hint("name a folder on the disk that is taken along: the one that heirloom bundle write was given"));
    }
    Ok(path)
}

async fn folder(node: &Node, body: &Value) -> Result<Folder, ApiError> {
    let path = path(node, body)?;
    let mark = node.ask(|runtime| runtime.device().short()).await?;
    Ok(Folder::new(path, mark))
}

async fn write(node: &Node, body: &Value, answer: &Arc<Answer>) -> Done {
    let folder = folder(node, body).await?;
    let to = match pick::optional(body, "to") {
        Some(asked) => Some(pick::device(&node.view().await?, asked)?),
        None => None,
    };
    let since = match pick::optional(body, "since") {
        Some(text) => {
            let read = catalog::parse_instant(text);
            Some(read.ok_or_else(|| ApiError::usage("since is a date"))?)
        }
        None => None,
    };
    let scope = Scope { to, since };
    let (working, told) = (node.clone(), Arc::clone(answer));
    let written = node.blocking(move || {
        let dropped = told.dropped().clone();
        let mut tell = |pace: Pace| told.progress(progress(pace));
        carry::write(
            &working,
            &folder,
            scope,
            &Before::default(),
            &dropped,
            &mut tell,
        )
    });
    let written = written.await?.map_err(|error| into_error(error, true))?;
    Ok(json!({
        "entries": written.entries, "blobs": written.blobs, "present": written.present,
        "damaged": written.damaged, "bytes": written.bytes,
        "exit": if written.damaged > 0 { 9 } else { 0 },
    }))
}

async fn read(node: &Node, body: &Value, answer: &Arc<Answer>) -> Done {
    let folder = folder(node, body).await?;
    let (working, told) = (node.clone(), Arc::clone(answer));
    let read = node.blocking(move || {
        if !folder.is_there() {
            return Err(CarryError::Nothing);
        }
        let dropped = told.dropped().clone();
        let mut tell = |pace: Pace| told.progress(progress(pace));
        carry::read(&working, &folder, &Reading::default(), &dropped, &mut tell)
    });
    let read = read.await?.map_err(|error| into_error(error, false))?;
    for wrong in &read.wrong {
        answer.line(&line(wrong)).await;
    }
    let exit = match (read.wrong.is_empty(), read.waiting) {
        (false, _) => 9,
        (true, 1..) => 3,
        (true, 0) => 0,
    };
    let lacking = node.ask(|runtime| runtime.lacking() + runtime.without_room().blobs);
    let lacking = lacking.await?;
    Ok(json!({
        "entries": read.entries, "blobs": read.blobs, "bytes": read.bytes,
        "waiting": read.waiting, "not_ours": read.not_ours, "unfinished": read.unfinished,
        "wrong": read.wrong.len(), "lacking": lacking, "exit": exit,
    }))
}

fn line(wrong: &Wrong) -> Value {
    json!({
        "type": "file", "v": 1, "path": wrong.name, "outcome": "failed", "reason": wrong.reason,
    })
}

pub(super) fn progress(pace: Pace) -> Progress {
    Progress {
        done: pace.done,
        total: pace.total,
        bytes: pace.bytes,
        bytes_total: 0,
    }
}

/// Whether trying the same again would fail the same.
fn is_no_folder(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{AlreadyExists, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
    matches!(
        error.kind(),
        AlreadyExists | NotADirectory | PermissionDenied | ReadOnlyFilesystem
    )
}

pub(super) fn into_error(error: CarryError, writes: bool) -> ApiError {
    let again = "run the same command again: it goes on where it stopped";
    match error {
        CarryError::Full => ApiError::new(
            "E-DISK-FULL",
            1,
            "there is no room left on the disk that is written to",
        )
        .safe("What was written can be read; nothing on this device was changed.")
        .hint(
            "take a larger disk or free some space, then run it again: it goes on where it stopped",
        ),
        CarryError::Place(error) if is_no_folder(&error) => {
            ApiError::new("E-IO", 1, error.to_string())
                .safe("Nothing was changed.")
                .hint("name a folder that you may write to")
        }
        CarryError::Place(error) if writes => ApiError::new("E-IO", 1, error.to_string())
            .safe("What was written before can be read; nothing on this device was changed.")
            .hint(again),
        CarryError::Place(error) => ApiError::new("E-IO", 1, error.to_string())
            .safe("What came before is kept.")
            .hint(again),
        CarryError::Unread(error) => ApiError::new("E-IO", 1, error.to_string())
            .safe("Nothing there was changed: what this device put there is not known without this file.")
            .hint(
                "run the same command again; if the file cannot be read for good, delete it: what lies there is then \
                 listed anew",
            ),
        CarryError::Refused => ApiError::new("E-IO", 1, error.to_string())
            .safe("What lies there is as it was; nothing on this device was changed.")
            .hint(
                "see that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or s3.toml in the home, hold keys for this \
                 bucket, and that the clock of this computer is right",
            ),
        CarryError::NoAccess(text) => ApiError::usage(&text),
        CarryError::Away => ApiError::new("E-IO", 1, error.to_string())
            .safe("Nothing was changed.")
            .hint("plug the disk in or mount the share, then run the same command again"),
        CarryError::Nothing => ApiError::not_found("bundle in this folder")
            .hint("name the folder that heirloom bundle write was given"),
        CarryError::Foreign => ApiError::new(
            "E-NOT-ALLOWED",
            1,
            "what lies in this folder was written in another family",
        )
        .safe("Nothing was taken from it."),
        CarryError::Runtime(error) => error.into(),
    }
}
