//! The page itself, as it is built into the program, and the way in.

use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State, rejection::JsonRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use data_encoding::HEXLOWER;
use serde::Deserialize;

use super::{
    Gallery,
    guard::{Door, cookie},
    listen::Caller,
    refusal::Refusal,
    session::{NotLetIn, Reach},
};

/// Addresses that the page shows something for; it reads them itself.
pub(super) const SCREENS: [&str; 12] = [
    "/",
    "/photos",
    "/albums",
    "/people",
    "/safety",
    "/add",
    "/trash",
    "/search",
    "/settings",
    "/activity",
    "/join",
    "/welcome",
];

/// A file of the page, as `build.rs` packed it; nothing is read from disk.
struct PageFile {
    name: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

/// All of them, by name.
const PAGE: &[PageFile] = &include!(concat!(env!("OUT_DIR"), "/page.rs"));

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "text/plain; charset=utf-8",
    }
}

/// Whether the browser takes gzip: it says so by name, and not that it would rather not.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let said = asked.get(header::ACCEPT_ENCODING);
    let said = said.and_then(|value| value.to_str().ok());
    let mut all = said.unwrap_or_default().split(',').map(str::trim);
    all.any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight.trim().trim_start_matches("q=");
        name.trim() == "gzip" && weight.parse::<f32>().unwrap_or(1.0) > 0.0
    })
}

/// The same for everybody, so that it may travel compressed: nothing secret stands beside it.
fn file(name: &str, asked: &HeaderMap) -> Result<Response, Refusal> {
    let found = PAGE.binary_search_by(|file| file.name.cmp(name));
    let found = found.map_err(|_| Refusal::not_found())?;
    let file = &PAGE[found];
    let is_short = takes_gzip(asked);
    let bytes = if is_short { file.gzip } else { file.plain };
    let hash = blake3::hash(bytes);
    let tag = format!("\"{}\"", HEXLOWER.encode(&hash.as_bytes()[..16]));
    let known = asked.get(header::IF_NONE_MATCH);
    let known = known
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let head = [
        (header::CONTENT_TYPE, kind(name).to_owned()),
        (header::ETAG, tag.clone()),
        (header::VARY, "Accept-Encoding".to_owned()),
        // Asked for each time, sent when it changed: the next version of the program has the same names.
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
    ];
    if known.split(',').any(|one| one.trim() == tag) {
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    let mut told = (head, bytes).into_response();
    if is_short {
        let gzip = HeaderValue::from_static("gzip");
        told.headers_mut().insert(header::CONTENT_ENCODING, gzip);
    }
    Ok(told)
}

/// The page, whatever it is to show.
pub(super) async fn index(headers: HeaderMap) -> Result<Response, Refusal> {
    let mut page = file("index.html", &headers)?;
    let fresh = HeaderValue::from_static("private, no-store");
    page.headers_mut().insert(header::CACHE_CONTROL, fresh);
    Ok(page)
}

/// A part of the page.
pub(super) async fn asset(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    file(&name, &headers)
}

/// What makes it an application of a phone's home screen.
pub(super) async fn manifest(headers: HeaderMap) -> Result<Response, Refusal> {
    file("manifest.webmanifest", &headers)
}

/// Nothing here is for search engines.
pub(super) async fn robots() -> &'static str {
    "User-agent: *\nDisallow: /\n"
}

/// Leads on to the same address over TLS, and does nothing else.
pub(super) fn to_https() -> Router {
    let lead = |Extension(door): Extension<Door>, request: Request| async move {
        let host = request.headers().get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !door.hosts.iter().any(|own| own.eq_ignore_ascii_case(host)) {
            return Err(Refusal::host());
        }
        let path = request.uri().path();
        let to = [(header::LOCATION, format!("https://{host}{path}"))];
        Ok((StatusCode::PERMANENT_REDIRECT, to))
    };
    Router::new().fallback(lead)
}

