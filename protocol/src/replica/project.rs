//! From an entry to what it says about assets, as of now.

use super::{Replica, log_of};
use crate::{
    album::{
        asset::{Author, Origin, Stamp},
        merge::Context,
    },
    id::{LogId, OpId, PersonId},
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
    /// What [`crate::album::merge::apply`] asks for.
    pub fn context<'a>(&self, entry: &'a Entry, origin: Origin) -> Context<'a> {
        Context {
            log: log_of(entry),
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
        let Some((person, level)) = self.writer(entry) else {
            return projection;
        };
        let stands = album.stands(&log_of(entry), header.seq);
        if stands == Standing::Not {
            return projection;
        }
        let only_adds = stands == Standing::Unconfirmed || header.hlc.is_held(now);
        let log = log_of(entry);
        for (index, op) in ops.into_iter().enumerate() {
            let Some(op) = op else { continue };
            let adds = matches!(op, Op::AddItem(_) | Op::AddBlob(_) | Op::AddPart(_));
            if op.is_control() || (only_adds && !adds) {
                continue;
            }
            let id = entry.op_id(index);
            let origin = self.origin(id, &log, entry, index, Author { person, level });
            projection.ops.push(Projected { op, origin });
        }
        projection
    }

    /// Whether what an entry of an album says counts, for those who see its header alone.
    pub fn standing(&self, entry: &Entry) -> Standing {
        let header = entry.header();
        match self.albums.get(&header.space) {
            Some(album) if self.writer(entry).is_some() => album.stands(&log_of(entry), header.seq),
            _ => Standing::Not,
        }
    }

    fn origin(&self, op: OpId, log: &LogId, entry: &Entry, index: usize, author: Author) -> Origin {
        let header = entry.header();
        let album = self.albums.get(&header.space);
        let current = album.is_none_or(|album| album.is_current(log, header.seq));
        let stamp = Stamp {
            current,
            hlc: header.hlc,
            log: *log,
            seq: header.seq,
            index: u32::try_from(index).unwrap_or(u32::MAX),
        };
        Origin { op, author, stamp }
    }

    fn writer(&self, entry: &Entry) -> Option<(PersonId, Level)> {
        let header = entry.header();
        let person = self.control.owner_of(&header.device)?;
        let level = self.albums.get(&header.space)?.highest_level(&person);
        (level > Level::None).then_some((person, level))
    }
}

/// Whether what an entry says counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It counts.
    Stands,
    /// Its author was removed and nobody saw it before: what it adds is shown, nothing else.
    Unconfirmed,
    /// It does not.
    Not,
}
