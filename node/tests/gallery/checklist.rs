//! Who is let in, and what is asked of every request.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use heirloom_node::gallery::{Gallery, GalleryOptions};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    client::{Browser, Told, raw},
    world::Home,
};

#[tokio::test]
async fn it_listens_on_this_computer_alone_unless_two_flags_say_more() {
    let home = Home::anna().await;
    let browser = Browser::stranger(&home).await;
    assert_eq!(browser.at.ip(), Ipv4Addr::LOCALHOST);
    // The other loopback address has it as well, where there is one.
    let six = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, browser.at.port()));
    if TcpStream::connect(six).await.is_ok() {
        let host = format!("Host: [::1]:{}\r\nConnection: close\r\n", six.port());
        let told = raw(
            six,
            format!("GET /healthz HTTP/1.1\r\n{host}\r\n").as_bytes(),
        )
        .await;
        assert_eq!(Told::parse(&told).status, 200);
    }
    let other = Home::anna().await;
    for at in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let options = GalleryOptions {
            listen: Some(at.parse().unwrap()),
            lan: false,
            ..GalleryOptions::default()
        };
        let refused = Gallery::start(other.doorway.clone(), options).await;
        assert_eq!(refused.map(|_| ()).unwrap_err().id, "E-USAGE", "{at}");
    }
}

#[tokio::test]
async fn a_host_that_is_not_its_own_is_sent_away() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    let (at, port) = (browser.at, browser.at.port());
    let ask = |target: String, hosts: Vec<String>| {
        let cookie = browser.cookie.clone();
        async move {
            let hosts: String = hosts
                .iter()
                .map(|host| format!("Host: {host}\r\n"))
                .collect();
            let head = format!(
                "GET {target} HTTP/1.1\r\n{hosts}Cookie: {cookie}\r\nConnection: close\r\n\r\n"
            );
            Told::parse(&raw(at, head.as_bytes()).await).status
        }
    };
    let state = || "/api/v1/state".to_owned();
    for own in ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"] {
        assert_eq!(
            ask(state(), vec![format!("{own}:{port}")]).await,
            200,
            "{own}"
        );
    }
    for foreign in [
        "127.0.0.1".to_owned(),
        "localhost".to_owned(),
        format!("evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("127.0.0.1.nip.io:{port}"),
        format!("127.0.0.2:{port}"),
        format!("127.0.0.1:{}", port ^ 1),
        String::new(),
    ] {
        let path = if foreign.is_empty() {
            "/".to_owned()
        } else {
            state()
        };
        assert_eq!(ask(path, vec![foreign.clone()]).await, 421, "{foreign:?}");
    }
    let own = format!("127.0.0.1:{port}");
    assert_eq!(
        ask("/healthz".into(), vec![format!("evil.example:{port}")]).await,
        421
    );
    assert_eq!(ask(state(), vec![]).await, 400);
    assert_eq!(ask(state(), vec![own.clone(), own.clone()]).await, 400);
    let absolute = |host: &str| format!("http://{host}/api/v1/state");
    assert_eq!(ask(absolute(&own), vec![own.clone()]).await, 200);
    assert_eq!(ask(absolute("evil.example"), vec![own.clone()]).await, 421);
    assert_eq!(ask(absolute(&own), vec!["evil.example".into()]).await, 421);
}

const GUARDED: [&str; 9] = [
    "/api/v1/state",
    "/api/v1/timeline",
    "/api/v1/month/2010-12",
    "/api/v1/asset/00",
    "/api/v1/imports",
    "/api/v1/events",
    "/thumb/00",
    "/preview/00",
    "/original/00",
];

#[tokio::test]
async fn nothing_is_told_without_a_session() {
    let home = Home::anna().await;
    let mut browser = Browser::stranger(&home).await;
    let name = browser_cookie_name(&browser).await;
    let wrong = "A".repeat(43);
    for cookie in [
        String::new(),
        format!("{name}={wrong}"),
        format!("{name}="),
        format!("heirloom_0000000000000000={wrong}"),
        name.clone(),
    ] {
        browser.cookie = cookie;
        for path in GUARDED {
            let told = browser.get(path).await;
            assert_eq!(told.error(), (401, "E-SESSION".into()), "{path}");
        }
        let told = browser.post("/api/v1/act/status", "{}").await;
        assert_eq!(told.error(), (401, "E-SESSION".into()));
        assert_eq!(browser.upload("batch=a&name=a.jpg", b"x").await.status, 401);
        assert_eq!(browser.post("/api/v1/logout", "{}").await.status, 401);
    }
}

