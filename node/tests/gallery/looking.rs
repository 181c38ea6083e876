//! The timeline, its months, one asset, and what an open page hears.

use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    time::timeout,
};

use crate::{
    client::Browser,
    world::{Home, Photo},
};

const DAY: i64 = 86_400_000;

async fn three(home: &Home) -> [String; 3] {
    let mut ids = Vec::new();
    for (name, wall) in [
        ("a.jpg", Some(40 * DAY)),
        ("b.jpg", Some(DAY)),
        ("c.jpg", None),
    ] {
        let bytes = [b"\xff\xd8\xff\xe0 ", name.as_bytes()].concat();
        let photo = Photo {
            name,
            bytes: &bytes,
            wall,
        };
        ids.push(home.add_photo("Family", &photo).await.to_string());
    }
    ids.try_into().unwrap()
}

#[tokio::test]
async fn the_timeline_has_every_asset_in_its_month() {
    let home = Home::anna().await;
    let [a, b, c] = three(&home).await;
    let browser = Browser::of(&home).await;
    let told = browser.get("/api/v1/timeline").await.json();
    // Four to three: 128 + 32 * log2(4/3).
    let shape = BASE64.encode(&[141]);
    assert_eq!(told["total"], 3);
    let months = json!([
        {"m": "1970-02", "days": [[10, 1]], "r": shape},
        {"m": "1970-01", "days": [[2, 1]], "r": shape},
        {"m": "undated", "days": [[0, 1]], "r": shape},
    ]);
    assert_eq!(told["months"], months);
    for (month, id) in [("1970-02", &a), ("1970-01", &b), ("undated", &c)] {
        let told = browser.get(&format!("/api/v1/month/{month}")).await.json();
        let assets = told["assets"].as_array().unwrap();
        assert_eq!(assets.len(), 1);
        assert_eq!(assets[0]["id"].as_str(), Some(id.as_str()));
    }
    let row = &browser.get("/api/v1/month/1970-02").await.json()["assets"][0];
    let want = json!({
        "id": a, "t": "1970-02-10T00:00:00", "o": null, "k": "photo", "w": 4, "h": 3, "d": null,
        "n": "a.jpg", "c": null, "f": false, "h1": true, "copies": 1, "p": null,
        "pv": "pending", "by": "Anna",
    });
    assert_eq!(*row, want);
    let empty = browser.get("/api/v1/month/1970-03").await;
    assert_eq!((empty.status, &empty.json()["assets"]), (200, &json!([])));
    assert_eq!(browser.get("/api/v1/month/1970-13").await.status, 404);
}

#[tokio::test]
async fn a_timeline_is_narrowed() {
    let home = Home::anna().await;
    let [a, b, c] = three(&home).await;
    home.ask("favorite", json!({"ids": [a]})).await.done();
    home.ask("trash", json!({"ids": [b]})).await.done();
    home.ask("caption", json!({"id": c, "text": "Lake <b>view</b>"}))
        .await
        .done();
    home.ask("album", json!({"do": "create", "name": "Summer"}))
        .await
        .done();
    home.ask("album", json!({"do": "add", "album": "Summer", "ids": [a]}))
        .await
        .done();
    let browser = Browser::of(&home).await;
    for (query, total) in [
        ("", 2),
        ("?favorite=1", 1),
        ("?trashed=1", 1),
        ("?album=Summer", 1),
        ("?album=Family", 2),
        ("?type=video", 0),
        ("?type=photo", 2),
        ("?only_here=1", 2),
        ("?q=lake", 1),
        ("?q=lake+view", 1),
        ("?q=nothing", 0),
    ] {
        let told = browser
            .get(&format!("/api/v1/timeline{query}"))
            .await
            .json();
        assert_eq!(told["total"], total, "{query}");
        let counted: usize = told["months"]
            .as_array()
            .unwrap()
            .iter()
            .map(|month| {
                BASE64
                    .decode(month["r"].as_str().unwrap().as_bytes())
                    .unwrap()
                    .len()
            })
            .sum();
        assert_eq!(counted, total, "{query}");
    }
    let told = browser.get("/api/v1/month/undated?q=lake").await;
    // What people wrote goes out as it is, as JSON and nothing else.
    assert_eq!(told.header("content-type"), Some("application/json"));
    assert_eq!(told.json()["assets"][0]["c"], "Lake <b>view</b>");
    for wrong in ["?favorite=yes", "?type=song"] {
        assert_eq!(
            browser
                .get(&format!("/api/v1/timeline{wrong}"))
                .await
                .status,
            400
        );
    }
    assert_eq!(
        browser.get("/api/v1/timeline?album=Nowhere").await.status,
        404
    );
}

