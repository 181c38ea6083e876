//! Albums: `create`, `list`, `show`, `rename`, `add`, `remove`, `leave` and `delete`.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_protocol::{
    id::AlbumId,
    op::{ALBUM_NAME, AlbumUse, Level, Op, SetAlbum},
};
use serde_json::{Value, json};

use super::{
    Answer, ApiError, Done, assets,
    copy::copy_into,
    edits::ids,
    ended,
    kept::Kept,
    pick::{self, name},
    share, trash,
    write::{Edits, tell_missing},
};
use crate::{
    catalog::{self, Filter, Folded},
    node::Node,
    runtime::{SeenAlbum, View},
};

/// `album`, with what to do in `do`.
pub(super) async fn album(node: &Node, body: &Value, answer: &Answer) -> Done {
    match pick::text(body, "do")? {
        "create" => create(node, body).await,
        "list" => list(node, answer).await,
        "show" => show(node, body, answer).await,
        "rename" => rename(node, body).await,
        "add" => add(node, body, answer).await,
        "remove" => trash::trash(node, body, answer).await,
        "leave" => leave(node, body, answer).await,
        "may" => may(node, body).await,
        "delete" => delete(node, body, answer).await,
        other => Err(ApiError::usage(&format!("album does not know {other:?}"))),
    }
}

async fn create(node: &Node, body: &Value) -> Done {
    let name = name(body, "name")?.to_owned();
    let view = node.view().await?;
    name_is_free(&view, &name, None)?;
    let made = name.clone();
    let album = node
        .ask(move |runtime| runtime.make_album(&made, AlbumUse::Album))
        .await??;
    Ok(json!({"id": album.to_string(), "album": album.to_string(), "name": name}))
}

/// Refuses a name that an album in sight has, letters of either case alike. Two devices apart can still make two of one name.
fn name_is_free(view: &View, name: &str, but: Option<AlbumId>) -> Result<(), ApiError> {
    let lower = name.to_lowercase();
    let mut others = view.albums.values().filter(|album| Some(album.id) != but);
    match others.find(|album| album.name(view).to_lowercase() == lower) {
        None => Ok(()),
        Some(album) => Err(pick::taken(
            &format!("an album {}", pick::quoted(&album.name(view))),
            &album.id.to_string(),
        )),
    }
}

async fn list(node: &Node, answer: &Answer) -> Done {
    let view = node.view().await?;
    let (store, seen) = (node.store().clone(), view.clone());
    let counts = node.blocking(move || {
        let assets = catalog::read(&store, &seen)?;
        Ok::<_, crate::store::StoreError>(counts(assets.iter()))
    });
    let counts = counts.await??;
    let mut albums: Vec<_> = view.albums.values().collect();
    albums.sort_by_key(|album| (purpose_order(album), album.name(&view), album.id));
    for album in &albums {
        let count = counts.get(&album.id).copied().unwrap_or(0);
        answer.line(&line(album, &view, count)).await;
    }
    for album in ended::listed(&view) {
        answer.line(&ended::line(&view, album)).await;
    }
    Ok(json!({"count": albums.len()}))
}

fn purpose_order(album: &SeenAlbum) -> u8 {
    match album.row.purpose() {
        AlbumUse::Library => 0,
        AlbumUse::Family => 1,
        AlbumUse::Album => 2,
    }
}

/// How many assets each album shows.
fn counts(assets: impl Iterator<Item = Folded>) -> BTreeMap<AlbumId, u64> {
    let mut counts = BTreeMap::new();
    for folded in assets {
        let live = folded
            .items
            .iter()
            .filter(|item| item.asset.trashed().is_none());
        let albums: BTreeSet<_> = live.map(|item| item.key.album).collect();
        for album in albums {
            *counts.entry(album).or_default() += 1;
        }
    }
    counts
}

fn line(album: &SeenAlbum, view: &View, assets: u64) -> Value {
    let people: Vec<_> = album
        .people
        .iter()
        .map(|(person, level)| {
            json!({
                "person": person.to_string(),
                "name": view.person_name(person),
                "role": share::role_name(*level),
                "creator": *person == album.creator,
            })
        })
        .collect();
    json!({
        "type": "album", "v": 1,
        "id": album.id.to_string(),
        "name": album.name(view),
        "assets": assets,
        "role": share::role_name(album.level),
        "people": people,
        "use": match album.row.purpose() {
            AlbumUse::Album => "album",
            AlbumUse::Library => "library",
            AlbumUse::Family => "family",
        },
    })
}

async fn show(node: &Node, body: &Value, answer: &Answer) -> Done {
    let view = node.view().await?;
    let album = pick::album(&view, pick::text(body, "album")?)?;
    let filter = Filter {
        album: Some(album.id),
        ..Filter::default()
    };
    let (store, seen, only) = (node.store().clone(), view.clone(), filter.clone());
    let count = node.blocking(move || {
        let assets = catalog::read(&store, &seen)?;
        let count = assets.iter().filter(|one| only.fits(one)).count();
        Ok::<_, crate::store::StoreError>(u64::try_from(count).unwrap_or(u64::MAX))
    });
    answer.line(&line(album, &view, count.await??)).await;
    let count = assets::tell(node, view.clone(), filter, answer).await?;
    Ok(json!({"count": count}))
}

