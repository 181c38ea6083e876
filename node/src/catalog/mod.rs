//! What people look at: assets of all albums, equal content folded into one.
//!
//! Rows are read from the store at one moment; names come from a [`View`].
//! Two items with the same bytes are shown as one asset in several albums, as far
//! as that is more than a word of somebody else ([`ties`]; display only: each
//! stays an item of its own, docs/spec/04-albums.md).

mod find;
mod listed;
mod rows;
mod same;
mod text;

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, btree_map::Entry},
};

use heirloom_protocol::{
    album::asset::{Asset, BlobRef},
    id::{LogId, OpId, PersonId, PlainHash},
};
use roaring::RoaringBitmap;

use crate::{
    runtime::{AssetKey, BlobHere, Missed, View, needed, noted},
    store::{BlobState, Store, StoreError},
};

pub use self::{
    find::{Filter, Lookup, by_id, items_in},
    listed::{KeptOn, Listed, ListedPart, source_name},
    rows::{Rows, read},
    same::{CopyId, Tie, said, ties},
    text::{instant_text, parse_instant, parse_range, parse_wall, wall_text},
};

/// One item of an album with its key.
#[derive(Clone, Debug)]
pub struct Item {
    /// Album and op.
    pub key: AssetKey,
    /// What ops made of it.
    pub asset: Asset,
}

impl Item {
    /// The content that it is said to have.
    pub fn content(&self) -> Option<PlainHash> {
        let added = self.asset.added.as_ref()?;
        added.item.parts.first().map(|part| part.pt_hash)
    }

    fn order(&self) -> (u64, OpId) {
        let hlc = self
            .asset
            .added
            .as_ref()
            .map_or(0, |added| added.origin.stamp.hlc.0);
        (hlc, self.key.item)
    }
}

/// Items that are one photo, the one whose id stands for all first.
#[derive(Clone, Debug)]
pub struct Folded {
    /// Never empty.
    pub items: Vec<Item>,
    /// The person who looks.
    pub me: Option<PersonId>,
}

impl Folded {
    /// The item that gives the asset its id: of those that are not in the trash this person's own, the oldest.
    pub fn first(&self) -> &Item {
        &self.items[0]
    }

    /// Whether every one of its items is in the trash.
    pub fn is_trashed(&self) -> bool {
        self.items.iter().all(|item| item.asset.trashed().is_some())
    }
}

/// Reads the items that are one photo with one of them, that one included.
pub fn read_like(store: &Store, view: &View, key: AssetKey) -> Result<Option<Folded>, StoreError> {
    let asset = key.load(store)?;
    let one = Item { key, asset };
    let Some(content) = one.content().filter(|_| !one.asset.is_purged()) else {
        return Ok(None);
    };
    let (mut items, mut all) = (Vec::new(), Vec::new());
    for key in crate::runtime::items_with(store, content)? {
        if !view.albums.contains_key(&key.album) {
            continue;
        }
        let item = Item {
            key,
            asset: key.load(store)?,
        };
        let said = said(&item.asset);
        if let Some(said) =
            said.filter(|_| item.content() == Some(content) && !item.asset.is_purged())
        {
            all.push(said);
            items.push(item);
        }
    }
    let ties = ties(&all, view.person);
    let own = items.iter().position(|item| item.key == key);
    let own = own.and_then(|at| ties.get(at).copied());
    let mut tied = ties.into_iter();
    items.retain(|_| tied.next() == own);
    Ok((!items.is_empty()).then(|| fold(items, view.person)))
}

fn fold(mut items: Vec<Item>, me: Option<PersonId>) -> Folded {
    items.sort_by_key(|item| {
        let is_own = me.is_some() && item.asset.owner() == me;
        (item.asset.trashed().is_some(), !is_own, item.order())
    });
    Folded { items, me }
}

