//! `status`: what is safe, what is not, who is connected and what is moving.

mod came_back;
mod spread;
mod waiting;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use heirloom_protocol::{
    album::asset::BlobRef,
    id::{AlbumId, BlobId, DeviceId, PersonId},
};
use serde_json::{Value, json};

pub(super) use self::words::admins;
use super::{
    Answer, ApiError, Done, Doorway, doctor, ended, followed, last,
    live::Live,
    more, no_family,
    offload::{limit_of, may_offload},
    past, people,
    problem::Problem,
    undo, unnamed,
};
use crate::{
    catalog::{self, Held, Item, instant_text},
    forms::counted,
    gallery::kept_uploads,
    node::Node,
    runtime::{Burst, Missing, Stored, Sum, View, unnamed},
    scrub::Scrub,
    store::{Store, StoreError},
};

#[derive(Default)]
struct Sums {
    assets: u64,
    bytes: u64,
    safe: u64,
    only_here: u64,
    /// Of these, the ones that no other device may hold.
    unshared: u64,
    /// Entries that were here and are gone.
    entries_lost: u64,
    /// Blobs that lie here and of which nothing tells, since the database was lost.
    unnamed: usize,
    /// What it means that packs or folders are gone, if any are.
    gone: Option<Problem>,
    /// Photos that were found damaged or missing here, and that no other device says it holds.
    lost: u64,
    /// Photos whose original no device of the family is known to have.
    nowhere: u64,
    /// Photos of albums that are no longer shared with this person, which are not here.
    away: ended::Away,
    /// Bytes of the originals that are here, and how many photos of these too few others keep.
    here: (u64, u64),
    /// Items that are not in the trash, by album.
    living: BTreeMap<AlbumId, u64>,
    bursts: Vec<Burst>,
    /// Photos that without a device would be on one other, or on none that is known.
    without: BTreeMap<DeviceId, (u64, u64)>,
}

/// The act; with `check` the exit code says whether everything is safe.
pub(super) async fn status(
    doorway: &Arc<Doorway>,
    node: &Node,
    body: &Value,
    answer: &Answer,
) -> Done {
    let view = node.view().await?;
    let (store, seen) = (node.store().clone(), view.clone());
    let missed = Arc::new(node.ask(|runtime| runtime.missed()).await?);
    let (now, marred) = (node.clock().now().0, Arc::clone(&missed));
    let sums = node
        .blocking(move || sum(&store, &seen, &marred, now))
        .await??;
    let live = Live::of(doorway, node).await?;
    let peers: Vec<_> = view
        .people
        .devices
        .iter()
        .filter(|row| row.id != view.device && !row.removed)
        .map(|row| of_peer(&row.id, &view, &live, &sums))
        .collect();
    let store = node.store().clone();
    let scrub = node.blocking(move || Scrub::of(&store)).await??;
    let mut problems = problems(&sums, &live, node, &view, peers.len());
    let ended = node.ask(|runtime| runtime.missed_no_longer()).await?;
    let damaged = damaged(node, &live, &missed, &ended);
    problems.extend(of_damage(damaged, sums.lost, peers.is_empty()));
    problems.extend(last::problem(sums.nowhere));
    problems.extend(of_settings(doorway, node, &view, &sums).await?);
    problems.extend(of_uploads(doorway, node).await);
    problems.extend(of_entries(sums.entries_lost));
    problems.extend(unnamed::problem(sums.unnamed, &view));
    let is_safe = is_safe(&sums, &live, node, &view, peers.is_empty());
    let depots = super::depot::all(node).await?;
    // Where something has no second copy at all, that comes first.
    let has_copies = view.keeps && sums.assets > 0 && sums.only_here == 0;
    let note = has_copies.then(|| spread::note(&view, &live, depots.len()));
    let mut notes = came_back::notes(node, &view, &sums).await?;
    notes.extend(note.flatten());
    let gallery = doorway.gallery().await.map(|gallery| gallery.address());
    answer
        .line(&json!({
            "type": "status", "v": 1,
            "family": view.family.to_string(), "family_name": view.family_name,
            "device": view.device.to_string(), "device_name": view.device_name(&view.device),
            "node": if live.runs { "running" } else { "stopped" },
            "assets": sums.assets, "bytes": sums.bytes, "copies_wanted": view.copies_wanted,
            "archives": archives(&view),
            "safe": sums.safe, "unsafe": sums.assets - sums.safe, "only_here": sums.only_here,
            "damaged": damaged, "lost": sums.lost, "nowhere": sums.nowhere, "away": sums.away.count(),
            "peers": peers, "depots": depots,
            "keeper": live.stored.as_ref().map(|stored| keeper(stored, live.is_full)),
            "moving": { "sending": live.sending, "receiving": live.receiving, "waiting": live.waiting, "held_back": live.held_back },
            "waiting_at": waiting::at(&live, &view),
            "role": view.person.and_then(|person| view.role(&person)).map(people::role_name),
            "problems": problems.iter().map(Problem::text).collect::<Vec<_>>(),
            "problem_details": problems.iter().map(Problem::told).collect::<Vec<_>>(),
            "notes": notes.iter().map(Problem::text).collect::<Vec<_>>(),
            "note_details": notes.iter().map(Problem::told).collect::<Vec<_>>(),
            "gallery": gallery, "listen": live.listen,
            "scrubbed": {
                "last": (scrub.last > 0).then(|| instant_text(scrub.last)),
                "done": scrub.done.min(scrub.total), "total": scrub.total,
            },
        }))
        .await;
    let check = super::pick::flag(body, "check");
    Ok(json!({ "safe": is_safe, "exit": if check && !is_safe { 9 } else { 0 } }))
}

