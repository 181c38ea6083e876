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
                start.files.push(fs::read(item.path()).unwrap());
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

    /// The disk as a loss of power before a change finds it.
    pub(super) fn disk(&self, at: usize) -> Disk {
        let mut disk = self.start.clone();
        for event in &self.events[..at] {
            disk.apply(event);
        }
        disk
    }
}

/// What becomes of the changes that were not synced, by their rank in order of time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Nothing,
    Everything,
    /// All but this one.
    Without(usize),
    /// The first so many.
    Prefix(usize),
    /// All, but this write only as far as whole sectors of it.
    Torn(usize),
    /// Each by chance, torn or not.
    Random(u64),
}

impl Fate {
    /// Every fate of so many changes that is not left to chance.
    pub(super) fn all(changes: usize) -> impl Iterator<Item = Self> {
        let each = (0..changes).flat_map(|rank| [Self::Without(rank), Self::Torn(rank)]);
        let prefixes = (1..changes).map(Self::Prefix);
        [Self::Nothing, Self::Everything]
            .into_iter()
            .chain(each)
            .chain(prefixes)
    }

    /// A number that tells it from the others of its place.
    fn seed(self) -> u64 {
        let (kind, number) = match self {
            Self::Nothing => (0, 0),
            Self::Everything => (1, 0),
            Self::Without(rank) => (2, rank),
            Self::Prefix(count) => (3, count),
            Self::Torn(rank) => (4, rank),
            Self::Random(seed) => return seed,
        };
        kind + 8 * u64::try_from(number).unwrap()
    }
}

/// What is left of a change.
enum Left {
    None,
    Torn,
    Whole,
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

/// A change that no sync has made durable.
#[derive(Clone)]
enum Loose {
    Content(usize, Pending),
    /// In this folder.
    Name(PathBuf, Naming),
}

#[derive(Clone, Default)]
pub(super) struct Disk {
    /// The durable content of each file.
    files: Vec<Vec<u8>>,
    names: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    loose: Vec<Loose>,
}

impl Disk {
    /// How many changes are not durable.
    pub(super) fn loose(&self) -> usize {
        self.loose.len()
    }

    /// Loses the power, and lays what is left of the disk into a folder.
    pub(super) fn crash(&self, fate: Fate, home: &Path) {
        let mut disk = self.clone();
        disk.lose(fate);
        disk.lay(home);
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Create(path) => {
                let file = self.files.len();
                self.files.push(Vec::new());
                self.names.insert(path.clone(), file);
                self.name(path, Naming::Link(path.clone(), file));
            }
            Event::Write(path, offset, bytes) => {
                self.pend(path, Pending::Write(*offset, bytes.clone()));
            }
            Event::SetLen(path, len) => self.pend(path, Pending::SetLen(*len)),
            Event::Sync(path) => {
                if let Some(file) = self.names.get(path).copied() {
                    self.settle(|loose| matches!(loose, Loose::Content(of, _) if *of == file));
                }
            }
            Event::Folder(path) => self.name(path, Naming::Folder(path.clone())),
            Event::SyncFolder(path) => {
                self.settle(|loose| matches!(loose, Loose::Name(folder, _) if folder == path));
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
        self.loose.push(Loose::Content(self.names[path], pending));
    }

    fn name(&mut self, path: &Path, naming: Naming) {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        self.loose.push(Loose::Name(folder, naming));
    }

    /// Makes some of the changes durable, in order.
    fn settle(&mut self, which: impl Fn(&Loose) -> bool) {
        let all = std::mem::take(&mut self.loose).into_iter();
        let (durable, loose): (Vec<_>, _) = all.partition(which);
        self.loose = loose;
        for change in durable {
            self.keep(change);
        }
    }

    fn keep(&mut self, change: Loose) {
        match change {
            Loose::Content(file, pending) => pending.apply(&mut self.files[file]),
            Loose::Name(_, Naming::Link(path, file)) => drop(self.durable.insert(path, file)),
            Loose::Name(_, Naming::Unlink(path)) => drop(self.durable.remove(&path)),
            Loose::Name(_, Naming::Folder(path)) => drop(self.folders.insert(path)),
        }
    }

    fn lose(&mut self, fate: Fate) {
        let mut coin = Coin(fate.seed().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mood = coin.below(4);
        // Names in a folder come back up to some point.
        let mut ended = BTreeSet::new();
        for (rank, change) in std::mem::take(&mut self.loose).into_iter().enumerate() {
            let left = match fate {
                Fate::Nothing => Left::None,
                Fate::Everything => Left::Whole,
                Fate::Without(lost) if rank == lost => Left::None,
                Fate::Prefix(kept) if rank >= kept => Left::None,
                Fate::Torn(torn) if rank == torn => Left::Torn,
                Fate::Without(_) | Fate::Prefix(_) | Fate::Torn(_) => Left::Whole,
                Fate::Random(_) => match (mood, coin.below(3)) {
                    (0, _) | (2.., 0) => Left::None,
                    (2.., 1) => Left::Torn,
                    _ => Left::Whole,
                },
            };
            match (left, change) {
                (Left::None, Loose::Name(folder, _)) => drop(ended.insert(folder)),
                (_, Loose::Name(folder, _)) if ended.contains(&folder) => {}
                (Left::None, _) => {}
                (Left::Torn, Loose::Content(file, Pending::Write(offset, bytes))) => {
                    let torn = torn(offset, &bytes, &mut coin);
                    torn.apply(&mut self.files[file]);
                }
                (_, change) => self.keep(change),
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
                std::os::unix::fs::FileExt::write_all_at(&opened, &self.files[*file], 0).unwrap();
            }
        }
    }
}

/// Whole sectors of a write, from the front or from the back.
fn torn(offset: u64, bytes: &[u8], coin: &mut Coin) -> Pending {
    let sector = coin.below(bytes.len() / 512 + 1) * 512;
    if coin.below(2) == 0 {
        return Pending::Write(offset, bytes[..sector].to_vec());
    }
    let at = offset + u64::try_from(sector).unwrap();
    Pending::Write(at, bytes[sector..].to_vec())
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
