//! What every request has to show before anything is done, and what every answer says to the browser.

use std::{io, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, Version,
        header::{self, HeaderName},
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use futures::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use super::{BODY_TIME, Gallery, page::SCREENS, refusal::Refusal, session::Reach};

/// Everything is of this node, nothing is inline, nobody frames it.
const PAGE_CSP: &str = "default-src 'none'; img-src 'self' blob:; media-src 'self' blob:; \
     script-src 'self'; style-src 'self'; connect-src 'self'; manifest-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'";
/// Files of people: shown, never run.
pub(super) const MEDIA_CSP: &str = "sandbox; default-src 'none'";
const NO_PERMISSIONS: &str = "accelerometer=(), autoplay=(self), camera=(), display-capture=(), \
     fullscreen=(self), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), \
     payment=(), picture-in-picture=(self), publickey-credentials-get=(), usb=()";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const OWN_HEADER: HeaderName = HeaderName::from_static("x-heirloom");
/// Beside the screens, what is the same for everybody and shows nothing of anybody.
const OPEN: [&str; 4] = [
    "/healthz",
    "/manifest.webmanifest",
    "/favicon.ico",
    "/robots.txt",
];
/// The one request whose body may take long.
const UPLOAD: &str = "/api/v1/upload";

/// Where a connection came in.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// What `Host` may say, in lower case.
    pub(super) hosts: std::sync::Arc<[String]>,
    /// `http` or `https`.
    pub(super) scheme: &'static str,
    /// Whether only phones come in here.
    pub(super) is_lan: bool,
}

/// What the request's session may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Let(pub(super) Reach);

/// Whether a path is the page itself or a part of it, the same for everybody.
pub(super) fn is_open(path: &str) -> bool {
    SCREENS.contains(&path)
        || OPEN.contains(&path)
        || ["/assets/", "/photos/", "/albums/"]
            .iter()
            .any(|below| path.starts_with(below))
}

/// The one value of a header field; `Err` where it stands twice or is no text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Refusal::usage());
    }
    value.to_str().map(Some).map_err(|_| Refusal::usage())
}

fn check_host(door: &Door, request: &Request) -> Result<(), Refusal> {
    let host = only(request.headers(), &header::HOST)?.ok_or_else(Refusal::usage)?;
    let is_ours = |name: &str| door.hosts.iter().any(|own| own.eq_ignore_ascii_case(name));
    let target = request.uri().authority().map(Authority::as_str);
    if is_ours(host) && target.is_none_or(is_ours) {
        Ok(())
    } else {
        Err(Refusal::host())
    }
}

/// Requests that a page of somebody else had the browser make.
fn check_site(door: &Door, request: &Request) -> Result<(), Refusal> {
    let headers = request.headers();
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let site = only(headers, &FETCH_SITE)?;
    let is_foreign = site.is_some_and(|site| !["same-origin", "none"].contains(&site));
    // The empty page may be led to from anywhere; what it shows, it asks for itself.
    if is_foreign && (changes || !is_open(request.uri().path())) {
        return Err(Refusal::origin());
    }
    let host = only(headers, &header::HOST)?.unwrap_or_default();
    let own = format!("{}://{host}", door.scheme);
    match only(headers, &header::ORIGIN)? {
        Some(origin) if !origin.eq_ignore_ascii_case(&own) => return Err(Refusal::origin()),
        None if changes => return Err(Refusal::origin()),
        _ => {}
    }
    if !changes {
        return Ok(());
    }
    if only(headers, &OWN_HEADER)? != Some("1") {
        return Err(Refusal::origin());
    }
    let kind = only(headers, &header::CONTENT_TYPE)?.unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let wanted = match request.uri().path() {
        UPLOAD => "application/octet-stream",
        _ => "application/json",
    };
    if kind.eq_ignore_ascii_case(wanted) {
        Ok(())
    } else {
        Err(Refusal::media_type())
    }
}

/// The value of the gallery's own cookie; one of another node counts as none.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter();
    let texts = all.filter_map(|value| value.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';'));
    pairs.find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

fn check(gallery: &Gallery, request: &mut Request) -> Result<(), Refusal> {
    let Some(door) = request.extensions().get::<Door>().cloned() else {
        return Err(Refusal::broken());
    };
    if request.version() != Version::HTTP_11 {
        return Err(Refusal::version());
    }
    check_host(&door, request)?;
    check_site(&door, request)?;
    let path = request.uri().path();
    if is_open(path) || path == "/api/v1/session" {
        return Ok(());
    }
    let secret = cookie(request.headers(), &gallery.cookie_name(&door));
    let reach = secret.and_then(|secret| gallery.sessions().reach(secret));
    let reach = reach.ok_or_else(Refusal::no_session)?;
    if door.is_lan != (reach == Reach::Phone) {
        return Err(Refusal::no_session());
    }
    request.extensions_mut().insert(Let(reach));
    Ok(())
}

/// A body that breaks off where it has not come to its end in time.
fn within(body: Body, most: Duration) -> Body {
    let until = Instant::now() + most;
    let parts = stream::unfold(body.into_data_stream(), move |mut parts| async move {
        let part = match timeout_at(until, parts.next()).await {
            Ok(part) => part?.map_err(io::Error::other),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        Some((part, parts))
    });
    Body::from_stream(parts)
}

/// Lets a request through or refuses it, and dresses the answer.
pub(super) async fn guard(
    State(gallery): State<Gallery>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut response = match check(&gallery, &mut request) {
        Ok(()) if request.uri().path() == UPLOAD => next.run(request).await,
        // What is small comes soon, or somebody keeps others from their place.
        Ok(()) => {
            let most = BODY_TIME.min(gallery.0.stall);
            next.run(request.map(|body| within(body, most))).await
        }
        Err(refusal) => refusal.into_response(),
    };
    dress(response.headers_mut());
    response
}

/// Adds what every answer says, unless its route said otherwise.
fn dress(headers: &mut HeaderMap) {
    let usual = [
        (header::CONTENT_SECURITY_POLICY, PAGE_CSP),
        (header::CACHE_CONTROL, "private, no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            NO_PERMISSIONS,
        ),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    for (name, value) in usual {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}
