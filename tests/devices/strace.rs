//! Faults of the operating system, put by strace into the real program.
//!
//! strace counts the calls of each name in each thread by themselves, so "the
//! k-th" is that of whichever thread comes to its k-th first. Naming a file
//! ([`Fault::at`]) counts the calls on it alone, and so reaches those of a thread
//! that makes few beside one that makes many.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::Device;

/// What happens at a call instead of the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Harm {
    /// SIGKILL, before the call does anything.
    Kill,
    /// The call fails and does nothing.
    Error(&'static str),
    /// The call fails, and so does every later one of its name.
    ErrorsFrom(&'static str),
}

/// A fault at the k-th call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) call: &'static str,
    pub(crate) harm: Harm,
    /// Counted from one.
    pub(crate) nth: u32,
    /// The only file or folder on which calls are counted.
    pub(crate) at: Option<PathBuf>,
}

impl Fault {
    /// The call, and the file that is counted alone.
    pub(crate) fn kind(&self) -> String {
        let file = self.at.as_ref().and_then(|path| path.file_name());
        match file {
            Some(file) => format!("{} on {}", self.call, file.display()),
            None => self.call.to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} number {}", self.harm, self.call, self.nth)?;
        if let Some(path) = &self.at {
            write!(f, " on {}", path.display())?;
        }
        write!(f, " (HEIRLOOM_FAULT={}:{})", self.call, self.nth)
    }
}

/// Why strace cannot be used here; nothing when it can.
pub(crate) fn missing() -> Option<String> {
    let tried = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "true"])
        .output();
    match tried {
        Ok(tried) if tried.status.success() => None,
        Ok(tried) => Some(String::from_utf8_lossy(&tried.stderr).trim().to_owned()),
        Err(error) => Some(format!("strace: {error}")),
    }
}

/// What strace saw of a run.
pub(crate) struct Trace(String);

impl Trace {
    /// Has a device's program run under strace, with a fault or with none.
    pub(crate) fn arm(device: &mut Device, fault: &Fault, into: &Path) {
        let (when, what) = match fault.harm {
            Harm::Kill => (fault.nth.to_string(), "signal=KILL".to_owned()),
            Harm::Error(error) => (fault.nth.to_string(), format!("error={error}")),
            Harm::ErrorsFrom(error) => (format!("{}+", fault.nth), format!("error={error}")),
        };
        let call = fault.call;
        // Without --seccomp-bpf, with which strace 6.1 injects at the first call alone.
        let mut words: Vec<String> = ["strace", "-f", "-y", "-s", "512", "-qq", "-o"]
            .map(str::to_owned)
            .to_vec();
        words.push(into.to_str().expect("UTF-8").to_owned());
        words.extend(["-e".to_owned(), format!("trace={}", traced(fault))]);
        words.extend(["-e".to_owned(), format!("inject={call}:{what}:when={when}")]);
        if let Some(path) = &fault.at {
            words.extend(["-P".to_owned(), path.to_str().expect("UTF-8").to_owned()]);
        }
        device.prefix = words;
    }

    pub(crate) fn read(from: &Path) -> Self {
        Self(fs::read_to_string(from).unwrap_or_default())
    }

    /// Whether a call failed because it was told to.
    pub(crate) fn is_injected(&self) -> bool {
        self.0.contains("(INJECTED)")
    }

    /// Files whose sync failed and had not been repeated with success when the program told of
    /// something that it did. Those that are gone count as repeated, as nobody relies on them.
    pub(crate) fn relied_upon(&self) -> Vec<String> {
        let mut failed: Vec<String> = Vec::new();
        let mut relied_upon: Vec<String> = Vec::new();
        // Where another thread's call came between, the end of a line stands on one of its own.
        let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
        for line in self.0.lines() {
            let is_told = [r#"\"added\""#, r#"\"summary\""#]
                .iter()
                .any(|word| line.contains(word));
            if line.contains("write(1<") && is_told {
                relied_upon.extend(failed.iter().cloned());
            }
            let thread = line.split(' ').next().unwrap_or_default();
            let path = match line.contains("sync resumed>") {
                true => begun.remove(thread),
                false => line.split(['<', '>']).nth(1),
            };
            let Some(path) = path.filter(|_| line.contains("sync")) else {
                continue;
            };
            if line.contains("<unfinished") {
                begun.insert(thread, path);
            } else if line.contains("(INJECTED)") {
                failed.push(path.to_owned());
            } else if line.contains(" = 0") {
                failed.retain(|known| known != path);
            }
        }
        relied_upon.retain(|path| Path::new(path).exists());
        relied_upon
    }
}

fn traced(fault: &Fault) -> String {
    let also = match (fault.harm, fault.call) {
        // Whether a failed sync was repeated shows in the others, and what was told by then.
        (Harm::Error(_) | Harm::ErrorsFrom(_), "fsync" | "fdatasync") => ",fsync,fdatasync,write",
        _ => "",
    };
    format!("{}{also}", fault.call)
}
