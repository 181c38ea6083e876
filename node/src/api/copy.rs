//! Assets into one more album: the same blobs under new items, and what was said about them.
//!
//! A new item is this person's own word, which the next import believes. So what somebody else says
//! that a part contains is held against its bytes before it is said again.

use heirloom_protocol::{
    album::asset::{Asset, BlobRef},
    id::{AlbumId, OpId, PersonId, PlainHash},
    limits,
    log::entry::BlobLine,
    op::{AddBlob, AddItem, Field, Op, Part, SetField, Tag},
};

use super::{ApiError, trash::may_decide, write::Edits};
use crate::{
    catalog::{Folded, Held, Item, items_in},
    node::Node,
    original::Plain,
    runtime::{View, is_noted},
    store::{BlobPlace, BlobState, Store, StoreError},
};

/// Fields that go along; favourites are each person's own.
const FIELDS: [Field; 8] = [
    Field::Caption,
    Field::Taken,
    Field::Rating,
    Field::Archived,
    Field::Hidden,
    Field::Rotation,
    Field::Place,
    Field::NoPreview,
];
/// Blob lines of one entry: half of what it may have.
const LINES: usize = limits::ENTRY_BLOBS / 2;

/// What came of copying.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Copied {
    /// Assets that are in the album now and were not.
    pub(super) added: u64,
    /// Assets that were there.
    pub(super) present: u64,
}

/// Blobs of one entry and where they lie.
#[derive(Default)]
struct Lines {
    lines: Vec<BlobLine>,
    places: Vec<BlobPlace>,
}

impl Lines {
    /// Names a blob once more, with the numbers under which it was encrypted.
    fn add(&mut self, blob: &BlobRef, place: BlobPlace) -> u32 {
        let index = u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
        self.lines.push(BlobLine {
            part: blob.part,
            class: blob.class,
            id: blob.id,
            padded: blob.padded,
        });
        self.places.push(place);
        index
    }
}

/// Items of one entry.
#[derive(Default)]
struct Batch {
    blobs: Lines,
    items: Vec<Op>,
    sources: Vec<Asset>,
}

/// Puts assets into an album, all or, where an original is not on this device, none.
///
/// What lies in the album's trash comes back instead. Durable when it returns.
pub(super) async fn copy_into(
    node: &Node,
    view: &View,
    album: AlbumId,
    assets: Vec<Folded>,
) -> Result<Copied, ApiError> {
    let (store, seen) = (node.store().clone(), view.clone());
    let plan = node.blocking(move || plan(&store, &seen, album, assets));
    let (copied, restored, batches) = plan.await??;
    let mut edits = Edits::default();
    if !restored.is_empty() {
        edits.say_of_all([(album, restored)].into(), Op::Restore);
    }
    record_batches(node, album, batches, &mut edits).await?;
    edits.record(node).await?;
    Ok(copied)
}

/// What came of adding again what was deleted for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Again {
    /// Items that are back, as new ones.
    pub(super) added: u64,
    /// Items of which this device no longer has the bytes.
    pub(super) lost: u64,
}

/// Adds purged items of an album again, with the bytes that are still on this disk. Durable when
/// it returns.
pub(super) async fn add_again(
    node: &Node,
    album: AlbumId,
    items: Vec<Item>,
) -> Result<Again, ApiError> {
    let store = node.store().clone();
    let me = node.ask(|runtime| runtime.replica().person()).await?;
    let planned = node.blocking(move || {
        let (mut again, mut batches) = (Again::default(), Vec::new());
        for item in &items {
            match batch_up(&store, &mut batches, item, me)? {
                true => again.added += 1,
                false => again.lost += 1,
            }
        }
        Ok::<_, ApiError>((again, batches))
    });
    let (again, batches) = planned.await??;
    let mut edits = Edits::default();
    record_batches(node, album, batches, &mut edits).await?;
    edits.record(node).await?;
    Ok(again)
}

