//! What the node asks of the operating system beyond the standard library.
//!
//! Everything here is best effort: where a system lacks a means, the call does nothing and the
//! caller's other defences have to do.

use std::time::Duration;

/// What a worker process may use; see [`confine_worker`].
#[derive(Debug, Clone, Copy)]
pub struct WorkerLimits {
    /// Bytes of address space.
    pub memory_bytes: u64,
    /// Processor time of one job.
    pub job_cpu: Duration,
}

/// Takes from the calling process what decoding a picture does not need.
///
/// No further processes, no files or sockets opened beside its three pipes, nothing written into files, no
/// core dumps, no debugger of the same user, no gain of rights, bounded memory. It cannot be undone.
pub fn confine_worker(limits: WorkerLimits) {
    os::confine_worker(limits);
}

/// Allows the calling process `more` processor time from now on; past it, the system ends it.
pub fn extend_cpu(more: Duration) {
    os::extend_cpu(more);
}

/// Whether a read failed because the disk does not give what lies there: a bad sector, or bytes that
/// the file system's own checksum refuses. What was to be read is damaged then, and nothing else.
pub fn is_unreadable(error: &std::io::Error) -> bool {
    os::is_unreadable(error)
}

#[cfg(unix)]
mod os {
    use std::time::Duration;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::WorkerLimits;

    /// Standard input, output and error.
    const FILES: u64 = 3;

    pub(super) fn confine_worker(limits: WorkerLimits) {
        cap(Resource::Core, 0);
        cap(Resource::Fsize, 0);
        cap(Resource::Nofile, FILES);
        #[cfg(target_os = "linux")]
        {
            cap(Resource::As, limits.memory_bytes);
            cap(Resource::Nproc, 0);
            let hidden = rustix::process::DumpableBehavior::NotDumpable;
            best_effort(rustix::process::set_dumpable_behavior(hidden));
            best_effort(rustix::thread::set_no_new_privs(true));
        }
        extend_cpu(limits.job_cpu);
    }

    pub(super) fn extend_cpu(more: Duration) {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let used = u64::try_from(used.tv_sec).unwrap_or(0);
        // Only the soft limit: a hard one could not be raised for the next job. Whole seconds,
        // so one more for the part that has begun.
        let soft = used.saturating_add(more.as_secs()).saturating_add(1);
        let maximum = getrlimit(Resource::Cpu).maximum;
        let current = Some(maximum.map_or(soft, |m| m.min(soft)));
        best_effort(setrlimit(Resource::Cpu, Rlimit { current, maximum }));
    }

    pub(super) fn is_unreadable(error: &std::io::Error) -> bool {
        use rustix::io::Errno;

        let is_structure = |errno| {
            #[cfg(target_os = "linux")]
            return errno == Errno::UCLEAN;
            #[cfg(not(target_os = "linux"))]
            return errno == Errno::IO;
        };
        let errno = Errno::from_io_error(error);
        errno.is_some_and(|errno| {
            errno == Errno::IO || errno == Errno::BADMSG || is_structure(errno)
        })
    }

    /// Lowers a limit, never raises it.
    fn cap(resource: Resource, most: u64) {
        let allowed = getrlimit(resource).maximum.map_or(most, |m| m.min(most));
        let limit = Rlimit {
            current: Some(allowed),
            maximum: Some(allowed),
        };
        best_effort(setrlimit(resource, limit));
    }

    /// A refusal leaves the other limits, the time limit of the parent, and safe code.
    fn best_effort(result: rustix::io::Result<()>) {
        let _ = result;
    }
}

#[cfg(not(unix))]
mod os {
    use std::time::Duration;

    use super::WorkerLimits;

    pub(super) fn confine_worker(_: WorkerLimits) {}

    pub(super) fn extend_cpu(_: Duration) {}

    /// A wrong checksum, a missing sector, a fault of reading or of the device, as Windows numbers them.
    const UNREADABLE: [i32; 4] = [23, 27, 30, 1117];

    pub(super) fn is_unreadable(error: &std::io::Error) -> bool {
        let code = error.raw_os_error();
        cfg!(windows) && code.is_some_and(|code| UNREADABLE.contains(&code))
    }
}