/// Whether nothing is known that a device should be looked after for: too few copies, or logs that are not whole.
fn is_safe(sums: &Sums, live: &Live, node: &Node, view: &View, is_alone: bool) -> bool {
    let store = node.store();
    sums.safe == sums.assets
        && sums.entries_lost == 0
        && sums.unnamed == 0
        && sums.away.count() == 0
        && live.broken == 0
        && store.stranded().is_empty()
        && !(is_alone && store.is_torn(view.family.control_space()))
}

/// What helps photos that are on this device alone; some of them no other device may hold.
fn of_only_here(view: &View, all: u64, unshared: u64) -> Vec<Problem> {
    let mut problems = Vec::new();
    let shared = all - unshared;
    if unshared > 0 {
        let text = format!(
            "{} on this device alone, and no other device may hold {}: add a second one of yours or a keeper ({}).",
            counted(unshared, "photo is", "photos are"),
            if unshared == 1 { "it" } else { "them" },
            more::device(view),
        );
        problems.push(Problem::new("only-here-ever", json!({"n": unshared}), text));
    }
    if shared > 0 {
        let text = format!(
            "{} on this device alone: keep it and another one running (heirloom serve).",
            counted(shared, "photo is", "photos are"),
        );
        problems.push(Problem::new("only-here", json!({"n": shared}), text));
    }
    problems
}

/// One of the other devices: whether it is in reach, and what would be missed without it.
fn of_peer(id: &DeviceId, view: &View, live: &Live, sums: &Sums) -> Value {
    let met = live.met(id);
    let (one, none) = sums.without.get(id).copied().unwrap_or_default();
    json!({
        "device": id.to_string(),
        "name": view.device_name(id),
        "connected": met.path.is_some(),
        "path": met.path,
        "last_seen": met.last_seen.map(instant_text),
        "full": live.lore.is_full(id),
        "without": {"one": one, "none": none},
    })
}

/// What it means that entries are gone.
fn of_entries(lost: u64) -> Option<Problem> {
    let text = match lost {
        1 => "1 entry that was here is gone, and what it told of photos with it: it comes back from a device that has it (heirloom sync).".to_owned(),
        _ => format!(
            "{lost} entries that were here are gone, and what they told of photos with them: they come back from a device that has them (heirloom sync)."
        ),
    };
    (lost > 0).then(|| Problem::new("entries-lost", json!({"n": lost}), text))
}

