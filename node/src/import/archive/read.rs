//! One archive, file by file. What is in it is foreign: names are text, lengths are claims.

use std::{
    io::{self, BufReader, Read},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use flate2::read::MultiGzDecoder;
use rawzip::{FileReader, ReaderAt};

use super::{super::Outcome, tar, zip};

/// How many times its length in the archive a file may have: photos and movies shrink little.
pub(super) const MAX_RATIO: u64 = 100;
/// What may be unpacked from anything.
pub(super) const FREE_BYTES: u64 = 64 << 20;
/// First bytes by which a kind of archive is recognised: those of a tar stand at 257.
const HEAD_BYTES: usize = 512;

/// Kinds that are not opened here, by how they begin.
const FOREIGN: [(&[u8], &str); 5] = [
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"BZh", "an archive made with bzip2"),
    (b"\xfd7zXZ\0", "an archive made with xz"),
    (b"\x28\xb5\x2f\xfd", "an archive made with Zstandard"),
];

/// Why an archive was not read to its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// What is wrong with it.
    Archive(String),
    /// Nobody takes more.
    Stopped,
    /// The disk takes nothing more.
    Full,
}

/// A file in an archive.
pub(super) struct Item<'a> {
    /// As it is called there: any text, of any length up to 64 KiB.
    pub(super) path: String,
    /// How long it is said to be.
    pub(super) bytes: u64,
    /// Its bytes, which may end early, or why there are none. Reading to the end checks them where the archive
    /// has a checksum.
    pub(super) content: Result<Box<dyn Read + 'a>, Left>,
}

/// Why a file stays in its archive.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) outcome: Outcome,
    pub(super) why: String,
}

impl Left {
    pub(super) fn failed(why: impl Into<String>) -> Self {
        let why = why.into();
        Self {
            outcome: Outcome::Failed,
            why,
        }
    }

    pub(super) fn skipped(why: &str) -> Self {
        let why = why.to_owned();
        Self {
            outcome: Outcome::Skipped,
            why,
        }
    }
}

pub(super) type Each<'a> = dyn FnMut(Item<'_>) -> Result<(), Broken> + 'a;

/// The bytes of an archive, which end in an error once the import is cancelled.
struct Source<'a> {
    file: FileReader,
    at: u64,
    cancelled: &'a AtomicBool,
}

impl ReaderAt for Source<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(io::Error::other("cancelled"));
        }
        self.file.read_at(buffer, offset)
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.read_at(buffer, self.at)?;
        self.at += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(count)
    }
}

/// What an archive is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Zip,
    Tar,
    Gzip,
    /// Not opened here.
    Foreign(&'static str),
}

impl Kind {
    /// By its first bytes, and by its name where these say nothing.
    fn of(name: &str, head: &[u8]) -> Self {
        let begins = |bytes: &[u8]| head.starts_with(bytes);
        if begins(b"PK\x03\x04") || begins(b"PK\x05\x06") || begins(b"PK\x07\x08") {
            return Self::Zip;
        }
        if begins(b"\x1f\x8b") {
            return Self::Gzip;
        }
        if let Some((_, what)) = FOREIGN.iter().find(|(bytes, _)| begins(bytes)) {
            return Self::Foreign(what);
        }
        let name = name.to_ascii_lowercase();
        if head.get(257..262) == Some(b"ustar") || name.ends_with(".tar") {
            return Self::Tar;
        }
        if name.ends_with(".zip") {
            return Self::Zip;
        }
        if name.ends_with(".tgz") || name.ends_with(".gz") {
            return Self::Gzip;
        }
        Self::Foreign("a kind of archive")
    }
}

/// Hands over each file of an archive; holds no more of it in memory than one name and one buffer.
pub(super) fn each(path: &Path, cancelled: &AtomicBool, each: &mut Each<'_>) -> Result<(), Broken> {
    let file = crate::sys::open_regular(path).map_err(|error| half(&error))?;
    let bytes = file.metadata().map_err(|error| half(&error))?.len();
    if bytes == 0 {
        return Err(Broken::Archive("the archive is an empty file".into()));
    }
    let source = Source {
        file: file.into(),
        at: 0,
        cancelled,
    };
    let mut head = [0; HEAD_BYTES];
    let read = source.read_at(&mut head, 0).map_err(|error| half(&error))?;
    match Kind::of(&path.to_string_lossy(), &head[..read]) {
        Kind::Zip => zip::each(source, bytes, each),
        Kind::Tar => tar::each(BufReader::new(source), bytes, each),
        Kind::Gzip => tar::each(MultiGzDecoder::new(source), bytes, each),
        Kind::Foreign(what) => Err(Broken::Archive(format!(
            "{what}, which is not opened here; unpack it, then import the folder"
        ))),
    }
}

/// How many files can be read to the end, whichever kind of archive this is.
pub(super) fn files_of(bytes: &[u8]) -> usize {
    let mut files = 0;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    for kind in [Kind::Zip, Kind::Tar, Kind::Gzip] {
        let mut read = |item: Item<'_>| {
            if let Ok(content) = item.content {
                // As much as any photo of so small an archive may have.
                let copied = io::copy(&mut content.take(FREE_BYTES), &mut io::sink());
                files += usize::from(copied.is_ok());
            }
            Ok(())
        };
        // What is wrong with it is no matter here.
        let _ = match kind {
            Kind::Zip => zip::each(bytes, length, &mut read),
            Kind::Tar => tar::each(bytes, length, &mut read),
            _ => tar::each(MultiGzDecoder::new(bytes), length, &mut read),
        };
    }
    files
}

pub(super) fn half(error: &io::Error) -> Broken {
    let why = match error.kind() {
        io::ErrorKind::PermissionDenied => "no permission to read it".into(),
        io::ErrorKind::NotFound => "it went away".into(),
        io::ErrorKind::UnexpectedEof => {
            "the archive ends too early: it is half of one, get it again".into()
        }
        _ => {
            tracing::debug!(%error, "an archive");
            "the archive is half of one, or damaged: get it again".into()
        }
    };
    Broken::Archive(why)
}

/// A name as text, whatever its bytes are.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_told_by_content_before_the_name() {
        let mut ustar = [0; HEAD_BYTES];
        ustar[257..262].copy_from_slice(b"ustar");
        for (name, head, kind) in [
            ("a.zip", &b"PK\x03\x04"[..], Kind::Zip),
            ("a.tgz", b"PK\x03\x04", Kind::Zip),
            ("a.tar", b"\x1f\x8b\x08", Kind::Gzip),
            ("A.TGZ", &ustar, Kind::Tar),
            ("a.tar", b"older", Kind::Tar),
            ("a.zip", b"half", Kind::Zip),
            ("a.zip", b"Rar!\x1a\x07\x01", Kind::Foreign("a RAR archive")),
            (
                "a.7z",
                b"7z\xbc\xaf\x27\x1c",
                Kind::Foreign("a 7-Zip archive"),
            ),
            ("a.rar", b"half", Kind::Foreign("a kind of archive")),
        ] {
            assert_eq!(Kind::of(name, head), kind, "{name} {head:?}");
        }
    }
}
