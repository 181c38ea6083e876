//! Records prepared files, up to 64 an entry: blobs durable, then the entry, then the word.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use heirloom_protocol::{
    id::{AlbumId, OpId, PlainHash},
    limits,
    log::entry::BlobLine,
    op::{AddPart, Items, Op, PartRole},
};

use super::{
    Outcome, Ready, Report, Shared,
    known::{Remade, Then},
    prepare::{Again, Photo, source_row},
    previews::{self, Due},
};
use crate::{
    api::{ApiError, entries},
    media::MediaKind,
    runtime::AssetKey,
    store::{Batch, BlobPlace, Store, StoreError, Table},
};

/// How long a file waits for others to be recorded with.
const WAIT: Duration = Duration::from_millis(250);

/// Collects prepared files.
pub(super) struct Batcher<'a, 's> {
    shared: &'a Shared<'s>,
    waiting: Vec<Photo>,
    /// Movies of live photos that came before their stills: a short movie is read sooner than a large still.
    motions: Vec<Photo>,
    since: Option<Instant>,
    again: Vec<Again>,
    twins: Vec<(PathBuf, AlbumId, PlainHash, u64)>,
    restored: Vec<(PathBuf, AssetKey, u64)>,
    /// What is to be said of photos that are here, and their lines.
    known: Vec<(AlbumId, Vec<Op>, Report)>,
    added: BTreeMap<(AlbumId, PlainHash), OpId>,
    due: Vec<Due>,
    /// Of how many of these pictures were made.
    shown: usize,
}

fn live_key(store: &Store, album: AlbumId, live_id: &str) -> Vec<u8> {
    let term = [b"live/", &album.0[..], live_id.as_bytes()].concat();
    store.blind(Table::Sources, &term).to_vec()
}

impl<'a, 's> Batcher<'a, 's> {
    pub(super) fn new(shared: &'a Shared<'s>) -> Self {
        Self {
            shared,
            waiting: Vec::new(),
            motions: Vec::new(),
            since: None,
            again: Vec::new(),
            twins: Vec::new(),
            restored: Vec::new(),
            known: Vec::new(),
            added: BTreeMap::new(),
            due: Vec::new(),
            shown: 0,
        }
    }

    /// Records everything that comes; returns what previews are due.
    pub(super) fn run(mut self, ready: &Receiver<Ready>) -> Result<Vec<Due>, ApiError> {
        loop {
            let patience = self.since.map_or(Duration::from_secs(3600), |since| {
                WAIT.saturating_sub(since.elapsed())
            });
            match ready.recv_timeout(patience) {
                Ok(Ready::Photo(prepared)) => self.take(*prepared)?,
                Ok(Ready::Twin {
                    path,
                    album,
                    hash,
                    bytes,
                }) => {
                    self.twins.push((path, album, hash, bytes));
                }
                Ok(Ready::Restore { path, key, bytes }) => {
                    self.since.get_or_insert_with(Instant::now);
                    self.restored.push((path, key, bytes));
                    if self.restored.len() >= limits::BATCH_ITEMS {
                        self.flush()?;
                    }
                }
                Ok(Ready::Again(again)) => {
                    self.since.get_or_insert_with(Instant::now);
                    self.again.push(*again);
                    if self.again.len() >= limits::BATCH_ITEMS {
                        self.flush()?;
                    }
                }
                Ok(Ready::Known { album, ops, report }) => {
                    self.since.get_or_insert_with(Instant::now);
                    self.known.push((album, ops, report));
                    if self.known.len() >= limits::BATCH_ITEMS {
                        self.flush()?;
                    }
                }
                Ok(Ready::Told(report)) => self.shared.report(report),
                Ok(Ready::Ended(error)) => {
                    // What was prepared before is on the disk, and its entry has room.
                    self.finish()?;
                    return Err(error.into());
                }
                Err(RecvTimeoutError::Timeout) => self.flush()?,
                Err(RecvTimeoutError::Disconnected) => {
                    self.finish()?;
                    return Ok(self.due);
                }
            }
        }
    }

    fn take(&mut self, prepared: Photo) -> Result<(), ApiError> {
        let other_album = self
            .waiting
            .first()
            .is_some_and(|first| first.album != prepared.album);
        let is_motion = prepared.live_id.is_some() && prepared.media.kind() == MediaKind::Video;
        if other_album || is_motion {
            self.flush()?;
        }
        if is_motion {
            match self.still_of(&prepared)? {
                Some(still) => return self.pair(prepared, still),
                None => self.motions.push(prepared),
            }
            return Ok(());
        }
        self.wait(prepared)
    }

    /// Records what is left; a movie whose still never came is a movie of its own.
    fn finish(&mut self) -> Result<(), ApiError> {
        self.flush()?;
        for movie in std::mem::take(&mut self.motions) {
            match self.still_of(&movie)? {
                Some(still) => self.pair(movie, still)?,
                None => {
                    let first = self.waiting.first();
                    if first.is_some_and(|first| first.album != movie.album) {
                        self.flush()?;
                    }
                    self.wait(movie)?;
                }
            }
        }
        self.flush()
    }