async fn browser_cookie_name(browser: &Browser) -> String {
    let body = format!("{{\"token\":\"{}\"}}", browser.token());
    let told = browser.post("/api/v1/session", &body).await;
    let cookie = told.header("set-cookie").unwrap();
    cookie.split('=').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_link_lets_one_browser_in_once() {
    let home = Home::anna().await;
    let browser = Browser::stranger(&home).await;
    let body = format!("{{\"token\":\"{}\"}}", browser.token());
    let told = browser.post("/api/v1/session", &body).await;
    assert_eq!(told.status, 204);
    let cookie = told.header("set-cookie").unwrap();
    let (pair, rules) = cookie.split_once(';').unwrap();
    assert_eq!(rules, " HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000");
    let (name, secret) = pair.split_once('=').unwrap();
    assert!(name.starts_with("heirloom_") && name.len() == 25, "{name}");
    assert_eq!(secret.len(), 43, "256 bits");
    let again = browser.post("/api/v1/session", &body).await;
    assert_eq!(again.error(), (403, "E-LINK".into()));
    assert_eq!(again.header("set-cookie"), None);
    // A link in the address itself is worth nothing: it would stay in histories and logs.
    let query = browser
        .get(&format!("/api/v1/state?token={}", browser.token()))
        .await;
    assert_eq!(query.status, 401);
    assert_eq!(browser.post("/api/v1/session", "{}").await.status, 400);
}

#[tokio::test]
async fn guessing_links_is_slowed_down() {
    let home = Home::anna().await;
    let browser = Browser::stranger(&home).await;
    let mut told = Vec::new();
    for _ in 0..7 {
        told.push(
            browser
                .post("/api/v1/session", "{\"token\":\"guess\"}")
                .await
                .status,
        );
    }
    assert_eq!(told, [403, 403, 403, 403, 403, 429, 429]);
    // Of 256 bits nobody guesses one, so that whoever tries keeps nobody out.
    let body = format!("{{\"token\":\"{}\"}}", browser.token());
    assert_eq!(browser.post("/api/v1/session", &body).await.status, 204);
}

#[tokio::test]
async fn sessions_outlive_the_node_as_hashes_and_end_when_told_to() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    let cookie = browser.cookie.clone();
    let secret = cookie.split_once('=').unwrap().1.to_owned();
    browser.gallery.stop().await;
    home.doorway.show(None).await;
    drop(browser);
    let home = home.again().await;
    // Nothing on the disk lets anybody in.
    for entry in walkdir(home.doorway.home()) {
        let bytes = std::fs::read(&entry).unwrap_or_default();
        let there = bytes
            .windows(secret.len())
            .any(|some| some == secret.as_bytes());
        assert!(!there, "{}", entry.display());
    }
    let mut browser = Browser::stranger(&home).await;
    browser.cookie = cookie;
    assert_eq!(
        browser.get("/api/v1/state").await.status,
        200,
        "the same port and name"
    );
    let listed = home.ask("sessions", json!({"do": "list"})).await;
    assert_eq!(listed.of("session").len(), 1);
    assert_eq!(
        home.ask("sessions", json!({"do": "revoke"})).await.done()["revoked"],
        1
    );
    assert_eq!(browser.get("/api/v1/state").await.status, 401);
    let browser = Browser::of(&home).await;
    assert_eq!(browser.post("/api/v1/logout", "{}").await.status, 204);
    assert_eq!(browser.get("/api/v1/state").await.status, 401);
}

fn walkdir(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(walkdir(&path)),
            false => found.push(path),
        }
    }
    found
}

