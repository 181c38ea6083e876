//! What the gallery answers when it does not do what was asked: a status and JSON, and nothing of this machine.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use crate::{api::ApiError, runtime::RuntimeError, store::StoreError};

/// A request that was not done.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    id: &'static str,
    message: &'static str,
    hint: Option<&'static str>,
    more: Map<String, Value>,
}

impl Refusal {
    fn new(status: StatusCode, id: &'static str, message: &'static str) -> Self {
        Self {
            status,
            id,
            message,
            hint: None,
            more: Map::new(),
        }
    }

    fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// The one answer for everything that is not there, or not for who asks.
    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "E-NOT-FOUND",
            "there is no such thing",
        )
    }

    /// No session, or one that has ended.
    pub(super) fn no_session() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "E-SESSION",
            "this browser is not let in",
        )
        .hint("heirloom open gives a new link")
    }

    /// A one-time link that was used, has expired or never was.
    pub(super) fn link() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "E-LINK",
            "this link was used already or is too old",
        )
        .hint("heirloom open gives a new link")
    }

    /// Too many links that let nobody in.
    pub(super) fn too_often() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "E-TRY-LATER",
            "too many tries",
        )
        .hint("try again in a minute")
    }

    /// As much is being done as can be at one time.
    pub(super) fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "E-TRY-LATER",
            "too much is being added at one time",
        )
        .hint("try again in a minute")
    }

    /// The request was meant for another host.
    pub(super) fn host() -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "E-HOST",
            "nobody of that name is here",
        )
    }

    /// The request comes from another page.
    pub(super) fn origin() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "E-ORIGIN",
            "the request does not come from the gallery's own page",
        )
    }

    /// The request makes no sense.
    pub(super) fn usage() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "E-USAGE",
            "the request makes no sense",
        )
    }

    /// Another version of HTTP.
    pub(super) fn version() -> Self {
        Self::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "E-USAGE",
            "this is spoken in HTTP/1.1",
        )
    }

    /// The body is of another kind than the route takes.
    pub(super) fn media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "E-USAGE",
            "the request is of another kind",
        )
    }

    /// More bytes than are taken.
    pub(super) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "E-TOO-LARGE",
            "the file is larger than what can be added",
        )
    }

    /// The body did not come to its end in time.
    pub(super) fn cut_short() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "E-USAGE",
            "the request broke off",
        )
    }

    /// A session that may look, add, favour and comment asked for more.
    pub(super) fn limited() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "E-NOT-ALLOWED",
            "this is done at the computer, not from a phone",
        )
    }

    /// The home has no family yet.
    pub(super) fn not_set_up() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "E-NOT-SET-UP",
            "Heirloom is not set up on this device yet",
        )
    }

    /// The original lies on other devices.
    pub(super) fn elsewhere(devices: &[String]) -> Self {
        let mut refusal = Self::new(
            StatusCode::CONFLICT,
            "E-ELSEWHERE",
            "the original is on another device",
        );
        refusal.more.insert("devices".into(), json!(devices));
        refusal
    }

    /// What is stored cannot be read.
    pub(super) fn damaged() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "E-DAMAGED",
            "what is stored of it is damaged",
        )
        .hint("heirloom verify --read-data names everything that is damaged")
    }

    /// The disk or the node does not answer as it should.
    pub(super) fn broken() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "E-IO",
            "the disk or the network does not do what it should",
        )
    }

    /// No room for an upload.
    pub(super) fn disk_full() -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "E-DISK-FULL",
            "the disk is full",
        )
        .hint("free some space and add it again")
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<RuntimeError> for Refusal {
    fn from(error: RuntimeError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let refusal = match error.id {
            "E-NOT-SET-UP" => return Self::not_set_up(),
            "E-NOT-FOUND" | "E-AMBIGUOUS" => return Self::not_found(),
            "E-USAGE" => return Self::usage(),
            "E-DISK-FULL" => Self::disk_full(),
            "E-DAMAGED" => Self::damaged(),
            _ => Self::broken(),
        };
        // The text may name people, albums and paths, which no log holds.
        tracing::warn!(id = error.id, "gallery");
        refusal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = self.more;
        body.insert("id".into(), json!(self.id));
        body.insert("message".into(), json!(self.message));
        body.insert("hint".into(), json!(self.hint));
        let kind = HeaderValue::from_static("application/json");
        let body = Value::Object(body).to_string();
        (self.status, [(header::CONTENT_TYPE, kind)], body).into_response()
    }
}
