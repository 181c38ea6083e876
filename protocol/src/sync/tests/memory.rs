//! Logs in memory, for tests: entries that are signed by nobody, stored as any device would.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use roaring::RoaringBitmap;

use crate::{
    crypto::sign::Signature,
    id::{BranchId, DeviceId, EntryId, LogId, SpaceId},
    log::entry::EntryBytes,
    sync::{Digest, Head, LogView, have, heads_digest, session::Verdict},
};

/// Version, suite and flags, then the space, as in a true header.
const FIXED: usize = 3 + 16 + 32 + 8 + 4 + 32;

pub(in crate::sync) const CONTROL: SpaceId = SpaceId([0xcc; 16]);

/// One entry, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::sync) struct Draft {
    pub(in crate::sync) space: SpaceId,
    pub(in crate::sync) device: DeviceId,
    pub(in crate::sync) inc: u64,
    pub(in crate::sync) seq: u32,
    pub(in crate::sync) prev: EntryId,
    pub(in crate::sync) control: bool,
    pub(in crate::sync) deps: Vec<EntryId>,
}

impl Draft {
    pub(in crate::sync) fn bytes(&self, body: usize) -> EntryBytes {
        let mut header = vec![1, 1, u8::from(self.control)];
        header.extend(self.space.0);
        header.extend(self.device.0);
        header.extend(self.inc.to_le_bytes());
        header.extend(self.seq.to_le_bytes());
        header.extend(self.prev.0);
        for dep in &self.deps {
            header.extend(dep.0);
        }
        EntryBytes {
            header,
            signature: Signature([0; 64]),
            body: vec![0xb0; body],
        }
    }

    fn parse(bytes: &EntryBytes) -> Option<Self> {
        let (fixed, deps) = bytes.header.split_at_checked(FIXED)?;
        Some(Self {
            control: fixed[2] == 1,
            space: SpaceId(fixed[3..19].try_into().ok()?),
            device: DeviceId(fixed[19..51].try_into().ok()?),
            inc: u64::from_le_bytes(fixed[51..59].try_into().ok()?),
            seq: u32::from_le_bytes(fixed[59..63].try_into().ok()?),
            prev: EntryId(fixed[63..95].try_into().ok()?),
            deps: deps
                .chunks_exact(32)
                .map(|dep| EntryId(dep.try_into().unwrap()))
                .collect(),
        })
    }
}

pub(in crate::sync) fn id(bytes: &EntryBytes) -> EntryId {
    EntryId(*blake3::hash(&bytes.header).as_bytes())
}

#[derive(Default, Debug)]
struct Segment {
    first: u32,
    ids: Vec<EntryId>,
}

/// A device's store.
#[derive(Default, Debug)]
pub(in crate::sync) struct Memory {
    entries: BTreeMap<EntryId, (Draft, EntryBytes)>,
    segments: BTreeMap<LogId, Segment>,
    order: BTreeMap<SpaceId, Vec<EntryId>>,
    names: BTreeMap<EntryId, LogId>,
    /// Entries that another one follows.
    followed: BTreeSet<EntryId>,
    digests: BTreeMap<SpaceId, Digest>,
    /// Whom a space is kept from.
    pub(in crate::sync) denied: BTreeSet<(DeviceId, SpaceId)>,
    /// Where logs end for whom a space is kept from since then.
    pub(in crate::sync) ends: BTreeMap<DeviceId, Vec<(LogId, u32)>>,
    /// Devices of which nothing is wanted.
    pub(in crate::sync) unwanted: BTreeSet<DeviceId>,
    /// Spaces that another session gets.
    pub(in crate::sync) elsewhere: BTreeSet<SpaceId>,
    pub(in crate::sync) have: BTreeMap<LogId, RoaringBitmap>,
    pub(in crate::sync) peer_have: BTreeMap<LogId, RoaringBitmap>,
    pub(in crate::sync) reads: Cell<u64>,
    /// Entries whose bytes do not read now.
    pub(in crate::sync) unread: BTreeSet<EntryId>,
}