async fn rename(node: &Node, body: &Value) -> Done {
    let view = node.view().await?;
    let album = managed(&view, body)?;
    if album.row.purpose() == AlbumUse::Library {
        return Err(ApiError::not_allowed(
            "a library is called after its person",
        ));
    }
    let name = name(body, "name")?;
    name_is_free(&view, name, Some(album.id))?;
    let mut edits = Edits::default();
    edits.say(
        album.id,
        Op::SetAlbum(SetAlbum {
            field: ALBUM_NAME,
            value: name.as_bytes().to_vec(),
        }),
    );
    edits.record(node).await?;
    Ok(json!({"album": album.id.to_string(), "name": name}))
}

/// The album that is named, if this person manages it.
pub(super) fn managed<'a>(view: &'a View, body: &Value) -> Result<&'a SeenAlbum, ApiError> {
    let album = pick::album(view, pick::text(body, "album")?)?;
    if album.level < Level::Manager {
        return Err(
            ApiError::not_allowed("only a manager of the album may do that")
                .safe("Nothing was changed.")
                .hint("heirloom album show says who manages it"),
        );
    }
    Ok(album)
}

async fn add(node: &Node, body: &Value, answer: &Answer) -> Done {
    let view = node.view().await?;
    let album = pick::album(&view, pick::text(body, "album")?)?;
    if album.level < Level::Contributor {
        return Err(
            ApiError::not_allowed("only contributors may add to this album")
                .safe("Nothing was changed.")
                .hint("ask somebody who manages the album"),
        );
    }
    let picked = pick::some_assets(node, &view, &ids(body)?).await?;
    let copied = copy_into(node, &view, album.id, picked.found).await?;
    tell_missing(&picked.missing, answer).await;
    let failed = picked.missing.len();
    Ok(json!({
        "changed": copied.added, "added": copied.added, "present": copied.present,
        "failed": failed, "exit": if failed > 0 { 3 } else { 0 },
    }))
}

/// Whether this person may leave or delete an album, before they are asked whether they mean it.
async fn may(node: &Node, body: &Value) -> Done {
    let view = node.view().await?;
    let act = pick::text(body, "act")?;
    if act == "leave"
        && let Some(album) = pick::ended_album(&view, pick::text(body, "album")?)
    {
        return ended::may_leave(node, &view, album, body).await;
    }
    let kept = kept(node, &view, body, act).await?;
    let (last, elsewhere) = (kept.nowhere, kept.elsewhere());
    Ok(json!({"album": kept.album.to_string(), "last": last, "elsewhere": elsewhere}))
}

/// What this person keeps of an album that they leave or delete, if they may.
async fn kept(node: &Node, view: &View, body: &Value, act: &str) -> Result<Kept, ApiError> {
    let (album, owner) = match act {
        "leave" => (left(view, body)?, Some(view.person.ok_or_else(no_person)?)),
        // Deleting an album deletes no photo: what is in no other album is kept in the library.
        "delete" => (deleted(view, body)?, None),
        other => {
            return Err(ApiError::usage(&format!(
                "nobody has to be asked about {other:?}"
            )));
        }
    };
    let kept = Kept::of(node, view, album.id, owner).await?;
    kept.allow(view, body, act)?;
    Ok(kept)
}

/// The album that is named, if this person may leave it.
fn left<'a>(view: &'a View, body: &Value) -> Result<&'a SeenAlbum, ApiError> {
    let album = pick::album(view, pick::text(body, "album")?)?;
    if Some(album.creator) == view.person {
        return Err(
            ApiError::not_allowed("whoever made an album cannot leave it")
                .safe("Nothing was changed.")
                .hint("heirloom album delete takes it from everybody"),
        );
    }
    Ok(album)
}

async fn leave(node: &Node, body: &Value, answer: &Answer) -> Done {
    let view = node.view().await?;
    if let Some(album) = pick::ended_album(&view, pick::text(body, "album")?) {
        return ended::leave(node, &view, album, body).await;
    }
    let me = view.person.ok_or_else(no_person)?;
    let kept = kept(node, &view, body, "leave").await?;
    let (album, last, elsewhere) = (kept.album, kept.nowhere, kept.elsewhere());
    let kept = kept.keep(node, &view, answer).await?;
    node.ask(move |runtime| runtime.set_access(album, me, Level::None))
        .await??;
    Ok(json!({"album": album.to_string(), "kept": kept, "last": last, "elsewhere": elsewhere}))
}

/// A device that belongs to nobody, or to nobody any more.
pub(super) fn no_person() -> ApiError {
    ApiError::not_allowed("this device belongs to no person of the family")
        .safe("Nothing was changed.")
}

/// The album that is named, if this person may delete it.
fn deleted<'a>(view: &'a View, body: &Value) -> Result<&'a SeenAlbum, ApiError> {
    let album = managed(view, body)?;
    match album.row.purpose() {
        AlbumUse::Album => Ok(album),
        AlbumUse::Library | AlbumUse::Family => Err(ApiError::not_allowed(
            "libraries and the family's album stay",
        )
        .safe("Nothing was changed.")
        .hint("heirloom trash takes photos out of them")),
    }
}

async fn delete(node: &Node, body: &Value, answer: &Answer) -> Done {
    let view = node.view().await?;
    let kept = kept(node, &view, body, "delete").await?;
    let (album, last) = (kept.album, kept.nowhere);
    let kept = kept.keep(node, &view, answer).await?;
    node.ask(move |runtime| runtime.record_in_album(album, &[Op::CloseAlbum(())]))
        .await??;
    Ok(json!({"album": album.to_string(), "kept": kept, "last": last}))
}
