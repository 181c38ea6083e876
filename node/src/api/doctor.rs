//! `doctor`: problems of this device, each with its remedy.

use std::path::Path;

use heirloom_protocol::{id::DeviceId, op::DeviceKind};
use serde_json::{Value, json};

use super::{Answer, Done, Doorway, away, live::Live, more, past};
use crate::{
    forms::counted,
    network::NetworkOptions,
    node::Node,
    runtime::{self, Bounds, View},
    store::Store,
};

mod clock;
mod ways;

pub(super) use clock::problem as wrong_clock;

/// Free bytes below which a disk is nearly full.
pub(super) const NEARLY_FULL_BYTES: u64 = 1_000_000_000;

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Well,
    /// Nothing is wrong, as far as this device can know; a person may know better.
    Note,
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    message: String,
    /// What to do, or would help.
    remedy: Option<String>,
}

impl Check {
    fn well(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Well,
            message: message.into(),
            remedy: None,
        }
    }

    fn note(name: &'static str, message: impl Into<String>, remedy: Option<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Note,
            message: message.into(),
            remedy,
        }
    }

    fn wrong(name: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Wrong,
            message: message.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn line(&self) -> Value {
        json!({
            "type": "check", "v": 1,
            "name": self.name, "ok": self.verdict != Verdict::Wrong,
            "note": self.verdict == Verdict::Note,
            "message": self.message, "remedy": self.remedy,
        })
    }
}

/// The act.
pub(super) async fn doctor(doorway: &Doorway, node: &Node, answer: &Answer) -> Done {
    let view = node.view().await?;
    let live = Live::of(doorway, node).await?;
    let store = node.store().clone();
    let missed = node.ask(|runtime| runtime.missed().len()).await?;
    let (mut checks, there, unnamed) = node
        .blocking(move || {
            let checks = vec![permissions(store.home()), disk(&store), damage(&store)];
            (checks, files(&store, missed), runtime::unnamed(&store))
        })
        .await?;
    let unnamed = (unnamed > 0).then(|| {
        Check::wrong(
            "files",
            super::unnamed::what(unnamed),
            super::unnamed::way(&view),
        )
    });
    checks.extend((unnamed.is_none() || there.verdict == Verdict::Wrong).then_some(there));
    checks.extend(unnamed);
    checks.push(clock::check(node, &view).await?);
    checks.push(settings(doorway.home(), &live));
    let (own, others) = (ways::Own::of(&live), ways::Other::all(&live, &view));
    let now = node.clock().now().0;
    checks.push(ways::network(&own, &others, now));
    checks.push(ways::homes(&own, &others, now));
    checks.push(worker(doorway));
    checks.push(recovery(&view));
    checks.push(devices(&view));
    checks.extend(belonging(&live, &view));
    let store = node.store().clone();
    let lost = node.blocking(move || store.lost()).await??;
    checks.extend(copies(&live, &view, lost.is_empty()));
    for check in &checks {
        answer.line(&check.line()).await;
    }
    let count = |verdict| {
        checks
            .iter()
            .filter(|check| check.verdict == verdict)
            .count()
    };
    Ok(json!({
        "checks": checks.len(), "problems": count(Verdict::Wrong), "notes": count(Verdict::Note),
    }))
}

fn permissions(home: &Path) -> Check {
    #[cfg(unix)]
    if let Some(open) = open_to_others(home) {
        return Check::wrong(
            "permissions",
            format!("other users can get at {}", open.display()),
            format!("chmod -R go-rwx {:?}", home.display().to_string()),
        );
    }
    Check::well(
        "permissions",
        format!("nobody else can look into {}", home.display()),
    )
}

/// The first thing in a home that its group or others have any right to.
#[cfg(unix)]
fn open_to_others(home: &Path) -> Option<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;

    let entries = walkdir::WalkDir::new(home).max_depth(2).into_iter();
    entries
        .filter_map(Result::ok)
        .find(|entry| {
            let metadata = entry.metadata();
            metadata.is_ok_and(|metadata| {
                !metadata.is_symlink() && metadata.permissions().mode() & 0o077 != 0
            })
        })
        .map(walkdir::DirEntry::into_path)
}