/// The secret of a one-time link.
#[derive(Deserialize)]
pub(super) struct Token {
    token: String,
}

/// `POST /api/v1/session`: a one-time link becomes a session.
pub(super) async fn let_in(
    State(gallery): State<Gallery>,
    Extension(door): Extension<Door>,
    Extension(Caller(ip)): Extension<Caller>,
    token: Result<Json<Token>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(Token { token }) = token.map_err(|rejected| match rejected {
        JsonRejection::BytesRejection(_) => Refusal::cut_short(),
        _ => Refusal::usage(),
    })?;
    // A link for this computer is worth nothing on the network, and the other way round.
    let may = |reach| door.is_lan == (reach == Reach::Phone);
    let from = (door.is_lan, ip);
    let secret = gallery.sessions().let_in(&token, from, may)?;
    let secret = secret.map_err(|why| match why {
        NotLetIn::Link => Refusal::link(),
        NotLetIn::TooOften => Refusal::too_often(),
    })?;
    gallery.keep_sessions().await?;
    let name = gallery.cookie_name(&door);
    let secure = if door.is_lan { "; Secure" } else { "" };
    let cookie =
        format!("{name}={secret}; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000{secure}");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// `POST /api/v1/logout`: the session ends.
pub(super) async fn leave(
    State(gallery): State<Gallery>,
    Extension(door): Extension<Door>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let name = gallery.cookie_name(&door);
    if let Some(secret) = cookie(&headers, &name) {
        gallery.sessions().end(secret);
    }
    gallery.keep_sessions().await?;
    let secure = if door.is_lan { "; Secure" } else { "" };
    let gone = format!("{name}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0{secure}");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]).into_response())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::{PAGE, PageFile, file, takes_gzip};
    use axum::http::{HeaderMap, HeaderValue, header};

    /// All that a browser can fetch of the page in one language, every screen of it.
    const PAGE_BYTES: usize = 90 * 1024;

    /// What travels when a browser asks for a file.
    async fn sent(name: &str) -> axum::body::Bytes {
        let mut asked = HeaderMap::new();
        asked.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let told = file(name, &asked).expect("a file of the page");
        assert_eq!(told.headers()[header::CONTENT_ENCODING], "gzip", "{name}");
        let bytes = axum::body::to_bytes(told.into_body(), usize::MAX).await;
        bytes.expect("a body in memory")
    }

    #[tokio::test]
    async fn the_whole_page_is_at_most_90_kib_compressed() {
        let (mut languages, mut rest) = (Vec::new(), Vec::new());
        for PageFile { name, .. } in PAGE {
            let size = (sent(name).await.len(), *name);
            match name {
                _ if name.starts_with("lang/") => languages.push(size),
                // Read by people, and fetched by no page.
                _ if name.ends_with(".LICENSE") => {}
                _ => rest.push(size),
            }
        }
        rest.extend(languages.into_iter().max());
        let bytes: usize = rest.iter().map(|(bytes, _)| bytes).sum();
        assert!(bytes <= PAGE_BYTES, "{bytes} bytes: {rest:?}");
    }

    #[tokio::test]
    async fn what_travels_is_the_page() {
        for PageFile { name, plain, .. } in PAGE {
            let mut read = Vec::new();
            let sent = sent(name).await;
            let mut gzip = flate2::bufread::MultiGzDecoder::new(&sent[..]);
            gzip.read_to_end(&mut read).expect("a whole gzip");
            assert!(read == *plain, "{name}");
        }
    }

    #[test]
    fn files_are_found_by_their_names() {
        assert!(PAGE.len() > 10);
        assert!(PAGE.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn gzip_is_sent_to_who_asks_for_it() {
        for (said, takes) in [
            ("gzip, deflate, br", true),
            ("br, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("x-gzip", false),
            ("", false),
        ] {
            let mut asked = HeaderMap::new();
            asked.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(said));
            assert_eq!(takes_gzip(&asked), takes, "{said}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
