//! Who belongs: `people`, `device` and `words`.

use std::collections::BTreeMap;

use heirloom_protocol::{
    id::{AlbumId, DeviceId, PersonId},
    op::{DeviceKind, Op, Policy, Role, Subject},
    replica::DeviceRow,
};
use serde_json::{Value, json};

use super::{
    Answer, ApiError, Done, Doorway,
    last::Loss,
    live::Live,
    pick::{self, name},
};
use crate::{
    catalog::{self, instant_text},
    net::Peer,
    node::Node,
    runtime::View,
    store::{Store, StoreError},
};

/// What a cache keeps when nobody says how much.
pub(super) const CACHE_BYTES: u64 = 20_000_000_000;

/// `people`, with what to do in `do`.
pub(super) async fn people(node: &Node, body: &Value, answer: &Answer) -> Done {
    let view = node.view().await?;
    match pick::text(body, "do")? {
        "list" => Ok(list_people(&view, answer).await),
        "rename" => {
            let person = pick::person(&view, pick::text(body, "person")?)?;
            own_or_admin(&view, Some(person))?;
            name_is_free(&view, name(body, "name")?, Some(person))?;
            rename(node, Subject::Person(person), name(body, "name")?).await
        }
        "remove" | "may" => {
            of_removal(body)?;
            let person = pick::person(&view, pick::text(body, "person")?)?;
            remove_person(node, &view, person, body).await
        }
        other => Err(ApiError::usage(&format!("people does not know {other:?}"))),
    }
}

/// Whether a removal is only asked about. An earlier command line says so with `dry_run`; an earlier node knows no such
/// field and would remove at once, so that the question is an act of its own.
fn is_asked(body: &Value) -> bool {
    pick::optional(body, "do") == Some("may") || pick::flag(body, "dry_run")
}

/// Refuses to say of anything else whether it may be done.
fn of_removal(body: &Value) -> Result<(), ApiError> {
    match (pick::text(body, "do")?, pick::optional(body, "act")) {
        ("may", act) if act != Some("remove") => Err(ApiError::usage(&format!(
            "nobody has to be asked about {:?}",
            act.unwrap_or_default()
        ))),
        _ => Ok(()),
    }
}

/// Refuses a name that a person of the family has.
pub(super) fn name_is_free(view: &View, name: &str, but: Option<PersonId>) -> Result<(), ApiError> {
    let lower = name.to_lowercase();
    let mut others = view.people.persons.iter();
    let other =
        others.find(|row| Some(row.id) != but && view.person_name(&row.id).to_lowercase() == lower);
    match other {
        None => Ok(()),
        Some(row) => Err(pick::taken(
            &format!("a person {}", pick::quoted(&view.person_name(&row.id))),
            &row.id.to_string(),
        )),
    }
}

/// `device`, with what to do in `do`.
pub(super) async fn device(doorway: &Doorway, node: &Node, body: &Value, answer: &Answer) -> Done {
    let view = node.view().await?;
    match pick::text(body, "do")? {
        "list" => {
            let live = Live::of(doorway, node).await?;
            Ok(list_devices(&live, &view, answer).await)
        }
        "rename" => {
            let device = owned(&view, body)?;
            rename(node, Subject::Device(device.id), name(body, "name")?).await
        }
        "remove" | "may" => {
            of_removal(body)?;
            if let Some(row) = removed_before(&view, body)? {
                return again(node, &view, row, body, answer).await;
            }
            let (row, called) = (owned(&view, body)?, pick::text(body, "device")?);
            let loss = Loss::without(node, &view, [row.id].into(), None).await?;
            let quoted = pick::quoted(called);
            let again = format!(
                "heirloom device remove {quoted} --with-last-copies, or --lost if it is gone anyway"
            );
            loss.allow(body, &view.device_name(&row.id), &again)?;
            let mut removed = match is_asked(body) {
                true => {
                    let mut would = json!({"device": row.id.to_string(), "dry_run": true});
                    loss.tell(&mut would);
                    return Ok(would);
                }
                false => remove_device(node, &view, row.id).await?,
            };
            loss.tell(&mut removed);
            match pick::flag(body, "lost") {
                true => {
                    let reach = reach(node, &view, (row, called), None, answer).await?;
                    told(&mut removed, &reach);
                    Ok(removed)
                }
                false => Ok(removed),
            }
        }
        "policy" => set_policy(node, owned(&view, body)?.id, body).await,
        other => Err(ApiError::usage(&format!("device does not know {other:?}"))),
    }
}

