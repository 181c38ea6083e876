//! What goes wrong, as people and scripts are told: what happened, what is safe, what to do.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    runtime::RuntimeError,
    store::{Damage, Refusal, StoreError, fs},
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
        .safe("Nothing was changed.")
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
        .hint("another home needs another folder: heirloom --home DIR, with the same command. Its photos are not those of this one: heirloom export writes these out")
    }

    /// The request makes no sense.
    pub fn usage(message: &str) -> Self {
        Self::new("E-USAGE", 2, message)
    }

    /// `config.toml` says what makes no sense.
    pub fn config(path: &Path, what: &str) -> Self {
        Self::usage(&format!("{}: {what}", path.display()))
            .safe("Your photos are untouched: this file holds settings alone.")
            .hint("mend the file with an editor, or move it away: then the usual settings hold")
    }

    /// The same of a file that cannot be understood, with the line where that is.
    pub fn config_line(text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start));
        let told = error.message();
        Self::usage(&match before {
            Some(before) => format!("line {}: {told}", before.matches('\n').count() + 1),
            None => told.to_owned(),
        })
    }

    /// What was found wrong, as of a `config.toml`.
    #[must_use]
    pub fn in_config(self, path: &Path) -> Self {
        Self::config(path, &self.message)
    }

    /// `config.toml` cannot be read.
    pub fn config_unread(path: &Path, error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::InvalidData => Self::config(path, "it is no text (UTF-8)"),
            _ => StoreError::from(fs::at(path)(error)).into(),
        }
    }

    /// A file or folder that this account may not use, in the words of the system.
    fn closed(text: &str) -> Self {
        let what = text.rsplit_once(": ").map_or("a file", |(what, _)| what);
        let message = format!(
            "{what} belongs to another account, or may not be read and written by this one"
        );
        Self::new("E-IO", 1, message)
            .safe("Nothing was changed; what lies there is as it was.")
            .hint("if it is of Heirloom's home, give that folder back to the account that runs Heirloom: sudo chown -R ACCOUNT FOLDER, then chmod -R u+rwX FOLDER; else choose a place that you may write to")
    }

    /// What is here is not known again until the disk does what it should: until then it cannot be looked at either.
    fn unread(error: StoreError) -> Self {
        let until = match error {
            StoreError::DiskFull => "there is room",
            StoreError::ReadOnly => "the disk can be written to",
            _ => return error.into(),
        };
        let safe = format!(
            "Everything that was reported as added is safe, and can be looked at again once {until}."
        );
        Self::from(error).safe(safe)
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
        Self::new("E-NOT-FOUND", 4, format!("there is no {what}")).safe("Nothing was changed.")
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
            .safe("Nothing was changed; your photos are where they were.")
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
                .safe("Nothing was changed; the other one goes on.")
                .hint("wait for it to finish, or stop it"),
            StoreError::Newer { .. } | StoreError::NewerKey { .. } => Self::new("E-NEWER-FORMAT", 1, text)
                .safe("Nothing was touched.")
                .hint("update heirloom"),
            StoreError::Permissions { fix, .. } => {
                Self::new("E-KEY-PERMISSIONS", 1, text)
                    .safe("Nothing was changed; your photos are untouched. Whether somebody has read the keys cannot be known.")
                    .hint(fix)
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
                .hint("bring it back from a backup of this home, and keep this home: what only it had needs that file. What other devices have comes into another home: heirloom --home NEW recovery restore"),
            StoreError::Damaged(Damage::Version { .. }) => Self::new("E-DAMAGED", 9, text)
                .safe("Nothing was touched; your photos are not in this file.")
                .hint("put the file back from a copy of the home; of this version it is one line: heirloom store 1"),
            StoreError::Damaged(Damage::Value { .. } | Damage::Index { .. }) => Self::new("E-DAMAGED", 9, format!("the database of this home is {text}"))
                .safe("Your photos are not in it: they lie encrypted in files of their own, and what was said of them in the logs.")
                .hint("heirloom verify --repair has it made again from these"),
            StoreError::Damaged(_) => Self::new("E-DAMAGED", 9, text)
                .safe("Damaged bytes are never shown or sent as if they were good; all else is as it was.")
                .hint("heirloom verify --read-data --repair names everything that is damaged, and gets again what another device has"),
            StoreError::Refused(Refusal::SetUp) => Self::already_set_up(),
            StoreError::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied && text.contains(" (os error ") => Self::closed(&text),
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
            RuntimeError::Unread(error) => Self::unread(error),
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

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::store::Table;

    fn told(error: StoreError) -> (&'static str, String, String, String) {
        let error = ApiError::from(error);
        let safe = error.safe.expect("what is safe");
        let hint = error.hint.expect("what to do");
        (error.id, error.message, safe, hint)
    }

    #[test]
    fn a_file_that_may_not_be_used_is_told_with_whose_it_is_to_be() {
        let refused = || io::Error::from_raw_os_error(13);
        for path in [
            "/h/heirloom.redb",
            "/h/keys/device.key",
            "/h/logs/a: b/c.log",
        ] {
            let error = StoreError::from(fs::at(Path::new(path))(refused()));
            let (id, message, safe, hint) = told(error);
            let want = format!(
                "{path} belongs to another account, or may not be read and written by this one"
            );
            assert_eq!((id, message), ("E-IO", want));
            assert!(
                safe.starts_with("Nothing was changed") && hint.contains("chown -R"),
                "{safe} {hint}"
            );
        }
        let config = ApiError::config_unread(Path::new("/h/config.toml"), refused());
        assert!(
            config
                .message
                .starts_with("/h/config.toml belongs to another account"),
            "{config:?}"
        );
        // Keys that a store refuses are no file.
        let (_, message, ..) = told(StoreError::Io(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "wrong keys",
        )));
        assert_eq!(message, "wrong keys");
    }

    #[test]
    fn a_damaged_database_is_told_with_what_is_safe_and_what_to_do() {
        let damage = Damage::Value {
            table: Table::Assets,
            key: Vec::new(),
        };
        let (id, message, safe, hint) = told(damage.into());
        assert_eq!(
            (id, message.as_str()),
            (
                "E-DAMAGED",
                "the database of this home is damaged: a value in the table assets"
            )
        );
        assert!(
            safe.contains("lie encrypted in files of their own")
                && hint.contains("verify --repair")
        );
    }

    #[test]
    fn every_error_of_the_contract_says_what_is_safe() {
        let permissions = StoreError::Permissions {
            path: "/h".into(),
            mode: 0o755,
            fix: "chmod".into(),
        };
        for error in [
            ApiError::not_set_up(),
            ApiError::not_found("album"),
            ApiError::no_peer("nobody answers"),
            StoreError::Locked.into(),
            permissions.into(),
        ] {
            assert!(error.safe.is_some(), "{error:?}");
        }
    }
}
