//! That the surface is what the contract says.

use std::collections::BTreeSet;

use super::*;

fn words(line: &str) -> Vec<OsString> {
    // Enough of a shell for the examples: double quotes, and no redirections.
    let mut all = Vec::new();
    for (nth, part) in line.split('"').enumerate() {
        if nth % 2 == 1 {
            all.push(part.into());
        } else {
            all.extend(part.split_whitespace().map(OsString::from));
        }
    }
    all
}

fn fits(line: &str) -> bool {
    parse(&words(line), false).is_ok()
}

fn each(command: &clap::Command, visit: &mut impl FnMut(&clap::Command)) {
    for sub in command.get_subcommands() {
        visit(sub);
        each(sub, visit);
    }
}

#[test]
fn clap_finds_no_fault_with_the_surface() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_stands_under_one_heading_of_the_overview() {
    let grouped: Vec<&str> = GROUPS
        .iter()
        .flat_map(|(_, names)| *names)
        .copied()
        .collect();
    let listed: BTreeSet<&str> = grouped.iter().copied().collect();
    assert_eq!(listed.len(), grouped.len(), "a command stands twice");
    let bare = Cli::command();
    let visible = bare.get_subcommands().filter(|sub| !sub.is_hide_set());
    assert_eq!(listed, visible.map(clap::Command::get_name).collect());
}

#[test]
fn short_help_is_one_imperative_line_without_a_full_stop() {
    each(&Cli::command(), &mut |sub| {
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty(), "{} has no help", sub.get_name());
        assert!(!about.ends_with('.') && !about.contains('\n'), "{about}");
        assert!(about.len() <= 72, "{about}");
        for arg in sub.get_arguments() {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                !help.is_empty() && !help.ends_with('.'),
                "{} {}",
                sub.get_name(),
                arg.get_id()
            );
        }
    });
}

