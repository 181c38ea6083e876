//! `undo`: takes back what one device deleted since a time; and the notice that there is cause to.

use std::collections::BTreeMap;

use heirloom_protocol::{
    id::{AlbumId, DeviceId, OpId, PersonId},
    op::{Level, Op},
};
use serde_json::{Value, json};

use super::{
    Answer, ApiError, Done, copy, pick, problem::Problem, trash::may_decide, write::Edits,
};
use crate::{
    catalog::{self, Item, instant_text, parse_instant},
    node::Node,
    runtime::{AssetKey, Burst, Gone, View, bursts, gone, items_with},
    store::{Store, StoreError},
};

/// How long a burst of deletions by another person's device is told: as long as the trash keeps them.
const NOTICE_MS: u64 = heirloom_protocol::limits::TRASH_MS;
/// How long one by this person's own devices is told.
const OWN_NOTICE_MS: u64 = 24 * 3600 * 1000;

/// What can be taken back of one album.
#[derive(Default)]
struct Undoing {
    restore: Vec<OpId>,
    again: Vec<Item>,
}

/// The act: `device`, `since`, and an `album` where not all are meant; `dry_run` only counts.
pub(super) async fn undo(node: &Node, body: &Value, answer: &Answer) -> Done {
    let view = node.view().await?;
    let device = any_device(&view, pick::text(body, "device")?)?;
    let since = pick::text(body, "since")?;
    let since = parse_instant(since)
        .ok_or_else(|| ApiError::usage("since is no time such as 2023-05-01T14:30"))?;
    let album = pick::optional(body, "album")
        .map(|asked| pick::album_id(&view, asked))
        .transpose()?;
    let (store, seen) = (node.store().clone(), view.clone());
    let planned = node.blocking(move || plan(&store, &seen, device, since, album));
    let (plan, refused) = planned.await??;
    let restored: usize = plan.values().map(|undoing| undoing.restore.len()).sum();
    let (again, lost) = match pick::flag(body, "dry_run") {
        true => {
            let items = plan.into_values().flat_map(|undoing| undoing.again);
            let (store, items): (_, Vec<_>) = (node.store().clone(), items.collect());
            let could = node.blocking(move || copy::could_add_again(&store, &items, view.person));
            let could = could.await??;
            (
                usize::try_from(could.added).unwrap_or(usize::MAX),
                could.lost,
            )
        }
        false => carry_out(node, plan).await?,
    };
    if refused > 0 {
        answer
            .note(&format!(
                "{refused} stay deleted: only who added them, or a manager of the album, may bring them back"
            ))
            .await;
    }
    if lost > 0 {
        answer
            .note(&format!(
                "{lost} were deleted for good and their bytes are no longer on this device: run this on another device that keeps everything"
            ))
            .await;
    }
    let left = u64::try_from(refused).unwrap_or(u64::MAX) + lost;
    Ok(json!({
        "restored": restored, "added_again": again, "failed": left,
        "exit": match (restored + again, left) { (_, 0) => 0, (0, _) => 1, _ => 3 },
    }))
}

/// Restores, and adds again; says how many were added and how many could not be.
async fn carry_out(
    node: &Node,
    plan: BTreeMap<AlbumId, Undoing>,
) -> Result<(usize, u64), ApiError> {
    let (mut edits, mut added, mut lost) = (Edits::default(), 0, 0);
    for (album, Undoing { restore, again }) in plan {
        if !restore.is_empty() {
            edits.say_of_all([(album, restore)].into(), Op::Restore);
        }
        let again = copy::add_again(node, album, again).await?;
        added += usize::try_from(again.added).unwrap_or(usize::MAX);
        lost += again.lost;
    }
    edits.record(node).await?;
    Ok((added, lost))
}

/// A device by name or id, removed ones too: a stolen one is removed first.
fn any_device(view: &View, asked: &str) -> Result<DeviceId, ApiError> {
    pick::device(view, asked).or_else(|error| {
        let rows = view.people.devices.iter().filter(|row| row.removed);
        let lower = asked.to_lowercase();
        let mut fits = rows.filter(|row| {
            row.name.as_deref() == Some(asked)
                || (asked.len() >= 4 && row.id.to_string().starts_with(&lower))
        });
        match (fits.next(), fits.next()) {
            (Some(row), None) => Ok(row.id),
            _ => Err(error),
        }
    })
}

fn plan(
    store: &Store,
    view: &View,
    device: DeviceId,
    since: u64,
    album: Option<AlbumId>,
) -> Result<(BTreeMap<AlbumId, Undoing>, usize), StoreError> {
    let mut plan: BTreeMap<AlbumId, Undoing> = BTreeMap::new();
    let mut refused = 0;
    for (key, gone) in gone(store)? {
        let fits = gone.device == device
            && gone.at >= since
            && album.is_none_or(|album| album == key.album)
            && view.albums.contains_key(&key.album);
        if !fits || is_back(store, key)? {
            continue;
        }
        let asset = key.load(store)?;
        let item = Item { key, asset };
        let undoing = plan.entry(key.album).or_default();
        match gone.purged {
            true if view.level(&key.album) >= Level::Contributor => undoing.again.push(item),
            false if may_decide(view, &item) => undoing.restore.push(key.item),
            _ => refused += 1,
        }
    }
    Ok((plan, refused))
}

