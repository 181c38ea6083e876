//! Whom and what a person means: albums, people and devices by name or id, assets by id.

use std::path::PathBuf;

use heirloom_protocol::{
    id::{AlbumId, DeviceId, PersonId},
    limits,
    replica::DeviceRow,
};
use serde_json::Value;

use super::{ApiError, undo};
use crate::{
    catalog::{Folded, Lookup, by_id, instant_text},
    node::Node,
    runtime::{EndedAlbum, SeenAlbum, View},
    sys,
};

/// Most of what a person typed that is told back.
const QUOTED_CHARS: usize = 64;
/// Fewest digits of an id.
pub(super) const PREFIX_DIGITS: usize = 4;
/// Digits of an id that lists show.
const SHOWN_DIGITS: usize = 8;

/// A text field of a request.
pub(super) fn text<'a>(body: &'a Value, field: &str) -> Result<&'a str, ApiError> {
    optional(body, field).ok_or_else(|| ApiError::usage(&format!("{field} is missing")))
}

/// A name as people give them: 1 to 256 bytes without control characters, spaces around it left out.
pub(super) fn name<'a>(body: &'a Value, field: &str) -> Result<&'a str, ApiError> {
    let whose = match field {
        "name" => "the name".to_owned(),
        field => format!("the name of the {field}"),
    };
    let name = text(body, field)?;
    checked_name(name, &whose).map(str::trim)
}

/// The same of a text; `whose` says what it is.
pub(super) fn checked_name<'a>(name: &'a str, whose: &str) -> Result<&'a str, ApiError> {
    let wrong = if name.trim().is_empty() {
        "is empty"
    } else if name.len() > limits::NAME_BYTES {
        "is longer than 256 bytes"
    } else if name.chars().any(char::is_control) {
        "has control characters"
    } else {
        return Ok(name);
    };
    Err(ApiError::usage(&format!("{whose} {wrong}"))
        .hint("a name is one line of text, of 1 to 256 bytes"))
}

/// Something has the name already that was to be given.
pub(super) fn taken(what: &str, id: &str) -> ApiError {
    let short = id.get(..8).unwrap_or(id);
    ApiError::new(
        "E-AMBIGUOUS",
        2,
        format!("there is {what} already ({short})"),
    )
    .safe("Nothing was changed.")
    .hint("choose a name that can be told from it")
}

/// What a person typed, in quotes; the beginning of it where it is long.
pub(super) fn quoted(asked: &str) -> String {
    match asked.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{:?}...", &asked[..end]),
        None => format!("{asked:?}"),
    }
}

/// A text field that may be left out.
pub(super) fn optional<'a>(body: &'a Value, field: &str) -> Option<&'a str> {
    body.get(field).and_then(Value::as_str)
}

/// A path: a text, or where its bytes are no text `{"bytes": ..}` with them in hexadecimal.
pub(super) fn path(body: &Value, field: &str) -> Result<PathBuf, ApiError> {
    let path = body.get(field).and_then(path_of);
    path.ok_or_else(|| ApiError::usage(&format!("{field} is missing")))
}

/// A list of paths; what is none is left out.
pub(super) fn paths(body: &Value, field: &str) -> Vec<PathBuf> {
    let all = body.get(field).and_then(Value::as_array);
    all.into_iter().flatten().filter_map(path_of).collect()
}

fn path_of(value: &Value) -> Option<PathBuf> {
    if let Some(text) = value.as_str() {
        return Some(PathBuf::from(text));
    }
    let bytes = value.get("bytes")?.as_str()?;
    let bytes = data_encoding::HEXLOWER.decode(bytes.as_bytes()).ok()?;
    sys::path_of_bytes(bytes)
}

/// A yes or no, no when it is left out.
pub(super) fn flag(body: &Value, field: &str) -> bool {
    body.get(field).and_then(Value::as_bool).unwrap_or(false)
}

