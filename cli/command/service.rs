//! `heirloom service`: has systemd run the node.
//!
//! It writes the units that the packages bring, for this program and this home,
//! and asks systemctl for the rest. It removes nothing that it did not write.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde_json::json;
use tokio::process::Command;

use super::Talk;
use crate::{
    args::{Startup, StartupAct},
    door::{self, Door},
    error::CliError,
    home,
    ui::{Line, Ui},
    unit::{self, Unit},
};

/// Where the system's own units are; an account's are below its folder of settings.
const SYSTEM: &str = "/etc/systemd/system";
/// Where packages put theirs.
const PACKAGED: [&str; 2] = ["/usr/lib/systemd", "/lib/systemd"];
/// The home of a keeper's service.
const KEEPER_HOME: &str = "/var/lib/heirloom";
/// Folders that a keeper's service does not see.
const HIDDEN: [&str; 3] = ["/home", "/root", "/run/user"];
const READABLE_BY_ALL: u32 = 0o644;

pub(super) async fn run(args: Startup, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Err(CliError::NoSystemd("this system is not run by systemd"));
    }
    let systemd = Systemd::of_this_account()?;
    match args.act {
        StartupAct::Install { keeper } => install(&systemd, keeper, talk).await,
        StartupAct::Remove => remove(&systemd, talk).await,
        StartupAct::Status => status(&systemd, talk).await,
    }
}

/// The systemd that is spoken to: the system's for root, else that of the account.
struct Systemd {
    is_user: bool,
    folder: PathBuf,
}

impl Systemd {
    fn of_this_account() -> Result<Self, CliError> {
        if door::is_root() {
            let folder = PathBuf::from(SYSTEM);
            return Ok(Self {
                is_user: false,
                folder,
            });
        }
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if variable("XDG_RUNTIME_DIR").is_none() {
            return Err(CliError::NoSystemd(
                "the systemd of this account cannot be reached: XDG_RUNTIME_DIR is not set",
            ));
        }
        let config = variable("XDG_CONFIG_HOME").map(PathBuf::from);
        let config = config.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")));
        let config = config.ok_or_else(|| {
            CliError::usage("this account has no home folder", "set HOME and try again")
        })?;
        Ok(Self {
            is_user: true,
            folder: config.join("systemd/user"),
        })
    }

    fn scope(&self) -> &'static str {
        if self.is_user { "user" } else { "system" }
    }

    async fn ask(&self, act: &'static str, words: &[&str]) -> Result<String, CliError> {
        let scope: &[&str] = if self.is_user { &["--user"] } else { &[] };
        said("systemctl", act, &[scope, words].concat()).await
    }

    /// The unit's file, where a package brought it.
    fn packaged(&self, unit: &Unit) -> Option<PathBuf> {
        let below = |root: &&str| Path::new(*root).join(self.scope()).join(unit.file());
        PACKAGED.iter().map(below).find(|path| path.is_file())
    }

    fn extra(&self, unit: &Unit) -> PathBuf {
        self.folder
            .join(format!("{}.d", unit.name()))
            .join("home.conf")
    }

    /// The services of this program that are set up here.
    fn units(&self) -> Vec<Unit> {
        if self.is_user {
            let wanted = self.folder.join("default.target.wants/heirloom.service");
            let file = self.folder.join("heirloom.service");
            let is_there = file.is_file() || fs::symlink_metadata(wanted).is_ok();
            return is_there.then_some(Unit::Mine).into_iter().collect();
        }
        let wanted = self.folder.join("multi-user.target.wants");
        let mut names: Vec<String> = fs::read_dir(wanted)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        if self.folder.join(Unit::Keeper.file()).is_file() {
            names.push(Unit::Keeper.name());
        }
        names.sort();
        names.dedup();
        let unit = |name: String| {
            if name == Unit::Keeper.name() {
                return Some(Unit::Keeper);
            }
            let account = name.strip_prefix("heirloom@")?.strip_suffix(".service")?;
            Some(Unit::Of(account.to_owned()))
        };
        names.into_iter().filter_map(unit).collect()
    }

    async fn line(&self, unit: &Unit) -> Result<Line, CliError> {
        let properties = "ActiveState,SubState,UnitFileState,MainPID,FragmentPath";
        let name = unit.name();
        let told = self
            .ask(
                "look at the service",
                &["show", "--property", properties, "--", &name],
            )
            .await?;
        let of = |key: &str| {
            let found = told
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            found.unwrap_or_default().to_owned()
        };
        let pid: u32 = of("MainPID").parse().unwrap_or(0);
        Ok(Line::own(
            "service",
            json!({
                "name": name, "scope": self.scope(), "file": of("FragmentPath"),
                "enabled": of("UnitFileState"), "state": of("ActiveState"),
                "detail": of("SubState"), "pid": (pid > 0).then_some(pid),
            }),
        ))
    }
}

