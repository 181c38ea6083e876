//! Magic numbers: the first bytes of each format.

use super::MediaType as M;

/// Names the format these first bytes belong to; `extension` only tells raw formats apart.
pub(super) fn sniff(head: &[u8], extension: Option<M>) -> Option<M> {
    let at = |from: usize, magic: &[u8]| head.get(from..).is_some_and(|h| h.starts_with(magic));
    let start = |magic: &[u8]| head.starts_with(magic);
    Some(match () {
        () if start(b"\xff\xd8\xff") => M::Jpeg,
        () if start(b"\x89PNG\r\n\x1a\n") => M::Png,
        () if start(b"GIF87a") || start(b"GIF89a") => M::Gif,
        () if start(b"RIFF") && at(8, b"WEBP") => M::Webp,
        () if start(b"RIFF") && at(8, b"AVI ") => M::Avi,
        () if at(4, b"ftyp") => return brands(head, extension),
        () if start(b"II*\0") || start(b"MM\0*") => tiff(head, extension),
        () if start(b"IIRO") || start(b"IIRS") || start(b"MMOR") => M::Orf,
        () if start(b"IIU\0") => M::Rw2,
        () if start(b"FUJIFILMCCD-RAW") => M::Raf,
        () if start(b"FOVb") || start(b"\0MRM") || at(6, b"HEAPCCDR") => M::OtherRaw,
        () if start(b"\xff\x0a") || start(b"\0\0\0\x0cJXL \r\n\x87\n") => M::Jxl,
        () if start(b"\0\0\0\x0cjP  \r\n\x87\n") || start(b"\xff\x4f\xff\x51") => M::Jp2,
        () if start(b"8BPS\0\x01") || start(b"8BPS\0\x02") => M::Psd,
        () if start(b"BM") && is_bmp(head) => M::Bmp,
        () if start(b"\x1a\x45\xdf\xa3") => return matroska(head),
        () if is_quicktime(head) => M::Mov,
        () if start(b"\0\0\x01\xba") || start(b"\0\0\x01\xb3") => M::Mpeg,
        () if is_transport_stream(head, 188, 0) || is_transport_stream(head, 192, 4) => M::MpegTs,
        () if start(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11") => M::Wmv,
        () if start(b"FLV\x01") => M::Flv,
        () if start(b"OggS") && contains(head, b"theora") => M::Ogv,
        () => return None,
    })
}

/// The brands of an ISO base media file: the major one, then the compatible ones.
fn brands(head: &[u8], extension: Option<M>) -> Option<M> {
    let size = head
        .first_chunk::<4>()
        .map(|s| u32::from_be_bytes(*s))
        .and_then(|s| usize::try_from(s).ok())?;
    let end = size.clamp(12, 256).min(head.len());
    let list = head.get(8..end)?;
    let mut compatible = list.chunks_exact(4).skip(2);
    let major: &[u8] = list.get(..4)?;
    match major {
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => return Some(M::Heic),
        b"avif" | b"avis" => return Some(M::Avif),
        b"mif1" | b"msf1" | b"mif2" | b"miaf" => {
            let avif = compatible.any(|b| b == b"avif" || b == b"avis");
            return Some(if avif { M::Avif } else { M::Heic });
        }
        b"crx " => return Some(M::Cr3),
        b"jxl " => return Some(M::Jxl),
        b"jp2 " => return Some(M::Jp2),
        b"qt  " => return Some(M::Mov),
        b"M4A " | b"M4B " | b"M4P " => return None,
        _ => {}
    }
    if major.starts_with(b"3g") {
        return Some(M::ThreeGp);
    }
    // Damaged stills lose their major brand now and then; their name then still tells.
    match extension {
        Some(still @ (M::Heic | M::Avif)) => Some(still),
        _ => Some(M::Mp4),
    }
}

/// Raw formats that look like TIFF: Canon marks its own, Adobe by a tag, others by name only.
fn tiff(head: &[u8], extension: Option<M>) -> M {
    if head.get(8..10) == Some(b"CR") {
        return M::Cr2;
    }
    let raw = extension.filter(|e| e.is_raw() && e.is_tiff_based());
    raw.unwrap_or(if has_dng_version(head) {
        M::Dng
    } else {
        M::Tiff
    })
}

fn has_dng_version(head: &[u8]) -> bool {
    const DNG_VERSION: u16 = 0xc612;
    let big = head.starts_with(b"MM");
    let u16_at = |at: usize| {
        let b = head.get(at..)?.first_chunk::<2>()?;
        Some(if big {
            u16::from_be_bytes(*b)
        } else {
            u16::from_le_bytes(*b)
        })
    };
    let ifd = || {
        let b = head.get(4..)?.first_chunk::<4>()?;
        let at = if big {
            u32::from_be_bytes(*b)
        } else {
            u32::from_le_bytes(*b)
        };
        usize::try_from(at).ok()
    };
    let Some(ifd) = ifd().filter(|at| *at < head.len()) else {
        return false;
    };
    let count = usize::from(u16_at(ifd).unwrap_or(0));
    (0..count)
        .map_while(|i| u16_at(ifd + 2 + i * 12))
        .any(|tag| tag == DNG_VERSION)
}

/// "BM" alone is the start of many texts: the header's own size tells.
fn is_bmp(head: &[u8]) -> bool {
    head.get(14..18)
        .and_then(|s| s.first_chunk::<4>())
        .is_some_and(|s| matches!(u32::from_le_bytes(*s), 12 | 40 | 52 | 56 | 64 | 108 | 124))
}

/// WebM says so in its header; all else in this container is Matroska, music included.
fn matroska(head: &[u8]) -> Option<M> {
    let start = head.get(..64.min(head.len()))?;
    if contains(start, b"webm") {
        Some(M::Webm)
    } else {
        contains(start, b"matroska").then_some(M::Mkv)
    }
}

/// QuickTime from before there were brands.
fn is_quicktime(head: &[u8]) -> bool {
    // A size that reads as text is the start of a text about movies.
    let plausible = head.first_chunk::<4>().is_some_and(|size| {
        matches!(u32::from_be_bytes(*size), 0 | 1 | 8..)
            && !size.iter().all(|b| (0x20..0x7f).contains(b))
    });
    let kind = head.get(4..8).unwrap_or_default();
    plausible
        && [b"moov", b"mdat", b"wide", b"pnot"]
            .iter()
            .any(|k| kind == *k)
}

fn is_transport_stream(head: &[u8], packet: usize, lead: usize) -> bool {
    (0..3).all(|i| head.get(lead + i * packet) == Some(&0x47))
}

fn contains(head: &[u8], needle: &[u8]) -> bool {
    head.windows(needle.len()).any(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_first_bytes() {
        let ts = [&[0x47][..], &[0; 187]].concat().repeat(3);
        let m2ts = [&[0, 0, 0, 0, 0x47][..], &[0; 187]].concat().repeat(3);
        let cases: [(&[u8], M); 24] = [
            (b"\xff\xd8\xff\xe0", M::Jpeg),
            (b"GIF89a", M::Gif),
            (b"RIFF\0\0\0\0WEBPVP8X", M::Webp),
            (b"RIFF\0\0\0\0AVI LIST", M::Avi),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", M::Heic),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", M::Heic),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", M::Avif),
            (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", M::Cr3),
            (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", M::Mov),
            (b"\0\0\0\x14ftypisom\0\0\0\0mp42", M::Mp4),
            (b"\0\0\0\x14ftyp3gp5\0\0\0\x003gp5", M::ThreeGp),
            (b"\0\0\x10\0moov\0\0\0\x6cmvhd", M::Mov),
            (b"II*\0\x10\0\0\0CR\x02\0", M::Cr2),
            (b"MM\0*\0\0\0\x08\0\x01\xc6\x12\0\0\0\0", M::Dng),
            (b"MM\0*\0\0\0\x08\0\x01\x01\0\0\0\0\0", M::Tiff),
            (b"IIU\0\x18\0\0\0", M::Rw2),
            (b"IIRO\x08\0\0\0", M::Orf),
            (b"FUJIFILMCCD-RAW 0201", M::Raf),
            (b"\xff\x0a\xfa", M::Jxl),
            (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", M::Webm),
            (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska", M::Mkv),
            (b"\0\0\x01\xba\x44", M::Mpeg),
            (&ts, M::MpegTs),
            (&m2ts, M::MpegTs),
        ];
        for (head, media) in cases {
            assert_eq!(sniff(head, None), Some(media), "{media:?}");
        }
    }

    #[test]
    fn what_only_looks_like_a_format_is_not_one() {
        let sound = b"\0\0\0\x14ftypM4A \0\0\0\0mp42";
        for head in [
            &b""[..],
            b"\xff",
            b"BMW is a car maker, not a bitmap",
            b"GIF90a",
            b"the moov box",
            b"\0\0\0\x02moov",
            b"OggS\0\x02 vorbis",
            b"RIFF\0\0\0\0WAVEfmt ",
            sound,
        ] {
            assert_eq!(sniff(head, None), None, "{head:?}");
        }
    }

    #[test]
    fn a_raw_photo_inside_tiff_is_named_by_its_extension() {
        let tiff = b"MM\0*\0\0\0\x08\0\0\0\0\0\0";
        assert_eq!(sniff(tiff, Some(M::Nef)), Some(M::Nef));
        assert_eq!(sniff(tiff, Some(M::Jpeg)), Some(M::Tiff));
        assert_eq!(sniff(tiff, Some(M::Cr3)), Some(M::Tiff));
    }
}
