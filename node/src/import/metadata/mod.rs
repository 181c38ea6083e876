//! What a photo or movie says about itself: when, where, which way up, which camera.
//!
//! [`read`] takes foreign bytes and believes nothing: every string is cleaned and capped, every
//! number has a range, what makes no sense is unknown. It reads a few kilobytes of a file of any
//! size. It decodes no pictures, reads no sidecars beside the file (but [`xmp`] and [`name`] help
//! those who do) and knows no clock or zone of this machine.

pub(crate) mod bmff;
mod container;
pub(crate) mod exif;
mod heif;
mod jpeg;
mod jxl;
mod matroska;
mod movie;
pub mod name;
mod png;
#[cfg(test)]
mod tests;
mod tiff;
pub mod time;
pub mod xmp;

use serde::{Deserialize, Serialize};

pub(crate) use self::tiff::{Entry, Tiff};
pub use self::time::{Stamp, WallTime, recover_offset};
use crate::media::sniff::MediaType;
use crate::media::source::{ReadSeek, Source};

/// Bytes of a file that reading its metadata may take, hops and read-ahead included.
const READ_BUDGET: u64 = 8 << 20;
/// The longest string kept, in bytes.
pub const MAX_TEXT_BYTES: usize = 256;
/// The longest side believed, in pixels; larger claims are unknown.
pub const MAX_SIDE: u32 = 1_000_000;
/// A GPS fix is up to this much older than the picture.
const GPS_SLACK_MS: i64 = 90_000;
/// No zone is further from the sun than this: Xinjiang lives by Beijing's clock, 3.2 hours off.
const MAX_FROM_SUN_MINUTES: f64 = 240.0;

/// Where a time of capture is from, best first.
///
/// The numbers are stable: they are written into the family's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum CaptureSource {
    /// A person said so.
    Edit = 1,
    /// An XMP sidecar beside the file.
    Sidecar = 2,
    /// EXIF DateTimeOriginal.
    Exif = 3,
    /// A movie's creation date with its zone (QuickTime keys, user data).
    Movie = 4,
    /// Google Takeout's photoTakenTime.
    Takeout = 5,
    /// EXIF DateTimeDigitized, or a date in embedded XMP.
    Digitized = 6,
    /// A movie header's creation time, in UTC.
    MovieHeader = 7,
    /// The file's name.
    FileName = 8,
    /// EXIF DateTime: when the file was last written by a program that knows EXIF.
    Modified = 9,
    /// The file's time of modification: a guess.
    FileTime = 10,
}

impl CaptureSource {
    const ALL: [Self; 10] = [
        Self::Edit,
        Self::Sidecar,
        Self::Exif,
        Self::Movie,
        Self::Takeout,
        Self::Digitized,
        Self::MovieHeader,
        Self::FileName,
        Self::Modified,
        Self::FileTime,
    ];

    /// The stable number; smaller is better.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Edit => 1,
            Self::Sidecar => 2,
            Self::Exif => 3,
            Self::Movie => 4,
            Self::Takeout => 5,
            Self::Digitized => 6,
            Self::MovieHeader => 7,
            Self::FileName => 8,
            Self::Modified => 9,
            Self::FileTime => 10,
        }
    }

    /// The source with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.code() == code)
    }

    /// The source with this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }

    /// The word of `taken_source` in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Sidecar => "sidecar",
            Self::Exif => "exif",
            Self::Movie => "movie",
            Self::Takeout => "takeout",
            Self::Digitized => "digitized",
            Self::MovieHeader => "movie-header",
            Self::FileName => "filename",
            Self::Modified => "modified",
            Self::FileTime => "file",
        }
    }

    /// How far to trust it.
    #[must_use]
    pub fn confidence(self) -> Confidence {
        match self {
            Self::Edit | Self::Sidecar | Self::Exif | Self::Movie | Self::Takeout => {
                Confidence::Sure
            }
            Self::Digitized | Self::MovieHeader | Self::FileName => Confidence::Likely,
            Self::Modified | Self::FileTime => Confidence::Guess,
        }
    }
}

impl From<CaptureSource> for u8 {
    fn from(source: CaptureSource) -> Self {
        source.code()
    }
}

impl TryFrom<u8> for CaptureSource {
    type Error = &'static str;

    fn try_from(code: u8) -> Result<Self, Self::Error> {
        Self::from_code(code).ok_or("no such source of time")
    }
}

/// How far a time of capture is to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Written for this purpose by the camera or a person.
    Sure,
    /// Right for nearly all files.
    Likely,
    /// Shown with a `~`.
    Guess,
}

/// A time of capture: the wall clock, its zone where known, and where both are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// What the clock on the wall showed.
    pub wall: WallTime,
    /// Minutes east of UTC; unknown far more often than not.
    pub offset_minutes: Option<i16>,
    /// Where the wall time is from.
    pub source: CaptureSource,
}