/// `words`: eight words that are the same on devices that agree on who belongs.
pub(super) async fn words(node: &Node) -> Done {
    let words = node.ask(|runtime| runtime.replica().words()).await?;
    Ok(json!({"words": words}))
}

/// A role as people call it.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Member => "member",
        Role::Admin => "admin",
    }
}

async fn list_people(view: &View, answer: &Answer) -> Value {
    let mut persons: Vec<_> = view.people.persons.iter().collect();
    persons.sort_by_key(|row| (row.name.clone(), row.id));
    for row in &persons {
        let devices = view.people.devices.iter();
        let devices = devices.filter(|device| device.person == Some(row.id) && !device.removed);
        let line = json!({
            "type": "person", "v": 1,
            "id": row.id.to_string(),
            "name": view.person_name(&row.id),
            "role": row.role.map(role_name),
            "this": Some(row.id) == view.person,
            "founder": row.id == view.founder,
            "devices": devices.count(),
            "recovery": row.has_kit,
        });
        answer.line(&line).await;
    }
    json!({"count": persons.len()})
}

async fn list_devices(live: &Live, view: &View, answer: &Answer) -> Value {
    let mut devices: Vec<_> = view.people.devices.iter().collect();
    devices.sort_by_key(|row| (row.removed, row.name.clone(), row.id));
    for row in &devices {
        let met = live.met(&row.id);
        let (policy, limit) = match row.policy {
            Policy::Archive => ("archive", None),
            Policy::Cache(bytes) => ("cache", Some(bytes)),
        };
        let line = json!({
            "type": "device", "v": 1,
            "id": row.id.to_string(),
            "name": view.device_name(&row.id),
            "person": row.person.map(|person| person.to_string()),
            "person_name": row.person.map(|person| view.person_name(&person)),
            "kind": match row.kind {
                DeviceKind::Device => "device",
                DeviceKind::Keeper => "keeper",
            },
            "this": row.id == view.device,
            "policy": policy,
            "limit": limit,
            "last_seen": met.last_seen.map(instant_text),
            "connected": met.path.is_some(),
            "path": met.path,
            "free": live.lore.beacons.get(&row.id).map(|beacon| beacon.free_bytes),
            "full": live.lore.is_full(&row.id),
            "removed": row.removed,
            "peer": Peer(row.id.0).to_string(),
        });
        answer.line(&line).await;
    }
    json!({"count": devices.len()})
}

/// The device that is named, if it is this person's or this person is an admin.
fn owned<'a>(view: &'a View, body: &Value) -> Result<&'a DeviceRow, ApiError> {
    let asked = pick::text(body, "device")?;
    let id = pick::device(view, asked)?;
    let row = view.people.devices.iter().find(|row| row.id == id);
    let row = row.ok_or_else(|| ApiError::not_found(&format!("device {asked:?}")))?;
    own_or_admin(view, row.person)?;
    Ok(row)
}

fn own_or_admin(view: &View, person: Option<PersonId>) -> Result<(), ApiError> {
    let own = person.is_some() && person == view.person;
    if own || view.is_admin() {
        return Ok(());
    }
    Err(
        ApiError::not_allowed("only an admin of the family may do that for others")
            .safe("Nothing was changed.")
            .hint("heirloom people list says who is an admin"),
    )
}

async fn rename(node: &Node, subject: Subject, name: &str) -> Done {
    let given = name.to_owned();
    node.ask(move |runtime| runtime.name(subject, &given))
        .await??;
    Ok(json!({"name": name}))
}

/// Whether a device of an admin would be left when these are gone.
fn leaves_an_admin(view: &View, gone: impl Fn(&DeviceRow) -> bool) -> Result<(), ApiError> {
    let left = view.people.devices.iter().any(|row| {
        let admin = row.person.and_then(|person| view.role(&person)) == Some(Role::Admin);
        admin && !row.removed && !gone(row)
    });
    if left {
        return Ok(());
    }
    Err(
        ApiError::not_allowed("no device of an admin would be left in the family")
            .safe("Nothing was changed."),
    )
}

