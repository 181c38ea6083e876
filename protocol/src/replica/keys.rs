//! Keys of all spaces: opening them, and which one may be written under.

use std::collections::BTreeSet;

use super::{
    Replica,
    control::{Hit, Loss},
    space::AlbumSpace,
};
use crate::{
    album::epoch::{Known, Opener, Reader},
    crypto::{BodyKey, EpochKind},
    discovery::NetTagKey,
    id::{DeviceId, EpochId, SpaceId},
    op::{Sealed, Subject},
};

impl Replica {
    /// Opens what can be opened and names the albums that became readable.
    pub(super) fn open_keys(&mut self) -> Vec<SpaceId> {
        let family = self.family();
        let keys = self.keys.clone();
        let opener = Opener::device(&keys);
        self.control.epochs.open(family, &opener);
        let mut readable = Vec::new();
        for (space, album) in &mut self.albums {
            if album.epochs.open(family, &opener) > 0 {
                readable.push(*space);
            }
        }
        readable
    }

    /// The album epoch that this device may write under, if there is one.
    pub(super) fn album_epoch(&self, space: &SpaceId) -> Option<EpochId> {
        let album = self.albums.get(space)?;
        let readers = self.album_readers(album);
        let readers: BTreeSet<DeviceId> = readers.iter().map(|reader| reader.id).collect();
        let given = album.epochs.given_beyond(|key| readers.contains(key));
        album.epochs.best(EpochKind::Album, |id, known| {
            !given.contains(id) && self.album_epoch_is_fresh(album, known)
        })
    }

    /// No loss of a reader is known outside of what the epoch had seen.
    fn album_epoch_is_fresh(&self, album: &AlbumSpace, known: &Known) -> bool {
        let removals = self.control.losses.iter().filter(|loss| self.counts(loss));
        let mut removals = removals.filter(|loss| match loss.hit {
            Hit::Person(person) => album.ever_read(&person),
            Hit::Device(device) => self
                .control
                .owner_of(&device)
                .is_some_and(|person| album.ever_read(&person)),
        });
        let control_sees = |loss: &Loss| self.control.graph.sees(&known.seen, &loss.entry);
        removals.all(control_sees)
            && album
                .lowered()
                .all(|entry| album.graph.sees(&known.seen, &entry))
            && album.minter_may(&self.control, &known.name.minter)
    }

    /// The control space's epoch of a kind that may be written under.
    pub(super) fn control_epoch(&self, kind: EpochKind) -> Option<EpochId> {
        self.control.epochs.best(kind, |_, known| {
            let losses = self.control.losses.iter().filter(|loss| self.counts(loss));
            let sees = |loss: &Loss| self.control.graph.sees(&known.seen, &loss.entry);
            let by_person = self.control.owner_of(&known.name.minter).is_some();
            by_person && losses.into_iter().all(sees)
        })
    }

    fn counts(&self, loss: &Loss) -> bool {
        self.control.resolution().accepted.contains(&loss.op)
    }

    /// The keys of discovery tags: first the one to announce under, then older ones to recognise.
    pub fn net_tag_keys(&self) -> Vec<NetTagKey> {
        let best = self.control_epoch(EpochKind::Net);
        let mut known: Vec<_> = self.control.epochs.of_kind(EpochKind::Net).collect();
        known.sort_by_key(|(id, known)| {
            (
                Some(*id) != best,
                std::cmp::Reverse(known.name.generation),
                *id,
            )
        });
        known
            .into_iter()
            .filter_map(|(_, known)| known.key().map(NetTagKey::new))
            .collect()
    }

    /// Opens a sealed value of a control entry; `None` without its key, and for what is not UTF-8.
    pub(super) fn open_value(
        &self,
        author: DeviceId,
        subject: &Subject,
        field: u16,
        sealed: &Sealed,
    ) -> Option<String> {
        let key = self.control.epochs.key(&sealed.epoch)?;
        let aad = value_aad(self.family().control_space(), author, field, subject);
        let plain =
            crate::crypto::body::open(&key.value_key(), &sealed.nonce, &aad, &sealed.ciphertext)
                .ok()?;
        String::from_utf8(plain).ok()
    }

    /// Readers of a space that have no box of an epoch they are entitled to, by epoch.
    pub(super) fn keyless(&self, space: &SpaceId) -> Vec<(EpochId, Vec<Reader>)> {
        let (epochs, kinds): (_, &[EpochKind]) = match self.albums.get(space) {
            Some(album) => (&album.epochs, &[EpochKind::Album]),
            None => (&self.control.epochs, &[EpochKind::Family, EpochKind::Net]),
        };
        let mut lacking = Vec::new();
        for kind in kinds {
            let readers = match self.albums.get(space) {
                Some(album) => self.album_readers(album),
                None => self.control.readers_of(*kind),
            };
            for id in epochs.newest(*kind) {
                let Some(known) = epochs.get(&id).filter(|known| known.key().is_some()) else {
                    continue;
                };
                let without: Vec<_> = readers
                    .iter()
                    .filter(|reader| !known.is_sealed_to(reader))
                    .copied()
                    .collect();
                if !without.is_empty() {
                    lacking.push((id, without));
                }
            }
        }
        lacking
    }

    /// The devices and kits of everyone who may read an album.
    pub(super) fn album_readers(&self, album: &AlbumSpace) -> Vec<Reader> {
        self.control
            .readers(|person| person.is_some_and(|person| album.may_read(&person)))
    }

    /// Whether this device can read what is written in an album now.
    pub fn can_read(&self, space: &SpaceId) -> bool {
        self.albums.get(space).is_some_and(|album| {
            album
                .epochs
                .of_kind(EpochKind::Album)
                .any(|(_, known)| known.key().is_some())
        })
    }
}

/// What binds a sealed value to its place: space, author, tag of the op, field and subject.
pub(super) fn value_aad(
    space: SpaceId,
    author: DeviceId,
    field: u16,
    subject: &Subject,
) -> Vec<u8> {
    crate::wire::encode(&(space, author, 0x0109_u16, field, *subject))
}

/// The key of sealed values under an epoch that is known to be here.
pub(super) fn value_key(replica: &Replica, epoch: &EpochId) -> Option<BodyKey> {
    replica
        .control
        .epochs
        .key(epoch)
        .map(crate::crypto::EpochKey::value_key)
}
