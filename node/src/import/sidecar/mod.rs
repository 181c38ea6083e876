//! What stands in a file beside a photo: words, times and places that other programs wrote there.
//!
//! [`read`] takes foreign bytes and believes nothing: sizes, depths and strings are bounded, what
//! makes no sense is left out. Nothing here decides over a person's word: what somebody said of a photo in
//! the family stays, a sidecar fills in what nobody has said.

pub(super) mod folder;
mod json;
mod names;
#[cfg(test)]
mod tests;

use heirloom_protocol::{
    album::asset::Asset,
    id::{OpId, PersonId},
    limits,
    op::{AddItem, Captured, Field, Op, Place, SetField, Tag},
    wire,
};

use super::metadata::{self, CaptureSource, Stamp, WallTime, recover_offset, xmp};
use crate::media::sniff::MediaType;

/// The largest sidecar that is read; those of Takeout have one or two thousand bytes.
pub(super) const MAX_BYTES: u64 = 1 << 20;
/// Tags kept of one sidecar.
const MAX_TAGS: usize = 100;
/// Albums kept of one sidecar.
const MAX_ALBUMS: usize = 100;
/// Clocks of a camera and of Google differ by less, unless somebody put the time right.
const DAY_MS: i64 = 86_400_000;
/// Takeout's times are whole seconds.
const TAKEOUT_SLACK_MS: i64 = 1000;
/// How far two places may lie apart, in ten millionths of a degree, to be one: some ten metres.
const SAME_PLACE_E7: i32 = 1000;

/// What a sidecar says of one photo. Everything may be unknown.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Said {
    /// What the file was called.
    pub title: Option<String>,
    /// Takeout's photoTakenTime, Unix milliseconds.
    pub instant: Option<i64>,
    /// When it was taken, and by whose word where the sidecar says so.
    pub taken: Option<(Stamp, Option<CaptureSource>)>,
    /// Where.
    pub place: Option<metadata::Place>,
    /// What a person wrote, at most `TEXT_BYTES`.
    pub caption: Option<String>,
    /// A favourite of whoever exported it.
    pub favorite: bool,
    /// Stars, 0 to 5.
    pub rating: Option<u8>,
    /// Tags, each of 1 to `TAG_BYTES`.
    pub tags: Vec<String>,
    /// Names of the albums that it was in.
    pub albums: Vec<String>,
    /// It lay in the trash.
    pub trashed: bool,
}

/// What a sidecar is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Sidecar {
    /// A photo.
    Photo(Box<Said>),
    /// The folder that it lies in, which is an album of this name.
    Album(String),
    /// Nothing that is understood.
    Nothing,
}

/// Reads a file of this name, which lies beside photos; `bytes` is the whole of it, at most a MiB.
#[must_use]
pub fn read(name: &str, bytes: &[u8]) -> Sidecar {
    if bytes.len() > usize::try_from(MAX_BYTES).unwrap_or(usize::MAX) {
        return Sidecar::Nothing;
    }
    match ending(name).as_str() {
        "json" => json::parse(bytes),
        "xmp" => of_xmp(bytes).map_or(Sidecar::Nothing, |said| Sidecar::Photo(Box::new(said))),
        _ => Sidecar::Nothing,
    }
}

/// How many of the files of a folder have a sidecar, by their names alone; for the fuzz targets.
pub(crate) fn matched<'a>(all: impl Iterator<Item = &'a str>) -> usize {
    let (sidecars, media): (Vec<String>, Vec<String>) =
        all.map(str::to_owned).partition(|name| is_named_so(name));
    let titles: Vec<_> = sidecars.iter().map(|name| Some(name.clone())).collect();
    let by_json = names::json(&media, &sidecars, &titles);
    let by_xmp = names::xmp(&media, &sidecars);
    by_json.len() + by_xmp.len()
}

/// Whether a file of this name may be a sidecar that is understood.
pub(super) fn is_named_so(name: &str) -> bool {
    matches!(ending(name).as_str(), "json" | "xmp")
}

