//! What is here goes into a folder: entries first, then blobs, and last the manifest that says what is there.
//!
//! Every file is written whole, so that an interruption leaves what can be read.
//! Blobs that lie there already are left, so that the next attempt goes on. Of
//! a depot this device knows what it has put there before, and adds to that.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use heirloom_protocol::{
    album::asset::BlobRef,
    carry::{self, LogRow, Manifest, Part, SpaceRow},
    crypto::Signed,
    id::{BlobId, DeviceId, LogId},
    limits,
    log::entry::EntryBytes,
    sync::{blob::blob_bytes, have},
    time::Hlc,
    wire,
};
use roaring::RoaringBitmap;
use tokio_util::sync::CancellationToken;

use super::{
    Carrier, CarryError, Pace,
    relied::{Others, relied_on},
};
use crate::{
    node::Node,
    runtime::{CarriedLog, CarriedSpace, RuntimeError, Scope},
    store::{BlobPlace, StoreError},
};

/// Bytes after which a file of entries is ended.
const FILE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of bitmaps after which a list is ended.
const LIST_BYTES: usize = 256 * 1024;
/// Bytes below which a file of entries is written anew with what comes after it.
const SMALL_BYTES: u32 = 1024 * 1024;
/// Blobs that are asked for at once.
const PAGE: usize = 64;
/// Blobs that may wait for their names.
const WAITING: usize = 1024;

/// What people find beside the files.
const README: &str = "\
This folder was written by Heirloom, a program with which a family shares its photos.

What is here is encrypted. It can be read on a device of that family alone:

    heirloom bundle read THIS-FOLDER

Losing it does no harm, and whoever finds it sees no photo and no name. It may be deleted.
";

/// What this device has put there before, and what others say they have.
#[derive(Default)]
pub(crate) struct Before {
    /// Its files of entries.
    pub(crate) entries: Vec<Part>,
    /// Its lists.
    pub(crate) lists: Vec<Part>,
    /// What these hold: entries and blobs of each log.
    pub(crate) logs: BTreeMap<LogId, (Range<u32>, RoaringBitmap)>,
    /// What others say that lies there.
    pub(crate) others: Others,
    /// Whether to remove what was deleted for good; looking for who relies on it costs something.
    pub(crate) is_cleaned: bool,
}

impl Before {
    /// The entries of a log that are there and go together with those to come.
    fn seqs(&self, carried: &CarriedLog) -> Option<Range<u32>> {
        let (seqs, _) = self.logs.get(&carried.log)?;
        let wanted = &carried.seqs;
        let fits = seqs.start <= wanted.start && (wanted.start..=wanted.end).contains(&seqs.end);
        fits.then(|| seqs.clone())
    }

    pub(super) fn blobs(&self, log: &LogId) -> RoaringBitmap {
        let known = self.logs.get(log).map(|(_, blobs)| blobs.clone());
        known.unwrap_or_default()
    }
}

/// What was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Written {
    /// Entries.
    pub(crate) entries: u64,
    /// Blobs that were not there.
    pub(crate) blobs: u64,
    /// Blobs that lay there already.
    pub(crate) present: u64,
    /// Blobs that were given up for good, and were removed.
    pub(crate) removed: u64,
    /// Blobs of this device that lie there now.
    pub(crate) there: u64,
    /// Blobs that are damaged here, and are not in the folder.
    pub(crate) damaged: u64,
    /// Bytes of files that were not there.
    pub(crate) bytes: u64,
}