/// How many entries were here and are gone.
pub(super) fn entries_lost(store: &Store) -> Result<u64, StoreError> {
    let lost = store.lost()?;
    let gone = lost
        .iter()
        .map(|(_, gone)| u64::from(gone.end - gone.start));
    Ok(gone.sum())
}

/// What a keeper can tell of itself, which knows no names: bytes and counts, by keys.
fn keeper(stored: &Stored, is_full: bool) -> Value {
    let person = |(id, sum): (&PersonId, &Sum)| {
        let person = (*id != PersonId::ZERO).then(|| id.to_string());
        json!({"person": person, "bytes": sum.bytes, "blobs": sum.blobs})
    };
    json!({
        "bytes": stored.all.bytes, "blobs": stored.all.blobs, "entries": stored.entries,
        "persons": stored.persons.iter().map(person).collect::<Vec<_>>(),
        "quota": stored.bounds.all, "quota_person": stored.bounds.person,
        "reserve": stored.bounds.reserve, "full": is_full,
    })
}

/// How many devices keep everything, this one included.
fn archives(view: &View) -> usize {
    let others = view.witnesses.values().filter(|witness| witness.is_archive);
    others.count() + usize::from(view.keeps)
}

/// Counts what is kept where. An original counts as safe where enough devices that keep everything
/// say that they hold it, and have proved lately that they hold what they say.
fn sum(store: &Store, view: &View, missed: &[Missing], now: u64) -> Result<Sums, ApiError> {
    let mut sums = Sums {
        entries_lost: entries_lost(store)?,
        unnamed: unnamed(store),
        gone: of_gone(store),
        away: ended::Away::of(store, view)?,
        ..Sums::default()
    };
    let held = Held::of(store);
    let missed: BTreeSet<_> = missed.iter().map(|missing| missing.named).collect();
    let is_missed = |blob: &BlobRef| missed.contains(&(blob.log, blob.ordinal));
    let is_marred = |item: &Item| item.asset.all_parts().any(|(_, blob)| is_missed(blob));
    for folded in catalog::read(store, view)?.iter() {
        if folded.is_trashed() {
            continue;
        }
        for item in folded
            .items
            .iter()
            .filter(|item| item.asset.trashed().is_none())
        {
            *sums.living.entry(item.key.album).or_default() += 1;
        }
        let is_marred = !missed.is_empty() && folded.items.iter().any(is_marred);
        let here = held.here(&folded)?.original;
        let assets = folded.items.iter().map(|item| &item.asset);
        let holders = view.peers.holders_of(assets, view.person);
        let copies = view.copies_at(&holders, here);
        if copies.devices <= 2 {
            let proved = view.witnesses.iter().filter(|(device, witness)| {
                holders.contains(device) && witness.is_proved(view.now)
            });
            for (device, _) in proved {
                let (one, none) = sums.without.entry(*device).or_default();
                *(if copies.devices == 2 { one } else { none }) += 1;
            }
        }
        sums.lost += u64::from(is_marred && !here && view.kept_on(&folded, false).is_empty());
        sums.nowhere += u64::from(!is_marred && !here && last::is_nowhere(view, &folded));
        sums.assets += 1;
        let parts = folded.first().asset.all_parts();
        let bytes = parts.map(|(part, _)| part.len).sum::<u64>();
        let is_safe = copies.has(view.copies_wanted_of(&folded));
        sums.bytes += bytes;
        sums.safe += u64::from(is_safe);
        if here {
            sums.here.0 += bytes;
            sums.here.1 += u64::from(!is_safe);
        }
        if here && copies.devices == 1 {
            sums.only_here += 1;
            sums.unshared += u64::from(!view.others().any(|row| view.may_hold(row, &folded)));
        }
    }
    sums.bursts = undo::noticed(store, view, &sums.living, now)?;
    Ok(sums)
}

