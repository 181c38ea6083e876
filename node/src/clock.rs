//! What time it is, as a value: the system's clock, until a test sets it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use heirloom_protocol::time::Timestamp;

/// Where a node reads the time from. Clones show the same time.
///
/// How long things are kept is reckoned by it; how long a peer may take is not.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<AtomicU64>);

/// The value of a clock that follows the system's.
const SYSTEM: u64 = 0;

impl Clock {
    /// The time now; 1970 on a system whose clock says something earlier.
    pub fn now(&self) -> Timestamp {
        let set = self.0.load(Ordering::SeqCst);
        if set != SYSTEM {
            return Timestamp(set);
        }
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Makes the clock and all its clones stand at this time until they are set again.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_follows_the_system_until_it_is_set() {
        let clock = Clock::default();
        let other = clock.clone();
        let before = Clock::default().now();
        assert!(other.now() >= before);
        clock.set(Timestamp(9));
        assert_eq!(other.now(), Timestamp(9));
    }
}
