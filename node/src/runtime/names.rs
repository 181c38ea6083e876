//! What a blob is called, by the entry that announces it.

use heirloom_protocol::{
    id::{BlobId, LogId},
    log::entry::{Entry, EntryBytes},
    wire,
};

use crate::store::{EntryRecord, Store};

/// The blobs of the entry that was asked about last.
#[derive(Default)]
pub struct BlobNames(Option<(LogId, u32, Vec<BlobId>)>);

impl BlobNames {
    /// The name of a blob, where its entry can be read.
    pub fn of(&mut self, store: &Store, log: &LogId, ordinal: u32) -> Option<BlobId> {
        let has = |first: u32, names: &[BlobId]| {
            let index = usize::try_from(ordinal.checked_sub(first)?).ok()?;
            names.get(index).copied()
        };
        if let Some((known, first, names)) = &self.0
            && known == log
            && let Some(name) = has(*first, names)
        {
            return Some(name);
        }
        // A damaged entry is named by itself; its blobs are held against their own records.
        let record = store.entry_with_blob(log, ordinal).ok()??;
        let entry = Self::bytes_of(&record).and_then(|bytes| Entry::trust(bytes).ok())?;
        let names: Vec<_> = entry.header().blobs.iter().map(|line| line.id).collect();
        let name = has(record.first_blob, &names);
        self.0 = Some((*log, record.first_blob, names));
        name
    }

    /// The entry in a record, as it was signed.
    pub fn bytes_of(record: &EntryRecord) -> Option<EntryBytes> {
        wire::decode_row(&record.bytes).ok()
    }
}
