//! What the network says of this moment, for those who show it.

use std::collections::BTreeMap;

use heirloom_protocol::id::DeviceId;

/// What the network says of this moment; empty where none runs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Live {
    /// Devices that were met.
    pub devices: BTreeMap<DeviceId, Met>,
    /// What is on its way.
    pub moving: Moving,
    /// Where the gallery is offered.
    pub gallery: Option<String>,
    /// Multiaddrs that can be dialled.
    pub listen: Vec<String>,
}

/// How a device was met.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Met {
    /// Whether it is connected.
    pub connected: bool,
    /// `lan`, `direct` or `relay`, while it is.
    pub path: Option<&'static str>,
    /// When it was there last, Unix milliseconds.
    pub last_seen: Option<u64>,
}

/// How many blobs are on their way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moving {
    /// To others.
    pub sending: u64,
    /// To here.
    pub receiving: u64,
    /// For a device that holds them.
    pub waiting: u64,
}

impl Live {
    /// How a device was met, if it was.
    pub(super) fn met(&self, device: &DeviceId) -> Met {
        self.devices.get(device).cloned().unwrap_or_default()
    }
}
