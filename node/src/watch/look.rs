//! One look at a folder: which files are new, and whether they are complete.
//!
//! A file counts as complete once its length and times stayed the same for a
//! while: a camera, a phone or a browser that writes it may take its time.

use std::{
    collections::{HashMap, HashSet},
    fs::Metadata,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use walkdir::{DirEntry, WalkDir};

use super::{Short, name_of, short};
use crate::{
    media::sniff::{MediaKind, MediaType, is_junk_folder},
    sys,
};

/// How long a file has to stay as it is.
pub(super) const SETTLE: Duration = Duration::from_secs(2);
/// When a file that could not be read is tried again.
const RETRY: Duration = Duration::from_secs(3600);
/// Endings of files that another program is still fetching, however long it pauses.
const UNFINISHED: [&str; 6] = [
    ".part",
    ".partial",
    ".crdownload",
    ".download",
    ".tmp",
    ".!ut",
];

/// A file that is complete and was not imported in this state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fresh {
    pub(super) path: PathBuf,
    pub(super) name: Short,
    pub(super) state: Short,
}

/// What is known of a folder while it is followed.
#[derive(Default)]
pub(super) struct Sight {
    /// The state in which each file was dealt with.
    known: HashMap<Short, Short>,
    /// Files that may still grow: their state, and since when they have it.
    growing: HashMap<Short, (Short, Instant)>,
    /// Files that could not be read: their state, and when that was.
    put_off: HashMap<Short, (Short, Instant)>,
}

/// What a look found.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// Stills of a folder before its movies, as an import takes them.
    pub(super) fresh: Vec<Fresh>,
    /// Some are not complete: look again soon.
    pub(super) is_growing: bool,
    /// Files that were dealt with and are no more.
    pub(super) gone: Vec<Short>,
}

impl Sight {
    /// Of a folder of which these files were dealt with, each in its state.
    pub(super) fn new(known: HashMap<Short, Short>) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }

    /// Looks at everything below `dir`, leaving out `home`. Blocks.
    ///
    /// A folder that cannot be read, as on a disk that is not plugged in, shows nothing and loses nothing.
    pub(super) fn look(&mut self, dir: &Path, home: &Path, now: Instant) -> Found {
        let mut found = Found::default();
        let mut seen = HashSet::new();
        let mut is_whole = true;
        let mut growing = HashMap::new();
        for entry in walk(dir, home) {
            let Ok(entry) = entry else {
                is_whole = false;
                continue;
            };
            if !entry.file_type().is_file() || is_unfinished(&entry) {
                continue;
            }
            let Ok(metadata) = entry.metadata() else {
                is_whole = false;
                continue;
            };
            let name = name_of(entry.path());
            seen.insert(name);
            let state = state(&metadata);
            if self.known.get(&name) == Some(&state) || self.is_put_off(&name, &state, now) {
                continue;
            }
            let since = match self.growing.get(&name) {
                Some((before, since)) if *before == state => *since,
                _ => now,
            };
            if now.duration_since(since) >= SETTLE {
                let path = entry.into_path();
                found.fresh.push(Fresh { path, name, state });
            } else {
                found.is_growing = true;
            }
            growing.insert(name, (state, since));
        }
        self.growing = growing;
        if is_whole {
            let gone = self.known.keys().filter(|name| !seen.contains(*name));
            found.gone = gone.copied().collect();
            self.known.retain(|name, _| seen.contains(name));
            self.put_off.retain(|name, _| seen.contains(name));
        }
        found
    }

    fn is_put_off(&self, name: &Short, state: &Short, now: Instant) -> bool {
        let tried = self.put_off.get(name);
        tried.is_some_and(|(tried, at)| tried == state && now.duration_since(*at) < RETRY)
    }

    /// A file was dealt with in this state.
    pub(super) fn done(&mut self, fresh: &Fresh) {
        self.growing.remove(&fresh.name);
        self.put_off.remove(&fresh.name);
        self.known.insert(fresh.name, fresh.state);
    }

    /// Whether a file was dealt with in this state, or put off.
    pub(super) fn has_tried(&self, fresh: &Fresh) -> bool {
        let is_known = self.known.get(&fresh.name) == Some(&fresh.state);
        let put_off = self.put_off.get(&fresh.name);
        is_known || put_off.is_some_and(|(state, _)| *state == fresh.state)
    }

    /// A file could not be read in this state: it is left for a while, or until it is another.
    pub(super) fn put_off(&mut self, fresh: &Fresh, now: Instant) {
        self.growing.remove(&fresh.name);
        self.put_off.insert(fresh.name, (fresh.state, now));
    }
}

