//! What this device has put into a depot, by its own lists there, or else by what lies there.
//!
//! What was let go here lies there alone, and nothing but these lists names it. So where they cannot be
//! read now, nothing is written: they may be whole the next time. Where they are damaged, the files that
//! lie there are named anew, whoever put them there: a reader asks each for its name, and a check finds
//! what is wrong.

use std::collections::BTreeSet;

use heirloom_protocol::{
    album::asset::BlobRef,
    carry::{self, Manifest, Part},
    crypto::{Signed, SignedBytes},
    id::{BlobId, DeviceId},
    limits,
    sync::{blob::blob_bytes, have},
    wire,
};
use tokio_util::sync::CancellationToken;

use super::{Before, Carrier, CarryError, read::blobs_there};
use crate::{
    node::Node,
    runtime::{CarriedLog, RuntimeError, Scope},
};

/// Blobs that are asked for at once.
const PAGE: usize = 64;

/// What a manifest of this device says.
enum Said {
    /// There is none.
    Nothing,
    /// It is none of this device in this family.
    Damaged,
    /// This.
    All(Manifest),
}

/// What this device has put there, and the files by which that could not be told.
///
/// It `was_here` where a round came to its end before. What a manifest names and is not there is written again.
///
/// # Errors
///
/// [`CarryError::Unread`] and others where it cannot be told now; nothing may be written then.
pub(super) fn own(
    node: &Node,
    folder: &dyn Carrier,
    me: &DeviceId,
    was_here: bool,
    cancelled: &CancellationToken,
) -> Result<(Before, Vec<String>), CarryError> {
    let (mut before, mut wrong) = (Before::default(), Vec::new());
    match said(node, folder, me)? {
        Said::All(manifest) => {
            for part in &manifest.lists {
                if !add_list(folder, me, part, &mut before)? {
                    wrong.push(carry::list_of(me, part.number));
                }
            }
            if wrong.is_empty() {
                add_entries(folder, me, manifest, &mut before)?;
                return Ok((before, wrong));
            }
        }
        Said::Damaged => wrong.push(carry::manifest_of(me)),
        Said::Nothing if !was_here && !has_lists(folder, me)? => return Ok((before, wrong)),
        Said::Nothing => {}
    }
    tracing::warn!("a depot tells no more what this device put there: what lies there is named");
    forget_entries(&mut before);
    let is_any = add_what_lies_there(node, folder, &mut before, cancelled)?;
    if is_any && wrong.is_empty() {
        wrong.push(carry::manifest_of(me));
    }
    Ok((before, wrong))
}

/// All entries are written anew.
pub(super) fn forget_entries(before: &mut Before) {
    before.entries.clear();
    for (seqs, _) in before.logs.values_mut() {
        *seqs = 0..0;
    }
}

/// A file of this device; of what is no file it has no bytes.
fn file(folder: &dyn Carrier, name: &str, most: usize) -> Result<Option<Vec<u8>>, CarryError> {
    use std::io::ErrorKind::{ConnectionAborted, InvalidData};
    match folder.get(name, u64::try_from(most).unwrap_or(0)) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == InvalidData => Ok(Some(Vec::new())),
        // It is the store that does not answer, and no fault of the file.
        Err(error) if error.kind() == ConnectionAborted => Err(error.into()),
        Err(error) => Err(match CarryError::from(error) {
            CarryError::Place(error) => CarryError::Unread(error),
            other => other,
        }),
    }
}

fn said(node: &Node, folder: &dyn Carrier, me: &DeviceId) -> Result<Said, CarryError> {
    let most = limits::MANIFEST_BYTES + 128;
    let Some(bytes) = file(folder, &carry::manifest_of(me), most)? else {
        return Ok(Said::Nothing);
    };
    let family = node.ask_blocking(|runtime| runtime.replica().family())?;
    let raw = wire::decode::<SignedBytes>(&bytes, most).ok();
    let signed = raw.and_then(|raw| Signed::<Manifest>::verify(&family, raw).ok());
    let manifest = signed.map(|signed| signed.value().clone());
    let manifest = manifest.filter(|manifest| manifest.device == *me);
    Ok(manifest.map_or(Said::Damaged, Said::All))
}

/// Whether lists of this device lie there: it had come so far before.
fn has_lists(folder: &dyn Carrier, me: &DeviceId) -> Result<bool, CarryError> {
    let names = folder.list(&carry::folder_of(me))?;
    Ok(names.iter().any(|name| name.starts_with("list-")))
}

/// Adds what a list says; false where it is missing or damaged.
fn add_list(
    folder: &dyn Carrier,
    me: &DeviceId,
    part: &Part,
    before: &mut Before,
) -> Result<bool, CarryError> {
    let list = file(
        folder,
        &carry::list_of(me, part.number),
        limits::FRAME_BYTES,
    )?;
    let list = list.filter(|bytes| part.is(bytes));
    let Some(rows) = list.and_then(|bytes| carry::read_list(&bytes)) else {
        return Ok(false);
    };
    let mut is_whole = true;
    for row in rows {
        for log in row.logs {
            let Ok(bits) = have::decode(&log.blobs) else {
                is_whole = false;
                continue;
            };
            let (seqs, blobs) = before.logs.entry(log.log(row.space)).or_default();
            *seqs = log.first..log.end;
            *blobs |= bits;
        }
    }
    Ok(is_whole)
}

