//! Places for connections that come in and have not shown yet who they are.
//!
//! There are few, and whoever comes takes one at once: where all are taken, the
//! longest waiting one of whoever holds the most of them gives up its own. So a
//! stranger that opens one connection after the other and says nothing pushes out
//! itself, and the family gets in however long that goes on. How long a handshake
//! may take can stay generous, for those on slow lines.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures::{
    FutureExt as _,
    future::{AbortHandle, Abortable, BoxFuture},
};
use libp2p::{
    Multiaddr, Transport,
    core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent},
    multiaddr::Protocol,
};

use super::{limits::HANDSHAKES, range::source_of};

/// Who holds a place: an address or a network, or whoever comes through relays.
type Source = Option<IpAddr>;

fn source(address: &Multiaddr) -> Source {
    let mut parts = address.iter();
    let ip = parts.next().and_then(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    });
    let is_relayed = parts.any(|part| part == Protocol::P2pCircuit);
    ip.filter(|_| !is_relayed).map(source_of)
}

/// All places that are taken, the oldest first.
#[derive(Default)]
struct Taken {
    next: u64,
    all: VecDeque<(u64, Source, AbortHandle)>,
}

impl Taken {
    /// Takes a place, from somebody else where there is no free one.
    fn enter(&mut self, source: Source, hang_up: AbortHandle) -> u64 {
        while self.all.len() >= HANDSHAKES {
            let Some((_, _, victim)) = self.victim(source).and_then(|at| self.all.remove(at))
            else {
                break;
            };
            victim.abort();
        }
        let id = self.next;
        self.next += 1;
        self.all.push_back((id, source, hang_up));
        id
    }

    /// The oldest of whoever holds the most, the one who comes included.
    fn victim(&self, newcomer: Source) -> Option<usize> {
        let mut held: HashMap<Source, usize> = HashMap::from([(newcomer, 1)]);
        for (_, source, _) in &self.all {
            *held.entry(*source).or_default() += 1;
        }
        let most = self.all.iter().map(|(_, source, _)| held[source]).max()?;
        let mut all = self.all.iter();
        all.position(|(_, source, _)| held[source] == most)
    }
}

#[derive(Clone, Default)]
struct Places(Arc<Mutex<Taken>>);

impl Places {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One place; dropping it gives it back.
struct Place {
    places: Places,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        let at = taken.all.iter().position(|(id, _, _)| *id == self.id);
        if let Some(at) = at {
            taken.all.remove(at);
        }
    }
}

/// A transport whose inbound upgrades each take a place.
pub(super) struct Bounded<O> {
    inner: Boxed<O>,
    places: Places,
}

impl<O> Bounded<O> {
    pub(super) fn new(inner: Boxed<O>) -> Self {
        let places = Places::default();
        Self { inner, places }
    }
}

impl<O: Send + 'static> Transport for Bounded<O> {
    type Output = O;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<O>>;
    type Dial = <Boxed<O> as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let event = Pin::new(&mut self.inner).poll(cx);
        event.map(|event| match event {
            TransportEvent::Incoming {
                listener_id,
                upgrade,
                local_addr,
                send_back_addr,
            } => TransportEvent::Incoming {
                listener_id,
                upgrade: bounded(&self.places, source(&send_back_addr), upgrade),
                local_addr,
                send_back_addr,
            },
            other => other,
        })
    }
}

fn bounded<O: 'static>(
    places: &Places,
    source: Source,
    upgrade: <Boxed<O> as Transport>::ListenerUpgrade,
) -> BoxFuture<'static, io::Result<O>> {
    let (hang_up, ended) = AbortHandle::new_pair();
    let place = Place {
        id: places.taken().enter(source, hang_up),
        places: places.clone(),
    };
    async move {
        let _place = place;
        let upgraded = Abortable::new(upgrade, ended).await;
        upgraded.unwrap_or_else(|_| Err(io::ErrorKind::ConnectionAborted.into()))
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: Source = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    fn enter(taken: &mut Taken, source: Source) -> AbortHandle {
        let (hang_up, _) = AbortHandle::new_pair();
        taken.enter(source, hang_up.clone());
        hang_up
    }

    #[test]
    fn who_holds_the_most_gives_up_its_oldest() {
        let mut taken = Taken::default();
        let member = enter(&mut taken, Some(IpAddr::from([192, 0, 2, 2])));
        let silent: Vec<_> = (0..HANDSHAKES * 3)
            .map(|_| enter(&mut taken, STRANGER))
            .collect();
        assert_eq!(taken.all.len(), HANDSHAKES);
        assert!(!member.is_aborted());
        let (gone, there) = silent.split_at(silent.len() + 1 - HANDSHAKES);
        assert!(gone.iter().all(AbortHandle::is_aborted));
        assert!(there.iter().all(|one| !one.is_aborted()));
        // One more of the family takes another place of the stranger.
        let other = enter(&mut taken, None);
        assert!(!member.is_aborted() && !other.is_aborted() && there[0].is_aborted());
    }

    #[test]
    fn of_many_that_hold_one_each_the_oldest_goes() {
        let mut taken = Taken::default();
        let ips = (0..=u8::try_from(HANDSHAKES).unwrap()).map(|n| Some([10, 0, 0, n].into()));
        let all: Vec<_> = ips.map(|ip| enter(&mut taken, ip)).collect();
        assert!(all[0].is_aborted());
        assert!(all[1..].iter().all(|one| !one.is_aborted()));
    }

    #[test]
    fn a_place_that_is_given_back_is_free() {
        let places = Places::default();
        let (hang_up, _) = AbortHandle::new_pair();
        let id = places.taken().enter(STRANGER, hang_up);
        drop(Place {
            places: places.clone(),
            id,
        });
        assert!(places.taken().all.is_empty());
    }

    #[test]
    fn a_network_of_64_bits_and_all_that_comes_through_relays_count_as_one() {
        let of = |text: &str| source(&text.parse().unwrap());
        assert_eq!(
            of("/ip6/2001:db8:0:1::2/tcp/1"),
            of("/ip6/2001:db8:0:1:ffff::3/tcp/2")
        );
        assert_ne!(
            of("/ip6/2001:db8:0:1::2/tcp/1"),
            of("/ip6/2001:db8:0:2::2/tcp/1")
        );
        assert_ne!(of("/ip4/192.0.2.1/tcp/1"), of("/ip4/192.0.2.2/tcp/1"));
        assert_eq!(of("/ip4/192.0.2.1/tcp/1/p2p-circuit"), None);
    }
}
