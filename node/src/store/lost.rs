//! Entries that were here and are gone with their file, remembered until they are here again.
//!
//! ```text
//! kv: lost/ log[64]     the seq that was to come in this log (u32, big-endian)
//! kv: files/ space[16]  BLAKE3 of its log files, as they were when nothing could be done with them
//! ```
//!
//! An index that knows more than the files is made again from them, and would then know no better:
//! without this a home whose logs were taken away looks like one that never had any.

use std::{
    collections::BTreeSet,
    ops::{Bound, ControlFlow, Range},
    path::Path,
    time::SystemTime,
};

use heirloom_protocol::id::{BlobId, LogId, SpaceId};

use super::blobs::BlobPlace;
use super::index::unreadable;
use super::record::{Fields, log_bytes, log_of};
use super::tables::BLOBS;
use super::{Batch, Store, StoreError, Table, fs};

const LOST: &[u8] = b"lost/";
const FILES: &[u8] = b"files/";

fn key(log: &LogId) -> Vec<u8> {
    [LOST, &log_bytes(log)[..]].concat()
}

impl Store {
    /// The logs of which entries are gone that were here once, each with the seqs that are.
    pub fn lost(&self) -> Result<Vec<(LogId, Range<u32>)>, StoreError> {
        let mut lost = Vec::new();
        self.scan(Table::Kv, LOST, |key, row| {
            let log = log_of(&mut Fields(&key[LOST.len()..]));
            let next = row.ok().and_then(|row| row.try_into().ok());
            if let Some((log, next)) = log.zip(next.map(u32::from_be_bytes)) {
                let here = self.head(&log).map_or(0, |head| head.seq + 1);
                lost.extend((here < next).then_some((log, here..next)));
            }
            ControlFlow::Continue(())
        })?;
        Ok(lost)
    }

    /// Has the index made again at the next opening without what cannot be read of a log, and
    /// remembers that it was there. Durable when it returns.
    pub(crate) fn leave_out(&self, log: &LogId) -> Result<(), StoreError> {
        let next = self.head(log).map_or(0, |head| head.seq + 1);
        self.note_lost(&[(*log, next)])?;
        self.rebuild_at_next_open()
    }

    /// Whether the log files of a space are others than when this was last asked: somebody may have brought
    /// them back, and where a damaged stretch was passed over nobody would look again. Durable when it returns.
    pub(crate) fn files_changed(&self, space: SpaceId) -> Result<bool, StoreError> {
        let mut hasher = blake3::Hasher::new();
        for log in self.0.files.list()? {
            if log.space == space {
                // What cannot be read is as good as empty until it can be.
                let bytes = std::fs::read(self.0.files.path(&log)).unwrap_or_default();
                hasher.update(&log_bytes(&log));
                hasher.update(blake3::hash(&bytes).as_bytes());
            }
        }
        let (key, now) = ([FILES, &space.0[..]].concat(), hasher.finalize());
        if self.get(Table::Kv, &key)?.as_deref() == Some(&now.as_bytes()[..]) {
            return Ok(false);
        }
        self.commit(&Batch {
            puts: vec![(Table::Kv, key, now.as_bytes().to_vec())],
            ..Batch::default()
        })?;
        Ok(true)
    }

    /// Whether logs of a space are damaged so that more may have stood in them than is known: entries lie behind
    /// a hole, or an end was put aside.
    pub(crate) fn is_torn(&self, space: SpaceId) -> bool {
        let folder = self.home().join("logs").join(space.to_string());
        let is_aside = |name: &String| name.contains(".torn-");
        self.stranded().iter().any(|(log, ..)| log.space == space)
            || fs::list(&folder).is_ok_and(|names| names.iter().any(is_aside))
    }

    /// Remembers how far logs went whose files are shorter now. Durable when it returns.
    pub(super) fn note_lost(&self, logs: &[(LogId, u32)]) -> Result<(), StoreError> {
        if logs.is_empty() {
            return Ok(());
        }
        let rows = logs.iter();
        let rows = rows.map(|(log, next)| (Table::Kv, key(log), next.to_be_bytes().to_vec()));
        self.commit(&Batch {
            puts: rows.collect(),
            ..Batch::default()
        })
    }
}

/// Whether somebody's photos lie in a home, whatever else of it is gone: setting up alone makes no blob.
pub(super) fn holds_blobs(home: &Path) -> Result<bool, StoreError> {
    let blobs = home.join("blobs");
    if !blobs.is_dir() {
        return Ok(false);
    }
    for name in fs::list(&blobs)? {
        let is_work = ["tmp", "partial", "packs"].contains(&name.as_str());
        if !is_work || (name == "packs" && !fs::list(&blobs.join(&name))?.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Store {
    /// Whether somebody's photos lie here, whatever the index says.
    pub(crate) fn holds_blobs(&self) -> Result<bool, StoreError> {
        holds_blobs(self.home())
    }

    /// How many blobs no entry names, looked for again once there are other entries: a home with many photos is read
    /// for it, and `status` asks all the time.
    pub(crate) fn unnamed_among(
        &self,
        entries: u64,
        look: impl FnOnce() -> Result<usize, StoreError>,
    ) -> Result<usize, StoreError> {
        let known = *super::blobs::lock(&self.0.unnamed);
        if let Some((_, unnamed)) = known.filter(|(of, _)| *of == entries) {
            return Ok(unnamed);
        }
        let unnamed = look()?;
        *super::blobs::lock(&self.0.unnamed) = Some((entries, unnamed));
        Ok(unnamed)
    }

    /// The blobs written before then that no place names: large ones, and those in packs of which nothing is named.
    /// Looks at every place and file once.
    pub(crate) fn unnamed(&self, older: SystemTime) -> Result<BTreeSet<BlobId>, StoreError> {
        let inner = &*self.0;
        let blobs = &inner.blobs.0;
        let (mut files, mut packs) = (BTreeSet::new(), BTreeSet::new());
        let all = (Bound::Unbounded, Bound::Unbounded);
        let snapshot = inner.index.snapshot()?;
        snapshot.rows(&inner.sealer, BLOBS, all, |_, row| {
            match BlobPlace::decode(row).ok_or(unreadable("row"))? {
                BlobPlace::File { cid, .. } => drop(files.insert(cid)),
                BlobPlace::Pack { pack, .. } => drop(packs.insert(pack)),
            }
            Ok(())
        })?;
        drop(snapshot);
        let mut unnamed = BTreeSet::new();
        blobs.walk_files(|cid, _, changed| {
            if changed < older && !files.contains(&cid) {
                unnamed.insert(cid);
            }
        })?;
        let unread = blobs.packs.unread();
        for pack in blobs.packs.numbers()? {
            let changed =
                std::fs::metadata(blobs.packs.path(pack)).and_then(|metadata| metadata.modified());
            let is_read = !packs.contains(&pack) && !unread.contains_key(&pack);
            if is_read && changed.is_ok_and(|changed| changed < older) {
                blobs.packs.walk(pack, |record| {
                    unnamed.extend(record.map(|packed| packed.cid))
                })?;
            }
        }
        Ok(unnamed)
    }
}
