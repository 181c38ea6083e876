//! What albums are called and what for: the last writer's word, kept beside the assets.

use heirloom_protocol::{
    album::asset::Stamp,
    limits,
    op::{ALBUM_COPIES, ALBUM_COVER, ALBUM_NAME, ALBUM_USE, AlbumUse, SetAlbum},
    wire,
};
use serde::{Deserialize, Serialize};

use super::COPIES_MAX;

/// An album's own fields, each with the stamp of who set it last.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AlbumRow {
    fields: Vec<(u16, Stamp, Vec<u8>)>,
}

impl AlbumRow {
    /// Sets a field unless a later writer set it. Returns whether anything changed.
    pub(crate) fn apply(&mut self, set: &SetAlbum, stamp: Stamp) -> bool {
        if set.value.len() > limits::NAME_BYTES || set.field > ALBUM_COPIES {
            return false;
        }
        match self
            .fields
            .iter_mut()
            .find(|(field, _, _)| *field == set.field)
        {
            Some((_, there, _)) if *there >= stamp => false,
            Some((_, there, value)) => {
                *there = stamp;
                value.clone_from(&set.value);
                true
            }
            None => {
                self.fields.push((set.field, stamp, set.value.clone()));
                self.fields.sort();
                true
            }
        }
    }

    fn field(&self, field: u16) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|(code, _, _)| *code == field)
            .map(|(_, _, value)| &value[..])
    }

    /// Its name, once it is known.
    pub fn name(&self) -> Option<&str> {
        self.field(ALBUM_NAME)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// What it is for.
    pub fn purpose(&self) -> AlbumUse {
        self.field(ALBUM_USE)
            .and_then(|bytes| wire::decode(bytes, limits::NAME_BYTES).ok())
            .unwrap_or(AlbumUse::Album)
    }

    /// The asset on its cover.
    pub fn cover(&self) -> Option<&[u8]> {
        self.field(ALBUM_COVER)
    }

    /// On how many archives its originals are to be, where it says so itself.
    pub fn copies(&self) -> Option<u32> {
        match self.field(ALBUM_COPIES)? {
            [copies] if (1..=COPIES_MAX).contains(&u32::from(*copies)) => Some(u32::from(*copies)),
            _ => None,
        }
    }

    /// Its row in the store.
    pub(crate) fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// The row from the store.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        wire::decode(bytes, wire::MAX_BYTES).ok()
    }
}
