//! An album's rows made anew from its entries, when access, cuts or keys changed.

use std::ops::ControlFlow;

use heirloom_protocol::id::AlbumId;

use super::{
    AlbumRow, AssetKey, News, Runtime, RuntimeError, asset,
    commit::{Stage, WAITS, rebuild_key},
    load::entry_of,
};
use crate::store::{Batch, Table};

/// Rows removed in one commit.
const REMOVE_ROWS: usize = 4096;

impl Runtime {
    /// Projects every entry of an album that counts now.
    ///
    /// Interrupted at any point, it starts over when the store is opened next:
    /// the rows follow from the entries, and nothing is lost. It starts over then
    /// also where an entry waits for this device's clock, which may be another by then.
    pub(super) fn rebuild(&mut self, album: AlbumId) -> Result<(), RuntimeError> {
        while self.remove_rows(album)? {}
        self.albums.insert(album, AlbumRow::default());
        let mut stage = Stage::default();
        let mut waits = false;
        for head in self.store.logs(album) {
            let log = head.log;
            let mut from = head.first;
            while from <= head.seq {
                let (records, next) = self.whole_entries(&log, from)?;
                from = next;
                for record in &records {
                    let Some(entry) = entry_of(record) else {
                        continue;
                    };
                    let projection = self.replica.project(&entry, self.now());
                    self.stage_projection(&mut stage, &entry, log, &projection)?;
                    if self.waits_for_clock(&entry) {
                        // A clock that was set back has not reached what it had reached before.
                        self.replica.hold(entry.header().hlc, entry.id());
                        waits = true;
                    }
                }
                if stage.is_large() {
                    self.finish(std::mem::take(&mut stage))?;
                }
            }
        }
        let row = rebuild_key(&album);
        match waits {
            true => stage.batch.puts.push((Table::Kv, row, WAITS.to_vec())),
            false => stage.batch.deletes.push((Table::Kv, row)),
        }
        let row = self
            .albums
            .get(&album)
            .map(AlbumRow::encode)
            .unwrap_or_default();
        stage
            .batch
            .puts
            .push((Table::Albums, album.0.to_vec(), row));
        self.news.push(News::Rebuilt(album));
        self.finish(stage)
    }

    fn remove_rows(&mut self, album: AlbumId) -> Result<bool, RuntimeError> {
        let mut batch = Batch::default();
        let store = self.store.clone();
        store.scan(Table::Assets, &album.0, |key, value| {
            batch.deletes.push((Table::Assets, key.to_vec()));
            let row = AssetKey::from_bytes(key).zip(value.ok().and_then(|v| asset::decode(&v)));
            if let Some((key, asset)) = row {
                for (part, _) in asset.all_parts() {
                    let row = asset::hash_key(&store, part.pt_hash, key);
                    batch.deletes.push((Table::PlainHashes, row));
                }
            }
            if batch.deletes.len() < REMOVE_ROWS {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        let any = !batch.deletes.is_empty();
        if any {
            store.commit(&batch)?;
        }
        Ok(any)
    }
}