/// Writes a folder. All of it is durable when it returns; an earlier manifest of this device there is replaced.
/// Where nothing is new, nothing is written.
///
/// # Errors
///
/// [`CarryError`]; what was written by then stays, can be read, and is not written again.
pub(crate) fn write(
    node: &Node,
    folder: &dyn Carrier,
    scope: Scope,
    before: &Before,
    cancelled: &CancellationToken,
    tell: &mut dyn FnMut(Pace),
) -> Result<Written, CarryError> {
    let (spaces, device) = node.ask_blocking(move |runtime| {
        let carried = runtime.carried(scope)?;
        Ok::<_, RuntimeError>((carried, runtime.device()))
    })??;
    let folder_name = carry::folder_of(&device);
    let names = folder.list(&folder_name)?;
    let numbers = names.iter().filter_map(|name| carry::number_of(name));
    let mut writer = Writer {
        node,
        folder,
        device,
        before,
        next: numbers.max().map_or(0, |last| last.saturating_add(1)),
        waiting: BTreeSet::new(),
        written: Written::default(),
        pace: Pace {
            total: total(&spaces, before),
            ..Pace::default()
        },
        cancelled,
        tell,
    };
    if folder.size(carry::README)?.is_none() {
        writer.file(carry::README, README.as_bytes())?;
    }
    let entries = writer.entries(&spaces)?;
    let same_entries = entries == before.entries;
    folder.settle()?;
    let names_any = before.logs.values().any(|(_, blobs)| !blobs.is_empty());
    if before.lists.is_empty() && !names_any {
        // For whom albums are must be known even if this is interrupted. Where blobs lie there, lists
        // without them must not be what is left.
        let rows = spaces.iter().map(no_blobs).collect();
        let lists = writer.lists(rows)?;
        folder.settle()?;
        writer.manifest(scope, false, entries.clone(), lists)?;
    }
    let changed = writer.clean(&spaces)?;
    let mut rows = Vec::with_capacity(spaces.len());
    for space in &spaces {
        rows.push(writer.blobs(space, &changed)?);
    }
    let lists = writer.lists(rows)?;
    // What a manifest names must be there before it.
    folder.settle()?;
    if same_entries && lists == before.lists && !lists.is_empty() {
        return Ok(writer.written);
    }
    let named: BTreeSet<_> = entries
        .iter()
        .chain(&lists)
        .map(|part| part.number)
        .collect();
    writer.manifest(scope, true, entries, lists)?;
    for name in names {
        if carry::number_of(&name).is_some_and(|number| !named.contains(&number)) {
            folder.remove(&format!("{folder_name}/{name}"))?;
        }
    }
    Ok(writer.written)
}

fn total(spaces: &[CarriedSpace], before: &Before) -> u64 {
    let logs = spaces.iter().flat_map(|space| &space.logs);
    logs.map(|log| (&log.blobs - before.blobs(&log.log)).len())
        .sum()
}

/// Blobs of logs.
type Ordinals = BTreeMap<LogId, RoaringBitmap>;

/// What is named otherwise than before, because of what was deleted for good.
#[derive(Default)]
struct Changed {
    /// What is named no more.
    gone: Ordinals,
    /// What is named now: other references to blobs that are kept for them.
    kept: Ordinals,
}

struct Writer<'a> {
    node: &'a Node,
    folder: &'a dyn Carrier,
    device: DeviceId,
    before: &'a Before,
    /// The number of the next file.
    next: u32,
    /// Blobs that may wait for their names: another album may have the same.
    waiting: BTreeSet<BlobId>,
    written: Written,
    pace: Pace,
    cancelled: &'a CancellationToken,
    tell: &'a mut dyn FnMut(Pace),
}

