//! Entries that were here and are gone with their file, remembered until they are here again.
//!
//! ```text
//! kv: lost/ log[64]     the seq that was to come in this log (u32, big-endian)
//! ```
//!
//! An index that knows more than the files is made again from them, and would then know no better:
//! without this a home whose logs were taken away looks like one that never had any.

use std::{
    ops::{ControlFlow, Range},
    path::Path,
};

use heirloom_protocol::id::LogId;

use super::record::{Fields, log_bytes, log_of};
use super::{Batch, Store, StoreError, Table, fs};

const LOST: &[u8] = b"lost/";

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
}