fn problems(sums: &Sums, live: &Live, node: &Node, view: &View, others: usize) -> Vec<Problem> {
    let mut problems = Vec::new();
    let control = view.family.control_space();
    let is_unsure = others == 0 && node.store().is_torn(control);
    if is_unsure {
        problems.push(no_family::problem(node.store().home(), control));
    } else if others == 0 {
        let text = "This is the only device of the family: invite a second one (heirloom invite --device).";
        problems.push(Problem::new("alone", json!({}), text));
    } else {
        problems.extend(of_only_here(view, sums.only_here, sums.unshared));
    }
    problems.extend(ended::problems(view));
    problems.extend(sums.away.problem(view));
    problems.extend(of_devices(live, view));
    problems.extend(sums.bursts.iter().map(|burst| undo::problem(view, burst)));
    problems.extend(
        live.words_used
            .iter()
            .map(|used| words::problem(view, used)),
    );
    problems.extend(
        past::words(view, &live.pasts, sums.entries_lost == 0 && sums.lost == 0)
            .iter()
            .map(past::Word::problem),
    );
    if live.wrong_deletions > 0 {
        let text = match live.wrong_deletions {
            1 => "1 deletion named photos that nobody deleted; it was taken back.".to_owned(),
            n => format!("{n} deletions named photos that nobody deleted; they were taken back."),
        };
        let values = json!({"n": live.wrong_deletions});
        problems.push(Problem::new("wrong-deletions", values, text));
    }
    if live.held_back > 0 {
        let text = format!(
            "{} reached directly: over a relay or a metered way previews alone come, unless you say otherwise (heirloom config set relay_originals true).",
            counted(
                live.held_back,
                "original waits until a device that holds it is",
                "originals wait until a device that holds them is"
            )
        );
        problems.push(Problem::new(
            "held-back",
            json!({"n": live.held_back}),
            text,
        ));
    }
    // Where nobody else could hold it, another sentence says so.
    if live.waiting > 0 && others > 0 {
        problems.push(waiting::problem(live, view));
    }
    if !doctor::has_kit(view) {
        let text = "There are no recovery words: make them (heirloom recovery replace).";
        problems.push(Problem::new("no-words", json!({}), text));
    }
    problems.extend(of_store(live, node));
    problems.extend(of_opening(node).filter(|_| !is_unsure));
    problems.extend(sums.gone.clone());
    problems
}

/// What is wrong with how this device is set: its clock, the folders that it follows, the room that it may use.
async fn of_settings(
    doorway: &Doorway,
    node: &Node,
    view: &View,
    sums: &Sums,
) -> Result<Vec<Problem>, ApiError> {
    let clock = doctor::wrong_clock(node, view).await?;
    let mut problems: Vec<_> = clock.into_iter().collect();
    problems.extend(followed::problems(doorway, node, view).await?);
    let may_go = may_offload(node, view).await.is_ok();
    problems.extend(over_limit(sums, view, may_go));
    Ok(problems)
}

/// What browsers sent and could not be added, or was left by a node that does not run.
async fn of_uploads(doorway: &Doorway, node: &Node) -> Option<Problem> {
    let n = match doorway.gallery().await {
        Some(gallery) => gallery.stuck_uploads(),
        None => kept_uploads(node.store().home()),
    };
    let text = match n {
        1 => "1 file that a browser sent is not added yet. It is kept, and tried again while the gallery runs (heirloom serve).".to_owned(),
        _ => format!(
            "{n} files that a browser sent are not added yet. They are kept, and tried again while the gallery runs (heirloom serve)."
        ),
    };
    (n > 0).then(|| Problem::new("uploads", json!({"n": n}), text))
}

