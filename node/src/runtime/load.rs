//! A runtime from what is on disk, and the first one of a new home.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use heirloom_protocol::{
    crypto::DeviceKeys,
    id::{FamilyId, LogId, SpaceId},
    log::entry::{Entry, EntryBytes},
    op::{Genesis, Policy},
    replica::{KeptLog, Refusal, Replica, Step, log_of},
    sync::{have::PeerHaves, want::Want},
    time::Hlc,
    wire,
};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{
    AlbumRow, Peers, Runtime, RuntimeError, account::Account, commit::Stage, drops::Drops,
};
use crate::{
    clock::Clock,
    store::{Damage, EntryRecord, Head, KeyFile, Store, StoreError, Table},
};

/// Entries taken in at once after a crash or a rebuild, in bytes.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// What the key file holds: with it and the logs everything else can be made again.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Identity {
    sign: [u8; 32],
    seal: [u8; 32],
    /// The family's id.
    #[zeroize(skip)]
    pub family: FamilyId,
    /// The family's first op.
    #[zeroize(skip)]
    pub genesis: Genesis,
    /// The incarnation under which this device writes.
    #[zeroize(skip)]
    pub incarnation: u64,
}

impl Identity {
    /// The identity of a device in a family.
    pub fn new(keys: &DeviceKeys, family: FamilyId, genesis: Genesis, incarnation: u64) -> Self {
        let secret = keys.to_secret_bytes();
        let (mut sign, mut seal) = ([0; 32], [0; 32]);
        sign.copy_from_slice(&secret[..32]);
        seal.copy_from_slice(&secret[32..]);
        Self {
            sign,
            seal,
            family,
            genesis,
            incarnation,
        }
    }

    fn keys(&self) -> DeviceKeys {
        let mut secret = zeroize::Zeroizing::new([0; 64]);
        secret[..32].copy_from_slice(&self.sign);
        secret[32..].copy_from_slice(&self.seal);
        DeviceKeys::from_secret_bytes(&secret)
    }

    /// Writes the key file. Durable when it returns.
    pub fn save(&self, store: &Store) -> Result<(), RuntimeError> {
        let bytes = zeroize::Zeroizing::new(wire::encode(self));
        Ok(store.keyring()?.write(KeyFile::Device, &bytes)?)
    }

    /// Reads the key file; `None` on a home whose setting up was interrupted.
    ///
    /// A home with photos or a copy of the key, and without the key, is damaged: nobody may set it up anew over them.
    ///
    /// # Errors
    ///
    /// What [`crate::store::Keyring::load`] says of a key that is there and cannot be used.
    pub fn load(store: &Store) -> Result<Option<Self>, RuntimeError> {
        let keyring = store.keyring()?;
        if let Some(identity) = keyring.load(KeyFile::Device)? {
            return Ok(Some(identity));
        }
        let path = keyring.path(KeyFile::Device);
        match store.holds_blobs()? || keyring.holds(KeyFile::DeviceCopy) {
            true => Err(StoreError::Damaged(Damage::Key { path }).into()),
            false => Ok(None),
        }
    }
}

/// The entry in a record that this device verified before it stored it.
pub(super) fn entry_of(record: &EntryRecord) -> Option<Entry> {
    let bytes: EntryBytes = wire::decode_row(&record.bytes).ok()?;
    Entry::trust(bytes).ok()
}

impl Runtime {
    /// Opens a family on a store: control entries are replayed, what a crash left behind is taken in.
    pub fn open(store: Store, identity: &Identity) -> Result<Self, RuntimeError> {
        let keys = Arc::new(identity.keys());
        let replica = Replica::new(
            keys.clone(),
            identity.incarnation,
            identity.family,
            identity.genesis.clone(),
        );
        let account = Account::of(store.home());
        let mut runtime = Self {
            store,
            account,
            clock: Clock::default(),
            keys,
            replica,
            albums: BTreeMap::new(),
            peers: Peers::default(),
            claims: super::claims::Claims::default(),
            want: Want::new(Policy::Archive),
            ended: BTreeSet::new(),
            owed: PeerHaves::default(),
            sessions: BTreeMap::new(),
            news: Vec::new(),
            drawn: 0,
            drops: Drops::default(),
            holds: super::hold::Holds::default(),
            originals: BTreeMap::new(),
            said: BTreeMap::new(),
            beacons: 0,
            relays: false,
            costly: BTreeSet::new(),
            broken: BTreeSet::new(),
            missed: super::missed::Missed::new(),
            met: RefCell::default(),
            is_stale: true,
            is_filled: false,
            has_unvouched: false,
        };
        runtime.fill_and_mend()?;
        runtime.note_made_anew()?;
        (runtime.is_stale, runtime.is_filled) = (false, true);
        Ok(runtime)
    }

    /// Makes memory agree with the disk again after a commit that failed.
    pub(super) fn reload(&mut self) -> Result<(), RuntimeError> {
        // Until it has succeeded nobody may be told what is here: a part of it looks like a loss.
        self.is_stale = true;
        self.fill_and_mend().map_err(|error| match error {
            RuntimeError::Store(error) => RuntimeError::Unread(error),
            other => other,
        })?;
        self.is_stale = false;
        Ok(())
    }

    /// Begins anew with an empty replica.
    pub(super) fn forget(&mut self) -> Result<(), RuntimeError> {
        // While a family is founded there is no key file yet, and nothing to go back to.
        if let Some(identity) = Identity::load(&self.store)? {
            self.replica = Replica::new(
                self.keys.clone(),
                identity.incarnation,
                identity.family,
                identity.genesis.clone(),
            );
        } else if self.is_filled {
            return Err(RuntimeError::Stopped);
        }
        self.albums.clear();
        self.sessions.clear();
        Ok(())
    }

