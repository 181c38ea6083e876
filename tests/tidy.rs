//! The repository's rules, one test each. They read files and run nothing.

#[path = "tidy/source.rs"]
mod source;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use source::{blank, functions, without_tests, words};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Functions that may be longer than 70 lines, as file and name, each with a comment that says why.
const LONG_FUNCTIONS: &[(&str, &str)] = &[
    // One literal with every field of the contract.
    ("node/src/catalog/listed.rs", "listed_with"),
    // One arm for each op; splitting would part rules that are read together.
    ("protocol/src/album/merge.rs", "apply"),
    ("protocol/src/replica/control.rs", "note"),
    // One loop over the outputs of a state machine.
    ("node/src/network/blobs/fetch.rs", "take_large"),
    // The checks of one entry, in their order.
    ("protocol/src/replica/space.rs", "accept_album_control"),
];

fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(ROOT)
        .output();
    let mut all: Vec<String> = match listed {
        Ok(listed) if listed.status.success() => String::from_utf8(listed.stdout)
            .expect("paths are UTF-8")
            .lines()
            .map(str::to_owned)
            .collect(),
        // A source archive has no history.
        _ => walk(Path::new(ROOT)),
    };
    all.retain(|file| Path::new(ROOT).join(file).is_file());
    all.sort();
    all
}

fn walk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.ends_with("target") || path.ends_with(".git") {
            continue;
        }
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            let short = path.strip_prefix(ROOT).expect("below the root");
            found.push(short.to_str().expect("UTF-8").replace('\\', "/"));
        }
    }
    found
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_default()
}

fn with_ending(endings: &[&str]) -> Vec<String> {
    let fits = |file: &String| endings.iter().any(|ending| file.ends_with(ending));
    files()
        .into_iter()
        .filter(|file| fits(file) && !file.contains("/vendor/"))
        .collect()
}

fn sources() -> Vec<String> {
    let ours = |file: &String| {
        ["protocol/src/", "node/src/", "cli/"]
            .iter()
            .any(|crate_| file.starts_with(crate_))
    };
    with_ending(&[".rs"]).into_iter().filter(ours).collect()
}

/// The sources without comments, texts and tests.
fn code() -> Vec<(String, String)> {
    let is_test = |file: &String| file.ends_with("/tests.rs") || file.contains("/tests/");
    let files = sources().into_iter().filter(|file| !is_test(file));
    files
        .map(|file| (without_tests(&blank(&read(&file))), file))
        .map(|(code, file)| (file, code))
        .collect()
}