#[tokio::test]
async fn a_cookie_of_another_node_counts_as_none() {
    let (one, other) = (Home::anna().await, Home::anna().await);
    let (first, mut second) = (Browser::of(&one).await, Browser::of(&other).await);
    let name = |cookie: &str| cookie.split('=').next().unwrap().to_owned();
    assert_ne!(name(&first.cookie), name(&second.cookie));
    let own = second.cookie.clone();
    second.cookie = first.cookie.clone();
    assert_eq!(second.get("/api/v1/state").await.status, 401);
    // Both come along where two nodes run on one computer, since cookies know no ports.
    second.cookie = format!("{}; {own}", first.cookie);
    assert_eq!(second.get("/api/v1/state").await.status, 200);
}

#[tokio::test]
async fn only_its_own_page_changes_anything() {
    let home = Home::anna().await;
    let item = home.add("Family", "a.jpg", b"\xff\xd8\xff\xe0 one").await;
    let browser = Browser::of(&home).await;
    let body = format!("{{\"ids\":[\"{item}\"]}}");
    let own = format!("http://{}", browser.at);
    let full = [
        ("Origin", own.as_str()),
        ("X-Heirloom", "1"),
        ("Content-Type", "application/json"),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    let path = "/api/v1/act/favorite";
    let ask = |changed: &'static str, value: Option<String>| {
        let lines = full.iter().map(|(name, usual)| {
            let value = if *name == changed {
                value.clone()
            } else {
                Some((*usual).to_owned())
            };
            value.map_or(String::new(), |value| format!("{name}: {value}\r\n"))
        });
        let head: String = lines.collect();
        let (browser, body) = (&browser, &body);
        async move { browser.post_with(path, &head, body.as_bytes()).await.status }
    };
    for (name, value, status) in [
        ("Origin", None, 403),
        ("Origin", Some("null"), 403),
        ("Origin", Some("http://evil.example"), 403),
        ("Origin", Some("http://localhost:1"), 403),
        ("Origin", Some("https://127.0.0.1"), 403),
        ("X-Heirloom", None, 403),
        ("X-Heirloom", Some("2"), 403),
        ("Content-Type", None, 415),
        ("Content-Type", Some("text/plain"), 415),
        (
            "Content-Type",
            Some("application/x-www-form-urlencoded"),
            415,
        ),
        ("Content-Type", Some("multipart/form-data; boundary=a"), 415),
        ("Sec-Fetch-Site", Some("cross-site"), 403),
        ("Sec-Fetch-Site", Some("same-site"), 403),
    ] {
        assert_eq!(
            ask(name, value.map(str::to_owned)).await,
            status,
            "{name}: {value:?}"
        );
    }
    let told = home.ask("show", json!({"id": item.to_string()})).await;
    assert_eq!(
        told.of("asset")[0]["favorite"],
        false,
        "nothing was changed"
    );
    assert_eq!(ask("Sec-Fetch-Site", None).await, 200);
    assert_eq!(ask("Sec-Fetch-Site", Some("none".into())).await, 200);
    let told = home.ask("show", json!({"id": item.to_string()})).await;
    assert_eq!(told.of("asset")[0]["favorite"], true);
}

#[tokio::test]
async fn looking_changes_nothing_and_other_pages_see_nothing() {
    let home = Home::anna().await;
    let item = home.add("Family", "a.jpg", b"\xff\xd8\xff\xe0 one").await;
    let browser = Browser::of(&home).await;
    for path in [
        "/api/v1/act/trash",
        "/api/v1/logout",
        "/api/v1/session",
        "/api/v1/upload",
    ] {
        assert_eq!(
            browser.get(path).await.error(),
            (404, "E-NOT-FOUND".into()),
            "{path}"
        );
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let head = format!(
            "{}{}Content-Type: application/json\r\n",
            browser.usual(),
            browser.own()
        );
        let told = browser
            .send(&format!("{method} /api/v1/state HTTP/1.1\r\n{head}\r\n"))
            .await;
        assert_eq!(told.status, 404, "{method}");
    }
    for path in [
        format!("/original/{item}"),
        "/api/v1/timeline".into(),
        "/api/v1/events".into(),
    ] {
        for site in ["cross-site", "same-site"] {
            let told = browser
                .get_with(&path, &format!("Sec-Fetch-Site: {site}\r\n"))
                .await;
            assert_eq!(told.error(), (403, "E-ORIGIN".into()), "{path} {site}");
        }
        let told = browser
            .get_with(&path, "Origin: http://evil.example\r\n")
            .await;
        assert_eq!(told.error(), (403, "E-ORIGIN".into()), "{path}");
        assert!(
            told.head
                .iter()
                .all(|(name, _)| !name.starts_with("access-control"))
        );
    }
    // The empty page may be led to from anywhere: a link in a mail, for one.
    let told = browser
        .get_with("/", "Sec-Fetch-Site: cross-site\r\n")
        .await;
    assert_ne!(told.status, 403);
}