impl Writer<'_> {
    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), CarryError> {
        self.folder.put(name, bytes)?;
        self.written.bytes += u64::try_from(bytes.len()).unwrap_or(0);
        Ok(())
    }

    fn part(
        &mut self,
        bytes: &[u8],
        name: fn(&DeviceId, u32) -> String,
    ) -> Result<Part, CarryError> {
        let part = Part::of(self.next, bytes);
        self.next = self.next.saturating_add(1);
        self.file(&name(&self.device, part.number), bytes)?;
        Ok(part)
    }

    fn check(&self) -> Result<(), CarryError> {
        match self.cancelled.is_cancelled() {
            true => Err(RuntimeError::Stopped.into()),
            false => Ok(()),
        }
    }

    /// Entries of all spaces, each after what it names as far as that is cheap to know.
    fn entries(&mut self, spaces: &[CarriedSpace]) -> Result<Vec<Part>, CarryError> {
        let mut parts = self.before.entries.clone();
        let mut bytes = Vec::new();
        for space in spaces {
            let all = self.places(space);
            if !all.is_empty() && bytes.is_empty() && parts.len() == self.before.entries.len() {
                bytes = self.small_end(&mut parts);
            }
            for places in all.chunks(PAGE) {
                self.check()?;
                let asked = places.to_vec();
                let found = self.node.ask_blocking(move |runtime| {
                    let entries = asked
                        .iter()
                        .map(|(log, seq)| runtime.carried_entry(log, *seq));
                    entries.collect::<Vec<Option<EntryBytes>>>()
                })?;
                for entry in found.into_iter().flatten() {
                    carry::put_entry(&mut bytes, &entry);
                    self.written.entries += 1;
                    if bytes.len() >= FILE_BYTES {
                        parts.push(self.part(&bytes, carry::entries_of)?);
                        bytes.clear();
                    }
                }
            }
        }
        if !bytes.is_empty() {
            parts.push(self.part(&bytes, carry::entries_of)?);
        }
        Ok(parts)
    }

    /// The entries of a space that are not there, in the order in which they are written.
    fn places(&self, space: &CarriedSpace) -> Vec<(LogId, u32)> {
        let known: BTreeMap<LogId, Range<u32>> = space
            .logs
            .iter()
            .filter_map(|carried| Some((carried.log, self.before.seqs(carried)?)))
            .collect();
        let is_new =
            |(log, seq): &(LogId, u32)| known.get(log).is_none_or(|seqs| !seqs.contains(seq));
        let first: BTreeSet<_> = space.first.iter().copied().collect();
        let rest = space.logs.iter().flat_map(|carried| {
            let log = carried.log;
            carried.seqs.clone().map(move |seq| (log, seq))
        });
        let rest = rest.filter(|place| !first.contains(place));
        let all = space.first.iter().copied().chain(rest);
        all.filter(is_new).collect()
    }

    /// Takes the last file of entries back where it is small, so that they do not become many.
    fn small_end(&self, parts: &mut Vec<Part>) -> Vec<u8> {
        let Some(last) = parts.last().filter(|last| last.bytes < SMALL_BYTES) else {
            return Vec::new();
        };
        let name = carry::entries_of(&self.device, last.number);
        match self.folder.get(&name, u64::from(SMALL_BYTES)) {
            Ok(Some(bytes)) if last.is(&bytes) => {
                parts.pop();
                bytes
            }
            // What is wrong with it is found when it is looked for.
            _ => Vec::new(),
        }
    }

    /// The blobs of a space, and the row that says which are there.
    fn blobs(&mut self, space: &CarriedSpace, changed: &Changed) -> Result<SpaceRow, CarryError> {
        let mut logs = Vec::with_capacity(space.logs.len());
        for carried in &space.logs {
            let mut there = self.before.blobs(&carried.log);
            if let Some(gone) = changed.gone.get(&carried.log) {
                there -= gone;
            }
            if let Some(kept) = changed.kept.get(&carried.log) {
                there |= kept;
            }
            there |= self.blobs_of(carried)?;
            self.written.there += there.len();
            let first = self.before.seqs(carried).map(|seqs| seqs.start);
            let first = first.unwrap_or(carried.seqs.start);
            logs.extend(rows(carried, first, &there));
        }
        Ok(SpaceRow {
            space: space.space,
            persons: space.persons.clone(),
            keepers: space.keepers.clone(),
            logs,
        })
    }

    /// Removes the blobs that were deleted for good and that nobody relies on. What stays for another
    /// reference is named by that one: a file that no row names is neither fetched nor removed by anybody.
    fn clean(&mut self, spaces: &[CarriedSpace]) -> Result<Changed, CarryError> {
        let mut changed = Changed::default();
        let mut blobs: BTreeMap<BlobId, BlobRef> = BTreeMap::new();
        let mut ended: Vec<(LogId, BlobRef)> = Vec::new();
        let logs = spaces.iter().flat_map(|space| &space.logs);
        for carried in logs.filter(|_| self.before.is_cleaned) {
            let (log, asked) = (carried.log, self.before.blobs(&carried.log));
            let asked = asked - &carried.blobs;
            if asked.is_empty() {
                continue;
            }
            let gone = self
                .node
                .ask_blocking(move |runtime| runtime.gone_for_good(&log, &asked))??;
            blobs.extend(gone.iter().map(|blob| (blob.id, *blob)));
            ended.extend(gone.into_iter().map(|blob| (log, blob)));
        }
        if blobs.is_empty() {
            return Ok(changed);
        }
        let ids = blobs.keys().copied().collect();
        let Some(relied) = relied_on(self.node, self.folder, &ids, &self.before.others)? else {
            // Another time.
            return Ok(changed);
        };
        for (id, blob) in blobs.iter().filter(|(id, _)| !relied.ids.contains(id)) {
            for (name, _) in carry::blob_files(id, blob_bytes(blob)) {
                self.folder.remove(&name)?;
            }
            self.written.removed += 1;
        }
        let logs = spaces.iter().flat_map(|space| &space.logs);
        let logs: BTreeSet<_> = logs.map(|carried| carried.log).collect();
        let mut named = relied.named;
        for other in relied.counts.iter().filter(|one| logs.contains(&one.log)) {
            let kept = changed.kept.entry(other.log).or_default();
            kept.insert(other.ordinal);
            named.insert(other.id);
        }
        let is_told = |id| named.contains(id) || !relied.ids.contains(id);
        for (log, blob) in ended.iter().filter(|(_, blob)| is_told(&blob.id)) {
            let gone = changed.gone.entry(*log).or_default();
            gone.insert(blob.ordinal);
        }
        Ok(changed)
    }

    fn blobs_of(&mut self, carried: &CarriedLog) -> Result<RoaringBitmap, CarryError> {
        let mut there = RoaringBitmap::new();
        let new = &carried.blobs - self.before.blobs(&carried.log);
        let ordinals: Vec<u32> = new.iter().collect();
        for page in ordinals.chunks(PAGE) {
            self.check()?;
            let (log, asked) = (carried.log, page.to_vec());
            let found = self
                .node
                .ask_blocking(move |runtime| runtime.carried_blobs(&log, &asked))??;
            for (blob, place) in found {
                if self.blob(&blob, &place)? {
                    there.insert(blob.ordinal);
                }
                self.pace.done += 1;
                (self.tell)(self.pace);
            }
        }
        Ok(there)
    }

    /// Whether the blob is there now; it is not where it is damaged here.
    fn blob(&mut self, blob: &BlobRef, place: &BlobPlace) -> Result<bool, CarryError> {
        let bytes = blob_bytes(blob);
        let files = carry::blob_files(&blob.id, bytes);
        let mut missing = Vec::new();
        for (at, (name, size)) in (0_u64..).zip(&files) {
            if self.folder.size(name)? != Some(*size) {
                missing.push((at, name, *size));
            }
        }
        if missing.is_empty() || self.waiting.contains(&blob.id) {
            self.written.present += 1;
            self.pace.bytes += bytes;
            return Ok(true);
        }
        let blobs = self.node.store().blobs();
        // Only what has its name is given on.
        let is_whole = match blobs.is_whole(&blob.id, place) {
            Ok(is_whole) => is_whole && place.len() == bytes,
            Err(StoreError::Damaged(_)) => false,
            Err(error) => return Err(error.into()),
        };
        if !is_whole {
            tracing::warn!(blob = %blob.id.short(), "a damaged blob is left out");
            self.written.damaged += 1;
            return Ok(false);
        }
        let reader = blobs.open_blob(&blob.id, place)?;
        for (at, name, size) in missing {
            self.check()?;
            let mut piece = vec![0; usize::try_from(size).expect("at most 32 MiB")];
            reader.read_at(at * limits::CARRY_PIECE_BYTES, &mut piece)?;
            self.file(name, &piece)?;
            self.pace.bytes += size;
            (self.tell)(self.pace);
        }
        self.written.blobs += 1;
        self.waiting.insert(blob.id);
        if self.waiting.len() >= WAITING {
            self.folder.settle()?;
            self.waiting.clear();
        }
        Ok(true)
    }

    fn lists(&mut self, rows: Vec<SpaceRow>) -> Result<Vec<Part>, CarryError> {
        let mut lists: Vec<Vec<SpaceRow>> = Vec::new();
        let mut bytes = 0;
        for row in rows.into_iter().flat_map(split) {
            let added = wire::encode(&row).len();
            match lists.last_mut() {
                Some(list) if bytes + added <= LIST_BYTES => {
                    list.push(row);
                    bytes += added;
                }
                _ => {
                    lists.push(vec![row]);
                    bytes = added;
                }
            }
        }
        let mut parts = Vec::with_capacity(lists.len());
        for list in lists {
            let bytes = wire::encode(&list);
            let known = self.before.lists.iter().find(|part| part.is(&bytes));
            parts.push(match known {
                Some(part) => *part,
                None => self.part(&bytes, carry::list_of)?,
            });
        }
        Ok(parts)
    }

    fn manifest(
        &mut self,
        scope: Scope,
        whole: bool,
        entries: Vec<Part>,
        lists: Vec<Part>,
    ) -> Result<(), CarryError> {
        let signed = self.node.ask_blocking(move |runtime| {
            let manifest = Manifest {
                device: runtime.device(),
                hlc: Hlc::at(runtime.clock().now()),
                to: scope.to,
                since: scope.since,
                whole,
                entries,
                lists,
            };
            let family = runtime.replica().family();
            Signed::sign(&runtime.keys().sign, &family, manifest).map(|signed| signed.raw().clone())
        })?;
        let raw = signed.map_err(|_| {
            let text = "there is more than one manifest can name";
            CarryError::Place(std::io::Error::other(text))
        })?;
        let name = carry::manifest_of(&self.device);
        self.file(&name, &wire::encode(&raw))?;
        Ok(self.folder.settle()?)
    }
}

