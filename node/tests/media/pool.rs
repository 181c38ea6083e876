//! The pool against good workers and bad ones.

use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use heirloom_node::media::{MediaType, Pool, Reason};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "pool::pictures_come_from_another_process_upright_and_bare",
        pictures_come_from_another_process_upright_and_bare,
    ),
    (
        "pool::a_worker_that_dies_costs_one_picture",
        a_worker_that_dies_costs_one_picture,
    ),
    (
        "pool::a_stuck_worker_is_ended_and_stalls_nobody_else",
        a_stuck_worker_is_ended_and_stalls_nobody_else,
    ),
    (
        "pool::full_pipes_on_both_sides_end_with_the_clock",
        full_pipes_on_both_sides_end_with_the_clock,
    ),
    (
        "pool::the_reason_tells_what_ended_a_worker",
        the_reason_tells_what_ended_a_worker,
    ),
    ("pool::a_worker_is_not_believed", a_worker_is_not_believed),
    (
        "pool::a_worker_gives_up_its_rights",
        a_worker_gives_up_its_rights,
    ),
    (
        "pool::many_threads_share_few_workers",
        many_threads_share_few_workers,
    ),
    (
        "pool::metadata_of_a_huge_movie_costs_little_reading",
        metadata_of_a_huge_movie_costs_little_reading,
    ),
    (
        "pool::a_file_that_cannot_be_read_is_not_called_damaged",
        a_file_that_cannot_be_read_is_not_called_damaged,
    ),
];

/// A pool whose workers are this program under another name.
pub(crate) fn pool(worker: &str, workers: usize) -> Pool {
    let program = std::env::current_exe().expect("this program runs");
    Pool::new(program, vec![worker.into()], workers)
}

fn outcome(pool: &Pool, bytes: &[u8], media: MediaType) -> Option<Reason> {
    pool.make(&mut Cursor::new(bytes), media).pictures.err()
}

/// A JPEG of a width and height, with EXIF that says how it was held.
fn jpeg(width: u16, height: u16, orientation: u8) -> Vec<u8> {
    let exif = [
        &b"MM\0*\0\0\0\x08\0\x02\x01\x0f\0\x02\0\0\0\x04Cam\0\x01\x12\0\x03\0\0\0\x01\0"[..],
        &[orientation, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let rgb: Vec<u8> = (0..u32::from(width) * u32::from(height))
        .flat_map(|i| [i.to_le_bytes()[0], i.to_le_bytes()[1], 0x40])
        .collect();
    let mut out = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut out, 90);
    encoder.add_exif_metadata(&exif).expect("short");
    encoder
        .encode(&rgb, width, height, jpeg_encoder::ColorType::Rgb)
        .expect("valid");
    out
}

fn pictures_come_from_another_process_upright_and_bare() {
    let pool = pool("worker-decode", 1);
    let file = jpeg(3000, 1000, 6);
    let made = pool.make(&mut Cursor::new(&file), MediaType::Jpeg);
    let metadata = made.metadata.expect("readable");
    assert_eq!(metadata.orientation.code(), 6);
    assert_eq!(metadata.camera, Some(("Cam".to_owned(), String::new())));
    let shown = metadata.shown.expect("has a size");
    assert_eq!((shown.width, shown.height), (1000, 3000));
    let previews = made.pictures.expect("can be made");
    assert_eq!(previews.shown, shown);
    let size = previews.preview_size;
    assert_eq!((size.width, size.height), (683, 2048));
    let size = previews.thumbnail_size;
    assert_eq!((size.width, size.height), (171, 512));
    assert!((5..=25).contains(&previews.thumbhash.len()));
    for bare in [&previews.preview, &previews.thumbnail] {
        assert!(!bare.windows(4).any(|w| w == b"Exif"));
    }
    // Far more jobs than one worker is given: they are replaced on the way.
    let small = jpeg(8, 8, 1);
    for _ in 0..40 {
        assert_eq!(outcome(&pool, &small, MediaType::Jpeg), None);
    }
    assert_eq!(
        outcome(&pool, b"not a photo", MediaType::Jpeg),
        Some(Reason::Damaged)
    );
    assert_eq!(
        outcome(&pool, b"", MediaType::Mov),
        Some(Reason::NotSupported)
    );
    assert_eq!(outcome(&pool, &small, MediaType::Jpeg), None);
}

fn a_worker_that_dies_costs_one_picture() {
    let pool = pool("dies-on-gif", 1);
    for _ in 0..3 {
        assert_eq!(outcome(&pool, b"x", MediaType::Gif), Some(Reason::Damaged));
        assert_eq!(
            outcome(&pool, b"x", MediaType::Png),
            Some(Reason::NotSupported)
        );
    }
}

fn a_stuck_worker_is_ended_and_stalls_nobody_else() {
    let pool = pool("stuck-on-gif", 2).with_job_time(Duration::from_secs(3));
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let stuck = tell.clone();
        let pool = &pool;
        scope.spawn(move || {
            let reason = outcome(pool, b"x", MediaType::Gif);
            stuck.send(("stuck", reason)).expect("is awaited");
        });
        scope.spawn(move || {
            for _ in 0..5 {
                let reason = outcome(pool, b"x", MediaType::Png);
                tell.send(("other", reason)).expect("is awaited");
            }
        });
    });
    let order: Vec<_> = told.iter().collect();
    let stuck = order.last().expect("six results");
    assert_eq!(*stuck, ("stuck", Some(Reason::TookTooLong)));
    assert_eq!(order.len(), 6);
}