fn ending(name: &str) -> String {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    ending.unwrap_or_default().to_ascii_lowercase()
}

fn of_xmp(bytes: &[u8]) -> Option<Said> {
    let text = text(bytes);
    let text = text.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']);
    // A picture under a sidecar's name has XMP inside, and is a picture.
    if !text.starts_with('<') {
        return None;
    }
    let xmp = xmp::parse(text.as_bytes());
    Some(Said {
        taken: xmp.taken.map(|stamp| (stamp, None)),
        place: xmp.place,
        caption: xmp.description.or(xmp.title).and_then(|text| words(&text)),
        rating: xmp.rating.and_then(|stars| u8::try_from(stars).ok()),
        tags: tags(xmp.tags.iter().map(String::as_str)),
        ..Said::default()
    })
}

/// Text in UTF-8, or in UTF-16 with a mark.
fn text(bytes: &[u8]) -> String {
    let wide = |unit: fn([u8; 2]) -> u16| {
        let units = bytes[2..]
            .chunks_exact(2)
            .map(|pair| unit([pair[0], pair[1]]));
        char::decode_utf16(units)
            .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    };
    match bytes {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// A caption: no control characters but the end of a line, at most `TEXT_BYTES`, not empty.
fn words(text: &str) -> Option<String> {
    let mut text: String = text
        .trim()
        .chars()
        .filter(|c| !c.is_control() || *c == '\n')
        .collect();
    let mut end = text.len().min(limits::TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    (!text.is_empty()).then_some(text)
}

/// Tags that may be written: cleaned, none too long, none twice.
fn tags<'a>(found: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for tag in found.filter_map(metadata::clean) {
        if tag.len() <= limits::TAG_BYTES && !tags.contains(&tag) && tags.len() < MAX_TAGS {
            tags.push(tag);
        }
    }
    tags
}

impl Said {
    /// Both together; `self` decides where both say something.
    fn or(self, other: Self) -> Self {
        let list = |mine: Vec<String>, theirs: Vec<String>| {
            if mine.is_empty() { theirs } else { mine }
        };
        Self {
            title: self.title.or(other.title),
            instant: self.instant.or(other.instant),
            taken: self.taken.or(other.taken),
            place: self.place.or(other.place),
            caption: self.caption.or(other.caption),
            favorite: self.favorite || other.favorite,
            rating: self.rating.or(other.rating),
            tags: list(self.tags, other.tags),
            albums: list(self.albums, other.albums),
            trashed: self.trashed || other.trashed,
        }
    }

    /// What of it is also true of an edited copy, or of the movie of a live photo.
    fn of_companion(self) -> Self {
        Self {
            title: None,
            favorite: false,
            rating: None,
            ..self
        }
    }

    /// When a photo was taken of which the camera, or its name, says this.
    pub(super) fn captured(&self, camera: Captured) -> Captured {
        if let Some((stamp, source)) = self.taken {
            return settled(camera, stamp, source);
        }
        let Some(utc) = self.instant else {
            return camera;
        };
        let is_better = (1..CaptureSource::Takeout.code()).contains(&camera.source);
        let zone = camera.offset.or_else(|| zone_of(camera.wall?, utc));
        // Of an unknown zone this is off by up to half a day, which changes nothing.
        let east = i64::from(zone.unwrap_or(0)) * 60_000;
        let agrees = camera
            .wall
            .is_some_and(|wall| wall.saturating_sub(east).abs_diff(utc) <= DAY_MS.unsigned_abs());
        if is_better && agrees {
            return Captured {
                offset: zone,
                ..camera
            };
        }
        let zone = zone.filter(|_| agrees).unwrap_or(0);
        Captured {
            wall: Some(utc.saturating_add(i64::from(zone) * 60_000)),
            offset: Some(zone),
            source: CaptureSource::Takeout.code(),
        }
    }

    /// What a file was called before a program cut or numbered its name: of the same kind, and a name alone.
    pub(super) fn name_of(&self, file: &str) -> Option<String> {
        let title = self.title.as_deref()?;
        let title = title.rsplit(['/', '\\']).next().unwrap_or_default();
        let kind = MediaType::of_extension(file);
        let is_name = title.len() <= limits::FILE_NAME_BYTES && !title.starts_with('.');
        (is_name && kind.is_some() && MediaType::of_extension(title) == kind)
            .then(|| title.to_owned())
    }

    fn place(&self, camera: Option<Place>) -> Option<Place> {
        let Some(said) = self.place else {
            return camera;
        };
        let said = super::prepare::place_of(said);
        let is_near = |a: i32, b: i32| a.abs_diff(b) <= SAME_PLACE_E7.unsigned_abs();
        // The camera's is finer, and has a height.
        let same = camera.filter(|camera| {
            is_near(camera.lat_e7, said.lat_e7) && is_near(camera.lon_e7, said.lon_e7)
        });
        same.or(Some(said))
    }

    /// Tells it of an item that is to be added.
    pub(super) fn tell(&self, item: &mut AddItem) {
        item.captured = self.captured(item.captured);
        item.place = self.place(item.place);
    }

    /// What is to be said once the item is there: of `asset`, what nobody has said of it so far.
    pub(super) fn ops(&self, item: OpId, asset: Option<(&Asset, Option<PersonId>)>) -> Vec<Op> {
        let mut ops = Vec::new();
        let mut set = |field: Field, value: Vec<u8>| {
            let known = asset.is_some_and(|(asset, me)| match field {
                Field::Favorite => me.is_none_or(|me| asset.own_field(field, me).is_some()),
                _ => asset.field(field).is_some(),
            });
            if !known {
                let field = field.code();
                ops.push(Op::SetField(SetField { item, field, value }));
            }
        };
        if let Some(caption) = &self.caption {
            set(Field::Caption, caption.clone().into_bytes());
        }
        if self.favorite {
            set(Field::Favorite, vec![1]);
        }
        if let Some(rating) = self.rating {
            set(Field::Rating, vec![rating]);
        }
        if let Some(there) = asset.and_then(|(asset, _)| asset.added.as_ref()) {
            let there = &there.item;
            let captured = self.captured(there.captured);
            if captured != there.captured {
                set(Field::Taken, wire::encode(&captured));
            }
            match self.place(there.place) {
                Some(place) if Some(place) != there.place => {
                    set(Field::Place, wire::encode(&place));
                }
                _ => {}
            }
        }
        let is_new = |tag: &&String| {
            // One that somebody took away stays away.
            asset.is_none_or(|(asset, _)| !asset.tags.iter().any(|known| known.tag == **tag))
        };
        let tags = self.tags.iter().filter(is_new).cloned();
        ops.extend(tags.map(|tag| Op::Tag(Tag { item, tag })));
        ops
    }
}

/// A sidecar's own time, over the camera's, whose milliseconds and zone stay where both show the same second.
fn settled(camera: Captured, stamp: Stamp, source: Option<CaptureSource>) -> Captured {
    let wall = stamp.wall.unix_millis();
    let same = camera
        .wall
        .filter(|camera| camera.div_euclid(1000) == wall.div_euclid(1000));
    let code = source.map_or(CaptureSource::Sidecar.code(), CaptureSource::code);
    match same {
        Some(wall) => Captured {
            wall: Some(wall),
            offset: stamp.offset.or(camera.offset),
            source: source.map_or(camera.source, |_| code),
        },
        None => Captured {
            wall: Some(wall),
            offset: stamp.offset,
            source: code,
        },
    }
}

/// The zone in which the wall showed this at that instant.
fn zone_of(wall: i64, utc: i64) -> Option<i16> {
    let wall = WallTime::from_unix_millis(wall)?;
    // A bare date counts as noon, which says nothing of a zone.
    let is_bare = wall.time() == (12, 0, 0) && wall.millis() == 0;
    (!is_bare)
        .then(|| recover_offset(&wall, utc, TAKEOUT_SLACK_MS))
        .flatten()
}
