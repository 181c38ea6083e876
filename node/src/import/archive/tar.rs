//! Tar, one entry after the other. It has no list and no checksums of what is in it: after a damaged place
//! nothing is found again.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use tar::EntryType;

use super::read::{Broken, Each, FREE_BYTES, Item, Left, MAX_RATIO, half, text};

/// Longest name, and longest list of properties, of a file in a tar.
const NAME_BYTES: u64 = 64 * 1024;
/// Why a file of which only parts were written is not put together.
const HOLES: &str = "it has holes; unpack the archive, then import the folder";

/// What a tar unpacks to, counted.
struct Counted<R> {
    reader: R,
    left: u64,
    /// Set once there is nothing more to read.
    ended: Rc<Cell<bool>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            self.ended.set(true);
        }
        let read = u64::try_from(count).unwrap_or(u64::MAX);
        self.left = self
            .left
            .checked_sub(read)
            .ok_or_else(|| io::Error::other("it unpacks to far more than photos and movies do"))?;
        Ok(count)
    }
}

/// Hands over each file of a tar that comes out of this many bytes.
pub(super) fn each(reader: impl Read, bytes: u64, each: &mut Each<'_>) -> Result<(), Broken> {
    let ended = Rc::new(Cell::new(false));
    let mut archive = tar::Archive::new(Counted {
        reader,
        left: bytes.saturating_mul(MAX_RATIO).saturating_add(FREE_BYTES),
        ended: ended.clone(),
    });
    each_entry(&mut archive, each)?;
    if ended.get() {
        return Err(half(&io::ErrorKind::UnexpectedEof.into()));
    }
    // The checksum of what it is packed in stands at the very end.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| half(&error))?;
    Ok(())
}

/// What stands before a file and is said of it.
#[derive(Default)]
struct Before {
    path: Option<String>,
    size: Option<u64>,
    has_holes: bool,
}

fn each_entry<R: Read>(archive: &mut tar::Archive<R>, each: &mut Each<'_>) -> Result<(), Broken> {
    let mut before = Before::default();
    let mut any = false;
    // Raw, because names and properties are bounded here and nowhere else.
    let entries = archive.entries().map_err(|error| half(&error))?.raw(true);
    for entry in entries {
        let mut entry = entry.map_err(|error| half(&error))?;
        any = true;
        match entry.header().entry_type() {
            EntryType::GNULongName => {
                let name = bounded(&mut entry)?;
                let name = name.split(|byte| *byte == 0).next();
                before.path = Some(text(name.unwrap_or_default()));
            }
            EntryType::XHeader => before.take(&bounded(&mut entry)?),
            EntryType::GNULongLink | EntryType::XGlobalHeader => {}
            EntryType::Directory => before = Before::default(),
            _ => {
                one(std::mem::take(&mut before), &mut entry, each)?;
                // What its reader has left is read, so that a file that ends too early is noticed.
                io::copy(&mut entry, &mut io::sink()).map_err(|error| half(&error))?;
            }
        }
    }
    if any {
        Ok(())
    } else {
        Err(Broken::Archive("the archive is empty, or none".into()))
    }
}

/// Hands over one file.
fn one(
    before: Before,
    entry: &mut tar::Entry<'_, impl Read>,
    each: &mut Each<'_>,
) -> Result<(), Broken> {
    let bytes = entry.size();
    if before.size.is_some_and(|size| size != bytes) {
        // What is behind it could not be found.
        let why = "a file in it is longer than 8 GiB; unpack it, then import the folder";
        return Err(Broken::Archive(why.into()));
    }
    let path = before.path.unwrap_or_else(|| text(&entry.path_bytes()));
    let content: Result<Box<dyn Read + '_>, Left> = match entry.header().entry_type() {
        EntryType::GNUSparse => Err(Left::failed(HOLES)),
        _ if before.has_holes => Err(Left::failed(HOLES)),
        EntryType::Regular | EntryType::Continuous => Ok(Box::new(entry)),
        EntryType::Link | EntryType::Symlink => Err(Left::skipped("a link to another file")),
        _ => Err(Left::skipped("not a regular file")),
    };
    each(Item {
        path,
        bytes,
        content,
    })
}

fn bounded(entry: &mut impl Read) -> Result<Vec<u8>, Broken> {
    let mut bytes = Vec::new();
    let read = entry.take(NAME_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| half(&error))?;
    if bytes.len() > usize::try_from(NAME_BYTES).unwrap_or(usize::MAX) {
        return Err(Broken::Archive(
            "the archive is damaged: a name is too long".into(),
        ));
    }
    Ok(bytes)
}

impl Before {
    /// Takes what is said of the file that follows.
    fn take(&mut self, properties: &[u8]) {
        for property in tar::PaxExtensions::new(properties).flatten() {
            match property.key_bytes() {
                b"path" => self.path = Some(text(property.value_bytes())),
                // Longer than its own place can say, or once more what that says.
                b"size" => {
                    let size = property.value().ok().and_then(|size| size.parse().ok());
                    self.size = Some(size.unwrap_or(u64::MAX));
                }
                key if key.starts_with(b"GNU.sparse.") => self.has_holes = true,
                _ => {}
            }
        }
    }
}
