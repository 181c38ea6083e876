//! The streams of one connection: opened, accepted, counted, none lost.
//!
//! Inbound streams beyond the limit are reset and counted. What is accepted
//! waits here until the network task takes it; `libp2p-stream` would drop it.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    iter, slice,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use libp2p::{
    core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
        },
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::DropGuard;

use super::{
    event::{Counters, NetError},
    gate::Standing,
    limits::STREAMS,
    stream::{Proto, Stream, Tie},
};

/// Where an opened stream, or the reason why there is none, goes.
pub(super) type Opened = oneshot::Sender<Result<Stream, NetError>>;

/// Asks a connection for a stream.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) proto: Proto,
    pub(super) opened: Opened,
}

/// A stream the peer opened.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) proto: Proto,
    pub(super) stream: Stream,
}

/// A list of protocols to agree on one of.
#[derive(Clone, Copy)]
pub(super) struct Offer(&'static [Proto]);

impl UpgradeInfo for Offer {
    type Info = Proto;
    type InfoIter = iter::Copied<slice::Iter<'static, Proto>>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.iter().copied()
    }
}

impl InboundUpgrade<libp2p::Stream> for Offer {
    type Output = (Proto, libp2p::Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: libp2p::Stream, proto: Proto) -> Self::Future {
        ready(Ok((proto, stream)))
    }
}

impl OutboundUpgrade<libp2p::Stream> for Offer {
    type Output = (Proto, libp2p::Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: libp2p::Stream, proto: Proto) -> Self::Future {
        ready(Ok((proto, stream)))
    }
}

/// Whether a stream may be opened towards a peer of this standing.
pub(super) fn may_open(standing: Standing, proto: Proto) -> bool {
    match standing {
        Standing::Member => true,
        Standing::Guest => false,
        Standing::Host => proto == Proto::Pair,
    }
}

const fn accepts(standing: Standing) -> &'static [Proto] {
    match standing {
        Standing::Member => Proto::ALL,
        Standing::Guest => &[Proto::Pair],
        Standing::Host => &[],
    }
}

const fn offer(proto: Proto) -> Offer {
    Offer(match proto {
        Proto::Pair => &[Proto::Pair],
        Proto::Sync => &[Proto::Sync],
        Proto::Blob => &[Proto::Blob],
    })
}

/// The side of one connection that libp2p drives.
pub(super) struct Line {
    standing: Standing,
    /// Keeps the connection when there is no stream.
    stays: bool,
    tie: Tie,
    inbound: Arc<Semaphore>,
    outbound: Arc<Semaphore>,
    asked: VecDeque<(Proto, Opened, OwnedSemaphorePermit)>,
    /// Holds no more than the places of `inbound`.
    accepted: VecDeque<Accepted>,
    refused: Arc<Counters>,
    _cut: DropGuard,
}

impl Line {
    pub(super) fn new(standing: Standing, stays: bool, tie: Tie, refused: Arc<Counters>) -> Self {
        Self {
            standing,
            stays,
            inbound: Arc::new(Semaphore::new(STREAMS)),
            outbound: Arc::new(Semaphore::new(STREAMS)),
            asked: VecDeque::new(),
            accepted: VecDeque::new(),
            refused,
            _cut: tie.cut.clone().drop_guard(),
            tie,
        }
    }

    fn accept(&mut self, proto: Proto, stream: libp2p::Stream) {
        let Ok(place) = Arc::clone(&self.inbound).try_acquire_owned() else {
            self.refused.streams.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let stream = Stream::new(stream, self.tie.clone(), place);
        self.accepted.push_back(Accepted { proto, stream });
    }
}

impl ConnectionHandler for Line {
    type FromBehaviour = Open;
    type ToBehaviour = Accepted;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = (Opened, OwnedSemaphorePermit);

    fn listen_protocol(&self) -> SubstreamProtocol<Offer, ()> {
        SubstreamProtocol::new(Offer(accepts(self.standing)), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.stays
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Offer, Self::OutboundOpenInfo, Accepted>> {
        // No waker: libp2p polls again after every event it brings.
        if let Some(accepted) = self.accepted.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(accepted));
        }
        match self.asked.pop_front() {
            Some((proto, opened, place)) => {
                let protocol = SubstreamProtocol::new(offer(proto), (opened, place));
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
            }
            None => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, open: Open) {
        let answer = if !may_open(self.standing, open.proto) {
            NetError::NotAllowed
        } else {
            match Arc::clone(&self.outbound).try_acquire_owned() {
                Ok(place) => return self.asked.push_back((open.proto, open.opened, place)),
                Err(_) => NetError::Busy,
            }
        };
        // Who asked may have gone meanwhile.
        let _ = open.opened.send(Err(answer));
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Offer, Offer, (), Self::OutboundOpenInfo>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (proto, stream),
                ..
            }) => self.accept(proto, stream),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (_, stream),
                info: (opened, place),
            }) => {
                let _ = opened.send(Ok(Stream::new(stream, self.tie.clone(), place)));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError {
                info: (opened, _),
                error,
            }) => {
                let error = match error {
                    StreamUpgradeError::NegotiationFailed => NetError::Refused,
                    _ => NetError::NotConnected,
                };
                let _ = opened.send(Err(error));
            }
            _ => {}
        }
    }
}
