//! The worker as it should be, and workers as an attacker would like them.

use std::fs::File;
use std::io::{Read, Write, stdin, stdout};
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use heirloom_node::media::{MediaType, worker};
use heirloom_node::sys;

/// Runs the worker of this name to its exit code; `None` if there is none.
pub(crate) fn run(name: &str) -> Option<u8> {
    let rogue = match name {
        "worker-decode" => return Some(u8::from(worker::run() != 0)),
        "confined" => return Some(u8::from(!is_confined())),
        "mute" => return Some(0),
        "garbage" => {
            put(b'W', b"");
            send(&[b'x'; 1000]);
            return Some(0);
        }
        "dies-on-gif" => |gif: bool| if gif { std::process::abort() } else { done(3) },
        "stuck-on-gif" => |gif: bool| if gif { hang() } else { done(3) },
        "hungry" => |_: bool| {
            sys::confine_worker(sys::WorkerLimits {
                memory_bytes: 256 << 20,
                job_cpu: Duration::from_secs(1),
            });
            let eaten = vec![1_u8; 1 << 30];
            done(eaten[eaten.len() / 2]);
        },
        "busy" => |_: bool| {
            sys::confine_worker(sys::WorkerLimits {
                memory_bytes: 256 << 20,
                job_cpu: Duration::ZERO,
            });
            let mut n = 0_u64;
            while std::hint::black_box(true) {
                n = std::hint::black_box(n.wrapping_add(1));
            }
        },
        "shot" => |_: bool| shoot(),
        "nosy" => |_: bool| ask(1, 64),
        "greedy" => |_: bool| {
            let mut answer = vec![0; 5 + PIECE];
            loop {
                ask(0, PIECE);
                if stdin().read_exact(&mut answer).is_err() {
                    return;
                }
            }
        },
        "deaf" => |_: bool| loop {
            // Takes no answer, and fills the other pipe.
            ask(0, PIECE);
        },
        "liar" => |_: bool| {
            put(
                b'P',
                &[
                    &9999_u32.to_le_bytes()[..],
                    &9999_u32.to_le_bytes(),
                    b"\xff\xd8",
                ]
                .concat(),
            );
            done(0);
        },
        "forgetful" => |_: bool| done(0),
        "with-environment" => |_: bool| {
            let known = std::env::vars_os().all(|(name, _)| name == "MALLOC_ARENA_MAX");
            done(if known { 3 } else { 1 });
        },
        _ => return None,
    };
    put(b'W', b"");
    while let Some(gif) = next_job() {
        rogue(gif);
    }
    Some(0)
}

/// Is ended as by the system when memory is short.
fn shoot() {
    use rustix::process::{Signal, getpid, kill_process};
    kill_process(getpid(), Signal::KILL).expect("it is this process");
    hang();
}

/// Reads a job and says whether it is about a GIF.
fn next_job() -> Option<bool> {
    let mut job = [0; 5 + 10];
    stdin().read_exact(&mut job).ok()?;
    Some(job[5] == MediaType::Gif.code())
}

/// The largest piece that may be asked for.
const PIECE: usize = 1 << 20;

/// Asks for bytes of the file.
fn ask(at: u64, len: usize) {
    let len = u32::try_from(len).expect("small");
    put(b'R', &[&at.to_le_bytes()[..], &len.to_le_bytes()].concat());
}

fn done(code: u8) {
    put(b'D', &[code, 0]);
}

fn put(kind: u8, body: &[u8]) {
    let len = u32::try_from(body.len()).expect("small").to_le_bytes();
    send(&[&[kind], &len[..], body].concat());
}

fn send(bytes: &[u8]) {
    let mut out = stdout().lock();
    let sent = out.write_all(bytes).and_then(|()| out.flush());
    if sent.is_err() {
        std::process::exit(1);
    }
}

fn hang() {
    loop {
        thread::park();
    }
}

/// Whether confinement took hold of this process.
fn is_confined() -> bool {
    let files = ["/proc/self/limits", "/proc/self/status"].map(File::open);
    sys::confine_worker(sys::WorkerLimits {
        memory_bytes: 512 << 20,
        job_cpu: Duration::from_secs(10),
    });
    let opens = File::open("/etc/passwd").is_ok() || UdpSocket::bind("127.0.0.1:0").is_ok();
    if cfg!(unix) && opens {
        return false;
    }
    // What was open before can still be read, and says what is so now.
    let [Ok(limits), Ok(status)] = files.map(|file| file.and_then(std::io::read_to_string)) else {
        return !cfg!(target_os = "linux");
    };
    let is = |name: &str, value: &str| {
        limits
            .lines()
            .filter_map(|l| l.strip_prefix(name))
            .any(|l| l.split_whitespace().next() == Some(value))
    };
    is("Max address space", "536870912")
        && is("Max core file size", "0")
        && is("Max file size", "0")
        && is("Max open files", "3")
        && is("Max processes", "0")
        && is("Max cpu time", "11")
        && status.contains("NoNewPrivs:\t1")
}
