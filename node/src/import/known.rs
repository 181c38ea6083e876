//! What an album knows of a content, and whether it has more of it than words.
//!
//! `present` lets a person empty a card. So it is said only where the bytes are safe: the original
//! lies here, or an archive has proved lately that it holds it. Otherwise the file in hand is what
//! there is, and what is missing is made again out of it: the same key and the same shape give the
//! same ciphertext, so that the item that lost its original has it back, here and for everybody.
//!
//! What another person added is claimed to have some content, be it a part of one's own item, until
//! its ciphertext was opened here and held against the file, or came out the same when it was made
//! again.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use heirloom_protocol::{
    album::asset::{Asset, BlobRef},
    crypto::{Class, Shape},
    id::{AlbumId, PersonId, PlainHash},
    op::Part,
};

use super::{
    Shared,
    deleted::{self, Trash},
    encrypt::seal_as,
    prepare::Refused,
};
use crate::{
    original::Plain,
    runtime::{AssetKey, Kept, items_with},
    store::{BlobPlace, Store},
};

/// Bytes hashed at once.
const HASH_BYTES: usize = 256 * 1024;

/// How closely what is here is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// That a file of the right name and length is there: for sources that are known by their times alone.
    Quick,
    /// Every byte, as every byte of the source was read.
    Close,
}

/// What is said of a file once its content is known to be safe.
#[derive(Clone, Debug)]
pub(super) enum Then {
    /// The album has it.
    Present,
    /// It stays in the trash.
    Trashed(Trash),
    /// It comes back from the trash.
    Restore,
}

impl Then {
    /// Which item a file is told of: first what is in sight, last what this person cannot bring back.
    const fn rank(&self) -> u8 {
        match self {
            Self::Present => 0,
            Self::Restore => 1,
            Self::Trashed(Trash { may_restore, .. }) => match may_restore {
                true => 2,
                false => 3,
            },
        }
    }
}

/// An item of which no device that counts has the original.
#[derive(Clone)]
pub(super) struct Lost {
    pub(super) key: AssetKey,
    pub(super) blob: BlobRef,
    pub(super) then: Then,
    part: Part,
}

/// An original that was made again out of a file; it is written, not yet durable.
pub(super) struct Remade {
    pub(super) lost: Lost,
    pub(super) place: BlobPlace,
}

/// What an album knows of a content.
pub(super) struct Known {
    /// What to say of the file, where nothing more is to be done.
    pub(super) refused: Option<Refused>,
    /// Items with this content whose bytes are missing, to be tried first; those in the trash last.
    pub(super) lost: Vec<Lost>,
}

/// Looks for a content in an album.
pub(super) fn find(
    shared: &Shared<'_>,
    album: AlbumId,
    hash: PlainHash,
    bytes: u64,
    look: Look,
) -> Result<Known, Refused> {
    let store = shared.node.store();
    let me = shared
        .node
        .ask_blocking(|runtime| runtime.replica().person())?;
    let (mut gone, mut safe, mut lost) = (None, Vec::new(), Vec::new());
    let keys = items_with(store, hash)?.into_iter();
    for key in keys.filter(|key| key.album == album) {
        let asset = key.load(store)?;
        if asset.added.is_none() {
            continue;
        }
        if asset.is_purged() {
            if gone.is_none() && was_it(store, &asset, hash, me) {
                gone = Some((key, asset));
            }
            continue;
        }
        let then = then(shared, key, &asset)?;
        for (person, part, blob) in parts_with(&asset, hash) {
            let is_own = Some(person) == me;
            let found = asset.clone();
            let blob = *blob;
            let kept = shared
                .node
                .ask_blocking(move |runtime| runtime.original_kept(&found, &blob))??;
            if is_safe(store, kept, part, &blob, is_own, look)? {
                safe.push((key, then.clone()));
                break;
            }
            // What is about to be erased is no place to put anything.
            if kept != Kept::Ended {
                let (part, then) = (part.clone(), then.clone());
                lost.push(Lost {
                    key,
                    blob,
                    then,
                    part,
                });
            }
        }
        if matches!(safe.last(), Some((_, Then::Present))) {
            break;
        }
    }
    lost.sort_by_key(|lost| lost.then.rank());
    // Of several people's items with one content some may lie in the trash, and go with it: what is lost of one that
    // is in sight is put back all the same.
    if let Some((key, then)) = safe.into_iter().min_by_key(|(_, then)| then.rank()) {
        lost.retain(|lost| lost.then.rank() < then.rank());
        let refused = Some(refusal(key, then, bytes));
        return Ok(Known { refused, lost });
    }
    let refused = match gone {
        Some((key, asset)) if !shared.request.restore => {
            let reason = deleted::for_good(shared, &asset)?;
            Some(Refused::Purged(key.item, reason))
        }
        _ => None,
    };
    Ok(Known { refused, lost })
}

