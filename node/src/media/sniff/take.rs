//! What import takes: everything that could be a photo or a movie, broken ones too.
//!
//! The one mistake that must not happen is to leave a photo behind, so content and extension
//! each suffice. What is not taken gets a reason that a person can read.

use super::{MediaType, extension};

/// What import does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// Its content or its extension says that it is a photo or a movie.
    Media(MediaType),
    /// It says something about a photo beside it (JSON, XMP, AAE ...).
    Sidecar,
    /// Programs leave it in folders: catalogs, thumbnails, settings.
    Junk,
    /// Words, not pictures.
    Text,
    /// No bytes at all, whatever its name.
    Empty,
    /// Neither photo nor movie.
    Unsupported,
}

impl Take {
    /// Decides by the name without its folder, the size, and the first bytes (up to
    /// [`HEAD_BYTES`](super::HEAD_BYTES); fewer only if the file has no more).
    #[must_use]
    pub fn decide(name: &str, size: u64, head: &[u8]) -> Self {
        if size == 0 {
            return Self::Empty;
        }
        if is_junk_thumbnail(name) {
            return Self::Junk;
        }
        let by_content = super::content::sniff(head, MediaType::of_extension(name));
        if let Some(media) = by_content {
            return Self::Media(media);
        }
        if is_junk(name) {
            return Self::Junk;
        }
        let extension = extension(name).unwrap_or_default();
        if is_sidecar(&extension) {
            return Self::Sidecar;
        }
        match MediaType::of_extension(name) {
            // TypeScript, and modules of sound trackers: too common beside photos to be taken
            // for movies by their name alone.
            Some(MediaType::MpegTs | MediaType::Mpeg) if is_text(head) => Self::Text,
            Some(media) => Self::Media(media),
            None if is_text(head) => Self::Text,
            None => Self::Unsupported,
        }
    }

    /// Why import skips it; `None` for what it takes.
    #[must_use]
    pub fn reason(self) -> Option<&'static str> {
        Some(match self {
            Self::Media(_) => return None,
            Self::Sidecar => "sidecar",
            Self::Junk => "folder junk",
            Self::Text => "text",
            Self::Empty => "empty file",
            Self::Unsupported => "not a photo or a movie",
        })
    }
}

/// Whether a folder of this name holds only what programs made from the photos beside it.
#[must_use]
pub fn is_junk_folder(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "@eadir",
        "@__thumb",
        "#recycle",
        ".spotlight-v100",
        ".trashes",
        ".fseventsd",
        ".thumbnails",
        ".photostructure",
        ".stfolder",
        ".stversions",
        "$recycle.bin",
        "system volume information",
        "lightroom catalog",
        "recently deleted",
    ];
    NAMES.contains(&name.to_ascii_lowercase().as_str())
}

/// Pictures that a NAS made of the pictures beside them.
fn is_junk_thumbnail(name: &str) -> bool {
    name.starts_with("SYNOFILE_THUMB_")
}

fn is_junk(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        ".ds_store",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        ".picasa.ini",
        "picasa.ini",
        ".nomedia",
        ".localized",
        "zbthumbnail.info",
        ".directory",
    ];
    let lower = name.to_ascii_lowercase();
    name.starts_with("._") || NAMES.contains(&lower.as_str())
}

fn is_sidecar(extension: &str) -> bool {
    const EXTENSIONS: [&str; 13] = [
        "json",
        "xmp",
        "aae",
        "pp3",
        "dop",
        "cos",
        "on1",
        "nksc",
        "acr",
        "xml",
        "yml",
        "yaml",
        "supplemental-metadata",
    ];
    EXTENSIONS.contains(&extension)
}

/// Whether the first bytes are text: UTF-8 (cut anywhere) or UTF-16 with a mark, without
/// control characters.
fn is_text(head: &[u8]) -> bool {
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return true;
    }
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(e) => e.error_len().is_none(),
    };
    let control = |b: &u8| *b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
    valid && !head.iter().any(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(name: &str, head: &[u8]) -> Take {
        let size = u64::try_from(head.len()).expect("small");
        Take::decide(name, size, head)
    }

    #[test]
    fn content_or_extension_suffices_to_be_taken() {
        let jpeg = Take::Media(MediaType::Jpeg);
        assert_eq!(take("photo-named.txt", b"\xff\xd8\xff\xe1"), jpeg);
        assert_eq!(take("no-extension", b"\xff\xd8\xff\xe1"), jpeg);
        assert_eq!(take("text.jpg", b"not a photo\n"), jpeg);
        assert_eq!(take("zeros.jpg", &[0; 100]), jpeg);
        assert_eq!(take("._IMG_1.jpg", b"\xff\xd8\xff\xe1"), jpeg);
        assert_eq!(take("clip.mts", &[0; 9]), Take::Media(MediaType::MpegTs));
    }

    #[test]
    fn what_is_skipped_says_why() {
        for (name, head, want) in [
            ("IMG.jpg", &b""[..], Take::Empty),
            ("IMG.jpg.json", b"{}", Take::Sidecar),
            ("IMG.JPG.XMP", b"<x/>", Take::Sidecar),
            ("IMG.AAE", b"bplist00", Take::Sidecar),
            (".DS_Store", b"\0\0\0\x01Bud1", Take::Junk),
            ("Thumbs.db", b"\xd0\xcf\x11\xe0", Take::Junk),
            ("._IMG_1.jpg", b"\0\x05\x16\x07", Take::Junk),
            ("SYNOFILE_THUMB_M.jpg", b"\xff\xd8\xff\xe1", Take::Junk),
            ("notes.txt", b"hello", Take::Text),
            ("README", "gr\u{fc}\u{df}e".as_bytes(), Take::Text),
            ("main.ts", b"export const a = 1;", Take::Text),
            ("a.out", b"\x7fELF\x02\x01", Take::Unsupported),
            ("song.mp3", b"ID3\x03\0", Take::Unsupported),
        ] {
            assert_eq!(take(name, head), want, "{name}");
            assert!(want.reason().is_some());
        }
    }

    #[test]
    fn text_cut_inside_a_letter_is_still_text() {
        let text = "\u{fc}".repeat(10);
        assert!(is_text(&text.as_bytes()[..9]));
        assert!(!is_text(b"a\xff\xff b"));
    }
}