fn add_entries(
    folder: &dyn Carrier,
    me: &DeviceId,
    manifest: Manifest,
    before: &mut Before,
) -> Result<(), CarryError> {
    before.lists = manifest.lists;
    for part in &manifest.entries {
        let size = folder.size(&carry::entries_of(me, part.number))?;
        if size != Some(u64::from(part.bytes)) {
            forget_entries(before);
            return Ok(());
        }
    }
    before.entries = manifest.entries;
    Ok(())
}

/// Adds the blobs that entries here announce, that are not here, and all files of which lie there.
/// What is here is looked for when it is written.
fn add_what_lies_there(
    node: &Node,
    folder: &dyn Carrier,
    before: &mut Before,
    cancelled: &CancellationToken,
) -> Result<bool, CarryError> {
    let there = blobs_there(folder)?;
    let mut is_any = false;
    if there.is_empty() {
        return Ok(is_any);
    }
    let spaces = node.ask_blocking(|runtime| runtime.carried(Scope::default()))??;
    for carried in spaces.iter().flat_map(|space| &space.logs) {
        for ordinals in away(node, carried, before)?.chunks(PAGE) {
            if cancelled.is_cancelled() {
                return Err(RuntimeError::Stopped.into());
            }
            for blob in some_of(node, carried, ordinals, &there)? {
                if lies_there(folder, &blob)? {
                    let (_, blobs) = before.logs.entry(carried.log).or_default();
                    blobs.insert(blob.ordinal);
                    is_any = true;
                }
            }
        }
    }
    Ok(is_any)
}

/// The blobs of a log that are not here and of which nothing is known.
fn away(node: &Node, carried: &CarriedLog, before: &Before) -> Result<Vec<u32>, CarryError> {
    let log = carried.log;
    let mut away = node.ask_blocking(move |runtime| runtime.ordinals_of(&log))?;
    away -= &carried.blobs;
    away -= before.blobs(&log);
    Ok(away.iter().collect())
}

fn some_of(
    node: &Node,
    carried: &CarriedLog,
    ordinals: &[u32],
    there: &BTreeSet<BlobId>,
) -> Result<Vec<BlobRef>, CarryError> {
    let (log, asked) = (carried.log, ordinals.to_vec());
    let found = node.ask_blocking(move |runtime| {
        let blobs = asked.iter().map(|ordinal| runtime.blob_of(&log, *ordinal));
        blobs.collect::<Result<Vec<_>, _>>()
    })??;
    let found = found.into_iter().flatten();
    Ok(found.filter(|blob| there.contains(&blob.id)).collect())
}

fn lies_there(folder: &dyn Carrier, blob: &BlobRef) -> Result<bool, CarryError> {
    for (name, size) in carry::blob_files(&blob.id, blob_bytes(blob)) {
        if folder.size(&name)? != Some(size) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{
        carry::{Folder, write},
        node::{FamilyNames, Options},
    };

    /// A folder in which files of some name cannot be read now.
    struct Failing {
        folder: Folder,
        name: &'static str,
    }

    impl Carrier for Failing {
        fn place(&self) -> String {
            self.folder.place()
        }

        fn size(&self, name: &str) -> io::Result<Option<u64>> {
            self.folder.size(name)
        }

        fn get(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
            match name.contains(self.name) {
                true => Err(io::Error::other(format!("{name}: a bad sector"))),
                false => self.folder.get(name, most),
            }
        }

        fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
            self.folder.put(name, bytes)
        }

        fn settle(&self) -> io::Result<()> {
            self.folder.settle()
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            self.folder.remove(name)
        }

        fn list(&self, name: &str) -> io::Result<Vec<String>> {
            self.folder.list(name)
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_cannot_be_read_now_is_not_taken_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            worker: ("true".into(), Vec::new()),
        };
        let [family, person, device] = ["Berger", "Anna", "laptop"].map(str::to_owned);
        let names = FamilyNames {
            family,
            person,
            device,
        };
        let home = dir.path().join("home");
        let node = Node::found(&home, &options, names, None)
            .await
            .unwrap()
            .node;
        let looking = tokio::task::spawn_blocking(move || {
            let cancelled = CancellationToken::new();
            let me = node.ask_blocking(|runtime| runtime.device()).unwrap();
            let place = |name| Failing {
                folder: Folder::new(dir.path().join("disk"), "me".into()),
                name,
            };
            let look = |name| own(&node, &place(name), &me, true, &cancelled);
            assert!(look("none").unwrap().0.lists.is_empty());
            let (before, scope) = (Before::default(), Scope::default());
            write(
                &node,
                &place("none"),
                scope,
                &before,
                &cancelled,
                &mut |_| {},
            )
            .unwrap();
            for name in ["/manifest", "/list-"] {
                let error = look(name).err().unwrap();
                assert!(matches!(error, CarryError::Unread(_)), "{error}");
                assert!(error.to_string().contains(name), "{error}");
            }
            let (before, wrong) = look("none").unwrap();
            assert!(!before.lists.is_empty() && !before.entries.is_empty());
            assert!(wrong.is_empty());
        });
        looking.await.unwrap();
    }
}
