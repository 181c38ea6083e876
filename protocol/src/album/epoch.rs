//! Keys of a space by epoch: opened from boxes and chains, minted when somebody loses access.
//!
//! An epoch that is void, cut or stale still opens what was written under it;
//! which one may be written under is decided in the replica, which knows who
//! lost access since.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;

use crate::{
    crypto::{
        DeviceKeys, EpochKey, EpochKind, EpochName, RecipientKind, SealContext, SealPublic,
        SealSecret,
        body::{self, BodyNonce},
        seal,
    },
    id::{DeviceId, EntryId, EpochId, FamilyId, OpId, SpaceId},
    op::{Chained, Epoch, SealedTo},
    wire,
};

/// Most boxes kept for one recipient of one epoch, so that a bad one does not shut out a good one.
const BOXES: usize = 8;
/// Most epochs that one may follow.
const AFTER: usize = 64;

/// Someone who is given keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Reader {
    /// Device or kit.
    pub kind: RecipientKind,
    /// Its signing key.
    pub id: DeviceId,
    /// The op that certified its sealing key.
    pub cert: OpId,
    /// Its sealing key.
    pub seal: SealPublic,
}

/// Who opens boxes: this device, or a recovery kit.
pub struct Opener<'a> {
    /// Device or kit.
    pub kind: RecipientKind,
    /// Its signing key.
    pub id: DeviceId,
    /// Its sealing secrets, the current one first.
    pub secrets: Vec<&'a SealSecret>,
}

impl<'a> Opener<'a> {
    /// This device.
    pub fn device(keys: &'a DeviceKeys) -> Self {
        Self {
            kind: RecipientKind::Device,
            id: keys.device_id(),
            secrets: vec![&keys.seal],
        }
    }
}

#[derive(Debug)]
struct Boxed {
    author: DeviceId,
    to: SealedTo,
}

/// One epoch as far as it is known here.
#[derive(Debug)]
pub struct Known {
    /// What its id is made of.
    pub name: EpochName,
    /// The entry that started it, and what that had seen.
    pub entry: EntryId,
    /// Deps and `prev` of that entry.
    pub seen: Vec<EntryId>,
    after: Vec<EpochId>,
    chained: Option<Chained>,
    boxes: Vec<Boxed>,
    key: Option<EpochKey>,
}

impl Known {
    /// The key, once it was opened.
    pub fn key(&self) -> Option<&EpochKey> {
        self.key.as_ref()
    }

    /// Whether somebody has a box of this epoch.
    pub fn is_sealed_to(&self, reader: &Reader) -> bool {
        self.boxes
            .iter()
            .any(|boxed| boxed.to.to == reader.id && boxed.to.cert == reader.cert)
    }
}

/// The epochs of one space.
#[derive(Debug, Default)]
pub struct Epochs {
    known: BTreeMap<EpochId, Known>,
    /// Boxes that came before their epoch.
    early: BTreeMap<EpochId, Vec<Boxed>>,
}

impl Epochs {
    /// Takes note of an epoch that a standing entry starts. One whose generation or id is wrong is left out.
    pub fn add(
        &mut self,
        space: SpaceId,
        author: DeviceId,
        entry: EntryId,
        seen: Vec<EntryId>,
        op: &Epoch,
    ) {
        if self.known.contains_key(&op.id) || op.after.len() > AFTER {
            return;
        }
        let name = EpochName {
            space,
            kind: op.kind,
            generation: op.generation,
            minter: author,
        };
        let mut known = Known {
            name,
            entry,
            seen,
            after: op.after.clone(),
            chained: op.prev.clone(),
            boxes: Vec::new(),
            key: None,
        };
        known.boxes.extend(op.seals.iter().map(|to| Boxed {
            author,
            to: to.clone(),
        }));
        known
            .boxes
            .extend(self.early.remove(&op.id).unwrap_or_default());
        self.known.insert(op.id, known);
    }

    /// Takes note of more boxes for an epoch, which may not be known yet.
    pub fn add_boxes(&mut self, epoch: EpochId, author: DeviceId, seals: &[SealedTo]) {
        let boxes = match self.known.get_mut(&epoch) {
            Some(known) => &mut known.boxes,
            None if self.early.len() < 1024 => self.early.entry(epoch).or_default(),
            None => return,
        };
        for to in seals {
            let same = |boxed: &&Boxed| boxed.to.to == to.to;
            if boxes.iter().filter(same).count() < BOXES
                && !boxes
                    .iter()
                    .any(|boxed| boxed.author == author && boxed.to == *to)
            {
                boxes.push(Boxed {
                    author,
                    to: to.clone(),
                });
            }
        }
    }