#[tokio::test]
async fn an_asset_says_where_it_is_kept_and_what_was_said() {
    let home = Home::anna().await;
    let [a, ..] = three(&home).await;
    let browser = Browser::of(&home).await;
    let said = browser
        .act("comment", &json!({"id": a, "text": "  Who is that? "}))
        .await;
    assert_eq!(said.last().unwrap()["type"], "summary", "{said:?}");
    let told = browser.get(&format!("/api/v1/asset/{a}")).await.json();
    assert_eq!(told["name"], "a.jpg");
    assert_eq!(told["added_by"], "Anna");
    let kept = &told["kept_on"][0];
    assert_eq!(
        (&kept["name"], &kept["this"]),
        (&json!("laptop"), &json!(true))
    );
    let comment = &told["comments"][0];
    assert_eq!(comment["text"], "Who is that?");
    assert_eq!(
        (&comment["by"], &comment["mine"]),
        (&json!("Anna"), &json!(true))
    );
    let activity = browser.act("activity", &json!({})).await;
    let what: Vec<_> = activity
        .iter()
        .filter(|line| line["type"] == "activity")
        .collect();
    assert_eq!(what.len(), 2, "{activity:?}");
    assert_eq!(
        (&what[0]["what"], &what[0]["asset"]),
        (&json!("comment"), &json!(a))
    );
    assert_eq!(
        (&what[1]["what"], &what[1]["count"]),
        (&json!("added"), &json!(3))
    );
    let gone = json!({"id": a, "remove": comment["id"]});
    assert_eq!(
        browser.act("comment", &gone).await.last().unwrap()["removed"],
        true
    );
    let told = browser.get(&format!("/api/v1/asset/{a}")).await.json();
    assert_eq!(told["comments"], json!([]));
    let again = browser.act("comment", &gone).await;
    assert_eq!(again.last().unwrap()["id"], "E-NOT-FOUND");
    for text in ["", "  ", &"a".repeat(16 * 1024 + 1)] {
        let told = browser
            .act("comment", &json!({"id": a, "text": text}))
            .await;
        assert_eq!(told.last().unwrap()["id"], "E-USAGE");
    }
}

#[tokio::test]
async fn what_another_wrote_is_not_taken_back() {
    let anna = Home::anna().await;
    let ben = anna
        .add_person("Ben", heirloom_protocol::op::Role::Viewer)
        .await;
    let shared = json!({"album": "Family", "person": "Ben", "role": "viewer"});
    anna.ask("share", shared).await.done();
    let [a, ..] = three(&anna).await;
    anna.ask("comment", json!({"id": a, "text": "mine"}))
        .await
        .done();
    let bens = anna.join(ben, "phone").await;
    bens.ask("comment", json!({"id": a, "text": "and mine"}))
        .await
        .done();
    let browser = Browser::of(&bens).await;
    let told = browser.get(&format!("/api/v1/asset/{a}")).await.json();
    let comments = told["comments"].as_array().unwrap();
    let said: Vec<_> = comments
        .iter()
        .map(|one| (&one["text"], &one["mine"]))
        .collect();
    assert_eq!(
        said,
        [
            (&json!("mine"), &json!(false)),
            (&json!("and mine"), &json!(true))
        ]
    );
    let body = json!({"id": a, "remove": comments[0]["id"]});
    let told = browser.act("comment", &body).await;
    assert_eq!(told.last().unwrap()["id"], "E-NOT-ALLOWED");
}