/// Which blobs are on this device, for who asks about many: each log is read once, as of its first question.
///
/// What the index names is not where its file is known to be gone, or was found damaged or missing.
pub struct Held<'a> {
    store: &'a Store,
    logs: RefCell<BTreeMap<LogId, RoaringBitmap>>,
    gone: OnceCell<BTreeMap<LogId, RoaringBitmap>>,
    missed: RefCell<Option<Missed>>,
}

impl<'a> Held<'a> {
    /// Nothing asked yet.
    pub fn of(store: &'a Store) -> Self {
        Self {
            store,
            logs: RefCell::default(),
            gone: OnceCell::new(),
            missed: RefCell::default(),
        }
    }

    /// Asks anew from now on: something may have come or gone.
    pub fn look_again(&self) {
        self.logs.borrow_mut().clear();
        self.missed.take();
    }

    /// Whether a blob's bytes are here.
    pub fn has(&self, blob: &BlobRef) -> Result<bool, StoreError> {
        Ok(self.may_have(blob)? && !self.is_missed(blob)?)
    }

    /// Whether there is something to read, be it damaged: who reads it finds out.
    pub fn may_have(&self, blob: &BlobRef) -> Result<bool, StoreError> {
        let mut logs = self.logs.borrow_mut();
        let here = match logs.entry(blob.log) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.store.here(&blob.log)?),
        };
        Ok(here.contains(blob.ordinal) && !self.is_gone(blob)?)
    }

    fn is_missed(&self, blob: &BlobRef) -> Result<bool, StoreError> {
        let mut missed = self.missed.borrow_mut();
        let missed = match &mut *missed {
            Some(missed) => missed,
            none => none.insert(noted(self.store)?),
        };
        Ok(missed.contains_key(&(blob.log, blob.ordinal)))
    }

    /// Whether the index names a blob whose file is known to be gone from the disk.
    pub fn is_gone(&self, blob: &BlobRef) -> Result<bool, StoreError> {
        if !self.store.is_short() {
            return Ok(false);
        }
        if self.gone.get().is_none() {
            // Looks at every place once.
            let _ = self.gone.set(self.store.gone()?.blobs);
        }
        let gone = self.gone.get().and_then(|gone| gone.get(&blob.log));
        Ok(gone.is_some_and(|gone| gone.contains(blob.ordinal)))
    }

    /// Whether every original without which one item is not whole is here.
    pub fn has_originals(&self, item: &Item, me: Option<PersonId>) -> Result<bool, StoreError> {
        for (_, blob) in item.asset.needed_parts(me) {
            if !self.has(blob)? {
                return Ok(false);
            }
        }
        Ok(item.asset.added.is_some())
    }

    /// Whether every original without which an asset is not whole is here.
    fn is_whole(&self, folded: &Folded) -> Result<bool, StoreError> {
        let items = folded.items.iter().map(|item| &item.asset);
        'sets: for files in needed::files(items, folded.me) {
            for file in files {
                let mut is_here = false;
                for blob in file {
                    is_here |= self.has(blob)?;
                }
                if !is_here {
                    continue 'sets;
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Which blobs of an asset are here.
    pub fn here(&self, folded: &Folded) -> Result<BlobHere, StoreError> {
        let mut here = BlobHere {
            original: self.is_whole(folded)?,
            ..BlobHere::default()
        };
        for item in &folded.items {
            for (class, flag) in [(1, &mut here.preview), (2, &mut here.thumbnail)] {
                if let Some(made) = item.asset.shown_blob(0, class) {
                    *flag |= self.has(&made.blob)?;
                }
            }
        }
        Ok(here)
    }
}

/// Which blobs of an asset are here.
pub fn here(store: &Store, folded: &Folded) -> Result<BlobHere, StoreError> {
    Held::of(store).here(folded)
}

/// Whether a blob's bytes are on this device.
pub fn is_here(store: &Store, blob: &BlobRef) -> Result<bool, StoreError> {
    Ok(matches!(
        store.blob_state(&blob.log, blob.ordinal)?,
        BlobState::Here(_)
    ))
}