async fn remove_person(node: &Node, view: &View, person: PersonId, body: &Value) -> Done {
    if person == view.founder {
        return Err(
            ApiError::not_allowed("whoever founded the family is never removed")
                .safe("Nothing was changed.")
                .hint("a lost device of theirs can be removed: heirloom device remove"),
        );
    }
    own_or_admin(view, Some(person))?;
    leaves_an_admin(view, |row| row.person == Some(person))?;
    let theirs = view.others().filter(|row| row.person == Some(person));
    let loss = Loss::without(node, view, theirs.map(|row| row.id).collect(), None).await?;
    let name = view.person_name(&person);
    let again = format!(
        "heirloom people remove {} --with-last-copies",
        pick::quoted(&name)
    );
    loss.allow(body, &format!("those of {name}"), &again)?;
    let mut told = json!({"person": person.to_string()});
    loss.tell(&mut told);
    if is_asked(body) {
        told["dry_run"] = json!(true);
        return Ok(told);
    }
    let after = remove(node, Op::RemovePerson((person,))).await?;
    if after.people.persons.iter().any(|row| row.id == person) {
        return Err(overruled());
    }
    Ok(told)
}

async fn remove_device(node: &Node, view: &View, device: DeviceId) -> Done {
    if device == view.device {
        return Err(ApiError::not_allowed("this is the device you are using")
            .safe("Nothing was changed.")
            .hint("remove it from another device of yours"));
    }
    leaves_an_admin(view, |row| row.id == device)?;
    let after = remove(node, Op::RemoveDevice((device,))).await?;
    let still = |row: &DeviceRow| row.id == device && !row.removed;
    if after.people.devices.iter().any(still) {
        return Err(overruled());
    }
    Ok(json!({"device": device.to_string()}))
}

/// Removes a device that is gone, by its name or id; one that was removed before stays so.
///
/// # Errors
///
/// `E-NOT-FOUND` when there is none of that name, `E-NOT-ALLOWED`.
pub(super) async fn remove_named(node: &Node, name: &str) -> Result<DeviceId, ApiError> {
    let view = node.view().await?;
    let asked = json!({"device": name});
    if let Some(row) = removed_before(&view, &asked)? {
        return Ok(row.id);
    }
    let device = owned(&view, &asked)?.id;
    remove_device(node, &view, device).await?;
    Ok(device)
}

/// The device that is named, if it was removed and this person may have done that.
fn removed_before<'a>(view: &'a View, body: &Value) -> Result<Option<&'a DeviceRow>, ApiError> {
    let row = pick::removed_device(view, pick::text(body, "device")?);
    if let Some(row) = row {
        own_or_admin(view, row.person)?;
    }
    Ok(row)
}

/// What there is to say of a device that was removed before and is removed again.
async fn again(node: &Node, view: &View, row: &DeviceRow, body: &Value, answer: &Answer) -> Done {
    if !pick::flag(body, "lost") {
        // It says that it was removed, and when.
        return Err(owned(view, body).err().unwrap_or_else(overruled));
    }
    let at = row.removed_at.map(instant_text);
    let mut summary = json!({"device": row.id.to_string(), "fewer": 0, "last": 0, "removed_before": true, "removed_at": at});
    if is_asked(body) {
        summary["dry_run"] = json!(true);
    } else {
        let called = (row, pick::text(body, "device")?);
        let reach = reach(node, view, called, row.removed_at, answer).await?;
        told(&mut summary, &reach);
    }
    Ok(summary)
}

/// What a lost device could read.
#[derive(Default)]
struct Reach {
    albums: Vec<(String, u64)>,
    /// Albums that this person cannot see.
    hidden: usize,
}

