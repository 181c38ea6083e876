//! The vectors of the specification: what is written there is what `protocol` does.
//!
//! `VECTORS=regenerate cargo test --test vectors` writes the files anew. A changed
//! file is a changed protocol. `docs/spec/check.py` reads the same files with a
//! second implementation; `vectors/resolver` has a test of its own in `protocol`.
#![expect(
    clippy::unwrap_used,
    reason = "a vector that does not parse fails the test"
)]

#[path = "vectors/case.rs"]
mod case;
#[path = "vectors/make.rs"]
mod make;
#[path = "vectors/verify.rs"]
mod verify;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Once,
};

use case::{Case, Class};

/// Folders here that are not made by this test.
const OTHERS: &[&str] = &["resolver", "make", "verify"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// Every file, by area and name; written anew first where that is asked for.
fn files() -> BTreeMap<String, String> {
    static WRITTEN: Once = Once::new();
    WRITTEN.call_once(|| {
        if std::env::var("VECTORS").as_deref() == Ok("regenerate") {
            write(&made());
        }
    });
    listed()
}

fn listed() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for area in fs::read_dir(root()).unwrap() {
        let area = area.unwrap();
        let name = area.file_name().into_string().unwrap();
        if !area.path().is_dir() || OTHERS.contains(&name.as_str()) {
            continue;
        }
        for file in fs::read_dir(area.path()).unwrap() {
            let path = file.unwrap().path();
            let stem = path.file_name().unwrap().to_str().unwrap();
            let stem = stem.strip_suffix(".txt").expect("vectors are text files");
            found.insert(format!("{name}/{stem}"), fs::read_to_string(&path).unwrap());
        }
    }
    found
}

/// The text of every vector, made anew.
fn made() -> BTreeMap<String, String> {
    let mut made = BTreeMap::new();
    for case in make::all() {
        let text = case.to_text();
        assert!(text.is_ascii(), "{}", case.path);
        assert_eq!(Case::from_text(&case.path, &text).as_ref(), Some(&case));
        let before = made.insert(case.path.clone(), text);
        assert!(before.is_none(), "{} is made twice", case.path);
    }
    made
}

fn read() -> Vec<Case> {
    let files = files();
    let parse = |(path, text): (&String, &String)| {
        Case::from_text(path, text).unwrap_or_else(|| panic!("{path} is no vector"))
    };
    files.iter().map(parse).collect()
}

fn write(made: &BTreeMap<String, String>) {
    for path in listed().keys().filter(|path| !made.contains_key(*path)) {
        fs::remove_file(root().join(format!("{path}.txt"))).unwrap();
    }
    for (path, text) in made {
        let file = root().join(format!("{path}.txt"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
}

#[test]
fn making_the_vectors_again_gives_the_same_bytes() {
    let (made, files) = (made(), files());
    let names = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&made), names(&files));
    for (path, text) in &made {
        assert_eq!(text, &files[path], "{path}");
    }
}

#[test]
fn every_vector_is_what_it_says() {
    let mut broken = Vec::new();
    for case in read() {
        let found = verify::class(&case);
        if found != case.expect {
            broken.push(format!(
                "{}: {found:?} instead of {:?}",
                case.path, case.expect
            ));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn there_are_enough_vectors_of_each_kind() {
    let cases = read();
    assert!(cases.len() >= 400, "{}", cases.len());
    let classes: BTreeSet<Class> = cases.iter().map(|case| case.expect).collect();
    assert_eq!(classes.len(), Class::ALL.len(), "{classes:?}");
    for case in cases.iter().filter(|case| case.expect == Class::Ok) {
        let prefix = format!("{}.", case.path);
        let wrong = cases
            .iter()
            .filter(|other| other.path.starts_with(&prefix) && other.expect != Class::Ok);
        assert!(wrong.count() >= 3, "{} has too few wrong ones", case.path);
    }
    let mut why: BTreeSet<&str> = BTreeSet::new();
    for case in &cases {
        assert!(
            case.why.len() > 6 && !case.why.ends_with('.'),
            "{}",
            case.path
        );
        why.insert(&case.why);
    }
    assert!(why.len() > 100);
}

#[test]
fn the_list_of_words_is_the_one_that_the_program_knows() {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/spec/words.txt");
    let list = fs::read_to_string(list).unwrap();
    assert_eq!(list.lines().count(), 2048);
    for (index, word) in (0_u16..).zip(list.lines()) {
        let mut hash = [0; 32];
        hash[..2].copy_from_slice(&(index << 5).to_be_bytes());
        assert_eq!(heirloom_protocol::crypto::words::phrase::<1>(&hash), [word]);
    }
}
