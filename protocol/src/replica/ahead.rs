//! A device whose clock was ahead: what it wrote then is left behind, so that what it writes now wins.

use super::{Recorded, Replica, WriteError};
use crate::{
    id::{BranchId, LogId, SpaceId},
    op::{NewIncarnation, Op, Position},
    time::{Hlc, Timestamp},
};

impl Replica {
    /// This device's logs in albums that end more than `by_ms` after `now` and that it has not left
    /// behind, each with its last entry that is not held (else its first).
    pub fn own_logs_ahead(&self, now: Timestamp, by_ms: u64) -> Vec<(LogId, Position)> {
        let late = Hlc::at(Timestamp(now.0.saturating_add(by_ms)));
        let mine = self.logs.iter().filter(|(log, state)| {
            let album = self.albums.get(&log.space);
            log.device == self.device()
                && log.branch == BranchId::ZERO
                && state.hlc() > late
                && album.is_some_and(|album| !album.is_left_behind(&log.device, log.inc))
        });
        let ahead = mine.filter_map(|(log, state)| {
            let last = state.chain.iter().rposition(|step| !step.hlc.is_held(now));
            let at = last.unwrap_or(0);
            let position = Position {
                inc: log.inc,
                seq: state.first.checked_add(u32::try_from(at).ok()?)?,
                entry: state.chain.get(at)?.id,
            };
            Some((*log, position))
        });
        ahead.collect()
    }

    /// When this device wrote last, by its own clock; 1970 where it has written nothing.
    pub fn wrote_last(&self) -> Timestamp {
        let mine = self
            .logs
            .iter()
            .filter(|(log, _)| log.device == self.device());
        let last = mine.map(|(_, state)| state.hlc()).max();
        last.unwrap_or_default().time()
    }

    /// Says in an album that what this device changed after a position of a former log loses to
    /// every other change. What it added there stays.
    ///
    /// # Errors
    ///
    /// [`WriteError::NoAlbum`]; [`WriteError::Refused`] where the device may write nothing there.
    pub fn record_left_behind(
        &mut self,
        space: SpaceId,
        old: Position,
        now: Timestamp,
    ) -> Result<Recorded, WriteError> {
        let left = Op::NewIncarnation(NewIncarnation { old });
        self.record_album_control(space, &[left], now)
    }
}
