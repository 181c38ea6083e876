//! The acts of the API for the page: the same bodies, the same lines.

use std::convert::Infallible;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::{Stream, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Gallery, guard::Let, item_of, refusal::Refusal, session::Reach, tls::qr, upload::is_name, works,
};
use crate::api;

/// What a phone may do beside looking at pictures and adding them.
fn is_for_phones(act: &str, body: &Value) -> bool {
    match act {
        "list" | "show" | "find" | "status" | "favorite" | "comment" | "activity" => true,
        "album" | "people" | "device" => {
            let what = body.get("do").and_then(Value::as_str);
            what.is_some_and(|what| ["list", "show"].contains(&what))
        }
        _ => false,
    }
}

/// A body of at most 1 MiB.
type Taken = Result<Bytes, BytesRejection>;

fn parsed(body: Taken) -> Result<Value, Refusal> {
    let body = body.map_err(|rejected| match rejected.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::too_large(),
        _ => Refusal::cut_short(),
    })?;
    let value = match body.is_empty() {
        true => Ok(Value::Null),
        false => serde_json::from_slice(&body),
    };
    value.map_err(|_| Refusal::usage())
}

fn lined(
    lines: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
    each: impl FnMut(Bytes) -> Bytes + Send + 'static,
) -> Response {
    let mut each = each;
    let lines = lines.map(move |line| line.map(&mut each));
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::from_stream(lines)).into_response()
}

/// How the page finds an act again.
#[derive(Deserialize)]
pub(super) struct Named {
    batch: Option<String>,
}

type Asked = Result<Query<Named>, QueryRejection>;

/// `POST /api/v1/act/{act}?batch=B`: an act; with a name an import or export goes on when the page is left.
pub(super) async fn act(
    State(gallery): State<Gallery>,
    Extension(Let(reach)): Extension<Let>,
    Path(act): Path<String>,
    named: Asked,
    body: Taken,
) -> Result<Response, Refusal> {
    let body = parsed(body)?;
    let Query(Named { batch }) = named.map_err(|_| Refusal::usage())?;
    if reach == Reach::Phone && !is_for_phones(&act, &body) {
        return Err(Refusal::limited());
    }
    let doorway = gallery.0.doorway.clone();
    if let Some(id) = batch.filter(|_| works::goes_on(&act)) {
        if !is_name(&id) {
            return Err(Refusal::usage());
        }
        let begin = || api::begin(doorway, act.clone(), body);
        let mut kept = works::keep(&gallery, &id, &act, begin).ok_or_else(Refusal::busy)?;
        let lines = futures::stream::poll_fn(move |cx| kept.poll_recv(cx));
        return Ok(lined(lines, |line| line));
    }
    let is_invite = act == "invite";
    let lines = api::begin(doorway, act, body);
    Ok(lined(lines, move |line| match is_invite {
        true => with_qr(line),
        false => line,
    }))
}

/// `POST /api/v1/imports/stop?batch=B`: ends what goes on without the page; what it added stays.
pub(super) async fn stop(
    State(gallery): State<Gallery>,
    Extension(Let(reach)): Extension<Let>,
    named: Asked,
) -> Result<StatusCode, Refusal> {
    if reach == Reach::Phone {
        return Err(Refusal::limited());
    }
    let Query(Named { batch }) = named.map_err(|_| Refusal::usage())?;
    match gallery.0.works.stop(&batch.unwrap_or_default()) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::not_found()),
    }
}

/// Adds the code of an invite as a picture.
fn with_qr(line: Bytes) -> Bytes {
    let Ok(mut told) = serde_json::from_slice::<Value>(&line) else {
        return line;
    };
    let Some(picture) = told.get("code").and_then(Value::as_str).and_then(qr) else {
        return line;
    };
    if let Some(fields) = told.as_object_mut() {
        fields.insert("qr".into(), json!(picture));
    }
    format!("{told}\n").into()
}

/// `POST /api/v1/fetch`: an original comes here from the devices that have it; for phones as well.
pub(super) async fn fetch(
    State(gallery): State<Gallery>,
    body: Taken,
) -> Result<Response, Refusal> {
    let body = parsed(body)?;
    let shelf = gallery.shelf().await?;
    let id = body.get("id").and_then(Value::as_str).unwrap_or_default();
    let item = item_of(id).filter(|item| shelf.item(*item).is_some());
    let item = item.ok_or_else(Refusal::not_found)?;
    let doorway = gallery.0.doorway.clone();
    let lines = api::begin(doorway, "fetch".into(), json!({"id": item.to_string()}));
    Ok(lined(lines, |line| line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_looks_favours_and_comments_and_does_no_more() {
        for act in ["list", "show", "find", "favorite", "comment", "activity"] {
            assert!(is_for_phones(act, &Value::Null), "{act}");
        }
        assert!(is_for_phones("album", &json!({"do": "list"})));
        for act in [
            "init", "join", "confirm", "invite", "import", "export", "get", "trash", "purge",
            "restore", "share", "unshare", "words", "recovery", "config", "verify", "open",
            "sessions", "caption", "tag", "sync", "peer", "album", "people", "device",
        ] {
            assert!(!is_for_phones(act, &json!({"do": "remove"})), "{act}");
        }
    }

    #[test]
    fn a_code_is_a_picture_as_well() {
        let line = with_qr(Bytes::from_static(
            b"{\"type\":\"invite\",\"code\":\"heirloom:abc\"}\n",
        ));
        let told: Value = serde_json::from_slice(&line).expect("JSON");
        assert!(told["qr"].as_str().is_some_and(|svg| svg.contains("<svg")));
        assert_eq!(with_qr(Bytes::from_static(b"{}\n")), "{}\n");
    }
}
