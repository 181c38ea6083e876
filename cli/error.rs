//! What can go wrong, with its exit code and its words for people.
//!
//! The table of ids is the contract of `docs/errors.md`. Most errors are told by
//! the node as an `error` line and passed on as they are; the rest arise here.

use std::{io, path::PathBuf};

use crate::ui::Line;

/// Every error id with its exit code; `docs/errors.md` explains each.
pub(crate) const ERRORS: &[(&str, u8)] = &[
    ("E-NOT-SET-UP", 5),
    ("E-ALREADY-SET-UP", 1),
    ("E-LOCKED", 7),
    ("E-USAGE", 2),
    ("E-NOT-YET", 2),
    ("E-NOT-CONFIRMED", 1),
    ("E-NO-PEER", 6),
    ("E-CODE", 8),
    ("E-REFUSED", 8),
    ("E-NOT-FOUND", 4),
    ("E-AMBIGUOUS", 2),
    ("E-NOT-ALLOWED", 1),
    ("E-NO-GALLERY", 1),
    // Told to browsers alone.
    ("E-SESSION", 1),
    ("E-LINK", 1),
    ("E-HOST", 1),
    ("E-ORIGIN", 1),
    ("E-TOO-LARGE", 1),
    ("E-ELSEWHERE", 1),
    ("E-PARTLY", 3),
    ("E-DAMAGED", 9),
    ("E-DISK-FULL", 1),
    ("E-READ-ONLY", 1),
    ("E-IO", 1),
    ("E-KEY-PERMISSIONS", 1),
    ("E-OTHER-ACCOUNT", 1),
    ("E-NEWER-FORMAT", 1),
    ("E-NO-SYSTEMD", 1),
    ("E-SERVICE", 1),
    ("E-TRY-LATER", 75),
    ("E-NODE-GONE", 75),
    ("E-INTERRUPTED", 130),
    ("E-INTERNAL", 1),
];

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The arguments, the terminal or the input do not fit the command.
    #[error("{message}")]
    Usage {
        message: String,
        hint: Option<String>,
    },
    /// The node's own error line.
    #[error("{}", .0.message)]
    Told(Told),
    #[error("cannot {act} {}", path.display())]
    File {
        act: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the node that runs on this home does not answer")]
    NodeSilent,
    #[error("the node stopped answering")]
    NodeGone,
    #[error("the node answers what this command does not understand")]
    Garbled,
    #[error("nobody said yes")]
    NotConfirmed,
    #[error("what stands on stdin is no text (UTF-8)")]
    NotText,
    #[error("stopped")]
    Interrupted,
    /// An invite was ended while its code waited for somebody.
    #[error("stopped")]
    TakenBack,
    #[error("{0}")]
    NotYet(&'static str),
    #[error("{0}")]
    NoSystemd(&'static str),
    /// systemd did not do what it was asked.
    #[error("systemd could not {act}: {told}")]
    Unit { act: &'static str, told: String },
}

/// An error in the words of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) message: String,
    pub(crate) safe: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) exit: u8,
}

impl Told {
    /// Reads an `error` line; its exit code is the line's own, else the one of its id.
    pub(crate) fn from_line(line: &Line) -> Self {
        let id = line.exact("id").unwrap_or("E-INTERNAL").to_owned();
        Self {
            exit: line.exit().unwrap_or_else(|| exit_of(&id)),
            message: line
                .exact("message")
                .unwrap_or("something failed")
                .to_owned(),
            safe: line.exact("safe").map(str::to_owned),
            hint: line.exact("hint").map(str::to_owned),
            id,
        }
    }
}

fn exit_of(id: &str) -> u8 {
    ERRORS
        .iter()
        .find(|(known, _)| *known == id)
        .map_or(1, |(_, exit)| *exit)
}

impl CliError {
    /// Wrong usage, with the remedy.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// The id of `docs/errors.md`.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Usage { .. } | Self::NotText => "E-USAGE",
            Self::Told(told) => &told.id,
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "E-DISK-FULL",
                _ => "E-IO",
            },
            Self::NodeSilent => "E-TRY-LATER",
            Self::NodeGone => "E-NODE-GONE",
            Self::Garbled => "E-INTERNAL",
            Self::NotConfirmed => "E-NOT-CONFIRMED",
            Self::Interrupted | Self::TakenBack => "E-INTERRUPTED",
            Self::NotYet(_) => "E-NOT-YET",
            Self::NoSystemd(_) => "E-NO-SYSTEMD",
            Self::Unit { .. } => "E-SERVICE",
        }
    }

    /// The exit code of the process.
    pub(crate) fn exit(&self) -> u8 {
        match self {
            Self::Told(told) => told.exit,
            _ => exit_of(self.id()),
        }
    }

    /// What happened, in one sentence.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::File { source, .. } => format!("{self}: {}", reason(source)),
            _ => self.to_string(),
        }
    }

    /// What is safe all the same.
    pub(crate) fn safe(&self) -> Option<&str> {
        match self {
            Self::Told(told) => told.safe.as_deref(),
            Self::NotConfirmed => Some("Nothing was changed."),
            Self::NodeSilent | Self::NodeGone | Self::Garbled => {
                Some("What was reported as done is done; your photos are safe.")
            }
            Self::Interrupted => Some("What was done so far is safe; it can be run again."),
            Self::TakenBack => {
                Some("Its code works no more; a new one is made by the same command.")
            }
            Self::NoSystemd(_) => Some("Nothing was changed."),
            Self::Unit { .. } => Some("Your photos are untouched."),
            Self::Usage { .. } | Self::NotText | Self::File { .. } | Self::NotYet(_) => None,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Told(told) => told.hint.as_deref(),
            Self::Usage { hint, .. } => hint.as_deref(),
            Self::NodeSilent => Some(
                "try again in a moment; if it stands still for long, end it and start it anew: heirloom serve",
            ),
            Self::NodeGone => Some("see how it is with heirloom status, then run this again"),
            Self::Garbled => Some("stop the node and start it again: it may be of another version"),
            Self::NotText => Some("give one line of text"),
            Self::NotConfirmed => Some("run it again and answer y, or add --yes"),
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("free some space, then run this again")
                }
                io::ErrorKind::AlreadyExists => {
                    Some("name a file that does not exist yet; nothing is overwritten")
                }
                io::ErrorKind::PermissionDenied => Some("choose a place that you may write to"),
                _ => None,
            },
            Self::NotYet(_) => Some("heirloom --help lists what it can do"),
            Self::NoSystemd(_) => Some(
                "have your system start 'heirloom serve': cron with @reboot on Linux, brew services on macOS, a container on a NAS",
            ),
            Self::Unit { .. } => {
                Some("heirloom service status and heirloom log show more; try again after that")
            }
            Self::Interrupted | Self::TakenBack => None,
        }
    }
}

