//! Devices of a family as real processes: homes, commands and their lines.
//!
//! Every test program uses a part of it. Nothing here looks into a home or
//! knows the code behind the program; what does stands with its test.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test program is compiled by itself and uses a part"
)]

pub(crate) mod apart;
pub(crate) mod canaries;
#[cfg(target_os = "linux")]
pub(crate) mod internet;
#[cfg(target_os = "linux")]
pub(crate) mod namespaces;
#[path = "../numbers/mod.rs"]
mod numbers;
pub(crate) mod pictures;
pub(crate) mod proxy;
pub(crate) mod store;
#[cfg(target_os = "linux")]
pub(crate) mod strace;
#[cfg(target_os = "linux")]
pub(crate) mod upnp;
#[cfg(target_os = "linux")]
pub(crate) mod wire;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use serde_json::Value;

pub(crate) use numbers::{asked, report};

pub(crate) const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";
const SETTINGS: &str = "[network]\nlisten = [\"/ip4/127.0.0.1/tcp/0\"]\ndiscovery = false\n";
/// How long a process may say nothing while something is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder for the homes of one test; where the test failed it stays, with the logs.
pub(crate) struct Homes(tempfile::TempDir);

impl Drop for Homes {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.disable_cleanup(true);
            eprintln!("kept: {}", self.0.path().display());
        }
    }
}

impl Homes {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A home that is not set up and talks to this machine alone.
    pub(crate) fn home(&self, name: &str) -> PathBuf {
        let home = self.bare(name);
        fs::write(home.join("config.toml"), SETTINGS).expect("settings");
        home
    }

    /// A home that is not set up, with no settings.
    pub(crate) fn bare(&self, name: &str) -> PathBuf {
        use std::os::unix::fs::DirBuilderExt as _;
        let home = self.0.path().join(name);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&home)
            .expect("a new folder");
        home
    }

    /// A device of its own on this machine, not set up; what it logs is kept beside its home.
    pub(crate) fn device(&self, name: &str) -> Device {
        let mut device = Device::at(&self.home(name));
        device.log = Some(self.0.path().join(format!("{name}.log")));
        device
    }
}

/// A home, and how the program is run on it.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) home: PathBuf,
    /// What stands before the program on the command line.
    pub(crate) prefix: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    /// Where stderr goes, each command after the last; to the test's own when there is none.
    pub(crate) log: Option<PathBuf>,
}

impl Device {
    pub(crate) fn at(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            prefix: Vec::new(),
            env: BTreeMap::new(),
            log: None,
        }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_heirloom");
        let mut words = self.prefix.iter().map(String::as_str).chain([program]);
        let mut command = Command::new(words.next().expect("the program at least"));
        command
            .args(words)
            .arg("--home")
            .arg(&self.home)
            .arg("--json")
            .args(args)
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(log) = &self.log {
            let log = fs::OpenOptions::new().create(true).append(true).open(log);
            command.stderr(log.expect("a log"));
        }
        command
    }

    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::of(self.command(args))
    }

    /// The last line and the exit code.
    pub(crate) fn run(&self, args: &[&str], stdin: &str) -> (Value, i32) {
        let mut running = self.start(args);
        running.say(stdin);
        running.end()
    }

    /// Runs a command that must succeed; all its lines.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> Vec<Value> {
        let (lines, exit) = self.start(args).all();
        let last = &lines[lines.len().saturating_sub(3)..];
        assert_eq!(exit, 0, "{args:?}: {last:?}");
        lines
    }

    /// Serves on loopback without discovery.
    #[track_caller]
    pub(crate) fn serve(&self) -> Running {
        self.serve_with(&["--no-discovery", "--listen", LOOPBACK])
    }

    /// Serves, and waits until the node answers.
    #[track_caller]
    pub(crate) fn serve_with(&self, args: &[&str]) -> Running {
        let mut running = self.start(&[&["serve", "--no-gallery"], args].concat());
        running.ready = running.line("ready");
        let listen = running.ready["listen"].as_array().expect("addresses");
        let is_dialled = |address: &Value| address.as_str().is_some_and(|a| a.contains("/p2p/"));
        assert!(
            !listen.is_empty() && listen.iter().all(is_dialled),
            "{}",
            running.ready
        );
        running
    }

    /// Founds a family without recovery words.
    #[track_caller]
    pub(crate) fn init(&self, family: &str, person: &str, device: &str) {
        let names = ["--family", family, "--person", person, "--device", device];
        self.ok(&[&["init", "--no-recovery"], &names[..]].concat());
    }

    /// The addresses of the others that it knows.
    #[track_caller]
    pub(crate) fn known(&self) -> Vec<String> {
        let lines = self.ok(&["peer", "list"]);
        let known = lines.iter().filter(|line| line["type"] == "peer");
        known
            .filter_map(|line| line["addr"].as_str().map(str::to_owned))
            .collect()
    }

    /// Forgets every address.
    #[track_caller]
    pub(crate) fn forget_all(&self) {
        while let Some(known) = self.known().first() {
            self.ok(&["peer", "remove", known]);
        }
    }

    /// Forgets every address but this one, which ends in `/p2p/` and the peer.
    #[track_caller]
    pub(crate) fn know_only(&self, address: &str) {
        self.forget_all();
        self.ok(&["peer", "add", address]);
        assert_eq!(self.known(), [address]);
    }

    pub(crate) fn join(&self, code: &str) -> (Value, i32) {
        self.run(&["--yes", "join", "-"], &format!("{code}\n"))
    }

    #[track_caller]
    pub(crate) fn assets(&self) -> Vec<Value> {
        let mut lines = self.ok(&["list"]);
        lines.retain(|line| line["type"] == "asset");
        lines
    }

    /// The home is whole, down to the last byte of every blob.
    #[track_caller]
    pub(crate) fn is_whole(&self) {
        let summary = self.ok(&["verify", "--read-data"]).pop();
        let summary = summary.expect("a summary");
        assert_eq!(summary["damaged"], 0, "{summary}");
        assert!(summary["checked"].as_u64() > Some(0), "{summary}");
    }

    /// Nothing that ran on the home has panicked, as its log says.
    #[track_caller]
    pub(crate) fn never_panicked(&self) {
        let log = self.log.as_ref().expect("a log is kept");
        let text = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let panic = text.lines().find(|line| line.contains("panicked"));
        assert_eq!(panic, None, "in {}", log.display());
    }
}

