//! What the page can be told by an id has a sentence in every language.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::Value;

type Table = BTreeMap<String, Value>;

fn read(path: &Path, into: &mut String) {
    for entry in std::fs::read_dir(path).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            read(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

fn tables() -> [(&'static str, Table); 2] {
    ["en", "de"].map(|language| {
        let path = format!("src/gallery/assets/lang/{language}.json");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let table = std::fs::read(path).unwrap();
        (language, serde_json::from_slice(&table).unwrap())
    })
}

/// The ids of errors that the node answers with: every text of the sources that is one and nothing else.
fn ids() -> BTreeSet<String> {
    let mut sources = String::new();
    read(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut sources,
    );
    let texts = sources.split('"');
    let is_id = |text: &&str| {
        let rest = text.strip_prefix("E-").unwrap_or_default();
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_uppercase() || c == '-')
    };
    texts.filter(is_id).map(str::to_owned).collect()
}

#[test]
fn every_error_that_the_node_answers_with_has_a_sentence_in_every_language() {
    let ids = ids();
    assert!(ids.len() > 20 && ids.contains("E-IO"), "{ids:?}");
    for (language, table) in tables() {
        let lacks = |id: &&String| !table.contains_key(&format!("error.{id}"));
        let without: Vec<_> = ids.iter().filter(lacks).collect();
        assert!(without.is_empty(), "{language}: {without:?}");
    }
}

#[test]
fn every_sentence_that_the_page_asks_for_is_there() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gallery/assets");
    let mut asked = BTreeSet::new();
    for entry in std::fs::read_dir(assets).unwrap().map(Result::unwrap) {
        if !entry.path().is_file() {
            continue;
        }
        let source = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
        // A key that is put together at its place is no text of its own.
        for (at, _) in source.match_indices("t(\"") {
            let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
            if !source[..at].ends_with(is_name) {
                asked.extend(source[at + 3..].split('"').next().map(str::to_owned));
            }
        }
    }
    assert!(
        asked.len() > 200 && asked.contains("invite.afar.on"),
        "{asked:?}"
    );
    for (language, table) in tables() {
        let lacks = |key: &&String| !table.contains_key(*key);
        let without: Vec<_> = asked.iter().filter(lacks).collect();
        assert!(without.is_empty(), "{language}: {without:?}");
    }
}

#[test]
fn the_languages_have_the_same_sentences() {
    let [(_, first), (_, second)] = tables();
    let keys = |table: &Table| table.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(keys(&first), keys(&second));
}
