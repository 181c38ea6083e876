//! The parent's side: a few workers, one job each, watched by the clock.

use std::ffi::OsString;
use std::io::{self, BufReader, Read, SeekFrom};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::frame::{self, Job, Kind, MAX_PIECE};
use crate::import::metadata::{self, Metadata, Size};
use crate::media::encode::{MAX_THUMBHASH_BYTES, PREVIEW_SIDE, THUMBNAIL_SIDE};
use crate::media::{MediaType, Previews, ReadSeek, Reason, index};

/// The wall time of one job, beside what reading the file itself takes.
///
/// A picture is bounded by the processor time that its worker allows itself; this is for one that
/// hangs, and leaves room on a machine that has much else to do.
const JOB_TIME: Duration = Duration::from_secs(120);
/// Jobs after which a worker is replaced, so that nothing lives long in it.
const JOBS_PER_WORKER: u32 = 16;
/// The most workers: previews are background work.
const MAX_WORKERS: usize = 2;
/// How long a worker that closed its pipe is given to die.
const DYING_TIME: Duration = Duration::from_secs(1);
/// How many times over a worker may read a file.
const MAX_READ_OVER: u64 = 4;
/// Bytes any worker may read, however small the file.
const MIN_READ_BYTES: u64 = 16 << 20;

/// What became of one file.
pub struct Made {
    /// What it says about itself; `None` only if the worker failed before it could tell.
    pub metadata: Option<Metadata>,
    /// Its pictures, or why there are none.
    pub pictures: Result<Previews, Reason>,
}

/// A bounded number of worker processes.
///
/// Callable from any thread; each call blocks until its file is done, at most 120 seconds plus
/// the time that reading the file takes. Workers are started when needed and kept for the next
/// call; dropping the pool ends them.
pub struct Pool {
    program: PathBuf,
    args: Vec<OsString>,
    limit: usize,
    job_time: Duration,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Worker>,
    busy: usize,
}

