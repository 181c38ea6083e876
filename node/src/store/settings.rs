//! What was set on this device alone, kept a second time beside the index.
//!
//! No log tells which folders are followed, which depots there are, how many
//! copies are wanted or which browsers are let in: an index that is lost would
//! forget it, and photos would stay out without a word. So these rows also lie in
//! `home/settings`, sealed as they are in the index. The file is written anew
//! when one of them changes, and read when an index is begun anew. A row that
//! does not open is passed over; losing the file loses nothing as long as there is
//! an index.

use std::io;

use heirloom_protocol::wire;

use super::error::{Refusal, StoreError};
use super::fs;
use super::index::redb_error;
use super::seal::Sealer;
use super::tables::Table;
use super::{Batch, Inner};

/// How the keys of those rows begin.
const KEPT: [&[u8]; 5] = [
    b"watched folders",
    b"copies wanted",
    b"recovery confirmed",
    b"depot/",
    b"gallery/",
];
/// The row of an index that has taken what the file holds.
const TAKEN: &[u8] = b"settings taken";
/// Largest file that is read.
const FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Keys and sealed values.
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn is_kept(key: &[u8]) -> bool {
    KEPT.iter().any(|begin| key.starts_with(begin))
}

impl Inner {
    /// Brings the file up to date after a batch. What was set counts already, so a disk that does not
    /// take it is told to the log alone; it is tried again with the next change and at the next opening.
    pub(super) fn keep_settings(&self, batch: &Batch) {
        let puts = batch.puts.iter().map(|(table, key, _)| (table, key));
        let deletes = batch.deletes.iter().map(|(table, key)| (table, key));
        let mut changed = puts.chain(deletes);
        if changed.any(|(table, key)| *table == Table::Kv && is_kept(key)) {
            self.write_settings();
        }
    }

    /// The same without a batch.
    fn write_settings(&self) {
        if let Err(error) = self.try_to_write() {
            tracing::warn!(%error, "what is set on this device could not be kept a second time");
        }
    }

    fn try_to_write(&self) -> Result<(), StoreError> {
        let path = self.home.join("settings");
        let rows = self.settings()?;
        let bytes = wire::encode_row(&rows).map_err(|_| Refusal::TooLarge { bytes: FILE_BYTES })?;
        let is_there = std::fs::read(&path).is_ok_and(|there| there == bytes);
        if !is_there {
            fs::write_whole(&path, &bytes)?;
        }
        Ok(())
    }

    fn settings(&self) -> Result<Rows, StoreError> {
        self.index.snapshot()?.read(|read| {
            let values = read
                .open_table(Table::Kv.definition())
                .map_err(redb_error)?;
            let mut rows = Rows::new();
            for value in redb::ReadableTable::iter(&values).map_err(redb_error)? {
                let (key, value) = value.map_err(redb_error)?;
                if is_kept(key.value()) {
                    rows.push((key.value().to_vec(), value.value().to_vec()));
                }
            }
            Ok(rows)
        })
    }

    /// Takes what an index that is new lacks from the file, and brings the file up to date.
    pub(super) fn settle_settings(&self) {
        if let Err(error) = self.take_settings() {
            tracing::warn!(%error, "what was set on this device could not be taken from its file");
        }
        self.write_settings();
    }

    fn take_settings(&self) -> Result<(), StoreError> {
        let known = self.index.snapshot()?.read(|read| {
            let values = read
                .open_table(Table::Kv.definition())
                .map_err(redb_error)?;
            Ok(values.get(TAKEN).map_err(redb_error)?.is_some())
        })?;
        if known {
            return Ok(());
        }
        let mut rows = read(&self.home.join("settings"), &self.sealer)?;
        rows.push((TAKEN.to_vec(), self.sealer.seal(Table::Kv, TAKEN, &[])?));
        let taken = self.index.write(|write| {
            let mut values = write
                .open_table(Table::Kv.definition())
                .map_err(redb_error)?;
            for (key, value) in &rows {
                let is_there = redb::ReadableTable::get(&values, key.as_slice());
                if is_there.map_err(redb_error)?.is_none() {
                    values
                        .insert(key.as_slice(), value.as_slice())
                        .map_err(redb_error)?;
                }
            }
            Ok(())
        });
        taken.map_err(super::index::Failed::into_error)
    }
}

/// The rows of the file that open; none where it is missing or no such file.
fn read(path: &std::path::Path, sealer: &Sealer) -> Result<Rows, StoreError> {
    let bytes = match std::fs::metadata(path) {
        Ok(found) if found.len() <= FILE_BYTES => std::fs::read(path).map_err(fs::at(path))?,
        Ok(_) => return Ok(Rows::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Rows::new()),
        Err(error) => return Err(fs::at(path)(error).into()),
    };
    let rows: Rows = wire::decode_row(&bytes).unwrap_or_default();
    let opens = |(key, value): &(Vec<u8>, Vec<u8>)| {
        is_kept(key) && sealer.open(Table::Kv, key, value).is_some()
    };
    Ok(rows.into_iter().filter(opens).collect())
}