fn disk(store: &Store) -> Check {
    match store.free_bytes() {
        Some(free) if !store.has_room() => Check::wrong(
            "disk",
            format!(
                "it is full: {} MB are free, and no more photos are taken",
                free / 1_000_000
            ),
            "free some space: what browsers, followed folders and other devices bring is taken in again by itself; give an import that stopped once more. What is here is safe",
        ),
        Some(free) if free < NEARLY_FULL_BYTES => Check::wrong(
            "disk",
            format!("{} MB are free", free / 1_000_000),
            "free some space before no more photos are taken",
        ),
        Some(free) => Check::well("disk", format!("{} GB are free", free / 1_000_000_000)),
        None => Check::well("disk", "the system does not say how much is free"),
    }
}

/// What opening the store found.
fn damage(store: &Store) -> Check {
    let lost = store.lost().unwrap_or_default();
    if !lost.is_empty() {
        let entries: u32 = lost.iter().map(|(_, gone)| gone.end - gone.start).sum();
        return Check::wrong(
            "store",
            counted(
                entries,
                "entry that was here is gone",
                "entries that were here are gone",
            ),
            "heirloom sync while a device that has them is in reach; heirloom verify names them",
        );
    }
    let opened = store.opened();
    let damaged = opened.damages.len() + opened.stranded.len();
    if damaged > 0 {
        return Check::wrong(
            "store",
            format!(
                "{} found when the home was opened",
                counted(damaged, "damage was", "damages were")
            ),
            "heirloom verify --read-data names them; copy what matters to another disk",
        );
    }
    if opened.healed_key.is_some() {
        return Check::wrong(
            "store",
            "one of the two files of this device's key was damaged or missing, and made whole from the other",
            "heirloom verify --read-data reads all there is again; if it happens again, copy what matters to another disk",
        );
    }
    if opened.rebuilt.is_some() {
        return Check::well("store", "the index was lost and made again from the logs");
    }
    Check::well("store", "the home was opened without a finding")
}

/// Whether the packs and folders are there that photos lie in.
/// Whether what the index names is there, as far as is known: nothing is read for it. `missed` files were found
/// damaged or missing before, and have not come again.
fn files(store: &Store, missed: usize) -> Check {
    let gone = match store.gone() {
        Ok(gone) => gone,
        Err(error) => {
            return Check::wrong(
                "files",
                format!("whether all files are there could not be seen: {error}"),
                "heirloom verify names what is damaged",
            );
        }
    };
    if let Some((pack, why)) = store.unread_packs().into_iter().next() {
        return Check::wrong(
            "files",
            format!("pack {pack} could not be read when the index was made: {why}"),
            "mend that, and start the node anew: what lies in it is taken in again",
        );
    }
    if gone.is_empty() && missed > 0 {
        let files = match missed {
            1 => "1 file was".to_owned(),
            _ => format!("{missed} files were"),
        };
        return Check::wrong(
            "files",
            format!("{files} found damaged or missing, and not come again yet"),
            "heirloom verify names what it is, and heirloom verify --repair gets what another device in reach has",
        );
    }
    if gone.is_empty() {
        return Check::well("files", "every pack and folder of photos is there");
    }
    let mut what: Vec<_> = gone
        .packs
        .iter()
        .map(|pack| format!("pack {pack}"))
        .collect();
    if !gone.folders.is_empty() {
        what.push(counted(gone.folders.len(), "folder", "folders"));
    }
    let blobs = store.home().join("blobs");
    let remedy = match gone.is_most() {
        true => format!(
            "if another disk belongs at {}, mount it and start the node anew; else heirloom verify --repair, while a device that has them is in reach",
            blobs.display()
        ),
        false => "heirloom verify --repair, while a device that has them is in reach".into(),
    };
    Check::wrong(
        "files",
        format!(
            "gone from {}: {}, with {}",
            blobs.display(),
            what.join(", "),
            counted(gone.len(), "file", "files")
        ),
        remedy,
    )
}

