//! Which references a header may end, as everyone can check who sees headers alone.
//!
//! A manager ends any reference of the album; everyone else who may write those in
//! logs of their own person. Whether a drop is *right*, because the item is
//! purged, only readers can tell.

use serde::{Deserialize, Serialize};

use crate::{
    id::{BranchId, DeviceId, LogId},
    limits,
    log::entry::{Drop, Header},
    op::Level,
};

/// Blob ordinals of one log, `from` inclusive, `to` exclusive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Range {
    /// The log.
    pub log: LogId,
    /// First ordinal.
    pub from: u32,
    /// The ordinal after the last.
    pub to: u32,
}

/// The drops of a header that its author may make.
///
/// `level` is the author's in the album, `is_own` whether a device belongs to the
/// author's person. An empty range, and one beyond [`limits::LOG_BLOBS`], ends
/// nothing. At most [`limits::ENTRY_DROPS`] come back.
pub fn allowed(header: &Header, level: Level, is_own: impl Fn(&DeviceId) -> bool) -> Vec<Range> {
    if level < Level::Contributor {
        return Vec::new();
    }
    let may = |drop: &&Drop| level == Level::Manager || is_own(&drop.device);
    let drops = header.drops.iter().filter(may);
    let drops = drops.filter(|drop| drop.from < drop.to && drop.to <= limits::LOG_BLOBS);
    drops
        .map(|drop| Range {
            log: LogId {
                space: header.space,
                device: drop.device,
                inc: drop.inc,
                branch: drop.branch,
            },
            from: drop.from,
            to: drop.to,
        })
        .collect()
}

/// The fewest drops that name exactly some blobs of one space, each once.
pub fn ranges(blobs: impl IntoIterator<Item = (LogId, u32)>) -> Vec<Drop> {
    let mut blobs: Vec<_> = blobs.into_iter().collect();
    blobs.sort_unstable();
    blobs.dedup();
    let mut drops: Vec<Drop> = Vec::new();
    let named = |drop: &Drop| -> (DeviceId, u64, BranchId) { (drop.device, drop.inc, drop.branch) };
    for (log, ordinal) in blobs {
        let LogId {
            device,
            inc,
            branch,
            ..
        } = log;
        match drops.last_mut() {
            Some(last) if named(last) == (device, inc, branch) && last.to == ordinal => {
                last.to = ordinal.saturating_add(1);
            }
            _ => drops.push(Drop {
                device,
                inc,
                branch,
                from: ordinal,
                to: ordinal.saturating_add(1),
            }),
        }
    }
    drops
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::body::BodyNonce,
        id::{EntryId, EpochId, SpaceId},
        log::entry::{SUITE, VERSION},
        time::Hlc,
    };

    const SPACE: SpaceId = SpaceId([1; 16]);

    fn log(n: u8) -> LogId {
        LogId {
            space: SPACE,
            device: DeviceId([n; 32]),
            inc: u64::from(n),
            branch: BranchId::ZERO,
        }
    }

    fn header(drops: Vec<Drop>) -> Header {
        Header {
            version: VERSION,
            suite: SUITE,
            flags: 0,
            space: SPACE,
            device: DeviceId([1; 32]),
            inc: 1,
            seq: 0,
            prev: EntryId::ZERO,
            hlc: Hlc(1),
            control_seen: 0,
            control_digest: [0; 16],
            epoch: EpochId::ZERO,
            nonce: BodyNonce::ZERO,
            first_item: 0,
            first_blob: 0,
            blobs: Vec::new(),
            drops,
            deps: Vec::new(),
            body_hash: [0; 32],
        }
    }

    #[test]
    fn a_manager_ends_all_a_contributor_their_own_a_viewer_nothing() {
        let header = header(ranges([(log(1), 4), (log(2), 7)]));
        let own = |device: &DeviceId| device.0[0] == 1;
        let logs = |level| -> Vec<u8> {
            let allowed = allowed(&header, level, own);
            allowed.iter().map(|range| range.log.device.0[0]).collect()
        };
        assert_eq!(logs(Level::Manager), [1, 2]);
        assert_eq!(logs(Level::Contributor), [1]);
        assert_eq!(logs(Level::Viewer), [0; 0]);
        assert_eq!(logs(Level::None), [0; 0]);
    }

    #[test]
    fn a_range_that_no_log_has_ends_nothing() {
        let drop = |from, to| Drop {
            device: DeviceId([1; 32]),
            inc: 1,
            branch: BranchId::ZERO,
            from,
            to,
        };
        let header = header(vec![
            drop(3, 3),
            drop(4, 3),
            drop(0, limits::LOG_BLOBS + 1),
            drop(0, limits::LOG_BLOBS),
        ]);
        let allowed = allowed(&header, Level::Manager, |_| false);
        assert_eq!(allowed.len(), 1);
        assert_eq!((allowed[0].from, allowed[0].to), (0, limits::LOG_BLOBS));
    }

    #[test]
    fn neighbours_become_one_range() {
        let blobs = [
            (log(2), 9),
            (log(1), 5),
            (log(1), 3),
            (log(1), 4),
            (log(1), 4),
            (log(2), 8),
            (log(1), 7),
        ];
        let drops = ranges(blobs);
        let short: Vec<_> = drops
            .iter()
            .map(|drop| (drop.device.0[0], drop.from, drop.to))
            .collect();
        assert_eq!(short, [(1, 3, 6), (1, 7, 8), (2, 8, 10)]);
    }
}
