//! Limits of bandwidth: how fast blobs go between two real nodes, as a proxy between them counts.
#![cfg(unix)]

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::devices::{Device, Dice, Homes, link, pair, pictures, proxy::Proxy, report};

const MOVIE_BYTES: usize = 5_000_000;
const LIMIT: f64 = 1_000_000.0;
/// What is measured lies between these: when it begins, what lies between the two and waits to be read is full.
const FROM: u64 = 2_000_000;
const TO: u64 = 4_800_000;

/// Two homes, and a proxy as the only way from the second to the first.
struct Pair {
    homes: Homes,
    first: Device,
    second: Device,
    proxy: Proxy,
    dice: Dice,
    movies: u32,
}

impl Pair {
    fn new() -> Self {
        let homes = Homes::new();
        let (first, second) = (homes.device("first"), homes.device("second"));
        first.init("Berger", "Anna", "first");
        let node = first.serve();
        pair(&first, &["--device"], &second, "second", link);
        let peer = node.ready["peer"].as_str().expect("a peer").to_owned();
        node.stop();
        let proxy = Proxy::new();
        second.know_only(&format!("{}/p2p/{peer}", proxy.multiaddr()));
        Self {
            homes,
            first,
            second,
            proxy,
            dice: Dice::new(),
            movies: 0,
        }
    }

    /// Brings a movie from the first to the second; bytes a second.
    fn rate(&mut self) -> f64 {
        self.movies += 1;
        let path = self.homes.path().join(format!("{}.mp4", self.movies));
        fs::write(&path, pictures::movie(MOVIE_BYTES, &mut self.dice)).expect("a movie");
        let path = path.to_str().expect("UTF-8");
        self.first.ok(&["import", path, "--album", "Summer"]);
        let node = self.first.serve();
        self.proxy.lead_to(node.port());
        let before = self.proxy.back();
        let (begun, ended) = thread::scope(|scope| {
            let watched = scope.spawn(|| {
                let passed = |bytes: u64| {
                    let began = Instant::now();
                    while self.proxy.back() < before + bytes {
                        assert!(began.elapsed() < Duration::from_secs(60), "too slow");
                        thread::sleep(Duration::from_millis(1));
                    }
                    Instant::now()
                };
                (passed(FROM), passed(TO))
            });
            let summary = self.second.ok(&["sync"]).pop().expect("a summary");
            assert_eq!(summary["settled"], true, "{summary}");
            watched.join().expect("it was watched")
        });
        node.stop();
        let bytes = u32::try_from(TO - FROM).expect("some megabytes");
        f64::from(bytes) / (ended - begun).as_secs_f64()
    }
}

#[test]
fn blobs_go_as_fast_as_either_side_allows_and_arrive_whole() {
    let mut two = Pair::new();
    let free = two.rate();
    report(&format!("without a limit: {:.0} KB/s", free / 1000.0));
    assert!(
        free > 2.0 * LIMIT,
        "{free}: nothing could be seen of a limit"
    );
    for (side, key) in [(&two.first.clone(), "up"), (&two.second.clone(), "down")] {
        let key = format!("bandwidth.{key}");
        // Of two that fit, the first counts; the other would be seen.
        side.ok(&["config", "set", &key, "00:00-24:00 1MB/s, 64KB/s"]);
        // A computer with other things to do may be slower than the limit, and never faster.
        let close = (0..3).any(|_| {
            let rate = two.rate();
            report(&format!("{key} 1MB/s: {:.0} KB/s", rate / 1000.0));
            assert!(rate < 1.2 * LIMIT, "{rate}");
            rate > 0.8 * LIMIT
        });
        assert!(close, "{key}: far too slow");
        side.ok(&["config", "set", &key, ""]);
    }
    two.second.is_whole();
    let sizes = two.second.assets();
    let bytes = u64::try_from(MOVIE_BYTES).expect("some megabytes");
    assert!(
        sizes
            .iter()
            .all(|asset| asset["bytes"].as_u64() >= Some(bytes))
    );
    assert_eq!(sizes.len(), usize::try_from(two.movies).expect("few"));
}

#[test]
fn a_limit_that_makes_no_sense_is_refused() {
    let homes = Homes::new();
    let device = homes.device("laptop");
    device.init("Berger", "Anna", "laptop");
    for wrong in ["fast", "1KB/s", "25:00-26:00 1MB/s"] {
        let (error, exit) = device.run(&["config", "set", "bandwidth.up", wrong], "");
        assert_eq!(
            (error["id"].as_str(), exit),
            (Some("E-USAGE"), 2),
            "{error}"
        );
    }
    let lines = device.ok(&["config", "set", "bandwidth.up", "08:00-23:00 8mbit/s"]);
    assert_eq!(lines[0]["value"], "08:00-23:00 1MB/s");
    let lines = device.ok(&["config", "get", "bandwidth.down"]);
    assert!(lines[0]["value"].is_null(), "{}", lines[0]);
}