impl Memory {
    pub(in crate::sync) fn accept(&mut self, bytes: &EntryBytes) -> Verdict {
        let Some(draft) = Draft::parse(bytes) else {
            return Verdict::Forged;
        };
        if bytes.signature.0[0] == 0xff {
            return Verdict::Forged;
        }
        let id = id(bytes);
        if self.entries.contains_key(&id) {
            return Verdict::Known;
        }
        if self.unwanted.contains(&draft.device) {
            let branch = BranchId::ZERO;
            let Draft {
                space, device, inc, ..
            } = draft;
            return Verdict::Refused(LogId {
                space,
                device,
                inc,
                branch,
            });
        }
        let follows = draft.seq == 0
            || self.entries.get(&draft.prev).is_some_and(|(prev, _)| {
                (prev.space, prev.device, prev.inc, prev.seq + 1)
                    == (draft.space, draft.device, draft.inc, draft.seq)
            });
        if !follows || draft.deps.iter().any(|dep| !self.entries.contains_key(dep)) {
            return Verdict::Waiting;
        }
        self.insert(id, draft, bytes.clone());
        Verdict::Accepted(id)
    }

    fn insert(&mut self, id: EntryId, draft: Draft, bytes: EntryBytes) {
        let space = draft.space;
        if draft.control {
            self.order.entry(space).or_default().push(id);
        }
        let tree = (space, draft.device, draft.inc);
        let is_tip = self.followed.insert(draft.prev);
        let tip = self.names.get(&draft.prev).filter(|_| is_tip).copied();
        self.entries.insert(id, (draft.clone(), bytes));
        match tip.and_then(|log| Some((log, self.segments.get_mut(&log)?))) {
            Some((log, segment)) if draft.seq > 0 => {
                segment.ids.push(id);
                self.names.insert(id, log);
            }
            _ => self.cut(tree),
        }
        self.digests.insert(space, heads_digest(self.heads(space)));
    }

    /// Cuts the logs of one device in one incarnation into segments anew.
    fn cut(&mut self, (space, device, inc): (SpaceId, DeviceId, u64)) {
        let mut tree: Vec<(u32, EntryId, EntryId)> = self
            .entries
            .iter()
            .filter(|(_, (draft, _))| {
                (draft.space, draft.device, draft.inc) == (space, device, inc)
            })
            .map(|(id, (draft, _))| (draft.seq, *id, draft.prev))
            .collect();
        tree.sort_unstable();
        self.segments
            .retain(|log, _| (log.space, log.device, log.inc) != (space, device, inc));
        let mut children: BTreeMap<(bool, EntryId), u32> = BTreeMap::new();
        let key = |seq: u32, prev: EntryId| (seq == 0, if seq == 0 { EntryId::ZERO } else { prev });
        for (seq, _, prev) in &tree {
            *children.entry(key(*seq, *prev)).or_default() += 1;
        }
        for (seq, id, prev) in tree {
            let alone = children[&key(seq, prev)] == 1;
            let log = match (seq, alone) {
                (0, true) => LogId {
                    space,
                    device,
                    inc,
                    branch: BranchId::ZERO,
                },
                (_, true) => self.names[&prev],
                (_, false) => {
                    let branch = BranchId(id.0[..8].try_into().unwrap());
                    LogId {
                        space,
                        device,
                        inc,
                        branch,
                    }
                }
            };
            let segment = self.segments.entry(log).or_default();
            if segment.ids.is_empty() {
                segment.first = seq;
            }
            segment.ids.push(id);
            self.names.insert(id, log);
        }
    }

    pub(in crate::sync) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(in crate::sync) fn ids(&self) -> BTreeSet<EntryId> {
        self.entries.keys().copied().collect()
    }

    pub(in crate::sync) fn holds(&self, id: EntryId) -> bool {
        self.entries.contains_key(&id)
    }

    pub(in crate::sync) fn locate(&self, id: EntryId) -> Option<(LogId, u32)> {
        Some((*self.names.get(&id)?, self.entries.get(&id)?.0.seq))
    }