    fn wait(&mut self, prepared: Photo) -> Result<(), ApiError> {
        self.since.get_or_insert_with(Instant::now);
        self.waiting.push(prepared);
        if self.waiting.len() >= limits::BATCH_ITEMS {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// The photo that a live photo's movie belongs to.
    fn still_of(&self, movie: &Photo) -> Result<Option<AssetKey>, ApiError> {
        let store = self.shared.node.store();
        let Some(live_id) = &movie.live_id else {
            return Ok(None);
        };
        let row = store.get(Table::Sources, &live_key(store, movie.album, live_id))?;
        let Some(key) = row.as_deref().and_then(AssetKey::from_bytes) else {
            return Ok(None);
        };
        let asset = key.load(store)?;
        let has_motion = asset
            .all_parts()
            .any(|(part, _)| part.role == PartRole::Motion);
        let me = self.shared.node;
        let me = me.ask_blocking(|runtime| runtime.replica().person())?;
        // Of an item to which this person added as many parts as they may, another one would be part of nothing.
        let added = asset.parts.iter();
        let added = added.filter(|part| Some(part.origin.author.person) == me);
        let has_room = added.count() < limits::ITEM_PARTS;
        // Beside a still in the trash it would be gone with it, and nobody deleted it.
        let is_still = asset.added.is_some() && !asset.is_purged() && asset.trashed().is_none();
        Ok((is_still && !has_motion && has_room).then_some(key))
    }

    fn pair(&mut self, movie: Photo, still: AssetKey) -> Result<(), ApiError> {
        self.shared.node.store().blobs().sync()?;
        let mut part = movie.item.parts[0].clone();
        part.role = PartRole::Motion;
        let op = Op::AddPart(AddPart {
            item: still.item,
            part,
        });
        let (album, line, place) = (movie.album, movie.line, movie.place);
        self.shared
            .node
            .ask_blocking(move |runtime| runtime.record(album, vec![op], vec![line], &[place]))??;
        // Other devices of this person may have added parts meanwhile, of which those with the smallest ids count.
        let asset = still.load(self.shared.node.store())?;
        let mut parts = asset.all_parts();
        if !parts.any(|(part, blob)| part.pt_hash == movie.hash && blob.id == line.id) {
            self.flush()?;
            return self.wait(movie);
        }
        self.keep_sources(std::slice::from_ref(&movie), &[])?;
        self.shared.in_work().remove(&(movie.album, movie.hash));
        self.added.insert((movie.album, movie.hash), still.item);
        self.shared.report(Report {
            path: movie.path,
            outcome: Outcome::Paired,
            asset: Some(still.item),
            reason: None,
            bytes: movie.bytes,
        });
        self.tell_twins();
        Ok(())
    }

    /// Gives items the originals that were made again, and tells of them.
    fn put_back(&mut self) -> Result<(), ApiError> {
        if self.again.is_empty() {
            return Ok(());
        }
        let store = self.shared.node.store();
        store.blobs().sync()?;
        let remade = self.again.iter().map(|again| &again.remade);
        let places: Vec<_> = remade.map(|one| (one.lost.blob, one.place)).collect();
        self.shared
            .node
            .ask_blocking(move |runtime| runtime.put_back(&places))??;
        let rows = self.again.iter();
        let rows = rows
            .filter(|one| !one.stamp.is_empty())
            .map(|one| source_row(store, &one.path, &one.stamp, one.hash));
        store.commit(&Batch {
            puts: rows.collect(),
            ..Batch::default()
        })?;
        for again in std::mem::take(&mut self.again) {
            let Remade { lost, .. } = again.remade;
            let content = (again.album, again.hash);
            self.shared.in_work().remove(&content);
            self.added.insert(content, lost.key.item);
            match lost.then {
                Then::Restore => self.restored.push((again.path, lost.key, again.bytes)),
                Then::Present => self.shared.report(Report {
                    path: again.path,
                    outcome: Outcome::PutBack,
                    asset: Some(lost.key.item),
                    reason: Some("its original was missing and is kept again".into()),
                    bytes: again.bytes,
                }),
                Then::Trashed(trash) => self.shared.report(Report {
                    path: again.path,
                    outcome: trash.outcome(),
                    asset: Some(lost.key.item),
                    reason: Some(trash.reason),
                    bytes: again.bytes,
                }),
            }
        }
        Ok(())
    }

    /// Takes out of the trash what is to come back.
    fn restore(&mut self) -> Result<(), ApiError> {
        let mut items: BTreeMap<AlbumId, Vec<OpId>> = BTreeMap::new();
        for (_, key, _) in &self.restored {
            items.entry(key.album).or_default().push(key.item);
        }
        for (album, items) in items {
            let op = Op::Restore(Items { items });
            self.shared
                .node
                .ask_blocking(move |runtime| runtime.record(album, vec![op], Vec::new(), &[]))??;
        }
        for (path, key, bytes) in self.restored.drain(..) {
            self.shared.report(Report {
                path,
                outcome: Outcome::Restored,
                asset: Some(key.item),
                reason: Some("it was brought back from the trash".into()),
                bytes,
            });
        }
        Ok(())
    }

    /// Says what sidecars say of photos that are here.
    fn say_of_known(&mut self) -> Result<(), ApiError> {
        let mut words: BTreeMap<AlbumId, Vec<Op>> = BTreeMap::new();
        let mut reports = Vec::with_capacity(self.known.len());
        for (album, ops, report) in self.known.drain(..) {
            words.entry(album).or_default().extend(ops);
            reports.push(report);
        }
        for (album, ops) in words {
            self.say(album, ops)?;
        }
        for report in reports {
            self.shared.report(report);
        }
        Ok(())
    }

    fn say(&self, album: AlbumId, ops: Vec<Op>) -> Result<(), ApiError> {
        for ops in entries(ops) {
            self.shared
                .node
                .ask_blocking(move |runtime| runtime.record(album, ops, Vec::new(), &[]))??;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ApiError> {
        self.since = None;
        self.put_back()?;
        self.restore()?;
        self.say_of_known()?;
        let waiting = std::mem::take(&mut self.waiting);
        let Some(first) = waiting.first() else {
            self.tell_twins();
            return Ok(());
        };
        let album = first.album;
        self.shared.node.store().blobs().sync()?;
        let mut ops = Vec::with_capacity(waiting.len());
        let mut lines: Vec<BlobLine> = Vec::with_capacity(waiting.len());
        let mut places: Vec<BlobPlace> = Vec::with_capacity(waiting.len());
        for (index, prepared) in waiting.iter().enumerate() {
            let mut item = prepared.item.clone();
            item.parts[0].blob = u32::try_from(index).unwrap_or(u32::MAX);
            ops.push(Op::AddItem(item));
            lines.push(prepared.line);
            places.push(prepared.place);
        }
        let ids = self
            .shared
            .node
            .ask_blocking(move |runtime| runtime.record(album, ops, lines, &places))??;
        let said = waiting.iter().zip(&ids).filter_map(|(prepared, id)| {
            let said = prepared.said.as_ref()?;
            Some(said.ops(*id, None))
        });
        // Interrupted here, the next import says of each photo what was not said.
        self.say(album, said.flatten().collect())?;
        self.keep_sources(&waiting, &ids)?;
        for (prepared, id) in waiting.into_iter().zip(ids) {
            self.shared.in_work().remove(&(album, prepared.hash));
            self.added.insert((album, prepared.hash), id);
            self.due.push(Due {
                key: AssetKey { album, item: id },
                media: prepared.media,
            });
            self.shared.report(Report {
                path: prepared.path,
                outcome: Outcome::Added,
                asset: Some(id),
                reason: prepared.note,
                bytes: prepared.bytes,
            });
        }
        self.tell_twins();
        self.show_first()
    }

    /// Makes the first pictures, once; what is shown already is left alone when the others are made.
    fn show_first(&mut self) -> Result<(), ApiError> {
        let first = self.shared.request.seen_first.saturating_sub(self.shown);
        let photos = self.due.iter().skip(self.shown);
        let due: Vec<Due> = photos.take(first).copied().collect();
        if due.is_empty() {
            return Ok(());
        }
        self.shown += due.len();
        let (node, pool) = (self.shared.node, &self.shared.pool);
        previews::make(node, pool, due, self.shared.cancelled, || {})
    }

    /// Remembers files and live photos, for the next import and for movies still to come.
    fn keep_sources(&self, recorded: &[Photo], ids: &[OpId]) -> Result<(), StoreError> {
        let store = self.shared.node.store();
        let mut batch = Batch::default();
        for (index, prepared) in recorded.iter().enumerate() {
            if !prepared.stamp.is_empty() {
                batch.puts.push(source_row(
                    store,
                    &prepared.path,
                    &prepared.stamp,
                    prepared.hash,
                ));
            }
            if let (Some(live_id), Some(item)) = (&prepared.live_id, ids.get(index))
                && prepared.media.kind() == MediaKind::Photo
            {
                let key = AssetKey {
                    album: prepared.album,
                    item: *item,
                };
                batch.puts.push((
                    Table::Sources,
                    live_key(store, prepared.album, live_id),
                    key.to_bytes(),
                ));
            }
        }
        store.commit(&batch)
    }

    /// Tells files whose content another file has brought by now.
    fn tell_twins(&mut self) {
        let (added, shared) = (&self.added, self.shared);
        self.twins.retain(|(path, album, hash, bytes)| {
            let Some(asset) = added.get(&(*album, *hash)) else {
                // The file that was to bring it failed: this one is to be imported again.
                if shared.in_work().contains(&(*album, *hash)) {
                    return true;
                }
                let reason = "the same photo under another name could not be read; import it again";
                shared.report(Report::refused(path.clone(), Outcome::Failed, reason));
                return false;
            };
            shared.report(Report {
                path: path.clone(),
                outcome: Outcome::Present,
                asset: Some(*asset),
                reason: Some(super::prepare::TWIN.into()),
                bytes: *bytes,
            });
            false
        });
    }
}
