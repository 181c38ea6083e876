//! `verify`: whether all that is stored is whole, and with the data, every byte of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::Arc,
};

use heirloom_protocol::{
    id::{FamilyId, LogId, OpId},
    log::entry::Entry,
};
use serde_json::{Value, json};

use super::{Answer, Done, Doorway, answer::Progress, pick, repair, unnamed};
use crate::{
    catalog::{self, Folded},
    node::Node,
    runtime::{self, BlobNames, Missing, View},
    store::{BlobState, Damage, Depth, EntryRecord, Finding, Store, StoreError, Verified},
};

/// Entries read at once, in bytes.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// What was found, and what people are told of it.
struct Found {
    verified: Verified,
    named: Named,
    /// Blobs that were missed, and are whole.
    again: Vec<(LogId, u32)>,
    /// Lines about entries that nobody signed.
    unsigned: Vec<Value>,
    /// Blobs that lie here and of which nothing tells, since the database was lost.
    unnamed: usize,
}

/// The act; with `repair` what is damaged is put right or got again.
pub(super) async fn verify(
    doorway: &Arc<Doorway>,
    node: &Node,
    body: &Value,
    answer: &Arc<Answer>,
) -> Done {
    let depth = if pick::flag(body, "read_data") {
        Depth::Data
    } else {
        Depth::Structure
    };
    let view = node.view().await?;
    let missed = node.ask(|runtime| runtime.missed()).await?;
    let (store, seen, hears) = (node.store().clone(), view.clone(), Arc::clone(answer));
    let found = node
        .blocking(move || find(&store, &view, depth, &missed, &hears))
        .await??;
    let findings = &found.verified.findings;
    let is_repair = pick::flag(body, "repair");
    let mut repaired = match is_repair && !findings.is_empty() {
        true => repair::repair(doorway, node, findings, answer).await?,
        false => vec![false; findings.len()],
    };
    if is_repair {
        repair::pictures(node, findings, &mut repaired, answer).await?;
    }
    let (again, mut noted) = (found.again, with_closed(node.store(), findings));
    if is_repair {
        // What is damaged was dealt with; what may not be read is no more here than before.
        noted.retain(|finding| !findings.contains(finding));
    }
    node.ask(move |runtime| {
        runtime.miss_no_more(&again)?;
        runtime.note_broken(&noted)?;
        runtime.note_missed(&noted)
    })
    .await??;
    let mut lost = 0_u64;
    for (finding, repaired) in findings.iter().zip(&repaired) {
        let mut line = line(node.store(), finding, &found.named);
        line["repaired"] = json!(repaired);
        if let Some(blob) = finding.blob {
            let elsewhere = node.ask(move |runtime| runtime.elsewhere(&blob)).await?;
            let (holders, is_original) = elsewhere?;
            lost += u64::from(holders == 0 && is_original && !repaired && !is_closed(finding));
            line["holders"] = json!(holders);
        }
        answer.line(&line).await;
    }
    for line in &found.unsigned {
        answer.line(line).await;
    }
    if found.unnamed > 0 {
        let problem = format!("{}. {}", unnamed::what(found.unnamed), unnamed::way(&seen));
        answer.line(&told("blob", "files", None, &problem)).await;
    }
    let damaged = findings.len() + found.unsigned.len() + usize::from(found.unnamed > 0);
    let repaired = repaired.iter().filter(|repaired| **repaired).count();
    Ok(json!({
        "checked": found.verified.entries + found.verified.blobs,
        "damaged": damaged,
        "repaired": repaired,
        "lost": lost,
        "unnamed": found.unnamed,
        "closed": findings.iter().filter(|finding| is_closed(finding)).count(),
        "bytes": found.verified.bytes,
        "exit": if damaged > repaired { 9 } else { 0 },
    }))
}

/// The findings, with blobs that may not be read as ones that are missing: they are no copies while it is so.
fn with_closed(store: &Store, findings: &[Finding]) -> Vec<Finding> {
    let mut names = BlobNames::default();
    let of = |finding: &Finding| {
        let name = match (is_closed(finding), finding.blob) {
            (true, Some((log, ordinal))) => names.of(store, &log, ordinal),
            _ => None,
        };
        Finding {
            damage: name.map_or_else(|| finding.damage.clone(), |cid| Damage::Blob { cid }),
            blob: finding.blob,
        }
    };
    findings.iter().map(of).collect()
}

