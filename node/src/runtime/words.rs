//! Uses of recovery words, and since when this device has told of each.
//!
//! ```text
//! kit-use/ op[32]    u64, Unix milliseconds by this device's own clock
//! ```
//!
//! Whoever holds the words also sets the clock of the device that uses them, so that what they did
//! could look long past: how long it is told goes by this device's own time. It ends before where the
//! device that they added was removed, and where their person has typed the words on this device. Who puts new
//! ones in their place knows it: the device on which that is done does not tell itself.

use heirloom_protocol::{
    id::{OpId, PersonId},
    replica::{KitAct, KitUse},
};

use super::{Runtime, RuntimeError};
use crate::store::{Batch, Table};

/// How long a use of recovery words is told of.
const TOLD_MS: u64 = 30 * 24 * 3_600_000;

fn key(op: &OpId) -> Vec<u8> {
    [b"kit-use/", &op.0[..]].concat()
}

impl Runtime {
    /// Uses of recovery words of which this device tells now; from the first time it is asked on.
    /// What is new is durable when it returns.
    pub fn words_used(&mut self) -> Result<Vec<KitUse>, RuntimeError> {
        let now = self.now().0;
        // What a device that is gone did not get is nobody's worry; and this one knows of itself.
        let is_open = |used: &KitUse| match &used.act {
            KitAct::Added(device) => {
                *device != self.device() && self.replica.control().is_live(device)
            }
            KitAct::Removed(_) | KitAct::Replaced => true,
        };
        let uses: Vec<KitUse> = self
            .replica
            .kit_uses()
            .filter(|used| is_open(used))
            .copied()
            .collect();
        let mut batch = Batch::default();
        let mut told = Vec::new();
        for used in uses {
            let row = self.store.get(Table::Kv, &key(&used.op))?;
            let first = row
                .and_then(|row| row.try_into().ok())
                .map(u64::from_be_bytes);
            if first.is_none() {
                let row = (Table::Kv, key(&used.op), now.to_be_bytes().to_vec());
                batch.puts.push(row);
            }
            let age = now.saturating_sub(first.unwrap_or(now));
            if age < TOLD_MS {
                told.push(used);
            }
        }
        if !batch.puts.is_empty() {
            self.store.commit(&batch)?;
        }
        Ok(told)
    }

    /// Tells no more of what was done so far with a person's words: whoever holds them sits at this
    /// device and has heard of it. Durable when it returns; returns of how many it told until now.
    pub fn settle_words(&mut self, person: &PersonId) -> Result<usize, RuntimeError> {
        let mut told = self.words_used()?;
        told.retain(|used| used.person == *person);
        self.tell_no_more(told.iter().map(|used| &used.op))?;
        Ok(told.len())
    }

    /// Does not tell this device what was done on it just now: every use that is not among those before.
    /// Durable when it returns; cut off before, it is told here too, which is no harm.
    pub(super) fn know_of_own_use(&mut self, before: &[OpId]) -> Result<(), RuntimeError> {
        let uses: Vec<_> = self.replica.kit_uses().map(|used| used.op).collect();
        self.tell_no_more(uses.iter().filter(|op| !before.contains(op)))
    }

    fn tell_no_more<'a>(&self, ops: impl Iterator<Item = &'a OpId>) -> Result<(), RuntimeError> {
        let long_ago = 0_u64.to_be_bytes().to_vec();
        let batch = Batch {
            puts: ops
                .map(|op| (Table::Kv, key(op), long_ago.clone()))
                .collect(),
            ..Batch::default()
        };
        Ok(self.store.commit(&batch)?)
    }
}
