//! Every item at one moment, as its row: decoded one at a time, so that memory stays small and goes back.

use std::ops::{ControlFlow, Range};

use heirloom_protocol::{
    album::asset::Asset,
    id::{OpId, PersonId, PlainHash},
};

use super::{
    Folded, Item, fold,
    same::{CopyId, Tie, said, ties},
};
use crate::{
    runtime::{AssetKey, View, decode_asset},
    store::{Store, StoreError, Table},
};

/// Items that can be seen, those that are one photo beside each other.
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
    said: (CopyId, PersonId),
    tie: Tie,
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
    rows.tie();
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
        let asset = decode_asset(row);
        let asset = asset.as_ref();
        let (Some(content), Some(said)) = (asset.and_then(content_of), asset.and_then(said)) else {
            return;
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(row);
        let at = start..self.bytes.len();
        self.rows.push(Row {
            content,
            said,
            tie: Tie::Copy(said.0),
            key,
            at,
        });
    }

    /// Puts those beside each other that are one photo.
    fn tie(&mut self) {
        self.rows.sort_by_key(|row| (row.content, row.key));
        let groups = self
            .rows
            .chunk_by_mut(|one, next| one.content == next.content);
        for same in groups.filter(|same| same.len() > 1) {
            let all: Vec<_> = same.iter().map(|row| row.said).collect();
            for (row, tie) in same.iter_mut().zip(ties(&all, self.me)) {
                row.tie = tie;
            }
            same.sort_by_key(|row| (row.tie, row.key));
        }
    }

    /// Each photo's rows.
    fn photos(&self) -> impl Iterator<Item = &[Row]> {
        self.rows
            .chunk_by(|one, next| one.content == next.content && one.tie == next.tie)
    }

    /// All of them, those that are one photo folded into one.
    pub fn iter(&self) -> impl Iterator<Item = Folded> {
        self.photos().filter_map(|same| self.folded(same))
    }

    /// The same for those that fit, by time of capture, unknown last, then by name and id.
    pub fn in_order(&self, fits: impl Fn(&Folded) -> bool) -> impl Iterator<Item = Folded> {
        let mut found: Vec<(Order, &[Row])> = self
            .photos()
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