fn hold(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

fn dependencies(manifest: &str) -> BTreeSet<String> {
    let text = read(manifest);
    let section = text
        .split("\n[dependencies]\n")
        .nth(1)
        .expect("a [dependencies] section");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split(['.', '=', ' ']).next());
    names
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn manifests_point_one_way() {
    let forbidden = [
        (
            "protocol/Cargo.toml",
            &[
                "tokio",
                "libp2p",
                "redb",
                "mdns-sd",
                "axum",
                "hyper",
                "futures",
                "tracing",
                "getrandom",
                "heirloom-node",
                "clap",
            ][..],
        ),
        ("node/Cargo.toml", &["clap", "indicatif", "heirloom"]),
        (
            "Cargo.toml",
            &["libp2p", "redb", "mdns-sd", "axum", "heirloom-protocol"],
        ),
    ];
    for (manifest, names) in forbidden {
        let found = dependencies(manifest);
        assert!(!found.is_empty(), "{manifest}");
        let broken: Vec<String> = names
            .iter()
            .filter(|name| found.contains(**name))
            .map(|name| format!("{manifest}: {name}"))
            .collect();
        hold(&broken);
    }
}

#[test]
fn the_protocol_touches_no_disk_network_clock_thread_or_dice() {
    let mut broken = Vec::new();
    for (file, code) in code()
        .into_iter()
        .filter(|(file, _)| file.starts_with("protocol/"))
    {
        let flat: String = code.split_whitespace().collect();
        for banned in [
            "std::fs",
            "std::net",
            "std::thread",
            "std::env",
            "Instant::now",
            "SystemTime::now",
        ] {
            if flat.contains(banned) {
                broken.push(format!("{file}: {banned}"));
            }
        }
        let grouped = flat
            .split("usestd::{")
            .skip(1)
            .filter_map(|group| group.split(';').next());
        for word in grouped
            .flat_map(words)
            .filter(|word| ["fs", "net", "thread", "env"].contains(word))
        {
            broken.push(format!("{file}: std::{word}"));
        }
        for word in words(&code).filter(|word| {
            [
                "OsRng", "SysRng", "Mutex", "RwLock", "tokio", "libp2p", "redb", "axum",
            ]
            .contains(word)
        }) {
            broken.push(format!("{file}: {word}"));
        }
    }
    hold(&broken);
}

#[test]
fn each_foreign_world_has_one_room() {
    let rooms: [(&str, &[&str]); 7] = [
        ("libp2p", &["node/src/net/", "node/src/net.rs"]),
        ("redb", &["node/src/store/", "node/src/store.rs"]),
        (
            "axum",
            &[
                "node/src/api/",
                "node/src/api.rs",
                "node/src/gallery/",
                "node/src/gallery.rs",
            ],
        ),
        ("mdns_sd", &["node/src/net/"]),
        ("object_store", &["node/src/carry/"]),
        ("clap", &["cli/args.rs", "cli/args/"]),
        ("heirloom_protocol", &["node/src/", "protocol/"]),
    ];
    let mut broken = Vec::new();
    for (file, code) in code() {
        for (world, rooms) in rooms {
            let is_room = rooms.iter().any(|room| file.starts_with(room));
            if !is_room
                && words(&code).any(|word| {
                    word == world
                        || word
                            .strip_prefix(world)
                            .is_some_and(|rest| rest.starts_with('_'))
                })
            {
                broken.push(format!("{file}: {world}"));
            }
        }
    }
    hold(&broken);
}

#[test]
fn no_file_is_longer_than_800_lines() {
    let files = with_ending(&[".rs", ".js", ".css", ".html", ".py", ".sh"]);
    let long = |file: &String| read(file).lines().count() > 800;
    hold(&files.into_iter().filter(long).collect::<Vec<_>>());
}

#[test]
fn no_function_is_longer_than_70_lines() {
    let mut broken = Vec::new();
    for (file, code) in code() {
        for (name, lines) in functions(&code) {
            if lines > 70 && !LONG_FUNCTIONS.contains(&(&file, &name)) {
                broken.push(format!("{file}: {name} has {lines} lines"));
            }
        }
    }
    hold(&broken);
    assert!(LONG_FUNCTIONS.len() <= 5, "the list of exceptions is short");
}

#[test]
fn nothing_is_left_half_done() {
    let mut broken = Vec::new();
    for (file, code) in code() {
        for banned in [
            ".unwrap()",
            "todo!",
            "dbg!",
            "unimplemented!",
            "println!",
            "#[allow(",
            "#![allow(",
        ] {
            if code.contains(banned) {
                broken.push(format!("{file}: {banned}"));
            }
        }
        for expect in code.split("#[expect(").skip(1) {
            if !expect
                .split(")]")
                .next()
                .is_some_and(|inside| inside.contains("reason"))
            {
                broken.push(format!("{file}: an expect without a reason"));
            }
        }
    }
    hold(&broken);
}

#[test]
fn sources_are_ascii_without_headers_or_rulers() {
    let mut broken = Vec::new();
    for file in with_ending(&[".rs", ".toml", ".js", ".css", ".html", ".py", ".sh"]) {
        for (number, line) in (1..).zip(read(&file).lines()) {
            let ruler = ["// ---", "// ===", "// ***", "/////", "# ---", "# ==="]
                .iter()
                .any(|ruler| line.trim_start().starts_with(ruler));
            let header = line.contains(concat!("SPDX", "-License"));
            if !line.is_ascii() || ruler || header {
                broken.push(format!("{file}:{number}: {line}"));
            }
        }
    }
    hold(&broken);
}

#[test]
fn every_source_file_says_what_it_gives() {
    let silent = |file: &String| !read(file).starts_with("//! ");
    hold(&sources().into_iter().filter(silent).collect::<Vec<_>>());
}

#[test]
fn no_file_is_nearly_empty() {
    let short = |file: &String| read(file).lines().count() < 5;
    hold(
        &with_ending(&[".rs", ".md", ".js", ".css", ".py"])
            .into_iter()
            .filter(short)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn no_file_is_a_lump() {
    let free =
        |file: &String| file.starts_with("tests/vectors/") || file.starts_with("tests/homes/");
    let is_lump = |file: &String| {
        fs::metadata(Path::new(ROOT).join(file)).is_ok_and(|found| found.len() > 256 * 1024)
    };
    hold(
        &files()
            .into_iter()
            .filter(|file| !free(file) && is_lump(file))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn the_top_of_the_tree_has_at_most_18_entries() {
    let top: BTreeSet<String> = files()
        .iter()
        .filter_map(|file| file.split('/').next())
        .map(str::to_owned)
        .collect();
    assert!(top.len() <= 18, "{top:?}");
}

#[test]
fn names_come_from_the_glossary() {
    const SUFFIXES: &[&str] = &[
        "Manager",
        "Handler",
        "Helper",
        "Util",
        "Utils",
        "Service",
        "Processor",
        "Impl",
        "Data",
        "Info",
        "Common",
        "Engine",
        "Orchestrator",
    ];
    const MODULES: &[&str] = &[
        "util", "utils", "common", "helper", "helpers", "types", "models", "misc", "manager",
        "core",
    ];
    let mut broken = Vec::new();
    for (file, code) in code() {
        for line in code.lines() {
            let all: Vec<&str> = words(line).collect();
            for pair in all.windows(2) {
                // An indented `type` belongs to somebody else's trait.
                let declares = ["struct", "enum", "trait"].contains(&pair[0])
                    || pair[0] == "type" && !line.starts_with(' ');
                if declares && SUFFIXES.iter().any(|suffix| pair[1].ends_with(suffix)) {
                    broken.push(format!("{file}: {}", pair[1]));
                }
            }
        }
        let path = PathBuf::from(&file).with_extension("");
        let parts = path.iter().filter_map(|part| part.to_str());
        if parts.into_iter().any(|part| MODULES.contains(&part)) {
            broken.push(file);
        }
    }
    hold(&broken);
}

/// The targets of a document's links, code left out.
fn links(text: &str) -> Vec<String> {
    let mut prose = String::new();
    for (nth, part) in text
        .split("```")
        .enumerate()
        .filter(|(nth, _)| nth % 2 == 0)
    {
        let _ = nth;
        prose.extend(part.split('`').step_by(2));
    }
    let targets = prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next());
    targets.map(str::to_owned).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let kept = heading
            .trim_start_matches('#')
            .trim()
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    assert_eq!(
        links("a [b](c.md) `[d](e)` [f](g#h \"title\")\n```\n[i](j)\n```"),
        ["c.md", "g#h"]
    );
    assert!(anchors("# A\n## E-IO (exit 1)").contains("e-io-exit-1"));
    let mut broken = Vec::new();
    for file in with_ending(&[".md"]) {
        let text = read(&file);
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let folder = Path::new(ROOT)
                .join(&file)
                .parent()
                .expect("a folder")
                .to_owned();
            let target = if path.is_empty() {
                Path::new(ROOT).join(&file)
            } else {
                folder.join(path)
            };
            let lacks_anchor =
                || !anchors(&fs::read_to_string(&target).unwrap_or_default()).contains(anchor);
            if !target.exists() || (!anchor.is_empty() && target.is_file() && lacks_anchor()) {
                broken.push(format!("{file}: {link}"));
            }
        }
    }
    hold(&broken);
}

#[test]
fn the_architecture_links_every_decision() {
    let linked = links(&read("docs/ARCHITECTURE.md"));
    let decisions = with_ending(&[".md"])
        .into_iter()
        .filter(|file| file.starts_with("docs/adr/"));
    let lost = decisions.filter(|file| !linked.iter().any(|link| format!("docs/{link}") == *file));
    hold(&lost.collect::<Vec<_>>());
}

/// The constants of a file of limits; those whose value is a plain product, with it.
fn limits(code: &str) -> Vec<(String, Option<u64>)> {
    let number = |text: &str| text.trim().replace('_', "").parse::<u64>().ok();
    let value = |expression: &str| match expression.split_once("<<") {
        Some((base, shift)) => Some(number(base)? << number(shift)?),
        None => expression.split('*').map(number).product(),
    };
    let constants = code.split("pub const ").skip(1);
    let parts = constants.filter_map(|rest| {
        let (name, rest) = rest.split_once(':')?;
        let (_, expression) = rest.split_once(';')?.0.split_once('=')?;
        Some((name.to_owned(), value(expression)))
    });
    parts.collect()
}

#[test]
fn the_specification_states_every_limit() {
    let sample =
        "pub const A: u64 = 2 * 1_000;\npub const B: usize = 1 << 4;\npub const C: u64 = A + 1;";
    let want = [("A", Some(2000)), ("B", Some(16)), ("C", None)];
    assert_eq!(
        limits(sample),
        want.map(|(name, value)| (name.to_owned(), value))
    );
    let spec = with_ending(&[".md"])
        .into_iter()
        .filter(|file| file.starts_with("docs/spec/"));
    let text: String = spec.map(|file| read(&file) + "\n").collect();
    let states = |name: &str, value: Option<u64>| {
        let mut rows = text
            .lines()
            .filter(|row| words(row).any(|word| word == name));
        rows.any(|row| {
            let plain = row.replace([',', '_'], "");
            value.is_none_or(|value| words(&plain).any(|word| word == value.to_string()))
        })
    };
    let known = limits(&blank(&read("protocol/src/limits.rs")));
    assert!(known.len() > 20, "{known:?}");
    let missing = known.iter().filter(|(name, value)| !states(name, *value));
    hold(
        &missing
            .map(|(name, value)| format!("no line of docs/spec says {name} = {value:?}"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn the_list_of_errors_explains_every_id_that_is_used() {
    let manual = read("docs/errors.md");
    let mut broken = BTreeSet::new();
    for file in sources()
        .into_iter()
        .filter(|file| !file.ends_with("tests.rs"))
    {
        let source = read(&file);
        let used = source
            .split("\"E-")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        for id in used.filter(|id| id.chars().all(|c| c.is_ascii_uppercase() || c == '-')) {
            if !manual.contains(&format!("\n## E-{id} (exit ")) {
                broken.insert(format!("{file}: E-{id}"));
            }
        }
    }
    hold(&broken.into_iter().collect::<Vec<_>>());
}

/// What a document calls by a name in code, in the last cell of its tables' rows.
fn last_cells(text: &str) -> Vec<String> {
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let named = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    named.map(str::to_owned).collect()
}

/// The names of all tests, those without the standard harness among them.
fn tests(code: &str) -> BTreeSet<&str> {
    let marked = ["#[test]", "#[tokio::test"].into_iter();
    let marked = marked.flat_map(|mark| code.split(mark).skip(1));
    let marked = marked.filter_map(|rest| rest.split_once("fn ")?.1.split('(').next());
    // `node/tests/media` lists its own.
    let listed = code.split("\"pool::").skip(1);
    marked
        .chain(listed.filter_map(|rest| rest.split('"').next()))
        .collect()
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let sample = tests("#[test]\nfn a() {}\nfn b() {}\n#[tokio::test(x)]\nasync fn c() {}");
    assert_eq!(sample, BTreeSet::from(["a", "c"]));
    assert_eq!(last_cells("| `a` | b | `c`, `d` |\n`e`\n| f |"), ["c", "d"]);
    let text = read("docs/threat-model.md");
    let (_, guarantees) = text
        .split_once("## Guarantees and their tests")
        .expect("a section");
    let (guarantees, _) = guarantees.split_once("\n## ").expect("a section after it");
    let named = last_cells(guarantees);
    assert!(named.len() > 100, "{named:?}");
    let files = with_ending(&[".rs"]);
    let code: String = files.iter().map(|file| read(file)).collect();
    let known = tests(&code);
    let missing = named.iter().filter(|name| !known.contains(name.as_str()));
    hold(
        &missing
            .map(|name| format!("{name} is no test"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn documents_promise_nothing() {
    let mut broken = Vec::new();
    for file in with_ending(&[".md"]) {
        let text = read(&file);
        for word in words(&text).filter(|word| ["TODO", "TBD", "FIXME", "todo"].contains(word)) {
            broken.push(format!("{file}: {word}"));
        }
        if text.matches("[![").count() > 2 {
            broken.push(format!("{file}: more than two badges"));
        }
    }
    hold(&broken);
}

#[test]
fn the_readme_fits_on_its_page() {
    let lines = read("README.md").lines().count();
    assert!((20..=120).contains(&lines), "{lines} lines");
}

#[test]
fn the_changelog_is_open_for_the_next_change() {
    let changelog = read("CHANGELOG.md");
    assert!(changelog.contains("\n## [Unreleased]\n"));
}

/// The text that each part of a patch expects to find, with the file.
fn expected(patch: &str) -> Vec<(String, String)> {
    let mut file = String::new();
    let mut found: Vec<(String, String)> = Vec::new();
    for line in patch.lines() {
        if let Some(name) = line.strip_prefix("+++ b/") {
            name.clone_into(&mut file);
        } else if line.starts_with("@@") {
            found.push((file.clone(), String::new()));
        } else if let Some((_, text)) = found.last_mut()
            && let Some(kept) = line.strip_prefix(' ').or_else(|| line.strip_prefix('-'))
        {
            text.push_str(kept);
            text.push('\n');
        }
    }
    found
}

#[test]
fn every_deliberate_bug_still_applies_and_names_a_test_that_exists() {
    let tests = "tests/sabotage/";
    let patches: Vec<String> = with_ending(&[".patch"]);
    let patches: Vec<_> = patches.iter().filter(|p| p.starts_with(tests)).collect();
    assert!(
        patches.len() >= 12,
        "only {} deliberate bugs",
        patches.len()
    );
    let code: String = sources().iter().map(|file| read(file)).collect();
    let mut broken = Vec::new();
    for patch in patches {
        let text = read(patch);
        let mut parts = expected(&text);
        parts.retain(|(file, part)| !part.is_empty() && !read(file).contains(part));
        broken.extend(
            parts
                .iter()
                .map(|(file, _)| format!("{patch}: not as in {file}")),
        );
        let test = text.lines().find_map(|line| line.strip_prefix("# test: "));
        let test = test.unwrap_or_default();
        let last = test.rsplit([':', ' ']).next().unwrap_or_default();
        let is_named = [format!("fn {last}("), format!("mod {last};")];
        if expected(&text).is_empty() || !is_named.iter().any(|name| code.contains(name)) {
            broken.push(format!("{patch}: {test:?} is no test"));
        }
    }
    hold(&broken);
}
