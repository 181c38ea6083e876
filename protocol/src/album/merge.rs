//! How ops change an asset: one small rule for each kind of value.
//!
//! | value | rule |
//! |---|---|
//! | item, parts, previews | set by op id |
//! | fields, reactions | last writer by [`Stamp`](super::asset::Stamp), kept for each author |
//! | trash | last writer; a purge ends only what was put into the trash before it and not restored since (see [`Asset::purged`]) |
//! | tags | observed-remove set by op id |
//! | comments | set by op id; the author takes back their own |
//!
//! Every rule is commutative, associative and idempotent; limits are checked
//! before anything is kept, and an op that breaks one has no effect.

use std::cmp::Reverse;

use super::asset::{
    Added, AddedBlob, AddedPart, Asset, Author, BlobRef, Edit, Fate, Origin, Reaction, Said,
    Tagged, Verdict,
};
use crate::{
    id::{LogId, OpId},
    limits,
    log::entry::Header,
    op::{AddBlob, AddItem, Op, Part},
};

/// Most edits, comments, tags, reactions or later parts kept of one asset, each counted by itself.
///
/// Those with the smallest keys stay, so that every order of arrival keeps the same ones.
const KEPT: usize = 256;
/// How many trashings by one author are kept of an asset: a purge follows one that need not be the latest.
const TRASHINGS: usize = 4;

/// What an op needs of the entry it stands in.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The log of the entry.
    pub log: LogId,
    /// The entry's header.
    pub header: &'a Header,
    /// Who wrote the op and when.
    pub origin: Origin,
}

impl Context<'_> {
    fn blob(&self, index: u32, class: Option<u8>) -> Option<BlobRef> {
        let line = self.header.blobs.get(usize::try_from(index).ok()?)?;
        if class.is_some_and(|class| class != line.class) {
            return None;
        }
        BlobRef::of(self.log, self.header.first_blob, index, line)
    }
}

/// The assets an op speaks of.
pub fn targets(op: &Op, id: OpId) -> Vec<OpId> {
    match op {
        Op::AddItem(_) => vec![id],
        Op::AddBlob(op) => vec![op.item],
        Op::AddPart(op) => vec![op.item],
        Op::SetField(op) => vec![op.item],
        Op::Trash(op) | Op::Restore(op) | Op::Purge(op) => {
            op.items.iter().copied().take(limits::ENTRY_OPS).collect()
        }
        Op::Comment(op) => vec![op.item],
        Op::Uncomment(op) => vec![op.item],
        Op::React(op) => vec![op.item],
        Op::Tag(op) => vec![op.item],
        Op::Untag(op) => vec![op.item],
        _ => Vec::new(),
    }
}

/// Applies an op to one of its [`targets`] and says whether anything changed.
///
/// The author's level is looked at where a value is read (see
/// [`Asset`]), but for viewers, who may only favourite, react and comment.
pub fn apply(asset: &mut Asset, op: &Op, context: Context<'_>) -> bool {
    use crate::op::Level;

    let origin = context.origin;
    let viewer_may = match op {
        Op::Comment(_) | Op::Uncomment(_) | Op::React(_) => true,
        Op::SetField(set) => set.field == crate::op::Field::Favorite.code(),
        _ => false,
    };
    let needed = if viewer_may {
        Level::Viewer
    } else {
        Level::Contributor
    };
    if origin.author.level < needed {
        return false;
    }
    match op {
        Op::AddItem(item) => add_item(asset, item, context),
        Op::AddPart(op) => add_part(asset, &op.part, context),
        Op::AddBlob(op) => add_blob(asset, op, context),
        Op::SetField(set) if set.value.len() <= limits::TEXT_BYTES => {
            let edit = Edit {
                origin,
                field: set.field,
                value: set.value.clone(),
            };
            keep_latest(&mut asset.edits, edit, |edit| {
                (edit.field, edit.origin.author, edit.origin.stamp)
            })
        }
        Op::Trash(_) => decide(asset, origin, Verdict::Trash),
        Op::Restore(_) => decide(asset, origin, Verdict::Restore),
        Op::Purge(_) => decide(asset, origin, Verdict::Purge),
        Op::Tag(tag) if !tag.tag.is_empty() && tag.tag.len() <= limits::TAG_BYTES => {
            let tagged = Tagged {
                op: origin.op,
                tag: tag.tag.clone(),
            };
            insert(&mut asset.tags, tagged, |tagged| tagged.op)
        }
        Op::Untag(untag) => {
            let mut changed = false;
            for op in untag.added_by.iter().take(limits::ENTRY_OPS) {
                changed |= insert(&mut asset.untagged, *op, |op| *op);
            }
            changed
        }
        Op::React(react) if react.sign.len() <= limits::TAG_BYTES => {
            let reaction = Reaction {
                origin,
                sign: react.sign.clone(),
                on: react.on,
            };
            keep_latest(&mut asset.reactions, reaction, |reaction| {
                (
                    reaction.sign.clone(),
                    reaction.origin.author,
                    reaction.origin.stamp,
                )
            })
        }
        Op::Comment(comment)
            if !comment.text.is_empty() && comment.text.len() <= limits::TEXT_BYTES =>
        {
            let said = Said {
                origin,
                text: comment.text.clone(),
            };
            insert(&mut asset.comments, said, |said| said.origin.op)
        }
        Op::Uncomment(op) => insert(
            &mut asset.unsaid,
            (op.comment, origin.author.person),
            |unsaid| *unsaid,
        ),
        _ => false,
    }
}