#[tokio::test]
async fn heads_are_short_connections_few_and_http_is_1_1() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    let long = format!("X-Long: {}\r\n", "a".repeat(17 * 1024));
    let told = raw(
        browser.at,
        format!(
            "GET /api/v1/state HTTP/1.1\r\n{}{long}\r\n",
            browser.usual()
        )
        .as_bytes(),
    )
    .await;
    assert!(
        told.is_empty() || Told::parse(&told).status == 431,
        "{told:?}"
    );
    let old = format!("GET /healthz HTTP/1.0\r\n{}\r\n", browser.usual());
    let told = raw(browser.at, old.as_bytes()).await;
    assert!(String::from_utf8_lossy(&told).contains(" 505 "), "{told:?}");
    let two = raw(browser.at, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(
        two.is_empty() || two.starts_with(b"HTTP/1.1 400"),
        "{two:?}"
    );
    let body = format!("{{\"id\":\"{}\"}}", "a".repeat(1024 * 1024));
    assert_eq!(browser.post("/api/v1/act/show", &body).await.status, 413);

    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(TcpStream::connect(browser.at).await.unwrap());
    }
    // Whoever comes now is sent away at once: what was read is the end.
    let mut refused = None;
    for _ in 0..64 {
        let mut stream = TcpStream::connect(browser.at).await.unwrap();
        let ask = format!("GET /healthz HTTP/1.1\r\n{}\r\n", browser.usual());
        let _ = stream.write_all(ask.as_bytes()).await;
        let mut told = Vec::new();
        let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut told))
            .await
            .unwrap();
        if told.is_empty() {
            refused = Some(told);
            break;
        }
    }
    assert!(refused.is_some(), "the 65th connection was served");
    drop(held);
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let home = Home::anna().await;
    let browser = Browser::stranger(&home).await;
    let mut slow = TcpStream::connect(browser.at).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
    let began = std::time::Instant::now();
    let mut told = Vec::new();
    let read = timeout(Duration::from_secs(30), slow.read_to_end(&mut told)).await;
    assert!(read.is_ok(), "the connection is closed");
    assert!(
        began.elapsed() >= Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    assert!(
        told.is_empty() || told.starts_with(b"HTTP/1.1 408"),
        "{told:?}"
    );
}

#[tokio::test]
async fn bodies_that_do_not_come_keep_nobody_out() {
    let home = Home::anna().await;
    let browser = Browser::impatient(&home, Duration::from_millis(500)).await;
    let head = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: {}\r\n{}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{",
        browser.at,
        browser.own()
    );
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(browser.at).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        held.push(stream);
    }
    // The first goes on sending, a byte at a time.
    let mut slow = held.remove(0);
    let trickle = async {
        let mut told = [0; 1024];
        loop {
            if slow.write_all(b" ").await.is_err() {
                break;
            }
            let read = timeout(Duration::from_millis(20), slow.read(&mut told)).await;
            if matches!(read, Ok(Ok(0) | Err(_))) {
                break;
            }
        }
    };
    let ended = timeout(Duration::from_secs(60), trickle).await;
    ended.expect("who sends a byte at a time is let go as well");
    for mut stream in held {
        let mut told = Vec::new();
        let read = timeout(Duration::from_secs(60), stream.read_to_end(&mut told)).await;
        let _ = read.expect("it is not waited for");
        assert!(
            told.is_empty() || Told::parse(&told).status == 408,
            "{told:?}"
        );
    }
    assert_eq!(browser.get("/api/v1/state").await.status, 200);
    // More than a link needs is not read by whoever has no session.
    let long = format!("{{\"token\":\"{}\"}}", "a".repeat(5000));
    let told = browser.post("/api/v1/session", &long).await;
    assert!([408, 413].contains(&told.status), "{told:?}");
}

