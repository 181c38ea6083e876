//! What a device takes: what fits on its disk; a keeper so much from each person and in all.
//!
//! A blob without room is left aside (`Want::set_aside`), and the others come. It is wanted again once
//! the smallest of those would fit, and by a keeper each hour.
//!
//! A keeper that is full still takes entries, and gives what it has. What it leaves where it is
//! counts as a copy for nobody, for it does not say that it holds it; that it is full it tells every
//! peer. Bytes are counted as they lie here: padded ciphertext, what was deleted included until it
//! is erased. Two persons who refer to one blob are both charged for it, and it counts once in all.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io,
    path::Path,
};

use heirloom_protocol::{
    album::asset::BlobRef,
    id::{BlobId, DeviceId, PersonId},
    sync::{
        blob::{BlobPlace as Name, blob_bytes},
        want::Lacking,
    },
};
use serde::Deserialize;

use super::{News, Runtime, RuntimeError, gossip::FULL_BYTES, name_of};
use crate::{api::ApiError, forms, store::BlobPlace};

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
        let path = home.join("config.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map_err(|error| error.in_config(&path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ApiError::config_unread(&path, error)),
        }
    }

    fn parse(text: &str) -> Result<Self, ApiError> {
        let config: Config =
            toml::from_str(text).map_err(|error| ApiError::config_line(text, &error))?;
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

/// What is counted while a node runs.
#[derive(Default)]
pub(super) struct Account {
    bounds: Bounds,
    held: Option<Held>,
    /// Asked of a peer and not here yet.
    asked: BTreeMap<Name, Asked>,
    /// The same by what it is: under how many names, and its bytes.
    coming: BTreeMap<BlobId, (u32, u64)>,
    /// Bytes of all of these.
    coming_bytes: u64,
    /// Bytes that the smallest of what was left aside would take.
    least: Option<u64>,
    /// The disk refused a blob for which it seemed to have room: none is tried again before the next round,
    /// or before there is so much room.
    refused: Option<u64>,
}

/// A blob on its way.
struct Asked {
    peer: DeviceId,
    person: PersonId,
    id: BlobId,
    bytes: u64,
}

/// Bytes that partial blobs take on the disk.
type Partials = BTreeMap<BlobId, u64>;

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
    /// Bytes of disk that a blob still takes; nothing where the same is on its way under another name.
    fn needs(&self, blob: &BlobRef, partials: &Partials) -> u64 {
        match self.coming.contains_key(&blob.id) {
            true => 0,
            false => {
                let begun = partials.get(&blob.id).copied().unwrap_or(0);
                blob_bytes(blob).saturating_sub(begun)
            }
        }
    }

    /// Bytes of disk that what is on its way still takes.
    fn coming(&self, partials: &Partials) -> u64 {
        let begun = partials.iter().filter_map(|(id, begun)| {
            let (_, bytes) = self.coming.get(id)?;
            Some(*begun.min(bytes))
        });
        self.coming_bytes.saturating_sub(begun.sum())
    }

    fn begin(&mut self, name: Name, asked: Asked) {
        self.end(&name);
        let (names, bytes) = self.coming.entry(asked.id).or_insert((0, asked.bytes));
        if *names == 0 {
            self.coming_bytes = self.coming_bytes.saturating_add(*bytes);
        }
        *names += 1;
        self.asked.insert(name, asked);
    }

    fn end(&mut self, name: &Name) {
        let Some(asked) = self.asked.remove(name) else {
            return;
        };
        if let Some((names, bytes)) = self.coming.get_mut(&asked.id) {
            *names -= 1;
            if *names == 0 {
                self.coming_bytes = self.coming_bytes.saturating_sub(*bytes);
                self.coming.remove(&asked.id);
            }
        }
    }

    fn lose(&mut self, peer: &DeviceId) {
        let asked = self.asked.iter();
        let of_peer = asked.filter(|(_, asked)| asked.peer == *peer);
        let names: Vec<Name> = of_peer.map(|(name, _)| *name).collect();
        for name in &names {
            self.end(name);
        }
    }

    pub(super) fn of(home: &Path) -> Self {
        let bounds = Bounds::of_home(home).unwrap_or_else(|error| {
            // Whoever needs the settings says it to the person.
            tracing::debug!(
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
        let (bounds, turned_away) = (self.account.bounds, self.want.aside().blobs > 0);
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

    /// Whether this device takes a blob from a peer now. What it takes counts as on its way until it
    /// came or did not.
    pub(super) fn has_room_for(
        &mut self,
        peer: DeviceId,
        blob: &BlobRef,
        partials: &Partials,
    ) -> Result<bool, RuntimeError> {
        let (person, id) = (self.charged(&blob.log.device), blob.id);
        let needs = self.account.needs(blob, partials);
        let coming = self.account.coming(partials);
        let fits = match self.replica.person() {
            Some(_) => {
                let room = self.store.room_for_blobs().unwrap_or(u64::MAX);
                room >= coming.saturating_add(needs)
            }
            None => {
                let free = self.store.free_bytes().unwrap_or(u64::MAX);
                let least = self.account.bounds.reserve.saturating_add(coming);
                free >= least.saturating_add(needs) && self.is_within_bounds(blob, partials)?
            }
        };
        if fits {
            let bytes = blob_bytes(blob);
            let asked = Asked {
                peer,
                person,
                id,
                bytes,
            };
            self.account.begin(name_of(blob), asked);
        } else {
            self.leave_aside(blob, needs);
        }
        Ok(fits)
    }

    /// Whether a keeper may take a blob besides what it holds and what is on its way.
    fn is_within_bounds(
        &mut self,
        blob: &BlobRef,
        partials: &Partials,
    ) -> Result<bool, RuntimeError> {
        let (person, bytes) = (self.charged(&blob.log.device), blob_bytes(blob));
        let bounds = self.account.bounds;
        let asked = self.account.asked.values();
        let theirs = asked.clone().filter(|asked| asked.person == person);
        let of_person: u64 = theirs.map(|asked| asked.bytes).sum();
        let coming: u64 = asked.clone().map(|asked| asked.bytes).sum();
        // What was begun and is not on its way now lies here as well.
        let ids: BTreeSet<BlobId> = asked.map(|asked| asked.id).chain([blob.id]).collect();
        let begun = partials.iter().filter(|(id, _)| !ids.contains(id));
        let begun: u64 = begun.map(|(_, bytes)| *bytes).sum();
        let held = self.held()?;
        let all = held.all.bytes + coming + begun + bytes;
        let theirs = held.persons.get(&person).map_or(0, |sum| sum.bytes) + of_person + bytes;
        Ok(bounds.all.is_none_or(|most| all <= most)
            && bounds.person.is_none_or(|most| theirs <= most))
    }

    /// Leaves a blob for which the disk had no room after all.
    pub(crate) fn no_room_for(&mut self, blob: &BlobRef) {
        self.count_failed(blob);
        let bytes = blob_bytes(blob);
        let room = self.store.room_for_blobs().unwrap_or(0);
        let enough = room.saturating_add(bytes);
        let before = self.account.refused.unwrap_or(0);
        self.account.refused = Some(enough.max(before));
        self.leave_aside(blob, bytes);
    }

    fn leave_aside(&mut self, blob: &BlobRef, needs: u64) {
        let is_first = self.want.aside().blobs == 0;
        self.want.set_aside(&name_of(blob));
        let least = self.account.least.map_or(needs, |least| least.min(needs));
        self.account.least = Some(least);
        if is_first {
            tracing::info!(bytes = blob_bytes(blob), "there is no room for a blob");
            // Peers are to hear of it.
            self.news.push(News::Peers);
        }
    }

    /// Wants again what was left aside, if there is room for the smallest of it.
    pub(super) fn take_up_what_fits(&mut self, partials: &Partials) {
        let Some(least) = self.account.least else {
            return;
        };
        let room = self.store.room_for_blobs().unwrap_or(u64::MAX);
        let coming = self.account.coming(partials);
        let least = coming.saturating_add(least);
        let enough = self.account.refused.unwrap_or(0);
        if self.replica.person().is_some() && room >= least.max(enough) {
            self.take_up();
        }
    }

    fn take_up(&mut self) {
        self.account.least = None;
        self.account.refused = None;
        self.want.take_up();
    }

    /// What there is no room for.
    pub fn without_room(&self) -> Lacking {
        self.want.aside()
    }

    /// Counts what came.
    pub(super) fn count_came(&mut self, came: &[(BlobRef, BlobPlace)]) {
        for (blob, place) in came {
            self.account.end(&name_of(blob));
            let person = self.charged(&blob.log.device);
            if let Some(held) = &mut self.account.held {
                held.take(person, *place);
            }
        }
    }

    /// A blob that was asked for does not come.
    pub(super) fn count_failed(&mut self, blob: &BlobRef) {
        self.account.end(&name_of(blob));
    }

    /// Nothing that was asked of a peer comes any more.
    pub(super) fn count_lost(&mut self, peer: &DeviceId) {
        self.account.lose(peer);
    }

    /// Counts anew after blobs were erased, and wants again what there was no room for.
    pub fn look_for_room(&mut self) -> Result<(), RuntimeError> {
        self.account.held = None;
        if self.replica.person().is_none() || self.account.refused.is_some() {
            self.take_up();
        } else {
            let partials = self.store.blobs().partial_sizes()?;
            self.take_up_what_fits(&partials);
        }
        Ok(())
    }

    /// Whether this device does not take every blob that it is to hold. One that holds them all is not
    /// full, however little is free.
    pub fn is_full(&self) -> bool {
        let is_short = || match self.replica.person() {
            Some(_) => self.is_short_of_room(),
            None => {
                let free = self.store.free_bytes();
                let least = self.account.bounds.reserve;
                self.lacking() > 0 && free.is_some_and(|free| free < least)
            }
        };
        self.want.aside().blobs > 0 || is_short()
    }

    /// Whether little room is left and what is lacking takes more, as far as that can be told before it is
    /// tried: a blob that two albums name counts twice.
    pub fn is_short_of_room(&self) -> bool {
        let room = self.store.room_for_blobs();
        let Some(room) = room.filter(|room| *room < FULL_BYTES) else {
            return false;
        };
        let begun = self.store.blobs().partial_sizes().unwrap_or_default();
        let begun = begun.values().sum::<u64>();
        self.lacking_bytes() > room.saturating_add(begun)
    }
}

#[cfg(test)]
mod tests {
    use heirloom_protocol::id::{BranchId, LogId, SpaceId};

    use super::*;

    #[test]
    fn what_is_on_its_way_counts_once_and_less_what_is_here_of_it() {
        let name = |ordinal| Name {
            log: LogId {
                space: SpaceId([1; 16]),
                device: DeviceId([1; 32]),
                inc: 1,
                branch: BranchId::ZERO,
            },
            ordinal,
        };
        let asked = |peer, id, bytes| Asked {
            peer: DeviceId([peer; 32]),
            person: PersonId::ZERO,
            id: BlobId([id; 32]),
            bytes,
        };
        let none = Partials::new();
        let mut account = Account::default();
        account.begin(name(0), asked(1, 1, 100));
        account.begin(name(0), asked(1, 1, 100));
        account.begin(name(1), asked(2, 1, 100));
        account.begin(name(2), asked(2, 2, 1000));
        assert_eq!(account.coming(&none), 1100);
        let begun = [(2, 300), (1, 4000), (9, 7)].map(|(id, bytes)| (BlobId([id; 32]), bytes));
        assert_eq!(account.coming(&begun.into()), 700);
        account.end(&name(0));
        account.end(&name(0));
        assert_eq!(account.coming(&none), 1100);
        account.lose(&DeviceId([2; 32]));
        assert_eq!(account.coming(&none), 0);
        assert!(account.asked.is_empty() && account.coming.is_empty());
    }

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