/// Opens a regular file for reading: no link is followed, and nothing that is no file is waited for.
///
/// # Errors
///
/// What the system says; a link, pipe or device is an error.
#[cfg(unix)]
pub fn open_regular(path: &std::path::Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;

    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(std::io::Error::other)?;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}

/// Opens a regular file for reading.
///
/// # Errors
///
/// What the system says; a link or device is an error.
#[cfg(not(unix))]
pub fn open_regular(path: &std::path::Path) -> std::io::Result<std::fs::File> {
    if std::fs::symlink_metadata(path)?.is_file() {
        std::fs::File::open(path)
    } else {
        Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}

/// Whether this process has the rights of the system's own account.
pub fn is_root() -> bool {
    #[cfg(unix)]
    return rustix::process::geteuid().is_root();
    #[cfg(not(unix))]
    false
}

/// Whether an account, by its number, may tell this process what to do: its own, and the system's own, which can do
/// anything in its name. Where accounts have no numbers nobody may.
pub fn may_command(account: u32) -> bool {
    #[cfg(unix)]
    return account == 0 || account == rustix::process::geteuid().as_raw();
    #[cfg(not(unix))]
    {
        let _ = account;
        false
    }
}

/// Whether whoever started this process had it ignore that its terminal goes away (`nohup`).
///
/// Linux says so; elsewhere it counts as not ignored.
pub fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status)
}

/// Reads the mask of ignored signals, of which SIGHUP is the first.
fn ignores_hangup(status: &str) -> bool {
    let mut masks = status
        .lines()
        .filter_map(|line| line.strip_prefix("SigIgn:"));
    let mask = masks
        .next()
        .map(|mask| u64::from_str_radix(mask.trim(), 16));
    mask.is_some_and(|mask| mask.is_ok_and(|mask| mask & 1 == 1))
}

/// The path of these bytes; none where a path is text.
#[cfg(unix)]
pub fn path_of_bytes(bytes: Vec<u8>) -> Option<std::path::PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    // No file has such a name, and what stops at the zero would be another one.
    let has_end = bytes.contains(&0);
    (!has_end).then(|| std::ffi::OsString::from_vec(bytes).into())
}

/// The path of these bytes; none where a path is text.
#[cfg(not(unix))]
pub fn path_of_bytes(bytes: Vec<u8>) -> Option<std::path::PathBuf> {
    String::from_utf8(bytes).ok().map(Into::into)
}

/// What tells one state of a file from another: size, times, and where it lies.
#[cfg(unix)]
pub fn file_stamp(metadata: &std::fs::Metadata) -> Vec<u8> {
    use std::os::unix::fs::MetadataExt;

    let fields = [
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ];
    let mut stamp = metadata.len().to_be_bytes().to_vec();
    stamp.extend(fields.iter().flat_map(|field| field.to_be_bytes()));
    stamp.extend(metadata.ino().to_be_bytes());
    stamp.extend(metadata.dev().to_be_bytes());
    stamp
}

/// What tells one state of a file from another: size and time.
#[cfg(not(unix))]
pub fn file_stamp(metadata: &std::fs::Metadata) -> Vec<u8> {
    let mut stamp = metadata.len().to_be_bytes().to_vec();
    let modified = metadata.modified().ok();
    let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    stamp.extend(since.unwrap_or_default().as_nanos().to_be_bytes());
    stamp
}

#[cfg(all(test, unix))]
mod tests {
    use super::{ignores_hangup, may_command};

    #[test]
    fn the_own_account_and_the_systems_may_command_and_no_other() {
        let own = rustix::process::geteuid().as_raw();
        assert!(may_command(own) && may_command(0));
        assert!(!may_command(own.wrapping_add(1).max(1)));
    }

    #[test]
    fn the_first_bit_of_the_mask_is_the_hangup() {
        for (status, ignored) in [
            ("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n", true),
            ("Name:\tx\nSigIgn:\t0000000000001000\nSigCgt:\t1\n", false),
            ("", false),
        ] {
            assert_eq!(ignores_hangup(status), ignored, "{status:?}");
        }
    }
}