/// Says in a line for each album what a device could read of it that is gone and, being out of
/// reach, still can.
///
/// It is out of the family by now: a running node has ended its connections, and
/// whoever next writes to one of these albums does so under a key that it lacks. With `until` only
/// what was added up to then counts, Unix milliseconds by the clocks of those who added it.
async fn reach(
    node: &Node,
    view: &View,
    (row, called): (&DeviceRow, &str),
    until: Option<u64>,
    answer: &Answer,
) -> Result<Reach, ApiError> {
    let (store, seen) = (node.store().clone(), view.clone());
    let person = row.person;
    let albums = node
        .blocking(move || readable(&store, &seen, person, until))
        .await??;
    for (album, assets) in &albums {
        answer
            .line(&json!({"type": "reach", "v": 1, "device": called, "album": album, "assets": assets}))
            .await;
    }
    let theirs = node
        .ask(move |runtime| {
            let albums = runtime.replica().albums();
            let theirs = albums.filter(|(_, album)| {
                person.is_some_and(|person| album.may_read(&person)) && !album.is_closed()
            });
            theirs.count()
        })
        .await?;
    let hidden = theirs.saturating_sub(view_of(view, person).count());
    Ok(Reach { albums, hidden })
}

/// The same of a device that `recovery restore` has removed, as it was called there.
pub(super) async fn reach_of(
    node: &Node,
    view: &View,
    (device, called): (&DeviceId, &str),
    answer: &Answer,
) -> Result<(), ApiError> {
    let row = view.people.devices.iter().find(|row| row.id == *device);
    if let Some(row) = row {
        reach(node, view, (row, called), row.removed_at, answer).await?;
    }
    Ok(())
}

fn told(summary: &mut Value, reach: &Reach) {
    let albums: Vec<_> = reach.albums.iter().map(|(name, _)| name).collect();
    let assets: u64 = reach.albums.iter().map(|(_, assets)| assets).sum();
    summary["lost"] = json!(true);
    summary["albums"] = json!(albums);
    summary["hidden_albums"] = json!(reach.hidden);
    summary["assets"] = json!(assets);
}

/// The albums that a person's devices hold keys of, as far as this person sees them.
fn view_of(view: &View, person: Option<PersonId>) -> impl Iterator<Item = &AlbumId> {
    let albums = view.albums.iter();
    let theirs = albums.filter(move |(_, album)| {
        person.is_some_and(|person| album.people.iter().any(|(of, _)| *of == person))
    });
    theirs.map(|(id, _)| id)
}

/// These, and how many assets are in each that came up to a time; those that came later are left out.
fn readable(
    store: &Store,
    view: &View,
    person: Option<PersonId>,
    until: Option<u64>,
) -> Result<Vec<(String, u64)>, StoreError> {
    let mut counts: BTreeMap<_, u64> = view_of(view, person).map(|id| (*id, 0)).collect();
    for folded in catalog::read(store, view)?.iter() {
        for item in &folded.items {
            let added = item.asset.added.as_ref();
            let came = added.map_or(0, |added| added.origin.stamp.hlc.time().0);
            if until.is_some_and(|until| came > until) {
                continue;
            }
            if let Some(count) = counts.get_mut(&item.key.album) {
                *count += 1;
            }
        }
    }
    // What is empty now may have been made since.
    counts.retain(|_, count| until.is_none() || *count > 0);
    let named = counts.into_iter().filter_map(|(id, count)| {
        let album = view.albums.get(&id)?;
        Some((album.name(view), count))
    });
    let mut named: Vec<_> = named.collect();
    named.sort();
    Ok(named)
}

async fn remove(node: &Node, removal: Op) -> Result<View, ApiError> {
    let after = node
        .ask(move |runtime| {
            runtime.remove(removal)?;
            Ok::<_, crate::runtime::RuntimeError>(runtime.view())
        })
        .await??;
    Ok(after)
}

fn overruled() -> ApiError {
    ApiError::not_allowed("somebody more senior in the family has decided otherwise")
}

async fn set_policy(node: &Node, device: DeviceId, body: &Value) -> Done {
    let limit = body.get("limit").and_then(Value::as_u64);
    let policy = match (pick::text(body, "policy")?, limit) {
        ("archive", None) => Policy::Archive,
        ("archive", Some(_)) => {
            return Err(ApiError::usage(
                "an archive keeps everything: it has no limit",
            ));
        }
        ("cache", limit) => Policy::Cache(limit.unwrap_or(CACHE_BYTES)),
        (other, _) => return Err(ApiError::usage(&format!("there is no policy {other:?}"))),
    };
    node.ask(move |runtime| runtime.set_policy(device, policy))
        .await??;
    Ok(json!({"device": device.to_string()}))
}
