//! `verify`: whether all that is stored is whole, and with the data, every byte of it.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use heirloom_protocol::{
    id::{BlobId, FamilyId, LogId, OpId},
    log::entry::{Entry, EntryBytes},
    wire,
};
use serde_json::{Value, json};

use super::{Answer, Done, answer::Progress, pick};
use crate::{
    catalog,
    node::Node,
    runtime::View,
    store::{Damage, Depth, EntryRecord, Finding, Store, StoreError, Verified},
};

/// Entries read at once, in bytes.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// The act.
pub(super) async fn verify(node: &Node, body: &Value, answer: &Arc<Answer>) -> Done {
    let depth = if pick::flag(body, "read_data") {
        Depth::Data
    } else {
        Depth::Structure
    };
    let view = node.view().await?;
    let (store, answer) = (node.store().clone(), Arc::clone(answer));
    node.blocking(move || {
        let stats = store.stats().unwrap_or_default();
        let blobs = stats.large_blobs + stats.small_blobs;
        let total = Progress {
            total: stats.entries + blobs,
            bytes_total: match depth {
                Depth::Structure => 0,
                Depth::Data => stats.large_bytes + stats.small_bytes,
            },
            ..Progress::default()
        };
        let verified = walk(&store, depth, total, &answer)?;
        let unsigned = signatures(&store, view.family, &answer)?;
        let mut findings = verified.findings;
        findings.dedup();
        let named = assets_of(&store, &view, &findings);
        for finding in &findings {
            answer.line_blocking(&line(&store, finding, &named));
        }
        for line in &unsigned {
            answer.line_blocking(line);
        }
        let damaged = findings.len() + unsigned.len();
        Ok(json!({
            "checked": verified.entries + verified.blobs,
            "damaged": damaged,
            "repaired": 0,
            "bytes": verified.bytes,
            "exit": if damaged > 0 { 9 } else { 0 },
        }))
    })
    .await?
}

fn walk(
    store: &Store,
    depth: Depth,
    total: Progress,
    answer: &Answer,
) -> Result<Verified, StoreError> {
    let mut names = Names::default();
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

/// The blobs of the entry that was asked about last.
#[derive(Default)]
struct Names(Option<(LogId, u32, Vec<BlobId>)>);

impl Names {
    fn of(&mut self, store: &Store, log: &LogId, ordinal: u32) -> Option<BlobId> {
        let has = |first: u32, names: &[BlobId]| {
            let index = usize::try_from(ordinal.checked_sub(first)?).ok()?;
            names.get(index).copied()
        };
        if let Some((known, first, names)) = &self.0
            && known == log
            && let Some(name) = has(*first, names)
        {
            return Some(name);
        }
        // A damaged entry is named by itself; its blobs are held against their own records.
        let record = store.entry_with_blob(log, ordinal).ok()??;
        let entry = entry_bytes(&record).and_then(|bytes| Entry::trust(bytes).ok())?;
        let names: Vec<_> = entry.header().blobs.iter().map(|line| line.id).collect();
        let name = has(record.first_blob, &names);
        self.0 = Some((*log, record.first_blob, names));
        name
    }
}

fn entry_bytes(record: &EntryRecord) -> Option<EntryBytes> {
    wire::decode_row(&record.bytes).ok()
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
                    let entry = entry_bytes(record);
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

fn told(what: &str, id: &str, asset: Option<&OpId>, problem: &str) -> Value {
    json!({
        "type": "damage", "v": 1, "what": what, "id": id,
        "asset": asset.map(ToString::to_string), "problem": problem, "repaired": false,
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
            let name = Names::default().of(store, log, *ordinal);
            let id = name.map_or_else(
                || format!("{}/{ordinal}", log.device.short()),
                |name| name.to_string(),
            );
            told("blob", &id, asset, "it is not where the index says")
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
        Damage::Key { path } => told(
            "database",
            &path.to_string_lossy(),
            None,
            "a key is damaged",
        ),
    }
}

type Named = BTreeMap<(LogId, u32), OpId>;

/// The assets that the damaged blobs belong to.
fn assets_of(store: &Store, view: &View, findings: &[Finding]) -> Named {
    let wanted: Vec<_> = findings.iter().filter_map(|finding| finding.blob).collect();
    let mut named = Named::new();
    if wanted.is_empty() {
        return named;
    }
    // Where even the rows are damaged, nobody can say which asset it is.
    for folded in catalog::read(store, view).unwrap_or_default().iter() {
        let id = folded.first().key.item;
        for item in &folded.items {
            let originals = item.asset.all_parts().map(|(_, blob)| blob);
            let pictures = item.asset.blobs.iter().map(|added| &added.blob);
            for blob in originals.chain(pictures) {
                if wanted.contains(&(blob.log, blob.ordinal)) {
                    named.insert((blob.log, blob.ordinal), id);
                }
            }
        }
    }
    named
}
