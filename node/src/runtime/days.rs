//! Days that this device has itself seen go by.
//!
//! What is kept for 30 days goes for good when they are over, and a clock that jumps must not end them
//! in one step: each look at the clock counts as one day at most. Who is seldom on keeps longer.

use heirloom_protocol::{limits, wire};
use serde::{Deserialize, Serialize};

use crate::store::{Batch, Store, StoreError, Table};

/// The row that holds the days.
const ROW: &[u8] = b"days";
/// As many days as dropped blobs are kept.
const DAYS: usize = 30;
/// Two looks this far apart are two days, even where somebody is home earlier on the second.
const APART_MS: u64 = 22 * 3600 * 1000;

/// The last days that were seen.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Days {
    /// When the clock was looked at, Unix milliseconds, each well after the one before.
    seen: Vec<u64>,
    /// Since when the clock has been behind the last of them.
    behind: Option<u64>,
}

impl Days {
    /// Looks at the clock.
    fn see(&mut self, now: u64) {
        if self.seen.last().is_some_and(|last| now < *last) {
            // A device without a battery starts behind and is set right soon; a clock that stays there
            // for a day was ahead before.
            let since = self.behind.filter(|since| *since <= now).unwrap_or(now);
            self.behind = Some(since);
            if now - since < APART_MS {
                return;
            }
            self.seen.retain(|at| *at <= now);
        }
        self.behind = None;
        if self.seen.last().is_none_or(|last| now - last >= APART_MS) {
            self.seen.push(now);
        }
        let over = self.seen.len().saturating_sub(DAYS);
        self.seen.drain(..over);
    }

    /// What was dropped then or before was kept for its 30 days, by the clock and by what was seen.
    fn kept_since(&self, now: u64) -> u64 {
        match self.seen.first() {
            Some(first) if self.seen.len() == DAYS => {
                now.saturating_sub(limits::DROPPED_BLOB_MS).min(*first)
            }
            _ => 0,
        }
    }
}

/// Looks at the clock, and says up to when what is kept for 30 days has been kept long enough: Unix
/// milliseconds. Durable when it returns.
///
/// Where the row is lost with the index, counting begins anew.
pub(crate) fn kept_since(store: &Store, now: u64) -> Result<u64, StoreError> {
    let row = store.get(Table::Kv, ROW)?;
    let before: Days = row
        .and_then(|row| wire::decode_row(&row).ok())
        .unwrap_or_default();
    let mut days = before.clone();
    days.see(now);
    if days != before {
        store.commit(&Batch {
            puts: vec![(Table::Kv, ROW.to_vec(), wire::encode(&days))],
            ..Batch::default()
        })?;
    }
    Ok(days.kept_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600 * 1000;
    const DAY: u64 = 24 * HOUR;
    const START: u64 = 1_800_000_000_000;

    /// Looks each hour.
    fn live(days: &mut Days, from: u64, to: u64) {
        for hour in (from..=to).step_by(3_600_000) {
            days.see(hour);
        }
    }

    #[test]
    fn a_clock_that_is_right_ends_the_wait_after_thirty_days() {
        let mut days = Days::default();
        let dropped = START + 7 * HOUR;
        live(&mut days, START, dropped + 30 * DAY - HOUR);
        assert!(days.kept_since(dropped + 30 * DAY - HOUR) < dropped);
        live(&mut days, dropped + 30 * DAY, dropped + 30 * DAY);
        assert_eq!(days.kept_since(dropped + 30 * DAY), dropped);
    }

    #[test]
    fn a_jump_is_one_day_at_most() {
        let mut days = Days::default();
        live(&mut days, START, START + 60 * DAY);
        let dropped = START + 60 * DAY;
        let ahead = dropped + 400 * DAY;
        days.see(ahead);
        assert!(days.kept_since(ahead) < dropped);
        // It stays ahead: the days are counted from there.
        live(&mut days, ahead, ahead + 26 * DAY);
        assert!(days.kept_since(ahead + 26 * DAY) < dropped);
        live(&mut days, ahead + 26 * DAY, ahead + 30 * DAY);
        assert!(days.kept_since(ahead + 30 * DAY) >= dropped);
    }

    #[test]
    fn a_clock_that_jumps_back_and_forth_counts_nothing() {
        let mut days = Days::default();
        let dropped = START + 40 * DAY;
        live(&mut days, START, dropped);
        for nth in 0..100 {
            days.see(dropped + nth * HOUR / 100);
            days.see(dropped + 40 * DAY);
            assert!(days.kept_since(dropped + 40 * DAY) < dropped);
        }
        // Once it has been right for a day, what it saw ahead is forgotten, and it goes on as before.
        live(&mut days, dropped + HOUR, dropped + 29 * DAY);
        assert!(days.kept_since(dropped + 29 * DAY) < dropped);
        live(&mut days, dropped + 29 * DAY, dropped + 32 * DAY);
        assert!(days.kept_since(dropped + 32 * DAY) >= dropped);
    }

    #[test]
    fn a_device_that_starts_with_a_clock_behind_loses_no_days() {
        let mut days = Days::default();
        for day in 0..=31 {
            days.see(START - 300 * DAY);
            days.see(START + day * DAY);
        }
        assert!(days.kept_since(START + 31 * DAY) >= START);
    }

    #[test]
    fn who_is_on_once_a_week_frees_the_space_in_the_end() {
        let mut days = Days::default();
        let weeks = |days: &mut Days, from: u64, to: u64| {
            for week in from..=to {
                days.see(START + week * 7 * DAY);
            }
        };
        weeks(&mut days, 0, 20);
        assert!(days.kept_since(START + 140 * DAY) < START);
        weeks(&mut days, 21, 30);
        assert!(days.kept_since(START + 210 * DAY) >= START);
    }
}
