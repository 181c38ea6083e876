//! Whose clock shows another time than this device's, by what a device signs of itself as it connects.
//!
//! ```text
//! clock/ device[32]    what it showed, and what the clock here showed then
//! ```
//!
//! Nothing follows from it but a word to people: either of the two may be wrong.

use std::{collections::BTreeMap, ops::ControlFlow};

use heirloom_protocol::{id::DeviceId, limits, time::Hlc, wire};
use serde::{Deserialize, Serialize};

use super::{Runtime, RuntimeError};
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
    fn is_odd(self) -> bool {
        self.theirs.abs_diff(self.ours) > limits::CLOCK_AHEAD_MS
    }

    /// Whether both are as far from each other as those, within a minute.
    fn is_like(self, other: Self) -> bool {
        let between = |clocks: Self| i128::from(clocks.theirs) - i128::from(clocks.ours);
        let is_late = self.ours.abs_diff(other.ours) > TOLD_MS / 30;
        !is_late && between(self).abs_diff(between(other)) < 60_000
    }
}

fn key(device: &DeviceId) -> Vec<u8> {
    [PREFIX, &device.0].concat()
}

impl Runtime {
    /// Compares what another device says the time is with the clock here. Durable when it returns.
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
        let before = before.map(|row| wire::decode_row::<Clocks>(&row).ok());
        let mut batch = Batch::default();
        match (clocks.is_odd(), before) {
            (true, Some(Some(before))) if clocks.is_like(before) => return Ok(()),
            (true, _) => batch
                .puts
                .push((Table::Peers, key(&device), wire::encode(&clocks))),
            (false, Some(_)) => batch.deletes.push((Table::Peers, key(&device))),
            (false, None) => return Ok(()),
        }
        self.store.commit(&batch)?;
        Ok(())
    }

    /// The live devices whose clock lately showed another time.
    pub(crate) fn odd_clocks(&self) -> Result<BTreeMap<DeviceId, Clocks>, RuntimeError> {
        let now = self.now().0;
        let mut odd = BTreeMap::new();
        self.store.scan(Table::Peers, PREFIX, |key, row| {
            let device = key.strip_prefix(PREFIX).and_then(|id| id.try_into().ok());
            let row = row.ok();
            let clocks = row.and_then(|row| wire::decode_row::<Clocks>(&row).ok());
            let found = device.map(DeviceId).zip(clocks);
            odd.extend(found.filter(|(device, clocks)| {
                let is_fresh = clocks.ours.abs_diff(now) < TOLD_MS;
                is_fresh && self.replica.control().is_live(device)
            }));
            ControlFlow::Continue(())
        })?;
        Ok(odd)
    }
}