/// A command that runs, with its lines.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    /// The first line of `serve`.
    pub(crate) ready: Value,
}

impl Running {
    pub(crate) fn start(home: &Path, args: &[&str]) -> Self {
        Device::at(home).start(args)
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            ready: Value::Null,
        }
    }

    /// Gives all of stdin at once.
    pub(crate) fn say(&mut self, stdin: &str) {
        let mut input = self.child.stdin.take().expect("piped");
        // A command that does not read its input closes it.
        let _ = input.write_all(stdin.as_bytes());
    }

    /// The next line; `None` at the end.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Value> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(serde_json::from_str(&line).expect("JSON")),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line in {PATIENCE:?}"),
        }
    }

    /// A line that has come already.
    pub(crate) fn come(&mut self) -> Option<Value> {
        let line = self.lines.try_recv().ok()?;
        Some(serde_json::from_str(&line).expect("JSON"))
    }

    /// The next line of a kind.
    #[track_caller]
    pub(crate) fn line(&mut self, kind: &str) -> Value {
        loop {
            let line = self.next().expect("a line");
            if line["type"] == kind {
                return line;
            }
            assert!(line["type"] != "error", "{line}");
        }
    }

    /// All lines that are left, and the exit code.
    #[track_caller]
    pub(crate) fn all(mut self) -> (Vec<Value>, i32) {
        drop(self.child.stdin.take());
        let mut lines = Vec::new();
        while let Some(line) = self.next() {
            lines.push(line);
        }
        let status = self.child.wait().expect("it ends");
        (lines, status.code().unwrap_or(-1))
    }

    /// The whole lines of a command that may be killed at any moment, and its exit code unless a
    /// signal ended it.
    pub(crate) fn fate(mut self) -> (Vec<Value>, Option<i32>) {
        drop(self.child.stdin.take());
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                // The last line may be cut in the middle.
                Ok(line) => lines.extend(serde_json::from_str::<Value>(&line).ok()),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("no line in {PATIENCE:?}"),
            }
        }
        let status = self.child.wait().expect("it ends");
        (lines, status.code())
    }

    /// The last line and the exit code.
    #[track_caller]
    pub(crate) fn end(self) -> (Value, i32) {
        let (mut lines, exit) = self.all();
        (lines.pop().unwrap_or_default(), exit)
    }

    /// Sends its process a signal.
    pub(crate) fn signal(&mut self, signal: rustix::process::Signal) {
        use rustix::process::{Pid, kill_process};
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// SIGKILL, at once; the lines that came before it.
    pub(crate) fn kill(mut self) -> Vec<Value> {
        self.child.kill().expect("it ran");
        self.child.wait().expect("it ends");
        // The last line may be cut in the middle.
        let rest = self.lines.iter();
        rest.map_while(|line| serde_json::from_str(&line).ok())
            .collect()
    }

    /// SIGINT, as by Ctrl+C; waits for the end, whatever it is.
    pub(crate) fn interrupt(self) {
        use rustix::process::{Pid, Signal, kill_process};
        // An error says that it has ended.
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        self.all();
    }

    /// SIGTERM, as a person or the system stops a node; it must end well.
    #[track_caller]
    pub(crate) fn stop(self) {
        use rustix::process::{Pid, Signal, kill_process};
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it ran");
        let (lines, exit) = self.all();
        assert_eq!(exit, 0, "{:?}", lines.last());
    }

    /// The addresses a served node can be dialled at.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let listen = self.ready["listen"].as_array().into_iter().flatten();
        listen
            .filter_map(|address| address.as_str().map(str::to_owned))
            .collect()
    }

    /// The TCP port a node that was served on one address listens on.
    pub(crate) fn port(&self) -> u16 {
        let addresses = self.addresses();
        let parts: Vec<_> = addresses[0].split('/').collect();
        let at = parts.iter().position(|part| *part == "tcp").expect("TCP");
        parts[at + 1].parse().expect("a port")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn run(home: &Path, args: &[&str], stdin: &str) -> (Value, i32) {
    Device::at(home).run(args, stdin)
}

pub(crate) fn serve(home: &Path) -> Running {
    Device::at(home).serve()
}

pub(crate) fn join(home: &Path, code: &str) -> (Value, i32) {
    Device::at(home).join(code)
}

/// Makes an invite on a device that is served and has another device join with it, words or link
/// changed by `edit` on the way; the summary of `join`.
#[track_caller]
pub(crate) fn pair(
    inviter: &Device,
    whom: &[&str],
    joiner: &Device,
    name: &str,
    edit: impl Fn(&Value) -> String,
) -> Value {
    let mut invite = inviter.start(&[&["--yes", "invite"], whom].concat());
    let code = edit(&invite.line("invite"));
    let args = ["--yes", "join", "--no-recovery", "--device", name, "-"];
    let (joined, exit) = joiner.run(&args, &format!("{code}\n"));
    assert_eq!(exit, 0, "{joined}");
    let (invited, exit) = invite.end();
    assert_eq!(exit, 0, "{invited}");
    joined
}

/// The link of an `invite` line.
pub(crate) fn link(invite: &Value) -> String {
    invite["code"].as_str().expect("a link").to_owned()
}

/// The words of an `invite` line.
pub(crate) fn words(invite: &Value) -> String {
    let words = invite["words"].as_array().expect("words");
    assert_eq!(words.len(), 12, "{invite}");
    let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
    words.join(" ")
}

/// Assets without what may differ between two devices, in an order of their own.
pub(crate) fn alike(assets: &[Value]) -> Vec<String> {
    let mut alike: Vec<_> = assets
        .iter()
        .map(|asset| {
            let mut asset = asset.clone();
            let fields = asset.as_object_mut().expect("an object");
            fields.remove("here");
            fields.remove("copies");
            asset.to_string()
        })
        .collect();
    alike.sort();
    alike
}

/// Polls until something holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, longest: Duration, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < longest, "{what}: not in {longest:?}");
        // Other processes do the work that is waited for.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // A folder may go while it is walked.
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.map_while(Result::ok) {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// The SHA-256 of every file below a folder, in hex, each with a path.
pub(crate) fn sums(folder: &Path) -> BTreeMap<String, PathBuf> {
    let sum = |path: PathBuf| (sha256(&fs::read(&path).expect("readable")), path);
    files(folder).into_iter().map(sum).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    data_encoding::HEXLOWER.encode(digest.as_ref())
}

/// Leaves a test out; under CI that is a failure.
pub(crate) fn skipped(why: &str) {
    report(&format!("skipped: {why}"));
    assert!(
        std::env::var("CI").map_or(true, |ci| ci != "true"),
        "nothing is left out under CI: {why}"
    );
}

/// Random numbers that a seed brings back: SplitMix64.
pub(crate) struct Dice(u64);

impl Dice {
    /// Seeded by `HEIRLOOM_SEED`, else anew; the seed is printed.
    pub(crate) fn new() -> Self {
        use std::hash::{BuildHasher as _, Hasher as _};
        let asked = std::env::var("HEIRLOOM_SEED").ok();
        let seed = match asked {
            Some(seed) => seed.parse().expect("HEIRLOOM_SEED is a number"),
            None => std::hash::RandomState::new().build_hasher().finish(),
        };
        eprintln!("HEIRLOOM_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// At least `low` and below `high`.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }

    /// Letters and digits that stand nowhere else.
    pub(crate) fn word(&mut self, letters: usize) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyzACDEFGHJ";
        let letter = |byte: u8| char::from(ALPHABET[usize::from(byte % 32)]);
        self.bytes(letters).into_iter().map(letter).collect()
    }
}
