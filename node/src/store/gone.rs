//! Packs and folders that the index names and that are not there: somebody removed them, or the disk that
//! they lie on is not mounted.
//!
//! What lies in them is damaged like a blob that is missing by itself, and found by every verification.
//! This is for noticing it at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::Ordering;

use heirloom_protocol::id::LogId;
use roaring::RoaringBitmap;

use super::blobs::BlobPlace;
use super::error::StoreError;
use super::index::unreadable;
use super::lost::holds_blobs;
use super::tables::{BLOBS, DROPPED, Table, split};
use super::{Batch, Store, fs};

/// The row of [`Table::Kv`] that is there while something is gone.
const GONE: &[u8] = b"gone";
const ALL: (Bound<u64>, Bound<u64>) = (Bound::Unbounded, Bound::Unbounded);

/// What the index names and has no pack or folder any more.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Gone {
    /// The packs, by their numbers.
    pub packs: BTreeSet<u32>,
    /// The folders of large blobs, by the first byte of the names in them.
    pub folders: BTreeSet<u8>,
    /// What was to lie in them: references by their logs. Those that have ended are none.
    pub blobs: BTreeMap<LogId, RoaringBitmap>,
    /// References to blobs in all, there or not.
    all: u64,
}

impl Gone {
    /// Whether everything is where it was put.
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// How many references lead nowhere.
    pub fn len(&self) -> u64 {
        self.blobs.values().map(RoaringBitmap::len).sum()
    }

    /// Whether hardly anything is there: then it is rather the disk that is missing than what was on it.
    pub fn is_most(&self) -> bool {
        self.len().saturating_mul(2) > self.all
    }
}

impl Store {
    /// Looks which packs and folders are gone. Looks at every place once: about a second for some million
    /// blobs.
    ///
    /// # Errors
    ///
    /// What the disk says, and damage of the index.
    pub fn gone(&self) -> Result<Gone, StoreError> {
        let inner = &*self.0;
        let blobs = &inner.blobs.0;
        let snapshot = inner.index.snapshot()?;
        let mut dropped = BTreeSet::new();
        snapshot.rows(&inner.sealer, DROPPED, ALL, |key, _| {
            dropped.insert(key);
            Ok(())
        })?;
        // After the view of the index, which then names nothing that came since.
        let packs: BTreeSet<_> = blobs.packs.numbers()?.into_iter().collect();
        let names = fs::list(&blobs.root)?;
        let folders: BTreeSet<_> = names
            .iter()
            .filter(|name| name.len() == 2)
            .filter_map(|name| u8::from_str_radix(name, 16).ok())
            .collect();
        let mut gone = Gone::default();
        let mut keys = Vec::new();
        snapshot.rows(&inner.sealer, BLOBS, ALL, |key, row| {
            let place = BlobPlace::decode(row).ok_or(unreadable("row"))?;
            if dropped.contains(&key) {
                return Ok(());
            }
            gone.all += 1;
            match place {
                BlobPlace::Pack { pack, .. } if !packs.contains(&pack) => {
                    gone.packs.insert(pack);
                }
                BlobPlace::File { cid, .. } if !folders.contains(&cid.0[0]) => {
                    gone.folders.insert(cid.0[0]);
                }
                _ => return Ok(()),
            }
            keys.push(key);
            Ok(())
        })?;
        for key in keys {
            let (number, ordinal) = split(key);
            let log = inner.log_of(number)?;
            gone.blobs.entry(log).or_default().insert(ordinal);
        }
        drop(snapshot);
        blobs
            .packs
            .is_short
            .store(!gone.is_empty(), Ordering::Relaxed);
        // What cannot be noted is noticed again.
        if let Err(error) = self.note_gone(!gone.is_empty()) {
            tracing::debug!(%error, "that files are gone could not be noted");
        }
        Ok(gone)
    }

    fn note_gone(&self, is_gone: bool) -> Result<(), StoreError> {
        if self.get(Table::Kv, GONE)?.is_some() == is_gone {
            return Ok(());
        }
        let row = (Table::Kv, GONE.to_vec());
        self.commit(&match is_gone {
            true => Batch {
                puts: vec![(row.0, row.1, Vec::new())],
                ..Batch::default()
            },
            false => Batch {
                deletes: vec![row],
                ..Batch::default()
            },
        })
    }

    /// Packs that could not be read when the index was made, and why. What lies in them is in no index until
    /// the store is opened and they can be read.
    pub fn unread_packs(&self) -> BTreeMap<u32, String> {
        self.0.blobs.0.packs.unread()
    }

    /// Whether something was noticed to be gone since it was last looked at, or was then. Costs nothing.
    pub fn is_short(&self) -> bool {
        self.0.blobs.0.packs.is_short.load(Ordering::Relaxed)
    }

    /// Looks at opening whether the folder of blobs is as good as empty, or the newest pack is gone; says
    /// so, and leaves it for [`Store::is_short`].
    pub(super) fn notice_gone(&self, was_empty: bool) -> Result<(), StoreError> {
        let packs = &self.0.blobs.0.packs;
        if was_empty {
            let mut names_any = false;
            let snapshot = self.0.index.snapshot()?;
            snapshot.rows_limited(&self.0.sealer, BLOBS, ALL, 1, |_, _| {
                names_any = true;
                Ok(())
            })?;
            packs.is_short.fetch_or(names_any, Ordering::Relaxed);
        }
        if self.is_short() || self.get(Table::Kv, GONE)?.is_some() {
            let gone = self.gone()?;
            if !gone.is_empty() {
                let (count, packs) = (gone.len(), gone.packs.len());
                tracing::warn!(count, packs, "files of this home are gone");
            }
        }
        Ok(())
    }
}

/// Whether the folder of blobs holds none, before opening makes what is missing of it.
pub(super) fn is_empty(home: &std::path::Path) -> Result<bool, StoreError> {
    Ok(!holds_blobs(home)?)
}
