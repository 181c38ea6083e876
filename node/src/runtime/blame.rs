//! Who sent what it should not have: bytes that are not the blob they were asked as, broken frames.
//!
//! ```text
//! blame/ device[32]    how often, and when last, by this device's own clock
//! ```
//!
//! Nothing of it was taken. A disk that rots and a keeper that lies look alike from here; what is
//! told names the device, and a person decides.

use std::{collections::BTreeMap, ops::ControlFlow};

use heirloom_protocol::{id::DeviceId, wire};
use serde::{Deserialize, Serialize};

use super::{News, Runtime, RuntimeError};
use crate::store::{Batch, Table};

const PREFIX: &[u8] = b"blame/";
/// How long a device is named after it last did so.
const NAMED_MS: u64 = 30 * 24 * 3_600_000;

/// What a device sent that was wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Blame {
    /// How often.
    pub times: u64,
    /// When last, Unix milliseconds.
    pub last: u64,
}

impl Runtime {
    /// Notes that a device sent what is provably wrong. Durable when it returns.
    pub fn blame(&mut self, device: DeviceId) -> Result<(), RuntimeError> {
        let mut blame = self.blamed()?.remove(&device).unwrap_or_default();
        blame.times = blame.times.saturating_add(1);
        blame.last = self.now().0;
        let key = [PREFIX, &device.0].concat();
        self.store.commit(&Batch {
            puts: vec![(Table::Peers, key, wire::encode(&blame))],
            ..Batch::default()
        })?;
        self.news.push(News::Peers);
        Ok(())
    }

    /// The devices that lately sent what is wrong.
    pub fn blamed(&self) -> Result<BTreeMap<DeviceId, Blame>, RuntimeError> {
        let now = self.now().0;
        let mut blamed = BTreeMap::new();
        self.store.scan(Table::Peers, PREFIX, |key, row| {
            let device = key.strip_prefix(PREFIX).and_then(|id| id.try_into().ok());
            let row = row
                .ok()
                .and_then(|row| wire::decode_row::<Blame>(&row).ok());
            let found = device.map(DeviceId).zip(row);
            blamed.extend(found.filter(|(_, blame)| now.saturating_sub(blame.last) < NAMED_MS));
            ControlFlow::Continue(())
        })?;
        Ok(blamed)
    }
}