fn then(shared: &Shared<'_>, key: AssetKey, asset: &Asset) -> Result<Then, Refused> {
    if asset.trashed().is_none() {
        return Ok(Then::Present);
    }
    let trash = deleted::in_trash(shared, key, asset)?;
    let comes_back = trash.may_restore && shared.request.restore && !shared.request.dry_run;
    Ok(match comes_back {
        true => Then::Restore,
        false => Then::Trashed(trash),
    })
}

fn refusal(key: AssetKey, then: Then, bytes: u64) -> Refused {
    match then {
        Then::Present => Refused::Present(Some(key.item), None, bytes),
        Then::Trashed(trash) => Refused::Trashed(key.item, trash, bytes),
        Then::Restore => Refused::Restore(key, bytes),
    }
}

/// Whether a content would still be there if the file in hand went.
fn is_safe(
    store: &Store,
    kept: Kept,
    part: &Part,
    blob: &BlobRef,
    is_own: bool,
    look: Look,
) -> Result<bool, Refused> {
    let place = match kept {
        Kept::Here(place) => place,
        // Of what another person added nobody here knows yet whether it is this content.
        Kept::Elsewhere => return Ok(is_own),
        Kept::Ended | Kept::Nowhere => return Ok(false),
    };
    // What cannot be read is not safe, whatever keeps it from being read.
    Ok(match (is_own, look) {
        (true, Look::Quick) => store.blobs().open_blob(&blob.id, &place).is_ok(),
        (true, Look::Close) => store.blobs().is_whole(&blob.id, &place).unwrap_or(false),
        (false, _) => opens_to(store, part, blob),
    })
}

/// The parts that are said to have a content, and who says so: of an item of one person others may add parts.
fn parts_with(asset: &Asset, hash: PlainHash) -> impl Iterator<Item = (PersonId, &Part, &BlobRef)> {
    let parts = asset.said_parts();
    parts.filter(move |(_, part, _)| part.pt_hash == hash)
}

/// Whether a deleted item had this content: as this person said, or as the bytes say that are still here.
fn was_it(store: &Store, asset: &Asset, hash: PlainHash, me: Option<PersonId>) -> bool {
    parts_with(asset, hash)
        .any(|(person, part, blob)| Some(person) == me || opens_to(store, part, blob))
}

/// Whether a blob that lies here opens to the content that its part claims.
pub(super) fn opens_to(store: &Store, part: &Part, blob: &BlobRef) -> bool {
    // What was dropped lies here until it is erased.
    let Ok(Some(place)) = store.place_of(&blob.log, blob.ordinal) else {
        return false;
    };
    let Ok(mut plain) = Plain::open_at(store, blob, &place, &part.key, part.len) else {
        return false;
    };
    hash_of(&mut plain).is_ok_and(|hash| hash == part.pt_hash)
}

/// The BLAKE3 of what is left to read.
pub(super) fn hash_of(plain: &mut impl Read) -> std::io::Result<PlainHash> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; HASH_BYTES];
    loop {
        match plain.read(&mut buffer)? {
            0 => return Ok(PlainHash(*hasher.finalize().as_bytes())),
            count => hasher.update(&buffer[..count]),
        };
    }
}

/// Makes the original of one of these items again out of the file; none where it gives other
/// ciphertexts than theirs, so that what was claimed of it is not true.
///
/// A key that somebody else chose may come to serve a plaintext that it was not made for: then the
/// name differs, and nothing of that ciphertext stays.
pub(super) fn remake(
    store: &Store,
    file: &mut File,
    bytes: u64,
    lost: Vec<Lost>,
) -> Result<Option<Remade>, Refused> {
    for lost in lost {
        let Lost { part, blob, .. } = &lost;
        if part.len != bytes || blob.class != Class::Original.code() {
            continue;
        }
        let Ok(shape) = Shape::signed(Class::Original, blob.part, blob.padded, bytes) else {
            continue;
        };
        file.seek(SeekFrom::Start(0))?;
        let stored = seal_as(store, file, shape, part.pt_hash, &part.key, &blob.id)?;
        if let Some(stored) = stored {
            let place = stored.place;
            return Ok(Some(Remade { lost, place }));
        }
    }
    Ok(None)
}
