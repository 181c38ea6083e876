//! Pulling: which spaces differ, asking for them, taking the answers in.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    ANNOUNCE_BATCH, Batch, CloseReason, News, Output, STALE, Session, Verdict, answer::Unread,
    id_of, space_of,
};
use crate::{
    id::{LogId, SpaceId},
    limits,
    log::entry::EntryBytes,
    sync::{
        Digest, Head, LogView,
        heads::{Place, locators, short},
        heads_digest,
        message::{
            Announce, Credit, Entries, HeadRow, Heads, LogRef, Message, Refused, Sent, Spaces,
        },
    },
};

/// How long another session may get a space before this one asks as well.
const ELSEWHERE: Duration = Duration::from_secs(10);
/// The same while it does get on.
const ELSEWHERE_MAX: Duration = Duration::from_secs(120);
/// Times that a space is got whole from a peer that may not replicate it, as far as is known here.
const BLIND: u32 = 3;
/// The longest pause before entries that wait for others are asked for again.
const RETRY_MAX: Duration = Duration::from_secs(300);
/// Logs of which the replica wants nothing that are remembered.
const UNWANTED: usize = 1024;

/// What is known of one space on both sides.
#[derive(Debug)]
pub(super) struct Space {
    /// The digest of what is held here.
    pub(super) mine: Digest,
    /// The peer may replicate it, as far as is known here.
    pub(super) allowed: bool,
    /// The peer may replicate it no more: the digest of what it may still be told.
    pub(super) ending: Option<Digest>,
    /// What the peer last said that it holds.
    pub(super) peer: Option<Digest>,
    /// The digest of the peer's of which nothing is lacking here that could be had.
    pub(super) pulled: Option<Digest>,
    /// The last digest that the peer was told.
    pub(super) told: Option<Digest>,
    /// The digest that the peer will have once it has taken our announcements.
    pub(super) expect: Option<Digest>,
    pub(super) ask: Option<Asking>,
    /// Batches that are not committed yet.
    pub(super) batches: u32,
    /// An announcement could not be placed.
    dirty: bool,
    /// How often all of it was asked for, since the peer may not learn what is held.
    blind: u32,
    /// Logs to name many positions of.
    forks: Vec<LogId>,
    located: BTreeSet<LogId>,
    waiting: Option<Waiting>,
    tries: u32,
    elsewhere: Option<Elsewhere>,
    pub(super) unread: Option<Unread>,
}

/// Another session gets the space.
#[derive(Debug)]
struct Elsewhere {
    since: Instant,
    /// When something of it last came.
    moved: Instant,
}

impl Elsewhere {
    fn ends(&self) -> Instant {
        (self.since + ELSEWHERE_MAX).min(self.moved + ELSEWHERE)
    }
}

/// One ask that the peer has not finished answering.
#[derive(Debug)]
pub(super) struct Asking {
    /// The number of the part to come.
    part: u32,
}

/// Entries that came before what they depend on.
#[derive(Debug)]
struct Waiting {
    since: u64,
    not_before: Instant,
}

impl Space {
    pub(super) fn new(mine: Digest) -> Self {
        Self {
            mine,
            allowed: false,
            ending: None,
            peer: None,
            pulled: None,
            told: None,
            expect: None,
            ask: None,
            batches: 0,
            dirty: false,
            blind: 0,
            forks: Vec::new(),
            located: BTreeSet::new(),
            waiting: None,
            tries: 0,
            elsewhere: None,
            unread: None,
        }
    }

    /// Whether the peer holds, or may hold, what is lacking here.
    fn differs(&self) -> bool {
        let news = self
            .peer
            .is_some_and(|peer| peer != self.mine && self.pulled != Some(peer));
        news || self.dirty || !self.forks.is_empty()
    }

    /// The digest by which the peer is told of it, if it may know of it at all.
    fn named(&self) -> Option<Digest> {
        if self.allowed {
            Some(self.mine)
        } else {
            self.ending
        }
    }

    fn is_calm(&self) -> bool {
        !self.differs() && self.ask.is_none() && self.batches == 0
    }

    fn is_synced(&self) -> bool {
        self.peer == Some(self.mine) || self.expect == Some(self.mine)
    }
}

/// Whether anything may be asked about a space at all: of one that the peer may
/// not replicate, only without saying what is held of it.
fn may_ask(space: &Space) -> bool {
    space.allowed || space.mine == empty() || space.blind < BLIND
}

fn empty() -> Digest {
    heads_digest(Vec::new())
}