#[test]
fn long_help_gives_examples_first_and_they_parse() {
    let mut checked = 0;
    for sub in Cli::command()
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
    {
        let help = sub
            .get_before_long_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            help.starts_with("Examples:\n  heirloom "),
            "{}",
            sub.get_name()
        );
        for line in help.lines().filter(|line| line.starts_with("  heirloom ")) {
            let line = line
                .split([" < ", " > "].map(|s| s.chars().nth(1).unwrap_or(' ')))
                .next()
                .unwrap_or(line);
            assert!(fits(line), "{line}");
            checked += 1;
        }
        let shown = command()
            .find_subcommand_mut(sub.get_name())
            .expect("the same command")
            .render_long_help()
            .to_string();
        assert!(shown.find("Examples:") < shown.find("Usage:"), "{shown}");
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn the_contract_is_understood_in_every_form() {
    for line in [
        "heirloom --home D --json --yes invite --person Ben",
        "heirloom invite --person Ben --home D --json --yes",
        "heirloom -q -v list --color never",
        "heirloom init --family F --person P --device D --no-recovery",
        "heirloom init --family F --person P --recovery-out words.txt",
        "heirloom invite --device --album A --album B --valid 90m",
        "heirloom invite --person Ben --role viewer",
        "heirloom invite --keeper nas",
        "heirloom invite --keeper nas --album A --album B",
        "heirloom join",
        "heirloom --yes join -",
        "heirloom join --person Ben --device D -",
        "heirloom serve --no-discovery --listen /ip4/127.0.0.1/tcp/0 --no-gallery",
        "heirloom serve --port 4001 --lan-only --gallery 127.0.0.1:8080",
        "heirloom serve --port 4001 --relay --external /ip4/203.0.113.7/tcp/4001",
        "heirloom status --watch",
        "heirloom status --check",
        "heirloom sync --timeout 60s",
        "heirloom import a b --album A",
        "heirloom import a --album-per-folder --dry-run --since 2023-05-01",
        "heirloom watch add D",
        "heirloom watch add D --album A",
        "heirloom watch list",
        "heirloom watch remove D",
        "heirloom retake a b --at 1974-08-12T15:00",
        "heirloom retake a --shift -1h30m",
        "heirloom list --album A --taken 2023-05-01..2023-05-31 --type video --only-here --trashed",
        "heirloom show zzzzzzzz",
        "heirloom find two words",
        "heirloom get a b -o D",
        "heirloom export D --album A --album B --layout date --sidecars none",
        "heirloom caption a text",
        "heirloom favorite a b",
        "heirloom favourite a",
        "heirloom tag a b --add T --remove T",
        "heirloom trash a b --album A",
        "heirloom restore a",
        "heirloom undo D --since 2023-05-01T14:30 --album A --dry-run",
        "heirloom purge a b",
        "heirloom album create A",
        "heirloom album list",
        "heirloom album show A",
        "heirloom album rename A B",
        "heirloom album add A a b",
        "heirloom album remove A a",
        "heirloom album leave A --with-last-copies",
        "heirloom album delete A --with-last-copies",
        "heirloom share A Ben --role manager",
        "heirloom unshare A Ben --with-last-copies",
        "heirloom people list",
        "heirloom people rename A B",
        "heirloom people remove A",
        "heirloom device list",
        "heirloom device rename A B",
        "heirloom device remove A --lost",
        "heirloom device policy A cache --limit 50G",
        "heirloom words",
        "heirloom peer list",
        "heirloom peer add /ip4/127.0.0.1/tcp/4001",
        "heirloom peer remove /ip4/127.0.0.1/tcp/4001",
        "heirloom verify --read-data",
        "heirloom verify --read-data --repair",
        "heirloom bundle write D --to A --since 2023-05-01",
        "heirloom bundle read D",
        "heirloom depot add D",
        "heirloom depot add s3://b/p --endpoint http://10.0.0.2:9000 --region r",
        "heirloom depot list",
        "heirloom depot remove D",
        "heirloom recovery check -",
        "heirloom recovery replace",
        "heirloom recovery restore - --device N --remove-lost A --remove-lost B",
        "heirloom config get k",
        "heirloom config set k v",
        "heirloom config list",
        "heirloom service install",
        "heirloom service install --keeper",
        "heirloom service remove",
        "heirloom service status",
        "heirloom log",
        "heirloom log -f",
        "heirloom doctor",
        "heirloom completions zsh",
        "heirloom man D",
        "heirloom version",
        "heirloom demo D",
        "heirloom worker-decode",
    ] {
        assert!(fits(line), "{line}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "heirloom",
        "heirloom no-such-command",
        "heirloom init --family F",
        "heirloom init --family F --person P --no-recovery --recovery-out f",
        "heirloom invite",
        "heirloom invite --device --person Ben",
        "heirloom invite --device --role admin",
        "heirloom invite --device --valid soon",
        "heirloom import",
        "heirloom import a --album A --album-per-folder",
        "heirloom list --taken may",
        "heirloom list --type song",
        "heirloom get",
        "heirloom retake a",
        "heirloom retake a --at noon",
        "heirloom retake a --shift 1x",
        "heirloom retake a --shift 1h --at 2023-05-01",
        "heirloom tag a",
        "heirloom serve --gallery 127.0.0.1:1 --no-gallery",
        "heirloom serve --listen localhost",
        "heirloom album",
    ] {
        assert!(!fits(line), "{line}");
    }
}

#[test]
fn wrong_usage_is_told_in_one_sentence_with_a_hint() {
    for (line, message, hint) in [
        (
            "heirloom no-such-command",
            "unrecognized subcommand 'no-such-command'",
            "heirloom --help",
        ),
        (
            "heirloom imprt x",
            "unrecognized subcommand 'imprt'",
            "did you mean '",
        ),
        ("heirloom --json", "a command is missing", "heirloom --help"),
        (
            "heirloom completions tcsh",
            "invalid value 'tcsh' for '<SHELL>' [possible values: bash, elvish, fish, powershell, zsh]",
            "it is one of bash, elvish, fish, powershell, zsh",
        ),
        (
            "heirloom caption 3f2a91c0 -5",
            "unexpected argument '-5' found",
            "a text that begins with a dash goes behind two of them: -- -5",
        ),
        (
            "heirloom invite --device --valid 0s",
            "invalid value '0s' for '--valid <DURATION>': it is to be longer than nothing, such as 90m, 24h or 7d",
            "heirloom --help",
        ),
        (
            "heirloom show",
            "the following required arguments were not provided: <ID>",
            "heirloom --help",
        ),
    ] {
        match parse(&words(line), false) {
            Err(Misuse::Wrong {
                message: told,
                hint: hinted,
                ..
            }) => {
                assert_eq!(told, message);
                assert!(hinted.starts_with(hint), "{hinted}");
            }
            _ => panic!("{line} was not refused"),
        }
    }
    assert!(matches!(
        parse(&words("heirloom list --help"), false),
        Err(Misuse::Asked { act: "help", .. })
    ));
    assert!(matches!(
        parse(&words("heirloom --version"), false),
        Err(Misuse::Asked { act: "version", .. })
    ));
}

#[test]
fn json_and_colour_are_seen_even_when_the_rest_is_wrong() {
    let peeked = |line: &str| {
        let found = peek(&words(line));
        (found.json, found.color)
    };
    assert_eq!(peeked("heirloom nonsense --json"), (true, Color::Auto));
    assert_eq!(peeked("heirloom caption a -- --json"), (false, Color::Auto));
    assert_eq!(peeked("heirloom --color never x"), (false, Color::Never));
    assert_eq!(peeked("heirloom --color=always x"), (false, Color::Always));
}

#[test]
fn completions_and_man_pages_know_the_commands() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = String::from_utf8(completion_script(shell)).expect("UTF-8");
        assert!(script.contains("recovery-out"), "{shell}");
    }
    let dir = tempfile::tempdir().expect("a folder");
    write_man_pages(dir.path()).expect("written");
    let page = std::fs::read_to_string(dir.path().join("heirloom-invite.1")).expect("a page");
    assert!(page.contains("heirloom invite \\-\\-device"), "{page}");
    assert!(!dir.path().join("heirloom-worker-decode.1").exists());
}
