//! Names of people, devices and albums, taken at one moment for whoever lists things.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use heirloom_protocol::{
    album::asset::Asset,
    id::{AlbumId, DeviceId, FamilyId, PersonId},
    op::{AlbumUse, DeviceKind, Level, Policy, Role},
    replica::{DeviceRow, PersonRow},
    sync::keep::{Copies, Witness},
    time::Timestamp,
};

use super::{AlbumRow, EndedAlbum, Peers, Runtime, settled::copies_wanted};

/// Who belongs.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// Persons of the family now.
    pub persons: Vec<PersonRow>,
    /// Devices, removed ones included.
    pub devices: Vec<DeviceRow>,
}

/// One album as this person sees it.
#[derive(Clone, Debug)]
pub struct SeenAlbum {
    /// Which.
    pub id: AlbumId,
    /// Its own fields.
    pub row: AlbumRow,
    /// What this person may do.
    pub level: Level,
    /// Everyone who may read it, and more.
    pub people: Vec<(PersonId, Level)>,
    /// Who made it.
    pub creator: PersonId,
    /// The keepers that hold it.
    pub keepers: Vec<DeviceId>,
}

impl SeenAlbum {
    /// Its name; a library is called after its person.
    pub fn name(&self, view: &View) -> String {
        match (self.row.purpose(), self.row.name()) {
            (AlbumUse::Library, _) if Some(self.creator) == view.person => "Library".into(),
            (AlbumUse::Library, _) => format!("Library of {}", view.person_name(&self.creator)),
            (_, Some(name)) => name.into(),
            (_, None) => self.id.short(),
        }
    }
}

/// The family and its albums at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The family.
    pub family: FamilyId,
    /// Its name.
    pub family_name: String,
    /// This device.
    pub device: DeviceId,
    /// This device's person.
    pub person: Option<PersonId>,
    /// Who founded the family and is never removed.
    pub founder: PersonId,
    /// Who belongs.
    pub people: People,
    /// The albums this device can read.
    pub albums: BTreeMap<AlbumId, SeenAlbum>,
    /// The albums that this person was taken out of.
    pub ended: BTreeMap<AlbumId, EndedAlbum>,
    /// What other devices are known to hold.
    pub peers: Arc<Peers>,
    /// The other live devices, and how far their word on what they hold counts.
    pub witnesses: BTreeMap<DeviceId, Witness>,
    /// Whether this device keeps everything.
    pub keeps: bool,
    /// On how many archives an original is to be where no album says so.
    pub copies_wanted: u32,
    /// When this was.
    pub now: Timestamp,
}

impl View {
    /// A person's name, removed or not; their short id while it is not known.
    pub fn person_name(&self, id: &PersonId) -> String {
        let row = self.people.persons.iter().find(|row| row.id == *id);
        let of_device = || {
            let mut rows = self.people.devices.iter();
            let row = rows.find(|row| row.person == Some(*id))?;
            row.person_name.clone()
        };
        row.and_then(|row| row.name.clone())
            .or_else(of_device)
            .unwrap_or_else(|| id.short())
    }

    /// A device's name; its short id while it is not known.
    pub fn device_name(&self, id: &DeviceId) -> String {
        let row = self.people.devices.iter().find(|row| row.id == *id);
        row.and_then(|row| row.name.clone())
            .unwrap_or_else(|| id.short())
    }

    /// The other devices of the family.
    pub fn others(&self) -> impl Iterator<Item = &DeviceRow> {
        let devices = self.people.devices.iter();
        devices.filter(|row| row.id != self.device && !row.removed)
    }

    /// Whether a device may hold what is in some album.
    pub fn may_hold_album(&self, row: &DeviceRow, album: &AlbumId) -> bool {
        self.albums
            .get(album)
            .is_some_and(|album| match row.person {
                Some(person) => album.people.iter().any(|(reader, _)| *reader == person),
                None => album.keepers.contains(&row.id),
            })
    }

    /// Whether this person decides what becomes of an item: a manager of everything, a contributor
    /// of their own.
    pub fn may_decide(&self, album: &AlbumId, asset: &Asset) -> bool {
        match self.level(album) {
            Level::Manager => true,
            Level::Contributor => self.person.is_some() && asset.owner() == self.person,
            Level::Viewer | Level::None => false,
        }
    }

    /// What a person may do in the family.
    pub fn role(&self, id: &PersonId) -> Option<Role> {
        let row = self.people.persons.iter().find(|row| row.id == *id)?;
        row.role
    }

    /// Whether this device's person is an admin.
    pub fn is_admin(&self) -> bool {
        self.person.and_then(|person| self.role(&person)) == Some(Role::Admin)
    }

    /// The copies that some devices hold, this one's counted if it is `here`.
    pub fn copies_at(&self, holders: &BTreeSet<DeviceId>, here: bool) -> Copies {
        let mut copies = Copies {
            devices: u32::from(here),
            archives: u32::from(here && self.keeps),
        };
        for (device, witness) in &self.witnesses {
            if holders.contains(device) {
                copies.devices += u32::from(witness.is_proved(self.now));
                copies.archives += u32::from(witness.counts(self.now));
            }
        }
        copies
    }

    /// What this device's person may do in an album.
    pub fn level(&self, album: &AlbumId) -> Level {
        self.albums
            .get(album)
            .map_or(Level::None, |album| album.level)
    }

    /// The album for what a person imports and names no album for.
    pub fn library(&self) -> Option<&SeenAlbum> {
        let own = |album: &&SeenAlbum| {
            album.row.purpose() == AlbumUse::Library && Some(album.creator) == self.person
        };
        self.albums.values().find(own)
    }
}

impl Runtime {
    /// The albums that this person could read and that were deleted for all: no view shows them.
    pub fn deleted_albums(&self) -> BTreeMap<AlbumId, SeenAlbum> {
        self.albums_seen(true)
    }

    fn albums_seen(&self, closed: bool) -> BTreeMap<AlbumId, SeenAlbum> {
        let person = self.replica.person();
        let mut albums = BTreeMap::new();
        let devices = self.replica.devices().into_iter();
        let keepers: Vec<_> = devices
            .filter(|row| row.kind == DeviceKind::Keeper && !row.removed)
            .map(|row| row.id)
            .collect();
        for (id, space) in self.replica.albums() {
            let level = person.map_or(Level::None, |person| space.level(&person));
            if level == Level::None || space.is_closed() != closed {
                continue;
            }
            let seen = SeenAlbum {
                id: *id,
                row: self.albums.get(id).cloned().unwrap_or_default(),
                level,
                people: space.people().collect(),
                creator: space.genesis().person,
                keepers: keepers
                    .iter()
                    .copied()
                    .filter(|keeper| space.may_keep(keeper))
                    .collect(),
            };
            albums.insert(*id, seen);
        }
        albums
    }

    /// The family and its albums now.
    pub fn view(&self) -> View {
        let replica = &self.replica;
        let person = replica.person();
        let albums = self.albums_seen(false);
        View {
            family: replica.family(),
            family_name: replica.family_name().unwrap_or_default(),
            device: self.device(),
            person,
            founder: replica.control().genesis().person,
            people: People {
                persons: replica.persons(),
                devices: replica.devices(),
            },
            albums,
            ended: self.ended_albums(),
            peers: Arc::new(self.peers.clone()),
            witnesses: self.witnesses(),
            keeps: replica.control().policy(&self.device()) == Policy::Archive,
            copies_wanted: copies_wanted(&self.store),
            now: self.now(),
        }
    }
}
