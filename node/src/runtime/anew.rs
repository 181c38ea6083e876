//! That the database of this home was made again from the logs, while that is still felt.
//!
//! ```text
//! kv: anew     when, Unix milliseconds
//! ```
//!
//! What other devices have shown of their copies stood in the lost database alone: until they have shown it again,
//! none of their copies counts. That a log is gone as well would have been known by it alone too: then the
//! blobs that nothing names any more are all that tells of it.

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    time::{Duration, UNIX_EPOCH},
};

use heirloom_protocol::{id::DeviceId, wire};

use super::{Runtime, RuntimeError, load::entry_of};
use crate::store::{Batch, DAMAGED, Head, Store, StoreError, Table, Unusable};

const ANEW: &[u8] = b"anew";
/// For how long it is told: who has shown nothing by then is hardly in reach at all.
const TOLD_MS: u64 = 30 * 24 * 3600 * 1000;
/// Entries read at once, in bytes.
const READ_BYTES: usize = 4 * 1024 * 1024;

impl Runtime {
    /// Notes that opening made the database again. Durable when it returns.
    pub(super) fn note_made_anew(&mut self) -> Result<(), RuntimeError> {
        match self.store.opened().rebuilt {
            None | Some(Unusable::Asked) => return Ok(()),
            Some(_) => {}
        }
        self.store.commit(&Batch {
            puts: vec![(Table::Kv, ANEW.to_vec(), wire::encode(&self.now().0))],
            ..Batch::default()
        })?;
        Ok(())
    }

    /// When the database was made again, and the devices that keep everything and have shown nothing since; none
    /// once all have.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub(crate) fn to_show_again(&self) -> Result<Option<(u64, BTreeSet<DeviceId>)>, StoreError> {
        let Some(at) =
            made_anew(&self.store)?.filter(|at| self.now().0.saturating_sub(*at) < TOLD_MS)
        else {
            return Ok(None);
        };
        let witnesses = self.witnesses().into_iter();
        let silent =
            witnesses.filter(|(_, witness)| witness.is_archive && witness.proved.is_none());
        let silent: BTreeSet<_> = silent.map(|(device, _)| device).collect();
        Ok((!silent.is_empty()).then_some((at, silent)))
    }
}

fn made_anew(store: &Store) -> Result<Option<u64>, StoreError> {
    let row = store.get(Table::Kv, ANEW)?;
    Ok(row.and_then(|row| wire::decode_row(&row).ok()))
}

/// Whether the database was made again, and no other device has told since what it holds: one of them may still
/// tell of what nothing here names.
pub(crate) fn waits_for_others(store: &Store) -> Result<bool, StoreError> {
    let mut has_heard = false;
    store.scan(Table::Peers, b"have/", |_, _| {
        has_heard = true;
        ControlFlow::Break(())
    })?;
    Ok(!has_heard && made_anew(store)?.is_some())
}

/// How many blobs were here before the database was made again, and are named by no entry; none once they are
/// not kept for that any more. Reads the entries only where there are any.
pub(crate) fn unnamed(store: &Store) -> usize {
    // Whoever asks has more to tell, and what cannot be read is told by others.
    count_unnamed(store).unwrap_or_else(|error| {
        tracing::debug!(%error, "whether files are named by nothing could not be seen");
        0
    })
}

fn count_unnamed(store: &Store) -> Result<usize, StoreError> {
    let Some(at) = made_anew(store)? else {
        return Ok(0);
    };
    if store.get(Table::Kv, DAMAGED)?.is_none() {
        return Ok(0);
    }
    let spaces = store.spaces().into_iter();
    let heads: Vec<_> = spaces.flat_map(|space| store.logs(space)).collect();
    let entries = heads.iter().map(|head| u64::from(head.seq)).sum();
    store.unnamed_among(entries, || look(store, at, &heads))
}

fn look(store: &Store, at: u64, heads: &[Head]) -> Result<usize, StoreError> {
    let mut unnamed = store.unnamed(UNIX_EPOCH + Duration::from_millis(at))?;
    for head in heads {
        let mut from = head.first;
        while from <= head.seq && !unnamed.is_empty() {
            // What cannot be read is told by others.
            let records = store.entries(&head.log, from, READ_BYTES);
            let Ok([.., last]) = records.as_deref() else {
                break;
            };
            from = last.seq + 1;
            for entry in records.iter().flatten().filter_map(entry_of) {
                for line in &entry.header().blobs {
                    unnamed.remove(&line.id);
                }
            }
        }
    }
    Ok(unnamed.len())
}
