//! What a file is, told by its first bytes and, where those say nothing, by its extension.
//!
//! [`MediaType::of`] names the format; [`Take::decide`] says whether import takes the file.
//! Nothing here opens a file or looks further than the bytes it is given.

mod content;
mod take;

pub use self::take::{Take, is_junk_folder};

/// How many first bytes are enough for every format here.
pub const HEAD_BYTES: usize = 4096;

/// Still or moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaKind {
    /// A still picture.
    Photo,
    /// A movie.
    Video,
}

/// The formats that import takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names of formats say all there is to say")]
pub enum MediaType {
    Jpeg,
    Png,
    Gif,
    Webp,
    Tiff,
    Bmp,
    Heic,
    Avif,
    Jxl,
    Jp2,
    Psd,
    Dng,
    Cr2,
    Cr3,
    Nef,
    Arw,
    Raf,
    Orf,
    Rw2,
    Pef,
    Srw,
    OtherRaw,
    Mov,
    Mp4,
    ThreeGp,
    Webm,
    Mkv,
    Avi,
    Mpeg,
    MpegTs,
    Wmv,
    Flv,
    Ogv,
}

use MediaType as M;

/// One row a format: stable number, type, MIME type, extensions (the first is the usual one).
const TABLE: [(u8, MediaType, &str, &[&str]); 33] = [
    (
        1,
        M::Jpeg,
        "image/jpeg",
        &["jpg", "jpeg", "jpe", "jfif", "mpo", "insp", "thm"],
    ),
    (2, M::Png, "image/png", &["png", "apng"]),
    (3, M::Gif, "image/gif", &["gif"]),
    (4, M::Webp, "image/webp", &["webp"]),
    (5, M::Tiff, "image/tiff", &["tif", "tiff"]),
    (6, M::Bmp, "image/bmp", &["bmp", "dib"]),
    (
        7,
        M::Heic,
        "image/heic",
        &["heic", "heif", "hif", "heics", "heifs"],
    ),
    (8, M::Avif, "image/avif", &["avif", "avifs"]),
    (9, M::Jxl, "image/jxl", &["jxl"]),
    (10, M::Jp2, "image/jp2", &["jp2", "j2k", "jpf", "jpx"]),
    (11, M::Psd, "image/vnd.adobe.photoshop", &["psd", "psb"]),
    (20, M::Dng, "image/x-adobe-dng", &["dng"]),
    (21, M::Cr2, "image/x-canon-cr2", &["cr2"]),
    (22, M::Cr3, "image/x-canon-cr3", &["cr3"]),
    (23, M::Nef, "image/x-nikon-nef", &["nef", "nrw"]),
    (24, M::Arw, "image/x-sony-arw", &["arw", "sr2", "srf"]),
    (25, M::Raf, "image/x-fuji-raf", &["raf"]),
    (26, M::Orf, "image/x-olympus-orf", &["orf", "ori"]),
    (27, M::Rw2, "image/x-panasonic-rw2", &["rw2", "rwl"]),
    (28, M::Pef, "image/x-pentax-pef", &["pef", "ptx"]),
    (29, M::Srw, "image/x-samsung-srw", &["srw"]),
    (
        39,
        M::OtherRaw,
        "image/x-raw",
        &[
            "raw", "3fr", "fff", "iiq", "erf", "mef", "mos", "kdc", "dcr", "k25", "crw", "mrw",
            "x3f", "gpr", "cap",
        ],
    ),
    (40, M::Mov, "video/quicktime", &["mov", "qt"]),
    (
        41,
        M::Mp4,
        "video/mp4",
        &["mp4", "m4v", "insv", "lrv", "360", "mp"],
    ),
    (42, M::ThreeGp, "video/3gpp", &["3gp", "3g2", "3gpp"]),
    (43, M::Webm, "video/webm", &["webm"]),
    (44, M::Mkv, "video/x-matroska", &["mkv"]),
    (45, M::Avi, "video/x-msvideo", &["avi", "divx"]),
    (
        46,
        M::Mpeg,
        "video/mpeg",
        &["mpg", "mpeg", "mpe", "vob", "m2v", "mod", "tod"],
    ),
    (47, M::MpegTs, "video/mp2t", &["mts", "m2ts", "m2t", "ts"]),
    (48, M::Wmv, "video/x-ms-wmv", &["wmv", "asf"]),
    (49, M::Flv, "video/x-flv", &["flv", "f4v"]),
    (50, M::Ogv, "video/ogg", &["ogv"]),
];

