//! The files of one folder: names that clash with nothing, bytes that were checked.

use std::{
    collections::BTreeSet,
    fs::{File, FileTimes},
    io::{self, Read, Write as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use heirloom_protocol::{album::asset::BlobRef, id::PlainHash, op::Part};
use tokio_util::sync::CancellationToken;

use super::{
    ExportError, Outcome, Report,
    folder::Folder,
    name,
    sidecar::{Sidecars, Told, is_ours},
};
use crate::{
    catalog::{Folded, Held, Listed},
    original::Plain,
    store::{Store, StoreError},
};

const BUFFER_BYTES: usize = 256 * 1024;
/// Largest sidecar of somebody else's that is looked into.
const SIDECAR_BYTES: u64 = 1024 * 1024;

/// One file of an asset, wherever its blob lies.
pub(super) struct Source<'a> {
    pub(super) part: &'a Part,
    /// The same bytes, announced once or more.
    blobs: Vec<(&'a Part, &'a BlobRef)>,
}

/// The files of an asset, those of all its items, the same bytes once.
pub(super) fn parts(folded: &Folded) -> Vec<Source<'_>> {
    let mut sources: Vec<Source<'_>> = Vec::new();
    for (part, blob) in folded.items.iter().flat_map(|item| item.asset.all_parts()) {
        let known = sources
            .iter_mut()
            .find(|source| source.part.pt_hash == part.pt_hash);
        match known {
            Some(source) => source.blobs.push((part, blob)),
            None => sources.push(Source {
                part,
                blobs: vec![(part, blob)],
            }),
        }
    }
    sources
}

/// How a name stands to some bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    Same,
    Other,
}

