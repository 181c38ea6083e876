//! The child's side: confined first, then one job after another until the pipe closes.

use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, StdinLock, StdoutLock, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::frame::{self, Job, Kind, MAX_PIECE};
use crate::import::metadata::{self, Metadata, Orientation, Size};
use crate::media::decode::{self, MAX_FILE_BYTES};
use crate::media::{MediaType, Previews, Reason};
use crate::sys;

/// Address space of a worker: 100 megapixels, their coded bytes, and the program.
const MEMORY_BYTES: u64 = 512 << 20;
/// Processor time of one job: a photo of 12 megapixels takes a tenth to a whole second.
const JOB_CPU: Duration = Duration::from_secs(10);

/// Runs as a worker on standard input and output until input ends; returns the exit code.
///
/// Meant to be the whole of the hidden command `worker-decode`: call it before anything else
/// opens files or starts threads. Takes all rights it can from the process, for good.
pub fn run() -> i32 {
    // What a panic says may quote the picture; the reason that is reported says enough.
    std::panic::set_hook(Box::new(|_| {}));
    sys::confine_worker(sys::WorkerLimits {
        memory_bytes: MEMORY_BYTES,
        job_cpu: JOB_CPU,
    });
    let mut pipes = Pipes {
        input: BufReader::new(io::stdin().lock()),
        output: BufWriter::new(io::stdout().lock()),
    };
    match serve(&mut pipes) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

struct Pipes<'a> {
    input: BufReader<StdinLock<'a>>,
    output: BufWriter<StdoutLock<'a>>,
}

fn serve(pipes: &mut Pipes<'_>) -> io::Result<()> {
    frame::write(&mut pipes.output, Kind::Hello, &[])?;
    pipes.output.flush()?;
    while let Some((kind, body)) = frame::read(&mut pipes.input)? {
        let job = Job::decode(&body)
            .filter(|_| kind == Kind::Job)
            .ok_or(io::ErrorKind::InvalidData)?;
        sys::extend_cpu(JOB_CPU);
        let (code, last) = match serve_job(pipes, job) {
            Ok(()) => (0, false),
            Err(Stop::Reason(reason)) => (reason.code(), false),
            Err(Stop::Panic) => (Reason::Damaged.code(), true),
            Err(Stop::Pipe(error)) => return Err(error),
        };
        frame::write(&mut pipes.output, Kind::Done, &[&[code, u8::from(last)]])?;
        pipes.output.flush()?;
        if last {
            break;
        }
    }
    Ok(())
}

/// Why a job ended early: for a reason to report, by a panic, after which nothing in here is to be
/// relied on, or because nobody is left to report to.
enum Stop {
    Reason(Reason),
    Panic,
    Pipe(io::Error),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Reason(reason)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Pipe(error)
    }
}

fn serve_job(pipes: &mut Pipes<'_>, job: Job) -> Result<(), Stop> {
    let media = MediaType::from_code(job.media).ok_or(Reason::NotSupported)?;
    let size = job.size;
    let mut file = Remote { pipes, size, at: 0 };
    let metadata = guarded(|| metadata::read(&mut file, media, size))?;
    send_metadata(file.pipes, &metadata)?;
    if !job.pictures {
        return Ok(());
    }
    let previews = make(&mut file, media, metadata.orientation)?;
    send_previews(file.pipes, &previews)
}

fn make(
    file: &mut Remote<'_, '_>,
    media: MediaType,
    orientation: Orientation,
) -> Result<Previews, Stop> {
    if !decode::is_supported(media) {
        return Err(Reason::NotSupported.into());
    }
    let size = file.size;
    let (media, at, len) = if media.is_raw() {
        let found = guarded(|| decode::embedded_jpeg(file, media, size))?;
        let (at, len) = found.ok_or(Reason::NotSupported)?;
        (MediaType::Jpeg, at, len)
    } else {
        (media, 0, size)
    };
    if len > MAX_FILE_BYTES {
        return Err(Reason::TooLarge.into());
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| Reason::TooLarge)?];
    file.seek(SeekFrom::Start(at))
        .and_then(|_| file.read_exact(&mut bytes))
        .map_err(|_| Reason::Unreadable)?;
    let previews = guarded(|| {
        let decoded = decode::decode(&bytes, media, orientation)?;
        // Coded bytes are of no more use, and pixels need the room.
        drop(bytes);
        Previews::make(decoded)
    })?;
    Ok(previews?)
}

/// Contains a panic of a decoder.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Stop> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Stop::Panic)
}

fn send_metadata(pipes: &mut Pipes<'_>, metadata: &Metadata) -> Result<(), Stop> {
    let json = serde_json::to_vec(metadata).map_err(|_| Reason::Damaged)?;
    frame::write(&mut pipes.output, Kind::Metadata, &[&json])?;
    // What kills the decoder must not take the metadata along.
    pipes.output.flush()?;
    Ok(())
}

fn send_previews(pipes: &mut Pipes<'_>, previews: &Previews) -> Result<(), Stop> {
    let out = &mut pipes.output;
    let sides = |size: Size| [size.width.to_le_bytes(), size.height.to_le_bytes()].concat();
    let preview = sides(previews.preview_size);
    frame::write(out, Kind::Preview, &[&preview, &previews.preview])?;
    let thumbnail = sides(previews.thumbnail_size);
    frame::write(out, Kind::Thumbnail, &[&thumbnail, &previews.thumbnail])?;
    let shown = sides(previews.shown);
    frame::write(out, Kind::Hash, &[&shown, &previews.thumbhash])?;
    Ok(())
}

/// The file on the other side of the pipe.
struct Remote<'p, 'a> {
    pipes: &'p mut Pipes<'a>,
    size: u64,
    at: u64,
}

impl Read for Remote<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.size.saturating_sub(self.at);
        let room = u64::try_from(into.len()).unwrap_or(u64::MAX);
        let want = u32::try_from(left.min(room).min(u64::from(MAX_PIECE)))
            .expect("at most the largest piece");
        if want == 0 {
            return Ok(0);
        }
        let pipes = &mut self.pipes;
        let ask = [&self.at.to_le_bytes()[..], &want.to_le_bytes()].concat();
        frame::write(&mut pipes.output, Kind::Read, &[&ask])?;
        pipes.output.flush()?;
        let Some((Kind::Bytes, bytes)) = frame::read(&mut pipes.input)? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let into = into
            .get_mut(..bytes.len())
            .ok_or(io::ErrorKind::InvalidData)?;
        into.copy_from_slice(&bytes);
        self.at += u64::try_from(bytes.len()).expect("at most the largest piece");
        Ok(bytes.len())
    }
}

impl Seek for Remote<'_, '_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
