//! A node in a process of its own: started, asked through its socket file, looked at from outside.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use axum::body::Body;
use futures::StreamExt as _;
use heirloom_node::{net::Address, serve::ServeOptions};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::{
    report::{cpu_seconds, say},
    world::{Told, options, request},
};

/// Serves a home until standard input ends, as `heirloom serve` does.
pub fn serve(home: &Path) {
    let options = ServeOptions {
        home: home.to_owned(),
        node: options(),
        port: None,
        listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
        lan_only: false,
        external: Vec::new(),
        relay: false,
        discovery: false,
        gallery: None,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stop = async {
            let ended = tokio::task::spawn_blocking(|| {
                let mut rest = Vec::new();
                std::io::stdin().read_to_end(&mut rest)
            });
            // Whatever became of it, nobody is there any more.
            let _ = ended.await;
        };
        let mut lines = heirloom_node::serve::serve(options, stop).await.unwrap();
        while let Some(Ok(line)) = lines.next().await {
            say(String::from_utf8_lossy(&line).trim_end());
        }
    });
}

/// What the system says of a process, in KiB.
#[derive(Debug)]
pub struct Memory(BTreeMap<String, u64>);

impl Memory {
    /// One field of `/proc/PID/status`.
    pub fn mib(&self, field: &str) -> u64 {
        self.bytes(field).div_ceil(1024 * 1024)
    }

    /// The same in bytes.
    pub fn bytes(&self, field: &str) -> u64 {
        self.0.get(field).copied().unwrap_or_default() * 1024
    }
}

/// What a process has used since it started.
#[derive(Clone, Copy)]
pub struct Spent {
    /// Seconds of processor.
    pub cpu: f64,
    /// How often one of its threads has gone on after waiting.
    pub wakes: u32,
}

/// A served node.
pub struct Served {
    child: Child,
    /// Kept open: it writes a last line when it ends.
    lines: BufReader<ChildStdout>,
    home: PathBuf,
    /// Where it listens.
    pub address: Address,
    /// From the start of the process to its first line.
    pub ready: Duration,
}

impl Served {
    /// Starts it and waits until it is ready.
    pub fn start(home: &Path) -> Self {
        let begun = Instant::now();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("serve")
            .arg(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["type"], "ready", "{ready}");
        Self {
            child,
            lines,
            home: home.to_owned(),
            address: ready["listen"][0].as_str().unwrap().parse().unwrap(),
            ready: begun.elapsed(),
        }
    }

    /// Asks it for an act.
    pub async fn ask(&self, act: &str, body: &Value) -> Told {
        let begun = Instant::now();
        let socket = tokio::net::UnixStream::connect(self.home.join("node.sock"));
        let io = TokioIo::new(socket.await.unwrap());
        let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let connection = tokio::spawn(connection);
        let response = send.send_request(request(act, body)).await.unwrap();
        let told = Told::of(Body::new(response.into_body()), begun).await;
        connection.abort();
        told
    }

    /// What it has in memory now.
    pub fn memory(&self) -> Memory {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let rows = text.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let kib = value.trim().strip_suffix(" kB")?.parse().ok()?;
            Some((name.to_owned(), kib))
        });
        Memory(rows.collect())
    }

    /// What it has used until now.
    pub fn spent(&self) -> Spent {
        let process = format!("/proc/{}", self.child.id());
        let threads = std::fs::read_dir(format!("{process}/task")).unwrap();
        let wakes = threads.map(|thread| {
            let status = thread.unwrap().path().join("status");
            let text = std::fs::read_to_string(status).unwrap_or_default();
            let row = text
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            row.map_or(0, |count| count.trim().parse::<u32>().unwrap())
        });
        Spent {
            cpu: cpu_seconds(&process),
            wakes: wakes.sum(),
        }
    }

    /// Stops it and waits for its end.
    pub fn stop(mut self) {
        drop(self.child.stdin.take());
        let mut last = String::new();
        self.lines.read_line(&mut last).unwrap();
        assert!(last.contains("summary"), "{last}");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
