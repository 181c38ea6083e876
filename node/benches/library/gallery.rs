//! The gallery's server on a large library: the timeline, a month, thumbnails, and memory while a long movie is watched.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use heirloom_node::gallery::{Gallery, GalleryOptions};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::{
    made::{self, Picture, Sizes},
    report::{Stopwatch, rounds, say, setting},
    world::Home,
};

/// Thumbnails that are asked for.
const THUMBS: usize = 2000;
/// Places of the movie that are looked at, and what is read there.
const SEEKS: u64 = 200;
const SEEK_BYTES: u64 = 1024 * 1024;

/// A browser's connection that stays.
struct Browser {
    stream: BufReader<TcpStream>,
    at: SocketAddr,
    cookie: String,
}

impl Browser {
    async fn of(gallery: &Gallery) -> Self {
        let link = gallery.link().unwrap();
        let (address, token) = link.split_once("/#t=").unwrap();
        let at: SocketAddr = address.strip_prefix("http://").unwrap().parse().unwrap();
        let stream = BufReader::new(TcpStream::connect(at).await.unwrap());
        let cookie = String::new();
        let mut browser = Self { stream, at, cookie };
        let body = json!({"token": token}).to_string();
        let head = format!(
            "POST /api/v1/session HTTP/1.1\r\nHost: {at}\r\nOrigin: http://{at}\r\nX-Heirloom: 1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let (head, _) = browser.exchange(&head).await;
        let line = head.lines().find(|line| line.starts_with("set-cookie: "));
        let cookie = line.unwrap().trim_start_matches("set-cookie: ");
        browser.cookie = cookie.split(';').next().unwrap().to_owned();
        browser
    }

    async fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(
                self.stream.read_line(&mut head).await.unwrap() > 0,
                "{head}"
            );
        }
        head
    }

    async fn exchange(&mut self, ask: &str) -> (String, Vec<u8>) {
        self.stream
            .get_mut()
            .write_all(ask.as_bytes())
            .await
            .unwrap();
        let head = self.head().await;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |text| text.parse().unwrap())];
        self.stream.read_exact(&mut body).await.unwrap();
        (head, body)
    }

    /// Reads an original or a part of it and keeps nothing; how many bytes came.
    async fn discard(&mut self, path: &str, range: Option<(u64, u64)>) -> u64 {
        let range = range.map_or_else(String::new, |(from, to)| {
            format!("Range: bytes={from}-{to}\r\n")
        });
        let ask = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n{range}\r\n",
            self.at, self.cookie
        );
        let stream = self.stream.get_mut();
        stream.write_all(ask.as_bytes()).await.unwrap();
        let head = self.head().await;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: u64 = length.unwrap().parse().unwrap();
        let mut piece = vec![0; 256 * 1024];
        let mut left = length;
        while left > 0 {
            let want = piece.len().min(usize::try_from(left).unwrap());
            let read = self.stream.read(&mut piece[..want]).await.unwrap();
            assert!(read > 0, "{left} bytes are missing");
            left -= u64::try_from(read).unwrap();
        }
        length
    }

    async fn get(&mut self, path: &str) -> Vec<u8> {
        let ask = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n",
            self.at, self.cookie
        );
        let (head, body) = self.exchange(&ask).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        body
    }
}

