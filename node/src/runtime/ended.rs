//! Albums out of which this device's person was taken or that somebody deleted, and what they had added there.
//!
//! ```text
//! taken/ album[16] item[32]    an asset of this person as it was when their access was lowered
//! noted/ album[16] entry[32]   how far the log of a device was here when it was removed from the family
//! read/  album[16]             the stamp of the end that this person was told of and has let go
//! ```
//!
//! What a device wrote that had not heard yet is cut by the entry that lowers its person, and then
//! no row shows it any more. So the rows are noted down before that entry is taken in, and
//! stay until each photo is in sight elsewhere. So are they before a cut of the device that gave the access.
//!
//! Once the device that took the person out is removed, its word counts here by what this device noted before
//! ([`Replica::to_note`](heirloom_protocol::replica::Replica::to_note)). No log tells that: where the index is
//! made again it is forgotten.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use heirloom_protocol::{
    album::asset::Asset,
    id::{AlbumId, DeviceId, EntryId, PersonId, SpaceId},
    log::entry::Entry,
    op::{Level, Op},
    time::Hlc,
};

use super::{AssetKey, Runtime, RuntimeError, asset};
use crate::store::{Batch, Store, StoreError, Table};

const TAKEN: &[u8] = b"taken/";
const NOTED_ENDS: &[u8] = b"noted/";
const READ: &[u8] = b"read/";
/// Rows noted in one commit.
const NOTED: usize = 1024;

/// An album that this device's person was taken out of by somebody, or that somebody deleted for all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndedAlbum {
    /// Which.
    pub id: AlbumId,
    /// What it was called, as far as this device heard of it.
    pub name: String,
    /// Whether it was deleted for all.
    pub is_deleted: bool,
    /// Who took the person out or deleted it, if they belong to the family.
    pub by: Option<PersonId>,
    /// When, by that device's clock: Unix milliseconds.
    pub at: u64,
    /// The stamp of the entry that did.
    stamp: u64,
}

impl EndedAlbum {
    /// Tells this person of it no more, until it ends once more. Durable when it returns.
    pub(crate) fn let_go(&self, store: &Store) -> Result<(), StoreError> {
        let row = self.stamp.to_be_bytes().to_vec();
        store.commit(&Batch {
            puts: vec![(Table::Receipts, read_key(&self.id), row)],
            ..Batch::default()
        })
    }
}

fn read_key(album: &AlbumId) -> Vec<u8> {
    [READ, &album.0[..]].concat()
}

fn key_of(key: AssetKey) -> Vec<u8> {
    [TAKEN, &key.to_bytes()].concat()
}

