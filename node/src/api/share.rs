//! `share` and `unshare`: who may do what in an album.

use heirloom_protocol::{
    id::{AlbumId, PersonId},
    op::Level,
};
use serde_json::{Value, json};

use super::{ApiError, Done, albums::managed, last::Loss, pick};
use crate::{
    node::Node,
    runtime::{SeenAlbum, View},
};

/// A level as people call it.
pub(super) fn role_name(level: Level) -> &'static str {
    match level {
        Level::None => "none",
        Level::Viewer => "viewer",
        Level::Contributor => "contributor",
        Level::Manager => "manager",
    }
}

fn level(role: &str) -> Result<Level, ApiError> {
    match role {
        "viewer" => Ok(Level::Viewer),
        "contributor" => Ok(Level::Contributor),
        "manager" => Ok(Level::Manager),
        other => Err(ApiError::usage(&format!("there is no role {other:?}"))
            .hint("viewer, contributor or manager")),
    }
}

/// `share`: an album for one more person, or with another role.
pub(super) async fn share(node: &Node, body: &Value) -> Done {
    let role = pick::optional(body, "role").unwrap_or("contributor");
    let level = level(role)?;
    let view = node.view().await?;
    let (album, person) = whom(&view, body)?;
    set(node, album, person, level).await?;
    Ok(told(&view, album, person, role))
}

/// `unshare`: an album for one person fewer, unless their devices alone are known to have originals of it.
pub(super) async fn unshare(node: &Node, body: &Value) -> Done {
    let view = node.view().await?;
    let (album, person) = whom(&view, body)?;
    if album.people.iter().all(|(other, _)| *other != person) {
        let (name, album) = (view.person_name(&person), album.name(&view));
        return Err(ApiError::not_found(&format!(
            "{name:?} in the album {album:?}"
        )));
    }
    let theirs = view.others().filter(|row| row.person == Some(person));
    let theirs = theirs.map(|row| row.id).collect();
    let loss = Loss::without(node, &view, theirs, Some(album.id)).await?;
    let again = format!(
        "heirloom unshare {} {} --with-last-copies",
        pick::quoted(pick::text(body, "album")?),
        pick::quoted(pick::text(body, "person")?)
    );
    loss.allow_end(body, &view.person_name(&person), &again)?;
    set(node, album, person, Level::None).await?;
    let mut told = told(&view, album, person, "none");
    loss.tell(&mut told);
    Ok(told)
}

fn whom<'a>(view: &'a View, body: &Value) -> Result<(&'a SeenAlbum, PersonId), ApiError> {
    let album = managed(view, body)?;
    let person = pick::person(view, pick::text(body, "person")?)?;
    if album.creator == person {
        let name = view.person_name(&person);
        return Err(
            ApiError::not_allowed(&format!("{name} made the album and always manages it"))
                .safe("Nothing was changed."),
        );
    }
    Ok((album, person))
}

async fn set(
    node: &Node,
    album: &SeenAlbum,
    person: PersonId,
    level: Level,
) -> Result<(), ApiError> {
    let there = album.people.iter().find(|(other, _)| *other == person);
    if there.map(|(_, level)| *level) == Some(level) {
        return Ok(());
    }
    let album = album.id;
    let now = node
        .ask(move |runtime| {
            runtime.set_access(album, person, level)?;
            Ok::<_, crate::runtime::RuntimeError>(level_of(runtime, &album, &person))
        })
        .await??;
    if now == level {
        Ok(())
    } else {
        Err(ApiError::not_allowed(
            "a later change of the album's rights stands against it",
        ))
    }
}

fn level_of(runtime: &crate::runtime::Runtime, album: &AlbumId, person: &PersonId) -> Level {
    let album = runtime.replica().album(album);
    album.map_or(Level::None, |album| album.level(person))
}

fn told(view: &View, album: &SeenAlbum, person: PersonId, role: &str) -> Value {
    json!({
        "album": album.id.to_string(),
        "name": album.name(view),
        "person": person.to_string(),
        "role": role,
    })
}