impl Pool {
    /// A pool whose workers are `program args..`, such as `heirloom worker-decode`.
    ///
    /// At most `workers` run at once; 0 stands for one a core, at most two. Nothing is started
    /// yet. The program gets no environment.
    #[must_use]
    pub fn new(program: PathBuf, args: Vec<OsString>, workers: usize) -> Self {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let limit = match workers {
            0 => cores.min(MAX_WORKERS),
            n => n,
        };
        Self {
            program,
            args,
            limit,
            job_time: JOB_TIME,
            state: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// The same pool with another limit of wall time for one job.
    #[must_use]
    pub fn with_job_time(self, job_time: Duration) -> Self {
        Self { job_time, ..self }
    }

    /// How many files are worked on at once.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.limit
    }

    /// Reads the metadata of a file. Takes milliseconds; movies of any length too.
    pub fn metadata(&self, file: &mut dyn ReadSeek, media: MediaType) -> Result<Metadata, Reason> {
        let made = self.run(file, media, false);
        made.metadata.ok_or(match made.pictures {
            Err(reason) => reason,
            Ok(_) => Reason::Damaged,
        })
    }

    /// Reads the metadata of a file and makes its pictures.
    ///
    /// The result has been checked: sizes and lengths are within their limits. The JPEGs are
    /// what the worker made of foreign bytes and must be treated as foreign.
    pub fn make(&self, file: &mut dyn ReadSeek, media: MediaType) -> Made {
        self.run(file, media, true)
    }

    fn run(&self, file: &mut dyn ReadSeek, media: MediaType, pictures: bool) -> Made {
        let mut parts = Parts::default();
        let result = self.try_run(file, media, pictures, &mut parts);
        let metadata = parts.metadata.take().map(Metadata::checked);
        let pictures = result.and_then(|()| parts.finish());
        Made { metadata, pictures }
    }

    fn try_run(
        &self,
        file: &mut dyn ReadSeek,
        media: MediaType,
        pictures: bool,
        parts: &mut Parts,
    ) -> Result<(), Reason> {
        let size = file
            .seek(SeekFrom::End(0))
            .map_err(|_| Reason::Unreadable)?;
        let job = Job {
            media: media.code(),
            pictures,
            size,
        };
        let slot = self.slot();
        // A kept worker may have been ended from outside since: that is not this file's fault.
        if let Some(worker) = slot.idle() {
            match self.run_in(worker, &slot, job, file, parts) {
                Err(Fault::Before) => {}
                done => return done.map_err(Fault::reason),
            }
        }
        let worker = Worker::start(&self.program, &self.args)?;
        self.run_in(worker, &slot, job, file, parts)
            .map_err(Fault::reason)
    }

    fn run_in(
        &self,
        mut worker: Worker,
        slot: &Slot<'_>,
        job: Job,
        file: &mut dyn ReadSeek,
        parts: &mut Parts,
    ) -> Result<(), Fault> {
        let watch = Watch::start(Arc::clone(&worker.child), self.job_time)?;
        let outcome = worker.exchange(job, file, &watch, parts);
        let ran_out = watch.stop();
        match outcome {
            Ok(end) => {
                if !end.is_last && worker.jobs < JOBS_PER_WORKER {
                    slot.keep(worker);
                }
                end.reason.map_or(Ok(()), |reason| Err(reason.into()))
            }
            // A program that is no worker says nothing about the file.
            Err(_) if !worker.greeted => Err(Reason::Silent.into()),
            Err(Fault::Worker | Fault::Before) if ran_out => Err(Reason::TookTooLong.into()),
            Err(Fault::Before) if worker.jobs > 1 => Err(Fault::Before),
            Err(Fault::Worker | Fault::Before) => Err(worker.post_mortem().into()),
            Err(other) => Err(other),
        }
    }

    /// Waits for its turn.
    fn slot(&self) -> Slot<'_> {
        let mut state = self.lock();
        while state.busy >= self.limit {
            state = self
                .freed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.busy += 1;
        Slot { pool: self }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves a count and a list, both always valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to run one worker; given back when dropped, panics included.
struct Slot<'p> {
    pool: &'p Pool,
}

impl Slot<'_> {
    fn idle(&self) -> Option<Worker> {
        let mut state = self.pool.lock();
        while let Some(worker) = state.idle.pop() {
            if worker.is_alive() {
                return Some(worker);
            }
        }
        None
    }

    fn keep(&self, worker: Worker) {
        self.pool.lock().idle.push(worker);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.pool.lock().busy -= 1;
        self.pool.freed.notify_one();
    }
}

/// How a job ended in a worker that is well.
struct End {
    reason: Option<Reason>,
    /// The worker takes no further job.
    is_last: bool,
}

/// Why an exchange broke off.
enum Fault {
    /// The worker ended before it gave any answer.
    Before,
    /// The worker died, was ended, or talked nonsense.
    Worker,
    /// What is known already.
    Known(Reason),
}

impl Fault {
    fn reason(self) -> Reason {
        match self {
            Self::Before | Self::Worker => Reason::Damaged,
            Self::Known(reason) => reason,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Self {
        Self::Worker
    }
}

impl From<Reason> for Fault {
    fn from(reason: Reason) -> Self {
        Self::Known(reason)
    }
}

struct Worker {
    child: Arc<Mutex<Child>>,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    errors: ChildStderr,
    jobs: u32,
    greeted: bool,
}

impl Worker {
    fn start(program: &PathBuf, args: &[OsString]) -> Result<Self, Reason> {
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            // Each further arena of glibc takes 64 MiB of the worker's address space.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|_| Reason::NoWorker)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(Reason::NoWorker);
        };
        Ok(Self {
            child: Arc::new(Mutex::new(child)),
            input,
            output: BufReader::new(output),
            errors,
            jobs: 0,
            greeted: false,
        })
    }

    fn is_alive(&self) -> bool {
        matches!(lock(&self.child).try_wait(), Ok(None))
    }

    /// Sends a job and returns the first answer.
    fn begin(&mut self, job: Job) -> io::Result<Option<(Kind, Vec<u8>)>> {
        if !self.greeted {
            let hello = frame::read(&mut self.output)?;
            self.greeted = matches!(hello, Some((Kind::Hello, _)));
            if !self.greeted {
                return Ok(None);
            }
        }
        self.jobs += 1;
        frame::write(&mut self.input, Kind::Job, &[&job.encode()])?;
        frame::read(&mut self.output)
    }

    /// Runs one job to its end.
    fn exchange(
        &mut self,
        job: Job,
        file: &mut dyn ReadSeek,
        watch: &Watch,
        parts: &mut Parts,
    ) -> Result<End, Fault> {
        let Ok(Some(first)) = self.begin(job) else {
            return Err(Fault::Before);
        };
        let pipes = (&mut self.output, &mut self.input);
        let waited = |time| watch.extend(time);
        converse(first, pipes, (file, job.size), waited, parts)
    }

    /// Why a worker died, from how it died.
    fn post_mortem(mut self) -> Reason {
        let Some(status) = self.died_by_itself() else {
            return Reason::Damaged;
        };
        let mut said = Vec::new();
        let errors = (&mut self.errors).take(4096).read_to_end(&mut said);
        let out_of_memory = errors.is_ok() && said.windows(17).any(|w| w == b"memory allocation");
        match cause(status) {
            _ if out_of_memory => Reason::TooMuchMemory,
            Some(reason) => reason,
            None => Reason::Damaged,
        }
    }

    /// How the worker ended, if it does within the moment that dying takes.
    fn died_by_itself(&self) -> Option<ExitStatus> {
        let give_up = Instant::now() + DYING_TIME;
        loop {
            if let Ok(Some(status)) = lock(&self.child).try_wait() {
                return Some(status);
            }
            if Instant::now() > give_up {
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // Killing a dead process fails and waiting for it again is harmless: both are reaped.
        drop(child.kill());
        drop(child.wait());
    }
}

/// Hears a worker out, from its first answer to the end of the job, and gives it what it asks for.
///
/// `waited` is told the time that the disk took: a slow disk is not the worker's fault.
fn converse(
    first: (Kind, Vec<u8>),
    (output, input): (&mut impl io::Read, &mut impl io::Write),
    (file, size): (&mut dyn ReadSeek, u64),
    waited: impl Fn(Duration),
    parts: &mut Parts,
) -> Result<End, Fault> {
    let mut allowance = size
        .saturating_mul(MAX_READ_OVER)
        .saturating_add(MIN_READ_BYTES);
    let mut next = first;
    loop {
        let (kind, body) = next;
        match kind {
            Kind::Read => {
                let (at, len) = span(&body, size).ok_or(Fault::Worker)?;
                allowance = allowance.checked_sub(u64::from(len)).ok_or(Fault::Worker)?;
                let started = Instant::now();
                let bytes = piece(file, at, len).map_err(|_| Reason::Unreadable)?;
                waited(started.elapsed());
                frame::write(input, Kind::Bytes, &[&bytes])?;
            }
            Kind::Done => return end(&body).ok_or(Fault::Worker),
            _ => parts.take(kind, body).ok_or(Fault::Worker)?,
        }
        next = frame::read(output)?.ok_or(Fault::Worker)?;
    }
}

/// Takes `said` for all that a worker says of a file of `size` zeros; for the fuzz targets.
pub(crate) fn hear(mut said: &[u8], size: u64) -> Made {
    let mut parts = Parts::default();
    let file = vec![0; usize::try_from(size).unwrap_or_default()];
    let mut file = io::Cursor::new(file);
    let result = match frame::read(&mut said) {
        Ok(Some(first)) => {
            let pipes = (&mut said, &mut io::sink());
            converse(first, pipes, (&mut file, size), |_| {}, &mut parts).map_err(Fault::reason)
        }
        _ => Err(Reason::NoWorker),
    };
    let pictures = result.and_then(|end| end.reason.map_or(Ok(()), Err));
    Made {
        metadata: parts.metadata.take().map(Metadata::checked),
        pictures: pictures.and_then(|()| parts.finish()),
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the system ended a worker for, when it was not its own fault in memory.
#[cfg(unix)]
fn cause(status: ExitStatus) -> Option<Reason> {
    use std::os::unix::process::ExitStatusExt;

    use rustix::process::Signal;

    let signal = status.signal()?;
    if signal == Signal::XCPU.as_raw() {
        Some(Reason::TookTooLong)
    } else {
        // Nobody here sent it.
        (signal == Signal::KILL.as_raw()).then_some(Reason::Ended)
    }
}

#[cfg(not(unix))]
fn cause(_: ExitStatus) -> Option<Reason> {
    None
}

/// Reads the end of a job: code, and whether it was the worker's last.
fn end(body: &[u8]) -> Option<End> {
    let [code, last] = *body.first_chunk()?;
    let reason = match code {
        0 => None,
        code => Some(Reason::from_code(code)?),
    };
    Some(End {
        reason,
        is_last: last != 0,
    })
}

/// What a worker asks for, if it stands in the file.
fn span(body: &[u8], size: u64) -> Option<(u64, u32)> {
    let (at, len) = body.split_first_chunk::<8>()?;
    let at = u64::from_le_bytes(*at);
    let len = u32::from_le_bytes(*len.first_chunk()?);
    let inside = at.checked_add(u64::from(len))? <= size;
    (inside && len <= MAX_PIECE).then_some((at, len))
}

fn piece(file: &mut dyn ReadSeek, at: u64, len: u32) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = vec![0; index(len)];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What a worker has told so far.
#[derive(Default)]
struct Parts {
    metadata: Option<Metadata>,
    preview: Option<(Size, Vec<u8>)>,
    thumbnail: Option<(Size, Vec<u8>)>,
    hash: Option<(Size, Vec<u8>)>,
}

impl Parts {
    fn take(&mut self, kind: Kind, body: Vec<u8>) -> Option<()> {
        match kind {
            Kind::Metadata => self.metadata = Some(serde_json::from_slice(&body).ok()?),
            Kind::Preview => self.preview = Some(jpeg(body, PREVIEW_SIDE)?),
            Kind::Thumbnail => self.thumbnail = Some(jpeg(body, THUMBNAIL_SIDE)?),
            Kind::Hash => {
                let hash = sized(body)?;
                self.hash = (hash.1.len() <= MAX_THUMBHASH_BYTES).then_some(hash);
                self.hash.as_ref()?;
            }
            Kind::Hello | Kind::Job | Kind::Read | Kind::Bytes | Kind::Done => return None,
        }
        Some(())
    }

    fn finish(self) -> Result<Previews, Reason> {
        let (Some(preview), Some(thumbnail), Some(hash)) =
            (self.preview, self.thumbnail, self.hash)
        else {
            return Err(Reason::Damaged);
        };
        Ok(Previews {
            shown: hash.0,
            preview: preview.1,
            preview_size: preview.0,
            thumbnail: thumbnail.1,
            thumbnail_size: thumbnail.0,
            thumbhash: hash.1,
        })
    }
}

fn sized(mut body: Vec<u8>) -> Option<(Size, Vec<u8>)> {
    let (width, rest) = body.split_first_chunk::<4>()?;
    let height = rest.first_chunk::<4>()?;
    let size = Size::new(u32::from_le_bytes(*width), u32::from_le_bytes(*height))?;
    body.drain(..8);
    Some((size, body))
}

/// Accepts a JPEG that is as large as it was said to be, and no larger than it may be.
fn jpeg(body: Vec<u8>, side: u32) -> Option<(Size, Vec<u8>)> {
    let (size, bytes) = sized(body)?;
    let length = u64::try_from(bytes.len()).ok()?;
    let mut cursor = io::Cursor::new(&bytes);
    let stored = metadata::read(&mut cursor, MediaType::Jpeg, length).stored;
    let fits = size.width.max(size.height) <= side && stored == Some(size);
    fits.then_some((size, bytes))
}

/// Ends a worker that is not done in time.
struct Watch {
    shared: Arc<(Mutex<Clock>, Condvar)>,
    thread: thread::JoinHandle<()>,
}

struct Clock {
    until: Instant,
    stopped: bool,
    ran_out: bool,
}

impl Watch {
    fn start(child: Arc<Mutex<Child>>, time: Duration) -> Result<Self, Reason> {
        let clock = Clock {
            until: Instant::now() + time,
            stopped: false,
            ran_out: false,
        };
        let shared = Arc::new((Mutex::new(clock), Condvar::new()));
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("worker-watch".to_owned())
            .spawn(move || Self::guard(&theirs.0, &theirs.1, &child))
            .map_err(|_| Reason::NoWorker)?;
        Ok(Self { shared, thread })
    }

    fn guard(clock: &Mutex<Clock>, bell: &Condvar, child: &Mutex<Child>) {
        let mut state = clock.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.stopped {
            let left = state.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.ran_out = true;
                drop(lock(child).kill());
                return;
            }
            state = bell
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn extend(&self, by: Duration) {
        let mut clock = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        clock.until += by;
    }

    /// Stops the clock and says whether time had run out.
    fn stop(self) -> bool {
        let (clock, bell) = &*self.shared;
        clock.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        bell.notify_all();
        drop(self.thread.join());
        clock.lock().unwrap_or_else(PoisonError::into_inner).ran_out
    }
}
