//! A disk that loses its power, as a model.
//!
//! What was written since the last sync of a file may be there or not, write by
//! write, torn at 512 bytes; names in a folder come back up to some point since
//! its last sync. A tape of changes and a seed give one such disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::super::fs::Change;

enum Event {
    Create(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    SetLen(PathBuf, u64),
    Sync(PathBuf),
    Folder(PathBuf),
    SyncFolder(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// The changes of one run, in order, by paths relative to the home.
#[derive(Default)]
pub(super) struct Tape {
    start: Disk,
    events: Vec<Event>,
    marks: Vec<(usize, u32)>,
}

impl Tape {
    /// A tape that begins with what lies in a home, all of it durable.
    pub(super) fn of(home: &Path) -> Self {
        let mut start = Disk::default();
        for item in walkdir::WalkDir::new(home) {
            let item = item.unwrap();
            let path = item.path().strip_prefix(home).unwrap().to_owned();
            if item.file_type().is_dir() {
                start.folders.insert(path);
            } else {
                let file = start.files.len();
                start.files.push(File {
                    durable: fs::read(item.path()).unwrap(),
                    pending: Vec::new(),
                });
                start.names.insert(path.clone(), file);
                start.durable.insert(path, file);
            }
        }
        Self {
            start,
            ..Self::default()
        }
    }

    pub(super) fn record(&mut self, home: &Path, change: &Change<'_>) {
        let path = |path: &Path| path.strip_prefix(home).ok().map(Path::to_owned);
        let event = match change {
            Change::Create(at) => path(at).map(Event::Create),
            Change::Write(at, offset, bytes) => {
                path(at).map(|at| Event::Write(at, *offset, bytes.to_vec()))
            }
            Change::SetLen(at, len) => path(at).map(|at| Event::SetLen(at, *len)),
            Change::Sync(at) => path(at).map(Event::Sync),
            Change::CreateFolder(at) => path(at).map(Event::Folder),
            Change::SyncFolder(at) => path(at).map(Event::SyncFolder),
            Change::Rename(from, to) => path(from).zip(path(to)).map(|(a, b)| Event::Rename(a, b)),
            Change::Remove(at) => path(at).map(Event::Remove),
        };
        self.events.extend(event);
    }

    /// Notes that so many steps are acknowledged from here on.
    pub(super) fn mark(&mut self, steps: u32) {
        self.marks.push((self.events.len(), steps));
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The change from which on there is a store.
    pub(super) fn made(&self) -> usize {
        self.marks[0].0
    }

    /// The steps that were acknowledged before a change.
    pub(super) fn acknowledged(&self, at: usize) -> u32 {
        let before = self.marks.iter().take_while(|(mark, _)| *mark <= at);
        before.last().map_or(0, |(_, steps)| *steps)
    }

    /// Lays a disk that lost its power before a change into a folder.
    pub(super) fn image(&self, at: usize, seed: u64, home: &Path) {
        let mut disk = self.start.clone();
        for event in &self.events[..at] {
            disk.apply(event);
        }
        disk.crash(&mut Coin(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
        disk.lay(home);
    }
}

#[derive(Clone, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone)]
enum Pending {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

impl Pending {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => content.resize(usize::try_from(*len).unwrap(), 0),
            Self::Write(offset, bytes) => {
                let start = usize::try_from(*offset).unwrap();
                let end = start + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[start..end].copy_from_slice(bytes);
            }
        }
    }
}

#[derive(Clone)]
enum Naming {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Folder(PathBuf),
}

#[derive(Clone, Default)]
struct Disk {
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    namings: BTreeMap<PathBuf, Vec<Naming>>,
}

impl Disk {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::Create(path) => {
                let file = self.files.len();
                self.files.push(File::default());
                self.names.insert(path.clone(), file);
                self.name(path, Naming::Link(path.clone(), file));
            }
            Event::Write(path, offset, bytes) => {
                self.pend(path, Pending::Write(*offset, bytes.clone()));
            }
            Event::SetLen(path, len) => self.pend(path, Pending::SetLen(*len)),
            Event::Sync(path) => {
                if let Some(file) = self.names.get(path) {
                    let file = &mut self.files[*file];
                    for pending in file.pending.drain(..) {
                        pending.apply(&mut file.durable);
                    }
                }
            }
            Event::Folder(path) => self.name(path, Naming::Folder(path.clone())),
            Event::SyncFolder(path) => {
                for naming in self.namings.remove(path).unwrap_or_default() {
                    self.settle(naming);
                }
            }
            Event::Rename(from, to) => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                    self.name(to, Naming::Link(to.clone(), file));
                    self.name(from, Naming::Unlink(from.clone()));
                }
            }
            Event::Remove(path) => {
                if self.names.remove(path).is_some() {
                    self.name(path, Naming::Unlink(path.clone()));
                }
            }
        }
    }

    fn pend(&mut self, path: &Path, pending: Pending) {
        let file = self.names[path];
        self.files[file].pending.push(pending);
    }

    fn name(&mut self, path: &Path, naming: Naming) {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        self.namings.entry(folder).or_default().push(naming);
    }

    fn settle(&mut self, naming: Naming) {
        match naming {
            Naming::Link(path, file) => drop(self.durable.insert(path, file)),
            Naming::Unlink(path) => drop(self.durable.remove(&path)),
            Naming::Folder(path) => drop(self.folders.insert(path)),
        }
    }

    fn crash(&mut self, coin: &mut Coin) {
        for (_, namings) in std::mem::take(&mut self.namings) {
            let kept = coin.below(namings.len() + 1);
            for naming in namings.into_iter().take(kept) {
                self.settle(naming);
            }
        }
        let mood = coin.below(4);
        for file in &mut self.files {
            for pending in file.pending.drain(..) {
                let fate = match mood {
                    0 => 0,
                    1 => 1,
                    _ => coin.below(3),
                };
                match (fate, pending) {
                    (0, _) => {}
                    (2, Pending::Write(offset, bytes)) => {
                        // Whole sectors of it, from the front or from the back.
                        let sector = coin.below(bytes.len() / 512 + 1) * 512;
                        let torn = if coin.below(2) == 0 {
                            Pending::Write(offset, bytes[..sector].to_vec())
                        } else {
                            let at = offset + u64::try_from(sector).unwrap();
                            Pending::Write(at, bytes[sector..].to_vec())
                        };
                        torn.apply(&mut file.durable);
                    }
                    (_, pending) => pending.apply(&mut file.durable),
                }
            }
        }
    }

    fn lay(&self, home: &Path) {
        for folder in &self.folders {
            let reachable = folder
                .ancestors()
                .all(|above| above.as_os_str().is_empty() || self.folders.contains(above));
            let path = home.join(folder);
            if reachable && !path.exists() {
                fs::DirBuilder::new().mode(0o700).create(path).unwrap();
            }
        }
        for (path, file) in &self.durable {
            let path = home.join(path);
            if path.parent().is_some_and(Path::exists) {
                let mut options = fs::File::options();
                let options = options.write(true).create(true).mode(0o600);
                let opened = options.open(path).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&opened, &self.files[*file].durable, 0)
                    .unwrap();
            }
        }
    }
}

struct Coin(u64);

impl Coin {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 20).unwrap() % bound
    }
}
