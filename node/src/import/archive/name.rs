//! Names of archives, and of what is in them.

use std::path::{Path, PathBuf};

use super::super::sidecar;
use crate::media::sniff::is_junk_folder;

/// How archives end that are opened, longer endings first.
const OPENED: [&str; 4] = [".tar.gz", ".tgz", ".tar", ".zip"];
/// How archives end that are not opened, of which a person is told.
const FOREIGN: [&str; 14] = [
    ".rar", ".r00", ".7z", ".7z.001", ".zip.001", ".z01", ".zipx", ".tar.bz2", ".tbz2", ".tbz",
    ".tar.xz", ".txz", ".tar.zst", ".tzst",
];
/// The folder in which a Mac puts what other systems have no place for.
const MAC_FOLDER: &str = "__MACOSX";

/// Whether a file of this name is an archive, also of a kind that is not opened.
pub(super) fn is_named_so(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut endings = OPENED.iter().chain(&FOREIGN);
    endings.any(|ending| name.ends_with(ending))
}

/// What an archive of this name is called without its ending.
pub(in crate::import) fn title(name: &str) -> &str {
    let lower = name.to_ascii_lowercase();
    let ending = OPENED.iter().find(|ending| lower.ends_with(**ending));
    let title = ending.and_then(|ending| name.get(..name.len() - ending.len()));
    title.filter(|title| !title.is_empty()).unwrap_or(name)
}

/// The name without the number of the part, by which parts of one archive know each other.
pub(super) fn whole(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy());
    let name = name.unwrap_or_default().to_lowercase();
    let stem = title(&name);
    // A browser puts its own number behind the second download of a name.
    let part = stem.strip_suffix(')').and_then(|rest| {
        let (part, number) = rest.rsplit_once('(')?;
        is_number(number).then(|| part.trim_end())
    });
    let without = |stem: &str| {
        let (stem, number) = stem.rsplit_once('-')?;
        (number.len() >= 3 && is_number(number)).then(|| stem.to_owned())
    };
    let whole = part.and_then(without).or_else(|| without(stem));
    path.with_file_name(whole.unwrap_or_else(|| name.clone()))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Folder and name of a file in an archive, which lead nowhere else; none for what lies in a folder of junk or
/// has no name.
pub(super) fn place(path: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = path
        .split(['/', '\\'])
        .filter(|part| !part.is_empty() && *part != "." && *part != "..")
        .collect();
    let (name, folders) = parts.split_last()?;
    let is_junk = |folder: &&str| is_junk_folder(folder) || folder.eq_ignore_ascii_case(MAC_FOLDER);
    if folders.iter().any(is_junk) {
        return None;
    }
    Some((folders.join("/"), (*name).to_owned()))
}

/// Whether a file of this name is read before the photos.
pub(super) fn is_sidecar(name: &str) -> bool {
    sidecar::is_named_so(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_know_each_other_by_their_names() {
        let of = |name: &str| whole(&Path::new("/in").join(name));
        let takeout = of("takeout-20240101T000000Z-1-001.zip");
        for part in [
            "takeout-20240101T000000Z-1-002.zip",
            "takeout-20240101T000000Z-1-014.tgz",
            "Takeout-20240101T000000Z-1-003 (1).ZIP",
        ] {
            assert_eq!(of(part), takeout, "{part}");
        }
        assert_ne!(of("takeout-20240202T000000Z-1-001.zip"), takeout);
        assert_ne!(of("2019.zip"), of("2020.zip"));
        assert_ne!(of("photos.zip"), of("photos (1).zip"));
        assert_ne!(of("photos.zip"), of("photos.tar"));
        assert_ne!(
            whole(Path::new("/a/takeout-001.zip")),
            whole(Path::new("/b/takeout-002.zip"))
        );
    }

    #[test]
    fn archives_are_known_by_their_endings() {
        for name in [
            "a.ZIP", "a.tar.gz", "a.tgz", "a.tar", "a.rar", "a.7z", "a.tar.xz",
        ] {
            assert!(is_named_so(name), "{name}");
        }
        for name in ["zip", "a.jpg", "a.gz", "a.docx", "tar.jpg"] {
            assert!(!is_named_so(name), "{name}");
        }
        assert_eq!(title("Summer.tar.gz"), "Summer");
        assert_eq!(title("Summer.ZIP"), "Summer");
        assert_eq!(title(".zip"), ".zip");
        assert_eq!(title("\u{130}.zip"), "\u{130}");
    }

    #[test]
    fn names_lead_nowhere() {
        let name = |path: &str| place(path).map(|(folder, name)| format!("{folder}|{name}"));
        assert_eq!(name("../../etc/a.jpg").as_deref(), Some("etc|a.jpg"));
        assert_eq!(name("/a\\..\\b.jpg").as_deref(), Some("a|b.jpg"));
        assert_eq!(name("a.jpg").as_deref(), Some("|a.jpg"));
        assert_eq!(name("@eaDir/a.jpg"), None);
        assert_eq!(name("__MACOSX/._a.jpg"), None);
        assert_eq!(name("../.."), None);
    }
}
