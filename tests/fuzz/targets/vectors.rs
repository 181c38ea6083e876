//! What the vectors of the specification hold: each check of `tests/vectors`, on other bytes.
//!
//! The first byte of an input chooses a vector, the rest stands in the place of
//! its bytes. What is sealed or signed is taken only as it was made.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use super::Target;
use crate::{
    case::{Case, Class},
    verify,
};

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "entry",
        seeds: || seeds(&["entry"]),
        run: |bytes| as_made(&["entry"], bytes),
    },
    Target {
        name: "sealed",
        seeds: || seeds(SEALED),
        run: |bytes| as_made(SEALED, bytes),
    },
    Target {
        name: "segments",
        seeds: || seeds(SEGMENTS),
        run: |bytes| as_made(SEGMENTS, bytes),
    },
    Target {
        name: "pairing",
        seeds: || seeds(&["pairing"]),
        run: |bytes| as_made(&["pairing"], bytes),
    },
    Target {
        name: "signed",
        seeds: || seeds(SIGNED),
        run: |bytes| as_made(SIGNED, bytes),
    },
    Target {
        name: "founding",
        seeds: || seeds(FOUNDING),
        run: |bytes| as_made(FOUNDING, bytes),
    },
    Target {
        name: "frame",
        seeds: || seeds(&["frame"]),
        run: |bytes| is_taken(&["frame"], bytes),
    },
    Target {
        name: "blob_frame",
        seeds: || seeds(BLOB_FRAMES),
        run: |bytes| is_taken(BLOB_FRAMES, bytes),
    },
    Target {
        name: "bitmap",
        seeds: || seeds(&["bitmap"]),
        run: |bytes| is_taken(&["bitmap"], bytes),
    },
];

const SEALED: &[&str] = &["body", "sealed value", "chain", "seal box"];
const SEGMENTS: &[&str] = &["blob", "leaves"];
const SIGNED: &[&str] = &[
    "beacon",
    "head",
    "kit proof",
    "consent",
    "signature",
    "cosign",
    "manifest",
];
const FOUNDING: &[&str] = &["genesis", "album"];
const BLOB_FRAMES: &[&str] = &["request", "answer"];

/// The vectors that are right, by what is checked.
static RIGHT: LazyLock<BTreeMap<String, Vec<Case>>> = LazyLock::new(|| {
    let mut found: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for area in folders(&folder()) {
        for file in files(&area) {
            let text = fs::read_to_string(&file).expect("a vector");
            let case = Case::from_text(&file.to_string_lossy(), &text);
            // The resolver's vectors are of another form.
            if let Some(case) = case.filter(|case| case.expect == Class::Ok) {
                found.entry(case.check.clone()).or_default().push(case);
            }
        }
    }
    found
});

/// `tests/vectors`, seen from the root package or from the one beside this folder.
fn folder() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let below = here.join("tests/vectors");
    if below.is_dir() {
        below
    } else {
        here.join("../vectors")
    }
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of vectors");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let all = listed(folder).into_iter();
    all.filter(|path| path.is_dir()).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let all = listed(folder).into_iter();
    all.filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect()
}

fn cases(checks: &[&str]) -> Vec<&'static Case> {
    let of = |check: &&str| RIGHT.get(*check).expect("vectors of this check");
    checks.iter().flat_map(of).collect()
}

fn seeds(checks: &[&str]) -> Vec<Vec<u8>> {
    let all = (0_u8..).zip(cases(checks));
    all.map(|(number, case)| [&[number], &case.bytes[..]].concat())
        .collect()
}

/// The bytes of every right vector of a check.
pub(super) fn bytes_of(check: &str) -> Vec<Vec<u8>> {
    let all = cases(&[check]).into_iter();
    all.map(|case| case.bytes.clone()).collect()
}

/// A field of every right vector of a check.
pub(super) fn fields_of(check: &str, field: &str) -> Vec<Vec<u8>> {
    let all = cases(&[check]).into_iter();
    all.map(|case| case.string(field).as_bytes().to_vec())
        .collect()
}

/// The op of every right vector, its tag in front.
pub(super) fn ops() -> Vec<Vec<u8>> {
    let tagged = |case: &Case| {
        let tag = u16::from_str_radix(case.string("tag"), 16).expect("a tag");
        [&tag.to_be_bytes(), &case.bytes[..]].concat()
    };
    cases(&["op"]).into_iter().map(tagged).collect()
}

fn checked(checks: &[&str], bytes: &[u8]) -> Option<(&'static Case, Class)> {
    let (number, bytes) = bytes.split_first()?;
    let all = cases(checks);
    let case = all[usize::from(*number) % all.len()];
    Some((case, verify::class(&case.clone().with(bytes))))
}

fn is_taken(checks: &[&str], bytes: &[u8]) -> bool {
    checked(checks, bytes).is_some_and(|(_, class)| class == Class::Ok)
}

fn as_made(checks: &[&str], bytes: &[u8]) -> bool {
    let Some((case, Class::Ok)) = checked(checks, bytes) else {
        return false;
    };
    assert_eq!(bytes[1..], case.bytes, "{} was forged", case.path);
    true
}
