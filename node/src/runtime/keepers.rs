//! Which keepers hold which albums.

use heirloom_protocol::{
    id::{AlbumId, DeviceId},
    op::{Level, Op},
};

use super::{Runtime, RuntimeError};

impl Runtime {
    /// Has a keeper hold these albums, or all where none is named, of those that this person manages;
    /// how many albums of others it holds besides, which are theirs to say. Durable when it returns.
    pub(crate) fn assign_keeper(
        &mut self,
        keeper: DeviceId,
        named: &[AlbumId],
    ) -> Result<usize, RuntimeError> {
        let keepers = self.keepers();
        let view = self.view();
        let mut others = 0;
        for (id, album) in &view.albums {
            let is_wanted = named.is_empty() || named.contains(id);
            if is_wanted == self.is_kept_by(id, &keeper) {
                continue;
            }
            if album.level != Level::Manager {
                others += usize::from(!is_wanted);
                continue;
            }
            let holds = |one: &DeviceId| match *one == keeper {
                true => is_wanted,
                false => self.is_kept_by(id, one),
            };
            let all = keepers.iter().copied().filter(holds).collect();
            self.record_in_album(*id, &[Op::SetKeepers((Some(all),))])?;
        }
        Ok(others)
    }

    /// Leaves a new album to the keepers that hold every other: one that was let in for some albums
    /// takes no more by itself.
    pub(super) fn leave_to_keepers(&mut self, album: AlbumId) -> Result<(), RuntimeError> {
        let keepers = self.keepers();
        let albums: Vec<AlbumId> = self.replica.albums().map(|(id, _)| *id).collect();
        let holds_all = |keeper: &DeviceId| albums.iter().all(|id| self.is_kept_by(id, keeper));
        let all: Vec<DeviceId> = keepers.iter().copied().filter(holds_all).collect();
        if all.len() == keepers.len() {
            return Ok(());
        }
        self.record_in_album(album, &[Op::SetKeepers((Some(all),))])
    }

    fn keepers(&self) -> Vec<DeviceId> {
        let people = &self.view().people;
        let rows = people.devices.iter();
        let rows = rows.filter(|row| row.person.is_none() && !row.removed);
        rows.map(|row| row.id).collect()
    }

    fn is_kept_by(&self, album: &AlbumId, keeper: &DeviceId) -> bool {
        let album = self.replica.album(album);
        album.is_some_and(|album| album.may_keep(keeper))
    }
}