    /// Opens what can be opened, boxes first, then chains. Returns how many keys are new.
    pub fn open(&mut self, family: FamilyId, opener: &Opener<'_>) -> usize {
        let mut opened = 0;
        for (id, known) in &mut self.known {
            if known.key.is_none() {
                known.key = open_box(family, *id, known, opener);
                opened += usize::from(known.key.is_some());
            }
        }
        loop {
            let mut found = Vec::new();
            for (id, known) in &self.known {
                found.extend(self.open_chain(*id, known));
            }
            if found.is_empty() {
                return opened;
            }
            for (id, key) in found {
                if let Some(known) = self.known.get_mut(&id) {
                    opened += usize::from(known.key.is_none());
                    known.key = Some(key);
                }
            }
        }
    }

    fn open_chain(&self, id: EpochId, known: &Known) -> Vec<(EpochId, EpochKey)> {
        let (Some(key), Some(chained)) = (&known.key, &known.chained) else {
            return Vec::new();
        };
        let lacks = |id: &EpochId| self.known.get(id).is_some_and(|older| older.key.is_none());
        if !known.after.iter().any(lacks) {
            return Vec::new();
        }
        let Ok(plain) = body::open(&key.chain_key(), &chained.nonce, &id.0, &chained.ciphertext)
        else {
            return Vec::new();
        };
        let plain = zeroize::Zeroizing::new(plain);
        let Ok(keys) = wire::decode::<Vec<(EpochId, [u8; 32])>>(&plain, 64 * AFTER + 16) else {
            return Vec::new();
        };
        keys.into_iter()
            .filter(|(id, _)| lacks(id))
            .map(|(id, bytes)| (id, EpochKey::from_bytes(bytes)))
            .filter(|(id, key)| {
                self.known
                    .get(id)
                    .is_some_and(|older| key.id(&older.name) == *id)
            })
            .collect()
    }

    /// The key of an epoch, once it was opened.
    pub fn key(&self, id: &EpochId) -> Option<&EpochKey> {
        self.known.get(id)?.key.as_ref()
    }

    /// All epochs of a kind, by id.
    pub fn of_kind(&self, kind: EpochKind) -> impl Iterator<Item = (EpochId, &Known)> {
        self.known
            .iter()
            .filter(move |(_, known)| known.name.kind == kind)
            .map(|(id, known)| (*id, known))
    }

    /// Epochs of a kind that no other one follows: what a newcomer must be given.
    ///
    /// One whose key is not here follows nothing: nobody can be given it from
    /// here, and maybe nobody at all has it.
    pub fn newest(&self, kind: EpochKind) -> Vec<EpochId> {
        let followed = |id: &EpochId| {
            self.known.values().any(|known| {
                known.key.is_some() && known.chained.is_some() && known.after.contains(id)
            })
        };
        self.of_kind(kind)
            .map(|(id, _)| id)
            .filter(|id| !followed(id))
            .collect()
    }

    /// Epochs whose key somebody else than these readers was given: in a box, or by way of an epoch
    /// that holds it.
    ///
    /// Whoever sealed it may have counted on a grant that does not count after all.
    pub fn given_beyond(&self, is_reader: impl Fn(&DeviceId) -> bool) -> BTreeSet<EpochId> {
        let has_other = |known: &Known| known.boxes.iter().any(|boxed| !is_reader(&boxed.to.to));
        let given = self.known.iter().filter(|(_, known)| has_other(known));
        let mut given: BTreeSet<EpochId> = given.map(|(id, _)| *id).collect();
        let mut left: Vec<EpochId> = given.iter().copied().collect();
        while let Some(id) = left.pop() {
            let known = self.known.get(&id).filter(|known| known.chained.is_some());
            for older in known.into_iter().flat_map(|known| &known.after) {
                if given.insert(*older) {
                    left.push(*older);
                }
            }
        }
        given
    }

    /// The epoch to write under among those that `fits` accepts: the highest generation, then the smallest id.
    pub fn best(
        &self,
        kind: EpochKind,
        fits: impl Fn(&EpochId, &Known) -> bool,
    ) -> Option<EpochId> {
        self.of_kind(kind)
            .filter(|(id, known)| {
                known.key.is_some() && self.generation_is_right(known) && fits(id, known)
            })
            .max_by_key(|(id, known)| (known.name.generation, std::cmp::Reverse(*id)))
            .map(|(id, _)| id)
    }