async fn record_batches(
    node: &Node,
    album: AlbumId,
    batches: Vec<Batch>,
    edits: &mut Edits,
) -> Result<(), ApiError> {
    for Batch {
        blobs,
        items,
        sources,
    } in batches
    {
        let recorded =
            node.ask(move |runtime| runtime.record(album, items, blobs.lines, &blobs.places));
        let ids = recorded.await??;
        add_pictures(node, album, &ids, &sources).await?;
        for (id, source) in ids.into_iter().zip(&sources) {
            say_again(edits, album, id, source);
        }
    }
    Ok(())
}

/// How many items [`add_again`] would add, and how many it could not, since their bytes are not on this disk.
pub(super) fn could_add_again(
    store: &Store,
    items: &[Item],
    me: Option<PersonId>,
) -> Result<Again, ApiError> {
    let mut again = Again::default();
    for item in items {
        let mut needed = item.asset.needed_parts(me);
        match needed.try_fold(true, |all, (_, blob)| {
            place_of(store, blob).map(|place| all && place.is_some())
        })? {
            true => again.added += 1,
            false => again.lost += 1,
        }
    }
    Ok(again)
}

/// Adds an item to the last batch that has room; says whether all its originals are on this disk.
fn batch_up(
    store: &Store,
    batches: &mut Vec<Batch>,
    source: &Item,
    me: Option<PersonId>,
) -> Result<bool, ApiError> {
    let full =
        |batch: &Batch| batch.items.len() >= limits::BATCH_ITEMS || batch.blobs.lines.len() > LINES;
    for (_, blob) in source.asset.needed_parts(me) {
        if place_of(store, blob)?.is_none() {
            return Ok(false);
        }
    }
    if batches.last().is_none_or(full) {
        batches.push(Batch::default());
    }
    let batch = batches.last_mut().expect("one was pushed");
    let item = add_item(store, source, me, &mut batch.blobs)?;
    batch.items.push(Op::AddItem(item));
    batch.sources.push(source.asset.clone());
    Ok(true)
}

/// Whether an asset can be put into an album: its originals are here, or it lies in that album's trash.
pub(super) fn can_copy(
    held: &Held<'_>,
    view: &View,
    album: Option<AlbumId>,
    folded: &Folded,
) -> Result<bool, StoreError> {
    let mut there = folded.items.iter();
    if there.any(|item| Some(item.key.album) == album && may_decide(view, item)) {
        return Ok(true);
    }
    for item in &folded.items {
        if held.has_originals(item, folded.me)? {
            return Ok(true);
        }
    }
    Ok(false)
}

type Plan = (Copied, Vec<OpId>, Vec<Batch>);

fn plan(store: &Store, view: &View, album: AlbumId, assets: Vec<Folded>) -> Result<Plan, ApiError> {
    let held = Held::of(store);
    let mut copied = Copied::default();
    let mut restored = Vec::new();
    let mut batches: Vec<Batch> = Vec::new();
    for folded in assets {
        if items_in(&folded, &album).any(|item| item.asset.trashed().is_none()) {
            copied.present += 1;
            continue;
        }
        copied.added += 1;
        if let Some(item) = items_in(&folded, &album).find(|item| may_decide(view, item)) {
            restored.push(item.key.item);
            continue;
        }
        batch_up(store, &mut batches, source(&held, &folded)?, view.person)?;
    }
    Ok((copied, restored, batches))
}

/// The item whose originals are all here.
fn source<'a>(held: &Held<'_>, folded: &'a Folded) -> Result<&'a Item, ApiError> {
    for item in &folded.items {
        if held.has_originals(item, folded.me)? {
            return Ok(item);
        }
    }
    let name = folded.first().key.item.short();
    // A sync brings no original to a device that has let it go.
    let hint = format!("heirloom get {name} brings it here; then try again");
    Err(ApiError::try_later(&format!("the original of {name} is not on this device")).hint(hint))
}