// The system's words without its error number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::*;
    use crate::ui::{Manner, Terminal, recorded};

    fn one_of_each() -> Vec<CliError> {
        let file = |kind: io::ErrorKind| CliError::File {
            act: "write",
            path: PathBuf::from("words.txt"),
            source: kind.into(),
        };
        let told = Told {
            id: "E-CODE".into(),
            message: "this invite was already used".into(),
            safe: Some("Your photos are safe.".into()),
            hint: Some("ask for a new one".into()),
            exit: 8,
        };
        let bare = CliError::Usage {
            message: "the word is no date".into(),
            hint: None,
        };
        vec![
            CliError::usage("m", "h"),
            bare,
            file(io::ErrorKind::StorageFull),
            file(io::ErrorKind::PermissionDenied),
            file(io::ErrorKind::AlreadyExists),
            file(io::ErrorKind::NotFound),
            CliError::Told(told),
            CliError::NodeSilent,
            CliError::NodeGone,
            CliError::Garbled,
            CliError::NotConfirmed,
            CliError::NotText,
            CliError::Interrupted,
            CliError::TakenBack,
            CliError::NotYet("this command is not for this door"),
            CliError::NoSystemd("this system has no systemd"),
            CliError::Unit {
                act: "start heirloom.service",
                told: "Job failed.".into(),
            },
        ]
    }

    #[test]
    fn every_error_is_told_in_these_words() {
        let told: Vec<String> = one_of_each().iter().map(told).collect();
        let want = [
            "error: m\nhint: h\n",
            "error: the word is no date\n",
            "error: cannot write words.txt: no storage space\nhint: free some space, then run this again\n",
            "error: cannot write words.txt: permission denied\nhint: choose a place that you may write to\n",
            "error: cannot write words.txt: entity already exists\n\
             hint: name a file that does not exist yet; nothing is overwritten\n",
            "error: cannot write words.txt: entity not found\n",
            "error: this invite was already used\n  Your photos are safe.\nhint: ask for a new one\n",
            "error: the node that runs on this home does not answer\n  \
             What was reported as done is done; your photos are safe.\n\
             hint: try again in a moment; if it stands still for long, end it and start it anew: heirloom serve\n",
            "error: the node stopped answering\n  What was reported as done is done; your photos are safe.\n\
             hint: see how it is with heirloom status, then run this again\n",
            "error: the node answers what this command does not understand\n  \
             What was reported as done is done; your photos are safe.\n\
             hint: stop the node and start it again: it may be of another version\n",
            "error: nobody said yes\n  Nothing was changed.\nhint: run it again and answer y, or add --yes\n",
            "error: what stands on stdin is no text (UTF-8)\nhint: give one line of text\n",
            "error: stopped\n  What was done so far is safe; it can be run again.\n",
            "error: stopped\n  Its code works no more; a new one is made by the same command.\n",
            "error: this command is not for this door\nhint: heirloom --help lists what it can do\n",
            "error: this system has no systemd\n  Nothing was changed.\n\
             hint: have your system start 'heirloom serve': cron with @reboot on Linux, brew services on macOS, a container on a NAS\n",
            "error: systemd could not start heirloom.service: Job failed.\n  Your photos are untouched.\n\
             hint: heirloom service status and heirloom log show more; try again after that\n",
        ];
        assert_eq!(told, want);
    }

    /// What a person reads.
    fn told(error: &CliError) -> String {
        let (mut ui, out, err) = recorded::ui(Manner::default(), Terminal::default(), "");
        ui.error(error);
        assert_eq!(out.text(), "");
        err.text()
    }

    #[test]
    fn every_error_has_an_id_of_the_table() {
        for error in one_of_each() {
            assert!(
                ERRORS.iter().any(|(id, _)| *id == error.id()),
                "{}",
                error.id()
            );
            assert!(error.exit() > 0);
        }
    }

    #[test]
    fn the_exit_codes_are_those_of_the_contract() {
        let exits: BTreeMap<_, _> = ERRORS.iter().copied().collect();
        assert_eq!(exits.len(), ERRORS.len(), "an id stands twice");
        for (id, exit) in [
            ("E-NOT-SET-UP", 5),
            ("E-LOCKED", 7),
            ("E-USAGE", 2),
            ("E-NO-PEER", 6),
            ("E-CODE", 8),
            ("E-NOT-FOUND", 4),
            ("E-DAMAGED", 9),
            ("E-PARTLY", 3),
            ("E-TRY-LATER", 75),
            ("E-INTERRUPTED", 130),
        ] {
            assert_eq!(exits.get(id), Some(&exit), "{id}");
        }
    }

    #[test]
    fn the_node_tells_the_exit_code_or_its_id_does() {
        let told =
            |text: &str| Told::from_line(&Line::parse(text.as_bytes()).expect("a line")).exit;
        assert_eq!(
            told(r#"{"type":"error","v":1,"id":"E-CODE","message":"used"}"#),
            8
        );
        assert_eq!(
            told(r#"{"type":"error","v":1,"id":"E-CODE","message":"used","exit":3}"#),
            3
        );
        assert_eq!(
            told(r#"{"type":"error","v":1,"id":"E-of-a-newer-node","message":"x"}"#),
            1
        );
        assert_eq!(
            told(r#"{"type":"error","v":1,"id":"E-CODE","message":"x","exit":0}"#),
            8
        );
    }

    #[test]
    fn the_manual_explains_every_error_and_no_other() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
        let manual = std::fs::read_to_string(path).expect("docs/errors.md");
        let told: BTreeMap<String, u8> = manual
            .lines()
            .filter_map(|line| line.strip_prefix("## E-"))
            .map(|rest| {
                let (id, exit) = rest.split_once(" (exit ").expect("## E-ID (exit N)");
                let exit = exit.trim_end_matches(')').parse().expect("an exit code");
                (format!("E-{id}"), exit)
            })
            .collect();
        let known = ERRORS
            .iter()
            .map(|(id, exit)| ((*id).to_owned(), *exit))
            .collect();
        assert_eq!(told, known);
    }

    #[test]
    fn a_reason_is_the_systems_sentence_without_its_number() {
        let missing = io::Error::from_raw_os_error(2);
        assert!(
            !reason(&missing).contains("os error"),
            "{}",
            reason(&missing)
        );
    }
}
