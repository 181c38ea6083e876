//! A library of 100,000 assets: how soon it answers, what an idle node takes, what two nodes say to each other.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use heirloom_node::{network::Network, runtime::RuntimeError};
use serde_json::json;

use crate::{
    made::{self, Picture, Sizes},
    report::{rounds, say, setting},
    served::Served,
    world::{Home, until},
};

/// How long a node is left alone before it is looked at.
const IDLE: Duration = Duration::from_secs(15);
/// How long nothing may move before two nodes count as done.
const QUIET: Duration = Duration::from_secs(4);
/// A node with this many MiB is too large.
const MEMORY_MIB: u64 = 150;
/// Bytes of streams by which two nodes find out that they agree.
const AGREE_BYTES: u64 = 1024;
/// Bytes of streams, without blobs, that one new photo may cost.
const PHOTO_BYTES: u64 = 8 * 1024;

/// Every figure of the large library, and whether it is within its limit.
pub async fn run(folder: &Path) {
    let assets = setting("HEIRLOOM_BENCH_ASSETS", 100_000);
    let (a, b) = (folder.join("large-a"), folder.join("large-b"));
    say(format!(
        "\na library of {assets} assets, each with preview and thumbnail"
    ));
    let anna = Home::found(&a).await;
    let other = anna.join(&b).await;
    let anna_device = anna.device().await;
    record(&anna, assets).await;
    anna.close().await;
    start(&a, assets).await;

    let served = Served::start(&a);
    say(format!(
        "  served: ready after {:.2} s",
        served.ready.as_secs_f64()
    ));
    idle("it has just started", &served).await;
    other.knows(anna_device, served.address).await;
    first_sync(&other, &served, assets).await;
    idle("it has given everything to a second device", &served).await;
    let told = served.ask("list", &json!({})).await;
    assert_eq!(told.lines, assets + 1);
    idle("it has listed everything", &served).await;
    served.stop();

    let served = Served::start(&a);
    other.knows(anna_device, served.address).await;
    let network = other.network().await;
    agree(&network).await;
    one_photo(folder, &other, &network, &served).await;
    idle("a peer is connected", &served).await;
    network.stop().await;
    drop(network);
    other.close().await;
    served.stop();

    let served = Served::start(&b);
    idle("the second device has just started", &served).await;
    served.stop();
}

/// Puts so many photos into its library.
pub async fn record(home: &Home, assets: usize) {
    let (node, album) = (home.node().await, home.library().await);
    let sizes = Sizes {
        original: 200,
        picture: Picture::Noise(60),
    };
    let begun = Instant::now();
    node.clone()
        .blocking(move || made::fill(&node, album, assets, sizes))
        .await
        .unwrap();
    say(format!(
        "  recorded in {:.1} s",
        begun.elapsed().as_secs_f64()
    ));
}

/// The files are in the system's cache; the store is not.
async fn start(path: &Path, assets: usize) {
    let mut times = Vec::new();
    for _ in 0..rounds() {
        let begun = Instant::now();
        let home = Home::open(path).await;
        let opened = begun.elapsed();
        let told = home.ask("list", &json!({})).await;
        assert_eq!(told.lines, assets + 1);
        times.push([opened, opened + told.first, begun.elapsed()]);
        home.close().await;
    }
    times.sort_unstable();
    let [opened, first, all] = times[times.len() / 2].map(|took| took.as_secs_f64());
    say(format!(
        "  start: open after {opened:.2} s, first line of list after {first:.2} s, last after {all:.2} s"
    ));
}

async fn idle(when: &str, served: &Served) {
    tokio::time::sleep(IDLE).await;
    let memory = served.memory();
    let resident = memory.mib("VmRSS");
    say(format!(
        "  idle after {when}: {resident} MiB resident ({} of its own, highest {}){}",
        memory.mib("RssAnon"),
        memory.mib("VmHWM"),
        verdict(resident < MEMORY_MIB, "MiB", MEMORY_MIB),
    ));
}

/// Whether a figure is within its limit, in words.
pub fn verdict(is_within: bool, unit: &str, limit: u64) -> String {
    match is_within {
        true => format!("; within {limit} {unit}"),
        false => format!("; ABOVE {limit} {unit}"),
    }
}

async fn first_sync(other: &Home, served: &Served, assets: usize) {
    let begun = Instant::now();
    let network = other.network().await;
    let all = u64::try_from(3 * assets).unwrap();
    until("every blob came", || network.moved().blobs_received == all).await;
    say(format!(
        "  first sync: {} entries and {all} blobs in {:.1} s; the giving node had {} MiB at most",
        network.moved().entries_received,
        begun.elapsed().as_secs_f64(),
        served.memory().mib("VmHWM"),
    ));
    // What was received is told before the connection ends, so that both remember it.
    quiet(&network).await;
    network.stop().await;
}

/// Bytes of the streams of the one connection, ours and theirs.
async fn traffic(network: &Network) -> (u64, u64) {
    let connected = network.connected().await;
    connected
        .first()
        .map_or((0, 0), |path| (path.sent, path.received))
}

/// Waits until nothing moves and both sides have said that nothing is left.
pub async fn quiet(network: &Network) -> (u64, u64) {
    let (mut last, mut since) = ((0, 0), Instant::now());
    loop {
        let now = traffic(network).await;
        let sessions = network.sessions();
        let settled = !sessions.is_empty() && sessions.iter().all(|session| session.settled);
        if now != last || !settled {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > QUIET {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn agree(network: &Network) {
    let (sent, received) = quiet(network).await;
    assert_eq!(network.moved().blobs_received, 0, "they agreed");
    let all = sent + received;
    say(format!(
        "  two that agree: {all} bytes on their streams ({sent} out, {received} in){}",
        verdict(all < AGREE_BYTES, "bytes", AGREE_BYTES)
    ));
}

async fn one_photo(folder: &Path, other: &Home, network: &Network, served: &Served) {
    let (node, before) = (other.node().await, traffic(network).await);
    let path = folder.join("new.jpg");
    std::fs::write(&path, made::jpeg(1_000_000, 300_000)).unwrap();
    let body = json!({"paths": [path]});
    let begun = Instant::now();
    let came = async {
        until("its entry came", || network.moved().entries_received > 0).await;
        begun.elapsed()
    };
    let (told, seen) = tokio::join!(served.ask("import", &body), came);
    assert_eq!(told.last["added"], 1);
    until("its blobs came", || network.moved().blobs_received == 3).await;
    let after = quiet(network).await;
    let lacking: Result<u64, RuntimeError> = node.ask(|runtime| runtime.lacking()).await;
    assert_eq!(lacking.unwrap(), 0);
    let all = after.0 + after.1 - before.0 - before.1;
    let control = all - network.moved().bytes_received;
    say(format!(
        "  one new photo: {control} bytes beside its blobs ({} out, {} in with {} of blobs), its entry here after {:.0} ms{}",
        after.0 - before.0,
        after.1 - before.1,
        network.moved().bytes_received,
        seen.as_secs_f64() * 1000.0,
        verdict(control < PHOTO_BYTES, "bytes", PHOTO_BYTES)
    ));
}