/// What this person had in albums when their access to them was lowered, as far as it was not let go of since.
pub(crate) fn taken(store: &Store) -> Result<Vec<(AssetKey, Asset)>, StoreError> {
    let mut all = Vec::new();
    store.scan(Table::Receipts, TAKEN, |key, row| {
        let key = key.strip_prefix(TAKEN).and_then(AssetKey::from_bytes);
        let asset = row.ok().and_then(|row| asset::decode(&row));
        all.extend(key.zip(asset));
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

/// Lets go of the rows of some items. Durable when it returns.
pub(crate) fn forget_taken(store: &Store, items: &[AssetKey]) -> Result<(), StoreError> {
    let rows = items.iter().map(|key| (Table::Receipts, key_of(*key)));
    store.commit(&Batch {
        deletes: rows.collect(),
        ..Batch::default()
    })
}

impl Runtime {
    /// Notes down what this person has in an album, if an entry that is about to be taken in may lower their
    /// access to it below what it takes to add. Durable when it returns.
    pub(super) fn note_before_taking(&mut self, entry: &Entry) -> Result<(), RuntimeError> {
        self.note_late_end(entry)?;
        let (space, author) = (entry.header().space, entry.header().device);
        let Some((album, me)) = self.replica.album(&space).zip(self.replica.person()) else {
            return Ok(());
        };
        let by = self.replica.control().owner_of(&author);
        let may = by.is_some_and(|by| by != me && album.level(&by) == Level::Manager);
        let takes = lowers(entry, &me) || {
            let mut cut = cut_by(entry).into_iter();
            cut.any(|device| album.rests_on(self.replica.control(), &me, &device))
        };
        if !may || album.level(&me) < Level::Contributor || !takes {
            return Ok(());
        }
        let mut batch = Batch::default();
        let mut failed = Ok(());
        self.store.scan(Table::Assets, &space.0, |key, row| {
            let key = AssetKey::from_bytes(key);
            let asset = row.ok().and_then(|row| asset::decode(&row));
            if let Some((key, asset)) = key.zip(asset)
                && asset.owner() == Some(me)
                && asset.trashed().is_none()
                && !asset.is_purged()
            {
                let row = (Table::Receipts, key_of(key), asset::encode(&asset));
                batch.puts.push(row);
            }
            if batch.puts.len() >= NOTED {
                failed = self.store.commit(&std::mem::take(&mut batch));
            }
            match failed {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        failed?;
        if !batch.puts.is_empty() {
            self.store.commit(&batch)?;
        }
        Ok(())
    }

    /// Notes how far the logs of devices are here that a removal takes out, in the albums that this person was
    /// taken out of. Durable when it returns.
    pub(super) fn note_before_removal(&mut self, gone: &[DeviceId]) -> Result<(), RuntimeError> {
        let noted = self.replica.to_note(gone);
        self.note_ends(&noted)
    }

    /// Notes an entry that takes this person's access and comes only after its author was removed: whoever hands
    /// it on tells this device of nothing later, so what vouches for it never comes. Durable when it returns.
    ///
    /// A stolen device can end a share on this device so, though for nobody else, if it finds somebody who passes
    /// that on; sharing once more mends it.
    fn note_late_end(&mut self, entry: &Entry) -> Result<(), RuntimeError> {
        let (space, author) = (entry.header().space, entry.header().device);
        let control = self.replica.control();
        let was_member = control.owner_of(&author).is_some();
        let person = self.replica.person().filter(|me| ends(entry, me));
        let Some(_) = person.filter(|_| was_member && !control.is_live(&author)) else {
            return Ok(());
        };
        self.note_ends(&[(space, entry.id())])
    }

    fn note_ends(&mut self, noted: &[(SpaceId, EntryId)]) -> Result<(), RuntimeError> {
        if noted.is_empty() {
            return Ok(());
        }
        let row = |(space, entry): &(SpaceId, EntryId)| {
            let key = [NOTED_ENDS, &space.0, &entry.0].concat();
            (Table::Receipts, key, Vec::new())
        };
        self.store.commit(&Batch {
            puts: noted.iter().map(row).collect(),
            ..Batch::default()
        })?;
        for (space, entry) in noted {
            self.replica.note_ended(*space, [*entry]);
        }
        Ok(())
    }

    /// Hands the replica what was noted, before it settles what it replayed.
    pub(super) fn load_noted(&mut self) -> Result<(), RuntimeError> {
        let mut noted = Vec::new();
        self.store.scan(Table::Receipts, NOTED_ENDS, |key, _| {
            let key = key.strip_prefix(NOTED_ENDS);
            if let Some((space, entry)) = key.and_then(|key| key.split_first_chunk())
                && let Ok(entry) = entry.try_into()
            {
                noted.push((SpaceId(*space), EntryId(entry)));
            }
            ControlFlow::Continue(())
        })?;
        for (space, entry) in noted {
            self.replica.note_ended(space, [entry]);
        }
        Ok(())
    }

    /// The albums that this person could read once and may no more.
    pub(super) fn lost_albums(&self) -> BTreeSet<AlbumId> {
        let Some(me) = self.replica.person() else {
            return BTreeSet::new();
        };
        let (control, device) = (self.replica.control(), self.device());
        let lost = self.replica.albums().filter(|(_, album)| {
            let could = || {
                album.highest_level(&me) > Level::None
                    || !album.ended_by(control, &me, &device).is_empty()
            };
            !album.may_read(&me) && could()
        });
        lost.map(|(id, _)| *id).collect()
    }

    /// Wants nothing of albums that were lost but what others owe this person, as nobody serves it, and all of those
    /// that came back.
    pub(super) fn want_what_is_served(&mut self) -> Result<(), RuntimeError> {
        let lost = self.lost_albums();
        let before = std::mem::replace(&mut self.ended, lost);
        // Of one that came back some originals were wanted, and now all blobs are.
        for album in self.ended.symmetric_difference(&before) {
            self.want.let_go(album);
        }
        match before.is_subset(&self.ended) {
            true => self.reckon_owed(),
            false => self.load_wants(),
        }
    }

    /// Whether this person was told that an album ended then. Where the index is made again, once more.
    fn was_read(&self, album: &AlbumId, stamp: u64) -> bool {
        let row = self.store.get(Table::Receipts, &read_key(album));
        let read = row.ok().flatten().and_then(|row| row.try_into().ok());
        read.is_some_and(|read| stamp <= u64::from_be_bytes(read))
    }

    /// The albums that this person was taken out of by others, or that others deleted, and that they have not let go
    /// of, as far as this device may know.
    pub(super) fn ended_albums(&self) -> BTreeMap<AlbumId, EndedAlbum> {
        let mut ended = BTreeMap::new();
        let Some(me) = self.replica.person() else {
            return ended;
        };
        for (id, space) in self.replica.albums() {
            let is_deleted = space.is_closed();
            let entries = match is_deleted {
                true => space
                    .closed_by()
                    .filter(|_| space.may_read(&me))
                    .into_iter()
                    .collect(),
                false => space.ended_by(self.replica.control(), &me, &self.device()),
            };
            let entries = entries.into_iter();
            let records = entries.filter_map(|entry| self.store.entry_by_id(&entry).ok().flatten());
            let Some(last) = records.max_by_key(|record| record.hlc) else {
                continue;
            };
            let by = self.replica.control().owner_of(&last.log.device);
            if by == Some(me) || self.was_read(id, last.hlc) {
                continue;
            }
            let name = self.albums.get(id).and_then(|row| row.name());
            let album = EndedAlbum {
                id: *id,
                name: name.map_or_else(|| id.short(), str::to_owned),
                is_deleted,
                by,
                at: Hlc(last.hlc).time().0,
                stamp: last.hlc,
            };
            ended.insert(*id, album);
        }
        ended
    }
}

fn lowers(entry: &Entry, person: &PersonId) -> bool {
    sets(entry, person, |level| level < Level::Contributor)
}

fn ends(entry: &Entry, person: &PersonId) -> bool {
    sets(entry, person, |level| level == Level::None)
}

/// The devices whose logs an entry cuts.
fn cut_by(entry: &Entry) -> Vec<DeviceId> {
    if !entry.header().is_control() {
        return Vec::new();
    }
    let ops = entry.open(None).into_iter().flatten().flatten();
    let cut = ops.filter_map(|op| match op {
        Op::Cut(cut) => Some(cut.device),
        _ => None,
    });
    cut.collect()
}

/// Whether an entry gives a person a level of some kind in an album.
fn sets(entry: &Entry, person: &PersonId, fits: impl Fn(Level) -> bool) -> bool {
    if !entry.header().is_control() {
        return false;
    }
    let mut ops = entry.open(None).into_iter().flatten().flatten();
    ops.any(|op| matches!(op, Op::SetAccess(set) if set.person == *person && fits(set.level)))
}
