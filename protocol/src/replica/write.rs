//! What this device says: ops become signed entries, sealed where they must be.

use std::collections::BTreeSet;

use rand_core::CryptoRng;

use super::{
    Effect, Refusal, Replica,
    control::{Control, Hit},
    keys::{value_aad, value_key},
    space::album_id,
};
use crate::{
    album::epoch::Epochs,
    crypto::{
        DeviceKeys, EpochKind,
        body::{self, BodyNonce},
    },
    family::consent::Certificate,
    id::{AlbumId, BranchId, DeviceId, EntryId, EpochId, FamilyId, LogId, OpId, PersonId, SpaceId},
    limits,
    log::entry::{BlobLine, Drop, Entry, Header, SUITE, VERSION, first_prev},
    op::{
        ALBUM_NAME, ALBUM_USE, AddDevice, AlbumGenesis, AlbumUse, Genesis, Hold, KitPublic, Level,
        Op, PROFILE_NAME, Role, Seal, Sealed, SetAccess, SetAlbum, SetProfile, Subject, encode_ops,
    },
    time::Timestamp,
};

/// Signature and tag, and numbers of the header that grow while an epoch is written first.
const SEALED_MORE: usize = 64 + 16 + 32;

/// Entries of ours, in the order in which they are to be committed, and what follows from them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recorded {
    /// To commit, all or none.
    pub entries: Vec<Entry>,
    /// What follows.
    pub effects: Vec<Effect>,
}

/// Why this device may not say something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The album is not here.
    #[error("there is no such album")]
    NoAlbum,
    /// The role or level does not allow it.
    #[error("not allowed")]
    NotAllowed,
    /// No key of the album has reached this device yet.
    #[error("the album's key has not arrived yet")]
    NoKey,
    /// More than an entry holds.
    #[error("more than an entry holds")]
    TooLarge,
    /// This device's log goes on in two ways: it has to start a new incarnation.
    #[error("this device's log was continued elsewhere")]
    Forked,
    /// The entry does not follow from what is here; memory and disk disagree.
    #[error("own entry refused: {0}")]
    Refused(Refusal),
}

/// A family of one person on one device: the genesis entry and the one after it.
pub struct Founded {
    /// The family's id.
    pub family: FamilyId,
    /// Its first op.
    pub genesis: Genesis,
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= limits::NAME_BYTES
}

