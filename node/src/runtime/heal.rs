//! Damage that was found: put right here where this disk suffices, else got again from peers.
//!
//! A damaged blob is put aside and wanted like one that never came. Of a log with
//! a damaged entry peers are told the head before it, so that they send it again;
//! it is then written over its record. A damaged index is made again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use heirloom_protocol::{
    album::asset::{Asset, BlobRef},
    id::{BlobId, LogId},
    log::entry::Entry,
    sync::Head,
    wire,
};
use roaring::RoaringBitmap;

use super::{
    News, Runtime, RuntimeError,
    commit::{Stage, record_of},
};
use crate::store::{
    Batch, BlobPlace, BlobState, Damage, EntryRecord, Finding, Store, StoreError, Table,
};

/// Damaged entries that are put right one after another before opening gives up.
const MENDS: usize = 256;
/// Entries read at once, in bytes.
const READ_BYTES: usize = 4 * 1024 * 1024;
const PREFIX: &[u8] = b"broken/";

fn key(log: &LogId, seq: u32) -> Vec<u8> {
    [PREFIX, &wire::encode(&(*log, seq))].concat()
}

/// Where the bytes of an original are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    /// Here, as the index says.
    Here(BlobPlace),
    /// On an archive that says so and has proved lately what it says.
    Elsewhere,
    /// Nowhere for long: references to it have ended.
    Ended,
    /// On no device whose word counts.
    Nowhere,
}

/// Those of some blobs that lie here and are not what they were: read whole, so for a thread that may wait, and not
/// in the runtime's turn, where everybody would.
pub(crate) fn damaged(store: &Store, blobs: &[BlobRef]) -> Result<Vec<BlobRef>, StoreError> {
    let mut damaged = Vec::new();
    for blob in blobs {
        if let Some(place) = store.place_of(&blob.log, blob.ordinal)?
            && !store.blobs().is_whole(&blob.id, &place)?
        {
            damaged.push(*blob);
        }
    }
    Ok(damaged)
}

impl Runtime {
    /// Deals with damage, and says of each finding whether it is put right by now.
    ///
    /// What is not comes again from peers as they are met. Durable when it
    /// returns; a second call with the same findings changes nothing more.
    ///
    /// # Errors
    ///
    /// What the disk says; damage that was not reached is found again.
    pub fn heal(&mut self, findings: &[Finding]) -> Result<Vec<bool>, RuntimeError> {
        let is_of_index = |finding: &Finding| is_of_index(&finding.damage);
        if findings.iter().any(is_of_index) {
            // First the entries, since the index is made from them.
            let entries = findings.iter();
            for entry in entries.filter(|found| matches!(found.damage, Damage::Entry { .. })) {
                self.store.mend(entry)?;
            }
            self.store.rebuild_index()?;
            self.reload()?;
        }
        let mut batch = Batch::default();
        let mut healed = Vec::with_capacity(findings.len());
        for finding in findings {
            healed.push(match &finding.damage {
                Damage::Pack { .. } => false,
                Damage::Entry { log, seq, .. } => {
                    let mended = self.store.mend(finding)?;
                    if !mended && self.store.head(log).is_some_and(|head| head.seq >= *seq) {
                        self.broken.insert((*log, *seq));
                        batch.puts.push((Table::Kv, key(log, *seq), Vec::new()));
                    }
                    mended
                }
                Damage::Blob { cid } => match finding.blob {
                    Some(blob) => self.heal_blob(finding, cid, blob, &mut batch)?,
                    None => false,
                },
                _ => is_of_index(finding) || self.store.mend(finding)?,
            });
        }
        let lost = batch.lost.clone();
        let is_broken = !batch.puts.is_empty();
        let missed = self.missed_now(findings, &healed, &mut batch)?;
        self.store.commit(&batch)?;
        self.missed = missed;
        for (finding, healed) in findings.iter().zip(&mut healed) {
            // No blob lies in it any more.
            if let Damage::Pack { .. } = finding.damage {
                *healed = self.store.mend(finding)?;
            }
        }
        self.want_lost(&lost)?;
        if is_broken {
            // Another session tells the lower heads.
            self.sessions.clear();
        }
        if is_broken || !lost.is_empty() {
            // Sessions look at everything, and who is not connected is called.
            self.news.push(News::Roster);
        }
        let repaired = healed.iter().filter(|healed| **healed).count();
        let found = findings.len();
        tracing::warn!(
            found,
            repaired,
            "damage was dealt with: what is not repaired is to come again"
        );
        Ok(healed)
    }

    /// Deals with blobs that could not be read for a person, as they are kept: what is damaged of them counts no
    /// more and comes again from a peer. What is whole stays.
    pub(crate) fn heal_read(&mut self, blobs: &[BlobRef]) -> Result<(), RuntimeError> {
        let finding = |blob: &BlobRef| Finding {
            damage: Damage::Blob { cid: blob.id },
            blob: Some((blob.log, blob.ordinal)),
        };
        let findings: Vec<_> = blobs.iter().map(finding).collect();
        self.heal(&findings).map(drop)
    }

