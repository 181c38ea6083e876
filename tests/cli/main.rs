//! What the documents show, done: stories and the README as transcripts, and the pages of help.
//!
//! A story is a Markdown file; its blocks of `console` are typed into terminals
//! of devices that have homes of their own ([`story`] has the rules). Help is
//! held against `help.trycmd`; `TRYCMD=overwrite cargo test --test cli` writes
//! that file anew.
#![cfg(unix)]

#[path = "../fuzz/targets/archives.rs"]
mod archives;
mod device;
mod play;
mod story;

use std::{collections::BTreeSet, fs, path::Path};

use device::Neighbourhood;
use play::Play;
use story::Story;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A family of one person with an album, on a laptop whose node runs.
const ANNA: &str = r#"
```console
laptop$ heirloom init --family Berger --person Anna --no-recovery
laptop$ heirloom import ~/Pictures --album "Summer 2023"
laptop$ heirloom serve
```
"#;

/// A family of one person, whose laptop has a name, and whose node runs.
const OLD_LAPTOP: &str = r#"
```console
laptop$ heirloom init --family Berger --person Anna --device old-laptop --no-recovery
laptop$ heirloom import ~/Pictures
laptop$ heirloom serve
```
"#;

/// Ben and Grandma are in it, each with a device.
const OTHERS: &str = r#"
```console
laptop$ heirloom invite --person Ben
ben$ heirloom join --device ben-laptop
laptop$ heirloom invite --person Grandma
tablet$ heirloom join --device tablet
```
"#;

/// Another device of Anna's.
const PHONE: &str = r#"
```console
laptop$ heirloom invite --device
phone$ heirloom join --device phone-anna
```
"#;

/// The phone is on.
const PHONE_RUNS: &str = "```console\nphone$ heirloom serve\n```";

/// Two photos of the album, as the guide calls them.
const TWO_PHOTOS: &str = r#"
```console
laptop$ heirloom list
[3f2a91c0]  [..].png
[77e01b52]  [..].png
...
```
"#;

fn play(file: &str, before: &[&str], neighbourhood: Neighbourhood) {
    let mut text = read(file);
    for id in ["3f2a91c0", "77e01b52"] {
        text = text.replace(id, &format!("[{id}]"));
    }
    let stories = before.iter().copied().chain([text.as_str()]);
    let stories: Vec<Story> = stories.map(Story::parse).collect();
    assert!(
        !stories[stories.len() - 1].turns.is_empty(),
        "{file} shows nothing"
    );
    let mut play = Play::new(file, neighbourhood);
    for story in &stories {
        play.act(story);
    }
    play.end();
}

#[test]
fn the_readme_is_true() {
    play("README.md", &[], Neighbourhood::Quiet);
}

#[test]
fn the_guide_of_the_first_evening_is_true() {
    play("docs/guide/start.md", &[], Neighbourhood::Quiet);
}

#[test]
fn the_guide_of_inviting_is_true() {
    let before = [
        ANNA,
        "```console\nlaptop$ heirloom invite --person Grandma\ntablet$ heirloom join\n```",
    ];
    play("docs/guide/invite.md", &before, Neighbourhood::Quiet);
}

#[test]
fn the_guide_of_leaving_is_true() {
    play(
        "docs/guide/leave.md",
        &[ANNA, PHONE, PHONE_RUNS, TWO_PHOTOS],
        Neighbourhood::Quiet,
    );
}

#[test]
fn the_guide_of_a_lost_phone_is_true() {
    play(
        "docs/guide/lost-phone.md",
        &[ANNA, PHONE, OTHERS],
        Neighbourhood::Quiet,
    );
}

#[test]
fn the_guide_of_recovery_words_is_true() {
    play("docs/guide/words.md", &[], Neighbourhood::Quiet);
}

#[test]
fn the_guide_of_a_home_node_is_true() {
    play("docs/guide/home-node.md", &[ANNA], Neighbourhood::Quiet);
}

#[test]
fn the_guide_of_a_keeper_is_true() {
    play("docs/guide/keeper.md", &[ANNA], Neighbourhood::Quiet);
}

#[test]
fn the_guide_of_staying_at_home_is_true() {
    play("docs/guide/lan-only.md", &[ANNA], Neighbourhood::Quiet);
}

#[test]
fn the_guide_of_a_new_computer_is_true() {
    play("docs/guide/moving.md", &[OLD_LAPTOP], Neighbourhood::Quiet);
}

#[test]
fn the_guide_of_room_and_disks_is_true() {
    play("docs/guide/room.md", &[ANNA], Neighbourhood::Quiet);
}

#[test]
fn the_guide_of_a_takeout_is_true() {
    let before =
        ["```console\nlaptop$ heirloom init --family Berger --person Anna --no-recovery\n```"];
    play("docs/guide/takeout.md", &before, Neighbourhood::Quiet);
}

#[test]
fn the_guide_of_two_homes_is_true() {
    play("docs/guide/two-homes.md", &[ANNA], Neighbourhood::Quiet);
}

#[test]
fn first_photo() {
    play("tests/cli/first-photo.md", &[], Neighbourhood::Quiet);
}

#[test]
fn a_first_evening() {
    play("tests/cli/a-first-evening.md", &[], Neighbourhood::Loud);
}

#[test]
fn invite_a_parent() {
    play("tests/cli/invite-a-parent.md", &[], Neighbourhood::Quiet);
}

#[test]
fn errors() {
    play("tests/cli/errors.md", &[], Neighbourhood::Quiet);
}

#[test]
fn every_page_that_shows_commands_is_played() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let this = read("tests/cli/main.rs");
    for folder in ["docs/guide", "tests/cli"] {
        for entry in fs::read_dir(root.join(folder)).expect("a folder") {
            let name = entry.expect("an entry").file_name();
            let file = format!("{folder}/{}", name.to_string_lossy());
            assert!(
                !file.ends_with(".md") || this.contains(&format!("\"{file}\"")),
                "{file}"
            );
        }
    }
}

#[test]
fn every_page_of_help_is_as_it_was() {
    trycmd::TestCases::new()
        .default_bin_path(env!("CARGO_BIN_EXE_heirloom"))
        .register_bin("heirloom", Path::new(env!("CARGO_BIN_EXE_heirloom")))
        .env("COLUMNS", "100")
        .case("tests/cli/help.trycmd");
}

/// The commands that a page of help lists, each behind two spaces, before what it says of it.
fn listed(page: &str) -> BTreeSet<&str> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("  "));
    let names = lines.filter_map(|line| line.split_once(' '));
    names
        .filter(|(name, about)| {
            let is_word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
            is_word
                && *name != "heirloom"
                && *name != "help"
                && about.trim_start().starts_with(char::is_uppercase)
        })
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn no_page_of_help_is_missing() {
    let pages = read("tests/cli/help.trycmd");
    let mut commands = 0;
    for page in pages.split("\n$ heirloom ").skip(1) {
        let (path, page) = page.split_once("--help\n").expect("the page of a command");
        if !path.is_empty() && !page.contains("\nCommands:\n") {
            continue;
        }
        for name in listed(page) {
            commands += 1;
            let command = format!("\n$ heirloom {path}{name} --help\n");
            assert!(pages.contains(&command), "{command}");
        }
    }
    assert!(commands > 50, "{commands}");
}
