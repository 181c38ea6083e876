//! What this device wrote itself above a fork of its log: it is shown here, whoever vouches for it.
//!
//! Others wait until somebody vouches, as they cannot tell the sides of a fork apart. A device can: it has its own
//! side first. Its person would else lose from sight what nobody but this device holds, until another device is met.

use crate::{
    id::{BranchId, DeviceId, EntryId, SpaceId},
    replica::{Replica, logs::Logs},
};

impl Logs {
    /// The ends of what a device had of its own forked logs before another side came: a store keeps that under
    /// branch zero.
    fn written_here(&self, space: SpaceId, device: DeviceId) -> impl Iterator<Item = EntryId> {
        let branches = self
            .of_space(space)
            .filter(move |(log, _)| log.device == device && log.branch != BranchId::ZERO);
        branches.filter_map(|(log, state)| {
            let (seq, head) = state.head()?;
            let kept = self.kept(log, seq)?;
            (kept.branch == BranchId::ZERO).then_some(head)
        })
    }
}

impl Replica {
    /// Settles an album, with what this device wrote above forks of its log; says whether entries that were here count
    /// otherwise.
    pub(in crate::replica) fn settle_with_own(&mut self, space: SpaceId) -> bool {
        let own = self.logs.written_here(space, self.device()).collect();
        self.albums.get_mut(&space).is_some_and(|album| {
            album.ledger.own(own);
            album.settle(&self.control)
        })
    }
}
