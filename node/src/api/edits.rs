//! What people say about assets: captions, favourites, tags. Originals are never touched.

use heirloom_protocol::{
    limits,
    op::{Captured, Field, Level, Op, SetField, Tag, Untag},
    wire,
};
use serde_json::Value;

use super::{
    Answer, ApiError, Done, pick,
    write::{Edits, Outcome},
};
use crate::{
    catalog::{Folded, Item, parse_wall},
    forms,
    import::metadata::CaptureSource,
    node::Node,
    runtime::View,
};

const NOT_EDITED: &str = "only contributors of its albums may edit it";

/// `caption`: what a person writes about one asset.
pub(super) async fn caption(node: &Node, body: &Value, answer: &Answer) -> Done {
    let (id, text) = (pick::text(body, "id")?, pick::text(body, "text")?);
    if text.len() > limits::TEXT_BYTES {
        return Err(ApiError::usage("the caption is longer than 16 KiB"));
    }
    edit(node, &[id], Level::Contributor, answer, |item| {
        if item.asset.text(Field::Caption).unwrap_or_default() == text {
            return Vec::new();
        }
        vec![set(item, Field::Caption, text.as_bytes())]
    })
    .await
}

/// `favorite`: this person's own mark.
pub(super) async fn favorite(node: &Node, body: &Value, answer: &Answer) -> Done {
    let on = !pick::flag(body, "remove");
    let me = node.view().await?.person;
    let ids = ids(body)?;
    edit(node, &ids, Level::Viewer, answer, |item| {
        let marked = me.is_some_and(|me| item.asset.own_field(Field::Favorite, me) == Some(&[1]));
        if marked == on {
            return Vec::new();
        }
        vec![set(item, Field::Favorite, &[u8::from(on)])]
    })
    .await
}

/// `retake`: when pictures were taken, by a person's word; `at` as the clock on the wall showed, or `shift`.
pub(super) async fn retake(node: &Node, body: &Value, answer: &Answer) -> Done {
    let said = match (pick::optional(body, "at"), pick::optional(body, "shift")) {
        (Some(at), None) => parse_wall(at).map(Retake::At),
        (None, Some(shift)) => milliseconds(shift).map(Retake::By),
        _ => return Err(ApiError::usage("either a time or a shift is to be given")),
    };
    let said = said.ok_or_else(|| {
        ApiError::usage("a time looks like 2010-12-12T12:41, a shift like +1h30m or -2d")
    })?;
    let ids = ids(body)?;
    edit(node, &ids, Level::Contributor, answer, |item| {
        let before = captured(item);
        let wall = match said {
            Retake::At(wall) => Some(wall),
            Retake::By(shift) => before.wall.and_then(|wall| wall.checked_add(shift)),
        };
        let wall = wall.filter(|wall| WALLS.contains(wall));
        if wall.is_none() || wall == before.wall {
            return Vec::new();
        }
        let after = Captured {
            wall,
            offset: before.offset,
            source: CaptureSource::Edit.code(),
        };
        vec![set(item, Field::Taken, &wire::encode(&after))]
    })
    .await
}

#[derive(Clone, Copy)]
enum Retake {
    At(i64),
    By(i64),
}

/// The years 1 to 9999, as milliseconds of the wall.
const WALLS: std::ops::Range<i64> = -62_135_596_800_000..253_402_300_800_000;

/// When an item was taken, by a person's word or the camera's.
fn captured(item: &Item) -> Captured {
    let said = item.asset.field(Field::Taken);
    let said = said.and_then(|set| wire::decode(set, limits::TEXT_BYTES).ok());
    let camera = item.asset.added.as_ref().map(|added| added.item.captured);
    said.or(camera).unwrap_or_default()
}

/// `1h30m`, `+2d` or `-20m` in milliseconds.
fn milliseconds(shift: &str) -> Option<i64> {
    let (sign, rest) = match shift.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, shift.strip_prefix('+').unwrap_or(shift)),
    };
    let seconds = i64::try_from(forms::seconds(rest)?).ok()?;
    seconds.checked_mul(1000 * sign)
}

/// `tag`: words to find assets by.
pub(super) async fn tag(node: &Node, body: &Value, answer: &Answer) -> Done {
    let (add, remove) = (tags(body, "add")?, tags(body, "remove")?);
    if add.is_empty() && remove.is_empty() {
        return Err(ApiError::usage("there is no tag to add or to remove"));
    }
    let ids = ids(body)?;
    edit(node, &ids, Level::Contributor, answer, |item| {
        let there = item.asset.tag_names();
        let added = add.iter().filter(|tag| !there.contains(&tag.as_str()));
        let added = added.map(|tag| {
            Op::Tag(Tag {
                item: item.key.item,
                tag: tag.clone(),
            })
        });
        let removed = remove.iter().filter_map(|tag| untag(item, tag));
        added.chain(removed).collect()
    })
    .await
}

/// Takes back every addition of a tag that is here.
fn untag(item: &Item, tag: &str) -> Option<Op> {
    let stands = item.asset.tags.iter().filter(|tagged| tagged.tag == tag);
    let stands = stands.filter(|tagged| !item.asset.untagged.contains(&tagged.op));
    let added_by: Vec<_> = stands.map(|tagged| tagged.op).collect();
    (!added_by.is_empty()).then(|| {
        Op::Untag(Untag {
            item: item.key.item,
            tag: tag.to_owned(),
            added_by,
        })
    })
}

fn tags(body: &Value, field: &str) -> Result<Vec<String>, ApiError> {
    let mut tags = Vec::new();
    for tag in pick::texts(body, field) {
        let tag = tag.trim();
        if tag.is_empty() || tag.len() > limits::TAG_BYTES || tag.chars().any(char::is_control) {
            return Err(ApiError::usage(
                "a tag has 1 to 128 bytes, all of them letters that can be seen",
            ));
        }
        if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    }
    Ok(tags)
}

/// The ids that a request names; one at least.
pub(super) fn ids(body: &Value) -> Result<Vec<&str>, ApiError> {
    let ids = pick::texts(body, "ids");
    if ids.is_empty() {
        return Err(ApiError::usage("no photo is named"));
    }
    Ok(ids)
}

fn set(item: &Item, field: Field, value: &[u8]) -> Op {
    Op::SetField(SetField {
        item: item.key.item,
        field: field.code(),
        value: value.to_vec(),
    })
}

/// Edits each item of the assets where this person has a level at least.
async fn edit(
    node: &Node,
    ids: &[&str],
    level: Level,
    answer: &Answer,
    ops: impl Fn(&Item) -> Vec<Op>,
) -> Done {
    let view = node.view().await?;
    let mut edits = Edits::default();
    let picked = pick::some_assets(node, &view, ids).await?;
    let mut outcome = Outcome {
        missing: picked.missing,
        ..Outcome::default()
    };
    for folded in picked.found {
        let mut changed = false;
        let mut allowed = false;
        for item in may(&folded, &view, level) {
            allowed = true;
            for op in ops(item) {
                changed = true;
                edits.say(item.key.album, op);
            }
        }
        if allowed {
            outcome.allowed += 1;
            outcome.changed += u64::from(changed);
        } else {
            outcome.refused.push(folded.first().key.item.short());
        }
    }
    edits.record(node).await?;
    outcome.finish(answer, NOT_EDITED).await
}

fn may<'a>(folded: &'a Folded, view: &'a View, level: Level) -> impl Iterator<Item = &'a Item> {
    let items = folded.items.iter();
    items.filter(move |item| view.level(&item.key.album) >= level)
}