async fn install(systemd: &Systemd, keeper: bool, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let program = program()?;
    let unit = match (keeper, systemd.is_user) {
        (true, true) => {
            return Err(CliError::usage(
                "a keeper's service belongs to the system",
                "sudo heirloom service install --keeper",
            ));
        }
        (true, false) => Unit::Keeper,
        (false, true) => Unit::Mine,
        (false, false) => Unit::Of(account()?),
    };
    let home = other_home(&unit, &talk.home)?;
    if unit == Unit::Keeper && HIDDEN.iter().any(|hidden| program.starts_with(hidden)) {
        return Err(CliError::usage(
            "a keeper's service sees no home folders, and this program is in one",
            format!(
                "sudo install -m 755 {} /usr/local/bin/heirloom",
                program.display()
            ),
        ));
    }
    if unit.is_mine()
        && !is_active(systemd, &unit).await
        && Door::of_running(&talk.home).await.is_some()
    {
        return Err(CliError::usage(
            "a node runs on this home already",
            "stop it (Ctrl+C where heirloom serve runs), then try again",
        ));
    }
    let text = program.to_str().map(|program| unit.text(program));
    let text =
        text.ok_or_else(|| CliError::usage("the path of this program is not UTF-8", "move it"))?;
    if unit::is_packaged(&program) && systemd.packaged(&unit).is_some() {
        discard(&systemd.folder.join(unit.file()))?;
    } else {
        write(&systemd.folder.join(unit.file()), &text)?;
    }
    match &home {
        Some(home) => write(&systemd.extra(&unit), &unit::home_text(home))?,
        None => drop(discard(&systemd.extra(&unit))?),
    }
    let name = unit.name();
    systemd.ask("read the unit", &["daemon-reload"]).await?;
    systemd
        .ask("enable the service", &["enable", "--", &name])
        .await?;
    systemd
        .ask("start the service", &["restart", "--", &name])
        .await?;
    let lingers = !systemd.is_user
        || said("loginctl", "start it early", &["enable-linger"])
            .await
            .is_ok();
    tell(&systemd.line(&unit).await?, talk);
    if !lingers {
        talk.ui.hint("it runs while you are logged in; from the start of the computer on: sudo loginctl enable-linger $USER");
    }
    if unit == Unit::Keeper {
        talk.ui.note(format!(
            "Its home is {KEEPER_HOME}. If it belongs to no family yet:"
        ));
        talk.ui
            .note(format!("  sudo heirloom --home {KEEPER_HOME} join"));
    }
    Ok(end("install", 1, talk))
}

async fn remove(systemd: &Systemd, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let units = systemd.units();
    for unit in &units {
        let name = unit.name();
        systemd
            .ask("stop the service", &["disable", "--now", "--", &name])
            .await?;
        discard(&systemd.extra(unit))?;
        discard(&systemd.folder.join(unit.file()))?;
        let line = json!({"name": name, "scope": systemd.scope(), "state": "removed"});
        tell(&Line::own("service", line), talk);
    }
    if !units.is_empty() {
        systemd.ask("forget the unit", &["daemon-reload"]).await?;
    }
    Ok(end("remove", units.len(), talk))
}

async fn status(systemd: &Systemd, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let units = systemd.units();
    for unit in &units {
        let line = systemd.line(unit).await?;
        tell(&line, talk);
    }
    Ok(end("status", units.len(), talk))
}

fn tell(line: &Line, talk: &mut Talk<'_>) {
    if talk.ui.manner.json {
        return talk.ui.line(line);
    }
    let name = line.text_or("name", "?");
    match line.text_or("state", "?").as_str() {
        "removed" => talk.ui.say(format!(
            "{name} is stopped and removed. The photos stay where they are."
        )),
        "active" => talk.ui.say(format!(
            "{name} runs, and starts by itself ({}).",
            line.text_or("enabled", "?")
        )),
        state => talk.ui.say(format!(
            "{name} does not run: {state} ({}), {}.",
            line.text_or("detail", "?"),
            line.text_or("enabled", "?")
        )),
    }
}

/// The summary: 4 where there is no service that could be shown or removed.
fn end(act: &str, count: usize, talk: &mut Talk<'_>) -> u8 {
    let exit = if count == 0 { 4 } else { 0 };
    let summary = Line::own(
        "summary",
        json!({"act": "service", "do": act, "services": count, "exit": exit}),
    );
    talk.close(&summary, |ui: &mut Ui, _| {
        if count == 0 {
            ui.say("No service of Heirloom is set up here: heirloom service install makes one.");
        }
    })
}

