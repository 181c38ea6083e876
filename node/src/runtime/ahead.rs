//! A clock that was ahead, and one that was never set.
//!
//! What a device wrote with a clock that was years ahead is held by everybody, and
//! its log may only go on from there. Once its clock is right it goes on in a new
//! incarnation, says again what it had changed, and leaves the old log behind.

use heirloom_protocol::{
    id::LogId,
    limits,
    op::{Op, Position},
    time::Timestamp,
};

use super::{Runtime, RuntimeError, load::entry_of};

/// How far ahead a device's own log must be before it believes that its clock was wrong then and is
/// right now, and not the other way round: a device without a battery may lose some hours.
const AHEAD_MS: u64 = 24 * 3600 * 1000;
/// A clock before 2026 was never set.
pub(super) const PLAUSIBLE_MS: u64 = 1_767_225_600_000;
/// Changes said again in one entry, which has room for as many of the longest.
const OPS: usize = limits::ENTRY_BYTES / (2 * limits::TEXT_BYTES);

impl Runtime {
    /// The time. On a device whose clock was never set: when it last wrote something.
    pub fn now(&self) -> Timestamp {
        let now = self.clock.now();
        if now.0 >= PLAUSIBLE_MS {
            return now;
        }
        now.max(self.replica.wrote_last())
    }

    /// Leaves logs behind that were written with a clock that was ahead. Durable when it returns; what
    /// an interruption leaves undone is done by the next call.
    pub(crate) fn leave_ahead(&mut self) -> Result<(), RuntimeError> {
        let now = self.now();
        let ahead = self.replica.own_logs_ahead(now, AHEAD_MS);
        let mut renewed = false;
        for (log, last) in ahead {
            if !self.replica.can_read(&log.space) {
                continue;
            }
            if log.inc == self.replica.incarnation() && !renewed {
                self.renew()?;
                renewed = true;
                tracing::warn!("this device's clock was ahead: it goes on under a new incarnation");
            }
            // Said again first: were they left behind and not said again, they would be lost.
            for ops in self.held_changes(&log, &last, now)?.chunks(OPS) {
                let mut rng = self.rng()?;
                let recorded = self.replica.record(
                    log.space,
                    ops.to_vec(),
                    Vec::new(),
                    Vec::new(),
                    now,
                    &mut rng,
                )?;
                self.commit(&recorded, &[])?;
            }
            let recorded = self.replica.record_left_behind(log.space, last, now)?;
            self.commit(&recorded, &[])?;
        }
        Ok(())
    }

    /// The changes in a log from a position on of which the last one wins and that are held, in order.
    fn held_changes(
        &self,
        log: &LogId,
        last: &Position,
        now: Timestamp,
    ) -> Result<Vec<Op>, RuntimeError> {
        let mut changes: Vec<Op> = Vec::new();
        let Some((head, _)) = self.replica.log(log).and_then(|state| state.head()) else {
            return Ok(changes);
        };
        let never_held = Timestamp(u64::MAX);
        // A log of which nothing is in time is left after its first entry: there is no place before it.
        for seq in last.seq..=head {
            let record = self.store.entry(log, seq)?;
            let Some(entry) = record.as_ref().and_then(entry_of) else {
                continue;
            };
            if !entry.header().hlc.is_held(now) {
                continue;
            }
            for projected in self.replica.project(&entry, never_held).ops {
                if matches!(
                    projected.op,
                    Op::SetField(_)
                        | Op::SetAlbum(_)
                        | Op::Trash(_)
                        | Op::Restore(_)
                        | Op::React(_)
                ) {
                    changes.push(projected.op);
                }
            }
        }
        Ok(changes)
    }
}
