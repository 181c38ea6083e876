//! Damaged blobs, put aside: kept until the same blob has come whole, never thrown away before.
//!
//! A large one is moved, of a packed one the bytes are copied. Where no device
//! has a good copy, most of a photo can still be in there.

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
    /// Puts the bytes of a damaged blob aside, durably. Nothing happens where none lie. A packed
    /// one stays in its pack as well; its place is to be given up by the caller.
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
                let bytes = self.0.packs.raw(*pack, *offset, *len)?;
                self.0.copy_aside(cid, &bytes)?;
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
        lock(&self.0.quarantined).remove(cid);
        Ok(())
    }
}
