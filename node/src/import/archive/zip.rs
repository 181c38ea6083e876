//! ZIP. Its list of files is read one record after the other and believed in nothing.

use std::io::Read;

use flate2::read::DeflateDecoder;
use rawzip::{
    CompressionMethod, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, ReaderAt, ZipArchive,
    ZipFileHeaderRecord, ZipLocator,
};

use super::read::{Broken, Each, FREE_BYTES, Item, Left, MAX_RATIO, text};

/// Hands over each file of a ZIP of this length, as its list at the end has them.
pub(super) fn each(source: impl ReaderAt, length: u64, each: &mut Each<'_>) -> Result<(), Broken> {
    let mut record = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let archive = ZipLocator::new()
        .locate_in_reader(source, &mut record, length)
        .map_err(|(_, error)| damaged(&error))?;
    let mut entries = archive.entries(&mut record);
    let (mut seen, mut packed): (u64, u64) = (0, 0);
    while let Some(entry) = entries.next_entry().map_err(|error| damaged(&error))? {
        seen += 1;
        packed = packed.saturating_add(entry.compressed_size_hint());
        if packed > length {
            // Files that share their bytes are how a small archive becomes an endless one.
            return Err(Broken::Archive(
                "the archive is damaged: its files are longer than itself".into(),
            ));
        }
        if entry.is_dir() {
            continue;
        }
        each(Item {
            path: text(entry.file_path().as_bytes()),
            bytes: entry.uncompressed_size_hint(),
            content: content(&archive, &entry),
        })?;
    }
    if seen < archive.entries_hint() {
        return Err(Broken::Archive(
            "the archive is damaged: its list of files is cut".into(),
        ));
    }
    Ok(())
}

/// The bytes of a file, which are checked when they have been read to the end.
fn content<'a, R: ReaderAt>(
    archive: &'a ZipArchive<R>,
    entry: &ZipFileHeaderRecord<'_>,
) -> Result<Box<dyn Read + 'a>, Left> {
    if entry.mode().is_symlink() {
        return Err(Left::skipped("a link to another file"));
    }
    let method = entry.compression_method();
    if entry.flags().is_encrypted() || method == CompressionMethod::AES {
        return Err(Left::failed(
            "it is locked with a password; unpack the archive, then import the folder",
        ));
    }
    let bytes = entry.uncompressed_size_hint();
    let most = entry.compressed_size_hint().saturating_mul(MAX_RATIO);
    if bytes > FREE_BYTES && bytes > most {
        return Err(Left::failed(
            "it unpacks to far more than a photo or a movie does",
        ));
    }
    let local = archive.get_entry(entry.wayfinder()).map_err(|error| {
        tracing::debug!(%error, "a file of an archive");
        Left::failed("the archive is damaged there")
    })?;
    let stored = local.reader();
    match method {
        CompressionMethod::STORE => Ok(Box::new(local.verifying_reader(stored))),
        CompressionMethod::DEFLATE => Ok(Box::new(
            local.verifying_reader(DeflateDecoder::new(stored)),
        )),
        other => Err(Left::failed(format!(
            "it is packed in a way that is not known here ({other}); unpack the archive, then import the folder"
        ))),
    }
}

fn damaged(error: &rawzip::Error) -> Broken {
    tracing::debug!(%error, "an archive");
    Broken::Archive("the archive is half of one, or damaged: get it again".into())
}
