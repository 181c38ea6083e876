//! Imports and exports of the page, which go on when it is left.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{client::Browser, world::Home};

/// Enough that they are not all read when nobody listens any more.
const FILES: u64 = 40;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..FILES {
        let bytes = [b"\xff\xd8\xff\xe0 ", number.to_le_bytes().as_slice()].concat();
        std::fs::write(folder.path().join(format!("{number}.jpg")), bytes).unwrap();
    }
    folder
}

/// The work of that name, once it is over.
async fn over(browser: &Browser, id: &str) -> Value {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let told = browser.get("/api/v1/imports").await.json();
        let all = told["batches"].as_array().unwrap();
        let found = all.iter().find(|one| one["batch"] == id);
        if let Some(found) = found.filter(|found| found["done"] == true) {
            return found.clone();
        }
        assert!(std::time::Instant::now() < deadline, "{told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_import_whose_page_was_left_comes_to_its_end() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    let folder = folder();
    let body = json!({"paths": [folder.path()]}).to_string();
    let request = format!(
        "POST /api/v1/act/import?batch=left HTTP/1.1\r\n{}{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        browser.usual(),
        browser.own(),
        body.len()
    );
    let mut page = TcpStream::connect(browser.at).await.unwrap();
    page.write_all(request.as_bytes()).await.unwrap();
    // It is begun when it is named; then its page is gone.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while browser.get("/api/v1/imports").await.json()["batches"] == json!([]) {
        assert!(std::time::Instant::now() < deadline, "it begins");
    }
    drop(page);
    let told = over(&browser, "left").await;
    assert_eq!(
        (&told["act"], &told["added"], &told["waiting"]),
        (&json!("import"), &json!(FILES), &json!(0)),
        "{told}"
    );
    // Whoever comes back is told where they are.
    let albums = told["albums"].as_array().unwrap();
    let library = albums.first().unwrap();
    assert_eq!(
        (
            albums.len(),
            &library["album"],
            &library["added"],
            &library["seen_by"]
        ),
        (1, &Value::Null, &json!(FILES), &json!([])),
        "{told}"
    );
    assert_eq!(browser.get("/api/v1/timeline").await.json()["total"], FILES);
}

#[tokio::test]
async fn what_goes_on_without_its_page_is_told_by_one_name_and_ended_by_it() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    let folder = folder();
    let body = json!({"paths": [folder.path()]}).to_string();
    for name in ["", "a%20b", "%2Fetc"] {
        let path = format!("/api/v1/act/import?batch={name}");
        let told = browser.post(&path, &body).await;
        assert_eq!(told.error(), (400, "E-USAGE".into()), "{name}");
    }
    let told = browser.post("/api/v1/imports/stop?batch=none", "{}").await;
    assert_eq!(told.error(), (404, "E-NOT-FOUND".into()));
    let told = browser.post("/api/v1/act/import?batch=one", &body).await;
    let lines = told.lines();
    assert_eq!(lines.last().unwrap()["added"], FILES, "{lines:?}");
    assert_eq!(over(&browser, "one").await["added"], FILES);
    let again = browser.post("/api/v1/act/import?batch=one", &body).await;
    assert_eq!(again.status, 503, "the name is taken");
    // An act that failed says why, also to who comes later.
    let nowhere = json!({"paths": [folder.path().join("none")]}).to_string();
    browser
        .post("/api/v1/act/import?batch=two", &nowhere)
        .await
        .lines();
    let told = over(&browser, "two").await;
    assert!(
        told["error"]
            .as_str()
            .is_some_and(|text| text.contains("none")),
        "{told}"
    );
    assert_eq!(told["error_id"], "E-NOT-FOUND", "{told}");
    assert_eq!(browser.get("/api/v1/timeline").await.json()["total"], FILES);
}
