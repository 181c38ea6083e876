//! Folders that are followed: what comes into them is imported while the node runs.
//!
//! Nothing that happens in a folder takes anything away here: a file that is
//! deleted or changed there stays as it was imported, and a changed one is
//! imported beside it. Which folders there are, and what of them was imported
//! already, stands in rows of this device alone.

mod follow;
mod left;
mod look;
mod there;

use std::{
    collections::HashMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use heirloom_protocol::id::{AlbumId, SpaceId};
use serde::{Deserialize, Serialize};

pub(crate) use self::{follow::run, left::LeftOut, there::There};
use crate::store::{Batch, Store, StoreError, Table};

/// Most folders that are followed.
pub(crate) const FOLDERS_MAX: usize = 64;
const FOLDERS: &[u8] = b"watched folders";
const FILES: &[u8] = b"watched files ";
/// Rows that go in one commit.
const ROWS: usize = 1000;

/// A folder that is followed, with everything below it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Watched {
    /// Absolute, without links.
    pub(crate) dir: PathBuf,
    /// Where what comes goes.
    album: [u8; 16],
}

impl Watched {
    pub(crate) fn new(dir: PathBuf, album: AlbumId) -> Self {
        Self {
            dir,
            album: album.0,
        }
    }

    pub(crate) fn album(&self) -> AlbumId {
        SpaceId(self.album)
    }

    /// The key of what is known of a file, or with `None` where those of the folder begin.
    fn key(&self, file: Option<&Short>) -> Vec<u8> {
        let folder = short(self.dir.as_os_str().as_encoded_bytes());
        let file = file.map_or(&[][..], |file| &file[..]);
        [FILES, &folder[..], file].concat()
    }
}

/// The beginning of a hash: enough to tell files of one computer and their states apart.
type Short = [u8; 16];

fn short(bytes: &[u8]) -> Short {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    short
}

fn name_of(path: &Path) -> Short {
    short(path.as_os_str().as_encoded_bytes())
}

/// The folders, by their paths.
pub(crate) fn folders(store: &Store) -> Result<Vec<Watched>, StoreError> {
    let row = store.get(Table::Kv, FOLDERS)?;
    // A row that a later version wrote otherwise is none that this one can follow.
    Ok(row
        .and_then(|row| serde_json::from_slice(&row).ok())
        .unwrap_or_default())
}

/// Follows these and no others from now on. Durable when it returns.
pub(crate) fn set_folders(store: &Store, folders: &[Watched]) -> Result<(), StoreError> {
    let row = serde_json::to_vec(folders).map_err(|error| StoreError::Io(error.into()))?;
    store.commit(&Batch {
        puts: vec![(Table::Kv, FOLDERS.to_vec(), row)],
        ..Batch::default()
    })
}

/// Forgets what was imported of a folder.
pub(crate) fn forget(store: &Store, folder: &Watched) -> Result<(), StoreError> {
    let gone: Vec<Short> = known(store, folder)?.into_keys().collect();
    note(store, folder, Vec::new(), &gone)
}

/// The state in which each file of a folder was imported, by the file's name.
fn known(store: &Store, folder: &Watched) -> Result<HashMap<Short, Short>, StoreError> {
    let prefix = folder.key(None);
    let mut known = HashMap::new();
    store.scan(Table::Kv, &prefix, |key, row| {
        let file = key.strip_prefix(&prefix[..]).map(Short::try_from);
        // A damaged row costs another look at its file.
        if let (Some(Ok(file)), Some(Ok(state))) = (file, row.ok().map(Short::try_from)) {
            known.insert(file, state);
        }
        ControlFlow::Continue(())
    })?;
    Ok(known)
}

/// Remembers states of files, and forgets files that are gone.
fn note(
    store: &Store,
    folder: &Watched,
    states: Vec<(Short, Short)>,
    gone: &[Short],
) -> Result<(), StoreError> {
    let puts = states
        .into_iter()
        .map(|(file, state)| (Table::Kv, folder.key(Some(&file)), state.to_vec()));
    let puts: Vec<_> = puts.collect();
    for puts in puts.chunks(ROWS) {
        store.commit(&Batch {
            puts: puts.to_vec(),
            ..Batch::default()
        })?;
    }
    for gone in gone.chunks(ROWS) {
        let keys = gone.iter().map(|file| (Table::Kv, folder.key(Some(file))));
        store.commit(&Batch {
            deletes: keys.collect(),
            ..Batch::default()
        })?;
    }
    Ok(())
}
