//! Devices whose past came back: a home restored from an older copy, or one that was copied and
//! runs twice. What was noticed is kept, so that people are told what happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use heirloom_protocol::{
    id::{DeviceId, LogId, SpaceId},
    log::entry::Entry,
    op::Policy,
    replica::log_of,
    time::Hlc,
    wire,
};
use serde::{Deserialize, Serialize};

use super::{Runtime, RuntimeError};
use crate::store::{Batch, StoreError, Table};

const PREFIX: &[u8] = b"past/";
/// The row that says when entries of this device came back whose file was missing, Unix milliseconds, and how many.
const BACK: &[u8] = b"log-back";
const DAY_MS: u64 = 24 * 3600 * 1000;
/// How long after it was noticed last people are told of it.
const TOLD_MS: u64 = 30 * DAY_MS;
/// For how long after an incarnation's last entry an older one that grows speaks of a second home.
const ALIVE_MS: u64 = 7 * DAY_MS;
/// The row that holds a day, Unix days, and how often forks were vouched for in it.
const VOUCHED: &[u8] = b"vouched";
/// Anchors a day beside the daily one: a device that forks without end costs others no more.
const VOUCHERS: u32 = 32;

/// What was noticed of one device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Past {
    /// When it was noticed first, Unix milliseconds.
    pub since: u64,
    /// When it was noticed last.
    pub last: u64,
    /// Of this device alone: entries of its own that others still had and it had not.
    pub came_back: u64,
    /// Whether its log went on in two ways.
    pub forked: bool,
    /// Whether two homes were seen to write in turn.
    pub twice: bool,
}

/// What one batch from a peer says of the past of devices.
#[derive(Default)]
pub(super) struct Signs {
    /// Entries of this device that were not here.
    came_back: u64,
    /// The same, where it is known that they were here and that their file is gone.
    found_again: u64,
    /// The incarnation under which it writes, if some of them stand in its log.
    outgrown: Option<u64>,
    /// Devices of which an older incarnation grew.
    twice: BTreeSet<DeviceId>,
}

fn key(device: &DeviceId) -> Vec<u8> {
    [PREFIX, &device.0].concat()
}

impl Runtime {
    /// Looks for signs of a second past in entries that a peer sent and the replica has taken.
    ///
    /// `lost` is what is known to have been here: that it comes back says nothing of a second past.
    pub(super) fn signs_in(&self, entries: &[Entry], lost: &[(LogId, Range<u32>)]) -> Signs {
        let mut signs = Signs::default();
        let mut latest: BTreeMap<(SpaceId, DeviceId, u64), Hlc> = BTreeMap::new();
        for entry in entries {
            let header = entry.header();
            let log = (header.space, header.device, header.inc);
            let last = latest.entry(log).or_default();
            *last = header.hlc.max(*last);
            if header.device == self.device() {
                let (named, kept) = (log_of(entry), self.place_of(entry).kept);
                let was_here = |(log, gone): &(LogId, Range<u32>)| {
                    (*log == named || *log == kept) && gone.contains(&header.seq)
                };
                match lost.iter().any(was_here) {
                    true => signs.found_again += 1,
                    false => signs.came_back += 1,
                }
                let own = Some(header.inc).filter(|inc| *inc == self.replica.incarnation());
                signs.outgrown = signs.outgrown.or(own);
            }
        }
        for ((space, device, inc), hlc) in latest {
            if self.is_recent(hlc) && self.has_younger(space, &device, inc, hlc) {
                signs.twice.insert(device);
            }
        }
        signs
    }

    /// Whether something was written so lately that people are still to hear of it.
    fn is_recent(&self, hlc: Hlc) -> bool {
        self.now().0.saturating_sub(hlc.time().0) < TOLD_MS
    }

    /// Whether an entry of an incarnation was written after a younger one had begun, and while that
    /// one was in use: one home never goes back.
    fn has_younger(&self, space: SpaceId, device: &DeviceId, inc: u64, hlc: Hlc) -> bool {
        let mut spans: BTreeMap<u64, (Hlc, Hlc)> = BTreeMap::new();
        let logs = self.replica.logs_of(space);
        for (log, state) in logs.filter(|(log, _)| log.device == *device) {
            let (Some(first), last) = (state.chain.first(), state.hlc()) else {
                continue;
            };
            let span = spans.entry(log.inc).or_insert((first.hlc, last));
            *span = (span.0.min(first.hlc), span.1.max(last));
        }
        let Some((began, _)) = spans.get(&inc).copied() else {
            return false;
        };
        spans.iter().any(|(other, (first, last))| {
            let in_use = hlc.time().0 < last.time().0.saturating_add(ALIVE_MS);
            *other != inc && *first > began && hlc > *first && in_use
        })
    }