async fn is_active(systemd: &Systemd, unit: &Unit) -> bool {
    let name = unit.name();
    let words = ["is-active", "--", &name];
    systemd.ask("look at the service", &words).await.is_ok()
}

/// What a program of systemd's answers.
async fn said(program: &str, act: &'static str, words: &[&str]) -> Result<String, CliError> {
    let failed = |told: String| CliError::Unit { act, told };
    let mut command = Command::new(program);
    // Nobody may be there to be asked for a password; an error says what to do instead.
    command.arg("--no-ask-password").args(words);
    command.env("SYSTEMD_PAGER", "").kill_on_drop(true);
    let output = command.output().await;
    let output = output.map_err(|error| failed(format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let told: Vec<&str> = told
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    Err(failed(told.join(" ")))
}

fn program() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(|source| CliError::File {
        act: "find",
        path: "heirloom".into(),
        source,
    })
}

/// Whom a service of the system runs as: who called sudo, else root.
fn account() -> Result<String, CliError> {
    let called = std::env::var("SUDO_USER")
        .ok()
        .filter(|name| !name.is_empty());
    let name = called.unwrap_or_else(|| "root".to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.chars().all(plain) && !name.starts_with('-') {
        return Ok(name);
    }
    Err(CliError::usage(
        format!("the account {name:?} cannot be named in a unit"),
        "run heirloom service install as that account, without sudo",
    ))
}

/// The home that was asked for, unless it is the one that the service has anyway.
fn other_home(unit: &Unit, asked: &Path) -> Result<Option<String>, CliError> {
    let usual = match unit {
        Unit::Keeper => Some(PathBuf::from(KEEPER_HOME)),
        _ => None,
    };
    if usual.as_deref() == Some(asked) || home::choose(None)? == asked {
        return Ok(None);
    }
    if *unit == Unit::Keeper {
        return Err(CliError::usage(
            format!("a keeper's service has its home in {KEEPER_HOME}"),
            "to have it on another disk, mount that at /var/lib/private/heirloom first",
        ));
    }
    home::absolute(asked).map(Some)
}

/// Writes a unit as a whole, for everybody to read as units are.
fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |source| CliError::File {
        act: "write",
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::Permissions::from_mode(READABLE_BY_ALL);
        file.as_file().set_permissions(mode).map_err(failed)?;
    }
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Takes a file away that was written by `service install`, and its folder if nothing else is in it.
fn discard(path: &Path) -> Result<bool, CliError> {
    let is_ours = fs::read_to_string(path).is_ok_and(|text| unit::is_ours(&text));
    if !is_ours {
        return Ok(false);
    }
    fs::remove_file(path).map_err(|source| CliError::File {
        act: "remove",
        path: path.to_owned(),
        source,
    })?;
    if let Some(folder) = path.parent().filter(|folder| folder.extension().is_some()) {
        // Somebody else's settings may be in it.
        let _ = fs::remove_dir(folder);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_here_is_taken_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let extra = folder.path().join("heirloom@anna.service.d/home.conf");
        write(&extra, &unit::home_text("/mnt/disk/heirloom")).expect("written");
        let theirs = folder.path().join("heirloom.service");
        fs::write(&theirs, "[Service]\n").expect("written");
        assert!(discard(&extra).expect("removed"));
        assert!(!extra.exists() && !extra.parent().expect("a folder").exists());
        assert!(!discard(&theirs).expect("left") && theirs.exists());
        assert!(!discard(&folder.path().join("none")).expect("nothing"));
    }

    #[test]
    fn enabled_services_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let wants = folder.path().join("multi-user.target.wants");
        fs::create_dir(&wants).expect("a folder");
        for name in [
            "heirloom@ben.service",
            "ssh.service",
            "heirloom@anna.service",
        ] {
            fs::write(wants.join(name), "").expect("written");
        }
        let mut systemd = Systemd {
            is_user: false,
            folder: folder.path().to_owned(),
        };
        let of = |name: &str| Unit::Of(name.to_owned());
        assert_eq!(systemd.units(), [of("anna"), of("ben")]);
        fs::write(folder.path().join("heirloom-keeper.service"), "").expect("written");
        assert_eq!(systemd.units(), [Unit::Keeper, of("anna"), of("ben")]);
        systemd.is_user = true;
        assert_eq!(systemd.units(), []);
        fs::write(folder.path().join("heirloom.service"), "").expect("written");
        assert_eq!(systemd.units(), [Unit::Mine]);
    }
}
