//! placeholder
use super::Network;
use crate::net::Stream;
use heirloom_protocol::id::DeviceId;
impl Network {
    pub(super) fn serve_blobs(&self, _device: DeviceId, _stream: Stream) {}
    pub(super) fn fetch_from(&self, _device: DeviceId) {}
}
