//! Disks and power of a world: commits that are made, that fail, and that a crash takes.

use super::*;
use crate::{blobs, check::forks};

/// Disks and power.
impl World {
    /// Begins to write a stage to the disk.
    pub(crate) fn commit(&mut self, at: usize, stage: Stage, then: Then) {
        if self.sabotage == Some(Sabotage::AckEarly) {
            self.ledger.durable(at, &stage.records);
        }
        let delay = if self.dice.permille(self.faults.slow_disk) {
            self.dice.range(200, 4_000)
        } else {
            self.dice.range(0, 20)
        };
        self.seats[at].pending = Some(Pending { stage, then });
        let life = self.seats[at].life;
        self.after(delay, Event::Done(at, life));
    }

    pub(super) fn done(&mut self, at: usize) {
        let Some(pending) = self.seats[at].pending.take() else {
            return;
        };
        if self.seats[at].full {
            return self.refuse(at, pending);
        }
        if self.dice.permille(self.faults.disk_error) {
            self.note(at, &"the disk fails");
            if self.dice.permille(700) {
                return self.refuse(at, pending);
            }
            self.seats[at].pending = Some(pending);
            self.crash(at);
            return;
        }
        self.finish(at, pending.stage, pending.then);
        self.wake(at);
    }

    /// A commit fails in order: nothing of it is on the disk, and nobody hears of it.
    fn refuse(&mut self, at: usize, pending: Pending) {
        self.note(at, &"nothing is written");
        self.counts.refused += 1;
        if self.sabotage == Some(Sabotage::AckFull) {
            self.ledger.durable(at, &pending.stage.records);
        }
        self.reload(at);
        self.wake(at);
    }

    /// Blobs that could not be written: an import fails, what was fetched is fetched another time.
    pub(super) fn no_room_for(&mut self, at: usize, job: &Job) {
        self.counts.refused += 1;
        let ids = match job {
            Job::Say(draft) => draft.blob_ids(),
            Job::Fetched(blobs) => blobs.iter().map(|blob| blob.id).collect(),
        };
        self.seats[at].device.disk.forget_wet(&ids);
        if let Job::Fetched(refs) = job {
            let me = self.seats[at].device.id;
            for blob in refs {
                let device = &mut self.seats[at].device;
                device.blob_failed(blob, me, blobs::LATER);
            }
        }
    }

    /// There is room again, and what was put off goes on.
    pub(super) fn has_room(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        seat.full = false;
        seat.dirty.extend(seat.lines.keys());
        seat.upkeep = false;
        self.upkeep_soon(at);
        self.wake(at);
    }

    /// Goes for good.
    fn leave(&mut self, at: usize) {
        self.seats[at].is_gone = true;
        if self.seats[at].device.is_on() {
            self.crash(at);
        }
    }

    /// Loses power, or is killed: what was not durable is gone, in part.
    pub(crate) fn crash(&mut self, at: usize) {
        self.note(at, &"crashes");
        self.counts.crashes += 1;
        self.hang_up_all(at);
        let seat = &mut self.seats[at];
        seat.life += 1;
        seat.inbox.clear();
        seat.dirty.clear();
        seat.ticks.clear();
        seat.jobs.clear();
        seat.upkeep = false;
        let pending = seat.pending.take();
        seat.device.stop();
        if let Some(pending) = pending {
            seat.device
                .disk
                .tear(&pending.stage.records, &mut self.dice);
        }
        seat.device.disk.lose_wet_blobs(&mut self.dice);
        let delay = self.dice.range(100, 30_000);
        self.after(delay, Event::Start(at));
    }

    pub(super) fn start(&mut self, at: usize) {
        if self.seats[at].device.is_on() || self.seats[at].is_gone {
            return;
        }
        self.note(at, &"starts");
        self.load(at);
        self.awaken(at);
    }

    /// Takes in what a disk holds.
    fn load(&mut self, at: usize) {
        let now = self.moment(at);
        self.seats[at].device.reads.errors = self.faults.read_error;
        if let Err(what) = self.seats[at].device.start(now) {
            let label = self.seats[at].device.label.clone();
            self.fail(format!("{label} does not start: {what}"));
            return;
        }
        if let Err(what) = self.ledger.nothing_was_lost(at, &self.seats[at].device) {
            self.fail(what);
        }
        self.ledger.look(at, &self.seats[at].device, self.now);
        if let Err(what) = forks::anchored_stand(self, at) {
            self.fail(what);
        }
    }

    /// Makes memory what the disk holds, as after a commit that failed; peers have to call again.
    pub(crate) fn reload(&mut self, at: usize) {
        self.note(at, &"reads its disk again");
        self.hang_up_all(at);
        let seat = &mut self.seats[at];
        seat.dirty.clear();
        seat.ticks.clear();
        seat.device.stop();
        self.load(at);
        self.upkeep_soon(at);
    }

    /// Ends all its connections, and what it knew in them.
    fn hang_up_all(&mut self, at: usize) {
        for (peer, line) in std::mem::take(&mut self.seats[at].lines) {
            self.seats[at].device.close_session(&peer);
            self.cut(line.conn);
        }
    }

    /// Ends all that went wrong: clocks are right, everybody is on and near.
    pub(crate) fn heal(&mut self) {
        self.groups.fill(0);
        for at in 0..self.seats.len() {
            let leaves = self.seats[at].device.bad && self.dice.coin();
            if leaves {
                self.leave(at);
                continue;
            }
            let seat = &mut self.seats[at];
            (seat.skew, seat.away, seat.deaf_until, seat.full) = (0, false, 0, false);
            seat.device.reads.errors = 0;
            self.start(at);
            self.upkeep_soon(at);
        }
    }
}