    pub(super) fn fill(&mut self) -> Result<(), RuntimeError> {
        let control = self.replica.family().control_space();
        let mut spaces = self.store.spaces();
        spaces.sort_by_key(|space| (*space != control, *space));
        let mut logs = Vec::new();
        for space in &spaces {
            for head in self.store.logs(*space) {
                logs.extend(self.kept_log(&head)?);
            }
        }
        for log in self.replica.restore(logs) {
            tracing::warn!(device = %log.device.short(), "a branch without its beginning is left out");
        }
        for space in spaces {
            self.replay(space)?;
            if let Some(row) = self.store.get(Table::Albums, &space.0)? {
                self.albums
                    .insert(space, AlbumRow::decode(&row).unwrap_or_default());
            }
        }
        self.load_noted()?;
        self.replica.settle();
        self.load_drops()?;
        self.load_broken()?;
        self.load_missed()?;
        self.hold_again()?;
        self.take_unindexed()?;
        self.renew_if_forked()?;
        self.resume_rebuilds()?;
        self.load_peers()?;
        self.want = Want::new(self.replica.control().policy(&self.device()));
        self.ended = self.lost_albums();
        self.load_wants()
    }

    fn kept_log(&self, head: &Head) -> Result<Option<KeptLog>, RuntimeError> {
        let first = self.store.entry(&head.log, head.first)?;
        let Some(entry) = first.as_ref().and_then(entry_of) else {
            return Ok(None);
        };
        let steps = self.store.steps(&head.log)?.into_iter();
        let chain = steps.map(|(id, hlc, first_item, first_blob)| Step {
            id,
            hlc: Hlc(hlc),
            first_item,
            first_blob,
        });
        Ok(Some(KeptLog {
            log: head.log,
            first: head.first,
            after: entry.header().prev,
            chain: chain.collect(),
            items: head.items,
            blobs: head.blobs,
        }))
    }

    /// Replays the control entries of a space, each after what it names.
    fn replay(&mut self, space: SpaceId) -> Result<(), RuntimeError> {
        let mut left: Vec<_> = self
            .store
            .control_entries(space)?
            .iter()
            .filter_map(entry_of)
            .collect();
        left.sort_by_key(|entry| (entry.header().hlc, entry.id()));
        loop {
            let before = left.len();
            // What waits has all that follows it in its log wait too: the order of
            // acceptance is what newcomers are handed and peers are sent.
            let mut waiting = BTreeSet::new();
            left.retain(|entry| {
                let log = log_of(entry);
                let waits = waiting.contains(&log)
                    || matches!(self.replica.replay(entry), Err(Refusal::Waiting));
                if waits {
                    waiting.insert(log);
                }
                waits
            });
            if left.is_empty() || left.len() == before {
                break;
            }
        }
        for entry in &left {
            tracing::warn!(entry = %entry.id().short(), "a control entry could not be replayed");
        }
        Ok(())
    }

    /// Finds entries that wait for this device's clock: only the last ones of a log can be so far ahead.
    fn hold_again(&mut self) -> Result<(), RuntimeError> {
        let ahead: Vec<_> = self
            .replica
            .logs()
            .filter(|(_, state)| state.hlc().is_held(self.now()))
            .map(|(log, state)| (*log, state.chain.clone()))
            .collect();
        for (log, chain) in ahead {
            for step in chain.iter().rev() {
                if !step.hlc.is_held(self.now()) {
                    break;
                }
                let record = self.store.entry_by_id(&step.id)?;
                if record.is_some_and(|record| !record.control && record.log.space == log.space) {
                    self.replica.hold(step.hlc, step.id);
                }
            }
        }
        Ok(())
    }

    /// Takes in entries that reached their files but not the index; after the loss of the index, all.
    fn take_unindexed(&mut self) -> Result<(), RuntimeError> {
        loop {
            let mut taken = 0;
            let mut logs = self.store.unindexed_logs()?;
            let control = self.replica.family().control_space();
            logs.sort_by_key(|(log, _)| (log.space != control, *log));
            for (log, range) in logs {
                taken += self.take_unindexed_log(&log, range.start)?;
            }
            if taken == 0 {
                return Ok(());
            }
        }
    }

    fn take_unindexed_log(&mut self, log: &LogId, from: u32) -> Result<usize, RuntimeError> {
        let mut taken = 0;
        let mut from = from;
        loop {
            let records = self.store.unindexed(log, from, READ_BYTES)?;
            let Some(last) = records.last() else {
                return Ok(taken);
            };
            from = last.seq + 1;
            let mut stage = Stage::default();
            let mut waits = false;
            for record in &records {
                let Some(entry) = entry_of(record) else {
                    continue;
                };
                match self.replica.accept_kept(&entry, Some(log), self.now()) {
                    Ok(effects) => {
                        stage.take_effects(&effects);
                        self.stage_entry(&mut stage, &entry)?;
                        self.find_places(&mut stage, &entry)?;
                        let named = self.place_of(&entry).log;
                        self.replica.count_items(&named, record.items);
                        taken += 1;
                    }
                    Err(_) => {
                        waits = true;
                        break;
                    }
                }
            }
            if !stage.logs.is_empty() {
                self.finish(stage)?;
            }
            if waits {
                return Ok(taken);
            }
        }
    }

    fn resume_rebuilds(&mut self) -> Result<(), RuntimeError> {
        let mut albums = Vec::new();
        self.store.scan(Table::Kv, b"rebuild/", |key, _| {
            albums.extend(
                key.strip_prefix(b"rebuild/")
                    .and_then(|id| id.try_into().ok())
                    .map(SpaceId),
            );
            std::ops::ControlFlow::Continue(())
        })?;
        for album in albums {
            self.rebuild(album)?;
        }
        Ok(())
    }
}
