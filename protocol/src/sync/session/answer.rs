//! Serving: taking asks, and sending what they ask for within the credit.

use std::time::Instant;

use super::{CloseReason, Session, ask::pause};
use crate::{
    id::SpaceId,
    limits,
    sync::{
        Head, LogView,
        heads::{Place, Places, Plan},
        message::{Entries, Heads, Message, Refused, Sent},
    },
};

/// An ask whose positions are still coming.
#[derive(Debug)]
pub(super) struct Gather {
    ask: u32,
    pub(super) space: SpaceId,
    places: Places,
}

/// Something that the peer asked for did not read.
#[derive(Debug)]
pub(super) struct Unread {
    /// How often in a row.
    tries: u32,
    /// When the space is named again, so that the peer asks again; `None` once it was.
    pub(super) again: Option<Instant>,
}

impl Session {
    pub(super) fn asked(&mut self, heads: Heads, view: &impl LogView) -> Result<(), CloseReason> {
        if self.last_ask.is_some_and(|last| heads.ask <= last) {
            // A frame that came twice.
            return Ok(());
        }
        let expected = self.last_ask.map_or(0, |last| last + 1);
        if heads.ask != expected {
            return Err(CloseReason::Order);
        }
        let mut gather = self.gather.take().unwrap_or_else(|| Gather {
            ask: heads.ask,
            space: heads.space,
            places: Places::default(),
        });
        if (gather.ask, gather.space) != (heads.ask, heads.space) {
            return Err(CloseReason::Order);
        }
        for row in &heads.rows {
            let log = self.peer_log(heads.space, &row.log)?;
            let place = Place {
                branch: log.branch,
                seq: row.seq,
                hash: row.hash,
            };
            gather.places.add(log.device, log.inc, place);
        }
        if gather.places.len() > limits::SYNC_HEADS {
            return Err(CloseReason::TooMuch);
        }
        if heads.more {
            self.gather = Some(gather);
            return Ok(());
        }
        self.last_ask = Some(heads.ask);
        let ending = self.ending(heads.space, view);
        if !self.is_allowed(heads.space) && ending.is_none() {
            self.send(Message::Refused(Refused { ask: heads.ask }));
            return Ok(());
        }
        if self.plans.len() >= limits::SYNC_ASKS {
            return Err(CloseReason::TooMuch);
        }
        if let Some(space) = self.spaces.get_mut(&heads.space) {
            space.expect = None;
        }
        let (ask, space, places) = (heads.ask, heads.space, &gather.places);
        let is_ending = ending.is_some();
        let mut plan = match ending {
            None => Plan::new(view, ask, space, places),
            Some(ending) => Plan::up_to(ending, view, ask, space, places),
        };
        plan.is_ending = is_ending;
        self.plans.push_back(plan);
        Ok(())
    }

    /// Where a space ends for the peer, if it lost it.
    fn ending(&self, id: SpaceId, view: &impl LogView) -> Option<Vec<Head>> {
        self.spaces.get(&id)?.ending?;
        let mut endings = view.endings(self.peer).into_iter();
        endings
            .find(|(space, _)| *space == id)
            .map(|(_, heads)| heads)
    }

    /// Makes the next frame of the foremost answer; false when there is nothing to send, or no credit.
    pub(super) fn answer(&mut self, view: &impl LogView) -> bool {
        let Some(plan) = self.plans.front_mut() else {
            return false;
        };
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut is_done = false;
        while bytes < limits::ENTRIES_FRAME_BYTES {
            let Some(entry) = plan.peek(view) else {
                is_done = true;
                break;
            };
            let size = u64::try_from(entry.size()).unwrap_or(u64::MAX);
            if size > self.allowance.saturating_sub(self.sent) {
                break;
            }
            self.sent += size;
            bytes += entry.size();
            entries.push(entry);
            plan.advance();
        }
        let sent_some = !entries.is_empty();
        if sent_some {
            let answer = Entries {
                ask: plan.ask,
                part: plan.part,
                entries,
            };
            plan.part += 1;
            self.send(Message::Entries(answer));
        }
        if is_done {
            self.end_answer();
        }
        sent_some || is_done
    }

    fn end_answer(&mut self) {
        let Some(plan) = self.plans.pop_front() else {
            return;
        };
        if plan.is_torn {
            return self.give_up(&plan);
        }
        let forks = self.log_refs(plan.forks.into_iter());
        self.send(Message::Sent(Sent {
            ask: plan.ask,
            digest: plan.digest,
            forks,
        }));
        if let Some(space) = self.spaces.get_mut(&plan.space) {
            space.told = Some(plan.digest);
            space.unread = None;
        }
        self.tell();
    }

    /// Ends an answer of which something did not read: the peer is not told that it has all now,
    /// and asks again when the space is named anew.
    fn give_up(&mut self, plan: &Plan) {
        self.send(Message::Refused(Refused { ask: plan.ask }));
        let now = self.now;
        if let Some(space) = self.spaces.get_mut(&plan.space) {
            let tries = space.unread.take().map_or(1, |unread| unread.tries + 1);
            let again = Some(now + pause(tries));
            space.unread = Some(Unread { tries, again });
            // What is new since then is worth another ask at once.
            space.told = Some(plan.digest);
        }
        self.tell();
    }

    /// Has spaces named again of which something did not read a while ago.
    pub(super) fn name_again(&mut self, now: Instant) {
        for space in self.spaces.values_mut() {
            if let Some(unread) = &mut space.unread
                && unread.again.is_some_and(|again| now >= again)
            {
                unread.again = None;
                space.told = None;
            }
        }
    }

    /// Whether the peer is still to be told to ask again.
    pub(super) fn is_unread(&self) -> bool {
        let mut unread = self
            .spaces
            .values()
            .filter_map(|space| space.unread.as_ref());
        unread.any(|unread| unread.again.is_some())
    }
}
