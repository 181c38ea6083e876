//! One large blob from one holder and from two, each behind a line of so many bytes a second.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use heirloom_node::{net::Address, network::Network};
use tokio::runtime::Runtime;

use crate::{
    made::{self, Sizes},
    report::{Contest, Stopwatch, Took, rounds, say},
    world::{Home, until},
};

const MIB: u64 = 1024 * 1024;
const BYTES: u64 = 192 * MIB;
/// What each line carries in a second.
const RATE: u64 = 16 * MIB;

/// How many times as fast two are as one, at least.
const LEAST: f64 = 1.8;

/// All nodes are in this process; the clock runs from the call until the blob is recorded.
pub fn run(folder: &Path, runtime: &Runtime) {
    let mut contest = Contest::default();
    for _ in 0..rounds() {
        contest.note("two holders", runtime.block_on(from(folder, 2)));
        contest.note("one holder", runtime.block_on(from(folder, 1)));
    }
    let ratio = contest.ratio();
    contest.tell(&format!(
        "a movie of {} MiB over lines of {} MiB/s",
        BYTES / MIB,
        RATE / MIB
    ));
    assert!(ratio >= LEAST, "{ratio:.2} times as fast, not {LEAST}");
}

async fn from(folder: &Path, holders: usize) -> Took {
    let paths = ["a", "b", "c"].map(|name| folder.join(name));
    let anna = Home::found(&paths[0]).await;
    let second = anna.join(&paths[1]).await;
    let asker = anna.join(&paths[2]).await;
    let (node, album) = (anna.node().await, anna.library().await);
    let sizes = Sizes {
        original: usize::try_from(BYTES).unwrap(),
        picture: made::Picture::None,
    };
    node.clone()
        .blocking(move || made::fill(&node, album, 1, sizes))
        .await
        .unwrap();
    let mut giving = vec![anna.network().await, second.network().await];
    let device = anna.device().await;
    second.knows(device, giving[0].addresses()[0]).await;
    giving[1].call_round().await.unwrap();
    until("the second holder has it", || {
        giving[1].moved().blobs_received == 1
    })
    .await;

    // A holder that is not asked would hear where the asker is, and call it past the line.
    for idle in giving.split_off(holders) {
        idle.stop().await;
    }
    let lines: Vec<Line> = giving.iter().map(Line::to).collect();
    for (home, line) in [&anna, &second].into_iter().zip(&lines) {
        asker.knows(home.device().await, line.address()).await;
    }
    let watch = Stopwatch::start();
    let taking = asker.network().await;
    until("the blob came", || taking.moved().blobs_received == 1).await;
    let took = watch.took();
    let shares: Vec<u64> = lines.iter().map(|line| line.passed() / MIB).collect();
    say(format!("  shares of the holders, MiB: {shares:?}"));
    taking.stop().await;
    for network in giving {
        network.stop().await;
    }
    drop((taking, lines));
    for home in [anna, second, asker] {
        home.close().await;
    }
    for path in paths {
        fs::remove_dir_all(path).unwrap();
    }
    took
}

/// A line to a node that carries [`RATE`] back.
struct Line {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: SocketAddr,
    state: Mutex<State>,
}

struct State {
    /// When the next byte may pass.
    next: Instant,
    passed: u64,
    streams: Vec<TcpStream>,
    is_over: bool,
}

impl Line {
    fn to(network: &Network) -> Self {
        let to = network.addresses()[0];
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            to: SocketAddr::new(to.ip, to.port),
            state: Mutex::new(State {
                next: Instant::now(),
                passed: 0,
                streams: Vec::new(),
                is_over: false,
            }),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.state.lock().unwrap().is_over {
                    return;
                }
                accepting.clone().join(stream.unwrap());
            }
        });
        Self { address, shared }
    }

    fn address(&self) -> Address {
        Address::new(self.address.ip(), self.address.port())
    }

    fn passed(&self) -> u64 {
        self.shared.state.lock().unwrap().passed
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock().unwrap();
        state.is_over = true;
        for stream in &state.streams {
            // An error says that it has ended.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        // Wakes the listener, which then sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn join(self: Arc<Self>, caller: TcpStream) {
        let node = TcpStream::connect(self.to).unwrap();
        let copies = [caller.try_clone().unwrap(), node.try_clone().unwrap()];
        self.state.lock().unwrap().streams.extend(copies);
        let (to_node, from_node) = (node.try_clone().unwrap(), node);
        let to_caller = caller.try_clone().unwrap();
        std::thread::spawn(move || pass(caller, to_node, |_| Duration::ZERO));
        std::thread::spawn(move || pass(from_node, to_caller, |bytes| self.turn(bytes)));
    }

    /// How long so many bytes have to wait.
    fn turn(&self, bytes: usize) -> Duration {
        let mut state = self.state.lock().unwrap();
        let bytes = u64::try_from(bytes).unwrap();
        let turn = state.next.max(Instant::now());
        state.next = turn + Duration::from_nanos(bytes * 1_000_000_000 / RATE);
        state.passed += bytes;
        turn.saturating_duration_since(Instant::now())
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, wait: impl Fn(usize) -> Duration) {
    let mut chunk = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        std::thread::sleep(wait(count));
        if to.write_all(&chunk[..count]).is_err() {
            break;
        }
    }
    // An error says that it has ended.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