#[tokio::test]
async fn an_error_tells_nothing_of_this_machine() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    let place = home.doorway.home().to_string_lossy().into_owned();
    let asked = [
        browser.get("/nothing").await,
        browser.get("/api/v1/month/1900-00").await,
        browser.get("/api/v1/timeline?album=nothing").await,
        browser.get("/api/v1/timeline?type=x").await,
        browser.post("/api/v1/act/list", "not json").await,
        browser.post("/api/v1/fetch", "{\"id\":\"zz\"}").await,
        browser.post("/api/v1/upload/done", "{}").await,
        browser.get("/original/..%2f..%2fetc%2fpasswd").await,
    ];
    for told in asked {
        let json = told.json();
        let mut fields: Vec<_> = json.as_object().unwrap().keys().collect();
        fields.sort();
        assert_eq!(fields, ["hint", "id", "message"], "{told:?}");
        let text = String::from_utf8_lossy(&told.body).into_owned();
        for secret in [
            place.as_str(),
            "panicked",
            ".rs",
            env!("CARGO_PKG_VERSION"),
            "axum",
        ] {
            assert!(!text.contains(secret), "{text}");
        }
        assert_eq!(told.header("server"), None);
    }
    let told = browser.get("/healthz").await;
    assert_eq!((told.status, told.body), (200, b"ok".to_vec()));
}

#[tokio::test]
async fn paths_lead_nowhere_but_to_what_is_built_in() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    for path in [
        "/assets/../Cargo.toml",
        "/assets/..%2fmod.rs",
        "/assets/%2e%2e/mod.rs",
        "/assets/%2e%2e%2fmod.rs",
        "/assets/%252e%252e%252fmod.rs",
        "/assets/..%5cmod.rs",
        "/assets/index.html%00.js",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/original/..%2f..%2fkeys%2fstore.key",
        "/thumb/..%2f",
        "/etc/passwd",
        "/.git/config",
    ] {
        assert_eq!(
            browser.get(path).await.error(),
            (404, "E-NOT-FOUND".into()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_one_may_not_see_is_answered_like_what_is_not_there() {
    let anna = Home::anna().await;
    let ben = anna
        .add_person("Ben", heirloom_protocol::op::Role::Member)
        .await;
    let shared = json!({"album": "Family", "person": "Ben", "role": "viewer"});
    anna.ask("share", shared).await.done();
    let seen = anna
        .add("Family", "seen.jpg", b"\xff\xd8\xff\xe0 seen")
        .await;
    // In Anna's own library, which Ben does not read.
    let hidden = anna
        .add("Library", "hidden.jpg", b"\xff\xd8\xff\xe0 hidden")
        .await;
    let bens = anna.join(ben, "phone").await;
    bens.take_blobs_from(&anna).await;
    let browser = Browser::of(&bens).await;
    assert_eq!(
        browser.get(&format!("/api/v1/asset/{seen}")).await.status,
        200
    );
    let absent = "0".repeat(64);
    for route in ["/thumb/", "/preview/", "/original/", "/api/v1/asset/"] {
        let one = browser.get(&format!("{route}{hidden}")).await;
        let other = browser.get(&format!("{route}{absent}")).await;
        let malformed = browser.get(&format!("{route}zz")).await;
        assert_eq!(one.status, 404, "{route}");
        for told in [&other, &malformed] {
            assert_eq!(
                (told.status, &told.body),
                (one.status, &one.body),
                "{route}"
            );
            let names = |told: &Told| -> Vec<String> {
                told.head.iter().map(|(name, _)| name.clone()).collect()
            };
            assert_eq!(names(told), names(&one), "{route}");
        }
    }
    let timeline = browser.get("/api/v1/timeline").await.json();
    assert_eq!(timeline["total"], Value::from(1));
}
