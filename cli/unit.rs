//! The units that systemd runs a node by: the files of the packages, changed where this computer differs.

use std::path::Path;

/// What is run, and as whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// The node of a person, by the systemd of their account.
    Mine,
    /// The node of a person, by the system's.
    Of(String),
    /// A keeper, by the system's.
    Keeper,
}

/// The first line of what `service install` writes; nothing else is ever removed.
const MARK: &str = "# Written by heirloom service install.\n";
/// Where the packages put the program.
const PACKAGED: &str = "/usr/bin/heirloom";

impl Unit {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Mine => "heirloom.service".into(),
            Self::Of(account) => format!("heirloom@{account}.service"),
            Self::Keeper => "heirloom-keeper.service".into(),
        }
    }

    /// The name of its file, which accounts share.
    pub(crate) fn file(&self) -> String {
        match self {
            Self::Of(_) => "heirloom@.service".into(),
            _ => self.name(),
        }
    }

    pub(crate) fn is_mine(&self) -> bool {
        *self == Self::Mine
    }

    fn packaged(&self) -> &'static str {
        match self {
            Self::Mine => include_str!("packaging/systemd/user/heirloom.service"),
            Self::Of(_) => include_str!("packaging/systemd/system/heirloom@.service"),
            Self::Keeper => include_str!("packaging/systemd/system/heirloom-keeper.service"),
        }
    }

    /// The unit for a program at this path.
    pub(crate) fn text(&self, program: &str) -> String {
        let started = format!("ExecStart={} ", quoted(program));
        let text = self
            .packaged()
            .replace(&format!("ExecStart={PACKAGED} "), &started);
        format!("{MARK}{text}")
    }
}

/// What names another home than the account's usual one.
pub(crate) fn home_text(home: &str) -> String {
    let set = quoted(&format!("HEIRLOOM_HOME={home}"));
    let path = quoted(home);
    format!("{MARK}[Service]\nEnvironment={set}\nReadWritePaths={path}\n")
}

/// Whether the program is the one that the package's units run.
pub(crate) fn is_packaged(program: &Path) -> bool {
    program == Path::new(PACKAGED)
}

/// Whether a file was written by `service install`.
pub(crate) fn is_ours(text: &str) -> bool {
    text.starts_with(MARK)
}

/// A word of a unit file (systemd.syntax(7)).
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=@:".contains(c);
    if word.chars().all(plain) {
        return word.to_owned();
    }
    let escaped = word
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [Unit; 3] {
        [Unit::Mine, Unit::Of("anna".into()), Unit::Keeper]
    }

    #[test]
    fn each_unit_runs_the_program_that_wrote_it() {
        for unit in all() {
            assert!(unit.text(PACKAGED).ends_with(unit.packaged()));
            let text = unit.text("/opt/my tools/heir%loom");
            assert!(
                text.contains("\nExecStart=\"/opt/my tools/heir%%loom\" -v serve\n"),
                "{text}"
            );
            assert!(is_ours(&text) && !is_ours(unit.packaged()));
        }
    }

    #[test]
    fn each_unit_says_when_it_is_ready_and_that_it_lives() {
        for unit in all() {
            let text = unit.packaged();
            for line in [
                "Type=notify",
                "WatchdogSec=60",
                "Restart=on-failure",
                "ProtectSystem=strict",
                "UMask=0077",
                "NoNewPrivileges=yes",
                "MemoryDenyWriteExecute=yes",
                "LockPersonality=yes",
                "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
            ] {
                assert!(
                    text.lines().any(|found| found == line),
                    "{}: {line}",
                    unit.name()
                );
            }
        }
    }

    #[test]
    fn a_home_elsewhere_is_named_and_may_be_written_to() {
        assert_eq!(
            home_text("/mnt/big disk/heirloom"),
            "# Written by heirloom service install.\n[Service]\n\
             Environment=\"HEIRLOOM_HOME=/mnt/big disk/heirloom\"\n\
             ReadWritePaths=\"/mnt/big disk/heirloom\"\n"
        );
    }
}
