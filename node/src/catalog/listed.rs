//! An asset as `list`, `show` and `find` print it: the fields of the command line's contract.

use heirloom_protocol::{
    limits,
    op::{Captured, Field, ItemKind, PartRole, Place},
    replica::DeviceRow,
    sync::keep::Copies,
    wire,
};
use serde::Serialize;

use super::{
    Folded, Held,
    text::{instant_text, wall_text},
};
use crate::{
    import::metadata::CaptureSource,
    runtime::{BlobHere, View},
    store::{Store, StoreError},
};

/// Where a picture was taken, in degrees.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct ListedPlace {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
}

/// What it was taken with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ListedCamera {
    /// Who made it.
    pub make: String,
    /// Which one.
    pub model: String,
}

/// Which blobs are on this device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct ListedHere {
    /// All originals.
    pub original: bool,
    /// The preview.
    pub preview: bool,
    /// The thumbnail.
    pub thumbnail: bool,
}

/// One file of an asset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ListedPart {
    /// `still`, `motion`, `raw`, `edited` or `sidecar`.
    pub role: &'static str,
    /// File name.
    pub name: String,
    /// Length.
    pub bytes: u64,
    /// BLAKE3 of the bytes.
    pub blake3: String,
}

/// A device that says it holds every original of an asset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KeptOn {
    /// Its id.
    pub device: String,
    /// Its name.
    pub name: String,
    /// It has shown lately that it holds what it says; this device always has.
    pub proved: bool,
}

/// How an asset came into the trash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ListedFate {
    /// Name of who put it there.
    pub by: String,
    /// Name of the device they had.
    pub device: String,
    /// When, by that device's clock.
    pub at: String,
}

/// One asset.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Listed {
    #[serde(rename = "type")]
    kind_of_line: &'static str,
    v: u8,
    /// Its id.
    pub id: String,
    /// File name.
    pub name: String,
    /// `photo` or `video`.
    pub kind: &'static str,
    /// Names of its albums.
    pub albums: Vec<String>,
    /// Wall time of capture.
    pub taken: Option<String>,
    /// `+03:00`.
    pub offset: Option<String>,
    /// Where the time is from.
    pub taken_source: Option<&'static str>,
    /// Width as shown.
    pub width: Option<u32>,
    /// Height as shown.
    pub height: Option<u32>,
    /// Length of the original.
    pub bytes: u64,
    /// BLAKE3 of the original.
    pub blake3: String,
    /// Where.
    pub place: Option<ListedPlace>,
    /// With what.
    pub camera: Option<ListedCamera>,
    /// What a person wrote.
    pub caption: Option<String>,
    /// Whether this person favours it.
    pub favorite: bool,
    /// Tags.
    pub tags: Vec<String>,
    /// In the trash.
    pub trashed: bool,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trash: Option<ListedFate>,
    /// Who added it.
    pub by: String,
    /// How many devices hold the original and have proved it lately.
    pub copies: u32,
    /// On which devices it is, where one asset is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_on: Option<Vec<KeptOn>>,
    /// What is on this device.
    pub here: ListedHere,
    /// `made`, `pending` or `none`.
    pub preview: &'static str,
    /// Why there is none.
    pub preview_reason: Option<String>,
    /// Its files.
    pub parts: Vec<ListedPart>,
    /// Sorts by capture, unknown last.
    #[serde(skip)]
    pub wall: Option<i64>,
}

/// The name of a source of capture times.
pub fn source_name(code: u8) -> Option<&'static str> {
    CaptureSource::from_code(code).map(CaptureSource::name)
}

fn offset_text(minutes: i16) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.unsigned_abs();
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

fn role_name(role: PartRole) -> &'static str {
    match role {
        PartRole::Still => "still",
        PartRole::Motion => "motion",
        PartRole::Raw => "raw",
        PartRole::Edited => "edited",
        PartRole::Sidecar => "sidecar",
    }
}

fn degrees(e7: i32) -> f64 {
    f64::from(e7) / 1e7
}

impl Folded {
    fn text(&self, field: Field) -> Option<&str> {
        self.items
            .iter()
            .find_map(|item| item.asset.text(field).filter(|text| !text.is_empty()))
    }