/// Writes into one folder.
pub(super) struct Writer<'a> {
    folder: &'a Folder,
    store: &'a Store,
    held: &'a Held<'a>,
    cancelled: &'a CancellationToken,
    /// Names given in this folder, without case.
    taken: BTreeSet<String>,
    buffer: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        folder: &'a Folder,
        store: &'a Store,
        held: &'a Held<'a>,
        cancelled: &'a CancellationToken,
    ) -> Self {
        Self {
            folder,
            store,
            held,
            cancelled,
            taken: BTreeSet::new(),
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Writes the files of an asset and gives the name of the main one, if it is there now.
    ///
    /// `mend` gets again what was found damaged, as far as it comes.
    pub(super) fn asset(
        &mut self,
        folded: &Folded,
        mend: &mut dyn FnMut(&[BlobRef]),
        tell: &mut dyn FnMut(Report),
    ) -> Result<Option<String>, ExportError> {
        let sources = parts(folded);
        let modified = Told::instant(folded).and_then(time);
        let mut main = None;
        for (index, (source, (name, there))) in
            sources.iter().zip(self.names(&sources)?).enumerate()
        {
            let outcome = match there {
                There::Same => Outcome::Present,
                _ => self.file_or_mended(source, &name, modified, mend)?,
            };
            if self.cancelled.is_cancelled() {
                return Ok(None);
            }
            if index == 0 && matches!(outcome, Outcome::Written | Outcome::Present) {
                main = Some(name.clone());
            }
            tell(Report {
                path: self.folder.path(&name),
                asset: folded.first().key.item,
                outcome,
                bytes: source.part.len,
            });
        }
        Ok(main)
    }

    /// Names for all files of an asset with the same number, so that they stay beside each other.
    fn names(&mut self, sources: &[Source<'_>]) -> Result<Vec<(String, There)>, ExportError> {
        let mut number = 1;
        loop {
            let mut names: Vec<(String, There)> = Vec::with_capacity(sources.len());
            for source in sources {
                let safe = name::safe(&source.part.name);
                let mut name = name::numbered(&safe, number);
                // Two files of one asset may be called the same.
                while names
                    .iter()
                    .any(|(other, _)| name::key(other) == name::key(&name))
                {
                    number += 1;
                    name = name::numbered(&safe, number);
                }
                let there = self.there(&name, source.part)?;
                names.push((name, there));
            }
            let free = names.iter().all(|(name, there)| {
                *there != There::Other && !self.taken.contains(&name::key(name))
            });
            if free || sources.is_empty() {
                self.taken
                    .extend(names.iter().map(|(name, _)| name::key(name)));
                return Ok(names);
            }
            number += 1;
        }
    }

    fn there(&mut self, name: &str, part: &Part) -> Result<There, ExportError> {
        self.look(name, part).map_err(|source| ExportError::Folder {
            path: self.folder.path(name),
            source,
        })
    }

    fn look(&mut self, name: &str, part: &Part) -> io::Result<There> {
        if !self.folder.has(name)? {
            return Ok(There::Nothing);
        }
        let Some(mut file) = self.folder.open(name)? else {
            return Ok(There::Other);
        };
        if file.metadata()?.len() != part.len {
            return Ok(There::Other);
        }
        let mut hasher = blake3::Hasher::new();
        loop {
            let count = file.read(&mut self.buffer)?;
            if count == 0 {
                break;
            }
            hasher.update(&self.buffer[..count]);
        }
        if hasher.finalize().as_bytes() == &part.pt_hash.0 {
            Ok(There::Same)
        } else {
            Ok(There::Other)
        }
    }

    /// Writes one file, and where what is stored of it is damaged once more with what came in its place.
    fn file_or_mended(
        &mut self,
        source: &Source<'_>,
        name: &str,
        modified: Option<SystemTime>,
        mend: &mut dyn FnMut(&[BlobRef]),
    ) -> Result<Outcome, ExportError> {
        let mut damaged = Vec::new();
        let first = self.file(source, name, modified, &mut damaged)?;
        if damaged.is_empty() {
            return Ok(first);
        }
        mend(&damaged);
        if first != Outcome::Damaged {
            return Ok(first);
        }
        match self.file(source, name, modified, &mut damaged)? {
            Outcome::NotHere => Ok(first),
            again => Ok(again),
        }
    }

    /// Writes one file from the first of its blobs that is whole. Those that are not are added to `damaged`.
    fn file(
        &mut self,
        source: &Source<'_>,
        name: &str,
        modified: Option<SystemTime>,
        damaged: &mut Vec<BlobRef>,
    ) -> Result<Outcome, ExportError> {
        let mut outcome = Outcome::NotHere;
        for (part, blob) in &source.blobs {
            if !self.held.may_have(blob)? {
                continue;
            }
            let plain = match Plain::open(self.store, blob, &part.key, part.len) {
                Ok(plain) => plain,
                Err(StoreError::Damaged(_)) => {
                    outcome = Outcome::Damaged;
                    damaged.push(**blob);
                    continue;
                }
                Err(StoreError::Io(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                    outcome = Outcome::Closed(error.to_string());
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match self.copy(plain, &part.pt_hash, name, modified) {
                Ok(true) => return Ok(Outcome::Written),
                Ok(false) => outcome = Outcome::Damaged,
                Err(error) => return self.failed(error),
            }
            if self.cancelled.is_cancelled() {
                break;
            }
            damaged.push(**blob);
        }
        Ok(outcome)
    }

    /// A full disk ends the export; anything else concerns one file.
    fn failed(&self, error: io::Error) -> Result<Outcome, ExportError> {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Err(StoreError::DiskFull.into())
            }
            _ => Ok(Outcome::Failed(error.to_string())),
        }
    }

    /// Writes a file and gives it its name when its bytes have their hash; false when they have not.
    fn copy(
        &mut self,
        mut plain: Plain,
        hash: &PlainHash,
        name: &str,
        modified: Option<SystemTime>,
    ) -> io::Result<bool> {
        let (file, unfinished) = self.folder.begin()?;
        let done = self.pour(&mut plain, &file, hash).and_then(|whole| {
            if whole {
                finish(&file, modified)?;
                self.folder.publish(&unfinished, name)?;
            }
            Ok(whole)
        });
        if !matches!(done, Ok(true)) {
            // The next export clears away what this one cannot.
            let _ = self.folder.remove(&unfinished);
        }
        done
    }

    fn pour(&mut self, plain: &mut Plain, mut file: &File, hash: &PlainHash) -> io::Result<bool> {
        let mut hasher = blake3::Hasher::new();
        loop {
            if self.cancelled.is_cancelled() {
                return Ok(false);
            }
            let count = match plain.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
                Err(error) => return Err(error),
            };
            let bytes = &self.buffer[..count];
            hasher.update(bytes);
            file.write_all(bytes)?;
        }
        Ok(hasher.finalize().as_bytes() == &hash.0)
    }

    /// Writes what was said of an asset beside its main file.
    pub(super) fn sidecars(
        &mut self,
        main: &str,
        folded: &Folded,
        listed: &Listed,
        sidecars: Sidecars,
        tell: &mut dyn FnMut(Report),
    ) -> Result<(), ExportError> {
        let told = Told::of(folded, listed);
        let wanted = [
            sidecars.json.then(|| (".json", told.json())),
            sidecars.xmp.then(|| (".xmp", told.xmp())),
        ];
        for (ending, bytes) in wanted.into_iter().flatten() {
            let Err(error) = self.sidecar(main, ending, &bytes, &listed.blake3) else {
                continue;
            };
            let outcome = self.failed(error)?;
            tell(Report {
                path: self.folder.path(&name::beside(main, ending)),
                asset: folded.first().key.item,
                outcome,
                bytes: 0,
            });
        }
        Ok(())
    }

    /// A sidecar of an earlier export is written anew; one of somebody else is left as it is.
    fn sidecar(&mut self, main: &str, ending: &str, bytes: &[u8], blake3: &str) -> io::Result<()> {
        for ending in [ending.to_owned(), format!(".heirloom{ending}")] {
            let name = name::beside(main, &ending);
            if !self.taken.insert(name::key(&name)) {
                continue;
            }
            if !self.folder.has(&name)? {
                return self.put(&name, bytes, false);
            }
            match self.read_whole(&name)? {
                Some(there) if there == bytes => return Ok(()),
                Some(there) if is_ours(&there, blake3) => return self.put(&name, bytes, true),
                _ => {}
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "other files have the names of its sidecars",
        ))
    }

    fn put(&self, name: &str, bytes: &[u8], replace: bool) -> io::Result<()> {
        let (mut file, unfinished) = self.folder.begin()?;
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| {
                if replace {
                    self.folder.replace(&unfinished, name)
                } else {
                    self.folder.publish(&unfinished, name)
                }
            });
        if written.is_err() {
            let _ = self.folder.remove(&unfinished);
        }
        written
    }

    fn read_whole(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.folder.open(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(SIDECAR_BYTES + 1).read_to_end(&mut bytes)?;
        let fits = u64::try_from(bytes.len()).is_ok_and(|len| len <= SIDECAR_BYTES);
        Ok(fits.then_some(bytes))
    }
}

/// Makes a file durable, dated when the picture was taken.
fn finish(file: &File, modified: Option<SystemTime>) -> io::Result<()> {
    if let Some(modified) = modified {
        // Not every disk knows every date; the bytes matter.
        let _ = file.set_times(FileTimes::new().set_modified(modified));
    }
    file.sync_all()
}

fn time(instant: i64) -> Option<SystemTime> {
    let span = Duration::from_millis(instant.unsigned_abs());
    if instant < 0 {
        UNIX_EPOCH.checked_sub(span)
    } else {
        UNIX_EPOCH.checked_add(span)
    }
}
