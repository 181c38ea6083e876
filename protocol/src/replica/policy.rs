//! What devices keep, as the family said.

use std::collections::{BTreeMap, BTreeSet};

use super::{Recorded, Replica, WriteError};
use crate::{
    family::resolver::Act,
    id::{DeviceId, EntryId, OpId},
    log::graph::Graph,
    op::{Op, Policy, Subject},
    time::{Hlc, Timestamp},
};

/// A policy that somebody set; whether it counts is seen later.
#[derive(Clone, Copy, Debug)]
struct Said {
    op: OpId,
    entry: EntryId,
    hlc: Hlc,
    policy: Policy,
}

/// All policies that were ever set, and those in force.
#[derive(Debug, Default)]
pub(super) struct Policies {
    /// Of each device, each after what its author had seen.
    said: BTreeMap<DeviceId, Vec<Said>>,
    in_force: BTreeMap<DeviceId, Policy>,
}

impl Policies {
    pub(super) fn note(
        &mut self,
        device: DeviceId,
        policy: Policy,
        (op, entry, hlc): (OpId, EntryId, Hlc),
    ) {
        let said = self.said.entry(device).or_default();
        said.push(Said {
            op,
            entry,
            hlc,
            policy,
        });
    }

    /// Finds the policies in force among the accepted ones.
    ///
    /// Who has seen a policy may replace it, whatever the clock of who set it said: no stamp makes one
    /// last for ever. Stamps decide between those that were set without knowing of each other.
    pub(super) fn weigh(&mut self, accepted: &BTreeSet<OpId>, graph: &Graph) {
        self.in_force.clear();
        for (device, said) in &self.said {
            let mut last: Vec<Said> = Vec::new();
            for one in said.iter().filter(|one| accepted.contains(&one.op)) {
                last.retain(|before| !graph.sees(&[one.entry], &before.entry));
                last.push(*one);
            }
            if let Some(one) = last.iter().max_by_key(|one| (one.hlc, one.op)) {
                self.in_force.insert(*device, one.policy);
            }
        }
    }

    pub(super) fn of(&self, device: &DeviceId) -> Policy {
        let policy = self.in_force.get(device).copied();
        policy.unwrap_or(Policy::Archive)
    }
}

impl Replica {
    /// Says what a device keeps.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotAllowed`] unless it is a device of this person, or this person is an admin.
    pub fn record_policy(
        &mut self,
        device: DeviceId,
        policy: Policy,
        now: Timestamp,
    ) -> Result<Recorded, WriteError> {
        let act = Act::Describe(Subject::Device(device));
        if !self.control.would_count(self.device(), act) {
            return Err(WriteError::NotAllowed);
        }
        self.record_control(vec![Op::SetPolicy((device, policy))], now)
    }
}