fn ms(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

/// Every figure of the gallery.
pub async fn run(folder: &Path) {
    let assets = setting("HEIRLOOM_BENCH_ASSETS", 100_000);
    say(format!("\nthe gallery of {assets} assets"));
    let kept = std::env::var_os("HEIRLOOM_BENCH_KEEP");
    let path = kept.map_or_else(|| folder.join("gallery"), PathBuf::from);
    let home = Home::found(&path).await;
    let (node, album) = (home.node().await, home.library().await);
    let sizes = Sizes {
        original: 200,
        picture: Picture::Shown,
    };
    let filled = node.clone();
    let fill = node.blocking(move || made::fill(&filled, album, assets, sizes));
    fill.await.unwrap();
    let gallery = Gallery::start(home.doorway.clone(), GalleryOptions::default());
    let gallery = gallery.await.unwrap();
    let mut browser = Browser::of(&gallery).await;
    let begun = Instant::now();
    let body = browser.get("/api/v1/timeline").await;
    say(format!(
        "  first timeline, every row read: {} for {} KiB",
        ms(begun.elapsed()),
        body.len() / 1024
    ));
    let told: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(told["total"], assets);
    tables(&home, &mut browser, &told).await;
    thumbs(&mut browser, &told).await;
    movie(&home, folder, &gallery).await;
    gallery.stop().await;
    drop((gallery, node));
    home.close().await;
}

/// A movie that is watched from its beginning to its end, then at many places, by one who reads as fast as it comes.
async fn movie(home: &Home, folder: &Path, gallery: &Gallery) {
    let len = u64::try_from(setting("HEIRLOOM_BENCH_MOVIE", 4096)).unwrap() * 1024 * 1024;
    let path = folder.join("movie.mp4");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom")
        .unwrap();
    file.set_len(len).unwrap();
    home.ask("import", &json!({"paths": [path]})).await;
    std::fs::remove_file(&path).unwrap();
    // A connection that was idle meanwhile is closed.
    let mut browser = Browser::of(gallery).await;
    let rows = browser.get("/api/v1/timeline?type=video").await;
    let told: Value = serde_json::from_slice(&rows).unwrap();
    let month = told["months"][0]["m"].as_str().unwrap();
    let month = format!("/api/v1/month/{month}?type=video");
    let rows: Value = serde_json::from_slice(&browser.get(&month).await).unwrap();
    let path = format!("/original/{}", rows["assets"][0]["id"].as_str().unwrap());
    // The highest so far is forgotten.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = highest();
    let watch = Stopwatch::start();
    assert_eq!(browser.discard(&path, None).await, len);
    let took = watch.took().wall.as_secs_f64();
    let whole = highest();
    let mib = f64::from(u32::try_from(len / (1024 * 1024)).unwrap());
    say(format!(
        "  a movie of {mib:.0} MiB from beginning to end: {:.0} MiB a second, {} MiB more memory at most",
        mib / took,
        whole.saturating_sub(before),
    ));
    let begun = Instant::now();
    let mut waits = Vec::new();
    for place in 0..SEEKS {
        let from = len / SEEKS * (place * 37 % SEEKS);
        let begun = Instant::now();
        let read = browser.discard(&path, Some((from, from + SEEK_BYTES - 1)));
        assert_eq!(read.await, SEEK_BYTES);
        waits.push(begun.elapsed());
    }
    waits.sort_unstable();
    say(format!(
        "  {SEEKS} seeks of {SEEK_BYTES} bytes in {:.1} s, median {}, {} MiB more memory at most",
        begun.elapsed().as_secs_f64(),
        ms(waits[waits.len() / 2]),
        highest().saturating_sub(before),
    ));
}

/// The most memory that this process had, in MiB.
fn highest() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.unwrap().trim().trim_end_matches(" kB");
    number.parse::<u64>().unwrap().div_ceil(1024)
}

/// The timeline after a change, and as it is kept; the largest month.
async fn tables(home: &Home, browser: &mut Browser, told: &Value) {
    let months = told["months"].as_array().unwrap();
    let largest = months
        .iter()
        .max_by_key(|month| month["r"].as_str().unwrap().len());
    let largest = largest.unwrap();
    let (mut changed, mut kept, mut month) = (Vec::new(), Vec::new(), Vec::new());
    let path = format!("/api/v1/month/{}", largest["m"].as_str().unwrap());
    let mut rows = 0;
    for round in 0..rounds() {
        let rows_told: Value = serde_json::from_slice(&browser.get(&path).await).unwrap();
        rows = rows_told["assets"].as_array().unwrap().len();
        let id = rows_told["assets"][0]["id"].clone();
        // A timeline of its own that nobody has asked for yet.
        let query = ["?type=photo", "?favorite=1", "?trashed=1"][round % 3];
        home.ask("favorite", &json!({"ids": [id], "remove": round % 2 == 1}))
            .await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        for (path, times) in [
            (format!("/api/v1/timeline{query}"), &mut changed),
            ("/api/v1/timeline".to_owned(), &mut kept),
            (path.clone(), &mut month),
        ] {
            let begun = Instant::now();
            browser.get(&path).await;
            times.push(begun.elapsed());
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        ms(times[times.len() / 2])
    };
    say(format!(
        "  a timeline laid out anew: {}",
        median(&mut changed)
    ));
    say(format!(
        "  the timeline as it is kept: {}",
        median(&mut kept)
    ));
    say(format!(
        "  a month of {rows} assets: {}",
        median(&mut month)
    ));
}

async fn thumbs(browser: &mut Browser, told: &Value) {
    let mut ids = Vec::new();
    for month in told["months"].as_array().unwrap() {
        let path = format!("/api/v1/month/{}", month["m"].as_str().unwrap());
        let rows: Value = serde_json::from_slice(&browser.get(&path).await).unwrap();
        let rows = rows["assets"].as_array().unwrap().clone();
        ids.extend(
            rows.iter()
                .map(|row| row["id"].as_str().unwrap().to_owned()),
        );
        if ids.len() >= THUMBS {
            break;
        }
    }
    ids.truncate(THUMBS);
    let watch = Stopwatch::start();
    for id in &ids {
        browser.get(&format!("/thumb/{id}")).await;
    }
    let took = watch.took();
    say(format!(
        "  {} thumbnails one after another: {:.0} a second, {:.0} a second of processor",
        ids.len(),
        f64::from(u32::try_from(ids.len()).unwrap()) / took.wall.as_secs_f64(),
        f64::from(u32::try_from(ids.len()).unwrap()) / took.cpu,
    ));
}