    fn decoded<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        field: Field,
    ) -> Option<T> {
        let set = self.items.iter().find_map(|item| item.asset.field(field))?;
        wire::decode(set, limits::TEXT_BYTES).ok()
    }

    /// When it was taken, by a person's word or the camera's.
    pub fn captured(&self) -> Captured {
        let camera = self
            .first()
            .asset
            .added
            .as_ref()
            .map(|added| added.item.captured);
        self.decoded(Field::Taken).or(camera).unwrap_or_default()
    }

    /// Whether this person favours it.
    pub fn is_favorite(&self, view: &View) -> bool {
        let Some(person) = view.person else {
            return false;
        };
        self.items
            .iter()
            .any(|item| item.asset.own_field(Field::Favorite, person) == Some(&[1]))
    }

    /// Whether its pictures are still to be made.
    pub fn waits_for_pictures(&self) -> bool {
        self.preview_state().0 == "pending"
    }

    fn preview_state(&self) -> (&'static str, Option<String>) {
        if self
            .items
            .iter()
            .any(|item| item.asset.shown_blob(0, 2).is_some())
        {
            return ("made", None);
        }
        match self.text(Field::NoPreview) {
            Some(reason) => ("none", Some(reason.to_owned())),
            None => ("pending", None),
        }
    }

    /// The asset's line.
    pub fn listed(&self, store: &Store, view: &View) -> Result<Option<Listed>, StoreError> {
        self.listed_with(&Held::of(store), view)
    }

    /// The asset's line, for who asks for many.
    pub fn listed_with(&self, held: &Held<'_>, view: &View) -> Result<Option<Listed>, StoreError> {
        let first = self.first();
        let Some(added) = &first.asset.added else {
            return Ok(None);
        };
        let Some(main) = added.item.parts.first() else {
            return Ok(None);
        };
        let captured = self.captured();
        let BlobHere {
            original,
            preview,
            thumbnail,
        } = held.here(self)?;
        let live = self
            .items
            .iter()
            .filter(|item| self.is_trashed() || item.asset.trashed().is_none());
        let mut albums: Vec<_> = live
            .filter_map(|item| view.albums.get(&item.key.album))
            .map(|album| album.name(view))
            .collect();
        albums.sort();
        albums.dedup();
        let mut tags: Vec<_> = self
            .items
            .iter()
            .flat_map(|item| item.asset.tag_names())
            .map(str::to_owned)
            .collect();
        tags.sort();
        tags.dedup();
        let place = self.decoded::<Place>(Field::Place).or(added.item.place);
        let (preview_state, preview_reason) = self.preview_state();
        let known = |side: u32| (side > 0).then_some(side);
        Ok(Some(Listed {
            kind_of_line: "asset",
            v: 1,
            id: first.key.item.to_string(),
            name: main.name.clone(),
            kind: if added.item.kind == ItemKind::Photo {
                "photo"
            } else {
                "video"
            },
            albums,
            // The stored value keeps what is below a second; sidecars say it.
            taken: captured.wall.map(|ms| wall_text(ms - ms.rem_euclid(1000))),
            offset: captured.offset.map(offset_text),
            taken_source: captured.wall.and_then(|_| source_name(captured.source)),
            width: known(added.item.width),
            height: known(added.item.height),
            bytes: main.len,
            blake3: main.pt_hash.to_string(),
            place: place.map(|p| ListedPlace {
                lat: degrees(p.lat_e7),
                lon: degrees(p.lon_e7),
            }),
            camera: added.item.camera.as_ref().map(|camera| ListedCamera {
                make: camera.make.clone(),
                model: camera.model.clone(),
            }),
            caption: self.text(Field::Caption).map(str::to_owned),
            favorite: self.is_favorite(view),
            tags,
            trashed: self.is_trashed(),
            trash: self.listed_fate(view),
            by: view.person_name(&added.origin.author.person),
            copies: view.copies(self, original).devices,
            kept_on: None,
            here: ListedHere {
                original,
                preview,
                thumbnail,
            },
            preview: preview_state,
            preview_reason,
            parts: self.listed_parts(),
            wall: captured.wall,
        }))
    }

    /// What put the last of its items into the trash.
    fn listed_fate(&self, view: &View) -> Option<ListedFate> {
        let fates = self.items.iter().map(|item| item.asset.trashed());
        let fates: Option<Vec<_>> = fates.collect();
        let last = fates?.into_iter().max_by_key(|fate| fate.origin.stamp)?;
        let (author, stamp) = (&last.origin.author, &last.origin.stamp);
        Some(ListedFate {
            by: view.person_name(&author.person),
            device: view.device_name(&stamp.log.device),
            at: instant_text(stamp.hlc.time().0),
        })
    }

    fn listed_parts(&self) -> Vec<ListedPart> {
        let parts = self.first().asset.all_parts();
        let listed = parts.map(|(part, _)| ListedPart {
            role: role_name(part.role),
            name: part.name.clone(),
            bytes: part.len,
            blake3: part.pt_hash.to_string(),
        });
        listed.collect()
    }
}

impl View {
    /// On how many archives an asset is to be: as many as the most careful of its albums wants.
    pub fn copies_wanted_of(&self, folded: &Folded) -> u32 {
        let albums = folded
            .items
            .iter()
            .filter(|item| item.asset.trashed().is_none());
        let albums = albums.filter_map(|item| self.albums.get(&item.key.album));
        let wanted = albums.map(|album| album.row.copies().unwrap_or(self.copies_wanted));
        wanted.max().unwrap_or(self.copies_wanted)
    }

    /// Whether a device may hold an asset: an album that shows it is for that one.
    pub fn may_hold(&self, row: &DeviceRow, folded: &Folded) -> bool {
        let items = folded.items.iter();
        let mut live = items.filter(|item| item.asset.trashed().is_none());
        live.any(|item| self.may_hold_album(row, &item.key.album))
    }

    /// Who says that they hold every original of an asset, and whether their word counts.
    pub fn kept_on(&self, folded: &Folded, here: bool) -> Vec<KeptOn> {
        let holders = self
            .peers
            .holders_of(folded.items.iter().map(|item| &item.asset), self.person);
        let own = here.then_some((&self.device, true));
        let others = self.witnesses.iter();
        let others = others.filter(|(device, _)| holders.contains(device));
        let others = others.map(|(device, witness)| (device, witness.is_proved(self.now)));
        let all = own.into_iter().chain(others);
        all.map(|(device, proved)| KeptOn {
            device: device.to_string(),
            name: self.device_name(device),
            proved,
        })
        .collect()
    }

    /// How many devices hold every original of an asset, this one included.
    pub fn copies(&self, folded: &Folded, here: bool) -> Copies {
        let holders = self
            .peers
            .holders_of(folded.items.iter().map(|item| &item.asset), self.person);
        self.copies_at(&holders, here)
    }
}
