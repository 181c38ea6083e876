//! Damaged blobs, put aside: kept until the same blob has come whole, never thrown away before.
//!
//! A large one is moved, of a packed one the bytes are copied, and once its place
//! is given up its record counts no more: the survey that makes an index again
//! would find it. Where no device has a good copy, most of a photo can still be
//! in there.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use heirloom_protocol::id::BlobId;

use super::blobs::{BlobPlace, BlobStore, Blobs, lock};
use super::error::StoreError;
use super::fs::{self, Disk};

fn folder(root: &Path) -> PathBuf {
    root.join("quarantine")
}

/// The blobs of which something was put aside.
pub(super) fn list(root: &Path) -> io::Result<BTreeSet<BlobId>> {
    let names = fs::list(&folder(root))?;
    let blob = |name: &String| BlobId::from_hex(name.split('.').next()?);
    Ok(names.iter().filter_map(blob).collect())
}

impl Blobs {
    /// Moves a large blob that is not what its name says out of the way.
    pub(super) fn put_aside(&self, cid: &BlobId, path: &Path) -> io::Result<()> {
        let to = self.free_name(cid)?;
        fs::rename(path, &to)?;
        fs::sync_folder_of(&to)?;
        fs::sync_folder_of(path)?;
        lock(&self.quarantined).insert(*cid);
        Ok(())
    }

    fn copy_aside(&self, cid: &BlobId, bytes: &[u8]) -> io::Result<()> {
        let to = self.free_name(cid)?;
        let disk = Disk::create(&to)?;
        disk.write_at(0, bytes)?;
        disk.sync()?;
        fs::sync_folder_of(&to)?;
        lock(&self.quarantined).insert(*cid);
        Ok(())
    }

    /// Makes the records of packed blobs that were put aside, and whose places are given up by now,
    /// count no more. One that cannot be marked is only found, and put aside, once more.
    pub(super) fn give_up(&self, places: &BTreeSet<BlobPlace>) {
        let given_up = lock(&self.given_up).clone();
        for (cid, place) in given_up {
            let BlobPlace::Pack { pack, offset, len } = place else {
                continue;
            };
            if places.contains(&place)
                && let Err(error) = self.packs.retire(&cid, pack, offset, len)
            {
                tracing::warn!(%error, "a damaged record could not be marked");
            }
        }
    }

    fn free_name(&self, cid: &BlobId) -> io::Result<PathBuf> {
        let folder = folder(&self.root);
        fs::create_folder(&folder)?;
        let mut number = 1_u32;
        loop {
            let path = folder.join(format!("{cid}.{number}"));
            if !path.exists() {
                return Ok(path);
            }
            number += 1;
        }
    }
}

impl BlobStore {
    /// Puts the bytes of a damaged blob aside, durably. Nothing happens where none lie, or where
    /// they were put aside by another name of the same place. A packed one stays in its pack as well,
    /// where it is no longer found once the caller has given its place up.
    ///
    /// # Errors
    ///
    /// [`StoreError::DiskFull`], and whatever the disk says; the bytes are then where they were.
    pub fn quarantine(&self, cid: &BlobId, place: &BlobPlace) -> Result<(), StoreError> {
        match place {
            BlobPlace::File { .. } => {
                let path = self.0.path(cid);
                if path.exists() {
                    self.0.put_aside(cid, &path)?;
                }
            }
            BlobPlace::Pack { pack, offset, len } => {
                if lock(&self.0.given_up).contains(&(*cid, *place)) {
                    return Ok(());
                }
                let bytes = self.0.packs.raw(*pack, *offset, *len)?;
                if bytes.is_empty() {
                    return Ok(());
                }
                self.0.copy_aside(cid, &bytes)?;
                lock(&self.0.given_up).insert((*cid, *place));
            }
        }
        Ok(())
    }

    /// The damaged blobs that have not come again.
    pub fn quarantined(&self) -> BTreeSet<BlobId> {
        lock(&self.0.quarantined).clone()
    }

    /// Throws away what was put aside of a blob that is here again, whole and durable.
    ///
    /// # Errors
    ///
    /// Whatever the disk says; it can be repeated.
    pub fn release(&self, cid: &BlobId) -> Result<(), StoreError> {
        if !lock(&self.0.quarantined).contains(cid) {
            return Ok(());
        }
        let folder = folder(&self.0.root);
        let of_it = format!("{cid}.");
        for name in fs::list(&folder)? {
            if name.starts_with(&of_it) {
                fs::remove(&folder.join(name))?;
            }
        }
        lock(&self.0.given_up).retain(|(of, _)| of != cid);
        lock(&self.0.quarantined).remove(cid);
        Ok(())
    }
}
