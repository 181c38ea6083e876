//! Originals: streamed out of their encrypted blobs, in whole or in part, under a name that harms nobody.

use std::io::{Read as _, Seek as _, SeekFrom};

use axum::{
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use heirloom_protocol::{
    album::asset::BlobRef,
    id::{OpId, PlainHash},
    op::Part,
};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{
    Gallery,
    guard::MEDIA_CSP,
    hurt::{is_damage, note_damage},
    item_of,
    media::{IMMUTABLE, is_shown},
    range::Wanted,
    refusal::Refusal,
    shelf::Shelf,
};
use crate::{
    catalog::{self, Folded, read_like},
    export,
    media::{HEAD_BYTES, MediaType},
    node::Node,
    original::Plain,
    runtime::note_used,
    store::{Damage, Store, StoreError},
};

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that wait for a slow reader: what one answer holds in memory is bounded.
const PIECES: usize = 2;

/// What of an asset is asked for.
#[derive(Deserialize, Default)]
pub(super) struct Asked {
    #[serde(default)]
    part: usize,
    download: Option<String>,
}

/// A file that is here.
struct Found {
    plain: Plain,
    blob: BlobRef,
    head: Vec<u8>,
    name: String,
    hash: PlainHash,
}

/// Whether a file is here, and where it is if not.
enum Place {
    Here(Box<Found>),
    Elsewhere(Vec<String>),
    Nowhere,
}

/// `GET /original/{id}?part=N&download=1`.
pub(super) async fn original(
    State(gallery): State<Gallery>,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let shelf = gallery.shelf().await?;
    let item = item_of(&id).ok_or_else(Refusal::not_found)?;
    let Query(asked) = asked.map_err(|_| Refusal::usage())?;
    let node = shelf.node().clone();
    let part = asked.part;
    let place = node.blocking(move || find(&shelf, item, part)).await??;
    match place {
        Place::Here(found) => answer(&node, *found, &asked, &method, &headers),
        Place::Elsewhere(devices) => Err(Refusal::elsewhere(&devices)),
        Place::Nowhere => Err(Refusal::not_found()),
    }
}

fn find(shelf: &Shelf, item: OpId, part: usize) -> Result<Place, StoreError> {
    let (store, view) = (shelf.node().store(), shelf.view());
    let folded = match shelf.item(item) {
        Some(key) => read_like(store, &view, key)?,
        None => None,
    };
    let Some(folded) = folded else {
        return Ok(Place::Nowhere);
    };
    let Some(wanted) = folded.first().asset.all_parts().nth(part) else {
        return Ok(Place::Nowhere);
    };
    let (name, hash) = (wanted.0.name.clone(), wanted.0.pt_hash);
    let mut damaged = None;
    for (part, blob) in same(&folded, hash) {
        if !catalog::is_here(store, blob)? {
            continue;
        }
        match open(store, part, blob) {
            Ok((plain, head)) => {
                if !view.keeps {
                    // What is looked at is not let go for want of room.
                    note_used(store, &[*blob], shelf.node().clock().now().0)?;
                }
                return Ok(Place::Here(Box::new(Found {
                    plain,
                    blob: *blob,
                    head,
                    name,
                    hash,
                })));
            }
            Err(error) => {
                note_damage(shelf.node(), blob, &error);
                damaged = Some(error);
            }
        }
    }
    if let Some(damage) = damaged {
        return Err(damage);
    }
    let kept_on = view.kept_on(&folded, false).into_iter();
    Ok(Place::Elsewhere(kept_on.map(|kept| kept.name).collect()))
}

/// The blobs with the same content.
fn same(folded: &Folded, hash: PlainHash) -> impl Iterator<Item = (&Part, &BlobRef)> {
    let parts = folded.items.iter().flat_map(|item| item.asset.all_parts());
    parts.filter(move |(part, _)| part.pt_hash == hash)
}

fn open(store: &Store, part: &Part, blob: &BlobRef) -> Result<(Plain, Vec<u8>), StoreError> {
    let mut plain = Plain::open(store, blob, &part.key, part.len)?;
    let mut head = Vec::new();
    let wanted = u64::try_from(HEAD_BYTES).unwrap_or(u64::MAX);
    plain.by_ref().take(wanted).read_to_end(&mut head)?;
    Ok((plain, head))
}

fn answer(
    node: &Node,
    found: Found,
    asked: &Asked,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let (len, tag) = (found.plain.len(), format!("\"{}\"", found.hash));
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let known = text(header::IF_NONE_MATCH) == Some(&tag);
    let ranges = headers.get_all(header::RANGE).iter().count();
    let wanted = match ranges {
        0 => Wanted::Whole,
        1 => Wanted::of(
            Some(text(header::RANGE).unwrap_or_default()),
            text(header::IF_RANGE),
            &tag,
            len,
        ),
        _ => Wanted::Unsatisfiable,
    };
    let (status, from, count) = match wanted {
        _ if known => (StatusCode::NOT_MODIFIED, 0, 0),
        Wanted::Whole => (StatusCode::OK, 0, len),
        Wanted::Part(first, last) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Wanted::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let mut told = head(&found, asked.download.is_some(), &tag);
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {from}-{}/{len}", from + count - 1);
        told.push((header::CONTENT_RANGE, range));
    }
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        told.retain(|(name, _)| *name != header::CACHE_CONTROL);
        told.push((header::CONTENT_RANGE, format!("bytes */{len}")));
    }
    if status != StatusCode::NOT_MODIFIED {
        told.push((header::CONTENT_LENGTH, count.to_string()));
    }
    let body = match count == 0 || *method == Method::HEAD {
        true => Body::empty(),
        false => stream(node.clone(), found, from, count),
    };
    let mut response = (status, body).into_response();
    for (name, value) in told {
        let value = HeaderValue::from_str(&value).map_err(|_| Refusal::broken())?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

fn head(found: &Found, download: bool, tag: &str) -> Vec<(HeaderName, String)> {
    // What the bytes say decides; a name says only which raw format a TIFF is.
    let sniffed = MediaType::of(&found.head, "");
    let media = match sniffed {
        Some(media) if is_shown(media) => Some((media, true)),
        Some(media) if media.is_tiff_based() || media.is_raw() => {
            let named = MediaType::of(&found.head, &found.name);
            named
                .filter(|media| media.is_raw())
                .map(|media| (media, false))
        }
        _ => None,
    };
    let (mime, inline) = media.map_or(("application/octet-stream", false), |(media, inline)| {
        (media.mime(), inline)
    });
    let kind = if inline && !download {
        "inline"
    } else {
        "attachment"
    };
    vec![
        (header::CONTENT_TYPE, mime.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("{kind}; filename*=UTF-8''{}", encoded(&found.name)),
        ),
        (header::CONTENT_SECURITY_POLICY, MEDIA_CSP.to_owned()),
        (header::CACHE_CONTROL, IMMUTABLE.to_owned()),
        (header::ETAG, tag.to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
    ]
}

/// A safe name as RFC 5987 writes it.
fn encoded(name: &str) -> String {
    let mut text = String::new();
    for byte in export::safe_name(name).bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Decrypts on a thread that may block, as fast as the browser takes it.
fn stream(node: Node, found: Found, from: u64, count: u64) -> Body {
    let Found {
        mut plain, blob, ..
    } = found;
    let (pieces, taken) = mpsc::channel::<std::io::Result<Bytes>>(PIECES);
    tokio::task::spawn_blocking(move || {
        let mut left = count;
        let began = plain.seek(SeekFrom::Start(from));
        let mut failed = began.err();
        while left > 0 && failed.is_none() {
            let size = usize::try_from(left)
                .unwrap_or(PIECE_BYTES)
                .min(PIECE_BYTES);
            let mut piece = vec![0; size];
            match plain.read_exact(&mut piece) {
                Ok(()) if pieces.blocking_send(Ok(piece.into())).is_err() => return,
                Ok(()) => left = left.saturating_sub(u64::try_from(size).unwrap_or(u64::MAX)),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            // The answer breaks off: what is damaged is not handed out as whole.
            let is_damage = is_damage(&error);
            let _ = pieces.blocking_send(Err(error));
            if is_damage {
                note_damage(&node, &blob, &Damage::Blob { cid: blob.id }.into());
            }
        }
    });
    Body::from_stream(tokio_stream(taken))
}

fn tokio_stream<T: Send + 'static>(
    mut taken: mpsc::Receiver<T>,
) -> impl futures::Stream<Item = T> + Send {
    futures::stream::poll_fn(move |cx| taken.poll_recv(cx))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_header_harms_nobody() {
        for (name, told) in [
            ("IMG_1.jpg", "IMG_1.jpg"),
            ("a b\"c.jpg", "a%20b_c.jpg"),
            ("a\r\nSet-Cookie: x=y", "a__Set-Cookie_%20x%3Dy"),
            ("../../etc/passwd", "_.._._etc_passwd"),
            ("gpj\u{202e}exe.jpg", "gpj_exe.jpg"),
            ("\u{fc}.jpg", "%C3%BC.jpg"),
            ("", "unnamed"),
        ] {
            assert_eq!(encoded(name), told, "{name:?}");
        }
    }
}
