//! Where a node's log goes: to systemd's journal, or to stderr and a file of its home.
//!
//! The file is `node.log`; what is older than half a megabyte stands in `node.log.1`, and what is
//! older than that is gone. Under systemd the journal keeps the log, and the file says only where:
//! one line, `journal SCOPE UNIT`.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use tracing_subscriber::{
    EnvFilter, Layer as _,
    fmt::{MakeWriter, layer},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// The file in the home.
pub(crate) const FILE: &str = "node.log";
/// What was there before.
pub(crate) const OLDER: &str = "node.log.1";
/// Bytes after which a new file is begun.
const FILE_BYTES: u64 = 512 * 1024;
/// What a file keeps, whatever stderr shows.
const KEPT: &str = "warn,heirloom_node=info";

/// Begins to log: to stderr, coloured where that is asked for, and for a node to its home as well unless the journal keeps it.
pub(crate) fn begin(verbose: u8, color: bool, node: Option<&Path>) {
    let level = match verbose {
        0 => "error",
        1 => KEPT,
        2 => "info,heirloom_node=debug",
        _ => "debug,heirloom_node=trace",
    };
    let filter = EnvFilter::try_from_env("HEIRLOOM_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    if is_journal() {
        // The journal has a clock, and reads how grave a line is from its beginning.
        let plain = layer()
            .without_time()
            .with_ansi(false)
            .with_level(false)
            .with_writer(Graded);
        tracing_subscriber::registry()
            .with(plain.with_filter(filter))
            .init();
        if let (Some(home), Some(unit)) = (node, unit()) {
            point(home, &unit);
        }
        return;
    }
    let shown = layer()
        .with_ansi(color)
        .with_writer(io::stderr)
        .with_filter(filter);
    let kept = node.map(|home| {
        let file = layer().with_ansi(false).with_writer(Ring::in_home(home));
        file.with_filter(EnvFilter::new(KEPT))
    });
    tracing_subscriber::registry().with(shown).with(kept).init();
}

/// Whether stderr is a stream of the journal.
#[cfg(target_os = "linux")]
fn is_journal() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    // A program that was started by a service inherits the variable, but not the stream.
    fs::metadata("/proc/self/fd/2")
        .is_ok_and(|found| stream == format!("{}:{}", found.dev(), found.ino()))
}

#[cfg(not(target_os = "linux"))]
fn is_journal() -> bool {
    false
}

/// What in the journal is a node's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unit {
    /// Of the account's own systemd, and not of the system's.
    pub(crate) is_user: bool,
    pub(crate) name: String,
}

impl Unit {
    /// Reads the one line of a file that says where the log is.
    pub(crate) fn pointed_to(text: &str) -> Option<Self> {
        let (scope, name) = text.trim_end().strip_prefix("journal ")?.split_once(' ')?;
        let is_name =
            !name.is_empty() && !name.starts_with('-') && !name.contains(char::is_whitespace);
        is_name.then(|| Self {
            is_user: scope == "user",
            name: name.to_owned(),
        })
    }
}

fn unit() -> Option<Unit> {
    unit_in(&fs::read_to_string("/proc/self/cgroup").ok()?)
}

fn unit_in(cgroups: &str) -> Option<Unit> {
    let paths = cgroups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2));
    paths
        .filter(|path| path.ends_with(".service"))
        .find_map(|path| {
            Some(Unit {
                is_user: path.contains("/user@"),
                name: path.rsplit('/').next()?.to_owned(),
            })
        })
}

fn point(home: &Path, unit: &Unit) {
    let scope = if unit.is_user { "user" } else { "system" };
    let mut ring = Ring::in_home(home);
    // A home that cannot be written to has worse problems, and says so.
    let _ = ring
        .state
        .get_mut()
        .unwrap_or_else(PoisonError::into_inner)
        .replace(&format!("journal {scope} {}\n", unit.name));
}

/// Lines to stderr, each behind its grade (sd-daemon(3)).
struct Graded;