fn walk(dir: &Path, home: &Path) -> impl Iterator<Item = walkdir::Result<DirEntry>> {
    let is_movie = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        MediaType::of_extension(&name).is_some_and(|media| media.kind() == MediaKind::Video)
    };
    let walker = WalkDir::new(dir)
        .follow_links(false)
        .sort_by(move |a, b| (is_movie(a), a.file_name()).cmp(&(is_movie(b), b.file_name())));
    let home = home.to_owned();
    walker.into_iter().filter_entry(move |entry| {
        let is_left_out = entry.file_type().is_dir()
            && entry.depth() > 0
            && (is_junk_folder(&entry.file_name().to_string_lossy()) || entry.path() == home);
        !is_left_out
    })
}

fn is_unfinished(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
    name.starts_with('.') || UNFINISHED.iter().any(|ending| name.ends_with(ending))
}

fn state(metadata: &Metadata) -> Short {
    short(&sys::file_stamp(metadata))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(found: &Found) -> Vec<String> {
        let name = |fresh: &Fresh| fresh.path.file_name().unwrap().to_str().unwrap().to_owned();
        found.fresh.iter().map(name).collect()
    }

    #[test]
    fn a_file_is_taken_once_it_stays_as_it_is_and_then_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let (mut sight, start) = (Sight::default(), Instant::now());
        let at = |sight: &mut Sight, ms: u64| {
            sight.look(dir.path(), &home, start + Duration::from_millis(ms))
        };
        fs::write(dir.path().join("a.jpg"), "half").unwrap();
        let first = at(&mut sight, 0);
        assert!(first.is_growing && first.fresh.is_empty());
        // It grows just before it would have counted.
        fs::write(dir.path().join("a.jpg"), "half and more").unwrap();
        assert!(at(&mut sight, 2000).is_growing);
        assert!(at(&mut sight, 3999).is_growing);
        let done = at(&mut sight, 4000);
        assert_eq!(
            (names(&done), done.is_growing),
            (vec!["a.jpg".to_owned()], false)
        );
        // Until it was dealt with it comes again.
        let again = at(&mut sight, 4500);
        assert_eq!(again.fresh, done.fresh);
        sight.done(&again.fresh[0]);
        assert_eq!(at(&mut sight, 9000), Found::default());
        // A file that changes is another one to import; one that is deleted is forgotten and nothing else.
        fs::write(dir.path().join("a.jpg"), "edited, and longer").unwrap();
        assert!(at(&mut sight, 10_000).is_growing);
        let edited = at(&mut sight, 12_000);
        sight.done(&edited.fresh[0]);
        fs::remove_file(dir.path().join("a.jpg")).unwrap();
        let gone = at(&mut sight, 13_000);
        assert_eq!(
            (gone.fresh.len(), gone.gone),
            (0, vec![edited.fresh[0].name])
        );
    }

    #[test]
    fn what_could_not_be_read_is_tried_again_later_or_once_it_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let (mut sight, start) = (Sight::default(), Instant::now());
        let at = |sight: &mut Sight, seconds: u64| {
            sight.look(dir.path(), &home, start + Duration::from_secs(seconds))
        };
        fs::write(dir.path().join("a.jpg"), "").unwrap();
        at(&mut sight, 0);
        let fresh = at(&mut sight, 2).fresh;
        sight.put_off(&fresh[0], start + Duration::from_secs(2));
        assert_eq!(at(&mut sight, 3600), Found::default());
        assert!(at(&mut sight, 3602).is_growing);
        assert_eq!(at(&mut sight, 3604).fresh, fresh);
        sight.put_off(&fresh[0], start + Duration::from_secs(3604));
        fs::write(dir.path().join("a.jpg"), "all of it").unwrap();
        at(&mut sight, 3605);
        assert_eq!(at(&mut sight, 3607).fresh.len(), 1);
    }

    #[test]
    fn what_is_not_finished_or_not_for_people_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("heirloom");
        for folder in ["heirloom", "@eaDir", "b"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
            fs::write(dir.path().join(folder).join("in.jpg"), "x").unwrap();
        }
        for name in ["c.mov", "c.jpg", "d.jpg.part", ".e.jpg", "f.jpg.crdownload"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let (mut sight, start) = (Sight::default(), Instant::now());
        sight.look(dir.path(), &home, start);
        let found = sight.look(dir.path(), &home, start + SETTLE);
        assert_eq!(names(&found), ["in.jpg", "c.jpg", "c.mov"]);
        for fresh in &found.fresh {
            sight.done(fresh);
        }
        // A disk that is unplugged takes nothing along.
        let elsewhere = dir.path().join("unplugged");
        let known = sight.known.len();
        assert_eq!(sight.look(&elsewhere, &home, start), Found::default());
        assert_eq!(sight.known.len(), known);
    }
}
