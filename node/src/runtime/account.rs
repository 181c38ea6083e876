//! What a keeper takes: so much from each person and in all, and never the last of its disk.
//!
//! A keeper that is full still takes entries, and gives what it has. What it leaves where it is
//! counts as a copy for nobody, for it does not say that it holds it; that it is full it tells every
//! peer. Bytes are counted as they lie here: padded ciphertext, what was deleted included until it
//! is erased. Two persons who refer to one blob are both charged for it, and it counts once in all.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    path::Path,
};

use heirloom_protocol::{
    album::asset::BlobRef,
    id::{DeviceId, PersonId},
    sync::{
        blob::{BlobPlace as Name, blob_bytes},
        want::Want,
    },
};
use serde::Deserialize;

use super::{News, Runtime, RuntimeError, gossip::FULL_BYTES, name_of};
use crate::{
    api::ApiError,
    forms,
    store::{BlobPlace, StoreError},
};

/// What a keeper may take at most, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bounds {
    /// In all.
    pub all: Option<u64>,
    /// Of one person.
    pub person: Option<u64>,
    /// What is left free on the disk.
    pub reserve: u64,
}

#[derive(Deserialize, Default)]
struct Config {
    #[serde(default)]
    keeper: Section,
}

#[derive(Deserialize, Default)]
struct Section {
    quota: Option<String>,
    quota_person: Option<String>,
    reserve: Option<String>,
}

impl Bounds {
    /// What `[keeper]` in the home's `config.toml` says: `quota`, `quota_person` and `reserve`.
    ///
    /// # Errors
    ///
    /// `E-USAGE` for a file or a size that cannot be read as such.
    pub fn of_home(home: &Path) -> Result<Self, ApiError> {
        match std::fs::read_to_string(home.join("config.toml")) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(StoreError::Io(error).into()),
        }
    }

    fn parse(text: &str) -> Result<Self, ApiError> {
        let config: Config = toml::from_str(text)
            .map_err(|error| ApiError::usage(&format!("config.toml: {}", error.message())))?;
        let size = |text: Option<String>| text.map(|text| bytes(&text)).transpose();
        Ok(Self {
            all: size(config.keeper.quota)?,
            person: size(config.keeper.quota_person)?,
            reserve: size(config.keeper.reserve)?.unwrap_or(0).max(FULL_BYTES),
        })
    }
}

/// The bytes of `500M`, `200G` or `2TB`.
///
/// # Errors
///
/// `E-USAGE` for anything else.
pub(crate) fn bytes(text: &str) -> Result<u64, ApiError> {
    forms::bytes(text).ok_or_else(|| ApiError::usage("a size looks like 500M, 200G or 2T"))
}

/// Blobs, and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum {
    /// Bytes of ciphertext.
    pub bytes: u64,
    /// How many.
    pub blobs: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.blobs += 1;
    }
}

/// What lies on a keeper.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// In all, each blob once.
    pub all: Sum,
    /// By whose devices wrote of it; the zero id for what belongs to no person.
    pub persons: BTreeMap<PersonId, Sum>,
    /// Entries of all spaces.
    pub entries: u64,
    /// What it may take.
    pub bounds: Bounds,
    /// Whether something was left where it is since there was room.
    pub turned_away: bool,
}

/// What is counted while a keeper runs.
#[derive(Default)]
pub(super) struct Account {
    bounds: Bounds,
    held: Option<Held>,
    /// Asked of a peer and not here yet: whose it is, and its bytes.
    asked: BTreeMap<Name, (DeviceId, PersonId, u64)>,
    turned_away: bool,
}

#[derive(Default)]
struct Held {
    all: Sum,
    persons: BTreeMap<PersonId, Sum>,
    seen: HashSet<BlobPlace>,
}

impl Held {
    fn take(&mut self, person: PersonId, place: BlobPlace) {
        self.persons.entry(person).or_default().add(place.len());
        if self.seen.insert(place) {
            self.all.add(place.len());
        }
    }
}

impl Account {
    pub(super) fn of(home: &Path) -> Self {
        let bounds = Bounds::of_home(home).unwrap_or_else(|error| {
            tracing::error!(
                error = error.message,
                "the bounds of a keeper cannot be read"
            );
            Bounds::default()
        });
        Self {
            bounds,
            ..Self::default()
        }
    }
}

impl Runtime {
    /// What lies here, if this device is a keeper. Looks through the places of all blobs the first
    /// time, and after some were erased.
    pub fn stored(&mut self) -> Result<Option<Stored>, RuntimeError> {
        if self.replica.person().is_some() {
            return Ok(None);
        }
        let entries = self.replica.logs().map(|(_, log)| log.chain.len());
        let entries = u64::try_from(entries.sum::<usize>()).unwrap_or(u64::MAX);
        let (bounds, turned_away) = (self.account.bounds, self.account.turned_away);
        let held = self.held()?;
        Ok(Some(Stored {
            all: held.all,
            persons: held.persons.clone(),
            entries,
            bounds,
            turned_away,
        }))
    }