    /// Keeps what the signs say, and leaves the log that others know better. Durable when it returns.
    pub(super) fn heed(&mut self, signs: &Signs) -> Result<(), RuntimeError> {
        let me = self.device();
        if signs.came_back > 0 {
            self.notice(&me, |past| past.came_back += signs.came_back)?;
            tracing::warn!(
                entries = signs.came_back,
                "entries of this device came from another: its home is older than it was"
            );
        }
        if signs.found_again > 0 {
            self.note_found_again(signs.found_again)?;
        }
        for device in &signs.twice {
            self.notice(device, |past| past.twice = true)?;
            tracing::warn!(device = %device.short(), "two homes write for one device");
        }
        if signs.outgrown == Some(self.replica.incarnation()) {
            // Another home may still write there.
            self.renew()?;
        }
        Ok(())
    }

    /// Notes which devices' logs forked. Durable when it returns.
    pub(super) fn note_forked(&mut self, logs: &BTreeSet<LogId>) -> Result<(), RuntimeError> {
        let me = self.device();
        // A newcomer hears of forks that were healed long ago.
        let is_news = |log: &&LogId| {
            let state = self.replica.log(log);
            log.device == me || state.is_none_or(|state| self.is_recent(state.hlc()))
        };
        let devices: BTreeSet<_> = logs.iter().filter(is_news).map(|log| log.device).collect();
        for device in &devices {
            let short = device.short();
            tracing::warn!(device = %short, "a log goes on in two ways: its home was copied or restored");
            self.notice(device, |past| past.forked = true)?;
        }
        Ok(())
    }

    fn note_found_again(&mut self, entries: u64) -> Result<(), RuntimeError> {
        let before = self.log_back()?.map_or(0, |(_, before)| before);
        let row = wire::encode(&(self.now().0, before.saturating_add(entries)));
        self.store.commit(&Batch {
            puts: vec![(Table::Kv, BACK.to_vec(), row)],
            ..Batch::default()
        })?;
        tracing::warn!(
            entries,
            "entries of this device came back whose file was missing"
        );
        Ok(())
    }

    /// When entries of this device last came back whose file was missing, Unix milliseconds, and how many; for 30 days.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub(crate) fn log_back(&self) -> Result<Option<(u64, u64)>, StoreError> {
        let row = self.store.get(Table::Kv, BACK)?;
        let row = row.and_then(|row| wire::decode_row::<(u64, u64)>(&row).ok());
        Ok(row.filter(|(at, _)| self.now().0.saturating_sub(*at) < TOLD_MS))
    }

    fn notice(
        &mut self,
        device: &DeviceId,
        change: impl FnOnce(&mut Past),
    ) -> Result<(), RuntimeError> {
        let now = self.now().0;
        let known = self.store.get(Table::Kv, &key(device))?;
        let known = known.and_then(|row| wire::decode_row::<Past>(&row).ok());
        // What is no longer told is over: this is another time.
        let known = known.filter(|past| now.saturating_sub(past.last) < TOLD_MS);
        let mut past = known.unwrap_or(Past {
            since: now,
            ..Past::default()
        });
        past.last = now;
        change(&mut past);
        let row = wire::encode_row(&past).unwrap_or_default();
        self.store.commit(&Batch {
            puts: vec![(Table::Kv, key(device), row)],
            ..Batch::default()
        })?;
        Ok(())
    }

    /// Devices whose past came back within the last 30 days.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub fn pasts(&self) -> Result<BTreeMap<DeviceId, Past>, StoreError> {
        let now = self.now().0;
        let mut pasts = BTreeMap::new();
        self.store.scan(Table::Kv, PREFIX, |key, row| {
            let device = key.strip_prefix(PREFIX).and_then(|id| id.try_into().ok());
            let past = row.ok().and_then(|row| wire::decode_row::<Past>(&row).ok());
            if let Some((device, past)) = device.zip(past)
                && now.saturating_sub(past.last) < TOLD_MS
            {
                pasts.insert(DeviceId(device), past);
            }
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(pasts)
    }

    /// Vouches on an archive for what forked logs hold, so that both sides are shown without waiting
    /// for the daily anchor; a few times a day. Durable when it returns.
    ///
    /// # Errors
    ///
    /// What disk and replica say.
    pub fn vouch_for_forks(&mut self) -> Result<(), RuntimeError> {
        let policy = self.replica.control().policy(&self.device());
        if !self.has_unvouched || policy != Policy::Archive {
            return Ok(());
        }
        let today = self.now().0 / DAY_MS;
        let row = self.store.get(Table::Kv, VOUCHED)?;
        let row = row.and_then(|row| wire::decode_row::<(u64, u32)>(&row).ok());
        let count = row.filter(|(day, _)| *day == today);
        let count = count.map_or(0, |(_, count)| count);
        if count >= VOUCHERS {
            return Ok(());
        }
        self.anchor()?;
        let row = wire::encode_row(&(today, count + 1)).unwrap_or_default();
        self.store.commit(&Batch {
            puts: vec![(Table::Kv, VOUCHED.to_vec(), row)],
            ..Batch::default()
        })?;
        self.has_unvouched = false;
        Ok(())
    }
}
