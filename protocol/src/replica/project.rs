//! From an entry to what it says about assets, as of now.

use super::Replica;
use crate::{
    album::{
        asset::{Author, Origin, Stamp},
        merge::Context,
    },
    id::{BranchId, LogId},
    log::entry::Entry,
    op::{Level, Op},
    time::Timestamp,
};

/// One op of an entry and what it needs to be applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Projected {
    /// The op.
    pub op: Op,
    /// Its id, author and stamp.
    pub origin: Origin,
}

/// What an entry says, if it can be read here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Projection {
    /// Ops that have an effect.
    pub ops: Vec<Projected>,
    /// Items in the entry, whether or not they have an effect.
    pub items: u32,
}

impl Projection {
    /// What [`crate::album::merge::apply`] asks for; `log` is where the entry's blobs are to be found.
    pub fn context<'a>(&self, log: LogId, entry: &'a Entry, origin: Origin) -> Context<'a> {
        Context {
            log,
            header: entry.header(),
            origin,
        }
    }
}

impl Replica {
    /// Opens an album's entry and keeps what counts: it stands, its author may write, it is not held.
    ///
    /// Held entries show what they add; what they change waits until this
    /// device's clock has reached them.
    pub fn project(&self, entry: &Entry, now: Timestamp) -> Projection {
        let header = entry.header();
        let mut projection = Projection::default();
        let Some(album) = self.albums.get(&header.space) else {
            return projection;
        };
        if header.is_control() {
            return projection;
        }
        let Ok(ops) = entry.open(album.epochs.key(&header.epoch)) else {
            return projection;
        };
        let items = ops
            .iter()
            .filter(|op| matches!(op, Some(Op::AddItem(_))))
            .count();
        projection.items = u32::try_from(items).unwrap_or(u32::MAX);
        let Some(voice) = album.voice(&self.control, entry) else {
            return projection;
        };
        let is_held = header.hlc.is_held(now);
        let current = album.is_current(header);
        for (index, op) in ops.into_iter().enumerate() {
            let Some(op) = op.filter(|op| !op.is_control()) else {
                continue;
            };
            let adds = matches!(op, Op::AddItem(_) | Op::AddBlob(_) | Op::AddPart(_));
            let level = if adds && voice.adds {
                Level::Contributor
            } else {
                voice.level
            };
            if level == Level::None || (is_held && !adds) {
                continue;
            }
            let author = Author {
                person: voice.person,
                level,
            };
            let stamp = Stamp {
                current,
                hlc: header.hlc,
                log: stamp_log(entry),
                seq: header.seq,
                index: u32::try_from(index).unwrap_or(u32::MAX),
            };
            let origin = Origin {
                op: entry.op_id(index),
                author,
                stamp,
            };
            projection.ops.push(Projected { op, origin });
        }
        projection
    }

    /// The highest level for which an entry of an album stands, for those who see its header alone.
    pub fn level_of(&self, entry: &Entry) -> Level {
        let album = self.albums.get(&entry.header().space);
        let voice = album.and_then(|album| album.voice(&self.control, entry));
        voice.map_or(Level::None, |voice| voice.level)
    }
}

/// What orders an entry among those of other logs with the same clock.
///
/// The name of its branch depends on what else is known, so the entry's own id
/// stands in its place: it decides only between two branches of one fork.
fn stamp_log(entry: &Entry) -> LogId {
    let header = entry.header();
    let mut branch = BranchId::ZERO;
    let size = branch.0.len();
    branch.0.copy_from_slice(&entry.id().0[..size]);
    LogId {
        space: header.space,
        device: header.device,
        inc: header.inc,
        branch,
    }
}