/// Makes the first op of a family.
pub fn found(
    keys: &DeviceKeys,
    kit: Option<KitPublic>,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Founded {
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    let mut person = [0; 16];
    rng.fill_bytes(&mut person);
    let genesis = Genesis {
        suite: SUITE,
        nonce,
        person: PersonId(person),
        device: keys.device_id(),
        seal: keys.seal_public(),
        kit,
        created: now.0,
        prev_family: None,
    };
    let family = FamilyId(*blake3::hash(&crate::wire::encode(&genesis)).as_bytes());
    Founded { family, genesis }
}

/// The device's own word that it joins as this person's ("device").
pub fn sign_device(
    keys: &DeviceKeys,
    family: FamilyId,
    person: PersonId,
    kind: crate::op::DeviceKind,
) -> AddDevice {
    let certificate = Certificate::of(keys, person, kind);
    let device_sig = certificate.sign(keys, &family);
    AddDevice {
        person,
        device: certificate.device,
        seal: certificate.seal,
        kind,
        device_sig,
    }
}

impl Replica {
    /// Writes the first entries of a family just founded on this device.
    ///
    /// # Errors
    ///
    /// [`WriteError::Refused`] when anything was written before; [`WriteError::TooLarge`] for a long
    /// name. Nothing has changed then.
    pub fn record_founding(
        &mut self,
        names: &[(Subject, &str)],
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Recorded, WriteError> {
        if !names.iter().all(|(_, name)| is_name(name)) {
            return Err(WriteError::TooLarge);
        }
        let genesis = self.control.genesis().clone();
        let mut recorded = self.record_control(vec![Op::Genesis(genesis)], now)?;
        let ops = [EpochKind::Family, EpochKind::Net]
            .map(|kind| Op::Epoch(self.mint_control(kind, &[], rng)));
        recorded.extend(self.record_control(ops.to_vec(), now)?);
        recorded.extend(self.record_names(names, now, rng)?);
        Ok(recorded)
    }

    /// Names the family, persons or devices.
    ///
    /// # Errors
    ///
    /// [`WriteError::NoKey`] before the family's key is here; [`WriteError::TooLarge`] for a long name.
    pub fn record_names(
        &mut self,
        names: &[(Subject, &str)],
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Recorded, WriteError> {
        let ops = names
            .iter()
            .map(|(subject, name)| self.name_op(*subject, name, rng));
        let ops = ops.collect::<Result<Vec<_>, _>>()?;
        self.record_control(ops, now)
    }

    /// The op that names somebody, sealed.
    ///
    /// # Errors
    ///
    /// As [`Self::record_names`].
    pub fn name_op(
        &self,
        subject: Subject,
        name: &str,
        rng: &mut impl CryptoRng,
    ) -> Result<Op, WriteError> {
        if !is_name(name) {
            return Err(WriteError::TooLarge);
        }
        let epoch = self
            .control_epoch(EpochKind::Family)
            .ok_or(WriteError::NoKey)?;
        let key = value_key(self, &epoch).ok_or(WriteError::NoKey)?;
        let nonce = BodyNonce::generate(rng);
        let aad = value_aad(
            self.family().control_space(),
            self.device(),
            PROFILE_NAME,
            &subject,
        );
        let ciphertext = body::seal(&key, &nonce, &aad, name.as_bytes());
        let value = Sealed {
            epoch,
            nonce,
            ciphertext,
        };
        Ok(Op::SetProfile(SetProfile {
            subject,
            field: PROFILE_NAME,
            value,
        }))
    }

    /// Writes control ops, joining heads first where there are more than an entry may name.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; nothing has changed then, but for joins.
    pub fn record_control(&mut self, ops: Vec<Op>, now: Timestamp) -> Result<Recorded, WriteError> {
        let space = self.family().control_space();
        let mut recorded = self.join_control(limits::ENTRY_DEPS, now)?;
        let deps = self.control.graph.heads();
        recorded.extend(self.write_control(space, deps, &ops, now)?);
        Ok(recorded)
    }

    /// Joins the heads of the control space until there are no more than so many.
    fn join_control(&mut self, most: usize, now: Timestamp) -> Result<Recorded, WriteError> {
        let space = self.family().control_space();
        let mut recorded = Recorded::default();
        while self.control.graph.heads().len() > most {
            let heads = self.control.graph.heads().into_iter();
            let deps = heads.take(limits::ENTRY_DEPS).collect();
            recorded.extend(self.write_control(space, deps, &[], now)?);
        }
        Ok(recorded)
    }

    /// Writes control ops of an album, such as `CloseAlbum`.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotAllowed`] unless this person manages the album.
    pub fn record_album_ops(
        &mut self,
        space: SpaceId,
        ops: &[Op],
        now: Timestamp,
    ) -> Result<Recorded, WriteError> {
        let album = self.albums.get(&space).ok_or(WriteError::NoAlbum)?;
        let manages = self
            .person()
            .is_some_and(|me| album.level(&me) == Level::Manager);
        if !manages {
            return Err(WriteError::NotAllowed);
        }
        self.record_album_control(space, ops, now)
    }

    /// Takes back what an entry of an album dropped, as it names what nobody deleted.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotAllowed`] for whoever may not add to the album.
    pub fn record_undrop(
        &mut self,
        space: SpaceId,
        dropping: EntryId,
        now: Timestamp,
    ) -> Result<Recorded, WriteError> {
        let album = self.albums.get(&space).ok_or(WriteError::NoAlbum)?;
        let level = self.person().map(|me| album.level(&me));
        if level < Some(Level::Contributor) {
            return Err(WriteError::NotAllowed);
        }
        self.record_album_control(space, &[Op::Undrop((dropping,))], now)
    }

    pub(super) fn record_album_control(
        &mut self,
        space: SpaceId,
        ops: &[Op],
        now: Timestamp,
    ) -> Result<Recorded, WriteError> {
        let mut deps = self.control.graph.heads();
        deps.extend(
            self.albums
                .get(&space)
                .map(|album| album.graph.heads())
                .unwrap_or_default(),
        );
        deps.truncate(limits::ENTRY_DEPS);
        self.write_control(space, deps, ops, now)
    }

    fn write_control(
        &mut self,
        space: SpaceId,
        deps: Vec<EntryId>,
        ops: &[Op],
        now: Timestamp,
    ) -> Result<Recorded, WriteError> {
        let mut header = self.next_header(space, now)?;
        header.deps = deps;
        let entry = Entry::sign_control(self.family(), &self.keys.clone(), header, ops);
        self.take_own(entry, now)
    }

    pub(super) fn take_own(
        &mut self,
        entry: Entry,
        now: Timestamp,
    ) -> Result<Recorded, WriteError> {
        if entry.bytes().size() > limits::ENTRY_BYTES {
            return Err(WriteError::TooLarge);
        }
        let effects = self.accept(&entry, now).map_err(WriteError::Refused)?;
        Ok(Recorded {
            entries: vec![entry],
            effects,
        })
    }

    fn next_header(&mut self, space: SpaceId, now: Timestamp) -> Result<Header, WriteError> {
        self.header_in(self.own_log(space), self.own_cert(), now)
    }

    /// The header of the next entry of a log whose author has this certificate.
    pub(super) fn header_in(
        &mut self,
        log: LogId,
        cert: Option<OpId>,
        now: Timestamp,
    ) -> Result<Header, WriteError> {
        let LogId {
            space, device, inc, ..
        } = log;
        if self.logs.is_forked(&log) {
            return Err(WriteError::Forked);
        }
        let (seq, prev, first_item, first_blob, last) = match self.logs.get(&log) {
            Some(state) => {
                let (seq, prev) = state.head().ok_or(WriteError::NotAllowed)?;
                (seq + 1, prev, state.items, state.blobs, state.hlc())
            }
            None => {
                let cert = cert.ok_or(WriteError::NotAllowed)?;
                let prev = first_prev(space, device, inc, cert);
                (0, prev, 0, 0, crate::time::Hlc::default())
            }
        };
        let others = self.logs.of_space(space).map(|(_, state)| state.hlc());
        let seen = others.fold(self.clock, |clock, hlc| clock.observe(hlc, now));
        self.clock = seen.max(last).next(now);
        Ok(Header {
            version: VERSION,
            suite: SUITE,
            flags: 0,
            space,
            device,
            inc,
            seq,
            prev,
            hlc: self.clock,
            control_seen: self.control.graph.weighed(),
            control_digest: if self.control.graph.weighed() == 0 {
                [0; 16]
            } else {
                self.control.graph.digest()
            },
            epoch: EpochId::ZERO,
            nonce: BodyNonce::ZERO,
            first_item,
            first_blob,
            blobs: Vec::new(),
            drops: Vec::new(),
            deps: Vec::new(),
            body_hash: [0; 32],
        })
    }

    fn own_cert(&self) -> Option<OpId> {
        Some(self.control.resolution().devices.get(&self.device())?.cert)
    }

    /// This device's log in a space.
    pub fn own_log(&self, space: SpaceId) -> LogId {
        LogId {
            space,
            device: self.device(),
            inc: self.incarnation,
            branch: BranchId::ZERO,
        }
    }

    pub(super) fn mint_control(
        &self,
        kind: EpochKind,
        without: &[Hit],
        rng: &mut impl CryptoRng,
    ) -> crate::op::Epoch {
        let mut readers = self.control.readers_of(kind);
        readers.retain(|reader| {
            !without.contains(&Hit::Device(reader.id))
                && !self
                    .control
                    .owner_of(&reader.id)
                    .is_some_and(|p| without.contains(&Hit::Person(p)))
        });
        let space = self.family().control_space();
        self.control.epochs.mint(
            self.family(),
            space,
            kind,
            self.device(),
            &readers,
            true,
            rng,
        )
    }

    /// Makes an album and names it.
    ///
    /// # Errors
    ///
    /// [`WriteError::TooLarge`] for a long name, [`WriteError::NotAllowed`] for a viewer or keeper.
    pub fn record_album(
        &mut self,
        name: &str,
        purpose: AlbumUse,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(AlbumId, Recorded), WriteError> {
        if !is_name(name) {
            return Err(WriteError::TooLarge);
        }
        let person = self.person().ok_or(WriteError::NotAllowed)?;
        let role = self
            .control
            .resolution()
            .persons
            .get(&person)
            .map(|p| p.role);
        if role.is_none_or(|role| role < Role::Member) && purpose != AlbumUse::Library {
            return Err(WriteError::NotAllowed);
        }
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let genesis = AlbumGenesis {
            suite: SUITE,
            nonce,
            person,
            device: self.device(),
            created: now.0,
            from_now: false,
        };
        let space = album_id(&genesis);
        let readers = self.control.readers(|reader| reader == Some(person));
        let epoch = Epochs::default().mint(
            self.family(),
            space,
            EpochKind::Album,
            self.device(),
            &readers,
            true,
            rng,
        );
        let ops = [Op::AlbumGenesis(genesis), Op::Epoch(epoch)];
        let deps = self.control.graph.heads();
        let mut recorded = self.write_control(space, deps, &ops, now)?;
        let use_byte = crate::wire::encode(&purpose);
        let ops = vec![
            Op::SetAlbum(SetAlbum {
                field: ALBUM_NAME,
                value: name.as_bytes().to_vec(),
            }),
            Op::SetAlbum(SetAlbum {
                field: ALBUM_USE,
                value: use_byte,
            }),
        ];
        recorded.extend(self.record(space, ops, Vec::new(), Vec::new(), now, rng)?);
        Ok((space, recorded))
    }

    /// Gives or lowers a person's level in an album, with the keys or the cuts that go with it.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotAllowed`] unless this person manages the album, or lowers itself.
    pub fn record_access(
        &mut self,
        space: SpaceId,
        person: PersonId,
        level: Level,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Recorded, WriteError> {
        let me = self.person().ok_or(WriteError::NotAllowed)?;
        let album = self.albums.get(&space).ok_or(WriteError::NoAlbum)?;
        let leaves = me == person && level == Level::None;
        if (album.level(&me) != Level::Manager && !leaves) || album.genesis().person == person {
            return Err(WriteError::NotAllowed);
        }
        let now_at = album.level(&person);
        // What was said of them and does not count, since a cut took it, would stand against a grant that says no
        // more than it.
        let is_void = level > now_at && album.said_level(&person) >= level;
        let mut ops = Vec::new();
        if is_void {
            ops.push(self.set_access(space, person, Level::None, true));
        }
        ops.push(self.set_access(space, person, level, level < now_at));
        let mut recorded = self.record_album_control(space, &ops, now)?;
        recorded.extend(self.tend_space(space, now, rng)?);
        Ok(recorded)
    }

    /// One that lowers lists what is known here of the person's logs.
    fn set_access(&self, space: SpaceId, person: PersonId, level: Level, lowers: bool) -> Op {
        let devices = match lowers {
            true => self.keys_hit(Hit::Person(person)),
            false => Vec::new(),
        };
        let cuts = devices.into_iter();
        let cuts = cuts.map(|device| self.cut_here(space, device)).collect();
        Op::SetAccess(SetAccess {
            person,
            level,
            cuts,
        })
    }

    /// Says how far the logs of others are known here, so that what they wrote outlives a removal or
    /// a fork; `None` when nothing is new.
    ///
    /// For archives, keepers among them, once a day and space.
    ///
    /// # Errors
    ///
    /// [`WriteError::NoAlbum`].
    pub fn record_anchor(
        &mut self,
        space: SpaceId,
        now: Timestamp,
    ) -> Result<Option<Recorded>, WriteError> {
        self.anchor_of(space, now, |_| true)
    }

    /// Anchors the logs of some other devices.
    pub(super) fn anchor_of(
        &mut self,
        space: SpaceId,
        now: Timestamp,
        concerns: impl Fn(&DeviceId) -> bool,
    ) -> Result<Option<Recorded>, WriteError> {
        let album = self.albums.get(&space).ok_or(WriteError::NoAlbum)?;
        let mut positions = album.to_anchor(&self.logs, space, self.device());
        positions.retain(|witness| concerns(&witness.device));
        positions.truncate(limits::ANCHOR_POSITIONS);
        if positions.is_empty() {
            return Ok(None);
        }
        // Who knows of a removal or a loss of access vouches for nothing of whom it hit. Nothing else is named: what
        // names an entry waits for that wherever it comes.
        let lowered = self.lowered_since(space);
        let mut recorded = self.join_control(limits::ENTRY_DEPS / 2, now)?;
        let mut deps = self.control.graph.heads();
        deps.extend(lowered);
        deps.truncate(limits::ENTRY_DEPS);
        recorded.extend(self.write_control(space, deps, &[Op::Anchor((positions,))], now)?);
        Ok(Some(recorded))
    }

    /// The losses of access that count and that this device's log has not named yet, those in the past of another
    /// left out.
    fn lowered_since(&self, space: SpaceId) -> Vec<EntryId> {
        let Some(album) = self.albums.get(&space) else {
            return Vec::new();
        };
        let own = self.logs.get(&self.own_log(space));
        let own = own.into_iter().flat_map(|own| own.chain.iter().rev());
        let mut own = own.map(|step| step.id);
        let before: Vec<_> = own
            .find(|id| album.graph.contains(id))
            .into_iter()
            .collect();
        let lowered: BTreeSet<_> = album
            .lowered()
            .filter(|entry| !album.graph.sees(&before, entry))
            .collect();
        let is_last = |entry: &&EntryId| {
            let mut others = lowered.iter().filter(|other| other != entry);
            !others.any(|other| album.graph.sees(&[*other], entry))
        };
        lowered.iter().filter(is_last).copied().collect()
    }

    /// Promises to keep blobs of a space.
    ///
    /// For archives, keepers among them, once the blobs are known to be here: the promise is for
    /// the caller to keep.
    ///
    /// # Errors
    ///
    /// [`WriteError::NoAlbum`], and [`WriteError::TooLarge`] for more than
    /// [`limits::HOLD_RANGES`] ranges.
    pub fn record_hold(
        &mut self,
        space: SpaceId,
        hold: Hold,
        now: Timestamp,
    ) -> Result<Recorded, WriteError> {
        if !self.albums.contains_key(&space) {
            return Err(WriteError::NoAlbum);
        }
        if hold.ranges.len() > limits::HOLD_RANGES {
            return Err(WriteError::TooLarge);
        }
        self.write_control(space, Vec::new(), &[Op::Hold(hold)], now)
    }

    /// Gives keys to entitled devices that have none yet, as far as this device holds them.
    ///
    /// # Errors
    ///
    /// [`WriteError`] of the first space that refuses, if no other had anything to write: one that
    /// does keeps no keys of others from anybody.
    pub fn tend(
        &mut self,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Recorded, WriteError> {
        let mut spaces = vec![self.family().control_space()];
        spaces.extend(self.albums.keys().copied());
        let mut recorded = Recorded::default();
        let mut refused = None;
        for space in spaces {
            match self.tend_space(space, now, rng) {
                Ok(more) => recorded.extend(more),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match refused {
            Some(error) if recorded.entries.is_empty() => Err(error),
            _ => Ok(recorded),
        }
    }

    fn tend_space(
        &mut self,
        space: SpaceId,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Recorded, WriteError> {
        let me = self.person();
        let may = match self.albums.get(&space) {
            Some(album) => me.is_some_and(|me| album.may_read(&me)),
            None => me.is_some(),
        };
        if !may {
            return Ok(Recorded::default());
        }
        let (family, device) = (self.family(), self.device());
        let mut ops = Vec::new();
        for (epoch, readers) in self.keyless(&space) {
            let epochs = match self.albums.get(&space) {
                Some(album) => &album.epochs,
                None => &self.control.epochs,
            };
            let seals = epochs.seal_more(family, epoch, device, &readers, rng);
            if !seals.is_empty() {
                ops.push(Op::Seal(Seal { epoch, seals }));
            }
        }
        if ops.is_empty() {
            return Ok(Recorded::default());
        }
        self.write_control(space, Vec::new(), &ops, now)
    }

    /// Says something in an album, under a fresh key where somebody lost access since.
    ///
    /// `ops` name blobs by their place in `blobs`. The blobs are durable before
    /// this is called, and the entries are committed before anybody hears of them.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; nothing has changed then, but for a fresh epoch.
    pub fn record(
        &mut self,
        space: SpaceId,
        ops: Vec<Op>,
        blobs: Vec<BlobLine>,
        drops: Vec<Drop>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Recorded, WriteError> {
        let mut recorded = Recorded::default();
        if ops.len() > limits::ENTRY_OPS || blobs.len() > limits::ENTRY_BLOBS {
            return Err(WriteError::TooLarge);
        }
        let me = self.person().ok_or(WriteError::NotAllowed)?;
        let album = self.albums.get(&space).ok_or(WriteError::NoAlbum)?;
        if album.level(&me) == Level::None {
            return Err(WriteError::NotAllowed);
        }
        self.check_size(space, &ops, &blobs, &drops, now)?;
        let album = self.albums.get(&space).ok_or(WriteError::NoAlbum)?;
        let epoch = match self.album_epoch(&space) {
            Some(epoch) => epoch,
            None if album.level(&me) >= Level::Contributor => {
                let op = self.mint_album(&space, rng)?;
                let id = op.id;
                recorded.extend(self.record_album_control(space, &[Op::Epoch(op)], now)?);
                id
            }
            None => return Err(WriteError::NoKey),
        };
        let mut header = self.next_header(space, now)?;
        header.nonce = BodyNonce::generate(rng);
        header.epoch = epoch;
        header.blobs = blobs;
        header.drops = drops;
        let items = ops.iter().filter(|op| matches!(op, Op::AddItem(_))).count();
        let album = self.albums.get(&space).ok_or(WriteError::NoAlbum)?;
        let key = album.epochs.key(&epoch).ok_or(WriteError::NoKey)?;
        let entry = Entry::seal(self.family(), &self.keys, header, key, &ops);
        recorded.extend(self.take_own(entry, now)?);
        self.count_items(
            &self.own_log(space),
            u32::try_from(items).unwrap_or(u32::MAX),
        );
        Ok(recorded)
    }

    /// Refuses what no entry holds, before a fresh epoch is written for it.
    fn check_size(
        &mut self,
        space: SpaceId,
        ops: &[Op],
        blobs: &[BlobLine],
        drops: &[Drop],
        now: Timestamp,
    ) -> Result<(), WriteError> {
        let clock = self.clock;
        let mut header = self.next_header(space, now)?;
        // Nothing is said yet, so no time has passed.
        self.clock = clock;
        header.blobs = blobs.to_vec();
        header.drops = drops.to_vec();
        let header = crate::wire::encode(&header).len();
        let body = encode_ops(ops).len();
        if header + body + SEALED_MORE > limits::ENTRY_BYTES {
            return Err(WriteError::TooLarge);
        }
        Ok(())
    }

    fn mint_album(
        &self,
        space: &SpaceId,
        rng: &mut impl CryptoRng,
    ) -> Result<crate::op::Epoch, WriteError> {
        let album = self.albums.get(space).ok_or(WriteError::NoAlbum)?;
        if !self.can_read(space) {
            return Err(WriteError::NoKey);
        }
        let readers = self.album_readers(album);
        let history = !album.genesis().from_now;
        let kind = EpochKind::Album;
        Ok(album.epochs.mint(
            self.family(),
            *space,
            kind,
            self.device(),
            &readers,
            history,
            rng,
        ))
    }
}

impl Recorded {
    /// Adds what was recorded later.
    pub fn extend(&mut self, later: Self) {
        self.entries.extend(later.entries);
        for effect in later.effects {
            if effect == Effect::Project || !self.effects.contains(&effect) {
                self.effects.push(effect);
            }
        }
    }
}

impl Control {
    /// Whether a person is an admin now.
    pub fn is_admin(&self, person: &PersonId) -> bool {
        self.resolution()
            .persons
            .get(person)
            .is_some_and(|p| p.role == Role::Admin)
    }
}
