//! Originals back as plain files, byte for byte. Leaving is easy.
//!
//! Every file is decrypted segment by segment, each authenticated, and held
//! against the hash that its author signed before it gets its name. It can be
//! interrupted and repeated: what is there with the same bytes is left alone,
//! what has the same name and other bytes is never touched, and the newcomer is
//! called `a (2).jpg`. This folder is where Heirloom writes photos in
//! clear; beside it, an upload lies in clear until it is imported (`gallery/upload.rs`), and what is out of an
//! archive, in a file without a name (`import/archive`).

mod folder;
mod name;
mod sidecar;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
};

use heirloom_protocol::{
    album::asset::BlobRef,
    id::{AlbumId, OpId},
    op::AlbumUse,
};
use tokio_util::sync::CancellationToken;

use self::{folder::Folder, write::Writer};
pub(crate) use self::{name::safe as safe_name, sidecar::Sidecars};
use crate::{
    catalog::{self, Folded, Held, wall_text},
    runtime::View,
    store::{Store, StoreError},
};

/// Folders by what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// One for each album.
    Album,
    /// One for each month.
    Date,
}

/// What is exported and how.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Where to.
    pub(crate) dir: PathBuf,
    /// These albums; all when empty.
    pub(crate) albums: BTreeSet<AlbumId>,
    /// Folders.
    pub(crate) layout: Layout,
    /// What is written beside each asset.
    pub(crate) sidecars: Sidecars,
}

/// The names under which a file called `name` is written, alone and as the n-th; for the fuzz targets.
pub(crate) fn names(called: &str, n: u32) -> [String; 2] {
    let safe = name::safe(called);
    let numbered = name::numbered(&safe, n);
    [safe, numbered]
}

/// What became of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It is there now.
    Written,
    /// It was there.
    Present,
    /// Its original is not on this device.
    NotHere,
    /// What is stored of it is damaged.
    Damaged,
    /// What is stored of it may not be read by this account.
    Closed(String),
    /// The disk said no.
    Failed(String),
}

/// One file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Report {
    /// Where it lies, or would.
    pub(crate) path: PathBuf,
    /// What it belongs to.
    pub(crate) asset: OpId,
    /// What became of it.
    pub(crate) outcome: Outcome,
    /// Its length.
    pub(crate) bytes: u64,
}

/// How much there is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Size {
    /// Files.
    pub(crate) files: u64,
    /// Bytes.
    pub(crate) bytes: u64,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder cannot be written to.
    #[error("{path}: {source}", path = path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What an export needs to know and whom it tells.
pub(crate) struct Export<'a> {
    /// The blobs.
    pub(crate) store: &'a Store,
    /// Names.
    pub(crate) view: &'a View,
    /// Ends it early, between segments.
    pub(crate) cancelled: CancellationToken,
    /// Hears how much there is, once.
    pub(crate) sized: &'a mut dyn FnMut(Size),
    /// Hears of each file.
    pub(crate) tell: &'a mut dyn FnMut(Report),
    /// Gets the originals of some assets that are on other devices alone, as far as they come.
    pub(crate) bring: &'a mut dyn FnMut(&[&Folded]),
    /// Has blobs put aside that are damaged, as they are kept.
    pub(crate) put_aside: &'a mut dyn FnMut(&[BlobRef]),
}

/// Assets whose originals are got at once: few, so that a device with little room need not hold all.
const BROUGHT: usize = 32;