/// A list of texts; one text counts as a list of one.
pub(super) fn texts<'a>(body: &'a Value, field: &str) -> Vec<&'a str> {
    match body.get(field) {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one],
        _ => Vec::new(),
    }
}

fn by_name_or_id<'a, T>(
    what: &str,
    asked: &str,
    all: impl Iterator<Item = &'a T>,
    name: impl Fn(&T) -> String,
    id: impl Fn(&T) -> String,
) -> Result<&'a T, ApiError> {
    let all: Vec<_> = all.collect();
    let lower = asked.to_lowercase();
    // A whole id means one thing, whatever others call themselves.
    if let Some(one) = all.iter().find(|one| id(one) == lower) {
        return Ok(one);
    }
    let begins = |digits: usize| {
        let ids = all.iter().filter(|one| id(one).starts_with(&lower));
        ids.filter(|_| asked.len() >= digits).collect::<Vec<_>>()
    };
    let mut found: Vec<_> = all.iter().filter(|one| name(one) == asked).collect();
    if found.is_empty() {
        let named = all.iter().filter(|one| name(one).to_lowercase() == lower);
        found = named.collect();
    }
    if found.is_empty() {
        found = begins(PREFIX_DIGITS);
    } else {
        // Names are what people call themselves: nobody takes the place of an id as lists show it.
        let others = begins(SHOWN_DIGITS).into_iter();
        let others = others.filter(|other| found.iter().all(|one| id(one) != id(other)));
        found.extend(others.collect::<Vec<_>>());
    }
    match found[..] {
        [one] => Ok(one),
        [] => Err(
            ApiError::not_found(&format!("{what} {}", quoted(asked))).hint(match what {
                "person" => "heirloom people list names all of them".to_owned(),
                _ => format!("heirloom {what} list names all of them"),
            }),
        ),
        _ => Err(
            ApiError::ambiguous(&format!("{what} fits {}", quoted(asked))).hint(match what {
                "person" => "give the id: heirloom people list shows it".to_owned(),
                _ => format!("give the id: heirloom {what} list shows it"),
            }),
        ),
    }
}

/// An album by name or id.
pub(super) fn album<'a>(view: &'a View, asked: &str) -> Result<&'a SeenAlbum, ApiError> {
    let found = by_name_or_id(
        "album",
        asked,
        view.albums.values(),
        |album| album.name(view),
        |album| album.id.to_string(),
    );
    found.map_err(|error| match ended(view, asked) {
        Some(album) if error.id == "E-NOT-FOUND" => super::ended::refusal(view, album),
        _ => error,
    })
}

/// An album that is no longer shared with this person, where none in sight is meant.
pub(super) fn ended_album<'a>(view: &'a View, asked: &str) -> Option<&'a EndedAlbum> {
    match album(view, asked) {
        Err(error) if error.id != "E-AMBIGUOUS" => ended(view, asked),
        _ => None,
    }
}

fn ended<'a>(view: &'a View, asked: &str) -> Option<&'a EndedAlbum> {
    let found = by_name_or_id(
        "album",
        asked,
        super::ended::listed(view),
        |album| album.name.clone(),
        |album| album.id.to_string(),
    );
    found.ok()
}

/// An album's id by name or id.
pub(crate) fn album_id(view: &View, asked: &str) -> Result<AlbumId, ApiError> {
    album(view, asked).map(|album| album.id)
}

/// A person by name or id.
pub(super) fn person(view: &View, asked: &str) -> Result<PersonId, ApiError> {
    let rows = view.people.persons.iter();
    by_name_or_id(
        "person",
        asked,
        rows,
        |row| row.name.clone().unwrap_or_default(),
        |row| row.id.to_string(),
    )
    .map(|row| row.id)
}

/// A device by name or id, removed ones left out.
pub(super) fn device(view: &View, asked: &str) -> Result<DeviceId, ApiError> {
    device_of(view, asked, false)
        .map(|row| row.id)
        .map_err(|error| match removed_device(view, asked) {
            Some(row) if error.id == "E-NOT-FOUND" => removed(view, row),
            _ => error,
        })
}

