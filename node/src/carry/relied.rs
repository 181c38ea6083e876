//! Which blobs of a depot somebody relies on still, by whatever name.
//!
//! A deletion ends a reference, and a file goes by what is in it: an album and
//! the library may name one blob, and so may another person, in an album that
//! this device knows nothing of. So a blob is looked for in all entries that
//! are here, and for what others list that is not here, in the headers of the
//! entries that they have put there. What cannot be told stays.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_protocol::{
    carry,
    id::{BlobId, DeviceId, LogId, SpaceId},
    limits,
    log::entry::{Entry, EntryBytes},
    sync::have::PeerHaves,
    wire,
};
use roaring::RoaringBitmap;

use super::{Carrier, CarryError};
use crate::{
    node::Node,
    runtime::Reference,
    store::{EntryRecord, StoreError},
};

/// Bytes of entries that are looked at in one go.
const PAGE_BYTES: usize = 1024 * 1024;

/// What others say that lies in a depot.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Others {
    /// Devices of the family.
    pub(crate) live: PeerHaves,
    /// Devices that were removed from it.
    pub(crate) left: PeerHaves,
    /// Something that a device of the family says could not be read.
    pub(crate) is_unsure: bool,
}

/// What a log announces, whichever branch of it.
type Stem = (SpaceId, DeviceId, u64);

const fn stem(log: &LogId) -> Stem {
    (log.space, log.device, log.inc)
}

/// What is relied on.
#[derive(Default)]
pub(super) struct Relied {
    /// The blobs.
    pub(super) ids: BTreeSet<BlobId>,
    /// Those of them that a live device's row names.
    pub(super) named: BTreeSet<BlobId>,
    /// References to them in entries here that count still.
    pub(super) counts: Vec<Reference>,
}

/// Those of some blobs that somebody relies on; `None` where that cannot be told now.
pub(super) fn relied_on(
    node: &Node,
    folder: &dyn Carrier,
    ids: &BTreeSet<BlobId>,
    others: &Others,
) -> Result<Option<Relied>, CarryError> {
    if others.is_unsure {
        return Ok(None);
    }
    let Some(references) = here(node, ids)? else {
        return Ok(None);
    };
    let judged = node.ask_blocking(move |runtime| runtime.judged(references))??;
    let holds = |one: &Reference| others.live.holders(&one.log, one.ordinal).next().is_some();
    let mut relied = Relied::default();
    let named = judged.iter().filter(|one| holds(one)).map(|one| one.id);
    relied.named.extend(named);
    relied
        .counts
        .extend(judged.into_iter().filter(|one| one.counts));
    relied.ids.extend(relied.counts.iter().map(|one| one.id));
    for device in others.live.peers().chain(others.left.peers()) {
        let unknown = unknown(node, device, others)?;
        if unknown.is_empty() {
            continue;
        }
        let is_live = others.live.peers().any(|live| live == device);
        let found = match is_live {
            true => &mut relied.named,
            false => &mut relied.ids,
        };
        let left = listed(folder, device, unknown, ids, found)?;
        // A removed device mends nothing any more: what it wrote must not keep everything for good.
        if left > 0 && is_live {
            tracing::debug!(device = %device.short(), left, "what it has put there cannot be told");
            return Ok(None);
        }
    }
    relied.ids.extend(&relied.named);
    Ok(Some(relied))
}

/// The references to some blobs in all entries here; `None` where entries are missing or damaged.
fn here(node: &Node, ids: &BTreeSet<BlobId>) -> Result<Option<Vec<Reference>>, CarryError> {
    let store = node.store();
    let is_short = !store.unindexed_logs()?.is_empty() || !store.stranded().is_empty();
    if is_short || !store.lost()?.is_empty() {
        return Ok(None);
    }
    let spaces = store.spaces().into_iter();
    let mut references = Vec::new();
    for head in spaces.flat_map(|space| store.logs(space)) {
        let mut from = head.first;
        while from <= head.seq {
            let records = match store.entries(&head.log, from, PAGE_BYTES) {
                Err(StoreError::Damaged(_)) => return Ok(None),
                records => records?,
            };
            let Some(last) = records.last() else { break };
            from = last.seq.saturating_add(1);
            for record in records.iter().filter(|record| record.blobs > 0) {
                let Some(entry) = entry_of(record) else {
                    return Ok(None);
                };
                let all = announced(&entry).filter(|(_, id)| ids.contains(id));
                references.extend(all.map(|(ordinal, id)| Reference {
                    log: head.log,
                    ordinal,
                    id,
                    counts: true,
                }));
            }
        }
    }
    Ok(Some(references))
}

fn entry_of(record: &EntryRecord) -> Option<Entry> {
    let bytes: EntryBytes = wire::decode_row(&record.bytes).ok()?;
    Entry::trust(bytes).ok()
}

/// The blobs that an entry announces, by their ordinals.
fn announced(entry: &Entry) -> impl Iterator<Item = (u32, BlobId)> {
    let header = entry.header();
    let ordinals = header.first_blob..;
    ordinals.zip(header.blobs.iter().map(|line| line.id))
}

/// What a device lists of which no entry is here.
fn unknown(
    node: &Node,
    device: &DeviceId,
    others: &Others,
) -> Result<BTreeMap<Stem, RoaringBitmap>, CarryError> {
    let listed = others.live.logs(device).chain(others.left.logs(device));
    let listed: Vec<_> = listed.map(|(log, bits)| (*log, bits.clone())).collect();
    let unknown = node.ask_blocking(move |runtime| runtime.unannounced(listed))?;
    let mut stems: BTreeMap<Stem, RoaringBitmap> = BTreeMap::new();
    for (log, bits) in unknown {
        *stems.entry(stem(&log)).or_default() |= bits;
    }
    Ok(stems)
}

/// Looks for blobs that a device lists in the entries that it has put there, and adds those that are
/// asked for to what was found; how many of them are in none of these.
fn listed(
    folder: &dyn Carrier,
    device: &DeviceId,
    unknown: BTreeMap<Stem, RoaringBitmap>,
    ids: &BTreeSet<BlobId>,
    found: &mut BTreeSet<BlobId>,
) -> Result<u64, CarryError> {
    let mut left = unknown.clone();
    let of_device = carry::folder_of(device);
    let names = folder.list(&of_device)?;
    let is_entries = |name: &&String| name.starts_with("entries-");
    for name in names.iter().filter(is_entries) {
        let most = u64::try_from(limits::CARRY_FILE_BYTES).unwrap_or(0);
        let bytes = match folder.get(&format!("{of_device}/{name}"), most) {
            // Whatever it is, it is no file of theirs; what it was to say is left.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => None,
            bytes => bytes?,
        };
        let (entries, _) = carry::read_entries(&bytes.unwrap_or_default());
        for entry in entries.into_iter().filter_map(|one| Entry::trust(one).ok()) {
            let header = entry.header();
            let stem = (header.space, header.device, header.inc);
            let Some((asked, left)) = unknown.get(&stem).zip(left.get_mut(&stem)) else {
                continue;
            };
            for (ordinal, id) in announced(&entry).filter(|(ordinal, _)| asked.contains(*ordinal)) {
                left.remove(ordinal);
                if ids.contains(&id) {
                    found.insert(id);
                }
            }
        }
    }
    Ok(left.values().map(RoaringBitmap::len).sum())
}