/// What is told of a file that this account may not read, in the words of the system.
pub(super) fn closed(what: &str) -> String {
    format!(
        "belongs to another account or may not be read: give it to the account that runs Heirloom (chown, or chmod u+r): {what}"
    )
}

/// Whether nothing is known to be wrong but who may read it.
fn is_closed(finding: &Finding) -> bool {
    matches!(finding.damage, Damage::Closed { .. })
}

fn find(
    store: &Store,
    view: &View,
    depth: Depth,
    missed: &[Missing],
    answer: &Answer,
) -> Result<Found, StoreError> {
    let stats = store.stats().unwrap_or_default();
    let total = Progress {
        total: stats.entries + stats.large_blobs + stats.small_blobs,
        bytes_total: match depth {
            Depth::Structure => 0,
            Depth::Data => stats.large_bytes + stats.small_bytes,
        },
        ..Progress::default()
    };
    let mut verified = walk(store, depth, total, answer)?;
    let mut seen: Vec<Finding> = Vec::with_capacity(verified.findings.len());
    let lost = store.lost()?.into_iter().map(|(log, gone)| Finding {
        damage: Damage::Entry {
            log,
            seq: gone.end - 1,
            id: None,
        },
        blob: None,
    });
    for finding in verified.findings.into_iter().chain(lost) {
        // The same row can be met on several ways.
        if !seen.contains(&finding) {
            seen.push(finding);
        }
    }
    let again = still_missed(store, missed, &mut seen)?;
    verified.findings = seen;
    let unsigned = match signatures(store, view.family, answer) {
        // The walk has named what cannot be read.
        Err(StoreError::Damaged(_)) => Vec::new(),
        lines => lines?,
    };
    let named = assets_of(store, view, &verified.findings);
    Ok(Found {
        verified,
        named,
        again,
        unsigned,
        unnamed: runtime::unnamed(store),
    })
}

/// Adds what was found earlier and has not come again; what has is returned.
fn still_missed(
    store: &Store,
    missed: &[Missing],
    findings: &mut Vec<Finding>,
) -> Result<Vec<(LogId, u32)>, StoreError> {
    let mut again = Vec::new();
    for Missing { kept, id, .. } in missed {
        if findings.iter().any(|finding| finding.blob == Some(*kept)) {
            continue;
        }
        let is_missed = match store.blob_state(&kept.0, kept.1)? {
            BlobState::Absent => true,
            // It may lie where damage was found that nobody has dealt with.
            BlobState::Here(place) => !store.blobs().is_whole(id, &place)?,
            BlobState::Dropped { .. } => false,
        };
        match is_missed {
            true => findings.push(Finding {
                damage: Damage::Blob { cid: *id },
                blob: Some(*kept),
            }),
            false => again.push(*kept),
        }
    }
    Ok(again)
}

