//! Where the program stands among others: terminals that close, output that nobody takes, nodes that were halted.

use std::{
    fs::OpenOptions,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::devices::{Homes, LOOPBACK, pictures};

#[test]
fn a_node_whose_terminal_is_closed_stops_as_by_a_service_manager() {
    let homes = Homes::new();
    let laptop = homes.device("laptop");
    laptop.init("Berger", "Anna", "laptop");
    let mut node = laptop.serve();
    node.signal(Signal::HUP);
    if heirloom_node::sys::is_hangup_ignored() {
        // Whoever began all this wants it to outlive the terminal.
        assert_eq!(laptop.ok(&["status"])[0]["node"], "running");
        node.signal(Signal::TERM);
    }
    let (last, exit) = node.end();
    assert_eq!(
        (exit, last["type"].as_str()),
        (0, Some("summary")),
        "{last}"
    );
}

#[test]
fn open_without_a_node_prints_one_summary_and_that_at_its_end() {
    let homes = Homes::new();
    let laptop = homes.device("laptop");
    laptop.init("Berger", "Anna", "laptop");
    let mut node = laptop.start(&["open", "--print", "--gallery", "127.0.0.1:0"]);
    let link = node.line("open");
    assert!(
        link["url"].as_str().is_some_and(|url| url.contains("/#t=")),
        "{link}"
    );
    node.signal(Signal::TERM);
    let (lines, exit) = node.all();
    assert_eq!(exit, 0);
    let kinds: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["type"].as_str())
        .collect();
    assert_eq!(kinds, ["summary"]);
}

#[test]
fn a_home_is_not_made_when_its_recovery_words_could_reach_nobody() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        crate::devices::skipped("there is no /dev/full");
        return;
    };
    let homes = Homes::new();
    let home = homes.path().join("new");
    let names = ["init", "--family", "Berger", "--person", "Anna"];
    let status = Command::new(env!("CARGO_BIN_EXE_heirloom"))
        .arg("--home")
        .arg(&home)
        .args(names)
        .stdout(full)
        .stderr(Stdio::null())
        .status()
        .expect("it runs");
    assert_eq!(status.code(), Some(1));
    assert!(!home.exists());
}

#[test]
fn what_is_about_the_program_alone_needs_no_home_folder() {
    for (args, home) in [
        (["--json", "version"], None),
        (["--json", "--version"], Some("")),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_heirloom"));
        command
            .args(args)
            .env_remove("HOME")
            .env_remove("XDG_DATA_HOME");
        match home {
            Some(home) => command.env("HEIRLOOM_HOME", home),
            None => command.env_remove("HEIRLOOM_HOME"),
        };
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let line: Value = serde_json::from_slice(&output.stdout).expect("one line");
        assert_eq!(
            (&line["type"], &line["act"]),
            (&"summary".into(), &"version".into())
        );
    }
}

#[test]
fn a_file_that_is_not_there_keeps_the_others_from_nothing() {
    use std::os::unix::fs::symlink;
    let homes = Homes::new();
    let laptop = homes.device("laptop");
    laptop.init("Berger", "Anna", "laptop");
    let folder = homes.path().join("photos");
    std::fs::create_dir(&folder).expect("a folder");
    let mut dice = crate::devices::Dice::new();
    for name in ["one.bmp", "two.bmp"] {
        std::fs::write(folder.join(name), pictures::bmp(20, &mut dice)).expect("a photo");
    }
    let [file, within] = ["file", "within"].map(|name| homes.path().join(name));
    symlink(folder.join("one.bmp"), &file).expect("a link");
    symlink(&folder, &within).expect("a link");
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    // What a person names is followed, be it a file or a folder.
    for (path, added, present) in [(text(&file), 1, 0), (text(&within), 1, 1)] {
        let lines = laptop.ok(&["import", &path]);
        let end = lines.last().expect("a summary");
        assert_eq!(
            (&end["added"], &end["present"]),
            (&added.into(), &present.into()),
            "{end}"
        );
        assert_eq!(end["skipped"], 0, "{lines:?}");
    }
    let (end, exit) = laptop.run(&["import", "/nosuch", &text(&folder)], "");
    assert_eq!(
        (exit, &end["failed"], &end["present"]),
        (3, &1.into(), &2.into()),
        "{end}"
    );
    let (end, exit) = laptop.run(&["import", "/nosuch", "/neither"], "");
    assert_eq!((exit, end["id"].as_str()), (4, Some("E-NOT-FOUND")));
}

#[test]
fn a_node_that_was_halted_is_not_waited_for_for_ever() {
    let homes = Homes::new();
    let laptop = homes.device("laptop");
    laptop.init("Berger", "Anna", "laptop");
    let mut node = laptop.serve_with(&["--no-discovery", "--listen", LOOPBACK]);
    node.signal(Signal::STOP);
    let (end, exit) = laptop.run(&["list"], "");
    assert_eq!(
        (exit, end["id"].as_str()),
        (75, Some("E-TRY-LATER")),
        "{end}"
    );
    node.signal(Signal::CONT);
    laptop.ok(&["list"]);
    node.stop();
}
