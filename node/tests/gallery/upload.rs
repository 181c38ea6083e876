//! Files that a browser sends: streamed, imported, and never left in clear.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{client::Browser, world::Home};

const CANARY: &[u8] = b"canary in clear 7c1f";

fn photo(number: u8) -> Vec<u8> {
    [b"\xff\xd8\xff\xe0 ", CANARY, &[number]].concat()
}

fn movie(number: u8) -> Vec<u8> {
    let head = b"\0\0\0\x18ftypqt  \0\0\0\0qt   \0\0\0\0 ";
    [head, CANARY, &[number]].concat()
}

/// Whether any file below a folder has the canary in clear.
fn is_in_clear(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_in_clear(&path);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(CANARY.len()).any(|some| some == CANARY)
    })
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_file_is_added_and_leaves_no_plaintext() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    let told = browser
        .upload("batch=one&name=a.jpg&path=Trip%2Fa.jpg", &photo(1))
        .await
        .json();
    assert_eq!(
        (&told["type"], &told["outcome"]),
        (&json!("file"), &json!("added")),
        "{told}"
    );
    assert_eq!(told["path"], "Trip/a.jpg");
    let id = told["asset"].as_str().unwrap();
    assert_eq!(browser.get(&format!("/original/{id}")).await.body, photo(1));
    let again = browser
        .upload("batch=one&name=b.jpg", &photo(1))
        .await
        .json();
    assert_eq!(again["outcome"], "present");
    let text = browser
        .upload("batch=one&name=notes.txt", b"hello there")
        .await
        .json();
    assert_eq!(text["outcome"], "skipped");
    let done = browser.post("/api/v1/upload/done?batch=one", "{}").await;
    let lines = done.lines();
    let summary = lines.last().unwrap();
    assert_eq!(lines.len(), 4, "{lines:?}");
    let counts = [
        "added", "present", "skipped", "failed", "received", "waiting",
    ];
    let counted = counts.map(|word| summary[word].as_u64().unwrap());
    assert_eq!(counted, [1, 1, 1, 0, 3, 0], "{summary}");
    let batches = browser.get("/api/v1/imports").await.json();
    assert_eq!(batches["batches"][0]["done"], true);
    assert_eq!(batches["batches"][0]["files"].as_array().unwrap().len(), 3);
    let place = home.doorway.home().to_owned();
    until("plaintext stays", || !is_in_clear(&place)).await;
    let uploads = place.join("uploads");
    until("folders stay", || {
        std::fs::read_dir(&uploads).unwrap().count() == 0
    })
    .await;
}

#[tokio::test]
async fn a_movie_waits_for_the_end_of_its_batch() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    let movie = movie(1);
    let told = browser
        .upload("batch=m&name=a.mov&album=Family", &movie)
        .await
        .json();
    assert_eq!(told["outcome"], "waiting");
    let state = browser.get("/api/v1/imports").await.json();
    assert_eq!(state["batches"][0]["waiting"], 1);
    let lines = browser
        .post("/api/v1/upload/done?batch=m", "{}")
        .await
        .lines();
    assert_eq!(lines[0]["outcome"], "added", "{lines:?}");
    let id = lines[0]["asset"].as_str().unwrap();
    let shown = browser.get(&format!("/api/v1/asset/{id}")).await.json();
    assert_eq!(
        (&shown["albums"], &shown["kind"]),
        (&json!(["Family"]), &json!("video"))
    );
    let place = home.doorway.home().to_owned();
    until("plaintext stays", || !is_in_clear(&place)).await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_adds_nothing_and_leaves_nothing() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    let place = home.doorway.home().to_owned();
    let head = format!(
        "POST /api/v1/upload?batch=b&name=a.jpg HTTP/1.1\r\n{}{}Content-Type: application/octet-stream\r\n",
        browser.usual(),
        browser.own()
    );
    // Cut within the length that was promised, and within a chunk.
    for (rules, body) in [
        ("Content-Length: 5000000\r\n\r\n", photo(2)),
        (
            "Transfer-Encoding: chunked\r\n\r\n",
            [b"fffff\r\n", &photo(3)[..]].concat(),
        ),
    ] {
        let mut stream = TcpStream::connect(browser.at).await.unwrap();
        stream
            .write_all(format!("{head}{rules}").as_bytes())
            .await
            .unwrap();
        stream.write_all(&body).await.unwrap();
        stream.write_all(&[0; 300_000]).await.unwrap();
        stream.flush().await.unwrap();
        let seen = place.clone();
        until("the upload begins", || is_in_clear(&seen)).await;
        drop(stream);
        let seen = place.clone();
        until("what was cut short stays", || {
            std::fs::read_dir(seen.join("uploads")).unwrap().count() == 0
        })
        .await;
    }
    assert!(!is_in_clear(&place));
    assert_eq!(browser.get("/api/v1/timeline").await.json()["total"], 0);
}