    /// Puts a damaged blob aside; true where nothing is to be got again.
    fn heal_blob(
        &self,
        finding: &Finding,
        cid: &BlobId,
        (log, ordinal): (LogId, u32),
        batch: &mut Batch,
    ) -> Result<bool, StoreError> {
        let Some(place) = self.store.place_of(&log, ordinal)? else {
            return Ok(self.drops.has_ended(&log, ordinal));
        };
        let blobs = self.store.blobs();
        if blobs.is_whole(cid, &place)? || self.store.mend(finding)? {
            return Ok(true);
        }
        // First the bytes: a place without a blob is found again, a blob without a place is not.
        blobs.quarantine(cid, &place)?;
        batch.lost.push((log, ordinal));
        Ok(self.drops.has_ended(&log, ordinal))
    }

    fn want_lost(&mut self, lost: &[(LogId, u32)]) -> Result<(), RuntimeError> {
        if lost.is_empty() {
            return Ok(());
        }
        let mut gone: BTreeMap<LogId, RoaringBitmap> = BTreeMap::new();
        let mut again: BTreeMap<LogId, RoaringBitmap> = BTreeMap::new();
        for (kept, ordinal) in lost {
            let log = self.replica.named_blob(kept, *ordinal).unwrap_or(*kept);
            gone.entry(log).or_default().insert(*ordinal);
            again.entry(*kept).or_default().insert(*ordinal);
        }
        self.news.push(News::Dropped(gone));
        for (kept, blobs) in again {
            self.want_again(&kept, blobs)?;
        }
        Ok(())
    }

    /// Remembers damage that was met where nothing can be changed.
    pub(super) fn meet(&self, error: StoreError) {
        if let StoreError::Damaged(damage) = error {
            self.met.borrow_mut().push(damage);
        }
    }

    /// Deals with damage that was met. Else a peer would be told of entries that it cannot get
    /// until the disk is next looked through.
    pub(super) fn heal_met(&mut self) {
        let met = std::mem::take(self.met.get_mut());
        let news = met.into_iter().filter(|damage| match damage {
            Damage::Entry { log, seq, .. } => !self.broken.contains(&(*log, *seq)),
            _ => false,
        });
        let findings: Vec<_> = news.map(|damage| Finding { damage, blob: None }).collect();
        if findings.is_empty() {
            return;
        }
        // What is not put right now is met again.
        if let Err(error) = self.heal(&findings) {
            tracing::warn!(%error, "damage that was met could not be dealt with");
        }
    }

