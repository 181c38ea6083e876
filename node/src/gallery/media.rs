//! Thumbnails and previews, decrypted as they are asked for.

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use heirloom_protocol::crypto::Class;

use super::{
    Gallery, guard::MEDIA_CSP, hurt::note_damage, item_of, refusal::Refusal, shelf::Shelf,
};
use crate::{
    catalog::{Item, read_like},
    media::MediaType,
    original::Plain,
    runtime::AssetKey,
    store::StoreError,
};

/// Largest picture that is read as a whole; ours are far smaller.
const PICTURE_BYTES: u64 = 16 * 1024 * 1024;

/// A made picture with the name of its content.
struct Picture {
    bytes: Vec<u8>,
    tag: String,
}

/// `GET /thumb/{id}`.
pub(super) async fn thumb(
    State(gallery): State<Gallery>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    picture(gallery, id, headers, Class::Thumbnail).await
}

/// `GET /preview/{id}`.
pub(super) async fn preview(
    State(gallery): State<Gallery>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    picture(gallery, id, headers, Class::Preview).await
}

async fn picture(
    gallery: Gallery,
    id: String,
    headers: HeaderMap,
    class: Class,
) -> Result<Response, Refusal> {
    let shelf = gallery.shelf().await?;
    // What may not be seen is not on the shelf: the same as what is not there.
    let key = item_of(&id).and_then(|item| shelf.item(item));
    let key = key.ok_or_else(Refusal::not_found)?;
    let node = shelf.node().clone();
    let found = node.blocking(move || read(&shelf, key, class)).await??;
    let Picture { bytes, tag } = found.ok_or_else(Refusal::not_found)?;
    let media = MediaType::of(&bytes, "").filter(|media| is_shown(*media));
    let media = media.ok_or_else(Refusal::damaged)?;
    let known = headers.get(header::IF_NONE_MATCH);
    let is_known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Body::from(bytes).into_response(),
    };
    let told = response.headers_mut();
    told.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.mime()));
    told.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(MEDIA_CSP),
    );
    told.insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    told.insert(
        header::ETAG,
        HeaderValue::from_str(&tag).map_err(|_| Refusal::broken())?,
    );
    Ok(response)
}

/// Bytes under an id stay what they are.
pub(super) const IMMUTABLE: &str = "private, max-age=31536000, immutable";

/// Whether browsers show a format, and nothing in it can run.
pub(super) fn is_shown(media: MediaType) -> bool {
    use MediaType as M;
    matches!(
        media,
        M::Jpeg | M::Png | M::Gif | M::Webp | M::Avif | M::Heic | M::Mp4 | M::Mov | M::Webm
    )
}

fn read(shelf: &Shelf, key: AssetKey, class: Class) -> Result<Option<Picture>, StoreError> {
    let store = shelf.node().store();
    let own = Item {
        key,
        asset: key.load(store)?,
    };
    if let Some(found) = of_item(shelf, &own, class)? {
        return Ok(Some(found));
    }
    // The same photo in another album may have what this one lacks.
    let Some(folded) = read_like(store, &shelf.view(), key)? else {
        return Ok(None);
    };
    for item in &folded.items {
        if let Some(found) = of_item(shelf, item, class)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn of_item(shelf: &Shelf, item: &Item, class: Class) -> Result<Option<Picture>, StoreError> {
    let store = shelf.node().store();
    let Some(made) = item.asset.shown_blob(0, class.code()) else {
        return Ok(None);
    };
    if !crate::catalog::is_here(store, &made.blob)? || made.made.len > PICTURE_BYTES {
        return Ok(None);
    }
    let opened = Plain::open(store, &made.blob, &made.made.key, made.made.len);
    let read = opened.and_then(|mut plain| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut plain, &mut bytes)?;
        Ok(bytes)
    });
    if let Err(error) = &read {
        note_damage(shelf.node(), &made.blob, error);
    }
    let (bytes, tag) = (read?, format!("\"{}\"", made.made.pt_hash));
    Ok(Some(Picture { bytes, tag }))
}
