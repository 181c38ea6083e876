//! What the clocks of other devices show, by what a device signs of itself as it connects.
//!
//! ```text
//! clock/ device[32]    what it showed, and what the clock here showed then
//! ```
//!
//! Nothing follows from it but a word to people: either of the two may be wrong.

use std::{collections::BTreeMap, ops::ControlFlow};

use heirloom_protocol::{id::DeviceId, limits, time::Hlc, wire};
use serde::{Deserialize, Serialize};

use super::{News, Runtime, RuntimeError, ahead::PLAUSIBLE_MS};
use crate::store::{Batch, Table};

const PREFIX: &[u8] = b"clock/";
/// How long it is told after it was last seen.
const TOLD_MS: u64 = 30 * 24 * 3_600_000;

/// Two clocks at one moment, Unix milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Clocks {
    /// The other device's.
    pub(crate) theirs: u64,
    /// This device's.
    pub(crate) ours: u64,
}

impl Clocks {
    /// Whether they show other times.
    pub(crate) fn is_odd(self) -> bool {
        self.theirs.abs_diff(self.ours) > limits::CLOCK_AHEAD_MS
    }

    /// By how much the other one is ahead.
    pub(crate) fn ahead(self) -> i128 {
        i128::from(self.theirs) - i128::from(self.ours)
    }

    /// Whether they say nothing that those did not say: both are right, or as far from each other within a minute.
    fn is_like(self, other: Self) -> bool {
        let is_late = self.ours.abs_diff(other.ours) > TOLD_MS / 30;
        let is_as_far = self.ahead().abs_diff(other.ahead()) < 60_000;
        !is_late && (is_as_far || !(self.is_odd() || other.is_odd()))
    }
}

fn key(device: &DeviceId) -> Vec<u8> {
    [PREFIX, &device.0].concat()
}

impl Runtime {
    /// Compares what another device says the time is with the clock here, which takes the place of what was seen
    /// before. One that shows another time, or did, is told what this one shows: it may be the wrong one. Durable when it
    /// returns.
    pub(super) fn compare_clocks(
        &mut self,
        device: DeviceId,
        said: Hlc,
    ) -> Result<(), RuntimeError> {
        let clocks = Clocks {
            theirs: said.time().0,
            ours: self.now().0,
        };
        let before = self.store.get(Table::Peers, &key(&device))?;
        let before = before.and_then(|row| wire::decode_row::<Clocks>(&row).ok());
        if before.is_some_and(|before| clocks.is_like(before)) {
            return Ok(());
        }
        self.store.commit(&Batch {
            puts: vec![(Table::Peers, key(&device), wire::encode(&clocks))],
            ..Batch::default()
        })?;
        if clocks.is_odd() || before.is_some_and(Clocks::is_odd) {
            self.news.push(News::OddClock(device));
        }
        Ok(())
    }

    /// What the clocks of live devices showed, as far as they were seen lately.
    pub(crate) fn clocks_seen(&self) -> Result<BTreeMap<DeviceId, Clocks>, RuntimeError> {
        let now = self.now().0;
        let mut seen = BTreeMap::new();
        self.store.scan(Table::Peers, PREFIX, |key, row| {
            let device = key.strip_prefix(PREFIX).and_then(|id| id.try_into().ok());
            let row = row.ok();
            let clocks = row.and_then(|row| wire::decode_row::<Clocks>(&row).ok());
            let found = device.map(DeviceId).zip(clocks);
            seen.extend(found.filter(|(device, clocks)| {
                let is_fresh = clocks.ours.abs_diff(now) < TOLD_MS;
                is_fresh && self.replica.control().is_live(device)
            }));
            ControlFlow::Continue(())
        })?;
        Ok(seen)
    }

    /// Whether the system's clock shows a time before this program was made.
    pub(crate) fn is_clock_unset(&self) -> bool {
        self.clock.now().0 < PLAUSIBLE_MS
    }
}
