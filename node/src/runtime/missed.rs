//! Originals that were found damaged or missing, remembered until they are here again or their references end.
//!
//! ```text
//! kv: missed/ (log, ordinal)     the id of the blob
//! ```
//!
//! What is damaged is put aside and then looks like what never came; without this a second look would know
//! less than the first. A row of what still lies where it was found stands for what nobody dealt with yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use heirloom_protocol::{
    album::asset::BlobRef,
    crypto::Class,
    id::{BlobId, LogId},
    wire,
};

use super::{Runtime, RuntimeError, load::entry_of};
use crate::store::{Batch, BlobPlace, BlobState, Damage, Finding, Store, StoreError, Table};

const PREFIX: &[u8] = b"missed/";

/// The blobs, by the names under which they are kept.
pub(crate) type Missed = BTreeMap<(LogId, u32), BlobId>;

/// A blob that was found damaged or missing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Missing {
    /// The log that announces it and its number there, as it is kept.
    pub(crate) kept: (LogId, u32),
    /// The same as peers name it.
    pub(crate) named: (LogId, u32),
    /// BLAKE3 of the ciphertext.
    pub(crate) id: BlobId,
}

fn row(blob: &(LogId, u32)) -> (Table, Vec<u8>) {
    (Table::Kv, [PREFIX, &wire::encode(blob)].concat())
}

impl Runtime {
    /// The blobs that are to come again; those whose references ended are not missed.
    pub(crate) fn missed(&self) -> Vec<Missing> {
        let missed = self.missed.iter();
        let missed = missed.filter(|((log, ordinal), _)| !self.drops.has_ended(log, *ordinal));
        missed
            .map(|((log, ordinal), id)| {
                let name = self.name_kept(log, *ordinal);
                Missing {
                    kept: (*log, *ordinal),
                    named: (name.log, name.ordinal),
                    id: *id,
                }
            })
            .collect()
    }

    /// The blobs that were missed, and are not any more since all that named them has ended.
    pub(crate) fn missed_no_longer(&self) -> BTreeSet<BlobId> {
        let mut ended: BTreeSet<_> = self.missed.values().copied().collect();
        for missing in self.missed() {
            ended.remove(&missing.id);
        }
        ended
    }

    /// Blobs that came, and with each those that are missed under other names: an album names it once more,
    /// and it lies here once.
    pub(super) fn with_twins(&self, came: &[(BlobRef, BlobPlace)]) -> Vec<(BlobRef, BlobPlace)> {
        let mut all = came.to_vec();
        for ((log, ordinal), id) in &self.missed {
            let Some((blob, place)) = came.iter().find(|(blob, _)| blob.id == *id) else {
                continue;
            };
            let name = self.name_kept(log, *ordinal);
            let twin = BlobRef {
                log: name.log,
                ordinal: name.ordinal,
                ..*blob
            };
            if !all.iter().any(|(known, _)| *known == twin) {
                all.push((twin, *place));
            }
        }
        all
    }

    /// Remembers damaged blobs that stay where they are for now. Durable when it returns.
    pub(crate) fn note_missed(&mut self, findings: &[Finding]) -> Result<(), RuntimeError> {
        let found = findings.iter().filter_map(|finding| match finding {
            Finding {
                damage: Damage::Blob { cid },
                blob: Some(blob),
            } => Some((*blob, *cid)),
            _ => None,
        });
        let new: Missed = found
            .filter(|(blob, _)| !self.missed.contains_key(blob))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        miss(new.iter(), &mut batch);
        self.store.commit(&batch)?;
        self.missed.extend(new);
        Ok(())
    }

    /// Forgets blobs that are here again, whole. Durable when it returns.
    pub(crate) fn miss_no_more(&mut self, blobs: &[(LogId, u32)]) -> Result<(), RuntimeError> {
        let deletes = self.found_again(blobs.iter().copied());
        if deletes.is_empty() {
            return Ok(());
        }
        self.store.commit(&Batch {
            deletes,
            ..Batch::default()
        })?;
        self.forget_missed(blobs.iter().copied());
        Ok(())
    }

    /// The rows that go when blobs are here again, or need not be.
    pub(super) fn found_again(
        &self,
        blobs: impl Iterator<Item = (LogId, u32)>,
    ) -> Vec<(Table, Vec<u8>)> {
        let missed = blobs.filter(|blob| self.missed.contains_key(blob));
        missed.map(|blob| row(&blob)).collect()
    }