/// What is wrong with the disk and what lies on it.
fn of_store(live: &Live, node: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    let free = node.store().free_bytes();
    if !node.store().has_room() {
        let text =
            "The disk is full: no more photos are taken until there is room. What is here is safe.";
        problems.push(Problem::new("disk-full", json!({}), text));
    } else if let Some(free) = free.filter(|free| *free < doctor::NEARLY_FULL_BYTES) {
        let text = format!(
            "The disk is nearly full: {} MB are free. Make room before no more photos are taken.",
            free / 1_000_000
        );
        problems.push(Problem::new(
            "disk-nearly-full",
            json!({"bytes": free}),
            text,
        ));
    }
    problems.extend(without_room(live));
    if live
        .stored
        .as_ref()
        .is_some_and(|stored| stored.turned_away)
    {
        let text = "This keeper is full: it takes entries and no more photos than it may. Give it room (heirloom config set keeper.quota SIZE), then start it again.";
        problems.push(Problem::new("keeper-full", json!({}), text));
    }
    problems
}

/// What was found wrong when the home was opened.
fn of_opening(node: &Node) -> Option<Problem> {
    let opened = node.store().opened();
    let mut damages = opened.damages.iter();
    let is_damaged =
        damages.any(|damage| !came_back::is_of_key(damage)) || !opened.stranded.is_empty();
    let text = "Damage was found when the home was opened. What is whole stays in use, and nothing damaged is shown or sent as if it were good: heirloom verify --read-data --repair names the damage, and gets again what another device has.";
    is_damaged.then(|| Problem::new("home-damaged", json!({}), text))
}

/// What it means that packs or folders are gone.
fn of_gone(store: &Store) -> Option<Problem> {
    // What cannot be read of the index is told by others.
    let gone = store.is_short().then(|| store.gone().ok()).flatten()?;
    let n = gone.len();
    let text = format!(
        "{} gone from the disk of this home: heirloom doctor says where. If another disk belongs there, mount it; else heirloom verify --repair gets again what another device has.",
        counted(n, "file is", "files are")
    );
    (n > 0).then(|| Problem::new("files-gone", json!({"n": n}), text))
}

/// How many files were found damaged or missing, and have not come again.
fn damaged(node: &Node, live: &Live, missed: &[Missing], ended: &BTreeSet<BlobId>) -> usize {
    let mut blobs = node.store().blobs().quarantined();
    blobs.retain(|blob| !ended.contains(blob));
    blobs.extend(missed.iter().map(|missing| missing.id));
    blobs.len() + live.broken
}

/// What damage comes to; in a family of one device nothing comes again from another.
fn of_damage(damaged: usize, lost: u64, is_alone: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    if damaged > 0 && !(is_alone && lost > 0) {
        let text = match (damaged, is_alone) {
            (1, true) => "1 file was found damaged or missing, and this is the only device: heirloom verify names it.".to_owned(),
            (1, false) if lost > 0 => "1 file was found damaged or missing: heirloom verify names it.".to_owned(),
            (1, false) => "1 file was found damaged or missing: it comes again from a device that holds it. heirloom verify names it, and heirloom verify --repair tries it now.".to_owned(),
            (_, true) => format!(
                "{damaged} files were found damaged or missing, and this is the only device: heirloom verify names them."
            ),
            (_, false) => format!(
                "{damaged} files were found damaged or missing: those that another device holds come again from there. heirloom verify names them, and heirloom verify --repair tries it now."
            ),
        };
        problems.push(Problem::new("damaged", json!({"n": damaged}), text));
    }
    if lost > 0 {
        let text = match lost {
            1 => "1 of your photos is damaged or missing here, and no other device is known to have it. If a card, a phone or a backup still has it, import it again: that makes it whole. Else heirloom trash, then heirloom purge, lets it go.".to_owned(),
            _ => format!(
                "{lost} of your photos are damaged or missing here, and no other device is known to have them. If a card, a phone or a backup still has them, import them again: that makes them whole. Else heirloom trash, then heirloom purge, lets them go."
            ),
        };
        problems.push(Problem::new("lost", json!({"n": lost}), text));
    }
    problems
}