struct Grade(&'static [u8]);

impl<'a> MakeWriter<'a> for Graded {
    type Writer = Grade;

    fn make_writer(&'a self) -> Grade {
        Grade(b"<6>")
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Grade {
        Grade(match *meta.level() {
            tracing::Level::ERROR => b"<3>",
            tracing::Level::WARN => b"<4>",
            tracing::Level::INFO => b"<6>",
            _ => b"<7>",
        })
    }
}

impl Write for Grade {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // In one piece: other threads and workers write to the same stream.
        io::stderr().write_all(&[self.0, line].concat())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The two files of a home.
struct Ring {
    state: Mutex<Files>,
}

struct Files {
    home: PathBuf,
    open: Option<File>,
    bytes: u64,
}

impl Ring {
    fn in_home(home: &Path) -> Self {
        let home = home.to_owned();
        let state = Mutex::new(Files {
            home,
            open: None,
            bytes: 0,
        });
        Self { state }
    }
}

impl Files {
    /// The file that is written to. A home that is not there yet is not made for it.
    fn file(&mut self) -> io::Result<&mut File> {
        if self.bytes >= FILE_BYTES {
            self.open = None;
            fs::rename(self.home.join(FILE), self.home.join(OLDER))?;
        }
        if self.open.is_none() {
            let file = private().append(true).open(self.home.join(FILE))?;
            self.bytes = file.metadata()?.len();
            self.open = Some(file);
        }
        self.open
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn replace(&mut self, text: &str) -> io::Result<()> {
        let mut file = private()
            .write(true)
            .truncate(true)
            .open(self.home.join(FILE))?;
        file.write_all(text.as_bytes())
    }
}

fn private() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

struct Turn<'a>(&'a Ring);

impl<'a> MakeWriter<'a> for Ring {
    type Writer = Turn<'a>;

    fn make_writer(&'a self) -> Turn<'a> {
        Turn(self)
    }
}

impl Write for Turn<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut files = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk takes no log, and the node goes on: what matters is told elsewhere too.
        if files.file().and_then(|file| file.write_all(line)).is_ok() {
            files.bytes = files
                .bytes
                .saturating_add(u64::try_from(line.len()).unwrap_or(0));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_read_from_the_control_groups() {
        let of = |text: &str| unit_in(text).map(|unit| (unit.is_user, unit.name));
        assert_eq!(
            of("0::/system.slice/heirloom-keeper.service\n"),
            Some((false, "heirloom-keeper.service".into()))
        );
        assert_eq!(
            of("9:name=systemd:/system.slice/system-heirloom.slice/heirloom@anna.service\n0::/\n"),
            Some((false, "heirloom@anna.service".into()))
        );
        assert_eq!(
            of("0::/user.slice/user-1000.slice/user@1000.service/app.slice/heirloom.service\n"),
            Some((true, "heirloom.service".into()))
        );
        assert_eq!(of("0::/user.slice/user-1000.slice/session-2.scope\n"), None);
    }

    #[test]
    fn what_points_to_the_journal_is_believed_only_in_its_form() {
        let home = tempfile::tempdir().expect("a folder");
        for is_user in [true, false] {
            let unit = Unit {
                is_user,
                name: "heirloom@anna.service".into(),
            };
            point(home.path(), &unit);
            let text = fs::read_to_string(home.path().join(FILE)).expect("a file");
            assert_eq!(Unit::pointed_to(&text), Some(unit));
        }
        for other in [
            "",
            "journal user ",
            "journal user --all",
            "journal system a b",
            "2026 INFO",
        ] {
            assert_eq!(Unit::pointed_to(other), None, "{other}");
        }
    }

    #[test]
    fn two_files_hold_the_newest_lines_and_grow_no_further() {
        let home = tempfile::tempdir().expect("a folder");
        let ring = Ring::in_home(home.path());
        let mut writer = ring.make_writer();
        let line = [b'x'; 1023].into_iter().chain([b'\n']).collect::<Vec<_>>();
        for _ in 0..2 * FILE_BYTES / 1024 + 10 {
            assert_eq!(writer.write(&line).expect("a line"), 1024);
        }
        writer.write_all(b"the last\n").expect("a line");
        let read = |name: &str| fs::read(home.path().join(name)).expect("a file");
        assert_eq!(read(OLDER).len(), 512 * 1024);
        assert!(read(FILE).ends_with(b"x\nthe last\n") && read(FILE).len() < 16 * 1024);
        // Another start goes on in the same file.
        Ring::in_home(home.path())
            .make_writer()
            .write_all(b"again\n")
            .expect("a line");
        assert!(read(FILE).ends_with(b"the last\nagain\n"));
    }

    #[test]
    fn a_home_that_is_not_there_is_not_made_for_its_log() {
        let home = tempfile::tempdir().expect("a folder");
        let missing = home.path().join("missing");
        let ring = Ring::in_home(&missing);
        ring.make_writer().write_all(b"lost\n").expect("no error");
        assert!(!missing.exists());
    }
}