fn settings(home: &Path, live: &Live) -> Check {
    let read = NetworkOptions::of_home(home);
    match read.and_then(|options| Bounds::of_home(home).map(|_| options)) {
        Ok(options) => match live.not_yet_named(&options.external) {
            None => Check::well("settings", "they can be read"),
            Some(address) => Check::note(
                "settings",
                format!("you named {address}, and this node was started before that"),
                Some("start it anew: settings hold from its next start on".into()),
            ),
        },
        Err(error) => Check::wrong("settings", error.message, error.hint.unwrap_or_default()),
    }
}

fn worker(doorway: &Doorway) -> Check {
    let (program, _) = &doorway.options().worker;
    if program.is_file() {
        return Check::well("previews", "the program that makes them is there");
    }
    Check::wrong(
        "previews",
        format!("there is no program {}", program.display()),
        "install heirloom again and start the node anew",
    )
}

/// Whether this person has a recovery kit.
pub(super) fn has_kit(view: &View) -> bool {
    let own = |row: &&heirloom_protocol::replica::PersonRow| Some(row.id) == view.person;
    let row = view.people.persons.iter().find(own);
    row.is_none_or(|row| row.has_kit)
}

fn recovery(view: &View) -> Check {
    if view.person.is_none() {
        return Check::well("recovery", "a keeper needs no recovery words");
    }
    if has_kit(view) {
        return Check::well(
            "recovery",
            "there are recovery words; are they still on paper?",
        );
    }
    Check::wrong(
        "recovery",
        "there are no recovery words: with all devices, the photos would be lost",
        "heirloom recovery replace makes them",
    )
}

/// The other devices of the family.
fn others(view: &View) -> impl Iterator<Item = &heirloom_protocol::replica::DeviceRow> {
    let others = view.people.devices.iter();
    others.filter(|row| row.id != view.device && !row.removed)
}

fn devices(view: &View) -> Check {
    // A library is for its person's devices and for keepers alone.
    let holds_library = |row: &heirloom_protocol::replica::DeviceRow| {
        row.person == view.person || row.kind == DeviceKind::Keeper
    };
    match others(view).count() {
        0 => Check::wrong(
            "devices",
            "this is the only device: when it is lost, so are the photos",
            "heirloom invite --device brings in a second one",
        ),
        _ if view.person.is_some() && !others(view).any(holds_library) => Check::wrong(
            "devices",
            "no other device may hold what is shared with nobody: when this one is lost, so is that",
            format!(
                "bring in a second one of yours or a keeper: {}",
                more::device(view)
            ),
        ),
        1 => Check::well("devices", "another device belongs to the family"),
        count => Check::well("devices", format!("{count} others belong to the family")),
    }
}

/// Whether others take this device for one of the family.
fn belonging(live: &Live, view: &View) -> Option<Check> {
    let judged = live.away.judge(view);
    let named = |ids: &[DeviceId]| {
        let names = ids.iter().map(|id| view.device_name(id));
        names.collect::<Vec<_>>().join(", ")
    };
    let (knew, strangers) = (named(&judged.knew), named(&judged.strangers));
    let by = judged.known_to.map(|by| view.device_name(&by));
    match (knew.is_empty(), strangers.is_empty()) {
        (true, true) => None,
        (true, false) => Some(Check::wrong(
            "family",
            format!("{strangers} turned this device away and does not know it yet"),
            away::how_to_be_known(&strangers, by.as_deref()),
        )),
        _ => Some(Check::wrong(
            "family",
            format!("{knew} turned this device away: it may have been removed from the family"),
            "ask an admin (heirloom device list); what is only here comes out by heirloom export",
        )),
    }
}

/// Homes that were restored or copied: one line for each, or one that there are none.
fn copies(live: &Live, view: &View, is_whole: bool) -> Vec<Check> {
    let words = past::words(view, &live.pasts, is_whole);
    if words.is_empty() {
        return vec![Check::well("copies", "no home was restored or copied")];
    }
    let words = words.into_iter();
    words
        .map(|word| Check::wrong("copies", word.message, word.remedy))
        .collect()
}