fn walk(
    store: &Store,
    depth: Depth,
    total: Progress,
    answer: &Answer,
) -> Result<Verified, StoreError> {
    let mut names = BlobNames::default();
    store.verify(
        depth,
        |log, ordinal| names.of(store, log, ordinal),
        |seen| {
            answer.progress(Progress {
                done: seen.entries + seen.blobs,
                bytes: seen.bytes,
                ..total
            });
            if answer.dropped().is_cancelled() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    )
}

/// Entries that are not what their authors signed, a line each.
fn signatures(store: &Store, family: FamilyId, answer: &Answer) -> Result<Vec<Value>, StoreError> {
    let mut lines = Vec::new();
    for space in store.spaces() {
        for head in store.logs(space) {
            let mut from = head.first;
            while from <= head.seq && !answer.dropped().is_cancelled() {
                let records = match store.entries(&head.log, from, READ_BYTES) {
                    // The walk has named it; what follows is looked at one by one.
                    Err(StoreError::Damaged(_)) => store
                        .entry(&head.log, from)
                        .ok()
                        .flatten()
                        .into_iter()
                        .collect(),
                    read => read?,
                };
                from = records
                    .last()
                    .map_or(from, |record: &EntryRecord| record.seq)
                    + 1;
                for record in &records {
                    let entry = BlobNames::bytes_of(record);
                    let signed = entry.is_some_and(|bytes| {
                        Entry::verify(family, bytes).is_ok_and(|entry| entry.id() == record.id)
                    });
                    if !signed {
                        lines.push(told("entry", &record.id.to_string(), None, UNSIGNED));
                    }
                }
            }
        }
    }
    Ok(lines)
}

const UNSIGNED: &str = "it is not what its author signed";

fn told(what: &str, id: &str, photo: Option<&Photo>, problem: &str) -> Value {
    json!({
        "type": "damage", "v": 1, "what": what, "id": id,
        "asset": photo.map(|photo| photo.id.to_string()),
        "name": photo.and_then(|photo| photo.name.clone()),
        "albums": photo.map(|photo| photo.albums.clone()),
        "problem": problem, "repaired": false,
    })
}

fn line(store: &Store, finding: &Finding, named: &Named) -> Value {
    let asset = finding.blob.and_then(|blob| named.get(&blob));
    match &finding.damage {
        Damage::Entry { log, seq, id } => {
            let id = id.map_or_else(
                || format!("{}/{seq}", log.device.short()),
                |id| id.to_string(),
            );
            told("entry", &id, None, "its record is damaged or missing")
        }
        Damage::Log { log, offset, bytes } => {
            let id = log.device.short();
            let problem = format!("{bytes} bytes at {offset} of a log's file are damaged");
            told("entry", &id, None, &problem)
        }
        Damage::Blob { cid } => {
            let problem = "it is missing, cut short or changed";
            told("blob", &cid.to_string(), asset, problem)
        }
        Damage::Place { log, ordinal } => {
            let name = BlobNames::default().of(store, log, *ordinal);
            let id = name.map_or_else(
                || format!("{}/{ordinal}", log.device.short()),
                |name| name.to_string(),
            );
            told("blob", &id, asset, "it is not where the index says")
        }
        Damage::Closed { what } => {
            let name = |(log, ordinal)| BlobNames::default().of(store, &log, ordinal);
            let id = finding.blob.and_then(name);
            let id = id.map_or_else(|| what.clone(), |id| id.to_string());
            told("blob", &id, asset, &format!("it {}", closed(what)))
        }
        Damage::Pack {
            pack,
            offset,
            bytes,
        } => {
            let problem = format!("{bytes} bytes at {offset} are damaged");
            told("blob", &format!("pack {pack}"), None, &problem)
        }
        Damage::Value { table, .. } => {
            let id = format!("{table:?}").to_lowercase();
            told("database", &id, None, "a value does not open")
        }
        Damage::Index { what } => {
            let problem = "the index contradicts itself or the files";
            told("database", what, None, problem)
        }
        Damage::Version { path } => told(
            "database",
            &path.to_string_lossy(),
            None,
            "it does not say the version of the home",
        ),
        Damage::Key { path } => told(
            "database",
            &path.to_string_lossy(),
            None,
            "a key is damaged",
        ),
    }
}

/// A photo as people know it.
#[derive(Clone)]
struct Photo {
    id: OpId,
    name: Option<String>,
    /// The albums that show it.
    albums: Vec<String>,
}

type Named = BTreeMap<(LogId, u32), Photo>;

fn photo_of(folded: &Folded, view: &View) -> Photo {
    let first = folded.first();
    let parts = first.asset.all_parts().next();
    let items = folded.items.iter();
    let live = items.filter(|item| item.asset.trashed().is_none());
    let albums: BTreeSet<_> = live.map(|item| item.key.album).collect();
    let albums = albums.iter().filter_map(|album| view.albums.get(album));
    Photo {
        id: first.key.item,
        name: parts.map(|(part, _)| part.name.clone()),
        albums: albums.map(|album| album.name(view)).collect(),
    }
}

/// The assets that the damaged blobs belong to.
fn assets_of(store: &Store, view: &View, findings: &[Finding]) -> Named {
    let wanted: Vec<_> = findings.iter().filter_map(|finding| finding.blob).collect();
    let mut named = Named::new();
    if wanted.is_empty() {
        return named;
    }
    // Where even the rows are damaged, nobody can say which asset it is.
    for folded in catalog::read(store, view).unwrap_or_default().iter() {
        let photo = photo_of(&folded, view);
        for item in &folded.items {
            let originals = item.asset.all_parts().map(|(_, blob)| blob);
            let pictures = item.asset.blobs.iter().map(|added| &added.blob);
            for blob in originals.chain(pictures) {
                if wanted.contains(&(blob.log, blob.ordinal)) {
                    named.insert((blob.log, blob.ordinal), photo.clone());
                }
            }
        }
    }
    named
}