fn add_item(asset: &mut Asset, item: &AddItem, context: Context<'_>) -> bool {
    if asset.added.is_some()
        || item.parts.is_empty()
        || item.parts.len() > limits::ITEM_PARTS
        || !item.parts.iter().all(part_is_sound)
        || item.camera.as_ref().is_some_and(|camera| {
            camera.make.len() > limits::CAMERA_BYTES || camera.model.len() > limits::CAMERA_BYTES
        })
    {
        return false;
    }
    let blobs: Option<Vec<_>> = item
        .parts
        .iter()
        .map(|part| context.blob(part.blob, Some(0)))
        .collect();
    let Some(blobs) = blobs else { return false };
    asset.added = Some(Added {
        origin: context.origin,
        item: item.clone(),
        blobs,
    });
    true
}

fn part_is_sound(part: &Part) -> bool {
    part.name.len() <= limits::FILE_NAME_BYTES && part.len <= limits::BLOB_BYTES
}

fn add_part(asset: &mut Asset, part: &Part, context: Context<'_>) -> bool {
    let Some(blob) = context.blob(part.blob, Some(0)) else {
        return false;
    };
    if !part_is_sound(part) {
        return false;
    }
    let added = AddedPart {
        origin: context.origin,
        part: part.clone(),
        blob,
    };
    keep_part(&mut asset.parts, added)
}

/// Keeps of each person's parts those with the smallest ids: nobody drives out what another added, however small
/// the ids are that they look for.
fn keep_part(list: &mut Vec<AddedPart>, added: AddedPart) -> bool {
    let person = added.origin.author.person;
    let is_theirs = |part: &AddedPart| part.origin.author.person == person;
    let Err(place) = list.binary_search_by_key(&added.origin.op, |part| part.origin.op) else {
        return false;
    };
    let before = list.iter().take(place).filter(|part| is_theirs(part));
    if place >= KEPT || before.count() >= limits::ITEM_PARTS {
        return false;
    }
    list.insert(place, added);
    let theirs = list.iter().enumerate().filter(|(_, part)| is_theirs(part));
    let beyond = theirs.map(|(at, _)| at).nth(limits::ITEM_PARTS);
    if let Some(beyond) = beyond {
        list.remove(beyond);
    }
    list.truncate(KEPT);
    true
}

fn add_blob(asset: &mut Asset, made: &AddBlob, context: Context<'_>) -> bool {
    let Some(blob) = context.blob(made.blob, None) else {
        return false;
    };
    if blob.class == 0 || made.thumbhash.len() > limits::THUMBHASH_BYTES {
        return false;
    }
    let added = AddedBlob {
        origin: context.origin,
        made: made.clone(),
        blob,
    };
    insert(&mut asset.blobs, added, |added| added.origin.op)
}

/// What fates are kept by: restorations first, so that a crowd of others never drives one out.
fn fate_slot(fate: &Fate) -> (u8, Author) {
    let rank = match fate.verdict {
        Verdict::Restore => 0,
        Verdict::Trash => 1,
        Verdict::Purge => 2,
    };
    (rank, fate.origin.author)
}

/// Keeps the latest of each author and verdict, and of trashings some: the latest first.
fn decide(asset: &mut Asset, origin: Origin, verdict: Verdict) -> bool {
    let (list, fate) = (&mut asset.fates, Fate { origin, verdict });
    let slot = fate_slot(&fate);
    let key = |fate: &Fate| (fate_slot(fate), Reverse(fate.origin.stamp));
    let most = match verdict {
        Verdict::Trash => TRASHINGS,
        Verdict::Restore | Verdict::Purge => 1,
    };
    let Err(place) = list.binary_search_by_key(&key(&fate), key) else {
        return false;
    };
    let from = list.partition_point(|other| fate_slot(other) < slot);
    if place >= KEPT || place.saturating_sub(from) >= most {
        return false;
    }
    let to = list.partition_point(|other| fate_slot(other) <= slot);
    list.insert(place, fate);
    if to.saturating_sub(from) == most {
        list.remove(to);
    }
    list.truncate(KEPT);
    true
}

/// Inserts in order of a key that is unique, so that equal sets are equal values.
fn insert<T, K: Ord>(list: &mut Vec<T>, value: T, key: impl Fn(&T) -> K) -> bool {
    match list.binary_search_by(|probe| key(probe).cmp(&key(&value))) {
        Err(place) if place < KEPT => {
            list.insert(place, value);
            list.truncate(KEPT);
            true
        }
        Ok(_) | Err(_) => false,
    }
}

/// Keeps one value for each slot (all of the key but the stamp): the one with the latest stamp.
fn keep_latest<T, S: Ord, A: Ord, V: Ord>(
    list: &mut Vec<T>,
    value: T,
    key: impl Fn(&T) -> (S, A, V),
) -> bool {
    let (slot, author, stamp) = key(&value);
    let place = list.binary_search_by(|probe| {
        let (probe_slot, probe_author, _) = key(probe);
        probe_slot
            .cmp(&slot)
            .then_with(|| probe_author.cmp(&author))
    });
    match place {
        Ok(at) if key(&list[at]).2 >= stamp => false,
        Ok(at) => {
            list[at] = value;
            true
        }
        Err(KEPT) => false,
        Err(at) => {
            list.insert(at, value);
            list.truncate(KEPT);
            true
        }
    }
}
