//! Originals: what a file is taken for, under which name, and parts of it.

use std::time::Duration;

use heirloom_protocol::op::PartRole;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::{Browser, raw},
    world::Home,
};

const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0 a photo";
const MP4: &[u8] = b"\0\0\0\x18ftypisom\0\0\0\0isommp42 a movie";

#[tokio::test]
async fn a_file_is_what_its_bytes_say() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    let inline: [(&str, &[u8], &str); 5] = [
        ("a.html", JPEG, "image/jpeg"),
        ("b.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        ("c.gif", b"GIF89a\x01\0\x01\0", "image/gif"),
        ("d.webp", b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        ("e.mp4", MP4, "video/mp4"),
    ];
    for (name, bytes, kind) in inline {
        let id = home.add("Family", name, bytes).await;
        let told = browser.get(&format!("/original/{id}")).await;
        assert_eq!((told.status, &told.body[..]), (200, bytes), "{name}");
        assert_eq!(told.header("content-type"), Some(kind), "{name}");
        let how = told.header("content-disposition").unwrap();
        assert!(how.starts_with("inline; filename*=UTF-8''"), "{how}");
        let csp = told.header("content-security-policy").unwrap();
        assert_eq!(csp, "sandbox; default-src 'none'");
        let saved = browser.get(&format!("/original/{id}?download=1")).await;
        let how = saved.header("content-disposition").unwrap();
        assert!(how.starts_with("attachment; "), "{how}");
    }
    let never: [(&str, &[u8]); 7] = [
        ("a.jpg", b"<!doctype html><script>alert(1)</script>"),
        (
            "a.png",
            b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>",
        ),
        ("a.svg", b"<?xml version=\"1.0\"?><svg/>"),
        ("a.webp", b"%PDF-1.7"),
        ("a.gif", b"MZ\x90\0"),
        ("a.mp4", b"just text"),
        ("a.jpeg", b""),
    ];
    for (name, bytes) in never {
        let id = home.add("Family", name, bytes).await;
        let told = browser.get(&format!("/original/{id}")).await;
        assert_eq!((told.status, &told.body[..]), (200, bytes), "{name}");
        assert_eq!(
            told.header("content-type"),
            Some("application/octet-stream"),
            "{name}"
        );
        let how = told.header("content-disposition").unwrap();
        assert!(how.starts_with("attachment; "), "{name}: {how}");
        assert_eq!(told.header("x-content-type-options"), Some("nosniff"));
        let csp = told.header("content-security-policy").unwrap();
        assert_eq!(csp, "sandbox; default-src 'none'");
    }
}

#[tokio::test]
async fn a_name_that_somebody_chose_stays_a_name() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    for (name, told) in [
        (
            "a\r\nSet-Cookie: x=y\r\n\r\n<html>.jpg",
            "a__Set-Cookie_%20x%3Dy_____html_.jpg",
        ),
        ("\u{202e}gpj.exe", "_gpj.exe"),
        ("../../../etc/passwd", "_.._.._.._etc_passwd"),
        ("a\";filename=evil.html", "a_%3Bfilename%3Devil.html"),
        ("C:\\CON", "C__CON"),
        ("sn\u{f6}.jpg", "sn%C3%B6.jpg"),
    ] {
        let bytes = [JPEG, name.as_bytes()].concat();
        let id = home.add("Family", name, &bytes).await;
        let answer = browser.get(&format!("/original/{id}")).await;
        let how = answer.header("content-disposition").unwrap();
        let (_, encoded) = how.split_once("filename*=UTF-8''").unwrap();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~%".contains(c);
        assert!(encoded.chars().all(plain), "{encoded}");
        if !name.starts_with("..") {
            assert_eq!(encoded, told, "{name:?}");
        }
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[tokio::test]
async fn a_part_of_a_movie_is_given_and_no_more() {
    let home = Home::anna().await;
    // Several segments, and a piece of one.
    let mut movie = MP4.to_vec();
    movie.extend((0..700_001_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8));
    let id = home.add("Family", "movie.mp4", &movie).await;
    let browser = Browser::of(&home).await;
    let path = format!("/original/{id}");
    let whole = browser.get(&path).await;
    assert_eq!(whole.body, movie);
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let len = movie.len();
    let tag = whole.header("etag").unwrap().to_owned();
    for (range, from, to) in [
        ("bytes=0-0".to_owned(), 0, 0),
        ("bytes=0-".to_owned(), 0, len - 1),
        ("bytes=65535-65536".to_owned(), 65_535, 65_536),
        ("bytes=65519-131073".to_owned(), 65_519, 131_073),
        ("bytes=-5".to_owned(), len - 5, len - 1),
        (format!("bytes={}-", len - 1), len - 1, len - 1),
        (format!("bytes=300000-{}", len * 2), 300_000, len - 1),
    ] {
        let told = browser
            .get_with(&path, &format!("Range: {range}\r\n"))
            .await;
        assert_eq!(told.status, 206, "{range}");
        assert_eq!(told.body, &movie[from..=to], "{range}");
        let said = format!("bytes {from}-{to}/{len}");
        assert_eq!(told.header("content-range"), Some(said.as_str()));
        assert_eq!(
            told.header("content-length"),
            Some((to - from + 1).to_string().as_str())
        );
    }
    let nothing = format!("bytes */{len}");
    for range in [
        format!("bytes={len}-"),
        "bytes=5-4".into(),
        "bytes=0-1,5-6".into(),
        "bytes=-0".into(),
        format!("bytes=-{}", len + 1),
        "bytes=18446744073709551616-".into(),
        "bytes=a-".into(),
    ] {
        let told = browser
            .get_with(&path, &format!("Range: {range}\r\n"))
            .await;
        assert_eq!((told.status, told.body.len()), (416, 0), "{range}");
        assert_eq!(told.header("content-range"), Some(nothing.as_str()));
    }
    let twice = browser
        .get_with(&path, "Range: bytes=0-0\r\nRange: bytes=2-2\r\n")
        .await;
    assert_eq!(twice.status, 416);
    let conditional = |tag: &str| format!("Range: bytes=1-2\r\nIf-Range: {tag}\r\n");
    let same = browser.get_with(&path, &conditional(&tag)).await;
    assert_eq!((same.status, &same.body[..]), (206, &movie[1..=2]));
    for other in ["\"other\"", &format!("W/{tag}")] {
        let told = browser.get_with(&path, &conditional(other)).await;
        assert_eq!((told.status, told.body.len()), (200, len), "{other}");
    }
    let known = browser
        .get_with(&path, &format!("If-None-Match: {tag}\r\n"))
        .await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    for head in ["", "Range: bytes=0-9\r\n"] {
        let ask = format!("HEAD {path} HTTP/1.1\r\n{}{head}\r\n", browser.usual());
        let told = raw(browser.at, ask.as_bytes()).await;
        let text = String::from_utf8(told).unwrap();
        assert!(text.ends_with("\r\n\r\n"), "a body after HEAD: {text}");
        let count = if head.is_empty() { len } else { 10 };
        assert!(
            text.to_ascii_lowercase()
                .contains(&format!("content-length: {count}\r\n"))
        );
    }
}

#[tokio::test]
async fn each_file_of_an_asset_has_its_number() {
    let home = Home::anna().await;
    let live = [
        (PartRole::Still, "a.jpg", JPEG),
        (PartRole::Motion, "a.mov", MP4),
    ];
    let id = home.add_parts("Family", None, &live).await;
    let browser = Browser::of(&home).await;
    let path = format!("/original/{id}");
    assert_eq!(browser.get(&path).await.body, JPEG);
    assert_eq!(browser.get(&format!("{path}?part=1")).await.body, MP4);
    assert_eq!(browser.get(&format!("{path}?part=2")).await.status, 404);
    assert_eq!(browser.get(&format!("{path}?part=-1")).await.status, 400);
    let told = browser.get("/api/v1/month/undated").await.json();
    assert_eq!(told["assets"][0]["k"], "live");
}

#[tokio::test]
async fn an_original_that_is_elsewhere_says_where() {
    let anna = Home::anna().await;
    let id = anna.add("Family", "a.jpg", JPEG).await;
    let me = anna.node().await.view().await.unwrap().person.unwrap();
    let phone = anna.join(me, "phone").await;
    let browser = Browser::of(&phone).await;
    let told = browser.get(&format!("/original/{id}")).await;
    assert_eq!(told.error(), (409, "E-ELSEWHERE".into()));
    assert!(told.json()["devices"].is_array());
    // Nobody who has it is connected: the answer says so and does not wait.
    let told = browser
        .post("/api/v1/fetch", &format!("{{\"id\":\"{id}\"}}"))
        .await;
    let last = told.lines().pop().unwrap();
    assert_eq!(
        (&last["type"], &last["id"]),
        (&"error".into(), &"E-NO-PEER".into())
    );
    phone.take_blobs_from(&anna).await;
    assert_eq!(browser.get(&format!("/original/{id}")).await.body, JPEG);
}

#[tokio::test]
async fn a_damaged_original_breaks_off_and_is_never_handed_out_as_whole() {
    let home = Home::anna().await;
    let bytes: Vec<u8> = [JPEG, &[7; 600_000][..]].concat();
    let id = home.add("Family", "a.jpg", &bytes).await;
    let browser = Browser::of(&home).await;
    damage_blobs(&home.doorway.home().join("blobs"));
    let ask = format!("GET /original/{id} HTTP/1.1\r\n{}\r\n", browser.usual());
    let told = raw(browser.at, ask.as_bytes()).await;
    let text = String::from_utf8_lossy(&told).into_owned();
    let body = told
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| told.len() - at - 4);
    // It says so at once, or the length it promised does not come.
    let is_error = text.starts_with("HTTP/1.1 500") && text.contains("E-DAMAGED");
    assert!(
        is_error || body.is_some_and(|got| got < bytes.len()),
        "{text:.200}"
    );
}

fn damage_blobs(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage_blobs(&path);
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        if bytes.len() > 500_000 {
            bytes[400_000] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

#[tokio::test]
async fn who_takes_nothing_of_a_movie_gives_up_the_place() {
    // More than two sockets hold.
    let movie = [
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec(),
        vec![7; 24 << 20],
    ]
    .concat();
    let home = Home::anna().await;
    let item = home.add("Family", "a.mp4", &movie).await;
    let browser = Browser::impatient(&home, Duration::from_millis(200)).await;
    let ask = format!("GET /original/{item} HTTP/1.1\r\n{}\r\n", browser.usual());
    let mut idle = Vec::new();
    // As many as there are places for: nobody else comes in.
    for _ in 0..64 {
        let mut stream = TcpStream::connect(browser.at).await.unwrap();
        // One that is sent away at once has found its place taken already.
        let _ = stream.write_all(ask.as_bytes()).await;
        idle.push(stream);
    }
    // None of them closes, and yet there is room again.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let mut stream = TcpStream::connect(browser.at).await.unwrap();
        let ask = format!("GET /healthz HTTP/1.1\r\n{}\r\n", browser.usual());
        let _ = stream.write_all(ask.as_bytes()).await;
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told).await;
        if told.starts_with(b"HTTP/1.1 200") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "there is no room");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Some were cut off in the middle, and those alone made room.
    let mut lengths = Vec::new();
    while let Some(mut one) = idle.pop() {
        let mut told = Vec::new();
        let _ = one.read_to_end(&mut told).await;
        lengths.push(told.len());
        if (1..movie.len()).contains(&told.len()) {
            assert!(told.starts_with(b"HTTP/1.1 200"));
            return;
        }
    }
    panic!("nobody was cut off: {lengths:?}");
}