fn full_pipes_on_both_sides_end_with_the_clock() {
    let pool = pool("deaf", 1).with_job_time(Duration::from_millis(500));
    let file = vec![0; 4 << 20];
    assert_eq!(
        outcome(&pool, &file, MediaType::Png),
        Some(Reason::TookTooLong)
    );
}

fn the_reason_tells_what_ended_a_worker() {
    let missing = Pool::new(PathBuf::from("/nonexistent/heirloom"), Vec::new(), 1);
    assert_eq!(
        outcome(&missing, b"x", MediaType::Png),
        Some(Reason::NoWorker)
    );
    let large = vec![0; 1 << 20];
    for (worker, file, reason) in [
        ("mute", &b"x"[..], Reason::Silent),
        ("garbage", b"x", Reason::Damaged),
        ("nosy", b"x", Reason::Damaged),
        ("greedy", &large, Reason::Damaged),
    ] {
        let pool = pool(worker, 1);
        assert_eq!(
            outcome(&pool, file, MediaType::Png),
            Some(reason),
            "{worker}"
        );
    }
    if cfg!(target_os = "linux") {
        for (worker, reason) in [
            ("hungry", Reason::TooMuchMemory),
            ("busy", Reason::TookTooLong),
            ("shot", Reason::Ended),
        ] {
            let pool = pool(worker, 1);
            assert_eq!(
                outcome(&pool, b"x", MediaType::Png),
                Some(reason),
                "{worker}"
            );
        }
    }
}

fn a_worker_is_not_believed() {
    for worker in ["liar", "forgetful"] {
        let pool = pool(worker, 1);
        assert_eq!(
            outcome(&pool, b"x", MediaType::Png),
            Some(Reason::Damaged),
            "{worker}"
        );
    }
}

fn a_worker_gives_up_its_rights() {
    let program = std::env::current_exe().expect("this program runs");
    let status = Command::new(program)
        .arg("confined")
        .status()
        .expect("starts");
    assert!(status.success(), "{status}");
    assert_eq!(
        outcome(&pool("with-environment", 1), b"x", MediaType::Png),
        Some(Reason::NotSupported)
    );
}

fn many_threads_share_few_workers() {
    let pool = pool("worker-decode", 2);
    let file = jpeg(40, 30, 8);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let made = pool.make(&mut Cursor::new(&file), MediaType::Jpeg);
                    let size = made.pictures.expect("can be made").preview_size;
                    assert_eq!((size.width, size.height), (30, 40));
                }
            });
        }
    });
    assert_eq!(pool.workers(), 2);
}

/// Counts what is read.
struct Counting<R>(R, usize);

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let n = self.0.read(into)?;
        self.1 += n;
        Ok(n)
    }
}

impl<R: Seek> Seek for Counting<R> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

fn metadata_of_a_huge_movie_costs_little_reading() {
    const GAP: u64 = 20 << 30;
    let mut file = tempfile::tempfile().expect("a file");
    let mdat = (16 + GAP).to_be_bytes();
    file.write_all(&[&b"\0\0\0\x10ftypqt  \0\0\0\0\0\0\0\x01mdat"[..], &mdat].concat())
        .expect("written");
    file.seek(SeekFrom::Current(20 << 30)).expect("sparse");
    let mvhd = [
        &b"\0\0\0\0"[..],
        &3_688_734_549_u32.to_be_bytes(),
        &[0; 4],
        &600_u32.to_be_bytes(),
        &1500_u32.to_be_bytes(),
        &[0; 80],
    ]
    .concat();
    file.write_all(&[&b"\0\0\0\x74moov\0\0\0\x6cmvhd"[..], &mvhd].concat())
        .expect("written");
    let mut file = Counting(file, 0);
    let metadata = pool("worker-decode", 1)
        .metadata(&mut file, MediaType::Mov)
        .expect("readable");
    let capture = metadata.capture.expect("has a time");
    assert_eq!(capture.wall.to_string(), "2020-11-20T16:29:09");
    assert_eq!(metadata.duration_ms, Some(2500));
    assert!(file.1 < 100_000, "{} bytes read", file.1);
}

/// A file on a disk that fails in its middle.
struct Failing(Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.0.position() > 10_000 {
            return Err(std::io::ErrorKind::Other.into());
        }
        let room = into.len().min(4096);
        self.0.read(&mut into[..room])
    }
}

impl Seek for Failing {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

fn a_file_that_cannot_be_read_is_not_called_damaged() {
    let pool = pool("worker-decode", 1);
    let mut file = Failing(Cursor::new(jpeg(900, 900, 1)));
    let made = pool.make(&mut file, MediaType::Jpeg);
    assert_eq!(made.pictures.err(), Some(Reason::Unreadable));
    assert_eq!(outcome(&pool, &jpeg(9, 9, 1), MediaType::Jpeg), None);
}