/// A place on earth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Degrees north, -90 to 90.
    pub lat: f64,
    /// Degrees east, -180 to 180.
    pub lon: f64,
    /// Metres above the sea.
    pub alt: Option<f64>,
}

impl Place {
    /// Accepts a place that can be one; exactly 0/0 is how cameras write "unknown".
    #[must_use]
    pub fn new(lat: f64, lon: f64, alt: Option<f64>) -> Option<Self> {
        let known = (-90.0..=90.0).contains(&lat)
            && (-180.0..=180.0).contains(&lon)
            && (lat != 0.0 || lon != 0.0);
        known.then_some(Self {
            lat,
            lon,
            alt: alt.filter(|a| (-12_000.0..=100_000.0).contains(a)),
        })
    }
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl Size {
    /// Accepts sides of 1 to [`MAX_SIDE`] pixels.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Option<Self> {
        let side = 1..=MAX_SIDE;
        (side.contains(&width) && side.contains(&height)).then_some(Self { width, height })
    }

    /// The size after turning by an EXIF orientation.
    #[must_use]
    pub fn turned(self, orientation: u8) -> Self {
        if orientation >= 5 {
            Self {
                width: self.height,
                height: self.width,
            }
        } else {
            self
        }
    }
}

/// What a file says about itself. Everything may be unknown.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// When it was taken.
    pub capture: Option<Capture>,
    /// Where it was taken.
    pub place: Option<Place>,
    /// How the coded picture must be turned to be shown, 1 to 8 as in EXIF. For HEIF and movies
    /// this is the container's turn; what their EXIF says is only a copy of it.
    pub orientation: Orientation,
    /// Make and model of the camera; either may be empty, not both.
    pub camera: Option<(String, String)>,
    /// The coded picture.
    pub stored: Option<Size>,
    /// What a person sees.
    pub shown: Option<Size>,
    /// Apple's content identifier: a still and a movie with the same one are one live photo.
    pub live_id: Option<String>,
    /// The still says that it holds a movie.
    pub motion: bool,
    /// Stars, -1 (rejected) to 5.
    pub rating: Option<i8>,
    /// How long the movie plays.
    pub duration_ms: Option<u64>,
}

/// An EXIF orientation that is one of the eight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub struct Orientation(u8);

impl Orientation {
    /// As it is.
    pub const UPRIGHT: Self = Self(1);

    /// Accepts 1 to 8; 0 and all else mean upright, as every viewer takes them.
    #[must_use]
    pub fn new(code: u64) -> Self {
        u8::try_from(code)
            .ok()
            .filter(|c| (1..=8).contains(c))
            .map_or(Self::UPRIGHT, Self)
    }

    /// The number, 1 to 8.
    #[must_use]
    pub fn code(self) -> u8 {
        self.0
    }
}

impl Default for Orientation {
    fn default() -> Self {
        Self::UPRIGHT
    }
}

impl From<Orientation> for u8 {
    fn from(orientation: Orientation) -> Self {
        orientation.0
    }
}

impl TryFrom<u8> for Orientation {
    type Error = &'static str;

    fn try_from(code: u8) -> Result<Self, Self::Error> {
        let orientation = Self::new(u64::from(code));
        (orientation.0 == code)
            .then_some(orientation)
            .ok_or("no such orientation")
    }
}

/// Reads what `size` bytes of a media file say about themselves.
///
/// Never fails: what cannot be read or believed is left unknown. Reads at most 8 MiB, mostly a
/// few kilobytes, wherever in the file they are. Meant to run inside the worker process.
pub fn read(reader: &mut dyn ReadSeek, media: MediaType, size: u64) -> Metadata {
    let mut source = Source::new(reader, size, READ_BUDGET);
    let mut found = Found::default();
    match media {
        MediaType::Jpeg => jpeg::read(&mut source, &mut found),
        MediaType::Png => png::read(&mut source, &mut found),
        MediaType::Gif | MediaType::Bmp | MediaType::Webp | MediaType::Avi => {
            container::read(&mut source, media, &mut found);
        }
        MediaType::Heic | MediaType::Avif => heif::read(&mut source, &mut found),
        MediaType::Jxl => jxl::read(&mut source, &mut found),
        MediaType::Mov | MediaType::Mp4 | MediaType::ThreeGp => {
            movie::read(&mut source, &mut found);
        }
        MediaType::Cr3 => {
            movie::read(&mut source, &mut found);
            // Built like a movie, but none.
            found.duration_ms = None;
        }
        MediaType::Webm | MediaType::Mkv => matroska::read(&mut source, &mut found),
        MediaType::Raf => container::read_raf(&mut source, &mut found),
        _ if media.is_tiff_based() => exif::read_file(&mut source, &mut found),
        _ => {}
    }
    found.settle()
}

