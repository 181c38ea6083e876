//! One file: is it a photo, is it safe already, what does it say, its ciphertext.

use std::{
    fs::{File, Metadata as FileMetadata},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use heirloom_protocol::{
    crypto::{BlobKey, Class, Purpose, SeededRng, Shape},
    id::{AlbumId, OpId, PlainHash},
    limits,
    log::entry::BlobLine,
    op::{AddItem, Camera, Captured, ItemKind, Op, Part, PartRole, Place},
};
use zeroize::Zeroizing;

use super::{
    Outcome, Plan, Ready, Report, Shared, albums,
    deleted::Trash,
    encrypt::seal,
    known::{self, Known, Look, Remade, remake},
    metadata::{self, CaptureSource, Metadata, name},
    reuse,
    scan::Found,
    sidecar::Said,
};
use crate::{
    media::{MediaKind, MediaType, Pool, Reason, Take},
    runtime::{AssetKey, Runtime, RuntimeError},
    store::{BlobPlace, Store, StoreError, Table},
};

/// First bytes by which a file is recognised.
const HEAD_BYTES: usize = 4096;
/// A file ready to be recorded: its blob is written, not yet durable.
pub(super) struct Photo {
    pub(super) path: PathBuf,
    pub(super) album: AlbumId,
    pub(super) hash: PlainHash,
    pub(super) bytes: u64,
    pub(super) item: AddItem,
    pub(super) line: BlobLine,
    pub(super) place: BlobPlace,
    pub(super) media: MediaType,
    pub(super) live_id: Option<String>,
    /// What the file system said, by which the next import knows the file again.
    pub(super) stamp: Vec<u8>,
    /// What its sidecars say, which is said once it is there.
    pub(super) said: Option<Arc<Said>>,
    /// Why it is not where its sidecars put it, and why it is without its date.
    pub(super) note: Option<String>,
}

impl Photo {
    fn noting(mut self, note: Option<String>) -> Self {
        let notes: Vec<_> = note.into_iter().chain(self.note).collect();
        self.note = (!notes.is_empty()).then(|| notes.join("; "));
        self
    }
}

/// A file out of which an original was made again: written, not yet durable.
pub(super) struct Again {
    pub(super) path: PathBuf,
    pub(super) album: AlbumId,
    pub(super) hash: PlainHash,
    pub(super) bytes: u64,
    pub(super) remade: Remade,
    pub(super) stamp: Vec<u8>,
}

/// What is said of a second file with the same content.
pub(super) const TWIN: &str = "the same photo under another name";

/// What became of a file that is taken.
enum Prepared {
    Photo(Box<Photo>),
    Again(Box<Again>),
    /// It would be taken, and nothing is to be done.
    Planned(Plan),
}

/// Why a file was not prepared.
pub(super) enum Refused {
    Skipped(&'static str),
    Failed(String),
    /// The disk of the home takes nothing more, this file and those after it.
    Ended(RuntimeError),
    /// The album has it.
    Present(Option<OpId>, Option<String>, u64),
    /// The album has it, and nobody has said of it what its sidecars say.
    Known(AssetKey, Vec<Op>, u64),
    /// It was deleted for good.
    Purged(OpId, String),
    /// It lies in the trash and stays there.
    Trashed(OpId, Trash, u64),
    /// It lies in the trash and is to come back.
    Restore(AssetKey, u64),
    /// Another file of this import has the same content.
    Twin(AlbumId, PlainHash, u64),
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(match error.kind() {
            std::io::ErrorKind::PermissionDenied => "no permission to read it".into(),
            std::io::ErrorKind::NotFound => "it went away".into(),
            _ => format!("could not be read: {error}"),
        })
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            // What the system says no to here is the home, whose disk the next file needs as well.
            StoreError::DiskFull | StoreError::ReadOnly | StoreError::Io(_) => {
                Self::Ended(error.into())
            }
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<RuntimeError> for Refused {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::Store(error) => error.into(),
            RuntimeError::Unread(_) => Self::Ended(error),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// Prepares one file.
pub(super) fn prepare(shared: &Shared<'_>, found: Found) -> Ready {
    let path = found.path.clone();
    let told = |outcome, asset, reason: Option<String>, bytes| {
        Ready::Told(Report {
            path: path.clone(),
            outcome,
            asset,
            reason,
            bytes,
        })
    };
    match try_prepare(shared, &found) {
        Ok(Prepared::Photo(photo)) => Ready::Photo(photo),
        Ok(Prepared::Again(again)) => Ready::Again(again),
        Ok(Prepared::Planned(plan)) => {
            shared.listener.planned(plan);
            let why = Some("would be added".into());
            told(Outcome::Added, None, why, found.bytes)
        }
        Err(Refused::Skipped(reason)) => told(Outcome::Skipped, None, Some(reason.into()), 0),
        Err(Refused::Failed(reason)) => told(Outcome::Failed, None, Some(reason), 0),
        Err(Refused::Ended(error)) => Ready::Ended(error),
        Err(Refused::Known(key, ops, bytes)) => Ready::Known {
            album: key.album,
            ops,
            report: Report {
                path,
                outcome: Outcome::Present,
                asset: Some(key.item),
                reason: Some("what its sidecar says was added".into()),
                bytes,
            },
        },
        Err(Refused::Present(asset, reason, bytes)) => told(Outcome::Present, asset, reason, bytes),
        Err(Refused::Purged(asset, reason)) => told(Outcome::Purged, Some(asset), Some(reason), 0),
        Err(Refused::Trashed(asset, trash, bytes)) => {
            told(trash.outcome(), Some(asset), Some(trash.reason), bytes)
        }
        Err(Refused::Restore(key, bytes)) => Ready::Restore { path, key, bytes },
        Err(Refused::Twin(album, hash, bytes)) => Ready::Twin {
            path,
            album,
            hash,
            bytes,
        },
    }
}

fn try_prepare(shared: &Shared<'_>, found: &Found) -> Result<Prepared, Refused> {
    let name = file_name(&found.path);
    // Held to the end: what is out of an archive has one reader at a time.
    let unpacked = found.unpacked.as_ref().map(|unpacked| unpacked.file());
    let mut file = match &unpacked {
        Some(file) => file.try_clone()?,
        None => crate::sys::open_regular(&found.path)?,
    };
    file.seek(SeekFrom::Start(0))?;
    let before = file.metadata()?;
    let media = decide(&name, before.len(), &mut file)?;
    let aim = albums::aim(shared, found)?;
    let store = shared.node.store();
    // In an archive nothing but its bytes tells a file from another.
    let stamp = unpacked.is_none().then(|| stamp_of(&before));
    let stamp = stamp.unwrap_or_default();
    if let Some(hash) = known_source(store, &found.path, &stamp)? {
        let (album, _) = aim.clone().settle(shared, hash)?;
        let known = known::find(shared, album, hash, before.len(), Look::Quick)?;
        if known.lost.is_empty()
            && let Some(refused) = known.refused
        {
            return Err(filled_in(shared, found, album, refused)?);
        }
    }
    let hash = hash_file(&mut file)?;
    let (album, note) = aim.settle(shared, hash)?;
    let known = known::find(shared, album, hash, before.len(), Look::Close)?;
    if known.lost.is_empty()
        && let Some(refused) = known.refused
    {
        remember_source(store, &found.path, &stamp, hash)?;
        return Err(filled_in(shared, found, album, refused)?);
    }
    let is_first = shared.in_work().insert((album, hash));
    match (is_first, shared.request.dry_run) {
        (true, true) => {
            let plan = Plan::of(shared, album, hash, before.len());
            return Ok(Prepared::Planned(plan));
        }
        (false, true) => return Err(Refused::Present(None, Some(TWIN.into()), before.len())),
        (false, false) => return Err(Refused::Twin(album, hash, before.len())),
        (true, false) => {}
    }
    let Known { refused, lost } = known;
    let prepared = match remake(store, &mut file, before.len(), lost) {
        Ok(Some(remade)) => Ok(Prepared::Again(Box::new(Again {
            path: found.path.clone(),
            album,
            hash,
            bytes: before.len(),
            remade,
            stamp,
        }))),
        Ok(None) => match refused {
            Some(refused) => Err(refused),
            None => add(
                shared, found, &mut file, &before, media, &name, album, hash, stamp,
            )
            .map(|photo| Prepared::Photo(Box::new(photo.noting(note)))),
        },
        Err(refused) => Err(refused),
    };
    if prepared.is_err() {
        shared.in_work().remove(&(album, hash));
    }
    prepared
}

fn file_name(path: &Path) -> String {
    let name = path.file_name();
    name.map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

impl Plan {
    fn of(shared: &Shared<'_>, album: AlbumId, hash: PlainHash, bytes: u64) -> Self {
        Self {
            album,
            name: albums::name_of_unmade(shared, album),
            hash,
            bytes,
        }
    }
}

/// What a file is, from its first bytes and its name.
fn decide(name: &str, bytes: u64, file: &mut File) -> Result<MediaType, Refused> {
    let mut head = vec![0; HEAD_BYTES];
    let read = read_up_to(file, &mut head)?;
    match Take::decide(name, bytes, &head[..read]) {
        Take::Media(media) => Ok(media),
        other => Err(Refused::Skipped(
            other.reason().unwrap_or("not a photo or movie"),
        )),
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "everything that is known of one file by now"
)]
fn add(
    shared: &Shared<'_>,
    found: &Found,
    file: &mut File,
    before: &FileMetadata,
    media: MediaType,
    name: &str,
    album: AlbumId,
    hash: PlainHash,
    stamp: Vec<u8>,
) -> Result<Photo, Refused> {
    file.seek(SeekFrom::Start(0))?;
    let (metadata, unread) = read_metadata(&shared.pool, file, media)?;
    let (key, line, place) = match reuse::original(shared.node.store(), hash, before.len())? {
        Some((key, named)) => (key, named.line, named.place),
        None => {
            let key = blob_key(shared, hash)?;
            let (line, place) = encrypt(shared.node.store(), file, before.len(), hash, &key)?;
            (key, line, place)
        }
    };
    if !stamp.is_empty() && stamp_of(&std::fs::symlink_metadata(&found.path)?) != stamp {
        return Err(Refused::Failed(
            "it changed while it was read; import it again".into(),
        ));
    }
    let title = found.said.as_ref().and_then(|said| said.name_of(name));
    let name = title.as_deref().unwrap_or(name);
    let part = Part {
        role: PartRole::Still,
        name: short_name(name),
        len: before.len(),
        pt_hash: hash,
        key,
        blob: 0,
    };
    let live_id = metadata.live_id.clone();
    let mut item = item_of(&metadata, media, name, part);
    if let Some(said) = &found.said {
        said.tell(&mut item);
    }
    Ok(Photo {
        path: found.path.clone(),
        album,
        hash,
        bytes: before.len(),
        item,
        line,
        place,
        media,
        live_id,
        stamp,
        said: found.said.clone(),
        note: unread,
    })
}

/// What a file says of itself, and why that is nothing where it might have said something.
///
/// A file that says nothing, or on which a worker dies, is kept all the same. It is read only this once: so what
/// may pass is tried again, and where not even a worker can be started the file is left for another import.
fn read_metadata(
    pool: &Pool,
    file: &mut File,
    media: MediaType,
) -> Result<(Metadata, Option<String>), Refused> {
    let may_pass = |reason: Reason| {
        let ran_out = [Reason::TookTooLong, Reason::TooMuchMemory];
        reason.is_passing() || ran_out.contains(&reason)
    };
    let read = match pool.metadata(file, media) {
        Err(reason) if may_pass(reason) => pool.metadata(file, media),
        read => read,
    };
    match read {
        Ok(metadata) => Ok((metadata, None)),
        Err(Reason::NoWorker) => Err(Refused::Failed(
            "no process could be started to read its date and place; import it again".into(),
        )),
        Err(reason) if may_pass(reason) => {
            let unread = format!("its date and place could not be read: {reason}");
            Ok((Metadata::default(), Some(unread)))
        }
        Err(_) => Ok((Metadata::default(), None)),
    }
}

/// What is here already, with what its sidecars say and nobody has said so far.
fn filled_in(
    shared: &Shared<'_>,
    found: &Found,
    album: AlbumId,
    refused: Refused,
) -> Result<Refused, Refused> {
    let (Some(said), Refused::Present(Some(item), None, bytes)) = (&found.said, &refused) else {
        return Ok(refused);
    };
    if shared.request.dry_run {
        return Ok(refused);
    }
    let key = AssetKey { album, item: *item };
    let asset = key.load(shared.node.store())?;
    let me = shared
        .node
        .ask_blocking(|runtime| runtime.replica().person())?;
    let ops = said.ops(*item, Some((&asset, me)));
    if ops.is_empty() {
        return Ok(refused);
    }
    Ok(Refused::Known(key, ops, *bytes))
}

fn item_of(metadata: &Metadata, media: MediaType, file_name: &str, part: Part) -> AddItem {
    let camera = metadata.capture.map(|capture| Captured {
        wall: Some(capture.wall.unix_millis()),
        offset: capture.offset_minutes,
        source: capture.source.code(),
    });
    let captured = camera.or_else(|| from_name(file_name)).unwrap_or_default();
    let shown = metadata.shown;
    AddItem {
        kind: if media.kind() == MediaKind::Photo {
            ItemKind::Photo
        } else {
            ItemKind::Video
        },
        media: u16::from(media.code()),
        captured,
        width: shown.map_or(0, |size| size.width),
        height: shown.map_or(0, |size| size.height),
        duration_ms: metadata
            .duration_ms
            .and_then(|ms| u32::try_from(ms).ok())
            .unwrap_or(0),
        place: metadata.place.map(place_of),
        camera: metadata
            .camera
            .clone()
            .map(|(make, model)| Camera { make, model })
            .filter(|c| {
                c.make.len() <= limits::CAMERA_BYTES && c.model.len() <= limits::CAMERA_BYTES
            }),
        parts: vec![part],
    }
}

pub(super) fn place_of(place: metadata::Place) -> Place {
    Place {
        lat_e7: scaled(place.lat, 1e7),
        lon_e7: scaled(place.lon, 1e7),
        alt_cm: place.alt.map(|alt| scaled(alt, 100.0)),
    }
}

fn from_name(file_name: &str) -> Option<Captured> {
    let stamp = name::taken(file_name)?;
    Some(Captured {
        wall: Some(stamp.wall.unix_millis()),
        offset: stamp.offset,
        source: CaptureSource::FileName.code(),
    })
}

fn scaled(value: f64, factor: f64) -> i32 {
    let scaled = (value * factor).round();
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "a cast from a float saturates, and the ranges were checked by who read it"
    )]
    {
        scaled as i32
    }
}

fn short_name(name: &str) -> String {
    let mut end = name.len().min(limits::FILE_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

fn blob_key(shared: &Shared<'_>, hash: PlainHash) -> Result<BlobKey, Refused> {
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(random.as_mut()).map_err(|_| RuntimeError::NoRandomness)?;
    let keys = shared
        .node
        .ask_blocking(|runtime: &mut Runtime| runtime.keys().clone())?;
    let seed = Zeroizing::new(keys.hedge(Purpose::Blob, &random, &hash, b"original"));
    Ok(BlobKey::generate(&mut SeededRng::from_seed(*seed)))
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read(&mut buffer[read..])? {
            0 => break,
            count => read += count,
        }
    }
    Ok(read)
}

fn hash_file(file: &mut File) -> std::io::Result<PlainHash> {
    file.seek(SeekFrom::Start(0))?;
    known::hash_of(file)
}

/// The file's ciphertext under a key of its own.
fn encrypt(
    store: &Store,
    file: &mut File,
    len: u64,
    hash: PlainHash,
    key: &BlobKey,
) -> Result<(BlobLine, BlobPlace), Refused> {
    let shape =
        Shape::padded(Class::Original, 0, len).map_err(|_| Refused::Failed("too large".into()))?;
    file.seek(SeekFrom::Start(0))?;
    let stored = seal(store, file, shape, hash, key)?;
    let line = BlobLine {
        part: 0,
        class: Class::Original.code(),
        id: stored.cid,
        padded: shape.padded_bytes(),
    };
    Ok((line, stored.place))
}

/// Size and times of a file: the same ones mean the same bytes, for all that a file system tells.
fn stamp_of(metadata: &FileMetadata) -> Vec<u8> {
    crate::sys::file_stamp(metadata)
}

fn source_key(store: &Store, path: &Path) -> Vec<u8> {
    store
        .blind(Table::Sources, path.as_os_str().as_encoded_bytes())
        .to_vec()
}

fn known_source(store: &Store, path: &Path, stamp: &[u8]) -> Result<Option<PlainHash>, StoreError> {
    if stamp.is_empty() {
        return Ok(None);
    }
    let row = store.get(Table::Sources, &source_key(store, path))?;
    let hash = row
        .as_deref()
        .and_then(|row| row.strip_prefix(stamp))
        .and_then(|hash| hash.try_into().ok());
    Ok(hash.map(PlainHash))
}

/// The row by which the next import knows a file again without reading it.
pub(super) fn source_row(
    store: &Store,
    path: &Path,
    stamp: &[u8],
    hash: PlainHash,
) -> (Table, Vec<u8>, Vec<u8>) {
    (
        Table::Sources,
        source_key(store, path),
        [stamp, &hash.0[..]].concat(),
    )
}

fn remember_source(
    store: &Store,
    path: &Path,
    stamp: &[u8],
    hash: PlainHash,
) -> Result<(), StoreError> {
    if stamp.is_empty() {
        return Ok(());
    }
    let puts = vec![source_row(store, path, stamp, hash)];
    store.commit(&crate::store::Batch {
        puts,
        ..crate::store::Batch::default()
    })
}
