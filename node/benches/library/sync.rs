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
    made::{self, Picture, Sizes},
    report::{Contest, Stopwatch, Took, rounds, say},
    world::{Home, until},
};

const ASSETS: usize = 10_000;
const BYTES: usize = 20 * 1024;

/// Both nodes are in this process; the clock runs from the call until the last blob is recorded.
pub fn run(folder: &Path, runtime: &Runtime) {
    let files = folder.join("files");
    made::files(&files, ASSETS, BYTES);
    let mut contest = Contest::default();
    for _ in 0..rounds() {
        let took = runtime.block_on(ours(folder));
        contest.note("heirloom, both nodes durable", took);
        rsync(folder, &files, &mut contest);
    }
    contest.tell(&format!(
        "first sync of {ASSETS} assets of {} KiB",
        BYTES / 1024
    ));
    fs::remove_dir_all(&files).unwrap();
}

async fn ours(folder: &Path) -> Took {
    let (a, b) = (folder.join("a"), folder.join("b"));
    let anna = Home::found(&a).await;
    let other = anna.join(&b).await;
    let (node, album) = (anna.node().await, anna.library().await);
    let sizes = Sizes {
        original: BYTES,
        picture: Picture::None,
    };
    node.clone()
        .blocking(move || made::fill(&node, album, ASSETS, sizes))
        .await
        .unwrap();
    let giving = anna.network().await;
    other
        .knows(anna.device().await, giving.addresses()[0])
        .await;
    let watch = Stopwatch::start();
    let taking = other.network().await;
    let all = u64::try_from(ASSETS).unwrap();
    until("every blob came", || taking.moved().blobs_received == all).await;
    // The last batch is counted when it is asked for nothing more.
    let node = other.node().await;
    while node.ask(|runtime| runtime.lacking()).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = watch.took();
    taking.stop().await;
    giving.stop().await;
    drop((taking, giving, node));
    anna.close().await;
    other.close().await;
    fs::remove_dir_all(a).unwrap();
    fs::remove_dir_all(b).unwrap();
    took
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
    let watch = Stopwatch::start();
    let status = Command::new("rsync")
        .args(["-a", &source])
        .arg(&copy)
        .status();
    let synced = Command::new("sync").arg("-f").arg(&copy).status();
    let wall = watch.took().wall;
    assert!(synced.unwrap().success());
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(status.unwrap().success());
    // The daemon's share of the processor is known once it has ended.
    let took = Took {
        wall,
        ..watch.took()
    };
    contest.note("rsync daemon in plaintext, then sync", took);
    fs::remove_dir_all(&copy).unwrap();
}
