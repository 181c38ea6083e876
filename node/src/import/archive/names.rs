//! What the sidecars in archives that belong together say, by the folder that they lie in there.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
};

use super::{
    super::sidecar::{self, Sidecar, folder::Folder},
    name::{is_sidecar, place},
    read::{Broken, Item},
};

/// Files of all archives that belong together.
const MAX_FILES: usize = 2_000_000;
/// Bytes of their names.
const MAX_NAME_BYTES: usize = 256 << 20;
/// Bytes of their sidecars.
const MAX_SIDECAR_BYTES: u64 = 512 << 20;

/// Names of files, and what sidecars say.
#[derive(Default)]
pub(super) struct Names {
    media: BTreeMap<String, Vec<String>>,
    sidecars: BTreeMap<String, Vec<(String, Sidecar)>>,
    files: usize,
    name_bytes: usize,
    sidecar_bytes: u64,
    /// Why not everything was looked at.
    pub(super) too_many: Option<&'static str>,
}

impl Names {
    /// Takes the name of a file, and what it says if it is a sidecar.
    ///
    /// # Errors
    ///
    /// [`Broken::Stopped`] when there is more than is kept, which `too_many` then says.
    pub(super) fn take(&mut self, item: Item<'_>) -> Result<(), Broken> {
        self.files += 1;
        self.name_bytes = self.name_bytes.saturating_add(item.path.len());
        if self.files > MAX_FILES || self.name_bytes > MAX_NAME_BYTES {
            return self.refuse("there are too many files in it");
        }
        let Some((folder, name)) = place(&item.path) else {
            return Ok(());
        };
        if !is_sidecar(&name) {
            self.media.entry(folder).or_default().push(name);
            return Ok(());
        }
        let Ok(mut content) = item.content else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        let limit = sidecar::MAX_BYTES + 1;
        let read = content.by_ref().take(limit).read_to_end(&mut bytes);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.sidecar_bytes = self.sidecar_bytes.saturating_add(length);
        if self.sidecar_bytes > MAX_SIDECAR_BYTES {
            return self.refuse("there are too many sidecars in it");
        }
        // A damaged one is told when the photos are read.
        if read.is_ok() {
            let said = sidecar::read(&name, &bytes);
            self.sidecars.entry(folder).or_default().push((name, said));
        }
        Ok(())
    }

    fn refuse(&mut self, why: &'static str) -> Result<(), Broken> {
        self.too_many = Some(why);
        Err(Broken::Stopped)
    }

    /// What is said in each folder. Parts may hold the same file; what the first says counts.
    pub(super) fn folders(self) -> BTreeMap<String, Folder> {
        let (mut media, mut sidecars) = (self.media, self.sidecars);
        let all: BTreeSet<String> = media.keys().chain(sidecars.keys()).cloned().collect();
        let folder = |path: String| {
            let mut names = media.remove(&path).unwrap_or_default();
            names.sort();
            names.dedup();
            let mut said = sidecars.remove(&path).unwrap_or_default();
            said.sort_by(|a, b| a.0.cmp(&b.0));
            said.dedup_by(|later, first| later.0 == first.0);
            (path, Folder::of(names, said))
        };
        all.into_iter().map(folder).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::archive::read::Left;

    fn item(path: &str, bytes: &'static [u8]) -> Item<'static> {
        Item {
            path: path.into(),
            bytes: u64::try_from(bytes.len()).expect("small"),
            content: Ok(Box::new(bytes)),
        }
    }

    #[test]
    fn what_parts_say_of_one_folder_is_put_together() {
        let mut names = Names::default();
        let said = br#"{"photoTakenTime": {"timestamp": "1"}, "description": "first"}"#;
        let other = br#"{"photoTakenTime": {"timestamp": "2"}, "description": "second"}"#;
        for (path, bytes) in [
            ("T/a.jpg", &b"x"[..]),
            ("T/a.jpg", b"x"),
            ("T/a.jpg.json", said),
            ("./T/a.jpg.json", other),
            ("U/a.jpg", b"x"),
        ] {
            names.take(item(path, bytes)).expect("taken");
        }
        let folders = names.folders();
        let said = folders["T"].said("a.jpg").expect("a sidecar");
        assert_eq!(said.caption.as_deref(), Some("first"));
        assert!(folders["U"].said("a.jpg").is_none());
    }

    #[test]
    fn more_than_is_kept_is_refused_before_it_is_kept() {
        let mut names = Names {
            files: MAX_FILES,
            ..Names::default()
        };
        assert!(names.take(item("a.jpg", b"x")).is_err());
        assert_eq!(names.too_many, Some("there are too many files in it"));
        assert!(names.folders().is_empty());
        let mut names = Names {
            sidecar_bytes: MAX_SIDECAR_BYTES,
            ..Names::default()
        };
        assert!(names.take(item("a.json", b"{}")).is_err());
        assert_eq!(names.too_many, Some("there are too many sidecars in it"));
        let mut names = Names::default();
        let locked = Item {
            path: "a.json".into(),
            bytes: 1,
            content: Err(Left::failed("locked")),
        };
        assert!(names.take(locked).is_ok());
    }
}