    /// After the commit of [`Self::found_again`].
    pub(super) fn forget_missed(&mut self, blobs: impl Iterator<Item = (LogId, u32)>) {
        for blob in blobs {
            self.missed.remove(&blob);
        }
    }

    /// What changes once findings were dealt with: those that are put right are missed no more, and originals
    /// that were put aside are from now on. Pictures of them are wanted too, and not missed: another device
    /// may never have had them.
    pub(super) fn missed_now(
        &self,
        findings: &[Finding],
        healed: &[bool],
        batch: &mut Batch,
    ) -> Result<Missed, StoreError> {
        let mut missed = self.missed.clone();
        for (finding, healed) in findings.iter().zip(healed) {
            let (Damage::Blob { cid }, Some(blob)) = (&finding.damage, finding.blob) else {
                continue;
            };
            let is_aside = batch.lost.contains(&blob);
            if *healed || (is_aside && !self.is_original(&blob.0, blob.1)?) {
                missed.remove(&blob);
            } else if is_aside {
                missed.insert(blob, *cid);
            }
        }
        let gone = self.missed.keys().filter(|blob| !missed.contains_key(blob));
        batch.deletes.extend(gone.map(row));
        let new = missed
            .iter()
            .filter(|(blob, _)| !self.missed.contains_key(blob));
        miss(new, batch);
        Ok(missed)
    }

    /// Where the entry cannot be read it may be one.
    fn is_original(&self, log: &LogId, ordinal: u32) -> Result<bool, StoreError> {
        let record = match self.store.entry_with_blob(log, ordinal) {
            Err(StoreError::Damaged(_)) => return Ok(true),
            record => record?,
        };
        let entry = record.as_ref().and_then(entry_of);
        Ok(entry.is_none_or(|entry| {
            let index = ordinal.checked_sub(entry.header().first_blob);
            let line = index
                .and_then(|index| usize::try_from(index).ok())
                .and_then(|index| entry.header().blobs.get(index));
            line.is_none_or(|line| line.class == Class::Original.code())
        }))
    }

    /// How many other devices say that they hold a blob, by the name under which it is kept, and whether it
    /// is an original.
    pub(crate) fn elsewhere(&self, blob: &(LogId, u32)) -> Result<(usize, bool), StoreError> {
        let name = self.name_kept(&blob.0, blob.1);
        let holders = self.peers.have.holders(&name.log, name.ordinal).count();
        Ok((holders, self.is_original(&blob.0, blob.1)?))
    }

    pub(super) fn load_missed(&mut self) -> Result<(), StoreError> {
        let mut missed = noted(&self.store)?;
        // What was let go since is on others by their promise.
        let mut gone = Vec::new();
        for (log, ordinal) in missed.keys() {
            if let BlobState::Dropped { .. } = self.store.blob_state(log, *ordinal)? {
                gone.push((*log, *ordinal));
            }
        }
        missed.retain(|blob, _| !gone.contains(blob));
        self.missed = missed;
        Ok(())
    }
}

/// What the rows of a store say is missed. Costs what is missed, which is nothing as a rule.
pub(crate) fn noted(store: &Store) -> Result<Missed, StoreError> {
    let mut missed = Missed::new();
    store.scan(Table::Kv, PREFIX, |key, value| {
        let key = key.strip_prefix(PREFIX);
        let blob = key.and_then(|key| wire::decode(key, wire::MAX_BYTES).ok());
        let id = value.ok().and_then(|value| value.try_into().ok());
        missed.extend(blob.zip(id.map(BlobId)));
        ControlFlow::Continue(())
    })?;
    Ok(missed)
}

/// Whether a blob's row is among them.
pub(crate) fn is_noted(store: &Store, blob: &BlobRef) -> Result<bool, StoreError> {
    let (table, key) = row(&(blob.log, blob.ordinal));
    Ok(store.get(table, &key)?.is_some())
}

/// Puts the rows of blobs that are missed.
fn miss<'a>(missed: impl Iterator<Item = (&'a (LogId, u32), &'a BlobId)>, batch: &mut Batch) {
    let rows = missed.map(|(blob, id)| {
        let (table, key) = row(blob);
        (table, key, id.0.to_vec())
    });
    batch.puts.extend(rows);
}