fn add_item(
    store: &Store,
    source: &Item,
    me: Option<PersonId>,
    blobs: &mut Lines,
) -> Result<AddItem, ApiError> {
    let added = source.asset.added.as_ref();
    let mut item = added
        .map(|added| added.item.clone())
        .ok_or_else(|| ApiError::not_found("such asset"))?;
    item.parts.clear();
    let owner = source.asset.owner();
    for (person, part, blob) in source.asset.said_parts() {
        if item.parts.len() >= limits::ITEM_PARTS {
            break;
        }
        // What others added to the item goes along as far as it is here and is what it is said to be.
        let is_needed = Some(person) == owner || Some(person) == me;
        let place = place_of(store, blob)?;
        if place.is_none() && !is_needed {
            continue;
        }
        let place =
            place.ok_or_else(|| ApiError::try_later("an original was dropped meanwhile"))?;
        let pt_hash = match Some(person) == me {
            true => part.pt_hash,
            false => content_of(store, part, blob, &place)?,
        };
        if pt_hash == part.pt_hash || is_needed {
            item.parts.push(Part {
                blob: blobs.add(blob, place),
                pt_hash,
                ..part.clone()
            });
        }
    }
    Ok(item)
}

/// The content of a part that somebody else added. What opens to nothing has none that a file could
/// have: the name of its blob stands for it.
fn content_of(
    store: &Store,
    part: &Part,
    blob: &BlobRef,
    place: &BlobPlace,
) -> Result<PlainHash, ApiError> {
    let mut hasher = blake3::Hasher::new();
    let opened = Plain::open_at(store, blob, place, &part.key, part.len);
    let read = opened.is_ok_and(|plain| hasher.update_reader(plain).is_ok());
    if read {
        return Ok(PlainHash(*hasher.finalize().as_bytes()));
    }
    match store.blobs().is_whole(&blob.id, place)? {
        true => Ok(PlainHash(blob.id.0)),
        false => Err(ApiError::try_later("an original on this disk is damaged")
            .hint("heirloom verify --repair gets it again")),
    }
}

/// Where a blob lies on this disk, given up or not.
fn place_of(store: &Store, blob: &BlobRef) -> Result<Option<BlobPlace>, StoreError> {
    let place = match store.blob_state(&blob.log, blob.ordinal)? {
        BlobState::Here(place) | BlobState::Dropped { place, .. } => place,
        BlobState::Absent => return Ok(None),
    };
    // What was found missing may be back, with a disk that was not mounted say.
    let is_whole = || store.blobs().is_whole(&blob.id, &place).unwrap_or(false);
    Ok((!is_noted(store, blob)? || is_whole()).then_some(place))
}

/// Adds the previews and thumbnails that are here to new items.
async fn add_pictures(
    node: &Node,
    album: AlbumId,
    ids: &[OpId],
    sources: &[Asset],
) -> Result<(), ApiError> {
    let mut blobs = Lines::default();
    let mut ops = Vec::new();
    for (id, source) in ids.iter().zip(sources) {
        for class in [1, 2] {
            let Some(shown) = source.shown_blob(0, class) else {
                continue;
            };
            let Some(place) = place_of(node.store(), &shown.blob)? else {
                continue;
            };
            ops.push(Op::AddBlob(AddBlob {
                item: *id,
                blob: blobs.add(&shown.blob, place),
                ..shown.made.clone()
            }));
        }
    }
    if ops.is_empty() {
        return Ok(());
    }
    let recorded = node.ask(move |runtime| runtime.record(album, ops, blobs.lines, &blobs.places));
    recorded.await??;
    Ok(())
}

/// Says of a new item what was said of the one it is made from.
fn say_again(edits: &mut Edits, album: AlbumId, item: OpId, source: &Asset) {
    for field in FIELDS {
        let Some(value) = source.field(field).filter(|value| !value.is_empty()) else {
            continue;
        };
        let (field, value) = (field.code(), value.to_vec());
        edits.say(album, Op::SetField(SetField { item, field, value }));
    }
    for tag in source.tag_names() {
        let tag = tag.to_owned();
        edits.say(album, Op::Tag(Tag { item, tag }));
    }
}