    /// Writes the next entry of a log that did not fork.
    pub(in crate::sync) fn write(
        &mut self,
        space: SpaceId,
        device: DeviceId,
        deps: Vec<EntryId>,
        control: bool,
        body: usize,
    ) -> EntryBytes {
        let log = LogId {
            space,
            device,
            inc: 1,
            branch: BranchId::ZERO,
        };
        let (seq, prev) = match self.segments.get(&log) {
            Some(segment) => (
                segment.first + u32::try_from(segment.ids.len()).unwrap(),
                *segment.ids.last().unwrap(),
            ),
            None => (0, EntryId::ZERO),
        };
        let draft = Draft {
            space,
            device,
            inc: 1,
            seq,
            prev,
            control,
            deps,
        };
        let bytes = draft.bytes(body);
        assert!(matches!(self.accept(&bytes), Verdict::Accepted(_)));
        bytes
    }
}

impl LogView for Memory {
    fn spaces_for(&self, peer: DeviceId) -> Vec<(SpaceId, Digest)> {
        self.digests
            .iter()
            .filter(|(space, _)| !self.denied.contains(&(peer, **space)))
            .map(|(space, digest)| (*space, *digest))
            .collect()
    }

    fn endings(&self, peer: DeviceId) -> Vec<(SpaceId, Vec<Head>)> {
        let ends = self.ends.get(&peer).into_iter().flatten();
        let mut endings: BTreeMap<SpaceId, Vec<Head>> = BTreeMap::new();
        for (log, seq) in ends {
            endings.entry(log.space).or_default().push(Head {
                log: *log,
                first: self.segments[log].first,
                seq: *seq,
                id: self.entry_id(log, *seq).unwrap(),
            });
        }
        endings.into_iter().collect()
    }

    fn heads(&self, space: SpaceId) -> Vec<Head> {
        self.segments
            .iter()
            .filter(|(log, _)| log.space == space)
            .map(|(log, segment)| Head {
                log: *log,
                first: segment.first,
                seq: segment.first + u32::try_from(segment.ids.len()).unwrap() - 1,
                id: *segment.ids.last().unwrap(),
            })
            .collect()
    }

    fn entry(&self, log: &LogId, seq: u32) -> Option<EntryBytes> {
        self.reads.set(self.reads.get() + 1);
        let id = self.entry_id(log, seq)?;
        (!self.unread.contains(&id)).then(|| self.entries[&id].1.clone())
    }

    fn entry_id(&self, log: &LogId, seq: u32) -> Option<EntryId> {
        let segment = self.segments.get(log)?;
        let at = usize::try_from(seq.checked_sub(segment.first)?).unwrap();
        segment.ids.get(at).copied()
    }

    fn causal(&self, space: SpaceId) -> Vec<(LogId, u32)> {
        let order = self.order.get(&space).map_or(&[][..], Vec::as_slice);
        order
            .iter()
            .map(|id| (self.names[id], self.entries[id].0.seq))
            .collect()
    }

    fn digest(&self, space: SpaceId) -> Digest {
        self.digests
            .get(&space)
            .copied()
            .unwrap_or_else(|| heads_digest(Vec::new()))
    }

    fn is_pulled_elsewhere(&self, space: SpaceId, _peer: DeviceId) -> bool {
        self.elsewhere.contains(&space)
    }

    fn have_digests(&self, peer: DeviceId) -> Vec<(SpaceId, Digest)> {
        let spaces = self.spaces_for(peer).into_iter();
        spaces
            .filter_map(|(space, _)| Some((space, bits_digest(&self.have, space)?)))
            .collect()
    }

    fn have(&self, space: SpaceId) -> Vec<(LogId, RoaringBitmap)> {
        let rows = self.have.iter().filter(|(log, _)| log.space == space);
        rows.map(|(log, bits)| (*log, bits.clone())).collect()
    }

    fn peer_have_digests(&self, _peer: DeviceId) -> Vec<(SpaceId, Digest)> {
        let spaces: BTreeSet<SpaceId> = self.peer_have.keys().map(|log| log.space).collect();
        let digest = |space| Some((space, bits_digest(&self.peer_have, space)?));
        spaces.into_iter().filter_map(digest).collect()
    }
}

fn bits_digest(have: &BTreeMap<LogId, RoaringBitmap>, space: SpaceId) -> Option<Digest> {
    let rows: Vec<_> = have.iter().filter(|(log, _)| log.space == space).collect();
    (!rows.is_empty()).then(|| have::digest(rows))
}
