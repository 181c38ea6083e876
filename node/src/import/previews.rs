//! Previews and thumbnails of what was added, made after it is safe.
//!
//! The original is read back from its own blob, so what is shown is what is
//! kept. A picture that cannot be made costs its reason and nothing else; a
//! reason that may pass (no worker) leaves it due, and any other makes it due once
//! more for the next version (`tried.rs`).

use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use heirloom_protocol::{
    album::asset::Asset,
    crypto::{BlobKey, Class, Encryptor, Purpose, SeededRng, Shape},
    id::{AlbumId, OpId, PlainHash},
    limits,
    log::entry::BlobLine,
    op::{AddBlob, Field, ItemKind, Level, Op, SetField},
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{
    reuse::{self, Named},
    tried::{self, Ended},
};
use crate::{
    api::ApiError,
    media::{MediaKind, MediaType, Pool, Previews, Reason},
    node::Node,
    original::Plain,
    runtime::{AssetKey, RuntimeError, decode_asset},
    store::{BlobPlace, BlobWriter, Store, StoreError, Table},
};

/// Items whose pictures are recorded in one entry; the first time fewer, so that the first are seen soon.
const BATCH: usize = 32;
const FIRST_BATCH: usize = 2;

/// An asset whose pictures are to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// Which.
    pub key: AssetKey,
    /// What it is.
    pub media: MediaType,
}

/// What one asset's pictures came to.
struct Outcome {
    item: OpId,
    /// There are none, for a reason that stays.
    is_none: bool,
    ops: Vec<Op>,
    lines: Vec<BlobLine>,
    places: Vec<BlobPlace>,
}