impl Session {
    /// The state of a space, made when it is new; `None` beyond the limit.
    pub(super) fn space(
        &mut self,
        id: SpaceId,
        view: &impl LogView,
    ) -> Result<&mut Space, CloseReason> {
        if !self.spaces.contains_key(&id) && self.spaces.len() >= limits::SYNC_SPACES {
            return Err(CloseReason::TooMuch);
        }
        Ok(self
            .spaces
            .entry(id)
            .or_insert_with(|| Space::new(view.digest(id))))
    }

    /// Looks again at what is held here and what the peer may replicate of it.
    pub(super) fn refresh(&mut self, view: &impl LogView, now: Instant) {
        let allowed: BTreeMap<_, _> = view.spaces_for(self.peer).into_iter().collect();
        let mut lost = false;
        for (id, space) in &mut self.spaces {
            let digest = allowed.get(id).copied();
            if digest.is_some() && !space.allowed {
                self.haves.opened(*id);
            }
            lost |= space.allowed && digest.is_none();
            space.allowed = digest.is_some();
            if digest.is_some() {
                space.ending = None;
            } else if space.ending.is_none() {
                // Given back, it is named anew.
                space.told = None;
                space.expect = None;
                space.unread = None;
            }
            let digest = digest.unwrap_or_else(|| view.digest(*id));
            if digest != space.mine {
                self.past.insert((*id, space.mine));
                space.mine = digest;
                if let Some(elsewhere) = &mut space.elsewhere {
                    elsewhere.moved = now;
                }
                if space.peer == Some(digest) {
                    space.pulled = Some(digest);
                }
            }
        }
        for (id, digest) in allowed {
            if self.spaces.len() < limits::SYNC_SPACES {
                let space = self.spaces.entry(id).or_insert_with(|| {
                    self.haves.opened(id);
                    Space::new(digest)
                });
                space.allowed = true;
            }
        }
        if lost {
            self.learn_endings(view);
        }
        let plans = std::mem::take(&mut self.plans);
        for plan in plans {
            if plan.is_ending || self.is_allowed(plan.space) {
                self.plans.push_back(plan);
            } else {
                self.send(Message::Refused(Refused { ask: plan.ask }));
            }
        }
    }

    /// Looks where spaces end that the peer may replicate no more.
    pub(super) fn learn_endings(&mut self, view: &impl LogView) {
        for (id, heads) in view.endings(self.peer) {
            if let Ok(space) = self.space(id, view)
                && !space.allowed
            {
                space.ending = Some(heads_digest(heads));
            }
        }
    }

    pub(super) fn peer_spaces(
        &mut self,
        spaces: &Spaces,
        view: &impl LogView,
    ) -> Result<(), CloseReason> {
        for (id, digest) in &spaces.rows {
            let was_ours = self.past.contains(&(*id, *digest));
            let space = self.space(*id, view)?;
            space.peer = Some(*digest);
            if was_ours || *digest == space.mine {
                space.pulled = Some(*digest);
            }
        }
        if !spaces.more {
            self.listed = true;
        }
        Ok(())
    }

    /// Tells the peer of every space, in pages.
    pub(super) fn tell_all(&mut self) {
        let mut rows = Vec::new();
        for (id, space) in &mut self.spaces {
            if let Some(named) = space.named() {
                space.told = Some(named);
                rows.push((*id, named));
            }
        }
        loop {
            let rest = rows.split_off(rows.len().min(limits::SYNC_PAGE_ROWS));
            let more = !rest.is_empty();
            self.send(Message::Spaces(Spaces { rows, more }));
            if !more {
                return;
            }
            rows = rest;
        }
    }

    /// Tells the peer what has changed here and come to rest.
    pub(super) fn tell(&mut self) {
        let mut rows = Vec::new();
        for (id, space) in &mut self.spaces {
            let rests = space.ask.is_none() && space.batches == 0;
            let named = space.named().filter(|named| space.told != Some(*named));
            if let Some(named) = named.filter(|_| rests) {
                let asked = self
                    .gather
                    .as_ref()
                    .is_some_and(|gather| gather.space == *id);
                if asked || self.plans.iter().any(|plan| plan.space == *id) {
                    continue;
                }
                space.told = Some(named);
                rows.push((*id, named));
            }
        }
        if !rows.is_empty() {
            for page in rows.chunks(limits::SYNC_PAGE_ROWS) {
                self.send(Message::Spaces(Spaces {
                    rows: page.to_vec(),
                    more: false,
                }));
            }
        }
    }