impl MediaType {
    /// Names the format of a file that starts with `head` and is called `name`.
    ///
    /// What the content says wins; a raw format that looks like TIFF takes its name from the
    /// extension. Anyone can put any bytes behind any name: the answer is a claim to be tried.
    #[must_use]
    pub fn of(head: &[u8], name: &str) -> Option<Self> {
        let extension = Self::of_extension(name);
        content::sniff(head, extension).or(extension)
    }

    /// Names the format that the extension of `name` stands for.
    #[must_use]
    pub fn of_extension(name: &str) -> Option<Self> {
        let extension = extension(name)?;
        TABLE
            .iter()
            .find(|row| row.3.contains(&extension.as_str()))
            .map(|row| row.1)
    }

    /// Photo or movie.
    #[must_use]
    pub fn kind(self) -> MediaKind {
        if self.code() < 40 {
            MediaKind::Photo
        } else {
            MediaKind::Video
        }
    }

    /// The MIME type.
    #[must_use]
    pub fn mime(self) -> &'static str {
        self.row().2
    }

    /// The usual extension, without a dot.
    #[must_use]
    pub fn usual_extension(self) -> &'static str {
        self.row().3.first().copied().unwrap_or_default()
    }

    /// A stable number for records; photos are below 40.
    #[must_use]
    pub fn code(self) -> u8 {
        self.row().0
    }

    /// The format with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        TABLE.iter().find(|row| row.0 == code).map(|row| row.1)
    }

    /// Whether the file is a TIFF inside: raw formats mostly are.
    #[must_use]
    pub fn is_tiff_based(self) -> bool {
        matches!(
            self,
            Self::Tiff
                | Self::Dng
                | Self::Cr2
                | Self::Nef
                | Self::Arw
                | Self::Orf
                | Self::Rw2
                | Self::Pef
                | Self::Srw
                | Self::OtherRaw
        )
    }

    /// Whether it is a camera's raw format, shown by the JPEG it carries.
    #[must_use]
    pub fn is_raw(self) -> bool {
        (20..40).contains(&self.code())
    }

    fn row(self) -> &'static (u8, Self, &'static str, &'static [&'static str]) {
        TABLE
            .iter()
            .find(|row| row.1 == self)
            .expect("every type has a row: a test walks them")
    }
}

/// The extension in lower case, at most 8 characters, without what copies add behind it.
fn extension(name: &str) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    let usable = !stem.is_empty() && (1..=8).contains(&extension.len());
    // Takeout splits motion photos into `PXL.MP` and, on collision, `PXL.MP~2`.
    let bare = extension.split('~').next().unwrap_or_default();
    usable.then(|| bare.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_one_row_and_no_extension_stands_for_two() {
        let mut seen = std::collections::BTreeSet::new();
        for (code, media, mime, extensions) in TABLE {
            assert!(seen.insert(code.to_string()), "{code} twice");
            assert!(seen.insert(mime.to_owned()), "{mime} twice");
            assert_eq!(media.code(), code);
            assert_eq!(MediaType::from_code(code), Some(media));
            assert_eq!(media.mime().starts_with("image/"), code < 40);
            for e in extensions {
                assert!(seen.insert((*e).to_owned()), "{e} twice");
                assert_eq!(MediaType::of_extension(&format!("a.{e}")), Some(media));
            }
        }
    }

    #[test]
    fn extensions_are_read_as_people_write_them() {
        for (name, media) in [
            ("IMG.JPG", Some(M::Jpeg)),
            ("a.b.HeIc", Some(M::Heic)),
            ("PXL_1.MP~2", Some(M::Mp4)),
            ("jpg", None),
            (".jpg", None),
            ("a.", None),
            ("a.jpg.exe", None),
        ] {
            assert_eq!(MediaType::of_extension(name), media, "{name}");
        }
    }

    #[test]
    fn content_beats_the_name() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        assert_eq!(MediaType::of(png, "photo.jpg"), Some(M::Png));
        assert_eq!(MediaType::of(png, "notes.txt"), Some(M::Png));
        assert_eq!(MediaType::of(b"hello", "photo.jpg"), Some(M::Jpeg));
        assert_eq!(MediaType::of(b"hello", "notes.txt"), None);
    }
}