    /// Remembers entries that were found damaged, so that they come again and `status` tells of them until
    /// then; [`Self::heal`] has done so already. Durable when it returns.
    pub(crate) fn note_broken(&mut self, findings: &[Finding]) -> Result<(), RuntimeError> {
        let mut new = BTreeSet::new();
        for finding in findings {
            if let Damage::Entry { log, seq, .. } = &finding.damage
                && self.store.head(log).is_some_and(|head| head.seq >= *seq)
                && !self.broken.contains(&(*log, *seq))
                && matches!(self.store.entry(log, *seq), Err(StoreError::Damaged(_)))
            {
                new.insert((*log, *seq));
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let rows = new.iter();
        let rows = rows.map(|(log, seq)| (Table::Kv, key(log, *seq), Vec::new()));
        self.store.commit(&Batch {
            puts: rows.collect(),
            ..Batch::default()
        })?;
        self.broken.extend(new);
        // Another session tells the lower heads.
        self.sessions.clear();
        self.news.push(News::Roster);
        Ok(())
    }

    /// Whether a blob that was damaged is here again, whole, or is not kept any more.
    pub fn is_healed(&self, log: &LogId, ordinal: u32, cid: &BlobId) -> bool {
        match self.store.blob_state(log, ordinal) {
            Ok(BlobState::Here(place)) => self.store.blobs().is_whole(cid, &place).unwrap_or(false),
            Ok(_) => self.drops.has_ended(log, ordinal),
            Err(_) => false,
        }
    }

    /// How much of an original there is if what a person has in hand goes: one part of an asset.
    pub(crate) fn original_kept(&self, asset: &Asset, blob: &BlobRef) -> Result<Kept, StoreError> {
        if self.drops.has_ended(&blob.log, blob.ordinal) {
            return Ok(Kept::Ended);
        }
        if let BlobState::Here(place) = self.store.blob_state(&blob.log, blob.ordinal)? {
            return Ok(Kept::Here(place));
        }
        // A part that another person added is none of what makes the item whole.
        let one = std::iter::once(asset);
        let mut holders = self.peers.holders_of(one, self.replica.person());
        holders.retain(|device| {
            self.peers.holds(device, blob) && self.replica.may_replicate(device, &blob.log.space)
        });
        let (witnesses, now) = (self.witnesses(), self.now());
        let mut witnesses = witnesses
            .iter()
            .filter(|(device, _)| holders.contains(device));
        Ok(match witnesses.any(|(_, witness)| witness.counts(now)) {
            true => Kept::Elsewhere,
            false => Kept::Nowhere,
        })
    }

    /// Notes where originals lie that were made again out of the files they came from; they are
    /// durable, and named as they are kept. Durable when it returns.
    pub(crate) fn put_back(&mut self, made: &[(BlobRef, BlobPlace)]) -> Result<(), RuntimeError> {
        let (blobs, places): (Vec<_>, Vec<_>) = made.iter().copied().unzip();
        let named = self.named_blobs(&blobs);
        let came: Vec<_> = named.into_iter().zip(places).collect();
        self.blobs_came(&came)
    }

    /// Entries that are damaged here and are to come again.
    pub fn broken(&self) -> usize {
        self.broken.len()
    }

    /// Entries of a log from a seq on, and the seq to go on with. Damaged ones are left out: what
    /// they say is missing until they came again, and the log is read once more then.
    pub(super) fn whole_entries(
        &self,
        log: &LogId,
        from: u32,
    ) -> Result<(Vec<EntryRecord>, u32), StoreError> {
        let damaged = match self.store.entries(log, from, READ_BYTES) {
            Err(StoreError::Damaged(Damage::Entry { seq, .. })) => seq,
            read => {
                let records = read?;
                let next = records.last().map_or(u32::MAX, |last| last.seq + 1);
                return Ok((records, next));
            }
        };
        let before = (from..damaged).map(|seq| self.store.entry(log, seq));
        let records: Result<Vec<_>, _> = before.filter_map(Result::transpose).collect();
        Ok((records?, damaged + 1))
    }

    pub(super) fn load_broken(&mut self) -> Result<(), StoreError> {
        let mut broken = BTreeSet::new();
        self.store.scan(Table::Kv, PREFIX, |key, _| {
            let row = key.strip_prefix(PREFIX);
            let row = row.and_then(|row| wire::decode::<(LogId, u32)>(row, wire::MAX_BYTES).ok());
            broken.extend(row);
            ControlFlow::Continue(())
        })?;
        // What was made whole on another way, or is no longer in the index, comes by itself.
        let is_damaged = |(log, seq): &(LogId, u32)| {
            matches!(self.store.entry(log, *seq), Err(StoreError::Damaged(_)))
        };
        broken.retain(is_damaged);
        self.broken = broken;
        Ok(())
    }

    /// Writes an entry that came again over its damaged record.
    pub(super) fn take_broken(
        &mut self,
        stage: &mut Stage,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        if self.broken.is_empty() {
            return Ok(());
        }
        let place = self.place_of(entry);
        let name = (place.kept, entry.header().seq);
        if !self.broken.contains(&name) {
            return Ok(());
        }
        let items = self.replica.project(entry, self.now()).items;
        self.store
            .repair_entry(&record_of(entry, place.kept, items))?;
        self.store.commit(&Batch {
            deletes: vec![(Table::Kv, key(&name.0, name.1))],
            ..Batch::default()
        })?;
        self.broken.remove(&name);
        let space = entry.header().space;
        if self.replica.album(&space).is_some() {
            // Whoever read the album meanwhile has read over it.
            stage.rebuild.insert(space);
        }
        tracing::info!(log = %name.0.device.short(), seq = name.1, "a damaged entry is whole again");
        Ok(())
    }

    /// The head that peers are told: the last entry before the first damaged one.
    pub(super) fn whole_head(&self, mut head: Head) -> Option<Head> {
        let broken = self
            .broken
            .iter()
            .filter(|(log, _)| log.space == head.log.space);
        for (kept, seq) in broken {
            if self.replica.named(kept, *seq) != Some(head.log) || *seq > head.seq {
                continue;
            }
            let before = seq.checked_sub(1).filter(|before| *before >= head.first)?;
            head.id = self.replica.log(&head.log)?.step(before)?.id;
            head.seq = before;
        }
        Some(head)
    }

    /// After damage that kept the store from being read: true where another attempt makes sense.
    pub(super) fn mend_for(&mut self, damage: &Damage) -> Result<bool, StoreError> {
        if is_of_index(damage) {
            tracing::warn!(%damage, "the index is made again");
            self.store.rebuild_index()?;
            return Ok(true);
        }
        self.store.mend(&Finding {
            damage: damage.clone(),
            blob: None,
        })
    }

    /// Reads everything from the store, putting right what is damaged and can be.
    pub(super) fn fill_and_mend(&mut self) -> Result<(), RuntimeError> {
        let mut is_rebuilt = false;
        for _ in 0..MENDS {
            self.forget()?;
            match self.fill() {
                Err(RuntimeError::Store(StoreError::Damaged(damage)))
                    if !(is_rebuilt && is_of_index(&damage)) && self.mend_for(&damage)? =>
                {
                    is_rebuilt |= is_of_index(&damage);
                }
                filled => return filled,
            }
        }
        self.forget()?;
        self.fill()
    }
}

const fn is_of_index(damage: &Damage) -> bool {
    matches!(
        damage,
        Damage::Index { .. } | Damage::Value { .. } | Damage::Place { .. }
    )
}
