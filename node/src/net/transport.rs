//! From a TCP address to an authenticated, multiplexed connection.
//!
//! TCP without Nagle's delay, a large read buffer, Noise XX with the device's
//! key, our muxer. Nothing else is offered, so nothing can be negotiated down.

use std::sync::Arc;

use futures::io::BufReader;
use libp2p::{
    PeerId, Transport,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    identity::Keypair,
    noise, tcp,
};

use super::{
    event::Counters,
    limits::{FAREWELL, NetLimits, READ_BUFFER},
    muxer::Mux,
};

/// Builds the transport of one node.
///
/// The buffer sits below Noise, which reads 8 KiB at a time: with it a system
/// call brings up to 128 KiB.
pub(super) fn build(
    key: &Keypair,
    refused: Arc<Counters>,
    limits: &NetLimits,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, noise::Error> {
    let noise = noise::Config::new(key)?;
    Ok(
        tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
            .map(|socket, _| BufReader::with_capacity(READ_BUFFER, socket))
            .upgrade(Version::V1Lazy)
            .authenticate(noise)
            .multiplex(Mux {
                refused,
                silence: limits.silence,
                farewell: FAREWELL,
            })
            .timeout(limits.handshake)
            .boxed(),
    )
}