/// A device that was removed, by name or id, unless a live one has that name.
pub(super) fn removed_device<'a>(view: &'a View, asked: &str) -> Option<&'a DeviceRow> {
    match device_of(view, asked, false) {
        Err(error) if error.id == "E-NOT-FOUND" => device_of(view, asked, true).ok(),
        _ => None,
    }
}

fn device_of<'a>(view: &'a View, asked: &str, removed: bool) -> Result<&'a DeviceRow, ApiError> {
    let rows = view.people.devices.iter();
    by_name_or_id(
        "device",
        asked,
        rows.filter(|row| row.removed == removed),
        |row| row.name.clone().unwrap_or_default(),
        |row| row.id.to_string(),
    )
}

/// A device that is meant is out of the family already.
fn removed(view: &View, row: &DeviceRow) -> ApiError {
    let when = row.removed_at.map(instant_text).unwrap_or_default();
    let on = when.get(..10).map(|day| format!(" on {day}"));
    let (name, on) = (view.device_name(&row.id), on.unwrap_or_default());
    ApiError::new("E-NOT-FOUND", 4, format!("{name} was removed{on}"))
        .safe("Nothing was changed.")
        .hint("heirloom device list names all devices")
}

/// What became of ids that a person named.
pub(super) struct Picked {
    /// The assets, each once; one at least.
    pub(super) found: Vec<Folded>,
    /// Ids that fit none or several, and why.
    pub(super) missing: Vec<(String, ApiError)>,
}

/// Assets by their ids, each once; the first that is none ends it.
pub(super) async fn assets(
    node: &Node,
    view: &View,
    ids: &[&str],
) -> Result<Vec<Folded>, ApiError> {
    let picked = some_assets(node, view, ids).await?;
    match picked.missing.into_iter().next() {
        Some((_, error)) => Err(error),
        None => Ok(picked.found),
    }
}

/// The same, as far as there are any; an error where none is.
pub(super) async fn some_assets(
    node: &Node,
    view: &View,
    ids: &[&str],
) -> Result<Picked, ApiError> {
    let mut found = Vec::with_capacity(ids.len());
    let mut missing = Vec::new();
    for id in ids {
        let (store, seen, asked) = (node.store().clone(), view.clone(), (*id).to_owned());
        let looked = node
            .blocking(move || by_id(&store, &seen, &asked))
            .await??;
        match looked {
            Lookup::One(folded) => {
                let id = folded.first().key;
                if found.iter().all(|known: &Folded| known.first().key != id) {
                    found.push(*folded);
                }
            }
            Lookup::None => missing.push(((*id).to_owned(), not_there(node, view, id).await?)),
            Lookup::Ambiguous => {
                let error = ApiError::ambiguous(&format!("photo begins with {}", quoted(id)));
                missing.push(((*id).to_owned(), error));
            }
        }
    }
    match missing.first() {
        Some((_, error)) if found.is_empty() => Err(error.clone()),
        _ => Ok(Picked { found, missing }),
    }
}

/// Why no photo is in sight under an id: there is none, or it was deleted for good.
pub(super) async fn not_there(node: &Node, view: &View, id: &str) -> Result<ApiError, ApiError> {
    let (store, view, asked) = (node.store().clone(), view.clone(), id.to_owned());
    let purged = node.blocking(move || undo::purged(&store, &view, &asked));
    Ok(purged.await??.unwrap_or_else(|| no_photo(id)))
}

/// No photo or video has this id.
pub(super) fn no_photo(id: &str) -> ApiError {
    let error = ApiError::not_found(&format!("photo or video {}", quoted(id)));
    if id.chars().count() < PREFIX_DIGITS {
        return error.hint("give at least 4 characters of the id");
    }
    error.hint("heirloom list and heirloom find show the ids")
}