/// What others hold and this device would take, had its disk room for it.
fn without_room(live: &Live) -> Option<Problem> {
    let left = live.without_room;
    if left.blobs == 0 || live.stored.is_some() {
        return None;
    }
    let (n, bytes) = (left.blobs, left.kib.saturating_mul(1024));
    let mb = bytes.div_ceil(1_000_000);
    let text = match n {
        1 => format!(
            "1 file has no room on this disk: it takes {mb} MB. All others come, and this one as soon as there is room."
        ),
        _ => format!(
            "{n} files have no room on this disk: they take {mb} MB. All others come, and these as soon as there is room."
        ),
    };
    let values = json!({"n": n, "bytes": bytes});
    Some(Problem::new("no-room", values, text))
}

/// Why a device with little room holds more than its limit.
fn over_limit(sums: &Sums, view: &View, may_go: bool) -> Option<Problem> {
    let limit = limit_of(view)?;
    let (bytes, few) = sums.here;
    if bytes <= limit {
        return None;
    }
    let (id, why) = if !may_go {
        let why =
            "they stay, as your recovery words were never checked here (heirloom recovery check).";
        ("over-limit-words", why.to_owned())
    } else if few > 0 {
        let why = match few {
            1 => "1 photo stays until enough devices that keep everything have shown that they hold it.".to_owned(),
            _ => format!(
                "{few} photos stay until enough devices that keep everything have shown that they hold them."
            ),
        };
        ("over-limit-copies", why)
    } else {
        let why =
            "they go once the devices that keep everything are in reach and promise to keep them.";
        ("over-limit-reach", why.to_owned())
    };
    let mb = |bytes: u64| bytes.div_ceil(1_000_000);
    let text = format!(
        "The originals on this device take {} MB of the {} MB that it may use: {why}",
        mb(bytes),
        mb(limit)
    );
    let values = json!({"n": few, "bytes": bytes, "limit": limit});
    Some(Problem::new(id, values, text))
}

/// What is wrong with devices, as far as this one has heard or found out.
fn of_devices(live: &Live, view: &View) -> Vec<Problem> {
    let judged = live.away.judge(view);
    let mut problems = judged.strangers(view);
    for row in view.people.devices.iter().filter(|row| !row.removed) {
        let name = view.device_name(&row.id);
        if live.lore.is_full(&row.id) {
            let text = format!(
                "{name} is full: it does not take all photos, and what it leaves does not count as a copy."
            );
            problems.push(Problem::new("device-full", json!({"name": name}), text));
        }
        let audit = view.peers.audit(&row.id);
        if let Some(audit) = audit.filter(|audit| !audit.failing.is_empty()) {
            let (failed, checked) = (audit.failing.len(), audit.checked);
            let text = format!(
                "{name} could not show {failed} of {} it says it holds: none of its copies count until it can.",
                counted(checked, "photo that", "photos that")
            );
            let values = json!({"name": name, "n": failed, "checked": checked});
            problems.push(Problem::new("not-shown", values, text));
        }
        if let Some(blame) = live.blamed.get(&row.id) {
            let (times, last) = (blame.times, instant_text(blame.last));
            let text = format!(
                "{name} has sent {} what is not what it was asked for, last at {last}; nothing of it was taken. Check its disk (heirloom verify --read-data there), or remove it.",
                if times == 1 {
                    "once".to_owned()
                } else {
                    format!("{times} times")
                }
            );
            let values = json!({"name": name, "n": times, "at": last});
            problems.push(Problem::new("wrong-bytes", values, text));
        }
        if judged.knew.contains(&row.id) {
            let text = format!(
                "{name} turned this device away: it may have been removed from the family, and then nobody gets what is added here. To come back, write your photos out (heirloom export DIR), ask {} for a new invitation, and join in another folder (heirloom --home DIR join).",
                admins(view)
            );
            let values = json!({"name": name, "admins": admins(view)});
            problems.push(Problem::new("turned-away", values, text));
        }
        if let Some(count) = live.lore.behind.get(&row.id) {
            let entries = counted(*count, "entry that has", "entries that have");
            let text = format!(
                "{name} has written {entries} not come here yet: let it run (heirloom serve), then heirloom sync gets what it has."
            );
            problems.push(Problem::new(
                "behind",
                json!({"name": name, "n": count}),
                text,
            ));
        }
    }
    problems
}