#[tokio::test]
async fn an_upload_lies_where_its_owner_alone_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    let movie = movie(1);
    let name = "..%2F..%2F%2Fetc%2Fcron.d%2Fx.mov";
    let told = browser
        .upload(&format!("batch=m&name={name}"), &movie)
        .await
        .json();
    assert_eq!(told["outcome"], "waiting", "{told}");
    let root = home.doorway.home().join("uploads");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root), 0o700);
    let folder = std::fs::read_dir(&root)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    assert_eq!(mode(&folder), 0o700);
    let files = std::fs::read_dir(&folder).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap()).collect();
    assert_eq!(names.len(), 2, "the file, and what was said of it");
    for file in &names {
        assert_eq!(mode(&file.path()), 0o600);
    }
    let names = names.iter().map(|file| file.file_name().into_string());
    let name = names.flatten().find(|name| name != ".said").unwrap();
    assert!(!name.contains('/') && name.ends_with("x.mov"), "{name}");
    // A node that ends imports what it took.
    browser.gallery.stop().await;
    assert!(!root.exists());
    assert_eq!(home.ask("list", json!({})).await.of("asset").len(), 1);
}

#[tokio::test]
async fn what_a_crash_left_in_part_is_removed_before_anything_else() {
    let home = Home::anna().await;
    for left in ["uploads/part-1", "uploads/file-2"] {
        let left = home.doorway.home().join(left);
        std::fs::create_dir_all(&left).unwrap();
        std::fs::write(left.join("a.jpg"), photo(9)).unwrap();
    }
    assert!(is_in_clear(home.doorway.home()));
    let browser = Browser::of(&home).await;
    assert!(!is_in_clear(home.doorway.home()));
    assert_eq!(browser.get("/api/v1/timeline").await.json()["total"], 0);
}