/// An open page that listens.
struct Page(Lines<BufReader<TcpStream>>);

impl Page {
    async fn open(browser: &Browser) -> Self {
        let mut stream = TcpStream::connect(browser.at).await.unwrap();
        let head = browser.usual().replace("Connection: close\r\n", "");
        let ask = format!("GET /api/v1/events HTTP/1.1\r\n{head}\r\n");
        stream.write_all(ask.as_bytes()).await.unwrap();
        Self(BufReader::new(stream).lines())
    }

    /// The next event of a name.
    async fn next(&mut self, name: &str, within: Duration) -> Option<Value> {
        let wanted = format!("event: {name}");
        let found = async {
            let mut is_next = false;
            while let Some(line) = self.0.next_line().await.unwrap() {
                if is_next && let Some(data) = line.strip_prefix("data: ") {
                    return Some(serde_json::from_str(data).unwrap());
                }
                is_next = line == wanted;
            }
            None
        };
        timeout(within, found).await.ok().flatten()
    }
}

#[tokio::test]
async fn an_open_page_hears_of_what_comes_within_two_seconds() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    let mut page = Page::open(&browser).await;
    let first = page.next("changed", Duration::from_secs(20)).await.unwrap();
    let [a, ..] = three(&home).await;
    let began = std::time::Instant::now();
    let mut months = Vec::new();
    while months.len() < 3 {
        let told = page
            .next("changed", Duration::from_secs(2))
            .await
            .expect("in time");
        assert!(told["version"].as_u64() > first["version"].as_u64());
        let some = told["months"].as_array().unwrap().clone();
        months.extend(some);
    }
    assert!(began.elapsed() < Duration::from_secs(2));
    let version = browser.get("/api/v1/timeline").await.json()["version"].as_u64();
    assert!(version > first["version"].as_u64());
    home.ask("favorite", json!({"ids": [a]})).await.done();
    let told = page
        .next("changed", Duration::from_secs(2))
        .await
        .expect("in time");
    assert_eq!(told["assets"], json!([a]));
    assert_eq!(told["months"], json!([]), "nothing came or went");
    home.ask("trash", json!({"ids": [a]})).await.done();
    let told = page
        .next("changed", Duration::from_secs(2))
        .await
        .expect("in time");
    assert_eq!(told["months"], json!(["1970-02"]));
}

#[tokio::test]
async fn what_came_from_another_device_is_there_at_once() {
    let anna = Home::anna().await;
    let me = anna.node().await.view().await.unwrap().person.unwrap();
    let phone = anna.join(me, "phone").await;
    let browser = Browser::of(&phone).await;
    assert_eq!(browser.get("/api/v1/timeline").await.json()["total"], 0);
    let mut page = Page::open(&browser).await;
    page.next("changed", Duration::from_secs(20)).await.unwrap();
    let [_, b, _] = three(&anna).await;
    phone.take_from(&anna).await;
    let began = std::time::Instant::now();
    loop {
        page.next("changed", Duration::from_secs(2))
            .await
            .expect("in time");
        if browser.get("/api/v1/timeline").await.json()["total"] == 3 {
            break;
        }
    }
    assert!(began.elapsed() < Duration::from_secs(2));
    let row = &browser.get("/api/v1/month/1970-01").await.json()["assets"][0];
    assert_eq!((&row["id"], &row["h1"]), (&json!(b), &json!(false)));
    // An album that is no longer shared is gone from the timeline as well.
    anna.ask("album", json!({"do": "create", "name": "Old"}))
        .await
        .done();
    phone.take_from(&anna).await;
    let told = browser.get("/api/v1/timeline?album=Old").await;
    assert!([200, 404].contains(&told.status));
}