    /// Asks for whatever differs, the control space first.
    pub(super) fn ask_on(&mut self, view: &impl LogView, now: Instant) {
        self.is_hungry = false;
        if self.wants(self.control, view, now) {
            self.ask(self.control, view, now);
        }
        let control_calm = match self.spaces.get(&self.control) {
            Some(control) if control.is_calm() => self.listed || control.peer.is_some(),
            Some(control) => control.ask.is_none() && control.batches == 0 && !may_ask(control),
            None => self.listed,
        };
        let ids: Vec<SpaceId> = self
            .spaces
            .iter()
            .filter(|(id, space)| **id != self.control && space.differs())
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            if !self.wants(id, view, now) {
                continue;
            }
            if control_calm && self.asks.len() < limits::SYNC_ASKS {
                self.ask(id, view, now);
            } else {
                self.is_hungry = true;
            }
        }
        if self.asks.is_empty() && self.batches.is_empty() && !self.is_hungry {
            self.retry(view, now);
        }
    }

    fn wants(&mut self, id: SpaceId, view: &impl LogView, now: Instant) -> bool {
        let Some(space) = self.spaces.get(&id) else {
            return false;
        };
        let free = space.ask.is_none() && space.batches == 0;
        if !free || !space.differs() || !may_ask(space) {
            return false;
        }
        if !view.is_pulled_elsewhere(id, self.peer) {
            return true;
        }
        let space = self.spaces.get_mut(&id).expect("found above");
        let elsewhere = space.elsewhere.get_or_insert(Elsewhere {
            since: now,
            moved: now,
        });
        if now >= elsewhere.ends() {
            return true;
        }
        self.is_hungry = true;
        false
    }

    /// Asks again for entries that waited for others, once something else has come.
    fn retry(&mut self, view: &impl LogView, now: Instant) {
        let progress = self.progress;
        let due = self.spaces.iter().find(|(_, space)| {
            space
                .waiting
                .as_ref()
                .is_some_and(|waiting| progress > waiting.since && now >= waiting.not_before)
        });
        if let Some((id, space)) = due
            && may_ask(space)
        {
            self.ask(*id, view, now);
        }
    }

    /// When something that could not be asked for, or read, is to be tried again.
    pub(super) fn ask_again_at(&self) -> Option<Instant> {
        let differing = self.spaces.values().filter(|space| space.differs());
        let elsewhere = differing.filter_map(|space| Some(space.elsewhere.as_ref()?.ends()));
        let waiting = self
            .spaces
            .values()
            .filter_map(|space| space.waiting.as_ref());
        let waiting = waiting.filter(|waiting| self.progress > waiting.since);
        let unread = self
            .spaces
            .values()
            .filter_map(|space| space.unread.as_ref());
        // What was due at the last input was tried then, and now waits for another input.
        elsewhere
            .chain(waiting.map(|waiting| waiting.not_before))
            .chain(unread.filter_map(|unread| unread.again))
            .filter(|at| *at > self.now)
            .min()
    }

    fn ask(&mut self, id: SpaceId, view: &impl LogView, now: Instant) {
        let number = self.next_ask;
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        self.next_ask = self.next_ask.wrapping_add(1);
        space.ask = Some(Asking { part: 0 });
        space.dirty = false;
        space.elsewhere = None;
        space.tries = if space.waiting.take().is_some() {
            space.tries + 1
        } else {
            0
        };
        let forks = std::mem::take(&mut space.forks);
        space.located.extend(forks.iter().copied());
        let show = space.allowed;
        if !show && space.mine != empty() {
            space.blind += 1;
        }
        if self.asks.is_empty() {
            self.heard = now;
        }
        self.asks.insert(number, id);
        let places = if show {
            self.positions(id, &forks, view)
        } else {
            Vec::new()
        };
        let logs = self.log_refs(places.iter().map(|(log, _)| *log));
        // A log beyond the dictionary is left out, so the two lists may differ in length only then.
        let devices = &self.our_devices;
        let rows: Vec<HeadRow> = places
            .iter()
            .filter(|(log, _)| devices.contains_key(&log.device))
            .zip(logs)
            .map(|((_, place), log): (_, LogRef)| HeadRow {
                log,
                seq: place.seq,
                hash: place.hash,
            })
            .collect();
        let mut pages = rows.chunks(limits::SYNC_PAGE_ROWS).peekable();
        loop {
            let rows = pages.next().unwrap_or_default().to_vec();
            let more = pages.peek().is_some();
            let heads = Heads {
                ask: number,
                space: id,
                rows,
                more,
            };
            self.out.push_back(Output::Send(Message::Heads(heads)));
            if !more {
                return;
            }
        }
    }

    fn positions(&self, id: SpaceId, forks: &[LogId], view: &impl LogView) -> Vec<(LogId, Place)> {
        let mut places = Vec::new();
        for log in self
            .unwanted
            .range(first_log(id)..)
            .take_while(|log| log.space == id)
        {
            places.push((
                *log,
                Place {
                    branch: log.branch,
                    seq: u32::MAX,
                    hash: [0; 8],
                },
            ));
        }
        for head in view.heads(id) {
            if self.unwanted.contains(&head.log) {
                continue;
            }
            if forks.contains(&head.log) {
                places.extend(
                    locators(view, &head)
                        .into_iter()
                        .map(|place| (head.log, place)),
                );
            } else {
                places.push((head.log, tip(&head)));
            }
        }
        places.truncate(limits::SYNC_HEADS);
        places
    }

    pub(super) fn entries(&mut self, answer: Entries, now: Instant) -> Result<(), CloseReason> {
        let Some(id) = self.asks.get(&answer.ask).copied() else {
            return self.stale(answer.ask);
        };
        let asking = self
            .spaces
            .get_mut(&id)
            .and_then(|space| space.ask.as_mut());
        let asking = asking.expect("every ask has its space");
        if answer.part < asking.part {
            return Ok(());
        }
        if answer.part > asking.part || answer.entries.is_empty() {
            return Err(CloseReason::Order);
        }
        asking.part += 1;
        if answer
            .entries
            .iter()
            .any(|entry| space_of(entry) != Some(id))
        {
            return Err(CloseReason::Unasked);
        }
        let bytes: usize = answer.entries.iter().map(EntryBytes::size).sum();
        let bytes = u64::try_from(bytes).expect("a frame is at most 1 MiB");
        self.received += bytes;
        if self.received > self.granted {
            return Err(CloseReason::OverCredit);
        }
        self.heard = now;
        self.commit(id, answer.entries, bytes, false);
        Ok(())
    }

    fn stale(&mut self, ask: u32) -> Result<(), CloseReason> {
        self.stale += 1;
        let was_asked = ask < self.next_ask;
        if was_asked && self.stale <= STALE {
            Ok(())
        } else {
            Err(CloseReason::Unasked)
        }
    }

    fn commit(&mut self, id: SpaceId, entries: Vec<EntryBytes>, bytes: u64, is_announced: bool) {
        let batch = self.next_batch;
        self.next_batch += 1;
        if let Some(space) = self.spaces.get_mut(&id) {
            space.batches += 1;
        }
        let count = entries.len();
        self.batches.insert(
            batch,
            Batch {
                space: id,
                bytes,
                count,
                is_announced,
            },
        );
        self.out.push_back(Output::Commit {
            batch,
            space: id,
            entries,
        });
    }

    pub(super) fn answered(
        &mut self,
        sent: &Sent,
        view: &impl LogView,
        now: Instant,
    ) -> Result<(), CloseReason> {
        let Some(id) = self.asks.remove(&sent.ask) else {
            return self.stale(sent.ask);
        };
        self.heard = now;
        let forks: Result<Vec<LogId>, _> = sent
            .forks
            .iter()
            .map(|log| self.peer_log(id, log))
            .collect();
        let forks = forks?;
        let held = if forks.is_empty() {
            Vec::new()
        } else {
            view.heads(id)
        };
        let space = self.spaces.get_mut(&id).expect("every ask has its space");
        space.ask = None;
        space.peer = Some(sent.digest);
        space.pulled = Some(sent.digest);
        for log in forks {
            // A log that was asked about with many positions has been answered as well as can be.
            let is_held = held.iter().any(|head| head.log == log);
            if is_held && space.allowed && !space.located.contains(&log) {
                space.forks.push(log);
            }
        }
        if space.forks.is_empty() {
            space.located.clear();
        }
        Ok(())
    }

    pub(super) fn refused(&mut self, ask: u32, now: Instant) {
        if let Some(id) = self.asks.remove(&ask)
            && let Some(space) = self.spaces.get_mut(&id)
        {
            self.heard = now;
            space.ask = None;
            // Not asked for again before the peer names it anew.
            space.peer = None;
            space.waiting = None;
        }
    }

    pub(super) fn announced(
        &mut self,
        entry: EntryBytes,
        view: &impl LogView,
    ) -> Result<(), CloseReason> {
        let id = space_of(&entry).ok_or(CloseReason::Malformed)?;
        let entry_id = id_of(&entry);
        if self.seen.contains(&entry_id) {
            return Ok(());
        }
        let full = self.announced >= limits::ANNOUNCES_IN_FLIGHT;
        let space = self.space(id, view)?;
        if full {
            space.dirty = true;
            return Ok(());
        }
        self.seen.insert(entry_id);
        self.announced += 1;
        self.commit(id, vec![entry], 0, true);
        Ok(())
    }

    pub(super) fn committed(
        &mut self,
        batch: u64,
        verdicts: &[Verdict],
        view: &impl LogView,
        now: Instant,
    ) -> Result<(), CloseReason> {
        let Some(Batch {
            space: id,
            bytes,
            count,
            is_announced,
        }) = self.batches.remove(&batch)
        else {
            return Ok(());
        };
        debug_assert_eq!(verdicts.len(), count, "one verdict for each entry");
        if verdicts.contains(&Verdict::Forged) {
            return Err(CloseReason::BadEntry);
        }
        self.heard = now;
        for verdict in verdicts {
            match verdict {
                Verdict::Accepted(entry) => {
                    self.progress += 1;
                    self.seen.insert(*entry);
                }
                Verdict::Refused(log) if self.unwanted.len() < UNWANTED => {
                    self.unwanted.insert(*log);
                }
                _ => {}
            }
        }
        if is_announced {
            self.announced -= 1;
        }
        self.grant(bytes);
        let progress = self.progress;
        let space = self.spaces.get_mut(&id).expect("every batch has its space");
        space.batches -= 1;
        if verdicts.contains(&Verdict::Waiting) {
            if is_announced {
                space.dirty = true;
            } else {
                let not_before = now + pause(space.tries);
                space.waiting = Some(Waiting {
                    since: progress,
                    not_before,
                });
            }
        }
        self.refresh(view, now);
        Ok(())
    }

    /// Frees the credit of a committed batch, and says so once it is worth a frame.
    fn grant(&mut self, bytes: u64) {
        self.freed += bytes;
        let window = u64::from(self.hello.credit);
        if self.freed >= window / 4 {
            self.granted += self.freed;
            self.freed = 0;
            self.send(Message::Credit(Credit {
                total: self.granted,
            }));
        }
    }

    pub(super) fn local_news(&mut self, news: &[News], view: &impl LogView, now: Instant) {
        self.progress += u64::try_from(news.len()).unwrap_or(u64::MAX);
        let mut by_space: BTreeMap<SpaceId, Vec<&News>> = BTreeMap::new();
        for item in news.iter().filter(|item| !self.seen.contains(&item.id)) {
            by_space.entry(item.log.space).or_default().push(item);
        }
        let synced: BTreeSet<SpaceId> = by_space
            .keys()
            .filter(|id| self.spaces.get(id).is_some_and(Space::is_synced))
            .copied()
            .collect();
        self.refresh(view, now);
        if !self.greeted {
            return;
        }
        for (id, items) in by_space {
            if synced.contains(&id) && items.len() <= ANNOUNCE_BATCH && self.is_allowed(id) {
                self.announce(id, &items, view);
            }
        }
    }

    /// Sends new entries of a space in which the peer lacks nothing else.
    fn announce(&mut self, id: SpaceId, items: &[&News], view: &impl LogView) {
        if self.plans.iter().any(|plan| plan.space == id) {
            return;
        }
        let mut entries = Vec::new();
        for item in items {
            match view.entry(&item.log, item.seq) {
                Some(entry) if entry.size() <= limits::ANNOUNCE_INLINE_BYTES => entries.push(entry),
                // The peer is told the digest, and asks.
                _ => return,
            }
        }
        for (item, entry) in items.iter().zip(entries) {
            self.seen.insert(item.id);
            self.send(Message::Announce(Announce { entry }));
        }
        if let Some(space) = self.spaces.get_mut(&id) {
            space.told = Some(space.mine);
            space.expect = Some(space.mine);
        }
    }
}

fn tip(head: &Head) -> Place {
    Place {
        branch: head.log.branch,
        seq: head.seq,
        hash: short(head.id),
    }
}

fn first_log(space: SpaceId) -> LogId {
    LogId {
        space,
        device: crate::id::DeviceId::ZERO,
        inc: 0,
        branch: crate::id::BranchId::ZERO,
    }
}

/// At once, then after a second, two, four and so on.
pub(super) fn pause(tries: u32) -> Duration {
    match tries {
        0 => Duration::ZERO,
        _ => Duration::from_secs(1 << (tries - 1).min(9)).min(RETRY_MAX),
    }
}