    fn generation_is_right(&self, known: &Known) -> bool {
        let before = known
            .after
            .iter()
            .map(|id| self.known.get(id).map(|k| k.name.generation));
        let largest = before
            .collect::<Option<Vec<_>>>()
            .map(|all| all.into_iter().max().unwrap_or(0));
        largest.and_then(|largest| largest.checked_add(1)) == Some(known.name.generation)
    }

    /// Makes a fresh epoch that follows all newest ones whose key is known.
    ///
    /// `history` chains back to those, so that whoever opens it reads what was before.
    #[expect(
        clippy::too_many_arguments,
        reason = "an epoch is made of exactly these, in two places"
    )]
    pub fn mint(
        &self,
        family: FamilyId,
        space: SpaceId,
        kind: EpochKind,
        minter: DeviceId,
        readers: &[Reader],
        history: bool,
        rng: &mut impl CryptoRng,
    ) -> Epoch {
        let after: Vec<_> = self
            .newest(kind)
            .into_iter()
            .filter(|id| self.key(id).is_some())
            .take(AFTER)
            .collect();
        let largest = after
            .iter()
            .map(|id| self.known[id].name.generation)
            .max()
            .unwrap_or(0);
        let generation = largest.saturating_add(1);
        let name = EpochName {
            space,
            kind,
            generation,
            minter,
        };
        let key = EpochKey::generate(rng);
        let id = key.id(&name);
        let prev = (history && !after.is_empty()).then(|| self.chain(&key, id, &after, rng));
        let seals = seal_to(family, &name, id, &key, minter, readers, rng);
        Epoch {
            kind,
            generation,
            id,
            after,
            prev,
            seals,
        }
    }

    fn chain(
        &self,
        key: &EpochKey,
        id: EpochId,
        after: &[EpochId],
        rng: &mut impl CryptoRng,
    ) -> Chained {
        let older: Vec<(EpochId, [u8; 32])> = after
            .iter()
            .filter_map(|id| Some((*id, *self.key(id)?.as_bytes())))
            .collect();
        let nonce = BodyNonce::generate(rng);
        let plain = zeroize::Zeroizing::new(wire::encode(&older));
        let ciphertext = body::seal(&key.chain_key(), &nonce, &id.0, &plain);
        Chained { nonce, ciphertext }
    }

    /// Seals a known epoch to more readers.
    pub fn seal_more(
        &self,
        family: FamilyId,
        epoch: EpochId,
        author: DeviceId,
        readers: &[Reader],
        rng: &mut impl CryptoRng,
    ) -> Vec<SealedTo> {
        let Some(known) = self.known.get(&epoch) else {
            return Vec::new();
        };
        let Some(key) = known.key() else {
            return Vec::new();
        };
        seal_to(family, &known.name, epoch, key, author, readers, rng)
    }

    /// A known epoch.
    pub fn get(&self, id: &EpochId) -> Option<&Known> {
        self.known.get(id)
    }
}

fn seal_to(
    family: FamilyId,
    name: &EpochName,
    id: EpochId,
    key: &EpochKey,
    author: DeviceId,
    readers: &[Reader],
    rng: &mut impl CryptoRng,
) -> Vec<SealedTo> {
    let mut boxes = Vec::with_capacity(readers.len());
    for reader in readers {
        let context = SealContext {
            family,
            epoch: *name,
            epoch_id: id,
            recipient_kind: reader.kind,
            recipient: reader.id,
            certificate: reader.cert,
            author,
        };
        // A reader with a key of small order gets nothing, and keeps nobody else from it.
        if let Ok(sealed) = seal::seal(&context, &reader.seal, key, rng) {
            boxes.push(SealedTo {
                kind: reader.kind,
                to: reader.id,
                cert: reader.cert,
                sealed,
            });
        }
    }
    boxes
}

fn open_box(family: FamilyId, id: EpochId, known: &Known, opener: &Opener<'_>) -> Option<EpochKey> {
    let mine = |boxed: &&Boxed| boxed.to.to == opener.id && boxed.to.kind == opener.kind;
    known.boxes.iter().filter(mine).find_map(|boxed| {
        let context = SealContext {
            family,
            epoch: known.name,
            epoch_id: id,
            recipient_kind: opener.kind,
            recipient: opener.id,
            certificate: boxed.to.cert,
            author: boxed.author,
        };
        opener
            .secrets
            .iter()
            .find_map(|secret| seal::open(&context, secret, &boxed.to.sealed).ok())
    })
}
