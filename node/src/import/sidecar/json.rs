//! Sidecars in JSON: those of Google Takeout, of programs that write them alike, and of our own export.

use serde_json::Value;

use super::{MAX_ALBUMS, Said, Sidecar, tags, words};
use crate::import::metadata::{self, CaptureSource, Place, Stamp, WallTime};

/// What tells an album's file from any other with a title.
const OF_ALBUMS: [&str; 5] = [
    "albumData",
    "access",
    "date",
    "enrichments",
    "sharedAlbumComments",
];

/// What a file says; what is no JSON, or is about something else, says nothing.
pub(super) fn parse(bytes: &[u8]) -> Sidecar {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Ok(said) = serde_json::from_slice::<Value>(bytes) else {
        return Sidecar::Nothing;
    };
    let is_photo = said["photoTakenTime"].is_object() || said["heirloom"].is_object();
    if is_photo {
        return Sidecar::Photo(Box::new(photo(&said)));
    }
    let is_album = OF_ALBUMS.iter().any(|field| !said[*field].is_null());
    let title = text(&said["title"]).or_else(|| text(&said["albumData"]["title"]));
    match title.filter(|_| is_album) {
        Some(title) => Sidecar::Album(title),
        None => Sidecar::Nothing,
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().and_then(metadata::clean)
}

fn photo(said: &Value) -> Said {
    let own = &said["heirloom"];
    let caption = |field: &str| said[field].as_str().and_then(words);
    let list = |field: &str| own[field].as_array().into_iter().flatten();
    let rating = own["rating"].as_u64().filter(|stars| *stars <= 5);
    Said {
        title: text(&said["title"]),
        instant: instant(&said["photoTakenTime"]["timestamp"]),
        taken: taken(own),
        place: place(&said["geoData"]).or_else(|| place(&said["geoDataExif"])),
        caption: caption("description").or_else(|| caption("caption")),
        favorite: said["favorited"] == true,
        rating: rating.and_then(|stars| u8::try_from(stars).ok()),
        tags: tags(list("tags").filter_map(Value::as_str)),
        albums: list("albums").filter_map(text).take(MAX_ALBUMS).collect(),
        trashed: said["trashed"] == true,
    }
}

/// Seconds since 1970, in digits or as a number; 0 is how an unknown time is written.
fn instant(timestamp: &Value) -> Option<i64> {
    let seconds: i64 = match timestamp {
        Value::String(digits) => digits.trim().parse().ok()?,
        number => number.as_i64()?,
    };
    let millis = seconds.checked_mul(1000).filter(|millis| *millis != 0)?;
    WallTime::from_unix_millis(millis).map(|_| millis)
}

/// What our own export says of the time, which is what the family had settled on.
fn taken(own: &Value) -> Option<(Stamp, Option<CaptureSource>)> {
    let wall = Stamp::parse(own["wall"].as_str()?)?.wall;
    let offset = own["offset"]
        .as_str()
        .and_then(metadata::time::parse_offset);
    let source = own["taken_source"].as_str();
    let source = source.and_then(CaptureSource::from_name);
    Some((Stamp { wall, offset }, source))
}

fn place(geo: &Value) -> Option<Place> {
    let number = |field: &str| geo[field].as_f64();
    let height = number("altitude").filter(|metres| *metres != 0.0);
    Place::new(number("latitude")?, number("longitude")?, height)
}
