//! Albums that this device's person was taken out of, once whoever did that is removed from the family.
//!
//! What a removed device wrote counts as far as somebody had named it (`record_vouch`). But who is out of an
//! album hears of no anchor there any more: what took the access away would have no effect here, and only here, and
//! the person would add photos to an album that nobody else sees them in. So a device notes for itself what
//! it has of the logs of whom a removal takes out, in those albums, before it records the removal or takes it in.

use std::collections::BTreeSet;

use super::Replica;
use crate::id::{DeviceId, EntryId, SpaceId};

impl Replica {
    /// What to note, by album, before these devices are removed: the ends of their logs in the albums that this
    /// device's person was taken out of. To be kept for good, and handed to [`Self::note_ended`].
    pub fn to_note(&self, gone: &[DeviceId]) -> Vec<(SpaceId, EntryId)> {
        let Some(person) = self.person() else {
            return Vec::new();
        };
        let out = self
            .albums
            .iter()
            .filter(|(_, album)| album.ever_read(&person) && !album.may_read(&person));
        let ends = out.flat_map(|(space, _)| {
            let logs = self.logs_of(*space);
            let theirs = logs.filter(|(log, _)| gone.contains(&log.device));
            theirs.filter_map(|(_, state)| Some((*space, state.head()?.1)))
        });
        ends.collect()
    }

    /// Takes what was noted in an album; it counts when the album is settled next. Nothing where the album is not
    /// known.
    ///
    /// It keeps this device's person out of the album and does nothing else: somebody who lets them in again by a
    /// grant that had seen the end, or that the end does not reach, is heard.
    pub fn note_ended(&mut self, space: SpaceId, entries: impl IntoIterator<Item = EntryId>) {
        let person = self.person();
        if let Some((album, person)) = self.albums.get_mut(&space).zip(person) {
            let (_, noted) = album.noted.get_or_insert_with(|| (person, BTreeSet::new()));
            noted.extend(entries);
            album.unsettled = true;
        }
    }
}