impl Export<'_> {
    /// Writes everything that a request names, trash left out.
    ///
    /// # Errors
    ///
    /// When the disk is full, the folder cannot be made, or the index is damaged.
    pub(crate) fn run(&mut self, request: &Request) -> Result<(), ExportError> {
        let assets: Vec<Folded> = catalog::read(self.store, self.view)?.iter().collect();
        let folders = match request.layout {
            Layout::Album => self.by_album(&assets, &request.albums),
            Layout::Date => by_date(&assets, &request.albums),
        };
        let mut size = Size::default();
        for folded in folders.values().flatten() {
            size.add(folded);
        }
        (self.sized)(size);
        let root = open(&request.dir, Folder::root)?;
        let held = Held::of(self.store);
        for (path, assets) in &folders {
            let mut folder = None;
            for part in path.split('/') {
                let above = folder.as_ref().unwrap_or(&root);
                folder = Some(open(&above.path(part), |_| above.sub(part))?);
            }
            let Some(folder) = folder else { continue };
            self.fill(&folder, assets, &held, request.sidecars)?;
            if self.cancelled.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    /// Writes some assets into one folder.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub(crate) fn get(&mut self, assets: &[Folded], dir: PathBuf) -> Result<(), ExportError> {
        let mut size = Size::default();
        assets.iter().for_each(|folded| size.add(folded));
        (self.sized)(size);
        let folder = open(&dir, Folder::root)?;
        let held = Held::of(self.store);
        let assets: Vec<_> = assets.iter().collect();
        self.fill(&folder, &assets, &held, Sidecars::default())
    }

    fn fill(
        &mut self,
        folder: &Folder,
        assets: &[&Folded],
        held: &Held<'_>,
        sidecars: Sidecars,
    ) -> Result<(), ExportError> {
        let mut writer = Writer::new(folder, self.store, held, &self.cancelled);
        for (at, folded) in assets.iter().enumerate() {
            if self.cancelled.is_cancelled() {
                break;
            }
            if at % BROUGHT == 0 {
                let next = assets.get(at..).unwrap_or_default();
                (self.bring)(next.get(..BROUGHT).unwrap_or(next));
                held.look_again();
            }
            let mut mend = |damaged: &[BlobRef]| {
                (self.put_aside)(damaged);
                (self.bring)(&[folded]);
                held.look_again();
            };
            let main = writer.asset(folded, &mut mend, self.tell)?;
            let Some(main) = main.filter(|_| sidecars != Sidecars::default()) else {
                continue;
            };
            if let Some(listed) = folded.listed_with(held, self.view)? {
                writer.sidecars(&main, folded, &listed, sidecars, self.tell)?;
            }
        }
        open(&folder.path("."), |_| folder.sync())
    }

    /// The assets of each album's folder.
    fn by_album<'b>(
        &self,
        assets: &'b [Folded],
        albums: &BTreeSet<AlbumId>,
    ) -> BTreeMap<String, Vec<&'b Folded>> {
        let mut named: Vec<_> = self.view.albums.values().collect();
        // An own library before another's, so that it is the one called Library.
        named.sort_by_key(|album| {
            let is_library = album.row.purpose() == AlbumUse::Library;
            (!is_library, album.name(self.view), album.id)
        });
        let mut folders = BTreeMap::new();
        let mut taken = BTreeSet::new();
        for album in named {
            let name = name::safe(&album.name(self.view));
            let name = (1..)
                .map(|n| name::numbered(&name, n))
                .find(|name| taken.insert(name::key(name)))
                .unwrap_or(name);
            if !albums.is_empty() && !albums.contains(&album.id) {
                continue;
            }
            let inside: Vec<_> = sorted(assets, |folded| is_in(folded, |id| *id == album.id));
            if !inside.is_empty() {
                folders.insert(name, inside);
            }
        }
        folders
    }
}

impl Size {
    fn add(&mut self, folded: &Folded) {
        for part in write::parts(folded) {
            self.files += 1;
            self.bytes = self.bytes.saturating_add(part.part.len);
        }
    }
}

fn open<T>(
    path: &std::path::Path,
    open: impl FnOnce(&std::path::Path) -> io::Result<T>,
) -> Result<T, ExportError> {
    open(path).map_err(|source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull.into(),
        _ => ExportError::Folder {
            path: path.to_owned(),
            source,
        },
    })
}

/// Whether an asset stands outside of the trash in an album that fits.
fn is_in(folded: &Folded, fits: impl Fn(&AlbumId) -> bool) -> bool {
    let mut items = folded.items.iter();
    items.any(|item| item.asset.trashed().is_none() && fits(&item.key.album))
}

/// Assets in an order that stays when others come: names are given in it.
fn sorted(assets: &[Folded], fits: impl Fn(&Folded) -> bool) -> Vec<&Folded> {
    let mut fitting: Vec<_> = assets.iter().filter(|folded| fits(folded)).collect();
    fitting.sort_by_cached_key(|folded| {
        let wall = folded.captured().wall;
        (wall.is_none(), wall, folded.first().content())
    });
    fitting
}

/// The assets of each month's folder.
fn by_date<'a>(
    assets: &'a [Folded],
    albums: &BTreeSet<AlbumId>,
) -> BTreeMap<String, Vec<&'a Folded>> {
    let mut folders: BTreeMap<String, Vec<&Folded>> = BTreeMap::new();
    let wanted = |folded: &Folded| is_in(folded, |id| albums.is_empty() || albums.contains(id));
    for folded in sorted(assets, wanted) {
        let folder = match folded.captured().wall.map(wall_text) {
            // 2023-05-14T..
            Some(text) => match text.get(..7).filter(|month| month.is_ascii()) {
                Some(month) => format!("{}/{month}", &month[..4]),
                None => "undated".into(),
            },
            None => "undated".into(),
        };
        folders.entry(folder).or_default().push(folded);
    }
    folders
}
