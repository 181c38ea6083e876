//! Every item at one moment, as its row: decoded one at a time, so that memory stays small and goes back.

use std::ops::{ControlFlow, Range};

use heirloom_protocol::{
    album::asset::Asset,
    id::{OpId, PersonId, PlainHash},
};

use super::{Folded, Item, fold};
use crate::{
    runtime::{AssetKey, View, decode_asset},
    store::{Store, StoreError, Table},
};

/// Items that can be seen, in order of their content.
///
/// Takes about a kilobyte an item, in two pieces; an item that is decoded takes
/// twice that in many small ones, which would stay with the process for long.
#[derive(Default)]
pub struct Rows {
    bytes: Vec<u8>,
    rows: Vec<Row>,
    me: Option<PersonId>,
}

struct Row {
    content: PlainHash,
    key: AssetKey,
    at: Range<usize>,
}

/// Reads every item this person can see that was added and is not purged.
///
/// # Errors
///
/// [`StoreError::Damaged`] names a row that cannot be read.
pub fn read(store: &Store, view: &View) -> Result<Rows, StoreError> {
    let mut rows = Rows {
        me: view.person,
        ..Rows::default()
    };
    for album in view.albums.keys() {
        let mut damaged = None;
        store.scan(Table::Assets, &album.0, |key, value| {
            match (AssetKey::from_bytes(key), value) {
                (_, Err(damage)) => damaged = Some(damage),
                (Some(key), Ok(row)) => rows.add(key, &row),
                (None, Ok(_)) => {}
            }
            ControlFlow::Continue(())
        })?;
        if let Some(damage) = damaged {
            return Err(damage.into());
        }
    }
    rows.rows.sort_by_key(|row| (row.content, row.key));
    Ok(rows)
}

fn content_of(asset: &Asset) -> Option<PlainHash> {
    let added = asset.added.as_ref().filter(|_| !asset.is_purged())?;
    added.item.parts.first().map(|part| part.pt_hash)
}

/// What assets are sorted by: time of capture, unknown last, then name and id.
type Order = (bool, Option<i64>, Option<String>, OpId);

fn order_of(folded: &Folded) -> Order {
    let wall = folded.captured().wall;
    let first = folded.first();
    let added = first.asset.added.as_ref();
    let name = added.and_then(|added| added.item.parts.first().map(|part| part.name.clone()));
    (wall.is_none(), wall, name, first.key.item)
}

impl Rows {
    fn add(&mut self, key: AssetKey, row: &[u8]) {
        let Some(content) = decode_asset(row).as_ref().and_then(content_of) else {
            return;
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(row);
        let at = start..self.bytes.len();
        self.rows.push(Row { content, key, at });
    }

    /// All of them, those with the same content folded into one.
    pub fn iter(&self) -> impl Iterator<Item = Folded> {
        self.rows
            .chunk_by(|one, next| one.content == next.content)
            .filter_map(|same| self.folded(same))
    }

    /// The same for those that fit, by time of capture, unknown last, then by name and id.
    pub fn in_order(&self, fits: impl Fn(&Folded) -> bool) -> impl Iterator<Item = Folded> {
        let mut found: Vec<(Order, &[Row])> = self
            .rows
            .chunk_by(|one, next| one.content == next.content)
            .filter_map(|same| {
                let folded = self.folded(same).filter(|folded| fits(folded))?;
                Some((order_of(&folded), same))
            })
            .collect();
        found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        found.into_iter().filter_map(|(_, same)| self.folded(same))
    }

    fn folded(&self, rows: &[Row]) -> Option<Folded> {
        let items = rows.iter().filter_map(|row| {
            let asset = decode_asset(self.bytes.get(row.at.clone())?)?;
            Some(Item {
                key: row.key,
                asset,
            })
        });
        let items: Vec<Item> = items.collect();
        (!items.is_empty()).then(|| fold(items, self.me))
    }
}
