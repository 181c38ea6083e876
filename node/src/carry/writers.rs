//! Devices that wrote into a folder, and what they say that lies there.

use std::{collections::BTreeMap, sync::Arc};

use heirloom_protocol::{
    carry::{Manifest, SpaceRow},
    id::{DeviceId, LogId},
    sync::{
        have::{self, PeerHaves},
        message::HaveMode,
    },
};
use roaring::RoaringBitmap;

use crate::runtime::Standing;

/// What one device wrote.
pub(super) struct Writer {
    pub(super) device: DeviceId,
    /// As it was known when its lists were read.
    pub(super) standing: Standing,
    /// The hash of its manifest.
    pub(super) hash: [u8; 32],
    /// Files of entries in the order in which they are read.
    pub(super) files: Vec<String>,
    pub(super) manifest: Option<Manifest>,
    /// What its lists say; they are read once it is known to belong to the family, or to have belonged.
    pub(super) rows: Option<Arc<Vec<SpaceRow>>>,
}

impl Writer {
    /// Whether its lists say all that it has put there; one that was removed is not taken at its word.
    pub(super) fn is_whole(&self) -> bool {
        let is_whole = self.manifest.as_ref().map(|manifest| manifest.whole);
        self.standing == Standing::Live && is_whole == Some(true) && !self.rows().is_empty()
    }

    pub(super) fn rows(&self) -> &[SpaceRow] {
        self.rows.as_ref().map_or(&[], |rows| rows)
    }
}

/// What devices of a standing say that lies there.
pub(super) fn said(writers: &[Writer], standing: Standing) -> PeerHaves {
    let mut said = PeerHaves::default();
    for writer in writers.iter().filter(|one| one.standing == standing) {
        for row in writer.rows() {
            let logs = row.logs.iter().filter_map(|log| {
                let bits = have::decode(&log.blobs).ok()?;
                Some((log.log(row.space), bits))
            });
            said.apply(writer.device, row.space, HaveMode::Added, logs.collect());
        }
    }
    said
}

/// What several devices claim, as the claim of one.
pub(super) fn renamed(claims: [&PeerHaves; 2], carrier: DeviceId) -> PeerHaves {
    let mut all: BTreeMap<LogId, RoaringBitmap> = BTreeMap::new();
    for claims in claims {
        for device in claims.peers() {
            for (log, bits) in claims.logs(device) {
                *all.entry(*log).or_default() |= bits;
            }
        }
    }
    let mut renamed = PeerHaves::default();
    for (log, bits) in all {
        renamed.apply(carrier, log.space, HaveMode::Added, vec![(log, bits)]);
    }
    renamed
}