impl Metadata {
    /// The same with every claim held against its range and every string cleaned again.
    ///
    /// For a receiver that does not trust whoever ran [`read`], such as the parent of a worker.
    #[must_use]
    pub fn checked(self) -> Self {
        let size = |s: Option<Size>| s.and_then(|s| Size::new(s.width, s.height));
        Self {
            capture: self.capture.map(|c| Capture {
                offset_minutes: c
                    .offset_minutes
                    .and_then(|m| time::checked_offset(i64::from(m))),
                ..c
            }),
            place: self.place.and_then(|p| Place::new(p.lat, p.lon, p.alt)),
            orientation: self.orientation,
            camera: self
                .camera
                .and_then(|(make, model)| camera(clean(&make), clean(&model))),
            stored: size(self.stored),
            shown: size(self.shown),
            live_id: self.live_id.as_deref().and_then(clean),
            motion: self.motion,
            rating: self.rating.filter(|r| (-1..=5).contains(r)),
            duration_ms: self.duration_ms.filter(|d| *d <= MAX_DURATION_MS),
        }
    }
}

/// A month: longer movies are a wrong header.
const MAX_DURATION_MS: u64 = 31 * 86_400_000;

/// What readers of containers found, before the best of it is chosen.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) original: Option<Stamp>,
    pub(crate) movie: Option<Stamp>,
    pub(crate) digitized: Option<Stamp>,
    pub(crate) xmp: Option<Stamp>,
    pub(crate) movie_header: Option<WallTime>,
    pub(crate) modified: Option<Stamp>,
    pub(crate) gps_utc_ms: Option<i64>,
    pub(crate) place: Option<Place>,
    pub(crate) exif_orientation: Option<Orientation>,
    pub(crate) container_turn: Option<Orientation>,
    pub(crate) make: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) stored: Option<Size>,
    /// What is left of `stored` after the container's crop, before its turn.
    pub(crate) cropped: Option<Size>,
    pub(crate) live_id: Option<String>,
    pub(crate) motion: bool,
    pub(crate) rating: Option<i8>,
    pub(crate) duration_ms: Option<u64>,
}

impl Found {
    fn settle(self) -> Metadata {
        let orientation = self
            .container_turn
            .or(self.exif_orientation)
            .unwrap_or_default();
        Metadata {
            capture: self.capture(),
            place: self.place,
            orientation,
            camera: camera(self.make, self.model),
            stored: self.stored,
            shown: self
                .cropped
                .or(self.stored)
                .map(|s| s.turned(orientation.code())),
            live_id: self.live_id,
            motion: self.motion,
            rating: self.rating,
            duration_ms: self.duration_ms.filter(|d| *d <= MAX_DURATION_MS),
        }
    }

    fn capture(&self) -> Option<Capture> {
        let header = self.movie_header.map(|wall| Stamp {
            wall,
            offset: Some(0),
        });
        let (stamp, source) = [
            (self.original, CaptureSource::Exif),
            (self.movie, CaptureSource::Movie),
            (self.digitized, CaptureSource::Digitized),
            (self.xmp, CaptureSource::Digitized),
            (header, CaptureSource::MovieHeader),
            (self.modified, CaptureSource::Modified),
        ]
        .into_iter()
        .find_map(|(stamp, source)| Some((stamp?, source)))?;
        Some(Capture {
            wall: stamp.wall,
            offset_minutes: stamp.offset.or_else(|| self.offset_by_gps(&stamp.wall)),
            source,
        })
    }

    fn offset_by_gps(&self, wall: &WallTime) -> Option<i16> {
        let offset = recover_offset(wall, self.gps_utc_ms?, GPS_SLACK_MS)?;
        // A stale fix lands on a quarter of an hour once in five times; where the sun stands
        // tells most of those apart.
        let by_sun = self.place.map(|p| p.lon * 4.0);
        let far = by_sun.is_some_and(|sun| (f64::from(offset) - sun).abs() > MAX_FROM_SUN_MINUTES);
        (!far).then_some(offset)
    }
}

fn camera(make: Option<String>, model: Option<String>) -> Option<(String, String)> {
    if make.is_none() && model.is_none() {
        return None;
    }
    Some((make.unwrap_or_default(), model.unwrap_or_default()))
}

/// Cleans a foreign string: up to the first NUL, no control characters, trimmed, at most
/// [`MAX_TEXT_BYTES`] bytes; `None` when nothing is left. What is clean stays as it is.
pub(crate) fn clean(text: &str) -> Option<String> {
    let text = text.split('\0').next().unwrap_or_default();
    let mut out = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if out.is_empty() && c.is_whitespace() {
            continue;
        }
        if out.len() + c.len_utf8() > MAX_TEXT_BYTES {
            break;
        }
        out.push(c);
    }
    out.truncate(out.trim_end().len());
    (!out.is_empty()).then_some(out)
}

/// Cleans foreign bytes; what is not UTF-8 is read as Latin-1, as old cameras write it.
pub(crate) fn clean_bytes(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.split(|b| *b == 0).next().unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) => clean(text),
        Err(_) => clean(&bytes.iter().map(|b| char::from(*b)).collect::<String>()),
    }
}
