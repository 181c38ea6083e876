//! A keeper of a large library that has nothing to do, with a device connected to it.

use std::{path::Path, time::Duration};

use heirloom_node::network::Network;

use crate::{
    large::{quiet, record, verdict},
    report::{say, setting},
    served::{Served, Spent},
    world::{Home, until},
};

/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(60);
/// What it may have in memory.
const MEMORY: u64 = 120_000_000;
/// Percent of one core that it may take.
const CORE: f64 = 0.5;

/// Memory, processor and wake-ups of a process of its own, once it holds everything.
pub async fn run(folder: &Path) {
    let assets = setting("HEIRLOOM_BENCH_ASSETS", 100_000);
    let (a, b) = (folder.join("kept-a"), folder.join("kept-b"));
    say(format!(
        "\na keeper of {assets} assets, each with preview and thumbnail"
    ));
    let anna = Home::found(&a).await;
    let keeper = anna.join_keeper(&b).await;
    record(&anna, assets).await;
    let network = anna.network().await;
    take(&keeper, &anna, &network, assets).await;
    let device = keeper.device().await;
    keeper.close().await;

    let served = Served::start(&b);
    anna.knows(device, served.address).await;
    network.call_round().await.unwrap();
    until("they are connected", || !network.sessions().is_empty()).await;
    quiet(&network).await;
    let before = served.spent();
    tokio::time::sleep(WATCHED).await;
    tell(&served, before);
    network.stop().await;
    served.stop();
}

/// Fills the keeper.
async fn take(keeper: &Home, anna: &Home, network: &Network, assets: usize) {
    let device = anna.device().await;
    keeper.knows(device, network.addresses()[0]).await;
    let taking = keeper.network().await;
    let all = u64::try_from(3 * assets).unwrap();
    until("every blob came", || taking.moved().blobs_received == all).await;
    quiet(&taking).await;
    taking.stop().await;
}

fn tell(served: &Served, before: Spent) {
    let (memory, after) = (served.memory(), served.spent());
    let core = (after.cpu - before.cpu) / WATCHED.as_secs_f64() * 100.0;
    let wakes = f64::from(after.wakes - before.wakes) / WATCHED.as_secs_f64();
    let resident = memory.bytes("VmRSS");
    say(format!(
        "  idle: {:.1} MB resident ({:.1} of its own){}",
        megabytes(resident),
        megabytes(memory.bytes("RssAnon")),
        verdict(resident < MEMORY, "bytes", MEMORY),
    ));
    say(format!(
        "  idle: {core:.2} % of a core{}; {wakes:.1} wake-ups a second",
        match core < CORE {
            true => format!("; within {CORE} %"),
            false => format!("; ABOVE {CORE} %"),
        }
    ));
    assert!(resident < MEMORY && core < CORE, "beyond its limits");
}

fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap()) / 1000.0
}
