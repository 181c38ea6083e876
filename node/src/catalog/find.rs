//! Which assets a person means: by filter, by id, by words.

use std::ops::ControlFlow;

use heirloom_protocol::{
    id::{AlbumId, OpId},
    op::ItemKind,
};

use super::{Folded, Item, read_like};
use crate::{
    runtime::{AssetKey, View},
    store::{Store, StoreError, Table},
};

/// Fewest digits of an id that are looked for.
const PREFIX_DIGITS: usize = 4;

/// What a list is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// One album.
    pub album: Option<AlbumId>,
    /// Wall time of capture: from, up to but excluding.
    pub taken: Option<(i64, i64)>,
    /// Photos or movies.
    pub kind: Option<ItemKind>,
    /// Only what no other device is known to hold.
    pub only_here: bool,
    /// What is in the trash, instead of what is not.
    pub trashed: bool,
    /// Words that all have to occur in its name, caption, tags, albums, camera or people.
    pub words: Vec<String>,
}

impl Filter {
    /// Whether an asset passes, but for `only_here` and `words`, which its line decides.
    pub fn fits(&self, folded: &Folded) -> bool {
        let in_album = |album: &AlbumId| {
            folded.items.iter().any(|item| {
                item.key.album == *album && (item.asset.trashed().is_some() == self.trashed)
            })
        };
        let Some(added) = &folded.first().asset.added else {
            return false;
        };
        let wall = folded.captured().wall;
        let in_sight = |folded: &Folded| folded.is_trashed() == self.trashed;
        self.album
            .as_ref()
            .map_or_else(|| in_sight(folded), in_album)
            && self.kind.is_none_or(|kind| kind == added.item.kind)
            && self
                .taken
                .is_none_or(|(from, to)| wall.is_some_and(|wall| (from..to).contains(&wall)))
    }

    /// Whether every word occurs somewhere in an asset's line.
    pub fn has_words(&self, listed: &super::Listed) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let text = listed.searched();
        self.words
            .iter()
            .all(|word| text.contains(&word.to_lowercase()))
    }
}

impl super::Listed {
    /// Everything of an asset that can be searched, in lower case.
    fn searched(&self) -> String {
        let mut text = vec![self.name.as_str(), self.by.as_str(), self.kind];
        text.extend(self.caption.as_deref());
        text.extend(self.taken.as_deref());
        if let Some(camera) = &self.camera {
            text.extend([camera.make.as_str(), camera.model.as_str()]);
        }
        text.extend(self.tags.iter().map(String::as_str));
        text.extend(self.albums.iter().map(String::as_str));
        text.join("\n").to_lowercase()
    }
}

/// What looking for an id found.
#[derive(Debug)]
pub enum Lookup {
    /// One asset.
    One(Box<Folded>),
    /// None.
    None,
    /// More than one begins like this.
    Ambiguous,
}

/// Finds an asset by its id or a unique prefix of it; any of its items' ids will do.
pub fn by_id(store: &Store, view: &View, text: &str) -> Result<Lookup, StoreError> {
    let text = text.to_lowercase();
    let is_hex = text.chars().all(|c| c.is_ascii_hexdigit());
    if text.len() < PREFIX_DIGITS || text.len() > 64 || !is_hex {
        return Ok(Lookup::None);
    }
    let even = &text[..text.len() / 2 * 2];
    let prefix = data_encoding::HEXLOWER
        .decode(even.as_bytes())
        .unwrap_or_default();
    let mut found: Vec<AssetKey> = Vec::new();
    for album in view.albums.keys() {
        let from = [&album.0[..], &prefix[..]].concat();
        store.scan(Table::Assets, &from, |key, _| {
            let key =
                AssetKey::from_bytes(key).filter(|key| key.item.to_string().starts_with(&text));
            found.extend(key);
            ControlFlow::Continue(())
        })?;
    }
    let mut contents: Vec<(OpId, Folded)> = Vec::new();
    for key in found {
        if let Some(folded) = read_like(store, view, key)? {
            let id = folded.first().key.item;
            if contents.iter().all(|(known, _)| *known != id) {
                contents.push((id, folded));
            }
        }
    }
    Ok(match contents.len() {
        0 => Lookup::None,
        1 => contents
            .pop()
            .map_or(Lookup::None, |(_, folded)| Lookup::One(Box::new(folded))),
        _ => Lookup::Ambiguous,
    })
}

/// The items of an asset that stand in one album.
pub fn items_in<'a>(folded: &'a Folded, album: &AlbumId) -> impl Iterator<Item = &'a Item> {
    let album = *album;
    folded
        .items
        .iter()
        .filter(move |item| item.key.album == album)
}
