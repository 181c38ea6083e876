//! Entries from peers: checked, taken, committed; only then does anybody hear of them.

use std::ops::Range;

use heirloom_protocol::{
    id::{DeviceId, LogId},
    log::entry::{Entry, EntryBytes, EntryError},
    replica::{Refusal, log_of},
};

use super::{Runtime, RuntimeError, commit::Stage};

/// What became of one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is new here and durable.
    Taken,
    /// It was here already.
    Here,
    /// It names something that is not here.
    Waits,
    /// It is not valid: whoever sent it broke the rules.
    Invalid,
    /// It is valid but does not count here.
    Refused(Refusal),
}

impl Runtime {
    /// Takes entries that a peer sent, in order, and says what became of each.
    ///
    /// Durable when it returns. One commit for all of them.
    pub fn accept(
        &mut self,
        from: DeviceId,
        entries: Vec<EntryBytes>,
    ) -> Result<Vec<Verdict>, RuntimeError> {
        let family = self.replica.family();
        let entries = entries
            .into_iter()
            .map(|bytes| Entry::verify(family, bytes));
        let entries: Vec<_> = entries.collect();
        for entry in entries.iter().flatten() {
            self.vouch_before_taking(entry)?;
            self.note_before_taking(entry)?;
        }
        // Not as it is while they are taken: what was here once ends with what has come again.
        let lost = self.store.lost()?;
        let mut stage = Stage::from_peer(from);
        let mut verdicts = Vec::with_capacity(entries.len());
        for entry in entries {
            let verdict = self.accept_one(&mut stage, entry, &lost)?;
            if let Verdict::Invalid | Verdict::Refused(_) = verdict {
                tracing::debug!(peer = %from.short(), ?verdict, "entry not taken");
            }
            verdicts.push(verdict);
        }
        if !stage.logs.is_empty() || !stage.rebuild.is_empty() {
            let signs = self.signs_in(&stage.fresh, &lost);
            let logs = stage.fresh.iter().map(log_of);
            self.has_unvouched |= logs.into_iter().any(|log| self.replica.is_forked(&log));
            self.finish(stage)?;
            self.heed(&signs)?;
        }
        Ok(verdicts)
    }

    /// Vouches for what is here of whom an entry removes or takes access from, while it still counts.
    ///
    /// Once that is taken in this says nothing more, so nobody can have later entries of theirs vouched for.
    fn vouch_before_taking(&mut self, entry: &Entry) -> Result<(), RuntimeError> {
        let header = entry.header();
        if !header.is_control() {
            return Ok(());
        }
        let is_family = header.space == self.replica.family().control_space();
        for op in entry.open(None).into_iter().flatten().flatten() {
            if is_family {
                self.vouch_before(&op)?;
            } else {
                self.vouch_before_lowering(&header.space, &op)?;
            }
        }
        Ok(())
    }

    fn accept_one(
        &mut self,
        stage: &mut Stage,
        entry: Result<Entry, EntryError>,
        lost: &[(LogId, Range<u32>)],
    ) -> Result<Verdict, RuntimeError> {
        let entry = match entry {
            Ok(entry) => entry,
            // A later version of the program may read it; it is asked for again then.
            Err(EntryError::UnknownVersion(..)) => return Ok(Verdict::Waits),
            Err(_) => return Ok(Verdict::Invalid),
        };
        match self.replica.accept(&entry, self.now()) {
            Ok(effects) => {
                stage.take_effects(&effects);
                self.stage_entry(stage, &entry)?;
                self.find_places_again(stage, &entry, lost);
                Ok(Verdict::Taken)
            }
            Err(Refusal::AlreadyHere) => {
                self.take_broken(stage, &entry)?;
                Ok(Verdict::Here)
            }
            Err(Refusal::Waiting) => Ok(Verdict::Waits),
            Err(refusal) => Ok(Verdict::Refused(refusal)),
        }
    }

    /// Projects entries again whose clocks were too far ahead and no longer are.
    pub fn release_held(&mut self) -> Result<(), RuntimeError> {
        let due = self.replica.due(self.now());
        if due.is_empty() {
            return Ok(());
        }
        let mut stage = Stage::default();
        for id in due {
            let Some(record) = self.store.entry_by_id(&id)? else {
                continue;
            };
            let Some(entry) = super::load::entry_of(&record) else {
                continue;
            };
            let projection = self.replica.project(&entry, self.now());
            self.stage_projection(&mut stage, &entry, record.log, &projection)?;
            stage.logs.insert(record.log);
        }
        self.finish(stage)
    }
}