/// Whether the album has a deleted item's photo under another one: a copy of it, or what the same
/// person added again. What somebody else says to be it brings nothing back.
fn is_back(store: &Store, key: AssetKey) -> Result<bool, StoreError> {
    let asset = key.load(store)?;
    let said = catalog::said(&asset);
    let item = Item { key, asset };
    let (Some(content), Some((copy, person))) = (item.content(), said) else {
        // What is not known to have been added cannot come back.
        return Ok(true);
    };
    for other in items_with(store, content)? {
        if other.album == key.album && other != key {
            let asset = other.load(store)?;
            let other = Item { key: other, asset };
            let said = catalog::said(&other.asset);
            let is_it = said.is_some_and(|(of, by)| of == copy || by == person)
                && other.content() == Some(content);
            if is_it && Gone::of(&other.asset).is_none() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// What to say of a photo that is asked for and was deleted for good, so that only `undo` brings it back.
///
/// # Errors
///
/// What the disk says.
pub(super) fn purged(
    store: &Store,
    view: &View,
    asked: &str,
) -> Result<Option<ApiError>, StoreError> {
    let asked = asked.to_lowercase();
    if asked.chars().count() < pick::PREFIX_DIGITS {
        return Ok(None);
    }
    let all = gone(store)?.into_iter();
    let mut fits = all.filter(|(key, gone)| {
        gone.purged
            && view.albums.contains_key(&key.album)
            && key.item.to_string().starts_with(&asked)
    });
    let Some((key, gone)) = fits.next() else {
        return Ok(None);
    };
    let device = view.device_name(&gone.device);
    let at = instant_text(gone.at);
    let day = at.get(..10).unwrap_or(&at);
    let message = format!(
        "the photo or video {} was deleted for good on {day}, on {device}",
        key.item.short()
    );
    let error = ApiError::new("E-NOT-FOUND", 4, message);
    Ok(Some(error.safe("Nothing was changed.").hint(format!(
        "within 30 days it comes back by: {}; else import it again from a card, a phone or a backup (heirloom import --restore)",
        command(&device, gone.at)
    ))))
}

/// The command that takes back what a device deleted since a time, to the minute.
pub(super) fn command(device: &str, since: u64) -> String {
    let since = instant_text(since);
    let minute = since.get(..16).unwrap_or(&since);
    format!("heirloom undo {} --since {minute}", quoted(device))
}

/// The bursts of deletions that a person should hear of.
pub(super) fn noticed(
    store: &Store,
    view: &View,
    living: &BTreeMap<AlbumId, u64>,
    now: u64,
) -> Result<Vec<Burst>, StoreError> {
    let mut all = gone(store)?;
    if bursts(&all, living, now.saturating_sub(NOTICE_MS)).is_empty() {
        return Ok(Vec::new());
    }
    let mut left = Vec::new();
    for (key, gone) in all.drain(..) {
        if view.albums.contains_key(&key.album) && !is_back(store, key)? {
            left.push((key, gone));
        }
    }
    let mut found = bursts(&left, living, now.saturating_sub(NOTICE_MS));
    found.retain(|burst| {
        let own = view.person.is_some() && owner(view, &burst.device) == view.person;
        !own || now.saturating_sub(burst.from) < OWN_NOTICE_MS
    });
    Ok(found)
}

/// What to say of a burst, and what to do.
pub(super) fn problem(view: &View, burst: &Burst) -> Problem {
    let device = view.device_name(&burst.device);
    let album = view.albums.get(&burst.album);
    let album = album.map_or_else(|| "an album".to_owned(), |album| album.name(view));
    let when = instant_text(burst.from);
    let minute = when.get(..16).unwrap_or(&when);
    let second = when.get(..19).unwrap_or(&when);
    let whose = owner(view, &burst.device).map_or_else(String::new, |person| {
        format!(" ({})", view.person_name(&person))
    });
    let text = format!(
        "{device}{whose} deleted {} photos of {album} within an hour from {}. They are kept for 30 days. If nobody meant that: {}",
        burst.count,
        minute.replace('T', " "),
        command(&device, burst.from),
    );
    let values = json!({
        "name": device, "device": burst.device.to_string(), "album": album,
        "album_id": burst.album.to_string(), "n": burst.count, "since": format!("{second}Z"),
    });
    Problem::new("deleted", values, text)
}

fn owner(view: &View, device: &DeviceId) -> Option<PersonId> {
    let mut rows = view.people.devices.iter();
    rows.find(|row| row.id == *device)?.person
}

fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}
