//! Whom and what a person means: albums, people and devices by name or id, assets by id.

use heirloom_protocol::{
    id::{AlbumId, DeviceId, PersonId},
    limits,
};
use serde_json::Value;

use super::ApiError;
use crate::{
    catalog::{Folded, Lookup, by_id},
    node::Node,
    runtime::{SeenAlbum, View},
};

/// Fewest digits of an id.
const PREFIX_DIGITS: usize = 4;

/// A text field of a request.
pub(super) fn text<'a>(body: &'a Value, field: &str) -> Result<&'a str, ApiError> {
    optional(body, field).ok_or_else(|| ApiError::usage(&format!("{field} is missing")))
}

/// A name as people give them: 1 to 256 bytes without control characters, spaces around it left out.
pub(super) fn name<'a>(body: &'a Value, field: &str) -> Result<&'a str, ApiError> {
    let name = text(body, field)?.trim();
    if name.is_empty() || name.len() > limits::NAME_BYTES || name.chars().any(char::is_control) {
        return Err(ApiError::usage(&format!(
            "the name of {field} has 1 to 256 bytes and no control characters"
        )));
    }
    Ok(name)
}

/// A text field that may be left out.
pub(super) fn optional<'a>(body: &'a Value, field: &str) -> Option<&'a str> {
    body.get(field).and_then(Value::as_str)
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
    let exact: Vec<_> = all.iter().filter(|one| name(one) == asked).collect();
    let found = if exact.is_empty() {
        let lower = asked.to_lowercase();
        let named = all.iter().filter(|one| name(one).to_lowercase() == lower);
        let is_prefix = |one: &&&T| asked.len() >= PREFIX_DIGITS && id(one).starts_with(&lower);
        let mut found: Vec<_> = named.collect();
        if found.is_empty() {
            found = all.iter().filter(is_prefix).collect();
        }
        found
    } else {
        exact
    };
    match found[..] {
        [one] => Ok(one),
        [] => Err(ApiError::not_found(&format!("{what} {asked:?}"))),
        _ => Err(ApiError::ambiguous(&format!("{what} fits {asked:?}"))),
    }
}

/// An album by name or id.
pub(super) fn album<'a>(view: &'a View, asked: &str) -> Result<&'a SeenAlbum, ApiError> {
    by_name_or_id(
        "album",
        asked,
        view.albums.values(),
        |album| album.name(view),
        |album| album.id.to_string(),
    )
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
    let rows = view.people.devices.iter().filter(|row| !row.removed);
    by_name_or_id(
        "device",
        asked,
        rows,
        |row| row.name.clone().unwrap_or_default(),
        |row| row.id.to_string(),
    )
    .map(|row| row.id)
}

/// Assets by their ids, each once.
pub(super) async fn assets(
    node: &Node,
    view: &View,
    ids: &[&str],
) -> Result<Vec<Folded>, ApiError> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let (store, view, asked) = (node.store().clone(), view.clone(), (*id).to_owned());
        let looked = node
            .blocking(move || by_id(&store, &view, &asked))
            .await??;
        match looked {
            Lookup::One(folded) => {
                let id = folded.first().key;
                if found.iter().all(|known: &Folded| known.first().key != id) {
                    found.push(*folded);
                }
            }
            Lookup::None => return Err(ApiError::not_found(&format!("asset {id:?}"))),
            Lookup::Ambiguous => {
                return Err(ApiError::ambiguous(&format!("asset begins with {id:?}")));
            }
        }
    }
    Ok(found)
}
