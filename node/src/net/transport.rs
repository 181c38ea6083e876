//! From a TCP address, or one behind a relay, to an authenticated, multiplexed connection.
//!
//! TCP without Nagle's delay, a large read buffer, Noise XX with the device's
//! key, our muxer. Nothing else is offered, so nothing can be negotiated down.

use std::sync::Arc;

use futures::io::{AsyncRead, AsyncWrite};
use libp2p::{
    PeerId, Transport,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    identity::Keypair,
    noise, relay, tcp,
};

use super::{
    backlog::Backlogs,
    event::Counters,
    gather::Gather,
    limits::{FAREWELL, NetLimits},
    muxer::Muxing,
    places::Bounded,
};

/// Builds the transport of one node; without `circuits` there is no way through a relay.
///
/// What a relay carries is encrypted from end to end like all the rest. What comes in takes one
/// of few places until it has shown who it is.
///
/// The buffer sits below Noise, which reads 8 KiB at a time: with it a system
/// call brings up to 128 KiB, once that much comes.
pub(super) fn build(
    key: &Keypair,
    refused: Arc<Counters>,
    limits: &NetLimits,
    circuits: Option<relay::client::Transport>,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, noise::Error> {
    let noise = noise::Config::new(key)?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let muxing = Muxing {
        refused,
        silence: limits.silence,
        farewell: FAREWELL,
        backlogs: Backlogs::default(),
    };
    let lines = match circuits {
        None => secure(tcp, noise, muxing, limits),
        Some(circuits) => secure(circuits.or_transport(tcp), noise, muxing, limits),
    };
    Ok(Bounded::new(lines).boxed())
}

fn secure<T>(
    lines: T,
    noise: noise::Config,
    muxing: Muxing,
    limits: &NetLimits,
) -> Boxed<(PeerId, StreamMuxerBox)>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    lines
        .map(|line, _| Gather::new(line))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex_ext(move |peer, _| muxing.with(peer))
        .timeout(limits.handshake)
        .boxed()
}
