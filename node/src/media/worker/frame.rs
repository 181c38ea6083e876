//! What goes through the pipes: frames of a kind, a length and so many bytes.
//!
//! Both sides are this program, but the child decodes foreign bytes and may be under foreign
//! control: the parent checks every length before it allocates and every value before it
//! believes it.

use std::io::{self, Read, Write};

use crate::media::encode::{MAX_PREVIEW_BYTES, MAX_THUMBNAIL_BYTES};
use crate::media::index;

/// The largest piece of a file in one frame.
pub(super) const MAX_PIECE: u32 = 1 << 20;
/// The largest metadata frame.
const MAX_METADATA_BYTES: usize = 64 << 10;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The child is confined and ready.
    Hello,
    /// Media type, wants, size of the file.
    Job,
    /// Offset and length.
    Read,
    /// The answer to Read; shorter where the file could not be read.
    Bytes,
    /// Metadata as JSON.
    Metadata,
    /// Width, height, and a JPEG.
    Preview,
    /// Width, height, and a JPEG.
    Thumbnail,
    /// The original's width and height as shown, and the ThumbHash.
    Hash,
    /// The code of a reason, or 0; then 1 if the child will take no further job.
    Done,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Hello,
        Self::Job,
        Self::Read,
        Self::Bytes,
        Self::Metadata,
        Self::Preview,
        Self::Thumbnail,
        Self::Hash,
        Self::Done,
    ];

    fn code(self) -> u8 {
        match self {
            Self::Hello => b'W',
            Self::Job => b'J',
            Self::Read => b'R',
            Self::Bytes => b'B',
            Self::Metadata => b'M',
            Self::Preview => b'P',
            Self::Thumbnail => b'T',
            Self::Hash => b'H',
            Self::Done => b'D',
        }
    }

    /// The most bytes such a frame may carry.
    fn limit(self) -> usize {
        match self {
            Self::Hello | Self::Job | Self::Read | Self::Hash | Self::Done => 64,
            Self::Bytes => index(MAX_PIECE),
            Self::Metadata => MAX_METADATA_BYTES,
            Self::Preview => MAX_PREVIEW_BYTES + 8,
            Self::Thumbnail => MAX_THUMBNAIL_BYTES + 8,
        }
    }
}

/// Writes one frame; the caller flushes.
pub(super) fn write(to: &mut impl Write, kind: Kind, parts: &[&[u8]]) -> io::Result<()> {
    let len: usize = parts.iter().map(|p| p.len()).sum();
    if len > kind.limit() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let len = u32::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
    to.write_all(&[kind.code()])?;
    to.write_all(&len.to_le_bytes())?;
    for part in parts {
        to.write_all(part)?;
    }
    Ok(())
}

/// Reads one frame; `None` when the other side has closed the pipe between frames.
pub(super) fn read(from: &mut impl Read) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut head = [0; 5];
    if from.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[1..])?;
    let [code, len @ ..] = head;
    let kind = Kind::ALL
        .into_iter()
        .find(|k| k.code() == code)
        .ok_or(io::ErrorKind::InvalidData)?;
    let len = index(u32::from_le_bytes(len));
    if len > kind.limit() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; len];
    from.read_exact(&mut body)?;
    Ok(Some((kind, body)))
}

/// What the parent wants to know of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Job {
    /// The code of the media type.
    pub(super) media: u8,
    /// Whether pictures are wanted beside metadata.
    pub(super) pictures: bool,
    /// How long the file is.
    pub(super) size: u64,
}

impl Job {
    pub(super) fn encode(self) -> [u8; 10] {
        let mut out = [0; 10];
        out[0] = self.media;
        out[1] = u8::from(self.pictures);
        out[2..].copy_from_slice(&self.size.to_le_bytes());
        out
    }

    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let [media, pictures, size @ ..] = *body.first_chunk::<10>()?;
        Some(Self {
            media,
            pictures: pictures != 0,
            size: u64::from_le_bytes(size),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut pipe = Vec::new();
        for kind in Kind::ALL {
            write(&mut pipe, kind, &[b"ab", b"", b"c"]).expect("in memory");
        }
        let mut from = pipe.as_slice();
        for kind in Kind::ALL {
            let frame = read(&mut from).expect("whole");
            assert_eq!(frame, Some((kind, b"abc".to_vec())));
        }
        assert_eq!(read(&mut from).expect("at the end"), None);
        let job = Job {
            media: 7,
            pictures: true,
            size: u64::MAX - 5,
        };
        assert_eq!(Job::decode(&job.encode()), Some(job));
        assert_eq!(Job::decode(&[0; 9]), None);
    }

    #[test]
    fn lengths_over_the_limit_and_unknown_kinds_are_refused_before_allocating() {
        for bad in [
            &b"D\xff\xff\xff\xff"[..],
            b"D\x41\0\0\0",
            b"?\0\0\0\0",
            b"D\x02\0\0\0x",
            b"D\x02",
        ] {
            assert!(read(&mut &bad[..]).is_err(), "{bad:?}");
        }
        assert!(write(&mut Vec::new(), Kind::Done, &[&[0; 65]]).is_err());
    }
}
