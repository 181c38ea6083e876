//! What goes wrong, as people and scripts are told: what happened, what is safe, what to do.

use serde_json::{Value, json};

use crate::{
    runtime::RuntimeError,
    store::{Damage, Refusal, StoreError},
};
use heirloom_protocol::{crypto::words::WordsError, replica::WriteError};

/// The last line of an act that failed. docs/errors.md explains each id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiError {
    /// `E-..`.
    pub id: &'static str,
    /// What happened.
    pub message: String,
    /// What is safe all the same.
    pub safe: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Which of the things an id stands for it was, and a number that belongs to it.
    pub why: Option<(&'static str, usize)>,
    /// The exit code of the command.
    pub exit: u8,
}

impl ApiError {
    /// An error of a kind.
    pub fn new(id: &'static str, exit: u8, message: impl Into<String>) -> Self {
        Self {
            id,
            message: message.into(),
            safe: None,
            hint: None,
            why: None,
            exit,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds which of the things it was, for who shows it in another language.
    #[must_use]
    pub fn why(mut self, which: &'static str, number: usize) -> Self {
        self.why = Some((which, number));
        self
    }

    /// What is wrong with words that were typed.
    pub(super) fn of_words(self, error: WordsError) -> Self {
        match error {
            WordsError::Count { expected, .. } => self.why("count", expected),
            WordsError::Unknown(word) => self.why("word", word),
            WordsError::Checksum => self.why("mixed", 0),
        }
    }

    /// Adds what is safe.
    #[must_use]
    pub fn safe(mut self, safe: impl Into<String>) -> Self {
        self.safe = Some(safe.into());
        self
    }

    /// The home has no family yet.
    pub fn not_set_up() -> Self {
        Self::new(
            "E-NOT-SET-UP",
            5,
            "Heirloom is not set up on this device yet",
        )
        .hint("heirloom init starts a family, heirloom join joins one")
    }

    /// The home has a family already.
    pub fn already_set_up() -> Self {
        Self::new(
            "E-ALREADY-SET-UP",
            1,
            "Heirloom is already set up on this device",
        )
        .safe("Nothing was changed.")
        .hint("another home needs another folder: heirloom --home DIR ...")
    }

    /// The request makes no sense.
    pub fn usage(message: &str) -> Self {
        Self::new("E-USAGE", 2, message)
    }

    /// `config.toml` says what makes no sense.
    pub fn config(what: &str) -> Self {
        Self::usage(&format!("config.toml: {what}"))
            .hint("mend the file by hand, or remove it to begin anew")
    }

    /// `config.toml` cannot be read.
    pub fn config_unread(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::InvalidData => Self::config("it is no text (UTF-8)"),
            _ => StoreError::from(error).into(),
        }
    }

    /// The network does not come up.
    pub fn network(error: &impl std::fmt::Display) -> Self {
        Self::new("E-IO", 1, format!("the network: {error}"))
            .why("network", 0)
            .safe("Your photos are untouched.")
            .hint("another program may use the port, or the address is not this computer's: heirloom serve --port N; heirloom config list shows network.listen and network.port")
    }

    /// Nothing fits what was asked for.
    pub fn not_found(what: &str) -> Self {
        Self::new("E-NOT-FOUND", 4, format!("there is no {what}"))
    }

    /// More than one thing fits.
    pub fn ambiguous(what: &str) -> Self {
        Self::new("E-AMBIGUOUS", 2, format!("more than one {what}"))
            .hint("give more of the id, or the whole of it")
    }

    /// The family's rules do not allow it.
    pub fn not_allowed(message: &str) -> Self {
        Self::new("E-NOT-ALLOWED", 1, message)
    }

    /// It cannot be done at this moment.
    pub fn try_later(message: &str) -> Self {
        Self::new("E-TRY-LATER", 75, message).safe("Nothing was changed.")
    }

    /// This version does not know the act.
    pub fn not_yet(act: &str) -> Self {
        Self::new("E-NOT-YET", 2, format!("this node does not know {act:?}"))
            .safe("Nothing was done.")
            .hint("stop the node and start it again from the same version as the command")
    }

    /// The code is wrong, used, expired, or was refused.
    pub fn code(message: &str) -> Self {
        Self::new("E-CODE", 8, message)
            .safe("Your photos are safe; nothing was shared.")
            .hint("ask for a new code: heirloom invite")
    }

    /// A person said no.
    pub fn refused(message: &str) -> Self {
        Self::new("E-REFUSED", 8, message)
            .safe("Nothing was shared, and nobody joined.")
            .hint("if the words differed, make a new code and hand it over in person")
    }

    /// Nobody answers.
    pub fn no_peer(message: &str) -> Self {
        Self::new("E-NO-PEER", 6, message)
            .hint("is the other device on, on the same network, and running: heirloom serve ?")
    }

    /// The line.
    pub fn line(&self) -> Value {
        let mut line = json!({
            "type": "error", "v": 1, "id": self.id, "message": self.message,
            "safe": self.safe, "hint": self.hint, "exit": self.exit,
        });
        if let Some((which, number)) = self.why {
            line["why"] = json!({"id": which, "n": number});
        }
        line
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::NotSetUp => Self::not_set_up(),
            StoreError::Locked => Self::new("E-LOCKED", 7, "another heirloom works on this home")
                .hint("wait for it to finish, or stop it"),
            StoreError::Newer { .. } | StoreError::NewerKey { .. } => Self::new("E-NEWER-FORMAT", 1, text)
                .safe("Nothing was touched.")
                .hint("update heirloom"),
            StoreError::Permissions { fix, .. } => {
                Self::new("E-KEY-PERMISSIONS", 1, text).hint(fix)
            }
            StoreError::OtherAccount { .. } => Self::new("E-OTHER-ACCOUNT", 1, text)
                .safe("Nothing was touched.")
                .hint("run it as that account: sudo -u NAME heirloom ...; if a service has the home, start that: sudo systemctl start heirloom-keeper"),
            StoreError::DiskFull => Self::new("E-DISK-FULL", 1, "the disk is full")
                .safe("Everything that was reported as added is safe, and can be looked at, exported and deleted.")
                .hint("free some space, then run the same command again: what is there is not added twice"),
            StoreError::ReadOnly => Self::new("E-READ-ONLY", 1, "the home can only be read")
                .safe("Nothing was changed. Everything that was reported as added is safe.")
                .hint("see that you may write there and that the disk is mounted for writing, or copy the whole home and name the copy with --home"),
            StoreError::Damaged(Damage::Key { .. }) => Self::new("E-DAMAGED", 9, text)
                .safe("Nothing was changed. The photos here are encrypted and cannot be opened without that file.")
                .hint("bring it back from a backup of this home; else set up another home (--home) with heirloom recovery restore, and keep this one until everything is there"),
            StoreError::Damaged(Damage::Version { .. }) => Self::new("E-DAMAGED", 9, text)
                .safe("Nothing was touched; your photos are not in this file.")
                .hint("put the file back from a copy of the home; of this version it is one line: heirloom store 1"),
            StoreError::Damaged(_) => Self::new("E-DAMAGED", 9, text)
                .hint("heirloom verify --read-data names everything that is damaged"),
            StoreError::Refused(Refusal::SetUp) => Self::already_set_up(),
            StoreError::Refused(_) | StoreError::Io(_) => Self::new("E-IO", 1, text)
                .safe("Everything that was reported as done is safe.")
                .hint("see that the folder is there, that the disk is connected and that you may write to it"),
        }
    }
}

impl From<RuntimeError> for ApiError {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::Store(error) => error.into(),
            RuntimeError::Write(error) => error.into(),
            RuntimeError::NoRandomness | RuntimeError::Stopped => {
                Self::new("E-IO", 1, error.to_string())
            }
        }
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NoAlbum => Self::not_found("such album"),
            WriteError::NotAllowed => Self::not_allowed("you may not do this here")
                .hint("ask somebody who manages the album, or an admin of the family"),
            WriteError::NoKey => Self::try_later("the key has not reached this device yet")
                .hint("run heirloom sync, then try again"),
            WriteError::TooLarge => Self::usage("that is empty, or longer than it may be")
                .hint("a name has up to 256 bytes, a caption or comment up to 16 KiB"),
            WriteError::Forked => Self::try_later("this home was copied and the copy was used")
                .hint("everything is still here; run the command once more"),
            WriteError::Refused(_) => Self::new("E-DAMAGED", 9, error.to_string())
                .hint("heirloom verify names what is wrong"),
        }
    }
}