    fn charged(&self, device: &DeviceId) -> PersonId {
        let owner = self.replica.control().owner_of(device);
        owner.unwrap_or(PersonId::ZERO)
    }

    fn held(&mut self) -> Result<&mut Held, RuntimeError> {
        if self.account.held.is_none() {
            let mut held = Held::default();
            for space in self.store.spaces() {
                for head in self.store.logs(space) {
                    let person = self.charged(&head.log.device);
                    self.store
                        .places(&head.log, |_, place| held.take(person, place))?;
                }
            }
            self.account.held = Some(held);
        }
        Ok(self.account.held.get_or_insert_with(Held::default))
    }

    /// Whether this device takes a blob from a peer now; always, if it is no keeper. What it takes
    /// counts as on its way until it came or did not.
    pub(super) fn has_room_for(
        &mut self,
        peer: DeviceId,
        blob: &BlobRef,
    ) -> Result<bool, RuntimeError> {
        if self.replica.person().is_some() {
            return Ok(true);
        }
        let (person, bytes) = (self.charged(&blob.log.device), blob_bytes(blob));
        let free = self.store.free_bytes().unwrap_or(u64::MAX);
        let bounds = self.account.bounds;
        let on_its_way = |whose: Option<PersonId>, account: &Account| -> u64 {
            let asked = account.asked.values();
            let fits = asked.filter(|(_, of, _)| whose.is_none_or(|person| person == *of));
            fits.map(|(_, _, bytes)| *bytes).sum()
        };
        let coming = on_its_way(None, &self.account);
        let of_person = on_its_way(Some(person), &self.account);
        let held = self.held()?;
        let all = held.all.bytes + coming + bytes;
        let theirs = held.persons.get(&person).map_or(0, |sum| sum.bytes) + of_person + bytes;
        let fits = bounds.all.is_none_or(|most| all <= most)
            && bounds.person.is_none_or(|most| theirs <= most)
            && free >= bounds.reserve.saturating_add(coming + bytes);
        if fits {
            let asked = (peer, person, bytes);
            self.account.asked.insert(name_of(blob), asked);
        }
        if !fits && !self.account.turned_away {
            self.account.turned_away = true;
            // Peers are to hear of it.
            self.news.push(News::Peers);
        }
        Ok(fits)
    }

    /// Counts what came.
    pub(super) fn count_came(&mut self, came: &[(BlobRef, BlobPlace)]) {
        for (blob, place) in came {
            self.account.asked.remove(&name_of(blob));
            let person = self.charged(&blob.log.device);
            if let Some(held) = &mut self.account.held {
                held.take(person, *place);
            }
        }
    }

    /// A blob that was asked for does not come.
    pub(super) fn count_failed(&mut self, blob: &BlobRef) {
        self.account.asked.remove(&name_of(blob));
    }

    /// Nothing that was asked of a peer comes any more.
    pub(super) fn count_lost(&mut self, peer: &DeviceId) {
        self.account.asked.retain(|_, (from, _, _)| from != peer);
    }

    /// Counts anew after blobs were erased, and wants again what there was no room for.
    pub fn look_for_room(&mut self) -> Result<(), RuntimeError> {
        self.account.held = None;
        if std::mem::take(&mut self.account.turned_away) {
            self.want = Want::new(self.replica.control().policy(&self.device()));
            self.load_wants()?;
        }
        Ok(())
    }

    /// Whether this device does not take every blob that it is to hold.
    pub fn is_full(&self) -> bool {
        let free = self.store.free_bytes();
        let least = match self.replica.person() {
            Some(_) => FULL_BYTES,
            None => self.account.bounds.reserve,
        };
        self.account.turned_away || free.is_some_and(|free| free < least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_nonsense_is_refused() {
        let text = "[keeper]\nquota = \"2TB\"\nquota_person = \"500M\"\n";
        let bounds = Bounds::parse(text).unwrap();
        assert_eq!(bounds.all, Some(2_000_000_000_000));
        assert_eq!(bounds.person, Some(500_000_000));
        assert_eq!(bounds.reserve, FULL_BYTES);
        for wrong in [
            "\"much\"",
            "\"\"",
            "\"-1\"",
            "\"1.5G\"",
            "\"99999999T\"",
            "7",
        ] {
            let text = format!("[keeper]\nquota = {wrong}\n");
            assert!(Bounds::parse(&text).is_err(), "{wrong}");
        }
        assert_eq!(Bounds::parse("").unwrap().all, None);
    }
}
