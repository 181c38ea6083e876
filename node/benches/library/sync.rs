//! A first sync of 10,000 small assets between two nodes on loopback, beside rsync in plaintext.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tokio::runtime::Runtime;

use crate::{
    made::{self, Sizes},
    report::{Contest, rounds, say, time},
    world::{Home, until},
};

const ASSETS: usize = 10_000;
const BYTES: usize = 20 * 1024;

/// Both nodes are in this process; the clock runs from the call until the last blob is recorded.
pub fn run(folder: &Path, runtime: &Runtime) {
    let files = folder.join("files");
    made::files(&files, ASSETS, BYTES);
    let mut contest = Contest::default();
    let mut cpu = Vec::new();
    for _ in 0..rounds() {
        let (took, used) = runtime.block_on(ours(folder));
        contest.note("heirloom, both durable", took);
        cpu.push(used);
        rsync(folder, &files, &mut contest);
    }
    contest.tell(&format!(
        "first sync of {ASSETS} assets of {} KiB",
        BYTES / 1024
    ));
    cpu.sort_by(f64::total_cmp);
    say(format!(
        "  processor time of both nodes                 {:>9.3} s",
        cpu[cpu.len() / 2]
    ));
    fs::remove_dir_all(&files).unwrap();
}

async fn ours(folder: &Path) -> (Duration, f64) {
    let (a, b) = (folder.join("a"), folder.join("b"));
    let anna = Home::found(&a).await;
    let other = anna.join(&b).await;
    let (node, album) = (anna.node().await, anna.library().await);
    let sizes = Sizes {
        original: BYTES,
        picture: None,
    };
    node.clone()
        .blocking(move || made::fill(&node, album, ASSETS, sizes))
        .await
        .unwrap();
    let giving = anna.network().await;
    other
        .knows(anna.device().await, giving.addresses()[0])
        .await;
    let before = cpu_seconds();
    let begun = std::time::Instant::now();
    let taking = other.network().await;
    let all = u64::try_from(ASSETS).unwrap();
    until("every blob came", || taking.moved().blobs_received == all).await;
    // The last batch is counted when it is asked for nothing more.
    let node = other.node().await;
    while node.ask(|runtime| runtime.lacking()).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = begun.elapsed();
    let used = cpu_seconds() - before;
    taking.stop().await;
    giving.stop().await;
    drop((taking, giving, node));
    anna.close().await;
    other.close().await;
    fs::remove_dir_all(a).unwrap();
    fs::remove_dir_all(b).unwrap();
    (took, used)
}

/// Seconds of processor that this process has used, where the system tells.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    // USER_HZ, the same on every Linux.
    ticks / 100.0
}

fn rsync(folder: &Path, files: &Path, contest: &mut Contest) {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = folder.join("rsyncd.conf");
    let text = format!(
        "port = {port}\naddress = 127.0.0.1\nuse chroot = no\n[files]\npath = {}\nread only = yes\n",
        files.display()
    );
    fs::write(&config, text).unwrap();
    let daemon = Command::new("rsync")
        .args(["--daemon", "--no-detach", "--config"])
        .arg(&config)
        .stdin(Stdio::null())
        .spawn();
    let Ok(mut daemon) = daemon else {
        say("skipped: rsync is not installed");
        return;
    };
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let copy = folder.join("rsynced");
    let source = format!("rsync://127.0.0.1:{port}/files/");
    let (status, took) = time(|| {
        Command::new("rsync")
            .args(["-a", "--fsync", &source])
            .arg(&copy)
            .status()
    });
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(status.unwrap().success());
    contest.note("rsync daemon, plaintext, --fsync", took);
    fs::remove_dir_all(&copy).unwrap();
}