#[tokio::test]
async fn an_upload_that_makes_no_sense_is_refused_before_it_is_read() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    for (query, status) in [
        ("name=a.jpg", 400),
        ("batch=a", 400),
        ("batch=a%2Fb&name=a.jpg", 400),
        ("batch=a&name=a.jpg&album=Nowhere", 404),
    ] {
        assert_eq!(
            browser.upload(query, &photo(1)).await.status,
            status,
            "{query}"
        );
    }
    let head = format!("{}Content-Type: application/json\r\n", browser.own());
    let told = browser
        .post_with("/api/v1/upload?batch=a&name=a.jpg", &head, b"{}")
        .await;
    assert_eq!(told.status, 415);
    // Larger than anything that is taken: refused by what it says of itself.
    let ask = format!(
        "POST /api/v1/upload?batch=a&name=a.jpg HTTP/1.1\r\n{}{}Content-Type: application/octet-stream\r\nContent-Length: 70000000000000\r\n\r\n",
        browser.usual(),
        browser.own()
    );
    assert_eq!(
        browser.send(&ask).await.error(),
        (413, "E-TOO-LARGE".into())
    );
    let batches = browser.get("/api/v1/imports").await.json();
    assert_eq!(batches["batches"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn an_upload_that_stalls_is_given_up_and_leaves_nothing() {
    let home = Home::anna().await;
    let browser = Browser::impatient(&home, Duration::from_millis(200)).await;
    let mut stream = TcpStream::connect(browser.at).await.unwrap();
    let (usual, own) = (browser.usual(), browser.own());
    let head = format!(
        "POST /api/v1/upload?batch=one&name=a.jpg HTTP/1.1\r\n{usual}{own}Content-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&photo(9)).await.unwrap();
    let uploads = home.doorway.home().join("uploads");
    until("some of it is here", || {
        uploads.exists() && is_in_clear(&uploads)
    })
    .await;
    // Nothing more is sent, and the connection stays open on this side.
    let mut told = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut told));
    read.await.expect("it is given up").unwrap();
    let told = crate::client::Told::parse(&told);
    assert_eq!(told.status, 408, "{told:?}");
    until("it is removed", || {
        !uploads.exists() || !is_in_clear(&uploads)
    })
    .await;
    assert_eq!(browser.get("/api/v1/timeline").await.json()["total"], 0);
}

#[tokio::test]
async fn a_movie_whose_page_was_left_is_imported_all_the_same() {
    let home = Home::anna().await;
    let browser = Browser::forgetful(&home, Duration::from_millis(300)).await;
    let told = browser.upload("batch=m&name=a.mov", &movie(1)).await.json();
    assert_eq!(told["outcome"], "waiting");
    // Nobody says that the batch is done.
    let place = home.doorway.home().to_owned();
    until("plaintext stays", || !is_in_clear(&place)).await;
    assert_eq!(browser.get("/api/v1/timeline").await.json()["total"], 1);
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let batch = loop {
        let told = browser.get("/api/v1/imports").await.json();
        if told["batches"][0]["done"] == true {
            break told["batches"][0].clone();
        }
        assert!(std::time::Instant::now() < deadline, "{told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((&batch["added"], &batch["waiting"]), (&json!(1), &json!(0)));
    // Who comes back after all adds to it, and is told of all.
    browser.upload("batch=m&name=b.mov", &movie(2)).await.json();
    let lines = browser
        .post("/api/v1/upload/done?batch=m", "{}")
        .await
        .lines();
    assert_eq!(lines.last().unwrap()["added"], 2, "{lines:?}");
}

#[tokio::test]
async fn what_came_whole_is_imported_when_the_gallery_ends() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    for number in 0..3 {
        let query = format!("batch=b{number}&name=a.mov");
        let told = browser.upload(&query, &movie(number)).await.json();
        assert_eq!(told["outcome"], "waiting");
    }
    browser.gallery.stop().await;
    assert_eq!(home.ask("list", json!({})).await.of("asset").len(), 3);
    assert!(!home.doorway.home().join("uploads").exists());
}

#[tokio::test]
async fn what_cannot_be_imported_is_kept_named_and_tried_again() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    let problems = async || {
        let told = home.ask("status", json!({})).await;
        let found = told.of("status")[0]["problem_details"].clone();
        let all = found.as_array().unwrap().clone();
        all.into_iter().find(|one| one["id"] == "uploads")
    };
    browser.upload("batch=m&name=a.mov", &movie(1)).await.json();
    let uploads = home.doorway.home().join("uploads");
    let folder = std::fs::read_dir(&uploads).unwrap().next().unwrap();
    let file = folder.unwrap().path().join("a.mov");
    // As if the disk did not give it now.
    let aside = home.dir.path().join("aside");
    std::fs::rename(&file, &aside).unwrap();
    let lines = browser
        .post("/api/v1/upload/done?batch=m", "{}")
        .await
        .lines();
    assert_eq!(lines[0]["outcome"], "failed", "{lines:?}");
    std::fs::rename(&aside, &file).unwrap();
    assert_eq!(problems().await.unwrap()["values"], json!({"n": 1}));
    browser.gallery.stop().await;
    home.doorway.show(None).await;
    assert_eq!(std::fs::read(&file).unwrap(), movie(1));
    assert_eq!(problems().await.unwrap()["values"], json!({"n": 1}));
    let browser = Browser::of(&home).await;
    until("it is imported", || !file.exists()).await;
    assert_eq!(browser.get("/api/v1/timeline").await.json()["total"], 1);
    assert_eq!(problems().await, None);
}

#[tokio::test]
async fn no_batch_pushes_out_another_that_is_not_done() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    for number in 0..32 {
        let query = format!("batch=b{number}&name=a.mov");
        assert_eq!(browser.upload(&query, &movie(number)).await.status, 200);
    }
    let late = browser.upload("batch=late&name=a.jpg", &photo(1)).await;
    assert_eq!(late.error(), (503, "E-TRY-LATER".into()));
    let lines = browser
        .post("/api/v1/upload/done?batch=b0", "{}")
        .await
        .lines();
    assert_eq!(lines[0]["outcome"], "added", "{lines:?}");
    let late = browser.upload("batch=late&name=a.jpg", &photo(1)).await;
    assert_eq!(late.status, 200);
    browser.gallery.stop().await;
    assert_eq!(home.ask("list", json!({})).await.of("asset").len(), 33);
}
