//! What every answer says to the browser.

use crate::{
    client::{Browser, Told},
    world::Home,
};

fn directives(csp: &str) -> Vec<&str> {
    csp.split(';').map(str::trim).collect()
}

fn check_usual(path: &str, told: &Told) {
    let usual = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("x-robots-tag", "noindex"),
    ];
    for (name, value) in usual {
        assert_eq!(told.header(name), Some(value), "{path} {name}");
    }
    let none = told.header("permissions-policy").unwrap();
    for feature in ["camera", "microphone", "geolocation", "usb", "payment"] {
        assert!(none.contains(&format!("{feature}=()")), "{path} {feature}");
    }
}

#[tokio::test]
async fn every_answer_is_dressed() {
    let home = Home::anna().await;
    let item = home.add("Family", "a.jpg", b"\xff\xd8\xff\xe0 one").await;
    let browser = Browser::of(&home).await;
    let original = format!("/original/{item}");
    for path in [
        "/",
        "/photos/1",
        "/healthz",
        "/api/v1/state",
        "/nothing",
        &original,
        "/robots.txt",
    ] {
        check_usual(path, &browser.get(path).await);
    }
    let stranger = Browser::stranger(&home).await;
    check_usual("401", &stranger.get("/api/v1/state").await);
    check_usual("204", &browser.post("/api/v1/logout", "{}").await);
}

#[tokio::test]
async fn the_page_runs_nothing_but_its_own_files() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    for path in ["/", "/api/v1/state", "/nothing"] {
        let told = browser.get(path).await;
        let csp = told.header("content-security-policy").unwrap();
        let mut found = directives(csp);
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "base-uri 'none'",
                "connect-src 'self'",
                "default-src 'none'",
                "form-action 'self'",
                "frame-ancestors 'none'",
                "img-src 'self' blob:",
                "manifest-src 'self'",
                "media-src 'self' blob:",
                "require-trusted-types-for 'script'",
                "script-src 'self'",
                "style-src 'self'",
            ],
            "{path}"
        );
        assert_eq!(
            told.header("cache-control"),
            Some("private, no-store"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn no_cache_and_no_search_engine_keeps_anything() {
    let home = Home::anna().await;
    let item = home.add("Family", "a.jpg", b"\xff\xd8\xff\xe0 one").await;
    let browser = Browser::of(&home).await;
    for path in ["/api/v1/timeline", "/api/v1/month/undated"] {
        let told = browser.get(path).await;
        assert_eq!(told.status, 200);
        assert_eq!(
            told.header("cache-control"),
            Some("private, no-store"),
            "{path}"
        );
    }
    let told = browser.get(&format!("/original/{item}")).await;
    assert_eq!(
        told.header("cache-control"),
        Some("private, max-age=31536000, immutable")
    );
    assert_eq!(
        told.header("content-encoding"),
        None,
        "nothing is compressed"
    );
    let robots = browser.get("/robots.txt").await;
    assert_eq!(robots.body, b"User-agent: *\nDisallow: /\n");
    // There is no service worker: none could be scoped wider than the page.
    assert_eq!(browser.get("/sw.js").await.status, 404);
    assert_eq!(browser.get("/service-worker.js").await.status, 404);
}

#[tokio::test]
async fn the_page_travels_compressed_to_who_takes_it_and_nothing_else_does() {
    let home = Home::anna().await;
    let browser = Browser::of(&home).await;
    let plain = browser.get("/assets/main.js").await;
    assert_eq!(plain.header("content-encoding"), None);
    let takes = "Accept-Encoding: gzip, deflate\r\n";
    let short = browser.get_with("/assets/main.js", takes).await;
    assert_eq!(short.header("content-encoding"), Some("gzip"));
    for told in [&plain, &short] {
        assert_eq!(told.header("vary"), Some("Accept-Encoding"));
    }
    // A head of ten bytes, as long as it names no file; eight bytes follow the data.
    assert_eq!(short.body[..4], [0x1f, 0x8b, 8, 0]);
    let data = &short.body[10..short.body.len() - 8];
    let inflated = miniz_oxide::inflate::decompress_to_vec(data).unwrap();
    assert_eq!(inflated, plain.body);
    let tag = short.header("etag").unwrap();
    assert_ne!(Some(tag), plain.header("etag"));
    let known = format!("{takes}If-None-Match: {tag}\r\n");
    let again = browser.get_with("/assets/main.js", &known).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    // What is secret never stands compressed beside what others chose.
    for path in ["/api/v1/state", "/api/v1/timeline"] {
        let told = browser.get_with(path, takes).await;
        assert_eq!(told.header("content-encoding"), None, "{path}");
    }
}
