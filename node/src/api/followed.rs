//! `watch`: folders whose photos come in by themselves while the node runs.

use std::path::{Path, PathBuf};

use futures::future::join_all;
use heirloom_protocol::id::AlbumId;
use serde_json::{Value, json};

use super::{Answer, ApiError, Done, Doorway, import::album_named, pick, problem::Problem};
use crate::{
    node::Node,
    runtime::View,
    watch::{FOLDERS_MAX, There, Watched, folders, forget, set_folders},
};

/// `watch`, with what to do in `do`.
pub(super) async fn watch(doorway: &Doorway, node: &Node, body: &Value, answer: &Answer) -> Done {
    let view = node.view().await?;
    match pick::text(body, "do")? {
        "list" => {
            let all = folders(node.store())?;
            let there = are_there(doorway.there(), &all).await;
            for (folder, there) in all.iter().zip(there) {
                let left_out = doorway.left_out().of(&folder.dir);
                answer.line(&line(folder, (there, left_out), &view)).await;
            }
            Ok(json!({"count": all.len()}))
        }
        "add" => {
            let folder = add(node, &view, body).await?;
            doorway.stir();
            let view = node.view().await?;
            let there = doorway.there().has(&folder.dir).await;
            answer.line(&line(&folder, (there, 0), &view)).await;
            Ok(
                json!({"dir": folder.dir.to_string_lossy(), "runs": doorway.network().await.is_some()}),
            )
        }
        "remove" => {
            let mut all = folders(node.store())?;
            let place = followed(node, &all, PathBuf::from(pick::text(body, "dir")?)).await?;
            let place = place.ok_or_else(|| {
                ApiError::not_found("followed folder of that path").hint("heirloom watch list")
            })?;
            let folder = all.remove(place);
            let dir = folder.dir.clone();
            set_folders(node.store(), &all)?;
            doorway.stir();
            let store = node.store().clone();
            node.blocking(move || forget(&store, &folder)).await??;
            Ok(json!({"dir": dir.to_string_lossy()}))
        }
        other => Err(ApiError::usage(&format!("watch does not know {other:?}"))),
    }
}

/// Which of the folders has this path, by another name as well. One that hangs is known by its own.
async fn followed(node: &Node, all: &[Watched], dir: PathBuf) -> Result<Option<usize>, ApiError> {
    let place = |dir: &Path| all.iter().position(|folder| folder.dir == dir);
    if let Some(place) = place(&dir) {
        return Ok(Some(place));
    }
    let real = node.blocking(move || dir.canonicalize()).await?;
    Ok(real.ok().and_then(|dir| place(&dir)))
}

/// A folder that can be followed, without links. Blocks.
fn real(asked: &str, home: &Path) -> Result<PathBuf, ApiError> {
    let dir = Path::new(asked).canonicalize();
    let dir = dir.map_err(|_| {
        ApiError::not_found(&format!("folder {asked}"))
            .hint("look at the name, and whether the disk is connected")
            .why("folder", 0)
    })?;
    if !dir.is_dir() || dir.to_str().is_none() {
        return Err(
            ApiError::usage(&format!("{asked} is no folder that can be followed")).why("folder", 0),
        );
    }
    let home = home.canonicalize();
    if home.is_ok_and(|home| dir.starts_with(home)) {
        return Err(
            ApiError::usage("what Heirloom keeps itself cannot be followed").why("home", 0),
        );
    }
    Ok(dir)
}

async fn add(node: &Node, view: &View, body: &Value) -> Result<Watched, ApiError> {
    let asked = pick::text(body, "dir")?.to_owned();
    let home = node.store().home().to_owned();
    let dir = node.blocking(move || real(&asked, &home)).await??;
    let album = match pick::optional(body, "album") {
        Some(asked) => album_named(node, view, asked, false).await?,
        None => super::album_to_add_to(view, None)?,
    };
    let mut all = folders(node.store())?;
    let before = all.iter().position(|folder| folder.dir == dir);
    if let Some(before) = before.map(|place| all.remove(place)) {
        // Into another album it goes from the beginning.
        forget(node.store(), &before)?;
    }
    if all.len() >= FOLDERS_MAX {
        return Err(
            ApiError::usage(&format!("{FOLDERS_MAX} folders are followed already"))
                .why("many", FOLDERS_MAX),
        );
    }
    let folder = Watched::new(dir, album);
    all.push(folder.clone());
    all.sort_by(|a, b| a.dir.cmp(&b.dir));
    set_folders(node.store(), &all)?;
    Ok(folder)
}

/// Whether others have an album still that this person has no more.
fn is_unshared(view: &View, album: &AlbumId) -> bool {
    let ended = view.ended.get(album);
    ended.is_some_and(|album| !album.is_deleted)
}

/// Whether each folder is there; all are asked at once.
async fn are_there(there: &There, folders: &[Watched]) -> Vec<bool> {
    join_all(folders.iter().map(|folder| there.has(&folder.dir))).await
}

/// Folders out of which nothing comes at present.
pub(super) async fn problems(
    doorway: &Doorway,
    node: &Node,
    view: &View,
) -> Result<Vec<Problem>, ApiError> {
    let mut problems = Vec::new();
    let folders = folders(node.store())?;
    let there = are_there(doorway.there(), &folders).await;
    for (folder, is_there) in folders.iter().zip(there) {
        let dir = folder.dir.to_string_lossy().into_owned();
        if !view.albums.contains_key(&folder.album()) {
            let what = match is_unshared(view, &folder.album()) {
                true => "no longer shared with you",
                false => "no longer there",
            };
            let text = format!(
                "{dir} is followed into an album that is {what}: nothing of it is taken. Name another one (heirloom watch add {dir} --album ALBUM), or follow it no more (heirloom watch remove {dir})."
            );
            problems.push(Problem::new("folder-album", json!({"name": dir}), text));
        } else if !is_there {
            let text = format!(
                "{dir} is followed and not there now: what comes into it is taken once it is back. What was imported is safe."
            );
            problems.push(Problem::new("folder-missing", json!({"name": dir}), text));
        } else {
            problems.extend(left_out(&dir, doorway.left_out().of(&folder.dir)));
        }
    }
    Ok(problems)
}

/// What it means that files of a folder found no room.
fn left_out(dir: &str, n: usize) -> Option<Problem> {
    let text = match n {
        1 => format!(
            "1 file of the followed folder {dir} was left out as the disk is full: it comes by itself once there is room. What was imported is safe."
        ),
        _ => format!(
            "{n} files of the followed folder {dir} were left out as the disk is full: they come by themselves once there is room. What was imported is safe."
        ),
    };
    (n > 0).then(|| Problem::new("folder-full", json!({"name": dir, "n": n}), text))
}

/// A folder, whether it is there, and how many of its files wait for room.
fn line(folder: &Watched, (is_there, left_out): (bool, usize), view: &View) -> Value {
    let album = view.albums.get(&folder.album());
    json!({
        "type": "watch", "v": 1,
        "dir": folder.dir.to_string_lossy(), "album": album.map(|album| album.name(view)),
        "there": is_there, "left_out": left_out,
    })
}
