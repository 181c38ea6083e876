//! The page itself, as it is built into the program, and the way in.

use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use data_encoding::HEXLOWER;
use rust_embed::RustEmbed;
use serde::Deserialize;

use super::{
    Gallery,
    guard::{Door, cookie},
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

/// The files of the page, by name; nothing is read from disk.
#[derive(RustEmbed)]
#[folder = "src/gallery/assets/"]
#[allow_missing = true]
struct Assets;

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

fn file(name: &str, asked: &HeaderMap) -> Result<Response, Refusal> {
    let found = Assets::get(name).ok_or_else(Refusal::not_found)?;
    let tag = format!(
        "\"{}\"",
        HEXLOWER.encode(&found.metadata.sha256_hash()[..16])
    );
    let known = asked.get(header::IF_NONE_MATCH);
    let known = known
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let head = [
        (header::CONTENT_TYPE, kind(name).to_owned()),
        (header::ETAG, tag.clone()),
        // Asked for each time, sent when it changed: the next version of the program has the same names.
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
    ];
    if known.split(',').any(|one| one.trim() == tag) {
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    Ok((head, found.data).into_response())
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
    token: Result<Json<Token>, axum::extract::rejection::JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(Token { token }) = token.map_err(|_| Refusal::usage())?;
    // A link for this computer is worth nothing on the network, and the other way round.
    let may = |reach| door.is_lan == (reach == Reach::Phone);
    let secret = gallery.sessions().let_in(&token, may)?;
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