/// The row of a space of which no blob lies there yet.
fn no_blobs(space: &CarriedSpace) -> SpaceRow {
    let none = RoaringBitmap::new();
    let logs = space.logs.iter();
    SpaceRow {
        space: space.space,
        persons: space.persons.clone(),
        keepers: space.keepers.clone(),
        logs: logs
            .flat_map(|carried| rows(carried, carried.seqs.start, &none))
            .collect(),
    }
}

/// The rows of a log: several where its bitmap takes several.
fn rows(carried: &CarriedLog, first: u32, there: &RoaringBitmap) -> Vec<LogRow> {
    let mut pieces = have::pieces(there);
    if pieces.is_empty() {
        pieces.push(RoaringBitmap::new());
    }
    let row = |bits: RoaringBitmap| LogRow {
        device: carried.log.device,
        inc: carried.log.inc,
        branch: carried.log.branch,
        first,
        end: carried.seqs.end,
        blobs: have::encode(&bits),
    };
    pieces.into_iter().map(row).collect()
}

/// A row in as many as fit into lists.
fn split(row: SpaceRow) -> Vec<SpaceRow> {
    let mut split: Vec<SpaceRow> = Vec::new();
    let mut bytes = 0;
    for log in row.logs {
        let added = log.blobs.len() + 64;
        match split.last_mut() {
            Some(last) if bytes + added <= LIST_BYTES => {
                last.logs.push(log);
                bytes += added;
            }
            _ => {
                bytes = added;
                split.push(SpaceRow {
                    space: row.space,
                    persons: row.persons.clone(),
                    keepers: row.keepers.clone(),
                    logs: vec![log],
                });
            }
        }
    }
    split
}