/// Assets of this person that are here and have neither pictures nor a reason. Reads every row.
///
/// # Errors
///
/// What the store says.
pub fn overdue(node: &Node, albums: &[AlbumId]) -> Result<Vec<Due>, ApiError> {
    let me = node.ask_blocking(|runtime| runtime.replica().person())?;
    let mut due = Vec::new();
    for album in albums {
        node.store().scan(Table::Assets, &album.0, |key, row| {
            let asset = row.ok().and_then(|row| decode_asset(&row));
            if let (Some(key), Some(asset)) = (AssetKey::from_bytes(key), asset)
                && asset.owner() == me
                && is_due(&asset)
                && let Some(media) = media_of(&asset)
            {
                due.push(Due { key, media });
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(due)
}

fn is_due(asset: &Asset) -> bool {
    is_bare(asset) && asset.field(Field::NoPreview).is_none()
}

fn is_bare(asset: &Asset) -> bool {
    asset.shown_blob(0, Class::Thumbnail.code()).is_none() && !asset.is_purged()
}

/// Assets of this person that are without pictures and are to be tried again now: what was left over, what
/// this version has not tried yet, and that over which a worker was ended from outside in an earlier run. With
/// `all`, whatever was tried. Reads every row.
///
/// # Errors
///
/// What the store says.
pub(crate) fn due_again(node: &Node, all: bool) -> Result<Vec<Due>, ApiError> {
    let store = node.store();
    if all {
        tried::forget(store)?;
    }
    let view = node.ask_blocking(|runtime| runtime.view())?;
    let mut bare = Vec::new();
    for (album, seen) in &view.albums {
        if seen.level < Level::Contributor {
            continue;
        }
        store.scan(Table::Assets, &album.0, |key, row| {
            let asset = row.ok().and_then(|row| decode_asset(&row));
            if let (Some(key), Some(asset)) = (AssetKey::from_bytes(key), asset)
                && asset.owner() == view.person
                && is_bare(&asset)
                && let Some(media) = media_of(&asset)
            {
                bare.push((Due { key, media }, asset.field(Field::NoPreview).is_some()));
            }
            ControlFlow::Continue(())
        })?;
    }
    let mut due = Vec::new();
    for (one, is_told) in bare {
        let is_due = match is_told {
            true => tried::is_due_again(store, &one.key)?,
            false => tried::was_ended(store, &one.key)? != Some(Ended::Now),
        };
        due.extend(is_due.then_some(one));
    }
    Ok(due)
}

/// Makes what [`due_again`] says. Blocks.
///
/// # Errors
///
/// What the store says; the rest is due the next time.
pub(crate) fn make_again(node: &Node, all: bool, cancelled: &AtomicBool) -> Result<(), ApiError> {
    let due = due_again(node, all)?;
    if due.is_empty() {
        return Ok(());
    }
    let (program, args) = node.options().worker.clone();
    let pool = Arc::new(Pool::new(program, args, 0));
    let count = due.len();
    tracing::info!(count, "pictures that could not be made are tried again");
    make(node, &pool, due, cancelled, || {})
}

/// Tries once, as a node starts, what is due again by then.
pub(crate) async fn run_again(node: Node, ending: CancellationToken) {
    let cancelled = Arc::new(AtomicBool::new(false));
    let (busy, ended) = (node.clone(), Arc::clone(&cancelled));
    let work = node.blocking(move || make_again(&busy, false, &ended));
    tokio::pin!(work);
    let done = tokio::select! {
        done = &mut work => done,
        () = ending.cancelled() => {
            cancelled.store(true, Ordering::Relaxed);
            work.await
        }
    };
    if let Ok(Err(error)) = done {
        tracing::warn!(error = error.message, "pictures that could not be made");
    }
}

pub(super) fn media_of(asset: &Asset) -> Option<MediaType> {
    let item = &asset.added.as_ref()?.item;
    u8::try_from(item.media).ok().and_then(MediaType::from_code)
}

/// Makes the pictures of everything due; returns when they are durable. Blocks.
///
/// `each` is called after every asset.
///
/// # Errors
///
/// What the store says; assets left over stay due.
pub fn make(
    node: &Node,
    pool: &Arc<Pool>,
    due: Vec<Due>,
    cancelled: &AtomicBool,
    each: impl Fn() + Sync,
) -> Result<(), ApiError> {
    let mut albums: std::collections::BTreeMap<AlbumId, Vec<Due>> =
        std::collections::BTreeMap::new();
    for one in due {
        albums.entry(one.key.album).or_default().push(one);
    }
    for (album, due) in albums {
        let (mut rest, mut size) = (&due[..], FIRST_BATCH);
        while !rest.is_empty() {
            if cancelled.load(Ordering::Relaxed) {
                return Ok(());
            }
            let (batch, later) = rest.split_at(size.min(rest.len()));
            (rest, size) = (later, (size * 2).min(BATCH));
            let outcomes = make_batch(node, pool, batch, cancelled, &each)?;
            record(node, album, outcomes)?;
        }
    }
    Ok(())
}

fn make_batch(
    node: &Node,
    pool: &Arc<Pool>,
    batch: &[Due],
    cancelled: &AtomicBool,
    each: &(impl Fn() + Sync),
) -> Result<Vec<Outcome>, ApiError> {
    let next = Mutex::new(batch.iter());
    let made = Mutex::new(Vec::new());
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..pool.workers().max(1) {
            scope.spawn(|| {
                loop {
                    let one = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(one) = one else { return };
                    if cancelled.load(Ordering::Relaxed) {
                        return;
                    }
                    match make_one(node, pool, *one) {
                        Ok(outcome) => {
                            made.lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .extend(outcome);
                        }
                        Err(error) => {
                            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                            return;
                        }
                    }
                    each();
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(made.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

fn make_one(node: &Node, pool: &Pool, due: Due) -> Result<Option<Outcome>, ApiError> {
    let store = node.store();
    let asset = due.key.load(store)?;
    let Some(added) = asset.added.as_ref().filter(|_| is_bare(&asset)) else {
        return Ok(None);
    };
    let said = asset.field(Field::NoPreview);
    let ended = tried::was_ended(store, &due.key)?;
    if ended == Some(Ended::Now) || (said.is_some() && !tried::is_due_again(store, &due.key)?) {
        return Ok(None);
    }
    let (part, blob) = (&added.item.parts[0], &added.blobs[0]);
    if added.item.kind == ItemKind::Video || due.media.kind() == MediaKind::Video {
        return Ok(Some(none(due.key.item, said, "movies have no preview yet")));
    }
    let me = asset.owner();
    let made = me.map(|me| reuse::pictures(store, me, part.pt_hash));
    if let Some(made) = made.transpose()?.flatten() {
        return Ok(Some(named_again(due.key.item, made)));
    }
    let mut original = match Plain::open(store, blob, &part.key, part.len) {
        Ok(original) => original,
        // Not here, or damaged: whoever holds it whole makes the pictures.
        Err(StoreError::Damaged(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match pool.make(&mut original, due.media).pictures {
        Ok(pictures) => Ok(Some(outcome_of(node, due.key.item, &pictures)?)),
        // The file may be what made memory short: so once more, and not in this run.
        Err(Reason::Ended) if ended.is_none() => {
            tried::note_ended(store, due.key)?;
            Ok(None)
        }
        Err(reason) if reason.is_passing() && reason != Reason::Ended => Ok(None),
        Err(reason) => Ok(Some(none(due.key.item, said, &reason.to_string()))),
    }
}

/// That there are no pictures, which is said unless it is already.
fn none(item: OpId, said: Option<&[u8]>, reason: &str) -> Outcome {
    let op = Op::SetField(SetField {
        item,
        field: Field::NoPreview.code(),
        value: reason.as_bytes().to_vec(),
    });
    let is_new = said != Some(reason.as_bytes());
    Outcome {
        item,
        is_none: true,
        ops: is_new.then_some(op).into_iter().collect(),
        lines: Vec::new(),
        places: Vec::new(),
    }
}

/// Pictures that were made for another item with the same content.
fn named_again(item: OpId, made: Vec<(AddBlob, Named)>) -> Outcome {
    let mut outcome = Outcome {
        item,
        is_none: false,
        ops: Vec::new(),
        lines: Vec::new(),
        places: Vec::new(),
    };
    for (made, named) in made {
        outcome.ops.push(Op::AddBlob(AddBlob { item, ..made }));
        outcome.lines.push(named.line);
        outcome.places.push(named.place);
    }
    outcome
}

fn outcome_of(node: &Node, item: OpId, made: &Previews) -> Result<Outcome, ApiError> {
    let mut outcome = Outcome {
        item,
        is_none: false,
        ops: Vec::new(),
        lines: Vec::new(),
        places: Vec::new(),
    };
    let sizes = [
        (Class::Preview, &made.preview, made.preview_size, Vec::new()),
        (
            Class::Thumbnail,
            &made.thumbnail,
            made.thumbnail_size,
            made.thumbhash.clone(),
        ),
    ];
    for (class, jpeg, size, thumbhash) in sizes {
        let hash = PlainHash(*blake3::hash(jpeg).as_bytes());
        let key = blob_key(node, class, hash)?;
        let (line, place) = encrypt(node.store(), class, jpeg, &key)?;
        outcome.ops.push(Op::AddBlob(AddBlob {
            item,
            len: u64::try_from(jpeg.len()).unwrap_or(u64::MAX),
            width: size.width,
            height: size.height,
            pt_hash: hash,
            key,
            thumbhash: thumbhash
                .into_iter()
                .take(limits::THUMBHASH_BYTES)
                .collect(),
            blob: 0,
        }));
        outcome.lines.push(line);
        outcome.places.push(place);
    }
    Ok(outcome)
}

fn blob_key(node: &Node, class: Class, hash: PlainHash) -> Result<BlobKey, RuntimeError> {
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(random.as_mut()).map_err(|_| RuntimeError::NoRandomness)?;
    let keys = node.ask_blocking(|runtime| runtime.keys().clone())?;
    let seed = Zeroizing::new(keys.hedge(Purpose::Blob, &random, &hash, &[class.code()]));
    Ok(BlobKey::generate(&mut SeededRng::from_seed(*seed)))
}

/// Encrypts a picture that is in memory.
fn encrypt(
    store: &Store,
    class: Class,
    plain: &[u8],
    key: &BlobKey,
) -> Result<(BlobLine, BlobPlace), StoreError> {
    let len = u64::try_from(plain.len()).unwrap_or(u64::MAX);
    let shape = Shape::padded(class, 0, len).expect("a preview is far below the limit of a blob");
    let stored = sealed(store, shape, plain, key)?.finish()?;
    let line = BlobLine {
        part: 0,
        class: class.code(),
        id: stored.cid,
        padded: shape.padded_bytes(),
    };
    Ok((line, stored.place))
}

/// The ciphertext of a picture that is in memory, on its way to the disk.
pub(super) fn sealed(
    store: &Store,
    shape: Shape,
    plain: &[u8],
    key: &BlobKey,
) -> Result<BlobWriter, StoreError> {
    let mut encryptor = Encryptor::new(key, shape);
    let mut writer = store.blobs().writer();
    let mut segment = Vec::with_capacity(limits::LEAF_BYTES);
    let mut rest = plain;
    for index in 0..shape.segments() {
        let (data, after) = rest.split_at(shape.data_bytes(index));
        rest = after;
        segment.clear();
        segment.extend_from_slice(data);
        encryptor
            .seal_segment(index, &mut segment)
            .expect("segments go upwards, each once");
        writer.write(&segment)?;
    }
    Ok(writer)
}

fn record(node: &Node, album: AlbumId, mut outcomes: Vec<Outcome>) -> Result<(), ApiError> {
    if outcomes.is_empty() {
        return Ok(());
    }
    outcomes.sort_by_key(|outcome| outcome.item);
    let none = outcomes.iter().filter(|outcome| outcome.is_none);
    let none: Vec<_> = none
        .map(|outcome| AssetKey {
            album,
            item: outcome.item,
        })
        .collect();
    node.store().blobs().sync()?;
    let (mut ops, mut lines, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for outcome in outcomes {
        let mut blobs = outcome.lines.into_iter().zip(outcome.places);
        for mut op in outcome.ops {
            if let Op::AddBlob(made) = &mut op
                && let Some((line, place)) = blobs.next()
            {
                made.blob = u32::try_from(lines.len()).unwrap_or(u32::MAX);
                lines.push(line);
                places.push(place);
            }
            ops.push(op);
        }
    }
    if !ops.is_empty() {
        node.ask_blocking(move |runtime| runtime.record(album, ops, lines, &places))??;
    }
    Ok(tried::note(node.store(), &none)?)
}
