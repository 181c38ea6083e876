//! Time as a value, and the clock that orders edits made by devices with wrong clocks.
//!
//! A [`Hlc`] (hybrid logical clock, Kulkarni et al. 2014) packs 48 bits of Unix
//! milliseconds and a 16 bit counter into one number that never falls within a
//! log. Entries too far ahead of this device's clock are held and do not drag it.

use serde::{Deserialize, Serialize};

use crate::limits::CLOCK_AHEAD_MS;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

/// A hybrid logical timestamp.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Hlc(pub u64);

const COUNTER_BITS: u32 = 16;
const MS_MAX: u64 = (1 << 48) - 1;

impl Hlc {
    /// The earliest stamp at a wall time.
    pub fn at(time: Timestamp) -> Self {
        Self(time.0.min(MS_MAX) << COUNTER_BITS)
    }

    /// The wall time inside.
    pub const fn time(self) -> Timestamp {
        Timestamp(self.0 >> COUNTER_BITS)
    }

    /// The stamp that follows both this one and the wall clock.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Self {
        Self::at(now).max(Self(self.0.saturating_add(1)))
    }

    /// Whether a stamp is so far ahead that it is held for last-writer-wins and display.
    pub fn is_held(self, now: Timestamp) -> bool {
        self.time().0 > now.0.saturating_add(CLOCK_AHEAD_MS)
    }

    /// Takes note of a stamp from elsewhere, unless it is held.
    #[must_use]
    pub fn observe(self, other: Self, now: Timestamp) -> Self {
        if other.is_held(now) {
            self
        } else {
            self.max(other)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_never_falls_when_the_clock_does() {
        let late = Hlc::at(Timestamp(1000));
        assert!(late.next(Timestamp(5)) > late);
        assert_eq!(late.next(Timestamp(2000)), Hlc::at(Timestamp(2000)));
    }

    #[test]
    fn a_far_future_stamp_does_not_drag_the_clock() {
        let now = Timestamp(1_000_000);
        let ours = Hlc::at(now);
        let wild = Hlc::at(Timestamp(now.0 + CLOCK_AHEAD_MS + 1));
        assert!(wild.is_held(now));
        assert_eq!(ours.observe(wild, now), ours);
        let near = Hlc::at(Timestamp(now.0 + 5));
        assert_eq!(ours.observe(near, now), near);
    }
}
